"""Which faces there are: random identity, expression and pose, with the frequencies of real annotated photographs.

Identity is standard normal. Strengths of expression and the head's yaw and pitch are neither normal nor independent:
most mouths are closed, who laughs opens it. They are drawn by a Gaussian copula,

    z ~ N(0, C),    value_j = Q_j(Φ(z_j)),

with the correlations C and the quantile functions Q_j of 2,800 fitted faces (`data_scripts/heads`).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from lddmmlib import _checks
from lddmmlib.faces.geometry import head

# What the copula draws; "lids" is eyes_wide less eyes_closed.
DRAWN = ("mouth_open", "smile", "pout", "brows_up", "brows_together", "jaw_sideways", "lids", "yaw", "pitch")
CUT = 3.0  # identity stays within, either way
SPREAD = np.radians([60.0, 35.0, 45.0])  # of yaw, pitch and roll, either way


class Setting(NamedTuple):
    """pose, expression: shares of the real deviations; far: how often the pose is any pose at all; roll: radians."""

    pose: float
    expression: float
    far: float
    roll: float


SETTINGS = {
    "studio": Setting(pose=0.35, expression=0.5, far=0.0, roll=0.04),
    "wild": Setting(pose=1.0, expression=1.0, far=0.05, roll=0.17),
}


class Parameters(NamedTuple):
    """The fields of a `geometry.Face3D` but for the frame."""

    identity: np.ndarray
    expression: np.ndarray
    yaw: float
    pitch: float
    roll: float


@cache
def facts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levels (m,), quantiles (9, m), and the Cholesky factor of C."""
    with np.load(head.FACTS) as file:
        levels, quantiles, correlation = (file[k].astype(np.float64) for k in ("levels", "quantiles", "correlation"))
    return levels, quantiles, np.linalg.cholesky(correlation)


def draw(rng: np.random.Generator, setting: str = "wild") -> Parameters:
    """A random face in the ``setting`` "studio" (near the front, mild) or "wild" (as photographs on the web)."""
    _checks.one_of(setting, "setting", SETTINGS)
    how, (levels, quantiles, root) = SETTINGS[setting], facts()
    identity = rng.standard_normal(head.facts()[1].shape[0]).clip(-CUT, CUT)
    z = torch.from_numpy(root @ rng.standard_normal(len(DRAWN)))
    values = [np.interp(u, levels, q) for u, q in zip(torch.special.ndtr(z).tolist(), quantiles, strict=True)]
    drawn = dict(zip(DRAWN, values, strict=True))
    yaw, pitch = how.pose * drawn.pop("yaw"), how.pose * drawn.pop("pitch")
    far = rng.uniform(-SPREAD, SPREAD)
    roll = rng.normal(0.0, how.roll)
    if rng.random() < how.far:
        yaw, pitch, roll = far
    drawn = {name: how.expression * value for name, value in drawn.items()}
    lids = drawn.pop("lids")
    drawn |= {"eyes_wide": max(lids, 0.0), "eyes_closed": max(-lids, 0.0)} | gaze(rng, yaw, pitch)
    expression = [float(np.clip(drawn[name], *bounds)) for name, bounds in head.EXPRESSIONS.items()]
    yaw, pitch, roll = (float(v) for v in np.clip([yaw, pitch, roll], -SPREAD, SPREAD))
    return Parameters(identity=identity, expression=np.array(expression), yaw=yaw, pitch=pitch, roll=roll)


def gaze(rng: np.random.Generator, yaw: float, pitch: float) -> dict[str, float]:
    """Eyes between straight ahead and into the camera, and a little astray."""
    share, astray = rng.uniform(0.0, 1.0), rng.normal(0.0, 0.25, 2)
    return {"gaze_x": -share * yaw / head.GAZE[0] + astray[0], "gaze_y": share * pitch / head.GAZE[1] + 0.6 * astray[1]}
