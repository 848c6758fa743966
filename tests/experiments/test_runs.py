"""Training matrices: runs are the unit, results grow run by run, and what another machine finished is taken once."""

import json

import numpy as np
import pytest
import torch

from lddmmlib.experiments import Matrix, Run, Size, _record, _runs

TRAINED = []


def train(network, seed, scale, device, folder):
    TRAINED.append((network, seed))
    error = {"ours": 1.0, "plain": 2.0}[network] + 0.1 * seed
    return Run(errors={"faces": torch.linspace(error, error + 1, 5)}, figures={"loss": [1 / 3]})


def tell(runs, scale):
    return {"means": {network: [run.errors["faces"].mean().item() for run in some] for network, some in runs.items()}}


def judge(errors):
    return {"C2": {"synthetic": {name: {"verdict": "reported", "shape": e.shape} for name, e in errors.items()}}}


MATRIX = Matrix(
    train=train,
    tell=tell,
    judge=judge,
    sizes={"smoke": Size(("ours",), 1), "workstation": Size(("ours", "plain"), 2)},
    question="Which?",
    data="nothing real",
    claims=("C2",),
)
SECOND = MATRIX._replace(claims=("C4",), sizes={"workstation": Size(("ours",), 3)})


@pytest.fixture
def code():
    """The code that the matrices read, which a test may change."""
    return {"lddmmlib/x.py": "1"}


