"""Painters: from geometry and a look to a picture."""

from lddmmlib.faces.painters import look
from lddmmlib.faces.painters.drawing import line
from lddmmlib.faces.painters.look import Look
from lddmmlib.faces.painters.photograph import Painting, photo

STYLES = {"photo": photo, "line": line}

__all__ = ["STYLES", "Look", "Painting", "line", "look", "photo"]
