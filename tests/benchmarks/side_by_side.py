"""What all benchmarks do alike: time functions in turns, name the versions, print a table and keep it."""

import argparse
import json
import platform
import time
from pathlib import Path

import torch

import lddmmlib


def fastest(*runs, at_least=0.5, most=25):
    """The smallest processor time of each function, in seconds; in turns, so that a busy moment strikes all.

    Each runs twice or more, until all have taken `at_least` seconds each on average, and `most` times at the most.
    """
    times = [[] for _ in runs]
    while len(times[0]) < 2 or (sum(map(sum, times)) < at_least * len(runs) and len(times[0]) < most):
        for run, spent in zip(runs, times, strict=True):
            start = time.process_time()
            run()
            spent.append(time.process_time() - start)
    return [min(spent) for spent in times]


def beside(ours, theirs, **limits):
    """A row's seconds, the peer's, and how many times longer the peer's are."""
    seconds, peer_seconds = fastest(ours, theirs, **limits)
    return {"seconds": seconds, "peer_seconds": peer_seconds, "ratio": peer_seconds / seconds}


def milliseconds(row):
    """Both times of a row, as they are printed."""
    return [f"{1000 * row[key]:.1f} ms" for key in ("seconds", "peer_seconds")]


def options(doc, **numbers):
    """The command line: --json, and a number for each name with its default. One thread from here on."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the table there too")
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    torch.set_num_threads(1)
    return parser.parse_args()


def show(asked, name, about, columns, rows, line, **modules):
    """Print each row as it comes, below the versions of the `modules`; write all of it where --json says."""
    modules = {"lddmmlib": lddmmlib, "torch": torch} | modules
    versions = {"python": platform.python_version()} | {key: m.__version__ for key, m in modules.items()}
    print(f"{about}, one thread; " + ", ".join(f"{key} {version}" for key, version in versions.items()))
    print(columns)
    kept = []
    for row in rows:
        kept.append(row)
        print(line(row), flush=True)
    if asked.json:
        settings = {key: value for key, value in vars(asked).items() if key != "json"}
        table = {"benchmark": name, "about": about, "threads": 1} | settings | {"versions": versions, "rows": kept}
        asked.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
