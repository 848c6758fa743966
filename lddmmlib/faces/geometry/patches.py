"""The separate surfaces of the mesh: eyeballs, the inside of the mouth, ears, neck."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lddmmlib.faces.geometry import head
from lddmmlib.faces.geometry.head import rows


class Patch(NamedTuple):
    """A separate piece of surface: weights (k, rows), constant (k, 3), triangles (f, 3)."""

    weights: Tensor
    constant: Tensor
    triangles: np.ndarray


def lattice(n: int, m: int) -> np.ndarray:
    """The triangles of a grid of n x m vertices, row by row."""
    a = (np.arange(n - 1)[:, None] * m + np.arange(m - 1)).ravel()
    return np.concatenate([np.stack([a, a + 1, a + m + 1], 1), np.stack([a, a + m + 1, a + m], 1)])


def eyeball(side: str, count: int) -> Patch:
    """The front of a sphere around the centre of the eyeball, and the white between it and the corners of the lids."""
    turn, lift = torch.meshgrid(*(torch.linspace(-1.2, 1.2, 13, dtype=torch.float64),) * 2, indexing="xy")
    on = torch.stack([turn.sin() * lift.cos(), lift.sin(), turn.cos() * lift.cos()], -1).flatten(0, 1)
    ball = rows(f"{side}_eyeball", torch.zeros(len(on), dtype=torch.float64), count)
    white = between_edges(f"{side}_eye", 3, count)
    behind = white.new_zeros(len(white), 3)
    behind[17:34, 2] = -0.03
    triangles = np.concatenate([lattice(13, 13), lattice(3, 17) + len(on)])
    return Patch(torch.cat([ball, white]), torch.cat([head.EYEBALL * on, behind]), triangles)


def between_edges(name: str, levels: int, count: int) -> Tensor:
    """Weights (levels * 17, rows) of points between the two edges of a band, from the upper to the lower one."""
    t = along(17)
    upper, lower = rows(f"{name}_upper", t, count), rows(f"{name}_lower", t, count)
    return torch.cat([(1 - v) * upper + v * lower for v in torch.linspace(0, 1, levels, dtype=torch.float64)])


def mouth(count: int) -> Patch:
    """The inside of the mouth: a surface from the edge of one lip backwards and on to the other."""
    t, levels = along(17), torch.linspace(0, 1, 7, dtype=torch.float64)
    deep = (4 * levels * (1 - levels))[:, None] * (4 * t * (1 - t))
    constant = torch.zeros(7 * 17, 3, dtype=torch.float64)
    constant[:, 2] = -0.15 * deep.flatten()
    return Patch(between_edges("inner_lip", 7, count), constant, lattice(7, 17))


def ear(side: str, count: int) -> Patch:
    """An ear: a surface from the rim over the fold inwards to the line where the ear meets the head."""
    t = torch.linspace(0, 1, 17, dtype=torch.float64)
    rim, ends = rows(f"{side}_ear", t, count), rows(f"{side}_ear", torch.tensor([0.0, 1.0]).double(), count)
    root = (1 - t)[:, None] * ends[0] + t[:, None] * ends[1]
    levels = ((0.0, 0.0), (0.18, 0.02), (0.35, -0.03), (0.65, -0.05), (1.0, -0.02))
    weights = torch.cat([(1 - v) * rim + v * root for v, _ in levels])
    constant = torch.zeros(len(weights), 3, dtype=torch.float64)
    constant[:, 2] = torch.tensor([z for _, z in levels], dtype=torch.float64).repeat_interleave(17)
    return Patch(weights, constant, lattice(5, 17)[:, :: -1 if side == "left" else 1])


def neck(count: int) -> Patch:
    """Half a tube between the two lines of the neck."""
    t, turn = torch.linspace(0, 1, 9, dtype=torch.float64), torch.linspace(-1.9, 1.9, 15, dtype=torch.float64)
    left, right = (rows(f"{side}_neck", t, count)[:, None] for side in ("left", "right"))
    across = turn.sin()[:, None]
    weights = ((1 - across) * left + (1 + across) * right) / 2
    constant = torch.zeros(9, 15, 3, dtype=torch.float64)
    constant[..., 2] = 0.42 * turn.cos()
    return Patch(weights.flatten(0, 1), constant.flatten(0, 1), lattice(9, 15))


def along(n: int) -> Tensor:
    """Positions t (n,) along a curve, closer together towards its ends, where two edges meet at an angle."""
    return (1 - torch.linspace(0, torch.pi, n, dtype=torch.float64).cos()) / 2


def all_patches(count: int) -> list[Patch]:
    """The patches of left and right eye, mouth, left and right ear, and neck, for heads of `count` rows."""
    return [
        eyeball("left", count),
        eyeball("right", count),
        mouth(count),
        ear("left", count),
        ear("right", count),
        neck(count),
    ]
