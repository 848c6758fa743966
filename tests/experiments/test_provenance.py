import json
import sys

import numpy as np
import pytest

from lddmmlib.experiments import Experiment, __main__, experiments, provenance

NAMES = {
    *("shape_statistics", "annotator_agreement", "shape_spread", "nme_curve_floor", "geometry_prior", "yardstick"),
    *("curve_norm", "euler_folds", "matching_real", "sparse_completion", "lars_knots", "heatmap_table"),
    *("warp_accuracy", "transport_growth", "style_gap"),
}
SCALED = {"realism": ("full",), "realism_small": ("notebook", "full"), "learned_correction": ("notebook",)}
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
    monkeypatch.setattr(measure, "__module__", "lddmmlib.experiments.provenance")


def test_a_run_is_recorded_with_its_provenance(declared, tmp_path):
    path = provenance.run("trial", experiment(), tmp_path / "results")
    assert path == tmp_path / "results" / "trial.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["figures"] == {"share": 0.3333, "rows": [[1.0, 123500.0]], "count": 7, "said": "yes"}
    assert (record["name"], record["question"], record["claims"]) == ("trial", "How much?", ["A1"])
    told = record["provenance"]
    assert set(told) == {"data", "date", "seconds", "commit", "python", "numpy", "torch", "machine", "code"}
    assert set(told["code"]) == {"read_by_experiment", "lddmmlib.experiments.provenance"}
    assert told["data"] == "nothing real"
    assert "cores" in told["machine"]


def test_status_is_missing_then_present_then_stale_by_name(declared, tmp_path):
    assert provenance.status("trial", experiment(), tmp_path) == "missing"
    provenance.run("trial", experiment(), tmp_path)
    assert provenance.status("trial", experiment(), tmp_path) == "present"
    declared.write_bytes(b"answer = 42\r\n")  # a checkout with other line ends
    assert provenance.status("trial", experiment(), tmp_path) == "present"
    declared.write_text("answer = 43\n", encoding="utf-8")
    assert provenance.status("trial", experiment(), tmp_path) == "stale: read_by_experiment changed"


def test_words_about_code_do_not_make_a_result_stale():
    code = 'x = 1\n\n\ndef f(y):\n    z = "# no comment"\n    return y + x\n'
    told = '"""What."""\n# why\n' + code.replace("(y):\n", '(y):\n    """How\n\n    it is."""\n')
    assert provenance.bare(told) == provenance.bare(code)
    assert provenance.bare(code.replace("y + x", "y - x")) != provenance.bare(code)
    assert provenance.bare(code.replace("# no", "# a")) != provenance.bare(code)


def test_a_module_declared_later_makes_the_result_stale(declared, tmp_path):
    provenance.run("trial", experiment(), tmp_path)
    more = experiment()._replace(reads=("read_by_experiment", "lddmmlib.metrics"))
    assert provenance.status("trial", more, tmp_path) == "stale: lddmmlib.metrics changed"


def test_a_module_that_does_not_exist_is_refused(tmp_path):
    wrong = experiment()._replace(reads=("no_such_module_anywhere",))
    with pytest.raises(ValueError, match="needed the name of a module, got 'no_such_module_anywhere'"):
        provenance.run("trial", wrong, tmp_path)


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_figures_that_were_not_measured_are_refused(figure):
    with pytest.raises(ValueError, match="figures: needed finite numbers"):
        provenance.rounded({"a": [figure]})


def test_figures_of_another_kind_are_refused():
    with pytest.raises(TypeError, match="figures: needed numbers"):
        provenance.rounded({"a": object()})


