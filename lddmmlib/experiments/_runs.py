"""The runs of training matrices: which are missing, how one is trained and kept, how results grow and are merged."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from lddmmlib.experiments import Matrix, Run, Size, _record
from lddmmlib.experiments.labels import with_interval

HEADLINE = {"A1", "A4", "B2", "C1", "C2", "D1", "D6", "E1", "E4"}  # claims whose runs come first
UNKNOWN = 240.0  # seconds that a run is expected to take of which none was recorded


class Task(NamedTuple):
    """One run of a matrix."""

    name: str
    matrix: Matrix
    scale: str
    network: str
    seed: int

    @property
    def result(self) -> str:
        """The name of the result that the run belongs to."""
        return _record.full_name(self.name, self.scale)

    @property
    def file(self) -> str:
        """Where its errors are kept, below the results."""
        return f"{self.result}/{self.network.replace(' ', '_')}-{self.seed}.npz"


def scales(smoke: tuple[str, ...], first: tuple[str, ...], later: tuple[str, ...]) -> dict[str, Size]:
    """The sizes of a matrix: five seeds of the first networks at workstation scale, else three, and three of others."""
    seeds = {"notebook": 3, "workstation": 5, "full": 3}
    return {"smoke": Size(smoke, 1)} | {scale: Size(first, n, dict.fromkeys(later, 3)) for scale, n in seeds.items()}


def digest(matrix: Matrix) -> str:
    """A hash of all code and data that the runs of a matrix read; the rules of verdicts are no part of it."""
    return hashlib.sha256(json.dumps(_record.code(matrix), sort_keys=True).encode()).hexdigest()[:16]


def tasks(name: str, matrix: Matrix, scale: str, seeds: int | None = None) -> list[Task]:
    """All runs that a scale asks for, the first seeds of all networks first."""
    size = matrix.sizes[scale]
    groups = (dict.fromkeys(size.networks, size.seeds), dict(size.later))
    return [
        Task(name=name, matrix=matrix, scale=scale, network=network, seed=seed)
        for group in groups
        for seed in range(seeds or max(group.values(), default=0))
        for network, count in group.items()
        if seed < (seeds or count)
    ]


def is_recorded(task: Task, results: Path | None = None) -> bool:
    """Whether the run is kept, and was made by the code as it is."""
    path = (results or _record.RESULTS) / task.file
    return path.exists() and load(path).provenance["code"] == digest(task.matrix)


def perform(task: Task, device: str = "cpu", results: Path | None = None) -> Path:
    """Train one network, or go on where it was interrupted, and keep its errors. Seconds add up over all calls."""
    ran, where = digest(task.matrix), _record.environment(device)
    folder = _record.RUNS / task.result / ran
    with _clock(folder / f"{task.network} {task.seed}.seconds") as seconds:
        run = task.matrix.train(task.network, task.seed, task.scale, device, folder)
    provenance = {"date": _record.today(), "seconds": round(seconds[0], 1), **where, "code": ran}
    path = (results or _record.RESULTS) / task.file
    save(path, run._replace(provenance=provenance))
    return path


class _clock:
    """Adds the seconds of a block to those in a file, however the block ends; they are what it gives."""

    def __init__(self, path: Path) -> None:
        self.path, self.total = path, [0.0]

    def __enter__(self) -> list[float]:
        self.before = float(self.path.read_text(encoding="utf-8")) if self.path.exists() else 0.0
        self.start = time.perf_counter()
        return self.total

    def __exit__(self, *error: object) -> None:
        self.total[0] = self.before + time.perf_counter() - self.start
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(str(self.total[0]), encoding="utf-8")


def save(path: Path, run: Run) -> None:
    """Write a run whole or not at all; three digits of an error do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = json.dumps({"figures": _record.rounded(run.figures), "provenance": run.provenance}, ensure_ascii=False)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        errors = {what: np.asarray(each, dtype=np.float16) for what, each in run.errors.items()}
        np.savez_compressed(file, **errors, __run__=np.frombuffer(told.encode(), dtype=np.uint8))
    part.replace(path)


def load(path: Path) -> Run:
    """A run as `save` wrote it; errors are float64 tensors."""
    with np.load(path) as file:
        told = json.loads(file["__run__"].tobytes())
        errors = {what: torch.from_numpy(file[what].astype(np.float64)) for what in file.files if what != "__run__"}
    return Run(errors, told["figures"], told["provenance"])


