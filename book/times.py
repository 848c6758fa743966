"""How long a chapter takes: counted from its text by one rule, the same in its card, in plans and in courses.

Silently or aloud, a minute goes to every hundred words, to every displayed formula and to every twenty lines of code
that the page shows. An exercise takes ten minutes, a question of the quiz one, and a prediction three on top of its
text: to think, and for a show of hands.
"""

import functools
import re
from pathlib import Path
from typing import NamedTuple

import jupytext
import nbformat

WORDS, LINES = 100, 20  # a minute
EXERCISE, QUESTION, PREDICTION = 10, 1, 3  # minutes
FRAME = ("Predict first", "Set-up", "On a face", "If it goes wrong", "Choosing the parameters", "Paper versus code",
         "The recorded run", "Exercises", "Quiz", "Take-aways", "Equation, function, test")  # fmt: skip
CARD = re.compile(r"\*\*(\w[\w ]*)\*\* +((?:.|\n)*?)(?=\n\n|\n:::|\Z)")


class Section(NamedTuple):
    """A section of a chapter: its title, its minutes, and whether only this chapter has one of that name."""

    title: str
    minutes: float
    own: bool


def read(path: Path) -> nbformat.NotebookNode:
    """A chapter as a notebook, to be looked at and not to be changed; read once while its text stays the same."""
    return _read(path.read_text(encoding="utf-8"))


@functools.lru_cache(maxsize=64)
def _read(text: str) -> nbformat.NotebookNode:
    return jupytext.reads(text, fmt="py:percent")


def title(notebook: nbformat.NotebookNode) -> str:
    return re.match(r"# (.*)", notebook.cells[0].source)[1]


def card(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """What the card "At a glance" says, by the names of its lines."""
    return {name: " ".join(text.split()) for name, text in CARD.findall(notebook.cells[0].source)}


def needs(notebook: nbformat.NotebookNode) -> list[str]:
    """The chapters that a chapter's card asks for, by their files' names."""
    return re.findall(r"\{doc\}`(?:.*/)?(\w+)`", card(notebook)["Before this"])


def cells_by_section(notebook: nbformat.NotebookNode) -> dict[str, list]:
    """A chapter's cells below its card, by section; a Markdown cell that holds several headings is cut at each."""
    found, now = {}, "Predict first"
    for cell in notebook.cells[1:]:
        if cell.cell_type == "code":
            found.setdefault(now, []).append(cell)
            continue
        for part in re.split(r"^(?=## )", cell.source, flags=re.M):
            if heading := re.match(r"## (.*)\n?", part):
                now, part = heading[1].strip(), part[heading.end() :]
            found.setdefault(now, []).append(nbformat.v4.new_markdown_cell(part))
    return found


def minutes(cells: list) -> float:
    """The time for text, formulas and code; what a page hides or removes does not count."""
    text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    formulas = re.findall(r"^\$\$(?:.|\n)*?^\$\$", text, re.M)
    words = re.sub(r"^\$\$(?:.|\n)*?^\$\$.*$", "", text, flags=re.M).split()
    unseen = {"hide-input", "hide-cell", "remove-cell", "remove-input", "stub", "self-check", "solution"}
    shown = [c.source for c in cells if c.cell_type == "code" and not unseen & set(c.metadata.get("tags", []))]
    return len(words) / WORDS + len(formulas) + sum(s.count("\n") + 1 for s in shown) / LINES


def sections(notebook: nbformat.NotebookNode) -> list[Section]:
    """The sections of a chapter in order; exercises and the quiz have their own minutes."""
    found = []
    for name, cells in cells_by_section(notebook).items():
        text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
        time = minutes(cells) + (PREDICTION if name == "Predict first" else 0)
        if name == "Exercises":
            time = EXERCISE * len(re.findall(r"^:{3,}\{exercise\}", text, re.M))
        if name == "Quiz":
            time = QUESTION * len(re.findall(r"^\*\*\d+\.\*\*", text, re.M))
        found.append(Section(name, time, name not in FRAME))
    return found


def told(notebook: nbformat.NotebookNode) -> str:
    """A chapter's times as its card says them, to five minutes."""
    after = {"Exercises", "Quiz"}
    reading, doing = (5 * max(1, round(sum(s.minutes for s in sections(notebook) if (s.title in after) == which) / 5))
                      for which in (False, True))  # fmt: skip
    return f"{reading} minutes, and {doing} for exercises and quiz"
