"""`python data_scripts/aflw.py FOLDER --out DIR`: AFLW with the 19 landmarks of AFLW-19, hidden ones too."""

import sys
from pathlib import Path

import _dataset
from _dataset import Dataset, Split

from lddmmlib.data import mat
from lddmmlib.data.records import Problem, Record


def read(folder: Path, out: Path) -> _dataset.Found:
    """The faces of the file, in the order of its permutation."""
    for _, item in _dataset.of_part("test", folder, faces, folder):
        if isinstance(item, Problem):
            yield from ((part, item) for part in ("train", "test"))  # nobody knows of which
        else:
            yield "train" if item.attributes["train"] else "test", item


def faces(folder: Path):
    """The faces of both parts."""
    return mat.aflw(_dataset.only(folder, "AFLWinfo_release.mat"), _dataset.only(folder, "flickr"))


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
