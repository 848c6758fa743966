"""Geodesic shooting, the layer of paper A and matching against plain autograd and KeOps, on one thread.

python tests/benchmarks/bench_lddmm.py [--json PATH]

KeOps takes part where pykeops is installed (a compiler too); without it the table says so. Peers are checked to give
our numbers before they are timed.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

import torch
from side_by_side import beside, options, show

import lddmmlib
from lddmmlib import flows, kernels, matching
from lddmmlib._engine.lbfgs import minimise
from lddmmlib.curves import Curves

try:
    os.environ.setdefault("PYKEOPS_VERBOSE", "0")
    from pykeops.torch import Vi, Vj
except ImportError:
    Vi = None

STEPS, SIGMA = 10, 60.0
AIMS = {68: 1.2, 194: 2.0, 1000: 10.0}  # both ways, against plain autograd
# The twelve curves of 300W in the released layer of paper A.
SLICES = [slice(a, b) for a, b in zip(
    (0, 9, 17, 22, 27, 31, 36, 42, 48, 55, 60, 65), (9, 17, 22, 27, 31, 36, 42, 48, 55, 60, 65, 68), strict=True
)]  # fmt: skip


def rk2(field, state, steps=STEPS):
    """The midpoint rule, as anyone would write it."""
    for _ in range(steps):
        middle = [s + 0.5 / steps * d for s, d in zip(state, field(*state), strict=True)]
        state = [s + 1 / steps * d for s, d in zip(state, field(*middle), strict=True)]
    return state[0]


def plain(x0, p0):
    """Every pair's difference; the forces from autograd too, as tutorials have it."""

    def field(x, p):
        with torch.enable_grad():
            x, p = (s if s.requires_grad else s.detach().requires_grad_() for s in (x, p))
            K = torch.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / SIGMA**2)
            H = 0.5 * (p * (K @ p)).sum()
            force, v = torch.autograd.grad(H, (x, p), create_graph=True)
        return v, -force

    return rk2(field, (x0, p0))


def by_hand(x0, p0):
    """Every pair's difference; the forces by their formula."""

    def field(x, p):
        d = x[:, None] - x[None]
        K = torch.exp(-(d**2).sum(-1) / SIGMA**2)
        force = (2 / SIGMA**2 * (K * (p @ p.mT))[..., None] * d).sum(1)
        return K @ p, force

    return rk2(field, (x0, p0))


def products(x0, p0):
    """Written as matrix products, kept by autograd."""

    def field(x, p):
        n2 = (x * x).sum(-1)
        K = torch.exp((2 * x @ x.mT - n2[:, None] - n2[None]) / SIGMA**2)
        W = K * (p @ p.mT)
        return K @ p, 2 / SIGMA**2 * (W.sum(-1, keepdim=True) * x - W @ x)

    centre = x0.detach().mean(0)
    return rk2(field, (x0 - centre, p0)) + centre


def keops(x0, p0):
    """The same sums, symbolic."""

    def field(x, p):
        d = Vi(x) - Vj(x)
        K = (-(d**2).sum(-1) / SIGMA**2).exp()
        return (K * Vj(p)).sum(1), (2 / SIGMA**2 * K * (Vi(p) * Vj(p)).sum(-1) * d).sum(1)

    return rk2(field, (x0, p0))


def ours(x0, p0):
    return flows.shoot(x0, p0, SIGMA, STEPS).end


FACE = Curves(torch.zeros(68, 2), SLICES, coupled=False)


def layer(x0, alpha, sigma):
    """All curves at once."""
    return flows.flow(FACE.with_points(x0), alpha, sigma, steps=2, method="euler").end


def layer_loop(x0, alpha, sigma):
    """A curve at a time, every pair's difference."""
    ends = []
    for s, curve in zip(sigma, SLICES, strict=True):
        x, a = x0[:, curve], alpha[:, curve]
        for _ in range(2):
            K = torch.exp(-((x[:, :, None] - x[:, None]) ** 2).sum(-1) / s**2)
            x = x + 0.5 * K @ a
        ends.append(x)
    return torch.cat(ends, 1)


