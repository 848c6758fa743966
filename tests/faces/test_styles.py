"""Styles: landmarks follow the geometry that is drawn, exaggeration is what it says, and nothing folds."""

import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from lddmmlib.experiments import geometry_prior
from lddmmlib.faces import geometry, painters, schemes, synthetic
from lddmmlib.faces.crossings import crossings as segments
from lddmmlib.faces.geometry import head
from lddmmlib.faces.painters.canvas import Canvas
from lddmmlib.faces.painters.sitter import Sitter
from lddmmlib.faces.painters.styles import ink, shapes

STYLES = list(painters.STYLES)
DRAWN = [style for style in STYLES if style != "photo"]
SHAPED = [style for style in STYLES if painters.STYLES[style].shape is not painters.as_it_is]


@cache
def drawn(style, index=3, size=64, split="wild"):
    return synthetic.sample(index, split, size, style)


def front(face):
    """Turned to the camera, with whatever knots it has."""
    out = replace(face, yaw=0.0, pitch=0.0, roll=0.0)
    vars(out)["knots"] = face.knots
    return out


def apart(a, b):
    """Mean difference in levels."""
    return (a.image.int() - b.image.int()).abs().double().mean().item()


# --- pictures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
def test_same_again(style):
    again = synthetic.sample(3, "wild", 64, style)
    assert torch.equal(again.image, drawn(style).image)
    assert torch.equal(again.landmarks, drawn(style).landmarks)


def test_a_fresh_process_with_other_threads_draws_the_same(tmp_path):
    program = f"""
import torch, cv2
torch.set_num_threads(3); cv2.setNumThreads(3)
from lddmmlib.faces.synthetic import sample
torch.save({{s: (f := sample(3, "wild", 64, s)).image for s in {STYLES}}}, {str(tmp_path / "faces.pt")!r})
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
    for style, image in torch.load(tmp_path / "faces.pt").items():
        assert (image.int() - drawn(style).image.int()).abs().max() <= 1, style


def test_every_two_styles_differ():
    """Also as faces differ from each other: no style is a blank, and none repeats another."""
    for i, a in enumerate(STYLES):
        assert apart(drawn(a), drawn(a, 4)) > 10, a
        assert drawn(a).image.double().std() > 20, a
        for b in STYLES[:i]:
            assert apart(drawn(a), drawn(b)) > 15, (a, b)


@pytest.mark.parametrize("style", STYLES)
def test_a_small_picture_is_the_large_one_shrunk(style):
    small, large = drawn(style, 2, 48, "studio"), drawn(style, 2, 192, "studio")
    torch.testing.assert_close((small.landmarks + 0.5) / 48, (large.landmarks + 0.5) / 192, atol=1e-9, rtol=0)
    shrunk = torch.nn.functional.avg_pool2d(large.image.double(), 4)
    other = drawn(style, 5, 48, "studio").image.double()
    near, far = ((shrunk - image).abs().mean() for image in (small.image.double(), other))
    assert near < 0.45 * far
    assert drawn(style, 2, 32).image.shape == (3, 32, 32)


# --- landmarks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", schemes.SCHEMES)
@pytest.mark.parametrize("style", STYLES)
def test_landmarks_are_those_of_the_geometry_that_is_drawn(style, scheme):
    start = synthetic.sitting(1, "studio")
    shaped = painters.STYLES[style].shape(start.framed(48), start.look)
    face = synthetic.sample(1, "studio", 48, style, scheme)
    torch.testing.assert_close(face.landmarks, geometry.landmarks(shaped, scheme)[0], atol=1e-9, rtol=0)
    for i, j in schemes.shared(scheme, "300w-68"):
        torch.testing.assert_close(face.landmarks[i], drawn(style, 1, 48, "studio").landmarks[j], atol=1e-9, rtol=0)


@pytest.mark.parametrize("style", STYLES)
def test_landmarks_stay_in_the_picture(style):
    for i in range(25):
        start = synthetic.sitting(i)
        points, _ = geometry.landmarks(painters.STYLES[style].shape(start.framed(100), start.look))
        assert points.min() > 2, i
        assert points.max() < 97, i


def test_shapes_differ_from_the_photographs_where_a_style_has_one():
    photo = drawn("photo").landmarks
    unit = (photo[45] - photo[36]).norm()
    for style in DRAWN:
        moved = (drawn(style).landmarks - photo).norm(dim=-1).mean() / unit
        assert moved > 0.005 if style in SHAPED else moved == 0, style


@pytest.mark.parametrize("style", ["cartoon", "halftone", "caricature"])
def test_ink_lies_on_the_curves_of_the_shaped_face(style):
    """Eight times the size, in a soft light: dark on the lids and the lips' line, as nowhere on the cheek."""
    start = synthetic.sitting(3, "studio")
    look = replace(start.look, glasses=False, beard=0.0)
    paint, shape = painters.STYLES[style]
    face = shape(start.framed(512).express(eyes_closed=0.0), look)
    image = paint(face, look, 512).image.mean(-1)
    for name in ("left_eye_upper", "right_eye_upper", "inner_lip_upper"):
        x, y = np.round(geometry.curve(face, name, np.linspace(0.35, 0.65, 9)).numpy()[:, :2]).astype(int).T
        assert image[y, x].max() < 0.35, name


