"""The black ellipse and the motion blur of the robustness tests."""

import math

import cv2
import numpy as np
import pytest
import torch

from lddmmlib.faces import perturb

CORNERS = torch.tensor([[20.0, 12.0], [84.0, 76.0], [40.0, 50.0]], dtype=torch.float64)  # a box of 64 x 64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=generator(7), dtype=torch.float64) * 0.8 + 0.1


@pytest.mark.parametrize("level", ["medium", "large"])
def test_ellipse_is_an_ellipse_of_the_stated_size(level):
    """Fitted by OpenCV's moments: axes within the stated range, centre in the box, area pi a b / 4."""
    low, high = perturb.ELLIPSE[level]
    angles = []
    for seed in range(40):
        done = perturb.ellipse(noise(3, 160, 160), CORNERS + 20, level, generator(seed))
        black = (done.image == 0).all(0).numpy().astype(np.uint8)
        m = cv2.moments(black, binaryImage=True)
        spread = np.array([[m["mu20"], m["mu11"]], [m["mu11"], m["mu02"]]]) / m["m00"]
        b, a = 4 * np.sqrt(np.linalg.eigvalsh(spread))
        assert low * 64 - 1 <= b <= a <= high * 64 + 1
        assert m["m00"] == pytest.approx(math.pi * a * b / 4, rel=0.02)
        assert 40 - 0.5 <= m["m10"] / m["m00"] <= 104.5
        assert 32 - 0.5 <= m["m01"] / m["m00"] <= 96.5
        if a > 1.15 * b:
            angles.append(0.5 * math.atan2(2 * spread[0, 1], spread[0, 0] - spread[1, 1]))
    assert min(angles) < -0.5 < 0.5 < max(angles)


def test_ellipse_leaves_the_rest_alone():
    image = noise(3, 96, 96)
    done = perturb.ellipse(image, CORNERS, "large", generator())
    outside = done.image != 0
    assert torch.equal(done.image[outside], image[outside])
    assert 0.02 < 1 - outside.double().mean() < 0.5


def test_hidden_are_the_landmarks_on_black():
    y, x = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    everywhere = torch.stack([x, y], -1).flatten(0, 1).double()
    everywhere[5] = torch.nan
    done = perturb.ellipse(noise(1, 96, 96), everywhere, "large", generator(3))
    black = (done.image[0] == 0).flatten()
    black[5] = False
    assert torch.equal(done.hidden, black)
    assert black.any()


def test_ellipse_by_seed_and_batch():
    images, points = noise(4, 3, 96, 96), CORNERS.expand(4, -1, -1)
    first, again = (perturb.ellipse(images, points, "medium", generator(1)).image for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, perturb.ellipse(images, points, "medium", generator(2)).image)
    masks = (first == 0).all(1)
    assert not torch.equal(masks[0], masks[1])  # each image has its own
    assert (perturb.ellipse((images * 255).byte(), points, "medium", generator(1)).image == 0).all(1)[masks].all()


def test_ellipse_scales_with_the_face():
    """Image and landmarks twice as large, ellipse twice as large."""
    small = perturb.ellipse(torch.ones(1, 128, 128), CORNERS, "large", generator(5)).image
    large = perturb.ellipse(torch.ones(1, 256, 256), CORNERS * 2, "large", generator(5)).image
    assert (large == 0).sum() == pytest.approx(4 * (small == 0).sum().item(), rel=0.03)


@pytest.mark.parametrize("level", ["medium", "large"])
@pytest.mark.parametrize("angle", [0.0, 0.6, 2.0])
def test_blur_spreads_a_dot_along_a_uniform_path(level, angle):
    """Mass 1, centre kept, variance L^2/12 along the path and that of bilinear sharing across it."""
    image = torch.zeros(1, 97, 97, dtype=torch.float64)
    image[0, 48, 48] = 1
    way = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    out = perturb.motion_blur(image, CORNERS, 3 * way, level)[0]
    y, x = torch.meshgrid(torch.arange(97) - 48.0, torch.arange(97) - 48.0, indexing="ij")
    along, across = x * way[0] + y * way[1], -x * way[1] + y * way[0]
    length = perturb.BLUR[level] * 64
    assert out.sum() == pytest.approx(1, abs=1e-9)
    assert abs((out * along).sum()) < 1e-9
    assert (out * along**2).sum().item() == pytest.approx(length**2 / 12, abs=0.26)
    assert (out * across**2).sum() < 0.26


def test_blur_of_a_ramp_is_the_ramp():
    """A straight edge of any slope is kept away from the border: the path's centre does not move."""
    x = torch.arange(96, dtype=torch.float64).expand(1, 96, 96)
    out = perturb.motion_blur(x, CORNERS, torch.tensor([1.0, 1.0]).double(), "large")
    torch.testing.assert_close(out[..., 10:-10, 10:-10], x[..., 10:-10, 10:-10])


def test_blur_needs_a_movement_and_knows_no_sign():
    images, points = noise(2, 3, 64, 64), CORNERS.expand(2, -1, -1) / 2
    way = torch.tensor([[0.0, 0.0], [1.0, -2.0]], dtype=torch.float64)
    out = perturb.motion_blur(images, points, way, "large")
    torch.testing.assert_close(out[0], images[0])
    assert (out[1] - images[1]).abs().max() > 0.1
    torch.testing.assert_close(out, perturb.motion_blur(images, points, -5 * way, "large"))


def test_blur_of_levels_rounds():
    images = (noise(1, 3, 64, 64) * 255).byte()
    points, way = CORNERS[None] / 2, torch.tensor([[1.0, 0.3]]).double()
    out = perturb.motion_blur(images, points, way, "medium")
    assert out.dtype == torch.uint8
    exact = perturb.motion_blur(images.double(), points, way, "medium")
    assert (out.double() - exact).abs().max() <= 0.5 + 1e-3


@pytest.mark.parametrize("do", ["ellipse", "blur"])
def test_refusals(do):
    def call(image, points, level):
        if do == "ellipse":
            return perturb.ellipse(image, points, level, generator())
        return perturb.motion_blur(image, points, torch.ones(*points.shape[:-2], 2), level)

    image = torch.ones(1, 32, 32)
    with pytest.raises(ValueError, match="'medium', 'large'; got 'huge'"):
        call(image, CORNERS, "huge")
    with pytest.raises(ValueError, match=r"needed \(\.\.\., c, h, w\)"):
        call(torch.ones(2, 1, 32, 32), CORNERS, "medium")
    with pytest.raises(ValueError, match="at least two"):
        call(image, CORNERS[:1], "medium")
