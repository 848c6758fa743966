"""The training matrix of paper B: run small from end to end, who labels what, and what is compared with what."""

import json

import numpy as np
import pytest
import torch

from lddmmlib.data.records import Record
from lddmmlib.experiments import _coupled_claims as claims
from lddmmlib.experiments import _real, _record, _runs
from lddmmlib.experiments import coupled_regression as paper_b
from lddmmlib.methods import coupled_regression as coupled

SMOKE = paper_b.SIZES["smoke"]


def used():
    """Every error that a claim compares."""
    return {key for kind in claims.KINDS for claim in claims.claims(kind).values()
            for part in claim[:2] for pair in part.values() for key in pair}  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The folder of the drawn faces, and faces that stand for photographs with their 29 points."""
    folder = tmp_path_factory.mktemp("drawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_record, "RUNS", folder)
        marked, _ = (paper_b.drawn(SMOKE, folder, measuring) for measuring in (False, True))
    samples = [_real.Sample(image.permute(1, 2, 0).numpy(), x.double().numpy())
               for image, x in zip(marked.image, marked.points["300w-68"], strict=True)]  # fmt: skip
    return folder, samples, marked.points["cofw-29"].double()


@pytest.fixture
def folder(drawn, monkeypatch, tmp_path):
    """Drawn faces in the place of photographs; the annotator of 29 points puts the shared ones a pixel to the right."""
    where, samples, few = drawn
    order = np.random.default_rng(0).permutation(88)
    all_few = torch.zeros(88, 29, 2, dtype=torch.float64)
    all_few[sorted(order[80:])] = few
    all_few[sorted(order[:80])[:8]] = few + torch.tensor([1.0, 0.0])
    monkeypatch.setattr(_real, "photographs", lambda measuring: samples)
    monkeypatch.setattr(_real, "annotated_twice", lambda: (None, all_few))
    monkeypatch.setattr(_real, "video_frames", lambda: samples[:3])
    monkeypatch.setattr(paper_b, "video_frames", lambda count: samples)
    monkeypatch.setattr(_record, "RUNS", tmp_path / "runs")
    paper_b.faces_of.cache_clear()
    yield where
    paper_b.faces_of.cache_clear()


def test_a_small_run_end_to_end(folder, monkeypatch, tmp_path):
    of = paper_b.drawn
    monkeypatch.setattr(paper_b, "drawn", lambda size, _, *how: of(size, folder, *how))
    matrix = paper_b.EXPERIMENTS["coupled_regression"]
    for task in _runs.tasks("coupled_regression", matrix, "smoke"):
        run = _runs.load(_runs.perform(task, results=tmp_path))
        wanted = {", ".join((key[0], *key[2:])) for key in used() if key[1] == task.network}
        assert wanted <= run.errors.keys()
        assert all(each.isfinite().all() for each in run.errors.values())
    path = _runs.judge("coupled_regression", matrix, "smoke", tmp_path)
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    told, shares = figures["cumulative"]["held out 68"], figures["shares_percent"]["held out 68"]
    assert set(told) == {f"{n}, {how}" for n in ("coupled", "joint", "tau inf") for how in ("final", "stage 1")} | {
        "joint, averaged"
    }
    at = figures["cumulative"]["at"].index(5)
    assert all(row[at] == pytest.approx(shares[name]["5"]) and row == sorted(row) for name, row in told.items())
    assert [len(some[0]) for some in figures["stages"].values()] == [3, 3, 2, 3, 3]
    assert figures["history"]["coupled"][0][1].keys() >= {"stage", "round", "after_h", "after_f"}
    assert figures["rows_of_h"].keys() == {"coupled", "tau inf", "coupled 91 mixed"}


@pytest.mark.parametrize("method", ["coupled", "masked", "all labels", "deep", "deep sparse", "joint", "SDM"])
def test_every_method_tells_the_whole_union(folder, tmp_path, method):
    learner = paper_b.Learner(method)
    faces = paper_b.faces_of(SMOKE, folder, "68", False)
    found = paper_b.fit(learner, SMOKE, faces, 0, tmp_path / method)
    errors, stages = paper_b.errors_of(found, faces, "x", method == "joint")
    if method != "joint":  # whose cascades predict all
        pred = getattr(found, "cascade", found).predict(faces.image, faces.boxes)
        torch.testing.assert_close(errors["x, final"], paper_b.nrmse(pred, faces.points, faces.points))
    assert stages[-1] < stages[0], "it has learnt"
    assert sorted(found.known.sum(1).tolist()) == ([68] if method == "all labels" else [32, 36])
    if method in ("masked", "all labels", "coupled", "deep sparse"):
        assert (found.H is None) == (method in ("masked", "all labels"))
    else:  # how many landmarks each cascade was taught
        taught = sorted(len(cascade.mean) for cascade in found.cascades)
        assert taught == ([68, 68] if method == "joint" else [32, 36])
    assert errors["x, final"].isfinite().all()


@pytest.mark.parametrize("method", ["coupled", "deep"])
def test_tuning_begins_with_a_cascade_of_drawn_faces(folder, monkeypatch, tmp_path, method):
    of, seen, fit = paper_b.drawn, [], coupled.fit_cascade
    monkeypatch.setattr(paper_b, "drawn", lambda size, _, *how: of(size, folder, *how))
    monkeypatch.setattr(
        coupled, "fit_cascade", lambda *a, init=None, **k: seen.append((init, fit(*a, init=init, **k))) or seen[-1][1]
    )
    faces = paper_b.faces_of(SMOKE, folder, "tuned", False)
    paper_b.fit(paper_b.Learner(method, "tuned"), SMOKE, faces, 0, tmp_path)
    first, second = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert all(init is None for init, _ in first)
    assert all(init is before.cascade for (init, _), (_, before) in zip(second, first, strict=True))
    assert all(found.cascade.how.decay == paper_b.DECAY_TUNED for _, found in second)


def test_who_labels_what(folder):
    """Halves without a shared landmark; 68 and 74 that share 29; 68 and 29 of which six are the same."""
    marked = paper_b.drawn(SMOKE, folder, True)
    for name, counts in {"68": (36, 32, 0), "frames": (36, 32, 0), "113": (68, 74, 29), "91": (68, 29, 6)}.items():
        faces = paper_b.union(marked, name, False)
        a, b = faces.known
        assert (a.sum(), b.sum(), (a & b).sum()) == counts
        assert (a | b).all()
        assert torch.equal(~faces.labelled[:2].isnan().any(-1), a.expand(2, -1))
        assert torch.equal(~faces.labelled[2:].isnan().any(-1), b.expand(2, -1))
        own = {"113": "lfw-74", "91": "cofw-29"}.get(name)
        if own:  # the second half has exactly the places of its scheme
            x = faces.labelled[3][b]
            want = marked.points[own][3].double()
            assert torch.cdist(x, want).amin(0).max() < 1e-4
            assert torch.cdist(x, want).amin(1).max() < 1e-4


def test_labels_to_learn_from_are_those_of_the_annotator(folder):
    """The second half has the shared landmarks of 29 points; what is measured on has those of 68."""
    shared = paper_b.faces_of(SMOKE, folder, "91", False).known.all(0)
    learnt, asked = (paper_b.faces_of(SMOKE, folder, "91", m).points[:, shared] for m in (False, True))
    step = (learnt - asked).norm(dim=-1)
    assert step[:4].max() == 0
    assert step[4:].min() > 0.5


def test_drawn_faces_beside_photographs_stand_in_the_same_half(folder):
    mixed, own = (paper_b.faces_of(SMOKE, folder, name, False) for name in ("mixed", "91"))
    lacking = mixed.labelled.isnan().any(-1)
    assert len(mixed.image) == 2 * SMOKE.faces + len(own.image)
    for half in (0, 1):
        assert torch.equal(~lacking[mixed.half == half], own.known[half].expand(len(lacking) // 2, -1))
    assert torch.equal(mixed.points[2 * SMOKE.faces :], own.points)


def test_boxes_are_those_of_a_detector_and_the_same_for_all():
    x = 30 + 60 * torch.rand(40, 68, 2, generator=torch.Generator().manual_seed(0)).double()
    low, high = x.amin(1), x.amax(1)
    side, boxes = (high - low).amax(1), paper_b.detected(x, 3)
    assert torch.equal(boxes, paper_b.detected(x, 3))
    assert ((boxes[:, 2] / side).log().abs() <= paper_b.JITTER).all()
    away = (boxes[:, :2] + boxes[:, 2:] / 2 - (low + high) / 2).abs() / side[:, None]
    assert away.max() <= paper_b.JITTER
    assert away.min(1).values.max() > 0.5 * paper_b.JITTER


def test_the_video_frames_to_learn_from_share_no_person_between_halves(monkeypatch, tmp_path):
    names = [f"p{p:04d}_{k:02d}" for p in range(7) for k in range(1 + p % 3)]
    nothing = dict.fromkeys(("landmarks", "visible", "box", "scheme", "attributes", "source"))
    records = [Record(image=tmp_path / f"{name}.jpg", **nothing) for name in reversed(names)]
    monkeypatch.setattr(_real, "real_data", lambda: tmp_path)
    monkeypatch.setattr(paper_b.formats, "read", lambda folder, kind: records)
    person = lambda record: _real.Sample(np.full((1, 1, 3), int(record.image.stem[1:5])), np.zeros((68, 2)))  # noqa: E731
    monkeypatch.setattr(_real, "_opened", person)
    found = [int(sample.image.max()) for sample in paper_b.video_frames(4)]
    assert len(found) == 8
    assert not {*found[:4]} & {*found[4:]}


def test_all_have_as_many_evaluations_a_stage():
    for scale, size in paper_b.SIZES.items():
        for network, learner in paper_b.LEARNERS.items():
            how = paper_b.settings(learner, size)
            assert how.evaluations * (how.rounds + 1) == size.evaluations, (scale, network)
    size = paper_b.SIZES["workstation"]
    paper = paper_b.settings(paper_b.LEARNERS["coupled 113"], size)
    assert (paper.sides, paper.hidden, paper.decay, paper.tau, paper.patch) == coupled.PAPER[:5]
    assert size.union == 3478
    once = paper_b.EXPERIMENTS["coupled_regression"].sizes["workstation"].later
    assert [once[name] for name in paper_b.UNION] == [1, 1, 1]


def test_common_landmarks_of_separate_cascades_are_averaged(folder, tmp_path):
    faces = paper_b.faces_of(SMOKE, folder, "113", False)
    found = paper_b.fit(paper_b.Learner("SDM", "113"), SMOKE, faces, 0, tmp_path / "SDM")
    shifted = found.cascades[1]
    shifted.stages[-1][-1].bias.data += 0.02
    errors, _ = paper_b.errors_of(found, faces, "x", joint=False)
    both = faces.known.all(0)
    want = paper_b.nrmse(found.predict(faces.image, faces.boxes)[:, both], faces.points[:, both], faces.points)
    torch.testing.assert_close(errors["x, common"], want)


def test_approximations_are_measured_on_hidden_annotations_alone(folder, tmp_path):
    faces = paper_b.faces_of(SMOKE, folder, "68", False)
    found = paper_b.fit(paper_b.Learner("coupled", tau=1.0, stages=1), SMOKE, faces, 0, tmp_path / "t")
    errors, rows = paper_b.approximated(found, faces)
    known = ~faces.labelled.isnan().any(-1)
    torch.testing.assert_close(found.completed[known], faces.points[known])
    length = (faces.points.amax(1) - faces.points.amin(1)).mean(1)
    for i in (0, -1):
        miss = (found.completed[i] - faces.points[i])[~known[i]].square().sum(-1).mean().sqrt()
        assert errors["approximation"][i].item() == pytest.approx(100 * (miss / length[i]).item())
    assert errors["distance"].shape == (68,)
    assert errors["distance"].mean().item() == pytest.approx(100 * rows["distance"])
    assert rows["norm1"] <= 1 + 1e-6


# -------------------------------------------------------------------------------------------------------- verdicts


def made_up(seeds=3, n=60):
    """Errors about the thresholds in which a network's number of letters is what it costs."""
    rng = np.random.default_rng(0)
    noise = rng.random((1, n))
    return {", ".join(key): 2 + noise + 0.2 * len("".join(key[1:])) + 0.01 * rng.random((seeds, n))
            for key in sorted(used())}  # fmt: skip


