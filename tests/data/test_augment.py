"""Augmentation: landmarks go with the pixels, hidden ones are told, nothing happens but by the generator."""

import numpy as np
import pytest
import torch

from lddmmlib.data import augment, crops, images
from lddmmlib.data.augment import RECIPE, STILL
from lddmmlib.data.records import Record
from lddmmlib.faces import schemes, synthetic

SCHEME = schemes.get("aflw-19")
SIZE = 128


def rng(seed=0):
    return np.random.default_rng(seed)


def dotted(points, size, sigma=2.5):
    """One channel of dots a picture, none near the others: red, green and blue hold every third landmark."""
    y, x = np.mgrid[:size, :size]
    image = np.zeros((3, size, size))
    for i, (u, v) in enumerate(points.tolist()):
        image[i % 3] += np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma**2))
    return torch.from_numpy(np.round(250 * image).clip(0, 255).astype(np.uint8))


def spread(size=256):
    """19 landmarks on a loose grid, at odd places, none symmetrical to another."""
    x, y = np.meshgrid(np.arange(5), np.arange(4))
    at = np.c_[x.ravel(), y.ravel()][:19] * size / 6 + size / 6 + rng(3).uniform(-4, 4, (19, 2))
    return torch.from_numpy(at)


def one(how, seed, image=None, points=None, visible=None):
    points = spread() if points is None else points
    image = dotted(points, 256) if image is None else image
    visible = torch.ones(19, dtype=torch.bool) if visible is None else visible
    affine = crops.frame(crops.box(points), SIZE)
    return augment.augment(image, points, visible, affine, SIZE, SCHEME.name, rng(seed), how)


MOVES = STILL._replace(turn=40.0, turned=1.0, scale=(0.8, 1.3), shift=0.1)


