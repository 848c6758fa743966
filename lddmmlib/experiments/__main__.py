"""`python -m lddmmlib.experiments list | run NAME [--scale full --device cuda --seeds 3] | judge NAME | status`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from lddmmlib.experiments import experiments, provenance


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status, 2 for what cannot be run as asked."""
    everything = experiments()
    parser = argparse.ArgumentParser(prog="python -m lddmmlib.experiments", description="Measure and record.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every experiment and its question")
    commands.add_parser("status", help="which results are present, missing or stale")
    run = commands.add_parser("run", help="measure, and write book/results/NAME.json")
    judge = commands.add_parser("judge", help="take the verdicts of a recorded result anew; nothing is measured")
    for command in (run, judge):
        command.add_argument("name")
        command.add_argument("--scale", default="", help="of an experiment that trains: smoke, notebook or full")
    run.add_argument("--device", default="cpu")
    run.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args(arguments)
    if asked.command == "run":
        return _record("run", asked.name, asked.scale, device=asked.device, seeds=asked.seeds)
    if asked.command == "judge":
        return _record("judge", asked.name, asked.scale)
    for name, experiment in everything.items():
        if asked.command == "list":
            print(f"{name:22} {experiment.question}")
            continue
        for scale in experiment.scales or ("",):
            told = provenance.status(name, experiment, scale=scale)
            print(f"{provenance.full_name(name, scale):22} {told}")
    return 0


def _record(command: str, name: str, scale: str, **how: Any) -> int:
    """Run or judge; say what was written, or why nothing was."""
    everything = experiments()
    if name not in everything:
        print(f"{command}: needed one of {', '.join(everything)}; got {name!r}", file=sys.stderr)
        return 2
    if scale not in (scales := everything[name].scales or ("",)):
        wanted = f"--scale {' or '.join(scales)}" if any(scales) else "no --scale"
        print(f"{command} {name}: needed {wanted}, got {scale!r}", file=sys.stderr)
        return 2
    try:
        print(getattr(provenance, command)(name, everything[name], scale=scale, **how))
    except RuntimeError as error:
        print(f"{command} {name}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
