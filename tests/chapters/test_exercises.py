"""Self-checks of exercises tell right answers from typical wrong ones: a table of answers, tried one by one.

A self-check is run with the statements of its chapter that it needs and no others, so that nothing is trained here.
"""

import ast
import functools
import re
import symtable
import sys
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))
import chapters  # noqa: E402

from tests.chapters.wrong_answers import UNTRIED, WRONG  # noqa: E402

CASES = [
    (c, e, why, answer) for c, some in WRONG.items() for e, all_of in some.items() for why, answer in all_of.items()
]


def names(source):
    """The names that code sets or changes, and those that it takes from outside."""
    tree, top = ast.parse(source), symtable.symtable(source, "code", "exec")
    sets = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    below = [top]
    for table in below:
        below += table.get_children()
    takes = {s.get_name() for t in below for s in t.get_symbols() if s.is_referenced() and (t is top or s.is_global())}
    if len(tree.body) > 1 or hasattr(tree.body[0], "body"):  # what it takes it may have set before
        return sets, takes - sets
    places = [
        n for n in ast.walk(tree) if isinstance(n, ast.Subscript | ast.Attribute) and isinstance(n.ctx, ast.Store)
    ]
    return sets | {n.value.id for n in places if isinstance(n.value, ast.Name)}, takes


def needed(statements, stub, check, *answers):
    """The statements, in order, on which a stub and a self-check depend, and answers that are given after them."""
    (given, wanted), (made, taken), chosen = names(stub), names(check), []
    wanted |= taken.union(*(names(answer)[1] - made for answer in answers)) - given
    for source in reversed(statements):
        sets, takes = names(source)
        if sets & wanted:
            chosen.insert(0, source)
            wanted = (wanted - sets) | takes
    return chosen


@functools.cache
def read(chapter):
    return jupytext.read(ROOT / "notebooks" / f"{chapter}.py").cells


def exercise(chapter, title):
    """The statements before an exercise that are nobody's answer; its stub, self-check and solution without prints."""
    cells = read(chapter)
    heading = re.compile(rf"^:{{3,}}\{{exercise\}} {title}$", re.M)
    at = next(i for i, c in enumerate(cells) if heading.search(c.source))
    kinds, before, after = ("stub", "self-check", "solution"), [], {}
    for i, cell in enumerate(cells):
        tags = set(cell.metadata.get("tags", []))
        if i > at and tags & set(kinds):
            after.setdefault(*tags, cell.source)
        elif cell.cell_type == "code" and i < at and not tags & set(kinds):
            before += map(ast.unparse, ast.parse(cell.source).body)
    body = [each for each in ast.parse(after["solution"]).body if not ast.unparse(each).startswith("print(")]
    return before, after["stub"], after["self-check"], "\n".join(map(ast.unparse, body))


@functools.cache
def set_up(chapter):
    """The names that the exercises of a chapter find, from the statements that one of them needs."""
    state, wanted = {}, set()
    for title, answers in WRONG[chapter].items():
        before, stub, check, solution = exercise(chapter, title)
        wanted |= set(needed(before, stub, check, solution, *answers.values()))
    for source in (source for source in before if source in wanted):  # of the last: all are before it
        exec(compile(source, chapter, "exec"), state)
    return state


@functools.cache
def begun(chapter, title):
    """The names that there are before an answer is given; the self-check and the solution."""
    _, stub, check, solution = exercise(chapter, title)
    state = dict(set_up(chapter))
    for source in (stub, check):
        exec(compile(source, chapter, "exec"), state)
    return state, check, solution


def said(chapter, title, answer, capsys):
    """What the self-check prints on an answer; None: on the solution."""
    state, check, solution = begun(chapter, title)
    state = dict(state)
    exec(compile(answer or solution, chapter, "exec"), state)
    capsys.readouterr()
    exec(compile(check, chapter, "exec"), state)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("chapter", "title", "why", "answer"), CASES, ids=[f"{c[:2]} {e}: {w}" for c, e, w, _ in CASES]
)
def test_a_wrong_answer_is_called_wrong(chapter, title, why, answer, capsys):
    lines = said(chapter, title, answer, capsys)
    assert any(line.startswith("Not quite") for line in lines)


@pytest.mark.parametrize(("chapter", "title"), [(c, e) for c in WRONG for e in WRONG[c]])
def test_the_solution_is_called_right(chapter, title, capsys):
    verdicts = [line for line in said(chapter, title, None, capsys) if line.startswith(("Right", "Not "))]
    assert verdicts
    assert set(verdicts) == {"Right."}


def test_every_exercise_is_tried():
    """By three wrong answers or more, but for those whose answers take too long to judge here."""
    every = {(path.stem, title) for path in chapters.paths() for title in ("Check", "Extend", "Explore")}
    tried = {(c, e) for c in WRONG for e in WRONG[c]}
    assert tried | UNTRIED.keys() == every
    assert not tried & UNTRIED.keys()
    assert all(len(answers) >= 3 for some in WRONG.values() for answers in some.values())
