"""Two or three arrows that together should reach a target, and the lasso's path through them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor

from lddmmlib import lars
from lddmmlib._shapes import Float
from lddmmlib.widgets.base import Number, Numbers, StaticWidget

QUESTION = (
    "Predict before you try. Which arrow is taken first: what decides, its angle to the target or its length too?\n"
    "Where does the second one join, in which direction does the fit go on from there, and what do the correlations of "
    "the two do?\n"
    "Can an arrow that was taken be put back? Look at the third example."
)

ALT = (
    "Left, two arrows and a target in the plane, and the way of the fit: along the first arrow, then between both. "
    "Right, the coefficients over the budget |h|₁, and the correlations, which meet where the second arrow joins."
)

EXAMPLES = {
    "Two in the plane": {"columns": [[1.2, 0.3], [0.3, 1.0]], "target": [1.2, 0.9]},
    "Three in space": {"columns": [[1.1, 0.2, 0.1], [-0.2, 1.1, 0.3], [0.1, -0.3, 1.1]], "target": [0.9, 0.7, 0.6]},
    "One that drops": {"columns": [[-1.0, 0.3, 0.4], [-0.5, 0.5, -0.2], [0.4, 1.0, -0.2]], "target": [-0.9, -0.1, 1.1]},
}


class LarsExplorer(StaticWidget):
    """The lasso's path for the columns of X and the target y: min over h of ½ |y - X h|² + λ |h|₁.

    Every trait is state that the reader moves and that Python can read or set: the ``columns`` of X, two or three
    vectors (p, d) of the plane or of space; the ``target`` (d,); ``share``, how much of the path's largest |h|₁ is
    spent; ``turn`` and ``tilt`` of the space in degrees; and ``selected``, the arrow that the keyboard moves, of which
    the last is the target.

    >>> explorer = LarsExplorer(columns=[[1.0, 0.0], [0.0, 1.0]], target=[1.0, 0.5], share=0.5)
    >>> explorer.fit().tolist()
    [0.625, 0.125]
    """

    script = Path(__file__).with_suffix(".js")
    columns = Numbers(EXAMPLES["Two in the plane"]["columns"])
    target = Numbers(EXAMPLES["Two in the plane"]["target"])
    share = Number(0.5, min=0.0, max=1.0)
    turn = Number(-25.0, min=-180.0, max=180.0)
    tilt = Number(20.0, min=-90.0, max=90.0)
    selected = traitlets.Int(0, min=0).tag(sync=True)
    examples = traitlets.Dict(EXAMPLES, read_only=True).tag(sync=True)

    def __init__(self, **traits) -> None:
        super().__init__(**{"question": QUESTION, "alt": ALT} | traits)

    @traitlets.validate("columns", "target", "selected")
    def _fits(self, proposal: traitlets.Bunch) -> object:
        """Two or three columns, all of the plane or of space, and the target with them."""
        name, value = proposal["trait"].name, proposal["value"]
        columns, target = np.shape(self.columns), np.shape(self.target)
        if name == "selected" and value > columns[0]:
            raise traitlets.TraitError(f"selected: needed 0 to {columns[0]}, the last for the target; got {value}")
        columns = np.shape(value) if name == "columns" else columns
        target = np.shape(value) if name == "target" else target
        if len(columns) != 2 or columns[0] not in (2, 3) or columns[1] not in (2, 3) or target != columns[1:]:
            raise traitlets.TraitError(
                f"{name}: needed two or three columns (p, d) and a target (d,), where d is 2 or 3; "
                f"got {columns} and {target}; set both in one go: `with explorer.hold_trait_notifications():`"
            )
        return value

    def products(self) -> tuple[Float[Tensor, "p p"], Float[Tensor, " p"]]:
        """XᵀX and Xᵀy in double precision."""
        columns, target = (torch.tensor(x, dtype=torch.float64) for x in (self.columns, self.target))
        return columns @ columns.T, columns @ target

    def path(self) -> lars.Path:
        """The whole path."""
        return lars.path(*self.products())

    def fit(self) -> Float[Tensor, " p"]:
        """The coefficients at ``share``."""
        most = self.path().coefs[-1].abs().sum().item()
        return lars.budget(*self.products(), self.share * most).coefs

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure = Figure(figsize=(9, 3))
        plane, coefficients, tied = figure.subplots(1, 3)
        columns, target = np.array(self.columns), np.array(self.target)
        found, (gram, xy) = self.path(), self.products()
        sizes, way = found.coefs.abs().sum(1), found.coefs.numpy() @ columns
        colours = plots.PALETTE[: len(columns)]
        arrow = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.012}
        for j, (x, colour) in enumerate(zip(columns, colours, strict=True)):
            name = f"x$_{j + 1}$"
            plane.quiver(0, 0, *x[:2], color=colour, **arrow)
            plane.text(*(1.08 * x[:2]), name, color=colour)
            coefficients.plot(sizes, found.coefs[:, j], color=colour, label=name)
            tied.plot(sizes, (xy - found.coefs @ gram)[:, j].abs(), color=colour, label=name, linewidth=4 - j)
        plane.quiver(0, 0, *target[:2], color="black", **arrow)
        plane.text(*(1.05 * target[:2]), "y")
        plane.plot(*way[:, :2].T, "o-", color=plots.PALETTE[3], markersize=4)
        ends = np.concatenate([columns, [target, 0 * target]])[:, :2]
        low, high = ends.min(0) - 0.2, ends.max(0) + 0.2
        plane.set(aspect="equal", xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        plane.set_axis_off()
        coefficients.set(xlabel="|h|₁", ylabel="coefficients h")
        tied.set(xlabel="|h|₁", ylabel="correlations |c|")
        for ax in (coefficients, tied):
            ax.axvline(self.share * sizes[-1], color="0.6", linestyle="--")
            ax.legend(fontsize=8)
        return figure
