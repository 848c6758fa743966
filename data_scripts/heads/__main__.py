"""`python -m data_scripts.heads`, from the project's folder: refit, write ``geometry/heads.npz``, record the misfit."""

from data_scripts.heads.recording import EXPERIMENT
from lddmmlib.experiments import _record

if __name__ == "__main__":
    print(_record.run("geometry_fit", EXPERIMENT))
