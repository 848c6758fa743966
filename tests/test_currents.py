"""Currents against double loops, a closed form, and what a current must and must not see."""

import math
from inspect import unwrap
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lddmmlib import currents
from lddmmlib.curves import Curves
from tests.helpers import CLOSED, close, face, points, refused
from tests.oracles import lddmm as oracle

seeds = st.integers(0, 10_000)


def edges(x, closed=False):
    """[(centre, tangent)] of a polyline, by hand."""
    x = [*x, x[0]] if closed else x
    return [([(a + b) / 2 for a, b in zip(p, q, strict=True)], [b - a for a, b in zip(p, q, strict=True)])
            for p, q in pairwise(x)]  # fmt: skip


def inner(a, b, sigma):
    return sum(math.exp(-(math.dist(c, d) ** 2) / sigma**2) * (s[0] * t[0] + s[1] * t[1]) for c, s in a for d, t in b)


def wave(n):
    t = torch.linspace(0, 3, n + 1, dtype=torch.float64)
    return torch.stack([t, torch.sin(2 * t)], -1)


# --- equations 1 and 4 ---------------------------------------------------------------


@pytest.mark.parametrize("closed", [False, True])
def test_norm_and_distance_against_double_loops(closed):
    a, b = points(6), points(4, seed=1)
    mu, nu = edges(a.tolist(), closed), edges(b.tolist(), closed)
    close(currents.norm2(a, 1.5, closed), inner(mu, mu, 1.5))
    expected = inner(mu, mu, 1.5) - 2 * inner(mu, nu, 1.5) + inner(nu, nu, 1.5)
    close(currents.distance2(a, b, 1.5, closed), expected)


def test_norm2_agrees_with_the_version_to_read():
    x = points(9)
    close(currents.norm2(x, 1.3), currents.norm2_by_loops(x, 1.3))


def test_one_segment_is_its_length_squared():
    close(currents.norm2(torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64), 0.1), 25.0)


@pytest.mark.parametrize("length", [0.3, 2.0, 20.0])
def test_a_straight_line_finely_divided(length):
    t = torch.linspace(0, length, 4001, dtype=torch.float64)
    line = torch.stack([0.6 * t, 0.8 * t], -1)
    exact = oracle.segment_norm2(length, 1.5)
    assert abs(currents.norm2(line, 1.5).item() - exact) < 1e-5 * exact


def test_splitting_the_edges_converges_with_the_fourth_power():
    split = [currents.distance2(wave(n), wave(2 * n), 0.8).item() for n in (40, 80, 160)]
    orders = [math.log2(a / b) for a, b in pairwise(split)]
    assert all(abs(order - 4) < 0.05 for order in orders), orders


@given(seeds)
def test_a_flipped_curve_is_the_negative(seed):
    a, b = points(6, seed=seed), points(5, seed=seed + 1)
    close(currents.norm2(a.flip(0), 1.5), currents.norm2(a, 1.5))
    close(currents.distance2(a.flip(0), b.flip(0), 1.5), currents.distance2(a, b, 1.5))
    close(currents.distance2(a, a.flip(0), 1.5), 4 * currents.norm2(a, 1.5), atol=1e-10)


@given(seeds)
def test_polarisation(seed):
    """|a - b|² + |a + b|² = 2 |a|² + 2 |b|², with -b the flipped b."""
    a, b = points(6, seed=seed), points(5, seed=seed + 1)
    both = currents.distance2(a, b, 1.5) + currents.distance2(a, b.flip(0), 1.5)
    close(both, 2 * (currents.norm2(a, 1.5) + currents.norm2(b, 1.5)), atol=1e-10)


@given(seeds)
def test_a_distance(seed):
    a, b, c = (points(5, seed=seed + i) for i in range(3))
    ab, bc, ac = (currents.distance2(*pair, 1.5).sqrt() for pair in ((a, b), (b, c), (a, c)))
    assert ac <= ab + bc + 1e-12
    close(currents.distance2(b, a, 1.5), ab**2, atol=1e-10)
    close(currents.distance2(a, a, 1.5), 0.0)


@given(seeds, st.floats(0, 6.3), st.floats(0.2, 5))
def test_similarities_of_the_plane(seed, angle, scale):
    a, b = points(6, seed=seed), points(5, seed=seed + 1)
    c, s = math.cos(angle), math.sin(angle)
    for turn in ([[c, s], [-s, c]], [[c, s], [s, -c]]):  # a rotation, a reflection
        moved = [scale * x @ torch.tensor(turn, dtype=torch.float64) + 10 for x in (a, b)]
        before, after = currents.distance2(a, b, 1.5), currents.distance2(*moved, 1.5 * scale)
        torch.testing.assert_close(after, scale**2 * before, rtol=1e-10, atol=1e-10)


def test_wiggles_finer_than_sigma_are_not_seen():
    t = torch.linspace(0, 3, 601, dtype=torch.float64)
    straight, wiggly = (torch.stack([t, h * torch.sin(80 * t)], -1) for h in (0.0, 0.05))
    length = wiggly.diff(dim=0).norm(dim=-1).sum()
    assert length > 2.5 * 3
    assert currents.distance2(straight, wiggly, 1.0) < 1e-3 * currents.norm2(straight, 1.0)
    assert currents.distance2(straight, wiggly, 0.02) > currents.norm2(straight, 0.02)


