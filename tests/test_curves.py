"""Points grouped into curves: padding, lines, gaps, and groups that do not fit."""

from inspect import unwrap

import pytest
import torch

from lddmmlib import currents
from lddmmlib.curves import Curves

SLICES = [slice(0, 4), [6, 5, 4], [7], range(8, 13)]
CLOSED = [False, True, True, True]


def points(*shape, seed=0, spread=1.5):
    return spread * torch.randn(*shape, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def face(*batch, seed=0, **options):
    return Curves(points(*batch, 13, seed=seed), SLICES, CLOSED, **options)


def close(a, b, atol=1e-12):
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype), rtol=0, atol=atol)


def refused(match, function, *args, error=ValueError, **kwargs):
    with pytest.raises(error, match=match):
        unwrap(function)(*args, **kwargs)


def test_padding_gives_back_what_it_took_and_no_gradient_to_what_it_added():
    curves = face(2)
    x = curves.points.clone().requires_grad_()
    padded = curves.pad(x)
    assert padded.shape == (2, 4, 5, 2)
    close(curves.unpad(padded), x, atol=0)
    curves.unpad(padded).sum().backward()
    close(x.grad, torch.ones_like(x), atol=0)
    assert curves.mask().sum().item() == 13


def test_lines_close():
    lines = face().lines()
    x = face().points
    close(lines[0], x[[0, 1, 2, 3, 3, 3]], atol=0)
    close(lines[1], x[[6, 5, 4, 6, 6, 6]], atol=0)
    close(lines[3], x[[8, 9, 10, 11, 12, 8]], atol=0)


def test_groups_that_do_not_fit():
    x = points(5)
    refused("point 1 in 0; a curve is slice", Curves, x, [(0, 2), (3, 4)])  # (start, stop) is no slice
    refused("point 2 in 2", Curves, x, [slice(0, 3), slice(2, 5)])
    refused("points 0 to 4, none empty", Curves, x, [range(6)])
    refused("none empty", Curves, x, [range(5), []])
    refused("closed: needed one flag or 2", Curves, x, [range(3), range(3, 5)], [True])
    refused("needed finite", Curves, x.log(), [range(5)])
    refused(r"needed \(..., 5, 2\), got \(4, 2\)", Curves.at, Curves(x, [range(5)]), points(4))
    refused("sigma: needed 1 numbers, one a curve; got 2", currents.norm2, Curves(x, [range(5)]), [1.0, 2.0])
    refused("sigma: needed a number: these points are no Curves", currents.norm2, x, [1.0])
    refused("sigma: needed a number > 0, got -1", currents.norm2, Curves(x, [range(5)]), [-1.0])