def recorded(name: str, matrix: Matrix, scale: str, results: Path | None = None) -> dict[str, list[Run]]:
    """Network -> its runs by seed, all made by one code: that of most runs, today's where several have as many.

    A seed counts when all before it are there.
    """
    by_code: dict[str, dict[str, list[Run]]] = {}
    for task in tasks(name, matrix, scale, seeds=100):
        if (path := (results or _record.RESULTS) / task.file).exists():
            run = load(path)
            networks = by_code.setdefault(run.provenance["code"], {})
            if len(networks.get(task.network, [])) == task.seed:
                networks.setdefault(task.network, []).append(run)
    now = digest(matrix)
    fullest = max(by_code, key=lambda code: (_count(by_code[code]), code == now), default=now)
    return by_code.get(fullest, {})


def _count(runs: Mapping[str, list[Run]]) -> int:
    return sum(map(len, runs.values()))


def judge(name: str, matrix: Matrix, scale: str, results: Path | None = None) -> Path | None:
    """Make the result of a matrix anew from its runs; None where the result stays: made of more runs than there are.

    So a result stands while its runs are trained again with other code, one by one.
    """
    runs, whole = recorded(name, matrix, scale, results), _record.full_name(name, scale)
    path = (results or _record.RESULTS) / f"{whole}.json"
    before = json.loads(path.read_text(encoding="utf-8"))["provenance"].get("runs", 0) if path.exists() else 0
    if _count(runs) < max(1, before):
        return None
    (made_by,) = {run.provenance["code"] for some in runs.values() for run in some}
    seeds = max(map(len, runs.values()))
    provenance = {"data": matrix.data, **_together(runs), "scale": scale, "seeds": seeds, "runs": _count(runs)}
    provenance |= {"code": _record.code(matrix) if made_by == digest(matrix) else {"": made_by}}
    figures = matrix.tell(runs, scale)
    if matrix.judge:
        figures |= {"verdicts": matrix.judge(stacked(runs))}
        provenance |= {"judged": _record.judged(_record.judging_code(matrix))}
    return _record.write(whole, matrix, figures, provenance, results)


def stacked(runs: Mapping[str, list[Run]]) -> dict[str, np.ndarray]:
    """ "What, network, how" -> errors (seeds, images), of all seeds that a network has."""
    errors = {}
    for network, some in runs.items():
        for name in some[0].errors:
            what, comma, how = name.partition(", ")
            errors[f"{what}, {network}{comma}{how}"] = np.stack([run.errors[name].numpy() for run in some])
    return errors


def averaged(runs: Mapping[str, list[Run]]) -> dict[str, dict[str, dict]]:
    """What -> "network, how" -> the mean error and its interval over images, each image's averaged over seeds."""
    told: dict[str, dict[str, dict]] = {}
    for name, errors in stacked(runs).items():
        what, _, key = name.partition(", ")
        told.setdefault(what, {})[key] = with_interval(torch.from_numpy(errors).mean(0))
    return told


def figures(runs: Mapping[str, list[Run]], key: str) -> dict[str, list]:
    """Network -> a figure of each of its runs."""
    return {network: [run.figures[key] for run in some] for network, some in runs.items()}


def _together(runs: Mapping[str, list[Run]]) -> dict:
    """The provenance of several runs: the last date, every machine and version, the sum of seconds if all are known."""
    each = [run.provenance for some in runs.values() for run in some]
    apart = {"code", "seconds", "date"}
    keys = dict.fromkeys(key for p in each for key in p if key not in apart)  # "renewed" is of some alone
    told = {key: " and ".join(dict.fromkeys(str(p[key]) for p in each if key in p)) for key in keys}
    told["date"] = max(p["date"] for p in each)
    if all("seconds" in p for p in each):
        told["seconds"] = round(sum(p["seconds"] for p in each), 1)
    return told


def status(name: str, matrix: Matrix, scale: str, results: Path | None = None) -> str:
    """How many of the runs there are, and whether the result was made from all of them."""
    wanted = tasks(name, matrix, scale)
    there = [task for task in wanted if is_recorded(task, results)]
    old = sum(((results or _record.RESULTS) / task.file).exists() for task in wanted) - len(there)
    if not there:
        return f"stale: {old} of {len(wanted)} runs, all of other code" if old else "missing"
    return "present" if len(there) == len(wanted) else f"{len(there)} of {len(wanted)} runs"


def missing(everything: Mapping[str, object], scale: str, results: Path | None = None) -> Iterator[Task]:
    """All runs that are not recorded, most wanted first: headline claims, then seed by seed, then what comes later."""

    def rank(task: Task) -> tuple:  # a stable sort keeps the order of networks
        return not HEADLINE & set(task.matrix.claims), task.network in task.matrix.sizes[scale].later, task.seed

    sized = [(n, m) for n, m in everything.items() if isinstance(m, Matrix) and scale in m.sizes]
    wanted = [task for name, matrix in sized for task in tasks(name, matrix, scale)]
    for task in sorted(wanted, key=rank):
        if not is_recorded(task, results):
            yield task


