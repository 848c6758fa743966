"""The perturbations of the robustness tests (paper E, section 4): a black ellipse, and motion blur.

The paper gives no sizes but two names, "medium" and "large". Ours are fractions of the side of the face, √(w h) of the
bounding box of its landmarks:

========  ===============================  =============================
level     axes of the ellipse, random      path of the blur
========  ===============================  =============================
medium    0.25 to 0.45 of the side         0.08 of the side
large     0.45 to 0.7 of the side          0.2 of the side
========  ===============================  =============================

The centre of the ellipse is uniform in the box and its orientation is uniform. On average a medium ellipse covers a
tenth of the box, a large one a quarter.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Bool, Float

ELLIPSE = {"medium": (0.25, 0.45), "large": (0.45, 0.7)}
BLUR = {"medium": 0.08, "large": 0.2}


class Occluded(NamedTuple):
    """An image with a black ellipse on it, and the landmarks that the ellipse hides.

    >>> points = torch.tensor([[8.0, 8.0], [24.0, 24.0]])
    >>> ellipse(torch.ones(1, 32, 32), points, "medium", torch.Generator().manual_seed(0)).hidden.shape
    torch.Size([2])
    """

    image: Tensor  #: (..., c, h, w), of the input's dtype
    hidden: Bool[Tensor, "*batch n"]  #: the landmarks under the ellipse


@_checks.full_precision
def ellipse(image: Tensor, landmarks: Float[Tensor, "*batch n 2"], level: str, generator: torch.Generator) -> Occluded:
    """Draw a black ellipse of random size, orientation and place over each face: all pixels x with

        ((x - c) · e / (a/2))² + ((x - c) · e⊥ / (b/2))² <= 1   become 0   (a, b the full axes, e the orientation).

    Args:
        image: (..., c, h, w), any dtype.
        landmarks: (..., n, 2), px; they give the box. NaN is ignored.
        level: "medium" or "large", see the module's table.
        generator: the source of randomness, on the CPU.

    >>> points = torch.tensor([[8.0, 8.0], [24.0, 24.0]])
    >>> done = ellipse(torch.ones(1, 32, 32), points, "large", torch.Generator().manual_seed(0))
    >>> done.image.min().item(), done.image.max().item()
    (0.0, 1.0)
    """
    _checks.one_of(level, "level", ELLIPSE)
    _checks.kind(generator, "generator", torch.Generator)
    low, high, side = _box(image, landmarks)
    chance = torch.rand(*side.shape, 5, generator=generator, dtype=torch.float64).to(low)
    centre = low + chance[..., :2] * (high - low)
    least, most = ELLIPSE[level]
    half = side[..., None] * (least + chance[..., 2:4] * (most - least)) / 2
    angle = math.pi * chance[..., 4]
    axes = (
        torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()], -1).unflatten(-1, (2, 2)) / half[..., None]
    )
    under = _inside(_pixels(image).to(low), centre, axes).unflatten(-1, image.shape[-2:])
    return Occluded(image.masked_fill(under[..., None, :, :], 0), _inside(landmarks, centre, axes))


@_checks.full_precision
def motion_blur(
    image: Tensor, landmarks: Float[Tensor, "*batch n 2"], movement: Float[Tensor, "*batch 2"], level: str
) -> Tensor:
    """Blur each image along a straight path: the mean over s in [-1/2, 1/2] of image(x - s L m / |m|).

    Args:
        image: (..., c, h, w); floating, or uint8, which is rounded.
        landmarks: (..., n, 2), px; the side of their box determines the length L of the path.
        movement: (..., 2), any unit: the direction m. For a video the paper takes the displacement of the tip of the
            nose (landmark 30 of 300w-68) from the previous frame to the next. Without movement there is no blur.
        level: "medium" or "large", see the module's table.

    >>> dot = torch.zeros(1, 9, 9); dot[0, 4, 4] = 1
    >>> points = torch.tensor([[-8.5, -8.5], [16.5, 16.5]])
    >>> motion_blur(dot, points, torch.tensor([1.0, 0.0]), "medium")[0, 4].round(decimals=2).tolist()
    [0.0, 0.0, 0.0, 0.25, 0.5, 0.25, 0.0, 0.0, 0.0]
    """
    _checks.one_of(level, "level", BLUR)
    *_, side = _box(image, landmarks)
    _checks.floats(movement, "movement")
    if movement.shape != (*landmarks.shape[:-2], 2):
        wanted = f"one for each image, {(*landmarks.shape[:-2], 2)}"
        raise ValueError(f"movement: needed {wanted}, got {tuple(movement.shape)}; expand one to the other")
    _checks.same(landmarks=landmarks, movement=movement)
    _checks.finite(movement, "movement", "leave such images out")
    if image.dtype != torch.uint8:
        _checks.floats(image, "image")
    if not image.numel():
        return image.clone()
    length = torch.linalg.vector_norm(movement, dim=-1, keepdim=True)
    path = BLUR[level] * side[..., None] * movement / length.clamp_min(1e-12)
    c, h, w = image.shape[-3:]
    flat = image.reshape(-1, c, h, w)
    pixels = flat if flat.is_floating_point() else flat.float()
    done = torch.stack([_smear(x, p) for x, p in zip(pixels, path.reshape(-1, 2).to(pixels), strict=True)])
    done = done if image.is_floating_point() else done.round().to(image.dtype)
    return done.reshape(image.shape)


def _box(image: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    _checks.points(landmarks, "landmarks", nan=True)
    _checks.tensor(image, "image")
    if image.device != landmarks.device:
        got = f"{image.device} and {landmarks.device}"
        raise ValueError(f"image, landmarks: needed one device, got {got}; use landmarks.to(image.device)")
    if image.ndim < 3 or image.shape[:-3] != landmarks.shape[:-2]:
        got = f"{tuple(image.shape)} and {tuple(landmarks.shape)}"
        raise ValueError(f"image: needed (..., c, h, w) beside landmarks (..., n, 2), got {got}")
    missing = landmarks.isnan()
    low = landmarks.masked_fill(missing, torch.inf).amin(-2)
    high = landmarks.masked_fill(missing, -torch.inf).amax(-2)
    side = (high - low).prod(-1).sqrt()
    if not (torch.isfinite(side) & (side > 0)).all():
        raise ValueError(
            "landmarks: needed at least two that span a box in each image, got fewer; leave such images out"
        )
    return low, high, side


def _pixels(image: Tensor) -> Tensor:
    h, w = image.shape[-2:]
    y, x = torch.meshgrid(torch.arange(h, device=image.device), torch.arange(w, device=image.device), indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)


def _inside(points: Tensor, centre: Tensor, axes: Tensor) -> Tensor:
    """A mask of the points (..., k, 2) with |axes (x - centre)| <= 1; False for NaN."""
    return ((points - centre[..., None, :]) @ axes.mT).square().sum(-1) <= 1


def _smear(image: Tensor, path: Tensor) -> Tensor:
    """Average one image (c, h, w) along a path (2,), px; the border is replicated outwards."""
    reach = int(path.abs().max().ceil()) // 2 + 1
    kernel = _line(path, reach)[None, None].expand(len(image), 1, -1, -1)
    padded = F.pad(image[None], (reach,) * 4, mode="replicate")
    return F.conv2d(padded, kernel, groups=len(image))[0]


def _line(path: Tensor, reach: int) -> Tensor:
    """A segment as a kernel of 2 reach + 1 cells a side: points along it, each shared among the four nearest cells."""
    s = (torch.arange(256, device=path.device, dtype=path.dtype) + 0.5) / 256 - 0.5
    x, y = s[:, None] * path[0] + reach, s[:, None] * path[1] + reach
    cells = torch.arange(2 * reach + 1, device=path.device)
    wx, wy = ((1 - (v - cells).abs()).clamp_min(0) for v in (x, y))
    return wy.mT @ wx / len(s)
