"""Anatomy set by hand: where the 68 points lie on a head, in depth above all, and what expressions move.

Eye-corner distances in the head frame (`geometry.head`), the left half and the middle; a millimetre is about 1/92.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lddmmlib.faces import schemes

FLIP = list(schemes.get("300w-68").flip)
MIRROR = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
UPPER_LIDS, LOWER_LIDS = [37, 38, 43, 44], [41, 40, 47, 46]
INNER_CORNERS = [60, 64]
UPPER_INNER, LOWER_INNER = [61, 62, 63], [67, 66, 65]
# Upper and lower lip, outer and inner edge, from corner to corner.
LIPS = (([*range(48, 55)], [*range(60, 65)]), ([48, 59, 58, 57, 56, 55, 54], [60, 67, 66, 65, 64]))

PLACES = {
    0: (-0.82, 0.01, -0.65), 1: (-0.81, 0.22, -0.65), 2: (-0.79, 0.44, -0.64), 3: (-0.75, 0.64, -0.61),
    4: (-0.66, 0.83, -0.54), 5: (-0.53, 0.99, -0.42), 6: (-0.37, 1.11, -0.26), 7: (-0.20, 1.21, -0.09),
    8: (0, 1.24, 0.01), 17: (-0.67, -0.15, -0.08), 18: (-0.56, -0.24, 0.07), 19: (-0.42, -0.27, 0.16),
    20: (-0.27, -0.25, 0.20), 21: (-0.13, -0.19, 0.22), 27: (0, -0.02, 0.20), 28: (0, 0.12, 0.27),
    29: (0, 0.26, 0.36), 30: (0, 0.40, 0.45), 31: (-0.17, 0.50, 0.20), 32: (-0.09, 0.53, 0.26),
    33: (0, 0.55, 0.29), 36: (-0.5, 0, 0), 37: (-0.41, -0.05, 0.065), 38: (-0.31, -0.05, 0.085),
    39: (-0.21, 0.02, 0.045), 40: (-0.31, 0.04, 0.075), 41: (-0.42, 0.04, 0.055), 48: (-0.32, 0.76, 0.13),
    49: (-0.20, 0.71, 0.23), 50: (-0.08, 0.69, 0.30), 51: (0, 0.71, 0.31), 57: (0, 0.875, 0.26),
    58: (-0.09, 0.87, 0.25), 59: (-0.20, 0.84, 0.21), 60: (-0.27, 0.77, 0.14), 61: (-0.08, 0.77, 0.25),
    62: (0, 0.775, 0.26), 66: (0, 0.775, 0.26), 67: (-0.08, 0.77, 0.25),
}  # fmt: skip

# What the left half and the middle move by at strength 1.
EXPRESSIONS = {
    "mouth_open": {
        2: (0, 0.01, 0), 3: (0, 0.05, -0.02), 4: (0.01, 0.12, -0.05), 5: (0.02, 0.2, -0.09), 6: (0.02, 0.26, -0.12),
        7: (0.01, 0.3, -0.14), 8: (0, 0.3, -0.14), 48: (0.03, 0.1, -0.04), 49: (0.01, 0.02, -0.01), 50: (0, -0.01, 0),
        51: (0, -0.01, 0), 57: (0, 0.3, -0.1), 58: (0, 0.29, -0.1), 59: (0.01, 0.24, -0.08), 60: (0.03, 0.1, -0.04),
        61: (0, -0.01, 0), 62: (0, -0.01, 0), 66: (0, 0.31, -0.1), 67: (0, 0.3, -0.1),
    },
    "smile": {
        48: (-0.11, -0.09, -0.06), 60: (-0.11, -0.09, -0.06), 49: (-0.06, -0.04, -0.03), 59: (-0.07, -0.04, -0.03),
        50: (-0.02, 0, -0.01), 58: (-0.02, 0.01, -0.01), 61: (-0.02, 0, -0.01), 67: (-0.02, 0, -0.01),
        31: (-0.02, -0.01, 0), 3: (-0.01, 0, 0), 4: (-0.02, 0, 0), 41: (0, -0.01, 0), 40: (0, -0.01, 0),
    },
    "pout": {
        48: (0.09, 0, 0.06), 60: (0.09, 0, 0.06), 49: (0.05, 0, 0.06), 59: (0.05, 0, 0.06), 50: (0.02, -0.01, 0.07),
        58: (0.02, 0.01, 0.07), 61: (0.02, 0, 0.07), 67: (0.02, 0, 0.07), 51: (0, -0.01, 0.08), 57: (0, 0.01, 0.08),
        62: (0, 0, 0.08), 66: (0, 0, 0.08),
    },
    "brows_up": {17: (0, -0.08, 0), 18: (0, -0.1, 0), 19: (0, -0.11, 0), 20: (0, -0.11, 0), 21: (0, -0.1, 0)},
    "brows_together": {
        17: (0, 0, 0), 18: (0.01, 0.01, 0), 19: (0.02, 0.02, 0), 20: (0.05, 0.04, 0), 21: (0.06, 0.05, 0),
        27: (0, 0.01, 0),
    },
    "jaw_sideways": {
        2: (0.01, 0, 0), 3: (0.03, 0, 0), 4: (0.06, 0, 0), 5: (0.08, 0, 0), 6: (0.1, 0, 0), 7: (0.11, 0, 0),
        8: (0.12, 0, 0), 48: (0.05, 0, 0), 49: (0.05, 0, 0), 50: (0.05, 0, 0), 51: (0.05, 0, 0), 57: (0.1, 0, 0),
        58: (0.1, 0, 0), 59: (0.09, 0, 0), 60: (0.05, 0, 0), 61: (0.07, 0, 0), 62: (0.07, 0, 0), 66: (0.07, 0, 0),
        67: (0.07, 0, 0),
    },
}  # fmt: skip
# Landmarks that an expression may move: the upper or the lower part of the face.
UPPER, LOWER = [*range(17, 30)], [*range(1, 16), *range(30, 36), *range(48, 68)]
MOVES = dict.fromkeys(EXPRESSIONS, LOWER) | {"brows_up": UPPER, "brows_together": UPPER}
MOVES["smile"] = [*LOWER, *range(36, 48)]
# Of the slices at jaw points 0 to 8 (`geometry.contour`): half their width, and how far they bulge to the front.
SLICE_OUT = (0.5, 0.45, 0.4, 0.36, 0.32, 0.29, 0.26, 0.23, 0.2)
SLICE_FRONT = (0.6, 0.6, 0.58, 0.53, 0.46, 0.38, 0.3, 0.22, 0.16)


def both_sides(half: dict[int, tuple[float | int, ...]], sign: float = 1.0) -> Tensor:
    """(68, 3) of the left half; the right one is its mirror image (sign = -1: its negative, for what goes sideways)."""
    full = torch.zeros(68, 3, dtype=torch.float64)
    for i, value in half.items():
        full[i] = torch.tensor(value, dtype=torch.float64)
        full[FLIP[i]] = sign * full[i] * MIRROR
    return full


def expressions() -> Tensor:
    """(6, 68, 3): what each of EXPRESSIONS moves."""
    return torch.stack([both_sides(v, -1.0 if k == "jaw_sideways" else 1.0) for k, v in EXPRESSIONS.items()])


def movable() -> Tensor:
    """(6, 68, 1): 1 where an expression may move a landmark, 0 elsewhere."""
    allowed = torch.zeros(len(EXPRESSIONS), 68, 1, dtype=torch.float64)
    for row, places in zip(allowed, MOVES.values(), strict=True):
        row[places] = 1
    return allowed


def all_17(half: Tensor) -> Tensor:
    """Numbers at jaw points 0 to 8 -> at all 17."""
    return torch.cat([half, half.flip(-1)[..., 1:]], -1)
