"""A comic: black ink, few process colours, dots of print."""

from __future__ import annotations

import numpy as np

from lddmmlib.faces import geometry
from lddmmlib.faces.painters import canvas, figure, light
from lddmmlib.faces.painters.canvas import Array, Canvas
from lddmmlib.faces.painters.drawing import WIDTHS
from lddmmlib.faces.painters.look import Look, linear
from lddmmlib.faces.painters.photograph import Painting, occluded
from lddmmlib.faces.painters.sitter import Sitter
from lddmmlib.faces.painters.styles import ink, shapes

BLACK, PAPER = linear([0.06, 0.05, 0.07]), linear([0.98, 0.96, 0.90])
RED, YELLOW, BLUE, PINK = linear([[0.86, 0.16, 0.18], [0.98, 0.83, 0.18], [0.12, 0.40, 0.74], [0.93, 0.52, 0.50]])


def heroic(face: geometry.Face3D, look: Look) -> geometry.Face3D:
    """A strong chin, full lips, large eyes, a small nose."""
    rng = look.rng("halftone shape")
    return shapes.moulded(face, 1.0, rng.uniform(1.0, 1.08), chin=rng.uniform(1.05, 1.2), nose=rng.uniform(0.65, 0.9),
                          mouth=rng.uniform(1.1, 1.35), eyes=rng.uniform(1.1, 1.35))  # fmt: skip


def halftone(face: geometry.Face3D, look: Look, size: int) -> Painting:
    """Skin is paper under red dots, shadows are black, hair one process colour with a shine."""
    sitter, rng = Sitter(face, (size, size)), look.rng("halftone")
    first, second, tone = np.stack([RED, YELLOW, BLUE])[rng.permutation(3)]
    tone = BLACK if look.hair.mean() < 0.06 else YELLOW if look.hair.mean() > 0.2 else tone
    width = 0.032 * sitter.unit
    _, behind, front = ink.hair(sitter, look)
    paper = Canvas(sitter.size, PAPER)
    ramp = np.linspace(rng.uniform(0.1, 0.3), rng.uniform(0.6, 0.9), size)[:, None]
    ink.lay(paper, ink.dots(sitter, 0.13, 0.3, ramp), first)
    ink.flat(paper, behind, 0.5 * tone, BLACK, width)
    on_face, on_body = light.on_sitter(sitter, look)
    head = ink.whole(*sitter.head, size=sitter.size)
    for shape, lit in ((ink.whole(sitter.neck, size=sitter.size), on_body), (head, on_face.light)):
        _skin(paper, sitter, look, shape, lit.mean(-1), width)
        if shape is not head:
            ink.flat(paper, ink.whole(figure.clothes_outline(sitter, look), size=sitter.size), second, BLACK, width)
    _features(paper, sitter, rng)
    if front.any():
        ink.flat(paper, front, tone, BLACK, width)
        ink.lay(paper, ink.aside(front, -0.12 * sitter.unit * look.light.direction[:2]), 0.4 * PAPER + 0.6 * BLUE, 0.9)
    return Painting(np.clip(paper.image, 0, 1) ** (1 / 2.2), front, occluded(sitter, front))


def _skin(paper: Canvas, sitter: Sitter, look: Look, shape: Array, lit: Array, width: float) -> None:
    """Paper within a line; dots, larger where it is darker; black in the shadow."""
    level = lit / np.median(lit[shape > 0.5]) if (shape > 0.5).any() else lit
    flat = look.skin.mean() ** 0.4
    ink.flat(paper, shape, PAPER * [1, 0.9, 0.8], BLACK, width)
    share = np.clip(0.75 - 0.5 * flat + 0.5 * (0.95 - level).clip(0), 0.1, 0.9)
    ink.lay(paper, shape * ink.dots(sitter, 0.075, np.pi / 4, share), RED if flat > 0.4 else 0.4 * RED)
    dark = np.clip((0.48 - canvas.blur(level, 0.02 * sitter.unit)) * 25 + 0.5, 0, 1)
    ink.lay(paper, (shape * dark).astype(np.float32), BLACK)


def _features(paper: Canvas, sitter: Sitter, rng: np.random.Generator) -> None:
    size, unit, iris = sitter.size, sitter.unit, (BLUE, BLACK, linear([0.2, 0.5, 0.3]))[rng.integers(3)]
    for side in ("left", "right"):
        opening, ring = canvas.fill(sitter.lens(f"{side}_eye"), size), sitter[f"{side}_iris"][:-1]
        paper.paint(opening, PAPER)
        for share, colour in ((1.25, BLACK), (1.0, iris), (0.5, BLACK)):
            paper.paint(canvas.within(canvas.fill(ring.mean(0) + share * (ring - ring.mean(0)), size), opening), colour)
        shine = canvas.ellipse(ring.mean(0) - 0.03 * unit, 0.022 * unit * np.eye(2), 12)
        paper.paint(canvas.within(canvas.fill(shine, size), opening), PAPER)
        paper.paint(canvas.fill(sitter.lens(f"{side}_brow"), size), BLACK)
        if sitter.near(side):
            ink.pen(paper, sitter, sitter[f"{side}_ear"], BLACK, 0.035)
    paper.paint(canvas.fill(sitter.lens("outer_lip"), size), RED)
    hole = canvas.fill(sitter.lens("inner_lip"), size)
    paper.paint(hole, BLACK)
    upper = sitter["inner_lip_upper"]
    teeth = canvas.fill(np.concatenate([upper, (upper + 0.07 * sitter.down)[::-1]]), size)
    if np.linalg.norm(upper[8] - sitter["inner_lip_lower"][8]) > 0.05 * unit:
        paper.paint(canvas.within(teeth, hole), PAPER)
    for name, wide in WIDTHS.items():
        ink.pen(paper, sitter, sitter[name][14:35] if name == "nose_outline" else sitter[name], BLACK, 1.5 * wide)
