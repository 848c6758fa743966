import math

import pytest
import torch

from lddmmlib.experiments import transport_growth


def apart(d, sigma=1.5):
    return transport_growth.maps(torch.tensor([[30.0, 30.0], [30.0 + d, 30.0]], dtype=torch.float64), sigma)


def test_l2_is_its_closed_form():
    """Σ (u - v)² of two Gaussians is (1 - exp(-d²/4σ²)) / 2πσ², where the grid is fine enough."""
    for d in (0.0, 0.7, 2.0, 5.0):
        want = (1 - math.exp(-(d**2) / (4 * 1.5**2))) / (2 * math.pi * 1.5**2)
        assert transport_growth.l2(*apart(d)).item() == pytest.approx(want, abs=1e-7)


def test_jensen_shannon_ends_at_log_2():
    assert transport_growth.jensen_shannon(*apart(0.0)).item() == pytest.approx(0.0, abs=1e-12)
    assert transport_growth.jensen_shannon(*apart(25.0)).item() == pytest.approx(math.log(2), abs=1e-9)
    u, v = torch.tensor([[[0.25, 0.75]], [[0.75, 0.25]]], dtype=torch.float64)
    want = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert transport_growth.jensen_shannon(u, v).item() == pytest.approx(want)
    value, slope = transport_growth.growth("JS", 1.0, 24.0, n=4)  # cells underflow
    assert value.isfinite().all()
    assert slope.isfinite().all()


@pytest.mark.parametrize("loss", ["L2", "JS", "W, eps 2"])
def test_the_slope_is_that_of_the_value(loss):
    _, slope = transport_growth.growth(loss, 1.5, 3.0, n=4)
    ahead, behind = (transport_growth.growth(loss, 1.5, 3.0 + step, n=4)[0] for step in (0.05, -0.05))
    torch.testing.assert_close(slope, (ahead - behind) / 0.1, rtol=2e-3, atol=1e-4)
    middle, direction = transport_growth.places(4)
    torch.testing.assert_close(direction.norm(dim=1), torch.ones(4, dtype=torch.float64))
    assert (middle - 31.5).abs().max() <= 2


def test_only_the_distance_that_travels_keeps_growing():
    """The paper's figure 4, and what is recorded of it."""
    slopes = {name: transport_growth.growth(name, 1.5, 24.0, n=3)[1] for name in ("L2", "JS", "W, eps 2", "W1")}
    assert max(slopes["L2"].abs().max(), slopes["JS"].abs().max()) < 1e-6
    assert min(slopes["W, eps 2"].min(), slopes["W1"].min()) > 0.9


@pytest.mark.parametrize(("swapped", "verdict"), [(False, "holds"), (True, "contradicted")])
def test_the_verdict_is_on_the_share_of_the_slope(monkeypatch, swapped, verdict):
    l2, travel = transport_growth.LOSSES["L2"], transport_growth.LOSSES["W, eps 2"]
    losses = {"L2": travel, "W, eps 2": l2} if swapped else {"L2": l2, "W, eps 2": travel}
    for name, value in (("LOSSES", losses), ("SIGMAS", (1.5,)), ("DISTANCES", (2, 8, 16))):
        monkeypatch.setattr(transport_growth, name, value)
    _, shares = transport_growth.growth_table()
    assert {name: len(each) for name, each in shares.items()} == {"sigma 1.5, L2": 32, "sigma 1.5, W, eps 2": 32}
    told = transport_growth.judge({name: each.numpy() for name, each in shares.items()})
    (row,) = told["E8"]["synthetic"].values()
    assert (row["verdict"], row["primary"]) == (verdict, True)
    assert row["low"] <= row["difference"] <= row["high"]
    assert abs(row["difference"]) == pytest.approx(1, abs=0.1)


def test_bias_and_ways_are_measured_against_whole_shifts(monkeypatch):
    monkeypatch.setattr(transport_growth, "EPSILONS", (2.0,))
    monkeypatch.setattr(transport_growth, "WAYS", ((12, 12),))
    monkeypatch.setattr(transport_growth, "SIGMAS", (1.5,))
    rows = transport_growth.bias_table()
    assert [row["length"] for row in rows] == [0, 1, 3, 5, 15]
    assert all(0 < row["cost"] <= row["value"] for row in rows)
    assert abs(rows[0]["debiased"]) < 1e-3 < abs(rows[2]["debiased"])
    for row in transport_growth.way_table():  # between Gaussians that the grid's edge hardly cuts
        assert all(-1 < x < 0.01 for x in row["below_percent"].values())
        assert all(-0.01 < x < 2 for x in row["above_percent"].values())  # 1 where it converged
