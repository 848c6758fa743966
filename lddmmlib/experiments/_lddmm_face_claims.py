"""What paper A claims (A1, A2, A4 to A7) as comparisons of trained networks, and the verdicts.

The errors are those of `lddmm_face`, or of its recorded runs: a judgement needs no training.

A1, table 4: trained on the 46 landmarks of the released list, judged by the distance between curves, against a network
of maps that was trained on the same landmarks and completed by others' means. Its raw points are among the exploratory
comparisons alone: they lack points of each curve, which that distance counts, however right they are. A4, table 5:
four pairs of schemes. A5, table 6: faces behind things. A7, tables 2 and 3: as good, three measures apart. A6 is
counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from torch import Tensor

from lddmmlib.experiments import _verdicts

BOUND = 0.05  # what "only mildly" may cost
WIDEST = 10.0  # per cent: the area under the curve of errors is taken up to here
Key = tuple[str, str, str]  # ("held out 68 curve", network, way)
COMPLETED = ("interpolated", "completed", "moved mean")
PAIRS = (("194", "68"), ("68", "194"), ("98", "68"), ("68", "98"))  # of table 5: learnt, asked for


def missed(errors: Tensor) -> Tensor:
    """1 - AUC, as a statistic: the mean of errors / WIDEST, cut off at 1."""
    return (errors / WIDEST).clamp(max=1).mean(-1)


class Claim(NamedTuple):
    """What is compared -> ours and the rival. The primary comparisons were named before the runs were judged."""

    primary: dict[str, tuple[Key, Key]]
    exploratory: dict[str, tuple[Key, Key]]
    within: tuple[str, ...] = ()  # names of equivalences, within `BOUND`
    statistic: _verdicts.Statistic = _verdicts.mean


def _part(data: str, subset: str, measure: str, rival: str = "heat") -> dict[str, tuple[Key, Key]]:
    """A flow network that learnt a subset against its rival, completed in each way."""
    what, ours = f"{data} 68 {measure}", (f"{data} 68 {measure}", f"flow {subset}", "flow")
    ways = (*COMPLETED, "raw") if measure == "curve" else COMPLETED
    return {f"{subset}, {measure}, against {rival}, {way}": (ours, (what, f"{rival} {subset}", way)) for way in ways}


def _across(data: str, learnt: str, asked: str, way: str, measure: str = "curve", ours: str = "flow") -> dict:
    """A flow network of one scheme asked for another, against maps of that scheme, completed."""
    what = f"{data} {asked} {measure}"
    name = f"{learnt} -> {asked}, {measure}, against {way}" + ("" if ours == "flow" else ", registered by a match")
    return {name: ((what, f"flow {learnt}", ours), (what, f"heat {learnt}", way))}


@cache
def claims(data: str) -> Mapping[str, Claim]:
    """All claims on a set of faces."""
    a1 = _part(data, "46 of 68", "curve")
    raw = {name: a1.pop(name) for name in [*a1] if name.endswith("raw")}
    more = raw | _part(data, "46 of 68", "landmark") | _part(data, "46 of 68", "landmark", "coordinates")
    for subset in ("half of 68", "third of 68"):
        more |= _part(data, subset, "curve") | _part(data, subset, "landmark")
    own = f"{data} 68 landmark"
    mild = {f"{subset}: against all 68": ((own, f"flow {subset}", "flow"), (own, "flow 68", "own"))
            for subset in ("46 of 68", "half of 68", "third of 68")}  # fmt: skip
    a4, others = {}, {}
    for learnt, asked in PAIRS:
        a4 |= _across(data, learnt, asked, "moved mean")
        others |= _across(data, learnt, asked, "moved mean", "landmark")
    for learnt, asked in (*PAIRS, ("29", "68"), ("68", "29")):
        for way in ("raw", *COMPLETED):
            others |= _across(data, learnt, asked, way)
        others |= _across(data, learnt, asked, "moved mean", ours="flow matched")
    both = (own, "flow 68", "own"), (own, "heat 68", "own")
    direct = {"flow against coordinates": (both[0], (own, "coordinates 68", "own"))}
    hidden = [{what: tuple((k.replace(data, "occluded"), *rest) for k, *rest in pair) for what, pair in part.items()}
              for part in ({"flow against maps": both}, direct)]  # fmt: skip
    first = next(iter(mild))
    out = {
        "A1": Claim(a1, more),
        "A2": Claim({first: mild[first]}, {k: v for k, v in mild.items() if k != first}, tuple(mild)),
        "A4": Claim(a4, {k: v for k, v in others.items() if k not in a4}),
    }
    for name, statistic in (("NME", _verdicts.mean), ("FR", _verdicts.failure_rate(8.0)), ("AUC", missed)):
        if data == "held out":
            out[f"A5, {name}"] = Claim(*hidden, (), statistic)
        par = () if name == "FR" else ("on par with maps",)  # a share of no failures is none: fewer of them, then
        out[f"A7, {name}"] = Claim({"on par with maps": both}, direct, par, statistic)
    return out


@cache
def used() -> frozenset[Key]:
    """Every error that a claim compares."""
    return frozenset(
        key
        for data in ("held out", "photographs")
        for claim in claims(data).values()
        for part in claim[:2]
        for pair in part.values()
        for key in pair
    )


def judge(errors: Mapping[str, np.ndarray]) -> dict[str, dict[str, dict]]:
    """Claim -> kind of data -> what is compared -> its row, of all comparisons whose networks there are.

    errors: "held out 68 curve, flow 46 of 68, flow" -> (seeds, images), and so on.
    """
    told: dict[str, dict[str, dict]] = {}
    for kind, data in {"synthetic": "held out", "real": "photographs"}.items():
        for name, claim in claims(data).items():
            pairs = {what: _verdicts.paired(errors, *map(", ".join, pair))
                     for what, pair in (claim.primary | claim.exploratory).items()}  # fmt: skip
            pairs = {what: both for what, both in pairs.items() if both}
            within = {what: BOUND for what in claim.within if what in pairs}
            rows = _verdicts.judge(pairs, claim.statistic, within, claim.primary.keys() & pairs.keys())
            claimed, _, measure = name.partition(", ")
            known = told.setdefault(claimed, {}).setdefault(kind, {}) if rows else {}
            known |= {f"{what}{measure and ', '}{measure}": each.row() for what, each in rows.items()}
    return told
