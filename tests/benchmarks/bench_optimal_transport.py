"""Sinkhorn between heatmaps beside the solvers of POT and GeomLoss, and the loss of a face, on one thread.

python tests/benchmarks/bench_optimal_transport.py [--json PATH] [--side N] [--eps EPS]

GeomLoss takes part where it is installed. Each peer is checked to give our cost before it is timed: POT to the same
marginal error, GeomLoss after its own schedule of falling ε, whose last step sets how near it comes.
"""

import importlib.util

import numpy as np
import ot
import torch
from side_by_side import beside, fastest, options, show

from lddmmlib import heatmaps
from lddmmlib import optimal_transport as transport

POT = {"POT sinkhorn": "sinkhorn", "POT sinkhorn_stabilized": "sinkhorn_stabilized"}


def pair(side):
    """A wide map and a narrow one, a third of the grid apart, both float64 with sum 1."""
    places = torch.tensor([[0.3, 0.4], [0.6, 0.5]], dtype=torch.float64) * side
    maps = [heatmaps.encode(x[None], (side, side), sigma)[0] for x, sigma in zip(places, (3.0, 1.5), strict=True)]
    return [m / m.sum() for m in maps]


def costs(side):
    y, x = np.divmod(np.arange(side**2), side)
    return np.hypot(x[:, None] - x, y[:, None] - y)


def geomloss(u, v, eps):
    """The entropic value without debiasing; a schedule fine enough to come within 1 % of ours."""
    from geomloss import SamplesLoss

    places = torch.cartesian_prod(*(torch.arange(k, dtype=u.dtype) for k in u.shape))
    cost = lambda x, y: torch.cdist(x, y)  # noqa: E731  (its own p=1 is smoothed near 0)
    solve = SamplesLoss("sinkhorn", p=1, blur=eps, scaling=0.9, debias=False, cost=cost, backend="tensorized")
    return solve(u.flatten(), places, v.flatten(), places)


def beside_peers(side, eps):
    """A row per peer: the same pair, the same ε; POT's cost matrix is free."""
    u, v = pair(side)
    C, (a, b) = costs(side), (x.flatten().numpy() for x in (u, v))
    found = transport.sinkhorn(u, v, eps)
    peers = {}
    for name, method in POT.items():
        peers[name] = lambda method=method: ot.sinkhorn(a, b, C, eps, method=method, stopThr=1e-3)
        np.testing.assert_allclose((peers[name]() * C).sum(), found.cost.item(), rtol=1e-2)
    if importlib.util.find_spec("geomloss"):
        peers["GeomLoss SamplesLoss"] = lambda: geomloss(u, v, eps)
        np.testing.assert_allclose(peers["GeomLoss SamplesLoss"]().item(), found.value.item(), rtol=2e-2)
    for name, solve in peers.items():
        aim = {"aim": 30} if name == "POT sinkhorn" else {}
        times = beside(lambda: transport.sinkhorn(u, v, eps), solve, most=7)
        yield {"what": f"one pair, {found.solver}", "peer": name} | times | aim


def face(side, eps, n=68):
    """Seconds of value and gradient for the maps of a face, from logits to targets."""
    generator = torch.Generator().manual_seed(0)
    points = side * (0.2 + 0.6 * torch.rand(n, 2, generator=generator))
    target = heatmaps.encode(points, (side, side), 1.5)
    logits = 10 * heatmaps.encode(points + 6 * torch.randn(n, 2, generator=generator), (side, side), 3.0)
    logits.requires_grad_()

    def step():
        found = transport.sinkhorn(logits.flatten(-2).softmax(-1).view_as(logits), target, eps)
        found.value.mean().backward()
        return found

    return {"what": f"{n} maps with gradient, {step().solver}", "ours": fastest(step, most=7)[0], "unit": "ms"}


def bounds(side):
    """W1 without ε beside POT's network simplex, whose cost matrix is free."""
    u, v = pair(side)
    C, (a, b) = costs(side), (x.flatten().numpy() for x in (u, v))
    found, exact = transport.w1(u, v), ot.emd2(a, b, C)
    assert found.value.item() <= exact * (1 + 1e-9) <= (found.value + found.gap).item() * (1 + 1e-8)
    times = beside(lambda: transport.w1(u, v), lambda: ot.emd2(a, b, C), most=3)
    yield {"what": "one pair, w1, within 1 %", "peer": "POT emd2"} | times


def main():
    asked = options(__doc__, side=64, eps=2.0)
    parts = (beside_peers(asked.side, asked.eps), [face(asked.side, asked.eps)], bounds(asked.side))
    about = f"maps of {asked.side} x {asked.side}, ε = {asked.eps} px"
    packages = {"POT": ot}
    if importlib.util.find_spec("geomloss"):
        packages["geomloss"] = importlib.import_module("geomloss")
    show(asked, "optimal_transport", about, (row for part in parts for row in part), **packages)


if __name__ == "__main__":
    main()
