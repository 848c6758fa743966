"""Height fields of a sitter: the elevation of each point towards the camera, in eye-corner distances.

They lie on a square lattice of `LATTICE` cells a side that covers the canvas at every size, so that the light in a
picture does not depend on its resolution. The head has a field of its own, continued beyond its edge: where the chin
ends before the neck, neither contributes to the slopes of the other, and the edge stays sharp.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from lddmmlib.faces import geometry
from lddmmlib.faces.geometry import surface
from lddmmlib.faces.painters import canvas
from lddmmlib.faces.painters.body import clothes_outline
from lddmmlib.faces.painters.canvas import Array
from lddmmlib.faces.painters.look import Look
from lddmmlib.faces.painters.sitter import Sitter

LATTICE = 96
HOLES = ("left_eye", "right_eye", "inner_lip")


class Relief(NamedTuple):
    """A height field, and the share of each cell that the object fills."""

    height: Array
    inside: Array


class Lattice:
    """The lattice under a canvas: the sitter in units of cells."""

    def __init__(self, sitter: Sitter) -> None:
        self.share = LATTICE / sitter.size[0]
        self.unit = sitter.unit * self.share  #: cells per eye-corner distance
        self.vertices, self.triangles = self.cells(sitter.surface[0]), sitter.surface[1]

    def cells(self, points: Array) -> Array:
        """Convert canvas px to cells; a third coordinate is scaled only."""
        out = points * self.share
        out[..., :2] += (self.share - 1) / 2
        return out

    def depth(self, *regions: str) -> tuple[Array, Array]:
        """The z of some regions of the mesh in eye-corner distances, 0 where there are none, and a mask of them."""
        z = rasterise(self.vertices, self.triangles[_triangles(regions)], LATTICE) / self.unit
        seen = np.isfinite(z)
        return np.where(seen, z, 0).astype(np.float32), seen.astype(np.float32)

    def spread(self, z: Array, seen: Array, sigma: float) -> tuple[Array, Array]:
        """Continue z into hidden cells; also the visible share around each cell. sigma in eye-corner distances."""
        share = canvas.blur(seen, sigma * self.unit)
        return canvas.blur(z * seen, sigma * self.unit) / np.maximum(share, 1e-3), share


@cache
def _triangles(regions: tuple[str, ...]) -> Array:
    return np.isin(geometry.regions().numpy(), [surface.REGIONS.index(name) for name in regions])


def rasterise(vertices: Array, triangles: Array, cells: int) -> Array:
    """The z of the foremost triangle that faces the camera in every cell (x and y in cells), -inf without one."""
    x, y, z = vertices.T
    a, b, c = triangles.T
    area = (x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a])
    a, b, c = triangles[area > 0].T
    area = area[area > 0]
    (x0, x1), (y0, y1) = (
        (
            np.clip(np.ceil(np.minimum(np.minimum(v[a], v[b]), v[c])), 0, cells).astype(int),
            np.clip(np.floor(np.maximum(np.maximum(v[a], v[b]), v[c])) + 1, 0, cells).astype(int),
        )
        for v in (x, y)
    )
    wide = np.maximum(x1 - x0, 0)
    count = wide * np.maximum(y1 - y0, 0)
    f = np.repeat(np.arange(len(a)), count)  # every triangle, once for each cell of its bounding box
    step = np.arange(len(f)) - np.repeat(np.cumsum(count) - count, count)
    column, row = x0[f] + step % wide[f], y0[f] + step // wide[f]
    a, b, c, area = a[f], b[f], c[f], area[f]
    dx, dy = column - x[a], row - y[a]
    s = (dx * (y[c] - y[a]) - dy * (x[c] - x[a])) / area
    t = (dy * (x[b] - x[a]) - dx * (y[b] - y[a])) / area
    inside = (s >= -1e-9) & (t >= -1e-9) & (s + t <= 1 + 1e-9)
    depth = np.full(cells * cells, -np.inf)
    np.maximum.at(depth, (row * cells + column)[inside], (z[a] + s * (z[b] - z[a]) + t * (z[c] - z[a]))[inside])
    return depth.reshape(cells, cells)


def head(sitter: Sitter, lattice: Lattice, look: Look) -> Relief:
    """The relief of head and ears, closed over eyes and mouth, continued beyond its edge."""
    z, seen = lattice.depth("skin", "back", "ear")
    holes = canvas.union([canvas.fill(lattice.cells(sitter.lens(name)), z.shape) for name in HOLES], z.shape)
    seen *= holes < 0.02  # openings in the surface
    (fine, near), (close, _), (beyond, _) = (lattice.spread(z, seen, sigma) for sigma in (0.03, 0.12, 0.25))
    inside = np.maximum(near, holes)
    height = inside * (near * fine + (1 - near) * close) + (1 - inside) * (beyond - 0.5)
    return Relief(height + _small_forms(sitter, lattice, look.rng("relief")), inside)


def body(sitter: Sitter, lattice: Lattice, look: Look, above: Relief) -> Array:
    """The relief of neck and clothes, and of the head before them, which casts a shadow on them."""
    (fine, near), (beyond, _) = (lattice.spread(*lattice.depth("neck"), sigma) for sigma in (0.04, 0.25))
    height = near * fine + (1 - near) * (beyond - 0.5)
    outline = lattice.cells(clothes_outline(sitter, look))
    cut, soft = (canvas.fill(outline, height.shape, sigma * lattice.unit) for sigma in (0.03, 0.15))
    shoulder = (sitter.solid("left_neck")[-1, 2] + sitter.solid("right_neck")[-1, 2]) / 2 / sitter.unit
    cloth = np.full_like(height, shoulder - 0.5)
    cloth[soft.at] += 0.6 * soft.value
    height[cut.at] += cut.value * (cloth[cut.at] - height[cut.at])
    return height + above.inside * (above.height - height)


def _small_forms(sitter: Sitter, lattice: Lattice, rng: np.random.Generator) -> Array:
    """Elevations of eyeballs and sockets, brow ridges, nose, chin and lips, each of random strength."""
    out = np.zeros((LATTICE, LATTICE), np.float32)
    axes = lattice.share * np.stack([sitter.right, sitter.down])

    def spot(centre: Array, wide: float, high: float, amount: float) -> None:
        mask = canvas.blob(lattice.cells(centre), axes * [[wide], [high]], out.shape)
        out[mask.at] += np.float32(amount) * mask.value

    tip, wings = sitter["nose_bridge"][-1], sitter["nose_outline"][[12, 36]]
    ball, socket, ridge, nose, wing, chin = rng.uniform(0, [0.02, 0.05, 0.04, 0.04, 0.025, 0.05])
    for side in (0, 1):
        eye = sitter.lenses("eye")[side].mean(0)
        spot(eye, 0.1, 0.06, ball)
        spot(eye - 0.05 * sitter.down, 0.2, 0.12, -socket)
        spot(sitter.pair("brow")[side, 8], 0.2, 0.07, ridge)
        spot(0.75 * wings[side] + 0.25 * tip, 0.06, 0.06, wing)
    spot(tip, 0.09, 0.09, nose)
    spot(0.75 * sitter["jaw"][32] + 0.25 * sitter["outer_lip_lower"][8], 0.16, 0.14, chin)
    for lip, amount in zip(("upper", "lower"), rng.uniform(0, 0.03, 2), strict=True):
        ring = np.concatenate([sitter["outer_lip_" + lip], sitter["inner_lip_" + lip][::-1]])
        mask = canvas.fill(lattice.cells(ring), out.shape, 0.02 * lattice.unit)
        out[mask.at] += np.float32(amount) * mask.value
    return out
