import pytest
import torch

from lddmmlib import flows
from lddmmlib.experiments import matching_real as run
from lddmmlib.faces import schemes, statistics

MEAN = 100 * statistics.real_300w().mean


def faces(count, seed=0):
    return 100 * statistics.sample(statistics.real_300w(), count, torch.Generator().manual_seed(seed))


def loop(*pairs):
    return torch.tensor(pairs, dtype=torch.float64)


def test_pixels_have_the_means_corners_a_hundred_apart():
    aligned, mean = run.pixels(7 * faces(5) + 30)
    torch.testing.assert_close(mean[[36, 45]], loop((-50, 0), (50, 0)))
    torch.testing.assert_close(aligned.mean(0), mean)


def test_polygons_that_cross_themselves():
    square, tie = loop((0, 0), (1, 0), (1, 1), (0, 1)), loop((0, 0), (1, 1), (1, 0), (0, 1))
    assert run.crosses(torch.stack([square, tie])).tolist() == [False, True]
    assert not run.crosses(square.flip(0))
    assert run.area(square) == 1
    assert run.area(square.flip(0)) == -1


def test_lids_and_lips_that_lie_across_each_other_are_counted():
    x = MEAN.repeat(4, 1, 1)
    x[1, [61, 62, 63, 65, 66, 67]] = x[1, [67, 66, 65, 63, 62, 61]]  # wholly
    x[2, [37, 41]] = x[2, [41, 37]]  # in part
    assert run.crossings(x[:1]) == {"lids": 0, "inner_lips": 0}
    assert run.crossings(x) == {"lids": 1, "inner_lips": 1}


def test_halves_are_the_face_and_know_their_neighbours():
    kept, left = run.halves()
    out = [i for i, *_ in left]
    assert sorted(kept + out) == list(range(68))
    assert {j for _, *around in left for j in around} <= set(kept)
    scheme = schemes.get("300w-68")
    for i, *around in left:
        curve = next(c for c in scheme.curves.values() if i in c)
        assert set(around) == {curve[curve.index(i) - 1], curve[(curve.index(i) + 1) % len(curve)]}
    assert {0, 16, 17, 21, 27, 30, 31, 35} <= set(kept)  # the ends of open curves


def test_kept_curves_are_the_landmarks_kept():
    kept, _ = run.halves()
    half = run.face(MEAN, kept)
    assert len(half.indices) == 9
    torch.testing.assert_close(half.points[list(half.indices[0])], MEAN[0:17:2])


def test_a_shifted_mean_is_filled_in_by_moving_and_by_a_wide_flow(monkeypatch):
    monkeypatch.setattr(run, "NARROW_TO_WIDE", (60.0,))
    shift = torch.tensor([3.0, -4.0], dtype=torch.float64)
    told = run.left_out(MEAN, (MEAN + shift).repeat(2, 1, 1))
    assert told["still"]["mean"]["value"] == pytest.approx(5)
    assert told["displaced"]["mean"]["value"] == pytest.approx(0, abs=1e-9)
    i, before, after = map(list, zip(*run.halves()[1], strict=True))
    bend = (MEAN[i] - (MEAN[before] + MEAN[after]) / 2).norm(dim=-1).mean()
    assert told["chord"]["mean"]["value"] == pytest.approx(bend.item())
    assert told["flow 60"]["mean"]["value"] < 1
    assert told["kept"] + told["left_out"] == 68


def test_the_first_that_is_reached(monkeypatch):
    monkeypatch.setattr(run, "MOST", 3)
    assert run._first(torch.tensor([[0, 0, 1], [0, 1, 0], [0, 0, 1]]) > 0).tolist() == [4, 2, 1]


def test_folds_are_seen_where_steps_are_too_large():
    push = torch.zeros(1, 68, 2, dtype=torch.float64)
    assert run.folded(MEAN, push, 1, 5) == {"nodes_percent": 0.0, "faces": 0}
    push[0, 30, 0] = 90.0  # the tip of the nose, three σ aside in one step
    assert run.folded(MEAN, push, 1, 41)["faces"] == 1
    assert run.folded(MEAN, push, 20, 41)["faces"] == 0


def test_all_modes_explain_everything(monkeypatch):
    monkeypatch.setattr(run, "KEPT_MODES", (1, 3))
    p = torch.randn(4, 68, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = flows.shoot(MEAN.expand_as(p), p, run.SIGMA_V, run.STEPS).end
    told = run.explained(MEAN, p, y)
    for name in ("geodesic", "linear", "geodesic_to_its_match"):
        assert told[name][0] > 0.05
        assert told[name][1] == pytest.approx(0, abs=1e-6)
    for name in ("energy_share", "variance_share"):
        assert told[name][0] < told[name][1] == pytest.approx(1)


def test_the_whole_on_drawn_shapes(monkeypatch):
    for name, value in (("FACES", 3), ("FEW", 2), ("MOST", 60), ("STEPS", 3), ("NARROW_TO_WIDE", (30.0,))):
        monkeypatch.setattr(run, name, value)
    monkeypatch.setattr(run, "KEPT_MODES", (1, 2))
    monkeypatch.setattr(run, "real_shapes", lambda: faces(12))
    told = run.matching_real()
    assert told["after"]["mean"]["value"] < 0.4 * told["before"]["mean"]["value"]
    assert told["to_one_percent"]["whitened"]["median"] < told["to_one_percent"]["raw"]["median"]
    assert 0 <= told["converged"] <= 3
