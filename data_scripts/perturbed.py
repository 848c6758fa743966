"""`python -m data_scripts.perturbed`: train the two networks that `PerturbExplorer()` shows, and ship them.

Both see the same drawn faces in the same order, for as many steps, from the same start; only the loss differs. They are
written with faces that they have not seen: ``widgets/perturb_explorer.npz``. Some minutes, once the faces are drawn.
"""

from __future__ import annotations

from functools import partial

import torch

from lddmmlib import training
from lddmmlib.data import crops
from lddmmlib.experiments import _drawn, _record
from lddmmlib.faces import synthetic
from lddmmlib.methods.heatmap_regression import l2_loss
from lddmmlib.methods.wasserstein import recipe_loss
from lddmmlib.widgets import perturb_explorer

SIGMA, SIDE, SCHEME = 1.5, 64, "300w-68"  # cells of 4 px; px a side of the crops
LOSSES = {"L2": partial(l2_loss, sigma=SIGMA), "W": partial(recipe_loss, sigma=SIGMA)}
HOW = {"epochs": 3, "batch": 16, "lr": 1e-2, "progress": False}
FACES, SHOWN = range(2000), range(520, 526)  # of "wild", four views each; of "wild-test"


def main() -> None:
    """Write the file."""
    folder = _record.RUNS / "perturb_explorer"
    marked = _drawn.kept(folder / "faces.pt", lambda: _drawn.faces(FACES, "wild", (SCHEME,), 96, SIDE, views=4))
    networks, curves = {}, {}
    for name, loss in LOSSES.items():
        torch.manual_seed(0)
        networks[name] = perturb_explorer.network()
        run = training.fit(networks[name], loss, _drawn.Views(marked, SCHEME), folder=folder / name, **HOW)
        curves[name] = [round(row["loss"], 3) for row in run.rows]
        print(name, curves[name], flush=True)
    faces = [synthetic.sample(i, "wild-test", 2 * SIDE) for i in SHOWN]
    affines = [crops.frame(crops.box(face.landmarks), SIDE) for face in faces]
    images = torch.stack([crops.cut(face.image, T, SIDE) for face, T in zip(faces, affines, strict=True)])
    truth = torch.stack([crops.apply(T, face.landmarks) for face, T in zip(faces, affines, strict=True)])
    perturb_explorer.keep(networks, images, truth, {"sigma": SIGMA, "loss": curves} | HOW)
    print(f"{perturb_explorer.KEPT}: {perturb_explorer.KEPT.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
