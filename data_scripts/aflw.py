"""`python data_scripts/aflw.py FOLDER --out DIR`: AFLW with the 19 landmarks of AFLW-19, hidden ones too."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import _dataset
from _dataset import Dataset, Split

from lddmmlib.data import mat
from lddmmlib.data.records import Malformed, Problem, Record


def read(folder: Path, out: Path) -> _dataset.Found:
    """The faces of the file, in the order of its permutation."""
    for part, item in _dataset.of_file("", folder, "AFLWinfo_release.mat", partial(faces, folder)):
        if isinstance(item, Problem):
            yield part, item
        else:
            yield "train" if item.attributes["train"] else "test", item


def faces(folder: Path, path: Path) -> Iterator[Record | Malformed]:
    """The faces of both parts."""
    return mat.aflw(path, _dataset.only(folder, "flickr"))


def frontal(face: Record) -> bool:
    """Whether all landmarks are visible."""
    return bool(face.visible.all())


DATASET = Dataset(
    name="aflw",
    title="AFLW-19",
    points=(19,),
    where="images, on request: https://www.tugraz.at/institute/icg/research/team-bischof/lrs/downloads/aflw/; "
    "annotations: http://mmlab.ie.cuhk.edu.hk/projects/compositional.html",
    terms="see the pages of the makers of both",
    layout="""
        AFLWinfo_release.mat
        aflw/data/flickr/0, 2, 3 with *.jpg
    """,
    parts={"train": 20_000, "test": 4386},
    splits={"train": Split(("train",)), "test": Split(("test",)), "test_frontal": Split(("test",), 1314, frontal)},
    read=read,
)

if __name__ == "__main__":
    sys.exit(_dataset.main(DATASET))
