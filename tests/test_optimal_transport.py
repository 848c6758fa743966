"""Sinkhorn, W1 and its closed forms against linear programs, POT, plans built in full, and hand-made numbers."""

import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from lddmmlib import heatmaps
from lddmmlib import optimal_transport as transport
from lddmmlib._engine import softmin as engine
from tests.helpers import refused
from tests.oracles import transport as oracle

few = settings(max_examples=8, deadline=None)
some_seed = st.integers(0, 10_000)


def rand(*shape, seed=0):
    x = torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x / x.sum((-2, -1), keepdim=True)


def pixel(x, y, h=32, w=32, dtype=torch.float64):
    u = torch.zeros(h, w, dtype=dtype)
    u[y, x] = 1
    return u


def blob(x, y, h=32, w=32, sigma=1.5):
    u = heatmaps.encode(torch.tensor([[x, y]], dtype=torch.float64), (h, w), sigma)[0]
    return u / u.sum()


def close(a, b, atol=1e-9):
    torch.testing.assert_close(torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64),
                               rtol=0, atol=atol)  # fmt: skip


# --- closed forms --------------------------------------------------------------------


@pytest.mark.parametrize("eps", [0.05, 0.5, 5.0])
@pytest.mark.parametrize("p", [1, 2])
def test_point_to_point(eps, p):
    """One coupling alone: value and cost are the distance, whatever ε."""
    found = transport.sinkhorn(pixel(3, 4), pixel(27, 11), eps, p)
    close(found.value, 25.0**p, 1e-8)
    close(found.cost, 25.0**p, 1e-8)
    assert found.converged


@pytest.mark.parametrize("eps", [0.1, 2.0])
def test_point_target(eps):
    """π = u ⊗ δ_y alone: Sinkhorn, the closed form and a sum by hand agree."""
    u = rand(32, 32)
    y, x = np.mgrid[:32, :32]
    by_hand = (u.numpy() * np.hypot(x - 20, y - 9)).sum()
    close(transport.sinkhorn(u, pixel(20, 9), eps).value, by_hand, 1e-8)
    close(transport.w1_to_point(u, torch.tensor([20.0, 9.0], dtype=torch.float64)), by_hand)


def test_point_target_off_the_grid_and_in_batches():
    u = torch.stack([pixel(3, 4), pixel(10, 0)]) * 7.0
    y = torch.tensor([[3.3, 4.4], [-2.0, -5.0]], dtype=torch.float64)
    close(transport.w1_to_point(u, y), [0.5, 13.0])


def test_gradient_of_the_closed_form():
    y = torch.tensor([2.3, 1.6], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(transport.w1_to_point, (rand(4, 5).requires_grad_(), y))
    at = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    transport.w1_to_point(pixel(3, 4), at).backward()
    close(at.grad, [0.0, 0.0])


@pytest.mark.parametrize("shift", [(9, 0), (0, -7), (6, 8)])
def test_translations(shift):
    """W1(u, u shifted) = |shift|; squared, the debiased value is |shift|² at any ε."""
    u, v = blob(14.0, 14.0), blob(14.0 + shift[0], 14.0 + shift[1])
    length = math.hypot(*shift)
    assert length - 1e-3 <= transport.sinkhorn(u, v, 0.3).cost.item() <= 1.02 * length
    close(transport.debiased(u, v, 4.0, 2, tol=1e-7), length**2, 1e-2)


def test_debiasing_hurts_for_the_distance():
    u, v = blob(10.0, 12.0, sigma=2.0), blob(22.0, 17.0, sigma=2.0)
    wrong = [x.item() - 13.0 for x in (transport.debiased(u, v, 2.0), transport.sinkhorn(u, v, 2.0).cost)]
    assert abs(wrong[0]) > 3 * abs(wrong[1]) > 0


def test_by_default_the_cost_is_the_distance():
    u, v = blob(10.0, 12.0), blob(14.0, 15.0)
    assert torch.equal(transport.debiased(u, v, 4.0), transport.debiased(u, v, 4.0, 1))
    assert torch.equal(transport.sinkhorn(u, v, 4.0).value, transport.sinkhorn(u, v, 4.0, 1).value)
    assert transport.debiased(u, v, 4.0) < 6.0  # about 5 px, not 25 px²


def test_places_of_a_map():
    maps = torch.stack([blob(9.3, 7.8), blob(20.0, 11.0)])
    close(heatmaps.decode(maps, "argmax"), [[9, 8], [20, 11]])
    assert (transport.get_max(maps) - torch.tensor([[9.3, 7.8], [20.0, 11.0]])).abs().max() < 0.1
    close(transport.get_bc(maps), [[9.3, 7.8], [20.0, 11.0]], 1e-3)


def test_get_max_by_hand():
    h = torch.zeros(5, 6, dtype=torch.float64)
    h[2, 3], h[2, 2], h[2, 4], h[1, 3], h[3, 3] = 8, 2, 5, 4, 4
    close(transport.get_max(h), [3 + (5 - 2) / (2 * (8 - 2)), 2.0])
    close(transport.get_max(3 * h - 7), transport.get_max(h))  # of values below zero, too
    at_the_border = torch.tensor([[9.0, 8.0, 0.0], [5.0, 0.0, 0.0], [6.0, 0.0, 0.0]], dtype=torch.float64)
    close(transport.get_max(at_the_border), [0.0, 0.0])
    close(transport.get_max(torch.ones(1, 4, dtype=torch.float64)), [0.0, 0.0])
    assert transport.get_max(torch.zeros(3, 3)).isnan().all()


@pytest.mark.parametrize("peak", [(4.0, 5.0), (4.3, 5.1), (3.6, 4.5)])
def test_get_max_is_exact_where_the_map_falls_off_in_straight_lines(peak):
    y, x = torch.meshgrid(torch.arange(10.0), torch.arange(9.0), indexing="ij")
    tent = 20 - (x.double() - peak[0]).abs() - 2 * (y.double() - peak[1]).abs()
    close(transport.get_max(tent), peak)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 3.0])
