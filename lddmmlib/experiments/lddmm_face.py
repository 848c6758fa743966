"""Paper A's claims on networks trained here: partial to full, across annotations, under occlusion, without crossings.

Every network of the matrix is the same hourglass and sees the same crops in as many steps. A *flow* network predicts
momenta, a *coordinates* network of the same head predicts offsets from the mean face, and a *heat* network maps. Each
learns one annotation scheme, or a subset of it; the crops are marked in all of them, so the truth of what it was not
taught is known. What other methods predict is completed in the ways of `_completions`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lddmmlib import metrics, training
from lddmmlib._shapes import Float
from lddmmlib.data import crops
from lddmmlib.experiments import Matrix, Run, _completions, _drawn, _lddmm_face_claims, _real, _runs, yardstick
from lddmmlib.experiments._drawn import Marked, Views
from lddmmlib.faces import curve_sets, schemes
from lddmmlib.methods import heatmap_regression, lddmm_face
from lddmmlib.methods.lddmm_face import Deformation, LDDMMFace
from lddmmlib.networks import StackedHourglass
from lddmmlib.networks.momenta import HourglassMomenta

SCHEMES = {"68": "300w-68", "98": "wflw-98", "194": "helen-194", "29": "cofw-29"}
ACROSS = {"68": ("98", "194", "29"), "98": ("68",), "194": ("68",), "29": ("68",)}  # learnt -> asked for
SIGMA = 1.0  # σ of the heatmaps' targets, cells
# The learning rate of each method, of three tried by `lddmm_face_rates` on faces that nothing else reads: the best, or
# within what one training in so few steps tells apart.
RATES = {"flow": 2e-3, "coordinates": 4e-3, "heat": 1e-2}
BETA = 0.1 * 112  # β of a face 1 px a side: paper A has 0.1 where a crop has 112
WATCHED = 100  # held-out faces that the curves are of; nothing is chosen by them
DENSE = 40  # points on each curve of a boundary that is tested for crossings


class Learner(NamedTuple):
    """What a network of the matrix is taught, and how."""

    method: str  # "flow", "coordinates" or "heat"
    learnt: str  # a key of `SCHEMES`
    kept: tuple[int, ...] | None = None  # of that scheme; None: all

    @property
    def scheme(self) -> str:
        """The name of its scheme."""
        return SCHEMES[self.learnt]

    @property
    def known(self) -> list[int]:
        """The landmarks that it predicts."""
        return list(range(schemes.get(self.scheme).n) if self.kept is None else self.kept)


SUBSETS = {"46 of 68": curve_sets.RELEASED_SUBSETS["300w-68", 46]}
SUBSETS |= {"half of 68": curve_sets.fraction("300w-68", 1 / 2), "third of 68": curve_sets.fraction("300w-68", 1 / 3)}
LEARNERS = {f"{m} {k}": Learner(m, k) for m in ("flow", "heat") for k in SCHEMES}
LEARNERS |= {"coordinates 68": Learner("coordinates", "68")}
LEARNERS |= {f"{m} {s}": Learner(m, "68", kept) for m in ("flow", "heat", "coordinates") for s, kept in SUBSETS.items()}
FIRST = ("flow 46 of 68", "heat 46 of 68", "flow 68", "heat 68", "flow 194", "heat 194", "flow 98", "heat 98")
LATER = ("coordinates 46 of 68", "coordinates 68", "flow 29", "heat 29", "flow third of 68", "heat third of 68",
         "flow half of 68", "heat half of 68", "coordinates third of 68")  # fmt: skip


class Training(NamedTuple):
    """A scale: how many faces, in how many views and epochs, how large they are, and the network."""

    faces: int
    views: int
    held_out: int
    epochs: int
    batch: int
    side: int  # px of a crop
    drawn: int  # px of the pictures that crops are cut from
    network: tuple[int, int, int, int]  # the hourglass: stacks, blocks, channels, depth
    hidden: int  # channels of the head of momenta
    cells: int = 4  # a side of the grid that the head reads; 1: the mean over the image, as published
    share: float = 1.0  # of `RATES`
    precision: str = "float32"


SIZES = {
    "smoke": Training(8, 1, 8, 2, 4, 64, 64, (1, 1, 8, 3), 16),
    "notebook": Training(2000, 4, 500, 4, 32, 64, 96, (1, 1, 24, 3), 64),
    "workstation": Training(8000, 4, 1000, 12, 32, 64, 96, (1, 1, 64, 3), 128),
    "full": Training(8000, 6, 1000, 12, 64, 256, 320, (2, 1, 256, 4), 2048, 1, 0.25, "bfloat16"),
}


class Prepared(NamedTuple):
    """What all runs of a scale share."""

    train: Marked
    means: dict[str, Float[Tensor, "n 2"]]  # scheme -> the mean face of the training faces, px of a crop
    still: Marked  # the training faces as canonical crops: both annotations of the same faces, for H
    sets: dict[str, Marked]  # what is measured on


@lru_cache(1)
def prepared(size: Training, folder: Path) -> Prepared:
    """Draw all crops, or read what another run has drawn."""
    names = tuple(SCHEMES.values())

    def draw(split: str, indices: Sequence[int], views: int = 0) -> Marked:
        path = folder / f"{split}-{indices[-1]}-{len(indices)}-{views}.pt"
        return _drawn.kept(path, lambda: _drawn.faces(indices, split, names, size.drawn, size.side, views))

    still = draw("wild", range(size.faces))
    sets = {"held out": draw("wild-test", range(size.held_out))}
    hidden = _drawn.flagged(2 * size.held_out, "wild-test", size.drawn, "occlusion")
    sets |= {"occluded": draw("wild-test", hidden or [0])} | real(size.side)
    means = {name: points.mean(0) for name, points in still.points.items()}
    return Prepared(draw("wild", range(size.faces), size.views), means, still, sets)


def real(side: int) -> dict[str, Marked]:
    """The photographs with 68 and with 29 points, cut by the 68, and the video frames."""
    few = _real.annotated_twice()[1]
    order = np.random.default_rng(0).permutation(len(few))
    several = {"photographs": (_real.photographs(measuring=True), few[sorted(order[80:])])}
    several |= {"frames": (_real.video_frames(), None)}
    out = {}
    for name, (samples, others) in several.items():
        images, points = [], {name: [] for name in ("300w-68", "cofw-29")[: 1 if others is None else 2]}
        for i, (image, landmarks) in enumerate(samples):
            at = torch.from_numpy(landmarks)
            pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)
            crop = crops.crop(pixels, at, torch.ones(len(at), dtype=torch.bool), side)
            images.append(crop.image)
            for scheme, x in zip(points, (at, None if others is None else others[i]), strict=False):
                points[scheme].append(crops.apply(crop.affine, x).float())
        out[name] = Marked(torch.stack(images), {scheme: torch.stack(x) for scheme, x in points.items()})
    return out


def build(learner: Learner, means: Mapping[str, Tensor], size: Training) -> tuple[nn.Module, Callable]:
    """The network and its loss."""
    k = len(learner.known)
    net = StackedHourglass(k, *size.network)
    if learner.method == "heat":
        return net, partial(heat_loss, kept=learner.known)
    preset = "released" if learner.method == "flow" else "coordinates"
    layer = Deformation(means[learner.scheme], learner.scheme, learner.kept, preset)
    loss: Callable = partial(lddmm_face.train_loss, beta=BETA / size.side)
    return LDDMMFace(HourglassMomenta(net, len(layer.controls), size.hidden, size.cells), layer), loss


def heat_loss(model: nn.Module, batch: crops.Crop, kept: Sequence[int], pixelwise: bool = False) -> Tensor:
    """Cross-entropy of the maps of the landmarks that are learnt; or paper C's pixel-wise loss.

    In so few steps so small a network learns little by the latter: `lddmm_face_rates` tells how little.
    """
    few = batch._replace(**{name: getattr(batch, name)[:, list(kept)] for name in ("landmarks", "visible", "inside")})
    loss = heatmap_regression.l2_loss if pixelwise else heatmap_regression.cross_entropy_loss
    return loss(model, few, SIGMA)


@torch.no_grad()
def predict(model: nn.Module, learner: Learner, images: Tensor, device: str) -> Tensor:
    """The landmarks of its scheme, px, (k, n, 2), NaN where it predicts none; float32."""
    found = torch.full((len(images), schemes.get(learner.scheme).n, 2), torch.nan)
    model.eval()
    for at, part in zip(torch.arange(len(images)).split(64), images.split(64), strict=True):
        x = part.to(device).float() / 255
        if learner.method == "heat":
            found[at[:, None], learner.known] = heatmap_regression.landmarks_from(model(x), x, "soft", tau=1.0).cpu()
        else:
            found[at[:, None], learner.known] = model(x)[:, learner.known].float().cpu()  # pupils ride along
    return found


@torch.no_grad()
def flowed(model: LDDMMFace, to: str, mean: Tensor, images: Tensor, device: str, register: str = "affine") -> Tensor:
    """The landmarks of any scheme, carried by the flows that a network predicts."""
    model.eval()
    riders = model.layer.riders(to, mean.to(device), register)
    return torch.cat([model.predict(part.to(device).float() / 255, riders).cpu() for part in images.split(64)])


def answers(
    model: nn.Module, learner: Learner, asked: str, data: Marked, shared: Prepared, device: str
) -> dict[str, Tensor]:
    """Way -> the landmarks that were asked for, (k, m, 2) px; "raw": those of its own scheme, as they are predicted."""
    target, pred, mean = SCHEMES[asked], predict(model, learner, data.image, device), shared.means
    if asked == learner.learnt and learner.kept is None:
        return {"own": pred}
    few = pred[:, learner.known]
    place = _completions.interpolation(
        mean[learner.scheme], schemes.get(learner.scheme), learner.known, mean[target], schemes.get(target)
    )
    H = _completions.sparse(shared.still.points[learner.scheme], learner.known, shared.still.points[target])
    out = {
        "raw": pred,
        "interpolated": place[:, learner.known] @ few,
        "completed": H[:, learner.known] @ few,
        "moved mean": _completions.moved_mean(few, mean[learner.scheme][learner.known], mean[target]),
    }
    if learner.method == "flow":
        out["flow"] = flowed(model, target, mean[target], data.image, device)
        if asked != learner.learnt:
            out["flow, matched"] = flowed(model, target, mean[target], data.image, device, "match")
    return out


def errors_of(
    model: nn.Module, network: str, shared: Prepared, device: str
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """ "Set, what, way" -> errors by face, % of the corner distance: those that claims compare; and all means."""
    learner, errors, means = LEARNERS[network], {}, {}
    asked = (learner.learnt, *(ACROSS[learner.learnt] if learner.kept is None else ()))
    for name, data in shared.sets.items():
        for scheme in (a for a in asked if SCHEMES[a] in data.points):
            truth = data.points[SCHEMES[scheme]]
            for way, points in answers(model, learner, scheme, data, shared, device).items():
                given = learner.scheme if way == "raw" else SCHEMES[scheme]
                found = {"curve": metrics.nme_curve(points, truth, given, SCHEMES[scheme]).value}
                if way != "raw":
                    found["landmark"] = metrics.nme(points, truth, "corners", SCHEMES[scheme])
                for measure, each in found.items():
                    what, how = f"{name} {scheme} {measure}", way.replace(",", "")
                    means[f"{what}, {how}"] = 100 * each.mean().item()
                    if (what, network, how) in _lddmm_face_claims.used():
                        errors[f"{what}, {how}"] = 100 * each
    return errors, means


@torch.no_grad()
def crossings(model: LDDMMFace, images: Tensor, device: str) -> dict[str, Tensor]:
    """How the boundary lies, drawn densely, in the released two steps and in steps that a certificate asks for.

    "within": a curve crosses itself; "between": two curves cross that do not cross in the mean face. 0 or 1 of a face.
    """
    layer, out = model.layer, {}
    places = [(name, k / (DENSE - 1)) for name in curve_sets.get(layer.scheme) for k in range(DENSE)]
    riders = layer.riders(places)
    in_mean = _drawn.crossing(riders.points.unflatten(0, (-1, DENSE)))
    for preset in ("released", "certified"):
        other = Deformation(layer.mean, layer.scheme, preset=preset).to(device)
        parts = []
        for part in images.split(16):
            momenta = model.network(part.to(device).float() / 255)
            parts.append(_drawn.crossing(other.carry(momenta, riders).unflatten(1, (-1, DENSE))).cpu())
        met = torch.cat(parts)
        itself = met.diagonal(dim1=-2, dim2=-1)
        others = met & ~in_mean.cpu() & ~torch.eye(met.shape[-1], dtype=torch.bool)
        out |= {f"within, {preset}": itself.any(-1).float(), f"between, {preset}": others.flatten(1).any(-1).float()}
    return out


def train(sizes: dict[str, Training], network: str, seed: int, scale: str, device: str, folder: Path) -> Run:
    """Train a network of the matrix, and ask it for all that claims compare."""
    size, learner = sizes[scale], LEARNERS[network]
    shared = prepared(size, folder)
    torch.manual_seed(seed)
    model, loss = build(learner, shared.means, size)
    watched = Views(Marked(*[x[:WATCHED] if isinstance(x, Tensor) else {k: v[:WATCHED] for k, v in x.items()}
                             for x in shared.sets["held out"]]), learner.scheme, learner.kept)  # fmt: skip

    def validate(model: nn.Module) -> dict[str, float]:
        found = predict(model, learner, watched.images, device)
        return {"nme": 100 * metrics.nme(found, watched.points, "corners", learner.scheme).mean().item()}

    views = Views(shared.train, learner.scheme, learner.kept)
    run = training.fit(
        model, loss, views, folder=folder / f"{network} {seed}", epochs=size.epochs, batch=size.batch,
        lr=size.share * RATES[learner.method], optimiser=torch.optim.Adam, precision=size.precision, seed=seed,
        device=device, validate=validate,
    )  # fmt: skip
    errors, means = errors_of(model, network, shared, device)
    if network == "flow 68":
        crossed = crossings(model, shared.sets["held out"].image, device)
        errors |= {f"crossed {name}": each for name, each in crossed.items()}
    curves = {name: [row[name] for row in run.rows] for name in ("loss", "nme")}
    return Run(errors=errors, figures={"curves": curves, "mean_percent": means})


def tell(sizes: dict[str, Training], runs: Mapping[str, list[Run]], scale: str) -> dict:
    """What was trained, its curves, and the error of each network in each way, averaged over seeds."""
    size = sizes[scale]
    parameters = {m: sum(p.numel() for p in build(LEARNERS[f"{m} 68"], _means(), size)[0].parameters())
                  for m in ("flow", "heat", "coordinates")}  # fmt: skip
    return {
        **{key: getattr(size, key) for key in ("faces", "views", "held_out", "epochs", "batch", "side")},
        "rates": {method: size.share * rate for method, rate in RATES.items()},
        "network": {"stacks_blocks_channels_depth": size.network, "parameters": parameters},
        "curves": _runs.figures(runs, "curves"),
        "nme_percent": _runs.averaged(runs),
        "mean_percent": _runs.figures(runs, "mean_percent"),
    }


def _means() -> dict[str, Tensor]:
    """Some mean face of each scheme, where its shape alone is needed."""
    return {name: torch.rand(schemes.get(name).n, 2) for name in SCHEMES.values()}


def matrix(sizes: dict[str, Training]) -> Matrix:
    """The experiment with the hourglass."""
    return Matrix(
        train=partial(train, sizes),
        tell=partial(tell, sizes),
        judge=_lddmm_face_claims.judge,
        sizes=_runs.scales(("flow 46 of 68", "heat 194"), FIRST, LATER),
        question="Does a flow of the mean face give landmarks that it was not taught better than its rivals do?",
        data=(
            "drawn faces held out from training, marked in four schemes; 170 photographs annotated by hand twice, with "
            "68 and with 29 points; 357 video frames"
        ),
        claims=("A1", "A2", "A4", "A5", "A6", "A7"),
        untouched=(*yardstick.UNTOUCHED, "lddmmlib.experiments._lddmm_face_claims"),
    )


EXPERIMENTS = {"lddmm_face": matrix(SIZES)}
