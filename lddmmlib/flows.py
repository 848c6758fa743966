"""Flows of diffeomorphisms driven by momenta: dx_i/dt = Σ_j k_V(x_j, x_i) α_j, t from 0 to 1.

Equations 6 and 7 of paper A can mean three different models; each is a function here:

| function | given | model |
|---|---|---|
| `flow` | α, constant in time | a diffeomorphism, not a geodesic; the released layer of paper A takes two Euler steps |
| `flow_path` | α(t), one a step | any flow; many such flows have the same end |
| `shoot` | p0 only | the geodesic: momenta follow Hamilton's equations, H is conserved, p0 determines everything |

Lengths are in the unit of the points, time is in [0, 1], momenta have the unit of the points (a single landmark
with a constant α moves by exactly α). Internally, coordinates and momenta are divided by σ, so that σ = 1.

The layer of paper A: `flow(Curves(points, slices, coupled=False), alpha, sigma, steps=2, method="euler")`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._engine import integrate
from lddmmlib._engine.integrate import METHODS, REACH, State, Units, units_of
from lddmmlib._engine.pairs import GaussianSum, to_rows
from lddmmlib._shapes import Float
from lddmmlib.curves import PointsLike, Sigma, points_of, with_points
from lddmmlib.kernels import gaussian

MOST_STEPS = 10_000  # the largest number that `min_steps` tries; a geodesic that needs more has no practical step size


class Flow(NamedTuple):
    """The result of a flow.

    Attributes:
        end: φ_1(x0), (..., n, 2).
        points: the end of the passengers, (..., m, 2), or None.
        path: (steps + 1, ..., n, 2), from x0 to end.
        momenta: those used by each step, (steps, ..., n, 2); for `shoot` those along the path, (steps + 1, ..., n, 2).
        x0: as given, as are sigma, steps and method.
        sigma: σ_V.
        steps: the number of steps.
        method: the integrator.
        geodesic: whether the flow is one of `shoot`.

    >>> still = flow(torch.zeros(1, 2), torch.zeros(1, 2), 2.0, steps=5)
    >>> still.path.shape, still.geodesic
    (torch.Size([6, 1, 2]), False)
    """

    end: Tensor
    points: Tensor | None
    path: Tensor
    momenta: Tensor
    x0: PointsLike
    sigma: Sigma
    steps: int
    method: str
    geodesic: bool = False


@_checks.full_precision
def velocity(
    points: Float[Tensor, "*batch m 2"],
    x: Float[Tensor, "*batch n 2"],
    alpha: Float[Tensor, "*batch n 2"],
    sigma: float,
) -> Float[Tensor, "*batch m 2"]:
    """The velocity v(a_k) = Σ_j k_V(x_j, a_k) α_j at any points a, for momenta α at x.

    Args:
        points: a, (..., m, 2), where the velocity is evaluated.
        x: (..., n, 2).
        alpha: α, (..., n, 2), in the unit of the points.
        sigma: σ_V, in the unit of the points.

    Returns:
        (..., m, 2).

    Raises:
        ValueError: the errors of `kernels.product`.

    Paper A, equation 6: its right-hand side at `points` = x.

    >>> x = torch.tensor([[0.0, 0.0]])
    >>> velocity(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), x, torch.tensor([[1.0, 0.0]]), 5.0)
    tensor([[1.0000, 0.0000],
            [0.3679, 0.0000]])
    """
    _checks.positive(sigma, "sigma")
    _checks.alike(points=points, x=x)
    _like(alpha, x, "alpha")
    return GaussianSum.apply(to_rows(points / sigma), to_rows(x / sigma), to_rows(alpha)).mT


@_checks.full_precision
def flow(
    x0: PointsLike,
    alpha: Float[Tensor, "*batch n 2"],
    sigma: Sigma,
    steps: int = 10,
    method: str = "rk2",
    points: PointsLike | None = None,
) -> Flow:
    """The flow x_i(1) = x_i(0) + ∫_0^1 Σ_j k_V(x_j(t), x_i(t)) α_j dt, with momenta constant in time.

    Args:
        x0: (..., n, 2), or Curves. If each curve flows separately, a point in no curve stays.
        alpha: α, (..., n, 2), in the unit of the points; 0 for points that stay.
        sigma: σ_V, a number > 0; or one per curve if x0 is Curves that flow separately. A curve of one point, which
            moves by its momentum whatever its width, or of none may have 0.
        steps: the number of steps. `min_steps` gives a number that keeps the map one-to-one.
        method: "euler", "rk2" (midpoint) or "rk4"; the error is of order 1, 2 or 4 in 1/steps.
        points: passengers (..., m, 2) that are moved by the flow. If each curve flows separately, Curves with as many
            slices as x0: the k-th lists the passengers that ride with curve k, none or those of several curves of
            another scheme. A passenger in no slice stays.

    Returns:
        A `Flow`. Twice differentiable in x0, alpha and points.

    Raises:
        ValueError: batches, shapes, dtypes or devices that differ, coordinates that are not finite, a sigma not above
            0, one sigma per curve if the curves are coupled, an unknown method, no steps, momenta of points that stay,
            and passengers of a curve without a width.

    Paper A, equation 7, as in its released code.

    >>> result = flow(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 2.0]]), 5.0)
    >>> [round(each, 5) for each in result.end[0].tolist()]  # alone, a landmark moves by its momentum
    [1.0, 2.0]
    """
    _checks.points(alpha, "alpha")
    return _run(x0, alpha[None], sigma, steps, method, points, "alpha")


@_checks.full_precision
def flow_path(
    x0: PointsLike,
    alpha_t: Float[Tensor, "T *batch n 2"],
    sigma: Sigma,
    method: str = "rk2",
    points: PointsLike | None = None,
) -> Flow:
    """The flow x_i(1) = x_i(0) + ∫_0^1 Σ_j k_V(x_j(t), x_i(t)) α_j(t) dt, with α(t) piecewise constant.

    With equal momenta it is `flow`.

    Args:
        x0: as in `flow`.
        alpha_t: (T, ..., n, 2), time first; α_t[k] acts from k/T to (k + 1)/T, in one step.
        sigma: as in `flow`.
        method: as in `flow`.
        points: as in `flow`.

    Returns:
        A `Flow`.

    Raises:
        ValueError: as in `flow`.

    Paper A, equation 7, as printed.

    >>> x0, there = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 0.0]])
    >>> flow_path(x0, torch.stack([there, -there]), 5.0, "rk4").end.abs().max().item() < 1e-3  # and back again
    True
    """
    _checks.tensor(alpha_t, "alpha_t")
    if alpha_t.ndim < 3 or not len(alpha_t):
        got = f"needed (T, ..., n, 2), time first, got shape {tuple(alpha_t.shape)}"
        raise ValueError(f"alpha_t: {got}; for momenta constant in time call flow, and one time is the least")
    _checks.points(alpha_t, "alpha_t")
    return _run(x0, alpha_t, sigma, len(alpha_t), method, points, "alpha_t")


@_checks.full_precision
def shoot(
    x0: PointsLike,
    p0: Float[Tensor, "*batch n 2"],
    sigma: Sigma,
    steps: int = 10,
    method: str = "rk2",
    points: PointsLike | None = None,
) -> Flow:
    """The geodesic from x0 with initial momenta p0: dx/dt = ∂H/∂p, dp/dt = -∂H/∂x, for t from 0 to 1.

    Of all flows with the same end it has, locally, the least ∫ ||v_t||²_V dt, and p0 determines it completely.
    H, the total momentum Σ p and the angular momentum Σ x ∧ p are conserved. `hamilton_equations` are the equations,
    `shoot_by_equations` is the version to read.

    Args:
        x0: as in `flow`.
        p0: (..., n, 2), in the unit of the points; 0 for points that stay.
        sigma: as in `flow`.
        steps: as in `flow`.
        method: as in `flow`.
        points: as in `flow`.

    Returns:
        A `Flow`. Twice differentiable in x0, p0 and points.

    Raises:
        ValueError: as in `flow`.

    Paper A, section 3.1.1: "completely encoded by the initial momenta".

    >>> x0, p0 = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    >>> result = shoot(x0, p0, 2.0)  # head on, they slow down and never meet
    >>> [round(each, 2) for each in result.end[:, 0].tolist()]
    [-0.5, 0.5]
    """
    _checks.points(p0, "p0")
    return _run(x0, p0[None], sigma, steps, method, points, "p0", geodesic=True)


@_checks.full_precision
def hamiltonian(x: PointsLike, p: Float[Tensor, "*batch n 2"], sigma: Sigma) -> Float[Tensor, "*batch"]:
    """The energy of the velocity field, H(x, p) = ½ Σ_i Σ_j k_V(x_i, x_j) p_i·p_j = ½ ||v||²_V.

    It is constant along `shoot`.

    Args:
        x: (..., n, 2), or Curves.
        p: (..., n, 2), in the unit of the points.
        sigma: σ_V, as in `flow`.

    Returns:
        (...,), in the unit of the points squared, summed over curves that flow separately.

    Paper A, the integrand of equation 2, halved.

    >>> hamiltonian(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]), 2.0).item()
    12.5
    """
    units = units_of(x, sigma, "x")
    _like(p, units.x, "p")
    _held(p, units, "p")
    q, r = units.coordinates(units.x), units.momenta(p)
    norm2 = units.sigma**2 * (r * GaussianSum.apply(q, q, r))
    return norm2.sum((-1, -2) if units.curves is None else (-1, -2, -3)) / 2


@_checks.full_precision
def hamilton_equations(
    x: Float[Tensor, "*batch n 2"], p: Float[Tensor, "*batch n 2"], sigma: float
) -> tuple[Float[Tensor, "*batch n 2"], Float[Tensor, "*batch n 2"]]:
    """Hamilton's equations, the right-hand side that `shoot` integrates:

        dx_i/dt =  ∂H/∂p_i = Σ_j k_ij p_j,
        dp_i/dt = -∂H/∂x_i = 2/σ² Σ_j k_ij (p_i·p_j) (x_i - x_j).

    This is the version to read; `shoot` uses one that stores no matrix.

    Args:
        x: (..., n, 2).
        p: (..., n, 2), in the unit of the points.
        sigma: σ_V, in the unit of the points.

    Returns:
        dx/dt and dp/dt, (..., n, 2) each.

    >>> hamilton_equations(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]]), 1.0)[1]
    tensor([[-0.7358,  0.0000],
            [ 0.7358,  0.0000]])
    """
    _checks.points(x, "x")
    _like(p, x, "p")
    K = gaussian(x, x, sigma)
    W = K * (p @ p.mT)
    return K @ p, 2 / sigma**2 * (W.sum(-1, keepdim=True) * x - W @ x)


@_checks.full_precision
def shoot_by_equations(
    x0: Float[Tensor, "*batch n 2"], p0: Float[Tensor, "*batch n 2"], sigma: float, steps: int = 10
) -> tuple[Float[Tensor, "*batch n 2"], Float[Tensor, "*batch n 2"]]:
    """Integrate Hamilton's equations by Euler's rule: the version to read of `shoot(..., method="euler")`.

    Args:
        x0: landmarks at t = 0, (..., n, 2).
        p0: their momenta, (..., n, 2), in the unit of the points.
        sigma: σ_V, in the unit of the points.
        steps: number of Euler steps.

    Returns:
        Landmarks and momenta at t = 1, (..., n, 2) each.

    >>> x0, p0 = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    >>> torch.allclose(shoot_by_equations(x0, p0, 2.0)[0], shoot(x0, p0, 2.0, method="euler").end)
    True
    """
    x, p = x0, p0
    for _ in range(steps):
        dx, dp = hamilton_equations(x, p, sigma)
        x, p = x + dx / steps, p + dp / steps
    return x, p


@_checks.full_precision
def energy(flow: Flow) -> Float[Tensor, "*batch"]:
    """The cost of a flow, ∫_0^1 ||v_t||²_V dt.

    For a geodesic 2 H(x0, p0), because the integrand is constant; otherwise by the trapezium rule on each step.

    Returns:
        (...,), in the unit of the points squared.

    Paper A, the first term of equation 2.

    >>> energy(flow(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]), 2.0)).item()
    25.0
    """

    def at(k: int, alpha: Tensor) -> Tensor:
        return hamiltonian(with_points(flow.x0, flow.path[k]), alpha, flow.sigma)

    _checks.kind(flow, "flow", Flow)
    if flow.geodesic:
        return 2 * at(0, flow.momenta[0])
    return sum(at(k, alpha) + at(k + 1, alpha) for k, alpha in enumerate(flow.momenta)) / flow.steps


@_checks.full_precision
def apply(flow: Flow, points: PointsLike) -> Tensor:
    """Apply the map φ_1 of a flow to any points: a_k(1) = a_k(0) + ∫_0^1 Σ_j k_V(x_j(t), a_k(t)) α_j(t) dt.

    The result equals that of the argument `points` in the call that made the flow.

    Args:
        flow: from `flow`, `flow_path` or `shoot`.
        points: (..., m, 2); if curves flow separately, Curves that assign each point to a curve of x0.

    Returns:
        (..., m, 2).

    Paper A, section 3.3.

    >>> x0 = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> result = shoot(x0, torch.tensor([[0.0, 1.0], [1.0, 0.0]]), 2.0)
    >>> torch.allclose(apply(result, x0), result.end)
    True
    """
    _checks.kind(flow, "flow", Flow)
    units = units_of(flow.x0, flow.sigma)
    z = units.passengers(points, "flow.x0")
    for step in _maps(flow, units):
        z = step(z)
    return units.back(z, points)


@_checks.full_precision
def inverse(flow: Flow, points: PointsLike) -> Tensor:
    """Apply the inverse map φ_1^{-1} of a flow to any points.

    Each step z -> z + h Φ(z) is inverted by the fixed-point iteration z <- y - h Φ(z). This inverts the computed map,
    up to rounding, and not only its limit for many steps. (The limit is inverted by the flow of -α, or -p, from the
    end.)

    Args:
        flow: from `flow`, `flow_path` or `shoot`.
        points: y, (..., m, 2), or Curves, as in `apply`.

    Returns:
        (..., m, 2), the starting points of passengers that end at y.

    Raises:
        ValueError: the iteration does not converge, because the steps are too large to be one-to-one: see `min_steps`.

    >>> x0 = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> result = flow(x0, torch.tensor([[0.0, 1.0], [1.0, 0.0]]), 2.0)
    >>> torch.allclose(inverse(result, result.end), x0, atol=1e-6)
    True
    """
    _checks.kind(flow, "flow", Flow)
    units = units_of(flow.x0, flow.sigma)
    z = units.passengers(points, "flow.x0")
    for step in reversed(_maps(flow, units)):
        z = _undo(step, z)
    return units.back(z, points)


@_checks.full_precision
@_checks.with_gradients
def jacobian(flow: Flow, points: PointsLike) -> Float[Tensor, "*batch m"]:
    """The Jacobian determinant det Dφ_1 at any points: the growth of area there, negative where the steps folded the
    plane.

    It is that of the computed map. Differentiable where the flow or the points are.

    Args:
        flow: from `flow`, `flow_path` or `shoot`.
        points: (..., m, 2), or Curves, as in `apply`.

    Returns:
        (..., m).

    >>> still = flow(torch.zeros(1, 2), torch.zeros(1, 2), 2.0)
    >>> jacobian(still, torch.tensor([[0.0, 0.0], [1.0, 2.0]]))
    tensor([1., 1.])
    """
    _checks.kind(flow, "flow", Flow)
    z = points_of(points)
    _checks.points(z, "points")
    keep = torch.is_grad_enabled() and (z.requires_grad or flow.path.requires_grad)
    # An end depends on its own start only, so the gradient of the sum over points holds every point's row.
    with torch.enable_grad():
        try:
            z = z if z.requires_grad else z.detach().requires_grad_()
            end = apply(flow, with_points(points, z))
            x, y = (torch.autograd.grad(e.sum(), z, create_graph=keep, retain_graph=True)[0] for e in end.unbind(-1))
        except RuntimeError:  # inside torch.func, whose own method takes three times as long
            end, pull_back = torch.func.vjp(lambda z: apply(flow, with_points(points, z)), z)
            (x,), (y,) = (pull_back(each.expand_as(end)) for each in torch.eye(2).to(z))
    return x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0]


@_checks.full_precision
def certified(flow: Flow) -> bool:
    """Check that a computed flow is certainly one-to-one, in every one of its steps.

    A step a -> a + h Φ(a) is one-to-one if h Φ is a contraction. With u = h Lip(v), for the steepest field v among
    those that the step evaluates, it is one if u < 1 for Euler, u + u²/2 < 1 for the midpoint rule (u < √3 - 1) and
    u + u²/2 + u³/6 + u⁴/24 < 1 for RK4. And Lip(v) is at most

        √(2/e) Σ_i |α_i| / σ,   which needs no path: used for given momenta α,
        √2 ||v||_V / σ,         used for a geodesic, at the points and momenta of every stage of every step.

    The exact geodesic conserves ||v||_V, but a computed one may not: steps that are too long gain energy and fold. So
    the computed path is checked. The result holds for the whole plane, passengers included, for every element of a
    batch and for every curve that flows separately.

    Args:
        flow: from `flow`, `flow_path` or `shoot`.

    Returns:
        True if every step is a contraction, rounding included. False proves nothing: the condition is sufficient, and
            necessary only for Euler steps of a single landmark under given momenta, which may move by
            σ √(e/2) = 1.166 σ a step. A path that is not finite is not certified, nor one with momenta so large that
            rounding decides.

    >>> x0, p0 = torch.tensor([[-0.4, 0.0], [0.4, 0.0]]), torch.tensor([[4.0, 0.0], [-4.0, 0.0]])
    >>> certified(shoot(x0, p0, 1.0, 8)), certified(shoot(x0, p0, 1.0, 32))  # head on, and fast
    (False, True)
    """
    _checks.kind(flow, "flow", Flow)
    units = units_of(flow.x0, flow.sigma)
    h, reach = 1 / flow.steps, REACH[flow.method]
    with torch.no_grad():
        r = units.momenta(flow.momenta)
        if not flow.geodesic:
            return bool((h * _slope_by_sum(r) < reach).all())
        states, slopes = torch.cat([units.coordinates(flow.path), r], -2)[:-1], []

        def watched(s: Tensor) -> State:
            slopes.append(_slope_by_norm(*s.split(2, -2)))
            return integrate.geodesic(s)

        integrate.step(flow.method, watched, (states,), h)  # all steps at once: each starts from what was computed
        return all(bool((h * slope < reach).all()) for slope in slopes)


@_checks.full_precision
def min_steps(
    x0: PointsLike, alpha: Float[Tensor, "*batch n 2"], sigma: Sigma, method: str = "rk2", geodesic: bool = False
) -> int:
    """A number of steps that certainly keeps the computed map one-to-one: `certified` is then True.

    For constant momenta the bound of `certified` gives the number at once. For a geodesic the number that its start
    needs is tried, and doubled until the whole path is certified; this costs about four times a shooting with the
    result.

    Args:
        x0: as in `flow`.
        alpha: α as in `flow`, or p0 as in `shoot`.
        sigma: as in `flow`.
        method: "euler", "rk2" or "rk4". A step of higher order evaluates the field repeatedly, so that it may be a
            contraction only for a shorter step.
        geodesic: True for `shoot`, False for `flow`.

    Returns:
        One number for the whole batch and all curves. Sufficient; fewer steps are often enough.

    Raises:
        ValueError: a geodesic that no number up to MOST_STEPS certifies, and the errors of `flow`.

    >>> one, far = torch.zeros(1, 2), torch.tensor([[2.34, 0.0]])
    >>> min_steps(one, far, 1.0, "euler"), min_steps(one, far, 1.0, "rk2")
    (3, 3)
    """
    _checks.one_of(method, "method", METHODS)
    _checks.kind(geodesic, "geodesic", bool)
    units = units_of(x0, sigma)
    _like(alpha, units.x, "alpha")
    _held(alpha, units, "alpha")
    if not alpha.numel():
        return 1
    with torch.no_grad():
        q, r = units.coordinates(units.x), units.momenta(alpha)
        slope = (_slope_by_norm(q, r) if geodesic else _slope_by_sum(r)).max().item()
        steps = math.floor(min(slope / REACH[method], 1e15)) + 1
        if not geodesic:
            return steps
        while steps <= MOST_STEPS:
            if certified(shoot(x0, alpha, sigma, steps, method)):
                return steps
            steps *= 2
    raise ValueError(
        f"alpha: needed momenta whose geodesic at most {MOST_STEPS} steps of {method!r} certify, got ones of ||v||_V = "
        f"{slope / math.sqrt(2):.3g} sigma at the start; take smaller momenta, a larger sigma, or double precision"
    )


def _slope_by_sum(r: Tensor) -> Tensor:
    """The bound √(2/e) Σ_i |r_i|, for σ = 1: the sum of the slopes of all bumps of a field bounds its slope."""
    return math.sqrt(2 / math.e) * torch.linalg.vector_norm(r, dim=-2).sum(-1)


def _slope_by_norm(q: Tensor, r: Tensor) -> Tensor:
    """The bound √2 ||v||_V, for σ = 1, with a margin for rounding: large momenta that nearly cancel leave no correct
    digit of v.
    """
    total = torch.linalg.vector_norm(r, dim=-2).sum(-1)
    norm2 = (r * GaussianSum.apply(q, q, r)).sum((-1, -2)).clamp(min=0)
    return (2 * (norm2 + 4 * torch.finfo(r.dtype).eps * total.square())).sqrt()


# --- the loop ------------------------------------------------------------------------


def _run(
    x0: PointsLike,
    momenta: Tensor,
    sigma: Sigma,
    steps: int,
    method: str,
    points: PointsLike | None,
    name: str,
    geodesic: bool = False,
) -> Flow:
    """Integrate. momenta: (1 or steps, ..., n, 2), named `name` by the caller."""
    _checks.one_of(method, "method", METHODS)
    _checks.whole(steps, "steps")
    units = units_of(x0, sigma)
    _alike(momenta, units.x, name)
    _held(momenta, units, name)
    q, r = units.coordinates(units.x), units.momenta(momenta)
    passengers = () if points is None else (units.passengers(points),)
    path = [(torch.cat([q, r[0]], -2) if geodesic else q, *passengers)]
    for k in range(steps):
        v = integrate.geodesic if geodesic else integrate.driven(r[k % len(r)])
        path.append(integrate.step(method, v, path[-1], 1 / steps))
    states = torch.stack([s for s, *_ in path])
    if geodesic:
        momenta = states[..., 2:, :].mT * units.sigma
        momenta = momenta if units.curves is None else x0.unpad(momenta)
    return Flow(
        end=units.back(path[-1][0][..., :2, :], x0),
        points=None if points is None else units.back(path[-1][1], points),
        path=units.back(states[..., :2, :], x0),
        momenta=momenta if geodesic else momenta.expand(steps, *momenta.shape[1:]),
        x0=x0, sigma=sigma, steps=steps, method=method, geodesic=geodesic,
    )  # fmt: skip


def _like(momenta: Tensor, x: Tensor, name: str) -> None:
    """Refuse momenta (..., n, 2) unless they are finite and one for each point of x."""
    _checks.points(momenta, name)
    _alike(momenta[None], x, name)


def _alike(momenta: Tensor, x: Tensor, name: str) -> None:
    """Refuse momenta (T, ..., n, 2) unless there is one for each point of x."""
    if momenta.shape[1:] != x.shape or (momenta.dtype, momenta.device) != (x.dtype, x.device):
        wanted = f"one for each point: {tuple(x.shape)} of {x.dtype} on {x.device}, batch axes and all"
        got = f"{tuple(momenta.shape[1:])} of {momenta.dtype} on {momenta.device}"
        raise ValueError(f"{name}: needed {wanted}; got {got}; expand or convert one to the other")


def _held(momenta: Tensor, units: Units, name: str) -> None:
    """Refuse momenta of points in no curve if each curve flows separately: there is no field for them."""
    free = () if units.curves is None else units.curves.free
    if free and (moved := momenta.detach()[..., list(free), :] != 0).any():
        i = free[int(moved.any(-1).flatten(0, -2).any(0).nonzero()[0])]
        needed = f"0 for point {i}, which is in no curve and stays where each curve flows alone"
        _checks.need(False, name, needed, "another", f"make it a curve, [{i}], or let it ride by points=")


def _maps(flow: Flow, units: Units) -> list[Callable[[Tensor], Tensor]]:
    """The map of passengers of each step of a flow."""
    q, r = units.coordinates(flow.path), units.momenta(flow.momenta)
    states = torch.cat([q, r], -2) if flow.geodesic else q

    def step(z: Tensor, k: int) -> Tensor:
        v = integrate.geodesic if flow.geodesic else integrate.driven(r[k])
        return integrate.step(flow.method, v, (states[k], z), 1 / flow.steps)[1]

    return [partial(step, k=k) for k in range(flow.steps)]


def _undo(step: Callable[[Tensor], Tensor], y: Tensor, most: int = 200) -> Tensor:
    """The solution z of step(z) = y."""
    if not y.numel():
        return y
    z, enough = y, 8 * torch.finfo(y.dtype).eps * (1 + y.abs().max().item())
    for _ in range(most):
        rest = y - step(z)
        z = z + rest
        if rest.abs().max() <= enough:
            return z
    raise ValueError(
        f"points: needed a step that is one-to-one, got one that {most} iterations do not invert (still off by "
        f"{rest.abs().max().item():.2g} σ); flow in more steps, `min_steps` gives a number that is enough"
    )
