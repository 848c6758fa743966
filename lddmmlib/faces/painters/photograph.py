"""A photograph: its layers, in order."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lddmmlib.faces import geometry
from lddmmlib.faces.painters import body, camera, canvas, eyes, headwear, light, mouth, occluders, skin
from lddmmlib.faces.painters.background import background
from lddmmlib.faces.painters.canvas import Array, Canvas, Mask
from lddmmlib.faces.painters.hair import Hair
from lddmmlib.faces.painters.look import Look, sample
from lddmmlib.faces.painters.sitter import Sitter


class Painting(NamedTuple):
    """A picture, and a mask of the parts that hide the face."""

    image: Array  #: (h, w, 3), red green blue, levels in [0, 1]
    hidden: Array  #: (h, w), 0 to 1
    occluded: float  #: the share of the face that is hidden


# Annotators place points slightly above the edges, as measured on photographs (`experiments.yardstick`).
LOWERED = {"brow": 0.035, "eye": 0.027, "iris": 0.027, "pupil": 0.027, "lip": 0.032}  # eye-corner distances


def photo(face: geometry.Face3D, look: Look, size: int) -> Painting:
    """Paint a photograph: the background, the face, the light on it and the occluders; then develop the picture.

    Args:
        face: the geometry, framed in an image of `size` px a side.
        look: the appearance.
        size: px a side.
    """
    sitter = Sitter(face, (size, size), LOWERED)
    picture = background(sitter.size, look)
    if look.neighbour == "behind":
        neighbour(picture, sitter, look)
    head, masks = person(picture, sitter, look)
    if look.neighbour == "before":
        masks.append(neighbour(picture, sitter, look))
    masks += occluders.things(picture, sitter, look)
    image, hidden = camera.develop(picture.image, head, sitter.unit, look), canvas.union(masks, sitter.size)
    return Painting(image, hidden, occluded(sitter, hidden))


def person(picture: Canvas, sitter: Sitter, look: Look) -> tuple[Mask, list[Mask]]:
    """Paint a person, from the hair behind the head to the glasses. Returns the masks of the head and of
    its occluders.
    """
    hair, (on_face, on_body) = Hair(sitter, look), light.on_sitter(sitter, look)
    hair.behind(picture)
    bare = skin.skin(sitter, look)
    body.paint(picture, bare.image * on_body, on_body, sitter, look)
    portrait = colours(bare, sitter, look)
    portrait.image = portrait.image * on_face.light + on_face.gloss
    eyes.highlights(portrait, sitter, look)
    head = canvas.joined([canvas.fill(part, sitter.size, 0.006 * sitter.unit) for part in sitter.head])
    picture.paint(head, portrait.image)
    masks = headwear.mask(picture, sitter, look, on_face.light)
    masks += [*hair.before(picture), *headwear.hat(picture, sitter, look, on_face.light)]
    return head, [*masks, *occluders.glasses(picture, sitter, look)]


def neighbour(picture: Canvas, sitter: Sitter, look: Look) -> Mask:
    """Paint another person beside the sitter, in the same light. Returns the mask."""
    rng, old = look.rng("neighbour"), picture.image.copy()
    near = look.neighbour == "before"
    shift = np.array([rng.choice([-1, 1]) * rng.uniform(1.35, 2.3), rng.uniform(-0.5, 0.7) + 0.5 * near])
    face = replace(
        geometry.sample(rng, "wild"),
        scale=sitter.unit * (rng.uniform(0.9, 1.3) if near else rng.uniform(0.6, 1.0)),
        centre=np.asarray(sitter.face.centre) + sitter.unit * shift,
    )
    other = replace(sample((*look.seed, 3), wild=True), light=look.light)
    person(picture, Sitter(face, sitter.size, LOWERED), other)
    changed = np.abs(picture.image - old).max(-1) > 0.01
    return Mask(changed.astype(np.float32), (slice(None), slice(None)))


def occluded(sitter: Sitter, hidden: Array) -> float:
    """The share of the face, from jaw to brows, that `hidden` (h, w) covers."""
    brows = sitter["right_brow_upper"][::-1], sitter["left_brow_upper"][::-1]
    face = canvas.fill(np.concatenate([sitter["jaw"], *brows]), sitter.size)
    return float((face.value * hidden[face.at]).sum() / (face.value.sum() + 1e-9))


def colours(bare: Canvas, sitter: Sitter, look: Look) -> Canvas:
    """Paint the colours of the face, without light."""
    paper = bare.copy()
    skin.nose(paper, sitter, look)
    skin.creases(paper, sitter, look)
    eyes.eyes(paper, sitter, look)
    mouth.mouth(paper, sitter, look)
    skin.beard(paper, sitter, look)
    eyes.brows(paper, sitter, look)
    body.ears(paper, sitter, look)
    return paper
