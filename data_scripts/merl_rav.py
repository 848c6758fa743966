"""`python data_scripts/merl_rav.py FOLDER --out DIR`: MERL-RAV, AFLW's photographs with 68 landmarks and visibility."""

import re
import sys
from pathlib import Path

import _dataset
from _dataset import Dataset, Split

from lddmmlib.data.records import Record

FACES = {"frontal": (8778, 2195), "left": (2080, 521), "lefthalf": (1180, 295)}
FACES |= {"right": (2190, 548), "righthalf": (1221, 306)}
SETS = ("trainset", "testset")
PARTS = {f"{pose}/{kind}": n for pose, both in FACES.items() for kind, n in zip(SETS, both, strict=True)}


def read(folder: Path, out: Path) -> _dataset.Found:
    """The faces of all label files; ``image00001_2`` is a second face in AFLW's ``image00001``."""
    labels = [path for path in folder.rglob("merl_rav_labels") if path.is_dir()]  # not those of its organised copy
    images = {}
    for part, item in _dataset.in_folders(labels[0] if len(labels) == 1 else folder, PARTS, "merl-rav"):
        if isinstance(item, Record):
            images = images or _dataset.by_stem(folder)
            stem = Path(item.source).stem
            whole = re.sub(r"_\d+$", "", stem)
            image = item.image or images.get(stem) or images.get(whole) or folder / f"{whole}.jpg"
            item = item._replace(image=image, attributes={"pose": part.partition("/")[0]} if part else {})
        yield part, item


TESTS = {f"test_{pose}": Split((f"{pose}/testset",)) for pose in FACES}
DATASET = Dataset(
    name="merl_rav",
    title="MERL-RAV",
    points=(68,),
    where="https://github.com/abhi1kumar/MERL-RAV_dataset (labels); AFLW's photographs, on request: "
    "https://www.tugraz.at/institute/icg/research/team-bischof/lrs/downloads/aflw/",
    terms="see the pages of the makers of both",
    layout="""
        merl_rav_labels/frontal/trainset/*.pts, frontal/testset, and so on for left, lefthalf, right, righthalf
        aflw/flickr/0, 2, 3 with *.jpg
    """,
    parts=PARTS,
    splits={"train": Split(tuple(p for p in PARTS if p.endswith(SETS[0]))),
            "test": Split(tuple(p for p in PARTS if p.endswith(SETS[1])))} | TESTS,
    read=read,
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(_dataset.main(DATASET))
