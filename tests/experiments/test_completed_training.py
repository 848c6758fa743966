"""The experiment on completing what faces lack while a network is trained, run small."""

import json

import torch

from lddmmlib.experiments import _record, _runs, completed_training
from lddmmlib.faces import synthetic


def test_a_small_run_end_to_end(monkeypatch, tmp_path):
    monkeypatch.setattr(_record, "RUNS", tmp_path / "runs")
    matrix = completed_training.EXPERIMENTS["completed_training"]
    for task in _runs.tasks("completed_training", matrix, "smoke"):
        _runs.perform(task, results=tmp_path)
    path = _runs.judge("completed_training", matrix, "smoke", tmp_path)
    told = json.loads(path.read_text(encoding="utf-8"))["figures"]
    assert told["steps"] == 6
    assert told["nme_percent"]["held out"].keys() == {
        f"{name}, {n}" for name in ("completed", "separate") for n in ("91", "68", "29")
    }


def test_each_half_labels_its_own_points_and_six_are_common():
    assert (completed_training.FEW & completed_training.MANY).sum() == 6
    assert (completed_training.FEW | completed_training.MANY).all()
    many, few = (synthetic.sample(3, scheme=scheme).landmarks for scheme in ("300w-68", "cofw-29"))
    union = completed_training.joined(many, few)
    assert torch.equal(union[list(completed_training.SAME_IN_68)], few[list(completed_training.SAME_IN_29)])
    data = completed_training.Union(torch.zeros(2, 3, 128, 128).byte(), union.expand(2, -1, -1),
                                    torch.tensor([False, True]), whole=False)  # fmt: skip
    assert [int((~crop.landmarks.isnan().any(-1)).sum()) for crop in (data[0], data[1])] == [68, 29]
