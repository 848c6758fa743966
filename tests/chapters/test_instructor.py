"""The instructor's kit: keys are right by other ways than the library's, plans fit, students' copies hold no key."""

import itertools
import json
import math
import random
import re
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))
import chapters  # noqa: E402
import kit  # noqa: E402
import plans  # noqa: E402
import problems  # noqa: E402
import slides  # noqa: E402
import times  # noqa: E402

from lddmmlib.faces import schemes, statistics  # noqa: E402

SEEDS = (0, 1, 7)
PROBLEMS = [problem for some in problems.CHAPTERS.values() for problem in some]


def bump(r, sigma):
    return math.exp(-((r / sigma) ** 2))


def plate(h, d, x, y):
    """A thin plate over four controls, its one weight by hand."""
    r = [math.hypot(x - a * h, y - b * h) for a in (1, -1) for b in (1, -1)]
    phi = [v**2 * math.log(v) if v else 0.0 for v in r]
    return d / (4 * h**2 * math.log(2)) * (phi[0] - phi[1] - phi[2] + phi[3])


def soft_threshold(c, tau):
    lam = next(lam for lam in np.arange(0, 12.01, 0.5) if sum(max(abs(v) - lam, 0) for v in c) <= tau)
    return [*(math.copysign(max(abs(v) - lam, 0), v) for v in c), lam]


def cumulated(u, v):
    gaps = [a - b for a, b in zip(u, v, strict=True)]
    return [sum(map(abs, itertools.accumulate(gaps))), abs(sum(k * g for k, g in enumerate(gaps)))]


def shannon(p, q):
    u, v = [p, 1 - p, 0], [0, 1 - q, q]
    terms = [w * math.log(2 * w / (a + b)) / 2 for a, b in zip(u, v, strict=True) for w in (a, b) if w]
    return [sum(terms), math.log(2), math.log(2)]


def similar(p, q, r, to):
    p, q, r, there, end = (complex(*z) for z in (p, q, r, *to))
    b = (end - there) / (q - p)
    z = there + b * (r - p)
    return [abs(b), math.degrees(math.atan2(b.imag, b.real)), z.real, z.imag]


def two_steps(sigma, r, a, b):
    y = [0.0, 0.0]
    for _ in range(2):
        k = bump(math.hypot(r, y[0] - y[1]), sigma)
        y = [y[0] + (a + k * b) / 2, y[1] + (b + k * a) / 2]
    return y


def rounded_cell(stride, at):
    u, v = ((x - (stride - 1) / 2) / stride for x in at)
    off = [stride * math.hypot(*(w - to(w) for w in (u, v))) for to in (lambda w: math.floor(w + 0.5), math.floor)]
    return [u, v, *off]


def three_cells(left, right, tau):
    weight = [math.exp(tau * v) + 2 for v in (left, 0.9, right)]
    return [1 + math.copysign(0.25, right - left), 1 + (weight[2] - weight[0]) / sum(weight),
            (0.9 + 2 * right) / (left + 0.9 + right)]  # fmt: skip


def second_knot(rho, first, second):
    lam = max((second - rho * first) / (1 - rho), (rho * first - second) / (1 + rho))  # the pulls meet, or are opposed
    return [first, lam, first - lam]


def lost(table, hidden, t):
    e = np.array(table)
    mask = np.zeros(e.shape, bool)
    for i, some in enumerate(hidden):
        mask[i, some] = True
    return [100 * v for v in ((e.mean(1) > t).mean(), (e > t).mean(), (e[mask] > t).mean(), (e[~mask] > t).mean())]


def mean_error(truth, off, threshold):
    w, h = np.ptp(truth, axis=0)
    e, box = 100 * np.hypot(*np.transpose(off)), math.sqrt(w * h)
    return [e.mean() / box, 2 * e.mean() / (w + h), 100 * (e / box > threshold).mean()]


def affine(to, point):
    A = np.linalg.solve([[0, 0, 1], [40, 0, 1], [0, 40, 1]], to)  # rows: of x, of y, shift
    return [*(np.array([*point, 1]) @ A), np.linalg.det(A[:2])]


