"""Matching on real annotations: what is left over, what it costs, what folds, and who carries left-out landmarks best.

The mean face is matched to real faces in the Procrustes frame, scaled so that the outer eye corners of the mean are
100 px apart: a pixel is one per cent of that distance.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lddmmlib import flows, matching
from lddmmlib._engine.lbfgs import minimise
from lddmmlib._shapes import Float
from lddmmlib.curves import Curves
from lddmmlib.experiments import Experiment
from lddmmlib.experiments._real import SHAPES, real_shapes
from lddmmlib.experiments.labels import with_interval
from lddmmlib.faces import schemes, statistics
from lddmmlib.faces.crossings import crossings as crossing_segments

UNIT = 100.0  # px between the outer eye corners of the mean
FACES, FEW = 100, 10  # matched; of these, searched twice to compare the searches
SIGMA_V, GAMMA, BETA, STEPS, MOST = 30.0, 0.01, 0.1, 5, 400  # px, ...: of the match, most evaluations
NARROW_TO_WIDE = (15.0, 30.0, 60.0)  # σ_V that carry left-out landmarks
KEPT_MODES = (1, 2, 3, 5, 10, 20, 40)
SCHEME = "300w-68"


def pixels(shapes: Float[Tensor, "k 68 2"]) -> tuple[Float[Tensor, "k 68 2"], Float[Tensor, "68 2"]]:
    """All shapes and their mean in the Procrustes frame, in px."""
    found = statistics.procrustes(shapes, schemes.get(SCHEME).corners)
    return UNIT * found.aligned, UNIT * found.mean


def some(shapes: Float[Tensor, "k n 2"], count: int) -> Float[Tensor, "count n 2"]:
    """A random choice, always the same."""
    return shapes[torch.randperm(len(shapes), generator=torch.Generator().manual_seed(0))[:count]]


def face(points: Float[Tensor, "*batch n 2"], kept: list[int] | None = None) -> Curves:
    """The nine curves of the 68 landmarks in one flow, or what is kept of them."""
    scheme, kept = schemes.get(SCHEME), list(range(68)) if kept is None else kept
    rows = [[kept.index(i) for i in curve if i in kept] for curve in scheme.curves.values()]
    return Curves(points[..., kept, :], rows, [name in scheme.closed for name in scheme.curves])


def distances(a: Tensor, b: Tensor) -> dict:
    """Mean distance over the points of each face, and the farthest point of each: over faces, with quantiles."""
    d = (a - b).norm(dim=-1)
    at = d.new_tensor([0.5, 0.95, 1.0])
    return {
        "mean": with_interval(d.mean(-1)),
        "mean_quantiles": torch.quantile(d.mean(-1), at).tolist(),
        "farthest_quantiles": torch.quantile(d.amax(-1), at).tolist(),
    }


def searches(mean: Float[Tensor, "68 2"], y: Float[Tensor, "k 68 2"]) -> dict:
    """Evaluations of J until it is within 1 % of the best that either search found; one more than MOST: not reached."""
    x, target = face(mean.expand_as(y)), face(y)
    roots = {"whitened": matching.whitening(face(mean), SIGMA_V), "raw": torch.eye(68, dtype=y.dtype)}
    seen: dict[str, list[Tensor]] = {name: [] for name in roots}
    for name, root in roots.items():

        def J(z: Tensor) -> Tensor:
            flow = flows.shoot(x, root @ z.reshape(y.shape), SIGMA_V, STEPS)  # noqa: B023
            value = matching.objective(flow, target, SIGMA_V / 2, BETA, GAMMA)
            seen[name].append(value.detach())  # noqa: B023
            return value

        minimise(J, torch.zeros_like(y).flatten(1), 1e-9, MOST)
    values = {name: torch.stack(rows) for name, rows in seen.items()}  # (evaluations, k)
    best = torch.stack([v.amin(0) for v in values.values()]).amin(0)
    first = {name: _first(v <= 1.01 * best) for name, v in values.items()}
    return {name: {"median": n.median().item(), "not_reached": int((n > MOST).sum())} for name, n in first.items()}


def _first(reached: Tensor) -> Tensor:
    """(evaluations, k) -> (k,): the first that is reached, counted from 1."""
    never = torch.full_like(reached[0], MOST + 1, dtype=torch.long)
    return torch.where(reached.any(0), reached.int().argmax(0) + 1, never)


def folded(x: Float[Tensor, "68 2"], p0: Float[Tensor, "k 68 2"], steps: int, side: int = 41) -> dict:
    """Where the plane around the face is turned over: the share of a grid's nodes, and in how many faces any."""
    low, high = x.amin(0) - SIGMA_V, x.amax(0) + SIGMA_V
    nodes = torch.linspace(0, 1, side, dtype=x.dtype)
    grid = low + (high - low) * torch.cartesian_prod(nodes, nodes)
    over = torch.cat([
        flows.jacobian(flows.shoot(x.expand_as(p), p, SIGMA_V, steps), grid.expand(len(p), -1, -1)) < 0
        for p in p0.split(20)
    ])  # fmt: skip
    return {"nodes_percent": 100 * over.double().mean().item(), "faces": int(over.any(-1).sum())}


def crosses(loop: Float[Tensor, "*batch n 2"]) -> Tensor:
    """Whether a closed polygon crosses itself: two of its edges that share no end do. (...,) booleans."""
    edges = torch.cat([loop, loop[..., :1, :]], -2)
    return crossing_segments(edges, edges).flatten(-2).any(-1)


