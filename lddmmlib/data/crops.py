"""Faces cut out as squares of one size, and the affine map that brings every landmark there and back.

A map is a (2, 3) matrix A from pixels of the photograph to pixels of the crop, u = A (x, y, 1)ᵀ, of float64. Turns,
shifts and flips are composed as matrices (`then`), so that the photograph is resampled once. Pixel centres are at
integers: a square of side s around c goes to a crop of n pixels, which spans [-1/2, n - 1/2], by

    u = (n / s) (x - c) + (n - 1)/2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Bool, Float

MARGIN = 1.25  # side of the crop / longer side of the box


class Crop(NamedTuple):
    """A face cut out. A `DataLoader` stacks crops as they are."""

    image: Tensor  #: (c, size, size) uint8; ``image.float() / 255`` for a network
    landmarks: Float[Tensor, "n 2"]  #: px of the crop, also where they lie beyond its border; NaN stays NaN
    visible: Bool[Tensor, " n"]  #: nothing hides the landmark, wherever it lies
    inside: Bool[Tensor, " n"]  #: it has a place, on the crop
    affine: Float[Tensor, "2 3"]  #: photograph -> crop; its determinant is below 0 where the face was flipped


def box(landmarks: Float[Tensor, "n 2"]) -> tuple[float, float, float, float]:
    """The box (x, y, w, h) of the landmarks that have a place: from the least to the largest coordinates, px.

    >>> box(torch.tensor([[2.0, 3.0], [6.0, 11.0], [torch.nan, torch.nan]]))
    (2.0, 3.0, 4.0, 8.0)
    """
    _checks.points(landmarks, "landmarks", nan=True)
    placed = landmarks[~landmarks.isnan().any(-1)].double()
    if len(placed) == 0:
        raise ValueError("landmarks: needed one that has a place, got NaN alone; give the face's box")
    low, high = placed.amin(0), placed.amax(0)
    return (*low.tolist(), *(high - low).tolist())


def frame(box: tuple[float, float, float, float], size: int, margin: float = MARGIN) -> Float[Tensor, "2 3"]:
    """The canonical map: the square of margin · max(w, h) around the box's middle becomes size x size pixels.

    box: (x, y, w, h), px. size: px of the crop. Returns (2, 3), float64.
    Raises ValueError for a box without extent, and for a size or margin not above 0.

    >>> frame((10.0, 20.0, 8.0, 4.0), size=20, margin=1.25)
    tensor([[  2.0000,   0.0000, -18.5000],
            [  0.0000,   2.0000, -34.5000]], dtype=torch.float64)
    """
    _checks.positive(size, "size")
    _checks.positive(margin, "margin")
    x, y, w, h = map(float, box)
    if not (0 < max(w, h) < math.inf and min(w, h) >= 0 and math.isfinite(x + y)):
        raise ValueError(
            f"box: needed finite (x, y, w, h) with an extent above 0, got {tuple(box)}; is it (x, y, x, y)?"
        )
    k, middle = size / (margin * max(w, h)), (size - 1) / 2
    rows = [[k, 0.0, middle - k * (x + w / 2)], [0.0, k, middle - k * (y + h / 2)]]
    return torch.tensor(rows, dtype=torch.float64)


def apply(affine: Float[Tensor, "*batch 2 3"], points: Float[Tensor, "*batch n 2"]) -> Float[Tensor, "*batch n 2"]:
    """A (x, y, 1)ᵀ for points (..., n, 2), in their dtype; NaN stays NaN. With `inverse`, predictions go back.

    >>> apply(frame((10.0, 20.0, 8.0, 4.0), 20), torch.tensor([[14.0, 22.0]]))
    tensor([[9.5000, 9.5000]])
    """
    _checks.points(points, "points", nan=True)
    a = affine.to(points)
    return points @ a[..., :2].mT + a[..., None, :, 2]


def inverse(affine: Float[Tensor, "*batch 2 3"]) -> Float[Tensor, "*batch 2 3"]:
    """The map from the crop to the photograph, A = [M | t] -> [M⁻¹ | -M⁻¹ t]: (..., 2, 3), for predictions.

    >>> there = frame((10.0, 20.0, 8.0, 4.0), 20)
    >>> apply(inverse(there), torch.tensor([[9.5, 9.5]]))
    tensor([[14., 22.]])
    """
    linear = torch.linalg.inv(affine[..., :2])
    return torch.cat([linear, -linear @ affine[..., 2:]], -1)


def then(first: Float[Tensor, "*batch 2 3"], second: Float[Tensor, "*batch 2 3"]) -> Float[Tensor, "*batch 2 3"]:
    """One map for two, first, then second: [M₂ M₁ | M₂ t₁ + t₂], (..., 2, 3).

    >>> there = frame((10.0, 20.0, 8.0, 4.0), 20)
    >>> torch.allclose(then(there, inverse(there)), torch.eye(2, 3).double())
    True
    """
    moved = second[..., :2] @ first
    return torch.cat([moved[..., :2], moved[..., 2:] + second[..., 2:]], -1)


def cut(image: Tensor, affine: Float[Tensor, "2 3"], size: int) -> Tensor:
    """The crop's pixels: (c, h, w) uint8 -> (c, size, size) uint8, resampled once, bilinearly.

    Where the map shrinks by k < 1, the photograph is blurred first, by a Gaussian of standard deviation
    √(1/k² - 1)/2 px, so that fine patterns do not come out as coarse ones. What lies beyond the photograph's border is
    as the border. Raises ValueError for an image of another kind.

    >>> image = torch.arange(16).reshape(1, 4, 4).byte()
    >>> cut(image, torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]], dtype=torch.float64), 3)[0]  # one to the left
    tensor([[ 1,  2,  3],
            [ 5,  6,  7],
            [ 9, 10, 11]], dtype=torch.uint8)
    """
    cv2 = _checks.optional("cv2")

    if image.dtype != torch.uint8 or image.ndim != 3 or len(image) > 4:
        got = f"{image.dtype} of {tuple(image.shape)}"
        raise ValueError(f"image: needed (c, h, w) of uint8 with c <= 4, got {got}; permute it, (255 * x).byte()")
    shrunk = affine[:, :2].det().abs().sqrt().item()
    sigma = 0.5 * math.sqrt(max(1 / shrunk**2 - 1, 0))
    # Only what the crop shows, and what the blur reaches: photographs are large.
    corners = torch.tensor([[x, y] for x in (-0.5, size - 0.5) for y in (-0.5, size - 0.5)]).double()
    seen, reach = apply(inverse(affine), corners), math.ceil(4 * sigma) + 2
    limit = torch.tensor([image.shape[2], image.shape[1]])
    x0, y0 = (seen.amin(0).floor().long() - reach).minimum(limit - reach).clamp(min=0).tolist()
    x1, y1 = (seen.amax(0).ceil().long() + reach).clamp(min=reach).minimum(limit).tolist()
    pixels = np.ascontiguousarray(image[:, y0:y1, x0:x1].permute(1, 2, 0).numpy())
    if sigma > 0:
        pixels = cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    at = affine.numpy() + np.array([[0, 0, 1]]) * (affine[:, :2].numpy() @ [[x0], [y0]])
    out = cv2.warpAffine(pixels, at, (size, size), borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(out.reshape(size, size, len(image))).permute(2, 0, 1).contiguous()


def crop(
    image: Tensor,
    landmarks: Float[Tensor, "n 2"],
    visible: Bool[Tensor, " n"],
    size: int,
    affine: Float[Tensor, "2 3"] | None = None,
) -> Crop:
    """Cut a face out by a map; by default the canonical one, `frame` of the landmarks' box.

    >>> face = crop(torch.zeros(3, 40, 60).byte(), torch.tensor([[10.0, 8.0], [42.0, 30.0]]), torch.ones(2).bool(), 64)
    >>> face.landmarks, face.inside
    (tensor([[ 5.9000, 13.9000],
            [57.1000, 49.1000]]), tensor([True, True]))
    """
    affine = frame(box(landmarks), size) if affine is None else affine
    moved = apply(affine, landmarks)
    return Crop(cut(image, affine, size), moved, visible, ((moved >= -0.5) & (moved <= size - 0.5)).all(-1), affine)
