"""Landmarks of your own on your own photographs, from a few labelled faces and in minutes; or the trained landmarker
that comes with the package.

    marker = Landmarker.pretrained()                    # 68 landmarks, trained on drawn faces alone
    marker.predict("portrait.jpg")                      # no box: the whole picture is taken for the face
    mine = Landmarker(names=["left eye", ...])          # own landmarks; names, mirror pairs, curves are optional
    mine.fit(images, points, minutes=5)                 # points (k, n, 2), px; NaN where not labelled
    mine.evaluate(more_images, more_points)
    mine.save("mine.safetensors"); Landmarker.load("mine.safetensors"); mine.export("mine.onnx")

**The network** is the one that comes with the package, `networks.pretrained`: its trunk, and a head in which each own
landmark starts from that of the 68 whose predictions lie nearest to the labels. All but the stem is trained on, by
cross-entropy of maps, and maps are decoded by paper C's mean in a window. Two other methods move the mean shape of the
labels instead (`methods.few_shapes`): "coordinates" by an offset for each landmark, "lddmm" by paper A's flow along the
curves of the scheme, told or guessed.

**Boxes.** A face lies in a box (x, y, w, h), px; without boxes, the whole picture is the box. `fit` measures where the
square that the network needs lies, relative to the boxes, and `predict` cuts the same square. So any kind of box will
do, a detector's too, as long as it is the same in both. A detector is a function of an image as OpenCV has it::

    detect = lambda image: cv2.FaceDetectorYN.create("yunet.onnx", "", image.shape[1::-1]).detect(image)[1]
    marker.predict(images, boxes=detect)

**Spread.** The standard deviation of a landmark's map tells how sure the network is. `fit` holds out every fifth face,
and scales it such that four fifths of the errors on these are below it. Where no maps are drawn it is the mean error of
each landmark on these, scaled alike: the same for every face of a size, so that it doubts none.

`python -m lddmmlib.landmarker predict DIR --out found.json --sheet found.png` marks the faces of a folder.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lddmmlib import _checks, metrics, training
from lddmmlib._checks import need
from lddmmlib.data import contact_sheet, crops, given, images
from lddmmlib.data.augment import RECIPE, Crops
from lddmmlib.data.coco_writer import write_coco
from lddmmlib.data.crops import Box
from lddmmlib.data.given import Face
from lddmmlib.data.records import Record
from lddmmlib.faces import curve_sets, geometry, own, schemes, statistics, synthetic
from lddmmlib.faces.schemes import Scheme
from lddmmlib.methods import few_labels, few_shapes
from lddmmlib.methods.completed_training import by_deviations
from lddmmlib.methods.heatmap_regression import network_input
from lddmmlib.networks import shipped

METHODS, STARTS = ("heatmap", "coordinates", "lddmm"), ("shipped", "scratch")
FEWEST, HELD_OUT = 10, 5  # faces to learn from; every fifth is held out
LEVEL = 0.8  # of the errors lie within the spread
SHARE = 0.88  # of the time goes into steps; the rest estimates statistics and measures
TEACHERS = 100  # drawn faces that tell one scheme from another
SURE = 1.13  # times the widest maps of held-out faces are not usual any more
# Of the landmarker that comes with the package, as 80 photographs tell it: the factor of the spread, and the widest
# usual maps, a fraction of the crop's side.
SHIPPED = (0.415, 0.116)


class Prediction(NamedTuple):
    """The landmarks of k faces.

    >>> face = synthetic.sample(21, "studio", size=96)
    >>> found = Landmarker.pretrained().predict(face.image, boxes=[crops.box(face.landmarks)])
    >>> found.landmarks.shape, found.spread.shape, found.scheme.name
    (torch.Size([1, 68, 2]), torch.Size([1, 68]), '300w-68')
    """

    landmarks: Tensor  #: (k, n, 2), px of each picture, float64; NaN of a picture in which a detector found no face
    spread: Tensor  #: (k, n), px: four fifths of the errors are below it; NaN of landmarks of another scheme
    boxes: list[Box | None]  #: the box of each face
    scheme: Scheme
    how: str  #: the network's own landmarks, or the way to those of another scheme
    seconds: float


class Evaluation(NamedTuple):
    """Errors on labelled faces, fractions of the normaliser; NaN of a face whose normaliser is not labelled.

    >>> Evaluation(nme=torch.tensor([0.05]), mean_shape=torch.tensor([0.11]), coverage=0.8, ranking=0.5).coverage
    0.8
    """

    nme: Tensor  #: (k,), of each face
    mean_shape: Tensor  #: (k,), of the mean shape in the same square
    coverage: float  #: share of the labelled landmarks whose error is at most their spread
    ranking: float  #: rank correlation of a face's mean spread and its error, -1 to 1


class Landmarker:
    """A landmarker of photographs: trained by `fit`, or `pretrained`, or read by `load`.

    Args:
        method: "heatmap"; "coordinates", offsets from the mean shape; "lddmm", a flow of the mean shape (paper A).
        scheme: the scheme of the landmarks, or its name; instead of the following four.
        names: a name for each landmark; None: numbers.
        flip: landmark i of the mirror image is landmark flip[i]; None: guessed from the labels, and printed.
        curves: from the name of a curve to its landmarks in order; None: guessed likewise.
        corners: the outer corners of the left and the right eye; None: guessed likewise.
        start: "shipped", the trunk that comes with the package; "scratch": the same network untrained, to compare.

    Attributes: `scheme`; `net`, from crops to maps; `size`, px of a crop; `figures`, what `fit` measured.

    >>> Landmarker(names=["left eye", "right eye", "chin"]).scheme.n
    3
    >>> Landmarker("lddmm", names=["left eye", "right eye", "chin"], curves={"eyes": [0, 1]}).scheme.curves["eyes"]
    (0, 1)
    """

    def __init__(
        self, method: str = "heatmap", scheme: str | Scheme | None = None, names: Sequence[str] | None = None,
        flip: Sequence[int] | None = None, curves: Mapping[str, Sequence[int]] | None = None,
        corners: Sequence[int] | None = None, start: str = "shipped",
    ) -> None:  # fmt: skip
        _checks.one_of(method, "method", METHODS)
        _checks.one_of(start, "start", STARTS)
        told = {"flip": flip, "curves": curves, "corners": corners}
        both = scheme is not None and (names is not None or any(value is not None for value in told.values()))
        need(not both, "scheme", "it, or names, flip, curves and corners", "both", "a scheme says all of these")
        if scheme is not None:
            of = schemes.get(scheme)
            told = {"flip": of.flip, "curves": of.curves or None, "corners": of.corners}
        self.method, self.start, self._told, self._names, self.figures = method, start, told, names, {}
        self.net: nn.Module | None = None
        self.scheme = of if scheme is not None else None if names is None else self._own(len(names))
        if method == "lddmm" and self.scheme:
            curve_sets.get(self.scheme)  # refuses landmarks that no curve carries

    def _own(self, n: int, **guessed: Any) -> Scheme:
        """The scheme of n own landmarks; what the user told takes the place of guesses."""
        old = self.scheme if getattr(self, "scheme", None) else None
        names = old.names if old else self._names or [f"{i}" for i in range(n)]
        told = guessed | {key: value for key, value in self._told.items() if value is not None}
        if (flip := told.pop("flip", None)) is not None:
            right = sorted(flip) == list(range(n)) and all(flip[j] == i for i, j in enumerate(flip))
            need(right, "flip", f"each of {n} landmarks once, in pairs", _checks.said(list(flip)))
            told["mirrored"] = [(i, j) for i, j in enumerate(flip) if i < j]
        return schemes.custom(old.name if old else f"own-{n}", names, closed=old.closed if old else (), **told)

    # ---------------------------------------------------------------------------------- trained before, kept

    @classmethod
    def pretrained(cls) -> Landmarker:
        """The landmarker that comes with the package: 68 landmarks, trained on drawn faces alone (`networks.shipped`).

        Its boxes are those of the landmarks: from the brows to the chin, from ear to ear.

        >>> Landmarker.pretrained().scheme.name
        '300w-68'
        """
        base = shipped.pretrained()
        marker = cls(scheme=base.scheme)
        marker._takes(base.net, base.size, base.card["network"], (crops.MARGIN, 0.0, 0.0), few_labels.mean68(base.size))
        marker.factor, marker.usual = SHIPPED
        return marker

    def _takes(self, net: nn.Module, size: int, network: dict, square: Sequence[float], mean: Tensor) -> None:
        self.net, self.size, self.network = net.eval(), size, network
        self.square, self.mean = tuple(square), mean  # of a box: k, dx, dy (`few_labels.placed`); px of a crop
        self.factor, self.usual = 1.0, math.inf  # of the spread; the largest usual one, a fraction of the crop's side
        self.radius: Tensor | None = None  # of methods without maps: (n,), px of the crop

    def _reader(self, factor: float) -> nn.Module:
        """Crops -> landmarks and spreads, px."""
        if self.method == "heatmap":
            return few_labels.Decoded(self.net, factor)
        flows = self.scheme if self.method == "lddmm" else None
        radius = torch.ones(self.scheme.n) if self.radius is None else self.radius
        return few_shapes.Moved(self.net, self.mean, flows, factor * radius).to(next(self.net.parameters()).device)

    def save(self, path: str | Path) -> Path:
        """Write the landmarker to a file of weights with a card; `load` restores it.

        Args:
            path: the file to write; ".safetensors" is added if it is missing.

        Returns:
            The file.
        """
        self._trained()
        of, path = self.scheme, _file(path)
        told = {"name": of.name, "names": of.names, "corners": of.corners, "curves": dict(of.curves),
                "mirrored": of.flip and [(i, j) for i, j in enumerate(of.flip) if i < j],
                "closed": sorted(of.closed)}  # fmt: skip
        card = {"network": self.network, "size": self.size, "scheme": of.name, "own": None if of.placements else told}
        card |= {"square": self.square, "mean": self.mean.tolist(), "spread": [self.factor, self.usual]}
        card |= {"radius": None if self.radius is None else self.radius.tolist()}
        shipped.write(path, self.net, card | {"method": self.method, "start": self.start, "figures": self.figures})
        return path

    @classmethod
    def load(cls, path: str | Path) -> Landmarker:
        """Read a landmarker that `save` wrote.

        Args:
            path: the file, with or without ".safetensors".
        """
        path = _file(path)
        need(path.is_file(), "path", "a file that `save` wrote", path)
        state, card = shipped.read(path)
        need("square" in card, "path", "a file that `save` wrote", f"{path}, of other weights")
        scheme = schemes.custom(**card["own"]) if card["own"] else card["scheme"]
        marker = cls(card["method"], scheme=scheme, start=card["start"])
        mean = torch.tensor(card["mean"], dtype=torch.float64)
        net = marker._part.network(card["network"], state)
        marker._takes(net, card["size"], card["network"], card["square"], mean)
        marker.radius = None if card.get("radius") is None else torch.tensor(card["radius"])
        (marker.factor, marker.usual), marker.figures = card["spread"], card["figures"]
        return marker

    def export(self, path: str | Path) -> Path:
        """Write the network and its decoder as ONNX: images (b, 3, size, size) in [0, 1], red green blue, of `square`s
        -> landmarks (b, n, 2) and spreads (b, n), px of the crop.

        Args:
            path: the file to write.

        Returns:
            The file.

        Raises:
            ImportError: onnx or onnxscript is not installed: ``pip install 'lddmmlib[export]'``.
            ValueError: the method is "lddmm", whose flow checks its curves as it goes, which ONNX cannot express.
        """
        self._trained()
        need(self.method != "lddmm", "method", "'heatmap' or 'coordinates', to export", "'lddmm'", "use `save`")
        lost = [module for module in ("onnx", "onnxscript") if importlib.util.find_spec(module) is None]
        if lost:
            raise ImportError(f"export: needed {' and '.join(lost)}, not installed; pip install 'lddmmlib[export]'")
        net, example = self._reader(self.factor).cpu().eval(), torch.rand(2, 3, self.size, self.size)
        torch.onnx.export(
            net, (example,), str(path), dynamo=True, external_data=False, verbose=False, input_names=["images"],
            output_names=["landmarks", "spread"], dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
        return Path(path)

    @property
    def _part(self) -> ModuleType:
        """The module of the method's network."""
        return few_labels if self.method == "heatmap" else few_shapes

    def _trained(self) -> None:
        need(self.net is not None, "Landmarker", "a trained one", "one without a network", "fit it, or load one")

    def squares(self, boxes: Sequence[Sequence[float]]) -> list[Box]:
        """The squares of pictures that the network sees, for those who run an exported network.

        Args:
            boxes: (x, y, w, h) of the faces, px.
        """
        self._trained()
        return [few_labels.placed(tuple(box), self.square) for box in boxes]

    # ---------------------------------------------------------------------------------------------- predict

    def predict(self, pictures: Any, boxes: Any = None, scheme: str | Scheme | None = None) -> Prediction:
        """Find the landmarks of one face in each picture.

        Args:
            pictures: one picture or several, of any kind that `data.given` reads.
            boxes: (x, y, w, h), px, of each face, or a detector; None: those of records, else the whole pictures.
            scheme: the scheme of the landmarks wanted; None: the landmarker's own. From the 68 landmarks every other
                scheme is completed, by paper B's H from drawn faces that have both.

        Warns of what is like no face that the landmarker knows: a face that is turned or too small in its box, boxes
        that may be corners, floats beyond 1, maps that are less sure than on any face that was held out.

        Raises:
            ValueError: a picture that cannot be read, a box beside its picture, another number of boxes than of
                pictures, a scheme that cannot be told from this one.
        """
        self._trained()
        began, to = time.perf_counter(), self.scheme if scheme is None else schemes.get(scheme)
        known, mend = self.scheme.placements and to.placements, "own landmarks do not tell others"
        need(to == self.scheme or known, "scheme", f"the own one, {self.scheme.name!r}", repr(to.name), mend)
        faces = given.faces(pictures, None, boxes)
        points, spread = self._found(faces)
        how = "found by the network"
        if to != self.scheme:
            points, spread = _completed(points, self.scheme, to), spread.new_full((len(points), to.n), torch.nan)
            how = f"{self.scheme.name} found by the network, completed by paper B's H from {TEACHERS} drawn faces"
        return Prediction(landmarks=points, spread=spread, boxes=[face.box for face in faces], scheme=to, how=how,
                          seconds=time.perf_counter() - began)  # fmt: skip

    @torch.no_grad()
    def _found(self, faces: list[Face]) -> tuple[Tensor, Tensor]:
        """Landmarks (k, n, 2) and spreads (k, n) of faces, px of the pictures."""
        points = torch.full((len(faces), self.scheme.n, 2), torch.nan, dtype=torch.float64)
        spread, there = points[..., 0].clone(), [i for i, face in enumerate(faces) if face.box is not None]
        doubts = {"no face found": [face.name for face in faces if face.box is None]}
        for at in (there[i : i + 64] for i in range(0, len(there), 64)):
            affine = torch.stack(
                [crops.frame(few_labels.placed(faces[i].box, self.square), self.size, 1.0) for i in at]
            )
            cut = torch.stack([crops.cut(faces[i].image, a, self.size) for i, a in zip(at, affine, strict=True)])
            found, radius = (x.double() for x in self._reader(1.0)(network_input(cut)))
            points[at] = crops.apply(crops.inverse(affine), found)
            spread[at] = self.factor * radius / affine[:, :1, 0]
            for i, x, r in zip(at, found, radius, strict=True):
                for doubt in self._doubts(x, r):
                    doubts.setdefault(doubt, []).append(faces[i].name)
        for doubt, names in doubts.items():
            if names:
                some = ", ".join(names[:3]) + " ..." * (len(names) > 3)
                warnings.warn(f"{doubt}: {len(names)} of {len(faces)} pictures, {some}", stacklevel=3)
        return points, spread

    def _doubts(self, found: Tensor, radius: Tensor) -> list[str]:
        """Signs that a crop shows nothing like the faces of the training: pose, size, and how sure the maps are."""
        angle, scale = 0.0, 1.0
        if len(found) > 2:  # fewer have no shape
            linear = statistics.similarity(self.mean, found).linear
            angle, scale = math.degrees(math.atan2(linear[1, 0], linear[0, 0])), linear.det().sqrt().item()
        signs = {
            "the face seems turned; turn the picture": abs(angle) > 45,
            "the face seems small in its box; is the box too wide, or does the picture show more than the face?":
                scale < 0.8,
            "the face seems larger than its box; is the box too narrow?": scale > 1.5,
            "nothing like a face that the landmarker knows": radius.mean().item() > self.usual * self.size,
        }  # fmt: skip
        return [sign for sign, seen in signs.items() if seen]

    # ------------------------------------------------------------------------------------------ fit, evaluate

    def fit(
        self, pictures: Any, points: Any = None, boxes: Any = None, minutes: float = 5.0, steps: int | None = None,
        seed: int = 0, device: str = "cpu", progress: bool = True,
    ) -> Landmarker:  # fmt: skip
        """Learn landmarks from labelled faces. Prints what it guesses, how long it will take, and what it reached.

        Args:
            pictures: as in `predict`; records bring points and boxes along.
            points: (k, n, 2), px of each picture; NaN where not labelled.
            boxes: as in `predict`; of the same kind as later in `predict`.
            minutes: the time for all; a few steps are measured first.
            steps: the number of steps, instead of the minutes.
            seed: of all randomness.
            device: the device to train on.
            progress: whether to show a bar.

        Returns:
            The landmarker itself.

        Raises:
            ValueError: fewer than 10 faces, a face or a landmark without a label, points of another scheme.
        """
        _checks.positive(minutes, "minutes")
        began, faces = time.perf_counter(), given.faces(pictures, points, boxes, labelled=True)
        need(len(faces) >= FEWEST, "pictures", f"{FEWEST} labelled faces or more", len(faces), "label more")
        n = len(faces[0].landmarks)
        need(not self.scheme or n == self.scheme.n, "points", f"{self.scheme and self.scheme.n} landmarks", n)
        base = shipped.pretrained()
        square = few_labels.square(faces, base)
        photos = [few_labels.photo(face, few_labels.placed(face.box, square), base.size) for face in faces]
        canonical = [*Crops(photos, "300w-68", base.size, margin=1.0)]
        labels = torch.stack([crop.landmarks for crop in canonical])
        mean, seen = own.mean_shape(labels), few_labels.points68(base, torch.stack([crop.image for crop in canonical]))
        apart = (labels[:, :, None] - seen[:, None]).norm(dim=-1).nanmedian(0).values  # (n, 68), px
        self._guess(mean, apart)
        maps, loss = self.method == "heatmap", self._part.loss
        net, network = self._part.start(base, apart.argmin(1), seed, self.start == "scratch")
        model = net if maps else few_shapes.Moved(net, mean, self.scheme if self.method == "lddmm" else None)
        held = [i % HELD_OUT == HELD_OUT - 1 for i in range(len(faces))]
        how = RECIPE if self.scheme.flip else RECIPE._replace(flipped=0.0)
        learnt = Crops([x for x, out in zip(photos, held, strict=True) if not out], self.scheme, base.size, how, 1.0)
        each = few_labels.seconds_a_step(model, learnt, device, loss)
        left = 60 * minutes - (time.perf_counter() - began)
        steps = max(1, int(SHARE * left / each)) if steps is None else steps
        print(f"{len(learnt)} faces to learn from, {sum(held)} held out; {steps} steps of {each:.2g} s, as measured: "
              f"about {steps * each / 60:.1f} minutes", flush=True)  # fmt: skip
        with TemporaryDirectory() as folder:
            training.fit(model, loss, few_labels.Often(learnt, few_labels.BATCH * steps), folder=folder,
                         epochs=1, batch=few_labels.BATCH, lr=few_labels.RATE, seed=seed, device=device,
                         save_seconds=1e9, progress=progress)  # fmt: skip
        net = self._part.network(network, net.half().cpu().state_dict())  # as `load` makes it
        self._takes(net, base.size, network, square, mean)
        self._calibrate([face for face, out in zip(faces, held, strict=True) if out])
        self.figures |= {"faces": len(learnt), "held_out": sum(held), "steps": steps}
        return self

    def _guess(self, mean: Tensor, apart: Tensor) -> None:
        """Guess what was not told of the scheme, and show it: what lies nearest to the eye corners of the 68, and
        what the mean shape tells."""
        if self.scheme and self.scheme.placements:
            return
        corners = apart[:, list(schemes.get("300w-68").corners)]
        both, size = tuple(corners.argmin(0).tolist()), (mean[:, None] - mean).norm(dim=-1).max()
        near = both[0] != both[1] and corners.amin(0).max() < 0.1 * size
        pairs, flip = own.mirrored(mean), list(range(len(mean)))
        for i, j in pairs or []:
            flip[i], flip[j] = j, i
        told, names = self._told, None
        self.scheme = self._own(len(mean), flip=None if pairs is None else flip, corners=both if near else None,
                                curves=own.curves(mean))  # fmt: skip
        of, names = self.scheme, self.scheme.names
        pairs = of.flip and [f"{names[i]} - {names[j]}" for i, j in enumerate(of.flip) if i < j]
        shown = {
            "flip": ", ".join(pairs) or "all on the midline" if of.flip else "unknown, so no face is mirrored",
            "corners": " - ".join(names[i] for i in of.corners or ()) or "none",
            "curves": ", ".join(" - ".join(names[i] for i in curve) for curve in of.curves.values()) or "none",
        }
        for key, value in shown.items():
            print(f"{key}: {value}" + f"  (a guess; if it is wrong, give {key}=)" * (told[key] is None), flush=True)

    def _calibrate(self, faces: list[Face]) -> None:
        """Scale the spread on faces that were held out, and say what it covers; each half judges the other's factor."""
        with warnings.catch_warnings(action="ignore"):
            points, radius = self._found(faces)
        truth = torch.stack([face.landmarks for face in faces])
        off, maps = (points - truth).norm(dim=-1) / radius, self.method == "heatmap"  # without maps: px of the crop

        def scales(some: Tensor) -> tuple[Tensor, float]:
            by = torch.ones(off.shape[1]).double() if maps or some.isnan().all() else few_shapes.radius(some)
            known = (some / by)[~some.isnan()]
            return by, known.quantile(LEVEL).item() if len(known) else math.nan

        halves = off[::2], off[1::2]
        judged = [(own / by <= factor)[~own.isnan()] for own, (by, factor) in
                  zip(halves, map(scales, halves[::-1]), strict=True)]  # fmt: skip
        within = torch.cat(judged).double().mean().item()
        by, self.factor = scales(torch.cat(halves))
        if maps:
            side = torch.tensor([few_labels.placed(face.box, self.square)[2] for face in faces])
            self.usual = SURE * (radius.mean(1) / side).max().item()
        else:
            self.radius = by.float()
        self.figures = {"coverage": within}
        print(f"spread: meant to hold {LEVEL:.0%} of the errors; a half of {len(faces)} held-out faces, by the other: "
              f"{within:.0%}", flush=True)  # fmt: skip
        both = self.scheme.corners and not truth[:, list(self.scheme.corners)].isnan().flatten(1).any(1).all()
        how = "corners" if both else "diagonal"  # of the labelled landmarks
        self.evaluate([face.image for face in faces], truth, [face.box for face in faces], how)

    def evaluate(self, pictures: Any, points: Any = None, boxes: Any = None, normaliser: str = "corners") -> Evaluation:
        """Measure the error on labelled faces, beside that of the mean shape, and print both.

        Args:
            pictures: as in `predict`; records bring points and boxes along.
            points: (k, n, 2), px; NaN where not labelled.
            boxes: as in `predict`.
            normaliser: as in `metrics.nme`.

        Raises:
            ValueError: as in `predict`; a normaliser that no face has labels for.
        """
        self._trained()
        faces = given.faces(pictures, points, boxes, labelled=True)
        truth = torch.stack([face.landmarks for face in faces])
        found, spread = self._found(faces)
        squares = [crops.frame(few_labels.placed(face.box, self.square), self.size, 1.0) for face in faces]
        still = crops.apply(crops.inverse(torch.stack(squares)), self.mean.expand(len(faces), -1, -1))
        length = metrics.reference_distance(truth, normaliser, self.scheme)
        need(not length.isnan().all(), "normaliser", "one that is labelled in some face", repr(normaliser), "use 'box'")
        nme, mean = (metrics.nme(x, truth, normaliser, self.scheme) for x in (found, still))
        within = ((found - truth).norm(dim=-1) <= spread)[~truth.isnan().any(-1)].double().mean().item()
        whole = ~nme.isnan()
        ranking = _rank_correlation((spread.mean(1) / length)[whole], nme[whole])
        print(f"error on {int(whole.sum())} faces, % of {normaliser!r}: {100 * nme.nanmean():.2f}; the mean shape in "
              f"the same squares: {100 * mean.nanmean():.2f}; the spread holds {within:.0%} of the errors, its rank "
              f"correlation with them is {ranking:.2f}", flush=True)  # fmt: skip
        return Evaluation(nme=nme, mean_shape=mean, coverage=within, ranking=ranking)


