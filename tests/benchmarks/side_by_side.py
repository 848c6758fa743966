"""What all benchmarks do alike: time functions in turns, print a table of ratios and keep it.

A row says `what` was done, which `peer` did it too, both figures (`ours`, `theirs`) and their `unit`; their quotient
is the ratio, and `aim` is the least that it should be. A row without a peer has `ours` alone.
"""

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from lddmmlib.experiments import _record


def fastest(*runs, at_least=0.5, most=25):
    """The smallest processor time of each function, in ms; in turns, so that a busy moment strikes all.

    Each runs twice or more, until all have taken `at_least` seconds each on average, and `most` times at the most.
    """
    times = [[] for _ in runs]
    while len(times[0]) < 2 or (sum(map(sum, times)) < at_least * len(runs) and len(times[0]) < most):
        for run, spent in zip(runs, times, strict=True):
            start = time.process_time()
            run()
            spent.append(time.process_time() - start)
    return [1000 * min(spent) for spent in times]


def beside(ours, theirs, **limits):
    """Both times of a row."""
    mine, other = fastest(ours, theirs, **limits)
    return {"ours": mine, "theirs": other, "unit": "ms"}


def options(doc, **numbers):
    """The command line: --json, and a number for each name with its default. One thread from here on."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the table there too")
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    torch.set_num_threads(1)
    return parser.parse_args()


def figure(value, unit):
    """Three digits and their unit; nothing where there is no value."""
    return "" if value is None else f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"


def show(asked, name, about, rows, **modules):
    """Print each row as it comes; where --json says, write all of it with the versions of the `modules` as well."""
    print(f"{about}, one thread")
    print(f"{'what':36} {'peer':32} {'ours':>12} {'theirs':>12} {'ratio':>8} {'aim':>5}")
    kept = []
    for row in rows:
        row |= {"ratio": row["theirs"] / row["ours"]} if row.get("theirs") else {}
        kept.append({key: value for key, value in row.items() if value is not None})
        figures = [figure(row.get(key), row["unit"]) for key in ("ours", "theirs")] + [figure(row.get("ratio"), "")]
        ends = "{:>12} {:>12} {:>8}".format(*figures)
        print(f"{row['what']:36} {row.get('peer', ''):32} {ends} {row.get('aim', ''):>5}", flush=True)
    if asked.json:
        versions = {key: module.__version__ for key, module in modules.items()}
        told = _record.environment() | versions | {"date": datetime.now(UTC).date().isoformat()}
        table = {"benchmark": name, "about": about, "provenance": told, "rows": _record.rounded(kept)}
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
