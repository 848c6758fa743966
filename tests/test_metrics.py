"""Errors, NME, NRMSE, FR, CED, AUC and NME_curve against hand-made numbers, plain loops and SciPy."""

import math
import os
from dataclasses import replace
from inspect import unwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import simpson
from scipy.spatial import cKDTree

from lddmmlib import metrics
from lddmmlib.faces import schemes
from tests.helpers import refused

S68 = schemes.get("300w-68")
NAN = float("nan")
TRIANGLE = torch.tensor([[0.0, 0.0], [30.0, 0.0], [0.0, 40.0]], dtype=torch.float64)
MISSED = TRIANGLE + torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 10.0]])  # by 5, 0 and 10 px

similarity = st.tuples(st.floats(0, 6.3), st.floats(0.1, 10), st.floats(-500, 500), st.floats(-500, 500))
some_seed = st.integers(0, 10_000)
few = settings(max_examples=25, deadline=None)


def faces(*batch, n=68, seed=0):
    return 100 + 30 * torch.randn(*batch, n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def with_gaps(points, share=0.2, seed=1):
    """The same faces with landmarks lost at random, but never the corners of the eyes."""
    lost = torch.rand(points.shape[:-1], generator=torch.Generator().manual_seed(seed)) < share
    lost[..., list(S68.corners)] = False
    return points.masked_fill(lost[..., None], NAN)


def moved(points, transform):
    angle, scale, dx, dy = transform
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    return points @ torch.tensor([[c, s], [-s, c]], dtype=points.dtype) + torch.tensor([dx, dy], dtype=points.dtype)


def curve(pred, truth, normaliser):
    return unwrap(metrics.nme_curve)(pred, truth, "300w-68", normaliser=normaliser).value


SCORES = [metrics.nme, metrics.nrmse, curve]


def close(a, b, atol=1e-12):
    torch.testing.assert_close(torch.as_tensor(a, dtype=b.dtype), b, rtol=0, atol=atol, equal_nan=True)


# --- the normaliser ------------------------------------------------------------------


@pytest.mark.parametrize(("name", "length"), [("box", math.sqrt(1200)), ("diagonal", 50.0), ("face", 35.0), (7.5, 7.5)])
def test_lengths_of_a_triangle(name, length):
    close(length, metrics.reference_distance(TRIANGLE, name))


@pytest.mark.parametrize(
    ("scheme", "corners", "pupils"),
    [
        ("300w-68", (36, 45), (range(36, 42), range(42, 48))),
        ("wflw-98", (60, 72), ([96], [97])),
        ("cofw-29", (8, 9), ([16], [17])),
        ("aflw-19", (6, 11), ([7], [10])),
    ],
)
def test_eye_distances_of_published_indices(scheme, corners, pupils):
    truth = faces(3, n=schemes.get(scheme).n)
    close(
        (truth[:, corners[0]] - truth[:, corners[1]]).norm(dim=-1),
        metrics.reference_distance(truth, "corners"),
    )
    centres = [truth[:, list(eye)].mean(1) for eye in pupils]
    close((centres[0] - centres[1]).norm(dim=-1), metrics.reference_distance(truth, "pupils", scheme))


@pytest.mark.parametrize("name", list(schemes.SCHEMES))
def test_number_of_landmarks_finds_the_scheme(name):
    scheme = schemes.get(name)
    truth = faces(2, n=scheme.n)
    found = metrics.reference_distance(truth, "corners")
    close(metrics.reference_distance(truth, "corners", name), found, atol=0)
    close(metrics.reference_distance(truth, "corners", scheme), found, atol=0)


def test_numbers_of_ones_own():
    truth = faces(2, 3)
    own = np.arange(1, 7).reshape(2, 3)  # integer box sizes, as data sets give them
    assert metrics.reference_distance(truth, own).tolist() == own.tolist()
    assert metrics.reference_distance(truth, torch.tensor(own)).dtype == truth.dtype
    assert metrics.reference_distance(truth, 2.0).tolist() == [[2.0] * 3] * 2


def test_unlabelled_lengths_are_nan():
    truth = faces(4)
    truth[0, 36] = NAN  # a corner, and a point of a pupil
    truth[1, 37, 0] = NAN  # half a landmark is none: a point of a pupil
    truth[2, 1:] = NAN
    truth[3] = NAN

    def unlabelled(name):
        return metrics.reference_distance(truth, name).isnan().tolist()

    assert unlabelled("corners") == [True, False, True, True]
    assert unlabelled("pupils") == [True, True, True, True]
    for box in ("box", "diagonal", "face"):
        assert unlabelled(box) == [False, False, True, True]
    assert metrics.reference_distance(truth, [1.0, NAN, 2.0, 3.0]).isnan().tolist() == [
        False,
        True,
        False,
        False,
    ]


def test_box_is_of_the_labelled():
    four = torch.cat([TRIANGLE, torch.tensor([[1000.0, NAN]], dtype=torch.float64)])
    close(35.0, metrics.reference_distance(four, "face"))


def test_impossible_lengths_are_refused():
    truth = faces(3)
    truth[1, 45] = truth[1, 36]
    refused(r"> 0, got 0 in image \(1,\) by the one 'corners'", metrics.reference_distance, truth, "corners")
    for bad in (0.0, -2.0, math.inf):
        refused("finite length > 0", metrics.reference_distance, truth, [1.0, bad, 1.0])
        refused("finite length > 0", metrics.reference_distance, truth[0], bad)


def test_normalisers_that_do_not_fit():
    truth, distance = faces(3), metrics.reference_distance
    refused("needed one of 'corners'.*got 'interocular'", distance, truth, "interocular")
    refused(r"shape \(3,\), or a single number; got shape \(2,\)", distance, truth, [1.0, 2.0])
    refused(r"got shape \(3, 1\)", distance, truth, np.ones((3, 1)))
    refused("needed pupils, got '300w-68'", distance, truth, "pupils", replace(S68, pupils=None))
    refused("68 landmarks, got 'wflw-98' of 98", distance, truth, "corners", "wflw-98")
    refused("68 landmarks, got 'wflw-98' of 98", distance, truth, "box", "wflw-98")  # even if it is not read
    refused("needed one of '300w-68'", distance, truth, "corners", "300w")
    refused("among 7 landmarks; got None; .*'box'", distance, faces(3, n=7), "corners")
    refused("needed it on cpu, got meta", distance, truth, torch.ones(3, device="meta"))


def test_two_schemes_of_as_many_landmarks_must_be_named(monkeypatch):
    monkeypatch.setitem(schemes.SCHEMES, "aflw-19", schemes.SCHEMES["cofw-29"])
    schemes._named.cache_clear()
    try:
        refused("name one .'cofw-29', 'aflw-19'.", metrics.reference_distance, faces(2, n=29), "corners")
    finally:
        schemes._named.cache_clear()


# --- errors, NME, NRMSE --------------------------------------------------------------


def test_a_triangle_by_hand():
    close([5 / 50, 0.0, 10 / 50], metrics.errors(MISSED, TRIANGLE, "diagonal"))
    close(15 / 3 / 50, metrics.nme(MISSED, TRIANGLE, "diagonal"))
    close(math.sqrt(125 / 3) / 50, metrics.nrmse(MISSED, TRIANGLE, "diagonal"))
    close(5.0, metrics.nme(MISSED, TRIANGLE, 1.0))  # in pixels


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_against_loops(dtype):
    pred, truth = faces(2, 5, seed=3).to(dtype), with_gaps(faces(2, 5, seed=4)).to(dtype)
    got = metrics.errors(pred, truth, "corners")
    assert got.dtype == dtype
    assert got.shape == (2, 5, 68)
    for i in range(2):
        for j in range(5):
            p, t = pred[i, j].double().numpy(), truth[i, j].double().numpy()
            d = np.hypot(*(t[36] - t[45]))
            one = [np.hypot(*(p[k] - t[k])) / d for k in range(68)]
            labelled = [e for e in one if not np.isnan(e)]
            assert 30 < len(labelled) < 68
            tolerance = 2e-6 if dtype == torch.float32 else 1e-12
            close(one, got[i, j].double(), 20 * tolerance)
            mean, rms = sum(labelled) / len(labelled), math.sqrt(sum(e * e for e in labelled) / len(labelled))
            assert abs(metrics.nme(pred, truth, "corners")[i, j].item() - mean) < tolerance * mean
            assert abs(metrics.nrmse(pred, truth, "corners")[i, j].item() - rms) < tolerance * rms


def test_nothing_labelled_scores_nan_alone():
    truth = faces(3)
    truth[1] = NAN
    for score in (metrics.nme, metrics.nrmse):
        assert score(faces(3, seed=1), truth, "box").isnan().tolist() == [False, True, False]
        assert score(faces(3, seed=1), truth, [1.0, 1.0, NAN]).isnan().tolist() == [False, True, True]


def test_missing_in_both_is_missing_but_a_failure_is_refused():
    truth, pred = faces(3), faces(3, seed=1)
    truth[2, 5] = pred[2, 5] = NAN
    assert metrics.errors(pred, truth, "corners").isnan().sum() == 1
    pred[1, 7, 1] = NAN
    for score in (metrics.errors, metrics.nme, metrics.nrmse):
        refused(r"got NaN at \(1, 7\); predict something", score, pred, truth, "corners")


def test_visible_and_occluded_apart():
    pred, truth = faces(4, seed=1), with_gaps(faces(4))
    visible = torch.rand(4, 68, generator=torch.Generator().manual_seed(2)) < 0.6
    visible[3] = True
    error = metrics.errors(pred, truth, "corners")
    apart = [metrics.nme(pred, truth, "corners", where=seen) for seen in (visible, ~visible)]
    assert apart[1].isnan().tolist() == [False, False, False, True]
    labelled = ~error.isnan()
    counts = [(seen & labelled).sum(-1) for seen in (visible, ~visible)]
    whole = sum(count * value.nan_to_num() for count, value in zip(counts, apart, strict=True)) / labelled.sum(-1)
    close(metrics.nme(pred, truth, "corners"), whole)
    close(error[0][visible[0]].nanmean(), apart[0][0])


def test_masks_that_do_not_fit():
    pred, truth = faces(4, seed=1), faces(4)
    refused("where: needed a boolean.*float32", metrics.nme, pred, truth, "corners", where=torch.ones(4, 68))
    mask = torch.ones(68, dtype=torch.bool)
    refused(r"where: .*shape \(4, 68\).*shape \(68,\)", metrics.nme, pred, truth, "corners", where=mask)


@few
@given(some_seed, similarity)
def test_a_similarity_of_both_changes_nothing(seed, transform):
    pred, truth = faces(3, seed=seed), faces(3, seed=seed + 1)
    for name in ("corners", "pupils"):
        before, after = (metrics.errors(f(pred), f(truth), name) for f in (lambda x: x, lambda x: moved(x, transform)))
        torch.testing.assert_close(after, before, rtol=1e-7, atol=1e-9)
    upright = (0.0, *transform[1:])  # a box turns with the image's axes, not with the face
    for name in ("box", "diagonal", "face"):
        before, after = (metrics.errors(f(pred), f(truth), name) for f in (lambda x: x, lambda x: moved(x, upright)))
        torch.testing.assert_close(after, before, rtol=1e-7, atol=1e-9)


@few
@given(some_seed, st.permutations(range(6)))
def test_images_do_not_see_each_other(seed, order):
    pred, truth = faces(6, seed=seed), with_gaps(faces(6, seed=seed + 1), seed=seed)
    for score in SCORES:
        together = score(pred, truth, "corners")
        close(together[list(order)], score(pred[list(order)], truth[list(order)], "corners"))
        close(together[2], score(pred[2], truth[2], "corners"))


@few
@given(some_seed)
def test_flipping_both_faces_changes_nothing(seed):
    pred, truth = faces(3, seed=seed), with_gaps(faces(3, seed=seed + 1), seed=seed)
    mirror = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    flipped = [(x * mirror)[:, list(S68.flip)] for x in (pred, truth)]
    for name in ("corners", "diagonal"):
        close(metrics.nme(pred, truth, name), metrics.nme(*flipped, name))
    for part, mirrored in zip(*(metrics.nme_curve(*x, S68) for x in ((pred, truth), flipped)), strict=True):
        close(part, mirrored)


@few
@given(some_seed)
def test_nme_is_never_above_nrmse(seed):
    pred, truth = faces(3, seed=seed), faces(3, seed=seed + 1)
    assert (metrics.nme(pred, truth, "face") <= metrics.nrmse(pred, truth, "face")).all()
    shifted = truth + torch.tensor([3.0, 4.0])
    close(metrics.nme(shifted, truth, "face"), metrics.nrmse(shifted, truth, "face"))


@pytest.mark.parametrize("score", SCORES)
def test_gradients_are_exact_and_survive_gaps(score):
    truth = with_gaps(faces(3))
    truth[1, 36] = NAN  # no normaliser
    truth[2] = NAN
    pred = faces(3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: score(x, truth, "corners").nansum(), pred)
    score(pred, truth, "corners").nansum().backward()
    assert not pred.grad[1:].any()  # zero, not NaN
    # In a curve an absent true point leaves its prediction others to be near to.
    counts = torch.ones(68, dtype=torch.bool) if score is curve else ~truth[0].isnan().any(-1)
    assert torch.equal(pred.grad[0].abs().sum(-1) > 0, counts)


@pytest.mark.parametrize("score", SCORES)
def test_a_perfect_prediction_is_zero_with_zero_gradient(score):
    truth = with_gaps(faces(2))
    pred = truth.clone().requires_grad_()
    value = score(pred, truth, "corners")
    value.sum().backward()
    assert value.tolist() == [0.0, 0.0]
    assert not pred.grad.any()


def test_faces_that_do_not_fit():
    pred, truth = faces(3, seed=1), faces(3)
    for score in (metrics.errors, curve):
        refused("pred: needed floating-point", score, pred.long(), truth, "corners", error=TypeError)
        refused(
            "truth: needed a torch tensor|Type-check error",
            score,
            pred,
            truth.numpy(),
            "corners",
            error=TypeError,
        )
        refused("single or double precision", score, pred.half(), truth.half(), "corners", error=TypeError)
        refused("pred: needed points of shape", score, pred[..., :1], truth, "corners")
        refused(
            "got torch.float64 on cpu and torch.float32 on cpu; use truth.to",
            score,
            pred,
            truth.float(),
            "corners",
        )
        refused(r"skip empty batches", score, pred[:0], truth[:0], "corners")
        infinite = truth.clone()
        infinite[1, 2, 0] = math.inf
        refused(r"truth: needed finite.*inf at \(1, 2, 0\)", score, pred, infinite, "corners")
        refused(r"pred: needed finite.*inf at \(1, 2, 0\)", score, infinite, truth, "corners")
    refused(r"one shape, got \(3, 68, 2\) and \(3, 67, 2\)", metrics.errors, pred, truth[:, :67], "box")
    refused(r"one shape, got \(3, 68, 2\) and \(68, 2\)", metrics.errors, pred, truth[0], "box")


# --- failure rate, CED, AUC ----------------------------------------------------------

FOUR = torch.tensor([0.02, 0.05, 0.10, 0.30], dtype=torch.float64)


def test_four_images_by_hand():
    close(0.25, metrics.failure_rate(FOUR, 0.1))  # 0.10 is not above 0.1
    close([0.0, 0.25, 0.5, 0.75, 1.0], metrics.ced(FOUR, [0.0, 0.02, 0.05, 0.1, 0.3]))
    close((0.8 + 0.5 + 0 + 0) / 4, metrics.auc(FOUR, 0.1))


def test_by_landmark_first_then_over_landmarks():
    errors = torch.tensor([[0.2, 0.0], [0.0, NAN], [0.0, NAN], [0.0, 0.2]], dtype=torch.float64)
    close((1 / 4 + 1 / 2) / 2, metrics.failure_rate(errors, 0.1))  # pooled over the pairs it would be 2/6
    close([(3 / 4 + 1 / 2) / 2, 1.0], metrics.ced(errors, [0.1, 0.2]))
    close((3 / 4 + 1 / 2) / 2, metrics.auc(errors, 0.1))
    never = torch.cat([errors, torch.full((4, 1), NAN, dtype=torch.float64)], 1)
    close(metrics.failure_rate(errors, 0.1), metrics.failure_rate(never, 0.1))
    close(metrics.ced(errors, [0.1, 0.2]), metrics.ced(never, [0.1, 0.2]))


@few
@given(some_seed, st.floats(0.01, 1.0))
def test_complete_labels_pool(seed, t):
    errors = metrics.errors(faces(9, seed=seed), faces(9, seed=seed + 1), "box")
    for f in (metrics.failure_rate, metrics.auc, lambda e, t: metrics.ced(e, [t])[0]):
        close(f(errors.flatten(), t), f(errors, t))


def test_a_face_never_found_counts_as_failed_and_an_unscored_one_not_at_all():
    lost = torch.cat([FOUR, torch.tensor([math.inf])])
    close(2 / 5, metrics.failure_rate(lost, 0.1))
    close([3 / 5, 4 / 5], metrics.ced(lost, [0.1, 1e30]))
    close(metrics.auc(FOUR, 0.1) * 4 / 5, metrics.auc(lost, 0.1))
    unscored = torch.cat([torch.tensor([NAN]), FOUR])
    close(metrics.failure_rate(FOUR, 0.1), metrics.failure_rate(unscored, 0.1))
    close(metrics.ced(FOUR, [0.0, 0.05, 0.3]), metrics.ced(unscored, [0.0, 0.05, 0.3]))
    close(metrics.auc(FOUR, 0.1), metrics.auc(unscored, 0.1))


@few
@given(some_seed, st.sampled_from([torch.float32, torch.float64]))
def test_ced_rises_and_is_what_does_not_fail(seed, dtype):
    errors = metrics.errors(faces(9, seed=seed), with_gaps(faces(9, seed=seed + 1)), "box").to(dtype)
    ticks = torch.cat([torch.linspace(0.01, 1.5, 20, dtype=dtype), errors[0, 40:43].nan_to_num(0.5)])
    for e in (errors, errors.nanmean(-1)):
        rising = metrics.ced(e, ticks.sort().values)
        assert (rising.diff() >= 0).all()
        fails = torch.stack([metrics.failure_rate(e, t.item()) for t in ticks])
        close(1 - fails, metrics.ced(e, ticks), atol=1e-6 if dtype == torch.float32 else 1e-12)
        assert rising.dtype == fails.dtype == dtype


def area_of_steps(errors, t):
    """∫_0^t CED / t by adding up the rectangles between one error and the next."""
    edges = np.concatenate([[0.0], np.sort(errors[errors < t]), [t]])
    return sum(k / len(errors) * (edges[k + 1] - edges[k]) for k in range(len(edges) - 1)) / t


@few
@given(some_seed, st.sampled_from([0.05, 0.07, 0.08, 0.1]))
def test_auc_is_the_area_under_the_steps(seed, t):
    errors = torch.rand(40, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 0.15
    area = metrics.auc(errors, t).item()
    assert abs(area - area_of_steps(errors.numpy(), t)) < 1e-12
    grid = (np.arange(200_000) + 0.5) * t / 200_000
    assert abs(area - metrics.ced(errors, grid).mean().item()) < 1e-4


def test_the_usual_grid_overshoots():
    """Steps up to t + step, divided by t: released codes give a perfect method more than 1."""
    t, step = 0.07, 0.0001
    grid = np.arange(0, t + step, step)
    assert grid[-1] > t + step / 2

    def usual(errors):
        return simpson([np.mean(errors <= x) for x in grid], x=grid) / t

    perfect = torch.zeros(10, dtype=torch.float64)
    assert metrics.auc(perfect, t) == 1.0
    assert abs(usual(perfect.numpy()) - (t + step) / t) < 1e-9
    errors = torch.rand(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.1
    excess = usual(errors.numpy()) - metrics.auc(errors, t).item()
    assert 0.5 < excess / (step / t * metrics.ced(errors, [t]).item()) < 1.5  # one cell too many


def test_auc_has_its_gradient():
    errors = torch.tensor([0.02, 0.05, NAN, 0.30], dtype=torch.float64, requires_grad=True)
    metrics.auc(errors, 0.1).backward()
    close([-10 / 3, -10 / 3, 0.0, 0.0], errors.grad)


def test_errors_and_thresholds_that_do_not_fit():
    for f, t in ((metrics.failure_rate, 0.1), (metrics.auc, 0.1), (metrics.ced, [0.1])):
        refused("floating-point tensor, got list", f, [0.1], t, error=TypeError)
        refused("got torch.int64", f, torch.ones(3, dtype=torch.int64), t, error=TypeError)
        refused(r"or \(images, landmarks\), got \(2, 3, 4\)", f, torch.ones(2, 3, 4), t)
        refused(r"got \(\)", f, torch.tensor(0.1), t)
        refused(r"none in \(0,\)", f, torch.ones(0), t)
        refused(r"none in \(2, 3\)", f, torch.full((2, 3), NAN), t)
        refused("distances >= 0, got -1", f, torch.tensor([0.1, -1.0]), t)
    for bad in (0.0, -0.1, NAN, math.inf):
        refused("threshold: needed a number > 0", metrics.failure_rate, FOUR, bad)
        refused("threshold: needed a number > 0", metrics.auc, FOUR, bad)
    for bad in ([-0.1, 0.1], [NAN], [math.inf], 0.1, [[0.1]]):
        refused(r"thresholds: needed \(k,\) finite numbers", metrics.ced, FOUR, bad)


# --- NME_curve -----------------------------------------------------------------------


PUPILS = {"wflw-98": {96, 97}, "cofw-29": {16, 17}, "lfw-74": {54, 55}}  # of no curve


def nearest_both_ways(pred, truth, of_pred, of_truth, d):
    """NME_curve of one face, by SciPy's trees, part by part."""
    values = {}
    for part in metrics.PARTS:
        p, t = (
            points[sorted(set(scheme.parts[part]) - PUPILS.get(scheme.name, set()))]
            for points, scheme in ((pred, of_pred), (truth, of_truth))
        )
        p, t = p[~np.isnan(p).any(1)], t[~np.isnan(t).any(1)]
        if len(p) and len(t):
            both = [*cKDTree(t).query(p)[0], *cKDTree(p).query(t)[0]]
            values[part] = sum(both) / len(both) / d
    return values


@pytest.mark.parametrize(
    ("of_pred", "of_truth"),
    [("300w-68", None), ("wflw-98", "300w-68"), ("300w-68", "helen-194"), ("cofw-29", "lfw-74")],
)
def test_curves_against_trees(of_pred, of_truth):
    a, b = schemes.get(of_pred), schemes.get(of_truth or of_pred)
    pred, truth = faces(2, 3, n=a.n, seed=1), faces(2, 3, n=b.n, seed=2)
    if b is S68:
        truth = with_gaps(truth)
    pred[..., ::5, :] = NAN
    got = metrics.nme_curve(pred, truth, of_pred, of_truth)
    for i in range(2):
        for j in range(3):
            d = (truth[i, j, b.corners[0]] - truth[i, j, b.corners[1]]).norm().item()
            want = nearest_both_ways(pred[i, j].numpy(), truth[i, j].numpy(), a, b, d)
            for part in metrics.PARTS:
                close(want[part], getattr(got, part)[i, j])
            close(sum(want.values()) / len(want), got.value[i, j])


def test_pupils_are_on_no_curve():
    pred, truth = faces(2, seed=1), faces(2, n=98)
    before = metrics.nme_curve(pred, truth, S68, "wflw-98")
    truth[:, 96:] = torch.tensor([[[3.0, 3.0], [NAN, NAN]]])
    for a, b in zip(before, metrics.nme_curve(pred, truth, S68, "wflw-98"), strict=True):
        close(a, b, atol=0)


def test_a_small_curve_by_hand():
    """Brows of 3 and 2 points on a line; the other parts agree perfectly."""
    parts = dict(zip(metrics.PARTS, [(2,), (0, 1), (2,), (2,), (2,)], strict=True))
    two = replace(schemes.get("aflw-19"), n=3, parts=parts, corners=(0, 2))
    three = replace(two, n=4, parts=parts | {"brows": (0, 1, 3)})
    pred = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 10.0], [9.0, 0.0]], dtype=torch.float64)
    truth = torch.tensor([[1.0, 0.0], [5.0, 0.0], [1.0, 10.0]], dtype=torch.float64)  # corners 10 apart
    got = metrics.nme_curve(pred, truth, three, two)
    close((1 + 1 + 4 + 1 + 1) / 5 / 10, got.brows)  # pooled; the two means averaged would be (2 + 1) / 2 / 10
    close(1.0 / 10, got.eyes)
    close((got.brows + 4 * got.eyes) / 5, got.value)


