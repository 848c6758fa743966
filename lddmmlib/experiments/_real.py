"""The real annotations, photographs and video frames that experiments measure on; none of them is in the project."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lddmmlib.data import formats, images
from lddmmlib.data.records import Record

SHAPES = "2,800 of the 300-W training annotations, 68 points, integer coordinates"
TWICE = "250 photographs annotated by hand twice, with 68 and with 29 points (HELEN and COFW conventions)"
PHOTOGRAPHS = (
    "170 photographs annotated by hand with 68 points (HELEN, 300-W convention), kept to measure; 357 video frames"
)


class Sample(NamedTuple):
    """An image (h, w, 3), red green blue, uint8, and its landmarks (68, 2), px."""

    image: np.ndarray
    points: np.ndarray


def real_data() -> Path:
    """The folder of real annotations and photographs that LDDMMLIB_REAL_DATA names."""
    needed = "LDDMMLIB_REAL_DATA: needed the folder of real test data"
    if not (named := os.environ.get("LDDMMLIB_REAL_DATA")):
        raise RuntimeError(f"{needed}, got no such variable; set it to that folder and run again")
    if not Path(named).is_dir():
        raise RuntimeError(f"{needed}, got {named!r}, which is no folder; correct it and run again")
    return Path(named)


def real_shapes() -> Tensor:
    """The 2,800 annotated shapes, float64 (2800, 68, 2)."""
    with np.load(real_data() / "shapes_300w_train.npz") as file:
        return torch.tensor(file["pts"], dtype=torch.float64)


def annotated_twice() -> tuple[Tensor, Tensor]:
    """68 and 29 points of the same photographs, (250, 68, 2) and (250, 29, 2)."""
    files = sorted((real_data() / "helen_dual").glob("*.pts"))
    if not files:
        raise RuntimeError("LDDMMLIB_REAL_DATA: needed helen_dual/*.pts in it, got none; check the folder")
    many = torch.stack([formats.read(file, "pts")[0].landmarks for file in files])
    few = torch.stack([formats.read(file.with_suffix(".pts29"), "pts29")[0].landmarks for file in files])
    return many.double(), few.double()


def photographs(measuring: bool) -> list[Sample]:
    """The 80 photographs for development, or the 170 that are only measured on."""
    records = formats.read(real_data() / "helen_dual", "pts")
    order = np.random.default_rng(0).permutation(len(records))
    return [_opened(records[i]) for i in sorted(order[80:] if measuring else order[:80])]


def video_frames() -> list[Sample]:
    """357 crops of video frames, whose labels follow another convention."""
    return [_opened(record) for record in formats.read(real_data() / "ytf68" / "val", "pts")]


def _opened(record: Record) -> Sample:
    return Sample(images.load(record.image)[..., ::-1], record.landmarks.numpy())
