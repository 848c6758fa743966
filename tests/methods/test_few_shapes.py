"""Landmarks from few labels without maps: heads that begin at the mean shape, offsets and flows, radii."""

import pytest
import torch
from torch import nn
from torch.utils.data import default_collate

from lddmmlib import networks
from lddmmlib.data.augment import Crops
from lddmmlib.faces import schemes, synthetic
from lddmmlib.methods import few_labels, few_shapes, lddmm_face

MEAN = torch.tensor([[30.0, 40.0], [45.0, 38.0], [60.0, 40.0], [45.0, 70.0]])
CURVED = schemes.custom("curved", ["a", "b", "c", "d"], curves={"brow": [0, 1, 2]})


class Says(nn.Module):
    """A network that says the same vectors of every image."""

    def __init__(self, vectors):
        super().__init__()
        self.vectors = nn.Parameter(vectors)

    def forward(self, images):
        return self.vectors.expand(len(images), -1, -1)


def test_vectors_begin_as_the_ways_of_the_nearest_of_the_68():
    base = networks.pretrained()
    net, how = few_shapes.start(base, [36, 45, 30, 8], seed=0)
    mine, theirs = net.state_dict(), base.net.state_dict()
    assert all(torch.equal(mine[key.replace("head.", "head.maps.")], theirs[key]) for key in theirs)
    assert not any(p.requires_grad for p in net.stem.parameters())
    image = synthetic.sample(3, "studio", size=96).image[None]
    way = few_labels.points68(base, image) - few_labels.mean68(96)
    vectors = net.eval()(image.float() / 255)
    assert vectors.abs().max() > 1
    torch.testing.assert_close(vectors.double(), way[:, [36, 45, 30, 8]], atol=1e-3, rtol=0)
    again = few_shapes.network(how, {k: v.half() if v.is_floating_point() else v for k, v in mine.items()})
    assert all(p.dtype == torch.float32 for p in again.parameters())
    other, _ = few_shapes.start(base, [36, 45, 30, 8], seed=0, scratch=True)
    assert not torch.equal(other.state_dict()["stem.0.0.weight"], theirs["stem.0.0.weight"])
    assert torch.equal(few_shapes.Moved(other.eval(), MEAN)(image.float() / 255)[0][0], MEAN)


def test_vectors_are_offsets_or_tell_momenta_of_paper_a_s_flow():
    vectors = 4 * torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    images = torch.zeros(2, 3, 8, 8)
    points, radius = few_shapes.Moved(Says(vectors), MEAN, radius=torch.arange(4.0))(images)
    torch.testing.assert_close(points, (MEAN + vectors).expand(2, -1, -1))
    torch.testing.assert_close(radius, torch.arange(4.0).expand(2, -1))
    flowing = few_shapes.Moved(Says(vectors), MEAN, CURVED)
    points, _ = flowing(images)
    curves, sigma = ([0, 1, 2], [3]), flowing.layer.sigma.tolist()
    momenta = torch.zeros(4, 2, dtype=torch.float64)
    for curve, s in zip(curves, sigma, strict=True):
        K = (-torch.cdist(MEAN[curve].double(), MEAN[curve].double()).square() / s**2).exp()
        momenta[curve] = torch.linalg.solve(K + few_shapes.RIDGE * torch.eye(len(K)), vectors[curve].double())
    wanted = lddmm_face.deform_by_loops(MEAN, momenta.float(), curves, sigma)
    torch.testing.assert_close(points[1], wanted, rtol=1e-4, atol=1e-3)
    alone = (points[1, 3] - MEAN[3]) / vectors[3]  # a curve of one point
    torch.testing.assert_close(alone, torch.full((2,), 1 / (1 + few_shapes.RIDGE)))


@pytest.mark.parametrize("scheme", [None, CURVED])
def test_the_loss_is_of_labelled_landmarks_and_scales_with_the_crop(scheme):
    faces = [synthetic.sample(i, "studio", size=64) for i in range(2)]
    data = Crops([(f.image, f.landmarks[[0, 8, 16, 30]], f.visible[[0, 8, 16, 30]]) for f in faces], CURVED, 32)
    batch = default_collate([data[0], data[1]])._replace(landmarks=MEAN.expand(2, -1, -1).clone())
    off = torch.tensor([3.0, 4.0]).expand(4, 2)
    batch.landmarks[1, 3] = torch.nan
    if scheme is None:
        assert few_shapes.loss(few_shapes.Moved(Says(off), MEAN), batch).item() == pytest.approx(5 / 32)
    model = few_shapes.Moved(Says(torch.zeros(4, 2)), MEAN, scheme)
    model.net.vectors.data += 1e-3
    assert few_shapes.loss(model, batch).item() < 1e-3
    few_shapes.loss(model, batch).backward()
    assert model.net.vectors.grad.isfinite().all()
    assert model.net.vectors.grad.norm() > 0


def test_a_radius_is_a_mean_error_drawn_towards_that_of_all():
    errors = torch.tensor([[1.0, 4.0, torch.nan], [3.0, 4.0, torch.nan]])
    torch.testing.assert_close(few_shapes.radius(errors), torch.tensor([7 / 3, 11 / 3, 3.0]))


def test_a_scheme_without_curves_is_refused():
    with pytest.raises(ValueError, match="scheme: needed one that paper A's curves are known of"):
        few_shapes.Moved(Says(torch.zeros(19, 2)), torch.rand(19, 2), "aflw-19")
