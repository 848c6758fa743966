"""Paper D's claims on landmarkers trained here: photographs with labels, faces of another style without, and rivals.

All landmarkers of a seed start from one that was trained on drawn photographs. Each is then adapted to unlabelled faces
of a target style, in as many steps, with the same pairs of crops in the same order and the same rate of Adam; only the
loss differs. What a method leaves open (`CHOSEN`) are first values, not tuned yet: before runs are recorded, one of
three is to be chosen for each method alike, on drawn faces of `wild-val` that are shown to no network. Weights are
those after the last step: no label of a target chooses them.
Crops are cut by boxes that are moved and scaled at random, as a detector's would be.

Measured are drawn faces of all styles that are not trained on, video frames, and photographs; where the target is
"frames", other people's video frames are the unlabelled faces.

- "source": the start; "more source": the labels of photographs alone, for as many steps;
- "alternating": paper D's Algorithm 1, the warper and the landmarker in turn (`TURNS`);
- "joint": equation 3 at once; "self-training": without the warper; "released": the paper's code, whose warper has no
  gradient and whose landmarker learns no pseudo-label;
- "features", "output": adversaries; "Fourier": amplitudes; "translator": photographs painted by a small CycleGAN;
- "oracle": with the labels of the target.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lddmmlib import _checks, metrics, polyharmonic, training
from lddmmlib.data import formats
from lddmmlib.data.augment import RECIPE, Crops, Photo, Photos
from lddmmlib.data.crops import Crop
from lddmmlib.data.images import LUMA
from lddmmlib.experiments import Matrix, Run, Size, _conditional_warp_claims, _drawn, _real, _record, _runs
from lddmmlib.experiments._drawn import Marked
from lddmmlib.experiments.warp_accuracy import BETWEEN
from lddmmlib.faces import geometry, painters, synthetic
from lddmmlib.methods import conditional_warp as warping
from lddmmlib.methods import domain_adaptation as rivals
from lddmmlib.methods.conditional_warp import Alternation, JitteredBoxes, Pair, Pairs, TwoAdams
from lddmmlib.networks import HRNetV2, StackedHourglass
from lddmmlib.networks.slpt import SLPT, WEIGHTS

SCHEME = "300w-68"
SHOWN = ("painterly", "cartoon")  # targets; of the other styles no network sees a face
UNSEEN = ("line", "caricature", "halftone")
MILD = RECIPE._replace(turn=15.0, hidden=0.0, blurred=0.0, noise=0.0)  # of pairs: gradients of images are compared
INSIDE = 0.1  # of the crop's side on each side, that the warper leaves out: beyond the box of the landmarks
TURNS = 10  # in all: five of the warper and, after each, one of the landmarker, of equally many steps
CHOSEN = {"pooled": 1, "smoothing": 0.1, "warper": 0.1, "proximal": 1.0, "joint": 1.0, "features": 0.1, "output": 0.1,
          "Fourier": 0.05}  # fmt: skip
FLOWS = ("DIS", "Farneback")  # of OpenCV


class Learner(NamedTuple):
    """A landmarker of the matrix."""

    method: str
    target: str = "painterly"
    network: str = "slpt"
    view: str = "sobel"  # what the warper compares
    proximal: float | None = None  # None: as chosen


ADAPTED = ("alternating", "joint", "self-training", "features", "Fourier", "output", "oracle")
LEARNERS = {name: Learner(name) for name in ("source", "more source", *ADAPTED, "released", "translator")}
LEARNERS |= {view: Learner("alternating", view=view)
             for view in ("pixels", "perceptual", *_conditional_warp_claims.GRADIENTS)}  # fmt: skip
LEARNERS |= {f"proximal {weight}": Learner("alternating", proximal=weight) for weight in (0, 3)}
LEARNERS |= {f"{m} {target}": Learner(m, target) for target in ("cartoon", "frames") for m in ADAPTED}
LEARNERS |= {f"{m} {net}": Learner(m, network=net) for net in ("hourglass", "HRNet") for m in ("source", "alternating")}
FIRST = ("source", "alternating", "self-training", "more source", "features", "Fourier", "output", "joint", "pixels",
         "perceptual")  # fmt: skip
ONCE = tuple(name for name in LEARNERS if name not in (*FIRST, "oracle", "released"))


class Training(NamedTuple):
    """A scale: how many faces, how large, in how many steps, and the networks."""

    photos: int
    stylised: int
    held_out: int  # of each style
    real: int  # most photographs and most frames
    epochs: int  # of the start; passes over the photographs
    more: int  # epochs of what follows
    batch: int  # of the start; pairs are half as many
    side: int  # px of a crop
    drawn: int  # px of the pictures that crops are cut from
    slpt: tuple[int, int, int, int]  # channels, layers, heads, hidden channels
    hourglass: tuple[int, int, int]  # blocks, channels, depth
    width: int  # of HRNet; 18: the published networks
    rate: float = 2e-3
    later: float = 3e-4  # the rate of what follows
    precision: str = "float32"


SIZES = {
    "smoke": Training(2, 2, 2, 0, 1, 1, 2, 32, 64, (8, 1, 2, 8), (1, 8, 1), 4),
    "notebook": Training(1200, 300, 150, 357, 16, 2, 32, 64, 96, (16, 1, 4, 32), (1, 24, 3), 8),
    "workstation": Training(4000, 1000, 500, 357, 24, 4, 32, 96, 160, (64, 2, 4, 128), (1, 48, 3), 8),
    "full": Training(20000, 4000, 1000, 357, 30, 10, 32, 256, 320, (256, 6, 8, 1024), (3, 256, 4), 18, 1e-3, 1e-4,
                     "bfloat16"),
}  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- faces


@lru_cache(16)
def faces(style: str, split: str, first: int, count: int, drawn: int) -> list[Photo]:
    """Drawn faces of a style, or video frames; in memory."""
    if style == "frames":
        records = formats.read(_real.real_data() / "ytf68" / split, "pts")
        every = max(1, len(records) // count)
        photos = Photos(records[::every][:count])
        return [photos[i]._replace(box=None) for i in range(len(photos))]
    how = {"split": split, "size": drawn, "style": style, "scheme": SCHEME, "pool": _record.RUNS / "pool"}
    pool = synthetic.Faces(count=first + count, **how)
    each = (pool[first + i] for i in range(count))
    return [Photo(image=face.image, landmarks=face.landmarks, visible=face.visible, box=None) for face in each]


def cut(some: list[Photo], side: int, seed: int = 0) -> Crops:
    """Crops by boxes like a detector's."""
    return Crops(JitteredBoxes(some, seed=seed), SCHEME, side, MILD)


