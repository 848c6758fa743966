"""The landmarker: own landmarks from few labels, doubts, other schemes, files, the program; on drawn faces alone."""

import contextlib
import io
import math
import warnings
from functools import cache

import numpy as np
import pytest
import torch

from lddmmlib import landmarker, metrics
from lddmmlib.data import crops, formats, images
from lddmmlib.faces import schemes, synthetic
from lddmmlib.landmarker import Landmarker
from lddmmlib.methods import few_labels

CHOSEN = [45, 36, 30, 48, 54, 8]  # in an order of their own
NAMES = ["right eye", "left eye", "nose", "left mouth", "right mouth", "chin"]


@cache
def sample(i, scheme, size):
    return synthetic.sample(i, "studio", size=size, scheme=scheme)


def drawn(first, count, scheme="300w-68", size=96):
    faces, whole = ([sample(i, s, size) for i in range(first, first + count)] for s in (scheme, "300w-68"))
    return [f.image for f in faces], torch.stack([f.landmarks for f in faces]), [crops.box(f.landmarks) for f in whole]


@pytest.fixture(scope="module")
def trained():
    """A landmarker of six own points, a fifth of them missing; and what `fit` printed."""
    pictures, points, boxes = drawn(0, 15)
    points = points[:, CHOSEN].double()
    points[torch.rand(points.shape[:2], generator=torch.Generator().manual_seed(2)) < 0.2] = torch.nan
    patch = pytest.MonkeyPatch()
    patch.setattr(few_labels, "BATCH", 4)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        mine = Landmarker(names=NAMES).fit(pictures, points, boxes, steps=8, progress=False)
    patch.undo()
    return mine, said.getvalue()


@pytest.fixture(scope="module")
def shipped():
    return Landmarker.pretrained()


def test_it_says_what_it_guesses_and_how_long_it_takes(trained):
    mine, said = trained
    assert mine.scheme.flip == (1, 0, 2, 4, 3, 5)
    assert mine.scheme.corners == (1, 0)
    assert mine.scheme.curves == {}
    assert "flip: right eye - left eye, left mouth - right mouth  (a guess; if it is wrong, give flip=)" in said
    assert "corners: left eye - right eye  (a guess" in said
    assert "12 faces to learn from, 3 held out; 8 steps" in said
    assert "minutes" in said
    assert "of 3 held-out faces" in said


def test_it_learns_own_landmarks(trained, capsys):
    mine, _ = trained
    pictures, points, boxes = drawn(40, 6)
    found = mine.evaluate(pictures, points[:, CHOSEN], boxes)
    assert found.nme.mean() < 0.6 * found.mean_shape.mean()
    wanted = metrics.nme(mine.predict(pictures, boxes).landmarks, points[:, CHOSEN].double(), "corners", mine.scheme)
    torch.testing.assert_close(found.nme, wanted)
    assert f"{100 * found.nme.mean():.2f}; the mean shape" in capsys.readouterr().out
    assert 0 <= found.coverage <= 1
    assert -1 <= found.ranking <= 1


def test_the_spread_holds_four_fifths_of_the_held_out_errors(trained):
    mine, _ = trained
    pictures, points, boxes = drawn(0, 15)
    held = [4, 9, 14]
    off = mine.predict([pictures[i] for i in held], [boxes[i] for i in held])
    error = (off.landmarks - points[held][:, CHOSEN]).norm(dim=-1)
    labelled = torch.rand(15, 6, generator=torch.Generator().manual_seed(2))[held] >= 0.2
    share = (error <= off.spread + 1e-9)[labelled].double().mean()
    assert landmarker.LEVEL - 0.1 <= share <= landmarker.LEVEL + 0.1  # the quantile of 18 numbers at most
    assert 0 <= mine.figures["coverage"] <= 1


def test_a_file_restores_it(trained, tmp_path):
    mine, _ = trained
    again = Landmarker.load(mine.save(tmp_path / "mine"))
    pictures, _, boxes = drawn(40, 2)
    one, other = (marker.predict(pictures, boxes) for marker in (mine, again))
    torch.testing.assert_close(one.landmarks, other.landmarks)
    torch.testing.assert_close(one.spread, other.spread)
    assert again.scheme == mine.scheme
    assert (again.square, again.usual, again.figures) == (mine.square, mine.usual, mine.figures)
    assert torch.equal(again.mean, mine.mean)
    with pytest.raises(ValueError, match="path: needed a file that `save` wrote"):
        Landmarker.load(tmp_path / "other")