@pytest.mark.parametrize("flipped", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_dots_are_where_the_landmarks_are(seed, flipped):
    """Turned, scaled, shifted, flipped: each dot's centre is its landmark within 0.05 px, under its new index."""
    face = one(MOVES._replace(flipped=flipped), seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    checked = 0
    for new, (u, v) in enumerate(face.landmarks.tolist()):
        old = SCHEME.flip[new] if flipped else new
        if min(u, v) < 8 or max(u, v) > SIZE - 9:
            continue
        mass = face.image[old % 3].double().numpy() * ((x - u) ** 2 + (y - v) ** 2 < 7.5**2)
        assert np.hypot((mass * x).sum() / mass.sum() - u, (mass * y).sum() / mass.sum() - v) < 0.05
        checked += 1
    assert checked >= 8


def test_still_is_the_canonical_crop():
    points = spread()
    plain = crops.crop(dotted(points, 256), points, torch.ones(19, dtype=torch.bool), SIZE)
    for ours, theirs in zip(one(STILL, 0), plain, strict=True):
        assert torch.equal(ours, theirs)


def test_a_flip_is_the_mirror_and_twice_is_nothing():
    """x -> W - 1 - x of the canonical crop with the scheme's permutation; the same again undoes it. OpenCV before
    version 5 takes places to a 32nd of a pixel, which is a few levels on an edge."""
    flip = STILL._replace(flipped=1.0)
    canonical, once = one(STILL, 0), one(flip, 0)
    assert (once.image.int() - canonical.image.flip(-1).int()).abs().max() <= 4
    mirrored = canonical.landmarks * torch.tensor([-1, 1]) + torch.tensor([SIZE - 1, 0])
    torch.testing.assert_close(once.landmarks, mirrored[list(SCHEME.flip)])
    assert once.affine[:, :2].det() < 0
    identity = torch.eye(2, 3).double()
    how = (identity, SIZE, SCHEME.name, rng(), flip)
    twice = augment.augment(once.image, once.landmarks, once.visible, *how)
    torch.testing.assert_close(twice.landmarks, canonical.landmarks)
    assert (twice.image.int() - canonical.image.int()).abs().max() <= 4


def test_visibility_and_missing_landmarks_follow_their_points():
    points, seen = spread(), torch.arange(19) % 4 != 0
    image = dotted(points, 256)
    points[5] = torch.nan
    face = one(STILL._replace(flipped=1.0), 0, image, points, seen)
    assert torch.equal(face.visible, seen[list(SCHEME.flip)])
    assert face.landmarks.isnan().all(-1).nonzero().flatten().tolist() == [SCHEME.flip.index(5)]
    assert not face.inside[SCHEME.flip.index(5)]
    wild = one(RECIPE, 4, image, points, seen)
    assert wild.landmarks.isnan().any(-1).sum() == 1


def test_predictions_go_back_to_the_photograph():
    points = spread()
    for seed in range(6):
        face = one(RECIPE, seed)
        back = crops.apply(crops.inverse(face.affine), face.landmarks)
        back = back[list(SCHEME.flip)] if face.affine[:, :2].det() < 0 else back
        torch.testing.assert_close(back, points, atol=1e-9, rtol=0)


def test_a_landmark_is_hidden_exactly_under_things():
    """Landmarks on all pixels: what is no longer visible is what was painted over; off the pixels none is missed."""
    y, x = np.mgrid[:64, :64]
    everywhere = torch.from_numpy(np.stack([x, y], -1).reshape(-1, 2)).double()
    everywhere[7] = torch.nan
    gray, shares = np.full((64, 64, 3), 2.0, np.float32), []  # 2 is no colour of a thing
    for seed in range(30):
        done, hidden = augment.occlude(gray, everywhere, rng(seed), RECIPE._replace(hidden=1.0))
        painted = (done != 2).all(-1).ravel()
        painted[7] = False
        assert np.array_equal(painted, hidden.numpy())
        assert done[done != 2].min() >= 0
        assert done[done != 2].max() <= 1
        shares.append(painted.mean())
    assert 0.03 < np.mean(shares) < 0.3
    assert (gray == 2).all()


def test_things_are_rectangles_and_ellipses():
    """By the share that a thing fills of its own box along its axes: 1 or π/4. Boxes by OpenCV."""
    import cv2

    filled = []
    for seed in range(60):
        how = RECIPE._replace(hidden=1.0, cover=(0.2, 0.3))
        done, _ = augment.occlude(np.full((256, 256, 3), 2.0, np.float32), spread(), rng(seed), how)
        mask = (done != 2).all(-1).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        if count != 2 or stats[1, :2].min() == 0 or (stats[1, :2] + stats[1, 2:4]).max() == 256:
            continue  # more than one, or cut off by the border
        corners, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        (w, h) = cv2.minAreaRect(corners[0])[1]
        if max(w, h) <= 0.3 * 256 + 1:  # one thing, not two that touch
            assert min(w, h) >= 0.2 * 256 - 2
            filled.append(mask.sum() / ((w + 1) * (h + 1)))
    near_one, near_ellipse = (np.abs(np.array(filled) - share) < 0.04 for share in (1, np.pi / 4))
    assert (near_one | near_ellipse).all()
    assert near_one.any()
    assert near_ellipse.any()


def test_the_generator_is_the_only_chance():
    first, again, other = one(RECIPE, 1), one(RECIPE, 1), one(RECIPE, 2)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.image, other.image)
    assert not torch.equal(first.affine, other.affine)


@pytest.mark.parametrize(
    ("field", "value", "moved"),
    [("turn", (25.0, 1.0), True), ("scale", (0.5, 0.9), True), ("shift", 0.2, True), ("flipped", 1.0, True),
     ("contrast", 0.5, False), ("brightness", 0.3, False), ("colour", 0.3, False), ("gray", 1.0, False),
     ("noise", 0.1, False), ("blur", 0.03, False), ("hidden", 1.0, False)],
)  # fmt: skip
def test_each_ingredient_does_its_own(field, value, moved):
    """Alone it changes the pixels; the landmarks only where it is a movement."""
    how = {"turn": {"turn": 25.0, "turned": 1.0}, "blur": {"blur": 0.03, "blurred": 1.0}}.get(field, {field: value})
    still, done = one(STILL, 6), one(STILL._replace(**how), 6)
    assert not torch.equal(done.image, still.image)
    assert torch.equal(done.landmarks, still.landmarks) is not moved


def test_amounts_are_the_stated_ones():
    """Angle, scale and shift, read off the map, stay within the recipe and use all of it."""
    how = STILL._replace(turn=40.0, turned=1.0, scale=(0.8, 1.3), shift=0.1)
    maps = np.stack([augment.move(SIZE, rng(seed), how).numpy() for seed in range(400)])
    angle = np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
    side = 1 / np.sqrt(np.linalg.det(maps[:, :, :2]))
    middle = np.full(2, (SIZE - 1) / 2)
    shift = (maps[:, :, :2] @ middle + maps[:, :, 2] - middle) / SIZE
    for values, low, high in ((angle, -40, 40), (side, 0.8, 1.3), (shift[:, 0], -0.1, 0.1), (shift[:, 1], -0.1, 0.1)):
        assert low - 1e-6 <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high + 1e-6


@pytest.mark.parametrize(("field", "other"), [("turned", "turn"), ("flipped", "")])
def test_shares_are_shares(field, other):
    how = STILL._replace(**{field: 0.3} | ({other: 30.0} if other else {}))
    plain = torch.eye(2).double()
    share = np.mean([not torch.allclose(augment.move(SIZE, rng(s), how)[:, :2], plain) for s in range(600)])
    assert share == pytest.approx(0.3, abs=0.06)


def test_gray_and_things_have_their_shares():
    pixels = rng().random((16, 16, 3), dtype=np.float32)
    how = STILL._replace(gray=0.3, hidden=0.3)
    gray = [np.ptp(augment.relight(pixels, rng(s), how), -1).max() < 1e-6 for s in range(600)]
    laid = [augment.occlude(pixels, spread(), rng(s), how)[0] is not pixels for s in range(600)]
    assert np.mean(gray) == pytest.approx(0.3, abs=0.06)
    assert np.mean(laid) == pytest.approx(0.3, abs=0.06)


def test_gray_is_gray_and_colour_stays_in_bounds():
    pixels = rng().random((32, 32, 3), dtype=np.float32)
    gray = augment.relight(pixels, rng(1), STILL._replace(gray=1.0))
    np.testing.assert_allclose(gray, np.repeat((pixels @ augment.LUMA)[..., None], 3, -1), atol=1e-6)
    strong = RECIPE._replace(contrast=0.9, brightness=0.9, colour=0.9, noise=0.5, blurred=1.0)
    for seed in range(20):
        done = augment.relight(pixels, rng(seed), strong)
        assert done.dtype == np.float32
        assert 0 <= done.min() <= done.max() <= 1


def test_contrast_brightness_and_colour_are_their_formula():
    """(x - 1/2) c + 1/2 + b, read off two levels: c and b in their ranges, channels alike without colour."""
    ramp = np.broadcast_to(np.float32([[[0.4]], [[0.6]]]), (2, 1, 3))
    factors, added = [], []
    for seed in range(300):
        low, high = augment.relight(ramp, rng(seed), STILL._replace(contrast=0.4, brightness=0.15))
        factors.append((high - low)[0, 0] / 0.2)
        added.append((high + low)[0, 0] / 2 - 0.5)
        assert np.ptp(low) < 1e-6
    assert 0.6 - 1e-4 <= min(factors) < 0.65 < 1.35 < max(factors) <= 1.4 + 1e-4
    assert -0.15 - 1e-4 <= min(added) < -0.13 < 0.13 < max(added) <= 0.15 + 1e-4


def test_a_dataset_of_drawn_faces():
    faces = augment.Crops(synthetic.Faces(3, "wild", size=96), "300w-68", 48)
    assert len(faces) == 3
    still = faces[1]
    low, high = still.landmarks.amin(0), still.landmarks.amax(0)
    assert (high - low).max().item() == pytest.approx(48 / crops.MARGIN)
    torch.testing.assert_close((low + high) / 2, torch.tensor([23.5, 23.5]).double())
    draws = torch.utils.data.default_collate([faces.draw(1, rng(seed)) for seed in range(3)])
    assert draws.image.shape == (3, 3, 48, 48)
    assert draws.landmarks.shape == (3, 68, 2)
    assert draws.affine.shape == (3, 2, 3)


def test_another_scheme_is_refused():
    identity = torch.eye(2, 3).double()
    with pytest.raises(ValueError, match="needed the 19 of 'aflw-19', got 5"):
        augment.augment(
            torch.zeros(3, 9, 9).byte(), torch.ones(5, 2), torch.ones(5).bool(), identity, 9, "aflw-19", rng()
        )


def test_visible_is_what_no_thing_covers():
    """On the whole face: landmarks on pixels, and those whose pixel changed are hidden."""
    x, y = np.meshgrid(np.linspace(4, 60, 5).round(), np.linspace(3, 57, 4).round())
    points = torch.from_numpy(np.c_[x.ravel(), y.ravel()][:19])
    seen, gray = torch.arange(19) % 5 != 0, torch.full((3, 64, 64), 128, dtype=torch.uint8)
    covered = 0
    for seed in range(8):
        how = (torch.eye(2, 3).double(), 64, SCHEME.name, rng(seed), STILL._replace(hidden=1.0))
        face = augment.augment(gray, points, seen, *how)
        at = face.landmarks.long()
        changed = (face.image != 128).any(0)[at[:, 1], at[:, 0]]
        assert torch.equal(face.visible, seen & ~changed)
        covered += changed.sum().item()
    assert covered > 4


# ------------------------------------------------------------------------------------------ one contract, two doors


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_are_carried_through_both_doors(channels):
    points, seen = spread(), torch.ones(19, dtype=torch.bool)
    image = torch.from_numpy(rng(1).integers(0, 256, (channels, 256, 256), dtype=np.uint8))
    affine = crops.frame(crops.box(points), SIZE)
    plain = crops.crop(image, points, seen, SIZE, affine)
    assert plain.image.shape == (channels, SIZE, SIZE)
    assert torch.equal(one(STILL, 0, image).image, plain.image)
    for seed in range(30):
        face = one(RECIPE, seed, image)
        assert face.image.shape == (channels, SIZE, SIZE)
        assert face.image.dtype == torch.uint8
        if channels == 4:  # alpha is moved alone, as nothing but the map would
            assert torch.equal(face.image[3:], crops.cut(image[3:], face.affine, SIZE))
        if channels == 1:  # the face of three equal channels, in gray
            colour = one(RECIPE, seed, image.expand(3, -1, -1)).image.double()
            gray = (colour * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0)
            assert (gray - face.image[0]).abs().max() <= 1.01


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (torch.zeros(2, 256, 256).byte(), ValueError),
        (torch.zeros(5, 256, 256).byte(), ValueError),
        (torch.zeros(256, 256, 3).byte(), ValueError),
        (torch.zeros(256, 256).byte(), ValueError),
        (torch.zeros(1, 3, 256, 256).byte(), ValueError),
        (torch.zeros(3, 0, 256).byte(), ValueError),
        (torch.zeros(3, 256, 256), ValueError),
        (torch.zeros(3, 256, 256).short(), ValueError),
    ],
)
def test_other_images_are_refused_by_name_at_both_doors(image, error):
    points, seen = spread(), torch.ones(19, dtype=torch.bool)
    affine = crops.frame(crops.box(points), SIZE)
    for call in (
        lambda: crops.crop(image, points, seen, SIZE, affine),
        lambda: augment.augment(image, points, seen, affine, SIZE, SCHEME.name, rng(), RECIPE),
        lambda: augment.Crops([(image, points, seen)], SCHEME.name, SIZE)[0],
    ):
        with pytest.raises(error, match=r"image: needed \(c, h, w\) of uint8, 1 \(gray\), 3 .* or 4"):
            call()


