"""What is recorded of a measurement: its figures, the code that it ran, the versions, the machine, the seconds."""

from __future__ import annotations

import importlib
import json
import math
import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from lddmmlib.experiments import Experiment, Matrix, _reads, module_of

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "book" / "results"
if not RESULTS.is_dir():  # installed from a wheel, which brings them along
    RESULTS = Path(__file__).parents[1] / "results"
RUNS = ROOT / "runs"  # checkpoints of trainings under way; not in git
DIGITS = 4  # no figure here is known to more
# Code that decides what is refused, kept and judged, and readers of formats that no experiment's data come in.
_TOOLS = ("__init__", "__main__", "_reads", "_record", "_runs", "_verdicts")
_READERS = ("coco", "coco_writer", "dlib", "hrnet", "wflw", "wholebody")
UNREAD = (
    *(f"lddmmlib/experiments/{name}" for name in _TOOLS),
    *(f"lddmmlib/data/{name}" for name in _READERS),
    *("lddmmlib/__init__", "lddmmlib/_checks", "lddmmlib/_shapes"),
)


def code(experiment: Experiment | Matrix) -> dict[str, str]:
    """File -> hash, of all code and data that the experiment reads, less what it says that it does not depend on."""
    path = module_of(experiment)
    apart = UNREAD + tuple(name.replace(".", "/") for name in experiment.untouched)
    read = _reads.closure(path.read_text(encoding="utf-8")) | {path}

    def counts(file: Path) -> bool:
        name = file.relative_to(ROOT).as_posix()
        return not any(name == each or name.startswith((f"{each}/", f"{each}.")) for each in apart)

    given = experiment.given if isinstance(experiment, Matrix) else {}
    return _reads.digests(filter(counts, read)) | dict(given)


def full_name(name: str, scale: str = "") -> str:
    """The name of a result: NAME, or NAME.SCALE."""
    return f"{name}.{scale}" if scale else name


def run(name: str, experiment: Experiment, results: Path | None = None) -> Path:
    """Measure, and write figures and provenance to ``results``/NAME.json."""
    ran, where, start = code(experiment), environment(), time.perf_counter()  # what ran, not what was written meanwhile
    figures = experiment.measure()
    provenance = {"data": experiment.data, "date": today(), "seconds": round(time.perf_counter() - start, 1), **where}
    errors = figures.pop("errors", {})
    path = write(name, experiment, figures, provenance | {"code": ran}, results)
    if errors:  # three digits do
        np.savez_compressed(path.with_suffix(".npz"), **{k: np.asarray(v, dtype=np.float16) for k, v in errors.items()})
    return judge(name, experiment, results) if experiment.judge else path


def judge(name: str, experiment: Experiment, results: Path | None = None) -> Path:
    """Take the verdicts of a recorded result from its errors, and say when and by which code.

    Where both are as they were, nothing is written. Raises RuntimeError where there is nothing to judge.
    """
    path = (results or RESULTS) / f"{name}.json"
    if experiment.judge is None:
        raise RuntimeError(f"needed an experiment that takes verdicts, got {name}; its figures are only reported")
    if not (path.exists() and path.with_suffix(".npz").exists()):
        raise RuntimeError(f"needed {name}.json and {name}.npz among the results, got none; run it first")
    with np.load(path.with_suffix(".npz")) as file:
        told = rounded(experiment.judge({key: file[key] for key in file}))
    record, ran = json.loads(path.read_text(encoding="utf-8")), judging_code(experiment)
    source = record["provenance"]
    if record["figures"].get("verdicts") != told or source.get("judged", {}).get("code") != ran:
        figures, source = record["figures"] | {"verdicts": told}, source | {"judged": judged(ran)}
        write(name, experiment, figures, source, results)
    return path


def judging_code(experiment: Experiment | Matrix) -> dict[str, str]:
    """File -> hash, of the code that takes the experiment's verdicts; none where it has none."""
    if experiment.judge is None:
        return {}
    own = importlib.import_module(experiment.judge.__module__).__file__
    return _reads.digests({Path(own), Path(__file__).with_name("_verdicts.py")})


def judged(code: dict[str, str]) -> dict:
    """When verdicts were taken, and by which code."""
    return {"date": today(), "commit": _commit(), "code": code}


def write(
    name: str, experiment: Experiment | Matrix, figures: dict, provenance: dict, results: Path | None = None
) -> Path:
    """Write a result; ``name`` includes the scale, if there is one."""
    record = {
        "name": name.partition(".")[0],
        "question": experiment.question,
        "claims": list(experiment.claims),
        "figures": rounded(figures),
        "provenance": provenance,
    }
    path = (results or RESULTS) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")
    return path


def status(name: str, experiment: Experiment, results: Path | None = None) -> str:
    """``present``, ``missing``, ``stale`` with the files that have changed, or ``to judge`` where only rules have."""
    path = (results or RESULTS) / f"{name}.json"
    if not path.exists():
        return "missing"
    source = json.loads(path.read_text(encoding="utf-8"))["provenance"]
    for word, then, now in (
        ("stale", source["code"], code(experiment)),
        ("to judge", source.get("judged", {}).get("code", {}), judging_code(experiment)),
    ):
        if changed := sorted(file for file in then.keys() | now.keys() if then.get(file) != now.get(file)):
            return f"{word}: {', '.join(changed[:3])}{' and others' if len(changed) > 3 else ''} changed"
    return "present"


def today() -> str:
    """The date, in UTC."""
    return datetime.now(UTC).date().isoformat()


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
        if not torch.cuda.is_available():
            raise RuntimeError(f"device: needed a GPU that torch can use, got {device!r} and none; use cpu")
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
