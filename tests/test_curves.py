"""Points grouped into curves: padding, lines, gaps, and groups that do not fit."""

import pytest
import torch

from lddmmlib import currents
from lddmmlib.curves import Curves, as_curves
from tests.helpers import CLOSED, close, face, points, refused


def test_padding_gives_back_what_it_took_and_no_gradient_to_what_it_added():
    curves = face(2)
    x = curves.points.clone().requires_grad_()
    padded = curves.pad(x)
    assert padded.shape == (2, 4, 5, 2)
    close(curves.unpad(padded), x, atol=0)
    curves.unpad(padded).sum().backward()
    close(x.grad, torch.ones_like(x), atol=0)
    assert curves.mask().sum().item() == 13


def test_lines_close():
    lines = face().lines()
    x = face().points
    close(lines[0], x[[0, 1, 2, 3, 3, 3]], atol=0)
    close(lines[1], x[[6, 5, 4, 6, 6, 6]], atol=0)
    close(lines[3], x[[8, 9, 10, 11, 12, 8]], atol=0)


def scheme(points=None, **options):
    """Two of five curves are empty, one is a lone point; points 3, 9 and 13 are in none."""
    x = points_of_the_scheme(points)
    return Curves(
        x,
        [[0, 1, 2], [], [12, 11, 10], [8], slice(0, 0), range(4, 8)],
        [False, True, True, False, False, True],
        **options,
    )


def points_of_the_scheme(batch):
    return points(*(batch or ()), 14)


def test_empty_curves_and_points_in_no_curve_are_padded_and_given_back():
    face = scheme((2,))
    assert face.free == (3, 9, 13)
    padded, mask = face.pad(face.points), face.mask()
    assert padded.shape == (2, 6, 4, 2)
    assert mask[..., 0].sum(-1).tolist() == [3, 0, 3, 1, 0, 4]
    close(face.unpad(padded, face.points), face.points, atol=0)
    close(face.unpad(padded)[:, list(face.free)], torch.zeros(2, 3, 2), atol=0)
    close(face.unpad(torch.stack([padded, 2 * padded]), face.points)[1, :, 9], face.points[:, 9], atol=0)
    x = face.points.clone().requires_grad_()
    face.unpad(face.pad(x) * mask).sum().backward()
    held = [i not in face.free for i in range(14)]
    close(x.grad, torch.tensor(held)[:, None].expand(2, 14, 2), atol=0)


def test_curves_that_are_all_empty():
    face = Curves(points(3), [[], slice(0, 0)])
    assert face.free == (0, 1, 2)
    close(currents.norm2(face, 1.5), torch.zeros(2))
    close(face.unpad(face.pad(face.points), face.points), face.points, atol=0)


def test_an_empty_curve_is_the_current_zero():
    face, other = scheme(), scheme().with_points(points(14, seed=1))
    norms = currents.norm2(face, 1.5)
    assert (norms > 0).tolist() == [True, False, True, False, False, True]
    full = Curves(other.points, [[0, 1, 2], [3, 9], [12, 11, 10], [8], [], range(4, 8)])
    close(currents.distance2(face, full, 1.5)[1], currents.norm2(full, 1.5)[1])
    x = face.points.clone().requires_grad_()
    currents.distance2(face.with_points(x), other, 1.5).sum().backward()
    assert x.grad.isfinite().all()
    assert not x.grad[list(face.free)].any()


def test_points_in_no_curve_count_for_no_curve():
    z, y = scheme((2,)), scheme((2,)).with_points(points(2, 14, seed=1))
    elsewhere = y.points.clone()
    elsewhere[:, list(y.free)] += 100
    for term in (currents.landmark_discrepancy, lambda a, b: currents.distance2(a, b, 1.5)):
        close(term(z, y), term(z, y.with_points(elsewhere)), atol=0)
    assert currents.landmark_discrepancy(z, y)[:, 1].tolist() == [0, 0]


def test_a_curve_without_extent_may_have_a_width_of_zero():
    """By the rule that a curve's extent sets it; each other needs one above 0."""
    face, sigma = scheme(), [1.0, 0.0, 2.0, 0.0, 0.0, 3.0]
    for given in (sigma, torch.tensor(sigma, dtype=torch.float64)):
        close(currents.norm2(face, given), currents.norm2(face, [1.0, 9.0, 2.0, 9.0, 9.0, 3.0]))
    refused("sigma: needed a number > 0, got 0", currents.norm2, face, [0.0, *sigma[1:]])
    refused("sigma: needed a number > 0, got -1", currents.norm2, face, [1.0, -1.0, *sigma[2:]])
    refused("sigma: needed a number > 0, got False", currents.norm2, face, [1.0, False, *sigma[2:]], error=TypeError)
    full = Curves(face.points, [[0, 1, 2], [3, 9], [12, 11, 10], [8], [], range(4, 8)])
    refused("sigma: needed a number > 0, got 0", currents.distance2, face, full, sigma)  # the other one has an extent


