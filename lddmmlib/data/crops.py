"""Crops of faces: squares of one size, and the affine map that takes every landmark to the crop and back.

A map is a (2, 3) float64 matrix A from pixels of the photograph to pixels of the crop, u = A (x, y, 1)ᵀ. Rotations,
shifts and flips are composed as matrices (`then`), so that the photograph is resampled once. Pixel centres are at
integers: a square of side s around c is mapped to a crop of n pixels, which spans [-1/2, n - 1/2], by

    u = (n / s) (x - c) + (n - 1)/2.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._checks import need
from lddmmlib._shapes import Bool, Float
from lddmmlib.faces import schemes, statistics

MARGIN = 1.25  # side of the crop / longer side of the box
FAR = 1e4  # px beyond the photograph; OpenCV's coordinates end at 32,767


Points, Affine = Float[Tensor, "n 2"], Float[Tensor, "2 3"]
Box = tuple[float, float, float, float]  #: x, y, w, h, px: the upper left corner, and the size


class Crop(NamedTuple):
    """A crop of a face. A `DataLoader` stacks crops without a collate function.

    >>> image, points = torch.zeros(3, 40, 60).byte(), torch.tensor([[10.0, 8.0], [42.0, 30.0]])
    >>> crop(image, points, torch.ones(2).bool(), size=64).image.shape
    torch.Size([3, 64, 64])
    """

    image: Tensor  #: (c, size, size) uint8; ``image.float() / 255`` for a network
    landmarks: Points  #: px of the crop, also beyond its border; NaN stays NaN
    visible: Bool[Tensor, " n"]  #: False where an object hides the landmark; it may be outside the crop
    inside: Bool[Tensor, " n"]  #: the landmark has a position, and that is on the crop
    affine: Affine  #: photograph -> crop; its determinant is negative if the face was flipped


def box(landmarks: Points) -> Box:
    """The bounding box (x, y, w, h), px, of the landmarks (n, 2) that have a position.

    >>> box(torch.tensor([[2.0, 3.0], [6.0, 11.0], [torch.nan, torch.nan]]))
    (2.0, 3.0, 4.0, 8.0)
    """
    _checks.points(landmarks, "landmarks", nan=True)
    need(landmarks.ndim == 2, "landmarks", "one face, (n, 2)", tuple(landmarks.shape), "take them one by one")
    placed = landmarks[~landmarks.isnan().any(-1)].double()
    need(len(placed), "landmarks", "one that has a place", "NaN alone", "give the face's box (`Crops.of`)")
    low, high = placed.amin(0), placed.amax(0)
    return (*low.tolist(), *(high - low).tolist())


@cache
def _mean(scheme: str | schemes.Scheme) -> Tensor:
    """The mean face in `scheme`; NaN where the 68 points that it is made from do not determine a landmark."""
    if not (whole := schemes.get(scheme)).placements:
        return torch.full((whole.n, 2), torch.nan, dtype=torch.float64)
    return schemes.convert(statistics.real_300w().mean, "300w-68", scheme)


def complete(landmarks: Points, scheme: str | schemes.Scheme) -> Points:
    """Fill in missing landmarks from the mean face, moved by the similarity that best fits the other landmarks.

    A bounding box of incomplete landmarks is too small: by a fifth without the jaw. Use the result for boxes only; a
    head that is turned does not resemble the mean.

    Args:
        landmarks: (n, 2), px; NaN where missing.
        scheme: their scheme, or its name.

    Returns:
        (n, 2), px, float64. Landmarks that the mean face lacks, own ones too, stay NaN; all missing ones do if fewer
            than three landmarks, or only coincident ones, can be compared with the mean face.

    Raises:
        ValueError, TypeError: for landmarks that are not those of the scheme, or an unknown scheme.

    >>> face = statistics.real_300w().mean * 60 + 100
    >>> jawless = face.clone()
    >>> jawless[:17] = torch.nan
    >>> torch.allclose(complete(jawless, "300w-68"), face)
    True
    """
    _checks.kind(scheme, "scheme", str, schemes.Scheme)
    mean = _mean(scheme)
    _checks.points(landmarks, "landmarks", len(mean), nan=True)
    if landmarks.ndim != 2:
        raise ValueError(f"landmarks: needed one face, (n, 2), got {tuple(landmarks.shape)}; take them one by one")
    points = landmarks.double()
    missing = points.isnan().any(-1)
    both = ~missing & ~mean.isnan().any(-1)
    if both.sum() < 3 or (points[both] == points[both][0]).all():
        return points
    placed = statistics.similarity(mean[both], points[both]).apply(mean)
    return torch.where(missing[:, None], placed, points)


def frame(box: Box, size: int, margin: float = MARGIN) -> Affine:
    """The canonical map: it takes the square of side margin · max(w, h) around the centre of a box to size x size
    pixels.

    Args:
        box: (x, y, w, h), px of the photograph.
        size: px of the crop.
        margin: side of the square / longer side of the box.

    Returns:
        (2, 3), float64.

    Raises:
        ValueError: a box without extent, or a size or margin not above 0.

    >>> frame((10.0, 20.0, 8.0, 4.0), size=20, margin=1.25)
    tensor([[  2.0000,   0.0000, -18.5000],
            [  0.0000,   2.0000, -34.5000]], dtype=torch.float64)
    """
    _checks.positive(size, "size")
    _checks.positive(margin, "margin")
    try:
        x, y, w, h = map(float, box)
    except (TypeError, ValueError):
        raise TypeError(f"box: needed four numbers (x, y, w, h), got {_checks.said(box)}") from None
    right = 0 < max(w, h) < math.inf and min(w, h) >= 0 and math.isfinite(x + y)
    need(right, "box", "finite (x, y, w, h) with an extent above 0", tuple(box), "is it (x, y, x, y)?")
    k, middle = size / (margin * max(w, h)), (size - 1) / 2
    rows = [[k, 0.0, middle - k * (x + w / 2)], [0.0, k, middle - k * (y + h / 2)]]
    return torch.tensor(rows, dtype=torch.float64)


@_checks.full_precision
def apply(affine: Float[Tensor, "*batch 2 3"], points: Float[Tensor, "*batch n 2"]) -> Float[Tensor, "*batch n 2"]:
    """Apply an affine map to points: A (x, y, 1)ᵀ. With `inverse`, it takes predictions back to the photograph.

    Args:
        affine: (..., 2, 3).
        points: (..., n, 2), px; NaN stays NaN.

    Returns:
        (..., n, 2), in the dtype of the points.

    >>> apply(frame((10.0, 20.0, 8.0, 4.0), 20), torch.tensor([[14.0, 22.0]]))
    tensor([[9.5000, 9.5000]])
    """
    _checks.points(points, "points", nan=True)
    check(affine, "affine")
    got = f"{affine.device} and {points.device}"
    need(affine.device == points.device, "affine, points", "one device", got, "use affine.to(points.device)")
    _checks.batch(affine.shape[:-2], affine=affine, points=points)
    a = affine.to(points)
    return points @ a[..., :2].mT + a[..., None, :, 2]


@_checks.full_precision
def inverse(affine: Float[Tensor, "*batch 2 3"]) -> Float[Tensor, "*batch 2 3"]:
    """The inverse of an affine map (..., 2, 3): [M | t] -> [M⁻¹ | -M⁻¹ t], from the crop to the photograph.

    >>> there = frame((10.0, 20.0, 8.0, 4.0), 20)
    >>> apply(inverse(there), torch.tensor([[9.5, 9.5]]))
    tensor([[14., 22.]])
    """
    check(affine, "affine")
    linear, failed = torch.linalg.inv_ex(affine[..., :2])
    need(not failed.any(), "affine", "a map that can be undone", "one whose determinant is 0")
    return torch.cat([linear, -linear @ affine[..., 2:]], -1)


@_checks.full_precision
def then(first: Float[Tensor, "*batch 2 3"], second: Float[Tensor, "*batch 2 3"]) -> Float[Tensor, "*batch 2 3"]:
    """The composition of two maps: [M₂ M₁ | M₂ t₁ + t₂].

    Args:
        first: (..., 2, 3), applied first.
        second: (..., 2, 3), applied to the result.

    Returns:
        (..., 2, 3).

    >>> there = frame((10.0, 20.0, 8.0, 4.0), 20)
    >>> torch.allclose(then(there, inverse(there)), torch.eye(2, 3).double())
    True
    """
    check(first, "first")
    check(second, "second")
    _checks.same(first=first, second=second)
    _checks.batch(first.shape[:-2], first=first, second=second)
    moved = second[..., :2] @ first
    return torch.cat([moved[..., :2], moved[..., 2:] + second[..., 2:]], -1)


def _check_image(image: Tensor) -> None:
    """Refuse anything that is not an image, for `crop` and for `augment.augment`."""
    _checks.tensor(image, "image")
    right = image.dtype == torch.uint8 and image.ndim == 3 and len(image) in (1, 3, 4) and image.numel()
    needed = "(c, h, w) of uint8, 1 (gray), 3 (red, green, blue) or 4 (and alpha) channels"
    need(right, "image", needed, f"{image.dtype} of {tuple(image.shape)}", "permute it, (255 * x).byte()")


def check(affine: Tensor, name: str) -> None:
    """Refuse a tensor that is not an affine map (..., 2, 3).

    Args:
        affine: the tensor.
        name: the argument's name, for the error.

    >>> check(torch.eye(2, 3), "affine")
    """
    _checks.floats(affine, name)
    need(affine.shape[-2:] == (2, 3), name, "a map (..., 2, 3)", f"shape {tuple(affine.shape)}")
    _checks.finite(affine, name)


@_checks.full_precision
def cut(image: Tensor, affine: Affine, size: int) -> Tensor:
    """Resample an image into a crop, once and bilinearly.

    Where the map shrinks by a factor k < 1, the photograph is blurred first, by a Gaussian of standard deviation √(1/k²
    - 1)/2 px, against aliasing. The border of the photograph is replicated. If the photograph shrinks 16 times or more,
    it is averaged over squares first, because a wide blur would take seconds.

    Args:
        image: (c, h, w) uint8; c is 1 (gray), 3 (red, green, blue) or 4 (and alpha).
        affine: (2, 3), photograph -> crop.
        size: px of the crop.

    Returns:
        (c, size, size) uint8.

    Raises:
        ValueError: another kind of image, a crop on which the photograph would be smaller than a pixel, or one far
            outside it, as a misplaced landmark may cause.

    >>> image = torch.arange(16).reshape(1, 4, 4).byte()
    >>> cut(image, torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]], dtype=torch.float64), 3)[0]  # one to the left
    tensor([[ 1,  2,  3],
            [ 5,  6,  7],
            [ 9, 10, 11]], dtype=torch.uint8)
    """
    cv2 = _checks.optional("cv2")

    _check_image(image)
    check(affine, "affine")
    need(affine.ndim == 2, "affine", "one map (2, 3)", tuple(affine.shape))
    _checks.whole(size, "size")
    affine = affine.detach()
    shrunk, photograph = affine[:, :2].det().abs().sqrt().item(), tuple(image.shape[:0:-1])
    small = not shrunk * max(photograph) >= 1
    limit = torch.tensor(photograph)
    middle = None if small else apply(inverse(affine), torch.full((1, 2), (size - 1) / 2).to(affine))
    near = not small and (middle - middle.clamp(limit * 0, limit)).abs().max() < FAR
    square = "far away" if not small else f"of {size / shrunk:.3g} px" if shrunk else "without end"
    got = f"one {square} for a photograph of {photograph[0]} x {photograph[1]}"
    needed = "a square near the photograph on which that is a pixel or more"
    need(near, "affine", needed, got, "is a landmark or the box misplaced?")
    sigma = 0.5 * math.sqrt(max(1 / shrunk**2 - 1, 0))
    # Only the part that the crop shows or the blur reaches: photographs are large.
    corners = torch.tensor([[x, y] for x in (-0.5, size - 0.5) for y in (-0.5, size - 0.5)]).double()
    seen, reach = apply(inverse(affine), corners), math.ceil(4 * sigma) + 2
    x0, y0 = (seen.amin(0).floor().long() - reach).minimum(limit - reach).clamp(min=0).tolist()
    x1, y1 = (seen.amax(0).ceil().long() + reach).clamp(min=reach).minimum(limit).tolist()
    pixels = np.ascontiguousarray(image[:, y0:y1, x0:x1].permute(1, 2, 0).numpy())
    at = affine.numpy() + np.array([[0, 0, 1]]) * (affine[:, :2].numpy() @ [[x0], [y0]])
    if (k := int(1 / (8 * shrunk))) > 1:  # means of k x k pixels: a box filter of variance (k² - 1)/12
        h, w = pixels.shape[:2]
        pixels = cv2.copyMakeBorder(pixels, 0, -h % k, 0, -w % k, cv2.BORDER_REPLICATE)
        pixels = cv2.resize(pixels, (-(-w // k), -(-h // k)), interpolation=cv2.INTER_AREA)
        at = np.c_[k * at[:, :2], at[:, 2:] + at[:, :2] @ np.full((2, 1), (k - 1) / 2)]
        sigma = math.sqrt(sigma**2 - (k**2 - 1) / 12) / k
    if sigma > 0:
        pixels = cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    out = cv2.warpAffine(pixels, at, (size, size), borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(out.reshape(size, size, len(image))).permute(2, 0, 1).contiguous()


def crop(
    image: Tensor, landmarks: Points, visible: Bool[Tensor, " n"], size: int, affine: Affine | None = None
) -> Crop:
    """Crop a face by an affine map.

    Args:
        image: (c, h, w) uint8.
        landmarks: (n, 2), px of the image; NaN where missing.
        visible: (n,), False where an object hides the landmark.
        size: px of the crop.
        affine: (2, 3), image -> crop; by default the canonical map, `frame` of the landmarks' box.

    >>> face = crop(torch.zeros(3, 40, 60).byte(), torch.tensor([[10.0, 8.0], [42.0, 30.0]]), torch.ones(2).bool(), 64)
    >>> face.landmarks, face.inside
    (tensor([[ 5.9000, 13.9000],
            [57.1000, 49.1000]]), tensor([True, True]))
    """
    affine = frame(box(landmarks), size) if affine is None else affine
    right, got = visible.dtype == torch.bool and visible.shape == landmarks.shape[:1], tuple(visible.shape)
    need(right, "visible", f"bool ({len(landmarks)},), one for each landmark", f"{visible.dtype} of {got}")
    moved = apply(affine, landmarks)
    inside = ((moved >= -0.5) & (moved <= size - 0.5)).all(-1)
    return Crop(image=cut(image, affine, size), landmarks=moved, visible=visible, inside=inside, affine=affine)
