"""A head without a camera: the knots of its curves as functions of identity and expression.

Head frame, in eye-corner distances: the outer eye corners of every head lie at (-1/2, 0, 0) and (1/2, 0, 0); x to
the right of the image, y downwards, z towards the camera. Knots are linear in the parameters,

    x(a, e) = m + Σ_k a_k B_k + Σ_j e_j E_j,

where m, B, E come from the data file `heads.npz` (`data_scripts/heads`). The nonlinear parts follow: lids move
over the eyeball and meet without crossing (`lids`), lips touch without crossing (`part`), gaze turns the eyes.
All functions accept leading batch axes and are differentiable.
"""

from __future__ import annotations

from functools import cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lddmmlib._shapes import Float

FACTS = Path(__file__).with_name("heads.npz")
# name -> (minimum, maximum); 0 is neutral, 1 is strong.
EXPRESSIONS = {
    "mouth_open": (0.0, 1.0),
    "smile": (-0.7, 1.0),  # below 0: the corners of the mouth drop
    "pout": (-1.0, 1.0),  # below 0: the mouth is stretched
    "brows_up": (-0.7, 1.0),
    "brows_together": (0.0, 1.0),
    "eyes_closed": (0.0, 1.0),
    "eyes_wide": (0.0, 1.0),
    "gaze_x": (-1.0, 1.0),  # 1: to the right of the image by GAZE
    "gaze_y": (-1.0, 1.0),  # 1: down by GAZE
    "jaw_sideways": (-1.0, 1.0),  # 1: to the right of the image
}
GAZE = (np.radians(35), np.radians(25))
EYEBALL, IRIS, LID = 0.13, 0.064, 0.01  # radii; the thickness of a lid
SEAM = 0.004  # about the distance between closed lips: the line between them
LIP, OPENING = 0.02, 0.03  # the minimum thickness of a lip and the minimum height of an eye at rest

# Curve -> t of its knots. `..._half`: half the thickness of a brow, a vector. `ring_...`: see `geometry.contour`.
_EVEN = {
    "jaw": 17, "left_brow": 5, "left_brow_half": 5, "right_brow": 5, "right_brow_half": 5, "nose_bridge": 4,
    "left_eye_upper": 4, "left_eye_lower": 4, "right_eye_upper": 4, "right_eye_lower": 4, "outer_lip_upper": 7,
    "outer_lip_lower": 7, "inner_lip_upper": 5, "inner_lip_lower": 5, "left_eyeball": 1, "right_eyeball": 1,
    "left_ear": 9, "right_ear": 9, "left_neck": 4, "right_neck": 4, "crown": 13, "jaw_out": 17, "jaw_front": 17,
    "jaw_back": 17, "crown_out": 13, "crown_front": 13, "crown_back": 13,
}  # fmt: skip
KNOTS = {name: tuple(i / max(n - 1, 1) for i in range(n)) for name, n in _EVEN.items()}
KNOTS["nose_outline"] = (0.0, 1 / 8, 1 / 4, 5 / 16, 13 / 32, 1 / 2, 19 / 32, 11 / 16, 3 / 4, 7 / 8, 1.0)
_STARTS = list(accumulate((len(t) for t in KNOTS.values()), initial=0))
# The rows of x that hold each curve's knots; the rows after them are features, points of the surface only.
ROWS = {name: slice(a, b) for name, a, b in zip(KNOTS, _STARTS, _STARTS[1:], strict=False)}
FEATURES = slice(_STARTS[-1], None)


def eyeball(upper: Tensor, lower: Tensor) -> Tensor:
    """The centre (..., 1, 3) of the eyeball, behind the middle of the lids at rest (..., k, 3)."""
    return torch.cat([upper, lower], -2).mean(-2, keepdim=True) - upper.new_tensor([0.0, 0.0, 0.85 * EYEBALL])


