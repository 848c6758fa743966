"""Annotation schemes: curves, flips, parts and conversions, all derived from one table of placements.

`placements.py` says where each landmark lies on the canonical curves of the face, and how certain that is.
Left and right are those of the image.

A scheme of own landmarks is made by `custom`, and is passed wherever the name of a scheme is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import cycle
from numbers import Integral

import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._checks import need
from lddmmlib._shapes import Float
from lddmmlib.faces.placements import BANDS, HALF, JOINTS, NAMES, SCHEMES, Placement, band, mirrored, place

PARTS = {  # the five parts of NME_curve (paper A)
    "edge": ("jaw",),
    "brows": ("left_brow", "right_brow"),
    "nose": ("nose_bridge", "nose_outline"),
    "eyes": ("left_eye", "right_eye", "left_pupil", "right_pupil"),
    "mouth": ("outer_lip", "inner_lip"),
}
# Contrast ratio at least 3 with white and with near-black; distinct under every kind of colour blindness.
COLOURS = {"edge": "#5A64BE", "brows": "#DC780A", "nose": "#00A06E", "eyes": "#C81432", "mouth": "#B478AA"}


@dataclass(frozen=True)
class Scheme:
    """An annotation scheme. Indices are 0-based; left and right are those of the image.

    Attributes:
        name: a key of `placements.SCHEMES`, or the name of own landmarks.
        n: the number of landmarks.
        placements: (curve, t) of each landmark; none of own landmarks.
        curves: from a curve's name to its landmarks, in order along the curve.
        closed: names of the closed curves, which run along the upper edge and back along the lower one.
        flip: landmark i of the flipped image is landmark flip[i] of the image; None if that is unknown.
        corners: the outer corners of the left and of the right eye; None if there are none.
        pupils: for each eye the landmarks whose mean is the pupil.
        parts: from each of the five parts of NME_curve (paper A) to its landmarks.
        names: a name for each landmark.
        colours: a colour for each part and for each curve.

    >>> scheme = get("300w-68")
    >>> scheme.corners, scheme.flip[36], len(scheme.parts["mouth"])
    ((36, 45), 45, 20)
    """

    name: str
    n: int
    placements: tuple[Placement, ...]
    curves: Mapping[str, tuple[int, ...]]
    closed: frozenset[str]
    flip: tuple[int, ...] | None
    corners: tuple[int, int] | None
    pupils: tuple[tuple[int, ...], tuple[int, ...]] | None
    parts: Mapping[str, tuple[int, ...]]
    names: tuple[str, ...]
    colours: Mapping[str, str]

    def __hash__(self) -> int:
        return hash((self.name, self.names))

    def lines(self, points: Float[Tensor, "*batch n 2"]) -> dict[str, Tensor]:
        """Polylines to draw, by the name of their curve; a closed one ends at its first point.

        Args:
            points: (..., n, 2), the landmarks of this scheme, in any unit.

        Returns:
            For each curve a polyline (..., m, 2) in the same unit.

        >>> get("300w-68").lines(torch.zeros(68, 2))["left_eye"].shape
        torch.Size([7, 2])
        """
        _checks.points(points, f"points of {self.name}", self.n, nan=True)
        around = {name: i + i[: name in self.closed] for name, i in self.curves.items()}
        return {name: points[..., list(i), :] for name, i in around.items()}


def _curves(placements: list[Placement]) -> dict[str, tuple[int, ...]]:
    """The landmarks of each band or curve: along the upper edge (or the midline), then back along the lower edge."""
    edged = {band(p.curve) for p in placements if p.curve != band(p.curve)}
    both = {p.curve for p in placements if p.curve in edged and 0 < p.t < 1}  # union-113: edges and midline
    rows: dict[str, list[tuple[bool, Fraction, int]]] = {}
    for i, (curve, t) in enumerate(placements):
        back = curve.endswith("_lower")
        around = [band(curve)] if curve not in both or t in (0, 1) else []
        for name in around + ([curve + "_midline"] if curve in both else []):
            rows.setdefault(name, []).append((back, -t if back else t, i))
    return {name: tuple(i for *_, i in sorted(row)) for name, row in rows.items()}


def _pupil(side: str, curves: Mapping[str, tuple[int, ...]], at: Mapping[Placement, int]) -> tuple[int, ...]:
    """The landmark of the pupil if there is one, else the centre of the eye, else the outline of the eye."""
    centre = at.get(place(side + "_eye", HALF))
    return curves.get(side + "_pupil") or ((centre,) if centre is not None else curves[side + "_eye"])


def get(name: str | Scheme) -> Scheme:
    """The annotation scheme of the given name.

    Args:
        name: a key of `placements.SCHEMES`, such as "300w-68"; a `Scheme` is returned as it is.

    Raises:
        ValueError: an unknown name; the message lists the known ones.

    >>> scheme = get("300w-68")
    >>> scheme.n, scheme.corners, scheme.curves["nose_bridge"], scheme.names[33]
    (68, (36, 45), (27, 28, 29, 30), 'nose base')
    """
    if isinstance(name, Scheme):
        return name
    _checks.one_of(name, "scheme", SCHEMES)
    return _named(name)


@cache
def _named(name: str) -> Scheme:
    placements = SCHEMES[name]()
    at = {p: i for i, p in enumerate(placements)}
    curves = _curves(placements)
    part = {curve: part for part, members in PARTS.items() for curve in members}
    where = [part[band(p.curve)] for p in placements]
    return Scheme(
        name=name,
        n=len(placements),
        placements=tuple(placements),
        curves=curves,
        closed=frozenset(band(p.curve) for p in placements if p.curve != band(p.curve)),
        flip=tuple(at[mirrored(p)] for p in placements),
        corners=(at[place("left_eye", 0)], at[place("right_eye", 1)]),
        pupils=(_pupil("left", curves, at), _pupil("right", curves, at)),
        parts={part: tuple(i for i, w in enumerate(where) if w == part) for part in PARTS},
        names=tuple(NAMES.get(p) or f"{p.curve.replace('_', ' ')} {p.t}" for p in placements),
        colours=COLOURS | {curve: COLOURS[part[curve.removesuffix("_midline")]] for curve in curves},
    )


def custom(
    name: str,
    names: Sequence[str],
    mirrored: Iterable[Sequence[int]] | None = None,
    corners: Sequence[int] | None = None,
    curves: Mapping[str, Sequence[int]] | None = None,
    closed: Iterable[str] = (),
) -> Scheme:
    """A scheme of own landmarks, for all that takes the name of a scheme.

    It has no places on the curves of the face: no conversion, pupils or drawn faces, and it is one part, "face".

    Args:
        name: its name, none of those of `placements.SCHEMES`.
        names: a name for each landmark, all different; their number is n.
        mirrored: the pairs (i, j) that change places in the mirror image; all others lie on the midline. None: unknown,
            and faces cannot be flipped.
        corners: the outer eye corners, left and right in the image; None: errors cannot be divided by their distance.
        curves: from the name of a curve to its landmarks in order; None: none.
        closed: the names of the closed curves.

    Raises:
        ValueError: an index that is no landmark, a landmark in two pairs, a name that is taken or occurs twice.

    >>> mine = custom("mine-3", ["left eye", "right eye", "chin"], mirrored=[(0, 1)], corners=(0, 1))
    >>> mine.flip, get(mine) is mine
    ((1, 0, 2), True)
    """
    given, names, n = names, tuple(names), len(names)
    _checks.kind(name, "name", str)
    need(name and name not in SCHEMES, "name", "a name of its own", repr(name), f"such as 'mine-{n}'")
    right = n and not isinstance(given, str) and len(set(names)) == n and {*map(type, names)} == {str}
    need(right, "names", "different names, one or more", _checks.said(given))
    pairs, curves = None if mirrored is None else list(mirrored), dict(curves or {})
    _landmarks("mirrored", pairs or [], n, 2)
    _landmarks("corners", [] if corners is None else [corners], n, 2)
    _landmarks("curves", curves.values(), n)
    flip = list(range(n))
    for i, j in pairs or []:
        need((flip[i], flip[j]) == (i, j), "mirrored", "each landmark in one pair at most", (i, j))
        flip[i], flip[j] = j, i
    for each in (closed := frozenset(closed)):
        _checks.one_of(each, "closed", curves)
    return Scheme(
        name=name, n=n, placements=(), curves={curve: tuple(i) for curve, i in curves.items()}, closed=closed,
        flip=None if pairs is None else tuple(flip), corners=None if corners is None else tuple(corners), pupils=None,
        parts={"face": tuple(range(n))}, names=names,
        colours={"face": COLOURS["edge"]} | dict(zip(curves, cycle(COLOURS.values()), strict=False)),
    )  # fmt: skip


def _landmarks(name: str, groups: Iterable, n: int, count: int | None = None) -> None:
    """Refuse groups unless each is `count` of n landmarks, all different."""
    needed = f"{'two ' if count else ''}different landmarks from 0 to {n - 1}"
    for group in groups:
        right = isinstance(group, Sequence) and all(isinstance(i, Integral) and 0 <= i < n for i in group)
        right = right and len(group) == (count or len(group)) == len({*group}) > 0
        need(right, name, needed, _checks.said(group), "indices are 0-based")


def placed(name: str | Scheme) -> Scheme:
    """A scheme whose landmarks have places on the curves of the face; refuse own landmarks.

    Args:
        name: a scheme or its name.

    >>> placed("cofw-29").n
    29
    """
    found = get(name)
    needed, mend = "one whose landmarks have places on the face's curves", f"such as {next(iter(SCHEMES))!r}"
    need(found.placements, "scheme", needed, f"the own landmarks {found.name!r}", mend)
    return found


def shared(source: str | Scheme, target: str | Scheme) -> list[tuple[int, int]]:
    """List the landmarks that two schemes share.

    Args:
        source: the name of a scheme.
        target: the name of another.

    Returns:
        Pairs (i, j): landmark i of `source` and landmark j of `target` have the same placement.

    >>> shared("cofw-29", "aflw-19")[:3]
    [(0, 0), (1, 5), (2, 2)]
    """
    at = {p: j for j, p in enumerate(placed(target).placements)}
    return [(i, at[p]) for i, p in enumerate(placed(source).placements) if p in at]


Weights = dict[int, Fraction]  # landmark of the source -> its weight


def _samples(scheme: Scheme) -> dict[str, dict[Fraction, Weights]]:
    """The known samples of each canonical curve: from t to the combination of landmarks that lies there."""
    known: dict[str, dict[Fraction, Weights]] = {}
    for i, (curve, t) in enumerate(scheme.placements):
        known.setdefault(curve, {})[t] = {i: Fraction(1)}
    for name in BANDS:
        edges = [known[edge] for edge in (name + "_upper", name + "_lower") if edge in known]
        for edge in edges:  # an edge with landmarks at its corners only stays unknown
            edge.update((t, w) for t, w in known.get(name, {}).items() if t in JOINTS[name])
        if len(edges) == 2:
            upper, lower = edges
            both = upper.keys() & lower.keys()
            middle = {t: dict.fromkeys((*upper[t], *lower[t]), HALF) for t in both}
            known[name] = middle | known.get(name, {})  # the midline's own landmarks take precedence
    return known


def _between(known: dict[Fraction, Weights], t: Fraction) -> Weights:
    """Interpolate linearly in t; empty outside the known range."""
    below, above = [s for s in known if s <= t], [s for s in known if s >= t]
    if not below or not above:
        return {}
    a, b = max(below), min(above)
    u = (t - a) / (b - a) if b > a else Fraction(0)
    mix = [(i, share * w) for s, share in ((a, 1 - u), (b, u)) for i, w in known[s].items()]
    return {i: sum((w for k, w in mix if k == i), Fraction(0)) for i, _ in mix}


@cache
def _rows(source: str | Scheme, target: str | Scheme) -> tuple[Weights, ...]:
    known = _samples(placed(source))
    return tuple(_between(known.get(curve, {}), t) for curve, t in placed(target).placements)


def conversion(source: str | Scheme, target: str | Scheme) -> Float[Tensor, "target source"]:
    """The matrix C with target landmarks = C @ source landmarks. Each row sums to 1.

    A target landmark (curve, t) is interpolated linearly in t between the two neighbouring landmarks of the source
    on that curve. Its row is NaN where the source does not cover the curve.

    WFLW to 300-W follows PIPNet's table with one exception. PIPNet takes the y of a brow point from both edges and
    its x from the upper one, so that the result depends on the roll of the head. Here it is the plain mean of both
    edges, and the conversion commutes with every rotation, scaling and shift.

    Args:
        source: the name of the scheme to convert from, with s landmarks.
        target: the name of the scheme to convert to, with t landmarks.

    Returns:
        C (t, s), float64.

    >>> conversion("wflw-98", "300w-68")[37].nonzero().flatten().tolist()  # upper lid, at a third
    [61, 62]
    """
    matrix = torch.zeros(get(target).n, get(source).n, dtype=torch.float64)
    for j, row in enumerate(_rows(source, target)):
        for i, weight in row.items():
            matrix[j, i] = float(weight)
        if not row:
            matrix[j] = torch.nan
    return matrix


def convert(
    points: Float[Tensor, "*batch s 2"], source: str | Scheme, target: str | Scheme
) -> Float[Tensor, "*batch t 2"]:
    """Convert landmarks from one scheme to another by the matrix of `conversion`.

    Args:
        points: (..., s, 2), landmarks of the source, in any unit; NaN where missing.
        source: the name of their scheme.
        target: the name of the scheme wanted.

    Returns:
        (..., t, 2) in the same unit; NaN where the source does not determine a landmark, or where one that it depends
            on is missing.

    >>> face = torch.arange(196.0).reshape(98, 2)
    >>> convert(face, "wflw-98", "300w-68")[[0, 1, 17, 18]].tolist()
    [[0.0, 1.0], [4.0, 5.0], [66.0, 67.0], [75.0, 76.0]]
    """
    _checks.points(points, f"points of {placed(source).name}", get(source).n, nan=True)
    matrix = conversion(source, target).to(points)
    weights = matrix.nan_to_num()
    missing = matrix.isnan().any(-1, keepdim=True) | ((weights != 0).to(points) @ points.isnan().to(points) > 0)
    return (weights @ points.nan_to_num()).masked_fill(missing, torch.nan)
