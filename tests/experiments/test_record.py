import json
import sys

import numpy as np
import pytest

from lddmmlib.experiments import Experiment, __main__, _record, experiments

NAMES = {
    *("shape_statistics", "annotator_agreement", "shape_spread", "nme_curve_floor", "geometry_prior", "yardstick"),
    *("curve_norm", "euler_folds", "matching_real", "sparse_completion", "lars_knots", "heatmap_table"),
    *("warp_accuracy", "transport_growth", "style_gap"),
}
SCALED = {"realism": ("full",), "realism_small": ("notebook", "full")}
SCALED |= {"subpixel": ("notebook", "full"), "subpixel_hrnet": ("full",)}
SIZED = {f"{name}.{scale}" for name, scales in SCALED.items() for scale in scales}


@pytest.fixture
def declared(tmp_path, monkeypatch):
    """A module of its own that an experiment may read."""
    (tmp_path / "read_by_experiment.py").write_text("answer = 42\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "read_by_experiment.py"
    sys.modules.pop("read_by_experiment", None)


def measure():
    return {"share": 1 / 3, "rows": [(1.0, 123456.0)], "count": 7, "said": "yes"}


def experiment():
    # measure() lives in a test module: tell of a module that can be found again
    return Experiment(measure, "How much?", "nothing real", ("read_by_experiment",), ("A1",))


@pytest.fixture(autouse=True)
def _of_the_package(monkeypatch):
    monkeypatch.setattr(measure, "__module__", "lddmmlib.experiments._record")


def test_a_run_is_recorded_with_its_provenance(declared, tmp_path):
    path = _record.run("trial", experiment(), tmp_path / "results")
    assert path == tmp_path / "results" / "trial.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["figures"] == {"share": 0.3333, "rows": [[1.0, 123500.0]], "count": 7, "said": "yes"}
    assert (record["name"], record["question"], record["claims"]) == ("trial", "How much?", ["A1"])
    told = record["provenance"]
    assert set(told) == {"data", "date", "seconds", "commit", "python", "numpy", "torch", "machine", "code"}
    assert set(told["code"]) == {"read_by_experiment", "lddmmlib.experiments._record"}
    assert told["data"] == "nothing real"
    assert "cores" in told["machine"]


def test_status_is_missing_then_present_then_stale_by_name(declared, tmp_path):
    assert _record.status("trial", experiment(), tmp_path) == "missing"
    _record.run("trial", experiment(), tmp_path)
    assert _record.status("trial", experiment(), tmp_path) == "present"
    declared.write_bytes(b"answer = 42\r\n")  # a checkout with other line ends
    assert _record.status("trial", experiment(), tmp_path) == "present"
    declared.write_text("answer = 43\n", encoding="utf-8")
    assert _record.status("trial", experiment(), tmp_path) == "stale: read_by_experiment changed"


def test_words_about_code_do_not_make_a_result_stale():
    code = 'x = 1\n\n\ndef f(y):\n    z = "# no comment"\n    return y + x\n'
    told = '"""What."""\n# why\n' + code.replace("(y):\n", '(y):\n    """How\n\n    it is."""\n')
    assert _record.bare(told) == _record.bare(code)
    assert _record.bare(code.replace("y + x", "y - x")) != _record.bare(code)
    assert _record.bare(code.replace("# no", "# a")) != _record.bare(code)


def test_a_module_declared_later_makes_the_result_stale(declared, tmp_path):
    _record.run("trial", experiment(), tmp_path)
    more = experiment()._replace(reads=("read_by_experiment", "lddmmlib.metrics"))
    assert _record.status("trial", more, tmp_path) == "stale: lddmmlib.metrics changed"


def test_a_module_that_does_not_exist_is_refused(tmp_path):
    wrong = experiment()._replace(reads=("no_such_module_anywhere",))
    with pytest.raises(ValueError, match="needed the name of a module, got 'no_such_module_anywhere'"):
        _record.run("trial", wrong, tmp_path)


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_figures_that_were_not_measured_are_refused(figure):
    with pytest.raises(ValueError, match="figures: needed finite numbers"):
        _record.rounded({"a": [figure]})


def test_figures_of_another_kind_are_refused():
    with pytest.raises(TypeError, match="figures: needed numbers"):
        _record.rounded({"a": object()})


def test_real_data_says_what_it_needs(monkeypatch, tmp_path):
    monkeypatch.delenv("LDDMMLIB_REAL_DATA", raising=False)
    with pytest.raises(RuntimeError, match="LDDMMLIB_REAL_DATA: needed the folder of real test data"):
        _record.real_data()
    monkeypatch.setenv("LDDMMLIB_REAL_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(RuntimeError, match="which is no folder"):
        _record.real_data()
    monkeypatch.setenv("LDDMMLIB_REAL_DATA", str(tmp_path))
    assert _record.real_data() == tmp_path


# The command line


def test_list_and_status_name_every_experiment(capsys):
    for command in ("list", "status"):
        assert __main__.main([command]) == 0
        scaled = SCALED.keys() if command == "list" else SIZED
        assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == NAMES | scaled


def test_running_without_data_or_name_fails_with_a_sentence(capsys, monkeypatch):
    monkeypatch.delenv("LDDMMLIB_REAL_DATA", raising=False)
    assert __main__.main(["run", "nme_curve_floor"]) == 2
    assert "set it to that folder" in capsys.readouterr().err
    assert __main__.main(["run", "floor"]) == 2
    assert "needed one of shape_statistics" in capsys.readouterr().err


# The recorded results


RECORDED = NAMES | {name for name in SIZED if (_record.RESULTS / f"{name}.json").exists()}


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_recorded_results_say_where_they_come_from_and_name_no_path(name):
    text = (_record.RESULTS / f"{name}.json").read_text(encoding="utf-8")
    record = json.loads(text)
    plain, _, scale = name.partition(".")
    declared = experiments()[plain]
    assert (record["name"], record["question"]) == (plain, declared.question)
    assert record["provenance"].get("scale", "") == scale
    assert record["claims"] == list(declared.claims)
    assert record["figures"]
    assert record["provenance"]["code"].keys() == {*declared.reads, declared.measure.__module__}
    assert not any(word in text for word in ("/home", "/work", "/root", "/tmp", "\\\\"))


def trains(scale, device, seeds, folder):
    return {"told": [scale, device, seeds, folder.name], "errors": {"ours": [[0.031, 0.12]] * seeds}}


def test_an_experiment_of_scales_has_a_result_of_each(declared, tmp_path, monkeypatch):
    monkeypatch.setattr(trains, "__module__", "lddmmlib.experiments._record")
    sized = Experiment(trains, "How much?", "nothing real", ("read_by_experiment",), ("A1",), ("notebook", "full"))
    path = _record.run("trial", sized, tmp_path, scale="full", seeds=2)
    assert path == tmp_path / "trial.full.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["figures"] == {"told": ["full", "cpu", 2, "trial.full"]}
    assert (record["provenance"]["scale"], record["provenance"]["seeds"]) == ("full", 2)
    with np.load(path.with_suffix(".npz")) as errors:
        np.testing.assert_allclose(errors["ours"], [[0.031, 0.12]] * 2, rtol=1e-3)
    assert _record.status("trial", sized, tmp_path, "full") == "present"
    assert _record.status("trial", sized, tmp_path, "notebook") == "missing"
    with pytest.raises(ValueError, match="scale: needed one of 'notebook', 'full'; got ''"):
        _record.run("trial", sized, tmp_path)


def test_a_scale_that_is_not_there_is_refused_by_the_command(capsys):
    assert __main__.main(["run", "curve_norm", "--scale", "full"]) == 2
    assert "needed no --scale, got 'full'" in capsys.readouterr().err
