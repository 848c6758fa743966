"""The training matrix of paper E: run small from end to end, what is measured, and what is compared with what."""

import json

import numpy as np
import pytest
import torch

from lddmmlib.experiments import _real, _record, _runs, lddmm_face
from lddmmlib.experiments import _wasserstein_claims as claims
from lddmmlib.experiments import wasserstein as paper_e
from lddmmlib.faces import schemes, synthetic
from lddmmlib.methods import heatmap_regression
from tests.methods.stand_ins import Told, crop_of

SMOKE = paper_e.SIZES["smoke"]


@pytest.fixture
def photos(monkeypatch, tmp_path):
    """Drawn faces in the place of photographs."""
    faces = [synthetic.sample(i, "studio-test", 64) for i in range(3)]
    samples = [_real.Sample(f.image.permute(1, 2, 0).numpy(), f.landmarks.numpy()) for f in faces]
    monkeypatch.setattr(_real, "photographs", lambda measuring: samples)
    monkeypatch.setattr(_real, "video_frames", lambda: samples[:2])
    monkeypatch.setattr(_real, "annotated_twice", lambda: (None, torch.zeros(83, 29, 2, dtype=torch.float64)))
    monkeypatch.setattr(_record, "RUNS", tmp_path / "runs")
    paper_e.measured.cache_clear()
    yield
    paper_e.measured.cache_clear()


def test_a_small_run_end_to_end(photos, tmp_path):
    matrix = paper_e.EXPERIMENTS["wasserstein"]
    for task in _runs.tasks("wasserstein", matrix, "smoke"):
        run = _runs.load(_runs.perform(task, results=tmp_path))
        assert run.errors.keys() == {
            f"{what}, {how}" for what, network, how in claims.used() if network == task.network
        }
        assert all(each.isfinite().all() for each in run.errors.values())
    figures = json.loads(_runs.judge("wasserstein", matrix, "smoke", tmp_path).read_text(encoding="utf-8"))["figures"]
    told = figures["measured"]
    assert set(told) == {"W 3", "L2 1 98"}
    assert len(told["W 3"]) == 2 * 3 * 5  # decoders, kinds of faces, what was done to them
    assert {name.rsplit(",")[0] for name in told["L2 1 98"]} >= {"held out 52", "held out 17", "frames large blur 52"}
    row = told["W 3"]["held out 68, bc"]
    assert len(row["CED"]) == len(figures["ced_at"])
    assert row["CED"][figures["ced_at"].index(20)] == pytest.approx(100 - row["FRL 20"], abs=0.1)


@pytest.mark.parametrize("network", ["JS 3", "soft", "CE 3", "recipe 1", "W 3 coords", "L2 1 CPN", "L2 1 17",
                                     "W 3 SimpleBaselines", "W 3 HRNet", "W 3 studio 29"])  # fmt: skip
def test_every_kind_of_network_learns_and_answers(network):
    learner = paper_e.LEARNERS[network]
    torch.manual_seed(0)
    model, n = paper_e.build(learner, SMOKE), schemes.get(learner.scheme).n
    x = 10 + 44 * torch.rand(2, n, 2, generator=torch.Generator().manual_seed(0))
    paper_e.loss_of(model, crop_of(x, 64), learner).backward()
    assert any(p.grad.abs().sum() > 0 for p in model.parameters() if p.grad is not None)
    found = paper_e.predict(model, learner, torch.zeros(2, 3, 64, 64, dtype=torch.uint8), "cpu")
    for points in found.values():
        assert points.isfinite().all(-1).any(0).nonzero().flatten().tolist() == learner.known


def test_wflws_subsets_are_what_stands_for_300w_and_aflw():
    """68 and 17 of 98: those that both schemes share are the same landmarks, and the corners are among them."""
    shared = dict(schemes.shared("wflw-98", "300w-68"))
    assert len(paper_e.SIXTY_EIGHT) == 68
    assert [shared.get(i, j) for j, i in enumerate(paper_e.SIXTY_EIGHT)] == list(range(68))
    assert set(paper_e.SEVENTEEN) < set(paper_e.SIXTY_EIGHT)
    aflw = {j for _, j in schemes.shared("aflw-19", "300w-68")}
    assert aflw <= {paper_e.SIXTY_EIGHT.index(i) for i in paper_e.SEVENTEEN}
    assert set(schemes.get("wflw-98").corners) < set(paper_e.SEVENTEEN)


