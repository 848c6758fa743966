"""Flows against closed forms and quadrature, conservation, orders, inverses, certificates."""

import math
from inspect import unwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lddmmlib import flows, kernels
from lddmmlib._engine.integrate import units_of
from lddmmlib.curves import Curves
from tests.helpers import refused
from tests.oracles import lddmm as oracle

seeds = st.integers(0, 10_000)
SLICES = [slice(0, 4), [6, 5, 4], [7], range(8, 13)]
SIGMAS = [1.5, 2.0, 1.0, 3.0]
MODELS = [flows.flow, flows.shoot]
ORDERS = {"euler": 1, "rk2": 2, "rk4": 4}


def points(*shape, seed=0, spread=1.5):
    return spread * torch.randn(*shape, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def row(*pairs):
    return torch.tensor(pairs, dtype=torch.float64)


def face(*batch, seed=0, **options):
    return Curves(points(*batch, 13, seed=seed), SLICES, **options)


def close(a, b, atol=1e-12):
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype), rtol=0, atol=atol)


def along(alpha, x0, sigma, steps=10, method="rk2", points=None):
    """flow_path with momenta that turn and shrink."""
    time = torch.linspace(1, 0.3, steps, dtype=alpha.dtype).reshape(-1, *[1] * alpha.ndim)
    return flows.flow_path(x0, alpha * time, sigma, method, points)


# --- closed forms --------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", flows.METHODS)
def test_a_lone_landmark_moves_by_its_momentum(model, method):
    x0, p0 = row((1.0, 2.0)), row((0.6, -0.3))
    end, momentum = oracle.single_landmark(x0, p0)
    result = model(x0, p0, 2.0, 3, method)
    close(result.end, end, atol=1e-15)
    close(result.momenta[-1], momentum, atol=1e-15)


def test_two_landmarks_side_by_side_under_constant_momenta_keep_their_distance():
    x0, alpha = row((-0.5, 0.0), (0.5, 0.0)), row((0.0, 0.8), (0.0, 0.8))
    for method in flows.METHODS:
        end = flows.flow(x0, alpha, 1.5, 2, method).end
        close(end - x0, row((0.0, 1.0), (0.0, 1.0)) * oracle.constant_parallel_pair(1.0, 0.8, 1.5), atol=1e-14)


@pytest.mark.parametrize(("d", "p", "sigma"), [(2.0, 1.0, 2.0), (1.0, 3.0, 1.5), (5.0, 2.0, 1.0)])
def test_head_on_by_quadrature(d, p, sigma):
    x0, p0 = row((-d / 2, 0.0), (d / 2, 0.0)), row((p, 0.0), (-p, 0.0))
    end = flows.shoot(x0, p0, sigma, 400, "rk4").end
    close(end[1] - end[0], row((oracle.head_on(d, p, sigma), 0.0))[0], atol=1e-9)


@pytest.mark.parametrize(("d", "p", "sigma"), [(1.0, 1.0, 1.5), (2.0, 3.0, 2.0)])
def test_side_by_side_by_quadrature(d, p, sigma):
    """On a geodesic, unlike under constant momenta, they drift apart."""
    x0, p0 = row((-d / 2, 0.0), (d / 2, 0.0)), row((0.0, p), (0.0, p))
    end = flows.shoot(x0, p0, sigma, 400, "rk4").end
    distance, way = oracle.side_by_side(d, p, sigma)
    assert distance > 1.02 * d
    close(end, row((-distance / 2, way), (distance / 2, way)), atol=1e-8)


# --- the equations -------------------------------------------------------------------


@given(seeds)
def test_hamilton_equations_are_the_gradient_of_the_hamiltonian(seed):
    x, p = points(2, 5, seed=seed).requires_grad_(), points(2, 5, seed=seed + 1).requires_grad_()
    dx, dp = flows.hamilton_equations(x, p, 1.3)
    by_x, by_p = torch.autograd.grad(flows.hamiltonian(x, p, 1.3).sum(), (x, p))
    close(by_p, dx)
    close(-by_x, dp)


def test_shooting_to_read_is_shooting_by_euler():
    x0, p0 = points(2, 6), points(2, 6, seed=1, spread=0.7)
    for steps in (1, 7):
        x, p = flows.shoot_by_equations(x0, p0, 1.3, steps)
        fast = flows.shoot(x0, p0, 1.3, steps, "euler")
        close(x, fast.end)
        close(p, fast.momenta[-1])
    close(flows.shoot_by_equations(x0, p0, 1.3)[0], flows.shoot(x0, p0, 1.3, 10, "euler").end)


