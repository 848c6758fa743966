"""Measurements behind the book's numbers: each is a function that returns figures, run once and recorded.

    python -m lddmmlib.experiments list
    python -m lddmmlib.experiments run NAME [--scale full --device cuda --seeds 3]
    python -m lddmmlib.experiments status

`run` writes `book/results/NAME.json`, which the chapters read; `status` says which results are missing, or stale
because a module that the experiment reads has changed since. An experiment that trains networks has three scales,
`smoke` (seconds, for tests), `notebook` (as in its chapter, on a processor) and `full` (a GPU), and a result of each:
`NAME.full.json`, with the errors on every image in `NAME.full.npz`. Its figures may hold verdicts on the claims that
it serves, by the rules of `experiments.verdicts`; the book's ledger shows them.
"""

from __future__ import annotations

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
    """Every experiment by its name."""
    from lddmmlib.experiments import (
        currents_run,
        flows_run,
        geometry_prior,
        heatmap_table,
        matching_run,
        measuring,
        realism,
        sparse_completion,
        style_gap,
        subpixel_run,
        transport_run,
        warp_run,
        yardstick,
    )

    modules = (
        measuring,
        geometry_prior,
        yardstick,
        realism,
        style_gap,
        currents_run,
        flows_run,
        matching_run,
        sparse_completion,
        heatmap_table,
        subpixel_run,
        warp_run,
        transport_run,
    )
    return {name: e for module in modules for name, e in module.EXPERIMENTS.items()}