def test_curves_have_no_side():
    a, b = faces(4, seed=1), with_gaps(faces(4, seed=2))
    for there, back in zip(
        metrics.nme_curve(a, b, S68, normaliser=1.0),
        metrics.nme_curve(b, a, S68, normaliser=1.0),
        strict=True,
    ):
        close(there, back)


@few
@given(some_seed, similarity)
def test_a_similarity_of_both_leaves_curves(seed, transform):
    pred, truth = faces(2, seed=seed), faces(2, n=98, seed=seed)
    before = metrics.nme_curve(pred, truth, S68, "wflw-98")
    after = metrics.nme_curve(moved(pred, transform), moved(truth, transform), S68, "wflw-98")
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


def test_order_within_a_part_does_not_matter():
    pred, truth = faces(2, seed=1), faces(2)
    shuffled = pred.clone()
    shuffled[:, list(S68.parts["mouth"])] = pred[:, list(S68.parts["mouth"])[::-1]]
    close(metrics.nme_curve(pred, truth, S68).mouth, metrics.nme_curve(shuffled, truth, S68).mouth)


def test_absent_parts_are_left_out():
    pred, truth = faces(2, seed=1), faces(2)
    truth[0, list(S68.parts["mouth"])] = NAN
    got = metrics.nme_curve(pred, truth, S68)
    assert got.mouth.isnan().tolist() == [True, False]
    close(torch.stack(got[1:5]).mean(0)[0], got.value[0])
    close(torch.stack(got[1:]).mean(0)[1], got.value[1])
    faceless = replace(S68, parts=dict(S68.parts) | {"edge": ()})
    assert metrics.nme_curve(pred, truth, faceless, S68).edge.isnan().all()
    assert metrics.nme_curve(pred, truth, S68, faceless).edge.isnan().all()


