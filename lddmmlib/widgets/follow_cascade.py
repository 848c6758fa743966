"""A cascade on a drawn face, stage by stage: what each landmark sees, what it votes for, and who taught it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Float
from lddmmlib.faces import schemes
from lddmmlib.methods import coupled_regression as coupled
from lddmmlib.widgets.base import HERE, Number, Numbers, StaticWidget

KEPT = HERE / "follow_cascade.npz"  # what a trained cascade did on faces that it had not seen, see `keep`
BYTES = ("pictures", "votes")
STATE = ("sizes", "sides", "patch", "shapes", "truth", "middle", "scales", "taught", "lines", "names")

QUESTION = (
    "Press Play: the mean shape becomes this face. Then go back to the start and press a landmark: the square is all "
    "that it sees, the arrows are what it votes for. Does a landmark move itself alone? Who taught the pupils?"
)

ALT = (
    "A drawn face in grey with 113 landmarks, in three colours and shapes: those that the first set of faces labels, "
    "those that the second labels, and those that both do. A square around one landmark is what its descriptor sees; "
    "arrows at the landmarks are what it votes for."
)


class FollowCascade(StaticWidget):
    """A cascade of linear stages on a few faces: the shape after each, and the share of each landmark in each step.

    A linear stage adds up votes: ΔS = m + Σ_i W_i (φ_i - φ̄_i), where φ_i is the descriptor of landmark i, φ̄_i its mean
    over the faces given, W_i its 128 columns of the weights, and m the step for faces of mean descriptors. The votes of
    a landmark, W_i (φ_i - φ̄_i), are a shift of every landmark. They are exact up to the rounding to 255 steps.

    Args:
        found: a trained cascade of linear stages, with two sets of labels. None, with all of the following: what `keep`
            has written.
        images: the faces, each (c, h, w) uint8; φ̄ is the mean over all of them.
        boxes: (f, 4), px, of the kind that the training had.
        truth: (f, p, 2), px, their landmarks.
        scheme: that of the landmarks.
        shown: the first of the faces, which the page shows.

    Every other trait is state that the reader moves and that Python can read or set: ``face``; ``time``, from 0, the
    mean shape, to 1, after the last stage; and ``selected``, the landmark whose square and votes are shown.

    >>> explorer = FollowCascade()
    >>> explorer.vote().shape  # of landmark 36 in the first stage, for all 113
    torch.Size([113, 2])
    """

    script = Path(__file__).with_suffix(".js")
    pictures = traitlets.Bytes(help="gray crops, of each face one of each size").tag(sync=True)
    votes = traitlets.Bytes(help="faces, stages, landmarks that vote, landmarks, x and y: -127 to 127").tag(sync=True)
    sizes = Numbers()  # px of the crops
    sides = Numbers()  # px of the face's square, of each stage
    patch = Number(24.0)
    shapes = Numbers()  # faces, stages + 1, landmarks, x and y: in shares of the face's square
    truth = Numbers()
    middle = Numbers()  # stages, landmarks, x and y
    scales = Numbers()  # faces, stages: what 127 stands for
    taught = Numbers()  # 1, 2, or 3 for both
    lines = traitlets.List(help="curves, each the indices of its points").tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    face = traitlets.Int(0, min=0).tag(sync=True)
    time = Number(0.0, min=0.0, max=1.0)
    selected = traitlets.Int(36, min=0).tag(sync=True)

    def __init__(
        self,
        found: coupled.Coupled | None = None,
        images: Any = None,
        boxes: Float[Tensor, "f 4"] | None = None,
        truth: Float[Tensor, "f p 2"] | None = None,
        scheme: str | schemes.Scheme = "union-113",
        shown: int = 3,
        **traits: object,
    ) -> None:
        self._refuse_unknown(traits)
        start = _kept(KEPT) if found is None else _followed(found, images, boxes, truth, scheme, shown)
        super().__init__(**{"question": QUESTION, "alt": ALT} | start)
        for name, value in traits.items():  # checked against all of the above
            setattr(self, name, value)

    @traitlets.validate("face", "selected")
    def _fits(self, proposal: traitlets.Bunch) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        count = len(self.shapes) if name == "face" else len(self.taught)
        if value >= count:
            raise traitlets.TraitError(f"{name}: needed 0 to {count - 1}, got {value}")
        return value

    @property
    def stage(self) -> int:
        """The stage, from 0, whose patch and votes are shown: the next one, and the last one at the end."""
        return min(int(self.time * len(self.sides) + 1e-9), len(self.sides) - 1)

    def shape(self) -> Float[Tensor, "p 2"]:
        """The landmarks at the present time, in shares of the face's square."""
        k, shapes = self.stage, torch.tensor(self.shapes[self.face], dtype=torch.float64)
        return torch.lerp(shapes[k], shapes[k + 1], self.time * len(self.sides) - k)

    def vote(self, landmark: int | None = None) -> Float[Tensor, "p 2"]:
        """The shift of every landmark that one of them, the selected one if None, votes for in the present stage."""
        p, k = len(self.taught), self.stage
        votes = np.frombuffer(self.votes, np.int8).reshape(-1, len(self.sides), p, p, 2)
        one = torch.from_numpy(votes[self.face, k, self.selected if landmark is None else landmark].astype(float))
        return one * self.scales[self.face][k] / 127

    def crop(self) -> np.ndarray:
        """The gray picture that the present stage sees."""
        sizes = [int(n) for n in self.sizes]
        k = sizes.index(round(self.sides[self.stage] * sizes[-1] / max(self.sides)))
        at = self.face * sum(n * n for n in sizes) + sum(n * n for n in sizes[:k])
        return np.frombuffer(self.pictures, np.uint8)[at : at + sizes[k] ** 2].reshape(sizes[k], -1)

    def keep(self, path: Path = KEPT) -> None:
        """Write what is shown, so that it is what `FollowCascade()` shows."""
        arrays = {name: np.frombuffer(getattr(self, name), np.uint8) for name in BYTES}
        np.savez_compressed(path, state=json.dumps({name: getattr(self, name) for name in STATE}), **arrays)

    def picture(self):
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle

        from lddmmlib import plots

        figure = Figure(figsize=(4.6, 4.6))
        ax, image, side = figure.subplots(), self.crop(), self.sides[self.stage]
        edge = len(image) / side / 2
        ax.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(0.5 - edge, 0.5 + edge, 0.5 + edge, 0.5 - edge))
        x, v, at = self.shape().numpy(), 20 * self.vote().numpy(), np.array(self.shapes[self.face][self.stage])
        at = at[self.selected]
        for k, (marker, colour) in enumerate(zip("oDs", (5, 1, 7), strict=True), 1):
            these = x[np.array(self.taught) == k]
            ax.scatter(*these.T, s=24, marker=marker, color=plots.PALETTE[colour], ec="black", lw=0.4, zorder=3)
        ax.quiver(*x.T, *v.T, angles="xy", scale_units="xy", scale=1, color="white", width=0.004, zorder=2)
        wide = self.patch / side
        ax.add_patch(Rectangle(at - wide / 2, wide, wide, fill=False, color="white"))
        ax.set(xlim=(0.5 - edge, 0.5 + edge), ylim=(0.5 + edge, 0.5 - edge))
        ax.set_axis_off()
        return figure


