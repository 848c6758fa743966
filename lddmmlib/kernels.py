"""Gaussian kernels k(a, b) = exp(-|a - b|² / σ²), without the ½, and their sums over points.

`gaussian` is the definition, a matrix that can be inspected. `product` is its sum against vectors, Σ_j k(a_i, b_j) f_j,
the only operation of LDDMM whose cost grows with the square of the number of points. It keeps O(n + m) numbers for the
gradient, not n x m: the backward pass evaluates the kernel again, and both passes work on blocks of rows.
A second derivative (`create_graph=True`) does keep the matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._engine.pairs import GaussianSum, to_rows
from lddmmlib._shapes import Float


@_checks.full_precision
def gaussian(
    a: Float[Tensor, "*batch n 2"], b: Float[Tensor, "*batch m 2"], sigma: float
) -> Float[Tensor, "*batch n m"]:
    """The kernel matrix K_ij = k(a_i, b_j) = exp(-|a_i - b_j|² / σ²).

    Args:
        a: (..., n, 2), points in any unit.
        b: (..., m, 2), points of the same unit, batch, dtype and device.
        sigma: σ, the width of the kernel, in their unit.

    Returns:
        (..., n, m), numbers in (0, 1]; symmetric positive definite if a = b and no point occurs twice.

    Raises:
        ValueError: sigma not above 0, coordinates that are not finite, and a, b that do not fit.

    Paper A, section 3.1.1, k_V and k_W.

    >>> a = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> gaussian(a, a, 5.0)
    tensor([[1.0000, 0.3679],
            [0.3679, 1.0000]])
    """
    _checks.positive(sigma, "sigma")
    _checks.alike(a=a, b=b)
    offset = (a[..., :, None, :] - b[..., None, :, :]) / sigma  # before squaring: 1e20 would overflow
    return torch.exp(-offset.square().sum(-1))


@_checks.full_precision
def product(
    a: Float[Tensor, "*batch n 2"], b: Float[Tensor, "*batch m 2"], f: Float[Tensor, "*batch m k"], sigma: float
) -> Float[Tensor, "*batch n k"]:
    """The kernel sums (K f)_i = Σ_j exp(-|a_i - b_j|² / σ²) f_j, without storing K.

    The result is that of `gaussian(a, b, sigma) @ f`, in less time and memory. Twice differentiable.

    Args:
        a: (..., n, 2), points in any unit.
        b: (..., m, 2), points of the same unit, batch, dtype and device.
        f: (..., m, k), k numbers at each b_j.
        sigma: σ, the width of the kernel, in the unit of the points.

    Returns:
        (..., n, k), in the unit of f.

    Raises:
        ValueError: f without m rows, and the errors of `gaussian`.

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
    return GaussianSum.apply(to_rows(a / sigma), to_rows(b / sigma), to_rows(f)).mT
