"""COCO keypoint json, read: x, y, v for each landmark, 0-based; v = 2 seen, 1 hidden, 0 not annotated.

The face files of mmpose differ in two points. Their categories name no landmarks, and where no v is 2 (300-W,
WFLW, AFLW, 300-VW) v = 1 says no more than that the landmark is annotated: such a file is read as all seen, which is
noted. And they add HRNet's crop (`center`, `scale` in 200 px, `box_size`), which comes back among the attributes.

An id or a key that stands twice is a Problem that names both places; faces are read all the same where the two agree.
A landmark with v > 0 at (0, 0) or (-1, -1) is read as it is written; `check` counts such places.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from lddmmlib.data.images import Places
from lddmmlib.data.records import Malformed, Problem, Record, brief, decode, read_bytes, repeated, scheme_of

CROP = ("center", "scale", "box_size")
HUGE = 1e300  # `-HUGE < x < HUGE` refuses NaN, infinities and integers that no float holds


class Twice(dict):
    """A json object in which the key ``twice`` stands twice, so that a dict alone would keep its last value unseen."""

    twice: str


def recognise(path: Path) -> bool:
    """Whether the file holds the key that every COCO json holds."""
    try:
        return b'"annotations"' in read_bytes(path)
    except Malformed:
        return False


def read(path: Path, places: Places, origin: int = 0, part: str = "") -> Iterator[Record | Problem]:
    """The faces of one json, each annotation by itself.

    Args:
        path: the json.
        places: where its images are looked for.
        origin: the centre of the first pixel.
        part: "face" for COCO-WholeBody: an annotation's `face_kpts` and `face_box` where `face_valid` is true.
    """
    try:
        text = decode(read_bytes(path))
        data = _parsed(text)
    except Malformed as error:
        yield error.problem(path)
        return
    problems: list[Malformed] = []
    listed = _entries(data, "images", problems, "file_name", str, lambda image: (image["file_name"], _size(image)))
    names = {} if part else _entries(data, "categories", problems, "keypoints", list, lambda kind: kind["keypoints"])
    files = {i: _placed(places, path, *image) if image else None for i, image in listed.items()}
    shown = [(f"id {brief(i)}", file[0]) for i, file in files.items() if isinstance(file, tuple)]
    problems += repeated(shown, "one entry for each image")
    _entries(data, "annotations", problems)
    yield from (problem.problem(path) for problem in problems)

    key = f"{part}_kpts" if part else "keypoints"
    literal = any(names.values()) or any(2 in v for v in _flags(data, key))
    lines: list[int] = []
    for i, annotation in enumerate(data["annotations"]):
        if part and isinstance(annotation, dict) and not annotation.get(f"{part}_valid"):
            continue
        number, at = _id(annotation), f"annotations[{i}]"
        called = at if number is None else f"annotation {brief(number)}"
        try:
            face = _face(annotation, files, names, part, literal, origin)
            yield face._replace(source=f"{path}: {called}")
        except Malformed as error:
            lines = lines or _lines(text)
            line = lines[i] if len(lines) == len(data["annotations"]) else None
            yield error.problem(path, line, at if number is None else f"{at}, id {brief(number)}")


def _parsed(text: str) -> dict:
    """The json, with its lists of images and of annotations."""
    try:
        data = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise Malformed("json", error.msg, error.lineno, f"column {error.colno}") from None
    except (RecursionError, ValueError) as error:  # nested too deeply, or an integer of thousands of digits
        raise Malformed("json", str(error)) from None
    lists = [data.get(key) for key in ("images", "annotations")] if isinstance(data, dict) else [None]
    if not all(isinstance(entries, list) for entries in lists):
        raise Malformed("the lists 'images' and 'annotations' of COCO", brief(data))
    _once(data)
    return data


def _object(pairs: list[tuple]) -> dict:
    """A json object, of which it is known whether a key stands twice."""
    data = dict(pairs)
    if len(data) < len(pairs):
        data = Twice(data)
        keys = [key for key, _ in pairs]
        data.twice = next(key for i, key in enumerate(keys) if key in keys[:i])
    return data


def _once(*objects: object) -> None:
    for data in objects:
        if isinstance(data, Twice):
            raise Malformed("each key once", f"{brief(data.twice)} twice")


def _id(entry: object) -> int | str | None:
    i = entry.get("id") if isinstance(entry, dict) else None
    return i if type(i) in (int, str) else None


def _entries(
    data: dict,
    key: str,
    problems: list[Malformed],
    field: str = "id",
    kind: type = object,
    value: Callable[[dict], object] = dict,
) -> dict[int | str, object]:
    """By id what each entry of a list is read as; None where two of one id differ in it. Adds which entries differ.

    An entry without an id, or whose ``field`` is not of its kind, is left out, and missed by those that name it.
    """
    found: dict = {}
    first: dict[int | str, tuple[str, dict]] = {}
    for n, entry in enumerate(data[key] if isinstance(data.get(key), list) else ()):
        i, at = _id(entry), f"{key}[{n}]"
        if i is None or not isinstance(entry.get(field), kind):
            continue
        if isinstance(entry, Twice) and key != "annotations":
            problems.append(Malformed("each key once", f"{brief(entry.twice)} twice", where=at))
            continue
        place, other = first.setdefault(i, (at, entry))
        if other != entry:
            problems.append(Malformed(f"{key} with an id each", f"{place} and {at} of id {brief(i)}"))
        found[i] = value(entry) if value(other) == value(entry) and found.get(i, 0) is not None else None
    return found


def _size(image: dict) -> dict:
    """The image's size (h, w) as the json states it, if it does."""
    size = image.get("height"), image.get("width")
    return {} if size == (None, None) else {"size": size}


