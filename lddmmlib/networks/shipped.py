"""A small trained landmarker that comes with the package: 68 points, trained on drawn faces only.

Its card states its training data, its errors on real photographs, and where it fails.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from lddmmlib import _checks, heatmaps
from lddmmlib._shapes import Float
from lddmmlib.networks.hrnet import HRNetV2

WEIGHTS = Path(__file__).with_name("drawn-68.safetensors")


class CropLandmarker(nn.Module):
    """A landmarker of crops: a network whose maps are decoded as the mean under their softmax. `pretrained` returns
    one.

    It has the arguments as attributes, and `scheme`, the name of the scheme of its landmarks, and `size`, the side of
    the crops that it was trained on, px.

    Args:
        net: the trained network.
        card: its `scheme` and `size`, and more about its training data, errors and limits.

    >>> net = HRNetV2(landmarks=19, width=8, modules=(1, 1, 1), blocks=1)
    >>> CropLandmarker(net, {"size": 32, "scheme": "aflw-19"}).eval().size
    32
    """

    def __init__(self, net: HRNetV2, card: dict) -> None:
        super().__init__()
        self.net, self.card = net, card
        self.size, self.scheme = int(card["size"]), str(card["scheme"])

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n 2"]:
        return heatmaps.decode(self.net(images), "soft", tau=1.0, stride=self.net.stride)


class Weights(NamedTuple):
    """The contents of a file of weights."""

    state: dict[str, Tensor]
    card: dict


def pretrained() -> CropLandmarker:
    """Load the landmarker that comes with the package, in evaluation mode, on the CPU.

    **Input**: float images (b, 3, size, size) in [0, 1], red green blue, each the canonical crop of a face
    (`data.crops.frame` of its box: the square of 1.25 times its longer side). **Output**: the 68 points of "300w-68",
    (b, 68, 2), px of the crop. It was trained without any photograph: see `card`.

    Raises:
        ModuleNotFoundError: the package safetensors (in `lddmmlib[full]`), which reads the file, is not installed.

    >>> from lddmmlib import metrics
    >>> from lddmmlib.data.augment import Crops
    >>> from lddmmlib.faces import synthetic
    >>> net = pretrained()
    >>> face = Crops(synthetic.Faces(1, "studio"), net.scheme, net.size)[0]
    >>> found = net(face.image[None].float() / 255)
    >>> bool(metrics.nme(found[0].double(), face.landmarks, "corners", net.scheme) < 0.08)
    True
    """
    state, card = read(WEIGHTS)
    net = HRNetV2(**{name: tuple(v) if isinstance(v, list) else v for name, v in card["network"].items()})
    net.load_state_dict({name: value.float() if value.is_floating_point() else value for name, value in state.items()})
    return CropLandmarker(net, card).eval()


def read(path: Path) -> Weights:
    """Read the weights in a file, in their stored precision, and their card."""
    safe_open = _checks.optional("safetensors").safe_open

    with safe_open(path, framework="pt") as file:
        card = json.loads(file.metadata()["card"])
        return Weights({name: file.get_tensor(name) for name in file.keys()}, card)  # noqa: SIM118 (no dict)


def write(path: Path, net: HRNetV2, card: dict) -> None:
    """Write a network in half precision, with its card.

    Args:
        path: the file to write.
        net: the network.
        card: at least `network` (the arguments of `HRNetV2`), `size` (px of a crop) and `scheme`.

    Raises:
        ValueError: the card lacks one of these; nothing is written then.
    """
    save_file = _checks.optional("safetensors.torch").save_file

    missing = {"network", "size", "scheme"} - card.keys()
    if missing:
        raise ValueError(f"card: needed network, size and scheme, got none of {', '.join(sorted(missing))}")
    state = {name: v.half() if v.is_floating_point() else v for name, v in net.state_dict().items()}
    save_file({name: v.contiguous() for name, v in state.items()}, path, metadata={"card": json.dumps(card)})
