"""A caricature: differences from the mean face exaggerated; pen and watercolour on paper."""

from __future__ import annotations

import numpy as np

from lddmmlib.faces import geometry
from lddmmlib.faces.painters import canvas, light
from lddmmlib.faces.painters.canvas import Array, Canvas
from lddmmlib.faces.painters.look import Look, any_colour, linear
from lddmmlib.faces.painters.photograph import Painting
from lddmmlib.faces.painters.sitter import Sitter
from lddmmlib.faces.painters.styles import ink, shapes

EXAGGERATION = (1.3, 2.2)
SHADES = linear([[0.50, 0.68, 0.95], [0.85, 0.55, 0.80], [0.95, 0.62, 0.40], [0.50, 0.80, 0.65]])  # blue, rose, ...
SEPIA = linear([0.22, 0.13, 0.10])


def exaggerated(face: geometry.Face3D, look: Look) -> geometry.Face3D:
    """The face λ times as far from the mean face, with λ sampled from `EXAGGERATION`."""
    return shapes.exaggerated(face, look.rng("exaggeration").uniform(*EXAGGERATION))


def caricature(face: geometry.Face3D, look: Look, size: int) -> Painting:
    """Paint washes, each slightly beside its line; then the pen lines."""
    sitter, rng = Sitter(face, (size, size)), look.rng("caricature")
    unit, ground = sitter.unit, linear(np.array([0.99, 0.97, 0.91]) - 0.06 * rng.random(3))
    paper, blot = (
        Canvas(sitter.size, ground),
        sum(a * canvas.noise(rng, n, sitter.size) for a, n in ((1, 7), (0.4, 20))),
    )
    (behind, front), (head, neck, clothes) = ink.hair(sitter, look), ink.outlines(sitter, look)
    skin, tone, shade = look.skin**0.6, np.clip(1.2 * look.hair, 0.01, 1) ** 0.7, SHADES[rng.integers(len(SHADES))]

    def wash(shape: Array, colour: Array, depth: float) -> None:
        beside = ink.shifted(shape, rng.uniform(-0.06, 0.06, 2) * unit)
        edge = np.clip(1 - canvas.blur(beside, 0.03 * unit), 0, 1)  # where colour collects as it dries
        paper.image *= colour.astype(np.float32) ** (beside * (depth * (1 + 0.25 * blot) + 0.8 * edge))[..., None]

    lit = canvas.blur(light.on_sitter(sitter, look)[0].light.mean(-1), 0.03 * unit)
    level = lit / np.median(lit[head > 0.5]) + 0.05 * blot
    for shape, colour in ((behind, tone), (neck, skin * shade**0.5), (clothes, any_colour(rng).clip(0.01) ** 0.7)):
        wash(shape, colour, 0.7)
    ink.lay(paper, head, ground)
    for depth, colour, below in ((0.45, skin, np.inf), (0.6, skin, 1.05), (0.6, shade, 0.9), (0.9, shade, 0.65)):
        wash(head * np.clip((below - level) * unit / 6 + 0.5, 0, 1), colour, depth)
    _features(paper, sitter, look)
    ink.lay(paper, front, ground)
    wash(front, tone, 0.8)
    wash(ink.aside(front, 0.15 * unit * look.light.direction[:2]), tone, 0.6)
    return ink.finished(paper, sitter, front)


def _features(paper: Canvas, sitter: Sitter, look: Look) -> None:
    paper.tint(canvas.fill(sitter.lens("outer_lip"), sitter.size), np.array([0.85, 0.45, 0.42]))
    nose = canvas.blob(sitter["nose_bridge"][-1], 0.16 * np.stack([sitter.right, sitter.down]), sitter.size)
    paper.tint(nose, np.array([1, 0.55, 0.5]), 0.7)
    ink.mouth(paper, sitter, None, SEPIA, SEPIA)
    for side in ("left", "right"):
        ink.eye(paper, sitter, side, linear([0.98, 0.97, 0.93]), (1.0, 4 * SEPIA, 0), (0.5, SEPIA, 0))
        paper.paint(canvas.fill(sitter.lens(f"{side}_brow"), sitter.size), np.minimum(look.hair, 2 * SEPIA), 0.85)
    ink.contours(paper, sitter, SEPIA, 1.7, 0.1)
