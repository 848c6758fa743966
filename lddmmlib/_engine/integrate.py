"""Flows for sigma = 1, in rows: velocities of points, momenta and passengers, and one Runge-Kutta step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._engine.pairs import GaussianSum, concatenated, gaussian_block, row_blocks, to_rows, weighted_offsets
from lddmmlib.curves import Curves, PointsLike, Sigma, checked, several, widths_and_lone

State = tuple[Tensor, ...]  # coordinates, or (coordinates, momenta) in one; then passengers
METHODS = {  # start of each stage, as a fraction of the step along the previous slope; weights of the slopes
    "euler": ((0.0,), (1.0,)),
    "rk2": ((0.0, 1 / 2), (0.0, 1.0)),  # the midpoint rule
    "rk4": ((0.0, 1 / 2, 1 / 2, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}
# The u > 0 with u + ... + u^order / order! = 1: below it the increment of a step is a contraction.
REACH = {"euler": 1.0, "rk2": math.sqrt(3) - 1, "rk4": 0.6939}


def step(method: str, velocity: Callable[..., State], state: State, h: float) -> State:
    """One step of length h along a field, with a table of METHODS."""
    slopes: list[State] = []
    for start in METHODS[method][0]:
        slopes.append(velocity(*(_add(state, h * start, slopes[-1]) if slopes else state)))
    for weight, slope in zip(METHODS[method][1], slopes, strict=True):
        state = _add(state, h * weight, slope) if weight else state
    return state


def _add(state: State, h: float, slope: State) -> State:
    return tuple(torch.add(a, b, alpha=h) for a, b in zip(state, slope, strict=True))


class GeodesicVelocity(_checks.Derived):
    """`flows.hamilton_equations` of s = (q, p), (..., 4, n) in rows, for σ = 1, without keeping a matrix.

    Both equations come from one sum over six rows, Σ_j k_ij (p, p_x q, p_y q)_j = (v, u_x, u_y)_i:

        Σ_j k_ij (p_i·p_j) (q_i - q_j) = (p_i·v_i) q_i - p_x,i u_x,i - p_y,i u_y,i.
    """

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def forward(s: Tensor) -> Tensor:
        q, p = s.split(2, -2)
        p_x, p_y = p.split(1, -2)
        F = torch.cat([p, p_x * q, p_y * q], -2)
        v, u_x, u_y = concatenated([F @ gaussian_block(q, q_i) for (q_i,) in row_blocks(q, q)]).split(2, -2)
        return torch.cat([v, 2 * (_dot(p, v) * q - p_x * u_x - p_y * u_y)], -2)

    @staticmethod
    @_checks.full_precision
    def backward(ctx, g: Tensor) -> Tensor:
        """L = Σ_i a_i·dq_i + b_i·dp_i, g = (a, b), is Σ_ij k_ij G_i·F_j where G = ∂L/∂(v, u), and q and p stand before
        the sums as well; those, and the derivative by F, are the same sums of F and of G."""
        (s,) = ctx.saved_tensors
        (q, p), (a, b) = s.split(2, -2), g.split(2, -2)
        p_x, p_y = p.split(1, -2)
        b, c = 2 * b, 2 * _dot(q, b)
        F, G = torch.cat([p, p_x * q, p_y * q], -2), torch.cat([a + c * p, -p_x * b, -p_y * b], -2)
        FG, GF = torch.cat([F, G], -2), torch.cat([G, F], -2)
        parts = []
        for q_i, GF_i in row_blocks(q, q, GF):
            K = gaussian_block(q, q_i)
            parts.append(torch.cat([-2 * weighted_offsets(K * (FG.mT @ GF_i), q_i, q), FG @ K], -2))
        dq, v, u_x, u_y, dp, d_x, d_y = concatenated(parts).split(2, -2)
        dq = dq + _dot(p, v) * b + p_x * d_x + p_y * d_y
        dp = dp + c * v + torch.cat([_dot(q, d_x) - _dot(b, u_x), _dot(q, d_y) - _dot(b, u_y)], -2)
        return torch.cat([dq, dp], -2)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-2, keepdim=True)


def geodesic(s: Tensor, *passengers: Tensor) -> State:
    """The velocity of (q, p) and of the passengers."""
    return GeodesicVelocity.apply(s), *(GaussianSum.apply(z, *s.split(2, -2)) for z in passengers)


def driven(alpha: Tensor) -> Callable[..., State]:
    """The velocity of q and of the passengers under given momenta."""
    return lambda q, *passengers: tuple(GaussianSum.apply(z, q, alpha) for z in (q, *passengers))


class Units(NamedTuple):
    """The units in which σ = 1: q = (x - centre) / σ and r = p / σ, in rows (..., 2, n).

    curves: those that flow separately, padded into a batch. lone: the curves of one point that have no width.
    """

    x: Tensor
    curves: Curves | None
    centre: Tensor
    sigma: float | Tensor
    lone: tuple[int, ...]

    def coordinates(self, x: Tensor) -> Tensor:
        return to_rows(((x if self.curves is None else self.curves.pad(x)) - self.centre) / self.sigma)

    def momenta(self, p: Tensor) -> Tensor:
        return to_rows((p if self.curves is None else self.curves.pad(p) * self.curves.mask()) / self.sigma)

    def passengers(self, points: PointsLike, name: str = "x0") -> Tensor:
        z = checked(points, "points")
        _checks.same(**{name: self.x, "points": z})
        _checks.batch(self.x.shape[:-2], **{name: self.x, "points": z})
        if self.curves is None:
            return to_rows((z - self.centre) / self.sigma)
        if not isinstance(points, Curves) or len(points.slices) != len(self.curves.slices):
            wanted = f"Curves of {len(self.curves.slices)} curves, as {name} has"
            got = f"{len(points.slices)} curves" if isinstance(points, Curves) else "a tensor"
            mend = "each curve flows alone: list in slices[k] the passengers that ride with curve k, [] for none"
            raise ValueError(f"points: needed {wanted}, got {got}; {mend}")
        for k in self.lone:
            if points.indices[k]:
                got = f"passengers {points.indices[k][:3]} with curve {k}, one point of sigma 0"
                raise ValueError(
                    f"points: needed passengers of curves that have a width, got {got}; give it a sigma > 0"
                )
        return to_rows((points.pad(z) - self.centre) / self.sigma)

    def back(self, q: Tensor, like: PointsLike | None) -> Tensor:
        """Convert coordinates back to points; points in no curve keep their position."""
        x = q.mT * self.sigma + self.centre
        return x if self.curves is None else like.unpad(x, like.points)


def units_of(x0: PointsLike, sigma: Sigma, name: str = "x0", sigma_name: str = "sigma") -> Units:
    x = checked(x0, name)
    alone = isinstance(x0, Curves) and not x0.coupled
    if not alone and several(sigma):
        mend = "one a curve goes with coupled=False"
        raise ValueError(f"{sigma_name}: needed one number for one flow, got {_checks.said(sigma)}; {mend}")
    padded = x0.pad(x) if alone else x
    # Any centre will do, since a flow is translation-invariant. Near 0 single precision is most accurate.
    width, lone = widths_and_lone(sigma, x0, sigma_name)
    return Units(x=x, curves=x0 if alone else None, centre=padded.detach().mean(-2, True), sigma=width, lone=lone)
