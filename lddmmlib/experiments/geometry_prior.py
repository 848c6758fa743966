"""Deriving the head and its prior from real annotations, and measuring what became of them.

Means, bases, quantiles and correlations go to ``faces/geometry.npz``; the annotated shapes themselves do not.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from lddmmlib.experiments import Experiment, geometry_fit, head_extension, head_mesh
from lddmmlib.experiments import head_template as hand
from lddmmlib.experiments.head_model import Model, Scores, seen
from lddmmlib.experiments.measuring import SHAPES, real_shapes
from lddmmlib.faces import geometry, head, prior, schemes, statistics, surface

LEADING = 10
DRAWS, CROSSED = 3000, 1000
TURNS = (0.0, 0.15, 0.35, 0.6, 1.6)  # |yaw| in radians, by which errors are told apart


def geometry_prior() -> dict:
    """Fit, write ``faces/geometry.npz``, and compare faces drawn from the prior with real ones."""
    shapes, scheme = real_shapes(), schemes.get("300w-68")
    real = statistics.procrustes(shapes, scheme.corners)
    model, scores = geometry_fit.fit(real.aligned)
    write(model, scores)
    still = geometry_fit.fit(real.aligned, slide=False)
    drawn = {setting: drawn_shapes(setting, DRAWS) for setting in ("wild", "studio")}
    return {
        "count": len(shapes),
        "fit": {
            "visible_outline": misfit(real.aligned, model, scores, slide=True),
            "anatomical_jaw": misfit(real.aligned, *still, slide=False),
        },
        "slip": model.slip[:9].tolist(),
        "deviation_degrees": dict(zip(("yaw", "pitch"), scores.pose[:, :2].std(0).rad2deg().tolist(), strict=True)),
        "crossings": {"faces": CROSSED}
        | {name: crossings(CROSSED, turned) for name, turned in (("from_the_front", False), ("as_drawn", True))},
        "prior": {setting: against(real.aligned, x) for setting, x in drawn.items()},
    }


def write(model: Model, scores: Scores) -> None:
    """All that `faces` needs to know, to the committed file."""
    extension = head_extension.Extension(model.mean, model.out, model.front)
    learned = torch.stack([extension.extend(mode) for mode in model.identity])
    moves = torch.zeros(len(head.EXPRESSIONS), extension.count, 3, dtype=torch.float64)
    for name, move in zip(hand.EXPRESSIONS, model.expression, strict=True):
        moves[list(head.EXPRESSIONS).index(name)] = extension.extend(move)
    chart = extension.chart()
    fill = head_mesh.fill(chart)
    numbers = {
        "mean": extension.rest(),
        "identity": torch.cat([learned, extension.unseen()]),
        "expression": moves,
        "slip": model.slip,
        "chart": chart,
        "fill": fill,
    } | copula(scores)
    arrays = {name: x.float().numpy() for name, x in numbers.items()}
    triangles = head_mesh.triangles(*(torch.from_numpy(arrays[name]).double() for name in ("chart", "fill")))
    np.savez_compressed(head.FACTS, triangles=triangles.astype(np.uint16), **arrays)
    for cached in (head.facts, head.slip, surface.mesh, prior.facts):
        cached.cache_clear()


def copula(scores: Scores, steps: int = 32) -> dict[str, Tensor]:
    """Quantiles (9, steps + 1) and correlations (9, 9) of the normal scores of expression, yaw and pitch, and levels.

    Every face counts together with its mirror image.
    """
    low, high = torch.tensor(geometry_fit.LIMITS, dtype=torch.float64).T
    x = torch.cat([scores.expression.clamp(low, high), scores.pose[:, :2]], 1)
    mirror = torch.ones(x.shape[1], dtype=x.dtype)
    mirror[[list(hand.EXPRESSIONS).index("jaw_sideways"), 7]] = -1
    x = torch.cat([x, mirror * x])
    levels = torch.linspace(0, 1, steps + 1, dtype=x.dtype)
    rank = x.argsort(0).argsort(0)
    normal = torch.special.ndtri((rank + 0.5) / len(x))
    return {"levels": levels, "quantiles": torch.quantile(x, levels, dim=0).T, "correlation": torch.corrcoef(normal.T)}


def drawn_shapes(setting: str, count: int) -> Tensor:
    """(count, 68, 2): landmarks of faces drawn from the prior, seeds 0, 1, ..."""
    faces = (geometry.sample(np.random.default_rng(seed), setting) for seed in range(count))
    return torch.stack([geometry.landmarks(face)[0] for face in faces])


def against(real: Tensor, drawn: Tensor) -> dict:
    """Drawn shapes (m, 68, 2) against real aligned ones (n, 68, 2): mean, leading modes, spread along them.

    mean_percent: of the eye-corner distance, mean and maximum over landmarks. captured: the variance of the real
    shapes within the drawn ones' ten principal directions, over that within their own.
    spread: drawn over real deviation along each of the real ten.
    """
    corners = schemes.get("300w-68").corners
    drawn = statistics.procrustes(drawn, corners).aligned
    apart = 100 * (drawn.mean(0) - real.mean(0)).norm(dim=-1)
    covariances = [statistics.covariance(x, x.mean(0)) for x in (real, drawn)]
    own, theirs = (statistics.modes(c, LEADING).vectors.flatten(1) for c in covariances)
    along = [[(v @ c @ v).item() for v in own] for c in covariances]
    captured = (theirs @ covariances[0] @ theirs.T).trace() / sum(along[0])
    return {
        "count": len(drawn),
        "mean_percent": {"mean": apart.mean().item(), "max": apart.max().item()},
        "captured": captured.item(),
        "spread": [(b / a) ** 0.5 for a, b in zip(*along, strict=True)],
    }


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


BANDS = [(f"{name}_upper", f"{name}_lower") for name in ("left_eye", "right_eye", "left_brow", "right_brow")]
BANDS += [("outer_lip_upper", "outer_lip_lower"), ("inner_lip_upper", "inner_lip_lower")]
BANDS += [(f"outer_lip_{a}", f"inner_lip_{b}") for a in ("upper", "lower") for b in ("upper", "lower")]


def crossings(count: int, turned: bool) -> dict[str, int]:
    """Of ``count`` wild faces, as they come or turned to the front: in how many a visible curve crosses itself, and in
    how many an edge of an eye, a brow or a lip crosses another."""
    found = {"itself": 0, "another": 0}
    for seed in range(count):
        face = geometry.sample(np.random.default_rng(seed))
        face = face if turned else replace(face, yaw=0.0, pitch=0.0, roll=0.0)
        itself, another = crossed(face)
        found["itself"] += itself
        found["another"] += another
    return found


def crossed(face: geometry.Face3D, n: int = 33) -> tuple[bool, bool]:
    """Whether a visible curve of the 68 points' crosses itself, and whether one of two edges crosses the other."""
    t = np.linspace(0, 1, n)
    names = {"jaw", "nose_bridge", "nose_outline"} | {edge for pair in BANDS for edge in pair}
    lines = {name: visible_line(face, name, t) for name in names}
    next_to = np.abs(np.subtract.outer(np.arange(n - 1), np.arange(n - 1))) <= 1
    itself = any((meet(x, x) & ~next_to).any() for x in lines.values())
    return itself, any(meet(lines[a][1:-1], lines[b][1:-1]).any() for a, b in BANDS)


def visible_line(face: geometry.Face3D, name: str, t: np.ndarray) -> np.ndarray:
    """Points (k, 2) of a curve, NaN where hidden."""
    points = geometry.curve(face, name, t)[:, :2].numpy()
    return np.where(geometry.visible(face, name, t).numpy()[:, None], points, np.nan)


def meet(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Which segments of two polylines (k, 2), (m, 2) cross: (k - 1, m - 1)."""
    a, b, c, d = p[:-1, None], p[1:, None], q[None, :-1], q[None, 1:]

    def side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        u, v = b - a, c - a
        return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]

    return (side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)


_READS = (
    "contour",
    "curves",
    "face3d",
    "geometry",
    "head",
    "patches",
    "placements",
    "prior",
    "schemes",
    "statistics",
    "surface",
)
_MADE_BY = ("geometry_fit", "head_model", "head_extension", "head_mesh", "head_template")
EXPERIMENTS = {
    "geometry_prior": Experiment(
        geometry_prior,
        "How well do drawn heads follow the statistics of real annotations?",
        SHAPES,
        (*(f"lddmmlib.faces.{m}" for m in _READS), *(f"lddmmlib.experiments.{m}" for m in _MADE_BY)),
    )
}