def test_visible_of_another_kind_is_refused_at_both_doors():
    points, image = spread(), torch.zeros(3, 256, 256).byte()
    affine = crops.frame(crops.box(points), SIZE)
    for bad in (torch.ones(18).bool(),):
        with pytest.raises(ValueError, match=r"visible: needed bool \(19,\)"):
            crops.crop.__wrapped__(image, points, bad, SIZE, affine) if hasattr(crops.crop, "__wrapped__") else (
                crops.crop(image, points, bad, SIZE, affine)
            )


# -------------------------------------------------------------------------------------------------- from records


def record(path, box=None, landmarks=None, **changes):
    landmarks = spread(64) if landmarks is None else landmarks
    seen = ~landmarks.isnan().any(-1)
    return Record(
        image=path, landmarks=landmarks, visible=seen, box=box, scheme="aflw-19", attributes={}, source="a.json: 7"
    )._replace(**changes)


def test_records_become_crops(picture):
    """Lazily: the photograph in red, green, blue, cut around the record's own box, else around the landmarks."""
    path = picture("a.png", (70, 80))
    boxed, plain = record(path, box=(5.0, 6.0, 50.0, 40.0)), record(path)
    data = augment.Crops.of([boxed, plain, record(path.with_name("later.png"))], SCHEME.name, 32)
    assert len(data) == 3
    assert torch.equal(data[0].affine, crops.frame(boxed.box, 32))
    assert torch.equal(data[1].affine, crops.frame(crops.box(plain.landmarks), 32))
    assert torch.equal(data[0].landmarks, crops.apply(data[0].affine, boxed.landmarks))
    pixels = torch.from_numpy(images.load(path)[..., ::-1].copy()).permute(2, 0, 1)
    assert torch.equal(data[0].image, crops.cut(pixels, data[0].affine, 32))
    for again in (data.draw(0, rng(2)), data.draw(1, rng(2))):
        assert again.image.shape == (3, 32, 32)
    with pytest.raises(ValueError, match=r"faces\[2\]|a\.json: 7: needed an image that can be read, got .*later\.png"):
        data[2]
    picture("later.png", (70, 80))
    assert data[2].image.shape == (3, 32, 32)


