from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lddmmlib.faces import geometry, schemes
from lddmmlib.faces.geometry import head
from lddmmlib.faces.placements import BANDS, mirrored, place

T = np.linspace(0, 1, 33)


def wild(seed, **changes):
    face = geometry.sample(np.random.default_rng(seed))
    return replace(face, scale=60.0, centre=np.array([64.0, 50.0]), **changes)


def facing(seed, **pose):
    return wild(seed, **({"yaw": 0.0, "pitch": 0.0, "roll": 0.0} | pose))


def points(face, scheme="300w-68"):
    return geometry.landmarks(face, scheme)[0].numpy()


def flipped(face):
    """The face in the mirror: what is symmetric stays, what goes sideways changes its sign."""
    sideways = {name: -face.strength(name) for name in ("gaze_x", "jaw_sideways")}
    return replace(face.express(**sideways), yaw=-face.yaw, roll=-face.roll)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scheme", schemes.SCHEMES)
def test_a_mirrored_face_has_mirrored_landmarks(seed, scheme):
    face = replace(wild(seed), centre=np.zeros(2))
    (p, seen), (q, seen_there) = (geometry.landmarks(f, scheme) for f in (face, flipped(face)))
    flip = list(schemes.get(scheme).flip)
    np.testing.assert_allclose(q, (p * torch.tensor([-1.0, 1.0]))[flip], atol=1e-4)
    assert (seen_there == seen[flip]).double().mean() > 0.97  # the triangles are no mirror images


