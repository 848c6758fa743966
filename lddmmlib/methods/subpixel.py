"""Sub-pixel heatmap regression (paper C): targets without rounding, decoding in a window, consistency of two views.

A network Φ learns a Gaussian for each landmark by the pixel-wise L2 loss, centred at the landmark (eq. 3)
instead of the nearest cell (eq. 2): `heatmaps.encode(rounding="none")`. At test time `heatmaps.decode("local_soft")`
decodes the maps (eq. 4-5). In training, two views T_0, T_1 of one face must give the same maps (eq. 6), after both are
mapped back to the face's own frame:

    Ĥ = T_0⁻¹ Φ(T_0 X) + T_1⁻¹ Φ(T_1 X).

**Scale.** The paper does not say what Ĥ is compared with. A sum of two maps of height 1 has height 2, so its target is
2h. Here their mean is compared with h: the same loss divided by 4, with the same minimum, on the scale of its rivals'
losses, so that one learning rate suits all. Where only one view covers a cell, the mean is the map of that view;
where none does, the cell is ignored.

**Frame.** h has the width σ in the face's own frame. In a view enlarged by k the network must draw Gaussians of
width k σ.

Rivals of the paper's Table 1: `Corrected`, a learned correction of whole cells, and a global soft-argmax. The latter,
the plain loss and the decoding are not specific to paper C: they are in `heatmap_regression`. With `both(pair)` as its
batch, `l2_loss` is the control of `siamese_loss`: as many views and as much computation, without the consistency.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from lddmmlib import _checks, heatmaps
from lddmmlib._shapes import Bool, Float
from lddmmlib.data import crops
from lddmmlib.data.augment import STILL, Crops, augment
from lddmmlib.data.crops import Crop
from lddmmlib.methods.heatmap_regression import (
    heatmaps_of,
    l2_of_stacks,
    network_input,
    squared_error,
    stacks,
    stride,
    target,
)
from lddmmlib.networks import StackedHourglass
from lddmmlib.networks.heads import precise

RECIPE = STILL._replace(turn=30.0, turned=1.0, scale=(0.85, 1.15), flipped=0.5, colour=0.4)  # section 5.1


class Pair(NamedTuple):
    """Two views of one face. A `DataLoader` stacks pairs without a collate function.

    >>> face = torch.zeros(3, 64, 64).byte(), 64 * torch.rand(68, 2).double(), torch.ones(68).bool()
    >>> views = Views(Crops([face], "300w-68", size=32, how=RECIPE))
    >>> views.draw(0, np.random.default_rng(0)).landmarks.shape
    torch.Size([68, 2])
    """

    first: Crop
    second: Crop
    landmarks: Float[Tensor, "n 2"]  #: px of the canonical crop, the frame to which both are mapped back
    moves: Float[Tensor, "2 2 3"]  #: T_0 and T_1: canonical crop -> view, px; a negative determinant is a flip


class Views(Dataset):
    """Two random views of each face, for `training.fit`: `draw(i, rng)`, each resampled from the photograph directly.

    Args:
        data: the faces and their augmentation.

    >>> from lddmmlib.faces import synthetic
    >>> views = Views(Crops(synthetic.Faces(2, "studio", size=64), "300w-68", size=32, how=RECIPE))
    >>> pair = views.draw(0, np.random.default_rng(0))
    >>> pair.first.image.shape, pair.moves.shape
    (torch.Size([3, 32, 32]), torch.Size([2, 2, 3]))
    """

    def __init__(self, data: Crops) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def draw(self, index: int, rng: np.random.Generator) -> Pair:
        """Two random views of a face.

        Args:
            index: the face.
            rng: the source of randomness.
        """
        data = self.data
        image, landmarks, visible, *_ = data.faces[index]
        still = crops.frame(crops.box(landmarks), data.size, data.margin)
        two = [augment(image, landmarks, visible, still, data.size, data.scheme, rng, data.how) for _ in range(2)]
        moves = [crops.then(crops.inverse(still), view.affine) for view in two]
        return Pair(*two, crops.apply(still, landmarks), torch.stack(moves))


def both(pair: Pair) -> Crop:
    """The views of a batch of pairs as one batch of crops, all first views first.

    >>> face = torch.zeros(3, 64, 64).byte(), 64 * torch.rand(68, 2).double(), torch.ones(68).bool()
    >>> views = Views(Crops([face], "300w-68", size=32, how=RECIPE))
    >>> pair = torch.utils.data.default_collate([views.draw(0, np.random.default_rng(0))])
    >>> both(pair).image.shape
    torch.Size([2, 3, 32, 32])
    """
    return Crop(*(torch.cat(parts) for parts in zip(pair.first, pair.second, strict=True)))


@_checks.full_precision
def to_canonical(
    maps: Float[Tensor, "b n h w"],
    moves: Float[Tensor, "b 2 3"],
    flip: Sequence[int],
    stride: float = 1,
    alignment: str = "centre",
) -> tuple[Float[Tensor, "b n h w"], Bool[Tensor, "b h w"]]:
    """The maps of a view in the face's own frame, T⁻¹ of eq. 6: at each cell u of the frame h(A u), A the move in
    cells.

    The maps are resampled by the exact affine map; in a flipped view left eyes are right ones, so channels are
    permuted. Between cells the maps are interpolated by a cubic spline, which moves a Gaussian of σ = 2 there and back
    within 0.005 cells. (Linear interpolation flattens it by up to 1/(4σ²); PyTorch's bicubic one, whose weights at a
    quarter have their mean at 0.297, moves it.) Linear in the maps, and differentiable.

    Args:
        maps: (b, n, h, w), of the views.
        moves: (b, 2, 3), px of the frame -> px of the view, as in a `Pair`.
        flip: the landmark that each becomes in the mirror (`schemes.get(...).flip`).
        stride: px a cell, see `heatmaps`.
        alignment: see `heatmaps`.

    Returns:
        The maps in the frame (b, n, h, w), zero outside the view, and a mask (b, h, w) of the cells inside the view.

    Raises:
        ValueError: flip has another length than n.

    Paper C, equation 6.

    >>> view = heatmaps.encode(torch.tensor([[[5.3, 4.1]]]), (10, 10), sigma=2.0)
    >>> right = torch.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]])  # in the view all is half a cell further right
    >>> back, seen = to_canonical(view, right, [0])
    >>> heatmaps.decode(back, "taylor"), int(seen.sum())
    (tensor([[[4.8002, 4.1000]]]), 90)
    """
    _checks.floats(maps, "maps")
    if maps.ndim != 4 or not maps.numel():
        raise ValueError(f"maps: needed (b, n, h, w), at least one, got shape {tuple(maps.shape)}")
    crops.check(moves, "moves")
    if moves.shape != (len(maps), 2, 3) or moves.device != maps.device:
        wanted = f"{(len(maps), 2, 3)} on {maps.device}, one for each view"
        raise ValueError(f"moves: needed {wanted}, got {tuple(moves.shape)} on {moves.device}")
    _checks.kind(flip, "flip", Sequence)
    if len(flip) != maps.shape[1]:
        raise ValueError(f"flip: needed the scheme of the {maps.shape[1]} maps, got one of {len(flip)} landmarks")
    h, w = maps.shape[-2:]
    # Cells of the frame -> pixels of the frame -> pixels of the view -> cells of the view.
    origin = heatmaps.to_pixels(moves.new_zeros(2, 1), stride, alignment)
    pixels = torch.cat([stride * torch.eye(2, dtype=moves.dtype, device=moves.device), origin], 1).expand_as(moves)
    A = crops.then(crops.then(pixels, moves), crops.inverse(pixels))
    y, x = torch.meshgrid(*(torch.arange(k, dtype=A.dtype, device=A.device) for k in (h, w)), indexing="ij")
    at = crops.apply(A, torch.stack([x, y], -1).reshape(-1, 2).expand(len(A), -1, 2)).unflatten(1, (h, w))
    seen = ((at > -1e-6) & (at < at.new_tensor([w, h]) - 1 + 1e-6)).all(-1)
    mirrored = moves[:, 0, 0] * moves[:, 1, 1] < moves[:, 0, 1] * moves[:, 1, 0]
    maps = torch.where(mirrored[:, None, None, None], maps[:, list(flip)], maps)
    return _spline(maps, at.to(maps)) * seen[:, None], seen


def _spline(maps: Tensor, at: Tensor) -> Tensor:
    """The cubic B-spline through all cells, 0 outside, at the positions (b, h, w, 2): (b, n, h, w).

    Its coefficients c solve (c_(k-1) + 4 c_k + c_(k+1)) / 6 = h_k along each axis. The four weights of an axis form two
    pairs; each pair is read by one bilinear sample between its two cells.
    """
    for axis in (-2, -1):
        one = torch.eye(maps.shape[axis], dtype=torch.float64, device=maps.device)
        B = (4 * one + one.roll(1, 0).tril() + one.roll(-1, 0).triu()) / 6
        maps = torch.linalg.inv(B).to(maps) @ maps if axis == -2 else maps @ torch.linalg.inv(B).to(maps)
    k, last = at.floor(), at.new_tensor(maps.shape[:-3:-1]) - 1
    t = at - k
    first, second = (1 - t) ** 3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6
    left = first + second  # of the cells k - 1 and k; the others have 1 - left
    sides = (left, k - 1 + second / left), (1 - left, k + 1 + t**3 / 6 / (1 - left))
    total = 0.0
    for wx, px in sides:
        for wy, py in sides:
            place = torch.stack([px[..., 0], py[..., 1]], -1)
            sample = F.grid_sample(maps, 2 * place / last - 1, align_corners=True)  # -1, 1: middles of the outer cells
            total = total + (wx[..., 0] * wy[..., 1])[:, None] * sample
    return total


def siamese_loss(model: nn.Module, pair: Pair, flip: Sequence[int], sigma: float = 2.0) -> Float[Tensor, ""]:
    """The L2 loss between h and the mean of both views' maps in the face's own frame, summed over stacks.

    Both views pass through the network in one batch.

    Args:
        model: from images to maps or a list of maps.
        pair: a batch of pairs.
        flip: the landmark that each becomes in the mirror (`schemes.get(...).flip`).
        sigma: width of the targets, cells.

    Paper C, equation 6, divided by 4: see the module on scale.

    >>> from lddmmlib.faces import schemes
    >>> face = torch.zeros(3, 64, 64).byte(), 64 * torch.rand(68, 2).double(), torch.ones(68).bool()
    >>> views = Views(Crops([face], "300w-68", size=32, how=RECIPE))
    >>> pair = torch.utils.data.default_collate([views.draw(0, np.random.default_rng(0))])
    >>> siamese_loss(nn.Conv2d(3, 68, 1), pair, schemes.get("300w-68").flip).item() > 0
    True
    """
    images, value = torch.cat([pair.first.image, pair.second.image]), 0.0
    moves = pair.moves.transpose(0, 1).flatten(0, 1)  # (b, view, 2, 3) -> (view b, 2, 3)
    for maps in heatmaps_of(model, images):
        back, seen = to_canonical(maps, moves, flip, stride(maps, images))
        two, views = back.unflatten(0, (2, -1)), seen.unflatten(0, (2, -1)).sum(0)
        mean = two.sum(0) / views.clamp(min=1)[:, None]
        value = value + squared_error(mean, target(pair.landmarks, mean, images, sigma), views > 0)
    return value


class Corrected(nn.Module):
    """An hourglass with a learned correction of the maximum, in cells: Δ = W · (mean of the features over cells) + b.

    The paper's rival, after DeepCut: "a global pooling operation followed by a fully connected layer ... trained
    jointly using an l2 loss". It maps images to (maps of every stack, Δ (b, n, 2)). Section 4.1 and Table 1.

    Args:
        net: the hourglass.

    >>> model = Corrected(StackedHourglass(5, blocks=1, channels=16, depth=2))
    >>> model(torch.rand(2, 3, 64, 64))[1].shape
    torch.Size([2, 5, 2])
    """

    def __init__(self, net: StackedHourglass) -> None:
        super().__init__()
        self.net = net
        self.linear = nn.Linear(net.scores[-1].in_channels, 2 * net.scores[-1].out_channels)

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        found = self.net.features(images)
        return [maps for _, maps in found], precise(self.linear, found[-1][0].mean((2, 3))).unflatten(1, (-1, 2))


def correction_loss(model: nn.Module, batch: Crop, sigma: float = 2.0, dynamic: bool = False) -> Float[Tensor, ""]:
    """The L2 loss with rounded targets, plus |Δ - δ|² averaged over the landmarks on the crop.

    Static: δ = u - round(u), the rounding error of the encoder. Dynamic: δ = u - argmax ĥ, the current error of the
    network.

    Args:
        model: a `Corrected` network.
        batch: the crops.
        sigma: width of the targets, cells.
        dynamic: whether δ is dynamic.

    Paper C, section 4.1 and Table 1.

    >>> face = torch.zeros(3, 64, 64).byte(), 64 * torch.rand(68, 2).double(), torch.ones(68).bool()
    >>> batch = torch.utils.data.default_collate([Crops([face], "300w-68", size=16)[0]])
    >>> model = Corrected(StackedHourglass(blocks=1, channels=8, depth=1))
    >>> correction_loss(model, batch).item() > 0
    True
    """
    output, delta = model(network_input(batch.image))
    maps = stacks(output)
    u = heatmaps.to_cells(batch.landmarks.float(), stride(maps[-1], batch.image))
    start = heatmaps.decode(maps[-1].detach(), "argmax") if dynamic else heatmaps.quantise(u)
    wrong = (delta.float() - (u - start)).square().sum(-1)[batch.inside].mean()
    return wrong + l2_of_stacks(maps, batch, sigma, "round")


def corrected_landmarks(output: tuple[Any, Tensor], images: Tensor) -> Float[Tensor, "b n 2"]:
    """Landmarks from the output of a `Corrected` network: the cell of the largest value, plus Δ.

    Args:
        output: maps of every stack, and Δ (b, n, 2).
        images: (b, 3, ., .), which give the stride.

    Returns:
        (b, n, 2), px of the images.

    >>> maps = heatmaps.encode(torch.tensor([[[9.3, 7.8]]]), (16, 16), sigma=2.0)
    >>> corrected_landmarks(([maps], torch.tensor([[[0.3, -0.2]]])), torch.zeros(1, 3, 64, 64))
    tensor([[[38.7000, 32.7000]]])
    """
    maps, delta = stacks(output[0])[-1], output[1]
    s = stride(maps, images)
    return heatmaps.decode(maps, "argmax", stride=s) + s * delta.float()
