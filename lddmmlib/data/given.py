"""Faces as a user gives them to a landmarker: pictures of any kind, a box for each, and perhaps labels.

A picture is a path; a tensor (c, h, w); an array (h, w, 3), red green blue, or (h, w), gray. It holds bytes, or floats
in [0, 1]. Floats beyond 1 are taken for 0 to 255, with a warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._checks import need
from lddmmlib.data import images
from lddmmlib.data.augment import Photos
from lddmmlib.data.crops import Box
from lddmmlib.data.records import Record


class Face(NamedTuple):
    """One face.

    >>> face = Face(name="a.jpg", image=torch.zeros(3, 8, 8).byte(), box=(0.0, 0.0, 8.0, 8.0), landmarks=None)
    >>> face.landmarks is None
    True
    """

    name: str  #: the file's, or the number of the picture
    image: Tensor  #: (3, h, w) uint8, red green blue
    box: Box | None  #: x, y, w, h, px; None where a detector found no face
    landmarks: Tensor | None  #: (n, 2), px, float64, NaN where not labelled; None without labels


def faces(pictures: Any, points: Any = None, boxes: Any = None, labelled: bool = False) -> list[Face]:
    """Read the faces that a user gives.

    Args:
        pictures: one picture or a list of them; a batch (k, c, h, w); or records (`formats.read`), which bring points
            and boxes along.
        points: (k, n, 2), px; NaN where not labelled.
        boxes: (x, y, w, h) of each face, px; a detector, a function from an image (h, w, 3) uint8, blue green red, to
            a box, or to rows that begin with one, of which the first counts, or to None where it finds no face; None:
            the boxes of the records, else the whole pictures, with a warning.
        labelled: whether each face must have a box and a label.

    Raises:
        ValueError: a picture that cannot be read, another number of points or boxes than of pictures, a box beside its
            picture, a face without a label.

    >>> (face,) = faces(torch.zeros(1, 20, 30).byte(), boxes=[(5, 5, 10, 10)])
    >>> face.image.shape, face.box
    (torch.Size([3, 20, 30]), (5.0, 5.0, 10.0, 10.0))
    """
    listed = list(pictures) if isinstance(pictures, list | tuple) and not isinstance(pictures, Record) else None
    if listed is None:
        listed = list(pictures) if getattr(pictures, "ndim", 0) == 4 else [pictures]
    need(listed, "pictures", "one or more", "none")
    records = listed if all(isinstance(each, Record) for each in listed) else None
    names = [_name(each, i) for i, each in enumerate(listed)]
    shown = [photo.image for photo in Photos(records)] if records else list(map(_picture, listed, names))
    if records and points is None:
        points = [record.landmarks for record in records]
    if records and boxes is None and any(record.box for record in records):
        boxes = [record.box for record in records]
        lost = [name for name, box in zip(names, boxes, strict=True) if box is None]
        need(not lost, "boxes", "one of each record, or of none", f"none of {lost[:3]}", "give them as boxes=")
    need(points is not None or not labelled, "points", "labels (k, n, 2)", None, "NaN where not labelled")
    marks = [None] * len(listed) if points is None else _points(points, names, labelled)
    found = [_box(boxes, i, name, image, len(listed)) for i, (name, image) in enumerate(zip(names, shown, strict=True))]
    if boxes is None:
        warnings.warn("boxes: none given, so the whole picture is taken for the face", stacklevel=3)
    lost = [name for name, box in zip(names, found, strict=True) if box is None]
    need(not (labelled and lost), "boxes", "a face in each picture", f"none in {lost[:3]}", "leave these out")
    return [Face(name=n, image=i, box=b, landmarks=x) for n, i, b, x in zip(names, shown, found, marks, strict=True)]


def _name(picture: Any, i: int) -> str:
    path = picture.image or picture.source if isinstance(picture, Record) else picture
    return str(path) if isinstance(path, str | Path) else f"picture {i}"


def _picture(given: Any, name: str) -> Tensor:
    """A picture as (3, h, w) uint8."""
    if isinstance(given, str | Path):
        pixels = images.load(Path(given))
        need(pixels is not None, "pictures", "an image that can be read", name)
        return torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1)
    x = given.detach().cpu() if isinstance(given, Tensor) else torch.as_tensor(np.ascontiguousarray(given))
    if not isinstance(given, Tensor):
        x = x[..., None].permute(2, 0, 1) if x.ndim == 2 else x.permute(2, 0, 1) if x.ndim == 3 else x
    right = x.ndim == 3 and len(x) in (1, 3, 4) and x.numel() and (x.dtype == torch.uint8 or x.is_floating_point())
    needed = "bytes or floats, a tensor (c, h, w) or an array (h, w, 3) or (h, w)"
    need(right, name, needed, f"{x.dtype} of {tuple(np.shape(given))}")
    if x.is_floating_point():
        _checks.finite(x, name)
        need(x.min() >= 0 and x.max() <= 255, name, "values from 0 to 1", f"{x.min():.3g} to {x.max():.3g}")
        if x.max() > 1:
            warnings.warn(f"{name}: floats up to {x.max():.3g} are taken for 0 to 255, not for 0 to 1", stacklevel=4)
        x = (x * (1 if x.max() > 1 else 255)).round().byte()
    return x[:3].expand(3, -1, -1).contiguous()


def _points(points: Any, names: list[str], labelled: bool) -> list[Tensor]:
    same = isinstance(points, Tensor | np.ndarray) or len({np.shape(x) for x in points}) == 1
    need(same, "points", "as many of each face; NaN where not labelled", "different numbers")
    x = torch.as_tensor(np.stack([np.asarray(x, dtype=np.float64) for x in points]))
    x = x[None] if x.ndim == 2 and len(names) == 1 else x
    right = x.ndim == 3 and len(x) == len(names) and x.shape[2] == 2
    need(right, "points", f"({len(names)}, n, 2), those of each picture", tuple(x.shape))
    _checks.points(x, "points", nan=True)
    half = x.isnan().any(-1) != x.isnan().all(-1)
    need(not half.any(), "points", "NaN for x and y of what is not labelled", "NaN for one of them")
    bare = [name for name, face in zip(names, x, strict=True) if face.isnan().all()]
    need(not (labelled and bare), "points", "one label or more of each face", f"none of {bare[:3]}", "leave it out")
    return list(x)


def _box(boxes: Any, i: int, name: str, image: Tensor, count: int) -> Box | None:
    """The box of picture i; None where a detector finds no face."""
    h, w = image.shape[1:]
    if boxes is None:
        return (-0.5, -0.5, float(w), float(h))
    if isinstance(boxes, Callable):
        found = boxes(image.permute(1, 2, 0).flip(2).contiguous().numpy())
        if found is None or len(found) == 0:
            return None
        found = np.asarray(found)[0, :4] if np.ndim(found) == 2 else found
    else:
        single = count == 1 and np.ndim(boxes) == 1
        need(single or len(boxes) == count, "boxes", f"{count}, one for each picture", len(boxes))
        found = boxes if single else boxes[i]
    right = np.shape(found) == (4,) and np.isfinite(np.asarray(found, dtype=float)).all()
    need(right, "boxes", "finite (x, y, w, h)", f"{_checks.said(found)} for {name}")
    x, y, bw, bh = map(float, found)
    inside = bw > 0 and bh > 0 and x < w and y < h and x + bw > 0 and y + bh > 0
    need(inside, "boxes", f"(x, y, w, h) on the picture of {w} x {h} px", f"{(x, y, bw, bh)} for {name}")
    if (x + bw > 1.1 * w or y + bh > 1.1 * h) and x < bw <= w and y < bh <= h:
        said = f"{name}: the box {(x, y, bw, bh)} ends outside the picture; are these corners (x, y, x, y)"
        warnings.warn(f"{said}, not (x, y, w, h)?", stacklevel=4)
    return (x, y, bw, bh)