def pairs(learner: Learner, size: Training) -> Pairs:
    """Photographs, each with a face of the target, of other people."""
    where = ("train", 0) if learner.target == "frames" else ("wild", size.photos)
    shown = faces(learner.target, *where, size.stylised, size.drawn)
    photos = faces("photo", "wild", 0, size.photos, size.drawn)
    return Pairs(cut(photos, size.side), cut(shown, size.side, seed=1), labelled=learner.method == "oracle")


@lru_cache(1)
def measured(size: Training, folder: Path) -> dict[str, Marked]:
    """What is measured on; of photographs and painterly faces also places on the boundaries that are no controls."""
    sets = {}
    for style in ("photo", *SHOWN, *UNSEEN):
        path = folder / f"{style}-{size.held_out}.pt"
        sets[style] = _drawn.kept(path, partial(held_out, style, "wild-test", size))
    if size.real:
        several = {"frames": _real.video_frames(), "photographs": _real.photographs(measuring=True)}
        for name, samples in several.items():
            some = [Photo(torch.from_numpy(image.copy()).permute(2, 0, 1), torch.from_numpy(points),
                          torch.ones(len(points), dtype=torch.bool), None)
                    for image, points in samples[: size.real]]  # fmt: skip
            sets[name] = _marked(cut(some, size.side, seed=2))
    return sets


