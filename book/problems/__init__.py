"""Assessed problems, two a chapter: a text whose numbers a seed draws, a key that lddmmlib computes, and a rubric."""

import random
from collections.abc import Callable

from problems import faces, flows, heatmaps, own, sparse, warping
from problems.kinds import POINTS, Problem

__all__ = ["CHAPTERS", "POINTS", "Problem", "drawn"]

CHAPTERS: dict[str, tuple[Callable[[random.Random], Problem], ...]] = {
    "00": (faces.similarity, faces.mirror),
    "01": (faces.camera, faces.conversion),
    "02": (faces.mean_error, faces.failures),
    "10": (flows.velocity, flows.currents_of_edges),
    "11": (flows.two_steps, flows.certificate),
    "12": (flows.one_landmark, flows.units),
    "13": (flows.rider, flows.widths),
    "20": (sparse.soft_threshold, sparse.second_knot),
    "21": (sparse.recipe, sparse.extrapolation),
    "22": (sparse.frame, sparse.turns),
    "30": (heatmaps.rounding, heatmaps.three_cells),
    "31": (heatmaps.mean_target, heatmaps.mirrored_cell),
    "40": (heatmaps.earth, heatmaps.to_a_point),
    "41": (heatmaps.softmax_trap, heatmaps.shannon),
    "42": (heatmaps.hidden_and_seen, heatmaps.blurred_dot),
    "50": (warping.saddle, warping.three_pins),
    "51": (warping.sobel, warping.two_stages),
    "91": (own.square, own.trust),
    "92": (warping.schedule, warping.crop),
}


def drawn(chapter: str, seed: int) -> list[Problem]:
    """The problems of a chapter, such as "11", with the numbers of a seed; the same wherever they are drawn."""
    return [problem(random.Random(f"{seed} {problem.__name__}")) for problem in CHAPTERS.get(chapter, ())]
