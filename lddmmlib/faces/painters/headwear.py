"""Hats, and masks over nose and mouth."""

from __future__ import annotations

from functools import partial

import numpy as np

from lddmmlib.faces.painters import canvas
from lddmmlib.faces.painters.canvas import Array, Canvas, Mask
from lddmmlib.faces.painters.look import Look, any_colour, linear
from lddmmlib.faces.painters.sitter import Sitter, hull

MIDDLE, RADII = np.array([0.0, -0.75]), np.array([0.88, 0.86])  # of the head at the forehead: x and z, head frame
FULL = np.linspace(-np.pi, np.pi, 49)
PAPERS = linear([[0.62, 0.78, 0.86], [0.9, 0.92, 0.93], [0.1, 0.1, 0.11]])  # the usual colours of masks


def mask(picture: Canvas, sitter: Sitter, look: Look, light: Array) -> list[Mask]:
    """Paint a mask from the bridge of the nose to below the chin, pleated, with loops about the ears.
    Returns its mask.
    """
    if not look.mask:
        return []
    rng, size, unit, jaw = look.rng("mask"), sitter.size, sitter.unit, sitter["jaw"]
    cloth = PAPERS[rng.integers(3)] if rng.random() < 0.7 else any_colour(rng)
    top, loops = sitter["nose_bridge"][rng.integers(5, 15)], rng.integers(6, 14)
    sides = jaw[[loops, -1 - loops]]
    cheeks = 0.5 * (sides + top) + 0.05 * sitter.down
    middle, light = sitter["outer_lip_upper"][8], canvas.blur(light, 0.12 * unit)  # nose and lips show through softly
    under = middle + 1.05 * (jaw[loops + 2 : 63 - loops : 3] - middle)
    outline = np.concatenate([sides[:1], cheeks[:1], [top], cheeks[1:], sides[1:], under[::-1]])
    sheet = canvas.fill(canvas.smooth(outline), size, 0.006 * unit)
    for side, ear in ((0, "left_ear"), (1, "right_ear")):
        if sitter.near(ear.split("_")[0]):
            picture.paint(canvas.stroke(np.stack([sides[side], sitter[ear][1]]), 0.02 * unit, size), cloth * light)
    picture.paint(sheet, cloth * light)
    share = np.linspace(0.3, 0.75, rng.integers(2, 5))[:, None, None]
    way = canvas.smooth(np.stack([sides[0], middle + 0.06 * sitter.forth, sides[1]]), closed=False)
    pleats = (1 - share) * (way + (top - middle)) + share * (way + (jaw[32] - middle))
    picture.tint(canvas.within(canvas.stroke(pleats, 0.015 * unit, size, 0.006 * unit), sheet), 0.6, rng.random())
    return [sheet]


def hat(picture: Canvas, sitter: Sitter, look: Look, light: Array) -> list[Mask]:
    """Paint a hat: knitted, with a peak, or with a brim all around, whose shadow falls on the face. Returns its mask.

    There is none on a head tilted backwards, where the inside would be seen.
    """
    if not look.hat:
        return []
    rng, size, soft = look.rng("hat"), sitter.size, 0.006 * sitter.unit
    kind, cloth = rng.choice(["knit", "peak", "brim"]), any_colour(rng) * light
    low, back, high = rng.uniform(-0.85, -0.6), rng.uniform(-0.1, 0.35), rng.uniform(0.5, 0.75)
    ring = partial(_ring, sitter, back)
    far, near = ring(low)[[0, 24]] @ sitter.down / sitter.unit**2
    if far > near + 0.25:
        return []
    levels = [ring(low - high * k, (1 - k**3) ** 0.5) for k in np.linspace(0, 0.97, 7)]
    crown = canvas.fill(hull(np.concatenate(levels)), size, soft)
    wide, angle = {"knit": (1, np.pi / 2), "peak": (1.6, 0.6), "brim": (rng.uniform(1.25, 1.6), np.pi / 2)}[kind]
    edge = low + 0.08 * (wide - 1)
    inner, outer = (ring(y, w, np.linspace(-angle, angle, 25)) for y, w in ((low, 1), (edge, wide)))
    brim = np.concatenate([inner, outer[::-1]])
    fall = (0.2 - 0.1 * look.light.direction[1]) * sitter.down - 0.2 * look.light.direction[0] * sitter.right
    picture.tint(canvas.fill(brim + fall, size, 0.06 * sitter.unit), 0.45, rng.random())
    if kind == "brim":  # its rear part
        picture.paint(canvas.fill(ring(edge, wide), size, soft), 0.7 * cloth)
    picture.paint(crown, cloth)
    if kind != "peak":  # a cuff or a ribbon
        t, wide = np.linspace(-np.pi / 2, np.pi / 2, 25), 0.14 + 0.08 * (kind == "knit")
        band = np.concatenate([ring(low, 1.01, t), ring(low - wide, 1.01, t)[::-1]])
        picture.paint(canvas.fill(band, size, soft), 0.8 * cloth if kind == "knit" else any_colour(rng) * light)
    brim = canvas.fill(brim, size, soft)
    picture.paint(brim, 0.85 * cloth)
    return [crown, brim]


def _ring(sitter: Sitter, back: float, y: float, wide: float = 1.0, angles: Array = FULL) -> Array:
    """A horizontal ring around the head at height y over the forehead, lower by `back` behind; angle 0 is in front."""
    x, z = MIDDLE[:, None] + wide * RADII[:, None] * np.stack([np.sin(angles), np.cos(angles)])
    return sitter.at(np.stack([x, y + back * (1 - np.cos(angles)) / 2, z], -1))
