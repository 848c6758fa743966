"""`python data_scripts/artiface.py FOLDER --out DIR`: ArtiFace (Artistic-Faces), portraits with 68 landmarks.

Paper D learns from a part of them and tests on the rest, or tests on all of them.
"""

import sys
from functools import partial
from pathlib import Path

import _dataset
from _dataset import Dataset, Split
from cariface import faces

PARTS = {"train": 128, "test": 32}


def read(folder: Path, out: Path) -> _dataset.Found:
    """The faces of both lists."""
    for part in PARTS:
        yield from _dataset.of_file(part, folder, f"{part}_list.txt", partial(faces, folder))


DATASET = Dataset(
    name="artiface",
    title="ArtiFace",
    points=(68,),
    where="https://faculty.runi.ac.il/arik/site/foa/artistic-faces-dataset.asp; the lists of paper D: "
    "https://github.com/plustwo0/generalized-face-landmarker",
    terms="see the page of its makers",
    layout="""
        images/0.png ...
        landmarks/0.png.npy ... (or .pts, or .txt with a point a line)
        train_list.txt, test_list.txt
    """,
    parts=PARTS,
    splits={"train": Split(("train",)), "test": Split(("test",)), "all": Split(tuple(PARTS))},
    read=read,
)

if __name__ == "__main__":
    sys.exit(_dataset.main(DATASET))
