"""`python data_scripts/300w.py FOLDER --out DIR`: 300-W, photographs with 68 landmarks."""

import sys

import _dataset
from _dataset import Dataset, Split

PARTS = {"afw": 337, "helen/trainset": 2000, "lfpw/trainset": 811, "helen/testset": 330, "lfpw/testset": 224}
PARTS |= {"ibug": 135, "01_Indoor": 300, "02_Outdoor": 300}
COMMON = ("helen/testset", "lfpw/testset")

DATASET = Dataset(
    name="300w",
    title="300-W",
    points=(68,),
    where="https://ibug.doc.ic.ac.uk/resources/300-W/ (archives afw, helen, lfpw, ibug and, for the split test, 300w)",
    terms="the annotations are for research only, commercial use is prohibited; see the page of its makers, also for "
    "the terms of the photographs",
    layout="""
        afw/*.pts, *.jpg
        helen/trainset, helen/testset, lfpw/trainset, lfpw/testset
        ibug
        300W/01_Indoor, 300W/02_Outdoor
    """,
    parts=PARTS,
    splits={
        "train": Split(("afw", "helen/trainset", "lfpw/trainset")),
        "common": Split(COMMON),
        "challenge": Split(("ibug",)),
        "full": Split((*COMMON, "ibug")),
        "test": Split(("01_Indoor", "02_Outdoor")),
    },
    read=lambda folder, out: _dataset.in_folders(folder, PARTS),
)

if __name__ == "__main__":
    sys.exit(_dataset.main(DATASET))
