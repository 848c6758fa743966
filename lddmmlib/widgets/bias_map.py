"""The bias of the local soft-argmax as a map over σ and τ, and what it is made of at the place that is pointed at."""

from __future__ import annotations

from pathlib import Path

import torch
import traitlets
from torch import Tensor

from lddmmlib import heatmaps
from lddmmlib._shapes import Float
from lddmmlib.widgets.base import Number, StaticWidget

QUESTION = (
    "Predict before you try. Where on the map does the paper's choice lie, σ = 2, τ = 10, d = 5: in the valley or on "
    "a slope?\n"
    "Go down to a smaller τ, then up to a larger one: on which side of the valley does the window cut, and on which is "
    "the grid too coarse?\n"
    "Which side does a wider window move? And where does the valley go under the peak of the density?"
)

ALT = (
    "Left, the worst bias of the local soft-argmax as colours over σ and τ, with a dark valley that rises with σ. "
    "Right, the bias over the place within a cell for one σ and τ, with aliasing's formula."
)

SIGMAS, TAUS = (0.5, 4.0), (0.5, 5000.0)  # the map's sides


class BiasMap(StaticWidget):
    """How far the local soft-argmax of a clean map is off at worst, over all places of the landmark within a cell.

    The landmark lies t beside a cell's centre in x, and on it in y; no noise, no rounding. Every trait is state that
    the reader moves and that Python can read or set: ``sigma`` in cells, ``tau``, the ``window`` (odd) and the
    ``peak``, as in `heatmaps.encode` and `heatmaps.decode`.

    >>> round(BiasMap(sigma=2.0, tau=10.0, window=5).worst(), 3)
    0.01
    """

    script = Path(__file__).with_suffix(".js")
    sigma = Number(2.0, min=SIGMAS[0], max=SIGMAS[1])
    tau = Number(10.0, min=TAUS[0], max=TAUS[1])
    window = traitlets.Int(5, min=3, max=15).tag(sync=True)
    peak = traitlets.Enum(heatmaps.PEAKS, "one").tag(sync=True)

    def __init__(self, **traits) -> None:
        super().__init__(**{"question": QUESTION, "alt": ALT} | traits)

    @traitlets.validate("window")
    def _fits(self, proposal: traitlets.Bunch) -> int:
        if proposal["value"] % 2 == 0:
            raise traitlets.TraitError(
                f"window: needed an odd number of cells, to have a middle; got {proposal['value']}"
            )
        return proposal["value"]

    def bias(self, t: Float[Tensor, " k"], sigma: float | None = None, tau: float | None = None) -> Float[Tensor, " k"]:
        """The error in x, cells, where the landmark lies t beside a cell's centre; of other ``sigma``, ``tau`` too."""
        c = self.window // 2 + 1  # a cell more than the window all around: t may round to the next cell
        points = torch.stack([c + t.double(), torch.full_like(t, c, dtype=torch.float64)], -1)
        maps = heatmaps.encode(points, (2 * c + 1, 2 * c + 1), sigma or self.sigma, peak=self.peak)
        return heatmaps.decode(maps, "local_soft", self.window, tau or self.tau)[:, 0] - points[:, 0]

    def worst(self, sigma: float | None = None, tau: float | None = None) -> float:
        """The largest |bias| over 16 places in half a cell, which the other half mirrors."""
        return self.bias((torch.arange(16) + 0.5) / 32, sigma, tau).abs().max().item()

    def picture(self):
        from matplotlib.colors import LogNorm
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure = Figure(figsize=(7.6, 3.2))
        left, right = figure.subplots(1, 2)
        sigmas, taus = torch.linspace(*SIGMAS, 30).tolist(), torch.logspace(*torch.tensor(TAUS).log10(), 30).tolist()
        worst = [[self.worst(s, t) for s in sigmas] for t in taus]
        image = left.pcolormesh(sigmas, taus, worst, norm=LogNorm(1e-4, 1), cmap="viridis", shading="nearest")
        left.plot(self.sigma, self.tau, "o", color="white", markeredgecolor="black")
        left.set(yscale="log", xlabel="σ (cells)", ylabel="τ")
        figure.colorbar(image, ax=left, label="worst bias (cells)", extend="min")
        t = torch.linspace(-0.499, 0.499, 201).double()
        s = heatmaps.softmax_width(self.sigma, self.tau, self.peak)
        right.plot(t, 1000 * self.bias(t), color="black", label="bias")
        right.plot(t, 1000 * heatmaps.aliasing(t, s), "--", color=plots.PALETTE[0], label="aliasing's formula")
        right.set(xlabel="t, place within a cell", ylabel="1/1000 cell", title=f"σ = {self.sigma:g}, τ = {self.tau:g}")
        right.legend(fontsize=8)
        return figure
