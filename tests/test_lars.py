"""The lasso path and the budget against closed forms, the conditions of optimality, SciPy and scikit-learn."""

import os
from inspect import unwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import lars_path_gram

from lddmmlib import lars
from tests.helpers import refused
from tests.oracles import lasso

INF = float("inf")
few = settings(max_examples=10, deadline=None)
some_seed = st.integers(0, 10_000)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def problem(n=40, p=8, t=None, seed=0, mixed=1.0):
    """Correlated columns, so that variables drop: X mixed by a random matrix; XᵀX and XᵀY."""
    x = normal(n, p, seed=seed) @ (torch.eye(p) + mixed * normal(p, p, seed=seed + 1) / p**0.5)
    y = x @ normal(p, *(() if t is None else (t,)), seed=seed + 2) + normal(
        n, *(() if t is None else (t,)), seed=seed + 3
    )
    return x.T @ x, x.T @ y


def close(a, b, rtol=1e-9, atol=1e-9):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)


def worst_violation(gram, xy, found):
    """Over all knots, relative to the first λ."""
    knots = zip(found.lambdas.numpy(), found.coefs.numpy(), strict=True)
    return max(lasso.violation(gram.numpy(), xy.numpy(), lam, h) for lam, h in knots) / xy.abs().max().item()


def drops(found):
    """How often a variable that was active is no more."""
    on = found.coefs != 0
    return int((on[:-1] & ~on[1:]).sum())


# --- the path ------------------------------------------------------------------------


def test_orthonormal_columns_give_the_soft_threshold():
    xy = torch.tensor([3.0, -1.0, 0.5, 2.0], dtype=torch.float64)
    found = lars.path(torch.eye(4, dtype=torch.float64), xy)
    close(found.lambdas, [3, 2, 1, 0.5, 0])
    close(found.coefs, [lasso.soft_threshold(xy.numpy(), lam) for lam in found.lambdas.tolist()])


def test_two_correlated_columns_by_hand():
    """G = [[1, ½], [½, 1]], Xᵀy = (1, ¾): the second joins where 1 - h/2·… meets, c = (λ, ¾ - (1 - λ)/2) at λ = ½."""
    gram = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    found = lars.path(gram, torch.tensor([1.0, 0.75], dtype=torch.float64))
    close(found.lambdas, [1, 0.5, 0])
    close(found.coefs, [[0, 0], [0.5, 0], [5 / 6, 1 / 3]])
    assert found.n_knots == 3


@few
@given(some_seed, st.integers(1, 12))
def test_every_knot_is_optimal_and_the_end_is_least_squares(seed, p):
    gram, xy = problem(p=p, seed=seed)
    found = lars.path(gram, xy)
    assert worst_violation(gram, xy, found) < 1e-10
    assert (found.lambdas.diff() <= 0).all()
    assert found.lambdas[-1] == 0
    close(found.coefs[-1], torch.linalg.solve(gram, xy), rtol=1e-7)


@few
@given(some_seed)
def test_between_knots_the_path_is_straight(seed):
    gram, xy = problem(seed=seed)
    found = lars.path(gram, xy)
    lam, h = ((x[:-1] + x[1:]) / 2 for x in found[:2])
    assert worst_violation(gram, xy, lars.Path(lam, h, len(lam))) < 1e-10


@few
@given(some_seed, st.integers(1, 12))
def test_the_sweep_agrees_with_solving_at_each_knot(seed, p):
    gram, xy = problem(p=p, seed=seed)
    swept, solved = lars.path(gram, xy), lars.path_by_solving(gram, xy)
    assert swept.n_knots == solved.n_knots
    close(swept.lambdas, solved.lambdas)
    close(swept.coefs, solved.coefs)


def test_variables_drop_and_are_exactly_zero_then():
    for seed in range(40):
        gram, xy = problem(p=12, seed=seed, mixed=4.0)
        found = lars.path(gram, xy)
        if drops(found):
            break
    assert drops(found) > 0
    assert found.n_knots > 13
    assert found.coefs[(found.coefs != 0)].abs().min() > 1e-12
    assert worst_violation(gram, xy, found) < 1e-10


@few
@given(some_seed, st.integers(2, 12))
def test_against_scikit_learn_at_every_knot(seed, p):
    gram, xy = problem(p=p, seed=seed, mixed=3.0)
    found = lars.path(gram, xy)
    lambdas, _, coefs = lars_path_gram(xy.numpy(), gram.numpy(), n_samples=1, method="lasso")
    close(found.lambdas, lambdas, atol=1e-9 * lambdas[0])
    close(found.coefs, coefs.T, atol=1e-8)


