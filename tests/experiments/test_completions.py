"""Ways to complete predicted landmarks: what each is right for."""

import pytest
import torch

from lddmmlib.experiments import _completions
from lddmmlib.faces import curve_sets, schemes, statistics

MEAN = 60 * statistics.real_300w().mean
SCHEME = schemes.get("300w-68")
KEPT = list(curve_sets.fraction("300w-68", 1 / 2))


def affine(x):
    return x @ torch.tensor([[1.2, 0.3], [-0.2, 0.9]], dtype=x.dtype) + torch.tensor([5.0, -3.0], dtype=x.dtype)


def test_interpolation_weighs_two_neighbours_of_one_curve():
    W = _completions.interpolation(MEAN, SCHEME, KEPT, MEAN, SCHEME)
    torch.testing.assert_close(W.sum(1), torch.ones(68, dtype=W.dtype))
    assert (W >= 0).all()
    assert ((W > 0).sum(1) <= 2).all()
    torch.testing.assert_close(W[KEPT][:, KEPT], torch.eye(len(KEPT), dtype=W.dtype))
    for name, curve in SCHEME.curves.items():
        used = {int(i) for j in curve for i in W[j].nonzero()}
        assert used <= set(curve), name


def test_interpolation_is_exact_on_straight_curves():
    """Between two landmarks of a curve, and moved by an affine map: these keep shares of a straight line."""
    points = MEAN.clone()
    jaw = list(SCHEME.curves["jaw"])
    points[jaw] = torch.stack([torch.linspace(-70, 70, len(jaw)), torch.full((len(jaw),), 90.0)], -1).double()
    W = _completions.interpolation(points, SCHEME, KEPT, points, SCHEME)
    moved = affine(points)
    torch.testing.assert_close((W @ moved)[jaw], moved[jaw])


def test_a_curve_without_landmarks_takes_the_nearest():
    kept = [i for i in range(68) if i not in SCHEME.curves["left_brow"]]
    W = _completions.interpolation(MEAN, SCHEME, kept, MEAN, SCHEME)
    j = SCHEME.curves["left_brow"][2]
    nearest = min(kept, key=lambda i: float((MEAN[i] - MEAN[j]).norm()))
    assert W[j].nonzero().flatten().tolist() == [nearest]


@pytest.mark.parametrize("target", ["wflw-98", "cofw-29"])
def test_the_moved_mean_is_exact_for_affine_maps(target):
    wanted = schemes.convert(MEAN, "300w-68", target)
    wanted = wanted[wanted.isfinite().all(-1)]
    pred = affine(MEAN)[None]
    found = _completions.moved_mean(pred, MEAN, wanted)
    torch.testing.assert_close(found[0], affine(wanted), atol=1e-2, rtol=0)


def test_the_moved_mean_takes_coinciding_predictions():
    pred = MEAN.clone()[None]
    pred[0, 3] = pred[0, 4]
    assert _completions.moved_mean(pred, MEAN, MEAN).isfinite().all()


def test_h_finds_a_linear_rule():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, 2, generator=g).double() + 3
    y = (0.5 * x[:, 1] + 0.5 * x[:, 4])[:, None]
    H = _completions.sparse(x, [1, 2, 4], y)
    torch.testing.assert_close(H, torch.tensor([[0, 0.5, 0, 0, 0.5, 0]], dtype=H.dtype), atol=1e-6, rtol=0)
