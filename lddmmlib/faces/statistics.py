"""How faces vary: similarity alignment, the mean shape, its modes, and the statistics of real 300-W faces.

The frame of a mean shape: outer eye corners at (-1/2, 0) and (1/2, 0), y down. The unit is the distance of the
eye corners, so that a distance here reads as a normalised error.
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

LEVELS = (1, 5, 25, 50, 75, 95, 99)  # of the percentiles
REAL_300W = Path(__file__).with_name("shapes_300w.npz")


class Similarity(NamedTuple):
    """p -> linear p + shift, where linear = scale · rotation."""

    linear: Tensor  # (..., 2, 2)
    shift: Tensor  # (..., 2)

    @_checks.full_precision
    def apply(self, points: Float[Tensor, "*#batch n 2"]) -> Float[Tensor, "*both n 2"]:
        """The moved points, of the same shape; NaN stays NaN."""
        _checks.points(points, "points", nan=True)
        _checks.same(**{"self.linear": self.linear, "points": points})
        _broadcast(**{"self.linear": self.linear, "points": points})
        return points @ self.linear.mT + self.shift[..., None, :]


@_checks.full_precision
def similarity(source: Float[Tensor, "*#batch n 2"], target: Float[Tensor, "*#batch n 2"]) -> Similarity:
    """The scaling, rotation and shift (no reflection) that bring ``source`` nearest to ``target``:

        min over b, c of  Σ_i |b z_i + c - w_i|²,   points read as complex numbers z = x + i y,

    with z, w taken from their means:  b = Σ_i conj(z_i) w_i / Σ_i |z_i|².  Differentiable in both arguments.

    Returns a Similarity, whose batch axes are those of the arguments, broadcast.
    Raises ValueError where all points of a source coincide.

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
    z = z / extent[..., None, None]  # before it is squared, which 1e20 would not stand
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
    """aligned (k, n, 2), whose average is mean (n, 2). residual: how far the mean moved in the last round."""

    aligned: Tensor
    mean: Tensor
    n_iter: int
    residual: float
    converged: bool


@_checks.full_precision
def to_corners(shapes: Float[Tensor, "*batch n 2"], corners: tuple[int, int]) -> Float[Tensor, "*batch n 2"]:
    """Move shapes by a similarity so that landmarks ``corners`` lie at (-1/2, 0) and (1/2, 0).

    >>> to_corners(torch.tensor([[0.0, 0.0], [0.0, 4.0], [-2.0, 2.0]]), (0, 1)).tolist()
    [[-0.5, 0.0], [0.5, 0.0], [0.0, 0.5]]
    """
    _checks.points(shapes, "shapes", nan=True)
    ends = shapes[..., _corners(corners, shapes.shape[-2]), :]
    _checks.points(ends, "shapes")
    return similarity(ends, _ends(shapes)).apply(shapes)


def _corners(corners: object, n: int) -> list[int]:
    """The landmarks of both outer eye corners, of n."""
    pair = isinstance(corners, Sequence) and not isinstance(corners, str) and len(corners) == 2
    if not pair or not all(isinstance(i, Integral) and 0 <= i < n for i in corners):
        raise ValueError(f"corners: needed two landmarks, each from 0 to {n - 1}, got {_checks.said(corners)}")
    return list(corners)


def _ends(like: Tensor) -> Tensor:
    """Where the eye corners of a mean lie."""
    return like.new_tensor([[-0.5, 0.0], [0.5, 0.0]])


@_checks.full_precision
def procrustes(
    shapes: Float[Tensor, "k n 2"], corners: tuple[int, int], tol: float = 1e-10, max_iter: int = 100
) -> Procrustes:
    """Generalised Procrustes analysis: the mean m that all shapes agree on, each moved by its own similarity,

        m = G( 1/k Σ_i S_i(x_i) ),   S_i = `similarity` (x_i, m),

    found by alternating the two. G, one similarity for all, lays the landmarks ``corners`` of the mean (a
    scheme's outer eye corners) at (-1/2, 0) and (1/2, 0); without it the shapes would shrink from round to
    round, for least squares makes a shape the smaller, the less it resembles the mean.

    shapes: (k, n, 2), all landmarks finite. Stops when no point of the mean moves by more than ``tol``.
    Raises ValueError for shapes that are a single point. Gower, Psychometrika 40, 1975.

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
    """Principal directions: vectors (m, n, 2) of unit length, deviations (m,) along them, the largest first."""

    vectors: Tensor
    deviations: Tensor


@_checks.full_precision
def covariance(aligned: Float[Tensor, "k n 2"], mean: Float[Tensor, "n 2"]) -> Float[Tensor, "d d"]:
    """1/k Σ_i (x_i - m)(x_i - m)ᵀ with points as x0, y0, x1, y1, ...: (2n, 2n)."""
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
    """The eigenvectors of a covariance (2n, 2n) and the square roots of its eigenvalues; ``count`` leading ones.

    Of each vector's largest entries the first is positive. Variance below zero by rounding counts as none.

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
    # A mode that is its own mirror image has its largest entry twice; rounding must not choose between them.
    large = vectors.abs() >= 0.9 * vectors.abs().amax(1, keepdim=True)
    vectors = vectors * vectors.gather(1, large.byte().argmax(1, keepdim=True)).sign()
    return Modes(vectors.unflatten(1, (-1, 2)), values.flip(0)[:count].clamp(min=0).sqrt())


@dataclass(frozen=True)
class ShapeModel:
    """Second-order statistics of faces in the frame of the mean (unit: the distance of the eye corners).

    mean (n, 2), covariance (2n, 2n), both float64; count: how many faces; source: a sentence.
    percentiles (m, len(levels)): scores of the faces along the leading modes in units of the mode's deviation;
    for a Gaussian every row would be that of the normal law.
    """

    mean: Tensor
    covariance: Tensor
    count: int
    source: str
    levels: Tensor
    percentiles: Tensor


def real_300w() -> ShapeModel:
    """What 2,800 real faces (300-W training annotations, 68 points) look like on average and how they vary.

    Symmetric: every face counts together with its mirror image. The same camera would have seen either, and a
    chapter's mean face should not squint to one side. Made by ``python -m data_scripts.shapes``;
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
    """``count`` random faces: mean + Σ_k s_k v_k ξ_k over all `modes` (v, s), ξ standard normal.

    Real faces are not Gaussian (`ShapeModel.percentiles`): heads turn less far than the tails say, and nod
    further. Nor are they linear: a sample that turns far is bent, not turned.
    Returns float64 on the CPU, in the frame of the mean; the same for the same state of the generator.

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
    shapes: Float[Tensor, "k n 2"],
    flip: Sequence[int],
    corners: tuple[int, int],
    source: str,
    leading: int = 10,
) -> ShapeModel:
    """The symmetric ShapeModel of faces: `procrustes` of the faces and their mirror images.

    shapes: (k, n, 2) in any frame; flip, corners: of their scheme; leading: modes whose percentiles are kept.
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
