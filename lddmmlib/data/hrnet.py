"""The reader of HRNet's csv lists (300-W, WFLW, AFLW): one face a row, with image, scale, (box_size,) centre,
landmarks.

The first row names the columns: `scale`, `center_w`, `center_h`, `box_size`, `original_0_x`, `original_0_y`, ...; the
image is in the first column. The crop is returned among the attributes (`center`, `scale` in 200 px, `box_size`). HRNet
copied the numbers of the data sets: those of 300-W are 1-based, as in its `.pts` files (`format="hrnet-1based"`).
A landmark whose two cells are empty or "nan" has no position.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from lddmmlib.data import records
from lddmmlib.data.images import Places
from lddmmlib.data.records import Malformed, Record, brief, decode, each_line, need, numbers, read_bytes, record

COLUMN = re.compile(r"original_([0-9]{1,4})_([xy])")
MISSING = {"nan", ""}  # the contents of an empty cell


def recognise(path: Path) -> bool:
    """Test whether the first row names landmarks as HRNet does."""
    return COLUMN.search(records.head(path).partition(b"\n")[0].decode("latin-1")) is not None


def read(path: Path, places: Places, origin: int = 0) -> Iterator[Record | Malformed]:
    """Read the faces of one list, each row independently.

    Args:
        path: the csv.
        places: the search for its images.
        origin: the centre of the first pixel.
    """
    raw = read_bytes(path)
    names = records.required(records.attempt(_names, raw.partition(b"\n")[0], line=1))
    return each_line(raw, partial(_face, path, places, origin, names), first=2)


def _cells(line: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], strict=True), [])]
    except csv.Error as error:
        raise Malformed("comma-separated values", str(error)) from None


def _names(row: bytes) -> list[str]:
    """The names of the columns."""
    names = _cells(decode(row))
    if twice := [name for name in names if names.count(name) > 1]:
        raise Malformed("each column once", f"{brief(twice[0])} twice")
    lacking = [name for name in _coordinates(names) or ["original_0_x"] if name not in names]
    if lacking:
        raise Malformed("columns original_0_x, original_0_y, ... and so on", f"none called {lacking[0]}")
    return names


def _coordinates(names: list[str]) -> list[str]:
    """The columns of x and y of each landmark, up to the last that is named."""
    n = max((int(match[1]) + 1 for match in map(COLUMN.fullmatch, names) if match), default=0)
    return [f"original_{i}_{axis}" for i in range(n) for axis in "xy"]


def _face(path: Path, places: Places, origin: int, names: list[str], text: str, line: int) -> Record:
    """The face of a row."""
    cells = _cells(text)
    need(len(cells) == len(names), f"{len(names)} columns, as in the first row", len(cells))
    row = dict(zip(names, cells, strict=True))
    words = [row[name] for name in _coordinates(names)]
    placed = [{x.lower(), y.lower()} - MISSING != set() for x, y in zip(words[::2], words[1::2], strict=True)]
    flat = numbers([word if placed[i // 2] else "0" for i, word in enumerate(words)], len(words))
    xy = torch.tensor(flat, dtype=torch.float64).view(-1, 2) - origin
    xy[~torch.tensor(placed)] = torch.nan
    attributes = {key: numbers([row[key]], 1)[0] for key in ("scale", "box_size") if key in row}
    if {"center_w", "center_h"} <= row.keys():
        attributes["center"] = [x - origin for x in numbers([row["center_w"], row["center_h"]], 2)]
    doubtful = len(xy) == 68 and not origin
    told = ("68 points read as 0-based: HRNet's 300-W is 1-based (hrnet-1based)",) if doubtful else ()
    return record(places.named(cells[0], path), xy, f"{path}:{line}", attributes=attributes, notes=told)
