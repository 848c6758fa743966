"""A photograph warped onto a stylised face: the landmarks a network predicts, the edges, the loss and its push."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor

from lddmmlib import _checks, metrics, polyharmonic
from lddmmlib._shapes import Float
from lddmmlib.faces import schemes
from lddmmlib.methods import conditional_warp
from lddmmlib.widgets import perturb_explorer
from lddmmlib.widgets.base import HERE, Number, Numbers, StaticWidget
from lddmmlib.widgets.network import portable

KEPT = HERE / "warp_onto.npz"  # faces that the network has not seen, see `keep`
SCHEME = schemes.get("300w-68")

QUESTION = (
    "Drag a landmark of the stylised face off its place and watch its arrow: does the loss push it back to the white "
    "line? And where does it push those that you left alone?"
)

ALT = (
    "Left, a stylised face with landmarks that a network predicted, the true curves as white lines, and an arrow at "
    "each landmark for the direction in which the loss pushes it. Right, a photograph with its landmarks, the same "
    "warped onto the face, and the gradient images of the face and of the warped photograph."
)


class WarpOnto(StaticWidget):
    """The loss of conditional warping on one pair of faces, with predictions by a network that runs in the page.

    The photograph is warped such that its landmarks come to lie at those of the stylised face, and the loss is the mean
    squared difference of the two gradient images (Sobel, gray): the first term of `conditional_warp.warper_loss`.

    Args:
        network: from images (b, 3, side, side) in [0, 1] to landmarks (b, 68, 2), px, in evaluation mode, on the CPU.
            None: `landmarker`.
        images: (f, 3, side, side) uint8. None, with the following two: what `keep` has written.
        truth: (f, 68, 2), their landmarks, px.
        styles: their styles; those of "photo" can be warped, the others can be warped onto.

    Every other trait is state that the reader moves and that Python can read or set: ``photo`` and ``face``, which of
    the photographs and of the stylised faces; ``ends``, "labels" or "predicted", of the photograph; ``pulls`` (68, 2)
    px, what was added to the predicted landmarks of the face; ``selected``, the landmark that the keyboard moves.
    """

    script = Path(__file__).with_suffix(".js")
    network = traitlets.Bytes(help="of `network.portable`").tag(sync=True)
    images = traitlets.Bytes(help="faces, rows, columns, colours").tag(sync=True)
    side = traitlets.Int(64, min=8).tag(sync=True)
    truth = Numbers()
    styles = traitlets.List(traitlets.Unicode()).tag(sync=True)
    corners = traitlets.List(default_value=list(SCHEME.corners)).tag(sync=True)
    lines = traitlets.List(help="curves, each the indices of its points").tag(sync=True)
    smoothing = Number(0.01, min=0.0, max=10.0)
    photo = traitlets.Int(0, min=0).tag(sync=True)
    face = traitlets.Int(0, min=0).tag(sync=True)
    ends = traitlets.Enum(("labels", "predicted"), "labels").tag(sync=True)
    pulls = Numbers(np.zeros((SCHEME.n, 2)).tolist())
    selected = traitlets.Int(8, min=0, max=SCHEME.n - 1).tag(sync=True)

    def __init__(
        self,
        network: Callable[[Tensor], Tensor] | None = None,
        images: Tensor | None = None,
        truth: Float[Tensor, "f 68 2"] | None = None,
        styles: Sequence[str] | None = None,
        **traits: object,
    ) -> None:
        self._refuse_unknown(traits)
        if images is None:
            images, truth, styles = kept()
        self.landmarker = landmarker() if network is None else network
        start = {"network": portable(self.landmarker, torch.rand(1, 3, *images.shape[-2:])), "side": images.shape[-1]}
        start |= {"images": images.permute(0, 2, 3, 1).contiguous().numpy().tobytes(), "styles": list(styles)}
        start |= {"truth": truth.double().round(decimals=2)}
        start |= {"lines": [[*c, *c[: name in SCHEME.closed]] for name, c in SCHEME.curves.items()]}
        super().__init__(**{"question": QUESTION, "alt": ALT} | start)
        for name, value in traits.items():  # checked against all of the above
            setattr(self, name, value)

    @traitlets.validate("photo", "face", "pulls")
    def _fits(self, proposal: traitlets.Bunch) -> object:
        name, value = proposal["trait"].name, proposal["value"]
        if name == "pulls":
            right, needed, value_said = np.shape(value) == (SCHEME.n, 2), f"shape {(SCHEME.n, 2)}", np.shape(value)
        else:
            count = sum((style == "photo") == (name == "photo") for style in self.styles)
            right, needed, value_said = value < count, f"0 to {count - 1}", value
        if not right:
            raise traitlets.TraitError(f"{name}: needed {needed}, got {value_said}")
        return value

    @cached_property
    def predicted(self) -> Float[Tensor, "f 68 2"]:
        """The landmarks that the network predicts on every face, px."""
        with torch.no_grad():
            return self.landmarker(self._pictures()).double()

    def _pictures(self) -> Float[Tensor, "f 3 side side"]:
        rows = np.frombuffer(self.images, dtype=np.uint8).reshape(-1, self.side, self.side, 3)
        return torch.from_numpy(rows.astype(np.float32) / 255).permute(0, 3, 1, 2)

    def _pair(self) -> tuple[int, int]:
        """The photograph and the face, as indices of all faces."""
        photos, faces = ([i for i, s in enumerate(self.styles) if (s == "photo") == yes] for yes in (True, False))
        return photos[self.photo], faces[self.face]

    def source(self) -> Float[Tensor, "68 2"]:
        """The landmarks of the photograph, px."""
        photo = self._pair()[0]
        labels = torch.tensor(self.truth[photo], dtype=torch.float64)
        return labels if self.ends == "labels" else self.predicted[photo]

    def target(self) -> Float[Tensor, "68 2"]:
        """The landmarks of the stylised face, predicted and pulled, px."""
        return self.predicted[self._pair()[1]] + torch.tensor(self.pulls, dtype=torch.float64)

    def warped(self, target: Float[Tensor, "68 2"] | None = None) -> Float[Tensor, "3 side side"]:
        """The photograph, warped onto landmarks of the face, `target` if None, from 0 to 1."""
        photo = self._pictures()[self._pair()[0]].double()
        return polyharmonic.warp(photo, self.source(), self.target() if target is None else target, 2, self.smoothing)

    def edges(self, target: Float[Tensor, "68 2"] | None = None) -> Float[Tensor, "2 side side"]:
        """The gradient images of the face and of the warped photograph."""
        face = self._pictures()[self._pair()[1]].double()
        return conditional_warp.image_gradient(torch.stack([face, self.warped(target)]))[:, 0]

    def loss(self, target: Float[Tensor, "68 2"] | None = None) -> Float[Tensor, ""]:
        """The mean squared difference of the gradient images."""
        theirs, ours = self.edges(target)
        return (ours - theirs).square().mean()

    def push(self) -> Float[Tensor, "68 2"]:
        """Minus the gradient of the loss in the landmarks of the face, 1/px."""
        target = self.target().requires_grad_()
        return -torch.autograd.grad(self.loss(target), target)[0]

    def errors(self) -> list[float]:
        """The mean errors of the landmarks now and as predicted, in shares of the distance of the outer eye corners."""
        face = self._pair()[1]
        truth = torch.tensor(self.truth[face], dtype=torch.float64)
        return [metrics.nme(x, truth, "corners", SCHEME).item() for x in (self.target(), self.predicted[face])]

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure, (photo, face) = Figure(figsize=(9.2, 2.1)), self._pair()
        axes, push, pictures = figure.subplots(1, 5), self.push(), self._pictures()
        shown = {"the face": pictures[face], "photograph": pictures[photo], "warped": self.warped().float()}
        shown |= dict(zip(("edges of the face", "edges, warped"), self.edges().clamp(max=0.25), strict=True))
        for ax, (title, image) in zip(axes, shown.items(), strict=True):
            rows = image.permute(1, 2, 0) if image.ndim == 3 else image
            ax.imshow(rows.numpy(), cmap="gray")
            ax.set_title(title, fontsize=8)
            ax.set_axis_off()
        for line in self.lines:
            axes[0].plot(*np.array(self.truth[face])[line].T, color="white", linewidth=0.8)
        arrows = (6 * push / push.norm(dim=1).quantile(0.9)).numpy()
        x = self.target().numpy()
        axes[0].quiver(*x.T, *arrows.T, angles="xy", scale_units="xy", scale=1, color=plots.PALETTE[1], width=0.012)
        axes[0].plot(*x.T, ".", color=plots.PALETTE[0], markersize=2)
        axes[1].plot(*self.source().T.numpy(), ".", color=plots.PALETTE[0], markersize=2)
        return figure


def landmarker() -> Callable[[Tensor], Tensor]:
    """The small landmarker that `WarpOnto()` runs: of drawn photographs, trained with transport, maps decoded by means.

    >>> landmarker()(torch.rand(1, 3, 64, 64)).shape
    torch.Size([1, 68, 2])
    """
    net = conditional_warp.SoftArgmax(perturb_explorer.kept()[0]["W"]).eval()
    return lambda images: net(images)[-1]


def keep(images: Tensor, truth: Tensor, styles: Sequence[str], path: Path = KEPT) -> None:
    """Write the faces that `WarpOnto()` shows."""
    np.savez_compressed(path, images=images.numpy(), truth=truth.float().numpy(), styles=json.dumps(list(styles)))


def kept(path: Path = KEPT) -> tuple[Tensor, Tensor, list[str]]:
    """Read what `keep` wrote: images (f, 3, side, side), landmarks (f, 68, 2), styles."""
    _checks.need(path.exists(), "images", "faces, or those that `keep` wrote", f"None, and there is no {path.name}")
    with np.load(path) as file:
        return torch.from_numpy(file["images"]), torch.from_numpy(file["truth"]), json.loads(str(file["styles"]))
