"""The yardstick's question at full size: how well does a published network do on photographs after drawings alone?

HRNetV2 learns from drawn photographs, augmented, by cross-entropy with a Gaussian at each landmark; the photographs
and video frames of the yardstick judge it, in their true boxes and in jittered ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lddmmlib import metrics, training
from lddmmlib.data import crops
from lddmmlib.data.augment import Crops
from lddmmlib.data.crops import Crop
from lddmmlib.experiments import Matrix, Run, Size, _real, yardstick
from lddmmlib.faces import synthetic
from lddmmlib.methods import heatmap_regression
from lddmmlib.networks import HRNetV2

SCHEME, SIGMA = yardstick.SCHEME, 1.5  # of the targets, in cells of four pixels


class Training(NamedTuple):
    """A scale: how many faces, how often, how large, and how large the network."""

    faces: int
    epochs: int
    batch: int
    side: int  # px of a crop
    drawn: int  # px of the pictures that crops are cut from; they show more than a crop does
    network: dict
    rate: float = 2e-3
    precision: str = "float32"
    workers: int = 0


SIZES = {
    "smoke": Training(faces=16, epochs=2, batch=8, side=64, drawn=80,
                      network={"width": 8, "modules": (1, 1, 1), "blocks": 1}),
    "full": Training(faces=50_000, epochs=16, batch=64, side=128, drawn=160,
                     network={"width": 18}, precision="bfloat16", workers=14),
}  # fmt: skip
_LEAN = {"width": 8, "modules": (1, 1, 1), "blocks": 2}  # three quarters of a million parameters
SMALL = {"smoke": SIZES["smoke"]}
SMALL["notebook"] = Training(faces=12_000, epochs=8, batch=32, side=96, drawn=128, network=_LEAN)
SMALL["full"] = SIZES["full"]._replace(network={"width": 8})


def loss(model: nn.Module, batch: Crop) -> Tensor:
    """Cross-entropy of softmax(maps) with the Gaussian at the landmark."""
    return heatmap_regression.cross_entropy_loss(model, batch, SIGMA)


def predict(model: nn.Module, batch: Crop) -> Tensor:
    """The barycentre of each softmax(map), px of the crop."""
    return heatmap_regression.predict(model, batch, method="soft", tau=1.0)


def crop_all(samples: Sequence[_real.Sample], side: int, jitter: bool = False) -> list[Crop]:
    """The yardstick's squares, at another size."""
    low, high, shift = yardstick.JITTER
    chance, out = torch.Generator().manual_seed(2), []
    for image, points in samples:
        at = torch.from_numpy(points)
        x, y, w, h = crops.box(at)
        scale, dx, dy = torch.rand(3, generator=chance, dtype=torch.float64).tolist()
        if jitter:
            k, longer = low + (high - low) * scale, max(w, h)
            x, y = (v + longer * shift * (2 * d - 1) for v, d in ((x, dx), (y, dy)))
            x, y, w, h = x + w * (1 - k) / 2, y + h * (1 - k) / 2, k * w, k * h
        pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)
        out.append(crops.crop(pixels, at, torch.ones(len(at), dtype=torch.bool), side, crops.frame((x, y, w, h), side)))
    return out


@torch.no_grad()
def predict_all(model: nn.Module, faces: Sequence[Crop], device: str) -> tuple[Tensor, Tensor]:
    """Predicted and true landmarks (k, 68, 2), float64."""
    batches = torch.utils.data.default_collate
    parts = [batches(faces[i : i + 64]) for i in range(0, len(faces), 64)]
    model.eval()
    pred = [predict(model, part._replace(image=part.image.to(device))).cpu().double() for part in parts]
    return torch.cat(pred), torch.cat([part.landmarks for part in parts]).double()


def summarise(pred: Tensor, truth: Tensor) -> dict:
    """NME in per cent of the corner distance, of all landmarks, each part and each turn of the head."""
    errors = 100 * metrics.errors(pred, truth, "corners", SCHEME)
    parts = {part: errors[:, list(rows)].mean().item() for part, rows in SCHEME.parts.items()}
    turns = yardstick.by_turn(errors.mean(1), yardstick._turn(truth).abs())
    return {"all": errors.mean().item()} | parts | {"by_turn": turns}


def train(sizes: dict[str, Training], network: str, seed: int, scale: str, device: str, folder: Path) -> Run:
    """A network of this width, trained on drawings alone, and its errors on all photographs and frames."""
    size, sets = sizes[scale], {"photographs": _real.photographs(measuring=True), "frames": _real.video_frames()}
    faces = synthetic.Faces(size.faces, size=size.drawn, scheme=SCHEME.name, pool=folder / f"pool-{size.drawn}")
    torch.manual_seed(seed)
    model = HRNetV2(SCHEME.n, **size.network)
    run = training.fit(model, loss, Crops(faces, SCHEME.name, size.side), folder=folder / f"{network} {seed}",
                       seed=seed, device=device, workers=size.workers, epochs=size.epochs, batch=size.batch,
                       lr=size.rate, precision=size.precision)  # fmt: skip
    figures: dict = {"loss": [row["loss"] for row in run.rows]}
    figures |= {k: run.rows[-1][k] for k in ("samples_per_second", "waiting")}
    errors = {}
    for name, samples in sets.items():
        pred, truth = predict_all(model, crop_all(samples, size.side), device)
        errors[name] = metrics.nme(pred, truth, "corners", SCHEME)
        jittered = summarise(*predict_all(model, crop_all(samples, size.side, jitter=True), device))["all"]
        corrected = summarise(yardstick.corrected(pred, truth), truth)
        figures[name] = {"raw": summarise(pred, truth), "corrected": corrected, "jittered_boxes": jittered}
    return Run(errors=errors, figures=figures)


def tell(sizes: dict[str, Training], runs: Mapping[str, list[Run]], scale: str) -> dict:
    """What was trained, and what each seed came to."""
    size = sizes[scale]
    figures = {key: getattr(size, key) for key in ("faces", "epochs", "batch", "precision", "side")}
    (some,) = runs.values()
    seeds = {str(seed): run.figures for seed, run in enumerate(some)}
    return figures | {"lr": size.rate, "network": str(size.network), "seeds": seeds}


def matrix(sizes: dict[str, Training], width: int, seeds: dict[str, int]) -> Matrix:
    """The experiment with HRNetV2 of this width."""
    return Matrix(
        train=partial(train, sizes),
        tell=partial(tell, sizes),
        sizes={scale: Size((f"width {width}",), seeds.get(scale, 1)) for scale in sizes},
        question=f"How well does HRNetV2 of width {width} do on photographs when it has seen drawn faces alone?",
        data=_real.PHOTOGRAPHS,
        untouched=yardstick.UNTOUCHED,
    )


EXPERIMENTS = {
    "realism": matrix(SIZES, 18, {"full": 3}),  # as published
    "realism_small": matrix(SMALL, 8, {"notebook": 1, "full": 3}),  # small enough to be shipped
}
