"""Paper E's loss and its rivals: a linear program, finite differences, SciPy, and maps that know their answer."""

from inspect import unwrap

import numpy as np
import pytest
import torch
from scipy.spatial import distance as scipy_distance

from lddmmlib import heatmaps, optimal_transport
from lddmmlib.methods import wasserstein
from lddmmlib.methods.heatmap_regression import cross_entropy_loss
from tests.methods.stand_ins import Told, crop_of

SIDE, CELLS = 64, 16


def random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def face(n=2, k=5, seed=0):
    """Landmarks, px, of which the first is missing and the second outside."""
    x = SIDE * (0.2 + 0.6 * torch.rand(n, k, 2, generator=torch.Generator().manual_seed(seed)))
    x[0, 0], x[1, 1] = torch.nan, torch.tensor([-9.0, 30.0])
    return x


def gaussians(x, sigma=0.75):
    return heatmaps.encode(x, (CELLS, CELLS), sigma, stride=SIDE / CELLS)


# ------------------------------------------------------------------------------------------------- normalisation


@pytest.mark.parametrize("by", wasserstein.BY)
def test_distributions_have_the_sum_1_and_a_gradient(by):
    h = random(2, 3, 6, 7, dtype=torch.float64)
    h = h.abs() + 0.1 if by == "sum" else h
    u = wasserstein.probabilities(h, by, tau=1.7)
    assert u.min() >= 0
    torch.testing.assert_close(u.sum((-2, -1)), torch.ones(2, 3, dtype=torch.float64))
    z = {"softmax": (1.7 * h).exp(), "softplus": (1 + (1.7 * h).exp()).log(), "sum": h}[by]
    torch.testing.assert_close(u, z / z.sum((-2, -1), keepdim=True))
    assert torch.autograd.gradcheck(
        lambda m: unwrap(wasserstein.probabilities)(m, by, 1.7), h[0, 0].clone().requires_grad_()
    )


def test_the_nearly_uniform_softmax_is_refused_unless_asked_for():
    h = heatmaps.encode(torch.tensor([[30.0, 31.0]]), (64, 64), 1.5)
    with pytest.raises(ValueError, match=r"tau: needed log\(h w\) = 8.3 or more .* no weight above 0.00066"):
        wasserstein.probabilities(h)
    assert wasserstein.peak_weight(h).item() == pytest.approx(np.e / 4096, rel=0.02)
    torch.testing.assert_close(wasserstein.probabilities(h, uniform=True).amax((-2, -1)), wasserstein.peak_weight(h))
    assert wasserstein.probabilities(h, tau=8.4).max() > 0.2
    for free in (torch.zeros(1, 64, 64), 0.1 * h, h - 0.5, 2 * h):  # a fresh network, and values beyond [0, 1]
        assert wasserstein.probabilities(free).isfinite().all()


@pytest.mark.parametrize(
    ("maps", "how", "message"),
    [
        (-torch.ones(1, 4, 4), {"by": "sum"}, "maps: needed values >= 0, some above 0, got a negative value"),
        (torch.eye(4)[None] - 0.1, {"by": "sum"}, "maps: needed values >= 0, some above 0, got a negative value"),
        (torch.zeros(1, 4, 4), {"by": "sum"}, "maps: needed values >= 0, some above 0, got a map of zeros"),
        (torch.full((1, 4, 4), torch.nan), {}, "maps: needed finite values, got NaN"),
        (torch.ones(1, 4, 4), {"tau": 0.0}, "tau"),
        (torch.ones(1, 4, 4), {"by": "max"}, "by: needed"),
    ],
)
def test_maps_that_are_no_distribution_are_refused(maps, how, message):
    with pytest.raises(ValueError, match=message):
        wasserstein.probabilities(maps, **how)


# ------------------------------------------------------------------------------------------------------ distances


def test_the_distance_is_that_of_a_linear_program():
    """As ε falls, from above: the entropy only adds."""
    maps, v = random(5, 5, dtype=torch.float64), gaussians(torch.tensor([[20.0, 40.0]]))[0, 5:10, 2:7].double()
    u = maps.flatten().softmax(0).view(5, 5)
    exact = optimal_transport.w1_by_linear_program(u, v)
    found = [wasserstein.distance(maps, v, eps, tol=1e-5, max_iter=5000).item() for eps in (1.0, 0.3, 0.1)]
    assert found[0] > found[1] > found[2] > exact - 1e-4
    assert found[2] == pytest.approx(exact, abs=0.15)


def test_its_gradient_is_that_of_finite_differences():
    """In the direction of a random change; at the tolerance of training within what the docstring says."""
    maps, v = random(3, 8, 8, dtype=torch.float64, seed=1), gaussians(face()[0, 1:4])[:, 4:12, 4:12].double()
    step = random(3, 8, 8, dtype=torch.float64, seed=2)

    def value(m, tol=1e-9):
        return wasserstein.distance(m, v, 1.0, tol=tol, max_iter=20000)

    want = (value(maps + 1e-4 * step) - value(maps - 1e-4 * step)) / 2e-4
    for tol, off in ((1e-9, 1e-5), (1e-2, 0.04)):
        m = maps.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(value(m, tol).sum(), m)
        torch.testing.assert_close((gradient * step).sum((-2, -1)), want, rtol=0, atol=off * want.abs().max().item())


