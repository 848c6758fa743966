"""HRNet's csv lists (300-W, WFLW, AFLW): a row a face; image, scale, (box_size,) centre, x and y of each landmark.

The first row names the columns: `scale`, `center_w`, `center_h`, `box_size`, `original_0_x`, `original_0_y`, ...; the
image stands in the first. The crop comes back among the attributes (`center`, `scale` in 200 px, `box_size`). HRNet
copied the numbers of the data sets: those of 300-W are 1-based, as in its `.pts` files (``format="hrnet-1based"``).
A landmark whose two cells are empty or "nan" has no place.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import torch

from lddmmlib.data.images import Places
from lddmmlib.data.records import Malformed, Problem, Record, brief, decode, numbers, read_bytes, scheme_of

COLUMN = re.compile(r"original_([0-9]{1,4})_([xy])")
MISSING = ["nan", ""]  # as a cell is written


def recognise(path: Path) -> bool:
    """Whether the first row names landmarks as HRNet does."""
    try:
        return COLUMN.search(read_bytes(path, 1 << 16).partition(b"\n")[0].decode("latin-1")) is not None
    except Malformed:
        return False


def read(path: Path, places: Places, origin: int = 0) -> Iterator[Record | Problem]:
    """The faces of one list, each row by itself; the centre of the first pixel is at ``origin``."""
    try:
        first, *lines = read_bytes(path).split(b"\n")
        columns = _columns(_cells(decode(first)))
    except Malformed as error:
        yield error.problem(path, 1)
        return
    for i, raw in enumerate(lines, 2):
        try:
            if line := decode(raw, i).strip():
                face = _face(_cells(line), columns, origin)
                image, notes = places.named(face.source, path)
                yield face._replace(image=image, source=f"{path}:{i}", notes=notes + face.notes)
        except Malformed as error:
            yield error.problem(path, i)


def _cells(line: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], strict=True), [])]
    except csv.Error as error:
        raise Malformed("comma-separated values", str(error)) from None


def _columns(head: list[str]) -> dict[str, int]:
    """Where each column is."""
    columns = {name: i for i, name in enumerate(head)}
    if len(columns) < len(head):
        raise Malformed("each column once", f"{brief(next(name for name in head if head.count(name) > 1))} twice")
    names = [f"original_{i}_{axis}" for i in range(_count(columns) or 1) for axis in "xy"]
    lacking = [name for name in names if name not in columns]
    if lacking:
        raise Malformed("columns original_0_x, original_0_y, ... and so on", f"none called {lacking[0]}")
    return columns


def _count(columns: dict[str, int]) -> int:
    """How many landmarks the columns are for."""
    return max((int(match[1]) + 1 for match in map(COLUMN.fullmatch, columns) if match), default=0)


def _face(cells: list[str], columns: dict[str, int], origin: int) -> Record:
    """The face of a row, with the image's name as its source."""
    if len(cells) != len(columns):
        raise Malformed(f"{len(columns)} columns, as in the first row", f"{len(cells)}")
    n = _count(columns)
    pairs = [[cells[columns[f"original_{i}_{axis}"]] for axis in "xy"] for i in range(n)]
    words = [["0", "0"] if {word.lower() for word in pair} <= {*MISSING} else pair for pair in pairs]
    flat = numbers([word for pair in words for word in pair], 2 * n)
    xy = torch.tensor(flat, dtype=torch.float64).view(n, 2) - origin
    placed = torch.tensor([word is pair for word, pair in zip(words, pairs, strict=True)])
    attributes = {key: numbers([cells[columns[key]]], 1)[0] for key in ("scale", "box_size") if key in columns}
    if {"center_w", "center_h"} <= columns.keys():
        centre = numbers([cells[columns["center_w"]], cells[columns["center_h"]]], 2)
        attributes["center"] = [x - origin for x in centre]
    told = () if origin or n != 68 else ("68 points read as 0-based: HRNet's 300-W is 1-based (hrnet-1based)",)
    return Record(
        image=None,
        landmarks=xy.masked_fill(~placed[:, None], torch.nan),
        visible=placed,
        box=None,
        scheme=scheme_of(n),
        attributes=attributes,
        source=cells[0],
        notes=told,
    )
