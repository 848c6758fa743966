"""An experiment on a public data set: a small one, as its makers write it, from its script to the recorded result."""

import json
import shutil

import numpy as np
import pytest
import torch

from lddmmlib import metrics
from lddmmlib.data import contact_sheet, crops, images, mat
from lddmmlib.experiments import __main__, _benchmark, _reads, _record, _runs, experiments
from lddmmlib.faces import schemes, synthetic
from tests.data_scripts.test_datasets import BUILD, DATA, Tiny, _dataset


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Drawn faces in the folders of 300-W, two in each, converted by its script."""
    folder = tmp_path_factory.mktemp("set")
    data, tiny = DATA["300w"], Tiny(folder / "300W")
    for k, part in enumerate(data.parts):
        for i in range(2):
            image, points, *_ = synthetic.sample(2 * k + i, "studio", 96)
            tiny.pts(f"{part}/face_{i}.pts", points.numpy() + 1)
            images.save(image.permute(1, 2, 0).flip(2).numpy(), tiny.folder / part / f"face_{i}.png")
    few = data._replace(parts=dict.fromkeys(data.parts, 2))
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(contact_sheet, "draw", lambda *_: np.zeros((9, 9, 3), np.uint8))  # it takes its time
    assert _dataset.main(few, [str(tiny.folder), "--out", str(folder / "json")]) == 0
    monkeypatch.undo()
    return folder


@pytest.fixture
def spoilt(converted, tmp_path):
    """A copy of the folder, whose splits a test may spoil."""
    shutil.copytree(converted, tmp_path / "copy")
    return tmp_path / "copy" / "json"


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    """Results and checkpoints in a folder of their own; of the code that runs read, the data alone."""
    for cached in (_benchmark.read, _benchmark.views, _benchmark.measured, _benchmark._train_photos):
        cached.cache_clear()
    monkeypatch.setattr(_record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(_record, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(_record, "judging_code", lambda matrix: {})
    monkeypatch.setattr(_reads, "digests", lambda files: {})
    monkeypatch.setattr(_reads, "closure", lambda text: set())
    return tmp_path / "results"


def run(name, folder, *more):
    return __main__.main(["run", name, "--data", str(folder), "--scale", "smoke", *more])


def told(results, name, data="300w"):
    return json.loads((results / f"{name}.benchmark-{data}-smoke.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "what", "networks", "claims"),
    [
        ("lddmm_face", "full 68 landmark", 2, {"A1"}),
        ("subpixel", "test by box", 2, {"C2", "C3", "C4"}),
        ("wasserstein", "full 68 NME", 1, {"E1"}),
    ],
)
def test_the_command_gives_the_table_of_a_benchmark(
    converted, results, name, what, networks, claims, capsys, monkeypatch
):
    sized = _benchmark._sized
    monkeypatch.setattr(_benchmark, "_sized", lambda *x: sized(*x)._replace(networks=sized(*x).networks[:networks]))
    assert run(name, converted / "json") == 0
    record = told(results, name)
    counts = {"train": 6, "common": 4, "challenge": 2, "full": 6, "test": 4}
    assert record["figures"]["faces"] == counts
    assert record["provenance"]["scale"] == "benchmark-300w-smoke"
    assert "6 faces to learn from; to measure on 4 of common" in record["provenance"]["data"]
    table = record["figures"]["percent"][what]
    assert all(row.keys() >= {"value", "interval", "FR 8", "FR 10", "AUC 7", "AUC 10"} for row in table.values())
    verdicts = record["figures"]["verdicts"]
    assert verdicts.keys() == claims
    assert all(kinds.keys() == {"benchmark"} for kinds in verdicts.values())
    for path in (results / f"{name}.benchmark-300w-smoke").glob("*.npz"):
        errors = _runs.load(path).errors
        assert all(len(each) == counts[what.split(",")[0].split()[0]] for what, each in errors.items())
        assert all(each.isfinite().all() for each in errors.values())
    assert not [path for path in results.iterdir() if ".benchmark-" not in path.name]
    capsys.readouterr()
    assert run(name, converted / "json") == 0  # nothing is trained twice
    assert len(capsys.readouterr().out.splitlines()) == 1


def splits(folder):
    return json.loads((folder / "300w_train.json").read_text(encoding="utf-8")), folder / "300w_train.json"


def changed(folder, key, value):
    told, path = splits(folder)
    told[key] = value(told[key])
    path.write_text(json.dumps(told), encoding="utf-8")


def only(folder, name):
    for path in folder.glob("*.json"):
        path.rename(folder / path.name.replace("300w", name)) if name else path.unlink()


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("lddmm_face", shutil.rmtree, "helen194 or cofw, which lddmm_face is run on, got no such folder"),
        ("lddmm_face", lambda x: only(x, ""), "no json in it; write it by python data_scripts/300w.py FOLDER"),
        ("lddmm_face", lambda x: only(x, "menpo"), "got menpo_challenge.json, menpo_common.json"),
        ("wasserstein", lambda x: only(x, "aflw"), "splits of 300w or wflw, which wasserstein is run on, got aflw_"),
        ("coupled_regression", lambda x: None, "needed, with --data, one of lddmm_face, subpixel"),
        ("lddmm_face", lambda x: changed(x, "dataset", lambda t: [t[0] | {"whole": False}]), "got 6 of 6; mend what"),
        ("lddmm_face", lambda x: changed(x, "annotations", lambda t: t[:-1]), "needed a whole split, for a published"),
        ("subpixel", lambda x: changed(x, "dataset", lambda t: []), "data_scripts wrote, got another json"),
        ("subpixel", lambda x: changed(x, "images", lambda t: []), "wrote, got 6 malformed, 0 faces read"),
        ("subpixel", lambda x: splits(x)[1].write_text("{", encoding="utf-8"), "a script of data_scripts wrote, got"),
        ("subpixel", lambda x: shutil.rmtree(x.parent / "300W" / "afw"), "needed the images where the script found"),
        ("wasserstein", lambda x: [p.unlink() for p in x.glob("*.json") if "train" not in p.name], "split alone"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused_in_a_sentence(spoilt, results, name, spoil, said, capsys):
    spoil(spoilt)
    assert run(name, spoilt) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not results.exists()


def test_a_data_set_under_the_name_of_another_is_refused(spoilt, capsys):
    only(spoilt, "wflw")
    assert run("lddmm_face", spoilt) == 2
    assert "wflw_train.json: needed the split wflw_train, got 300w_train; convert that data" in capsys.readouterr().err


def test_a_split_that_was_converted_in_part_is_refused(spoilt, capsys, monkeypatch):
    monkeypatch.setattr(contact_sheet, "draw", lambda *_: np.zeros((9, 9, 3), np.uint8))
    (spoilt.parent / "300W" / "afw" / "face_0.png").unlink()
    few, out = DATA["300w"]._replace(parts=dict.fromkeys(DATA["300w"].parts, 2)), spoilt.parent / "part"
    assert _dataset.main(few, [str(spoilt.parent / "300W"), "--out", str(out), "--partial"]) == 1
    assert run("subpixel", out) == 2
    assert "300w_train.json: needed a whole split, for a published figure is of one, got 5 of 6" in (
        capsys.readouterr().err
    )


def test_errors_are_divided_by_lengths_on_the_photograph(converted):
    """A shift of the photograph's landmarks gives the same error on photograph and crop."""
    shift = torch.tensor([2.0, -1.0], dtype=torch.float64)
    for split, names in {"common": ("corners", "pupils"), "test": ("box",)}.items():
        path = converted / "json" / f"300w_{split}.json"
        points = torch.stack([face.landmarks for face in _benchmark.read(path)])
        test = _benchmark.measured(path, "300w", split, 48)
        assert test.lengths.keys() == set(names)
        found = torch.stack([crops.apply(crop.affine, x + shift) for crop, x in zip(test.crops, points, strict=True)])
        truth = torch.stack([crop.landmarks for crop in test.crops])
        for name, length in test.lengths.items():
            one, other = metrics.nme(found, truth, length), metrics.nme(points + shift, points, name, "300w-68")
            torch.testing.assert_close(one, other)


