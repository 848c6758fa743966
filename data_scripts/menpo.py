"""`python data_scripts/menpo.py FOLDER --out DIR`: Menpo's 2D benchmark; 68 landmarks, or 39 of faces in profile.

Profiles have no scheme here: their landmarks are numbered, and get no curves.
"""

import sys
from pathlib import Path

import _dataset
from _dataset import Dataset, Split

from lddmmlib.data import formats
from lddmmlib.data.records import Problem

POSES = {68: "semifrontal", 39: "profile"}


def read(folder: Path, out: Path) -> _dataset.Found:
    """The faces of all files; their folder tells test from train, their landmarks tell the pose."""
    files = _dataset.files(folder, "*.pts")
    for item in formats.faces(".pts file", files, "pts"):
        path = Path(item.path if isinstance(item, Problem) else item.source)
        kind = "test" if "test" in str(path.relative_to(folder).parent).lower() else "train"
        n = None if isinstance(item, Problem) else len(item.landmarks)
        poses = [POSES[n]] if n in POSES else POSES.values()  # nobody knows of which a file is that cannot be read
        yield from ((f"{kind}_{pose}", item) for pose in poses)


PARTS = [f"{kind}_{pose}" for kind in ("train", "test") for pose in POSES.values()]
DATASET = Dataset(
    name="menpo",
    title="Menpo 2D",
    points=(68, 39),
    where="https://ibug.doc.ic.ac.uk/resources/ (Menpo); https://github.com/jiankangdeng/MenpoBenchmark counts 5,658 "
    "semi-frontal and 1,906 profile faces to train on",
    terms="see the page of its makers",
    layout="""
        any folders with *.pts, each beside its image; those to test on in a folder with "test" in its name
    """,
    parts=dict.fromkeys(PARTS),
    splits={part: Split((part,)) for part in PARTS},
    read=read,
)

if __name__ == "__main__":
    sys.exit(_dataset.main(DATASET))
