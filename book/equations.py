"""The directives {equations} and {figures}: the index of the papers' equations, and that of the chapters' figures.

equations.toml has a row for each numbered equation of the five papers: its words, its formula and the equations of the
chapters that show it. Functions and tests come from those chapters' tables, and from the docstrings that end with
"Paper A, equation 1.".
"""

import copy
import functools
import importlib
import inspect
import re
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import api
import chapters
import jupytext
import mentions
import nbformat
from docutils import nodes
from docutils.statemachine import StringList
from myst_parser.slugs import github_slugify
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

HERE = Path(__file__).parent
ROWS = HERE / "equations.toml"


# ------------------------------------------------------------------------------------------- what the rows are made of


class Place(NamedTuple):
    """Where a chapter shows an equation, and what its last table says of it."""

    stem: str
    section: str
    functions: list[str]
    tests: list[str]


@functools.cache
def rows() -> dict[str, dict]:
    """equations.toml by "A.1"."""
    papers = tomllib.loads(ROWS.read_text(encoding="utf-8"))
    return {f"{paper}.{number}": row for paper, some in papers.items() for number, row in some.items()}


@functools.cache
def notebook(path: Path) -> nbformat.NotebookNode:
    """A chapter as it is read, without the digest of what it depends on; not to be changed."""
    return jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")


@functools.cache
def places() -> dict[str, Place]:
    """The labelled equations of all chapters."""
    found = {}
    for path in chapters.paths():
        cells = notebook(path).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        table = {line.split("`")[1]: line.split(" | ") for line in re.findall(r"^\| \{eq\}`.*$", text, re.M)}
        section = ""
        for each in re.finditer(rf"^#{{2,3}} (.+)$|{chapters.EQUATION.pattern}", text, re.M):
            section = each[1] or section
            if label := each[2]:
                _, functions, tests = table[label]
                functions, tests = (re.findall(r"`([^`]+)`", cell) for cell in (functions, tests))
                found[label] = Place(stem=path.stem, section=section, functions=functions, tests=tests)
    return found


@functools.cache
def entries() -> dict[str, tuple[str, str]]:
    """What the reference page has: a name without "lddmmlib.", its docstring, and the paper that this is about."""
    found = {}
    for name in re.findall(r"^```\{api\} (\S+)$", (HERE / "reference.md").read_text(encoding="utf-8"), re.M):
        module = importlib.import_module(name)
        for attribute, member in [("", module), *api.public(module)]:
            text = inspect.getdoc(member) or ""
            whole = f"{name}.{attribute}".strip(".").removeprefix("lddmmlib.")
            found[whole] = (text, mentions.default_paper(text, module))
    return found


@functools.cache
def by_docstring() -> dict[str, list[str]]:
    """Equation -> the functions and classes whose docstring has it in its line of references, "Paper A, ..."."""
    found: dict[str, list[str]] = {}
    for name, (text, paper) in entries().items():
        about = (
            [] if f"lddmmlib.{name}" in sys.modules else re.findall(r"^Paper [A-E]\b.*?(?=\n\n|\Z)", text, re.M | re.S)
        )
        for lines in about:
            for each in mentions.mentions(lines, paper):
                for row in each.all(lines):
                    found.setdefault(row, []).append(name)
    return found


def functions_and_tests(name: str) -> tuple[list[str], list[str]]:
    """Of an equation: those of the chapters' tables first, then those whose docstring names it."""
    row = rows()[name]
    if "left_out" in row:
        return [], []
    shown = [places()[label] for label in row["at"]]
    functions = [*(f for place in shown for f in place.functions), *by_docstring().get(name, [])]
    return [*dict.fromkeys(functions)], [*dict.fromkeys(t for place in shown for t in place.tests)]


# -------------------------------------------------------------------------------------------------------- directives