def test_a_data_set_with_boxes_of_its_own_is_divided_by_these(tmp_path, monkeypatch):
    monkeypatch.setattr(mat, "AFLW_TRAIN", 3)
    monkeypatch.setattr(contact_sheet, "draw", lambda *_: np.zeros((9, 9, 3), np.uint8))
    data, tiny = DATA["aflw"], Tiny(tmp_path / "set" / "aflw")
    BUILD["aflw"](tiny)
    few = {"test_frontal": data.splits["test_frontal"]._replace(faces=None, only=bool)}
    data = data._replace(parts={"train": 3, "test": 2}, splits=data.splits | few)
    assert _dataset.main(data, [str(tiny.folder), "--out", str(tmp_path / "json")]) == 0
    test = _benchmark.measured(tmp_path / "json" / "aflw_test.json", "aflw", "test", 32)
    scale = torch.tensor([crop.affine[0, 0].item() for crop in test.crops]).double()
    torch.testing.assert_close(test.lengths["box"] / scale, torch.full((2,), 46.0).double())  # from 4 to 50, 3 to 49
    torch.testing.assert_close(test.lengths["diagonal"] / scale, torch.full((2,), 46 * 2**0.5).double())


@pytest.mark.parametrize("name", ["lddmm_face", "wasserstein", "subpixel"])
def test_landmarks_that_are_all_off_by_as_much_err_by_that(converted, tmp_path, monkeypatch, name):
    (matrix,) = _benchmark.found(converted / "json", name, experiments()[name], "smoke").values()
    part, size, bench = matrix.train.args
    path = bench.files["full"]
    test = _benchmark.measured(path, "300w", "full", size.side)
    truth = test.marked("300w-68").points["300w-68"]
    off = truth + torch.tensor([3.0, 4.0])
    monkeypatch.setattr(_benchmark.lddmm_face, "predict", lambda *_: off)
    monkeypatch.setattr(_benchmark.wasserstein, "predict", lambda *_: {"bc": off})
    monkeypatch.setattr(_benchmark.subpixel, "read_all", lambda *_: ({"window 5": off.double()}, truth.double()))
    network = {"lddmm_face": "heat 68", "wasserstein": "L2 1", "subpixel": "none"}[name]
    errors = part.teach(network, size, bench, tmp_path, "cpu").measure(test)
    (way,) = {what.partition(", ")[2] for what in errors}
    for by, length in test.lengths.items():
        what = {"lddmm_face": " 68 landmark", "wasserstein": " 68 NME", "subpixel": ""}[name]
        each = errors[f"{what}{'' if by == 'corners' else ' by pupils'}, {way}"]
        torch.testing.assert_close(each.double(), 500 / length, rtol=1e-4, atol=0)


