"""Measurements behind the book's numbers: each is a function that returns figures, run once and recorded.

    python -m lddmmlib.experiments list
    python -m lddmmlib.experiments run NAME [--scale full --device cuda --seeds 3]
    python -m lddmmlib.experiments judge NAME [--scale full]
    python -m lddmmlib.experiments status

`run` writes `book/results/NAME.json`, which the chapters read; `status` says which results are missing, or stale
because a module that the experiment reads has changed since. An experiment that trains networks has three scales,
`smoke` (seconds, for tests), `notebook` (as in its chapter, on a processor) and `full` (a GPU), and a result of each:
`NAME.full.json`. Errors on every image are beside it in `NAME.full.npz`, and of them come the verdicts on the claims
that the experiment serves, by the rules of `experiments.verdicts`; the book's ledger shows them. `judge` takes them
anew from that file, when the rules or the comparisons have changed; nothing is measured again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


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
    # errors by name, as the side file has them -> claim -> kind of data -> what is compared -> a verdict's row
    judge: Callable[[Mapping[str, Any]], dict] | None = None


def experiments() -> dict[str, Experiment]:
    """Every experiment by its name."""
    from lddmmlib.experiments import (
        currents_run,
        flows_run,
        geometry_prior,
        heatmap_table,
        learned_correction,
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
        learned_correction,
        warp_run,
        transport_run,
    )
    return {name: e for module in modules for name, e in module.EXPERIMENTS.items()}