def test_ten_midpoint_steps_if_nothing_is_said():
    x0, p0, z = points(6), points(6, seed=1, spread=0.5), points(3, seed=2)
    for model in MODELS:
        plain, spelt = model(x0, p0, 1.5, points=z), model(x0, p0, 1.5, 10, "rk2", z)
        assert (plain.steps, plain.method, len(plain.path)) == (10, "rk2", 11)
        close(plain.end, spelt.end, atol=0)
        close(plain.points, spelt.points, atol=0)
    assert flows.flow_path(x0, p0.expand(4, 6, 2), 1.5).method == "rk2"
    assert flows.min_steps(x0, p0, 1.5) == flows.min_steps(x0, p0, 1.5, "rk2", geodesic=False)


@pytest.mark.parametrize("model", MODELS)
def test_derivatives_of_whole_flows_by_finite_differences(model):
    x0, p0, z = points(3).requires_grad_(), points(3, seed=1).requires_grad_(), points(2, seed=2).requires_grad_()

    def ends(x0, p0, z):
        result = model(x0, p0, 1.5, 3, "rk2", z)
        return result.end, result.points, result.path, result.momenta

    assert torch.autograd.gradcheck(ends, (x0, p0, z))
    assert torch.autograd.gradgradcheck(lambda *x: ends(*x)[:2], (x0, p0, z))


def test_gradients_of_curves_that_flow_alone_by_finite_differences():
    x0, p0 = points(13).requires_grad_(), points(13, seed=1).requires_grad_()
    for model in MODELS:
        assert torch.autograd.gradcheck(
            lambda x, p: model(Curves(x, SLICES, coupled=False), p, SIGMAS, 2).end,  # noqa: B023
            (x0, p0),
        )


def test_velocity_is_the_sum_of_equation_6():
    z, x, alpha = points(3), points(4, seed=1), points(4, seed=2)
    expected = torch.zeros(3, 2, dtype=torch.float64)
    for k in range(3):
        for j in range(4):
            expected[k] += math.exp(-(math.dist(z[k].tolist(), x[j].tolist()) ** 2) / 4) * alpha[j]
    close(flows.velocity(z, x, alpha, 2.0), expected)


@pytest.mark.parametrize(("method", "order"), ORDERS.items())
@pytest.mark.parametrize("model", MODELS)
def test_orders(model, method, order):
    x0, p0, z = points(6), points(6, seed=1, spread=0.5), points(3, seed=2)
    exact = model(x0, p0, 1.5, 200, "rk4", z)
    for one in (0, 1):  # landmarks, passengers
        errors = [(model(x0, p0, 1.5, n, method, z)[one] - exact[one]).abs().max().item() for n in (10, 20)]
        assert abs(math.log2(errors[0] / errors[1]) - order) < 0.3


# --- the three models ----------------------------------------------------------------


def test_a_constant_path_is_constant_momenta():
    x0, alpha = points(2, 6), points(2, 6, seed=1)
    one, other = flows.flow(x0, alpha, 1.5, 7), flows.flow_path(x0, alpha.expand(7, 2, 6, 2), 1.5)
    close(one.path, other.path, atol=0)
    assert one.momenta.shape == other.momenta.shape == (7, 2, 6, 2)
    assert one.steps == other.steps == 7


def test_the_path_of_a_geodesic_momenta_leads_where_it_does():
    x0, p0 = points(6), points(6, seed=1, spread=1.0)
    geodesic = flows.shoot(x0, p0, 1.5, 400, "rk4")
    middle = (geodesic.momenta[1:] + geodesic.momenta[:-1]) / 2
    close(flows.flow_path(x0, middle, 1.5).end, geodesic.end, atol=1e-4)
    assert (flows.flow(x0, p0, 1.5).end - geodesic.end).abs().max() > 0.1  # held constant, the same momenta do not


def test_a_geodesic_is_shortest_among_flows_with_its_end():
    """The constant flow's end, reached by the geodesic between them, costs less."""
    x0, alpha = points(4, spread=0.7), points(4, seed=1, spread=0.7)
    target = flows.flow(x0, alpha, 1.5, 20, "rk4")
    p = alpha.clone().requires_grad_()
    for _ in range(6):  # Newton's method on the end point
        jac = torch.autograd.functional.jacobian(lambda p: flows.shoot(x0, p, 1.5, 20, "rk4").end.flatten(), p)
        rest = (flows.shoot(x0, p, 1.5, 20, "rk4").end - target.end).flatten()
        p = p.detach() - torch.linalg.solve(jac.reshape(8, 8), rest).reshape(4, 2)
    geodesic = flows.shoot(x0, p, 1.5, 20, "rk4")
    close(geodesic.end, target.end, atol=1e-10)
    assert flows.energy(geodesic) < flows.energy(target) - 1e-3


