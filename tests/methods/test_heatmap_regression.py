"""What heatmap regressions share: targets, losses and landmarks, by hand and from networks that know their answer."""

import numpy as np
import pytest
import torch

from lddmmlib import heatmaps
from lddmmlib.methods import heatmap_regression
from tests.methods.stand_ins import CELLS, SIDE, STRIDE, Told, crop_of, drawn, points


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_pixelwise_loss_by_hand():
    maps, target = torch.rand(2, 2, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    target[1, 2] = 0.0  # missing
    seen = torch.ones(2, 2, 4, dtype=torch.bool)
    seen[0, 1, 2] = False
    each = [((maps[b, k] - target[b, k]) ** 2 * seen[b]).sum() for b in range(2) for k in range(3) if (b, k) != (1, 2)]
    torch.testing.assert_close(heatmap_regression.squared_error(maps, target, seen), torch.stack(each).mean())
    assert heatmap_regression.squared_error(maps, torch.zeros_like(target)) == 0


def test_plain_loss_is_zero_for_the_truth_and_leaves_the_missing_out():
    x = points(2).float()
    x[0, 3] = torch.nan
    wrong = drawn(x)
    wrong[0, 3] = 7.0
    assert heatmap_regression.l2_loss(Told([wrong, wrong]), crop_of(x)) < 1e-9
    rounded = heatmaps.encode(x, (CELLS, CELLS), 1.5, "round", stride=STRIDE)
    assert heatmap_regression.l2_loss(Told(rounded), crop_of(x), 1.5, "round") < 1e-9
    off = heatmap_regression.l2_loss(Told([wrong, wrong]), crop_of(x), rounding="round")
    assert off > 0.1
    torch.testing.assert_close(off, 2 * heatmap_regression.l2_loss(Told(wrong), crop_of(x), rounding="round"))


def test_cross_entropy_by_hand():
    """Of landmarks that are on the crop: those beyond it do not count, and neither do the missing."""
    x = points(2).float()
    x[0, 0], x[1, 1] = torch.tensor([-9.0, 40.0]), torch.nan
    scores = 3 * random(2, 68, CELLS, CELLS)
    rows, columns = np.mgrid[:CELLS, :CELLS]
    each = []
    for b in range(2):
        for k in range(68):
            u, v = (x[b, k].numpy() - 1.5) / STRIDE
            q = np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / (2 * 1.5**2))
            p = np.exp(scores[b, k].double().numpy())
            if (b, k) not in ((0, 0), (1, 1)):
                each.append(-(q / q.sum() * np.log(p / p.sum())).sum())
    got = heatmap_regression.cross_entropy_loss(Told(scores), crop_of(x), sigma=1.5)
    assert got.item() == pytest.approx(np.mean(each), rel=1e-5)
    twice = heatmap_regression.cross_entropy_loss(Told([scores, scores]), crop_of(x), sigma=1.5)
    torch.testing.assert_close(twice, 2 * got)


def test_cross_entropy_of_a_missing_landmark_is_zero_and_of_its_own_softmax_the_entropy():
    maps = random(1, 2, 5, 6, seed=1)
    target = maps.flatten(2).softmax(-1).view_as(maps)
    each = heatmap_regression.cross_entropy(maps, torch.stack([target[:, 0], 0 * target[:, 1]], 1))
    torch.testing.assert_close(each[0, 0], -(target[0, 0] * target[0, 0].log()).sum())
    assert each[0, 1] == 0


def test_global_soft_argmax_by_hand():
    x = points(1).float()
    x[0, 0] = -9.0  # beyond the crop
    maps = torch.full((1, 68, CELLS, CELLS), -99.0)
    maps[..., 20, 30] = 99.0
    at = torch.tensor([STRIDE * 30 + 1.5, STRIDE * 20 + 1.5])
    want = (x[0, 1:] - at).norm(dim=-1).mean() / STRIDE
    torch.testing.assert_close(heatmap_regression.soft_argmax_loss(Told(maps), crop_of(x)), want)


def test_maps_are_computed_with_in_single_precision():
    """A network in half precision is trained and read as one of the same values in single precision."""
    x, half = points(1).float(), drawn(points(1, seed=1)).bfloat16()
    for loss in (
        heatmap_regression.l2_loss,
        heatmap_regression.cross_entropy_loss,
        heatmap_regression.soft_argmax_loss,
    ):
        one, other = (loss(Told(maps), crop_of(x)) for maps in (half, half.float()))
        assert one.dtype == torch.float32
        assert torch.equal(one, other)


def test_a_network_sees_its_images_between_0_and_1():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    (maps,) = heatmap_regression.heatmaps_of(torch.nn.Identity(), images)
    torch.testing.assert_close(maps.flatten(), torch.tensor([0.0, 0.2, 1.0]))


@pytest.mark.parametrize("cells", [8, 16, 64])
def test_targets_have_the_stride_of_the_maps(cells):
    """Whatever it is, the landmark is read where it was drawn."""
    x, images = points(1).float(), torch.zeros(1, 3, SIDE, SIDE)
    h = heatmap_regression.target(x, torch.zeros(1, 68, cells, cells), images, 1.5)
    assert h.shape == (1, 68, cells, cells)
    torch.testing.assert_close(heatmap_regression.landmarks_from(h, images, "taylor"), x, atol=1e-3, rtol=0)


def test_predictions_are_in_pixels_of_the_crop():
    x = points(2).float()
    got = heatmap_regression.predict(Told([drawn(x) * 0, drawn(x)]), crop_of(x), method="taylor")
    torch.testing.assert_close(got, x, atol=1e-3, rtol=0)
    wide = heatmap_regression.predict(Told(drawn(x)), crop_of(x), window=9, tau=3.0)
    torch.testing.assert_close(wide, heatmaps.decode(drawn(x), "local_soft", 9, 3.0, STRIDE))
    with pytest.raises(TypeError, match=r"landmarks_from: needed keywords .* did you mean window"):
        heatmap_regression.predict(Told(drawn(x)), crop_of(x), windov=9)
