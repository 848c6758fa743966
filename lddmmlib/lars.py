"""Least angle regression: the whole path of the lasso, and the solution under a budget for |h|₁.

For a target y and p regressors, the columns of X, the lasso of multiplier λ is

    min over h of  ½ |y - X h|² + λ |h|₁,      optimal exactly where  c = Xᵀ(y - X h)  has
    c_j = λ sign(h_j)  on the active set  A = {j : h_j ≠ 0},   |c_j| ≤ λ  elsewhere.

While A and its signs s stay what they are, the solution is a straight line in λ,

    h_A(λ) = u - λ d,   u = G_AA⁻¹ (Xᵀy)_A,   d = G_AA⁻¹ s,        c_j(λ) = r_j + λ a_j  off A,
    r = Xᵀy - G_·A u,   a = G_·A d,

from one *knot* to the next: the largest λ below at which some |c_j| reaches λ, and j joins, or some h_j reaches
0, and j drops. `path` follows it from λ = |Xᵀy|_∞, where h = 0, down to 0, where h is a least squares solution.

All of it needs G = XᵀX and Xᵀy alone. Rows that share h need not be stacked either: the Grams of two sets of rows
add up, and so do their Xᵀy. Targets that share X share the Gram.

Two rules decide a step without any tolerance for "just joined" or "just dropped": going down in λ, |c_j| can reach λ
on the side σ only if 1 - σ a_j > 0, and h_j can reach 0 only if s_j d_j < 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._engine.sweep import PIVOT, STOP, follow
from lddmmlib._shapes import Float


class Path(NamedTuple):
    """lambdas (k,) falling, coefs (k, p); of t targets (k, t) and (k, p, t), NaN after a target's own n_knots (t,)."""

    lambdas: Tensor
    coefs: Tensor
    n_knots: int | Tensor


class Solution(NamedTuple):
    """coefs (p,) or (p, t); per target the multiplier lambdas and the knots passed n_iter.

    residual: the duality gap (|c|_∞ - c·h / τ) / |Xᵀy|_∞, which is 0 exactly at a solution, the worst of all
    targets; converged: it is at most 1e-7 (in single precision 1e-4).
    """

    coefs: Tensor
    lambdas: Tensor
    n_iter: int | Tensor
    residual: float
    converged: bool


@_checks.full_precision
def path(gram: Float[Tensor, "p p"], xy: Float[Tensor, "p ..."]) -> Path:
    """The lasso path, min over h of ½ |y - X h|² + λ |h|₁ at each of its knots, of all targets in lock-step.

    gram: XᵀX (p, p); xy: Xᵀy (p,), or XᵀY (p, t) for t targets; both in the unit of X squared. In single
    precision it works in double and returns single. A column that is zero, or that the active ones explain to
    within 1e-10 of its square (duplicates; all that join after the first n where p > n), waits outside with h = 0.

    Returns a Path. The first knot is λ = |Xᵀy|_∞ with h = 0, the last λ = 0; a variable just dropped is exactly 0.
    Raises ValueError for an invalid Gram matrix (shape, NaN, asymmetric, G_ij² > G_ii G_jj), for an xy of
    another length, NaN, or not 0 where the Gram's diagonal is; RuntimeError where ties let a path turn in a circle.

    Efron et al., Annals of Statistics 32, 2004, with the lasso modification of section 3.1; paper B, section 3.2.2.

    >>> path(torch.eye(2), torch.tensor([3.0, -1.0])).coefs.tolist()  # orthonormal: the soft threshold
    [[0.0, 0.0], [2.0, 0.0], [3.0, -1.0]]
    """
    _check(gram, xy)
    columns = xy.reshape(len(xy), -1)
    lambdas, coefs, n_knots = follow(gram, columns)
    if xy.ndim == 1:
        return Path(lambdas[:, 0], coefs[:, :, 0], int(n_knots[0]))
    return Path(lambdas, coefs, n_knots)


@_checks.full_precision
def budget(gram: Float[Tensor, "p p"], xy: Float[Tensor, "p ..."], tau: float | Tensor) -> Solution:
    """The lasso with its budget as a constraint:  min over h of ½ |y - X h|²  subject to  |h|₁ ≤ τ.

    Along the path |h|₁ grows, linearly between two knots: the answer lies inside the segment in which it reaches
    τ, or at the path's end if it never does. gram, xy: as in `path`. tau: a number ≥ 0, inf for least squares, or one
    per target (t,). Returns a Solution; raises what `path` does and ValueError for a τ < 0, NaN or of another shape.
    Paper B, equations 7 and 14.

    >>> budget(torch.eye(2), torch.tensor([3.0, -1.0]), 3.0).coefs.tolist()
    [2.5, -0.5]
    """
    _check(gram, xy)
    columns = xy.reshape(len(xy), -1)
    limit = _budgets(tau, columns)
    lambdas, coefs, n_knots = follow(gram, columns, limit)
    last, each = n_knots - 1, torch.arange(columns.shape[1], device=xy.device)
    before = (last - 1).clamp(min=0)
    h, low = coefs[last, :, each], coefs[before, :, each]  # (t, p): the two ends of the segment
    reach, start = h.abs().sum(1), low.abs().sum(1)
    over = reach > limit
    u = torch.where(over, (limit - start) / (reach - start), 1.0)  # signs are constant inside: |h|₁ is linear
    h = torch.lerp(low, h, u[:, None])
    lam = torch.lerp(lambdas[before, each], lambdas[last, each], u)
    residual = _gap(gram, columns, h, limit)
    converged = residual <= (1e-4 if gram.dtype == torch.float32 else 1e-7)
    if xy.ndim == 1:
        return Solution(h[0], lam[0], int(last[0]), residual, converged)
    return Solution(h.T, lam, last, residual, converged)