def test_the_layer_of_the_paper_is_two_sums():
    x0, alpha = points(5), points(5, seed=1, spread=0.3)
    x = x0
    for _ in range(2):
        x = x + 0.5 * kernels.gaussian(x, x, 1.5) @ alpha
    close(flows.flow(x0, alpha, 1.5, steps=2, method="euler").end, x)


# --- what is kept --------------------------------------------------------------------


def test_a_geodesic_keeps_energy_and_momenta():
    x0, p0 = points(2, 6), points(2, 6, seed=1)
    result = flows.shoot(x0, p0, 1.5, 200, "rk4")
    H = torch.stack([flows.hamiltonian(*s, 1.5) for s in zip(result.path, result.momenta, strict=True)])
    close(H, H[0].expand_as(H), atol=1e-7)
    close(flows.energy(result), 2 * H[0], atol=0)
    x, p = result.path, result.momenta
    angular = (x[..., 0] * p[..., 1] - x[..., 1] * p[..., 0]).sum(-1)
    close(angular, angular[0].expand_as(angular), atol=1e-7)
    coarse = flows.shoot(x0, p0, 1.5, 3, "euler").momenta.sum(-2)  # total momentum: exactly, by any method
    close(coarse, p0.sum(-2).expand_as(coarse), atol=1e-13)


def test_energy_under_constant_momenta_converges_as_the_square():
    x0, alpha = points(6), points(6, seed=1, spread=0.5)
    exact = flows.energy(flows.flow(x0, alpha, 1.5, 400, "rk4"))
    errors = [abs(flows.energy(flows.flow(x0, alpha, 1.5, n, "rk4")) - exact).item() for n in (10, 20)]
    assert abs(math.log2(errors[0] / errors[1]) - 2) < 0.1
    close(flows.energy(flows.flow(row((0.0, 0.0)), row((3.0, 4.0)), 9.0)), 25.0, atol=1e-1)


# --- equivariances -------------------------------------------------------------------


@pytest.mark.parametrize("model", [*MODELS, lambda x, p, *a: along(p, x, *a)])
@given(seeds, st.floats(0, 6.3), st.floats(0.2, 5))
def test_rotation_reflection_translation_scale_permutation(model, seed, angle, scale):
    x0, p0, z = points(5, seed=seed), points(5, seed=seed + 1, spread=0.5), points(3, seed=seed + 2)
    c, s = math.cos(angle), math.sin(angle)
    before = model(x0, p0, 1.5, 4, "rk2", z)
    for turn in (row((c, s), (-s, c)), row((c, s), (s, -c))):
        moved = [scale * x @ turn + row((3.0, -7.0)) for x in (x0, z)]
        after = model(moved[0], scale * p0 @ turn, 1.5 * scale, 4, "rk2", moved[1])
        close(after.end, scale * before.end @ turn + row((3.0, -7.0)), atol=1e-10)
        close(after.points, scale * before.points @ turn + row((3.0, -7.0)), atol=1e-10)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
    close(model(x0[order], p0[order], 1.5, 4, "rk2").end, before.end[order])


def test_faces_of_a_batch_do_not_see_each_other():
    x0, p0, z = points(2, 3, 5), points(2, 3, 5, seed=1), points(2, 3, 4, seed=2)
    for model in MODELS:
        together = model(x0, p0, 1.5, 3, "rk4", z)
        alone = model(x0[1, 2], p0[1, 2], 1.5, 3, "rk4", z[1, 2])
        close(together.end[1, 2], alone.end)
        close(together.points[1, 2], alone.points)
        close(together.path[:, 1, 2], alone.path)
        close(together.momenta[:, 1, 2], alone.momenta)


# --- passengers, inverse, Jacobian ---------------------------------------------------


@pytest.mark.parametrize("model", [*MODELS, lambda x, p, *a: along(p, x, *a)])
@pytest.mark.parametrize("method", flows.METHODS)
def test_passengers_ride_by_apply_and_come_back_by_inverse(model, method):
    x0, p0, z = points(2, 5), points(2, 5, seed=1, spread=0.3), points(2, 8, seed=2)
    result = model(x0, p0, 1.5, 6, method, torch.cat([x0, z], -2))
    close(result.points[:, :5], result.end)  # a landmark is its own passenger
    close(flows.apply(result, z), result.points[:, 5:])
    close(flows.inverse(result, result.points[:, 5:]), z)
    close(flows.apply(result, flows.inverse(result, z)), z)


@pytest.mark.parametrize("model", MODELS)
def test_the_opposite_momenta_lead_back(model):
    x0, p0 = points(6), points(6, seed=1, spread=0.5)
    there = model(x0, p0, 1.5, 100, "rk4")
    back = model(there.end, -there.momenta[-1], 1.5, 100, "rk4")
    close(back.end, x0, atol=1e-8)
    close(back.momenta[-1], -p0, atol=1e-8)


