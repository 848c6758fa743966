"""`python data_scripts/cofw.py FOLDER --out DIR`: COFW, photographs of occluded faces with 29 landmarks.

The images lie in the MATLAB files: they are taken out, as PNG, into ``DIR/cofw/train`` and ``DIR/cofw/test``.
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import _dataset
import numpy as np
from _dataset import Dataset, Split

from lddmmlib.data import mat
from lddmmlib.data.records import Malformed, Record

FILE, ENDS = "COFW_{}_color.mat", {"train": "Tr", "test": "T"}


def read(folder: Path, out: Path) -> _dataset.Found:
    """The faces of both files."""
    for part in ENDS:
        yield from _dataset.of_file(part, folder, FILE.format(part), partial(faces, out, part))


def faces(out: Path, part: str, path: Path) -> Iterator[Record | Malformed]:
    """The faces of one file, whose images are then below `out`."""
    target, found = out / "cofw" / part, []

    def pictures(items: Iterator) -> Iterator[tuple[str, np.ndarray]]:
        for item in items:
            found.append(item if isinstance(item, Malformed) else item[1])
            if not isinstance(item, Malformed):
                yield f"{item[1].attributes['image']:04}.png", item[0]

    with mat.hdf5(path) as file:
        items = pictures(mat.cofw(file, ENDS[part]))
        _dataset.taken_out(target, items)
        list(items)  # where the images were there already
    for item in found:
        image = target / f"{item.attributes['image']:04}.png" if isinstance(item, Record) else None
        yield item._replace(image=image, source=f"{path}: {item.source}") if image else item


DATASET = Dataset(
    name="cofw",
    title="COFW",
    points=(29,),
    where="https://data.caltech.edu/records/bc0bf-nc666 (COFW_color.zip); once http://www.vision.caltech.edu/xpburgos/ICCV13/",
    terms="see the page of its makers",
    layout="COFW_train_color.mat, COFW_test_color.mat (HDF5, read with the package h5py)",
    parts={"train": 1345, "test": 507},
    splits={"train": Split(("train",)), "test": Split(("test",))},
    read=read,
)

if __name__ == "__main__":
    sys.exit(_dataset.main(DATASET))
