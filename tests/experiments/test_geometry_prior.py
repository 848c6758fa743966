import numpy as np
import pytest
import torch

from lddmmlib.experiments import geometry_prior
from lddmmlib.faces import geometry, statistics
from lddmmlib.faces.geometry import head


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_shapes_against_themselves_and_against_others():
    shapes = statistics.procrustes(geometry_prior.drawn_shapes("wild", 300), (36, 45)).aligned
    told = geometry_prior.against(shapes, shapes)
    assert told["mean_percent"]["max"] < 1e-6
    assert told["captured"] == pytest.approx(1)
    np.testing.assert_allclose(told["spread"], 1, atol=1e-6)
    mean = shapes.mean(0)
    half = geometry_prior.against(shapes, mean + 0.5 * (shapes - mean))
    assert np.median(half["spread"]) == pytest.approx(0.5, abs=0.1)
    assert half["captured"] == pytest.approx(1, abs=0.02)
    noise = geometry_prior.against(shapes, mean + 0.01 * normal(300, 68, 2))
    assert noise["captured"] < 0.5


def test_on_the_mean_face_no_line_crosses():
    assert geometry_prior.crossed(geometry.Face3D()) == (False, False)


def test_a_knotted_mouth_is_counted(monkeypatch):
    knots = geometry.Face3D().knots.clone()
    knots[head.ROWS["outer_lip_upper"]][3, 1] += 0.5
    monkeypatch.setattr(geometry.Face3D, "knots", knots)
    assert geometry_prior.crossed(geometry.Face3D())[1]
