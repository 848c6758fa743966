"""`python data_scripts/wflw.py FOLDER --out DIR`: WFLW, photographs with 98 landmarks and six attributes."""

import sys
from collections.abc import Iterator
from functools import partial
from operator import itemgetter
from pathlib import Path

import _dataset
from _dataset import Dataset, Split

from lddmmlib.data import formats
from lddmmlib.data.records import Record

# the names of the published lists -> the attribute, and how many faces have it
SUBSETS = {"largepose": ("pose", 326), "expression": ("expression", 314), "illumination": ("illumination", 698)}
SUBSETS |= {"makeup": ("make-up", 206), "occlusion": ("occlusion", 736), "blur": ("blur", 773)}


def read(folder: Path, out: Path) -> _dataset.Found:
    """The faces of both lists."""
    for part in ("train", "test"):
        yield from _dataset.of_file(part, folder, f"list_98pt_rect_attr_{part}.txt", partial(faces, folder))


def faces(folder: Path, path: Path) -> Iterator:
    """The faces of one list."""
    return formats.faces("WFLW list", [path], "wflw", _dataset.only(folder, "WFLW_images"))


def has(attribute: str, face: Record) -> bool:
    """Whether a face has an attribute."""
    return bool(itemgetter(attribute)(face.attributes))


DATASET = Dataset(
    name="wflw",
    title="WFLW",
    points=(98,),
    where="https://wywu.github.io/projects/LAB/WFLW.html (images and annotations)",
    terms="see the page of its makers",
    layout="""
        WFLW_images/0--Parade/*.jpg ...
        WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_train.txt, list_98pt_rect_attr_test.txt
    """,
    parts={"train": 7500, "test": 2500},
    splits={"train": Split(("train",)), "test": Split(("test",))}
    | {f"test_{name}": Split(("test",), n, partial(has, attribute)) for name, (attribute, n) in SUBSETS.items()},
    read=read,
)

if __name__ == "__main__":
    sys.exit(_dataset.main(DATASET))
