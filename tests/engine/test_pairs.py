"""Sums over pairs: in blocks as at once, and their derivatives."""

import math

import pytest
import torch

from lddmmlib import kernels, polyharmonic
from lddmmlib._engine import pairs


def points(*shape, seed=0, spread=2.0):
    return spread * torch.randn(*shape, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a, b, atol=1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def rows(n, seed=0, k=2):
    """(2, k, n), in rows."""
    return pairs.to_rows(torch.randn(2, n, k, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


def test_blocks_change_nothing_but_memory(monkeypatch):
    a, b, f = (x.requires_grad_() for x in (points(2, 40), points(2, 30, seed=1), points(2, 30, seed=2)))
    whole = kernels.product(a, b, f, 1.5)
    grads = torch.autograd.grad(whole.square().sum(), (a, b, f))
    sizes = []
    block = pairs.gaussian_block
    monkeypatch.setattr(pairs, "gaussian_block", lambda *x: sizes.append((y := block(*x)).numel()) or y)
    monkeypatch.setattr(pairs, "AT_ONCE", 300)
    blocked = kernels.product(a, b, f, 1.5)
    close(blocked, whole)
    for one, other in zip(torch.autograd.grad(blocked.square().sum(), (a, b, f)), grads, strict=True):
        close(one, other)
    assert max(sizes) <= 300
    assert len(sizes) == 2 * 8


def radial(y, z, omega, order=2):
    return pairs.RadialSum.apply(
        y, z, omega, lambda r2: polyharmonic.phi(r2, order), lambda r2: polyharmonic.slope(r2, order)
    )


@pytest.mark.parametrize("order", polyharmonic.ORDERS)
def test_radial_sums_are_the_matrix_product(order, monkeypatch):
    y, z, omega = rows(9), rows(5, 1), rows(5, 2, k=3)
    r2 = torch.cdist(z.mT, y.mT).square()
    for at_once in (pairs.AT_ONCE, 12):
        monkeypatch.setattr(pairs, "AT_ONCE", at_once)
        close(radial(y, z, omega, order), omega @ polyharmonic.phi(r2, order))


@pytest.mark.parametrize("at_once", [pairs.AT_ONCE, 12])
def test_derivatives_by_finite_differences(at_once, monkeypatch):
    monkeypatch.setattr(pairs, "AT_ONCE", at_once)
    y, z, omega = (x.requires_grad_() for x in (rows(4), rows(3, 1), rows(3, 2)))
    assert torch.autograd.gradcheck(pairs.GaussianSum.apply, (y, z, omega))
    assert torch.autograd.gradgradcheck(pairs.GaussianSum.apply, (y, z, omega))
    assert torch.autograd.gradcheck(radial, (y, z, omega))


def test_blocks_are_all_points_in_order_and_hold_no_more_than_said(monkeypatch):
    b, a = rows(7), rows(23, 1)
    for at_once, largest in ((pairs.AT_ONCE, 23), (60, 4), (1, 1)):
        monkeypatch.setattr(pairs, "AT_ONCE", at_once)
        blocks = [x for (x,) in pairs.row_blocks(b, a)]
        assert max(x.shape[-1] for x in blocks) == largest
        close(pairs.concatenated(blocks), a, atol=0)


def test_squared_distances_of_what_is_far_from_the_origin_keep_their_digits():
    a = 1e8 + torch.tensor([[[0.0, 1.0], [0.0, 1.0]]], dtype=torch.float64)
    close(pairs.squared_distances(a, a), torch.tensor([[[0.0, 2.0], [2.0, 0.0]]], dtype=torch.float64), atol=0)
    near = math.exp(-2.0)
    close(pairs.gaussian_block(a, a), torch.tensor([[[1.0, near], [near, 1.0]]], dtype=torch.float64))
