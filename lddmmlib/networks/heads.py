"""The input normalisation and the output heads that the networks share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lddmmlib import _checks
from lddmmlib._shapes import Float

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pixels of ImageNet: red, green, blue
MOMENTUM = 0.01  # of HRNet's running means: slow; a short training needs torch's 0.1


class Standardise(nn.Module):
    """Standardise each colour, (x - mean) / deviation, by the statistics of ImageNet; refuse unsuitable images.

    Args:
        multiple: the sides of an image must be multiples of it, px.
        side: the only side that is allowed, px; None for any.

    Raises:
        TypeError: images that are not floating point.
        ValueError: images of another shape than (b, 3, h, w), other sides, another dtype or device than the network.

    >>> Standardise(32)(torch.full((1, 3, 32, 64), 0.485))[0, :, 0, 0]
    tensor([0.0000, 0.1295, 0.3511])
    """

    def __init__(self, multiple: int, side: int | None = None) -> None:
        super().__init__()
        self.multiple, self.side = multiple, side
        for name, values in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        self._check(images)
        return (images - self.mean) / self.deviation

    def _check(self, images: Tensor) -> None:
        if not isinstance(images, Tensor) or not images.is_floating_point():
            got = getattr(images, "dtype", type(images).__name__)
            raise TypeError(f"images: needed a floating-point tensor in [0, 1], got {got}; use images.float() / 255")
        if (images.dtype, images.device) != (self.mean.dtype, self.mean.device):
            want, got = (f"{x.dtype} on {x.device}" for x in (self.mean, images))
            raise ValueError(f"images: needed {want}, as the network is, got {got}; use net.to(images)")
        if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
            raise ValueError(
                f"images: needed (b, 3, h, w), got {tuple(images.shape)}; images[None] makes a batch of one"
            )
        h, w = images.shape[2:]
        if self.side is not None and {h, w} != {self.side}:
            raise ValueError(
                f"images: needed {self.side} x {self.side} px, got {h} x {w}; resize, or build for that size"
            )
        if h % self.multiple or w % self.multiple:
            raise ValueError(
                f"images: needed sides that are multiples of {self.multiple} px, got {h} x {w}; resize or pad"
            )


class HeatmapHead(nn.Module):
    """The head of HRNetV2: every branch is resized to the first, and two 1x1 convolutions act on all their channels.

    It maps branches (b, c_i, h/2^i, w/2^i) to maps (b, n, h, w).

    Args:
        widths: channels of each branch, Σ = c.
        landmarks: n.

    >>> head = HeatmapHead((4, 8), landmarks=5)
    >>> head([torch.zeros(1, 4, 16, 12), torch.zeros(1, 8, 8, 6)]).shape
    torch.Size([1, 5, 16, 12])
    """

    def __init__(self, widths: Sequence[int], landmarks: int) -> None:
        super().__init__()
        c = sum(widths)
        self.mix = conv(c, c, 1, bias=True)
        self.last = nn.Conv2d(c, landmarks, 1)

    def forward(self, branches: Sequence[Tensor]) -> Tensor:
        size = branches[0].shape[2:]
        up = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in branches[1:]]
        return self.last(self.mix(torch.cat([branches[0], *up], 1)))  # (b, c_0 + c_1 + ..., h, w) -> (b, n, h, w)


class CoordinateHead(nn.Module):
    """A head for points or momenta: start + a linear function of the spatial mean, as in HRNet's classification
    network.

    It maps branches (b, c_i, h_i, w_i) to (b, n, 2), in the unit of `start`. A bottleneck first widens each of HRNet's
    four branches; they are then summed from the largest to the smallest, halved in size at each step. An hourglass has
    no such pyramid; the features of its stacks are concatenated (paper A).

    Args:
        start: (n, 2), the output of a network near its initialisation: the mean shape, px. Zeros for momenta.
        widths: channels of each branch, the first the largest map.
        pyramid: branch i is half the size of branch i - 1 (HRNet); False: all are of one size.
        hidden: channels before the mean.

    Paper A, section 4.1.

    >>> head = CoordinateHead(torch.zeros(5, 2), (4, 8), hidden=16)
    >>> head([torch.zeros(2, 4, 16, 12), torch.zeros(2, 8, 8, 6)]).shape
    torch.Size([2, 5, 2])
    """

    def __init__(
        self, start: Float[Tensor, "n 2"], widths: Sequence[int], pyramid: bool = True, hidden: int = 2048
    ) -> None:
        super().__init__()
        _checks.points(start, "start")
        self.register_buffer("start", start.clone())
        wider = [128 * 2**i for i in range(len(widths))]
        c = wider[-1] if pyramid else sum(widths)
        if pyramid:
            self.widen = nn.ModuleList(Bottleneck(i, o // 4) for i, o in zip(widths, wider, strict=True))
            self.down = nn.ModuleList(conv(o, 2 * o, stride=2, bias=True) for o in wider[:-1])
        self.mix = conv(c, hidden, 1, bias=True)
        self.last = nn.Linear(hidden, start.numel())
        self.pyramid = pyramid

    def forward(self, branches: Sequence[Tensor]) -> Tensor:
        if self.pyramid:
            x = self.widen[0](branches[0])
            for down, widen, branch in zip(self.down, self.widen[1:], branches[1:], strict=True):
                x = down(x) + widen(branch)
        else:
            x = torch.cat(list(branches), 1)
        x = self.mix(x).mean((2, 3))  # (b, hidden, h, w) -> (b, hidden)
        return self.start + precise(self.last, x).unflatten(1, (-1, 2))  # (b, 2n) -> (b, n, 2)


@_checks.full_precision
def precise(last: nn.Linear, features: Tensor) -> Tensor:
    """Apply the last layer in its own precision, under any autocast: for coordinates or momenta.

    Args:
        last: the layer.
        features: (b, c), in any precision.

    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     print(precise(nn.Linear(2, 2), torch.ones(1, 2).bfloat16()).dtype)
    torch.float32
    """
    return last(features.to(last.weight.dtype))


class Bottleneck(nn.Module):
    """The bottleneck of ResNet: x + (1x1 to c, 3x3, 1x1 to 4c), with a 1x1 on x if its number of channels differs."""

    def __init__(self, inputs: int, c: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(inputs, c, 1), conv(c, c), conv(c, 4 * c, 1, relu=False))
        self.skip = nn.Identity() if inputs == 4 * c else conv(inputs, 4 * c, 1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


def conv(
    inputs: int, outputs: int, size: int = 3, stride: int = 1, relu: bool = True, bias: bool = False
) -> nn.Sequential:
    """A convolution, batch normalisation, and ReLU."""
    layers = [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=bias)]
    layers += [nn.BatchNorm2d(outputs, momentum=MOMENTUM)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)
