"""What paper E's figure 4 shows, with numbers: how losses grow with distance. And what ε adds to W1.

Maps are Gaussians on 64 x 64 cells, divided by their sums; distances are in cells. Where a map is another one shifted
by whole cells, W1 is the length of the shift: the shift is a coupling, and no coupling costs less than what lies
between the barycentres.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from lddmmlib import heatmaps
from lddmmlib import optimal_transport as transport
from lddmmlib.experiments import Experiment, _verdicts
from lddmmlib.experiments.labels import with_interval

SIZE, PAIRS = (64, 64), 32
SIGMAS = (1.0, 1.5, 3.0)
DISTANCES = (1, 2, 3, 4, 6, 8, 12, 16, 24)
EPSILONS = (0.5, 1.0, 2.0, 4.0, 8.0)
SHIFTS = ((0, 0), (1, 0), (3, 0), (4, 3), (12, 9))  # to the right and down; of whole length
COMPARED = ("L2", "W, eps 2")
WAYS = ((12, 0), (12, 5), (12, 9), (12, 12), (5, 12), (0, 12), (12, -5), (12, -12))


def l2(u: Tensor, v: Tensor) -> Tensor:
    """Σ (u - v)²."""
    return (u - v).square().sum((-2, -1))


def jensen_shannon(u: Tensor, v: Tensor) -> Tensor:
    """Half of KL(u | m) + KL(v | m), m halfway between them, in nats: log 2 where u and v share no cell."""
    u, v = u + 1e-300, v + 1e-300  # the logarithm of a cell that underflowed has no derivative
    m = (u + v) / 2
    return sum((torch.special.xlogy(a, a) - torch.special.xlogy(a, m)).sum((-2, -1)) for a in (u, v)) / 2


LOSSES = {
    "L2": l2,
    "JS": jensen_shannon,
    "W, eps 2": lambda u, v: transport.sinkhorn(u, v, 2.0).value,
    "W, eps 0.5": lambda u, v: transport.sinkhorn(u, v, 0.5).value,
    "W1": lambda u, v: transport.w1(u, v).value,
}


def maps(points: Tensor, sigma: float) -> Tensor:
    """A map for each of the points (n, 2), its sum 1."""
    h = heatmaps.encode(points, SIZE, sigma)
    return h / h.sum((-2, -1), keepdim=True)


def places(n: int = PAIRS) -> tuple[Tensor, Tensor]:
    """The middles (n, 2) of n pairs, within two cells of the grid's, and their directions (n, 2)."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(3, n, dtype=torch.float64, generator=generator)
    angle = 2 * math.pi * draws[2]
    return 31.5 + 4 * (draws[:2].T - 0.5), torch.stack([angle.cos(), angle.sin()], 1)


def growth(loss: str, sigma: float, distance: float, n: int = PAIRS) -> tuple[Tensor, Tensor]:
    """The loss of n pairs of maps so far apart, and its derivative in the distance, each (n,)."""
    middle, direction = places(n)
    d = torch.full((n, 1), float(distance), dtype=torch.float64, requires_grad=True)
    value = LOSSES[loss](maps(middle + d * direction / 2, sigma), maps(middle - d * direction / 2, sigma))
    (slope,) = torch.autograd.grad(value.sum(), d)
    return value.detach(), slope[:, 0]


def growth_table() -> tuple[dict, dict]:
    """σ -> loss -> distance -> value, derivative; and the derivative at the far end over the steepest one.

    And for E8 the share of its own steepest derivative that each pair keeps at 16 cells, "sigma 1, L2" -> (pairs,).
    """
    table: dict = {}
    shares = {}
    for sigma in SIGMAS:
        for name in LOSSES:
            found = {d: growth(name, sigma, d) for d in DISTANCES}
            row = {str(d): {k: with_interval(x) for k, x in zip(("value", "slope"), v, strict=True)}
                   for d, v in found.items()}  # fmt: skip
            steepest = torch.stack([slope.mean() for _, slope in found.values()]).max()
            left = {str(d): with_interval(found[d][1] / steepest) for d in (8, 16)}
            table.setdefault(f"sigma {sigma:g}", {})[name] = {"at": row, "slope_left": left}
            if name in COMPARED:
                slopes = torch.stack([slope for _, slope in found.values()])
                shares[f"sigma {sigma:g}, {name}"] = found[16][1] / slopes.amax(0)
    return table, shares


def judge(errors: Mapping[str, np.ndarray]) -> dict:
    """E8, by σ: each is primary. Nothing is trained, so the pairs are the one cause of chance."""
    shares = {k: torch.from_numpy(np.array(e, dtype=np.float64)) for k, e in errors.items()}
    pairs = {f"share of its derivative that L2 keeps at 16 cells, less W's, σ {sigma:g}":
             tuple(shares[f"sigma {sigma:g}, {name}"] for name in COMPARED) for sigma in SIGMAS}  # fmt: skip
    return {"E8": {"synthetic": {what: each.row() for what, each in _verdicts.judge(pairs).items()}}}


def bias_table(sigma: float = 1.5) -> list[dict]:
    """How far the cost, the value and the debiased value of Sinkhorn lie above the length of a shift."""
    rows = []
    for shift in SHIFTS:
        u, v = maps(torch.tensor([[26.0, 26.0], [26.0 + shift[0], 26.0 + shift[1]]], dtype=torch.float64), sigma)
        for eps in EPSILONS:
            found, length = transport.sinkhorn(u, v, eps), math.hypot(*shift)
            over = {name: getattr(found, name).item() - length for name in ("cost", "value")}
            over["debiased"] = transport.debiased(u, v, eps).item() - length
            rows.append({"length": length, "eps": eps, "n_iter": found.n_iter.item(), "solver": found.solver} | over)
    return rows


def way_table() -> list[dict]:
    """How far the bounds of `w1` lie from the length of a shift, per cent, by direction; "0" is a single cell."""
    rows = []
    for shift in WAYS:
        start = torch.tensor([26.0, 32.0], dtype=torch.float64)
        points = torch.stack([start, start + torch.tensor(shift)])
        pairs = torch.stack([maps(points, sigma) for sigma in (0.05, *SIGMAS)], 1)
        found, length = transport.w1(*pairs), math.hypot(*shift)
        names = ("0", *(f"{s:g}" for s in SIGMAS))
        bounds = {"below": found.value, "above": found.value + found.gap}
        row = {k: dict(zip(names, (100 * (x / length - 1)).tolist(), strict=True)) for k, x in bounds.items()}
        rows.append({"right_down": list(shift)} | {f"{k}_percent": x for k, x in row.items()})
    return rows


def transport_growth() -> dict:
    """The three tables, and what E8 is judged by."""
    table, shares = growth_table()
    return {"pairs": PAIRS, "growth": table, "bias": bias_table(), "ways": way_table(), "errors": shares}


EXPERIMENTS = {
    "transport_growth": Experiment(
        measure=transport_growth,
        question="Which losses keep growing with distance, and what does ε add to W1?",
        data=f"Gaussian maps on 64 x 64 cells, {PAIRS} pairs at random places and directions for each distance",
        claims=("E8",),
        judge=judge,
    )
}
