"""Ears, neck and clothes."""

from __future__ import annotations

import numpy as np

from lddmmlib.faces.painters import canvas
from lddmmlib.faces.painters.canvas import Array, Canvas
from lddmmlib.faces.painters.look import Look, any_colour
from lddmmlib.faces.painters.sitter import Sitter


def clothes_outline(sitter: Sitter, look: Look) -> Array:
    """The outline of shoulders and a round or pointed neckline; upright for every rotation of the head."""
    rng = look.rng("clothes")
    left, right = sitter.neck[8], sitter.neck[9]
    half, slope = max(float(np.linalg.norm(right - left)) / 2 / sitter.unit, 0.3), rng.uniform(0.2, 0.7)
    rise, depth, pointed = rng.uniform(-0.35, 0.0), rng.uniform(0.0, 0.5), rng.random() < 0.4
    collar = [(-0.8 * half, rise), (0 if pointed else -0.3 * half, rise + depth)]
    shoulder = [(-4 * half, slope + 9), (-4 * half, slope), (-2.8 * half, slope)]
    ours = np.array(shoulder + collar)
    return (left + right) / 2 + sitter.unit * np.concatenate([ours, (ours * [-1, 1])[::-1]])


def paint(picture: Canvas, skin: Array, light: Array, sitter: Sitter, look: Look) -> None:
    """Paint the neck in its lit skin, and clothes."""
    soft = 0.01 * sitter.unit
    picture.paint(canvas.fill(sitter.neck, sitter.size, soft), skin)
    rng, cells = look.rng("cloth"), sitter.size[0] / sitter.unit
    weave = np.exp(0.3 * rng.random() * canvas.noise(rng, rng.choice([3.0, 8.0, 25.0]) * cells, sitter.size))
    cloth = any_colour(rng) * weave[..., None] * light
    picture.paint(canvas.fill(clothes_outline(sitter, look), sitter.size, soft), cloth)


def ears(paper: Canvas, sitter: Sitter, look: Look) -> None:
    """Paint the colour of the ears and the hollow in them; their form comes from the light."""
    size, unit, rng = sitter.size, sitter.unit, look.rng("ears")
    red, hollow = rng.uniform(0.75, 0.95), rng.uniform(0.3, 0.9)
    rims = np.stack([sitter[side + "_ear"] for side in ("left", "right") if sitter.near(side)])
    paper.tint(canvas.fill(rims, size, 0.01 * unit), np.array([1.0, red, red]))
    middle = rims.mean(1, keepdims=True)
    paper.tint(canvas.fill(middle + 0.35 * (rims - middle) + 0.04 * sitter.down, size, 0.02 * unit), 0.35, hollow)