def test_curves_without_normaliser_are_nan():
    pred, truth = faces(2, seed=1), faces(2)
    truth[1, 36] = NAN
    assert all(x.isnan().tolist() == [False, True] for x in metrics.nme_curve(pred, truth, S68))


def test_a_part_that_failed_is_refused():
    pred, truth = faces(2, 2, seed=1), faces(2, 2)
    pred[1, 0, list(S68.parts["nose"])] = NAN
    refused(r"point of the nose .*in image \(1, 0\)", metrics.nme_curve, pred, truth, S68)
    truth[1, 0, list(S68.parts["nose"])] = NAN
    assert metrics.nme_curve(pred, truth, S68).nose.isnan().sum() == 1


def test_curves_are_measured_a_few_at_a_time(monkeypatch):
    pred, truth = faces(7, 3, seed=1), faces(7, 3, n=98)
    whole = metrics.nme_curve(pred, truth, S68, "wflw-98")
    sizes, cdist = [], torch.cdist
    monkeypatch.setattr(torch, "cdist", lambda *a, **k: (d := cdist(*a, **k), sizes.append(d.numel()))[0])
    monkeypatch.setattr(metrics, "AT_ONCE", 1200)
    for a, b in zip(whole, metrics.nme_curve(pred, truth, S68, "wflw-98"), strict=True):
        close(a, b, atol=0)
    assert max(sizes) <= 1200
    assert len(sizes) > 15


