"""Measuring flows on real annotations: how often the released layer of paper A leaves the safe range of its steps."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lddmmlib import flows
from lddmmlib._shapes import Float
from lddmmlib.experiments import Experiment
from lddmmlib.experiments._real import SHAPES, real_shapes
from lddmmlib.experiments.labels import in_box, with_interval
from lddmmlib.faces import curve_sets, schemes, statistics
from lddmmlib.kernels import gaussian

# The twelve curves that LDDMM-Face's released code makes of 68 points.
CURVES = {name: slice(i[0], i[-1] + 1) for name, i in curve_sets.get("300w-68").items()}
LIMIT = 2 * math.sqrt(math.e / 2)  # of two Euler steps, in σ_V: farther, and a lone landmark folds the plane
LEVELS = (0.5, 0.95, 0.99, 1.0)
FEW = 6  # points: of longer curves K is nearly singular, and momenta for an exact fit are not found


def widths(mean: Float[Tensor, "68 2"]) -> Float[Tensor, " 12"]:
    """σ_V of each curve by paper A's rule, (Δx + Δy) / 2 of its extent in the mean shape; in the unit of the points."""
    return curve_sets.widths(mean, "300w-68")


def farthest(shapes: Float[Tensor, "k 68 2"], mean: Float[Tensor, "68 2"]) -> Float[Tensor, "k 12"]:
    """How far the farthest landmark of each curve lies from the mean face, in the σ_V of its curve."""
    distance = (shapes - mean).norm(dim=-1)
    return torch.stack([distance[:, c].amax(-1) for c in CURVES.values()], -1) / widths(mean)


def boxed(shapes: Float[Tensor, "k 68 2"], mean: Float[Tensor, "68 2"]) -> Float[Tensor, "k 68 2"]:
    """Shapes moved and scaled, not turned, so that the centre and √(w h) of their boxes are those of the mean's."""
    placed = in_box(mean, shapes)
    size = [(x.amax(-2) - x.amin(-2)).prod(-1).sqrt()[..., None, None] for x in (mean, placed)]
    return (shapes - placed.mean(-2, keepdim=True)) * size[0] / size[1] + mean.mean(-2)


def fitted(
    x0: Float[Tensor, "k n 2"], y: Float[Tensor, "k n 2"], sigma: float, rounds: int = 30
) -> tuple[Float[Tensor, "k n 2"], Float[Tensor, " k"]]:
    """The momenta whose two Euler steps carry x0 onto y, by Newton's method, and how far the ends are still off."""

    def rest(alpha: Tensor) -> Tensor:
        return flows.flow(x0, alpha, sigma, 2, "euler").end - y

    alpha = torch.linalg.solve(gaussian(x0, x0, sigma), y - x0)
    for _ in range(rounds):
        off = rest(alpha.requires_grad_()).flatten(1)
        rows = [torch.autograd.grad(column.sum(), alpha, retain_graph=True)[0] for column in off.T]
        step = torch.linalg.solve(torch.stack(rows, 1).flatten(2), off).view_as(alpha)
        longest = step.norm(dim=(1, 2), keepdim=True)
        alpha = (alpha - step * (sigma / 2 / longest).clamp(max=1)).detach()  # far from the end, no leaps
    return alpha, rest(alpha).norm(dim=-1).amax(-1)


def folds(x0: Float[Tensor, "k n 2"], alpha: Float[Tensor, "k n 2"], sigma: float, side: int = 41) -> Tensor:
    """Whether two Euler steps turn the plane over at any node of a grid around the curve: (k,) booleans."""
    low, high = x0[0].amin(0) - 2.5 * sigma, x0[0].amax(0) + 2.5 * sigma
    nodes = torch.linspace(0, 1, side, dtype=x0.dtype)
    grid = low + (high - low) * torch.cartesian_prod(nodes, nodes)
    return torch.cat([
        flows.jacobian(flows.flow(x, a, sigma, 2, "euler"), grid.expand(len(x), -1, -1)).amin(-1) < 0
        for x, a in zip(x0.split(100), alpha.split(100), strict=True)
    ])  # fmt: skip


def folding(y: Float[Tensor, "k n 2"], mean: Float[Tensor, "n 2"], sigma: float, passed: Tensor) -> dict:
    """In how many faces the exactly fitted layer folds the plane around a curve, within LIMIT and beyond."""
    x0 = mean.expand_as(y)
    alpha, off = fitted(x0, y, sigma)
    found = off < 1e-6 * sigma
    folded = folds(x0, alpha, sigma) & found
    return {
        "fitted": int(found.sum()),
        "fitted_beyond": int((found & passed).sum()),
        "folded_percent": with_interval(100 * folded[found].double()),
        "folded_beyond": int((folded & passed).sum()),
        "folded_within": int((folded & ~passed).sum()),
    }


def beyond(shapes: Float[Tensor, "k 68 2"]) -> dict:
    """The share of the shapes with a landmark beyond LIMIT of their own mean, by curve and over all; and what folds."""
    mean = shapes.mean(0)
    far = farthest(shapes, mean)
    passed = far > LIMIT
    by_curve: dict = {}
    for c, (name, sigma) in enumerate(zip(CURVES, widths(mean).tolist(), strict=True)):
        i = CURVES[name]
        by_curve[name] = {
            "sigma_percent": 100 * sigma,
            "farthest_in_sigma": torch.quantile(far[:, c], far.new_tensor(LEVELS)).tolist(),
            "beyond": int(passed[:, c].sum()),
            "beyond_percent": with_interval(100 * passed[:, c].double()),
        }
        if i.stop - i.start <= FEW:
            by_curve[name]["exact_fit"] = folding(shapes[:, i], mean[i], sigma, passed[:, c])
    return {"by_curve": by_curve, "beyond_percent": with_interval(100 * passed.any(-1).double())}


def euler_folds() -> dict:
    """How far real faces are from the mean face, in the σ_V of each curve of the released layer."""
    shapes, scheme = real_shapes(), schemes.get("300w-68")
    aligned = statistics.procrustes(shapes, scheme.corners)
    return {
        "count": len(shapes),
        "limit_in_sigma": LIMIT,
        "levels": LEVELS,
        "aligned": beyond(aligned.aligned),
        "boxed": beyond(boxed(shapes, aligned.mean)),
    }


EXPERIMENTS = {
    "euler_folds": Experiment(
        measure=euler_folds,
        question="How often would two Euler steps move a landmark of a real face beyond the safe range of a lone one?",
        data=SHAPES,
    )
}
