"""Plans for teaching, made from the chapters' own cards and times: the directives {plan}, {outcomes}, {course} and
{chapter-map}."""

import html
from pathlib import Path
from typing import ClassVar

import chapters
import times
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

# What comes into a class, first to last, as long as it fits; a prediction and the take-aways always do.
ALWAYS = ("Predict first", "Take-aways")
AFTER_OWN = ("On a face", "If it goes wrong", "Quiz", "Check", "Paper versus code", "Choosing the parameters",
             "The recorded run", "Extend", "Explore", "Set-up")  # fmt: skip
ROW, LEFT, LETTER = 28, 64, 6.4  # of the map, px: a row, where names begin, a letter at the most on average
MAP = """<svg class="chapter-map" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">
<style>.chapter-map {{ width: 100%; max-width: 27rem; font-size: 12px; color: inherit }}
.chapter-map text {{ fill: currentColor }} .chapter-map a:hover text {{ text-decoration: underline }}
.chapter-map path {{ fill: none; stroke: currentColor; stroke-width: 1.4; opacity: .55 }}
.chapter-map circle {{ fill: currentColor }}</style>
{drawn}</svg>"""


def read(stem: str):
    return times.read(chapters.ROOT / "notebooks" / f"{stem}.py")


def stems() -> list[str]:
    return [path.stem for path in chapters.paths()]


def stem_of(number: str) -> str:
    """The file's name of a chapter that is given by its number, or by its name."""
    return next(stem for stem in stems() if stem.startswith(number.strip()))


def lesson(notebook, length: int, leave: tuple[str, ...] = ()) -> list[tuple[str, int]]:
    """What fits into a class of that many minutes, in the chapter's order, with whole minutes; at least one each."""
    parts = {}
    for each in times.sections(notebook):
        if each.title == "Exercises":
            parts |= dict.fromkeys(("Check", "Extend", "Explore"), times.EXERCISE)
        elif each.title != "Equation, function, test":
            parts[each.title] = max(1, round(each.minutes))
    own = [each.title for each in times.sections(notebook) if each.own]
    wanted = [*(name for name in own if name not in leave), *leave, *AFTER_OWN]
    chosen = {name: parts[name] for name in ALWAYS}
    for name in wanted:
        if sum(chosen.values()) + parts[name] <= length:
            chosen[name] = parts[name]
    return [(name, minutes) for name, minutes in parts.items() if name in chosen]


def in_order() -> list[str]:
    """The chapters such that each stands after those that it needs, else in the book's order."""
    found: list[str] = []

    def place(stem: str) -> None:
        if stem not in found:
            for need in times.needs(read(stem)):
                place(need)
            found.append(stem)

    for stem in stems():
        place(stem)
    return found


def drawn_map() -> str:
    """The map as SVG: the chapters below each other, and an arc from each to those that need it."""
    order = in_order()
    y = {stem: ROW * (i + 0.5) for i, stem in enumerate(order)}
    arcs, rows, longest = [], [], 0
    for stem in order:
        notebook = read(stem)
        for need in times.needs(notebook):
            reach = min(1.3 * LEFT - 14, 8 + 0.12 * (y[stem] - y[need]))
            arcs.append(f'<path d="M{LEFT - 8} {y[need]:g}C{LEFT - 8 - reach:.0f} {y[need]:g} {LEFT - 8 - reach:.0f} '
                        f'{y[stem]:g} {LEFT - 8} {y[stem]:g}"/>')  # fmt: skip
        name = f"{stem[:2]} · {times.title(notebook)}"
        longest = max(longest, len(name))
        rows.append(f'<circle cx="{LEFT - 8}" cy="{y[stem]:g}" r="3.5"/><a href="../notebooks/{stem}.html">'
                    f'<text x="{LEFT + 4}" y="{y[stem] + 4:g}">{html.escape(name)}</text></a>')  # fmt: skip
    label = "The chapters below each other, with an arc from each to every later one that needs it."
    return MAP.format(
        width=round(LEFT + 8 + LETTER * longest), height=ROW * len(order), label=label, drawn="\n".join([*arcs, *rows])
    )


