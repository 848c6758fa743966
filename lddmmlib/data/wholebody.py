"""COCO-WholeBody json: the 68 points of each person's face, `face_kpts`, in the order of 300-W, 0-based.

Persons without a face that is clear enough (`face_valid` false) are no faces here. v may lie between 0 and 1: above 0
the landmark is annotated. The 17 points of the body are read by ``format="coco"``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lddmmlib.data import coco
from lddmmlib.data.records import head

read = partial(coco.read, part="face")


def recognise(path: Path) -> bool:
    """Whether the file holds faces of COCO-WholeBody."""
    text = head(path, -1)
    return b'"annotations"' in text and b'"face_kpts"' in text
