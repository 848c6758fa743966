"""Curve sets: how paper A groups the landmarks of a scheme into curves, and what follows from the groups.

The paper has twelve curves, N = 12. Its released code makes them of 68 and 98 points, and eleven of 194, whose nose is
one curve. Curves are open, eyes and brows too, and each landmark lies in one curve at most: pupils lie in none. Of 29
points it has no set; ours follows the names of the places: eleven, with a chin for a jaw, and four others of one point.

A curve of one point carries a landmark term and no curve term.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Float
from lddmmlib.faces import schemes
from lddmmlib.faces.placements import HALF, SCHEMES, WING, Placement, band
from lddmmlib.faces.schemes import Scheme

TWELVE = ("left jaw", "right jaw", "left brow", "right brow", "nose bridge", "nose base", "left eye", "right eye",
          "outer lip, upper", "outer lip, lower", "inner lip, upper", "inner lip, lower")  # fmt: skip
MERGED = {"nose": ("nose bridge", "nose base"), "jaw": ("left jaw", "right jaw")}  # one curve of a set for two

# Consecutive landmarks: where each curve begins, and the end of the last.
_STARTS = {
    "300w-68": (TWELVE, (0, 9, 17, 22, 27, 31, 36, 42, 48, 55, 60, 65, 68)),
    "wflw-98": (TWELVE, (0, 17, 33, 42, 51, 55, 60, 68, 76, 83, 88, 93, 96)),
    "helen-194": (
        (*TWELVE[:2], "nose", *TWELVE[8:], "right eye", "left eye", "right brow", "left brow"),
        (0, 21, 41, 58, 72, 86, 100, 114, 134, 154, 174, 194),
    ),
}
_COFW = {
    "jaw": (28,), "left brow": (0, 4, 2, 5), "right brow": (3, 6, 1, 7), "nose bridge": (20,),
    "nose base": (18, 21, 19), "left eye": (8, 12, 10, 13), "right eye": (11, 14, 9, 15),
    "outer lip, upper": (22, 24, 23), "outer lip, lower": (27,), "inner lip, upper": (25,), "inner lip, lower": (26,),
}  # fmt: skip

# The landmarks that the released code trains on when annotations are partial. Its list of 78 for "helen-194" has 162
# twice, so that 77 are left.
RELEASED_SUBSETS: Mapping[tuple[str, int], tuple[int, ...]] = {
    ("300w-68", 46): (*range(0, 17, 2), 17, 19, 21, 22, 24, 26, *range(27, 32), 33, *range(35, 49), 50, 52, 54, 55, 57,
                      59, 60, 62, 64, 65, 67),
    ("wflw-98", 54): (*range(0, 33, 2), 33, 35, 37, 38, 40, *range(42, 51, 2), *range(51, 56), 57, 59,
                      *range(60, 83, 2), 83, 85, 87, 88, 90, 92, 93, 95),
    ("helen-194", 98): (*range(0, 21, 2), 21, *range(24, 41, 2), *range(41, 58, 2), *range(58, 194, 2)),
    ("helen-194", 77): (*range(0, 19, 3), 20, 21, *range(25, 41, 3), 41, 44, 47, 49, 51, 54, 57, 58, 61, 64, 65, 68, 71,
                        72, 75, 78, 79, 82, 85, 86, 89, 92, 93, 96, 99, 100, 103, 106, 107, 110, 113,
                        *(i + k for i in (114, 134) for k in (0, 2, 5, 8, 10, 12, 15, 18)),
                        154, 156, 159, 162, 164, 166, 169, *(174 + k for k in (0, 2, 5, 8, 10, 12, 15, 18))),
}  # fmt: skip


def get(scheme: str | Scheme) -> Mapping[str, tuple[int, ...]]:
    """The curve set of a scheme: name of each curve -> its landmarks in order, 0-based.

    Args:
        scheme: "300w-68", "wflw-98", "helen-194" or "cofw-29"; or own landmarks, each of which lies in one of their
            curves, or else is a curve of one point.

    Raises:
        ValueError: for a scheme without curves, or an unknown one.

    Paper A, section 3: "the geometry of a face is characterized by N boundary curves"; section 4: N = 12.

    >>> get("300w-68")["left eye"], len(get("helen-194")), get("cofw-29")["jaw"]
    ((36, 37, 38, 39, 40, 41), 11, (28,))
    """
    whole = schemes.get(scheme)
    if not whole.placements:
        listed = [i for curve in whole.curves.values() for i in curve]
        once, needed = len({*listed}) == len(listed), "each landmark in one curve at most"
        _checks.need(once, "scheme", needed, f"some of {whole.name!r} in several", "give other curves")
        return {**whole.curves, **{f"{name}, alone": (i,) for i, name in enumerate(whole.names) if i not in listed}}
    scheme = whole.name
    if scheme == "cofw-29":
        return _COFW
    if scheme not in _STARTS:
        having = ", ".join(map(repr, (*_STARTS, "cofw-29")))
        raise ValueError(f"scheme: needed one that paper A's curves are known of, {having}, got {scheme!r}")
    names, starts = _STARTS[scheme]
    return {name: tuple(range(*ends)) for name, ends in zip(names, pairwise(starts), strict=True)}


def curve_at(place: Placement) -> str:
    """The one of the TWELVE curves that a place of the face lies on, or rides with: pupils with their eyes.

    The chin belongs to the left jaw, the corners of the lips to the upper edges, and the sides of the nose to the
    bridge: so are the released curves, and what its maps between schemes join.

    >>> curve_at(schemes.get("wflw-98").placements[96]), curve_at(schemes.get("helen-194").placements[41])
    ('left eye', 'nose bridge')
    """
    side, _, part = band(place.curve).partition("_")
    if place.curve == "jaw":
        return "left jaw" if place.t <= HALF else "right jaw"
    if side == "nose":
        return "nose base" if part == "outline" and WING <= place.t <= 1 - WING else "nose bridge"
    if part == "lip":
        return f"{side} lip, {'lower' if place.curve.endswith('_lower') else 'upper'}"
    return f"{side} {'brow' if part == 'brow' else 'eye'}"


def riders(source: str | Scheme, target: str | Scheme) -> tuple[tuple[int, ...], ...]:
    """The landmarks of ``target`` that ride with each curve of ``source``: the curve map of paper A, by `curve_at`.

    Args:
        source: the scheme whose curves move, one with a curve set.
        target: any scheme, the same one too; every landmark rides with a curve, also a pupil.

    Returns:
        One tuple of landmarks of ``target`` for each curve of ``source``, in the order of `get`; it may be empty.

    Paper A, sections 3.3 and 4.4.

    >>> riders("helen-194", "300w-68")[2]  # the nose of one curve carries bridge and base
    (27, 28, 29, 30, 31, 32, 33, 34, 35)
    """
    own = get(source)
    _checks.kind(target, "target", str, Scheme)
    if isinstance(target, str):
        _checks.one_of(target, "target", SCHEMES)
    elif target == source and not target.placements:
        return tuple(own.values())
    schemes.placed(source)
    curves = [curve_at(place) for place in schemes.placed(target).placements]
    return tuple(tuple(i for i, c in enumerate(curves) if c in MERGED.get(name, (name,))) for name in own)


def widths(mean: Float[Tensor, "n 2"], scheme: str | Scheme) -> Float[Tensor, " curves"]:
    """σ_V of each curve, (Δx + Δy) / 2: the mean of its width and its height in the mean shape.

    A curve without extent, of one point, takes the width of its part of the face (jaw, brows, nose, eyes, mouth), and
    if that has none either, of the whole face: a lone landmark moves by its momentum whatever the width, and the width
    says how far others ride along.

    Args:
        mean: (n, 2), the mean shape in any frame; the widths are in its unit.
        scheme: its scheme, one with a curve set.

    Returns:
        (curves,), in the order of `get`. Half of it is σ_W.

    Raises:
        ValueError: for a mean shape of another scheme, or one without extent.

    Paper A, section 4: "the scale ... of the coordinates of each facial curve of the mean face".

    >>> from lddmmlib.faces import statistics
    >>> (100 * widths(statistics.real_300w().mean, "300w-68"))[:3].round().tolist()
    [106.0, 95.0, 33.0]
    """
    curves, whole = get(scheme), schemes.get(scheme)
    mean_shape(mean, scheme)
    found = []
    for landmarks in curves.values():
        part = next(p for p in whole.parts.values() if landmarks[0] in p)
        extents = [(mean[list(i)].amax(0) - mean[list(i)].amin(0)).mean() for i in (landmarks, part, range(whole.n))]
        found.append(next((e for e in extents if e > 0), None))
        _checks.need(found[-1] is not None, "mean", "points that differ", "all of them at one place")
    return torch.stack(found)


def mean_shape(mean: Tensor, scheme: str | Scheme, name: str = "mean") -> None:
    """Refuse a mean shape that is not (n, 2), finite, with n the number of landmarks of its scheme.

    Args:
        mean: the mean shape.
        scheme: its scheme.
        name: what the caller calls it.

    >>> mean_shape(torch.zeros(68, 2), "300w-68")  # nothing to refuse
    """
    n = schemes.get(scheme).n
    _checks.points(mean, name)
    if mean.shape != (n, 2):
        others = [other for other in SCHEMES if schemes.get(other).n == mean.shape[-2]]
        mend = f"it looks like one of {others[0]}" if others and mean.ndim == 2 else "give one face"
        scheme = schemes.get(scheme).name
        raise ValueError(f"{name}: needed {(n, 2)}, the landmarks of {scheme}, got {tuple(mean.shape)}; {mend}")


def fraction(scheme: str | Scheme, share: float) -> tuple[int, ...]:
    """A true fraction of a scheme's landmarks: of each curve about ``share``, evenly along it, its ends kept.

    An eye goes round, and keeps both its corners instead. As many as ``share`` of all, unless the ends are more.

    Args:
        scheme: one with a curve set.
        share: above 0, at most 1, such as 1/2 or 1/3.

    Returns:
        Landmarks in order.

    Paper A trains on "50 %" and "33 %"; the subsets of its released code (`RELEASED_SUBSETS`) hold more.

    >>> len(fraction("300w-68", 1 / 2)), fraction("300w-68", 1 / 2)[:5], fraction("helen-194", 1 / 3)[:4]
    (34, (0, 2, 4, 6, 8), (0, 3, 7, 10))
    """
    _checks.number(share, "share", 0, 1)
    _checks.positive(share, "share")
    curves = get(scheme)
    quota = [share * len(i) for i in curves.values()]
    count = [max(int(q + 1e-9), min(2, len(i))) for q, i in zip(quota, curves.values(), strict=True)]
    for _ in range(round(sum(quota)) - sum(count)):  # to the curves that lack most
        count[max(range(len(count)), key=lambda c: quota[c] - count[c])] += 1
    kept = []
    for (name, i), k in zip(curves.items(), count, strict=True):
        n = len(i)
        if name.endswith("eye"):
            at = {*_evenly(0, n // 2, 2 + (k - 1) // 2), *_evenly(n // 2, n, 2 + (k - 2) // 2)[:-1]}
        else:
            at = _evenly(0, n - 1, k)
        kept += [i[a] for a in at]
    return tuple(sorted(kept))


def _evenly(first: int, last: int, count: int) -> list[int]:
    """So many whole numbers from first to last, as even as can be."""
    return [first + ((last - first) * j + (count - 1) // 2) // max(count - 1, 1) for j in range(count)]
