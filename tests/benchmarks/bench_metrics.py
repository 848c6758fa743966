"""nme and nme_curve on 10,000 faces of 68 points against what evaluation scripts usually do, on one thread.

python tests/benchmarks/bench_metrics.py [--json PATH] [--faces N]
"""

import numpy as np
import scipy
import torch
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from side_by_side import beside, options, show

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


def measure(n, dtype):
    """A row per function and peer: our seconds, theirs, and how many times longer theirs are."""
    generator = torch.Generator().manual_seed(0)
    truth = 128 + 40 * torch.randn(n, SCHEME.n, 2, dtype=dtype, generator=generator)
    pred = truth + 2 * torch.randn(n, SCHEME.n, 2, dtype=dtype, generator=generator)
    arrays = pred.numpy(), truth.numpy()
    for name, ours in OURS.items():
        value = ours(pred, truth).numpy()
        for peer, theirs in PEERS[name].items():
            np.testing.assert_allclose(theirs(*arrays), value, rtol=1e-4 if dtype == torch.float32 else 1e-10)
            times = beside(lambda: ours(pred, truth), lambda: theirs(*arrays))  # noqa: B023
            yield {"what": f"{name}, {dtype}".replace("torch.", ""), "peer": peer} | times


def main():
    asked = options(__doc__, faces=10_000)
    rows = (row for dtype in (torch.float32, torch.float64) for row in measure(asked.faces, dtype))
    show(asked, "metrics", f"{asked.faces} faces of {SCHEME.n} points", rows, scipy=scipy)


if __name__ == "__main__":
    main()
