"""The training matrix of paper D: run small from end to end, what is measured, and what is compared with what."""

import json

import numpy as np
import pytest
import torch

from lddmmlib.data.crops import Crop
from lddmmlib.experiments import _conditional_warp_claims as claims
from lddmmlib.experiments import _drawn, _record, _runs
from lddmmlib.experiments import conditional_warp as paper_d
from lddmmlib.faces import synthetic
from lddmmlib.methods import conditional_warp as warping

MATRIX = paper_d.EXPERIMENTS["conditional_warp"]
SMOKE = paper_d.SIZES["smoke"]


def test_a_small_run_end_to_end(monkeypatch, tmp_path):
    monkeypatch.setattr(_record, "RUNS", tmp_path / "runs")
    for cached in (paper_d.faces, paper_d.measured):
        cached.cache_clear()
    for task in _runs.tasks("conditional_warp", MATRIX, "smoke"):
        _runs.perform(task, results=tmp_path)
    told = json.loads(_runs.judge("conditional_warp", MATRIX, "smoke", tmp_path).read_text(encoding="utf-8"))["figures"]
    assert told["steps"] == {"start": 1, "more": 2}
    styles = {"photo", "painterly", "cartoon", "line", "caricature", "halftone", "unseen", "warp painterly"}
    assert told["nme_percent"].keys() == styles
    assert told["gain_on_source"].keys() == {"alternating", "translator"}
    unseen = np.mean([told["nme_percent"][style]["source"]["value"] for style in paper_d.UNSEEN])
    assert told["nme_percent"]["unseen"]["source"]["value"] == pytest.approx(unseen, rel=2e-3)
    rows = told["verdicts"]["D1"]["synthetic"]
    assert {name for name, row in rows.items() if row["primary"]} == {
        "painterly: alternating against source",
        "unseen: alternating against source",
        "photo: alternating within 5 % of source (a share)",
    }
    assert {row["verdict"] for row in rows.values()} == {"reported"}
    for cached in (paper_d.faces, paper_d.measured):
        cached.cache_clear()


def textured(shift=0.0):
    """Blobs, and faces on them that are moved by some pixels to the right: two persons, alike."""
    y, x = torch.meshgrid(*[torch.arange(64.0)] * 2, indexing="ij")
    g = torch.Generator().manual_seed(0)
    blobs = sum(
        ((x - shift - 64 * a) ** 2 + (y - 64 * b) ** 2).div(-30).exp() for a, b in torch.rand(40, 2, generator=g)
    )
    image = (120 * blobs).clamp(0, 255).byte().expand(2, 3, -1, -1)
    face = synthetic.sitting(3, "studio").framed(64)
    labels = paper_d.geometry.landmarks(face)[0].float() + torch.tensor([shift, 0.0])
    places = paper_d.geometry.curve(face, "jaw", [0.1, 0.33, 0.72])[:, :2].float() + torch.tensor([shift, 0.0])
    points = {paper_d.SCHEME: labels.expand(2, -1, -1), "places": places.expand(2, -1, -1)}
    return _drawn.Marked(image, points)


def test_a_warp_is_judged_by_where_boundaries_come_to_lie():
    """A shift: the spline at the truth has no error, at landmarks a pixel off a pixel's; flows see what moved."""
    photo, stylised = textured(), textured(3.0)
    truth = stylised.points[paper_d.SCHEME]
    off = paper_d.warp_errors(truth + torch.tensor([1.0, 0.0]), photo, stylised)
    labels = photo.points[paper_d.SCHEME].double()
    pixel = 100 / paper_d.metrics.reference_distance(labels, "corners", paper_d.SCHEME)
    torch.testing.assert_close(off["none"], 3 * pixel, rtol=1e-4, atol=0)
    torch.testing.assert_close(off["spline"], pixel, rtol=1e-3, atol=0)
    assert off["spline at the truth"].max() < 1e-3 * pixel.max()
    for name in paper_d.FLOWS:
        assert (off[name] < 0.5 * pixel).all(), name


