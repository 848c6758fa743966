"""`python -m data_scripts.heads`, from the project's folder: refit, write ``faces/geometry.npz``, record the misfit."""

from data_scripts.heads.recording import EXPERIMENT
from lddmmlib.experiments import provenance

if __name__ == "__main__":
    print(provenance.run("geometry_fit", EXPERIMENT))
