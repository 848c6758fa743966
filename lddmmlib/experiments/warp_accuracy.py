"""What a spline through 68 landmarks makes of the rest of a face, and when it folds.

Pairs of drawn faces, 256 px a side. The landmarks of the first are mapped onto those of the second. Places on the
boundary curves have known counterparts: they say how far off the map is between its controls, and beyond them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lddmmlib import polyharmonic
from lddmmlib.experiments import Experiment
from lddmmlib.experiments.labels import with_interval
from lddmmlib.faces import geometry, statistics, synthetic
from lddmmlib.polyharmonic import ORDERS, Spline

SIZE, PAIRS, EXACT_PAIRS, SPLITS = 256, 200, 10, ("studio-test", "wild-test")
BETWEEN = ("jaw", "left_brow", "right_brow", "nose_bridge", "nose_outline", "left_eye", "right_eye")
BETWEEN += ("outer_lip", "inner_lip")
BEYOND = ("left_iris", "right_iris", "left_brow_upper", "right_brow_upper", "left_ear", "right_ear", "hairline")
SMOOTHING, NOISE = (0.0, 0.001, 0.01, 0.1, 1.0), 2.0  # px, in each coordinate
EXAGGERATIONS, STEPS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0), (2, 4, 8, 16)


def faces(split: str, first: int, count: int) -> dict[str, Tensor]:
    """Landmarks (count, 68, 2), and places between and beyond them (count, m, 2), alike in all faces; px."""
    t = torch.linspace(0, 1, 33).tolist()
    heads = [synthetic.sitting(i, split).framed(SIZE) for i in range(first, first + count)]
    places = {
        part: [torch.cat([geometry.curve(head, name, t)[:, :2] for name in names]) for head in heads]
        for part, names in (("between", BETWEEN), ("beyond", BEYOND))
    }
    places["controls"] = [geometry.landmarks(head)[0] for head in heads]
    return {part: torch.stack(points) for part, points in places.items()}


def affine(controls: Tensor, values: Tensor, points: Tensor) -> Tensor:
    """The affine map nearest to the values."""
    P, Q = (torch.cat([torch.ones_like(x[..., :1]), x], -1) for x in (controls, points))
    return Q @ torch.linalg.lstsq(P, values).solution


def two_sets(controls: Tensor, values: Tensor, points: Tensor) -> Tensor:
    """kornia 0.9, `get_tps_transform` and `warp_points_tps` in [-1, 1]: centred at the values, not at the controls."""
    c, v, y = (2 * x / SIZE - 1 for x in (controls, values, points))
    omega, rows = polyharmonic._solve(polyharmonic.phi(torch.cdist(c, v).square(), 2), c, v)
    f = polyharmonic.phi(torch.cdist(y, v).square(), 2) @ omega + rows[..., :1, :] + y @ rows[..., 1:, :]
    return SIZE / 2 * (f + 1)


def through(order: int, smoothing: float = 0.0):
    """The spline of that order as a map (controls, values, points) -> values."""
    return lambda c, v, y: polyharmonic.evaluate(polyharmonic.fit(c, v, order, smoothing), y)


def median(rows: Tensor) -> Tensor:
    return rows.quantile(0.5, dim=0)


def errors(way, a: dict[str, Tensor], b: dict[str, Tensor], noise: float = 0.0) -> dict:
    """part -> the median over pairs, and its interval, of a face's mean error, px; `noise` on the controls of a."""
    normal = torch.randn(a["controls"].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = {part: way(a["controls"] + noise * normal, b["controls"], a[part]) for part in ("between", "beyond")}
    off = {part: (points - b[part]).norm(dim=-1).mean(-1) for part, points in found.items()}
    return {part: with_interval(e, median) for part, e in off.items()}


def determinants(spline: Spline, points: Tensor) -> Tensor:
    """det Df at points (..., m, 2): (..., m)."""
    points = points.clone().requires_grad_()
    f = polyharmonic.evaluate(spline, points)
    rows = [torch.autograd.grad(f[..., k].sum(), points, retain_graph=True)[0] for k in (0, 1)]
    return torch.linalg.det(torch.stack(rows, -2))


def folded(a: Tensor, b: Tensor, order: int, smoothing: float, by: float) -> Tensor:
    """Share (pairs,) of the pixels at which the map of controls a onto b folds, a exaggerated `by` times against b."""
    at = torch.arange(4, SIZE, 8, dtype=a.dtype)
    pixels = torch.cartesian_prod(at, at).expand(len(a), -1, -1)
    target = b + by * (statistics.similarity(a, b).apply(a) - b)
    return (determinants(polyharmonic.fit(target, b, order, smoothing), pixels) <= 0).double().mean(-1)


def coarse(a: Tensor, b: Tensor, order: int, step: int) -> dict:
    """How far off, px, the map computed at every `step` pixels is; largest and bound: means over pairs."""
    spline, at = polyharmonic.fit(a, b, order), torch.arange(SIZE + 1, dtype=a.dtype)
    pixels = torch.cartesian_prod(at, at).flip(-1).expand(len(a), -1, -1)
    exact = polyharmonic.evaluate(spline, pixels).mT.unflatten(-1, (SIZE + 1, SIZE + 1))
    rough = interpolate(exact[..., ::step, ::step], exact.shape[-2:], mode="bilinear", align_corners=True)
    off = (rough - exact).norm(dim=1).flatten(1)
    bound = polyharmonic.coarse_bound(spline, (SIZE, SIZE), step).mean()
    median, high = np.quantile(off.numpy(), (0.5, 0.99))
    told = {"median": median, "percentile_99": high, "largest": off.amax(1).mean(), "bound": bound}
    return {name: value.item() for name, value in told.items()}


def measured(a: dict[str, Tensor], b: dict[str, Tensor]) -> dict:
    """All of it for pairs of faces."""
    ways = {"affine": affine} | {f"order {k}": through(k) for k in ORDERS} | {"kornia's": two_sets}
    smooth = {f"order {k}": {f"{s:g}": through(k, s) for s in SMOOTHING} for k in ORDERS}
    ends, few = (a["controls"], b["controls"]), (a["controls"][:EXACT_PAIRS], b["controls"][:EXACT_PAIRS])
    return {
        "error_px": {name: errors(way, a, b) for name, way in ways.items()},
        "smoothed_px": {k: {s: errors(way, a, b) for s, way in row.items()} for k, row in smooth.items()},
        "noisy_px": {k: {s: errors(way, a, b, NOISE) for s, way in row.items()} for k, row in smooth.items()},
        "folded_percent": {
            f"order {k}": {
                f"{s:g}": {f"{e:g}": with_interval(100 * folded(*ends, k, s, e)) for e in EXAGGERATIONS}
                for s in (0.0, 0.01, 0.1)
            }
            for k in ORDERS
        },
        "coarse_px": {f"order {k}": {f"{s}": coarse(*few, k, s) for s in STEPS} for k in ORDERS},
    }


def warp_accuracy() -> dict:
    """`measured` on each split, and what it was measured with."""
    figures: dict = {"pairs": PAIRS, "noise_px": NOISE, "size": SIZE}
    for split in SPLITS:
        figures[split] = measured(faces(split, 0, PAIRS), faces(split, PAIRS, PAIRS))
    return figures


EXPERIMENTS = {
    "warp_accuracy": Experiment(
        measure=warp_accuracy,
        question="How far off is a spline through 68 landmarks elsewhere on the face, and when does it fold?",
        data=f"{PAIRS} pairs of drawn faces of each of two splits, {' and '.join(SPLITS)}, {SIZE} px",
    )
}
