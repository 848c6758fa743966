"""Encoders and decoders against closed forms, brute force, SciPy, and each other."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from lddmmlib import heatmaps
from tests.helpers import refused
from tests.oracles import quantisation as oracles

NAN = float("nan")
SIZE = (40, 56)  # not square: who swaps an axis is found out
SMOOTH = ("taylor", "soft", "local_soft", "barycentre")  # methods with a gradient


def inside(*batch, n=500, margin=12, seed=0):
    """Points with cells to spare on every side of a map."""
    u = torch.rand(*batch, n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return margin + u * torch.tensor([SIZE[1] - 1 - 2 * margin, SIZE[0] - 1 - 2 * margin], dtype=torch.float64)


def noisy(*batch, seed=0):
    return torch.rand(*batch, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mean_error(a, b):
    return (a - b).norm(dim=-1).mean().item()


def close(a, b, atol=1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=atol, equal_nan=True)


# --- encode --------------------------------------------------------------------------


@pytest.mark.parametrize("peak", heatmaps.PEAKS)
def test_encode_is_the_gaussian_cell_by_cell(peak):
    points, sigma = torch.tensor([[3.3, 1.8], [0.1, 4.0]], dtype=torch.float64), 1.3
    maps = heatmaps.encode(points, (5, 7), sigma, peak=peak)
    factor = 1 / (2 * math.pi * sigma**2) if peak == "density" else 1
    for k, (x, y) in enumerate(points.tolist()):
        for i in range(5):
            for j in range(7):
                value = factor * math.exp(-((j - x) ** 2 + (i - y) ** 2) / (2 * sigma**2))
                assert math.isclose(maps[k, i, j], value, rel_tol=1e-12)


@pytest.mark.parametrize("place", [[20.3, 11.8], [0.0, 39.0], [-2.5, 41.0]])
def test_encode_agrees_with_the_version_to_read(place):
    point = torch.tensor(place, dtype=torch.float64)
    close(heatmaps.encode(point[None], SIZE, 1.7)[0], heatmaps.encode_by_loops(point, SIZE, 1.7))


def test_the_density_sums_to_one():
    close(
        heatmaps.encode(inside(), SIZE, 2.0, peak="density").sum((-2, -1)), torch.ones(500, dtype=torch.float64), 1e-8
    )


@pytest.mark.parametrize("rounding", ["round", "floor"])
def test_rounded_points_are_whole_cells(rounding):
    points = torch.tensor([[2.4, 3.6], [2.5, 3.5], [-0.4, 0.6]], dtype=torch.float64)  # halves go up, not to even
    shift = 0.5 if rounding == "round" else 0.0
    want = torch.tensor([[math.floor(x + shift) for x in p] for p in points.tolist()], dtype=torch.float64)
    assert torch.equal(heatmaps.quantise(points, rounding), want)
    assert torch.equal(heatmaps.quantise(points, "none"), points)
    close(heatmaps.encode(points, SIZE, 2.0, rounding), heatmaps.encode(want, SIZE, 2.0), 0)


def test_missing_landmarks_are_zero_maps_and_nan_again():
    points = inside(3, n=4)
    points[0, 1] = NAN
    points[2, 3, 0] = NAN  # half a landmark is none
    maps = heatmaps.encode(points, SIZE, 2.0)
    labelled = ~points.isnan().any(-1)
    assert torch.equal(maps.flatten(-2).any(-1), labelled)
    for method in heatmaps.METHODS:
        assert torch.equal(heatmaps.decode(maps, method).isnan().any(-1), ~labelled), method


def test_landmark_outside_shows_what_reaches_in():
    wide = heatmaps.encode(torch.tensor([[1.0, 20.0]]), (40, 60), 2.0)
    close(heatmaps.encode(torch.tensor([[-2.0, 20.0]]), (40, 57), 2.0), wide[..., 3:], 1e-6)
    assert not heatmaps.encode(torch.tensor([[-1000.0, 20.0]]), (40, 57), 2.0).any()


def test_device_and_dtype_follow_the_points():
    for dtype in (torch.float32, torch.float64):
        maps = heatmaps.encode(inside().to(dtype), SIZE, 2.0)
        assert maps.dtype == dtype
        for method in heatmaps.METHODS:
            assert heatmaps.decode(maps, method).dtype == dtype
    points = inside()
    with torch.device("meta"):  # what were made on the default device instead of the input's would not fit
        maps = heatmaps.encode(points, SIZE, 2.0)
        for method in heatmaps.METHODS:
            assert heatmaps.decode(maps, method).device == points.device
        assert heatmaps.decode(maps, "taylor", blur=1.0).device == points.device


# --- what rounding costs ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("rounding", "method", "cost"),
    [
        ("floor", "argmax", oracles.FLOOR),
        ("round", "argmax", oracles.ROUND),
        ("none", "argmax", oracles.ROUND),
        ("none", "quarter", oracles.QUARTER),
        ("floor", "taylor", oracles.FLOOR),  # what was rounded away no decoder brings back
        ("round", "taylor", oracles.ROUND),
        ("round", "barycentre", oracles.ROUND),
        ("round", "quarter", oracles.ROUND),
        ("round", "local_soft", oracles.ROUND),
    ],
)
def test_mean_errors_are_the_closed_forms(rounding, method, cost):
    # A grid of 40 x 40 places in a cell instead of chance: the mean is then good to 1e-4.
    t = (torch.arange(40, dtype=torch.float64) + 0.5) / 40
    points = torch.cartesian_prod(t, t) + torch.tensor([25.0, 15.0], dtype=torch.float64)
    maps = heatmaps.encode(points, SIZE, 2.0, rounding)
    assert mean_error(heatmaps.decode(maps, method), points) == pytest.approx(cost, abs=3e-4)


def test_the_constants_are_the_published_ones():
    assert [round(x, 3) for x in (oracles.FLOOR, oracles.ROUND, oracles.QUARTER)] == [0.765, 0.383, 0.191]


# --- decode ------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("peak", heatmaps.PEAKS)
def test_taylor_is_exact_on_clean_maps(sigma, peak):
    points = inside()
    close(heatmaps.decode(heatmaps.encode(points, SIZE, sigma, peak=peak), "taylor"), points, 1e-9)


def test_taylor_is_exact_at_the_border_too():
    u = torch.rand(500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points = u * torch.tensor([SIZE[1] - 0.02, SIZE[0] - 0.02], dtype=torch.float64) - 0.49
    edge = [points.amin(), (points[:, 0] - SIZE[1] + 1).amax(), (points[:, 1] - SIZE[0] + 1).amax()]
    assert all(e.abs() > 0.4 for e in edge)  # beyond the outermost centres
    close(heatmaps.decode(heatmaps.encode(points, SIZE, 1.5), "taylor"), points, 1e-9)


@pytest.mark.parametrize("sigma", [1.5, 2.0])
def test_barycentre_is_exact_on_clean_maps(sigma):
    points = inside(margin=14)
    close(heatmaps.decode(heatmaps.encode(points, SIZE, sigma), "barycentre"), points, 1e-8)


@pytest.mark.parametrize("window", [1, 3, 5, 7, 99])
@pytest.mark.parametrize("tau", [1.0, 10.0, 100.0])
def test_local_soft_is_the_sum_cell_by_cell(window, tau):
    border = torch.tensor([[0.2, 0.3], [54.9, 0.0], [1.2, 38.8], [54.6, 38.2], [30.0, -0.3]], dtype=torch.float64)
    maps = torch.cat([noisy(6) - 0.5, heatmaps.encode(border, SIZE, 2.0)])
    want = torch.tensor([oracles.local_soft_argmax(m.tolist(), window, tau) for m in maps], dtype=torch.float64)
    close(heatmaps.decode(maps, "local_soft", window, tau), want, 1e-11)


@pytest.mark.parametrize("tau", [1.0, 10.0, 1000.0])
def test_decode_agrees_with_the_version_to_read(tau):
    """At the border, where the window loses cells, and on maps that are no Gaussians, too."""
    corner = heatmaps.encode(torch.tensor([[0.4, 38.7]], dtype=torch.float64), SIZE, 2.0)
    maps = torch.cat([noisy(6), corner])
    for window in (3, 5):
        want = torch.stack([heatmaps.decode_by_loops(h, window, tau) for h in maps])
        close(heatmaps.decode(maps, "local_soft", window, tau), want, 1e-10)


def test_soft_is_a_local_one_whose_window_holds_the_map():
    maps = noisy(5)
    close(heatmaps.decode(maps, "soft", tau=10.0), heatmaps.decode(maps, "local_soft", 2 * max(SIZE) + 1))


def test_argmax_and_quarter_are_the_published_recipe():
    maps = noisy(200)
    for m, a, q in zip(maps, heatmaps.decode(maps, "argmax"), heatmaps.decode(maps, "quarter"), strict=True):
        i, j = np.unravel_index(m.argmax().item(), SIZE)
        assert a.tolist() == [j, i]
        step = np.zeros(2)
        if 0 < i < SIZE[0] - 1 and 0 < j < SIZE[1] - 1:
            step = np.sign([m[i, j + 1] - m[i, j - 1], m[i + 1, j] - m[i - 1, j]]) / 4
        assert (q - a).tolist() == step.tolist()


@pytest.mark.parametrize("blur", [1.0, 2.0])
def test_blurred_taylor_is_the_taylor_of_the_map_that_scipy_blurred(blur):
    border = torch.tensor([[0.2, 0.3], [54.9, 1.0], [1.2, 37.8], [2.6, 20.0]], dtype=torch.float64)
    maps = heatmaps.encode(torch.cat([inside(n=20), border]), SIZE, 2.0) + 0.05 * noisy(24)
    for m, got in zip(maps, heatmaps.decode(maps, "taylor", blur=blur), strict=True):
        i, j = np.unravel_index(m.argmax().item(), SIZE)
        smooth, there = (
            ndimage.gaussian_filter(x, blur, mode="constant", truncate=6) for x in (m.numpy(), np.ones(SIZE))
        )
        f = np.log(smooth / there)
        i, j = np.clip(i, 1, SIZE[0] - 2), np.clip(j, 1, SIZE[1] - 2)
        f = f[i - 1 : i + 2, j - 1 : j + 2]
        g = np.array([f[1, 2] - f[1, 0], f[2, 1] - f[0, 1]]) / 2
        cross = (f[2, 2] - f[2, 0] - f[0, 2] + f[0, 0]) / 4
        A = np.array([[f[1, 2] - 2 * f[1, 1] + f[1, 0], cross], [cross, f[2, 1] - 2 * f[1, 1] + f[0, 1]]])
        np.testing.assert_allclose(got, [j, i] - np.linalg.solve(A, g), atol=0.02)  # the kernel ends at 3 blurs


def test_blurred_taylor_is_nearly_exact_on_clean_maps_and_better_under_noise():
    points = inside()
    maps = heatmaps.encode(points, SIZE, 2.0)
    assert mean_error(heatmaps.decode(maps, "taylor", blur=2.0), points) < 0.005
    maps = maps + 0.05 * torch.randn(maps.shape, dtype=maps.dtype, generator=torch.Generator().manual_seed(1))
    plain, blurred = (mean_error(heatmaps.decode(maps, "taylor", blur=b), points) for b in (0.0, 2.0))
    assert blurred < plain / 2


@pytest.mark.parametrize(
    ("log_h", "why"),
    [
        ([[-9, -9, -9], [-9, 0, -math.inf], [-9, -9, -9]], "a value beneath it is 0"),
        ([[-0.01, -0.11, -3], [-0.11, 0, -0.09], [-3, -0.09, -0.01]], "a saddle: det < 0"),
        ([[-0.3, -0.15, -0.68], [-0.15, 0, -0.05], [-0.68, -0.05, -0.3]], "the top is 5 cells away"),
    ],
)
def test_taylor_stays_where_there_is_no_parabola(log_h, why):
    maps = torch.full(SIZE, math.exp(-9), dtype=torch.float64)
    maps[19:22, 29:32] = torch.tensor(log_h, dtype=torch.float64).exp()
    assert heatmaps.decode(maps, "taylor").tolist() == [30, 20], why
    maps[20, 31] = -0.1
    assert heatmaps.decode(maps, "taylor").tolist() == [30, 20]


# --- strides, flips, batches ---------------------------------------------------------------


@pytest.mark.parametrize("alignment", heatmaps.ALIGNMENTS)
@pytest.mark.parametrize("stride", [1, 2, 4, 4.5])
def test_strides_come_back_exactly(alignment, stride):
    cells = inside()
    points = stride * cells + ((stride - 1) / 2 if alignment == "centre" else 0)
    maps = heatmaps.encode(points, SIZE, 2.0, stride=stride, alignment=alignment)
    close(maps, heatmaps.encode(cells, SIZE, 2.0))
    close(heatmaps.decode(maps, "taylor", stride=stride, alignment=alignment), points, 1e-9)


@pytest.mark.parametrize("stride", [1, 2, 4, 4.5])
def test_cells_and_pixels_are_each_others_inverse(stride):
    """By the middle of the pixels that a cell covers, or by x = s u; `encode` and `decode` convert alike."""
    cells = inside()
    for alignment in heatmaps.ALIGNMENTS:
        pixels = heatmaps.to_pixels(cells, stride, alignment)
        close(heatmaps.to_cells(pixels, stride, alignment), cells, 1e-12)
        close(heatmaps.encode(pixels, SIZE, 2.0, "floor", stride=stride, alignment=alignment),
              heatmaps.encode(cells, SIZE, 2.0, "floor"), 0)  # fmt: skip
    close(heatmaps.to_pixels(cells, stride, "corner"), stride * cells, 0)
    for u in range(3):
        covered = stride * u - 0.5, stride * (u + 1) - 0.5  # px, from edge to edge
        assert heatmaps.to_pixels(torch.tensor(float(u)), stride).item() == sum(covered) / 2


def test_a_cell_lies_over_the_middle_of_its_pixels():
    for pixels in ([0, 1, 2, 3], [8, 9, 10, 11]):
        middle = torch.tensor([[sum(pixels) / 4] * 2])
        maps = heatmaps.encode(middle, (16, 16), 2.0, stride=4)
        assert maps[0, pixels[0] // 4, pixels[0] // 4] == 1


@pytest.mark.parametrize("method", heatmaps.METHODS)
def test_flipped_maps_give_flipped_points(method):
    maps = noisy(50)
    h, w = SIZE
    x, y = heatmaps.decode(maps, method, stride=4).unbind(-1)
    across = heatmaps.decode(maps.flip(-1), method, stride=4)
    down = heatmaps.decode(maps.flip(-2), method, stride=4)
    turned = heatmaps.decode(maps.mT, method, stride=4)
    close(across, torch.stack([4 * w - 1 - x, y], -1), 1e-9)
    close(down, torch.stack([x, 4 * h - 1 - y], -1), 1e-9)
    close(turned, torch.stack([y, x], -1), 1e-9)


@pytest.mark.parametrize("rounding", ["none", "round"])
def test_flipped_points_give_flipped_maps_for_centres_only(rounding):
    points = 4 * inside()
    mirror = torch.stack([4 * SIZE[1] - 1 - points[:, 0], points[:, 1]], -1)

    def maps(p, alignment):
        return heatmaps.encode(p, SIZE, 2.0, rounding, stride=4, alignment=alignment)

    close(maps(mirror, "centre"), maps(points, "centre").flip(-1))
    assert (maps(mirror, "corner") - maps(points, "corner").flip(-1)).abs().amax() > 0.1
    assert (heatmaps.encode(mirror, SIZE, 2.0, "floor", stride=4)
            - heatmaps.encode(points, SIZE, 2.0, "floor", stride=4).flip(-1)).abs().amax() > 0.1  # fmt: skip


@pytest.mark.parametrize("method", heatmaps.METHODS)
def test_batches_are_their_maps_one_by_one(method):
    maps = noisy(2, 3, 4)
    blur = 1.0 if method == "taylor" else 0.0
    whole = heatmaps.decode(maps, method, blur=blur)
    assert whole.shape == (2, 3, 4, 2)
    close(whole[1, 2, 3], heatmaps.decode(maps[1, 2, 3], method, blur=blur))
    points = inside(2, 3, n=4)
    close(heatmaps.encode(points, SIZE, 2.0)[1, 2], heatmaps.encode(points[1, 2], SIZE, 2.0), 0)


def test_maps_smaller_than_the_window():
    close(heatmaps.decode(torch.ones(1, 2), "local_soft"), torch.tensor([0.5, 0.0]))
    for method in ("argmax", "soft", "local_soft", "barycentre"):
        assert heatmaps.decode(torch.ones(1, 1), method).tolist() == [0, 0]


# --- gradients ---------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "blur"), [*((m, 0.0) for m in SMOOTH), ("taylor", 1.0)])
def test_gradients_of_decoders(method, blur):
    points = torch.tensor([[3.3, 2.6], [0.2, 5.0]], dtype=torch.float64)
    maps = (heatmaps.encode(points, (7, 8), 1.5) + 0.01).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: heatmaps.decode(m, method, blur=blur), maps)


def test_gradient_of_the_encoder():
    points = torch.tensor([[3.3, 2.6], [0.2, 5.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: heatmaps.encode(p, (6, 7), 1.5, stride=2, peak="density"), points)


@pytest.mark.parametrize("method", SMOOTH)
def test_missing_landmarks_leave_the_gradient_alone(method):
    points = inside(n=3)
    points[1] = NAN
    points.requires_grad_()
    maps = heatmaps.encode(points, SIZE, 2.0)
    maps.retain_grad()
    heatmaps.decode(maps, method)[[0, 2]].sum().backward()
    assert maps.grad.isfinite().all()
    assert points.grad.isfinite().all()
    assert points.grad[0].any()


# --- the formulas of the bias ------------------------------------------------------------


@pytest.mark.parametrize("s", [0.5, 0.6, 0.8])
def test_aliasing_is_the_error_of_the_sampled_mean(s):
    t = torch.linspace(-0.5, 0.5, 21, dtype=torch.float64)
    want = torch.tensor([oracles.sampled_mean_error(x, s, -40, 40) for x in t.tolist()], dtype=torch.float64)
    # What is left out is of second order in exp(-2π² s²).
    close(heatmaps.aliasing(t, s), want, 4 * 4 * math.pi * s**2 * math.exp(-4 * math.pi**2 * s**2))
    assert want.abs().amax() > 1e-5


def test_aliasing_is_what_the_barycentre_of_a_narrow_map_suffers():
    t = torch.linspace(-0.5, 0.5, 21, dtype=torch.float64)
    points = torch.stack([25 + t, torch.full_like(t, 20.25)], -1)
    error = heatmaps.decode(heatmaps.encode(points, SIZE, 0.6), "barycentre") - points
    close(error[:, 0], heatmaps.aliasing(t, 0.6), 1e-4)
    close(error[:, 1], heatmaps.aliasing(torch.full_like(t, 0.25), 0.6), 1e-4)


@pytest.mark.parametrize("s", [0.8, 1.0, 2.0])
def test_truncation_is_the_mean_of_scipys_truncated_normal(s):
    t = torch.linspace(-0.5, 0.5, 11, dtype=torch.float64)
    for window in (3, 5, 9):
        judge = stats.truncnorm((-window / 2 - t.numpy()) / s, (window / 2 - t.numpy()) / s, scale=s).mean()
        np.testing.assert_allclose(heatmaps.truncation(t, s, window), judge, atol=1e-12)


@pytest.mark.parametrize(
    ("sigma", "tau", "window", "peak"),
    [(6.0, 100.0, 9, "one"), (5.0, 100.0, 9, "one"), (10.0, 100.0, 5, "one"), (20.0, 400.0, 5, "one"),
     (10.0, 100.0 * 2 * math.pi * 100, 5, "density")],
)  # fmt: skip
def test_measured_bias_is_aliasing_plus_truncation(sigma, tau, window, peak):
    """Where τ is large, so that the softmax of the map is a Gaussian."""
    t = torch.linspace(-0.45, 0.45, 19, dtype=torch.float64)
    points = torch.stack([25 + t, torch.full_like(t, 20.0)], -1)
    measured = (heatmaps.decode(heatmaps.encode(points, SIZE, sigma, peak=peak), "local_soft", window, tau) - points)[
        :, 0
    ]
    s = heatmaps.softmax_width(sigma, tau, peak)
    formula = heatmaps.aliasing(t, s) + heatmaps.truncation(t, s, window)
    largest = measured.abs().amax().item()
    assert largest > 1e-3
    close(formula, measured, 0.2 * largest)
    assert (torch.sign(formula) == torch.sign(measured))[t.abs() > 0.01].all()


def test_the_softmax_is_wider_than_its_first_order():
    """By 1 + 1/τ: the variance of exp(τ exp(-q)) over the plane, q = r²/2σ², window far beyond its flanks."""
    for tau in (50.0, 100.0):
        sigma = 40.0
        maps = heatmaps.encode(torch.tensor([[400.0, 400.0]], dtype=torch.float64), (801, 801), sigma)[0]
        x = torch.arange(801, dtype=torch.float64) - 400
        weight = (tau * maps).exp() - 1  # without the background
        variance = (weight.sum(0) * x.square()).sum() / weight.sum()
        ratio = math.sqrt(variance) / heatmaps.softmax_width(sigma, tau)
        assert ratio == pytest.approx(1 + 1 / tau, abs=5 / tau**2)


@pytest.mark.parametrize(("sigma", "window"), [(1.0, 5), (2.0, 5), (2.0, 3), (3.0, 7)])
def test_best_tau_is_best(sigma, window):
    points = inside(n=300)

    def cost(tau, peak):
        maps = heatmaps.encode(points, SIZE, sigma, peak=peak)
        return (heatmaps.decode(maps, "local_soft", window, tau) - points).square().mean().item()

    for peak in heatmaps.PEAKS:
        tau = heatmaps.best_tau(sigma, window, peak)
        assert cost(tau, peak) < min(cost(tau * k, peak) for k in (0.5, 0.8, 1.25, 2.0))
    density = heatmaps.best_tau(sigma, window, "density")
    assert density == pytest.approx(2 * math.pi * sigma**2 * heatmaps.best_tau(sigma, window))


# --- bad input ---------------------------------------------------------------------------


def test_bad_input_is_refused_by_the_encoder():
    points, encode = inside(), heatmaps.encode
    refused("needed one of 'none', 'round', 'floor'; got 'ceil'", encode, points, SIZE, 2.0, "ceil")
    refused("needed one of 'one', 'density'", encode, points, SIZE, 2.0, peak="sum")
    refused("needed one of 'centre', 'corner'", encode, points, SIZE, 2.0, alignment="center")
    refused("sigma: needed a number > 0, got 0", encode, points, SIZE, 0)
    refused("stride: needed a number > 0", encode, points, SIZE, 2.0, stride=0)
    for size in (64, (64,), (64, 0), (64.0, 64), (3, 64, 64)):
        refused(r"size: needed a tuple \(h, w\)", encode, points, size, 2.0)
    refused("finite coordinates", encode, torch.full((1, 2), math.inf), SIZE, 2.0)
    refused("floating-point coordinates", encode, torch.zeros(1, 2).long(), SIZE, 2.0, error=TypeError)
    refused("single or double precision, got torch.float16", encode, points.half(), SIZE, 2.0, error=TypeError)


def test_bad_input_is_refused_by_the_decoder():
    maps, decode = noisy(2), heatmaps.decode
    refused("needed one of 'argmax', 'quarter'.*got 'dark'", decode, maps, "dark")
    for window in (0, 2, 4, -3):
        refused("window: needed an odd number of cells", decode, maps, "local_soft", window)
    refused("tau: needed a number > 0", decode, maps, tau=0.0)
    refused("blur: needed a number >= 0", decode, maps, "taylor", blur=-1.0)
    refused("single or double precision", decode, maps.half(), error=TypeError)
    refused("needed a torch tensor, got ndarray", decode, maps.numpy(), error=TypeError)
    refused(r"at least one map; got shape \(5,\)", decode, torch.zeros(5))
    refused(r"at least one map; got shape \(0, 5, 5\)", decode, torch.zeros(0, 5, 5))
    for method in ("quarter", "taylor"):
        refused(r"3 cells or more each way.*got \(1, 9\)", decode, torch.ones(1, 9), method)
    for bad in (NAN, math.inf, -math.inf):
        broken = maps.clone()
        broken[1, 3, 4] = bad
        for method in heatmaps.METHODS:
            refused(rf"needed finite values, got {bad} in map \(1,\)", decode, broken, method)
    refused("values >= 0 for their barycentre", decode, maps - 0.5, "barycentre")


def test_negative_values_are_no_harm_to_the_others():
    """A network's maps dip below zero: a softmax does not mind, nor does what looks at the peak alone."""
    points = inside()
    maps = heatmaps.encode(points, SIZE, 2.0) - 0.1
    for method in ("argmax", "quarter", "local_soft"):
        close(heatmaps.decode(maps, method), heatmaps.decode(maps + 0.1, method))
        below = maps - maps.amax((-2, -1), keepdim=True)  # the largest value is 0: not an empty map
        close(heatmaps.decode(below, method), heatmaps.decode(maps, method))
