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

import numpy as np
import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Float

Array = Tensor | np.ndarray
STOP = 1e-12  # the path ends where λ falls below this share of its first value
DELICATE = 1e-5  # a join below this share costs six digits: from then on each knot is refined,
RENEW = 16  # and the tableau renewed once in so many knots
PIVOT = 1e-10  # a column joins only if the others explain less than 1 - PIVOT of its square


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
    Raises ValueError for a Gram that is none (shape, NaN, asymmetric, G_ij² > G_ii G_jj), for an xy of
    another length, NaN, or not 0 where the Gram's diagonal is; RuntimeError where ties let a path turn in a circle.

    Efron et al., Annals of Statistics 32, 2004, with the lasso modification of section 3.1; paper B, section 3.2.2.

    >>> path(torch.eye(2), torch.tensor([3.0, -1.0])).coefs.tolist()  # orthonormal: the soft threshold
    [[0.0, 0.0], [2.0, 0.0], [3.0, -1.0]]
    """
    _check(gram, xy)
    columns = xy.reshape(len(xy), -1)
    lambdas, coefs, n_knots = _follow(gram, columns)
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
    lambdas, coefs, n_knots = _follow(gram, columns, limit)
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


def _follow(gram: Tensor, xy: Tensor, tau: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """All knots of all targets (p, t), each until |h|₁ ≥ tau: lambdas (k, t), coefs (k, p, t), n_knots (t,)."""
    pivot = PIVOT if gram.dtype == torch.float64 else 1e-5  # a Gram in single precision is not known better
    sweep = _Sweep(gram.detach().double(), xy.detach().double().T, pivot)
    running, knots, most = torch.arange(xy.shape[1], device=xy.device), [], 50 * len(xy) + 50
    limit = torch.inf if tau is None else sweep.array(tau.double())
    with np.errstate(divide="ignore", invalid="ignore"):  # of quotients that are not asked for
        while True:
            lam, h = sweep.knot()
            knots.append((running, lam, h))
            goes_on = lam > 0 if tau is None else (lam > 0) & (abs(h).sum(-1) < limit)
            if not goes_on.all():
                if not goes_on.any():
                    break
                running, limit = running[goes_on], limit if tau is None else limit[goes_on]
                sweep.keep(goes_on)
            sweep.pivot()
            if len(knots) > most:
                raise RuntimeError(f"path: {len(knots)} knots and no end: tied columns; change one of them a little")
    return _padded(knots, xy)


def _padded(knots: list[tuple], xy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Per step (which targets, λ, h) as tensors, NaN where a target has ended."""
    (p, t), (targets, lam, h) = xy.shape, zip(*knots, strict=True)
    join = np.concatenate if isinstance(h[0], np.ndarray) else torch.concatenate
    lambdas = torch.as_tensor(join([x.reshape(-1) for x in lam])).to(xy)
    coefs = torch.as_tensor(join([x.reshape(-1, p) for x in h])).to(xy)
    if targets[-1] is not targets[0]:
        each, step = torch.cat(targets), torch.tensor([k for k, x in enumerate(targets) for _ in range(len(x))])
        lambdas = xy.new_full((len(knots), t), torch.nan).index_put_((step.to(each), each), lambdas)
        coefs = xy.new_full((len(knots), t, p), torch.nan).index_put_((step.to(each), each), coefs)
    lambdas = lambdas.reshape(-1, t)
    return lambdas, coefs.reshape(-1, t, p).mT, (~lambdas.isnan()).sum(0)


