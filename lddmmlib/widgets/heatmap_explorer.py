"""A point that the reader places between cells, the heatmap it becomes, and where six decoders find it again."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import traitlets
from torch import Tensor

from lddmmlib import heatmaps
from lddmmlib._shapes import Float
from lddmmlib.widgets.base import Number, Numbers, StaticWidget

QUESTION = (
    "Predict before you try. Move the point within a cell: which decoders follow it, which jump, which stand still?\n"
    "Round the encoder's centre: which decoder brings the truth back?\n"
    "Take the peak of the density and leave τ at 10: what has the local soft-argmax become? Which τ mends it?\n"
    "Now add noise: are the decoders that were exact still the best?"
)

ALT = (
    "Left, a heatmap of 16 x 16 cells with the true point between the cells, the window around the largest value, and "
    "the decoded point. Right, the values in the row of the peak, and the decoder's weights of the columns as bars."
)


class HeatmapExplorer(StaticWidget):
    """A landmark encoded as a heatmap and decoded in six ways, in cells.

    Every trait is state that the reader moves and that Python can read or set: the true ``point`` (x, y); the side
    ``size`` of the map; ``sigma``; ``rounding`` and ``peak`` of `heatmaps.encode`; ``decoder``, a method of
    `heatmaps.decode`, with ``window`` (odd) and ``tau``; ``noise``, its standard deviation as a share of the peak's
    height; and the ``seed`` of the noise.

    >>> explorer = HeatmapExplorer(point=[7.3, 8.0], sigma=2.0, noise=0.0)
    >>> [round(x, 6) for x in explorer.decoded("taylor")]
    [7.3, 8.0]
    """

    script = Path(__file__).with_suffix(".js")
    point = Numbers([7.3, 7.9])
    size = traitlets.Int(16, min=8, max=32).tag(sync=True)
    sigma = Number(1.5, min=0.2, max=4.0)
    rounding = traitlets.Enum(heatmaps.ROUNDINGS, "none").tag(sync=True)
    peak = traitlets.Enum(heatmaps.PEAKS, "one").tag(sync=True)
    decoder = traitlets.Enum(heatmaps.METHODS, "local_soft").tag(sync=True)
    window = traitlets.Int(5, min=1, max=15).tag(sync=True)
    tau = Number(10.0, min=0.1, max=10_000.0)
    noise = Number(0.0, min=0.0, max=1.0)
    seed = traitlets.Int(1, min=0, max=2**31 - 1).tag(sync=True)

    def __init__(self, **traits) -> None:
        super().__init__(**{"question": QUESTION, "alt": ALT} | traits)

    @traitlets.validate("point", "size", "window")
    def _fits(self, proposal: traitlets.Bunch) -> object:
        """The point lies on the map, and the window has a middle."""
        name, value = proposal["trait"].name, proposal["value"]
        if name == "window" and value % 2 == 0:
            raise traitlets.TraitError(f"window: needed an odd number of cells, to have a middle; got {value}")
        if name != "window":
            point, size = (value, self.size) if name == "point" else (self.point, value)
            if len(point) != 2 or not all(isinstance(x, int | float) and 0 <= x <= size - 1 for x in point):
                raise traitlets.TraitError(f"{name}: needed a point (x, y) from 0 to {size - 1}, got {point}")
        return value

    def map(self) -> Float[Tensor, "size size"]:
        """The heatmap with its noise, in double precision."""
        point, n = torch.tensor([self.point], dtype=torch.float64), self.size
        clean = heatmaps.encode(point, (n, n), self.sigma, self.rounding, self.peak)[0]
        scale = self.noise * heatmaps.height(self.sigma, self.peak)
        return clean + scale * torch.tensor(_normals(self.seed, n * n), dtype=torch.float64).reshape(n, n)

    def decoded(self, method: str | None = None) -> list[float]:
        """The point (x, y) that ``decoder``, or another method, finds. The barycentre is that of what is above 0."""
        method, h = method or self.decoder, self.map()
        h = h.clamp(min=0) if method == "barycentre" else h
        return heatmaps.decode(h, method, self.window, self.tau).tolist()

    def errors(self) -> dict[str, float]:
        """How far, in cells, each decoder's point lies from the true one."""
        return {method: math.dist(self.decoded(method), self.point) for method in heatmaps.METHODS}

    def picture(self):
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle

        from lddmmlib import plots

        figure = Figure(figsize=(7, 3.2))
        left, right = figure.subplots(1, 2)
        h, n = self.map(), self.size
        y, x = divmod(int(h.argmax()), n)
        left.imshow(h.numpy(), cmap="Blues", interpolation="nearest", vmax=1.4 * float(h.max()))
        corner = (x - self.window / 2, y - self.window / 2)
        left.add_patch(Rectangle(corner, self.window, self.window, fill=False, color="0.3", linestyle="--"))
        left.plot(*self.point, "o", color=plots.PALETTE[1], markersize=9, fillstyle="none", label="true")
        left.plot(*self.decoded(), "x", color="black", label=f"{self.decoder}: {self.errors()[self.decoder]:.3f} off")
        left.legend(fontsize=8, loc="upper left", frameon=True)
        left.set_axis_off()
        if "soft" in self.decoder:
            outside = (torch.arange(n) - torch.tensor([[y], [x]])).abs() > self.window // 2
            cut = (outside[0][:, None] | outside[1]) & (self.decoder == "local_soft")
            weight = (self.tau * h).masked_fill(cut, -torch.inf).flatten().softmax(0).reshape(n, n)
            right.bar(range(n), weight.sum(0).numpy(), color="0.75", label="weights")
        values = h[y].numpy() / heatmaps.height(self.sigma, self.peak)
        right.plot(values, "o-", markersize=3, label="h in the peak's row")
        right.axvline(self.point[0], color=plots.PALETTE[1], label="true x")
        right.set(xlabel="x (cells)")
        right.legend(fontsize=8)
        return figure


def _normals(seed: int, n: int) -> list[float]:
    """n standard normal numbers by mulberry32 and Box-Muller, as in heatmaps.js: both sides see the same noise."""
    mask, state, uniforms = 0xFFFFFFFF, seed, []
    for _ in range(2 * n):
        state = (state + 0x6D2B79F5) & mask
        t = (state ^ state >> 15) * (state | 1) & mask
        t = (t + ((t ^ t >> 7) * (t | 61) & mask) & mask) ^ t
        uniforms.append((t ^ t >> 14) / 2**32)
    pairs = zip(uniforms[::2], uniforms[1::2], strict=True)
    return [math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * v) for u, v in pairs]