# --- exaggeration --------------------------------------------------------------------------------------------------


def mild(seed=0):
    rng = np.random.default_rng(seed)
    return geometry.Face3D(identity=0.5 * rng.standard_normal(25), scale=50.0).express(
        smile=0.2, brows_up=0.2, gaze_x=0.5
    )


def test_once_is_the_face_itself():
    face = synthetic.sitting(0).geometry
    torch.testing.assert_close(shapes.exaggerated(face, 1.0).knots, face.knots, atol=1e-12, rtol=0)


@pytest.mark.parametrize("by", [1.3, 2.2])
def test_exaggeration_is_exact_in_its_space(by):
    """Scores are multiplied, gaze is not; what is linear in them, as the jaw, lies on the ray from the mean."""
    face = mild()
    out = shapes.exaggerated(face, by)
    np.testing.assert_allclose(out.identity, by * face.identity)
    assert out.strength("smile") == pytest.approx(by * 0.2)
    assert out.strength("gaze_x") == face.strength("gaze_x")
    mean, jaw = geometry.Face3D().knots, head.ROWS["jaw"]
    torch.testing.assert_close(out.knots[jaw] - mean[jaw], by * (face.knots[jaw] - mean[jaw]), atol=1e-12, rtol=0)


def test_exaggeration_is_drawn_between_its_bounds():
    start = [synthetic.sitting(i) for i in range(60)]
    shape = painters.STYLES["caricature"].shape
    factors = [np.linalg.norm(shape(s.geometry, s.look).identity) / np.linalg.norm(s.geometry.identity) for s in start]
    assert max(factors) <= 2.2
    assert np.mean(np.array(factors) >= 1.25) > 0.9  # less where scores end or the face would fold
    assert np.std(factors) > 0.15


PAIRS = [
    *geometry_prior.BANDS,
    ("nose_outline", "outer_lip_upper"),
    ("outer_lip_lower", "jaw"),
    ("left_brow", "right_brow"),
]
PAIRS += [(f"{side}_brow_lower", f"{side}_eye_upper") for side in ("left", "right")]


def crossings(face):
    """The lines of a face, seen from the front, that cross: judged by the curves that are drawn."""
    sitter = Sitter(front(face), (1, 1))
    lines = {n: torch.from_numpy(sitter[n]) for pair in PAIRS for n in pair}
    itself = [n for n, p in lines.items() if segments(p, p).triu(2).any()]
    return itself + [(a, b) for a, b in PAIRS if segments(lines[a][1:-1], lines[b][1:-1]).any()]