def test_gradients():
    a, b = points(2, 4).requires_grad_(), points(2, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: currents.distance2(a, b, 1.5, True), (a, b))
    assert torch.autograd.gradgradcheck(lambda a, b: currents.distance2(a, b, 1.5, True), (a, b))


def test_single_precision_far_from_the_origin():
    a, b = points(20, spread=10), points(20, seed=1, spread=10)
    exact = currents.distance2(a, b, 5.0)
    far = currents.distance2((a + 1000).float(), (b + 1000).float(), 5.0)
    assert abs(far.item() - exact.item()) < 1e-4 * exact.item()


# --- curves --------------------------------------------------------------------------


def test_curves_are_each_as_if_alone():
    sigma = [1.0, 2.0, 3.0, 0.5]
    a, b = face(2, seed=1), face(2, seed=2)
    norm, distance = currents.norm2(a, sigma), currents.distance2(a, b, sigma)
    assert norm.shape == (2, 4)
    for c, i in enumerate(a.indices):
        x, y, closed = a.points[:, list(i)], b.points[:, list(i)], CLOSED[c]
        close(norm[:, c], currents.norm2(x, sigma[c], closed) if len(i) > 1 else torch.zeros(2))
        close(distance[:, c], currents.distance2(x, y, sigma[c], closed) if len(i) > 1 else torch.zeros(2))
    close(currents.norm2(a, 2.0), currents.norm2(a, [2.0] * 4), atol=0)


def test_curves_of_different_lengths_are_compared():
    a = Curves(wave(10), [range(11)])
    b = Curves(wave(20), [range(21)])
    assert 0 < currents.distance2(a, b, 0.8).item() < 1e-2
    two = Curves(points(5), [slice(0, 3), slice(3, 5)])
    refused("needed as many curves, got 1 and 2", currents.distance2, a, two, 0.8)


# --- equation 5 ----------------------------------------------------------------------


def test_landmarks_by_hand_and_their_gradient():
    y = points(3, 5)
    z = y.clone()
    z[:, 0] += torch.tensor([3.0, 4.0])
    z.requires_grad_()
    value = currents.landmark_discrepancy(z, y)
    close(value, torch.ones(3))
    value.sum().backward()
    close(z.grad[:, 0], [[0.12, 0.16]] * 3)
    assert not z.grad[:, 1:].any()  # 0 where z = y, not NaN


def test_unlabelled_landmarks_do_not_count():
    z, y = points(2, 5, seed=1).requires_grad_(), points(2, 5)
    y[0, 1], y[0, 3, 0], y[1] = math.nan, math.nan, math.nan
    value = currents.landmark_discrepancy(z, y)
    close(value[0], currents.landmark_discrepancy(z[0, [0, 2, 4]], y[0, [0, 2, 4]]))
    assert value[1] == 0
    value.sum().backward()
    assert torch.equal(z.grad.abs().sum(-1) > 0, ~y.isnan().any(-1))


def test_landmarks_of_curves_are_averaged_over_each_curve():
    z, y = face(2, seed=1), face(2)
    each = currents.landmark_discrepancy(z, y)
    assert each.shape == (2, len(z.slices))
    for p, i in enumerate(z.indices):
        distances = [(z.points[:, k] - y.points[:, k]).norm(dim=-1) for k in i]
        close(each[:, p], sum(distances) / len(i))
    close(currents.landmark_discrepancy(z, y.points), each)
    missing = y.points.clone()
    missing[0, z.indices[0][0]] = math.nan
    missing[1, list(z.indices[1])] = math.nan
    close(
        currents.landmark_discrepancy(z, missing)[0, 0],
        currents.landmark_discrepancy(z.points[0, list(z.indices[0][1:])], y.points[0, list(z.indices[0][1:])]),
    )
    assert currents.landmark_discrepancy(z, missing)[1, 1] == 0
    refused("needed the same points in each curve", currents.landmark_discrepancy, z, Curves(y.points, [range(13)]))
    refused("two tensors or two Curves", currents.landmark_discrepancy, z.points, y, error=TypeError)


def test_landmark_gradient_by_finite_differences():
    z = points(2, 5, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: currents.landmark_discrepancy(z, points(2, 5)), z)


@pytest.mark.parametrize(
    "function", [lambda a, b: unwrap(currents.distance2)(a, b, 1.0), currents.landmark_discrepancy]
)
def test_pairs_that_do_not_fit(function):
    a = points(2, 5)
    refused("one dtype and device", function, a, a.float())
    refused("the same batch axes", function, a, a[0])
    refused("needed finite", function, a.log(), a)
    refused("needed two tensors or two Curves", currents.distance2, a, face(2), 1.0, error=TypeError)
    refused("z, y: needed one shape", currents.landmark_discrepancy, a, a[:, :4])