class _Sweep:
    """Where t targets stand on their paths. Each has a symmetric tableau, the Gram swept on its active set A:

        on A  -G_AA⁻¹,   between A and the others  G_AA⁻¹ G_A·,   on the others the Schur complement,

    so that one product with s and Xᵀy, both 0 off A, gives -d and -u on A, a and G_·A u off A, while its diagonal
    says which columns are left to join. A join or a drop of k is one update of rank 1 (Beaton's sweep operator).

    It is written in what NumPy and PyTorch have in common. One target alone has no axis of targets and lives in NumPy,
    whose calls cost a third of PyTorch's; several live in PyTorch, as does whatever is on another device.
    """

    def __init__(self, gram: Tensor, xy: Tensor, pivot: float):
        one, zero, least = torch.ones_like(xy), torch.zeros_like(xy), pivot * gram.diagonal().expand_as(xy)
        # What is known of a variable: s, Xᵀy (0 off A); 1, Xᵀy (0 on A); sides to meet λ on; the least pivot to join.
        joined = [torch.stack([s * one, xy, zero, zero, -s * one, zero, zero - torch.inf], 1) for s in (1, -1)]
        off = torch.stack([zero, zero, one, xy, one, -one, least], 1)  # (t, 7, p)
        alone = len(xy) == 1 and xy.device.type == "cpu"
        self.xp = np if alone else torch
        self.array = (lambda x: x[0].numpy()) if alone else torch.as_tensor
        self.state, self.kinds = self.array(off.clone()), [self.array(x) for x in (*joined, off)]
        self.kinds = self.xp.stack(self.kinds)  # on A with s = 1, with s = -1; off A
        self.tensor = gram.expand(len(xy), *gram.shape).clone()
        self.gram, self.delicate = (gram.numpy() if alone else gram), 0
        self.size = self.gram.diagonal()
        self.table = self.array(self.tensor)  # the same memory
        self.each = () if alone else (torch.arange(len(xy), device=xy.device),)
        self.lam, self.stop = self.array(torch.full_like(xy[:, 0], torch.inf)), self.array(STOP * xy.abs().amax(1))

    def knot(self) -> tuple[Array, Array]:
        """The next knot, λ (t,) and h (t, p)."""
        xp, state, p = self.xp, self.state, self.table.shape[-1]
        ab = state[..., :2, :] @ self.table
        ab = self._refined(ab) if self.delicate else ab
        a, b, sides = ab[..., 0, :], ab[..., 1, :], state[..., 4:6, :]
        left = self.table.diagonal(0, -2, -1) > state[..., 6, :]
        # Off A: (σ r) / (1 - σ a) for σ = 1 and -1. On A the same line reads s u / (s d), the λ at which h_j is 0.
        above = sides * (state[..., 3, :] - b)[..., None, :]
        below = state[..., 2:3, :] - sides * a[..., None, :]
        at = xp.where((below > 0) & left[..., None, :], above / below, -1.0).reshape(*left.shape[:-1], 2 * p)
        self.event = at.argmax(-1)
        highest = at[*self.each, self.event]
        goes_on = highest > self.stop
        self.lam = xp.where(goes_on, xp.minimum(highest, self.lam), 0.0)
        edge = xp.where(goes_on, highest, xp.inf)[..., None]
        stays = (state[..., 0, :] != 0) & (at[..., :p] < edge)  # who drops is exactly 0
        return self.lam, xp.where(stays, self.lam[..., None] * a - b, 0.0)

    def _refined(self, ab: Array, rounds: int = 2) -> Array:
        """(a, b) by the Gram itself, the tableau only correcting what is left of (s, Xᵀy) on A."""
        on, right = self.state[..., :1, :] != 0, self.state[..., :2, :]
        v = -ab * on
        for _ in range(rounds):
            v = v - ((right - v @ self.gram) * on) @ self.table * on
        return self.xp.where(on, -v, v @ self.gram)

    def pivot(self) -> None:
        """Sweep each tableau on its variable of the last knot, which so joins or drops."""
        i, p = self.each, self.table.shape[-1]
        k, side = self.event % p, self.event // p  # 0 where c_k = λ, 1 where c_k = -λ
        row = self.table[*i, k] + 0.0
        pivot = row[*i, k]
        new = row / pivot[..., None]
        self.tensor.addcmul_(torch.as_tensor(row[..., None]), torch.as_tensor(new[..., None, :]), value=-1)
        joins = pivot > 0  # off A it is a Schur complement, on A minus the diagonal of an inverse
        new = self.xp.where(joins[..., None], new, -new)
        new[*i, k] = -1 / pivot
        self.table[*i, k] = new
        self.table[*i, :, k] = new
        self.state[*i, :, k] = self.kinds[self.xp.where(joins, side, 2), *i, :, k]
        self.delicate += int(self.delicate > 0 or (joins & (pivot < DELICATE * self.size[k])).any())
        if self.delicate % RENEW == 1:
            self._renew()

    def _renew(self) -> None:
        """The tableaus anew from the Gram and the active sets, without the rounding of all updates before."""
        gram, on = torch.as_tensor(self.gram), torch.as_tensor(self.state[..., 0, :] != 0)
        rows, columns = on[..., :, None], on[..., None, :]
        one = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        factor = torch.linalg.cholesky(torch.where(rows & columns, gram, one))
        half = torch.linalg.solve_triangular(factor, gram * rows, upper=False)  # its square is what A explains
        beside = torch.linalg.solve_triangular(factor.mT, half, upper=True)
        off = torch.where(rows, beside, torch.where(columns, beside.mT, gram - half.mT @ half))
        inverse = torch.cholesky_inverse(factor)
        self.tensor.copy_(torch.where(rows & columns, -inverse, off))

    def keep(self, some: Tensor) -> None:
        """Go on with some of the targets."""
        self.tensor, self.state, self.kinds = self.tensor[some], self.state[some], self.kinds[:, some]
        self.lam, self.stop, self.event = self.lam[some], self.stop[some], self.event[some]
        self.table, self.each = self.tensor, (self.each[0][: len(self.lam)],)


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
