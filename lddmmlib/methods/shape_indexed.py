"""Shape-indexed features (papers B, SDM): SIFT around each landmark of a shape, so that the features move with it.

A SIFT descriptor is 4 x 4 histograms of the gradient's direction, 8 directions each: 128 numbers. Scale and direction
are fixed here, unlike in key point detection: the descriptor of a landmark covers a square of `patch` px, upright. A
cell of it, a quarter of its side, has one histogram; each pixel votes in the cells and directions next to it, with the
length of its gradient times a Gaussian that falls off from the centre. The result is scaled to length 1, cut at 0.2,
and scaled again.

Paper B states neither the scale nor the direction. Here `patch` is 24 px in every stage, which are 30 % of a face of
80 px and 17 % of one of 140 px: later stages look closer.

OpenCV computes the descriptors, of all landmarks of a face in one call, since it blurs the image in each.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._checks import need
from lddmmlib._shapes import Float

NUMBERS = 128  # of a descriptor
LENGTH = 512.0  # of OpenCV's descriptors, which are whole numbers
BLUR = math.sqrt(1.6**2 - 0.5**2)  # px: from the blur that a photograph has to the one of SIFT's first level


def features(images: Tensor, points: Float[Tensor, "b p 2"], patch: float = 24.0) -> Float[Tensor, "b p 128"]:
    """SIFT descriptors φ(I, S) of fixed scale and direction at each landmark.

    OpenCV centres a descriptor at the pixel nearest to its landmark. One whose square is outside the image is 0.

    Args:
        images: (b, h, w) uint8, gray.
        points: S, (b, p, 2), px of the images; landmarks may be outside.
        patch: side of the square that a descriptor covers, px.

    Returns:
        (b, p, 128), float32, each of length 1 (to a whole number of 1/512 in each place).

    Raises:
        ValueError: an image smaller than the patch, points that are NaN or of another number of faces.

    Paper B, equations 1 and 10; Lowe, International Journal of Computer Vision 60, 2004, section 6.

    >>> image = torch.arange(40).expand(1, 40, 40).byte()  # brighter to the right: one direction
    >>> features(image, torch.tensor([[[20.0, 20.0]]]))[0, 0].reshape(16, 8).argmax(1).unique()
    tensor([0])
    """
    cv2 = _checks.optional("cv2")

    check(images, points, patch)
    sift, size = cv2.SIFT_create(), patch / 6  # OpenCV: a cell has 1.5 sizes
    out = np.empty((*points.shape[:2], NUMBERS), np.float32)
    for image, shape, row in zip(images.numpy(), points.double().clamp(-1e6, 1e6).tolist(), out, strict=True):
        row[:] = sift.compute(image, [cv2.KeyPoint(x, y, size, 0.0) for x, y in shape])[1]
    out /= LENGTH
    return torch.from_numpy(out)


def features_by_loops(images: Tensor, points: Float[Tensor, "b p 2"], patch: float = 24.0) -> Float[Tensor, "b p 128"]:
    """The descriptors pixel by pixel, without OpenCV's program: the version to read of `features`.

    Args:
        images: (b, h, w) uint8, gray.
        points: S, (b, p, 2), px of the images.
        patch: side of the square that a descriptor covers, px.

    Returns:
        (b, p, 128), float32; OpenCV's are these rounded to 1/512.

    >>> image = torch.arange(40).expand(1, 40, 40).byte()
    >>> features_by_loops(image, torch.tensor([[[20.0, 20.0]]]))[0, 0].norm().round(decimals=2)
    tensor(1.)
    """
    blurred = [_blurred(image.double()) for image in images]
    rows = [[_descriptor(image, *point.tolist(), patch / 4) for point in shape]
            for image, shape in zip(blurred, points, strict=True)]  # fmt: skip
    return torch.tensor(rows).float()


def _descriptor(image: Tensor, x: float, y: float, cell: float) -> list[float]:
    """The descriptor at (x, y) of a blurred image, from cells of `cell` px."""
    (h, w), x0, y0 = image.shape, round(x), round(y)
    votes = np.zeros((4, 4, 8))  # row and column of the cell, direction
    reach = round(2.5 * cell * math.sqrt(2))
    for r in range(max(1, y0 - reach), min(h - 1, y0 + reach + 1)):
        for c in range(max(1, x0 - reach), min(w - 1, x0 + reach + 1)):
            dx, dy = (image[r, c + 1] - image[r, c - 1]).item(), (image[r - 1, c] - image[r + 1, c]).item()
            u, v = (c - x0) / cell, (r - y0) / cell  # in cells, from the centre
            weight = math.hypot(dx, dy) * math.exp(-(u * u + v * v) / 8)
            direction = 8 * (math.atan2(dy, dx) / math.tau % 1)
            i, j, k = math.floor(v + 1.5), math.floor(u + 1.5), math.floor(direction)
            for di in (0, 1):
                for dj in (0, 1):
                    for dk in (0, 1):
                        near = (1 - abs(v + 1.5 - i - di)) * (1 - abs(u + 1.5 - j - dj)) * (1 - abs(direction - k - dk))
                        if 0 <= i + di < 4 and 0 <= j + dj < 4:
                            votes[i + di, j + dj, (k + dk) % 8] += weight * near
    votes = np.minimum(votes, 0.2 * np.linalg.norm(votes)).ravel()
    return (votes / max(np.linalg.norm(votes), 1e-12)).tolist()


def _blurred(image: Tensor) -> Tensor:
    """A Gaussian blur of an image (h, w), whose border is mirrored."""
    t = torch.arange(-6, 7).double()
    g = torch.exp(-(t**2) / (2 * BLUR**2))
    padded = torch.nn.functional.pad(image[None, None], (6, 6, 6, 6), mode="reflect")
    return torch.nn.functional.conv2d(padded, torch.outer(g, g)[None, None] / g.sum() ** 2)[0, 0]


def check(images: Tensor, points: Tensor, patch: float) -> None:
    """Refuse what has no features.

    Args:
        images: (b, h, w) uint8.
        points: (b, p, 2), px.
        patch: px.

    >>> check(torch.zeros(1, 40, 40).byte(), torch.zeros(1, 5, 2), 24.0)
    """
    _checks.tensor(images, "images")
    right = images.dtype == torch.uint8 and images.ndim == 3 and images.numel()
    need(right, "images", "gray images (b, h, w) of uint8", f"{images.dtype} of {tuple(images.shape)}")
    _checks.points(points, "points")
    got = f"{tuple(points.shape)} for {len(images)} images"
    need(points.ndim == 3 and len(points) == len(images), "points", "(b, p, 2), a shape for each image", got)
    _checks.positive(patch, "patch")
    small = min(images.shape[1:])
    need(
        patch <= small, "images", f"sides of {patch:g} px, the patch, or more", f"{small} px", "choose a smaller patch"
    )
