"""The curve norm of paper A on real annotations: what its width does, and what it sees that landmarks do not.

Faces are moved onto the mean face, whose outer eye corners lie 100 apart: lengths are per cent of that distance, and
squared curve distances per cent squared.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lddmmlib import currents
from lddmmlib.curves import Curves
from lddmmlib.experiments import Experiment
from lddmmlib.experiments._real import SHAPES, real_shapes
from lddmmlib.experiments.labels import with_interval
from lddmmlib.faces import curve_sets, statistics

# The 12 curves of LDDMM-Face's released code on 68 points: consecutive and open, eyes and lips too.
CURVES = curve_sets.get("300w-68")


def curves(points: Tensor) -> Curves:
    """Faces (..., 68, 2) as the 12 curves."""
    return Curves(points, list(CURVES.values()), coupled=False)


def sigma_w(face: Curves) -> Tensor:
    """Half of σ_V = (Δx + Δy) / 2, the extent of each curve: (curves,). Paper A, section 4."""
    return curve_sets.widths(face.points, "300w-68") / 2


def nearest_term(z: Curves, y: Curves) -> Tensor:
    """NME_curve's sum of each curve, unnormalised: the mean of nearest distances, both ways: (..., curves)."""
    d = [torch.cdist(z.points[..., list(i), :], y.points[..., list(i), :]) for i in y.indices]
    return torch.stack([torch.cat([x.amin(-1), x.amin(-2)], -1).mean(-1) for x in d], -1)


def slid(face: Curves) -> tuple[Curves, Curves]:
    """Every point between the ends moved half-way to the next along its curve; and as far at right angles instead."""
    along = torch.zeros_like(face.points)
    for _, *inner, last in face.indices:
        along[..., inner, :] = (face.points[..., [*inner[1:], last], :] - face.points[..., inner, :]) / 2
    across = along.flip(-1) * along.new_tensor([1.0, -1.0])
    return face.with_points(face.points + along), face.with_points(face.points + across)


def spearman(pairs: Tensor) -> Tensor:
    """Rank correlation over the first axis of (k, ..., 2): (...)."""
    ranks = pairs.argsort(dim=0, stable=True).argsort(dim=0, stable=True).double()
    ranks = ranks - ranks.mean(0)
    return ranks.prod(-1).sum(0) / ranks.square().sum(0).prod(-1).sqrt()


def over(pairs: Tensor) -> Tensor:
    """First sum over second sum: (k, ..., 2) -> (...)."""
    sums = pairs.mean(0)
    return sums[..., 0] / sums[..., 1]


def curve_norm() -> dict:
    """Distances to the mean face by each curve's own σ_W and by the first curve's; agreement; the price of sliding."""
    template = curves(100 * statistics.real_300w().mean)
    shapes = real_shapes()
    return curve_figures(template, statistics.similarity(shapes, template.points).apply(shapes))


def curve_figures(template: Curves, shapes: Tensor) -> dict:
    """`curve_norm` of faces (k, 68, 2) in the template's frame."""
    faces, means = template.with_points(shapes), template.with_points(template.points.expand_as(shapes))
    width, points = sigma_w(template), torch.tensor([len(i) for i in template.indices])
    own = currents.distance2(faces, means, width)  # (k, 12)
    first = currents.distance2(faces, means, width[0].item())
    landmark = currents.landmark_discrepancy(faces, means)
    whole = torch.stack([(own / points).sum(-1), landmark.sum(-1)], -1)  # as the loss adds them up, equation 8
    along, across = slid(faces)
    terms = {
        "curve": lambda z: currents.distance2(z, faces, width).sqrt(),  # a length, as the others
        "nearest_points": lambda z: nearest_term(z, faces),
        "landmarks": lambda z: currents.landmark_discrepancy(z, faces),
    }
    return {
        "count": len(shapes),
        "curves": list(CURVES),
        "sigma_w_percent": width.tolist(),
        "norm2_of_mean": {"own": currents.norm2(template, width).tolist(), "first": _norm2(template, width[0].item())},
        "distance2_to_mean": {"own": with_interval(own), "first": with_interval(first)},
        "first_over_own": with_interval(torch.stack([first, own], -1), over),
        "rank_correlation": _by_curve(torch.stack([own, landmark], -1), spearman),
        "rank_correlation_whole_face": with_interval(whole, spearman),
        "sliding_over_missing": {
            name: with_interval(torch.stack([term(along), term(across)], -1), over) for name, term in terms.items()
        },
    }


def _norm2(face: Curves, sigma: float) -> list[float]:
    return currents.norm2(face, sigma).tolist()


def _by_curve(rows: Tensor, statistic: Callable[[Tensor], Tensor]) -> dict:
    """One curve at a time, for 1000 resamples of all would not fit in memory: rows (k, curves, 2)."""
    told = [with_interval(one, statistic) for one in rows.unbind(1)]
    return {key: [t[key] for t in told] for key in ("value", "interval")}


EXPERIMENTS = {
    "curve_norm": Experiment(
        measure=curve_norm,
        question="What does the width of the curve norm do on real faces, and what does the norm forgive?",
        data=SHAPES,
    )
}
