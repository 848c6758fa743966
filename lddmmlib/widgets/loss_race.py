"""One map that descends by gradient, side by side under a pixel-wise loss and under the Wasserstein distance."""

from __future__ import annotations

from pathlib import Path

import torch
import traitlets
from torch import Tensor

from lddmmlib import heatmaps
from lddmmlib import optimal_transport as transport
from lddmmlib._shapes import Float
from lddmmlib.widgets.base import Number, Numbers, StaticWidget

QUESTION = "Predict, then press Play: which map is at the target first, and where is each of them half-way?"

ALT = (
    "Two maps of 16 x 16 cells that started from the same blob on the left and descend to a target on the right, with "
    "their mean and their largest value. Below, how far these are from the target, over the steps."
)

SIDE, STEPS, WIDTH = 16, 100, 1.5  # cells; steps of Adam; cells, of the map at the start
RIVALS = {"l2": "L2 behind a softmax", "raw": "L2 of raw values", "cross_entropy": "cross-entropy"}


class LossRace(StaticWidget):
    """A map that is trained by itself, by a pixel-wise loss and by the Wasserstein distance, with Adam.

    Every trait is state that the reader moves and that Python can read or set: ``start`` and ``target``, places (x, y)
    in cells; ``sigma`` of the target, cells; ``rival``, "l2" (of the softmax of the values), "raw" (of the values
    themselves) or "cross_entropy"; ``way``, how W is computed, "gaussian" (by Sinkhorn with ``eps``, cells) or "point"
    (in closed form, to the target's place); and ``time``, the share of the 100 steps that are shown.

    >>> race = LossRace(target=[9.0, 8.0], way="point", time=0.2)
    >>> {name: round(far, 1) for name, far in race.distances().items()}
    {'rival': 4.8, 'w': 3.4}
    """

    script = Path(__file__).with_suffix(".js")
    start = Numbers([3.0, 8.0])
    target = Numbers([11.0, 6.0])
    sigma = Number(1.2, min=0.8, max=3.0)
    rival = traitlets.Enum(tuple(RIVALS), "l2").tag(sync=True)
    way = traitlets.Enum(("gaussian", "point"), "gaussian").tag(sync=True)
    eps = Number(0.5, min=0.5, max=8.0)
    time = Number(0.2, min=0.0, max=1.0)

    def __init__(self, **traits) -> None:
        super().__init__(**{"question": QUESTION, "alt": ALT} | traits)

    @traitlets.validate("start", "target")
    def _fits(self, proposal: traitlets.Bunch) -> object:
        name, value = proposal["trait"].name, proposal["value"]
        if len(value) != 2 or not all(isinstance(x, int | float) and 0 <= x <= SIDE - 1 for x in value):
            raise traitlets.TraitError(f"{name}: needed a point (x, y) from 0 to {SIDE - 1}, got {value}")
        return value

    def maps(self) -> dict[str, Float[Tensor, "16 16"]]:
        """The map of each of the two losses at the step that is shown, each with the sum 1, in double precision."""
        return {"rival": self._descend(self.rival), "w": self._descend(self.way)}

    def distances(self) -> dict[str, float]:
        """How far the barycentre of each map is from the target, cells."""
        target = torch.tensor(self.target, dtype=torch.float64)
        return {name: (transport.get_bc(u) - target).norm().item() for name, u in self.maps().items()}

    def _descend(self, name: str) -> Tensor:
        points = torch.tensor([[self.start], [self.target]], dtype=torch.float64)
        (first,), (h,) = (heatmaps.encode(y, (SIDE, SIDE), s) for y, s in zip(points, (WIDTH, self.sigma), strict=True))
        raw, v = name == "raw", h / h.sum()
        values = first / first.max() if raw else (first / first.sum() + 1e-6).log()
        values.requires_grad_()
        adam = torch.optim.Adam([values], lr=0.02 if raw else 0.2)
        for _ in range(round(self.time * STEPS)):
            adam.zero_grad()
            u = values.flatten().softmax(0).view_as(values)
            loss = {
                "l2": lambda u=u: (u - v).square().sum(),
                "raw": lambda: (values - h / h.max()).square().sum(),
                "cross_entropy": lambda u=u: -(v * u.log()).sum(),
                "gaussian": lambda u=u: transport.sinkhorn(u, v, self.eps, tol=1e-6).value,
                "point": lambda u=u: transport.w1_to_point(u, points[1, 0]),
            }[name]()
            loss.backward()
            adam.step()
        values = values.detach()
        u = values.clamp(min=0) if raw else values.flatten().softmax(0).view_as(values)
        return u / u.sum()

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure = Figure(figsize=(7, 3.6))
        titles = {"rival": RIVALS[self.rival], "w": "Wasserstein"}
        for ax, (name, u) in zip(figure.subplots(1, 2), self.maps().items(), strict=True):
            ax.imshow(u.sqrt().numpy(), cmap="Oranges" if name == "rival" else "Blues", vmin=0)
            ax.plot(*self.target, "o", markersize=14, fillstyle="none", color=plots.PALETTE[2], label="target")
            ax.plot(*transport.get_bc(u).tolist(), "x", color="black", label="mean")
            ax.set(title=f"{titles[name]}, {round(self.time * STEPS)} steps", xticks=[], yticks=[])
        ax.legend(fontsize=8)
        return figure
