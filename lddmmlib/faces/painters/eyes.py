"""Eyes and brows, both sides at once: arrays of curves are (2, n, 2), left and right."""

from __future__ import annotations

import numpy as np

from lddmmlib.faces.painters import canvas
from lddmmlib.faces.painters.canvas import Array, Canvas
from lddmmlib.faces.painters.look import Look, any_colour, linear
from lddmmlib.faces.painters.sitter import Sitter

IRISES = linear([[0.28, 0.17, 0.10], [0.38, 0.25, 0.15], [0.45, 0.40, 0.24], [0.42, 0.50, 0.42], [0.40, 0.52, 0.62]])


def eyes(paper: Canvas, sitter: Sitter, look: Look) -> None:
    """Paint sockets, eyeballs and lids. The edges of lids and irises lie on the curves."""
    rng = look.rng("eyes")
    _sockets(paper, sitter, look, any_colour(rng))
    _balls(paper, sitter, IRISES[rng.integers(len(IRISES))] * rng.uniform(0.6, 1.2), rng.uniform(0.6, 1.15))
    _lids(paper, sitter, look, rng)


def _sockets(paper: Canvas, sitter: Sitter, look: Look, shadow: Array) -> None:
    """Paint the sockets, darker than the face; make-up colours them."""
    lens = sitter.lenses("eye")
    middle = lens.mean(1, keepdims=True)
    mask = canvas.fill(middle + 1.3 * (lens - middle) - 0.04 * sitter.down, sitter.size, 0.04 * sitter.unit)
    paper.tint(mask, 0.8, 0.5)
    if look.makeup > 0.3:
        paper.paint(mask, shadow * 0.4, 0.4 * look.makeup)


def _balls(paper: Canvas, sitter: Sitter, iris: Array, white: float) -> None:
    """Paint the white, the iris with a dark rim, and the pupil, all in the shade of the upper lid."""
    size, unit = sitter.size, sitter.unit
    opening = canvas.fill(sitter.lenses("eye"), size, 0.004 * unit)
    paper.paint(opening, white * linear([0.80, 0.76, 0.73]))
    rings = sitter.pair("iris")[:, :-1]
    middle = rings.mean(1, keepdims=True)
    for share, colour in ((1.0, 0.4 * iris), (0.85, iris), (0.42, np.full(3, 0.006))):
        disc = canvas.fill(middle + share * (rings - middle), size, 0.005 * unit)
        paper.paint(canvas.within(disc, opening), colour)
    shade = canvas.stroke(sitter.pair("eye_upper") + 0.02 * sitter.down, 0.05 * unit, size, 0.012 * unit)
    paper.tint(canvas.within(shade, opening), 0.6, 0.5)


def _lids(paper: Canvas, sitter: Sitter, look: Look, rng: np.random.Generator) -> None:
    """Paint a fold, a dark line above the edge of the upper lid, a fainter one below the lower lid,
    sometimes lashes.
    """
    size, unit, up = sitter.size, sitter.unit, -sitter.down
    upper, lower = sitter.pair("eye_upper"), sitter.pair("eye_lower")
    taper = np.sin(np.linspace(0.15, np.pi - 0.15, upper.shape[1]))
    fold, above, below, lashes = rng.random(4)
    paper.tint(canvas.stroke(upper + 0.06 * up, 0.022 * unit * taper, size, 0.008 * unit), 0.4, 0.9 * fold)
    dark = 0.25 * look.skin * np.array([1, 0.8, 0.7])

    def rim(edge: Array, outwards: Array) -> canvas.Mask:
        outer = edge + outwards * (0.4 + 0.6 * taper[:, None])
        return canvas.fill(np.concatenate([edge, outer[:, ::-1]], 1), size, 0.003 * unit)

    thick = 0.014 + 0.014 * above + 0.016 * look.makeup
    paper.paint(rim(upper, thick * up), dark * (1 - 0.8 * look.makeup), 0.5 + 0.5 * above)
    paper.paint(rim(lower, -0.012 * up), 1.6 * dark, 0.2 + 0.5 * below)
    if look.makeup > 0.4 or lashes > 0.8:
        roots = upper[:, 1:-1:2]
        tips = roots + 0.03 * up + 0.2 * (roots - upper.mean(1, keepdims=True))
        paper.paint(canvas.stroke(np.stack([roots, tips], 2), 0.008 * unit, size), 0.2 * dark, 0.7)


def highlights(paper: Canvas, sitter: Sitter, look: Look) -> None:
    """Paint the reflection of the lamp in the corneas, after the light."""
    size, unit, rng = sitter.size, sitter.unit, look.rng("highlights")
    strength, radius = rng.uniform(0.1, 0.7), rng.uniform(0.008, 0.015)
    spots = sitter.pair("iris")[:, :-1].mean(1, keepdims=True) + 0.035 * unit * look.light.direction[:2]
    discs = canvas.fill(canvas.ellipse(spots, radius * unit * np.eye(2), 12), size, 0.003 * unit)
    opening = canvas.fill(sitter.lenses("eye"), size)
    paper.paint(canvas.within(discs, opening), np.full(3, 1.2 * look.light.lamp.max()), strength)


def brows(paper: Canvas, sitter: Sitter, look: Look) -> None:
    """Paint a soft band between the curves, and in it hairs that point outwards."""
    rng, size, unit = look.rng("brows"), sitter.size, sitter.unit
    colour = np.minimum(look.hair * rng.uniform(0.3, 0.8), rng.uniform(0.25, 0.6) * look.skin)
    dense, soft, slant = rng.uniform(0.45, 1), rng.uniform(0.008, 0.022) * unit, rng.uniform(0.9, 2.7)
    mask = canvas.fill(sitter.lenses("brow"), size, soft)
    grain = 1 + 0.25 * canvas.noise(rng, 40 * size[0] / unit, size)[mask.at]
    paper.paint(canvas.Mask(np.clip(mask.value * grain, 0, 1), mask.at), colour, 0.75 * dense)
    upper, lower = sitter.pair("brow_upper"), sitter.pair("brow_lower")
    roots = np.arange(1, upper.shape[1] - 1)
    tips = np.clip(roots + np.round(slant * np.array([[-1], [1]])).astype(int), 0, upper.shape[1] - 1)
    hairs = np.stack([lower[:, roots], np.take_along_axis(upper, tips[..., None], 1)], 2)
    paper.paint(canvas.stroke(hairs, 0.012 * unit, size, 0.004 * unit), 0.5 * colour, 0.5 * dense)
