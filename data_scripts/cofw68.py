"""`python data_scripts/cofw68.py FOLDER --out DIR`: COFW-68, COFW's test photographs with 68 landmarks and occlusion.

The images are those that `cofw.py` has taken out into the same DIR; else they are taken out of ``COFW_test_color.mat``.
"""

import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import _dataset
import cofw
from _dataset import Dataset, Split

from lddmmlib.data import mat
from lddmmlib.data.records import Malformed, Problem, Record, attempt, need


def read(folder: Path, out: Path) -> _dataset.Found:
    """The faces of all annotations."""
    pictures = out / "cofw" / "test"
    if not pictures.is_dir():
        images = _dataset.of_file("test", folder, cofw.FILE.format("test"), partial(cofw.faces, out, "test"))
        yield from ((part, item) for part, item in images if isinstance(item, Problem))
    yield from _dataset.of_file("test", folder, "cofw68_test_bboxes.mat", partial(faces, folder, pictures))


def faces(folder: Path, pictures: Path, path: Path) -> Iterator[Record | Problem]:
    """The faces, each with the image of its number."""
    boxes = mat.variables(path, "bboxes")["bboxes"]
    need(boxes.ndim == 2 and boxes.shape[1] == 4, "bboxes (n, 4)", f"{boxes.shape}")
    for annotation in _dataset.files(_dataset.only(folder, "test_annotations"), "*.mat"):
        found = attempt(face, annotation, pictures, boxes)
        yield found.problem(annotation) if isinstance(found, Malformed) else found


def face(path: Path, pictures: Path, boxes) -> Record:
    """The face of one annotation."""
    named = re.fullmatch(r"([1-9]\d*)_points", path.stem)
    need(named and int(named[1]) <= len(boxes), f"N_points.mat, N from 1 to {len(boxes)}", path.name)
    i = int(named[1])
    return mat.cofw68(path, pictures / f"{i:04}.png", boxes[i - 1])._replace(attributes={"image": i})


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
