"""What paper E leaves open, and what changes if it is chosen otherwise: ε, the normalisation, the recipe, the rates.

Short trainings of the smallest network of `wasserstein`, each with one thing changed, from one seed, on faces of a
split that nothing else reads. And a test of endurance: maps as they occur from the first step to the last, many times a
training's number of batches, and how many values or gradients were not finite.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from lddmmlib import heatmaps, metrics, training
from lddmmlib.data.crops import Crop
from lddmmlib.experiments import Experiment, _drawn, wasserstein, yardstick
from lddmmlib.experiments._drawn import Marked, Views
from lddmmlib.experiments.wasserstein import LEARNERS, RATES, Learner, loss_of
from lddmmlib.methods import wasserstein as method

SIZE, FACES, HELD_OUT, EPOCHS = wasserstein.SIZES["notebook"], 500, 100, 2
SHARE = 3  # σ, 64ths of the map
BATCHES, MAPS, CELLS = 10_000, 16, 16  # of the test of endurance
TRIED = (4e-3, 1e-2)  # learning rates
Loss = Callable[[nn.Module, Crop], Tensor]


def choices(side: int) -> Iterator[tuple[str, str, Learner, Loss, float]]:
    """What is varied, its value, the network, its loss and rate; for crops of a given side."""
    ours, recipe = LEARNERS[f"W {SHARE}"], LEARNERS[f"recipe {SHARE}"]
    sigma, usual = (share * wasserstein.cells(side) for share in (SHARE, wasserstein.EPS))
    for share in (2.0, 4.0, 8.0, 16.0):
        loss = partial(loss_of, learner=ours, eps=share)
        yield "eps of W, cells", f"{share * wasserstein.cells(side):g}", ours, loss, RATES["W"]
    for by, tau in (("softmax", 4.0), ("softplus", 1.0)):
        loss = partial(method.wasserstein_loss, sigma=sigma, eps=usual, by=by, tau=tau)
        yield "normalisation of W", f"{by}, tau {tau:g}", ours, loss, RATES["W"]
    for weight in (0.0, 0.1, 1.0):
        loss = partial(loss_of, learner=recipe, weight=weight)
        yield "weight of transport to the point", f"{weight:g}", recipe, loss, RATES["recipe"]
    loss = partial(method.recipe_loss, sigma=sigma, weight=wasserstein.WEIGHT, eps=usual)
    yield "weight of transport to the Gaussian", f"{wasserstein.WEIGHT:g}", recipe, loss, RATES["recipe"]
    for name in ("L2 1", "L2 3", "W 1", "JS 3", "soft"):
        for rate in TRIED:
            yield f"rate of {name}", f"{rate:g}", LEARNERS[name], partial(loss_of, learner=LEARNERS[name]), rate


def measure(
    size: wasserstein.Training = SIZE, faces: int = FACES, held_out: int = HELD_OUT, epochs: int = EPOCHS,
    batches: int = BATCHES,
) -> dict:  # fmt: skip
    """What is varied -> value -> decoder -> NME of the 68 landmarks, % of the corner distance; and the endurance."""
    views = _drawn.faces(range(faces), "wild", ("300w-68",), size.drawn, size.side, size.views)
    other = _drawn.faces(range(held_out), "wild-val", ("300w-68",), size.drawn, size.side)
    told: dict[str, dict[str, dict[str, float]]] = {}
    for what, value, learner, loss, rate in choices(size.side):
        told.setdefault(what, {})[value] = trained(learner, loss, rate, views, other, size, epochs)
    steps = epochs * (len(views.image) // size.batch)
    return {"steps": steps, "nme_percent": told, "endurance": endurance(batches)}


def trained(
    learner: Learner, loss: Loss, rate: float, views: Marked, other: Marked, size: wasserstein.Training, epochs: int
) -> dict[str, float]:
    """Train a network; its NME on other faces by each decoder."""
    torch.manual_seed(0)
    model = wasserstein.build(learner, size)
    with tempfile.TemporaryDirectory() as folder:
        training.fit(model, loss, Views(views, learner.scheme), folder=folder, epochs=epochs, batch=size.batch, lr=rate,
                     optimiser=torch.optim.Adam, progress=False)  # fmt: skip
    found = wasserstein.predict(model, learner, other.image, "cpu")
    truth = other.points[learner.scheme]
    return {
        way: 100 * metrics.nme(points, truth, "corners", learner.scheme).mean().item() for way, points in found.items()
    }


def endurance(batches: int) -> dict:
    """Values and gradients that are not finite, of maps from nearly uniform to saturated, targets up to the border."""
    generator, bad = torch.Generator().manual_seed(0), 0
    sigma, eps = (share * CELLS / 64 for share in (SHARE, wasserstein.EPS))
    for k in range(batches):
        scale = 10 ** (5.5 * k / batches - 3)  # of the scores, from 0.001 to 300
        maps = scale * torch.randn(MAPS, CELLS, CELLS, generator=generator)
        points = CELLS * torch.rand(MAPS, 2, generator=generator) - 0.5
        value = method.distance(maps.requires_grad_(), heatmaps.encode(points, (CELLS, CELLS), sigma), eps)
        (gradient,) = torch.autograd.grad(value.sum(), maps)
        bad += (~value.isfinite()).sum().item() + (~gradient.isfinite()).sum().item()
    return {"batches": batches, "maps_a_batch": MAPS, "not_finite": bad}


EXPERIMENTS = {
    "wasserstein_choices": Experiment(
        measure=measure,
        question="What does paper E leave open, and what changes if it is chosen otherwise?",
        data="drawn faces of the validation split",
        untouched=(
            *yardstick.UNTOUCHED,
            *(f"lddmmlib.experiments._{name}_claims" for name in ("wasserstein", "lddmm_face")),
        ),
    )
}
