import numpy as np
import pytest
import torch

from data_scripts.heads import fitting, mesh, recording
from data_scripts.heads import template as hand
from data_scripts.heads.extension import LANDMARKS, Extension
from data_scripts.heads.model import Model, Scores, constrained, rotations, seen
from lddmmlib.experiments import _record
from lddmmlib.faces import geometry
from lddmmlib.faces.geometry import face3d, head, surface

LEARNED = fitting.LEARNED


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def committed():
    """The fitted model, read back from the committed facts."""
    mean, identity, expression = head.facts()
    rows = torch.zeros(68, dtype=torch.long)
    for name, places in LANDMARKS.items():
        rows[list(places)] = torch.arange(head.ROWS[name].start, head.ROWS[name].stop)
    base = range(31, 36)
    rows[list(base)] = torch.arange(head.ROWS["nose_outline"].start + 3, head.ROWS["nose_outline"].start + 8)
    named = [list(head.EXPRESSIONS).index(name) for name in hand.EXPRESSIONS]
    out, front = (mean[head.ROWS[f"jaw_{part}"]].norm(dim=-1) for part in ("out", "front"))
    return Model(mean[rows], identity[:LEARNED, rows], expression[named][:, rows], out, front, head.slip())


def scores(n, seed=0):
    expression = 0.2 * normal(n, 7, seed=seed)
    expression[:, [0, 4]] = expression[:, [0, 4]].abs()
    pose = torch.cat([0.4 * normal(n, 1, seed=1), 0.15 * normal(n, 2, seed=2), torch.zeros(n, 3)], 1).clamp(-0.7, 0.5)
    return Scores(0.7 * normal(n, LEARNED, seed=seed + 3), expression, pose)


def test_what_is_fitted_is_what_the_geometry_draws():
    model, found = committed(), scores(6)
    fitted = seen(model, found)
    names = [*hand.EXPRESSIONS]
    for i in range(6):
        e = dict(zip(names, found.expression[i].tolist(), strict=False))
        lid = found.expression[i, -1].item()
        e |= {"eyes_wide": max(lid, 0.0), "eyes_closed": max(-lid, 0.0)}
        yaw, pitch, roll, *_ = found.pose[i].tolist()
        identity = np.concatenate([found.identity[i].numpy(), np.zeros(5)]).clip(-4, 4)
        face = geometry.Face3D(identity, yaw=yaw, pitch=pitch, roll=roll).express(**e)
        drawn = geometry.landmarks(face)[0]
        np.testing.assert_allclose(fitted[i, 17:], drawn[17:], atol=1e-5)
        np.testing.assert_allclose(fitted[i, :17], drawn[:17], atol=3e-3)  # the fit draws the jaw as a polyline


def test_the_fit_turns_heads_as_the_camera_does():
    yaw, pitch, roll = normal(3, 4)
    ours = rotations(yaw, pitch, roll)
    for i in range(4):
        judge = face3d.rotation(yaw[i].item(), pitch[i].item(), roll[i].item())
        np.testing.assert_allclose(ours[i], judge, atol=1e-12)


def test_the_fit_finds_the_turn_of_known_heads():
    model, found = committed(), scores(80)
    shapes = seen(model, found)
    fitted_model, fitted = fitting.fit(shapes, rounds=(60, 60))
    error = (seen(fitted_model, fitted) - shapes).norm(dim=-1).mean()
    assert error < 0.02
    for k, least in ((0, 0.98), (1, 0.8), (2, 0.98)):
        assert np.corrcoef(found.pose[:, k], fitted.pose[:, k])[0, 1] > least
    assert np.corrcoef(found.expression[:, 0], fitted.expression[:, 0])[0, 1] > 0.9


def test_the_model_keeps_its_constraints():
    free, _ = fitting.start(torch.zeros(3, 68, 2, dtype=torch.float64))
    model = constrained({k: v.detach() + 0.01 * normal(*v.shape) for k, v in free.items()})
    mirrored = model.identity[:, hand.FLIP] * hand.MIRROR
    np.testing.assert_allclose(model.identity, mirrored, atol=1e-12)
    assert (model.identity[:, [36, 45]] == 0).all()
    assert (model.expression[:, [36, 45]] == 0).all()
    gaps = model.identity[:, hand.UPPER_INNER] - model.identity[:, hand.LOWER_INNER]
    np.testing.assert_allclose(gaps, 0, atol=1e-12)
    sideways = model.expression[list(hand.EXPRESSIONS).index("jaw_sideways")]
    np.testing.assert_allclose(sideways, -sideways[hand.FLIP] * hand.MIRROR, atol=1e-12)


