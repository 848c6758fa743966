"""Heatmaps that trained networks made of a face, and what five decoders read in the one under the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor

from lddmmlib import heatmaps
from lddmmlib._shapes import Float
from lddmmlib.widgets.base import HERE, Number, Numbers, StaticWidget

METHODS = ("argmax", "quarter", "taylor", "soft", "local_soft")
KEPT = HERE / "decoder_explorer.npz"  # a held-out face and the maps of two networks, see `DecoderExplorer.keep`

QUESTION = (
    "Predict before you try. Where on a face will the maps be round and small, and where long: at the corner of an "
    "eye, or along the jaw?\n"
    "Two networks saw the same faces; one learned from targets that were rounded to whole cells. Which decoder gives "
    "it away?\n"
    "Shrink τ, then widen the window: which landmarks suffer first?"
)

ALT = (
    "Left, a drawn face with its landmarks and, over it, the heatmap of one of them. Right, that heatmap enlarged cell "
    "by cell, with the true landmark and a mark for each of five decoders."
)


class DecoderExplorer(StaticWidget):
    """Heatmaps of trained networks, decoded in five ways, in pixels of the networks' input.

    image: (3, size, size), 0 to 255, of any size; it is shown over the networks' whole input. maps: (n, cells, cells),
    or (k, n, cells, cells) of k networks; sent as bytes, 256 levels from the least to the largest value. truth: (n, 2),
    px of the networks' input, whose side is cells · stride. names: of the landmarks. networks: of the k networks. None
    shows a held-out face, and two networks of the recorded run `subpixel.notebook`. Every other trait is state that the
    reader moves and that Python can read or set: ``network``; ``selected``, the landmark; ``window`` (odd) and ``tau``.

    >>> spots = torch.tensor([[17.0, 14.0], [9.0, 20.0]])
    >>> maps = heatmaps.encode(spots, (8, 8), sigma=1.0, stride=4)
    >>> explorer = DecoderExplorer(torch.zeros(3, 32, 32), maps, spots, selected=1)
    >>> [round(x) for x in explorer.decoded("taylor")]
    [9, 20]
    """

    script = Path(__file__).with_suffix(".js")
    image = traitlets.Bytes(help="rows of red, green, blue").tag(sync=True)
    maps = traitlets.Bytes(help="networks, landmarks, rows, columns").tag(sync=True)
    levels = Numbers([0.0, 1.0])
    shape = Numbers([1, 1, 8])
    stride = traitlets.Int(4, min=1).tag(sync=True)
    truth = Numbers()
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    networks = traitlets.List(traitlets.Unicode()).tag(sync=True)
    network = traitlets.Int(0, min=0).tag(sync=True)
    selected = traitlets.Int(0, min=0).tag(sync=True)
    window = traitlets.Int(5, min=1, max=15).tag(sync=True)
    tau = Number(10.0, min=0.1, max=10_000.0)

    def __init__(
        self,
        image: Float[Tensor, "3 size size"] | None = None,
        maps: Float[Tensor, "*networks n cells cells"] | None = None,
        truth: Float[Tensor, "m 2"] | None = None,
        names: Sequence[str] | None = None,
        networks: Sequence[str] | None = None,
        **traits,
    ) -> None:
        self._refuse_unknown(traits)
        if image is None:
            start, traits = _kept(), {"selected": 36} | traits
        else:
            maps = maps.detach().cpu().double().reshape(-1, *maps.shape[-3:])
            if truth.shape != (maps.shape[1], 2) or maps.shape[2] != maps.shape[3]:
                got = f"{tuple(truth.shape)} for maps {tuple(maps.shape)}"
                raise ValueError(f"truth: needed (n, 2) for maps (k, n, cells, cells), got {got}")
            low, high = maps.min().item(), max(maps.max().item(), maps.min().item() + 1e-6)
            levels = (255 * (maps - low) / (high - low)).round().to(torch.uint8)
            pixels = image.detach().cpu().round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
            start = {"image": pixels.numpy().tobytes(), "maps": levels.numpy().tobytes(), "levels": [low, high]}
            start |= {"shape": list(maps.shape[:3]), "truth": truth}
        k, n, _ = start["shape"]
        start["names"] = list(names or start.get("names") or (f"landmark {i}" for i in range(n)))
        start["networks"] = list(networks or start.get("networks") or (f"network {i}" for i in range(k)))
        super().__init__(**{"question": QUESTION, "alt": ALT} | start)
        for name, value in traits.items():  # checked against all of the above
            setattr(self, name, value)

    @traitlets.validate("network", "selected", "window")
    def _fits(self, proposal: traitlets.Bunch) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        if name == "window" and value % 2 == 0:
            raise traitlets.TraitError(f"window: needed an odd number of cells, to have a middle; got {value}")
        if name != "window" and value >= (most := self.shape[name == "selected"]):
            raise traitlets.TraitError(f"{name}: needed an index from 0 to {most - 1}, got {value}")
        return value

    def all_maps(self) -> Float[Tensor, "n cells cells"]:
        """The chosen network's maps as they were sent, in double precision."""
        k, n, cells = self.shape
        levels = np.frombuffer(self.maps, dtype=np.uint8).reshape(k, n, cells, cells)[self.network]
        low, high = self.levels
        return low + torch.from_numpy(levels.astype(np.float64)) * (high - low) / 255

    def map(self, landmark: int | None = None) -> Float[Tensor, "cells cells"]:
        """The chosen network's map of a landmark, the selected one by default."""
        return self.all_maps()[self.selected if landmark is None else landmark]

    def decoded(self, method: str = "local_soft", landmark: int | None = None) -> list[float]:
        """The point (x, y), px, that a decoder finds for a landmark, the selected one by default."""
        return heatmaps.decode(self.map(landmark), method, self.window, self.tau, stride=self.stride).tolist()

    def means(self) -> dict[str, float]:
        """How far, px, each decoder's points lie from the truth, on the mean over the landmarks."""
        maps, truth = self.all_maps(), torch.tensor(self.truth, dtype=torch.float64)
        found = {m: heatmaps.decode(maps, m, self.window, self.tau, stride=self.stride) for m in METHODS}
        return {m: (points - truth).norm(dim=-1).mean().item() for m, points in found.items()}

    def keep(self, path: Path = KEPT) -> None:
        """Write what is shown, so that it is what `DecoderExplorer()` shows: `data_scripts.decoder_maps`."""
        arrays = {name: np.frombuffer(getattr(self, name), dtype=np.uint8) for name in ("image", "maps")}
        arrays |= {name: np.array(getattr(self, name)) for name in ("levels", "shape", "truth", "names", "networks")}
        np.savez_compressed(path, **arrays)

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure = Figure(figsize=(7, 3.4))
        left, right = figure.subplots(1, 2)
        side, size = self.shape[2] * self.stride, int((len(self.image) / 3) ** 0.5)
        whole = (-0.5, side - 0.5, side - 0.5, -0.5)
        left.imshow(np.frombuffer(self.image, dtype=np.uint8).reshape(size, size, 3), extent=whole)
        h = self.map().clamp(min=0).numpy()
        left.imshow(h, cmap="Blues", alpha=0.85 * h / h.max(), extent=whole, interpolation="nearest")
        left.plot(*zip(*self.truth, strict=True), ".", color="white", markersize=3)
        x, y = self.truth[self.selected]
        right.imshow(h, cmap="Blues", extent=whole, interpolation="nearest", vmax=1.3 * h.max())
        right.plot(x, y, "o", color=plots.PALETTE[1], label="truth")
        for method, marker in zip(METHODS, "sD+ox", strict=True):
            right.plot(*self.decoded(method), marker, color="black", fillstyle="none", label=method)
        far = min(2.5 * self.stride, side / 2)
        x, y = (min(max(v, far - 0.5), side - 0.5 - far) for v in (x, y))
        right.set(xlim=(x - far, x + far), ylim=(y + far, y - far))
        right.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        for ax in (left, right):
            ax.set_axis_off()
        return figure


def _kept() -> dict:
    with np.load(KEPT) as file:
        kept = {name: file[name] for name in file.files}
    return {name: kept[name].tobytes() if name in ("image", "maps") else kept[name].tolist() for name in kept}
