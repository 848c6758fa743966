"""The training matrix of paper C: run small from end to end, and what is compared with what."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from lddmmlib.experiments import _record, yardstick
from lddmmlib.experiments import subpixel as paper_c
from lddmmlib.faces import synthetic
from lddmmlib.methods import subpixel


@pytest.fixture(scope="module")
def photos():
    """Drawn faces in the place of photographs."""
    faces = [synthetic.sample(i, "studio-test", 96) for i in range(4)]
    return [_real.Sample(f.image.permute(1, 2, 0).numpy(), f.landmarks.numpy()) for f in faces]


def made_up(n=200):
    """Errors in which a network's number of letters, and a decoder's, is what it costs."""
    noise = torch.rand(1, n, generator=torch.Generator().manual_seed(0))
    keys = {each for pairs in paper_c.comparisons().values() for pair in pairs.values() for each in pair}
    return {(run, way): 5 + noise + len(run) + len(way) for run, way in keys}


def test_each_comparison_is_ours_against_the_rival():
    errors = made_up()
    told = paper_c.judged(errors)
    assert {claim: len(each) for claim, each in told.items()} == {"C2": 12, "C3": 4, "C4": 11}
    for claim, pairs in paper_c.comparisons().items():
        for what, (ours, rival) in pairs.items():
            want = sum(map(len, ours)) - sum(map(len, rival))
            assert told[claim][what]["difference"] == pytest.approx(want, abs=1e-5), what
            assert told[claim][what]["verdict"] == (
                "holds" if want < 0 else "contradicted" if want > 0 else "inconclusive"
            )
    assert told["C3"]["Siamese"]["difference"] == pytest.approx(3)  # of 7 letters, against its control of 4
    assert told["C4"]["5 x 5 within 5 % of 3 x 3, σ 2 (a share)"]["verdict"] == "holds"
    errors["none", "window 7"] = 1.2 * errors["none", "window 5"]
    assert paper_c.judged(errors)["C4"]["5 x 5 within 5 % of 7 x 7, σ 2 (a share)"]["verdict"] == "contradicted"


def test_what_was_not_trained_is_not_compared():
    errors = {key: e for key, e in made_up().items() if key[0] not in paper_c.CORRECTED}
    told = paper_c.judged(errors, "frames, ")["C2"]
    assert len(told) == 8
    assert all(what.startswith("frames, ") and "correction" not in what for what in told)


def test_one_factor_at_a_time():
    """Between neighbours in the paper's Table 2 either the network or the decoder changes."""
    for what, (ours, rival) in paper_c.comparisons()["C3"].items():
        assert sum(a != b for a, b in zip(ours, rival, strict=True)) == (2 if what == "maps and decoder" else 1)
    assert all(a[0] == b[0] for a, b in paper_c.comparisons()["C4"].values())


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
    data = paper_c.realism.cut(photos, 64)
    found, truth = paper_c.read(model, paper_c.DECODERS, data, "cpu")
    assert found.keys() == {"argmax", "quarter", "taylor", "soft", "window 3", "window 5", "window 7"}
    batch = torch.utils.data.default_collate(data)
    torch.testing.assert_close(truth, batch.landmarks.double())
    want = subpixel.predict(model.eval(), batch, method="local_soft", window=7).double()
    torch.testing.assert_close(found["window 7"], want)


def test_a_small_run_end_to_end_and_again_from_its_folder(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(yardstick, "photographs", lambda measuring: photos)
    monkeypatch.setattr(yardstick, "frames", lambda: photos[:2])
    monkeypatch.setattr(_record, "RUNS", tmp_path / "runs")
    sized = paper_c.EXPERIMENTS["subpixel"]._replace(scales=("smoke",))
    run = partial(_record.run, "subpixel", sized, tmp_path, "smoke")
    path = run(seeds=1)
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    assert figures["curves"].keys() == paper_c.RUNS.keys()
    assert all(len(each[0]["nme"]) == 2 for each in figures["curves"].values())
    assert figures["nme_percent"].keys() == {
        *("held out", "photographs", "photographs, corrected", "frames", "frames, corrected")
    }
    assert figures["verdicts"].keys() == {"C2", "C3", "C4"}
    assert all(each.keys() == {"synthetic", "real"} for each in figures["verdicts"].values())
    assert sum(row["verdict"] == "reported" for row in figures["verdicts"]["C3"]["real"].values()) == 4
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
    for left, right in (paper_c.SCHEME.corners, (0, 16)):
        truth[:, [left, right]] = torch.tensor([[2.0, 5.0], [18.0, 5.0]], dtype=torch.float64)
    pred = truth + torch.tensor([0.0, 1.0])
    pred[4, spot] = 7.0
    better, others = paper_c.corrected(pred, truth), [i for i in range(11) if i != 4]
    assert torch.equal(better[4], pred[4])
    torch.testing.assert_close(better[others], truth[others])
    assert torch.equal(paper_c.corrected(0 * pred, truth), 0 * pred)  # none was found
    assert torch.equal(paper_c.corrected(pred[:7], truth[:7]), pred[:7])  # six were, which tell no convention
