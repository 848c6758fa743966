"""Sinkhorn, W1 and its closed forms against linear programs, POT, plans built in full, and hand-made numbers."""

import math
from inspect import unwrap

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lddmmlib import heatmaps
from lddmmlib import optimal_transport as transport
from tests.oracles import transport as oracle

few = settings(max_examples=8, deadline=None)
some_seed = st.integers(0, 10_000)
ONE_NORM = ("log", "dense", "fft", "tilted")


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


def refused(match, function, *args, error=ValueError, **kwargs):
    with pytest.raises(error, match=match):
        unwrap(function)(*args, **kwargs)


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
    close(transport.get_max(maps), [[9, 8], [20, 11]])
    close(transport.get_bc(maps), [[9.3, 7.8], [20.0, 11.0]], 1e-3)


# --- independent judges --------------------------------------------------------------


@pytest.mark.parametrize("solver", [*ONE_NORM])
def test_against_the_plain_iteration(solver):
    u, v = rand(2, 6, 9)
    value, cost = oracle.entropic(u.numpy(), v.numpy(), 0.5)
    found = transport.sinkhorn(u, v, 0.5, tol=1e-9, solver=solver)
    close(found.value, value, 1e-7)
    close(found.cost, cost, 1e-7)
    assert found.solver == solver
    # ours is the same for either order, and its square's
    close(transport.sinkhorn(v, u, 0.5, tol=1e-9, solver=solver).value, value, 1e-7)


@pytest.mark.parametrize("solver", ["separable", "log"])
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
    # the dual of w1 asks less of φ than the pairs do, or as much: never below by more than the gap
    flow = transport.w1(u, v, tol=1e-4)
    assert flow.converged
    assert abs(flow.value.item() / exact - 1) < 0.1


def test_against_pot_on_a_heatmap():
    u, v = blob(5.0, 6.0, 16, 16), blob(10.0, 9.0, 16, 16)
    a, b = (x.flatten().numpy() for x in (u, v))
    plan = ot.bregman.sinkhorn_log(a, b, oracle.costs(16, 16), 1.0, stopThr=1e-10)
    close(transport.sinkhorn(u, v, 1.0, tol=1e-8).cost, (plan * oracle.costs(16, 16)).sum(), 1e-5)


@pytest.mark.parametrize(("eps", "wanted"), [(4.0, "fft"), (1.5, "fft"), (0.8, "fft, tilted")])
def test_convolution_against_the_definition(eps, wanted):
    """Inside the rule every solver has the same potentials, at empty pixels too; "auto" takes the convolution."""
    u, v = torch.stack([blob(5.0, 6.0), blob(20.0, 9.0)]), torch.stack([blob(12.0, 20.0), blob(8.0, 9.0)])
    found = transport.sinkhorn(u, v, eps)
    slow = transport.sinkhorn(u, v, eps, solver="log")
    assert found.solver == wanted
    for a, b in zip(found[:4], slow[:4], strict=True):
        close(a, b, 1e-3 * eps)
    close(transport.sinkhorn(u, v, eps, solver="dense").f, slow.f, 1e-8)


def test_convolution_outside_the_rule():
    u, v = pixel(0, 0), pixel(31, 31)
    refused("'fft' needed potentials", transport.sinkhorn, u, v, 1.0, solver="fft")
    w = (u + pixel(31, 0) + pixel(0, 31)) / 3  # mass in three corners
    refused("'tilted' needed potentials", transport.sinkhorn, w, v, 0.1, solver="tilted")
    assert transport.sinkhorn(u, v, 1.0).solver == "tilted"
    assert transport.sinkhorn(w, v, 0.1).solver == "dense"
    assert transport.sinkhorn(w, v, 0.02).solver == "log"
    mixed = transport.sinkhorn(torch.stack([blob(5.0, 5.0), u]), torch.stack([blob(7.0, 5.0), v]), 1.0)
    assert mixed.solver == "fft, tilted"
    close(mixed.value[1], 31 * math.sqrt(2), 1e-8)


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
    flow = transport.w1(u, v, max_iter=50)
    assert flow.value.isfinite().all()


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


KINDS = [("log", 1, 0.01), ("auto", 1, 0.15), ("fft", 1, 0.4), ("dense", 1, 2.0), ("auto", 2, 0.05)]


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
    flow = transport.w1(*rand(2, 8, 8), tol=1e-6, max_iter=5)
    assert not flow.converged
    assert flow.gap > 1e-6


# --- W1 without ε --------------------------------------------------------------------