def test_each_comparison_is_ours_against_the_rival():
    told = claims.judge(made_up())
    assert set(told) == {"B1", "B2", "B3", "B4", "B5"}
    for kind in claims.KINDS:
        for name, claim in claims.claims(kind).items():
            claimed, _, measure = name.partition(", ")
            for what, (ours, rival) in (claim.primary | claim.exploratory).items():
                row = told[claimed][kind][f"{what}, {measure}" if measure else what]
                assert row["primary"] == (what in claim.primary), what
                if claim.statistic is claims._verdicts.mean and " within " not in what:
                    want = 0.2 * (len("".join(ours[1:])) - len("".join(rival[1:])))
                    assert row["difference"] == pytest.approx(want, abs=0.01), what
                    expected = "holds" if want < 0 else "contradicted" if want > 0 else "inconclusive"
                    assert row["verdict"] == expected, what


@pytest.mark.parametrize(("step", "verdict"), [(-0.5, "holds"), (0.5, "contradicted")])
def test_shares_are_judged_in_either_direction(step, verdict):
    errors, spread = made_up(), np.linspace(2.0, 4.0, 60) + np.zeros((3, 1))
    errors["held out 68, deep sparse, final"] = spread
    errors["held out 68, coupled, final"] = spread + step
    told = claims.judge(errors)["B1"]["synthetic"]
    assert told["coupled against deep sparse, above 0.03"]["verdict"] == verdict
    assert told["coupled against deep sparse, NRMSE"]["verdict"] == verdict