def held_out(style: str, split: str, size: Training) -> Marked:
    """Crops of the first faces of a split, in a style."""
    some = cut(faces(style, split, 0, size.held_out, size.drawn), size.side, seed=2)
    marked = _marked(some)
    if style not in ("photo", SHOWN[0]):
        return marked
    t, shape, places = torch.linspace(0, 1, 33).tolist(), painters.STYLES[style].shape, []
    for i in range(len(some)):
        sitting = synthetic.sitting(i, split)
        head = shape(sitting.framed(size.drawn), sitting.look)
        at = torch.cat([geometry.curve(head, name, t)[:, :2] for name in BETWEEN]).double()
        affine = some[i].affine
        places.append((at @ affine[:, :2].mT + affine[:, 2]).float())
    return marked._replace(points=marked.points | {"places": torch.stack(places)})


def _marked(some: Crops) -> Marked:
    each = [some[i] for i in range(len(some))]
    return Marked(torch.stack([x.image for x in each]), {SCHEME: torch.stack([x.landmarks for x in each]).float()})


# ------------------------------------------------------------------------------------------------------ landmarkers


def build(network: str, size: Training, mean: Tensor) -> nn.Module:
    """A landmarker: of coordinates, or of maps in a soft-argmax. The hourglass, a network of several stages and maps,
    stands in the place of the paper's SBR and STAR.
    """
    published = size.width == 18
    blocks, channels, depth = size.hourglass
    if network == "slpt":
        trunk = None if published else StackedHourglass(size.slpt[0], 1, blocks, channels, depth)
        return SLPT(mean, size.side, *size.slpt, trunk, dropout=0.1 if published else 0.0)
    if network == "hourglass":
        return warping.SoftArgmax(StackedHourglass(len(mean), 2 if published else 1, blocks, channels, depth))
    return warping.SoftArgmax(HRNetV2(len(mean)) if published else HRNetV2(len(mean), size.width, (1, 1, 1), 1))


def weights(network: str) -> tuple[float, ...] | None:
    """Of the stages, in the loss."""
    return WEIGHTS if network == "slpt" else None


def first_loss(model: nn.Module, batch: Crop, weights: tuple[float, ...] | None) -> Tensor:
    """The distance to the labels."""
    found = model(warping.network_input(batch.image))
    return warping.landmark_loss(found, batch.landmarks, batch.image.shape[-1], weights)


def source(network: str, seed: int, size: Training, folder: Path, device: str = "cpu") -> nn.Module:
    """The landmarker of drawn photographs that all others of a seed start from."""
    photos = cut(faces("photo", "wild", 0, size.photos, size.drawn), size.side)
    photos.how = RECIPE
    torch.manual_seed(seed)
    mean = torch.stack([photos[i].landmarks for i in range(min(200, len(photos)))]).mean(0).float()
    model = build(network, size, mean)
    training.fit(
        model, partial(first_loss, weights=weights(network)), photos, folder=folder / f"start {network} {seed}",
        epochs=size.epochs, batch=size.batch, lr=size.rate, optimiser=torch.optim.Adam, precision=size.precision,
        seed=seed, device=device, progress=False,
    )  # fmt: skip
    return model


def seen(images: Tensor, operator: str, gray: bool, pooled: int) -> Tensor:
    """The image gradient within the box of the landmarks, of means over squares of so many px a side."""
    images = F.avg_pool2d(images, pooled)
    edge = round(INSIDE * images.shape[-1])
    return warping.image_gradient(images, operator, gray)[..., edge:-edge, edge:-edge]


def view_of(name: str, model: nn.Module, pooled: int) -> Any:
    """What the warper compares; "perceptual": the features of the start."""
    if name == "perceptual":
        return warping.perceptual(copy.deepcopy(model.get_submodule("trunk")).eval().requires_grad_(False))
    return partial(seen, operator=name.split()[0], gray=not name.endswith("colour"), pooled=pooled)


def released_loss(model: Alternation, pair: Pair, weights: tuple[float, ...] | None) -> Tensor:
    """The paper's code: no gradient passes the warp, and the landmarker learns labels of photographs alone."""
    if model.warps:
        return 0 * warping.points_of(warping.outputs_of(model, pair)[1]).sum()
    return warping.alternating_loss(model, pair, weight=0.0, weights=weights)


