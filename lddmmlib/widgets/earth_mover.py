"""Heaps of earth in a row that the reader raises and lowers, and the plan that makes one row of the other."""

from __future__ import annotations

from pathlib import Path

import torch
import traitlets
from torch import Tensor

from lddmmlib import optimal_transport as transport
from lddmmlib._shapes import Float
from lddmmlib.widgets.base import Number, Numbers, StaticWidget

QUESTION = (
    "Predict before you try. Raise the last orange heap: which green arrows grow?\n"
    "Make ε as small as it goes: does the plan become a thin line for |x − y|, and for |x − y|²?\n"
    "Can earth cross a border both ways? When does ε make it do so?"
)

ALT = (
    "Left, blue heaps upwards and orange ones downwards over the same places, with green arrows that show how much "
    "earth crosses each border. Right, the plan as squares, from a heap, a row, to a heap, a column."
)

POWERS = {"distance": 1, "square": 2}


class EarthMover(StaticWidget):
    """Two rows of heaps, and Sinkhorn's plan between them.

    Every trait is state that the reader moves and that Python can read or set: the heights ``u`` and ``v`` of an even
    number of heaps, from 0 to 1, of which only the shares count; ``eps``, in heaps (or their square); the ``cost`` of a
    way, "distance" or "square"; and ``selected``, the heap that the keyboard moves, those of v after those of u.

    >>> mover = EarthMover(u=[1.0, 0.0, 0.0, 0.0], v=[0.0, 0.0, 0.5, 0.5])
    >>> mover.work(), round(mover.transport().cost.item(), 6)
    (2.5, 2.5)
    """

    script = Path(__file__).with_suffix(".js")
    u = Numbers([0.5, 0.8, 0.6, 0.3, 0.1, 0.0, 0.3, 0.3, 0.1, 0.0])
    v = Numbers([0.0, 0.0, 0.2, 0.2, 0.5, 0.8, 0.9, 0.5, 0.2, 0.1])
    eps = Number(0.5, min=0.25, max=16.0)
    cost = traitlets.Enum(tuple(POWERS), "distance").tag(sync=True)
    selected = traitlets.Int(1, min=0).tag(sync=True)

    def __init__(self, **traits) -> None:
        super().__init__(**{"question": QUESTION, "alt": ALT} | traits)

    @traitlets.validate("u", "v")
    def _heaps(self, proposal: traitlets.Bunch) -> object:
        name, value = proposal["trait"].name, proposal["value"]
        flat = all(isinstance(x, int | float) and 0 <= x <= 1 for x in value)
        if not flat or not any(value) or len(value) % 2 or not 4 <= len(value) <= 16:
            raise traitlets.TraitError(f"{name}: needed 4 to 16 heights, an even number, from 0 to 1; got {value}")
        return value

    @traitlets.validate("selected")
    def _there(self, proposal: traitlets.Bunch) -> int:
        if proposal["value"] >= 2 * len(self.u):
            raise traitlets.TraitError(f"selected: needed a heap, 0 to {2 * len(self.u) - 1}; got {proposal['value']}")
        return proposal["value"]

    def shares(self) -> Float[Tensor, "2 n"]:
        """u and v, each divided by its sum. Raises ValueError where they differ in length."""
        if len(self.u) != len(self.v):
            raise ValueError(f"u, v: needed as many heaps of each, got {len(self.u)} and {len(self.v)}")
        rows = torch.tensor([self.u, self.v], dtype=torch.float64)
        return rows / rows.sum(1, keepdim=True)

    def work(self) -> float:
        """What crosses the borders, summed: W1."""
        return self.shares().cumsum(1).diff(dim=0).abs().sum().item()

    def transport(self) -> transport.Transport:
        """Sinkhorn's solution, of maps of one row."""
        u, v = self.shares()[:, None]
        return transport.sinkhorn(u, v, self.eps, POWERS[self.cost], solver="log")

    def plan(self) -> Float[Tensor, "n n"]:
        """How much goes from each heap, a row, to each heap, a column."""
        (u, v), found = self.shares(), self.transport()
        k = torch.arange(len(u), dtype=torch.float64)
        way = (k[:, None] - k).abs() ** POWERS[self.cost]
        return u[:, None] * v * ((found.f.mT + found.g - way) / self.eps).exp()

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure = Figure(figsize=(7.2, 3.1))
        left, right = figure.subplots(1, 2)
        (u, v), n = self.shares(), len(self.u)
        left.bar(range(n), u.numpy(), color=plots.PALETTE[0], label="u")
        left.bar(range(n), -v.numpy(), color=plots.PALETTE[1], label="v")
        crosses = (u - v).cumsum(0)[:-1]
        left.bar([k + 0.5 for k in range(n - 1)], crosses.numpy(), 0.15, color=plots.PALETTE[2], label="crosses")
        left.legend(fontsize=8)
        right.imshow(self.plan().sqrt().numpy(), cmap="Greys", origin="lower")
        right.plot([-0.5, n - 0.5], [-0.5, n - 0.5], "--", color=plots.PALETTE[2], linewidth=1)
        right.set(xlabel="to heap", ylabel="from heap", title=f"ε = {self.eps:g}")
        return figure