@pytest.mark.parametrize(("shift", "at_most"), [((12, 0), 1e-3), ((0, -9), 1e-3), ((-9, 9), 1e-3), ((8, 8), 0.08)])
def test_flow_between_points(shift, at_most):
    """Exact along an axis and one diagonal; too long by up to 8 % along the other."""
    found = transport.w1(pixel(14, 14), pixel(14 + shift[0], 14 + shift[1]), tol=1e-3)
    length = math.hypot(*shift)
    assert found.converged
    assert found.value.item() - found.gap.item() <= length * (1 + at_most)
    assert found.value.item() >= length - 1e-6


def test_on_a_line_the_flow_is_the_difference_of_cumulated_sums():
    u, v = rand(2, 1, 9, seed=7)
    found, crossing = transport.w1(u, v, tol=1e-6), (u - v).cumsum(-1)
    close(found.flow[0], crossing, 1e-5)
    close(found.value, crossing.abs().sum(), 1e-5)
    close(transport.w1(u.mT, v.mT, tol=1e-6).value, found.value, 1e-5)


def test_flow_and_its_certificate():
    u, v = rand(2, 3, 9, 11, seed=2)
    found = transport.w1(u, v, tol=1e-3)
    m, phi = found.flow.numpy(), found.potential.numpy()
    assert (m[:, 0, :, -1] == 0).all()
    assert (m[:, 1, -1] == 0).all()
    out = m.sum(1)
    out[:, :, 1:] -= m[:, 0, :, :-1]
    out[:, 1:] -= m[:, 1, :-1]
    np.testing.assert_allclose(out, (u - v).numpy(), atol=1e-12)  # a flow: an upper bound
    across, down = np.zeros_like(phi), np.zeros_like(phi)
    across[:, :, :-1], down[:, :-1] = np.diff(phi, axis=2), np.diff(phi, axis=1)
    assert np.hypot(across, down).max() <= 1 + 1e-12  # a potential: a lower one
    primal, dual = np.hypot(m[:, 0], m[:, 1]).sum((1, 2)), (phi * (u - v).numpy()).sum((1, 2))
    close(found.value, primal)
    close(found.gap, primal - dual)
    assert found.converged.all()


def test_flow_of_nothing():
    u = rand(6, 7)
    found = transport.w1(u, u)
    close(found.value, 0.0)
    assert found.converged


def test_gradient_of_the_flow():
    u, v = rand(5, 6, seed=4).requires_grad_(), rand(5, 6, seed=5)
    found = transport.w1(u, v, tol=1e-7, max_iter=5000)
    found.value.backward()
    direction = rand(5, 6, seed=6) - 1 / 30
    step = 1e-4
    ahead, behind = (transport.w1(u.detach() + s * direction, v, tol=1e-7, max_iter=5000).value for s in (step, -step))
    close((u.grad * direction).sum(), (ahead - behind) / (2 * step), 2e-3)


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
    for name in ("eps", "tol", "max_iter"):
        refused(f"{name}: needed a number > 0", transport.sinkhorn, **({"u": u, "v": u, "eps": 1.0} | {name: 0}))
    refused("eps: needed", transport.sinkhorn, u, u, -1.0)
    refused("eps: needed", transport.sinkhorn, u, u, math.nan)
    refused("p: needed one of 1, 2", transport.sinkhorn, u, u, 1.0, 3)
    refused("solver: needed one of", transport.sinkhorn, u, u, 1.0, solver="best")
    refused("solver: needed 'separable'", transport.sinkhorn, u, u, 1.0, 2, solver="fft")
    refused("solver: needed 'separable'", transport.sinkhorn, u, u, 1.0, solver="separable")
    refused("'dense' needed eps >= ", transport.sinkhorn, u, u, 0.001, solver="dense")
    refused("tol: needed", transport.w1, u, u, 0.0)
    refused("single or double", transport.sinkhorn, u.half(), u.half(), 1.0, error=TypeError)
    refused("single or double", transport.w1_to_point, [1.0], u, error=TypeError)
    refused("y: needed points", transport.w1_to_point, u, u)
    refused("y: needed finite", transport.w1_to_point, u, torch.full((2,), math.nan, dtype=u.dtype))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu():
    u, v = blob(5.0, 6.0), blob(20.0, 17.0)
    for eps, p in ((2.0, 1), (0.1, 1), (2.0, 2)):
        there, here = transport.sinkhorn(u.cuda(), v.cuda(), eps, p), transport.sinkhorn(u, v, eps, p)
        assert there.f.is_cuda
        close(there.value.cpu(), here.value, 1e-6)
    close(transport.w1(u.cuda(), v.cuda()).value.cpu(), transport.w1(u, v).value, 1e-6)
