"""The canonical curves of a face, and the place of every landmark of every annotation scheme on them.

**Left and right are always those of the image**: `left_eye` is the eye on the left of the image. A landmark is
a placement (curve, t), t in [0, 1]. Curves run from left to right; the nose bridge runs downwards.

- `jaw`: from ear to ear, chin at 1/2. `nose_bridge`: from between the eyes to the tip.
- `nose_outline`: from beside the bridge, about 2/3 down it, around the wing (widest at 1/4), along the base
  (5/16 to 11/16) and up again.
- Bands `left_brow right_brow left_eye right_eye outer_lip inner_lip`: each has two edges, `..._upper` and
  `..._lower`, and the name of the band itself is its midline, the mean of both edges at the same t. Where the edges
  meet (corners of eyes and lips, outer tip of a brow) the three are one point; the inner end of a brow is blunt.
- `left_pupil`, `right_pupil`: single points, t = 0.

The sources of each scheme, and their certainty:

- 300w-68, wflw-98: equal t wherever PIPNet's table of correspondences has a pair. The table puts a 68-point brow on
  the midline of a 98-point one; the author of WFLW holds that no exact correspondence exists, and 68-point brows set
  by hand lie nearer the upper edge (experiment `annotator_agreement`).
- cofw-29: six points are certainly those of 300w-68 (corners of eyes and mouth); eleven more share a placement by
  their meaning, and manual annotations of them differ more (same experiment).
- helen-194: from published annotations of twelve photographs. Points are spaced evenly along each whole outline, so
  that the far corner falls between two of them. Here the far corners are 71 and 99 for the lips, 124 and 144 for the
  eyes; LDDMM-Face normalises by the next points, 125 and 145. The jaw starts lower than that of 300w-68: taken as
  1/20 to 19/20 from three photographs, accurate to about 1/40. The peaks of the upper lip, which 300w-68 marks
  at 1/3 and 2/3, lie nearer the middle of an evenly spaced lip.
- aflw-19: 7 and 10 are the centres of the eye openings, 16 that of the mouth; the only point of the jaw is the chin.
- lfw-74: DRN-SSR (paper B) does not publish the order. Ours is chosen to reproduce its counts: 29 places shared
  with 300w-68. union-113 is the 68 points followed by the 45 others, in the order of lfw-74.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

BANDS = ("left_brow", "right_brow", "left_eye", "right_eye", "outer_lip", "inner_lip")
# The t at which the two edges of a band meet.
JOINTS = dict.fromkeys(BANDS, (0, 1)) | {"left_brow": (0,), "right_brow": (1,)}
HALF, WING, BASE = Fraction(1, 2), Fraction(1, 4), Fraction(5, 16)


class Placement(NamedTuple):
    """A point of a canonical curve; t is a fraction, so that equal placements compare equal.

    >>> Placement("jaw", HALF) == place("jaw", Fraction(2, 4))
    True
    """

    curve: str
    t: Fraction


def band(curve: str) -> str:
    """The band that an edge belongs to; any other curve is its own band.

    >>> band("left_eye_upper"), band("jaw")
    ('left_eye', 'jaw')
    """
    return curve.removesuffix("_upper").removesuffix("_lower")


def place(curve: str, t: Fraction | int) -> Placement:
    """The placement (curve, t). Where edges meet, all three names give the placement of the midline.

    Args:
        curve: the name of a canonical curve.
        t: the position along it, from 0 to 1.

    >>> place("left_eye_lower", 0) == place("left_eye", 0)
    True
    """
    joint = t in JOINTS.get(band(curve), ())
    return Placement(band(curve) if joint else curve, Fraction(t))


def mirrored(p: Placement) -> Placement:
    """The placement of a landmark in the flipped image.

    >>> mirrored(place("left_brow", 0))
    Placement(curve='right_brow', t=Fraction(1, 1))
    """
    side, _, rest = p.curve.partition("_")
    curve = {"left": "right_" + rest, "right": "left_" + rest}.get(side, p.curve)
    return place(curve, p.t if curve == "nose_bridge" or rest == "pupil" else 1 - p.t)


def _along(curve: str, n: int, start: Fraction | int = 0, stop: Fraction | int = 1) -> list[Placement]:
    """The placements of n landmarks spaced evenly in t, both ends included."""
    return [place(curve, start + (Fraction(stop) - start) * i / (n - 1)) for i in range(n)]


def _ring(name: str, upper: int, lower: int) -> list[Placement]:
    """The placements along the upper edge, both corners included, and back along the lower edge without them."""
    return _along(name + "_upper", upper) + _along(name + "_lower", lower + 2, 1, 0)[1:-1]


def _mirror(placements: list[Placement]) -> list[Placement]:
    return [mirrored(p) for p in placements]


def _turns(*left: Placement) -> list[Placement]:
    """Each placement followed by its mirror image."""
    return [p for q in left for p in (q, mirrored(q))]


_NOSE = _along("nose_bridge", 4) + _along("nose_outline", 5, BASE, 1 - BASE)
_LIPS = _ring("outer_lip", 7, 5) + _ring("inner_lip", 5, 3)
_PUPILS = _turns(place("left_pupil", 0))


def _300w() -> list[Placement]:
    brows = _along("left_brow", 5) + _along("right_brow", 5)
    return [*_along("jaw", 17), *brows, *_NOSE, *_ring("left_eye", 4, 2), *_ring("right_eye", 4, 2), *_LIPS]


def _wflw() -> list[Placement]:
    left = _along("left_brow_upper", 5) + _along("left_brow_lower", 5, 1, 0)[:-1]
    right = _along("right_brow_upper", 5) + _along("right_brow_lower", 5, 1, 0)[1:]
    eyes = _ring("left_eye", 5, 3) + _ring("right_eye", 5, 3)
    return [*_along("jaw", 33), *left, *right, *_NOSE, *eyes, *_LIPS, *_PUPILS]


def _cofw() -> list[Placement]:
    def middle(name: str) -> list[Placement]:
        return [place(name + edge, HALF) for edge in ("_upper", "_lower")]

    brows = [*_turns(*_along("left_brow", 2)), *middle("left_brow"), *middle("right_brow")]
    eyes = [*_turns(*_along("left_eye", 2)), *middle("left_eye"), *middle("right_eye")]
    nose = [*_turns(place("nose_outline", WING)), place("nose_bridge", 1), place("nose_outline", HALF)]
    (top, bottom), inside = middle("outer_lip"), middle("inner_lip")
    return [*brows, *eyes, *_PUPILS, *nose, *_along("outer_lip", 2), top, *inside, bottom, place("jaw", HALF)]


def _aflw() -> list[Placement]:
    brows_and_eyes = [p for name in BANDS[:4] for p in _along(name, 3)]
    nose = [place("nose_outline", WING), place("nose_bridge", 1), place("nose_outline", 1 - WING)]
    return [*brows_and_eyes, *nose, *_along("outer_lip", 3), place("jaw", HALF)]


def _helen() -> list[Placement]:
    jaw = _along("jaw", 41, Fraction(1, 20), Fraction(19, 20))
    lips = _ring("outer_lip", 14, 14) + _ring("inner_lip", 14, 14)
    eye = _ring("right_eye", 11, 9)
    brow = [place("right_brow", 0), *_ring("right_brow", 11, 9)[1:]]  # the inner end, then around the outline
    return [*jaw, *_along("nose_outline", 17), *lips, *eye, *_mirror(eye), *brow, *_mirror(brow)]


def _lfw() -> list[Placement]:
    third = Fraction(1, 3)
    brow = [place("left_brow", 0), *_along("left_brow_upper", 4)[1:-1]]
    brow += [place("left_brow", 1), *_along("left_brow_lower", 4, 1, 0)[1:-1]]
    nose = _along("nose_outline", 3, 0, WING) + _along("nose_outline", 3, BASE, 1 - BASE)
    nose += [*_along("nose_outline", 3, 1 - WING, 1), place("nose_bridge", HALF), place("nose_bridge", 1)]
    eye = _ring("left_eye", 5, 3)
    inside = _along("inner_lip_upper", 3, third, 1 - third) + _along("inner_lip_lower", 3, 1 - third, third)
    sides = [*brow, *_mirror(brow), *nose, *eye, *_mirror(eye), *_PUPILS]
    return [*_along("jaw", 15), *sides, *_ring("outer_lip", 7, 5), *inside]


def _union() -> list[Placement]:
    return _300w() + [p for p in _lfw() if p not in _300w()]


SCHEMES = {
    "300w-68": _300w,
    "wflw-98": _wflw,
    "helen-194": _helen,
    "cofw-29": _cofw,
    "aflw-19": _aflw,
    "lfw-74": _lfw,
    "union-113": _union,
}

# Placements with a name of their own; the others are named by curve and t.
NAMES = {
    place("jaw", HALF): "chin",
    place("nose_bridge", 1): "nose tip",
    place("nose_outline", WING): "left nose wing",
    place("nose_outline", HALF): "nose base",
    place("nose_outline", 1 - WING): "right nose wing",
    place("left_brow", 0): "left brow outer end",
    place("left_brow", 1): "left brow inner end",
    place("right_brow", 0): "right brow inner end",
    place("right_brow", 1): "right brow outer end",
    place("left_eye", 0): "left eye outer corner",
    place("left_eye", HALF): "left eye centre",
    place("left_eye", 1): "left eye inner corner",
    place("right_eye", 0): "right eye inner corner",
    place("right_eye", HALF): "right eye centre",
    place("right_eye", 1): "right eye outer corner",
    place("left_pupil", 0): "left pupil",
    place("right_pupil", 0): "right pupil",
    place("outer_lip", 0): "outer lip left corner",
    place("outer_lip", HALF): "mouth centre",
    place("outer_lip", 1): "outer lip right corner",
    place("inner_lip", 0): "inner lip left corner",
    place("inner_lip", 1): "inner lip right corner",
}
