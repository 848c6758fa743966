"""Matching against closed forms and SciPy's minimiser; means and modes against what made the shapes."""

import math
import os
from inspect import unwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from lddmmlib import currents, flows, kernels, matching
from lddmmlib.currents import Curves

SLICES = [slice(0, 4), [6, 5, 4], [7], range(8, 13)]


def points(*shape, seed=0, spread=1.5):
    return spread * torch.randn(*shape, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def row(*pairs):
    return torch.tensor(pairs, dtype=torch.float64)


def wave(n, phase=0.0, height=1.0):
    t = torch.linspace(-3, 3, n, dtype=torch.float64)
    return torch.stack([t, height * torch.sin(t + phase)], -1)


def close(a, b, atol=1e-12):
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype), rtol=0, atol=atol)


def refused(match, function, *args, error=ValueError, **kwargs):
    with pytest.raises(error, match=match):
        unwrap(function)(*args, **kwargs)


# --- the functional ------------------------------------------------------------------


def test_equations_2_and_3_are_the_sums_of_their_terms():
    x0, p, y = points(2, 13), points(2, 13, seed=1, spread=0.3), points(2, 13, seed=2)
    face, sigma_w = Curves(x0, SLICES, closed=True), [1.0, 2.0, 1.5, 0.5]
    result = flows.shoot(face, p, 2.0)
    apart = currents.landmark_discrepancy(result.end, y)
    along = currents.distance2(face.at(result.end), face.at(y), sigma_w).sum(-1)
    close(matching.discrepancy(face.at(result.end), face.at(y), sigma_w, 0.3), 0.3 * along + apart)
    close(matching.discrepancy(face.at(result.end), face.at(y), sigma_w, 0.3, landmarks=False), 0.3 * along)
    close(matching.discrepancy(result.end, y, None), apart)
    close(matching.objective(result, face.at(y), sigma_w, 0.3, 0.7), 0.7 * flows.energy(result) + 0.3 * along + apart)


@pytest.mark.parametrize("model", matching.MODELS)
def test_a_lone_landmark(model):
    """J = γ p² + |a - p|: it arrives if γ is small, and stops at 1/(2γ) if not."""
    x, a = row((1.0, 2.0)), row((3.0, 4.0))
    for gamma, way in ((0.01, 1.0), (0.2, 0.5), (1.0, 0.1)):
        found = matching.match(x, x + a, 2.0, gamma=gamma, model=model, tol=1e-10)
        close(found.momenta, way * a, atol=1e-4)
        close(found.deformed, x + way * a, atol=1e-4)
        close(found.value, gamma * 25 * way**2 + 5 * (1 - way), atol=1e-4)


@pytest.mark.parametrize("model", matching.MODELS)
@pytest.mark.parametrize("terms", ["landmarks", "curves", "both"])
def test_no_worse_than_scipy_from_the_same_start(model, terms):
    x, y = wave(7), wave(7, 0.6, 1.3)
    sigma_w, landmarks = None if terms == "landmarks" else 1.0, terms != "curves"
    found = matching.match(x, y, 1.5, sigma_w, 0.5, 0.1, model, landmarks=landmarks, tol=1e-8, max_iter=500)

    def J(p):
        p = torch.from_numpy(p).reshape(7, 2).requires_grad_()
        value = matching.objective(matching.MODELS[model](x, p, 1.5), y, sigma_w, 0.5, 0.1, landmarks)
        return value.item(), torch.autograd.grad(value, p)[0].numpy().ravel()

    judge = minimize(J, np.zeros(14), jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-14})
    assert found.converged
    close(found.value, J(found.momenta.numpy().ravel())[0])
    assert found.value.item() < judge.fun * (1 + 1e-4)
    if terms == "curves":  # smooth: there the gradient ends at 0
        assert np.abs(J(found.momenta.numpy().ravel())[1]).max() < 1e-3


def test_whitened_momenta_have_their_norm_as_energy():
    face = Curves(points(13), SLICES, coupled=False)
    for curve, sigma in ((points(8), 2.0), (face, [1.0, 2.0, 3.0, 1.5]), (face, 2.0)):
        L, n = matching._whitener(curve, sigma), len(matching._points(curve))
        K = matching._gram(curve, sigma)
        close(L @ (K + matching.RIDGE * torch.eye(n)) @ L, torch.eye(n), atol=1e-10)
        p = points(n, seed=1)
        close((p * (K @ p)).sum() / 2, flows.hamiltonian(curve, p, sigma))


