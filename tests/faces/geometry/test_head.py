import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline

from lddmmlib.faces.geometry import contour, face3d, head


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["jaw", "nose_outline", "left_eye_upper", "inner_lip_lower"])
def test_the_spline_is_scipys_natural_one(name):
    at, values, t = head.KNOTS[name], random(len(head.KNOTS[name]), 3), np.linspace(0, 1, 50)
    judge = CubicSpline(at, values, bc_type="natural")(t)
    np.testing.assert_allclose(head.spline(at, torch.from_numpy(t)) @ values, judge, atol=1e-12)


def test_closed_lids_meet_and_stay_on_the_eyeball():
    upper = torch.tensor([[-0.4, -0.06, 0.06], [-0.3, -0.06, 0.08]]).double()
    lower = torch.tensor([[-0.41, 0.04, 0.05], [-0.31, 0.04, 0.07]]).double()
    centre = head.eyeball(upper, lower)
    before = np.inf
    for closed in np.linspace(0, 1, 6):
        up, low = head.lids(upper, lower, torch.tensor(closed), torch.tensor(0.0).double())
        for lid in (up, low):
            np.testing.assert_allclose((lid - centre).norm(dim=-1), head.EYEBALL + head.LID, atol=1e-12)
        gap = (low - up)[:, 1]
        assert (gap < before).all()
        before = gap
    np.testing.assert_allclose(gap, 0, atol=1e-12)
    np.testing.assert_allclose(low[:, 1], lower[:, 1] + 0.15 * (upper - lower)[:, 1], atol=1e-3)
    wide, _ = head.lids(upper, lower, torch.tensor(0.0).double(), torch.tensor(1.0).double())
    assert (wide[:, 1] < upper[:, 1] - 0.02).all()


@pytest.mark.parametrize("gaps", [(0.0, 0.0, 0.0), (-0.1, -0.05, -0.2), (0.0, 0.2, 0.0), (0.1, 0.2, 0.15)])
def test_lips_never_cross_and_open_ones_stay(gaps):
    upper = torch.zeros(3, 3, dtype=torch.float64)
    lower = upper.clone()
    lower[:, 1] = torch.tensor(gaps)
    up, low = head.part(upper, lower)
    np.testing.assert_allclose((up + low) / 2, (upper + lower) / 2, atol=1e-12)
    ends = torch.zeros(1, 3, dtype=torch.float64)
    weights = head.spline(head.KNOTS["inner_lip_upper"], torch.linspace(0.01, 0.99, 99).double())
    gap = weights @ (torch.cat([ends, low, ends]) - torch.cat([ends, up, ends]))
    assert gap[:, 1].min() > 0
    if min(gaps) > 0.05:
        np.testing.assert_allclose(low[:, 1] - up[:, 1], gaps, atol=2e-3)


def test_a_thick_lip_stays_and_a_thin_one_is_thickened():
    inner = torch.zeros(5, 3, dtype=torch.float64)
    for side in (-1.0, 1.0):
        outer = torch.zeros(7, 3, dtype=torch.float64)
        outer[1:-1, 1] = side * torch.tensor([0.06, 0.1, -0.02, 0.0, 0.001])
        y = side * head.thickened(outer, inner, side)[:, 1]
        np.testing.assert_allclose(y[1:3], [0.06, 0.1], atol=1e-3)
        assert (y[3:6] > 0.6 * head.LIP).all()
        assert y[0] == y[-1] == 0


def test_knots_are_differentiable_and_batched():
    a, e = 0.3 * random(2, 25), torch.full((2, 10), 0.2, dtype=torch.float64)
    many = head.knots(a, e)
    for one, x, y in zip(many, a, e, strict=True):
        np.testing.assert_allclose(one, head.knots(x, y), atol=1e-12)
    assert torch.autograd.gradcheck(
        lambda a, e: head.knots(a, e)[0].sum(-1)[:60], (a[:1].requires_grad_(), e[:1].requires_grad_())
    )


