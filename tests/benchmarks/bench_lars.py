"""The lasso path of 98 variables, one target and 98 targets, against scikit-learn's lars_path_gram, on one thread.

python tests/benchmarks/bench_lars.py [--json PATH]
"""

import numpy as np
import sklearn
import torch
from side_by_side import beside, options, show
from sklearn.linear_model import lars_path_gram

from lddmmlib import lars

SIZE, ROWS = 98, 400


def problem(targets):
    """Correlated so that variables also drop: XᵀX and XᵀY."""
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


def measure():
    for targets, rounds, aim in ((1, 30, 1.5), (SIZE, 4, 3.0)):
        gram, xy = problem(targets)
        arrays = gram.numpy(), xy.numpy()
        agree(lars.path(gram, xy), theirs(*arrays))
        one = xy[:, 0] if targets == 1 else xy
        knots = int(lars.path(gram, xy).n_knots.max())
        times = beside(lambda: lars.path(gram, one), lambda: theirs(*arrays), at_least=5.0, most=rounds)  # noqa: B023
        what = f"{targets} target{'s' * (targets > 1)}, {knots} knots"
        yield {"what": what, "peer": "scikit-learn lars_path_gram", "aim": aim} | times


def main():
    show(options(__doc__), "lars", f"{SIZE} variables", measure(), **{"scikit-learn": sklearn})


if __name__ == "__main__":
    main()