def _placed(places: Places, path: Path, name: str, claims: dict) -> tuple | Malformed:
    """The image, what is stated of it, and how it was found."""
    try:
        image, notes = places.named(name, path)
    except Malformed as error:
        return error
    return image, claims, notes


def _flags(data: dict, key: str) -> Iterator[list]:
    """The visibility flags of each annotation."""
    for annotation in data["annotations"]:
        if isinstance(annotation, dict) and isinstance(annotation.get(key), list):
            yield annotation[key][2::3]


def _lines(text: str) -> list[int]:
    """The line on which each annotation begins: the json is walked once more, for the sake of the message."""
    start = re.search(r'"annotations"\s*:\s*\[', text)
    gap, decoder, lines = re.compile(r"[\s,]*"), json.JSONDecoder(), []
    last, line, at = 0, 1, gap.match(text, start.end()).end() if start else len(text)
    while text[at : at + 1] not in ("]", ""):
        line += text.count("\n", last, at)
        lines.append(line)
        last, at = at, gap.match(text, decoder.raw_decode(text, at)[1]).end()
    return lines


def _face(annotation: object, files: dict, names: dict, part: str, literal: bool, origin: int) -> Record:
    if not isinstance(annotation, dict):
        raise Malformed("an annotation", brief(annotation))
    _once(annotation, annotation.get("attributes"))
    if isinstance(image := _known(annotation, "image_id", files), Malformed):
        raise image
    if image is None:
        raise Malformed("image_id: the id of an image with a file_name", brief(annotation.get("image_id")))
    image, claims, notes = image
    key = f"{part}_kpts" if part else "keypoints"
    flat, category = _numbers(annotation, key), _known(annotation, "category_id", names)
    n = len(category or ()) or len(flat) // 3
    if not flat or len(flat) != 3 * n:
        raise Malformed(f"{key}: x, y, v for each of {n or 'some'} landmarks", f"{len(flat)} numbers")
    xyv = torch.tensor(flat, dtype=torch.float64).view(-1, 3)
    v = xyv[:, 2]
    if not part and not torch.isin(v, v.new_tensor([0, 1, 2])).all():
        raise Malformed(f"{key}: v = 0, 1 or 2", brief(sorted(set(v.tolist()) - {0, 1, 2})))
    if not literal and not part and (v == 1).any():
        notes = (*notes, "v = 1 read as seen: no landmark of the file has a name or v = 2, as in mmpose's files")
    if names and category is None and annotation.get("category_id") is not None:
        notes = (*notes, "faces of a category that is not described")
    if not part and isinstance(annotation.get("num_keypoints"), int):
        claims = claims | {"num_keypoints": annotation["num_keypoints"]}
    landmarks = (xyv[:, :2] - origin).masked_fill(v[:, None] <= 0, torch.nan)
    visible = (v > 0) & (v != 1) if literal else v > 0  # COCO-WholeBody has flags between 0 and 1: reliable
    box = _box(annotation, f"{part}_box" if part else "bbox", origin)
    return Record(
        image=image,
        landmarks=landmarks,
        visible=visible,
        box=box,
        scheme=scheme_of(n),
        attributes=_attributes(annotation, origin),
        source="",
        claims=claims,
        notes=notes,
    )


def _known(annotation: dict, key: str, entries: dict) -> object | None:
    """The entry that the annotation's id at ``key`` names, where it names but one."""
    i = annotation.get(key)
    if type(i) not in (int, str) or i not in entries:
        return None
    if entries[i] is None:
        raise Malformed(f"{key}: the id of one entry", f"{brief(i)}, which is that of several that differ")
    return entries[i]


def _numbers(annotation: dict, key: str, n: int | None = None) -> list[int | float]:
    """The list of (n) finite numbers at ``key``."""
    values = annotation.get(key)
    if (
        not isinstance(values, list)
        or (n is not None and len(values) != n)
        or not all(type(x) in (int, float) and -HUGE < x < HUGE for x in values)
    ):
        raise Malformed(f"{key}: a list of {n or ''} finite numbers".replace("  ", " "), brief(values))
    return values


def _box(annotation: dict, key: str, origin: int) -> tuple[float, float, float, float] | None:
    if not annotation.get(key):
        return None
    x, y, w, h = map(float, _numbers(annotation, key, 4))
    if w < 0 or h < 0:
        raise Malformed(f"{key}: x, y, width, height", brief(annotation[key]))
    return x - origin, y - origin, w, h


def _attributes(annotation: dict, origin: int) -> dict:
    """CVAT's (and our) attributes, or else mmpose's crop."""
    if isinstance(annotation.get("attributes"), dict):
        return annotation["attributes"]
    crop = {key: annotation[key] for key in CROP if key in annotation}
    if "center" in crop:
        crop["center"] = [x - origin for x in _numbers(annotation, "center", 2)]
    return crop
