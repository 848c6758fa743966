"""The book's own tables: the ledger of claims and the page on speed say what the recorded results say, and no more.

The index of equations is whole: each equation of the papers leads to code, tests and a chapter, and back.
"""

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from lddmmlib import currents
from lddmmlib.experiments import experiments

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "book"
sys.path.insert(0, str(BOOK))
import api  # noqa: E402  (beside the book's pages)
import chapters  # noqa: E402
import data_sets  # noqa: E402
import equations  # noqa: E402
import ledger  # noqa: E402
import mentions  # noqa: E402
import speed  # noqa: E402

CLAIMS = tomllib.loads((BOOK / "claims.toml").read_text(encoding="utf-8"))
RECORDS = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((BOOK / "results").glob("*.json"))]


def record(verdicts, scale=""):
    return {"name": "trial", "figures": {"verdicts": verdicts}, "provenance": {"scale": scale} if scale else {}}


def test_all_claims_are_there_and_every_experiment_names_one_of_them():
    assert len(CLAIMS) == 31
    assert all(set(claim) - {"headline", "measured"} == {"claim", "figures", "judged"} for claim in CLAIMS.values())
    assert {name for name, claim in CLAIMS.items() if claim.get("headline")} == {
        *("A1", "A4", "B2", "C1", "C2", "D1", "D6", "E1", "E4")
    }
    assert {claim for each in experiments().values() for claim in each.claims} <= set(CLAIMS)


def test_a_claim_without_a_result_is_not_run():
    rows = [line for line in ledger.markdown(CLAIMS, [], "C") if line.startswith(("| C", "| **C"))]
    assert len(rows) == 4
    assert all(row.count(ledger.NOT_RUN) == 3 for row in rows)


def test_a_verdict_stands_where_it_belongs():
    """Counted in its claim's row and column, and with its numbers in the table below."""
    one = {"difference": -0.4567, "low": -0.61, "high": -0.2, "verdict": "holds", "primary": True}
    told = {"C2": {"real": {"window": one, "other": one, "third": one | {"verdict": "inconclusive"}}}}
    told["C2"]["real"]["fourth"] = one | {"primary": False}
    lines = ledger.markdown(CLAIMS, [record(told, "full")], "C")
    row = next(line for line in lines if line.startswith("| **C2** |"))
    synthetic, real = row.split("|")[4:6]
    assert synthetic.strip() == ledger.NOT_RUN
    assert real.strip() == "full: **holds** 2, **inconclusive** 1<br>exploratory: holds 1"
    assert "| window | **primary** | real, full | holds | -0.457 [-0.61, -0.2] |" in lines
    assert "| fourth | exploratory | real, full | holds | -0.457 [-0.61, -0.2] |" in lines
    folds = [line for line in lines if line.startswith(":::{")]
    assert folds[1] == ":::{dropdown} C2, how it is judged, one by one"
    assert len(folds) == lines.count(":::") == 4
    at = lines.index(folds[1])
    assert lines[at + 1].startswith("*Judged:* primary: the complete method")
    assert at < lines.index("| fourth | exploratory | real, full | holds | -0.457 [-0.61, -0.2] |")


def test_a_papers_claims_are_counted_by_what_became_of_them():
    one = {"difference": -1.0, "verdict": "holds", "primary": True}
    lost = one | {"verdict": "inconclusive"}
    told = {"C1": {"real": {"x": one, "y": lost | {"primary": False}}}, "C2": {"real": {"x": one, "y": lost}}}
    told["C3"] = {"synthetic": {"x": lost | {"verdict": "contradicted"}}}
    assert ledger.tally(CLAIMS, [], "C") == "4 claims: 4 not run"
    assert (
        ledger.tally(CLAIMS, [record(told)], "C")
        == "4 claims: 1 supported, 1 supported in part, 1 not supported, 1 not run"
    )
    row = {"C1": {"real": {"x": one | {"verdict": "reported"}}}}
    assert ledger.tally(CLAIMS, [record(row)], "C") == "4 claims: 1 measured without a verdict, 3 not run"


