"""Small networks of each kind, 64 drawn faces, and the few lines that train on them."""

import pytest
import torch
from torch import nn

from lddmmlib import heatmaps, metrics
from lddmmlib.faces import synthetic
from lddmmlib.networks import DAN, CoordinateHead, HRNetV2, StackedHourglass, with_coordinates
from lddmmlib.networks.cpn import CPN
from lddmmlib.networks.simple_baselines import SimpleBaselines

SIDE = 64  # px of the images that the small networks are shown


def random(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def hrnet(**how):
    return HRNetV2(5, width=4, modules=(1, 1, 1), blocks=1, **how)


SMALL = {
    "hrnet": hrnet,
    "hourglass": lambda: StackedHourglass(5, blocks=1, channels=8, depth=2),
    "coordconv": lambda: with_coordinates(hrnet()),
    "simple": lambda: SimpleBaselines(5, (1, 1, 1, 1), width=4, channels=8),
    "cpn": lambda: CPN(5, (1, 1, 1, 1), width=4, channels=8),
    "points": lambda: hrnet(head=CoordinateHead(SIDE * random(5, 2), (4, 8, 16, 32), hidden=16)),
    "dan": lambda: DAN(SIDE * random(5, 2), size=SIDE, width=4),
}


@pytest.fixture
def small():
    """small("hrnet"): a network for 5 landmarks in double precision whose running means are those of a batch.

    Untrained means and deviations, 0 and 1, would let the signal die away: weights start near 0.
    """

    def make(name):
        torch.manual_seed(0)
        net = SMALL[name]().double()
        for layer in net.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.momentum = 1.0
        net(random(4, 3, SIDE, SIDE, seed=1, dtype=torch.float64))
        return net.eval()

    return make


def last(result):
    """The maps of the last stack; of other networks all there is."""
    return result[-1] if isinstance(result, list) else result


@pytest.fixture(scope="session")
def faces():
    """64 faces of 32 px: images in [0, 1] and landmarks, px."""
    drawn = [synthetic.sample(i, size=32) for i in range(64)]
    images = torch.stack([face.image for face in drawn]).float() / 255
    return images, torch.stack([face.landmarks for face in drawn]).float()


def entropy(maps, points):
    """Cross-entropy of the maps' softmax with Gaussians of one cell around the landmarks, summed over stacks."""
    stacks = maps if isinstance(maps, list) else [maps]
    target = heatmaps.encode(points, tuple(stacks[0].shape[2:]), sigma=1.0, stride=4).flatten(2)
    target = target / target.sum(-1, keepdim=True)
    return sum(-(target * each.flatten(2).log_softmax(-1)).sum(-1).mean() for each in stacks)


def barycentres(maps):
    each = last(maps)
    return heatmaps.decode(each.flatten(2).softmax(-1).view_as(each), "barycentre", stride=4)


@pytest.fixture
def learns(faces):
    """learns(net, steps, rate): errors on the 64 faces that it was trained on, of the mean shape and of the network."""
    images, points = faces

    def fit(net, steps, rate):
        of_points = isinstance(net, DAN)
        optimiser = torch.optim.Adam(net.parameters(), rate)
        choice = torch.Generator().manual_seed(0)
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = 0.1  # HRNet's 0.01 is for more steps than these
        for _ in range(steps):
            some = torch.randperm(len(images), generator=choice)[:16]
            found = net(images[some])
            wrong = (found - points[some]).norm(dim=-1).mean() if of_points else entropy(found, points[some])
            optimiser.zero_grad()
            wrong.backward()
            optimiser.step()
        with torch.no_grad():
            found = net.eval()(images)
        guess = points.mean(0).expand_as(points)
        return [metrics.nme(p, points, "corners").mean().item()
                for p in (guess, found if of_points else barycentres(found))]  # fmt: skip

    return fit
