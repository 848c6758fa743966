"""The lasso path of 98 variables, one target and 98 targets, against scikit-learn's lars_path_gram, on one thread.

python tests/benchmarks/bench_lars.py [--json PATH]
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import sklearn
import torch
from sklearn.linear_model import lars_path_gram

import lddmmlib
from lddmmlib import lars

SIZE, ROWS = 98, 400


def problem(targets):
    """Correlated columns, so that variables also drop: XᵀX and XᵀY."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    x = normal(ROWS, SIZE) @ (torch.eye(SIZE) + normal(SIZE, SIZE) / 10)
    y = 0.3 * x @ normal(SIZE, targets) + normal(ROWS, targets)
    return x.T @ x, x.T @ y


def theirs(gram, xy):
    """A target at a time: there is no other way. Their stop is absolute, and harmless in this unit."""
    return [lars_path_gram(column, gram, n_samples=1, method="lasso", max_iter=10_000) for column in xy.T]


def agree(found, theirs):
    for j, (lambdas, _, coefs) in enumerate(theirs):
        k = int(found.n_knots[j])
        np.testing.assert_allclose(found.lambdas[:k, j], lambdas, atol=1e-9 * lambdas[0])
        np.testing.assert_allclose(found.coefs[:k, :, j], coefs.T, atol=1e-8)


def in_turns(*runs, rounds):
    """The smallest processor time of each, measured alternately so that a busy moment strikes all."""
    times = [[] for _ in runs]
    for _ in range(rounds):
        for spent, run in zip(times, runs, strict=True):
            start = time.process_time()
            run()
            spent.append(time.process_time() - start)
    return [min(spent) for spent in times]


def measure():
    for targets, rounds, wanted in ((1, 30, 1.5), (SIZE, 4, 3.0)):
        gram, xy = problem(targets)
        arrays = gram.numpy(), xy.numpy()
        agree(lars.path(gram, xy), theirs(*arrays))
        one = xy[:, 0] if targets == 1 else xy
        seconds, peer_seconds = in_turns(lambda: lars.path(gram, one), lambda: theirs(*arrays), rounds=rounds)  # noqa: B023
        yield {
            "targets": targets,
            "knots": int(lars.path(gram, xy).n_knots.max()),
            "seconds": seconds,
            "peer_seconds": peer_seconds,
            "ratio": peer_seconds / seconds,
            "wanted": wanted,
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the table there too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    versions = {
        "python": platform.python_version(),
        "lddmmlib": lddmmlib.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }
    print(f"{SIZE} variables, one thread; ", ", ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"{'targets':>7} {'knots':>6} {'ours':>11} {'theirs':>11} {'ratio':>6} {'wanted':>7}")
    rows = []
    for row in measure():
        rows.append(row)
        ours, peer = (f"{1000 * row[key]:8.1f} ms" for key in ("seconds", "peer_seconds"))
        print(f"{row['targets']:7} {row['knots']:6} {ours} {peer} {row['ratio']:6.2f} {row['wanted']:7.1f}")
    if options.json:
        table = {"benchmark": "lars", "variables": SIZE, "rows": rows, "threads": 1}
        options.json.write_text(json.dumps(table | {"versions": versions}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