@pytest.mark.parametrize("name", geometry.CURVES)
def test_a_mirrored_face_has_mirrored_curves(name):
    face = replace(wild(7), centre=np.zeros(2))
    other = {"left": "right", "right": "left"}.get(name.partition("_")[0])
    there = name if other is None else f"{other}_{name.partition('_')[2]}"
    if name.endswith("iris"):  # a circle from the picture's right downwards
        t = (0.5 - T) % 1
    elif name.endswith(("ear", "neck", "pupil")) or name == "nose_bridge":
        t = T
    else:
        t = 1 - T
    found = geometry.curve(flipped(face), there, t) * torch.tensor([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(found, geometry.curve(face, name, T), atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_schemes_agree_wherever_they_share_a_place(seed):
    face = wild(seed)
    for a in schemes.SCHEMES:
        for b in schemes.SCHEMES:
            if pairs := schemes.shared(a, b):
                i, j = map(list, zip(*pairs, strict=True))
                np.testing.assert_allclose(points(face, a)[i], points(face, b)[j], rtol=0, atol=1e-9)


def test_landmarks_lie_on_the_curves_that_their_placements_name():
    face = wild(3)
    for scheme in ("wflw-98", "helen-194"):
        p = points(face, scheme)
        for i, (name, t) in enumerate(schemes.get(scheme).placements):
            np.testing.assert_allclose(p[i], geometry.curve(face, name, [float(t)])[0, :2], atol=1e-9)


@pytest.mark.parametrize("band", BANDS)
def test_a_band_is_the_mean_of_its_edges_which_meet_where_the_schemes_say(band):
    face = wild(5)
    upper, lower = (geometry.curve(face, f"{band}_{e}", T) for e in ("upper", "lower"))
    np.testing.assert_allclose(geometry.curve(face, band, T), (upper + lower) / 2, atol=1e-9)
    for end in (0, 1):
        joint = place(f"{band}_upper", end) == place(f"{band}_lower", end)
        apart = (upper[-end] - lower[-end]).norm()
        assert (apart < 1e-9) == joint


def test_the_camera_is_scipys_rotation():
    face = wild(0, yaw=0.7, pitch=-0.3, roll=0.4)
    turn = Rotation.from_euler("yxz", [face.yaw, face.pitch, face.roll])
    x = np.random.default_rng(0).standard_normal((5, 3))
    np.testing.assert_allclose(geometry.to_camera(face, x), 60 * turn.apply(x) + [64, 50, 0], atol=1e-9)


def test_the_signs_of_the_camera():
    nose, chin = [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]
    assert geometry.to_camera(facing(0, yaw=0.5), np.array(nose))[0] > 64  # to the picture's right
    assert geometry.to_camera(facing(0, pitch=0.5), np.array(nose))[1] < 50  # up
    assert geometry.to_camera(facing(0, roll=0.5), np.array(chin))[0] < 64  # clockwise: the chin goes left


@pytest.mark.parametrize("name", [c for c in geometry.CURVES if c != "jaw" and "neck" not in c])
def test_a_turn_is_a_turn_in_space(name):
    face, front = wild(2, yaw=0.8, pitch=0.2, roll=-0.3), facing(2)
    x = (geometry.curve(front, name, T).numpy() - [64, 50, 0]) / 60
    np.testing.assert_allclose(geometry.curve(face, name, T), geometry.to_camera(face, x), atol=1e-9)


def test_scale_and_centre_move_everything_alike():
    a = facing(1, yaw=0.4)
    b = replace(a, scale=120.0, centre=np.array([10.0, 20.0]))
    for scheme in ("wflw-98",):
        np.testing.assert_allclose((points(b, scheme) - [10, 20]) / 2, points(a, scheme) - [64, 50], atol=1e-9)
    np.testing.assert_array_equal(geometry.landmarks(a)[1], geometry.landmarks(b)[1])


@pytest.mark.parametrize("seed", range(5))
def test_the_eye_corners_are_the_frame(seed):
    p = points(facing(seed))
    np.testing.assert_allclose(p[[36, 45]], [[34, 50], [94, 50]], atol=1e-9)


def test_all_is_visible_from_the_front_and_the_far_cheek_is_hidden_at_45_degrees():
    assert geometry.landmarks(geometry.Face3D())[1].all()
    for yaw, far in ((np.pi / 4, slice(9, 17)), (-np.pi / 4, slice(0, 8))):
        seen = geometry.landmarks(geometry.Face3D(yaw=yaw))[1]
        assert not seen[far].any()
        assert seen[slice(0, 8) if far.start else slice(9, 17)].all()
        assert seen[[27, 28, 30, 51, 57, 8]].all()


def test_the_far_eye_hides_behind_the_nose():
    seen = geometry.landmarks(geometry.Face3D(yaw=np.radians(60)), "wflw-98")[1]
    left, right = (list(schemes.get("wflw-98").curves[f"{side}_eye"]) for side in ("left", "right"))
    assert seen[left].all()
    assert not seen[right].all()


@pytest.mark.parametrize("yaw", [-0.7, 0.35, 0.7])
def test_the_far_jaw_lies_on_the_outline_of_the_mesh(yaw):
    """No vertex of the skin lies outside of the jaw line, whatever the turn; and the line touches the mesh."""
    face = replace(geometry.Face3D(yaw=yaw), scale=1.0)
    t = np.linspace(0.75, 0.95, 9) if yaw > 0 else np.linspace(0.05, 0.25, 9)
    p = geometry.curve(face, "jaw", t)[:, :2].numpy()
    vertices, triangles = (x.numpy() for x in geometry.mesh(face))
    skin = vertices[np.unique(triangles[geometry.regions().numpy() == 0]), :2]
    side = np.sign(yaw)
    for a, b in pairwise(p):
        along = (b - a) / np.linalg.norm(b - a)
        out = np.array([-along[1], along[0]])
        out *= np.sign(out[0] * side)
        level = (skin - a) @ along
        near = (level > -0.02) & (level < np.linalg.norm(b - a) + 0.02) & (skin[:, 0] * side > 0)
        beyond = ((skin - a) @ out)[near].max()
        assert -0.03 < beyond < 0.012


def height(face, name, t):
    return geometry.curve(face, name, [t])[0, 1].item()


def opening(face, band):
    return height(face, f"{band}_lower", 0.5) - height(face, f"{band}_upper", 0.5)


def test_every_expression_does_what_it_says():
    rest = replace(geometry.Face3D(), scale=100.0)

    def at(name, t, **e):
        return geometry.curve(rest.express(**e), name, [t])[0].numpy()

    assert opening(rest.express(mouth_open=1.0), "inner_lip") > opening(rest, "inner_lip") + 20
    assert at("jaw", 0.5, mouth_open=1.0)[1] > at("jaw", 0.5)[1] + 15
    assert at("outer_lip", 0.0, smile=1.0)[0] < at("outer_lip", 0.0)[0] - 5  # wider
    assert at("outer_lip", 0.0, smile=1.0)[1] < at("outer_lip", 0.0)[1] - 4  # corners up
    assert at("outer_lip", 0.0, smile=-0.7)[1] > at("outer_lip", 0.0)[1] + 3
    assert at("outer_lip", 0.0, pout=1.0)[0] > at("outer_lip", 0.0)[0] + 3  # narrower
    assert at("outer_lip_lower", 0.5, pout=1.0)[2] > at("outer_lip_lower", 0.5)[2] + 3  # forward
    for side, inner in (("left", 1.0), ("right", 0.0)):
        assert at(f"{side}_brow", 0.5, brows_up=1.0)[1] < at(f"{side}_brow", 0.5)[1] - 5
        towards = at(f"{side}_brow", inner)[0] - at(f"{side}_brow", inner, brows_together=1.0)[0]
        assert towards * (1 if inner == 0.0 else -1) > 2
        closed = opening(rest.express(eyes_closed=1.0), f"{side}_eye")
        assert -1e-9 <= closed < 0.1 * opening(rest, f"{side}_eye")
        assert opening(rest.express(eyes_wide=1.0), f"{side}_eye") > 1.2 * opening(rest, f"{side}_eye")
        assert at(f"{side}_pupil", 0.0, gaze_x=1.0)[0] > at(f"{side}_pupil", 0.0)[0] + 5
        assert at(f"{side}_pupil", 0.0, gaze_y=1.0)[1] > at(f"{side}_pupil", 0.0)[1] + 4
    assert at("jaw", 0.5, jaw_sideways=1.0)[0] > 5


def test_expressions_without_a_say_in_it_leave_the_eyes_alone():
    rest = geometry.Face3D(scale=100.0)
    for name in ("mouth_open", "pout", "brows_up", "brows_together", "jaw_sideways"):
        moved = geometry.curve(rest.express(**{name: 1.0}), "left_eye_upper", T) - geometry.curve(
            rest, "left_eye_upper", T
        )
        assert moved.abs().max() < 1e-4


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6))
def test_a_face_is_in_order(seed):
    """Brows above eyes above nose above mouth above chin; left of the face left in the picture; upper above lower."""
    face = facing(seed)
    p = points(face)
    brows, eyes, nose, mouth = p[17:27, 1].mean(), p[36:48, 1].mean(), p[33, 1], p[48:68, 1].mean()
    assert brows < eyes < nose < mouth < p[8, 1]
    assert (np.diff(p[[0, 36, 39, 27, 42, 45, 16], 0]) > 0).all()
    assert (np.diff(p[3:14, 0]) > 0).all()
    t = np.linspace(0.1, 0.9, 9)
    for band in ("left_eye", "right_eye", "inner_lip", "outer_lip"):
        upper, lower = (geometry.curve(face, f"{band}_{e}", t)[:, 1] for e in ("upper", "lower"))
        assert (upper <= lower + 1e-9).all()
    for band in ("left_brow", "right_brow"):
        upper, lower = (geometry.curve(face, f"{band}_{e}", t)[:, 1] for e in ("upper", "lower"))
        assert (upper < lower).all()


def test_lids_and_lips_never_cross_from_the_front():
    from lddmmlib.experiments.geometry_prior import crossings

    assert crossings(100, turned=False) == {"itself": 0, "another": 0}


def test_the_outline_holds_the_head_and_its_ears():
    for face in (wild(0), wild(1), facing(2, yaw=0.9)):
        ring = geometry.outline(face, 256).numpy()
        middle = ring.mean(0)
        parts = [
            geometry.curve(face, name, T)[:, :2].numpy()
            for name in ("crown", "jaw", "hairline", "left_ear", "right_ear")
        ]
        for p in np.concatenate(parts):
            angle = np.arctan2(*(p - middle)[::-1])
            turns = np.arctan2(*(ring - middle).T[::-1])
            nearest = np.abs(np.angle(np.exp(1j * (turns - angle)))).argsort()[:2]
            assert np.linalg.norm(p - middle) <= np.linalg.norm(ring[nearest] - middle, axis=1).max() + 1.0


def test_faces_are_the_same_in_a_fresh_process_with_other_threads():
    import subprocess
    import sys

    program = (
        "import torch, numpy as np; torch.set_num_threads({n});"
        "from lddmmlib.faces import geometry as g;"
        "f = g.sample(np.random.default_rng(5));"
        "print(repr([*g.landmarks(f, 'wflw-98')[0].flatten().tolist(), *g.mesh(f)[0].sum(0).tolist()]))"
    )
    told = [
        subprocess.run([sys.executable, "-c", program.format(n=n)], capture_output=True, text=True, check=True).stdout
        for n in (1, 2)
    ]
    a, b = (np.array(eval(line)) for line in told)
    np.testing.assert_allclose(a[:-3], b[:-3], rtol=0, atol=1e-9)
    np.testing.assert_allclose(a[-3:], b[-3:], rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"yaw": 1.1}, "yaw: needed -1.0472 to 1.0472 radians"),
        ({"pitch": -0.7}, "pitch: needed"),
        ({"roll": float("nan")}, "roll: needed"),
        ({"scale": 0.0}, "scale: needed a number > 0"),
        ({"identity": np.full(25, 4.1)}, "identity: needed numbers from -4.0 to 4.0"),
        ({"identity": np.zeros(24)}, "identity: needed 25 finite numbers"),
        ({"centre": np.array([0.0, np.inf])}, "centre: needed 2 finite numbers"),
        ({"expression": np.full(10, -0.1)}, "needed mouth_open from 0.0 to 1.0"),
    ],
)
def test_what_is_out_of_range_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        geometry.Face3D(**change)