def filtered(patch):
    p, smooth = np.array(patch), np.array([1, 2, 1]) / 4
    dx, dy = smooth @ (p[:, 2] - p[:, 0]) / 2, smooth @ (p[2] - p[0]) / 2
    return [dx, dy, math.hypot(dx, dy)]


def staged(side, offs, weights):
    stage = [np.hypot(*np.transpose(off)).mean() / side for off in offs]
    return [stage[1], stage[0] * weights[0] + stage[1] * weights[1]]


def rates(steps, rate, early, late):
    warm = 0.04 + 0.96 * (early / steps) / 0.1
    cosine = 0.5 + 0.5 * math.cos(math.pi * (late / steps - 0.1) / 0.9)
    return [1e3 * rate * v for v in (warm, cosine, 1 if late < steps / 2 else 0.1)]


def cropped(box, size, point):
    k, centre = size / (1.25 * max(box[2:])), [box[0] + box[2] / 2, box[1] + box[3] / 2]
    return [k, *((p - c) * k + (size - 1) / 2 for p, c in zip(point, centre, strict=True)), *centre]


def to_point(m, places, to):
    mean = np.array(m) @ np.array(places)
    return [sum(w * math.dist(p, to) for w, p in zip(m, places, strict=True)), *mean, math.dist(mean, to)]


def converted(source, target):
    copies = len({j for _, j in schemes.shared(source, target)})
    return [copies, None, None]


def partner(width, k, x):
    """The landmark of the mean face that is nearest to the mirror image of this one."""
    mean = statistics.real_300w().mean.numpy()
    mirrored = (mean - mean[[36, 45]].mean(0)) * [-1, 1] + mean[[36, 45]].mean(0)
    return [width - 1 - x, np.linalg.norm(mean - mirrored[k], axis=1).argmin()]


def turned(yaw, scale, centre, point):
    a = math.radians(yaw)
    x, z = point[0] * math.cos(a) + point[2] * math.sin(a), point[2] * math.cos(a) - point[0] * math.sin(a)
    return [centre[0] + scale * x, scale * z]


def steps_and_energy(sigma, lengths, d, q):
    return [math.floor(math.sqrt(2 / math.e) * sum(lengths) / sigma) + 1, q**2 * (1 - bump(2 * d, sigma))]


def parallel(length, apart, sigma, beta, times):
    D = beta * 2 * length**2 * (1 - bump(apart, sigma)) + apart
    return [D, beta / times, times * D]


def mixed(known, h, t):
    return [*(np.array(h) @ np.array(known)), abs(1 - sum(h)) * math.hypot(*t)]


def objective(w, first, second, alpha):
    of = [sum((a - x * b) ** 2 for a, b in zip(y, w, strict=True)) for x, y in ((1, first), (2, second))]
    decay = alpha * sum(v**2 for v in w)
    return [of[0] + decay, sum(of) + decay]


def first_velocity(sigma, r, p, q):
    k, half = bump(r, sigma), bump(r / 2, sigma)
    return [a + k * b for a, b in zip(p, q, strict=True)] + [half * (a + b) for a, b in zip(p, q, strict=True)]


def mirrored(side, stride, u):
    return [side - 1 - (stride * u + (stride - 1) / 2), 0.0, stride - 1.0]


def targets(views):
    mean, u = np.mean([math.floor(v + 0.5) for v in views]), views[2]
    return [mean, u, abs(mean - u), abs(math.floor(u + 0.5) - u)]


def blurred(level, side):
    length = {"medium": 0.08, "large": 0.2}[level] * side
    s = np.linspace(-length / 2, length / 2, 20001)
    hat = [np.trapezoid(np.maximum(0, 1 - abs(s - k)), s) / length for k in (0, 1)]
    return [length, *hat, 1.0]


def of_curve(curve, shift, d):
    sigma = np.ptp(curve, axis=0).sum() / 2
    return [sigma, sigma / 2, math.hypot(*shift) / d]


def moved_square(box, k, move):
    longer = max(box[2:])
    return [*(b + s / 2 + m * longer - k * longer / 2 for b, s, m in zip(box, box[2:], move, strict=False)), k * longer]


