"""The learning rate of each method of `lddmm_face`: short trainings of its smallest network, one at each of three.

The networks are measured on faces of a split that nothing else reads, so that what is measured later is not tuned on.
Trained again with another number of threads, the same settings ended up to a point of NME apart. So rates within a
point of each other are not told apart by one training each, and a rate in use may be any of those.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from lddmmlib import metrics, training
from lddmmlib.experiments import Experiment, _drawn, lddmm_face, yardstick
from lddmmlib.experiments._drawn import Marked, Views
from lddmmlib.methods import heatmap_regression

TRIED = (2e-3, 4e-3, 1e-2)
SIZE = lddmm_face.SIZES["notebook"]
FACES, HELD_OUT, EPOCHS = 400, 100, 8
PIXELWISE = "heat, pixel-wise"
METHODS = (*lddmm_face.RATES, PIXELWISE)


def rates(size: lddmm_face.Training = SIZE, faces: int = FACES, held_out: int = HELD_OUT, epochs: int = EPOCHS) -> dict:
    """Method -> learning rate -> NME of all 68 landmarks, % of the corner distance."""
    names = tuple(lddmm_face.SCHEMES.values())
    views = _drawn.faces(range(faces), "wild", names, size.drawn, size.side, size.views)
    other = _drawn.faces(range(held_out), "wild-val", names, size.drawn, size.side)
    told: dict[str, dict[str, float]] = {}
    for method in METHODS:
        for rate in TRIED:
            found = trained(method, rate, views, size, epochs)(other.image)
            scheme = lddmm_face.SCHEMES["68"]
            error = metrics.nme(found, other.points[scheme], "corners", scheme).mean()
            told.setdefault(method, {})[f"{rate:g}"] = 100 * error.item()
    return {"steps": epochs * (len(views.image) // size.batch), "nme_percent": told, "chosen": lddmm_face.RATES}


def trained(
    method: str, rate: float, views: Marked, size: lddmm_face.Training, epochs: int
) -> Callable[[Tensor], Tensor]:
    """Train a network; what it then predicts of images."""
    learner, pixelwise = lddmm_face.LEARNERS[f"{method.split(',')[0]} 68"], method == PIXELWISE
    means = {name: points.mean(0) for name, points in views.points.items()}
    torch.manual_seed(0)
    model, loss = lddmm_face.build(learner, means, size)
    loss = partial(lddmm_face.heat_loss, kept=learner.known, pixelwise=True) if pixelwise else loss
    with tempfile.TemporaryDirectory() as folder:
        training.fit(model, loss, Views(views, learner.scheme), folder=folder, epochs=epochs, batch=size.batch, lr=rate,
                     optimiser=torch.optim.Adam, progress=False)  # fmt: skip
    if not pixelwise:
        return lambda images: lddmm_face.predict(model, learner, images, "cpu")
    return lambda images: heatmap_regression.landmarks_from(
        model.eval()(heatmap_regression.network_input(images)), images
    ).detach()


EXPERIMENTS = {
    "lddmm_face_rates": Experiment(
        measure=rates,
        question="Which learning rate suits each method, and what do maps learn by a pixel-wise loss in as few steps?",
        data="drawn faces of the validation split",
        untouched=(*yardstick.UNTOUCHED, "lddmmlib.experiments._lddmm_face_claims"),
    )
}
