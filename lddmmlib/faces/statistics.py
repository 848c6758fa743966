"""Statistics of face shapes: similarity alignment, the mean shape, its modes, and those of real 300-W faces.

The frame of a mean shape: outer eye corners at (-1/2, 0) and (1/2, 0), y downwards. The unit is the distance between
the eye corners, so that a distance here reads as a normalised error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Float

LEVELS = (1, 5, 25, 50, 75, 95, 99)  # percent, of `ShapeModel.percentiles`
REAL_300W = Path(__file__).with_name("shapes_300w.npz")


class Similarity(NamedTuple):
    """The map p -> linear p + shift, where linear = scale · rotation.

    >>> Similarity(2 * torch.eye(2), torch.tensor([1.0, 0.0])).apply(torch.tensor([[3.0, 4.0]])).tolist()
    [[7.0, 8.0]]
    """

    linear: Tensor  # (..., 2, 2)
    shift: Tensor  # (..., 2)

    @_checks.full_precision
    def apply(self, points: Float[Tensor, "*#batch n 2"]) -> Float[Tensor, "*both n 2"]:
        """Map points (..., n, 2) to points of the same shape; NaN stays NaN."""
        _checks.points(points, "points", nan=True)
        _checks.same(**{"self.linear": self.linear, "points": points})
        _broadcast(**{"self.linear": self.linear, "points": points})
        return points @ self.linear.mT + self.shift[..., None, :]


@_checks.full_precision
def similarity(source: Float[Tensor, "*#batch n 2"], target: Float[Tensor, "*#batch n 2"]) -> Similarity:
    """The least-squares similarity (scaling, rotation and shift, no reflection) from `source` to `target`:

        min over b, c of  Σ_i |b z_i + c - w_i|²,   points read as complex numbers z = x + i y,

    with z, w relative to their means:  b = Σ_i conj(z_i) w_i / Σ_i |z_i|².  Differentiable in both arguments.

    Args:
        source: (..., n, 2), in any unit.
        target: (..., n, 2); the batch axes of both broadcast.

    Raises:
        ValueError: all points of a source coincide.

    >>> square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    >>> move = similarity(square, 2 * square + torch.tensor([5.0, 0.0]))
    >>> move.shift.tolist(), move.apply(square)[2].tolist()
    ([5.0, 0.0], [7.0, 2.0])
    """
    _checks.points(source, "source")
    _checks.points(target, "target", source.shape[-2])
    _checks.same(source=source, target=target)
    _broadcast(source=source, target=target)
    z0, w0 = source.mean(-2), target.mean(-2)
    z, w = source - z0[..., None, :], target - w0[..., None, :]
    extent = z.detach().abs().amax((-2, -1))
    if (extent == 0).any():
        raise ValueError("source: needed points that differ, got all of a shape at one place; leave it out")
    z = z / extent[..., None, None]  # before squaring, so that coordinates of 1e20 do not overflow
    size = z.square().sum((-2, -1)) * extent
    re = (z * w).sum((-2, -1)) / size
    im = (z[..., 0] * w[..., 1] - z[..., 1] * w[..., 0]).sum(-1) / size
    linear = torch.stack([torch.stack([re, -im], -1), torch.stack([im, re], -1)], -2)
    return Similarity(linear, w0 - (linear @ z0[..., None])[..., 0])


def _broadcast(**two: Tensor) -> None:
    (a, x), (b, y) = two.items()
    try:
        torch.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except RuntimeError:
        got = f"{tuple(x.shape[:-2])} and {tuple(y.shape[:-2])}"
        raise ValueError(f"{a}, {b}: needed batch axes that broadcast, got {got}") from None


class Procrustes(NamedTuple):
    """A generalised Procrustes alignment.

    Attributes:
        aligned: (k, n, 2), the moved shapes.
        mean: (n, 2), their average.
        n_iter: the number of iterations.
        residual: the largest displacement of a point of the mean in the last iteration.
        converged: whether the residual is at most the tolerance.

    >>> procrustes(torch.tensor([[[0.0, 0.0], [2.0, 0.0], [1.0, 1.0]]]), (0, 1)).aligned.shape
    torch.Size([1, 3, 2])
    """

    aligned: Tensor
    mean: Tensor
    n_iter: int
    residual: float
    converged: bool


@_checks.full_precision
def to_corners(shapes: Float[Tensor, "*batch n 2"], corners: tuple[int, int]) -> Float[Tensor, "*batch n 2"]:
    """Move each shape by the similarity that takes two of its landmarks to (-1/2, 0) and (1/2, 0).

    Args:
        shapes: (..., n, 2), in any unit; NaN where missing.
        corners: the indices of the two landmarks, a scheme's outer eye corners.

    >>> to_corners(torch.tensor([[0.0, 0.0], [0.0, 4.0], [-2.0, 2.0]]), (0, 1)).tolist()
    [[-0.5, 0.0], [0.5, 0.0], [0.0, 0.5]]
    """
    _checks.points(shapes, "shapes", nan=True)
    ends = shapes[..., _corners(corners, shapes.shape[-2]), :]
    _checks.points(ends, "shapes")
    return similarity(ends, _ends(shapes)).apply(shapes)


def _corners(corners: object, n: int) -> list[int]:
    """The indices of both outer eye corners, checked against the number n of landmarks."""
    pair = isinstance(corners, Sequence) and not isinstance(corners, str) and len(corners) == 2
    if not pair or not all(isinstance(i, Integral) and 0 <= i < n for i in corners):
        raise ValueError(f"corners: needed two landmarks, each from 0 to {n - 1}, got {_checks.said(corners)}")
    return list(corners)


def _ends(like: Tensor) -> Tensor:
    """The positions of the eye corners of a mean shape."""
    return like.new_tensor([[-0.5, 0.0], [0.5, 0.0]])


@_checks.full_precision
def procrustes(
    shapes: Float[Tensor, "k n 2"], corners: tuple[int, int], tol: float = 1e-10, max_iter: int = 100
) -> Procrustes:
    """Generalised Procrustes analysis: the mean m of shapes that are each moved by a similarity of their own,

        m = G( 1/k Σ_i S_i(x_i) ),   S_i = `similarity` (x_i, m),

    computed by alternating the two. G, one similarity for all, takes the landmarks `corners` of the mean to (-1/2, 0)
    and (1/2, 0). Without it the shapes would shrink from iteration to iteration, because least squares scales a shape
    down the more, the less it resembles the mean.

    Args:
        shapes: (k, n, 2), all landmarks finite, in any unit.
        corners: the indices of a scheme's outer eye corners.
        tol: the iteration stops when no point of the mean moves by more than this (unit: eye-corner distance).
        max_iter: the largest number of iterations.

    Raises:
        ValueError: a shape is a single point.

    Gower, Psychometrika 40, 1975.

    >>> triangle = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0]])
    >>> found = procrustes(torch.stack([triangle, 3 * triangle + 5]), (0, 1))
    >>> found.mean.tolist(), found.converged
    ([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.5]], True)
    """
    _checks.points(shapes, "shapes")
    if shapes.ndim != 3 or not len(shapes):
        raise ValueError(f"shapes: needed (k, n, 2), one shape or more, got {tuple(shapes.shape)}")
    _checks.positive(tol, "tol")
    _checks.whole(max_iter, "max_iter")
    aligned = to_corners(shapes, corners)
    mean, residual, n_iter = aligned.mean(0), float("inf"), 0
    while n_iter < max_iter and residual > tol:
        moved = similarity(shapes, mean).apply(shapes)
        aligned = similarity(moved.mean(0)[list(corners)], _ends(shapes)).apply(moved)
        new = aligned.mean(0)
        residual = (new - mean).norm(dim=-1).max().item()
        mean, n_iter = new, n_iter + 1
    return Procrustes(aligned, mean, n_iter, residual, residual <= tol)


class Modes(NamedTuple):
    """Principal directions: vectors (m, n, 2) of unit length and standard deviations (m,) along them, largest first.

    >>> modes(torch.diag(torch.tensor([1.0, 9.0])), 1).vectors.shape
    torch.Size([1, 1, 2])
    """

    vectors: Tensor
    deviations: Tensor


@_checks.full_precision
def covariance(aligned: Float[Tensor, "k n 2"], mean: Float[Tensor, "n 2"]) -> Float[Tensor, "d d"]:
    """The covariance matrix 1/k Σ_i (x_i - m)(x_i - m)ᵀ of shapes, with points flattened as x0, y0, x1, y1, ...

    Args:
        aligned: (k, n, 2), shapes in one frame, in any unit.
        mean: (n, 2), their mean m.

    Returns:
        (2n, 2n), in squared units.

    >>> covariance(torch.tensor([[[1.0, 0.0]], [[3.0, 0.0]]]), torch.tensor([[2.0, 0.0]])).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    _checks.points(aligned, "aligned")
    _checks.points(mean, "mean")
    _checks.same(aligned=aligned, mean=mean)
    if aligned.ndim != 3 or not len(aligned) or aligned.shape[1:] != mean.shape:
        got = f"{tuple(aligned.shape)} and {tuple(mean.shape)}"
        raise ValueError(f"aligned, mean: needed (k, n, 2), one shape or more, and (n, 2), got {got}")
    offset = (aligned - mean).flatten(1)
    return offset.T @ offset / len(offset)


