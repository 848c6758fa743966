"""Landmarks encoded as heatmaps and decoded again, and the error of the grid between the two.

A heatmap of stride s has one cell for s x s pixels. Its cell (i, j), row and column, lies over the image point x = s j
+ (s - 1)/2, y = s i + (s - 1)/2 (`alignment="centre"`: the centre of the pixels that it covers, so that flipping the
image flips the map) or x = s j, y = s i ("corner", the papers' u = x/s). σ, windows and blurs are in cells, points in
pixels of the image.

`encode` samples a Gaussian around each landmark; `decode` finds the landmark in a map. Rounding a landmark when
encoding loses information that no decoder can recover: on average 0.38 cells for "round", 0.77 for "floor".

The local soft-argmax is the mean under softmax(τ h) in a window. Near its peak, of height H, a map H exp(-r²/2σ²)
becomes a Gaussian of width s = σ/√(τ H), `softmax_width`. For a landmark at distance t from the centre of its cell, the
mean has the error

    -4π s² exp(-2π² s²) sin(2πt)       of sampling (`aliasing`), and, with φ, Φ of the normal distribution,
    -s (φ(a) - φ(b)) / (Φ(a) - Φ(-b))  of truncation to a window of width d, with a = (d/2 - t)/s, b = (d/2 + t)/s
                                       (`truncation`).

The first dominates for a sharp softmax, the second for a wide one; `best_tau` is in between. All four have the argument
`peak` of `encode`: for a density, H = 1/(2πσ²), the same τ has another effect.

A missing landmark is NaN in points and a zero map in maps. The mask is `~points.isnan().any(-1)` before, and
`maps.flatten(-2).any(-1)` after encoding.
"""

from __future__ import annotations

import math
from numbers import Integral

import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Float, Int

ROUNDINGS = ("none", "round", "floor")
PEAKS = ("one", "density")
ALIGNMENTS = ("centre", "corner")
METHODS = ("argmax", "quarter", "taylor", "soft", "local_soft", "barycentre")


def to_cells(pixels: Float[Tensor, "*shape"], stride: float = 1, alignment: str = "centre") -> Float[Tensor, "*shape"]:
    """Convert image coordinates to heatmap cells: u = (x - (s - 1)/2)/s, or u = x/s for "corner".

    Args:
        pixels: coordinates, px; x and y are converted alike.
        stride: s, px a cell.
        alignment: "centre" or "corner", see the module.

    Returns:
        The coordinates in cells, of the same shape.

    Raises:
        TypeError, ValueError: pixels that are no tensor of single or double precision, stride not above 0, another
            alignment.

    Paper C, section 3.1, for "corner".

    >>> to_cells(torch.tensor([1.5, 4.0]), stride=4), to_cells(torch.tensor([1.5, 4.0]), 4, "corner")
    (tensor([0.0000, 0.6250]), tensor([0.3750, 1.0000]))
    """
    _checks.floats(pixels, "pixels")
    return (pixels - _origin(stride, alignment)) / stride


def to_pixels(cells: Float[Tensor, "*shape"], stride: float = 1, alignment: str = "centre") -> Float[Tensor, "*shape"]:
    """Convert heatmap cells to image coordinates, the inverse of `to_cells`: x = s u + (s - 1)/2, or x = s u.

    Args:
        cells: coordinates in cells; x and y are converted alike.
        stride: s, px a cell.
        alignment: "centre" or "corner", see the module.

    Returns:
        The coordinates in px, of the same shape.

    Raises:
        TypeError, ValueError: as `to_cells`.

    >>> to_pixels(torch.tensor([0.0, 1.0]), stride=4)
    tensor([1.5000, 5.5000])
    """
    _checks.floats(cells, "cells")
    origin = _origin(stride, alignment)
    return stride * cells + origin


