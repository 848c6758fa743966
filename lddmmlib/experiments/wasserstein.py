"""Paper E's claims on networks trained here: losses, widths of the targets and decoders, whole factorial.

Every network sees the same crops in as many steps. σ is a share of the map, 1/64 or 3/64, as 1 and 3 are of the paper's
64 cells; where that is less than a cell, a Gaussian between four cells has a low peak, so targets of the L2 loss are
scaled to one sum (`scaled_l2`). "W" is the paper's loss alone, "recipe" cross-entropy with transport, "CE" the same
without it. Both decoders read the same trained networks. They are measured on held-out drawn faces, photographs and
video frames, as they are and behind ellipses or blurred by motion, of the sizes of `faces.perturb`; the paper gives
none. The direction of a blur is random: frames here come one by one, so that no nose has moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lddmmlib import heatmaps, metrics, training
from lddmmlib._shapes import Float
from lddmmlib.data.crops import Crop
from lddmmlib.experiments import Matrix, Run, _drawn, _runs, _wasserstein_claims, lddmm_face, yardstick
from lddmmlib.experiments._drawn import Marked, Views
from lddmmlib.faces import perturb, schemes
from lddmmlib.methods import heatmap_regression, wasserstein
from lddmmlib.methods.heatmap_regression import heatmaps_of, squared_error, target
from lddmmlib.networks import HRNetV2, StackedHourglass, with_coordinates
from lddmmlib.networks.cpn import CPN
from lddmmlib.networks.simple_baselines import SimpleBaselines

SCHEMES = lddmm_face.SCHEMES
EPS, WEIGHT = 4.0, 0.1  # ε, 64ths of the map; the weight of transport in the recipe
RATES = {"L2": 1e-2, "W": 1e-2, "JS": 1e-2, "soft": 1e-2, "recipe": 1e-2, "CE": 1e-2}  # Adam's, of each loss
WATCHED = 100  # held-out faces that the curves are of; nothing is chosen by them
AT = (8, 10, 15, 20)  # % of the corners' distance, the thresholds of failures
CED = tuple(range(1, 31))  # % of it, where the landmark-wise distribution of errors is kept
# WFLW's landmarks that stand for 300-W's 68, and of these the 17 that AFLW has, but for its pupils.
SIXTY_EIGHT = (*range(0, 33, 2), *range(33, 38), *range(42, 47), *range(51, 62), *range(63, 66), *range(67, 70),
               *range(71, 74), *range(75, 96))  # fmt: skip
SEVENTEEN = (16, 33, 35, 37, 42, 44, 46, 54, 55, 59, 60, 64, 68, 72, 76, 79, 82)


class Learner(NamedTuple):
    """What a network of the matrix is taught, and how."""

    loss: str  # a key of `RATES`
    share: int = 1  # σ, 64ths of the map
    network: str = "hourglass"
    learnt: str = "68"  # a key of `SCHEMES`
    kept: tuple[int, ...] | None = None  # of that scheme; None: all
    source: str = "wild"
    coords: bool = False  # CoordConv

    @property
    def scheme(self) -> str:
        """The name of its scheme."""
        return SCHEMES[self.learnt]

    @property
    def known(self) -> list[int]:
        """The landmarks that it predicts."""
        return list(range(schemes.get(self.scheme).n) if self.kept is None else self.kept)


def _both(more: str, **how: object) -> dict[str, Learner]:
    """The two networks that the paper's tables compare, taught in another way."""
    return {f"L2 1{more}": Learner("L2", 1, **how), f"W 3{more}": Learner("W", 3, **how)}


LEARNERS = {f"{loss} {share}": Learner(loss, share) for share in (1, 3) for loss in ("L2", "W", "JS", "recipe", "CE")}
LEARNERS |= {"soft": Learner("soft")} | {f"W {s} coords": Learner("W", s, coords=True) for s in (1, 3)}
LEARNERS |= _both(" studio", source="studio") | _both(" studio 29", source="studio", learnt="29")
for kind in _wasserstein_claims.NETWORKS:
    LEARNERS |= _both(f" {kind}", network=kind)
for few, kept in zip(_wasserstein_claims.DENSE, (SEVENTEEN, SIXTY_EIGHT, None), strict=True):
    LEARNERS |= _both(f" {few}", learnt="98", kept=kept)