@_checks.full_precision
def modes(cov: Float[Tensor, "d d"], count: int | None = None) -> Modes:
    """The leading eigenvectors of a covariance matrix and the square roots of its eigenvalues.

    The sign of a vector is chosen so that the first of its largest entries is positive. Eigenvalues that rounding made
    negative count as zero.

    Args:
        cov: (2n, 2n), symmetric.
        count: the number of modes; None for all.

    >>> found = modes(torch.diag(torch.tensor([1.0, 9.0, 4.0, 0.0])), 2)
    >>> found.deviations.tolist(), found.vectors[0].tolist()
    ([3.0, 2.0], [[0.0, 1.0], [0.0, 0.0]])
    """
    _checks.floats(cov, "cov")
    if cov.ndim != 2 or cov.shape[0] != cov.shape[1] or not len(cov) or len(cov) % 2:
        raise ValueError(f"cov: needed (2n, 2n), n >= 1, got {tuple(cov.shape)}")
    _checks.finite(cov, "cov")
    if count is not None:
        _checks.whole(count, "count")
    values, vectors = torch.linalg.eigh(cov)
    vectors = vectors.T.flip(0)[:count]
    # A mode that is its own mirror image has its largest entry twice; rounding must not decide between them.
    large = vectors.abs() >= 0.9 * vectors.abs().amax(1, keepdim=True)
    vectors = vectors * vectors.gather(1, large.byte().argmax(1, keepdim=True)).sign()
    return Modes(vectors.unflatten(1, (-1, 2)), values.flip(0)[:count].clamp(min=0).sqrt())


