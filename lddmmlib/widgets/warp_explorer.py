"""A drawn face warped by a few points that the reader drags, and where the warped picture takes its colours from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor

from lddmmlib import polyharmonic
from lddmmlib._shapes import Float
from lddmmlib.faces import synthetic
from lddmmlib.widgets.base import Number, Numbers, StaticWidget

QUESTION = (
    "Predict before you try. The right picture shows where the left one takes its colours from. Drag a corner of the "
    "mouth outwards: which way does the grid on the right move?\n"
    "Drag the nose across an eye. What happens to the plane where two marks want to change places, and which order "
    "suffers most?\n"
    "Set the corners free: what does each order do to the edge of the picture?\n"
    "Can smoothing undo a fold? What does it cost?"
)

ALT = (
    "Left, a drawn face warped by twelve marked points to a longer chin, raised brows and a wide mouth, under a "
    "regular grid. Right, the face as it was, under the same grid bent: it shows where each place of the left picture "
    "has its colour from."
)

# Of the 68 points: what they are, and where the widget shows them at first, px of 128.
MARKS = {
    3: ("left cheek", (-2, 2)), 8: ("chin", (0, 7)), 13: ("right cheek", (2, 2)), 19: ("left brow", (0, -4)),
    24: ("right brow", (0, -4)), 36: ("left eye, outer corner", (-1, 0)), 39: ("left eye, inner corner", (0, 0)),
    42: ("right eye, inner corner", (0, 0)), 45: ("right eye, outer corner", (1, 0)), 30: ("nose", (0, 0)),
    48: ("left corner of the mouth", (-4, -2)), 54: ("right corner of the mouth", (4, -2)),
}  # fmt: skip
LINES = 8  # px between the lines of the grid


class WarpExplorer(StaticWidget):
    """A square picture that shows at ``target`` what was at ``source``: `polyharmonic.warp`, and its map.

    image: (3, size, size), red, green, blue from 0 to 255; None is a drawn face with 12 marked points. source: (n, 2),
    px; names: what the points are called. Every other trait is state that the reader moves and that Python can read or
    set: ``target`` (n, 2), ``order``, ``smoothing``, whether the picture's corners are ``pinned`` where they are,
    whether the ``grid`` is shown, and ``selected``, the point that the keyboard moves.

    >>> explorer = WarpExplorer(torch.zeros(3, 32, 32), [[9.0, 9.0], [20.0, 9.0], [9.0, 20.0]])
    >>> explorer.target = [[12.0, 9.0], [23.0, 9.0], [12.0, 20.0]]
    >>> explorer.pinned = False  # three points: an affine map, here a shift
    >>> [round(x, 6) for x in explorer.moves()[:, 5, 5].tolist()]
    [-3.0, 0.0]
    """

    script = Path(__file__).with_suffix(".js")
    image = traitlets.Bytes(help="rows of red, green, blue").tag(sync=True)
    size = traitlets.Int(128, min=8, max=256).tag(sync=True)
    source = Numbers()
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    target = Numbers()
    order = traitlets.Enum(polyharmonic.ORDERS, 2).tag(sync=True)
    smoothing = Number(0.0, min=0.0, max=10.0)
    pinned = traitlets.Bool(True).tag(sync=True)
    grid = traitlets.Bool(True).tag(sync=True)
    selected = traitlets.Int(0, min=0).tag(sync=True)

    def __init__(
        self,
        image: Float[Tensor, "3 size size"] | None = None,
        source: Sequence | None = None,
        names: Sequence[str] | None = None,
        **traits,
    ) -> None:
        self._refuse_unknown(traits)
        if image is None:
            face = synthetic.sample(10, "studio", size=128)
            image, source = face.image, face.landmarks[list(MARKS)].round(decimals=1)
            names, moves = zip(*MARKS.values(), strict=True)
            traits = {"target": source + torch.tensor(moves), "selected": 1} | traits
        source = torch.as_tensor(source, dtype=torch.float64)
        pixels = image.detach().cpu().round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
        names = [f"point {i}" for i in range(len(source))] if names is None else list(names)
        given = {"question": QUESTION, "alt": ALT, "target": source} | traits
        start = {"size": image.shape[-1], "image": pixels.numpy().tobytes(), "source": source, "names": names}
        super().__init__(**start)
        for name, value in given.items():  # the target is checked against all of the above
            setattr(self, name, value)

    @traitlets.validate("target", "selected")
    def _fits(self, proposal: traitlets.Bunch) -> object:
        """Targets in the picture, one for each source, at places that determine a spline."""
        name, value, n = proposal["trait"].name, proposal["value"], len(self.source)
        if name == "selected":
            if value >= n:
                raise traitlets.TraitError(f"selected: needed an index of a point, 0 to {n - 1}; got {value}")
            return value
        if np.shape(value) != (n, 2) or np.min(value) <= 0 or np.max(value) >= self.size - 1:
            wanted = f"shape {(n, 2)}, between 0 and {self.size - 1}"
            raise traitlets.TraitError(f"target: needed {wanted}, got {np.shape(value)}, {value}")
        try:
            polyharmonic.fit(*(self._with_corners(x) for x in (value, self.source)))
        except ValueError as error:
            raise traitlets.TraitError(f"target: {error}") from error
        return value

    def _with_corners(self, points: Sequence) -> Tensor:
        far = self.size - 1.0
        corners = [[0, 0], [far, 0], [0, far], [far, far]] if self.pinned else []
        return torch.tensor([*points, *corners], dtype=torch.float64)

    def spline(self) -> polyharmonic.Spline:
        """From the place in the result to the move, px, that leads to the place in the picture."""
        source, target = self._with_corners(self.source), self._with_corners(self.target)
        return polyharmonic.fit(target, source - target, self.order, self.smoothing)

    def moves(self) -> Float[Tensor, "2 size size"]:
        """The move of each pixel, x and y."""
        return polyharmonic.evaluate(self.spline(), self._pixels()).T.unflatten(1, (self.size, self.size))

    def determinants(self) -> Float[Tensor, "size size"]:
        """Of the map's derivative at each pixel; where it is not positive the map folds."""
        y = self._pixels().requires_grad_()
        f = y + polyharmonic.evaluate(self.spline(), y)
        rows = [torch.autograd.grad(f[:, k].sum(), y, retain_graph=True)[0] for k in (0, 1)]
        return torch.linalg.det(torch.stack(rows, -2)).reshape(self.size, self.size)

    def warped(self) -> Float[Tensor, "3 size size"]:
        """The result, 0 to 255."""
        ends = self._with_corners(self.source), self._with_corners(self.target)
        return polyharmonic.warp(self._picture().double(), *ends, self.order, self.smoothing)

    def _pixels(self) -> Tensor:
        at = torch.arange(self.size, dtype=torch.float64)
        return torch.cartesian_prod(at, at).flip(-1)

    def _picture(self) -> Tensor:
        rows = np.frombuffer(self.image, dtype=np.uint8).reshape(self.size, self.size, 3)
        return torch.from_numpy(rows.copy()).permute(2, 0, 1)

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure = Figure(figsize=(4.4, 2.4))
        axes, purple = figure.subplots(1, 2), plots.PALETTE[3]
        y = self._pixels().T.reshape(2, self.size, self.size)
        f, folded = y + self.moves(), self.determinants() <= 0
        shown = (("the result", self.warped(), y, self.target), ("where from", self._picture(), f, self.source))
        for ax, (title, image, at, marks) in zip(axes, shown, strict=True):
            ax.imshow((image.permute(1, 2, 0) / 255).numpy(), interpolation="nearest")
            every = [*range(0, self.size - 1, LINES), self.size - 1]
            for line in (at[:, every], at[:, :, every].mT):
                ax.plot(line[0].T, line[1].T, color="white", linewidth=0.5, alpha=0.7)
            ax.scatter(*at[:, folded], s=2, color=purple)
            ax.scatter(*np.array(marks).T, s=14, color=plots.PALETTE[1], edgecolors="white", linewidths=0.7)
            ax.set(title=title, xlim=(-0.5, self.size - 0.5), ylim=(self.size - 0.5, -0.5))
            ax.set_axis_off()
        return figure
