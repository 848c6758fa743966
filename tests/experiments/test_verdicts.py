import math

import numpy as np
import pytest
import torch
from scipy import stats

from lddmmlib.experiments import _verdicts

SEEDS, RATIOS = (2, 3, 5, 10), (0.0, 0.5, 1.0, 2.2, 5.0)  # ratio: of the standard errors by seed and by image
IMAGES, TIMES = 50, 1500
SLACK = 3.3 * (0.05 * 0.95 / TIMES) ** 0.5  # of a share of 5 % in so many draws: one in a thousand is beyond


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def drawn(seeds, ratio, rest, times=TIMES):
    """Tables (times, seeds, images) without a difference, and the standard error of their mean."""
    by_seed = ratio * (seeds / IMAGES) ** 0.5
    table = normal(times, 1, IMAGES, seed=1) + by_seed * normal(times, seeds, 1, seed=2)
    se = ((1 + ratio**2 + rest**2 / seeds) / IMAGES) ** 0.5
    return table + rest * normal(times, seeds, IMAGES, seed=3), se


def student(table, shift=0.0):
    """Which tables have a verdict by the library's interval."""
    v = (each.numpy() for each in _verdicts.components(table))
    seeds, images = table.shape[1:]
    return _verdicts.beyond((table.mean((1, 2)) + shift).abs().numpy(), *v, seeds - 1, images - 1) < _verdicts.LEVEL


def bootstrap(table, shift=0.0, resamples=400):
    """By the percentiles of means over resampled seeds and images."""
    seeds, images = table.shape[1:]
    g = torch.Generator().manual_seed(0)
    by_seed = torch.nn.functional.one_hot(torch.randint(seeds, (resamples, seeds), generator=g), seeds).sum(1).double()
    by_image = torch.randint(images, (resamples, images), generator=g)
    by_image = torch.nn.functional.one_hot(by_image, images).sum(1).double()
    means = torch.einsum("rs,tsn,rn->tr", by_seed / seeds, table + shift, by_image / images)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64), 1)
    return ((low > 0) | (high < 0)).numpy()


@pytest.mark.parametrize("seeds", SEEDS)
def test_at_most_6_in_100_verdicts_are_false_whatever_the_ratio_of_seed_to_image(seeds):
    for ratio in RATIOS:
        for rest in (0.0, 2.0):
            rate = student(drawn(seeds, ratio, rest)[0]).mean()
            assert rate <= 0.05 + SLACK, (ratio, rest, rate)


def test_five_seeds_find_a_difference_of_four_standard_errors():
    for ratio in RATIOS:
        for rest in (0.0, 2.0):
            table, se = drawn(5, ratio, rest)
            assert student(table, 4 * se).mean() >= 0.8, (ratio, rest)


def test_percentiles_of_the_bootstrap_would_not_do():
    """What the library had: the tests above are able to fail."""
    rates = [bootstrap(drawn(3, ratio, 0.0, 400)[0]).mean() for ratio in RATIOS[2:]]
    assert min(rates) > 0.085
    assert max(rates) > 0.2


@pytest.mark.parametrize("statistic", [lambda e: e.median(-1).values, _verdicts.failure_rate(1.0)])
def test_other_statistics_are_as_seldom_wrong(statistic):
    found = []
    for k in range(400):
        ours, rival = (normal(1, IMAGES, seed=5 * k + i) + 0.2 * normal(4, 1, seed=5 * k + 2 + i) for i in (0, 1))
        found.append(_verdicts.estimate(ours + 0.3 * normal(4, IMAGES, seed=k), rival, statistic))
    value, v_seed, v_image, *_ = np.array(found).T
    false = _verdicts.beyond(abs(value), v_seed, v_image, *found[0][3:]) < _verdicts.LEVEL
    assert false.mean() <= 0.06 + 3.3 * (0.06 * 0.94 / 400) ** 0.5


def test_a_median_is_estimated_about_as_well_as_theory_says():
    """The median of n normal values has the variance π / 2n."""
    found = [_verdicts.estimate(normal(400, seed=k), torch.zeros(400), lambda e: e.median(-1).values).v_image
             for k in range(40)]  # fmt: skip
    assert np.mean(found) == pytest.approx(math.pi / 800, rel=0.25)


def test_without_seeds_it_is_the_paired_t_test():
    ours, rival = normal(80) + 3, normal(80, seed=1) + 3.2
    told = _verdicts.judge({"a": (ours, rival)})["a"]
    judge = stats.ttest_rel(ours.numpy(), rival.numpy())
    low, high = judge.confidence_interval()
    assert (told.difference, told.low, told.high) == pytest.approx((float((ours - rival).mean()), low, high))
    assert told.p == pytest.approx(judge.pvalue, rel=1e-4)


