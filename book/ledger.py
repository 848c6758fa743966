"""The directive {ledger}: a table for each paper, a row for each of its claims, filled from the recorded results."""

import json
import tomllib
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

HERE = Path(__file__).parent
HEAD = ["| | claim | the paper's figures | synthetic | real | paper's benchmark |", "|:--|:--|:--|:--|:--|:--|"]
NOT_RUN = "*not run*"


class Ledger(SphinxDirective):
    """``{ledger} A``: the claims of paper A."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        sources = [HERE / "claims.toml", *sorted((HERE / "results").glob("*.json"))]
        for path in sources:
            self.env.note_dependency(str(path))
        records = [json.loads(path.read_text(encoding="utf-8")) for path in sources[1:]]
        lines = markdown(tomllib.loads(sources[0].read_text(encoding="utf-8")), records, self.arguments[0])
        around = nodes.Element()
        self.state.nested_parse(StringList(lines, source=str(sources[0])), self.content_offset, around)
        return around.children


def markdown(claims: dict, records: list[dict], paper: str) -> list[str]:
    """The table of a paper's claims."""
    rows = []
    for name, claim in claims.items():
        if name.startswith(paper):
            title = f"**{name}**" if claim.get("headline") else name
            found = [told(name, records, kind) for kind in ("synthetic", "real")]
            words = f"{claim['claim']}. *Judged:* {claim['judged']}."
            rows.append(f"| {title} | {words} | {claim['figures']} | {found[0]} | {found[1]} | {NOT_RUN} |")
    return [*HEAD, *rows, ""]


def told(claim: str, records: list[dict], kind: str) -> str:
    """All verdicts on a claim by data of one kind, a line each: what, verdict, difference and interval."""
    lines = []
    for record in records:
        for what, each in record["figures"].get("verdicts", {}).get(claim, {}).get(kind, {}).items():
            interval = "" if "low" not in each else f" {each['difference']:.3g} [{each['low']:.3g}, {each['high']:.3g}]"
            scale = record["provenance"].get("scale")
            lines.append(f"{what}{f' ({scale})' if scale else ''}: **{each['verdict']}**{interval}")
    return "<br>".join(lines) or NOT_RUN
