"""From 68 points to a whole head: what `geometry.head` and `geometry.surface` need, from anatomy set by hand.

What no annotation shows is placed by hand on the hand-set head, in its eye-corner distances, and follows the 68 points:
within the face by the thin-plate spline of how they move, outside by the nearest of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from data_scripts.heads import template as hand
from lddmmlib.faces.geometry import contour, head, surface

# Knots that are 68-point landmarks.
LANDMARKS = {
    "jaw": range(17), "left_brow": range(17, 22), "right_brow": range(22, 27), "nose_bridge": range(27, 31),
    "left_eye_upper": (36, 37, 38, 39), "left_eye_lower": (36, 41, 40, 39), "right_eye_upper": (42, 43, 44, 45),
    "right_eye_lower": (42, 47, 46, 45), "outer_lip_upper": range(48, 55),
    "outer_lip_lower": (48, 59, 58, 57, 56, 55, 54), "inner_lip_upper": range(60, 65),
    "inner_lip_lower": (60, 67, 66, 65, 64),
}  # fmt: skip
BESIDE_NOSE = ((-0.10, 0.27, 0.235), (-0.155, 0.38, 0.185), (-0.195, 0.455, 0.16))  # of its outline, t = 0, 1/8, 1/4
BROW_HALF = ((0, 0, 0), (-0.013, -0.022, -0.004), (-0.004, -0.033, 0), (0.002, -0.037, 0.004), (0.004, -0.036, 0.006))
EAR = (
    (-0.82, -0.07, -0.66), (-0.86, -0.17, -0.72), (-0.94, -0.20, -0.82), (-0.99, -0.13, -0.88), (-0.99, 0.01, -0.88),
    (-0.95, 0.15, -0.83), (-0.91, 0.27, -0.77), (-0.86, 0.37, -0.70), (-0.81, 0.33, -0.62),
)  # fmt: skip
NECK = ((-0.60, 0.60, -0.95), (-0.58, 1.15, -0.95), (-0.62, 1.60, -0.95), (-1.05, 1.95, -0.95))
# The crown's outline on the left, from the ear up; half the width of its slices; their depths to front and back.
CROWN = ((-0.82, 0.01, -0.62), (-0.84, -0.22, -0.68), (-0.84, -0.45, -0.74), (-0.79, -0.69, -0.80),
         (-0.64, -0.95, -0.80), (-0.36, -1.15, -0.80), (0, -1.22, -0.80))  # fmt: skip
CROWN_OUT = (
    (-0.5, 0, 0),
    (-0.47, -0.02, 0),
    (-0.48, -0.06, 0),
    (-0.50, -0.20, 0),
    (-0.46, -0.42, 0),
    (-0.27, -0.60, 0),
    (0, -0.68, 0),
)
CROWN_FRONT = (0.60, 0.77, 0.87, 0.97, 0.98, 0.98, 0.98)
CROWN_BACK = (0.8, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0)
JAW_BACK = (0.8, 0.8, 0.75, 0.68, 0.6, 0.52, 0.45, 0.4, 0.38)

FEATURES = (
    # forehead; root and bridge of the nose; beside it
    (0, -0.20, 0.235), (0, -0.36, 0.215), (0, -0.55, 0.185), (-0.25, -0.45, 0.175), (-0.42, -0.40, 0.125),
    (-0.11, -0.06, 0.155), (-0.10, 0.10, 0.16), (-0.075, 0.02, 0.175), (-0.065, 0.16, 0.24), (-0.075, 0.28, 0.30),
    (-0.16, 0.14, 0.105), (-0.19, 0.25, 0.12), (-0.21, 0.36, 0.125),
    # tip and wing of the nose
    (-0.055, 0.40, 0.42), (0, 0.455, 0.44), (-0.055, 0.455, 0.39), (0, 0.50, 0.375), (-0.045, 0.505, 0.345),
    (-0.14, 0.435, 0.30), (-0.15, 0.475, 0.235), (-0.10, 0.37, 0.29), (-0.085, 0.50, 0.27),
    # fold of the upper lid; under the brow; lower lid
    (-0.31, -0.095, 0.095), (-0.42, -0.09, 0.07), (-0.22, -0.05, 0.075), (-0.50, -0.06, 0.025),
    (-0.31, -0.155, 0.125), (-0.43, -0.155, 0.10), (-0.19, -0.12, 0.13), (-0.55, -0.12, 0.02),
    (-0.31, 0.085, 0.085), (-0.42, 0.085, 0.06), (-0.22, 0.07, 0.065), (-0.51, 0.07, 0.0),
    # cheek
    (-0.30, 0.16, 0.095), (-0.43, 0.18, 0.085), (-0.36, 0.30, 0.13), (-0.27, 0.42, 0.13), (-0.40, 0.45, 0.105),
    (-0.27, 0.55, 0.15), (-0.36, 0.62, 0.115),
    # above the mouth; lips; below
    (0, 0.615, 0.275), (-0.055, 0.62, 0.29), (-0.16, 0.60, 0.225), (-0.24, 0.66, 0.185), (-0.39, 0.75, 0.09),
    (0, 0.745, 0.33), (-0.085, 0.735, 0.325), (-0.19, 0.745, 0.24), (0, 0.825, 0.32), (-0.09, 0.82, 0.305),
    (-0.19, 0.805, 0.22), (0, 0.955, 0.225), (-0.16, 0.94, 0.19), (-0.30, 0.86, 0.08),
    # chin
    (0, 1.06, 0.235), (-0.13, 1.06, 0.205), (0, 1.15, 0.20), (-0.14, 1.14, 0.16),
)  # fmt: skip
UNSEEN = (
    "forehead",
    "brow thickness",
    "cheek fullness",
    "nose length",
    "ears",
)  # modes of identity that 68 points do not show
FOLLOW_NECK = (0.9, 0.5, 0.2, 0.1)


def mirrored_after(half: Tensor) -> Tensor:
    """Left half and middle (m, 3), the middle last -> all 2m - 1 from left to right."""
    return torch.cat([half, half[:-1].flip(0) * hand.MIRROR])


def tensor(rows: tuple) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def all_features() -> Tensor:
    """Left, then their mirror images (but of those in the middle)."""
    half = tensor(FEATURES)
    return torch.cat([half, half[half[:, 0] != 0] * hand.MIRROR])


def opened(xy: Tensor) -> Tensor:
    """How far down the chart moves what lies below the mouth."""
    below = ((xy[:, 1] - 0.78) / 0.03).clamp(0, 1)
    return below * 0.14 * (1 - (xy[:, 0] / 0.55).square()).relu()


def on_chart(core: Tensor) -> Tensor:
    """The 68 points (68, 3) on the chart (68, 2): as seen from the front with the mouth open."""
    chart = core[:, :2].clone()
    low = [*hand.LOWER_INNER, *range(55, 60)]
    chart[:, 1] += opened(chart)
    chart[low, 1] = core[low, 1] + 0.14 * (1 - (chart[low, 0] / 0.55).square())
    return chart


def along_crown(moves: Tensor) -> Tensor:
    """The crown (13, 3) moves as its ends do."""
    t = torch.linspace(0, 1, 13, dtype=torch.float64)[:, None]
    return (1 - t) * moves[0] + t * moves[16]


class Extension:
    """The linear maps from the 68 points of a model to all knots and features."""

    def __init__(self, mean: Tensor, out: Tensor, front: Tensor) -> None:
        self.hand = hand.both_sides(hand.PLACES)
        self.mean, self.out, self.front = mean, out, front
        self.places = self._hand_places()
        self.chart_by_hand = {
            k: v[:, :2] + torch.stack([0 * v[:, 0], opened(v[:, :2])], 1) for k, v in self.places.items()
        }
        self.count = head.FEATURES.start + len(all_features())
        self.crown = mirrored_after(tensor(CROWN))
        slices = [(self.hand[:17], contour.normals(self.hand[:17, :2]) * self.out[:, None], surface.FRONT[-1])]
        slices += [(self.crown, mirrored_after(tensor(CROWN_OUT))[:, :2], contour.LIMIT)]
        sides = [p[:, :2] + (surface.unrolled(s) - 1) * out for p, out, s in slices]
        self.anchors = torch.cat([on_chart(self.hand), *sides])

    @staticmethod
    def _hand_places() -> dict[str, Tensor]:
        left = tensor(BESIDE_NOSE)
        return {"features": all_features(), "nose_outline": torch.cat([left, left.flip(0) * hand.MIRROR])}

    def carried(self, moves: Tensor, name: str) -> Tensor:
        """How points placed by hand move when the 68 move by ``moves`` (68, 3), and the slices with jaw and crown."""
        known = torch.cat([moves, moves[:17], along_crown(moves)])
        return surface.thin_plate(self.anchors, self.chart_by_hand[name]) @ known

    def extend(self, moves: Tensor) -> Tensor:
        """Moves of the 68 points -> moves of all knots and features."""
        x = torch.zeros(self.count, 3, dtype=torch.float64)
        for name, i in LANDMARKS.items():
            x[head.ROWS[name]] = moves[list(i)]
        beside = self.carried(moves, "nose_outline")
        x[head.ROWS["nose_outline"]] = torch.cat([beside[:3], moves[31:36], beside[3:]])
        x[head.FEATURES] = self.carried(moves, "features")
        for side, jaw, low in (("left", 0, 3), ("right", 16, 13)):
            x[head.ROWS[f"{side}_ear"]] = moves[jaw]
            x[head.ROWS[f"{side}_neck"]] = tensor(FOLLOW_NECK)[:, None] * moves[low]
        x[head.ROWS["crown"]] = along_crown(moves)
        return x

    def rest(self) -> Tensor:
        """The mean head: what is set by hand, carried to the fitted mean."""
        x = self.extend(self.mean - self.hand)
        x[head.FEATURES] += self.places["features"]
        for name, i in LANDMARKS.items():
            x[head.ROWS[name]] = self.mean[list(i)]
        beside = self.places["nose_outline"] + self.carried(self.mean - self.hand, "nose_outline")
        x[head.ROWS["nose_outline"]] = torch.cat([beside[:3], self.mean[31:36], beside[3:]])
        x[head.ROWS["crown"]] += self.crown
        for side, mirror in (("left", 1.0), ("right", hand.MIRROR)):
            x[head.ROWS[f"{side}_ear"]] += tensor(EAR) * mirror
            x[head.ROWS[f"{side}_neck"]] += tensor(NECK) * mirror
        x[head.ROWS["left_brow_half"]] = tensor(BROW_HALF)
        x[head.ROWS["right_brow_half"]] = tensor(BROW_HALF).flip(0) * hand.MIRROR
        return self._slices(x)

    def _slices(self, x: Tensor) -> Tensor:
        forth = tensor((0, 0, 1))
        jaw_normal = contour.normals(self.mean[:17, :2])
        x[head.ROWS["jaw_out"]] = torch.cat([jaw_normal * self.out[:, None], torch.zeros(17, 1).double()], 1)
        x[head.ROWS["jaw_front"]] = self.front[:, None] * forth
        x[head.ROWS["jaw_back"]] = -hand.all_17(tensor(JAW_BACK))[:, None] * forth
        x[head.ROWS["crown_out"]] = mirrored_after(tensor(CROWN_OUT))
        for name, depth in (("crown_front", CROWN_FRONT), ("crown_back", CROWN_BACK)):
            half = tensor(depth)
            x[head.ROWS[name]] = torch.cat([half, half[:-1].flip(0)])[:, None] * forth * (1 if "front" in name else -1)
        for end in (0, -1):  # jaw and crown meet at the ears in one slice
            for part in ("", "_out", "_front", "_back"):
                x[head.ROWS[f"crown{part}"]][end] = x[head.ROWS[f"jaw{part}"]][end]
        return x

    def chart(self) -> Tensor:
        """(rows, 2): where all knots and features lie on the chart."""
        x = self.rest()
        chart = x[:, :2].clone()
        chart[:, 1] += opened(chart)
        core = on_chart(self.mean)
        for name, i in LANDMARKS.items():
            chart[head.ROWS[name]] = core[list(i)]
        for name in ("jaw_out", "crown_out"):
            chart[head.ROWS[name]] = x[head.ROWS[name]][:, :2]
        return chart

    def unseen(self) -> Tensor:
        """(5, rows, 3): one deviation of each mode of identity in `UNSEEN`."""
        modes = torch.zeros(len(UNSEEN), self.count, 3, dtype=torch.float64)
        rest = self.rest()
        up = torch.sin(torch.linspace(0, torch.pi, 13, dtype=torch.float64)).square()
        for name in ("crown", "crown_out"):
            modes[0, head.ROWS[name], 1] = -0.06 * up
        modes[0, head.FEATURES, 1] = 0.06 * (rest[head.FEATURES, 1] + 0.25).clamp(max=0)
        for side in ("left", "right"):
            brow = head.ROWS[f"{side}_brow_half"]
            modes[1, brow] = 0.2 * rest[brow]
            ear = head.ROWS[f"{side}_ear"]
            root = rest[ear][[0, -1]].mean(0)
            modes[4, ear] = 0.1 * (rest[ear] - root)
        bulge = torch.sin(torch.linspace(0, torch.pi, 17, dtype=torch.float64))
        modes[2, head.ROWS["jaw_front"], 2] = 0.012 * bulge
        cheek = (rest[head.FEATURES, :2].abs() - tensor((0.4, 0.5))).square().sum(1)
        modes[2, head.FEATURES, 2] = 0.012 * torch.exp(-cheek / 0.05)
        tip = self.mean[30, :2]
        for name in ("nose_bridge", "nose_outline"):
            modes[3, head.ROWS[name], 2] = 0.03 * torch.exp(-(rest[head.ROWS[name], :2] - tip).square().sum(1) / 0.03)
        modes[3, head.FEATURES, 2] = 0.03 * torch.exp(-(rest[head.FEATURES, :2] - tip).square().sum(1) / 0.03)
        return modes
