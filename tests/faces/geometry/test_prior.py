import os

import numpy as np
import pytest
import torch

from lddmmlib.faces import geometry, schemes, statistics
from lddmmlib.faces.geometry import head, prior

real = pytest.mark.skipif("LDDMMLIB_REAL_DATA" not in os.environ, reason="LDDMMLIB_REAL_DATA is not set")


def draws(setting, count=2000):
    rng = np.random.default_rng(0)
    return [prior.draw(rng, setting) for _ in range(count)]


def test_draws_repeat_and_differ():
    a, b = (prior.draw(np.random.default_rng(1)) for _ in range(2))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not np.array_equal(a.identity, prior.draw(np.random.default_rng(2)).identity)


def test_draws_keep_to_the_bounds_that_faces_ask_for_and_reach_them():
    for setting in prior.SETTINGS:
        for one in draws(setting, 300):
            geometry.Face3D(**one._asdict())  # refuses what is out of bounds
    pose = np.array([[d.yaw, d.pitch, d.roll] for d in draws("wild")])
    assert (np.abs(pose).max(0) > 0.9 * np.array(list(geometry.LIMITS.values()))).all()
    assert np.abs(np.array([[d.yaw, d.pitch] for d in draws("studio")])).max() < np.radians(30)


def test_identity_is_standard_normal():
    identity = np.stack([d.identity for d in draws("wild")])
    np.testing.assert_allclose(identity.mean(0), 0, atol=0.1)
    np.testing.assert_allclose(np.cov(identity.T), np.eye(geometry.IDENTITIES), atol=0.12)


def test_the_copula_has_the_quantiles_and_correlations_of_the_facts():
    levels, quantiles, root = prior.facts()
    names, found = list(head.EXPRESSIONS), draws("wild", 4000)
    for name in ("mouth_open", "smile", "brows_together"):
        values = [d.expression[names.index(name)] for d in found]
        told = np.interp([0.25, 0.5, 0.75], levels, quantiles[prior.DRAWN.index(name)])
        np.testing.assert_allclose(np.quantile(values, [0.25, 0.5, 0.75]), np.maximum(told, -0.7), atol=0.04)
    both = "mouth_open", "smile"
    told = (root @ root.T)[tuple(prior.DRAWN.index(name) for name in both)]
    pair = np.array([d.expression[[names.index(name) for name in both]] for d in found])
    ranks = pair.argsort(0).argsort(0)
    assert np.corrcoef(ranks.T)[0, 1] == pytest.approx(told, abs=0.08)


def test_most_mouths_are_nearly_closed_and_the_skew_is_there():
    opened = np.array([d.expression[0] for d in draws("wild")])
    assert (opened < 0.15).mean() > 0.5
    assert opened.max() > 0.8


def test_eyes_turn_towards_the_camera():
    found = [d for d in draws("wild") if abs(d.yaw) > 0.3]
    gaze = np.array([d.expression[list(head.EXPRESSIONS).index("gaze_x")] for d in found])
    assert np.corrcoef(gaze, [d.yaw for d in found])[0, 1] < -0.5


def against_the_committed_statistics(count=700):
    """Distance of the means (68,), captured share and ratios of spread (10,), by the committed real statistics."""
    model = statistics.real_300w()
    faces = (geometry.sample(np.random.default_rng(seed)) for seed in range(count))
    scheme = schemes.get("300w-68")
    shapes = torch.stack([geometry.landmarks(face)[0] for face in faces])
    shapes = torch.cat([shapes, shapes[:, list(scheme.flip)] * torch.tensor([-1.0, 1.0])])
    drawn = statistics.procrustes(shapes, scheme.corners)
    own = statistics.covariance(drawn.aligned, drawn.mean)
    theirs, ours = (statistics.modes(c, 10).vectors.flatten(1) for c in (model.covariance, own))
    variance = torch.stack([v @ model.covariance @ v for v in theirs])
    captured = (ours @ model.covariance @ ours.T).trace() / variance.sum()
    spread = torch.stack([v @ own @ v for v in theirs]).sqrt() / variance.sqrt()
    return (drawn.mean - model.mean).norm(dim=-1), captured, spread


def test_drawn_faces_have_the_statistics_of_real_ones():
    apart, captured, spread = against_the_committed_statistics()
    assert apart.mean() < 0.03
    assert apart.max() < 0.03
    assert captured > 0.93
    assert (spread < 1.5).all()
    assert (spread > 1 / 1.5).all()


@pytest.mark.real
@real
def test_drawn_faces_have_the_statistics_of_the_real_shapes_themselves():
    from lddmmlib.experiments import geometry_prior
    from lddmmlib.experiments._real import real_shapes

    aligned = statistics.procrustes(real_shapes(), schemes.get("300w-68").corners).aligned
    told = geometry_prior.against(aligned, geometry_prior.drawn_shapes("wild", 500))
    assert told["mean_percent"]["mean"] < 3
    assert told["captured"] > 0.93
    assert 1 / 1.5 < min(told["spread"]) <= max(told["spread"]) < 1.5
