"""SimpleBaselines and its trunk: the published sizes, the trunk as torch's own ResNet has it."""

import pytest
import torch
from torch import nn

from lddmmlib.networks import with_coordinates
from lddmmlib.networks.resnet import ResNet, Strided
from lddmmlib.networks.simple_baselines import SimpleBaselines


def count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("blocks", "published"), [((3, 4, 6, 3), 34.0), ((3, 4, 23, 3), 53.0), ((3, 8, 36, 3), 68.6)], ids=[50, 101, 152]
)
def test_parameters_are_the_published_ones(blocks, published):
    """Of 17 joints, millions, as "Deep high-resolution representation learning" lists them, too."""
    with torch.device("meta"):
        net = SimpleBaselines(17, blocks)
    assert round(count(net) / 1e6, 1) == published
    assert blocks != (3, 4, 6, 3) or count(net) == 33_999_697


def test_the_layers_behind_the_trunk_start_as_published():
    torch.manual_seed(0)
    net = SimpleBaselines(17, (1, 1, 1, 1), width=8, channels=64)
    for layer in (*net.up[::3], net.last):
        assert 0.0009 < layer.weight.std() < 0.0011
    assert not net.last.bias.any()


def test_the_trunk_has_the_parameters_of_resnet_50():
    with torch.device("meta"):
        assert count(ResNet()) == 25_557_032 - 2_049_000  # with torchvision's last layer, less that layer


def test_a_strided_bottleneck_is_the_plain_one_at_every_second_cell_of_its_3x3():
    torch.manual_seed(0)
    block, x = Strided(8, 4, 2).eval(), torch.randn(2, 8, 6, 8)
    narrow = block.body[0](x)
    plain = nn.functional.conv2d(narrow, block.body[1][0].weight, padding=1)[..., ::2, ::2]
    rest = block.body[2](block.body[1][1:](plain))
    torch.testing.assert_close(block(x), torch.relu(rest + block.skip(x)))
    torch.testing.assert_close(block.skip(x)[..., 1, 2], block.skip(x[..., 2:, 4:])[..., 0, 0])


def test_coordinates_are_an_option_that_starts_from_the_same_maps():
    torch.manual_seed(0)
    net, images = SimpleBaselines(5, (1, 1, 1, 1), width=4, channels=8).eval(), torch.rand(1, 3, 32, 64)
    torch.testing.assert_close(with_coordinates(net)(images), net(images))