def layer_masked(x0, alpha, sigma):
    """Every pair of a face's points, those across curves masked: what the released layer computes."""
    mask, width = torch.zeros(68, 68, 1), torch.empty(68, 1)
    for s, curve in zip(sigma, SLICES, strict=True):
        mask[curve, curve], width[curve] = 1, s
    x, alpha = x0, alpha[:, None] * mask
    for _ in range(2):
        K = torch.exp(-((x[:, :, None] * mask - x[:, None] * mask) ** 2).sum(-1) / width**2)
        x = x + 0.5 * (K[..., None] * alpha).sum(-2)
    return x


def layer_loop_of_faces(x0, alpha, sigma):
    """A curve of a face at a time."""
    return torch.cat([layer_loop(x, a, sigma) for x, a in zip(x0.split(1), alpha.split(1), strict=True)])


def layer_loop_of_ours(x0, alpha, sigma):
    """A curve at a time, each by our own flow."""
    curves = zip(sigma, SLICES, strict=True)
    return torch.cat([flows.flow(x0[:, c], alpha[:, c], s, 2, "euler").end for s, c in curves], 1)


def face(n, dtype=torch.float32, seed=0):
    """n points in a face of 250 px, and momenta that move them by some pixels."""
    generator = torch.Generator().manual_seed(seed)
    x = 250 * torch.rand(n, 2, generator=generator, dtype=torch.float64)
    p = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    p = p * 20 / kernels.product(x, x, p, SIGMA).norm(dim=-1).max()
    return x.to(dtype), p.to(dtype)


def both_ways(function, *inputs):
    """Forward and backward, in all inputs that are tensors of points."""
    leaves = [x.detach().requires_grad_() if isinstance(x, torch.Tensor) else x for x in inputs]
    end = function(*leaves)
    return end, torch.autograd.grad(end.square().sum(), [x for x in leaves if isinstance(x, torch.Tensor)])


def forward(function, *inputs):
    with torch.no_grad():
        return function(*inputs)