@pytest.fixture(autouse=True)
def results(code, tmp_path, monkeypatch):
    """Results and checkpoints in a folder of their own."""
    TRAINED.clear()
    monkeypatch.setattr(_record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(_record, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(_record, "code", lambda matrix: dict(code))
    monkeypatch.setattr(_runs.os, "nice", lambda by: 0)
    return tmp_path / "results"


def record(results, name="m.workstation"):
    return json.loads((results / f"{name}.json").read_text(encoding="utf-8"))


def test_the_queue_grows_a_result_run_by_run_and_trains_nothing_twice(results):
    steps = _runs.queue({"m": MATRIX}, "workstation")
    assert next(steps) == results / "m.workstation" / "ours-0.npz"
    assert record(results)["figures"]["means"] == {"ours": [1.5]}
    assert len(list(steps)) == 3
    assert record(results)["figures"]["means"] == {"ours": [1.5, 1.6], "plain": [2.5, 2.6]}
    told = record(results)["provenance"]
    assert (told["runs"], told["seeds"], told["scale"]) == (4, 2, "workstation")
    assert {file.rpartition("/")[2] for file in told["judged"]["code"]} == {"test_runs.py", "_verdicts.py"}
    rows = record(results)["figures"]["verdicts"]["C2"]["synthetic"]
    assert {name: row["shape"] for name, row in rows.items()} == {"faces, ours": [2, 5], "faces, plain": [2, 5]}
    assert list(_runs.queue({"m": MATRIX}, "workstation")) == []
    assert TRAINED == [("ours", 0), ("plain", 0), ("ours", 1), ("plain", 1)]
    assert _runs.status("m", MATRIX, "workstation") == "present"


def test_networks_that_come_later_have_seeds_of_their_own(results):
    """They wait for all seeds of the others, and do not take away from what those have."""
    matrix = MATRIX._replace(sizes={"workstation": Size(("ours",), 3, {"plain": 1})})
    order = [("ours", 0), ("ours", 1), ("ours", 2), ("plain", 0)]
    assert [(t.network, t.seed) for t in _runs.tasks("m", matrix, "workstation")] == order
    assert [(t.network, t.seed) for t in _runs.missing({"m": matrix}, "workstation")] == order
    assert len(list(_runs.queue({"m": matrix}, "workstation"))) == 4
    rows = record(results)["figures"]["verdicts"]["C2"]["synthetic"]
    assert {name: row["shape"] for name, row in rows.items()} == {"faces, ours": [3, 5], "faces, plain": [1, 5]}
    assert _runs.status("m", matrix, "workstation") == "present"


def test_headline_claims_and_first_seeds_come_first():
    order = [(t.name, t.network, t.seed) for t in _runs.missing({"late": SECOND, "first": MATRIX}, "workstation")]
    assert order == [("first", "ours", 0), ("first", "plain", 0), ("first", "ours", 1), ("first", "plain", 1),
                     ("late", "ours", 0), ("late", "ours", 1), ("late", "ours", 2)]  # fmt: skip


def test_other_code_is_another_run_and_leaves_the_fuller_result(results, code):
    list(_runs.queue({"m": MATRIX}, "workstation"))
    results_before = record(results)
    TRAINED.clear()
    code["lddmmlib/x.py"] = "2"
    assert _runs.status("m", MATRIX, "workstation") == "stale: 4 of 4 runs, all of other code"
    steps = _runs.queue({"m": MATRIX}, "workstation")
    next(steps)
    assert record(results) == results_before  # one run is less than four
    assert _runs.status("m", MATRIX, "workstation") == "1 of 4 runs"
    list(steps)
    assert len(TRAINED) == 4
    assert record(results)["provenance"]["code"] == {"lddmmlib/x.py": "2"}


def test_renewed_runs_and_new_ones_make_one_result(results):
    list(_runs.queue({"m": MATRIX}, "workstation"))
    path = results / "m.workstation" / "plain-1.npz"
    run = _runs.load(path)
    _runs.save(path, run._replace(provenance=run.provenance | {"renewed": "smoke runs agree"}))
    _runs.judge("m", MATRIX, "workstation", results)
    assert record(results)["provenance"]["renewed"] == "smoke runs agree"
    assert record(results)["provenance"]["runs"] == 4


def test_an_interrupted_run_adds_up_its_seconds(monkeypatch):
    clock = iter([0.0, 7.0, 100.0, 105.0])
    monkeypatch.setattr(_runs.time, "perf_counter", lambda: next(clock))

    def stopped(*_):
        raise KeyboardInterrupt

    (task, *_) = _runs.tasks("m", MATRIX, "smoke")
    with pytest.raises(KeyboardInterrupt):
        _runs.perform(task._replace(matrix=MATRIX._replace(train=stopped)))
    assert not _runs.is_recorded(task)
    assert _runs.load(_runs.perform(task)).provenance["seconds"] == 12.0


def test_a_short_lease_begins_only_what_will_end(results, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(_runs.time, "perf_counter", lambda: now[0])

    def slow(*arguments):
        now[0] += 100.0
        return train(*arguments)

    monkeypatch.setattr(_record, "environment", lambda device: {"machine": device})
    lease = {"m": MATRIX._replace(train=slow)}
    done = list(_runs.queue(lease, "workstation", "cuda", minutes=6, out=tmp_path / "out"))
    assert len(done) == 3  # a first one of unknown length; 100 s each from then on; the fourth would not end in time
    assert not results.exists()
    assert len(list(_runs.queue(lease, "workstation", "cuda", minutes=6, out=tmp_path / "out"))) == 1


def test_merging_twice_is_merging_once(results, tmp_path):
    out = tmp_path / "out"
    list(_runs.queue({"m": MATRIX}, "workstation", out=out))
    assert set(_runs.merge(out, {"m": MATRIX}).values()) == {"taken"}
    before = {path.name: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    assert set(_runs.merge(out, {"m": MATRIX}).values()) == {"there already"}
    assert {path.name: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before
    assert record(results)["provenance"]["runs"] == 4


def test_runs_of_other_code_are_not_merged(results, code, tmp_path):
    list(_runs.queue({"m": MATRIX}, "workstation", out=tmp_path / "out"))
    code["lddmmlib/x.py"] = "2"
    told = set(_runs.merge(tmp_path / "out", {"m": MATRIX}).values())
    assert told == {"refused: made by other code; run it again, or check that commit out and merge there"}
    assert not (results / "m.workstation").exists()


def test_a_run_is_kept_to_three_digits(tmp_path):
    run = Run(errors={"faces": torch.tensor([0.0312, 12.345])}, figures={"loss": [1 / 3]}, provenance={"code": "x"})
    _runs.save(tmp_path / "a" / "run.npz", run)
    again = _runs.load(tmp_path / "a" / "run.npz")
    np.testing.assert_allclose(again.errors["faces"], [0.0312, 12.345], rtol=5e-4)
    assert (again.figures, again.provenance) == ({"loss": [0.3333]}, {"code": "x"})
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["run.npz"]


def test_a_device_that_is_not_there_is_refused(results):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeError, match="device: needed a GPU that torch can use, got 'cuda'"):
        next(_runs.queue({"m": MATRIX}, "workstation", "cuda"))
    assert not TRAINED
