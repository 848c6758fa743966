"""A pen drawing: the curves themselves, drawn with a line that swells, and hatching where the light is low."""

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
    """Ink on paper."""
    sitter, rng = Sitter(face, (size, size)), look.rng("line")
    ink = linear(0.05 + 0.25 * rng.random(3) * (rng.random() < 0.4))
    ground = linear(1 - 0.18 * rng.random() * rng.random(3))
    paper = Canvas(sitter.size, ground)
    hair = Hair(sitter, look)
    _strands(paper, canvas.fill(hair.cap, sitter.size), hair, ink)
    for side in ("left", "right"):
        _draw(paper, sitter, sitter[side + "_neck"], ink, 0.022)
        if not sitter.near(side):
            _draw(paper, sitter, sitter[side + "_ear"], ink, 0.02)
    paper.paint(canvas.joined([canvas.fill(part, sitter.size) for part in sitter.head]), ground)
    _hatch(paper, sitter, look, ink)
    _features(paper, sitter, ink, look)
    front = hair.front()
    for mask in front:
        paper.paint(mask, ground)
        _strands(paper, mask, hair, ink)
    hidden = canvas.union(front, sitter.size)
    return Painting(np.clip(paper.image, 0, 1) ** (1 / 2.2), hidden, occluded(sitter, hidden))


def _draw(paper: Canvas, sitter: Sitter, curve: Array, ink: Array, width: float) -> None:
    """A line that begins and ends thin."""
    swell = width * sitter.unit * (0.45 + 0.55 * np.sin(np.linspace(0, np.pi, len(curve))))
    paper.paint(canvas.stroke(curve, swell, sitter.size), ink)


def _features(paper: Canvas, sitter: Sitter, ink: Array, look: Look) -> None:
    for side in ("left", "right"):
        opening = canvas.fill(sitter.lens(side + "_eye"), sitter.size)
        ring = sitter[side + "_iris"]
        for outline, alpha in ((ring, 0.55), (ring.mean(0) + 0.45 * (ring - ring.mean(0)), 1.0)):
            paper.paint(canvas.within(canvas.fill(outline[:-1], sitter.size), opening), ink, alpha)
        if sitter.near(side):
            _draw(paper, sitter, sitter[side + "_ear"], ink, 0.022)
        paper.paint(canvas.fill(sitter.lens(side + "_brow"), sitter.size), ink, 0.75)
    paper.paint(canvas.fill(sitter.lens("inner_lip"), sitter.size), ink, 0.8)
    for name, width in WIDTHS.items():
        _draw(paper, sitter, sitter[name][4:45] if name == "nose_outline" else sitter[name], ink, width)


def _hatch(paper: Canvas, sitter: Sitter, look: Look, ink: Array) -> None:
    """Slanted strokes where the light on the relief falls below its median."""
    size, unit = sitter.size, sitter.unit
    on_face, _ = light.on_sitter(sitter, look)
    bright = on_face.light.mean(-1)
    head = canvas.joined([canvas.fill(part, size) for part in sitter.head])
    level = np.median(bright[head.at][head.value > 0.5])
    depth = np.clip((0.85 * level - bright[head.at]) / (0.5 * level), 0, 1)
    y, x = np.mgrid[head.at]
    stripes = 0.5 + 0.5 * np.sin((x + 0.8 * y) * (2 * np.pi / (0.065 * unit)))
    paper.paint(Mask((head.value * np.clip((stripes - 1 + 0.8 * depth) * 4, 0, 0.8)).astype(np.float32), head.at), ink)


def _strands(paper: Canvas, mask: Mask, hair: Hair, ink: Array) -> None:
    """Hair as the dark half of its strands, within an outline."""
    if hair.style == "bald":
        return
    dark = np.clip(0.35 + 0.9 * hair.strands[mask.at], 0, 0.9)
    paper.paint(Mask(mask.value * dark.astype(np.float32), mask.at), ink)
