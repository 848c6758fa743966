"""Gaussian kernels and their sums against loops, finite differences and one another."""

import math
from inspect import unwrap

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from lddmmlib import kernels
from tests.helpers import refused

seeds = st.integers(0, 10_000)


def points(*shape, seed=0, spread=2.0):
    return spread * torch.randn(*shape, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a, b, atol=1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def test_there_is_no_half_in_the_exponent():
    a, b = points(5), points(7, seed=1)
    expected = [[math.exp(-(math.dist(x, y) ** 2) / 3.0**2) for y in b.tolist()] for x in a.tolist()]
    close(kernels.gaussian(a, b, 3.0), torch.tensor(expected, dtype=torch.float64))
    close(kernels.gaussian(a, b, 3.0), torch.from_numpy(cdist(a, b, "sqeuclidean")).div(-9.0).exp())


@given(seeds)
def test_symmetric_and_positive_definite(seed):
    a = points(6, seed=seed)
    K = kernels.gaussian(a, a, 1.0)
    close(K, K.mT, atol=0)
    close(K.diagonal(), torch.ones(6, dtype=torch.float64), atol=0)
    assert torch.linalg.eigvalsh(K).min() > -1e-14


@pytest.mark.parametrize(("n", "m", "k"), [(5, 7, 2), (1, 4, 1), (4, 1, 6), (3, 3, 3)])
def test_product_is_the_matrix_product(n, m, k):
    a, b, f = points(2, 3, n), points(2, 3, m, seed=1), torch.randn(2, 3, m, k, dtype=torch.float64)
    close(kernels.product(a, b, f, 1.5), kernels.gaussian(a, b, 1.5) @ f)


def test_gradients_of_both_versions_agree():
    inputs = [points(2, 6), points(2, 5, seed=1), points(2, 5, seed=2)]

    def gradient(function):
        leaves = [x.clone().requires_grad_() for x in inputs]
        function(*leaves).pow(3).sum().backward()
        return [x.grad for x in leaves]

    read = gradient(lambda a, b, f: kernels.gaussian(a, b, 1.5) @ f)
    for one, other in zip(read, gradient(lambda a, b, f: kernels.product(a, b, f, 1.5)), strict=True):
        close(one, other)


def test_first_and_second_derivatives_by_finite_differences():
    inputs = [x.requires_grad_() for x in (points(2, 3), points(2, 4, seed=1), points(2, 4, seed=2))]
    assert torch.autograd.gradcheck(lambda *x: kernels.product(*x, 1.5), inputs)
    assert torch.autograd.gradgradcheck(lambda *x: kernels.product(*x, 1.5), inputs)
    same = points(4).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: kernels.product(a, a, a, 1.5), same)


def test_nothing_of_size_n_by_m_is_kept_for_the_gradient():
    a, f, kept = points(300).requires_grad_(), points(300).requires_grad_(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        kernels.product(a, a, f, 1.5)
        assert max(kept) <= 2 * 300
        kernels.gaussian(a, a, 1.5)
        assert max(kept) >= 300 * 300  # which the plain version does


@given(seeds, st.floats(0.1, 10), st.floats(0, 6.3))
def test_similarities_of_the_plane(seed, scale, angle):
    a, b, f = points(4, seed=seed), points(5, seed=seed + 1), points(5, seed=seed + 2)
    c, s = math.cos(angle), math.sin(angle)
    turn = scale * torch.tensor([[c, s], [-s, c]], dtype=torch.float64)
    moved = [x @ turn + torch.tensor([3.0, -7.0]) for x in (a, b)]
    close(kernels.product(*moved, f, 2.0 * scale), kernels.product(a, b, f, 2.0), atol=1e-10)


def test_single_precision_keeps_five_digits():
    a, f = points(68, spread=1.0).float(), points(68, seed=1).float()
    exact = kernels.product(a.double(), a.double(), f.double(), 0.5)
    assert kernels.product(a, a, f, 0.5).dtype == torch.float32
    torch.testing.assert_close(kernels.product(a, a, f, 0.5).double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("function", [kernels.gaussian, lambda a, b, s: unwrap(kernels.product)(a, b, b, s)])
def test_input_that_does_not_fit(function):
    a, b = points(2, 3), points(2, 4, seed=1)
    for bad in (0.0, -1.0, math.nan, math.inf):
        refused("sigma: needed a number > 0", function, a, b, bad)
    refused(r"a, b: needed the same batch axes, got \(2,\) and \(\)", function, a, b[0], 1.0)
    refused("a, b: needed one dtype and device, got torch.float64.*torch.float32", function, a, b.float(), 1.0)
    refused("b: needed finite coordinates, got nan", function, a, b.clone().fill_(math.nan), 1.0)
    refused("a: needed floating-point", function, a.long(), b, 1.0, error=TypeError)
    refused("a: needed points of shape", function, a[..., :1], b, 1.0)


def test_vectors_that_do_not_fit():
    a, b = points(2, 3), points(2, 4, seed=1)
    refused(
        r"f: needed \(2, 4\) rows of torch.float64 on cpu, like b; got shape \(2, 3, 2\)", kernels.product, a, b, a, 1.0
    )
    refused("got shape .* of torch.float32", kernels.product, a, b, b.float(), 1.0)
