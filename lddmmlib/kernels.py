"""Gaussian kernels k(a, b) = exp(-|a - b|² / σ²), without the ½, and their sums over points.

`gaussian` is the definition, a matrix to look at. `product` is its sum against vectors, Σ_j k(a_i, b_j) f_j, the one
operation of LDDMM whose cost grows with the square of the number of points. It keeps O(n + m) numbers for the
gradient, not n x m: the backward pass evaluates the kernel again, and both passes go through the rows in blocks.
A second derivative (`create_graph=True`) does keep the matrix.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Float

AT_ONCE = 2**17  # kernel values held at a time: half a megabyte in single precision, for the cache of a core


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
    offset = a[..., :, None, :] - b[..., None, :, :]
    return torch.exp(-offset.square().sum(-1) / sigma**2)


def product(
    a: Float[Tensor, "*batch n 2"], b: Float[Tensor, "*batch m 2"], f: Float[Tensor, "*batch m k"], sigma: float
) -> Float[Tensor, "*batch n k"]:
    """The kernel's sums (K f)_i = Σ_j exp(-|a_i - b_j|² / σ²) f_j, without keeping K.

    a, b, sigma: as in `gaussian`. f: (..., m, k), k numbers at each b_j. Returns (..., n, k): `gaussian(a, b, sigma) @
    f`, in less time and memory. Twice differentiable. In single precision the exponent is off by some 1e-7 of the
    squared distance to the origin in units of σ: centre points that lie far from it.
    Raises ValueError for f of other than m rows, and what `gaussian` refuses.
    Paper A, the sums of equations 1, 4, 6 and 7.

    >>> a = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> product(a, a, torch.tensor([[1.0], [2.0]]), 5.0)
    tensor([[1.7358],
            [2.3679]])
    """
    _checks.positive(sigma, "sigma")
    _checks.alike(a=a, b=b)
    if f.shape[:-1] != b.shape[:-1] or (f.dtype, f.device) != (b.dtype, b.device):
        wanted = f"{tuple(b.shape[:-1])} rows of {b.dtype} on {b.device}, like b"
        raise ValueError(f"f: needed {wanted}; got shape {tuple(f.shape)} of {f.dtype} on {f.device}")
    return Product.apply(a / sigma, b / sigma, f)


class Product(torch.autograd.Function):
    """K(a, b) f for σ = 1: whoever calls it divides the coordinates by σ."""

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor, f: Tensor) -> Tensor:
        ctx.save_for_backward(a, b, f)
        return torch.cat([sums(unit(a_i, b), f) for (a_i,) in blocks(b, a)], -2)

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """With C_ij = k_ij g_i·f_j:  da_i = -2 Σ_j C_ij (a_i - b_j),  db_j = -2 Σ_i C_ij (b_j - a_i),  df = Kᵀ g."""
        a, b, f = ctx.saved_tensors
        da, db, df = [], 0, 0
        for a_i, g_i in blocks(b, a, g):
            K = unit(a_i, b)
            C = K * (g_i @ f.mT)
            da.append(-2 * pull(C, a_i, b))
            db = db - 2 * pull(C.mT, b, a_i)
            df = df + sums(K.mT, g_i)
        return torch.cat(da, -2), db, df


def unit(a: Tensor, b: Tensor) -> Tensor:
    """exp(-|a_i - b_j|²): the exponent -|a_i|² + 2 a_i·b_j - |b_j|² is one matrix product over four columns."""
    one_a, one_b = torch.ones_like(a[..., :1]), torch.ones_like(b[..., :1])
    left = torch.cat([2 * a, -(a * a).sum(-1, keepdim=True), -one_a], -1)
    right = torch.cat([b, one_b, (b * b).sum(-1, keepdim=True)], -1)
    return (left @ right.mT).exp_()


def pull(w: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Σ_j w_ij (a_i - b_j)."""
    return w.sum(-1, keepdim=True) * a - sums(w, b)


def sums(w: Tensor, f: Tensor) -> Tensor:
    """w @ f for a few columns, as (fᵀ wᵀ)ᵀ: with f's columns contiguous, BLAS does it in an eighth of the time."""
    return (f.mT.contiguous() @ w.mT).mT


def blocks(b: Tensor, *rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same few rows of each tensor at a time, so many that with all of b they make AT_ONCE pairs."""
    at_once = max(1, AT_ONCE // max(1, b[..., 0].numel()))
    return zip(*(x.split(at_once, -2) for x in rows), strict=True)
