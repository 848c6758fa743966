import math

import pytest
import torch

from lddmmlib import heatmaps
from lddmmlib.experiments import heatmap_table


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_round_trip_has_the_known_means():
    points = heatmap_table.random_points(1000)
    assert points.amin() > 15
    assert points.amax() < 48
    clean = {r: heatmap_table.round_trip(points, r, 2.0, 0.0) for r in heatmaps.ROUNDINGS}
    square = (math.sqrt(2) + math.asinh(1)) / 3  # mean distance to the corner of a unit square
    for (rounding, decoder), want in {
        ("floor", "argmax"): square,
        ("round", "taylor"): square / 2,
        ("none", "quarter"): square / 4,
        ("none", "taylor"): 0.0,
    }.items():
        assert clean[rounding][decoder].mean().item() == pytest.approx(want, abs=0.03)
    low = clean["none"]["local_soft, density"].mean()
    assert clean["none"]["local_soft, best tau"].mean() <= clean["none"]["local_soft"].mean() < 0.02 < 0.3 < low


def test_noise_is_relative_and_hurts():
    points = heatmap_table.random_points(200)
    clean, noisy = (heatmap_table.round_trip(points, "none", 2.0, noise) for noise in (0.0, 0.1))
    for name in ("taylor", "taylor, blurred", "barycentre"):
        assert noisy[name].mean() > clean[name].mean() + 0.05, name
    assert noisy["taylor, blurred"].mean() < noisy["taylor"].mean()


def test_crops_are_the_papers():
    shapes = heatmap_table.in_crops(300 + 80 * normal(5, 68, 2))
    size = shapes.amax(-2) - shapes.amin(-2)
    torch.testing.assert_close(size.amax(-1), torch.full((5,), 220.0, dtype=torch.float64))
    torch.testing.assert_close((shapes.amax(-2) + shapes.amin(-2)) / 2, torch.full((5, 2), 127.5, dtype=torch.float64))


def test_perfect_networks_are_scored_in_the_image(monkeypatch):
    """Rounding to cells of 4 px costs 4 times the mean of a cell, over the eye corners' distance."""
    monkeypatch.setattr(heatmap_table, "AT_ONCE", 15)
    shapes = 300 + 80 * normal(20, 68, 2)
    shapes[:, 36] = 300 + 10 * normal(20, 2, seed=1) - 90
    shapes[:, 45] = 300 + 10 * normal(20, 2, seed=2) + 90
    errors = heatmap_table.real_errors(shapes)
    got = heatmap_table.real_part(errors)
    inside = heatmap_table.in_crops(shapes)
    corners = (inside[:, 36] - inside[:, 45]).norm(dim=-1)
    want = 100 * 4 * (math.sqrt(2) + math.asinh(1)) / 6 * (1 / corners).mean().item()
    for sigma in ("sigma 1", "sigma 2"):
        nme = got["nme_percent"][sigma]
        assert nme["round"]["argmax"]["value"] == pytest.approx(want, rel=0.05)
        assert nme["floor"]["argmax"]["value"] == pytest.approx(2 * want, rel=0.05)
        low, high = got["saved_percent"][sigma]["one"]["interval"]
        assert 0 < low < nme["round"]["quarter"]["value"] - nme["none"]["local_soft"]["value"] < high
    assert got["count"] == 20
    assert got["left_of_standard"]["sigma 2"]["one"] < 0.05 < got["left_of_standard"]["sigma 2"]["density"]


def test_verdicts_are_by_height_of_the_peak(monkeypatch):
    """Peaks of 1 leave less than a tenth of what rounding costs; by the density, on random points, more."""
    monkeypatch.setattr(heatmap_table, "POINTS", 150)
    shapes = 300 + 80 * normal(20, 68, 2)
    errors = heatmap_table.errors_part(heatmap_table.real_errors(shapes))
    told = heatmap_table.judge({name: each.numpy() for name, each in errors.items()})["C1"]
    assert {kind: len(each) for kind, each in told.items()} == {"synthetic": 20, "real": 12}
    primary = {kind: [what for what, row in each.items() if row["primary"]] for kind, each in told.items()}
    assert all(len(each) == 4 and all("σ 2" in what for what in each) for each in primary.values())
    assert not any("noise 0.1" in what or "argmax" in what for what in primary["synthetic"])
    clean = "σ 2, noise 0, cells, peak {}, against {}"
    for rival in ("round and quarter", "a tenth of that", "round and argmax", "floor and argmax"):
        assert told["synthetic"][clean.format("one", rival)]["verdict"] == "holds"
    assert told["synthetic"][clean.format("density", "a tenth of that")]["verdict"] == "contradicted"
    points = heatmap_table.random_points(150)
    ours, standard = (heatmap_table.round_trip(points, r, 2.0, 0.0)[d].mean()
                      for r, d in (("none", "local_soft"), ("round", "quarter")))  # fmt: skip
    row = told["synthetic"][clean.format("one", "round and quarter")]
    assert row["difference"] == pytest.approx((ours - standard).item(), abs=1e-4)
    assert told["real"]["σ 2, NME in %, peak one, against a tenth of that"]["verdict"] == "holds"
