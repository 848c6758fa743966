"""`python data_scripts/cariface.py FOLDER --out DIR`: CariFace, caricatures with 68 landmarks, in paper D's split."""

import sys
from collections.abc import Iterator
from pathlib import Path

import _dataset
from _dataset import Dataset, Split

from lddmmlib.data import points, pts
from lddmmlib.data.images import Places
from lddmmlib.data.records import Malformed, Record, attempt, decode, need, read_bytes, record, required


def faces(folder: Path, name: str) -> Iterator[Record | Malformed]:
    """The faces of the images that a list names, one a line."""
    images, landmarks = (_dataset.only(folder, each) for each in ("images", "landmarks"))
    text = decode(read_bytes(_dataset.only(folder, name)))
    for line, word in enumerate(text.splitlines(), 1):
        if word.strip():
            yield attempt(face, images / word.strip(), landmarks, line=line, where=word.strip())


def face(image: Path, landmarks: Path) -> Record:
    """The face in an image, whose landmarks are in a file of the same name, or of the same stem."""
    names = [f"{stem}{end}" for end in (".npy", ".pts", ".txt") for stem in (image.name, image.stem)]
    found = [landmarks / name for name in names if (landmarks / name).is_file()]
    need(len(found) == 1, f"one of {', '.join(names)} in {landmarks}", " and ".join(p.name for p in found) or "none")
    if found[0].suffix == ".pts":
        return next(pts.read(found[0], Places()))._replace(image=image)
    read = points.array if found[0].suffix == ".npy" else points.text
    return record((image, ()), required(attempt(read, found[0])), str(found[0]))


def read(folder: Path, out: Path) -> _dataset.Found:
    """The faces of both lists."""
    for part in ("train", "test"):
        yield from _dataset.of_part(part, folder, faces, folder, f"{part}_list.txt")


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
