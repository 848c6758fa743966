"""The sitter: the posed curves and the surface of a face, in px of one canvas."""

from __future__ import annotations

from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib.faces import geometry
from lddmmlib.faces.geometry import head, surface
from lddmmlib.faces.painters.canvas import Array
from lddmmlib.faces.placements import BANDS

_LENGTH = {"jaw": 65, "nose_outline": 49, "crown": 33, "hairline": 33, "left_iris": 33, "right_iris": 33}
_LENGTH |= {"left_pupil": 1, "right_pupil": 1}
_APART = ("jaw", "hairline", "left_iris", "right_iris", "left_pupil", "right_pupil")  # not linear in the knots


class Sitter:
    """Curves by name and points of the head frame, as the camera sees them.

    size: (h, w) of the canvas. unit: px per eye-corner distance, the unit of all lengths in the painters.
    lowered: from a part of a curve's name to the distance by which it is painted below its place, in units.
    right, down, forth: one eye-corner distance along the axes of the head, in the image, px.
    """

    def __init__(self, face: geometry.Face3D, size: tuple[int, int], lowered: dict[str, float] | None = None) -> None:
        self.face, self.size, self.unit = face, size, float(face.scale)
        self.right, self.down, self.forth = self.unit * face.rotation[:2].T
        weights, self._rows = _linear()
        self._linear = geometry.to_camera(face, weights @ face.knots).numpy()
        self._apart = {name: geometry.curve(face, name, _parameters(name)).numpy() for name in _APART}
        for part, share in (lowered or {}).items():
            for name in filter(lambda name: part in name, geometry.CURVES):
                self.solid(name)[:, :2] += share * self.down

    def solid(self, name: str) -> Array:
        """A curve (k, 3), px, at equally spaced t: `geometry.curve`."""
        return self._apart[name] if name in self._apart else self._linear[self._rows[name]]

    def __getitem__(self, name: str) -> Array:
        """A curve (k, 2), px."""
        return self.solid(name)[:, :2]

    def at(self, points: Array) -> Array:
        """Project points (..., 3) of the head frame (`faces.geometry.head`) to px."""
        return geometry.to_camera(self.face, np.asarray(points, float))[..., :2]

    def lens(self, name: str) -> Array:
        """The closed outline of a band (eye, lip, brow): along its upper edge and back along the lower one."""
        return np.concatenate([self[name + "_upper"], self[name + "_lower"][::-1]])

    def pair(self, name: str) -> Array:
        """A curve of the left and of the right side, (2, k, 2), px."""
        return np.stack([self["left_" + name], self["right_" + name]])

    def lenses(self, name: str) -> Array:
        """The outlines of the bands of both sides, (2, k, 2), px."""
        return np.stack([self.lens("left_" + name), self.lens("right_" + name)])

    def near(self, side: str) -> bool:
        """True if this side of the head, with its ear, faces the camera or nearly does."""
        return bool(self.face.rotation[2, 0] * (1 if side == "right" else -1) > -0.12)

    @cached_property
    def half(self) -> float:
        """Half the width of the head between the ears, in eye-corner distances."""
        return float(np.linalg.norm(self.solid("right_ear")[0] - self.solid("left_ear")[0])) / 2 / self.unit

    @cached_property
    def surface(self) -> tuple[Array, Array]:
        """Vertices (v, 3), px, and triangles (f, 3) of the mesh."""
        vertices, triangles = geometry.mesh(self.face)
        return vertices.numpy(), triangles.numpy()

    @cached_property
    def head(self) -> list[Array]:
        """Closed outlines whose union is the head with its ears."""
        parts = [self["nose_outline"], self["nose_bridge"]], [self.lens("outer_lip")]
        parts += tuple([self.lens(f"{side}_brow"), self.lens(f"{side}_eye")] for side in ("left", "right"))
        return [geometry.outline(self.face).numpy(), *(hull(np.concatenate(part)) for part in parts)]

    @cached_property
    def neck(self) -> Array:
        """The outline of the neck: at each height its leftmost and its rightmost point."""
        tube = self.surface[0][_vertices("neck")][:, :2].reshape(9, 15, 2)
        row = np.arange(9)
        left, right = (tube[row, find(tube[..., 0], 1)] for find in (np.argmin, np.argmax))
        return np.concatenate([left, right[::-1]])

    def scalp(self, thick: float) -> Array:
        """The outline of the skull above the ears and the nape, enlarged by the factor `thick`."""
        skull = self.surface[0][_scalp(), :2]
        middle = skull.mean(0)
        return hull(middle + thick * (skull - middle))


def hull(points: Array) -> Array:
    """The convex hull of points (k, 2) as a closed polygon."""
    cv2 = _checks.optional("cv2")

    return points[cv2.convexHull(points.astype(np.float32), returnPoints=False)[:, 0]]


def _parameters(name: str) -> Array:
    return np.linspace(0, 1, _LENGTH.get(name, 17))


@cache
def _linear() -> tuple[Tensor, dict[str, slice]]:
    """All other curves as weights of the knots, and the slice of each: one product instead of thirty."""
    parts, rows, start = [], {}, 0
    for name in geometry.CURVES:
        if name not in _APART:
            parts.append(_weights(name, torch.from_numpy(_parameters(name))))
            rows[name] = slice(start, start := start + len(parts[-1]))
    return torch.cat(parts), rows


def _weights(name: str, t: Tensor) -> Tensor:
    count = len(geometry.Face3D().knots)
    if name in BANDS and not name.endswith("brow"):
        return (_weights(name + "_upper", t) + _weights(name + "_lower", t)) / 2
    return head.edge(name, t, count)


@cache
def _vertices(region: str) -> Array:
    """The vertices of the mesh in one of `surface.REGIONS`."""
    chosen = geometry.regions().numpy() == surface.REGIONS.index(region)
    return np.unique(surface.mesh().triangles.numpy()[chosen])


@cache
def _scalp() -> Array:
    """The vertices that hair may cover: above the eyes on the mean face, and down to the nape behind."""
    vertices = geometry.mesh(geometry.Face3D())[0].numpy()
    head = np.union1d(_vertices("skin"), _vertices("back"))
    _, y, z = vertices[head].T
    return head[(y < -0.1) | ((z < -0.9) & (y < 0.2))]
