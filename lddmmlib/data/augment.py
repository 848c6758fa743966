"""Random augmentation of crops: an affine map, occlusion, lighting and noise, all driven by an explicit generator.

A face is rotated, scaled, shifted and flipped by one map composed with its canonical one (`crops.frame`), so that the
photograph is resampled once and the landmarks are mapped exactly. Shapes are drawn over it, and the landmarks under
them are hidden. Then follow blur, contrast, brightness, colour and noise, which move nothing.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import Dataset

from lddmmlib import _checks
from lddmmlib._checks import need
from lddmmlib.data import crops, images
from lddmmlib.data.crops import Affine, Box, Crop, Points
from lddmmlib.data.records import Record
from lddmmlib.faces import schemes
from lddmmlib.faces.schemes import Scheme


class Recipe(NamedTuple):
    """The strength of each augmentation; shares are probabilities. `STILL` is no augmentation.

    >>> Recipe(turn=45.0).turn, STILL.turn
    (45.0, 0)
    """

    turn: float = 30.0  #: the largest rotation, degrees
    turned: float = 0.6  #: share of rotated crops
    scale: tuple[float, float] = (0.85, 1.2)  #: side of the square / that of the canonical one
    shift: float = 0.06  #: the largest shift in x and in y, a fraction of the crop's side
    flipped: float = 0.5  #: share of flipped crops
    hidden: float = 0.3  #: share with one to three rectangles or ellipses drawn over
    cover: tuple[float, float] = (0.1, 0.4)  #: their axes, fractions of the crop's side
    blurred: float = 0.15  #: share of blurred crops
    blur: float = 0.012  #: the largest standard deviation, a fraction of the crop's side
    contrast: float = 0.4  #: the factor on differences from middle gray is 1 ± up to this
    brightness: float = 0.15  #: the largest offset, a fraction of the full range
    colour: float = 0.15  #: the factor on each channel is 1 ± up to this
    gray: float = 0.1  #: share without colour
    noise: float = 0.03  #: the largest standard deviation, a fraction of the full range


RECIPE = Recipe()
STILL = Recipe(turn=0, turned=0, scale=(1, 1), shift=0, flipped=0, hidden=0, blurred=0, blur=0,
               contrast=0, brightness=0, colour=0, gray=0, noise=0)  # fmt: skip
LUMA = np.float32(images.LUMA)


class Photo(NamedTuple):
    """An annotated photograph with its pixels."""

    image: Tensor  #: (3, h, w) uint8, red green blue
    landmarks: Points
    visible: Tensor
    box: Box | None


class Photos:
    """The photographs of records (`formats.read`), each loaded on access.

    Args:
        records: the faces.

    >>> len(Photos([]))
    0
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = list(records)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Photo:
        record = self.records[index]
        pixels = images.load(record.image) if record.image else None
        mend = "give root= to formats.read"
        need(pixels is not None, record.source, "an image that can be read", record.image or "none", mend)
        if wrong := images.compare(record, pixels):
            raise ValueError(wrong)
        image = torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1)
        return Photo(image=image, landmarks=record.landmarks, visible=record.visible, box=record.box)


