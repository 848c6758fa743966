"""Crops: the affine map to the sub-pixel, there and back; one resampling; what leaves the crop is flagged, not lost."""

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from lddmmlib.data import crops
from lddmmlib.experiments import _real, yardstick

SHOWN = torch.tensor([[40.3, 50.7], [90.8, 45.2], [66.1, 80.4], [45.5, 110.9], [95.2, 104.6]], dtype=torch.float64)


def dots(points, size, sigma):
    """Bright dots on dark ground: (3, h, w) uint8."""
    y, x = np.mgrid[: size[0], : size[1]]
    image = sum(np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma**2)) for u, v in points.tolist())
    return torch.from_numpy(np.round(250 * image).clip(0, 255).astype(np.uint8)).expand(3, -1, -1).contiguous()


def found(image, near, reach):
    """The bright dots' centres of mass, each within ``reach`` px of where it should be."""
    gray = image.double().mean(0)
    y, x = torch.meshgrid(torch.arange(gray.shape[0]).double(), torch.arange(gray.shape[1]).double(), indexing="ij")
    centres = []
    for u, v in near.tolist():
        mass = gray * ((x - u) ** 2 + (y - v) ** 2 < reach**2)
        centres.append(torch.stack([(mass * x).sum(), (mass * y).sum()]) / mass.sum())
    return torch.stack(centres)


def turned(size, angle, scale, centre=(70.0, 80.0), flip=1.0):
    """A similarity that shows ``centre`` in the middle of the crop."""
    c, s = np.cos(angle), np.sin(angle)
    linear = scale * np.array([[flip * c, -s], [flip * s, c]])
    return torch.from_numpy(np.c_[linear, np.full(2, (size - 1) / 2) - linear @ centre])


@pytest.mark.parametrize("flip", [1.0, -1.0])
@pytest.mark.parametrize(("scale", "angle"), [(1.0, 0.0), (1.7, 0.4), (0.7, -1.2), (0.31, 2.6)])
def test_landmarks_are_where_the_pixels_went(scale, angle, flip):
    """Dots drawn before are found after within 0.05 px, grown, shrunk, turned and flipped."""
    sigma = 2.2 / min(scale, 1)
    points = (SHOWN - SHOWN.mean(0)) * 3 + 300 if scale < 0.5 else SHOWN  # room between the dots
    image = dots(points, (600, 620) if scale < 0.5 else (170, 160), sigma)
    affine = turned(220, angle, scale, points.mean(0).numpy(), flip)
    face = crops.crop(image, points, torch.ones(5, dtype=torch.bool), 220, affine)
    assert face.inside.all()
    here = found(face.image, face.landmarks, 4 * sigma * scale + 3)
    assert (here - face.landmarks).norm(dim=-1).max() < 0.05


def test_frame_shows_the_stated_square():
    """The square's corners are the crop's, half a pixel beyond the middles of its corner pixels."""
    affine = crops.frame((10.0, 20.0, 30.0, 50.0), 200, margin=1.2)
    corners = torch.tensor([[25.0 - 30, 45.0 - 30], [25.0 + 30, 45.0 + 30]]).double()
    expected = torch.tensor([[-0.5, -0.5], [199.5, 199.5]]).double()
    torch.testing.assert_close(crops.apply(affine, corners), expected)


def test_frame_is_the_one_of_the_yardstick():
    """The fixed protocol of the yardstick cuts the same square."""
    rng = np.random.default_rng(0)
    image, points = rng.integers(0, 256, (300, 260, 3), dtype=np.uint8), rng.uniform(80, 180, (68, 2))
    pixels, there = yardstick.crop(_real.Sample(image, points))
    at = torch.from_numpy(points)
    ours = crops.crop(torch.from_numpy(image).permute(2, 0, 1), at, torch.ones(68, dtype=torch.bool), 64)
    np.testing.assert_allclose(ours.landmarks.numpy(), there, atol=1e-4)
    assert np.corrcoef(ours.image.numpy().ravel(), pixels.ravel())[0, 1] > 0.97  # another blur, the same place


@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_there_and_back(flip):
    affine = turned(64, 0.7, 0.3, flip=flip).expand(4, 2, 3)
    points = torch.randn(4, 9, 2, dtype=torch.float64) * 100
    points[0, 3] = torch.nan
    back = crops.apply(crops.inverse(affine), crops.apply(affine, points))
    torch.testing.assert_close(back, points, equal_nan=True, atol=1e-10, rtol=0)
    single = crops.apply(affine, points.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), crops.apply(affine, points), equal_nan=True, atol=1e-3, rtol=0)