def queue(
    everything: Mapping[str, object], scale: str, device: str = "cpu", minutes: float | None = None,
    out: Path | None = None,
) -> Iterator[Path]:  # fmt: skip
    """Work off the missing runs, one at a time, and judge again after each; gives the path of each that was finished.

    With ``minutes``: only runs that are expected to end in time. With ``out``: what is finished goes there, and is
    taken into the results by `merge`.
    """
    if device == "cpu" and hasattr(os, "nice"):
        os.nice(19)
    end, longest = time.perf_counter() + 60 * (minutes or 1e9), {}
    for task in missing(everything, scale):
        if out and (out / task.file).exists():
            continue
        start = time.perf_counter()
        if start + 1.1 * longest.get(task.result, expected(task)) > end:
            continue
        path = perform(task, device, out)
        longest[task.result] = max(longest.get(task.result, 0.0), time.perf_counter() - start)
        if not out:
            judge(task.name, task.matrix, scale)
        yield path


def expected(task: Task) -> float:
    """Seconds that a run of this result took at most, of those that are recorded."""
    known = [load(path).provenance.get("seconds", 0) for path in (_record.RESULTS / task.result).glob("*.npz")]
    return max(known, default=UNKNOWN)


def merge(source: Path, everything: Mapping[str, object], results: Path | None = None) -> dict[str, str]:
    """Take runs that another machine has finished into the results; file -> what became of it. Twice is as once."""
    told = {}
    for name, matrix in everything.items():
        scales = matrix.sizes if isinstance(matrix, Matrix) else ()
        for scale in scales:
            for task in (t for t in tasks(name, matrix, scale, seeds=100) if (source / t.file).exists()):
                told[task.file] = _take(task, source, results or _record.RESULTS)
            if any(file.startswith(f"{name}.{scale}/") for file in told):
                judge(name, matrix, scale, results)
    return told


def _take(task: Task, source: Path, results: Path) -> str:
    if load(source / task.file).provenance["code"] != digest(task.matrix):
        return "refused: made by other code; run it again, or check that commit out and merge there"
    if is_recorded(task, results):
        return "there already"
    (results / task.file).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / task.file, results / task.file)
    return "taken"


def renew(name: str, matrix: Matrix, since: str, results: Path | None = None) -> list[str]:
    """Let runs stand that the code of the commit ``since`` made, where a smoke run of it and of today's code agree.

    For code that was moved, renamed or reworded. Each run's provenance says what it was renewed from. Raises
    RuntimeError where the two smoke runs differ: then nothing is renewed.
    """
    with tempfile.TemporaryDirectory() as folder:
        checkout, here, there = (Path(folder) / part for part in ("checkout", "here", "there"))
        git = ["git", "-C", str(_record.ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", str(checkout), since], check=True)
        try:
            old = _smoke(name, checkout, there)
        finally:
            subprocess.run([*git, "remove", "--force", str(checkout)], check=True)
        new = _smoke(name, _record.ROOT, here)
        for path in sorted(here.rglob("*.npz")):
            a, b = load(path).errors, load(there / path.relative_to(here)).errors
            if a.keys() != b.keys() or not all(torch.equal(a[what], b[what]) for what in a):
                raise RuntimeError(f"renew {name}: {path.stem} errs otherwise at {since} than now; train again")
    renewed = []
    for path in sorted((results or _record.RESULTS).glob(f"{name}.*/*.npz")):
        run = load(path)
        if run.provenance["code"] == old != new:
            told = {"code": new, "renewed": f"{_record.today()}, from {since}: smoke runs of both agree"}
            save(path, run._replace(provenance=run.provenance | told))
            renewed.append(f"{path.parent.name}/{path.name}")
    for scale in matrix.sizes:
        judge(name, matrix, scale, results)
    return renewed


def _smoke(name: str, checkout: Path, out: Path) -> str:
    """Train a matrix's smoke runs with the code of a checkout; returns the digest of that code."""
    program = (
        "import sys; from pathlib import Path; from lddmmlib.experiments import _runs, experiments\n"
        "name, out = sys.argv[1], Path(sys.argv[2]); matrix = experiments()[name]\n"
        "for task in _runs.tasks(name, matrix, 'smoke', seeds=1): _runs.perform(task, results=out)\n"
        "print(_runs.digest(matrix))"
    )
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, name, str(out)]
    done = subprocess.run(command, env=environment, cwd=checkout, capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]
