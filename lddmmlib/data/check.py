"""The check of a folder of annotated faces: its contents, and its problems."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Bool, Float
from lddmmlib.data import crops, formats, images
from lddmmlib.data.records import Problem, Record

SHOWN = 10  # the number of problems of one kind that are printed
NOTE = "note: "  # the start of a heading that is not a problem
Finding = tuple[str, str]  # a heading, and a message under it


class Report(NamedTuple):
    """The result of `inspect`. `problems` and `notes` hold messages under headings; both are empty if all is well.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     list(inspect(Path(folder)).problems)
    ['no annotation']
    """

    path: Path
    files: dict[str, list[Path]]  #: annotations by kind
    pictures: list[Path]
    faces: dict[str, list[Record]]  #: by kind
    outside: int  #: landmarks that lie outside their image
    problems: dict[str, list[str]]
    notes: dict[str, list[str]]  #: messages on things that may be intended or wrong


def inspect(path: Path, ignore: Path | None = None, root: Path | None = None) -> Report:
    """Read all annotations and images in a folder, and compare them.

    Args:
        path: the folder, or one file of annotations.
        ignore: an image that is not part of the data.
        root: the folder of the images; by default they are searched as by `formats.read`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     inspect(Path(folder)).outside
    0
    """
    files = formats.find(path)
    unknown, pictures = files.pop("unknown", []), files.pop("image", [])
    if root is not None:
        pictures += [file for file in sorted(root.rglob("*")) if images.is_image(file) and images.is_file(file)]
    pictures = [picture for picture in dict.fromkeys(pictures) if picture.absolute() != ignore]
    items = {kind: [*_progress(formats.faces(kind, some, root=root), f"{kind}s")] for kind, some in files.items()}
    faces = {kind: [item for item in some if isinstance(item, Record)] for kind, some in items.items()}
    records, annotations = [*chain(*faces.values())], [*chain(*files.values())]
    broken = [str(item) for item in chain(*items.values()) if isinstance(item, Problem)]
    sizes: dict[Path, tuple[int, int]] = {}
    found = [*_by_images(records, sizes), *chain(*map(_by_itself, records)), *chain(*map(_twice, faces.values()))]
    found += [("broken annotations", said) for said in broken]
    found += [("duplicated files", " = ".join(map(str, same))) for same in _twins([*pictures, *annotations])]
    found += [(f"{NOTE}files of no format that is known", str(file)) for file in unknown]
    if not files:
        found.append(("no annotation", f"{path}: needed one of {', '.join(formats.KINDS)}, got none"))
    elif not broken and not any(record.placed.any() for record in records):
        found.append(("no landmark", f"{path}: needed a landmark that has a place, got none in {len(records):,} faces"))
    outside = sum(int(_outside(r.landmarks, *sizes[r.image]).sum()) for r in records if r.image in sizes)
    heads = {head: [said for _, said in some] for head, some in _grouped(found, lambda each: each[0]).items()}
    problems = {head: some for head, some in heads.items() if not head.startswith(NOTE)}
    notes = {head.removeprefix(NOTE): some for head, some in heads.items() if head.startswith(NOTE)}
    return Report(path=path, files=files, pictures=pictures, faces=faces, outside=outside,
                  problems=problems, notes=notes)  # fmt: skip


def _by_images(records: list[Record], sizes: dict[Path, tuple[int, int]]) -> Iterator[Finding]:
    """The problems between faces and images; the sizes (h, w) of the images are added to `sizes`."""
    by_image = _grouped(records, lambda record: record.image)
    for record in by_image.pop(None, []):
        needed = "needed an image of the same stem beside it, or in a folder such as images; give --images DIR"
        yield "faces without an image", f"{record.source}: {needed}"
    for image, some in _progress(by_image.items(), "images"):
        if not images.is_file(image):
            yield from (("missing images", f"{record.source}: needed the image {image}") for record in some)
        elif (pixels := images.load(image)) is None:
            yield "unreadable images", f"{image}: needed an image, got a file that cannot be decoded"
        else:
            sizes[image] = pixels.shape[:2]
            for record in some:
                yield from _on_image(record, *sizes[image])
            by_size = {repr((record.claims or {}).get("size")): record for record in some}
            for said in filter(None, (images.compare(record, pixels) for record in by_size.values())):
                yield "images of another size", said
            if images.may_turn(image) and not np.array_equal(pixels, images.load(image, turned=False)):
                yield f"{NOTE}images turned by EXIF, on which landmarks are taken to be set as displayed", str(image)


def _on_image(record: Record, h: int, w: int) -> Iterator[Finding]:
    """The problems between a face and its image of h x w px."""
    about = f"{record.image} ({w} x {h})"
    if 2 * _outside(record.landmarks, h, w).sum() > record.placed.sum():
        yield "faces outside their image", f"{record.source}: most landmarks lie outside {about}"
    elif (far := _outside(record.landmarks, h, w, max(h, w))).any():
        i = far.nonzero()[0].item()
        at = ", ".join(f"{c:g}" for c in record.landmarks[i].tolist())
        yield "landmarks far outside their image", f"{record.source}: landmark {i} at ({at}) of {about}"
    if record.box is not None:
        x, y, bw, bh = record.box
        said = f"{record.source}: box x {x:g}, y {y:g}, w {bw:g}, h {bh:g} of {about}"
        seen_w, seen_h = (max(min(a + b, n - 0.5) - max(a, -0.5), 0) for a, b, n in ((x, bw, w), (y, bh, h)))
        if 2 * seen_w * seen_h < bw * bh or (bw and not seen_w) or (bh and not seen_h):
            yield "boxes outside their image", said
        elif x < -1 or y < -1 or x + bw > w + 1 or y + bh > h + 1:
            yield f"{NOTE}boxes that reach beyond their image", said


def _outside(landmarks: Float[Tensor, "n 2"], h: int, w: int, by: float = 0) -> Bool[Tensor, " n"]:
    """A mask of the landmarks outside an image, [-1/2, w - 1/2] x [-1/2, h - 1/2], by more than `by`; False for NaN."""
    return ((landmarks < -0.5 - by) | (landmarks > landmarks.new_tensor([w, h]) - 0.5 + by)).any(dim=1)


def _by_itself(record: Record) -> Iterator[Finding]:
    """The contradictions within one face, values that look like a mark for "missing", and the notes of its reader."""
    yield from ((NOTE + note, record.source) for note in record.notes)
    placed = record.landmarks[record.placed]
    n, stated = len(placed), (record.claims or {}).get("num_keypoints")
    if stated not in (None, n):
        said = f"needed num_keypoints = {stated} landmarks with v > 0, got {n}"
        yield "other numbers of landmarks than stated", f"{record.source}: {said}"
    corner = placed[(placed[:, 0] == placed[:, 1]) & (placed[:, 0] <= 0), 0]
    if len(corner):
        at = ", ".join(f"({x:g}, {x:g})" for x in corner.unique().tolist())
        yield f'{NOTE}landmarks at places that often mean "missing"', f"{record.source}: {len(corner)} at {at}"
    if n > 1 and max(crops.box(placed)[2:]) <= 2:
        head = "faces within two pixels: are the coordinates shares of the image?"
        yield NOTE + head, f"{record.source}: {n} landmarks"
    if n > 1 and record.box is not None and max(record.box[2:]) > 0:
        low, side = placed.new_tensor(record.box).view(2, 2)
        inside = int(((placed >= low - 1) & (placed <= low + side + 1)).all(dim=1).sum())
        if 2 * inside < n:
            said = f"needed landmarks in the box, got {inside} of {n} in it"
            yield "boxes beside their landmarks", f"{record.source}: {said}"


def _twice(records: list[Record]) -> Iterator[Finding]:
    """The faces with the same landmarks and image as an earlier one."""
    alike = _grouped(records, lambda record: (record.image, record.landmarks.numpy().tobytes()))
    for first, *others in alike.values():
        if first.image is not None and first.placed.any():
            yield from ((f"{NOTE}faces given twice", f"{first.source} = {other.source}") for other in others)


def _twins(files: Iterable[Path]) -> list[list[Path]]:
    """Groups of files with the same contents; only files of equal size are read."""

    def content(file: Path) -> bytes | None:
        with suppress(OSError), file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
        return None

    by_size = _grouped(files, lambda file: file.stat().st_size if images.is_file(file) else 0)
    by_content = _grouped(chain(*(some for size, some in by_size.items() if size and len(some) > 1)), content)
    return [some for digest, some in by_content.items() if digest and len(some) > 1]


def _grouped(items: Iterable, key: Callable) -> dict:
    """The items by their key, in order."""
    groups: dict = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def summary(report: Report) -> str:
    """The report as text, with the first `SHOWN` problems of each kind.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     print(summary(inspect(Path(folder))).splitlines()[1])
      0 images, 0 of them not annotated
    """
    lines = [str(report.path)]
    for kind, files in report.files.items():
        schemes = Counter(record.scheme or f"{len(record.landmarks)} landmarks" for record in report.faces[kind])
        found = ", ".join(f"{n:,} x {scheme}" for scheme, n in schemes.items()) or "no face that can be read"
        lines.append(f"  {_count(files, kind)}: {found}")
    records = [*chain(*report.faces.values())]
    used = {os.path.normpath(record.image.absolute()) for record in records if record.image}
    idle = sum(os.path.normpath(picture.absolute()) not in used for picture in report.pictures)
    lines.append(f"  {_count(report.pictures, 'image')}, {idle:,} of them not annotated")
    states = Counter(chain(*(record.flags.tolist() for record in records)))
    hidden = f"{states[1]:,} hidden, {states[0]:,} without a place, {report.outside:,} outside their image"
    lines.append(f"  {states.total():,} landmarks: {states[2]:,} seen, {hidden}")
    for head, found in (report.problems | {NOTE + head: found for head, found in report.notes.items()}).items():
        more = [f"  ... and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else []
        lines += ["", f"{head}: {len(found):,}", *(f"  {problem}" for problem in found[:SHOWN]), *more]
    return "\n".join([*lines, *([] if report.problems else ["", "no problems"])])


def _count(things: list, name: str) -> str:
    return f"{len(things):,} {name}{'' if len(things) == 1 else 's'}"


def _progress(items: Iterable, name: str) -> Iterable:
    """The items, with a progress bar on a terminal."""
    return _checks.optional("tqdm").tqdm(items, name, leave=False, disable=None)
