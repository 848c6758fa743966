"""The one spline that can be written down: values 1, -1, 1, -1 around a square.

By symmetry ω = a (1, -1, 1, -1), V = 0 and b = 0, and both side conditions hold. In the square's own unit, its corners
at distance 1 from the middle and so a side of √2, the equation at a corner is a (φ(2) - 2 φ(√2) ± λ) = 1.
"""

import math

CORNERS = [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)]  # a square on its tip, around (0, 0)
SIGNS = [1, -1, 1, -1]


def phi(r, order):
    return (r, r * r * math.log(r) if r else 0.0, r**3)[order - 1]


def sign(order):
    return -1 if order == 1 else 1


def weight(order, smoothing=0.0):
    return 1 / (phi(2.0, order) - 2 * phi(math.sqrt(2.0), order) + sign(order) * smoothing)


def value(x, y, order, smoothing=0.0):
    distances = (math.hypot(x - u, y - v) for u, v in CORNERS)
    return weight(order, smoothing) * sum(s * phi(r, order) for s, r in zip(SIGNS, distances, strict=True))


def energy(order, smoothing=0.0):
    """± ωᵀ Φ ω, where Φ ω is the value at the corners."""
    return sign(order) * 4 * weight(order, smoothing) * value(1.0, 0.0, order, smoothing)
