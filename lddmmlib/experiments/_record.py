"""What is recorded of a measurement: its figures, the code that it ran, the versions, the machine, the seconds."""

from __future__ import annotations

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
RUNS = ROOT / "runs"  # checkpoints of trainings under way; not in git
DIGITS = 4  # no figure here is known to more
# Code that decides what is refused, kept and judged, and no figure of a run.
_TOOLS = tuple(f"lddmmlib/experiments/{name}" for name in ("__init__", "__main__", "_reads", "_record", "_runs"))
UNREAD = (*_TOOLS, "lddmmlib/_checks", "lddmmlib/_shapes", "lddmmlib/data/coco_writer")


def code(experiment: Experiment | Matrix, *more_untouched: str) -> dict[str, str]:
    """File -> hash, of all code and data that the experiment reads, less what it says that it does not depend on."""
    path = module_of(experiment)
    apart = UNREAD + tuple(name.replace(".", "/") for name in (*experiment.untouched, *more_untouched))
    read = _reads.closure(path.read_text(encoding="utf-8")) | {path}

    def counts(file: Path) -> bool:
        name = file.relative_to(ROOT).with_suffix("").as_posix().removesuffix("/__init__")
        return not any(name == each or name.startswith(f"{each}/") for each in apart)

    return _reads.digests(filter(counts, read))


def full_name(name: str, scale: str = "") -> str:
    """The name of a result: NAME, or NAME.SCALE."""
    return f"{name}.{scale}" if scale else name


def run(name: str, experiment: Experiment, results: Path | None = None) -> Path:
    """Measure, and write figures and provenance to ``results``/NAME.json."""
    ran, where, start = code(experiment), environment(), time.perf_counter()  # what ran, not what was written meanwhile
    figures = experiment.measure()
    provenance = {"data": experiment.data, "date": today(), "seconds": round(time.perf_counter() - start, 1), **where}
    return write(name, experiment, figures, provenance | {"code": ran}, results)


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
    """``present``, ``missing``, or ``stale`` with the files that have changed."""
    path = (results or RESULTS) / f"{name}.json"
    if not path.exists():
        return "missing"
    then = json.loads(path.read_text(encoding="utf-8"))["provenance"]["code"]
    now = code(experiment)
    changed = sorted(file for file in then.keys() | now.keys() if then.get(file) != now.get(file))
    return f"stale: {', '.join(changed)} changed" if changed else "present"


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
