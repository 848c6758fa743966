"""What every reader hands over: a Record for a face that it could read, a Problem for one it could not."""

from __future__ import annotations

import math
import reprlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from lddmmlib._shapes import Bool, Float
from lddmmlib.faces import schemes
from lddmmlib.faces.placements import SCHEMES

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 60


class Record(NamedTuple):
    """One annotated face.

    A landmark is in one of three states; they are COCO's visibility flags 2, 1 and 0.

    | `landmarks` | `visible` | the landmark is |
    |---|---|---|
    | finite | True | seen |
    | finite | False | externally occluded: something hides it, its place is annotated |
    | NaN | False | without a place: self-occluded in MERL-RAV, not annotated elsewhere |
    """

    image: Path | None  #: None where the annotation names none; the file may yet be missing
    landmarks: Float[Tensor, "n 2"]  #: px, 0-based, float64
    visible: Bool[Tensor, " n"]
    box: tuple[float, float, float, float] | None  #: (x, y, w, h), px: upper left corner, 0-based, and size
    scheme: str | None  #: by the number of landmarks; None where no scheme has that many
    attributes: dict  #: what else the file says of the face, such as WFLW's six flags
    source: str  #: the file, with the line or the annotation's id where it holds several faces


class Problem(NamedTuple):
    """What a file holds in the place of a face.

    >>> print(Problem(Path("face.pts"), 7, "2 finite numbers", "'12.5 abc'"))
    face.pts:7: needed 2 finite numbers, got '12.5 abc'
    """

    path: Path
    line: int | None  #: counted from 1; None for the file as a whole
    needed: str
    got: str

    def __str__(self) -> str:
        where = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{where}: needed {self.needed}, got {self.got}"


class FormatError(ValueError):
    """Some faces could not be read: ``problems`` says which and why, ``records`` holds all the others."""

    def __init__(self, problems: list[Problem], records: list[Record]) -> None:
        self.problems, self.records = problems, records
        shown = "\n".join(f"  {problem}" for problem in problems[:10])
        more = f"\n  ... and {len(problems) - 10} more, in .problems" if len(problems) > 10 else ""
        super().__init__(f"{len(problems)} malformed, {len(records)} faces read (in .records)\n{shown}{more}")


class Malformed(ValueError):
    """Raised inside a reader, which makes a Problem of it and reads on."""

    def __init__(self, needed: str, got: str, line: int | None = None) -> None:
        super().__init__(needed, got, line)

    def problem(self, path: Path, line: int | None = None) -> Problem:
        """The Problem in ``path``, at the error's own line or else at ``line``."""
        needed, got, own = self.args
        return Problem(path, line if own is None else own, needed, got)


def brief(value: object) -> str:
    """``value`` in a few words, however long it is."""
    return _brief.repr(value)


def read_bytes(path: Path, most: int = -1) -> bytes:
    """What the file holds, or its first ``most`` bytes."""
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise Malformed("a file that can be read", error.strerror or str(error)) from None


def decode(raw: bytes, line: int = 1) -> str:
    """``raw``, which starts at ``line``, as text in UTF-8 (with or without a byte order mark)."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        text = error.object  # raw without its byte order mark, which `start` does not count
        bad = line + text.count(b"\n", 0, error.start)
        raise Malformed("UTF-8 (save it as such)", f"the byte {text[error.start]:#04x}", bad) from None


def number(word: str) -> float:
    """A number as annotations write it; NaN for all else that Python takes for one (1_000, Arabic digits)."""
    try:
        return float(word) if word.isascii() and "_" not in word else math.nan
    except ValueError:
        return math.nan


def numbers(words: list[str], n: int, line: int | None = None) -> list[float]:
    """The n finite numbers that ``words`` spell, at ``line``.

    >>> numbers(["1.5", "-2e1"], 2)
    [1.5, -20.0]
    """
    if len(words) != n:
        raise Malformed(f"{n} numbers", f"{len(words)} words: {brief(' '.join(words))}", line)
    values = [number(word) for word in words]
    for word, value in zip(words, values, strict=True):
        if not math.isfinite(value):
            raise Malformed("a finite number", brief(word), line)
    return values


@cache
def _scheme_names() -> dict[int, str]:
    return {schemes.get(name).n: name for name in SCHEMES}


def scheme_of(n: int) -> str | None:
    """The scheme that has n landmarks, if there is one.

    >>> scheme_of(68), scheme_of(67)
    ('300w-68', None)
    """
    return _scheme_names().get(n)
