"""What the scripts of the data sets share: the command line, the check, COCO keypoint json, resuming.

    python data_scripts/wflw.py FOLDER --out DIR [--sheet SHEET.png] [--partial]

FOLDER is what was downloaded and unpacked. It is only read. Each official split becomes ``DIR/NAME_SPLIT.json``, if it
is whole: every face that its makers publish is there once, and every image can be decoded. What is missing, damaged or
too much is named; with ``--partial`` a split is written without it. The images stay where they are: the json names them
relative to the folder that holds both FOLDER and DIR, so that `lddmmlib.data.formats.read` finds them. Interrupted, the
same command goes on, to the same bytes.

`python data_scripts/_dataset.py` lists all data sets, as a table.

Exit code: 0 all splits are whole and written, 1 some are not, 2 a command that cannot be carried out, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import runpy
import sys
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lddmmlib import _checks
from lddmmlib.data import check, coco_writer, contact_sheet, formats, images
from lddmmlib.data.records import Malformed, Problem, Record
from lddmmlib.faces import schemes

HERE = Path(__file__).parent
NEAR = 2  # folders between a json and the one that its images' names start from; `images.Places` looks as far up
SHEET = 24  # faces on a contact sheet
NOTE = check.NOTE
LINK = re.compile(r"https?://[^\s;)]+")
BROKEN, COUNT, TWICE = "annotations that cannot be read", "other numbers of faces than published", "faces given twice"
MISSING, DAMAGED = "missing images", "images that cannot be decoded"
MEND = {
    BROKEN: "unpack that file again; all other faces were read",
    COUNT: "unpack that part again, and compare its folders with those that --help shows",
    TWICE: "keep one of the two",
    MISSING: "unpack the images again, next to where --help shows them",
    DAMAGED: "unpack that image again; if it lies in --out, delete it and give the same command again",
    NOTE + "files of no part": "they are left out",
}
# The part of each face. None: of no part, left out; "": nobody knows of which, and the numbers of faces will tell.
Found = Iterator[tuple[str | None, Record | Problem]]


class Split(NamedTuple):
    """An official split: the faces of some parts, or those of them that fulfil a condition."""

    parts: tuple[str, ...]
    faces: int | None = None  # as published; None: all of its parts
    only: Callable[[Record], Any] = bool  # a record is true


class Dataset(NamedTuple):
    """The facts of a data set, and how its faces are read."""

    name: str  # of its json files
    title: str
    points: tuple[int, ...]  # landmarks of a face
    where: str  # where to ask for it
    terms: str
    layout: str  # the folders and files after unpacking
    parts: dict[str, int | None]  # faces of each part, as published; None: not stated, at least one
    splits: dict[str, Split]
    read: Callable[[Path, Path], Found]  # (FOLDER, DIR) -> part and face; images taken out of a file go below DIR

    def published(self, split: str) -> int | None:
        """The number of faces of a split, if its makers state it."""
        numbers = [self.parts[part] for part in self.splits[split].parts]
        return self.splits[split].faces or (None if None in numbers else sum(numbers))


def every() -> list[Dataset]:
    """The data sets of all scripts in this folder."""
    scripts = [path for path in sorted(HERE.glob("[!_]*.py")) if "\nDATASET = " in path.read_text(encoding="utf-8")]
    return [runpy.run_path(str(path))["DATASET"] for path in scripts]


def table() -> list[str]:
    """All data sets as a table in Markdown: landmarks, splits with their published numbers of faces, where, terms, and
    the script."""
    rows = []
    for data in every():
        splits = ", ".join(f"{name} {_number(data.published(name))}" for name in data.splits)
        points, where = " or ".join(map(str, data.points)), LINK.sub(r"<\g<0>>", data.where)
        rows.append(f"| {data.title} | {points} | {splits} | {where} | {data.terms} | `{data.name}.py` |")
    return [
        "| data set | landmarks | faces of its splits | where | terms | script |",
        "|:--|:--|:--|:--|:--|:--|",
        *rows,
    ]


# ------------------------------------------------------------------------------------------------- for the readers


def files(folder: Path, pattern: str) -> list[Path]:
    """The files below a folder whose names match, in order, without hidden ones."""
    found = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def only(folder: Path, name: str) -> Path:
    """The one file or folder of that name below a folder."""
    found = sorted(folder.rglob(name))
    if len(found) != 1:
        raise Malformed(f"one {name} below {folder}", " and ".join(map(str, found)) or "none")
    return found[0]


def of_file(part: str, folder: Path, name: str, faces: Callable[[Path], Iterable]) -> Found:
    """The faces in one file, all of one part; what is refused, one face or all, is a problem of that part."""
    path = folder
    try:
        path = only(folder, name)
        for item in faces(path):
            yield part, item.problem(path) if isinstance(item, Malformed) else item
    except Malformed as error:
        yield part, error.problem(path)


def in_folders(folder: Path, parts: Iterable[str], format: str = "pts") -> Found:
    """The faces of `.pts` files, by the folders that they lie in."""
    groups: dict[str | None, list[Path]] = defaultdict(list)
    for file in files(folder, "*.pts"):
        place = f"/{file.relative_to(folder).parent.as_posix().lower()}/"
        groups[next((part for part in parts if f"/{part.lower()}/" in place), None)].append(file)
    for file in groups.pop(None, []):
        yield None, Problem(file, None, "a folder of the data set", file.parent.name)
    for part, some in groups.items():
        yield from ((part, item) for item in formats.faces(".pts file", some, format))


def by_stem(folder: Path) -> dict[str, Path]:
    """All images below a folder, by the stems of their names."""
    return {path.stem: path for path in files(folder, "*") if images.is_image(path)}


def taken_out(target: Path, pictures: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write images (h, w, 3), blue green red, that lie in another file. The folder gets its name when all are there."""
    part = target.with_name(f"{target.name}.part")
    if target.is_dir():
        return
    for name, pixels in pictures:
        part.mkdir(parents=True, exist_ok=True)
        if not (part / name).exists():
            images.save(pixels, part / f".{name}")
            (part / f".{name}").replace(part / name)
    if part.is_dir():
        part.replace(target)


