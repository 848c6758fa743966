"""`python -m lddmmlib.experiments list | run NAME | status`."""

from __future__ import annotations

import argparse
import sys

from lddmmlib.experiments import experiments, provenance


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status, 2 for what cannot be run as asked."""
    everything = experiments()
    parser = argparse.ArgumentParser(prog="python -m lddmmlib.experiments", description="Measure and record.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every experiment and its question")
    commands.add_parser("status", help="which results are present, missing or stale")
    commands.add_parser("run", help="measure, and write book/results/NAME.json").add_argument("name")
    asked = parser.parse_args(arguments)
    if asked.command == "run":
        return _run(asked.name)
    for name, experiment in everything.items():
        listing = asked.command == "list"
        print(f"{name:22} {experiment.question if listing else provenance.status(name, experiment)}")
    return 0


def _run(name: str) -> int:
    everything = experiments()
    if name not in everything:
        print(f"run: needed one of {', '.join(everything)}; got {name!r}", file=sys.stderr)
        return 2
    try:
        print(provenance.run(name, everything[name]))
    except RuntimeError as error:
        print(f"run {name}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
