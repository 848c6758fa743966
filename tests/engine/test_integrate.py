"""One step from a table, and the velocities of flows for sigma = 1, against what they stand for."""

import math

import pytest
import torch

from lddmmlib import flows
from lddmmlib._engine import integrate, pairs
from lddmmlib._engine.integrate import GeodesicVelocity, units_of
from lddmmlib.curves import Curves

ORDERS = {"euler": 1, "rk2": 2, "rk4": 4}


def points(*shape, seed=0, spread=1.5):
    return spread * torch.randn(*shape, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a, b, atol=1e-12):
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype), rtol=0, atol=atol)


def taylor(u, order):
    return sum(u**k / math.factorial(k) for k in range(order + 1))


def test_every_method_has_an_order_here():
    assert ORDERS.keys() == integrate.METHODS.keys() == integrate.REACH.keys()
    for stages, weights in integrate.METHODS.values():
        assert len(stages) == len(weights)
        assert stages[0] == 0
        assert sum(weights) == pytest.approx(1)


@pytest.mark.parametrize(("method", "order"), ORDERS.items())
def test_of_exponential_growth_a_step_is_the_taylor_polynomial(method, order):
    y, z = points(3), points(2, seed=1)
    for u in (0.3, -2.0):
        a, b = integrate.step(method, lambda y, z, u=u: (2 * u * y, 2 * u * z), (y, z), 0.5)
        close(a, taylor(u, order) * y)
        close(b, taylor(u, order) * z)


@pytest.mark.parametrize(("method", "order"), ORDERS.items())
def test_below_its_reach_a_step_is_a_contraction(method, order):
    assert 1 - 1e-4 < taylor(integrate.REACH[method], order) - 1 <= 1 + 1e-12


def test_the_version_that_shoots_is_the_version_to_read(monkeypatch):
    s = torch.cat([points(2, 9), points(2, 9, seed=1)], -1).requires_grad_()
    read = torch.cat(flows.hamilton_equations(s[..., :2], s[..., 2:], 1.0), -1)
    weight = torch.randn(2, 9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for at_once in (pairs.AT_ONCE, 50):
        monkeypatch.setattr(pairs, "AT_ONCE", at_once)
        fast = GeodesicVelocity.apply(s.mT).mT
        close(fast, read)
        gradients = [torch.autograd.grad((weight * x).sum(), s, retain_graph=True)[0] for x in (read, fast)]
        close(*gradients)


def test_derivatives_of_the_right_hand_side_by_finite_differences():
    s = torch.cat([points(4), points(4, seed=1)], -1).mT.requires_grad_()
    assert torch.autograd.gradcheck(GeodesicVelocity.apply, s)
    assert torch.autograd.gradgradcheck(GeodesicVelocity.apply, s)


def test_there_and_back_in_units_of_sigma():
    x, p = points(2, 5), points(2, 5, seed=1)
    units = units_of(x, 1.7)
    close(units.back(units.coordinates(x), x), x)
    close(units.momenta(p).mT * 1.7, p)
    curves = Curves(x, [[0, 3], [4, 1, 2]], coupled=False)
    units = units_of(curves, [1.7, 0.4])
    close(units.back(units.coordinates(x), curves), x)
    q = units.coordinates(x).mT
    close(q[:, 1, 0] - q[:, 1, 2], (x[:, 4] - x[:, 2]) / 0.4)
    assert not units.momenta(p)[:, 0, :, 2].any()  # padding has no momentum