FIRST = ("L2 1", "W 3", "L2 3", "W 1")  # E1, E2, E4
LATER = ("recipe 3", "CE 3", "JS 1", "soft", "L2 1 studio", "W 3 studio", *_both(" CPN"), *_both(" SimpleBaselines"),
         *_both(" HRNet"), *_both(" 17"), *_both(" 98"), *_both(" 68 of 98"), "W 1 coords", "W 3 coords", "JS 3",
         "recipe 1", *_both(" studio 29"))  # fmt: skip


class Training(NamedTuple):
    """A scale: how many faces, in how many views and epochs, how large they are, and the networks."""

    faces: int
    views: int
    held_out: int
    epochs: int
    batch: int
    side: int  # px of a crop
    drawn: int  # px of the pictures that crops are cut from
    hourglass: tuple[int, int, int, int]  # stacks, blocks, channels, depth
    blocks: tuple[int, int, int, int]  # of the ResNets of CPN and SimpleBaselines
    width: int  # of the ResNets; HRNet has this or 18, whichever is less
    share: float = 1.0  # of `RATES`
    precision: str = "float32"


SIZES = {
    "smoke": Training(8, 1, 8, 1, 4, 64, 64, (1, 1, 8, 2), (1, 1, 1, 1), 4),
    "notebook": Training(2000, 4, 500, 6, 16, 64, 96, (1, 1, 24, 3), (1, 1, 1, 1), 8),
    "workstation": Training(8000, 4, 1000, 6, 16, 128, 160, (1, 1, 64, 4), (1, 1, 1, 1), 16),
    "full": Training(8000, 6, 1000, 12, 64, 256, 320, (2, 1, 256, 4), (3, 4, 6, 3), 64, 0.25, "bfloat16"),
}


def build(learner: Learner, size: Training) -> nn.Module:
    """The network."""
    n, published = len(learner.known), size.width == 64
    channels = 256 if published else 4 * size.width
    if learner.network == "hourglass":
        net: nn.Module = StackedHourglass(n, *size.hourglass)
    elif learner.network == "HRNet":
        net = HRNetV2(n) if published else HRNetV2(n, size.width, (1, 1, 1), 1)
    else:
        kind = {"CPN": CPN, "SimpleBaselines": SimpleBaselines}[learner.network]
        net = kind(n, size.blocks, size.width, channels)
    return with_coordinates(net) if learner.coords else net


def cells(side: int) -> float:
    """Cells in a 64th of the map of a crop of that side; maps have a stride of 4 px."""
    return side / 4 / 64


def loss_of(model: nn.Module, batch: Crop, learner: Learner, eps: float = EPS, weight: float = WEIGHT) -> Tensor:
    """The loss of a network of the matrix, on the landmarks that it is taught."""
    parts = {name: getattr(batch, name)[:, learner.known] for name in ("landmarks", "visible", "inside")}
    few = batch._replace(**parts)
    sigma, eps = (share * cells(batch.image.shape[-1]) for share in (learner.share, eps))
    if learner.loss == "L2":
        return scaled_l2(model, few, sigma)
    if learner.loss == "W":
        return wasserstein.wasserstein_loss(model, few, sigma, eps)
    if learner.loss == "recipe":
        return wasserstein.recipe_loss(model, few, sigma, weight)
    if learner.loss == "soft":
        return heatmap_regression.soft_argmax_loss(model, few)
    of = {"JS": wasserstein.jensen_shannon_loss, "CE": heatmap_regression.cross_entropy_loss}
    return of[learner.loss](model, few, sigma)


