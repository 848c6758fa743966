"""The computations behind the chapters 20 and 21, on made-up faces."""

import numpy as np
import pytest
import torch

from lddmmlib.experiments import sparse_completion as run
from lddmmlib.faces import statistics


def made_up(n, noise=0.0):
    """Faces of 68 points whose odd landmarks are the mean of the two even ones around them, and noise."""
    generator = torch.Generator().manual_seed(0)
    x = 80 * statistics.sample(statistics.real_300w(), n, generator)
    x[:, 1:67:2] = (x[:, 0:66:2] + x[:, 2:68:2]) / 2
    x[:, 67] = x[:, 66]
    return x + noise * torch.randn(x.shape, generator=generator, dtype=x.dtype)


def test_what_is_exactly_told_costs_nothing_and_takes_two():
    x = made_up(120)
    error, told = run.by_budget(x[:60], x[60:], 1.0)
    assert error.shape == (60,)
    assert error.max() < 1e-4
    assert told["chosen"] == pytest.approx((33 * 2 + 1) / 34, abs=0.1)
    assert told["norm1"] == pytest.approx(1, abs=1e-6)
    assert told["negative"] == pytest.approx(0, abs=1e-6)
    assert told["sum_least"] == pytest.approx(1, abs=1e-6)


def test_the_rows_of_a_matrix():
    h = torch.tensor([[0.5, 0.5, 0.0], [1.5, 0.0, -0.5]])
    told = run.of_rows(h, torch.tensor([[1.0, 3.0, 9.0], [2.0, 9.0, 4.0]]))
    assert told == {
        "chosen": 2.0,
        "distance": pytest.approx((2 + 2.5) / 2),
        "norm1": 1.5,
        "negative": 0.25,
        "sum_least": 1.0,
        "sum_most": 1.0,
    }


def test_completion_of_made_up_faces(monkeypatch):
    monkeypatch.setattr(run, "real_shapes", lambda: made_up(100, noise=1.0))
    monkeypatch.setattr(run, "FACES", (30, 50))
    got = run.sparse_completion()
    assert got["measured_on"] == 50
    for row in got["by_faces"].values():
        assert row["inf"]["minus_no_budget"]["value"] == 0
        assert row["1.0"]["norm1"] <= 1 + 1e-9
        low, high = row["1.4"]["error_percent"]["interval"]
        assert low < row["1.4"]["error_percent"]["value"] < high
        assert row["1.0"]["error_percent"]["value"] < row["inf"]["error_percent"]["value"]  # 30 and 50 faces: noise


def test_a_budget_is_judged_by_the_same_faces_without_one():
    rng = np.random.default_rng(0)
    errors = {f"{n}, {tau}": rng.normal(2, 0.1, 200) for n in run.FACES for tau in run.TAUS}
    errors["30, 1.4"] = errors["30, inf"] - rng.uniform(0.1, 0.3, 200)
    errors["1400, 1.0"] = errors["1400, inf"] + rng.uniform(0.1, 0.3, 200)
    told = run.judge(errors)["B4"]["real"]
    verdicts = {what[len("error, H of ") :].split(" against")[0]: row["verdict"] for what, row in told.items()}
    assert verdicts["30 annotated faces, tau 1.4"] == "holds"
    assert verdicts["1400 annotated faces, tau 1.0"] == "contradicted"
    assert not any(row["primary"] for row in told.values())


def test_paths_beside_scikit_learns_in_two_units(monkeypatch):
    monkeypatch.setattr(run, "real_shapes", lambda: made_up(300, noise=1.0))
    got = run.lars_knots()
    assert got["pixel"]["short"] == 0
    assert got["pixel"]["difference"] < 1e-6
    assert got["300_pixels"]["difference"] < 1e-6
    assert got["knots_least"] >= 35
    assert got["drops"] >= 0
    x = torch.ones(100, 1, dtype=torch.float64) * 1e-4  # λ starts at 1e-8 a row: below the absolute stop
    assert run.beside_scikit_learn(x, x).short == 1
