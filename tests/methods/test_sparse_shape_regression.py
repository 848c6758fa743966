"""H against SciPy, on drawn faces of two schemes and on real 300-W shapes."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from lddmmlib.faces import geometry, schemes, statistics
from lddmmlib.methods.sparse_shape_regression import complete, fit_h
from tests.helpers import refused
from tests.oracles import lasso

INF = float("inf")
DEFINED, HIDDEN = list(range(0, 68, 2)), list(range(1, 68, 2))


def drawn(n, seed=0):
    """Faces of the 300-W statistics, turned a little and put anywhere: px."""
    generator = torch.Generator().manual_seed(seed)
    shapes = 80 * statistics.sample(statistics.real_300w(), n, generator)
    return shapes + 300 * torch.rand(n, 1, 2, generator=generator, dtype=torch.float64)


def error(pred, truth):
    return (pred - truth).norm(dim=-1).mean().item()


def test_each_row_solves_its_own_budget():
    """On stacked x and y, which the library never stacks: SciPy's quadratic program."""
    x, y = drawn(60)[:, [0, 8, 16, 30, 48, 54]], drawn(60)[:, [33, 57]]
    found = fit_h(x, y, tau=1.2)
    rows = (z.transpose(1, 2).reshape(120, -1) for z in (x, y))
    a, b = (z.numpy() for z in rows)
    for h, column in zip(found.H.numpy(), b.T, strict=True):
        np.testing.assert_allclose(h, lasso.budget(a.T @ a, a.T @ column, 1.2), atol=1e-4)
    assert found.converged


@pytest.mark.parametrize("tau", [0.5, 1.0, 1.4, 10.0])
def test_no_row_exceeds_its_budget(tau):
    x = drawn(300)
    found = fit_h(x[:, DEFINED], x[:, HIDDEN], tau)
    assert found.H.abs().sum(1).max() <= tau * (1 + 1e-9)


def test_rows_sum_to_one_and_are_convex_at_one():
    """Faces lie anywhere in the image: only Σh = 1 is right for all; |h|₁ ≤ 1 then leaves no negative weight."""
    x = drawn(300)
    convex, free = (fit_h(x[:, DEFINED], x[:, HIDDEN], tau).H for tau in (1.0, INF))
    for h in (convex, free):
        assert (h.sum(1) - 1).abs().max() < 0.02
    assert convex.min() > -0.01
    assert free.min() < -0.1


def test_without_a_budget_it_is_least_squares():
    x = drawn(300)
    a, b = (z.transpose(1, 2).reshape(600, -1) for z in (x[:, DEFINED], x[:, HIDDEN]))
    best = torch.linalg.lstsq(a, b).solution.T
    torch.testing.assert_close(fit_h(x[:, DEFINED], x[:, HIDDEN], INF).H, best, atol=1e-6, rtol=1e-6)


def test_smaller_budgets_choose_fewer_landmarks():
    x = drawn(300)
    chosen = [(fit_h(x[:, DEFINED], x[:, HIDDEN], tau).H != 0).double().sum(1).mean() for tau in (1.0, 1.4, 10.0)]
    assert chosen[0] < chosen[1] < chosen[2]


def test_only_the_landmarks_in_use_are_chosen():
    x = drawn(200)
    use = [3, 7, 20, 30]
    h = fit_h(x[:, DEFINED], x[:, HIDDEN], 1.4, use=use).H
    kept = [DEFINED[i] for i in use]
    torch.testing.assert_close(h[:, use], fit_h(x[:, kept], x[:, HIDDEN], 1.4).H)
    assert h[:, [i for i in range(34) if i not in use]].abs().max() == 0


def test_one_budget_per_row():
    x = drawn(100)
    taus = torch.linspace(0.5, 2.0, 34, dtype=torch.float64)
    h = fit_h(x[:, DEFINED], x[:, HIDDEN], taus).H
    torch.testing.assert_close(h.abs().sum(1), taus)


def test_the_unit_and_the_precision_of_the_faces_do_not_matter():
    x = drawn(100)
    h = fit_h(x[:, DEFINED], x[:, HIDDEN]).H
    torch.testing.assert_close(fit_h(x[:, DEFINED] / 512, x[:, HIDDEN] / 512).H, h)
    single = fit_h(x[:, DEFINED].float(), x[:, HIDDEN].float()).H
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), h, atol=1e-3, rtol=0)


def test_completion_keeps_the_own_and_appends_the_others():
    points, h = torch.randn(2, 3, 4, 2), torch.randn(5, 4)
    got = complete(points, h)
    assert torch.equal(got[..., :4, :], points)
    torch.testing.assert_close(got[..., 4:, :], torch.einsum("qp,...pk->...qk", h, points))


def test_a_missing_landmark_matters_to_those_who_take_it():
    points, h = torch.ones(3, 2), torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    points[0] = torch.nan
    assert complete(points, h)[3:].isnan().tolist() == [[True, True], [False, False]]


def test_from_68_to_74_landmarks_of_drawn_faces():
    """Two schemes on the same curves: the 29 shared landmarks are found at once, the others to a per cent or two."""
    rng = np.random.default_rng(0)
    faces = [geometry.sample(rng, "studio") for _ in range(60)]
    x, y = (torch.stack([geometry.landmarks(f, s)[0] for f in faces]) for s in ("300w-68", "lfw-74"))
    found = fit_h(x[:45], y[:45], 1.4)
    for i, j in schemes.shared("300w-68", "lfw-74"):
        expected = torch.zeros(68, dtype=torch.float64)
        expected[i] = 1.0
        assert (found.H[j] - expected).abs().max() < 0.05
    d = (x[45:, 36] - x[45:, 45]).norm(dim=-1)[:, None]
    off = ((complete(x[45:], found.H)[:, 68:] - y[45:]).norm(dim=-1) / d).mean()
    assert off < 0.03
    assert complete(x, found.H).shape == (60, 142, 2)


def test_what_does_not_fit_is_refused():
    x = drawn(5)
    refused("the same faces, got 5 and 4", fit_h, x, x[1:])
    refused("same faces, got 0", fit_h, x[:0], x[:0])
    refused("use: .* from 0 to 67", fit_h, x, x, use=[68])
    refused("use: ", fit_h, x, x, use=[1, 1])
    refused("budgets >= 0", fit_h, x, x, -1.0)
    refused("needed 4 points, got 3", complete, torch.zeros(3, 2), torch.zeros(2, 4))
    refused("drop or mask", fit_h, x, torch.where(x > x.mean(), torch.nan, x))


@pytest.mark.real
@pytest.mark.skipif("LDDMMLIB_REAL_DATA" not in os.environ, reason="LDDMMLIB_REAL_DATA is not set")
def test_half_of_the_landmarks_of_real_faces_tell_the_other_half():
    with np.load(Path(os.environ["LDDMMLIB_REAL_DATA"]) / "shapes_300w_train.npz") as file:
        shapes = torch.from_numpy(file["pts"]).double()
    train, test = shapes[:1400], shapes[1400:]
    off = {}
    for tau in (0.5, 1.0, 1.4, INF):
        h = fit_h(train[:, DEFINED], train[:, HIDDEN], tau).H
        d = (test[:, 36] - test[:, 45]).norm(dim=-1)[:, None]
        off[tau] = ((complete(test[:, DEFINED], h)[:, 34:] - test[:, HIDDEN]).norm(dim=-1) / d).mean().item()
    assert off[1.4] < 0.03
    assert off[1.4] < off[1.0] < off[0.5]
