"""All knots of many lasso paths at once: `lars.path_by_solving` with the inverse updated from knot to knot."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

STOP = 1e-12  # the path ends where λ falls below this fraction of its first value
DELICATE = 1e-5  # a join below this fraction costs six digits: from then on each knot is refined,
RENEW = 16  # and the tableau computed anew after this number of knots
PIVOT = 1e-10  # a column joins only if the others explain less than 1 - PIVOT of its square


def follow(gram: Tensor, xy: Tensor, tau: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """All knots of all targets (p, t), each until |h|₁ ≥ tau: lambdas (k, t), coefs (k, p, t), n_knots (t,)."""
    with torch.inference_mode(gram.device.type == "cpu"):  # without the bookkeeping for derivatives, half of the time
        knots = _knots(gram, xy, tau)
    return _padded(knots, xy)


def _knots(gram: Tensor, xy: Tensor, tau: Tensor | None) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The steps (targets, λ, h)."""
    pivot = PIVOT if gram.dtype == torch.float64 else 1e-5  # the accuracy of a Gram matrix in single precision
    sweep = _Sweep(gram.detach().double(), xy.detach().double().T, pivot)
    running, knots, most = torch.arange(xy.shape[1], device=xy.device), [], 50 * len(xy) + 50
    limit = None if tau is None else tau.double()
    while True:
        lam, h = sweep.knot()
        knots.append((running, lam, h))
        goes_on = lam > 0 if limit is None else (lam > 0) & (h.abs().sum(-1) < limit)
        if not goes_on.all():
            if not goes_on.any():
                break
            running, limit = running[goes_on], limit if limit is None else limit[goes_on]
            sweep.keep(goes_on)
        sweep.pivot()
        if len(knots) > most:
            raise RuntimeError(f"path: {len(knots)} knots and no end: tied columns; change one of them a little")
    return knots


