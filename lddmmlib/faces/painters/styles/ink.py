"""Parts shared by several styles: flat shapes within a line, lines of varying width, eyes of discs, a mouth, crisp
hair.
"""

from __future__ import annotations

import numpy as np

from lddmmlib import _checks
from lddmmlib.faces.painters import body, canvas
from lddmmlib.faces.painters.canvas import Array, Canvas, Mask
from lddmmlib.faces.painters.drawing import WIDTHS
from lddmmlib.faces.painters.hair import Hair
from lddmmlib.faces.painters.look import Look
from lddmmlib.faces.painters.photograph import Painting, occluded
from lddmmlib.faces.painters.sitter import Sitter

Disc = tuple[float, Array, Array | float]
WHOLE = (slice(None), slice(None))


def lay(paper: Canvas, shape: Array, colour: Array, alpha: float = 1.0) -> None:
    """Paint a shape (h, w)."""
    paper.paint(Mask(shape, WHOLE), colour, alpha)


def flat(paper: Canvas, shape: Array, colour: Array, ink: Array, width: float) -> None:
    """Paint one colour within a line of `width` px on the edge of the shape."""
    near = canvas.blur(shape, 0.6 * width)
    lay(paper, np.clip(3.5 * near, 0, 1), ink)
    lay(paper, np.clip(3.5 * near - 2.5, 0, 1), colour)


def pen(paper: Canvas, sitter: Sitter, line: Array, ink: Array, width: float, least: float = 0.35) -> None:
    """Draw a line that swells to `width` eye-corner distances and ends thin."""
    swell = width * sitter.unit * (least + (1 - least) * np.sin(np.linspace(0, np.pi, len(line))))
    paper.paint(canvas.stroke(line, swell, sitter.size), ink)


def aside(shape: Array, way: Array) -> Array:
    """The part of a shape that its own copy, moved by `way` px, does not cover: its rim, as a shade or a highlight."""
    return shape * (1 - shifted(shape, way))


def shifted(shape: Array, way: Array) -> Array:
    """A shape (h, w) moved by `way` px; the border is replicated."""
    cv2 = _checks.optional("cv2")

    how = np.array([[1, 0, way[0]], [0, 1, way[1]]])
    return cv2.warpAffine(shape, how, shape.shape[::-1], borderMode=cv2.BORDER_REPLICATE)


def hair(sitter: Sitter, look: Look) -> tuple[Array, Array]:
    """The shapes (h, w) of hair with crisp edges, behind and before the face."""
    out = Hair(sitter, look)
    out.soft, out.wisps, out.colour = 0.004 * sitter.unit, 0.0, np.ones((*sitter.size, 3), np.float32)
    behind = Canvas(sitter.size, 0.0)
    out.behind(behind)
    return np.minimum(behind.image[..., 0] / 0.7, 1), canvas.union(out.front(), sitter.size)


def outlines(sitter: Sitter, look: Look) -> tuple[Array, Array, Array]:
    """The shapes (h, w) of head, neck and clothes."""
    parts = sitter.head, [sitter.neck], [body.clothes_outline(sitter, look)]
    head, neck, cloth = (canvas.union([canvas.fill(part, sitter.size) for part in p], sitter.size) for p in parts)
    return head, neck, cloth


def eye(paper: Canvas, sitter: Sitter, side: str, white: Array, *discs: Disc) -> None:
    """Paint an opening, and in it discs about the middle of the iris: size in irises, colour, shift in corner
    distances.
    """
    opening, ring = canvas.fill(sitter.lens(f"{side}_eye"), sitter.size), sitter[f"{side}_iris"][:-1]
    paper.paint(opening, white)
    for share, colour, shift in discs:
        disc = ring.mean(0) + sitter.unit * shift + share * (ring - ring.mean(0))
        paper.paint(canvas.within(canvas.fill(disc, sitter.size), opening), colour)


def mouth(paper: Canvas, sitter: Sitter, lips: Array | None, hole: Array, teeth: Array) -> None:
    """Paint flat lips if they have a colour, the opening between them, and a row of teeth."""
    if lips is not None:
        paper.paint(canvas.fill(sitter.lens("outer_lip"), sitter.size), lips)
    opening, upper = canvas.fill(sitter.lens("inner_lip"), sitter.size), sitter["inner_lip_upper"]
    paper.paint(opening, hole)
    row = np.concatenate([upper, (0.7 * upper + 0.3 * sitter["inner_lip_lower"])[::-1]])
    paper.paint(canvas.within(canvas.fill(row, sitter.size), opening), teeth)


def contours(paper: Canvas, sitter: Sitter, ink: Array, thick: float, least: float = 0.35) -> None:
    """Draw all lines of the face, `thick` times as wide as those of a sketch, and those of the ears."""
    for side in ("left", "right"):
        if sitter.near(side):
            pen(paper, sitter, sitter[f"{side}_ear"], ink, 0.02 * thick, least)
    for name, width in WIDTHS.items():
        pen(paper, sitter, sitter[name][10:39] if name == "nose_outline" else sitter[name], ink, thick * width, least)


def finished(paper: Canvas, sitter: Sitter, hidden: Array) -> Painting:
    """The picture in display levels."""
    return Painting(np.clip(paper.image, 0, 1) ** (1 / 2.2), hidden, occluded(sitter, hidden))