def lids(upper: Tensor, lower: Tensor, closed: Tensor, wide: Tensor) -> tuple[Tensor, Tensor]:
    """The lids of a face with expression, from the lids at rest (..., k, 3) without the corners:

        lower' = lower + 0.15 closed d,    upper' = lower' + (1 - closed)(1 + 0.35 wide)(1 - 0.15 closed) d,

    d = upper - lower at rest, with a height of OPENING or more. closed = 1 brings the upper lid onto the lower one,
    which rises a little; they never cross. Both lie on the eyeball, at height LID above it.
    """
    centre, closed, wide = eyeball(upper, lower), closed[..., None, None], wide[..., None, None]
    d = upper - lower
    d = torch.stack([d[..., 0], -_greater(-d[..., 1], torch.full_like(d[..., 1], OPENING)), d[..., 2]], -1)
    low = lower + 0.15 * closed * d
    up = low + (1 - closed) * (1 + 0.35 * wide) * (1 - 0.15 * closed) * d
    return _on_ball(up, centre), _on_ball(low, centre)


def _on_ball(points: Tensor, centre: Tensor) -> Tensor:
    """The same x and y on the front of the ball of radius EYEBALL + LID; outside it, at the height of its rim."""
    flat = points[..., :2]
    up = ((EYEBALL + LID) ** 2 - (flat - centre[..., :2]).square().sum(-1)).clamp(min=1e-4).sqrt()
    return torch.cat([flat, (centre[..., 2] + up)[..., None]], -1)


def part(upper: Tensor, lower: Tensor) -> tuple[Tensor, Tensor]:
    """The inner lips at t = 1/4, 1/2, 3/4 (..., 3, 3), moved apart along y where they would cross. Their gap g becomes

        g'(1/2) = max(g, SEAM),    g' = max(g, 0.35 g'(1/2)) at 1/4 and 3/4.

    With a smaller gap at 1/4 and 3/4 the splines would cross before they reach the corners.
    """
    gap = (lower - upper)[..., 1]
    middle = _greater(gap[..., 1:2], torch.full_like(gap[..., 1:2], SEAM))
    wide = torch.cat([_greater(gap[..., :1], 0.35 * middle), middle, _greater(gap[..., 2:], 0.35 * middle)], -1)
    down = (wide - gap)[..., None] / 2 * upper.new_tensor([0.0, 1.0, 0.0])
    return upper - down, lower + down


def thickened(outer: Tensor, inner: Tensor, side: float) -> Tensor:
    """Knots of an outer lip (..., 7, 3), moved along y to stay at least LIP beyond the inner edge (..., 5, 3).

    side: -1.0 for the upper lip, 1.0 for the lower one. The corners do not move.
    """
    within = spline(KNOTS["inner_lip_upper"], torch.arange(1, 6, dtype=torch.float64) / 6) @ inner
    thick = side * (outer[..., 1:-1, :] - within)[..., 1]
    least = LIP * outer.new_tensor([0.6, 1.0, 1.0, 1.0, 0.6])
    more = side * (_greater(thick, least) - thick)[..., None] * outer.new_tensor([0.0, 1.0, 0.0])
    return torch.cat([outer[..., :1, :], outer[..., 1:-1, :] + more, outer[..., -1:, :]], -2)


def _greater(a: Tensor, b: Tensor) -> Tensor:
    """A smooth maximum: (a + b + √((a - b)² + SEAM²)) / 2."""
    return (a + b + ((a - b).square() + SEAM**2).sqrt()) / 2


@cache
def _bends(at: tuple[float, ...]) -> Tensor:
    """The matrix from values at the knots to second derivatives there, for the natural cubic spline."""
    h = np.diff(at)
    a, b = np.eye(len(at)), np.zeros((len(at), len(at)))
    for i in range(1, len(at) - 1):
        a[i, i - 1 : i + 2] = h[i - 1] / 6, (h[i - 1] + h[i]) / 3, h[i] / 6
        b[i, i - 1 : i + 2] = 1 / h[i - 1], -1 / h[i - 1] - 1 / h[i], 1 / h[i]
    return torch.from_numpy(np.linalg.solve(a, b))


