"""Every chapter has the same anatomy, its numbers come from code, and its last table leads to real code and tests."""

import importlib
import itertools
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))
import chapters  # noqa: E402

SECTIONS = [  # in this order; what a chapter adds of its own stands between set-up and "On a face"
    "Predict first",
    "Set-up",
    "On a face",
    "If it goes wrong",
    "Choosing the parameters",
    "Paper versus code",
    "The recorded run",
    "Exercises",
    "Quiz",
    "Take-aways",
    "Equation, function, test",
]
CARD = ["Question", "Paper", "You will be able to", "Before this", "Reading", "Run time"]
SCREEN = 45  # lines: the code of an equation follows within them
EQUATION = re.compile(r"^\$\$ *\(([\w:-]+)\)$", re.M)
DECIMAL = re.compile(r"(?<![\w.\\])\d+\.\d+(?![\w.]*\w)|\d+(?:\.\d+)? ?%")


@pytest.fixture(params=chapters.paths(), ids=lambda p: p.stem, scope="module")
def chapter(request):
    """(path, notebook) of each chapter."""
    return request.param, chapters.read(request.param.read_text(encoding="utf-8"))


def prose(notebook):
    return "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def code(notebook):
    return [c for c in notebook.cells if c.cell_type == "code"]


def section(notebook, title):
    """The cells from the heading ``## title`` up to the next heading of that level."""
    starts = [
        i for i, c in enumerate(notebook.cells) if c.cell_type == "markdown" and re.search(r"^## ", c.source, re.M)
    ]
    for i, start in enumerate(starts):
        if re.search(rf"^## {re.escape(title)}$", notebook.cells[start].source, re.M):
            return notebook.cells[start : starts[i + 1] if i + 1 < len(starts) else None]
    raise AssertionError(f"no section '## {title}'")


def tagged(cells, tag):
    return [c for c in cells if tag in c.metadata.get("tags", [])]


def test_sections_stand_in_order(chapter):
    headings = re.findall(r"^## (.*)$", prose(chapter[1]), re.M)
    assert [h for h in headings if h in SECTIONS] == SECTIONS
    own = headings[headings.index("Set-up") + 1 : headings.index("On a face")]
    assert own, "no section with the chapter's own equations between 'Set-up' and 'On a face'"


def test_header_card(chapter):
    first = chapter[1].cells[0].source
    assert first.startswith("# "), "the first cell is the title and the card"
    assert not (missing := [f for f in CARD if f"**{f}**" not in first]), f"the card lacks {missing}"
    assert all(f"{{{role}}}`-`" in first for role in ("run-time", "reading-time")), "times are filled in, never typed"


def test_each_equation_is_followed_by_its_code(chapter):
    """A labelled equation is followed within a screen by code; somewhere agreement with the library is asserted."""
    cells = chapter[1].cells
    found = 0
    for i, cell in enumerate(cells):
        if cell.cell_type != "markdown":
            continue
        for match in EQUATION.finditer(cell.source):
            found += 1
            between = cell.source[match.end() :].count("\n")
            for later in cells[i + 1 :]:
                if later.cell_type == "code":
                    break
                between += later.source.count("\n") + 2
            assert between <= SCREEN, f"equation ({match[1]}): its code comes {between} lines later"
    assert found, "no labelled equation"
    assert any("assert" in c.source and "allclose" in c.source for c in code(chapter[1])), "no allclose with lddmmlib"


def test_equations_have_names_of_their_own():
    notebooks = [chapters.read(path.read_text(encoding="utf-8")) for path in chapters.paths()]
    names = [name for notebook in notebooks for name in EQUATION.findall(prose(notebook))]
    assert len(names) > 60
    assert not {name for name in names if names.count(name) > 1}


def test_first_picture_asks_for_a_prediction(chapter):
    cells = section(chapter[1], "Predict first")
    assert any(c.cell_type == "code" for c in cells), "no picture"
    assert any("?" in c.source for c in cells if c.cell_type == "markdown"), "no question"


def test_something_is_broken_on_purpose(chapter):
    cells = section(chapter[1], "If it goes wrong")
    assert any(c.cell_type == "code" for c in cells), "no failure made on purpose"
    assert all(word in "".join(c.source for c in cells) for word in ("Symptom", "Cause", "Cure")), (
        "no symptom, cause, cure"
    )


def test_three_exercises(chapter):
    cells = section(chapter[1], "Exercises")
    titles = re.findall(r"^:{3,}\{exercise\} (\w+)", "\n".join(c.source for c in cells), re.M)
    assert titles == ["Check", "Extend", "Explore"]
    kinds = [
        next((t for t in ("stub", "self-check", "solution") if t in c.metadata.get("tags", [])), None) for c in cells
    ]
    assert [k for k in kinds if k] == ["stub", "self-check", "solution"] * 3
    assert all("assert" in c.source for c in tagged(cells, "solution")), "a solution asserts that it is right"


