"""nme and nme_curve on 10,000 faces of 68 points against what evaluation scripts usually do, on one thread.

python tests/benchmarks/bench_metrics.py [--json PATH] [--faces N]
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import scipy
import torch
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

import lddmmlib
from lddmmlib import metrics
from lddmmlib.faces import schemes

SCHEME = schemes.get("300w-68")
LEFT, RIGHT = SCHEME.corners


def nme_loop(pred, truth):
    """A face at a time, a landmark at a time."""
    scores = []
    for p, t in zip(pred, truth, strict=True):
        d = np.linalg.norm(t[LEFT] - t[RIGHT])
        scores.append(sum(np.linalg.norm(p[j] - t[j]) for j in range(len(t))) / (len(t) * d))
    return np.array(scores)


def nme_loop_over_faces(pred, truth):
    """A face at a time, as released evaluation codes have it."""
    scores = []
    for p, t in zip(pred, truth, strict=True):
        d = np.linalg.norm(t[LEFT] - t[RIGHT])
        scores.append(np.sum(np.linalg.norm(p - t, axis=1)) / (len(t) * d))
    return np.array(scores)


def nme_numpy(pred, truth):
    """All faces at once."""
    d = np.linalg.norm(truth[:, LEFT] - truth[:, RIGHT], axis=-1)
    return np.linalg.norm(pred - truth, axis=-1).mean(-1) / d


def curve_loop(both_ways):
    """NME_curve a face and a part at a time, by the given pair of nearest-neighbour distances."""

    def score(pred, truth):
        scores = []
        for p, t in zip(pred, truth, strict=True):
            parts = [both_ways(p[list(i)], t[list(i)]) for i in SCHEME.parts.values()]
            scores.append(np.mean([np.mean(x) for x in parts]) / np.linalg.norm(t[LEFT] - t[RIGHT]))
        return np.array(scores)

    return score


def by_trees(p, t):
    return np.concatenate([cKDTree(t).query(p)[0], cKDTree(p).query(t)[0]])


def by_cdist(p, t):
    d = cdist(p, t)
    return np.concatenate([d.min(1), d.min(0)])


def by_numpy(p, t):
    d = np.linalg.norm(p[:, None] - t[None], axis=-1)
    return np.concatenate([d.min(1), d.min(0)])


PEERS = {
    "nme": {
        "NumPy, loop over landmarks": nme_loop,
        "NumPy, loop over faces": nme_loop_over_faces,
        "NumPy, all faces at once": nme_numpy,
    },
    "nme_curve": {
        "SciPy cKDTree, loop over faces": curve_loop(by_trees),
        "SciPy cdist, loop over faces": curve_loop(by_cdist),
        "NumPy, loop over faces": curve_loop(by_numpy),
    },
}
OURS = {
    "nme": lambda pred, truth: metrics.nme(pred, truth, "corners", SCHEME),
    "nme_curve": lambda pred, truth: metrics.nme_curve(pred, truth, SCHEME).value,
}


def fastest(run, at_least=0.5, most=15):
    """The smallest of several processor times: until they add up, but twice at least and not for ever."""
    times = []
    while len(times) < 2 or (sum(times) < at_least and len(times) < most):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def measure(n, dtype):
    """A row per function and peer: our seconds, theirs, and how many times longer theirs are."""
    generator = torch.Generator().manual_seed(0)
    truth = 128 + 40 * torch.randn(n, SCHEME.n, 2, dtype=dtype, generator=generator)
    pred = truth + 2 * torch.randn(n, SCHEME.n, 2, dtype=dtype, generator=generator)
    arrays = pred.numpy(), truth.numpy()
    for name, ours in OURS.items():
        value, seconds = ours(pred, truth).numpy(), fastest(lambda: ours(pred, truth))  # noqa: B023
        for peer, theirs in PEERS[name].items():
            np.testing.assert_allclose(theirs(*arrays), value, rtol=1e-4 if dtype == torch.float32 else 1e-10)
            peer_seconds = fastest(lambda: theirs(*arrays))  # noqa: B023
            yield {
                "function": name,
                "dtype": str(dtype).removeprefix("torch."),
                "peer": peer,
                "seconds": seconds,
                "peer_seconds": peer_seconds,
                "ratio": peer_seconds / seconds,
            }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the table there too")
    parser.add_argument("--faces", type=int, default=10_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    versions = {
        "python": platform.python_version(),
        "lddmmlib": lddmmlib.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
    print(f"{options.faces} faces of {SCHEME.n} points, one thread; ", end="")
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"{'function':10} {'dtype':8} {'peer':31} {'ours':>9} {'theirs':>9} {'ratio':>7}")
    rows = []
    for dtype in (torch.float32, torch.float64):
        for row in measure(options.faces, dtype):
            rows.append(row)
            ours, theirs = (f"{1000 * row[key]:6.1f} ms" for key in ("seconds", "peer_seconds"))
            print(f"{row['function']:10} {row['dtype']:8} {row['peer']:31} {ours:>9} {theirs:>9} {row['ratio']:7.1f}")
    if options.json:
        table = {"benchmark": "metrics", "faces": options.faces, "points": SCHEME.n, "threads": 1}
        text = json.dumps(table | {"versions": versions, "rows": rows}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
