"""The function Φ(s)(x) = log Σ_y exp(s(y) - λ |x - y|^p) for all cells x of a grid, and where each method is exact."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.fft import fft, ifft, irfft, rfft, rfft2

Phi = Callable[[Tensor], tuple[Tensor, Tensor]]  # from s (k, h, w) to Φ(s) and a mask of exact cells
RANGE = 25.0  # e^-25 is 6e4 times the rounding error of an FFT
AT_ONCE = 2**22  # numbers in memory at a time


def softmin(name: str, like: Tensor, lam: Tensor, p: int, moment: bool = False) -> Phi:
    """The function Φ for maps (k, h, w), λ = 1/ε; `moment`: Φ_C, with each term of the sum multiplied by C."""
    h, w = like.shape[-2:]
    if name in ("fft", "tilted"):
        return _by_fft(h, w, lam, name == "tilted", moment)
    if name == "separable":
        return _by_axes(h, w, lam, moment)
    return (_by_matrix if name == "dense" else by_definition)(pixels_of(like), lam, p, moment)


def by_definition(pixels: Tensor, lam: Tensor, p: int, moment: bool, at: Tensor | None = None) -> Phi:
    """The definition: log Σ_y exp(s(y) - λ |x - y|^p), for some x at a time; with `at` only for those x,
    (k, len(at)).
    """

    def phi(s: Tensor) -> tuple[Tensor, Tensor]:
        parts = []
        for x in (pixels if at is None else at).split(max(1, AT_ONCE // len(pixels))):
            cost = distances(x, pixels) ** p
            kernel = cost.log() - lam * cost if moment else -lam * cost
            parts.append(torch.stack([torch.logsumexp(row + kernel, -1) for row in s.flatten(1)]))
        out = torch.cat(parts, -1)
        out = out.view_as(s) if at is None else out
        return out, torch.ones_like(out, dtype=torch.bool)

    return phi


def _by_matrix(pixels: Tensor, lam: Tensor, p: int, moment: bool) -> Phi:
    cost = distances(pixels, pixels) ** p
    kernel = torch.exp(-lam * cost) * (cost if moment else 1)

    def phi(s: Tensor) -> tuple[Tensor, Tensor]:
        top = s.amax((-2, -1), keepdim=True)
        out = ((s - top).exp().flatten(1) @ kernel).view_as(s).log() + top
        return out, torch.ones_like(out, dtype=torch.bool)

    return phi


def _by_axes(h: int, w: int, lam: Tensor, moment: bool) -> Phi:
    """Sum along x, then along y: |x - y|² is a sum over the axes, so the kernel is a product."""
    rows, columns = (torch.arange(k, dtype=lam.dtype, device=lam.device) for k in (h, w))
    dy, dx = ((k[:, None] - k) ** 2 for k in (rows, columns))

    def along(s: Tensor, down: Tensor, across: Tensor) -> Tensor:
        s = torch.logsumexp(s[..., :, None, :] + across, -1)
        return torch.logsumexp(s[..., None, :, :] + down[..., None], -2)

    def phi(s: Tensor) -> tuple[Tensor, Tensor]:
        if moment:
            parts = along(s, dy.log() - lam * dy, -lam * dx), along(s, -lam * dy, dx.log() - lam * dx)
            out = torch.logaddexp(*parts)
        else:
            out = along(s, -lam * dy, -lam * dx)
        return out, torch.ones_like(out, dtype=torch.bool)

    return phi


def _by_fft(h: int, w: int, lam: Tensor, tilted: bool, moment: bool) -> Phi:
    """A convolution, zero-padded to 2h x 2w, because |x - y| depends on x - y only.

    Tilted by a slope t, e^(t·x) Σ_y e^s(y) K(x - y) = Σ_y e^(s(y) + t·y) K(x - y) e^(t·(x - y)): again a convolution,
    whose largest values are elsewhere. With |t| = λ the kernel decreases behind x, but not ahead of it.
    """
    rows, columns = (torch.arange(k, dtype=lam.dtype, device=lam.device)[:, None] for k in (h, w))
    dy, dx = ((k + m) % (2 * m) - m for k, m in ((torch.arange(2 * h), h), (torch.arange(2 * w), w)))
    dy, dx = dy.to(lam)[:, None], dx.to(lam)
    r = torch.hypot(dy, dx)
    tilts = [(0.0, 0.0)] + [(a, b) for a in (-1, 1) for b in (-1, 1)] * tilted
    slopes = [(lam * a / math.sqrt(2), lam * b / math.sqrt(2)) for a, b in tilts]
    spectra = [rfft2(torch.exp(-lam * r + a * dy + b * dx) * (r if moment else 1)) for a, b in slopes]

    def convolve(s: Tensor, spectrum: Tensor) -> Tensor:
        # rfft2 and irfft2, without the rows that are padding or will be cropped.
        image = ifft(fft(rfft(s, 2 * w), 2 * h, -2) * spectrum, dim=-2)[..., :h, :]
        return irfft(image, 2 * w)[..., :w]

    def few(s: Tensor) -> tuple[Tensor, Tensor]:
        best, out = s.new_zeros(()), s.new_zeros(())
        for (a, b), spectrum in zip(slopes, spectra, strict=True):
            ramp = a * rows + b * columns.mT
            top = (s + ramp).amax((-2, -1), keepdim=True)
            image = convolve((s + ramp - top).exp(), spectrum)
            peak = image.amax((-2, -1), keepdim=True).clamp(min=torch.finfo(image.dtype).tiny)
            # Values below the machine's ε are rounding errors, of either sign.
            share = (image / peak).clamp(min=torch.finfo(image.dtype).eps)
            there = share.log() + peak.log() + top - ramp
            best, out = share.maximum(best), there.where(share > best, out)
        return out, best >= math.exp(-RANGE)

    def phi(s: Tensor) -> tuple[Tensor, Tensor]:
        if not len(s):
            return s, s == 0  # an FFT of an empty tensor is an error
        at_once = 8 if s.device.type == "cpu" else len(s)  # 8 maps fit in the processor's cache
        out, exact = zip(*map(few, s.split(at_once)), strict=True)
        return torch.cat(out), torch.cat(exact)

    return phi


def pixels_of(like: Tensor) -> Tensor:
    """The coordinates (h w, 2) of the pixels of (..., h, w), row by row, x first."""
    y, x = torch.meshgrid(*(torch.arange(k, dtype=like.dtype, device=like.device) for k in like.shape[-2:]),
                          indexing="ij")  # fmt: skip
    return torch.stack([x.flatten(), y.flatten()], -1)


def distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