# ------------------------------------------------------------------------------------------------------------ parts


def _file(path: str | Path) -> Path:
    path = Path(path)
    return path if path.suffix == ".safetensors" else path.with_name(f"{path.name}.safetensors")


@cache
def _drawn(source: Scheme, target: Scheme) -> Tensor:
    """Drawn faces (TEACHERS, s + t, 2) in both schemes."""
    heads = [synthetic.sitting(i).framed(256) for i in range(TEACHERS)]
    return torch.stack([torch.cat([geometry.landmarks(head, s)[0] for s in (source, target)]) for head in heads])


def _completed(points: Tensor, source: Scheme, target: Scheme) -> Tensor:
    """Landmarks of another scheme, by H fitted to the deviations of drawn faces; shared landmarks are copied."""
    n, whole = source.n + target.n, ~points.isnan().flatten(1).any(1)
    known, wanted = torch.arange(n) < source.n, torch.arange(source.n, n)
    x = torch.cat([points[whole], points.new_full((int(whole.sum()), target.n, 2), torch.nan)], 1)
    found = points.new_full((len(points), target.n, 2), torch.nan)
    found[whole] = by_deviations(_drawn(source, target).double(), x, None, known, wanted, 1.4)
    for i, j in schemes.shared(source, target):
        found[:, j] = points[:, i]
    return found


