"""Measurements behind the book's numbers: each is a function that returns figures, run once and recorded.

    python -m lddmmlib.experiments list
    python -m lddmmlib.experiments run NAME [--scale full --device cuda --seeds 3]
    python -m lddmmlib.experiments status

`run` writes `book/results/NAME.json`, which the chapters read; `status` says which results are missing, or stale
because a module that the experiment reads has changed since. An experiment that trains networks has three scales,
`smoke` (seconds, for tests), `notebook` (as in its chapter, on a processor) and `full` (a GPU), and a result of each:
`NAME.full.json`, with the errors on every image in `NAME.full.npz`. Its figures may hold verdicts on the claims that
it serves, by the rules of `experiments._verdicts`; the book's ledger shows them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import NamedTuple


class Experiment(NamedTuple):
    """What `run` needs to know of a measurement."""

    # -> figures: numbers, strings, lists and dicts of them. Where there are scales: (scale, device, seeds, folder) ->
    # figures; under "errors", arrays (seeds, images) by name; what an interrupted run takes up again is in the folder.
    measure: Callable[..., dict]
    question: str
    data: str  # what it is measured on, in words
    reads: tuple[str, ...]  # modules whose change makes the result stale; the experiment's own is implied
    claims: tuple[str, ...] = ()  # ids of the claims that it serves
    scales: tuple[str, ...] = ()  # that have a recorded result each; none: there is one size


def experiments() -> dict[str, Experiment]:
    """Every experiment by its name, from all modules here but the tools, whose names begin with an underscore."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return {name: e for module in modules for name, e in module.EXPERIMENTS.items()}