def a_pair(learner):
    torch.manual_seed(0)
    model = paper_d.build(learner.network, SMOKE, 8 + 16 * torch.rand(68, 2))
    face = Crop(torch.randint(0, 255, (2, 3, 32, 32), dtype=torch.uint8), 8 + 16 * torch.rand(2, 68, 2), *[None] * 3)
    hidden = face._replace(image=face.image.flip(0), landmarks=torch.full_like(face.landmarks, torch.nan))
    return model, warping.Pair(photo=face, stylised=hidden)


@pytest.mark.parametrize("method", ["alternating", "released"])
def test_the_warper_of_the_released_code_teaches_nothing(method):
    """In its turn; ours does. In the landmarker's turn both learn."""
    learner, taught = paper_d.Learner(method), []
    model, pair = a_pair(learner)

    def fit(turns, loss, optimiser):
        for _ in range(2):
            turns.zero_grad()
            loss(turns, pair).backward()
            taught.append(max(p.grad.abs().max().item() for p in turns.landmarker.parameters() if p.grad is not None))
            turns.advance()
        return turns

    paper_d.adapted(learner, model, paper_d.CHOSEN, paper_d.TURNS, fit)
    assert [each > 0 for each in taught] == [method == "alternating", True]


@pytest.mark.parametrize("network", ["slpt", "hourglass", "HRNet"])
def test_landmarkers_and_views(network):
    model, pair = a_pair(paper_d.Learner("source", network=network))
    assert paper_d.predict(model, pair.photo.image).shape == (2, 68, 2)
    images = pair.photo.image / 255
    for operator, k in (("pixels", 1), ("sobel colour", 3), ("spatial", 2), ("canny", 1)):
        view = paper_d.view_of(operator, model, pooled=2)
        assert view(images).shape == (2, k, 12, 12)
        other = images.clone()
        other[..., 0] = 0.5  # beyond the box
        assert operator == "canny" or torch.equal(view(other), view(images))  # whose blur sees farther


def test_video_frames_need_the_folder_of_real_data(monkeypatch):
    monkeypatch.delenv("LDDMMLIB_REAL_DATA", raising=False)
    with pytest.raises(RuntimeError, match="LDDMMLIB_REAL_DATA: needed the folder"):
        paper_d.faces("frames", "train", 0, 3, 64)


def made_up(seeds=3, n=40):
    """Errors in which each letter of a network's name, and of a way's, is what it costs."""
    keys = {key for kinds in claims.claims().values() for claim in kinds.values() for part in claim
            for pair in part.values() for key in pair}  # fmt: skip
    rng = np.random.default_rng(0)
    noise = rng.random((1, n))
    return {", ".join(key): 5 + noise + 0.1 * len("".join(key[1:])) + 0.01 * rng.random((seeds, n))
            for key in sorted(keys)}  # fmt: skip


def test_each_comparison_is_ours_against_the_rival():
    told = claims.judge(made_up())
    assert set(told) == {f"D{i}" for i in range(1, 8)} == set(MATRIX.claims)
    for name, kinds in claims.claims().items():
        for kind, claim in kinds.items():
            for what, keys in (claim.primary | claim.exploratory).items():
                row = told[name][kind][what]
                assert row["primary"] == (what in claim.primary)
                assert len({key[0] for key in keys}) == 1, "measured on one set"
                cost = [0.1 * len("".join(key[1:])) for key in keys]
                want = sum(s * c for s, c in zip((1, -1) if len(keys) == 2 else (1, -1, -1, 1), cost, strict=True))
                if " within " not in what:
                    assert row["difference"] == pytest.approx(want, abs=0.01), what


def test_every_network_is_compared_and_in_the_matrix():
    named = {key.split(", ")[1] for key in made_up()}
    wanted = {*MATRIX.sizes["notebook"].networks, *MATRIX.sizes["notebook"].later}
    assert named == wanted == set(paper_d.LEARNERS)
    few = claims.judge({k: v for k, v in made_up().items() if "joint" not in k})
    assert few["D4"] == {}
    one = claims.judge({k: v[:1] if k.endswith("joint") else v for k, v in made_up().items()})
    assert one["D4"]["synthetic"]["painterly: alternating against joint"]["verdict"] == "reported"
