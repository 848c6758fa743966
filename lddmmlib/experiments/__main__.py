"""`python -m lddmmlib.experiments list | run NAME [--scale full --device cuda --seeds 3] | status`."""

from __future__ import annotations

import argparse
import sys

from lddmmlib.experiments import _record, experiments


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status, 2 for what cannot be run as asked."""
    everything = experiments()
    parser = argparse.ArgumentParser(prog="python -m lddmmlib.experiments", description="Measure and record.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every experiment and its question")
    commands.add_parser("status", help="which results are present, missing or stale")
    run = commands.add_parser("run", help="measure, and write book/results/NAME.json")
    run.add_argument("name")
    run.add_argument("--scale", default="", help="of an experiment that trains: smoke, notebook or full")
    run.add_argument("--device", default="cpu")
    run.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args(arguments)
    if asked.command == "run":
        return _run(asked.name, asked.scale, asked.device, asked.seeds)
    for name, experiment in everything.items():
        if asked.command == "list":
            print(f"{name:22} {experiment.question}")
            continue
        for scale in experiment.scales or ("",):
            told = _record.status(name, experiment, scale=scale)
            print(f"{_record.full_name(name, scale):22} {told}")
    return 0


def _run(name: str, scale: str, device: str, seeds: int) -> int:
    everything = experiments()
    if name not in everything:
        print(f"run: needed one of {', '.join(everything)}; got {name!r}", file=sys.stderr)
        return 2
    if scale not in (scales := everything[name].scales or ("",)):
        wanted = f"--scale {' or '.join(scales)}" if any(scales) else "no --scale"
        print(f"run {name}: needed {wanted}, got {scale!r}", file=sys.stderr)
        return 2
    try:
        print(_record.run(name, everything[name], scale=scale, device=device, seeds=seeds))
    except RuntimeError as error:
        print(f"run {name}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
