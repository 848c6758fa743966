"""Paper C's tables on networks trained here: encoders, decoders, learned corrections, Siamese consistency, windows, σ.

Every network of the training matrix `RUNS` sees the same two views of each face in each step; only its loss differs.
So the network trained plainly on continuous targets, "none", is the control of "siamese": as many views, as much
computation. All decoders read the same trained networks.

A call trains what the folder lacks: ``--seeds 1``, then 2, then 3, are three calls that add a seed each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lddmmlib import metrics, training
from lddmmlib.data.augment import Crops
from lddmmlib.experiments import Experiment, _subpixel_claims, realism, yardstick
from lddmmlib.experiments._subpixel_claims import CORRECTED
from lddmmlib.experiments.measuring import with_interval
from lddmmlib.experiments.provenance import code_hashes
from lddmmlib.faces import synthetic
from lddmmlib.methods import subpixel
from lddmmlib.methods.subpixel import Corrected, Pair, both
from lddmmlib.networks import HRNetV2, StackedHourglass

SCHEME, SIGMA = yardstick.SCHEME, 2.0  # σ of the targets, cells
FEWEST = 8  # faces that tell a convention
WATCHED = 100  # held-out faces that the curves are of; nothing is chosen by them


def siamese(model: nn.Module, pair: Pair) -> Tensor:
    """Equation 6."""
    return subpixel.siamese_loss(model, pair, SCHEME.flip, SIGMA)


def soft(model: nn.Module, pair: Pair) -> Tensor:
    """Global soft-argmax."""
    return subpixel.soft_loss(model, both(pair))


def plain(model: nn.Module, pair: Pair, rounding: str = "none", sigma: float = SIGMA) -> Tensor:
    """Pixel-wise L2 on each view."""
    return subpixel.plain_loss(model, both(pair), sigma, rounding)


def correction(model: nn.Module, pair: Pair, dynamic: bool) -> Tensor:
    """Rounded targets, and what they lack."""
    return subpixel.correction_loss(model, both(pair), SIGMA, dynamic)


RUNS: dict[str, Callable[[nn.Module, Pair], Tensor]] = {
    "round": partial(plain, rounding="round"),
    "none": plain,
    "siamese": siamese,
    "static": partial(correction, dynamic=False),
    "dynamic": partial(correction, dynamic=True),
    "soft": soft,
    "sigma 1": partial(plain, sigma=1.0),
    "sigma 3": partial(plain, sigma=3.0),
}
DECODERS = {name: {"method": name} for name in ("argmax", "quarter", "taylor", "soft")}
DECODERS |= {f"window {d}": {"method": "local_soft", "window": d} for d in (3, 5, 7)}
TRAINED_SOFT = {"soft": {"method": "soft", "tau": 1.0}}  # as it was trained
Errors = dict[tuple[str, str], Tensor]  # (run, decoder) -> per cent of the corner distance, (seeds, images)


class Size(NamedTuple):
    """A scale: how many faces and how often, how large they are, and the network."""

    faces: int
    held_out: int
    epochs: int
    batch: int  # faces a step, two views each
    side: int  # px of a crop
    drawn: int  # px of the pictures that crops are cut from
    network: Callable[[], nn.Module]
    rate: float = 4e-3
    precision: str = "float32"
    workers: int = 0


def small(channels: int, depth: int) -> Callable[[], nn.Module]:
    """One hourglass of single blocks."""
    return partial(StackedHourglass, SCHEME.n, stacks=1, blocks=1, channels=channels, depth=depth)


SIZES = {
    "smoke": Size(8, 8, 2, 4, 64, 64, small(8, 2)),
    "notebook": Size(2000, 1000, 6, 16, 64, 96, small(64, 3)),
    # The paper's network, side and maps. Not its 50 epochs: the rate is higher and falls sooner.
    "full": Size(5000, 1000, 6, 32, 256, 320, partial(StackedHourglass, SCHEME.n, blocks=1), 1e-3, "bfloat16", 14),
}
HRNET = {"full": SIZES["full"]._replace(network=partial(HRNetV2, SCHEME.n))}


def kept(count: int, split: str, size: Size, folder: Path) -> list[tuple]:
    """Drawn faces in memory: image, landmarks, visible. Workers draw them into a pool first."""
    faces = synthetic.Faces(count, split, size.drawn, scheme=SCHEME.name, pool=folder / "pool")
    if size.workers:
        for _ in DataLoader(faces, None, num_workers=size.workers):
            pass
    return [tuple(faces[i])[:3] for i in range(count)]


def train(name: str, size: Size, data: dict[str, Any], seed: int, device: str, folder: Path) -> tuple[nn.Module, list]:
    """A network of the matrix, and its curves."""
    torch.manual_seed(seed)
    model = size.network()
    model = Corrected(model) if name in CORRECTED else model
    how = decoders(name).get("window 5", {"method": "soft", "tau": 1.0})

    def validate(model: nn.Module) -> dict[str, float]:
        predict = partial(subpixel.predict, **how)
        return {"nme": 100 * training.evaluate(model, predict, data["watched"], scheme=SCHEME.name).mean().item()}

    run = training.fit(model, RUNS[name], data["train"], folder=folder / f"{name} {seed}", epochs=size.epochs,
                       batch=size.batch, lr=size.rate, optimiser=torch.optim.Adam, precision=size.precision,
                       workers=size.workers, seed=seed, device=device, validate=validate)  # fmt: skip
    return model, run.rows


def decoders(name: str) -> dict[str, dict]:
    """How the maps of a run are read."""
    return {"corrected": {}} if name in CORRECTED else TRAINED_SOFT if name == "soft" else DECODERS


@torch.no_grad()
def read(model: nn.Module, ways: dict[str, dict], data: Any, device: str) -> tuple[dict[str, Tensor], Tensor]:
    """Decoder -> landmarks (k, 68, 2) of all crops, px, float64; and the truth."""
    found: dict[str, list[Tensor]] = {name: [] for name in ways}
    truth = []
    model.eval()
    for batch in DataLoader(data, 64):
        shown = batch._replace(image=batch.image.to(device))
        output = model(shown.image.float() / 255)  # once, for all decoders
        for name, how in ways.items():
            found[name].append(subpixel.decoded(output, shown.image.shape[-1], **how).cpu().double())
        truth.append(batch.landmarks.double())
    return {name: torch.cat(parts) for name, parts in found.items()}, torch.cat(truth)


def measured(sets: dict[str, Any], models: Callable[[str], list[nn.Module]], runs: list[str], device: str) -> dict:
    """Set -> (run, decoder) -> errors; of photographs and frames also less what the labels' convention explains."""
    errors: dict[str, Errors] = {name: {} for name in sets}
    for run in runs:
        seeds = models(run)
        for name, data in sets.items():
            ways = decoders(run)
            found = [read(model, ways, data, device) for model in seeds]
            for way in ways:
                errors[name][run, way] = torch.stack([nme(points[way], truth) for points, truth in found])
                if name != "held out":
                    apart = [nme(corrected(points[way], truth), truth) for points, truth in found]
                    errors.setdefault(f"{name}, corrected", {})[run, way] = torch.stack(apart)
    return errors


