"""A sketch: the curves, each drawn with several loose strokes, and hatching where the light is low.

Ink on light paper, or chalk on dark paper, where the lit parts are hatched.
"""

from __future__ import annotations

import numpy as np

from lddmmlib.faces import geometry
from lddmmlib.faces.painters import canvas, light
from lddmmlib.faces.painters.canvas import Array, Canvas, Mask
from lddmmlib.faces.painters.hair import Hair
from lddmmlib.faces.painters.look import Look, linear
from lddmmlib.faces.painters.photograph import Painting, occluded
from lddmmlib.faces.painters.sitter import Sitter

# Line -> its width in eye-corner distances; lids and the line between the lips are the heavy ones.
WIDTHS = {
    "nose_outline": 0.02,
    "left_eye_upper": 0.032,
    "right_eye_upper": 0.032,
    "left_eye_lower": 0.012,
    "right_eye_lower": 0.012,
    "outer_lip_upper": 0.018,
    "outer_lip_lower": 0.018,
    "inner_lip_upper": 0.022,
    "inner_lip_lower": 0.016,
    "jaw": 0.026,
}


def line(face: geometry.Face3D, look: Look, size: int) -> Painting:
    """Paint a sketch of a face, in ink or chalk on paper.

    Args:
        face: the geometry, framed in an image of `size` px a side.
        look: the appearance.
        size: px a side.
    """
    sitter, rng = Sitter(face, (size, size)), look.rng("line")
    light_on_dark = rng.random() < 0.45
    ink = linear(0.05 + 0.3 * rng.random(3) * (rng.random() < 0.5))
    ground = linear(1 - 0.14 * rng.random() * rng.random(3))
    if light_on_dark:
        ink, ground = linear(0.92 + 0.06 * rng.random(3)), linear(rng.uniform(0.15, 0.45) * rng.uniform(0.7, 1, 3))
    paper = Canvas(sitter.size, ground)
    hair = Hair(sitter, look)
    _strands(paper, canvas.fill(hair.cap, sitter.size), hair, ink)
    for side in ("left", "right"):
        _draw(paper, sitter, sitter[side + "_neck"], ink, 0.022, rng)
        if not sitter.near(side):
            _draw(paper, sitter, sitter[side + "_ear"], ink, 0.02, rng)
    paper.paint(canvas.joined([canvas.fill(part, sitter.size) for part in sitter.head]), ground)
    _hatch(paper, sitter, look, ink, light_on_dark)
    _guides(paper, sitter, ink)
    _features(paper, sitter, ink, rng)
    front = hair.front()
    for mask in front:
        paper.paint(mask, ground)
        _strands(paper, mask, hair, ink)
    hidden = canvas.union(front, sitter.size)
    return Painting(np.clip(paper.image, 0, 1) ** (1 / 2.2), hidden, occluded(sitter, hidden))


def _draw(paper: Canvas, sitter: Sitter, curve: Array, ink: Array, width: float, rng: np.random.Generator) -> None:
    """Draw a line that begins and ends thin, and two fainter ones slightly off it."""
    t = np.linspace(0, 1, len(curve))
    swell = width * sitter.unit * (0.35 + 0.65 * np.sin(np.pi * t))
    paper.paint(canvas.stroke(curve, swell, sitter.size), ink)
    for off, slope in 0.035 * sitter.unit * rng.standard_normal((2, 2, 2)):
        loose = curve + off + 1.5 * slope * (t[:, None] - 0.5)
        paper.paint(canvas.stroke(loose, 0.6 * swell, sitter.size), ink, 0.6)


def _guides(paper: Canvas, sitter: Sitter, ink: Array) -> None:
    """Construction lines: the middle of the face, the lines of eyes and mouth, an oval."""
    z = np.linspace(-1, 1, 17)
    ways = [np.stack([0 * z, 0.25 + 1.2 * z, 0.25 - 0.35 * z**2], 1)]
    ways += [np.stack([0.72 * z, 0 * z + y, 0.2 - 0.5 * z**2], 1) for y in (0.0, 0.82)]
    for way in ways:
        paper.paint(canvas.stroke(sitter.at(way), 0.01 * sitter.unit, sitter.size), ink, 0.6)
    egg = np.stack([0.78 * np.cos(np.pi * z), 0.2 + 1.15 * np.sin(np.pi * z), 0 * z - 0.25], 1)
    paper.paint(canvas.stroke(canvas.smooth(sitter.at(egg)), 0.01 * sitter.unit, sitter.size), ink, 0.6)


def _features(paper: Canvas, sitter: Sitter, ink: Array, rng: np.random.Generator) -> None:
    for side in ("left", "right"):
        opening = canvas.fill(sitter.lens(side + "_eye"), sitter.size)
        ring = sitter[side + "_iris"]
        for outline, alpha in ((ring, 0.4), (ring.mean(0) + 0.45 * (ring - ring.mean(0)), 1.0)):
            paper.paint(canvas.within(canvas.fill(outline[:-1], sitter.size), opening), ink, alpha)
        if sitter.near(side):
            _draw(paper, sitter, sitter[side + "_ear"], ink, 0.022, rng)
        hairs = np.stack([sitter[side + "_brow_lower"][:-2], sitter[side + "_brow_upper"][2:]], 1)
        paper.paint(canvas.stroke(hairs, 0.016 * sitter.unit, sitter.size), ink)
    paper.paint(canvas.fill(sitter.lens("inner_lip"), sitter.size), ink, 0.6)
    for name, width in WIDTHS.items():
        _draw(paper, sitter, sitter[name][4:45] if name == "nose_outline" else sitter[name], ink, width, rng)


def _hatch(paper: Canvas, sitter: Sitter, look: Look, ink: Array, bright: bool) -> None:
    """Slanted strokes where the light on the relief is below its median, crossed where it is lowest; with chalk where
    it is above the median.
    """
    size, unit = sitter.size, sitter.unit
    on_face, _ = light.on_sitter(sitter, look)
    lit = on_face.light.mean(-1)
    head = canvas.joined([canvas.fill(part, size) for part in sitter.head])
    lit = lit[head.at] / np.median(lit[head.at][head.value > 0.5])
    depth = np.clip(2.2 * (lit - 0.95) if bright else 2 * (0.9 - lit), 0, 1)
    y, x = np.mgrid[head.at]
    for slant, deep in ((0.8, depth), (-1.2, depth - 0.55)):
        stripes = 0.5 + 0.5 * np.sin((x + slant * y) * (2 * np.pi / (0.075 * unit)))
        value = head.value * np.clip((stripes - 1 + 0.8 * deep) * 4, 0, 0.8)
        paper.paint(Mask(value.astype(np.float32), head.at), ink)


def _strands(paper: Canvas, mask: Mask, hair: Hair, ink: Array) -> None:
    """Draw hair as the dark half of its strands, within an outline."""
    if hair.style == "bald":
        return
    dark = np.clip(0.35 + 0.9 * hair.strands[mask.at], 0, 0.9)
    paper.paint(Mask(mask.value * dark.astype(np.float32), mask.at), ink)
