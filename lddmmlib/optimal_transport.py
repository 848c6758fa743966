"""How far the mass of one heatmap must travel to become another: the loss of paper E.

Distances are in pixels of the map (cells), x along the width; every map is divided by its sum first. Equations of E:

| equation | here |
|---|---|
| (3) min ∫ |x - y| dπ over couplings, no ε | `w1`, as a flow; `w1_to_point`, where one map is a point |
| (4) min Σ |x - y| π(x, y) on the grid, entropic | `sinkhorn` |
| (5) GET_MAX, (6) GET_BC | `get_max`, `get_bc` |

Sinkhorn's iteration alternates f = -ε Φ(log v + g/ε) and g = -ε Φ(log u + f/ε), where Φ(s)(x) = log Σ_y exp(s(y) -
|x - y|^p / ε). Only Φ costs anything, and its ways differ in nothing but how:

| solver | Φ | exact where |
|---|---|---|
| `"log"` | as it is written: the reading version | always |
| `"dense"` | log of a matrix product, float64 | D ≤ 600 ε, D the largest cost on the grid |
| `"fft"` | log of a convolution, by float64 FFT | f and g vary by at most 25 ε where there is mass |
| `"tilted"` | the best of five such convolutions, four of them tilted | the same after some tilt |
| `"separable"` | along x, then along y, for p = 2 | always |

An FFT errs by the machine's ε times its largest value, so what lies e^-25 below is read with 5 digits and what lies
e^-36 below is noise. That is checked after the fact: pixels beyond e^-25 may carry a tenth of `tol`, no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.fft import fft, ifft, irfft, rfft, rfft2

from lddmmlib import _checks, heatmaps
from lddmmlib._shapes import Float

SOLVERS = ("auto", "log", "dense", "fft", "tilted", "separable")
RANGE = 25.0  # e^-25 is 6e4 times the rounding error of an FFT
DENSE_RANGE = 600.0  # e^-745 is the smallest double
DENSE_PIXELS = 2**13  # a matrix of 512 MB
AT_ONCE = 2**22  # numbers that "log" holds at a time
STEP, RELAX = 10.0, 1.8  # of the splitting: in mean flows; 1 would be no over-relaxation
Phi = Callable[[Tensor], tuple[Tensor, Tensor]]  # s (k, h, w) to Φ(s) and where it is exact


class Transport(NamedTuple):
    """What `sinkhorn` found. With π = u v exp((f + g - C)/ε): rows sum to u, columns to v within `residual`."""

    value: Tensor  # (...,) min ⟨C, π⟩ + ε KL(π | u ⊗ v) = ⟨f, u⟩ + ⟨g, v⟩; carries the gradient
    cost: Tensor  # (...,) ⟨C, π⟩
    f: Tensor  # (..., h, w) potential of u
    g: Tensor  # (..., h, w) potential of v
    n_iter: Tensor  # (...,)
    residual: Tensor  # (...,) Σ |marginal of π - v|, at most
    converged: Tensor  # (...,) residual ≤ tol
    solver: str  # "fft, dense" where some pairs went one way and some the other


class W1(NamedTuple):
    """What `w1` found: the true value of the flow problem lies in [value - gap, value]."""

    value: Tensor  # (...,) carries the gradient
    gap: Tensor  # (...,)
    converged: Tensor  # (...,) gap ≤ tol
    n_iter: int
    flow: Tensor  # (..., 2, h, w) mass that goes to the right and down
    potential: Tensor  # (..., h, w)


@_checks.full_precision
def sinkhorn(
    u: Float[Tensor, "*batch h w"],
    v: Float[Tensor, "*batch h w"],
    eps: float,
    p: int = 1,
    tol: float = 1e-3,
    max_iter: int = 1000,
    solver: str = "auto",
) -> Transport:
    """Entropic transport, min Σ |x - y|^p π(x, y) + ε KL(π | u ⊗ v) over the couplings π of u/Σu and v/Σv.

    u, v: (..., h, w), values >= 0 with some mass; pixels may be 0. eps: ε, in px (p = 1) or px² (p = 2). p: 1 or 2.
    tol: stop when the marginals of π are within it, in the sum of their absolute errors. solver: a name of the
    module's table; "auto": "separable" for p = 2, else "fft" and, for pairs that it cannot do, "tilted", then
    "dense" or "log". Works in float64, whatever comes in, and answers in the input's dtype.

    Returns a Transport. `value` is differentiable in u and v by the envelope theorem: the gradient is the potentials
    (their mean taken off, for the sum stays 1), never the unrolled iteration. Weighted by the mass, as a softmax will
    weight it, its relative error is some 4 times `residual` at most; at pixels of almost no mass it can be some per
    cent. Ask for a smaller tol where gradients must be finer. With KL ≥ 0, cost ≤ value at convergence; cost ≥ W1.
    Where a pair did not converge, `converged` says so: more iterations, or a larger ε.

    Raises ValueError for a map that is empty, negative or not finite, for two sizes, dtypes or devices, ε or tol not
    above 0, another p, a solver that is not for it, and for "fft" or "tilted" where they are not exact.
    Paper E, equation 4; Cuturi, NeurIPS 2013.

    >>> u = heatmaps.encode(torch.tensor([[5.0, 6.0]]), (16, 16), sigma=1.0)
    >>> v = heatmaps.encode(torch.tensor([[8.0, 10.0]]), (16, 16), sigma=1.0)
    >>> found = sinkhorn(u, v, eps=0.5)
    >>> found.solver, found.converged.item(), round(found.cost.item(), 1)
    ('fft', True, 5.1)
    """
    _pair(u, v)
    for name, x in (("eps", eps), ("tol", tol)):
        _checks.positive(x, name)
    _checks.whole(max_iter, "max_iter")
    eps = float(eps)  # a tensor without axes is a number, too
    _checks.one_of(p, "p", (1, 2))
    _checks.one_of(solver, "solver", SOLVERS)
    mu, nu = _normalised(u), _normalised(v)
    size = u.shape[-2:]
    tries = _route(size, eps, p) if solver == "auto" else [_allowed(solver, size, eps, p)]
    with torch.no_grad():
        solution, taken = _solve(mu.reshape(-1, *size), nu.reshape(-1, *size), eps, p, tol, max_iter, tries)
    f, g, cost, residual, n_iter = (x.reshape(u.shape[:-2] + x.shape[1:]) for x in solution)
    # f and g are constants here: differentiating this sum is the envelope theorem.
    value = (f * mu + g * nu).sum((-2, -1))
    real = [x.to(u.dtype) for x in (value, cost, f, g)]
    return Transport(*real, n_iter, residual.to(u.dtype), residual <= tol, taken)


@_checks.full_precision
def debiased(
    u: Float[Tensor, "*batch h w"], v: Float[Tensor, "*batch h w"], eps: float, p: int = 1, **options: float | str
) -> Float[Tensor, "*batch"]:
    """Sinkhorn divergence S(u, v) = OT(u, v) - OT(u, u)/2 - OT(v, v)/2: 0 for equal maps. options: of `sinkhorn`.

    For the squared cost it is exact for translations at any ε. For |x - y| it is not: the self terms fall short of the
    bias that the pair has, and over some pixels S lies farther from W1 than `cost` does.
    Raises what `sinkhorn` does.
    Feydy et al., AISTATS 2019.

    >>> u, v = (heatmaps.encode(torch.tensor([[x, 10.0]]), (20, 24), sigma=1.0) for x in (8.0, 13.0))
    >>> round(debiased(u, v, eps=2.0, p=2, tol=1e-6).item(), 3)  # the square of 5 px
    25.0
    """
    both = [sinkhorn(a, b, eps, p, **options).value for a, b in ((u, v), (u, u), (v, v))]
    return both[0] - (both[1] + both[2]) / 2


@_checks.full_precision
def w1(u: Float[Tensor, "*batch h w"], v: Float[Tensor, "*batch h w"], tol: float = 0.02, max_iter: int = 2000) -> W1:
    """W1 without ε: min Σ |m| over flows m with div m = u - v (Beckmann), dual to max ⟨φ, u - v⟩ over |∇φ| ≤ 1.

    Mass flows along edges between neighbours; |m| joins a pixel's edges to the right and below. Douglas-Rachford
    splitting: the flows of the right divergence are an affine space, onto which one Poisson equation, diagonal in the
    cosine basis, projects; Σ |m| shrinks pixel by pixel. Each projection is a flow (an upper bound), each φ divided by
    max |∇φ| a potential (a lower bound): their distance is the gap.

    u, v: as in `sinkhorn`. tol: px, on the gap. Returns a W1; value is differentiable in u and v, with gradient φ.
    The gap is that of the problem on edges. Against the distance between points the value is exact along an axis and
    along one diagonal, and up to 8 % too long along the other (right and down), less for smooth maps.
    Raises ValueError for maps that `sinkhorn` refuses, and tol or max_iter not above 0.
    Paper E, equation 3; Beckmann 1952; Li et al., J. Sci. Comput. 2018.

    >>> u, v = (heatmaps.encode(torch.tensor([[x, 6.0]]), (12, 16), sigma=1.0) for x in (5.0, 9.0))
    >>> found = w1(u, v)
    >>> round(found.value.item(), 1), found.converged.item()
    (4.0, True)
    """
    _pair(u, v)
    _checks.positive(tol, "tol")
    _checks.whole(max_iter, "max_iter")
    excess = _normalised(u) - _normalised(v)
    with torch.no_grad():
        flow, phi, primal, dual, n_iter = _beckmann(excess.detach(), tol, max_iter)
    # The value of the flow, with the gradient of the dual.
    value = primal + (phi * (excess - excess.detach())).sum((-2, -1))
    gap = primal - dual
    return W1(value.to(u.dtype), gap.to(u.dtype), gap <= tol, n_iter, flow.to(u.dtype), phi.to(u.dtype))


@_checks.full_precision
def w1_to_point(u: Float[Tensor, "*batch h w"], y: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
    """W1 from a map to a point: all mass must go there, so W1(u, δ_y) = Σ_x u(x) |x - y| / Σu.

    u: (..., h, w), as in `sinkhorn`. y: (..., 2) px, (x, y), anywhere. Differentiable in both.
    Raises ValueError for a map that `sinkhorn` refuses, points of another batch, dtype or device, or not finite.
    Paper E, equation 3, for a target of one pixel or less.

    >>> u = torch.zeros(8, 8)
    >>> u[2, 1] = u[2, 7] = 1.0
    >>> w1_to_point(u, torch.tensor([4.0, 6.0]))
    tensor(5.)
    """
    _map(u, "u")
    if not isinstance(y, Tensor) or (y.dtype, y.device) != (u.dtype, u.device) or y.shape != (*u.shape[:-2], 2):
        raise ValueError(
            f"y: needed points {(*u.shape[:-2], 2)} of {u.dtype} on {u.device}, got {_checks.said(y)}; y.to(u)?"
        )
    _checks.finite(y, "y", "leave missing landmarks out")
    h, w = u.shape[-2:]
    rows, columns = (torch.arange(k, dtype=u.dtype, device=u.device) for k in (h, w))
    x = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)
    distance = torch.linalg.vector_norm(x - y[..., None, None, :], dim=-1)
    return (u * distance).sum((-2, -1)) / u.sum((-2, -1))


@_checks.full_precision
def get_max(maps: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch 2"]:
    """GET_MAX, the place of the largest value, argmax_p H(p): `heatmaps.decode` by "argmax". (..., 2) px.

    The paper refines it by interpolation between the neighbours; `heatmaps.decode` has such refinements.
    Paper E, equation 5.

    >>> get_max(torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 2.0]]))
    tensor([2., 1.])
    """
    return heatmaps.decode(maps, "argmax")


@_checks.full_precision
def get_bc(maps: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch 2"]:
    """GET_BC, the barycentre Σ_q q H(q) of the map over its sum: `heatmaps.decode` by "barycentre". (..., 2) px.

    Paper E, equation 6.

    >>> get_bc(torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 2.0]]))
    tensor([1.5000, 0.7500])
    """
    return heatmaps.decode(maps, "barycentre")


# --- Sinkhorn ------------------------------------------------------------------------


def _route(size: tuple[int, int], eps: float, p: int) -> list[str]:
    """What "auto" tries, in this order."""
    if p == 2:
        return ["separable"]
    fits = _range(size, eps, p) <= DENSE_RANGE and math.prod(size) <= DENSE_PIXELS
    return ["fft", "tilted", "dense" if fits else "log"]


def _range(size: tuple[int, int], eps: float, p: int) -> float:
    """D/ε, with D the largest cost on the grid."""
    return math.hypot(size[0] - 1, size[1] - 1) ** p / eps


def _allowed(solver: str, size: tuple[int, int], eps: float, p: int) -> str:
    if (solver == "separable") != (p == 2) and solver != "log":
        raise ValueError(f"solver: needed 'separable' or 'log' for p = 2, another for p = 1; got {solver!r}, p = {p}")
    if solver == "dense" and _range(size, eps, p) > DENSE_RANGE:
        need = f"eps >= {_range(size, eps, p) * eps / DENSE_RANGE:.3g} on this grid"
        raise ValueError(f"solver: 'dense' needed {need}, got {eps}; use 'log' or 'auto'")
    return solver


def _solve(u: Tensor, v: Tensor, eps: float, p: int, tol: float, max_iter: int, tries: list[str]) -> tuple:
    """f, g, cost, residual and n_iter of each pair, by the first solver in `tries` that is exact for it."""
    left, found, taken = torch.arange(len(u), device=u.device), None, []
    lam = u.new_tensor(1 / eps)
    for name in tries:
        phi, last = _phi(name, u, lam, p), name == tries[-1]
        f, g, residual, n_iter = _iterate(phi, u[left], v[left], eps, tol, max_iter, patient=last)
        always = name in ("log", "dense", "separable") or _range(u.shape[-2:], eps, p) <= RANGE
        lost = torch.zeros_like(residual) if always else _lost(phi, u[left], v[left], f, g, eps)
        if last and (lost > tol / 10).any():
            raise ValueError(
                f"solver: {name!r} needed potentials that vary by at most {RANGE:.0f} eps where there is mass, but "
                f"{lost.max().item():.2g} of it lies beyond; use a larger eps than {eps}, or solver='auto'"
            )
        good = lost <= tol / 10
        now = left[good]
        if len(now):
            f, g, cost = _polish(name, u[now], v[now], f[good], lam, p)
            results = (f, g, cost, residual[good], n_iter[good])
            found = found or tuple(x.new_zeros(len(u), *x.shape[1:]) for x in results)
            for whole, part in zip(found, results, strict=True):
                whole[now] = part
            taken.append(name)
        left = left[~good]
        if not len(left):
            break
    return found, ", ".join(taken)


def _iterate(phi: Phi, u: Tensor, v: Tensor, eps: float, tol: float, max_iter: int, patient: bool) -> tuple:
    """f, g, residual, n_iter; each pair until its marginals fit, or, without patience, while Φ is exact for it."""
    log_u, log_v = u.log(), v.log()
    f, g = torch.zeros_like(u), torch.zeros_like(v)
    residual, n_iter = u.new_full(u.shape[:1], torch.inf), torch.zeros(len(u), dtype=torch.long, device=u.device)
    k = torch.arange(len(u), device=u.device)  # the pairs still going
    for n in range(1, int(max_iter) + 1):
        image, exact = phi(log_v[k] + g[k] / eps)
        # The marginal of the last f and g is u exp((f - f_new)/ε): the residual costs no product of its own.
        ratio = ((f[k] + eps * image) / eps).where(u[k] > 0, 0.0)
        f[k], n_iter[k] = -eps * image, n
        if n > 1:
            residual[k] = (u[k] * torch.expm1(ratio)).abs().sum((-2, -1))
        going = residual[k] > tol
        if n % 10 == 0 and not patient:
            going &= (u[k] * ~exact + v[k] * ~back[1]).sum((-2, -1)) <= tol / 10
        k = k[going]
        if not len(k):
            break
        back = phi(log_u[k] + f[k] / eps)
        g[k] = -eps * back[0]
    return f, g, residual, n_iter


def _lost(phi: Phi, u: Tensor, v: Tensor, f: Tensor, g: Tensor, eps: float) -> Tensor:
    """How much mass stands where Φ is not exact."""
    sides = ((u, v, g), (v, u, f))
    return sum((a * ~phi(b.log() + h / eps)[1]).sum((-2, -1)) for a, b, h in sides)


def _polish(name: str, u: Tensor, v: Tensor, f: Tensor, lam: Tensor, p: int) -> tuple[Tensor, Tensor, Tensor]:
    """f and g after one more step, and ⟨C, π⟩: the mean of C under a row of π is a quotient of sums, e^(Φ_C - Φ)."""
    # The iteration reads f and g only where there is mass, but they are the gradient everywhere: there, too, tilt.
    tilt = name == "fft" and _range(u.shape[-2:], 1 / lam.item(), p) > RANGE
    phi = _phi("tilted" if tilt else name, u, lam, p)
    g = -phi(u.log() + f * lam)[0] / lam
    s = v.log() + g * lam
    image = phi(s)[0]
    mean = (_phi(name, u, lam, p, moment=True)(s)[0] - image).exp()
    return -image / lam, g, (u * mean.where(u > 0, 0.0)).sum((-2, -1))


def _phi(name: str, like: Tensor, lam: Tensor, p: int, moment: bool = False) -> Phi:
    """Φ of the module's text for maps (k, h, w), λ = 1/ε; `moment`: Φ_C, with each term of the sum times C."""
    h, w = like.shape[-2:]
    if name in ("fft", "tilted"):
        return _by_fft(h, w, lam, name == "tilted", moment)
    if name == "separable":
        return _by_axes(h, w, lam, moment)
    y, x = torch.meshgrid(*(torch.arange(k, dtype=lam.dtype, device=lam.device) for k in (h, w)), indexing="ij")
    pixels = torch.stack([x.flatten(), y.flatten()], -1)
    return (_by_matrix if name == "dense" else _by_log)(pixels, lam, p, moment)


