"""Landmarks in a `.pts` file: one face, 1-based, as 300-W, 300-VW and MERL-RAV give them.

    version: 1
    n_points: 68
    {
    30.353 53.934
    ...
    }

MERL-RAV hides visibility in the signs: (-x, -y) is a landmark at (x, y) that something covers, (-1, -1) one
that the head itself hides, whose place nobody knows. Elsewhere negative numbers lie outside the image.
(0, 0) is read as it is written, a place outside the image; `check` counts such places.
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

MAX_BYTES = 1 << 20  # some 20,000 landmarks: above any annotation, and below what fills a memory
END = ""  # stands behind the last row


def recognise_signs(path: Path) -> bool:
    """Whether negative numbers are MERL-RAV's: there are some, and none stands alone.

    (A face that reaches over the corner of its image has landmarks left of it or above it, not only both.)
    """
    xy = attempt(_file, path)
    if isinstance(xy, Malformed):
        return False
    negative = (xy < 0).sum(dim=1)
    return bool((negative == 2).any() and not (negative == 1).any())


def read(path: Path, places: Places, signs: bool = False) -> Iterator[Record]:
    """The face in one `.pts` file. ``signs``: whether negative numbers are MERL-RAV's."""
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
    """The numbers of a file."""
    raw = read_bytes(path, MAX_BYTES + 1)
    need(len(raw) <= MAX_BYTES, f"at most {MAX_BYTES} bytes", "more")
    return torch.tensor(list(_points(decode(raw))), dtype=torch.float64)


def _points(text: str) -> Iterator[list[float]]:
    """The points as the file has them."""
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
    """The match of a row that must have one form."""
    line, text = row
    match = re.fullmatch(pattern, text, re.ASCII)
    need(match, needed, brief(text) if text else "the end of the file", line)
    return match
