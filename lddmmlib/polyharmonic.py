"""Polyharmonic splines, and images warped by them: smooth maps of the plane that move a few points to given positions.

    f(y) = Σ_k ω_k φ(|z - z_k|) + V z + b,   φ(r) = r, r² log r or r³ for order 1, 2 (thin plate) or 3   (D, equation 1)

with z = (y - m)/s, coordinates in which the controls have mean 0 and root mean square distance 1: in pixels the
equations for ω, V, b are too ill-conditioned. f does not depend on that unit, but smoothing and energy are defined in
it, so that they mean the same for a large face and for a small one.

`fit` chooses ω, V and b such that Σ_k ω_k = 0 and Σ_k ω_k z_kᵀ = 0 (the affine part is left to V and b), and

    f(y_k) = f_k, with smoothing λ > 0:  Σ_k |f(y_k) - f_k|² + λ E(f) is minimal, E(f) = ± Σ_jk ω_jᵀ ω_k φ(|z_j - z_k|).

E is the bending energy: 0 for affine f, positive for others. Under the side conditions φ = r is *negative* definite, so
order 1 takes the minus sign. At order 2, E is 1/8π of the integral of f_xx² + 2 f_xy² + f_yy² over the plane.

`warp` is an inverse map: f, fitted at the targets, gives for each pixel of the result its source in the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._engine.pairs import RadialSum, to_rows
from lddmmlib._shapes import Float

ORDERS = (1, 2, 3)
APART = 1e-6  # of the controls' extent: closer points coincide, flatter sets are a line


class Spline(NamedTuple):
    """The function f of equation 1 in double precision.

    Attributes:
        controls: z_k, (..., n, 2).
        omega: ω_k, (..., n, k).
        V: (..., k, 2).
        b: (..., k).
        energy: E(f), (...,).
        centre: m, (..., 2), in the unit of the points.
        scale: s, (...,), in the unit of the points.
        order: 1, 2 or 3.

    >>> fit(torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]), torch.zeros(3, 2)).energy.item()
    0.0
    """

    controls: Tensor
    omega: Tensor
    V: Tensor
    b: Tensor
    energy: Tensor
    centre: Tensor
    scale: Tensor
    order: int


@_checks.full_precision
def fit(
    controls: Float[Tensor, "*batch n 2"], values: Float[Tensor, "*batch n k"], order: int = 2, smoothing: float = 0.0
) -> Spline:
    """The spline f with f(y_k) = f_k; with smoothing, an approximation of these values.

    Args:
        controls: y_k, (..., n, 2), n >= 3, in any unit.
        values: f_k, (..., n, k), of the same batch, dtype and device.
        order: 1, 2 or 3.
        smoothing: λ, at least 0.

    Returns:
        A Spline, differentiable in controls and values.

    Raises:
        ValueError: controls on one line or, without smoothing, two at one position, or fewer than three; values
            that do not fit or are not finite, other orders, and a negative λ.

    Paper D, equation 1.

    >>> controls = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
    >>> spline = fit(controls, torch.tensor([[0.0], [0.0], [0.0], [1.0]]))
    >>> [round(x, 4) for x in evaluate(spline, torch.tensor([[4.0, 4.0], [2.0, 2.0]]))[:, 0].tolist()]
    [1.0, 0.25]
    """
    _fitting(controls, values, order, smoothing)
    y, f = controls.double(), values.double()
    centre = y.mean(-2, keepdim=True)
    extent = (y - centre).square().sum(-1).mean(-1).sqrt()[..., None, None]
    # f depends on the unit only through λ. So the unit is held constant, and only λ carries its gradient.
    centre, scale = centre.detach(), extent.detach()
    unit = (extent / scale) ** order
    z = (y - centre) / scale
    r2 = (z[..., :, None, :] - z[..., None, :, :]).square().sum(-1)
    _general(z.detach(), r2.detach(), smoothing)
    Phi, sign = phi(r2, order), -1 if order == 1 else 1
    one = torch.eye(z.shape[-2], dtype=z.dtype, device=z.device)
    mean = f.mean(-2, keepdim=True)  # subtracted, so that equal values give exactly no bending
    omega, affine = _solve(Phi + sign * smoothing * unit * one, z, f - mean)
    energy = sign * unit[..., 0, 0] * (omega * (Phi @ omega)).sum((-2, -1))
    return Spline(controls=z, omega=omega, V=affine[..., 1:, :].mT, b=affine[..., 0, :] + mean[..., 0, :],
                  energy=energy, centre=centre[..., 0, :], scale=scale[..., 0, 0], order=order)  # fmt: skip


@_checks.full_precision
def fit_by_solving(controls: Float[Tensor, "n 2"], values: Float[Tensor, "n k"], order: int = 2) -> Spline:
    """Solve the linear system of a spline as it stands: the version to read of `fit`, without smoothing.

    With Φ_jk = φ(|y_j - y_k|), P_k = (1, y_kᵀ) and A = (b, V)ᵀ, f(y_k) = f_k and the side conditions are

        Φ Ω + P A = F,   Pᵀ Ω = 0.

    Args:
        controls: y_k, (n, 2), three or more, not on one line. The unit stays theirs, so take one in which they are
            about 1 apart: in pixels of a face the system is too ill-conditioned.
        values: f_k, (n, k).
        order: 1, 2 or 3.

    Returns:
        A Spline, which `evaluate` takes.

    Paper D, equation 1.

    >>> controls = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
    >>> spline = fit_by_solving(controls, torch.tensor([[0.0], [0.0], [0.0], [1.0]]))
    >>> [round(x, 4) for x in evaluate(spline, torch.tensor([[4.0, 4.0], [2.0, 2.0]]))[:, 0].tolist()]
    [1.0, 0.25]
    """
    y, F, n = controls.double(), values.double(), len(controls)
    Phi = phi((y[:, None] - y).square().sum(-1), order)
    P = torch.cat([torch.ones_like(y[:, :1]), y], 1)
    system = torch.cat([torch.cat([Phi, P], 1), torch.cat([P.mT, y.new_zeros(3, 3)], 1)])
    Omega, A = torch.linalg.solve(system, torch.cat([F, F.new_zeros(3, F.shape[1])])).split([n, 3])
    energy = (-1 if order == 1 else 1) * (Omega * (Phi @ Omega)).sum()
    return Spline(controls=y, omega=Omega, V=A[1:].mT, b=A[0], energy=energy,
                  centre=y.new_zeros(2), scale=y.new_ones(()), order=order)  # fmt: skip


@_checks.full_precision
def evaluate(spline: Spline, points: Float[Tensor, "*batch m 2"]) -> Float[Tensor, "*batch m k"]:
    """The values f(y) of a spline at points, equation 1.

    Differentiable (once) in the points and in the data of `fit`. At a control, where order 1 has a cone, the gradient
    of that term is taken as 0. Single precision costs a few 1e-6 Σ_k |ω_k|: little for a face, much where close
    controls disagree, most of all at order 3; pass double-precision points there, or smooth.

    Args:
        spline: from `fit`.
        points: (..., m, 2), in the unit of its controls, on its batch and device.

    Returns:
        (..., m, k), in the precision of the points.

    Raises:
        ValueError: points that are not finite or do not fit.

    Paper D, equation 1.

    >>> controls = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    >>> evaluate(fit(controls, 3 * controls + 1), torch.tensor([[1.0, 5.0]]))  # affine stays affine
    tensor([[ 4., 16.]])
    """
    _checks.kind(spline, "spline", Spline)
    _checks.points(points, "points")
    if points.shape[:-2] != spline.omega.shape[:-2] or points.device != spline.omega.device:
        wanted = f"{tuple(spline.omega.shape[:-2])} on {spline.omega.device}, as of the spline"
        raise ValueError(f"points: needed batch axes {wanted}; got {tuple(points.shape[:-2])} on {points.device}")
    z = ((points.double() - spline.centre[..., None, :]) / spline.scale[..., None, None]).to(points.dtype)
    controls, omega, V, b = (x.to(points.dtype) for x in spline[:4])
    bump = (partial(f, order=spline.order) for f in (phi, slope))
    bent = RadialSum.apply(to_rows(z), to_rows(controls), to_rows(omega), *bump)
    return (bent + V @ z.mT + b[..., None]).mT


@_checks.full_precision
def evaluate_by_loops(spline: Spline, point: Float[Tensor, " 2"]) -> Float[Tensor, " k"]:
    """Sum the bumps of all controls at one point: the version to read of `evaluate`.

    Args:
        spline: of `fit`, without batch axes.
        point: (2,), in the unit of its controls.

    Returns:
        f(y) = Σ_k ω_k φ(|y - y_k|) + V y + b, (k,), in double precision.

    Paper D, equation 1.

    >>> controls = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    >>> evaluate_by_loops(fit(controls, 3 * controls + 1), torch.tensor([1.0, 5.0])).round(decimals=4)
    tensor([ 4., 16.], dtype=torch.float64)
    """
    y = (point.double() - spline.centre) / spline.scale
    f = spline.V @ y + spline.b
    for y_k, omega_k in zip(spline.controls, spline.omega, strict=True):
        f = f + omega_k * phi((y - y_k).square().sum(), spline.order)
    return f


@_checks.full_precision
def warp(
    image: Float[Tensor, "*batch c h w"],
    source: Float[Tensor, "*batch n 2"],
    target: Float[Tensor, "*batch n 2"],
    order: int = 2,
    smoothing: float = 0.0,
    step: int = 1,
) -> Float[Tensor, "*batch c h w"]:
    """Warp an image X such that the result shows at `target` what X has at `source`: X̂(y) = X(f(y)), f(target) =
    source.

    Between pixels X is interpolated bilinearly, outside it is extended by its nearest pixel. Differentiable (once) in
    image, source and target; at whole pixels, where bilinear X has a kink, with the derivative towards larger x and y.
    If source = target, the result equals the image exactly.

    Args:
        image: (..., c, h, w).
        source: (..., n, 2), px, pixel centres at integers; of the batch, dtype and device of the image.
        target: (..., n, 2), px.
        order: of the spline f(y) - y, see `fit`.
        smoothing: of the spline f(y) - y, see `fit`.
        step: distance, px, of the nodes at which f is evaluated; between nodes it is interpolated bilinearly. 1 is
            exact; `coarse_bound` bounds the error of larger steps.

    Returns:
        (..., c, h, w).

    Raises:
        ValueError: the errors of `fit`, an image that does not fit, and a step that is not an integer above 0.

    Paper D, equation 2.

    >>> image = torch.arange(16.0).reshape(1, 4, 4)
    >>> source = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    >>> warp(image, source, source - torch.tensor([1.0, 0.0]))  # one pixel to the left
    tensor([[[ 1.,  2.,  3.,  3.],
             [ 5.,  6.,  7.,  7.],
             [ 9., 10., 11., 11.],
             [13., 14., 15., 15.]]])
    """
    _warping(image, source, target, step)
    spline = fit(target, source - target, order, smoothing)
    x, y = (_nodes(size, step, image) for size in (image.shape[-1], image.shape[-2]))
    nodes = torch.cartesian_prod(y, x).flip(-1).expand(*target.shape[:-2], -1, 2)
    move = evaluate(spline, nodes).mT.unflatten(-1, (len(y), len(x)))
    if step > 1:
        base = move[..., :1, :1]  # hats sum to 1 up to rounding; a common move must be reproduced exactly
        move = base + _hats(y, image.shape[-2], step) @ (move - base) @ _hats(x, image.shape[-1], step).mT
    return _bilinear(image, move)


@_checks.full_precision
def warp_by_pixels(
    image: Float[Tensor, "c h w"], source: Float[Tensor, "n 2"], target: Float[Tensor, "n 2"], order: int = 2
) -> Float[Tensor, "c h w"]:
    """Ask for each pixel of the result where its colour is: the version to read of `warp`.

    Args:
        image: X, (c, h, w).
        source: (n, 2) px, the landmarks in the image.
        target: (n, 2) px, the places at which the result shows them.
        order: of the spline.

    Returns:
        X̂(y) = X(f(y)), (c, h, w), with f(target) = source; X is bilinear between pixels.

    Paper D, equation 2.

    >>> image = torch.arange(16.0).reshape(1, 4, 4)
    >>> source = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    >>> warp_by_pixels(image, source, source - torch.tensor([1.0, 0.0]))[0, 0]  # one pixel to the left
    tensor([1., 2., 3., 3.])
    """
    spline, warped = fit(target, source, order), torch.zeros_like(image)
    _, h, w = image.shape
    for i in range(h):
        for j in range(w):
            x, y = evaluate_by_loops(spline, target.new_tensor([j, i])).tolist()
            x, y = min(max(x, 0), w - 1), min(max(y, 0), h - 1)  # outside: the nearest pixel
            k, l = math.floor(y), math.floor(x)
            s, t = x - l, y - k
            right, below = min(l + 1, w - 1), min(k + 1, h - 1)
            upper = (1 - s) * image[:, k, l] + s * image[:, k, right]
            lower = (1 - s) * image[:, below, l] + s * image[:, below, right]
            warped[:, i, j] = (1 - t) * upper + t * lower
    return warped


@_checks.full_precision
def coarse_bound(spline: Spline, size: tuple[int, int], step: int) -> Float[Tensor, "*batch"]:
    """A bound on the change of f on an image by the `step` of `warp`: |f - I f| <= e/2 Σ_k |ω_k|, in the unit of the
    values.

    I f is bilinear between the nodes, and e bounds |φ - I φ| on a grid of width d = step/s where no control is farther
    from a node than R: d/√2 at order 1, d²/2 (log(2R/d) + 5/2) at order 2, 3/2 d² R at order 3. φ - I φ has one sign;
    so Σ ω_k = 0 gives the ½. (Along a line φ - I φ = -∫ G φ'' with a hat G of height d/4 at most and integral d²/8 at
    most. At order 2 take r² log(r/R) - 3/2 r² for φ: bilinear interpolation has the same error for every |y - y_k|².)

    Args:
        spline: from `fit`, to pixels.
        size: (h, w) of the image.
        step: px.

    Returns:
        (...,); in practice the error is far smaller.

    Raises:
        ValueError: a step that is not an integer above 0.

    >>> spline = fit(torch.tensor([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]]), torch.zeros(3, 2))
    >>> coarse_bound(spline, (16, 16), 4).item()  # nothing bends
    0.0
    """
    _checks.kind(spline, "spline", Spline)
    _checks.whole(step, "step")
    if not isinstance(size, Sequence) or isinstance(size, str) or len(size) != 2:
        raise ValueError(f"size: needed (h, w), two integers, got {_checks.said(size)}")
    for each in size:
        _checks.whole(each, "size")
    h, w = (((k - 2 + step) // step) * step for k in size)
    corners = spline.centre.new_tensor([[0, 0], [w, 0], [0, h], [w, h]]) - spline.centre[..., None, :]
    corners = corners / spline.scale[..., None, None]
    R = (corners[..., :, None, :] - spline.controls[..., None, :, :]).norm(dim=-1).amax((-2, -1))
    d = step / spline.scale
    e = (d / math.sqrt(2), d**2 / 2 * (torch.log(2 * R / d) + 2.5), 1.5 * d**2 * R)[spline.order - 1]
    return 0.0 * e if step == 1 else e / 2 * spline.omega.norm(dim=-1).sum(-1)


def phi(r2: Tensor, order: int) -> Tensor:
    """The radial function φ(r), from r²: r, r² log r or r³.

    At r = 0 the argument of the logarithm and the root is clamped, so that no factor of 0 is infinite, here or in the
    gradient.

    Args:
        r2: r², of any shape.
        order: 1, 2 or 3.

    >>> phi(torch.tensor([0.0, 4.0]), 3).tolist()
    [0.0, 8.0]
    """
    safe = r2.clamp(min=torch.finfo(r2.dtype).tiny)
    if order == 2:
        return r2 * safe.log() / 2
    return safe.sqrt() if order == 1 else r2 * safe.sqrt()


def slope(r2: Tensor, order: int) -> Tensor:
    """The quotient φ'(r)/r, the factor of y - y_k in the gradient: 1/r (0 at r = 0), 2 log r + 1, or 3 r.

    Args:
        r2: r², of any shape.
        order: 1, 2 or 3.

    >>> slope(torch.tensor([0.0, 4.0]), 3).tolist()
    [0.0, 6.0]
    """
    safe = r2.clamp(min=torch.finfo(r2.dtype).tiny)
    if order == 2:
        return safe.log() + 1
    return safe.rsqrt() * (r2 > 0) if order == 1 else 3 * r2.sqrt()


def _solve(A: Tensor, z: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
    """The solution ω and affine rows (b, Vᵀ) of A ω + P (b, Vᵀ) = f, Pᵀ ω = 0, where P = (1, z)."""
    P = torch.cat([torch.ones_like(z[..., :1]), z], -1)
    top = torch.cat([A, P], -1)
    low = torch.cat([P.mT, P.new_zeros(*P.shape[:-2], 3, 3)], -1)
    right = torch.cat([f, f.new_zeros(*f.shape[:-2], 3, f.shape[-1])], -2)
    return torch.linalg.solve(torch.cat([top, low], -2), right).split([z.shape[-2], 3], -2)


def _nodes(size: int, step: int, like: Tensor) -> Tensor:
    """The nodes 0, step, 2 step, ..., until every pixel 0, ..., size - 1 lies between two."""
    return torch.arange(0, size + step - 1, step, dtype=like.dtype, device=like.device)


def _hats(nodes: Tensor, size: int, step: int) -> Float[Tensor, "size nodes"]:
    """The weights of linear interpolation from nodes to pixels."""
    pixels = torch.arange(size, dtype=nodes.dtype, device=nodes.device)
    return (1 - (pixels[:, None] - nodes).abs() / step).clamp(min=0)


def _bilinear(image: Tensor, move: Float[Tensor, "*batch 2 h w"]) -> Tensor:
    """The image X(y + move(y)); computed in pixels throughout, so that a whole pixel remains one for every size."""
    h, w = image.shape[-2:]
    x = torch.arange(w, dtype=move.dtype, device=move.device) + move[..., 0, :, :]
    y = torch.arange(h, dtype=move.dtype, device=move.device)[:, None] + move[..., 1, :, :]
    (x0, x1, fx), (y0, y1, fy) = (_split(v, size) for v, size in ((x, w), (y, h)))
    flat = image.flatten(-2)

    def pixel(i: Tensor, j: Tensor) -> Tensor:
        place = (w * i + j).flatten(-2)[..., None, :].expand(*flat.shape[:-1], -1)
        return flat.gather(-1, place).unflatten(-1, (h, w))

    fx, fy = fx[..., None, :, :], fy[..., None, :, :]
    upper, lower = (torch.lerp(pixel(i, x0), pixel(i, x1), fx.expand_as(image)) for i in (y0, y1))
    return torch.lerp(upper, lower, fy.expand_as(image))


def _split(v: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels before and after v, and the fraction between them; v is clamped to the image."""
    v = v.clamp(0, size - 1)
    before = v.detach().floor()
    low = before.long()
    return low, (low + 1).clamp(max=size - 1), v - before


