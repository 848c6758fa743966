"""What writing the truth into heatmaps and reading it back costs, by encoder, decoder, σ, noise and peak height.

Errors are in cells for points drawn at random, and normalised for real shapes in 256-px crops with 64 x 64 maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor

from lddmmlib import heatmaps, metrics
from lddmmlib.experiments import Experiment, _verdicts
from lddmmlib.experiments._real import SHAPES, real_shapes
from lddmmlib.experiments.labels import with_interval

CELLS, STRIDE, FACE = 64, 4, 220.0  # paper C, section 5.1: 256 px, a face of about 220, maps of 64
SIGMAS = (1.0, 2.0, 3.0)
NOISES = (0.0, 0.02, 0.05, 0.1)  # standard deviation in each cell, over the height of the peak
POINTS, AT_ONCE = 2000, 50
PAIR = {"one": "local_soft", "density": "local_soft, density"}  # continuous maps, by the height of their peak
Errors = dict[str, dict[str, Tensor]]  # encoder -> decoder -> errors (n,)
best_tau = cache(heatmaps.best_tau)


def decoders(maps: Tensor, sigma: float, stride: float = 1) -> dict[str, Tensor]:
    """Name -> points read from maps of peak 1, or from the same maps times the density's height ("..., density")."""
    low = heatmaps.height(sigma, "density") * maps
    ways = {m: (maps, m, {}) for m in ("argmax", "quarter", "taylor", "soft", "local_soft")}
    ways["taylor, blurred"] = maps, "taylor", {"blur": sigma}
    ways["barycentre"] = maps.clamp(min=0), "barycentre", {}
    ways["local_soft, best tau"] = maps, "local_soft", {"tau": best_tau(sigma)}
    ways |= {f"{m}, density": (low, m, {}) for m in ("soft", "local_soft")}
    return {name: heatmaps.decode(x, method, stride=stride, **more) for name, (x, method, more) in ways.items()}


