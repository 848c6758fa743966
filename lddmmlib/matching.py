"""Inexact matching: the flow that moves a template close to a target at low energy, and statistics of such flows.

The unknowns are momenta at the template. The momenta of close points have nearly the same effect, so the plain problem
is ill-conditioned. The search is over z, with p0 = (K + 0.001 I)^(-1/2) z: in z the energy is nearly |z|².
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lddmmlib import _checks, currents, flows
from lddmmlib._engine.integrate import units_of
from lddmmlib._engine.lbfgs import minimise
from lddmmlib._shapes import Float
from lddmmlib.curves import Curves, PointsLike, Sigma, as_curves, comparable, points_of, several, widths, with_points
from lddmmlib.flows import Flow
from lddmmlib.kernels import gaussian

MODELS = {"shoot": flows.shoot, "flow": flows.flow}
RIDGE = 1e-3  # added to K before its inverse root, which so exists for coincident points


class Match(NamedTuple):
    """A match of a template to a target.

    Attributes:
        momenta: (..., n, 2), p0 or the constant α.
        deformed: (..., n, 2), the end of the template.
        points: the end of the passengers, or None.
        value: (...,), J of equation 2.
        n_iter: (...,), the number of evaluations of J.
        residual: (...,), the relative decrease of J in the last ten steps.
        converged: (...,), whether the residual is within the tolerance.

    >>> template = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> match(template, template, 2.0).momenta.abs().max().item()  # nothing to move
    0.0
    """

    momenta: Tensor
    deformed: Tensor
    points: Tensor | None
    value: Tensor
    n_iter: Tensor
    residual: Tensor
    converged: Tensor


class Mean(NamedTuple):
    """The Karcher mean of shapes.

    Attributes:
        template: (n, 2), from which the momenta to all shapes sum to zero.
        momenta: (shapes, n, 2), those momenta.
        n_iter: the number of iterations.
        residual: the V-norm of the mean momenta, relative to their root mean square V-norm.
        converged: whether the residual is within the tolerance and all matches converged.

    >>> triangle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> mean(torch.stack([triangle, triangle]), 2.0).momenta.shape
    torch.Size([2, 3, 2])
    """

    template: Tensor
    momenta: Tensor
    n_iter: int
    residual: float
    converged: bool


class Modes(NamedTuple):
    """Principal geodesic modes.

    Attributes:
        mean: (n, 2), the mean momenta.
        momenta: (k, n, 2), directions of V-norm 1 that are orthogonal in V.
        deviations: (k,), standard deviations along them, largest first.
        scores: (shapes, k).

    >>> p = torch.tensor([[[2.0, 0.0]], [[-2.0, 0.0]]])
    >>> modes(torch.zeros(1, 2), p, 1.0).scores.shape
    torch.Size([2, 1])
    """

    mean: Tensor
    momenta: Tensor
    deviations: Tensor
    scores: Tensor


@_checks.full_precision
def discrepancy(
    z: PointsLike, y: PointsLike, sigma_w: Sigma | None, beta: float = 0.1, landmarks: bool = True
) -> Float[Tensor, "*batch"]:
    """The discrepancy D = β D_c + D_l between the deformed z and the target y; for Curves D = Σ_p (β D_c^p + D_l^p).

    Args:
        z: (..., n, 2), which is one open curve, or Curves. In the sum over Curves each D_l^p is a mean over the points
            of its own curve, so a curve of few points counts as much as one of many.
        y: as z. Without landmarks the numbers of points may differ.
        sigma_w: σ_W, in the unit of the points, a number or one per curve; None for no D_c.
        beta: β, the weight of the curves.
        landmarks: False for no D_l.

    Returns:
        (...,), the sum of a squared length and a length: it depends on the unit.

    Raises:
        ValueError, TypeError: the errors of `currents.distance2` and `currents.landmark_discrepancy`.

    Paper A, equation 3, and for Curves the sum in equation 8.

    >>> y = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> discrepancy(y.flip(0), y, 2.0).item()  # 0.1 * 100 + 5
    15.0
    """
    _checks.number(beta, "beta", 0)
    _checks.kind(landmarks, "landmarks", bool)
    if sigma_w is None and not landmarks:
        raise ValueError("landmarks: needed True, or curves to match by, got neither; give sigma_w")
    if sigma_w is not None:
        comparable(z=z, y=y)
        width = widths(sigma_w, z, "sigma_w", y if isinstance(y, Curves) else None)
    terms = currents.landmark_discrepancy(z, y) if landmarks else 0
    if sigma_w is not None:
        terms = beta * currents.between(z, y, width) + terms
    return terms.sum(-1) if isinstance(z, Curves) else terms


@_checks.full_precision
def loss(
    z: Curves, y: Curves, sigma_w: Sigma, beta: float = 0.1, normaliser: float | Float[Tensor, "*batch"] = 1.0
) -> Float[Tensor, "*batch"]:
    """The loss function of paper A, L = 1/d Σ_p (β D_c^p + D_l^p): the `discrepancy` of a face, normalised by its size.

    Args:
        z: Curves, the deformed face; points (..., n, 2).
        y: Curves, the annotated face, the same points in each curve.
        sigma_w: σ_W, a number or one per curve, in the unit of the points. The paper's rule is half of each curve's
            σ_V.
        beta: β, the weight of the curves.
        normaliser: d, a length in the unit of the points: a number or one per face, (...,). In the paper's text it is
            the distance between the pupils, in its released code that between the outer eye corners.

    Returns:
        (...,), one number per face. The energy is not part of it: γ = 0.

    Raises:
        ValueError, TypeError: a normaliser not above 0, z that is not Curves, and the errors of `discrepancy`.

    Paper A, equation 8.

    >>> face = Curves(torch.tensor([[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]]), [[0, 1], [2]])
    >>> moved = face.with_points(face.points + torch.tensor([0.0, 2.0]))
    >>> round(loss(moved, face, 1e3, normaliser=4.0).item(), 3)  # (2 + 2) / 4: so wide a kernel sees no shift
    1.0
    """
    if not isinstance(z, Curves):
        raise TypeError(f"z: needed Curves, got {type(z).__name__}; for one curve use Curves(points, [slice(None)])")
    total = discrepancy(z, y, sigma_w, beta)
    if not isinstance(normaliser, Tensor) or normaliser.ndim == 0:
        _checks.positive(normaliser, "normaliser")
        return total / normaliser
    _checks.floats(normaliser, "normaliser")
    size = normaliser.to(total)
    if not (size > 0).all() or not size.isfinite().all():
        raise ValueError(f"normaliser: needed lengths > 0, got {normaliser}; a missing eye corner makes it NaN")
    if size.shape != total.shape:
        raise ValueError(f"normaliser: needed a number or one a face, {tuple(total.shape)}, got {tuple(size.shape)}")
    return total / size


@_checks.full_precision
def objective(
    flow: Flow,
    target: PointsLike,
    sigma_w: Sigma | None,
    beta: float = 0.1,
    gamma: float = 0.01,
    landmarks: bool = True,
) -> Float[Tensor, "*batch"]:
    """The objective J = γ ∫_0^1 ||v_t||²_V dt + D(φ_1 · C, S) that `match` minimises.

    Args:
        flow: the flow of the template C.
        target: S, (..., n, 2), or Curves.
        sigma_w: σ_W, as in `discrepancy`.
        beta: β, the weight of the curves.
        gamma: γ, the weight of the energy, from 0 (only the target counts) to 1.
        landmarks: as in `discrepancy`.

    Returns:
        (...,).

    Paper A, equation 2, with the discrepancy of equation 3, or for Curves the sum of equation 8.

    >>> still = flows.flow(torch.zeros(1, 2), torch.zeros(1, 2), 2.0)
    >>> objective(still, torch.tensor([[3.0, 4.0]]), None).item()
    5.0
    """
    _checks.kind(flow, "flow", Flow)
    _weights(beta, gamma)
    _targets("target", target, sigma_w, nan=sigma_w is None)
    _checks.same(**{"flow.end": flow.end, "target": points_of(target)})
    _checks.batch(flow.end.shape[:-2], **{"flow.end": flow.end, "target": points_of(target)})
    if landmarks and points_of(target).shape != flow.end.shape:
        got = f"{tuple(flow.end.shape)} and {tuple(points_of(target).shape)}"
        raise ValueError(f"flow.end, target: needed the same points, got {got}; landmarks=False matches curves alone")
    end = flow.x0.with_points(flow.end) if isinstance(flow.x0, Curves) else flow.end
    return gamma * flows.energy(flow) + discrepancy(end, target, sigma_w, beta, landmarks)


@_checks.full_precision
@_checks.with_gradients
def match(
    template: PointsLike,
    target: PointsLike,
    sigma_v: Sigma,
    sigma_w: Sigma | None = None,
    beta: float = 0.1,
    gamma: float = 0.01,
    model: str = "shoot",
    points: PointsLike | None = None,
    *,
    landmarks: bool = True,
    steps: int = 10,
    tol: float = 1e-4,
    max_iter: int = 200,
) -> Match:
    """Match a template to targets: minimise J of equation 2, the `objective` of the template's flow, over p0 or α.

    Plain points are landmarks, and also one open curve if sigma_w is given; Curves are both, by their groups. They are
    matched by the sum of equation 8: each curve has its own D_l, a mean over its points, so that with a flow per
    curve each curve is matched separately. Plain points have one D_l.

    The weights β and γ weigh squared lengths against the length D_l, so their values belong to a unit, here pixels of a
    face some hundreds wide. For a face of width 1, γ restricts the flow hundreds of times less, and J has kinks where
    landmarks reach their targets, which make the search slow. Matching by landmarks only stops short of the target if n
    is large: a single landmark out of n, or of the n of its curve, moves by at most 1/(2γn), so lower γ.

    Args:
        template: (n, 2), or (..., n, 2) as the target; or Curves.
        target: (..., n, 2), the same points in the same order, NaN where unlabelled if no curve is matched; all targets
            are matched at once, each on its own.
        sigma_v: σ_V of the flow, in the unit of the points; a larger one moves points more as a whole.
        sigma_w: σ_W; None is σ_V / 2 for Curves, the paper's rule, and no matching of curves for plain points.
        beta: β, the weight of the curves.
        gamma: γ, the weight of the energy, in [0, 1].
        model: "shoot" for momenta p0, or "flow" for constant momenta α.
        points: passengers, as in `flows.flow`.
        landmarks: False matches curves only; the target may then have another number of points.
        steps: the number of steps of the midpoint rule.
        tol: a match has converged when ten steps of L-BFGS reduce J by at most this fraction.
        max_iter: the largest number of evaluations of J.

    Returns:
        A `Match`. If `converged` is False it is the best one found: raise max_iter, gamma or sigma_v.

    Raises:
        ValueError: gamma outside [0, 1], beta below 0, neither landmarks nor curves to match, and the errors of the
            terms.

    Paper A, equations 2 to 5 and the sum in 8.

    >>> template = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    >>> found = match(template, template + 0.5, 2.0, steps=2, tol=0.01)  # coarse, to be quick
    >>> bool(found.converged), (found.deformed - template - 0.5).abs().max().item() < 0.01
    (True, True)
    """
    _checks.one_of(model, "model", MODELS)
    _weights(beta, gamma)
    _checks.positive(tol, "tol")
    _checks.whole(max_iter, "max_iter")
    _checks.whole(steps, "steps")
    _checks.kind(landmarks, "landmarks", bool)
    units_of(template, sigma_v, "template", "sigma_v")
    _targets("target", target, sigma_w, nan=sigma_w is None and not isinstance(template, Curves))
    _checks.same(template=points_of(template), target=points_of(target))
    x, y = points_of(template), points_of(target)
    if x.ndim > 2:
        _checks.batch(x.shape[:-2], template=x, target=y)
    if points is not None:
        _checks.points(points_of(points), "points")
        _checks.same(template=x, points=points_of(points))
        if points_of(points).ndim > 2:
            _checks.batch(y.shape[:-2], target=y, points=points_of(points))
    template, target, sigma_w, points = _pair(template, target, sigma_v, sigma_w, points)
    if sigma_w is None and not landmarks:
        raise ValueError("landmarks: needed True, or curves to match by; give sigma_w, or Curves")
    if landmarks and points_of(target).shape != points_of(template).shape:
        got = f"{tuple(points_of(template).shape)} and {tuple(points_of(target).shape)}"
        raise ValueError(f"template, target: needed the same points, got {got}; landmarks=False matches curves alone")
    L, shape = whitening(template, sigma_v), points_of(template).shape

    def J(z: Tensor) -> Tensor:
        flow = MODELS[model](template, L @ z.reshape(shape), sigma_v, steps)
        return objective(flow, target, sigma_w, beta, gamma, landmarks).reshape(-1)

    start = torch.zeros_like(points_of(template)).reshape(shape[:-2].numel(), 2 * shape[-2])
    z, *report = minimise(J, start, tol, max_iter, _noise(template, beta))
    momenta = L @ z.reshape(shape)
    flow = MODELS[model](template, momenta, sigma_v, steps, points=points)
    value, n_iter, residual, converged = (x.reshape(shape[:-2]) for x in report)
    return Match(momenta=momenta, deformed=flow.end, points=flow.points, value=value,
                 n_iter=n_iter, residual=residual, converged=converged)  # fmt: skip


@_checks.full_precision
@_checks.with_gradients
def match_by_descending(
    x0: Float[Tensor, "n 2"],
    y: Float[Tensor, "n 2"],
    sigma_v: float,
    sigma_w: float,
    beta: float = 0.1,
    gamma: float = 0.01,
    n_iter: int = 200,
) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2"]]:
    """Match one open curve to another by torch's own L-BFGS: the version to read of `match`.

    Minimise J = γ ∫ ||v_t||²_V dt + β D_c + D_l over p0. A geodesic keeps its energy, so the integral is 2 H(x0, p0).

    Args:
        x0: points of the template, (n, 2).
        y: the same points of the target, (n, 2).
        sigma_v: σ_V of the flow, in the unit of the points.
        sigma_w: σ_W of the currents, in the unit of the points.
        beta: weight of the curves.
        gamma: weight of the energy.
        n_iter: steps of L-BFGS.

    Returns:
        The momenta p0 and the deformed points z = φ_1(x0), (n, 2) each.

    Paper A, equations 2 and 3.

    >>> x0 = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    >>> p0, z = match_by_descending(x0, x0 + 0.5, 2.0, 1.0)
    >>> (z - x0 - 0.5).abs().max().item() < 0.01
    True
    """
    L = whitening(x0, sigma_v)  # p0 = L q: in q the energy is nearly |q|², and the search is short
    q = torch.zeros_like(x0, requires_grad=True)
    search = torch.optim.LBFGS([q], max_iter=n_iter, line_search_fn="strong_wolfe")

    def J() -> Tensor:
        search.zero_grad()
        p0 = L @ q
        z = flows.shoot(x0, p0, sigma_v).end
        D = beta * currents.distance2(z, y, sigma_w) + currents.landmark_discrepancy(z, y)
        value = gamma * 2 * flows.hamiltonian(x0, p0, sigma_v) + D
        value.backward()
        return value

    search.step(J)
    p0 = L @ q.detach()
    return p0, flows.shoot(x0, p0, sigma_v).end


@_checks.full_precision
def mean(
    shapes: PointsLike, sigma_v: Sigma, sigma_w: Sigma | None = None, beta: float = 0.1, gamma: float = 0.01,
    *, steps: int = 10, tol: float = 0.05, max_iter: int = 10,
) -> Mean:  # fmt: skip
    """The Karcher mean: the template from which Σ_b p0_b = 0, with p0_b the momenta of the geodesic to shape b.

    Starting from the arithmetic mean, match the template to all shapes and shoot it along the mean momenta, until these
    are small. With a gamma so large that the matches stay far from the shapes, many iterations are needed.

    Args:
        shapes: (shapes, n, 2), or Curves of such points.
        sigma_v: σ_V, as in `match`.
        sigma_w: σ_W, as in `match`.
        beta: β, as in `match`.
        gamma: γ, as in `match`.
        steps: as in `match`.
        tol: the iteration stops when the mean momenta are at most this fraction of the momenta, in V-norm.
        max_iter: the largest number of iterations.

    Returns:
        A `Mean`.

    Raises:
        ValueError: other axes, and the errors of `match`.

    >>> square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    >>> two = mean(torch.stack([square, square + 0.2]), 2.0, steps=2)  # coarse, to be quick
    >>> two.converged, (two.template - square - 0.1).abs().max().item() < 0.01
    (True, True)
    """
    x = points_of(shapes)
    units_of(shapes, sigma_v, "shapes", "sigma_v")
    if x.ndim != 3:
        raise ValueError(f"shapes: needed (shapes, n, 2), got {tuple(x.shape)}; flatten the batch axes into one")
    _checks.some(x, "shapes")
    _checks.positive(tol, "tol")
    _checks.whole(max_iter, "max_iter")
    template = x.mean(0)
    for n_iter in range(1, max_iter + 1):
        if n_iter > 1:
            template = flows.shoot(with_points(shapes, template), p.mean(0), sigma_v, steps).end
        found = match(with_points(shapes, template), shapes, sigma_v, sigma_w, beta, gamma, steps=steps)
        K, p = _gram(with_points(shapes, template), sigma_v), found.momenta
        centre = p.mean(0, keepdim=True)
        size2 = _inner(p, p, K).diagonal().mean()
        residual = (_inner(centre, centre, K) / size2).sqrt().nan_to_num(0).item()
        if residual <= tol:
            break
    converged = residual <= tol and bool(found.converged.all())
    return Mean(template=template, momenta=p, n_iter=n_iter, residual=residual, converged=converged)


@_checks.full_precision
def modes(template: PointsLike, momenta: Float[Tensor, "shapes n 2"], sigma_v: Sigma, k: int | None = None) -> Modes:
    """Principal geodesic modes: the eigenvectors of the covariance of momenta, by <p, p'>_V = Σ_ij k_ij p_i·p'_j.

    `shoot(template, mean + deviations[0] * momenta[0], sigma_v)` shows the first. Statistics on geodesics go beyond
    paper A.

    Args:
        template: (n, 2), or Curves.
        momenta: (shapes, n, 2), of matches from it.
        sigma_v: σ_V of these matches.
        k: the number of modes; None for all with variance.

    Returns:
        `Modes`.

    Raises:
        ValueError: fewer than two shapes, or momenta of other points.

    >>> template = torch.tensor([[0.0, 0.0], [9.0, 0.0]])
    >>> p = torch.tensor([[[2.0, 0.0], [0.0, 1.0]], [[-2.0, 0.0], [0.0, 1.0]]])
    >>> [round(each, 4) for each in modes(template, p, 1.0).deviations.tolist()]  # 2, -2: variance 8 over n - 1
    [2.8284]
    """
    units_of(template, sigma_v, "template", "sigma_v")
    _checks.points(momenta, "momenta")
    if momenta.ndim != 3 or len(momenta) < 2:
        raise ValueError(f"momenta: needed (shapes, n, 2) of two shapes at least, got {tuple(momenta.shape)}")
    x = points_of(template)
    _checks.same(template=x, momenta=momenta)
    if momenta.shape[1:] != x.shape:
        raise ValueError(f"template, momenta: needed the same points, got {tuple(x.shape)} and {tuple(momenta.shape)}")
    if k is not None:
        _checks.whole(k, "k")
    K, centre = _gram(template, sigma_v), momenta.mean(0)
    p = momenta - centre
    values, vectors = torch.linalg.eigh(_inner(p, p, K))
    values, vectors = values.flip(-1), vectors.flip(-1)
    real = int((values > len(p) * torch.finfo(p.dtype).eps * values[0]).sum())
    k = real if k is None else min(k, real)
    size = values[:k].sqrt()
    directions = torch.einsum("bk,bnd->knd", vectors[:, :k] / size, p)
    deviations = size / (len(p) - 1) ** 0.5
    return Modes(mean=centre, momenta=directions, deviations=deviations, scores=vectors[:, :k] * size)


# --- parts ---------------------------------------------------------------------------


def _weights(beta: float, gamma: float) -> None:
    _checks.number(gamma, "gamma", 0, 1)
    _checks.number(beta, "beta", 0)


def _targets(name: str, target: PointsLike, sigma_w: Sigma | None, nan: bool) -> None:
    _checks.points(points_of(target), name, nan=nan)
    if sigma_w is not None and not several(sigma_w):
        _checks.positive(sigma_w, "sigma_w")


def _pair(
    template: PointsLike, target: PointsLike, sigma_v: Sigma, sigma_w: Sigma | None, points: PointsLike | None
) -> tuple[PointsLike, PointsLike, Sigma | None, PointsLike | None]:
    """Template and target as Curves if curves are matched, with one batch; σ_W by the paper's rule."""
    if isinstance(template, Curves):
        target = target if isinstance(target, Curves) else template.with_points(target)
        if sigma_w is None:
            half = widths(sigma_v, template, "sigma_v") / 2
            sigma_w = half.flatten() if several(half) else half
    elif sigma_w is not None:
        template, target = as_curves(template), as_curves(target)
    batch = points_of(target).shape[:-2]

    def spread(x: PointsLike | None) -> PointsLike | None:
        if x is None:
            return None
        each = points_of(x).detach()
        return with_points(x, each if each.ndim > 2 else each.expand(*batch, *each.shape))

    return spread(template), target, sigma_w, spread(points)