def _rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's coefficient; NaN of fewer than three."""
    if len(a) < 3:
        return math.nan
    return torch.corrcoef(torch.stack([x.argsort().argsort().double() for x in (a, b)]))[0, 1].item()


# ---------------------------------------------------------------------------------------------------------- program


def main(arguments: list[str] | None = None) -> int:
    """Carry out the command; returns the exit code: 0, or 2 for what cannot be done as asked.

    Args:
        arguments: its words; None: those of the command line.

    >>> main(["predict", "no such folder"])  # says so on stderr
    2
    """
    parser = argparse.ArgumentParser(prog="python -m lddmmlib.landmarker", description="Find the landmarks of faces.")
    words = parser.add_subparsers(required=True)
    command = words.add_parser("predict", help="mark the faces of a folder, one a picture")
    command.add_argument("path", type=Path, metavar="DIR", help="a folder of pictures, with all below it, or a picture")
    command.add_argument("--out", type=Path, default="found.json", metavar="OUT.json", help="COCO keypoint json")
    command.add_argument("--sheet", type=Path, metavar="OUT.png", help="a contact sheet of the first faces")
    command.add_argument("--landmarker", type=Path, metavar="FILE", help="one that `save` wrote (default: the shipped)")
    command.add_argument("--scheme", choices=schemes.SCHEMES, help="the landmarks (default: the landmarker's own)")
    command.add_argument("--overwrite", action="store_true", help="replace OUT.json")
    asked = parser.parse_args(arguments)
    files = sorted(p for p in asked.path.rglob("*") if images.is_image(p)) if asked.path.is_dir() else [asked.path]
    try:
        need(files, "DIR", "a folder with pictures", f"none in {asked.path}")
        need(asked.overwrite or not asked.out.exists(), "--out", "a new file", asked.out, "say --overwrite")
        marker = Landmarker.load(asked.landmarker) if asked.landmarker else Landmarker.pretrained()
        found = marker.predict(files, scheme=asked.scheme)
        rows = zip(files, found.landmarks, found.spread, found.boxes, strict=True)
        records = [
            Record(image=path, landmarks=x, visible=torch.ones(len(x), dtype=torch.bool), box=box, scheme=found.scheme,
                   source=path.name,
                   attributes={"spread": s.nan_to_num(-1.0).round(decimals=2).tolist(), "how": found.how})
            for path, x, s, box in rows
        ]  # fmt: skip
        root = asked.path if asked.path.is_dir() else asked.path.parent
        write_coco(records, asked.out, found.scheme, root, overwrite=asked.overwrite)
        if asked.sheet:
            images.save(contact_sheet.draw(contact_sheet.spread(records, 24), f"{len(records)} faces"), asked.sheet)
    except (ValueError, OSError, ImportError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(f"{len(records)} faces in {found.seconds:.1f} s, {found.how}: {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