def test_the_papers_benchmark_has_a_column_of_its_own():
    """A verdict taken there, and a result from which none was taken, where there are some."""
    one = {"difference": -0.5, "low": -0.6, "high": -0.2, "verdict": "holds", "primary": True}
    run = record({"C2": {"benchmark": {"window": one}}}, "benchmark-wflw-full") | {"claims": ["C2", "C3"]}
    lines = ledger.markdown(CLAIMS, [run], "C")
    cells = [line.split("|")[4:7] for line in lines if line.startswith(("| **C2** |", "| C3 |"))]
    assert [each[:2] for each in cells] == [[f" {ledger.NOT_RUN} "] * 2] * 2
    assert cells[0][2].strip() == "benchmark-wflw-full: **holds** 1"
    assert cells[1][2].strip() == "*measured, no verdict:* `trial.benchmark-wflw-full`"
    assert "| window | **primary** | benchmark, benchmark-wflw-full | holds | -0.5 [-0.6, -0.2] |" in lines


def test_results_that_are_not_recorded_are_named_missing():
    everything = {f"subpixel.{scale}" for scale in ("notebook", "workstation", "full")}
    everything |= {"subpixel_hrnet.full", "learned_correction.notebook"}
    assert "C3" not in ledger.missing(everything)
    lacking = ledger.missing(everything - {"subpixel.full"})
    told = [line for line in ledger.markdown(CLAIMS, [], "C", lacking) if line.startswith("*Judged:*")]
    assert ["*Missing:* `subpixel.full`." in line for line in told] == [False, True, True, True]


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r["name"])
def test_recorded_verdicts_are_of_the_ledgers_kind(record):
    for claim, kinds in record["figures"].get("verdicts", {}).items():
        assert claim in record["claims"]
        benchmark = record["provenance"].get("scale", "").startswith("benchmark-")
        assert set(kinds) <= ({"benchmark"} if benchmark else {"synthetic", "real"})
        for row in (each for kind in kinds.values() for each in kind.values()):
            assert row["verdict"] in ("holds", "contradicted", "inconclusive", "reported")
            assert row["primary"] in (True, False)


def test_every_claim_that_is_judged_stands_on_a_primary_comparison():
    for claim in CLAIMS:
        for kind in ledger.KINDS:
            found = ledger.verdicts(claim, RECORDS, kind)
            assert not found or any(row["primary"] for _, _, row in found), (claim, kind)


def test_a_result_of_exploratory_comparisons_alone_says_so():
    row = {"verdict": "holds", "difference": -1.0, "primary": False}
    assert ledger.summary([("x against y", "", row)]) == ["exploratory: holds 1"]


def test_what_was_measured_without_a_verdict_says_so_and_what():
    """Every result that names a claim and compares nothing stands in the claim's row, and none that is not there."""
    for record in RECORDS:
        whole = ledger.full_name(record["name"], record["provenance"].get("scale", ""))
        if ".benchmark-" in whole:
            continue
        for claim in set(record["claims"]) - record["figures"].get("verdicts", {}).keys():
            kinds = [k for k in ledger.KINDS if whole in CLAIMS[claim].get("measured", {}).get(k, {})]
            assert kinds, f"{whole} is measured for {claim}; say in claims.toml what it is"
            (row,) = (line for line in ledger.markdown(CLAIMS, RECORDS, claim) if line.startswith(f"| {claim} ")
                      or line.startswith(f"| **{claim}** "))  # fmt: skip
            cells = dict(zip(ledger.KINDS, row.split(" | ")[3:6], strict=True))
            assert all(f"no verdict:* {CLAIMS[claim]['measured'][kind][whole]}" in cells[kind] for kind in kinds)
            folded = [line for line in ledger.markdown(CLAIMS, RECORDS, claim) if line.startswith("*Judged:*")]
            assert f"`{whole}`" in folded[0]
            assert all(ledger.NOT_RUN not in cells[kind] for kind in kinds)
    assert "no verdict" not in " ".join(ledger.markdown(CLAIMS, [], "A"))


