"""The curve sets of paper A: what its released code publishes, and what follows from any mean face."""

import re
from itertools import pairwise

import pytest
import torch

from lddmmlib.experiments._real import real_shapes
from lddmmlib.faces import curve_sets, schemes, statistics, synthetic
from lddmmlib.faces.placements import SCHEMES

HAVE = ("300w-68", "wflw-98", "helen-194", "cofw-29")
# σ_V of the released code, in its 112-px frame.
RELEASED = [36.1889, 32.2242, 11.2157, 11.2157, 7.2351, 6.5614, 6.4939, 6.4939, 12.0834, 7.9841, 9.3308, 3.0845]
# Which curves of the target ride with each of the source, and which curve of HELEN, its nose in two, each of 300W.
MAPS = {
    ("300w-68", "wflw-98"): [(k,) for k in range(12)],
    ("wflw-98", "300w-68"): [(k,) for k in range(12)],
    ("helen-194", "300w-68"): [(0,), (1,), (4, 5), (8,), (9,), (10,), (11,), (7,), (6,), (3,), (2,)],
}
HELEN_IN_TWELVE = [range(21), range(21, 41), (*range(41, 45), *range(54, 58)), range(45, 54), range(58, 72),
                   range(72, 86), range(86, 100), range(100, 114), range(114, 134), range(134, 154), range(154, 174),
                   range(174, 194)]  # fmt: skip


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("scheme", "curves", "alone"), [("300w-68", 12, 0), ("wflw-98", 12, 2), ("helen-194", 11, 0), ("cofw-29", 11, 2)]
)
def test_each_landmark_lies_in_one_curve_but_for_pupils(scheme, curves, alone):
    found = curve_sets.get(scheme)
    assert len(found) == curves
    inside = [i for landmarks in found.values() for i in landmarks]
    left = set(range(schemes.get(scheme).n)) - set(inside)
    assert len(inside) == len(set(inside)) == schemes.get(scheme).n - alone
    assert {schemes.get(scheme).placements[i].curve for i in left} <= {"left_pupil", "right_pupil"}


@pytest.mark.parametrize("scheme", HAVE[:3])
def test_the_released_curves_are_consecutive(scheme):
    inside = [i for landmarks in curve_sets.get(scheme).values() for i in landmarks]
    assert inside == list(range(len(inside)))


def test_along_a_curve_of_29_points_neighbours_are_near():
    """A wrong order would make the line longer."""
    face = synthetic.sample(0, "studio", size=64, scheme="cofw-29").landmarks
    for landmarks in curve_sets.get("cofw-29").values():
        line = face[list(landmarks)]
        for k in range(1, len(line) - 2):
            other = line[[*range(k), k + 1, k, *range(k + 2, len(line))]]
            assert line.diff(dim=0).norm(dim=-1).sum() < other.diff(dim=0).norm(dim=-1).sum()


@pytest.mark.parametrize(("source", "target"), MAPS)
def test_the_published_maps_of_curves(source, target):
    curves = list(curve_sets.get(target).values())
    for riding, which in zip(curve_sets.riders(source, target), MAPS[source, target], strict=True):
        own = {i for c in which for i in curves[c]}
        assert set(riding) - own <= {96, 97}
        assert own <= set(riding)


def test_helens_nose_is_in_two_where_300w_carries_it():
    riding = curve_sets.riders("300w-68", "helen-194")
    published = (0, 1, 11, 10, 2, 3, 9, 8, 4, 5, 6, 7)
    assert [set(r) for r in riding] == [set(HELEN_IN_TWELVE[c]) for c in published]


@pytest.mark.parametrize("source", HAVE)
@pytest.mark.parametrize("target", SCHEMES)
def test_every_landmark_of_any_scheme_rides_once(source, target):
    riding = [i for each in curve_sets.riders(source, target) for i in each]
    assert sorted(riding) == list(range(schemes.get(target).n))


@pytest.mark.parametrize("scheme", HAVE)
def test_in_its_own_scheme_a_landmark_rides_with_its_curve(scheme):
    for riding, own in zip(curve_sets.riders(scheme, scheme), curve_sets.get(scheme).values(), strict=True):
        assert set(own) <= set(riding)


def test_the_map_changes_sides_with_the_mirror():
    flip, names = schemes.get("helen-194").flip, list(curve_sets.get("300w-68"))
    by_name = dict(zip(names, curve_sets.riders("300w-68", "helen-194"), strict=True))
    assert {flip[i] for i in by_name["left eye"]} == set(by_name["right eye"])
    assert {flip[i] for i in by_name["nose base"]} == set(by_name["nose base"])


# ------------------------------------------------------------------------------------------------------------ widths