def extra_memory(name, n):
    """What a first call adds to the most that a fresh process ever held, in MB; None where that is not told."""
    program = f"""
import torch, bench_lddmm as bench
peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
torch.set_num_threads(1)
bench.both_ways(bench.{name}, *bench.face(20))
before = peak()
bench.both_ways(bench.{name}, *bench.face({n}))
print((peak() - before) / 1024)
"""
    if platform.system() != "Linux":
        return None
    paths = [str(Path(lddmmlib.__file__).parents[1]), str(Path(__file__).parent)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    child = [sys.executable, "-c", program]
    return float(subprocess.run(child, env=env, capture_output=True, text=True, check=True).stdout)


def shooting(sizes=(68, 194, 1000, 4000)):
    for n in sizes:
        x0, p0 = face(n)
        # At 4000 points, plain autograd would keep some 12 GB.
        peers = {} if n > 1000 else {"plain, forces by autograd": plain, "plain, forces by hand": by_hand}
        peers |= {"matrix products": products}
        peers |= {"KeOps": keops} if Vi else {}
        end, gradient = both_ways(ours, x0, p0)
        memory = extra_memory("ours", n)
        for peer, theirs in peers.items():
            their_end, their_gradient = both_ways(theirs, x0, p0)
            torch.testing.assert_close(their_end, end, rtol=1e-3, atol=1e-2)
            for a, b in zip(their_gradient, gradient, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-2 * b.abs().max().item())
            for way in (forward, both_ways):
                times = beside(*(lambda f=f: way(f, x0, p0) for f in (ours, theirs)), most=40)  # noqa: B023
                aim = {"aim": AIMS[n]} if way is both_ways and theirs is plain and n in AIMS else {}
                yield {"what": f"shoot {n}, {'forward' if way is forward else 'both ways'}", "peer": peer} | times | aim
            if peer == next(iter(peers)) and memory and memory > 0.1:  # MB; less is noise
                peer_memory = extra_memory(theirs.__name__, n)
                yield {"what": f"shoot {n}, memory", "peer": peer, "ours": memory, "theirs": peer_memory, "unit": "MB"}


def layers(faces=32):
    generator = torch.Generator().manual_seed(0)
    x0 = 112 * torch.rand(faces, 68, 2, generator=generator)
    alpha = torch.randn(faces, 68, 2, generator=generator)
    sigma = torch.linspace(8, 30, 12).tolist()
    end, gradient = both_ways(layer, x0, alpha, sigma)
    peers = {
        "loop over curves": layer_loop,
        "loop, our flows": layer_loop_of_ours,
        "all pairs, masked": layer_masked,
        "loop over faces and curves": layer_loop_of_faces,
    }
    for peer, theirs in peers.items():
        their_end, their_gradient = both_ways(theirs, x0, alpha, sigma)
        torch.testing.assert_close(their_end, end, rtol=1e-4, atol=1e-3)
        for a, b in zip(their_gradient, gradient, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * b.abs().max().item())
        times = beside(*(lambda f=f: both_ways(f, x0, alpha, sigma) for f in (layer, theirs)), most=40)
        aim = {"aim": 4} if theirs is layer_loop else {}
        yield {"what": f"layer, {faces} faces x 12 curves", "peer": peer} | times | aim


def evaluations(n=68, most=400):
    """Evaluations of J to within 1 % of the best that any of them found, on two curves of n points."""
    t = torch.linspace(-3, 3, n, dtype=torch.float64)
    x, y = (50 * torch.stack([t, a * torch.sin(t + b)], -1) for a, b in ((1.0, 0.0), (1.5, 0.6)))
    for terms, landmarks in (("curves", False), ("both", True)):
        seen = {}

        def J(z, root, record):
            value = matching.objective(flows.shoot(x, root @ z.reshape(n, 2), 50.0), y, 25.0, landmarks=landmarks)  # noqa: B023
            record.append(value.item())
            return value.reshape(-1)

        for name, root in (("whitened", matching.whitening(x, 50.0)), ("raw", torch.eye(n, dtype=torch.float64))):
            record = seen[name] = []
            start = torch.zeros(1, 2 * n, dtype=torch.float64)
            minimise(lambda z, root=root, record=record: J(z, root, record), start, 1e-9, most)
        z, record = torch.zeros(n, 2, dtype=torch.float64, requires_grad=True), []
        seen["torch.optim.LBFGS, raw"] = record
        torch_lbfgs(lambda: J(z, torch.eye(n, dtype=torch.float64), record), z, most)  # noqa: B023
        best = min(map(min, seen.values()))
        counts = {k: next((i for i, f in enumerate(v, 1) if f <= 1.01 * best), None) for k, v in seen.items()}
        for peer in list(counts)[1:]:
            both = {"ours": counts["whitened"], "theirs": counts[peer], "unit": "calls"}
            yield {"what": f"match {terms} to 1 %", "peer": peer} | both


def torch_lbfgs(J, z, most):
    optimiser = torch.optim.LBFGS([z], max_iter=most, max_eval=most, history_size=10, tolerance_change=0,
                                  line_search_fn="strong_wolfe")  # fmt: skip

    def closure():
        optimiser.zero_grad()
        value = J()
        value.backward()
        return value

    optimiser.step(closure)


def main():
    asked = options(__doc__)
    if Vi is None:
        print("without KeOps: pykeops is not installed")
    rows = (row for part in (shooting, layers, evaluations) for row in part())
    show(asked, "lddmm", f"{STEPS} midpoint steps, single precision", rows)


if __name__ == "__main__":
    main()
