"""A face whose landmarks move and a test set whose errors do: what every measure of chapter 02 makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor

from lddmmlib import _checks, metrics
from lddmmlib._shapes import Float
from lddmmlib.faces import schemes
from lddmmlib.faces.schemes import Scheme
from lddmmlib.widgets.base import Number, Numbers, StaticWidget

QUESTION = (
    "Predict before you try. Slide the jaw's points by one whole landmark: which of NME and NME_curve notices? "
    "And by half a landmark?\n"
    "Turn the head: the prediction is off by as many pixels as before. Whose NME grows, and whose hardly?\n"
    "Keep the test set, then put each image's error on one landmark: which numbers cannot tell the two sets apart?"
)

ALT = (
    "Left, a face: true landmarks joined by curves, and predicted ones slightly off, one of them much. Middle, a bar "
    "for each image of a test set, and a line at the threshold of failure. Right, the share of images below each error."
)


def turned(points: Float[Tensor, "n 2"], degrees: float) -> Float[Tensor, "n 2"]:
    """A flat face turned away: x foreshortened about the mean by cos(degrees).

    >>> turned(torch.tensor([[-2.0, 1.0], [2.0, 1.0]]), 60.0).round(decimals=4).tolist()
    [[-1.0, 1.0], [1.0, 1.0]]
    """
    middle = points[:, 0].mean()
    x = middle + torch.cos(torch.deg2rad(torch.as_tensor(degrees, dtype=points.dtype))) * (points[:, 0] - middle)
    return torch.stack([x, points[:, 1]], -1)


def slid(points: Float[Tensor, "n 2"], chain: tuple[int, ...], steps: float) -> Float[Tensor, "n 2"]:
    """The landmarks of ``chain`` moved along its polyline by ``steps`` landmarks; at its ends they stop.

    >>> slid(torch.tensor([[0.0, 0.0], [2.0, 0.0], [2.0, 4.0]]), (0, 1, 2), 0.5).tolist()
    [[1.0, 0.0], [2.0, 2.0], [2.0, 4.0]]
    """
    out, along = points.clone(), points[list(chain)]
    t = (torch.arange(len(chain), dtype=points.dtype) + steps).clamp(0, len(chain) - 1)
    i = t.floor().long().clamp(max=len(chain) - 2)
    out[list(chain)] = along[i].lerp(along[i + 1], (t - i)[:, None])
    return out


def spread(totals: Float[Tensor, " m"], share: float, n: int) -> Float[Tensor, "m n"]:
    """Errors (m, n) whose mean over the landmarks is ``totals``: one landmark has ``share`` of each row, all the rest.

    >>> spread(torch.tensor([1.0]), 0.5, 4).tolist()
    [[2.5, 0.5, 0.5, 0.5]]
    """
    bad = 7 * torch.arange(len(totals)) % n  # another landmark in each image
    weights = (1 - share) + share * n * torch.nn.functional.one_hot(bad, n).to(totals)
    return totals[:, None] * weights


class MetricExplorer(StaticWidget):
    """Chapter 02's instrument: one face with movable landmarks, and a test set to which it belongs.

    face: the true landmarks (n, 2) in pixels, all labelled; None is the mean face of 300-W, 180 px high. scheme: their
    annotation scheme, which must have pupils. Every other trait is state that the reader moves and that Python can
    read or set: ``turn`` (degrees) and ``slide`` (landmarks) shape the face, ``offsets`` (n, 2) px are what its
    prediction is off by; ``pixels`` are the other images' mean errors in px, ``turns`` their head turns, and ``share``
    is how much of each lies on a single landmark.

    >>> face = torch.randn(68, 2, generator=torch.Generator().manual_seed(0)) * 50
    >>> explorer = MetricExplorer(face)
    >>> truth, pred = explorer.one_face()
    >>> bool(metrics.nme(pred, truth, explorer.normaliser) > 0)
    True
    """

    script = Path(__file__).with_suffix(".js")
    face = Numbers()
    scheme = traitlets.Dict().tag(sync=True)
    turn = Number(0.0, min=0.0, max=60.0)
    slide = Number(0.0, min=-2.0, max=2.0)
    offsets = Numbers()
    selected = traitlets.Int(0, min=0).tag(sync=True)
    normaliser = traitlets.Enum(metrics.NORMALISERS, "corners").tag(sync=True)
    turns = Numbers()
    pixels = Numbers()
    share = Number(0.0, min=0.0, max=1.0)
    threshold = Number(0.1, min=0.005, max=0.2)
    image = traitlets.Int(0, min=0).tag(sync=True)

    def __init__(self, face: Float[Tensor, "n 2"] | None = None, scheme: str | Scheme = "300w-68", **traits) -> None:
        of = schemes.get(scheme)
        face = _mean_face() if face is None else face
        _checks.points(face, "face", of.n)
        if of.pupils is None or len(of.curves.get("jaw", ())) < 2:
            raise ValueError(f"scheme: needed one with pupils and a jaw line, such as 300w-68; got {of.name}")
        start = {"question": QUESTION, "alt": ALT, "scheme": _anatomy(of), **_start(face, of)}
        super().__init__(face=face.double(), **start | traits)

    @traitlets.validate("selected", "image", "offsets", "pixels")
    def _fits(self, proposal: traitlets.Bunch) -> object:
        """Indices are of something that is there; lists are as long as what they belong to."""
        name, value = proposal["trait"].name, proposal["value"]
        of, partner = {
            "selected": ("face", self.face),
            "image": ("pixels", self.pixels),
            "offsets": ("face", self.face),
            "pixels": ("turns", self.turns),
        }[name]
        if isinstance(value, list) and np.shape(value) != np.shape(partner):
            needed = f"shape {np.shape(partner)} as {of} has"
            raise traitlets.TraitError(f"{name}: needed {needed}, got {np.shape(value)}")
        if isinstance(value, int) and value >= len(partner):
            raise traitlets.TraitError(f"{name}: needed an index below {len(partner)} into {of}, got {value}")
        return value

    def one_face(self) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2"]]:
        """The truth and the prediction as they stand, in pixels, in double precision."""
        truth = turned(torch.tensor(self.face, dtype=torch.float64), self.turn)
        moved = slid(truth, tuple(self.scheme["jaw"]), self.slide)
        return truth, moved + torch.tensor(self.offsets, dtype=torch.float64)

    def test_set(self) -> Float[Tensor, "images n"]:
        """The errors (images, n) of the test set by the chosen normaliser; the last image is the one face."""
        truth, pred = self.one_face()
        face = torch.tensor(self.face, dtype=torch.float64)
        faces = torch.stack([turned(face, degrees) for degrees in self.turns])
        by = (self.normaliser, self.scheme["name"])
        totals = torch.tensor(self.pixels, dtype=torch.float64) / metrics.reference_distance(faces, *by)
        return torch.cat([spread(totals, self.share, len(face)), metrics.errors(pred, truth, *by)[None]])

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure = Figure(figsize=(9, 3))
        left, middle, right = figure.subplots(1, 3)
        truth, pred = self.one_face()
        plots.face(left, truth, self.scheme["name"], colour=plots.PALETTE[0], label="truth")
        left.plot(*torch.stack([truth, pred]).permute(2, 0, 1).numpy(), color=plots.PALETTE[1])
        left.scatter(*pred.T.numpy(), s=9, color=plots.PALETTE[1], zorder=4, label="prediction")
        left.legend(loc="lower center", bbox_to_anchor=(0.5, -0.2), ncols=2)
        images = self.test_set().mean(-1)
        others = [plots.PALETTE[2]] * len(self.pixels)
        middle.bar(range(len(images)), (100 * images).tolist(), color=[*others, plots.PALETTE[1]])
        middle.axhline(100 * self.threshold, color="black", linestyle="--")
        middle.set(xlabel="image; the last is this face", ylabel=f"NME by {self.normaliser} (%)")
        plots.ced(right, {"images": images}, self.threshold, self.normaliser)
        return figure


def _mean_face() -> Tensor:
    """The mean 300-W shape, upright in an image of 256 px, 180 px high."""
    from lddmmlib.faces import statistics

    mean = statistics.real_300w().mean
    low, high = mean.amin(0), mean.amax(0)
    return 127.5 + (mean - (low + high) / 2) * (180 / (high - low)[1])


def _anatomy(scheme: schemes.Scheme) -> dict:
    """What the script needs to know of a scheme; outlines are the parts without the pupils, as NME_curve takes them."""
    pupils = {i for name, curve in scheme.curves.items() if name.endswith("_pupil") for i in curve}
    return {
        "name": scheme.name,
        "names": list(scheme.names),
        "curves": [[*i, i[0]] if name in scheme.closed else list(i) for name, i in scheme.curves.items()],
        "jaw": list(scheme.curves["jaw"]),
        "parts": {name: list(part) for name, part in scheme.parts.items()},
        "outlines": {name: [i for i in part if i not in pupils] for name, part in scheme.parts.items()},
        "corners": list(scheme.corners),
        "pupils": [list(eye) for eye in scheme.pupils],
    }


def _start(face: Tensor, scheme: schemes.Scheme) -> dict:
    """One landmark of the mouth well off, and 23 other images between frontal and turned by 60 degrees."""
    generator = torch.Generator().manual_seed(2)
    size = float(face.double().std(0).norm())  # 79 px for a face 180 px high
    selected = scheme.parts["mouth"][0]
    offsets = 0.016 * size * torch.randn(scheme.n, 2, generator=generator)
    offsets[selected] = torch.tensor([-0.13, 0.08]) * size
    pixels = 0.045 * size * torch.exp(0.6 * torch.randn(23, generator=generator))
    return {
        "offsets": offsets.double(),
        "selected": selected,
        "turns": torch.linspace(0, 60, 23).round(decimals=1).double(),
        "pixels": pixels.double().round(decimals=2),
        "image": 12,
    }
