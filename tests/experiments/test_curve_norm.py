import os

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial import KDTree

from lddmmlib import currents
from lddmmlib.experiments import curve_norm as run
from lddmmlib.experiments._real import real_shapes
from lddmmlib.faces import statistics


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def template():
    return run.curves(100 * statistics.real_300w().mean)


def test_the_curves_are_twelve_and_the_width_is_half_the_mean_of_the_extents(template):
    assert len(template.indices) == len(run.NAMES) == 12
    x = template.points[17:22].numpy()  # the left brow
    assert run.sigma_w(template)[2] == pytest.approx(np.ptp(x, axis=0).mean() / 2)


def test_rank_correlation_is_scipys():
    pairs = normal(60, 3, 2)
    pairs[..., 1] += pairs[..., 0] ** 3
    want = [stats.spearmanr(p[:, 0], p[:, 1]).statistic for p in pairs.unbind(1)]
    np.testing.assert_allclose(run.spearman(pairs), want)


def test_terms_by_curve(template):
    z, y = (template.with_points(template.points + 3 * normal(2, 68, 2, seed=s)) for s in (1, 2))
    landmark, nearest = currents.landmark_discrepancy(z, y), run.nearest_term(z, y)
    for c, i in enumerate(template.indices):
        a, b = (x.points[1, list(i)].numpy() for x in (z, y))
        both = [KDTree(b).query(a)[0], KDTree(a).query(b)[0]]
        assert landmark[1, c].item() == pytest.approx(np.linalg.norm(a - b, axis=1).mean())
        assert nearest[1, c].item() == pytest.approx(np.concatenate(both).mean())


def test_sliding_and_missing_are_as_far_but_not_for_a_current(template):
    line = torch.zeros(68, 2, dtype=torch.float64)
    line[:, 0] = torch.arange(68.0)
    face = run.curves(line)
    along, across = run.slid(face)
    assert along.points[1].tolist() == [1.5, 0.0]
    assert across.points[1].abs().tolist() == [1.0, 0.5]
    for ends in (0, 8, 9, 67):  # of curves
        assert torch.equal(along.points[ends], line[ends])
        assert torch.equal(across.points[ends], line[ends])
    torch.testing.assert_close(currents.landmark_discrepancy(along, face), currents.landmark_discrepancy(across, face))
    ratio = currents.distance2(along, face, 4.0) / currents.distance2(across, face, 4.0)
    assert ratio[0] < 0.05  # nine points of a straight line


def test_the_figures_of_faces_made_up(template):
    shapes = template.points + 2 * normal(20, 68, 2)
    got = run.curve_figures(template, shapes)
    width = got["sigma_w_percent"]
    for name, sigma in (("own", width[6]), ("first", width[0])):
        eye = [currents.distance2(x[36:42], template.points[36:42], sigma).item() for x in shapes]
        assert got["distance2_to_mean"][name]["value"][6] == pytest.approx(np.mean(eye))
    own, first = (got["distance2_to_mean"][n]["value"] for n in ("own", "first"))
    np.testing.assert_allclose(got["first_over_own"]["value"], np.divide(first, own))
    assert got["first_over_own"]["value"][0] == 1
    np.testing.assert_allclose(got["sliding_over_missing"]["landmarks"]["value"], 1)
    assert all(-1 <= r <= 1 for r in got["rank_correlation"]["value"])
    assert got["count"] == 20


@pytest.mark.skipif("LDDMMLIB_REAL_DATA" not in os.environ, reason="LDDMMLIB_REAL_DATA is not set")
@pytest.mark.real
def test_on_real_faces_the_first_curves_width_loses_the_eyes(template):
    shapes = real_shapes()[::10]
    got = run.curve_figures(template, statistics.similarity(shapes, template.points).apply(shapes))
    assert max(got["first_over_own"]["value"][6:8]) < 0.1
    assert got["sliding_over_missing"]["curve"]["value"][0] < 0.1
    assert 0.9 < got["rank_correlation_whole_face"]["value"] < 1
