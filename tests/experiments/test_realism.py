import json
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import default_collate

from lddmmlib.experiments import _record, realism, yardstick
from lddmmlib.faces import synthetic


@pytest.fixture(scope="module")
def photos():
    """Drawn faces in the place of photographs."""
    faces = [synthetic.sample(i, "studio-test", 96) for i in range(3)]
    return [yardstick.Sample(f.image.permute(1, 2, 0).numpy(), f.landmarks.numpy()) for f in faces]


def test_squares_are_the_yardsticks(photos):
    for sample, ours in zip(photos, realism.cut(photos, 64), strict=True):
        pixels, points = yardstick.crop(sample)
        np.testing.assert_allclose(ours.landmarks, points, atol=1e-4)
        assert np.abs(ours.image.numpy() / 255 - pixels).mean() < 0.02  # blurred a little otherwise


def test_jitter_moves_boxes_as_far_as_stated(photos):
    many = photos * 30
    still, moved = (torch.stack([c.landmarks for c in realism.cut(many, 64, jitter)]) for jitter in (False, True))
    size = [(x.amax(1) - x.amin(1)).amax(1) for x in (still, moved)]
    scale = size[0] / size[1]
    assert (scale.min() >= 0.85 - 1e-6, scale.max() <= 1.2 + 1e-6) == (True, True)
    assert scale.max() - scale.min() > 0.25
    shift = ((moved - 31.5) * scale[:, None, None] - (still - 31.5)).mean(1) / (64 / 1.25)
    assert shift.abs().max() <= 0.08 + 1e-6
    assert (shift.amin(0) < -0.06).all()  # either way, in x and in y
    assert (shift.amax(0) > 0.06).all()
    assert torch.equal(moved, torch.stack([c.landmarks for c in realism.cut(many, 64, True)]))


class Fixed(nn.Module):
    """The same maps for every image."""

    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def forward(self, images):
        return self.maps.expand(len(images), -1, -1, -1)


def test_loss_is_cross_entropy_over_landmarks_on_the_crop(photos):
    maps = torch.randn(1, 68, 16, 16, generator=torch.Generator().manual_seed(0))
    batch = default_collate(realism.cut(photos[:1], 64))
    batch.inside[0, 30:] = False
    y, x = np.mgrid[:16, :16]
    total = 0.0
    for k in range(30):
        u, v = (batch.landmarks[0, k].numpy() - 1.5) / 4
        q = np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 1.5**2))
        total -= (q / q.sum() * maps[0, k].flatten().log_softmax(0).view(16, 16).numpy()).sum() / 30
    assert realism.loss(Fixed(maps), batch).item() == pytest.approx(total, rel=1e-4)


def test_predictions_are_where_the_maps_say(photos):
    maps = torch.full((1, 68, 16, 16), -50.0)
    maps[..., 10, 5] = 50.0
    pred, truth = realism.found(Fixed(maps), realism.cut(photos, 64), "cpu")
    torch.testing.assert_close(pred, torch.tensor([21.5, 41.5], dtype=torch.float64).expand(3, 68, 2))
    assert realism.told(truth, truth)["all"] == 0
    assert realism.told(pred, truth)["all"] > 20


def test_a_small_run_end_to_end_and_again_from_its_folder(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(yardstick, "photographs", lambda measuring: photos)
    monkeypatch.setattr(yardstick, "frames", lambda: photos[:2])
    monkeypatch.setattr(_record, "RUNS", tmp_path / "runs")
    sized = realism.EXPERIMENTS["realism_small"]._replace(scales=("smoke",))
    run = partial(_record.run, "realism_small", sized, tmp_path, "smoke", seeds=1)
    path = run()
    record = json.loads(path.read_text(encoding="utf-8"))
    row = record["figures"]["seeds"]["0"]
    assert len(row["loss"]) == 2
    assert row["photographs"]["raw"].keys() >= {"all", "edge", "mouth", "by_turn"}
    with np.load(path.with_suffix(".npz")) as errors:
        assert (errors["photographs"].shape, errors["frames"].shape) == ((1, 3), (1, 2))
        assert 100 * errors["photographs"].mean() == pytest.approx(row["photographs"]["raw"]["all"], rel=2e-3)
    assert json.loads(run().read_text(encoding="utf-8"))["figures"] == record["figures"]
