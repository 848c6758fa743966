"""The reader of COCO keypoint json: x, y, v for each landmark, 0-based; v = 2 visible, 1 hidden, 0 not annotated.

The face files of mmpose differ in two points. Their categories name no landmarks, and where no v is 2 (300-W,
WFLW, AFLW, 300-VW) v = 1 only means that the landmark is annotated: in such a file all are read as visible, which is
noted. And they add HRNet's crop (`center`, `scale` in 200 px, `box_size`), which is returned among the attributes.

An id or a key that occurs twice is a `Problem` that names both places; faces are read all the same if the two agree.
A landmark with v > 0 at (0, 0) or (-1, -1) is read as written; `check` counts such positions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from lddmmlib.data import records
from lddmmlib.data.images import Places
from lddmmlib.data.records import Malformed, Record, attempt, brief, decode, need, read_bytes, repeated

CROP = ("center", "scale", "box_size")
KEYS = {"": ("keypoints", "bbox"), "face": ("face_kpts", "face_box")}  # by the part of the person
SEEN = "v = 1 read as seen: no landmark of the file has a name or v = 2, as in mmpose's files"
HUGE = 1e300  # `-HUGE < x < HUGE` refuses NaN, infinities and integers that no float holds


class Twice(dict):
    """A json object in which the key `twice` occurs twice, so that a plain dict would silently keep its last value."""

    twice: str


def recognise(path: Path) -> bool:
    """Test whether a file contains the key "annotations", as every COCO json does."""
    return b'"annotations"' in records.head(path, -1)


def read(path: Path, places: Places, origin: int = 0, part: str = "") -> Iterator[Record | Malformed]:
    """Read the faces of one json, each annotation independently.

    Args:
        path: the json.
        places: the search for its images.
        origin: the centre of the first pixel.
        part: "face" for COCO-WholeBody: an annotation's `face_kpts` and `face_box` where `face_valid` is true.
    """
    text = decode(read_bytes(path))
    data, problems = _parsed(text), []
    listed = _entries(data, "images", problems, _image)
    names = {} if part else _entries(data, "categories", problems, lambda kind: _if_a(list, kind.get("keypoints")))
    _entries(data, "annotations", problems, lambda _: ())

    def place(name: str, claims: dict) -> tuple:
        return places.named(name, path), claims

    files = {i: image and attempt(place, *image) for i, image in listed.items()}
    found = [(f"id {brief(i)}", file[0][0]) for i, file in files.items() if isinstance(file, tuple)]
    yield from problems + repeated(found, "one entry for each image")

    flags = [_if_a(list, _if_a(dict, each, {}).get(KEYS[part][0]), [])[2::3] for each in data["annotations"]]
    literal = any(names.values()) or any(2 in v for v in flags)
    lines: list[int] = []
    for i, annotation in enumerate(data["annotations"]):
        if part and isinstance(annotation, dict) and not annotation.get(f"{part}_valid"):
            continue
        number, at = _id(annotation), f"annotations[{i}]"
        called, at = (at, at) if number is None else (f"annotation {brief(number)}", f"{at}, id {brief(number)}")
        face = attempt(_face, annotation, f"{path}: {called}", files, names, part, literal, origin, where=at)
        if isinstance(face, Malformed):
            lines = lines or _lines(text)
            face = attempt(records.required, face, line=lines[i] if len(lines) == len(data["annotations"]) else None)
        yield face


def _parsed(text: str) -> dict:
    """The parsed json, with its lists of images and of annotations."""
    try:
        data = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise Malformed("json", error.msg, error.lineno, f"column {error.colno}") from None
    except (RecursionError, ValueError) as error:  # nested too deeply, or an integer of thousands of digits
        raise Malformed("json", str(error)) from None
    lists = [data.get(key) for key in ("images", "annotations")] if isinstance(data, dict) else [None]
    need(all(isinstance(some, list) for some in lists), "the lists 'images' and 'annotations' of COCO", brief(data))
    _once(data)
    return data


def _object(pairs: list[tuple]) -> dict:
    """A json object that remembers whether a key occurs twice."""
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


def _if_a(kind: type, value: object, otherwise: Any = None) -> Any:
    return value if isinstance(value, kind) else otherwise


def _entries(data: dict, key: str, problems: list[Malformed], meaning: Callable[[dict], object]) -> dict:
    """The meanings of the entries of a list by id; None where two entries of one id differ. Adds these to `problems`.

    An entry without an id, or whose meaning is None, is left out; a face that refers to it is then refused.
    """
    found: dict = {}
    first: dict[int | str, tuple[str, dict]] = {}
    for n, entry in enumerate(_if_a(list, data.get(key), [])):
        i, at = _id(entry), f"{key}[{n}]"
        if i is None or (meant := meaning(entry)) is None:
            continue
        if key != "annotations" and (twice := attempt(_once, entry, where=at)):
            problems.append(twice)
            continue
        place, other = first.setdefault(i, (at, entry))
        if other != entry:
            problems.append(Malformed(f"{key} with an id each", f"{place} and {at} of id {brief(i)}"))
        found[i] = meant if found.get(i, meant) == meant else None
    return found


def _image(entry: dict) -> tuple[str, dict] | None:
    """The name of an image's file, and its size (h, w) if the json states it."""
    size = entry.get("height"), entry.get("width")
    claims = {} if size == (None, None) else {"size": size}
    return (entry["file_name"], claims) if isinstance(entry.get("file_name"), str) else None


