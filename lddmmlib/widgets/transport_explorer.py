"""Two blobs that the reader drags apart: the plan between them, the price of earth, and how the losses grow."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import traitlets
from torch import Tensor

from lddmmlib import heatmaps
from lddmmlib import optimal_transport as transport
from lddmmlib._shapes import Float
from lddmmlib.widgets.base import Number, Numbers, StaticWidget

QUESTION = (
    "Predict before you try. Pull the blobs apart: after how many cells does L2 stop growing, and what does σ change?\n"
    "Put one on the other: how many cells does the blurred plan still cost, and which ε brings it near to nothing?\n"
    "Leave a tenth of the mass out there and pull: which gradient at the logits grows, and which with all the mass?"
)

ALT = (
    "Left, an orange and a green blob on 20 x 20 cells, with the plan that moves the one to the other as lines. Right, "
    "the losses over the distance: L2 levels off, W1 is a straight line, Sinkhorn's cost approaches it from above."
)

SIDE = 20
SHOWN = ("plan", "price", "squares")


class TransportExplorer(StaticWidget):
    """A prediction and a truth as Gaussians on 20 x 20 cells, by squared difference and by optimal transport.

    Every trait is state that the reader moves and that Python can read or set, in cells: the places (x, y) of the
    ``prediction`` and the ``truth``; ``sigma`` of both; ``eps``; the ``share`` of the prediction's mass that is at its
    place, while the rest is where it should be; and what is ``shown``: "plan", "price" (the gradient of the transport
    cost) or "squares" (that of the squared difference).

    >>> explorer = TransportExplorer(prediction=[12.0, 12.0], truth=[6.0, 4.0], share=0.5)
    >>> {name: round(x, 1) for name, x in explorer.losses().items()}
    {'l2': 25.0, 'w1': 5.0, 'cost': 5.5, 'value': 5.8}
    """

    script = Path(__file__).with_suffix(".js")
    prediction = Numbers([13.0, 8.0])
    truth = Numbers([6.0, 11.0])
    sigma = Number(1.2, min=0.8, max=2.0)
    eps = Number(1.0, min=0.5, max=8.0)
    share = Number(1.0, min=0.05, max=1.0)
    shown = traitlets.Enum(SHOWN, "plan").tag(sync=True)

    def __init__(self, **traits) -> None:
        super().__init__(**{"question": QUESTION, "alt": ALT} | traits)

    @traitlets.validate("prediction", "truth")
    def _fits(self, proposal: traitlets.Bunch) -> object:
        name, value = proposal["trait"].name, proposal["value"]
        if len(value) != 2 or not all(isinstance(x, int | float) and 0 <= x <= SIDE - 1 for x in value):
            raise traitlets.TraitError(f"{name}: needed a point (x, y) from 0 to {SIDE - 1}, got {value}")
        return value

    def maps(self) -> tuple[Float[Tensor, "20 20"], Float[Tensor, "20 20"]]:
        """The prediction's map and the truth's, each with the sum 1, in double precision."""
        points = torch.tensor([self.prediction, self.truth], dtype=torch.float64)
        moved, v = heatmaps.encode(points, (SIDE, SIDE), self.sigma)
        moved, v = moved / moved.sum(), v / v.sum()
        return (1 - self.share) * v + self.share * moved, v

    def transport(self) -> transport.Transport:
        """Sinkhorn's solution between the two."""
        return transport.sinkhorn(*self.maps(), self.eps, solver="log")

    def losses(self) -> dict[str, float]:
        """L2 in per cent of the most that it can be; W1 without ε, Sinkhorn's cost and its value in cells."""
        (u, v), found = self.maps(), self.transport()
        l2 = 100 * ((u - v).square().sum() / (2 * v.square().sum())).item()
        w1 = self.share * math.dist(self.prediction, self.truth)
        return {"l2": l2, "w1": w1, "cost": found.cost.item(), "value": found.value.item()}

    def gradients(self) -> dict[str, Float[Tensor, "20 20"]]:
        """Of L2 and of Sinkhorn's value in the logits whose softmax the prediction's map is."""
        (u, v), found = self.maps(), self.transport()
        return {name: u * (phi - (u * phi).sum()) for name, phi in (("l2", 2 * (u - v)), ("w", found.f))}

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure = Figure(figsize=(7.2, 3.3))
        left, right = figure.subplots(1, 2)
        (u, v), found = self.maps(), self.transport()
        shown = {"plan": u - v, "price": found.f - found.f.min(), "squares": 2 * (u - v)}[self.shown]
        most = shown.abs().max().item() or 1.0
        left.imshow(shown.numpy(), cmap="PuOr_r", vmin=-most, vmax=most)
        for point, colour in ((self.prediction, plots.PALETTE[1]), (self.truth, plots.PALETTE[2])):
            left.plot(*point, "o", color=colour, markersize=10, fillstyle="none")
        if self.shown == "plan":
            y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
            places = torch.stack([x.flatten(), y.flatten()], 1).double()
            fit = (found.f.reshape(-1, 1) + found.g.flatten() - torch.cdist(places, places)) / self.eps
            plan = u.reshape(-1, 1) * v.flatten() * fit.exp()
            for at in plan.flatten().topk(150).indices.tolist():
                i, j = divmod(at, SIDE**2)
                left.plot(*places[[i, j]].T.numpy(), color="0.2", linewidth=90 * plan[i, j].item(), alpha=0.5)
        left.set_axis_off()
        names = {"l2": "L2 (% of its most)", "w1": "W1", "cost": "cost", "value": "value"}
        numbers = self.losses()
        bars = right.barh(list(names.values())[1:], [numbers[n] for n in list(names)[1:]], color=plots.PALETTE[0])
        right.bar_label(bars, fmt="%.2f")
        title = f"{names['l2']}: {numbers['l2']:.0f}, ε = {self.eps:g}"
        right.set(xlabel="cells", title=title)
        return figure
