"""The chapters as notebooks: how the book reads and runs them, what they depend on, and the copies that students get.

A chapter is a `py:percent` file in notebooks/; every `.ipynb` is made from it. `python book/chapters.py copies DIR`
writes the students' copies.
"""

import ast
import asyncio
import functools
import hashlib
import importlib.util
import json
import os
import re
import shutil
import sys
import time
import tomllib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jupytext
import nbformat
import times
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

EQUATION = re.compile(r"^\$\$ *\(([\w:-]+)\)$", re.M)  # the end of one with a name, and so with a number
DISPLAY = re.compile(r"^\$\$\n((?:.|\n)*?)^\$\$(?: *\(([\w:-]+)\))?$", re.M)
FOLD = r"<details><summary>\1</summary>\n\n\2\n</details>\n"
ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "lddmmlib"
RESULTS = ROOT / "book" / "results"
RUNS = ROOT / "book" / "_build" / "runs"  # each chapter as it ran last, whole
RUN_TAGS = {"raises-exception", "skip-execution"}  # the tags that change what a run does; others say how it is shown
LIMIT = 600  # seconds a cell: stops what hangs, however slow and busy the machine
CORES = os.cpu_count() or 1
AT_ONCE = min(4, CORES)  # chapters that run side by side; each takes up to a gigabyte of memory
BIBLIOGRAPHY = ROOT / "book" / "references.bib"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT.get("urls", {}).get("Repository", "")  # until it is set there are no Colab and Binder buttons


def paths() -> list[Path]:
    """The chapters, in reading order."""
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))


def read(text: str) -> nbformat.NotebookNode:
    """A chapter's text as a notebook that carries a digest of what it depends on.

    With the digest, a chapter runs again when the library modules that it imports change, or the results that it shows,
    and no other chapter does.
    """
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "digest": digest(text)}
    return notebook


def for_page(notebook: nbformat.NotebookNode, path: Path) -> nbformat.NotebookNode:
    """Say in its cells' metadata how the page folds them; give each figure its caption and a name to be linked by.

    In place, and returned.
    """
    predicting, figures = False, 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            headings = re.findall(r"^## (.*)$", cell.source, re.M)
            predicting = headings[-1] == "Predict first" if headings else predicting
            continue
        tags = cell.metadata.get("tags", [])
        if "solution" in tags:
            cell.metadata["tags"] = [*tags, "hide-cell"]
            prompts = {"code_prompt_show": "Show a solution", "code_prompt_hide": "Hide the solution"}
            cell.metadata["mystnb"] = cell.metadata.get("mystnb", {}) | prompts
        image = cell.metadata.get("mystnb", {}).get("image", {})
        if alt := image.get("alt"):
            told = image.pop("caption", "") or caption(alt, first=predicting and "reveal" not in tags)
            figures += 1
            cell.metadata["mystnb"]["figure"] = {"caption": told, "name": f"figure-{path.stem[:2]}-{figures}"}
            if plain_text(told) == alt:  # else it would be read out twice
                image["alt"] = "Described by the caption below."
    return notebook


def caption(alt: str, first: bool) -> str:
    """A figure's caption from its picture's description; the first sentence alone where more would tell too much."""
    told = first_sentence(alt) if first else alt
    return re.sub(r"([\\`*_{}\[\]<>#$|~^@])", r"\\\1", told)


def first_sentence(text: str) -> str:
    return re.match(r".+?[.?!](?= [A-Z]|$)|.+", text)[0]


def plain_text(markdown: str) -> str:
    return re.sub(r"\\([^\w\s])", r"\1", markdown)


# ------------------------------------------------------------------------------------------------ running a chapter


class Stop(NamedTuple):
    """Where and why a chapter's run ended early: which code cell of how many, the reason, an error's own words."""

    cell: int
    cells: int
    why: str
    said: str = ""

    def __str__(self) -> str:
        return f"cell {self.cell} of {self.cells} {self.why} {self.said}".strip()


class Run(NamedTuple):
    """A chapter with its outputs; when the run that made them ended (POSIX time), and how many seconds it took."""

    notebook: nbformat.NotebookNode
    ended: float
    seconds: float
    stop: Stop | None