class Crops(Dataset):
    """Faces as crops: `[i]` is canonical, `draw(i, rng)` augmented. `training.fit` uses `draw`, `evaluate` does not.

    The square is cut around a face's own box if it has one with an extent (an attribute `box`, as in `Photo`), else
    around its landmarks, of which missing ones are filled in by `crops.complete`.

    Args:
        faces: has a length and `faces[i]`, whose first three items are image (c, h, w) uint8, landmarks (n, 2) px and
            visible (n,), as in `faces.synthetic.Faces`. `Crops.of` makes them from records.
        scheme: their scheme, or its name.
        size: px of the crop.
        how: the strength of the augmentation.
        margin: side of the square / longer side of the box.

    >>> from lddmmlib.faces import synthetic
    >>> faces = Crops(synthetic.Faces(2, "studio", size=64), "300w-68", size=32)
    >>> first, again = (faces.draw(1, np.random.default_rng(5)) for _ in range(2))
    >>> first.image.shape, torch.equal(first.image, again.image)
    (torch.Size([3, 32, 32]), True)
    """

    def __init__(
        self, faces: Any, scheme: str | Scheme, size: int, how: Recipe = RECIPE, margin: float = crops.MARGIN
    ) -> None:
        self.faces, self.scheme, self.size, self.how, self.margin = faces, scheme, size, how, margin

    @classmethod
    def of(
        cls,
        records: Sequence[Record],
        scheme: str | Scheme,
        size: int,
        how: Recipe = RECIPE,
        margin: float = crops.MARGIN,
    ) -> Crops:
        """Make crops of annotated photographs, which are loaded on access.

        Args:
            records: the faces, as `formats.read` returns them.
            scheme: their scheme, or its name.
            size: px of the crop.
            how: the strength of the augmentation.
            margin: side of the square / longer side of the box.

        Raises:
            ValueError: records of another scheme; on access, for a face whose photograph cannot be read, or is not of
                the size that the annotations state.

        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> folder = TemporaryDirectory()
        >>> path = Path(folder.name, "face.png")
        >>> images.save(np.zeros((40, 60, 3), np.uint8), path)
        >>> face = Record(image=path, landmarks=30 * torch.rand(19, 2).double(), visible=torch.ones(19).bool(),
        ...               box=(10.0, 5.0, 24.0, 24.0), scheme="aflw-19", attributes={}, source="face.png")
        >>> Crops.of([face], "aflw-19", size=32)[0].image.shape
        torch.Size([3, 32, 32])
        >>> folder.cleanup()
        """
        n, name = (of := schemes.get(scheme)).n, of.name
        for i, record in enumerate(records):
            found, needed = len(record.landmarks), f"the {n} landmarks of {name!r}"
            need(found == n, f"records[{i}]", needed, f"{found} ({record.source})", "name their scheme")
        return cls(Photos(records), scheme, size, how, margin)

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> Crop:
        return self.draw(index, None)

    def draw(self, index: int, rng: Generator | None) -> Crop:
        """A random augmentation of crop `index`.

        Args:
            index: the face.
            rng: the source of randomness; None for the canonical crop.
        """
        face = self.faces[index]
        image, landmarks, visible, *_ = face
        try:
            affine = crops.frame(self._box(face, index), self.size, self.margin)
            if rng is None:
                return crops.crop(image, landmarks, visible, self.size, affine)
            return augment(image, landmarks, visible, affine, self.size, self.scheme, rng, self.how)
        except ValueError as error:
            raise ValueError(f"faces[{index}]: {error}") from None

    def _box(self, face: Any, index: int) -> Box:
        box, landmarks = getattr(face, "box", None), face[1]
        if box is not None and max(box[2:]) > 0:
            return tuple(box)
        if landmarks.isnan().any() and len(landmarks) == schemes.get(self.scheme).n:
            fewest = 3 if schemes.get(self.scheme).placements else len(landmarks)
            if 0 < (known := (~landmarks.isnan()).all(-1).sum().item()) < fewest:
                warnings.warn(f"faces[{index}]: cut around {known} of {len(landmarks)} landmarks alone", stacklevel=4)
            landmarks = crops.complete(landmarks, self.scheme)
        return crops.box(landmarks)


def augment(
    image: Tensor, landmarks: Points, visible: Tensor, affine: Affine, size: int, scheme: str | Scheme, rng: Generator,
    how: Recipe = RECIPE
) -> Crop:  # fmt: skip
    """A random augmentation of one face.

    Args:
        image: (c, h, w) uint8: gray, red green blue, or these and alpha, which is moved only.
        landmarks: (n, 2), px of the image.
        visible: (n,), False where an object hides the landmark.
        affine: (2, 3), the canonical map, image -> crop (`crops.frame`).
        size: px of the crop.
        scheme: determines which landmark becomes which when the image is flipped.
        rng: the only source of randomness.
        how: the strength of the augmentation.

    Returns:
        A `Crop`. Landmarks under a drawn shape are not `visible`; those beyond the border are not `inside`, and keep
            their position.

    Raises:
        ValueError: another number of landmarks than the scheme's, or another kind of image.

    >>> picture, two = torch.zeros(3, 50, 50).byte(), torch.full((68, 2), 20.0)
    >>> new = augment(picture, two, torch.ones(68).bool(), crops.frame((10, 10, 20, 20), 32), 32, "300w-68",
    ...               np.random.default_rng(0), STILL)
    >>> new.landmarks[0]
    tensor([15.5000, 15.5000])
    """
    of = schemes.get(scheme)
    need(len(landmarks) == of.n, "landmarks", f"the {of.n} of {of.name!r}", len(landmarks), "name their scheme")
    needed = "one that says which landmarks are mirrored, to flip faces"
    need(of.flip or not how.flipped, "scheme", needed, f"{of.name!r}", "give mirrored=, or a recipe with flipped=0")
    affine = crops.then(affine, move(size, rng, how))
    if affine[:, :2].det() < 0:
        landmarks, visible = landmarks[list(of.flip)], visible[list(of.flip)]
    face = crops.crop(image, landmarks, visible, size, affine)
    colours = face.image[:3].expand(3, -1, -1)  # gray is lit as a colour image and converted back
    pixels = colours.permute(1, 2, 0).numpy().astype(np.float32) / 255
    pixels, hidden = occlude(pixels, face.landmarks, rng, how)
    pixels = relight(pixels, rng, how)
    pixels = (pixels @ LUMA)[..., None] if len(face.image) == 1 else pixels
    lit = torch.from_numpy(np.rint(255 * pixels).astype(np.uint8)).permute(2, 0, 1)
    return face._replace(image=torch.cat([lit, face.image[3:]]).contiguous(), visible=face.visible & ~hidden)