def test_near_landmarks_keep_their_digits():
    """Single precision, far from the origin: expanding the square would lose a hundredth of a pixel."""
    truth = (faces(2) + 2000).float()
    pred = truth + torch.tensor([0.0, 0.015625])  # exact in binary
    close(torch.full((2,), 0.015625), metrics.nme_curve(pred, truth, S68, normaliser=1.0).value, atol=1e-7)


def test_curves_that_do_not_fit():
    pred, truth = faces(3, seed=1), faces(3, n=98)
    refused("pred_scheme: .*68 landmarks, got 'wflw-98'", metrics.nme_curve, pred, truth, "wflw-98")
    refused("truth_scheme: .*98 landmarks, got '300w-68'", metrics.nme_curve, pred, truth, "300w-68")
    refused("one batch, got", metrics.nme_curve, pred[:2], truth, "300w-68", "wflw-98")
    refused("needed one of", metrics.nme_curve, pred, truth, "300w", "wflw-98")


# --- on real annotations -------------------------------------------------------------

REAL = os.environ.get("LDDMMLIB_REAL_DATA")
real = [
    pytest.mark.real,
    pytest.mark.skipif(not REAL, reason="LDDMMLIB_REAL_DATA does not name the folder of real data"),
]


@pytest.fixture
def shapes():
    with np.load(Path(REAL) / "shapes_300w_train.npz") as file:
        return torch.from_numpy(file["pts"]).double()


class TestReal:
    pytestmark = real

    def test_pupils_score_worse_than_corners_by_the_published_ratio(self, shapes):
        pred = shapes + 0.03 * metrics.reference_distance(shapes, "corners")[:, None, None]
        pupils, corners = (metrics.nme(pred, shapes, name).mean() for name in ("pupils", "corners"))
        assert abs((pupils / corners).item() - 1.404) < 0.02  # 1.404 on the test faces of 300W

    def test_a_perfect_subset_is_not_free(self, shapes):
        """46 of the 68 points, each exactly right: the cost of not interpolating, in per cent."""
        subset = [*range(0, 17, 2), 17, 19, 21, 22, 24, 26, *range(27, 32), 33, *range(35, 49)]
        subset += [50, 52, 54, 55, 57, 59, 60, 62, 64, 65, 67]
        assert len(subset) == 46
        pred = torch.full_like(shapes, NAN)
        pred[:, subset] = shapes[:, subset]
        got = [round(100 * x.mean().item(), 2) for x in metrics.nme_curve(pred, shapes, "300w-68")]
        assert got[1:] == [6.35, 3.62, 1.06, 0.0, 1.56]
        assert round(got[0], 1) == 2.5