def start_all(some: list[Path], runs: Path = RUNS) -> dict[str, Future]:
    """Let chapters run, `AT_ONCE` at a time, each with its share of the cores; each prints how it ended."""
    share = max(1, CORES // max(1, min(AT_ONCE, len(some))))

    def one(path: Path) -> Run:
        before = time.time()
        run = executed(path, runs, share)
        if run.ended >= before:  # not taken from the last run
            told = f"stopped: {run.stop}" if run.stop else f"{run.seconds:.0f} s"
            print(f"  {path.stem:<32} {told}", flush=True)
        return run

    pool = ThreadPoolExecutor(AT_ONCE)
    started = {path.stem: pool.submit(one, path) for path in some}
    pool.shutdown(wait=False)
    return started


def executed(path: Path, runs: Path = RUNS, threads: int = CORES) -> Run:
    """Run a chapter on so many threads, or take the outputs of its last run where code and digest are as they were.

    A chapter that stops early comes back with what it has, and says where and why; its run is not kept.
    """
    notebook = for_page(read(path.read_text(encoding="utf-8")), path)
    kept = runs / f"{path.stem}.ipynb"
    if (last := run_kept(kept, run_key(notebook))) is not None:
        for cell, before in zip(code_of(notebook), code_of(last), strict=True):
            cell.outputs, cell.execution_count = before.outputs, before.execution_count
        return Run(notebook, last.metadata.run["ended"], last.metadata.run["seconds"], None)
    started = time.monotonic()
    stop = run(notebook, threads)
    ended, seconds = time.time(), time.monotonic() - started
    if stop:
        say_stopped(notebook, path.stem, stop)
    else:
        keep(notebook, kept, ended, seconds)
    return Run(notebook, ended, seconds, stop)


def code_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The code cells of a notebook."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def run_key(notebook: nbformat.NotebookNode) -> str:
    """A hash of all that a run depends on."""
    parts = [(c.source, sorted(RUN_TAGS & set(c.metadata.get("tags", [])))) for c in code_of(notebook)]
    return hashlib.sha256(json.dumps([notebook.metadata["kernelspec"]["digest"], parts]).encode()).hexdigest()


def keep(notebook: nbformat.NotebookNode, path: Path, ended: float, seconds: float) -> None:
    """Write a run down, for the next build."""
    notebook.metadata["run"] = {"key": run_key(notebook), "ended": ended, "seconds": seconds}
    path.parent.mkdir(parents=True, exist_ok=True)
    write(notebook, path)
    del notebook.metadata["run"]


def keep_elsewhere_run(path: Path, outputs: list[list], seconds: float, runs: Path) -> None:
    """Keep the outputs of a chapter's code cells, in order, that somebody else has run."""
    notebook = for_page(read(path.read_text(encoding="utf-8")), path)
    for i, (cell, made) in enumerate(zip(code_of(notebook), outputs, strict=True), 1):
        cell.outputs, cell.execution_count = made, i
    keep(notebook, runs / f"{path.stem}.ipynb", time.time(), seconds)


def run_kept(path: Path, key: str) -> nbformat.NotebookNode | None:
    """The run that lies there, if it is whole and of this key."""
    try:
        last = nbformat.read(path, as_version=4)
        return last if last.metadata["run"]["key"] == key else None
    except Exception:  # none yet, or damaged in whatever way
        return None


def run(notebook: nbformat.NotebookNode, threads: int = CORES) -> Stop | None:
    """Execute a notebook in place, each cell with its times; whatever ends it early is told, never raised."""
    begun, said = [], ""
    client = NotebookClient(
        notebook,
        timeout=LIMIT,
        startup_timeout=600,
        iopub_timeout=60,  # the default of 4 seconds loses outputs on a busy machine
        store_widget_state=False,  # a widget's static page carries its own
        kernel_name="python3",
        resources={"metadata": {"path": str(ROOT / "notebooks")}},
        on_cell_start=lambda cell, cell_index: begun.append(cell) if cell.cell_type == "code" else None,
    )
    try:
        asyncio.run(client.async_execute(env={"OMP_NUM_THREADS": str(threads)} | os.environ))
        return None
    except CellExecutionError as error:
        why, said = "raised", f"{error.ename}: {error.evalue}"
    except CellTimeoutError:
        why = f"took longer than {LIMIT} seconds and was stopped"
    except DeadKernelError:
        why = "ended its Python without a word; most often the memory was used up"
    except Exception as error:  # the kernel did not start, say: this chapter's page is lost, the others are not
        why, said = "could not be run:", f"{type(error).__name__}: {error}"
    said = re.sub(r"\s+", " ", said).strip().removesuffix(":")
    said = said if len(said) <= 300 else said[:300] + " ..."
    return Stop(max(len(begun), 1), sum(c.cell_type == "code" for c in notebook.cells), why, said)


STOPPED_ABOVE = """:::{{admonition}} This chapter did not run to its end
:class: error

On the machine that built this book, [cell {stop.cell} of {stop.cells}](#stopped-{stem}) {why}.
What comes before that cell is whole; the cells after it have no results. No other chapter is affected.

**What to do.** Run `python3 tasks.py book` again: this chapter starts anew, and those that did run are not run again.
If it stops at the same cell, close other programs, or send the words above to the book's authors.
:::"""
STOPPED_HERE = """(stopped-{stem})=
:::{{admonition}} The run stopped at the cell above
:class: error

Cell {stop.cell} of {stop.cells} {why}. The cells below were not run.
:::"""


def say_stopped(notebook: nbformat.NotebookNode, stem: str, stop: Stop) -> None:
    """Say in the chapter's page that its run stopped: below the title, and after the cell, which is shown."""
    at = [i for i, c in enumerate(notebook.cells) if c.cell_type == "code"][stop.cell - 1]
    cell, title = notebook.cells[at], notebook.cells[0]
    cell.metadata["tags"] = [t for t in cell.metadata.get("tags", []) if not t.startswith(("hide-", "remove-"))]
    said = stop.said.replace("`", "'")
    why = f"{stop.why} `` {said} ``" if said else stop.why  # as code: nothing in it is markup
    here, above = (text.format(stem=stem, stop=stop, why=why) for text in (STOPPED_HERE, STOPPED_ABOVE))
    notebook.cells.insert(at + 1, nbformat.v4.new_markdown_cell(here))
    first, _, rest = title.source.partition("\n")
    title.source = f"{first}\n\n{above}\n\n{rest}"


# ------------------------------------------------------------------------------------------- what a chapter reads


def digest(text: str) -> str:
    """A hash of the lock, the library files behind this text's imports, and the results whose names it mentions."""
    files = {ROOT / "requirements.lock"} | library_files(text)
    files |= {p for p in RESULTS.glob("*") if p.is_file() and p.name.split(".")[0] in text}
    h = hashlib.sha256()
    for path in sorted(files):
        h.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return h.hexdigest()[:16]


def library_files(text: str) -> set[Path]:
    """The modules of lddmmlib that this text imports, what those import, and the data files beside them."""
    modules, todo = set(), set(imports(text))
    while todo:
        modules |= todo
        todo = {found for path in todo for found in imports(path.read_text(encoding="utf-8"))} - modules
    beside = {f for m in modules for f in m.parent.iterdir() if f.is_file() and f.suffix not in {".py", ".pyc"}}
    return modules | beside


@functools.lru_cache(maxsize=512)
def imports(text: str) -> tuple[Path, ...]:
    """The files of lddmmlib that a piece of Python imports, by their import statements: all where it cannot be read."""
    code = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in text.splitlines())
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):  # its run will say so, in the cell where it stands
        return tuple(sorted(PACKAGE.rglob("*.py")))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    found = set()
    for name in names:
        parts = name.split(".")
        if parts[0] == PACKAGE.name:  # a package runs its __init__ and those above it
            found |= {ROOT.joinpath(*parts[:i], "__init__.py") for i in range(1, len(parts) + 1)}
            found.add(ROOT.joinpath(*parts).with_suffix(".py"))
    return tuple(sorted(p for p in found if p.is_file()))


