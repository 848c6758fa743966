"""Painters: from the geometry and the look of a face to an image.

`STYLES` holds a painter for each style; `look` samples appearances. The other modules are the parts of the painters.

>>> from lddmmlib.faces import synthetic
>>> paint, shape = STYLES["cartoon"]
>>> sitting = synthetic.sitting(0)
>>> paint(shape(sitting.framed(32), sitting.look), sitting.look, 32).image.shape
(32, 32, 3)
"""

from collections.abc import Callable
from typing import NamedTuple

from lddmmlib.faces.geometry.face3d import Face3D
from lddmmlib.faces.painters import look
from lddmmlib.faces.painters.drawing import line
from lddmmlib.faces.painters.look import Look
from lddmmlib.faces.painters.photograph import Painting, photo
from lddmmlib.faces.painters.styles import caricature, cartoon, halftone, painterly


def as_it_is(face: Face3D, look: Look) -> Face3D:
    """The unchanged geometry: for styles that do not deform the face."""
    return face


class Style(NamedTuple):
    """A style: a painter, and a deformation of the geometry that is applied first.

    Landmarks are taken from the deformed geometry.
    """

    paint: Callable[[Face3D, Look, int], Painting]
    shape: Callable[[Face3D, Look], Face3D] = as_it_is


STYLES = {
    "photo": Style(photo),
    "line": Style(line),
    "cartoon": Style(cartoon.cartoon, cartoon.childlike),
    "painterly": Style(painterly.painterly, painterly.mannered),
    "halftone": Style(halftone.halftone, halftone.heroic),
    "caricature": Style(caricature.caricature, caricature.exaggerated),
}

__all__ = ["STYLES", "Look", "Painting", "Style", "line", "look", "photo"]