def _gram(x0: PointsLike, sigma: Sigma) -> Tensor:
    """The kernel matrix k_V of the points, (..., n, n); 0 between curves that flow separately."""
    x = points_of(x0)
    scale = units_of(x0, sigma).sigma
    if not isinstance(x0, Curves) or x0.coupled:
        return gaussian(x, x, scale)
    curve = _curve_of(x0)
    scale = scale.flatten()[curve] if several(scale) else scale
    return gaussian(x / scale, x / scale, 1.0) * ((curve == curve.mT) & (curve >= 0))


def _curve_of(x0: Curves) -> Tensor:
    """The number of each point's curve, (n, 1); -1 if it is in none."""
    number = torch.arange(1, len(x0.slices) + 1, device=x0.points.device)
    return x0.unpad(number[:, None, None].expand(*x0.mask().shape)) - 1


@_checks.full_precision
def whitening(x0: PointsLike, sigma: Sigma) -> Float[Tensor, "*batch n n"]:
    """The matrix L = (K + 0.001 I)^(-1/2), with K the kernel matrix of the points: momenta L z have the energy |z|²,
    nearly.

    Args:
        x0: (..., n, 2), or Curves; between curves that flow separately K is 0, and so is L for points in none of them.
        sigma: σ_V, in the unit of the points; one per curve if curves flow separately.

    Returns:
        (..., n, n), symmetric.

    >>> whitening(torch.tensor([[0.0, 0.0], [100.0, 0.0]]), 1.0).round(decimals=4)  # far apart: K is the identity
    tensor([[0.9995, 0.0000],
            [0.0000, 0.9995]])
    """
    K = _gram(x0, sigma)
    values, vectors = torch.linalg.eigh(K + RIDGE * torch.eye(K.shape[-1], dtype=K.dtype, device=K.device))
    L = (vectors * values.rsqrt()[..., None, :]) @ vectors.mT
    if isinstance(x0, Curves) and not x0.coupled and x0.free:  # points that do not flow have no momentum
        held = (_curve_of(x0) >= 0).to(L.dtype)
        L = L * held * held.mT
    return L


def _noise(template: PointsLike, beta: float) -> float:
    """The rounding error of J: its terms are of the order of a length, one per curve, and of β times its square."""
    x, curves = points_of(template), len(template.slices) if isinstance(template, Curves) else 1
    extent = (x - x.mean(-2, keepdim=True)).abs().max().item() if x.numel() else 0.0
    return 4 * torch.finfo(x.dtype).eps * (curves * extent + beta * extent**2)


def _inner(p: Tensor, q: Tensor, K: Tensor) -> Tensor:
    """The inner products <p_b, q_c>_V for all b, c."""
    return p.flatten(1) @ (K @ q).flatten(1).mT
