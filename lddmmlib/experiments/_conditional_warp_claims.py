"""What paper D claims (D1 to D7) as comparisons of adapted landmarkers, and the verdicts.

The errors are those of `conditional_warp`, or of its recorded runs: a judgement needs no training. "source" is the
landmarker that all others start from, "more source" the same after as many steps more. "unseen" is the mean over the
styles that nobody was shown. The claims name no test; primary are, all on the first target:

D1, tables 2 and 4: the target and unseen styles against source alone, in either sense, and the target against each
rival; photographs within `BOUND` of the start. D3: a second kind of landmarker against its own start. D4, figure 7:
against joint optimisation, target and unseen. D5, table 5: against each other image gradient. D6, table 6: against
pixels, features, and no warper. D7, figure 8: the spline at predicted landmarks against two dense flows, on places of
the boundary that are no controls. D2, table 3: what coordinates gain less what maps gain. The second target and the
third, video frames without labels, are exploratory, and so is all that tells the parts of the method apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from lddmmlib.experiments import _verdicts

BOUND = 0.05  # what "hardly suffers" may be, as a share
OURS = "alternating"
RIVALS = ("features", "Fourier", "output")
GRADIENTS = ("sobel colour", "spatial", "spatial colour", "laplacian", "laplacian colour", "canny", "canny colour")
Key = tuple[str, ...]  # ("painterly", network) or ("warp painterly", network, way)


class Claim(NamedTuple):
    """What is compared -> ours and the rival; four keys: ours less its start against the rival less its start."""

    primary: dict[str, tuple[Key, ...]]
    exploratory: dict[str, tuple[Key, ...]]


def _against(what: str, *rivals: str, ours: str = OURS, more: str = "") -> dict[str, tuple[Key, ...]]:
    """Ours against networks that were adapted to the same target, on one set."""
    return {f"{what}: {ours}{more} against {r}": ((what, ours + more), (what, r)) for r in rivals}


def _hardly(network: str) -> dict[str, tuple[Key, ...]]:
    return {f"photo: {network} within 5 % of source (a share)": (("photo", network), ("photo", "source"))}


def _target(target: str, seen: str, unseen: str, rivals: tuple[str, ...] = (*RIVALS, "joint")) -> dict:
    """What is compared of another target than the first."""
    others = [f"{name} {target}" for name in (*rivals, "self-training")]
    start = ("source", "more source")
    return {
        **_against(seen, *start, *others, more=f" {target}"),
        **_against(unseen, *start, more=f" {target}"),
        **_against(seen, "source", ours="oracle", more=f" {target}"),
        **_hardly(f"{OURS} {target}"),
    }


def claims() -> dict[str, dict[str, Claim]]:
    """Claim -> kind of data -> its comparisons."""
    start, parts = ("source", "more source"), ("self-training", "released", "proximal 0", "proximal 3")
    d1 = _against("painterly", *start, *RIVALS) | _against("unseen", *start) | _hardly(OURS)
    more = _against("painterly", *parts, "translator") | _against("unseen", *RIVALS, *parts, "translator")
    for name in ("oracle", "more source", *RIVALS, "translator", "self-training"):
        more |= _against("painterly", "source", ours=name)
    gains = {f"painterly: gain of coordinates against {n}":
             (("painterly", OURS), ("painterly", "source"), ("painterly", f"{OURS} {n}"), ("painterly", f"source {n}"))
             for n in ("HRNet", "hourglass")}  # fmt: skip
    second = {f"{what}: with {n} against its start": ((what, f"{OURS} {n}"), (what, f"source {n}"))
              for what in ("painterly", "unseen") for n in ("hourglass", "HRNet")}  # fmt: skip
    dense = {f"{who}, against {how}": (("warp painterly", who, "spline"), ("warp painterly", who, how))
             for who in (OURS, "source") for how in ("DIS", "Farneback", "none", "spline at the truth")}  # fmt: skip
    first = {name: pair for name, pair in dense.items() if name.startswith(OURS) and pair[1][2] in ("DIS", "Farneback")}
    views = ("pixels", "perceptual", "self-training")
    return {
        "D1": {"synthetic": Claim(d1, more | _target("cartoon", "cartoon", "unseen")),
               "real": Claim(_against("frames", *start, more=" frames"),
                             _target("frames", "frames", "photographs") | _against("photographs", *start)
                             | _against("frames", "source", ours="oracle", more=" frames"))},
        "D2": {"synthetic": Claim(gains, {})},
        "D3": {"synthetic": Claim({k: second.pop(k) for k in list(second)[:1]}, second)},
        "D4": {"synthetic": Claim(_against("painterly", "joint") | _against("unseen", "joint"), {}),
               "real": Claim(_against("frames", "joint frames", more=" frames"), {})},
        "D5": {"synthetic": Claim(_against("painterly", *GRADIENTS), _against("unseen", *GRADIENTS))},
        "D6": {"synthetic": Claim(_against("painterly", *views), _against("unseen", *views))},
        "D7": {"synthetic": Claim(first, {k: v for k, v in dense.items() if k not in first})},
    }  # fmt: skip


def _paired(errors: Mapping[str, Any], keys: tuple[Key, ...]) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Both sides of a comparison, of as many seeds as all have; None where one was not measured."""
    found = [errors.get(", ".join(key)) for key in keys]
    if any(each is None for each in found):
        return None
    seeds = min(map(len, found))
    ours, rival, *more = (np.asarray(each[:seeds], dtype=np.float64) for each in found)
    sides = {"ours": ours - rival, "rival": more[0] - more[1]} if more else {"ours": ours, "rival": rival}
    return _verdicts.paired(sides, "ours", "rival")


def judge(errors: Mapping[str, Any]) -> dict[str, dict[str, dict]]:
    """Claim -> kind of data -> what is compared -> its row, of all comparisons whose networks there are; where no
    primary one is among them, none.

    errors: "painterly, alternating" -> (seeds, images), "warp painterly, source, DIS" and so on.
    """
    told: dict[str, dict[str, dict]] = {}
    for name, kinds in claims().items():
        for kind, claim in kinds.items():
            pairs = {what: both for what, keys in (claim.primary | claim.exploratory).items()
                     if (both := _paired(errors, keys))}  # fmt: skip
            within = {what: BOUND for what in pairs if " within " in what}
            primary = claim.primary.keys() & pairs.keys()
            rows = _verdicts.judge(pairs, within=within, primary=primary)
            told.setdefault(name, {}).update({kind: {k: each.row() for k, each in rows.items()}} if primary else {})
    return told