def quantise(cells: Float[Tensor, "*shape"], rounding: str = "round") -> Float[Tensor, "*shape"]:
    """Round places to whole cells, as an encoder does that draws a Gaussian around a cell; halves are rounded up.

    Args:
        cells: coordinates in cells.
        rounding: "round" to the nearest cell, "floor" to the one below, "none" to keep them.

    Returns:
        The coordinates in cells, of the same shape.

    Raises:
        TypeError, ValueError: cells that are no tensor of single or double precision, another rounding.

    Paper C, equation 2.

    >>> quantise(torch.tensor([1.4, 1.5, 2.5, -0.5])), quantise(torch.tensor([1.4, -0.5]), "floor")
    (tensor([1., 2., 3., 0.]), tensor([ 1., -1.]))
    """
    _checks.floats(cells, "cells")
    _checks.one_of(rounding, "rounding", ROUNDINGS)
    if rounding == "none":
        return cells
    return torch.floor(cells + 0.5) if rounding == "round" else torch.floor(cells)


@_checks.full_precision
def encode(
    points: Float[Tensor, "*batch n 2"],
    size: tuple[int, int],
    sigma: float,
    rounding: str = "none",
    peak: str = "one",
    stride: float = 1,
    alignment: str = "centre",
) -> Float[Tensor, "*batch n h w"]:
    """Heatmaps with a Gaussian around each landmark, h_ij = H exp(-((j - u)² + (i - v)²) / 2σ²), (u, v) in cells.

    Differentiable in the points if they are not rounded.

    Args:
        points: (..., n, 2), px; NaN where missing.
        size: (h, w) of a map, cells.
        sigma: σ, the width of the Gaussian, cells.
        rounding: of (u, v): "none" (C, equation 3), or "round" or "floor" to whole cells (equation 2).
        peak: "one", H = 1, or "density", H = 1/(2πσ²) (equation 1).
        stride: px a cell.
        alignment: "centre" or "corner", see the module.

    Returns:
        (..., n, h, w); zeros for a missing landmark. For a landmark outside, the part of the Gaussian inside the map.

    Raises:
        ValueError: a size below 1, sigma or stride not above 0, and unknown names.

    Paper C, sections 3.1 and 3.2.

    >>> encode(torch.tensor([[1.0, 0.5]]), (2, 3), sigma=1.0)
    tensor([[[0.5353, 0.8825, 0.5353],
             [0.5353, 0.8825, 0.5353]]])
    """
    _checks.points(points, "points", nan=True)
    _checks.floats(points, "points")
    _checks.positive(sigma, "sigma")
    if not isinstance(size, tuple) or len(size) != 2 or not all(isinstance(k, Integral) and k > 0 for k in size):
        raise ValueError(f"size: needed a tuple (h, w) of whole numbers above 0, got {_checks.said(size)}")
    missing = points.isnan().any(-1, keepdim=True)
    # exp(NaN) times 0 is NaN, in the gradient too: missing landmarks are set to 0 until their map is zeroed.
    u = quantise(to_cells(points.masked_fill(missing, 0.0), stride, alignment), rounding)
    # The exponential of a sum is a product: h + w exponentials for a map, not h w.
    along_y, along_x = (_gaussian(u[..., k, None], size[i], sigma) for k, i in ((1, 0), (0, 1)))
    along_y = (height(sigma, peak) * along_y).masked_fill(missing, 0.0)
    return along_y[..., :, None] * along_x[..., None, :]


def encode_by_loops(point: Float[Tensor, " 2"], size: tuple[int, int], sigma: float) -> Float[Tensor, "h w"]:
    """Draw the map of one landmark cell by cell: the version to read of `encode`, without rounding, H = 1.

    Args:
        point: (u, v), in cells.
        size: (h, w) of the map.
        sigma: width of the Gaussian, cells.

    Returns:
        (h, w), h_ij = exp(-((j - u)² + (i - v)²) / 2σ²).

    Paper C, equation 1 around the place of equation 3.

    >>> encode_by_loops(torch.tensor([1.0, 0.5]), (2, 3), sigma=1.0)
    tensor([[0.5353, 0.8825, 0.5353],
            [0.5353, 0.8825, 0.5353]])
    """
    (u, v), h = point.tolist(), point.new_zeros(size)
    for i in range(size[0]):
        for j in range(size[1]):
            h[i, j] = math.exp(-((j - u) ** 2 + (i - v) ** 2) / (2 * sigma**2))
    return h


def height(sigma: float, peak: str = "one") -> float:
    """The height H of the peak of a map: 1, or 1/(2πσ²) for a density.

    Args:
        sigma: σ, the width of the Gaussian, cells.
        peak: "one" or "density".

    >>> round(height(2.0, "density"), 4)
    0.0398
    """
    _checks.positive(sigma, "sigma")
    _checks.one_of(peak, "peak", PEAKS)
    return 1.0 if peak == "one" else 1 / (2 * math.pi * sigma**2)


