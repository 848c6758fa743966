"""The outline of a rotated head.

Slices run across the outline of the head (jaw and crown); the one at t is two quarters of an ellipse,

    p(t, s) = P(t) + (cos s - 1) L(t) + sin s F(t)   forwards (s > 0),   ... - sin s K(t)  backwards (s < 0),

P on the outline as seen from the front, L from the centre of the slice out to P, F to the front, K to the back. The
outline of the rotated head is where the surface is seen edge-on. There p(t, ·) is farthest along the outline's normal n
in the image:

    n · R (-sin s L + cos s F) = 0,   so   s* = atan2(n · R F, n · R L).

As n depends on the outline itself, both are updated in turn, and a few rounds converge (`angles`). Annotators put the
far part of the jaw there, with s clipped to [0, LIMIT]; on the near side the jaw stays at its place, s = 0. Annotators
do not follow anatomy along the outline either: they spread their points over the visible part. The landmark t of
a rotated head is the slice at

    t + sin(yaw) cos(pitch) h(t),

h learned from annotations (`head.slip`): towards the chin on the near side and away from it on the far side, while
the ends move in the opposite direction.
"""

from __future__ import annotations

import torch
from torch import Tensor

LIMIT = 1.15  # the largest angle to the front that the outline reaches
ROUNDS = 4
GRID = torch.arange(-2, 35, dtype=torch.float64) / 32  # values of t at which the outline is computed


def slice_point(place: Tensor, out: Tensor, front: Tensor, back: Tensor, s: Tensor) -> Tensor:
    """The points p(t, s) (..., m, 3) for P, L, F, K (..., m, 3) and s (..., m)."""
    sin = s.sin()[..., None]
    return place + (s.cos()[..., None] - 1) * out + sin.clamp(min=0) * front - sin.clamp(max=0) * back


def normals(p: Tensor) -> Tensor:
    """Unit normals (..., m, 2) of polylines; they point left where the polyline runs down the image."""
    ends = torch.cat([2 * p[..., :1, :] - p[..., 1:2, :], p, 2 * p[..., -1:, :] - p[..., -2:-1, :]], -2)
    along = ends[..., 2:, :] - ends[..., :-2, :]
    n = torch.stack([-along[..., 1], along[..., 0]], -1)
    return n / n.norm(dim=-1, keepdim=True)


def angles(
    place: Tensor, out: Tensor, front: Tensor, back: Tensor, rotation: Tensor, low: float, high: float
) -> Tensor:
    """The angles s* (..., m) of slices P, L, F, K (..., m, 3), ordered so that `normals` point out of the head."""
    p, l, f, k = ((v @ rotation.mT)[..., :2] for v in (place, out, front, back))
    s = torch.zeros_like(p[..., 0])
    for _ in range(ROUNDS):
        n = normals(slice_point(p, l, f, k, s))
        a, b, c = ((n * v).sum(-1) for v in (l, f, k))
        s = torch.atan2(torch.where(b > 0, b, -c), a).clamp(low, high)  # the quarter on the outer side
    return s


def interpolate(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """Linear interpolation at x (..., k) of ys over increasing xs (..., m), row by row; extrapolates at both ends."""
    i = (torch.searchsorted(xs.contiguous(), x.contiguous(), right=True) - 1).clamp(0, xs.shape[-1] - 2)
    x0, x1, y0, y1 = (v.gather(-1, j) for v in (xs, ys) for j in (i, i + 1))
    return y0 + (x - x0) / (x1 - x0) * (y1 - y0)