def _followed(
    found: coupled.Coupled, images: Any, boxes: Tensor, truth: Tensor, scheme: str | schemes.Scheme, shown: int
) -> dict[str, Any]:
    """The state that a cascade gives on some faces."""
    cascade, how = found.cascade, found.cascade.how
    _checks.need(not how.hidden, "found", "linear stages, hidden=(), whose votes add up", f"hidden={how.hidden}")
    _checks.need(len(found.known) == 2, "found", "two sets of labels", len(found.known))
    cut, p, named = coupled._cut(images, boxes.double(), how), len(cascade.mean), schemes.get(scheme)
    shapes, votes, middle = [cascade.mean.expand(len(boxes), -1, -1)], [], []
    for k, (side, net) in enumerate(zip(how.sides, cascade.stages, strict=True)):
        phi = cascade.features(cut[side], shapes[-1], k).double()
        weight, bias = (w.detach().double() for w in (net[0].weight, net[0].bias))
        off = (phi - phi.mean(0))[:shown].view(shown, p, -1)
        votes.append(torch.einsum("fin,jin->fij", off, weight.view(2 * p, p, -1)).view(shown, p, p, 2))
        middle.append((bias + weight @ phi.mean(0)).view(p, 2))
        shapes.append(shapes[-1] + (phi @ weight.T + bias).view(-1, p, 2))
    votes = torch.stack(votes, 1)  # faces, stages, i, j, 2
    scales = votes.abs().amax((2, 3, 4))
    steps = (127 * votes / scales[..., None, None, None]).round().to(torch.int8)
    sizes = {len(crops[0]): crops for _, crops in sorted(cut.items())}
    pictures = b"".join(crops[i].numpy().tobytes() for i in range(shown) for crops in sizes.values())
    lines = [[*curve, *curve[: name in named.closed]] for name, curve in named.curves.items()]
    return {
        "pictures": pictures, "votes": steps.numpy().tobytes(), "sizes": list(sizes), "sides": list(how.sides),
        "patch": how.patch, "shapes": torch.stack(shapes, 1)[:shown].round(decimals=5),
        "truth": coupled.to_face(truth, boxes)[:shown].double().round(decimals=5),
        "middle": torch.stack(middle).round(decimals=6), "scales": scales.round(decimals=7),
        "taught": found.known[0].int() + 2 * found.known[1].int(), "lines": lines, "names": list(named.names),
        "selected": named.corners[0] if named.corners else 0,
    }  # fmt: skip


def _kept(path: Path) -> dict[str, Any]:
    needed = "a trained cascade and faces, or what `keep` wrote"
    _checks.need(path.exists(), "found", needed, f"None, and there is no {path.name}")
    with np.load(path) as file:
        return json.loads(str(file["state"])) | {name: file[name].tobytes() for name in BYTES}