@_checks.full_precision
def decode(
    maps: Float[Tensor, "*batch h w"],
    method: str = "local_soft",
    window: int = 5,
    tau: float = 10.0,
    stride: float = 1,
    alignment: str = "centre",
    blur: float = 0.0,
) -> Float[Tensor, "*batch 2"]:
    """The landmark in each map.

    | method | the point, in cells | exact for a clean map without rounding |
    |---|---|---|
    | `"argmax"` | the largest value | no: within half a cell |
    | `"quarter"` | a quarter of a cell from there to the larger neighbour, in x and in y | no |
    | `"taylor"` | maximum of the parabola through log h around the largest value (DARK) | yes |
    | `"soft"` | mean under softmax(τ h), whole map | no |
    | `"local_soft"` | mean under softmax(τ h), window around the largest value: equations 4-5 | see `aliasing` |
    | `"barycentre"` | mean under h/Σh, whole map | if the map contains all of it |

    At the border, cells of the window outside the map are ignored and the weights are normalised again; "quarter" does
    not move across the border; the parabola is fitted one cell further inside. If one of its values is not above 0, or
    its maximum is not within 2 cells, "taylor" returns the largest value. Differentiable except for "argmax" and
    "quarter".

    Args:
        maps: (..., h, w), of single or double precision.
        method: a name of the table.
        window: side of the window, odd, cells.
        tau: τ, the factor on the map's values; its effect depends on their height.
        stride: px a cell.
        alignment: "centre" or "corner", see the module.
        blur: standard deviation, cells, of a Gaussian that smooths the map before "taylor"; computed at the peak only.

    Returns:
        (..., 2), px; NaN for a map of zeros.

    Raises:
        ValueError: a map with NaN or infinity, an even window, tau or stride not above 0, a negative value
            (barycentre: use maps.clamp(min=0)), maps less than 3 cells high or wide (quarter, taylor), unknown names.

    Paper C, section 3.3; DARK: Zhang et al., CVPR 2020.

    >>> maps = encode(torch.tensor([[9.3, 7.8]]), (16, 20), sigma=2.0)
    >>> for method in ("argmax", "quarter", "taylor", "local_soft"):
    ...     print(method, [round(x, 3) for x in decode(maps, method)[0].tolist()])
    argmax [9.0, 8.0]
    quarter [9.25, 7.75]
    taylor [9.3, 7.8]
    local_soft [9.292, 7.806]
    """
    _maps(maps, method)
    _checks.positive(tau, "tau")
    _odd(window)
    _checks.number(blur, "blur", 0)
    _origin(stride, alignment)  # refuse what is wrong before the work
    value, peak = _largest(maps)
    if method in ("argmax", "quarter"):
        cell = peak if method == "argmax" else peak + _quarter(maps.detach(), peak)
    elif method == "taylor":
        cell = _taylor(maps, peak, blur)
    elif method == "local_soft":
        cell = _local_soft(maps, peak, window, tau)
    else:
        cell = _soft(maps, tau) if method == "soft" else _barycentre(maps)
    cell = cell.to(maps.dtype).masked_fill(_empty(maps, value)[..., None], torch.nan)
    return to_pixels(cell, stride, alignment)


