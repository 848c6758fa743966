"""CoordConv: its channels by hand, and that it changes nothing before it has learned."""

import pytest
import torch
from torch import nn

from lddmmlib.networks import CoordConv, HRNetV2, coordconv, with_coordinates


@pytest.mark.parametrize("size", [(5, 7), (2, 2), (1, 4), (3, 1)])
def test_coordinates_by_hand(size):
    h, w = size
    planes = coordconv.coordinates(torch.zeros(2, 3, h, w))
    for i in range(h):
        for j in range(w):
            x = 2 * j / (w - 1) - 1 if w > 1 else 0.0
            y = 2 * i / (h - 1) - 1 if h > 1 else 0.0
            torch.testing.assert_close(planes[:, :, i, j], torch.tensor([[x, y]]).expand(2, 2))


def test_is_a_convolution_of_the_image_and_two_ramps():
    conv = nn.Conv2d(3, 4, 1)
    layer, images = CoordConv(conv), torch.rand(2, 3, 5, 7)
    layer.conv.weight.data[:, 3] = torch.tensor([1.0, 0.0, 2.0, 0.0])[:, None, None]  # x
    layer.conv.weight.data[:, 4] = torch.tensor([0.0, 1.0, -3.0, 0.0])[:, None, None]  # y
    x, y = torch.linspace(-1, 1, 7), torch.linspace(-1, 1, 5)[:, None]
    ramps = torch.stack([x.expand(5, 7), y.expand(5, 7), 2 * x - 3 * y, torch.zeros(5, 7)])
    torch.testing.assert_close(layer(images), conv(images) + ramps)


@pytest.mark.parametrize("how", [{"stride": 2, "padding": 1}, {"bias": False, "dilation": 2}])
def test_starts_as_the_convolution_that_it_replaces(how):
    conv, images = nn.Conv2d(3, 4, 3, **how), torch.rand(2, 3, 9, 8)
    layer = CoordConv(conv)
    torch.testing.assert_close(layer(images), conv(images))
    layer(images).square().sum().backward()
    assert layer.conv.weight.grad[:, -2:].any()
    assert conv.in_channels == 3
    assert conv.weight.grad is None


def test_refuses_groups():
    with pytest.raises(ValueError, match="one group, got 2"):
        CoordConv(nn.Conv2d(4, 4, 3, groups=2))


def test_with_coordinates_replaces_every_convolution_of_a_copy():
    torch.manual_seed(0)
    net = HRNetV2(5, 4, (1, 1, 1), 1).eval()
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    other = with_coordinates(net)
    count, before = (sum(p.numel() for p in n.parameters()) for n in (other, net))
    assert count - before == sum(2 * c.out_channels * c.kernel_size[0] ** 2 for c in convolutions)
    assert sum(isinstance(m, CoordConv) for m in other.modules()) == len(convolutions)
    assert not any(isinstance(m, CoordConv) for m in net.modules())
    images = torch.rand(1, 3, 64, 32)
    torch.testing.assert_close(other(images), net(images))


def test_twice_is_once():
    once = with_coordinates(nn.Sequential(nn.Conv2d(3, 4, 1)))
    assert sum(p.numel() for p in with_coordinates(once).parameters()) == sum(p.numel() for p in once.parameters())
