"""Measurements behind the book's numbers: each is run once and recorded, and the chapters read the record.

    python -m lddmmlib.experiments list
    python -m lddmmlib.experiments status
    python -m lddmmlib.experiments run NAME [--scale workstation --seeds 3]
    python -m lddmmlib.experiments run NAME --data DIR --scale full --device cuda
    python -m lddmmlib.experiments queue --scale workstation
    python -m lddmmlib.experiments queue --scale full --device cuda --minutes 8 --out DIR
    python -m lddmmlib.experiments merge DIR
    python -m lddmmlib.experiments judge NAME [--scale workstation]

A file here that does not begin with an underscore is an experiment, and its name is the name of its result,
``book/results/NAME.json``. `status` says which results are missing, or stale because a file that the experiment reads
has changed since (`_reads` computes which files these are).

An experiment is either one measurement, `Experiment`, or a training matrix, `Matrix`, at one of four scales: `smoke`
(seconds, for tests), `notebook` (minutes on a processor), `workstation` (hours on two cores), `full` (a GPU, the
published network). The unit of a matrix is a run: one network trained from one seed, whose errors by image are kept in
``book/results/NAME.SCALE/NETWORK-SEED.npz``. A run that is recorded for the same code is not trained again, on any
machine; so a result grows run by run, and ``NAME.SCALE.json``, with the verdicts, is made anew from all of them. The
verdicts on claims follow the rules of `_verdicts`; `judge` takes them anew from the recorded errors.

With ``--data``, a folder that scripts of data_scripts have written, the same networks learn from the training split of
a public data set, and are measured on its test splits (`_benchmark`); the result is ``NAME.benchmark-DATA-SCALE.json``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

SCALES = ("smoke", "notebook", "workstation", "full")


# errors by name, (images,) or (seeds, images) -> claim -> kind of data -> what is compared -> a verdict's row
Judge = Callable[[Mapping[str, Any]], dict]


class Experiment(NamedTuple):
    """One measurement, of one size."""

    # -> figures: numbers, strings, lists and dicts of them; under "errors" arrays (images,) by name, if it is judged
    measure: Callable[[], dict]
    question: str
    data: str  # what it is measured on, in words
    claims: tuple[str, ...] = ()  # ids of the claims that it serves
    untouched: tuple[str, ...] = ()  # modules that it imports, and on which its figures do not depend
    judge: Judge | None = None


class Run(NamedTuple):
    """What is kept of one trained network."""

    errors: dict[str, Any]  # what -> an error for each image, (images,)
    figures: dict  # its curves, and what else is told of it
    provenance: dict = {}  # noqa: RUF012  (filled in when it is recorded)


class Size(NamedTuple):
    """How much of a matrix a scale asks for."""

    networks: tuple[str, ...]  # in the order in which they matter
    seeds: int
    later: Mapping[str, int] = {}  # networks that come after all of those -> their seeds


class Matrix(NamedTuple):
    """A training matrix: unique networks, each from several seeds, and what is judged from their errors."""

    train: Callable[..., Run]  # (network, seed, scale, device, folder) -> Run; resumes from the folder
    tell: Callable[[Mapping[str, list[Run]], str], dict]  # (network -> its runs by seed, scale) -> figures
    sizes: dict[str, Size]  # by scale
    question: str
    data: str
    claims: tuple[str, ...] = ()
    untouched: tuple[str, ...] = ()
    judge: Judge | None = None  # of errors "what, network, how" (seeds, images), where a run has "what, how"
    given: Mapping[str, str] = {}  # data outside the project that its runs read -> hash


def experiments() -> dict[str, Experiment | Matrix]:
    """Every experiment by its name, from all modules here but the tools, whose names begin with an underscore."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return {name: e for module in modules for name, e in module.EXPERIMENTS.items()}


def module_of(experiment: Experiment | Matrix) -> Path:
    """The file in which an experiment is written."""
    function = experiment.train if isinstance(experiment, Matrix) else experiment.measure
    function = function.func if isinstance(function, partial) else function
    return Path(importlib.import_module(function.__module__).__file__ or "")