def fifth_of_six(ratios, radius, truth, found):
    factor = sorted(ratios)[4] / 100
    return [factor, factor * radius, math.dist(truth, found) / (factor * radius)]


BY_HAND = {
    "similarity": similar,
    "mirror": partner,
    "camera": turned,
    "conversion": converted,
    "mean_error": mean_error,
    "failures": lambda errors, threshold: [100 * np.mean(np.array(errors) > threshold),
                                           100 * np.mean([max(0, 1 - e / threshold) for e in errors])],
    "velocity": first_velocity,
    "currents_of_edges": lambda length, apart, sigma: [2 * length**2 * (1 + s * bump(apart, sigma)) for s in (-1, 1)],
    "two_steps": two_steps,
    "certificate": steps_and_energy,
    "one_landmark": lambda gamma, d: [1 / (2 * gamma), d - 1 / (4 * gamma), 1 / (2 * d)],
    "units": parallel,
    "rider": lambda sigma, r, m: two_steps(sigma, r, m, 0),
    "widths": of_curve,
    "soft_threshold": soft_threshold,
    "second_knot": second_knot,
    "recipe": mixed,
    "extrapolation": lambda beyond: [1 + beyond, -beyond, 1 + 2 * beyond, 2],
    "frame": lambda box, point: [*((p - b - s / 2) / max(box[2:]) + 0.5 for p, b, s in zip(point, box, box[2:],
                                                                                          strict=False)),
                                 1 / max(box[2:])],
    "turns": objective,
    "rounding": rounded_cell,
    "three_cells": three_cells,
    "mean_target": targets,
    "mirrored_cell": mirrored,
    "earth": cumulated,
    "to_a_point": to_point,
    "softmax_trap": lambda side, tau: [math.exp(tau) / (math.exp(tau) + side**2 - 1), math.log(side**2 - 1)],
    "shannon": shannon,
    "hidden_and_seen": lost,
    "blurred_dot": blurred,
    "saddle": lambda h, d: [plate(h, d, 2 * h, 2 * h), plate(h, d, 0, h)],
    "three_pins": affine,
    "sobel": filtered,
    "two_stages": staged,
    "square": moved_square,
    "trust": fifth_of_six,
    "schedule": rates,
    "crop": cropped,
}  # fmt: skip


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.__name__)
def test_a_key_is_right_by_another_way(problem):
    drawn = [problem(random.Random(f"{seed} {problem.__name__}")) for seed in SEEDS]
    assert len({made.text for made in drawn}) > 1
    for made in drawn:
        assert sum(points for points, _ in made.rubric) == problems.POINTS
        expected = BY_HAND[problem.__name__](**made.given)
        for (name, value), other in zip(made.answers.items(), expected, strict=True):
            near = 1e-9 + made.tolerance / 4 * max(1, abs(value))
            assert other is None or abs(value - other) <= near, (made.given, name, value, other)


def test_a_seed_makes_one_sheet_and_another_seed_another():
    some = kit.chosen(["10", "30"])
    sheets = [kit.sheet(some, seed, key=False) for seed in (3, 3, 4)]
    assert sheets[0] == sheets[1] != sheets[2]


def test_every_chapter_has_two_problems_and_the_sheet_tells_no_answers():
    numbers = {path.stem[:2] for path in chapters.paths()}
    assert set(problems.CHAPTERS) == numbers
    assert all(len(some) == 2 for some in problems.CHAPTERS.values())
    some = kit.chosen(["00", "11"])
    sheet, key = (kit.sheet(some, 7, key) for key in (False, True))
    for problem in (*problems.drawn("00", 7), *problems.drawn("11", 7)):
        assert problem.text in sheet
        assert problem.way in key
        assert problem.way not in sheet
    assert "| for |" in key
    assert "| for |" not in sheet


def test_students_copies_hold_nothing_of_the_kit():
    text = json.dumps(chapters.student_copy(chapters.paths()[4]))
    assert "reading-time" not in text
    assert times.told(plans.read("11_flows_and_shooting")) in text
    assert not [p for p in problems.drawn("11", 0) if p.way in text or p.text in text]


