"""Paper C's tables on networks trained here: encoders, decoders, learned corrections, Siamese consistency, windows, σ.

Every network of the training matrix `LOSSES` sees the same two views of each face in each step; only its loss differs.
So the network trained plainly on continuous targets, "none", is the control of "siamese": as many views, as much
computation. All decoders read the same trained networks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lddmmlib import metrics, training
from lddmmlib.data.augment import Crops
from lddmmlib.data.crops import Crop
from lddmmlib.experiments import Matrix, Run, Size, _real, _runs, _subpixel_claims, realism, yardstick
from lddmmlib.experiments._subpixel_claims import CORRECTED
from lddmmlib.faces import synthetic
from lddmmlib.methods import subpixel
from lddmmlib.methods.heatmap_regression import l2_loss, landmarks_from, network_input, soft_argmax_loss
from lddmmlib.methods.subpixel import Corrected, Pair, both
from lddmmlib.networks import HRNetV2, StackedHourglass

SCHEME, SIGMA = yardstick.SCHEME, 2.0  # σ of the targets, cells
REAL = {"photographs": lambda: _real.photographs(measuring=True), "frames": lambda: _real.video_frames()}
FEWEST = 8  # faces that tell a convention
WATCHED = 100  # held-out faces that the curves are of; nothing is chosen by them


def siamese(model: nn.Module, pair: Pair) -> Tensor:
    """Equation 6."""
    return subpixel.siamese_loss(model, pair, SCHEME.flip, SIGMA)


def soft(model: nn.Module, pair: Pair) -> Tensor:
    """Global soft-argmax."""
    return soft_argmax_loss(model, both(pair))


def plain(model: nn.Module, pair: Pair, rounding: str = "none", sigma: float = SIGMA) -> Tensor:
    """Pixel-wise L2 on each view."""
    return l2_loss(model, both(pair), sigma, rounding)


def correction(model: nn.Module, pair: Pair, dynamic: bool) -> Tensor:
    """Rounded targets, and what they lack."""
    return subpixel.correction_loss(model, both(pair), SIGMA, dynamic)


LOSSES: dict[str, Callable[[nn.Module, Pair], Tensor]] = {
    "round": partial(plain, rounding="round"),
    "none": plain,
    "siamese": siamese,
    "static": partial(correction, dynamic=False),
    "dynamic": partial(correction, dynamic=True),
    "soft": soft,
    "sigma 1": partial(plain, sigma=1.0),
    "sigma 3": partial(plain, sigma=3.0),
}
Decoder = Callable[[Any, Tensor], Tensor]  # what a network says of images, and the images -> landmarks, px
_WHOLE = ("argmax", "quarter", "taylor", "soft")
DECODERS: dict[str, Decoder] = {name: partial(landmarks_from, method=name) for name in _WHOLE}
DECODERS |= {f"window {d}": partial(landmarks_from, method="local_soft", window=d) for d in (3, 5, 7)}
TRAINED_SOFT = {"soft": partial(landmarks_from, method="soft", tau=1.0)}  # as it was trained
WATCHED_BY = "window 5"  # what the curves are read by, where the network has it


class Training(NamedTuple):
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
    "smoke": Training(faces=8, held_out=8, epochs=2, batch=4, side=64, drawn=64, network=small(8, 2)),
    "notebook": Training(faces=2000, held_out=1000, epochs=6, batch=16, side=64, drawn=96, network=small(64, 3)),
    "workstation": Training(faces=4000, held_out=1000, epochs=10, batch=16, side=64, drawn=96, network=small(64, 3)),
    # The paper's network, side and maps. Not its 50 epochs: the rate is higher and falls sooner.
    "full": Training(faces=5000, held_out=1000, epochs=6, batch=32, side=256, drawn=320,
                     network=partial(StackedHourglass, SCHEME.n, blocks=1), rate=1e-3,
                     precision="bfloat16", workers=14),
}  # fmt: skip
HRNET = {"full": SIZES["full"]._replace(network=partial(HRNetV2, SCHEME.n))}


def draw_faces(count: int, split: str, size: Training, folder: Path) -> list[tuple]:
    """Drawn faces in memory: image, landmarks, visible. Workers draw them into a pool first."""
    faces = synthetic.Faces(count, split, size.drawn, scheme=SCHEME.name, pool=folder / "pool")
    if size.workers:
        for _ in DataLoader(faces, None, num_workers=size.workers):
            pass
    return [tuple(faces[i])[:3] for i in range(count)]


def decoders(name: str) -> dict[str, Decoder]:
    """How the maps of a run are read."""
    if name in CORRECTED:
        return {"corrected": subpixel.corrected_landmarks}
    return TRAINED_SOFT if name == "soft" else DECODERS


@torch.no_grad()
def read_all(model: nn.Module, ways: dict[str, Decoder], data: Any, device: str) -> tuple[dict[str, Tensor], Tensor]:
    """Decoder -> landmarks (k, 68, 2) of all crops, px, float64; and the truth."""
    found: dict[str, list[Tensor]] = {name: [] for name in ways}
    truth = []
    model.eval()
    for batch in DataLoader(data, 64):
        shown = batch._replace(image=batch.image.to(device))
        output = model(network_input(shown.image))  # once, for all decoders
        for name, decoded in ways.items():
            found[name].append(decoded(output, shown.image).cpu().double())
        truth.append(batch.landmarks.double())
    return {name: torch.cat(parts) for name, parts in found.items()}, torch.cat(truth)


def errors_of(
    model: nn.Module, network: str, sets: dict[str, Any], device: str
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """ "Set, decoder" -> errors by face, of all that a claim compares; and the means of the rest.

    Of photographs and frames also less what the labels' convention explains.
    """
    errors, means = {}, {}
    for name, data in sets.items():
        points, truth = read_all(model, decoders(network), data, device)
        for way, pred in points.items():
            found = {name: nme(pred, truth)}
            if name != "held out":
                found[f"{name}, corrected"] = nme(corrected(pred, truth), truth)
            for kind, each in found.items():
                if kind in _subpixel_claims.KINDS.values() and (network, way) in _subpixel_claims.used():
                    errors[f"{kind}, {way}"] = each
                else:
                    means[f"{kind}, {way}"] = each.mean().item()
    return errors, means


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


def label_noise(samples: list[_real.Sample]) -> dict:
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


@lru_cache(1)
def prepared(size: Training, folder: Path) -> tuple[subpixel.Views, dict[str, Any]]:
    """Views to train on, and the crops of each set that is measured on: the same for all networks."""
    real = {name: of() for name, of in REAL.items()}
    faces = {part: draw_faces(n, split, size, folder) for part, n, split in
             (("train", size.faces, "wild"), ("held out", size.held_out, "wild-val"))}  # fmt: skip
    crops = {part: Crops(some, SCHEME.name, size.side, subpixel.RECIPE) for part, some in faces.items()}
    sets = {"held out": [crops["held out"][i] for i in range(size.held_out)]}
    return subpixel.Views(crops["train"]), sets | {k: realism.crop_all(v, size.side) for k, v in real.items()}


def train(sizes: dict[str, Training], network: str, seed: int, scale: str, device: str, folder: Path) -> Run:
    """Train a network of the matrix, and read all sets by all its decoders."""
    size = sizes[scale]
    views, sets = prepared(size, folder)
    torch.manual_seed(seed)
    model = size.network()
    model = Corrected(model) if network in CORRECTED else model
    ways = decoders(network)
    decoded = ways.get(WATCHED_BY) or next(iter(ways.values()))

    def predict(model: nn.Module, batch: Crop) -> Tensor:
        return decoded(model(network_input(batch.image)), batch.image)

    def validate(model: nn.Module) -> dict[str, float]:
        watched = sets["held out"][:WATCHED]
        return {"nme": 100 * training.evaluate(model, predict, watched, scheme=SCHEME.name).mean().item()}

    run = training.fit(model, LOSSES[network], views, folder=folder / f"{network} {seed}", epochs=size.epochs,
                       batch=size.batch, lr=size.rate, optimiser=torch.optim.Adam, precision=size.precision,
                       workers=size.workers, seed=seed, device=device, validate=validate)  # fmt: skip
    errors, means = errors_of(model, network, sets, device)
    curves = {name: [row[name] for row in run.rows] for name in ("loss", "nme")}
    labels = {name: label_noise(of()) for name, of in REAL.items()}
    return Run(errors=errors, figures={"curves": curves, "mean_percent": means, "labels": labels})


def tell(sizes: dict[str, Training], runs: Mapping[str, list[Run]], scale: str) -> dict:
    """What was trained, its curves, and the error of each network by each decoder, averaged over seeds."""
    size = sizes[scale]
    return {
        **{k: getattr(size, k) for k in ("faces", "held_out", "epochs", "batch", "side", "rate", "precision")},
        "sigma": SIGMA,
        "network": {"cells": size.side // 4, "parameters": sum(p.numel() for p in size.network().parameters())},
        "curves": _runs.figures(runs, "curves"),
        "nme_percent": _runs.averaged(runs),
        "mean_percent": _runs.figures(runs, "mean_percent"),
        "labels": next(iter(runs.values()))[0].figures["labels"],
    }


_QUESTION = "What do continuous maps, local soft-argmax, its window, σ and Siamese consistency gain with {}?"
_DATA = (
    "drawn faces held out from training; 170 photographs annotated by hand (HELEN, 300-W convention); 357 video frames "
    "whose labels mostly lie on a grid of pixels and are a few pixels off, so that they tell little of parts of a pixel"
)


def matrix(sizes: dict[str, Training], network: str, networks: Collection[str], seeds: dict[str, int]) -> Matrix:
    """The experiment with one kind of network."""
    return Matrix(
        train=partial(train, sizes),
        tell=partial(tell, sizes),
        judge=_subpixel_claims.judge,
        sizes={scale: Size(tuple(networks), seeds.get(scale, 3)) for scale in sizes},
        question=_QUESTION.format(network),
        data=_DATA,
        claims=("C2", "C3", "C4"),
        untouched=(*yardstick.UNTOUCHED, "lddmmlib.experiments._subpixel_claims"),
    )


EXPERIMENTS = {
    "subpixel": matrix(SIZES, "an hourglass", LOSSES, {"workstation": 5}),
    "subpixel_hrnet": matrix(HRNET, "HRNet-W18", [run for run in LOSSES if run not in CORRECTED], {}),
}
