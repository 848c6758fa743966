"""Fitting the head to real annotations: pose, identity and expression of each shape, and the bases they share.

All unknowns of `model` are found together, by Adam on a robust loss with Gaussian priors. What keeps it honest:
depth cannot be told from turn without help, so depths stay near those set by hand; from the front, B shows nothing
that an expression, a nod or the lids explain; and who somebody is does not depend on where he looks.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from data_scripts.heads import template as hand
from data_scripts.heads.model import Model, Scores, constrained, seen, symmetric
from lddmmlib.faces.geometry import head

LEARNED = 20  # modes of identity
SIGMA = 0.02  # an annotator's error, in eye-corner distances
# Of the expressions, and last of the lids: eyes wide less eyes closed.
LIMITS = [head.EXPRESSIONS[name] for name in hand.EXPRESSIONS] + [(-1.0, 1.0)]


def start(shapes: Tensor) -> tuple[dict[str, Tensor], Scores]:
    """Free parameters and scores to begin with: the hand-set head, turned as the nose lies between the ears."""
    n, draw = len(shapes), torch.Generator().manual_seed(0)
    random = {"dtype": torch.float64, "generator": draw}
    free = {
        "mean": hand.both_sides(hand.PLACES),
        "expression": torch.zeros(len(hand.EXPRESSIONS), 68, 3, dtype=torch.float64),
        "identity": 0.02 * torch.randn(LEARNED, 68, 3, **random) * torch.tensor([1, 1, 0.3], dtype=torch.float64),
        "out": torch.tensor(hand.SLICE_OUT, dtype=torch.float64).log(),
        "front": torch.tensor(hand.SLICE_FRONT, dtype=torch.float64).log(),
        "slip": torch.zeros(9, dtype=torch.float64),
    }
    pose = torch.zeros(n, 6, dtype=torch.float64)
    pose[:, 0] = 0.9 * (shapes[:, 30, 0] - (shapes[:, 0, 0] + shapes[:, 16, 0]) / 2)
    expression = 0.02 * torch.randn(n, len(LIMITS), **random)
    scores = Scores(torch.zeros(n, LEARNED, dtype=torch.float64), expression, pose)
    return {k: v.requires_grad_() for k, v in free.items()}, Scores(*(v.requires_grad_() for v in scores))


def energy(free: dict[str, Tensor], scores: Scores, shapes: Tensor, slide: bool) -> Tensor:
    """The loss a shape: robust misfit + priors of its scores + priors of what all share."""
    n, first = len(shapes), start(shapes[:1])[0]
    scores = scores._replace(identity=scores.identity - scores.identity.mean(0))
    misfit = (seen(constrained(free), scores, slide) - shapes).square().sum(-1) / SIGMA**2
    low, high = torch.tensor(LIMITS, dtype=torch.float64).T
    e, turn, nod = scores.expression, scores.pose[:, 0], scores.pose[:, 1]
    over = (low - e).relu().square() + (e - high).relu().square()
    signed = low < 0
    own = (
        4 * ((1 + misfit / 4).sqrt() - 1).sum()
        + scores.identity.square().sum() / 2
        + 2 * e[:, signed].square().sum()
        + 3 * e[:, ~signed].abs().sum()  # most mouths are closed, most brows at rest
        + 500 * over.sum()
        + (turn / 0.35).square().sum() / 2
        + (nod / 0.25).square().sum() / 2
    )
    depth, by_hand = (free["mean"])[:, 2], first["mean"][:, 2]
    shared = (
        500 * ((depth * by_hand).sum() / by_hand.square().sum() - 1).square()
        + 4 * (depth - by_hand).square().sum()
        + (free["expression"] * torch.tensor([4.5, 4.5, 10.0])).square().sum()
        + 60 * free["identity"][..., 2].square().sum()
        + 2 * free["identity"].square().sum()
        + 50 * dependence(scores)
        + 300 * free["slip"].diff().diff().square().sum()
    )
    for k in ("out", "front"):
        shared = shared + 0.5 * (free[k] - first[k]).square().sum() + 0.5 * free[k].diff().diff().square().sum()
    return own / n + shared


def dependence(scores: Scores) -> Tensor:
    """Σ of squared correlations: who somebody is does not depend on where he looks, nor does his jaw."""
    jaw = scores.expression[:, [list(hand.EXPRESSIONS).index("jaw_sideways")]]
    yaw, pitch = scores.pose[:, :2].T
    a, b = (standard(x) for x in (torch.cat([scores.identity, jaw], 1), torch.stack([yaw, yaw.square(), pitch], 1)))
    return (a.T @ b / len(a)).square().sum()


def standard(x: Tensor) -> Tensor:
    """Columns less their mean, by their deviation."""
    return (x - x.mean(0)) / (x.std(0) + 1e-6)


RATES = {"mean": 0.004, "expression": 0.004, "identity": 0.003, "out": 0.02, "front": 0.02, "slip": 0.002}


def fit(shapes: Tensor, slide: bool = True, rounds: tuple[int, int] = (200, 900)) -> tuple[Model, Scores]:
    """First pose and expression of the hand-set head, then everything. shapes (n, 68, 2) in eye-corner distances."""
    free, scores = start(shapes)
    own = [(scores.pose, 0.02), (scores.expression, 0.03)]
    everything = [*own, (scores.identity, 0.06), *((free[k], rate) for k, rate in RATES.items())]
    for steps, unknowns in zip(rounds, (own, everything), strict=True):
        adam = torch.optim.Adam([{"params": [p], "lr": rate} for p, rate in unknowns], betas=(0.9, 0.98))
        cool = torch.optim.lr_scheduler.LambdaLR(adam, lambda i, steps=steps: min(1.0, 2 * (1 - i / steps)))
        for _ in range(steps):
            adam.zero_grad()
            energy(free, scores, shapes, slide).backward()
            adam.step()
            cool.step()
    with torch.no_grad():
        return whitened(Model(*(v.detach() for v in constrained(free))), Scores(*(v.detach() for v in scores)))


def whitened(model: Model, scores: Scores) -> tuple[Model, Scores]:
    """The same faces; the modes of identity are now principal, and their scores have mean 0 and variance 1."""
    a = scores.identity - scores.identity.mean(0)
    u, s, v = torch.linalg.svd(a @ model.identity.flatten(1), full_matrices=False)
    u, s, v = u[:, :LEARNED], s[:LEARNED], v[:LEARNED]
    scale = math.sqrt(len(a))
    sign = v.gather(1, v.abs().argmax(1, keepdim=True)).sign()
    identity = symmetric((sign * s[:, None] / scale * v).unflatten(1, (68, 3)))
    return model._replace(identity=identity), scores._replace(identity=u * scale * sign.T)
