"""The distribution of faces: random identity, expression and pose, with the frequencies of real annotated photographs.

Identity is standard normal. Expressions, yaw and pitch are neither normal nor independent: most mouths are closed,
and laughing opens them. They are sampled from a Gaussian copula,

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

# The variables of the copula; "lids" is eyes_wide - eyes_closed.
DRAWN = ("mouth_open", "smile", "pout", "brows_up", "brows_together", "jaw_sideways", "lids", "yaw", "pitch")
CUT = 3.0  # the largest absolute value of a sampled identity parameter
SPREAD = np.radians([60.0, 35.0, 45.0])  # the largest absolute yaw, pitch and roll


class Setting(NamedTuple):
    """The parameters of a setting.

    pose, expression: factors on the real standard deviations. far: the probability of a uniformly random pose. roll:
    standard deviation, radians.
    """

    pose: float
    expression: float
    far: float
    roll: float


SETTINGS = {
    "studio": Setting(pose=0.35, expression=0.5, far=0.0, roll=0.04),
    "wild": Setting(pose=1.0, expression=1.0, far=0.05, roll=0.17),
}


class Parameters(NamedTuple):
    """The fields of a `geometry.Face3D` except scale and centre."""

    identity: np.ndarray
    expression: np.ndarray
    yaw: float
    pitch: float
    roll: float


@cache
def facts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The levels (m,) and quantiles (9, m) of the data file, and the Cholesky factor of C."""
    with np.load(head.FACTS) as file:
        levels, quantiles, correlation = (file[k].astype(np.float64) for k in ("levels", "quantiles", "correlation"))
    return levels, quantiles, np.linalg.cholesky(correlation)


def draw(rng: np.random.Generator, setting: str = "wild") -> Parameters:
    """Sample a random face in the setting "studio" (nearly frontal, mild) or "wild" (as photographs on the web)."""
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
    """Sample a gaze between straight ahead and into the camera, with a small random error."""
    share, astray = rng.uniform(0.0, 1.0), rng.normal(0.0, 0.25, 2)
    return {"gaze_x": -share * yaw / head.GAZE[0] + astray[0], "gaze_y": share * pitch / head.GAZE[1] + 0.6 * astray[1]}
