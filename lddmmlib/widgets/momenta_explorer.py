"""Momenta that a trained network reads off a face, in the page itself, and the flow that they make of the mean face."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor, nn

from lddmmlib import _checks, flows
from lddmmlib._shapes import Float
from lddmmlib.data import crops
from lddmmlib.faces import schemes
from lddmmlib.widgets.base import HERE, Number, Numbers, StaticWidget
from lddmmlib.widgets.network import portable, program

KEPT = HERE / "momenta_explorer.npz"  # a trained network and faces that it has not seen, see `MomentaExplorer.keep`
COLUMNS = 5  # of the sheet of faces
MODELS = {"released": (flows.flow, 2, "euler"), "constant": (flows.flow, 20, "rk2"), "shoot": (flows.shoot, 20, "rk2")}

QUESTION = (
    "Predict before you try. Which curves of this face have the longest momenta, and what happens to the mouth if you "
    "turn one of its arrows around?"
)

ALT = (
    "Left, a face with the landmarks that a network found on it. Right, the mean face with the momenta that it "
    "read off the picture, as arrows in the colours of their curves, and the face that their flow makes of it."
)


class MomentaExplorer(StaticWidget):
    """A network of momenta and its deformation layer, on drawn faces or on the reader's own photograph.

    The network runs in the page. A photograph that the reader drops there is kept in the page's memory alone: no trait
    holds it, so that a kernel does not get it either.

    Args:
        network: images (b, 3, size, size) in [0, 1] -> momenta (b, k, 2), px; in evaluation mode, on the CPU. None,
            with all of the following: what `keep` has written.
        layer: the `methods.lddmm_face.Deformation` that it was trained with.
        size: px of a crop.
        means: the mean faces of further schemes, by name, each in any frame: their landmarks ride along.
        pictures: (f, 3, side, side) uint8, the faces to choose from.
        boxes: (f, 4), the box (x, y, w, h) of each face, px of its picture.
        truth: (f, n, 2), its landmarks in the layer's scheme, px of its picture.

    Every other trait is state that the reader moves and that Python can read or set: ``face``, the index of the
    picture; ``box``, the square around the face; ``pulls`` (k, 2), what was added to the predicted momenta;
    ``selected``, the momentum that the keyboard moves; ``scheme``, whose landmarks the picture shows; ``model``:
    "released" (two Euler steps of constant momenta), "constant" (the same flow in 20 steps) or "shoot"; ``time``, from
    0 to 1. ``gain``: how many times as long as they are the arrows are drawn.
    """

    script = Path(__file__).with_suffix(".js")
    network = traitlets.Bytes(help="of `network.portable`").tag(sync=True)
    pictures = traitlets.Bytes(help="a JPEG, all faces").tag(sync=True)
    sheet = Numbers([1, 1])
    mean = Numbers()
    curves = traitlets.List(help="landmarks with momenta, of each curve").tag(sync=True)
    controls = traitlets.List(help="landmarks with momenta, in the network's order").tag(sync=True)
    sigma = Numbers()
    source = traitlets.Unicode(help="the scheme of the mean face").tag(sync=True)
    corners = Numbers([0, 1])
    schemes = traitlets.Dict(help="points of the mean face, groups that ride with each curve, lines").tag(sync=True)
    boxes = Numbers()
    truth = Numbers()
    gain = Number(1.0, min=0.1)
    face = traitlets.Int(0, min=0).tag(sync=True)
    box = Numbers([0, 0, 1, 1])
    pulls = Numbers()
    selected = traitlets.Int(0, min=0).tag(sync=True)
    scheme = traitlets.Unicode().tag(sync=True)
    model = traitlets.Enum(tuple(MODELS), "released").tag(sync=True)
    time = Number(1.0, min=0.0, max=1.0)

    def __init__(
        self,
        network: Callable[[Tensor], Tensor] | None = None,
        layer: nn.Module | None = None,
        size: int = 64,
        means: Mapping[str, Tensor] | None = None,
        pictures: Tensor | None = None,
        boxes: Sequence[Sequence[float]] | None = None,
        truth: Float[Tensor, "f n 2"] | None = None,
        **traits: object,
    ) -> None:
        self._refuse_unknown(traits)
        if network is None:
            start, self.predicted = _kept(KEPT)
        else:
            start = {
                "network": portable(network, torch.rand(1, 3, size, size)),
                "source": schemes.get(layer.scheme).name,
            }
            start |= _layer(layer) | {"schemes": _schemes(layer, means or {}), "scheme": start["source"]}
            start |= {"sheet": [len(pictures), COLUMNS], "pictures": _sheet(pictures)}
            squares = [_square(box) for box in boxes]
            start |= {"boxes": squares, "truth": [] if truth is None else truth.double().round(decimals=2)}
            self.predicted = _predicted(network, pictures, squares, size)
        start |= {"box": start["boxes"][0], "pulls": torch.zeros(len(start["controls"]), 2)}
        super().__init__(**{"question": QUESTION, "alt": ALT} | start)
        for name, value in traits.items():  # checked against all of the above
            setattr(self, name, value)

    @traitlets.validate("face", "selected", "scheme", "pulls", "box")
    def _fits(self, proposal: traitlets.Bunch) -> object:
        name, value, k = proposal["trait"].name, proposal["value"], len(self.controls)
        right, needed = {
            "face": (lambda: value <= self.sheet[0], f"0 to {self.sheet[0] - 1}, or {self.sheet[0]} for a photograph"),
            "selected": (lambda: value < k, f"0 to {k - 1}"),
            "scheme": (lambda: value in self.schemes, ", ".join(self.schemes)),
            "pulls": (lambda: np.shape(value) == (k, 2), f"shape {(k, 2)}"),
            "box": (lambda: np.shape(value) == (4,) and min(value[2:]) > 0, "x, y, w, h with an extent"),
        }[name]
        if not right():
            raise traitlets.TraitError(f"{name}: needed {needed}, got {np.shape(value) if name == 'pulls' else value}")
        return value

    @traitlets.observe("face")
    def _other_face(self, change: traitlets.Bunch) -> None:
        """A picture is shown with its own square and as the network reads it."""
        if change["new"] < self.sheet[0]:
            self.box, self.pulls = self.boxes[change["new"]], np.zeros((len(self.controls), 2))

    def momenta(self) -> Float[Tensor, "k 2"]:
        """What the network reads in the own square of the drawn face, and the pulls on top: px of the crop.

        Raises ValueError where the reader's photograph is shown, which Python does not have.
        """
        drawn = self.face < self.sheet[0]
        _checks.need(drawn, "face", "a drawn face", "the reader's photograph", "set face = 0")
        return torch.from_numpy(self.predicted[self.face]).double() + torch.tensor(self.pulls, dtype=torch.float64)

    def landmarks(self, scheme: str | None = None) -> Float[Tensor, "m 2"]:
        """The landmarks at the end of the flow of `momenta`, px of the picture; of the scheme shown, or of another."""
        of, p0 = self.schemes[scheme or self.scheme], torch.zeros(len(self.mean), 2, dtype=torch.float64)
        p0[self.controls] = self.momenta()
        x0, z = (torch.tensor(v, dtype=torch.float64) for v in (self.mean, of["points"]))
        move, steps, method = MODELS[self.model]
        end = z.clone()
        for curve, riders, sigma in zip(self.curves, of["groups"], self.sigma, strict=True):
            if riders:
                end[riders] = move(x0[curve], p0[curve], sigma, steps, method, z[riders]).points
        size = program(self.network)["input"][-1]
        return crops.apply(crops.inverse(crops.frame(tuple(self.box), size)), end)

    def keep(self, path: Path = KEPT) -> None:
        """Write what is shown, so that it is what `MomentaExplorer()` shows."""
        names = (
            "mean",
            "curves",
            "controls",
            "sigma",
            "source",
            "corners",
            "schemes",
            "boxes",
            "truth",
            "gain",
            "sheet",
        )
        state = {name: getattr(self, name) for name in names} | {"scheme": self.source}
        arrays = {name: np.frombuffer(getattr(self, name), dtype=np.uint8) for name in ("network", "pictures")}
        np.savez_compressed(path, state=json.dumps(state), predicted=self.predicted, **arrays)

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        if self.face == self.sheet[0]:
            return None
        figure = Figure(figsize=(7, 3.6))
        left, right = figure.subplots(1, 2)
        sheet = np.array(_checks.optional("PIL.Image").open(io.BytesIO(self.pictures)))
        side = sheet.shape[1] // self.sheet[1]
        y, x = (side * v for v in divmod(self.face, self.sheet[1]))
        left.imshow(sheet[y : y + side, x : x + side])
        found, mean, momenta = self.landmarks().numpy(), np.array(self.mean), self.momenta().numpy() * self.gain
        for colour, line in self.schemes[self.scheme]["lines"]:
            left.plot(*found[line].T, color=plots.PALETTE[colour % 4], linewidth=1.5)
        for _, line in self.schemes[self.source]["lines"]:
            right.plot(*mean[line].T, color="0.7", linewidth=1)
        for c, curve in enumerate(self.curves):
            at = [self.controls.index(i) for i in curve]
            arrows = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.008}
            right.quiver(*mean[curve].T, *momenta[at].T, color=plots.PALETTE[c % 4], **arrows)
        right.set(aspect="equal", xlim=(mean[:, 0].min() - 6, mean[:, 0].max() + 6))
        right.set_ylim(mean[:, 1].max() + 6, mean[:, 1].min() - 6)
        for ax in (left, right):
            ax.set_axis_off()
        return figure


def _square(box: Sequence[float]) -> list[float]:
    """The square around a box, around its middle."""
    x, y, w, h = map(float, box)
    side = max(w, h)
    return [round(v, 3) for v in (x + (w - side) / 2, y + (h - side) / 2, side, side)]


def _layer(layer: nn.Module) -> dict:
    """The state that a deformation layer gives."""
    curves, sigma = [list(curve) for curve in layer.curves], layer.sigma.double()
    if layer.coupled:
        curves, sigma = [[i for curve in curves for i in curve]], sigma.reshape(1)
    of = schemes.get(layer.scheme)
    _checks.need(of.corners, "layer", "a scheme with eye corners, by which errors are told", f"{of.name!r}")
    return {
        "mean": layer.mean.double().round(decimals=4), "curves": curves, "controls": layer.controls.tolist(),
        "sigma": sigma.expand(len(curves)), "corners": list(of.corners),
    }  # fmt: skip


def _schemes(layer: nn.Module, means: Mapping[str, Tensor]) -> dict[str, dict]:
    """Of each scheme its points on the mean face, those that ride with each curve, and the lines to draw."""
    found = {}
    for name in (layer.scheme, *means):
        riders = layer.riders(name, means.get(name))
        groups = [list(group) for group in riders.indices]
        groups = [[i for group in groups for i in group]] if layer.coupled else groups
        points = riders.points.double().round(decimals=4).tolist()
        found[schemes.get(name).name] = {"points": points, "groups": groups, "lines": _lines(name, riders.indices)}
    return found


def _lines(name: str | schemes.Scheme, groups: Sequence[Sequence[int]]) -> list:
    """The drawn lines of a scheme in pieces, each with the curve that its points ride with."""
    scheme, curve_of = schemes.get(name), {i: c for c, group in enumerate(groups) for i in group}
    pieces = []
    for curve, landmarks in scheme.curves.items():
        whole = [*landmarks, landmarks[0]] if curve in scheme.closed else list(landmarks)
        last = None
        for i, j in pairwise(whole):
            if last == curve_of[i]:
                pieces[-1][1].append(j)
            else:
                pieces.append([last := curve_of[i], [i, j]])
    return pieces


def _sheet(pictures: Tensor) -> bytes:
    """All pictures side by side as a JPEG."""
    right = pictures.ndim == 4 and pictures.shape[1] == 3 and pictures.dtype == torch.uint8
    got = f"{pictures.dtype} of {tuple(pictures.shape)}"
    _checks.need(right and pictures.shape[2] == pictures.shape[3], "pictures", "(f, 3, side, side) of uint8", got)
    rows, side = -(-len(pictures) // COLUMNS), pictures.shape[2]
    sheet = np.zeros((rows * side, COLUMNS * side, 3), dtype=np.uint8)
    for k, one in enumerate(pictures.permute(0, 2, 3, 1).numpy()):
        y, x = (side * v for v in divmod(k, COLUMNS))
        sheet[y : y + side, x : x + side] = one
    file = io.BytesIO()
    _checks.optional("PIL.Image").fromarray(sheet).save(file, format="jpeg", quality=90, subsampling=0)
    return file.getvalue()


def _predicted(network: Callable, pictures: Tensor, boxes: Sequence, size: int) -> np.ndarray:
    cut = [crops.cut(one, crops.frame(tuple(box), size), size) for one, box in zip(pictures, boxes, strict=True)]
    with torch.no_grad():
        return network(torch.stack(cut).float() / 255).numpy()


def _kept(path: Path) -> tuple[dict, np.ndarray]:
    needed = "the network, its layer and faces, or those that `keep` wrote"
    _checks.need(path.exists(), "network", needed, f"None, and there is no {path.name}")
    with np.load(path) as file:
        state = json.loads(str(file["state"]))
        return state | {name: file[name].tobytes() for name in ("network", "pictures")}, file["predicted"]
