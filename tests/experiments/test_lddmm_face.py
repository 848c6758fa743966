"""The training matrix of paper A: run small from end to end, and what is compared with what."""

import json

import numpy as np
import pytest
import torch

from lddmmlib.experiments import _lddmm_face_claims as claims
from lddmmlib.experiments import _real, _record, _runs
from lddmmlib.experiments import lddmm_face as paper_a
from lddmmlib.faces import schemes, synthetic


@pytest.fixture
def photos(monkeypatch, tmp_path):
    """Drawn faces in the place of photographs."""
    faces = [synthetic.sample(i, "studio-test", 96) for i in range(4)]
    few = [synthetic.sample(i, "studio-test", 96, scheme="cofw-29").landmarks for i in range(4)]
    samples = [_real.Sample(f.image.permute(1, 2, 0).numpy(), f.landmarks.numpy()) for f in faces]
    monkeypatch.setattr(_real, "photographs", lambda measuring: samples)
    monkeypatch.setattr(_real, "video_frames", lambda: samples[:2])
    order = sorted(np.random.default_rng(0).permutation(84)[80:])
    all_few = torch.zeros(84, 29, 2, dtype=torch.float64)
    all_few[order] = torch.stack(few)
    monkeypatch.setattr(_real, "annotated_twice", lambda: (None, all_few))
    monkeypatch.setattr(_record, "RUNS", tmp_path / "runs")
    paper_a.prepared.cache_clear()
    yield
    paper_a.prepared.cache_clear()


def test_a_small_run_end_to_end(photos, tmp_path):
    matrix = paper_a.EXPERIMENTS["lddmm_face"]
    for task in _runs.tasks("lddmm_face", matrix, "smoke"):
        run = _runs.load(_runs.perform(task, results=tmp_path))
        wanted = {", ".join((what, how)) for what, network, how in claims.used() if network == task.network}
        assert {what for what in wanted if not what.startswith("occluded")} <= run.errors.keys()
        assert all(each.isfinite().all() for each in run.errors.values())
        assert len(run.figures["curves"]["nme"]) == paper_a.SIZES["smoke"].epochs
    figures = json.loads(_runs.judge("lddmm_face", matrix, "smoke", tmp_path).read_text(encoding="utf-8"))["figures"]
    assert figures["mean_percent"].keys() == {"flow 46 of 68", "heat 194"}
    assert figures["network"]["parameters"]["flow"] == figures["network"]["parameters"]["coordinates"]


@pytest.mark.parametrize("network", ["flow 29", "heat 98", "coordinates third of 68"])
def test_every_kind_of_network_answers_what_it_is_asked(photos, tmp_path, network):
    shared = paper_a.prepared(paper_a.SIZES["smoke"], tmp_path)
    learner = paper_a.LEARNERS[network]
    model, loss = paper_a.build(learner, shared.means, paper_a.SIZES["smoke"])
    data = shared.sets["held out"]
    batch = torch.utils.data.default_collate([paper_a.Views(data, learner.scheme, learner.kept)[i] for i in range(3)])
    assert loss(model, batch).isfinite()
    pred = paper_a.predict(model, learner, data.image, "cpu")
    assert pred.isfinite().all(-1).any(0).nonzero().flatten().tolist() == learner.known
    for asked in {learner.learnt, "68"}:
        for way, points in paper_a.answers(model, learner, asked, data, shared, "cpu").items():
            if way not in ("raw", "own"):
                assert points.shape == (8, schemes.get(paper_a.SCHEMES[asked]).n, 2), way
                assert points.isfinite().all(), way


def test_the_truth_of_photographs_is_that_of_both_annotations(photos):
    data = paper_a.real(64)["photographs"]
    for i, j in schemes.shared("cofw-29", "300w-68"):
        torch.testing.assert_close(data.points["cofw-29"][:, i], data.points["300w-68"][:, j], atol=1e-4, rtol=0)


def test_crossings_are_counted(photos, tmp_path):
    """No momenta: the mean face, which crosses nothing. Large momenta: two steps fold what certified ones do not."""
    shared = paper_a.prepared(paper_a.SIZES["smoke"], tmp_path)
    model, _ = paper_a.build(paper_a.LEARNERS["flow 68"], shared.means, paper_a.SIZES["smoke"])
    images = shared.sets["held out"].image[:2]
    told = paper_a.crossings(model, images, "cpu")
    assert set(told) == {"within, released", "between, released", "within, certified", "between, certified"}
    assert all(each.tolist() == [0, 0] for each in told.values())

    class Wild(torch.nn.Module):
        def forward(self, x):
            return 5 * torch.randn(len(x), 68, 2, generator=torch.Generator().manual_seed(0))

    model.network = Wild()
    told = paper_a.crossings(model, shared.sets["held out"].image[:8], "cpu")
    assert told["within, released"].sum() > 0
    assert told["within, certified"].sum() == 0


def made_up(seeds=3, n=200):
    """Errors in which a network's number of letters, and a way's, is what it costs."""
    rng = np.random.default_rng(0)
    noise = rng.random((1, n))
    return {", ".join(key): 5 + noise + 0.1 * (len(key[1]) + len(key[2])) + 0.01 * rng.random((seeds, n))
            for key in sorted(claims.used())}  # fmt: skip


def test_each_comparison_is_ours_against_the_rival():
    told = claims.judge(made_up())
    assert set(told) == {"A1", "A2", "A4", "A5", "A7"}
    assert len(told["A7"]["real"]) == 2 * 3  # three measures, of two rivals
    for kind, data in {"synthetic": "held out", "real": "photographs"}.items():
        for name, claim in claims.claims(data).items():
            for what, (ours, rival) in (claim.primary | claim.exploratory).items():
                claimed, _, measure = name.partition(", ")
                row = told[claimed][kind][f"{what}, {measure}" if measure else what]
                assert row["primary"] == (what in claim.primary)
                if claim.statistic is claims._verdicts.mean and what not in claim.within:
                    want = 0.1 * (sum(map(len, ours[1:])) - sum(map(len, rival[1:])))
                    assert row["difference"] == pytest.approx(want, abs=0.01), what


def test_a_partial_network_is_compared_with_completed_rivals_of_the_same_landmarks():
    a1 = claims.claims("held out")["A1"]
    assert {rival[2] for _, rival in a1.primary.values()} == {"interpolated", "completed", "moved mean"}
    assert all(
        ours[1:] == ("flow 46 of 68", "flow") and rival[1] == "heat 46 of 68" for ours, rival in a1.primary.values()
    )
    for ours, rival in [*a1.primary.values(), *a1.exploratory.values()]:
        assert ours[0] == rival[0]
        assert ours[1].split(" ", 1)[1] == rival[1].split(" ", 1)[1]


def test_the_area_above_the_curve_of_errors():
    """1 - AUC by the trapezoidal rule on a fine grid."""
    errors = torch.rand(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 14
    at = torch.linspace(0, claims.WIDEST, 20001, dtype=torch.float64)
    share = (errors[:, None] <= at).double().mean(0)
    assert claims.missed(errors).item() == pytest.approx(
        1 - (torch.trapezoid(share, at) / claims.WIDEST).item(), abs=1e-3
    )
