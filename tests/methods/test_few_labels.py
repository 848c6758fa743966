"""Learning from few labels: the decoder, the square, the start of the network, the photographs that are kept."""

import pytest
import torch
from torch import nn

from lddmmlib import heatmaps, networks
from lddmmlib.data import crops
from lddmmlib.data.augment import Crops
from lddmmlib.data.given import Face
from lddmmlib.faces import statistics, synthetic
from lddmmlib.methods import few_labels


@pytest.fixture(scope="module")
def base():
    return networks.pretrained()


def test_the_decoder_is_paper_c_s():
    maps = 4 * torch.randn(3, 5, 11, 14, generator=torch.Generator().manual_seed(0))
    points, spread = few_labels.decoded(maps, 4.0)
    wanted = heatmaps.decode(maps, "local_soft", few_labels.WINDOW, 1.0, stride=4.0)
    torch.testing.assert_close(points, wanted)
    p = maps.flatten(2).softmax(-1).view_as(maps)
    cells = torch.stack(torch.meshgrid(torch.arange(11.0), torch.arange(14.0), indexing="ij")[::-1], -1)
    off = (4 * cells + 1.5 - wanted[..., None, None, :]).square().sum(-1)
    torch.testing.assert_close(spread, (p * off).sum((-2, -1)).sqrt())


def drawn(count, wide=1.0, shift=0.0, keep=slice(36, 48)):
    """Drawn faces, with boxes that are `wide` times those of their landmarks and shifted to the right."""
    faces = []
    for image, points, *_ in (synthetic.sample(i, "studio", size=96) for i in range(count)):
        x, y, w, h = crops.box(points)
        side = wide * max(w, h)
        box = (x + w / 2 + shift * side - side / 2, y + h / 2 - side / 2, side, side)
        faces.append(Face(name="", image=image, box=box, landmarks=points[keep].double()))
    return faces


@pytest.mark.parametrize(("wide", "shift"), [(1.0, 0.0), (1.7, 0.0), (0.8, 0.2)])
def test_the_square_is_found_in_any_kind_of_box(base, wide, shift):
    """From labels of the eyes alone: where the face's own square lies in a box of another kind."""
    k, dx, dy = few_labels.square(drawn(4, wide, shift), base)
    assert k * wide == pytest.approx(crops.MARGIN, rel=0.2)  # poses differ
    assert dx == pytest.approx(-shift, abs=0.1 / wide)
    assert dy == pytest.approx(0, abs=0.1 / wide)


def test_a_large_photograph_is_cut_once_and_shows_the_same():
    image, points = synthetic.sample(3, "studio", size=400)[:2]
    face = Face(name="", image=image, box=None, landmarks=points.double())
    square = few_labels.placed(crops.box(points), (crops.MARGIN, 0.0, 0.0))
    small = few_labels.photo(face, square, 32)
    assert max(small.image.shape[1:]) == 96
    whole, cut = (Crops([x], "300w-68", 32, margin=1.0)[0] for x in (small._replace(
        image=image, landmarks=face.landmarks, box=square), small))  # fmt: skip
    torch.testing.assert_close(cut.landmarks, whole.landmarks)
    assert (cut.image.float() - whole.image.float()).abs().mean() < 4
    assert few_labels.photo(face, square, 200).image is image


def test_a_network_starts_from_the_nearest_of_the_68(base):
    net, _ = few_labels.start(base, [45, 36, 8], seed=0)
    cut = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(cut), base.net(cut)[:, [45, 36, 8]])
    assert not any(p.requires_grad for p in net.stem.parameters())
    other, _ = few_labels.start(base, [45, 36, 8], seed=0, scratch=True)
    assert all(p.requires_grad for p in other.parameters())
    assert not torch.equal(other.head.last.weight, net.head.last.weight)


def test_the_loss_ignores_what_is_missing():
    face = Crops(synthetic.Faces(1, "studio", size=32), "300w-68", size=32)[0]
    batch = torch.utils.data.default_collate([face])
    few = batch._replace(landmarks=batch.landmarks.clone(), inside=batch.inside.clone())
    few.landmarks[:, 5:], few.inside[:, 5:] = torch.nan, False
    five = batch._replace(landmarks=batch.landmarks[:, :5], inside=batch.inside[:, :5])
    net = nn.Conv2d(3, 68, 8, 8)
    head = nn.Conv2d(3, 5, 8, 8)
    head.weight.data, head.bias.data = net.weight.data[:5], net.bias.data[:5]
    torch.testing.assert_close(few_labels.loss(net, few), few_labels.loss(head, five))
    few_labels.loss(net, few).backward()
    assert net.weight.grad.isfinite().all()


def test_the_mean_face_lies_in_its_own_square():
    mean = few_labels.mean68(96)
    x, y, w, h = crops.box(mean)
    assert max(w, h) == pytest.approx(96 / crops.MARGIN)
    assert (x + w / 2, y + h / 2) == pytest.approx((47.5, 47.5))
    assert statistics.similarity(statistics.real_300w().mean, mean).linear.det() > 0
