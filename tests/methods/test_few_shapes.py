"""Landmarks from few labels without maps: heads that begin at the mean shape, offsets and flows, radii."""

import pytest
import torch
from torch import nn
from torch.utils.data import default_collate

from lddmmlib import networks
from lddmmlib.data.augment import Crops
from lddmmlib.faces import schemes, synthetic
from lddmmlib.methods import few_shapes, lddmm_face

TINY = {"landmarks": 4, "width": 4, "modules": [1, 1, 1], "blocks": 1}
MEAN = torch.tensor([[30.0, 40.0], [45.0, 38.0], [60.0, 40.0], [45.0, 70.0]])
CURVED = schemes.custom("curved", ["a", "b", "c", "d"], curves={"brow": [0, 1, 2]})


class Says(nn.Module):
    """A network that says the same vectors of every image."""

    def __init__(self, vectors):
        super().__init__()
        self.vectors = nn.Parameter(vectors)

    def forward(self, images):
        return self.vectors.expand(len(images), -1, -1)


def test_the_trunk_is_the_shipped_one_and_training_begins_at_the_mean_shape():
    base = networks.pretrained()
    net, how = few_shapes.start(base, 4, seed=0)
    mine, theirs = net.state_dict(), base.net.state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs if not key.startswith("head.last"))
    assert not any(p.requires_grad for p in net.stem.parameters())
    images = torch.rand(1, 3, 96, 96)
    for scheme in (None, CURVED):
        assert torch.allclose(few_shapes.Moved(net.eval(), MEAN, scheme)(images)[0][0], MEAN, atol=1e-4)
    other, _ = few_shapes.start(base, 4, seed=0, scratch=True)
    assert not torch.equal(other.state_dict()["stem.0.0.weight"], theirs["stem.0.0.weight"])
    again = few_shapes.network(how, {k: v.half() if v.is_floating_point() else v for k, v in mine.items()})
    assert all(p.dtype == torch.float32 for p in again.parameters())


def test_vectors_are_offsets_or_momenta_of_paper_a_s_flow():
    vectors = 4 * torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    images = torch.zeros(2, 3, 8, 8)
    points, radius = few_shapes.Moved(Says(vectors), MEAN, radius=torch.arange(4.0))(images)
    torch.testing.assert_close(points, (MEAN + vectors).expand(2, -1, -1))
    torch.testing.assert_close(radius, torch.arange(4.0).expand(2, -1))
    flowing = few_shapes.Moved(Says(vectors), MEAN, CURVED)
    points, _ = flowing(images)
    wanted = lddmm_face.deform_by_loops(MEAN, vectors, [[0, 1, 2], [3]], flowing.layer.sigma.tolist())
    torch.testing.assert_close(points[1], wanted)
    torch.testing.assert_close(points[1, 3], MEAN[3] + vectors[3])  # a curve of one point


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
