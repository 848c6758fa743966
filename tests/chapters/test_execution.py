"""Chapters are run once and again when they must; one that stops early says where and why, and costs its page alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book"))
import chapters  # noqa: E402  (beside the book's pages)

FIRST = "# %% [markdown]\n# # A chapter\n#\n# Its words.\n\n# %%\nprint('begun')\n\n"
STOPPED = 'raise KeyError("`tick` **bold** {cite}`x` $x$ <b>")'
ENDS = {
    "an error": (STOPPED, "raised KeyError"),
    "a hanging cell": ("import time; time.sleep(600)", "took longer than 2 seconds"),
    "a dead kernel": ("import os; os._exit(3)", "ended its Python"),
    "a syntax error": ("from lddmmlib import (", "raised SyntaxError"),
}


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


def chapter(folder, cell, tags=""):
    path = folder / "01_one.py"
    path.write_text(f"{FIRST}# %%{tags}\n{cell}\n\n# %% [markdown]\n# Later.\n\n# %%\nprint('end')\n", encoding="utf-8")
    return path


def texts(notebook):
    return [o.get("text", o.get("ename")) for c in notebook.cells for o in c.get("outputs", [])]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ENDS)
def test_a_chapter_that_stops_says_where_and_why(tmp_path, monkeypatch, how):
    """Its results until then are there, the cell is in sight even if hidden, and it is run again the next time."""
    cell, why = ENDS[how]
    monkeypatch.setattr(chapters, "LIMIT", 2 if "hanging" in how else 100)
    path = chapter(tmp_path, cell, ' tags=["remove-cell"]')
    run = chapters.executed(path, tmp_path / "runs")
    assert (run.stop.cell, run.stop.cells) == (2, 3)
    assert why in str(run.stop)
    assert texts(run.notebook)[0] == "begun\n"
    assert "end\n" not in texts(run.notebook)
    cells = run.notebook.cells
    assert cells[0].source.startswith("# A chapter\n\n:::{admonition} This chapter did not run to its end")
    assert cells[0].source.endswith("Its words.")
    at = next(i for i, c in enumerate(cells) if c.source == cell)
    assert cells[at].metadata["tags"] == []
    assert "The run stopped at the cell above" in cells[at + 1].source
    assert not list(tmp_path.glob("runs/*")), "nothing is kept of it"


@pytest.mark.filterwarnings("ignore")
def test_a_chapter_runs_again_only_when_it_must(tmp_path, monkeypatch):
    noted = tmp_path / "noted"
    cell = f"open({str(noted)!r}, 'a').write('x')"
    path, runs = chapter(tmp_path, cell), tmp_path / "runs"

    def times(expected):
        run = chapters.executed(path, runs)
        assert run.stop is None
        assert texts(run.notebook)[0] == "begun\n"
        assert len(noted.read_text(encoding="utf-8")) == expected
        return run

    first = times(1)
    assert (times(1).ended, times(1).seconds) == (first.ended, first.seconds)
    path.write_text(path.read_text(encoding="utf-8").replace("Later.", "Later on."), encoding="utf-8")
    assert times(1).notebook.cells[-2].source == "Later on.", "prose alone runs nothing"
    path.write_text(path.read_text(encoding="utf-8").replace("'end'", "'the end'"), encoding="utf-8")
    assert texts(times(2).notebook)[-1] == "the end\n"
    monkeypatch.setattr(chapters, "digest", lambda text: "the library is another")
    times(3)
    (runs / "01_one.ipynb").write_text('{"cells": [', encoding="utf-8")  # damaged
    times(4)
    (runs / "01_one.ipynb").write_text("{}", encoding="utf-8")
    times(5)
    assert [p.name for p in runs.iterdir()] == ["01_one.ipynb"]


MEETS = """import os, pathlib, time
mine, other = (pathlib.Path({folder!r}, name) for name in {names})
mine.touch()
while not other.exists():
    time.sleep(0.05)
