"""Drawn faces as crops that are marked in several annotation schemes at once, drawn once for all runs.

A crop is cut by the landmarks of the 68 points, whatever scheme a network learns, so that all networks see the same
pictures. Augmented crops are drawn once as well, several of each face: every network and seed learns from the same
views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lddmmlib._shapes import Bool, Float
from lddmmlib.data import crops
from lddmmlib.data.augment import RECIPE, Recipe, augment
from lddmmlib.data.crops import Crop
from lddmmlib.experiments import _record
from lddmmlib.faces import geometry, schemes, synthetic
from lddmmlib.faces.crossings import crossings

FRAME = "300w-68"  # the scheme whose landmarks frame a crop


class Marked(NamedTuple):
    """Crops with their landmarks in each scheme. A `DataLoader` stacks single ones as they are."""

    image: Tensor  #: (k, 3, side, side) uint8
    points: dict[str, Tensor]  #: scheme -> (k, n, 2), px of the crop, float32


class Views(Dataset):
    """The crops one by one, for `training.fit`, with the landmarks of one scheme.

    Args:
        marked: the crops.
        scheme: the landmarks that are shown.
        kept: of these the labelled ones, the others are NaN; None: all.
    """

    def __init__(self, marked: Marked, scheme: str, kept: Sequence[int] | None = None) -> None:
        self.images, points = marked.image, marked.points[scheme]
        labelled = torch.zeros(points.shape[1], dtype=torch.bool)
        labelled[list(range(len(labelled)) if kept is None else kept)] = True
        self.points = points.where(labelled[:, None], torch.nan)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Crop:
        image, points = self.images[index], self.points[index]
        inside = ((points > -0.5) & (points < image.shape[-1] - 0.5)).all(-1)
        still = torch.eye(2, 3, dtype=torch.float64)
        return Crop(image=image, landmarks=points, visible=~points.isnan().any(-1), inside=inside, affine=still)


def faces(
    indices: Sequence[int], split: str, names: Sequence[str], drawn: int, side: int, views: int = 0,
    how: Recipe = RECIPE
) -> Marked:  # fmt: skip
    """Crops of drawn faces.

    Args:
        indices: of the faces in the split.
        split: one of `synthetic.SPLITS`.
        names: the schemes.
        drawn: px a side of the pictures.
        side: px a side of the crops.
        views: random views of each face, the first views of all faces first; 0: the canonical crop alone.
        how: the augmentation of the views.
    """
    pool = synthetic.Faces(max(indices) + 1, split, drawn, pool=_record.RUNS / "pool")
    marks = [_marks(synthetic.sitting(i, split).framed(drawn), names) for i in indices]
    made: list[tuple[Tensor, dict[str, Tensor]]] = []
    for view in range(max(views, 1)):
        for i, points in zip(indices, marks, strict=True):
            face = pool[i]
            affine = crops.frame(crops.box(face.landmarks), side)
            if views:
                rng = np.random.default_rng([view, i])
                crop = augment(face.image, face.landmarks, face.visible, affine, side, FRAME, rng, how)
            else:
                crop = crops.crop(face.image, face.landmarks, face.visible, side, affine)
            made.append((crop.image, {name: _moved(points[name], name, crop.affine) for name in names}))
    points = {name: torch.stack([p[name] for _, p in made]) for name in names}
    return Marked(torch.stack([image for image, _ in made]), points)


def _marks(head: geometry.Face3D, names: Sequence[str]) -> dict[str, Tensor]:
    """The landmarks of each scheme, px of the picture."""
    return {name: geometry.landmarks(head, name)[0] for name in names}


def _moved(points: Tensor, name: str, affine: Tensor) -> Tensor:
    """The landmarks of a scheme in a crop, float32; in a flipped one they keep their names."""
    points = crops.apply(affine, points)
    flipped = affine[:, :2].det() < 0
    return (points[list(schemes.get(name).flip)] if flipped else points).float()


def flagged(count: int, split: str, drawn: int, flag: str) -> list[int]:
    """Which of the first faces of a split have one of WFLW's attributes."""
    pool = synthetic.Faces(count, split, drawn, pool=_record.RUNS / "pool")
    return [i for i in range(count) if pool[i].attributes[flag]]


def crossing(lines: Float[Tensor, "*batch c m 2"]) -> Bool[Tensor, "*batch c c"]:
    """Whether polyline i crosses polyline j: a segment of one has the ends of the other's on both sides, and is on both
    sides of it. What only touches does not cross; i = j: the line crosses itself."""
    pairs = (*lines.shape[:-2], *lines.shape[-3:])
    p, q = lines[..., :, None, :, :].expand(pairs), lines[..., None, :, :, :].expand(pairs)
    return crossings(p, q).flatten(-2).any(-1)


def kept(path: Path, make) -> Marked:
    """What ``make`` draws, from the file where there is one."""
    if not path.exists():
        marked: Marked = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{np.random.default_rng().integers(1 << 30)}.part")
        torch.save({"image": marked.image, "points": marked.points}, part)
        part.replace(path)
    found: Mapping = torch.load(path)
    return Marked(found["image"], found["points"])