def test_a_face_without_landmarks_is_cut_by_its_box_or_named(picture):
    nothing = torch.full((19, 2), torch.nan, dtype=torch.float64)
    path = picture("a.png", (70, 80))
    data = augment.Crops.of(
        [record(path, (5.0, 6.0, 50.0, 40.0), nothing), record(path, None, nothing)], SCHEME.name, 32
    )
    assert not data[0].inside.any()
    assert torch.equal(data[0].affine, crops.frame((5.0, 6.0, 50.0, 40.0), 32))
    for make in (lambda: data[1], lambda: data.draw(1, rng())):
        with pytest.raises(ValueError, match=r"faces\[1\]: landmarks: needed one that has a place"):
            make()


def test_a_box_without_extent_is_none(picture):
    data = augment.Crops.of([record(picture("a.png", (70, 80)), (0.0, 0.0, 0.0, 0.0))], SCHEME.name, 32)
    assert torch.equal(data[0].affine, crops.frame(crops.box(spread(64)), 32))


def test_a_face_of_few_landmarks_says_so(picture):
    few = torch.full((19, 2), torch.nan, dtype=torch.float64)
    few[:2] = torch.tensor([[10.0, 10.0], [30.0, 20.0]])
    data = augment.Crops.of([record(picture("a.png", (70, 80)), None, few)], SCHEME.name, 32)
    with pytest.warns(UserWarning, match=r"faces\[0\]: cut around 2 of 19 landmarks alone"):
        assert torch.equal(data[0].affine, crops.frame((10.0, 10.0, 20.0, 10.0), 32))