def test_get_max_reads_a_gaussian_between_its_cells(sigma):
    """No handicap below a cell: less than a third of the argmax's error, and less than the quarter's."""
    places = 15 + torch.rand(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    maps = heatmaps.encode(places, (31, 31), sigma)
    off = {name: (heatmaps.decode(maps, name) - places).norm(dim=1).mean() for name in ("argmax", "quarter")}
    ours = (transport.get_max(maps) - places).norm(dim=1)
    assert ours.mean() < min(off["argmax"] / 3, off["quarter"])
    assert ours.max() < 0.13


# --- independent judges --------------------------------------------------------------


@pytest.mark.parametrize("solver", transport.SOLVERS)
def test_against_the_plain_iteration(solver):
    u, v = rand(2, 6, 9)
    value, cost = oracle.entropic(u.numpy(), v.numpy(), 0.5)
    found = transport.sinkhorn(u, v, 0.5, tol=1e-9, solver=solver)
    close(found.value, value, 1e-7)
    close(found.cost, cost, 1e-7)
    # ours is the same for either order, and its square's
    close(transport.sinkhorn(v, u, 0.5, tol=1e-9, solver=solver).value, value, 1e-7)


@pytest.mark.parametrize("solver", transport.SOLVERS)
def test_squared_against_the_plain_iteration(solver):
    u, v = rand(2, 6, 9)
    value, cost = oracle.entropic(u.numpy(), v.numpy(), 3.0, p=2)
    found = transport.sinkhorn(u, v, 3.0, 2, tol=1e-9, solver=solver)
    close(found.value, value, 1e-7)
    close(found.cost, cost, 1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_against_exact_transport(seed):
    """POT's network simplex; ε to 0 leads there from above."""
    u, v = rand(2, 8, 8, seed=seed)
    C = oracle.costs(8, 8)
    exact = ot.emd2(u.flatten().numpy(), v.flatten().numpy(), C)
    over = [transport.sinkhorn(u, v, eps, tol=1e-6, max_iter=5000).cost.item() - exact for eps in (0.4, 0.2, 0.1)]
    assert over[0] > over[1] > over[2] > -1e-5
    assert over[2] < 0.05 * exact


def test_against_pot_on_a_heatmap():
    u, v = blob(5.0, 6.0, 16, 16), blob(10.0, 9.0, 16, 16)
    a, b = (x.flatten().numpy() for x in (u, v))
    plan = ot.bregman.sinkhorn_log(a, b, oracle.costs(16, 16), 1.0, stopThr=1e-10)
    close(transport.sinkhorn(u, v, 1.0, tol=1e-8).cost, (plan * oracle.costs(16, 16)).sum(), 1e-5)


# --- precision and windows --------------------------------------------------------------


def faces(n=12, side=16, seed=0, sigma=1.0):
    """Logits half-way through a training and their targets, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    points = side * (0.1 + 0.8 * torch.rand(n, 2, dtype=torch.float64, generator=generator))
    moved = points + 4 * torch.randn(n, 2, dtype=torch.float64, generator=generator)
    return 10 * heatmaps.encode(moved, (side, side), 2.0), heatmaps.encode(points, (side, side), sigma)


def slope(logits, target, eps, **how):
    """The gradient of each map's value in its logits."""
    logits = logits.clone().requires_grad_()
    found = transport.sinkhorn(logits.flatten(1).softmax(1).view_as(logits), target, eps, **how)
    return torch.autograd.grad(found.value.sum(), logits)[0].double(), found


def apart(a, b):
    return ((a - b).flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1)).max().item()


@pytest.mark.parametrize("eps", [0.5, 1.0, 4.0])
def test_stated_accuracy_of_the_gradient_used_in_training(eps):
    """Single precision adds 1e-5 to what double has at the same tol; both are within a few times the residual."""
    logits, target = faces()
    exact, _ = slope(logits, target, eps, tol=1e-9, max_iter=20_000, solver="log")
    for tol in (1e-3, 1e-4):
        double, _ = slope(logits, target, eps, tol=tol)
        single, found = slope(logits.float(), target.float(), eps, tol=tol)
        assert found.solver == "product, single"
        assert found.converged.all()
        assert apart(single, exact) < 4 * tol + 1e-5
        assert apart(double, exact) < 4 * tol
    _, found = slope(logits.float(), target.float(), eps, tol=1e-6, max_iter=20_000)
    assert found.solver == "product, double"
    assert found.value.dtype == torch.float32
    assert found.converged.all()


def test_gradient_of_training_is_the_difference_quotient():
    """Single precision, default tol, against differences of the exact value in double."""
    logits, target = faces(4)
    direction = torch.randn(logits.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ahead, behind = (
        transport.sinkhorn((logits + s * direction).flatten(1).softmax(1).view_as(logits), target, 1.0, tol=1e-10).value
        for s in (1e-4, -1e-4)
    )
    single, _ = slope(logits.float(), target.float(), 1.0)
    close((single * direction).sum((1, 2)), (ahead - behind) / 2e-4, 3e-3)


@pytest.mark.parametrize("eps", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("order", [1, -1])
def test_windows_change_nothing(eps, order, monkeypatch):
    """Small windows at many places, and a wide map among narrow ones, against the whole grid: all outputs."""
    logits, target = faces(60, 24)
    u = logits.flatten(1).softmax(1).view_as(logits)
    target[7] = 1.0
    u, v = (u, target)[::order]
    found = transport.sinkhorn(u, v, eps, tol=1e-6, max_iter=5000)
    monkeypatch.setattr(engine, "windows", lambda v, cut: [(torch.arange(len(v)), (0, 24, 0, 24))])
    monkeypatch.setattr(engine, "supports", lambda u, cut: torch.tensor([[0, 24, 0, 24]]).expand(len(u), 4))
    read = transport.sinkhorn(u, v, eps, tol=1e-6, max_iter=5000)
    assert found.converged.all()
    for name, bound in (("value", 1e-6), ("cost", 1e-4)):
        close(getattr(found, name), getattr(read, name), bound)
    for name, mass in (("f", u), ("g", v)):
        mass = mass / mass.sum((1, 2), keepdim=True)
        off = getattr(found, name) - getattr(read, name)
        off = off - (mass * off).sum((1, 2), keepdim=True)
        assert ((mass * off.abs()).sum((1, 2)) < 1e-4 * eps).all()


@pytest.mark.parametrize(("p", "eps"), [(1, 0.2), (2, 2.0)])
def test_maps_of_small_support_have_potentials_everywhere(p, eps):
    """Windows of exact supports: cells without mass, too, have the definition's potentials."""
    u, v = torch.zeros(2, 3, 20, 21, dtype=torch.float64)
    u[:, 3:6, 2:5], v[:, 12:14, 9:12] = rand(3, 3, 3), rand(3, 2, 3, seed=1)
    found, read = (transport.sinkhorn(u, v, eps, p, tol=1e-7, max_iter=5000, solver=how) for how in ("auto", "log"))
    for x, y in ((found.f, read.f), (found.g, read.g)):
        off = x - y
        close(off - off.mean((1, 2), keepdim=True), torch.zeros_like(off), 1e-5)


@pytest.mark.parametrize(("p", "eps", "share"), [(1, 0.5, 0.8), (2, 4.0, 0.3)])
def test_the_start_is_near_the_end_for_maps_apart(p, eps, share, monkeypatch):
    u, v = blob(11.0, 12.0), blob(19.0, 16.0)
    near = transport.sinkhorn(u, v, eps, p)
    box = (0, 32, 0, 32)
    start = transport._start(u[None], v[None], box, 1 / eps, p)[0].view(32, 32) * eps
    off = start - near.g
    assert (v * (off - (v * off).sum()).abs()).sum() < (1 - share) * (v * (near.g - (v * near.g).sum()).abs()).sum()
    zero = lambda u, v, box, lam, p: u.new_zeros(len(u), (box[1] - box[0]) * (box[3] - box[2]))  # noqa: E731
    monkeypatch.setattr(transport, "_start", zero)
    far = transport.sinkhorn(u, v, eps, p)
    assert near.n_iter <= far.n_iter
    close(near.cost / far.cost, 1.0, 2e-3)


# --- properties ----------------------------------------------------------------------


@pytest.mark.parametrize(("eps", "p"), [(0.7, 1), (2.0, 1), (3.0, 2)])
def test_marginals_duality_and_bounds(eps, p):
    u, v = rand(2, 4, 5, seed=1)
    found = transport.sinkhorn(u, v, eps, p, tol=1e-6)
    f, g, a, b = (x.numpy() for x in (found.f, found.g, u, v))
    pi = oracle.plan(f, g, a, b, eps, p)
    np.testing.assert_allclose(pi.sum(1), a.ravel(), atol=1e-12)
    assert np.abs(pi.sum(0) - b.ravel()).sum() <= found.residual.item() + 1e-12 <= 1e-6
    primal = (pi * oracle.costs(4, 5, p)).sum()
    close(found.cost, primal, 1e-8)
    product = a.reshape(-1, 1) * b.reshape(1, -1)
    close(found.value, primal + eps * (pi * np.log(pi / product)).sum(), 1e-4)
    exact, apart = oracle.exact(a, b, p), (product * oracle.costs(4, 5, p)).sum()
    assert exact <= found.cost.item() <= found.value.item() <= apart
    barycentres = (transport.get_bc(u) - transport.get_bc(v)).norm().item()
    assert barycentres**p <= exact + 1e-9  # Jensen


def test_potentials_are_lipschitz():
    found = transport.sinkhorn(blob(5.0, 6.0), blob(20.0, 17.0), 1.0)
    for x in (found.f, found.g):
        gaps = (x.flatten()[:, None] - x.flatten()).abs().numpy()
        assert (gaps <= oracle.costs(32, 32) + 1e-2).all()


@pytest.mark.parametrize(("p", "eps"), [(1, 1.0), (2, 3.0)])
def test_gradient_is_the_difference_quotient(p, eps):
    logits = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()

    def value(x):
        u, v = x.flatten(-2).softmax(-1).view_as(x)
        return transport.sinkhorn(u, v, eps, p, tol=1e-10, max_iter=2000).value

    assert torch.autograd.gradcheck(value, (logits,), atol=1e-6)


def test_stated_accuracy_of_the_gradient():
    """At the default tol the gradient is within some times the marginal error of the converged one."""
    u, v = blob(14.0, 14.0, sigma=3.0) + 1e-4, blob(18.0, 15.0)

    def gradient(tol):
        x = u.clone().requires_grad_()
        found = transport.sinkhorn(x, v, 2.0, tol=tol)
        found.value.backward()
        return x.grad, found.residual.item()

    (rough, residual), (fine, _) = gradient(1e-3), gradient(1e-10)
    assert residual > 1e-6
    assert (rough - fine).norm() / fine.norm() < 10 * 1e-3


@given(some_seed)
@few
def test_extreme_maps_give_numbers(seed):
    generator = torch.Generator().manual_seed(seed)
    sharp = 10 ** (3 * torch.rand(4, 1, 1, generator=generator))
    u, v = (
        (sharp * torch.randn(4, 12, 15, generator=generator)).flatten(-2).softmax(-1).view(4, 12, 15).requires_grad_()
        for _ in range(2)
    )
    eps = 10 ** (2 * torch.rand((), generator=generator).item() - 1)
    for p in (1, 2):
        found = transport.sinkhorn(u, v, eps, p, max_iter=200)
        grads = torch.autograd.grad(found.value.sum(), (u, v))
        assert all(x.isfinite().all() for x in (*found[:4], *grads)), found
        assert (found.value >= found.cost - 0.05 * eps - 1e-3 * found.cost).all() or not found.converged.all()


def extremes(count, h, w):
    """Maps of every kind: flat, sharp, a single pixel, with zeros, and of very small and very large mass."""
    generator = torch.Generator().manual_seed(count)
    sharp = 10 ** (4 * torch.rand(count, 1, generator=generator, dtype=torch.float64) - 1)
    maps = (sharp * torch.randn(count, h * w, generator=generator, dtype=torch.float64)).softmax(-1)
    maps[::4] *= torch.rand(len(maps[::4]), h * w, generator=generator) < 0.2
    maps[::4, 0] += 1e-12
    maps[1::8] = torch.eye(h * w, dtype=torch.float64)[torch.randint(h * w, (len(maps[1::8]),), generator=generator)]
    mass = 10 ** (60 * torch.rand(count, 1, generator=generator, dtype=torch.float64) - 30)
    return (maps * mass).view(count, h, w)


KINDS = [("log", 1, 0.01), ("auto", 1, 0.01), ("auto", 1, 0.15), ("auto", 1, 2.0), ("auto", 2, 0.05)]


@pytest.mark.parametrize(("solver", "p", "eps"), KINDS)
def test_ten_thousand_pairs_give_numbers(solver, p, eps):
    u, v = (x.requires_grad_() for x in extremes(20_000, 7, 8).chunk(2))
    found = transport.sinkhorn(u, v, eps, p, max_iter=3, solver=solver)
    assert all(x.isfinite().all() for x in found[:4])
    assert all(x.isfinite().all() for x in torch.autograd.grad((found.value * 1e-30).sum(), (u, v)))


@given(some_seed)
@few
def test_symmetries(seed):
    u, v = rand(2, 3, 6, 8, seed=seed)
    value = transport.sinkhorn(u, v, 1.0, tol=1e-9).value
    for move in (lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.mT, lambda x: 5 * x):
        close(transport.sinkhorn(move(u), move(v), 1.0, tol=1e-9).value, value, 1e-7)
    for k in range(3):  # a batch is its maps one by one
        close(transport.sinkhorn(u[k], v[k], 1.0, tol=1e-9).value, value[k], 1e-7)


def test_single_precision_follows_the_input():
    u, v = blob(5.0, 6.0), blob(20.0, 17.0)
    found, fine = transport.sinkhorn(u.float(), v.float(), 1.5), transport.sinkhorn(u, v, 1.5)
    assert {x.dtype for x in (*found[:4], found.residual)} == {torch.float32}
    close(found.value, fine.value, 1e-4)
    assert transport.w1(u.float(), v.float()).value.dtype == torch.float32


def test_what_did_not_converge_says_so():
    found = transport.sinkhorn(*rand(2, 8, 8), 0.05, tol=1e-6, max_iter=5)
    assert not found.converged
    assert found.n_iter == 5
    assert found.residual > 1e-6
    flow = transport.w1(*rand(2, 8, 8), max_iter=5)
    assert not flow.converged
    assert flow.gap > 0.01 * flow.value


# --- every output is right, or it is said that it is not --------------------------------


def awkward(kind, h, w, seed):
    """Two maps of a kind that some solver finds hard."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(2, h, w, dtype=torch.float64, generator=generator)
    if kind == "empty pixels":
        return draw * (draw > 0.7) + 1e-3 * torch.eye(h, w, dtype=torch.float64)
    if kind == "faint pixels":
        return draw ** (60 * torch.rand((), generator=generator).item() + 20)
    if kind == "blobs":
        return torch.stack([blob(w * a, h * b, h, w, 1.0) for a, b in draw[:, 0, :2].tolist()])
    if kind == "single pixels":
        return torch.stack([pixel(int(w * a), int(h * b), h, w) for a, b in draw[:, 0, :2].tolist()])
    return draw * {"light": 1e-30, "heavy": 1e30}[kind]


AWKWARD = ("empty pixels", "faint pixels", "blobs", "single pixels", "light", "heavy")


@pytest.mark.parametrize("kind", AWKWARD)
@pytest.mark.parametrize(("size", "eps"), [((12, 13), 0.1), ((9, 14), 0.4), ((3, 24), 0.7), ((12, 12), 2.0)])
def test_each_output_is_that_of_the_definition(kind, size, eps):
    """Cost, value and, where there is mass, the potentials, whatever "auto" took."""
    u, v = torch.stack([awkward(kind, *size, seed) for seed in range(3)]).unbind(1)
    found = transport.sinkhorn(u, v, eps, tol=1e-4, max_iter=3000)
    slow = transport.sinkhorn(u, v, eps, tol=1e-4, max_iter=3000, solver="log")
    both = found.converged & slow.converged
    assert both.any()
    for a, b in ((found.value, slow.value), (found.cost, slow.cost)):
        torch.testing.assert_close(a[both], b[both], rtol=1e-3, atol=5e-3 * eps)
    for x, y, m in ((found.f, slow.f, u), (found.g, slow.g, v)):
        assert x.isfinite().all()
        m = m / m.sum((-2, -1), keepdim=True)
        off = ((x - y) - (m * (x - y)).sum((-2, -1), keepdim=True)).abs()
        assert ((m * off).sum((-2, -1))[both] < 0.02 * eps).all()


@pytest.mark.parametrize("eps", [0.1, 0.2])
def test_a_pixel_of_no_weight_cannot_spoil_the_cost(eps):
    """By FFT, the row of a pixel of mass 3e-23 once made the cost infinite."""
    points = torch.tensor([[5.0, 6.0], [8.0, 10.0]], dtype=torch.float64)
    u, v = heatmaps.encode(points, (16, 16), 1.0)
    found, slow = (transport.sinkhorn(u, v, eps, solver=name) for name in ("auto", "log"))
    assert found.converged
    close(found.cost, slow.cost, 1e-4)
    for x, y in ((found.f, slow.f), (found.g, slow.g)):  # at every pixel, but for a constant
        assert (x - y - (x - y).mean()).abs().max() < 0.02


@pytest.mark.parametrize(("p", "solver"), [(1, "log"), (1, "auto"), (2, "log"), (2, "auto")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_cell_costs_nothing(p, solver, dtype):
    for u in (torch.full((1, 1), 7.0, dtype=dtype), pixel(3, 0, 1, 5, dtype), pixel(2, 3, 6, 5, dtype)):
        found = transport.sinkhorn(u, u, 1.0, p, solver=solver)
        close(found.value, 0.0, 1e-9)
        close(found.cost, 0.0, 1e-9)
        assert found.converged
        close(transport.debiased(u, u, 1.0, p, solver=solver), 0.0, 1e-9)


def test_plain_iteration_agrees():
    u, v = rand(2, 5, 7, seed=3)
    cost = torch.as_tensor(oracle.costs(5, 7))
    f, g = transport.sinkhorn_by_iterating(u.flatten(), v.flatten(), cost, 0.5)
    found = transport.sinkhorn(u, v, 0.5, tol=1e-9)
    close(f @ u.flatten() + g @ v.flatten(), found.value, 1e-7)
    off = f - found.f.flatten()
    close(off - off.mean(), torch.zeros(35), 1e-7)


def test_missing_landmarks_are_nan_and_have_no_gradient():
    points = torch.tensor([[3.0, 4.0], [torch.nan, 2.0], [5.0, 2.0]], dtype=torch.float64)
    mask, target = ~points.isnan().any(-1), heatmaps.encode(points, (8, 9), 1.0)
    u = rand(3, 8, 9, seed=1).requires_grad_()
    refused("v: needed some mass .* in map \\(1,\\); give a mask", transport.sinkhorn, u, target, 1.0)
    for solve in (lambda *x, **k: transport.sinkhorn(*x, 1.0, **k), transport.w1):
        found, few = solve(u, target, mask=mask), solve(u[mask], target[mask])
        assert found.value.isnan().tolist() == (~mask).tolist()
        close(found.value[mask], few.value)
        assert found.converged.all()
        (gradient,) = torch.autograd.grad(found.value.nanmean(), u)
        assert (gradient[1] == 0).all()
        close(gradient[mask], torch.autograd.grad(few.value.mean(), u)[0][mask])
    assert transport.debiased(u, target, 2.0, mask=mask).isnan().tolist() == (~mask).tolist()
    assert transport.w1_to_point(u, points).isnan().tolist() == (~mask).tolist()
    (gradient,) = torch.autograd.grad(transport.w1_to_point(u, points).nansum(), u)
    assert gradient.isfinite().all()
    refused("mask: needed a bool for each map", transport.sinkhorn, u, u, 1.0, mask=mask[:2])
    refused("mask: needed a bool for each map", transport.w1, u, u, mask=[True])


@pytest.mark.parametrize("p", [1, 2])
def test_no_maps_and_none_labelled(p):
    u = rand(3, 4, 5)
    for x, mask in ((u[:0], None), (u, torch.zeros(3, dtype=torch.bool)), (u[None, :0], None)):
        for found in (transport.sinkhorn(x, x, 1.0, p, mask=mask), transport.w1(x, x, mask=mask)):
            assert found.value.shape == x.shape[:-2]
            assert found.value.isnan().all()
    assert transport.w1_to_point(u[:0], torch.zeros(0, 2, dtype=u.dtype)).shape == (0,)


# --- W1 without ε --------------------------------------------------------------------


def pairs(n=12):
    """Name and maps: masses that split, a point to a Gaussian, Gaussians apart or of two widths, at random."""
    half = (pixel(n // 2 + 1, n // 2, n, n) + pixel(n // 2, n // 2 + 1, n, n)) / 2
    yield "splits", pixel(n // 2, n // 2, n, n), half
    yield "splits far", pixel(1, 1, n, n), (pixel(n - 2, 3, n, n) + pixel(2, n - 1, n, n)) / 2
    yield "between two edges", pixel(1, 1, n, n), pixel(n - 3, 2, n, n)
    for sigma in (1.0, 1.5, 3.0):
        yield f"point to {sigma}", pixel(n // 2, n // 2, n, n), blob(n / 2 + 0.3, n / 2 - 0.2, n, n, sigma)
        yield f"apart {sigma}", blob(3.4, 4.7, n, n, sigma), blob(8.1, 6.9, n, n, sigma)
        yield (
            f"a tenth {sigma}",
            blob(3.4, 4.7, n, n, sigma),
            0.9 * blob(3.4, 4.7, n, n, sigma) + 0.1 * pixel(9, 9, n, n),
        )
    yield "two widths", blob(6.0, 6.0, n, n, 1.0), blob(6.0, 6.0, n, n, 1.5)
    for seed in range(3):
        yield f"random {seed}", *rand(2, n, n, seed=seed)
        yield f"sharp {seed}", *(rand(2, n, n, seed=seed) ** (2 + 6 * seed))


@pytest.mark.parametrize(("name", "u", "v"), [pytest.param(*x, id=x[0]) for x in pairs()])
def test_the_truth_lies_between_the_bounds(name, u, v):
    """POT's network simplex is the judge; the value is within one per cent, and so is the gap."""
    a, b = (x.flatten().numpy() / x.sum().item() for x in (u, v))
    exact, found = ot.emd2(a, b, oracle.costs(*u.shape)), transport.w1(u, v)
    assert found.converged
    assert found.value.item() <= exact * (1 + 1e-9) + 1e-12
    assert exact <= (found.value + found.gap).item() * (1 + 1e-9) + 1e-12
    assert found.gap.item() <= 0.01 * (found.value + found.gap).item()
    other = transport.w1(v, 5 * u)
    assert other.value.item() == pytest.approx(found.value.item(), rel=0.01)


def test_the_linear_program_agrees():
    for seed in range(2):
        u, v = rand(2, 5, 6, seed=seed)
        exact = transport.w1_by_linear_program(u, 3 * v)
        assert exact == pytest.approx(oracle.exact(u.numpy(), v.numpy()), abs=1e-9)
        found = transport.w1(u, v)
        assert found.value.item() - 1e-9 <= exact <= (found.value + found.gap).item() + 1e-9


def test_flow_and_price_are_certificates():
    """Checked by the definition: what the flow leaves nowhere, and the slope of the price between all cells."""
    u, v = rand(2, 3, 9, 11, seed=2)
    found, C = transport.w1(u, v), oracle.costs(9, 11)
    assert found.converged.all()
    start, end = found.edges.T.numpy()
    for m, phi, d, value, gap in zip(found.flow.numpy(), found.potential.flatten(1).numpy(),
                                     (u - v).flatten(1).numpy(), found.value, found.gap, strict=True):  # fmt: skip
        out = np.zeros(99)
        np.add.at(out, start, m)
        np.add.at(out, end, -m)
        np.testing.assert_allclose(out, d, atol=1e-12)
        close(value + gap, C[start, end] @ np.abs(m))
        assert (np.abs(phi[:, None] - phi) <= C + 1e-12).all()
        close(value, phi @ d)


def test_no_way_is_lengthened_by_more_than_is_said():
    found = transport.w1(pixel(0, 0, 10, 10), pixel(9, 9, 10, 10))
    start, end = found.edges.T.numpy()
    C = oracle.costs(10, 10)
    graph = coo_matrix((C[start, end], (start, end)), shape=(100, 100))
    ways = dijkstra(graph, directed=False, indices=0)[1:]
    assert (ways / C[0, 1:]).min() >= 1 - 1e-12
    assert (ways / C[0, 1:]).max() < 1.008


def test_on_a_line_the_flow_is_the_difference_of_cumulated_sums():
    u, v = rand(2, 1, 9, seed=7)
    found, crossing = transport.w1(u, v, tol=1e-6), (u - v).cumsum(-1)
    close(found.flow, crossing[0, :-1], 1e-9)
    close(found.value, crossing.abs().sum(), 1e-6)
    close(transport.w1(u.mT, v.mT, tol=1e-6).value, found.value, 1e-9)


def test_nothing_to_move():
    for u in (rand(6, 7), torch.ones(1, 1, dtype=torch.float64), pixel(2, 2, 5, 5), 1e-30 * rand(4, 4)):
        found = transport.w1(u, 3 * u)
        close(found.value, 0.0)
        close(found.gap, 0.0)
        assert found.converged
    faint = rand(6, 7)
    near = faint + 1e-12 * (pixel(1, 1, 6, 7) - pixel(2, 1, 6, 7))
    assert transport.w1(faint, near).value.item() == pytest.approx(1e-12, rel=1e-2)


@given(some_seed)
@few
def test_extreme_maps_have_bounds(seed):
    u, v = (x[seed % 50 : seed % 50 + 2] for x in extremes(200, 5, 6).chunk(2))
    found = transport.w1(u, v, max_iter=200)
    assert all(x.isfinite().all() for x in (found.value, found.gap, found.flow, found.potential))
    assert (found.gap >= -1e-9).all()


def test_gradient_is_the_price():
    u, v = rand(5, 6, seed=4).requires_grad_(), rand(5, 6, seed=5)
    found = transport.w1(u, v)
    found.value.backward()
    direction = rand(5, 6, seed=6) - 1 / 30
    close((u.grad * direction).sum(), (found.potential * direction).sum(), 1e-12)  # the sum stays 1
    step = 1e-3
    ahead, behind = (oracle.exact((u.detach() + s * direction).numpy(), v.numpy()) for s in (step, -step))
    close((u.grad * direction).sum(), (ahead - behind) / (2 * step), 0.02)


# --- refusals ------------------------------------------------------------------------

BAD = [
    (lambda u: -u, "u: needed finite values >= 0"),
    (lambda u: 0 * u, "u: needed some mass .* in map \\(0,\\)"),
    (lambda u: u / 0, "u: needed finite values"),
    (lambda u: u[0, 0], "u: needed \\(..., h, w\\)"),
    (lambda u: u[..., :3], "needed maps of one shape"),
    (lambda u: u.float(), "needed one dtype and device"),
]


@pytest.mark.parametrize(("spoil", "match"), BAD)
def test_bad_maps_are_refused(spoil, match):
    u = rand(2, 4, 5)
    refused(match, transport.sinkhorn, spoil(u), u, 1.0)
    refused(match, transport.w1, spoil(u), u)


def test_bad_arguments_are_refused():
    u = rand(4, 5)
    for name, needed in (("eps", "a number > 0"), ("tol", "a number > 0"), ("max_iter", "an integer >= 1")):
        refused(f"{name}: needed {needed}", transport.sinkhorn, **({"u": u, "v": u, "eps": 1.0} | {name: 0}))
    refused("eps: needed", transport.sinkhorn, u, u, -1.0)
    refused("eps: needed", transport.sinkhorn, u, u, math.nan)
    refused("p: needed one of 1, 2", transport.sinkhorn, u, u, 1.0, 3)
    refused("solver: needed one of", transport.sinkhorn, u, u, 1.0, solver="best")
    refused("tol: needed", transport.w1, u, u, 0.0)
    refused("single or double", transport.sinkhorn, u.half(), u.half(), 1.0, error=TypeError)
    refused("needed a torch tensor", transport.w1_to_point, [1.0], u, error=TypeError)
    refused("y: needed points", transport.w1_to_point, u, u)
    refused("y: needed finite", transport.w1_to_point, u, torch.full((2,), math.inf, dtype=u.dtype))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu():
    u, v = blob(5.0, 6.0), blob(20.0, 17.0)
    for eps, p in ((2.0, 1), (0.1, 1), (2.0, 2)):
        there, here = transport.sinkhorn(u.cuda(), v.cuda(), eps, p), transport.sinkhorn(u, v, eps, p)
        assert there.f.is_cuda
        close(there.value.cpu(), here.value, 1e-6)
    close(transport.w1(u.cuda(), v.cuda()).value.cpu(), transport.w1(u, v).value, 1e-6)
