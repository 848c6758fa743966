"""The sums of Sinkhorn's half steps against loops, in every way to compute them; windows around the mass."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lddmmlib._engine import softmin as engine
from lddmmlib._engine.softmin import cells, costs, distances, pixels_of, softmin, supports, windows

X, Y = (1, 6, 0, 7), (2, 5, 3, 9)
WAYS = {
    "definition": lambda lam, p, like: engine.Definition(X, Y, lam, p, like),
    "product": lambda lam, p, like: softmin(X, Y, lam, p, like),
}


def scores(n, seed=0, scale=3.0, dtype=torch.float64):
    return scale * torch.randn(3, n, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def close(a, b, atol=1e-10):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def by_loops(s, at, of, lam, p, moment=False):
    """log Σ exp(s - λ |x - y|^p) at each cell, over the others; `moment`: each term times |x - y|^p."""
    out = []
    for i, j in at:
        far = [((i - a) ** 2 + (j - b) ** 2) ** (p / 2) for a, b in of]
        terms = [
            float(x) - lam * c + (math.log(c) if moment else 0) for x, c in zip(s, far, strict=True) if c or not moment
        ]
        out.append(max(terms) + math.log(sum(math.exp(x - max(terms)) for x in terms)))
    return torch.tensor(out, dtype=torch.float64)


def places(box):
    return [(i, j) for i in range(box[0], box[1]) for j in range(box[2], box[3])]


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("lam", [0.2, 20.0, 800.0])  # one product, several, and one cell at a time
def test_sums_are_those_of_the_loops(way, p, lam):
    s, t = scores(18), scores(35, 1)
    sums = WAYS[way](lam, p, s)
    close(sums.to_x(s), torch.stack([by_loops(x, places(X), places(Y), lam, p) for x in s]), 1e-9)
    close(sums.to_x(s, True), torch.stack([by_loops(x, places(X), places(Y), lam, p, True) for x in s]), 1e-9)
    close(sums.to_y(t), torch.stack([by_loops(x, places(Y), places(X), lam, p) for x in t]), 1e-9)


def test_a_large_range_is_cut_into_patches():
    like = torch.zeros(1, dtype=torch.float64)
    few, many = (len(engine.Product(X, Y, lam, 1, like).patches) for lam in (1.0, 5000.0))
    assert few == 1
    assert many == 18


@given(st.integers(0, 10_000), st.floats(0.02, 50.0), st.sampled_from([1, 2]))
@settings(max_examples=20, deadline=None)
def test_single_precision_loses_no_digit_at_any_range(seed, lam, p):
    """Scores over hundreds of e, far beyond what single precision can hold: an error of roundings of their size."""
    s = scores(18, seed, 100.0, torch.float32)
    found, read = (softmin(X, Y, lam, p, x).to_x(x) for x in (s, s.double()))
    close(found.double(), read, 3e-6 * (300 + lam * 70**p))


def test_cells_without_mass():
    s = scores(18).index_fill_(1, torch.arange(0, 18, 2), -math.inf)
    s[0] = -math.inf
    for lam in (0.2, 20.0):
        a, b = (way(lam, 1, s).to_x(s) for way in WAYS.values())
        close(a, b)
        assert (b[0] == -math.inf).all()


@pytest.mark.parametrize("lam", [0.5, 2.0])
def test_scaling_is_the_same_in_exponentials(lam):
    u, v = scores(35).softmax(1), scores(18, 1).softmax(1)
    one = engine.Windows(3, 6, (6, 9), lam, u).at(X, Y)
    two = engine.Logarithms(softmin(X, Y, lam, 1, u))
    for steps in (one, two):
        a, b, start = steps.start(u, v, torch.zeros_like(v))
        row = steps.row(b, start)
        fitted = steps.fit(a, row)
        steps.g = steps.column(fitted)
        again = steps.row(b, steps.g)
        steps.residual = steps.wrong(a, fitted, again)
        steps.all = steps.found(b, steps.g, again)
    close(one.residual, two.residual)
    for k, sign in ((0, -1), (1, 1), (2, 0)):  # f + α and g - α are the same plan
        shift = (one.all[1] - two.all[1])[:, :1] * sign
        close(one.all[k], two.all[k] + shift)


# --- windows ---------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.sampled_from([0.0, 1e-6, 1e-2]))
@settings(max_examples=20, deadline=None)
def test_a_window_holds_its_maps(seed, cut):
    """Each map in one group, whose box lies in the grid and leaves out no more than is said."""
    draw = torch.rand(40, 16, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) ** 200
    u = draw / draw.sum((1, 2), keepdim=True)
    groups = windows(u, cut)
    assert sorted(torch.cat([k for k, _ in groups]).tolist()) == list(range(40))
    for k, (top, bottom, left, right) in groups:
        assert 0 <= top < bottom <= 16
        assert 0 <= left < right <= 24
        assert (1 - u[k, top:bottom, left:right].sum((1, 2)) <= cut + 1e-12).all()
    exact = supports(u, cut)
    for each, (top, bottom, left, right) in zip(u, exact.tolist(), strict=True):
        assert 1 - each[top:bottom, left:right].sum() <= cut + 1e-12
        assert (each[top].sum() > cut / 4) & (each[:, right - 1].sum() > cut / 4) if cut == 0 else True


def test_windows_are_taken_where_they_pay():
    """Narrow maps share small windows, wide ones have the whole grid, and a wide one does not widen the others'."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    where = 10 + 44 * torch.rand(2, 300, 1, 1, generator=torch.Generator().manual_seed(0))
    maps = torch.exp(-((x - where[0]) ** 2 + (y - where[1]) ** 2) / 4.5)
    maps[0] = 1
    maps = maps / maps.sum((1, 2), keepdim=True)
    sizes = {(box[1] - box[0]) * (box[3] - box[2]): len(k) for k, box in windows(maps, 1e-6)}
    assert sizes[64 * 64] == 1
    assert min(sizes) <= 32**2
    assert [box for _, box in windows(maps[:1].expand(9, -1, -1), 1e-6)] == [(0, 64, 0, 64)]
    assert windows(maps[:0], 1e-6) == []


def test_places_of_pixels_row_by_row_and_their_distances():
    x = pixels_of(torch.zeros(2, 3))
    assert x.tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]
    assert distances(x, x)[1, 5].item() == pytest.approx(2**0.5)
    assert distances(1e8 + x.double(), 1e8 + x.double()).diagonal().abs().max() == 0
    like = torch.zeros(1, dtype=torch.float64)
    close(costs(Y, X, 1, like), distances(cells(Y, like), cells(X, like)))
    close(costs((0, 1, 0, 1), X, 2, like, (1.5, -2.0)), distances(like.new_tensor([[-2.0, 1.5]]), cells(X, like)) ** 2)