def plain(line):
    return line.replace("\N{NO-BREAK SPACE}", " ")


def test_a_ratio_is_bold_where_it_reaches_its_aim():
    row = {"what": "a", "peer": "b", "ours": 2.0, "theirs": 6.0, "unit": "ms", "ratio": 3.0}
    assert plain(speed.line(row | {"aim": 2.5})) == "| a | b | 2 ms | 6 ms | **3 ×** | 2.5 × |"
    assert plain(speed.line(row | {"aim": 3.5})) == "| a | b | 2 ms | 6 ms | 3 × | 3.5 × |"
    assert plain(speed.line({"what": "a", "ours": 1234.5, "unit": "ms"})) == "| a |  | 1234 ms |  |  |  |"


def test_every_benchmark_has_its_recorded_table():
    recorded = {path.stem for path in (BOOK / "benchmarks").glob("*.json")}
    page = (BOOK / "speed.md").read_text(encoding="utf-8")
    assert {line.split()[1] for line in page.splitlines() if line.startswith("```{speed}")} == recorded


def test_the_page_of_data_sets_has_a_row_for_each_script():
    """With its links as links, and no row that breaks the table."""
    head, rule, *rows = data_sets.lines()
    scripts = {path.name for path in data_sets.SCRIPTS.glob("*.py") if "\nDATASET = " in path.read_text("utf-8")}
    assert {row.split(" | ")[0].partition("<br>")[2].strip("`") for row in rows} == scripts
    assert {row.count("|") for row in (head, rule, *rows)} == {6}
    assert all(row.count("](http") == row.count("http") >= 1 for row in rows)


NUMBERED = {"A": 8, "B": 15, "C": 6, "D": 5, "E": 6}  # the last number in each paper


def test_every_equation_of_the_papers_has_its_row():
    assert list(equations.rows()) == [f"{paper}.{i + 1}" for paper, count in NUMBERED.items() for i in range(count)]
    page = (BOOK / "equations.md").read_text(encoding="utf-8")
    assert f"number {sum(NUMBERED.values())} equations" in page
    assert re.findall(r"^```\{equations\} (\w)$", page, re.M) == list(NUMBERED)


@pytest.mark.parametrize("name", equations.rows())
def test_a_row_leads_to_code_to_tests_and_to_a_chapter(name):
    row, (functions, tests) = equations.rows()[name], equations.functions_and_tests(name)
    assert {"says", "tex", "at"} <= set(row) <= {"says", "tex", "at", "left_out"}
    assert all(row.values())
    assert set(row["at"]) <= set(equations.places())
    assert bool(functions) == bool(tests) == ("left_out" not in row)
    assert set(functions) <= set(equations.entries()), "the reference page does not have it"
    for path, test in (each.split("::") for each in tests):
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{test}"
    lines = equations.markdown(name)
    assert lines[0] == f"{row['says']}."
    assert lines.count(row["tex"]) == 1
    assert all(f"<lddmmlib.{each}>`" in "".join(lines) for each in functions)


def test_no_page_names_an_equation_that_the_index_lacks():
    """In the docstrings of the reference page, in the chapters and in the book's own pages."""
    texts = [(name, text, paper) for name, (text, paper) in equations.entries().items()]
    for path in chapters.paths():
        cells = equations.notebook(path).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        texts.append((path.stem, text, mentions.DECADES.get(path.stem[0], "")))
    texts += [(path.stem, path.read_text(encoding="utf-8"), "") for path in BOOK.glob("*.md")]
    named = {
        (where, row) for where, text, paper in texts for m in mentions.mentions(text, paper) for row in m.all(text)
    }
    assert not {(where, row) for where, row in named if row not in equations.rows()}
    assert {row for _, row in named} >= set(equations.rows()) - {"A.2"}
    assert len(named) > 150