def corrected(pred: Tensor, truth: Tensor) -> Tensor:
    """As the yardstick does, but for faces that were missed: with eye corners, or the ends of the jaw, on one spot they
    have no frame."""
    stands, out = torch.ones(len(pred), dtype=torch.bool), pred.clone()
    for left, right in (SCHEME.corners, (yardstick.LEFT, yardstick.RIGHT)):
        found, true = ((x[:, right] - x[:, left]).norm(dim=-1) for x in (pred, truth))
        stands &= found > true / 4
    if stands.sum() >= FEWEST:
        out[stands] = yardstick.corrected(pred[stands], truth[stands])
    return out


def nme(pred: Tensor, truth: Tensor) -> Tensor:
    """Per cent of the corner distance (k,)."""
    return 100 * metrics.nme(pred, truth, "corners", SCHEME)


def label_noise(samples: list[yardstick.Sample]) -> dict:
    """How coarse labels are: of each face and axis the least step between two of them, px; the share of labels that are
    whole steps from the first one, within a tenth of a step; and what rounding to such a grid costs, % of the corners'
    distance. Only where that share is near 1 is there a grid.

    The mean distance to the corner of a unit square is (√2 + asinh 1)/3; half of it is lost by rounding.
    """
    points = torch.stack([torch.from_numpy(s.points).double() for s in samples])
    corners = metrics.reference_distance(points, "corners", SCHEME)
    along = points.sort(dim=1).values  # (k, 68, 2), each axis by itself
    gaps = along.diff(dim=1)
    step = gaps.where(gaps > 0.02, torch.inf).amin(1, keepdim=True)  # less is the file's last digit
    whole = (along - along[:, :1]) / step
    lost = (2**0.5 + torch.tensor(1.0).asinh().item()) / 6
    return {
        "step_px": step.mean().item(),
        "on_the_grid": ((whole - whole.round()).abs() < 0.1).double().mean().item(),
        "rounding_percent": (100 * lost * step.mean((1, 2)) / corners).mean().item(),
    }