def decode_by_loops(h: Float[Tensor, "h w"], d: int = 5, tau: float = 10.0) -> Float[Tensor, " 2"]:
    """Find the landmark of one map cell by cell: the version to read of `decode` by the local soft-argmax.

    Args:
        h: the map, (h, w).
        d: side of the window, odd, cells.
        tau: τ, by which the map is multiplied before the softmax.

    Returns:
        (x, y), in cells: the largest value's cell ŷ, and Δ = Σ_mn w_mn (m, n) over the window.

    Paper C, equations 4 and 5.

    >>> decode_by_loops(encode_by_loops(torch.tensor([9.3, 7.8]), (16, 20), sigma=2.0)).round(decimals=3)
    tensor([9.2920, 7.8060])
    """
    i, j = divmod(h.argmax().item(), h.shape[1])
    total = x = y = 0.0
    for m in range(-(d // 2), d // 2 + 1):
        for n in range(-(d // 2), d // 2 + 1):
            if 0 <= i + m < h.shape[0] and 0 <= j + n < h.shape[1]:
                w = math.exp(tau * (h[i + m, j + n] - h[i, j]))  # any constant cancels; with this one none is too large
                total, x, y = total + w, x + w * n, y + w * m
    return h.new_tensor([j + x / total, i + y / total])


@_checks.full_precision
def aliasing(t: Float[Tensor, "*shape"], s: float) -> Float[Tensor, "*shape"]:
    """The error of the mean of a sampled Gaussian: -4π s² exp(-2π² s²) sin(2πt), to first order in the exponential.

    The sum over cells is a series over frequencies (Poisson); this is its first term. With s = σ it is the error of the
    barycentre.

    Args:
        t: (...), position of the Gaussian relative to the centre of its cell, cells.
        s: its standard deviation, cells.

    Returns:
        (...), the error, cells; it always points to the nearest centre.

    Raises:
        ValueError: s not above 0.

    Paper C, section 3.2: "some aliasing due to the sampling process".

    >>> [round(b, 4) for b in aliasing(torch.tensor([0.25, -0.25]), 0.5).tolist()]
    [-0.0226, 0.0226]
    """
    _checks.floats(t, "t")
    _checks.positive(s, "s")
    return -4 * math.pi * s**2 * math.exp(-2 * math.pi**2 * s**2) * torch.sin(2 * math.pi * t)


@_checks.full_precision
def truncation(t: Float[Tensor, "*shape"], s: float, window: int = 5) -> Float[Tensor, "*shape"]:
    """The error of the mean of a Gaussian that is truncated to [-d/2, d/2] around the centre of a cell.

    It is -s (φ(a) - φ(b)) / (Φ(a) - Φ(-b)), with a = (d/2 - t)/s and b = (d/2 + t)/s.

    Args:
        t: (...), position of the Gaussian relative to the centre of its cell, cells.
        s: its standard deviation, cells.
        window: d, odd, cells.

    Returns:
        (...), the error, cells; it, too, points to the centre.

    Raises:
        ValueError: s not above 0, or an even window.

    Paper C, sections 3.3 and 4.3.

    >>> [round(b, 4) for b in truncation(torch.tensor([0.25, -0.25]), 1.0).tolist()]
    [-0.023, 0.023]
    """
    _checks.floats(t, "t")
    _checks.positive(s, "s")
    _odd(window)
    a, b = (window / 2 - t) / s, (window / 2 + t) / s
    phi_a, phi_b = (torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi) for x in (a, b))
    return -s * (phi_a - phi_b) / (torch.special.ndtr(a) - torch.special.ndtr(-b))


def softmax_width(sigma: float, tau: float, peak: str = "one") -> float:
    """The width s = σ/√(τ H), cells, of softmax(τ h) at the peak of a map of `encode`.

    It is exact to first order: since τ(H exp(-q) - H) = -τ H q + ..., the softmax has heavier tails than a Gaussian,
    and is wider by a factor of about 1 + 1/(τ H).

    Args:
        sigma: σ, the width of the map, cells.
        tau: τ, the factor on the map's values.
        peak: as in `encode`.

    Raises:
        ValueError: sigma or tau not above 0.

    Paper C, equation 5.

    >>> round(softmax_width(2.0, 10.0), 4), round(softmax_width(2.0, 10.0, "density"), 4)
    (0.6325, 3.1707)
    """
    _checks.positive(tau, "tau")
    return sigma / math.sqrt(tau * height(sigma, peak))


@_checks.full_precision
def best_tau(sigma: float, window: int = 5, peak: str = "one") -> float:
    """The τ that minimises the error of the local soft-argmax on a clean map.

    The error is the root mean square over all positions of the landmark within a cell, without noise.

    Args:
        sigma: σ, the width of the map, cells.
        window: side of the window, odd, cells.
        peak: as in `encode`.

    Returns:
        τ, accurate to one per cent.

    Raises:
        ValueError: sigma not above 0, or an even window.

    Paper C, section 5.1: "τ was set to 10".

    >>> round(best_tau(2.0)), round(best_tau(2.0, peak="density"))
    (11, 280)
    """
    _odd(window)
    H = height(sigma, peak)
    t = (torch.arange(8, dtype=torch.float64) + 0.5) / 16  # half a cell: the other half is its mirror image
    points = window // 2 + torch.cartesian_prod(t, t)
    maps = encode(points, (window, window), sigma)

    def cost(log_tau: Tensor) -> float:
        return (decode(maps, "local_soft", window, log_tau.exp().item()) - points).square().mean().item()

    low, high = math.log(0.1), math.log(1e4)
    for _ in range(3):  # 25 trials; then 25 between the best one's neighbours; and again
        trials = torch.linspace(low, high, 25, dtype=torch.float64)
        k = min(range(25), key=lambda i: cost(trials[i]))
        low, high = trials[max(k - 1, 0)].item(), trials[min(k + 1, 24)].item()
    return math.exp((low + high) / 2) / H


def _gaussian(u: Tensor, cells: int, sigma: float) -> Tensor:
    """The values exp(-(k - u)²/2σ²) for the cells k = 0, 1, ..., along a new last axis."""
    k = torch.arange(cells, dtype=u.dtype, device=u.device)
    return torch.exp(-(k - u).square() / (2 * sigma**2))


def _origin(stride: float, alignment: str) -> float:
    """The image point beneath the centre of cell 0."""
    _checks.positive(stride, "stride")
    _checks.one_of(alignment, "alignment", ALIGNMENTS)
    return (stride - 1) / 2 if alignment == "centre" else 0.0


def _largest(maps: Tensor) -> tuple[Tensor, Int[Tensor, "*batch 2"]]:
    """The largest value (...,) of each map and its cell (..., 2), x first."""
    # Rows first: a maximum without its index is several times faster to compute, and NaN propagates to it.
    value, y = maps.detach().amax(-1).max(-1)
    if not maps.detach().sum().isfinite():  # one pass; the sum may also overflow, so check again
        _finite(maps.detach())
    row = maps.detach().gather(-2, y[..., None, None].expand(*y.shape, 1, maps.shape[-1]))
    return value, torch.stack([row[..., 0, :].argmax(-1), y], -1)


def _finite(maps: Tensor) -> None:
    bad = ~maps.isfinite()
    if bad.any():
        at = tuple(bad.nonzero()[0].tolist())
        got = f"{maps[at].item()} in map {at[:-2]}"
        raise ValueError(f"maps: needed finite values, got {got}; did training diverge?")


def _empty(maps: Tensor, value: Tensor) -> Tensor:
    """A mask of the maps that are all zeros."""
    empty = value == 0
    return empty & ~maps.flatten(-2).any(-1) if empty.any() else empty


def _window(maps: Tensor, peak: Tensor, d: int) -> tuple[Tensor, Tensor, Tensor]:
    """The d x d cells (..., d, d) around each peak, their columns and rows (..., d); shifted inside at the border."""
    lines = []
    for k, cells in enumerate(maps.shape[:-3:-1]):
        width = min(d, cells)
        start = (peak[..., k, None] - d // 2).clamp(0, cells - width)
        lines.append(start + torch.arange(width, device=maps.device))
    x, y = lines
    place = maps.shape[-1] * y[..., :, None] + x[..., None, :]
    return maps.flatten(-2).gather(-1, place.flatten(-2)).reshape(place.shape), x, y


def _mean(weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The mean position (..., 2) of columns x and rows y under weights (..., h, w); 0 without weight."""
    down, across = weight.sum(-2), weight.sum(-1)
    total = across.sum(-1)
    moments = torch.stack([(down * x).sum(-1), (across * y).sum(-1)], -1)
    return moments / total.where(total > 0, 1.0)[..., None]


def _soft(maps: Tensor, tau: float) -> Tensor:
    x, y = (torch.arange(k, device=maps.device) for k in maps.shape[:-3:-1])
    return _mean((tau * maps).flatten(-2).softmax(-1).reshape(maps.shape), x, y)


def _barycentre(maps: Tensor) -> Tensor:
    if maps.amin() < 0:
        raise ValueError("maps: needed values >= 0 for their barycentre, got negative ones; use maps.clamp(min=0)")
    x, y = (torch.arange(k, device=maps.device) for k in maps.shape[:-3:-1])
    return _mean(maps, x, y)


def _local_soft(maps: Tensor, peak: Tensor, window: int, tau: float) -> Tensor:
    """The mean of the cells under softmax(τ h) in the window around the peak: C, equations 4 and 5."""
    _odd(window)
    h, x, y = _window(maps, peak, window)
    x, y = x - peak[..., :1], y - peak[..., 1:]
    # If the window was shifted inside, the cells that entered on the other side are not part of it.
    out = (x.abs() > window // 2)[..., None, :] | (y.abs() > window // 2)[..., :, None]
    logits = (tau * h).masked_fill(out, -torch.inf)
    return peak + _mean(logits.flatten(-2).softmax(-1).reshape(h.shape), x, y)


def _quarter(maps: Tensor, peak: Tensor) -> Tensor:
    """A quarter of the sign of the difference of the two neighbours; 0 at the border."""
    h, x, y = _window(maps, peak, 3)
    inside = torch.stack([x[..., 1], y[..., 1]], -1) == peak
    step = torch.stack([h[..., 1, 2] - h[..., 1, 0], h[..., 2, 1] - h[..., 0, 1]], -1).sign() / 4
    return step * inside.all(-1, keepdim=True)


def _taylor(maps: Tensor, peak: Tensor, blur: float) -> Tensor:
    """The maximum of f(c) + g·z + ½ z·A z, f = log h: z = -A⁻¹ g. For a Gaussian f is that parabola."""
    h, x, y = _window(maps, peak, 3) if blur == 0 else _smoothed(maps, peak, blur)
    positive = (h > 0).all(-1).all(-1)[..., None, None]
    f = h.where(positive, 1.0).log()
    g_x, g_y = (f[..., 1, 2] - f[..., 1, 0]) / 2, (f[..., 2, 1] - f[..., 0, 1]) / 2
    a_xx = f[..., 1, 2] - 2 * f[..., 1, 1] + f[..., 1, 0]
    a_yy = f[..., 2, 1] - 2 * f[..., 1, 1] + f[..., 0, 1]
    a_xy = (f[..., 2, 2] - f[..., 2, 0] - f[..., 0, 2] + f[..., 0, 0]) / 4
    det = a_xx * a_yy - a_xy.square()
    maximum = (a_xx < 0) & (det > 0)
    z = torch.stack([a_xy * g_y - a_yy * g_x, a_xy * g_x - a_xx * g_y], -1) / det.where(maximum, 1.0)[..., None]
    top = torch.stack([x[..., 1], y[..., 1]], -1) + z
    good = maximum[..., None] & ((top - peak).abs() <= 2).all(-1, keepdim=True)
    return top.where(good, peak.to(top.dtype))


def _smoothed(maps: Tensor, peak: Tensor, blur: float) -> tuple[Tensor, Tensor, Tensor]:
    """The 3 x 3 cells of the blurred map around the peak, by two small matrix products."""
    _checks.positive(blur, "blur")
    patch, x, y = _window(maps, peak, 2 * math.ceil(3 * blur) + 3)
    three, rows = [], []
    for k, line in enumerate((x, y)):
        c = peak[..., k, None].clamp(1, maps.shape[-1 - k] - 2) + torch.arange(-1, 2, device=maps.device)
        kernel = torch.exp(-(line[..., None, :] - c[..., :, None]).to(maps.dtype).square() / (2 * blur**2))
        rows.append(kernel / kernel.sum(-1, keepdim=True))  # near the border, over the cells inside the map
        three.append(c)
    return rows[1] @ patch @ rows[0].mT, *three


def _maps(maps: object, method: str) -> None:
    _checks.one_of(method, "method", METHODS)
    _checks.floats(maps, "maps")
    if maps.ndim < 2 or maps.numel() == 0:
        raise ValueError(f"maps: needed (..., h, w), at least one map; got shape {tuple(maps.shape)}")
    if method in ("quarter", "taylor") and min(maps.shape[-2:]) < 3:
        raise ValueError(f"maps: needed 3 cells or more each way for {method!r}, got {tuple(maps.shape[-2:])}")


def _odd(window: object) -> None:
    if not isinstance(window, Integral) or isinstance(window, bool) or window < 1 or window % 2 == 0:
        raise ValueError(
            f"window: needed an odd number of cells, to have a middle; got {_checks.said(window)}; use 3, 5 or 7"
        )
