"""The directive {ledger}: a table for each paper, a row for each of its claims, filled from the recorded results. And
the role {tally}: how many claims a paper makes, and what became of them."""

import json
import tomllib
from collections import Counter
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from lddmmlib.experiments import Matrix, experiments
from lddmmlib.experiments._record import full_name

HERE = Path(__file__).parent
CLAIMS = HERE / "claims.toml"
KINDS = {"synthetic": "drawn", "real": "real", "benchmark": "benchmark"}  # as results name them, and in a column
HEAD = [
    "| | claim | the paper's figures | drawn faces | real photographs | paper's benchmark |",
    "|:--|:--|:--|:--|:--|:--|",
]
NOT_RUN = "*not run*"
STATES = ("supported", "supported in part", "not supported", "measured without a verdict", "not run")


class Ledger(SphinxDirective):
    """``{ledger} A``: the claims of paper A."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        claims, records = recorded(self.env)
        names = {path.stem for path in (HERE / "results").glob("*.json")}
        lines = markdown(claims, records, self.arguments[0], missing(names))
        around = nodes.Element()
        self.state.nested_parse(StringList(lines, source=str(CLAIMS)), self.content_offset, around)
        return around.children


def recorded(env) -> tuple[dict, list[dict]]:
    """The claims and all results, on which the page depends."""
    results = sorted((HERE / "results").glob("*.json"))
    for path in (CLAIMS, *results):
        env.note_dependency(str(path))
    return tomllib.loads(CLAIMS.read_text(encoding="utf-8")), [
        json.loads(path.read_text(encoding="utf-8")) for path in results
    ]


def tally(claims: dict, records: list[dict], paper: str) -> str:
    """How many claims a paper makes: supported by all primary comparisons, by some, by none, or not judged."""
    there, count = {full_name(r["name"], r["provenance"].get("scale", "")) for r in records}, Counter()
    for name in (name for name in claims if name.startswith(paper)):
        rows = [row for kind in KINDS for _, _, row in verdicts(name, records, kind) if row["primary"]]
        judged = [row["verdict"] == "holds" for row in rows if row["verdict"] != "reported"]
        seen = rows or any(measured(claims[name], kind, there) for kind in KINDS)
        unjudged = "measured without a verdict" if seen else "not run"
        supported = "supported" if all(judged) else "supported in part" if any(judged) else "not supported"
        count[supported if judged else unjudged] += 1
    return f"{count.total()} claims: " + ", ".join(f"{count[what]} {what}" for what in STATES if count[what])


def tally_role(name, rawtext, text, lineno, inliner, options=None, content=None):
    """The role {tally}`A`."""
    return [nodes.Text(tally(*recorded(inliner.document.settings.env), text))], []


def missing(recorded: set[str]) -> dict[str, list[str]]:
    """Claim -> the results that would serve it and are not recorded."""
    found: dict[str, list[str]] = {}
    for name, experiment in experiments().items():
        scales = [s for s in experiment.sizes if s != "smoke"] if isinstance(experiment, Matrix) else [""]
        for whole in (full_name(name, scale) for scale in scales):
            for claim in experiment.claims if whole not in recorded else ():
                found.setdefault(claim, []).append(f"`{whole}`")
    return found


def markdown(claims: dict, records: list[dict], paper: str, lacking: dict[str, list[str]] | None = None) -> list[str]:
    """The table of a paper's claims; then, to unfold, how each is judged, and all its comparisons one by one."""
    rows, unfold = [], []
    there = {full_name(r["name"], r["provenance"].get("scale", "")) for r in records}
    for name, claim in claims.items():
        if name.startswith(paper):
            title = f"**{name}**" if claim.get("headline") else name
            found = {kind: verdicts(name, records, kind) for kind in KINDS}
            apart = {kind: measured(claim, kind, there) for kind in KINDS}
            apart["benchmark"] = benchmarks(name, records)
            cells = ["<br>".join([*summary(found[kind]), *apart[kind].values()]) or NOT_RUN for kind in KINDS]
            rows.append(f"| {title} | {claim['claim']} | {claim['figures']} | {' | '.join(cells)} |")
            words = f"*Judged:* {claim['judged']}."
            words += f" *Missing:* {', '.join(lacking[name])}." if lacking and name in lacking else ""
            words += "".join(f" {what} (`{result}`)." for some in apart.values() for result, what in some.items())
            unfold += [f":::{{dropdown}} {name}, how it is judged, one by one", words, "", *each_by_itself(found)]
            unfold += [":::", ""]
    return [*HEAD, *rows, "", *unfold]


def measured(claim: dict, kind: str, there: set[str]) -> dict[str, str]:
    """Result -> what of it bears on a claim, measured on data of one kind, but not compared by a verdict."""
    some = claim.get("measured", {}).get(kind, {})
    return {name: f"*measured, no verdict:* {what}" for name, what in some.items() if name in there}


def benchmarks(claim: str, records: list[dict]) -> dict[str, str]:
    """Result -> that it measured what bears on a claim on a paper's benchmark, where no verdict was taken from it."""
    scaled = [(record, record["provenance"].get("scale", "")) for record in records]
    names = [
        full_name(record["name"], scale)
        for record, scale in scaled
        if scale.startswith("benchmark-") and claim in record["claims"] and claim not in record["figures"]["verdicts"]
    ]
    return {name: f"*measured, no verdict:* `{name}`" for name in names}


def verdicts(claim: str, records: list[dict], kind: str) -> list[tuple[str, str, dict]]:
    """All comparisons of a claim by data of one kind: (what, scale, verdict with its interval)."""
    return [
        (what, record["provenance"].get("scale", ""), each)
        for record in records
        for what, each in record["figures"].get("verdicts", {}).get(claim, {}).get(kind, {}).items()
    ]


def summary(found: list[tuple[str, str, dict]]) -> list[str]:
    """By scale, how many primary comparisons had each verdict, and how many exploratory ones."""
    lines = []
    for scale in dict.fromkeys(scale for _, scale, _ in found):
        told = []
        for primary in (True, False):
            count = Counter(
                each["verdict"] for _, s, each in found if s == scale and each.get("primary", True) == primary
            )
            told.append(", ".join(f"**{v}** {n}" if primary else f"{v} {n}" for v, n in count.items()))
        told[1] = told[1] and f"exploratory: {told[1]}"
        lines.append((f"{scale}: " if scale else "") + "<br>".join(filter(None, told)))
    return lines


def each_by_itself(found: dict[str, list[tuple[str, str, dict]]]) -> list[str]:
    """A table of every comparison, the primary ones first: verdict, difference and interval."""
    if not any(found.values()):
        return []
    head = ["| compared | | on | verdict | difference, interval |", "|:--|:--|:--|:--|:--|"]
    rows = []
    for kind, verdicts in found.items():
        for what, scale, each in sorted(verdicts, key=lambda row: not row[2].get("primary", True)):
            numbers = f"{each['difference']:.3g}"
            numbers += f" [{each['low']:.3g}, {each['high']:.3g}]" if "low" in each else ""
            on = ", ".join(filter(None, (KINDS[kind], scale)))
            role = "**primary**" if each.get("primary", True) else "exploratory"
            rows.append(f"| {what} | {role} | {on} | {each['verdict']} | {numbers} |")
    return [*head, *rows]
