"""Sparse shape regression (paper B): landmarks that a dataset does not define, from a few that it does.

Datasets annotate different landmarks. Those of one, S_i, and those of another, S_j, describe the same face, and a
matrix H approximates the second by the first, Ŝ_j = H S_i (eq. 7), for x and y alike. Each row of H has a budget,
|h|₁ ≤ τ, which leaves most of it zero: an undefined landmark is represented by a few defined ones.

The rows are not centred. For a face at any position in the image to be mapped correctly, each row must sum to 1. The
data teach this, but no constraint enforces it. With Σh = 1, τ = 1 allows convex combinations only, and τ = 1.4 a little
extrapolation: negative weights of at most 0.2 in total.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import NamedTuple

import torch
from torch import Tensor

from lddmmlib import _checks, lars
from lddmmlib._shapes import Float


class SparseMap(NamedTuple):
    """The matrix H (q, p) and, for each row, the multiplier lambdas (q,) and the number of knots n_iter (q,) of its
    path.

    See `lars.Solution` for the other fields.

    >>> x = torch.rand(4, 3, 2)
    >>> fit_h(x, x[:, :1]).H.shape
    torch.Size([1, 3])
    """

    H: Tensor
    lambdas: Tensor
    n_iter: Tensor
    residual: float
    converged: bool


@_checks.full_precision
def fit_h(
    defined: Float[Tensor, "m p 2"],
    undefined: Float[Tensor, "m q 2"],
    tau: float | Tensor = 1.4,
    use: Sequence[int] | Tensor | None = None,
) -> SparseMap:
    """The matrix H of min Σ_I |H S_i(I) - Y(I)|²  subject to  |h^r|₁ ≤ τ for each row, one problem per row:

        h^r = argmin Σ_I |h S_i(I) - y^r(I)|²   subject to  |h|₁ ≤ τ.

    x and y share the row, so that their Gram matrices add up, G = Xxᵀ Xx + Xyᵀ Xy; all rows share G and are solved at
    once. Computed in double precision.

    Args:
        defined: S_i of m faces, (m, p, 2), in any unit.
        undefined: Y, (m, q, 2), the other landmarks of the same faces in the same frame: annotated ones, or
            in the paper's alternation the network's F + S̄.
        tau: the budget, a number ≥ 0 or one per row (q,); inf: least squares.
        use: the defined landmarks that may be used, by default all; the other columns of H are 0.

    Returns:
        A SparseMap; H has the dtype of `defined`.

    Raises:
        ValueError: NaN (leave such faces out), different numbers of faces, no face, a landmark in `use` that is not one
            of the p, and the errors of `lars.budget`.

    Paper B, equations 7 and 12-14.

    >>> x = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 2.0]]) + torch.arange(4.0)[:, None, None]
    >>> middle = x[:, :2].mean(1, keepdim=True)  # between the first two
    >>> fit_h(x, middle, tau=1.0).H.round(decimals=4).tolist()
    [[0.5, 0.5, 0.0]]
    """
    _checks.points(defined, "defined")
    _checks.points(undefined, "undefined")
    for name, x in (("defined", defined), ("undefined", undefined)):
        if x.ndim != 3:
            raise ValueError(f"{name}: needed (faces, n, 2), got {tuple(x.shape)}")
    _checks.same(defined=defined, undefined=undefined)
    p = defined.shape[1]
    if not len(defined) or len(defined) != len(undefined):
        raise ValueError(f"defined, undefined: needed the same faces, got {len(defined)} and {len(undefined)}")
    chosen = list(range(p)) if use is None else _landmarks(use)
    if not chosen or not set(chosen) <= set(range(p)) or len(set(chosen)) < len(chosen):
        raise ValueError(f"use: needed different landmarks, each from 0 to {p - 1}, got {chosen}")
    x, y = defined[:, chosen].double(), undefined.double()
    gram, xy = (sum(x[..., k].T @ z[..., k] for k in (0, 1)) for z in (x, y))
    found = lars.budget(gram, xy, tau)
    h = defined.new_zeros(y.shape[1], p)
    h[:, chosen] = found.coefs.T.to(h)
    return SparseMap(H=h, lambdas=found.lambdas.to(h), n_iter=found.n_iter,
                     residual=found.residual, converged=found.converged)  # fmt: skip


@_checks.full_precision
def complete(points: Float[Tensor, "*batch p 2"], H: Float[Tensor, "q p"]) -> Float[Tensor, "*batch n 2"]:
    """A face in all landmarks, S_H = [S_i; H S_i]: its own p first, then the q approximated ones.

    Args:
        points: (..., p, 2), in any unit; NaN where missing. An approximated landmark is NaN if it depends on a missing
            one.
        H: (q, p).

    Returns:
        (..., p + q, 2).

    Raises:
        ValueError: another number of points than p.

    Paper B, equations 7 and 8.

    >>> complete(torch.tensor([[0.0, 0.0], [4.0, 2.0]]), torch.tensor([[0.5, 0.5]])).tolist()
    [[0.0, 0.0], [4.0, 2.0], [2.0, 1.0]]
    """
    _checks.floats(H, "H")
    if H.ndim != 2:
        raise ValueError(f"H: needed (q, p), got shape {tuple(H.shape)}")
    _checks.finite(H, "H")
    _checks.points(points, "points", H.shape[1], nan=True)
    _checks.same(points=points, H=H)
    lost = (H != 0).to(points) @ points.isnan().to(points) > 0
    return torch.cat([points, (H @ points.nan_to_num(nan=0.0)).masked_fill(lost, torch.nan)], -2)


def _landmarks(use: object) -> list[int]:
    found = use.tolist() if isinstance(use, Tensor) and not use.is_meta else use
    if not isinstance(found, Sequence) or not all(isinstance(i, Integral) for i in found):
        raise TypeError(f"use: needed a sequence of landmarks, got {_checks.said(use)}")
    return list(found)
