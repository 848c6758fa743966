"""Deformations of a head that a style applies before it draws and before landmarks are taken: new knots,
nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from lddmmlib.faces.crossings import crossings
from lddmmlib.faces.geometry import head
from lddmmlib.faces.geometry.face3d import FARTHEST, Face3D

# Lines that must not cross: each itself, nor any of its group another.
GROUPS = (
    ("left_brow_lower", "left_eye_upper", "left_eye_lower"),
    ("right_brow_lower", "right_eye_upper", "right_eye_lower"),
    ("left_brow_upper", "right_brow_upper", "crown"),
    ("nose_outline", "outer_lip_upper", "inner_lip_upper", "inner_lip_lower", "outer_lip_lower", "jaw"),
)
LINES = [name for group in GROUPS for name in group]
PIECES = 48  # of each line
# The parts that `moulded` resizes: the knots whose middle is the centre, and the reach in eye-corner distances.
PARTS = {
    "eyes": (("left_eyeball", "right_eyeball"), 0.32),
    "nose": (("nose_outline",), 0.3),
    "mouth": (("inner_lip_upper",), 0.35),
    "chin": (("outer_lip_lower",), 0.75),
}


def exaggerated(face: Face3D, by: float) -> Face3D:
    """The face `by` times as far from the mean face, in identity and in expression:

        a' = λ a,    e' = λ e,

    clipped to the limits of `Face3D`, gaze unchanged; less far where the face would fold.
    """
    low, high = np.array(list(head.EXPRESSIONS.values())).T
    gaze = np.array([name.startswith("gaze") for name in head.EXPRESSIONS])

    def far(share: float) -> Face3D:
        factor = 1 + share * (by - 1)
        expression = np.where(gaze, face.expression, np.clip(factor * face.expression, low, high))
        return replace(face, identity=np.clip(factor * face.identity, -FARTHEST, FARTHEST), expression=expression)

    return _unfolded(far)


def moulded(face: Face3D, wide: float, high: float, **sizes: float | tuple[float, float]) -> Face3D:
    """The head `wide` times as wide and `high` times as high, and then parts of it resized, one after the other:

        x' = x + exp(-|x - c|² / reach²) (size - 1) (x - c)    seen from the front, c the middle of a part of `PARTS`,

    which is one-to-one for sizes between 0 and 3; less where the face would fold, since curves bend between their
    knots. A size may be a pair, for x and y.
    """

    def far(share: float) -> Face3D:
        x = face.knots * (1 + share * (torch.tensor([wide, high, 1.0], dtype=torch.float64) - 1))
        for part, size in sizes.items():
            names, reach = PARTS[part]
            for name in names:
                d = x[_places(), :2] - x[head.ROWS[name], :2].mean(0)
                near = share * torch.exp(-d.square().sum(-1, keepdim=True) / reach**2)
                x[_places(), :2] += near * (torch.tensor(size, dtype=torch.float64) - 1) * d
        out = replace(face)
        vars(out)["knots"] = x
        return out

    return _unfolded(far)


def _unfolded(far: Callable[[float], Face3D]) -> Face3D:
    """The fully deformed face, or the largest number of tenths of the deformation at which no line crosses another."""
    for share in np.linspace(1, 0, 11).tolist():
        face = far(share)
        if not folded(face.knots):
            break
    return face


@cache
def _places() -> Tensor:
    """The rows of knots that are positions; the others are lengths and directions."""
    rows = torch.ones(len(head.facts()[0]), dtype=torch.bool)
    for name, where in head.ROWS.items():
        rows[where] = not name.endswith(("_half", "_out", "_front", "_back"))
    return rows


def folded(knots: Tensor) -> bool:
    """True if in knots (rows, 3), seen from the front, one of `LINES` crosses itself or another of its group."""
    first, second, apart = _pairs()
    lines = (_weights(len(knots)) @ knots)[..., :2]
    return bool((crossings(lines[first], lines[second]) & apart).any())


@cache
def _pairs() -> tuple[Tensor, Tensor, Tensor]:
    """The lines to compare (m,), (m,), and a mask of their pieces (m, k, k) without neighbours and shared corners."""
    of = [g for g, group in enumerate(GROUPS) for _ in group]
    first, second = np.array([(i, j) for i in range(len(of)) for j in range(i, len(of)) if of[i] == of[j]]).T
    piece = np.arange(PIECES)
    inner = (piece > 0) & (piece < PIECES - 1)
    other, far = inner & inner[:, None], np.abs(piece - piece[:, None]) > 1
    apart = np.where((first == second)[:, None, None], far, other)
    return torch.from_numpy(first), torch.from_numpy(second), torch.from_numpy(apart)


@cache
def _weights(count: int) -> Tensor:
    """Points of the lines as sums of knots: (lines, PIECES + 1, rows)."""
    t = torch.linspace(0, 1, PIECES + 1, dtype=torch.float64)
    return torch.stack([head.edge(name, t, count) for name in LINES])