def test_jacobian_by_finite_differences():
    x0, p0, z = points(2, 5), points(2, 5, seed=1, spread=0.3), points(2, 4, seed=2)
    e = 1e-5
    for model in MODELS:
        result = model(x0, p0, 1.5)
        dx, dy = ((flows.apply(result, z + d) - flows.apply(result, z - d)) / (2 * e) for d in row((e, 0), (0, e)))
        close(flows.jacobian(result, z), dx[..., 0] * dy[..., 1] - dx[..., 1] * dy[..., 0], atol=1e-8)


def test_area_under_a_flow_is_the_integral_of_its_jacobian():
    x0, p0 = points(5), points(5, seed=1, spread=0.5)
    t = (torch.arange(200, dtype=torch.float64) + 0.5) / 100 - 1
    grid = torch.cartesian_prod(t, t)
    angle = torch.linspace(0, 2 * math.pi, 4001, dtype=torch.float64)[:-1]
    result = flows.shoot(x0, p0, 1.5)
    rim = flows.apply(result, torch.stack([angle.cos(), angle.sin()], -1))
    area = (rim[:, 0] * rim.roll(-1, 0)[:, 1] - rim[:, 1] * rim.roll(-1, 0)[:, 0]).sum() / 2
    inside = (grid.norm(dim=-1) < 1).double()
    by_jacobian = (flows.jacobian(result, grid) * inside).sum() * math.pi / inside.sum()
    assert abs(by_jacobian / area - 1).item() < 1e-3


def test_jacobian_is_differentiable_where_asked():
    x0, z = points(3), points(2, seed=2)
    p0 = points(3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: flows.jacobian(flows.shoot(x0, p, 1.5, 2), z), p0)
    assert torch.autograd.gradcheck(
        lambda z: flows.jacobian(flows.shoot(x0, p0.detach(), 1.5, 2), z), z.requires_grad_()
    )
    assert not flows.jacobian(flows.shoot(x0, p0.detach(), 1.5), z.detach()).requires_grad
    with torch.no_grad():
        assert not flows.jacobian(flows.shoot(x0, p0, 1.5), z).requires_grad


# --- the certificate -----------------------------------------------------------------

LINE = torch.stack([torch.linspace(-4, 4, 801, dtype=torch.float64), torch.zeros(801, dtype=torch.float64)], -1)


def folds(result):
    return flows.jacobian(result, LINE.expand(*result.end.shape[:-2], -1, -1)).min().item() <= 0


def test_two_euler_steps_fold_the_plane_beyond_2_33_sigma():
    """A lone landmark: the threshold is sharp, and the certificate is exactly it."""
    limit = 2 * oracle.FOLD
    assert abs(limit - 2.33) < 0.002
    for share, steps, fold in ((0.99, 2, False), (1.01, 3, True)):
        alpha = row((share * limit * 0.7, 0.0))
        assert flows.min_steps(row((0.0, 0.0)), alpha, 0.7, "euler") == steps
        x0 = row((-1.0, 0.0))
        assert folds(flows.flow(x0, alpha, 0.7, 2, "euler")) == fold
        assert not folds(flows.flow(x0, alpha, 0.7, steps, "euler"))


def test_a_fold_has_no_inverse():
    result = flows.flow(row((0.0, 0.0)), row((4.0, 0.0)), 1.0, 2, "euler")
    refused("one-to-one, got one that 200 iterations do not invert.*min_steps", flows.inverse, result, LINE[::50])


def least_of_the_steps(result, z):
    """The least Jacobian of any single step at passengers z: of the whole map rounding may hide the sign."""
    units, dets = units_of(result.x0, result.sigma), []
    y = units.passengers(z)
    for step in flows._maps(result, units):
        y = y.detach().requires_grad_()
        end = step(y)
        a, b = (torch.autograd.grad(end[..., k, :].sum(), y, retain_graph=True)[0] for k in (0, 1))
        dets.append((a[..., 0, :] * b[..., 1, :] - a[..., 1, :] * b[..., 0, :]).min().item())
        y = end
    return min(dets)


def near(x0, seed=0, count=30):
    """Passengers on the landmarks and close by."""
    return torch.cat([x0, (x0 + points(count, *x0.shape[:-1], seed=seed, spread=0.4)).flatten(0, 1)])


HEAD_ON = row((-0.4, 0.0), (0.4, 0.0)), row((4.0, 0.0), (-4.0, 0.0))


