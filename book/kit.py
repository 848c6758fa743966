"""The instructor's kit: `python book/kit.py DIR [--seed N] [--chapters NN ...]` writes problems and their key,
solutions, the answers to the predictions, and slides. Everything opens without network."""

import argparse
import html
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import chapters
import problems
import slides
import times
from markdown_it import MarkdownIt
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{css}</style>
<script>MathJax = {{ tex: {{ inlineMath: [["\\\\(", "\\\\)"]], displayMath: [["\\\\[", "\\\\]"]],
  macros: {{ R: "\\\\mathbb{{R}}", argmin: "\\\\operatorname*{{arg\\\\,min}}" }} }} }};</script>
<script defer src="{root}mathjax/tex-chtml.js"></script></head>
<body>
{body}
<script>{script}</script></body></html>
"""
CSS = """
:root { color-scheme: light dark; } body { font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: auto;
  padding: 1rem; overflow-wrap: break-word; background: Canvas; color: CanvasText; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
td, th { border: 1px solid #8886; padding: .2rem .6rem; text-align: left; }
pre { overflow-x: auto; background: #8881; padding: .6rem; } code { font-size: .9em; } img { background: #fff; }
.math { overflow-x: auto; overflow-y: hidden; } .math.inline { overflow: visible; }
mjx-container[display="true"] { min-width: 0 !important; }
@media print { h2 { break-before: page; } pre { white-space: pre-wrap; } }
"""
# What a prediction's fold in the page does not answer, is answered in the notes, after these words.
NOTES = chapters.ROOT / "book" / "instructors.md"
ANSWER = re.compile(r"\*The answer\.\* ((?:.|\n)*?)(?=\n\n)")


def converter() -> MarkdownIt:
    """Markdown with tables and formulas; these are left to MathJax."""
    md = MarkdownIt("commonmark", {"html": True}).enable("table")
    md.validateLink = lambda url: True  # pictures are in the page itself
    ends = {True: (r"\[", r"\]"), False: (r"\(", r"\)")}
    dollarmath_plugin(md, renderer=lambda tex, how: html.escape(ends[how["display_mode"]][0] + tex
                                                                + ends[how["display_mode"]][1]))  # fmt: skip
    amsmath_plugin(md, renderer=html.escape)
    return md


MD = converter()


def page(title: str, body: str, css: str = CSS, script: str = "", root: str = "") -> str:
    return PAGE.format(title=html.escape(title), body=body, css=css, script=script, root=root)


def chosen(numbers: list[str]) -> list[tuple[Path, object]]:
    """(path, notebook) of the chapters with these numbers; of all without any."""
    found = [path for path in chapters.paths() if not numbers or path.stem[:2] in numbers]
    return [(path, times.read(path)) for path in found]


def heading(path: Path, notebook) -> str:
    return f"## {path.stem[:2]} · {times.title(notebook)}"


def sheet(some: list, seed: int, key: bool) -> str:
    """The problems of a seed in Markdown; with the key also answers, ways and rubrics."""
    lines = [f"# {'Key to the problems' if key else 'Problems'} of seed {seed}", ""]
    for path, notebook in some:
        for i, problem in enumerate(problems.drawn(path.stem[:2], seed)):
            lines += ["" if i else heading(path, notebook), "", f"### Problem {int(path.stem[:2])}.{i + 1} "
                      f"({problems.POINTS} points)", "", problem.text, ""]  # fmt: skip
            lines += answers(problem) if key else []
    return "\n".join(lines)


def answers(problem: problems.Problem) -> list[str]:
    off = f"up to {100 * problem.tolerance:g} % off" if problem.tolerance else "exactly"
    rows = [f"| {name} | {value:.5g} |" for name, value in problem.answers.items()]
    points = [f"| {points} | {what} |" for points, what in problem.rubric]
    return [f"*Answers, {off}:*", "", "| asked | answer |", "|:--|--:|", *rows, "", f"*The way.* {problem.way}", "",
            "| points | for |", "|--:|:--|", *points, ""]  # fmt: skip


def plain(text: str, notebook, number: int) -> str:
    labels = chapters.EQUATION.findall("\n".join(c.source for c in notebook.cells if c.cell_type == "markdown"))
    return chapters.plain_markdown(text, {label: f"{number}.{i + 1}" for i, label in enumerate(labels)})


def solutions(some: list) -> str:
    """Each exercise with its solution and what it shows, and the right answers of each quiz."""
    lines = ["# Solutions of all exercises, and the quizzes' answers"]
    for path, notebook in some:
        lines += ["", heading(path, notebook), ""]
        sections = times.cells_by_section(notebook)
        for cell in sections["Exercises"]:
            tags = cell.metadata.get("tags", [])
            if cell.cell_type == "markdown":
                lines += [plain(cell.source, notebook, int(path.stem[:2])), ""]
            elif "solution" in tags:
                lines += ["**Solution**", "", f"```python\n{cell.source}\n```", ""]
        lines += ["**Quiz**", ""]
        text = "\n".join(c.source for c in sections["Quiz"] if c.cell_type == "markdown")
        for question in re.split(r"^(?=\*\*\d+\.\*\*)", text, flags=re.M)[1:]:
            asked = question.split("\n\n")[0]
            right = re.findall(r"\{dropdown\} (.*)\n\*\*Right\*\*\.? *((?:.|\n)*?)\n:{3,}", question)
            lines += [asked, "", *(f"- **{option}** {why}" for option, why in right), ""]
    return "\n".join(lines)


def predictions(some: list) -> str:
    """Each chapter's question before the first picture is explained, and its answer."""
    lines = ["# The predictions and their answers"]
    for path, notebook in some:
        cells = times.cells_by_section(notebook)["Predict first"]
        told = [plain(text, notebook, int(path.stem[:2])) for text in (*slides.question(cells), answer(path, cells))]
        lines += ["", heading(path, notebook), "", *(f"{text}\n" for text in told)]
    return "\n".join(lines)


def answer(path: Path, cells: list) -> str:
    """The answer to a prediction: the chapter's own words, else those of the notes for instructors."""
    notes = re.split(r"^## ", NOTES.read_text(encoding="utf-8"), flags=re.M)
    mine = next((text for text in notes if path.stem in text), "")
    found = ANSWER.search(mine + "\n\n")
    return "\n\n".join(filter(None, (slides.answer(cells), found and found[1])))


def slide_show(path: Path, run: chapters.Run) -> str:
    """The slides of an executed chapter, as one page."""
    body = []
    for where, text in slides.slides(run.notebook, int(path.stem[:2])):
        text, _, caption = text.partition("\n\n:caption: ")
        parts = [f'<p class="where">{MD.renderInline(where)}</p>' if where else "", MD.render(text),
                 f'<p class="caption">{html.escape(caption)}</p>' if caption else ""]  # fmt: skip
        body.append(f'<section class="slide">{"".join(parts)}</section>')
    return page(times.title(run.notebook), "\n".join(body), CSS + slides.CSS, slides.KEYS, "../")


def write(path: Path, text: str, what: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    print(f"  {what:<12} {path.resolve().as_uri()}", flush=True)


def main(folder: Path, seed: int, numbers: list[str]) -> int:
    some = chosen(numbers)
    if not some:
        sys.exit(f"Which chapters are {', '.join(numbers)}? There are: "
                 f"{', '.join(path.stem[:2] for path in chapters.paths())}.")  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    chapters.put_mathjax(folder / "mathjax")
    for name, key, what in ((f"sheet-{seed}", False, "problems"), (f"key-{seed}", True, "their key")):
        text = sheet(some, seed, key)
        write(folder / f"{name}.html", page(name, MD.render(text)), what)
    write(folder / "solutions.html", page("Solutions", MD.render(solutions(some))), "solutions")
    write(folder / "predictions.html", page("Predictions", MD.render(predictions(some))), "predictions")
    runs = chapters.start_all([path for path, _ in some])
    stopped = 0
    for path, _ in some:
        run = runs[path.stem].result()
        stopped += run.stop is not None
        write(folder / "slides" / f"{path.stem}.html", slide_show(path, run), "slides")
    return int(stopped > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chapters", nargs="+", default=[])
    args = parser.parse_args()
    sys.exit(main(args.folder, args.seed, args.chapters))