def adapted(learner: Learner, model: nn.Module, chosen: Mapping[str, float], steps: int, fit: Any) -> nn.Module:
    """Adapt the start by a method in so many steps; `fit`: (model, loss, optimiser, name) trains."""
    method, adam, of, turn = learner.method, torch.optim.Adam, weights(learner.network), max(1, steps // TURNS)
    how = {"view": view_of(learner.view, model, int(chosen["pooled"])), "smoothing": chosen["smoothing"], "weights": of}
    if method in ("alternating", "self-training", "released"):
        turns = Alternation(model, (turn, turn) if method != "self-training" else (0, 2 * turn))
        proximal = chosen["proximal"] if learner.proximal is None else learner.proximal
        loss = partial(warping.alternating_loss, weight=float(proximal), **how)
        loss = partial(released_loss, weights=of) if method == "released" else loss
        return fit(turns, loss, partial(TwoAdams, model=turns, warper=chosen["warper"]))
    if method in ("features", "output"):
        n, at = 2 * len(model.mean), None
        if method == "features":
            n, at = model.token.in_channels, "trunk"
        loss = partial(rivals.adversarial_loss, weight=chosen[method], weights=of)
        return fit(rivals.Adversary(model, n, at), loss, adam)
    if method == "translator":
        translator = fit(rivals.Translator(), rivals.translation_loss, adam, "translation").eval()
        return fit(model, partial(rivals.translated_loss, translator=translator, weights=of), adam)
    loss = {
        "joint": partial(warping.joint_loss, weight=chosen["joint"], **how),
        "Fourier": partial(rivals.fourier_loss, share=chosen["Fourier"], weights=of),
        "more source": partial(rivals.source_loss, weights=of),
        "oracle": partial(rivals.oracle_loss, weights=of),
    }[method]
    return fit(model, loss, adam)


# ------------------------------------------------------------------------------------------------------ measurement


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, device: str = "cpu") -> Tensor:
    """Landmarks (k, 68, 2), px."""
    model.eval()
    return torch.cat([warping.points_of(model(x.to(device).float() / 255)).cpu() for x in images.split(64)])


def errors_of(model: nn.Module, sets: Mapping[str, Marked], device: str = "cpu") -> dict[str, Tensor]:
    """Set -> NME of each face, % of the corners' distance; and the means over styles that were not shown."""
    found = {name: predict(model, data.image, device).double() for name, data in sets.items()}
    errors = {name: 100 * metrics.nme(x, sets[name].points[SCHEME].double(), "corners", SCHEME)
              for name, x in found.items()}  # fmt: skip
    return errors | {"unseen": torch.stack([errors[style] for style in UNSEEN]).mean(0)}


def warp_errors(found: Tensor, photo: Marked, stylised: Marked) -> dict[str, Tensor]:
    """Warp the photograph of the next person onto each stylised face: how far off are places of the boundaries?

    Args:
        found: landmarks of the stylised faces, as predicted.
        photo: the photographs.
        stylised: the stylised faces.

    Returns:
        "spline", "spline at the truth", each of `FLOWS`, and "none", where nothing moves -> the mean distance of the
        places, % of the distance of the photograph's eye corners.
    """
    cv2 = _checks.optional("cv2")

    nxt = torch.arange(len(found)).roll(-1)
    labels, truth, at = photo.points[SCHEME][nxt], photo.points["places"][nxt], stylised.points["places"]
    moved = {"none": at.double()}
    for name, points in (("spline", found), ("spline at the truth", stylised.points[SCHEME])):
        spline = polyharmonic.fit(points.double(), labels.double() - points.double(), 2)
        moved[name] = at + polyharmonic.evaluate(spline, at.double())
    gray = [(x.permute(0, 2, 3, 1).numpy() @ np.float32(LUMA)).round().astype(np.uint8)
            for x in (stylised.image, photo.image[nxt])]  # fmt: skip
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    ways = {"DIS": lambda a, b: dis.calc(a, b, None),
            "Farneback": lambda a, b: cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 4, 15, 5, 7, 1.5, 0)}  # fmt: skip
    for name in FLOWS:
        flow = torch.from_numpy(np.stack([ways[name](a, b) for a, b in zip(*gray, strict=True)]))
        grid = (2 * at[:, None] + 1) / flow.shape[2] - 1
        step = F.grid_sample(flow.permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=False)
        moved[name] = at + step[:, :, 0].mT
    length = metrics.reference_distance(labels.double(), "corners", SCHEME)
    return {name: 100 * (x - truth).norm(dim=-1).mean(-1) / length for name, x in moved.items()}


