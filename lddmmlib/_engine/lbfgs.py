"""Many small minimisations at once, by L-BFGS."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WINDOW = 10  # the number of steps over which the decrease of J is measured
MEMORY = 10  # the number of steps whose curvature L-BFGS stores


def minimise(
    J: Callable[[Tensor], Tensor], z: Tensor, tol: float, max_iter: int, noise: float = 0.0
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Minimise each J_b, which has rounding errors up to `noise`, over row b of z (B, D).

    A bisection between steps that are too long (Armijo fails) and too short (Wolfe fails) suits the kinks of |z_i -
    y_i|: see Lewis and Overton, Mathematical Programming 141 (2013).

    Returns:
        z, J, evaluations, residual, converged.
    """

    def evaluate(z: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value = J(z)
            return value.detach(), torch.autograd.grad(value.sum(), z)[0]

    value, g = evaluate(z)
    tiny = torch.finfo(z.dtype).tiny
    S = Y = z.new_zeros(MEMORY, *z.shape)
    fall = value.new_full((WINDOW + 1, len(z)), torch.inf)
    d, t = -g, value / g.square().sum(-1).clamp(min=tiny)
    low, high = torch.zeros_like(t), torch.full_like(t, torch.inf)
    n_iter, residual = torch.ones_like(t, dtype=torch.long), torch.where(value > noise, torch.inf, 0.0)
    for _ in range(max_iter - 1):
        going = residual > tol
        if not going.any():
            break
        at = z + t[:, None] * d
        there, g_there = evaluate(at)
        slope = (g * d).sum(-1)
        long = ~(there <= value + 1e-4 * t * slope + noise)
        short = ~long & ((g_there * d).sum(-1) < 0.9 * slope)
        done = going & ~long & ~short
        row = done[:, None]
        S = torch.where(row, torch.cat([S[1:], (at - z)[None]]), S)
        Y = torch.where(row, torch.cat([Y[1:], (g_there - g)[None]]), Y)
        z, g, value = torch.where(row, at, z), torch.where(row, g_there, g), torch.where(done, there, value)
        fall = torch.where(done, torch.cat([fall[1:], value[None]]), fall)
        share = ((fall[0] - value) / value.clamp(min=tiny)).clamp(min=0)
        residual = torch.where(done, torch.where(value > noise, share, 0.0), residual)
        n_iter = n_iter + going
        low, high = torch.where(short, t, low), torch.where(long, t, high)
        t = torch.where(done, 1.0, torch.where(high < torch.inf, (low + high) / 2, 2 * t))
        low, high = low.masked_fill(done, 0.0), high.masked_fill(done, torch.inf)
        d = torch.where(row, -_curved(g, S, Y), d)
    return z, value, n_iter, residual, residual <= tol


def _curved(g: Tensor, S: Tensor, Y: Tensor) -> Tensor:
    """The product of the inverse Hessian, estimated from the steps S and the changes Y of gradient, and g: two-loop
    recursion.
    """
    sy = (S * Y).sum(-1)
    rho = torch.where(sy > 0, 1 / sy, 0.0)
    a = torch.zeros_like(sy)
    for i in reversed(range(len(S))):
        a[i] = rho[i] * (S[i] * g).sum(-1)
        g = g - a[i][:, None] * Y[i]
    g = g * torch.where(sy[-1] > 0, sy[-1] / Y[-1].square().sum(-1), 1.0)[:, None]
    for i in range(len(S)):
        g = g + (a[i] - rho[i] * (Y[i] * g).sum(-1))[:, None] * S[i]
    return g
