import pytest
import torch

from lddmmlib import polyharmonic
from lddmmlib.experiments import warp_accuracy


def points(*shape, seed=0, low=40.0, high=216.0):
    uniform = torch.rand(*shape, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return low + (high - low) * uniform


def bent(x):
    """A map with known values everywhere: affine, and a bow."""
    return torch.stack([x[..., 0] + 0.1 * x[..., 1], x[..., 1] + (x[..., 0] - 128).square() / 400], -1)


def pair(map_, count=6):
    a = {"controls": points(count, 68), "between": points(count, 40, seed=1), "beyond": points(count, 40, seed=2)}
    return a, {part: map_(x) for part, x in a.items()}


def test_errors_of_a_known_map():
    a, b = pair(bent)
    off = {k: warp_accuracy.errors(warp_accuracy.through(k), a, b)["between"]["value"] for k in (1, 2, 3)}
    assert 0 < off[3] < off[2] < off[1] < 1  # a smooth map: the smoother the spline, the better
    affine = warp_accuracy.errors(warp_accuracy.affine, a, b)["between"]
    assert affine["value"] > 3
    assert affine["interval"][0] <= affine["value"] <= affine["interval"][1]
    noisy = warp_accuracy.errors(warp_accuracy.through(2), a, b, noise=2.0)["between"]["value"]
    smoothed = warp_accuracy.errors(warp_accuracy.through(2, 0.1), a, b, noise=2.0)["between"]["value"]
    assert off[2] < 1 < smoothed < noisy


def test_affine_maps_are_nobodys_problem():
    a, b = pair(lambda x: x @ torch.tensor([[0.9, 0.1], [-0.2, 1.1]], dtype=x.dtype) + 5)
    for way in (warp_accuracy.affine, warp_accuracy.through(2), warp_accuracy.through(3, 0.1)):
        assert warp_accuracy.errors(way, a, b)["beyond"]["value"] < 1e-8


def test_two_sets_meet_at_the_controls_alone():
    a, b = pair(bent)
    at = warp_accuracy.two_sets(a["controls"], b["controls"], a["controls"])
    torch.testing.assert_close(at, b["controls"], rtol=0, atol=1e-4)
    off = warp_accuracy.errors(warp_accuracy.two_sets, a, b)["between"]["value"]
    assert off > 3 * warp_accuracy.errors(warp_accuracy.through(2), a, b)["between"]["value"]


def test_determinants_are_those_of_differences():
    controls, h = points(12), 1e-4
    spline, at = polyharmonic.fit(controls, bent(controls), 2), points(30, seed=3)
    step = torch.eye(2, dtype=torch.float64) * h
    across, down = (
        (polyharmonic.evaluate(spline, at + d) - polyharmonic.evaluate(spline, at - d)) / (2 * h) for d in step
    )
    want = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
    torch.testing.assert_close(warp_accuracy.determinants(spline, at), want, rtol=1e-6, atol=1e-6)


def test_folds_grow_with_what_is_asked_and_shrink_with_smoothing():
    b = points(3, 20)
    a = b + 8 * torch.randn(3, 20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    some, more = (warp_accuracy.folded(a, b, 2, 0.0, by).mean() for by in (1.0, 3.0))
    assert 0 < some < more < 1
    assert warp_accuracy.folded(a, b, 2, 0.1, 3.0).mean() < more
    assert warp_accuracy.folded(b, b, 2, 0.0, 3.0).max() == 0


@pytest.mark.parametrize("order", polyharmonic.ORDERS)
def test_coarse_errors_stay_below_their_bound(order):
    a = points(2, 20)
    rows = [warp_accuracy.coarse(a, bent(a), order, step) for step in (2, 8)]
    for row in rows:
        assert 0 < row["median"] < row["percentile_99"] < row["largest"] < row["bound"]
    assert 3 * rows[0]["largest"] < rows[1]["largest"]


def test_places_are_the_faces_own():
    faces = warp_accuracy.faces("studio-test", 5, 2)
    again = warp_accuracy.faces("studio-test", 6, 1)
    assert all(torch.equal(faces[part][1:], again[part]) for part in faces)
    ends = faces["between"][:, [0, 32]]  # the jaw's ends are landmarks 0 and 16
    torch.testing.assert_close(ends, faces["controls"][:, [0, 16]])


def test_the_whole_record(monkeypatch):
    for name, value in {"PAIRS": 3, "EXACT_PAIRS": 1, "STEPS": (8,), "EXAGGERATIONS": (2.0,)}.items():
        monkeypatch.setattr(warp_accuracy, name, value)
    figures = warp_accuracy.warp_accuracy()
    studio = figures["studio-test"]
    assert studio["error_px"]["order 2"] == studio["smoothed_px"]["order 2"]["0"]
    assert studio["error_px"]["order 2"]["between"]["value"] < studio["error_px"]["affine"]["between"]["value"]
    assert studio["noisy_px"]["order 2"]["0"]["between"]["value"] > studio["error_px"]["order 2"]["between"]["value"]
