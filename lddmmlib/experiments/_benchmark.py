"""An experiment on the benchmark itself: the official splits of a public data set, for whoever holds its images.

    python data_scripts/300w.py 300W --out benchmarks
    python -m lddmmlib.experiments run lddmm_face --data benchmarks --scale full --device cuda

The networks of an experiment's matrix, those that learn the scheme of the data set, are trained on its official
training split alone, in as many views, epochs and seeds as the scale asks for drawn faces. They are measured on each
official test split by the papers' normalisers (`PROTOCOLS`). Nothing is chosen by a test split: no error is watched
during the training. Crops are cut around the landmarks, 1.25 times their box, as HRNet's are.

The result is ``NAME.benchmark-DATA-SCALE``. So it never stands among those of drawn faces, and a run counts as recorded
only for the same code and the same data: landmarks and images enter its digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lddmmlib import metrics, training
from lddmmlib.data import crops, formats
from lddmmlib.data.augment import RECIPE, Crops, Photo, Photos
from lddmmlib.data.crops import Crop
from lddmmlib.data.given import Face
from lddmmlib.data.records import Record
from lddmmlib.experiments import Matrix, Run, Size, _drawn, _runs, lddmm_face, subpixel, wasserstein, yardstick
from lddmmlib.experiments._drawn import Marked, Views
from lddmmlib.faces import schemes
from lddmmlib.methods import few_labels
from lddmmlib.methods import subpixel as by_pairs

CLAIMS = ("lddmm_face", "subpixel", "wasserstein")
UNTOUCHED = (*yardstick.UNTOUCHED, *(f"lddmmlib.experiments._{name}_claims" for name in CLAIMS))
AT = {"FR": (8, 10), "AUC": (7, 10)}  # % of the normaliser: thresholds of failure, and of the area under the CED
EYES = ("corners", "pupils")


class Protocol(NamedTuple):
    """How a data set is measured on."""

    title: str
    scheme: str
    tests: Mapping[str, Sequence[str]]  # split, its own or that of another set -> normalisers, as in `metrics`
    boxed: bool = False  # whether "box" and "diagonal" are of the boxes that the data set gives, not of the landmarks


_WFLW = ("test", *(f"test_{k}" for k in ("largepose", "expression", "illumination", "makeup", "occlusion", "blur")))
_W300 = dict.fromkeys(("common", "challenge", "full"), EYES)
PROTOCOLS = {
    "300w": Protocol("300-W", "300w-68", _W300 | {"test": ("box",), "cofw68_test": ("corners", "box")}),
    "wflw": Protocol("WFLW", "wflw-98", dict.fromkeys(_WFLW, ("corners",))),
    "helen194": Protocol("HELEN", "helen-194", {"test": ("corners",)}),
    "cofw": Protocol("COFW", "cofw-29", {"test": EYES}),
    "aflw": Protocol("AFLW-19", "aflw-19", {"test": ("box", "diagonal"), "test_frontal": ("diagonal",)}, boxed=True),
}


class Benchmark(NamedTuple):
    """A data set as a script of data_scripts has written it."""

    name: str  # a key of `PROTOCOLS`
    files: Mapping[str, Path]  # "train" and the splits to measure on that are there
    faces: Mapping[str, int]
    fingerprint: str  # of all landmarks and images, wherever they lie

    @property
    def protocol(self) -> Protocol:
        """How it is measured on."""
        return PROTOCOLS[self.name]


class Measured(NamedTuple):
    """The canonical crops of a test split."""

    crops: list[Crop]
    lengths: dict[str, Tensor]  # normaliser -> (k,), px of the crop

    def marked(self, scheme: str) -> Marked:
        """The crops stacked."""
        points = torch.stack([crop.landmarks for crop in self.crops]).float()
        return Marked(torch.stack([crop.image for crop in self.crops]), {scheme: points})


class Taught(NamedTuple):
    """A network of a matrix, what it learns from, and how it is measured."""

    model: nn.Module
    loss: Callable
    data: Any
    rate: float
    measure: Callable[[Measured], dict[str, Tensor]]  # -> "what, way" -> errors by image, %


class Part(NamedTuple):
    """What a benchmark takes from an experiment."""

    sizes: Mapping[str, Any]
    learners: Mapping[str, Any] | None  # network -> what has a scheme; None: networks that learn any
    teach: Callable[..., Taught]
    judged: tuple[Mapping[str, str], str]  # data set -> the errors that claims are judged by; their name in the claims


# ------------------------------------------------------------------------------------------------------- the data


def found(folder: Path, name: str, experiment: Matrix, scale: str) -> dict[str, Matrix]:
    """The data sets in a folder that an experiment can be run on: the scale of its result -> a matrix for it.

    Raises:
        RuntimeError: no such folder or experiment, no data set that the experiment knows, a split that is not whole.
    """
    if name not in PARTS:
        raise RuntimeError(f"{name}: needed, with --data, one of {', '.join(PARTS)}; its faces are no benchmark's")
    known = [data for data, protocol in PROTOCOLS.items() if _sized(name, experiment, scale, protocol).networks]
    there = sorted(path.name for path in folder.glob("*.json"))
    if not (some := [data for data in known if f"{data}_train.json" in there]):
        needed = f"a folder with the splits of {' or '.join(known)}, which {name} is run on"
        got = (", ".join(there) or "no json in it") if folder.is_dir() else "no such folder"
        mend = f"python data_scripts/{known[0]}.py FOLDER --out {folder}"
        raise RuntimeError(f"--data {folder}: needed {needed}, got {got}; write it by {mend}")
    return {f"benchmark-{data}-{scale}": _matrix(name, experiment, scale, opened(folder, data)) for data in some}


def opened(folder: Path, name: str) -> Benchmark:
    """The official splits of a data set, all of them whole; those to measure on may lack, but not all."""
    files = {split: folder / f"{name}_{split}.json" for split in ("train", *PROTOCOLS[name].tests)}
    files |= {split: folder / f"{split}.json" for split in files if "_" in split and not files[split].exists()}
    files = {split: path for split, path in files.items() if path.exists()}
    if len(files) == 1:
        raise RuntimeError(f"--data {folder}: needed a split of {name} to measure on, got its training split alone")
    faces = {split: read(path) for split, path in files.items()}
    counts = {split: len(some) for split, some in faces.items()}
    return Benchmark(name=name, files=files, faces=counts, fingerprint=_fingerprint(faces.values()))


@lru_cache(16)
def read(path: Path) -> list[Record]:
    """The faces of a split that a script of data_scripts has found whole."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))["dataset"][0]
        name, whole, faces = f"{told['name']}_{told['split']}", told["whole"], told["faces"]
        records = formats.read(path)
    except (ValueError, LookupError, TypeError) as error:
        got = str(error).splitlines()[0] if isinstance(error, ValueError) else "another json"
        raise RuntimeError(f"{path}: needed a split that a script of data_scripts wrote, got {got}") from None
    needed, mend = "", "mend what the script of the data set names, and convert it again, without --partial"
    if name != path.stem:
        needed, got, mend = f"the split {path.stem}", name, "convert that data set"
    elif not whole or faces != len(records):
        needed, got = "a whole split, for a published figure is of one", f"{len(records):,} of {told['published']:,}"
    elif lost := [str(r.image) for r in records if not (r.image and r.image.is_file())]:
        needed, got = "the images where the script found them", f"none at {lost[0]}"
    if needed:
        raise RuntimeError(f"{path}: needed {needed}, got {got}; {mend}")
    return records


