"""Derive the head and its prior from real annotations, write them to ``geometry/heads.npz``, and say how well they fit.

Means, bases, quantiles and correlations go there; the annotated shapes themselves do not.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from data_scripts.heads import extension, fitting, mesh
from data_scripts.heads import template as hand
from data_scripts.heads.model import Model, Scores, seen
from lddmmlib.experiments import Experiment
from lddmmlib.experiments._real import SHAPES, real_shapes
from lddmmlib.faces import schemes, statistics
from lddmmlib.faces.geometry import head, prior, surface

TURNS = (0.0, 0.15, 0.35, 0.6, 1.6)  # |yaw| in radians, by which errors are told apart


def geometry_fit() -> dict:
    """Fit, write ``geometry/heads.npz``, and tell the misfit with and without the outline's slip."""
    real = statistics.procrustes(real_shapes(), schemes.get("300w-68").corners).aligned
    model, scores = fitting.fit(real)
    write(model, scores)
    still = fitting.fit(real, slide=False)
    return {
        "count": len(real),
        "fit": {
            "visible_outline": misfit(real, model, scores, slide=True),
            "anatomical_jaw": misfit(real, *still, slide=False),
        },
        "slip": model.slip[:9].tolist(),
        "deviation_degrees": dict(zip(("yaw", "pitch"), scores.pose[:, :2].std(0).rad2deg().tolist(), strict=True)),
    }


def write(model: Model, scores: Scores) -> None:
    """All that `faces` needs to know, to the committed file."""
    whole = extension.Extension(model.mean, model.out, model.front)
    learned = torch.stack([whole.extend(mode) for mode in model.identity])
    # A mode's sign means nothing, and rounding may choose it: those that stand stay, and so do the faces drawn so far.
    learned = learned * (learned * head.facts()[1][: len(learned)]).sum((1, 2), keepdim=True).sign()
    moves = torch.zeros(len(head.EXPRESSIONS), whole.count, 3, dtype=torch.float64)
    for name, move in zip(hand.EXPRESSIONS, model.expression, strict=True):
        moves[list(head.EXPRESSIONS).index(name)] = whole.extend(move)
    chart = whole.chart()
    fill = mesh.fill(chart)
    numbers = {
        "mean": whole.rest(),
        "identity": torch.cat([learned, whole.unseen()]),
        "expression": moves,
        "slip": model.slip,
        "chart": chart,
        "fill": fill,
    } | copula(scores)
    arrays = {name: x.float().numpy() for name, x in numbers.items()}
    triangles = mesh.triangles(*(torch.from_numpy(arrays[name]).double() for name in ("chart", "fill")))
    np.savez_compressed(head.FACTS, triangles=triangles.astype(np.uint16), **arrays)
    for cached in (head.facts, head.slip, surface.mesh, prior.facts):
        cached.cache_clear()


def copula(scores: Scores, steps: int = 32) -> dict[str, Tensor]:
    """Quantiles (9, steps + 1) and correlations (9, 9) of the normal scores of expression, yaw and pitch, and levels.

    Every face counts together with its mirror image.
    """
    low, high = torch.tensor(fitting.LIMITS, dtype=torch.float64).T
    x = torch.cat([scores.expression.clamp(low, high), scores.pose[:, :2]], 1)
    mirror = torch.ones(x.shape[1], dtype=x.dtype)
    mirror[[list(hand.EXPRESSIONS).index("jaw_sideways"), 7]] = -1
    x = torch.cat([x, mirror * x])
    levels = torch.linspace(0, 1, steps + 1, dtype=x.dtype)
    rank = x.argsort(0).argsort(0)
    normal = torch.special.ndtri((rank + 0.5) / len(x))
    return {"levels": levels, "quantiles": torch.quantile(x, levels, dim=0).T, "correlation": torch.corrcoef(normal.T)}


def misfit(shapes: Tensor, model: Model, scores: Scores, slide: bool) -> dict:
    """Mean distance of fitted and annotated landmarks in per cent of the eye-corner distance, by the head's turn."""
    error = 100 * (seen(model, scores, slide) - shapes).norm(dim=-1)
    yaw = scores.pose[:, 0]
    error = torch.where((yaw < 0)[:, None], error[:, hand.FLIP], error)  # as if all looked to the right
    rows = []
    for low, high in pairwise(TURNS):
        some = error[(yaw.abs() >= low) & (yaw.abs() < high)]
        parts = {"near_jaw": some[:, :8], "far_jaw": some[:, 9:17], "rest": some[:, 17:]}
        rows.append({"yaw_from": low, "count": len(some)} | {k: v.mean().item() for k, v in parts.items()})
    return {"all": error.mean().item(), "jaw": error[:, :17].mean().item(), "by_turn": rows}


EXPERIMENT = Experiment(
    measure=geometry_fit,
    question="How well does the head fit real annotations, and the visible outline its jaw?",
    data=SHAPES,
    untouched=("lddmmlib.faces.geometry.heads",),  # it is what this writes
)