class Equations(SphinxDirective):
    """``{equations} A``: the numbered equations of paper A, each a section of its own with several index entries."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        for path in (ROWS, Path(__file__), *chapters.paths()):
            self.env.note_dependency(str(path))
        found = []
        for name in (n for n in rows() if n.startswith(self.arguments[0])):
            paper, number = name.split(".")
            here, title = mentions.anchor(paper, number), f"Paper {paper}, equation {number}"
            section = nodes.section(ids=[here], names=[here])
            section += [nodes.title(title, title), addnodes.index(entries=searched(paper, number, here))]
            self.state.document.note_explicit_target(section)
            self.state.nested_parse(StringList(markdown(name), source=str(ROWS)), self.content_offset, section)
            found.append(section)
        return found


def searched(paper: str, number: str, target: str) -> list[tuple]:
    """The ways in which one asks the book's search for an equation; it leaves out lone letters and numbers."""
    words = [f"{paper}{between}{word} {number}" for between in (" ", ", ") for word in ("eq", "eq.", "equation")]
    after = [f"{word} {number} of paper {paper}" for word in ("eq", "eq.", "equation")]
    ways = [*words, *(f"paper {each}" for each in words), *after, f"{paper}{number}"]
    return [("single", way, target, "main", None) for way in ways]  # a main entry stands above mere words


def markdown(name: str) -> list[str]:
    """An equation's words and formula, the code that computes it, the tests that check it, and where it is shown."""
    row, (functions, tests) = rows()[name], functions_and_tests(name)
    lines = [f"{row['says']}.", "", "$$", row["tex"], "$$", ""]
    if "left_out" in row:
        lines += [f"Not in the library. {mentions.linked(row['left_out'], name[0])}", ""]
    else:
        lines += ["Code", f": {', '.join(f'{{py:obj}}`{f} <lddmmlib.{f}>`' for f in functions)}", ""]
        lines += ["Test", f": {', '.join(f'`{test}`' for test in tests)}", ""]
    return [*lines, "Chapter", f": {'; '.join(shown(label) for label in row['at'])}"]


def shown(label: str) -> str:
    place = places()[label]
    return f"{place.stem[:2]} · {section_link(place.stem, place.section)}, {{eq}}`{label}`"


def section_link(stem: str, section: str) -> str:
    slug = github_slugify(re.sub(r"[*`]|\$[^$]*\$", "", section))
    return f"[{section}](../notebooks/{stem}.py#{slug})"


class Figures(SphinxDirective):
    """``{figures}``: the figures of all chapters, by chapter and section, each with the first words of its caption."""

    def run(self) -> list[nodes.Node]:
        found = []
        for path in chapters.paths():
            self.env.note_dependency(str(path))
            if lines := figures(path):
                section = nodes.section(ids=[f"figures-{path.stem[:2]}"], names=[f"figures-{path.stem[:2]}"])
                title = notebook(path).cells[0].source.splitlines()[0][2:]
                section += nodes.title(title, f"{path.stem[:2]} · {title}")
                self.state.nested_parse(StringList(lines, source=str(path)), self.content_offset, section)
                found.append(section)
        for each in (x for section in found for x in section.findall(addnodes.pending_xref)):
            each["refwarn"] = each["reftype"] != "numref"  # a chapter that stopped early lacks some: it says so itself
        return found


def figures(path: Path) -> list[str]:
    """A chapter's figures as a list in Markdown; those that answer a prediction are not described."""
    lines, section = [], ""
    for cell in chapters.for_page(copy.deepcopy(notebook(path)), path).cells:
        if cell.cell_type == "markdown":
            section = [section, *re.findall(r"^#{2,3} (.+)$", cell.source, re.M)][-1]
        elif told := cell.metadata.get("mystnb", {}).get("figure"):
            answers = "reveal" in cell.metadata.get("tags", [])
            words = "The answer to a prediction." if answers else chapters.first_sentence(told["caption"])
            lines += [f"- {{numref}}`{told['name']}`. {words} *{section_link(path.stem, section)}*"]
    return lines
