"""What paper E claims (E1 to E7) as comparisons of trained networks and their decoders, and the verdicts.

The errors are those of `wasserstein`, or of its recorded runs: a judgement needs no training. Networks are named by
loss and σ in 64ths of the map: "W 3" is paper E's loss alone with σ = 3/64, "L2 1" the baseline, of which it changes
three things: loss, σ and decoder. Tables 7 to 11 compare these two, each read by its own decoder, `OURS` and `BASE`;
the factors one by one are among the exploratory comparisons. FRL t: the share of landmarks whose error is above t % of
the distance of the eyes' corners, in each image, %; its mean over images is the paper's FR^L.

E1, table 2. E2, table 6, at one σ, as good within `BOUND`. E3: four protocols for the paper's (`PROTOCOLS`). E4, tables
8 and 9, both sizes of ellipse and of blur. E5, table 10, at σ = 1/64, where the data are not those of training: video
frames, and drawn faces behind large ellipses. E6: each network, behind large ellipses. E7, table 11: what W gains with
68 landmarks against what it gains with 17, and with 98 against 68.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from torch import Tensor

from lddmmlib.experiments import _verdicts

BOUND = 0.05  # what "small" may be, as a share
Key = tuple[str, str, str]  # ("held out 68 NME", network, decoder)
Way = tuple[str, str]  # (network, decoder)
OURS, BASE, RECIPE = ("W 3", "bc"), ("L2 1", "max"), ("recipe 3", "bc")
KINDS = {"synthetic": "held out", "real": "photographs"}
HARD = {"synthetic": "held out large ellipse 68", "real": "frames 68"}  # what E5 is measured on
PROTOCOLS = {  # name -> kind of data, what is measured on, what the networks have learnt
    "studio -> wild, 68 points": ("synthetic", "held out 68", " studio"),
    "studio -> wild, 29 points": ("synthetic", "held out 14", " studio 29"),
    "68 points -> video frames": ("real", "frames 68", ""),
    "98 points -> video frames": ("real", "frames 52", " 98"),
}
NETWORKS = ("HRNet", "CPN", "SimpleBaselines")
DENSE = ("17", "68 of 98", "98")  # landmarks that the networks of E7 have learnt


class Claim(NamedTuple):
    """What is compared -> ours and the rival; a side of two keys is the first less the second."""

    primary: dict[str, tuple]
    exploratory: dict[str, tuple]
    within: tuple[str, ...] = ()  # names of equivalences, within `BOUND`


def _two(what: str, ours: Way = OURS, base: Way = BASE, more: str = "") -> tuple[Key, Key]:
    """Two networks, each read by its decoder, that have learnt the same."""
    return (what, ours[0] + more, ours[1]), (what, base[0] + more, base[1])


def _factors(what: str) -> dict[str, tuple[Key, Key]]:
    """One change at a time, and the recipe."""
    ways = {
        "W against L2, σ 3, both MAX": (("W 3", "max"), ("L2 3", "max")),
        "W against L2, σ 1, both MAX": (("W 1", "max"), BASE),
        "σ 3 against 1, L2": (("L2 3", "max"), BASE),
        "σ 3 against 1, W": (OURS, ("W 1", "bc")),
        "recipe against L2, σ 1": (RECIPE, BASE),
        "recipe against W alone": (RECIPE, OURS),
        "recipe against cross-entropy": (RECIPE, ("CE 3", "bc")),
        "W against cross-entropy": (OURS, ("CE 3", "bc")),
    }
    return {f"{what}: {name}": _two(what, *pair) for name, pair in ways.items()}


@cache
def claims(kind: str) -> Mapping[str, Claim]:
    """All claims on a kind of data."""
    data, hard = KINDS[kind], f"{HARD[kind]} FRL 20"
    nme, large = f"{data} 68 NME", f"{data} large ellipse 68 FRL 20"
    sizes = [f"{size} {how}" for how in ("ellipse", "blur") for size in ("large", "medium")]
    equal = {f"W, σ {s}, within 5 % of L2, σ 1 (a share)": _two(nme, (f"W {s}", "bc")) for s in (1, 3)}
    first, second = equal
    rivals = {
        "Jensen-Shannon, MAX": ("JS 1", "max"),
        "Jensen-Shannon, BC": ("JS 1", "bc"),
        "soft-argmax": ("soft", "bc"),
    }
    across = {name: _two(f"{what} FRL 10", more=more) for name, (of, what, more) in PROTOCOLS.items() if of == kind}
    out = {
        "E1": Claim(
            {"W, σ 3: BC against MAX": _two(nme, OURS, ("W 3", "max")),
             "L2, σ 1: MAX against BC": _two(nme, BASE, ("L2 1", "bc"))},
            {"W, σ 1: BC against MAX": _two(nme, ("W 1", "bc"), ("W 1", "max")),
             "L2, σ 3: MAX against BC": _two(nme, ("L2 3", "max"), ("L2 3", "bc")),
             "recipe, σ 3: BC against MAX": _two(nme, RECIPE, ("recipe 3", "max"))},
        ),
        "E2": Claim({first: equal[first]}, {second: equal[second], **_factors(nme)}, tuple(equal)),
        "E3": Claim(across, _factors("frames 68 FRL 10") if kind == "real" else {}),
        "E4": Claim(
            {f"{name}, FRL 20": _two(f"{data} {name} 68 FRL 20") for name in sizes},
            {f"{name}, NME": _two(f"{data} {name} 68 NME") for name in sizes} | _factors(large)
            | {f"CoordConv, σ {s}, large ellipse": _two(large, (f"W {s} coords", "bc"), (f"W {s}", "bc"))
               for s in (1, 3)},
        ),
        "E5": Claim(
            {f"against {name}, σ 1": _two(hard, ("W 1", "bc"), rival) for name, rival in rivals.items()},
            {"against Jensen-Shannon, BC, σ 3": _two(hard, OURS, ("JS 3", "bc")),
             "recipe against Jensen-Shannon, BC, σ 3": _two(hard, RECIPE, ("JS 3", "bc"))},
        ),
        "E6": Claim(
            {"hourglass": _two(large)} | {name: _two(large, more=f" {name}") for name in NETWORKS},
            {f"{name}, nothing hidden, NME": _two(nme, more=f" {name}") for name in NETWORKS},
        ),
    }  # fmt: skip
    if kind == "synthetic":
        pairs = {few: _two("held out 17 FRL 20", more=f" {few}") for few in DENSE}
        gain = {few: pair[::-1] for few, pair in pairs.items()}  # the baseline's error less ours
        less = {"gain with 68 points less than with 17": (gain["68 of 98"], gain["17"]),
                "gain with 98 points less than with 68": (gain["98"], gain["68 of 98"])}  # fmt: skip
        out["E7"] = Claim(less, {f"W against L2, {few} points": pair for few, pair in pairs.items()})
    return out


def _keys(pair: tuple) -> list[Key]:
    """The errors that a comparison reads, ours first."""
    return [key for side in pair for key in ([side] if isinstance(side[0], str) else side)]


@cache
def used() -> frozenset[Key]:
    """Every error that a claim compares."""
    parts = [part for kind in KINDS for claim in claims(kind).values() for part in claim[:2]]
    return frozenset(key for part in parts for pair in part.values() for key in _keys(pair))


def _paired(errors: Mapping[str, np.ndarray], pair: tuple) -> tuple[Tensor, Tensor] | None:
    """Both sides of a comparison, of as many seeds as all have; None where one was not measured."""
    found = [errors.get(", ".join(key)) for key in _keys(pair)]
    if any(each is None for each in found):
        return None
    seeds = min(map(len, found))
    a, b, *more = (np.asarray(each[:seeds], dtype=np.float64) for each in found)
    sides = (a - b, more[0] - more[1]) if more else (a, b)
    return _verdicts.paired(dict(zip(("ours", "rival"), sides, strict=True)), "ours", "rival")


def judge(errors: Mapping[str, np.ndarray]) -> dict[str, dict[str, dict]]:
    """Claim -> kind of data -> what is compared -> its row, of all comparisons whose networks there are.

    errors: "held out 68 NME, W 3, bc" -> (seeds, images), and so on.
    """
    told: dict[str, dict[str, dict]] = {}
    for kind in KINDS:
        for name, claim in claims(kind).items():
            pairs = {what: _paired(errors, pair) for what, pair in (claim.primary | claim.exploratory).items()}
            pairs = {what: both for what, both in pairs.items() if both}
            within = {what: BOUND for what in claim.within if what in pairs}
            rows = _verdicts.judge(pairs, within=within, primary=claim.primary.keys() & pairs.keys())
            known = told.setdefault(name, {})
            if claim.primary.keys() & rows.keys():  # a claim does not stand on its exploratory comparisons alone
                known[kind] = {what: each.row() for what, each in rows.items()}
    return told