@pytest.fixture(scope="module", params=["coordinates", "lddmm"])
def moved(request):
    """A landmarker of each method that draws no maps, of six own points, three of them a curve; a label is missing."""
    pictures, points, boxes = drawn(0, 15)
    points = points[:, CHOSEN].double()
    points[4, 2] = torch.nan
    patch = pytest.MonkeyPatch()
    patch.setattr(few_labels, "BATCH", 4)
    with contextlib.redirect_stdout(io.StringIO()):
        mine = Landmarker(request.param, names=NAMES, curves={"mouth": [3, 5, 4]})
        mine.fit(pictures, points, boxes, steps=4, progress=False)
    patch.undo()
    return mine


def test_methods_that_move_the_mean_shape_learn_and_are_restored(moved, tmp_path, capsys):
    pictures, points, boxes = drawn(40, 6)
    found = moved.evaluate(pictures, points[:, CHOSEN], boxes)
    assert found.nme.mean() < 0.6 * found.mean_shape.mean()
    again = Landmarker.load(moved.save(tmp_path / "mine"))
    one, other = (marker.predict(pictures, boxes) for marker in (moved, again))
    assert torch.equal(one.landmarks, other.landmarks)
    assert torch.equal(one.spread, other.spread)
    assert (again.method, again.scheme, again.figures) == (moved.method, moved.scheme, moved.figures)


def test_where_no_maps_are_drawn_the_spread_is_of_held_out_errors_and_doubts_nothing(moved):
    """It holds four fifths of these errors, is one length for all faces of a size, and another for each landmark."""
    pictures, points, boxes = drawn(0, 15)
    held = [4, 9, 14]
    found = moved.predict([pictures[i] for i in held], [boxes[i] for i in held])
    error = (found.landmarks - points[held][:, CHOSEN]).norm(dim=-1)
    error[0, 2] = torch.nan
    share = (error <= found.spread + 1e-6)[~error.isnan()].double().mean()
    assert landmarker.LEVEL - 0.1 <= share <= landmarker.LEVEL + 0.1
    side = torch.tensor([max(boxes[i][2:]) for i in held])
    each = found.spread / side[:, None]
    torch.testing.assert_close(each, each[:1].expand(3, -1))
    assert len(set(each[0].tolist())) == 6
    assert moved.usual == math.inf
    assert 0 <= moved.figures["coverage"] <= 1


def test_a_flow_is_not_exported(tmp_path):
    mine = Landmarker("lddmm", names=NAMES)
    mine._takes(torch.nn.Identity(), 32, {}, (1.25, 0.0, 0.0), torch.rand(6, 2).double())
    with pytest.raises(ValueError, match="method: needed 'heatmap' or 'coordinates', to export, got 'lddmm'"):
        mine.export(tmp_path / "mine.onnx")


def test_what_is_told_is_not_guessed_and_minutes_make_steps(monkeypatch, capsys):
    monkeypatch.setattr(few_labels, "BATCH", 2)
    monkeypatch.setattr(few_labels, "seconds_a_step", lambda *_: 9900.0)
    pictures, points, boxes = drawn(0, 10)
    told = schemes.custom("told", NAMES, corners=(1, 0), curves={"mouth": [3, 5, 4]})
    mine = Landmarker(scheme=told, start="scratch")
    mine.fit(pictures, points[:, CHOSEN], boxes, minutes=500, progress=False)
    said = capsys.readouterr().out
    assert "; 2 steps of 9.9e+03 s, as measured: about 330.0 minutes" in said  # 3 would leave no time to measure
    assert "curves: left mouth - chin - right mouth\n" in said
    assert "corners: left eye - right eye\n" in said
    assert "flip: right eye - left eye, left mouth - right mouth  (a guess" in said
    assert (mine.scheme.name, mine.scheme.curves) == ("told", {"mouth": (3, 5, 4)})


def labels(**wrong):
    pictures, points, boxes = drawn(0, 10, size=32)
    return {"pictures": pictures, "points": points[:, CHOSEN].double(), "boxes": boxes} | wrong


def lost(where):
    points = torch.rand(10, 6, 2).double()
    points[where] = torch.nan
    return points