def test_each_function_of_a_paper_leads_to_its_equation():
    """A docstring that speaks of a paper's equation names the paper, or its module does."""
    for name, (text, paper) in equations.entries().items():
        loose = [
            m
            for m in re.finditer(r"\b[Ee]q(?:uation|\.)s? \(?\d", text)
            if not re.search(r"\d{4}, $", text[: m.start()])
        ]
        found = [each.start for each in mentions.mentions(text, paper)]
        assert not [m[0] for m in loose if m.start() not in found], name
    assert "Paper A, {ref}`equation 1 <paper-a-equation-1>`." in api.with_links(currents.norm2, currents)
    assert "currents.norm2" in equations.functions_and_tests("A.1")[0]


@pytest.mark.parametrize(
    ("text", "default", "rows"),
    [
        ("Equation 6 and 7 of paper A, equation 1", "B", "A.6 A.7 A.1"),
        ("paper C, eq. 4-5; the same (D,\nequation 2), equations 3, 4 and 6", "", "C.4 C.5 D.2 D.3 D.4 D.6"),
        ("equations 2 to 5, or 8", "A", "A.2 A.3 A.4 A.5 A.8"),
        ("eq. (3) of {cite:t}`yan2021wasserstein`, eq. (1)", "D", "E.3 E.1"),
        ("({cite:t}`yang2021lddmmface`, eq. 4).\n\nEquation 5", "B", "A.4 B.5"),
        ("Ganin, ICML 2015, equation 14; equation 10.4; {eq}`eq-1`; `eq. 2` and $eq. 3$; [eq. 1](there)", "A", ""),
        ("# Equation 1\n\n:::{note} Eq. 2\n```\nequation 3\n```\n$$\neq. 4\n$$", "A", ""),
        ("equation 1", "", ""),
        ("## {doc}`../notebooks/51_x`\n\nequation 3", "", "D.3"),
    ],
)
def test_what_names_an_equation(text, default, rows):
    assert [row for each in mentions.mentions(text, default) for row in each.all(text)] == rows.split()
    links = re.findall(r"\{ref\}`[^<`]+ <paper-(\w)-equation-(\d+)>`", mentions.linked(text, default))
    assert {f"{paper.upper()}.{number}" for paper, number in links} <= set(rows.split())
    assert bool(links) == bool(rows)


def test_a_link_takes_the_place_of_what_it_says():
    assert mentions.linked("see eq. (3) and\n4, (equation 5).", "D") == (
        "see {ref}`eq. (3) <paper-d-equation-3>` and\n{ref}`4 <paper-d-equation-4>`, "
        "({ref}`equation 5 <paper-d-equation-5>`)."
    )
    assert "{ref}" not in mentions.linked("See\n\n    x = y,   equation 1\n\n    z   eq. 2\n", "D")
    assert "{ref}" in mentions.linked("- item\n  of equation 1\n", "D")
    for path in chapters.paths():
        text = path.read_text(encoding="utf-8")
        plain = re.sub(r"\{ref\}`([^<`]+) <paper-[^>]+>`", r"\1", mentions.linked(text, "A"))
        assert " ".join(plain.split()) == " ".join(text.split())


@pytest.mark.parametrize("path", chapters.paths(), ids=lambda path: path.stem)
def test_every_figure_is_in_the_index(path):
    """In its section, and what answers a prediction is not told."""
    cells = [c for c in equations.notebook(path).cells if c.metadata.get("mystnb", {}).get("image")]
    lines = equations.figures(path)
    names = [f"{{numref}}`figure-{path.stem[:2]}-{i + 1}`" for i in range(len(cells))]
    assert [line.split(".")[0] for line in lines] == [f"- {name}" for name in names]
    told = ["answer to a prediction" in line for line in lines]
    assert told == ["reveal" in c.metadata.get("tags", []) for c in cells]
    headings = set(re.findall(r"^# ##+ (.+)$", path.read_text(encoding="utf-8"), re.M))
    assert {re.search(r"\*\[(.+)\]\(", line)[1] for line in lines} <= headings
