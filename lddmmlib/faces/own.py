"""Own landmarks: what labelled points alone tell of them. A mean shape, the pairs of the mirror image, curves.

Points come as (k, n, 2) in frames in which faces are upright, such as crops; NaN where a landmark is not labelled. A
guess of pairs or curves is a guess: show it to whoever knows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._checks import need
from lddmmlib._shapes import Float
from lddmmlib.faces.statistics import similarity

TILTS, ROUNDS = (0, -10, 10, -20, 20), 4  # degrees of roll from which the axis of the mirror is sought
APART = 0.25  # of the face's radius: so far from its mirror image a landmark may lie
LONGEST = 0.5  # of the face's radius: so long the step of a curve may be
LONGER = 1.6  # times the shorter of its neighbours' nearest distances: likewise


@_checks.full_precision
def mean_shape(points: Float[Tensor, "k n 2"]) -> Float[Tensor, "n 2"]:
    """The mean shape of faces that label different landmarks: the mean over those that label each, when all faces have
    been moved onto the mean by similarities.

    Args:
        points: (k, n, 2), in any unit; NaN where not labelled.

    Returns:
        (n, 2), in the frame and the unit of the points.

    Raises:
        ValueError: a landmark that no face labels.

    >>> face = torch.tensor([[0.0, 0.0], [4.0, 0.0], [2.0, 3.0]])
    >>> other = face.clone()
    >>> other[2] = torch.nan
    >>> mean_shape(torch.stack([face, other])).tolist()
    [[0.0, 0.0], [4.0, 0.0], [2.0, 3.0]]
    """
    _checks.points(points, "points", nan=True)
    need(points.ndim == 3 and len(points), "points", "faces (k, n, 2), one or more", tuple(points.shape))
    known = ~points.isnan().any(-1)
    lost = (~known.any(0)).nonzero().flatten().tolist()
    need(not lost, "points", "labels of each landmark", f"none of landmark {lost[:5]}", "leave it out")
    mean = points.nanmean(0)
    for _ in range(3):
        moved = points.clone()
        for i, own in enumerate(known):
            if own.sum() >= 3 and (points[i, own] != points[i, own][0]).any():
                moved[i, own] = similarity(points[i, own], mean[own]).apply(points[i, own])
        mean = moved.nanmean(0)
    return mean


@_checks.full_precision
def mirrored(mean: Float[Tensor, "n 2"]) -> list[tuple[int, int]] | None:
    """Guess the pairs of landmarks that change places in the mirror image.

    The mean shape is mirrored, x -> -x, and turned onto itself; each landmark is assigned to the one of which the image
    lies there, such that the sum of squared distances is least (Hungarian method); assignment and turn in turns, from
    several tilts of the head, of which the best counts.

    Args:
        mean: (n, 2), an upright mean shape.

    Returns:
        Pairs (i, j), i < j; landmarks of the midline are in none. None if the shape is not symmetric: a landmark lies
            farther from its image than a quarter of the root mean square distance from the centre.

    >>> mirrored(torch.tensor([[0.0, 0.0], [10.0, 0.0], [5.0, 6.0]]))
    [(0, 1)]
    >>> mirrored(torch.tensor([[0.0, 0.0], [10.0, 0.0], [9.0, 6.0]])) is None
    True
    """
    linear_sum_assignment = _checks.optional("scipy.optimize").linear_sum_assignment

    _checks.points(mean, "mean")
    need(mean.ndim == 2, "mean", "one shape (n, 2)", tuple(mean.shape))
    z = torch.view_as_complex((mean - mean.mean(0)).detach().double().contiguous())
    tries = []
    for tilt in TILTS:
        turn = torch.polar(torch.ones(()).double(), torch.tensor(2 * tilt).double().deg2rad())
        for _ in range(ROUNDS):
            off = (z[:, None] + turn * z.conj()).abs()  # of landmark i from the image of j, -turn conj(z_j)
            flip = linear_sum_assignment(off.square().numpy())[1].tolist()
            product = (z * z[flip]).sum()
            turn = -product / product.abs() if product.abs() > 0 else turn
        off = (z + turn * z[flip].conj()).abs()
        tries.append((off.square().sum().item(), flip, off.max()))
    _, flip, worst = min(tries, key=lambda each: each[0])
    whole = all(flip[j] == i for i, j in enumerate(flip))
    if not whole or worst > APART * z.abs().square().mean().sqrt():
        return None
    return [(i, j) for i, j in enumerate(flip) if i < j]


@_checks.full_precision
def curves(mean: Float[Tensor, "n 2"]) -> dict[str, tuple[int, ...]]:
    """Guess curves: runs of three or more consecutive landmarks with steps of about one length.

    A run goes on while the next step is at most 1.6 times as long as the distance to the nearest landmark, at both its
    ends, and half the root mean square distance from the centre.

    Args:
        mean: (n, 2), a mean shape.

    Returns:
        From "curve 1", "curve 2", ... to landmarks in order.

    >>> curves(torch.tensor([[0.0, 0.0], [1.0, 0.2], [2.0, 0.0], [9.0, 5.0], [9.0, 9.0]]))
    {'curve 1': (0, 1, 2)}
    """
    _checks.points(mean, "mean")
    need(mean.ndim == 2, "mean", "one shape (n, 2)", tuple(mean.shape))
    apart = torch.cdist(mean.double(), mean.double())
    nearest = apart.masked_fill(torch.eye(len(mean), dtype=torch.bool), torch.inf).amin(1)
    radius, runs = (mean - mean.mean(0)).double().square().sum(-1).mean().sqrt(), [[0]]
    for i in range(1, len(mean)):
        if apart[i - 1, i] <= min(LONGER * nearest[i - 1], LONGER * nearest[i], LONGEST * radius):
            runs[-1].append(i)
        else:
            runs.append([i])
    long = [tuple(run) for run in runs if len(run) >= 3]
    return {f"curve {k}": run for k, run in enumerate(long, 1)}