def test_seeds_that_alone_differ_are_a_t_test_of_their_means():
    """Images agree to the last digit, seeds do not."""
    shift = torch.tensor([[0.0], [0.3], [-0.4], [0.1]], dtype=torch.float64)
    ours = torch.ones(4, 500, dtype=torch.float64) + shift
    told = _verdicts.judge({"a": (ours, torch.full_like(ours, 1.1))})["a"]
    judge = stats.ttest_1samp(shift[:, 0].numpy() - 0.1, 0)
    low, high = judge.confidence_interval()
    assert told.verdict == "inconclusive"
    assert (told.low, told.high, told.p) == pytest.approx((low, high, judge.pvalue), rel=1e-3)


def test_components_are_those_of_the_design():
    """Unbiased, in the mean over many tables: v_seed + v_image is the variance of the mean."""
    table, se = drawn(4, 1.5, 3.0, 4000)
    v_seed, v_image = (each.mean().item() for each in _verdicts.components(table))
    assert v_seed + v_image == pytest.approx(se**2, rel=0.06)
    assert v_image == pytest.approx(1 / IMAGES, rel=0.06)


@pytest.mark.parametrize(("v", "of"), [((1.0, 1.0), (2, 60)), ((0.01, 1.0), (1, 60)), ((1.0, 0.2), (4, 9))])
def test_tails_are_those_of_two_t(v, of):
    rng = np.random.default_rng(0)
    draws = np.abs(sum(a**0.5 * rng.standard_t(n, 400_000) for a, n in zip(v, of, strict=True)))
    for x in (0.0, 1.0, 2.5, 6.0):
        assert _verdicts.beyond(x, *v, *of) == pytest.approx((draws >= x).mean(), abs=3e-3)
    assert _verdicts.beyond(1e-9, 0.0, 0.0, 2, 9) == 0  # nothing varies
    assert _verdicts.beyond(0.0, 0.0, 0.0, 2, 9) == 1


def test_holm_asks_more_of_the_first_of_many():
    noise = normal(100)
    weak = (noise - noise.mean() - 0.23 * noise.std(), torch.zeros(100))  # 2.3 standard errors
    assert _verdicts.judge({"alone": weak})["alone"].verdict == "holds"
    others = {str(k): (normal(100, seed=k), normal(100, seed=k + 50)) for k in range(1, 6)}
    told = _verdicts.judge({"among": weak} | others)
    assert told["among"].verdict == "inconclusive"
    assert list(told) == ["among", *others]
    apart = _verdicts.judge({"among": weak} | others, primary=["among"])  # what is exploratory costs nothing
    assert apart["among"].verdict == "holds"
    assert [each.primary for each in apart.values()] == [True] + 5 * [False]


def test_after_the_first_doubt_nothing_holds_and_every_interval_says_so():
    """Holm's steps: the second smallest p is judged at a milder level, but only if the smallest passed."""
    noise = normal(100)
    pairs = {name: (noise / noise.std() - (noise / noise.std()).mean() - shift, torch.zeros(100))
             for name, shift in (("first", 0.219), ("second", 0.217))}  # fmt: skip
    told = _verdicts.judge(pairs)
    assert _verdicts.judge({"second": pairs["second"]})["second"].verdict == "holds"  # alone it would
    assert [each.verdict for each in told.values()] == ["inconclusive", "inconclusive"]
    assert all(each.low < 0 < each.high for each in told.values())


def test_nothing_holds_more_often_than_stated_among_several():
    held = 0
    for seed in range(200):
        pairs = {str(k): (normal(60, seed=4 * seed + k), normal(60, seed=4 * seed + k + 10_000)) for k in range(3)}
        told = _verdicts.judge(pairs)
        held += any(each.verdict != "inconclusive" for each in told.values())
    assert held / 200 < 0.05 + 3.3 * (0.05 * 0.95 / 200) ** 0.5


def test_the_other_side_is_a_contradiction():
    ours = normal(3, 60).abs()
    assert _verdicts.judge({"a": (ours + 0.5, ours)})["a"].verdict == "contradicted"


def test_below_three_seeds_there_is_no_verdict():
    ours = normal(3, 60).abs()
    for seeds, verdict in ((1, "reported"), (2, "reported"), (3, "holds")):
        told = _verdicts.judge({"a": (ours[:seeds], ours[:seeds] + 1), "b": (ours[:seeds], ours[:seeds] + 2)})
        assert {each.verdict for each in told.values()} == {verdict}
        assert ("low" in told["a"].row()) == (seeds > 1)  # of one seed nobody knows what another would have done
        assert told["a"].row()["difference"] == pytest.approx(-1)


