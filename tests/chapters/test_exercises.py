"""Self-checks of exercises tell right answers from typical wrong ones: a table of answers, tried one by one.

A self-check is run with the cells of its chapter that it needs and no others, so that nothing is trained here.
"""

import ast
import functools
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))
import chapters  # noqa: E402

# chapter -> exercise -> wrong answers, each in the place of the stub, and why somebody gives it
WRONG = {
    "13_deformation_layer": {
        "Check": {
            "one step, not two": "my_first, my_second = 4.0, 4 * math.exp(-1)",
            "zero momentum stays": "my_first, my_second = 4.0, 0.0",
            "a kernel with the half": "my_first, my_second = 4.0, 4 * math.exp(-0.5)",
            "the first's share only": "my_first, my_second = 2.0, 2 * math.exp(-1)",
        },
        "Extend": {
            "places that do not flow": """
def boundary(layer, alpha, name, count):
    places = [(name, k / (count - 1)) for k in range(count)]
    return layer.riders(places).points.expand(len(alpha), -1, -1)""",
            "the last landmark is not reached": """
def boundary(layer, alpha, name, count):
    return layer.carry(alpha, layer.riders([(name, k / count) for k in range(count)]))""",
            "one face of the batch": """
def boundary(layer, alpha, name, count):
    places = [(name, k / (count - 1)) for k in range(count)]
    return layer.carry(alpha, layer.riders(places))[0]""",
            "the other half of the jaw": """
def boundary(layer, alpha, name, count):
    places = [("left jaw", k / (count - 1)) for k in range(count)]
    return layer.carry(alpha, layer.riders(places))""",
        },
        "Explore": {
            "invented": "tried = [1.0, 0.5, 0.2]",
            "the landmarks that were taught": """
tried = []
for beta in (0.0, BETA, 10 * BETA):
    ends = partial(fitted(partial, people[:6], beta=beta, steps=60))
    tried.append((ends - people[:6])[:, list(subset)].norm(dim=-1).mean())""",
            "one number": "tried = 0.5",
        },
    },
    "22_coupled_regression": {
        "Check": {
            "x alone": "from_one, from_both, later = 400 * 39, 400 * 29, 400 * 113",
            "all of the 68": "from_one, from_both, later = 800 * 68, 800 * 29, 800 * 113",
            "a union that counts the shared ones twice": "from_one, from_both, later = 800 * 39, 800 * 29, 800 * 142",
        },
        "Extend": {
            "all sets counted": """
def united(found, knows):
    return found.nan_to_num(0.0).sum(0) / len(found)""",
            "whoever comes last": """
def united(found, knows):
    out = torch.zeros_like(found[0])
    for shape, own in zip(found, knows, strict=True):
        out[own] = shape[own]
    return out""",
            "NaN that spreads": """
def united(found, knows):
    return found.sum(0) / knows.sum(0)[:, None]""",
        },
        "Explore": {
            "rows that always sum to one": "sums = [1.0, 1.0, 1.0]",
            "the share itself": "sums = [1.0, 0.7, 0.4]",
            "one number": "sums = 0.8",
        },
    },
    "41_wasserstein_heatmaps": {
        "Check": {
            "the mean squared way": "cost, coordinate, push = 16.0, 2.0, 6.0",
            "the price, not its difference": "cost, coordinate, push = 2.0, 2.0, 8.0",
            "a mean that stays": "cost, coordinate, push = 2.0, 0.0, 6.0",
        },
        "Extend": {
            "rows for columns": """
def unseen_by_mean(u, y):
    cells, u = grid(*u.shape[1:]).flip(1).to(u), u.flatten(1)
    far = torch.cdist(y[:, None], cells[None])[:, 0]
    return (u * far).sum(1) - (u @ cells - y).norm(dim=1)""",
            "the transport cost alone": """
def unseen_by_mean(u, y):
    return transport.w1_to_point(u, y)""",
            "one sum over all maps": """
def unseen_by_mean(u, y):
    return (transport.w1_to_point(u, y) - (transport.get_bc(u) - y).norm(dim=1)).sum()""",
        },
        "Explore": {
            "twice as much each time": "astray = [0.1, 0.2, 0.4]",
            "shares of the side": "astray = [0.0045, 0.017, 0.057]",
            "the maximum, which does not move": "astray = [0.0, 0.0, 0.0]",
        },
    },
    "42_robustness": {
        "Check": {
            "images counted by their worst": "by_image, by_landmark, at_a_fifth = 2 / 3 + 0.1, 0.5, 1 / 6",
            "percent": "by_image, by_landmark, at_a_fifth = 67.0, 50.0, 17.0",
            "pairs that stay below": "by_image, by_landmark, at_a_fifth = 1 / 3, 0.5, 5 / 6",
        },
        "Extend": {
            "of all pairs, not of the lost": """
def caused(e, before, hidden, theta):
    new = (e > theta) & (before <= theta)
    return [new[m].double().mean().item() for m in (hidden, ~hidden)]""",
            "seen first": """
def caused(e, before, hidden, theta):
    new = (e > theta) & (before <= theta)
    return [(new[m].sum() / (e > theta)[m].sum()).item() for m in (~hidden, hidden)]""",
            "what was lost before": """
def caused(e, before, hidden, theta):
    new = (e > theta) & (before > theta)
    return [(new[m].sum() / (e > theta)[m].sum()).item() for m in (hidden, ~hidden)]""",
        },
        "Explore": {
            "equal shares": "hides = [0.2, 0.2]",
            "mouth first": """
shape = statistics.real_300w().mean.double().expand(3000, -1, -1)
often = perturb.ellipse(torch.zeros(3000, 1, 1, 1), shape, "large", torch.Generator().manual_seed(0)).hidden
often = often.double().mean(0)
hides = [often[48:].mean(), often[:17].mean()]""",
            "the medium ellipse": """
shape = statistics.real_300w().mean.double().expand(3000, -1, -1)
often = perturb.ellipse(torch.zeros(3000, 1, 1, 1), shape, "medium", torch.Generator().manual_seed(0)).hidden
often = often.double().mean(0)
hides = [often[:17].mean(), often[48:].mean()]""",
        },
    },
    "51_warping_to_landmarks": {
        "Check": {
            "the whole step": "my_length, of_lengths, of_slopes = 0.6, 0.0, 1.44",
            "lengths that see the side": "my_length, of_lengths, of_slopes = 0.3, 0.36, 0.36",
            "slopes that do not": "my_length, of_lengths, of_slopes = 0.3, 0.0, 0.0",
            "weights of the filter not added up": "my_length, of_lengths, of_slopes = 0.15, 0.0, 0.09",
        },
        "Extend": {
            "partners not exchanged": """
def confirmed(found, mirrored, flip, side, most):
    back = torch.stack([side - 1 - mirrored[:, 0], mirrored[:, 1]], 1)
    return found.masked_fill((found - back).norm(dim=-1, keepdim=True) > most * side, torch.nan)""",
            "a mirror at side - x": """
def confirmed(found, mirrored, flip, side, most):
    back = mirrored[list(flip)]
    back = torch.stack([side - back[:, 0], back[:, 1]], 1)
    return found.masked_fill((found - back).norm(dim=-1, keepdim=True) > most * side, torch.nan)""",
            "those that agree left out": """
def confirmed(found, mirrored, flip, side, most):
    back = mirrored[list(flip)]
    back = torch.stack([side - 1 - back[:, 0], back[:, 1]], 1)
    return found.masked_fill((found - back).norm(dim=-1, keepdim=True) <= most * side, torch.nan)""",
            "the mean of both": """
def confirmed(found, mirrored, flip, side, most):
    back = mirrored[list(flip)]
    back = torch.stack([side - 1 - back[:, 0], back[:, 1]], 1)
    off = (found - back).norm(dim=-1, keepdim=True)
    return ((found + back) / 2).masked_fill(off > most * side, torch.nan)""",
        },
        "Explore": {
            "straight home": "back_home = [1.0, 0.5, 0.0]",
            "the gradient, not minus it": "back_home = [-0.5, -0.1, -0.1]",
            "one number": "back_home = 0.2",
        },
    },
    "91_your_own_data": {
        "Check": {
            "the middle, not the corner": "my_square = [30, 39, 80]",
            "twice the shorter side": "my_square = [0, 9, 60]",
            "dy of the height": "my_square = [-10, -2, 80]",
            "the box's own corner": "my_square = [10, 24, 80]",
        },
        "Extend": {
            "pixels, whatever the size of the face": """
def look_first(spread, places, count):
    return spread.nanmean(1).argsort(descending=True)[:count]""",
            "the surest first": """
def look_first(spread, places, count):
    longer = torch.tensor([max(w, h) for _, _, w, h in places])
    return (spread.nanmean(1) / longer).argsort()[:count]""",
            "NaN that spreads": """
def look_first(spread, places, count):
    longer = torch.tensor([max(w, h) for _, _, w, h in places])
    return (spread.mean(1) / longer).argsort(descending=True)[:count]""",
            "the width": """
def look_first(spread, places, count):
    wide = torch.tensor([(w if i % 3 else h) for i, (_, _, w, h) in enumerate(places)])
    return (spread.nanmean(1) / wide).argsort(descending=True)[:count]""",
        },
        "Explore": {
            "by the number, not its root": "crowd = [2.0, 0.5, 0.125]",
            "nothing gained": "crowd = [2.0, 2.0, 2.0]",
            "fractions": "crowd = [0.02, 0.01, 0.005]",
            "one number": "crowd = 2.0",
        },
    },
}
CASES = [
    (c, e, why, answer) for c, some in WRONG.items() for e, all_of in some.items() for why, answer in all_of.items()
]