def test_two_maps_are_one():
    first, second = turned(64, 0.7, 0.3), turned(32, -0.2, 1.4, flip=-1.0)
    both = crops.apply(second, crops.apply(first, SHOWN))
    torch.testing.assert_close(crops.apply(crops.then(first, second), SHOWN), both)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_are_scipys(channels):
    """Grown, turned, and partly beyond the border: as SciPy's linear spline, which asks for the map back."""
    rng = np.random.default_rng(1)
    image = ndimage.gaussian_filter(rng.uniform(0, 255, (channels, 90, 120)), (0, 1.5, 1.5)).round().astype(np.uint8)
    affine = turned(100, 0.5, 1.3, centre=(20.0, 30.0))
    out = crops.cut(torch.from_numpy(image), affine, 100)
    back = crops.inverse(affine).numpy()[::-1]  # SciPy's axes are (y, x)
    how = {"order": 1, "mode": "nearest", "output_shape": (100, 100), "offset": back[:, 2]}
    for ours, layer in zip(out.numpy(), image, strict=True):
        theirs = ndimage.affine_transform(layer.astype(float), back[:, 1::-1], **how)
        # 0.5 of rounding; OpenCV before version 5 takes places to a 32nd of a pixel
        assert np.abs(ours - theirs).max() < 1.2


@pytest.mark.parametrize("centre", [(70.0, 80.0), (4.0, 150.0), (-200.0, 20.0), (500.0, 900.0)])
@pytest.mark.parametrize("scale", [0.15, 0.6, 2.0])
def test_only_what_is_seen_is_read(centre, scale):
    """Blurring and warping the whole photograph gives the same crop, also at and beyond its border."""
    image = np.random.default_rng(2).integers(0, 256, (160, 140, 3), dtype=np.uint8)
    affine = turned(48, 0.3, scale, centre)
    whole = image
    if scale < 1:
        whole = cv2.GaussianBlur(image, (0, 0), 0.5 * np.sqrt(1 / scale**2 - 1), borderType=cv2.BORDER_REPLICATE)
    whole = cv2.warpAffine(whole, affine.numpy(), (48, 48), borderMode=cv2.BORDER_REPLICATE)
    out = crops.cut(torch.from_numpy(image).permute(2, 0, 1), affine, 48).permute(1, 2, 0).numpy()
    assert np.abs(out.astype(int) - whole).max() <= 1


def test_shrinking_makes_no_pattern_of_a_fine_one():
    """Stripes of 2.2 px, shrunk four times: gray. Bilinear sampling alone would show broad stripes."""
    stripes = (127.5 + 127.5 * torch.cos(2 * torch.pi * torch.arange(400) / 2.2)).byte().expand(3, 400, 400)
    affine = crops.frame((0.0, 0.0, 399.0, 399.0), 100, margin=1.0)
    bare = cv2.warpAffine(stripes[0].numpy(), affine.numpy(), (100, 100)).astype(float)
    assert bare[10:-10, 10:-10].std() > 30
    assert crops.cut(stripes, affine, 100)[:, 10:-10, 10:-10].double().std() < 2


def test_what_leaves_the_crop_is_flagged_not_lost():
    nan = torch.nan
    points = torch.tensor([[50.0, 50.0], [10.0, 50.0], [40.0, 60.0], [nan, nan]], dtype=torch.float64)
    seen = torch.tensor([True, True, False, False])
    affine = crops.frame((30.0, 30.0, 40.0, 40.0), 40, margin=1.0)
    face = crops.crop(torch.zeros(3, 100, 100).byte(), points, seen, 40, affine)
    assert face.inside.tolist() == [True, False, True, False]
    assert torch.equal(face.visible, seen)
    torch.testing.assert_close(face.landmarks[1], torch.tensor([-20.5, 19.5]).double())
    assert face.landmarks[3].isnan().all()
    at_edges = torch.tensor([[-0.4, 3.0], [8.6, 3.0]])
    edge = crops.crop(torch.zeros(1, 9, 9).byte(), at_edges, seen[:2], 9, torch.eye(2, 3).double())
    assert edge.inside.tolist() == [True, False]


