"""Momenta that the reader drags as arrows, the flow that they make, and what it does to the plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor

from lddmmlib import _checks, flows
from lddmmlib._shapes import Float
from lddmmlib.faces import schemes, statistics
from lddmmlib.matching import MODELS
from lddmmlib.widgets.base import Number, Numbers, StaticWidget

QUESTION = (
    "Predict before you try. Take a single Euler step and pull the lower lip down: how far may it go before the plane "
    "folds? And with ten steps?\n"
    "Which of the two models ends farther away when arrows point at one another, and which one's energy is the same at "
    "every time?\n"
    "Make σ small: how many arrows does it take now to open the mouth?"
)

ALT = (
    "A mouth of 20 landmarks, with arrows that open it: where the landmarks flow to, and a grid that flows "
    "with them, blue where its cells shrink, orange where they grow."
)

NODES = 25  # of the grid along a side


class FlowExplorer(StaticWidget):
    """Landmarks with momenta, by geodesic shooting or with momenta constant in time.

    points: landmarks (n, 2) in any unit, called px here; None is the mouth of the mean 300-W face with 100 px between
    the eye corners. lines: the curves to draw, each a list of indices into the points. Every other trait is state that
    the reader moves and that Python can read or set: ``momenta`` (n, 2), ``sigma`` in px, ``model`` ("shoot" or
    "flow", functions of `lddmmlib.flows`), ``method`` ("euler", "rk2", "rk4"), ``steps``, ``time``, until which the
    flow is shown, and ``selected``, the landmark that the keyboard moves.

    >>> explorer = FlowExplorer(torch.tensor([[0.0, 0.0]]), momenta=[[3.0, 4.0]], sigma=10.0)
    >>> explorer.flow().end.round(decimals=6).tolist()  # alone, it moves by its momentum
    [[3.0, 4.0]]
    """

    script = Path(__file__).with_suffix(".js")
    points = Numbers()
    lines = traitlets.List(help="curves, each the indices of its points").tag(sync=True)
    momenta = Numbers()
    sigma = Number(25.0, min=0.01)
    model = traitlets.Enum(tuple(MODELS), "shoot").tag(sync=True)
    method = traitlets.Enum(("euler", "rk2", "rk4"), "rk2").tag(sync=True)
    steps = traitlets.Int(10, min=1, max=100).tag(sync=True)
    time = Number(1.0, min=0.0, max=1.0)
    selected = traitlets.Int(0, min=0).tag(sync=True)

    def __init__(
        self, points: Float[Tensor, "n 2"] | None = None, lines: Sequence[Sequence[int]] | None = None, **traits
    ) -> None:
        start = {"question": QUESTION, "alt": ALT}
        if points is None:
            points, curves, momenta = _mouth()
            lines = curves if lines is None else lines
            start |= {"momenta": momenta, "selected": 9}
        _checks.points(points, "points")
        start = {"momenta": torch.zeros_like(points)} | start
        super().__init__(points=points.double(), lines=[list(line) for line in lines or []], **start | traits)

    @traitlets.validate("points", "momenta", "selected", "lines")
    def _fits(self, proposal: traitlets.Bunch) -> object:
        """A momentum for each landmark; indices are of landmarks that there are."""
        name, value, n = proposal["trait"].name, proposal["value"], len(self.points)
        other = {"points": "momenta", "momenta": "points"}.get(name)
        if other:
            if np.shape(value) != (wanted := (len(getattr(self, other)), 2)):
                raise traitlets.TraitError(f"{name}: needed shape {wanted} as {other} has, got {np.shape(value)}")
            return value
        indices = [value] if name == "selected" else [i for line in value for i in line]
        if bad := [i for i in indices if not isinstance(i, int) or not 0 <= i < n]:
            raise traitlets.TraitError(f"{name}: needed indices of points, integers from 0 to {n - 1}; got {bad[0]}")
        return value

    def flow(self, points: Float[Tensor, "m 2"] | None = None) -> flows.Flow:
        """The flow to its end in double precision, `points` (m, 2) riding along."""
        x0, p0 = (torch.tensor(values, dtype=torch.float64) for values in (self.points, self.momenta))
        return MODELS[self.model](x0, p0, self.sigma, self.steps, self.method, points)

    def picture(self):
        from matplotlib.collections import PolyCollection
        from matplotlib.colors import LinearSegmentedColormap
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure = Figure(figsize=(4.2, 3.6))
        ax = figure.subplots()
        x0, p0 = np.array(self.points), np.array(self.momenta)
        nodes, area = _grid(torch.tensor(self.points, dtype=torch.float64))
        found = self.flow(nodes.reshape(-1, 2))
        shades = [plots.PALETTE[0], "white", plots.PALETTE[1]]
        colours = LinearSegmentedColormap.from_list("area", shades, N=17)  # few, so that the small PNG keeps them
        corners, det = _cells(found.points.reshape(nodes.shape).numpy(), area)
        fill = PolyCollection(corners, array=np.log2(det.clip(0.25, 4)), cmap=colours, edgecolors="0.6", linewidths=0.4)
        fill.set_clim(-2, 2)
        ax.add_collection(fill)
        ax.add_collection(PolyCollection(corners[det <= 0], facecolors=plots.PALETTE[3]))
        for line in self.lines:
            ax.plot(*x0[line].T, color="0.4", linestyle=":")
            ax.plot(*found.end[line].T, color="black")
        ax.scatter(*found.end.T, s=9, color="black", zorder=3)
        ax.quiver(*x0.T, *p0.T, angles="xy", scale_units="xy", scale=1, color=plots.PALETTE[0], width=0.008, zorder=4)
        ax.set(aspect="equal", xlim=nodes[0, [0, -1], 0].tolist(), ylim=nodes[[-1, 0], 0, 1].tolist())
        ax.set_axis_off()
        bar = figure.colorbar(fill, ax=ax, label="area of a cell", shrink=0.8)
        bar.set_ticks([-2, -1, 0, 1, 2], labels=["× ¼", "× ½", "× 1", "× 2", "× 4"])
        return figure


def _mouth() -> tuple[Tensor, list[list[int]], Tensor]:
    """The mean face's mouth, its two curves, and momenta that open it."""
    scheme = schemes.get("300w-68")
    curves = [scheme.curves[name] for name in ("outer_lip", "inner_lip")]
    first = min(map(min, curves))
    points = 100 * statistics.real_300w().mean[first:]
    momenta = torch.zeros_like(points)
    momenta[[8, 9, 10]] = torch.tensor([[2.0, 5.0], [0.0, 9.0], [-2.0, 5.0]], dtype=points.dtype)
    momenta[[0, 3, 6]] = torch.tensor([[6.0, -4.0], [0.0, -5.0], [-6.0, -4.0]], dtype=points.dtype)
    return points - points.mean(0) + 100, [[i - first for i in (*curve, curve[0])] for curve in curves], momenta


def _grid(points: Float[Tensor, "n 2"]) -> tuple[Float[Tensor, "k k 2"], float]:
    """A square lattice around the points, 1.84 times as large as they are, and the area of its cells."""
    low, high = points.amin(0), points.amax(0)
    half = float((high - low).max()) or 50.0
    t = torch.linspace(-0.92 * half, 0.92 * half, NODES, dtype=points.dtype)
    y, x = torch.meshgrid(t, t, indexing="ij")
    return (low + high) / 2 + torch.stack([x, y], -1), float(t[1] - t[0]) ** 2


def _cells(nodes: np.ndarray, area: float) -> tuple[np.ndarray, np.ndarray]:
    """The corners of each cell (m, 4, 2), and its signed area in units of ``area``."""
    a, b, c, d = nodes[:-1, :-1], nodes[:-1, 1:], nodes[1:, 1:], nodes[1:, :-1]
    (u, v), (s, t) = np.moveaxis(c - a, -1, 0), np.moveaxis(d - b, -1, 0)
    return np.stack([a, b, c, d], 2).reshape(-1, 4, 2), ((u * t - v * s) / (2 * area)).ravel()