def test_targets_of_l2_have_one_sum_wherever_the_landmark_lies():
    x = torch.tensor([[[33.5, 29.5], [31.5, 31.5], [torch.nan, 0.0], [80.0, 5.0]]])  # a cell's middle, and a corner
    batch = crop_of(x, 64)
    for sigma in (0.25, 0.75):
        h = heatmap_regression.target(x, torch.zeros(1, 4, 16, 16), batch.image, sigma)
        total = h.sum((-2, -1), keepdim=True)
        fair = (h * total[:, :1] / total.clamp_min(1e-6))[:, :2]
        maps = torch.cat([fair, torch.full((1, 2, 16, 16), 7.0)], 1)
        assert paper_e.scaled_l2(Told(maps), batch, sigma) < 1e-6
        assert paper_e.scaled_l2(Told(maps + 0.1), batch, sigma).item() == pytest.approx(0.01 * 256, rel=1e-3)


def test_perturbed_faces_are_the_same_whoever_asks():
    image = torch.randint(0, 255, (3, 3, 64, 64), dtype=torch.uint8)
    data = paper_e.Marked(image, {"300w-68": 10 + 44 * torch.rand(3, 68, 2)})
    for how in ("ellipse", "blur"):
        large, again, medium = (paper_e.perturbed(data, level, how).image for level in ("large", "large", "medium"))
        assert torch.equal(large, again)
        assert not torch.equal(large, medium)
        assert not torch.equal(large, image)


def made_up(seeds=3, n=40, only="E"):
    """Errors in which a network's number of letters, and a decoder's, is what it costs; those of some claims."""
    some = [c for kind in claims.KINDS for name, c in claims.claims(kind).items() if name.startswith(only)]
    wanted = {key for c in some for part in c[:2] for pair in part.values() for key in claims._keys(pair)}
    rng = np.random.default_rng(0)
    noise = rng.random((1, n))
    return {", ".join(key): 5 + noise + 0.1 * (len(key[1]) + len(key[2])) + 0.01 * rng.random((seeds, n))
            for key in sorted(wanted)}  # fmt: skip


def test_each_comparison_is_ours_against_the_rival():
    told = claims.judge(made_up())
    assert set(told) == {f"E{i}" for i in range(1, 8)}
    for kind in claims.KINDS:
        for name, claim in claims.claims(kind).items():
            for what, pair in (claim.primary | claim.exploratory).items():
                row = told[name][kind][what]
                assert row["primary"] == (what in claim.primary)
                signs = (1, -1) if isinstance(pair[0][0], str) else (1, -1, -1, 1)
                want = sum(0.1 * s * sum(map(len, key[1:])) for s, key in zip(signs, claims._keys(pair), strict=True))
                if what not in claim.within:
                    assert row["difference"] == pytest.approx(want, abs=0.01), what


def test_sides_have_learnt_and_are_measured_alike():
    """All but the factor that a comparison names; every network that is compared is in the matrix."""
    networks = {network for _, network, _ in claims.used()}
    assert networks == {*paper_e.FIRST, *paper_e.LATER} - {"recipe 1"}
    assert networks <= set(paper_e.LEARNERS)
    for kind in claims.KINDS:
        for claim in claims.claims(kind).values():
            for ours, rival in (pair for part in claim[:2] for pair in part.values() if isinstance(pair[0][0], str)):
                assert ours[0] == rival[0]
                a, b = (paper_e.LEARNERS[key[1]] for key in (ours, rival))
                assert (a.network, a.known, a.source) == (b.network, b.known, b.source)


def test_seeds_that_one_side_lacks_are_left_out():
    some = {name: each[:1] if ", W 3, " in name else each for name, each in made_up(only="E1").items()}
    told = claims.judge(some)["E1"]["synthetic"]
    assert told["W, σ 3: BC against MAX"]["verdict"] == "reported"
    assert told["L2, σ 1: MAX against BC"]["verdict"] != "reported"
    few = claims.judge({name: each for name, each in some.items() if ", L2 1" not in name})
    assert "L2, σ 1: MAX against BC" not in few["E1"]["synthetic"]
    none = claims.judge({name: each for name, each in some.items() if ", W 1" in name})
    assert none["E1"] == {}, "exploratory comparisons alone"


def test_the_schemes_are_those_of_the_shared_crops():
    assert paper_e.SCHEMES is lddmm_face.SCHEMES