print(os.environ["OMP_NUM_THREADS"])"""


@pytest.mark.filterwarnings("ignore")
def test_chapters_run_side_by_side_each_with_its_share_of_the_cores(tmp_path, monkeypatch):
    """Each waits for the other to have begun."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(chapters, "CORES", 6)
    monkeypatch.setattr(chapters, "AT_ONCE", 2)
    monkeypatch.setattr(chapters, "LIMIT", 60)
    paths = []
    for names in (("one", "two"), ("two", "one")):
        (tmp_path / names[0]).mkdir()
        (tmp_path / "met").mkdir(exist_ok=True)
        paths.append(chapter(tmp_path / names[0], MEETS.format(folder=str(tmp_path / "met"), names=names)))
        paths[-1] = paths[-1].rename(paths[-1].with_name(f"0{len(paths)}_{names[0]}.py"))
    for future in chapters.start_all(paths, tmp_path / "runs").values():
        run = future.result()
        assert run.stop is None
        assert texts(run.notebook)[1] == "3\n"


def test_a_cell_that_cannot_be_read_depends_on_the_whole_library():
    assert chapters.PACKAGE / "flows.py" in chapters.imports("from lddmmlib import (")
    assert chapters.digest("def (") == chapters.digest("x = = 1")


@pytest.mark.parametrize("said", ["", "Error: `a`", "``", "E: " + "x" * 900])
def test_no_error_text_can_break_the_page(said):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_code_cell("1")]
    )
    chapters.say_stopped(notebook, "01_one", chapters.Stop(1, 1, "raised", said))
    source = notebook.cells[0].source
    tokens = [each for token in MarkdownIt().parse(source) for each in token.children or []]
    code = [token.content for token in tokens if token.type == "code_inline"]
    assert code == [said.replace("`", "'"), "python3 tasks.py book"][not said :]
    assert "(stopped-01_one)=" in notebook.cells[2].source


def test_the_limit_is_against_hanging_alone():
    """What is slow on an idle machine is for the times in the gate; here ten times that must pass."""
    assert chapters.LIMIT >= 600
    gate = (ROOT / "tasks.py").read_text(encoding="utf-8")
    assert f"--nbval-cell-timeout={chapters.LIMIT}" in gate


@pytest.fixture(scope="module")
def small_book(tmp_path_factory):
    """A book of two chapters with the real configuration, in a folder whose name is hard on addresses."""
    folder = tmp_path_factory.mktemp("a book") / "my%20book #ä?"
    shutil.copytree(ROOT / "book", folder / "book", ignore=shutil.ignore_patterns("_build", "results"))
    (folder / "book" / "results").mkdir()
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    (folder / "notebooks").mkdir()
    return folder


def build(folder, *options):
    only = ("-D", "root_doc=notebooks/00_zero", "-D", "include_patterns=notebooks/*", "-D")
    quiet = "suppress_warnings=toc.not_included"
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-c", "book", *only, quiet, *options, ".", "out"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder / "ipython"), "PYTHONUTF8": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8")
    stopped = json.loads((folder / "out.stopped.json").read_text(encoding="utf-8"))
    return done, stopped, (folder / "out" / "notebooks" / "01_one.html").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="no folder of such a name there")
def test_one_failed_chapter_costs_one_page_and_the_gate_fails(small_book):
    """Built with an error, the exit code tells; the same again, it is tried anew; mended, it is as if nothing was."""
    notebooks = small_book / "notebooks"
    (notebooks / "00_zero.py").write_text("# %% [markdown]\n# # Zero\n\n# %%\nprint('whole')\n", encoding="utf-8")
    chapter(notebooks, f"import pathlib\nif not pathlib.Path('mended').exists():\n    {STOPPED}")
    done, stopped, page = build(small_book)
    assert done.returncode == 1
    assert list(stopped) == ["notebooks/01_one"]
    assert stopped["notebooks/01_one"].startswith("cell 2 of 3 raised KeyError")
    assert page.count("did not run to its end") == page.count("The run stopped at the cell above") == 1
    assert 'href="#stopped-01-one"' in page
    assert "&lt;b&gt;" in page
    assert "whole" in (small_book / "out" / "notebooks" / "00_zero.html").read_text(encoding="utf-8")
    assert "Traceback" not in done.stdout + done.stderr
    assert "WARNING: cell 2 of 3 raised KeyError" in done.stderr, "what -W turns into a failure"
    (notebooks / "mended").touch()
    done, stopped, page = build(small_book, "-W")
    assert (done.returncode, stopped) == (0, {}), done.stderr
    assert "did not run" not in page
    assert "end" in page