@dataclass(frozen=True)
class ShapeModel:
    """Second-order statistics of faces in the frame of the mean (unit: the distance between the eye corners).

    Attributes:
        mean: (n, 2), float64.
        covariance: (2n, 2n), float64.
        count: the number of faces.
        source: a sentence on their origin.
        levels: percentages, of the percentiles.
        percentiles: (m, len(levels)), percentiles of the faces' scores along the leading modes, in units of the
            mode's standard deviation. For Gaussian faces every row would be that of the standard normal distribution.

    >>> real_300w().percentiles.shape == (10, len(LEVELS))
    True
    """

    mean: Tensor
    covariance: Tensor
    count: int
    source: str
    levels: Tensor
    percentiles: Tensor


def real_300w() -> ShapeModel:
    """The mean and covariance of 2,800 real faces (300-W training annotations, 68 points).

    Symmetric: every face is used together with its mirror image. Either is as likely in front of a camera, and
    the mean face of a chapter should have no preferred side. Written by `python -m data_scripts.shapes`;
    the shapes themselves are not part of the package.

    >>> model = real_300w()
    >>> tuple(model.mean.shape), model.count
    ((68, 2), 2800)
    """
    with np.load(REAL_300W) as file:
        tensors = {k: torch.tensor(file[k]).double() for k in ("mean", "covariance", "levels", "percentiles")}
        return ShapeModel(**tensors, count=int(file["count"]), source=str(file["source"]))


