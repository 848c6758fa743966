"""What every chapter leans on: one seed, honest checks of answers, results with their source."""

import re

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lddmmlib import notebook


@pytest.fixture(autouse=True)
def same_style():
    with matplotlib.rc_context():
        yield


def test_the_seed_is_the_generators_and_nobody_elses():
    before = torch.random.get_rng_state()
    a, b, c = (torch.rand(3, generator=notebook.start(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(torch.random.get_rng_state(), before)


THREE = torch.tensor([2.0, -1.0, 0.0])


@pytest.mark.parametrize(
    ("answer", "expected", "said"),
    [
        (..., torch.zeros(2), "Not yet: put your answer where the ... stands."),
        ([1.0, ...], torch.zeros(2), "Not yet: put your answer where the ... stands."),
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0]), "Right."),
        (np.float32(3), 3.0, "Right."),
        (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("nan")]), "Right."),
        (torch.tensor([1.0], requires_grad=True), torch.ones(1), "Right."),
        (2.5, 2.0, "Not quite: it is too large."),
        (200, 2.0, "Not quite: it is far too large."),
        (0.1, 2.0, "Not quite: it is far too small."),
        (-2.0, 2.0, "Not quite: it has the wrong sign."),
        (float("inf"), 2.0, "Not quite: it is not a finite number."),
        ([2.0, 1.0, 0.0], THREE, "Not quite: the first is right; number 2 has the wrong sign."),
        ([2.0, -1.0, 3.0], THREE, "Not quite: the first 2 are right; number 3 is far too large."),
        ([3.0, 0.0, 0.0], THREE, "Not quite: number 1 is too large."),
        ([2.0, -1.0], THREE, "Not quite: 3 numbers needed, got shape (2,)."),
        (2.0, THREE, "Not quite: 3 numbers needed, got one number."),
        ([1.0, 2.0], 3.0, "Not quite: one number needed, got shape (2,)."),
        (torch.zeros(2, 3), torch.zeros(3, 2), "Not quite: shape (3, 2) needed, got shape (2, 3)."),
        ("two", 2.0, "Not quite: one number needed, and str does not convert to that."),
        (None, 2.0, "Not quite: one number needed, and NoneType does not convert to that."),
        ([[1.0], [2.0, 3.0]], torch.zeros(2, 2), "Not quite: shape (2, 2) needed, and list does not convert to that."),
        (print, 2.0, "Not quite: one number needed, and builtin_function_or_method does not convert to that."),
    ],
)
def test_an_answer_is_judged(answer, expected, said, capsys):
    notebook.check(answer, expected)
    assert capsys.readouterr().out == said + "\n"


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_wrong_answer_does_not_give_the_right_one_away(answer, expected):
    said = notebook._verdict(answer, expected, 1e-6)
    assert said == "Right." or not re.search(r"\d", said)


def test_the_tolerance_counts(capsys):
    notebook.check(1.001, 1.0, tolerance=1e-2)
    notebook.check(1.001, 1.0, tolerance=1e-4)
    assert [line.split()[0:2] for line in capsys.readouterr().out.splitlines()] == [["Right."], ["Not", "quite:"]]


def test_results_come_with_their_source(capsys):
    figures = notebook.result("nme_curve_floor")
    out = capsys.readouterr().out
    assert figures["landmarks"] == 46
    assert "300-W" in out
    assert "commit" in out


def test_runs_are_told_scale_by_scale(capsys, monkeypatch, tmp_path):
    for name in ("trained.full", "trained.notebook"):
        source = (notebook._record.RESULTS / "nme_curve_floor.json").read_text(encoding="utf-8")
        (tmp_path / f"{name}.json").write_text(source.replace("46", "47" if "full" in name else "46"), encoding="utf-8")
    monkeypatch.setattr(notebook._record, "RESULTS", tmp_path)
    runs = notebook.recorded("trained")
    assert list(runs) == ["full", "workstation", "notebook"]
    assert [figures.get("landmarks") for figures in runs.values()] == [47, None, 46]
    out = capsys.readouterr().out
    assert "workstation: not run yet" in out
    assert "full: not" not in out
    assert notebook.recorded("trained", "workstation") == {"workstation": {}}


def test_a_result_that_was_never_recorded_is_refused():
    with pytest.raises(ValueError, match="annotator_agreement"):
        notebook.result("nothing")
