"""What every chapter leans on: one seed, honest checks of answers, results with their source."""

import re

import matplotlib
import pytest
import torch

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


@pytest.mark.parametrize(
    ("answer", "expected", "said"),
    [
        (..., torch.zeros(2), "Not yet"),
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0]), "Right"),
        (3, 3.0, "Right"),
        (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("nan")]), "Right"),
        (torch.tensor([1.0, 2.5]), torch.tensor([1.0, 2.0]), r"expected 2, got 2.5 at \(1,\)"),
        (torch.tensor([[1.0, float("nan")]]), torch.tensor([[1.0, 2.0]]), r"got nan at \(0, 1\)"),
        (torch.zeros(3), torch.zeros(2), r"expected shape \(2,\), got \(3,\)"),
    ],
)
def test_an_answer_is_judged(answer, expected, said, capsys):
    notebook.check(answer, expected)
    assert re.search(said, capsys.readouterr().out)


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


def test_a_result_that_was_never_recorded_is_refused():
    with pytest.raises(ValueError, match="annotator_agreement"):
        notebook.result("nothing")
