"""The geometry of a drawn face: 3D curves and one surface, over identity, expression and a weak-perspective camera.

`Face3D` holds the parameters of a face; `sample` draws them with the statistics of real photographs. From them follow
any number of points on any boundary curve (`curve`), the landmarks of every annotation scheme, which lie on the same
curves (`landmarks`), the outline of the head (`outline`) and a mesh that passes through the curves (`mesh`).

Parts of this package: `face3d` the camera, `head` the knots of the head, `contour` the outline of a turned head,
`curves` the curves, `surface` the mesh, `prior` the distribution of faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Bool, Float, Int
from lddmmlib.faces import schemes
from lddmmlib.faces.geometry import curves, prior, surface
from lddmmlib.faces.geometry.curves import CURVES
from lddmmlib.faces.geometry.face3d import IDENTITIES, LIMITS, Face3D, to_camera
from lddmmlib.faces.geometry.head import EXPRESSIONS

__all__ = ["CURVES", "EXPRESSIONS", "IDENTITIES", "LIMITS", "Face3D", "chart", "curve", "landmarks", "mesh", "outline",
           "regions", "sample", "to_camera", "visible"]  # fmt: skip

STANDS_BEFORE = 0.05  # eye-corner distances: a surface nearer to a point does not hide it
Parameters = Sequence[float] | np.ndarray | Tensor


def sample(rng: np.random.Generator, setting: str = "wild") -> Face3D:
    """Sample a random face with the statistics of real photographs (`geometry.prior`), at default scale and centre.

    Args:
        rng: the source of randomness.
        setting: "studio" (nearly frontal, mild expressions) or "wild" (as photographs on the web).

    >>> sample(np.random.default_rng(0), "studio").yaw == sample(np.random.default_rng(0), "studio").yaw
    True
    """
    return Face3D(**prior.draw(rng, setting)._asdict())


def curve(face: Face3D, name: str, t: Parameters) -> Float[Tensor, "k 3"]:
    """Points on a boundary curve in the camera frame.

    The jaw is where annotators see it: on the outline of the head, where the head hides the jaw itself.

    Args:
        face: the parameters of the face.
        name: one of `CURVES`.
        t: (k,), positions along the curve, from 0 to 1.

    Returns:
        (k, 3), px, float64: x to the right, y downwards, z towards the camera.

    Raises:
        ValueError: an unknown curve, or a t outside [0, 1].

    >>> curve(Face3D(scale=60.0), "left_eye", [0.0]).tolist()
    [[-30.0, 0.0, 0.0]]
    """
    _checks.one_of(name, "curve", CURVES)
    return to_camera(face, curves.seen(face, name, _where(t)))


def visible(face: Face3D, name: str, t: Parameters) -> Bool[Tensor, " k"]:
    """Visibility of points on a boundary curve.

    A point is hidden where the head is in front of it by more than 0.05 eye-corner distances; on the jaw also where the
    outline on which it is drawn is that far from the jaw itself.

    Args:
        face: the parameters of the face.
        name: one of `CURVES`.
        t: (k,), positions along the curve, from 0 to 1.

    Returns:
        (k,), True where the point is visible.

    >>> visible(Face3D(yaw=0.8), "jaw", [0.2, 0.8]).tolist()
    [True, False]
    """
    _checks.one_of(name, "curve", CURVES)
    points = to_camera(face, curves.seen(face, name, _where(t)))
    return ~_slid(face, name, _where(t), points) & ~_covered(face, points)


def landmarks(
    face: Face3D, scheme: str | schemes.Scheme = "300w-68"
) -> tuple[Float[Tensor, "n 2"], Bool[Tensor, " n"]]:
    """The landmarks of a face in any annotation scheme (`faces.schemes`).

    All schemes sample the same curves, so they agree wherever they share a placement.

    Args:
        face: the parameters of the face.
        scheme: an annotation scheme, or its name; not own landmarks.

    Returns:
        The landmarks (n, 2), px, float64, and whether each is visible (n,).

    >>> points, seen = landmarks(Face3D(scale=60.0, centre=np.array([64.0, 50.0])), "300w-68")
    >>> points[[36, 45]].tolist(), seen.all().item()
    ([[34.0, 50.0], [94.0, 50.0]], True)
    """
    n = schemes.placed(scheme).n
    points, slid = torch.zeros(n, 3, dtype=torch.float64), torch.zeros(n, dtype=torch.bool)
    for name, i, t in _plan(scheme):
        points[i] = to_camera(face, curves.seen(face, name, t))
        slid[i] = _slid(face, name, t, points[i])
    return points[:, :2], ~slid & ~_covered(face, points)


@cache
def _plan(scheme: str | schemes.Scheme) -> list[tuple[str, list[int], tuple[float, ...]]]:
    """The curves of a scheme, each with the landmarks on it and their t."""
    by_curve: dict[str, list[int]] = {}
    placements = schemes.get(scheme).placements
    for i, p in enumerate(placements):
        by_curve.setdefault(p.curve, []).append(i)
    return [(name, i, tuple(float(placements[j].t) for j in i)) for name, i in by_curve.items()]


def _where(t: Parameters) -> tuple[float, ...]:
    values = tuple(np.asarray(t, dtype=np.float64).reshape(-1).tolist())
    if not values or not all(0 <= v <= 1 for v in values):
        raise ValueError(f"t: needed at least one number, all from 0 to 1, got {t!r}")
    return values


def _slid(face: Face3D, name: str, t: tuple[float, ...], points: Tensor) -> Tensor:
    """A mask of the points of the camera frame that lie off the jaw that they stand for."""
    if name != "jaw":
        return torch.zeros(len(t), dtype=torch.bool)
    jaw = to_camera(face, curves.hidden_jaw(face, t))
    return (points - jaw)[:, :2].norm(dim=-1) > STANDS_BEFORE * face.scale


def _covered(face: Face3D, points: Tensor) -> Tensor:
    """A mask of the points (k, 3) of the camera frame that the mesh hides."""
    vertices, triangles = (m.numpy() for m in mesh(face))
    p, corners = points.numpy(), vertices[triangles]
    (x0, y0, _), (x1, y1, z1) = corners.min(1).T, corners.max(1).T
    x, y, z = p.T[..., None]
    i, f = np.nonzero((x >= x0) & (x <= x1))
    kept = (y[i, 0] >= y0[f]) & (y[i, 0] <= y1[f]) & (z1[f] > z[i, 0] + STANDS_BEFORE * face.scale)
    i, f = i[kept], f[kept]
    a, d = corners[f, 0], p[i] - corners[f, 0]
    u, v = corners[f, 1] - a, corners[f, 2] - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    area = np.where(area == 0, np.inf, area)
    s, t = (d[:, 0] * v[:, 1] - d[:, 1] * v[:, 0]) / area, (u[:, 0] * d[:, 1] - u[:, 1] * d[:, 0]) / area
    before = s * u[:, 2] + t * v[:, 2] - d[:, 2] > STANDS_BEFORE * face.scale
    covered = np.zeros(len(p), dtype=bool)
    covered[i[(s >= 0) & (t >= 0) & (s + t <= 1) & before]] = True
    return torch.from_numpy(covered)


def mesh(face: Face3D) -> tuple[Float[Tensor, "v 3"], Int[Tensor, "f 3"]]:
    """The mesh of a face in the camera frame (`geometry.surface`).

    Seen from outside, the corners of a triangle run counter-clockwise in space: (b - a) x (c - a) points outwards.

    Returns:
        Vertices (v, 3), px, and triangles (f, 3), which are the same for every face.

    >>> vertices, triangles = mesh(Face3D(scale=60.0))
    >>> triangles.shape == (len(regions()), 3), vertices.shape == (len(chart()), 3)
    (True, True)
    """
    m = surface.mesh()
    return to_camera(face, m.weights @ face.knots + m.constant), m.triangles


def chart() -> Float[Tensor, "v 2"]:
    """The coordinates (v, 2) of the vertices of the mesh on the flat chart, the same for every face (for textures).

    >>> chart().shape == (int(mesh(Face3D())[1].max()) + 1, 2)
    True
    """
    return surface.mesh().chart


def regions() -> Int[Tensor, " f"]:
    """The region (f,) of each triangle of the mesh, as an index into `surface.REGIONS`.

    >>> set(regions().tolist()) == set(range(len(surface.REGIONS)))
    True
    """
    return surface.mesh().region


def outline(face: Face3D, n: int = 128) -> Float[Tensor, "n 2"]:
    """The silhouette of the head with its ears, without the neck, as a closed polygon.

    Args:
        face: the parameters of the face.
        n: the number of points. They lie in n equally spaced directions from the middle of the head: the first to the
            right, then clockwise as seen in the image.

    Returns:
        (n, 2), px.

    >>> outline(Face3D(scale=60.0), 16).shape
    torch.Size([16, 2])
    """
    t = torch.linspace(0, 1, 97, dtype=torch.float64)
    rim = torch.cat([curves.edge(face, "crown", t), curves.edge(face, "nape", t).flip(0)])
    rim = to_camera(face, rim)[:, :2].numpy()
    middle = (rim.max(0) + rim.min(0)) / 2
    turn = 2 * np.pi * np.arange(n) / n
    ears = [curve(face, f"{side}_ear", t[::4])[:, :2].numpy() for side in ("left", "right")]
    far = np.max([_reach(polygon, middle, turn) for polygon in (rim, *ears)], axis=0)
    return torch.from_numpy(middle + far[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1))


def _reach(polygon: np.ndarray, middle: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """The distance from a point to a closed polygon in the directions `turn`; 0 where the polygon is not met."""
    a, b = polygon - middle, np.roll(polygon, -1, 0) - middle
    d = np.stack([np.cos(turn), np.sin(turn)], 1)[:, None]
    ca, cb = d[..., 0] * a[:, 1] - d[..., 1] * a[:, 0], d[..., 0] * b[:, 1] - d[..., 1] * b[:, 0]
    crossed = (ca > 0) != (cb > 0)
    at = ca / np.where(crossed, ca - cb, 1)
    along = (d * (a + at[..., None] * (b - a))).sum(-1)
    return np.where(crossed, along, 0).clip(min=0).max(1)
