"""Two curves that the reader moves, and what they are to one another as currents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor

from lddmmlib import _checks, currents
from lddmmlib._shapes import Float
from lddmmlib.faces import schemes, statistics
from lddmmlib.widgets.base import Number, Numbers, StaticWidget

QUESTION = (
    "Predict before you try. Flip curve B: which of the four numbers change, and what becomes of the field A − B?\n"
    "Split curve B again and again: why do the numbers change at all, and when do they stop? Does a larger σ help?\n"
    "Draw B far from A: where does the squared distance stop growing, and how does σ move that place?"
)

ALT = (
    "Two jaw lines as currents: an arrow in the middle of each segment, and the smoothed field of their difference, "
    "which is strong where the curves lie apart."
)


class CurrentExplorer(StaticWidget):
    """Curves A and B as vector-valued Diracs: norms, inner product and distance under a kernel of width σ.

    a, b: polylines (n, 2) of two points and more in any unit, called px here; None are two jaw lines of five points.
    Every trait is state that the reader moves and that Python can read or set: the curves ``a`` and ``b`` themselves,
    ``sigma`` in px, ``show``, whose field is drawn ("difference", "a", "b", "none"), and ``curve`` and ``selected``,
    the point that the keyboard moves.

    >>> explorer = CurrentExplorer(torch.tensor([[0.0, 0.0], [10.0, 0.0]]), torch.tensor([[10.0, 0.0], [0.0, 0.0]]))
    >>> explorer.values()
    {'a': 100.0, 'b': 100.0, 'inner': -100.0, 'distance': 400.0}
    """

    script = Path(__file__).with_suffix(".js")
    a = Numbers()
    b = Numbers()
    sigma = Number(30.0, min=0.01)
    show = traitlets.Enum(("difference", "a", "b", "none"), "difference").tag(sync=True)
    curve = traitlets.Enum(("a", "b"), "b").tag(sync=True)
    selected = traitlets.Int(0, min=0).tag(sync=True)

    def __init__(self, a: Float[Tensor, "n 2"] | None = None, b: Float[Tensor, "m 2"] | None = None, **traits) -> None:
        jaws = _jaws()
        given = {name: jaw if x is None else x for name, x, jaw in zip("ab", (a, b), jaws, strict=True)}
        for name, x in given.items():
            _checks.points(x, name)
        super().__init__(**{"question": QUESTION, "alt": ALT} | given | traits)

    @traitlets.validate("a", "b", "selected")
    def _fits(self, proposal: traitlets.Bunch) -> object:
        """Curves have a segment; the selected point is there."""
        name, value = proposal["trait"].name, proposal["value"]
        if name == "selected":
            if value >= (n := len(getattr(self, self.curve))):
                raise traitlets.TraitError(f"selected: needed an index below {n} into curve {self.curve}, got {value}")
        elif np.ndim(value) != 2 or np.shape(value)[1] != 2 or len(value) < 2:
            raise traitlets.TraitError(f"{name}: needed two points or more, shape (n, 2), got {np.shape(value)}")
        return value

    @traitlets.observe("a", "b", "curve")
    def _let_go(self, change: traitlets.Bunch) -> None:
        """Of a point that is there no longer; the last one of its curve is selected instead."""
        self.selected = min(self.selected, len(getattr(self, self.curve)) - 1)

    def curves(self) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "m 2"]]:
        """A and B as they stand, in double precision."""
        return tuple(torch.tensor(x, dtype=torch.float64) for x in (self.a, self.b))

    def values(self) -> dict[str, float]:
        """Squared norms of A and B, inner product, squared distance, in px²."""
        a, b = self.curves()
        norms = [currents.norm2(x, self.sigma).item() for x in (a, b)]
        distance = currents.distance2(a, b, self.sigma).item()
        return {"a": norms[0], "b": norms[1], "inner": (sum(norms) - distance) / 2, "distance": distance}

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure = Figure(figsize=(4.6, 3.8))
        ax = figure.subplots()
        (a, b), sign = self.curves(), {"a": (1, 0), "b": (0, 1), "difference": (1, -1), "none": (0, 0)}[self.show]
        places = _places(torch.cat([a, b]))
        field = sum(s * _field(x, places, self.sigma) for s, x in zip(sign, (a, b), strict=True))
        if any(sign):
            step, most = (places[1] - places[0]).norm(), field.norm(dim=-1).max().clamp(min=1e-9)
            size = {"scale_units": "xy", "scale": float(most / (1.6 * step)), "pivot": "mid"}
            ax.quiver(*places.T, *field.T, angles="xy", **size, color=plots.PALETTE[2], alpha=0.6, width=0.004)
        for curve, colour, name in ((a, plots.PALETTE[0], "A"), (b, plots.PALETTE[3], "B")):
            middle, along = (curve[1:] + curve[:-1]) / 2, curve[1:] - curve[:-1]
            ax.plot(*curve.T, "o-", color=colour, markersize=4)
            arrows = along / along.norm(dim=-1, keepdim=True).clamp(min=1e-9)
            head = {"scale": 40, "width": 0.006, "headwidth": 5, "headlength": 5, "headaxislength": 5}
            ax.quiver(*middle.T, *arrows.T, angles="xy", pivot="mid", color=colour, zorder=4, **head)
            ax.annotate(
                name, curve[0].tolist(), xytext=(-12, 4), textcoords="offset points", color=colour, weight="bold"
            )
        said = self.values()
        ax.set_title(f"squared distance {said['distance']:.1f} px², σ = {self.sigma:g} px", fontsize=10)
        ax.set(aspect="equal")
        ax.invert_yaxis()
        ax.set_axis_off()
        return figure


def _jaws() -> tuple[Tensor, Tensor]:
    """Every fourth landmark of the mean face's jaw, and the same line lower, flatter and turned."""
    jaw = 100 * statistics.real_300w().mean[list(schemes.get("300w-68").curves["jaw"])][::4]
    a = jaw - jaw.mean(0) + 100
    other = (a - 100) @ torch.tensor([[0.9, -0.1], [0.12, 0.75]], dtype=a.dtype) + torch.tensor([108.0, 122.0])
    return a.round(decimals=1), other.round(decimals=1)


def _places(points: Float[Tensor, "n 2"], columns: int = 17) -> Float[Tensor, "k 2"]:
    """Where the field is drawn: a square lattice around the points."""
    low, high = points.amin(0), points.amax(0)
    step = (high - low).max() * 1.3 / columns
    x, y = (
        torch.arange(float(lo - 3 * step), float(hi + 3 * step), float(step)) for lo, hi in zip(low, high, strict=True)
    )
    return torch.cartesian_prod(x.to(points), y.to(points))


def _field(curve: Float[Tensor, "n 2"], places: Float[Tensor, "k 2"], sigma: float) -> Float[Tensor, "k 2"]:
    """Σ_i K(z, c_i) τ_i at the places z."""
    from lddmmlib import kernels

    return kernels.product(places, (curve[1:] + curve[:-1]) / 2, curve[1:] - curve[:-1], sigma)
