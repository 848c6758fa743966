"""Where a recorded figure comes from: the code it ran, the versions, the machine; and whether that still holds."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from lddmmlib import _checks
from lddmmlib.experiments import Experiment

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "book" / "results"
if not RESULTS.is_dir():  # installed from a wheel, which brings them along
    RESULTS = Path(__file__).parents[1] / "results"
RUNS = ROOT / "runs"  # checkpoints of runs under way; not in git
DIGITS = 4  # no figure here is known to more


def real_data() -> Path:
    """The folder of real annotations and photographs that LDDMMLIB_REAL_DATA names."""
    needed = "LDDMMLIB_REAL_DATA: needed the folder of real test data"
    if not (named := os.environ.get("LDDMMLIB_REAL_DATA")):
        raise RuntimeError(f"{needed}, got no such variable; set it to that folder and run again")
    if not Path(named).is_dir():
        raise RuntimeError(f"{needed}, got {named!r}, which is no folder; correct it and run again")
    return Path(named)


def code_hashes(experiment: Experiment) -> dict[str, str]:
    """Module -> hash of its code, of all that the experiment declares and of its own."""
    names = sorted({*experiment.reads, experiment.measure.__module__})
    return {name: _hash(name) for name in names}


def judging_hashes(experiment: Experiment) -> dict[str, str]:
    """Module -> hash of its code, of what takes the experiment's verdicts; none where it has none."""
    if experiment.judge is None:
        return {}
    return {name: _hash(name) for name in sorted({"lddmmlib.experiments.verdicts", experiment.judge.__module__})}


def _hash(module: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"reads: needed the name of a module, got {module!r}; correct the experiment")
    text = Path(spec.origin).read_text(encoding="utf-8")  # line ends as read, so alike on every system
    return hashlib.sha256(bare(text).encode()).hexdigest()[:16]


def bare(text: str) -> str:
    """Python source without docstrings, comment lines and blank lines: what can change a figure.

    >>> bare('x = 1\\n\\n# why\\ndef f():\\n    "what"\\n    return x\\n')
    'x = 1\\ndef f():\\n    return x'
    """
    lines: list[str | None] = [*text.splitlines()]
    for node in ast.walk(ast.parse(text)):
        holds = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if holds and ast.get_docstring(node) is not None:
            doc = node.body[0]
            lines[doc.lineno - 1 : doc.end_lineno] = [None] * (doc.end_lineno - doc.lineno + 1)
    return "\n".join(line for line in lines if line and line.strip() and not line.lstrip().startswith("#"))


def full_name(name: str, scale: str = "") -> str:
    """The name of a result: NAME, or NAME.SCALE."""
    return f"{name}.{scale}" if scale else name


def run(
    name: str, experiment: Experiment, results: Path = RESULTS, scale: str = "", device: str = "cpu", seeds: int = 3
) -> Path:
    """Measure, and write figures and provenance to ``results``/NAME.json or NAME.SCALE.json."""
    _checks.one_of(scale, "scale", experiment.scales or ("",))
    code, where = code_hashes(experiment), environment(device)  # before: what ran, not what was written meanwhile
    whole = full_name(name, scale)
    sized = {"scale": scale, "device": device, "seeds": seeds, "folder": RUNS / whole} if scale else {}
    with _timed(RUNS / whole, code, kept=bool(scale)) as calls:
        figures = experiment.measure(**sized)
    errors = figures.pop("errors", {})
    record = {
        "name": name,
        "question": experiment.question,
        "claims": list(experiment.claims),
        "figures": rounded(figures),
        "provenance": {
            "data": experiment.data,
            "date": datetime.now(UTC).date().isoformat(),
            "seconds": round(sum(calls), 1),  # of all calls: those that were interrupted, and those that grew the run
            **({"calls": len(calls), "scale": scale, "seeds": seeds} if scale else {}),
            **where,
            "code": code,
        },
    }
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{whole}.json"
    if errors:  # three digits do
        np.savez_compressed(path.with_suffix(".npz"), **{k: np.asarray(v, dtype=np.float16) for k, v in errors.items()})
    _write(path, record)
    return judge(name, experiment, results, scale) if experiment.judge else path


