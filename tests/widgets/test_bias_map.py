import re

import numpy as np
import pytest
import torch

from lddmmlib import heatmaps
from lddmmlib.widgets import BiasMap, base

HEATMAPS = base.HERE / "heatmaps.js"
T = torch.tensor([-0.499, -0.3, 0.0, 0.07, 0.25, 0.46], dtype=torch.float64)
STATES = [
    {},
    {"sigma": 0.5, "tau": 4000.0, "window": 3},
    {"sigma": 3.3, "tau": 0.6, "window": 11},
    {"sigma": 1.5, "tau": 150.0, "window": 7, "peak": "density"},
]


# ------------------------------------------------------------------ the script's mathematics is the library's


@pytest.mark.parametrize("state", STATES)
def test_the_bias(js, state):
    widget = BiasMap(**state)
    found = [js(HEATMAPS, "bias", t, widget.get_state()) for t in T]
    np.testing.assert_allclose(found, widget.bias(T), rtol=1e-9, atol=1e-12)
    assert js(HEATMAPS, "worst", widget.get_state()) == pytest.approx(widget.worst(), rel=1e-9)


@pytest.mark.parametrize("state", STATES)
def test_the_formula_of_aliasing(js, state):
    widget = BiasMap(**state)
    s = heatmaps.softmax_width(widget.sigma, widget.tau, widget.peak)
    assert js(HEATMAPS, "softmaxWidth", widget.sigma, widget.tau, widget.peak) == pytest.approx(s, rel=1e-12)
    found = [js(HEATMAPS, "aliasing", t, s) for t in T]
    np.testing.assert_allclose(found, heatmaps.aliasing(T, s), rtol=1e-9, atol=1e-15)


def window_alone(t, sigma, tau, window, fine):
    """The mean of softmax(τ h) over a fine grid in the window around cell 0, less t."""
    x = (torch.arange(window * fine, dtype=torch.float64) + 0.5) / fine - window / 2
    h = torch.exp(-((x[:, None] ** 2) + (x - t) ** 2) / (2 * sigma**2))
    w = (tau * h).flatten().softmax(0).reshape(h.shape).sum(0)
    return float(w @ x - t)


def test_what_the_window_alone_does(js):
    state = {"sigma": 2.0, "tau": 6.0, "window": 5, "peak": "one"}
    for t in (0.1, 0.25, 0.49):
        found = js(HEATMAPS, "bias", t, state, 9)
        assert found == pytest.approx(window_alone(t, 2.0, 6.0, 5, 9), rel=1e-9)
        assert found == pytest.approx(window_alone(t, 2.0, 6.0, 5, 81), rel=2e-3)  # 9 is fine enough
    lines = js(BiasMap, "curves", state)
    for name, wanted in [
        ("bias", js(HEATMAPS, "bias", 25 / 100.2, state)),
        ("window", js(HEATMAPS, "bias", 25 / 100.2, state, 9)),
    ]:
        assert len(lines[name]) == 101
        assert lines[name][75] == pytest.approx([25 / 100.2, 1000 * wanted])


def test_the_map_is_made_of_the_worst(js):
    rows = np.array(js(BiasMap, "worstOver", {"window": 5, "peak": "one"}))
    heights = np.linspace(*np.log10([0.5, 5000]), 2 * len(rows) + 1)[1::2]
    sigmas = np.linspace(0.5, 4, 2 * rows.shape[1] + 1)[1::2]
    for r, c in [(0, 0), (len(rows) - 1, 3), (30, 20), (40, -1)]:
        assert rows[r, c] == pytest.approx(BiasMap().worst(sigmas[c], 10 ** heights[r]), rel=1e-8)


# ---------------------------------------------------------------------------------- what it is there to teach


def test_the_questions_have_answers(js):
    paper = {"sigma": 2.0, "window": 5, "peak": "one"}
    best = heatmaps.best_tau(2.0)
    assert abs(best - 10) < 2  # the paper's choice lies in the valley
    t = 0.25
    for tau, cause in [(4.0, "window"), (40.0, "grid")]:
        bias, window = (js(HEATMAPS, "bias", t, paper | {"tau": tau}, fine) for fine in (1, 9))
        grid = heatmaps.aliasing(torch.tensor(t), heatmaps.softmax_width(2.0, tau)).item()
        assert bias < -0.02
        assert {"window": window, "grid": grid}[cause] == pytest.approx(bias, rel=0.1)
        assert abs({"window": grid, "grid": window}[cause]) < 0.01 * abs(bias)
    wide = BiasMap(window=11)
    assert wide.worst(2.0, 6.0) < BiasMap().worst(2.0, 6.0) / 2  # the side of small τ moves
    assert wide.worst(2.0, 40.0) == pytest.approx(BiasMap().worst(2.0, 40.0), rel=1e-3)
    dense = BiasMap(peak="density")
    assert dense.worst(2.0, 10.0) > 0.3
    assert dense.worst(2.0, 10.0 * 8 * np.pi) == pytest.approx(BiasMap().worst(2.0, 10.0))  # the valley is 1/H higher


# -------------------------------------------------------------------------------------------------- the class