@pytest.mark.parametrize("method", flows.METHODS)
def test_head_on_the_energy_of_the_start_is_not_enough(method):
    """Too few steps gain energy without bound: the number that the start alone asks for folds."""
    x0, p0 = HEAD_ON
    at_start = math.floor(math.sqrt(4 * flows.hamiltonian(x0, p0, 1.0)) / flows.REACH[method]) + 1
    few, steps = flows.shoot(x0, p0, 1.0, at_start, method), flows.min_steps(x0, p0, 1.0, method, geodesic=True)
    enough = flows.shoot(x0, p0, 1.0, steps, method)
    assert steps > at_start or least_of_the_steps(few, near(x0)) > 0
    assert flows.certified(enough)
    assert least_of_the_steps(enough, near(x0)) > 0
    assert not flows.certified(flows.shoot(x0, p0, 1.0, steps // 2 - 1, method))
    if method == "rk2":
        assert steps > at_start == 8
        assert not flows.certified(few)
        assert least_of_the_steps(few, near(x0)) < -1


@pytest.mark.parametrize(("method", "count"), [("euler", 60), ("rk2", 60), ("rk4", 30)])
def test_certified_geodesics_do_not_fold(method, count):
    """Of any strength; half the certified steps, less one, are refused for many, and some of those fold."""
    refused_before = folded_before = 0
    for seed in range(count):
        x0, p0 = points(4, seed=seed), points(4, seed=seed + 1000, spread=(0.5, 1.5, 4.0)[seed % 3])
        steps = flows.min_steps(x0, p0, 1.0, method, geodesic=True)
        result, z = flows.shoot(x0, p0, 1.0, steps, method), near(x0, seed)
        assert flows.certified(result)
        assert least_of_the_steps(result, z) > 0
        if steps > 3:
            fewer = flows.shoot(x0, p0, 1.0, steps // 2 - 1, method)
            refused_before += not flows.certified(fewer)
            folded_before += not least_of_the_steps(fewer, z) > 0
    assert refused_before > count / 4
    assert folded_before > 0 or method == "rk4"


def test_every_flow_is_certified_by_the_number_that_is_said_to_be_enough():
    curves, p0 = face(2, coupled=False), points(2, 13, seed=1)
    riders = Curves(points(2, 6, seed=3), [[0, 1], [2], [5], [4, 3]])
    for method in flows.METHODS:
        for model, geodesic in zip(MODELS, (False, True), strict=True):
            steps = flows.min_steps(curves, p0, SIGMAS, method, geodesic)
            assert steps > 1
            result = model(curves, p0, SIGMAS, steps, method, riders)
            assert flows.certified(result)
            assert (flows.jacobian(result, riders) > 0).all()
            assert not flows.certified(model(curves, p0, SIGMAS, max(1, steps // 2 - 1), method))


def test_a_path_is_certified_by_its_strongest_step():
    x0, alpha = points(4), points(4, seed=1, spread=0.2)
    strong = 4 * flows.min_steps(x0, alpha, 1.0, "euler")
    path = alpha.expand(strong, 4, 2).clone()
    assert flows.certified(flows.flow_path(x0, path, 1.0, "euler"))
    path[2] *= 20
    assert not flows.certified(flows.flow_path(x0, path, 1.0, "euler"))


def test_what_is_not_finite_is_not_certified():
    x0, p0 = HEAD_ON
    wild = flows.shoot(x0, 1e200 * p0, 1.0, 4, "rk4")
    assert not wild.path.isfinite().all()
    assert not flows.certified(wild)
    for model in MODELS:
        good = model(x0, 0.1 * p0, 1.0, 10)
        assert flows.certified(good)
        assert not flows.certified(good._replace(momenta=good.momenta * math.nan))
        assert not flows.certified(good._replace(momenta=good.momenta * math.inf))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_momenta_that_no_number_of_steps_tames_are_refused(dtype, monkeypatch):
    """Head on and very fast: the distance falls below the last digit, and the momenta grow accordingly."""
    monkeypatch.setattr(flows, "MOST_STEPS", 500)
    x0, p0 = (x.to(dtype) for x in HEAD_ON)
    refused("geodesic at most 500 steps of 'rk2' certify", flows.min_steps, x0, 20 * p0, 1.0, "rk2", True)
    refused("geodesic at most 500 steps of 'rk2' certify", flows.min_steps, x0, 1e30 * p0, 1.0, "rk2", True)


def test_rounding_is_counted_where_momenta_cancel():
    """Opposed momenta at points that all but coincide: the norm that is left over is rounding."""
    x0, p0 = row((-1e-9, 0.0), (1e-9, 0.0)), row((1e9, 0.0), (-1e9, 0.0))
    assert flows.hamiltonian(x0, p0, 1.0) < 30
    assert not flows.certified(flows.shoot(x0, p0, 1.0, 20, "euler"))


@settings(max_examples=6)
@given(seeds, st.floats(0.1, 3))
def test_certified_steps_do_not_fold(seed, spread):
    x0, p0 = points(4, seed=seed), points(4, seed=seed + 1, spread=spread)
    for method in flows.METHODS:
        steps = flows.min_steps(x0, p0, 1.0, method)
        result = flows.flow(x0, p0, 1.0, steps, method)
        assert flows.certified(result)
        assert not folds(result)
        z = LINE[::80]
        close(flows.inverse(result, flows.apply(result, z)), z, atol=1e-9)


def test_the_bounds_are_those_of_theory():
    """The contraction's limits, and the Lipschitz constants bounded by what a field can have."""
    for method, order in ORDERS.items():
        u = flows.REACH[method]
        growth = sum(u**k / math.factorial(k) for k in range(1, order + 1))
        assert 1 - 1e-4 < growth <= 1 + 1e-12
    x0, p0 = points(5), points(5, seed=1)
    z = points(4000, seed=2, spread=3).requires_grad_()
    v = flows.velocity(z, x0, p0, 1.3)
    rows = torch.stack([torch.autograd.grad(v[:, i].sum(), z, retain_graph=True)[0] for i in (0, 1)], 1)
    steepest = torch.linalg.matrix_norm(rows, 2).max().item()
    assert steepest <= math.sqrt(4 * flows.hamiltonian(x0, p0, 1.3).item()) / 1.3
    assert steepest <= math.sqrt(2 / math.e) * p0.norm(dim=-1).sum().item() / 1.3
    weak = 0.3 * p0  # of weak momenta the start decides
    for method, reach in flows.REACH.items():
        at_start = math.sqrt(4 * flows.hamiltonian(x0, weak, 1.3).item()) / 1.3
        assert flows.min_steps(x0, weak, 1.3, method, geodesic=True) == 1 + math.floor(at_start / reach)


def test_steps_for_the_worst_of_a_batch_and_of_the_curves():
    x0, p0 = points(3, 4), points(3, 4, seed=1)
    each = [flows.min_steps(x, p, 1.0) for x, p in zip(x0, p0, strict=True)]
    assert flows.min_steps(x0, p0, 1.0) == max(each) > min(each)
    curves, p0 = face(coupled=False), points(13, seed=1)
    for geodesic in (False, True):
        each = [
            flows.min_steps(curves.points[list(i)], p0[list(i)], s, "rk4", geodesic)
            for i, s in zip(curves.indices, SIGMAS, strict=True)
        ]
        found = flows.min_steps(curves, p0, SIGMAS, "rk4", geodesic)
        assert max(each) <= found < 2 * max(each) if geodesic else found == max(each)
    assert flows.min_steps(x0, 0 * x0, 1.0) == 1


# --- curves --------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("sigma", [2.0, SIGMAS])
def test_uncoupled_curves_flow_each_alone(model, sigma):
    curves, p0 = face(2, coupled=False), points(2, 13, seed=1, spread=0.5)
    riders = Curves(points(2, 6, seed=3), [[0, 1], [2], [5], [4, 3]])
    together = model(curves, p0, sigma, 3, "rk2", riders)
    energy = 0
    for c, (i, r) in enumerate(zip(curves.indices, riders.indices, strict=True)):
        s = sigma if isinstance(sigma, float) else sigma[c]
        alone = model(curves.points[:, list(i)], p0[:, list(i)], s, 3, "rk2", riders.points[:, list(r)])
        close(together.end[:, list(i)], alone.end)
        close(together.path[:, :, list(i)], alone.path)
        close(together.momenta[:, :, list(i)], alone.momenta)
        close(together.points[:, list(r)], alone.points)
        energy = energy + flows.energy(alone)
    close(flows.energy(together), energy)
    ends = riders.with_points(together.points)
    close(flows.inverse(together, ends), riders.points)
    assert (flows.jacobian(together, riders) > 0).all()


# --- curves that lack, points without a curve, passengers of another scheme ------------

PARTS = [[0, 1, 2], [], [12, 11, 10], [8], range(4, 8)]  # 3, 9 and 13 are in no curve
WIDE = [1.5, 2.0, 1.0, 3.0, 0.8]
RIDE = [[2, 0], [5], [], [6, 1, 7], [4]]  # nobody with the third; 3 and 8 with none
IN_NONE = [3, 9, 13]


def lacking(*batch, seed=0, **options):
    return Curves(points(*batch, 14, seed=seed), PARTS, coupled=False, **options)


def held(p):
    """Momenta, 0 where no curve is."""
    p = p.clone()
    p[..., IN_NONE, :] = 0
    return p


@pytest.mark.parametrize("model", [*MODELS, lambda x, p, *a: along(p, x, *a)])
def test_curves_that_lack_flow_each_alone_and_other_points_stay(model):
    face, p = lacking(2), held(points(2, 14, seed=1, spread=0.4))
    z = Curves(points(2, 9, seed=2), RIDE)
    result = model(face, p, WIDE, 3, "rk2", z)
    for k, (curve, riders) in enumerate(zip(face.indices, z.indices, strict=True)):
        if curve:
            c, r = list(curve), list(riders)
            alone = model(face.points[:, c], p[:, c], WIDE[k], 3, "rk2", z.points[:, r] if r else None)
            close(result.end[:, c], alone.end)
            close(result.path[:, :, c], alone.path)
            close(result.momenta[:, :, c], alone.momenta)
            if r:
                close(result.points[:, r], alone.points)
    assert torch.equal(result.end[:, IN_NONE], face.points[:, IN_NONE])
    assert torch.equal(result.path[:, :, IN_NONE], face.points[:, IN_NONE].expand(4, 2, 3, 2))
    assert not result.momenta[:, :, IN_NONE].any()
    assert torch.equal(result.points[:, [3, 8]], z.points[:, [3, 8]])  # in no slice
    close(result.points[:, 5], z.points[:, 5])  # with an empty curve
    close(flows.apply(result, z), result.points)
    close(flows.inverse(result, z.with_points(result.points)), z.points)
    dets = flows.jacobian(result, z)
    close(dets[:, [3, 5, 8]], torch.ones(2, 3))
    assert (dets[:, [0, 4, 6]] - 1).abs().min() > 1e-6


@pytest.mark.parametrize("model", MODELS)
def test_in_one_field_points_in_no_curve_flow_like_all(model):
    x0, p = points(2, 14), points(2, 14, seed=1, spread=0.4)
    close(model(Curves(x0, PARTS), p, 1.5, 3).end, model(x0, p, 1.5, 3).end, atol=0)


def test_energy_and_steps_of_curves_that_lack():
    face, p = lacking(), held(points(14, seed=1))
    parts = [(face.points[list(c)], p[list(c)], s) for c, s in zip(face.indices, WIDE, strict=True) if c]
    close(flows.hamiltonian(face, p, WIDE), sum(flows.hamiltonian(*part) for part in parts))
    for geodesic, model in zip((False, True), MODELS, strict=True):
        steps = flows.min_steps(face, p, WIDE, geodesic=geodesic)
        each = [flows.min_steps(*part, geodesic=geodesic) for part in parts]
        assert geodesic or steps == max(each)  # of geodesics a number is tried, and doubled
        assert flows.certified(model(face, p, WIDE, steps))
        assert flows.energy(model(face, p, WIDE, 3)) > 0


def test_gradients_of_curves_that_lack_by_finite_differences():
    x0, p0, z = (points(n, seed=s).requires_grad_() for n, s in ((14, 0), (14, 1), (9, 2)))
    for model in MODELS:

        def ends(x, p, z, model=model):
            result = model(lacking().with_points(x), held(p), WIDE, 2, "rk2", Curves(z, RIDE))
            return result.end, result.points

        assert torch.autograd.gradcheck(ends, (x0, p0, z))


@pytest.mark.parametrize("model", MODELS)
def test_a_lone_point_needs_no_width(model):
    """It moves by its momentum whatever the width, so a rule that gives it 0 does no harm, but to who rides with it."""
    face, p = lacking(2), held(points(2, 14, seed=1))
    sigma = [1.5, 0.0, 1.0, 0.0, 0.8]
    for widths in (sigma, torch.tensor(sigma, dtype=torch.float64)):
        result = model(face, p, widths, 3)
        close(result.end[:, 8], face.points[:, 8] + p[:, 8], atol=1e-9)
        close(result.end, model(face, p, WIDE, 3).end[:, :14], atol=1e-9)
        close(flows.hamiltonian(face, p, widths), flows.hamiltonian(face, p, WIDE), atol=1e-9)
        refused(
            "got passengers .6, 1, 7. with curve 3, one point of sigma 0",
            model,
            face,
            p,
            widths,
            3,
            "rk2",
            Curves(points(2, 9), RIDE),
        )
        only_empty = Curves(points(2, 9), [[0], [5], [], [], [4]])
        close(model(face, p, widths, 3, "rk2", only_empty).points[:, 5], only_empty.points[:, 5], atol=1e-9)
    geodesic = model is flows.shoot
    far = p.clone()
    far[:, 8] *= 1000  # no width, so no fold
    assert flows.min_steps(face, far, sigma, geodesic=geodesic) == flows.min_steps(face, p, sigma, geodesic=geodesic)
    refused("sigma: needed a number > 0, got 0", model, face, p, [0.0, *sigma[1:]])
    refused("sigma: needed a number > 0, got 0", model, face, p, 0.0)


def test_momenta_of_points_in_no_curve_are_refused():
    face, p = lacking(2), held(points(2, 14, seed=1))
    p[1, 9, 0] = 0.1
    wanted = r"0 for point 9, which is in no curve .*; make it a curve, \[9\], or let it ride by points="
    refused(f"alpha: needed {wanted}", flows.flow, face, p, WIDE)
    refused(f"p0: needed {wanted}", flows.shoot, face, p, WIDE)
    refused(f"alpha_t: needed {wanted}", flows.flow_path, face, torch.stack([held(p), p]), WIDE)
    refused(f"alpha: needed {wanted}", flows.min_steps, face, p, WIDE)
    refused(f"p: needed {wanted}", flows.hamiltonian, face, p, WIDE)


@pytest.mark.parametrize("model", MODELS)
def test_coupled_curves_are_their_points(model):
    curves, p0, z = face(2), points(2, 13, seed=1), points(2, 3, seed=2)
    for one, other in zip(
        model(curves, p0, 2.0, 3, "rk2", z)[:4], model(curves.points, p0, 2.0, 3, "rk2", z)[:4], strict=True
    ):
        close(one, other)


def test_separate_flows_cross_where_one_flow_cannot():
    """Two parallel lines, each pushed across the other."""
    t = torch.linspace(-1, 1, 9, dtype=torch.float64)
    x0 = torch.cat([torch.stack([t, 0 * t + y], -1) for y in (-0.3, 0.3)])
    up = torch.zeros_like(x0)
    up[:9, 1], up[9:, 1] = 0.25, -0.25
    lines = [slice(0, 9), slice(9, 18)]

    def upside_down(coupled):
        end = flows.flow(Curves(x0, lines, coupled=coupled), up, 1.0, 40).end
        return (end[:9, 1] > end[9:, 1]).any().item()

    assert upside_down(coupled=False)
    assert not upside_down(coupled=True)


def test_flows_are_lean(monkeypatch):
    """The tensors kept for the gradient are of the points' size, not of its square."""
    x0, p0, kept = points(200).requires_grad_(), points(200, seed=1), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        flows.shoot(x0, p0, 1.5, 5)
    assert max(kept) <= 6 * 4 * 200  # the path is the largest


def test_single_precision():
    x0, p0 = points(30), points(30, seed=1, spread=0.2)
    for model in MODELS:
        exact, single = model(x0 + 100, p0, 1.5).end, model((x0 + 100).float(), p0.float(), 1.5).end
        assert single.dtype == torch.float32
        close(single.double(), exact, atol=1e-4)


# --- what does not fit ---------------------------------------------------------------


@pytest.mark.parametrize("model", [unwrap(model) for model in MODELS])
def test_input_that_does_not_fit(model):
    x0, p0 = points(2, 5), points(2, 5, seed=1)
    for bad in (0.0, -1.0, math.nan):
        refused("sigma: needed a number > 0", model, x0, p0, bad)
    refused("sigma: needed one number for one flow.*coupled=False", model, face(), points(13), SIGMAS)
    refused("sigma: needed one number for one flow", model, x0, p0, [1.0, 2.0])
    refused("sigma: needed 4 numbers, one a curve; got 2", model, face(coupled=False), points(13), [1.0, 2.0])
    refused("x0: needed finite coordinates, got nan", model, x0.log(), p0, 1.0)
    refused("(alpha|p0): needed finite coordinates, got nan", model, x0, p0.log(), 1.0)
    refused(r"(alpha|p0): needed one for each point: \(2, 5, 2\).*got \(5, 2\)", model, x0, p0[0], 1.0)
    refused(r"got \(2, 4, 2\)", model, x0, p0[:, :4], 1.0)
    refused("got .* of torch.float32", model, x0, p0.float(), 1.0)
    refused("steps: needed an integer >= 1, got 0", model, x0, p0, 1.0, 0)
    refused("method: needed one of 'euler', 'rk2', 'rk4'; got 'heun'", model, x0, p0, 1.0, 3, "heun")
    refused("x0, points: needed the same batch axes", model, x0, p0, 1.0, 3, "rk2", points(7))
    refused("x0, points: needed one dtype", model, x0, p0, 1.0, 3, "rk2", x0.float())
    curves, p0 = face(coupled=False), points(13)
    refused("needed Curves of 4 curves, as x0 has, got a tensor", model, curves, p0, 1.0, 3, "rk2", points(3))
    refused("got 1 curves", model, curves, p0, 1.0, 3, "rk2", Curves(points(3), [range(3)]))


def test_paths_that_do_not_fit():
    refused("time first", flows.flow_path, points(5), points(5), 1.0)
    refused(r"got \(4, 2\)", flows.flow_path, points(5), points(3, 4), 1.0)
    refused(r"alpha_t: needed .*got shape \(0, 5, 2\)", flows.flow_path, points(5), points(0, 5), 1.0)
    refused("method: needed one of", flows.min_steps, points(5), points(5), 1.0, "heun")
    refused("p: needed one for each", flows.hamiltonian, points(5), points(4), 1.0)
