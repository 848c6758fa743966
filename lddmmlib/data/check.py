"""What lies in a folder of annotated faces: how much of what, and what is wrong with it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Bool, Float
from lddmmlib.data import formats, images
from lddmmlib.data.records import Problem, Record

KINDS = {"pts": ".pts file", "pts29": ".pts29 file", "coco": "COCO json", "wflw": "WFLW list"}
SHOWN = 10  # problems of one kind that are printed


class Report(NamedTuple):
    """What `inspect` found. ``problems`` holds messages under headings, none where all is well."""

    path: Path
    files: dict[str, list[Path]]  #: annotations by kind
    pictures: list[Path]
    faces: dict[str, list[Record]]  #: by kind
    outside: int  #: landmarks that lie outside their image
    problems: dict[str, list[str]]


def inspect(path: Path, ignore: Path | None = None) -> Report:
    """Read all that lies in a folder, annotations and images; ``ignore`` is no image of the data."""
    files = formats.find(path)
    pictures = [picture for picture in files.pop("image", []) if picture.absolute() != ignore]
    faces, broken = {}, []
    for kind, some in files.items():
        items = list(_progress(formats.faces(kind, some), f"{KINDS[kind]}s"))
        faces[kind] = [item for item in items if isinstance(item, Record)]
        broken += [str(item) for item in items if isinstance(item, Problem)]
    outside, problems = _against_images([record for some in faces.values() for record in some])
    problems["broken annotations"] = broken
    twins = _twins([*pictures, *(file for some in files.values() for file in some)])
    problems["duplicated files"] = [" = ".join(map(str, same)) for same in twins]
    if not files:
        problems["no annotation"] = [f"{path}: needed .pts files, COCO keypoint json or WFLW lists, got none"]
    return Report(path, files, pictures, faces, outside, {head: found for head, found in problems.items() if found})


def _against_images(records: list[Record]) -> tuple[int, dict[str, list[str]]]:
    """How many landmarks lie outside their image, and what is wrong between faces and images."""
    by_image: dict[Path | None, list[Record]] = defaultdict(list)
    for record in records:
        by_image[record.image].append(record)
    alone = [f"{record.source}: needed an image of the same stem beside it" for record in by_image.pop(None, [])]
    missing, unreadable, astray, outside = [], [], [], 0
    for image, some in _progress(by_image.items(), "images", len(by_image)):
        if not os.path.isfile(image):  # noqa: PTH113  (Path.is_file may raise)
            missing += [f"{record.source}: needed the image {image}" for record in some]
        elif (pixels := images.load(image)) is None:
            unreadable.append(f"{image}: needed an image, got a file that cannot be decoded")
        else:
            for record in some:
                out = _outside(record.landmarks, *pixels.shape[:2])
                outside += int(out.sum())
                if 2 * out.sum() > (~record.landmarks.isnan()).all(dim=1).sum():
                    astray.append(f"{record.source}: most landmarks lie outside {image}")
    heads = "faces without an image", "missing images", "unreadable images", "faces outside their image"
    return outside, dict(zip(heads, (alone, missing, unreadable, astray), strict=True))


def _outside(landmarks: Float[Tensor, "n 2"], h: int, w: int) -> Bool[Tensor, " n"]:
    """Which landmarks lie outside an image, which spans [-1/2, w - 1/2] x [-1/2, h - 1/2]; NaN does not."""
    return ((landmarks < -0.5) | (landmarks > landmarks.new_tensor([w, h]) - 0.5)).any(dim=1)


def _twins(files: Iterable[Path]) -> list[list[Path]]:
    """Files of one content; only those that share their size are read."""
    by_size, by_content = defaultdict(list), defaultdict(list)
    for file in files:
        with suppress(OSError):
            by_size[file.stat().st_size].append(file)
    for file in (file for size, some in by_size.items() if size and len(some) > 1 for file in some):
        with suppress(OSError), file.open("rb") as stream:
            by_content[hashlib.file_digest(stream, "sha256").digest()].append(file)
    return [some for some in by_content.values() if len(some) > 1]


def summary(report: Report) -> str:
    """The report in words, with the first `SHOWN` problems of each kind."""
    lines = [str(report.path)]
    for kind, files in report.files.items():
        schemes = Counter(record.scheme or f"{len(record.landmarks)} landmarks" for record in report.faces[kind])
        found = ", ".join(f"{n:,} x {scheme}" for scheme, n in schemes.items()) or "no face that can be read"
        lines.append(f"  {_count(files, KINDS[kind])}: {found}")
    records = [record for some in report.faces.values() for record in some]
    used = {os.path.normpath(record.image.absolute()) for record in records if record.image}
    idle = sum(os.path.normpath(picture.absolute()) not in used for picture in report.pictures)
    lines.append(f"  {_count(report.pictures, 'image')}, {idle:,} of them not annotated")
    lines.append(f"  {_landmarks(records)}, {report.outside:,} outside their image")
    for head, found in report.problems.items():
        more = [f"  ... and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else []
        lines += ["", f"{head}: {len(found):,}", *(f"  {problem}" for problem in found[:SHOWN]), *more]
    return "\n".join([*lines, *([] if report.problems else ["", "no problems"])])


def _landmarks(records: list[Record]) -> str:
    """How many landmarks there are, by `Record`'s three states."""
    seen = sum(int(record.visible.sum()) for record in records)
    placed = sum(int((~record.landmarks.isnan()).all(dim=1).sum()) for record in records)
    n = sum(len(record.landmarks) for record in records)
    return f"{n:,} landmarks: {seen:,} seen, {placed - seen:,} hidden, {n - placed:,} without a place"


def _count(things: list, name: str) -> str:
    return f"{len(things):,} {name}{'' if len(things) == 1 else 's'}"


def _progress(items: Iterable, name: str, n: int | None = None) -> Iterable:
    """The items, counted on the terminal where there is one."""
    tqdm = _checks.optional("tqdm").tqdm

    return tqdm(items, name, n, leave=False, disable=None)
