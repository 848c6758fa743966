"""Matching against closed forms and SciPy's minimiser; means and modes against what made the shapes."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from lddmmlib import currents, flows, kernels, matching
from lddmmlib._engine.lbfgs import minimise
from lddmmlib.curves import Curves
from tests.helpers import refused

SLICES = [slice(0, 4), [6, 5, 4], [7], range(8, 13)]


def points(*shape, seed=0, spread=1.5):
    return spread * torch.randn(*shape, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def row(*pairs):
    return torch.tensor(pairs, dtype=torch.float64)


def wave(n, phase=0.0, height=1.0):
    """300 px wide, 100 px high."""
    t = torch.linspace(-3, 3, n, dtype=torch.float64)
    return 50 * torch.stack([t, height * torch.sin(t + phase)], -1)


def close(a, b, atol=1e-12):
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype), rtol=0, atol=atol)


# --- the functional ------------------------------------------------------------------


def test_equations_2_and_3_are_the_sums_of_their_terms():
    x0, p, y = points(2, 13), points(2, 13, seed=1, spread=0.3), points(2, 13, seed=2)
    result = flows.shoot(x0, p, 2.0)
    apart, along = currents.landmark_discrepancy(result.end, y), currents.distance2(result.end, y, 1.5)
    close(matching.discrepancy(result.end, y, 1.5, 0.3), 0.3 * along + apart)
    close(matching.discrepancy(result.end, y, 1.5, 0.3, landmarks=False), 0.3 * along)
    close(matching.discrepancy(result.end, y, None), apart)
    close(matching.objective(result, y, 1.5, 0.3, 0.7), 0.7 * flows.energy(result) + 0.3 * along + apart)


def test_equation_8_by_loops_over_the_curves():
    """Each landmark term is a mean over its own curve."""
    x0, p, y = points(2, 13), points(2, 13, seed=1, spread=0.3), points(2, 13, seed=2)
    face, sigma_w = Curves(x0, SLICES, closed=[True, False, False, True]), [1.0, 2.0, 1.5, 0.5]
    result, corners = flows.shoot(face, p, 2.0), torch.tensor([2.0, 5.0], dtype=torch.float64)
    z, target = face.with_points(result.end), face.with_points(y)
    along, apart = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for i, sigma, closed in zip(face.indices, sigma_w, face.closed, strict=True):
        a, b = result.end[:, list(i)], y[:, list(i)]
        along += currents.distance2(a, b, sigma, closed)
        apart += sum((a[:, k] - b[:, k]).norm(dim=-1) for k in range(len(i))) / len(i)
    close(matching.loss(z, target, sigma_w, 0.3, corners), (0.3 * along + apart) / corners)
    close(matching.loss(z, target, sigma_w), 0.1 * along + apart)
    close(matching.discrepancy(z, target, sigma_w, 0.3), 0.3 * along + apart)
    close(matching.discrepancy(z, target, sigma_w, 0.3, landmarks=False), 0.3 * along)
    close(matching.discrepancy(z, target, None), apart)
    close(matching.objective(result, target, sigma_w, 0.3, 0.7), 0.7 * flows.energy(result) + 0.3 * along + apart)


def test_one_curve_is_one_curve_whichever_way_it_is_given():
    x, y = wave(7), wave(7, 0.6)
    one = [Curves(z, [slice(None)]) for z in (x, y)]
    close(matching.discrepancy(*one, 50.0), matching.discrepancy(x, y, 50.0))
    close(matching.loss(*one, 50.0, 0.2, 3.0), matching.discrepancy(x, y, 50.0, 0.2) / 3)


def test_the_loss_of_equation_8_has_the_gradient_of_finite_differences():
    face = Curves(points(13), SLICES, coupled=False)

    def L(alpha):
        end = flows.flow(face, alpha, [2.0, 1.5, 1.0, 3.0], 2, "euler").end
        return matching.loss(face.with_points(end), face.with_points(points(13, seed=2)), 1.0, normaliser=4.0)

    assert torch.autograd.gradcheck(L, points(13, seed=1, spread=0.3).requires_grad_())


def test_a_loss_that_does_not_fit():
    face = Curves(points(2, 13), SLICES)
    refused("z: needed Curves, got Tensor", matching.loss, face.points, face, 1.0, error=TypeError)
    for bad in (0.0, -1.0, math.nan, math.inf, torch.tensor([1.0, math.nan])):
        refused("normaliser: needed (lengths|a number) > 0", matching.loss, face, face, 1.0, 0.1, bad)
    refused(r"one a face, \(2,\), got \(3,\)", matching.loss, face, face, 1.0, 0.1, torch.ones(3))
    other = Curves(face.points, [slice(0, 3), [6, 5, 4], [7, 3], range(8, 13)])
    refused("needed the same points in each curve", matching.loss, face, other, 1.0)
    refused("landmarks: needed True, or curves", matching.discrepancy, face, face, None, 0.1, False)


@pytest.mark.parametrize("model", matching.MODELS)
def test_a_lone_landmark(model):
    """J = γ p² + |a - p|: it arrives if γ is small, and stops at 1/(2γ) if not."""
    x, a = row((1.0, 2.0)), row((3.0, 4.0))
    for gamma, way in ((0.01, 1.0), (0.2, 0.5), (1.0, 0.1)):
        found = matching.match(x, x + a, 2.0, gamma=gamma, model=model, steps=2, tol=1e-7)
        close(found.momenta, way * a, atol=1e-4)
        close(found.deformed, x + way * a, atol=1e-4)
        close(found.value, gamma * 25 * way**2 + 5 * (1 - way), atol=1e-4)


@pytest.mark.parametrize("model", matching.MODELS)
@pytest.mark.parametrize("terms", ["landmarks", "curves", "both"])
def test_no_worse_than_scipy_from_the_same_start(model, terms):
    x, y = wave(7), wave(7, 0.6, 1.3)
    sigma_w, landmarks = None if terms == "landmarks" else 50.0, terms != "curves"
    options = {"landmarks": landmarks, "steps": 3, "tol": 1e-8}
    found = matching.match(x, y, 75.0, sigma_w, 0.1, 0.05, model, **options)

    def J(p):
        p = torch.from_numpy(p).reshape(7, 2).requires_grad_()
        flow = matching.MODELS[model](x, p, 75.0, 3)
        value = matching.objective(flow, y, sigma_w, 0.1, 0.05, landmarks)
        return value.item(), torch.autograd.grad(value, p)[0].numpy().ravel()

    judge = minimize(J, np.zeros(14), jac=True, method="L-BFGS-B", options={"maxiter": 300})
    value, gradient = J(found.momenta.numpy().ravel())
    assert found.converged
    assert abs(found.value.item() / value - 1) < 1e-9
    assert found.value.item() < judge.fun * (1 + 1e-5)
    if terms == "curves":  # smooth: there the gradient ends at 0
        assert np.abs(gradient).max() < 1e-3 * np.abs(J(np.zeros(14))[1]).max()


@pytest.mark.parametrize("gamma", [0.01, 0.1])
def test_match_agrees_with_the_version_to_read(gamma):
    """Two optimisers, one problem: the value to a per mille, the deformed curve to a hundredth of the way."""
    x, y = wave(6), wave(6, 0.5, 1.3)
    p0, z = matching.match_by_descending(x, y, 80.0, 40.0, gamma=gamma)
    found = matching.match(x, y, 80.0, 40.0, gamma=gamma)
    value = matching.objective(flows.shoot(x, p0, 80.0), y, 40.0, gamma=gamma)
    assert value.item() == pytest.approx(found.value.item(), rel=1e-3)
    assert (z - found.deformed).norm(dim=-1).max() < 0.01 * (y - x).norm(dim=-1).max()


def test_whitened_momenta_have_their_norm_as_energy():
    face = Curves(points(13), SLICES, coupled=False)
    for curve, sigma in ((points(8), 2.0), (face, [1.0, 2.0, 3.0, 1.5]), (face, 2.0)):
        L, K = matching.whitening(curve, sigma), matching._gram(curve, sigma)
        one = torch.eye(len(K), dtype=torch.float64)
        close(L @ (K + matching.RIDGE * one) @ L, one, atol=1e-10)
        p = points(len(K), seed=1)
        close((p * (K @ p)).sum() / 2, flows.hamiltonian(curve, p, sigma))


@pytest.mark.parametrize("landmarks", [True, False])
def test_whitening_saves_evaluations(landmarks):
    """To within 1 % of the best, on two curves of 68 points."""
    x, y = wave(68), wave(68, 0.6, 1.5)
    first, values = {}, {}
    for name, root in (("white", matching.whitening(x, 50.0)), ("raw", torch.eye(68, dtype=torch.float64))):
        values[name] = []

        def J(z):
            flow = flows.shoot(x, root @ z.reshape(68, 2), 50.0, 4)  # noqa: B023
            value = matching.objective(flow, y, 25.0, landmarks=landmarks)
            values[name].append(value.item())  # noqa: B023
            return value[None]

        minimise(J, torch.zeros(1, 136, dtype=torch.float64), 1e-12, 100)
    best = min(map(min, values.values()))
    for name, seen in values.items():
        first[name] = next((i for i, value in enumerate(seen, 1) if value <= 1.01 * best), 101)
    assert first["white"] <= 40
    assert first["raw"] > 2 * first["white"]


# --- what a match does ---------------------------------------------------------------


def test_nothing_to_do():
    x = wave(9)
    found = matching.match(x, x, 75.0, 50.0)
    assert found.converged
    assert found.n_iter == 1
    close(found.momenta, torch.zeros(9, 2), atol=0)


def test_a_batch_is_its_matches():
    x, y = wave(9), torch.stack([wave(9, phase) for phase in (0.02, 0.5, 0.9)])
    options = {"landmarks": False, "steps": 4, "points": points(4)}
    together = matching.match(x, y, 75.0, 50.0, **options)
    for b in range(3):
        alone = matching.match(x, y[b], 75.0, 50.0, **options)
        for one, other in zip(together, alone, strict=True):
            close(one[b], other, atol=1e-6)
    assert together.n_iter.unique().numel() > 1  # each stops on its own
    assert together.value.shape == (3,)


def test_passengers_ride_along():
    x, y = wave(9), wave(9, 0.5)
    found = matching.match(x, y, 75.0, points=torch.cat([x, points(4)]))
    again = flows.shoot(x, found.momenta, 75.0, points=points(4))
    close(found.points[:9], found.deformed)
    close(found.points[9:], again.points)


def test_rotated_and_shifted_faces_match_by_rotated_momenta():
    x, y = wave(9), wave(9, 0.5)
    c, s = math.cos(1.0), math.sin(1.0)
    turn = row((c, s), (-s, c))
    straight, turned = (matching.match(a, b, 75.0, 50.0, steps=4, tol=1e-7) for a, b in ((x, y), (x @ turn, y @ turn)))
    close(turned.deformed, straight.deformed @ turn, atol=1e-2)
    assert abs(turned.value / straight.value - 1).item() < 1e-6


def test_curves_of_other_numbers_of_points_match_by_curve_alone():
    x, y = wave(9), wave(23, 0.4)
    found = matching.match(x, y, 75.0, 50.0, gamma=1e-3, landmarks=False)
    before, after = (currents.distance2(z, y, 50.0).item() for z in (x, found.deformed))
    assert after < 0.05 * before
    face = [Curves(z, [slice(None)]) for z in (x, y)]
    close(matching.match(*face, 75.0, 50.0, gamma=1e-3, landmarks=False).value, found.value, atol=1e-9)


FACE = Curves(points(13, spread=50), SLICES, coupled=False)
MOVED = FACE.points + points(13, seed=1, spread=5)
SIGMAS = [60.0, 90.0, 30.0, 75.0]


def test_curves_take_half_of_sigma_v_as_sigma_w():
    for sigma_v, sigma_w in ((60.0, 30.0), (SIGMAS, [s / 2 for s in SIGMAS])):
        one = matching.match(FACE, MOVED, sigma_v, max_iter=5)
        close(one.value, matching.match(FACE, FACE.with_points(MOVED), sigma_v, sigma_w, max_iter=5).value, atol=0)


def test_curves_that_lack_are_matched_as_if_they_were_not_there():
    """An empty curve and points in no curve have no terms and no momenta."""
    x, y, sigma_v = points(9, spread=50), points(2, 9, seed=1, spread=50), [60.0, 0.0, 40.0, 0.0]
    curves, kept = [[0, 1, 2], [], [7, 6, 4], [5]], [0, 1, 2, 7, 6, 4, 5]  # 3 and 8 are in none
    how = {"gamma": 0.1, "steps": 3, "max_iter": 30}
    face = Curves(x, curves, coupled=False)
    found = matching.match(face, y, sigma_v, **how)
    small = Curves(x[kept], [range(3), range(3, 6), [6]], coupled=False)
    same = matching.match(small, y[:, kept], [60.0, 40.0, 9.0], [30.0, 20.0, 4.5], **how)
    close(found.value, same.value, atol=1e-6)
    close(found.deformed[:, kept], same.deformed, atol=1e-4)
    assert not found.momenta[:, [3, 8]].any()
    assert torch.equal(found.deformed[:, [3, 8]], x[[3, 8]].expand(2, 2, 2))
    modes = matching.modes(face, found.momenta, sigma_v)
    close(modes.deviations, matching.modes(small, same.momenta, [60.0, 40.0, 9.0]).deviations, atol=1e-3)
    assert not modes.momenta[:, [3, 8]].any()


@pytest.mark.parametrize("landmarks", [True, False])
def test_uncoupled_curves_match_each_alone(landmarks):
    options = {"landmarks": landmarks, "gamma": 0.1, "steps": 2, "tol": 1e-6}  # all at the bottom in 200
    together = matching.match(FACE, MOVED, SIGMAS, **options)
    deformed, alone = FACE.with_points(together.deformed), 0
    for i, s in zip(FACE.indices, SIGMAS, strict=True):
        if len(i) > 1 or landmarks:
            curve = Curves(FACE.points[list(i)], [slice(None)])
            one = matching.match(curve, MOVED[list(i)], s, s / 2, **options)
            alone = alone + one.value
            close(deformed.points[list(i)], one.deformed, atol=0.01)  # of some 5 px that they move
            end = flows.shoot(curve, together.momenta[list(i)], s, 2)
            of_its_own = matching.objective(end, curve.with_points(MOVED[list(i)]), s / 2, 0.1, 0.1, landmarks)
            assert abs(of_its_own / one.value - 1).item() < 1e-6
    assert abs(together.value / alone - 1).item() < 1e-6
    if not landmarks:
        close(together.momenta[7], torch.zeros(2), atol=1e-6)  # a lone point has no curve to follow


def test_unlabelled_landmarks_do_not_count():
    x, y = wave(9), wave(9, 0.5)
    y[4] = math.nan
    found = matching.match(x, y, 75.0, tol=1e-6)
    assert found.converged
    kept = [i for i in range(9) if i != 4]
    assert abs(matching.match(x[kept], y[kept], 75.0, tol=1e-6).value / found.value - 1).item() < 1e-2
    assert found.momenta[4].norm() < 0.1 * found.momenta.norm()


def test_coincident_landmarks_survive():
    x = wave(9)
    x[5] = x[4]
    y = wave(9, 0.5)
    found = matching.match(x, y, 75.0, gamma=1e-3)
    assert found.momenta.isfinite().all()
    close(found.deformed[5], found.deformed[4], atol=1e-9)  # and stay together: no flow parts them
    assert currents.landmark_discrepancy(found.deformed, y) < 0.4 * currents.landmark_discrepancy(x, y)


def test_what_has_not_converged_says_so():
    x, y = wave(30), wave(30, 0.8, 2.0)
    short, middle, long = (matching.match(x, y, 50.0, 25.0, steps=4, max_iter=n) for n in (8, 30, 300))
    assert not short.converged
    assert 1e-4 < middle.residual < 1  # there is a number, and it is not small enough
    assert not middle.converged
    assert short.residual > 1e-4
    assert short.n_iter == 8
    assert long.converged
    assert long.residual <= 1e-4
    assert long.value < short.value < matching.objective(flows.shoot(x, 0 * x, 50.0), y, 25.0)


def test_gamma_trades_energy_for_nearness():
    x, y = wave(9), wave(9, 0.8)
    results = [matching.match(x, y, 75.0, gamma=gamma, steps=4) for gamma in (1.0, 0.3, 0.1, 0.03)]
    apart = [currents.landmark_discrepancy(r.deformed, y).item() for r in results]
    cost = [flows.hamiltonian(x, r.momenta, 75.0).item() for r in results]
    assert apart == sorted(apart, reverse=True)
    assert cost == sorted(cost)


def test_no_gradient_flows_through_a_match():
    x = wave(9).requires_grad_()
    found = matching.match(x, wave(9, 0.3), 75.0, 50.0, max_iter=5)
    assert not found.momenta.requires_grad
    with torch.no_grad():
        close(matching.match(x, wave(9, 0.3), 75.0, 50.0, max_iter=5).momenta, found.momenta, atol=0)


@pytest.mark.parametrize("landmarks", [True, False])
def test_single_precision(landmarks):
    x, y = wave(9), wave(9, 0.5)
    exact, single = (matching.match(a, b, 75.0, 50.0, landmarks=landmarks) for a, b in ((x, y), (x.float(), y.float())))
    assert single.value.dtype == torch.float32
    assert single.converged
    close(single.deformed.double(), exact.deformed, atol=0.3)
    assert abs(single.value.item() / exact.value.item() - 1) < 1e-2


def test_input_that_does_not_fit():
    x, y, match = wave(9), wave(9, 0.5), matching.match
    for bad in (-0.1, 1.1, math.nan):
        refused(r"gamma: needed a number in \[0, 1\]", match, x, y, 1.5, gamma=bad)
    refused("beta: needed a number >= 0", match, x, y, 1.5, beta=-1.0)
    refused("sigma_v: needed a number > 0", match, x, y, 0.0)
    refused("sigma_w: needed a number > 0", match, x, y, 1.0, -1.0)
    refused("model: needed one of 'shoot', 'flow'; got 'path'", match, x, y, 1.5, model="path")
    refused("landmarks: needed True, or curves", match, x, y, 1.5, landmarks=False)
    refused("needed the same points, got .*landmarks=False", match, x, wave(8), 1.5, 1.0)
    refused("one dtype", match, x, y.float(), 1.5)
    refused("needed finite", match, x * math.nan, y, 1.5)
    refused("needed finite", match, x, y * math.nan, 1.5, 1.0)
    refused("needed as many curves", match, Curves(x, [range(9)]), Curves(y, [range(4), range(4, 9)]), 1.5)
    refused("sigma_v: needed one number for one flow", match, Curves(x, [range(9)]), y, [1.5])
    refused("tol: needed a number > 0", match, x, y, 1.5, tol=0.0)
    refused("max_iter: needed an integer >= 1", match, x, y, 1.5, max_iter=0)


# --- means and modes -----------------------------------------------------------------


def test_at_the_mean_the_momenta_add_up_to_nothing():
    x, p = wave(9), points(9, seed=1, spread=5)
    shapes = torch.stack([flows.shoot(x, s * p, 75.0, 4).end for s in (1.5, -1.5, 0.5)])
    residuals = []
    for most in (1, 6):
        found = matching.mean(shapes, 75.0, gamma=1e-3, max_iter=most, steps=3)
        K = kernels.gaussian(found.template, found.template, 75.0)
        sizes = [(q * (K @ q)).sum().item() for q in (*found.momenta, found.momenta.mean(0))]
        assert abs(found.residual - math.sqrt(sizes[3] / (sum(sizes[:3]) / 3))) < 1e-9
        assert not found.converged or found.residual <= 0.05
        residuals.append(found.residual)
    assert residuals[1] < 0.5 * residuals[0]


def test_means_of_curves():
    shapes = FACE.points + points(4, 13, seed=1, spread=3)
    face = Curves(shapes, SLICES, coupled=False)
    found = matching.mean(face, SIGMAS, tol=0.2, steps=3)
    assert found.template.shape == (13, 2)
    assert found.momenta.shape == (4, 13, 2)
    assert found.residual <= 0.2


def test_modes_are_the_principal_components_of_whitened_momenta():
    x, p = wave(9), points(6, 9, seed=1)
    found = matching.modes(x, p, 75.0)
    root = torch.linalg.cholesky(kernels.gaussian(x, x, 75.0))
    flat = (root.mT @ (p - p.mean(0))).flatten(1)
    expected = torch.linalg.svdvals(flat) / math.sqrt(5)
    close(found.deviations, expected[:5])  # six shapes span five directions
    gram = matching._inner(found.momenta, found.momenta, kernels.gaussian(x, x, 75.0))
    close(gram, torch.eye(5), atol=1e-10)
    close(found.mean + torch.einsum("bk,knd->bnd", found.scores, found.momenta), p, atol=1e-10)
    close(found.scores.std(0), found.deviations)
    two = matching.modes(x, p, 75.0, 2)
    assert len(two.deviations) == 2
    close(two.scores, found.scores[:, :2])


def test_modes_find_the_one_direction_there_is():
    x, p = wave(9), points(9, seed=1)
    found = matching.modes(x, torch.linspace(-1, 2, 7, dtype=torch.float64)[:, None, None] * p, 75.0)
    assert len(found.deviations) == 1
    size = (2 * flows.hamiltonian(x, p, 75.0)).sqrt()
    close((found.momenta[0] * size).abs(), p.abs(), atol=1e-9)


def test_statistics_that_do_not_fit():
    refused(r"shapes: needed \(shapes, n, 2\), got \(9, 2\)", matching.mean, wave(9), 75.0)
    refused("of two shapes at least", matching.modes, wave(9), points(1, 9), 75.0)


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
