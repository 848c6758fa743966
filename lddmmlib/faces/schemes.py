"""Annotation schemes: every landmark of every scheme is a place on one small set of canonical curves.

A scheme is a list of placements (curve, t), t in [0, 1]; all else (drawn curves, flips, conversions between schemes,
names) follows from that list. **Left and right are the image's**, always: `left_eye` is the eye on the left of the
picture. Curves run from image left to image right, the nose bridge from top to bottom.

- `jaw`: ear to ear, chin at 1/2. `nose_bridge`: between the eyes to the tip. `nose_outline`: from beside the inner
  corner of the left eye down around the wing (widest at 3/16), along the base (1/4 to 3/4), and up again.
- Bands `left_brow right_brow left_eye right_eye outer_lip inner_lip` have two edges, `..._upper` and `..._lower`;
  the band's own name is its midline, the mean of both edges at the same t. Where the edges meet (eye and lip corners,
  the outer tip of a brow) the three are one point. The inner end of a brow is blunt: there they are three points.
- `left_pupil`, `right_pupil`: single points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Float


class Placement(NamedTuple):
    """A point of a canonical curve; t is a fraction so that equal places compare equal."""

    curve: str
    t: Fraction


BANDS = ("left_brow", "right_brow", "left_eye", "right_eye", "outer_lip", "inner_lip")
# Where both edges of a band meet: the brows are blunt at their inner end.
JOINTS = {band: (0, 1) for band in BANDS} | {"left_brow": (0,), "right_brow": (1,)}
PARTS = {
    "edge": ("jaw",),
    "brows": ("left_brow", "right_brow"),
    "nose": ("nose_bridge", "nose_outline"),
    "eyes": ("left_eye", "right_eye", "left_pupil", "right_pupil"),
    "mouth": ("outer_lip", "inner_lip", "mouth"),
}
COLOURS = {"edge": "#0072B2", "brows": "#A66F00", "nose": "#009E73", "eyes": "#D55E00", "mouth": "#B85C9E"}


def band_of(curve: str) -> str:
    """The band that an edge belongs to; any other curve is its own."""
    return curve.removesuffix("_upper").removesuffix("_lower")


def place(curve: str, t: Fraction | int) -> Placement:
    """The placement (curve, t), with the edges' common end named once, by the band."""
    band = band_of(curve)
    return Placement(band if t in JOINTS.get(band, ()) else curve, Fraction(t))


def mirrored(p: Placement) -> Placement:
    """Where a placement lands when the image is flipped."""
    side, _, rest = p.curve.partition("_")
    curve = {"left": "right_" + rest, "right": "left_" + rest}.get(side, p.curve)
    return place(curve, p.t if curve == "nose_bridge" or curve.endswith("pupil") else 1 - p.t)


def _along(curve: str, n: int, start: Fraction | int = 0, stop: Fraction | int = 1) -> list[Placement]:
    """n landmarks spread evenly in t from start to stop."""
    return [place(curve, start + (Fraction(stop) - start) * i / (n - 1)) for i in range(n)]


def _ring(band: str, upper: int, lower: int) -> list[Placement]:
    """Along the upper edge with both ends, then back along the lower one without them."""
    step = Fraction(1, lower + 1)
    return _along(band + "_upper", upper) + _along(band + "_lower", lower, 1 - step, step)


def _lips() -> list[Placement]:
    return _ring("outer_lip", 7, 5) + _ring("inner_lip", 5, 3)


Q = Fraction(1, 4)
HALF = Fraction(1, 2)


def _300w() -> list[Placement]:
    brows = _along("left_brow", 5) + _along("right_brow", 5)
    nose = _along("nose_bridge", 4) + _along("nose_outline", 5, Q, 3 * Q)
    return _along("jaw", 17) + brows + nose + _ring("left_eye", 4, 2) + _ring("right_eye", 4, 2) + _lips()