def test_unknown_names_are_refused_with_the_choices():
    face = geometry.Face3D()
    with pytest.raises(ValueError, match="curve: needed one of 'jaw'"):
        geometry.curve(face, "forehead", [0.5])
    with pytest.raises(ValueError, match="expression: needed one of 'mouth_open'"):
        face.express(grin=1.0)
    with pytest.raises(ValueError, match="scheme: needed one of '300w-68'"):
        geometry.landmarks(face, "ibug-68")
    with pytest.raises(ValueError, match="setting: needed one of 'studio', 'wild'"):
        geometry.sample(np.random.default_rng(0), "tame")
    for t in ([1.01], [-0.01], [], [float("nan")]):
        with pytest.raises(ValueError, match="t: needed at least one number, all from 0 to 1"):
            geometry.curve(face, "jaw", t)


def test_the_schemes_mirror_is_the_heads_mirror():
    """The names of curves and their directions are the schemes': a mirrored placement is the mirrored point."""
    face = facing(4)
    for p in {p for s in schemes.SCHEMES for p in schemes.get(s).placements}:
        q = mirrored(p)
        a = geometry.curve(replace(face, centre=np.zeros(2)), p.curve, [float(p.t)])[0]
        b = geometry.curve(replace(flipped(face), centre=np.zeros(2)), q.curve, [float(q.t)])[0]
        np.testing.assert_allclose(a * torch.tensor([-1.0, 1.0, 1.0]), b, atol=1e-4)


def test_identity_changes_faces_and_leaves_the_pose():
    rows = head.facts()[1]
    assert rows.shape[0] == geometry.IDENTITIES >= 20
    for k in range(geometry.IDENTITIES):
        face = geometry.Face3D(identity=np.eye(geometry.IDENTITIES)[k])
        assert (face.knots - geometry.Face3D().knots).abs().max() > 1e-3