def _lines(text: str) -> list[int]:
    """The line on which each annotation begins, from a second pass over the json that is needed for errors only."""
    start = re.search(r'"annotations"\s*:\s*\[', text)
    gap, decoder, lines = re.compile(r"[\s,]*"), json.JSONDecoder(), []
    last, line, at = 0, 1, gap.match(text, start.end()).end() if start else len(text)
    while text[at : at + 1] not in ("]", ""):
        line += text.count("\n", last, at)
        lines.append(line)
        last, at = at, gap.match(text, decoder.raw_decode(text, at)[1]).end()
    return lines


def _face(annotation: Any, source: str, files: dict, names: dict, part: str, literal: bool, origin: int) -> Record:
    need(isinstance(annotation, dict), "an annotation", brief(annotation))
    _once(annotation, annotation.get("attributes"))
    image, category = _known(annotation, "image_id", files), _known(annotation, "category_id", names)
    need(image, "image_id: the id of an image with a file_name", brief(annotation.get("image_id")))
    (points, bbox), (found, claims), notes = KEYS[part], image, ()
    flat = _numbers(annotation, points)
    n = len(category or ()) or len(flat) // 3
    wanted = f"{points}: x, y, v for each of {n or 'some'} landmarks"
    need(flat and len(flat) == 3 * n, wanted, f"{len(flat)} numbers")
    xyv = torch.tensor(flat, dtype=torch.float64).view(-1, 3)
    v = xyv[:, 2]
    if not part:  # COCO-WholeBody has flags between 0 and 1, and num_keypoints of the body
        odd = sorted(set(v.tolist()) - {0, 1, 2})
        need(not odd, f"{points}: v = 0, 1 or 2", odd)
        notes += (SEEN,) if not literal and (v == 1).any() else ()
        stated = annotation.get("num_keypoints")
        claims = claims | ({"num_keypoints": stated} if isinstance(stated, int) else {})
    if names and category is None and annotation.get("category_id") is not None:
        notes += ("faces of a category that is not described",)
    landmarks = (xyv[:, :2] - origin).masked_fill(v[:, None] <= 0, torch.nan)
    visible = (v > 0) & (v != 1) if literal else v > 0
    more = {"visible": visible, "box": _box(annotation, bbox, origin), "claims": claims}
    return records.record(found, landmarks, source, notes, attributes=_attributes(annotation, origin), **more)


def _known(annotation: dict, key: str, entries: dict) -> Any:
    """The entry that the id at `key` refers to; None if there is none."""
    i = annotation.get(key)
    if type(i) not in (int, str) or i not in entries:
        return None
    need(entries[i] is not None, f"{key}: the id of one entry", f"{brief(i)}, which is that of several that differ")
    return records.required(entries[i])


def _numbers(annotation: dict, key: str, n: int | None = None) -> list[int | float]:
    """The list of (n) finite numbers at `key`."""
    values = annotation.get(key)
    listed = isinstance(values, list) and len(values) == (len(values) if n is None else n)
    right = listed and all(type(x) in (int, float) and -HUGE < x < HUGE for x in values)
    need(right, f"{key}: a list of {'' if n is None else f'{n} '}finite numbers", brief(values))
    return values


def _box(annotation: dict, key: str, origin: int) -> tuple[float, float, float, float] | None:
    if not annotation.get(key):
        return None
    x, y, w, h = map(float, _numbers(annotation, key, 4))
    need(min(w, h) >= 0, f"{key}: x, y, width, height", annotation[key])
    return x - origin, y - origin, w, h


def _attributes(annotation: dict, origin: int) -> dict:
    """CVAT's (and our) attributes, or else mmpose's crop."""
    if isinstance(annotation.get("attributes"), dict):
        return annotation["attributes"]
    crop = {key: annotation[key] for key in CROP if key in annotation}
    if "center" in crop:
        crop["center"] = [x - origin for x in _numbers(annotation, "center", 2)]
    return crop
