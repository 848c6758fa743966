"""The swept tableau against solving on the active set at every knot."""

import pytest
import torch

from lddmmlib import lars
from lddmmlib._engine import sweep


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def problem(p=12, t=5, seed=0):
    """Mixed so strongly that variables drop."""
    x = normal(40, p, seed=seed) @ (torch.eye(p) + 4 * normal(p, p, seed=seed + 1) / p**0.5)
    return x.T @ x, x.T @ (x @ normal(p, t, seed=seed + 2) + normal(40, t, seed=seed + 3))


def close(a, b, atol=1e-9):
    torch.testing.assert_close(a, b, rtol=1e-9, atol=atol)


@pytest.mark.parametrize("seed", range(5))
def test_targets_in_lock_step_are_solved_one_by_one(seed):
    gram, xy = problem(seed=seed)
    lambdas, coefs, n_knots = sweep.follow(gram, xy)
    for j in range(5):
        read, k = lars.path_by_solving(gram, xy[:, j]), n_knots[j]
        assert read.n_knots == k
        close(lambdas[:k, j], read.lambdas)
        close(coefs[:k, :, j], read.coefs)
        assert coefs[k:, :, j].isnan().all()


def test_a_path_ends_at_the_first_knot_beyond_its_budget():
    gram, xy = problem()
    lambdas, coefs, n_knots = sweep.follow(gram, xy)
    norms = coefs.abs().sum(1)
    tau = 0.999 * norms[-3].nan_to_num(1.0)  # not a norm itself: a sum in another order would be on its other side
    short = sweep.follow(gram, xy, tau)
    for j in range(5):
        enough = int((norms[: n_knots[j], j] < tau[j]).sum()) + 1
        assert short[2][j] == min(enough, n_knots[j])
        close(short[0][: short[2][j], j], lambdas[: short[2][j], j])


def test_refined_knots_and_renewed_tableaus_are_those_of_the_plain_sweep(monkeypatch):
    gram, xy = problem()
    plain = sweep.follow(gram, xy)
    monkeypatch.setattr(sweep, "DELICATE", 1e9)  # every join counts as delicate
    monkeypatch.setattr(sweep, "RENEW", 2)
    for a, b in zip(plain, sweep.follow(gram, xy), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, equal_nan=True)


def test_a_tableau_is_the_gram_swept_on_its_active_set():
    gram, xy = problem(p=6, t=2)
    at = sweep._Sweep(gram, xy.T.contiguous(), 1e-10)
    for _ in range(4):
        at.knot()
        at.pivot()
    for table, on in zip(at.table, at.known.right[:, 0] != 0, strict=True):
        assert 0 < on.sum() < 6
        inner = torch.linalg.inv(gram[on][:, on])
        close(table[on][:, on], -inner)
        close(table[on][:, ~on], inner @ gram[on][:, ~on])
        close(table[~on][:, ~on], gram[~on][:, ~on] - gram[~on][:, on] @ inner @ gram[on][:, ~on])
