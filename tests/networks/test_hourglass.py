"""The stacked hourglass: the published sizes, and what passes from one stack to the next."""

import pytest
import torch
from torch import nn

from lddmmlib.networks import StackedHourglass, hourglass


@pytest.mark.parametrize(("blocks", "count"), [(4, 24_791_304), (1, 6_770_952)])
def test_parameters(blocks, count):
    assert sum(p.numel() for p in StackedHourglass(blocks=blocks).parameters()) == count


@pytest.mark.parametrize("stacks", [1, 3])
def test_maps_of_as_many_stacks(stacks):
    net = StackedHourglass(5, stacks, blocks=1, channels=8, depth=2)
    assert [tuple(m.shape) for m in net(torch.rand(1, 3, 32, 64))] == [(1, 5, 8, 16)] * stacks


@pytest.mark.parametrize("way", [0, 1])
def test_the_next_stack_sees_features_and_maps(way):
    torch.manual_seed(0)
    net, images = StackedHourglass(5, 2, blocks=1, channels=8, depth=2).eval(), torch.rand(1, 3, 32, 32)
    first, second = net(images)
    nn.init.zeros_(net.back[0][way].weight)
    again, other = net(images)
    assert torch.equal(first, again)
    assert not torch.allclose(second, other)


def test_what_a_stack_found_is_added_to_what_it_saw():
    """Where nothing is added, an equal second stack finds the same."""
    torch.manual_seed(0)
    net = StackedHourglass(5, 2, blocks=1, channels=8, depth=2).eval()
    for p in net.back.parameters():
        nn.init.zeros_(p)
    net.glasses[1], net.scores[1] = net.glasses[0], net.scores[0]
    first, second = net(torch.rand(1, 3, 32, 32))
    torch.testing.assert_close(first, second)


def test_each_convolution_of_a_block_sees_what_is_rectified():
    block, seen = hourglass.Block(4, 8), []
    for layer in block.body:
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_pre_hook(lambda layer, given: seen.append(given[0].min().item()))
    block(torch.randn(2, 4, 8, 8))
    assert seen == [0.0, 0.0, 0.0]


def test_silent_blocks_pass_what_they_get_and_add_the_largest_of_each_square():
    """With R(x) = x the recursion is G_d(x) = x + up(G_{d-1}(max of 2 x 2)), and G_0(x) = x."""
    glass = hourglass.Hourglass(4, 1, depth=2)
    for p in glass.parameters():
        nn.init.zeros_(p)
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = x.clone()
    for i in range(8):
        for j in range(8):
            for side in (2, 4):
                top, left = i - i % side, j - j % side
                expected[0, :, i, j] += x[0, :, top : top + side, left : left + side].amax((1, 2))
    torch.testing.assert_close(glass(x), expected)
