"""Optimal transport by definition: plans as matrices, a linear program, the plain Sinkhorn iteration."""

import numpy as np
from scipy.optimize import linprog


def costs(h, w, p=1):
    """C (h w, h w), the distance between two pixels to the power p."""
    y, x = np.divmod(np.arange(h * w), w)
    return np.hypot(x[:, None] - x, y[:, None] - y) ** p


def exact(u, v, p=1):
    """min ⟨C, π⟩ over π ≥ 0 with rows that sum to u and columns that sum to v."""
    n, C = u.size, costs(*u.shape, p)
    sums = np.concatenate([np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n))])
    found = linprog(C.ravel(), A_eq=sums, b_eq=np.concatenate([u.ravel(), v.ravel()]), method="highs")
    assert found.success, found.message
    return found.fun


def plan(f, g, u, v, eps, p=1):
    """π = u v exp((f + g - C)/ε), a matrix."""
    f, g, C = f.reshape(-1, 1), g.reshape(1, -1), costs(*u.shape, p)
    return u.reshape(-1, 1) * v.reshape(1, -1) * np.exp((f + g - C) / eps)


def entropic(u, v, eps, p=1, n_iter=5000):
    """⟨C, π⟩ + ε KL(π | u ⊗ v) and ⟨C, π⟩, by a = 1 / K(v b), b = 1 / K(u a); u, v > 0."""
    C, shape = costs(*u.shape, p), u.shape
    K, u, v = np.exp(-C / eps), u.ravel(), v.ravel()
    b = np.ones_like(v)
    for _ in range(n_iter):
        a = 1 / (K @ (v * b))
        b = 1 / (K.T @ (u * a))
    pi = plan(eps * np.log(a), eps * np.log(b), u.reshape(shape), v.reshape(shape), eps, p)
    product = u[:, None] * v
    return (pi * C).sum() + eps * (pi * np.log(pi / product) - pi + product).sum(), (pi * C).sum()
