"""Where lines of a face lie across each other, which no face's do: the test of drawn, deformed and exaggerated ones."""

from __future__ import annotations

from torch import Tensor

from lddmmlib._shapes import Bool, Float


def crossings(p: Float[Tensor, "*batch k 2"], q: Float[Tensor, "*batch m 2"]) -> Bool[Tensor, "*batch k_1 m_1"]:
    """Find which segments of two polylines cross: each has its ends on both sides of the other.

    Args:
        p: (..., k, 2), the points of one polyline; its segment i joins p_i and p_(i+1).
        q: (..., m, 2), those of the other; q = p finds where a line crosses itself.

    Returns:
        (..., k - 1, m - 1) booleans. Segments that touch, such as neighbours of one line, do not cross; neither does
        one with a NaN.

    >>> import torch
    >>> crossings(torch.tensor([[0.0, 0.0], [2.0, 2.0], [4.0, 2.0]]), torch.tensor([[0.0, 2.0], [2.0, 0.0]]))
    tensor([[ True],
            [False]])
    """
    a, b = p[..., :-1, None, :], p[..., 1:, None, :]
    c, d = q[..., None, :-1, :], q[..., None, 1:, :]
    return (_side(a, b, c) * _side(a, b, d) < 0) & (_side(c, d, a) * _side(c, d, b) < 0)


def _side(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """On which side of the line from a to b the point c lies: (b - a) x (c - a)."""
    u, v = b - a, c - a
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
