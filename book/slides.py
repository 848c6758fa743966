"""A chapter's slides, made from its executed notebook: one HTML page that scrolls from slide to slide, without network.

Which cells are slides follows from what a chapter is made of: question and outcomes from its card; the prediction and,
one slide later, its answer; each displayed equation with the sentence before it; each figure, printed table and
widget; the take-aways.
"""

import re
from collections.abc import Iterator

import chapters
import times

CSS = """
html { scroll-snap-type: y proximity; } body { max-width: none; margin: 0; padding: 0; }
.slide { min-height: 100vh; box-sizing: border-box; padding: 5vh 6vw; scroll-snap-align: start; display: flex;
  flex-direction: column; justify-content: center; border-bottom: 1px solid #8884;
  font-size: clamp(1rem, .7rem + 1.1vw, 1.7rem); }
.slide > * { box-sizing: border-box; max-width: 60rem; width: 100%; margin-inline: auto; flex-shrink: 0; }
.slide h2 { font-size: 1.5em; margin-top: 0; } .slide .where { opacity: .65; font-size: .7em; margin: 0 auto .3em; }
.slide img { max-height: 62vh; max-width: 100%; width: auto; margin: 0 auto; display: block; }
.slide .caption { font-size: .75em; }
.slide pre { font-size: .72em; }
@media print { .slide { break-after: page; border: 0; } }
"""
KEYS = """
addEventListener("keydown", e => {
  const on = {ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1}[e.key];
  if (!on || e.ctrlKey || e.metaKey || e.altKey) return;
  e.preventDefault();
  const all = [...document.querySelectorAll(".slide")];
  const at = all.findIndex(s => s.getBoundingClientRect().bottom > innerHeight / 3);
  all[Math.max(0, Math.min(all.length - 1, at + on))].scrollIntoView();
});
"""
LINES = 18  # of a printed table, at most


def slides(notebook, number: int) -> Iterator[tuple[str, str]]:
    """The slides of an executed chapter: where in the chapter each comes from, and its Markdown."""
    card = times.card(notebook)
    sections = times.cells_by_section(notebook)
    labels = chapters.EQUATION.findall("\n".join(c.source for c in notebook.cells if c.cell_type == "markdown"))
    numbers = {label: f"{number}.{i + 1}" for i, label in enumerate(labels)}

    def plain(text: str) -> str:
        return chapters.plain_markdown(text, numbers)

    yield "", plain(f"# {times.title(notebook)}\n\n**{card['Question']}**\n\nYou will be able to "
                    f"{card['You will be able to']}.")  # fmt: skip
    own = {section.title for section in times.sections(notebook) if section.own}
    for name, cells in sections.items():
        if name == "Predict first":
            yield from prediction(cells, plain)
        elif name in own | {"On a face", "If it goes wrong"}:
            for cell in cells:
                texts = equations(cell.source) if cell.cell_type == "markdown" else shown(cell)
                yield from ((plain(name), plain(text)) for text in texts)
        elif name == "Take-aways":
            text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
            bullets = re.findall(r"^- .*(?:\n  .*)*", text, re.M)
            yield "", "## Take-aways\n\n" + plain("\n".join(bullets))


def prediction(cells: list, plain) -> Iterator[tuple[str, str]]:
    """The pictures that are no answers, with the question below; then the answers."""
    asked = "\n\n".join(question(cells))
    answers = [cell for cell in cells if "reveal" in cell.metadata.get("tags", [])]
    pictures = [text for cell in cells if cell.cell_type == "code" and cell not in answers for text in shown(cell)]
    for picture in pictures:
        yield "Predict first", picture
    yield "Predict first", plain(asked)
    for cell in answers:
        yield from (("What happens", text) for text in shown(cell))
    if told := answer(cells):
        yield "What happens", plain(told)


def question(cells: list) -> list[str]:
    """What a prediction asks: the bold words that end, or contain, a question mark."""
    text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    return [f"**{words}**" for words in re.findall(r"\*\*((?:[^*]|\*(?!\*))*?\?(?:[^*]|\*(?!\*))*?)\*\*", text)]


def answer(cells: list) -> str:
    """What a prediction's fold "What happens" says; nothing where there is none."""
    text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    return "\n\n".join(re.findall(r"^:{3,}\{dropdown\} What happens\n((?:.|\n)*?)^:{3,}$", text, re.M)).strip()


def equations(source: str) -> Iterator[str]:
    """Each displayed equation of a Markdown cell, with the paragraph before it."""
    before = ""
    for part in re.split(r"(^\$\$(?:.|\n)*?^\$\$.*$)", source, flags=re.M):
        if part.startswith("$$"):
            yield f"{before}\n\n{part}"
        elif said := [p for p in part.strip().split("\n\n") if p and not p.startswith((":", "#"))]:
            before = said[-1]
        else:
            before = ""


def shown(cell) -> Iterator[str]:
    """A cell's pictures with their captions, what it printed where that is checked, and its widgets by name."""
    tags = cell.metadata.get("tags", [])
    if {"remove-cell", "remove-output", "stub", "self-check", "solution"} & set(tags):
        return
    caption = chapters.plain_text(cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", ""))
    for output in cell.get("outputs", []):
        if "image/png" in (data := output.get("data", {})):
            alt = re.sub(r"[\[\]\n]", " ", caption)
            picture = "".join(data["image/png"].split())
            yield f"![{alt}](data:image/png;base64,{picture})\n\n:caption: {caption}"
        elif output.get("name") == "stdout" and "nbval-check-output" in tags:
            yield "```\n" + "\n".join(output["text"].rstrip().splitlines()[:LINES]) + "\n```"
    if widget := re.search(r"from lddmmlib\.widgets import (\w+)", cell.source):
        yield f"**Open the widget `{widget[1]}` in the chapter's page.**"
