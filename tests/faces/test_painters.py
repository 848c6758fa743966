"""Painters: masks lie where polygons lie, light is one and consistent, and edges are painted where the curves are."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lddmmlib.faces import geometry, painters
from lddmmlib.faces.painters import canvas, eyes, hair, light, mouth, photograph, relief, skin
from lddmmlib.faces.painters.background import background
from lddmmlib.faces.painters.look import Light
from lddmmlib.faces.painters.sitter import Sitter

EIGHTFOLD = 1024  # a picture of 128 px at 8x zoom
QUARTER = 0.25 * 8  # a quarter of a pixel of 128, in that zoom


def whole(mask, size):
    image = np.zeros(size, np.float32)
    image[mask.at] = mask.value
    return image


def star(seed, centre, radius, n=17):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(0, 2 * np.pi, n))
    r = radius * rng.uniform(0.3, 1, n)
    return centre + np.stack([r * np.cos(t), r * np.sin(t)], 1)


def area(p):
    x, y = p.T
    return abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2


def face(**kw):
    return geometry.Face3D(**{"scale": 45.0, "centre": np.array([63.5, 50.0])} | kw)


def zoomed(**kw):
    return face(scale=360.0, centre=np.array([511.5, 400.0]), **kw)


def plain(seed=0, **kw):
    """A studio look without what would cover the face or its edges."""
    return replace(painters.look.sample((seed,), wild=False), glasses=False, beard=0.0, makeup=0.0, **kw)


# --- canvas --------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.floats(2, 25))
@settings(max_examples=40, deadline=None)
def test_fill_covers_the_polygons_area_around_its_centre(seed, radius):
    """Shoelace formula; the centre of mass by triangles from the origin."""
    p = star(seed, np.array([32.3, 30.6]), radius)
    mask = whole(canvas.fill(p, (64, 64)), (64, 64)).astype(float)
    assert mask.sum() == pytest.approx(area(p), rel=0.02, abs=0.3)
    q = np.roll(p, -1, 0)
    cross = p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]
    if area(p) > 20:
        centre = ((p + q) * cross[:, None]).sum(0) / (3 * cross.sum())
        y, x = np.mgrid[:64, :64]
        assert np.array([(mask * x).sum(), (mask * y).sum()]) / mask.sum() == pytest.approx(centre, abs=0.06)


@pytest.mark.parametrize("seed", range(5))
def test_fill_agrees_with_opencv_supersampled(seed):
    p = star(seed, np.array([20.0, 22.0]), 15)
    k = 32
    fine = np.zeros((48 * k, 48 * k), np.uint8)
    cv2.fillPoly(fine, [np.round(((p + 0.5) * k - 0.5) * 16).astype(np.int32)], 1, shift=4)
    judge = cv2.resize(fine.astype(np.float32), (48, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(whole(canvas.fill(p, (48, 48)), (48, 48)) - judge).max() < 0.13  # eight scan lines a pixel


def test_fill_beyond_the_border_is_a_crop():
    p = star(3, np.array([70.0, 60.0]), 60)
    large, small = whole(canvas.fill(p, (160, 160)), (160, 160)), whole(canvas.fill(p - 50, (40, 40)), (40, 40))
    assert np.array_equal(small, large[50:90, 50:90])
    assert canvas.fill(p + 500, (40, 40)).value.size == 0


def test_fill_of_many_is_their_union():
    """Outlines that run the same way; where they overlap, once."""
    a, b = star(1, np.array([14.0, 16.0]), 9), star(2, np.array([40.0, 30.0]), 9)
    apart = whole(canvas.fill(np.stack([a, b]), (48, 64)), (48, 64))
    each = [whole(canvas.fill(p, (48, 64)), (48, 64)) for p in (a, b)]
    np.testing.assert_allclose(apart, each[0] + each[1], atol=1e-6)
    twice = whole(canvas.fill(np.stack([a, a]), (48, 64)), (48, 64))
    assert twice.max() <= 1
    assert twice[16, 14] == each[0][16, 14] == 1


@pytest.mark.parametrize("width", [0.4, 3.0])
def test_stroke_has_its_width_wherever_it_runs(width):
    for angle in np.linspace(0, np.pi, 7):
        way = np.array([np.cos(angle), np.sin(angle)])
        line = np.array([30.0, 31.0]) + np.linspace(-20, 20, 9)[:, None] * way
        assert canvas.stroke(line, width, (64, 64)).value.sum() == pytest.approx(40 * width, rel=0.02)


def test_soft_edges_keep_their_place():
    """Half coverage stays on the straight edge of a soft polygon."""
    box = np.array([[10.25, 8.0], [50.0, 8.0], [50.0, 56.0], [10.25, 56.0]])
    row = whole(canvas.fill(box, (64, 64), soft=2.0), (64, 64))[32]
    assert np.interp(0.5, row[:30], np.arange(30)) == pytest.approx(10.25, abs=0.02)


def test_masks_combine_as_numbers_do():
    size = (40, 50)
    a, b = (
        canvas.fill(star(5, np.array([20.0, 20.0]), 12), size),
        canvas.fill(star(6, np.array([28.0, 22.0]), 12), size),
    )
    dense = whole(a, size), whole(b, size)
    np.testing.assert_array_equal(whole(canvas.within(a, b), size), dense[0] * dense[1])
    np.testing.assert_array_equal(canvas.union([a, b], size), np.maximum(*dense))
    np.testing.assert_array_equal(whole(canvas.joined([a, b]), size), np.maximum(*dense))


def test_blob_is_a_gaussian_along_its_axes():
    axes = np.array([[4.0, 3.0], [-1.5, 2.0]])
    mask = whole(canvas.blob(np.array([20.3, 24.1]), axes, (48, 48)), (48, 48))
    y, x = np.mgrid[:48, :48]
    u = np.stack([x - 20.3, y - 24.1], -1) @ np.linalg.inv(axes)
    np.testing.assert_allclose(mask, np.exp(-(u**2).sum(-1)), atol=0.006)


def test_paint_and_tint():
    paper, mask = (
        canvas.Canvas((8, 8), np.array([0.2, 0.4, 0.6])),
        canvas.Mask(np.full((2, 2), 0.5, np.float32), (slice(1, 3), slice(4, 6))),
    )
    paper.paint(mask, np.array([1.0, 1.0, 1.0]), 0.5)
    np.testing.assert_allclose(paper.image[1, 4], [0.4, 0.55, 0.7], atol=1e-6)
    paper.tint(mask, np.array([0.0, 1.0, 0.5]))
    np.testing.assert_allclose(paper.image[1, 4], [0.2, 0.55, 0.525], atol=1e-6)
    np.testing.assert_allclose(paper.image[0, 0], [0.2, 0.4, 0.6], atol=1e-6)


def test_noise_is_the_same_at_any_size():
    small, large = (canvas.noise(np.random.default_rng(0), 6.0, (n, n)) for n in (64, 256))
    assert np.abs(canvas.resize(large, (64, 64)) - small).max() < 0.1 * small.std()


def test_smooth_passes_through_its_points():
    p = star(8, np.zeros(2), 5, n=7)
    np.testing.assert_allclose(canvas.smooth(p)[::6], p, atol=1e-12)
    np.testing.assert_allclose(canvas.smooth(p, closed=False)[::6], p, atol=1e-12)
    line = np.linspace([0.0, 0.0], [3.0, 6.0], 5)
    inner = canvas.smooth(line, closed=False)[6:-6]
    np.testing.assert_allclose(inner[:, 1], 2 * inner[:, 0], atol=1e-12)


def test_a_sitters_curves_are_the_geometrys():
    """They are computed together, by one matrix."""
    f = face(yaw=0.4, pitch=-0.2, roll=0.3, identity=np.linspace(-1, 1, geometry.IDENTITIES))
    f = f.express(mouth_open=0.6, smile=0.4, brows_up=0.5, gaze_x=0.3, eyes_closed=0.3)
    sitter = Sitter(f, (128, 128))
    for name in geometry.CURVES:
        curve = sitter.solid(name)
        expected = geometry.curve(f, name, np.linspace(0, 1, len(curve))).numpy()
        np.testing.assert_allclose(curve, expected, atol=1e-9, err_msg=name)


# --- relief and light ----------------------------------------------------------------------------------------------


def test_rasterise_is_the_foremost_plane_that_faces_us():
    """Against the planes themselves, at every cell."""
    corners = np.array([[-5.0, -5.0, 0.0], [60.0, -5.0, 0.0], [-5.0, 60.0, 0.0]])
    near, far = corners.copy(), corners.copy()
    near[:, 2], far[:, 2] = 0.1 * near[:, 0] + 3, 0.2 * far[:, 1]
    away = near.copy()
    away[:, 2] += 100  # wound the other way: seen from behind
    depth = relief.rasterise(np.concatenate([near, far, away]), np.array([[0, 1, 2], [3, 4, 5], [6, 8, 7]]), 20)
    y, x = np.mgrid[:20, :20]
    np.testing.assert_allclose(depth, np.maximum(0.1 * x + 3, 0.2 * y), atol=1e-9)
    assert relief.rasterise(near + 500, np.array([[0, 1, 2]]), 20).max() == -np.inf


def lamp(x, y, z, softness=0.1):
    v = np.array([x, y, z], float)
    return Light(v / np.linalg.norm(v), np.full(3, 0.8), np.full(3, 0.2), softness)


def ball(n=96, radius=30.0):
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    return np.sqrt(np.maximum(radius**2 - x**2 - y**2, 0)).astype(np.float32) / radius


def test_light_on_a_ball_is_lamberts():
    """With the terminator that `shade` states; near the top, where nothing is shadowed and little is hidden."""
    toward = lamp(-0.5, -0.3, 0.8)
    n, r = 96, 30.0
    bright = light.shade(ball(), toward, r, 0.0, 1.0).light[..., 0]
    y, x = (np.mgrid[:n, :n] - (n - 1) / 2) / r
    z = np.sqrt(np.maximum(1 - x**2 - y**2, 0))
    lit = x * toward.direction[0] + y * toward.direction[1] + z * toward.direction[2]
    near = x**2 + y**2 < 0.5
    expected = 0.8 * np.clip((lit + 0.3) / 1.3, 0, None)
    ambient = bright - expected
    assert np.corrcoef(bright[near], lit[near])[0, 1] > 0.985
    assert 0.1 < ambient[near].mean() < 0.3


def test_light_turns_with_the_lamp():
    """Mirror the surface and the lamp: the light is mirrored. Turn both by a quarter: the lamp's share turns."""
    rng = np.random.default_rng(0)
    h = canvas.blur(rng.standard_normal((96, 96)).astype(np.float32), 6.0) * 4
    a, b = (
        light.shade(h, lamp(0.7, -0.4, 0.6), 30.0, 0.1, 20.0),
        light.shade(h[:, ::-1].copy(), lamp(-0.7, -0.4, 0.6), 30.0, 0.1, 20.0),
    )
    np.testing.assert_allclose(a.light[2:-2, 2:-2], b.light[2:-2, ::-1][:, 2:-2], atol=2e-5)
    np.testing.assert_allclose(a.gloss[2:-2, 2:-2], b.gloss[2:-2, ::-1][:, 2:-2], atol=2e-5)
    assert np.abs(a.light - b.light).max() > 0.1