@few
@given(some_seed, st.floats(-12, 12))
def test_the_unit_does_not_matter(seed, exponent):
    """X and y in another unit: the same knots and coefficients, λ in the unit squared. Powers of 2: to the bit."""
    gram, xy = problem(seed=seed)
    unit = 2.0 ** round(3 * exponent)
    found, scaled = lars.path(gram, xy), lars.path(unit**2 * gram, unit**2 * xy)
    assert torch.equal(found.coefs, scaled.coefs)
    assert torch.equal(unit**2 * found.lambdas, scaled.lambdas)


def test_signs_and_order_of_the_variables_do_not_matter():
    gram, xy = problem(seed=5)
    flip, order = torch.tensor([1.0, -1] * 4, dtype=torch.float64), torch.randperm(8, generator=torch.Generator())
    found = lars.path(gram, xy)
    other = lars.path((flip * gram * flip[:, None])[order][:, order], (flip * xy)[order])
    close(other.coefs, (flip * found.coefs)[:, order])
    close(lars.path(gram, -xy).coefs, -found.coefs)


def test_targets_in_lock_step_are_the_targets_one_by_one():
    gram, xy = problem(p=10, t=7, mixed=3.0)
    xy[:, 3] = 0.0  # nothing to explain: one knot
    found = lars.path(gram, xy)
    assert len(set(found.n_knots.tolist())) > 2
    assert found.n_knots[3] == 1
    for j in range(7):
        alone, k = lars.path(gram, xy[:, j]), int(found.n_knots[j])
        assert alone.n_knots == k
        close(found.lambdas[:k, j], alone.lambdas)
        close(found.coefs[:k, :, j], alone.coefs)
        assert found.lambdas[k:, j].isnan().all()
        assert found.coefs[k:, :, j].isnan().all()
    assert found.lambdas.shape == (found.n_knots.max(), 7)
    assert found.coefs.shape == (found.n_knots.max(), 10, 7)


def test_rows_may_be_stacked_or_their_grams_added():
    x, y = normal(2, 30, 6, seed=1), normal(2, 30, seed=2)
    added = lars.path(x[0].T @ x[0] + x[1].T @ x[1], x[0].T @ y[0] + x[1].T @ y[1])
    x, y = x.reshape(60, 6), y.reshape(60)
    close(added.coefs, lars.path(x.T @ x, x.T @ y).coefs)


def test_single_precision_comes_back_in_single():
    gram, xy = problem()
    found = lars.path(gram.float(), xy.float())
    assert found.lambdas.dtype == found.coefs.dtype == torch.float32
    close(found.coefs, lars.path(gram, xy).coefs, atol=1e-4, rtol=1e-4)


# --- columns that cannot all be used --------------------------------------------------


def test_a_constant_column_that_was_centred_away_stays_out():
    x, y = normal(30, 4), normal(30, seed=1)
    x[:, 2] = 7.0
    x, y = x - x.mean(0), y - y.mean()  # the column is 0 now
    found = lars.path(x.T @ x, x.T @ y)
    keep = [0, 1, 3]
    assert (found.coefs[:, 2] == 0).all()
    close(found.coefs[:, keep], lars.path(x[:, keep].T @ x[:, keep], x[:, keep].T @ y).coefs)


def test_a_constant_column_uncentred_is_an_intercept():
    x, y = normal(30, 4), normal(30, seed=1) + 5
    x[:, 2] = 1.0
    end = lars.path(x.T @ x, x.T @ y).coefs[-1]
    close(end, np.linalg.lstsq(x.numpy(), y.numpy(), rcond=None)[0])


@pytest.mark.parametrize("both", [1.0, -2.0])
def test_of_two_proportional_columns_one_serves(both):
    x, y = normal(30, 5), normal(30, seed=1)
    x[:, 4] = both * x[:, 1]  # where |both| > 1 it is the longer that joins
    gram, xy = x.T @ x, x.T @ y
    found = lars.path(gram, xy)
    assert (found.coefs[:, [1, 4]] != 0).all(1).sum() == 0
    assert (found.coefs[-1, [1, 4]] != 0).sum() == 1
    assert worst_violation(gram, xy, found) < 1e-10
    close(found.coefs @ x.T, lars.path_by_solving(gram, xy).coefs @ x.T)
    several = lars.path(gram, torch.stack([xy, xy.flip(0)], 1))
    close(several.coefs[: found.n_knots, :, 0] @ x.T, found.coefs @ x.T)


