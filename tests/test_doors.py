"""What holds at the door of every public function: precision, refusals by name, derivatives by any of torch's ways."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.func import grad, jacrev, vmap

from lddmmlib import _checks, currents, flows, heatmaps, kernels, matching, metrics, polyharmonic
from lddmmlib.curves import Curves
from lddmmlib.faces import perturb, statistics
from lddmmlib.methods import heatmap_regression
from lddmmlib.networks import DAN, heads
from tests import doors

ROOT = Path(__file__).parents[1]
CALLS = doors.calls()
HALVES = [torch.bfloat16, torch.float16]
every = pytest.mark.parametrize(("function", "arguments"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS])


def points(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, 2, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def equal(one, other):
    for a, b in zip(doors.leaves(one), doors.leaves(other), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def test_every_public_function_is_tried():
    tried = {inspect.unwrap(function) for _, function, _ in CALLS}
    missing = {f.__qualname__ for f in doors.public() if inspect.unwrap(f) not in tried}
    assert not missing, f"put a call of {sorted(missing)} into tests/doors.py"


# ------------------------------------------------------------------------------------------------------ precision


@every
def test_under_autocast_geometry_stays_as_it_is(function, arguments):
    full = doors.run(function, arguments)
    for dtype in HALVES:
        with torch.autocast("cpu", dtype):
            equal(doors.run(function, arguments), full)


def gradients(function, arguments, dtype=None, backward_too=True):
    """Of Σ result², in every tensor argument, under an autocast to `dtype`, unless it is None."""
    leaves = {k: x.detach().clone().requires_grad_() for k, x in arguments.items()
              if isinstance(x, torch.Tensor) and x.is_floating_point()}  # fmt: skip
    with torch.autocast("cpu", dtype, enabled=dtype is not None):
        found = [x for x in doors.leaves(doors.run(function, {**arguments, **leaves})) if x.requires_grad]
        value = sum(x.nan_to_num(0.0).double().square().sum() for x in found)
    with torch.autocast("cpu", dtype, enabled=dtype is not None and backward_too):
        return torch.autograd.grad(value, list(leaves.values()), allow_unused=True) if found else ()


@every
def test_under_autocast_gradients_stay_as_they_are(function, arguments):
    if function in (matching.mean, statistics.symmetric_model):
        pytest.skip("minutes, and made of functions that are tried themselves")
    full = gradients(function, arguments)
    for dtype in HALVES:
        for backward_too in (False, True):
            found = gradients(function, arguments, dtype, backward_too)
            for a, b in zip(full, found, strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert not torch.is_autocast_enabled("cpu")


def test_any_autocast_is_off_inside():
    seen = _checks.full_precision(lambda: [torch.is_autocast_enabled(device) for device in ("cpu", "cuda")])
    before = [torch.is_autocast_enabled(device) for device in ("cpu", "cuda")]
    try:
        for device in ("cpu", "cuda"):
            torch.set_autocast_enabled(device, True)
        assert seen() == [False, False]
        assert torch.is_autocast_enabled("cpu")
        assert torch.is_autocast_enabled("cuda")
    finally:
        for device, was in zip(("cpu", "cuda"), before, strict=True):
            torch.set_autocast_enabled(device, was)


def test_networks_say_coordinates_in_their_own_precision():
    torch.manual_seed(0)
    dan = DAN(32 * points(5, dtype=torch.float32), size=32, width=4).eval()
    images = torch.rand(2, 3, 32, 32)

    class Said(torch.nn.Module):  # what the convolutions tell, the same under autocast and not
        def forward(self, pictures):
            return told, torch.ones(2, 256)

    told = 7 * points(2, 5, seed=1, dtype=torch.float32)
    dan.stages = torch.nn.ModuleList([Said(), Said()])
    head = heads.CoordinateHead(100 * points(5, dtype=torch.float32), (4,), pyramid=False, hidden=16)
    head.mix = torch.nn.Identity()
    head.last = torch.nn.Linear(4, 10)
    features = torch.rand(2, 4, 8, 8)
    for say in (lambda: dan(images), lambda: head([features])):
        full = say()
        for dtype in HALVES:
            with torch.autocast("cpu", dtype):
                equal(say(), full)
    with pytest.raises(TypeError, match="images: needed a network of single or double precision"):
        dan.half()(images.half())


# ------------------------------------------------------------------------------------------------- what is refused


def test_wrong_arguments_are_refused_by_name():
    command = [sys.executable, "-m", "tests.doors"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_batch_of_another_size_is_not_broadcast():
    x, p = points(3, 4), points(3, 4)
    for a, b in ((x[:1], p), (x, p[0]), (x, p[:1])):
        with pytest.raises(ValueError, match="needed one for each point"):
            inspect.unwrap(flows.hamilton_equations)(a, b, 1.0)
    maps = torch.rand(2, 3, 4, 5)
    for target in (maps[:1], maps[0], maps[..., :1]):
        for loss in (heatmap_regression.squared_error, heatmap_regression.cross_entropy):
            with pytest.raises(ValueError, match="maps, target: needed one shape"):
                inspect.unwrap(loss)(maps, target)
    with pytest.raises(ValueError, match="movement: needed one for each image"):
        inspect.unwrap(perturb.motion_blur)(torch.rand(2, 3, 8, 8), 8 * points(2, 4), points(1)[0], "medium")


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_one_bad_value_is_seen(value):
    maps = torch.rand(2, 6, 7)
    maps[1, 2, 3] = value
    with pytest.raises(ValueError, match=r"maps: needed finite values, got .* in map \(1,\)"):
        heatmaps.decode(maps, "soft")
    shapes = points(2, 4)
    shapes[1, 3, 0] = value
    if value == value:
        with pytest.raises(ValueError, match="shapes: needed finite coordinates"):
            statistics.to_corners(shapes, (0, 1))
    with pytest.raises(ValueError, match="momenta: needed finite"):
        matching.modes(shapes[0], shapes, 1.0)


def test_maps_whose_sum_overflows_are_decoded():
    maps = torch.full((1, 4, 4), 3e38)
    maps[0, 2, 1] = 3.4e38
    assert heatmaps.decode(maps, "argmax").tolist() == [[1.0, 2.0]]


def test_batches_of_none():
    x = points(0, 5)
    for flow in (flows.flow(x, x, 1.0), flows.shoot(x, x, 1.0)):
        assert flows.apply(flow, x).shape == flows.inverse(flow, x).shape == x.shape
        assert flows.jacobian(flow, x).shape == (0, 5)
    assert flows.min_steps(x, x, 1.0) == 1
    assert matching.match(x, x, 1.0).momenta.shape == x.shape
    assert perturb.motion_blur(torch.rand(0, 3, 8, 8), x, x[:, 0], "medium").shape == (0, 3, 8, 8)
    with pytest.raises(ValueError, match="shapes: needed at least one in the batch"):
        matching.mean(x, 1.0)


@every
def test_in_inference_mode(function, arguments):
    full = doors.run(function, arguments)
    with torch.inference_mode():
        made = {name: doors.map_tensors(torch.clone, x) for name, x in arguments.items()}
        equal(doors.run(function, made), full)
    equal(doors.run(function, made), full)  # outside, of tensors that were made inside


# ---------------------------------------------------------------------------------------------------------- scales


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1.0, 1e18, 1e20, 1e30])
def test_scales_far_from_one(scale):
    a, b = points(4, dtype=torch.float32), points(3, seed=1, dtype=torch.float32)
    one = torch.eye(3)
    K = kernels.gaussian(a, b, 0.5)
    torch.testing.assert_close(kernels.gaussian(scale * a, scale * b, 0.5 * scale), K)
    torch.testing.assert_close(kernels.product(scale * a, scale * b, one, 0.5 * scale), K)
    move = statistics.similarity(scale * a, a)
    torch.testing.assert_close(move.apply(scale * a), a)


def test_a_cumulative_distribution_never_falls():
    for seed in range(300):
        g = torch.Generator().manual_seed(seed)
        table = torch.rand(7, 61, generator=g)
        table = table.masked_fill(torch.rand(7, 61, generator=g) < 0.3, torch.nan)
        at = torch.linspace(0, 1, 37)
        assert (metrics.ced(table, at).diff() >= 0).all(), seed
        shuffled = torch.randperm(37, generator=g)
        torch.testing.assert_close(metrics.ced(table, at[shuffled]), metrics.ced(table, at)[shuffled])


# ----------------------------------------------------------------------------------------------------- derivatives

X, Y, P, W = points(4), points(3, seed=1), points(4, seed=2) - 0.5, points(3, seed=3)
IMAGE = torch.rand(1, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
CURVES = Curves(X, [[0, 1, 2], [3]], coupled=False)
DIFFERENTIABLE = {
    "product": lambda x, y, w: kernels.product(x, y, w, 0.7),
    "gaussian": lambda x, y, w: kernels.gaussian(x, y, 0.7),
    "distance2": lambda x, y, w: currents.distance2(x, y, 0.7),
    "flow": lambda x, y, w: flows.flow(x, P, 0.7, 2, points=y).points,
    "shoot": lambda x, y, w: flows.shoot(x, x - 0.5, 0.7, 2, points=y).points,
    "alone": lambda x, y, w: flows.shoot(CURVES.with_points(x), x - 0.5, [0.7, 0.4], 2).end,
    "energy": lambda x, y, w: flows.energy(flows.shoot(x, x, 0.7, 2)),
    "jacobian": lambda x, y, w: flows.jacobian(flows.flow(x, P, 0.7, 2), y),
    "spline": lambda x, y, w: polyharmonic.evaluate(polyharmonic.fit(x, x.square()), y),
    "warp": lambda x, y, w: polyharmonic.warp(IMAGE, 6 * x, 6 * x + 0.1 * x.square()),
    "decode": lambda x, y, w: heatmaps.decode(heatmaps.encode(5 * x, (8, 8), 1.5)),
    "similarity": lambda x, y, w: statistics.similarity(x, x.square()).apply(y),
}
ways = pytest.mark.parametrize("f", DIFFERENTIABLE.values(), ids=DIFFERENTIABLE.keys())


@ways
def test_jacrev_and_grad_agree_with_autograd(f):
    found = jacrev(f, argnums=(0, 1, 2))(X, Y, W)
    asked = torch.autograd.functional.jacobian(f, (X, Y, W))
    for a, b in zip(found, asked, strict=True):
        torch.testing.assert_close(a, b)
    down = grad(lambda x: f(x, Y, W).sum())(X)
    torch.testing.assert_close(down, asked[0].reshape(-1, *X.shape).sum(0))


@pytest.mark.parametrize("name", ["product", "distance2", "flow", "shoot", "alone", "energy"])
def test_second_derivatives_by_jacrev(name):
    def value(x):
        return DIFFERENTIABLE[name](x, Y, W).square().sum()

    torch.testing.assert_close(jacrev(jacrev(value))(X), torch.autograd.functional.hessian(value, X))


def test_vmap_is_refused_by_name():
    with pytest.raises(TypeError, match="a: needed values to look at, got those that vmap hides"):
        vmap(lambda x: kernels.gaussian(x, Y, 0.7))(X[None])


def test_sigma_without_axes_may_carry_a_gradient():
    sigma = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    end = inspect.unwrap(flows.flow)(X, P, sigma, 2).end.sum()
    (found,) = torch.autograd.grad(end, sigma)
    step = 1e-6
    by_difference = (flows.flow(X, P, 0.7 + step, 2).end.sum() - flows.flow(X, P, 0.7 - step, 2).end.sum()) / (2 * step)
    torch.testing.assert_close(found, by_difference, rtol=1e-6, atol=1e-9)


def test_a_width_without_axes_is_a_number():
    match, sigma = inspect.unwrap(matching.match), torch.tensor(0.7, dtype=torch.float64)
    found, asked = (match(CURVES, CURVES.with_points(X + P), each, steps=2, max_iter=3) for each in (sigma, 0.7))
    torch.testing.assert_close(found.momenta, asked.momenta)
