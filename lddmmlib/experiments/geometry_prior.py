"""Measuring the prior of the drawn heads, which `data_scripts/heads` derived, against real annotations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lddmmlib.experiments import Experiment
from lddmmlib.experiments._real import SHAPES, real_shapes
from lddmmlib.faces import geometry, schemes, statistics
from lddmmlib.faces.crossings import crossings as crossing_segments

LEADING = 10
DRAWS, CROSSED = 3000, 1000


def geometry_prior() -> dict:
    """Compare faces drawn from the prior with real ones."""
    shapes, scheme = real_shapes(), schemes.get("300w-68")
    real = statistics.procrustes(shapes, scheme.corners).aligned
    drawn = {setting: drawn_shapes(setting, DRAWS) for setting in ("wild", "studio")}
    return {
        "count": len(shapes),
        "crossings": {"faces": CROSSED}
        | {name: crossings(CROSSED, turned) for name, turned in (("from_the_front", False), ("as_drawn", True))},
        "prior": {setting: against(real, x) for setting, x in drawn.items()},
    }


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
    itself = any(crossing_segments(x, x).any() for x in lines.values())
    return itself, any(crossing_segments(lines[a][1:-1], lines[b][1:-1]).any() for a, b in BANDS)


def visible_line(face: geometry.Face3D, name: str, t: np.ndarray) -> Tensor:
    """Points (k, 2) of a curve, NaN where hidden."""
    points = geometry.curve(face, name, t)[:, :2]
    return points.where(geometry.visible(face, name, t)[:, None], torch.nan)


EXPERIMENTS = {
    "geometry_prior": Experiment(
        measure=geometry_prior,
        question="How well do drawn heads follow the statistics of real annotations?",
        data=SHAPES,
    )
}