def test_a_column_that_the_others_nearly_explain_waits_outside():
    x, y = normal(30, 5), normal(30, seed=1)
    x[:, 4] = x[:, 1] + 1e-6 * normal(30, seed=2)  # all but 1e-12 of its square
    for found in (lars.path(x.T @ x, x.T @ y), lars.path_by_solving(x.T @ x, x.T @ y)):
        assert (found.coefs[:, [1, 4]] != 0).all(1).sum() == 0
        assert found.coefs.abs().max() < 10


def test_collinear_columns_are_optimal_and_explain_as_much():
    x, y = normal(30, 6), normal(30, seed=1)
    x[:, 5] = x[:, :3].sum(1)
    gram, xy = x.T @ x, x.T @ y
    found = lars.path(gram, xy)
    assert worst_violation(gram, xy, found) < 1e-10
    best, *_ = np.linalg.lstsq(x[:, :5].numpy(), y.numpy(), rcond=None)
    close(x @ found.coefs[-1], x[:, :5].numpy() @ best)


def test_nearly_collinear_columns_keep_their_digits():
    """Forty columns that twelve nearly explain, far from centred: hundreds of knots, pivots of 1e-9."""
    x = 100 + normal(240, 12) @ normal(12, 40, seed=1) + 3e-3 * normal(240, 40, seed=2)
    y = 100 + x[:, :5].mean(1) + normal(240, seed=3)
    gram, xy = x.T @ x, x.T @ y
    found = lars.path(gram, xy)
    assert found.n_knots > 80
    assert worst_violation(gram, xy, found) < 2e-11
    assert worst_violation(gram, xy, lars.path_by_solving(gram, xy)) < 1e-12


@few
@given(some_seed)
def test_more_variables_than_rows(seed):
    x, y = normal(6, 15, seed=seed), normal(6, seed=seed + 1)
    gram, xy = x.T @ x, x.T @ y
    found = lars.path(gram, xy)
    assert worst_violation(gram, xy, found) < 1e-9
    assert (found.coefs != 0).sum(1).max() <= 6
    close(x @ found.coefs[-1], y, atol=1e-7)


