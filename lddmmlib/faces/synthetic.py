"""Drawn faces with exact landmarks: random access by split and index, the same on every machine.

A face is determined by (split, index) alone. Its geometry and its look are sampled first, both without pixels; size,
style and scheme then determine how it is rendered and annotated, so that one face exists in every size, style and
annotation scheme.

A split is a setting and a part: `studio` and `wild` are for training; `studio-val`, `studio-test`, `wild-val` and
`wild-test` hold faces that never occur in a training split. Studio faces have small poses, soft light and a plain
wall behind them. Wild faces have large poses, harsh light, occlusion by hands and hair, and camera shake.

Attributes are those of WFLW. A flag is set where the numbers of the face exceed the threshold in `THRESHOLDS`.
"""

from __future__ import annotations

import tempfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lddmmlib import _checks
from lddmmlib._shapes import Bool, Float
from lddmmlib.faces import geometry, painters, schemes
from lddmmlib.faces.painters import Look, look

SPLITS = ("studio", "studio-val", "studio-test", "wild", "wild-val", "wild-test")
SMALLEST, LARGEST = 32, 2048  # px: below, an eye is less than a pixel high; above, no detail is added
MIDDLE = np.array([0.5, 0.54])  # the centre of that box in the image: hair needs room, too
FRAMING = 1.7  # side of the image / side of the box of the 68 landmarks: room for rotated and shifted crops
THRESHOLDS = {
    "pose": "a turn of the head above 30 degrees, or a tilt up or down above 20",
    "expression": "the strongest of open mouth, smile, pout, closed eyes, raised brows above 0.5",
    "illumination": "the lamp more than 4 times as strong as the light from everywhere, or the face's level below 0.35",
    "make-up": "make-up above 0.4 of the strongest",
    "occlusion": "more than a tenth of the face, from jaw to brows, behind hair, glasses or things",
    "blur": "a blur of more than 0.03 eye-corner distances (standard deviation; shake: path / sqrt 12)",
}


class Face(NamedTuple):
    """A drawn face. A `DataLoader` stacks faces without a collate function.

    >>> sample(0, "studio", size=32).attributes["pose"]
    False
    """

    image: Tensor  #: (3, size, size) uint8, red green blue; ``image.float() / 255`` for a network
    landmarks: Float[Tensor, "n 2"]  #: px of the image, float64
    visible: Bool[Tensor, " n"]  #: False where the head, hair, glasses or an object hides the landmark
    attributes: dict[str, bool]  #: the six flags of WFLW
    numbers: dict[str, float]  #: the numbers that the flags are derived from


class Sitting(NamedTuple):
    """The geometry and look of a face: everything that determines its image except size, style and scheme.

    >>> sitting(0).framed(64).scale == 64 * sitting(0).geometry.scale
    True
    """

    geometry: geometry.Face3D  #: in an image of unit side, upper left corner at (0, 0)
    look: Look

    def framed(self, size: int) -> geometry.Face3D:
        """The geometry in an image of `size` px a side: a point p of the unit square is at size p - 1/2."""
        return _placed(self.geometry, self.geometry.scale * size, self.geometry.centre * size - 0.5)


def sitting(index: int, split: str = "wild") -> Sitting:
    """The geometry and look of a face, to be modified and painted (`painters.STYLES`).

    Args:
        index: 0 or more.
        split: one of `SPLITS`.

    >>> before = sitting(0, "studio").geometry
    >>> bool(sitting(0, "studio").geometry.yaw == before.yaw)
    True
    """
    _door(index, split)
    seed, wild = (zlib.crc32(split.encode()), index), split.startswith("wild")
    rng = np.random.default_rng([*seed, 0])
    face = geometry.sample(rng, "wild" if wild else "studio")
    edges = [geometry.curve(face, name, np.linspace(0, 1, 17)) for name in ("jaw", "left_brow", "right_brow")]
    points = torch.cat(edges)[:, :2].numpy()
    low, high = points.min(0), points.max(0)
    jitter = 1.0 if wild else 0.2
    scale = float(np.exp(0.06 * jitter * rng.uniform(-1, 1)) / FRAMING / (high - low).max())
    shift = MIDDLE + 0.03 * jitter * rng.uniform(-1, 1, 2)
    return Sitting(_placed(face, scale, shift - scale * (low + high) / 2), look.sample(seed, wild))


def _placed(face: geometry.Face3D, scale: float, centre: np.ndarray) -> geometry.Face3D:
    """The same head at another place and scale; properties that do not depend on them are not computed again."""
    moved = replace(face, scale=scale, centre=centre)
    vars(moved).update(rotation=face.rotation, knots=face.knots)
    return moved