def test_jensen_shannon_is_scipys():
    maps, v = random(4, 6, 7, dtype=torch.float64), random(4, 6, 7, dtype=torch.float64, seed=1).abs()
    v[0, 2], v[3] = 0.0, 0.0
    got = wasserstein.jensen_shannon(maps, v)
    for k in range(3):
        u = maps[k].flatten().softmax(0)
        assert got[k].item() == pytest.approx(scipy_distance.jensenshannon(u, v[k].flatten()) ** 2, rel=1e-6)
    assert got[3] == 0
    far = torch.tensor([[[200.0, 0.0], [0.0, 0.0]]], requires_grad=True)  # a softmax that is 0 in single precision
    (gradient,) = torch.autograd.grad(wasserstein.jensen_shannon(far, torch.tensor([[[0.0, 1.0], [0, 0]]])).sum(), far)
    assert gradient.isfinite().all()


def test_l2_saturates_where_the_distance_grows():
    """The derivative of each in the distance between two Gaussians of one width."""
    x = torch.tensor([3.0, 6.0, 9.0, 12.0])
    maps = heatmaps.encode(torch.stack([x, torch.full_like(x, 8.0)], -1), (16, 16), 0.75)
    v = heatmaps.encode(torch.tensor([[1.0, 8.0]]).expand(4, 2), (16, 16), 0.75)
    w = wasserstein.distance(maps, v, 0.5, by="sum", tol=1e-4, max_iter=2000)
    l2 = (maps - v).square().sum((-2, -1))
    torch.testing.assert_close(w.diff(), torch.full((3,), 3.0), atol=0.15, rtol=0)
    assert l2.diff()[1:].abs().max() < 1e-3 * l2[0]


@pytest.mark.parametrize("of", [wasserstein.distance, wasserstein.jensen_shannon])
def test_what_does_not_fit_is_refused(of):
    maps = random(2, 4, 4)
    for v, message in (
        (torch.ones(2, 4, 5), r"maps, target: needed one shape \(..., h, w\), got \(2, 4, 4\) and \(2, 4, 5\)"),
        (-torch.ones(2, 4, 4), "target: needed finite values >= 0"),
        (torch.full((2, 4, 4), torch.nan), "target: needed finite values >= 0"),
        (torch.full((2, 4, 4), torch.inf), "target: needed finite values >= 0"),
    ):
        with pytest.raises(ValueError, match=message):
            unwrap(of)(maps, v)
    if of is wasserstein.distance:
        with pytest.raises(ValueError, match="eps"):
            of(maps, torch.ones(2, 4, 4), eps=0.0)
    with pytest.raises(ValueError, match="sigma"):
        wasserstein.wasserstein_loss(Told(random(2, 5, CELLS, CELLS)), crop_of(face(), SIDE), sigma=0.0)


# --------------------------------------------------------------------------------------------------------- losses