# ------------------------------------------------------------------------------------------------- students' copies


def student_copy(path: Path) -> nbformat.NotebookNode:
    """The chapter for a student: plain Markdown that any notebook viewer shows, numbered as the page, no solutions."""
    notebook = for_page(read(path.read_text(encoding="utf-8")), path)
    del notebook.metadata["kernelspec"]["digest"]
    number = int(path.stem[:2])
    labels = EQUATION.findall("\n".join(c.source for c in notebook.cells if c.cell_type == "markdown"))
    numbers = {label: f"{number}.{i + 1}" for i, label in enumerate(labels)}
    notebook.cells[0].source = notebook.cells[0].source.replace("{reading-time}`-`", times.told(notebook))
    cells, figures = [], 0
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "solution" in tags:
            cells.append(
                nbformat.v4.new_markdown_cell("*A solution is folded away in the book's page of this chapter.*")
            )
        elif "remove-cell" not in tags:  # those only hold the prose's numbers to the code's
            cell.source = plain_markdown(cell.source, numbers) if cell.cell_type == "markdown" else cell.source
            cells.append(cell)
            if "hide-input" in tags:
                cell.metadata["jupyter"] = {"source_hidden": True}
            if told := cell.metadata.get("mystnb", {}).get("figure"):
                figures += 1
                cells.append(nbformat.v4.new_markdown_cell(f"**Figure {number}.{figures}** {told['caption']}"))
    for i, cell in enumerate(cells):  # the same file each time it is made
        cell.id = f"{path.stem[:2]}-{i}"
    notebook.cells = cells
    return notebook


