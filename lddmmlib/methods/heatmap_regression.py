"""Heatmap regression: the steps from images to landmarks that papers C, D and E share.

A network turns an image into one map for each landmark. It is trained against a target, a Gaussian around the landmark
(`target`), by a loss on maps (`squared_error`, `cross_entropy`) or on decoded points (`soft_argmax_loss`), and its
maps are decoded to landmarks (`landmarks_from`). Networks of several stacks give a list of maps: every stack is
trained, the last one is used for prediction.

Images of a batch are uint8 and crops are square; the stride of a map is the side of its image over its own. Maps are
converted to single precision at least, whatever precision the network runs in.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lddmmlib import _checks, heatmaps
from lddmmlib._shapes import Bool, Float
from lddmmlib.data.crops import Crop


def network_input(images: Tensor) -> Tensor:
    """Scale uint8 images (..., 3, h, w) to [0, 1] in single precision, as the networks take them.

    >>> network_input(torch.tensor([0, 51, 255], dtype=torch.uint8))
    tensor([0.0000, 0.2000, 1.0000])
    """
    return images.float() / 255


def stacks(output: Tensor | list[Tensor]) -> list[Tensor]:
    """List the maps (b, n, h, w) of every stack of a network's output, in single precision at least.

    >>> [maps.dtype for maps in stacks(torch.zeros(1, 2, 3, 3, dtype=torch.bfloat16))]
    [torch.float32]
    """
    return [maps.float() for maps in (output if isinstance(output, list) else [output])]


def heatmaps_of(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Run a network on images and return the `stacks` of its output.

    Args:
        model: from images in [0, 1] to maps or a list of maps.
        images: (b, 3, h, w), uint8.

    Returns:
        A list of maps (b, n, h', w'), one a stack.

    >>> images = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    >>> [maps.amax().item() for maps in heatmaps_of(nn.Identity(), images)]
    [1.0]
    """
    return stacks(model(network_input(images)))


def stride(maps: Tensor, images: Tensor) -> float:
    """The stride of maps of given images, px a cell.

    Args:
        maps: (b, n, h, w).
        images: (b, 3, ., .).

    >>> stride(torch.zeros(1, 68, 16, 16), torch.zeros(1, 3, 64, 64))
    4.0
    """
    return images.shape[-1] / maps.shape[-1]


def target(landmarks: Tensor, maps: Tensor, images: Tensor, sigma: float, rounding: str = "none") -> Tensor:
    """Draw the target maps h of landmarks, of the size and stride of the maps that a network made of the images.

    Args:
        landmarks: (b, n, 2), px of the images, NaN where missing.
        maps: (b, n, h, w), of which the size is taken.
        images: (b, 3, ...), of which the size is taken.
        sigma: width of the Gaussian, cells.
        rounding: of its centre, see `heatmaps.encode`.

    Returns:
        (b, n, h, w) of height 1, zeros for a missing landmark.

    >>> h = target(torch.tensor([[[5.5, 1.5]]]), torch.zeros(1, 1, 2, 2), torch.zeros(1, 3, 8, 8), sigma=1.0)
    >>> h[0, 0]
    tensor([[0.6065, 1.0000],
            [0.3679, 0.6065]])
    """
    size = tuple(maps.shape[-2:])
    return heatmaps.encode(landmarks.float(), size, sigma, rounding, stride=stride(maps, images))


@_checks.full_precision
def squared_error(
    maps: Float[Tensor, "b n h w"], target: Float[Tensor, "b n h w"], seen: Bool[Tensor, "b h w"] | None = None
) -> Float[Tensor, ""]:
    """The pixel-wise L2 loss Σ_ij (ĥ_ij - h_ij)², summed over cells and averaged over landmarks.

    As a sum over cells it has one scale for maps of any size.

    Args:
        maps: ĥ, (b, n, h, w).
        target: h, of the same shape; a landmark whose target is all zeros is missing and is ignored.
        seen: (b, h, w), True for the cells that count; None for all.

    Raises:
        TypeError, ValueError: tensors that do not fit each other.

    Paper C, section 5.1.

    >>> target = torch.zeros(1, 2, 3, 3)
    >>> target[0, 0, 1, 1] = 1.0  # the other landmark is missing
    >>> squared_error(torch.full((1, 2, 3, 3), 0.5), target)
    tensor(2.2500)
    """
    _comparable(maps, target)
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


@_checks.full_precision
def cross_entropy(maps: Float[Tensor, "b n h w"], target: Float[Tensor, "b n h w"]) -> Float[Tensor, "b n"]:
    """The cross-entropy -Σ_ij q_ij log softmax(ĥ)_ij of each landmark, q the target divided by its sum.

    Args:
        maps: ĥ, (b, n, h, w), the scores of all cells.
        target: h >= 0, of the same shape.

    Returns:
        (b, n); 0 for a target of zeros.

    Raises:
        TypeError, ValueError: tensors that do not fit each other.

    >>> target = torch.tensor([[[[0.5, 0.5], [0.0, 0.0]]]])
    >>> cross_entropy(torch.zeros(1, 1, 2, 2), target)  # log 4
    tensor([[1.3863]])
    """
    _comparable(maps, target)
    total = target.sum((-2, -1), keepdim=True)
    return -(target / total.clamp_min(1e-6) * maps.flatten(2).log_softmax(-1).view_as(maps)).sum((-2, -1))


def _comparable(maps: Tensor, target: Tensor) -> None:
    for name, x in (("maps", maps), ("target", target)):
        _checks.floats(x, name)
    _checks.same(maps=maps, target=target)
    if maps.shape != target.shape or maps.ndim < 3:
        got = f"{tuple(maps.shape)} and {tuple(target.shape)}"
        raise ValueError(f"maps, target: needed one shape (b, n, h, w), got {got}")


