"""Own landmarks: the mean shape, the mirror pairs and the curves that points alone tell."""

import pytest
import torch

from lddmmlib.faces import geometry, own, schemes, statistics


def pairs(flip):
    return [(i, j) for i, j in enumerate(flip) if i < j]


def turned(points, degrees=5.0):
    a = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return points @ torch.stack([torch.stack([a.cos(), a.sin()]), torch.stack([-a.sin(), a.cos()])])


@pytest.mark.parametrize("name", ["300w-68", "wflw-98", "cofw-29", "aflw-19"])
@pytest.mark.parametrize("degrees", [0.0, 8.0])
def test_the_pairs_of_known_schemes_are_found(name, degrees):
    """Also of a head that is a little tilted, in any order of the landmarks."""
    points, _ = geometry.landmarks(geometry.Face3D(scale=60.0), name)
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(1)).tolist()
    scheme = schemes.get(name)
    wanted = {frozenset((order.index(i), order.index(j))) for i, j in pairs(scheme.flip)}
    found = own.mirrored(turned(points[order], degrees))
    assert {frozenset(pair) for pair in found} == wanted


@pytest.mark.parametrize("seed", range(6))
def test_the_pairs_of_any_symmetric_choice_are_found(seed):
    mean, scheme = statistics.real_300w().mean, schemes.get("300w-68")
    some = torch.randperm(68, generator=torch.Generator().manual_seed(seed))[:7].tolist()
    chosen = sorted({*some, *(scheme.flip[i] for i in some)})
    found = own.mirrored(mean[chosen])
    assert [(chosen[i], chosen[j]) for i, j in found] == [(i, scheme.flip[i]) for i in chosen if i < scheme.flip[i]]


def test_what_has_no_partner_is_seen():
    mean = statistics.real_300w().mean
    assert own.mirrored(mean[[36, 45, 8, 48]]) is None
    assert own.mirrored(mean[[27, 30, 33, 51, 57, 8]]) == []  # the midline


def test_the_mean_of_incomplete_faces_is_that_of_complete_ones():
    generator = torch.Generator().manual_seed(0)
    mean = 100 * statistics.real_300w().mean[::6]
    faces = mean + torch.randn(60, len(mean), 2, generator=generator).double()
    faces = faces + 3 * torch.randn(60, 1, 2, generator=generator).double()  # of crops that are a little off
    lost = faces.clone()
    lost[torch.rand(lost.shape[:2], generator=generator) < 0.3] = torch.nan
    off = statistics.similarity(own.mean_shape(lost), mean).apply(own.mean_shape(lost)) - mean
    assert off.norm(dim=-1).max() < 1.0
    torch.testing.assert_close(own.mean_shape(mean[None]), mean)
    lost[:, 2] = torch.nan
    with pytest.raises(ValueError, match=r"labels of each landmark, got none of landmark \[2\]"):
        own.mean_shape(lost)


def test_runs_of_even_steps_are_curves():
    mean = statistics.real_300w().mean
    found = [set(curve) for curve in own.curves(mean).values()]
    assert set(range(17)) in found
    assert set(range(17, 22)) in found
    assert own.curves(mean[[36, 45, 30, 48, 54, 8]]) == {}