def test_failure_rates_are_compared_as_such():
    ours, rival = torch.tensor([0.05] * 90 + [0.5] * 10), torch.tensor([0.09] * 60 + [0.11] * 40)
    told = _verdicts.judge({"a": (ours, rival)}, _verdicts.failure_rate(0.1))["a"]
    assert told.difference == pytest.approx(-0.3)
    assert told.verdict == "holds"


def test_equivalence_needs_the_whole_interval_within():
    rival = normal(200).abs() + 1
    assert _verdicts.equivalent(rival * 1.01, rival, 0.05).verdict == "holds"
    assert _verdicts.equivalent(rival + 0.4 * normal(200, seed=1), rival, 0.02).verdict == "inconclusive"
    told = _verdicts.equivalent(rival * 0.8, rival, 0.05)
    assert (told.verdict, told.difference) == ("contradicted", pytest.approx(-0.2))


def test_an_equivalence_on_its_bound_is_seldom_decided_and_is_one_of_its_family():
    """A true loss of the bound itself: a verdict either way is false. And Holm counts it among the others."""
    decided = 0
    for k in range(400):
        rival = 10 + normal(60, seed=2 * k)
        told = _verdicts.equivalent(rival + 0.5 + normal(60, seed=2 * k + 1), rival, 0.05)
        decided += told.verdict != "inconclusive"
    assert decided / 400 <= 0.06 + 3.3 * (0.06 * 0.94 / 400) ** 0.5
    base = 10 + normal(80)
    near = base + 0.1 + normal(80, seed=1) - normal(80, seed=1).mean()
    bound = 0.01 + 2.3 * (near - base).std().item() / 80**0.5 / 10
    assert _verdicts.judge({"near": (near, base)}, within={"near": bound})["near"].verdict == "holds"
    doubtful = {str(k): (normal(80, seed=k), normal(80, seed=k + 50)) for k in range(1, 5)}
    assert _verdicts.judge({"near": (near, base)} | doubtful, within={"near": bound})["near"].verdict == "inconclusive"


def test_a_shares_interval_is_that_of_a_bootstrap_of_ratios():
    ours, rival = 5 + normal(300), 6 + normal(300, seed=1)
    told = _verdicts.equivalent(ours, rival, 0.05)
    judge = stats.bootstrap(
        (ours.numpy(), rival.numpy()), lambda a, b, axis=-1: a.mean(axis) / b.mean(axis) - 1, paired=True,
        method="percentile", n_resamples=5000, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    width = judge.high - judge.low
    assert (told.low, told.high) == (
        pytest.approx(judge.low, abs=0.06 * width),
        pytest.approx(judge.high, abs=0.06 * width),
    )


def test_kendall_is_scipys():
    order = [normal(40, seed=k) + shift for k, shift in enumerate((0.0, 0.1, -0.2, 0.3, 0.15))]
    value, low, high = _verdicts.kendall(order)
    assert value == pytest.approx(stats.kendalltau(range(5), [x.mean().item() for x in order]).statistic)
    assert -1 <= low <= value <= high <= 1
    far = [0.1 * normal(3, 40, seed=k) + shift for k, shift in enumerate((0.0, 3.0, 1.0))]
    assert _verdicts.kendall(far) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert _verdicts.kendall([x[:1] for x in far])[1:] == (-1, 1)  # of one seed nothing is decided


@pytest.mark.parametrize(
    ("ours", "rival", "match"),
    [
        (torch.rand(1, 9), torch.rand(1, 10), "one shape"),
        (torch.rand(2, 3, 4), torch.rand(2, 3, 4), "seeds, images"),
        (torch.full((3, 10), torch.nan), torch.rand(3, 10), "finite errors"),
        (torch.rand(3, 1), torch.rand(3, 1), "two images or more"),
    ],
)
def test_errors_that_cannot_be_paired_are_refused(ours, rival, match):
    with pytest.raises(ValueError, match=match):
        _verdicts.judge({"a": (ours, rival)})


def test_names_that_are_no_pair_are_refused():
    pair = {"a": (torch.rand(3, 9), torch.rand(3, 9))}
    for how in ({"primary": ["b"]}, {"within": {"b": 0.1}}):
        with pytest.raises(ValueError, match=r"needed names among the pairs, got \['b'\]"):
            _verdicts.judge(pair, **how)