def test_predictions_are_asked_and_answered():
    for path, notebook in kit.chosen([]):
        cells = times.cells_by_section(notebook)["Predict first"]
        assert slides.question(cells), path.stem
        assert len(kit.answer(path, cells)) > 30, path.stem


def test_solutions_are_all_there():
    some = kit.chosen(["20", "51"])
    text = kit.solutions(some)
    for _, notebook in some:
        found = [c.source for c in notebook.cells if "solution" in c.metadata.get("tags", [])]
        assert len(found) == 3
        assert all(source in text for source in found)
    assert len(re.findall(r"^\*\*[1-4]\.\*\*.*(?:\n.+)*\n\n- \*\*[abc]\.", text, re.M)) == 8


# --------------------------------------------------------------------------------------------------------- plans


CHAPTER = """# %% [markdown]
# # A chapter
#
# :::{admonition} At a glance
# **Question** Why?
#
# **You will be able to** count
#
# **Before this** {doc}`01_faces_and_schemes`
#
# **Reading** {reading-time}`-`
# :::

# %% [markdown]
# ## Predict first
#
# **Is it so?**
#
# ## A part
#
# WORDS
#
# $$
# a = b
# $$ (eq-first)
#
# So much.

# %% mystnb={"figure": {"caption": "A line."}}
x = 1
y = 2

# %% tags=["hide-input"]
z = 3

# %% [markdown]
# ## Exercises
#
# :::{exercise} Check
# Do it.
# :::
#
# ## Quiz
#
# **1.** Why?
#
# ## Take-aways
#
# - This.
"""


@pytest.fixture
def chapter():
    return chapters.read(CHAPTER.replace("WORDS", "word " * 298))


def test_minutes_are_counted_from_words_formulas_code_and_exercises(chapter):
    counted = {s.title: s.minutes for s in times.sections(chapter)}
    assert counted["A part"] == pytest.approx(300 / 100 + 1 + 2 / 20)
    assert counted["Exercises"] == 10
    assert counted["Quiz"] == 1
    assert counted["Predict first"] == pytest.approx(3 + 3 / 100)
    assert times.told(chapter) == "5 minutes, and 10 for exercises and quiz"
    assert times.needs(chapter) == ["01_faces_and_schemes"]
    rule = (ROOT / "book" / "instructors.md").read_text(encoding="utf-8").split("## ")[0]
    words = {times.WORDS: "every hundred words", times.LINES: "twenty lines", times.PREDICTION: "three minutes more",
             times.EXERCISE: "an exercise has ten", times.QUESTION: "question of the quiz one"}  # fmt: skip
    assert list(words) == [100, 20, 3, 10, 1]
    assert all(said in " ".join(rule.split()) for said in words.values())


def test_lessons_fit_and_teach_the_chapters_own_sections():
    notes = (ROOT / "book" / "instructors.md").read_text(encoding="utf-8")
    for stem in plans.stems():
        found = re.search(rf"^## (.*)\n\n```\{{plan\}} {stem}\n(?::leave: (.*)\n)?```", notes, re.M)
        if stem.startswith("9") and not found:
            continue  # an appendix may be read without a class
        notebook, leave = plans.read(stem), plans.left(found[2] or "")
        assert found[1] == f"{stem[:2]} · {times.title(notebook)}"
        own = {s.title for s in times.sections(notebook) if s.own}
        assert set(leave) <= own
        for length in (45, 90):
            parts = plans.lesson(notebook, length, leave)
            names = {name for name, _ in parts}
            assert 0.6 * length <= sum(m for _, m in parts) <= length
            assert {"Predict first", "Take-aways"} | own - set(leave if length == 45 else ()) <= names
        assert {"Check", "Quiz"} <= names


def test_the_map_has_every_chapter_below_what_it_needs():
    order, drawn = plans.in_order(), plans.drawn_map()
    assert sorted(order) == plans.stems()
    needs = [(need, stem) for stem in order for need in times.needs(plans.read(stem))]
    assert all(order.index(need) < order.index(stem) for need, stem in needs)
    assert drawn.count("<path") == len(needs) > 20
    assert drawn.count("<text") == len(order)


