"""The training matrix of paper C: run small from end to end, and what is compared with what."""

import json

import numpy as np
import pytest
import torch

from lddmmlib.experiments import _real, _record, _runs, _subpixel_claims
from lddmmlib.experiments import subpixel as paper_c
from lddmmlib.faces import synthetic
from lddmmlib.methods import heatmap_regression


@pytest.fixture(scope="module")
def photos():
    """Drawn faces in the place of photographs."""
    faces = [synthetic.sample(i, "studio-test", 96) for i in range(4)]
    return [_real.Sample(f.image.permute(1, 2, 0).numpy(), f.landmarks.numpy()) for f in faces]


def test_label_noise_of_known_labels():
    """Even numbers and 0.7, corners 100 px apart: rounding costs 2 · 0.3826 px. Free labels have no grid."""
    rng, image = np.random.default_rng(0), np.zeros((9, 9, 3), np.uint8)
    points = 2.0 * rng.integers(0, 60, (68, 2))
    points[36], points[45] = (10, 20), (110, 20)
    told = paper_c.label_noise([_real.Sample(image, points + 0.7)])
    assert (told["step_px"], told["on_the_grid"]) == pytest.approx((2.0, 1.0))
    mean = np.hypot(*rng.uniform(-1, 1, (2, 200_000))).mean()
    assert told["rounding_percent"] == pytest.approx(mean, rel=3e-3)
    free = paper_c.label_noise([_real.Sample(image, 120 * rng.random((68, 2)))])
    assert free["on_the_grid"] < 0.4


def test_decoders_are_read_off_one_output(photos):
    torch.manual_seed(0)
    model = paper_c.SIZES["smoke"].network()
    data = paper_c.realism.crop_all(photos, 64)
    found, truth = paper_c.read_all(model, paper_c.DECODERS, data, "cpu")
    assert found.keys() == {"argmax", "quarter", "taylor", "soft", "window 3", "window 5", "window 7"}
    batch = torch.utils.data.default_collate(data)
    torch.testing.assert_close(truth, batch.landmarks.double())
    want = heatmap_regression.predict(model.eval(), batch, method="local_soft", window=7).double()
    torch.testing.assert_close(found["window 7"], want)


def test_a_small_run_end_to_end(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(_real, "photographs", lambda measuring: photos)
    monkeypatch.setattr(_real, "video_frames", lambda: photos[:2])
    monkeypatch.setattr(_record, "RUNS", tmp_path / "runs")
    paper_c.prepared.cache_clear()
    matrix = paper_c.EXPERIMENTS["subpixel"]
    for task in _runs.tasks("subpixel", matrix, "smoke", seeds=1):
        run = _runs.load(_runs.perform(task, results=tmp_path))
        assert all(each.shape == ({"held out": 8}.get(what.split(", ")[0], 4),) for what, each in run.errors.items())
        assert {what.split(",")[0] for what in run.figures["mean_percent"]} >= {"photographs", "frames"}
    paper_c.prepared.cache_clear()
    path = _runs.judge("subpixel", matrix, "smoke", tmp_path)
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    assert figures["curves"].keys() == paper_c.LOSSES.keys()
    assert all(len(each[0]["nme"]) == 2 for each in figures["curves"].values())
    assert figures["nme_percent"].keys() == {"held out", "photographs"}
    assert figures["verdicts"].keys() == {"C2", "C3", "C4"}
    assert all(each.keys() == {"synthetic", "real"} for each in figures["verdicts"].values())
    rows = [row for kinds in figures["verdicts"].values() for rows in kinds.values() for row in rows.values()]
    assert {row["verdict"] for row in rows} == {"reported"}  # of one seed
    compared = sum(len(claim.primary) + len(claim.exploratory) for claim in _subpixel_claims.claims().values())
    assert len(rows) == 2 * compared  # nothing that a claim compares is without its errors
    mean = _runs.load(tmp_path / "subpixel.smoke" / "round-0.npz").errors["held out, quarter"].mean().item()
    assert mean == pytest.approx(figures["nme_percent"]["held out"]["round, quarter"]["value"], rel=2e-3)


@pytest.mark.parametrize("spot", [slice(None), [0, 16], [36, 45]])
def test_a_missed_face_is_left_as_it_is(spot):
    """Eye corners, or ends of the jaw, that were found on one spot give no frame; the other faces are corrected."""
    truth = 20 * torch.rand(11, 68, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for left, right in (paper_c.SCHEME.corners, (0, 16)):
        truth[:, [left, right]] = torch.tensor([[2.0, 5.0], [18.0, 5.0]], dtype=torch.float64)
    pred = truth + torch.tensor([0.0, 1.0])
    pred[4, spot] = 7.0
    better, others = paper_c.corrected(pred, truth), [i for i in range(11) if i != 4]
    assert torch.equal(better[4], pred[4])
    torch.testing.assert_close(better[others], truth[others])
    assert torch.equal(paper_c.corrected(0 * pred, truth), 0 * pred)  # none was found
    assert torch.equal(paper_c.corrected(pred[:7], truth[:7]), pred[:7])  # six were, which tell no convention