def test_the_fingerprint_is_of_landmarks_and_images_wherever_they_lie(converted, spoilt):
    def given(folder):
        _benchmark.read.cache_clear()
        (matrix,) = _benchmark.found(folder, "lddmm_face", experiments()["lddmm_face"], "smoke").values()
        assert _record.code(matrix) == matrix.given
        return _runs.digest(matrix)

    before = given(converted / "json")
    assert given(spoilt) == before
    picture = spoilt.parent / "300W" / "ibug" / "face_1.png"
    images.save(255 - images.load(picture), picture)
    other = given(spoilt)
    changed(spoilt, "annotations", lambda some: [some[0] | {"keypoints": [7.5, *some[0]["keypoints"][1:]]}, *some[1:]])
    assert len({before, other, given(spoilt)}) == 3


@pytest.mark.parametrize(
    ("name", "data", "networks"),
    [
        ("lddmm_face", "helen194", {"flow 194": 3, "heat 194": 3}),
        ("lddmm_face", "aflw", {}),
        ("subpixel", "aflw", dict.fromkeys(experiments()["subpixel"].sizes["full"].networks, 3)),
        ("wasserstein", "wflw", {f"{way} {k}": 3 for k in ("17", "98", "68 of 98") for way in ("L2 1", "W 3")}),
        ("wasserstein", "cofw", {}),  # those of 29 landmarks learn from another painter
    ],
)  # fmt: skip
def test_networks_that_learn_the_scheme_of_a_data_set(name, data, networks):
    size = _benchmark._sized(name, experiments()[name], "full", _benchmark.PROTOCOLS[data])
    assert dict.fromkeys(size.networks, size.seeds) | dict(size.later) == networks


def test_protocols_are_those_of_the_scripts():
    for name, of in _benchmark.PROTOCOLS.items():
        splits = {f"{data.name}_{split}" for data in DATA.values() for split in data.splits}
        assert all(f"{name}_{split}" in splits or split in splits for split in ("train", *of.tests))
        assert DATA[name].points == (schemes.get(of.scheme).n,)
        assert of.title == DATA[name].title
