"""The yardstick's parts: crops, network, loss, and what it takes away for the labels' convention."""

import math

import cv2
import numpy as np
import pytest
import torch

from lddmmlib.experiments import _real, yardstick
from lddmmlib.faces import schemes, statistics

MEAN = statistics.real_300w().mean


def sample(size=100, seed=0):
    """A photograph with a red dot at the tip of the nose, at an even number of pixels."""
    points = (MEAN.numpy() - MEAN.numpy().min(0)) * 40 + 15.0
    points += np.round(points[30]) - points[30]
    image = np.random.default_rng(seed).integers(0, 60, (size, size, 3)).astype(np.uint8)
    x, y = points[30].astype(int)
    image[y - 1 : y + 2, x - 1 : x + 2, 0] = 255
    return _real.Sample(image, points)


@pytest.mark.parametrize("seed", [None, 0, 1, 2, 3, 4])
def test_landmarks_move_with_the_crop(seed):
    """The dot is found where its landmark went, under any rotation, scale, shift and flip."""
    cut, points = yardstick.crop(sample(), None if seed is None else np.random.default_rng(seed))
    assert cut.shape == (3, 64, 64)
    assert points.dtype == cut.dtype == np.float32
    red = np.clip(cut[0] - cut[1:].max(0) - 0.2, 0, None)
    y, x = np.mgrid[:64, :64]
    found = np.array([(red * x).sum(), (red * y).sum()]) / red.sum()
    assert found == pytest.approx(points[30], abs=0.35)


def test_crop_without_chance_is_the_stated_square():
    _, points = yardstick.crop(sample())
    low, high = points.min(0), points.max(0)
    assert (high - low).max() == pytest.approx(64 / 1.25, rel=1e-5)
    assert (low + high) / 2 == pytest.approx([31.5, 31.5], abs=1e-4)


def test_a_box_that_is_off_moves_and_scales_the_crop():
    _, true = yardstick.crop(sample())
    _, off = yardstick.crop(sample(), box=(1.1, 0.05, -0.08))
    np.testing.assert_allclose(off, (true - 31.5) / 1.1 + 31.5 - 64 * np.array([0.05, -0.08]), atol=1e-4)


def test_errors_are_told_apart_by_the_turn_of_the_head():
    errors, turns = torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([0.0, 0.2, 0.3, 0.7])
    told = yardstick.by_turn(errors, turns)
    assert told == [{"from": 0.0, "count": 1, "mean": 1.0}, {"from": 0.15, "count": 2, "mean": 3.0},
                    {"from": 0.6, "count": 1, "mean": 8.0}]  # fmt: skip


def test_network_is_the_stated_one():
    network = yardstick.Network()
    assert sum(p.numel() for p in network.parameters()) == 864164
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 68, 32, 32)


def test_decode_finds_a_peak_in_crop_pixels():
    logits = torch.full((1, 68, 32, 32), -50.0)
    logits[..., 10, 20] = 50.0
    torch.testing.assert_close(yardstick.decode(logits)[0, 0], torch.tensor([40.5, 20.5]))
    logits[..., 10, 21] = 50.0
    torch.testing.assert_close(yardstick.decode(logits)[0, 0], torch.tensor([41.5, 20.5]))


def test_loss_is_its_formula():
    """By explicit sums over cells; and least for logits that are the target's logarithm."""
    torch.manual_seed(0)
    logits, points = torch.randn(2, 68, 32, 32), 10 + 40 * torch.rand(2, 68, 2)
    total = 0.0
    for b in range(2):
        for k in range(68):
            target = np.array(
                [
                    [
                        math.exp(-((2 * u + 0.5 - points[b, k, 0]) ** 2 + (2 * v + 0.5 - points[b, k, 1]) ** 2) / 18)
                        for u in range(32)
                    ]
                    for v in range(32)
                ]
            )
            log_p = logits[b, k].flatten().log_softmax(0).numpy()
            total -= (target.ravel() / target.sum() * log_p).sum() / 136
    expected = total + 0.02 * (yardstick.decode(logits) - points).abs().mean()
    assert yardstick.loss(logits, points).item() == pytest.approx(expected.item(), rel=1e-5)


def turned(count, seed=0):
    """Faces of many sizes, directions and head turns."""
    g = torch.Generator().manual_seed(seed)
    faces = MEAN.repeat(count, 1, 1)
    turn = torch.rand(count, generator=g).double() - 0.5
    faces[:, yardstick.TIP, 0] += 0.5 * turn
    angle, scale = torch.rand(2, count, generator=g).double()
    c, s = (20 + 20 * scale) * torch.cos(angle), (20 + 20 * scale) * torch.sin(angle)
    frame = torch.stack([torch.stack([c, s], -1), torch.stack([-s, c], -1)], 1)
    return faces @ frame + 30, frame


def test_convention_is_taken_away_and_nothing_else():
    """An offset, constant and linear in turn, vanishes; noise does not."""
    pred, frame = turned(80)
    turn = yardstick._turn(pred)[:, None, None]
    g = torch.Generator().manual_seed(1)
    constant, slope = (0.05 * torch.randn(68, 2, generator=g, dtype=torch.float64) for _ in range(2))
    truth = pred + (constant + slope * turn) @ yardstick._frame(pred)
    torch.testing.assert_close(yardstick.corrected(pred, truth), truth)
    noise = 0.05 * torch.randn(80, 68, 2, generator=g, dtype=torch.float64) @ frame
    left = (yardstick.corrected(pred, truth + noise) - truth - noise).norm(dim=-1).mean()
    assert left.item() == pytest.approx(noise.norm(dim=-1).mean().item(), rel=0.1)


def test_correction_is_never_fitted_on_its_own_half():
    pred, _ = turned(40)
    truth = pred.clone()
    truth[4] += 3.0  # in the even half
    moved = (yardstick.corrected(pred, truth) - pred).norm(dim=-1).mean(-1)
    assert moved[0::2].max() < 1e-9
    assert moved[1::2].min() > 1e-3


def test_training_learns_one_picture():
    """A dozen steps on one face bring its landmarks near: network, loss, batch and schedule hang together."""
    one, losses = sample(), []
    yardstick.train([one], 12, lambda step, value: losses.append(value))
    assert losses[-1] < losses[0] - 0.5


@pytest.mark.real
def test_photographs_are_split_as_stated():
    import os

    if not os.environ.get("LDDMMLIB_REAL_DATA"):
        pytest.skip("LDDMMLIB_REAL_DATA names no folder of real photographs")
    tune, measure = _real.photographs(False), yardstick.photographs(True)
    assert (len(tune), len(measure)) == (80, 170)
    names = {cv2.mean(s.image) for s in tune} & {cv2.mean(s.image) for s in measure}
    assert not names
    assert all(s.points.shape == (schemes.get("300w-68").n, 2) for s in tune)
