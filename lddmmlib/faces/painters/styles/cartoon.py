"""A cartoon: big eyes, little nose, flat colours within thick lines, one hard shade."""

from __future__ import annotations

import numpy as np

from lddmmlib.faces import geometry
from lddmmlib.faces.painters import before, canvas, figure
from lddmmlib.faces.painters.canvas import Array, Canvas
from lddmmlib.faces.painters.look import Look, linear
from lddmmlib.faces.painters.photograph import Painting, occluded
from lddmmlib.faces.painters.sitter import Sitter
from lddmmlib.faces.painters.styles import ink, shapes

INK = linear([0.13, 0.08, 0.11])
BRIGHT = linear([[0.98, 0.78, 0.25], [0.94, 0.42, 0.35], [0.36, 0.68, 0.86], [0.45, 0.77, 0.53], [0.72, 0.55, 0.85],
                 [0.97, 0.62, 0.70], [0.25, 0.45, 0.75], [0.98, 0.93, 0.80]])  # fmt: skip


def childlike(face: geometry.Face3D, look: Look) -> geometry.Face3D:
    """Eyes large and round; nose, mouth and chin small."""
    rng = look.rng("cartoon shape")
    return shapes.moulded(face, rng.uniform(1.0, 1.1), rng.uniform(0.85, 1.0), chin=rng.uniform(0.65, 0.9),
                          nose=rng.uniform(0.35, 0.6), mouth=rng.uniform(0.6, 1.0),
                          eyes=(rng.uniform(1.4, 1.7), rng.uniform(2.0, 2.7)))  # fmt: skip


def cartoon(face: geometry.Face3D, look: Look, size: int) -> Painting:
    """Layer over layer, from the wall to the fringe."""
    sitter, rng = Sitter(face, (size, size)), look.rng("cartoon")
    width, toward = rng.uniform(0.03, 0.05) * sitter.unit, look.light.direction[:2]
    wall, cloth, dyed, iris = BRIGHT[rng.permutation(len(BRIGHT))[:4]]
    skin = 0.08 + 0.92 * look.skin ** np.array([0.75, 0.85, 0.9])
    if rng.random() < 0.2:  # from another planet
        skin = BRIGHT[rng.integers(len(BRIGHT))]
    tone = dyed if rng.random() < 0.3 else np.clip(1.5 * look.hair, 0.01, 1)
    _, behind, front = ink.hair(sitter, look)
    paper = Canvas(sitter.size, wall)
    disc = canvas.ellipse(np.array(rng.uniform(0.2, 0.8, 2)) * size, rng.uniform(0.3, 0.6) * size * np.eye(2), 64)
    ink.lay(paper, ink.whole(disc, size=sitter.size), 0.5 + 0.5 * wall, 0.6)
    ink.flat(paper, behind, 0.6 * tone, INK, width)
    ink.flat(paper, ink.whole(sitter.neck, size=sitter.size), 0.7 * skin, INK, width)
    ink.flat(paper, ink.whole(figure.clothes_outline(sitter, look), size=sitter.size), cloth, INK, width)
    head = ink.whole(*sitter.head, size=sitter.size)
    ink.flat(paper, head, skin, INK, width)
    ink.lay(paper, ink.aside(head, 0.16 * sitter.unit * toward), skin * [0.6, 0.5, 0.55], 0.8)
    _features(paper, sitter, skin, tone, iris, look.makeup > 0)
    if front.any():
        ink.flat(paper, front, tone, INK, width)
        ink.lay(paper, ink.aside(front, -0.1 * sitter.unit * toward), 0.55 * tone + 0.3, 0.45)
    dark = before.glasses(paper, sitter, look)
    hidden = np.maximum(front, canvas.union(dark, sitter.size))
    return Painting(np.clip(paper.image, 0, 1) ** (1 / 2.2), hidden, occluded(sitter, hidden))


def _features(paper: Canvas, sitter: Sitter, skin: Array, tone: Array, iris: Array, lips: bool) -> None:
    size, unit = sitter.size, sitter.unit
    for side, wing in (("left", 12), ("right", 36)):
        cheek = 0.5 * sitter["nose_outline"][wing] + 0.5 * sitter[f"{side}_eye_lower"][4 if side == "left" else 12]
        paper.tint(canvas.fill(canvas.ellipse(cheek + 0.2 * sitter.down, 0.11 * unit * np.eye(2)), size), [1, 0.7, 0.7])
        if sitter.near(side):
            rim = sitter[f"{side}_ear"]
            ink.pen(paper, sitter, rim.mean(0) + 0.55 * (rim - rim.mean(0)), INK, 0.025)
        paper.paint(canvas.fill(sitter.lens(f"{side}_brow"), size, 0.006 * unit), 0.35 * tone)
        _eye(paper, sitter, side, iris)
    ink.pen(paper, sitter, sitter["nose_outline"][17:32], INK, 0.03)
    _mouth(paper, sitter, skin, lips)


def _eye(paper: Canvas, sitter: Sitter, side: str, iris: Array) -> None:
    """White, a large iris, pupil and shine; a heavy upper lid."""
    size, unit, ring = sitter.size, sitter.unit, sitter[f"{side}_iris"][:-1]
    opening, middle = canvas.fill(sitter.lens(f"{side}_eye"), size), ring.mean(0)
    paper.paint(opening, np.ones(3))
    for share, colour in ((2.1, INK), (1.9, 0.8 * iris), (1.1, INK * 0.3)):
        paper.paint(canvas.within(canvas.fill(middle + share * (ring - middle), size), opening), colour)
    for place, radius in (((-0.04, -0.055), 0.044), ((0.05, 0.05), 0.022)):
        shine = canvas.fill(canvas.ellipse(middle + unit * np.array(place), radius * unit * np.eye(2), 16), size)
        paper.paint(canvas.within(shine, opening), np.ones(3))
    ink.pen(paper, sitter, sitter[f"{side}_eye_upper"], INK, 0.055, 0.5)
    ink.pen(paper, sitter, sitter[f"{side}_eye_lower"], INK, 0.02)


def _mouth(paper: Canvas, sitter: Sitter, skin: Array, lips: bool) -> None:
    size, unit = sitter.size, sitter.unit
    for lip, rose in (("upper", [0.8, 0.4, 0.42]), ("lower", [0.95, 0.55, 0.55])) if lips else ():
        ring = np.concatenate([sitter[f"outer_lip_{lip}"], sitter[f"inner_lip_{lip}"][::-1]])
        paper.paint(canvas.fill(ring, size), skin * rose)
    hole, upper, lower = (
        canvas.fill(sitter.lens("inner_lip"), size),
        sitter["inner_lip_upper"],
        sitter["inner_lip_lower"],
    )
    paper.paint(hole, linear([0.35, 0.06, 0.1]))
    gap = np.linalg.norm(upper[8] - lower[8])
    tongue = canvas.ellipse(lower[8], np.stack([0.14 * sitter.right, 0.45 * gap / unit * sitter.down]))
    paper.paint(canvas.within(canvas.fill(tongue, size), hole), linear([0.9, 0.4, 0.42]))
    teeth = np.concatenate([upper, (upper + 0.3 * gap / unit * sitter.down)[::-1]])
    paper.paint(canvas.within(canvas.fill(teeth, size), hole), np.ones(3))
    ink.pen(paper, sitter, upper, INK, 0.028)
    ink.pen(paper, sitter, sitter["outer_lip_lower"][4:13], INK, 0.025)