def test_whitening_keeps_the_faces():
    model, found = committed(), scores(50)
    found = found._replace(identity=found.identity - found.identity.mean(0))
    mixed = torch.linalg.qr(normal(LEARNED, LEARNED)).Q
    model = model._replace(identity=torch.tensordot(mixed, model.identity, 1))
    other, white = fitting.whitened(model, found)
    np.testing.assert_allclose(seen(other, white), seen(model, found), atol=1e-6)
    np.testing.assert_allclose(white.identity.square().mean(0), 1, atol=1e-9)
    sizes = other.identity.flatten(1).norm(dim=1)
    assert (sizes.diff() <= 1e-12).all()


def test_dependence_tells_identity_from_pose():
    found = scores(500)
    free = fitting.dependence(found).item()
    bound = fitting.dependence(found._replace(identity=found.identity + found.pose[:, 1:2] * 5)).item()
    assert free < 0.5 < 5 < bound


def test_the_committed_head_is_made_from_the_committed_model():
    model, (mean, identity, _) = committed(), head.facts()
    whole = Extension(model.mean, model.out, model.front)
    np.testing.assert_allclose(whole.rest(), mean, atol=1e-5)
    np.testing.assert_allclose(whole.extend(model.identity[0]), identity[0], atol=1e-5)
    np.testing.assert_allclose(whole.unseen(), identity[LEARNED:], atol=1e-5)
    with np.load(head.FACTS) as file:
        np.testing.assert_allclose(whole.chart(), file["chart"], atol=1e-5)
        chart, fill, triangles = (file[k] for k in ("chart", "fill", "triangles"))
    again = mesh.triangles(torch.from_numpy(chart).double(), torch.from_numpy(fill).double())
    assert abs(len(again) - len(triangles)) < 5  # Delaunay triangulations may differ where four points lie on a circle
    assert head.FACTS.stat().st_size < 300_000


def test_points_in_a_polygon():
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    points = np.array([[0.5, 0.5], [1.5, 0.5], [-0.1, 0.2], [0.9, 0.99]])
    assert mesh.inside(square, points).tolist() == [True, False, False, True]


def test_misfit_is_nought_for_the_models_own_faces_and_tells_the_far_side():
    model, found = committed(), scores(200)
    shapes = seen(model, found)
    assert recording.misfit(shapes, model, found, slide=True)["all"] == pytest.approx(0, abs=1e-9)
    still = recording.misfit(shapes, model, found, slide=False)["by_turn"]
    assert still[-2]["far_jaw"] > still[0]["far_jaw"] + 1


def test_the_copula_reads_quantiles_and_correlations():
    found = scores(4000)
    found.expression[:, 1] = (0.8 * found.expression[:, 2] + 0.6 * 0.2 * normal(4000, seed=9)).clamp(-0.7, 1)
    told = recording.copula(found)
    assert told["quantiles"].shape == (9, 33)
    np.testing.assert_allclose(told["quantiles"][1, 16], found.expression[:, 1].median(), atol=1e-3)
    assert told["correlation"][1, 2] == pytest.approx(0.8, abs=0.05)
    assert told["correlation"][5, 7] == pytest.approx(
        np.corrcoef(found.expression[:, 5], found.pose[:, 0])[0, 1], abs=0.05
    )
    np.testing.assert_allclose(told["quantiles"][7], -told["quantiles"][7].flip(0), atol=1e-12)  # mirror images


def test_the_landmarks_of_the_fit_are_knots():
    assert sorted(i for places in LANDMARKS.values() for i in places if i not in (36, 39, 42, 45, 48, 54, 60, 64)) == [
        i for i in range(68) if i not in (31, 32, 33, 34, 35, 36, 39, 42, 45, 48, 54, 60, 64)
    ]
    assert len(surface.RING) == 56


def test_the_fit_is_recorded_with_all_that_it_reads():
    assert _record.status("geometry_fit", recording.EXPERIMENT) != "missing"
    read = _record.code(recording.EXPERIMENT)
    assert {"data_scripts/heads/fitting.py", "lddmmlib/faces/geometry/contour.py"} <= read.keys()
    assert "lddmmlib/faces/geometry/heads.npz" not in read  # it is what the fit writes