def _padded(knots: list[tuple[Tensor, Tensor, Tensor]], xy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The steps (targets, λ, h) as tensors, NaN after the end of a target."""
    (p, t), (targets, lam, h) = xy.shape, zip(*knots, strict=True)
    lambdas, coefs = torch.cat(lam).to(xy), torch.cat(h).to(xy)
    if targets[-1] is not targets[0]:
        each, step = torch.cat(targets), torch.tensor([k for k, x in enumerate(targets) for _ in range(len(x))])
        lambdas = xy.new_full((len(knots), t), torch.nan).index_put_((step.to(each), each), lambdas)
        coefs = xy.new_full((len(knots), t, p), torch.nan).index_put_((step.to(each), each), coefs)
    lambdas = lambdas.reshape(-1, t)
    return lambdas, coefs.reshape(-1, t, p).mT, (~lambdas.isnan()).sum(0)


class _Known(NamedTuple):
    """Data on each of p variables, for t targets: views of one tensor, so that a join or a drop is one write.

    Off the active set A, `sides` σ = 1 and -1 give the λ at which c_j = σ λ, (σ r_j) / (1 - σ a_j). On A, with -s for
    σ and 0 for the other terms, the same line gives s u / (s d), the λ at which h_j is 0.
    """

    right: Tensor  # (t, 2, p): s, Xᵀy on A; 0 off A
    one: Tensor  # (t, 1, p): 1 off A; 0 on A
    xy: Tensor  # (t, 2, p): Xᵀy, -Xᵀy off A; 0 on A
    sides: Tensor  # (t, 2, p): 1, -1 off A; -s, 0 on A
    least: Tensor  # (t, 1, p): the least pivot to join with; -inf on A
    minus: Tensor  # (t, p): 0 off A; -1 on A

    @classmethod
    def rows(cls, state: Tensor) -> _Known:
        return cls(*state[:, :8].split([2, 1, 2, 2, 1], 1), state[:, 8])


class _Sweep:
    """The state of t targets on their paths. Each has a symmetric tableau, the Gram matrix swept on its active set A:

        on A  -G_AA⁻¹,   between A and the others  G_AA⁻¹ G_A·,   on the others the Schur complement,

    so that one product with s and Xᵀy, both 0 off A, gives -d and -u on A, a and G_·A u off A, while its diagonal
    shows which columns can still join. A join or a drop of k is one update of rank 1 (Beaton's sweep operator).
    """

    def __init__(self, gram: Tensor, xy: Tensor, pivot: float):
        one, zero, least = torch.ones_like(xy), torch.zeros_like(xy), pivot * gram.diagonal().expand_as(xy)
        off = torch.stack([zero, zero, one, xy, -xy, one, -one, least, zero], 1)
        none = zero - torch.inf
        joined = [torch.stack([s * one, xy, zero, zero, zero, -s * one, zero, none, -one], 1) for s in (1, -1)]
        self.kinds = torch.stack([*joined, off])  # for every variable on A with s = 1, with s = -1; off A
        self.gram, self.faint, self.delicate = gram, DELICATE * gram.diagonal(), 0
        self.zero = zero[0, 0]
        self.lam, self.stop = torch.full_like(xy[:, :1], torch.inf), STOP * xy.abs().amax(1, keepdim=True)
        self._hold(gram.expand(len(xy), *gram.shape).clone(), off.clone())

    def _hold(self, table: Tensor, state: Tensor) -> None:
        """The tableaus and what is known, and views of them that are used at each knot."""
        self.table, self.state, self.known = table, state, _Known.rows(state)
        self.diagonal = table.diagonal(0, -2, -1).unsqueeze(1)
        self.each = torch.arange(len(table), device=table.device)

    def knot(self) -> tuple[Tensor, Tensor]:
        """The next knot, λ (t,) and h (t, p)."""
        known = self.known
        product = torch.bmm(known.right, self.table)
        a, b = (self._refined(product) if self.delicate else product).unbind(1)
        below = torch.addcmul(known.one, known.sides, a.unsqueeze(1), value=-1)
        at = torch.addcmul(known.xy, known.sides, b.unsqueeze(1), value=-1) / below
        at = at.masked_fill_((below <= 0) | (self.diagonal <= known.least), -1.0).flatten(1)
        highest, self.event = at.max(-1, keepdim=True)
        ends = highest <= self.stop
        self.lam = torch.minimum(highest, self.lam).masked_fill_(ends, 0.0)
        leaves = at.narrow(1, 0, len(self.gram)) >= self.lam
        h = torch.addcmul(self.zero, torch.addcmul(b, self.lam, a, value=-1), known.minus)  # 0 off A, and not -0
        return self.lam.squeeze(1), h.masked_fill_(leaves, 0.0)  # a variable that drops is exactly 0

    def _refined(self, product: Tensor, rounds: int = 2) -> Tensor:
        """The products (a, b) by the Gram matrix itself; the tableau only corrects the residual of (s, Xᵀy) on A."""
        right = self.known.right
        on = right[:, :1] != 0
        v = -product * on
        for _ in range(rounds):
            v = v - ((right - v @ self.gram) * on) @ self.table * on
        return torch.where(on, -v, v @ self.gram)

    def pivot(self) -> None:
        """Sweep each tableau on its variable of the last knot, which thereby joins or drops."""
        if len(self.table) == 1:  # by numbers and slices: a fraction of the time that indices of several take
            found = self._pivot_one(*divmod(int(self.event), len(self.gram)))
        else:
            found = self._pivot_each(self.event // len(self.gram), self.event % len(self.gram))
        self.delicate += self.delicate > 0 or found
        if self.delicate % RENEW == 1:
            self._renew()

    def _pivot_one(self, side: int, k: int) -> bool:
        """Sweep the one tableau on k, where c_k = λ for the side 0, -λ for 1; True if a join was delicate."""
        table = self.table[0]
        row = table[k].clone()
        pivot = float(row[k])
        joins = pivot > 0  # off A it is a Schur complement, on A minus the diagonal of an inverse
        table.addr_(row, row, alpha=-1 / pivot)
        new = row / abs(pivot)
        new[k] = -1 / pivot
        table[k], table[:, k] = new, new
        self.state[0, :, k] = self.kinds[side if joins else 2, 0, :, k]
        return joins and pivot < float(self.faint[k])

    def _pivot_each(self, side: Tensor, k: Tensor) -> bool:
        """Sweep several tableaus, with k and side (t, 1): `_pivot_one` for each of them."""
        i, k, side = self.each, k.squeeze(1), side.squeeze(1)
        row = self.table[i, k]
        pivot = row[i, k]
        joins = pivot > 0
        self.table.addcmul_(row[:, :, None], (row / pivot[:, None])[:, None, :], value=-1)
        new = row / pivot.abs()[:, None]
        new[i, k] = -1 / pivot
        self.table[i, k], self.table[i, :, k] = new, new
        self.state[i, :, k] = self.kinds[side.masked_fill_(~joins, 2), i, :, k]
        return bool((joins & (pivot < self.faint[k])).any())

    def _renew(self) -> None:
        """Compute the tableaus anew from the Gram matrix and the active sets, without the rounding of all previous
        updates.
        """
        gram, on = self.gram, self.known.right[:, 0] != 0
        rows, columns = on[:, :, None], on[:, None, :]
        one = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        factor = torch.linalg.cholesky(torch.where(rows & columns, gram, one))
        half = torch.linalg.solve_triangular(factor, gram * rows, upper=False)  # its square is what A explains
        beside = torch.linalg.solve_triangular(factor.mT, half, upper=True)
        off = torch.where(rows, beside, torch.where(columns, beside.mT, gram - half.mT @ half))
        inverse = torch.cholesky_inverse(factor)
        self.table.copy_(torch.where(rows & columns, -inverse, off))

    def keep(self, some: Tensor) -> None:
        """Continue with a subset of the targets."""
        self._hold(self.table[some], self.state[some])
        self.kinds, self.event = self.kinds[:, some], self.event[some]
        self.lam, self.stop = self.lam[some], self.stop[some]
