"""CPN: the published size, the way through the two pyramids."""

import torch
from torch import nn

from lddmmlib.networks.cpn import CPN, Narrow


def small():
    torch.manual_seed(0)
    return CPN(5, (1, 1, 1, 1), width=4, channels=8).eval()


def test_parameters_are_the_published_ones():
    """27.0 million for 17 joints, as "Deep high-resolution representation learning" lists it."""
    with torch.device("meta"):
        assert sum(p.numel() for p in CPN(17).parameters()) == 27_010_538


def test_what_a_smaller_level_found_reaches_the_larger_ones_and_not_back():
    net, images = small(), torch.rand(1, 3, 64, 64)
    before = net(images)
    nn.init.zeros_(net.up[1][0].weight)  # from the second level to the third
    changed = [not torch.equal(a, b) for a, b in zip(before, net(images), strict=True)]
    assert changed == [False, False, True, True, True]


def test_the_refined_maps_read_every_level():
    net, images = small(), torch.rand(1, 3, 64, 64)
    before = net(images)[-1]
    for level in range(4):
        handle = net.refine[level].register_forward_hook(lambda module, given, features: 0 * features)
        assert not torch.allclose(net(images)[-1], before), level
        handle.remove()


def test_the_skip_of_a_narrow_bottleneck_is_the_identity_where_it_can_be():
    assert isinstance(Narrow(8, 4).skip, nn.Identity)
    assert Narrow(32, 4).eval()(torch.rand(1, 32, 4, 4)).shape == (1, 8, 4, 4)