@_checks.full_precision
def path_by_solving(gram: Float[Tensor, "p p"], xy: Float[Tensor, " p"]) -> Path:
    """`path` of one target as it reads: at each knot solve on the active set, list the events, take the next.

    The sweep in `path` carries the inverse from knot to knot instead; a test says that they agree.

    >>> path_by_solving(torch.eye(2), torch.tensor([3.0, -1.0])).lambdas.tolist()
    [3.0, 1.0, 0.0]
    """
    _check(gram, xy)
    gram, xy = gram.detach(), xy.detach()
    signs: dict[int, float] = {}  # the active set A, in the order of joining
    lambdas, coefs = [], []
    while not lambdas or lambdas[-1] > 0:
        on = list(signs)
        s = gram.new_tensor(list(signs.values()))
        inner = gram[on][:, on]
        u, d = torch.linalg.solve(inner, xy[on]), torch.linalg.solve(inner, s)
        r, a = xy - gram[:, on] @ u, gram[:, on] @ d
        left = gram.diagonal() - (gram[:, on].T * torch.linalg.solve(inner, gram[on])).sum(0)  # Schur complements
        off = [j for j in range(len(xy)) if j not in signs and left[j] > PIVOT * gram[j, j]]
        joins = [(sign * r[j] / (1 - sign * a[j]), j, sign) for j in off for sign in (1, -1) if 1 - sign * a[j] > 0]
        drops = [(u[i] / d[i], j, 0) for i, j in enumerate(on) if s[i] * d[i] < 0]
        lam, j, sign = max(joins + drops, default=(0.0, 0, 0))
        lam = float(lam) if not lambdas else min(float(lam), lambdas[-1])
        lam = lam if lam > STOP * (lambdas or [lam])[0] else 0.0
        h = torch.zeros_like(xy)
        h[on] = u - lam * d
        if lam > 0 and sign:
            signs[j] = sign
        elif lam > 0:
            h[j] = 0.0
            del signs[j]
        lambdas.append(lam)
        coefs.append(h)
    return Path(gram.new_tensor(lambdas), torch.stack(coefs), len(lambdas))


def _gap(gram: Tensor, xy: Tensor, h: Tensor, tau: Tensor) -> float:
    """The worst (|c|_∞ - c·h / τ) / |Xᵀy|_∞ of all targets; h (t, p)."""
    c = xy.T - h @ gram
    along = torch.where(tau > 0, (c * h).sum(1) / tau, c.abs().amax(1))  # τ = 0 leaves nothing to choose
    return ((c.abs().amax(1) - along) / xy.abs().amax(0)).nan_to_num(0.0).max().item()  # 0/0: h = 0 is exact


def _budgets(tau: float | Tensor, columns: Tensor) -> Tensor:
    """tau as one finite or infinite budget per target (t,)."""
    if isinstance(tau, Tensor):
        (_checks.floats if tau.is_floating_point() else _checks.tensor)(tau, "tau")
    try:
        limit = torch.as_tensor(tau, dtype=columns.dtype, device=columns.device)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"tau: needed a number or one per target, got {_checks.said(tau)}") from None
    if limit.ndim > 1 or (limit.ndim and len(limit) != columns.shape[1]):
        raise ValueError(f"tau: needed a number or one per target, ({columns.shape[1]},), got {tuple(limit.shape)}")
    if not (limit >= 0).all():
        raise ValueError(f"tau: needed budgets >= 0 for |h|₁ (inf for none), got {limit.tolist()}")
    return limit.expand(columns.shape[1])


def _check(gram: Tensor, xy: Tensor) -> None:
    """Refuse what is not XᵀX and Xᵀy of some X and y."""
    _checks.floats(gram, "gram")
    _checks.floats(xy, "xy")
    if (gram.dtype, gram.device) != (xy.dtype, xy.device):
        got = f"{gram.dtype} on {gram.device} and {xy.dtype} on {xy.device}"
        raise ValueError(f"gram, xy: needed one floating dtype and one device, got {got}; use xy.to(gram)")
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or not len(gram):
        raise ValueError(f"gram: needed X.T @ X, (p, p), got {tuple(gram.shape)}; give the Gram, not X")
    if xy.ndim not in (1, 2) or len(xy) != len(gram) or not xy.numel():
        wanted = f"X.T @ y, ({len(gram)},), or X.T @ Y, ({len(gram)}, t)"
        raise ValueError(f"xy: needed {wanted}; got {tuple(xy.shape)}")
    for name, x in (("gram", gram), ("xy", xy)):
        _checks.finite(x, name, "leave such rows out")
    size, eps = gram.diagonal(), torch.finfo(gram.dtype).eps ** 0.5
    if (gram - gram.T).abs().max() > eps * size.abs().max():
        raise ValueError("gram: needed a symmetric matrix, got gram != gram.T; is it X.T @ X?")
    if (size < 0).any() or (gram.square() > (1 + eps) * size * size[:, None]).any():
        raise ValueError("gram: needed G_jj >= 0 and G_ij² <= G_ii G_jj, got others; is it X.T @ X?")
    idle = size == 0
    if (xy[idle] != 0).any():
        j = int((xy[idle].reshape(int(idle.sum()), -1) != 0).any(1).nonzero()[0])
        where = int(idle.nonzero()[j])
        raise ValueError(f"xy: needed 0 for variable {where}, whose column of X is 0 by the Gram; got another X?")
