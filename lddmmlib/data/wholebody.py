"""The reader of COCO-WholeBody json: the 68 points of each person's face, `face_kpts`, in the order of 300-W, 0-based.

Persons without a clear face (`face_valid` false) are skipped. v may lie between 0 and 1: above 0
the landmark is annotated. `format="coco"` reads the 17 points of the body.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lddmmlib.data import coco
from lddmmlib.data.records import head

read = partial(coco.read, part="face")


def recognise(path: Path) -> bool:
    """Test whether a file contains faces of COCO-WholeBody."""
    text = head(path, -1)
    return b'"annotations"' in text and b'"face_kpts"' in text
