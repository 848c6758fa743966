"""The writer of COCO keypoint json that mmpose, CVAT (Datumaro) and FiftyOne can open.

Their requirements: mmpose's face data sets need `center` and `scale`, its others `bbox` and the size of the
image; Datumaro needs `segmentation`, `iscrowd`, `bbox`, the names of the landmarks and a skeleton; FiftyOne needs
all images under one folder.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from lddmmlib import _checks
from lddmmlib._checks import need
from lddmmlib.data import crops, images
from lddmmlib.data.coco import CROP
from lddmmlib.data.records import Record
from lddmmlib.faces import schemes


def write_coco(
    records: Iterable[Record],
    path: str | Path,
    scheme: str | schemes.Scheme | None = None,
    root: str | Path | None = None,
    overwrite: bool = False,
) -> None:
    """Write faces of one scheme as COCO keypoint json, atomically: no incomplete file is left behind.

    A landmark's v is 2 if it is visible, 1 if it is hidden but has a position, 0 if it is NaN. A face
    without a box is given the bounding box of its landmarks. `formats.read` restores everything, numbers exactly.

    Args:
        records: the faces; each needs its image, whose size is written too.
        path: the json to write.
        scheme: determines the names of the landmarks and the skeleton; a scheme or its name, by default the records'
            own.
        root: the folder to which the images' names are relative (mmpose's `data_prefix`, FiftyOne's
            `data_path`); by default the folder of the json.
        overwrite: whether a file at `path` may be replaced.

    Raises:
        FileExistsError: there is a file at `path`.
        ValueError: a face of another scheme, without a position, or without a readable image under `root`.

    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import torch
    >>> from lddmmlib.data import formats
    >>> folder = TemporaryDirectory()
    >>> image, path = (Path(folder.name, name) for name in ("face.png", "faces.json"))
    >>> images.save(np.zeros((40, 60, 3), np.uint8), image)
    >>> landmarks = torch.arange(58, dtype=torch.float64).view(29, 2)
    >>> landmarks[3] = torch.nan
    >>> visible = torch.arange(29) > 3
    >>> write_coco([Record(image, landmarks, visible, None, "cofw-29", {}, "")], path)
    >>> json.loads(path.read_text(encoding="utf-8"))["annotations"][0]["keypoints"][6:15]
    [4.0, 5.0, 1, 0.0, 0.0, 0, 8.0, 9.0, 2]
    >>> (again,) = formats.read(path)
    >>> again.box, torch.equal(again.visible, visible)
    ((0.0, 1.0, 56.0, 56.0), True)
    >>> folder.cleanup()
    """
    path, records = Path(path), list(records)
    if path.exists() and not overwrite:
        raise FileExistsError(f"path: {path} exists; give overwrite=True to replace it")
    name = scheme or next((record.scheme for record in records if record.scheme), None)
    if name is None:
        raise ValueError("scheme: none of the records has one; name it by scheme=...")
    category = _category(schemes.get(name))
    root = Path(os.path.normpath((path.parent if root is None else Path(root)).absolute()))
    entries: dict[Path, dict] = {}
    annotations = []
    for i, record in enumerate(records):
        _check(record, f"records[{i}]", len(category["keypoints"]))
        image = Path(os.path.normpath(record.image.absolute()))
        if image not in entries:
            entries[image] = {"id": len(entries) + 1} | _image(image, root, f"records[{i}]")
        ids = {"id": i + 1, "image_id": entries[image]["id"], "category_id": category["id"]}
        annotations.append(ids | _annotation(record))
    _replace(path, {"images": [*entries.values()], "annotations": annotations, "categories": [category]})


def _check(record: Record, name: str, n: int) -> None:
    need(record.image is not None, name, "an image", None, "COCO names the image of each face")
    _checks.points(record.landmarks, f"{name}.landmarks", n, nan=True)
    shapes = tuple(record.landmarks.shape), tuple(record.visible.shape)
    need(shapes == ((n, 2), (n,)), name, f"landmarks ({n}, 2) and visible ({n},)", "{} and {}".format(*shapes))
    lost = record.landmarks.isnan()
    right = (lost[:, 0] == lost[:, 1]).all() and not (lost[:, 0] & record.visible).any()
    need(right, name, "NaN for x and y and visible False of a landmark without a place", "other values")
    if not all(isinstance(key, str) for key in record.attributes):
        raise TypeError(f"{name}.attributes: needed names as keys, got {[*record.attributes]}; json has no others")
    need(record.box is not None or not lost.all(), name, "one landmark with a place, or a box", "neither")


def _image(image: Path, root: Path, name: str) -> dict:
    """The name of an image relative to `root`, with slashes on Windows too, and its size."""
    need(image.is_relative_to(root), name, f"an image under {root}", image, "give the images' folder as root=")
    pixels = images.load(image)
    need(pixels is not None, name, "an image that can be read, for its size", image)
    return {"file_name": image.relative_to(root).as_posix(), "height": pixels.shape[0], "width": pixels.shape[1]}


def _category(scheme: schemes.Scheme) -> dict:
    """The only category: names and skeleton, whose indices start at 1."""
    rings = [i + i[:1] if c in scheme.closed else i for c, i in scheme.curves.items()]
    bones = dict.fromkeys((min(a, b) + 1, max(a, b) + 1) for ring in rings for a, b in pairwise(ring))
    face = {"id": 1, "name": "face", "supercategory": "person"}
    return face | {"keypoints": scheme.names, "skeleton": [*bones]}


def _annotation(record: Record) -> dict:
    tight = crops.box(record.landmarks) if record.placed.any() else None
    triplets = zip(record.landmarks.nan_to_num(0.0).tolist(), record.flags.tolist(), strict=True)
    x, y, w, h = record.box or tight
    keypoints = [number for point, flag in triplets for number in (*point, flag)]
    return (
        {"keypoints": keypoints, "num_keypoints": int(record.placed.sum()), "bbox": [x, y, w, h], "area": w * h}
        | {"segmentation": [], "iscrowd": 0}
        | _crop(tight or record.box)
        | {key: record.attributes[key] for key in CROP if key in record.attributes}
        | {"attributes": record.attributes}
    )


def _crop(box: tuple) -> dict:
    """HRNet's crop of a box: its centre on the grid of half pixels, its larger side in units of 200 px."""
    x, y, w, h = box
    left, right, top, bottom = math.floor(x), math.ceil(x + w), math.floor(y), math.ceil(y + h)
    side = max(right - left, bottom - top)
    return {"center": [(left + right) / 2, (top + bottom) / 2], "scale": side / 200}


def _replace(path: Path, lists: dict[str, list[dict]]) -> None:
    """Write one entry a line, so that line numbers in errors help, to a temporary file; then rename it."""
    rows = {key: ",\n".join(json.dumps(entry, allow_nan=False) for entry in some) for key, some in lists.items()}
    body = ",\n".join(f'"{key}": [\n{some}\n]' for key, some in rows.items())
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        aside.write_text('{"info": {"contributor": "lddmmlib"},\n' + body + "}\n", encoding="utf-8")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