def scaled_l2(model: nn.Module, batch: Crop, sigma: float) -> Tensor:
    """Pixel-wise L2 with targets of one sum: that of a Gaussian of height 1 in the middle of a cell."""
    size = 2 * int(4 * sigma + 1) + 1
    middle = heatmaps.encode(batch.landmarks.new_full((1, 2), size // 2), (size, size), sigma).sum()
    value = 0.0
    for maps in heatmaps_of(model, batch.image):
        h = target(batch.landmarks, maps, batch.image, sigma)
        total = h.sum((-2, -1), keepdim=True)
        on = (total > wasserstein.FAINT) & batch.inside[..., None, None]
        value = value + squared_error(maps, h * torch.where(on, middle / torch.where(on, total, 1.0), 0.0))
    return value


@lru_cache(1)
def measured(size: Training, folder: Path) -> dict[str, Marked]:
    """Held-out drawn faces, photographs and frames; each also behind ellipses, and blurred."""
    sets = {"held out": drawn(size, folder, "wild-test", size.held_out)} | lddmm_face.real(size.side)
    return sets | {f"{name} {level} {how}": perturbed(data, level, how)
                   for name, data in sets.items() for how in ("ellipse", "blur") for level in perturb.BLUR}  # fmt: skip


def drawn(size: Training, folder: Path, split: str, count: int, views: int = 0) -> Marked:
    """Crops of drawn faces, or those that another run has drawn."""
    path = folder / f"{split}-{count - 1}-{count}-{views}.pt"
    names = tuple(SCHEMES.values())
    return _drawn.kept(path, lambda: _drawn.faces(range(count), split, names, size.drawn, size.side, views))


def perturbed(data: Marked, level: str, how: str) -> Marked:
    """The same faces behind black ellipses, or blurred along random directions."""
    generator, points = torch.Generator().manual_seed(0), data.points["300w-68"]
    if how == "ellipse":
        return data._replace(image=perturb.ellipse(data.image, points, level, generator).image)
    angle = 2 * torch.pi * torch.rand(len(points), generator=generator)
    way = torch.stack([angle.cos(), angle.sin()], -1)
    return data._replace(image=perturb.motion_blur(data.image, points, way, level))


@torch.no_grad()
def predict(model: nn.Module, learner: Learner, images: Tensor, device: str) -> dict[str, Float[Tensor, "k n 2"]]:
    """Decoder -> landmarks of the scheme, px, NaN where it predicts none."""
    found = {way: torch.full((len(images), schemes.get(learner.scheme).n, 2), torch.nan) for way in ("max", "bc")}
    by = "sum" if learner.loss == "L2" else "softmax"
    model.eval()
    for at, part in zip(torch.arange(len(images)).split(64), images.split(64), strict=True):
        x = part.to(device).float() / 255
        output = model(x)
        for way, points in found.items():
            points[at[:, None], learner.known] = wasserstein.landmarks(output, x, f"get_{way}", by).cpu()
    return found


def asked(learner: Learner, data: Marked) -> dict[str, tuple[list[int], Tensor, Tensor]]:
    """Which landmarks are measured: name -> their indices, the truth (k, m, 2), and the corners' distance (k,)."""
    scheme, many = learner.scheme, data.points["300w-68"]
    length = metrics.reference_distance(many, "corners", "300w-68")
    if scheme == "300w-68":
        return {"68": (learner.known, many, length)}
    pairs = schemes.shared(scheme, "300w-68")
    if learner.kept is None and scheme == "wflw-98":
        some = {"52": ([i for i, _ in pairs], many[:, [j for _, j in pairs]], length)}
    else:
        some = {}
    if scheme in data.points:  # drawn faces
        points = data.points[scheme]
        fewer = list(SEVENTEEN) if scheme == "wflw-98" else [i for i, _ in schemes.shared(scheme, "aflw-19")]
        some[str(len(fewer))] = (fewer, points[:, fewer], length)
    return some


def errors_of(
    model: nn.Module, network: str, sets: Mapping[str, Marked], device: str
) -> tuple[dict[str, Tensor], dict[str, dict]]:
    """ "Set, what" -> errors by image, of all that claims compare; and of all else the means and the distribution."""
    learner, errors, told = LEARNERS[network], {}, {}
    for name, data in sets.items():
        wanted = asked(learner, data)
        found = predict(model, learner, data.image, device) if wanted else {}
        for label, (some, truth, length) in wanted.items():
            for way, points in found.items():
                each = 100 * metrics.errors(points[:, some], truth, length)
                nme = each.mean(-1)
                by_image = {"NME": nme} | {f"FRL {t}": 100 * (each > t).float().mean(-1) for t in AT}
                means = {measure: value.mean().item() for measure, value in by_image.items()}
                means |= {f"FR {t}": 100 * (nme > t).float().mean().item() for t in AT[:2]}
                told[f"{name} {label}, {way}"] = means | {"CED": (100 * metrics.ced(each, CED)).tolist()}
                errors |= {f"{name} {label} {measure}, {way}": value for measure, value in by_image.items()
                           if (f"{name} {label} {measure}", network, way) in _wasserstein_claims.used()}  # fmt: skip
    return errors, told


def train(sizes: dict[str, Training], network: str, seed: int, scale: str, device: str, folder: Path) -> Run:
    """Train a network of the matrix, and measure it on all sets."""
    size, learner = sizes[scale], LEARNERS[network]
    sets = measured(size, folder)
    views = drawn(size, folder, learner.source, size.faces, size.views)
    torch.manual_seed(seed)
    model = build(learner, size)
    watched = sets["held out"].image[:WATCHED]
    some, truth, length = next(iter(asked(learner, sets["held out"]).values()))
    way = "max" if learner.loss == "L2" else "bc"

    def validate(model: nn.Module) -> dict[str, float]:
        points = predict(model, learner, watched, device)[way][:, some]
        return {"nme": 100 * metrics.nme(points, truth[:WATCHED], length[:WATCHED]).mean().item()}

    run = training.fit(
        model, partial(loss_of, learner=learner), Views(views, learner.scheme), folder=folder / f"{network} {seed}",
        epochs=size.epochs, batch=size.batch, lr=size.share * RATES[learner.loss], optimiser=torch.optim.Adam,
        precision=size.precision, seed=seed, device=device, validate=validate,
    )  # fmt: skip
    errors, told = errors_of(model, network, sets, device)
    curves = {name: [row[name] for row in run.rows] for name in ("loss", "nme")}
    return Run(errors=errors, figures={"curves": curves, "measured": told})


def tell(sizes: dict[str, Training], runs: Mapping[str, list[Run]], scale: str) -> dict:
    """What was trained, its curves, what was measured of each network, and what the paper leaves open."""
    size = sizes[scale]
    return {
        **{key: getattr(size, key) for key in ("faces", "views", "held_out", "epochs", "batch", "side")},
        "steps": size.epochs * (size.faces * size.views // size.batch),
        "chosen": {"eps_cells": EPS * cells(size.side), "weight": WEIGHT,
                   "rates": {loss: size.share * rate for loss, rate in RATES.items()},
                   "sigma_cells": [share * cells(size.side) for share in (1, 3)],
                   "ellipse_share_of_face": perturb.ELLIPSE, "blur_share_of_face": perturb.BLUR},
        "parameters": {name: sum(p.numel() for p in build(Learner("L2", network=name), size).parameters())
                       for name in ("hourglass", *_wasserstein_claims.NETWORKS)},
        "curves": _runs.figures(runs, "curves"),
        "compared": _runs.averaged(runs),
        "measured": {network: _mean([run.figures["measured"] for run in some]) for network, some in runs.items()},
        "ced_at": CED,
    }  # fmt: skip


def _mean(told: list) -> object:
    """The mean over seeds of numbers in equal lists and dicts."""
    if isinstance(told[0], dict):
        return {key: _mean([each[key] for each in told]) for key in told[0]}
    return torch.tensor(told, dtype=torch.float64).mean(0).tolist()


def matrix(sizes: dict[str, Training]) -> Matrix:
    """The experiment."""
    return Matrix(
        train=partial(train, sizes),
        tell=partial(tell, sizes),
        judge=_wasserstein_claims.judge,
        sizes=_runs.scales(("W 3", "L2 1 98"), FIRST, LATER),
        question="Does a loss of transport make landmarks more robust than the pixel-wise one, and which of its parts?",
        data=(
            "drawn faces held out from training, 170 photographs annotated by hand with 68 points, and 357 video "
            "frames; as they are, behind ellipses and blurred"
        ),
        claims=("E1", "E2", "E3", "E4", "E5", "E6", "E7"),
        untouched=(
            *yardstick.UNTOUCHED,
            *(f"lddmmlib.experiments._{name}_claims" for name in ("wasserstein", "lddmm_face")),
        ),
    )


EXPERIMENTS = {"wasserstein": matrix(SIZES)}