def _wflw() -> list[Placement]:
    left = _along("left_brow_upper", 5) + _along("left_brow_lower", 4, 1, Q)
    right = _along("right_brow_upper", 5) + _along("right_brow_lower", 4, 3 * Q, 0)
    nose = _along("nose_bridge", 4) + _along("nose_outline", 5, Q, 3 * Q)
    eyes = _ring("left_eye", 5, 3) + _ring("right_eye", 5, 3)
    pupils = [place("left_pupil", 0), place("right_pupil", 0)]
    return _along("jaw", 33) + left + right + nose + eyes + _lips() + pupils


def _pairs(*left: tuple[str, Fraction | int]) -> list[Placement]:
    """Each placement followed by its mirror image."""
    return [p for spot in left for p in (place(*spot), mirrored(place(*spot)))]


def _cofw() -> list[Placement]:
    """In the published order: left and right take turns, but above and below come together."""
    above, below = Fraction(1, 2), Fraction(1, 2)
    brows = [place("left_brow_upper", above), place("left_brow_lower", below)]
    eyes = [place("left_eye_upper", above), place("left_eye_lower", below)]
    return [
        *_pairs(("left_brow", 0), ("left_brow", 1)),
        *brows, *map(mirrored, brows),
        *_pairs(("left_eye", 0), ("left_eye", 1)),
        *eyes, *map(mirrored, eyes),
        *_pairs(("left_pupil", 0), ("nose_outline", Fraction(3, 16))),
        place("nose_bridge", 1), place("nose_outline", HALF),
        *_pairs(("outer_lip", 0)),
        *(place(lip, HALF) for lip in ("outer_lip_upper", "inner_lip_upper", "inner_lip_lower", "outer_lip_lower")),
        place("jaw", HALF),
    ]  # fmt: skip


def _aflw() -> list[Placement]:
    brows_eyes = [p for b in ("left_brow", "right_brow", "left_eye", "right_eye") for p in _along(b, 3)]
    wing = Fraction(3, 16)
    nose = [place("nose_outline", wing), place("nose_bridge", 1), place("nose_outline", 1 - wing)]
    return [
        *brows_eyes,
        *nose,
        place("outer_lip", 0),
        place("inner_lip", HALF),
        place("outer_lip", 1),
        place("jaw", HALF),
    ]


def _helen() -> list[Placement]:
    eye = _ring("right_eye", 11, 9)
    brow = [
        place("right_brow", 0),
        *_along("right_brow_upper", 11)[1:],
        *_along("right_brow_lower", 11, 1, 0)[1:-1],
    ]
    lips = _ring("outer_lip", 15, 13) + _ring("inner_lip", 15, 13)
    sides = [*eye, *map(mirrored, eye), *brow, *map(mirrored, brow)]
    return _along("jaw", 41) + _along("nose_outline", 17) + lips + sides


def _lfw() -> list[Placement]:
    third = Fraction(1, 3)
    brow = [place("left_brow", 0), *_along("left_brow_upper", 2, third, 2 * third), place("left_brow", 1),
            *_along("left_brow_lower", 2, 2 * third, third)]  # fmt: skip
    eye = _ring("left_eye", 5, 3)
    nose = [place("nose_outline", t) for t in (0, third / 2, Q, HALF, 3 * Q, 1 - third / 2, 1)]
    nose += [*_pairs(("nose_outline", Q / 3)), place("nose_bridge", HALF), place("nose_bridge", 1)]
    lips = _ring("outer_lip", 7, 5)
    lips += _along("inner_lip_upper", 3, third, 2 * third) + _along("inner_lip_lower", 3, 2 * third, third)
    pupils = [place("left_pupil", 0), place("right_pupil", 0)]
    return [*_along("jaw", 15), *brow, *map(mirrored, brow), *nose, *eye, *map(mirrored, eye), *pupils, *lips]


def _union() -> list[Placement]:
    both = _300w()
    return both + [p for p in _lfw() if p not in both]


SCHEMES = {
    "300w-68": _300w,
    "wflw-98": _wflw,
    "helen-194": _helen,
    "cofw-29": _cofw,
    "aflw-19": _aflw,
    "lfw-74": _lfw,
    "union-113": _union,
}