def test_sixty_faces_stay_unfolded_at_the_strongest():
    """And it is the check that keeps them so: multiplied without it, some fold."""
    loose = 0
    for i in range(60):
        face = synthetic.sitting(i).geometry
        assert not crossings(shapes.exaggerated(face, 2.2)), i
        loose += i < 25 and bool(crossings(replace(face, identity=np.clip(2.2 * face.identity, -4, 4))))
    assert loose > 1


@pytest.mark.parametrize("style", SHAPED)
def test_no_style_folds_a_face(style):
    for i in range(30):
        start = synthetic.sitting(i, "wild-test")
        assert not crossings(painters.STYLES[style].shape(start.geometry, start.look)), i


@pytest.mark.parametrize(
    ("line", "row", "by"), [("outer_lip_upper", 3, 0.5), ("left_brow", 2, 0.6), ("nose_outline", 5, 0.6)]
)
def test_a_fold_is_seen(line, row, by):
    knots = geometry.Face3D().knots.clone()
    assert not shapes.folded(knots)
    knots[head.ROWS[line]][row, 1] += by
    assert shapes.folded(knots)


# --- moulding ------------------------------------------------------------------------------------------------------


def test_moulding_by_one_changes_nothing():
    face = mild(1)
    torch.testing.assert_close(shapes.moulded(face, 1.0, 1.0, eyes=1.0, nose=1.0).knots, face.knots, atol=1e-12, rtol=0)


def test_moulding_scales_the_head_and_its_parts():
    """About a part's middle as stated, to first order; lengths and directions only with the whole head."""
    face = mild(2)
    wide = shapes.moulded(face, 1.2, 0.8)
    torch.testing.assert_close(wide.knots, face.knots * torch.tensor([1.2, 0.8, 1.0], dtype=torch.float64))
    big = shapes.moulded(face, 1.0, 1.0, eyes=(1.5, 2.0)).knots
    row = head.ROWS["left_eyeball"]
    torch.testing.assert_close(big[row, :2], face.knots[row, :2], atol=5e-3, rtol=0)
    lid = head.ROWS["left_eye_upper"]
    d = face.knots[lid, :2] - face.knots[row, :2]
    near = torch.exp(-d.square().sum(-1, keepdim=True) / shapes.PARTS["eyes"][1] ** 2)
    stated = face.knots[lid, :2] + near * torch.tensor([0.5, 1.0], dtype=torch.float64) * d
    torch.testing.assert_close(big[lid, :2], stated, atol=0.02, rtol=0)  # the other eye is felt a little
    torch.testing.assert_close(big[head.ROWS["jaw_out"]], face.knots[head.ROWS["jaw_out"]])


# --- ink -----------------------------------------------------------------------------------------------------------


def test_the_rim_lies_where_the_shape_moves_away_from():
    square = np.zeros((20, 20), np.float32)
    square[5:15, 5:15] = 1
    rim = ink.aside(square, np.array([3.0, 0.0]))
    assert rim[5:15, 5:8].min() == 1
    assert rim.sum() == 30
    assert ink.aside(np.ones((8, 8), np.float32), np.array([2.0, 1.0])).max() == 0  # none at the border


def test_a_line_lies_on_the_edge_of_a_flat_shape():
    paper, shape = Canvas((40, 40), 1.0), np.zeros((40, 40), np.float32)
    shape[:, 20:] = 1
    ink.flat(paper, shape, np.array([0.0, 1.0, 0.0]), np.zeros(3), 4.0)
    row = paper.image[20]
    dark = np.flatnonzero(row.max(-1) < 0.5)
    assert dark.mean() == pytest.approx(19.5, abs=0.5)
    assert 3 <= len(dark) <= 6
    np.testing.assert_allclose(row[[2, 37]], [[1, 1, 1], [0, 1, 0]], atol=1e-3)