@pytest.mark.parametrize(
    "state",
    [{"sigma": 0.4}, {"sigma": 4.1}, {"sigma": float("nan")}, {"tau": 0.4}, {"tau": 1e5}, {"window": 4},
     {"window": 1}, {"peak": "two"}],
)  # fmt: skip
def test_impossible_states_are_refused(refused, state):
    refused(BiasMap(), state)


def test_picture_and_page_are_small(small):
    small(BiasMap(peak="density", window=9))


# ------------------------------------------------------------------------------------------------ in a browser


def agrees(hand, widget):
    """What is said of the place pointed at is the library's."""
    words = hand.figure.locator(".sw-count").inner_text()
    sigma, tau, _, s, worst, alias, _ = map(float, re.findall(r"\d+(?:\.\d+)?", words))
    width = heatmaps.softmax_width(widget.sigma, widget.tau, widget.peak)
    assert (sigma, tau, s) == pytest.approx((widget.sigma, widget.tau, width), abs=0.0051)
    assert worst == pytest.approx(widget.worst(), abs=6e-5)
    t = torch.arange(-50, 51) / 100.2
    assert alias == pytest.approx(heatmaps.aliasing(t, width).abs().max().item(), abs=6e-5)


@pytest.mark.browser
def test_the_page_says_what_the_library_says(hand):
    widget = BiasMap()
    it = hand(widget)
    agrees(it, widget)
    start = it.pixels()
    it.press(it.slider("σ of the map"), "ArrowRight", "ArrowRight")
    it.press(it.slider("τ"), "PageUp")
    widget.sigma, widget.tau = 2.04, 25.0
    agrees(it, widget)
    it.press(it.slider("window"), "ArrowRight")
    widget.window = 7
    agrees(it, widget)
    changed = it.pixels()
    assert changed[0] != start[0]
    it.choose("1/(2πσ²)")
    widget.peak = "density"
    agrees(it, widget)
    assert all(a != b for a, b in zip(it.pixels(), changed, strict=True))
    it.button("Reset").click()
    agrees(it.settled(), BiasMap())
    it.page.mouse.move(0, 0)
    assert it.settled().pixels() == start


@pytest.mark.browser
def test_pointing_by_keyboard(hand):
    it = hand(BiasMap())
    heard, handle = it.listens(), it.slider("σ and τ")
    assert it.said(handle) == f"σ 2.00 cells, τ 10: worst bias {BiasMap().worst():.4f} cells"
    it.press(handle, "ArrowRight", "Shift+ArrowUp")
    agrees(it, BiasMap(sigma=2.1, tau=18.0))
    it.press(handle, *["Shift+ArrowLeft"] * 5, *["Shift+ArrowDown"] * 8)
    agrees(it, BiasMap(sigma=0.5, tau=0.5))  # it stays on the map
    assert heard() == [True, 0]


@pytest.mark.browser
def test_pointing_by_mouse(hand):
    it = hand(BiasMap())
    handle, box = it.slider("σ and τ"), it.canvases[0].bounding_box()
    wide, high = box["width"] - 50, box["height"] - 78
    at = box["x"] + 36 + wide * 0.8, box["y"] + 30 + high * 0.25
    it.drag(at, (0, 0))  # a press alone reads the map off
    sigma, tau = (float(v) for v in re.findall(r"\d+(?:\.\d+)?", it.said(handle))[:2])
    assert sigma == pytest.approx(0.5 + 0.8 * 3.5, abs=0.03)
    assert np.log10(tau) == pytest.approx(np.log10(0.5) + 0.75 * 4, abs=0.03)
    agrees(it, BiasMap(sigma=sigma, tau=tau))
    it.drag(it.middle(handle), (-wide / 3.5, 0))
    assert float(it.said(handle).split()[1]) == pytest.approx(sigma - 1, abs=0.03)
    before = it.said(handle)
    it.drag((box["x"] + 10, box["y"] + 10), (30, 30))
    assert it.said(handle) == before
    it.drag(it.middle(handle), (4000, 4000))
    assert it.said(handle).startswith("σ 4.00 cells, τ 0.5:")


@pytest.mark.browser
def test_a_finger_reads_the_map_off(hand):
    it = hand(BiasMap(), viewport={"width": 390, "height": 600}, has_touch=True, is_mobile=True)
    handle = it.slider("σ and τ")
    handle.scroll_into_view_if_needed()
    before, said = it.page.evaluate("scrollY"), it.said(handle)
    x, y = it.middle(handle)
    assert it.swipe((x + 60, y - 60), (15, 30)) == before
    assert it.said(handle) != said


@pytest.mark.browser
def test_two_on_a_page_are_independent(hands):
    one, two = hands(BiasMap(), BiasMap(window=9, peak="density", tau=300.0))
    other = two.pixels()
    one.choose("1/(2πσ²)").press(one.slider("window"), "End")
    assert two.settled().pixels() == other
    agrees(two, BiasMap(window=9, peak="density", tau=300.0))


@pytest.mark.browser
def test_what_it_came_to_is_said(spoken):
    assert f"Worst bias {BiasMap(window=7).worst():.4f} cells" in spoken(BiasMap(), "window", "ArrowRight")