def test_missing_landmarks_hardly_move_the_crop():
    faces = synthetic.Faces(6, "studio", size=96)
    whole = augment.Crops(faces, "300w-68", 32)
    jawless = []
    for image, landmarks, visible, *_ in (faces[i] for i in range(6)):
        landmarks = landmarks.clone()
        landmarks[:17] = torch.nan
        jawless.append((image, landmarks, visible & ~landmarks.isnan().any(-1)))
    scales = [augment.Crops(jawless, "300w-68", 32)[i].affine[0, 0] / whole[i].affine[0, 0] for i in range(6)]
    assert (torch.stack(scales).mean() - 1).abs() < 0.08


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"claims": {"size": (80, 70)}}, r"a\.json: 7: needed an image of 70 x 80 px"),
        ({"image": None}, r"a\.json: 7: needed an image that can be read, got none"),
    ],
)
def test_a_photograph_that_is_not_as_annotated_is_refused(picture, change, said):
    data = augment.Crops.of([record(picture("a.png", (70, 80)), **change)], SCHEME.name, 32)
    with pytest.raises(ValueError, match=said):
        data[0]


def test_records_of_another_scheme_are_refused_at_once(picture):
    with pytest.raises(ValueError, match=r"records\[1\]: needed the 68 landmarks of '300w-68', got 19 \(a\.json: 7\)"):
        augment.Crops.of([record(None, landmarks=torch.zeros(68, 2).double()), record(None)], "300w-68", 32)


def test_one_wrong_annotation_names_its_face():
    points = torch.rand(68, 2, dtype=torch.float64) * 50
    points[3, 0] = 1e8
    data = augment.Crops([(torch.zeros(3, 64, 64).byte(), points, torch.ones(68).bool())], "300w-68", 32)
    for make in (lambda: data[0], lambda: data.draw(0, rng())):
        with pytest.raises(ValueError, match=r"faces\[0\]: affine: .* is a landmark or the box misplaced"):
            make()
