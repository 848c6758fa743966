"""Gaussian kernels k(a, b) = exp(-|a - b|² / σ²), without the ½, and their sums over points.

`gaussian` is the definition, a matrix to look at. `product` is its sum against vectors, Σ_j k(a_i, b_j) f_j, the one
operation of LDDMM whose cost grows with the square of the number of points. It keeps O(n + m) numbers for the
gradient, not n x m: the backward pass evaluates the kernel again, and both passes go through the rows in blocks.
A second derivative (`create_graph=True`) does keep the matrix.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Float

AT_ONCE = 2**17  # kernel values held at a time: half a megabyte in single precision, for the cache of a core
LOG2_E = 1 / math.log(2)


@_checks.full_precision
def gaussian(
    a: Float[Tensor, "*batch n 2"], b: Float[Tensor, "*batch m 2"], sigma: float
) -> Float[Tensor, "*batch n m"]:
    """The kernel matrix K_ij = k(a_i, b_j) = exp(-|a_i - b_j|² / σ²).

    a: (..., n, 2), b: (..., m, 2), of one unit, batch, dtype and device. sigma: the kernel's width, in their unit.
    Returns (..., n, m) numbers in (0, 1]; symmetric positive definite where a = b has no point twice.
    Raises ValueError for sigma not above 0, coordinates that are not finite, and a, b that do not fit.
    Paper A, section 3.1.1, k_V and k_W.

    >>> a = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> gaussian(a, a, 5.0)
    tensor([[1.0000, 0.3679],
            [0.3679, 1.0000]])
    """
    _checks.positive(sigma, "sigma")
    _checks.alike(a=a, b=b)
    offset = (a[..., :, None, :] - b[..., None, :, :]) / sigma  # before it is squared, which 1e20 would not stand
    return torch.exp(-offset.square().sum(-1))


@_checks.full_precision
def product(
    a: Float[Tensor, "*batch n 2"], b: Float[Tensor, "*batch m 2"], f: Float[Tensor, "*batch m k"], sigma: float
) -> Float[Tensor, "*batch n k"]:
    """The kernel's sums (K f)_i = Σ_j exp(-|a_i - b_j|² / σ²) f_j, without keeping K.

    a, b, sigma: as in `gaussian`. f: (..., m, k), k numbers at each b_j. Returns (..., n, k): `gaussian(a, b, sigma) @
    f`, in less time and memory. Twice differentiable.
    Raises ValueError for f of other than m rows, and what `gaussian` refuses.
    Paper A, the sums of equations 1, 4, 6 and 7.

    >>> a = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> product(a, a, torch.tensor([[1.0], [2.0]]), 5.0)
    tensor([[1.7358],
            [2.3679]])
    """
    _checks.positive(sigma, "sigma")
    _checks.alike(a=a, b=b)
    _checks.floats(f, "f")
    if f.shape[:-1] != b.shape[:-1] or (f.dtype, f.device) != (b.dtype, b.device):
        wanted = f"{tuple(b.shape[:-1])} rows of {b.dtype} on {b.device}, like b"
        raise ValueError(f"f: needed {wanted}; got shape {tuple(f.shape)} of {f.dtype} on {f.device}")
    _checks.finite(f, "f")
    return Product.apply(rows(a / sigma), rows(b / sigma), rows(f)).mT


# Below, points and vectors lie in rows, (..., 2, n) and (..., k, n), and σ = 1: whoever calls divides by it. Sums over
# points are then f @ K with f's rows contiguous, which BLAS does in a fraction of the time of K @ f for few columns.


def rows(x: Tensor) -> Tensor:
    """(..., n, k) -> (..., k, n)."""
    return x.mT.contiguous()


class Product(_checks.Derived):
    """Σ_j k(a_i, b_j) f_j."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor, f: Tensor) -> Tensor:
        return join([f @ unit(b, a_i) for (a_i,) in blocks(b, a)])

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    @_checks.full_precision
    def backward(ctx, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """By C_ij = k_ij g_i·f_j: da_i = -2 Σ_j C_ij (a_i - b_j), db_j = -2 Σ_i C_ij (b_j - a_i), df = Σ_i k_ij g_i."""
        a, b, f = ctx.saved_tensors
        da, db, df = [], [], []
        for a_i, g_i in blocks(b, a, g):
            K = unit(b, a_i)
            C = K * (f.mT @ g_i)
            da.append(-2 * pull(C, a_i, b))
            db.append(-2 * pull(C.mT, b, a_i))
            df.append(g_i @ K.mT)
        return join(da), sum(db[1:], db[0]), sum(df[1:], df[0])


def unit(b: Tensor, a: Tensor) -> Tensor:
    """exp(-|b_j - a_i|²), (..., m, n). From differences, not |b|² - 2 b·a + |a|²: as quick, and nothing cancels.

    As a power of 2, in which torch is up to four times as fast as in one of e.
    """
    x, y = (b[..., k, :, None] - a[..., k, None, :] for k in (0, 1))
    return x.square_().addcmul_(y, y).mul_(-LOG2_E).exp2_()


def pull(w: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Σ_j w_ji (a_i - b_j)."""
    return w.sum(-2, keepdim=True) * a - b @ w


def blocks(b: Tensor, *rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same few points of each, so many at a time that with all of b they make AT_ONCE pairs."""
    at_once = max(1, AT_ONCE // max(1, b[..., 0, :].numel()))
    if at_once >= rows[0].shape[-1]:
        return iter([rows])
    return zip(*(x.split(at_once, -1) for x in rows), strict=True)


def join(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts, -1) if len(parts) > 1 else parts[0]
