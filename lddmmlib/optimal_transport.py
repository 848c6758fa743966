"""Optimal transport between heatmaps, the distance that mass must travel from one to the other: the loss of paper E.

Distances are in pixels of the map (cells), x along the width; every map is divided by its sum first. Equations of E:

| equation | function |
|---|---|
| (3), (4) min Σ |x - y| π(x, y) over couplings, no ε | `w1`, between bounds; `w1_to_point`, if one map is a point |
| (4) entropic | `sinkhorn` |
| (5) GET_MAX, (6) GET_BC | `get_max`, `get_bc` |

The versions to read are `sinkhorn_by_iterating` and `w1_by_linear_program`.

Sinkhorn's iteration alternates f = -ε log Σ_y v(y) exp((g(y) - C)/ε) and the same for g, with C = |x - y|^p. All the
cost is in these sums. They are products with a kept matrix exp(-C/ε), for p = 2 along x, then along y. The rest follows
from the arguments:

- Precision is single for maps in single precision, p = 1 and tol ≥ 1e-4, else double.
- For p = 1 and ε ≥ 0.5, y runs over a window that holds v but for a mass of tol/1000. Maps with one window share a
  matrix; the size of the windows is the one with the fewest operations for the batch. The narrower of two maps, mostly
  the target, should be v. On an accelerator the window is the whole grid: one matrix, and one product a half step.
- What is iterated is the exponentials of f and g, without an exp or log in a step, where none can overflow: for p = 1
  while half the window's diagonal is at most 29 ε (230 ε in double precision). Else it is f and g, with y cut into
  patches so small that nothing underflows which matters.

So no pair is tried by one way and then by another, and no result has to be checked for lost digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lddmmlib import _checks, heatmaps
from lddmmlib._engine import softmin as engine
from lddmmlib._engine.softmin import Box, distances, pixels_of
from lddmmlib._shapes import Bool, Float

SOLVERS = ("auto", "log")
SINGLE_TOL = 1e-4  # single precision settles at a residual of about 1e-5
CUT_EPS = 0.5  # below, the faint tail of a map decides the potentials of cells without mass: nothing is cut off
LARGEST = 2**28  # entries of a kept matrix, 2 GB in double precision; beyond it, sums by their definition
LOOK = 8  # steps between two looks at an accelerator
FAINT = 1e-12  # the mass below which a pixel's part in the cost is negligible
REACH = 4  # largest extent of an edge along each axis, cells: paths are then at most 0.8 % longer than straight lines
STEP, RELAX, CHECK = 10.0, 1.8, 25  # in mean flows; 1 is no over-relaxation; iterations between checks of the bounds


class Transport(NamedTuple):
    """The result of `sinkhorn`. With π = u v exp((f + g - C)/ε), rows sum to u, and columns to v within `residual`.

    >>> u = torch.ones(4, 4)
    >>> sinkhorn(u, u, eps=0.1).f.shape
    torch.Size([4, 4])
    """

    value: Tensor  # (...,) min ⟨C, π⟩ + ε KL(π | u ⊗ v) = ⟨f, u⟩ + ⟨g, v⟩; carries the gradient
    cost: Tensor  # (...,) ⟨C, π⟩
    f: Tensor  # (..., h, w) potential of u
    g: Tensor  # (..., h, w) potential of v
    n_iter: Tensor  # (...,)
    residual: Tensor  # (...,) Σ |marginal of π - v|, at most
    converged: Tensor  # (...,) residual ≤ tol, and all of the above are finite
    solver: str  # "product, single", "product, double" or "log"


class W1(NamedTuple):
    """The result of `w1`: W1 lies in [value, value + gap].

    >>> u = torch.ones(4, 4)
    >>> w1(u, u).gap.item()
    0.0
    """

    value: Tensor  # (...,) ⟨potential, u - v⟩, the lower bound; carries the gradient
    gap: Tensor  # (...,) Σ |edge| |flow| - value
    converged: Tensor  # (...,) gap ≤ tol times the upper bound
    n_iter: Tensor  # (...,)
    flow: Tensor  # (..., e) mass that moves along each edge
    edges: Tensor  # (e, 2) start and end cell of each edge; cell (i, j) has the number i w + j
    potential: Tensor  # (..., h, w) price of mass, φ(x) - φ(y) ≤ |x - y|


@_checks.full_precision
def sinkhorn(
    u: Float[Tensor, "*batch h w"],
    v: Float[Tensor, "*batch h w"],
    eps: float,
    p: int = 1,
    tol: float = 1e-3,
    max_iter: int = 1000,
    solver: str = "auto",
    mask: Bool[Tensor, "*batch"] | None = None,
) -> Transport:
    """Minimise Σ |x - y|^p π(x, y) + ε KL(π | u ⊗ v) over the couplings π of u/Σu and v/Σv.

    `value` is differentiable in u and v by the envelope theorem: the gradient is the potentials (minus their mean,
    because the sum stays 1), never the unrolled iteration. Weighted by the mass, as by the gradient of a softmax, its
    relative error is at most about 4 times `residual`, and mostly a tenth of it; single precision adds about 1e-5. At
    pixels of almost no mass it can be some per cent. Choose a smaller tol for more accurate gradients. Since KL ≥ 0,
    cost ≤ value at convergence; cost ≥ W1. If a pair did not converge, `converged` is False: use more iterations, or a
    larger ε.

    Args:
        u: (..., h, w), values >= 0 with some mass; pixels may be 0.
        v: (..., h, w), as u.
        eps: ε, in px (p = 1) or px² (p = 2).
        p: 1 or 2.
        tol: the iteration stops when the sum of the absolute errors of the marginals of π is at most this.
        max_iter: the largest number of iterations.
        solver: "auto", as the module says; or "log", the definition in double precision, without windows: slow, to
            compare with.
        mask: (...), False for missing landmarks. Their maps may hold anything, such as the zeros that
            `heatmaps.encode` writes; value, cost, f, g and residual are NaN, and they have no gradient. Average
            the loss by `value.nanmean()`.

    Returns:
        A Transport, in the dtype of the input.

    Raises:
        ValueError: a map that is empty, negative or not finite, two sizes, dtypes or devices, a mask that is
            not one bool for each map, ε or tol not above 0, another p or solver.

    Paper E, equation 4; Cuturi, NeurIPS 2013.

    >>> u = heatmaps.encode(torch.tensor([[5.0, 6.0]]), (16, 16), sigma=1.0)
    >>> v = heatmaps.encode(torch.tensor([[8.0, 10.0]]), (16, 16), sigma=1.0)
    >>> found = sinkhorn(u, v, eps=0.5)
    >>> found.solver, found.converged.item(), round(found.cost.item(), 1)
    ('product, single', True, 5.1)
    """
    present = _pair(u, v, mask)
    for name, x in (("eps", eps), ("tol", tol)):
        _checks.positive(x, name)
    _checks.whole(max_iter, "max_iter")
    eps = float(eps)  # a tensor without axes is also accepted
    _checks.one_of(p, "p", (1, 2))
    _checks.one_of(solver, "solver", SOLVERS)
    single = u.dtype == torch.float32 and p == 1 and tol >= SINGLE_TOL and solver == "auto"
    cut = tol / 1000 if p == 1 and eps >= CUT_EPS and solver == "auto" else 0.0
    mu, nu = (_normalised(x, present, torch.float32 if single else torch.float64) for x in (u, v))
    with torch.no_grad():
        f, g, cost, residual, n_iter = _solve(mu, nu, 1 / eps, p, tol, max_iter, cut, solver == "log")
    # f and g are constants here: the derivative of this sum is that of the envelope theorem.
    value = (f * mu + g * nu).sum((-2, -1)) * eps
    converged = (residual <= tol) & value.isfinite() & cost.isfinite()
    real = (x.to(u.dtype) for x in (value, cost, eps * f, eps * g))
    whole = (_spread(x, present) for x in (*real, n_iter, residual.to(u.dtype), converged))
    return Transport(*whole, solver if solver == "log" else f"product, {'single' if single else 'double'}")


@_checks.full_precision
def sinkhorn_by_iterating(
    u: Float[Tensor, " n"], v: Float[Tensor, " m"], cost: Float[Tensor, "n m"], eps: float, n_iter: int = 500
) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    """The potentials f, g by the iteration in the log domain, the version to read of `sinkhorn`.

    Each step satisfies one of the two constraints. The value is ⟨f, u⟩ + ⟨g, v⟩, the plan u v exp((f + g - C)/ε).

    Args:
        u: (n,), masses > 0 with the sum 1.
        v: (m,), masses > 0 with the sum 1.
        cost: C, (n, m).
        eps: ε, in the unit of the cost.
        n_iter: the number of iterations.

    Returns:
        f (n,) and g (m,), in the unit of the cost.

    Paper E, equation 4; Cuturi, NeurIPS 2013.

    >>> half = torch.tensor([0.5, 0.5])
    >>> f, g = sinkhorn_by_iterating(half, half, torch.tensor([[3.0, 5.0], [5.0, 3.0]]), eps=0.1)
    >>> round((f @ half + g @ half).item(), 2)  # 3, and ε log 2 for a plan that is sharp
    3.07
    """
    f, g = torch.zeros_like(u), torch.zeros_like(v)
    for _ in range(n_iter):
        f = -eps * torch.logsumexp(v.log() + (g - cost) / eps, 1)
        g = -eps * torch.logsumexp(u.log() + (f - cost.T) / eps, 1)
    return f, g


@_checks.full_precision
def debiased(
    u: Float[Tensor, "*batch h w"],
    v: Float[Tensor, "*batch h w"],
    eps: float,
    p: int = 1,
    **options: float | str | Tensor | None,
) -> Float[Tensor, "*batch"]:
    """The Sinkhorn divergence S(u, v) = OT(u, v) - OT(u, u)/2 - OT(v, v)/2, which is 0 for equal maps.

    For the squared cost it is exact for translations at any ε. For |x - y| it is not: the self terms are smaller than
    the bias of the pair, and over some pixels S is farther from W1 than `cost` is.

    Args:
        u: (..., h, w), values >= 0 with some mass.
        v: (..., h, w), as u.
        eps: ε, in px (p = 1) or px² (p = 2).
        p: 1 or 2.
        options: other arguments of `sinkhorn`.

    Returns:
        (...,), in px or px².

    Raises:
        ValueError: the errors of `sinkhorn`.

    Feydy et al., AISTATS 2019.

    >>> u, v = (heatmaps.encode(torch.tensor([[x, 10.0]]), (20, 24), sigma=1.0) for x in (8.0, 13.0))
    >>> round(debiased(u, v, eps=2.0, p=2, tol=1e-6).item(), 3)  # the square of 5 px
    25.0
    """
    both = [sinkhorn(a, b, eps, p, **options).value for a, b in ((u, v), (u, u), (v, v))]
    return both[0] - (both[1] + both[2]) / 2


@_checks.full_precision
def w1(
    u: Float[Tensor, "*batch h w"],
    v: Float[Tensor, "*batch h w"],
    tol: float = 0.01,
    max_iter: int = 5000,
    mask: Bool[Tensor, "*batch"] | None = None,
) -> W1:
    """Minimise Σ |x - y| π(x, y) over the couplings π of u/Σu and v/Σv, without ε, between two bounds.

    Upper bound: a flow m along the edges of a network in which each cell is joined to its neighbours up to 4 columns
    and rows away, with div m = u - v (Beckmann). Mass that follows it is a coupling, and Σ |edge| |m| is no less than
    the cost of that coupling. Lower bound: a potential φ with |φ(x) - φ(y)| ≤ |x - y| for all cells, with the value ⟨φ,
    u - v⟩ (Kantorovich). The iteration of Chambolle and Pock computes both; the potential is replaced by its
    c-transform, so that the bound holds between all cells and not only along edges.

    `value` is the lower bound; W1 lies in [value, value + gap]. A path in a direction between two edges is up to 0.8 %
    longer on the network than a straight line, and so is the upper bound; W1 is mostly close to `value`.

    Args:
        u: (..., h, w), values >= 0 with some mass.
        v: (..., h, w), as u.
        tol: the iteration stops when the gap is at most this fraction of the upper bound. Below 0.008, some pairs never
            converge.
        max_iter: the largest number of iterations.
        mask: (...), False for missing landmarks. Their maps may hold anything; value and potential are NaN.

    Returns:
        A W1. `value` is differentiable in u and v by the envelope theorem: its gradient is φ.

    Raises:
        ValueError: maps or a mask that `sinkhorn` refuses, and tol or max_iter not above 0.

    Paper E, equations 3 and 4; Beckmann 1952; Chambolle and Pock, J. Math. Imaging Vis. 2011.

    >>> u = torch.zeros(5, 5)
    >>> u[1, 1] = 1.0
    >>> v = (u.roll(1, 0) + u.roll(1, 1)) / 2  # half of it one cell to the right, half of it one cell down
    >>> found = w1(u, v)
    >>> round(found.value.item(), 3), found.converged.item()
    (1.0, True)
    """
    _checks.positive(tol, "tol")
    _checks.whole(max_iter, "max_iter")
    present = _pair(u, v, mask)
    excess = _normalised(u, present) - _normalised(v, present)
    network = _Network(u.detach().double())
    phi, gap, n_iter = torch.zeros_like(excess), torch.zeros_like(excess[:, 0, 0]), torch.zeros(len(excess), dtype=int)
    flow = excess.new_zeros(len(excess), len(network.length))
    with torch.no_grad():
        for k, moved in enumerate(excess - excess.mean((-2, -1), keepdim=True)):
            mass = moved.clamp(min=0).sum()
            if mass > 0:
                found = _cheapest_flow(network, moved / mass, tol, max_iter)
                phi[k], flow[k], gap[k], n_iter[k] = found[0], found[1] * mass, found[2] * mass, found[3]
    value = (phi * excess).sum((-2, -1))  # φ is a constant here: envelope theorem
    parts = (value, gap, flow, phi, gap <= tol * (value + gap), n_iter.to(u.device))
    value, gap, flow, phi, converged, n_iter = (
        _spread(x.to(u.dtype) if x.is_floating_point() else x, present) for x in parts
    )
    edges = torch.stack([network.start, network.end], 1)
    return W1(value=value, gap=gap, converged=converged, n_iter=n_iter, flow=flow, edges=edges, potential=phi)


def w1_by_linear_program(u: Float[Tensor, "h w"], v: Float[Tensor, "h w"]) -> float:
    """The W1 of two small maps as a linear program by SciPy, the version to read of `w1`: equation 4 without ε.

    There is an unknown for each pair of cells, n² for n cells: 64 cells take a second, 64 x 64 do not fit in memory.

    Args:
        u: (h, w), values >= 0 with some mass.
        v: (h, w), as u.

    Returns:
        W1, px.

    >>> u, v = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.5, 0.5]])
    >>> w1_by_linear_program(u, v)
    1.5
    """
    linprog = _checks.optional("scipy.optimize").linprog

    n, pixels = u.numel(), pixels_of(u.double())
    cost, one, each = distances(pixels, pixels), torch.ones(1, n), torch.eye(n)
    sums = torch.cat([torch.kron(each, one), torch.kron(one, each)])  # Σ_y π(x, y) for every x, Σ_x for every y
    marginals = torch.cat([(x.double() / x.double().sum()).flatten() for x in (u, v)])
    # The last sum follows from the others; as a constraint, it could be violated by a rounding error.
    return linprog(cost.flatten().numpy(), A_eq=sums[:-1].numpy(), b_eq=marginals[:-1].numpy()).fun


@_checks.full_precision
def w1_to_point(u: Float[Tensor, "*batch h w"], y: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
    """The W1 from a map to a point: all mass must move there, so W1(u, δ_y) = Σ_x u(x) |x - y| / Σu.

    Differentiable in both arguments.

    Args:
        u: (..., h, w), values >= 0 with some mass.
        y: (..., 2), px, (x, y), inside the map or not; NaN where the landmark is missing.

    Returns:
        (...,), px; NaN where the landmark is missing.

    Raises:
        ValueError: a map that `sinkhorn` refuses, points of another batch, dtype or device, and infinity.

    Paper E, equation 3, for a target of one pixel or less.

    >>> u = torch.zeros(8, 8)
    >>> u[2, 1] = u[2, 7] = 1.0
    >>> w1_to_point(u, torch.tensor([4.0, 6.0]))
    tensor(5.)
    """
    _map(u, "u")
    if not isinstance(y, Tensor) or (y.dtype, y.device) != (u.dtype, u.device) or y.shape != (*u.shape[:-2], 2):
        wanted = f"points {(*u.shape[:-2], 2)} of {u.dtype} on {u.device}"
        raise ValueError(f"y: needed {wanted}, got {_checks.said(y)}; use y.to(u)")
    if y.isinf().any():
        raise ValueError("y: needed finite points, or NaN where they are missing; got infinity")
    missing = y.isnan().any(-1)
    distance = torch.linalg.vector_norm(pixels_of(u) - y.masked_fill(missing[..., None], 0.0)[..., None, :], dim=-1)
    far = (u.flatten(-2) * distance).sum(-1) / u.sum((-2, -1))
    return far.masked_fill(missing, torch.nan)


@_checks.full_precision
def get_max(maps: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch 2"]:
    """GET_MAX, the position (..., 2), px, of the largest value, refined by linear interpolation along each axis.

    The plain argmax of equation 5 is `heatmaps.decode(maps, "argmax")`. GET_MAX is the paper's name for an
    interpolation from four neighbouring pixels, "bilinear"; the paper gives no formula. The formula here is exact for a
    map that decreases linearly: with the neighbours a and b of the largest value c along an axis, the point is moved by
    (b - a) / 2(c - min(a, b)), half a pixel at most, and not at all along an axis where one of them is outside the map.
    A constant added to the map, or a positive factor, changes nothing. NaN for a map of zeros.

    Raises:
        ValueError: the errors of `heatmaps.decode`.

    Paper E, section 5.3; Fisher and Naidu 1996, "linear interpolation".

    >>> get_max(torch.tensor([[0.0, 0.0, 0.0], [0.0, 4.0, 2.0], [0.0, 2.0, 0.0]]))
    tensor([1.2500, 1.2500])
    """
    peak = heatmaps.decode(maps, "argmax")
    h, w = maps.shape[-2:]
    x, y = peak.nan_to_num().long().unbind(-1)

    def value(dx: int, dy: int) -> Tensor:
        place = (y + dy).clamp(0, h - 1) * w + (x + dx).clamp(0, w - 1)
        return maps.flatten(-2).gather(-1, place[..., None])[..., 0]

    moves = []
    for place, cells, dx, dy in ((x, w, 1, 0), (y, h, 0, 1)):
        before, after = value(-dx, -dy), value(dx, dy)
        fall = 2 * (value(0, 0) - torch.minimum(before, after))
        inside = (place > 0) & (place < cells - 1) & (fall > 0)
        moves.append(((after - before) / fall.where(inside, 1.0)).where(inside, 0.0))
    return peak + torch.stack(moves, -1)


@_checks.full_precision
def get_bc(maps: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch 2"]:
    """GET_BC, the barycentre Σ_q q H(q) / Σ_q H(q) of each map, (..., 2), px: `heatmaps.decode` by "barycentre".

    Paper E, equation 6.

    >>> get_bc(torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 2.0]]))
    tensor([1.5000, 0.7500])
    """
    return heatmaps.decode(maps, "barycentre")


# --- Sinkhorn ------------------------------------------------------------------------


def _solve(
    u: Tensor, v: Tensor, lam: float, p: int, tol: float, max_iter: int, cut: float, by_definition: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The λf, λg, cost, residual and n_iter of pairs of maps (n, h, w) with sum 1, in the dtype of the maps.

    The iteration runs in boxes that hold all but a mass of `cut` of each map; f and g of the other cells follow from
    another half step.
    """
    n, h, w = u.shape
    whole, tables = (0, h, 0, w), {}

    def area(box: Box) -> int:
        return (box[1] - box[0]) * (box[3] - box[2])

    def way(here: Box, there: Box) -> engine.Scaling | engine.Logarithms:
        size = there[1] - there[0], there[3] - there[2]
        if by_definition or (p == 1 and area(here) * area(there) > LARGEST):
            return engine.Logarithms(engine.Definition(here, there, lam, p, u))
        if p == 2 or lam * math.hypot(size[0] - 1, size[1] - 1) / 2 > engine.SCALES[u.dtype]:
            return engine.Logarithms(engine.softmin(here, there, lam, p, u))
        if size not in tables:
            tables[size] = engine.Windows(*size, (h, w), lam, u)
        return tables[size].at(here, there)

    around = engine.supports(u, cut) if u.device.type == "cpu" else None
    groups = engine.windows(v, cut)
    order = torch.cat([k for k, _ in groups]) if len(groups) > 1 else slice(None)
    mu, nu = u[order], v[order]
    f, g = torch.empty_like(u), torch.full_like(u, torch.nan)
    cost, residual, n_iter = u.new_zeros(n), u.new_zeros(n), torch.zeros(n, dtype=torch.long, device=u.device)
    end = 0
    for k, there in groups:
        here, now = whole if around is None else _around(around[k]), slice(end, end := end + len(k))
        steps = way(here, there)
        start = _start(mu[now], nu[now], there, lam, p)
        *masses, b = steps.start(_part(mu[now], here), _part(nu[now], there), start)
        b, row, residual[now], n_iter[now] = _iterate(steps, *masses, b, tol - 5 * cut, max_iter)
        if here != whole:
            steps = way(whole, there)
            row = steps.row(masses[1], b)
        all_f, part_g, mean = steps.found(masses[1], b, row)
        f[now], cost[now] = all_f.view(-1, h, w), torch.linalg.vecdot(mu[now].flatten(1), mean)
        g[now, there[0] : there[1], there[2] : there[3]] = part_g.view(len(k), there[1] - there[0], -1)
    if any(there != whole for _, there in groups):
        here = _around(around)
        fitted, tall = _part(mu, here).log() + _cut(f, here), max(1, LARGEST // 4 // (area(here) * w))
        for band in ((top, min(top + tall, h), 0, w) for top in range(0, h, tall)):
            rest = engine.Logarithms(engine.softmin(here, band, lam, p, u)).column(fitted).view(n, -1, w)
            g[:, band[0] : band[1]] = g[:, band[0] : band[1]].where(~g[:, band[0] : band[1]].isnan(), rest)
    back = order.argsort() if len(groups) > 1 else order
    return f[back], g[back], cost[back], residual[back] + 4 * cut, n_iter[back]


def _iterate(
    steps: engine.Scaling | engine.Logarithms, u: Tensor, v: Tensor, b: Tensor, tol: float, max_iter: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The last b and row of `steps`, the residual and n_iter of each pair; each is iterated until its marginals fit.

    An accelerator is asked only now and then how far its pairs are; those that fit stay as they are.
    """
    rows, columns = torch.empty_like(u), torch.empty_like(b)
    residual, n_iter = u.new_full(u.shape[:1], torch.inf), torch.zeros(len(u), dtype=torch.long, device=u.device)
    k, every = torch.arange(len(u), device=u.device), 1 if u.device.type == "cpu" else LOOK
    going, n = torch.ones_like(k, dtype=torch.bool), 0
    while len(k):
        n += 1
        row = steps.row(v, b)
        n_iter[k] += going
        if n > 1:
            # The rows of the plan of the last b and the last factors of u: the residual costs no product of its own.
            residual[k] = torch.where(going, steps.wrong(u, fitted, row), residual[k])
        going = going & ~(residual[k] <= tol)
        if n % every == 0 or n == max_iter:
            done = (~going | (n == max_iter)).nonzero()[:, 0]
            if len(done):
                for whole, part in ((rows, row), (columns, b)):
                    whole.index_copy_(0, k[done], part.index_select(0, done))
                left = (going & (n != max_iter)).nonzero()[:, 0]
                k, u, v, b, row, going = (x.index_select(0, left) for x in (k, u, v, b, row, going))
        fitted = steps.fit(u, row)
        b = steps.column(fitted) if every == 1 else torch.where(going[:, None], steps.column(fitted), b)
    return columns, rows, residual, n_iter


def _start(u: Tensor, v: Tensor, box: Box, lam: float, p: int) -> Tensor:
    """λg in the box to start from: nearly that of a shift by d, from the barycentre of v to that of u.

    For p = 2 a shift has exactly g(y) = -2 d·y. For p = 1 the slope is 1 at most, and less where the maps overlap.
    """
    places, inside = pixels_of(u), engine.cells(box, u)
    d = u.flatten(1) @ places - v.flatten(1) @ places
    slope = 2 * d if p == 2 else d / (1 + torch.linalg.vector_norm(d, dim=1, keepdim=True))
    return -lam * slope @ (inside - inside.mean(0)).mT


def _around(boxes: Tensor) -> Box:
    """The box around all boxes (n, 4)."""
    (top, _, left, _), (_, bottom, _, right) = boxes.amin(0).tolist(), boxes.amax(0).tolist()
    return top, bottom, left, right


def _cut(u: Tensor, box: Box) -> Tensor:
    """The cells (n, cells) of the maps (n, h, w) in a box."""
    return u[:, slice(*box[:2]), slice(*box[2:])].flatten(1)


def _part(u: Tensor, box: Box) -> Tensor:
    """The same, divided by their sum."""
    inside = _cut(u, box)
    return inside if inside.shape[1] == u.shape[1] * u.shape[2] else inside / inside.sum(1, keepdim=True)


# --- W1 without ε --------------------------------------------------------------------


class _Network:
    """The n cells of the grid, joined by e edges to all cells at most REACH columns and rows away, without detours.

    A direction (a, b) leads a columns to the right and b rows down; of (a, b) and (-a, -b) one is kept, and of several
    parallel ones the shortest. `start`, `end`: the cells that an edge joins, as indices into the flattened map.
    """

    def __init__(self, like: Tensor) -> None:
        h, w = like.shape[-2:]
        across, down = min(w - 1, REACH), min(h - 1, REACH)
        ways = [(a, b) for b in range(down + 1) for a in range(-across, across + 1)]
        self.ways = [(a, b) for a, b in ways if math.gcd(a, b) == 1 and (b > 0 or a > 0)]
        cells = torch.arange(h * w, device=like.device).view(h, w)
        none = cells[:0].flatten()
        starts = [cells[: h - b, max(-a, 0) : w - max(a, 0)].flatten() for a, b in self.ways]
        ends = [cells[b:, max(a, 0) : w + min(a, 0)].flatten() for a, b in self.ways]
        self.start, self.end = torch.cat([none, *starts]), torch.cat([none, *ends])
        pixels = pixels_of(like)
        self.length = torch.linalg.vector_norm(pixels[self.end] - pixels[self.start], dim=-1)
        self.nothing = torch.zeros_like(pixels[:, 0])
        self.near = (self.length == 1).nonzero()[:, 0]  # to the right and down

    def slope(self, phi: Tensor) -> Tensor:
        """The difference of φ (n,) between the end and the start of each edge."""
        return phi[self.end] - phi[self.start]

    def outflow(self, flow: Tensor) -> Tensor:
        """The net outflow of each cell, for a mass (e,) that moves from start to end of each edge."""
        return self.nothing.index_add(0, self.start, flow).index_add(0, self.end, flow, alpha=-1)


def _cheapest_flow(network: _Network, excess: Tensor, tol: float, max_iter: int) -> tuple[Tensor, Tensor, Tensor, int]:
    """The potential (h, w), flow (e,), gap and number of iterations for a map that moves a mass of 1.

    The primal-dual iteration of Chambolle and Pock on min Σ |edge| |m| + max ⟨φ, excess - div m⟩: shrink the flow, then
    raise the potential where mass is left over, in the metric of a Poisson equation, so that information crosses the
    grid in one step.
    """
    poisson, d = _poisson(excess, network.ways), excess.flatten()
    phi, flow = torch.zeros_like(d), -network.slope(poisson(d))
    step = STEP * flow.abs().mean()
    shrink = step * network.length
    for n in range(1, int(max_iter) + 1):
        push = flow - step * network.slope(phi)
        kept = push - push.clamp(-shrink, shrink)
        left_over = d - network.outflow(2 * kept - flow)
        flow = flow + RELAX * (kept - flow)
        phi = phi + RELAX / step * poisson(left_over)
        if n % CHECK == 0 or n == max_iter:
            price, whole = _price(excess, phi), _whole(network, excess, kept)
            above = (network.length * whole.abs()).sum()
            gap = above - price @ d
            if gap <= tol * above:
                break
    return price.view_as(excess), whole, gap, n


def _whole(network: _Network, excess: Tensor, flow: Tensor) -> Tensor:
    """A flow that carries all the excess: the remainder moves to the right and down, by least squares."""
    rest = _poisson(excess, [way for way in network.ways if way in ((1, 0), (0, 1))])
    slope = network.slope(rest(excess.flatten() - network.outflow(flow)))
    return flow.index_add(0, network.near, slope[network.near], alpha=-1)


def _price(excess: Tensor, phi: Tensor) -> Tensor:
    """The potential φ (n,) without a slope above 1, by two c-transforms, and with the mean 0.

    From the cells y that lack mass, f(x) = min φ(y) + |x - y|, at those that have too much; from these
    max f(x) - |x - y| at all y. It is no less than φ where mass leaves and no more where it arrives.
    """
    pixels, d = pixels_of(excess), excess.flatten()
    sources, sinks = d > FAINT, d < -FAINT  # fewer cells give a valid bound, if a lower one
    f = _cones(pixels[sources], pixels[sinks], phi[sinks])
    price = -_cones(pixels, pixels[sources], -f)
    return price - price.mean()


def _cones(at: Tensor, tips: Tensor, heights: Tensor) -> Tensor:
    """The minimum of height(y) + |x - y| over the tips y, at the positions x."""
    parts = at.split(max(1, engine.AT_ONCE // len(tips)))
    return torch.cat([(distances(x, tips) + heights).amin(-1) for x in parts])


def _poisson(like: Tensor, ways: list[tuple[int, int]]) -> Callable[[Tensor], Tensor]:
    """The inverse of d = Σ over directions of the second differences of -φ, with mean 0: a division in the cosine
    basis.

    φ is reflected at the border. With steps to the nearest neighbours only, this is exactly the network's operator.
    """

    def cosines(n: int) -> tuple[Tensor, Tensor]:
        k = torch.arange(n, dtype=like.dtype, device=like.device)
        basis = torch.cos(math.pi / n * k[:, None] * (k + 0.5)) * math.sqrt(2 / n)
        basis[0] /= math.sqrt(2)
        return basis, math.pi / n * k

    (down, y), (across, x) = (cosines(n) for n in like.shape[-2:])
    bend = sum((2 - 2 * torch.cos(b * y)[:, None] * torch.cos(a * x) for a, b in ways), torch.zeros_like(like))
    bend[0, 0] = torch.inf
    return lambda d: (down.mT @ ((down @ d.view_as(like) @ across.mT) / bend) @ across).flatten()


# --- shared by both ------------------------------------------------------------------


def _normalised(u: Tensor, present: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """The maps (n, h, w) that are present, each with the sum 1."""
    u = u[present].to(dtype)
    u = u / u.detach().amax((-2, -1), keepdim=True)  # the sum of the largest numbers would overflow
    return u / u.sum((-2, -1), keepdim=True)


def _spread(part: Tensor, present: Tensor) -> Tensor:
    """The results of the maps that are present, among all maps: NaN, or 0 iterations and converged, for the others."""
    fill = torch.nan if part.is_floating_point() else part.dtype == torch.bool
    whole = part.new_full((*present.shape, *part.shape[1:]), fill)
    whole[present] = part
    return whole


def _pair(u: object, v: object, mask: object = None) -> Bool[Tensor, "*batch"]:
    """The mask of the maps that are present, after a check of them."""
    for x, name in ((u, "u"), (v, "v")):
        _shape(x, name)
    if u.shape != v.shape:
        got = f"{tuple(u.shape)} and {tuple(v.shape)}"
        raise ValueError(f"u, v: needed maps of one shape, got {got}; expand or resample one to the other")
    _checks.same(u=u, v=v)
    if mask is None:
        mask = torch.ones(u.shape[:-2], dtype=torch.bool, device=u.device)
    if not (isinstance(mask, Tensor) and mask.dtype == torch.bool and mask.shape == u.shape[:-2]):
        got = f"{tuple(mask.shape)} of {mask.dtype}" if isinstance(mask, Tensor) else repr(mask)
        need = f"needed a bool for each map, {tuple(u.shape[:-2])}, or None"
        raise ValueError(f"mask: {need}; got {got}; use ~points.isnan().any(-1)")
    mask = mask.to(u.device)
    for x, name in ((u, "u"), (v, "v")):
        _mass(x, name, mask)
    return mask


def _map(u: object, name: str) -> None:
    """Refuse anything but (..., h, w), finite, at least 0 and positive somewhere."""
    _shape(u, name)
    _mass(u, name, torch.ones(u.shape[:-2], dtype=torch.bool, device=u.device))


def _shape(u: object, name: str) -> None:
    _checks.floats(u, name)
    if u.ndim < 2 or 0 in u.shape[-2:]:
        raise ValueError(f"{name}: needed (..., h, w) with a cell or more; got shape {tuple(u.shape)}")


def _mass(u: Tensor, name: str, mask: Tensor) -> None:
    mass = u.detach().sum((-2, -1), dtype=torch.float64)
    bad = mask & ~(mass.isfinite() & (u.detach().amin((-2, -1)) >= 0))
    if bad.any():
        first = u.detach()[bad][0]
        got = f"{first.amin().item():.3g}" if first.isfinite().all() else "NaN or infinity"
        raise ValueError(f"{name}: needed finite values >= 0, got {got}; use a softmax, or {name}.clamp(min=0)")
    bad = mask & (mass == 0)
    if bad.any():
        where = tuple(bad.nonzero()[0].tolist())
        mend = "give a mask that is False for missing landmarks"
        raise ValueError(f"{name}: needed some mass to transport, got none in map {where}; {mend}")
