"""The book's own tables: the ledger of claims and the page on speed say what the recorded results say, and no more."""

import json
import sys
import tomllib
from pathlib import Path

import pytest

from lddmmlib.experiments import experiments

BOOK = Path(__file__).parents[1] / "book"
sys.path.insert(0, str(BOOK))
import data_sets  # noqa: E402  (beside the book's pages)
import ledger  # noqa: E402
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
        assert all(any(row["primary"] for row in kind.values()) for kind in kinds.values())


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