@pytest.mark.parametrize(
    ("made", "given", "said"),
    [
        ({}, lambda: {k: v[:3] for k, v in labels().items()}, "pictures: needed 10 labelled faces or more, got 3"),
        ({}, lambda: labels(points=lost(slice(None))), "points: needed one label or more of each face"),
        ({}, lambda: labels(points=lost((slice(None), 2))), "labels of each landmark, got none of landmark .2."),
        ({"names": NAMES[:5]}, labels, "points: needed 5 landmarks, got 6"),
        ({"flip": [1, 2, 0, 3, 4, 5]}, labels, "flip: needed each of 6 landmarks once, in pairs"),
        ({}, lambda: labels() | {"minutes": 0}, "minutes: needed a number > 0"),
    ],
)  # fmt: skip
def test_labels_that_teach_nothing_are_refused(made, given, said):
    with pytest.raises(ValueError, match=said):
        Landmarker(**made).fit(**given(), steps=1)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: Landmarker("momenta"), "method: needed one of 'heatmap', 'coordinates', 'lddmm'"),
        (lambda: Landmarker("lddmm", scheme="aflw-19"), "scheme: needed one that paper A's curves are known of"),
        (lambda: Landmarker("lddmm", names=NAMES, curves={"a": [0, 1], "b": [1, 2]}), "in one curve at most"),
        (lambda: Landmarker(start="imagenet"), "start: needed one of 'shipped', 'scratch'"),
        (lambda: Landmarker(scheme="300w-68", names=NAMES), "scheme: needed it, or names, flip, curves and corners"),
        (lambda: Landmarker().predict(torch.zeros(3, 9, 9).byte()), "Landmarker: needed a trained one"),
        (lambda: Landmarker().save("x"), "Landmarker: needed a trained one"),
    ],
)
def test_what_cannot_be_is_refused(ask, said):
    with pytest.raises(ValueError, match=said):
        ask()


@pytest.fixture
def few_teachers(monkeypatch):
    monkeypatch.setattr(landmarker, "TEACHERS", 12)
    landmarker._drawn.cache_clear()
    yield
    landmarker._drawn.cache_clear()


# ------------------------------------------------------------------------------------------------------- doubts


def doubts(marker, pictures, boxes):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        marker.predict(pictures, boxes)
    return " | ".join(str(each.message) for each in said)


def test_faces_as_it_knows_them_raise_no_doubt(shipped):
    pictures, _, boxes = drawn(20, 6)
    assert doubts(shipped, pictures, boxes) == ""


@pytest.mark.parametrize(
    ("turn", "scale", "sign"), [(60, 1, "turned"), (0, 0.7, "small in its box"), (0, 1.6, "larger than its box")]
)
def test_a_pose_unlike_the_mean_face_is_doubted(shipped, turn, scale, sign):
    cos, sin = scale * math.cos(math.radians(turn)), scale * math.sin(math.radians(turn))
    posed = (shipped.mean - 47.5) @ torch.tensor([[cos, sin], [-sin, cos]]).to(shipped.mean) + 47.5
    (said,) = shipped._doubts(posed, torch.zeros(68))
    assert sign in said
    assert shipped._doubts(shipped.mean, torch.zeros(68)) == []


def test_what_is_no_face_in_its_box_is_doubted(shipped):
    pictures, _, boxes = drawn(20, 4)
    turned = [picture.rot90(1, (1, 2)).contiguous() for picture in pictures]
    x, y, w, h = np.array(boxes).T
    back = list(zip(y, 96 - x - w, h, w, strict=True))  # the boxes turn with the pictures
    assert "turned" in doubts(shipped, turned, back) or "nothing like" in doubts(shipped, turned, back)
    wide = list(zip(x - w / 2, y - h / 2, 2 * w, 2 * h, strict=True))
    assert "small in its box" in doubts(shipped, pictures, wide) or "nothing like" in doubts(shipped, pictures, wide)
    noise = torch.randint(0, 256, (2, 3, 96, 96), generator=torch.Generator().manual_seed(0)).byte()
    assert "nothing like" in doubts(shipped, noise, boxes[:2])


def test_a_small_or_gray_face_is_found_with_a_spread_in_its_own_pixels(shipped):
    image, points, *_ = synthetic.sample(21, "studio", size=200)
    small, at = torch.nn.functional.avg_pool2d(image.float(), 8).round().byte(), (points.double() - 3.5) / 8  # 25 px
    size = metrics.reference_distance(points.double(), "corners")
    for picture, truth, scale in ((small, at, 8.0), (image.float().mean(0, True).byte(), points.double(), 1.0)):
        found = shipped.predict(picture, [crops.box(truth)])
        assert scale * metrics.errors(found.landmarks[0], truth, 1.0).mean() < 0.15 * size
        assert (scale * found.spread[0]).median() < 0.3 * size


def test_a_detector_that_finds_nothing_leaves_nan(shipped, few_teachers):
    pictures, _, boxes = drawn(20, 2)
    answers = iter([boxes[0], None])
    with pytest.warns(UserWarning, match="no face found: 1 of 2 pictures, picture 1"):
        found = shipped.predict(pictures, lambda image: next(answers), scheme="cofw-29")
    assert found.landmarks[0].isfinite().all()
    assert found.landmarks[1].isnan().all()
    assert found.boxes == [boxes[0], None]


# ---------------------------------------------------------------------------------------- other schemes, files


