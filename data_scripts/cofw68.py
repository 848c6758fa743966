"""`python data_scripts/cofw68.py FOLDER --out DIR`: COFW-68, COFW's test photographs with 68 landmarks and occlusion.

The images are those that `cofw.py` has taken out into the same DIR; else they are taken out of ``COFW_test_color.mat``.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import _dataset
import cofw
from _dataset import Dataset, Split

from lddmmlib.data import mat
from lddmmlib.data.records import Malformed, Record, attempt, need, required


def read(folder: Path, out: Path) -> _dataset.Found:
    """The faces of all annotations."""
    yield from _dataset.of_part("test", folder, faces, folder, out)


def faces(folder: Path, out: Path) -> Iterator[Record | Malformed]:
    """The faces, each with the image of its number."""
    pictures = out / "cofw" / "test"
    if not pictures.is_dir():
        for item in cofw.faces(folder, out, "test"):
            if isinstance(item, Malformed):
                yield item
    boxes = mat.variables(_dataset.only(folder, "cofw68_test_bboxes.mat"), "bboxes")["bboxes"]
    need(boxes.ndim == 2 and boxes.shape[1] == 4, "bboxes (n, 4)", f"{boxes.shape}")
    for path in _dataset.files(_dataset.only(folder, "test_annotations"), "*.mat"):
        yield attempt(face, path, pictures, boxes, where=path.name)


def face(path: Path, pictures: Path, boxes) -> Record:
    """The face of one annotation."""
    named = re.fullmatch(r"([1-9]\d*)_points", path.stem)
    need(named and int(named[1]) <= len(boxes), f"N_points.mat, N from 1 to {len(boxes)}", path.name)
    i = int(named[1])
    found = required(attempt(mat.cofw68, path, pictures / f"{i:04}.png", boxes[i - 1]))
    return found._replace(attributes={"image": i})


DATASET = Dataset(
    name="cofw68",
    title="COFW-68",
    points=(68,),
    where="https://github.com/golnazghiasi/cofw68-benchmark (annotations); the photographs: see cofw.py",
    terms="see the page of its makers, and COFW's",
    layout="""
        COFW68_Data/test_annotations/1_points.mat ... 507_points.mat
        COFW68_Data/cofw68_test_bboxes.mat
        COFW_test_color.mat, unless cofw.py has run with the same --out
    """,
    parts={"test": 507},
    splits={"test": Split(("test",))},
    read=read,
)

if __name__ == "__main__":
    sys.exit(_dataset.main(DATASET))