def _fingerprint(splits: Iterable[list[Record]]) -> str:
    """A hash of the landmarks and images of all faces."""
    image = lru_cache(None)(lambda path: hashlib.sha256(path.read_bytes()).digest())
    told = hashlib.sha256()
    for record in (record for some in splits for record in some):
        told.update(image(record.image) + record.landmarks.numpy().tobytes())
    return told.hexdigest()[:16]


def photos(path: Path, scheme: str, side: int) -> list[Photo]:
    """The photographs of a split, each cut to what crops of ``side`` px show of it."""
    out = []
    for photo in Photos(read(path)):
        square = few_labels.placed(crops.box(crops.complete(photo.landmarks, scheme)), (crops.MARGIN, 0.0, 0.0))
        face = Face(name="", image=photo.image, box=None, landmarks=photo.landmarks)
        out.append(few_labels.photo(face, square, side)._replace(box=None))
    return out


@lru_cache(2)
def views(path: Path, scheme: str, side: int, count: int, folder: Path) -> Marked:
    """Random views of each training face, the first views of all faces first; 0: the canonical crops. As drawn ones."""

    def draw() -> Marked:
        faces = Crops(photos(path, scheme, side), scheme, side, RECIPE)
        some = [faces.draw(i, np.random.default_rng([view, i]) if count else None)
                for view in range(max(count, 1)) for i in range(len(faces))]  # fmt: skip
        return Measured(some, {}).marked(scheme)

    return _drawn.kept(folder / f"{path.stem}-{side}-{count}.pt", draw)