def test_whitening_saves_evaluations():
    """To within 1 % of the best, on two curves of 68 points."""
    x, y = wave(68), wave(68, 0.6, 1.5)
    values = {}

    def recorded(name, J, z):
        values[name] = []

        def record(z):
            values[name].append((value := J(z)).item())
            return value

        matching._lbfgs(record, z, 0.0, 250)

    L = matching._whitener(x, 1.0)
    for name, root in (("white", L), ("raw", torch.eye(68, dtype=torch.float64))):
        recorded(
            name,
            lambda z: matching.objective(flows.shoot(x, root @ z.reshape(68, 2), 1.0), y, 0.5)[None],  # noqa: B023
            torch.zeros(1, 136, dtype=torch.float64),
        )
    best = min(min(v) for v in values.values())
    first = {name: next((i for i, v in enumerate(vs) if v <= 1.01 * best), 250) + 1 for name, vs in values.items()}
    assert first["white"] <= 60
    assert first["raw"] > 2 * first["white"]


# --- what a match does ---------------------------------------------------------------


def test_nothing_to_do():
    x = wave(9)
    found = matching.match(x, x, 1.5, 1.0)
    assert found.converged
    assert found.value.item() == 0
    close(found.momenta, torch.zeros(9, 2), atol=0)


def test_a_batch_is_its_matches():
    x, y = wave(9), torch.stack([wave(9, phase) for phase in (0.1, 0.5, 0.9)])
    together = matching.match(x, y, 1.5, 1.0, points=points(4))
    for b in range(3):
        alone = matching.match(x, y[b], 1.5, 1.0, points=points(4))
        for one, other in zip(together, alone, strict=True):
            close(one[b], other, atol=1e-9)
    assert together.n_iter.tolist() == sorted(together.n_iter.tolist())  # each stops on its own
    assert together.n_iter[0] < together.n_iter[2]
    assert together.value.shape == (3,)


def test_passengers_ride_along():
    x, y = wave(9), wave(9, 0.5)
    found = matching.match(x, y, 1.5, points=torch.cat([x, points(4)]))
    again = flows.shoot(x, found.momenta, 1.5, points=points(4))
    close(found.points[:9], found.deformed)
    close(found.points[9:], again.points)


def test_rotated_and_shifted_faces_match_by_rotated_momenta():
    x, y = wave(9), wave(9, 0.5)
    c, s = math.cos(1.0), math.sin(1.0)
    turn = row((c, s), (-s, c))
    straight = matching.match(x, y, 1.5, 1.0, tol=1e-9)
    turned = matching.match(x @ turn + 5, y @ turn + 5, 1.5, 1.0, tol=1e-9)
    close(turned.deformed, straight.deformed @ turn + 5, atol=1e-3)
    close(turned.value, straight.value, atol=1e-6)


def test_curves_of_other_numbers_of_points_match_by_curve_alone():
    x, y = wave(9), wave(23, 0.4)
    found = matching.match(x, y, 1.5, 1.0, gamma=1e-3, landmarks=False)
    before, after = (currents.distance2(z, y, 1.0).item() for z in (x, found.deformed))
    assert after < 0.05 * before
    face = [Curves(z, [slice(None)]) for z in (x, y)]
    close(matching.match(*face, 1.5, 1.0, gamma=1e-3, landmarks=False).value, found.value, atol=1e-9)


def test_curves_take_half_of_sigma_v_as_sigma_w():
    x, y = Curves(points(13), SLICES, coupled=False), points(13) + points(13, seed=1, spread=0.2)
    sigma = [2.0, 3.0, 1.0, 2.5]
    for sigma_v, sigma_w in ((2.0, 1.0), (sigma, [s / 2 for s in sigma])):
        close(matching.match(x, y, sigma_v).value, matching.match(x, x.at(y), sigma_v, sigma_w).value, atol=0)


