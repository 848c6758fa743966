"""The yardstick's question at full size: how well does a published network do on photographs after drawings alone?

HRNetV2 learns from drawn photographs, augmented, by cross-entropy with a Gaussian at each landmark; the photographs
and video frames of the yardstick judge it, in their true boxes and in jittered ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lddmmlib import heatmaps, metrics, training
from lddmmlib.data import crops
from lddmmlib.data.augment import Crops
from lddmmlib.data.crops import Crop
from lddmmlib.experiments import Experiment, yardstick
from lddmmlib.faces import synthetic
from lddmmlib.networks import HRNetV2

SCHEME, SIGMA = yardstick.SCHEME, 1.5  # of the targets, in cells of four pixels


class Size(NamedTuple):
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
    "smoke": Size(16, 2, 8, 64, 80, {"width": 8, "modules": (1, 1, 1), "blocks": 1}),
    "full": Size(50_000, 16, 64, 128, 160, {"width": 18}, precision="bfloat16", workers=14),
}
_LEAN = {"width": 8, "modules": (1, 1, 1), "blocks": 2}  # three quarters of a million parameters
SMALL = {"smoke": SIZES["smoke"], "notebook": Size(12_000, 8, 32, 96, 128, _LEAN)}
SMALL["full"] = SIZES["full"]._replace(network={"width": 8})


def loss(model: nn.Module, batch: Crop) -> Tensor:
    """-Σ q log softmax(maps), q the Gaussian at the landmark, divided by its sum; of the landmarks on the crop."""
    maps = model(batch.image.float() / 255).float()
    target = heatmaps.encode(batch.landmarks.float(), tuple(maps.shape[-2:]), SIGMA, stride=HRNetV2.stride)
    total = target.sum((-2, -1), keepdim=True)
    entropy = -(target / total.clamp_min(1e-6) * maps.flatten(2).log_softmax(-1).view_as(maps)).sum((-2, -1))
    return entropy[batch.inside].mean()


def predict(model: nn.Module, batch: Crop) -> Tensor:
    """The barycentre of each softmax(map), px of the crop."""
    maps = model(batch.image.float() / 255).float()
    return heatmaps.decode(maps, "soft", tau=1.0, stride=HRNetV2.stride)


def cut(samples: Sequence[yardstick.Sample], side: int, jitter: bool = False) -> list[Crop]:
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
def found(model: nn.Module, faces: Sequence[Crop], device: str) -> tuple[Tensor, Tensor]:
    """Predicted and true landmarks (k, 68, 2), float64."""
    batches = torch.utils.data.default_collate
    parts = [batches(faces[i : i + 64]) for i in range(0, len(faces), 64)]
    model.eval()
    pred = [predict(model, part._replace(image=part.image.to(device))).cpu().double() for part in parts]
    return torch.cat(pred), torch.cat([part.landmarks for part in parts]).double()


def told(pred: Tensor, truth: Tensor) -> dict:
    """NME in per cent of the corner distance, of all landmarks, each part and each turn of the head."""
    errors = 100 * metrics.errors(pred, truth, "corners", SCHEME)
    parts = {part: errors[:, list(rows)].mean().item() for part, rows in SCHEME.parts.items()}
    turns = yardstick.by_turn(errors.mean(1), yardstick._turn(truth).abs())
    return {"all": errors.mean().item()} | parts | {"by_turn": turns}


def drawn_faces_teach_networks(sizes: dict[str, Size], scale: str, device: str, seeds: int, folder: Path) -> dict:
    """Train a network a seed on drawings alone; measure each on all photographs."""
    size, sets = sizes[scale], {"photographs": yardstick.photographs(measuring=True), "frames": yardstick.frames()}
    faces = synthetic.Faces(size.faces, size=size.drawn, scheme=SCHEME.name, pool=folder.parent / f"pool-{size.drawn}")
    how = {"epochs": size.epochs, "batch": size.batch, "lr": size.rate, "precision": size.precision}
    figures: dict = {"faces": size.faces, **how, "side": size.side, "network": str(size.network), "seeds": {}}
    errors: dict[str, list] = {name: [] for name in sets}
    for seed in range(seeds):
        torch.manual_seed(seed)
        model = HRNetV2(SCHEME.n, **size.network)
        run = training.fit(model, loss, Crops(faces, SCHEME.name, size.side), folder=folder / str(seed), seed=seed,
                           device=device, workers=size.workers, **how)  # fmt: skip
        figures["seeds"][str(seed)] = row = {"loss": [r["loss"] for r in run.rows]}
        row |= {k: run.rows[-1][k] for k in ("samples_per_second", "waiting")}
        for name, samples in sets.items():
            pred, truth = found(model, cut(samples, size.side), device)
            errors[name].append(metrics.nme(pred, truth, "corners", SCHEME).tolist())
            jittered = told(*found(model, cut(samples, size.side, jitter=True), device))["all"]
            corrected = told(yardstick.corrected(pred, truth), truth)
            row[name] = {"raw": told(pred, truth), "corrected": corrected, "jittered_boxes": jittered}
    return figures | {"errors": errors}


_QUESTION = "How well does HRNetV2 of width {} do on photographs when it has seen drawn faces alone?"
_READS = (*yardstick._reads(), "lddmmlib.heatmaps", "lddmmlib.training", "lddmmlib.data.augment", "lddmmlib.data.crops")
_READS += ("lddmmlib.networks.hrnet", "lddmmlib.networks.heads", "lddmmlib.experiments.yardstick")


def realism(**sized: object) -> dict:
    """With the network as published."""
    return drawn_faces_teach_networks(SIZES, **sized)


def realism_small(**sized: object) -> dict:
    """With one small enough to be shipped."""
    return drawn_faces_teach_networks(SMALL, **sized)


_DATA = yardstick.EXPERIMENTS["yardstick"].data
EXPERIMENTS = {
    "realism": Experiment(realism, _QUESTION.format(18), _DATA, _READS, scales=("full",)),
    "realism_small": Experiment(realism_small, _QUESTION.format(8), _DATA, _READS, scales=("notebook", "full")),
}