@_checks.full_precision
def sample(model: ShapeModel, count: int, generator: torch.Generator) -> Float[Tensor, "count n 2"]:
    """Sample random face shapes: mean + Σ_k s_k v_k ξ_k over all `modes` (v, s), with ξ standard normal.

    Real faces are not Gaussian (`ShapeModel.percentiles`): heads turn less far than the tails predict, and nod
    further. Nor are they linear: a sample far from the mean is a bent face, not a turned one.

    Args:
        model: the statistics, for instance `real_300w`.
        count: the number of shapes.
        generator: a generator on the CPU; the same state gives the same shapes.

    Returns:
        (count, n, 2), float64 on the CPU, in the frame of the mean (unit: eye-corner distance).

    >>> sample(real_300w(), 2, torch.Generator().manual_seed(0)).shape
    torch.Size([2, 68, 2])
    """
    _checks.kind(model, "model", ShapeModel)
    _checks.whole(count, "count", 0)
    _checks.kind(generator, "generator", torch.Generator)
    vectors, deviations = modes(model.covariance)
    normal = torch.randn(count, len(deviations), dtype=torch.float64, generator=generator)
    return model.mean + torch.einsum("ck,knd->cnd", normal * deviations, vectors)


@_checks.full_precision
def symmetric_model(
    shapes: Float[Tensor, "k n 2"], flip: Sequence[int], corners: tuple[int, int], source: str, leading: int = 10
) -> ShapeModel:
    """The symmetric `ShapeModel` of faces: `procrustes` of the faces together with their mirror images.

    Args:
        shapes: (k, n, 2), in any frame and unit.
        flip: the flip of their scheme.
        corners: the outer eye corners of their scheme.
        source: a sentence on their origin, kept in the model.
        leading: the number of modes whose percentiles are kept.

    >>> triangle = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [1.5, 1.0]]]).double()
    >>> model = symmetric_model(triangle, (1, 0, 2), (0, 1), "one triangle", leading=1)
    >>> abs(model.mean[2, 0].item()) < 1e-9, model.count
    (True, 1)
    """
    _checks.points(shapes, "shapes")
    if shapes.ndim != 3 or not len(shapes):
        raise ValueError(f"shapes: needed (k, n, 2), one shape or more, got {tuple(shapes.shape)}")
    if not isinstance(flip, Sequence) or not all(isinstance(i, Integral) for i in flip):
        raise TypeError(f"flip: needed a sequence of landmarks, got {_checks.said(flip)}")
    if sorted(flip) != list(range(shapes.shape[1])):
        raise ValueError(f"flip: needed each of {shapes.shape[1]} landmarks once, got {_checks.said(list(flip))}")
    _checks.whole(leading, "leading")
    mirrored = shapes[:, list(flip)] * shapes.new_tensor([-1.0, 1.0])
    found = procrustes(torch.cat([shapes, mirrored]), corners)
    cov = covariance(found.aligned, found.mean)
    vectors, deviations = modes(cov, leading)
    scores = torch.einsum("cnd,knd->kc", found.aligned - found.mean, vectors) / deviations[:, None]
    at = shapes.new_tensor(LEVELS)
    return ShapeModel(found.mean, cov, len(shapes), source, at, torch.quantile(scores, at / 100, dim=1).T)
