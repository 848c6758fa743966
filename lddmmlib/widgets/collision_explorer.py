"""Two landmarks heading at one another, and what of energy and momentum their flow conserves."""

from __future__ import annotations

from pathlib import Path

import torch
import traitlets
from torch import Tensor

from lddmmlib import flows
from lddmmlib._shapes import Float
from lddmmlib.matching import MODELS
from lddmmlib.widgets.base import Number, StaticWidget

QUESTION = (
    "Predict before you try. Two landmarks head at one another: do they meet, bounce off or pass? And what becomes of "
    "their momenta meanwhile?\n"
    "Make the second one's momentum twice the first's, then give the lines an offset: which curves stay flat?\n"
    "Now take constant momenta, then Euler with few steps: what is conserved no longer, and can they pass through?"
)

ALT = (
    "Left, two landmarks that head at one another and stop short, with the grid squeezed between them. Middle, their "
    "energy over time: the parts grow, the sum is flat. Right, their momenta, which grow against each other."
)

HALF = 60.0  # px from the middle to where each starts


class CollisionExplorer(StaticWidget):
    """The smallest geodesic with something to see: two landmarks 120 px apart, heading at one another.

    Every trait is state that the reader moves and that Python can read or set: ``offset`` in px between the parallel
    lines on which they come, ``momentum`` in px of the first, ``ratio`` of the second's momentum to it, ``sigma`` in
    px, ``model`` ("shoot" or "flow", functions of `lddmmlib.flows`), ``method`` ("euler", "rk2", "rk4"), ``steps``,
    and ``time``, at which the plane is shown.

    >>> explorer = CollisionExplorer()
    >>> left, right = explorer.flow().end.tolist()
    >>> left[0] < right[0]
    True
    """

    script = Path(__file__).with_suffix(".js")
    offset = Number(0.0, min=-80.0, max=80.0)
    momentum = Number(72.0, min=0.0, max=160.0)
    ratio = Number(1.0, min=0.0, max=2.0)
    sigma = Number(40.0, min=10.0, max=100.0)
    model = traitlets.Enum(tuple(MODELS), "shoot").tag(sync=True)
    method = traitlets.Enum(("euler", "rk2", "rk4"), "rk4").tag(sync=True)
    steps = traitlets.Int(50, min=2, max=100).tag(sync=True)
    time = Number(1.0, min=0.0, max=1.0)

    def __init__(self, **traits) -> None:
        super().__init__(**{"question": QUESTION, "alt": ALT} | traits)

    def started(self) -> tuple[Float[Tensor, "2 2"], Float[Tensor, "2 2"]]:
        """Where they start and with which momenta, in px."""
        x0 = torch.tensor([[-HALF, self.offset / 2], [HALF, -self.offset / 2]], dtype=torch.float64)
        return x0, torch.tensor([[self.momentum, 0.0], [-self.ratio * self.momentum, 0.0]], dtype=torch.float64)

    def flow(self, points: Float[Tensor, "m 2"] | None = None) -> flows.Flow:
        """The flow to its end in double precision, `points` (m, 2) riding along."""
        return MODELS[self.model](*self.started(), self.sigma, self.steps, self.method, points)

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure = Figure(figsize=(9, 2.9))
        plane, energy, momenta = figure.subplots(1, 3, width_ratios=[1.3, 1, 1])
        y, x = torch.meshgrid(*(torch.linspace(-s, s, n).double() for s, n in ((70, 17), (105, 25))), indexing="ij")
        nodes = torch.stack([x, y], -1)
        found = self.flow(nodes.reshape(-1, 2))
        grid = found.points.reshape(nodes.shape)
        for lines in (grid, grid.transpose(0, 1)):
            plane.plot(*lines.permute(2, 1, 0), color="0.75", linewidth=0.6)
        for i in range(2):
            plane.plot(*found.path[:, i].T, color=plots.PALETTE[i])
            plane.scatter(*found.path[[0, -1], i].T, s=[14, 40], color=plots.PALETTE[i], zorder=3)
        plane.set(aspect="equal", title="the plane at time 1")
        plane.invert_yaxis()
        plane.set_axis_off()
        t = torch.linspace(0, 1, len(found.path))
        p = found.momenta if self.model == "shoot" else self.started()[1].expand_as(found.path)
        total = flows.hamiltonian(found.path, p, self.sigma)
        own = p.square().sum((-2, -1)) / 2
        blue, orange, purple = plots.PALETTE[0], plots.PALETTE[1], plots.PALETTE[3]
        for line, colour, label in ((own, blue, "own"), (total - own, purple, "shared"), (total, "black", "H")):
            energy.plot(t, 100 * line / total[0].clamp(min=1e-9), color=colour, label=label)
        energy.set(xlabel="time", ylabel="energy, % of H at the start")
        both = p[..., 0].sum(1)
        for line, colour, label in ((p[:, 0, 0], blue, "p₁"), (p[:, 1, 0], orange, "p₂"), (both, "black", "p₁ + p₂")):
            momenta.plot(t, line, color=colour, label=label)
        momenta.set(xlabel="time", ylabel="momenta, x part (px)")
        for ax in (energy, momenta):
            ax.legend(fontsize=8)
        return figure
