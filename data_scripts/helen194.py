"""`python data_scripts/helen194.py FOLDER --out DIR`: HELEN, photographs with its own 194 landmarks."""

import sys
from collections.abc import Iterator
from pathlib import Path

import _dataset
from _dataset import Dataset, Split

from lddmmlib.data import points
from lddmmlib.data.records import Malformed, Problem, attempt, decode, read_bytes, record


def read(folder: Path, out: Path) -> _dataset.Found:
    """The faces of all annotations; the lists of names tell to which part each belongs."""
    parts: dict[str, str] = {}
    for part in ("train", "test"):
        for _, item in _dataset.of_file(part, folder, f"{part}names.txt", names):
            if isinstance(item, Problem):
                yield part, item
            else:
                parts[item] = part
    try:
        annotations = sorted(_dataset.files(_dataset.only(folder, "annotation"), "*.txt"), key=number)
    except Malformed as error:
        yield from ((part, error.problem(folder)) for part in ("train", "test"))
        return
    images = _dataset.by_stem(folder)
    for path in annotations:
        found = attempt(points.helen, path)
        if isinstance(found, Malformed):
            yield "", found.problem(path)
        elif found[0] not in parts:
            yield None, Problem(path, 1, "a name in trainnames.txt or testnames.txt", found[0])
        else:
            image = images.get(found[0], folder / f"{found[0]}.jpg")
            yield parts[found[0]], record((image, ()), found[1], str(path))


def names(path: Path) -> Iterator[str]:
    """The names in a list."""
    return iter(decode(read_bytes(path)).split())


def number(path: Path) -> tuple[int, str]:
    """The place of an annotation in their order, 1.txt, 2.txt, ..., 10.txt."""
    return len(path.stem), path.stem


DATASET = Dataset(
    name="helen194",
    title="HELEN",
    points=(194,),
    where="http://www.ifp.illinois.edu/~vuongle2/helen/ (train_1.zip to train_4.zip, test.zip, annotation, names)",
    terms="see the page of its makers",
    layout="""
        annotation/1.txt ... 2330.txt
        trainnames.txt, testnames.txt
        *.jpg, in any folders
    """,
    parts={"train": 2000, "test": 330},
    splits={"train": Split(("train",)), "test": Split(("test",))},
    read=read,
)

if __name__ == "__main__":
    sys.exit(_dataset.main(DATASET))
