"""What lies in a folder of annotated faces: how much of what, and what is wrong with it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Bool, Float
from lddmmlib.data import formats, images
from lddmmlib.data.records import Problem, Record

SHOWN = 10  # problems of one kind that are printed


class Report(NamedTuple):
    """What `inspect` found. ``problems`` and ``notes`` hold messages under headings, none where all is well."""

    path: Path
    files: dict[str, list[Path]]  #: annotations by kind
    pictures: list[Path]
    faces: dict[str, list[Record]]  #: by kind
    outside: int  #: landmarks that lie outside their image
    problems: dict[str, list[str]]
    notes: dict[str, list[str]]  #: what may be meant, or may be wrong


def inspect(path: Path, ignore: Path | None = None, root: Path | None = None) -> Report:
    """Read all that lies in a folder, annotations and images, and compare what each says of the other.

    Args:
        path: the folder, or one file of annotations.
        ignore: no image of the data.
        root: the folder of the images; default: where `formats.read` looks for them.
    """
    files = formats.find(path)
    unknown, pictures = files.pop("unknown", []), files.pop("image", [])
    if root is not None and root.is_dir():
        pictures = [*dict.fromkeys([*pictures, *filter(images.is_image, sorted(root.rglob("*")))])]
    pictures = [picture for picture in pictures if picture.absolute() != ignore]
    faces, broken = {}, []
    for kind, some in files.items():
        items = list(_progress(formats.faces(kind, some, root=root), f"{kind}s"))
        faces[kind] = [item for item in items if isinstance(item, Record)]
        broken += [str(item) for item in items if isinstance(item, Problem)]
    records = [record for some in faces.values() for record in some]
    problems: dict[str, list[str]] = defaultdict(list)
    notes: dict[str, list[str]] = defaultdict(list)
    outside = _against_images(records, problems, notes)
    _by_themselves(records, problems, notes)
    for some in faces.values():
        _given_twice(some, notes)
    problems["broken annotations"] = broken
    twins = _twins([*pictures, *(file for some in files.values() for file in some)])
    problems["duplicated files"] = [" = ".join(map(str, same)) for same in twins]
    notes["files of no format that is known"] = [str(file) for file in unknown]
    if not files:
        problems["no annotation"] = [f"{path}: needed one of {', '.join(formats.KINDS)}, got none"]
    elif not any((~record.landmarks.isnan()).any() for record in records) and not broken:
        problems["no landmark"] = [f"{path}: needed a landmark that has a place, got none in {len(records):,} faces"]
    some_problems, some_notes = ({head: all for head, all in found.items() if all} for found in (problems, notes))
    return Report(path, files, pictures, faces, outside, some_problems, some_notes)


def _against_images(records: list[Record], problems: dict[str, list[str]], notes: dict[str, list[str]]) -> int:
    """How many landmarks lie outside their image; adds what is wrong between faces and images."""
    by_image: dict[Path | None, list[Record]] = defaultdict(list)
    for record in records:
        by_image[record.image].append(record)
    problems["faces without an image"] = [
        f"{record.source}: needed an image of the same stem beside it, or in a folder such as images; give --images DIR"
        for record in by_image.pop(None, [])
    ]
    outside = 0
    for image, some in _progress(by_image.items(), "images", len(by_image)):
        if not os.path.isfile(image):  # noqa: PTH113  (Path.is_file may raise)
            problems["missing images"] += [f"{record.source}: needed the image {image}" for record in some]
        elif (pixels := images.load(image)) is None:
            problems["unreadable images"].append(f"{image}: needed an image, got a file that cannot be decoded")
        else:
            outside += sum(_on_image(record, *pixels.shape[:2], problems, notes) for record in some)
            sizes = {record.claims["size"]: record for record in some if (record.claims or {}).get("size")}
            for size, record in sizes.items():
                if said := images.compare(size, pixels, image):
                    problems["images of another size"].append(f"{record.source}: {said}")
            if images.may_turn(image) and not np.array_equal(pixels, images.load(image, turned=False)):
                notes["images turned by EXIF, on which landmarks are taken to be set as displayed"].append(str(image))
    return outside


def _on_image(record: Record, h: int, w: int, problems: dict[str, list[str]], notes: dict[str, list[str]]) -> int:
    """How many landmarks of a face lie outside its image of h x w px; adds what is wrong."""
    out = _outside(record.landmarks, h, w)
    about = f"of {record.image} ({w} x {h})"
    if 2 * out.sum() > (~record.landmarks.isnan()).all(dim=1).sum():
        problems["faces outside their image"].append(
            f"{record.source}: most landmarks lie outside {record.image} ({w} x {h})"
        )
    elif (far := _outside(record.landmarks, h, w, max(h, w))).any():
        i = far.nonzero()[0].item()
        at = ", ".join(f"{c:g}" for c in record.landmarks[i].tolist())
        problems["landmarks far outside their image"].append(f"{record.source}: landmark {i} at ({at}) {about}")
    if record.box is not None:
        x, y, bw, bh = record.box
        inside = [max(min(a + side, n - 0.5) - max(a, -0.5), 0) for a, side, n in ((x, bw, w), (y, bh, h))]
        said = f"{record.source}: box x {x:g}, y {y:g}, w {bw:g}, h {bh:g} {about}"
        if 2 * inside[0] * inside[1] < bw * bh or (inside[0] == 0 and bw) or (inside[1] == 0 and bh):
            problems["boxes outside their image"].append(said)
        elif x < -1 or y < -1 or x + bw > w + 1 or y + bh > h + 1:
            notes["boxes that reach beyond their image"].append(said)
    return int(out.sum())


def _outside(landmarks: Float[Tensor, "n 2"], h: int, w: int, by: float = 0) -> Bool[Tensor, " n"]:
    """Which landmarks lie outside an image, [-1/2, w - 1/2] x [-1/2, h - 1/2], by more than ``by``; NaN does not."""
    return ((landmarks < -0.5 - by) | (landmarks > landmarks.new_tensor([w, h]) - 0.5 + by)).any(dim=1)


def _by_themselves(records: list[Record], problems: dict[str, list[str]], notes: dict[str, list[str]]) -> None:
    """Add what a face's own numbers do not agree in, what looks like a mark for "missing", and what readers noted."""
    for record in records:
        for note in record.notes:
            notes[note].append(record.source)
        placed = record.landmarks[~record.landmarks.isnan().any(dim=1)]
        said = (record.claims or {}).get("num_keypoints", len(placed))
        if said != len(placed):
            problems["other numbers of landmarks than stated"].append(
                f"{record.source}: needed num_keypoints = {said} landmarks with v > 0, got {len(placed)}"
            )
        if not len(placed):
            continue
        corner = placed[(placed[:, 0] == placed[:, 1]) & (placed[:, 0] <= 0)]
        if len(corner):
            at = ", ".join(f"({x:g}, {x:g})" for x in corner[:, 0].unique().tolist())
            notes['landmarks at places that often mean "missing"'].append(f"{record.source}: {len(corner)} at {at}")
        low, high = placed.amin(dim=0), placed.amax(dim=0)
        if len(placed) > 1 and (high - low).max() <= 2:
            notes["faces within two pixels: are the coordinates shares of the image?"].append(
                f"{record.source}: {len(placed)} landmarks"
            )
        if record.box is not None and len(placed) > 1:
            x, y, w, h = record.box
            corners = placed.new_tensor([[x, y], [x + w, y + h]])
            inside = ((placed >= corners[0] - 1) & (placed <= corners[1] + 1)).all(dim=1)
            if max(w, h) > 0 and 2 * inside.sum() < len(placed):
                got = f"{int(inside.sum())} of {len(placed)} in it"
                problems["boxes beside their landmarks"].append(
                    f"{record.source}: needed landmarks in the box, got {got}"
                )


def _given_twice(records: list[Record], notes: dict[str, list[str]]) -> None:
    """Add faces with the landmarks of one before on the same image."""
    first: dict[tuple, Record] = {}
    for record in records:
        key = (record.image, record.landmarks.numpy().tobytes())
        other = first.setdefault(key, record)
        if other is not record and record.image is not None and not record.landmarks.isnan().all():
            notes["faces given twice"].append(f"{other.source} = {record.source}")


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
        lines.append(f"  {_count(files, kind)}: {found}")
    records = [record for some in report.faces.values() for record in some]
    used = {os.path.normpath(record.image.absolute()) for record in records if record.image}
    idle = sum(os.path.normpath(picture.absolute()) not in used for picture in report.pictures)
    lines.append(f"  {_count(report.pictures, 'image')}, {idle:,} of them not annotated")
    lines.append(f"  {_landmarks(records)}, {report.outside:,} outside their image")
    for head, found in [*report.problems.items(), *((f"note: {head}", found) for head, found in report.notes.items())]:
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
