"""The tools of the painters: masks of exact area coverage, strokes, soft edges, layers, noise.

A canvas is an array (h, w, 3) of linear values in [0, 1], red green blue, painted on in place. Points are float64
(n, 2), px, pixel centres at integers. A mask holds its region of interest; nothing outside the region is touched.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from lddmmlib import _checks

Array = np.ndarray


class Mask(NamedTuple):
    """Coverage in [0, 1] of the region of interest `at` of a canvas."""

    value: Array  #: (rows, columns) of the region
    at: tuple[slice, slice]


SUB = 8  # strips a pixel


def fill(outline: Array, size: tuple[int, int], soft: float = 0.0) -> Mask:
    """The share of every pixel inside a closed polygon (n, 2), or inside any of (k, n, 2); blurred by `soft` px.

    By Green's theorem: a piece of the outline that rises by dy at x adds dy to all pixels to the right of x, and to
    its own pixel the share of it that lies to the right of x; one that descends subtracts the same. Pieces are cut at
    every eighth of a pixel in y, where x is exact, so that areas are exact.

    >>> square = np.array([[0.5, 0.5], [2.5, 0.5], [2.5, 1.75], [0.5, 1.75]])
    >>> fill(square, (4, 4)).value[:3].tolist()
    [[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, 0.25, 0.25, 0.0]]
    """
    following = np.concatenate([outline[..., 1:, :], outline[..., :1, :]], -2).reshape(-1, 2)
    p = outline.reshape(-1, 2)
    at = _region(p, size, soft)
    (y0, x0), (rows, columns) = (s.start for s in at), (s.stop - s.start for s in at)
    if rows == 0 or columns == 0:
        return Mask(np.zeros((rows, columns), np.float32), at)
    (px, py), (qx, qy) = ((v * (1, SUB) + (0.5 - x0, (0.5 - y0) * SUB)).T for v in (p, following))  # y in strips
    slope = (qx - px) / np.where(qy == py, 1, qy - py)
    low = np.minimum(np.maximum(np.minimum(py, qy), 0), rows * SUB)
    high = np.minimum(np.maximum(np.maximum(py, qy), 0), rows * SUB)
    first = low.astype(int)
    count = np.ceil(high).astype(int) - first
    i = np.repeat(np.arange(len(p)), count)
    strip = np.arange(len(i)) + (first - np.cumsum(count) + count)[i]
    start, stop = np.maximum(low[i], strip), np.minimum(high[i], strip + 1)
    x = px[i] + ((start + stop) / 2 - py[i]) * slope[i]
    x = np.minimum(np.maximum(x, 0), columns)
    climb = (stop - start) * np.where(qy > py, 1 / SUB, -1 / SUB)[i]
    cell = x.astype(int)
    right = climb * (x - cell)
    cell += strip // SUB * (columns + 2)
    n = rows * (columns + 2)
    steps = np.bincount(cell, climb - right, n) + np.bincount(cell + 1, right, n)
    area = np.abs(steps.reshape(rows, -1).cumsum(1)[:, :columns])
    return Mask(blur(np.minimum(area, 1).astype(np.float32), soft), at)


def _region(points: Array, size: tuple[int, int], soft: float) -> tuple[slice, slice]:
    """The part of the canvas that a blurred polygon can touch."""
    pad, (h, w) = 1.5 + 3 * soft, size
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    y0, y1 = (int(min(max(v, 0), h)) for v in (top - pad, bottom + pad + 1))
    x0, x1 = (int(min(max(v, 0), w)) for v in (left - pad, right + pad + 1))
    return slice(y0, y1), slice(x0, x1)


def stroke(line: Array, width: float | Array, size: tuple[int, int], soft: float = 0.0) -> Mask:
    """A brush stroke along an open line (n, 2), or along each of (k, n, 2); `width` px, one for all points or one each.

    >>> round(float(stroke(np.array([[1.0, 2.0], [6.0, 2.0]]), 0.5, (5, 8)).value.sum()), 3)
    2.5
    """
    return fill(band(line, width), size, soft)


def band(line: Array, width: float | Array) -> Array:
    """The outline of a band of the given full width along an open line, or along each of several lines."""
    along = np.concatenate([line[..., 1:, :], line[..., -1:, :]], -2)
    along[..., 1:, :] -= line[..., :-1, :]
    along[..., 0, :] -= line[..., 0, :]
    along /= np.sqrt((along * along).sum(-1, keepdims=True)) + 1e-12
    off = along[..., ::-1] * ((-0.5, 0.5) * np.broadcast_to(np.asarray(width, float)[..., None], (line.shape[-2], 1)))
    return np.concatenate([line + off, (line - off)[..., ::-1, :]], -2)


class Canvas:
    """A picture (h, w, 3) that is painted on in place."""

    def __init__(self, size: tuple[int, int], colour: float | Array) -> None:
        self.size = size
        self.image = np.empty((*size, 3), np.float32)
        self.image[:] = colour

    def copy(self) -> Canvas:
        """An independent copy of the canvas."""
        return Canvas(self.size, self.image)

    def paint(self, mask: Mask, colour: Array, alpha: float = 1.0) -> None:
        """Blend `colour` (3,) or (h, w, 3) over the picture."""
        here = self.image[mask.at]
        colour = np.asarray(colour, np.float32)
        colour = colour[mask.at] if colour.ndim == 3 else colour
        here += (mask.value * np.float32(alpha))[..., None] * (colour - here)

    def tint(self, mask: Mask, factor: float | Array, alpha: float = 1.0) -> None:
        """Multiply the picture by `factor` (3,) or a number: a shadow, a blush."""
        factor = np.broadcast_to(np.asarray(factor, np.float32), 3)
        self.image[mask.at] *= 1 + (mask.value * np.float32(alpha))[..., None] * (factor - 1)


def within(mask: Mask, other: Mask) -> Mask:
    """The part of `mask` inside `other`; `other` covers the whole canvas or at least the region of `mask`."""
    (rows, columns), (r, c) = mask.at, other.at
    low, high = (
        (max(rows.start, r.start), max(columns.start, c.start)),
        (min(rows.stop, r.stop), min(columns.stop, c.stop)),
    )
    at = tuple(slice(a, max(a, b)) for a, b in zip(low, high, strict=True))
    return Mask(mask.value[_inside(at, mask.at)] * other.value[_inside(at, other.at)], at)


def _inside(at: tuple[slice, slice], frame: tuple[slice, slice]) -> tuple[slice, ...]:
    return tuple(slice(a.start - f.start, a.stop - f.start) for a, f in zip(at, frame, strict=True))


def joined(masks: list[Mask]) -> Mask:
    """The union of several masks, on the smallest region."""
    at = tuple(slice(min(m.at[i].start for m in masks), max(m.at[i].stop for m in masks)) for i in (0, 1))
    whole = np.zeros(tuple(s.stop - s.start for s in at), np.float32)
    for mask in masks:
        here = whole[_inside(mask.at, at)]
        np.maximum(here, mask.value, out=here)
    return Mask(whole, at)


def union(masks: list[Mask], size: tuple[int, int]) -> Array:
    """The union of several masks, on the whole canvas."""
    whole = np.zeros(size, np.float32)
    for mask in masks:
        np.maximum(whole[mask.at], mask.value, out=whole[mask.at])
    return whole


def blob(centre: Array, axes: Array, size: tuple[int, int]) -> Mask:
    """A soft spot exp(-|u|^2), where u are the coordinates along two vectors (2, 2), px, one a row."""
    h, w = size
    reach = 2.3 * np.abs(axes).sum(0)
    x0, y0 = np.clip(np.floor(centre - reach).astype(int), 0, (w, h))
    x1, y1 = np.clip(np.ceil(centre + reach).astype(int) + 1, 0, (w, h))
    x, y = np.arange(x0, x1) - centre[0], np.arange(y0, y1)[:, None] - centre[1]
    (a, b), (c, d) = np.linalg.inv(axes + 1e-9)
    u2 = (a * x + c * y) ** 2 + (b * x + d * y) ** 2
    return Mask(np.exp(-u2).astype(np.float32), (slice(y0, y1), slice(x0, x1)))


def blur(image: Array, sigma: float) -> Array:
    """Blur by a Gaussian with a standard deviation of `sigma` px."""
    cv2 = _checks.optional("cv2")

    if sigma < 0.1 or image.size == 0:
        return image
    return cv2.GaussianBlur(image, (0, 0), float(sigma), borderType=cv2.BORDER_REPLICATE)


def resize(image: Array, size: tuple[int, int], smooth: bool = True) -> Array:
    """Resample the picture to another size."""
    cv2 = _checks.optional("cv2")

    if image.shape[:2] == size:
        return image
    down = size[0] < image.shape[0]
    how = cv2.INTER_AREA if down else cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR
    return cv2.resize(image, size[::-1], interpolation=how)


def noise(rng: np.random.Generator, cells: float, size: tuple[int, int]) -> Array:
    """Smooth noise of unit variance with `cells` bumps across the canvas, for every size of the canvas."""
    n = max(round(cells), 2)
    lattice = rng.standard_normal((n, n), dtype=np.float32)
    return resize(lattice, size)


@cache
def _unit_circle(n: int) -> Array:
    t = np.arange(n) * (2 * np.pi / n)
    return np.stack([np.cos(t), np.sin(t)], 1)


def ellipse(centre: Array, axes: Array, n: int = 24) -> Array:
    """The outline of an ellipse with half axes (2, 2), px, one a row."""
    return centre + _unit_circle(n) @ axes


SQUARE = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


def turned(angle: float, radius: float) -> Array:
    """Two orthogonal axes, one a row, of length `radius`."""
    c, s = radius * np.cos(angle), radius * np.sin(angle)
    return np.array([[c, s], [-s, c]])


def pebble(rng: np.random.Generator, axes: Array, wobble: float) -> Array:
    """The outline of an irregular blob about the origin."""
    return smooth((1 + wobble * rng.standard_normal((8, 1))) * (_unit_circle(8) @ axes))


def smooth(points: Array, closed: bool = True, per: int = 6) -> Array:
    """The Catmull-Rom curve through points (..., n, 2), with `per` samples a segment."""
    return _catmull_rom(points.shape[-2], closed, per) @ points


@cache
def _catmull_rom(n: int, closed: bool, per: int) -> Array:
    t = np.arange(per)[:, None] / per
    weights = (
        np.concatenate([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], 1) / 2
    )
    pieces = n if closed else n - 1
    rows = np.zeros((pieces * per + (not closed), n))
    for piece in range(pieces):
        for k in range(4):
            j = piece - 1 + k
            rows[piece * per : (piece + 1) * per, j % n if closed else min(max(j, 0), n - 1)] += weights[:, k]
    if not closed:
        rows[-1, -1] = 1
    return rows