def _by_log(pixels: Tensor, lam: Tensor, p: int, moment: bool) -> Phi:
    """The definition: log Σ_y exp(s(y) - λ |x - y|^p), for some x at a time."""

    def phi(s: Tensor) -> tuple[Tensor, Tensor]:
        parts = []
        for x in pixels.split(max(1, AT_ONCE // len(pixels))):
            cost = torch.cdist(x, pixels, compute_mode="donot_use_mm_for_euclid_dist") ** p
            kernel = cost.log() - lam * cost if moment else -lam * cost
            parts.append(torch.stack([torch.logsumexp(row + kernel, -1) for row in s.flatten(1)]))
        out = torch.cat(parts, -1).view_as(s)
        return out, torch.ones_like(out, dtype=torch.bool)

    return phi


def _by_matrix(pixels: Tensor, lam: Tensor, p: int, moment: bool) -> Phi:
    cost = torch.cdist(pixels, pixels, compute_mode="donot_use_mm_for_euclid_dist") ** p
    kernel = torch.exp(-lam * cost) * (cost if moment else 1)

    def phi(s: Tensor) -> tuple[Tensor, Tensor]:
        top = s.amax((-2, -1), keepdim=True)
        out = ((s - top).exp().flatten(1) @ kernel).view_as(s).log() + top
        return out, torch.ones_like(out, dtype=torch.bool)

    return phi


def _by_axes(h: int, w: int, lam: Tensor, moment: bool) -> Phi:
    """|x - y|² is a sum over the axes, so the kernel is a product: sum along x, then along y."""
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
    """|x - y| depends on x - y alone: a convolution, zero-padded to 2h x 2w.

    Tilted by a slope t, e^(t·x) Σ_y e^s(y) K(x - y) = Σ_y e^(s(y) + t·y) K(x - y) e^(t·(x - y)): again a convolution,
    whose largest values lie elsewhere. With |t| = λ the kernel falls off behind x, but not ahead of it.
    """
    rows, columns = (torch.arange(k, dtype=lam.dtype, device=lam.device)[:, None] for k in (h, w))
    dy, dx = ((k + m) % (2 * m) - m for k, m in ((torch.arange(2 * h), h), (torch.arange(2 * w), w)))
    dy, dx = dy.to(lam)[:, None], dx.to(lam)
    r = torch.hypot(dy, dx)
    tilts = [(0.0, 0.0)] + [(a, b) for a in (-1, 1) for b in (-1, 1)] * tilted
    slopes = [(lam * a / math.sqrt(2), lam * b / math.sqrt(2)) for a, b in tilts]
    spectra = [rfft2(torch.exp(-lam * r + a * dy + b * dx) * (r if moment else 1)) for a, b in slopes]

    def convolve(s: Tensor, spectrum: Tensor) -> Tensor:
        # rfft2 and irfft2, but for rows that are padding or will be cropped.
        image = ifft(fft(rfft(s, 2 * w), 2 * h, -2) * spectrum, dim=-2)[..., :h, :]
        return irfft(image, 2 * w)[..., :w]

    def few(s: Tensor) -> tuple[Tensor, Tensor]:
        best, out = s.new_zeros(()), s.new_zeros(())
        for (a, b), spectrum in zip(slopes, spectra, strict=True):
            ramp = a * rows + b * columns.mT
            top = (s + ramp).amax((-2, -1), keepdim=True)
            image = convolve((s + ramp - top).exp(), spectrum)
            peak = image.amax((-2, -1), keepdim=True)
            # Below the machine's ε it is rounding error, of either sign.
            share = (image / peak).clamp(min=torch.finfo(image.dtype).eps)
            there = share.log() + peak.log() + top - ramp
            best, out = share.maximum(best), there.where(share > best, out)
        return out, best >= math.exp(-RANGE)

    def phi(s: Tensor) -> tuple[Tensor, Tensor]:
        out, exact = zip(*map(few, s.split(8)), strict=True)  # 8 maps stay in the processor's cache
        return torch.cat(out), torch.cat(exact)

    return phi


# --- W1 without ε --------------------------------------------------------------------


def _beckmann(excess: Tensor, tol: float, max_iter: int) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """Flow, potential, upper and lower bound, iterations."""
    poisson = _poisson(excess)
    z = torch.zeros_like(excess)[..., None, :, :].repeat_interleave(2, -3)
    step = STEP * _slope(poisson(excess)).abs().mean((-3, -2, -1), keepdim=True).clamp(min=1e-12)
    for n in range(1, int(max_iter) + 1):
        phi = poisson(excess - _outflow(z))
        flow = z - _slope(phi)  # the nearest flow to z that carries the excess
        if n % 10 == 0 or n == max_iter:
            primal = torch.linalg.vector_norm(flow, dim=-3).sum((-2, -1))
            steepest = torch.linalg.vector_norm(_slope(phi), dim=-3).amax((-2, -1)).clamp(min=1e-30)
            phi = phi / steepest[..., None, None]
            dual = (phi * excess).sum((-2, -1))
            if (primal - dual <= tol).all():
                break
        m = 2 * flow - z
        z = z + RELAX * (m * (1 - step / torch.linalg.vector_norm(m, dim=-3, keepdim=True).maximum(step)) - flow)
    return flow, phi - phi.mean((-2, -1), keepdim=True), primal, dual, n


def _slope(phi: Tensor) -> Tensor:
    """∇φ (..., 2, h, w): to the right and down, 0 out of the grid."""
    right = torch.nn.functional.pad(phi.diff(dim=-1), (0, 1))
    down = torch.nn.functional.pad(phi.diff(dim=-2), (0, 0, 0, 1))
    return torch.stack([right, down], -3)


def _outflow(m: Tensor) -> Tensor:
    """div m (..., h, w), what leaves each pixel: minus the transpose of `_slope`."""
    right, down = m.unbind(-3)
    zero_x, zero_y = torch.zeros_like(right[..., :, :1]), torch.zeros_like(down[..., :1, :])
    return right - torch.cat([zero_x, right[..., :, :-1]], -1) + down - torch.cat([zero_y, down[..., :-1, :]], -2)


def _poisson(like: Tensor) -> Callable[[Tensor], Tensor]:
    """d to φ with div(-∇φ) = d and mean 0: a division in the cosine basis, where -div ∇ is diagonal."""

    def cosines(n: int) -> tuple[Tensor, Tensor]:
        k = torch.arange(n, dtype=like.dtype, device=like.device)
        basis = torch.cos(math.pi / n * k[:, None] * (k + 0.5)) * math.sqrt(2 / n)
        basis[0] /= math.sqrt(2)
        return basis, 2 - 2 * torch.cos(math.pi * k / n)

    (down, y), (across, x) = (cosines(n) for n in like.shape[-2:])
    inverse = 1 / (y[:, None] + x)
    inverse[0, 0] = 0.0
    return lambda d: down.mT @ (inverse * (down @ d @ across.mT)) @ across


# --- at the door ---------------------------------------------------------------------


def _normalised(u: Tensor) -> Tensor:
    u = u.double()
    return u / u.sum((-2, -1), keepdim=True)


def _pair(u: object, v: object) -> None:
    _map(u, "u")
    _map(v, "v")
    if u.shape != v.shape:
        got = f"{tuple(u.shape)} and {tuple(v.shape)}"
        raise ValueError(f"u, v: needed maps of one shape, got {got}; expand or resample one to the other")
    _checks.same(u=u, v=v)


def _map(u: object, name: str) -> None:
    """Refuse what is not (..., h, w), finite, at least 0 and somewhere above."""
    _checks.floats(u, name)
    if u.ndim < 2 or u.numel() == 0:
        raise ValueError(f"{name}: needed (..., h, w), at least one map; got shape {tuple(u.shape)}")
    mass = u.detach().sum((-2, -1), dtype=torch.float64)
    if not (mass.isfinite().all() and u.amin() >= 0):
        got = "NaN or infinity" if not mass.isfinite().all() else f"{u.amin().item():.3g}"
        raise ValueError(f"{name}: needed finite values >= 0, got {got}; use a softmax, or {name}.clamp(min=0)")
    if (mass == 0).any():
        bad = tuple((mass == 0).nonzero()[0].tolist())
        raise ValueError(f"{name}: needed some mass to transport, got none in map {bad}; leave missing landmarks out")
