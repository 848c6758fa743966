"""`python -m lddmmlib.experiments list | status | run NAME | queue | merge DIR | judge NAME | renew NAME`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lddmmlib.experiments import SCALES, Experiment, Matrix, _benchmark, _record, _runs, experiments


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status, 2 for what cannot be run as asked."""
    asked = _parser().parse_args(arguments)
    everything = experiments()
    try:
        if "name" in asked and asked.name not in everything:
            raise RuntimeError(f"needed one of {', '.join(everything)}; got {asked.name!r}")
        asked.command(everything, asked)
    except RuntimeError as error:
        print(f"{sys.argv[0] if arguments is None else asked.word}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lddmmlib.experiments", description="Measure and record.")
    words = parser.add_subparsers(dest="word", required=True)

    def word(command, summary: str) -> argparse.ArgumentParser:
        sub = words.add_parser(command.__name__.strip("_"), help=summary)
        sub.set_defaults(command=command)
        return sub

    word(_list, "every experiment and its question")
    word(_status, "which results are present, missing or stale")
    run = word(_run, "measure, and write book/results/NAME.json")
    queue = word(_queue, "train what is missing at a scale, most wanted first; stops and goes on at will")
    merge = word(_merge, "take the runs that another machine has finished into the results")
    judge = word(_judge, "take the verdicts of a recorded result anew; nothing is measured")
    renew = word(_renew, "let runs stand where code was only moved: smoke runs at COMMIT and now agree")
    for sub in (run, judge, renew):
        sub.add_argument("name")
    for sub in (run, queue, judge):
        sub.add_argument("--scale", choices=SCALES, help="of a training matrix")
    for sub in (run, queue):
        sub.add_argument("--device", default="cpu")
    run.add_argument("--seeds", type=int, help="of a training matrix; as many as its scale asks for")
    run.add_argument("--data", type=Path, metavar="DIR", help="a public data set, as a script of data_scripts wrote it")
    queue.add_argument("--minutes", type=float, help="begin no run that is expected to end later")
    queue.add_argument("--out", type=Path, help="keep finished runs there, to be merged")
    merge.add_argument("folder", type=Path)
    renew.add_argument("--since", required=True, metavar="COMMIT")
    return parser


def _list(everything: dict, asked: argparse.Namespace) -> None:
    for name, experiment in everything.items():
        print(f"{name:22} {experiment.question}")


def _status(everything: dict, asked: argparse.Namespace) -> None:
    for name, experiment in everything.items():
        if isinstance(experiment, Experiment):
            print(f"{name:26} {_record.status(name, experiment)}")
        else:
            for scale in (s for s in experiment.sizes if s != "smoke"):
                print(f"{_record.full_name(name, scale):26} {_runs.status(name, experiment, scale)}")


def _run(everything: dict, asked: argparse.Namespace) -> None:
    experiment = _of_that_scale(everything, asked)
    matrices = {asked.scale: experiment}
    if asked.data is not None:
        matrices = _benchmark.found(asked.data, asked.name, experiment, asked.scale)
    elif isinstance(experiment, Experiment):
        print(_record.run(asked.name, experiment))
        return
    for scale, matrix in matrices.items():
        for task in _runs.tasks(asked.name, matrix, scale, asked.seeds):
            if not _runs.is_recorded(task):
                print(_runs.perform(task, asked.device), flush=True)
        print(_runs.judge(asked.name, matrix, scale))


def _judge(everything: dict, asked: argparse.Namespace) -> None:
    experiment = _of_that_scale(everything, asked)
    if isinstance(experiment, Experiment):
        print(_record.judge(asked.name, experiment))
    elif (path := _runs.judge(asked.name, experiment, asked.scale)) is None:
        raise RuntimeError(f"{asked.name}: needed recorded runs of scale {asked.scale}, got none; run it first")
    else:
        print(path)


def _of_that_scale(everything: dict, asked: argparse.Namespace) -> Experiment | Matrix:
    experiment = everything[asked.name]
    scales = experiment.sizes if isinstance(experiment, Matrix) else (None,)
    if asked.scale not in scales:
        needed = "no --scale" if None in scales else f"--scale {' or '.join(scales)}"
        raise RuntimeError(f"{asked.name}: needed {needed}, got {asked.scale!r}")
    return experiment


def _queue(everything: dict, asked: argparse.Namespace) -> None:
    if not asked.scale:
        raise RuntimeError("needed --scale, got none")
    for path in _runs.queue(everything, asked.scale, asked.device, asked.minutes, asked.out):
        print(path, flush=True)


def _merge(everything: dict, asked: argparse.Namespace) -> None:
    if not asked.folder.is_dir():
        raise RuntimeError(f"needed a folder that queue --out has written, got {str(asked.folder)!r}")
    for file, told in _runs.merge(asked.folder, everything).items():
        print(f"{file}: {told}")


def _renew(everything: dict, asked: argparse.Namespace) -> None:
    matrix = everything[asked.name]
    if not isinstance(matrix, Matrix):
        raise RuntimeError(f"{asked.name}: needed a training matrix, got one measurement; run it again")
    print(*_runs.renew(asked.name, matrix, asked.since) or ["nothing to renew"], sep="\n")


if __name__ == "__main__":
    sys.exit(main())
