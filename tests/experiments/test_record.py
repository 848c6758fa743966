import json

import pytest

from lddmmlib.experiments import Experiment, __main__, _reads, _real, _record, experiments

NAMES = {
    *("annotator_agreement", "shape_spread", "nme_curve_floor", "geometry_prior", "yardstick"),
    *("curve_norm", "euler_folds", "matching_real", "sparse_completion", "lars_knots", "heatmap_table"),
    *("warp_accuracy", "transport_growth", "style_gap", "lddmm_face_rates"),
}
SCALED = {"realism": ("full",), "realism_small": ("notebook", "full"), "learned_correction": ("notebook",)}
SCALED |= {"subpixel": ("notebook", "workstation", "full"), "subpixel_hrnet": ("full",)}
SCALED |= {"lddmm_face": ("notebook", "workstation", "full")}
SCALED |= {"wasserstein": ("notebook", "workstation", "full"), "wasserstein_choices": ("notebook",)}
SCALED |= {"conditional_warp": ("notebook", "workstation", "full")}
SCALED |= dict.fromkeys(("completed_training", "coupled_regression"), ("notebook", "workstation"))
SIZED = {f"{name}.{scale}" for name, scales in SCALED.items() for scale in scales}


def measure():
    return {"share": 1 / 3, "rows": [(1.0, 123456.0)], "count": 7, "said": "yes"}


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """An experiment written in a project of its own, which reads a module and a data file."""
    package = tmp_path / "lddmmlib"
    package.mkdir()
    for name, text in (
        ("trial", "from lddmmlib import read\n"),
        ("read", 'FILE = "facts.npz"\n'),
        ("other", "x = 1\n"),
    ):
        (package / f"{name}.py").write_text(text, encoding="utf-8")
    (package / "facts.npz").write_bytes(b"1 2 3")
    for module, name in ((_reads, "ROOT"), (_record, "ROOT")):
        monkeypatch.setattr(module, name, tmp_path)
    monkeypatch.setattr(_record, "module_of", lambda experiment: package / "trial.py")
    clear()
    yield Experiment(measure=measure, question="How much?", data="nothing real", claims=("A1",))
    clear()


def clear():
    """Forget what the files held."""
    for cached in (_reads.imports, _reads._text, _reads._digest):
        cached.cache_clear()


READ = {"lddmmlib/trial.py", "lddmmlib/read.py", "lddmmlib/facts.npz"}


def test_a_run_is_recorded_with_its_provenance(trial, tmp_path):
    path = _record.run("trial", trial, tmp_path / "results")
    assert path == tmp_path / "results" / "trial.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["figures"] == {"share": 0.3333, "rows": [[1.0, 123500.0]], "count": 7, "said": "yes"}
    assert (record["name"], record["question"], record["claims"]) == ("trial", "How much?", ["A1"])
    told = record["provenance"]
    assert set(told) == {"data", "date", "seconds", "commit", "python", "numpy", "torch", "machine", "code"}
    assert told["code"].keys() == READ
    assert told["data"] == "nothing real"
    assert "cores" in told["machine"]


@pytest.mark.parametrize(
    ("file", "content", "stale"),
    [
        ("read.py", b'"""What."""\r\n# why\r\nFILE = (\r\n"facts.npz")\r\n', False),  # words, layout, line ends
        ("read.py", b'FILE = "facts.npz"\nx = 2\n', True),
        ("facts.npz", b"1 2 4", True),
        ("other.py", b"x = 2\n", False),  # nobody reads it
    ],
)
def test_a_result_is_stale_when_what_it_reads_changed(trial, tmp_path, file, content, stale):
    assert _record.status("trial", trial, tmp_path) == "missing"
    _record.run("trial", trial, tmp_path)
    assert _record.status("trial", trial, tmp_path) == "present"
    (tmp_path / "lddmmlib" / file).write_bytes(content)
    clear()
    assert _record.status("trial", trial, tmp_path) == (f"stale: lddmmlib/{file} changed" if stale else "present")


def test_a_module_that_makes_no_difference_is_left_out(trial, tmp_path):
    _record.run("trial", trial, tmp_path)
    apart = trial._replace(untouched=("lddmmlib.read",))
    assert _record.code(apart).keys() == READ - {"lddmmlib/read.py"}
    assert _record.status("trial", apart, tmp_path) == "stale: lddmmlib/read.py changed"


def test_what_experiments_read_is_what_they_import():
    read = _record.code(experiments()["warp_accuracy"]).keys()
    assert read >= {"lddmmlib/polyharmonic.py", "lddmmlib/faces/geometry/head.py", "lddmmlib/faces/geometry/heads.npz"}
    assert not read & {"lddmmlib/lars.py", "lddmmlib/experiments/_record.py", "lddmmlib/_checks.py"}


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
        _real.real_data()
    monkeypatch.setenv("LDDMMLIB_REAL_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(RuntimeError, match="which is no folder"):
        _real.real_data()
    monkeypatch.setenv("LDDMMLIB_REAL_DATA", str(tmp_path))
    assert _real.real_data() == tmp_path


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
    assert "needed one of completed_training" in capsys.readouterr().err


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
    assert record["provenance"]["code"]
    assert not any(word in text for word in ("/home", "/work", "/root", "/tmp", "\\\\"))


def test_a_scale_that_is_not_there_is_refused_by_the_command(capsys):
    assert __main__.main(["run", "curve_norm", "--scale", "full"]) == 2
    assert "needed no --scale, got 'full'" in capsys.readouterr().err
