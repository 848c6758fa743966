"""The directive {speed}: a recorded table of `tests/benchmarks`, with the machine and the versions it was taken on."""

import json
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parent / "benchmarks"
HEAD = ["| what | peer | ours | theirs | ratio | aim |", "|:--|:--|--:|--:|--:|--:|"]
HOW = ("commit", "date", "machine")  # the rest of a table's provenance are versions


class Speed(SphinxDirective):
    """``{speed} lddmm``: what book/benchmarks/lddmm.json says."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = RESULTS / f"{self.arguments[0]}.json"
        self.env.note_dependency(str(path))
        lines = markdown(json.loads(path.read_text(encoding="utf-8")))
        around = nodes.Element()
        self.state.nested_parse(StringList(lines, source=str(path)), self.content_offset, around)
        return around.children


def markdown(table: dict) -> list[str]:
    """A sentence on what was measured and where, and the table."""
    told = table["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in told.items() if name not in HOW)
    where = f"{told['machine']}, one thread, on {told['date']}, at commit `{told['commit'][:9]}`; {versions}."
    return [f"{table['about']}; {where}", "", *HEAD, *map(line, table["rows"]), ""]


def line(row: dict) -> str:
    """One row: three digits of each figure; the ratio is bold where it reaches its aim."""
    ours, theirs = (figure(row.get(key), row["unit"]) for key in ("ours", "theirs"))
    ratio = figure(row.get("ratio"), "×")
    ratio = f"**{ratio}**" if row.get("ratio", 0) >= row.get("aim", float("inf")) else ratio
    return f"| {row['what']} | {row.get('peer', '')} | {ours} | {theirs} | {ratio} | {figure(row.get('aim'), '×')} |"


def figure(value: float | None, unit: str) -> str:
    """Three digits and the unit, on one line; nothing for nothing."""
    if value is None:
        return ""
    digits = f"{value:.3g}" if value < 1000 else f"{value:.0f}"
    return f"{digits}\N{NO-BREAK SPACE}{unit}"