@pytest.mark.parametrize("scheme", HAVE[:3])
def test_widths_by_the_rule_in_any_frame(scheme):
    mean = normal(schemes.get(scheme).n, 2)
    for shape, size in ((mean, 1.0), (112 * mean - 40, 112.0)):
        for sigma, i in zip(curve_sets.widths(shape, scheme), curve_sets.get(scheme).values(), strict=True):
            x, y = mean[list(i)].T.tolist()
            assert sigma.item() == pytest.approx(size * (max(x) - min(x) + max(y) - min(y)) / 2)


def ratios(mean):
    """Widths over the released ones, over their middle on a logarithmic scale: one free scale."""
    log = (curve_sets.widths(mean, "300w-68") / torch.tensor(RELEASED).double()).log()
    return (log - (log.amin() + log.amax()) / 2).exp()


def test_the_ratios_of_the_released_widths_are_those_of_real_faces():
    assert (ratios(statistics.real_300w().mean) - 1).abs().max() < 0.03


def test_the_ratios_of_the_released_widths_on_the_shapes_themselves():
    try:
        shapes = real_shapes()
    except RuntimeError as error:
        pytest.skip(str(error))
    for mean in (statistics.procrustes(shapes, schemes.get("300w-68").corners).mean, shapes.mean(0)):
        assert (ratios(mean) - 1).abs().max() < 0.03


def test_a_curve_of_one_point_is_as_wide_as_its_part_of_the_face():
    mean = normal(29, 2)
    found = dict(zip(curve_sets.get("cofw-29"), curve_sets.widths(mean, "cofw-29").tolist(), strict=True))

    def extent(i):
        return (mean[list(i)].amax(0) - mean[list(i)].amin(0)).mean().item()

    assert found["nose bridge"] == pytest.approx(extent((18, 19, 20, 21)))
    assert found["inner lip, lower"] == found["outer lip, lower"] == pytest.approx(extent(range(22, 28)))
    assert found["jaw"] == pytest.approx(extent(range(29)))
    assert found["left eye"] == pytest.approx(extent((8, 12, 10, 13)))


# ----------------------------------------------------------------------------------------------------------- subsets


@pytest.mark.parametrize(("scheme", "count"), curve_sets.RELEASED_SUBSETS)
def test_the_released_subsets(scheme, count):
    subset = curve_sets.RELEASED_SUBSETS[scheme, count]
    assert len(set(subset)) == len(subset) == count
    assert list(subset) == sorted(subset)
    for landmarks in curve_sets.get(scheme).values():
        assert len(set(landmarks) & set(subset)) >= 2


@pytest.mark.parametrize("scheme", HAVE)
@pytest.mark.parametrize("share", [1.0, 1 / 2, 1 / 3, 1 / 4])
def test_true_fractions_keep_the_ends_and_are_even(scheme, share):
    subset, inside = set(curve_sets.fraction(scheme, share)), 0
    for name, landmarks in curve_sets.get(scheme).items():
        at = [k for k, i in enumerate(landmarks) if i in subset]
        ends = {0, len(landmarks) // 2} if name.endswith("eye") else {0, len(landmarks) - 1}
        assert ends <= set(at), name
        assert abs(len(at) - share * len(landmarks)) < 1 or len(at) == 2, name
        gaps = [b - a for a, b in pairwise(at)]
        assert not gaps or max(gaps) - min(gaps) <= 1 or name.endswith("eye"), (name, at)
        inside += len(landmarks)
    assert len(subset) >= round(share * inside)


@pytest.mark.parametrize(("scheme", "half", "third"), [("300w-68", 34, 25), ("wflw-98", 48, 32), ("helen-194", 97, 65)])
def test_halves_and_thirds(scheme, half, third):
    assert (len(curve_sets.fraction(scheme, 1 / 2)), len(curve_sets.fraction(scheme, 1 / 3))) == (half, third)


# ------------------------------------------------------------------------------------------------------------- doors


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: curve_sets.get("aflw-19"), "scheme: needed one that paper A's curves are known of, '300w-68', 'wflw"),
        (lambda: curve_sets.get("68"), "scheme: needed one of '300w-68'"),
        (lambda: curve_sets.widths(normal(98, 2), "300w-68"), "mean: needed (68, 2), the landmarks of 300w-68, got (98"
                                                              ", 2); it looks like one of wflw-98"),
        (lambda: curve_sets.mean_shape(normal(5, 68, 2), "300w-68"), "mean: needed (68, 2), the landmarks of 300w"),
        (lambda: curve_sets.widths(torch.ones(68, 2), "300w-68"), "mean: needed points that differ"),
        (lambda: curve_sets.fraction("300w-68", 0.0), "share: needed a number > 0"),
        (lambda: curve_sets.fraction("300w-68", 1.5), "share: needed a number in [0, 1]"),
        (lambda: curve_sets.riders("lfw-74", "300w-68"), "scheme: needed one that paper A's curves are known of"),
    ],
)  # fmt: skip
def test_refuses(call, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        call()
