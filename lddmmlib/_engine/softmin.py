"""The half steps of Sinkhorn's iteration between two boxes of a grid, and the cost of its plan.

With masses u(x), v(y) and C(x, y) = |x - y|^p, a half step of the potentials f, g, both times λ = 1/ε, is
f(x) = -log Σ_y v(y) exp(g(y) - λ C(x, y)), and the same for g with the sides exchanged. There are two ways:

- `Scaling` iterates exponentials, f less λ|x - c|, c the centre of the box y: a half step is a matrix product. Nothing
  overflows: with |y - c| ≤ r in the box, the matrix lies within e^±λr and all that is iterated within e^±3λr, however
  far x is. For p = 1, while λr ≤ `SCALES`.
- `Logarithms` iterates f and g, by sums that lose no digit at any λ.

A `Box` is (top, bottom, left, right) in cells, without the bottom row and the right column.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Box = tuple[int, int, int, int]
AT_ONCE = 2**22  # numbers in memory at a time
SCALES = {torch.float32: 29.0, torch.float64: 230.0}  # e^±87 and e^±690 are numbers of these types
# Largest |log| of an entry of a kept matrix. A term is at most e^ROOM times a factor that underflows at e^-87 (single
# precision) or e^-708, and the sum is at least e^-ROOM: what underflows is below the rounding error of the sum.
ROOM = {torch.float32: 35.0, torch.float64: 330.0}
BUILD, GROUP = 60, 2**22  # what an entry of a matrix and a group of maps cost, in multiplications of a half step


class Scaling:
    """Half steps in b = exp(g) and 1 / exp(f - λ|x - c|), from masses u, v: v b is multiplied by the matrix."""

    def __init__(self, kernel: Tensor, moments: Tensor, base: Tensor) -> None:
        self.kernel, self.moments, self.base = kernel, moments, base

    def start(self, u: Tensor, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return u, v, g.exp()

    def row(self, v: Tensor, b: Tensor) -> Tensor:
        """The sums over y of each x."""
        return (v * b) @ self.kernel

    def fit(self, u: Tensor, row: Tensor) -> Tensor:
        """The masses u with the factor that makes the rows of the plan fit."""
        return u / row

    def column(self, fitted: Tensor) -> Tensor:
        """The b which makes the columns of the plan fit, 1 at the centre; its factor there goes to `fitted`."""
        b = (fitted @ self.kernel.mT).reciprocal_()
        middle = b[:, b.shape[1] // 2, None].clone()
        fitted.mul_(middle)
        return b.div_(middle)

    def wrong(self, u: Tensor, fitted: Tensor, row: Tensor) -> Tensor:
        """Σ |error of the rows| of a plan of older factors."""
        return torch.linalg.vector_norm(fitted.mul_(row).sub_(u), 1, -1)

    def found(self, v: Tensor, b: Tensor, row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """f, g, and the mean cost of the mass from each x."""
        return -self.base - row.log(), b.log(), ((v * b) @ self.moments).div_(row)


class Logarithms:
    """The same in g and -f, from the logarithms of the masses, by sums `phi`."""

    def __init__(self, phi: Product | Axes | Definition) -> None:
        self.phi = phi

    def start(self, u: Tensor, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return u.log(), v.log(), g

    def row(self, v: Tensor, g: Tensor) -> Tensor:
        return self.phi.to_x(v + g)

    def fit(self, u: Tensor, row: Tensor) -> Tensor:
        return u - row

    def column(self, fitted: Tensor) -> Tensor:
        return -self.phi.to_y(fitted)

    def wrong(self, u: Tensor, fitted: Tensor, row: Tensor) -> Tensor:
        return torch.linalg.vector_norm((fitted + row).exp_().sub_(u.exp()), 1, -1)

    def found(self, v: Tensor, g: Tensor, row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return -row, g, (self.phi.to_x(v + g, moment=True) - row).exp_()


class Windows:
    """The matrices of `Scaling` for the x of a grid and the y of a window at any place, out of one table."""

    def __init__(self, tall: int, wide: int, size: tuple[int, int], lam: float, like: Tensor) -> None:
        h, w = size
        x = (tall - h, h, wide - w, w)  # as seen from a window at (0, 0)
        base = costs((0, 1, 0, 1), x, 1, like, ((tall - 1) / 2, (wide - 1) / 2))
        cost = costs((0, tall, 0, wide), x, 1, like)
        kernel = (cost - base).mul_(-lam).exp_()
        self.least = x[::2]
        self.parts = [part.view(len(part), x[1] - x[0], -1) for part in (kernel, cost.mul_(kernel), -lam * base)]

    def at(self, x: Box, y: Box) -> Scaling:
        rows, columns = (slice(x[k] - y[k] - self.least[k // 2], x[k + 1] - y[k] - self.least[k // 2]) for k in (0, 2))
        return Scaling(*(part[:, rows, columns].flatten(1) for part in self.parts))


def softmin(x: Box, y: Box, lam: float, p: int, like: Tensor) -> Product | Axes:
    """log Σ_y exp(s(y) - λ |x - y|^p) for all x, and log Σ_x for all y, in the dtype and on the device of `like`."""
    return Product(x, y, lam, 1, like) if p == 1 else Axes(x, y, lam, like)


class Product:
    """The sums by matrix products with exp(-λ (C(x, y) - C(x, c))), where c is the centre of the box y.

    C(x, c) is added outside of the product, so that the matrix has entries of moderate size: for p = 1 they lie within
    e^±λr, r the largest |y - c|, however far x is. A box that is too large for `ROOM` is cut into patches.
    """

    def __init__(self, x: Box, y: Box, lam: float, p: int, like: Tensor) -> None:
        room, far = ROOM[like.dtype] / lam, max(x[3], y[3]) - min(x[2], y[2])
        radius = room if p == 1 else math.hypot(far, math.sqrt(room)) - far  # p = 2 is for boxes of one row
        order = torch.arange((y[1] - y[0]) * (y[3] - y[2]), device=like.device).view(y[1] - y[0], -1)
        self.patches = []
        for top, bottom, left, right in _patches(y, radius):
            which = order[top - y[0] : bottom - y[0], left - y[2] : right - y[2]].flatten()
            base = costs((0, 1, 0, 1), x, p, like, ((top + bottom - 1) / 2, (left + right - 1) / 2))
            cost = costs((top, bottom, left, right), x, p, like)
            self.patches.append((which, -lam * base, (cost - base).mul_(-lam).exp_(), cost))
        self.order = torch.cat([which for which, *_ in self.patches]).argsort()

    def to_x(self, s: Tensor, moment: bool = False) -> Tensor:
        """The sums over y (n, x cells) for s (n, y cells); `moment`: each term times its cost."""
        parts = [
            _log_product(s if len(self.patches) == 1 else s[:, which], kernel * cost if moment else kernel).add_(base)
            for which, base, kernel, cost in self.patches
        ]
        return parts[0] if len(parts) == 1 else torch.logsumexp(torch.stack(parts), 0)

    def to_y(self, s: Tensor) -> Tensor:
        """The sums over x (n, y cells) for s (n, x cells)."""
        parts = [_log_product(s + base, kernel.mT) for _, base, kernel, _ in self.patches]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)[:, self.order]


class Axes:
    """The sums for p = 2: |x - y|² is a sum over the axes, so they are sums over columns, then over rows."""

    def __init__(self, x: Box, y: Box, lam: float, like: Tensor) -> None:
        self.across = Product((0, 1, *x[2:]), (0, 1, *y[2:]), lam, 2, like)
        self.down = Product((0, 1, *x[:2]), (0, 1, *y[:2]), lam, 2, like)
        self.widths = x[3] - x[2], y[3] - y[2]

    def to_x(self, s: Tensor, moment: bool = False) -> Tensor:
        def by(a: bool, b: bool) -> Tensor:
            return _by_axes(s, self.widths[1], lambda t: self.across.to_x(t, a), lambda t: self.down.to_x(t, b))

        return torch.logaddexp(by(True, False), by(False, True)) if moment else by(False, False)

    def to_y(self, s: Tensor) -> Tensor:
        return _by_axes(s, self.widths[0], self.across.to_y, self.down.to_y)


class Definition:
    """The sums by their definition, for some cells at a time."""

    def __init__(self, x: Box, y: Box, lam: float, p: int, like: Tensor) -> None:
        self.x, self.y, self.lam, self.p = cells(x, like), cells(y, like), lam, p

    def to_x(self, s: Tensor, moment: bool = False) -> Tensor:
        parts = []
        for some in self.x.split(max(1, AT_ONCE // len(self.y))):
            cost = distances(some, self.y) ** self.p
            kernel = cost.log() - self.lam * cost if moment else -self.lam * cost
            parts.append(torch.stack([torch.logsumexp(row + kernel, -1) for row in s]) if len(s) else s[:, : len(some)])
        return torch.cat(parts, -1)

    def to_y(self, s: Tensor) -> Tensor:
        back = Definition.__new__(Definition)
        back.x, back.y, back.lam, back.p = self.y, self.x, self.lam, self.p
        return back.to_x(s)


def windows(v: Tensor, cut: float) -> list[tuple[Tensor, Box]]:
    """Groups of the maps (n, h, w) of sum 1, each with a box outside of which its maps have a mass of at most `cut`.

    All boxes but the whole grid are of one size, the one with which products with all cells of the grid cost least:
    small windows at many places hold fewer maps each. On an accelerator there is one group.
    """
    n, h, w = v.shape
    each, whole = torch.arange(n, device=v.device), (0, h, 0, w)
    if v.device.type != "cpu" or not n:
        return [(each, whole)] * (n > 0)
    whole_price = (h * w) ** 2 * (n + BUILD) + GROUP
    exact, best, least = supports(v, cut), None, whole_price
    for parts, k in [(8, k) for k in range(1, 8)] + [(4, k) for k in range(1, 4)]:
        down, across = max(1, h // parts), max(1, w // parts)
        tall, wide = min(h, k * down), min(w, k * across)
        top = (exact[:, 0] // down * down).clamp(max=h - tall)
        left = (exact[:, 2] // across * across).clamp(max=w - wide)
        fits = (exact[:, 1] <= top + tall) & (exact[:, 3] <= left + wide)
        places, which = torch.unique(torch.where(fits, top * w + left, -1), return_inverse=True)
        others = n - int(fits.sum())
        price = tall * wide * (n - others + BUILD * len(places)) + h * w * (others + BUILD * (others > 0))
        price = price * h * w + GROUP * len(places) + whole_price // 8  # the step outside of the windows
        if price < least:
            corners = [divmod(x, w) for x in places.tolist()]
            boxes = [(t, t + tall, s, s + wide) if t >= 0 else whole for t, s in corners]
            least, best = price, (boxes, which)
    return [(each, whole)] if best is None else [(each[best[1] == k], box) for k, box in enumerate(best[0])]


def supports(u: Tensor, cut: float) -> Tensor:
    """The smallest box (n, 4) of each map (n, h, w) whose outside has a mass of at most `cut`."""
    ends = []
    for line in (u.sum(-1), u.sum(-2)):
        before, after = (x.cumsum(1) <= cut / 4 for x in (line, line.flip(1)))
        ends += [before.sum(1), line.shape[1] - after.sum(1)]
    return torch.stack(ends, 1)


def costs(y: Box, x: Box, p: int, like: Tensor, shift: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """|x - y|^p (y cells, x cells) of two boxes, the first one moved by `shift` (down, right)."""
    square = []
    for k in (0, 2):
        mine, theirs = (torch.arange(*box[k : k + 2], dtype=like.dtype, device=like.device) for box in (y, x))
        square.append((mine[:, None] + shift[k // 2] - theirs) ** 2)
    cost = square[0][:, None, :, None] + square[1][:, None]
    return (cost.sqrt_() if p == 1 else cost).flatten(2).flatten(0, 1)


def cells(box: Box, like: Tensor) -> Tensor:
    """The coordinates (cells, 2) of the cells of a box, row by row, x first."""
    top, bottom, left, right = box
    ends = (top, bottom), (left, right)
    y, x = torch.meshgrid(*(torch.arange(*k, dtype=like.dtype, device=like.device) for k in ends), indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], -1)


def pixels_of(like: Tensor) -> Tensor:
    """The coordinates (h w, 2) of the pixels of (..., h, w), row by row, x first."""
    return cells((0, like.shape[-2], 0, like.shape[-1]), like)


def distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _patches(box: Box, radius: float) -> list[Box]:
    """The box, halved until no cell is farther than the radius from the centre of its part."""
    top, bottom, left, right = box
    tall, wide = bottom - top, right - left
    if math.hypot(tall - 1, wide - 1) <= 2 * radius or tall * wide == 1:
        return [box]
    y, x = (top + bottom) // 2, (left + right) // 2
    across, down = [(top, bottom, left, x), (top, bottom, x, right)], [(top, y, left, right), (y, bottom, left, right)]
    return [patch for half in (down if tall > wide else across) for patch in _patches(half, radius)]


def _log_product(s: Tensor, kernel: Tensor) -> Tensor:
    """log(exp(s) @ kernel), without overflow."""
    top = s.amax(-1, keepdim=True).clamp(min=torch.finfo(s.dtype).min)
    return ((s - top).exp_() @ kernel).log_().add_(top)


def _by_axes(s: Tensor, width: int, across: Callable, down: Callable) -> Tensor:
    """One sum of s (n, rows x width) over the columns, then one over the rows."""
    n, s = len(s), s.unflatten(1, (-1, width))
    s = across(s.flatten(0, 1)).unflatten(0, (n, s.shape[1])).mT
    return down(s.flatten(0, 1)).unflatten(0, (n, s.shape[1])).mT.flatten(1)
