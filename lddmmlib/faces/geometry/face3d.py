"""The parameters of one face, validated, and the weak-perspective camera:

    (u, v) = centre + scale · [ Roll(roll) Pitch(pitch) Yaw(yaw) x ]_xy

The head (`geometry.head`) is rotated in three dimensions, then projected: yaw > 0 turns it to the right of the image,
pitch > 0 up, roll > 0 clockwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib.faces.geometry import head
from lddmmlib.faces.geometry.head import EXPRESSIONS

IDENTITIES = 25  # standard normal over people; the last five change only parts that 68 points do not cover
FARTHEST = 4.0  # the largest absolute value of an identity parameter
LIMITS = {"yaw": np.radians(60), "pitch": np.radians(35), "roll": np.radians(45)}  # radians, for either sign
NECK_SHARE = (1.0, 0.7, 0.35, 0.2)  # the share of the head's rotation that each knot of the neck takes part in
NECK_PIVOT = (0.0, 0.9, -0.95)


@dataclass(frozen=True, eq=False)
class Face3D:
    """The parameters of a face's geometry.

    Args:
        identity: (25,), standard normal over people, from -4 to 4; 0 is the mean face.
        expression: (10,), in the order and within the bounds of `EXPRESSIONS`; 0 is neutral.
        yaw: radians, within `LIMITS`, as pitch and roll.
        pitch: radians.
        roll: radians.
        scale: px per eye-corner distance of the frontal face.
        centre: (2,), px, the position in the image of the midpoint between the eye corners.

    Raises:
        ValueError: a parameter outside these ranges.

    >>> face = Face3D(yaw=0.5, scale=80.0, centre=[128.0, 110.0])
    >>> face.rotation.shape, len(face.identity)
    ((3, 3), 25)
    """

    identity: np.ndarray | Sequence[float] = field(default_factory=partial(np.zeros, IDENTITIES))
    expression: np.ndarray | Sequence[float] = field(default_factory=partial(np.zeros, len(EXPRESSIONS)))
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    scale: float = 1.0
    centre: np.ndarray | Sequence[float] = field(default_factory=partial(np.zeros, 2))

    def __post_init__(self) -> None:
        for name, n in (("identity", IDENTITIES), ("expression", len(EXPRESSIONS)), ("centre", 2)):
            value = np.asarray(getattr(self, name), dtype=np.float64)
            if value.shape != (n,) or not np.isfinite(value).all():
                raise ValueError(f"{name}: needed {n} finite numbers, got {getattr(self, name)!r}")
            object.__setattr__(self, name, value)
        for name, limit in LIMITS.items():
            if not abs(getattr(self, name)) <= limit + 1e-9:
                span = f"{-limit:.4f} to {limit:.4f} radians ({np.degrees(limit):.0f} degrees either way)"
                raise ValueError(f"{name}: needed {span}, got {getattr(self, name)}")
        _checks.positive(self.scale, "scale")
        if (far := np.abs(self.identity).max()) > FARTHEST:
            raise ValueError(f"identity: needed numbers from {-FARTHEST} to {FARTHEST}, got one of size {far}")
        for (name, (low, high)), value in zip(EXPRESSIONS.items(), self.expression, strict=True):
            if not low <= value <= high:
                raise ValueError(f"expression: needed {name} from {low} to {high}, got {value}")

    def express(self, **named: float) -> Face3D:
        """The same face with the named expressions changed.

        >>> Face3D().express(smile=1.0, gaze_x=-0.5).expression.tolist()
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.5, 0.0, 0.0]
        """
        expression = self.expression.copy()
        for name, value in named.items():
            _checks.one_of(name, "expression", EXPRESSIONS)
            expression[list(EXPRESSIONS).index(name)] = value
        return replace(self, expression=expression)

    def strength(self, name: str) -> float:
        """The value of the named expression.

        >>> Face3D().express(smile=0.5).strength("smile")
        0.5
        """
        return float(self.expression[list(EXPRESSIONS).index(name)])

    @cached_property
    def rotation(self) -> np.ndarray:
        """The rotation (3, 3) from the head frame to the camera frame."""
        return rotation(self.yaw, self.pitch, self.roll)

    @cached_property
    def knots(self) -> Tensor:
        """All knots (rows, 3) in the head frame (`head`); those of the neck follow the rotation only in part."""
        x = head.knots(torch.from_numpy(self.identity), torch.from_numpy(self.expression))
        pivot = torch.tensor(NECK_PIVOT, dtype=torch.float64)
        for i, share in enumerate(NECK_SHARE):
            body = rotation(share * self.yaw, share * self.pitch, share * self.roll)
            back = torch.from_numpy(body.T @ self.rotation)  # its transpose maps the body's frame to the head's
            for side in ("left", "right"):
                neck = x[head.ROWS[f"{side}_neck"]]
                neck[i] = pivot + (neck[i] - pivot) @ back
        return x


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The rotation matrix (3, 3) of yaw, then pitch, then roll.

    Args:
        yaw: radians.
        pitch: radians.
        roll: radians.

    >>> rotation(np.pi / 2, 0, 0).round(12) @ [0, 0, 1]
    array([1., 0., 0.])
    """
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in (yaw, pitch, roll))
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return tilt @ nod @ turn


def to_camera(face: Face3D, points: np.ndarray | Tensor) -> np.ndarray | Tensor:
    """Map points from the head frame to the camera frame: x to the right, y downwards, z towards the camera.

    Args:
        face: the parameters of the face.
        points: (..., 3), eye-corner distances.

    Returns:
        (..., 3), px, of the same kind (array or tensor).

    >>> to_camera(Face3D(scale=60.0, centre=np.array([64.0, 50.0])), np.array([0.5, 0.0, 0.1])).tolist()
    [94.0, 50.0, 6.0]
    """
    turn, shift = face.rotation, np.array([*face.centre, 0.0])
    if isinstance(points, Tensor):
        turn, shift = torch.from_numpy(turn), torch.from_numpy(shift)
    return face.scale * (points @ turn.T) + shift