@dataclass(frozen=True)
class Scheme:
    """An annotation scheme, everything derived from its placements."""

    name: str
    n: int
    placements: tuple[Placement, ...]
    curves: Mapping[str, tuple[int, ...]]
    closed: frozenset[str]
    flip: tuple[int, ...]
    corners: tuple[int, int]
    pupils: tuple[tuple[int, ...], tuple[int, ...]] | None
    parts: Mapping[str, tuple[int, ...]]
    names: tuple[str, ...]
    colours: Mapping[str, str]

    def lines(self, points: Float[Tensor, "*batch n 2"]) -> dict[str, Tensor]:
        """The polyline of every curve, (..., m, 2): a closed one comes back to its first point."""
        _checks.points(points, "points", self.n, nan=True)
        rings = {c: i + i[:1] if c in self.closed else i for c, i in self.curves.items()}
        return {c: points[..., list(i), :] for c, i in rings.items()}


def _curves(placements: list[Placement]) -> dict[str, tuple[int, ...]]:
    """Bands go once around: along midline and upper edge, back along the lower edge."""
    curves: dict[str, list[tuple]] = {}
    for i, (curve, t) in enumerate(placements):
        lower = curve.endswith("_lower")
        curves.setdefault(band_of(curve), []).append((lower, -t if lower else t, i))
    if not any(p.curve.startswith("inner_lip_") for p in placements):  # lips without edges are one line
        if "inner_lip" in curves:
            curves["mouth"] = curves.pop("outer_lip") + curves.pop("inner_lip")
    return {c: tuple(i for *_, i in sorted(rows)) for c, rows in curves.items()}


SPECIAL = {
    place("jaw", HALF): "chin",
    place("nose_bridge", 1): "nose tip",
    place("nose_outline", HALF): "nose base",
    place("left_eye", 0): "left eye, outer corner",
    place("left_eye", 1): "left eye, inner corner",
    place("right_eye", 0): "right eye, inner corner",
    place("right_eye", 1): "right eye, outer corner",
    place("left_brow", 0): "left brow, outer end",
    place("left_brow", 1): "left brow, inner end",
    place("right_brow", 0): "right brow, inner end",
    place("right_brow", 1): "right brow, outer end",
    place("outer_lip", 0): "left mouth corner",
    place("outer_lip", 1): "right mouth corner",
    place("inner_lip", 0): "left inner mouth corner",
    place("inner_lip", 1): "right inner mouth corner",
    place("inner_lip", HALF): "mouth centre",
    place("left_pupil", 0): "left pupil",
    place("right_pupil", 0): "right pupil",
}


def _name(p: Placement) -> str:
    return SPECIAL.get(p) or f"{p.curve.replace('_', ' ')} {p.t}"


@cache
def get(name: str) -> Scheme:
    """The scheme called ``name``.

    >>> get("300w-68").corners
    (36, 45)
    """
    _checks.one_of(name, "scheme", SCHEMES)
    placements = SCHEMES[name]()
    index = {p: i for i, p in enumerate(placements)}
    curves = _curves(placements)
    rings = frozenset(band_of(c) for c in (p.curve for p in placements) if c != band_of(c))
    eyes = [(curves.get(s + "_pupil") or curves.get(s + "_eye")) for s in ("left", "right")]
    if "left_pupil" not in curves and "left_eye" not in rings:  # corners and the eye's centre
        eyes = [(index[place(s + "_eye", HALF)],) for s in ("left", "right")]
    part = {c: p for p, cs in PARTS.items() for c in cs}
    return Scheme(
        name=name,
        n=len(placements),
        placements=tuple(placements),
        curves=curves,
        closed=rings,
        flip=tuple(index[mirrored(p)] for p in placements),
        corners=(index[place("left_eye", 0)], index[place("right_eye", 1)]),
        pupils=(eyes[0], eyes[1]),
        parts={p: tuple(sorted(i for c in cs for i in curves.get(c, ()))) for p, cs in PARTS.items()},
        names=tuple(map(_name, placements)),
        colours=COLOURS | {c: COLOURS[part[c]] for c in curves},
    )
