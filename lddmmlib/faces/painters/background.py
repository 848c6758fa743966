"""The background of a picture."""

from __future__ import annotations

import numpy as np

from lddmmlib.faces.painters import canvas
from lddmmlib.faces.painters.canvas import Array, Canvas
from lddmmlib.faces.painters.look import Look, any_colour


def background(size: tuple[int, int], look: Look) -> Canvas:
    """Paint the background. Studio: a plain wall, brighter on one side. Wild: colours, clutter and texture, mostly out
    of focus.
    """
    rng = look.rng("background")
    wall = np.stack([any_colour(rng) for _ in range(4)]).reshape(2, 2, 3).astype(np.float32)
    if not look.wild:
        wall = wall[:1, :1] * np.exp(0.25 * rng.standard_normal((2, 2, 1), dtype=np.float32))
    paper = Canvas(size, canvas.resize(wall, size, smooth=False))
    if look.wild:
        _clutter(paper, rng)
    return paper


def _clutter(paper: Canvas, rng: np.random.Generator) -> None:
    side = paper.size[0]
    for cells in (3.0, 6.0, 12.0, 24.0):
        if rng.random() < 0.4:
            tone = (rng.uniform(0.02, 0.15) * (any_colour(rng) + 0.1)).astype(np.float32)
            paper.image += canvas.noise(rng, cells, paper.size)[..., None] * tone
    for _ in range(rng.choice([0, 3, 8, 16], p=[0.2, 0.3, 0.3, 0.2])):
        mask = canvas.fill(side * _thing(rng), paper.size, rng.choice([0, 0.004, 0.015]) * side)
        paper.paint(mask, any_colour(rng), rng.uniform(0.4, 1))
    if rng.random() < 0.6:
        paper.image = canvas.blur(paper.image, rng.uniform(0, 0.03) * side)
    if rng.random() < 0.3:
        grain = canvas.noise(rng, rng.choice([32.0, 64.0]), paper.size)
        paper.image *= np.exp(rng.uniform(0.05, 0.3) * grain)[..., None]
    np.clip(paper.image, 0, 1.5, out=paper.image)


def _thing(rng: np.random.Generator) -> Array:
    """A blob, a plank or a rod, anywhere on a canvas of unit side."""
    centre, kind = rng.uniform(-0.1, 1.1, 2), rng.random()
    axes = canvas.turned(rng.uniform(0, np.pi), rng.gamma(2.0, 0.055))
    if kind < 0.4:
        return centre + canvas.pebble(rng, axes, 0.3)
    stretch = (20, 0.2 * rng.uniform(0.1, 3)) if kind > 0.8 else (1, rng.uniform(0.1, 3))
    return centre + canvas.SQUARE @ (axes * np.array(stretch)[:, None])
