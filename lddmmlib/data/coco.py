"""COCO keypoint json, read: x, y, v for each landmark, 0-based; v = 2 seen, 1 hidden, 0 not annotated.

The face files of mmpose differ in two points. Their categories name no landmarks, and where no v is 2 (300-W,
WFLW, AFLW, 300-VW) v = 1 says no more than that the landmark is annotated: such a file is read as all seen.
And they add HRNet's crop (`center`, `scale` in 200 px, `box_size`), which comes back among the attributes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import torch

from lddmmlib.data import images
from lddmmlib.data.records import Malformed, Problem, Record, brief, decode, read_bytes, scheme_of

CROP = ("center", "scale", "box_size")
HUGE = 1e300  # `-HUGE < x < HUGE` refuses NaN, infinities and integers that no float holds


def recognise(path: Path) -> bool:
    """Whether the file holds the key that every COCO json holds."""
    try:
        return b'"annotations"' in read_bytes(path)
    except Malformed:
        return False


def read(path: Path, origin: int = 0) -> Iterator[Record | Problem]:
    """The faces of one json, each annotation by itself; the centre of the first pixel is at ``origin``."""
    try:
        text = decode(read_bytes(path))
        data = _parsed(text)
    except Malformed as error:
        yield error.problem(path)
        return
    files = {i: images.named(name, path) for i, name in _entries(data["images"], "file_name", str)}
    names = dict(_entries(data.get("categories"), "keypoints", list))
    literal = any(names.values()) or any(2 in v for v in _flags(data))
    lines: list[int] = []
    for i, annotation in enumerate(data["annotations"]):
        try:
            yield _face(annotation, path, files, names, literal, origin)
        except Malformed as error:
            lines = lines or _lines(text)
            yield error.problem(path, lines[i] if len(lines) == len(data["annotations"]) else None)


def _parsed(text: str) -> dict:
    """The json, with its lists of images and of annotations."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise Malformed("json", error.msg, error.lineno) from None
    except (RecursionError, ValueError) as error:  # nested too deeply, or an integer of thousands of digits
        raise Malformed("json", str(error)) from None
    lists = [data.get(key) for key in ("images", "annotations")] if isinstance(data, dict) else [None]
    if not all(isinstance(entries, list) for entries in lists):
        raise Malformed("the lists 'images' and 'annotations' of COCO", brief(data))
    return data


def _entries(entries: object, key: str, kind: type) -> Iterator[tuple]:
    """(id, value at ``key``) of each entry that is as it should be."""
    for entry in entries if isinstance(entries, list) else ():
        entry = entry if isinstance(entry, dict) else {}
        if isinstance(entry.get("id"), int | str) and isinstance(entry.get(key), kind):
            yield entry["id"], entry[key]


def _flags(data: dict) -> Iterator[list]:
    """The visibility flags of each annotation."""
    for annotation in data["annotations"]:
        if isinstance(annotation, dict) and isinstance(annotation.get("keypoints"), list):
            yield annotation["keypoints"][2::3]


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


def _face(annotation: object, path: Path, files: dict, names: dict, literal: bool, origin: int) -> Record:
    if not isinstance(annotation, dict):
        raise Malformed("an annotation", brief(annotation))
    image, category = _known(annotation, "image_id", files), _known(annotation, "category_id", names)
    if image is None:
        raise Malformed("image_id: the id of an image with a file_name", brief(annotation.get("image_id")))
    flat = _numbers(annotation, "keypoints")
    n = len(category) if category else len(flat) // 3
    if not flat or len(flat) != 3 * n:
        raise Malformed(f"keypoints: x, y, v for each of {n or 'some'} landmarks", f"{len(flat)} numbers")
    xyv = torch.tensor(flat, dtype=torch.float64).view(-1, 3)
    v = xyv[:, 2]
    if not torch.isin(v, v.new_tensor([0, 1, 2])).all():
        raise Malformed("keypoints: v = 0, 1 or 2", brief(sorted(set(v.tolist()) - {0, 1, 2})))
    landmarks = (xyv[:, :2] - origin).masked_fill(v[:, None] == 0, torch.nan)
    source = f"{path}: annotation {brief(annotation.get('id'))}"
    visible = v == 2 if literal else v > 0
    box, attributes = _box(annotation, origin), _attributes(annotation, origin)
    return Record(image, landmarks, visible, box, scheme_of(n), attributes, source)


def _known(annotation: dict, key: str, entries: dict) -> object | None:
    """The entry that the annotation's id at ``key`` names."""
    i = annotation.get(key)
    return entries.get(i) if isinstance(i, int | str) else None


def _numbers(annotation: dict, key: str, n: int | None = None) -> list[int | float]:
    """The list of (n) finite numbers at ``key``."""
    values = annotation.get(key)
    if (
        not isinstance(values, list)
        or (n is not None and len(values) != n)
        or not all(isinstance(x, int | float) and -HUGE < x < HUGE for x in values)
    ):
        raise Malformed(f"{key}: a list of {n or ''} finite numbers".replace("  ", " "), brief(values))
    return values


def _box(annotation: dict, origin: int) -> tuple[float, float, float, float] | None:
    if not annotation.get("bbox"):
        return None
    x, y, w, h = map(float, _numbers(annotation, "bbox", 4))
    if w < 0 or h < 0:
        raise Malformed("bbox: x, y, width, height", brief(annotation["bbox"]))
    return x - origin, y - origin, w, h


def _attributes(annotation: dict, origin: int) -> dict:
    """CVAT's (and our) attributes, or else mmpose's crop."""
    if isinstance(annotation.get("attributes"), dict):
        return annotation["attributes"]
    crop = {key: annotation[key] for key in CROP if key in annotation}
    if "center" in crop:
        crop["center"] = [x - origin for x in _numbers(annotation, "center", 2)]
    return crop
