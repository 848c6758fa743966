"""A caricature: what sets a face apart from the mean, exaggerated; pen and watercolour on paper."""

from __future__ import annotations

import numpy as np

from lddmmlib.faces import geometry
from lddmmlib.faces.painters import canvas, figure, light
from lddmmlib.faces.painters.canvas import Array, Canvas
from lddmmlib.faces.painters.drawing import WIDTHS
from lddmmlib.faces.painters.look import Look, any_colour, linear
from lddmmlib.faces.painters.photograph import Painting, occluded
from lddmmlib.faces.painters.sitter import Sitter
from lddmmlib.faces.painters.styles import ink, shapes

EXAGGERATION = (1.3, 2.2)
SHADES = linear([[0.42, 0.48, 0.62], [0.60, 0.42, 0.55], [0.66, 0.38, 0.30], [0.38, 0.52, 0.50]])  # gray, violet, ...
SEPIA = linear([0.22, 0.13, 0.10])


def exaggerated(face: geometry.Face3D, look: Look) -> geometry.Face3D:
    """λ times as far from the mean face, λ drawn between `EXAGGERATION`."""
    return shapes.exaggerated(face, look.rng("exaggeration").uniform(*EXAGGERATION))


def caricature(face: geometry.Face3D, look: Look, size: int) -> Painting:
    """Washes first, each a little beside its line; then the pen."""
    sitter, rng = Sitter(face, (size, size)), look.rng("caricature")
    ground = linear(np.array([0.99, 0.97, 0.91]) - 0.06 * rng.random(3))
    paper, blot = (
        Canvas(sitter.size, ground),
        canvas.noise(rng, 7, sitter.size) + 0.4 * canvas.noise(rng, 20, sitter.size),
    )
    _, behind, front = ink.hair(sitter, look)
    neck, cloth, head = (
        ink.whole(*outlines, size=sitter.size)
        for outlines in ([sitter.neck], [figure.clothes_outline(sitter, look)], sitter.head)
    )
    skin, tone = look.skin**0.6, np.clip(1.2 * look.hair, 0.01, 1) ** 0.7
    shade, unit = SHADES[rng.integers(len(SHADES))], sitter.unit

    def wash(shape: Array, colour: Array, depth: float) -> None:
        _wash(paper, shape, colour, depth * (1 + 0.25 * blot), rng.uniform(-0.03, 0.03, 2) * unit, unit)

    lit = canvas.blur(light.on_sitter(sitter, look)[0].light.mean(-1), 0.03 * unit)
    level = lit / np.median(lit[head > 0.5]) + 0.05 * blot
    wash(behind, tone, 0.7)
    wash(neck, skin * shade**0.5, 0.7)
    wash(cloth, any_colour(rng) ** 0.7, 0.7)
    ink.lay(paper, head, ground)
    for part, colour, below in ((0.45, skin, 9.0), (0.6, skin, 1.05), (0.45, shade, 0.82), (0.6, shade, 0.55)):
        puddle = np.clip((below - level) * unit / 6 + 0.5, 0, 1).astype(np.float32)
        wash(head * puddle, colour, part)
    _features(paper, sitter, look)
    ink.lay(paper, front, ground)
    wash(front, tone, 0.8)
    wash(ink.aside(front, 0.15 * unit * look.light.direction[:2]), tone, 0.6)
    return Painting(np.clip(paper.image, 0, 1) ** (1 / 2.2), front, occluded(sitter, front))


def _wash(paper: Canvas, shape: Array, colour: Array, depth: Array, off: Array, unit: float) -> None:
    """Transparent colour, darkest at its wet edge."""
    shape = ink.shifted(shape, off)
    edge = shape * np.clip(1 - canvas.blur(shape, 0.03 * unit), 0, 1)
    paper.image *= np.asarray(colour, np.float32) ** (shape * np.clip(depth, 0, 2) + 0.5 * edge)[..., None]


def _features(paper: Canvas, sitter: Sitter, look: Look) -> None:
    size = sitter.size
    lips = canvas.fill(sitter.lens("outer_lip"), size)
    paper.tint(lips, [0.85, 0.45, 0.42])
    paper.tint(
        canvas.blob(sitter["nose_bridge"][-1], 0.16 * np.stack([sitter.right, sitter.down]), size), [1, 0.55, 0.5], 0.7
    )
    paper.paint(canvas.fill(sitter.lens("inner_lip"), size), SEPIA)
    for side in ("left", "right"):
        opening, ring = canvas.fill(sitter.lens(f"{side}_eye"), size), sitter[f"{side}_iris"][:-1]
        paper.paint(opening, linear([0.98, 0.97, 0.93]))
        for share, alpha in ((1.0, 0.6), (0.5, 1.0)):
            paper.paint(
                canvas.within(canvas.fill(ring.mean(0) + share * (ring - ring.mean(0)), size), opening), SEPIA, alpha
            )
        paper.paint(canvas.fill(sitter.lens(f"{side}_brow"), size), np.minimum(look.hair, SEPIA * 2), 0.85)
        if sitter.near(side):
            ink.pen(paper, sitter, sitter[f"{side}_ear"], SEPIA, 0.025, 0.1)
    for name, wide in WIDTHS.items():
        ink.pen(paper, sitter, sitter[name], SEPIA, 1.3 * wide, 0.1)
