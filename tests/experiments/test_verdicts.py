from inspect import unwrap

import numpy as np
import pytest
import torch
from scipy import stats

from lddmmlib.experiments import _verdicts


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_interval_of_one_seed_is_scipys_paired_bootstrap():
    ours, rival = normal(1, 80) + 3, normal(1, 80, seed=1) + 3.2
    told = _verdicts.judge({"a": (ours, rival)})["a"]
    judge = stats.bootstrap(
        (ours[0].numpy(), rival[0].numpy()), lambda a, b, axis=-1: (a - b).mean(axis), paired=True, method="percentile",
        n_resamples=20_000, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert told.difference == pytest.approx((ours - rival).mean().item())
    low, high = judge.confidence_interval
    width = high - low
    assert (told.low, told.high) == (pytest.approx(low, abs=0.05 * width), pytest.approx(high, abs=0.05 * width))


def test_few_seeds_widen_the_interval():
    """Images agree to the last digit, seeds do not: with images resampled alone the interval would be a point."""
    shift = torch.tensor([[0.0], [0.3], [-0.3]], dtype=torch.float64)
    ours, rival = torch.ones(3, 500, dtype=torch.float64) + shift, torch.ones(3, 500, dtype=torch.float64) + 0.1
    told = _verdicts.judge({"a": (ours, rival)})["a"]
    assert told.verdict == "inconclusive"
    assert (told.low, told.high) == (pytest.approx(-0.4), pytest.approx(0.2))


def test_nothing_holds_more_often_than_stated_where_there_is_nothing():
    held = 0
    for seed in range(200):
        pairs = {
            str(k): (normal(1, 60, seed=4 * seed + k), normal(1, 60, seed=4 * seed + k + 10_000)) for k in range(2)
        }
        told = _verdicts.judge(pairs, resamples=400)
        held += any(each.verdict != "inconclusive" for each in told.values())
    assert held / 200 < 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


def test_holm_asks_more_of_the_first_of_many():
    noise = normal(1, 100)
    weak = (noise - noise.mean() - 0.23, torch.zeros(1, 100, dtype=torch.float64))  # 2.3 standard errors
    assert _verdicts.judge({"alone": weak})["alone"].verdict == "holds"
    others = {str(k): (normal(1, 100, seed=k), normal(1, 100, seed=k + 50)) for k in range(1, 6)}
    told = _verdicts.judge({"among": weak} | others)
    assert told["among"].verdict == "inconclusive"
    assert list(told) == ["among", *others]


def test_after_the_first_doubt_nothing_holds():
    """Holm's steps: the second smallest p is judged at a milder level, but only if the smallest passed."""
    noise = normal(1, 100)
    pairs = {
        name: (noise - noise.mean() - shift, torch.zeros(1, 100, dtype=torch.float64))
        for name, shift in (("first", 0.24), ("second", 0.235))
    }
    told = _verdicts.judge(pairs)
    assert told["second"].high < 0  # at its own level it would hold
    assert [each.verdict for each in told.values()] == ["inconclusive", "inconclusive"]


def test_the_other_side_is_a_contradiction():
    ours = normal(2, 60).abs()
    assert _verdicts.judge({"a": (ours + 0.5, ours)})["a"].verdict == "contradicted"


def test_failure_rates_are_compared_as_such():
    ours, rival = torch.tensor([[0.05] * 90 + [0.5] * 10]), torch.tensor([[0.09] * 60 + [0.11] * 40])
    told = _verdicts.judge({"a": (ours, rival)}, _verdicts.failure_rate(0.1))["a"]
    assert told.difference == pytest.approx(-0.3)
    assert told.verdict == "holds"


def test_equivalence_needs_the_whole_interval_within():
    rival = normal(1, 200).abs() + 1
    assert _verdicts.equivalent(rival * 1.01, rival, 0.05).verdict == "holds"
    assert _verdicts.equivalent(rival + 0.4 * normal(1, 200, seed=1), rival, 0.02).verdict == "inconclusive"
    assert _verdicts.equivalent(rival * 0.8, rival, 0.05).verdict == "contradicted"


def test_kendall_is_scipys():
    order = [normal(1, 40, seed=k) + shift for k, shift in enumerate((0.0, 0.1, -0.2, 0.3, 0.15))]
    value, low, high = _verdicts.kendall(order, resamples=500)
    assert value == pytest.approx(stats.kendalltau(range(5), [x.mean().item() for x in order]).statistic)
    assert -1 <= low <= value <= high <= 1


@pytest.mark.parametrize(
    ("ours", "match"),
    [
        (torch.rand(1, 9), "one shape"),
        (torch.rand(10), "seeds, images"),
        (torch.full((1, 10), torch.nan), "finite errors"),
    ],
)
def test_errors_that_cannot_be_paired_are_refused(ours, match):
    with pytest.raises(ValueError, match=match):
        unwrap(_verdicts.resampled)(ours, torch.rand(1, 10) if ours.ndim == 2 else ours)