def l2_loss(model: nn.Module, batch: Crop, sigma: float = 2.0, rounding: str = "none") -> Float[Tensor, ""]:
    """The `squared_error` of a network on a batch of crops, summed over stacks.

    Args:
        model: from images to maps or a list of maps.
        batch: the crops.
        sigma: width of the targets, cells.
        rounding: as in `heatmaps.encode`.

    >>> faces = Crop(torch.zeros(1, 3, 8, 8).byte(), torch.tensor([[[3.5, 3.5]] * 3]), *[torch.ones(1, 3).bool()] * 2,
    ...              torch.eye(2, 3)[None])
    >>> round(l2_loss(nn.Identity(), faces, sigma=1.0).item(), 4)
    3.1409
    """
    return l2_of_stacks(heatmaps_of(model, batch.image), batch, sigma, rounding)


def l2_of_stacks(stacks: list[Tensor], batch: Crop, sigma: float = 2.0, rounding: str = "none") -> Float[Tensor, ""]:
    """The `l2_loss` of given maps, for losses that need more of a network's output than its maps.

    Args:
        stacks: maps (b, n, h, w) of every stack.
        batch: the crops.
        sigma: width of the targets, cells.
        rounding: as in `heatmaps.encode`.

    >>> faces = Crop(torch.zeros(1, 3, 8, 8).byte(), torch.tensor([[[3.5, 3.5]] * 3]), *[torch.ones(1, 3).bool()] * 2,
    ...              torch.eye(2, 3)[None])
    >>> round(l2_of_stacks([torch.zeros(1, 3, 8, 8)], faces, sigma=1.0).item(), 4)
    3.1409
    """
    return sum(squared_error(maps, target(batch.landmarks, maps, batch.image, sigma, rounding)) for maps in stacks)


def cross_entropy_loss(model: nn.Module, batch: Crop, sigma: float = 1.5) -> Float[Tensor, ""]:
    """The `cross_entropy` of a network, averaged over the landmarks on the crop, summed over stacks.

    Args:
        model: from images to maps or a list of maps.
        batch: the crops.
        sigma: width of the targets, cells.

    >>> faces = Crop(torch.zeros(1, 3, 8, 8).byte(), torch.tensor([[[3.5, 3.5]] * 3]), *[torch.ones(1, 3).bool()] * 2,
    ...              torch.eye(2, 3)[None])
    >>> round(cross_entropy_loss(nn.Identity(), faces).item(), 4)  # log 64
    4.1589
    """
    value = 0.0
    for maps in heatmaps_of(model, batch.image):
        entropy = cross_entropy(maps, target(batch.landmarks, maps, batch.image, sigma))
        value = value + entropy[batch.inside].mean()
    return value


def soft_argmax_loss(model: nn.Module, batch: Crop) -> Float[Tensor, ""]:
    """The loss of the global soft-argmax: the distance, in cells, between the mean under softmax(maps) and the
    landmark.

    It uses no Gaussian target. Landmarks outside the crop are ignored, because no mean reaches them.

    Args:
        model: from images to maps or a list of maps.
        batch: the crops.

    Paper C, section 4.1, after Luvizon et al., 2019.

    >>> faces = Crop(torch.zeros(1, 3, 8, 8).byte(), torch.tensor([[[3.5, 3.5]] * 3]), *[torch.ones(1, 3).bool()] * 2,
    ...              torch.eye(2, 3)[None])
    >>> faces = faces._replace(image=faces.image + 255)  # uniform maps, whose mean is the middle
    >>> round(soft_argmax_loss(nn.Identity(), faces).item(), 4)
    0.0
    """
    value = 0.0
    for maps in heatmaps_of(model, batch.image):
        s = stride(maps, batch.image)
        off = (heatmaps.decode(maps, "soft", tau=1.0, stride=s) - batch.landmarks.float()).norm(dim=-1) / s
        value = value + off[batch.inside].mean()
    return value


def landmarks_from(
    output: Tensor | list[Tensor], images: Tensor, method: str = "local_soft", **how: float
) -> Float[Tensor, "b n 2"]:
    """Decode the last stack of a network's output to landmarks.

    Args:
        output: maps (b, n, h, w), or a list of them, one a stack.
        images: (b, 3, ., .), which give the stride.
        method: as in `heatmaps.decode`.
        how: other arguments of `heatmaps.decode`: window, tau, alignment.

    Returns:
        (b, n, 2), px of the images.

    >>> maps = heatmaps.encode(torch.tensor([[[9.3, 7.8]]]), (16, 16), sigma=2.0)
    >>> landmarks_from([maps], torch.zeros(1, 3, 64, 64))
    tensor([[[38.6677, 32.7248]]])
    """
    _checks.keywords(how, {"window", "tau", "alignment"}, "landmarks_from")
    maps = stacks(output)[-1]
    return heatmaps.decode(maps, method, stride=stride(maps, images), **how)


def predict(model: nn.Module, batch: Crop, **how: object) -> Float[Tensor, "b n 2"]:
    """Landmarks of a batch of crops, in the form that `training.evaluate` requires.

    Args:
        model: from images to maps or a list of maps.
        batch: the crops.
        how: arguments of `landmarks_from`.

    Returns:
        (b, n, 2), px of the crops.

    >>> faces = Crop(torch.zeros(1, 3, 8, 8).byte(), torch.tensor([[[3.5, 3.5]] * 3]), *[torch.ones(1, 3).bool()] * 2,
    ...              torch.eye(2, 3)[None])
    >>> predict(nn.Identity(), faces, method="argmax").shape
    torch.Size([1, 3, 2])
    """
    return landmarks_from(model(network_input(batch.image)), batch.image, **how)
