"""The boundary curves of a face in the head frame; of the jaw also the place at which it is seen."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from lddmmlib._shapes import Float
from lddmmlib.faces.geometry import contour, head
from lddmmlib.faces.geometry.face3d import Face3D
from lddmmlib.faces.placements import BANDS

CURVES = (
    "jaw", "left_brow", "left_brow_upper", "left_brow_lower", "right_brow", "right_brow_upper", "right_brow_lower",
    "nose_bridge", "nose_outline", "left_eye", "left_eye_upper", "left_eye_lower", "right_eye", "right_eye_upper",
    "right_eye_lower", "outer_lip", "outer_lip_upper", "outer_lip_lower", "inner_lip", "inner_lip_upper",
    "inner_lip_lower", "left_pupil", "right_pupil",  # those of the schemes; then those that only a painter needs
    "left_iris", "right_iris",  # closed circles, clockwise in the image, from its right
    "left_ear", "right_ear",  # from the top of the ear around its rim to the lobe
    "hairline",  # from temple to temple over the forehead
    "crown",  # from ear to ear over the head
    "left_neck", "right_neck",  # from behind the jaw down to the shoulder
)  # fmt: skip
HAIRLINE = (0.1, 0.9, 0.95)  # start and stop along the crown, and the angle of its slices
SLICED = {  # outline -> the curve of its slices, and the range of angles in which it may slide
    "jaw": ("jaw", 0.0, contour.LIMIT),
    "nape": ("jaw", -np.pi / 2, contour.LIMIT),  # the outline of the jaw if it may slide backwards, too
    "crown": ("crown", -np.pi / 2, contour.LIMIT),
}
Where = tuple[float, ...]  # values of t


@lru_cache(maxsize=512)
def _weights(name: str, t: Where) -> Tensor:
    return head.spline(head.KNOTS[name], torch.tensor(t, dtype=torch.float64))


def _splined(face: Face3D, name: str, t: Where) -> Tensor:
    return _weights(name, t) @ face.knots[head.ROWS[name]]


def place(face: Face3D, name: str, t: Where) -> Float[Tensor, "k 3"]:
    """Points of a curve of `CURVES` at their anatomical place on the head."""
    side, _, rest = name.partition("_")
    if rest in ("brow_upper", "brow_lower"):
        half = _splined(face, f"{side}_brow_half", t)
        return _splined(face, f"{side}_brow", t) + (half if rest == "brow_upper" else -half)
    if name in BANDS and rest != "brow":
        return (_splined(face, f"{name}_upper", t) + _splined(face, f"{name}_lower", t)) / 2
    if rest == "pupil":
        return (face.knots[head.ROWS[f"{side}_eyeball"]] + head.EYEBALL * _gaze(face)).expand(len(t), 3)
    if rest == "iris":
        return _iris(face, side, t)
    if name == "hairline":
        start, stop, angle = HAIRLINE
        along = start + (stop - start) * torch.tensor(t, dtype=torch.float64)
        return contour.slice_point(*_slices(face, "crown", along), torch.full_like(along, angle))
    return _splined(face, name, t)


def seen(face: Face3D, name: str, t: Where) -> Float[Tensor, "k 3"]:
    """Points of a curve as `place` gives them, but the jaw where annotators see it (`geometry.contour`)."""
    return edge(face, "jaw", _slipped(face, t)) if name == "jaw" else place(face, name, t)


def hidden_jaw(face: Face3D, t: Where) -> Float[Tensor, "k 3"]:
    """Points of the jaw itself, at the slices whose visible edge annotators mark as t."""
    return _slices(face, "jaw", _slipped(face, t))[0]


def edge(face: Face3D, outline: str, t: Tensor) -> Float[Tensor, "k 3"]:
    """Points of an outline of `SLICED`: for the slices at t those that are seen edge-on.

    Their angles are computed on a grid and interpolated. An error in the angle hardly changes the outline, to which the
    slice is tangent there.
    """
    along, low, high = SLICED[outline]
    parts, turn = _slices(face, along, contour.GRID), torch.from_numpy(face.rotation)
    if along == "crown":  # it runs in the other direction, and normals point outwards
        angles = contour.angles(*(p.flip(0) for p in parts), turn, low, high).flip(0)
    else:
        angles = contour.angles(*parts, turn, low, high)
    return contour.slice_point(*_slices(face, along, t), contour.interpolate(t, contour.GRID, angles))


def _slices(face: Face3D, name: str, t: Tensor) -> list[Tensor]:
    """P, L, F, K (k, 3) of the slices at t along "jaw" or "crown"."""
    weights = head.spline(head.KNOTS[name], t)
    return [weights @ face.knots[head.ROWS[name + part]] for part in ("", "_out", "_front", "_back")]


def _slipped(face: Face3D, t: Where) -> Tensor:
    """The slices at which annotators put the t of the jaw."""
    return torch.tensor(t, dtype=torch.float64) - face.rotation[2, 0] * (_weights("jaw", t) @ head.slip())


def _gaze(face: Face3D) -> Tensor:
    """The direction of both eyes in the head frame."""
    a, b = (face.strength(name) * most for name, most in zip(("gaze_x", "gaze_y"), head.GAZE, strict=True))
    return torch.tensor([np.sin(a) * np.cos(b), np.sin(b), np.cos(a) * np.cos(b)], dtype=torch.float64)


def _iris(face: Face3D, side: str, t: Where) -> Tensor:
    """The circle where the iris meets the eyeball."""
    axis, turn = _gaze(face), 2 * np.pi * torch.tensor(t, dtype=torch.float64)[:, None]
    right = torch.linalg.cross(axis.new_tensor([0.0, 1.0, 0.0]), axis)
    right = right / right.norm()
    circle = turn.cos() * right + turn.sin() * torch.linalg.cross(axis, right)
    depth = np.sqrt(head.EYEBALL**2 - head.IRIS**2)
    return face.knots[head.ROWS[f"{side}_eyeball"]] + depth * axis + head.IRIS * circle
