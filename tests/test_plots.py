"""Pictures draw what they are given, where it is."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pytest
import torch

from lddmmlib import metrics, plots
from lddmmlib.faces import schemes, statistics


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


@pytest.mark.parametrize("name", ["300w-68", "cofw-29"])
def test_curves_are_the_schemes_and_closed_ones_close(ax, name):
    scheme = schemes.get(name)
    points = torch.rand(scheme.n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plots.face(ax, points, name)
    for line, (curve, indices) in zip(ax.lines, scheme.curves.items(), strict=True):
        x, y = line.get_data()
        assert (x[0], y[0]) == tuple(points[indices[0]].tolist())
        assert (x[-1] == x[0] and y[-1] == y[0]) == (curve in scheme.closed or len(indices) == 1)
        assert line.get_color() == scheme.colours[curve]


def test_y_points_down_however_often_one_draws(ax):
    for _ in range(2):
        plots.face(ax, statistics.real_300w().mean, "300w-68")
    low, high = ax.get_ylim()
    assert low > high


def test_another_scheme_is_refused(ax):
    with pytest.raises(Exception, match="needed 29 points"):
        plots.face(ax, torch.rand(68, 2), "cofw-29")


def test_ced_is_the_metrics_and_names_its_normaliser(ax):
    errors = torch.tensor([0.01, 0.03, 0.2], dtype=torch.float64)
    plots.ced(ax, {"mine": errors}, 0.1, "corners")
    x, y = ax.lines[0].get_data()
    at = torch.as_tensor(x, dtype=torch.float64) / 100
    assert torch.allclose(torch.as_tensor(y), 100 * metrics.ced(errors, at).double())
    assert "corners" in ax.get_xlabel()
    assert f"{100 * metrics.auc(errors, 0.1):.1f}" in ax.get_legend_handles_labels()[1][0]
