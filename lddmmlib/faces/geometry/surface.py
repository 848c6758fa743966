"""One surface through all the curves: a fixed mesh whose vertices are linear in the knots of the head.

    vertices = A · knots + constant

A is built once, from the positions of the vertices on the chart: a flat map of the face (mouth and eyes open, the sides
unrolled) that is the same for every face. A vertex on a curve is given by the spline of that curve; one on the sides
and the crown by the ellipse of its slice (`geometry.contour`), so that the mesh has the outline that the landmarks
have; the others by the thin-plate spline on the chart through all of these and the features.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lddmmlib.faces.geometry import contour, head, patches
from lddmmlib.faces.geometry.head import rows
from lddmmlib.faces.geometry.patches import along

REGIONS = ("skin", "back", "eye", "mouth", "ear", "neck")
# Along the ring: the jaw from ear to ear, then back along the crown; below, angles of its slices to front and back.
RING = [("jaw", i / 32) for i in range(33)] + [("crown", i / 24) for i in range(23, 0, -1)]
FRONT = (0.0, 0.12, 0.25, 0.4, 0.55, 0.7)
FARTHER = (0.85, 1.0, contour.LIMIT)  # further angles, used where no feature is near
BACK = (-1.45, -1.2, -0.9, -0.6, -0.3)
# Number of samples of each curve that are vertices of the skin; corners shared by two edges are sampled once.
LINES = {
    "left_eye_upper": 17, "right_eye_upper": 17, "left_eye_lower": 17, "right_eye_lower": 17, "inner_lip_upper": 17,
    "inner_lip_lower": 17, "outer_lip_upper": 19, "outer_lip_lower": 19, "nose_bridge": 7, "nose_outline": 17,
    "left_brow": 7, "right_brow": 7,
}  # fmt: skip
CLEARANCE = 0.09
GIVE = 1e-3  # smoothing at the features, which were placed by hand
HOLES = ("left_eye", "right_eye", "inner_lip")


class Mesh(NamedTuple):
    """The mesh: weights (v, rows), constant (v, 3), triangles (f, 3), region (f,) of `REGIONS`, chart (v, 2)."""

    weights: Tensor
    constant: Tensor
    triangles: Tensor
    region: Tensor
    chart: Tensor


def ring_rows(name: str, t: Tensor, s: float, count: int) -> Tensor:
    """The points of `contour.slice_point` as weights of the knots: slices at t (k,) of "jaw" or "crown", angle s."""
    side = rows(f"{name}_front", t, count) * max(np.sin(s), 0) - rows(f"{name}_back", t, count) * min(np.sin(s), 0)
    return rows(name, t, count) + (np.cos(s) - 1) * rows(f"{name}_out", t, count) + side


def unrolled(s: float) -> float:
    """The factor of L on the chart: a point of a slice is at (P - L) + unrolled(s) L.

    Near the rim it is linear in the angle instead of its cosine.
    """
    return float(np.cos(s) if s > FRONT[-1] else np.cos(FRONT[-1]) + 0.9 * (FRONT[-1] - s))


def thin_plate(controls: Tensor, at: Tensor, give: Tensor | float = 0.0) -> Tensor:
    """Weights (k, n) of a thin-plate spline: values at the positions `at` (k, 2) = weights @ values at controls (n, 2).

    give: the smoothing at each control. At 0 the spline interpolates; above 0 it may miss the control in order to bend
    less.
    """

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        r2 = (a[:, None] - b).square().sum(-1)
        return torch.special.xlogy(r2, r2)

    def affine(x: Tensor) -> Tensor:
        return torch.cat([torch.ones_like(x[:, :1]), x], 1)

    n = len(controls)
    p = affine(controls)
    # The kernel is conditionally positive with this sign: smoothing adds to its diagonal.
    own = kernel(controls, controls) + torch.diag(torch.as_tensor(give).to(p).expand(n))
    system = torch.cat([torch.cat([own, p], 1), torch.cat([p.T, p.new_zeros(3, 3)], 1)])
    right = torch.cat([torch.eye(n, dtype=p.dtype), p.new_zeros(3, n)])
    return torch.cat([kernel(at, controls), affine(at)], 1) @ torch.linalg.solve(system, right)


class Points(NamedTuple):
    """Points of the surface: weights (k, rows) of the knots, and positions (k, 2) on the chart."""

    weights: Tensor
    chart: Tensor


def joined(*points: Points) -> Points:
    """Concatenate sets of points."""
    return Points(torch.cat([p.weights for p in points]), torch.cat([p.chart for p in points]))


def ring(chart: Tensor, s: float) -> Points:
    """The points of all slices of the ring at angle s; chart (rows, 2) holds the chart position of every knot."""
    parts = []
    for name in ("jaw", "crown"):
        t = torch.tensor([t for n, t in RING if n == name], dtype=torch.float64)
        place, out = (rows(n, t, len(chart)) @ chart for n in (name, f"{name}_out"))
        parts.append(Points(ring_rows(name, t, s, len(chart)), place + (unrolled(s) - 1) * out))
    return joined(*parts)


def lines(chart: Tensor) -> Points:
    """The samples of the curves on the skin."""
    parts = []
    for name, n in LINES.items():
        t = along(n)
        if name.endswith("_lower"):
            t = t[1:-1]  # the corners belong to the upper edge
        weights = rows(name, t, len(chart))
        parts.append(Points(weights, weights @ chart))
    return joined(*parts)


def skin(chart: Tensor, fill: Tensor) -> Points:
    """All vertices of the skin: the ring from back to front, the curves, and `fill` (k, 2) between them."""
    around = [ring(chart, s) for s in (*BACK, *FRONT)]
    pull, give = controls(chart)
    between = Points(thin_plate(pull.chart, fill, give) @ pull.weights, fill)
    return joined(*around, lines(chart), between)


def controls(chart: Tensor) -> tuple[Points, Tensor]:
    """The points that determine the skin between the curves, and the smoothing (k,) at each of them."""
    drawn, unit = lines(chart), torch.eye(len(chart), dtype=torch.float64)[head.FEATURES]
    features = Points(unit, unit @ chart)
    exact = joined(*(ring(chart, s) for s in FRONT[-2:]), drawn)
    near = joined(*(apart(ring(chart, s), joined(drawn, features)) for s in FARTHER), features)
    give = torch.cat([torch.zeros(len(exact.chart)), torch.full((len(near.chart),), GIVE)])
    return joined(exact, near), give


def apart(points: Points, others: Points) -> Points:
    """The points that are farther than CLEARANCE from all others on the chart."""
    far = torch.cdist(points.chart, others.chart).amin(1) > CLEARANCE
    return Points(points.weights[far], points.chart[far])


def ring_triangles() -> np.ndarray:
    """The triangles between neighbouring angles of the ring."""
    n, levels = len(RING), len(BACK) + len(FRONT)
    i = np.arange(n)
    quads = [(a * n + i, a * n + (i + 1) % n, (a + 1) * n + (i + 1) % n, (a + 1) * n + i) for a in range(levels - 1)]
    quads = np.concatenate([np.stack(q, 1) for q in quads])
    return np.concatenate([quads[:, [0, 2, 1]], quads[:, [0, 3, 2]]])


@cache
def mesh() -> Mesh:
    """The mesh of every face."""
    with np.load(head.FACTS) as file:
        chart, fill, inner = (file[k] for k in ("chart", "fill", "triangles"))
    return assembled(torch.from_numpy(chart).double(), torch.from_numpy(fill).double(), inner.astype(np.int64))


def assembled(chart: Tensor, fill: Tensor, inner: np.ndarray) -> Mesh:
    """The mesh from the chart of the knots (rows, 2), the vertices between them (k, 2) and the triangles of these."""
    n = len(chart)
    face = skin(chart, fill)
    parts = patches.all_patches(n)
    first = np.cumsum([len(face.weights), *(len(p.weights) for p in parts)])
    sides = ring_triangles()
    behind = (sides < len(RING) * len(BACK)).any(1)
    triangles = [sides, inner, *(p.triangles + a for p, a in zip(parts, first, strict=False))]
    kinds = ("eye", "eye", "mouth", "ear", "ear", "neck")
    region = [np.where(behind, 1, 0), np.zeros(len(inner), int)]
    region += [np.full(len(p.triangles), REGIONS.index(k)) for p, k in zip(parts, kinds, strict=True)]
    constant = torch.cat([torch.zeros(len(face.weights), 3, dtype=torch.float64), *(p.constant for p in parts)])
    flat = torch.cat([face.chart, *(p.weights @ chart + p.constant[:, :2] for p in parts)])
    weights = torch.cat([face.weights, *(p.weights for p in parts)])
    numbers = (torch.from_numpy(np.concatenate(x)) for x in (triangles, region))
    return Mesh(weights, constant, *numbers, flat)
