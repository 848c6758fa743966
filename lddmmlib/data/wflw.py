"""The reader of WFLW's lists: one face a line, with 98 points x y, in the full lists box and attributes, then the
image.

Full lists (`list_98pt_rect_attr_train.txt`) have 196 + 4 + 6 + 1 = 207 words, lists of test subsets 196 + 1.
The name of the image may contain spaces. Numbers are kept: WFLW states no origin, and they are read as 0-based.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from lddmmlib.data.images import Places
from lddmmlib.data.records import Malformed, Record, brief, each_line, head, need, number, numbers, read_bytes, record

POINTS, BOX = 98, 4
ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")
COORDINATES = 2 * POINTS
EXTRAS = BOX + len(ATTRIBUTES)


def recognise(path: Path) -> bool:
    """Test whether one of the first lines is as long as a face of WFLW."""
    return any(len(line.split()) > COORDINATES for line in head(path).split(b"\n"))


def read(path: Path, places: Places) -> Iterator[Record | Malformed]:
    """Read the faces of one list, each line independently.

    Args:
        path: the list.
        places: the search for its images.
    """
    return each_line(read_bytes(path), partial(_face, path, places))


def _face(path: Path, places: Places, text: str, line: int) -> Record:
    words = text.split(maxsplit=COORDINATES)
    need(len(words) > COORDINATES, f"{COORDINATES} coordinates and the image's name", f"{len(words)} words")
    xy = torch.tensor(numbers(words[:COORDINATES], COORDINATES), dtype=torch.float64).view(POINTS, 2)
    box, attributes, name = _extras(words[COORDINATES])
    return record(places.named(name, path), xy, f"{path}:{line}", box=box, attributes=attributes)


def _extras(rest: str) -> tuple[tuple | None, dict, str]:
    """The box, the attributes and the image's name after the coordinates; the first two if a number comes first."""
    words = rest.split(maxsplit=EXTRAS)
    if len(words) == 1 or not math.isfinite(number(words[0])):
        return None, {}, rest
    wanted = f"{BOX} + {len(ATTRIBUTES)} numbers (box, attributes) and the image's name"
    need(len(words) > EXTRAS, wanted, brief(rest))
    left, top, right, bottom = numbers(words[:BOX], BOX)
    flags = words[BOX:EXTRAS]
    need(left < right and top < bottom, "a box xmin ymin xmax ymax", brief(" ".join(words[:BOX])))
    need(set(flags) <= {"0", "1"}, f"{len(ATTRIBUTES)} attributes, 0 or 1", brief(" ".join(flags)))
    attributes = {key: flag == "1" for key, flag in zip(ATTRIBUTES, flags, strict=True)}
    return (left, top, right - left, bottom - top), attributes, words[EXTRAS]
