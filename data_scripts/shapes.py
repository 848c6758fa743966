"""`python -m data_scripts.shapes`, from the project's folder: derive the statistics of real shapes that we ship.

Writes ``faces/shapes_300w.npz`` and records how far its faces are from Gaussian.
"""

from __future__ import annotations

import numpy as np
import torch

from lddmmlib.experiments import Experiment, _record
from lddmmlib.experiments._real import SHAPES, real_shapes
from lddmmlib.faces import schemes, statistics


def shape_statistics() -> dict:
    """Write ``faces/shapes_300w.npz``; returns how far its faces are from Gaussian."""
    scheme, shapes = schemes.get("300w-68"), real_shapes()
    model = statistics.symmetric_model(shapes, scheme.flip, scheme.corners, f"Derived from {SHAPES}.")
    one_sided = statistics.procrustes(shapes, scheme.corners)
    _, deviations = statistics.modes(model.covariance)
    np.savez_compressed(
        statistics.REAL_300W,
        mean=model.mean.numpy(),
        covariance=model.covariance.numpy(),  # double: the modes are then alike on every machine
        count=model.count,
        source=model.source,
        levels=model.levels.numpy(),
        percentiles=model.percentiles.numpy(),
    )
    variance = deviations.square()
    return {
        "count": model.count,
        "deviations": deviations[:10].tolist(),
        "cumulative_share": (variance.cumsum(0) / variance.sum())[:10].tolist(),
        "levels": model.levels.tolist(),
        "percentiles": [[round(x, 3) for x in row] for row in model.percentiles.tolist()],
        "percentiles_if_gaussian": torch.special.ndtri(model.levels / 100).tolist(),
        "asymmetry_percent": 100 * (one_sided.mean - model.mean).norm(dim=-1).max().item(),
        "mean_move_at_stop": one_sided.residual,
    }


EXPERIMENT = Experiment(
    measure=shape_statistics,
    question="How do real faces vary, and how far is that from Gaussian?",
    data=SHAPES,
    untouched=("lddmmlib.faces.shapes_300w",),  # it is what this writes
)

if __name__ == "__main__":
    print(_record.run("shape_statistics", EXPERIMENT))