def test_a_box_of_what_is_there():
    points = torch.tensor([[3.0, 5.0], [torch.nan, torch.nan], [13.0, 2.0]])
    assert crops.box(points) == (3.0, 2.0, 10.0, 3.0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: crops.box(torch.full((4, 2), torch.nan)), "got NaN alone"),
        (lambda: crops.frame((3.0, 4.0, 0.0, 0.0), 64), "extent above 0"),
        (lambda: crops.frame((3.0, 4.0, 9.0, -2.0), 64), "extent above 0"),
        (lambda: crops.frame((3.0, 4.0, 9.0, 2.0), 0), "size: needed a number > 0"),
        (lambda: crops.frame((3.0, 4.0, 9.0, 2.0), 64, margin=0.0), "margin: needed a number > 0"),
        (lambda: crops.cut(torch.zeros(3, 9, 9), torch.eye(2, 3).double(), 9), "uint8"),
        (lambda: crops.cut(torch.zeros(9, 9, 9).byte(), torch.eye(2, 3).double(), 9), "3 .red, green, blue. or 4"),
    ],
)
def test_refusals(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# ------------------------------------------------------------------------------------------- the face's whole box


def face_boxes(missing, shapes):
    """(shift of the middle, side) of the completed box, relative to the true one, by face; and the plain box's side."""
    out = []
    for shape in shapes:
        part = shape.clone()
        part[list(missing)] = torch.nan
        x, y, w, h = crops.box(shape)
        (a, b, c, d), plain = crops.box(crops.complete(part, "300w-68")), crops.box(part)
        side = max(w, h)
        shift = np.hypot(a + c / 2 - x - w / 2, b + d / 2 - y - h / 2) / side
        out.append((shift, max(c, d) / side, max(plain[2:]) / side))
    return torch.tensor(out).T


@pytest.mark.parametrize("missing", [range(17), [*range(5, 12), *range(48, 68)], range(17, 27)])
def test_a_box_is_that_of_the_whole_face(missing):
    """Drawn faces: nearly the same square whether landmarks are missing or not; the plain box is smaller."""
    from lddmmlib.faces import synthetic

    faces = synthetic.Faces(24, "studio", size=64)
    shift, side, plain = face_boxes(missing, [faces[i].landmarks for i in range(24)])
    assert (side.mean() - 1).abs() < 0.06
    assert shift.mean() < 0.12
    assert (side.mean() - 1).abs() < (plain.mean() - 1).abs() or plain.mean() > 0.98


@pytest.mark.real
def test_a_real_face_without_its_jaw(real):
    shapes = torch.from_numpy(np.load(real / "shapes_300w_train.npz")["pts"][:200]).double()
    shift, side, plain = face_boxes(range(17), shapes)
    assert plain.mean() < 0.85
    assert 0.95 < side.mean() < 1.05
    assert shift.mean() < 0.12


def test_what_cannot_be_completed_stays():
    points = torch.full((68, 2), torch.nan, dtype=torch.float64)
    assert crops.complete(points, "300w-68").isnan().all()
    points[[30, 33]] = torch.tensor([[5.0, 6.0], [7.0, 8.0]], dtype=torch.float64)
    assert torch.equal(crops.complete(points, "300w-68").isnan(), points.isnan())
    points[:] = 3.0
    points[4] = torch.nan
    assert torch.equal(crops.complete(points, "300w-68").isnan(), points.isnan())
    with pytest.raises(ValueError, match="needed 68 points, got 5"):
        crops.complete(points[:5], "300w-68")


# ---------------------------------------------------------------------------------------------- far and very small


@pytest.mark.parametrize("reach", [1e7, 1e8, 1e12, 1e200, 1e307])
def test_a_misplaced_landmark_is_refused_at_once(reach):
    """No blur as wide as the landmarks reach: neither minutes nor an error of OpenCV's."""
    points = torch.tensor([[10.0, 10.0], [reach, 30.0]], dtype=torch.float64)
    with pytest.raises(
        ValueError, match=r"a pixel or more, got one (of|without) .* for a photograph of 60 x 40; is a landmark"
    ):
        crops.crop(torch.zeros(3, 40, 60).byte(), points, torch.ones(2).bool(), 64)


def test_a_face_far_away_shows_the_border_or_is_refused():
    image = torch.arange(256).byte().reshape(1, 16, 16)
    for centre in (100.0, 3e3, 9e3):
        out = crops.cut(image, crops.frame((centre, centre, 20.0, 20.0), 32), 32)
        assert (out == image[0, -1, -1]).all()
    for centre in (4e4, 1e8, -1e12, 1e200):
        with pytest.raises(ValueError, match=r"got one far away for a photograph of 16 x 16; is a landmark"):
            crops.cut(image, crops.frame((centre, 5.0, 20.0, 20.0), 32), 32)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("shrink", [17.0, 40.3, 130.0])
def test_a_large_photograph_is_blurred_as_a_small_one(shrink, channels):
    """Where it is averaged over squares first, the crop is that of the whole blur within two levels."""
    image = ndimage.gaussian_filter(np.random.default_rng(3).uniform(0, 255, (channels, 300, 400)), (0, 9, 9))
    image = (6 * (image - 127) + 127).clip(0, 255).round().astype(np.uint8)
    affine = crops.frame((120.0, 100.0, 150.0, 150.0), round(187.5 / shrink))
    size = round(187.5 / shrink)
    scale = affine[0, 0].item()
    sigma = 0.5 * np.sqrt(1 / scale**2 - 1)
    whole = image.transpose(1, 2, 0).astype(np.float32)
    whole = cv2.GaussianBlur(whole, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    whole = cv2.warpAffine(whole, affine.numpy(), (size, size), borderMode=cv2.BORDER_REPLICATE)
    out = crops.cut(torch.from_numpy(image), affine, size).permute(1, 2, 0).numpy()
    assert np.abs(out - whole.reshape(out.shape)).max() < 3
