"""Lips, teeth, tongue."""

from __future__ import annotations

import numpy as np

from lddmmlib.faces.painters import canvas
from lddmmlib.faces.painters.canvas import Array, Canvas
from lddmmlib.faces.painters.look import Look, linear
from lddmmlib.faces.painters.sitter import Sitter


def mouth(paper: Canvas, sitter: Sitter, look: Look) -> None:
    """Paint lips, corners, then the inside of the mouth: both edges of each lip lie on the curves."""
    rng, size, unit = look.rng("mouth"), sitter.size, sitter.unit
    colour, alpha, soft = _colour(rng, look), max(rng.uniform(0.45, 1), look.makeup), rng.uniform(0.004, 0.01)
    for lip, shade in (("upper", 0.8), ("lower", 1.15)):
        ring = np.concatenate([sitter["outer_lip_" + lip], sitter["inner_lip_" + lip][::-1]])
        paper.paint(canvas.fill(ring, size, soft * unit), np.clip(colour * shade, 0, 1), alpha)
    for corner in sitter["outer_lip"][[0, -1]]:
        paper.tint(canvas.blob(corner, 0.035 * unit * np.eye(2), size), 0.5, 0.6 * rng.random())
    _inside(paper, sitter, rng)


def _colour(rng: np.random.Generator, look: Look) -> Array:
    """Sample the colour of the lips: redder than the skin, or that of a lipstick."""
    rose = look.skin * np.array([0.95, 0.55, 0.58]) * rng.uniform(0.75, 1.1)
    reds, any_ = linear(np.array([0.62, 0.14, 0.2]) + 0.14 * rng.uniform(-1, 1, 3)), 0.3 * rng.random(3)
    stick = reds if rng.random() < 0.8 else any_
    return rose + 0.8 * look.makeup * (stick - rose)


def _opening(sitter: Sitter) -> float:
    """The distance between the lips, in eye-corner distances."""
    return float(np.linalg.norm(sitter["inner_lip_upper"][8] - sitter["inner_lip_lower"][8])) / sitter.unit


def _inside(paper: Canvas, sitter: Sitter, rng: np.random.Generator) -> None:
    size, unit, gap = sitter.size, sitter.unit, _opening(sitter)
    teeth, tongue = rng.random() < 0.85, rng.uniform(0.3, 0.8)
    height, white = rng.uniform(0.06, 0.11), linear([0.88, 0.83, 0.75]) * rng.uniform(0.4, 0.9)
    hole = canvas.fill(sitter.lens("inner_lip"), size, 0.003 * unit)
    paper.paint(hole, np.array([0.03, 0.008, 0.008]))
    if gap < 0.03:
        return
    upper, lower = sitter["inner_lip_upper"], sitter["inner_lip_lower"]
    if gap > 0.08:
        wet = canvas.blob(lower[8], np.stack([0.2 * sitter.right, 0.4 * gap * sitter.down]), size)
        paper.paint(canvas.within(wet, hole), linear([0.62, 0.28, 0.28]), tongue)
    if teeth:
        row = np.concatenate([upper - 0.03 * sitter.down, (upper + min(height, 0.75 * gap) * sitter.down)[::-1]])
        paper.paint(canvas.within(canvas.fill(row, size, 0.006 * unit), hole), white)