def test_a_wall_casts_a_shadow_away_from_the_lamp():
    h = np.zeros((96, 96), np.float32)
    h[:, 46:50] = 0.3
    row = light.shade(h, lamp(-0.8, 0, 0.5), 30.0, 0.0, 1.0).light[48, :, 0]
    assert row[53] < 0.6 * row[20]  # behind the wall: 0.3 x 0.8 / 0.5 = 0.48 units, 14 cells, lie in shadow
    assert row[75] == pytest.approx(row[20], abs=0.02)
    assert row[42] > 0.9 * row[20]


def test_the_face_is_brighter_where_the_lamp_stands():
    """One light for all that is painted: picture by picture, left lamp against right lamp."""
    for seed in range(3):
        pictures = []
        for x in (-0.8, 0.8):
            look = plain(seed, light=lamp(x, -0.2, 0.6))
            pictures.append(painters.photo(face(), look, 128).image.mean(-1))
        left, right = (p[60:90, 40:60].mean() - p[60:90, 68:88].mean() for p in pictures)
        assert left > 0.08
        assert right < -0.08


# --- edges ---------------------------------------------------------------------------------------------------------


def edge_offsets(image, curve, reach, chosen=slice(None)):
    """Where along its normals the strongest edge near a curve lies, px; without the ends, where others meet."""
    along = np.gradient(curve, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], 1) / np.linalg.norm(along, axis=1)[:, None]
    s = np.linspace(-reach, reach, 8 * int(reach) + 1)
    at = (curve[:, None] + s[:, None] * normal[:, None]).astype(np.float32)
    slope = np.abs(np.gradient(cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_LINEAR), axis=1))
    offsets = np.full(len(curve), np.nan)
    middle = slice(len(curve) // 5, -(len(curve) // 5))
    offsets[middle] = s[slope.argmax(1)][middle]
    return offsets[chosen][np.isfinite(offsets[chosen])]


POSES = [{}, {"yaw": 0.35, "pitch": -0.1, "roll": -0.3}, {"yaw": -0.6, "pitch": -0.15}]


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("part", ["eye", "outer_lip", "inner_lip", "brow"])
def test_edges_are_painted_on_their_curves(part, pose):
    """Within a quarter of a pixel at 8x zoom: the colours before the light, which has edges of its own."""
    sitter = Sitter(zoomed(**pose).express(mouth_open=0.4), (EIGHTFOLD, EIGHTFOLD))
    tone = 0.02 if part == "eye" else 0.5  # dark skin, and the white of the eye is the only edge of its lids
    paper, look = canvas.Canvas(sitter.size, tone), plain(3, skin=np.full(3, tone), hair=np.full(3, 0.02))
    {"eye": eyes.eyes, "brow": eyes.brows}.get(part, mouth.mouth)(paper, sitter, look)
    image = canvas.blur(paper.image.mean(-1), 1.5)
    for name in [f"{s}_{part}" for s in ("left", "right")] if part in ("eye", "brow") else [part]:
        for edge in ("upper", "lower"):
            curve = sitter[f"{name}_{edge}"]
            white = slice(None)
            if part == "eye":  # where it meets the white of the eye, not the iris
                ring = sitter[f"{name[:-4]}_iris"]
                white = np.linalg.norm(curve - ring.mean(0), axis=1) > 1.1 * np.ptp(ring, 0).max() / 2
            offsets = edge_offsets(image, curve, 8, white)
            assert len(offsets) == 0 or np.abs(np.median(offsets)) <= QUARTER, (name, edge, offsets)


@pytest.mark.parametrize("pose", POSES)
def test_the_jaw_ends_the_face_where_its_curve_is(pose):
    """In the photograph itself, at the chin and on the far side, where the jaw is the outline."""
    f = zoomed(**pose)
    look = plain(1, skin=np.full(3, 0.6), light=lamp(0, -0.7, 0.7))
    image = canvas.blur(painters.photo(f, look, EIGHTFOLD).image.mean(-1), 2.0)
    t = (
        np.linspace(0.42, 0.58, 17)
        if f.yaw == 0
        else np.linspace(0.5, 0.62, 13)
        if f.yaw > 0
        else np.linspace(0.38, 0.5, 13)
    )
    offsets = edge_offsets(image, geometry.curve(f, "jaw", t).numpy()[:, :2], 12)
    assert np.abs(np.median(offsets)) <= QUARTER


def test_the_iris_is_painted_on_its_circle():
    sitter, look = Sitter(zoomed().express(eyes_wide=1.0), (EIGHTFOLD, EIGHTFOLD)), plain(0)
    paper = skin.skin(sitter, look)
    eyes.eyes(paper, sitter, look)
    ring, opening = sitter["left_iris"], whole(canvas.fill(sitter.lens("left_eye"), sitter.size, 3.0), sitter.size)
    x, y = np.round(ring).astype(int).T
    image = canvas.blur(paper.image.mean(-1), 1.5)
    for part in np.split(np.arange(32), [8, 24]):  # the sides of the circle; above and below lie lids
        part = part[opening[y[part], x[part]] > 0.98]
        if len(part) > 5:
            offsets = edge_offsets(image, ring[part], 8)
            assert np.abs(np.median(offsets)) <= QUARTER


def test_ink_lies_on_the_curves():
    f = zoomed(yaw=0.3)
    image = painters.line(f, plain(2), EIGHTFOLD).image.mean(-1)
    paper = np.median(image)
    for name in ("jaw", "left_eye_upper", "outer_lip_upper", "nose_outline"):
        x, y = np.round(geometry.curve(f, name, np.linspace(0.35, 0.65, 9)).numpy()[:, :2]).astype(int).T
        assert np.abs(image[y, x] - paper).min() > 0.25 * paper, name


# --- looks and hidden parts ----------------------------------------------------------------------------------------


def test_streams_depend_on_seed_and_part_alone():
    a, b = painters.look.sample((1, 2), True), painters.look.sample((1, 2), True)
    assert a.rng("x").random() == b.rng("x").random()
    assert a.rng("x").random() != a.rng("y").random()
    assert a.rng("x").random() != painters.look.sample((1, 3), True).rng("x").random()


def test_a_look_stays_when_the_head_moves():
    """What is drawn behind does not change with geometry: a video does not flicker."""
    look = plain(4)
    a, b = (background((64, 64), look).image for _ in range(2))
    np.testing.assert_array_equal(a, b)
    colours = [skin.skin(Sitter(face(yaw=y), (64, 64)), look).image.mean((0, 1)) for y in (0.0, 0.2)]
    np.testing.assert_allclose(*colours, rtol=0.02)


def test_occluders_are_hidden_places():
    look = replace(painters.look.sample((11,), wild=True), occluders=2, glasses=False)
    with_, without = (painters.photo(face(), replace(look, occluders=n), 128) for n in (2, 0))
    more = with_.hidden - without.hidden
    assert more.max() > 0.9
    assert more.min() > -1e-6
    assert with_.occluded > without.occluded


@pytest.mark.parametrize("worn", [{"hat": True}, {"mask": True}, {"neighbour": "before"}])
def test_what_is_worn_or_stands_before_hides_what_it_covers(worn):
    """Where the picture changes by more than a shadow, a place is hidden; and there is much of it."""
    look = plain(5, skin=np.full(3, 0.5))
    look = replace(look, camera=replace(look.camera, noise=0.0))
    with_, without = (painters.photo(face(pitch=0.1), way, 128) for way in (replace(look, **worn), look))
    more = with_.hidden - without.hidden
    assert (more > 0.9).sum() > 300
    if "hat" not in worn:  # which presses the hair down
        assert more.min() > -1e-6
    if "mask" in worn:
        sitter = Sitter(face(pitch=0.1), (128, 128))
        x, y = np.round(np.concatenate([sitter["outer_lip"], sitter["nose_bridge"][-1:]])).astype(int).T
        assert with_.hidden[y, x].min() > 0.9
        x, y = np.round(sitter.pair("eye_lower").reshape(-1, 2)).astype(int).T
        assert with_.hidden[y, x].max() < 0.1
    if "hat" in worn:
        assert with_.occluded < 0.15


def test_a_hat_presses_the_hair_down():
    sitter, look = Sitter(face(), (128, 128)), plain(5)
    bare, under = (np.ptp(hair.Hair(sitter, replace(look, hat=hat)).cap, axis=0) for hat in (False, True))
    assert (under < bare).all()


def test_a_neighbour_behind_hides_nothing_of_the_sitter():
    look = plain(6)
    alone, two = (painters.photo(face(), replace(look, neighbour=n), 128) for n in ("", "behind"))
    np.testing.assert_array_equal(alone.hidden, two.hidden)
    assert np.abs(alone.image - two.image).max() > 0.1


def test_hands_set_points_above_the_edges_of_photographs():
    """Lips, lids and brows are painted below their landmarks by a share of the corner distance; the jaw is not."""
    sitter, lowered = Sitter(face(yaw=0.3), (128, 128)), Sitter(face(yaw=0.3), (128, 128), photograph.LOWERED)
    moved = {name: lowered[name] - sitter[name] for name in ("jaw", "left_iris", "left_brow_upper", "outer_lip")}
    for part, name in (("iris", "left_iris"), ("brow", "left_brow_upper"), ("lip", "outer_lip")):
        np.testing.assert_allclose(
            moved[name], np.broadcast_to(photograph.LOWERED[part] * sitter.down, moved[name].shape)
        )
    assert not moved["jaw"].any()


def test_photographs_are_painted_so(monkeypatch):
    """The sitter and the neighbour alike."""
    seen = []

    def sits(*arguments):
        seen.append(arguments[2:])
        return Sitter(*arguments)

    monkeypatch.setattr(photograph, "Sitter", sits)
    painters.photo(face(), replace(plain(6), neighbour="behind"), 64)
    assert seen == [(photograph.LOWERED,), (photograph.LOWERED,)]


def test_occluded_is_a_share_of_the_face():
    f = Sitter(face(), (128, 128))
    assert photograph.occluded(f, np.zeros((128, 128), np.float32)) == 0
    assert photograph.occluded(f, np.ones((128, 128), np.float32)) == pytest.approx(1)
    half = np.zeros((128, 128), np.float32)
    half[:, 64:] = 1
    assert photograph.occluded(f, half) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("style", painters.STYLES)
@pytest.mark.parametrize("size", [32, 128])
def test_every_style_paints_extreme_faces(style, size):
    """All corners of the pose, closed eyes, a mouth wide open: a finite picture in [0, 1] with something in it."""
    for i, (yaw, pitch) in enumerate([(1.04, 0.6), (-1.04, -0.6), (0.0, 0.0)]):
        f = geometry.Face3D(
            yaw=yaw, pitch=pitch, roll=0.7 * np.sign(yaw), scale=0.35 * size, centre=np.array([0.5, 0.4]) * size
        )
        f = f.express(eyes_closed=float(i == 1), mouth_open=float(i == 0), smile=1.0)
        painting = painters.STYLES[style].paint(f, painters.look.sample((i,), True), size)
        assert painting.image.shape == (size, size, 3)
        assert np.isfinite(painting.image).all()
        assert painting.image.min() >= 0
        assert painting.image.max() <= 1
        assert painting.image.std() > 0.02
