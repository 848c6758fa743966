"""The reader of dlib's xml, as imglab writes it: images, in them boxes of faces, and in each box landmarks, 0-based.

Landmarks are "parts", numbered or named. The number of a part is the index of its landmark, from 0, or from 1 if 0 does
not occur and the highest number is the number of landmarks of a scheme. If the parts are only some of a scheme's (17 to
67: 300-W without the jaw), the others are missing. In all other cases parts are sorted by number or, as dlib does, by
name. The other values of a box, such as `ignore`, become attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat

import torch

from lddmmlib.data import records
from lddmmlib.data.images import Places
from lddmmlib.data.records import Malformed, Record, attempt, brief, head, need, numbers, read_bytes, record, repeated

BOX = ("left", "top", "width", "height")
whole = re.compile("[0-9]{1,8}").fullmatch


def recognise(path: Path) -> bool:
    """Test whether a file starts as dlib's files do."""
    start = head(path)
    return b"<dataset" in start and b"<image" in start


def read(path: Path, places: Places) -> Iterator[Record | Malformed]:
    """Read the faces of one xml, each box independently; from a broken xml, the faces before the error.

    Args:
        path: the xml.
        places: the search for its images.
    """
    images, boxes = [], []
    broken = attempt(_walk, read_bytes(path), images, boxes)
    yield from repeated(images, "one entry for each image")
    order = _order({part.get("name", "") for *_, parts in boxes for part in parts})
    for box in boxes:
        yield attempt(_face, path, places, order, *box, line=box[0])
    if broken:
        yield broken


def _walk(raw: bytes, images: list[tuple], boxes: list[tuple]) -> None:
    """Append (place, name) of each image, and (line, image, values, parts) of each box. Entities are refused."""
    parser, image = expat.ParserCreate(), {}

    def start(tag: str, values: dict) -> None:
        if tag == "image":
            image.clear()
            image.update(values)
            images.append((f"line {parser.CurrentLineNumber}", values.get("file")))
        elif tag == "box":
            boxes.append((parser.CurrentLineNumber, dict(image), values, []))
        elif tag == "part" and boxes:
            boxes[-1][3].append(values)

    def entity(*_: Any) -> None:
        raise Malformed("xml without entities", "a declaration of one", parser.CurrentLineNumber)

    parser.StartElementHandler, parser.EntityDeclHandler = start, entity
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        got = expat.errors.messages.get(error.code, str(error))
        raise Malformed("xml", got, error.lineno, f"column {error.offset + 1}") from None
    except Malformed:
        raise
    except (ValueError, LookupError) as error:  # an encoding that expat does not support
        raise Malformed("xml", str(error)) from None


def _order(names: set[str]) -> dict[str, int]:
    """The index of each part's name among the landmarks."""
    if not all(map(whole, names)):
        return {name: i for i, name in enumerate(sorted(names))}
    values = sorted({int(name) for name in names})
    first = next((i for i in (0, 1) if values and values[0] >= i and records.scheme_of(values[-1] + 1 - i)), None)
    return {name: values.index(int(name)) if first is None else int(name) - first for name in names}


def _face(path: Path, places: Places, order: dict, line: int, image: dict, values: dict, parts: list[dict]) -> Record:
    box = numbers([values.get(key, "") for key in BOX], 4) if values.keys() & {*BOX} else None
    need(not box or min(box[2:]) >= 0, "a box: left, top, width, height", box)
    n = max(order.values(), default=-1) + 1
    landmarks = torch.full((n, 2), torch.nan, dtype=torch.float64)
    for part in parts:
        at = order[part.get("name", "")]
        need(landmarks[at].isnan().all(), "each part once", f"{brief(part.get('name'))} twice")
        landmarks[at] = torch.tensor(numbers([part.get("x", ""), part.get("y", "")], 2), dtype=torch.float64)
    need(n, "parts in a box", "none in the whole file")
    need(image.get("file"), "an image with a file", image)
    size = [image.get(key, "") for key in ("height", "width")]
    claims = {"size": tuple(map(int, size))} if all(map(whole, size)) else None
    others = {key: value for key, value in values.items() if key not in BOX}
    more = {"box": tuple(box) if box else None, "attributes": others, "claims": claims}
    return record(places.named(image["file"], path), landmarks, f"{path}:{line}", **more)