def test_large_budgets_are_equivalent_to_none_within_the_bound():
    errors, what = made_up(), "tau 10 within 5 % of tau inf (a share), NRMSE"
    for factor, verdict in ((1.01, "holds"), (1.2, "contradicted")):
        errors["frames 68, tau 10 frames, stage 1"] = factor * errors["frames 68, tau inf frames, stage 1"]
        assert claims.judge(errors)["B3"]["real"][what]["verdict"] == verdict


def test_one_seed_is_reported_and_what_was_not_trained_is_not_compared():
    some = {name: each[:1] for name, each in made_up().items() if "113" in name}
    told = claims.judge(some)
    assert {row["verdict"] for row in told["B5"]["synthetic"].values()} == {"reported"}
    assert told["B1"] == {}
    some = {name: each for name, each in made_up().items() if "coupled" in name or ", deep," in name}
    assert claims.judge(some)["B1"] == {}, "exploratory comparisons alone"


def test_every_network_that_is_compared_is_in_the_matrix_and_the_other_way_round():
    assert {key[1] for key in used()} == {*paper_b.FIRST, *paper_b.LATER} == {*paper_b.LEARNERS}
    for kind in claims.KINDS:
        for claim in claims.claims(kind).values():
            for ours, rival in (pair for part in claim[:2] for pair in part.values()):
                assert ours[0] == rival[0]
                assert ours[2:] == rival[2:] or "averaged" in ours[2:] + rival[2:]
                a, b = (paper_b.LEARNERS[key[1]] for key in (ours, rival))
                assert a.faces == b.faces or {a.faces, b.faces} <= {"91", "mixed", "drawn", "tuned"}
