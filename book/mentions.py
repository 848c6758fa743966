"""Where a text names equations of the five papers: "equation 6 of paper A"; and links from there to the index."""

import inspect
import re
import types
from collections.abc import Iterator
from typing import NamedTuple

BOOKED = {
    "yang2021lddmmface": "A",
    "zhang2015leveraging": "B",
    "bulat2021subpixel": "C",
    "liang2024generalizable": "D",
    "yan2021wasserstein": "E",
}
DECADES = {"1": "A", "2": "B", "3": "C", "4": "E", "5": "D"}  # a chapter's first digit, and its paper
NUMBER = r"(?:\(\d+\)|\d+)(?!\.?\d)"
TOKEN = re.compile(
    r"^#+ \{doc\}`\S*notebooks/(?P<decade>\d).*?$"
    r"|(?P<skip>^```.*?^```|\$\$.*?\$\$|\$[^$\n]*(?:\n[^$\n]+)?\$|^:{3,}.*?$|^#.*?$|\[[^\]\n]*\]\([^)\n]*\))"
    r"|(?P<end>\n\s*\n)|\{cite(?::\w+)?\}`(?P<key>\w+)`|(?P<code>`+[^`]*`+)"
    r"|\b[Pp]aper\s+(?P<paper>[A-E])\b|(?<![\w.])(?P<letter>[A-E]),\s+(?=eq)"
    r"|(?<!\d{4}, )(?P<mention>\b(?i:equations?|eqs?\.)\s+"
    rf"{NUMBER}(?:(?:,?\s+(?:and|or|to)\s+|,\s+|[-–]){NUMBER})*)",
    re.M | re.S,
)
AFTER = re.compile(r"\s+of\s+(?:[Pp]aper\s+([A-E])\b|\{cite(?::\w+)?\}`(\w+)`)")


class Mention(NamedTuple):
    """Where a text names equations of a paper, which paper, and which numbers at which places."""

    paper: str
    start: int
    numbers: list[tuple[int, int, int]]  # the number, and where it begins and ends, with brackets around it

    def all(self, text: str) -> list[str]:
        """The rows that are meant, "A.1"; a range means all between its ends."""
        found = []
        for (number, begin, _), before in zip(self.numbers, [None, *self.numbers], strict=False):
            between = text[before[2] : begin] if before else ""
            ranged = before and re.search(r"\bto\b|[-–]", between)
            found += [f"{self.paper}.{n}" for n in range(before[0] + 1 if ranged else number, number + 1)]
        return found


def mentions(text: str, default: str = "") -> Iterator[Mention]:
    """The papers' equations that a text in Markdown names.

    The paper is the one named right after ("equation 6 of paper A"), or the last one before in the same paragraph, by
    its letter or its citation, or else the default; other people's equations follow a year ("ICML 2015, equation 14").
    """
    paper = default
    for found in TOKEN.finditer(text):
        if found["decade"]:
            paper = default = DECADES.get(found["decade"], "")
        elif found["end"]:
            paper = default
        elif named := found["paper"] or found["letter"] or BOOKED.get(found["key"] or ""):
            paper = named
        elif found["mention"]:
            after = AFTER.match(text, found.end())
            its = (after[1] or BOOKED.get(after[2], "")) if after else paper
            digits = re.finditer(r"\((\d+)\)|\d+", found["mention"])
            at = [(int(d[1] or d[0]), found.start() + d.start(), found.start() + d.end()) for d in digits]
            if its:
                yield Mention(its, found.start(), at)


def linked(text: str, default: str = "") -> str:
    """The text, in which each equation of a paper is a link to its row: the first with its word, others by number.

    In a block of code, which four spaces begin, there are no links.
    """
    parts, done = [], 0
    for each in mentions(text, default):
        start = each.start
        if re.match(r"\n?    ", text[max(text.rfind("\n\n", 0, start) + 1, 0) :]):
            continue
        for number, begin, end in each.numbers:
            begin = min(begin, start) if start is not None else begin
            parts += [text[done:begin], f"{{ref}}`{' '.join(text[begin:end].split())} <{anchor(each.paper, number)}>`"]
            done, start = end, None
    return "".join([*parts, text[done:]])


def anchor(paper: str, number: int | str) -> str:
    return f"paper-{paper.lower()}-equation-{number}"


def default_paper(text: str, module: types.ModuleType) -> str:
    """The paper that a docstring names first, or else its module."""
    named = (re.search(r"\b[Pp]aper\s+([A-E])\b", each) for each in (text, inspect.getsource(module)))
    return next((each[1] for each in named if each), "")
