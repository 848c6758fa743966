"""HRNetV2: parallel branches at 1/4, 1/8, 1/16 and 1/32 of the image that exchange their features.

Sun et al., "High-resolution representations for labeling pixels and regions", 2019; Wang et al., TPAMI 2020. The
backbone of papers A (with a coordinate head) and E, and of D's landmarker.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from lddmmlib.networks.heads import Bottleneck, HeatmapHead, Standardise, conv


class HRNetV2(nn.Module):
    """HRNetV2, from images (b, 3, h, w) to maps (b, n, h/4, w/4), or to the output of another head.

    Two convolutions of stride 2 and four bottlenecks come first. Then follow three stages with 2, 3 and 4 branches. A
    stage starts a new branch at half the size of the last one, and repeats its module: `blocks` residual blocks in
    each branch, after which every branch becomes the sum of all.

    Sides must be multiples of `multiple`, 32 px. `stride` = 4 px a cell.

    | | parameters, 68 landmarks |
    |---|---|
    | `HRNetV2()`, W18 as published | 9,654,398 |
    | `HRNetV2(width=8)` | 2.21 million |
    | `HRNetV2(width=8, modules=(1, 1, 1), blocks=2)`, for a CPU | 0.75 million |

    Convolutions are initialised by N(0, 0.001²), as published for faces; linear layers and biases by torch's defaults.
    The weights are so small that an untrained network in evaluation mode, without normalisation by the batch, outputs
    nearly constant maps.

    Args:
        landmarks: n.
        width: channels w of the first branch; the others have 2w, 4w and 8w.
        modules: the number of modules in each of the three stages.
        blocks: residual blocks in each branch of a module.
        head: module from the list of branches to the result; None: `HeatmapHead((w, 2w, 4w, 8w), n)`.

    Raises:
        TypeError, ValueError: from `Standardise`.

    >>> import torch
    >>> net = HRNetV2(landmarks=5, width=8, modules=(1, 1, 1), blocks=1)
    >>> net(torch.rand(1, 3, 64, 96)).shape, net.stride
    (torch.Size([1, 5, 16, 24]), 4)
    """

    multiple, stride = 32, 4

    def __init__(
        self,
        landmarks: int = 68,
        width: int = 18,
        modules: tuple[int, int, int] = (1, 4, 3),
        blocks: int = 4,
        head: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.widths = [width, 2 * width, 4 * width, 8 * width]
        self.standardise = Standardise(self.multiple)
        self.stem = nn.Sequential(
            conv(3, 64, stride=2), conv(64, 64, stride=2), Bottleneck(64, 64), *(Bottleneck(256, 64) for _ in range(3))
        )  # (b, 3, h, w) -> (b, 256, h/4, w/4)
        self.first = conv(256, width)
        inputs = [256, *self.widths[1:3]]
        self.new = nn.ModuleList(conv(i, o, stride=2) for i, o in zip(inputs, self.widths[1:], strict=True))
        self.stages = nn.ModuleList(
            nn.Sequential(*(Exchange(self.widths[:n], blocks) for _ in range(many)))
            for n, many in zip((2, 3, 4), modules, strict=True)
        )
        self.head = HeatmapHead(self.widths, landmarks) if head is None else head
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.001)

    def branches(self, images: Tensor) -> list[Tensor]:
        """The features (b, w 2^i, h / (4 2^i), w / (4 2^i)) of the four branches."""
        x = self.stem(self.standardise(images))
        branches, deepest = [self.first(x)], x
        for new, stage in zip(self.new, self.stages, strict=True):
            branches = stage([*branches, new(deepest)])
            deepest = branches[-1]
        return branches

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.branches(images))


class Exchange(nn.Module):
    """Residual blocks in each branch; then branch i becomes ReLU(Σ_j f_ij(x_j)).

    f_ij is the identity for i = j, 1x1 and bilinear enlargement from a smaller branch j > i, and i - j convolutions of
    stride 2 from a larger one.
    """

    def __init__(self, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(*(Residual(c) for _ in range(blocks))) for c in widths)
        self.paths = nn.ModuleList(
            nn.ModuleList(path(widths, j, i) for j in range(len(widths))) for i in range(len(widths))
        )

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        xs = [blocks(x) for blocks, x in zip(self.blocks, branches, strict=True)]
        return [F.relu(sum(_resized(f(x), to) for f, x in zip(row, xs, strict=True)))
                for row, to in zip(self.paths, xs, strict=True)]  # fmt: skip


def _resized(x: Tensor, like: Tensor) -> Tensor:
    same = x.shape[2:] == like.shape[2:]
    return x if same else F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def path(widths: Sequence[int], j: int, i: int) -> nn.Module:
    """The function f_ij, from branch j to branch i, without the enlargement."""
    if i == j:
        return nn.Identity()
    if j > i:
        return conv(widths[j], widths[i], size=1, relu=False)
    down = [conv(widths[j], widths[j], stride=2) for _ in range(i - j - 1)]
    return nn.Sequential(*down, conv(widths[j], widths[i], stride=2, relu=False))


class Residual(nn.Module):
    """A residual block: x + two 3x3 convolutions."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(c, c), conv(c, c, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))