def judge(name: str, experiment: Experiment, results: Path = RESULTS, scale: str = "") -> Path:
    """Take the verdicts of a recorded result from its side file, and say when and by which code.

    Where both are as they were, nothing is written. Raises RuntimeError where there is nothing to judge.
    """
    whole = full_name(name, scale)
    path = results / f"{whole}.json"
    if experiment.judge is None:
        raise RuntimeError(f"needed an experiment that takes verdicts, got {name}; its figures are only reported")
    if not (path.exists() and path.with_suffix(".npz").exists()):
        raise RuntimeError(f"needed {whole}.json and {whole}.npz among the results, got none; run it first")
    with np.load(path.with_suffix(".npz")) as file:
        told = rounded(experiment.judge({key: file[key] for key in file}))
    record, code = json.loads(path.read_text(encoding="utf-8")), judging_hashes(experiment)
    source = record["provenance"]
    if record["figures"].get("verdicts") != told or source.get("judged", {}).get("code") != code:
        record["figures"]["verdicts"] = told
        source["judged"] = {"date": datetime.now(UTC).date().isoformat(), "commit": _commit(), "code": code}
        _write(path, record)
    return path


def _write(path: Path, record: dict) -> None:
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


@contextlib.contextmanager
def _timed(folder: Path, code: dict[str, str], kept: bool) -> Iterator[list[float]]:
    """The seconds of each call by the same code, this one's last, once it is over: also when it is interrupted.

    ``kept`` in the folder, beside what an interrupted call leaves for the next.
    """
    path, calls, start = folder / "seconds.csv", [], time.perf_counter()
    by = hashlib.sha256(json.dumps(code).encode()).hexdigest()[:12]
    if kept and path.exists():
        rows = [line.split(",") for line in path.read_text(encoding="utf-8").split()]
        calls += [float(seconds) for other, seconds in rows if other == by]
    try:
        yield calls
    finally:
        calls.append(time.perf_counter() - start)
        if kept:
            folder.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(f"{by},{calls[-1]:.1f}\n")


def status(name: str, experiment: Experiment, results: Path = RESULTS, scale: str = "") -> str:
    """``present``, ``missing``, or ``stale`` with the modules that have changed; ``to judge`` where only rules have."""
    path = results / f"{full_name(name, scale)}.json"
    if not path.exists():
        return "missing"
    source = json.loads(path.read_text(encoding="utf-8"))["provenance"]
    for word, then, now in (
        ("stale", source["code"], code_hashes(experiment)),
        ("to judge", source.get("judged", {}).get("code", {}), judging_hashes(experiment)),
    ):
        if changed := sorted(m for m in then.keys() | now.keys() if then.get(m) != now.get(m)):
            return f"{word}: {', '.join(changed)} changed"
    return "present"


def rounded(figure: object) -> object:
    """Figures to 4 significant digits, through lists and dicts; NaN and infinity are refused.

    >>> rounded({"share": 0.123456, "count": 2800, "both": (1.0, 31.41592)})
    {'share': 0.1235, 'count': 2800, 'both': [1.0, 31.42]}
    """
    if isinstance(figure, dict):
        return {str(k): rounded(v) for k, v in figure.items()}
    if isinstance(figure, list | tuple):
        return [rounded(v) for v in figure]
    if isinstance(figure, float):
        if not math.isfinite(figure):
            raise ValueError(f"figures: needed finite numbers, got {figure}; leave out what was not measured")
        return float(f"{figure:.{DIGITS}g}")
    if isinstance(figure, int | str):
        return figure
    raise TypeError(f"figures: needed numbers, strings, lists or dicts, got {type(figure).__name__}; use .item()")


def environment(device: str = "cpu") -> dict[str, str]:
    """Commit, versions and kind of machine; nothing that names a person, a host or a path."""
    machine = f"{_processor()}, {os.cpu_count()} cores, {platform.system()}"
    if device.startswith("cuda"):
        machine = f"{torch.cuda.get_device_name(device)}; {machine}"
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "machine": machine,
    }


def _commit() -> str:
    """The commit of the checkout, and whether its code differs from it; "unknown" outside of one."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "lddmmlib", "data_scripts")
        return git("rev-parse", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    """The processor's model, which Linux keeps in a file and others tell Python."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(models), platform.processor() or platform.machine())