@lru_cache(16)
def measured(path: Path, protocol: str, split: str, side: int) -> Measured:
    """A split to measure on, and the lengths that its errors are divided by."""
    of = PROTOCOLS[protocol]
    records, cut = read(path), [*Crops(photos(path, of.scheme, side), of.scheme, side)]
    points, moved = (torch.stack([face.landmarks for face in faces]).double() for faces in (records, cut))
    scale = torch.ones(())
    if of.boxed:
        scale = metrics.reference_distance(moved, "diagonal") / metrics.reference_distance(points, "diagonal")
        corner = torch.tensor([face.box for face in records]).double().view(-1, 2, 2)
        moved = torch.stack([corner[:, 0], corner.sum(1)], 1)  # the box as two points
    by = {name: scale * metrics.reference_distance(moved, name, of.scheme if name in EYES else None)
          for name in of.tests[split]}  # fmt: skip
    return Measured(cut, by)


# --------------------------------------------------------------------------------------------------- the networks


def _by(normaliser: str) -> str:
    return "" if normaliser == "corners" else f" by {normaliser}"


def _paper_a(network: str, size: Any, bench: Benchmark, folder: Path, device: str) -> Taught:
    learner, scheme = lddmm_face.LEARNERS[network], bench.protocol.scheme
    many, still = (views(bench.files["train"], scheme, size.side, count, folder) for count in (size.views, 0))
    means = {scheme: still.points[scheme].nanmean(0)}
    shared = lddmm_face.Prepared(train=many, means=means, still=still, sets={})
    model, loss = lddmm_face.build(learner, means, size)

    def measure(split: Measured) -> dict[str, Tensor]:
        data, out, what = split.marked(scheme), {}, f" {learner.learnt}"
        truth = data.points[scheme]
        for way, points in lddmm_face.answers(model, learner, learner.learnt, data, shared, device).items():
            if "corners" in split.lengths:
                out[f"{what} curve, {way}"] = 100 * metrics.nme_curve(points, truth, scheme, scheme).value
            for by, length in split.lengths.items() if way != "raw" else ():
                out[f"{what} landmark{_by(by)}, {way}"] = 100 * metrics.nme(points, truth, length)
        return out

    rate = size.share * lddmm_face.RATES[learner.method]
    return Taught(model=model, loss=loss, data=Views(many, scheme, learner.kept), rate=rate, measure=measure)


def _paper_c(network: str, size: Any, bench: Benchmark, folder: Path, device: str) -> Taught:
    of = schemes.get(bench.protocol.scheme)
    model = size.network.func(of.n, **size.network.keywords)
    model = by_pairs.Corrected(model) if network in subpixel.CORRECTED else model
    loss = subpixel.LOSSES[network]
    if network == "siamese":
        loss = partial(by_pairs.siamese_loss, flip=of.flip, sigma=subpixel.SIGMA)

    def measure(split: Measured) -> dict[str, Tensor]:
        found, truth = subpixel.read_all(model, subpixel.decoders(network), split.crops, device)
        return {f"{_by(by)}, {way}": 100 * metrics.nme(points, truth, length)
                for way, points in found.items() for by, length in split.lengths.items()}  # fmt: skip

    faces = Crops(_train_photos(bench.files["train"], of.name, size.side), of.name, size.side, by_pairs.RECIPE)
    return Taught(model=model, loss=loss, data=by_pairs.Views(faces), rate=size.rate, measure=measure)


_train_photos = lru_cache(1)(photos)


def _paper_e(network: str, size: Any, bench: Benchmark, folder: Path, device: str) -> Taught:
    learner, scheme = wasserstein.LEARNERS[network], bench.protocol.scheme
    model, loss = wasserstein.build(learner, size), partial(wasserstein.loss_of, learner=learner)
    parts = {str(len(learner.known)): learner.known}
    parts |= {"17": list(wasserstein.SEVENTEEN)} if scheme == "wflw-98" else {}  # table 11

    def measure(split: Measured) -> dict[str, Tensor]:
        data, out = split.marked(scheme), {}
        for way, points in wasserstein.predict(model, learner, data.image, device).items():
            for (label, some), (by, length) in ((p, n) for p in parts.items() for n in split.lengths.items()):
                each = 100 * metrics.errors(points[:, some], data.points[scheme][:, some], length)
                out[f" {label} NME{_by(by)}, {way}"] = each.nanmean(-1)
                for t in wasserstein.AT:
                    out[f" {label} FRL {t}{_by(by)}, {way}"] = 100 * (each > t).float().mean(-1)
        return out

    data = Views(views(bench.files["train"], scheme, size.side, size.views, folder), scheme)
    rate = size.share * wasserstein.RATES[learner.loss]
    return Taught(model=model, loss=loss, data=data, rate=rate, measure=measure)


