"""Build the whole book anew on two cores that four busy processes share: does a student's laptop get through?

    python tests/load.py [MINUTES]     with .venv's Python; MINUTES (60) is the bound

Outside the gate, for it is slow on purpose. It says how long the book took, and of each chapter the slowest cell,
beside the limit that would have stopped it; it ends with 1 when a chapter stopped or the bound was passed. The book
in book/_build is left alone.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book"))
import chapters  # noqa: E402


def main(minutes: float = 60) -> int:
    if hasattr(os, "sched_setaffinity"):  # elsewhere four processes are a load where there are few cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    with tempfile.TemporaryDirectory() as folder, busy(4):
        started = time.monotonic()
        code = build(Path(folder), 60 * minutes)
        taken = time.monotonic() - started
        report(Path(folder))
        stopped = Path(folder, "html.stopped.json")
        why = json.loads(stopped.read_text(encoding="utf-8")) if stopped.exists() else {"the book": f"code {code}"}
    print(f"\nthe book: {taken / 60:.1f} min of {minutes:g}" + "".join(f"\n{name}: {w}" for name, w in why.items()))
    return int(bool(code or why))


@contextlib.contextmanager
def busy(count: int):
    crowd = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for each in crowd:
            each.kill()
            each.wait()


def build(folder: Path, limit: float) -> int:
    options = ("-D", f"chapter_runs={folder / 'runs'}", "-d", str(folder / "doctrees"))
    environment = os.environ | {"IPYTHONDIR": str(folder / "ipython"), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-c", "book", *options, ".", str(folder / "html")]
    try:
        return subprocess.run(command, cwd=ROOT, env=environment, timeout=limit).returncode
    except subprocess.TimeoutExpired:
        return 124


def report(folder: Path) -> None:
    print(f"\n{'chapter':<32}{'s':>6}{'slowest cell, s':>17}   of {chapters.LIMIT}")
    for path in sorted((folder / "runs").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        seconds, source = max((cell_seconds(cell), cell.source) for cell in notebook.cells)
        last = source.rstrip().splitlines()[-1].strip()
        print(f"{path.stem:<32}{notebook.metadata.run['seconds']:>6.0f}{seconds:>17.1f}   ... {last[:60]}")


def cell_seconds(cell) -> float:
    times = [datetime.fromisoformat(when) for when in cell.metadata.get("execution", {}).values()]
    return (max(times) - min(times)).total_seconds() if times else 0.0


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:])))