def area(loop: Float[Tensor, "*batch n 2"]) -> Tensor:
    """Of a closed polygon, (...,): positive for upper edge first, left to right, as our schemes run."""
    after = loop.roll(-1, -2)
    return (loop[..., 0] * after[..., 1] - loop[..., 1] * after[..., 0]).sum(-1) / 2


def crossings(x: Float[Tensor, "k 68 2"]) -> dict:
    """In how many faces the lids of an eye, or the inner lips, lie across each other, in part or wholly."""
    curves = schemes.get(SCHEME).curves
    loops = {name: x[:, list(curves[name])] for name in ("left_eye", "right_eye", "inner_lip")}
    left, right, lips = (crosses(loop) | (area(loop) < 0) for loop in loops.values())
    return {"lids": int((left | right).sum()), "inner_lips": int(lips.sum())}


def halves() -> tuple[list[int], list[list[int]]]:
    """Every other landmark of each curve, and the ends; and the rest, each with its two neighbours on the curve."""
    scheme, kept, left = schemes.get(SCHEME), [], []
    for name, curve in scheme.curves.items():
        ring = [*curve, curve[0]] if name in scheme.closed else list(curve)
        middle = list(range(1, len(ring) - 1, 2))
        kept += [i for k, i in enumerate(ring[: len(curve)]) if k not in middle]
        left += [[ring[k], ring[k - 1], ring[k + 1]] for k in middle]
    return sorted(kept), left


def left_out(mean: Float[Tensor, "68 2"], y: Float[Tensor, "k 68 2"]) -> dict:
    """Match by every other landmark; how far from the truth do the ways of filling the gaps leave the others?

    still: the mean's landmark. chord: half-way between its neighbours in the face. displaced: the mean's landmark,
    moved by the mean of what its neighbours move by. flow: ridden along, by σ_V.
    """
    kept, left = halves()
    out, before, after = map(list, zip(*left, strict=True))
    move = y - mean
    guesses = {"still": mean[out].expand_as(y[:, out]), "chord": (y[:, before] + y[:, after]) / 2}
    guesses["displaced"] = mean[out] + (move[:, before] + move[:, after]) / 2
    for sigma in NARROW_TO_WIDE:
        guesses[f"flow {sigma:g}"] = matching.match(
            face(mean, kept), y[:, kept], sigma, beta=BETA, gamma=GAMMA, steps=STEPS, points=mean[out]
        ).points
    return {"kept": len(kept), "left_out": len(out)} | {
        name: distances(guess, y[:, out]) for name, guess in guesses.items()
    }


def explained(x: Float[Tensor, "68 2"], p0: Float[Tensor, "k 68 2"], y: Float[Tensor, "k 68 2"]) -> dict:
    """Distance of each face to its best by k modes: principal components of points, and geodesics by k modes of p0."""
    ends = flows.shoot(x.expand_as(p0), p0, SIGMA_V, STEPS).end
    told = matching.modes(x, p0, SIGMA_V)
    offset = (y - y.mean(0)).flatten(1)
    u, s, vt = torch.linalg.svd(offset, full_matrices=False)
    figures: dict = {
        "modes": list(KEPT_MODES),
        "energy_share": _shares(told.deviations),
        "variance_share": _shares(s),
        "geodesic": [], "linear": [], "geodesic_to_its_match": [],
    }  # fmt: skip
    for k in KEPT_MODES:
        p = told.mean + torch.einsum("bk,knd->bnd", told.scores[:, :k], told.momenta[:k])
        end = flows.shoot(x.expand_as(p), p, SIGMA_V, STEPS).end
        line = y.mean(0) + (u[:, :k] * s[:k] @ vt[:k]).view_as(y)
        for name, a, b in (("geodesic", end, y), ("linear", line, y), ("geodesic_to_its_match", end, ends)):
            figures[name].append((a - b).norm(dim=-1).mean().item())
    return figures


def _shares(deviations: Float[Tensor, " k"]) -> list[float]:
    """Of the variance, by the leading KEPT_MODES."""
    variance = deviations.square()
    return [(variance[:k].sum() / variance.sum()).item() for k in KEPT_MODES]


def matching_real() -> dict:
    """The mean of 2,800 real faces matched to a hundred of them."""
    shapes, mean = pixels(real_shapes())
    y = some(shapes, FACES)
    found = matching.match(face(mean), y, SIGMA_V, beta=BETA, gamma=GAMMA, steps=STEPS, max_iter=MOST)
    return {
        "count": FACES,
        "settings": {
            "few": FEW,
            "unit": UNIT,
            "sigma_v": SIGMA_V,
            "beta": BETA,
            "gamma": GAMMA,
            "steps": STEPS,
            "most": MOST,
        },
        "before": distances(mean.expand_as(y), y),
        "after": distances(found.deformed, y),
        "converged": int(found.converged.sum()),
        "evaluations": torch.quantile(found.n_iter.double(), y.new_tensor([0.5, 0.95])).tolist(),
        "to_one_percent": searches(mean, y[:FEW]),
        "folded": {str(n): folded(mean, found.momenta, n) for n in (2, STEPS, 4 * STEPS)},
        "crossed": {"annotated": crossings(y), "matched": crossings(found.deformed)},
        "left_out": left_out(mean, y),
        "explained": explained(mean, found.momenta, y),
    }


EXPERIMENTS = {
    "matching_real": Experiment(
        measure=matching_real,
        question="How near does a flow of the mean face come to real ones, at which cost, and does it fill gaps?",
        data=f"100 of {SHAPES}",
    )
}
