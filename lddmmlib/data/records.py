"""What every reader hands over: a Record for a face that it could read, a Problem for one it could not."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from torch import Tensor

from lddmmlib._shapes import Bool, Float, Int
from lddmmlib.faces import schemes
from lddmmlib.faces.placements import SCHEMES

T = TypeVar("T")
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
    claims: dict | None = None  #: what the file says of its partner: `size` (h, w) of the image, `num_keypoints`
    notes: tuple[str, ...] = ()  #: what the reader took for granted, such as an image found by its last name alone

    @property
    def flags(self) -> Int[Tensor, " n"]:
        """COCO's visibility flags."""
        return self.placed.int() + self.visible.int()

    @property
    def placed(self) -> Bool[Tensor, " n"]:
        """Which landmarks have a place."""
        return ~self.landmarks.isnan().any(dim=1)


class Problem(NamedTuple):
    """What a file holds in the place of a face.

    >>> print(Problem(Path("face.pts"), 7, "2 finite numbers", "'12.5 abc'"))
    face.pts:7: needed 2 finite numbers, got '12.5 abc'
    >>> print(Problem(Path("a.json"), 1, "an annotation", "7", where="annotations[3]"))
    a.json:1: annotations[3]: needed an annotation, got 7
    """

    path: Path
    line: int | None  #: counted from 1; None for the file as a whole
    needed: str
    got: str
    where: str = ""  #: the place within the line or the file: a column, an annotation's index and id

    def __str__(self) -> str:
        line = "" if self.line is None else f":{self.line}"
        where = self.where and f" {self.where}:"
        return f"{self.path}{line}:{where} needed {self.needed}, got {self.got}"


class FormatError(ValueError):
    """Some faces could not be read: ``problems`` says which and why, ``records`` holds all the others."""

    def __init__(self, problems: list[Problem], records: list[Record]) -> None:
        self.problems, self.records = problems, records
        shown = "\n".join(f"  {problem}" for problem in problems[:10])
        more = f"\n  ... and {len(problems) - 10} more, in .problems" if len(problems) > 10 else ""
        super().__init__(f"{len(problems)} malformed, {len(records)} faces read (in .records)\n{shown}{more}")


class Malformed(ValueError):
    """A `Problem` of the file that is being read. A reader raises it to end the file, and yields it to read on."""

    def __init__(self, needed: str, got: str, line: int | None = None, where: str = "") -> None:
        super().__init__(needed, got, line, where)

    def problem(self, path: Path) -> Problem:
        """The Problem in ``path``."""
        needed, got, line, where = self.args
        return Problem(path=path, line=line, needed=needed, got=got, where=where)


def need(right: object, needed: str, got: object, line: int | None = None) -> None:
    """Raise Malformed unless ``right``; ``got`` is said in brief unless it is words already."""
    if not right:
        raise Malformed(needed, got if isinstance(got, str) else brief(got), line)


def attempt(function: Callable[..., T], *args: object, line: int | None = None, where: str = "") -> T | Malformed:
    """``function(*args)``, or the Malformed that it raises, at ``line`` and ``where`` unless it names its own.

    >>> attempt(numbers, ["x", "1"], 2, line=7).args
    ('a finite number', "'x'", 7, '')
    """
    try:
        return function(*args)
    except Malformed as error:
        needed, got, own_line, own_where = error.args
        return Malformed(needed, got, line if own_line is None else own_line, own_where or where)


def required(value: T | Malformed) -> T:
    """``value`` of an `attempt`; raises it where it is a Malformed."""
    if isinstance(value, Malformed):
        raise value
    return value


def record(found: tuple, landmarks: Float[Tensor, "n 2"], source: str, notes: tuple = (), **more: object) -> Record:
    """The Record of a face, with all that a reader does not say.

    Args:
        found: the image and the notes on it, as `images.Places` gives them.
        landmarks: (n, 2), px, 0-based; their number tells the scheme.
        source: the place of the face.
        notes: what else was taken for granted.
        more: other fields of `Record`; default: ``visible`` where there is a place, no box, attributes and claims.

    >>> import torch
    >>> record((None, ()), torch.zeros(68, 2).double(), "face.pts").scheme
    '300w-68'
    """
    image, looked = found
    fields = {"visible": ~landmarks.isnan().any(dim=1), "box": None, "attributes": {}} | more
    more = fields | {"scheme": scheme_of(len(landmarks)), "source": source, "notes": (*looked, *notes)}
    return Record(image=image, landmarks=landmarks, **more)


def repeated(pairs: Iterable[tuple], needed: str) -> list[Malformed]:
    """An error for each (place, value) whose value stood at an earlier place; None is no value.

    >>> repeated([("line 1", "a"), ("line 2", "b"), ("line 5", "a")], "an entry for each image")[0].args[:2]
    ('an entry for each image', 'line 1 and line 5 for a')
    """
    first: dict = {}
    named = [(place, value) for place, value in pairs if value is not None]
    again = [(place, value) for place, value in named if first.setdefault(value, place) is not place]
    return [Malformed(needed, f"{first[value]} and {place} for {value}") for place, value in again]


def brief(value: object) -> str:
    """``value`` in a few words, however long it is."""
    return _brief.repr(value)


def each_line(raw: bytes, face: Callable[[str, int], Record], first: int = 1) -> Iterator[Record | Malformed]:
    """``face(text, line)`` of each line that is not blank, from the ``first`` on, each by itself."""

    def read(words: bytes, line: int) -> Record | None:
        text = decode(words, line).strip()
        return face(text, line) if text else None

    found = (attempt(read, words, i, line=i) for i, words in enumerate(raw.split(b"\n")[first - 1 :], first))
    return (item for item in found if item is not None)


def head(path: Path, most: int = 1 << 16) -> bytes:
    """The first bytes of a file, by which it is recognised; none where it cannot be read."""
    found = attempt(read_bytes, path, most)
    return b"" if isinstance(found, Malformed) else found


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
        bad, column = line + text.count(b"\n", 0, error.start), error.start - text.rfind(b"\n", 0, error.start)
        got = f"the byte {text[error.start]:#04x}"
        raise Malformed("UTF-8 (save it as such)", got, bad, f"byte {column} of the line") from None


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
    for i, (word, value) in enumerate(zip(words, values, strict=True), 1):
        if not math.isfinite(value):
            raise Malformed("a finite number", brief(word), line, f"number {i} of {n}" if n > 2 else "")
    return values


@cache
def scheme_of(n: int) -> str | None:
    """The scheme that has n landmarks, if there is one and no other.

    >>> scheme_of(68), scheme_of(67)
    ('300w-68', None)
    """
    found = [name for name in SCHEMES if schemes.get(name).n == n]
    return found[0] if len(found) == 1 else None
