"""Points grouped into curves: a face as the mathematics of paper A takes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral

import torch
from torch import Tensor

from lddmmlib import _checks

__all__ = ["Curves"]


@dataclass(frozen=True, eq=False)
class Curves:
    """Points grouped into curves: a face.

    points: (..., n, 2). slices: one a curve: a `slice`, or the indices of its points in order. Each point lies in
    exactly one curve; a curve of one point is a landmark that no current sees. closed: one boolean for all curves or
    one each; a closed curve returns to its first point. coupled: all points flow in one field, and nothing crosses;
    False, as in paper A: each curve flows in the field of its own momenta alone, with its own σ, and curves may
    cross one another.

    Raises ValueError where a point is in no curve or in two, and for as many flags as there are no curves.

    >>> face = Curves(torch.zeros(4, 2), [slice(0, 3), [3]], closed=[True, False])
    >>> face.indices, face.lines().shape
    (((0, 1, 2), (3,)), torch.Size([2, 4, 2]))
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
        _checks.kind(self.coupled, "coupled", bool)
        if (not isinstance(self.closed, bool) and not hasattr(self.closed, "__len__")) or isinstance(self.closed, str):
            raise TypeError(f"closed: needed a boolean or one a curve, got {_checks.said(self.closed)}")
        n, seen = self.points.shape[-2], Counter(i for curve in self.indices for i in curve)
        for i in range(n):
            if seen[i] != 1:
                mend = "a curve is slice(start, stop) or the sequence of its indices; a lone point is a curve [i]"
                raise ValueError(f"slices: needed each point in one curve, got point {i} in {seen[i]}; {mend}")
        if len(seen) > n or not all(self.indices):
            raise ValueError(f"slices: needed curves of points 0 to {n - 1}, none empty; got {self.indices}")
        if not isinstance(self.closed, bool) and len(self.closed) != len(self.slices):
            raise ValueError(f"closed: needed one flag or {len(self.slices)}, one a curve; got {len(self.closed)}")

    @cached_property
    def indices(self) -> tuple[tuple[int, ...], ...]:
        """The points of each curve."""
        every = range(self.points.shape[-2])
        return tuple(tuple(every[s]) if isinstance(s, slice) else tuple(map(int, s)) for s in self.slices)

    def at(self, points: Tensor) -> Curves:
        """The same curves through other points."""
        _checks.tensor(points, "points")
        if points.shape[-2:] != self.points.shape[-2:]:
            raise ValueError(f"points: needed (..., {self.points.shape[-2]}, 2), got {tuple(points.shape)}")
        _checks.points(points, "points")
        other = copy(self)  # and not a new one: what was worked out about the groups stays
        object.__setattr__(other, "points", points)
        if points.device != self.points.device:
            other.__dict__.pop("_padded", None)
        return other

    # Curves of different lengths make one tensor: short ones repeat their last point, which adds a tangent 0.
    # `mask` takes its momentum away, and `place` says where each point of the face went.

    @cached_property
    def _padded(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        longest, device = max(map(len, self.indices)), self.points.device
        flags = [self.closed] * len(self.indices) if isinstance(self.closed, bool) else self.closed
        rows = [(*i, *[i[-1]] * (longest - len(i))) for i in self.indices]
        last = [i[0] if shut else i[-1] for i, shut in zip(self.indices, flags, strict=True)]
        lines = [(*i, *[j] * (longest + 1 - len(i))) for i, j in zip(self.indices, last, strict=True)]
        at = {i: c * longest + k for c, row in enumerate(self.indices) for k, i in enumerate(row)}
        mask = [[k < len(i) for k in range(longest)] for i in self.indices]
        table = [rows, lines, [at[i] for i in range(len(at))]]
        with torch.inference_mode(False):  # the tables stay, and may serve a derivative later
            return *(torch.tensor(t, device=device) for t in table), torch.tensor(mask, device=device)[..., None]

    def pad(self, values: Tensor) -> Tensor:
        """(..., n, k) -> (..., curves, longest, k)."""
        return _take(values, self._padded[0])

    def mask(self) -> Tensor:
        """(curves, longest, 1): False where a curve is padded."""
        return self._padded[3]

    def unpad(self, padded: Tensor) -> Tensor:
        """(..., curves, longest, k) -> (..., n, k)."""
        return padded.flatten(-3, -2).index_select(-2, self._padded[2])

    def lines(self, points: Tensor | None = None) -> Tensor:
        """(..., curves, longest + 1, 2): polylines to draw or to integrate over, closed ones returning."""
        return _take(self.points if points is None else points, self._padded[1])


PointsLike = Tensor | Curves  # one coupled group of points, or several curves
Sigma = float | Sequence[float] | Tensor  # one width, or one a curve


def with_points(like: PointsLike, x: Tensor) -> PointsLike:
    """Other points in the same curves; a plain tensor has none."""
    return like.at(x) if isinstance(like, Curves) else x


def _integers(indices: object) -> bool:
    indices = indices.tolist() if hasattr(indices, "tolist") else indices
    return isinstance(indices, Sequence) and all(isinstance(i, Integral) for i in indices)


def _take(values: Tensor, table: Tensor) -> Tensor:
    """values[..., table, :], in less time."""
    return values.index_select(-2, table.flatten()).unflatten(-2, table.shape)


def points_of(curve: PointsLike) -> Tensor:
    return curve.points if isinstance(curve, Curves) else curve


def comparable(**two: PointsLike) -> None:
    """Refuse two that are not both points or both Curves, of as many curves, one batch, dtype and device."""
    (first, a), (second, b) = two.items()
    if isinstance(a, Curves) != isinstance(b, Curves):
        got = f"{type(a).__name__} and {type(b).__name__}"
        raise TypeError(f"{first}, {second}: needed two tensors or two Curves, got {got}")
    if isinstance(a, Curves) and len(a.slices) != len(b.slices):
        raise ValueError(f"{first}, {second}: needed as many curves, got {len(a.slices)} and {len(b.slices)}")
    _checks.alike(**{first: points_of(a), second: points_of(b)})


def several(sigma: Sigma) -> bool:
    """Whether there is one σ a curve; a tensor without axes is a number."""
    return sigma.ndim > 0 if isinstance(sigma, Tensor) else isinstance(sigma, Sequence) and not isinstance(sigma, str)


def widths(sigma: Sigma, like: PointsLike, name: str = "sigma") -> float | Tensor:
    """σ as a number; of Curves, where it is one a curve, as (curves, 1, 1)."""
    if not several(sigma):
        _checks.positive(sigma, name)
        return sigma
    n = len(like.slices) if isinstance(like, Curves) else 0
    if len(sigma) != n:
        mend = f"{n} numbers, one a curve" if n else "a number: these points are no Curves"
        raise ValueError(f"{name}: needed {mend}; got {len(sigma)} numbers")
    for each in sigma.tolist() if isinstance(sigma, Tensor) and not sigma.is_meta else sigma:
        _checks.positive(each, name)
    return torch.as_tensor(sigma, dtype=like.points.dtype, device=like.points.device)[:, None, None]
