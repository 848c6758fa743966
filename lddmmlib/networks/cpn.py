"""CPN, the cascaded pyramid network: a pyramid that finds the easy landmarks, and a second one that refines the rest.

Chen et al., "Cascaded pyramid network for multi-person pose estimation", CVPR 2018. One of the networks of paper E,
figure 11.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lddmmlib.networks.heads import Bottleneck, conv
from lddmmlib.networks.resnet import ResNet


class CPN(nn.Module):
    """CPN, from images (b, 3, h, w) to a list of maps (b, n, h/4, w/4): four of the pyramid, and the refined ones.

    GlobalNet adds the features of a `ResNet` from the smallest to the largest; each level predicts maps, enlarged to
    1/4 of the image. RefineNet takes the features of all levels through the more bottlenecks the smaller they are,
    enlarges and concatenates them. All five are trained (intermediate supervision), the last is used; the paper trains
    the last on its hardest landmarks alone.

    Sides must be multiples of `multiple`, 32 px. `stride` = 4 px a cell.

    | | parameters |
    |---|---|
    | `CPN(17)`, ResNet-50, as published for 17 joints: 27.0 million | 27,010,538 |
    | `CPN()`, 68 landmarks | 27,598,568 |
    | `CPN(blocks=(1, 1, 1, 1), width=8, channels=32)`, for a CPU | 0.28 million |

    Weights are initialised by torch's defaults. (The authors start from a trunk trained on ImageNet.)

    Args:
        landmarks: n.
        blocks: bottlenecks of each stage of the `ResNet`.
        width: channels of the first stage of the `ResNet`.
        channels: of the pyramids, a multiple of 4.

    Raises:
        TypeError, ValueError: from `Standardise`.

    >>> net = CPN(5, (1, 1, 1, 1), width=4, channels=8)
    >>> [tuple(maps.shape) for maps in net(torch.rand(1, 3, 64, 96))] == 5 * [(1, 5, 16, 24)]
    True
    """

    multiple, stride = 32, 4

    def __init__(
        self,
        landmarks: int = 68,
        blocks: tuple[int, int, int, int] = (3, 4, 6, 3),
        width: int = 64,
        channels: int = 256,
    ) -> None:
        super().__init__()
        c, n = channels, landmarks
        self.trunk = ResNet(blocks, width)
        levels = self.trunk.widths[::-1]  # the smallest first
        self.lateral = nn.ModuleList(conv(inputs, c, 1) for inputs in levels)
        self.up = nn.ModuleList(conv(c, c, 1, relu=False) for _ in levels[1:])
        self.scores = nn.ModuleList(nn.Sequential(conv(c, c, 1), conv(c, n, relu=False)) for _ in levels)
        self.refine = nn.ModuleList(nn.Sequential(*(Narrow(c, c // 2) for _ in range(many))) for many in (3, 2, 1, 0))
        self.last = nn.Sequential(Narrow(4 * c, c // 2), conv(c, n, relu=False))

    def forward(self, images: Tensor) -> list[Tensor]:
        features = self.trunk(images)[::-1]
        pyramid = [self.lateral[0](features[0])]
        for lateral, up, x in zip(self.lateral[1:], self.up, features[1:], strict=True):
            pyramid.append(lateral(x) + up(_resized(pyramid[-1], x.shape[2:])))
        size = features[-1].shape[2:]
        first = [_resized(score(x), size) for score, x in zip(self.scores, pyramid, strict=True)]
        refined = [_resized(blocks(x), size) for blocks, x in zip(self.refine, pyramid, strict=True)]
        return [*first, self.last(torch.cat(refined, 1))]


class Narrow(Bottleneck):
    """A bottleneck to 2c channels, not 4c: the skip is the identity where the number is kept."""

    def __init__(self, inputs: int, c: int) -> None:
        super().__init__(inputs, c)
        self.body[2] = conv(c, 2 * c, 1, relu=False)
        self.skip = nn.Identity() if inputs == 2 * c else conv(inputs, 2 * c, 1, relu=False)


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, list(size), mode="bilinear", align_corners=False)
