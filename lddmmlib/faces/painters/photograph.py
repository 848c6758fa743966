"""A photograph: the order of its layers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lddmmlib.faces import geometry
from lddmmlib.faces.painters import before, camera, canvas, eyes, figure, light, mouth, skin
from lddmmlib.faces.painters.background import background
from lddmmlib.faces.painters.canvas import Array, Canvas
from lddmmlib.faces.painters.hair import Hair
from lddmmlib.faces.painters.look import Look
from lddmmlib.faces.painters.sitter import Sitter


class Painting(NamedTuple):
    """A picture, and what in it stands before the face."""

    image: Array  #: (h, w, 3), red green blue, levels in [0, 1]
    hidden: Array  #: (h, w), 0 to 1
    occluded: float  #: the share of the face that is hidden


def photo(face: geometry.Face3D, look: Look, size: int) -> Painting:
    """Paint what is behind the face, the face, the light on it, what is before it; then take the picture."""
    sitter = Sitter(face, (size, size))
    hair, (on_face, on_body) = Hair(sitter, look), light.on_sitter(sitter, look)
    picture = background(sitter.size, look)
    hair.behind(picture)
    bare = skin.skin(sitter, look)
    figure.paint(picture, bare.image * on_body, on_body, sitter, look)
    portrait = colours(bare, sitter, look)
    portrait.image = portrait.image * on_face.light + on_face.gloss
    eyes.highlights(portrait, sitter, look)
    head = canvas.joined([canvas.fill(part, sitter.size, 0.006 * sitter.unit) for part in sitter.head])
    picture.paint(head, portrait.image)
    masks = [*hair.before(picture), *before.glasses(picture, sitter, look), *before.occluders(picture, sitter, look)]
    image, hidden = camera.develop(picture.image, head, sitter.unit, look), canvas.union(masks, sitter.size)
    return Painting(image, hidden, occluded(sitter, hidden))


def occluded(sitter: Sitter, hidden: Array) -> float:
    """The share of the face, from jaw to brows, that ``hidden`` (h, w) covers."""
    brows = sitter["right_brow_upper"][::-1], sitter["left_brow_upper"][::-1]
    face = canvas.fill(np.concatenate([sitter["jaw"], *brows]), sitter.size)
    return float((face.value * hidden[face.at]).sum() / (face.value.sum() + 1e-9))


def colours(bare: Canvas, sitter: Sitter, look: Look) -> Canvas:
    """The colours of the face, without light."""
    paper = bare.copy()
    skin.nose(paper, sitter, look)
    skin.creases(paper, sitter, look)
    eyes.eyes(paper, sitter, look)
    mouth.mouth(paper, sitter, look)
    skin.beard(paper, sitter, look)
    eyes.brows(paper, sitter, look)
    figure.ears(paper, sitter, look)
    return paper
