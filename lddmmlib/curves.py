"""Curves: points grouped into curves, the form in which the mathematics of paper A represents a face."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real

import torch
from torch import Tensor

from lddmmlib import _checks

__all__ = ["Curves", "as_curves"]


@dataclass(frozen=True, eq=False)
class Curves:
    """A face as points grouped into curves.

    A curve may be empty (if a scheme lacks it), or a single point (a landmark, whose current is 0). A point may be in
    no curve (a pupil): the terms for curves ignore it. If all points flow in one field, it flows with them; if each
    curve flows separately, it stays, and its momentum must be 0.

    Args:
        points: (..., n, 2).
        slices: one for each curve: a `slice`, or the indices of its points in order. A point is in at most one curve.
        closed: one boolean for all curves or one each; a closed curve returns to its first point.
        coupled: True: all points flow in one field, and curves cannot cross. False, as in paper A: each curve flows in
            the field of its own momenta only, with its own σ, and curves may cross one another.

    Raises:
        ValueError: a point in two curves, indices beyond the points, or a number of flags that is not that of the
            curves.

    >>> face = Curves(torch.zeros(5, 2), [slice(0, 3), [3], []], closed=[True, False, False])
    >>> face.indices, face.free, face.lines().shape
    (((0, 1, 2), (3,), ()), (4,), torch.Size([3, 4, 2]))
    """

    points: Tensor
    slices: Sequence[slice | Sequence[int]]
    closed: bool | Sequence[bool] = False
    coupled: bool = True

    def __post_init__(self):
        _checks.points(self.points, "points")
        several = isinstance(self.slices, Sequence) and not isinstance(self.slices, str)
        if not several or not all(isinstance(s, slice) or _integers(s) for s in self.slices):
            got = _checks.said(self.slices)
            raise TypeError(f"slices: needed a sequence of slices or of sequences of indices, one a curve; got {got}")
        if not self.slices:
            raise ValueError("slices: needed at least one curve, got none; an empty curve is a curve []")
        _checks.kind(self.coupled, "coupled", bool)
        if (not isinstance(self.closed, bool) and not hasattr(self.closed, "__len__")) or isinstance(self.closed, str):
            raise TypeError(f"closed: needed a boolean or one a curve, got {_checks.said(self.closed)}")
        n, seen = self.points.shape[-2], Counter(i for curve in self.indices for i in curve)
        mend = "a curve is slice(start, stop) or the sequence of all its indices"
        for i, count in seen.items():
            if not 0 <= i < n:
                raise ValueError(f"slices: needed curves of points 0 to {n - 1}, got point {i}; {mend}")
            if count > 1:
                raise ValueError(f"slices: needed each point in one curve at most, got point {i} in {count}; {mend}")
        if self.free and all(isinstance(s, tuple) and len(s) == 2 for s in self.slices):  # meant as (start, stop)?
            raise ValueError(
                f"slices: needed the points of each curve, got pairs and point {self.free[0]} in 0; {mend}"
            )
        if not isinstance(self.closed, bool) and len(self.closed) != len(self.slices):
            raise ValueError(f"closed: needed one flag or {len(self.slices)}, one a curve; got {len(self.closed)}")

    @cached_property
    def indices(self) -> tuple[tuple[int, ...], ...]:
        """The indices of the points of each curve."""
        every = range(self.points.shape[-2])
        return tuple(tuple(every[s]) if isinstance(s, slice) else tuple(map(int, s)) for s in self.slices)

    @cached_property
    def free(self) -> tuple[int, ...]:
        """The indices of the points in no curve."""
        held = {i for curve in self.indices for i in curve}
        return tuple(i for i in range(self.points.shape[-2]) if i not in held)

    def with_points(self, points: Tensor) -> Curves:
        """The same curves through other points (..., n, 2)."""
        _checks.tensor(points, "points")
        if points.shape[-2:] != self.points.shape[-2:]:
            raise ValueError(f"points: needed (..., {self.points.shape[-2]}, 2), got {tuple(points.shape)}")
        _checks.points(points, "points")
        other = copy(self)  # a copy instead of a new one, to keep the tables of the groups
        object.__setattr__(other, "points", points)
        if points.device != self.points.device:
            other.__dict__.pop("_padded", None)
        return other

    def joined_over_gaps(self, points: Tensor, missing: Tensor | None = None) -> Curves:
        """The same curves through the points that are present, with a straight line over each gap.

        In a batch the gaps may differ. A missing point repeats the previous present one of its curve, or at the start
        the first: an edge of length 0 adds nothing to a current, so the norm is that of the shorter curve. To compare
        another face with it, remove the same points there.

        Args:
            points: (..., n, 2), NaN where a point is missing.
            missing: (..., n), True where a point is missing; None for those that are NaN.

        Returns:
            Curves. A missing point without a present one in its curve is put at 0: then the whole curve is missing and
                its current is 0, or the point is in no curve.

        >>> nan, bent = torch.nan, Curves(torch.tensor([[0.0, 0.0], [1.0, 9.0], [4.0, 0.0]]), [slice(0, 3)])
        >>> bent.joined_over_gaps(torch.tensor([[nan, nan], [1.0, 9.0], [4.0, 0.0]])).points.tolist()
        [[1.0, 9.0], [1.0, 9.0], [4.0, 0.0]]
        """
        _checks.tensor(points, "points")
        if points.shape[-2:] != self.points.shape[-2:]:
            raise ValueError(f"points: needed (..., {self.points.shape[-2]}, 2), got {tuple(points.shape)}")
        _checks.points(points, "points", nan=True)
        absent = points.isnan().any(-1) if missing is None else missing
        if absent.shape != points.shape[:-1] or absent.dtype != torch.bool:
            got = f"{tuple(absent.shape)} of {absent.dtype}"
            raise ValueError(f"missing: needed booleans {tuple(points.shape[:-1])}, one a point; got {got}")
        points = points.masked_fill(absent[..., None], 0.0)
        there = (self.pad(~absent[..., None]) & self.mask())[..., 0]
        place = torch.arange(there.shape[-1], device=points.device)
        last = torch.where(there, place, -1).cummax(-1)[0]  # the present point before
        first = torch.where(there, place, len(place)).amin(-1, keepdim=True)
        source = torch.where(last < 0, first.clamp(max=len(place) - 1), last)
        padded = self.pad(points)
        padded = padded.gather(-2, source[..., None].expand_as(padded))
        return self.with_points(self.unpad(padded, points))

    # Curves of different lengths are padded to one tensor: short ones repeat their last point, which adds a tangent 0.
    # `mask` sets its momentum to 0, and `place` holds the position of each point of the face.

    @cached_property
    def _padded(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        longest, device = max(1, *map(len, self.indices)), self.points.device
        flags = [self.closed] * len(self.indices) if isinstance(self.closed, bool) else self.closed
        some = [i or (0,) for i in self.indices]  # an empty curve is a masked point
        rows = [(*i, *[i[-1]] * (longest - len(i))) for i in some]
        last = [i[0] if shut else i[-1] for i, shut in zip(some, flags, strict=True)]
        lines = [(*i, *[j] * (longest + 1 - len(i))) for i, j in zip(some, last, strict=True)]
        at = {i: c * longest + k for c, row in enumerate(self.indices) for k, i in enumerate(row)}
        place = [at.get(i, len(rows) * longest + i) for i in range(self.points.shape[-2])]
        mask = [[k < len(i) for k in range(longest)] for i in self.indices]
        with torch.inference_mode(False):  # the tables are kept, and may be used in a derivative later
            table = (torch.tensor(t, device=device) for t in (rows, lines, place))
            return *table, torch.tensor(mask, device=device)[..., None]

    def pad(self, values: Tensor) -> Tensor:
        """Convert values (..., n, k) of the points to (..., curves, longest, k)."""
        return _take(values, self._padded[0])

    def mask(self) -> Tensor:
        """The mask (curves, longest, 1) of `pad`: False where a curve is padded."""
        return self._padded[3]

    def unpad(self, padded: Tensor, free: Tensor | None = None) -> Tensor:
        """Convert values (..., curves, longest, k) back to (..., n, k), the inverse of `pad`.

        Args:
            padded: (..., curves, longest, k).
            free: (..., n, k), the values of points in no curve; None for 0.
        """
        values = padded.flatten(-3, -2)
        if self.free:
            shape = *values.shape[:-2], len(self._padded[2]), values.shape[-1]
            values = torch.cat([values, values.new_zeros(shape) if free is None else free.expand(shape)], -2)
        return values.index_select(-2, self._padded[2])

    def lines(self, points: Tensor | None = None) -> Tensor:
        """Polylines (..., curves, longest + 1, 2) to draw or to integrate over; closed ones return to their first
        point.

        An empty curve is a line of length 0.
        """
        return _take(self.points if points is None else points, self._padded[1])


PointsLike = Tensor | Curves  # one coupled group of points, or several curves
Sigma = float | Sequence[float] | Tensor  # one width, or one a curve
# The width of a single point, which moves by its momentum whatever its width: so wide that it folds nothing. A power
# of 2, so that division and multiplication by it are exact.
WIDE = 2.0**20


def as_curves(x: PointsLike, closed: bool = False) -> Curves:
    """Points as one curve; Curves unchanged.

    Args:
        x: (..., n, 2), or Curves.
        closed: whether the curve of points is closed.

    >>> as_curves(torch.zeros(3, 2)).indices
    ((0, 1, 2),)
    """
    return x if isinstance(x, Curves) else Curves(x, [slice(None)], closed)


def with_points(like: PointsLike, x: Tensor) -> PointsLike:
    """Other points in the same curves, or a plain tensor for a plain tensor."""
    return like.with_points(x) if isinstance(like, Curves) else x


def _integers(indices: object) -> bool:
    indices = indices.tolist() if hasattr(indices, "tolist") else indices
    return isinstance(indices, Sequence) and all(isinstance(i, Integral) for i in indices)


def _take(values: Tensor, table: Tensor) -> Tensor:
    """The rows values[..., table, :], faster than by indexing."""
    return values.index_select(-2, table.flatten()).unflatten(-2, table.shape)


def points_of(curve: PointsLike) -> Tensor:
    return curve.points if isinstance(curve, Curves) else curve


def checked(x: PointsLike, name: str) -> Tensor:
    """The points, checked unless they are Curves, which were checked when made."""
    if not isinstance(x, Curves):
        _checks.points(x, name)
    return points_of(x)


def comparable(**two: PointsLike) -> None:
    """Refuse two arguments unless both are points or both Curves with the same number of curves, batch, dtype and
    device.
    """
    (first, a), (second, b) = two.items()
    if isinstance(a, Curves) != isinstance(b, Curves):
        got = f"{type(a).__name__} and {type(b).__name__}"
        raise TypeError(f"{first}, {second}: needed two tensors or two Curves, got {got}")
    if isinstance(a, Curves) and len(a.slices) != len(b.slices):
        raise ValueError(f"{first}, {second}: needed as many curves, got {len(a.slices)} and {len(b.slices)}")
    x, y = checked(a, first), checked(b, second)
    _checks.same(**{first: x, second: y})
    _checks.batch(x.shape[:-2], **{first: x, second: y})


def several(sigma: Sigma) -> bool:
    """True if there is one σ per curve; a tensor without axes is one number."""
    return sigma.ndim > 0 if isinstance(sigma, Tensor) else isinstance(sigma, Sequence) and not isinstance(sigma, str)


def widths(sigma: Sigma, like: PointsLike, name: str = "sigma", other: PointsLike | None = None) -> float | Tensor:
    """The width σ as a number; for one σ per curve, as (curves, 1, 1)."""
    return widths_and_lone(sigma, like, name, other)[0]


def widths_and_lone(
    sigma: Sigma, like: PointsLike, name: str = "sigma", other: PointsLike | None = None
) -> tuple[float | Tensor, tuple[int, ...]]:
    """The `widths`, all checked by one synchronisation with the device, and the curves of one point whose σ is 0.

    A curve of at most one point may have σ = 0, which a rule by its extent gives: σ is then replaced by WIDE. Not
    if the same curve of `other` has more points.
    """
    if not several(sigma):
        _checks.positive(sigma, name)
        return sigma, ()
    n = len(like.slices) if isinstance(like, Curves) else 0
    if len(sigma) != n:
        mend = f"{n} numbers, one a curve" if n else "a number: these points are no Curves"
        raise ValueError(f"{name}: needed {mend}; got {len(sigma)} numbers")
    small = [len(i) < 2 for i in like.indices]
    if other is not None:
        small = [a and len(i) < 2 for a, i in zip(small, other.indices, strict=True)]
    values = sigma.tolist() if isinstance(sigma, Tensor) and not sigma.is_meta else sigma
    zero = [isinstance(value, Real) and value == 0 and not isinstance(value, bool) for value in values]
    for value, allowed in zip(values, (a and b for a, b in zip(zero, small, strict=True)), strict=True):
        if not allowed:
            _checks.positive(value, name)
    sigma = torch.as_tensor(sigma, dtype=like.points.dtype, device=like.points.device)
    sigma = sigma.masked_fill(sigma == 0, WIDE) if any(zero) else sigma
    return sigma[:, None, None], tuple(k for k, i in enumerate(like.indices) if zero[k] and len(i))
