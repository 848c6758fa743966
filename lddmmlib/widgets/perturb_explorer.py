"""A face that the reader hides and blurs, and what two networks, trained by two losses, make of it in the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor, nn

from lddmmlib import _checks, heatmaps, metrics
from lddmmlib import optimal_transport as transport
from lddmmlib._shapes import Float
from lddmmlib.faces import schemes
from lddmmlib.networks import StackedHourglass
from lddmmlib.widgets.base import HERE, Number, Numbers, StaticWidget
from lddmmlib.widgets.network import portable

KEPT = HERE / "perturb_explorer.npz"  # two trained networks and faces that they have not seen, see `keep`
SCHEME = schemes.get("300w-68")
FLAT = 0.7  # height of the ellipse over its width
METHODS = ("own", "max", "bc")

QUESTION = (
    "Predict, then drag the ellipse over an eye: which network's landmarks stay on the face, and which map gets a "
    "second spot?"
)

ALT = (
    "The same drawn face twice, with a black ellipse on it. Over each the heatmap of one landmark and all landmarks "
    "that a network found: left one trained by the squared difference, right one trained with transport."
)


class PerturbExplorer(StaticWidget):
    """Two networks of maps, "L2" and "W", on a drawn face behind an ellipse or blurred. They run in the page.

    Args:
        networks: "L2" and "W", each from images (b, 3, side, side) in [0, 1] to a list of maps, in evaluation mode, on
            the CPU. None, with the following two: what `keep` has written.
        images: (f, 3, side, side) uint8, the faces to choose from.
        truth: (f, 68, 2), their landmarks, px.

    Every other trait is state that the reader moves and that Python can read or set, in px: ``face``; the ``place``
    (x, y) of the ellipse's middle and its ``width``, 0 for none; ``blur``, half the length of a horizontal motion;
    ``selected``, the landmark whose map is shown; and ``method``, "max", "bc", or "own": the maximum for L2 and the
    barycentre for W.
    """

    script = Path(__file__).with_suffix(".js")
    network = traitlets.Bytes(help="of `network.portable`: the maps of L2 and of W").tag(sync=True)
    images = traitlets.Bytes(help="faces, rows, columns, colours").tag(sync=True)
    side = traitlets.Int(64, min=8).tag(sync=True)
    truth = Numbers()
    corners = traitlets.List(default_value=list(SCHEME.corners)).tag(sync=True)
    face = traitlets.Int(0, min=0).tag(sync=True)
    place = Numbers([22.0, 26.0])
    width = Number(20.0, min=0.0, max=48.0)
    blur = traitlets.Int(0, min=0, max=8).tag(sync=True)
    selected = traitlets.Int(36, min=0, max=67).tag(sync=True)
    method = traitlets.Enum(METHODS, "own").tag(sync=True)

    def __init__(
        self,
        networks: Mapping[str, nn.Module] | None = None,
        images: Tensor | None = None,
        truth: Float[Tensor, "f 68 2"] | None = None,
        **traits: object,
    ) -> None:
        self._refuse_unknown(traits)
        if networks is None:
            networks, images, truth = kept()
        self.networks = networks
        example = torch.rand(1, 3, *images.shape[-2:])
        start = {"network": portable(lambda x: [networks[name](x)[-1] for name in ("L2", "W")], example)}
        start |= {"images": images.permute(0, 2, 3, 1).contiguous().numpy().tobytes(), "side": images.shape[-1]}
        super().__init__(**{"question": QUESTION, "alt": ALT, "truth": truth.double().round(decimals=2)} | start)
        for name, value in traits.items():  # checked against all of the above
            setattr(self, name, value)

    @traitlets.validate("place", "face")
    def _fits(self, proposal: traitlets.Bunch) -> object:
        name, value = proposal["trait"].name, proposal["value"]
        if name == "face" and value >= len(self.truth):
            raise traitlets.TraitError(f"face: needed 0 to {len(self.truth) - 1}, got {value}")
        if name == "place" and (np.shape(value) != (2,) or not all(0 <= v < self.side for v in value)):
            raise traitlets.TraitError(f"place: needed a point (x, y) from 0 to {self.side - 1}, got {value}")
        return value

    def perturbed(self) -> Float[Tensor, "3 side side"]:
        """The chosen face, blurred and then hidden, from 0 to 1."""
        n, r = self.side, self.blur
        faces = np.frombuffer(self.images, dtype=np.uint8).reshape(-1, n, n, 3)
        image = torch.from_numpy(faces[self.face].astype(np.float32) / 255).permute(2, 0, 1)
        columns = (torch.arange(n)[:, None] + torch.arange(-r, r + 1)).clamp(0, n - 1)
        image = image[..., columns].mean(-1)
        if not self.width:
            return image
        y, x = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
        a = self.width / 2
        under = ((x - self.place[0]) / a) ** 2 + ((y - self.place[1]) / (FLAT * a)) ** 2 <= 1
        return image.masked_fill(under, 0)

    @torch.no_grad()
    def maps(self) -> dict[str, Float[Tensor, "68 h w"]]:
        """The maps of both networks, without values below 0 (L2) or as a softmax (W)."""
        found = {name: self.networks[name](self.perturbed()[None])[-1][0] for name in ("L2", "W")}
        return {"L2": found["L2"].clamp(min=0), "W": found["W"].flatten(1).softmax(1).view_as(found["W"])}

    def landmarks(self) -> dict[str, Float[Tensor, "68 2"]]:
        """The landmarks that both networks find, px; the middle of the picture where a map has no value above 0."""
        out = {}
        for name, maps in self.maps().items():
            peak = self.method == "max" or (self.method, name) == ("own", "L2")
            cells = (transport.get_max if peak else transport.get_bc)(maps)
            out[name] = heatmaps.to_pixels(cells, self.side / maps.shape[-1]).nan_to_num((self.side - 1) / 2)
        return out

    def errors(self) -> dict[str, float]:
        """The mean error of each network, a share of the distance between the outer eye corners."""
        truth = torch.tensor(self.truth[self.face], dtype=torch.float64)
        return {name: metrics.nme(x.double(), truth, "corners", SCHEME).item() for name, x in self.landmarks().items()}

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure = Figure(figsize=(7, 3.7))
        image, maps, errors = self.perturbed().permute(1, 2, 0).numpy(), self.maps(), self.errors()
        for ax, (name, found) in zip(figure.subplots(1, 2), self.landmarks().items(), strict=True):
            u, whole = maps[name][self.selected], (-0.5, self.side - 0.5, self.side - 0.5, -0.5)
            ax.imshow(image, extent=whole)
            strength = (u / u.max().clamp(min=1e-6)).sqrt().numpy()
            ax.imshow(strength, cmap="Oranges", alpha=0.8 * strength, extent=whole, interpolation="nearest")
            ax.plot(*found.T.numpy(), ".", color=plots.PALETTE[0], markersize=4)
            ax.set(title=f"{name}: {100 * errors[name]:.1f} %", xticks=[], yticks=[])
        return figure


def network() -> StackedHourglass:
    """A network of the size that is shipped, as it is before training.

    >>> network()(torch.rand(1, 3, 64, 64))[0].shape
    torch.Size([1, 68, 16, 16])
    """
    return StackedHourglass(SCHEME.n, stacks=1, blocks=1, channels=24, depth=3)


def keep(networks: Mapping[str, nn.Module], images: Tensor, truth: Tensor, about: Mapping, path: Path = KEPT) -> None:
    """Write what `PerturbExplorer()` shows: two networks in half precision, faces, and how they were trained."""
    arrays = {"images": images.numpy(), "truth": truth.float().numpy(), "about": json.dumps(dict(about))}
    for name, model in networks.items():
        for key, value in model.state_dict().items():
            arrays[f"{name}/{key}"] = value.half().numpy() if value.is_floating_point() else value.numpy()
    np.savez_compressed(path, **arrays)


def kept(path: Path = KEPT) -> tuple[dict[str, nn.Module], Tensor, Tensor]:
    """Read what `keep` wrote: the networks in evaluation mode, images (f, 3, side, side), landmarks (f, 68, 2)."""
    needed = "the networks and faces, or those that `keep` wrote"
    _checks.need(path.exists(), "networks", needed, f"None, and there is no {path.name}")
    with np.load(path) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file.files if name != "about"}
    networks = {}
    for name in ("L2", "W"):
        networks[name] = network().eval()
        state = {key.removeprefix(f"{name}/"): v for key, v in arrays.items() if key.startswith(f"{name}/")}
        networks[name].load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return networks, arrays["images"], arrays["truth"]
