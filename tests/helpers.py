"""What many tests say in the same words."""

from inspect import unwrap

import pytest
import torch

from lddmmlib.curves import Curves

SLICES = [slice(0, 4), [6, 5, 4], [7], range(8, 13)]  # a face of four curves: one reversed, one a lone point
CLOSED = [False, True, False, True]


def points(*shape, seed=0, spread=2.0):
    """Normal points, float64."""
    return spread * torch.randn(*shape, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def face(*batch, seed=0, **options):
    """Thirteen points in four curves."""
    return Curves(points(*batch, 13, seed=seed), SLICES, CLOSED, **options)


def close(a, b, atol=1e-12):
    """Equal to within atol, for values that are next to exact."""
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype), rtol=0, atol=atol)


def refused(match, function, *args, error=ValueError, **kwargs):
    """The door itself: past the annotations, which the gate checks before the function is entered."""
    with pytest.raises(error, match=match):
        unwrap(function)(*args, **kwargs)
