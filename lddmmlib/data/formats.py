"""Annotated faces from the formats that the data sets are published in, and back into COCO keypoint json.

| format | what it is |
|---|---|
| `pts` | `.pts` files, 1-based (300-W, 300-VW); a negative number is a place outside the image |
| `merl-rav` | `.pts` files whose signs say what is hidden (`lddmmlib.data.pts`) |
| `pts29` | the same in files called `.pts29`, beside 68 points of the same face |
| `coco` | COCO keypoint json, 0-based; mmpose's COFW, too |
| `coco-1based` | mmpose's json of 300-W and 300-VW, which holds the numbers of the `.pts` files |
| `wflw` | WFLW's lists, with or without box and attributes |

All coordinates come back 0-based, pixel centres at integers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lddmmlib import _checks
from lddmmlib.data import coco, images, pts, wflw
from lddmmlib.data.coco_writer import write_coco
from lddmmlib.data.records import FormatError, Problem, Record

__all__ = ["FORMATS", "FormatError", "Problem", "Record", "read", "write_coco"]

# The kind of file that each format reads.
FORMATS = {"pts": "pts", "merl-rav": "pts", "pts29": "pts29", "coco": "coco", "coco-1based": "coco"}
FORMATS["wflw"] = "wflw"
SIGNS = {"pts": False, "merl-rav": True, "pts29": False}  # any other format (None): as the numbers suggest


def read(path: str | Path, format: str | None = None) -> list[Record]:
    """The annotated faces at ``path``, in the order of the files' names and of the lines.

    A malformed file, line or annotation is refused; all others are read, to the end. If something was
    refused, a `FormatError` then holds the list of the others as ``records``, beside the ``problems``: one
    malformed file never loses the rest, and no face is dropped in silence.

    Args:
        path: a file, or a folder: its `.pts` files (in subfolders too; hidden ones not) or its one list.
            The image of a `.pts` file is the one of the same stem beside it.
        format: one of `FORMATS`; None recognises it, MERL-RAV's signs included.

    Returns:
        One `Record` a face.

    Raises:
        FileNotFoundError: nothing is at ``path``.
        FormatError: some faces could not be read, or it is not clear what to read.

    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> good, bad = (Path(folder.name, name) for name in ("a.pts", "b.pts"))
    >>> _ = good.write_text("version: 1\\nn_points: 2\\n{\\n1 1\\n12.5 8\\n}\\n", encoding="utf-8")
    >>> read(good)[0].landmarks
    tensor([[ 0.0000,  0.0000],
            [11.5000,  7.0000]], dtype=torch.float64)
    >>> _ = bad.write_text("version: 1\\nn_points: 2\\n{\\n1 1\\n12.5 x\\n}\\n", encoding="utf-8")
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
    items = list(faces(kind, files, format))
    records = [item for item in items if isinstance(item, Record)]
    if problems := [item for item in items if isinstance(item, Problem)]:
        raise FormatError(problems, records)
    return records


def find(path: Path) -> dict[str, list[Path]]:
    """The files at or below ``path`` by kind: pts, pts29, coco, wflw, image. Hidden files are left out."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if not _hidden(file, path))
    found: dict[str, list[Path]] = {}
    for file in files:
        if os.path.isfile(file) and (kind := _kind(file)):  # noqa: PTH113  (Path.is_file may raise)
            found.setdefault(kind, []).append(file)
    return found


def _hidden(file: Path, folder: Path) -> bool:
    """Whether a name below ``folder`` starts with a dot, as those that a Mac leaves in archives do."""
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _kind(file: Path) -> str | None:
    """What a file is, by its suffix and, where that says too little, by what it holds."""
    suffix = file.suffix.lower()
    if suffix in (".pts", ".pts29"):
        return suffix[1:]
    if images.is_image(file):
        return "image"
    if suffix == ".json" and coco.recognise(file):
        return "coco"
    return "wflw" if suffix == ".txt" and wflw.recognise(file) else None


def faces(kind: str, files: list[Path], format: str | None = None) -> Iterator[Record | Problem]:
    """The faces in files of one kind, and in their place what could not be read."""
    if kind in ("pts", "pts29"):
        pictures = images.by_stem(files)
        for file in files:
            yield pts.read(file, pictures.get(file.with_suffix("")), SIGNS.get(format))
    for file in files if kind == "coco" else ():
        yield from coco.read(file, origin=int(format == "coco-1based"))
    for file in files if kind == "wflw" else ():
        yield from wflw.read(file)


def _chosen(path: Path, format: str | None) -> tuple[str, list[Path]]:
    """The kind and the files to read; a folder stands for its .pts files, or for the one list in it."""
    if format is not None and path.is_file():
        return FORMATS[format], [path]
    found = find(path)
    found.pop("image", None)
    if format is not None:
        found = {kind: files for kind, files in found.items() if kind == FORMATS[format]}
    if len(found) == 1:
        ((kind, files),) = found.items()
        if kind in ("pts", "pts29") or len(files) == 1:
            return kind, files
    wanted = f"{format} files" if format else ".pts files, a COCO json or a WFLW list"
    if not found:
        raise FormatError([Problem(path, None, wanted, "nothing of the kind")], [])
    counts = " and ".join(f"{len(files)} {kind}" for kind, files in found.items())
    wanted = "files of one format, or one list; give format=, or the path of one file"
    raise FormatError([Problem(path, None, wanted, counts)], [])