def test_another_scheme_is_completed_and_says_how(shipped, few_teachers):
    pictures, points, boxes = drawn(30, 4, "wflw-98")
    own, found = shipped.predict(pictures, boxes), shipped.predict(pictures, boxes, scheme="wflw-98")
    for i, j in schemes.shared("300w-68", "wflw-98"):
        assert torch.equal(found.landmarks[:, j], own.landmarks[:, i])
    assert metrics.nme(found.landmarks, points.double(), "corners", "wflw-98").mean() < 0.08
    assert "completed by paper B's H from 12 drawn faces" in found.how
    assert found.spread.isnan().all()
    assert own.how == "found by the network"


def test_own_landmarks_tell_no_other_scheme(trained):
    mine, _ = trained
    with pytest.raises(ValueError, match="scheme: needed the own one, 'own-6', got '300w-68'"):
        mine.predict(torch.zeros(3, 96, 96).byte(), [(0, 0, 96, 96)], scheme="300w-68")


def test_the_program_marks_a_folder(tmp_path, capsys):
    (tmp_path / "in" / "more").mkdir(parents=True)
    pictures, _, _ = drawn(20, 2)
    for picture, path in zip(pictures, ("face.png", "more/face.png"), strict=True):  # two of one name
        images.save(picture.permute(1, 2, 0).flip(2).numpy(), tmp_path / "in" / path)
    out, sheet = tmp_path / "found.json", tmp_path / "found.png"
    asked = ["predict", str(tmp_path / "in"), "--out", str(out), "--sheet", str(sheet)]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert landmarker.main(asked) == 0
    assert "whole picture" in str(said[0].message)
    assert capsys.readouterr().out.startswith("2 faces in ")
    found = formats.read(out, root=tmp_path / "in")
    assert [record.image.relative_to(tmp_path / "in").as_posix() for record in found] == ["face.png", "more/face.png"]
    with warnings.catch_warnings(action="ignore"):
        wanted = Landmarker.pretrained().predict(pictures)
    torch.testing.assert_close(torch.stack([record.landmarks for record in found]), wanted.landmarks)
    assert images.load(sheet) is not None
    assert landmarker.main(asked) == 2
    assert "--out: needed a new file" in capsys.readouterr().err
    assert landmarker.main(["predict", str(tmp_path / "none"), "--out", str(tmp_path / "b.json")]) == 2
    assert "an image that can be read" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["heatmap", "coordinates"])
def test_an_exported_network_is_the_same(tmp_path, method):
    """On one layer, since a whole network takes its time."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'lddmmlib[export]'")
    pytest.importorskip("onnxscript", reason="needs onnxscript: pip install 'lddmmlib[export]'")
    mine, net = Landmarker(method, names=NAMES), torch.nn.Conv2d(3, 6, 8, 4, 2)
    torch.nn.init.normal_(net.weight, std=2.0, generator=torch.Generator().manual_seed(0))  # maps with peaks
    if method == "coordinates":
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 12), torch.nn.Unflatten(1, (6, 2)))
    mine._takes(net, 32, {}, (1.25, 0.0, 0.0), torch.rand(6, 2).double())
    mine.radius = torch.arange(1.0, 7.0)
    pictures, _, boxes = drawn(40, 3)
    with warnings.catch_warnings(action="ignore"):  # of the exporter
        session = onnxruntime.InferenceSession(mine.export(tmp_path / "mine.onnx"))
        wanted = mine.predict(pictures, boxes)
    affine = torch.stack([crops.frame(square, mine.size, 1.0) for square in mine.squares(boxes)])
    cut = torch.stack([crops.cut(p, a, mine.size) for p, a in zip(pictures, affine, strict=True)]).float() / 255
    points, spread = (torch.from_numpy(x).double() for x in session.run(None, {"images": cut.numpy()}))
    assert (crops.apply(crops.inverse(affine), points) - wanted.landmarks).abs().max() < 1e-3
    assert (spread / affine[:, :1, 0] - wanted.spread).abs().max() < 1e-3


def test_without_the_exporter_it_says_what_to_install(shipped, monkeypatch, tmp_path):
    monkeypatch.setattr(landmarker.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"onnx and onnxscript, not installed; pip install 'lddmmlib\[export\]'"):
        shipped.export(tmp_path / "a.onnx")


def test_the_rank_correlation_is_spearman_s():
    from scipy.stats import spearmanr

    a, b = torch.rand(2, 20, generator=torch.Generator().manual_seed(0))
    assert landmarker._rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert math.isnan(landmarker._rank_correlation(a[:2], b[:2]))


def test_the_card_says_what_it_is(trained, tmp_path):
    from lddmmlib.networks import shipped as weights

    card = weights.read(trained[0].save(tmp_path / "mine")).card
    assert (card["own"]["names"], card["figures"]["held_out"]) == (NAMES, 3)