def test_uncoupled_curves_match_each_alone():
    x, y, sigma = points(13), points(13) + points(13, seed=1, spread=0.3), [2.0, 3.0, 1.0, 2.5]
    face = Curves(x, SLICES, coupled=False)
    together = matching.match(face, y, sigma, landmarks=False, tol=1e-9, max_iter=500)
    alone = sum(
        matching.match(x[list(i)], y[list(i)], s, s / 2, landmarks=False, tol=1e-9, max_iter=500).value
        for i, s in zip(face.indices, sigma, strict=True)
        if len(i) > 1
    )
    close(together.value, alone, atol=1e-5)
    close(together.momenta[7], torch.zeros(2), atol=1e-6)  # a lone point has no curve to follow


def test_unlabelled_landmarks_are_left_alone():
    x, y = wave(9), wave(9, 0.5)
    y[4] = math.nan
    found = matching.match(x, y, 1.5)
    assert found.converged
    assert found.momenta.isfinite().all()
    assert found.momenta[4].norm() < 0.05 * found.momenta.norm()


def test_coincident_landmarks_survive():
    x = wave(9)
    x[5] = x[4]
    y = wave(9, 0.5)
    found = matching.match(x, y, 1.5, gamma=1e-3)
    assert found.momenta.isfinite().all()
    close(found.deformed[5], found.deformed[4])  # and stay together: no flow parts them
    assert currents.landmark_discrepancy(found.deformed, y) < 0.3 * currents.landmark_discrepancy(x, y)


def test_what_has_not_converged_says_so():
    x, y = wave(30), wave(30, 0.8, 2.0)
    short, long = (matching.match(x, y, 1.0, 0.5, max_iter=n) for n in (8, 300))
    assert not short.converged
    assert short.residual > 1e-4
    assert short.n_iter == 8
    assert long.converged
    assert long.residual <= 1e-4
    assert long.value < short.value < matching.objective(flows.shoot(x, 0 * x, 1.0), y, 0.5)


def test_gamma_trades_energy_for_nearness():
    x, y = wave(9), wave(9, 0.8)
    results = [matching.match(x, y, 1.5, gamma=gamma) for gamma in (1.0, 0.1, 0.01, 0.0)]
    apart = [currents.landmark_discrepancy(r.deformed, y).item() for r in results]
    cost = [flows.hamiltonian(x, r.momenta, 1.5).item() for r in results]
    assert apart == sorted(apart, reverse=True)
    assert cost[:3] == sorted(cost[:3])


def test_no_gradient_flows_through_a_match():
    x = wave(9).requires_grad_()
    found = matching.match(x, wave(9, 0.3), 1.5, 1.0)
    assert not found.momenta.requires_grad
    with torch.no_grad():
        close(matching.match(x, wave(9, 0.3), 1.5, 1.0).momenta, found.momenta, atol=0)


def test_single_precision():
    x, y = wave(9), wave(9, 0.5)
    exact, single = matching.match(x, y, 1.5, 1.0), matching.match(x.float(), y.float(), 1.5, 1.0)
    assert single.value.dtype == torch.float32
    close(single.deformed.double(), exact.deformed, atol=2e-2)
    assert abs(single.value.item() / exact.value.item() - 1) < 1e-2


def test_input_that_does_not_fit():
    x, y, match = wave(9), wave(9, 0.5), matching.match
    for bad in (-0.1, 1.1, math.nan):
        refused(r"gamma: needed a number in \[0, 1\]", match, x, y, 1.5, gamma=bad)
    refused("beta: needed a number >= 0", match, x, y, 1.5, beta=-1.0)
    refused("sigma: needed a number > 0", match, x, y, 0.0)
    refused("sigma: needed a number > 0", match, x, y, 1.0, -1.0)
    refused("model: needed one of 'shoot', 'flow'; got 'path'", match, x, y, 1.5, model="path")
    refused("landmarks: needed True, or curves", match, x, y, 1.5, landmarks=False)
    refused("needed the same points, got .*landmarks=False", match, x, wave(8), 1.5, 1.0)
    refused("one dtype", match, x, y.float(), 1.5)
    refused("needed finite", match, x * math.nan, y, 1.5)
    refused("needed finite", match, x, y * math.nan, 1.5, 1.0)
    refused("needed as many curves", match, Curves(x, [range(9)]), Curves(y, [range(4), range(4, 9)]), 1.5)
    refused("sigma: needed one number for one flow", match, Curves(x, [range(9)]), y, [1.5])
    refused("tol: needed a number > 0", match, x, y, 1.5, tol=0.0)
    refused("max_iter: needed a number > 0", match, x, y, 1.5, max_iter=0)