def random_points(n: int) -> Tensor:
    """n points (n, 2), in cells, that keep 16 of 64 cells to each border."""
    u = torch.rand(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return 15.5 + (CELLS - 32) * u


def round_trip(points: Tensor, rounding: str, sigma: float, noise: float) -> dict[str, Tensor]:
    """Decoder -> errors (n,) in cells. The same noise for every encoder and σ."""
    maps = heatmaps.encode(points, (CELLS, CELLS), sigma, rounding)
    if noise:
        normal = torch.randn(maps.shape, dtype=maps.dtype, generator=torch.Generator().manual_seed(1))
        maps = maps + noise * normal
    return {name: (found - points).norm(dim=-1) for name, found in decoders(maps, sigma).items()}


def in_crops(shapes: Tensor) -> Tensor:
    """Each shape scaled and shifted into its crop: its box in the middle, the longer side 220 of 256 px."""
    low, high = shapes.amin(-2, keepdim=True), shapes.amax(-2, keepdim=True)
    scale = FACE / (high - low).amax(-1, keepdim=True)
    return scale * (shapes - (low + high) / 2) + (STRIDE * CELLS - 1) / 2


def real_round_trip(shapes: Tensor, rounding: str, sigma: float) -> dict[str, Tensor]:
    """Decoder -> the shapes (m, n, 2), px, after their maps."""
    found: dict[str, list[Tensor]] = {}
    for some in shapes.split(AT_ONCE):
        maps = heatmaps.encode(some.float(), (CELLS, CELLS), sigma, rounding, stride=STRIDE)
        for name, points in decoders(maps, sigma, STRIDE).items():
            found.setdefault(name, []).append(points)
    return {name: torch.cat(points).double() for name, points in found.items()}


def random_part() -> dict:
    """encoder -> decoder -> σ -> noise -> mean error and its interval."""
    points = random_points(POINTS)
    table: dict = {}
    for rounding in heatmaps.ROUNDINGS:
        for sigma in SIGMAS:
            for noise in NOISES:
                for name, error in round_trip(points, rounding, sigma, noise).items():
                    cell = table.setdefault(rounding, {}).setdefault(name, {}).setdefault(f"sigma {sigma:g}", {})
                    cell[f"noise {noise:g}"] = with_interval(error)
    return table


def real_errors(shapes: Tensor) -> dict[float, Errors]:
    """σ -> the NME of perfect networks, per cent (m,)."""
    shapes = in_crops(shapes)
    return {
        sigma: {
            rounding: {
                name: 100 * metrics.nme(x, shapes, "corners", "300w-68")
                for name, x in real_round_trip(shapes, rounding, sigma).items()
            }
            for rounding in heatmaps.ROUNDINGS
        }
        for sigma in SIGMAS[:2]
    }


def real_part(errors: dict[float, Errors]) -> dict:
    """The NME of perfect networks, and what the paper's pair saves against round and quarter, shape by shape."""
    count = len(errors[SIGMAS[0]]["none"]["argmax"])
    figures: dict = {"count": count, "nme_percent": {}, "saved_percent": {}, "left_of_standard": {}}
    for sigma, nme in errors.items():
        key, standard = f"sigma {sigma:g}", nme["round"]["quarter"]
        figures["nme_percent"][key] = {r: {d: with_interval(e) for d, e in row.items()} for r, row in nme.items()}
        pair = {peak: nme["none"][name] for peak, name in PAIR.items()}
        figures["saved_percent"][key] = {peak: with_interval(standard - e) for peak, e in pair.items()}
        figures["left_of_standard"][key] = {peak: (e.mean() / standard.mean()).item() for peak, e in pair.items()}
    return figures


def setting(kind: str, sigma: float, noise: float = 0.0) -> str:
    """A setting in words, as the verdicts and the side file name it."""
    return f"σ {sigma:g}, noise {noise:g}, cells" if kind == "synthetic" else f"σ {sigma:g}, NME in %"


SETTINGS = {
    "synthetic": [setting("synthetic", *at) for at in (*((s, 0.0) for s in SIGMAS), (SIGMAS[1], NOISES[-1]))],
    "real": [setting("real", sigma) for sigma in SIGMAS[:2]],
}
PRIMARY = {kind: setting(kind, SIGMAS[1]) for kind in SETTINGS}  # σ = 2 on clean maps, either height of the peak


def errors_part(real: dict[float, Errors]) -> dict[str, Tensor]:
    """ "setting | encoder, decoder" -> errors (n,), of what C1 compares."""
    points, clean = random_points(POINTS), {setting("real", s): e for s, e in real.items()}
    for sigma, noise in (*((s, 0.0) for s in SIGMAS), (SIGMAS[1], NOISES[-1])):
        clean[setting("synthetic", sigma, noise)] = {r: round_trip(points, r, sigma, noise) for r in heatmaps.ROUNDINGS}
    ways = [("none", name) for name in PAIR.values()] + [("round", "quarter"), ("round", "argmax"), ("floor", "argmax")]
    return {f"{at} | {r}, {d}": e[r][d] for at, e in clean.items() for r, d in ways}


def judge(errors: Mapping[str, np.ndarray]) -> dict:
    """C1: the paper's pair, by each height of the peak, against what is claimed to cost more: rounding and a quarter of
    a cell, and still a tenth of that, by which "nearly nothing" is judged. Primary at `PRIMARY`; the rest, and the
    plainer rivals, is exploratory. Nothing is trained."""
    rows = {}
    for kind, settings in SETTINGS.items():
        pairs, primary = {}, []
        for at in settings:
            e = {k.partition(" | ")[2]: torch.from_numpy(np.array(v, dtype=np.float64))
                 for k, v in errors.items() if k.startswith(f"{at} | ")}  # fmt: skip
            rivals = {"round and quarter": e["round, quarter"], "a tenth of that": e["round, quarter"] / 10}
            found = compared(at, e, rivals)
            pairs |= found
            if at == PRIMARY[kind]:
                primary = [*found]
                pairs |= compared(at, e, {f"{r} and argmax": e[f"{r}, argmax"] for r in ("round", "floor")})
        rows[kind] = {what: each.row() for what, each in _verdicts.judge(pairs, primary=primary).items()}
    return {"C1": rows}


def compared(at: str, errors: dict[str, Tensor], rivals: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """The paper's pair, by each height of the peak, beside each rival."""
    return {f"{at}, peak {peak}, against {rival}": (errors[f"none, {name}"], x)
            for peak, name in PAIR.items() for rival, x in rivals.items()}  # fmt: skip


def heatmap_table() -> dict:
    """All parts."""
    taus = {f"sigma {s:g}": {peak: heatmaps.best_tau(s, peak=peak) for peak in heatmaps.PEAKS} for s in SIGMAS}
    real = real_errors(real_shapes())
    figures = {"points": POINTS, "best_tau": taus, "error_cells": random_part(), "real": real_part(real)}
    return figures | {"errors": errors_part(real)}


EXPERIMENTS = {
    "heatmap_table": Experiment(
        measure=heatmap_table,
        question="What does it cost to write the truth into heatmaps and to read it back?",
        data=f"{POINTS:,} random points; {SHAPES}, scaled into 256-px crops",
        claims=("C1",),
        judge=judge,
    )
}