def plain_markdown(source: str, numbers: dict[str, str]) -> str:
    """MyST's directives and roles in plain Markdown: a directive stands between two rules, under a bold title."""
    # An environment with a star, for JupyterLab's own extension for MyST counts every other equation by itself.
    source = DISPLAY.sub(lambda m: equation(m[1], numbers.get(m[2])), source)
    source = re.sub(r"\{eq\}`([\w:-]+)`", lambda m: f"({numbers.get(m[1], m[1])})", source)
    source = re.sub(r"\{cite(?::\w+)?\}`([^`]+)`", lambda m: ", ".join(map(cited, m[1].split(","))), source)
    source = re.sub(r"\{(?:doc|ref|term|func|numref)\}`([^`<]+?)(?: *<[^>]*>)?`", r"*\1*", source)
    source = re.sub(r"\{run-time\}`[^`]*`", "see the book", source)
    source = re.sub(r"^\([\w:-]+\)=\n", "", source, flags=re.M)
    source = re.sub(r"^:{3,}\{dropdown\} *(.*)\n((?:.|\n)*?)^:{3,}$", FOLD, source, flags=re.M)
    lines, inside = [], 0
    for line in source.splitlines():
        if opening := re.match(r":{3,}\{([\w:-]+)\} *(.*)", line):
            inside += 1
            title = opening[2] if opening[1] == "admonition" else f"{opening[1].capitalize()} {opening[2]}".rstrip()
            lines += ["", "---", "", f"**{title}**", ""]
        elif re.fullmatch(r":{3,}", line):
            inside -= 1
            lines += ["", "---", ""]
        elif not (inside and re.fullmatch(r":[\w-]+:.*", line)):  # a directive's options
            lines.append(line)
    return "\n".join(lines)


def equation(tex: str, number: str | None) -> str:
    tag = f"\\tag{{{number}}}\n" if number else ""
    return f"\\begin{{equation*}}\n{tex}{tag}\\end{{equation*}}"


def cited(key: str) -> str:
    """A reference as one says it, "Yan et al. (2021)", from the bibliography."""
    entry = re.search(rf"@\w+\{{{key.strip()},(.*?)\n\}}", BIBLIOGRAPHY.read_text(encoding="utf-8"), re.S)[1]
    authors = re.search(r"author = \{(.*)\}", entry)[1].split(" and ")
    year = re.search(r"year = \{(\d+)\}", entry)[1]
    return f"{authors[0].split(',')[0]}{' et al.' if len(authors) > 1 else ''} ({year})"


def write(notebook: nbformat.NotebookNode, path: Path) -> str:
    """Write a notebook whole or not at all; returns the digest of what lies there."""
    text = nbformat.writes(notebook) + "\n"
    part = path.with_name(f"{path.name}.{os.getpid()}.part")  # two processes may write the same notebook
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return hashlib.sha256(text.encode()).hexdigest()


def put_mathjax(target: Path) -> None:
    """MathJax from the package sphinx-mathjax-offline: the one bundle and the fonts that the pages load."""
    if target.exists():
        return
    source = Path(importlib.util.find_spec("sphinx-mathjax-offline").submodule_search_locations[0]) / "static/mathjax"
    half = target.with_suffix(".part")  # whole or not at all
    shutil.rmtree(half, ignore_errors=True)
    for part in ("tex-chtml.js", "output/chtml/fonts", "input/tex/extensions"):
        (half / part).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (source / part).is_dir() else shutil.copy)(source / part, half / part)
    half.replace(target)


def copies(folder: Path) -> None:
    """Write or renew each student's copy in ``folder``; one that was edited since it was made stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    register = folder / ".made.json"
    try:
        made = json.loads(register.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or half written: then every file there counts as edited
        made = {}
    for path in paths():
        copy = folder / f"{path.stem}.ipynb"
        if copy.exists() and hashlib.sha256(copy.read_bytes()).hexdigest() != made.get(copy.name):
            print(f"kept {copy.name}: you have edited it (rename or delete it to get a new one)")
        else:
            made[copy.name] = write(student_copy(path), copy)
        register.write_text(json.dumps(made, indent=1, sort_keys=True), encoding="utf-8")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["copies", folder]:
            copies(Path(folder))
        case _:
            sys.exit("usage: python book/chapters.py copies DIR")
