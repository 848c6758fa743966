"""Sinkhorn between heatmaps beside POT's solvers, and the loss of a face, on one thread.

python tests/benchmarks/bench_optimal_transport.py [--json PATH] [--side N] [--eps EPS]
"""

import numpy as np
import ot
import torch
from side_by_side import beside, fastest, options, show

from lddmmlib import heatmaps
from lddmmlib import optimal_transport as transport

PEERS = {"POT sinkhorn": "sinkhorn", "POT sinkhorn_stabilized": "sinkhorn_stabilized"}


def pair(side):
    """A wide map and a narrow one, a third of the grid apart, both float64 with sum 1."""
    places = torch.tensor([[0.3, 0.4], [0.6, 0.5]], dtype=torch.float64) * side
    maps = [heatmaps.encode(x[None], (side, side), sigma)[0] for x, sigma in zip(places, (3.0, 1.5), strict=True)]
    return [m / m.sum() for m in maps]


def costs(side):
    y, x = np.divmod(np.arange(side**2), side)
    return np.hypot(x[:, None] - x, y[:, None] - y)


def beside_peers(side, eps):
    """A row per peer: the same pair, the same ε, stopped at the same marginal error; their cost matrix is free."""
    u, v = pair(side)
    C, (a, b) = costs(side), (x.flatten().numpy() for x in (u, v))
    found = transport.sinkhorn(u, v, eps)
    for name, method in PEERS.items():
        solve = lambda: ot.sinkhorn(a, b, C, eps, method=method, stopThr=1e-3)  # noqa: B023, E731
        np.testing.assert_allclose((solve() * C).sum(), found.cost.item(), rtol=1e-2)
        times = beside(lambda: transport.sinkhorn(u, v, eps), solve, most=7)
        yield {"task": f"one pair, {found.solver}", "peer": name} | times


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

    return {"task": f"{n} maps with gradient, {step().solver}", "peer": "", "seconds": fastest(step, most=7)[0]}


def flow(side):
    u, v = pair(side)
    return {"task": "one pair, w1", "peer": "", "seconds": fastest(lambda: transport.w1(u, v), most=7)[0]}


def line(row):
    theirs = f"{1000 * row['peer_seconds']:7.1f} ms {row['ratio']:7.1f}" if row["peer"] else ""
    return f"{row['task']:36} {row['peer']:24} {1000 * row['seconds']:6.1f} ms {theirs:>18}"


def main():
    asked = options(__doc__, side=64, eps=2.0)
    parts = (beside_peers(asked.side, asked.eps), [face(asked.side, asked.eps)], [flow(asked.side)])
    about = f"maps of {asked.side} x {asked.side}, ε = {asked.eps} px"
    columns = f"{'task':36} {'peer':24} {'ours':>9} {'theirs':>10} {'ratio':>7}"
    show(asked, "optimal_transport", about, columns, (row for part in parts for row in part), line, numpy=np, POT=ot)


if __name__ == "__main__":
    main()
