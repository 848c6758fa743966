"""Every way of computing Φ against its definition, where the way says that it is exact."""

import pytest
import torch

from lddmmlib._engine import softmin as engine
from lddmmlib._engine.softmin import by_definition, distances, pixels_of, softmin

WAYS = [("log", 1), ("log", 2), ("dense", 1), ("dense", 2), ("separable", 2), ("fft", 1), ("tilted", 1)]


def scores(k=3, h=7, w=9, seed=0, scale=3.0):
    return scale * torch.randn(k, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a, b, atol=1e-10):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def by_loops(s, lam, p, moment):
    """log Σ_y exp(s(y) - λ |x - y|^p), of each x on its own; `moment`: each term times |x - y|^p."""
    h, w = s.shape
    out = torch.empty_like(s)
    for i in range(h):
        for j in range(w):
            terms = []
            for a in range(h):
                for b in range(w):
                    cost = ((i - a) ** 2 + (j - b) ** 2) ** (p / 2)
                    terms.append((s[a, b] - lam * cost).exp() * (cost if moment else 1))
            out[i, j] = sum(terms).log()
    return out


@pytest.mark.parametrize("moment", [False, True])
@pytest.mark.parametrize("p", [1, 2])
def test_the_definition_by_loops(p, moment):
    s, lam = scores(2, 3, 4), torch.tensor(0.7, dtype=torch.float64)
    found, exact = by_definition(pixels_of(s), lam, p, moment)(s)
    assert exact.all()
    close(found, torch.stack([by_loops(each, lam, p, moment) for each in s]))


@pytest.mark.parametrize("moment", [False, True])
@pytest.mark.parametrize(("way", "p"), WAYS)
def test_ways_agree_with_the_definition(way, p, moment, monkeypatch):
    monkeypatch.setattr(engine, "AT_ONCE", 300)  # the definition in several parts
    for lam in (0.2, 1.0):
        s, lam = scores(), torch.tensor(lam, dtype=torch.float64)
        found, exact = softmin(way, s, lam, p, moment)(s)
        assert exact.double().mean() > 0.9
        read, _ = by_definition(pixels_of(s), lam, p, moment)(s)
        close(found[exact], read[exact], atol=1e-4 if "f" in way or way == "tilted" else 1e-10)


def test_where_a_convolution_has_lost_its_digits_it_says_so():
    s = torch.full((1, 4, 40), -80.0, dtype=torch.float64)
    s[0, 1, 2] = 0.0
    lam = torch.tensor(2.0, dtype=torch.float64)
    found, exact = softmin("fft", s, lam, 1)(s)
    read, _ = by_definition(pixels_of(s), lam, 1, False)(s)
    assert 0 < exact.double().mean() < 1
    close(found[exact], read[exact], atol=1e-4)
    assert (found - read)[~exact].abs().max() > 1


def test_places_of_pixels_row_by_row_and_their_distances():
    x = pixels_of(torch.zeros(2, 3))
    assert x.tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]
    assert distances(x, x)[1, 5].item() == pytest.approx(2**0.5)
    assert distances(1e8 + x.double(), 1e8 + x.double()).diagonal().abs().max() == 0
