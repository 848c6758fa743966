"""Sinkhorn between heatmaps beside POT's solvers, and the loss of a face, on one thread.

python tests/benchmarks/bench_optimal_transport.py [--json PATH] [--side N] [--eps EPS]
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import ot
import torch

import lddmmlib
from lddmmlib import heatmaps
from lddmmlib import optimal_transport as transport

PEERS = {"POT sinkhorn": "sinkhorn", "POT sinkhorn_stabilized": "sinkhorn_stabilized"}


def pair(side):
    """A wide map and a narrow one, a third of the grid apart, both float64 with sum 1."""
    places = torch.tensor([[0.3, 0.4], [0.6, 0.5]], dtype=torch.float64) * side
    maps = [heatmaps.encode(x[None], (side, side), sigma)[0] for x, sigma in zip(places, (3.0, 1.5), strict=True)]
    return [m / m.sum() for m in maps]


def fastest(run, at_least=0.5, most=7):
    """The smallest of several processor times: until they add up, but twice at least and not for ever."""
    times = []
    while len(times) < 2 or (sum(times) < at_least and len(times) < most):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def costs(side):
    y, x = np.divmod(np.arange(side**2), side)
    return np.hypot(x[:, None] - x, y[:, None] - y)


def beside_peers(side, eps):
    """A row per peer: the same pair, the same ε, stopped at the same marginal error; their cost matrix is free."""
    u, v = pair(side)
    C, (a, b) = costs(side), (x.flatten().numpy() for x in (u, v))
    seconds = fastest(lambda: transport.sinkhorn(u, v, eps))
    found = transport.sinkhorn(u, v, eps)
    for name, method in PEERS.items():
        solve = lambda: ot.sinkhorn(a, b, C, eps, method=method, stopThr=1e-3)  # noqa: B023, E731
        np.testing.assert_allclose((solve() * C).sum(), found.cost.item(), rtol=1e-2)
        theirs = fastest(solve)
        yield {"task": f"one pair, {found.solver}", "peer": name, "seconds": seconds, "peer_seconds": theirs,
               "ratio": theirs / seconds}  # fmt: skip


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

    return {"task": f"{n} maps with gradient, {step().solver}", "peer": "", "seconds": fastest(step)}


def flow(side):
    u, v = pair(side)
    return {"task": "one pair, w1", "peer": "", "seconds": fastest(lambda: transport.w1(u, v))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the table there too")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--eps", type=float, default=2.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    packages = {"lddmmlib": lddmmlib, "torch": torch, "numpy": np, "POT": ot}
    versions = {"python": platform.python_version()} | {name: m.__version__ for name, m in packages.items()}
    print(f"maps of {options.side} x {options.side}, ε = {options.eps} px, one thread; ", end="")
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    rows = [*beside_peers(options.side, options.eps), face(options.side, options.eps), flow(options.side)]
    print(f"{'task':36} {'peer':24} {'ours':>9} {'theirs':>10} {'ratio':>7}")
    for row in rows:
        theirs = f"{1000 * row['peer_seconds']:7.1f} ms {row['ratio']:7.1f}" if row["peer"] else ""
        print(f"{row['task']:36} {row['peer']:24} {1000 * row['seconds']:6.1f} ms {theirs:>18}")
    if options.json:
        table = {"benchmark": "optimal_transport", "side": options.side, "eps": options.eps, "threads": 1}
        text = json.dumps(table | {"versions": versions, "rows": rows}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
