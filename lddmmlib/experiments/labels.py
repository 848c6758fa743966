"""Measuring faces and measures on real annotations: how far two annotators agree, how faces vary, what metrics hide.

In a face's own frame the outer eye corners lie horizontally, one unit apart; per cent are of that unit.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lddmmlib import metrics
from lddmmlib.experiments import Experiment
from lddmmlib.experiments._real import SHAPES, TWICE, annotated_twice, real_shapes
from lddmmlib.faces import schemes, statistics

# The 46 of 68 landmarks that LDDMM-Face's released code trains on for "50 %" (facts; its repository).
SUBSET_46 = [*range(0, 17, 2), 17, 19, 21, 22, 24, 26, *range(27, 32), 33, *range(35, 49), 50, 52, 54, 55, 57, 59]
SUBSET_46 += [60, 62, 64, 65, 67]
SAME_IN_29 = (8, 9, 10, 11, 22, 23)  # corners of the eyes and of the mouth: what 68 points mark, too
NORMALISERS = ("corners", "pupils", "box", "diagonal")


def mean(rows: Tensor) -> Tensor:
    """Over the first axis, as every statistic here."""
    return rows.mean(0)


def interval(rows: Tensor, statistic: Callable[[Tensor], Tensor], resamples: int = 1000) -> Tensor:
    """Bootstrap 95 % interval of a statistic over the first axis: its percentiles among resampled rows."""
    draws = torch.randint(len(rows), (len(rows), resamples), generator=torch.Generator().manual_seed(0))
    values = statistic(rows[draws])  # (resamples, ...)
    return torch.quantile(values, torch.tensor([0.025, 0.975], dtype=values.dtype), dim=0)


def with_interval(rows: Tensor, statistic: Callable[[Tensor], Tensor] = mean) -> dict:
    """The statistic of the rows, and its interval."""
    return {"value": statistic(rows).tolist(), "interval": interval(rows, statistic).movedim(0, -1).tolist()}


def annotator_agreement() -> dict:
    """The offsets few - many of all places that both schemes mark, in per cent of the eye-corner distance."""
    many, few = annotated_twice()
    a, b = schemes.get("300w-68"), schemes.get("cofw-29")
    corners = torch.stack([many[:, list(a.corners)], few[:, list(b.corners)]]).mean(0)  # of both annotations
    ends = many.new_tensor([[-50.0, 0.0], [50.0, 0.0]])
    frame = statistics.similarity(corners, ends)
    many, few = frame.apply(many), frame.apply(few)
    pairs = schemes.shared(b.name, a.name)
    offsets = {b.names[i]: few[:, i] - many[:, j] for i, j in pairs}
    same = [b.names[i] for i in SAME_IN_29]
    widths = torch.stack([(x[:, list(s.corners)]).diff(dim=1).norm(dim=-1)[:, 0] for x, s in ((few, b), (many, a))])
    middle = few[:, [4, 5, 6, 7]] - many[:, [19, 19, 24, 24]]  # upper, lower edge of the left brow, of the right one
    return {
        "photographs": len(many),
        "same_points": {name: _agreement(offsets[name]) for name in same},
        "same_points_together": {
            "mean": with_interval(torch.stack([offsets[n].norm(dim=-1) for n in same], 1).mean(1))
        },
        "same_by_meaning": {name: _agreement(d) for name, d in offsets.items() if name not in same},
        "brow_of_68_to_edges_down": {
            "upper": with_interval(middle[:, [0, 2], 1].mean(1)),
            "lower": with_interval(middle[:, [1, 3], 1].mean(1)),
        },
        "corner_distance_ratio": with_interval((widths[0] / widths[1]).log(), lambda r: r.mean(0).exp())
        | {"spread": (widths[0] / widths[1]).log().std().item()},
    }


def _agreement(d: Tensor) -> dict:
    """d (photographs, 2): distances, the systematic offset (right, down), and the spread about it."""
    length = d.norm(dim=-1)
    return {
        "mean": with_interval(length),
        "median": with_interval(length, lambda x: x.quantile(0.5, dim=0)),
        "percentile_90": with_interval(length, lambda x: x.quantile(0.9, dim=0)),
        "offset": with_interval(d),
        "spread": with_interval(d, lambda x: (x - x.mean(0)).square().sum(-1).mean(0).sqrt()),
    }


def shape_spread() -> dict:
    """NME of the mean shape, put on every face by its box or by the best similarity, by each normaliser."""
    scheme, shapes = schemes.get("300w-68"), real_shapes()
    mean = statistics.real_300w().mean
    guesses = {"box": in_box(mean, shapes), "similarity": statistics.similarity(mean, shapes).apply(mean)}
    nme = {by: {n: 100 * metrics.nme(x, shapes, n, scheme) for n in NORMALISERS} for by, x in guesses.items()}
    length = {n: metrics.reference_distance(shapes, n, scheme) for n in NORMALISERS}
    error = metrics.errors(guesses["similarity"], shapes, "corners", scheme) * 100
    return {
        "count": len(shapes),
        "nme_percent": {by: {n: with_interval(v) for n, v in rows.items()} for by, rows in nme.items()},
        "nme_by_part_percent": {part: with_interval(error[:, list(i)].mean(1)) for part, i in scheme.parts.items()},
        "corner_distance_over": {
            n: with_interval(length["corners"] / length[n]) | {"spread": (length["corners"] / length[n]).std().item()}
            for n in NORMALISERS[1:]
        },
        "pupil_over_corner_nme": {by: (v["pupils"].mean() / v["corners"].mean()).item() for by, v in nme.items()},
    }


def in_box(mean: Tensor, shapes: Tensor) -> Tensor:
    """The mean shape scaled and shifted, not turned, to boxes of the same centre and the same √(w h)."""
    low, high = shapes.amin(-2, keepdim=True), shapes.amax(-2, keepdim=True)
    size = mean.amax(0) - mean.amin(0)
    scale = ((high - low).prod(-1, keepdim=True) / size.prod()).sqrt()
    return scale * (mean - (mean.amax(0) + mean.amin(0)) / 2) + (low + high) / 2


def nme_curve_floor() -> dict:
    """What a perfect prediction of a subset of the landmarks costs by NME_curve, bare and interpolated."""
    shapes = real_shapes()
    bare = torch.full_like(shapes, torch.nan)
    bare[:, SUBSET_46] = shapes[:, SUBSET_46]
    filled = interpolated(bare, "300w-68")
    figures: dict = {"count": len(shapes), "landmarks": len(SUBSET_46)}
    for name, pred in (("bare_percent", bare), ("interpolated_percent", filled)):
        score = metrics.nme_curve(pred, shapes, "300w-68")
        parts = {"overall": score.value} | {part: getattr(score, part) for part in metrics.PARTS}
        figures[name] = {part: with_interval(100 * v) for part, v in parts.items()}
    return figures


def interpolated(points: Tensor, name: str) -> Tensor:
    """Missing landmarks filled linearly in t between their neighbours along the same curve."""
    filled, scheme = points.clone(), schemes.get(name)
    missing = points.isnan().any(-1).flatten(0, -2).any(0)
    for curve, around in scheme.curves.items():
        ring = [*around, *around[:1]] if curve in scheme.closed else list(around)
        known = [k for k, i in enumerate(ring) if not missing[i]]
        for k, i in enumerate(ring):
            if missing[i]:
                a, b = max(m for m in known if m < k), min(m for m in known if m > k)
                u = (k - a) / (b - a)
                filled[..., i, :] = (1 - u) * points[..., ring[a], :] + u * points[..., ring[b], :]
    return filled


EXPERIMENTS = {
    "annotator_agreement": Experiment(
        measure=annotator_agreement,
        question="How far apart do two people put the same landmark?",
        data=TWICE,
        claims=("A4", "B5"),
    ),
    "shape_spread": Experiment(
        measure=shape_spread, question="How wrong is the mean face, by which normaliser?", data=SHAPES
    ),
    "nme_curve_floor": Experiment(
        measure=nme_curve_floor,
        question="What does NME_curve charge a perfect prediction of 46 of the 68 landmarks?",
        data=SHAPES,
        claims=("A1",),
    ),
}
