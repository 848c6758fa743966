"""Readers for the formats in which data sets of faces are published, and a writer for COCO keypoint json.

| format | description |
|---|---|
| `pts` | `.pts` files, 1-based (300-W, 300-VW); a negative number is a position outside the image |
| `merl-rav` | `.pts` files whose signs encode occlusion (`lddmmlib.data.pts`) |
| `pts29` | the same in files named `.pts29`, beside 68 points of the same face |
| `coco` | COCO keypoint json, 0-based; also mmpose's COFW |
| `coco-1based` | mmpose's json of 300-W and 300-VW, which holds the numbers of the `.pts` files |
| `coco-wholebody` | the 68 points of the faces in COCO-WholeBody's json, 0-based |
| `wflw` | WFLW's lists, with or without box and attributes |
| `hrnet` | HRNet's csv of WFLW and AFLW, read as 0-based |
| `hrnet-1based` | HRNet's csv of 300-W, which holds the numbers of the `.pts` files |
| `dlib` | dlib's xml, as written by imglab, 0-based |

All coordinates are returned 0-based, with pixel centres at integers; landmarks are assumed to be set on the image as
displayed, rotated by its EXIF orientation. The mark of a landmark without a position is read as missing where the
format defines one: v = 0 (COCO), (-1, -1) (MERL-RAV), no part (dlib), empty cells (HRNet). Everything else, such as
(0, 0) with v > 0 or coordinates in [0, 1], is read as written; `python -m lddmmlib.data check` counts suspicious
values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from lddmmlib import _checks
from lddmmlib.data import coco, dlib, hrnet, images, pts, wflw, wholebody
from lddmmlib.data.coco_writer import write_coco
from lddmmlib.data.records import FormatError, Malformed, Problem, Record

__all__ = ["FORMATS", "FormatError", "Problem", "Record", "read", "write_coco"]


class Format(NamedTuple):
    """A row of the table of formats."""

    name: str
    suffix: str  #: of its files
    recognise: Callable[[Path], bool]  #: whether the contents of a file with that suffix are of this format
    read: Callable[[Path, images.Places], Iterable[Record | Malformed]]  #: it may also raise Malformed
    called: str  #: the name of its kind of file; formats of one kind are distinguished file by file


# The first format that recognises a file is used.
ROWS = (
    Format("merl-rav", ".pts", pts.recognise_signs, partial(pts.read, signs=True), ".pts file"),
    Format("pts", ".pts", lambda _: True, pts.read, ".pts file"),
    Format("pts29", ".pts29", lambda _: True, pts.read, ".pts29 file"),
    Format("coco-wholebody", ".json", wholebody.recognise, wholebody.read, "COCO-WholeBody json"),
    Format("coco", ".json", coco.recognise, coco.read, "COCO json"),
    Format("coco-1based", ".json", lambda _: False, partial(coco.read, origin=1), "COCO json"),
    Format("wflw", ".txt", wflw.recognise, wflw.read, "WFLW list"),
    Format("hrnet", ".csv", hrnet.recognise, hrnet.read, "HRNet csv"),
    Format("hrnet-1based", ".csv", lambda _: False, partial(hrnet.read, origin=1), "HRNet csv"),
    Format("dlib", ".xml", dlib.recognise, dlib.read, "dlib xml"),
)
FORMATS = {row.name: row for row in ROWS}
KINDS = {row.called: [other for other in ROWS if other.called == row.called] for row in ROWS}


def read(path: str | Path, format: str | None = None, root: str | Path | None = None) -> list[Record]:
    r"""Read the annotated faces at a path, in the order of file names and lines.

    A malformed file, line or annotation is refused, and everything else is read. If anything was refused, a
    `FormatError` is raised at the end, which holds the `problems` and all other faces as `records`: one malformed file
    never loses the rest, and no face is dropped silently.

    Args:
        path: a file, or a folder: its `.pts` files (in subfolders too, without hidden ones) or its only list.
        format: one of `FORMATS`; None recognises the format, including MERL-RAV's signs.
        root: the folder of the images; by default they are searched where data sets and tools put them
            (`images.Places`): beside the annotations, in `images/`, `train2017/` and the like. The image of a `.pts`
            file has the same stem.

    Returns:
        A `Record` for each face.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        FormatError: some faces could not be read, there are none, or the choice of files is ambiguous.

    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> good, bad = (Path(folder.name, name) for name in ("a.pts", "b.pts"))
    >>> _ = good.write_text("version: 1\nn_points: 2\n{\n1 1\n12.5 8\n}\n", encoding="utf-8")
    >>> read(good)[0].landmarks
    tensor([[ 0.0000,  0.0000],
            [11.5000,  7.0000]], dtype=torch.float64)
    >>> _ = bad.write_text("version: 1\nn_points: 2\n{\n1 1\n12.5 x\n}\n", encoding="utf-8")
    >>> try:
    ...     faces = read(folder.name)
    ... except FormatError as error:
    ...     faces = error.records
    ...     print(error.problems[0].line, error.problems[0].needed, error.problems[0].got)
    5 a finite number 'x'
    >>> len(faces)
    1
    >>> folder.cleanup()
    """
    path = Path(path)
    _checks.one_of(format, "format", (None, *FORMATS))
    if not path.exists():
        raise FileNotFoundError(f"path: needed a file or a folder, got {path}, where there is nothing")
    kind, files = _chosen(path, format)
    items = list(faces(kind, files, format, root if root is None else Path(root)))
    records = [item for item in items if isinstance(item, Record)]
    if problems := [item for item in items if isinstance(item, Problem)]:
        raise FormatError(problems, records)
    return records


def find(path: Path) -> dict[str, list[Path]]:
    """List the files at or below a path by kind, without hidden files.

    The kinds are those of `KINDS`, "image", and "unknown" for a file with the suffix of a format but other contents.

    >>> find(Path(__file__).with_name("no such folder"))
    {}
    """
    found: dict[str, list[Path]] = {}
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)  # macOS adds such files to archives
        if not hidden and images.is_file(file) and (kind := _kind(file)):
            found.setdefault(kind, []).append(file)
    return found


def _kind(file: Path) -> str | None:
    """The kind of a file, by its suffix and, where several formats share it, by its contents."""
    if images.is_image(file):
        return "image"
    rows = [row for row in ROWS if row.suffix == file.suffix.lower()]
    return next((row.called for row in rows if row.recognise(file)), "unknown" if rows else None)


def faces(kind: str, files: list[Path], format: str | None = None, root: Path | None = None) -> Iterator:
    """Iterate over the faces in files of one kind; a `Problem` stands in the place of each that could not be read.

    Args:
        kind: one of `KINDS`.
        files: the files; one without any face yields a `Problem`.
        format: one of `FORMATS`; None recognises it for each file.
        root: the folder of the images; None searches for them.

    >>> [str(problem) for problem in faces(".pts file", [Path("lost.pts")])]
    ['lost.pts: needed a file that can be read, got No such file or directory']
    """
    places = images.Places(root)
    for file in files:
        row = FORMATS[format] if format else next((row for row in KINDS[kind] if row.recognise(file)), KINDS[kind][0])
        items = _items(row, file, places)
        yield next(items, Problem(file, None, "at least one face", "none"))
        yield from items


def _items(row: Format, file: Path, places: images.Places) -> Iterator[Record | Problem]:
    try:
        for item in row.read(file, places):
            yield item.problem(file) if isinstance(item, Malformed) else item
    except Malformed as error:
        yield error.problem(file)


def _chosen(path: Path, format: str | None) -> tuple[str, list[Path]]:
    """The kind and the files to read; a folder stands for its .pts files, or for the only list in it."""
    if format is not None and path.is_file():
        return FORMATS[format].called, [path]
    kinds = KINDS if format is None else {FORMATS[format].called}
    found = [(kind, files) for kind, files in find(path).items() if kind in kinds]
    if len(found) == 1 and (KINDS[found[0][0]][0].suffix.startswith(".pts") or len(found[0][1]) == 1):
        return found[0]
    wanted, got = "files of one format, or one list; give format=, or the path of one file", "nothing of the kind"
    if found:
        got = " and ".join(f"{len(files)} {kind}" for kind, files in found)
    else:
        wanted = f"{format} files" if format else f"one of {', '.join(KINDS)}"
    raise FormatError([Problem(path, None, wanted, got)], [])
