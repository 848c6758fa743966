"""A contact sheet: faces cropped around their landmarks, each curve in its colour; below them the problems."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lddmmlib import _checks
from lddmmlib.data import images
from lddmmlib.data.records import Record
from lddmmlib.faces import schemes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEAD, MARGIN, LINE = 1320, 64, 24, 20  # px: the sheet, above the faces, rim and gaps, a line of text
DPI, LETTER = 100, 6.2  # px an inch, and about a letter
NOTES = 15


def spread(records: Sequence[Record], count: int) -> list[Record]:
    """A selection of records, equally spaced.

    Args:
        records: the faces.
        count: the largest number wanted.

    >>> spread([], 3)
    []
    """
    n = min(count, len(records))
    return [records[i * len(records) // n] for i in range(n)]


def draw(records: Sequence[Record], title: str, notes: Sequence[str] = ()) -> np.ndarray:
    """Draw the contact sheet.

    Args:
        records: the faces, at least one.
        title: the line above them.
        notes: lines below them, of which the first `NOTES` are shown.

    Returns:
        The image (h, w, 3) uint8, blue green red.

    >>> import torch
    >>> from lddmmlib.data.records import record
    >>> draw([record((None, ()), torch.rand(68, 2).double(), "a.pts")], "one face").shape[1] == WIDTH // 2
    True
    """
    _checks.optional("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(records), max(4, math.ceil(math.sqrt(1.5 * len(records)))))
    side = min(400, (WIDTH - MARGIN) // columns - MARGIN)
    down = side + MARGIN + 2 * LINE
    notes = [*notes[:NOTES], *([f"... and {len(notes) - NOTES} more"] if len(notes) > NOTES else [])]
    bottom = HEAD + math.ceil(len(records) / columns) * down
    width = WIDTH if notes else max(MARGIN + columns * (side + MARGIN), WIDTH // 2)
    height = bottom + (len(notes) * LINE + MARGIN if notes else 0)
    # No layout engine, whatever the reader's settings say: every part is placed by hand.
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="#FAFAFA", layout="none")
    canvas = FigureCanvasAgg(figure)

    def write(text: str, x: float, y: float, room: float, **style: object) -> None:
        figure.text(x / width, 1 - y / height, _short(text, int(room / LETTER)), parse_math=False, fontsize=8, **style)

    write(title, MARGIN, HEAD - MARGIN, width - 2 * MARGIN, weight="bold")
    for i, record in enumerate(records):
        x, y = MARGIN + i % columns * (side + MARGIN), HEAD + i // columns * down
        face(figure.add_axes((x / width, 1 - (y + side) / height, side / width, side / height)), record)
        write(f"{i + 1}  {record.image.name if record.image else 'no image'}", x, y + side + LINE - 3, side)
        write(Path(record.source).name, x, y + side + 2 * LINE - 5, side, color="#7D7D7D")
    for i, note in enumerate(notes, 1):
        write(note, MARGIN, bottom + i * LINE, width - 2 * MARGIN)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 2::-1].copy()


def face(axes: Axes, record: Record) -> None:
    """Draw one face: a part of the image, curves and landmarks, white inside where hidden; nothing without a position.

    Args:
        axes: the axes to draw in.
        record: the face.
    """
    from matplotlib.patheffects import Normal, Stroke

    axes.set(xticks=[], yticks=[], facecolor="#E1E1E1")
    placed = record.landmarks[record.placed].numpy()
    if not len(placed) or np.abs(placed).max() > 1e9:
        return
    low, high = placed.min(0), placed.max(0)
    extent = 1.35 * np.max(high - low) + 8
    if extent > 1e6:
        return
    if (pixels := images.load(record.image) if record.image else None) is not None:
        axes.imshow(pixels[..., ::-1])
    (x, y), half = (low + high) / 2, extent / 2
    axes.set(xlim=(x - half, x + half), ylim=(y + half, y - half), autoscale_on=False, aspect="auto")
    scheme = schemes.get(record.scheme) if record.scheme else None
    colours = [schemes.COLOURS["edge"]] * len(record.landmarks)
    for curve, line in (scheme.lines(record.landmarks) if scheme else {}).items():
        rim = [Stroke(linewidth=2.4, foreground="#191919"), Normal()]
        axes.plot(*line.T.numpy(), color=scheme.colours[curve], linewidth=1.4, path_effects=rim)
        for i in scheme.curves[curve]:
            colours[i] = scheme.colours[curve]
    fill = [colour if seen else "white" for colour, seen in zip(colours, record.visible.tolist(), strict=True)]
    axes.scatter(*record.landmarks.T.numpy(), s=12, c="#191919", zorder=3)
    axes.scatter(*record.landmarks.T.numpy(), s=7, c=fill, edgecolors=colours, linewidths=0.6, zorder=4)


def _short(text: str, room: int) -> str:
    """The text in ASCII, which every font has, with dots in its middle if it is longer than `room` letters."""
    text = text.encode("ascii", "replace").decode("ascii")
    keep = max(room - 3, 8)
    return text if len(text) <= keep + 3 else f"{text[: keep // 2]}...{text[len(text) - keep // 2 :]}"
