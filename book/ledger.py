"""The directive {ledger}: a table for each paper, a row for each of its claims, filled from the recorded results."""

import json
import tomllib
from collections import Counter
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from lddmmlib.experiments import experiments
from lddmmlib.experiments._record import full_name

HERE = Path(__file__).parent
HEAD = ["| | claim | the paper's figures | synthetic | real | paper's data |", "|:--|:--|:--|:--|:--|:--|"]
NOT_RUN = "*not run*"


class Ledger(SphinxDirective):
    """``{ledger} A``: the claims of paper A."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        sources = [HERE / "claims.toml", *sorted((HERE / "results").glob("*.json"))]
        for path in sources:
            self.env.note_dependency(str(path))
        records = [json.loads(path.read_text(encoding="utf-8")) for path in sources[1:]]
        claims = tomllib.loads(sources[0].read_text(encoding="utf-8"))
        lines = markdown(claims, records, self.arguments[0], missing({path.stem for path in sources[1:]}))
        around = nodes.Element()
        self.state.nested_parse(StringList(lines, source=str(sources[0])), self.content_offset, around)
        return around.children


def missing(recorded: set[str]) -> dict[str, list[str]]:
    """Claim -> the results that would serve it and are not recorded."""
    found: dict[str, list[str]] = {}
    for name, experiment in experiments().items():
        for whole in (full_name(name, scale) for scale in experiment.scales or ("",)):
            for claim in experiment.claims if whole not in recorded else ():
                found.setdefault(claim, []).append(f"`{whole}`")
    return found


def markdown(claims: dict, records: list[dict], paper: str, lacking: dict[str, list[str]] | None = None) -> list[str]:
    """The table of a paper's claims; then, to unfold, all verdicts on each one by one."""
    rows, unfold = [], []
    for name, claim in claims.items():
        if name.startswith(paper):
            title = f"**{name}**" if claim.get("headline") else name
            found = {kind: verdicts(name, records, kind) for kind in ("synthetic", "real")}
            words = f"{claim['claim']}. *Judged:* {claim['judged']}."
            words += f" *Missing:* {', '.join(lacking[name])}." if lacking and name in lacking else ""
            short = " | ".join(summary(each) for each in found.values())
            rows.append(f"| {title} | {words} | {claim['figures']} | {short} | {NOT_RUN} |")
            unfold += each_by_itself(name, found)
    return [*HEAD, *rows, "", *unfold]


def verdicts(claim: str, records: list[dict], kind: str) -> list[tuple[str, str, dict]]:
    """All verdicts on a claim by data of one kind: (what, scale, verdict with its interval)."""
    return [
        (what, record["provenance"].get("scale", ""), each)
        for record in records
        for what, each in record["figures"].get("verdicts", {}).get(claim, {}).get(kind, {}).items()
    ]


def summary(found: list[tuple[str, str, dict]]) -> str:
    """How many comparisons had each verdict, by scale."""
    lines = []
    for scale in dict.fromkeys(scale for _, scale, _ in found):
        count = Counter(each["verdict"] for _, s, each in found if s == scale)
        lines.append((f"{scale}: " if scale else "") + ", ".join(f"**{v}** {n}" for v, n in count.items()))
    return "<br>".join(lines) or NOT_RUN


def each_by_itself(claim: str, found: dict[str, list[tuple[str, str, dict]]]) -> list[str]:
    """A table, folded, of every comparison: verdict, difference and interval."""
    if not any(found.values()):
        return []
    head = ["| compared | on | verdict | difference, interval |", "|:--|:--|:--|:--|"]
    rows = []
    for kind, verdicts in found.items():
        for what, scale, each in verdicts:
            numbers = f"{each['difference']:.3g} [{each['low']:.3g}, {each['high']:.3g}]" if "low" in each else ""
            on = f"{kind}, {scale}" if scale else kind
            rows.append(f"| {what} | {on} | {each['verdict']} | {numbers} |")
    return [f":::{{dropdown}} {claim}, one by one", *head, *rows, ":::", ""]