LOSSES = {
    "W": wasserstein.wasserstein_loss,
    "point": wasserstein.point_loss,
    "JS": wasserstein.jensen_shannon_loss,
    "recipe": wasserstein.recipe_loss,
    "recipe, eps": lambda net, x: wasserstein.recipe_loss(net, x, eps=2.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_leave_out_what_is_missing_or_outside_and_add_stacks(name):
    x, maps = face(), random(2, 5, CELLS, CELLS).requires_grad_()
    loss, batch = LOSSES[name], crop_of(face(), SIDE)
    value = loss(Told(maps), batch)
    (gradient,) = torch.autograd.grad(value, maps)
    assert gradient.isfinite().all()
    some = gradient.flatten(2).abs().amax(-1) > 0
    assert torch.equal(some, batch.inside)
    with torch.no_grad():
        torch.testing.assert_close(loss(Told([maps, maps]), batch), 2 * value)
        other = torch.where(batch.inside[..., None, None], maps, 9.0)
        torch.testing.assert_close(loss(Told(other), batch), value)
        nobody = crop_of(torch.full_like(x, torch.nan), SIDE)
        assert loss(Told(maps), nobody) == 0


@pytest.mark.parametrize("name", LOSSES)
def test_losses_under_autocast_are_those_without(name):
    maps, batch = random(2, 5, CELLS, CELLS), crop_of(face(), SIDE)
    alone = LOSSES[name](Told(maps), batch)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(LOSSES[name](Told(maps), batch), alone)
        assert LOSSES[name](Told(maps.bfloat16()), batch).dtype == torch.float32


def test_losses_by_hand():
    """Means over the labelled of each landmark's own value."""
    x, maps = face(), random(2, 5, CELLS, CELLS)
    batch, u = crop_of(x, SIDE), maps.flatten(2).softmax(-1).view_as(maps)
    seen = [(b, k) for b in range(2) for k in range(5) if batch.inside[b, k]]
    rows, columns = np.mgrid[:CELLS, :CELLS]
    points = []
    for b, k in seen:
        at = (x[b, k].numpy() - 1.5) / 4
        points.append((u[b, k].numpy() * np.hypot(columns - at[0], rows - at[1])).sum())
    assert wasserstein.point_loss(Told(maps), batch).item() == pytest.approx(np.mean(points), rel=1e-5)
    v = gaussians(x, 1.0)
    each = [optimal_transport.sinkhorn(u[b, k], v[b, k], 2.0).value.item() for b, k in seen]
    assert wasserstein.wasserstein_loss(Told(maps), batch, 1.0, 2.0).item() == pytest.approx(np.mean(each), rel=0.01)
    both = cross_entropy_loss(Told(maps), batch, 1.0) + 0.3 * wasserstein.point_loss(Told(maps), batch)
    torch.testing.assert_close(wasserstein.recipe_loss(Told(maps), batch, 1.0, 0.3), both)
    both = cross_entropy_loss(Told(maps), batch, 1.0) + 0.3 * wasserstein.wasserstein_loss(Told(maps), batch, 1.0, 2.0)
    torch.testing.assert_close(wasserstein.recipe_loss(Told(maps), batch, 1.0, 0.3, eps=2.0), both)


def test_the_transport_losses_move_a_map_to_its_target():
    """A free map under each loss alone; L2 does not move it."""
    x = torch.tensor([[[40.0, 22.0]]])
    for name in ("W", "point", "recipe"):
        maps = (20 * gaussians(torch.tensor([[[20.0, 46.0]]]))).requires_grad_()
        optim = torch.optim.Adam([maps], lr=1.0)
        for _ in range(30):
            optim.zero_grad()
            LOSSES[name](Told(maps), crop_of(x, SIDE)).backward()
            optim.step()
        found = wasserstein.landmarks(maps, torch.zeros(1, 3, SIDE, SIDE))
        assert (found - x).norm() < 4, name


# ------------------------------------------------------------------------------------------------------- decoding


def test_decoders_find_the_middle_of_what_a_map_stands_for():
    x = face()[:, 2:]
    h, images = gaussians(x, 1.0), torch.zeros(2, 3, SIDE, SIDE)
    for output, by in ((h.double().log().float().clamp_min(-80), "softmax"), (h, "sum"), (3 * h - 1e-4, "sum")):
        for method in wasserstein.METHODS:
            found = wasserstein.landmarks([0 * h, output], images, method, by)
            assert (found - x).norm(dim=-1).max() < 0.4, (by, method)
    below = wasserstein.landmarks(h - 2, images, "get_bc", "sum")  # no value above 0, no barycentre
    torch.testing.assert_close(below, wasserstein.landmarks(h, images, "get_max", "sum"), atol=1e-3, rtol=0)
    batch = crop_of(x, SIDE)
    torch.testing.assert_close(
        wasserstein.predict(Told(h), batch, method="get_max", by="sum"),
        wasserstein.landmarks(h, images, "get_max", "sum"),
    )
    with pytest.raises(ValueError, match="method: needed"):
        wasserstein.landmarks(h, images, "argmax")
    with pytest.raises(TypeError, match="window"):
        wasserstein.predict(Told(h), batch, window=5)


def test_a_second_peak_draws_the_barycentre_and_not_the_maximum():
    x = torch.tensor([[[24.0, 24.0]]])
    maps = gaussians(x) + 0.5 * gaussians(x + 24)
    at = {how: wasserstein.landmarks(maps, torch.zeros(1, 3, SIDE, SIDE), how, "sum") for how in wasserstein.METHODS}
    assert (at["get_max"] - x).norm() < 0.7
    assert (at["get_bc"] - x).norm() == pytest.approx(24 * 2**0.5 / 3, abs=0.3)
    below = gaussians(x) - 0.5 * gaussians(x + 24)  # where a map is negative there is no mass
    assert (wasserstein.landmarks(below, torch.zeros(1, 3, SIDE, SIDE), "get_bc", "sum") - x).norm() < 0.1


def test_maps_from_every_stage_of_training_stay_finite():
    """Logits from nearly uniform to saturated, targets at the border: no NaN, value or gradient."""
    scale = torch.logspace(-3, 2.5, 1000)[:, None, None]
    maps = (scale * random(1000, 8, 8)).requires_grad_()
    v = heatmaps.encode(8 * torch.rand(1000, 2, generator=torch.Generator().manual_seed(3)) - 0.5, (8, 8), 0.5)
    value = wasserstein.distance(maps, v, eps=1.0)
    (gradient,) = torch.autograd.grad(value.sum(), maps)
    assert value.isfinite().all()
    assert gradient.isfinite().all()