class FromChapters(SphinxDirective):
    """A directive whose Markdown is made from the chapters; its page is read anew when they or the rule change."""

    def run(self) -> list[nodes.Node]:
        for path in (*chapters.paths(), Path(__file__), Path(times.__file__)):
            self.env.note_dependency(str(path))
        around = nodes.Element()
        self.state.nested_parse(StringList(self.markdown(), source=str(Path(__file__))), self.content_offset, around)
        return around.children

    def markdown(self) -> list[str]:
        raise NotImplementedError


class Plan(FromChapters):
    """``{plan} 11_flows_and_shooting``: the chapter's link and times, and what fits into 45 and into 90 minutes.

    The option ``:leave:`` names own sections, separated by `|`, that are left out first where time is short.
    """

    required_arguments = 1
    option_spec: ClassVar = {"leave": directives.unchanged}

    def markdown(self) -> list[str]:
        notebook, leave = read(self.arguments[0]), left(self.options.get("leave", ""))
        lines = [f"{{doc}}`../notebooks/{self.arguments[0]}`. *Reading:* {times.told(notebook)}. "
                 f"*Running all its cells:* {{run-time}}`{self.arguments[0]}`.", ""]  # fmt: skip
        for length in (45, 90):
            parts = lesson(notebook, length, leave)
            told = " · ".join(f"{name} ({minutes})" for name, minutes in parts)
            lines += [f"**{length} minutes.** {told}. In all {sum(m for _, m in parts)}.", ""]
        return lines


def left(option: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in option.split("|") if name.strip())


class Outcomes(FromChapters):
    """``{outcomes}``: a table of all chapters with what they need, how long they take and what is learned there."""

    def markdown(self) -> list[str]:
        lines = ["| chapter | needs | minutes: reading, exercises | you will be able to |", "|:--|:--|:--|:--|"]
        for stem in stems():
            notebook = read(stem)
            needs = ", ".join(n[:2] for n in times.needs(notebook)) or times.card(notebook)["Before this"]
            reading, _, doing = times.told(notebook).partition(" minutes, and ")
            able = times.card(notebook)["You will be able to"].replace("|", "\\|")
            lines.append(f"| {{doc}}`{stem[:2]} <../notebooks/{stem}>` {times.title(notebook)} | {needs} | "
                         f"{reading}, {doing.split()[0]} | {able} |")  # fmt: skip
        return [*lines, ""]


def course(lines: list[str], length: int | None) -> list[tuple[str, list[str], str, int]]:
    """The rows of a course: when, its chapters, what for, and its minutes; without a length, of predictions alone."""
    rows = []
    for line in lines:
        when, numbers, what = (part.strip() for part in line.split("|"))
        found = [stem_of(number) for number in numbers.split(",")]
        parts = [lesson(read(stem), length or 0) for stem in found]
        rows.append((when, found, what, sum(m for some in parts for _, m in some)))
    return rows


class Course(FromChapters):
    """``{course} 90``: a table from lines `when | chapters | what for`, each chapter taught for 90 minutes, or for 45.

    With the argument 0 only predictions and take-aways are taught.
    """

    required_arguments = 1
    has_content = True

    def markdown(self) -> list[str]:
        length = int(self.arguments[0])
        rows = course([line for line in self.content if line.strip()], length)
        lines = ["| when | chapters | what for | minutes |", "|:--|:--|:--|--:|"]
        for when, found, what, minutes in rows:
            links = ", ".join(f"{{doc}}`{stem[:2]} <../notebooks/{stem}>`" for stem in found)
            lines.append(f"| {when} | {links} | {what} | {minutes} |")
        return [*lines, f"| | | **in all** | **{sum(row[3] for row in rows)}** |", ""]


class ChapterMap(FromChapters):
    """``{chapter-map}``: which chapter needs which, drawn."""

    def run(self) -> list[nodes.Node]:
        super().run()
        return [nodes.raw("", drawn_map(), format="html")]

    def markdown(self) -> list[str]:
        return []


def reading_time(name, rawtext, text, lineno, inliner, options=None, content=None):
    """The role {reading-time}`-`: how long this chapter takes to read, by the rule of `times`."""
    stem = inliner.document.settings.env.docname.removeprefix("notebooks/")
    return [nodes.Text(times.told(read(stem)))], []


def setup(app) -> None:
    for name, directive in {"plan": Plan, "outcomes": Outcomes, "course": Course, "chapter-map": ChapterMap}.items():
        app.add_directive(name, directive)
    app.add_role("reading-time", reading_time)
