import json

import numpy as np
import pytest
import torch
from torch import nn

from lddmmlib.experiments import _real, _record, _runs, realism, yardstick
from lddmmlib.faces import synthetic


@pytest.fixture(scope="module")
def photos():
    """Drawn faces in the place of photographs."""
    faces = [synthetic.sample(i, "studio-test", 96) for i in range(3)]
    return [_real.Sample(f.image.permute(1, 2, 0).numpy(), f.landmarks.numpy()) for f in faces]


def test_squares_are_the_yardsticks(photos):
    for sample, ours in zip(photos, realism.crop_all(photos, 64), strict=True):
        pixels, points = yardstick.crop(sample)
        np.testing.assert_allclose(ours.landmarks, points, atol=1e-4)
        assert np.abs(ours.image.numpy() / 255 - pixels).mean() < 0.02  # blurred a little otherwise


def test_jitter_moves_boxes_as_far_as_stated(photos):
    many = photos * 30
    still, moved = (torch.stack([c.landmarks for c in realism.crop_all(many, 64, jitter)]) for jitter in (False, True))
    size = [(x.amax(1) - x.amin(1)).amax(1) for x in (still, moved)]
    scale = size[0] / size[1]
    assert (scale.min() >= 0.85 - 1e-6, scale.max() <= 1.2 + 1e-6) == (True, True)
    assert scale.max() - scale.min() > 0.25
    shift = ((moved - 31.5) * scale[:, None, None] - (still - 31.5)).mean(1) / (64 / 1.25)
    assert shift.abs().max() <= 0.08 + 1e-6
    assert (shift.amin(0) < -0.06).all()  # either way, in x and in y
    assert (shift.amax(0) > 0.06).all()
    assert torch.equal(moved, torch.stack([c.landmarks for c in realism.crop_all(many, 64, True)]))


class Fixed(nn.Module):
    """The same maps for every image."""

    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def forward(self, images):
        return self.maps.expand(len(images), -1, -1, -1)


def test_predictions_are_where_the_maps_say(photos):
    maps = torch.full((1, 68, 16, 16), -50.0)
    maps[..., 10, 5] = 50.0
    pred, truth = realism.predict_all(Fixed(maps), realism.crop_all(photos, 64), "cpu")
    torch.testing.assert_close(pred, torch.tensor([21.5, 41.5], dtype=torch.float64).expand(3, 68, 2))
    assert realism.summarise(truth, truth)["all"] == 0
    assert realism.summarise(pred, truth)["all"] > 20


def test_a_small_run_end_to_end_and_again_from_its_folder(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(_real, "photographs", lambda measuring: photos)
    monkeypatch.setattr(_real, "video_frames", lambda: photos[:2])
    monkeypatch.setattr(_record, "RUNS", tmp_path / "runs")
    matrix = realism.EXPERIMENTS["realism_small"]
    (task,) = _runs.tasks("realism_small", matrix, "smoke", seeds=1)
    run = _runs.load(_runs.perform(task, results=tmp_path))
    assert (run.errors["photographs"].shape, run.errors["frames"].shape) == ((3,), (2,))
    told = run.figures["photographs"]["raw"]
    assert told.keys() >= {"all", "edge", "mouth", "by_turn"}
    assert 100 * run.errors["photographs"].mean() == pytest.approx(told["all"], rel=2e-3)
    assert len(run.figures["loss"]) == 2
    record = json.loads(_runs.judge("realism_small", matrix, "smoke", tmp_path).read_text(encoding="utf-8"))
    assert record["figures"]["seeds"]["0"]["photographs"]["raw"] == told
    again = _runs.load(_runs.perform(task, results=tmp_path))  # from the checkpoint
    assert torch.equal(again.errors["photographs"], run.errors["photographs"])
    assert again.provenance["seconds"] >= run.provenance["seconds"]
