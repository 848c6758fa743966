"""What holds for every network: shapes, refusals, gradients, memory layout, shifts, and that it learns."""

import re
from inspect import unwrap

import pytest
import torch

from lddmmlib.networks import DAN, HRNetV2, StackedHourglass, Standardise

NAMES = ("hrnet", "hourglass", "coordconv", "simple", "cpn", "points", "dan")
MAPS = NAMES[:5]
F64 = torch.float64


def random(*shape, seed=0, dtype=F64):
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def last(result):
    return result[-1] if isinstance(result, list) else result


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (128, 32)])
@pytest.mark.parametrize("name", MAPS)
def test_maps_have_the_stride_that_the_network_says(small, name, size):
    net = small(name)
    maps = last(net(random(2, 3, *size)))
    assert maps.shape == (2, 5, size[0] // net.stride, size[1] // net.stride)


def test_an_hourglass_gives_maps_of_each_stack(small):
    net = small("hourglass")
    images = random(1, 3, 32, 48)
    maps = net(images)
    assert len(maps) == 2
    assert not torch.allclose(maps[0], maps[1])
    assert [y.shape for y, _ in net.features(images)] == [(1, 8, 8, 12)] * 2


@pytest.mark.parametrize("name", ["points", "dan"])
def test_points_are_n_by_2(small, name):
    assert small(name)(random(3, 3, 64, 64)).shape == (3, 5, 2)


@pytest.mark.parametrize("name", NAMES)
def test_each_image_of_a_batch_is_on_its_own(small, name):
    net, images = small(name), random(3, 3, 64, 64)
    torch.testing.assert_close(last(net(images))[1:2], last(net(images[1:2])))


@pytest.mark.parametrize("name", NAMES)
def test_the_memory_layout_changes_nothing(small, name):
    net, images = small(name), random(2, 3, 64, 64)
    plain = last(net(images))
    net = net.to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(net(images.to(memory_format=torch.channels_last))), plain)


@pytest.mark.parametrize("name", NAMES)
def test_the_last_result_has_a_gradient_for_every_parameter_and_the_image(small, name):
    net, images = small(name), random(2, 3, 64, 64).requires_grad_()
    result = torch.cat(net(images)) if name == "cpn" else last(net(images))  # whose last maps do not read the others
    (result * random(*result.shape, seed=2)).sum().backward()
    dead = [
        key for key, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()
    ]
    assert not dead
    assert images.grad.any()


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_is_double_precision_rounded(small, name):
    net, images = small(name), random(2, 3, 64, 64)
    exact = last(net(images))
    single = last(net.float()(images.float()))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-3, atol=1e-3 * exact.abs().max().item())


# Half of what a cell sees, px, bounded by hand: the sum of the kernels' halves, each times its stride.
SEES = {"hrnet": 288, "hourglass": 256}


def shifted(net, axis, by, sees):
    """Maps of the same strip seen from `by` px further on, laid over each other where no border reaches."""
    length, cells = 2 * sees + 128, by // net.stride
    strip = random(1, 3, 32, length + by, seed=3)
    here, there = strip[..., :length], strip[..., by:]
    if axis == 2:
        here, there = here.mT, there.mT
    a, b = (last(net(x)) for x in (here, there))
    a, b = (a.mT, b.mT) if axis == 2 else (a, b)
    m = sees // net.stride
    return a[..., m + cells : -m], b[..., m : -m - cells]


@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize("name", SEES)
def test_a_shift_of_the_image_shifts_the_maps(small, name, axis):
    net = small(name)
    a, b = shifted(net, axis, net.multiple, SEES[name])
    assert a.std() > 1e-6
    torch.testing.assert_close(a, b, rtol=0, atol=1e-9 * a.abs().max().item())
    a, b = shifted(net, axis, net.stride, SEES[name])  # the deepest branch is coarser than that
    assert (a - b).abs().max() > 1e-4 * a.std()


def test_coordinates_break_that(small):
    net = small("coordconv")
    for key, weight in net.named_parameters():
        if key.endswith("conv.weight"):
            weight.data[:, -2:] = 0.01
    a, b = shifted(net, 3, net.multiple, SEES["hrnet"])
    assert (a - b).abs().max() > 1e-2 * a.std()


# --- the door ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "error", "says"),
    [
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), TypeError, "torch.uint8; use images.float() / 255"),
        ([[0.0]], TypeError, "got list"),
        (random(3, 64, 64, dtype=torch.float32), ValueError, "needed (b, 3, h, w), got (3, 64, 64); images[None]"),
        (random(1, 1, 64, 64, dtype=torch.float32), ValueError, "needed (b, 3, h, w), got (1, 1, 64, 64)"),
        (torch.zeros(0, 3, 64, 64), ValueError, "got (0, 3, 64, 64)"),
        (random(1, 3, 64, 64), ValueError, "needed torch.float32 on cpu"),
        (random(1, 3, 64, 72, dtype=torch.float32), ValueError, "multiples of 32 px, got 64 x 72"),
        (random(1, 3, 40, 64, dtype=torch.float32), ValueError, "multiples of 32 px, got 40 x 64"),
    ],
)
def test_refuses(images, error, says):
    with pytest.raises(error, match=re.escape(says)):
        unwrap(Standardise._check)(Standardise(32), images)


@pytest.mark.parametrize(
    ("net", "size", "says"),
    [
        (HRNetV2(5, 4, (1, 1, 1), 1), (48, 64), "multiples of 32 px, got 48 x 64"),
        (StackedHourglass(5, 1, 1, 8), (32, 64), "multiples of 64 px, got 32 x 64"),
        (StackedHourglass(5, 1, 1, 8, depth=3), (48, 64), "multiples of 32 px, got 48 x 64"),
        (DAN(torch.rand(5, 2), 32, width=4), (64, 64), "32 x 32 px, got 64 x 64"),
        (DAN(torch.rand(5, 2), 32, width=4), (32, 64), "32 x 32 px, got 32 x 64"),
    ],
)
def test_every_network_has_that_door(net, size, says):
    assert net.standardise.multiple == getattr(net, "multiple", 16)
    with pytest.raises(ValueError, match=says):
        unwrap(type(net).forward)(net, torch.zeros(1, 3, *size))


def test_standardises_by_the_colours_of_imagenet():
    image = torch.tensor([0.485, 0.456 + 0.224, 0.406 - 0.225])[None, :, None, None].expand(1, 3, 2, 2)
    expected = torch.tensor([0.0, 1.0, -1.0])[None, :, None, None].expand(1, 3, 2, 2)
    torch.testing.assert_close(Standardise(1)(image), expected)


# --- learning: the error on the very faces that it was trained on -----------------------


@pytest.mark.parametrize(
    ("make", "steps", "rate"),
    [
        (lambda mean: HRNetV2(width=8, modules=(1, 1, 1), blocks=1), 200, 3e-3),
        (lambda mean: StackedHourglass(blocks=1, channels=32, depth=2), 200, 5e-3),
        (lambda mean: DAN(mean, size=32, width=8), 200, 2e-3),
    ],
    ids=["hrnet", "hourglass", "dan"],
)
def test_learns_what_the_mean_shape_does_not_know(faces, learns, make, steps, rate):
    torch.manual_seed(0)
    of_mean, of_network = learns(make(faces[1].mean(0)), steps, rate)
    assert of_network < of_mean / 2, (of_mean, of_network)
