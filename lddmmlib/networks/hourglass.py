"""Stacked hourglass: reduce the maps to a few cells for context, enlarge them again for precision, and repeat.

Newell, Yang and Deng, ECCV 2016. The network of paper C (two stacks) and one of the networks of paper A.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lddmmlib.networks.heads import Standardise


class StackedHourglass(nn.Module):
    """A stack of hourglasses, from images (b, 3, h, w) to a list of maps (b, n, h/4, w/4), one a stack.

    The loss is applied to every stack (intermediate supervision); the prediction is the last. The features and maps
    of a stack are added to its input; the sum is the input of the next stack.

    Sides must be multiples of `multiple` = 4 · 2^depth px (64 as published). `stride` = 4 px a cell.

    | | parameters, 68 landmarks |
    |---|---|
    | `StackedHourglass()`, as in paper A | 24,791,304 |
    | `StackedHourglass(blocks=1)` | 6,770,952 |

    Paper C's residual blocks are the hierarchical ones of another network (Bulat and Tzimiropoulos, ICCV 2017); here
    they are Newell's. Weights are initialised by torch's defaults, as are those of the network that paper A uses.

    Args:
        landmarks: n.
        stacks: the number of hourglasses in sequence.
        blocks: residual blocks at each place.
        channels: of the features, even; the stem has a quarter and half of them.
        depth: the number of times that an hourglass halves its map.

    Raises:
        TypeError, ValueError: from `Standardise`.

    >>> import torch
    >>> net = StackedHourglass(landmarks=5, blocks=1, channels=16, depth=2)
    >>> [maps.shape for maps in net(torch.rand(1, 3, 64, 48))]
    [torch.Size([1, 5, 16, 12]), torch.Size([1, 5, 16, 12])]
    """

    stride = 4

    def __init__(
        self, landmarks: int = 68, stacks: int = 2, blocks: int = 4, channels: int = 256, depth: int = 4
    ) -> None:
        super().__init__()
        c, self.multiple = channels, 4 * 2**depth
        self.standardise = Standardise(self.multiple)
        self.stem = nn.Sequential(
            nn.Conv2d(3, c // 4, 7, 2, 3), nn.BatchNorm2d(c // 4), nn.ReLU(inplace=True),
            Block(c // 4, c // 2), nn.MaxPool2d(2), Block(c // 2, c), Block(c, c),
        )  # fmt: skip  # (b, 3, h, w) -> (b, c, h/4, w/4)
        self.glasses = nn.ModuleList(
            nn.Sequential(
                Hourglass(c, blocks, depth),
                row(c, blocks),
                nn.Conv2d(c, c, 1),
                nn.BatchNorm2d(c),
                nn.ReLU(inplace=True),
            )
            for _ in range(stacks)
        )
        self.scores = nn.ModuleList(nn.Conv2d(c, landmarks, 1) for _ in range(stacks))
        self.back = nn.ModuleList(
            nn.ModuleList([nn.Conv2d(c, c, 1), nn.Conv2d(landmarks, c, 1)]) for _ in range(stacks - 1)
        )

    def features(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The features (b, channels, h/4, w/4) and the maps (b, n, h/4, w/4) of each stack."""
        x, found = self.stem(self.standardise(images)), []
        for k, (glass, score) in enumerate(zip(self.glasses, self.scores, strict=True)):
            y = glass(x)
            maps = score(y)
            found.append((y, maps))
            if k < len(self.back):
                of_features, of_maps = self.back[k]
                x = x + of_features(y) + of_maps(maps)
        return found

    def forward(self, images: Tensor) -> list[Tensor]:
        return [maps for _, maps in self.features(images)]


class Hourglass(nn.Module):
    """An hourglass G_d(x) = R(x) + up(R(G_{d-1}(R(down x)))), with R a row of blocks and G_0 = R; it keeps
    the shape.
    """

    def __init__(self, c: int, blocks: int, depth: int) -> None:
        super().__init__()
        self.beside, self.before, self.after = (row(c, blocks) for _ in range(3))
        self.inner = Hourglass(c, blocks, depth - 1) if depth > 1 else row(c, blocks)

    def forward(self, x: Tensor) -> Tensor:
        low = self.after(self.inner(self.before(F.max_pool2d(x, 2))))
        return self.beside(x) + F.interpolate(low, scale_factor=2)  # nearest: each cell becomes 2 x 2


class Block(nn.Module):
    """A residual block: x + (1x1 to half the channels, 3x3, 1x1), normalised and rectified *before* each
    convolution.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), nn.Conv2d(inputs, half, 1),
            nn.BatchNorm2d(half), nn.ReLU(inplace=True), nn.Conv2d(half, half, 3, padding=1),
            nn.BatchNorm2d(half), nn.ReLU(inplace=True), nn.Conv2d(half, outputs, 1),
        )  # fmt: skip
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.body(x)


def row(c: int, blocks: int) -> nn.Sequential:
    """A sequence of residual blocks."""
    return nn.Sequential(*(Block(c, c) for _ in range(blocks)))
