"""CoordConv: a convolution with the coordinates of each cell as additional input channels.

Liu et al., "An intriguing failing of convolutional neural networks and the CoordConv solution", NeurIPS 2018. Paper E
replaces every convolution of HRNet by one, section 6.2.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from lddmmlib._shapes import Float


def coordinates(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 2 h w"]:
    """The coordinates of each cell, x then y, from -1 in the first column or row to 1 in the last; 0 if there is only
    one.

    >>> coordinates(torch.zeros(1, 8, 2, 3))[0]
    tensor([[[-1.,  0.,  1.],
             [-1.,  0.,  1.]],
    <BLANKLINE>
            [[-1., -1., -1.],
             [ 1.,  1.,  1.]]])
    """
    b, _, h, w = x.shape
    y, x = (torch.linspace(-1, 1, k, dtype=x.dtype, device=x.device) if k > 1 else x.new_zeros(1) for k in (h, w))
    return torch.stack([x.expand(h, w), y[:, None].expand(h, w)]).expand(b, 2, h, w)


class CoordConv(nn.Module):
    """A convolution of (x, coordinates), with two more input channels.

    Args:
        conv: the convolution to replace. Its weights are kept and those of the two channels start at 0, so
            that both compute the same before training.

    Raises:
        ValueError: a grouped convolution, since the coordinates belong to no group.

    >>> sum(p.numel() for p in CoordConv(nn.Conv2d(8, 16, 3)).parameters())  # (8 + 2) · 16 · 3² + 16
    1456
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        if conv.groups > 1:
            raise ValueError(f"conv: needed a convolution of one group, got {conv.groups}; leave that one as it is")
        zeros = conv.weight.new_zeros(conv.out_channels, 2, *conv.kernel_size)
        self.conv = copy.deepcopy(conv)
        self.conv.in_channels += 2
        self.conv.weight = nn.Parameter(torch.cat([conv.weight.detach(), zeros], 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch.cat([x, coordinates(x)], 1))  # (b, c + 2, h, w) -> (b, outputs, h', w')


def with_coordinates(net: nn.Module) -> nn.Module:
    """A copy of a network with every convolution replaced by a `CoordConv`, as in paper E; initially both compute the
    same.

    >>> net = with_coordinates(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 5, 1)))
    >>> [type(layer).__name__ for layer in net]
    ['CoordConv', 'ReLU', 'CoordConv']
    """
    net = copy.deepcopy(net)
    for parent in [m for m in net.modules() if not isinstance(m, CoordConv)]:
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d):
                setattr(parent, name, CoordConv(child))
    return net
