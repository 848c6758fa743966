"""`python data_scripts/cariface.py FOLDER --out DIR`: CariFace, caricatures with 68 landmarks, in paper D's split."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import _dataset
from _dataset import Dataset, Split
from torch import Tensor

from lddmmlib.data import points, pts
from lddmmlib.data.images import Places
from lddmmlib.data.records import Malformed, Record, attempt, decode, need, read_bytes, record, required


def faces(folder: Path, path: Path) -> Iterator[Record | Malformed]:
    """The faces of the images that a list names, one a line."""
    images, landmarks = (_dataset.only(folder, each) for each in ("images", "landmarks"))
    for line, word in enumerate(decode(read_bytes(path)).splitlines(), 1):
        if word.strip():
            yield attempt(face, images / word.strip(), landmarks, line=line, where=word.strip())


def face(image: Path, landmarks: Path) -> Record:
    """The face in an image, whose landmarks are in a file of the same name, or of the same stem."""
    names = [f"{stem}{end}" for end in READ for stem in (image.name, image.stem)]
    found = [landmarks / name for name in names if (landmarks / name).is_file()]
    need(len(found) == 1, f"one of {', '.join(names)} in {landmarks}", " and ".join(p.name for p in found) or "none")
    read = READ[found[0].suffix]
    return record((image, ()), required(attempt(read, found[0], where=found[0].name)), str(found[0]))


def with_head(path: Path) -> Tensor:
    """The points of a .pts file, which count from 1."""
    return next(pts.read(path, Places())).landmarks


READ = {".npy": points.array, ".txt": points.text, ".pts": with_head}


def read(folder: Path, out: Path) -> _dataset.Found:
    """The faces of both lists."""
    for part in ("train", "test"):
        yield from _dataset.of_file(part, folder, f"{part}_list.txt", partial(faces, folder))


DATASET = Dataset(
    name="cariface",
    title="CariFace",
    points=(68,),
    where="https://github.com/Juyong/CaricatureFace (7,800 caricatures); the lists of paper D: "
    "https://github.com/plustwo0/generalized-face-landmarker",
    terms="research only, says the page of its makers, which names whom to ask for other uses",
    layout="""
        images/00005.jpg ...
        landmarks/00005.jpg.npy ... (or .pts, or .txt with a point a line)
        train_list.txt, test_list.txt
    """,
    parts={"train": 3372, "test": 800},
    splits={"train": Split(("train",)), "test": Split(("test",))},
    read=read,
)

if __name__ == "__main__":
    sys.exit(_dataset.main(DATASET))
