"""A comic: black ink, few process colours, printed dots."""

from __future__ import annotations

import numpy as np

from lddmmlib.faces import geometry
from lddmmlib.faces.painters import canvas, light
from lddmmlib.faces.painters.canvas import Array, Canvas
from lddmmlib.faces.painters.look import Look, linear
from lddmmlib.faces.painters.photograph import Painting
from lddmmlib.faces.painters.sitter import Sitter
from lddmmlib.faces.painters.styles import ink, shapes

BLACK, PAPER = linear([0.06, 0.05, 0.07]), linear([0.98, 0.96, 0.90])
RED, YELLOW, BLUE = linear([[0.86, 0.16, 0.18], [0.98, 0.83, 0.18], [0.12, 0.40, 0.74]])


def heroic(face: geometry.Face3D, look: Look) -> geometry.Face3D:
    """The face with a strong chin, full lips, large eyes and a small nose."""
    rng = look.rng("halftone shape")
    return shapes.moulded(face, 1.0, rng.uniform(1.0, 1.08), chin=rng.uniform(1.05, 1.2), nose=rng.uniform(0.65, 0.9),
                          mouth=rng.uniform(1.1, 1.35), eyes=rng.uniform(1.1, 1.35))  # fmt: skip


def halftone(face: geometry.Face3D, look: Look, size: int) -> Painting:
    """Paint skin as paper under red dots, shadows in black, hair in one process colour with a highlight."""
    sitter, rng = Sitter(face, (size, size)), look.rng("halftone")
    first, second, tone = np.stack([RED, YELLOW, BLUE])[rng.permutation(3)]
    tone = BLACK if look.hair.mean() < 0.06 else YELLOW if look.hair.mean() > 0.2 else tone
    width = 0.032 * sitter.unit
    (behind, front), (head, neck, clothes) = ink.hair(sitter, look), ink.outlines(sitter, look)
    on_face, on_body = light.on_sitter(sitter, look)
    paper = Canvas(sitter.size, PAPER)
    ramp = np.linspace(rng.uniform(0.1, 0.3), rng.uniform(0.6, 0.9), size)[:, None]
    ink.lay(paper, _dots(sitter, 0.13, 0.3, ramp), first)
    ink.flat(paper, behind, 0.5 * tone, BLACK, width)
    _skin(paper, sitter, look, neck, on_body.mean(-1), width)
    ink.flat(paper, clothes, second, BLACK, width)
    _skin(paper, sitter, look, head, on_face.light.mean(-1), width)
    iris = (BLUE, 3 * BLACK, linear([0.2, 0.5, 0.3]))[rng.integers(3)]
    for side in ("left", "right"):
        ink.eye(paper, sitter, side, PAPER, (1.25, BLACK, 0), (1.0, iris, 0), (0.5, BLACK, 0), (0.35, PAPER, -0.03))
        paper.paint(canvas.fill(sitter.lens(f"{side}_brow"), sitter.size), BLACK)
    ink.mouth(paper, sitter, RED, BLACK, PAPER)
    ink.contours(paper, sitter, BLACK, 1.5)
    ink.flat(paper, front, tone, BLACK, width)
    ink.lay(paper, ink.aside(front, -0.12 * sitter.unit * look.light.direction[:2]), 0.4 * PAPER + 0.6 * BLUE, 0.9)
    return ink.finished(paper, sitter, front)


def _skin(paper: Canvas, sitter: Sitter, look: Look, shape: Array, lit: Array, width: float) -> None:
    """Paint skin: paper within a line; dots, larger where it is darker; black in the shadow."""
    level, fair = lit / np.median(lit[shape >= shape.max() / 2]), look.skin.mean() ** 0.4
    ink.flat(paper, shape, PAPER * [1, 0.9, 0.8], BLACK, width)
    share = np.clip(0.75 - 0.5 * fair + 0.5 * (0.95 - level).clip(0), 0.1, 0.9)
    ink.lay(paper, shape * _dots(sitter, 0.075, np.pi / 4, share), RED if fair > 0.4 else 0.4 * RED)
    dark = np.clip((0.48 - canvas.blur(level, 0.02 * sitter.unit)) * 25 + 0.5, 0, 1)
    ink.lay(paper, shape * dark, BLACK)


def _dots(sitter: Sitter, pitch: float, angle: float, share: float | Array) -> Array:
    """A halftone screen (h, w): dots `pitch` eye-corner distances apart that cover about `share` of the paper; a flat
    tone where pixels are too coarse for dots.
    """
    y, x = np.mgrid[: sitter.size[0], : sitter.size[1]]
    wide = pitch * sitter.unit
    (a, b), (c, d) = canvas.turned(angle, 2 * np.pi / wide)
    high = 0.5 + 0.25 * (np.cos(a * x + b * y) + np.cos(c * x + d * y))
    dot = np.clip((high - 1 + share) * 0.9 * wide + 0.5, 0, 1)
    return share + np.clip(wide / 1.5 - 1.2, 0, 1) * (dot - share)