def move(size: int, rng: Generator, how: Recipe) -> Affine:
    """A random similarity of the crop about its centre m: u -> k R(angle) F (u - m) + m + shift, where F flips x or
    does not.

    Args:
        size: px of the crop.
        rng: the source of randomness.
        how: the strength of the augmentation.

    Returns:
        (2, 3), float64.

    >>> torch.equal(move(32, np.random.default_rng(0), STILL), torch.eye(2, 3).double())
    True
    """
    angle = math.radians(how.turn) * rng.uniform(-1, 1) * (rng.random() < how.turned)
    k = 1 / rng.uniform(*how.scale)
    side = -1.0 if rng.random() < how.flipped else 1.0
    linear = k * np.array([[side * math.cos(angle), -math.sin(angle)], [side * math.sin(angle), math.cos(angle)]])
    middle = np.full(2, (size - 1) / 2)
    shift = size * how.shift * rng.uniform(-1, 1, 2)
    return torch.from_numpy(np.c_[linear, middle + shift - linear @ middle])


def occlude(pixels: np.ndarray, landmarks: Points, rng: Generator, how: Recipe) -> tuple[np.ndarray, Tensor]:
    """Draw up to three shapes over an image: |D (u - c)|_p <= 1, p = 2 an ellipse, p = ∞ a rectangle.

    Each has one colour, with grain of random strength.

    Args:
        pixels: (h, w, 3), in [0, 1].
        landmarks: (n, 2), px.
        rng: the source of randomness.
        how: the strength of the augmentation.

    Returns:
        The pixels (h, w, 3), and a mask (n,) of the landmarks under a shape.

    >>> occlude(np.zeros((8, 8, 3), np.float32), torch.zeros(1, 2), np.random.default_rng(0), STILL)[1]
    tensor([False])
    """
    hidden = torch.zeros(len(landmarks), dtype=torch.bool)
    if rng.random() >= how.hidden:
        return pixels, hidden
    h, w, _ = pixels.shape
    grid = np.stack(np.meshgrid(np.arange(w), np.arange(h)), -1)
    pixels = pixels.copy()
    for _ in range(rng.integers(1, 4)):
        centre, axes, angle = rng.uniform(0, [w, h]), w * rng.uniform(*how.cover, 2), rng.uniform(0, math.pi)
        c, s = math.cos(angle), math.sin(angle)
        to_unit = np.array([[c, s], [-s, c]]) * 2 / axes[:, None]
        p = (2, np.inf)[rng.integers(2)]

        def under(points: np.ndarray, centre=centre, to_unit=to_unit, p=p) -> np.ndarray:
            return np.linalg.norm((points - centre) @ to_unit.T, p, axis=-1) <= 1  # False for NaN

        mask = under(grid)
        grain = 0.3 * rng.random() * rng.standard_normal((mask.sum(), 3), dtype=np.float32)
        pixels[mask] = np.clip(rng.random(3, dtype=np.float32) + grain, 0, 1)
        hidden |= torch.from_numpy(under(landmarks.numpy()))
    return pixels, hidden


def relight(pixels: np.ndarray, rng: Generator, how: Recipe) -> np.ndarray:
    """Blur an image, change contrast, brightness and colour or remove the colour, and add noise.

    Args:
        pixels: (h, w, 3), in [0, 1].
        rng: the source of randomness.
        how: the strength of the augmentation.

    >>> float(relight(np.full((8, 8, 3), 0.25, np.float32), np.random.default_rng(0), STILL).max())
    0.25
    """
    cv2 = _checks.optional("cv2")

    if rng.random() < how.blurred and (sigma := len(pixels) * how.blur * rng.random()) > 0:
        pixels = cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    contrast, brightness = 1 + how.contrast * rng.uniform(-1, 1), how.brightness * rng.uniform(-1, 1)
    gain = (contrast * (1 + how.colour * rng.uniform(-1, 1, 3))).astype(np.float32)
    pixels = (pixels - 0.5) * gain + np.float32(0.5 + brightness)
    if rng.random() < how.gray:
        pixels = np.broadcast_to((pixels @ LUMA)[..., None], pixels.shape)
    noise = np.float32(how.noise * rng.random()) * rng.standard_normal(pixels.shape, dtype=np.float32)
    return np.clip(pixels + noise, 0, 1)
