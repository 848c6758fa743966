"""What several styles draw alike: flat shapes within a line, lines that swell, crisp hair, dots of print."""

from __future__ import annotations

import numpy as np

from lddmmlib.faces.painters import canvas
from lddmmlib.faces.painters.canvas import Array, Canvas, Mask
from lddmmlib.faces.painters.hair import Hair
from lddmmlib.faces.painters.look import Look
from lddmmlib.faces.painters.sitter import Sitter

WHOLE = (slice(None), slice(None))


def whole(*outlines: Array, size: tuple[int, int]) -> Array:
    """What any of some closed polygons covers, on the whole canvas (h, w)."""
    return canvas.union([canvas.fill(outline, size) for outline in outlines], size)


def lay(paper: Canvas, shape: Array, colour: Array, alpha: float = 1.0) -> None:
    """Paint a shape (h, w)."""
    paper.paint(Mask(shape, WHOLE), colour, alpha)


def flat(paper: Canvas, shape: Array, colour: Array, ink: Array, width: float) -> None:
    """One colour within a line of ``width`` px that lies on the shape's edge."""
    near = canvas.blur(shape, 0.6 * width)
    lay(paper, np.clip(3.5 * near, 0, 1), ink)
    lay(paper, np.clip(3.5 * near - 2.5, 0, 1), colour)


def pen(paper: Canvas, sitter: Sitter, line: Array, ink: Array, width: float, least: float = 0.35) -> None:
    """A line that swells to ``width`` eye-corner distances and ends thin."""
    swell = width * sitter.unit * (least + (1 - least) * np.sin(np.linspace(0, np.pi, len(line))))
    paper.paint(canvas.stroke(line, swell, sitter.size), ink)


def aside(shape: Array, way: Array) -> Array:
    """The part of a shape that is not covered by itself, moved by ``way`` px: its rim, as a shade or a shine."""
    return shape * (1 - shifted(shape, way))


def shifted(shape: Array, way: Array) -> Array:
    """A shape (h, w) moved by ``way`` px; what comes in at the border is what was there."""
    import cv2

    how = np.array([[1, 0, way[0]], [0, 1, way[1]]])
    return cv2.warpAffine(shape, how, shape.shape[::-1], borderMode=cv2.BORDER_REPLICATE)


def hair(sitter: Sitter, look: Look) -> tuple[Hair, Array, Array]:
    """Hair with crisp edges: itself, and what it covers behind and before the face, (h, w) each."""
    out = Hair(sitter, look)
    out.soft, out.wisps, out.colour = 0.004 * sitter.unit, 0.0, np.ones((*sitter.size, 3), np.float32)
    behind = Canvas(sitter.size, 0.0)
    out.behind(behind)
    return out, np.minimum(behind.image[..., 0] / 0.7, 1), canvas.union(out.front(), sitter.size)


def dots(sitter: Sitter, pitch: float, angle: float, share: float | Array) -> Array:
    """A screen of print (h, w): dots ``pitch`` eye-corner distances apart that cover about ``share`` of the paper."""
    y, x = np.mgrid[: sitter.size[0], : sitter.size[1]]
    u, v = (canvas.turned(angle, 2 * np.pi / (pitch * sitter.unit)) @ np.stack([x.ravel(), y.ravel()])).reshape(
        2, *x.shape
    )
    high = 0.5 + 0.25 * (np.cos(u) + np.cos(v))
    return np.clip((high - 1 + share) * 0.9 * pitch * sitter.unit + 0.5, 0, 1).astype(np.float32)
