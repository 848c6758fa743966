"""Ways from the landmarks that a network predicts to others that it was not trained on, for networks of any kind.

(a) nothing: the predicted points as they are, which only a distance between curves can judge;
(b) interpolation: each wanted landmark stays at its place along the polyline of predicted ones, by the mean face;
(c) paper B's H, a sparse linear map that was fitted to training faces with both annotations;
(d) the mean face of the wanted scheme, moved by the thin-plate spline that takes the mean's predicted landmarks to
    where they were predicted.

Of these, (c) has seen both annotations of the same faces; (b) and (d), like a flow, know the two mean faces alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lddmmlib import polyharmonic
from lddmmlib._shapes import Float
from lddmmlib.faces.schemes import Scheme
from lddmmlib.methods import sparse_shape_regression

SMOOTHING = 1e-3  # of the spline, in the unit of px²·log px: predicted landmarks may coincide


def interpolation(
    mean: Float[Tensor, "n 2"], scheme: Scheme, kept: Sequence[int], wanted: Float[Tensor, "m 2"], target: Scheme
) -> Float[Tensor, "m n"]:
    """Weights of predicted landmarks: (b). Each wanted landmark is a mean of two neighbours on its curve, of one at an
    end; on a curve of which none is predicted, the nearest landmark stands for it.

    Args:
        mean: the mean face as the network's scheme marks it.
        scheme: that scheme.
        kept: the landmarks that are predicted.
        wanted: the mean face as the wanted scheme marks it, in the same frame.
        target: the wanted scheme.
    """
    kept_set, W = set(kept), mean.new_zeros(len(wanted), len(mean))
    curve_of = {j: name for name, curve in target.curves.items() for j in curve}
    everything = torch.tensor(sorted(kept_set))
    for j, place in enumerate(wanted):
        curve = [i for i in scheme.curves.get(curve_of.get(j, ""), ()) if i in kept_set]
        if len(curve) < 2:
            near = (mean[everything] - place).norm(dim=-1).argmin()
            W[j, everything[near]] = 1
            continue
        ends = [*curve, curve[0]] if curve_of[j] in scheme.closed else curve
        a, b = mean[ends[:-1]], mean[ends[1:]]
        t = (((place - a) * (b - a)).sum(-1) / (b - a).square().sum(-1)).clamp(0, 1)
        best = int((a + t[:, None] * (b - a) - place).norm(dim=-1).argmin())
        W[j, ends[best]] += 1 - t[best]
        W[j, ends[best + 1]] += t[best]
    return W


def sparse(
    source: Float[Tensor, "k n 2"], kept: Sequence[int], wanted: Float[Tensor, "k m 2"], tau: float = 1.4
) -> Float[Tensor, "m n"]:
    """Weights of predicted landmarks: (c), from training faces with both annotations."""
    return sparse_shape_regression.fit_h(source.double(), wanted.double(), tau, list(kept)).H.to(source)


def moved_mean(
    pred: Float[Tensor, "k n 2"], mean: Float[Tensor, "n 2"], wanted: Float[Tensor, "m 2"]
) -> Float[Tensor, "k m 2"]:
    """The wanted landmarks of the mean face, moved as the predicted ones are moved: (d)."""
    x = mean.double().expand(len(pred), -1, -1)
    spline = polyharmonic.fit(x, pred.double(), smoothing=SMOOTHING)
    return polyharmonic.evaluate(spline, wanted.double().expand(len(pred), -1, -1)).to(pred)