# --- means and modes -----------------------------------------------------------------


def test_the_mean_of_opposite_geodesics_is_their_middle():
    x, p = wave(9), points(9, seed=1, spread=0.15)
    shapes = torch.stack([flows.shoot(x, s * p, 1.5).end for s in (1.0, -1.0, 0.5, -0.5)])
    found = matching.mean(shapes, 1.5, gamma=1e-3, tol=0.02)
    assert found.converged
    assert found.residual <= 0.02
    plain = (shapes.mean(0) - x).abs().max().item()
    assert (found.template - x).abs().max().item() < 0.5 * plain
    short = matching.mean(shapes * row((1.0, 3.0)), 1.5, gamma=1e-3, tol=1e-9, max_iter=1)
    assert not short.converged
    assert short.n_iter == 1


def test_means_of_curves():
    shapes = points(13) + points(4, 13, seed=1, spread=0.1)
    face = Curves(shapes, SLICES, coupled=False)
    found = matching.mean(face, [2.0, 3.0, 1.0, 2.5], tol=0.2)
    assert found.template.shape == (13, 2)
    assert found.momenta.shape == (4, 13, 2)
    assert found.residual <= 0.2


def test_modes_are_the_principal_components_of_whitened_momenta():
    x, p = wave(9), points(6, 9, seed=1)
    found = matching.modes(x, p, 1.5)
    root = torch.linalg.cholesky(kernels.gaussian(x, x, 1.5))
    flat = (root.mT @ (p - p.mean(0))).flatten(1)
    expected = torch.linalg.svdvals(flat) / math.sqrt(5)
    close(found.deviations, expected[:5])  # six shapes span five directions
    gram = matching._inner(found.momenta, found.momenta, kernels.gaussian(x, x, 1.5))
    close(gram, torch.eye(5), atol=1e-10)
    close(found.mean + torch.einsum("bk,knd->bnd", found.scores, found.momenta), p, atol=1e-10)
    close(found.scores.std(0), found.deviations)
    two = matching.modes(x, p, 1.5, 2)
    assert len(two.deviations) == 2
    close(two.scores, found.scores[:, :2])


def test_modes_find_the_one_direction_there_is():
    x, p = wave(9), points(9, seed=1)
    found = matching.modes(x, torch.linspace(-1, 2, 7, dtype=torch.float64)[:, None, None] * p, 1.5)
    assert len(found.deviations) == 1
    size = (2 * flows.hamiltonian(x, p, 1.5)).sqrt()
    close((found.momenta[0] * size).abs(), p.abs(), atol=1e-9)


def test_statistics_that_do_not_fit():
    refused(r"shapes: needed \(shapes, n, 2\), got \(9, 2\)", matching.mean, wave(9), 1.5)
    refused("of two shapes at least", matching.modes, wave(9), points(1, 9), 1.5)


REAL = os.environ.get("LDDMMLIB_REAL_DATA")


@pytest.mark.real
@pytest.mark.skipif(not REAL, reason="LDDMMLIB_REAL_DATA does not name the folder of real data")
class TestReal:
    @pytest.fixture
    def shapes(self):
        """Twelve faces, centred and of one size: about 250 px across."""
        with np.load(Path(REAL) / "shapes_300w_train.npz") as file:
            x = torch.from_numpy(file["pts"][:12]).double()
        x = x - x.mean(-2, keepdim=True)
        return 800 * x / torch.linalg.vector_norm(x, dim=(-1, -2), keepdim=True)

    def test_mean_and_modes_of_real_faces(self, shapes):
        found = matching.mean(shapes, 60.0, gamma=1e-3, steps=5)
        assert found.converged
        modes = matching.modes(found.template, found.momenta, 60.0, 3)
        assert (modes.deviations.diff() < 0).all()
        ends = flows.shoot(found.template.expand(12, -1, -1), found.momenta, 60.0).end
        plain = currents.landmark_discrepancy(found.template.expand_as(shapes), shapes)
        assert (currents.landmark_discrepancy(ends, shapes) < 0.5 * plain).all()
