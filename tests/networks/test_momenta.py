"""Estimators of momenta: the published sizes, and a head that follows its trunk."""

import pytest
import torch

from lddmmlib.networks import CoordinateHead, HRNetV2, StackedHourglass
from lddmmlib.networks.momenta import GridHead, HourglassMomenta, MomentaHead

WIDTHS, LEAN = (18, 36, 72, 144), {"width": 8, "modules": (1, 1, 1), "blocks": 2}


def parameters(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(("momenta", "count"), [(68, 19_528_668), (96, 19_643_412), (194, 20_045_016)])
def test_hrnets_published_sizes(momenta, count):
    assert parameters(HRNetV2(head=MomentaHead(momenta, WIDTHS))) == count


def test_the_published_head_is_the_coordinate_head():
    torch.manual_seed(0)
    ours = MomentaHead(5, WIDTHS)
    torch.manual_seed(0)
    theirs = CoordinateHead(torch.zeros(5, 2), WIDTHS)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    branches = [torch.rand(1, c, 16 // 2**k, 16 // 2**k) for k, c in enumerate(WIDTHS)]
    torch.testing.assert_close(ours(branches), theirs(branches))


def test_a_lean_head_follows_its_trunk():
    trunk = parameters(HRNetV2(**LEAN)) - parameters(HRNetV2(**LEAN).head)
    lean = parameters(HRNetV2(head=MomentaHead(68, (8, 16, 32, 64), first=32, hidden=256), **LEAN))
    assert lean == 1_311_704
    assert lean < 2 * trunk
    assert parameters(HRNetV2(head=MomentaHead(68, (8, 16, 32, 64)), **LEAN)) > 10 * trunk


def test_an_hourglass_is_read_by_the_features_of_all_its_stacks():
    net = StackedHourglass(5, stacks=2, blocks=1, channels=16, depth=2)
    whole = HourglassMomenta(net, momenta=7, hidden=32).eval()
    images = torch.rand(2, 3, 32, 32)
    found = whole(images)
    assert found.shape == (2, 7, 2)
    torch.testing.assert_close(found, whole.head([y for y, _ in net.features(images)]))
    found.square().sum().backward()
    dead = {name for name, p in whole.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())}
    assert not dead
    assert not any(p.requires_grad for p in net.scores[-1].parameters())  # nothing reads the last maps


def test_published_hourglass_is_read_at_2048():
    head = HourglassMomenta(StackedHourglass(blocks=1, channels=32, depth=2), momenta=68).head
    assert head.mix[0].weight.shape == (2048, 64, 1, 1)
    assert head.last.weight.shape == (136, 2048)


def test_a_grid_knows_places_that_the_mean_forgets():
    """Features whose quarters change places have the same mean: the published head says the same of them."""
    torch.manual_seed(0)
    net = StackedHourglass(5, stacks=1, blocks=1, channels=16, depth=2)
    whole = HourglassMomenta(net, momenta=7, hidden=8, cells=4).eval()
    assert isinstance(whole.head, GridHead)
    assert not whole(torch.rand(2, 3, 64, 64)).any()  # it starts from the mean face
    torch.nn.init.normal_(whole.head.last.weight)
    published = MomentaHead(7, [16], pyramid=False, hidden=8).eval()
    features = torch.rand(1, 16, 16, 16)
    moved = features.roll(8, -1)
    torch.testing.assert_close(published([features]), published([moved]))
    assert (whole.head([features]) - whole.head([moved])).abs().max() > 0.1


def test_a_grid_reads_each_cell_with_weights_of_its_own():
    torch.manual_seed(0)
    head = GridHead(3, channels=4, hidden=6, cells=2).eval()
    torch.nn.init.normal_(head.last.weight)
    features = torch.rand(2, 4, 16, 16)  # 16 -> 4 px after two strides, 2 x 2 of them a cell
    x = head.down(features)
    cells = torch.stack([x[:, :, i : i + 2, j : j + 2].mean((2, 3)) for i in (0, 2) for j in (0, 2)], -1)  # (b, 6, 4)
    weights = head.last.weight.unflatten(1, (6, 4))
    want = torch.einsum("bck,ock->bo", cells, weights).unflatten(1, (3, 2))
    torch.testing.assert_close(head([features]), want)


@pytest.mark.parametrize(
    ("how", "says"),
    [({"momenta": 0}, "momenta: needed an integer >= 1, got 0"), ({"first": 6}, "first: needed a multiple of 4"),
     ({"hidden": 0}, "hidden: needed an integer >= 1, got 0")],
)  # fmt: skip
def test_refuses(how, says):
    with pytest.raises(ValueError, match=says):
        MomentaHead(**{"momenta": 5, "widths": WIDTHS} | how)
