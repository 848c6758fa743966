"""The sweep of what paper E leaves open, run small."""

import json

import torch

from lddmmlib.experiments import _record, _runs, wasserstein, wasserstein_choices


def test_a_small_run_end_to_end(monkeypatch, tmp_path):
    monkeypatch.setattr(_record, "RUNS", tmp_path / "runs")
    matrix = wasserstein_choices.EXPERIMENTS["wasserstein_choices"]
    for task in _runs.tasks("wasserstein_choices", matrix, "smoke"):
        _runs.perform(task, results=tmp_path)
    path = _runs.judge("wasserstein_choices", matrix, "smoke", tmp_path)
    told = json.loads(path.read_text(encoding="utf-8"))["figures"]
    assert told["nme_percent"]["softplus tau 1"].keys() == {"max", "bc"}
    assert told["figures"] == {
        "softplus tau 1": {"steps": 1},
        "endurance": {"batches": 3, "maps_a_batch": 16, "not_finite": 0},
    }


def test_the_choices_contain_those_of_the_matrix_and_differ():
    found = wasserstein_choices.choices()
    assert {f"eps {wasserstein.EPS:g} of 64", f"weight {wasserstein.WEIGHT:g}"} <= found.keys()
    assert {choice.rate for choice in found.values()} >= set(wasserstein.RATES.values())
    assert len({(str(c.learner), str(c.loss.keywords), c.loss.func, c.rate) for c in found.values()}) == len(found)


def test_what_is_not_finite_is_counted(monkeypatch):
    def wrong(maps, target, eps):
        return maps.sum((-2, -1)) * torch.tensor([torch.nan] + 15 * [1.0])

    monkeypatch.setattr(wasserstein_choices.method, "distance", wrong)
    assert wasserstein_choices.endurance(2)["not_finite"] == 2 * (1 + 256)
