"""Estimators of momenta: paper A's heads for HRNetV2 and for a stacked hourglass, of the published width or lean.

    HRNetV2(head=MomentaHead(68, (18, 36, 72, 144)))        images -> momenta (b, 68, 2)
    HourglassMomenta(StackedHourglass(68), momenta=68)      likewise, from the features of all stacks

Both say `head`, the part that a frozen trunk leaves to be trained. DAN, whose stages each give momenta, is
`methods.lddmm_face.DANFace`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lddmmlib import _checks
from lddmmlib.networks.heads import Bottleneck, CoordinateHead, conv, precise
from lddmmlib.networks.hourglass import StackedHourglass


class MomentaHead(CoordinateHead):
    """Momenta, read off the mean over the image as in HRNet's classification network.

    The sizes are free: the published ones widen a lean trunk far beyond its own width, so that the head holds nearly
    all weights. Four times the trunk's width keeps each branch as wide as its bottleneck has it.

    Args:
        momenta: k, the number of landmarks that have one.
        widths: channels of each branch, the first the largest map.
        pyramid: branch i is half the size of branch i - 1 (HRNet); False: all of one size, side by side (hourglass).
        first: channels that the first branch is widened to, a multiple of 4; the others have 2, 4, 8 times as many.
        hidden: channels before the mean.

    Branches (b, c_i, h_i, w_i) -> (b, k, 2), px. Parameters of HRNetV2-W18 with the published head: 19,528,668 for 68
    momenta, 19,643,412 for 96, 20,045,016 for 194. Of `HRNetV2(width=8, modules=(1, 1, 1), blocks=2)`, for 68: with
    the published head 10.55 million, with ``first=32, hidden=256`` 1.31 million.

    Paper A, section 4, the momenta estimator: "an average pooling layer and a fully-connected layer".

    >>> head = MomentaHead(5, (4, 8), first=16, hidden=16)
    >>> head([torch.zeros(2, 4, 16, 12), torch.zeros(2, 8, 8, 6)]).shape
    torch.Size([2, 5, 2])
    """

    def __init__(
        self, momenta: int, widths: Sequence[int], pyramid: bool = True, first: int = 128, hidden: int = 2048
    ) -> None:
        _checks.whole(momenta, "momenta")
        _checks.whole(hidden, "hidden")
        _checks.whole(first, "first", 4)
        _checks.need(first % 4 == 0, "first", "a multiple of 4, as a bottleneck is", first)
        super().__init__(torch.zeros(momenta, 2), widths, pyramid, hidden)
        if pyramid and first != 128:
            wider = [first * 2**i for i in range(len(widths))]
            self.widen = nn.ModuleList(Bottleneck(i, o // 4) for i, o in zip(widths, wider, strict=True))
            self.down = nn.ModuleList(conv(o, 2 * o, stride=2, bias=True) for o in wider[:-1])
            self.mix = conv(wider[-1], hidden, 1, bias=True)


class GridHead(nn.Module):
    """Momenta, read off a coarse grid: for lean trunks, in whose mean over the image little is left of places.

    Two convolutions halve the map twice, and a linear layer reads all cells. It starts at momenta of zero, so that
    training starts from the mean face.

    Args:
        momenta: k, the number of landmarks that have one.
        channels: c, of the features.
        hidden: channels of a cell.
        cells: cells of the grid along each side.

    Features (b, c, h, w), sides multiples of 4 cells, -> (b, k, 2), px.

    >>> GridHead(5, channels=8, hidden=16)([torch.rand(2, 8, 16, 16)]).tolist() == torch.zeros(2, 5, 2).tolist()
    True
    """

    def __init__(self, momenta: int, channels: int, hidden: int = 64, cells: int = 4) -> None:
        super().__init__()
        self.down = nn.Sequential(conv(channels, 2 * channels, stride=2), conv(2 * channels, hidden, stride=2))
        self.cells, self.last = cells, nn.Linear(hidden * cells**2, 2 * momenta)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, branches: Sequence[Tensor]) -> Tensor:
        x = self.down(torch.cat(list(branches), 1))
        x = F.avg_pool2d(x, [side // self.cells for side in x.shape[2:]]).flatten(1)
        return precise(self.last, x).unflatten(1, (-1, 2))  # (b, hidden cells²) -> (b, 2k) -> (b, k, 2)


class HourglassMomenta(nn.Module):
    """Images (b, 3, h, w) -> momenta (b, k, 2), from the features of all stacks side by side.

    Args:
        net: the hourglass, fresh or trained on heatmaps; the maps of its last stack are not read.
        momenta: k.
        hidden: channels before the mean.
        cells: 1 for the published head, which reads the mean over the image; more for a `GridHead`.

    Paper A, section 4.1.

    >>> net = HourglassMomenta(StackedHourglass(5, blocks=1, channels=16, depth=2), momenta=5, hidden=32)
    >>> net(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 5, 2])
    """

    def __init__(self, net: StackedHourglass, momenta: int, hidden: int = 2048, cells: int = 1) -> None:
        super().__init__()
        self.net = net
        net.scores[-1].requires_grad_(False)
        c, grid = [score.in_channels for score in net.scores], cells > 1
        self.head = GridHead(momenta, sum(c), hidden, cells) if grid else MomentaHead(momenta, c, False, hidden=hidden)

    def forward(self, images: Tensor) -> Tensor:
        return self.head([features for features, _ in self.net.features(images)])
