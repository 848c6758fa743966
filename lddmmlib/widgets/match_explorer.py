"""One curve that finds another: the reader moves the target, and the cheapest flow onto it is found anew."""

from __future__ import annotations

from pathlib import Path

import torch
import traitlets
from torch import Tensor

from lddmmlib import matching
from lddmmlib._shapes import Float
from lddmmlib.faces import schemes, statistics
from lddmmlib.widgets.base import Number, Numbers, StaticWidget

QUESTION = (
    "Predict, then drag: pull one point of the orange jaw far out. Does the blue one follow it all the way?\n"
    "Make motion dearer, with a larger γ: where does the flow give up first?\n"
    "Match by the curve alone: may its points now slide along the target?\n"
    "Make σ small: what does the grid do between the points?"
)

ALT = (
    "A jaw of nine points in grey, another in orange, and the first as the flow has moved it, in blue, nearly on the "
    "other; the grid has moved with it."
)

SIZE, STEPS, BETA = 200.0, 8, 0.1  # px of the plane; midpoint steps; β
TERMS = {"both": (True, True), "landmarks": (False, True), "curve": (True, False)}  # by D_c, by D_l
KEPT = slice(0, 17, 2)  # of the jaw's 17


class MatchExplorer(StaticWidget):
    """Inexact matching of one open curve to another, equation 2 of paper A, by geodesic shooting.

    Every trait is state that the reader moves and that Python can read or set: ``target``, the points (9, 2) in px;
    ``sigma``, the width σ_V in px, and σ_W is its half; ``gamma``, the weight γ of the energy; ``terms``, "both",
    "landmarks" or "curve"; ``time``, at which the template is shown; ``selected``, the point that the keyboard moves.

    >>> explorer = MatchExplorer()
    >>> explorer.target = explorer.template  # nothing to move
    >>> explorer.match().momenta.abs().max().item()
    0.0
    """

    script = Path(__file__).with_suffix(".js")
    template = Numbers()
    target = Numbers()
    sigma = Number(40.0, min=15.0, max=90.0)
    gamma = Number(0.01, min=0.001, max=0.3)
    terms = traitlets.Enum(tuple(TERMS), "both").tag(sync=True)
    time = Number(1.0, min=0.0, max=1.0)
    selected = traitlets.Int(1, min=0, max=8).tag(sync=True)

    def __init__(self, **traits) -> None:
        jaw = _jaw()
        other = jaw + torch.tensor([[4.0, 12.0]]) + torch.linspace(-18, 18, 9)[:, None] * torch.tensor([[1.0, 0.0]])
        own = {"template": jaw, "target": other.round(decimals=1)}
        super().__init__(**own | {"question": QUESTION, "alt": ALT} | traits)

    @traitlets.validate("template", "target")
    def _nine(self, proposal: traitlets.Bunch) -> object:
        if len(proposal["value"]) != 9 or any(not isinstance(p, list) or len(p) != 2 for p in proposal["value"]):
            raise traitlets.TraitError(f"{proposal['trait'].name}: needed 9 points (x, y), got {proposal['value']}")
        return proposal["value"]

    def match(self, points: Float[Tensor, "m 2"] | None = None) -> matching.Match:
        """The match in double precision, ``points`` riding along; `matching.match` with what the traits say."""
        x, y = (torch.tensor(value, dtype=torch.float64) for value in (self.template, self.target))
        curve, landmarks = TERMS[self.terms]
        return matching.match(
            x, y, self.sigma, self.sigma / 2 if curve else None, BETA, self.gamma,
            points=points, landmarks=landmarks, steps=STEPS,
        )  # fmt: skip

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure = Figure(figsize=(3.2, 3.2))
        ax = figure.subplots()
        t = torch.linspace(5, SIZE - 5, 17, dtype=torch.float64)
        found = self.match(torch.stack(torch.meshgrid(t, t, indexing="xy"), -1).reshape(-1, 2))
        grid = found.points.reshape(17, 17, 2)
        for lines in (grid, grid.transpose(0, 1)):
            ax.plot(*lines.permute(2, 1, 0), color="0.82", linewidth=0.6)
        for points, colour in (
            (self.template, "0.5"),
            (self.target, plots.PALETTE[1]),
            (found.deformed, plots.PALETTE[0]),
        ):
            ax.plot(*torch.as_tensor(points).T, "o-", color=colour, markersize=4)
        ax.set(aspect="equal", xlim=(0, SIZE), ylim=(SIZE, 0))
        ax.set_axis_off()
        return figure


def _jaw() -> Float[Tensor, "9 2"]:
    """Every other point of the mean face's jaw, in the middle of the plane, px."""
    points = 70 * statistics.real_300w().mean[list(schemes.get("300w-68").curves["jaw"])][KEPT]
    return (points - (points.amin(0) + points.amax(0)) / 2 + SIZE / 2).round(decimals=1)
