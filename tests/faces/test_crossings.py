import itertools

import torch

from lddmmlib.faces.crossings import crossings


def random(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def cross(a, b, c, d):
    """By solving a + s (b - a) = c + t (d - c) for s and t, and asking whether both lie within (0, 1)."""
    s, t = torch.linalg.solve(torch.stack([b - a, c - d], -1), c - a).tolist()
    return 0 < s < 1 and 0 < t < 1


def test_segments_cross_where_the_solved_point_lies_on_both():
    p, q = random(3, 7, 2), random(3, 5, 2, seed=1)
    found = crossings(p, q)
    assert found.shape == (3, 6, 4)
    assert 0 < found.sum() < found.numel()
    for n, i, j in itertools.product(range(3), range(6), range(4)):
        assert found[n, i, j] == cross(p[n, i], p[n, i + 1], q[n, j], q[n, j + 1])


def test_neighbours_and_what_is_hidden_do_not_cross():
    line = random(9, 2)
    assert not crossings(line, line).diagonal(1).any()
    assert not crossings(line, line).diagonal().any()
    hidden = line.index_fill(0, torch.tensor([4]), torch.nan)
    assert not crossings(hidden, random(9, 2, seed=1))[3:5].any()
