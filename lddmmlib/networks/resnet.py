"""ResNet with bottlenecks, the trunk of SimpleBaselines and CPN: features at 1/4, 1/8, 1/16 and 1/32 of the image.

He et al., "Deep residual learning for image recognition", CVPR 2016. The stride is on the 3x3 convolution, as it is
in torchvision.
"""

from __future__ import annotations

from torch import Tensor, nn

from lddmmlib.networks.heads import Bottleneck, Standardise, conv


class ResNet(nn.Module):
    """ResNet-50 without its last layer, from images (b, 3, h, w) to features (b, 4w 2^i, h / (4 2^i), w / (4 2^i)).

    Sides must be multiples of `multiple`, 32 px. `ResNet()` has 23,508,032 parameters. `widths` are the channels of the
    four features.

    Args:
        blocks: bottlenecks of each stage; (3, 4, 23, 3) for ResNet-101, (3, 8, 36, 3) for ResNet-152.
        width: w, channels of the stem and of the first stage's 3x3 convolutions.

    Raises:
        TypeError, ValueError: from `Standardise`.

    >>> import torch
    >>> [tuple(x.shape) for x in ResNet((1, 1, 1, 1), width=4)(torch.rand(1, 3, 64, 64))]
    [(1, 16, 16, 16), (1, 32, 8, 8), (1, 64, 4, 4), (1, 128, 2, 2)]
    """

    multiple = 32

    def __init__(self, blocks: tuple[int, int, int, int] = (3, 4, 6, 3), width: int = 64) -> None:
        super().__init__()
        self.widths = [4 * width * 2**i for i in range(4)]
        self.standardise = Standardise(self.multiple)
        stem = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        self.stem = nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1))  # (b, 3, h, w) -> (b, w, h/4, w/4)
        inputs = [width, *self.widths[:-1]]
        self.stages = nn.ModuleList(
            nn.Sequential(Strided(i, o // 4, 2 if s else 1), *(Bottleneck(o, o // 4) for _ in range(many - 1)))
            for s, (i, o, many) in enumerate(zip(inputs, self.widths, blocks, strict=True))
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        features = [self.stem(self.standardise(images))]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features[1:]


class Strided(Bottleneck):
    """A bottleneck that may halve the map: its 3x3 and its skip have the stride."""

    def __init__(self, inputs: int, c: int, stride: int) -> None:
        super().__init__(inputs, c)
        self.body[1] = conv(c, c, stride=stride)
        self.skip = conv(inputs, 4 * c, 1, stride, relu=False)
