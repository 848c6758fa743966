"""From errors to verdicts: is one method better than another, by how much, and how sure is that?

Errors of a method are (seeds, images): trained as often as there are seeds, measured on the images that its rival is
measured on. Where nothing is trained they are (images,). The differences form a table with two causes of chance and
what is left of either,

    D_si = μ + seed_s + image_i + rest_si.

The variance of their mean over S seeds and N images is estimated in two parts, from the table's mean squares MS:

    v_seed  = MS_seed / SN                          S - 1 degrees of freedom; the rest is in it, too
    v_image = max(0, MS_image - MS_rest) / SN       N - 1 degrees of freedom

The interval is mean ± q, with q the quantile of |√v_seed T_(S-1) + √v_image T_(N-1)|, of two independent Student t:
the interval of Behrens and Fisher. Where one part dominates it is that part's t interval; in between it errs on the
side of doubt. `tests/experiments/test_verdicts.py` simulates it: at 2, 3, 5 and 10 seeds, whatever the ratio of the
parts, at most 6 % of verdicts are false where there is no difference, and at 5 seeds a difference of 4 standard errors
is found in more than 80 % of cases. (The percentile bootstrap over three seeds is false in up to 25 % of cases, the t
interval with Satterthwaite's degrees of freedom in 7 to 8 %.)

    holds          the interval lies on the claimed side; of an equivalence: within the bound
    contradicted   on the other side; all of it beyond the bound
    inconclusive   neither
    reported       fewer than three seeds: no verdict; of one seed not even an interval

Holm's correction: of k comparisons, that with the smallest p is judged at 0.05 / k, the next at 0.05 / (k - 1), and so
on; from the first inconclusive one the level stays. A claim names its primary comparisons in advance: they are one
such family, and alone are its verdict. The others are exploratory, a family of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lddmmlib import _checks

LEVEL = 0.05
FEWEST = 3  # seeds that a verdict needs
Statistic = Callable[[Tensor], Tensor]  # of errors (..., images) -> (...)


class Comparison(NamedTuple):
    """Ours less the rival's: below zero, ours is better."""

    difference: float  #: of an equivalence a share of the rival's
    low: float | None  #: the ends of its interval, at Holm's level
    high: float | None
    p: float | None  #: two-sided, of no difference; of an equivalence, of lying on its bound. Not corrected
    verdict: str
    primary: bool = True

    def row(self) -> dict[str, Any]:
        """What is recorded: all that there is."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Estimate(NamedTuple):
    """A mean difference, and the two parts of its variance with their degrees of freedom."""

    value: float
    v_seed: float
    v_image: float
    of_seeds: int
    of_images: int

    def p(self, x: float) -> float:
        """P(|√v_seed T + √v_image T'| >= x)."""
        return float(beyond(x, *self[1:]))

    def quantile(self, level: float) -> float:
        """The x with p(x) = level."""
        from scipy.optimize import brentq
        from scipy.special import stdtrit

        scale = math.sqrt(self.v_seed + self.v_image)
        if not self.v_seed or not self.v_image:  # one t alone
            return scale * float(stdtrit(self.of_seeds if self.v_seed else self.of_images, 1 - level / 2))
        top = scale
        while self.p(top) > level:
            top *= 4
        return brentq(lambda x: self.p(x) - level, 0, top, xtol=1e-9 * scale)


def mean(errors: Tensor) -> Tensor:
    """Over the images, as an NME is."""
    return errors.mean(-1)


def failure_rate(threshold: float) -> Statistic:
    """The share of images above a threshold, as a statistic."""
    return lambda errors: (errors > threshold).to(errors.dtype).mean(-1)


def components(table: Tensor) -> tuple[Tensor, Tensor]:
    """v_seed and v_image of the mean of tables (..., seeds, images), two seeds and two images at least.

    >>> components(torch.tensor([[1.0, 3.0], [2.0, 4.0]]))  # seeds differ by 1, images by 2, and there is no rest
    (tensor(0.2500), tensor(1.))
    """
    s, n = table.shape[-2:]
    whole, by_seed, by_image = table.mean((-2, -1), keepdim=True), table.mean(-1, True), table.mean(-2, True)
    ms_seed = n * (by_seed - whole).square().sum((-2, -1)) / (s - 1)
    ms_image = s * (by_image - whole).square().sum((-2, -1)) / (n - 1)
    ms_rest = (table - by_seed - by_image + whole).square().sum((-2, -1)) / ((s - 1) * (n - 1))
    return ms_seed / (s * n), (ms_image - ms_rest).clamp(min=0) / (s * n)


_T = np.sinh(np.linspace(-12, 12, 241))  # as far as the tails of one degree of freedom reach


def beyond(x: Any, v_seed: Any, v_image: Any, of_seeds: int, of_images: int) -> np.ndarray:
    """P(|√v_seed T + √v_image T'| >= x), T and T' Student's t of so many degrees of freedom; of arrays one by one.

    With a <= b for the two roots, and A, B for their t: 2 ∫ f_A(t) P(B >= (x - a t) / b) dt, by the trapezoidal rule
    in y, t = sinh y.

    >>> beyond(4.303, 1.0, 0.0, 2, 999).round(3), beyond(4.303, 0.5, 0.5, 2, 999).round(3)
    (np.float64(0.05), np.float64(0.028))
    """
    from scipy.special import stdtr
    from scipy.stats import t as student

    x, by_seed, by_image = np.asarray(x, float), np.sqrt(v_seed), np.sqrt(v_image)
    a, b, swap = np.minimum(by_seed, by_image), np.maximum(by_seed, by_image), np.asarray(by_seed > by_image)[..., None]
    weights = [student.pdf(_T, of) * np.hypot(1, _T) for of in (of_seeds, of_images)]
    weight = np.where(swap, *[w / w.sum() for w in weights[::-1]])
    with np.errstate(divide="ignore", invalid="ignore"):  # b = 0: nothing varies
        tail = stdtr(np.where(swap, of_seeds, of_images), (a[..., None] * _T - x[..., None]) / b[..., None])
    return np.where(b > 0, np.minimum(2 * (weight * tail).sum(-1), 1), np.where(x > 0, 0.0, 1.0))


def judge(
    pairs: Mapping[str, tuple[Tensor, Tensor]],
    statistic: Statistic = mean,
    within: Mapping[str, float] | None = None,
    primary: Collection[str] | None = None,
) -> dict[str, Comparison]:
    """Judge all comparisons that one claim makes on data of one kind, where ours is claimed to be smaller.

    Args:
        pairs: name -> errors of ours and of the rival, (seeds, images), or (images,) where nothing is trained.
        statistic: of a seed's errors, such as `mean` or ``failure_rate(0.1)``.
        within: names of equivalences -> the bound, as a share of the rival's: ours is claimed to be within ± bound.
        primary: the names that the claim stands on; default all.

    Returns:
        Name -> `Comparison`, in the order of ``pairs``.

    Raises:
        ValueError: a pair is not of the same images, holds NaN, or has a single image; a name is not among the pairs.

    >>> ours = torch.linspace(1, 2, 50)
    >>> told = judge({"far": (ours, ours + 1 + ours.sin()), "same": (ours, ours.flip(-1))})
    >>> [(name, each.verdict) for name, each in told.items()]
    [('far', 'holds'), ('same', 'inconclusive')]
    """
    within, primary = within or {}, set(pairs) if primary is None else set(primary)
    if unknown := (primary | set(within)) - set(pairs):
        raise ValueError(f"primary, within: needed names among the pairs, got {sorted(unknown)}; correct the names")
    told: dict[str, Comparison] = {}
    for first in (True, False):
        family = {k: estimate(*pair, statistic, k in within) for k, pair in pairs.items() if (k in primary) == first}
        told |= {k: each._replace(primary=first) for k, each in _holm(family, within).items()}
    few = {name for name, (ours, _) in pairs.items() if ours.ndim == 2 and len(ours) < FEWEST}
    return {name: told[name]._replace(verdict="reported") if name in few else told[name] for name in pairs}


def paired(errors: Mapping[str, np.ndarray], ours: str, rival: str) -> tuple[Tensor, Tensor] | None:
    """The errors of a comparison, of as many seeds as both have; None where either was not measured.

    >>> two = paired({"a": np.ones((5, 9)), "b": np.zeros((3, 9))}, "a", "b")
    >>> two[0].shape, two[1].shape
    (torch.Size([3, 9]), torch.Size([3, 9]))
    """
    if ours not in errors or rival not in errors:
        return None
    a, b = (torch.from_numpy(np.array(errors[name], dtype=np.float64)) for name in (ours, rival))
    seeds = min(len(a), len(b))
    return (a[:seeds], b[:seeds]) if a.ndim == 2 else (a, b)


def _holm(family: Mapping[str, Estimate], within: Mapping[str, float]) -> dict[str, Comparison]:
    """The comparisons of one family, each with its interval at Holm's level."""
    # The distance from where the verdict changes: from no difference, or from the nearer bound.
    apart = {k: abs(abs(e.value) - within.get(k, 0.0)) for k, e in family.items()}
    p = {k: e.p(apart[k]) for k, e in family.items() if math.isfinite(e.v_seed)}
    told, level, open_still = {}, LEVEL, True
    for rank, name in enumerate(sorted(p, key=p.__getitem__)):
        e, bound = family[name], within.get(name, 0.0)
        level = LEVEL / (len(p) - rank) if open_still else level
        open_still = open_still and p[name] < level
        q = e.quantile(level)
        side = e.value < 0 if name not in within else abs(e.value) < bound
        verdict = "inconclusive" if not open_still else "holds" if side else "contradicted"
        told[name] = Comparison(difference=e.value, low=e.value - q, high=e.value + q, p=p[name], verdict=verdict)
    reported = {k: Comparison(difference=e.value, low=None, high=None, p=None, verdict="reported")
                for k, e in family.items() if k not in p}  # fmt: skip
    return told | reported


def estimate(ours: Tensor, rival: Tensor, statistic: Statistic = mean, share: bool = False) -> Estimate:
    """The difference of a statistic, averaged over seeds; or what it is of the rival's, as a share.

    Other statistics than the mean become means of jackknife values: with θ of all images and θ_-g without the g-th of
    G groups, G θ - (G - 1) θ_-g. Groups of about √N images, since for a median it is not enough to leave out one.
    The variance of a share is that of its linear part, (ours - (1 + share) rival) / the rival's.
    """
    if ours.shape != rival.shape or ours.ndim not in (1, 2) or ours.numel() == 0:
        got = f"{tuple(ours.shape)} and {tuple(rival.shape)}"
        raise ValueError(f"ours, rival: needed errors (seeds, images) of one shape, got {got}; pair them by image")
    if not (ours.isfinite().all() and rival.isfinite().all()):
        raise ValueError("ours, rival: needed finite errors, got NaN or infinity; leave those images out of both")
    if ours.shape[-1] < 2:
        raise ValueError("ours, rival: needed two images or more, got one; a single image has no spread")
    trained, (a, b) = ours.ndim == 2, (torch.atleast_2d(x.double()) for x in (ours, rival))
    theta, other = (statistic(x).mean().item() for x in (a, b))
    value = theta / other - 1 if share else theta - other
    a, b = _values(a, statistic), _values(b, statistic)
    table = (a - (1 + value) * b) / other if share else a - b
    s, n = table.shape
    if not trained:
        v_image = (table.var() / n).item()
        return Estimate(value=value, v_seed=0.0, v_image=v_image, of_seeds=n - 1, of_images=n - 1)
    if s == 1:
        return Estimate(value=value, v_seed=math.inf, v_image=math.inf, of_seeds=1, of_images=n - 1)
    v_seed, v_image = (v.item() for v in components(table))
    return Estimate(value=value, v_seed=v_seed, v_image=v_image, of_seeds=s - 1, of_images=n - 1)


def _values(errors: Tensor, statistic: Statistic) -> Tensor:
    """(seeds, images), or the jackknife values (seeds, groups): their mean over the last axis is the statistic."""
    if statistic is mean:
        return errors
    n = errors.shape[-1]
    groups = math.ceil(math.sqrt(n))
    group = torch.arange(n) % groups
    without = torch.stack([statistic(errors[:, group != g]) for g in range(groups)], -1)
    return groups * statistic(errors)[:, None] - (groups - 1) * without


def equivalent(ours: Tensor, rival: Tensor, bound: float, statistic: Statistic = mean) -> Comparison:
    """For "only a mild loss": holds where the whole interval lies within ± bound of the rival's, as a share of it.

    >>> errors = torch.linspace(1, 2, 50)
    >>> equivalent(1.02 * errors, errors, 0.05).verdict, equivalent(1.2 * errors, errors, 0.05).verdict
    ('holds', 'contradicted')
    """
    _checks.positive(bound, "bound")
    return judge({"": (ours, rival)}, statistic, {"": bound})[""]


def kendall(order: list[Tensor]) -> tuple[float, float, float]:
    """Kendall's τ between a claimed order of methods, the best first, and their mean errors; and a 95 % interval.

    τ is the share of pairs that stand as claimed, less that of those that do not: 1 is the claimed order, -1 its
    reverse. All pairs are judged as one family; the interval's ends let those that are not decided stand either way.

    order: errors of each method, (seeds, images) or (images,), as claimed.

    >>> errors = torch.rand(30, generator=torch.Generator().manual_seed(0))
    >>> kendall([errors, errors + 1, errors + 2])
    (1.0, 1.0, 1.0)
    """
    pairs = {f"{i} {j}": (order[i], order[j]) for j in range(len(order)) for i in range(j)}
    told = judge(pairs).values()
    tau = sum(-np.sign(each.difference) for each in told) / len(pairs)
    decided = {"holds": (1, 1), "contradicted": (-1, -1)}
    low, high = (sum(ends) / len(pairs) for ends in zip(*(decided.get(x.verdict, (-1, 1)) for x in told), strict=True))
    return float(tau), low, high