# ----------------------------------------------------------------------------------------------------- the command


def main(data: Dataset, arguments: Sequence[str] | None = None) -> int:
    """Carry out the command; returns the exit code."""
    command = _parser(data)
    given = command.parse_args(arguments)
    folder, out = map(_absolute, (given.folder, given.out))
    sheet = _absolute(given.sheet) if given.sheet else out / f"{data.name}.png"
    for right, name, needed, got in (
        (folder.is_dir(), "FOLDER", "the folder of the data set", given.folder),
        (not _inside(out, folder), "--out", "a folder outside of FOLDER, which stays as it is", given.out),
        (not _inside(sheet, folder), "--sheet", "a file outside of FOLDER, which stays as it is", sheet),
        (sheet.suffix.lower() == ".png", "--sheet", "a .png", sheet),
    ):
        if not right:
            command.error(f"{name}: needed {needed}, got {got}")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file may have a name that the terminal cannot write
    try:
        out.mkdir(parents=True, exist_ok=True)
        return _convert(data, folder, out, sheet, given.partial)
    except (OSError, ValueError, ImportError) as error:
        command.error(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _absolute(path: Path) -> Path:
    """An absolute path without dots; links stay what they are."""
    return Path(os.path.normpath(path.absolute()))


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _parser(data: Dataset) -> argparse.ArgumentParser:
    counts = ", ".join(f"{name} {_number(data.published(name))}" for name in data.splits)
    about = {"Where": data.where, "Terms": data.terms, "Splits (faces)": counts}
    told = [f"{head}:\n{textwrap.fill(textwrap.dedent(text), 100, initial_indent='  ', subsequent_indent='  ')}"
            for head, text in about.items()]  # fmt: skip
    told.append(f"FOLDER, unpacked:\n{textwrap.indent(textwrap.dedent(data.layout).strip(), '  ')}")
    parser = argparse.ArgumentParser(
        description=f"Check {data.title} as it was downloaded, and write its splits as COCO keypoint json.",
        epilog="\n\n".join(told), formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the data set, unpacked; it is only read")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the json files go")
    parser.add_argument("--sheet", type=Path, metavar="SHEET.png", help=f"the contact sheet (DIR/{data.name}.png)")
    parser.add_argument("--partial", action="store_true", help="write splits that are not whole, too")
    return parser


def _number(n: int | None) -> str:
    return "not stated" if n is None else f"{n:,}"


def _convert(data: Dataset, folder: Path, out: Path, sheet: Path, partial: bool) -> int:
    findings: list[tuple[str | None, str, str]] = []  # part, heading, what it is
    faces = _read(data, folder, out, findings)
    pictures = dict.fromkeys(face.image for some in faces.values() for face in some if face.image)
    root = Path(os.path.commonpath([out, folder, *pictures]))
    if len(out.relative_to(root).parts) > NEAR:
        needed = f"a folder near FOLDER, at most {NEAR} below one that holds both, so that the images are found"
        raise ValueError(f"--out: needed {needed}, got {out} for {folder}; a link to the data set will do, too")
    log = out / f".{data.name}.part"
    looked = look(pictures, log)
    sound = {part: _sound(part, some, looked, findings) for part, some in faces.items()}
    bad = {part for part, head, _ in findings if not head.startswith(NOTE)}
    print(f"{data.title} in {folder}")
    written, lines = [], []
    for name, split in data.splits.items():
        some, wanted = [face for part in split.parts for face in sound[part] if split.only(face)], data.published(name)
        whole = not bad & {*split.parts} and wanted in (None, len(some))
        if not bad & {*split.parts} and not whole:
            findings.append((None, COUNT, f"{name}: needed {wanted:,} faces, got {len(some):,}"))
        path = out / f"{data.name}_{name}.json"
        if whole or (partial and some):
            told = {"name": data.name, "split": name, "faces": len(some), "published": wanted, "whole": whole}
            _write(path, some, told, looked, root)
        to = path.name if whole else f"{path.name}, not whole" if partial and some else "not written: not whole"
        lines.append(f"  {name:20} {len(some):>7,} of {_number(wanted):>10}  {to}")
        written.append(whole)
    print("\n".join(lines))
    notes = _tell(findings)
    if chosen := contact_sheet.spread([face for some in sound.values() for face in some], SHEET):
        images.save(contact_sheet.draw(chosen, f"{data.title}: {len(chosen)} faces", notes), sheet)
        print(f"\ncontact sheet: {sheet}")
    if not all(written):
        print("\nwhat is not whole: " + ("see above" if partial else "mend it, or give --partial to go without"))
    log.unlink(missing_ok=True)
    return 0 if all(written) else 1


def _read(data: Dataset, folder: Path, out: Path, findings: list) -> dict[str, list[Record]]:
    """The faces of each part, once, with absolute paths of their images; adds to the findings."""
    faces: dict[str, list[Record]] = {part: [] for part in data.parts}
    items = data.read(folder, out)
    for part, item in _progress(items, "faces"):
        if isinstance(item, Record) and len(item.landmarks) not in data.points:
            needed = " or ".join(map(str, data.points)) + " landmarks"
            item = Problem(Path(item.source), None, needed, str(len(item.landmarks)))
        if isinstance(item, Problem):
            findings.append((part, BROKEN if part is not None else NOTE + "files of no part", str(item)))
        else:
            image = item.image and _absolute(item.image)
            faces[part].append(item._replace(image=image, attributes=item.attributes | {"subset": part}))
    for part, some in faces.items():
        n, wanted = len(some), data.parts[part]
        if n != wanted and not (wanted is None and n):
            findings.append((part, COUNT, f"{part}: needed {_number(wanted) if wanted else 'some'} faces, got {n:,}"))
        first: dict = {}
        for face in some:
            other = first.setdefault((face.image, face.landmarks.numpy().tobytes()), face)
            if other is not face:
                findings.append((part, TWICE, f"{other.source} = {face.source}"))
        faces[part] = [*first.values()]
    return faces


def look(pictures: Iterable[Path], log: Path) -> dict[Path, tuple[int, int, bool]]:
    """The size (h, w) of each image that can be decoded, and whether its EXIF orientation turns it.

    Goes on where the log ends; an image that has changed since is looked at again.
    """
    known, looked = {}, {}
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        with suppress(ValueError):  # a line that was cut short
            name, *told = json.loads(line)
            known[name] = told
    with log.open("a", encoding="utf-8", newline="\n") as file:
        file.write("\n")
        for image in _progress(pictures, "images"):
            if not images.is_file(image):
                continue
            stamp = [image.stat().st_size, image.stat().st_mtime_ns]
            if known.get(str(image), [])[:2] != stamp:
                pixels = images.load(image)
                if pixels is None:
                    continue
                turned = images.may_turn(image) and not np.array_equal(pixels, images.load(image, turned=False))
                known[str(image)] = [*stamp, *pixels.shape[:2], turned]
                file.write(json.dumps([str(image), *known[str(image)]]) + "\n")
                file.flush()
            looked[image] = tuple(known[str(image)][2:])
    return looked


def _sound(part: str, faces: list[Record], looked: dict, findings: list) -> list[Record]:
    """The faces whose images can be decoded; adds to the findings."""
    sound = []
    for face in faces:
        if face.image in looked:
            h, w, turned = looked[face.image]
            turns = [("turned by EXIF, on which landmarks are taken to be set as displayed", face.source)] * turned
            odd = [*check._on_image(face, h, w), *check._by_itself(face), *turns]
            findings += [(part, NOTE + head.removeprefix(NOTE), said) for head, said in odd]
            sound.append(face)
        elif face.image is None or not images.is_file(face.image):
            findings.append((part, MISSING, f"{face.source}: needed the image {face.image or 'of the same name'}"))
        else:
            findings.append((part, DAMAGED, f"{face.image} of {face.source}"))
    return sound


def _write(path: Path, faces: list[Record], told: dict, looked: dict, root: Path) -> None:
    """Write one split, atomically. A file of that name that holds something else is kept, and an error raised."""
    pictures: dict[Path, dict] = {}
    annotations = []
    for i, face in enumerate(faces, 1):
        h, w, _ = looked[face.image]
        name = face.image.relative_to(root).as_posix()
        entry = pictures.setdefault(face.image, {"id": len(pictures) + 1, "file_name": name, "height": h, "width": w})
        ids = {"id": i, "image_id": entry["id"], "category_id": 1}
        annotations.append(ids | coco_writer._annotation(face))
    scheme, n = faces[0].scheme, len(faces[0].landmarks)
    plain = {"id": 1, "name": "face", "supercategory": "person", "keypoints": [*map(str, range(n))], "skeleton": []}
    category = coco_writer._category(schemes.get(scheme)) if scheme else plain
    lists = {"images": [*pictures.values()], "annotations": annotations, "categories": [category], "dataset": [told]}
    new = path.with_name(f".{path.name}.new")
    coco_writer._replace(new, lists)
    if path.exists() and path.read_bytes() != new.read_bytes():
        new.unlink()
        raise FileExistsError(f"--out: {path} exists and holds something else; delete it, or give another --out")
    new.replace(path)


def _tell(findings: list[tuple[str | None, str, str]]) -> list[str]:
    """Print the findings by their headings, with what mends them; returns them as lines."""
    heads: dict[str, list[str]] = defaultdict(list)
    for _, head, said in findings:
        heads[head].append(said)
    for head in sorted(heads, key=lambda head: head.startswith(NOTE)):
        print(f"\n{head}: {len(heads[head]):,}" + (f" ({MEND[head]})" if head in MEND else ""))
        print("\n".join(f"  {said}" for said in heads[head][: check.SHOWN]))
        if len(heads[head]) > check.SHOWN:
            print(f"  ... and {len(heads[head]) - check.SHOWN:,} more")
    return [said for head, some in heads.items() if not head.startswith(NOTE) for said in some]


def _progress(items: Iterable, name: str) -> Iterable:
    """The items, with a progress bar on a terminal."""
    return _checks.optional("tqdm").tqdm(items, name, leave=False, disable=None)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    print("\n".join(table()))
