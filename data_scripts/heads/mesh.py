"""The triangles of the skin: a Delaunay triangulation of the chart, without the openings of eyes and mouth."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lddmmlib.faces.geometry import surface

SPACING = 0.05  # of the vertices between the curves, on the chart


def inside(polygon: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether points (k, 2) lie within a polygon (m, 2): by the parity of crossings."""
    a, b = polygon, np.roll(polygon, -1, 0)
    x, y = points[:, None, 0], points[:, None, 1]
    crossed = (a[:, 1] > y) != (b[:, 1] > y)
    at = a[:, 0] + (y - a[:, 1]) / np.where(crossed, b[:, 1] - a[:, 1], 1) * (b[:, 0] - a[:, 0])
    return (crossed & (x < at)).sum(1) % 2 == 1


def holes(chart: Tensor) -> list[np.ndarray]:
    """The outlines of eyes and mouth on the chart."""
    t = surface.along(17)
    edges = {
        e: {n: (surface.rows(f"{n}_{e}", t, len(chart)) @ chart).numpy() for n in surface.HOLES}
        for e in ("upper", "lower")
    }
    return [np.concatenate([edges["upper"][n], edges["lower"][n][::-1]]) for n in surface.HOLES]


def finer(chart: Tensor) -> np.ndarray:
    """Where the skin bends most, on the right half: rows along the lips, rings around the eyes."""
    left = torch.linspace(0, 0.5, 10, dtype=torch.float64)[1:]
    places = []
    for edge in ("upper", "lower"):
        inner, outer = (
            (surface.rows(f"{lip}_lip_{edge}", left, len(chart)) @ chart).numpy() for lip in ("inner", "outer")
        )
        places += [inner + v * (outer - inner) for v in (0.3, 0.65)]
    eye = holes(chart)[0]
    places += [eye.mean(0) + grow * (eye[::2] - eye.mean(0)) for grow in ([1.2, 1.5], [1.4, 2.1], [1.6, 2.8])]
    places = np.concatenate(places)
    places[:, 0] *= -1
    return places[[np.linalg.norm(places[:i] - p, axis=1).min(initial=1) > 0.012 for i, p in enumerate(places)]]


def fill(chart: Tensor) -> Tensor:
    """Places between the curves, a hexagonal lattice, mirror images of each other."""
    last = surface.ring(chart, surface.FRONT[-1]).chart.numpy()
    step = SPACING * np.sqrt(3) / 2
    rows = [
        (x, y) for i, y in enumerate(np.arange(-1.2, 1.6, step)) for x in SPACING * (np.arange(0, 24) + 0.5 * (i % 2))
    ]
    half = np.array(rows)
    taken = np.concatenate([last, surface.lines(chart).chart.numpy()])
    free = np.linalg.norm(half[:, None] - taken, axis=2).min(1) > 0.6 * SPACING
    free &= inside(last, half + np.array([1e-6, 0])) & ~np.any([inside(h, half) for h in holes(chart)], axis=0)
    close = finer(chart)
    close = close[np.linalg.norm(close[:, None] - taken, axis=2).min(1) > 0.012]
    half = np.concatenate([half[free & (np.linalg.norm(half[:, None] - close, axis=2).min(1) > 0.6 * SPACING)], close])
    half[np.abs(half[:, 0]) < 1e-3, 0] = 0  # in the middle
    return torch.from_numpy(np.concatenate([half, half[half[:, 0] > 0] * [-1, 1]]))


def triangles(chart: Tensor, between: Tensor) -> np.ndarray:
    """(f, 3) indices into the vertices of `surface.skin`, wound alike."""
    from scipy.spatial import Delaunay

    whole = surface.skin(chart, between).chart.numpy()
    start = len(surface.RING) * (len(surface.BACK) + len(surface.FRONT) - 1)  # from the innermost ring on
    points = whole[start:]
    found = Delaunay(points).simplices
    corners = points[found]
    middle = corners.mean(1)
    keep = inside(points[: len(surface.RING)], middle) & ~np.any([inside(h, middle) for h in holes(chart)], axis=0)
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    found = np.where((area < 0)[:, None], found[:, ::-1], found)
    return found[keep & (np.abs(area) > 1e-9)] + start
