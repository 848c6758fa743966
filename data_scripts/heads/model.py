"""The 68 points of a head as functions of identity, expression and pose: what is fitted to real annotations.

A shape y (68, 2), in the frame of `faces.statistics`, is seen as

    y ≈ s [ R(yaw, pitch, roll) x(a, e) ]_xy + c,    x = mean + Σ a_k B_k + Σ e_j E_j,

the jaw at its visible place (`geometry.contour`), lids and lips as in `head`. Batches of faces, differentiable.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from data_scripts.heads import template as hand
from lddmmlib.faces.geometry import contour, head

CORNERS = [36, 45]
INSET = 0.08  # how far along the outer lips the inner ones begin


class Model(NamedTuple):
    """What all faces share: mean (68, 3), identity (k, 68, 3), expression (6, 68, 3); and along the jaw (17,) each

    how wide its slices are (out), how far they reach to the front, and h of `geometry.contour` (slip).
    """

    mean: Tensor
    identity: Tensor
    expression: Tensor
    out: Tensor
    front: Tensor
    slip: Tensor


class Scores(NamedTuple):
    """What each face has of its own: identity (n, k), expression (n, 7), pose (n, 6): yaw, pitch, roll, log s, c."""

    identity: Tensor
    expression: Tensor
    pose: Tensor


def symmetric(x: Tensor, sign: float = 1.0) -> Tensor:
    """The part of (..., 68, 3) that a mirror leaves alone (sign = -1: that it negates)."""
    return (x + sign * x[..., hand.FLIP, :] * hand.MIRROR) / 2


def closed(x: Tensor) -> Tensor:
    """The same with the inner lips touching."""
    middle = (x[..., hand.UPPER_INNER, :] + x[..., hand.LOWER_INNER, :]) / 2
    x = x.clone()
    x[..., hand.UPPER_INNER, :] = x[..., hand.LOWER_INNER, :] = middle
    return inner_corners(x)


def inner_corners(x: Tensor) -> Tensor:
    """The same with the inner lips beginning in the middle between the outer ones, INSET along them."""
    at = head.spline(head.KNOTS["outer_lip_upper"], torch.tensor([INSET, 1 - INSET], dtype=torch.float64))
    upper, lower = (x[..., outer, :] for outer, _ in hand.LIPS)
    x = x.clone()
    x[..., hand.INNER_CORNERS, :] = at @ (upper + lower) / 2
    return x


def pinned(x: Tensor) -> Tensor:
    """The same with the eye corners at rest: they are the head frame."""
    keep = torch.ones(68, 1, dtype=x.dtype)
    keep[CORNERS] = 0
    return x * keep


def constrained(free: dict[str, Tensor]) -> Model:
    """Free parameters -> the model: symmetric, in its frame, identity rid of nods, lids and expressions."""
    mean = closed(symmetric(free["mean"]))
    mean = torch.where(pinned(torch.ones_like(mean)) > 0, mean, hand.both_sides(hand.PLACES))
    signs = [-1.0 if name == "jaw_sideways" else 1.0 for name in hand.EXPRESSIONS]
    e = torch.stack([symmetric(x, sign) for x, sign in zip(free["expression"], signs, strict=True)])
    e = pinned(
        inner_corners(hand.expressions() + hand.movable() * closed(e))
    )  # so that the mouth opens by mouth_open alone
    nod, blink = torch.zeros_like(mean), torch.zeros_like(mean)
    nod[:, 1] = -mean[:, 2]
    blink[hand.UPPER_LIDS, 1], blink[hand.LOWER_LIDS, 1] = 1, -1
    seen_from_front = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    taken = pinned(torch.cat([e, nod[None], blink[None]])) * seen_from_front
    q = torch.linalg.qr(taken.flatten(1).T.detach()).Q
    b = pinned(closed(symmetric(free["identity"]))).flatten(1)
    b = closed((b - (b @ q) @ q.T).unflatten(1, (68, 3)))
    return Model(
        mean, b, e, hand.all_17(free["out"].exp()), hand.all_17(free["front"].exp()), hand.all_17(free["slip"])
    )


def rotations(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """(..., 3, 3): yaw first, then pitch, then roll."""
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)

    def matrix(*rows: tuple[Tensor, ...]) -> Tensor:
        return torch.stack([torch.stack(row, -1) for row in rows], -2)

    turn = matrix((yaw.cos(), zero, yaw.sin()), (zero, one, zero), (-yaw.sin(), zero, yaw.cos()))
    nod = matrix((one, zero, zero), (zero, pitch.cos(), -pitch.sin()), (zero, pitch.sin(), pitch.cos()))
    tilt = matrix((roll.cos(), -roll.sin(), zero), (roll.sin(), roll.cos(), zero), (zero, zero, one))
    return tilt @ nod @ turn


def heads(model: Model, identity: Tensor, expression: Tensor) -> Tensor:
    """(n, 68, 3) in the head frame."""
    x = model.mean + torch.tensordot(identity, model.identity, 1)
    x = x + torch.tensordot(expression[:, :-1], model.expression, 1)
    lid = expression[:, -1]
    x = x.clone()
    for one in (slice(2), slice(2, 4)):
        upper, lower = hand.UPPER_LIDS[one], hand.LOWER_LIDS[one]
        x[:, upper], x[:, lower] = head.lids(x[:, upper], x[:, lower], (-lid).relu(), lid.relu())
    up, low = head.part(x[:, hand.UPPER_INNER], x[:, hand.LOWER_INNER])
    x[:, hand.UPPER_INNER], x[:, hand.LOWER_INNER] = up, low
    for (outer, inner), side in zip(hand.LIPS, (-1.0, 1.0), strict=True):
        x[:, outer] = head.thickened(x[:, outer], x[:, inner], side)
    return x


def seen_jaw(model: Model, jaw: Tensor, rotation: Tensor) -> Tensor:
    """The 17 jaw points (n, 17, 3) -> where annotators put them, still in the head frame."""
    dense = head.spline(head.KNOTS["jaw"], contour.GRID)
    zero = torch.zeros_like(model.out)
    out = contour.normals(model.mean[:17, :2]) * model.out[:, None]
    out, front = torch.cat([out, zero[:, None]], 1), torch.stack([zero, zero, model.front], 1)
    place, out, front = dense @ jaw, dense @ out, dense @ front
    with torch.no_grad():  # where a slice is seen edge-on its point does not move along the normal with s
        s = contour.angles(place, out, front, -front, rotation, 0.0, contour.LIMIT)
    outline = contour.slice_point(place, out, front, -front, s)
    at = torch.linspace(0, 1, 17, dtype=torch.float64) - rotation[:, 2, :1] * model.slip
    grid = contour.GRID.expand(*at.shape[:-1], -1)
    return torch.stack([contour.interpolate(at, grid, x) for x in outline.unbind(-1)], -1)


def seen(model: Model, scores: Scores, slide: bool = True) -> Tensor:
    """(n, 68, 2): the shapes that model and scores give."""
    x = heads(model, scores.identity, scores.expression)
    yaw, pitch, roll, log_s, *_ = scores.pose.unbind(-1)
    rotation = rotations(yaw, pitch, roll)
    if slide:
        x = torch.cat([seen_jaw(model, x[:, :17], rotation), x[:, 17:]], 1)
    return log_s.exp()[:, None, None] * (x @ rotation.mT)[..., :2] + scores.pose[:, None, 4:]
