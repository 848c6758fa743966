"""Painters: from geometry and a look to a picture."""

from collections.abc import Callable
from typing import NamedTuple

from lddmmlib.faces.geometry.face3d import Face3D
from lddmmlib.faces.painters import look
from lddmmlib.faces.painters.drawing import line
from lddmmlib.faces.painters.look import Look
from lddmmlib.faces.painters.photograph import Painting, photo
from lddmmlib.faces.painters.styles import caricature, cartoon, halftone, painterly


def as_it_is(face: Face3D, look: Look) -> Face3D:
    """The geometry of a style that has none of its own."""
    return face


class Style(NamedTuple):
    """How to paint, and what to do to the geometry before: landmarks are read from what is painted."""

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
