"""A contact sheet: faces cut out around their landmarks, each curve in its colour; below them what is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Float
from lddmmlib.data import images
from lddmmlib.data.records import Record
from lddmmlib.faces import schemes

WIDTH, HEAD, MARGIN, LINE = 1320, 64, 24, 20  # px: the sheet, above the faces, rim and gaps, a line of text
NOTES = 15
PAPER, INK, GREY, EMPTY, RIM = (250, 250, 250), (30, 30, 30), (125, 125, 125), (225, 225, 225), (25, 25, 25)
FINER = 3  # a tile is drawn so many times as large, then made small: finer than OpenCV's own smoothing


def spread(records: Sequence[Record], count: int) -> list[Record]:
    """At most ``count`` of the records, evenly spread over them."""
    n = min(count, len(records))
    return [records[i * len(records) // n] for i in range(n)]


def draw(records: Sequence[Record], title: str, notes: Sequence[str] = ()) -> np.ndarray:
    """The sheet of ``records`` as an image (h, w, 3) uint8, blue green red; the first notes stand below."""
    columns = min(len(records), max(4, math.ceil(math.sqrt(1.5 * len(records)))))
    side = min(400, (WIDTH - MARGIN) // columns - MARGIN)
    across, down = side + MARGIN, side + MARGIN + 2 * LINE
    rows = math.ceil(len(records) / columns)
    notes = [*notes[:NOTES], *([f"... and {len(notes) - NOTES} more"] if len(notes) > NOTES else [])]
    bottom = HEAD + rows * down
    width = WIDTH if notes else max(MARGIN + columns * across, WIDTH // 2)
    paper = np.full((bottom + (len(notes) * LINE + MARGIN if notes else 0), width, 3), PAPER, np.uint8)
    _write(paper, title, MARGIN, HEAD - MARGIN, width - 2 * MARGIN, size=0.65)
    for i, record in enumerate(records):
        x, y = MARGIN + i % columns * across, HEAD + i // columns * down
        paper[y : y + side, x : x + side] = _tile(record, side)
        name = record.image.name if record.image else "no image"
        _write(paper, f"{i + 1}  {name}", x, y + side + LINE - 3, side)
        _write(paper, Path(record.source).name, x, y + side + 2 * LINE - 5, side, GREY)
    for i, note in enumerate(notes, 1):
        _write(paper, note, MARGIN, bottom + i * LINE, width - 2 * MARGIN)
    return paper


def _tile(record: Record, side: int) -> np.ndarray:
    """One face on a square of ``side`` px, or an empty square where no landmark has a place."""
    cv2 = _checks.optional("cv2")

    large = FINER * side
    tile = np.full((large, large, 3), EMPTY, np.uint8)
    placed = record.landmarks[~record.landmarks.isnan().any(dim=1)]
    low, high = (
        (placed.amin(dim=0), placed.amax(dim=0)) if len(placed) else (torch.zeros(2), torch.full((2,), torch.inf))
    )
    extent = 1.35 * float((high - low).max()) + 8
    if extent < 1e6:
        size = round(extent)
        corner = [round(float(c) - size / 2) for c in (low + high) / 2]
        pixels = images.load(record.image) if record.image else None
        if pixels is not None and size <= 2 * max(pixels.shape):
            how = cv2.INTER_AREA if size > large else cv2.INTER_CUBIC
            tile = cv2.resize(_cut(pixels, *corner, size), (large, large), interpolation=how)
        xy = (record.landmarks - record.landmarks.new_tensor(corner) + 0.5) * (large / size) - 0.5
        _face(tile, xy, record)
    return cv2.resize(tile, (side, side), interpolation=cv2.INTER_AREA)


def _cut(pixels: np.ndarray, left: int, top: int, size: int) -> np.ndarray:
    """The square of ``size`` px at (left, top), also where it leaves the image."""
    square = np.full((size, size, 3), EMPTY, np.uint8)
    h, w = pixels.shape[:2]
    x0, x1, y0, y1 = max(left, 0), min(left + size, w), max(top, 0), min(top + size, h)
    if x0 < x1 and y0 < y1:
        square[y0 - top : y1 - top, x0 - left : x1 - left] = pixels[y0:y1, x0:x1]
    return square


def _face(tile: np.ndarray, xy: Float[Tensor, "n 2"], record: Record) -> None:
    """Curves, then landmarks, white inside where hidden; a dark rim sets them off from any skin."""
    cv2 = _checks.optional("cv2")

    scheme = schemes.get(record.scheme) if record.scheme else None
    colours = {i: _bgr(scheme.colours[c]) for c, indices in scheme.curves.items() for i in indices} if scheme else {}
    for rim in (True, False):
        for curve, line in (scheme.lines(xy) if scheme else {}).items():
            for a, b in pairwise(line):
                if a.isfinite().all() and b.isfinite().all():
                    colour, width = (RIM, 7) if rim else (_bgr(scheme.colours[curve]), 4)
                    cv2.line(tile, _pixel(a), _pixel(b), colour, width, cv2.LINE_AA)
    for i, (point, seen) in enumerate(zip(xy, record.visible.tolist(), strict=True)):
        if point.isfinite().all():
            colour = colours.get(i, _bgr(schemes.COLOURS["edge"]))
            for radius, fill in ((8, RIM), (6, colour), (4, colour if seen else (255, 255, 255))):
                cv2.circle(tile, _pixel(point), radius, fill, cv2.FILLED, cv2.LINE_AA)


def _pixel(point: Float[Tensor, " 2"]) -> tuple[int, int]:
    x, y = point.round().int().tolist()
    return x, y


def _bgr(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour[1:])
    return blue, green, red


def _write(
    paper: np.ndarray,
    text: str,
    x: int,
    y: int,
    width: int,
    ink: tuple[int, int, int] = INK,
    size: float = 0.42,
) -> None:
    """Text whose baseline starts at (x, y), with dots in its middle where ``width`` is too narrow for it."""
    cv2 = _checks.optional("cv2")

    style = cv2.FONT_HERSHEY_SIMPLEX, size
    text = text.encode("ascii", "replace").decode("ascii")  # the font's letters
    keep = len(text)
    short = text
    while keep > 8 and cv2.getTextSize(short, *style, 1)[0][0] > width:
        keep -= 1
        short = f"{text[: keep // 2]}...{text[len(text) - keep // 2 :]}"
    cv2.putText(paper, short, (x, y), *style, ink, 1, cv2.LINE_AA)
