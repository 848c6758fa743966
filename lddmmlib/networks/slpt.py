"""SLPT, the sparse local patch transformer: each landmark looks at a small patch, and a transformer relates them.

Xia et al., "Sparse local patch transformer for robust face alignment and landmarks inherent relation learning", CVPR
2022. The landmarker of paper D.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lddmmlib import _checks
from lddmmlib._shapes import Float
from lddmmlib.networks.heads import precise
from lddmmlib.networks.hrnet import HRNetV2

SAMPLES = 7  # of a patch, along each side
SIDES = (1 / 4, 1 / 8, 1 / 16)  # of a patch in each stage, as a share of the image's
WEIGHTS = (0.2, 0.3, 0.5)  # of the stages in the loss


class SLPT(nn.Module):
    """SLPT, from images (b, 3, size, size) to a list of landmarks (b, layers, n, 2) px, one for each of three stages.

    Around each landmark of the stage before, first of the mean shape, lies a patch; 7 x 7 samples of the trunk's
    features there become a token. Every layer of the transformer estimates where in its patch the landmark lies, in
    units of the patch's side. Each stage has a smaller patch, 1/4, 1/8 and 1/16 of the image, and the same weights.
    All layers and stages are trained (`WEIGHTS` of the stages); the prediction is ``net(images)[-1][:, -1]``.

    | 68 landmarks | parameters | of the transformer |
    |---|---|---|
    | `SLPT(mean)`, as published: 6.36 million in the transformer | 19,273,604 | 6,355,968 |
    | `SLPT(mean, layers=12)`: 12.68 million | 25,594,244 | 12,676,608 |
    | ``SLPT(mean, 64, 32, 2, 4, 64, HRNetV2(32, 8, (1, 1, 1), 2))``, for a CPU | 820,730 | 30,080 |

    The authors' trunk is HRNet-W18 for classification; here it is HRNetV2 with `channels` maps, and the tokens are
    normalised. The estimate starts at the mean shape; other weights are initialised by torch's defaults.

    Args:
        mean: the mean shape, (n, 2) px of an image of `size`, in any precision.
        size: side of an image, px.
        channels: of features and tokens, a multiple of `heads`.
        layers: of the transformer.
        heads: of its attention.
        hidden: channels of its feed-forward parts.
        trunk: a network with a `multiple`, from images to maps (b, channels, ., .), or a list of which the last
            counts; None: `HRNetV2(channels)`.
        dropout: the share that is dropped in the transformer.

    Raises:
        ValueError: another size of images, channels that the heads do not divide.

    >>> net = SLPT(torch.full((5, 2), 15.5), 32, 8, 2, 2, 16, HRNetV2(8, width=4, modules=(1, 1, 1), blocks=1))
    >>> [tuple(stage.shape) for stage in net(torch.rand(4, 3, 32, 32))]
    [(4, 2, 5, 2), (4, 2, 5, 2), (4, 2, 5, 2)]
    """

    def __init__(
        self, mean: Float[Tensor, "n 2"], size: int = 256, channels: int = 256, layers: int = 6, heads: int = 8,
        hidden: int = 1024, trunk: nn.Module | None = None, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        _checks.points(mean, "mean")
        _checks.need(channels % heads == 0, "channels", f"a multiple of the {heads} heads", channels)
        self.size = size
        self.register_buffer("mean", mean.detach().to(torch.get_default_dtype(), copy=True))
        self.trunk = HRNetV2(channels) if trunk is None else trunk
        self.multiple = self.trunk.multiple
        self.token = nn.Conv2d(channels, channels, SAMPLES, bias=False)
        self.norm = nn.LayerNorm(channels)
        self.transformer = Transformer(len(mean), channels, layers, heads, hidden, dropout)
        self.last = nn.Linear(channels, 2)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = self.trunk(images)
        maps = maps[-1] if isinstance(maps, list) else maps
        _checks.need({*images.shape[2:]} == {self.size}, "images", f"sides of {self.size} px", tuple(images.shape))
        points, found = self.mean.expand(len(images), -1, -1), []
        for share in SIDES:
            side = share * self.size
            offsets = precise(self.last, self.transformer(self.tokens(maps, points, side)))
            found.append(points[:, None] + side * offsets)  # (b, layers, n, 2)
            points = found[-1][:, -1].detach()
        return found

    def tokens(self, maps: Float[Tensor, "b c h w"], points: Float[Tensor, "b n 2"], side: float) -> Tensor:
        """The tokens of patches of a side (px) around points (b, n, 2) px: (b, n, channels)."""
        k = ((torch.arange(SAMPLES, dtype=points.dtype, device=points.device) + 0.5) / SAMPLES - 0.5) * side
        places = points[:, :, None] + torch.cartesian_prod(k, k).flip(-1)  # (b, n, 49, 2), row by row
        grid = (2 * places + 1) / self.size - 1  # -1 and 1 are the borders of the image, and of the maps
        patches = F.grid_sample(maps.to(grid), grid, padding_mode="border", align_corners=False)  # (b, c, n, 49)
        patches = patches.transpose(1, 2).unflatten(-1, (SAMPLES, SAMPLES))  # (b, n, c, 7, 7)
        return self.norm(self.token(patches.flatten(0, 1)).flatten(1)).unflatten(0, points.shape[:2])


class Transformer(nn.Module):
    """The transformer of SLPT, from tokens (b, n, c) to the queries after each layer, (b, layers, n, c).

    A learnt query for each landmark asks the other queries and the tokens of all patches; a learnt structure encoding
    tells the tokens apart.
    """

    def __init__(self, landmarks: int, c: int, layers: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.structure, self.query = (nn.Parameter(torch.randn(landmarks, c)) for _ in range(2))
        self.layers = nn.ModuleList(Layer(c, heads, hidden, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(c)

    def forward(self, tokens: Tensor) -> Tensor:
        x, states = torch.zeros_like(tokens), []
        for layer in self.layers:
            x = layer(x, self.query, tokens, self.structure)
            states.append(self.norm(x))
        return torch.stack(states, 1)


class Layer(nn.Module):
    """A decoder layer, normalised before each part: attention among queries, attention to tokens, feed forward."""

    def __init__(self, c: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.among, self.across = (nn.MultiheadAttention(c, heads, dropout, batch_first=True) for _ in range(2))
        self.feed = nn.Sequential(nn.Linear(c, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, c))
        self.norms = nn.ModuleList(nn.LayerNorm(c) for _ in range(3))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, query: Tensor, tokens: Tensor, structure: Tensor) -> Tensor:
        y = self.norms[0](x)
        x = x + self.drop(self.among(y + query, y + query, y, need_weights=False)[0])
        y = self.norms[1](x)
        x = x + self.drop(self.across(y + query, tokens + structure, tokens, need_weights=False)[0])
        return x + self.drop(self.feed(self.norms[2](x)))
