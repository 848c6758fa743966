"""References of chapters are compared as numbers: what may differ, what may not, and that nbval itself asks so."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tests.chapters.as_numbers import alike

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "reference", "same"),
    [
        ("0.1 2.50\n", "0.1   2.49", True),  # the last place printed
        ("0.1 2.50", "0.1 2.48", False),
        ("-0.0 px", "0.0 px", True),
        ("−0.4", "-0.5", True),
        ("9.96 px", "10.0 px", True),  # by the reference's places
        ("10", "11", False),  # a count
        ("1.2e-05", "1.3e-05", True),
        ("1.2e-05", "1.2e-04", False),
        ("holds 3", "contradicted 3", False),
        ("1.0 2.0", "1.0", False),
        ("nan", "0.5", False),
        ("", "", True),
    ],
)
def test_what_may_differ(text, reference, same):
    assert alike(text, reference) == same


@pytest.mark.parametrize(("tolerance", "same"), [(0.05, True), (0.01, False)])
def test_a_stated_tolerance(tolerance, same):
    assert alike("gap 31 px", "gap 30 px", tolerance) == same


def test_nbval_compares_so(tmp_path):
    """Beside a reference of 0.30, those cells pass that agree within the last place or the stated tolerance."""
    printed = [("0.31", {}), ("0.33", {}), ("0.33", {"tolerance": 0.1}), ("0.31 px", {})]
    cells = [new_code_cell(f"print('{x}')", metadata=m | {"tags": ["nbval-check-output"]}) for x, m in printed]
    for cell in cells:
        cell.outputs, cell.execution_count = [new_output("stream", name="stdout", text="0.30\n")], 1
    notebook = new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    nbformat.write(notebook, tmp_path / "small.ipynb")
    options = [
        "--nbval-lax",
        "-p",
        "tests.chapters.as_numbers",
        "--override-ini=filterwarnings=",
        "-v",
        "-p",
        "no:xdist",
    ]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path / "small.ipynb")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert re.findall(r"::Cell (\d) (PASSED|FAILED)", done.stdout) == [
        ("0", "PASSED"), ("1", "FAILED"), ("2", "PASSED"), ("3", "FAILED")
    ], done.stdout  # fmt: skip
