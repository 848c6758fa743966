"""Splines and warps against a closed form, SciPy off the controls, finite differences, and their invariances."""

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates
from torch.autograd import gradcheck

from lddmmlib import polyharmonic
from lddmmlib.polyharmonic import ORDERS, coarse_bound, evaluate, fit, warp
from tests.helpers import refused
from tests.oracles import saddle as oracles

KERNELS = {1: "linear", 2: "thin_plate_spline", 3: "cubic"}  # SciPy's names
SIZE = (37, 53)  # neither square nor a power of two
SMOOTHING = (0.0, 0.3)


def random(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def inside(*batch, n=12, seed=0, size=SIZE):
    """Controls of an image, in pixels."""
    return 3 + random(*batch, n, 2, seed=seed) * (torch.tensor(size[::-1], dtype=torch.float64) - 7)


def moved(target, seed=1, by=3.0):
    return target + by * (2 * random(*target.shape, seed=seed) - 1)


def ramp(size=SIZE):
    """An image that shows where it was read: x and y of each pixel."""
    y, x = torch.meshgrid(*(torch.arange(k, dtype=torch.float64) for k in size), indexing="ij")
    return torch.stack([x, y])


def close(a, b, atol=1e-10):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


# --- the spline ----------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", SMOOTHING)
@pytest.mark.parametrize("order", ORDERS)
def test_saddle_in_closed_form(order, smoothing):
    corners, side = torch.tensor(oracles.CORNERS, dtype=torch.float64), 40.0
    middle = torch.tensor([100.0, 30.0], dtype=torch.float64)
    values = torch.tensor(oracles.SIGNS, dtype=torch.float64)[:, None]
    spline = fit(middle + side * corners, values, order, smoothing)
    close(spline.controls, corners)
    close(spline.omega, oracles.weight(order, smoothing) * values)
    close(spline.energy, torch.tensor(oracles.energy(order, smoothing), dtype=torch.float64))
    points = 4 * random(50, 2) - 2
    want = [oracles.value(x, y, order, smoothing) for x, y in points.tolist()]
    close(evaluate(spline, middle + side * points)[:, 0], torch.tensor(want, dtype=torch.float64))


@pytest.mark.parametrize("order", ORDERS)
def test_splines_and_warps_agree_with_the_versions_to_read(order):
    """Off the controls; the energy as well, where the unit of the controls is the one of `fit`."""
    controls = random(9, 2) - 0.5
    controls -= controls.mean(0)
    controls /= controls.square().sum(-1).mean().sqrt()
    values, places = random(9, 3, seed=1), 2 * random(20, 2, seed=2)
    fast, plain = fit(controls, values, order), polyharmonic.fit_by_solving(controls, values, order)
    close(evaluate(fast, places), evaluate(plain, places))
    close(evaluate(fast, places), torch.stack([polyharmonic.evaluate_by_loops(plain, y) for y in places]))
    for one, other in zip(fast[1:5], plain[1:5], strict=True):  # omega, V, b and the energy
        close(one, other, 1e-8)
    image, target = random(2, 11, 13), inside(n=6, size=(11, 13))
    source = moved(target)
    close(warp(image, source, target, order), polyharmonic.warp_by_pixels(image, source, target, order))


@pytest.mark.parametrize("order", ORDERS)
def test_scipy_off_the_controls(order):
    controls, values, points = inside(), random(12, 3, seed=2), 60 * random(200, 2, seed=3) - 5
    judge = RBFInterpolator(controls.numpy(), values.numpy(), kernel=KERNELS[order], degree=1)
    close(evaluate(fit(controls, values, order), points), torch.from_numpy(judge(points.numpy())))


@pytest.mark.parametrize("order", ORDERS)
def test_scipy_with_smoothing_off_the_controls(order):
    controls, values, points = inside(), random(12, 3, seed=2), 60 * random(200, 2, seed=3) - 5
    middle = controls.mean(0)
    scale = (controls - middle).square().sum(-1).mean().sqrt()
    judge = RBFInterpolator(
        ((controls - middle) / scale).numpy(), values.numpy(), kernel=KERNELS[order], degree=1, smoothing=0.3
    )
    want = torch.from_numpy(judge(((points - middle) / scale).numpy()))
    close(evaluate(fit(controls, values, order, smoothing=0.3), points), want)


@pytest.mark.parametrize("smoothing", SMOOTHING)
@pytest.mark.parametrize("order", ORDERS)
def test_affine_stays_affine_and_costs_nothing(order, smoothing):
    matrix, shift = torch.tensor([[1.2, -0.3], [0.4, 0.8]], dtype=torch.float64), torch.tensor([5.0, -7.0])
    controls, points = inside(), 500 * random(30, 2, seed=1)
    spline = fit(controls, controls @ matrix.mT + shift, order, smoothing)
    close(evaluate(spline, points), points @ matrix.mT + shift, 1e-8)
    close(spline.omega, torch.zeros_like(spline.omega))
    assert abs(spline.energy) < 1e-10


@pytest.mark.parametrize("smoothing", SMOOTHING)
@pytest.mark.parametrize("order", ORDERS)
def test_side_conditions_and_sign_of_the_energy(order, smoothing):
    spline = fit(inside(20), random(20, 12, 2, seed=1), order, smoothing)
    close(spline.omega.sum(-2), torch.zeros(20, 2, dtype=torch.float64))
    close(spline.omega.mT @ spline.controls, torch.zeros(20, 2, 2, dtype=torch.float64))
    assert (spline.omega.abs().amax((-2, -1)) > 0.01).all()
    assert (spline.energy > 0.01).all()


def test_energy_is_the_bending_integral():
    """1/8π ∫ f_xx² + 2 f_xy² + f_yy², in rings around the middle; far out the integrand falls as 1/r⁴."""
    spline = fit(inside(n=5), random(5, 1, seed=1))
    edges = torch.cat([torch.linspace(0, 3, 301), torch.logspace(0, 2, 201)[1:] * 3]).double()
    r, dr = (edges[1:] + edges[:-1]) / 2, edges.diff()
    turn = 2 * math.pi * (torch.arange(300, dtype=torch.float64) + 0.5) / 300
    points = (r[:, None, None] * torch.stack([turn.cos(), turn.sin()], -1)).flatten(0, 1)
    offset = points[:, None] - spline.controls  # the Hessian of r² log r is (2 log r + 1) 1 + 2 d dᵀ / r²
    r2 = offset.square().sum(-1)[..., None, None]
    hessian = (r2.log() + 1) * torch.eye(2) + 2 * offset[..., :, None] * offset[..., None, :] / r2
    density = torch.einsum("mnij,n->mij", hessian, spline.omega[:, 0]).square().sum((-2, -1)).reshape(len(r), -1)
    integral = (density.mean(-1) * 2 * math.pi * r * dr).sum()
    assert math.isclose(integral / (8 * math.pi), spline.energy, rel_tol=5e-3)


@pytest.mark.parametrize("order", ORDERS)
def test_smoothing_ends_at_the_affine_least_squares(order):
    controls, values = inside(), random(12, 2, seed=1)
    energies = [fit(controls, values, order, smoothing).energy.item() for smoothing in (0, 0.01, 0.1, 1, 10)]
    assert energies == sorted(energies, reverse=True)
    P = torch.cat([torch.ones(12, 1), controls], -1)
    best = P @ torch.linalg.lstsq(P, values).solution
    close(evaluate(fit(controls, values, order, smoothing=1e9), controls), best, 1e-6)


@pytest.mark.parametrize("smoothing", SMOOTHING)
@pytest.mark.parametrize("order", ORDERS)
def test_similarities_of_the_plane_change_nothing(order, smoothing):
    def other(x):
        c, s = 300 * math.cos(0.7), 300 * math.sin(0.7)
        return x @ torch.tensor([[c, s], [-s, c]], dtype=torch.float64) + 1e4

    controls, values, points = inside(), random(12, 2, seed=1), inside(n=40, seed=2)
    here, there = fit(controls, values, order, smoothing), fit(other(controls), values, order, smoothing)
    close(evaluate(here, points), evaluate(there, other(points)), 1e-9)
    close(here.energy, there.energy, 1e-8)


@pytest.mark.parametrize("order", ORDERS)
def test_batches_and_blocks(order, monkeypatch):
    controls, values, points = inside(2, 3), random(2, 3, 12, 2, seed=1), inside(2, 3, n=40, seed=2)
    together = evaluate(fit(controls, values, order), points)
    assert together.shape == (2, 3, 40, 2)
    close(together[1, 2], evaluate(fit(controls[1, 2], values[1, 2], order), points[1, 2]))
    monkeypatch.setattr("lddmmlib._engine.pairs.AT_ONCE", 500)  # a few points at a time
    close(evaluate(fit(controls, values, order), points), together)


@pytest.mark.parametrize("order", ORDERS)
def test_single_precision_costs_what_the_weights_cancel(order):
    controls, values, points = inside().float(), random(12, 2, seed=1).float(), inside(n=200, seed=2).float()
    spline = fit(controls, values, order)
    double = fit(controls.double(), values.double(), order)
    close(spline.omega, double.omega, 0)  # the solution is in double precision for both
    single = evaluate(spline, points)
    assert single.dtype == torch.float32
    off = (single - evaluate(double, points.double())).norm(dim=-1).max()
    assert off < 1e-5 * (1 + spline.omega.norm(dim=-1).sum())


# --- gradients -----------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", SMOOTHING)
@pytest.mark.parametrize("order", ORDERS)
def test_gradients(order, smoothing, monkeypatch):
    monkeypatch.setattr("lddmmlib._engine.pairs.AT_ONCE", 20)  # sums over several blocks
    controls, values, points = (x.requires_grad_() for x in (inside(n=5), random(5, 2, seed=1), inside(n=7, seed=2)))

    def f(c, v, y):
        spline = fit(c, v, order, smoothing)
        return evaluate(spline, y), spline.energy

    assert gradcheck(f, (controls, values, points))


@pytest.mark.parametrize("order", [2, 3])
def test_gradients_where_points_are_controls(order):
    controls, values = inside(n=5).requires_grad_(), random(5, 2, seed=1).requires_grad_()
    points = controls.detach().clone().requires_grad_()
    assert gradcheck(lambda c, v, y: evaluate(fit(c, v, order), y), (controls, values, points), atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("order", ORDERS)
def test_controls_that_move_together_with_the_points_keep_their_values(order, dtype):
    controls, values = inside(n=5).to(dtype).requires_grad_(), random(5, 2, seed=1).to(dtype).requires_grad_()
    out = evaluate(fit(controls, values, order), controls)
    weight = random(5, 2, seed=2).to(dtype)
    (out * weight).sum().backward()
    close(controls.grad, torch.zeros_like(controls), 1e-12 if dtype == torch.float64 else 1e-4)
    close(values.grad, weight, 1e-12 if dtype == torch.float64 else 1e-4)


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("order", ORDERS)
def test_gradients_of_the_warp(order, step):
    size = (7, 6)
    target = inside(n=4, size=(12, 11)) - 2
    image, source = random(2, *size).requires_grad_(), moved(target, by=0.8).requires_grad_()
    target.requires_grad_()
    assert gradcheck(lambda *x: warp(*x, order=order, smoothing=0.1, step=step), (image, source, target))


def test_a_warp_can_be_undone_by_its_gradient():
    """Paper D's warper learns target points from the picture alone."""
    y, x = ramp((32, 32)).flip(0)
    image = torch.stack([torch.sin(x / 4) * torch.cos(y / 5), torch.cos(x / 6 + y / 7)])
    source = 6 + 20 * random(6, 2)
    truth = moved(source, by=1.5)
    shown = warp(image, source, truth)
    guess = source.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([guess], max_iter=60, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        value = (warp(image, source, guess) - shown).square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    assert (guess - truth).norm(dim=-1).max() < 1e-2


# --- the warp ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("step", [1, 4, 7])
@pytest.mark.parametrize("order", ORDERS)
def test_identity_and_whole_pixels_are_exact(order, step, dtype):
    image, target = random(3, *SIZE).to(dtype), inside().to(dtype)
    assert torch.equal(warp(image, target, target, order, step=step), image)
    target = target.round()  # so that source - target is the shift, exactly
    for dx, dy in ((3, 0), (0, -2), (-4, 7)):
        shown = warp(image, target - torch.tensor([dx, dy], dtype=dtype), target, order, step=step)
        y, x = ((torch.arange(k) - d).clamp(0, k - 1) for k, d in zip(SIZE, (dy, dx), strict=True))
        assert torch.equal(shown, image[:, y][:, :, x])


@pytest.mark.parametrize("order", ORDERS)
def test_what_was_at_the_source_is_shown_at_the_target(order):
    source = torch.tensor([[10.0, 8.0], [40.0, 9.0], [11.0, 30.0], [42.0, 28.0], [25.0, 18.0]], dtype=torch.float64)
    target = (source + torch.tensor([[2.0, 1.0], [-3.0, 2.0], [1.0, -2.0], [-1.0, 3.0], [4.0, -5.0]])).double()
    image = random(1, *SIZE)
    shown = warp(image, source, target, order)
    for (x, y), (u, v) in zip(source.long().tolist(), target.long().tolist(), strict=True):
        close(shown[0, v, u], image[0, y, x])


@pytest.mark.parametrize("order", ORDERS)
def test_scipy_warps_the_same_picture(order):
    image, target = random(1, *SIZE), inside()
    source = moved(target)
    f = RBFInterpolator(target.numpy(), source.numpy(), kernel=KERNELS[order], degree=1)
    at = f(ramp().flatten(1).T.numpy()).T[::-1]
    want = map_coordinates(image[0].numpy(), at, order=1, mode="nearest").reshape(SIZE)
    close(warp(image, source, target, order)[0], torch.from_numpy(np.ascontiguousarray(want)), 1e-9)


def test_batches_of_images():
    image, target = random(2, 3, 4, *SIZE), inside(2, 3)
    source = moved(target)
    shown = warp(image, source, target)
    assert shown.shape == image.shape
    close(shown[1, 2], warp(image[1, 2], source[1, 2], target[1, 2]))


@pytest.mark.parametrize("step", [2, 4, 7])
@pytest.mark.parametrize("order", ORDERS)
def test_the_coarse_map_stays_within_its_bound(order, step):
    image, loosest = ramp(), math.inf
    for seed in range(8):
        target = 8 + random(8, 2, seed=seed) * torch.tensor([36.0, 20.0], dtype=torch.float64)
        source = moved(target, seed + 100, by=1.0)
        off = (warp(image, source, target, order, step=step) - warp(image, source, target, order)).norm(dim=0).max()
        bound = coarse_bound(fit(target, source - target, order), SIZE, step)
        assert 1e-3 < off <= bound
        loosest = min(loosest, (bound / off).item())
    assert loosest < 100, "a bound that says nothing"


def test_the_coarse_map_is_exact_at_its_nodes_and_linear_between():
    target = inside()
    source = target + (moved(target) - target) / 3
    exact, coarse = (warp(ramp(), source, target, step=step) for step in (1, 4))
    close(coarse[:, ::4, ::4], exact[:, ::4, ::4])
    close(coarse[:, 8, 10], (exact[:, 8, 8] + exact[:, 8, 12]) / 2)
    assert not coarse_bound(fit(target, source - target), SIZE, 1).any()


@pytest.mark.parametrize("order", ORDERS)
def test_the_bound_sees_all_four_corners(order):
    """Controls near one corner are farthest from the opposite one: mirrored, they have the same bound."""
    controls, values = 5 * random(7, 2, seed=3), random(7, 2, seed=4)
    far = torch.tensor([24.0, 16.0], dtype=torch.float64)  # the last node of 17 x 25 px in steps of 4
    flips = [torch.tensor([i, j], dtype=torch.bool) for i in (0, 1) for j in (0, 1)]
    bounds = [coarse_bound(fit(torch.where(f, far - controls, controls), values, order), (17, 25), 4) for f in flips]
    close(torch.stack(bounds), bounds[0].expand(4))
    if order == 3:  # e/2 Σ|ω|, e = 3/2 d² R
        spline = fit(controls, values, 3)
        R = (far - controls).norm(dim=-1).max() / spline.scale
        close(bounds[0], 0.75 * (4 / spline.scale) ** 2 * R * spline.omega.norm(dim=-1).sum())


@pytest.mark.parametrize("step", [2, 5, 16, 100])
def test_affine_maps_are_right_on_every_grid_up_to_the_last_pixel(step):
    target = inside()
    middle = torch.tensor([26.0, 18.0], dtype=torch.float64)
    source = middle + 0.6 * (target - middle) + 0.1 * (target - middle).flip(-1)  # stays within the picture
    y, x = ramp().flip(0) - middle.flip(0)[:, None, None]
    want = torch.stack([26 + 0.6 * x + 0.1 * y, 18 + 0.6 * y + 0.1 * x])
    close(warp(ramp(), source, target, step=step), want)


def test_small_pictures():
    target = inside()
    for size in ((1, 1), (1, 5), (4, 1)):
        for step in (1, 4):
            assert torch.equal(warp(image := random(2, *size), target, target, step=step), image)


def test_device_and_dtype_follow_the_input():
    image, target = random(3, *SIZE), inside()
    source = moved(target)
    with torch.device("meta"):  # what were made on the default device instead of the input's would not fit
        for step in (1, 4):
            for dtype in (torch.float32, torch.float64):
                shown = warp(image.to(dtype), source.to(dtype), target.to(dtype), step=step)
                assert (shown.device, shown.dtype) == (image.device, dtype)
        assert coarse_bound(fit(target, target), SIZE, 4).device == target.device


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("order", ORDERS)
def test_cuda_agrees(order):
    data = random(2, 3, *SIZE), moved(inside(2)), inside(2)

    def passes(device):
        leaves = [x.detach().to(device).requires_grad_() for x in data]
        out = warp(*leaves, order, step=2)
        out.square().sum().backward()
        return out.detach().cpu(), *(x.grad.cpu() for x in leaves)

    for here, there in zip(passes("cpu"), passes("cuda"), strict=True):
        close(here, there, 1e-8)


# --- the door ------------------------------------------------------------------------


def test_bad_controls_are_refused():
    controls, values = inside(), random(12, 2)
    line = torch.stack([controls[:, 0], 2 * controls[:, 0] + 1], -1)
    refused("not on one line, got a line", fit, line, values)
    refused("not on one line, got a line", fit, line.float(), values.float())
    refused("not on one line, got a line", fit, line, values, smoothing=1.0)
    refused("not on one line, got a line", fit, torch.ones(12, 2).double(), values)
    refused("three or more, not on one line, got 2", fit, controls[:2], values[:2])
    twice = controls.clone()
    twice[7] = twice[4]
    refused("got 4 and 7 at one place", fit, twice, values)
    assert fit(twice, values, smoothing=0.1).omega.isfinite().all()
    hole = controls.clone()
    hole[3, 0] = torch.nan
    refused("controls: needed finite coordinates", fit, hole, values)
    refused("controls: needed floating-point", fit, controls.long(), values, error=TypeError)
    refused("controls: needed a tensor of single or double", fit, controls.half(), values, error=TypeError)


def test_bad_values_orders_and_smoothing_are_refused():
    controls, values = inside(), random(12, 2)
    refused("values: needed .* rows", fit, controls, values[:11])
    refused("values: needed .* rows", fit, controls, values[:, 0])
    refused("values: needed .* rows", fit, controls, values[:, :0])
    refused("one dtype and device", fit, controls, values.float())
    refused("values: needed finite", fit, controls, values / 0)
    for order in (0, 4, 2.5):
        refused("order: needed one of 1, 2, 3", fit, controls, values, order)
    for smoothing in (-1.0, math.nan, math.inf):
        refused("smoothing: needed a number >= 0", fit, controls, values, smoothing=smoothing)


def test_bad_points_and_pictures_are_refused():
    target, image = inside(), random(3, *SIZE)
    spline = fit(target, target)
    refused("points: needed points of shape", evaluate, spline, image[0])
    refused("points: needed finite", evaluate, spline, target / 0)
    refused("points: needed batch axes", evaluate, spline, target[None])
    refused("source, target: needed one shape", warp, image, target[:11], target)
    refused("source, target: needed one dtype", warp, image, target, target.float())
    refused("source, image: needed one dtype", warp, image.float(), target, target)
    refused("image: needed a tensor of single or double", warp, (255 * image).byte(), target, target, error=TypeError)
    refused("image: needed .* batch axes", warp, image[None], target, target)
    refused("image: needed .* batch axes", warp, image[0], target, target)
    refused("image: needed .* batch axes", warp, image[:, :0], target, target)
    for step in (0, -1, 1.5, True):
        error = TypeError if isinstance(step, bool) else ValueError
        refused("step: needed an integer", warp, image, target, target, step=step, error=error)
        refused("step: needed an integer", coarse_bound, spline, SIZE, step, error=error)


def test_second_derivatives_say_that_there_are_none():
    controls = inside(n=5).requires_grad_()
    out = evaluate(fit(controls, random(5, 2)), inside(n=3, seed=2))
    (grad,) = torch.autograd.grad(out.square().sum(), controls, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        grad.sum().backward()


def test_slope_is_the_derivative_of_phi_over_r():
    r = torch.linspace(0.1, 3, 20, dtype=torch.float64, requires_grad=True)
    for order in ORDERS:
        (derivative,) = torch.autograd.grad(polyharmonic.phi(r**2, order).sum(), r)
        close(polyharmonic.slope(r.detach() ** 2, order), (derivative / r).detach())