def names(source):
    """The names that a cell sets, those that it takes from outside, and the arguments of its functions."""
    nodes = list(ast.walk(ast.parse(source)))
    stored, loaded = ({n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, kind)}
                      for kind in (ast.Store, ast.Load))  # fmt: skip
    aliases = {(a.asname or a.name).split(".")[0] for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)
               for a in n.names}  # fmt: skip
    sets = stored | aliases | {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    return sets, loaded - sets, {n.arg for n in nodes if isinstance(n, ast.arg)}


def needed(cells, check, *answers):
    """The cells, in order, on which a self-check depends, and answers that are given after it has run."""
    made, wanted, _ = names(check)
    wanted, chosen = wanted.union(*(names(s)[1] - made for s in answers)), []
    for source in reversed(cells):
        sets, takes, arguments = names(source)
        if sets & wanted:
            chosen.insert(0, source)
            wanted = (wanted - sets) | (takes - arguments)
    return chosen


def exercise(chapter, title):
    """The code before an exercise that is nobody's answer, and its stub, self-check and solution."""
    notebook = chapters.read((ROOT / "notebooks" / f"{chapter}.py").read_text(encoding="utf-8"))
    heading = re.compile(rf"^:{{3,}}\{{exercise\}} {title}$", re.M)
    at = next(i for i, c in enumerate(notebook.cells) if heading.search(c.source))
    kinds, before, after = ("stub", "self-check", "solution"), [], {}
    for i, cell in enumerate(notebook.cells):
        tags = set(cell.metadata.get("tags", []))
        if i > at and tags & set(kinds):
            after.setdefault(*tags, cell.source)
        elif cell.cell_type == "code" and i < at and not tags & set(kinds) and "plt.show" not in cell.source:
            before.append(cell.source)
    return before, *(after[kind] for kind in kinds)


@functools.cache
def begun(chapter, title):
    """The names that there are before an answer is given; the self-check and the solution."""
    before, stub, check, solution = exercise(chapter, title)
    state = {}
    for source in (*needed(before, check, solution, *WRONG[chapter][title].values()), stub, check):
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
    lines = said(chapter, title, None, capsys)
    assert lines
    assert set(lines) == {"Right."}