def test_nothing_to_explain():
    found = lars.path(torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    assert found.n_knots == 1
    assert found.coefs.tolist() == [[0.0, 0.0, 0.0]]
    assert lars.budget(torch.eye(3), torch.zeros(3), 1.0).converged


def test_equal_correlations_join_together():
    found = lars.path(torch.eye(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
    close(found.coefs[-1], [1, 1, 1])
    close(found.lambdas, [1, 1, 1, 0])


# --- the budget ----------------------------------------------------------------------


@few
@given(some_seed, st.floats(0.05, 3.0))
def test_budget_against_a_quadratic_program(seed, tau):
    gram, xy = problem(p=6, seed=seed)
    found = lars.budget(gram, xy, tau)
    close(found.coefs, lasso.budget(gram.numpy(), xy.numpy(), tau), atol=2e-5, rtol=1e-4)
    assert found.coefs.abs().sum() <= tau + 1e-12
    assert found.converged


def test_budget_is_met_inside_a_segment_and_its_multiplier_is_told():
    gram, xy = problem(t=5)
    whole = torch.linalg.solve(gram, xy).abs().sum(0)
    found = lars.budget(gram, xy, 0.4 * whole)
    close(found.coefs.abs().sum(0), 0.4 * whole)
    for j in range(5):
        args = gram.numpy(), xy[:, j].numpy(), found.lambdas[j].item(), found.coefs[:, j].numpy()
        assert lasso.violation(*args) < 1e-10 * xy.abs().max()


def test_budgets_of_nothing_and_of_everything():
    gram, xy = problem()
    least_squares = torch.linalg.solve(gram, xy)
    assert (lars.budget(gram, xy, 0.0).coefs == 0).all()
    for tau in (INF, 1e9, 1.0001 * least_squares.abs().sum().item()):
        found = lars.budget(gram, xy, tau)
        close(found.coefs, least_squares)
        assert found.lambdas == 0
        assert found.converged
    assert lars.budget(gram, xy, INF).n_iter == lars.path(gram, xy).n_knots - 1


def test_one_budget_per_target():
    gram, xy = problem(t=3)
    taus = torch.tensor([0.0, 0.7, INF], dtype=torch.float64)
    found = lars.budget(gram, xy, taus)
    for j, tau in enumerate(taus.tolist()):
        alone = lars.budget(gram, xy[:, j], tau)
        close(found.coefs[:, j], alone.coefs)
        close(found.lambdas[j], alone.lambdas)
        assert found.n_iter[j] == alone.n_iter


def test_the_residual_is_large_where_it_is_not_solved():
    gram, xy = problem()
    h, tau = lars.budget(gram, xy, 1.0).coefs[None], torch.ones(1, dtype=torch.float64)
    assert lars._gap(gram, xy[:, None], h, tau) < 1e-12
    assert lars._gap(gram, xy[:, None], 0.9 * h, tau) > 1e-2
    assert lars._gap(gram, xy[:, None], torch.linalg.solve(gram, xy)[None], tau) <= 0 + 1e-12  # not feasible


# --- what is refused ------------------------------------------------------------------


def test_what_is_no_gram_is_refused():
    gram, xy = problem(p=3)
    nan, lopsided, negative, impossible = (gram.clone() for _ in range(4))
    nan[0, 0] = float("nan")
    lopsided[0, 1] += 1.0
    negative[1, 1] *= -1
    impossible[0, 1] = impossible[1, 0] = 2 * gram.max()
    for function in (lars.path, lars.path_by_solving, lambda g, c: unwrap(lars.budget)(g, c, 1.0)):
        refused(r"X.T @ X, \(p, p\), got \(40, 3\)", function, normal(40, 3), xy)
        refused("gram: needed finite numbers, got nan", function, nan, xy)
        refused("symmetric", function, lopsided, xy)
        refused("G_jj >= 0", function, negative, xy)
        refused(r"G_ij² <= G_ii G_jj", function, impossible, xy)


def test_what_is_no_xy_is_refused():
    gram, xy = problem(p=3)
    refused(r"X.T @ y, \(3,\), .*got \(2,\)", lars.path, gram, xy[:2])
    refused("xy: needed finite numbers", lars.path, gram, xy / 0)
    refused("use xy.to", lars.path, gram, xy.float())
    gram[1] = gram[:, 1] = 0.0
    refused("variable 1, whose column", lars.path, gram, xy)


def test_budgets_that_are_none_are_refused():
    gram, xy = problem(t=4)
    refused("budgets >= 0", lars.budget, gram, xy, -1.0)
    refused("budgets >= 0", lars.budget, gram, xy, float("nan"))
    refused(r"one per target, \(4,\), got \(3,\)", lars.budget, gram, xy, torch.ones(3))


# --- on real faces --------------------------------------------------------------------

REAL = os.environ.get("LDDMMLIB_REAL_DATA")


@pytest.mark.real
@pytest.mark.skipif(not REAL, reason="LDDMMLIB_REAL_DATA does not name the folder of real data")
class TestReal:
    @pytest.fixture
    def faces(self):
        """Half of the landmarks explain the others; x and y are rows alike: Gram and XᵀY in pixels squared."""
        with np.load(Path(REAL) / "shapes_300w_train.npz") as file:
            shapes = torch.from_numpy(file["pts"]).double()[:300]
        x, y = (shapes[:, i::2].transpose(1, 2).reshape(600, 34) for i in (0, 1))
        return x.T @ x, x.T @ y

    def test_scikit_learn_on_rescaled_shapes_has_the_same_knots(self, faces):
        gram, xy = faces
        found = lars.path(gram, xy)
        for j in range(34):
            lambdas, _, coefs = lars_path_gram(xy[:, j].numpy(), gram.numpy(), n_samples=1, method="lasso")
            k = int(found.n_knots[j])
            assert k == len(lambdas)
            close(found.lambdas[:k, j], lambdas, atol=1e-9 * lambdas[0])
            close(found.coefs[:k, :, j], coefs.T, atol=1e-7)

    def test_scikit_learn_stops_short_in_unit_coordinates(self, faces):
        """Its stop is absolute, 1.2e-7; ours is relative. In pixels both reach the end, least squares."""
        gram, xy = (x / 300**2 for x in faces)  # faces of about unit size
        found = lars.path(gram, xy)
        short = 0
        for j in range(34):
            lambdas, _, coefs = lars_path_gram(xy[:, j].numpy(), gram.numpy(), n_samples=600, method="lasso")
            k = int(found.n_knots[j])
            short += k > len(lambdas)
            n = len(lambdas) - 1  # its last is not a knot but where it stopped
            close(found.coefs[:n, :, j], coefs.T[:n], atol=1e-7)
        assert short > 0
        close(found.coefs[found.n_knots - 1, :, torch.arange(34)].T, torch.linalg.solve(gram, xy), atol=1e-7)

    def test_solving_agrees_and_every_knot_is_optimal(self, faces):
        gram, xy = faces
        found, solved = lars.path(gram, xy[:, 11]), lars.path_by_solving(gram, xy[:, 11])
        assert found.n_knots == solved.n_knots
        close(found.coefs, solved.coefs, atol=1e-7)
        assert worst_violation(gram, xy[:, 11], found) < 1e-10
        assert drops(found) > 0
