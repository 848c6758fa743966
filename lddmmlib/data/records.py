"""The results of every reader: a `Record` for a face that was read, a `Problem` for one that could not be read."""

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

    | `landmarks` | `visible` | state of the landmark |
    |---|---|---|
    | finite | True | visible |
    | finite | False | externally occluded: an object hides it, its position is annotated |
    | NaN | False | without a position: self-occluded in MERL-RAV, not annotated elsewhere |

    >>> import torch
    >>> points = torch.tensor([[1.0, 2.0], [torch.nan, torch.nan]]).double()
    >>> face = Record(image=None, landmarks=points, visible=torch.tensor([False, False]), box=None, scheme=None,
    ...               attributes={}, source="a.pts")
    >>> face.flags.tolist()
    [1, 0]
    """

    image: Path | None  #: None if the annotation names none; the file may be missing all the same
    landmarks: Float[Tensor, "n 2"]  #: px, 0-based, float64
    visible: Bool[Tensor, " n"]
    box: tuple[float, float, float, float] | None  #: (x, y, w, h), px: upper left corner, 0-based, and size
    scheme: str | schemes.Scheme | None  #: by the number of landmarks; None if no scheme has that number
    attributes: dict  #: other information of the file on the face, such as WFLW's six flags
    source: str  #: the file, with the line or the annotation's id if it holds several faces
    claims: dict | None = None  #: statements that can be checked: `size` (h, w) of the image, `num_keypoints`
    notes: tuple[str, ...] = ()  #: assumptions of the reader, such as an image found by the end of its name

    @property
    def flags(self) -> Int[Tensor, " n"]:
        """COCO's visibility flags (n,): 2 visible, 1 occluded, 0 without a position."""
        return self.placed.int() + self.visible.int()

    @property
    def placed(self) -> Bool[Tensor, " n"]:
        """A mask (n,) of the landmarks that have a position."""
        return ~self.landmarks.isnan().any(dim=1)


class Problem(NamedTuple):
    """A face or file that could not be read, and why.

    >>> print(Problem(Path("face.pts"), 7, "2 finite numbers", "'12.5 abc'"))
    face.pts:7: needed 2 finite numbers, got '12.5 abc'
    >>> print(Problem(Path("a.json"), 1, "an annotation", "7", where="annotations[3]"))
    a.json:1: annotations[3]: needed an annotation, got 7
    """

    path: Path
    line: int | None  #: counted from 1; None for the file as a whole
    needed: str
    got: str
    where: str = ""  #: the position within the line or the file: a column, an annotation's index and id

    def __str__(self) -> str:
        line = "" if self.line is None else f":{self.line}"
        where = self.where and f" {self.where}:"
        return f"{self.path}{line}:{where} needed {self.needed}, got {self.got}"


class FormatError(ValueError):
    """Some faces could not be read: `problems` holds which and why, `records` all faces that were read.

    Args:
        problems: the faces or files that could not be read.
        records: the faces that were read.

    >>> error = FormatError([Problem(Path("a.pts"), 5, "a finite number", "'x'")], [])
    >>> print(error)
    1 malformed, 0 faces read (in .records)
      a.pts:5: needed a finite number, got 'x'
    """

    def __init__(self, problems: list[Problem], records: list[Record]) -> None:
        self.problems, self.records = problems, records
        shown = "\n".join(f"  {problem}" for problem in problems[:10])
        more = f"\n  ... and {len(problems) - 10} more, in .problems" if len(problems) > 10 else ""
        super().__init__(f"{len(problems)} malformed, {len(records)} faces read (in .records)\n{shown}{more}")


class Malformed(ValueError):
    """A `Problem` of the file that is being read. A reader raises it to stop, and yields it to continue.

    Args:
        needed: a description of what was needed.
        got: a description of what was found.
        line: its line in the file, from 1; None for the file as a whole.
        where: its position within the line or the file.

    >>> Malformed("a finite number", "'x'", 5).problem(Path("a.pts")).line
    5
    """

    def __init__(self, needed: str, got: str, line: int | None = None, where: str = "") -> None:
        super().__init__(needed, got, line, where)

    def problem(self, path: Path) -> Problem:
        """The `Problem` of the file `path`."""
        needed, got, line, where = self.args
        return Problem(path=path, line=line, needed=needed, got=got, where=where)


def need(right: object, needed: str, got: object, line: int | None = None) -> None:
    """Raise `Malformed` unless a condition holds.

    Args:
        right: the condition.
        needed: a description of what was needed.
        got: the value found, abbreviated by `brief` unless it is a string.
        line: its line in the file, from 1.

    >>> need(2 > 1, "a larger number", 1)
    """
    if not right:
        raise Malformed(needed, got if isinstance(got, str) else brief(got), line)


def attempt(function: Callable[..., T], *args: object, line: int | None = None, where: str = "") -> T | Malformed:
    """Call a function, and return its result or the `Malformed` that it raises.

    Args:
        function: the function.
        args: its arguments.
        line: the line of the error, if it states none.
        where: the position in the line of the error, if it states none.

    >>> attempt(numbers, ["x", "1"], 2, line=7).args
    ('a finite number', "'x'", 7, '')
    """
    try:
        return function(*args)
    except Malformed as error:
        needed, got, own_line, own_where = error.args
        return Malformed(needed, got, line if own_line is None else own_line, own_where or where)