# ------------------------------------------------------------------------------------------------------- the matrix


def train(network: str, seed: int, scale: str, device: str, folder: Path) -> Run:
    """Adapt a landmarker of the matrix, and measure it on all sets."""
    size, learner = SIZES[scale], LEARNERS[network]
    model, rows = source(learner.network, seed, size, folder, device), []
    if learner.method != "source":
        data = pairs(learner, size)

        def fit(model: nn.Module, loss: Any, optimiser: Any, part: str = "") -> nn.Module:
            done = training.fit(
                model, loss, data, folder=folder / f"{network} {seed}" / part, epochs=size.more,
                batch=size.batch // 2, lr=size.later, optimiser=optimiser, precision=size.precision, clip=5.0,
                seed=seed, device=device, progress=False,
            )  # fmt: skip
            rows.extend(row["loss"] for row in done.rows)
            return model

        torch.manual_seed(seed)
        model = adapted(learner, model, CHOSEN, steps_of(size), fit)
    sets = measured(size, folder)
    errors = errors_of(model, sets, device)
    if network in (_conditional_warp_claims.OURS, "source"):
        style = SHOWN[0]
        off = warp_errors(predict(model, sets[style].image, device), sets["photo"], sets[style])
        errors |= {f"warp {style}, {way}": each for way, each in off.items()}
    return Run(errors=errors, figures={"loss": rows})


def steps_of(size: Training) -> int:
    """Steps of an adaptation."""
    return size.more * (size.photos // (size.batch // 2))


def tell(runs: Mapping[str, list[Run]], scale: str) -> dict:
    """What was trained, the error of each, and what each gains on its start, over seeds that both have."""
    size = SIZES[scale]
    gains: dict[str, dict[str, float]] = {}
    for name, some in runs.items():
        start = runs.get("source" if LEARNERS[name].network == "slpt" else f"source {LEARNERS[name].network}", [])
        both = list(zip(some, start, strict=False))
        if both and LEARNERS[name].method != "source":
            gains[name] = {what: float(np.mean([(b.errors[what] - a.errors[what]).mean() for a, b in both]))
                           for what in some[0].errors if "," not in what}  # fmt: skip
    return {
        **size._asdict(),
        "steps": {"start": size.epochs * (size.photos // size.batch), "more": steps_of(size)},
        "chosen": CHOSEN | {"turns": TURNS},
        "seeds_of": {name: len(some) for name, some in runs.items()},
        "loss": _runs.figures(runs, "loss"),
        "nme_percent": _runs.averaged(runs),
        "gain_on_source": gains,
    }


def _sizes() -> dict[str, Size]:
    later = {scale: {"oracle": n, "released": n} | dict.fromkeys(ONCE, 1 if scale == "notebook" else 3)
             for scale, n in (("notebook", 3), ("workstation", 3), ("full", 3))}  # fmt: skip
    seeds = {"notebook": 3, "workstation": 5, "full": 3}
    sizes = {scale: Size(FIRST, n, later[scale]) for scale, n in seeds.items()}
    return {"smoke": Size(("source", "alternating", "translator"), 1)} | sizes


EXPERIMENTS = {
    "conditional_warp": Matrix(
        train=train,
        tell=tell,
        judge=_conditional_warp_claims.judge,
        sizes=_sizes(),
        question="Does warping photographs onto faces of another style teach a landmarker that style without labels?",
        data=(
            "drawn faces in six styles, held out from training; 170 photographs annotated by hand with 68 points, and "
            "357 video frames of people who are in no other frame"
        ),
        claims=("D1", "D2", "D3", "D4", "D5", "D6", "D7"),
        untouched=("lddmmlib.experiments._conditional_warp_claims",),
    )
}
