"""The face of the first page: its pulls are the library's flows, and nothing that they do can tear it."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from lddmmlib.faces.crossings import crossings
from lddmmlib.widgets import PulledFace
from lddmmlib.widgets.pulled_face import SIGMA

HARD = [[150.0, 250.0, -60.0, 45.0], [100.0, 200.0, 180.0, -150.0], [200.0, 100.0, -170.0, 160.0]]
PLACES = torch.tensor([[150.0, 240.0], [90.0, 130.0], [201.0, 99.0], [20.0, 20.0]], dtype=torch.float64)


@pytest.mark.parametrize(("pulls", "time"), [([], 1.0), (HARD[:1], 0.3), (HARD, 1.0), (HARD, 0.5)])
def test_the_script_moves_as_the_library_does(js, pulls, time):
    face = PulledFace(pulls=pulls, time=time)
    found = js(face, "moved", PLACES.tolist(), pulls, time)
    np.testing.assert_allclose(found, face.moved(PLACES), atol=1e-9)


def test_one_pull_is_the_differential_equation_that_it_says():
    x, y, dx, dy = HARD[1]

    def slope(t, z):
        u, v = z[::2] - (x + t * dx), z[1::2] - (y + t * dy)
        return (np.exp(-(u**2 + v**2) / SIGMA**2)[:, None] * [dx, dy]).ravel()

    exact = solve_ivp(slope, (0, 1), PLACES.numpy().ravel(), rtol=1e-9, atol=1e-9).y[:, -1].reshape(-1, 2)
    np.testing.assert_allclose(
        PulledFace(pulls=HARD[1:2]).moved(PLACES), exact, atol=0.6
    )  # px: steps enough not to fold


def test_however_it_is_pulled_nothing_folds_and_no_lines_cross_that_did_not():
    face = PulledFace(pulls=HARD * 3)
    z = (300 * torch.rand(200, 2, generator=torch.Generator().manual_seed(0))).double().requires_grad_()
    out = face.moved(z)
    rows = [torch.autograd.grad(out[:, k].sum(), z, retain_graph=True)[0] for k in (0, 1)]
    assert torch.linalg.det(torch.stack(rows, 1)).min() > 0
    lines = torch.tensor(face.curves, dtype=torch.float64)
    rest, pulled = lines[:-1], face.moved(lines[:-1].flatten(0, 1)).view_as(lines[:-1])
    apart = ~crossings(rest[0], rest[-1]).any()
    assert apart == ~crossings(pulled[0], pulled[-1]).any()


def test_a_grin_is_there_from_the_start():
    face = PulledFace()
    (pull,) = face.pulls
    assert pull[:2] == face.landmarks["68"][54]
    assert face.moved(torch.tensor([pull[:2]]).double())[0].tolist() == pytest.approx([pull[0] + 16, pull[1] - 22])
    assert {name: len(points) for name, points in face.landmarks.items()} == {"29": 29, "68": 68, "98": 98, "194": 194}


@pytest.mark.parametrize(
    "state", [{"pulls": [[1.0, 2.0]]}, {"pulls": [[1.0, 2.0, 3.0, math.nan]]}, {"scheme": "70"}, {"time": 1.5}]
)
def test_impossible_states_are_refused(refused, state):
    refused(PulledFace(), state)


def test_picture_and_page_are_small(small):
    small(PulledFace())


@pytest.mark.browser
def test_pulled_by_mouse_and_by_keys_undone_and_played(hand):
    it = hand(PulledFace())
    ring, words = it.slider("pull"), it.figure.locator(".sw-count")
    assert words.inner_text().startswith("1 pull, one momentum. ")
    it.drag(it.middle(ring), (40, 20))  # on from where the ring was
    assert words.inner_text().startswith("1 pull, ")
    it.press(ring, "PageDown", "ArrowDown", "Shift+ArrowLeft")
    assert "the chin" in ring.get_attribute("aria-label")
    assert it.said(ring) == "10.0 px left, 2.0 px down"
    count = int(words.inner_text().split()[0])
    it.choose("98").button("Undo").click()
    assert int(it.settled().figure.locator(".sw-count").inner_text().split()[0]) == count - 1
    it.button("Play").click()
    it.page.wait_for_function("document.querySelector('.sw-count').textContent.startsWith('On the way')")
    it.button("A new face").click()
    assert it.settled().figure.locator(".sw-count").inner_text().startswith("0 pulls")