def unfolded(source):
    """What a page shows of a Markdown cell before anything is unfolded; the exercises themselves do not count."""
    source = re.sub(r"^:{3,}\{(?:dropdown|exercise)\}.*\n(?:.|\n)*?^:{3,}$", "", source, flags=re.M)
    return source.split("## Quiz")[0].strip()


def test_conclusions_of_exercises_are_folded(chapter):
    """After a solution nothing is told in the open: who has not tried yet would read it."""
    cells = chapter[1].cells
    solutions = [i for i, c in enumerate(cells) if "solution" in c.metadata.get("tags", [])]
    assert len(solutions) == 3
    for i in solutions:
        after = list(itertools.takewhile(lambda c: c.cell_type == "markdown", cells[i + 1 :]))
        quiz = next((k for k, c in enumerate(after) if "## Quiz" in c.source), len(after))
        told = [words for c in after[: quiz + 1] if (words := unfolded(c.source))]
        assert not told


def test_answers_to_predictions_wait_to_be_asked_for(chapter):
    """Behind one fold: cells tagged `reveal`, and the words right after them under "What happens"."""
    cells = section(chapter[1], "Predict first")
    for i, cell in enumerate(cells):
        if "reveal" in cell.metadata.get("tags", []) and "reveal" not in cells[i + 1].metadata.get("tags", []):
            assert cells[i + 1].source.startswith(":::{dropdown} What happens\n"), cells[i + 1].source
        if cell.source.startswith("Decide, then look"):
            assert "reveal" in str([c.metadata.get("tags") for c in cells[i + 1 : i + 3]])


def test_quiz_of_four_with_reasons(chapter):
    text = "\n".join(c.source for c in section(chapter[1], "Quiz"))
    questions = re.split(r"^\*\*\d\.\*\*", text, flags=re.M)[1:]
    assert len(questions) == 4
    for question in questions:
        bodies = re.findall(r"^:{3,}\{dropdown\} [a-d]\. .+\n((?:.|\n)*?)^:{3,}$", question, re.M)
        assert len(bodies) >= 3, question
        assert [b.startswith("**Right**") for b in bodies].count(True) == 1, question
        assert all(b.startswith(("**Right**", "**No**")) and len(b) > 30 for b in bodies), question


def test_table_leads_to_code_and_tests(chapter):
    text = "\n".join(c.source for c in section(chapter[1], "Equation, function, test"))
    rows = re.findall(r"^\| *(.+?) *\| *(.+?) *\| *(.+?) *\|$", text, re.M)[2:]
    labels = EQUATION.findall(prose(chapter[1]))
    assert {m for row in rows for m in re.findall(r"\{eq\}`([\w:-]+)`", row[0])} == set(labels), "one row an equation"
    for _, functions, tests in rows:
        for name in re.findall(r"`([\w.]+)`", functions):
            module, _, attribute = name.rpartition(".")
            assert hasattr(importlib.import_module(f"lddmmlib.{module}"), attribute), name
        for path, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests):
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{test}"
        assert "tests/" in tests, f"no test named for {functions}"


def test_numbers_in_prose_come_from_code(chapter):
    """A decimal or a percentage in prose stands, to the letter, in an assert cell's string."""
    text = re.sub(
        r"\$\$.*?\$\$(?: *\([\w:-]+\))?|\$[^$]*\$|`[^`]*`|\{cite[^}]*\}`[^`]*`|https?://\S+",
        "",
        prose(chapter[1]),
        flags=re.S,
    )
    asserted = "\n".join(c.source for c in code(chapter[1]) if "assert" in c.source)
    strings = " ".join(re.findall(r"[\"']([^\"'\n]*)[\"']", asserted))
    loose = [n for n in DECIMAL.findall(text) if n not in strings]
    assert not loose, f"numbers in prose that no assert cell holds: {loose}"


def test_cells_are_short(chapter):
    lengths = sorted(
        len(c.source.splitlines()) for c in code(chapter[1]) if "widget-code" not in c.metadata.get("tags", [])
    )
    assert lengths[-1] <= 25, "a cell of over 25 lines"
    assert lengths[len(lengths) // 2] <= 9, "the median cell is over 9 lines"


def test_pictures_have_alt_text(chapter):
    for cell in code(chapter[1]):
        if "plt.show" in cell.source:
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) > 40, f"no alt text that says what is to be seen:\n{cell.source}"
        assert "plt.subplots" not in cell.source or "plt.show" in cell.source, f"end with plt.show():\n{cell.source}"


def test_no_installs_and_no_paths(chapter):
    for cell in code(chapter[1]):
        assert not re.search(r"pip install|^%|^!|/home|/root|C:\\", cell.source, re.M), cell.source


def test_instructors_have_notes(chapter):
    notes = (ROOT / "book" / "instructors.md").read_text(encoding="utf-8")
    assert chapter[0].stem in notes, "book/instructors.md has no section for this chapter"
