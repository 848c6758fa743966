"""What is compared with what, and that verdicts can be taken from the recorded side file."""

import numpy as np
import pytest

from lddmmlib.experiments import _runs, _subpixel_claims, subpixel


def made_up(n=200, seeds=3):
    """Errors in which a network's number of letters, and a decoder's, is what it costs."""
    rng = np.random.default_rng(0)
    noise = rng.random((1, n))
    return {f"{data}, {run}, {way}": 5 + noise + len(run) + len(way) + 0.01 * rng.random((seeds, n))
            for data in _subpixel_claims.KINDS.values() for run, way in sorted(_subpixel_claims.used())}  # fmt: skip


def test_each_comparison_is_ours_against_the_rival():
    told = _subpixel_claims.judge(made_up())
    assert {claim: len(kinds["real"]) for claim, kinds in told.items()} == {"C2": 12, "C3": 4, "C4": 13}
    for name, claim in _subpixel_claims.claims().items():
        for what, (ours, rival) in (claim.primary | claim.exploratory).items():
            for kind in ("synthetic", "real"):
                row, want = told[name][kind][what], sum(map(len, ours)) - sum(map(len, rival))
                assert row["primary"] == (what in claim.primary)
                if what not in claim.within:
                    assert row["difference"] == pytest.approx(want, abs=0.01), what
                    expected = "holds" if want < 0 else "contradicted" if want > 0 else "inconclusive"
                    assert row["verdict"] == expected, what
    assert told["C3"]["real"]["Siamese"]["difference"] == pytest.approx(3, abs=0.01)  # 7 letters, its control has 4
    equal = "5 x 5 within 5 % of {0} x {0}, σ 2 (a share)"
    assert told["C4"]["real"][equal.format(3)]["verdict"] == "holds"
    errors = made_up()
    errors["photographs, none, window 7"] = 1.2 * errors["photographs, none, window 5"]
    told = _subpixel_claims.judge(errors)["C4"]
    assert told["real"][equal.format(7)]["verdict"] == "contradicted"
    assert told["synthetic"][equal.format(7)]["verdict"] == "holds"


def test_what_was_not_trained_is_not_compared():
    errors = {key: e for key, e in made_up().items() if "corrected" not in key}
    told = _subpixel_claims.judge(errors)["C2"]["synthetic"]
    assert len(told) == 8  # of two rivals, with Siamese and without, and of four decoders
    assert not any("correction" in what for what in told)


def test_one_factor_at_a_time():
    """Between neighbours in the paper's table 2, and between windows, either the network or the decoder changes."""
    claims = _subpixel_claims.claims()
    for ours, rival in claims["C3"].primary.values():
        assert sum(a != b for a, b in zip(ours, rival, strict=True)) == 1
    pairs = claims["C4"].primary | claims["C4"].exploratory
    assert all(a[0] == b[0] for a, b in pairs.values())
    assert claims["C4"].primary["5 x 5 against none (quarter), σ 2"][1] == ("none", "quarter")


def test_the_recorded_runs_have_all_that_is_compared():
    keys = set(_runs.stacked(_runs.recorded("subpixel", subpixel.EXPERIMENTS["subpixel"], "notebook")))
    assert {f"{d}, {r}, {w}" for d in _subpixel_claims.KINDS.values() for r, w in _subpixel_claims.used()} <= keys
