"""Measurements behind the book's numbers: each is a function that returns figures, run once and recorded.

    python -m lddmmlib.experiments list
    python -m lddmmlib.experiments run NAME
    python -m lddmmlib.experiments status

`run` writes `book/results/NAME.json`, which the chapters read; `status` says which results are missing, or stale
because a module that the experiment reads has changed since.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Experiment(NamedTuple):
    """What `run` needs to know of a measurement."""

    measure: Callable[[], dict]  # -> figures: numbers, strings, lists and dicts of them
    question: str
    data: str  # what it is measured on, in words
    reads: tuple[str, ...]  # modules whose change makes the result stale; the experiment's own is implied
    claims: tuple[str, ...] = ()  # ids of the claims that it serves


def experiments() -> dict[str, Experiment]:
    """Every experiment by its name."""
    from lddmmlib.experiments import (
        currents_run,
        flows_run,
        geometry_prior,
        heatmap_table,
        matching_run,
        measuring,
        sparse_completion,
        style_gap,
        yardstick,
    )

    modules = (
        measuring,
        geometry_prior,
        yardstick,
        style_gap,
        currents_run,
        flows_run,
        matching_run,
        sparse_completion,
        heatmap_table,
    )
    return {name: e for module in modules for name, e in module.EXPERIMENTS.items()}
