"""The training matrix of paper C: run small from end to end, and what is compared with what."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from lddmmlib.experiments import _subpixel_claims, provenance, subpixel_run, yardstick
from lddmmlib.faces import synthetic
from lddmmlib.methods import subpixel


@pytest.fixture(scope="module")
def photos():
    """Drawn faces in the place of photographs."""
    faces = [synthetic.sample(i, "studio-test", 96) for i in range(4)]
    return [yardstick.Sample(f.image.permute(1, 2, 0).numpy(), f.landmarks.numpy()) for f in faces]


def test_label_noise_of_known_labels():
    """Even numbers and 0.7, corners 100 px apart: rounding costs 2 · 0.3826 px. Free labels have no grid."""
    rng, image = np.random.default_rng(0), np.zeros((9, 9, 3), np.uint8)
    points = 2.0 * rng.integers(0, 60, (68, 2))
    points[36], points[45] = (10, 20), (110, 20)
    told = subpixel_run.label_noise([yardstick.Sample(image, points + 0.7)])
    assert (told["step_px"], told["on_the_grid"]) == pytest.approx((2.0, 1.0))
    mean = np.hypot(*rng.uniform(-1, 1, (2, 200_000))).mean()
    assert told["rounding_percent"] == pytest.approx(mean, rel=3e-3)
    free = subpixel_run.label_noise([yardstick.Sample(image, 120 * rng.random((68, 2)))])
    assert free["on_the_grid"] < 0.4


def test_decoders_are_read_off_one_output(photos):
    torch.manual_seed(0)
    model = subpixel_run.SIZES["smoke"].network()
    data = subpixel_run.realism.cut(photos, 64)
    found, truth = subpixel_run.read(model, subpixel_run.DECODERS, data, "cpu")
    assert found.keys() == {"argmax", "quarter", "taylor", "soft", "window 3", "window 5", "window 7"}
    batch = torch.utils.data.default_collate(data)
    torch.testing.assert_close(truth, batch.landmarks.double())
    want = subpixel.predict(model.eval(), batch, method="local_soft", window=7).double()
    torch.testing.assert_close(found["window 7"], want)


def test_a_small_run_end_to_end_and_again_from_its_folder(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(yardstick, "photographs", lambda measuring: photos)
    monkeypatch.setattr(yardstick, "frames", lambda: photos[:2])
    monkeypatch.setattr(provenance, "RUNS", tmp_path / "runs")
    sized = subpixel_run.EXPERIMENTS["subpixel"]._replace(scales=("smoke",))
    run = partial(provenance.run, "subpixel", sized, tmp_path, "smoke")
    path = run(seeds=1)
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    assert figures["curves"].keys() == subpixel_run.RUNS.keys()
    assert all(len(each[0]["nme"]) == 2 for each in figures["curves"].values())
    assert figures["nme_percent"].keys() == {
        *("held out", "photographs", "photographs, corrected", "frames", "frames, corrected")
    }
    assert figures["verdicts"].keys() == {"C2", "C3", "C4"}
    assert all(each.keys() == {"synthetic", "real"} for each in figures["verdicts"].values())
    rows = [row for kinds in figures["verdicts"].values() for rows in kinds.values() for row in rows.values()]
    assert {row["verdict"] for row in rows} == {"reported"}  # of one seed
    compared = sum(len(claim.primary) + len(claim.exploratory) for claim in _subpixel_claims.claims().values())
    assert len(rows) == 2 * compared  # nothing that a claim compares is without its errors
    with np.load(path.with_suffix(".npz")) as errors:
        assert errors["held out, siamese, window 5"].shape == (1, 8)
        assert errors["photographs, static, corrected"].shape == (1, 4)
        mean = errors["held out, round, quarter"].astype(float).mean()
        assert mean == pytest.approx(figures["nme_percent"]["held out"]["round, quarter"]["value"], rel=2e-3)
    more = json.loads(run(seeds=2).read_text(encoding="utf-8"))["figures"]  # a second seed joins the first
    assert more["curves"]["none"][0] == figures["curves"]["none"][0] != more["curves"]["none"][1]


@pytest.mark.parametrize("spot", [slice(None), [0, 16], [36, 45]])
def test_a_missed_face_is_left_as_it_is(spot):
    """Eye corners, or ends of the jaw, that were found on one spot give no frame; the other faces are corrected."""
    truth = 20 * torch.rand(11, 68, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for left, right in (subpixel_run.SCHEME.corners, (0, 16)):
        truth[:, [left, right]] = torch.tensor([[2.0, 5.0], [18.0, 5.0]], dtype=torch.float64)
    pred = truth + torch.tensor([0.0, 1.0])
    pred[4, spot] = 7.0
    better, others = subpixel_run.corrected(pred, truth), [i for i in range(11) if i != 4]
    assert torch.equal(better[4], pred[4])
    torch.testing.assert_close(better[others], truth[others])
    assert torch.equal(subpixel_run.corrected(0 * pred, truth), 0 * pred)  # none was found
    assert torch.equal(subpixel_run.corrected(pred[:7], truth[:7]), pred[:7])  # six were, which tell no convention
