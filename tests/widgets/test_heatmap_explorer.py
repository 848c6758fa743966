import math

import numpy as np
import pytest
import torch

from lddmmlib import heatmaps
from lddmmlib.widgets import HeatmapExplorer, base, heatmap_explorer

HEATMAPS = base.HERE / "heatmaps.js"
CLOSE = {"rtol": 1e-9, "atol": 1e-9}
NAMES = {
    "argmax": "argmax", "quarter": "quarter shift", "taylor": "Taylor (DARK)", "soft": "soft-argmax",
    "local_soft": "local soft-argmax", "barycentre": "barycentre",
}  # fmt: skip
STATES = [
    {},
    {"point": [0.0, 15.0], "window": 7},
    {"point": [0.4, 8.51], "sigma": 3.0, "rounding": "round"},
    {"point": [3.5, 4.5], "rounding": "round"},
    {"point": [14.7, 1.2], "rounding": "floor", "tau": 2.0},
    {"peak": "density", "tau": 200.0, "window": 3},
    {"noise": 0.1, "seed": 7, "sigma": 2.0},
    {"noise": 0.4, "seed": 8, "point": [1.3, 0.2], "peak": "density"},
    {"size": 9, "point": [4.5, 3.5], "window": 15, "sigma": 0.4},
]


# ------------------------------------------------------------------ the script's mathematics is the library's


@pytest.mark.parametrize("state", STATES)
def test_maps_and_decoders(js, state):
    explorer = HeatmapExplorer(**state)
    found = js(explorer, "found", explorer.get_state())
    np.testing.assert_allclose(found["map"], explorer.map(), **CLOSE)
    for method in heatmaps.METHODS:
        np.testing.assert_allclose(found["points"][method], explorer.decoded(method), **CLOSE, err_msg=method)
        assert math.hypot(*found["errors"][method]) == pytest.approx(explorer.errors()[method], abs=1e-9)


