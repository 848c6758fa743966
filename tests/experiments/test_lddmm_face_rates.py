"""Learning rates: a small run, and that what is used is what was best."""

import json
import math

import pytest

from lddmmlib.experiments import _record, lddmm_face
from lddmmlib.experiments import lddmm_face_rates as experiment


def test_a_small_run(tmp_path, monkeypatch):
    monkeypatch.setattr(_record, "RUNS", tmp_path)
    told = experiment.rates(lddmm_face.SIZES["smoke"], faces=8, held_out=3, epochs=1)
    assert told["steps"] == 2
    assert told["nme_percent"].keys() == {"flow", "coordinates", "heat", "heat, pixel-wise"}
    for by_rate in told["nme_percent"].values():
        assert by_rate.keys() == {"0.002", "0.004", "0.01"}
        assert all(math.isfinite(error) for error in by_rate.values())
    mean_face = told["nme_percent"]["flow"]["0.002"]
    assert told["nme_percent"]["coordinates"]["0.002"] == pytest.approx(mean_face, rel=0.2)  # both start from it


def test_the_rates_in_use_are_the_best_ones():
    """As far as one training each tells: two of the same setting were up to a point apart."""
    figures = json.loads((_record.RESULTS / "lddmm_face_rates.json").read_text(encoding="utf-8"))["figures"]
    tried = {
        method: {float(rate): error for rate, error in row.items()} for method, row in figures["nme_percent"].items()
    }
    for method, rate in lddmm_face.RATES.items():
        assert tried[method][rate] < min(tried[method].values()) + 1, method
    assert max(tried["heat"].values()) < min(tried["heat, pixel-wise"].values())  # the stronger rival is the one used
