"""Closed forms for kernels, currents and flows, in double precision."""

import math

from scipy.integrate import quad
from scipy.optimize import brentq


def segment_norm2(length, sigma):
    """∫∫ exp(-(s - t)²/σ²) ds dt over [0, length]²: the current of a straight segment, finely divided."""
    u = length / sigma
    return sigma**2 * (math.sqrt(math.pi) * u * math.erf(u) - 1 + math.exp(-u * u))


def single_landmark(x0, p0):
    """Alone, k(x, x) = 1: it moves by its momentum, which stays."""
    return x0 + p0, p0


def constant_parallel_pair(d, alpha, sigma):
    """Two landmarks at distance d with one and the same constant momentum keep it: how far each moves."""
    return alpha * (1 + math.exp(-((d / sigma) ** 2)))


def head_on(d0, p, sigma):
    """Momenta ±p towards each other at distance d0: H = P² (1 - k(d)) is kept, so d' = -2 √(H (1 - k(d))).

    The distance at t = 1, by quadrature of dt = dd / d'.
    """
    H = p * p * gap(d0, sigma)
    return brentq(lambda d: quad(lambda r: 0.5 / math.sqrt(H * gap(r, sigma)), d, d0)[0] - 1, 1e-6 * d0, d0, xtol=1e-14)


def side_by_side(d0, p, sigma):
    """Equal momenta p across their line: p is kept, and H = p² (1 + k) + w² (1 - k) with w their momentum apart.

    So d' = 2 p √((1 - k(d)) (k(d0) - k(d))) and y' = p (1 + k(d)); d = d0 + s² takes away the root's singularity.
    Returns the distance and the way travelled at t = 1.
    """

    def rate(s):  # dt/ds
        rise = s * s * (2 * d0 + s * s)  # d² - d0²
        fall = -math.expm1(-rise / sigma**2) * (1 - gap(d0, sigma)) / (s * s)
        return 1 / (p * math.sqrt(gap(d0 + s * s, sigma) * fall))

    end = brentq(lambda s: quad(rate, 0, s, epsabs=1e-13)[0] - 1, 1e-6, 2 * math.sqrt(sigma), xtol=1e-14)
    way = quad(lambda s: p * (2 - gap(d0 + s * s, sigma)) * rate(s), 0, end, epsabs=1e-13)[0]
    return d0 + end * end, way


def gap(d, sigma):
    """1 - k(d)."""
    return -math.expm1(-((d / sigma) ** 2))


FOLD = math.sqrt(math.e / 2)  # 1 / max |k'| for σ = 1: a lone landmark's largest one-to-one Euler step
