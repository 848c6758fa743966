"""The loss of a training batch by `sinkhorn`, forward and backward, beside ten plain lines at the same gradient error.

python tests/benchmarks/bench_sinkhorn.py [--maps N] [--rounds N] [--most SIDE] [--batches N]

For maps of 16, 32 and 64 cells, ε from 0.5 to 4 and one and two threads: the median of rounds in which all take turns,
and its quotient by ours. "whole grid" and "double" are the ways that `sinkhorn` did not choose; "plain" is the
textbook's iteration in single precision with as many steps as reach our error. Errors are relative errors of the
gradient in the logits; nine in ten maps are below. One thread is timed by the processor's clock, two by the wall's,
which a busy machine disturbs: read those ratios only on a quiet one.

With --batches, instead: so many batches of maps of every kind that a training can meet, and none may give NaN.
"""

import argparse
import statistics
import time
from unittest import mock

import torch

from lddmmlib import heatmaps
from lddmmlib import optimal_transport as transport
from lddmmlib._engine import softmin as engine

SIDES, EPSILONS, JUDGED = (16, 32, 64), (0.5, 1.0, 2.0, 4.0), 24


def batch(side, n):
    """Logits of maps half-way through a training, a peak some cells off and a floor, and Gaussian targets."""
    generator = torch.Generator().manual_seed(0)
    points = side * (0.2 + 0.6 * torch.rand(n, 2, generator=generator))
    logits = 10 * heatmaps.encode(points + 6 * torch.randn(n, 2, generator=generator), (side, side), 3.0)
    return logits, heatmaps.encode(points, (side, side), 1.5)


def gradient(loss, logits):
    """Of the sum of the losses of all maps."""
    logits = logits.clone().requires_grad_()
    u = logits.flatten(-2).softmax(-1).view_as(logits)
    return torch.autograd.grad(loss(u).sum(), logits)[0]


def plain(u, v, eps, steps):
    """The value by the textbook."""
    places = engine.pixels_of(u)
    K = torch.exp(-engine.distances(places, places) / eps)
    u, v = u.flatten(-2), v.flatten(-2) / v.sum((-2, -1))[..., None]
    with torch.no_grad():
        b = torch.ones_like(v)
        for _ in range(steps):
            a = 1 / ((v * b) @ K)
            b = 1 / ((u * a) @ K)
        f, g = eps * a.log(), eps * b.log()
    return (f * u).sum(-1) + (g * v).sum(-1)


def whole(v, cut):
    return [(torch.arange(len(v)), (0, v.shape[1], 0, v.shape[2]))]


def error(found, exact):
    off = (found - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)
    return off.nan_to_num(9.0).clamp(max=9.0).quantile(0.9).item()  # a matrix that underflows gives NaN


def medians(runs, rounds, clock):
    """Seconds of each run, in turns."""
    times = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = clock()
            run()
            times[name].append(clock() - start)
    return {name: statistics.median(spent) for name, spent in times.items()}


def measured(side, eps, n, rounds, threads):
    """A line of the table."""
    logits, target = batch(side, n)
    some, exactly = logits[:JUDGED].double(), target[:JUDGED].double()
    exact = gradient(lambda u: transport.sinkhorn(u, exactly, eps, tol=1e-9, max_iter=20_000).value, some)
    ours = lambda u: transport.sinkhorn(u, target, eps).value  # noqa: E731
    reached = error(gradient(ours, logits)[:JUDGED].double(), exact)
    part = logits[:JUDGED], target[:JUDGED]
    steps = 2
    while error(gradient(lambda u: plain(u, part[1], eps, steps), part[0]).double(), exact) > reached and steps < 60:  # noqa: B023
        steps += 1

    def on_the_whole_grid():
        with mock.patch.object(engine, "windows", whole):
            gradient(ours, logits)

    runs = {
        "ours": lambda: gradient(ours, logits),
        "whole grid": on_the_whole_grid,
        "double": lambda: gradient(lambda u: transport.sinkhorn(u, target.double(), eps).value, logits.double()),
        "plain": lambda: gradient(lambda u: plain(u, target, eps, steps), logits),
    }
    found = medians(runs, rounds, time.process_time if threads == 1 else time.perf_counter)
    ratios = "".join(f"{found[name] / found['ours']:12.2f}" for name in list(runs)[1:])
    told = f"{steps} steps" if steps < 60 else "never as near"
    print(f"{threads:7d}{side:6d}{eps:6.1f}{found['ours']:10.3f}{ratios}   {reached:.0e}  {told}", flush=True)


def kinds(n, side, seed):
    """Maps of sharp, flat, moved and mixed softmaxes, and targets of σ 0.3 to 3 anywhere; single precision."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.rand(*shape, generator=generator)  # noqa: E731
    points = side * draw(n, 2)
    target = heatmaps.encode(points, (side, side), 0.3 + 2.7 * draw(()).item())
    peaks = heatmaps.encode(points + side * draw(n, 1) * (draw(n, 2) - 0.5), (side, side), 0.5 + 3 * draw(()).item())
    noise = torch.randn(n, side, side, generator=generator)
    return 10 ** (3 * draw(n, 1, 1) - 1) * (peaks + draw(n, 1, 1) * noise), target


def stable(batches, n, side=16):
    """No NaN in value and gradient of any batch; how many maps did not converge."""
    late = 0
    for seed in range(batches):
        logits, target = kinds(n, side, seed)
        logits.requires_grad_()
        found = transport.sinkhorn(
            logits.flatten(1).softmax(1).view_as(logits), target, 2.0 ** (seed % 5 - 2), tol=1e-3
        )
        (slope,) = torch.autograd.grad(found.value.mean(), logits)
        assert found.value.isfinite().all(), seed
        assert slope.isfinite().all(), seed
        late += int((~found.converged).sum())
        if not (seed + 1) % 500:
            print(f"{seed + 1} batches of {n} maps: all finite, {late} maps did not converge", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=16 * 68)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, default=64, help="the largest side")
    parser.add_argument("--batches", type=int, default=0, help="look for NaN in so many batches")
    asked = parser.parse_args()
    if asked.batches:
        return stable(asked.batches, asked.maps)
    print(f"{asked.maps} maps, forward and backward, tol 1e-3; times over ours")
    print("threads  side     ε   ours, s  whole grid      double       plain   error  plain needs")
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for side in (side for side in SIDES if side <= asked.most):
            for eps in EPSILONS:
                measured(side, eps, asked.maps, asked.rounds, threads)


if __name__ == "__main__":
    main()
