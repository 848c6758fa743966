"""COCO-WholeBody json: the 68 points of each person's face, `face_kpts`, in the order of 300-W, 0-based.

Persons without a face that is clear enough (`face_valid` false) are no faces here. v may lie between 0 and 1: above 0
the landmark is annotated. The 17 points of the body are read by ``format="coco"``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lddmmlib.data import coco
from lddmmlib.data.images import Places
from lddmmlib.data.records import Malformed, Problem, Record, read_bytes


def recognise(path: Path) -> bool:
    """Whether the file holds faces of COCO-WholeBody."""
    try:
        return coco.recognise(path) and b'"face_kpts"' in read_bytes(path)
    except Malformed:
        return False


def read(path: Path, places: Places) -> Iterator[Record | Problem]:
    """The valid faces of one json."""
    return coco.read(path, places, part="face")
