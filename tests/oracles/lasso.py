"""The lasso by closed forms and by a quadratic program."""

import numpy as np
from scipy.optimize import minimize


def soft_threshold(x, lam):
    """Orthonormal X: h_j = sign(x_j) max(|x_j| - λ, 0), x = Xᵀy."""
    return np.sign(x) * np.maximum(np.abs(x) - lam, 0)


def violation(gram, xy, lam, h):
    """How far h is from optimal: c_j = λ sign(h_j) where h_j ≠ 0, |c_j| ≤ λ elsewhere; c = Xᵀy - G h."""
    c = xy - gram @ h
    return np.where(h != 0, np.abs(c - lam * np.sign(h)), np.maximum(np.abs(c) - lam, 0)).max()


def budget(gram, xy, tau):
    """min ½ hᵀG h - h·Xᵀy, h = u - v, u, v ≥ 0, Σ(u + v) ≤ τ, by sequential quadratic programming."""
    p, unit = len(xy), np.abs(gram).max()
    gram, xy = gram / unit, xy / unit

    def value(w):
        h = w[:p] - w[p:]
        slope = gram @ h - xy
        return 0.5 * h @ (slope - xy), np.concatenate([slope, -slope])

    room = {"type": "ineq", "fun": lambda w: tau - w.sum(), "jac": lambda w: -np.ones(2 * p)}
    found = minimize(value, np.full(2 * p, min(tau, 1.0) / (4 * p)), jac=True, bounds=[(0, None)] * (2 * p),
                     constraints=room, method="SLSQP", options={"maxiter": 500, "ftol": 1e-13})  # fmt: skip
    assert found.success or found.status == 8, found.message  # 8: no step goes down any further
    return found.x[:p] - found.x[p:]
