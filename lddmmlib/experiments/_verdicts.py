"""From errors to verdicts: is one method better than another, by how much, and how sure is that?

A method's errors are (seeds, images): trained as often as there are seeds, measured on the same images as its rival.
Both what is drawn by chance, seeds and images, is drawn anew in each of many resamples, for both methods alike: the
paired bootstrap. Its percentiles are the interval of the difference.

    holds          the interval lies on the claimed side
    contradicted   on the other side
    inconclusive   it contains zero

Where a claim makes k comparisons, they are taken by the smallest p first, and each is judged at 1 - 0.05 / (how many
are left): Holm's correction. Once one is inconclusive, so are all after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Float

LEVEL = 0.05
RESAMPLES = 10_000
AT_ONCE = 2**21  # errors gathered at a time
Statistic = Callable[[Tensor], Tensor]  # of errors (..., images) -> (...)


class Comparison(NamedTuple):
    """Ours less the rival's: below zero, ours is better."""

    difference: float
    low: float  #: the ends of its interval, at Holm's level
    high: float
    p: float  #: two-sided; not corrected
    verdict: str


def mean(errors: Tensor) -> Tensor:
    """Over the images, as an NME is."""
    return errors.mean(-1)


def failure_rate(threshold: float) -> Statistic:
    """The share of images above a threshold, as a statistic."""
    return lambda errors: (errors > threshold).to(errors.dtype).mean(-1)


def resampled(
    ours: Float[Tensor, "seeds images"],
    rival: Float[Tensor, "seeds images"],
    statistic: Statistic = mean,
    resamples: int = RESAMPLES,
) -> Float[Tensor, " resamples"]:
    """The difference of a statistic, averaged over seeds, in each resample of seeds and images.

    Raises ValueError where the two were not measured on the same images, or hold NaN.

    >>> ours = torch.tensor([[1.0, 2.0, 3.0]])
    >>> resampled(ours, ours + 0.5, resamples=3)
    tensor([-0.5000, -0.5000, -0.5000])
    """
    if ours.shape != rival.shape or ours.ndim != 2 or ours.numel() == 0:
        got = f"{tuple(ours.shape)} and {tuple(rival.shape)}"
        raise ValueError(f"ours, rival: needed errors (seeds, images) of one shape, got {got}; pair them by image")
    if not (ours.isfinite().all() and rival.isfinite().all()):
        raise ValueError("ours, rival: needed finite errors, got NaN or infinity; leave those images out of both")
    parts = [statistic(ours[at]) - statistic(rival[at]) for at in _draws(*ours.shape, resamples)]
    return torch.cat(parts).mean(-1)


def _draws(seeds: int, images: int, resamples: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Which seeds (k, seeds, 1) and images (k, 1, images) each resample takes, with replacement; k at a time."""
    generator = torch.Generator().manual_seed(0)
    for k in torch.ones(resamples).split(max(1, AT_ONCE // (seeds * images))):
        s = torch.randint(seeds, (len(k), seeds, 1), generator=generator)
        yield s, torch.randint(images, (len(k), 1, images), generator=generator)


def judge(
    pairs: Mapping[str, tuple[Tensor, Tensor]], statistic: Statistic = mean, resamples: int = RESAMPLES
) -> dict[str, Comparison]:
    """All comparisons that one claim makes, each of (ours, rival), where ours is claimed to be smaller.

    >>> ours = torch.linspace(1, 2, 50)[None]
    >>> told = judge({"far": (ours, ours + 1 + ours.sin()), "same": (ours, ours.flip(-1))}, resamples=500)
    >>> [(name, each.verdict) for name, each in told.items()]
    [('far', 'holds'), ('same', 'inconclusive')]
    """
    draws = {name: resampled(*pair, statistic, resamples) for name, pair in pairs.items()}
    p = {name: _p(each) for name, each in draws.items()}
    told, open_still = {}, True
    for rank, name in enumerate(sorted(pairs, key=p.__getitem__)):
        low, high = _interval(draws[name], LEVEL / (len(pairs) - rank))
        open_still = open_still and not low <= 0 <= high
        verdict = ("holds" if high < 0 else "contradicted") if open_still else "inconclusive"
        ours, rival = (statistic(x).mean().item() for x in pairs[name])
        told[name] = Comparison(ours - rival, low, high, p[name], verdict)
    return {name: told[name] for name in pairs}


def _interval(draws: Tensor, level: float) -> tuple[float, float]:
    """The percentiles that leave level / 2 of the resamples on either side."""
    low, high = torch.quantile(draws.double(), torch.tensor([level / 2, 1 - level / 2], dtype=torch.float64)).tolist()
    return low, high


def _p(draws: Tensor) -> float:
    """Twice the smaller share of resamples on either side of zero, itself counted as one more."""
    below, above = ((draws <= 0).sum().item(), (draws >= 0).sum().item())
    return min(1.0, 2 * (1 + min(below, above)) / (1 + len(draws)))


def equivalent(ours: Tensor, rival: Tensor, bound: float, statistic: Statistic = mean) -> Comparison:
    """For "only a mild loss": holds where the whole interval lies within ± bound of the rival's, as a share of it.

    >>> errors = torch.linspace(1, 2, 50)[None]
    >>> equivalent(1.02 * errors, errors, 0.05).verdict, equivalent(1.2 * errors, errors, 0.05).verdict
    ('holds', 'contradicted')
    """
    _checks.positive(bound, "bound")
    of = statistic(rival).mean().item()
    draws = resampled(ours, rival, statistic) / of
    low, high = _interval(draws, LEVEL)
    within, beyond = -bound <= low and high <= bound, high < -bound or low > bound
    verdict = "holds" if within else "contradicted" if beyond else "inconclusive"
    return Comparison((statistic(ours).mean().item() - of) / of, low, high, _p(draws), verdict)


def kendall(order: list[Tensor], resamples: int = RESAMPLES) -> tuple[float, float, float]:
    """Kendall's τ between a claimed order of methods, the best first, and their mean errors; and its 95 % interval.

    order: errors (seeds, images) of each method, as claimed. τ is the share of pairs that stand as claimed, less that
    of those that do not: 1 is the claimed order, -1 its reverse.

    >>> errors = torch.rand(1, 30, generator=torch.Generator().manual_seed(0))
    >>> kendall([errors, errors + 1, errors + 2], resamples=100)
    (1.0, 1.0, 1.0)
    """
    x = torch.stack(order)  # (methods, seeds, images)

    def tau(means: Tensor) -> Tensor:
        later, earlier = torch.tril_indices(len(means), len(means), -1)
        return (means[later] - means[earlier]).sign().mean(0)

    draws = torch.cat([tau(x[:, s, i].mean((-2, -1))) for s, i in _draws(*x.shape[1:], resamples)])
    return tau(x.mean((1, 2))).item(), *_interval(draws, LEVEL)