def sample(index: int, split: str = "wild", size: int = 128, style: str = "photo", scheme: str = "300w-68") -> Face:
    """Draw face `index` of a split.

    The side of the image is 1.7 times that of the box of the 68 landmarks, randomly 6 % more or less in the wild. The
    ratio differs for styles with a geometry of their own; the landmarks always follow that geometry.

    Args:
        index: 0 or more, without an upper limit.
        split: one of `SPLITS`.
        size: px a side, 32 to 2048. Landmarks scale with it: x + 1/2 is proportional to size.
        style: one of `painters.STYLES`.
        scheme: the annotation scheme (`faces.schemes`); the face is the same in each.

    Raises:
        ValueError: an unknown split, style or scheme, or a size or index out of range.

    >>> face = sample(7, "studio", size=64, scheme="wflw-98")
    >>> face.image.shape, face.landmarks.shape
    (torch.Size([3, 64, 64]), torch.Size([98, 2]))
    >>> half = sample(7, "studio", size=32, scheme="wflw-98")
    >>> torch.allclose((half.landmarks + 0.5) * 2, face.landmarks + 0.5)
    True
    """
    _door(index, split, size, style, scheme)
    return _draw(sitting(index, split), size, style, scheme)


def video(
    index: int, frames: int, split: str = "wild", size: int = 128, style: str = "photo", scheme: str = "300w-68"
) -> list[Face]:
    """Draw consecutive frames of one face, 25 a second: head, mouth, lids and camera move smoothly.

    Frames are sharp; `perturb.motion_blur` blurs one along the displacement of the tip of the nose.

    Args:
        index: 0 or more.
        frames: the number of frames.
        split: one of `SPLITS`.
        size: px a side, 32 to 2048.
        style: one of `painters.STYLES`.
        scheme: the annotation scheme (`faces.schemes`).

    >>> first, second = video(0, 2, size=32)
    >>> bool((first.landmarks - second.landmarks).norm(dim=-1).mean() < 2)
    True
    """
    _door(index, split, size, style, scheme)
    _checks.positive(float(frames), "frames")
    start = sitting(index, split)
    return [_draw(_moved(start, t / 25), size, style, scheme) for t in range(frames)]


# For each moving parameter its amplitude (radians, strengths, sides of the image) and its frequency (1/s).
_MOVES = {"yaw": (0.25, 0.5), "pitch": (0.12, 0.7), "roll": (0.1, 0.4), "mouth_open": (0.3, 1.5), "smile": (0.3, 0.3)}
_MOVES |= {"eyes_closed": (0.5, 0.4), "brows_up": (0.3, 0.4), "gaze_x": (0.4, 0.5), "x": (0.03, 0.9), "y": (0.02, 1.1)}


def _moved(start: Sitting, seconds: float) -> Sitting:
    """Add two sines of random phase to each parameter; at second 0 all have the values of the still face."""
    rng, face = start.look.rng("video"), start.geometry
    way = {}
    for name, (far, often) in _MOVES.items():
        speed = 2 * np.pi * often * rng.uniform(0.6, 1.4, 2)
        phase = rng.uniform(0, 2 * np.pi, 2)
        way[name] = far / 2 * (np.sin(speed * seconds + phase) - np.sin(phase)).sum()
    turns = {
        name: float(np.clip(getattr(face, name) + way.pop(name), -limit, limit))
        for name, limit in geometry.LIMITS.items()
    }
    centre = np.add(face.centre, (way.pop("x"), way.pop("y")))
    now = dict(zip(geometry.EXPRESSIONS, face.expression, strict=True))
    bounded = {name: float(np.clip(now[name] + by, *geometry.EXPRESSIONS[name])) for name, by in way.items()}
    return start._replace(geometry=replace(face.express(**bounded), **turns, centre=centre))


def _draw(sitting: Sitting, size: int, style: str, scheme: str) -> Face:
    paint, shape = painters.STYLES[style]
    face = shape(sitting.framed(size), sitting.look)
    painting = paint(face, sitting.look, size)
    landmarks, seen = geometry.landmarks(face, scheme)
    numbers = _numbers(sitting._replace(geometry=face), painting.occluded)
    return Face(
        image=torch.from_numpy(np.round(255 * painting.image).astype(np.uint8)).permute(2, 0, 1).contiguous(),
        landmarks=landmarks.double(),
        visible=seen & ~_behind(painting.hidden, landmarks),
        attributes=_flags(numbers),
        numbers=numbers,
    )


def _behind(hidden: np.ndarray, points: Tensor) -> Tensor:
    """A mask of the points that something hides."""
    h, w = hidden.shape
    x, y = points.round().long().T
    return torch.from_numpy(hidden)[y.clamp(0, h - 1), x.clamp(0, w - 1)] > 0.5