FULL = {"300w": "full 68"}, "photographs 68"  # what papers A and E claim within a data set
TEST = {"300w": "test by box", "aflw": "test by box", "wflw": "test", "cofw": "test"}, "photographs"  # paper C's tables
PARTS = {
    "lddmm_face": Part(lddmm_face.SIZES, lddmm_face.LEARNERS, _paper_a, FULL),
    "subpixel": Part(subpixel.SIZES, None, _paper_c, TEST),
    "subpixel_hrnet": Part(subpixel.HRNET, None, _paper_c, TEST),
    "wasserstein": Part(wasserstein.SIZES, wasserstein.LEARNERS, _paper_e, FULL),
}


# ------------------------------------------------------------------------------------------------------ the matrix


def _sized(name: str, experiment: Matrix, scale: str, protocol: Protocol) -> Size:
    """The networks of a scale that learn the scheme of a data set, all of its landmarks or some; smoke: two of them."""
    learners, size = PARTS[name].learners, experiment.sizes["notebook" if scale == "smoke" else scale]

    def fits(network: str) -> bool:
        how = learners and learners[network]
        return how is None or (how.scheme == protocol.scheme and getattr(how, "source", "wild") == "wild")

    first, later = ([network for network in some if fits(network)] for some in (size.networks, size.later))
    if scale == "smoke":
        return Size(tuple([*first, *later][:2]), 1)
    return Size(tuple(first), size.seeds, {network: size.later[network] for network in later})


def _matrix(name: str, experiment: Matrix, scale: str, bench: Benchmark) -> Matrix:
    """The training matrix of an experiment on a data set, for one scale of networks and training."""
    part, size = PARTS[name], PARTS[name].sizes[scale]
    to_measure = ", ".join(f"{n:,} of {split}" for split, n in bench.faces.items() if split != "train")

    def judge(errors: Mapping[str, np.ndarray]) -> dict:
        (own, to), rows = part.judged, {}
        if (what := own.get(bench.name)) is not None:
            rows = experiment.judge({_renamed(key, what, to): value for key, value in errors.items()})
        return {claim: {"benchmark": kinds["real"]} for claim, kinds in rows.items() if kinds.get("real")}

    return Matrix(
        train=partial(_train, part, size, bench),
        tell=partial(_tell, size, bench),
        sizes={f"benchmark-{bench.name}-{scale}": _sized(name, experiment, scale, bench.protocol)},
        question=experiment.question,
        data=f"{bench.protocol.title}, official splits: {bench.faces['train']:,} faces to learn from; to measure on "
        f"{to_measure}; fingerprint {bench.fingerprint}",
        claims=experiment.claims,
        untouched=UNTOUCHED,
        judge=judge,
        given={f"data set {bench.name}": bench.fingerprint},
    )


def _renamed(key: str, what: str, to: str) -> str:
    """The name of errors by which claims know those on real data."""
    return to + key.removeprefix(what) if key.startswith((f"{what},", f"{what} ")) else f"other {key}"


def _train(
    part: Part, size: Any, bench: Benchmark, network: str, seed: int, scale: str, device: str, folder: Path
) -> Run:
    """Train a network on the training split, and measure it on all others."""
    torch.manual_seed(seed)
    taught = part.teach(network, size, bench, folder, device)
    run = training.fit(
        taught.model, taught.loss, taught.data, folder=folder / f"{network} {seed}", epochs=size.epochs,
        batch=size.batch, lr=taught.rate, optimiser=torch.optim.Adam, precision=size.precision,
        workers=getattr(size, "workers", 0), seed=seed, device=device,
    )  # fmt: skip
    errors = {f"{split}{what}": each for split, path in bench.files.items() if split != "train"
              for what, each in taught.measure(measured(path, bench.name, split, size.side)).items()}  # fmt: skip
    return Run(errors=errors, figures={"curves": {"loss": [row["loss"] for row in run.rows]}})


def _tell(size: Any, bench: Benchmark, runs: Mapping[str, list[Run]], scale: str) -> dict:
    """What was trained; of each network and split the error with its interval, and what tables show beside it."""
    table = _runs.averaged(runs)
    for name, each in _runs.stacked(runs).items():
        what, _, key = name.partition(", ")
        for title, function in (("FR", metrics.failure_rate), ("AUC", metrics.auc)) if "FRL" not in what else ():
            shares = {f"{title} {t}": [100 * function(torch.from_numpy(row), t).item() for row in each]
                      for t in AT[title]}  # fmt: skip
            table[what][key] |= {name: sum(some) / len(some) for name, some in shares.items()}
    apart = {"held_out", "drawn"}  # of drawn faces
    trained = {k: v for k, v in size._asdict().items() if isinstance(v, int | float | str) and k not in apart}
    return {"training": trained | {"faces": bench.faces["train"]}, "faces": dict(bench.faces),
            "curves": _runs.figures(runs, "curves"), "percent": table}  # fmt: skip
