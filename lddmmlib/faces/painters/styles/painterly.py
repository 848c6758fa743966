"""A painting: brush strokes along the structures of the image, from a palette of a few colours, on canvas."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lddmmlib import _checks
from lddmmlib.faces import geometry
from lddmmlib.faces.painters import canvas
from lddmmlib.faces.painters.canvas import Array
from lddmmlib.faces.painters.look import Look
from lddmmlib.faces.painters.photograph import Painting, photo
from lddmmlib.faces.painters.styles import shapes

# From dark to light, levels.
PALETTES = np.array([
    [[26, 26, 71], [41, 77, 133], [51, 128, 115], [204, 89, 64], [237, 158, 77], [250, 224, 158]],
    [[31, 18, 15], [82, 38, 26], [133, 71, 41], [184, 117, 66], [222, 171, 110], [247, 224, 179]],
    [[13, 23, 51], [28, 56, 97], [51, 97, 138], [97, 143, 168], [158, 189, 194], [224, 230, 214]],
    [[51, 20, 56], [115, 31, 89], [51, 115, 102], [140, 179, 89], [242, 191, 64], [252, 237, 179]],
]) / 255  # fmt: skip


class Brush(NamedTuple):
    """A brush: length and width of its strokes in eye-corner distances, their number, and the busiest share
    to cover.
    """

    length: float
    width: float
    count: int
    share: float


BRUSHES = (Brush(0.3, 0.11, 500, 1.0), Brush(0.17, 0.05, 1100, 0.5), Brush(0.1, 0.025, 3500, 0.15))


def mannered(face: geometry.Face3D, look: Look) -> geometry.Face3D:
    """The face as a long oval, with a long nose and a small mouth."""
    rng = look.rng("painterly shape")
    return shapes.moulded(face, rng.uniform(0.86, 0.96), rng.uniform(1.05, 1.18), nose=rng.uniform(1.1, 1.35),
                          mouth=rng.uniform(0.65, 0.9), eyes=rng.uniform(0.9, 1.1))  # fmt: skip


def painterly(face: geometry.Face3D, look: Look, size: int) -> Painting:
    """Paint over a photograph: coarse strokes first, fine ones where there is much detail."""
    calm = replace(
        look, camera=replace(look.camera, exposure=0.55, blur=0.0, motion=np.zeros(2), noise=0.0, contrast=1.1)
    )
    sitting, rng = photo(face, calm, size), look.rng("painterly")
    scene = sitting.image
    palette = PALETTES[rng.integers(len(PALETTES))] * rng.uniform(0.9, 1.05, 3)
    paint = np.full((size, size, 4), (*(255 * palette[2]), 128), np.uint8)
    for brush in BRUSHES:
        _strokes(paint, scene, palette, brush, face.scale, rng)
    relief = canvas.blur(paint[..., 3].astype(np.float32) / 255, 0.4) + 0.1 * _weave(size, face.scale)
    shine = np.gradient(relief, axis=0) + np.gradient(relief, axis=1)
    image = paint[..., :3] / np.float32(255) + np.float32(0.12) * shine[..., None]
    return Painting(np.clip(image, 0, 1), sitting.hidden, sitting.occluded)


def _strokes(paint: Array, scene: Array, palette: Array, brush: Brush, unit: float, rng: np.random.Generator) -> None:
    """Cover `paint` (h, w, 4: levels, and the thickness of the paint, uint8) with strokes of one brush."""
    cv2 = _checks.optional("cv2")

    size, length, width = len(scene), brush.length * unit, brush.width * unit
    gray = canvas.blur(scene.mean(-1), 0.4 * width)
    detail = canvas.blur(np.abs(gray - canvas.blur(gray, 2 * width)), width)
    at = rng.random((brush.count, 2)) * (size - 1)
    tint, bend = rng.standard_normal((brush.count, 4)), _along(gray, 1.5 * width, rng)
    x, y = np.round(at).astype(int).T
    busy = detail[y, x] >= np.quantile(detail, 1 - brush.share)
    half = 0.5 * length * bend[y, x]
    lines = np.stack([at - half, at + 0.12 * half[:, ::-1] * [-1, 1], at + half], 1)[busy]
    outlines = np.round(16 * canvas.band(lines, width * np.array([0.6, 1, 0.5]))).astype(np.int32)
    colours = _mixed(scene[y, x], gray[y, x], palette, tint)[busy]
    for outline, colour in zip(outlines, colours.tolist(), strict=True):
        cv2.fillPoly(paint, [outline], colour, lineType=cv2.LINE_AA, shift=4)


def _along(gray: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Unit vectors (h, w, 2) along the structures of the image; in flat regions, along a slow swirl."""
    cv2 = _checks.optional("cv2")

    x, y = (cv2.Sobel(gray, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    swirl = 3 * canvas.noise(rng, 4, gray.shape)
    c, s = (canvas.blur(v, sigma) + 1e-5 * w for v, w in ((x * x - y * y, np.cos(swirl)), (2 * x * y, np.sin(swirl))))
    turn = np.arctan2(s, c) / 2 + np.pi / 2
    return np.stack([np.cos(turn), np.sin(turn)], -1)


def _mixed(scene: Array, gray: Array, palette: Array, tint: Array) -> Array:
    """Levels and thickness (n, 4): the colour of the palette of that brightness, mixed with a little of the scene's."""
    place = np.clip((len(palette) - 1) * (1.25 * gray - 0.1) + 0.2 * tint[:, 0], 0, len(palette) - 1)
    colour = 0.75 * palette[np.round(place).astype(int)] + 0.25 * scene + 0.025 * tint[:, 1:]
    return np.concatenate([255 * colour.clip(0, 1), 128 + 40 * tint[:, :1]], 1).clip(0, 255)


def _weave(size: int, unit: float) -> Array:
    """The threads of the canvas (h, w)."""
    y, x = np.mgrid[:size, :size] * (2 * np.pi / (0.05 * unit))
    return np.cos(x) * np.cos(y)
