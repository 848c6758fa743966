"""WFLW's lists: a line a face, 98 points x y, in the full lists box and attributes, then the image's name.

Full lists (`list_98pt_rect_attr_train.txt`) have 196 + 4 + 6 + 1 = 207 words, lists of test subsets 196 + 1.
The image's name may hold spaces. The numbers are kept: WFLW states no origin, and they are read as 0-based.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch

from lddmmlib.data.images import Places
from lddmmlib.data.records import (
    Malformed,
    Problem,
    Record,
    brief,
    decode,
    number,
    numbers,
    read_bytes,
    scheme_of,
)

POINTS, BOX = 98, 4
ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")
COORDINATES = 2 * POINTS
EXTRAS = BOX + len(ATTRIBUTES)


def recognise(path: Path) -> bool:
    """Whether one of the first lines is as long as a face of WFLW."""
    try:
        head = read_bytes(path, 1 << 16)
    except Malformed:
        return False
    return any(len(line.split()) > COORDINATES for line in head.split(b"\n"))


def read(path: Path, places: Places) -> Iterator[Record | Problem]:
    """The faces of one list, each line by itself."""
    try:
        lines = read_bytes(path).split(b"\n")
    except Malformed as error:
        yield error.problem(path)
        return
    for i, raw in enumerate(lines, 1):
        try:
            if line := decode(raw, i).strip():
                yield _face(line, path, i, places)
        except Malformed as error:
            yield error.problem(path, i)


def _face(line: str, path: Path, i: int, places: Places) -> Record:
    words = line.split(maxsplit=COORDINATES)
    if len(words) <= COORDINATES:
        raise Malformed(f"{COORDINATES} coordinates and the image's name", f"{len(words)} words")
    xy = torch.tensor(numbers(words[:COORDINATES], COORDINATES), dtype=torch.float64).view(POINTS, 2)
    box, attributes, name = _extras(words[COORDINATES])
    visible = torch.ones(POINTS, dtype=torch.bool)
    image, notes = places.named(name, path)
    return Record(
        image=image,
        landmarks=xy,
        visible=visible,
        box=box,
        scheme=scheme_of(POINTS),
        attributes=attributes,
        source=f"{path}:{i}",
        notes=notes,
    )


def _extras(rest: str) -> tuple[tuple | None, dict, str]:
    """Box, attributes and image name: what follows the coordinates. If a number is first, all are there."""
    words = rest.split(maxsplit=EXTRAS)
    if len(words) == 1 or not math.isfinite(number(words[0])):
        return None, {}, rest
    if len(words) <= EXTRAS:
        raise Malformed(f"{BOX} + {len(ATTRIBUTES)} numbers (box, attributes) and the image's name", brief(rest))
    left, top, right, bottom = numbers(words[:BOX], BOX)
    flags = words[BOX:EXTRAS]
    if not left < right or not top < bottom:
        raise Malformed("a box xmin ymin xmax ymax", brief(" ".join(words[:BOX])))
    if not set(flags) <= {"0", "1"}:
        raise Malformed(f"{len(ATTRIBUTES)} attributes, 0 or 1", brief(" ".join(flags)))
    attributes = {key: flag == "1" for key, flag in zip(ATTRIBUTES, flags, strict=True)}
    return (left, top, right - left, bottom - top), attributes, words[EXTRAS]
