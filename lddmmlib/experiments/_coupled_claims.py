"""What paper B claims (B1 to B5) as comparisons of trained cascades, and the verdicts.

The errors are those of `coupled_regression`, or of its recorded runs: a judgement needs no training.

B1 and B2, figures 3 and 4: the share of faces with an NRMSE above 0.03. Where the paper trains on all 68 landmarks of
either half of the faces, it does not say which of the two models tells a landmark; primary is the one whose faces label
it in the other settings, so that nothing else changes, and the mean of both is exploratory. B3, figure 5: the mean
NRMSE after the first stage. Its "DRN" without approximation are two cascades, as in section 4.3; one cascade that
ignores what is missing (equation 11) is exploratory. B4, figures 6 and 7: H of the first stage, which has seen
predictions alone, against the annotations that were hidden; and how far the landmarks that it chose are. B5, table 1:
the mean NRMSE of the union.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from lddmmlib.experiments import _verdicts

BOUND = 0.05  # what "similarly" may differ by
KINDS = {"synthetic": ("held out", ""), "real": ("frames", " frames")}  # what is measured on, the end of its networks
UNIONS = {"synthetic": ("held out 113", "113"), "real": ("photographs 91", "91")}
Key = tuple[str, ...]  # ("held out 68", network, "final")
Pairs = dict[str, tuple[Key, Key]]


class Claim(NamedTuple):
    """What is compared -> ours and the rival. The primary comparisons were named before the runs were judged."""

    primary: Pairs
    exploratory: Pairs
    statistic: _verdicts.Statistic = _verdicts.mean
    within: tuple[str, ...] = ()  # names of equivalences, within `BOUND`


def claims(kind: str) -> dict[str, Claim]:
    """All claims on data of one kind, "synthetic" or "real"; of several measures the first has the primary ones."""
    (data, end), (union, few) = KINDS[kind], UNIONS[kind]

    def of(network: str, how: str = "final") -> Key:
        return (f"{data} 68", network + end, how)

    def pair(ours: str, rival: str, how: str = "final", rival_how: str = "") -> Pairs:
        names = [f"{name}, {h}" if h not in ("final", "stage 1") else name
                 for name, h in ((ours, how), (rival, rival_how or how))]  # fmt: skip
        return {" against ".join(names): (of(ours, how), of(rival, rival_how or how))}

    def at_once(ours: str, rival: str, how: str = "final") -> Pairs:
        return {f"{ours} against {rival}": tuple((union, f"{network} {few}", how) for network in (ours, rival))}

    b1 = pair("coupled", "deep sparse") | pair("deep sparse", "deep")
    b1_more = pair("coupled", "deep") | pair("coupled", "masked")
    b2 = pair("joint", "deep") | pair("coupled", "joint") | pair("all labels", "coupled")
    b2_more = pair("coupled", "deep") | pair("joint", "deep", "averaged", "final")
    b2_more |= pair("coupled", "joint", "final", "averaged")
    first = partial(pair, how="stage 1")
    alike = {"tau 10 within 5 % of tau inf (a share)": (of("tau 10", "stage 1"), of("tau inf", "stage 1"))}
    b3 = first("tau 1.4", "tau 10") | first("tau 1.4", "tau inf") | alike | first("tau inf", "deep")
    b3_more = first("tau 1.0", "tau 10") | first("tau 1.0", "tau 1.4") | first("tau inf", "masked")
    b3_more |= first("tau 1.4", "masked") | first("tau 1.4", "deep")
    b4, b4_more = {}, {}
    for what, name in (("approximation", "error"), ("distance", "distance")):
        for ours, rival in (("1.4", "inf"), ("1.4", "10"), ("1.0", "inf"), ("1.0", "1.4")):
            two: Pairs = {f"{name}, tau {ours} against tau {rival}":
                          tuple((what, f"tau {tau}{end}") for tau in (ours, rival))}  # fmt: skip
            (b4 if (ours, rival) == ("1.4", "inf") else b4_more).update(two)
    b5 = at_once("coupled", "deep") | at_once("coupled", "SDM")
    b5_more = at_once("deep", "SDM")
    if kind == "real":
        b5_more |= at_once("coupled", "deep sparse")
        b5_more |= {"coupled, with drawn faces, against without": ((union, "coupled 91 mixed", "final"),
                                                                   (union, "coupled 91", "final")),
                    "coupled against deep, both with drawn faces": ((union, "coupled 91 mixed", "final"),
                                                                    (union, "deep 91 mixed", "final"))}  # fmt: skip
    shared = {f"{what}, shared landmarks": tuple((*key[:2], "common") for key in two)
              for what, two in (at_once("coupled", "deep") | at_once("coupled", "SDM")).items()}  # fmt: skip
    above = _verdicts.failure_rate
    return {
        "B1, above 0.03": Claim(b1, b1_more, above(3.0)),
        "B1, NRMSE": Claim({}, b1 | b1_more),
        "B2, above 0.03": Claim(b2, b2_more, above(3.0)),
        "B2, NRMSE": Claim({}, b2 | b2_more),
        "B3, NRMSE": Claim(b3, b3_more, within=tuple(alike)),
        "B3, above 0.05": Claim({}, {k: v for k, v in (b3 | b3_more).items() if k not in alike}, above(5.0)),
        "B4": Claim(b4, b4_more),
        "B5, NRMSE": Claim(b5, b5_more | shared),
        "B5, above 0.03": Claim({}, b5 | b5_more, above(3.0)),
    }


def used() -> set[Key]:
    """Every error that a claim compares."""
    return {key for kind in KINDS for claim in claims(kind).values()
            for part in claim[:2] for pair in part.values() for key in pair}  # fmt: skip


def judge(errors: Mapping[str, np.ndarray]) -> dict[str, dict[str, dict]]:
    """Claim -> kind of data -> what is compared -> its row, of all comparisons whose networks there are.

    errors: "held out 68, coupled, final" -> (seeds, images), and so on.
    """
    told: dict[str, dict[str, dict]] = {}
    for kind in KINDS:
        for name, claim in claims(kind).items():
            pairs = {what: _verdicts.paired(errors, *map(", ".join, pair))
                     for what, pair in (claim.primary | claim.exploratory).items()}  # fmt: skip
            pairs = {what: both for what, both in pairs.items() if both}
            within = {what: BOUND for what in claim.within if what in pairs}
            rows = _verdicts.judge(pairs, claim.statistic, within, claim.primary.keys() & pairs.keys())
            claimed, _, measure = name.partition(", ")
            known = told.setdefault(claimed, {}).setdefault(kind, {})
            known |= {f"{what}{measure and ', '}{measure}": each.row() for what, each in rows.items()}
    return told