def _fitting(controls: Tensor, values: Tensor, order: object, smoothing: float) -> None:
    _checks.points(controls, "controls")
    _checks.floats(values, "values")
    if values.ndim < 2 or values.shape[:-1] != controls.shape[:-1] or values.shape[-1] == 0:
        wanted = f"{tuple(controls.shape[:-1])} rows, like the controls, of one number or more"
        raise ValueError(f"values: needed {wanted}; got shape {tuple(values.shape)}")
    _checks.same(controls=controls, values=values)
    _checks.finite(values, "values", "drop the missing points first")
    if controls.shape[-2] < 3:
        raise ValueError(f"controls: needed three or more, not on one line, got {controls.shape[-2]}")
    _checks.one_of(order, "order", ORDERS)
    _checks.number(smoothing, "smoothing", 0)


def _general(z: Tensor, r2: Tensor, smoothing: float) -> None:
    """Refuse controls z, of mean 0 and root mean square distance 1, that do not determine a spline."""
    # All at one position: 0/0. The smaller singular value is the extent across the line that fits best.
    if not z.isfinite().all() or (torch.linalg.svdvals(z)[..., 1] < APART * math.sqrt(z.shape[-2])).any():
        raise ValueError("controls: needed three or more that are not on one line, got a line; add points beside it")
    twice = (r2 < APART**2).triu(1)
    if smoothing == 0 and twice.any():
        *_, j, k = twice.nonzero()[0].tolist()
        raise ValueError(f"controls: needed distinct points, got {j} and {k} at one place; drop one, or smoothing > 0")


def _warping(image: object, source: Tensor, target: Tensor, step: object) -> None:
    _checks.floats(image, "image")
    _checks.alike(source=source, target=target)
    if source.shape != target.shape:
        raise ValueError(f"source, target: needed one shape, got {tuple(source.shape)} and {tuple(target.shape)}")
    if image.ndim < 3 or image.shape[:-3] != source.shape[:-2] or 0 in image.shape[-3:]:
        wanted = f"(..., c, h, w) with batch axes {tuple(source.shape[:-2])}, as of the points"
        raise ValueError(f"image: needed {wanted}; got shape {tuple(image.shape)}")
    _checks.same(source=source, image=image)
    _checks.whole(step, "step")