# --- gaps ----------------------------------------------------------------------------


def shorter(face, k, present):
    """Curve k of the points that are there, by taking the others out."""
    return face.points[[i for i in face.indices[k] if present[i]]]


@pytest.mark.parametrize("seed", range(30))
def test_joined_over_gaps_is_the_shorter_curve(seed):
    """In a batch whose gaps differ; at ends, in closed curves, and of whole curves."""
    batch = face(3, seed=seed)
    missing = torch.rand(3, 13, generator=torch.Generator().manual_seed(seed)) < (0.2, 0.5, 0.8)[seed % 3]
    missing[0, [4, 5, 6]] = True  # a whole curve
    missing[1, [8, 12]] = True  # both ends of a closed one
    missing[2, [0, 3]] = True  # and of an open one
    gaps = batch.points.masked_fill(missing[..., None], torch.nan)
    for joined in (batch.joined_over_gaps(gaps), batch.joined_over_gaps(batch.points, missing)):
        norms = currents.norm2(joined, [1.0, 2.0, 1.5, 0.7])
        for b in range(3):
            for k, (sigma, closed) in enumerate(zip([1.0, 2.0, 1.5, 0.7], CLOSED, strict=True)):
                x = shorter(face(3, seed=seed).with_points(batch.points[b]), k, ~missing[b])
                close(norms[b, k], currents.norm2(x, sigma, closed) if len(x) > 1 else 0.0)
        close(joined.points[~missing], batch.points[~missing], atol=0)


def test_without_gaps_nothing_changes():
    batch = scheme((2,))
    close(batch.joined_over_gaps(batch.points).points, batch.points, atol=0)


def test_gradients_over_a_gap_are_those_of_the_shorter_curve():
    whole, missing = face(), torch.zeros(13, dtype=torch.bool)
    missing[[1, 5, 8, 9]] = True
    x = whole.points.clone().requires_grad_()
    currents.norm2(whole.joined_over_gaps(x, missing), 1.3).sum().backward()
    apart = whole.points.clone().requires_grad_()
    sum(
        currents.norm2(apart[[i for i in curve if not missing[i]]], 1.3, closed)
        for curve, closed in zip(whole.indices, CLOSED, strict=True)
        if len(curve) > 1
    ).backward()
    close(x.grad, apart.grad)
    assert not x.grad[missing].any()


def test_a_missing_point_in_no_curve_is_put_at_zero():
    face = scheme()
    x = face.points.clone()
    x[[3, 8]] = torch.nan  # in no curve; the only one of its curve
    joined = face.joined_over_gaps(x)
    close(joined.points[[3, 8]], torch.zeros(2, 2), atol=0)
    close(joined.points[9], face.points[9], atol=0)


def test_gaps_that_do_not_fit():
    face = scheme((2,))
    x = face.points
    refused("missing: needed booleans .2, 14., one a point", Curves.joined_over_gaps, face, x, torch.zeros(14).bool())
    refused("missing: needed booleans", Curves.joined_over_gaps, face, x, torch.zeros(2, 14))
    refused(r"points: needed \(..., 14, 2\)", Curves.joined_over_gaps, face, x[:, 1:])
    refused("points: needed finite", Curves.joined_over_gaps, face, x / 0)
    gap = x.clone()
    gap[0, 0] = torch.nan
    refused("points: needed finite", Curves.with_points, face, gap)  # who does not say that gaps are joined


# --- what is refused -----------------------------------------------------------------


def test_a_tensor_is_one_curve():
    x = points(5)
    assert as_curves(x, closed=True).indices == ((0, 1, 2, 3, 4),)
    close(currents.norm2(as_curves(x, closed=True), 1.0)[0], currents.norm2(x, 1.0, closed=True))
    assert as_curves(scheme()).indices == scheme().indices


def test_groups_that_do_not_fit():
    x = points(5)
    refused("got pairs and point 1 in 0; a curve is slice", Curves, x, [(0, 2), (3, 4)])  # (start, stop) is no slice
    refused("point 2 in 2", Curves, x, [slice(0, 3), slice(2, 5)])
    refused("points 0 to 4, got point 5", Curves, x, [range(6)])
    refused("points 0 to 4, got point -1", Curves, x, [[0, -1]])
    refused("at least one curve, got none", Curves, x, [])
    refused("closed: needed one flag or 2", Curves, x, [range(3), range(3, 5)], [True])
    refused("needed finite", Curves, x.log(), [range(5)])
    refused(r"needed \(..., 5, 2\), got \(4, 2\)", Curves.with_points, Curves(x, [range(5)]), points(4))
    refused("sigma: needed 1 numbers, one a curve; got 2", currents.norm2, Curves(x, [range(5)]), [1.0, 2.0])
    refused("sigma: needed a number: these points are no Curves", currents.norm2, x, [1.0])
    refused("sigma: needed a number > 0, got -1", currents.norm2, Curves(x, [range(5)]), [-1.0])