def test_real_data_says_what_it_needs(monkeypatch, tmp_path):
    monkeypatch.delenv("LDDMMLIB_REAL_DATA", raising=False)
    with pytest.raises(RuntimeError, match="LDDMMLIB_REAL_DATA: needed the folder of real test data"):
        provenance.real_data()
    monkeypatch.setenv("LDDMMLIB_REAL_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(RuntimeError, match="which is no folder"):
        provenance.real_data()
    monkeypatch.setenv("LDDMMLIB_REAL_DATA", str(tmp_path))
    assert provenance.real_data() == tmp_path


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


RECORDED = NAMES | {name for name in SIZED if (provenance.RESULTS / f"{name}.json").exists()}


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_recorded_results_say_where_they_come_from_and_name_no_path(name):
    text = (provenance.RESULTS / f"{name}.json").read_text(encoding="utf-8")
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
    monkeypatch.setattr(trains, "__module__", "lddmmlib.experiments.provenance")
    monkeypatch.setattr(provenance, "RUNS", tmp_path / "runs")
    sized = Experiment(trains, "How much?", "nothing real", ("read_by_experiment",), ("A1",), ("notebook", "full"))
    path = provenance.run("trial", sized, tmp_path, scale="full", seeds=2)
    assert path == tmp_path / "trial.full.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["figures"] == {"told": ["full", "cpu", 2, "trial.full"]}
    assert (record["provenance"]["scale"], record["provenance"]["seeds"]) == ("full", 2)
    with np.load(path.with_suffix(".npz")) as errors:
        np.testing.assert_allclose(errors["ours"], [[0.031, 0.12]] * 2, rtol=1e-3)
    assert provenance.status("trial", sized, tmp_path, "full") == "present"
    assert provenance.status("trial", sized, tmp_path, "notebook") == "missing"
    with pytest.raises(ValueError, match="scale: needed one of 'notebook', 'full'; got ''"):
        provenance.run("trial", sized, tmp_path)


def test_seconds_are_those_of_all_calls_also_of_an_interrupted_one(declared, tmp_path, monkeypatch):
    """A call is stopped in the middle, the next finishes, a third grows the run; other code starts to count anew."""
    clock = iter([100.0, 107.0, 200.0, 203.5, 300.0, 301.0, 400.0, 402.0])  # a start and an end of each call
    stops = iter([True, False, False, False])

    def grows(scale, device, seeds, folder):
        if next(stops):
            raise KeyboardInterrupt
        return {"seeds": seeds}

    grows.__module__ = "lddmmlib.experiments.provenance"
    monkeypatch.setattr(provenance, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(provenance.time, "perf_counter", lambda: next(clock))
    sized = Experiment(grows, "How much?", "nothing real", ("read_by_experiment",), ("A1",), ("notebook",))
    with pytest.raises(KeyboardInterrupt):
        provenance.run("trial", sized, tmp_path, "notebook")
    assert not (tmp_path / "trial.notebook.json").exists()
    for seconds, calls in ((10.5, 2), (11.5, 3)):
        told = json.loads(provenance.run("trial", sized, tmp_path, "notebook").read_text(encoding="utf-8"))
        assert (told["provenance"]["seconds"], told["provenance"]["calls"]) == (seconds, calls)
    declared.write_text("answer = 43\n", encoding="utf-8")
    told = json.loads(provenance.run("trial", sized, tmp_path, "notebook").read_text(encoding="utf-8"))
    assert (told["provenance"]["seconds"], told["provenance"]["calls"]) == (2.0, 1)


def measures_errors():
    return {"share": 0.5, "errors": {"ours": [0.1, 0.3], "rival": [0.2, 0.40001]}}


def compares(errors, times=1):
    return {"A1": {"real": {"a": {"difference": times * float((errors["ours"] - errors["rival"]).mean())}}}}


def test_verdicts_are_taken_anew_from_the_side_file_and_nothing_is_measured(declared, tmp_path, monkeypatch):
    for function in (measures_errors, compares):
        monkeypatch.setattr(function, "__module__", "lddmmlib.experiments.provenance")
    whole = Experiment(measures_errors, "How much?", "nothing real", ("read_by_experiment",), ("A1",), judge=compares)
    path = provenance.run("trial", whole, tmp_path)
    before = path.read_text(encoding="utf-8")
    record = json.loads(before)
    assert record["figures"]["verdicts"]["A1"]["real"]["a"]["difference"] == pytest.approx(-0.1, abs=1e-4)
    told = record["provenance"]["judged"]
    assert set(told["code"]) == {"lddmmlib.experiments.verdicts", "lddmmlib.experiments.provenance"}
    assert provenance.status("trial", whole, tmp_path) == "present"

    again = whole._replace(measure=None)  # a call of it would fail
    monkeypatch.setattr(provenance, "datetime", None)  # and so would writing a date
    assert provenance.judge("trial", again, tmp_path) == path
    assert path.read_text(encoding="utf-8") == before
    monkeypatch.undo()

    monkeypatch.setattr(provenance, "judging_hashes", lambda experiment: told["code"] | {"rules": "new"})
    monkeypatch.setattr(provenance, "code_hashes", lambda experiment: record["provenance"]["code"])
    assert provenance.status("trial", whole, tmp_path) == "to judge: rules changed"
    provenance.judge("trial", whole._replace(judge=lambda errors: compares(errors, 2)), tmp_path)
    now = json.loads(path.read_text(encoding="utf-8"))
    assert now["figures"]["verdicts"]["A1"]["real"]["a"]["difference"] == pytest.approx(-0.2, abs=3e-4)
    assert now["provenance"].pop("judged")["code"]["rules"] == "new"
    assert provenance.status("trial", whole, tmp_path) == "present"
    record["provenance"].pop("judged")
    assert now["provenance"] == record["provenance"]  # when and by what it was measured stands
    assert now["figures"]["share"] == 0.5


def test_what_cannot_be_judged_is_refused(capsys, tmp_path):
    assert __main__.main(["judge", "curve_norm"]) == 2
    assert "needed an experiment that takes verdicts, got curve_norm" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match=r"needed heatmap_table.json and heatmap_table.npz .* run it first"):
        provenance.judge("heatmap_table", experiments()["heatmap_table"], tmp_path)


def test_a_scale_that_is_not_there_is_refused_by_the_command(capsys):
    assert __main__.main(["run", "curve_norm", "--scale", "full"]) == 2
    assert "needed no --scale, got 'full'" in capsys.readouterr().err


JUDGED = [name for name in RECORDED if experiments()[name.partition(".")[0]].judge]


@pytest.mark.parametrize("name", sorted(JUDGED))
def test_recorded_verdicts_are_what_the_rules_say_of_the_side_file(name, tmp_path):
    plain, _, scale = name.partition(".")
    for ending in (".json", ".npz"):
        (tmp_path / f"{name}{ending}").write_bytes((provenance.RESULTS / f"{name}{ending}").read_bytes())
    path = provenance.judge(plain, experiments()[plain], tmp_path, scale)
    assert path.read_bytes() == (provenance.RESULTS / f"{name}.json").read_bytes()
