"""Paper B's idea in a network that is trained on batches: half of the faces have 68 points, half have 29.

The union has 91 points, six of which both mark. All rivals see the same pictures as often, in as many steps:

- "ignored": one network of 91 points, whose loss leaves out what is not labelled;
- "completed": after a third of the steps, and again after two, missing landmarks are completed by H, fitted to the
  shapes that the network predicts, and learned, too (`methods.completed_training`);
- "separate": a network for each half, of its own points; the six common ones are averaged;
- "all labels": as "ignored", with all 91 points of every face, which nobody has: a bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from lddmmlib import metrics, training
from lddmmlib.data import crops
from lddmmlib.data.crops import Crop
from lddmmlib.experiments import Matrix, Run, Size, _drawn, _real, _runs, yardstick
from lddmmlib.experiments.labels import SAME_IN_29
from lddmmlib.methods import completed_training
from lddmmlib.methods.heatmap_regression import cross_entropy_loss, predict
from lddmmlib.networks import StackedHourglass

SAME_IN_68 = (36, 45, 39, 42, 48, 54)
OTHERS = [i for i in range(29) if i not in SAME_IN_29]
FEW = torch.zeros(91, dtype=torch.bool)
FEW[[*SAME_IN_68, *range(68, 91)]] = True  # what the second half labels
MANY = torch.arange(91) < 68
THIRDS = 3  # trainings, one after the other, of all rivals
LEARNERS = ("completed", "ignored", "all labels", "separate")


class Training(NamedTuple):
    """A scale: faces of both halves together, views of each, epochs in each third, and the network."""

    faces: int
    views: int
    held_out: int
    epochs: int
    batch: int
    channels: int
    photographs: int
    side: int = 64
    drawn: int = 96
    rate: float = 4e-3


SIZES = {
    "smoke": Training(faces=8, views=1, held_out=8, epochs=1, batch=4, channels=8, photographs=0, drawn=64),
    "notebook": Training(faces=240, views=4, held_out=200, epochs=2, batch=16, channels=24, photographs=170),
    "workstation": Training(faces=2000, views=4, held_out=500, epochs=4, batch=16, channels=64, photographs=170),
}


class Union(Dataset):
    """Crops with the 91 points, of which each half of the faces labels its own unless `whole`."""

    def __init__(self, images: Tensor, points: Tensor, half: Tensor, whole: bool) -> None:
        mask = torch.where(half[:, None], FEW, MANY) | whole
        self.images, self.points = images, points.where(mask[..., None], torch.nan)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Crop:
        points, still = self.points[i], torch.eye(2, 3, dtype=torch.float64)
        inside = ((points > -0.5) & (points < self.images.shape[-1] - 0.5)).all(-1)
        return Crop(image=self.images[i], landmarks=points, visible=inside, inside=inside, affine=still)


def joined(many: Tensor, few: Tensor) -> Tensor:
    """The 91 points of the union."""
    return torch.cat([many, few[..., OTHERS, :]], -2)


@lru_cache(1)
def prepared(size: Training) -> tuple[tuple[Tensor, Tensor, Tensor], dict[str, tuple[Tensor, Tensor]]]:
    """Images, points and half of each view to train on; and images and points of each set that is measured on."""
    draw = partial(_drawn.faces, names=("300w-68", "cofw-29"), drawn=size.drawn, side=size.side)
    seen, held = draw(range(size.faces), "wild", views=size.views), draw(range(size.held_out), "wild-val")
    sets = {"held out": (held.image, joined(*held.points.values()))}
    if size.photographs:
        samples, shapes = _real.photographs(measuring=True)[: size.photographs], joined(*_real.annotated_twice())
        shapes = shapes[sorted(np.random.default_rng(0).permutation(len(shapes))[80:])][: size.photographs]
        cut, moved = [], []
        for sample, points in zip(samples, shapes, strict=True):
            affine = crops.frame(crops.box(points[:68]), size.side)
            cut.append(crops.cut(torch.from_numpy(sample.image.copy()).permute(2, 0, 1), affine, size.side))
            moved.append(crops.apply(affine, points))
        sets["photographs"] = torch.stack(cut), torch.stack(moved)
    half = torch.arange(size.faces * size.views) % size.faces % 2 == 1
    return (seen.image, joined(*seen.points.values()), half), sets


def read(model: torch.nn.Module, crop: Crop) -> Tensor:
    """The barycentres of softmax(maps), px."""
    with torch.no_grad():
        return predict(model.eval(), crop, method="soft", tau=1.0).double()


def learned(name: str, mine: Tensor | None, seed: int, size: Training, folder: Path) -> torch.nn.Module:
    """A network after all of its steps; `mine`: the only points and faces of it."""
    (images, points, half), _ = prepared(size)
    data: Dataset = Union(images, points, half, whole=name == "all labels")
    if mine is not None:
        data = Subset(data, (half == (mine is FEW)).nonzero().flatten().tolist())
    torch.manual_seed(seed)
    model = StackedHourglass(91, stacks=1, blocks=1, channels=size.channels, depth=3)

    def fit(some: Dataset, where: Path) -> training.History:
        return training.fit(model, cross_entropy_loss, some, folder=where, epochs=size.epochs, batch=size.batch,
                            lr=size.rate, optimiser=torch.optim.Adam, seed=seed, progress=False)  # fmt: skip

    if name == "completed":
        completed_training.alternate(fit, partial(read, model), data, folder=folder, rounds=THIRDS - 1)
    else:
        for k in range(THIRDS):
            fit(data, folder / f"round-{k}")
    return model


def train(network: str, seed: int, scale: str, device: str, folder: Path) -> Run:
    """Train one rival, and measure it on all 91 points, on the 68 and on the 29, % of the corner distance."""
    size, where = SIZES[scale], folder / f"{network} {seed}"
    alone = {str(int(mine.sum())): mine for mine in (MANY, FEW)} if network == "separate" else {"": None}
    models = {tag: learned(network, mine, seed, size, where / tag) for tag, mine in alone.items()}
    errors = {}
    for name, (images, truth) in prepared(size)[1].items():
        batches = [Crop(image=x, landmarks=None, visible=None, inside=None, affine=None) for x in images.split(64)]
        found = {tag: torch.cat([read(model, batch) for batch in batches]) for tag, model in models.items()}
        pred = found[""] if "" in found else torch.where(MANY[:, None], found["68"], found["29"])
        if "" not in found:
            pred[:, list(SAME_IN_68)] = (found["68"] + found["29"])[:, list(SAME_IN_68)] / 2
        sizes = metrics.reference_distance(truth[:, :68].double(), "corners", "300w-68")
        error = 100 * metrics.errors(pred, truth.double(), sizes)
        errors |= {f"{name}, {n}": error[:, own].mean(1) for n, own in (("91", FEW | MANY), ("68", MANY), ("29", FEW))}
    return Run(errors=errors, figures={})


def tell(runs: Mapping[str, list[Run]], scale: str) -> dict:
    """What was trained, and the error of each rival, averaged over seeds."""
    size = SIZES[scale]
    steps = THIRDS * size.epochs * (size.faces * size.views // size.batch)
    return size._asdict() | {"steps": steps, "nme_percent": _runs.averaged(runs)}


EXPERIMENTS = {
    "completed_training": Matrix(
        train=train,
        tell=tell,
        sizes={scale: Size(LEARNERS, 3) for scale in SIZES} | {"smoke": Size(("completed", "separate"), 1)},
        question="Does a network gain when landmarks that a face lacks are completed by H and learned, too?",
        data="drawn faces held out from training; 170 photographs annotated by hand with 68 and with 29 points",
        untouched=yardstick.UNTOUCHED,
    )
}
