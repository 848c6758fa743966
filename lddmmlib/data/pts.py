"""The reader of `.pts` files: landmarks of one face, 1-based, as in 300-W, 300-VW and MERL-RAV.

    version: 1
    n_points: 68
    {
    30.353 53.934
    ...
    }

MERL-RAV encodes visibility in the signs: (-x, -y) is a landmark at (x, y) that an object hides, (-1, -1) one
that the head itself hides, whose position is unknown. Elsewhere negative numbers are positions outside the image.
(0, 0) is read as written, a position outside the image; `check` counts such positions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from lddmmlib._shapes import Float
from lddmmlib.data.images import Places
from lddmmlib.data.records import Malformed, Record, attempt, brief, decode, need, numbers, read_bytes, record

MAX_BYTES = 1 << 20  # about 20,000 landmarks: more than any annotation has, and small enough for any memory
END = ""  # marks the end of the rows


def recognise_signs(path: Path) -> bool:
    """Test whether negative numbers are MERL-RAV's: some points have two, and none has only one.

    (A face that extends beyond a corner of its image has landmarks to the left of it or above it, not only both.)
    """
    xy = attempt(_file, path)
    if isinstance(xy, Malformed):
        return False
    negative = (xy < 0).sum(dim=1)
    return bool((negative == 2).any() and not (negative == 1).any())


def read(path: Path, places: Places, signs: bool = False) -> Iterator[Record]:
    """Read the face in one `.pts` file.

    Args:
        path: the file.
        places: the search for its image.
        signs: whether negative numbers are MERL-RAV's.
    """
    xy = _file(path)
    if not signs:
        yield record(places.beside(path), xy - 1, str(path))
        return
    alone = xy[(xy < 0).sum(dim=1) == 1].tolist()
    need(not alone, "both coordinates negative or none (MERL-RAV)", alone[:1])
    landmarks = (xy.abs() - 1).masked_fill((xy == -1).all(dim=1, keepdim=True), torch.nan)
    told = ("negative numbers read as MERL-RAV's: hidden, or (-1, -1) without a place",) if (xy < 0).any() else ()
    yield record(places.beside(path), landmarks, str(path), told, visible=(xy >= 0).all(dim=1))


def _file(path: Path) -> Float[Tensor, "n 2"]:
    """The numbers in a file."""
    raw = read_bytes(path, MAX_BYTES + 1)
    need(len(raw) <= MAX_BYTES, f"at most {MAX_BYTES} bytes", "more")
    return torch.tensor(list(_points(decode(raw))), dtype=torch.float64)


def _points(text: str) -> Iterator[list[float]]:
    """The points as written in the file."""
    lines = text.split("\n")
    rows = iter([(i, line.strip()) for i, line in enumerate(lines, 1) if line.strip()] + [(len(lines), END)])
    _expect(next(rows), r"version:\s*\d+(\.\d+)?", "'version: 1'")
    n = int(_expect(next(rows), r"n_points:\s*(\d{1,18})", "'n_points:' and a number")[1])
    _expect(next(rows), r"\{", "'{'")
    count = 0
    for line, row in rows:
        if row in ("}", END):
            break
        yield numbers(row.split(), 2, line)
        count += 1
    need(0 < n == count, f"{n or 'some'} points (n_points)", f"{count} points", line)
    _expect((line, row), r"\}", "'}'")
    _expect(next(rows), END, "nothing after '}'")


def _expect(row: tuple[int, str], pattern: str, needed: str) -> re.Match:
    """The match of a row that must have a given form."""
    line, text = row
    match = re.fullmatch(pattern, text, re.ASCII)
    need(match, needed, brief(text) if text else "the end of the file", line)
    return match
