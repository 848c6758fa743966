"""The sweep of what paper E leaves open, run small."""

import pytest
import torch

from lddmmlib.experiments import _record, wasserstein, wasserstein_choices


def test_every_choice_is_measured_and_its_defaults_are_among_them(monkeypatch, tmp_path):
    monkeypatch.setattr(_record, "RUNS", tmp_path)
    kinds = {}
    for what, value, learner, loss, rate in wasserstein_choices.choices(64):
        kinds.setdefault(what, []).append((value, learner, loss, rate))
    assert f"{wasserstein.EPS * wasserstein.cells(64):g}" in [value for value, *_ in kinds["eps of W, cells"]]
    assert all(wasserstein.RATES[some[0][1].loss] in wasserstein_choices.TRIED for some in kinds.values())
    few = [kinds["normalisation of W"][1], kinds["rate of soft"][0]]
    monkeypatch.setattr(wasserstein_choices, "choices", lambda side: [("some", *each) for each in few])
    told = wasserstein_choices.measure(wasserstein.SIZES["smoke"], faces=4, held_out=3, epochs=1, batches=3)
    assert told["steps"] == 1
    assert all(set(row) == {"max", "bc"} for row in told["nme_percent"]["some"].values())
    assert told["endurance"] == {"batches": 3, "maps_a_batch": 16, "not_finite": 0}


def test_what_is_not_finite_is_counted(monkeypatch):
    def wrong(maps, target, eps):
        return maps.sum((-2, -1)) * torch.tensor([torch.nan] + 15 * [1.0])

    monkeypatch.setattr(wasserstein_choices.method, "distance", wrong)
    assert wasserstein_choices.endurance(2)["not_finite"] == 2 * (1 + 256)
    assert wasserstein_choices.endurance(0)["not_finite"] == pytest.approx(0)
