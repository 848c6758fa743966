"""Readers of files that hold nothing but the points of one face: text, the text of HELEN-194, arrays of NumPy.

None of these states an origin: numbers are kept, and read as 0-based.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import torch

from lddmmlib._shapes import Float
from lddmmlib.data.records import Malformed, decode, need, numbers, read_bytes

MAX_BYTES = 1 << 20  # more than any face has


def text(path: Path) -> Float[torch.Tensor, "n 2"]:
    r"""Read a text with one point "x y" or "x , y" a line.

    Args:
        path: the file.

    Returns:
        The points (n, 2), px, float64.

    Raises:
        Malformed: the file cannot be read, a line is no point, or there is none.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.txt").write_text("1 2\n3.5 , 4\n", encoding="utf-8")
    ...     text(Path(folder, "a.txt")).tolist()
    [[1.0, 2.0], [3.5, 4.0]]
    """
    return _lines(decode(read_bytes(path, MAX_BYTES)).splitlines(), 1)


def helen(path: Path) -> tuple[str, Float[torch.Tensor, "194 2"]]:
    r"""Read an annotation of HELEN: the name of the image, without its ending, then 194 lines "x , y".

    Args:
        path: the file.

    Returns:
        The name, and the points (194, 2), px, float64, in the order of the scheme helen-194.

    Raises:
        Malformed: the file cannot be read, or holds anything else.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "1.txt").write_text("232194_1\n" + 194 * "5 , 6.5\n", encoding="utf-8")
    ...     name, points = helen(Path(folder, "1.txt"))
    >>> name, points[0].tolist()
    ('232194_1', [5.0, 6.5])
    """
    name, *rest = decode(read_bytes(path, MAX_BYTES)).splitlines() or [""]
    need(re.fullmatch(r"[^,\s]+", name.strip()), "the name of the image", name, 1)
    points = _lines(rest, 2)
    need(len(points) == 194, "194 points", f"{len(points)}")
    return name.strip(), points


def array(path: Path) -> Float[torch.Tensor, "n 2"]:
    """Read an array (n, 2) that `numpy.save` wrote.

    Args:
        path: the file.

    Returns:
        The points (n, 2), px, float64.

    Raises:
        Malformed: the file cannot be read, or holds anything but finite numbers of that shape.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     np.save(Path(folder, "a.npy"), np.arange(6).reshape(3, 2))
    ...     array(Path(folder, "a.npy")).tolist()
    [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    """
    try:
        points = np.lib.format.read_array(io.BytesIO(read_bytes(path, MAX_BYTES)), allow_pickle=False)
    except Malformed:
        raise
    except Exception as error:  # of many kinds, where the header is damaged
        raise Malformed("an array that numpy.save wrote", str(error).partition("\n")[0]) from None
    right = points.ndim == 2 and points.shape[1] == 2 and len(points) and points.dtype.kind in "fiu"
    need(right, "numbers of shape (n, 2)", f"{points.dtype} of shape {points.shape}")
    points = torch.from_numpy(points.astype(np.float64))
    need(points.isfinite().all(), "finite numbers", points[~points.isfinite().all(1)][:1].tolist())
    return points


def _lines(lines: list[str], first: int) -> Float[torch.Tensor, "n 2"]:
    """The points of lines, which are counted from `first`."""
    rows = [(i, line.strip()) for i, line in enumerate(lines, first) if line.strip()]
    need(rows, "some points", "none")
    points = [numbers(re.split(r"\s*,\s*|\s+", line), 2, i) for i, line in rows]
    return torch.tensor(points, dtype=torch.float64)
