"""The appearance of a face apart from its geometry: colours, light, camera, and a seed for all the details.

A value that other modules need (for attributes, tests, or a reader who moves the lamp) is a named number here. Details
that nobody else needs, such as the shape of a collar, are drawn by each painter from a random stream of its own,
`Look.rng`: a stream depends on the seed and the name of the part only, so parts do not affect each other and a video
keeps its look from frame to frame.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from lddmmlib.faces.painters.canvas import Array


@dataclass(frozen=True)
class Light:
    """One lamp and the ambient light, both linear red green blue; and the sharpness of the lamp's shadows."""

    direction: Array  #: unit vector towards the lamp, camera frame (x right, y down, z to the camera)
    lamp: Array
    ambient: Array
    softness: float  #: width of a shadow's edge, in eye-corner distances


@dataclass(frozen=True)
class Camera:
    """The parameters of the camera."""

    exposure: float  #: mean level of the face, 0 to 1
    blur: float  #: standard deviation, in eye-corner distances
    motion: Array  #: the path of the camera's shake (2,), in eye-corner distances
    noise: float
    contrast: float
    saturation: float  #: 0: gray
    cast: Array  #: gains of red green blue


@dataclass(frozen=True)
class Look:
    """The appearance of one picture."""

    seed: tuple[int, ...]
    wild: bool
    skin: Array  #: linear red green blue, as all colours here
    hair: Array
    beard: float  #: 0: none, 1: full
    makeup: float  #: 0: none, 1: strong
    glasses: bool
    occluders: int
    hat: bool
    mask: bool  #: over nose and mouth
    neighbour: str  #: somebody else "behind" the sitter, "before", or nobody: ""
    light: Light
    camera: Camera

    def rng(self, part: str) -> np.random.Generator:
        """The random stream of one part of the picture."""
        return np.random.default_rng([*self.seed, zlib.crc32(part.encode())])


def sample(seed: tuple[int, ...], wild: bool) -> Look:
    """Sample a random look.

    Args:
        seed: integers that determine the look.
        wild: whether to sample as in snapshots instead of as in a studio.

    >>> sample((0,), wild=False).occluders
    0
    """
    rng = np.random.default_rng([*seed, 1])
    skin, hair = skin_and_hair(rng)
    man = rng.random() < 0.5
    worn = np.random.default_rng([*seed, 2]).random(3)
    return Look(
        seed=seed,
        wild=wild,
        skin=skin,
        hair=hair,
        beard=float(man and rng.random() < 0.5) * rng.uniform(0.15, 1),
        makeup=float(not man and rng.random() < 0.6) * rng.random() ** 1.5,
        glasses=bool(rng.random() < 0.14),
        occluders=int(rng.integers(1, 3)) if wild and rng.random() < 0.3 else 0,
        hat=bool(wild and worn[0] < 0.12),
        mask=bool(wild and worn[1] < 0.03),
        neighbour="" if not wild or worn[2] > 0.15 else "before" if worn[2] < 0.05 else "behind",
        light=_light(rng, wild),
        camera=_camera(rng, wild),
    )


def linear(levels: object) -> Array:
    """Convert display levels in [0, 1] to linear light (a plain gamma of 2.2)."""
    return np.asarray(levels, float) ** 2.2


def skin_and_hair(rng: np.random.Generator) -> tuple[Array, Array]:
    """Sample a skin colour by its share of melanin, and a hair colour by the absorption of two pigments."""
    melanin, blood = rng.beta(0.9, 1.6), rng.uniform(-1, 1)
    light, dark = linear([0.94, 0.77, 0.66]), linear([0.30, 0.18, 0.12])
    skin = light ** (1 - melanin) * dark**melanin * np.exp(blood * np.array([0.05, -0.06, -0.08]))
    skin *= np.exp(0.03 * rng.standard_normal(3))
    black = rng.gamma(2, 0.7) if melanin < 0.45 else rng.uniform(0.8, 2)
    red = rng.gamma(1, 0.3) if melanin < 0.45 else 0.1
    hair = 0.75 * np.exp(-black * np.array([1.6, 2.2, 3.1]) - red * np.array([0.5, 1.3, 2.6])) + 0.008
    if rng.random() < 0.1:  # gray
        hair = hair + rng.uniform(0.1, 0.5) * (1 - hair)
    if rng.random() < 0.03:  # dyed
        hair = linear(rng.random(3))
    return skin, hair


def any_colour(rng: np.random.Generator) -> Array:
    """Sample the colour of an object: a third gray, a third muted, a third brown, some vivid."""
    kind, value = rng.random(), rng.uniform(0.05, 1)
    if kind < 0.3:
        chroma = 0.05
    elif kind < 0.6:
        chroma = rng.choice([0.2, 0.5, 0.9])
    else:
        return np.clip(
            linear(rng.uniform(0.3, 1.6) * np.array([0.55, 0.45, 0.36])) + 0.04 * rng.standard_normal(3), 0, 1
        )
    return np.clip(value * (1 + chroma * rng.uniform(-1, 1, 3)), 0, 1) ** 2.2


def _light(rng: np.random.Generator, wild: bool) -> Light:
    spread = 1.0 if wild else 0.6
    toward = np.array(
        [0.75 * spread * rng.standard_normal(), -0.45 + 0.45 * spread * rng.standard_normal(), rng.uniform(0.5, 1.2)]
    )
    share = rng.uniform(0.1, 0.6) if wild else rng.uniform(0.25, 0.5)
    tint = np.exp(0.07 * spread * rng.standard_normal((2, 3)))
    return Light(
        direction=toward / np.linalg.norm(toward),
        lamp=(1 - share) * 1.5 * tint[0],
        ambient=share * tint[1],
        softness=rng.uniform(0.03, 0.3) if wild else rng.uniform(0.12, 0.35),
    )


def _camera(rng: np.random.Generator, wild: bool) -> Camera:
    motion = np.zeros(2)
    if wild and rng.random() < 0.12:
        angle = rng.uniform(0, np.pi)
        motion = rng.uniform(0.03, 0.14) * np.array([np.cos(angle), np.sin(angle)])
    return Camera(
        exposure=rng.uniform(0.3, 0.7) if wild else rng.uniform(0.45, 0.6),
        blur=rng.gamma(1.2, 0.012) if wild and rng.random() < 0.45 else rng.uniform(0.0, 0.008),
        motion=motion,
        noise=rng.gamma(1.2, 0.007) if wild and rng.random() < 0.5 else 0.003,
        contrast=rng.uniform(0.75, 1.5) if wild else rng.uniform(0.9, 1.15),
        saturation=(0.0 if rng.random() < 0.12 else rng.uniform(0.4, 1.3)) if wild else rng.uniform(0.95, 1.2),
        cast=np.exp((0.06 if wild else 0.02) * rng.standard_normal(3)),
    )