@pytest.mark.parametrize("method", heatmaps.METHODS)
def test_decoders_on_noise_alone(js, method):
    maps = torch.rand(40, 7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.01
    wanted = heatmaps.decode(maps, method, 3, 8.0)
    found = [js(HEATMAPS, "decode", h, method, {"window": 3, "tau": 8.0}) for h in maps]
    np.testing.assert_allclose(found, wanted, **CLOSE)


@pytest.mark.parametrize("method", [name for name in NAMES if name != "taylor"])
def test_the_weights_are_those_of_the_decoded_point(js, method):
    explorer = HeatmapExplorer(decoder=method, noise=0.05)
    found = js(explorer, "found", explorer.get_state())
    w = np.array(found["weights"])
    assert w.sum() == pytest.approx(1)
    assert w.min() >= 0
    np.testing.assert_allclose(js(HEATMAPS, "across", w) @ np.arange(16), explorer.decoded()[0], **CLOSE)


def test_the_noise_is_the_same_on_both_sides(js):
    for seed in (0, 1, 12345, 2**31 - 1):
        np.testing.assert_allclose(js(HEATMAPS, "normals", seed, 500), heatmap_explorer._normals(seed, 500), rtol=1e-12)
    n = np.array(heatmap_explorer._normals(3, 20_000))
    assert abs(n.mean()) < 0.03
    assert n.std() == pytest.approx(1, abs=0.02)
    assert abs(np.mean(n[1:] * n[:-1])) < 0.03


# ---------------------------------------------------------------------------------- what it is there to teach


def test_the_questions_have_answers():
    clean = HeatmapExplorer()
    still = {name for name in NAMES if HeatmapExplorer(point=[7.31, 7.9]).decoded(name) == clean.decoded(name)}
    assert still == {"argmax", "quarter"}  # until the point crosses into the next quarter, or cell
    for rounding in ("round", "floor"):
        errors = HeatmapExplorer(rounding=rounding).errors()
        assert min(errors.values()) > 0.3
    lost = HeatmapExplorer(peak="density").errors()["local_soft"]
    tau = heatmaps.best_tau(1.5, peak="density")
    assert HeatmapExplorer(peak="density", tau=tau).errors()["local_soft"] < lost / 5
    exact = [name for name, error in clean.errors().items() if error < 1e-3]
    assert exact == ["taylor", "barycentre"]
    noisy = [HeatmapExplorer(noise=0.05, seed=seed).errors() for seed in range(20)]
    rms = {name: np.sqrt(np.mean([each[name] ** 2 for each in noisy])) for name in NAMES}
    assert min(rms[name] for name in exact) > 1.1 * max(rms["soft"], rms["local_soft"])


# -------------------------------------------------------------------------------------------------- the class


@pytest.mark.parametrize(
    "state",
    [
        {"point": [1.0]}, {"point": [1.0, 15.1]}, {"point": [-0.1, 3.0]}, {"point": [float("nan"), 3.0]},
        {"point": [[1.0, 2.0], [1.0, 2.0]]}, {"size": 7}, {"size": 8}, {"sigma": 0.0}, {"sigma": float("nan")},
        {"rounding": "ceil"}, {"peak": "two"}, {"decoder": "dark"}, {"window": 4}, {"window": 0}, {"tau": 0.0},
        {"noise": -0.1}, {"seed": -1},
    ],
)  # fmt: skip
def test_impossible_states_are_refused(refused, state):
    refused(HeatmapExplorer(point=[9.0, 9.0]), state)


@pytest.mark.parametrize("state", [{"decoder": name, "noise": 0.1} for name in NAMES])
def test_picture_and_page_are_small(small, state):
    small(HeatmapExplorer(**state))


# ------------------------------------------------------------------------------------------------ in a browser


def agrees(hand, explorer):
    """All errors on the page are the library's of the same state."""
    for method, words in NAMES.items():
        off = np.subtract(explorer.decoded(method), explorer.point)
        hand.shows(words, [*off, math.hypot(*off)], atol=0.00051)


@pytest.mark.browser
def test_the_page_says_what_the_library_says(hand):
    explorer = HeatmapExplorer()
    it = hand(explorer)
    agrees(it, explorer)
    it.press(it.slider("σ of the map"), "ArrowRight")
    it.press(it.slider("window"), "ArrowRight")
    it.press(it.slider("τ"), "ArrowLeft", "ArrowLeft")
    it.press(it.slider("noise"), "PageUp")
    explorer.sigma, explorer.window, explorer.tau, explorer.noise = 1.6, 7, 7.9, 0.03
    agrees(it, explorer)
    it.button("Other noise").click()
    explorer.seed = 2
    agrees(it.choose("floor"), HeatmapExplorer(**state_of(explorer) | {"rounding": "floor"}))
    agrees(it.choose("1/(2πσ²)"), HeatmapExplorer(**state_of(explorer) | {"rounding": "floor", "peak": "density"}))
    it.button("Reset").click()
    agrees(it.settled(), HeatmapExplorer())


def state_of(explorer):
    return {name: getattr(explorer, name) for name in ("sigma", "window", "tau", "noise", "seed")}


@pytest.mark.browser
def test_each_decoder_is_drawn(hand):
    it = hand(HeatmapExplorer(noise=0.05))
    pictures = {it.choose(name).pixels()[1] for name in NAMES.values()}
    assert len(pictures) == len(NAMES)
    it.press(it.figure.get_by_label("argmax", exact=True), "ArrowDown")
    assert it.figure.get_by_label("quarter shift", exact=True).is_checked()


@pytest.mark.browser
def test_the_point_by_keyboard(hand):
    explorer = HeatmapExplorer()
    it = hand(explorer)
    heard, handle = it.listens(), it.slider("true point")
    assert it.said(handle) == "x 7.30, y 7.90"
    it.press(handle, "ArrowRight", "Shift+ArrowDown", "ArrowUp", "ArrowLeft", "ArrowLeft")
    explorer.point = [7.25, 8.1]
    agrees(it, explorer)
    it.press(handle, "Home")
    explorer.point = [7.0, 8.0]
    agrees(it, explorer)
    it.press(handle, *["Shift+ArrowDown"] * 40)
    assert it.said(handle) == "x 7.00, y 15.00"  # it stays on the map
    assert heard() == [True, 0]


@pytest.mark.browser
def test_the_point_by_mouse(hand):
    explorer = HeatmapExplorer()
    it = hand(explorer)
    handle, cell = it.slider("true point"), it.canvases[0].bounding_box()["width"] / 16
    it.drag(it.middle(handle), (-30, 41))
    explorer.point = it.place(handle)
    assert explorer.point == pytest.approx([7.3 - 30 / cell, 7.9 + 41 / cell], abs=0.0051)
    agrees(it, explorer)
    it.drag(it.middle(handle), (4000, -4000))
    assert it.said(handle) == "x 15.00, y 0.00"


@pytest.mark.browser
def test_two_on_a_page_are_independent(hands):
    one, two = hands(HeatmapExplorer(), HeatmapExplorer(sigma=2.5, decoder="taylor"))
    other = two.pixels()
    one.choose("argmax").choose("nearest").press(one.slider("noise"), "End")
    assert two.settled().pixels() == other
    agrees(two, HeatmapExplorer(sigma=2.5))


@pytest.mark.browser
def test_what_it_came_to_is_said(spoken):
    error = HeatmapExplorer(window=7).errors()["local_soft"]
    words = spoken(HeatmapExplorer(), "window", "ArrowRight")
    assert words.startswith(f"local soft-argmax: {error:.3f} cells off. The encoder's rounding moved the")
    assert words.endswith(f"= {heatmaps.softmax_width(1.5, 10.0):.2f} cells.")