def required(value: T | Malformed) -> T:
    """Return a result of `attempt`; raise it if it is a `Malformed`.

    >>> required(attempt(numbers, ["1.5"], 1))
    [1.5]
    """
    if isinstance(value, Malformed):
        raise value
    return value


def record(found: tuple, landmarks: Float[Tensor, "n 2"], source: str, notes: tuple = (), **more: object) -> Record:
    """Make the `Record` of a face, with defaults for the fields that a reader does not give.

    Args:
        found: the image and the notes on it, as `images.Places` returns them.
        landmarks: (n, 2), px, 0-based; their number determines the scheme.
        source: the file and position of the face.
        notes: further assumptions of the reader.
        more: other fields of `Record`. By default landmarks with a position are visible, and there are no box,
            attributes or claims.

    >>> import torch
    >>> record((None, ()), torch.zeros(68, 2).double(), "face.pts").scheme
    '300w-68'
    """
    image, looked = found
    fields = {"visible": ~landmarks.isnan().any(dim=1), "box": None, "attributes": {}} | more
    more = fields | {"scheme": scheme_of(len(landmarks)), "source": source, "notes": (*looked, *notes)}
    return Record(image=image, landmarks=landmarks, **more)


def repeated(pairs: Iterable[tuple], needed: str) -> list[Malformed]:
    """Find repeated values.

    Args:
        pairs: (place, value) for each entry; a value of None is ignored.
        needed: a description of what was needed.

    Returns:
        A `Malformed` for each entry whose value occurred earlier.

    >>> repeated([("line 1", "a"), ("line 2", "b"), ("line 5", "a")], "an entry for each image")[0].args[:2]
    ('an entry for each image', 'line 1 and line 5 for a')
    """
    first: dict = {}
    named = [(place, value) for place, value in pairs if value is not None]
    again = [(place, value) for place, value in named if first.setdefault(value, place) is not place]
    return [Malformed(needed, f"{first[value]} and {place} for {value}") for place, value in again]


def brief(value: object) -> str:
    """An abbreviated representation of a value of any length.

    >>> len(brief("x" * 10_000))
    60
    """
    return _brief.repr(value)


def each_line(raw: bytes, face: Callable[[str, int], Record], first: int = 1) -> Iterator[Record | Malformed]:
    r"""Read each line that is not blank, independently of the others.

    Args:
        raw: the contents of the file.
        face: the reader of one line, called with its text and number.
        first: the first line to read, from 1.

    >>> [item.args[2] for item in each_line(b"x\n\ny", lambda text, line: numbers([text], 1, line))]
    [1, 3]
    """

    def read(words: bytes, line: int) -> Record | None:
        text = decode(words, line).strip()
        return face(text, line) if text else None

    found = (attempt(read, words, i, line=i) for i, words in enumerate(raw.split(b"\n")[first - 1 :], first))
    return (item for item in found if item is not None)


def head(path: Path, most: int = 1 << 16) -> bytes:
    """The first bytes of a file, by which its format is recognised; empty if the file cannot be read.

    Args:
        path: the file.
        most: the largest number of bytes.

    >>> head(Path("no such file"))
    b''
    """
    found = attempt(read_bytes, path, most)
    return b"" if isinstance(found, Malformed) else found


def read_bytes(path: Path, most: int = -1) -> bytes:
    """The contents of a file, or its first bytes.

    Args:
        path: the file.
        most: the largest number of bytes; -1 for all.

    Raises:
        Malformed: the file cannot be read.

    >>> len(read_bytes(Path(__file__), 3))
    3
    """
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise Malformed("a file that can be read", error.strerror or str(error)) from None


def decode(raw: bytes, line: int = 1) -> str:
    """Decode bytes as UTF-8, with or without a byte order mark.

    Args:
        raw: the bytes.
        line: the line of the file at which they start, for the error.

    Raises:
        Malformed: the bytes are not UTF-8.

    >>> decode(b"1 2")
    '1 2'
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        text = error.object  # raw without its byte order mark, which `start` does not count
        bad, column = line + text.count(b"\n", 0, error.start), error.start - text.rfind(b"\n", 0, error.start)
        got = f"the byte {text[error.start]:#04x}"
        raise Malformed("UTF-8 (save it as such)", got, bad, f"byte {column} of the line") from None


def number(word: str) -> float:
    """Parse a number as annotations write it; NaN for anything else, also for 1_000 and Arabic digits, which Python
    accepts.

    >>> number("-2e1"), number("1_000")
    (-20.0, nan)
    """
    try:
        return float(word) if word.isascii() and "_" not in word else math.nan
    except ValueError:
        return math.nan


def numbers(words: list[str], n: int, line: int | None = None) -> list[float]:
    """Parse a list of finite numbers.

    Args:
        words: the numbers as text.
        n: the required number of words.
        line: their line in the file, for the error.

    Raises:
        Malformed: another number of words, or one that is not a finite number.

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
    """The scheme with n landmarks, if there is exactly one.

    >>> scheme_of(68), scheme_of(67)
    ('300w-68', None)
    """
    found = [name for name in SCHEMES if schemes.get(name).n == n]
    return found[0] if len(found) == 1 else None
