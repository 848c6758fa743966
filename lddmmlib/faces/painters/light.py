"""Consistent light on a height field: of everything that a painter can do, this helps a landmarker to learn the most.

Everything that belongs to the sitter is lit here, by the same lamp and the same ambient light.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lddmmlib import _checks
from lddmmlib.faces.painters import canvas, relief
from lddmmlib.faces.painters.canvas import Array
from lddmmlib.faces.painters.look import Light, Look
from lddmmlib.faces.painters.sitter import Sitter

# Light scatters under the skin, red the farthest: the distance that it reaches beyond the terminator.
WRAP = np.array([0.3, 0.15, 0.1], np.float32)
STEPS = (0.06, 0.1, 0.16, 0.24, 0.36, 0.54, 0.8)  # towards the lamp, where an occluder may be


class Shading(NamedTuple):
    """The light on a surface, and its colourless reflection (gloss): both (h, w, 3), linear."""

    light: Array
    gloss: Array


def on_sitter(sitter: Sitter, look: Look) -> tuple[Shading, Array]:
    """The shading of the head, and that of neck and clothes, at the resolution of the canvas."""
    lattice, rng = relief.Lattice(sitter), look.rng("gloss of the skin")
    gloss, exponent = rng.choice([0.01, 0.04, 0.09]), rng.uniform(12, 45)
    head = relief.head(sitter, lattice, look)
    face = shade(head.height, look.light, lattice.unit, gloss, exponent)
    half = canvas.resize(relief.body(sitter, lattice, look, head), (relief.LATTICE // 2,) * 2)
    body = shade(half, look.light, lattice.unit / 2, 0.0, 1.0)
    return Shading(*(canvas.resize(part, sitter.size) for part in face)), canvas.resize(body.light, sitter.size)


def shade(height: Array, light: Light, unit: float, gloss: float, exponent: float) -> Shading:
    """Shade a height field: Lambert with a soft terminator, cast shadows, occluded ambient light, and a highlight:

        light = ambient · sky + lamp · max(n·l + w, 0) / (1 + w) · open,    gloss = g · lamp · (n·h)^e · open,

    n the normal of the surface, l towards the lamp, h half way to the camera. height: eye-corner distances; unit: cells
    per eye-corner distance.
    """
    h = height * np.float32(unit)
    normal = _normals(h)
    toward = light.direction.astype(np.float32)
    half = toward + np.array([0, 0, 1], np.float32)
    shine = np.maximum(normal @ (half / np.linalg.norm(half)), 0)[..., None] ** np.float32(exponent)
    diffuse = np.maximum((normal @ toward)[..., None] + WRAP, 0) / (1 + WRAP)
    lamp = light.lamp.astype(np.float32) * _open(h, light, unit)[..., None]
    sky = _sky(h, normal[..., 1], unit)[..., None]
    return Shading(light.ambient.astype(np.float32) * sky + lamp * diffuse, np.float32(gloss) * shine * lamp)


def _normals(h: Array) -> Array:
    """The unit normals, (-dh/dx, -dh/dy, 1) normalised."""
    cv2 = _checks.optional("cv2")

    slopes = [cv2.Sobel(h, cv2.CV_32F, dx, 1 - dx, scale=-1 / 8, borderType=cv2.BORDER_REPLICATE) for dx in (1, 0)]
    normal = np.stack([*slopes, np.ones_like(h)], -1)
    return normal / np.sqrt((normal * normal).sum(-1, keepdims=True))


def _sky(h: Array, down: Array, unit: float) -> Array:
    """The share of the ambient light that reaches a cell: less in hollows, more on surfaces that face upwards."""
    hollow = 1.6 * (canvas.blur(h, 0.25 * unit) - h) + 0.8 * (canvas.blur(h, 0.08 * unit) - h)
    return np.clip(1 - hollow / np.float32(unit), 0.25, 1.3) * (0.75 - 0.25 * down)


def _open(h: Array, light: Light, unit: float) -> Array:
    """The share of the lamp that a cell sees: less where the surface rises above the ray to the lamp."""
    cv2 = _checks.optional("cv2")

    x, y, z = light.direction
    flat = np.hypot(x, y) + 1e-6
    above = np.full_like(h, -np.inf)
    how = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REPLICATE}
    for step in np.array(STEPS) * unit:
        ahead = cv2.warpAffine(h, np.array([[1, 0, step * x / flat], [0, 1, step * y / flat]]), h.shape, **how)
        np.maximum(above, ahead - h - np.float32(step * z / flat), out=above)
    soft = light.softness * unit
    return canvas.blur(np.clip(0.5 - above / np.float32(soft), 0, 1), 0.25 * soft)