def _numbers(sitting: Sitting, occluded: float) -> dict[str, float]:
    face, look = sitting
    shake = np.hypot(*look.camera.motion) / 12**0.5
    angles = {name: float(np.degrees(getattr(face, name))) for name in geometry.LIMITS}
    strengths = {name: float(v) for name, v in zip(geometry.EXPRESSIONS, face.expression, strict=True)}
    return {
        **angles,
        **strengths,
        "light_ratio": float(look.light.lamp.mean() / look.light.ambient.mean()),
        "level": look.camera.exposure,
        "makeup": look.makeup,
        "occluded": occluded,
        "blurred": float(np.hypot(look.camera.blur, shake)),
    }


def _flags(n: dict[str, float]) -> dict[str, bool]:
    """The attributes, by the thresholds that `THRESHOLDS` describes."""
    moving = ("mouth_open", "smile", "pout", "eyes_closed", "brows_up")
    return {
        "pose": abs(n["yaw"]) > 30 or abs(n["pitch"]) > 20,
        "expression": max(abs(n[name]) for name in moving) > 0.5,
        "illumination": n["light_ratio"] > 4 or n["level"] < 0.35,
        "make-up": n["makeup"] > 0.4,
        "occlusion": n["occluded"] > 0.1,
        "blur": n["blurred"] > 0.03,
    }


def _door(index: int, split: str, size: int = 128, style: str = "photo", scheme: str = "300w-68") -> None:
    if isinstance(index, bool) or not isinstance(index, int | np.integer) or index < 0:
        raise ValueError(f"index: needed an integer >= 0, got {index!r}")
    _checks.one_of(split, "split", SPLITS)
    _checks.one_of(style, "style", painters.STYLES)
    _checks.one_of(scheme, "scheme", schemes.SCHEMES)
    if not isinstance(size, int | np.integer) or not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size: needed an integer from {SMALLEST} to {LARGEST} (px a side), got {size!r}")


class Faces(Dataset):
    """The first `count` faces of a split as a torch dataset: random access, no state, safe in worker processes.

    Args:
        count: the number of faces.
        split: one of `SPLITS`.
        size: px a side, 32 to 2048.
        style: one of `painters.STYLES`.
        scheme: the annotation scheme (`faces.schemes`).
        pool: a folder that caches drawn faces; any number of processes may share and resume it.

    >>> faces = Faces(3, "studio", size=32)
    >>> len(faces), torch.equal(faces[2].image, sample(2, "studio", size=32).image)
    (3, True)
    """

    def __init__(
        self,
        count: int,
        split: str = "wild",
        size: int = 128,
        style: str = "photo",
        scheme: str = "300w-68",
        pool: str | Path | None = None,
    ) -> None:
        _checks.positive(float(count), "count")
        _door(0, split, size, style, scheme)
        self.count, self.how = count, {"split": split, "size": size, "style": style, "scheme": scheme}
        self.pool = None if pool is None else Pool(Path(pool), self.how)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Face:
        if not 0 <= index < self.count:
            raise IndexError(f"index: needed one from 0 to {self.count - 1}, got {index}")
        if self.pool is None:
            return sample(index, **self.how)
        return self.pool.get(index)


class Pool:
    """A cache of faces on disk, one file each, written atomically (to a temporary file that is then renamed).

    The first face is compared with a new drawing, so that a pool written by another version of this package is refused
    instead of being mixed with new faces.

    Args:
        folder: the root of the cache; each combination of arguments has its own folder in it.
        how: the keyword arguments of `sample`.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Pool(Path(folder), {"split": "studio", "size": 32}).get(0).image.shape
    torch.Size([3, 32, 32])
    """

    def __init__(self, folder: Path, how: dict) -> None:
        self.how = how
        self.folder = folder / "-".join(map(str, how.values()))
        self.folder.mkdir(parents=True, exist_ok=True)
        kept, fresh = self.get(0), sample(0, **how)
        apart = (kept.image.int() - fresh.image.int()).abs().max()
        if apart > 1 or not torch.allclose(kept.landmarks, fresh.landmarks, atol=1e-6):
            raise ValueError(f"pool: the faces in {self.folder} were drawn by another version; remove that folder")

    def get(self, index: int) -> Face:
        """Face `index`, drawn and kept on first use."""
        path = self.folder / f"{index // 1000:04d}" / f"{index:07d}.npz"
        if not path.exists():
            _keep(sample(index, **self.how), path)
        with np.load(path) as file:
            image, landmarks, visible = (torch.from_numpy(file[k]) for k in ("image", "landmarks", "visible"))
            numbers = dict(zip(file["names"].tolist(), file["values"].tolist(), strict=True))
        return Face(image=image, landmarks=landmarks, visible=visible,
                    attributes=_flags(numbers), numbers=numbers)  # fmt: skip


def _keep(face: Face, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    arrays = {k: getattr(face, k).numpy() for k in ("image", "landmarks", "visible")}
    names, values = list(face.numbers), list(face.numbers.values())
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as aside:
        np.savez(aside, names=names, values=values, **arrays)
    Path(aside.name).replace(path)
