"""What paper E leaves open, and what changes if it is chosen otherwise: ε, the normalisation, the recipe, the rates.

Short trainings of the smallest network of `wasserstein`, each with one thing changed, on faces of a split that nothing
else reads. And a test of endurance: maps as they occur from the first step to the last, many times a training's number
of batches, and how many values or gradients were not finite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lddmmlib import heatmaps, metrics, training
from lddmmlib.data.crops import Crop
from lddmmlib.experiments import Matrix, Run, Size, _drawn, wasserstein, yardstick
from lddmmlib.experiments._drawn import Views
from lddmmlib.experiments.wasserstein import EPS, LEARNERS, RATES, WEIGHT, Learner, cells, loss_of
from lddmmlib.methods import wasserstein as method

SHARE, SCHEME = 3, "300w-68"  # σ, 64ths of the map
TRIED = (4e-3, 1e-2)  # learning rates
ENDURANCE = "endurance"
MAPS, CELLS = 16, 16  # of a batch of the test of endurance


class Training(NamedTuple):
    """A scale: how many faces and epochs, of the trainings of a scale of `wasserstein`; batches of the endurance."""

    of: str
    faces: int
    held_out: int
    epochs: int
    batches: int


SIZES = {"smoke": Training("smoke", 4, 3, 1, 3), "notebook": Training("notebook", 500, 100, 2, 10_000)}


class Choice(NamedTuple):
    """What a network is taught, by which loss and rate."""

    learner: Learner
    loss: Callable[[nn.Module, Crop], Tensor]
    rate: float


def choices(side: int = 64) -> dict[str, Choice]:
    """What is varied and its value -> the network; for crops of a given side."""
    ours, recipe = LEARNERS[f"W {SHARE}"], LEARNERS[f"recipe {SHARE}"]
    sigma, usual = (share * cells(side) for share in (SHARE, EPS))
    out = {f"eps {eps:g} of 64": Choice(ours, partial(loss_of, learner=ours, eps=eps), RATES["W"])
           for eps in (2.0, 4.0, 8.0, 16.0)}  # fmt: skip
    for by, tau in (("softmax", 4.0), ("softplus", 1.0)):
        loss: Callable = partial(method.wasserstein_loss, sigma=sigma, eps=usual, by=by, tau=tau)
        out[f"{by} tau {tau:g}"] = Choice(ours, loss, RATES["W"])
    for weight in (0.0, 0.1, 1.0):
        out[f"weight {weight:g}"] = Choice(recipe, partial(loss_of, learner=recipe, weight=weight), RATES["recipe"])
    gaussian = partial(method.recipe_loss, sigma=sigma, weight=WEIGHT, eps=usual)
    out[f"weight {WEIGHT:g} to the Gaussian"] = Choice(recipe, gaussian, RATES["recipe"])
    for name in ("L2 1", "L2 3", "W 1", "JS 3", "soft"):
        for rate in TRIED:
            out[f"{name} rate {rate:g}"] = Choice(LEARNERS[name], partial(loss_of, learner=LEARNERS[name]), rate)
    return out


def train(network: str, seed: int, scale: str, device: str, folder: Path) -> Run:
    """Train a network with one thing changed; its NME on other faces by each decoder, %. Or the endurance."""
    how = SIZES[scale]
    if network == ENDURANCE:
        return Run(errors={}, figures=endurance(how.batches))
    size, choice = wasserstein.SIZES[how.of], choices()[network]
    faces = partial(_drawn.faces, names=(SCHEME,), drawn=size.drawn, side=size.side)
    seen = _drawn.kept(folder / "train.pt", lambda: faces(range(how.faces), "wild", views=size.views))
    other = _drawn.kept(folder / "other.pt", lambda: faces(range(how.held_out), "wild-val"))
    torch.manual_seed(seed)
    model = wasserstein.build(choice.learner, size)
    run = training.fit(
        model, choice.loss, Views(seen, SCHEME), folder=folder / f"{network} {seed}", epochs=how.epochs,
        batch=size.batch, lr=choice.rate, optimiser=torch.optim.Adam, seed=seed, device=device,
    )  # fmt: skip
    found = wasserstein.predict(model, choice.learner, other.image, device)
    errors = {f"NME, {way}": 100 * metrics.nme(points, other.points[SCHEME], "corners", SCHEME)
              for way, points in found.items()}  # fmt: skip
    return Run(errors=errors, figures={"steps": len(run.rows) * (len(seen.image) // size.batch)})


def tell(runs: Mapping[str, list[Run]], scale: str) -> dict:
    """What is varied -> decoder -> NME of the 68 landmarks, %, of each seed; and the endurance."""
    nme = {network: {name.partition(", ")[2]: [run.errors[name].mean().item() for run in some]
                     for name in some[0].errors} for network, some in runs.items() if network != ENDURANCE}  # fmt: skip
    return {"figures": {network: some[0].figures for network, some in runs.items()}, "nme_percent": nme}


def endurance(batches: int) -> dict:
    """Values and gradients that are not finite, of maps from nearly uniform to saturated, targets up to the border."""
    generator, bad = torch.Generator().manual_seed(0), 0
    sigma, eps = (share * CELLS / 64 for share in (SHARE, EPS))
    for k in range(batches):
        scale = 10 ** (5.5 * k / batches - 3)  # of the scores, from 0.001 to 300
        maps = scale * torch.randn(MAPS, CELLS, CELLS, generator=generator)
        points = CELLS * torch.rand(MAPS, 2, generator=generator) - 0.5
        value = method.distance(maps.requires_grad_(), heatmaps.encode(points, (CELLS, CELLS), sigma), eps)
        (gradient,) = torch.autograd.grad(value.sum(), maps)
        bad += (~value.isfinite()).sum().item() + (~gradient.isfinite()).sum().item()
    return {"batches": batches, "maps_a_batch": MAPS, "not_finite": bad}


EXPERIMENTS = {
    "wasserstein_choices": Matrix(
        train=train,
        tell=tell,
        sizes={
            "smoke": Size(("softplus tau 1", ENDURANCE), 1),
            "notebook": Size((*choices(), ENDURANCE), 1),
        },
        question="What does paper E leave open, and what changes if it is chosen otherwise?",
        data="drawn faces of the validation split",
        untouched=(
            *yardstick.UNTOUCHED,
            *(f"lddmmlib.experiments._{name}_claims" for name in ("wasserstein", "lddmm_face")),
        ),
    )
}