def tables(
    sizes: dict[str, Size], runs: list[str], name: str, scale: str, device: str, seeds: int, folder: Path
) -> dict:
    """Train what is missing of the matrix, and read all of it."""
    size, folder = sizes[scale], folder / digest(name)
    real = {"photographs": yardstick.photographs(measuring=True), "frames": yardstick.frames()}
    faces = {part: kept(n, split, size, folder) for part, n, split in
             (("train", size.faces, "wild"), ("held out", size.held_out, "wild-val"))}  # fmt: skip
    cut = {part: Crops(some, SCHEME.name, size.side, subpixel.RECIPE) for part, some in faces.items()}
    held_out = [cut["held out"][i] for i in range(size.held_out)]  # all networks are shown the same crops
    data, curves = {"train": subpixel.Views(cut["train"]), "watched": held_out[:WATCHED]}, {}

    def models(run: str) -> list[nn.Module]:
        made = [train(run, size, data, seed, device, folder) for seed in range(seeds)]
        curves[run] = [{k: [row[k] for row in rows] for k in ("loss", "nme")} for _, rows in made]
        return [model for model, _ in made]

    sets = {"held out": held_out} | {k: realism.cut(v, size.side) for k, v in real.items()}
    errors = measured(sets, models, runs, device)
    means = {s: {f"{run}, {way}": with_interval(e.mean(0)) for (run, way), e in of.items()} for s, of in errors.items()}
    used = _subpixel_claims.used()
    return {
        **{k: getattr(size, k) for k in ("faces", "held_out", "epochs", "batch", "side", "rate", "precision")},
        "sigma": SIGMA,
        "network": {"cells": size.side // 4, "parameters": sum(p.numel() for p in size.network().parameters())},
        "curves": curves,
        "nme_percent": means,
        "labels": {k: label_noise(v) for k, v in real.items()},
        "errors": {f"{s}, {r}, {w}": e.tolist() for s in _subpixel_claims.KINDS.values()
                   for (r, w), e in errors[s].items() if (r, w) in used},
    }  # fmt: skip


def digest(name: str) -> str:
    """Of all code that the experiment reads: what other code has drawn or trained is not taken up."""
    return hashlib.sha256(json.dumps(code_hashes(EXPERIMENTS[name])).encode()).hexdigest()[:12]


def subpixel_tables(**sized: Any) -> dict:
    """With the paper's network, smaller where the scale is."""
    return tables(SIZES, list(RUNS), "subpixel", **sized)


def subpixel_tables_hrnet(**sized: Any) -> dict:
    """With HRNet-W18, all but the corrections."""
    return tables(HRNET, [run for run in RUNS if run not in CORRECTED], "subpixel_hrnet", **sized)


_READS = (*realism._READS, "lddmmlib.methods.subpixel", "lddmmlib.experiments.realism", "lddmmlib.networks.hourglass")
_READS += ("lddmmlib.experiments.measuring",)
_QUESTION = "What do continuous maps, local soft-argmax, its window, σ and Siamese consistency gain with {}?"
_DATA = (
    "drawn faces held out from training; 170 photographs annotated by hand (HELEN, 300-W convention); 357 video frames "
    "whose labels mostly lie on a grid of pixels and are a few pixels off, so that they tell little of parts of a pixel"
)
EXPERIMENTS = {
    "subpixel": Experiment(subpixel_tables, _QUESTION.format("an hourglass"), _DATA, _READS, ("C2", "C3", "C4"),
                           ("notebook", "full"), _subpixel_claims.judge),
    "subpixel_hrnet": Experiment(subpixel_tables_hrnet, _QUESTION.format("HRNet-W18"), _DATA, _READS,
                                 ("C2", "C3", "C4"), ("full",), _subpixel_claims.judge),
}  # fmt: skip
