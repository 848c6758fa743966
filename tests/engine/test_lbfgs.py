"""Many small minimisations at once."""

import torch

from lddmmlib._engine.lbfgs import minimise


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_quadratics_by_their_closed_form():
    A = normal(3, 6, 6)
    A, b = A @ A.mT + 0.1 * torch.eye(6, dtype=torch.float64), normal(3, 6, 1, seed=1)
    lowest = torch.linalg.solve(A, b)

    def J(z):
        e = z[..., None] - lowest
        return (e.mT @ A @ e)[:, 0, 0] + 1

    z, value, _, _, converged = minimise(J, torch.zeros(3, 6, dtype=torch.float64), 1e-14, 300)
    assert converged.all()
    torch.testing.assert_close(z, lowest[..., 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(value, torch.ones_like(value), rtol=0, atol=1e-10)


def test_each_problem_goes_as_if_alone():
    target, start = normal(4, 5), torch.zeros(4, 5, dtype=torch.float64)
    weight = torch.logspace(0, 3, 5, dtype=torch.float64)

    def J(of):
        return lambda z: (weight * (z - target[of]).square()).sum(-1) + (z - target[of]).abs().sum(-1)

    together = minimise(J(slice(None)), start, 1e-8, 60)
    for k in range(4):
        alone = minimise(J(slice(k, k + 1)), start[k : k + 1], 1e-8, 60)
        torch.testing.assert_close(together[0][k : k + 1], alone[0], rtol=0, atol=1e-12)
        assert together[2][k] == alone[2][0]


def test_one_that_has_no_evaluation_left_says_so():
    rosenbrock = lambda z: 100 * (z[:, 1] - z[:, 0] ** 2) ** 2 + (1 - z[:, 0]) ** 2  # noqa: E731
    start = torch.tensor([[-1.2, 1.0]], dtype=torch.float64)
    *_, n_iter, _, converged = minimise(rosenbrock, start, 1e-6, 12)
    assert not converged.item()
    assert n_iter.item() == 12
    z, *_, converged = minimise(rosenbrock, start, 1e-6, 300)
    assert converged.item()
    torch.testing.assert_close(z, torch.ones_like(z), rtol=0, atol=1e-3)


def test_what_a_step_must_gain_shrinks_with_it():
    """Of 5e7 z² a step is some 1e-8 long; by a gain that did not shrink with the step none would be accepted."""
    z, _, n_iter, _, converged = minimise(
        lambda z: 5e7 * z.square().sum(-1), torch.ones(1, 2, dtype=torch.float64), 1e-6, 60
    )
    assert converged.all()
    assert z.abs().max() < 1e-6
    assert n_iter.item() < 30
