import os

import numpy as np
import pytest
import torch
from scipy import stats

from lddmmlib.experiments import labels
from lddmmlib.faces import schemes, statistics

real = pytest.mark.skipif("LDDMMLIB_REAL_DATA" not in os.environ, reason="LDDMMLIB_REAL_DATA is not set")


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_interval_is_scipys_bootstrap():
    x = normal(80)
    judge = stats.bootstrap((x.numpy(),), np.mean, n_resamples=4000, method="percentile", rng=0)
    ours = labels.interval(x, labels.mean, resamples=4000)
    np.testing.assert_allclose(ours, judge.confidence_interval, atol=0.02)
    assert torch.equal(ours, labels.interval(x, labels.mean, resamples=4000))


def test_the_interval_of_a_vector_has_one_row_a_component():
    told = labels.with_interval(normal(50, 2) + torch.tensor([10.0, -10.0]))
    (a, b), (c, d) = told["interval"]
    assert a < told["value"][0] < b
    assert c < told["value"][1] < d < 0 < a


def test_agreement_tells_offset_from_spread():
    d = torch.tensor([3.0, -4.0], dtype=torch.float64) + 0.5 * normal(4000, 2)
    told = {k: v["value"] for k, v in labels._agreement(d).items()}
    np.testing.assert_allclose(told["offset"], [3, -4], atol=0.05)
    np.testing.assert_allclose(told["spread"], 0.5 * 2**0.5, atol=0.02)
    np.testing.assert_allclose([told["mean"], told["median"]], [5.025, 5.025], atol=0.03)
    assert told["percentile_90"] == pytest.approx(np.quantile(d.norm(dim=-1), 0.9))


def test_agreement_is_measured_in_each_faces_own_frame(monkeypatch):
    many = 30 * normal(68, 2)
    many[[36, 45]] = torch.tensor([[-50.0, 0.0], [50.0, 0.0]], dtype=torch.float64)
    few = schemes.convert(many, "300w-68", "cofw-29").nan_to_num() + torch.tensor([3.0, -4.0])
    b, c = torch.randn(2, 12, 1, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))

    def photographed(x):
        return torch.view_as_real(torch.view_as_complex(x) * b + c)

    monkeypatch.setattr(labels, "annotated_twice", lambda: (photographed(many), photographed(few)))
    got = labels.annotator_agreement()
    for told in (*got["same_points"].values(), *got["same_by_meaning"].values()):
        np.testing.assert_allclose(told["offset"]["value"], [3, -4], atol=1e-9)
        assert told["mean"]["value"] == pytest.approx(5)
        assert told["spread"]["value"] == pytest.approx(0, abs=1e-9)
    assert got["corner_distance_ratio"]["value"] == pytest.approx(1)


def test_in_box_gives_the_centre_and_the_size_but_no_turn():
    mean = normal(68, 2)
    shapes = 40 * normal(3, 68, 2, seed=1) + 100
    got = labels.in_box(mean, shapes)
    for x, want in zip(got, shapes, strict=True):
        (low, high), (a, b) = ((y.amin(0), y.amax(0)) for y in (x, want))
        torch.testing.assert_close(low + high, a + b)
        torch.testing.assert_close((high - low).prod(), (b - a).prod())
    move = statistics.similarity(mean, got).linear
    torch.testing.assert_close(move, move.diagonal(dim1=-2, dim2=-1).diag_embed())


def test_interpolation_is_numpys_along_each_curve_and_around_the_closed():
    points = normal(2, 68, 2)
    between = {1: (0, 2), 18: (17, 19), 20: (19, 21), 28: (27, 29), 37: (36, 38)}
    between |= {41: (40, 36), 59: (58, 48), 61: (60, 62), 67: (66, 60)}
    holes = points.clone()
    holes[:, list(between)] = torch.nan
    got = labels.interpolated(holes, "300w-68")
    kept = [i for i in range(68) if i not in between]
    assert torch.equal(got[:, kept], points[:, kept])
    for i, (a, b) in between.items():
        torch.testing.assert_close(got[:, i], (points[:, a] + points[:, b]) / 2)
    holes[:, [2, 3]] = torch.nan
    want = points[:, :1] + torch.tensor([0.25, 0.5, 0.75]).reshape(1, 3, 1) * (points[:, 4:5] - points[:, :1])
    torch.testing.assert_close(labels.interpolated(holes, "300w-68")[:, 1:4], want)


# On real faces


@real
@pytest.mark.real
def test_the_floor_of_nme_curve_is_the_one_in_the_facts():
    got = labels.nme_curve_floor()
    want = {"overall": 2.5, "edge": 6.35, "brows": 3.62, "nose": 1.06, "eyes": 0.0, "mouth": 1.56}
    for part, value in want.items():
        assert got["bare_percent"][part]["value"] == pytest.approx(value, abs=0.05 if part == "overall" else 0.005)
        assert got["interpolated_percent"][part]["value"] <= got["bare_percent"][part]["value"]
    assert (got["count"], got["landmarks"]) == (2800, 46)


@real
@pytest.mark.real
def test_pupils_make_an_error_some_1_4_times_larger_than_corners():
    got = labels.shape_spread()
    for by in ("box", "similarity"):  # 1.404 on the test set of 300-W
        assert got["pupil_over_corner_nme"][by] == pytest.approx(1.404, abs=0.03)
    nme = got["nme_percent"]
    assert all(nme["similarity"][n]["value"] < nme["box"][n]["value"] for n in labels.NORMALISERS)


@real
@pytest.mark.real
def test_two_annotators_agree_best_on_what_both_schemes_mark():
    got = labels.annotator_agreement()
    names = [schemes.get("cofw-29").names[i] for i in labels.SAME_IN_29]
    assert list(got["same_points"]) == names
    assert len(got["same_by_meaning"]) == 11
    together = got["same_points_together"]["mean"]
    assert together["interval"][0] < together["value"] < together["interval"][1]
    assert 2 < together["value"] < 4  # per cent of the eye-corner distance
    brow = got["brow_of_68_to_edges_down"]
    assert abs(brow["upper"]["value"]) < abs(brow["lower"]["value"])
