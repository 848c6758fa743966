"""Objects between the face and the camera: glasses, hands and other things."""

from __future__ import annotations

import numpy as np

from lddmmlib.faces.painters import canvas
from lddmmlib.faces.painters.canvas import Array, Canvas, Mask
from lddmmlib.faces.painters.look import Look, any_colour
from lddmmlib.faces.painters.sitter import Sitter

EYE = 0.33  # from the middle of the face to the middle of an eye, in eye-corner distances


def glasses(picture: Canvas, sitter: Sitter, look: Look) -> list[Mask]:
    """Paint frames around both eyes, sometimes with dark lenses. Returns the masks that hide the eyes."""
    if not look.glasses:
        return []
    rng, size, unit = look.rng("glasses"), sitter.size, sitter.unit
    colour = any_colour(rng) * (0.2 if rng.random() < 0.8 else 1)
    rims, width = _rims(sitter, rng), rng.uniform(0.012, 0.04) * unit
    lenses, dark = canvas.fill(rims[:, :-1], size), rng.random() < 0.25
    shade = rng.uniform(0.75, 1) if dark else 0.06 * rng.random()
    picture.paint(lenses, colour * 0.3 if dark else np.full(3, 0.8 * look.light.lamp.max()), shade)
    picture.paint(canvas.stroke(rims, width, size), colour)
    inner, outer = rims[[0, 1], [0, 20]], rims[[0, 1], [20, 0]]  # the points nearest to and farthest from the nose
    bridge = np.stack([inner[0], inner.mean(0) - 0.05 * sitter.down, inner[1]])
    picture.paint(canvas.stroke(canvas.smooth(bridge, closed=False), width, size), colour)
    for side, hinge, x in zip(("left", "right"), outer, (-sitter.half, sitter.half), strict=True):
        if sitter.near(side):
            arm = np.stack([hinge, sitter.at(np.array([x, -0.02, -0.6]))])
            picture.paint(canvas.stroke(arm, width, size), colour)
    return [Mask(lenses.value * shade, lenses.at)] if dark else []


def _rims(sitter: Sitter, rng: np.random.Generator) -> Array:
    """Rims (2, 41, 2): closed super-ellipses, left and right, clockwise in the image from its right."""
    t, power = np.linspace(0, 2 * np.pi, 41), rng.choice([2, 3, 5])
    x, y = (np.sign(v) * np.abs(v) ** (2 / power) for v in (np.cos(t), np.sin(t)))
    wide, high = rng.uniform(0.2, 0.25), rng.uniform(0.13, 0.2)
    across = np.array([[-EYE], [EYE]]) + wide * x
    return sitter.at(
        np.stack([across, np.broadcast_to(0.04 + high * y, across.shape), 0.1 - 0.25 * np.abs(across)], -1)
    )


def things(picture: Canvas, sitter: Sitter, look: Look) -> list[Mask]:
    """Paint hands and other objects. Returns their masks."""
    rng, unit, hidden = look.rng("occluders"), sitter.unit, []
    light = look.light.ambient + 0.6 * look.light.lamp
    for _ in range(look.occluders):
        centre = sitter.at(np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.4, 1.4), 0.2]))
        parts = _hand(rng, look.skin) if rng.random() < 0.4 else [(_thing(rng), any_colour(rng))]
        for outline, colour in parts:
            mask = canvas.fill(centre + unit * outline, sitter.size, 0.01 * unit)
            picture.paint(mask, colour * light)
            hidden.append(mask)
    return hidden


def _thing(rng: np.random.Generator) -> Array:
    axes = canvas.turned(rng.uniform(0, np.pi), rng.uniform(0.1, 0.4)) * [[1], [rng.uniform(0.2, 1.5)]]
    return canvas.SQUARE @ axes if rng.random() < 0.5 else canvas.pebble(rng, axes, 0.2)


def _hand(rng: np.random.Generator, skin: Array) -> list[tuple[Array, Array]]:
    """Outlines and colours: the palm, then each finger over its own shadow; the finger tips are near the origin."""
    along, across = canvas.turned(rng.uniform(0, 2 * np.pi), 1.0)
    width, skin = rng.uniform(0.11, 0.17), skin * rng.uniform(0.6, 1.1)
    parts = [(canvas.ellipse(1.5 * width * across - 0.9 * along, np.stack([0.45 * along, 0.38 * across])), skin)]
    taper = width * np.array([0.9, 1, 1, 1, 0.95, 0.85, 0.55])
    for finger in range(rng.integers(2, 5)):
        root = 1.05 * width * finger * across - 0.7 * along
        body = canvas.band(np.linspace(root, root + rng.uniform(0.6, 0.85) * along, 7), taper)
        parts += [(body + 0.03 * across, 0.5 * skin), (body, skin)]
    return parts
