"""`python data_scripts/artiface.py FOLDER --out DIR`: ArtiFace (Artistic-Faces), portraits with 68 landmarks.

Paper D learns from a part of them and tests on the rest, or tests on all of them.
"""

import sys

import _dataset
from _dataset import Dataset, Split
from cariface import read  # the same lists and folders

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
    parts={"train": 128, "test": 32},
    splits={"train": Split(("train",)), "test": Split(("test",)), "all": Split(("train", "test"))},
    read=read,
)

if __name__ == "__main__":
    sys.exit(_dataset.main(DATASET))
