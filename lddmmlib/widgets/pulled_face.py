"""A face that the reader pulls: each pull is a flow of one momentum, and everything rides along."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
import traitlets
from torch import Tensor

from lddmmlib import flows
from lddmmlib._shapes import Float
from lddmmlib.faces import geometry, placements
from lddmmlib.widgets.base import Number, Numbers, StaticWidget

QUESTION = "Pull the face anywhere, as far as you like. What would it take to tear it?"

ALT = "A face drawn in lines on a grid, pulled at a corner of its mouth into a crooked grin; the grid bends and holds."

SIZE = 300.0  # px, of the plane
SIGMA = 38.0  # px, the width of every pull
FEWEST = 6  # steps of a pull
SCHEMES = {"none": None, "29": "cofw-29", "68": "300w-68", "98": "wflw-98", "194": "helen-194"}
CORNER = 54  # of the 68: a corner of the mouth
SHARES = [k / 24 for k in range(25)]  # along a curve


class PulledFace(StaticWidget):
    """The mean drawn face as curves on a grid. A pull at x by d is the flow of one momentum,

        x(t) = x + t d,    dz/dt = exp(-|z - x(t)|²/σ²) d,    0 <= t <= 1,

    for all places z of the plane, in steps that are sure to fold nothing (`flows.min_steps`); and pulls follow one
    another: the composition of diffeomorphisms is one.

    Every trait is state that the reader moves and that Python can read or set: ``pulls``, a row (x, y, dx, dy) each,
    px; ``scheme``, "none", "29", "68", "98" or "194", whose landmarks are shown; ``time``, the share of the pulls that
    is done.

    >>> face = PulledFace(pulls=[[150.0, 240.0, 0.0, 30.0]])
    >>> face.moved(torch.tensor([[150.0, 240.0], [150.0, 60.0]]).double()).round().tolist()
    [[150.0, 270.0], [150.0, 60.0]]
    """

    script = Path(__file__).with_suffix(".js")
    curves = Numbers()
    landmarks = traitlets.Dict(help="of each scheme, its landmarks, px").tag(sync=True)
    pulls = Numbers()
    scheme = traitlets.Enum(tuple(SCHEMES), "none").tag(sync=True)
    time = Number(1.0, min=0.0, max=1.0)

    def __init__(self, **traits) -> None:
        lines, points = _face()
        own = {"curves": lines, "landmarks": {name: x.tolist() for name, x in points.items()}}
        own["pulls"] = [[*own["landmarks"]["68"][CORNER], 16.0, -22.0]]
        super().__init__(**own | {"question": QUESTION, "alt": ALT} | traits)

    @traitlets.validate("pulls")
    def _rows(self, proposal: traitlets.Bunch) -> object:
        if bad := [row for row in proposal["value"] if not isinstance(row, list) or len(row) != 4]:
            raise traitlets.TraitError(f"pulls: needed rows (x, y, dx, dy), got {bad[0]}")
        return proposal["value"]

    def moved(self, points: Float[Tensor, "m 2"]) -> Float[Tensor, "m 2"]:
        """Where the pulls, as far as ``time``, carry places of the plane, px."""
        for i, row in enumerate(self.pulls):
            x, d = torch.tensor(row, dtype=torch.float64).view(2, 1, 2)
            p = d * min(max(self.time * len(self.pulls) - i, 0.0), 1.0)
            steps = max(FEWEST, flows.min_steps(x, p, SIGMA))
            points = flows.flow(x, p, SIGMA, steps, points=points).points
        return points

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure = Figure(figsize=(4.2, 4.2))
        ax = figure.subplots()
        fine = torch.linspace(4, SIZE - 4, 97, dtype=torch.float64)
        for at in fine[::4]:
            for line in (torch.stack([fine, at.expand(97)], -1), torch.stack([at.expand(97), fine], -1)):
                ax.plot(*self.moved(line).T, color="0.82", linewidth=0.6)
        for line in torch.tensor(self.curves, dtype=torch.float64):
            ax.plot(*self.moved(line).T, color="black", linewidth=1.8)
        if self.scheme != "none":
            points = self.moved(torch.tensor(self.landmarks[self.scheme], dtype=torch.float64))
            ax.scatter(*points.T, s=10, color=plots.PALETTE[0], zorder=3)
        ax.set(aspect="equal", xlim=(0, SIZE), ylim=(SIZE, 0))
        ax.set_axis_off()
        return figure


@cache
def _face() -> tuple[list, dict[str, Tensor]]:
    """The curves of the mean drawn face, and its landmarks in each scheme, in the middle of the plane."""
    face = geometry.Face3D()
    names = [
        name for name in geometry.CURVES if not name.endswith(("_pupil", "_neck")) and name not in placements.BANDS
    ]
    lines = torch.stack([geometry.curve(face, name, torch.tensor(SHARES))[:, :2].double() for name in names])
    points = {label: geometry.landmarks(face, name)[0] for label, name in SCHEMES.items() if name}
    low, high = lines.flatten(0, 1).amin(0), lines.flatten(0, 1).amax(0)
    scale = 0.78 * SIZE / (high - low).max()
    place = lambda x: ((x - (low + high) / 2) * scale + SIZE / 2).round(decimals=1)  # noqa: E731
    return place(lines).tolist(), {label: place(x) for label, x in points.items()}
