"""Crossings of lines of a face, of which a real face has none: a test of drawn, deformed and exaggerated faces."""

from __future__ import annotations

from torch import Tensor

from lddmmlib._shapes import Bool, Float


def crossings(p: Float[Tensor, "*batch k 2"], q: Float[Tensor, "*batch m 2"]) -> Bool[Tensor, "*batch k_1 m_1"]:
    """Find the segments of two polylines that cross: the ends of each are on both sides of the other.

    Args:
        p: (..., k, 2), the points of one polyline, in any unit; its segment i joins p_i and p_(i+1).
        q: (..., m, 2), those of the other; with q = p, crossings of a line with itself.

    Returns:
        (..., k - 1, m - 1) booleans. Segments that touch, such as neighbours in one line, do not cross; neither does
            a segment with a NaN.

    >>> import torch
    >>> crossings(torch.tensor([[0.0, 0.0], [2.0, 2.0], [4.0, 2.0]]), torch.tensor([[0.0, 2.0], [2.0, 0.0]]))
    tensor([[ True],
            [False]])
    """
    a, b = p[..., :-1, None, :], p[..., 1:, None, :]
    c, d = q[..., None, :-1, :], q[..., None, 1:, :]
    return (_side(a, b, c) * _side(a, b, d) < 0) & (_side(c, d, a) * _side(c, d, b) < 0)


def _side(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The side of the line from a to b on which c lies, as the sign of (b - a) x (c - a)."""
    u, v = b - a, c - a
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