def courses():
    text = (ROOT / "book" / "course.md").read_text(encoding="utf-8")
    found = re.findall(r"^## (.*)\n(?:(?!^## )(?:.|\n))*?```\{course\} (\d+)\n((?:.|\n)*?)```", text, re.M)
    return {title: (int(length), plans.course(lines.splitlines(), int(length))) for title, length, lines in found}


def test_courses_take_chapters_after_what_they_need_and_in_their_time():
    found = courses()
    assert list(found) == ["One lecture", "One week", "One term"]
    for title, (length, rows) in found.items():
        taken = [stem for _, some, _, _ in rows for stem in some]
        if length:
            for i, stem in enumerate(taken):
                assert set(times.needs(plans.read(stem))) <= set(taken[:i]), (title, stem)
            assert all(minutes <= 180 for *_, minutes in rows)
        else:
            assert sum(minutes for *_, minutes in rows) <= 90
            assert all(word in (ROOT / "book" / "course.md").read_text("utf-8") for word in ("Eight predictions",))
            assert len(taken) == 8
    assert {s for _, some, _, _ in found["One term"][1] for s in some} >= {s for s in plans.stems() if s[0] < "9"}
    assert [row[0] for row in found["One term"][1]] == [f"Week {k + 1}" for k in range(13)]


def test_projects_have_rubrics_of_equal_sums_and_data_that_can_be_made():
    text = (ROOT / "book" / "projects.md").read_text(encoding="utf-8")
    rubrics = [[int(p) for p in re.findall(r"^\| (\d+) \|", part, re.M)] for part in text.split("## ")[1:]]
    assert [sum(points) for points in rubrics] == [25, 25]
    assert text.count("*Milestones.*") == 2
    code = re.findall(r"```python\n((?:.|\n)*?)```", text)
    assert len(code) == 2
    for block in code:
        state = {}
        exec(block.replace("range(2)", "range(1)"), state)  # one face is enough here
        if "both" in state:
            assert {tuple(len(x) for x in pair) for pair in state["both"]} == {(68, 29)}
        else:
            assert state["hidden"].image.shape == state["blurred"].shape


# --------------------------------------------------------------------------------------------------------- slides


def test_slides_hold_equation_figure_and_answer_in_their_places(chapter, monkeypatch):
    figure = next(c for c in chapter.cells if "figure" in c.metadata.get("mystnb", {}))
    figure.outputs = [{"output_type": "display_data", "data": {"image/png": "aGVsbG8="}, "metadata": {}}]
    found = list(slides.slides(chapter, 7))
    assert [where for where, _ in found] == ["", "Predict first", "A part", "A part", ""]
    assert "\\tag{7.1}" in found[2][1]
    assert "data:image/png;base64,aGVsbG8=" in found[3][1]
    shown = kit.slide_show(ROOT / "07_some.py", chapters.Run(chapter, 0.0, 0.0, None))
    assert shown.count('<section class="slide">') == 5
    assert "\\begin{equation*}" in shown
    assert "A line." in shown
    assert not re.search(r'(?:src|href)="(?:https?:)?//', shown), "a slide needs no network"


def test_the_kit_is_written_and_says_where(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(chapters, "put_mathjax", lambda folder: None)
    run = chapters.Run(plans.read("20_lars"), 0.0, 0.0, None)
    done = type("Done", (), {"result": lambda self: run})()
    monkeypatch.setattr(chapters, "start_all", lambda paths: {path.stem: done for path in paths})
    assert kit.main(tmp_path, 5, ["20"]) == 0
    said = capsys.readouterr().out
    for name in ("sheet-5.html", "key-5.html", "solutions.html", "predictions.html", "slides/20_lars.html"):
        assert (tmp_path / name).as_uri() in said
        assert (tmp_path / name).read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(SystemExit, match="There are: 00, 01"):
        kit.main(tmp_path, 5, ["77"])
