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
from typing import Any, NamedTuple

from lddmmlib.experiments import _verdicts

ABOVE_3 = _verdicts.failure_rate(3.0)  # % of the face's size
BOUND = 0.05  # what "similarly" may differ by
KINDS = {"synthetic": ("held out 68", ""), "real": ("frames 68", " frames")}  # data, the end of its networks' names
UNIONS = {"synthetic": ("held out 113", "113"), "real": ("photographs 91", "91")}
Pairs = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]  # two keys each: ("held out 68", network, "final")


class Claim(NamedTuple):
    """What is compared -> ours and the rival. The primary comparisons were named before the runs were judged."""

    primary: Pairs
    exploratory: Pairs
    statistic: _verdicts.Statistic = _verdicts.mean


def versus(text: str, what: str, end: str = "", how: str = "final") -> Pairs:
    """Comparisons from "ours < rival; ..."; a network's name may say how it is asked, behind a comma."""

    def of(name: str) -> tuple[str, ...]:
        network, _, own = name.partition(", ")
        return tuple(filter(None, (what, network + end, own or how)))

    return {f"{a} against {b}": (of(a), of(b)) for a, b in (each.split(" < ") for each in text.split("; "))}


def claims(kind: str) -> dict[str, Claim]:
    """All claims on data of one kind, "synthetic" or "real"; of several measures the first has the primary ones."""
    (data, end), (union, n) = KINDS[kind], UNIONS[kind]
    final, first = partial(versus, what=data, end=end), partial(versus, what=data, end=end, how="stage 1")
    b1 = final("coupled < deep sparse; deep sparse < deep")
    b1_more = final("coupled < deep; coupled < masked")
    b2 = final("joint < deep; coupled < joint; all labels < coupled")
    b2_more = final("coupled < deep; joint, averaged < deep; coupled < joint, averaged")
    b3 = first("tau 1.4 < tau 10; tau 1.4 < tau inf; tau inf < deep")
    b3_more = first("tau 1.0 < tau 10; tau 1.0 < tau 1.4; tau inf < masked; tau 1.4 < masked; tau 1.4 < deep")
    alike = {"tau 10 within 5 % of tau inf (a share)": next(iter(first("tau 10 < tau inf").values()))}
    kept = ("tau 1.4 < tau inf", "tau 1.4 < tau 10; tau 1.0 < tau inf; tau 1.0 < tau 1.4")
    b4, b4_more = ({f"{what}, {name}": pair for what in ("approximation", "distance")
                    for name, pair in versus(text, what, end, "").items()} for text in kept)  # fmt: skip
    both = f"coupled {n} < deep {n}; coupled {n} < SDM {n}"
    b5, b5_more = versus(both, union), versus(f"deep {n} < SDM {n}", union)
    if kind == "real":
        more = "coupled 91 < deep sparse 91; coupled 91 mixed < coupled 91; coupled 91 mixed < deep 91 mixed"
        more += "; coupled 91 tuned < coupled 91; coupled 91 tuned < coupled 91 mixed; coupled 91 tuned < deep 91 tuned"
        more += "; coupled 91 tuned < coupled 91 drawn; coupled 91 drawn < coupled 91; coupled 91 drawn < deep 91 drawn"
        b5_more |= versus(more, union)
    common = {f"{name}, shared landmarks": pair for name, pair in versus(both, union, how="common").items()}
    return {
        "B1, above 0.03": Claim(b1, b1_more, ABOVE_3),
        "B1, NRMSE": Claim({}, b1 | b1_more),
        "B2, above 0.03": Claim(b2, b2_more, ABOVE_3),
        "B2, NRMSE": Claim({}, b2 | b2_more),
        "B3, NRMSE": Claim(b3 | alike, b3_more),
        "B3, above 0.05": Claim({}, b3 | b3_more, _verdicts.failure_rate(5.0)),
        "B4": Claim(b4, b4_more),
        "B5, NRMSE": Claim(b5, b5_more | common),
        "B5, above 0.03": Claim({}, b5 | b5_more, ABOVE_3)}  # fmt: skip


def judge(errors: Mapping[str, Any]) -> dict[str, dict[str, dict]]:
    """Claim -> kind of data -> what is compared -> its row, of all comparisons whose networks there are; where no
    primary one is among them, none.

    errors: "held out 68, coupled, final" -> (seeds, images), and so on.
    """
    told: dict[str, dict[str, dict]] = {}
    for kind in KINDS:
        for name, claim in claims(kind).items():
            pairs = {what: both for what, pair in (claim.primary | claim.exploratory).items()
                     if (both := _verdicts.paired(errors, *map(", ".join, pair)))}  # fmt: skip
            within = {what: BOUND for what in pairs if " within " in what}
            rows = _verdicts.judge(pairs, claim.statistic, within, claim.primary.keys() & pairs.keys())
            claimed, _, measure = name.partition(", ")
            named = {f"{what}{measure and ', '}{measure}": each.row() for what, each in rows.items()}
            told.setdefault(claimed, {}).setdefault(kind, {}).update(named)
    return {claim: {kind: rows for kind, rows in kinds.items() if any(row["primary"] for row in rows.values())}
            for claim, kinds in told.items()}  # fmt: skip
