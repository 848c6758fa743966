"""The measurement of real faces against the two-step limit, on made-up shapes."""

import math

import pytest
import torch

from lddmmlib import flows
from lddmmlib.experiments import euler_folds, labels
from lddmmlib.faces import statistics

MEAN = statistics.real_300w().mean


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a, b, atol=1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def test_twelve_curves_take_each_landmark_once():
    assert len(euler_folds.CURVES) == 12
    assert sorted(i for c in euler_folds.CURVES.values() for i in range(68)[c]) == list(range(68))
    assert abs(euler_folds.LIMIT - 2.33) < 0.002


def test_widths_and_distances_by_loops():
    shapes = MEAN + 0.1 * normal(3, 68, 2)
    far, sigmas = euler_folds.farthest(shapes, MEAN), euler_folds.widths(MEAN)
    for c, curve in enumerate(euler_folds.CURVES.values()):
        x, y = MEAN[curve].T.tolist()
        sigma = (max(x) - min(x) + max(y) - min(y)) / 2
        assert sigmas[c].item() == pytest.approx(sigma)
        for k in range(3):
            longest = max(math.dist(a, b) for a, b in zip(shapes[k, curve].tolist(), MEAN[curve].tolist(), strict=True))
            assert far[k, c].item() == pytest.approx(longest / sigma)


def test_a_boxed_shape_has_the_means_box_and_its_own_turn():
    shapes = 40 * (MEAN + 0.05 * normal(4, 68, 2)) + 100
    there = euler_folds.boxed(shapes, MEAN)
    low, high = there.amin(1), there.amax(1)
    close((low + high) / 2, ((MEAN.amin(0) + MEAN.amax(0)) / 2).expand(4, 2))
    close((high - low).prod(-1), (MEAN.amax(0) - MEAN.amin(0)).prod().expand(4))
    scale = (there[:, 1:] - there[:, :1]) / (shapes[:, 1:] - shapes[:, :1])
    close(scale, scale[:, :1, :1].expand_as(scale))  # one number: no turn
    close(euler_folds.boxed(labels.in_box(MEAN, shapes), MEAN), MEAN.expand(4, 68, 2))


def test_fitted_momenta_lead_there():
    x0 = MEAN[36:42].expand(5, 6, 2)
    y = x0 + 0.02 * normal(5, 6, 2)
    alpha, off = euler_folds.fitted(x0, y, 0.19)
    close(flows.flow(x0, alpha, 0.19, 2, "euler").end, y, atol=1e-10)
    assert off.max() < 1e-10


def test_a_lone_landmark_folds_beyond_the_limit():
    x0 = torch.zeros(2, 1, 2, dtype=torch.float64)
    alpha = euler_folds.LIMIT * 0.5 * torch.tensor([[[0.6, 0.8]], [[0.6, 0.8]]], dtype=torch.float64)
    alpha = alpha * torch.tensor([0.93, 1.07], dtype=torch.float64)[:, None, None]
    assert euler_folds.folds(x0, alpha, 0.5).tolist() == [False, True]


def test_faces_beyond_the_limit_are_counted():
    """Of forty faces, all the mean but for a little noise, four have an open mouth: one curve moves far."""
    shapes = MEAN + 1e-3 * normal(40, 68, 2)
    sigma = euler_folds.widths(MEAN)[-1].item()
    shapes[::10, 65:68, 1] += 1.3 * euler_folds.LIMIT * sigma  # of their mean, a tenth less far
    told = euler_folds.beyond(shapes)
    lip = told["by_curve"]["inner lip, lower"]
    assert lip["beyond"] == 4
    assert told["beyond_percent"]["value"] == lip["beyond_percent"]["value"] == pytest.approx(10)
    fit = lip["exact_fit"]
    assert (fit["fitted"], fit["fitted_beyond"]) == (40, 4)
    assert (fit["folded_within"], fit["folded_beyond"]) == (0, 4)
    assert all(row["beyond"] == 0 for name, row in told["by_curve"].items() if name != "inner lip, lower")
