"""Features around landmarks, against OpenCV one landmark at a time, and against pixels in loops."""

import cv2
import numpy as np
import pytest
import torch

from lddmmlib.methods.shape_indexed import features, features_by_loops
from tests.helpers import refused

ROUNDING = 1 / 512


def image(seed=0, shape=(50, 60)):
    noise = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return torch.from_numpy(cv2.GaussianBlur(noise, (0, 0), 1.5))


IMAGES = torch.stack([image(0), image(1)])
POINTS = torch.tensor([[[20.3, 25.7], [3.0, 4.0], [58.0, 49.0]], [[30.0, 30.0], [0.0, 0.0], [45.5, 20.5]]])


@pytest.mark.parametrize("patch", [12.0, 16.5, 24.0])
def test_all_landmarks_at_once_are_those_of_opencv_one_by_one(patch):
    found = features(IMAGES, POINTS, patch)
    for picture, shape, rows in zip(IMAGES, POINTS, found, strict=True):
        for (x, y), row in zip(shape.tolist(), rows, strict=True):
            key = cv2.KeyPoint(x=x, y=y, size=patch / 6, angle=0)
            alone = cv2.SIFT_create().compute(picture.numpy(), [key])[1]
            assert torch.equal(row, torch.from_numpy(alone[0]) / 512)


@pytest.mark.parametrize("patch", [8.0, 14.0])
def test_the_version_to_read_agrees(patch):
    off = (features(IMAGES, POINTS, patch) - features_by_loops(IMAGES, POINTS, patch)).abs()
    assert off.max() < 2 * ROUNDING  # OpenCV rounds, and takes its angles to a third of a degree


def test_features_move_with_the_shape():
    large = image(3, (90, 90))
    one, other = large[10:60, 10:70], large[17:67, 5:65]  # another view of the same
    middle = torch.tensor([[[30.0, 25.0], [27.4, 22.3]]])
    found = [features(x[None], p, 10.0) for x, p in ((one, middle), (other, middle + torch.tensor([5.0, -7.0])))]
    torch.testing.assert_close(*found, atol=2 * ROUNDING, rtol=0)


def test_a_descriptor_has_length_one_and_is_zero_far_outside():
    length = features(IMAGES[:1], torch.tensor([[[20.0, 20.0], [-300.0, 20.0], [1e30, -1e30]]])).norm(dim=-1)
    torch.testing.assert_close(length, torch.tensor([[1.0, 0.0, 0.0]]), atol=0.01, rtol=0)


def test_a_brighter_image_has_the_same_features():
    dark = IMAGES // 2
    torch.testing.assert_close(features(dark, POINTS), features(dark + 100, POINTS), atol=2 * ROUNDING, rtol=0)


def test_what_has_no_features_is_refused():
    refused("images: needed sides of 60 px, the patch, or more, got 50 px", features, IMAGES, POINTS, 60.0)
    refused("images: needed gray images", features, IMAGES.float(), POINTS)
    refused("images: needed gray images", features, IMAGES[0], POINTS)
    refused("points: needed .* a shape for each image, got .* for 2 images", features, IMAGES, POINTS[:1])
    refused("points: needed finite", features, IMAGES, POINTS.log())
    refused("patch: needed a number > 0", features, IMAGES, POINTS, 0.0)
