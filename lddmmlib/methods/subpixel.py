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

Rivals of the paper's Table 1: `Corrected`, a learned correction of whole cells, and `soft_loss`, a global soft-argmax.
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
from lddmmlib.networks import StackedHourglass
from lddmmlib.networks.heads import precise

RECIPE = STILL._replace(turn=30.0, turned=1.0, scale=(0.85, 1.15), flipped=0.5, colour=0.4)  # section 5.1


class Pair(NamedTuple):
    """Two views of one face. A `DataLoader` stacks pairs without a collate function.

    >>> from lddmmlib.faces import synthetic
    >>> views = Views(Crops(synthetic.Faces(1, "studio", size=64), "300w-68", size=32, how=RECIPE))
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

    >>> from lddmmlib.faces import synthetic
    >>> views = Views(Crops(synthetic.Faces(1, "studio", size=64), "300w-68", size=32, how=RECIPE))
    >>> pair = torch.utils.data.default_collate([views.draw(0, np.random.default_rng(0))])
    >>> both(pair).image.shape
    torch.Size([2, 3, 32, 32])
    """
    return Crop(*(torch.cat(parts) for parts in zip(pair.first, pair.second, strict=True)))


@_checks.full_precision
def brought_back(
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
    >>> back, seen = brought_back(view, right, [0])
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
    _checks.positive(stride, "stride")
    _checks.one_of(alignment, "alignment", heatmaps.ALIGNMENTS)
    _checks.kind(flip, "flip", Sequence)
    if len(flip) != maps.shape[1]:
        raise ValueError(f"flip: needed the scheme of the {maps.shape[1]} maps, got one of {len(flip)} landmarks")
    (h, w), origin = maps.shape[-2:], (stride - 1) / 2 if alignment == "centre" else 0.0
    # Cells of the frame -> pixels of the frame -> pixels of the view -> cells of the view.
    pixels = moves.new_tensor([[stride, 0, origin], [0, stride, origin]]).expand_as(moves)
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


def stacks(model: nn.Module, images: Tensor) -> list[Tensor]:
    """The maps of every stack of a network, in single precision at least; the last stack is used for prediction.

    Args:
        model: from images (b, 3, h, w) in [0, 1] to maps or a list of maps.
        images: (b, 3, h, w) uint8.

    Returns:
        A list of maps (b, n, h', w').

    >>> images = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    >>> [maps.amax().item() for maps in stacks(nn.Identity(), images)]
    [1.0]
    """
    maps = model(images.float() / 255)
    return [each.float() for each in (maps if isinstance(maps, list) else [maps])]


@_checks.full_precision
def heatmap_loss(
    maps: Float[Tensor, "b n h w"], target: Float[Tensor, "b n h w"], seen: Bool[Tensor, "b h w"] | None = None
) -> Float[Tensor, ""]:
    """The pixel-wise L2 loss Σ_ij (ĥ_ij - h_ij)², summed over cells and averaged over landmarks.

    As a sum over cells it has one scale for maps of any size. A landmark whose target is all zeros is missing and is
    ignored, and so are cells that are not `seen`.

    Args:
        maps: ĥ, (b, n, h, w).
        target: h, (b, n, h, w).
        seen: (b, h, w), True for the cells that count; None for all.

    Paper C, section 5.1.

    >>> target = torch.zeros(1, 2, 3, 3)
    >>> target[0, 0, 1, 1] = 1.0  # the other landmark is missing
    >>> heatmap_loss(torch.full((1, 2, 3, 3), 0.5), target)
    tensor(2.2500)
    """
    for name, x in (("maps", maps), ("target", target)):
        _checks.floats(x, name)
    _checks.same(maps=maps, target=target)
    if maps.shape != target.shape or maps.ndim < 3:
        got = f"{tuple(maps.shape)} and {tuple(target.shape)}"
        raise ValueError(f"maps, target: needed one shape (b, n, h, w), got {got}")
    if seen is not None:
        _checks.tensor(seen, "seen")
        wanted = (*maps.shape[:-3], *maps.shape[-2:])
        if (seen.shape, seen.dtype, seen.device) != (wanted, torch.bool, maps.device):
            got = f"{seen.dtype} {tuple(seen.shape)} on {seen.device}"
            raise ValueError(f"seen: needed a boolean for each cell, {wanted} on {maps.device}, got {got}")
    error = (maps - target).square()
    error = (error if seen is None else error * seen[:, None]).sum((-2, -1))
    labelled = target.flatten(-2).any(-1)
    return (error * labelled).sum() / labelled.sum().clamp(min=1)


def plain_loss(model: nn.Module, batch: Crop, sigma: float = 2.0, rounding: str = "none") -> Float[Tensor, ""]:
    """The L2 loss of a batch of crops, summed over stacks.

    With `both(pair)` as the batch it is the control of `siamese_loss`: as many views and as much computation, without
    the consistency.

    Args:
        model: from images to maps or a list of maps.
        batch: the crops.
        sigma: width of the targets, cells.
        rounding: as in `heatmaps.encode`.

    Paper C, section 5.1.

    >>> from lddmmlib.faces import synthetic
    >>> faces = Crops(synthetic.Faces(1, "studio", size=64), "300w-68", size=64)
    >>> batch = torch.utils.data.default_collate([faces[0]])
    >>> model = StackedHourglass(blocks=1, channels=16, depth=2)
    >>> plain_loss(model, batch).item() > 0
    True
    """
    return _of_stacks(stacks(model, batch.image), batch, sigma, rounding)


def _of_stacks(found: list[Tensor], batch: Crop, sigma: float, rounding: str) -> Tensor:
    return sum(heatmap_loss(maps, target(batch.landmarks, maps, batch.image, sigma, rounding)) for maps in found)


def siamese_loss(model: nn.Module, pair: Pair, flip: Sequence[int], sigma: float = 2.0) -> Float[Tensor, ""]:
    """The L2 loss between h and the mean of both views' maps in the face's own frame, summed over stacks.

    Both views pass through the network in one batch.

    Args:
        model: from images to maps or a list of maps.
        pair: a batch of pairs.
        flip: the landmark that each becomes in the mirror (`schemes.get(...).flip`).
        sigma: width of the targets, cells.

    Paper C, equation 6, divided by 4: see the module on scale.

    >>> from lddmmlib.faces import schemes, synthetic
    >>> views = Views(Crops(synthetic.Faces(1, "studio", size=64), "300w-68", size=64, how=RECIPE))
    >>> pair = torch.utils.data.default_collate([views.draw(0, np.random.default_rng(0))])
    >>> model = StackedHourglass(blocks=1, channels=16, depth=2)
    >>> siamese_loss(model, pair, schemes.get("300w-68").flip).item() > 0
    True
    """
    images, value = torch.cat([pair.first.image, pair.second.image]), 0.0
    moves = pair.moves.transpose(0, 1).flatten(0, 1)  # (b, view, 2, 3) -> (view b, 2, 3)
    for maps in stacks(model, images):
        back, seen = brought_back(maps, moves, flip, images.shape[-1] / maps.shape[-1])
        two, views = back.unflatten(0, (2, -1)), seen.unflatten(0, (2, -1)).sum(0)
        mean = two.sum(0) / views.clamp(min=1)[:, None]
        value = value + heatmap_loss(mean, target(pair.landmarks, mean, images, sigma), views > 0)
    return value


def target(landmarks: Tensor, maps: Tensor, images: Tensor, sigma: float, rounding: str = "none") -> Tensor:
    """The target h for maps of the given images, whose stride is the quotient of their sides.

    Args:
        landmarks: (b, n, 2), px of the images.
        maps: (b, n, h, w), which give the size of the target.
        images: (b, 3, ., .), which give the stride.
        sigma: width of the Gaussians, cells.
        rounding: as in `heatmaps.encode`.

    Returns:
        (b, n, h, w).

    >>> maps, images = torch.zeros(1, 1, 5, 5), torch.zeros(1, 3, 20, 20)
    >>> target(torch.tensor([[[9.5, 9.5]]]), maps, images, sigma=1.0)[0, 0, 2, 2].item()
    1.0
    """
    size, stride = tuple(maps.shape[-2:]), images.shape[-1] / maps.shape[-1]
    return heatmaps.encode(landmarks.float(), size, sigma, rounding, stride=stride)


def soft_loss(model: nn.Module, batch: Crop) -> Float[Tensor, ""]:
    """The loss of the global soft-argmax: the distance, in cells, between the mean under softmax(maps) and the
    landmark.

    It uses no Gaussian target. Landmarks outside the crop are ignored, because no mean reaches them.

    Args:
        model: from images to maps or a list of maps.
        batch: the crops.

    Paper C, section 4.1, after Luvizon et al., 2019.

    >>> from lddmmlib.faces import synthetic
    >>> faces = Crops(synthetic.Faces(1, "studio", size=64), "300w-68", size=64)
    >>> batch = torch.utils.data.default_collate([faces[0]])
    >>> model = StackedHourglass(blocks=1, channels=16, depth=2)
    >>> soft_loss(model, batch).item() > 0
    True
    """
    value = 0.0
    for maps in stacks(model, batch.image):
        stride = batch.image.shape[-1] / maps.shape[-1]
        off = (heatmaps.decode(maps, "soft", tau=1.0, stride=stride) - batch.landmarks.float()).norm(dim=-1) / stride
        value = value + off[batch.inside].mean()
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

    >>> from lddmmlib.faces import synthetic
    >>> faces = Crops(synthetic.Faces(1, "studio", size=64), "300w-68", size=64)
    >>> batch = torch.utils.data.default_collate([faces[0]])
    >>> model = StackedHourglass(blocks=1, channels=16, depth=2)
    >>> correction_loss(Corrected(model), batch).item() > 0
    True
    """
    maps, delta = model(batch.image.float() / 255)
    maps, stride = [each.float() for each in maps], batch.image.shape[-1] / maps[-1].shape[-1]
    u = (batch.landmarks.float() - (stride - 1) / 2) / stride
    start = heatmaps.decode(maps[-1].detach(), "argmax") if dynamic else torch.floor(u + 0.5)
    wrong = (delta.float() - (u - start)).square().sum(-1)[batch.inside].mean()
    return wrong + _of_stacks(maps, batch, sigma, "round")


def decoded(output: Any, side: int, method: str = "local_soft", **how: float) -> Float[Tensor, "b n 2"]:
    """Landmarks from the output of a network: the decoded maps of its last stack, or for a `Corrected` one the maximum
    + Δ.

    Args:
        output: maps, a list of maps, or the output of a `Corrected` network.
        side: side of the images, px.
        method: as in `heatmaps.decode`.
        how: other arguments of `heatmaps.decode`.

    Returns:
        (b, n, 2), px.

    >>> maps = heatmaps.encode(torch.tensor([[[9.3, 7.8]]]), (16, 16), sigma=2.0)
    >>> decoded([maps], side=64)
    tensor([[[38.6677, 32.7248]]])
    """
    _checks.keywords(how, {"window", "tau", "alignment"}, "decoded")
    maps, delta = output if isinstance(output, tuple) else (output, None)
    maps = (maps[-1] if isinstance(maps, list) else maps).float()
    stride = side / maps.shape[-1]
    if delta is not None:
        return heatmaps.decode(maps, "argmax", stride=stride) + stride * delta.float()
    return heatmaps.decode(maps, method, stride=stride, **how)


def predict(model: nn.Module, batch: Crop, **how: Any) -> Float[Tensor, "b n 2"]:
    """Landmarks of a batch of crops, in the form that `training.evaluate` requires.

    Args:
        model: from images to maps, a list of maps, or the output of a `Corrected` network.
        batch: the crops.
        how: arguments of `decoded`.

    Returns:
        (b, n, 2), px of the crops.

    >>> from lddmmlib.faces import synthetic
    >>> faces = Crops(synthetic.Faces(1, "studio", size=64), "300w-68", size=64)
    >>> batch = torch.utils.data.default_collate([faces[0]])
    >>> model = StackedHourglass(blocks=1, channels=16, depth=2)
    >>> predict(model, batch, method="argmax").shape
    torch.Size([1, 68, 2])
    """
    return decoded(model(batch.image.float() / 255), batch.image.shape[-1], **how)
