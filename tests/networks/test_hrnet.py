"""HRNetV2: the published sizes, its start, and what its branches tell each other."""

from inspect import unwrap

import pytest
import torch
from torch import nn

from lddmmlib.networks import CoordinateHead, HeatmapHead, HRNetV2, heads, hrnet


def parameters(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("how", "count"),
    [
        ({}, 9_654_398),
        ({"landmarks": 98}, 9_662_528),
        ({"modules": (1, 1, 1), "blocks": 2}, 2_261_510),
        ({"width": 8}, 2_210_828),
        ({"width": 8, "modules": (1, 1, 1), "blocks": 2}, 744_700),
    ],
)
def test_parameters(how, count):
    assert parameters(HRNetV2(**how)) == count


@pytest.mark.parametrize(("outputs", "count"), [(136, 19_528_668), (1000, 21_299_004)])
def test_parameters_of_the_classification_head(outputs, count):
    """1000 outputs make it HRNet-W18-C for ImageNet, whose size is published."""
    head = CoordinateHead(torch.zeros(outputs // 2, 2), (18, 36, 72, 144))
    assert parameters(HRNetV2(head=head)) == count


def test_starts_as_published():
    net = HRNetV2(width=8)
    weights = torch.cat([m.weight.flatten() for m in net.modules() if isinstance(m, nn.Conv2d)])
    assert abs(weights.std() - 0.001) < 1e-5
    assert abs(weights.mean()) < 1e-5
    assert {m.momentum for m in net.modules() if isinstance(m, nn.BatchNorm2d)} == {0.01}


def test_branches_halve_and_double():
    net = HRNetV2(width=4, modules=(1, 1, 1), blocks=1)
    shapes = [tuple(x.shape) for x in net.branches(torch.rand(2, 3, 64, 96))]
    assert shapes == [(2, 4, 16, 24), (2, 8, 8, 12), (2, 16, 4, 6), (2, 32, 2, 3)]


def pyramid(widths=(2, 4, 8)):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, c, 16 >> i, 16 >> i, generator=generator) for i, c in enumerate(widths)]


def test_a_branch_keeps_what_it_knows():
    """With every path between branches silent, only the ReLU of the branch itself is left."""
    exchange = hrnet.Exchange((2, 4, 8), blocks=2)
    for p in exchange.parameters():
        nn.init.zeros_(p)
    for before, after in zip(pyramid(), exchange(pyramid()), strict=True):
        torch.testing.assert_close(after, before.relu())


@pytest.mark.parametrize("make", [lambda: hrnet.Residual(8), lambda: heads.Bottleneck(8, 2)])
def test_a_residual_block_rectifies_the_sum(make):
    block, x = make(), pyramid()[2]
    norm = block.body[-1][-1]
    nn.init.zeros_(norm.weight)
    nn.init.constant_(norm.bias, -0.5)
    torch.testing.assert_close(block(x), (x - 0.5).relu())


@pytest.mark.parametrize("source", range(3))
def test_every_branch_hears_every_branch(source):
    torch.manual_seed(0)
    exchange, xs = hrnet.Exchange((2, 4, 8), blocks=1).eval(), pyramid()
    before = exchange(xs)
    after = exchange([2 * x if i == source else x for i, x in enumerate(xs)])
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(after, before, strict=True))


def test_a_constant_small_branch_is_enlarged_to_a_constant():
    exchange = hrnet.Exchange((2, 4), blocks=0).eval()
    (y, _) = exchange([torch.zeros(1, 2, 8, 8), torch.ones(1, 4, 4, 4)])
    weight = exchange.paths[0][1][0].weight  # 1x1
    expected = (weight.sum((1, 2, 3)) / (1 + 1e-5) ** 0.5).relu()[None, :, None, None].expand(1, 2, 8, 8)
    torch.testing.assert_close(y, expected)


def test_a_heatmap_head_reads_all_branches():
    torch.manual_seed(0)
    head, xs = HeatmapHead((2, 4, 8), 5).eval(), pyramid()
    assert head(xs).shape == (1, 5, 16, 16)
    for i in range(3):
        assert not torch.allclose(head(xs), head([2 * x if i == k else x for k, x in enumerate(xs)]))


@pytest.mark.parametrize("pyramidal", [True, False])
def test_a_coordinate_head_starts_from_its_start(pyramidal):
    start = torch.rand(5, 2)
    xs = pyramid() if pyramidal else [torch.rand(2, c, 8, 8) for c in (2, 4, 8)]
    head = CoordinateHead(start, (2, 4, 8), pyramid=pyramidal, hidden=16).eval()
    assert not torch.allclose(head(xs)[0], start)
    nn.init.zeros_(head.last.weight)
    nn.init.zeros_(head.last.bias)
    torch.testing.assert_close(head(xs), start.expand(len(xs[0]), 5, 2))


def test_a_coordinate_head_takes_the_mean_over_the_image():
    torch.manual_seed(0)
    head = CoordinateHead(torch.rand(5, 2), (4,), pyramid=False, hidden=16).eval()
    left, right = torch.randn(2, 1, 4, 8, 8)
    torch.testing.assert_close(head([torch.cat([left, right], 3)]), (head([left]) + head([right])) / 2)


def test_a_coordinate_head_refuses_a_shapeless_start():
    with pytest.raises(ValueError, match="start: needed points"):
        unwrap(CoordinateHead.__init__)(CoordinateHead.__new__(CoordinateHead), torch.zeros(5, 3), (2, 4))