def ball(m=33):
    """The slices of the unit ball: P on its outline, L and F and K to its front and back."""
    turn = torch.linspace(0, torch.pi, m, dtype=torch.float64)
    place = torch.stack([-turn.cos(), turn.sin(), torch.zeros_like(turn)], -1)  # left, bottom, right
    forth = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(m, 3)
    return place, place, forth, -forth


def test_the_outline_of_a_turned_ball_is_a_circle():
    parts = ball(201)
    for yaw, pitch in ((0.4, 0.0), (-0.8, 0.0), (0.3, 0.3), (0.0, -0.5)):
        turn = torch.from_numpy(face3d.rotation(yaw, pitch, 0.2))
        s = contour.angles(*parts, turn, -torch.pi / 2, torch.pi / 2)
        outline = contour.slice_point(*parts, s) @ turn.T
        np.testing.assert_allclose(outline[5:-5, :2].norm(dim=-1), 1, atol=2e-3)
        np.testing.assert_allclose(outline[5:-5, 2], 0, atol=0.06)


def test_the_jaw_slides_on_the_far_side_alone():
    parts = ball()
    turn = torch.from_numpy(face3d.rotation(0.5, 0.0, 0.0))
    s = contour.angles(*parts, turn, 0.0, contour.LIMIT)
    assert (s[:15] == 0).all()
    np.testing.assert_allclose(s[-3], 0.5, atol=0.02)
    assert (contour.angles(*parts, torch.eye(3, dtype=torch.float64), 0.0, contour.LIMIT) == 0).all()


def test_a_slice_is_an_ellipse_through_its_place():
    place, out, front, back = (random(4, 3, seed=k) for k in range(4))
    np.testing.assert_allclose(contour.slice_point(place, out, front, back, torch.zeros(4).double()), place)
    half = torch.full((4,), torch.pi / 2, dtype=torch.float64)
    np.testing.assert_allclose(contour.slice_point(place, out, front, back, half), place - out + front)
    np.testing.assert_allclose(contour.slice_point(place, out, front, back, -half), place - out + back)


def test_interpolation_is_numpys_within_and_goes_on_beyond():
    xs, ys = random(10).sort().values, random(10, seed=1)
    x = torch.linspace(xs[0], xs[-1], 30).double()
    np.testing.assert_allclose(contour.interpolate(x, xs, ys), np.interp(x, xs, ys), atol=1e-12)
    line = contour.interpolate(
        torch.tensor([-1.0, 3.0]).double(), torch.tensor([0.0, 1.0]).double(), torch.tensor([5.0, 7.0]).double()
    )
    assert line.tolist() == [3.0, 11.0]


@pytest.mark.parametrize(("yaw", "pitch"), [(0.3, 0.0), (0.6, 0.0), (0.6, 0.2), (0.5, -0.3)])
def test_where_the_jaw_slides_the_surface_is_seen_edge_on(yaw, pitch):
    """There the slice and the outline run in the same direction in the picture."""
    knots, turn = face3d.Face3D().knots, torch.from_numpy(face3d.rotation(yaw, pitch, 0.0))
    curves = [knots[head.ROWS["jaw" + part]] for part in ("", "_out", "_front", "_back")]
    step = 1e-5
    at, after, before = (head.spline(head.KNOTS["jaw"], contour.GRID + d) for d in (0.0, step, -step))
    slices = [at @ c for c in curves]
    s = contour.angles(*slices, turn, 0.0, contour.LIMIT)
    a = (contour.slice_point(*((after - before) @ c for c in curves), s) @ turn.T)[:, :2]
    b = ((contour.slice_point(*slices, s + step) - contour.slice_point(*slices, s - step)) @ turn.T)[:, :2]
    sine = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).abs() / a.norm(dim=1) / b.norm(dim=1)
    sliding = (s > 0.05) & (s < contour.LIMIT - 0.01)
    assert sliding.sum() > 10
    assert sine[sliding].max() < 0.12