def spline(at: tuple[float, ...], t: Tensor) -> Float[Tensor, "k m"]:
    """The weights of a natural cubic spline: values at `t` = weights @ values at the knots.

    Args:
        at: (m,), the increasing positions of the knots.
        t: (k,), the positions wanted.

    >>> spline((0.0, 0.5, 1.0), torch.tensor([0.5, 0.25], dtype=torch.float64)).tolist()
    [[0.0, 1.0, 0.0], [0.40625, 0.6875, -0.09375]]
    """
    if len(at) == 1:
        return torch.ones(len(t), 1, dtype=torch.float64)
    knots = torch.tensor(at, dtype=torch.float64)
    i = (torch.searchsorted(knots, t.contiguous(), right=True) - 1).clamp(0, len(at) - 2)
    h = knots[i + 1] - knots[i]
    a, b = ((knots[i + 1] - t) / h)[:, None], ((t - knots[i]) / h)[:, None]
    one, bends, h = torch.eye(len(at), dtype=torch.float64), _bends(at), h[:, None]
    return a * one[i] + b * one[i + 1] + ((a**3 - a) * bends[i] + (b**3 - b) * bends[i + 1]) * h**2 / 6


def rows(name: str, t: Tensor, count: int) -> Float[Tensor, "k rows"]:
    """The spline of a curve at t (k,), as weights of all `count` rows of knots and features."""
    weights = torch.zeros(len(t), count, dtype=torch.float64)
    weights[:, ROWS[name]] = spline(KNOTS[name], t)
    return weights


def edge(name: str, t: Tensor, count: int) -> Float[Tensor, "k rows"]:
    """The `rows` of a curve, or of an edge of a brow, whose knots are its middle and half its thickness.

    >>> t = torch.tensor([0.5], dtype=torch.float64)
    >>> count = len(facts()[0])
    >>> upper, lower = (edge(f"left_brow_{side}", t, count) for side in ("upper", "lower"))
    >>> torch.equal((upper + lower) / 2, rows("left_brow", t, count))
    True
    """
    brow, _, side = name.rpartition("_")
    if not brow.endswith("brow"):
        return rows(name, t, count)
    half = rows(f"{brow}_half", t, count)
    return rows(brow, t, count) + (half if side == "upper" else -half)


@cache
def facts() -> tuple[Tensor, Tensor, Tensor]:
    """The mean m (rows, 3), identity basis B (k, rows, 3) and expression basis E (10, rows, 3) of the data file."""
    with np.load(FACTS) as file:
        return tuple(torch.from_numpy(file[k]).double() for k in ("mean", "identity", "expression"))


@cache
def slip() -> Tensor:
    """The function h of `geometry.contour` at the knots of the jaw (17,)."""
    with np.load(FACTS) as file:
        return torch.from_numpy(file["slip"]).double()


def knots(identity: Float[Tensor, "*batch k"], expression: Float[Tensor, "*batch e"]) -> Float[Tensor, "*batch rows 3"]:
    """All knots, in the order of `ROWS`, then the features, for given parameters."""
    mean, b, e = facts()
    x = (mean + torch.tensordot(identity, b, 1) + torch.tensordot(expression, e, 1)).clone()
    named = dict(zip(EXPRESSIONS, expression.unbind(-1), strict=True))
    for side in ("left", "right"):
        up, low = (x[..., ROWS[f"{side}_eye_{edge}"], :][..., 1:-1, :] for edge in ("upper", "lower"))
        x[..., ROWS[f"{side}_eyeball"], :] = eyeball(up, low)
        up[..., :], low[..., :] = lids(up.clone(), low.clone(), named["eyes_closed"], named["eyes_wide"])
    up, low = (x[..., ROWS[f"inner_lip_{edge}"], :][..., 1:-1, :] for edge in ("upper", "lower"))
    up[..., :], low[..., :] = part(up.clone(), low.clone())
    for edge, side in (("upper", -1.0), ("lower", 1.0)):
        outer, within = (x[..., ROWS[f"{lip}_lip_{edge}"], :] for lip in ("outer", "inner"))
        outer[..., :] = thickened(outer.clone(), within, side)
    return x
