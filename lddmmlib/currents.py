"""Curves as currents: sums of vector-valued Diracs, which can be compared without correspondence of points.

A polyline x_1 ... x_n is the current μ = Σ_i τ_i δ_{c_i} with centres c_i = (x_i + x_{i+1}) / 2 and tangents
τ_i = x_{i+1} - x_i. The Gaussian kernel of width σ_W makes currents a Hilbert space W*, whose norm resolves a curve at
the scale σ_W: much finer wiggles cancel, and a reversed curve is the negative.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._engine.pairs import GaussianSum, to_rows
from lddmmlib._shapes import Float
from lddmmlib.curves import Curves, PointsLike, Sigma, checked, comparable, points_of, widths


@_checks.full_precision
def norm2(curve: Float[Tensor, "*batch n 2"] | Curves, sigma: Sigma, closed: bool = False) -> Tensor:
    """The squared norm of a curve as a current, ||μ||²_W* = Σ_i Σ_j k_W(c_i, c_j) τ_i·τ_j.

    Args:
        curve: (..., n, 2), or Curves.
        sigma: σ_W, in the unit of the points; for Curves one number or one per curve.
        closed: whether the last point is joined to the first; for Curves they hold it themselves.

    Returns:
        (...,), or (..., curves), in the unit of the points squared: 0 for a curve of one point, length² for one much
            shorter than σ_W.

    Raises:
        ValueError: sigma not above 0 or of another number than the curves, and points that are not finite.

    Paper A, equation 1.

    >>> norm2(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), 2.0).item()
    25.0
    """
    checked(curve, "curve")
    return _norm2(*_diracs(curve, widths(sigma, curve), closed))


@_checks.full_precision
def norm2_by_loops(x: Float[Tensor, "n 2"], sigma: float) -> Float[Tensor, ""]:
    """Sum over all pairs of edges of one open curve: the version to read of `norm2`.

    Args:
        x: the points of the polyline, (n, 2).
        sigma: σ_W, in their unit.

    Returns:
        ||μ||²_W*, in the unit of the points squared.

    Paper A, equation 1.

    >>> norm2_by_loops(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), 2.0).item()
    25.0
    """
    c, tau = (x[:-1] + x[1:]) / 2, x[1:] - x[:-1]  # centres and tangents of the edges
    total = x.new_zeros(())
    for c_i, tau_i in zip(c, tau, strict=True):
        for c_j, tau_j in zip(c, tau, strict=True):
            total = total + torch.exp(-(c_i - c_j).square().sum() / sigma**2) * (tau_i @ tau_j)
    return total


@_checks.full_precision
def distance2(a: PointsLike, b: PointsLike, sigma: Sigma, closed: bool = False) -> Tensor:
    """The squared distance of two curves as currents, D_c = ||Σ_i τ_a,i δ_{c_a,i} - Σ_j τ_b,j δ_{c_b,j}||²_W*.

    An empty curve is the current 0, and so is a curve of one point.

    Args:
        a: (..., n, 2), or Curves.
        b: (..., m, 2), or the same number of Curves; lengths may differ, direction matters.
        sigma: σ_W, as in `norm2`.
        closed: as in `norm2`.

    Returns:
        (...,), or (..., curves), in the unit of the points squared.

    Raises:
        ValueError: batches, dtypes, devices or numbers of curves that differ, and the errors of `norm2`, also for NaN:
            `Curves.joined_over_gaps` leaves out missing points.

    Paper A, equation 4.

    >>> a = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> distance2(a, a, 2.0).item(), distance2(a, a.flip(0), 2.0).item()  # flipped: the negative current
    (0.0, 100.0)
    """
    comparable(a=a, b=b)
    return between(a, b, widths(sigma, a, other=b if isinstance(b, Curves) else None), closed)


def between(a: PointsLike, b: PointsLike, width: float | Tensor, closed: bool = False) -> Tensor:
    """The `distance2` of curves and widths that have been checked.

    Args:
        a: (..., n, 2), or Curves.
        b: (..., m, 2), or Curves.
        width: σ_W, a number or (curves, 1, 1).
        closed: as in `norm2`.

    >>> a = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> between(a, a.flip(0), 2.0).item()
    100.0
    """
    (c_a, tau_a), (c_b, tau_b) = _diracs(a, width, closed), _diracs(b, width, closed)
    return _norm2(torch.cat([c_a, c_b], -2), torch.cat([tau_a, -tau_b], -2))


@_checks.full_precision
def landmark_discrepancy(z: PointsLike, y: PointsLike) -> Tensor:
    """The mean distance of corresponding points, D_l = 1/n Σ_i |z_i - y_i|; for Curves, one mean for each curve.

    The gradient is a unit vector divided by n at any distance, and 0 where z = y.

    Args:
        z: (..., n, 2), or Curves of such points.
        y: the same points in the same order, as a tensor or as Curves of the same curves. A tensor may be NaN where a
            landmark is unlabelled: the mean is taken over the others, and is 0 if there are none.

    Returns:
        (...,) in the unit of the points; (..., curves) if z is Curves.

    Raises:
        ValueError: shapes, dtypes, devices or curves that differ, and z that is not finite.

    Paper A, equation 5; equation 8 uses it for each curve.

    >>> y = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    >>> landmark_discrepancy(y + torch.tensor([[3.0, 4.0], [0.0, 0.0]]), y).item()
    2.5
    """
    if isinstance(y, Curves):
        _same_curves(z, y)
    else:
        _checks.points(y, "y", nan=True)
    groups, z, y = z, checked(z, "z"), points_of(y)
    _checks.same(z=z, y=y)
    _checks.batch(z.shape[:-2], z=z, y=y)
    unlabelled = y.isnan().any(-1, keepdim=True)
    if z.shape != y.shape:
        raise ValueError(f"z, y: needed one shape, got {tuple(z.shape)} and {tuple(y.shape)}")
    apart = torch.linalg.vector_norm((z - y).masked_fill(unlabelled, 0.0), dim=-1, keepdim=True)
    labelled = (~unlabelled).to(apart.dtype)
    if isinstance(groups, Curves):
        apart, labelled = (groups.pad(values) * groups.mask() for values in (apart, labelled))
    return apart.sum((-1, -2)) / labelled.sum((-1, -2)).clamp(min=1)


def _same_curves(z: PointsLike, y: Curves) -> None:
    """Refuse curves other than those of z: the points of a curve determine the average."""
    if not isinstance(z, Curves):
        raise TypeError(f"z, y: needed two tensors or two Curves, got {type(z).__name__} and {type(y).__name__}")
    if z.indices != y.indices:
        raise ValueError(f"z, y: needed the same points in each curve, got {z.indices} and {y.indices}")


def _diracs(curve: PointsLike, width: float | Tensor, closed: bool) -> tuple[Tensor, Tensor]:
    """The centres, in units of σ, and the tangents."""
    _checks.kind(closed, "closed", bool)
    x = curve.lines() if isinstance(curve, Curves) else curve
    if closed and not isinstance(curve, Curves):
        x = torch.cat([x, x[..., :1, :]], -2)
    return (x[..., 1:, :] + x[..., :-1, :]) / 2 / width, x.diff(dim=-2)


def _norm2(c: Tensor, tau: Tensor) -> Tensor:
    c, tau = to_rows(c), to_rows(tau)
    return (tau * GaussianSum.apply(c, c, tau)).sum((-1, -2))
