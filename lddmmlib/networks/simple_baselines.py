"""SimpleBaselines: a ResNet, and three transposed convolutions that bring its last features back to 1/4 of the image.

Xiao, Wu and Wei, "Simple baselines for human pose estimation and tracking", ECCV 2018. One of the networks of paper E,
figure 11.
"""

from __future__ import annotations

from torch import Tensor, nn

from lddmmlib.networks.resnet import ResNet


class SimpleBaselines(nn.Module):
    """SimpleBaselines, from images (b, 3, h, w) to maps (b, n, h/4, w/4).

    Sides must be multiples of `multiple`, 32 px. `stride` = 4 px a cell.

    | | parameters |
    |---|---|
    | `SimpleBaselines(17)`, ResNet-50, as published for 17 joints: 34.0 million | 33,999,697 |
    | `SimpleBaselines(17, (3, 4, 23, 3))`, ResNet-101: 53.0 million | 52,991,825 |
    | `SimpleBaselines()`, 68 landmarks | 34,012,804 |
    | `SimpleBaselines(blocks=(1, 1, 1, 1), width=8, channels=32)`, for a CPU | 0.29 million |

    The transposed and the last convolutions are initialised by N(0, 0.001²), as published, the trunk by torch's
    defaults. (The authors start from a trunk trained on ImageNet.)

    Args:
        landmarks: n.
        blocks: bottlenecks of each stage of the `ResNet`.
        width: channels of the first stage of the `ResNet`.
        channels: of the transposed convolutions.

    Raises:
        TypeError, ValueError: from `Standardise`.

    >>> import torch
    >>> SimpleBaselines(5, (1, 1, 1, 1), width=4, channels=8)(torch.rand(1, 3, 64, 96)).shape
    torch.Size([1, 5, 16, 24])
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
        self.trunk = ResNet(blocks, width)
        layers: list[nn.Module] = []
        for inputs in (self.trunk.widths[-1], channels, channels):
            up = nn.ConvTranspose2d(inputs, channels, 4, 2, 1, bias=False)
            layers += [up, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        self.up, self.last = nn.Sequential(*layers), nn.Conv2d(channels, landmarks, 1)
        for layer in (*self.up[::3], self.last):
            nn.init.normal_(layer.weight, std=0.001)
        nn.init.zeros_(self.last.bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.up(self.trunk(images)[-1]))
