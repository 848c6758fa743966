"""Sparse shape regression on real shapes: half of the landmarks of 300-W faces hidden, and told from the other half.

Both halves are annotated in every face, so that H is fitted to annotations. This is the easier part of claim B4, and
its comparisons are exploratory: the paper fits H to a network's predictions, as `coupled_regression` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lddmmlib import _checks, lars, metrics
from lddmmlib.experiments import Experiment, _verdicts
from lddmmlib.experiments._real import SHAPES, real_shapes
from lddmmlib.experiments.labels import with_interval
from lddmmlib.faces import statistics
from lddmmlib.methods.sparse_shape_regression import complete, fit_h

DEFINED, HIDDEN = list(range(0, 68, 2)), list(range(1, 68, 2))
TAUS = {"1.0": 1.0, "1.4": 1.4, "10": 10.0, "inf": float("inf")}
FACES = (30, 100, 300, 1400)  # that H is fitted on; the other 1400 are measured on


def sparse_completion() -> dict:
    """Error against hidden annotations, number and distance of the chosen landmarks, by τ and by faces to fit on; and
    what B4 is judged by."""
    shapes = shuffled(real_shapes())
    train, test = shapes[: len(shapes) // 2], shapes[len(shapes) // 2 :]
    by_faces = {str(n): {name: by_budget(train[:n], test, tau) for name, tau in TAUS.items()} for n in FACES}
    figures: dict = {"measured_on": len(test), "defined": len(DEFINED), "hidden": len(HIDDEN), "by_faces": {}}
    for n, row in by_faces.items():
        free = row["inf"][0]
        figures["by_faces"][n] = {
            name: {"error_percent": with_interval(e), "minus_no_budget": with_interval(e - free)} | told
            for name, (e, told) in row.items()
        }
    return figures | {"errors": {f"{n}, {name}": e for n, row in by_faces.items() for name, (e, _) in row.items()}}


def judge(errors: Mapping[str, np.ndarray]) -> dict:
    """B4, exploratory: the error with a budget less that without, by the number of faces that H is fitted on."""
    each = {k: torch.from_numpy(np.array(e, dtype=np.float64)) for k, e in errors.items()}
    pairs = {f"error, H of {n} annotated faces, tau {name} against tau inf": (each[f"{n}, {name}"], each[f"{n}, inf"])
             for n in FACES for name in ("1.0", "1.4")}  # fmt: skip
    return {"B4": {"real": {what: found.row() for what, found in _verdicts.judge(pairs, primary=()).items()}}}


def shuffled(shapes: Tensor) -> Tensor:
    return shapes[torch.randperm(len(shapes), generator=torch.Generator().manual_seed(0))]


def by_budget(train: Tensor, test: Tensor, tau: float) -> tuple[Tensor, dict]:
    """Each test face's mean error over its hidden landmarks (m,), % of the corner distance; and what H looks like."""
    found = fit_h(train[:, DEFINED], train[:, HIDDEN], tau)
    pred = complete(test[:, DEFINED], found.H)[:, len(DEFINED) :]
    d = metrics.reference_distance(test, "corners", "300w-68")
    error = metrics.nme(pred, test[:, HIDDEN], d)
    mean = statistics.real_300w().mean
    return 100 * error, of_rows(found.H, torch.cdist(mean[HIDDEN], mean[DEFINED]))


def of_rows(h: Tensor, distance: Tensor) -> dict:
    """Means over the rows of H; distance (q, p) in corner distances, weighted by |h|."""
    return {
        "chosen": (h.abs() > 1e-6).double().sum(1).mean().item(),
        "distance": ((h.abs() * distance).sum(1) / h.abs().sum(1)).mean().item(),
        "norm1": h.abs().sum(1).mean().item(),
        "negative": h.clamp(max=0).sum(1).abs().mean().item(),
        "sum_least": h.sum(1).min().item(),
        "sum_most": h.sum(1).max().item(),
    }


class Agreement(NamedTuple):
    """How many of scikit-learn's paths lack knots, and how far the coefficients at shared knots differ."""

    short: int
    difference: float


def lars_knots() -> dict:
    """The paths of the hidden landmarks, beside scikit-learn's, in two units: the pixel and 300 pixels."""
    shapes = shuffled(real_shapes())[:300]
    x, y = (shapes[:, i].transpose(1, 2).reshape(600, -1) for i in (DEFINED, HIDDEN))
    found = lars.path(x.T @ x, x.T @ y)
    on = found.coefs.nan_to_num() != 0
    end = [(found.coefs[int(k) - 1, :, j] != 0).sum().item() for j, k in enumerate(found.n_knots)]
    joined = (~on[:-1] & on[1:]).sum(dim=(0, 1))
    figures: dict = {
        "targets": len(HIDDEN),
        "variables": len(DEFINED),
        "faces": len(shapes),
        "knots_least": int(found.n_knots.min()),
        "knots_most": int(found.n_knots.max()),
        "drops": int((joined - torch.tensor(end)).sum()),
    }
    for name, unit in (("pixel", 1.0), ("300_pixels", 300.0)):
        figures[name] = beside_scikit_learn(x / unit, y / unit)._asdict()
    return figures


def beside_scikit_learn(x: Tensor, y: Tensor) -> Agreement:
    """Ours and scikit-learn's, which divides by the number of rows and stops at 1.2e-7 of whatever unit there is."""
    lars_path_gram = _checks.optional("sklearn.linear_model").lars_path_gram

    gram, xy, short, worst = x.T @ x, x.T @ y, 0, 0.0
    found = lars.path(gram, xy)
    for j in range(xy.shape[1]):
        lambdas, _, coefs = lars_path_gram(xy[:, j].numpy(), gram.numpy(), n_samples=len(x), method="lasso")
        k = int(found.n_knots[j])
        fewer = k > len(lambdas)
        short += fewer
        n = min(k, len(lambdas) - fewer)  # where it stops early its last row lies inside a segment
        difference = (found.coefs[:n, :, j] - torch.from_numpy(coefs.T[:n])).abs()
        worst = max(worst, *difference.flatten().tolist()) if n else worst
    return Agreement(short, worst)


EXPERIMENTS = {
    "sparse_completion": Experiment(
        measure=sparse_completion,
        question="How well do 34 landmarks tell the 34 others, by the budget for |h|₁ and by the faces to learn from?",
        data=SHAPES,
        claims=("B4",),
        judge=judge,
    ),
    "lars_knots": Experiment(
        measure=lars_knots,
        question="How many knots do the paths of real landmarks have, and where does scikit-learn's path end?",
        data=SHAPES,
    ),
}
