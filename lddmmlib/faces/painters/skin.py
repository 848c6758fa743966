"""Skin: its colour over the face, nose, creases, beard."""

from __future__ import annotations

import numpy as np

from lddmmlib.faces.painters import canvas
from lddmmlib.faces.painters.canvas import Array, Canvas
from lddmmlib.faces.painters.look import Look
from lddmmlib.faces.painters.sitter import Sitter


def skin(sitter: Sitter, look: Look) -> Canvas:
    """Paint a canvas of skin: large and small spots, red cheeks, nose and ears."""
    rng, size = look.rng("skin"), sitter.size
    paper = Canvas(size, look.skin)
    cells = size[0] / sitter.unit  # the canvas, in eye-corner distances
    spots = 0.07 * rng.random() * canvas.noise(rng, 4 * cells, size) + 0.04 * rng.random() * canvas.noise(
        rng, 12 * cells, size
    )
    spots += 0.04 * rng.random() ** 2 * canvas.noise(rng, 40 * cells, size)
    paper.image *= np.exp(spots)[..., None]
    axes = np.stack([sitter.right, sitter.down])
    red, flush = np.array([1.0, 0.8, 0.8]), rng.random()
    eyes, wings = [sitter[s + "_eye_lower"][8] for s in ("left", "right")], sitter["nose_outline"][[12, 36]]
    for eye, wing, corner in zip(eyes, wings, sitter["outer_lip"][[0, -1]], strict=True):
        paper.tint(
            canvas.blob((eye + wing + corner) / 3 + (eye - sitter["nose_bridge"][0]) * 0.3, 0.22 * axes, size),
            red,
            flush,
        )
    paper.tint(canvas.blob(sitter["nose_bridge"][-1], 0.14 * axes, size), red, flush * rng.random())
    return paper


def nose(paper: Canvas, sitter: Sitter, look: Look) -> None:
    """Paint the shade under the base, the nostrils, and the crease around the wings."""
    rng, size, unit = look.rng("nose"), sitter.size, sitter.unit
    line, right, down = sitter["nose_outline"], sitter.right, sitter.down
    shade, dark, crease = rng.uniform(0.3, 0.8), rng.uniform(0.5, 1), rng.uniform(0.2, 0.9)
    paper.tint(canvas.stroke(line[14:35] + 0.02 * down, 0.05 * unit, size, 0.02 * unit), 0.55, shade)
    high = rng.uniform(0.014, 0.03)
    holes = [
        canvas.ellipse(line[i] - 0.018 * down, np.stack([0.042 * right + side * 0.012 * down, high * down]))
        for i, side in ((19, -1), (29, 1))
    ]
    paper.tint(canvas.fill(np.stack(holes), size, 0.012 * unit), 0.12, dark)
    wings = np.stack([line[5:17], line[32:44][::-1]])
    width = np.linspace(0.2, 1, wings.shape[1]) * 0.03 * unit
    paper.tint(canvas.stroke(wings, width, size, 0.01 * unit), 0.4, crease)


def creases(paper: Canvas, sitter: Sitter, look: Look) -> None:
    """Paint folds beside the mouth, bags under the eyes, lines on the forehead: deeper with age and smile."""
    rng, size, unit = look.rng("creases"), sitter.size, sitter.unit
    age, smile, down = rng.random() ** 1.5, max(sitter.face.strength("smile"), 0), sitter.down
    wings, corners = sitter["nose_outline"][[10, 38]], sitter["outer_lip"][[0, -1]]
    out = np.array([[-1], [1]]) * sitter.right
    way = [wings - 0.03 * down + 0.03 * out, (wings + corners) / 2 + 0.09 * out, corners + 0.07 * out + 0.05 * down]
    folds = canvas.smooth(np.stack(way, 1), closed=False)
    taper = np.sin(np.linspace(0.3, np.pi, folds.shape[1])) * rng.uniform(0.02, 0.04) * unit
    depth = min(1.0, 0.15 + 0.6 * age + 0.5 * smile)
    paper.tint(canvas.stroke(folds, taper, size, rng.uniform(0.008, 0.025) * unit), 0.55, depth)
    bags = sitter.pair("eye_lower") + 0.075 * down
    taper = np.sin(np.linspace(0, np.pi, bags.shape[1])) * 0.03 * unit
    paper.tint(canvas.stroke(bags, taper, size, 0.018 * unit), 0.6, 0.7 * age)
    if age > 0.45:
        _forehead(paper, sitter, rng, 0.6 * age)


def _forehead(paper: Canvas, sitter: Sitter, rng: np.random.Generator, depth: float) -> None:
    """Paint one to three lines across the forehead."""
    middle = (sitter["left_brow_upper"][12] + sitter["right_brow_upper"][4]) / 2
    heights = rng.uniform(0.15, 0.55, (rng.integers(1, 4), 1, 1))
    x, wobble = np.linspace(-0.45, 0.45, 9)[:, None], 0.02 * rng.standard_normal((len(heights), 9, 1))
    lines = canvas.smooth(middle + x * sitter.right - (heights + wobble - 0.25 * x**2) * sitter.down, closed=False)
    taper = np.sin(np.linspace(0.1, 3.0, lines.shape[1])) * 0.02 * sitter.unit
    paper.tint(canvas.stroke(lines, taper, sitter.size, 0.008 * sitter.unit), 0.6, depth)


def beard(paper: Canvas, sitter: Sitter, look: Look) -> None:
    """Paint a beard: full, around the mouth, or only above it; stubble where it is thin."""
    if look.beard == 0:
        return
    rng, size, unit = look.rng("beard"), sitter.size, sitter.unit
    kind = rng.choice(["full", "round", "moustache"], p=[0.55, 0.25, 0.2])
    mask = canvas.fill(_beard_outline(sitter, kind, rng), size, rng.uniform(0.02, 0.07) * unit)
    lips = canvas.fill(sitter.lens("outer_lip"), size, 0.008 * unit)
    keep = np.ones(size, np.float32)
    keep[lips.at] -= lips.value
    cells = size[0] / unit
    grain = canvas.noise(rng, 60 * cells, size) + canvas.noise(rng, 25 * cells, size)
    hairs = 0.75 + 0.12 * grain + 0.1 * canvas.noise(rng, 6 * cells, size)
    value = np.clip(mask.value * (keep * hairs)[mask.at] * look.beard, 0, 1)
    paper.paint(canvas.Mask(value, mask.at), np.minimum(look.hair * rng.uniform(0.6, 1.3), 0.8 * look.skin))


def _beard_outline(sitter: Sitter, kind: str, rng: np.random.Generator) -> Array:
    lip, base = sitter["outer_lip"], sitter["nose_outline"][24]
    out, down = 0.08 * sitter.right, 0.05 * sitter.down
    above = 0.55 * base + 0.45 * sitter["outer_lip_upper"][8]
    left, right = lip[0] - out, lip[-1] + out
    top = np.stack([right, above + 2.2 * out, above, above - 2.2 * out, left])
    if kind == "moustache":
        return canvas.smooth(np.concatenate([top, [sitter["outer_lip_upper"][8]]]))
    jaw = sitter["jaw"][22:43] if kind == "round" else sitter["jaw"][8:57]
    if kind == "round":
        return canvas.smooth(np.concatenate([jaw[::4], top + 0 * down]))
    cheek = rng.uniform(0.2, 0.5)
    sides = [cheek * right + (1 - cheek) * jaw[-4], cheek * left + (1 - cheek) * jaw[3]]
    return canvas.smooth(np.concatenate([jaw[::4], [sides[0] - down], top, [sides[1] - down]]))
