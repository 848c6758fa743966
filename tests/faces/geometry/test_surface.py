from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator

from lddmmlib.faces import geometry
from lddmmlib.faces.geometry import contour, head, patches, surface


def wild(seed):
    return replace(geometry.sample(np.random.default_rng(seed)), scale=1.0)


def at_rest():
    vertices, triangles = (x.numpy() for x in geometry.mesh(geometry.Face3D()))
    return vertices, triangles, geometry.regions().numpy()


def test_the_thin_plate_spline_is_scipys():
    rng = np.random.default_rng(0)
    controls, values, at = rng.uniform(-1, 1, (30, 2)), rng.standard_normal((30, 3)), rng.uniform(-1, 1, (50, 2))
    ours = surface.thin_plate(torch.from_numpy(controls), torch.from_numpy(at)) @ torch.from_numpy(values)
    np.testing.assert_allclose(ours, RBFInterpolator(controls, values, kernel="thin_plate_spline")(at), atol=1e-8)
    # Their kernel is half of ours.
    ours = surface.thin_plate(torch.from_numpy(controls), torch.from_numpy(at), 0.2) @ torch.from_numpy(values)
    judge = RBFInterpolator(controls, values, kernel="thin_plate_spline", smoothing=0.1)(at)
    np.testing.assert_allclose(ours, judge, atol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_the_mesh_passes_through_the_curves(seed):
    face = wild(seed)
    vertices = geometry.mesh(face)[0]
    for name, n in surface.LINES.items():
        on = geometry.curve(face, name, patches.along(n))
        assert torch.cdist(on, vertices).amin(1).max() < 1e-6, name
    jaw = geometry.curve(replace(face, yaw=0.0, pitch=0.0, roll=0.0), "jaw", np.linspace(0, 1, 33))
    front = geometry.mesh(replace(face, yaw=0.0, pitch=0.0, roll=0.0))[0]
    assert torch.cdist(jaw, front).amin(1).max() < 1e-6


def test_the_skin_has_three_holes_and_no_other_open_edge():
    _, triangles, region = at_rest()
    skin = triangles[region <= 1]
    edges = np.sort(skin[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges, times = np.unique(edges, axis=0, return_counts=True)
    assert times.max() == 2
    rim = edges[times == 1]
    after = {v: set(rim[(rim == v).any(1)].ravel()) - {v} for v in np.unique(rim)}
    assert all(len(v) == 2 for v in after.values())
    loops, left = 0, set(after)
    while left:
        todo, loops = [left.pop()], loops + 1
        while todo:
            near = after[todo.pop()] & left
            left -= near
            todo += near
    assert loops == 4  # eyes, mouth, and the back of the head, which nobody sees


def test_triangles_are_wound_alike_and_look_outwards():
    vertices, triangles, region = at_rest()
    skin = triangles[region <= 1]
    directed = skin[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    assert len(np.unique(directed, axis=0)) == len(directed)
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    outwards = ((a + b + c) / 3 - [0, 0.3, -0.7]) * normal
    for kind in ("skin", "back", "eye", "neck"):
        share = (outwards.sum(1)[region == surface.REGIONS.index(kind)] > 0).mean()
        assert share > (0.8 if kind == "skin" else 0.7), kind
    front = (region == 0) & (np.abs(normal[:, 2]) > 0.5 * np.linalg.norm(normal, axis=1))
    assert (normal[front, 2] > 0).mean() > 0.99


def test_every_vertex_and_every_region_is_used():
    vertices, triangles, region = at_rest()
    assert np.array_equal(np.unique(triangles), np.arange(len(vertices)))
    assert set(region) == set(range(len(surface.REGIONS)))
    assert geometry.chart().shape == (len(vertices), 2)


def test_the_eyeballs_stay_behind_the_lids():
    for seed in range(20):
        face = replace(wild(seed), yaw=0.0, pitch=0.0, roll=0.0)
        for side in ("left", "right"):
            centre = face.knots[head.ROWS[f"{side}_eyeball"]]
            for edge in ("upper", "lower"):
                lid = geometry.curve(face, f"{side}_eye_{edge}", [1 / 3, 2 / 3])
                np.testing.assert_allclose((lid - centre).norm(dim=-1), head.EYEBALL + head.LID, atol=1e-9)


def test_a_ring_vertex_lies_on_its_slice():
    face = wild(4)
    x, count = face.knots, len(face.knots)
    t = torch.tensor([0.1, 0.6], dtype=torch.float64)
    for s in (-0.8, 0.0, 0.9):
        parts = [head.rows(f"jaw{p}", t, count) @ x for p in ("", "_out", "_front", "_back")]
        ours = surface.ring_rows("jaw", t, s, count) @ x
        np.testing.assert_allclose(
            ours, contour.slice_point(*parts, torch.full((2,), s, dtype=torch.float64)), atol=1e-12
        )


def test_the_chart_has_no_fold():
    """Within the ring every triangle keeps its winding on the chart, so that a texture lies flat."""
    _, triangles, region = at_rest()
    chart = geometry.chart().numpy()
    a, b, c = chart[triangles[region <= 1]].transpose(1, 0, 2)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (area > 0).all()
