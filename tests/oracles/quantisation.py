"""Closed forms and brute force for heatmaps: what rounding costs, and sums over cells one by one."""

import math


def from_corner(a):
    """Mean distance from a corner to a point drawn uniformly from a square of side a.

    In polar coordinates, twice over half the square: 2/a² ∫_0^{π/4} ∫_0^{a/cos θ} r² dr dθ
    = 2a/3 ∫_0^{π/4} sec³ θ dθ = a (√2 + asinh 1) / 3.
    """
    return a * (math.sqrt(2) + math.asinh(1)) / 3


FLOOR = from_corner(1.0)  # a point of a cell stands as the cell's corner
ROUND = from_corner(0.5)  # as its centre: four squares of half the side, each seen from its corner
QUARTER = from_corner(0.25)  # as the centre of its quarter of the cell


def sampled_mean_error(t, s, lowest, highest):
    """Mean of a Gaussian around t on the whole numbers from lowest to highest, less t: one by one."""
    ks = range(lowest, highest + 1)
    weight = [math.exp(-((k - t) ** 2) / (2 * s * s)) for k in ks]
    return math.fsum(w * (k - t) for w, k in zip(weight, ks, strict=True)) / math.fsum(weight)


def local_soft_argmax(rows, window, tau):
    """C, equations 4 and 5, cell by cell, over a map given as a list of rows; cells outside do not count."""
    top = max(max(row) for row in rows)
    y, x = next((i, j) for i, row in enumerate(rows) for j, h in enumerate(row) if h == top)
    total = mean_x = mean_y = 0.0
    half = window // 2
    for i in range(max(0, y - half), min(len(rows), y + half + 1)):
        for j in range(max(0, x - half), min(len(rows[0]), x + half + 1)):
            weight = math.exp(tau * (rows[i][j] - top))
            total += weight
            mean_x += weight * j
            mean_y += weight * i
    return mean_x / total, mean_y / total
