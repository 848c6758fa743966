"""A cartoon: big eyes, small nose, flat colours within thick lines, one hard shade."""

from __future__ import annotations

import numpy as np

from lddmmlib.faces import geometry
from lddmmlib.faces.painters import canvas, occluders
from lddmmlib.faces.painters.canvas import Array, Canvas
from lddmmlib.faces.painters.look import Look, linear
from lddmmlib.faces.painters.photograph import Painting
from lddmmlib.faces.painters.sitter import Sitter
from lddmmlib.faces.painters.styles import ink, shapes

INK = linear([0.13, 0.08, 0.11])
BRIGHT = linear([[0.98, 0.78, 0.25], [0.94, 0.42, 0.35], [0.36, 0.68, 0.86], [0.45, 0.77, 0.53], [0.72, 0.55, 0.85],
                 [0.97, 0.62, 0.70], [0.25, 0.45, 0.75], [0.98, 0.93, 0.80]])  # fmt: skip


def childlike(face: geometry.Face3D, look: Look) -> geometry.Face3D:
    """The face with large round eyes, and a small nose, mouth and chin."""
    rng = look.rng("cartoon shape")
    return shapes.moulded(face, rng.uniform(1.0, 1.1), rng.uniform(0.85, 1.0), chin=rng.uniform(0.65, 0.9),
                          nose=rng.uniform(0.35, 0.6), mouth=rng.uniform(0.6, 1.0),
                          eyes=(rng.uniform(1.4, 1.7), rng.uniform(2.0, 2.7)))  # fmt: skip


def cartoon(face: geometry.Face3D, look: Look, size: int) -> Painting:
    """Paint layer over layer, from the wall to the fringe."""
    sitter, rng = Sitter(face, (size, size)), look.rng("cartoon")
    width, toward = rng.uniform(0.03, 0.05) * sitter.unit, sitter.unit * look.light.direction[:2]
    wall, cloth, dyed, iris, alien = BRIGHT[rng.permutation(len(BRIGHT))[:5]]
    skin = alien if rng.random() < 0.2 else 0.08 + 0.92 * look.skin ** np.array([0.75, 0.85, 0.9])
    tone = dyed if rng.random() < 0.3 else np.clip(1.5 * look.hair, 0.01, 1)
    (behind, front), (head, neck, clothes) = ink.hair(sitter, look), ink.outlines(sitter, look)
    paper = Canvas(sitter.size, wall)
    disc = canvas.ellipse(size * rng.uniform(0.2, 0.8, 2), rng.uniform(0.3, 0.6) * size * np.eye(2), 64)
    paper.paint(canvas.fill(disc, sitter.size), 0.5 + 0.5 * wall, 0.6)
    for shape, colour in ((behind, 0.6 * tone), (neck, 0.7 * skin), (clothes, cloth), (head, skin)):
        ink.flat(paper, shape, colour, INK, width)
    ink.lay(paper, ink.aside(head, 0.16 * toward), skin * [0.6, 0.5, 0.55], 0.8)
    _features(paper, sitter, skin, tone, iris, look.makeup > 0)
    ink.flat(paper, front, tone, INK, width)
    ink.lay(paper, ink.aside(front, -0.1 * toward), 0.55 * tone + 0.3, 0.45)
    dark = occluders.glasses(paper, sitter, look)
    return ink.finished(paper, sitter, np.maximum(front, canvas.union(dark, sitter.size)))


def _features(paper: Canvas, sitter: Sitter, skin: Array, tone: Array, iris: Array, lips: bool) -> None:
    """Paint blush, ears, brows, round eyes, hardly any nose, and a mouth that shows lips only with make-up."""
    size, unit, white = sitter.size, sitter.unit, np.ones(3)
    shines = (0.7, white, np.array([-0.04, -0.055])), (0.35, white, np.array([0.05, 0.05]))
    for side, wing, outer in (("left", 12, 4), ("right", 36, 12)):
        cheek = (sitter["nose_outline"][wing] + sitter[f"{side}_eye_lower"][outer]) / 2 + 0.2 * sitter.down
        paper.tint(canvas.fill(canvas.ellipse(cheek, 0.11 * unit * np.eye(2)), size), np.array([1, 0.7, 0.7]))
        if sitter.near(side):
            rim = sitter[f"{side}_ear"]
            ink.pen(paper, sitter, rim.mean(0) + 0.55 * (rim - rim.mean(0)), INK, 0.025)
        paper.paint(canvas.fill(sitter.lens(f"{side}_brow"), size, 0.006 * unit), 0.35 * tone)
        ink.eye(paper, sitter, side, white, (2.1, INK, 0), (1.9, 0.8 * iris, 0), (1.1, 0.3 * INK, 0), *shines)
        ink.pen(paper, sitter, sitter[f"{side}_eye_upper"], INK, 0.055, 0.5)
        ink.pen(paper, sitter, sitter[f"{side}_eye_lower"], INK, 0.02)
    ink.mouth(paper, sitter, skin * [0.9, 0.5, 0.5] if lips else None, linear([0.45, 0.08, 0.12]), white)
    ink.pen(paper, sitter, sitter["nose_outline"][17:32], INK, 0.03)
    ink.pen(paper, sitter, sitter["inner_lip_upper"], INK, 0.028)
    ink.pen(paper, sitter, sitter["outer_lip_lower"][4:13], INK, 0.025)
