import numpy as np
import pytest
import torch

from lddmmlib import heatmaps
from lddmmlib import optimal_transport as transport
from lddmmlib.widgets import TransportExplorer, base, transport_explorer

SCRIPT = base.HERE / "transport.js"
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
STATES = [
    {},
    {"share": 0.1, "eps": 2.0},
    {"prediction": [6.5, 11.0], "eps": 0.5},
    {"prediction": [6.0, 11.0], "sigma": 2.0, "eps": 8.0},
    {"prediction": [0.0, 0.0], "truth": [19.0, 19.0], "sigma": 0.8, "eps": 0.5, "share": 0.35},
]
every_state = pytest.mark.parametrize("state", STATES)


def of(state):
    explorer = TransportExplorer(**state)
    return explorer, {name: value for name, value in explorer.get_state().items() if not name.startswith("_")}


# ------------------------------------------------------------------ the script's mathematics is the library's


@every_state
def test_losses_potentials_and_gradients(js, state):
    explorer, sent = of(state)
    found, solved = js(explorer, "found", sent), explorer.transport()
    for name, value in explorer.losses().items():
        np.testing.assert_allclose(found[name], value, **CLOSE, err_msg=name)
    u, v = explorer.maps()
    np.testing.assert_allclose(values(found["u"]), u.flatten(), atol=1e-12)
    np.testing.assert_allclose(values(found["price"]), (solved.f - solved.f.min()).flatten(), **CLOSE)
    np.testing.assert_allclose(values(found["change"]), (2 * (u - v)).flatten(), atol=1e-12)
    assert found["steps"] == solved.n_iter
    for name, gradient in explorer.gradients().items():
        assert found["push"][name] == pytest.approx(gradient.norm().item(), rel=1e-4, abs=1e-6)


def values(array):
    """A typed array comes as an object with its indices for names."""
    return list(array.values()) if isinstance(array, dict) else array


@every_state
def test_the_heaviest_pairs_of_the_plan(js, state):
    explorer, sent = of(state)
    (u, v), solved, n = explorer.maps(), explorer.transport(), transport_explorer.SIDE
    places = torch.stack(torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")[::-1], -1).reshape(-1, 2)
    fit = solved.f.reshape(-1, 1) + solved.g.flatten() - torch.cdist(places.double(), places.double())
    plan = u.reshape(-1, 1) * v.flatten() * (fit / explorer.eps).exp()
    found = js(explorer, "planned", sent)
    for i, j, mass in found:
        assert mass == pytest.approx(plan[i, j].item(), rel=1e-4)
    masses = np.array(found)[:, 2]
    np.testing.assert_allclose(masses, plan.flatten().topk(len(masses)).values, rtol=1e-4)


def test_the_curves_are_losses_along_a_row(js):
    explorer, sent = of({"eps": 2.0, "share": 0.6})
    curves = js(explorer, "curves", sent)
    for k in (0, 3, -1):
        d = curves["cost"][k][0]
        there = TransportExplorer(prediction=[9.5 + d / 2, 9.5], truth=[9.5 - d / 2, 9.5], eps=2.0, share=0.6).losses()
        for name in ("cost", "value", "w1"):
            np.testing.assert_allclose(curves[name][k], [d, there[name]], **CLOSE)
        near = min(curves["l2"], key=lambda at: abs(at[0] - d))
        assert near[1] / curves["l2"][-1][1] == pytest.approx(there["l2"] / 36, abs=0.05)


def test_the_straight_line_is_the_flow_without_eps():
    explorer = TransportExplorer(prediction=[13.0, 8.0], truth=[6.0, 8.0], share=0.4)
    assert transport.w1(*explorer.maps()).value.item() == pytest.approx(explorer.losses()["w1"], rel=5e-3)


# ---------------------------------------------------------------------------------- what it is there to teach


def test_the_questions_have_answers():
    apart = [TransportExplorer(prediction=[6.0 + d, 9.0], truth=[6.0, 9.0]) for d in (5.0, 10.0)]
    near, far = (explorer.losses() for explorer in apart)
    assert far["l2"] - near["l2"] < 2 < 4 < far["w1"] - near["w1"]  # it has stopped before five cells
    wide = TransportExplorer(prediction=[11.0, 9.0], truth=[6.0, 9.0], sigma=2.0).losses()
    assert wide["l2"] < near["l2"] - 10
    together = [TransportExplorer(prediction=[6.0, 9.0], truth=[6.0, 9.0], eps=eps).losses() for eps in (0.5, 1.0, 8.0)]
    assert together[0]["cost"] < 0.7 < 1 < together[1]["cost"] < together[2]["cost"]
    stray = [TransportExplorer(prediction=[x, 9.0], truth=[4.0, 9.0], share=0.1).gradients() for x in (9.0, 16.0)]
    assert stray[1]["w"].norm() > 1.8 * stray[0]["w"].norm()
    assert stray[1]["l2"].norm() < 1.1 * stray[0]["l2"].norm()
    whole = [explorer.gradients()["w"].norm() for explorer in apart]
    assert whole[1] < 1.1 * whole[0]


def test_the_maps_are_the_librarys():
    u, _ = TransportExplorer(prediction=[3.3, 4.7], share=1.0).maps()
    h = heatmaps.encode(torch.tensor([[3.3, 4.7]], dtype=torch.float64), (20, 20), 1.2)[0]
    torch.testing.assert_close(u, h / h.sum())


# -------------------------------------------------------------------------------------------------- the class


@pytest.mark.parametrize(
    "state",
    [
        {"prediction": [1.0]}, {"prediction": [1.0, 19.1]}, {"truth": [-0.1, 3.0]}, {"truth": [float("nan"), 3.0]},
        {"sigma": 0.7}, {"sigma": 2.1}, {"eps": 0.4}, {"eps": float("nan")}, {"share": 0.0}, {"share": 1.1},
        {"shown": "cost"},
    ],
)  # fmt: skip
def test_impossible_states_are_refused(refused, state):
    refused(TransportExplorer(), state)


@pytest.mark.parametrize("shown", transport_explorer.SHOWN)
def test_picture_and_page_are_small(small, shown):
    small(TransportExplorer(shown=shown))


# ------------------------------------------------------------------------------------------------ in a browser


def agrees(hand, explorer):
    """All numbers on the page are the library's of the same state."""
    losses, gradients = explorer.losses(), {name: x.norm().item() for name, x in explorer.gradients().items()}
    told = {"L2 (%": losses["l2"], "W1": losses["w1"], "cost": losses["cost"], "value": losses["value"]}
    told |= {"gradient of L2": 1000 * gradients["l2"], "gradient of W": gradients["w"]}
    for words, value in told.items():
        (found,) = hand.row(words)
        half = 0.51 * 10.0 ** -len(found.split(".")[1])
        assert float(found) == pytest.approx(value, abs=half), words


@pytest.mark.browser
def test_the_page_says_what_the_library_says(hand):
    explorer = TransportExplorer()
    it = hand(explorer)
    agrees(it, explorer)
    it.press(it.slider("ε"), "ArrowRight", "ArrowRight")
    it.press(it.slider("share"), "ArrowLeft")
    it.press(it.slider("σ"), "ArrowRight")
    explorer.eps, explorer.share, explorer.sigma = 1.4, 0.95, 1.3
    agrees(it, explorer)
    it.button("Reset").click()
    agrees(it.settled(), TransportExplorer())


@pytest.mark.browser
def test_each_picture_is_drawn(hand):
    it = hand(TransportExplorer())
    words = ("the plan", "the price φ, gradient of W", "the gradient of L2")
    assert len({it.choose(name).pixels()[0] for name in words}) == 3


@pytest.mark.browser
def test_the_blobs_by_keyboard(hand):
    explorer = TransportExplorer()
    it = hand(explorer)
    heard, handle, other = it.listens(), it.slider("prediction"), it.slider("truth")
    assert it.said(handle) == "x 13.0, y 8.0"
    it.press(handle, "ArrowRight", "Shift+ArrowDown", "ArrowUp")
    it.press(other, "ArrowLeft")
    explorer.prediction, explorer.truth = [13.5, 9.5], [5.5, 11.0]
    agrees(it, explorer)
    it.press(handle, *["Shift+ArrowRight"] * 12)
    assert it.said(handle) == "x 19.0, y 9.5"  # it stays on the map
    assert heard() == [True, 0]


@pytest.mark.browser
def test_the_blobs_by_mouse(hand):
    explorer = TransportExplorer()
    it = hand(explorer)
    handle, cell = it.slider("truth"), it.canvases[0].bounding_box()["width"] / 20
    it.drag(it.middle(handle), (30, -41))
    explorer.truth = it.place(handle)
    assert explorer.truth == pytest.approx([6 + 30 / cell, 11 - 41 / cell], abs=0.051)
    agrees(it, explorer)


@pytest.mark.browser
def test_two_on_a_page_are_independent(hands):
    one, two = hands(TransportExplorer(), TransportExplorer(sigma=2.0, shown="price"))
    other = two.pixels()
    one.choose("the gradient of L2").press(one.slider("share"), "Home")
    assert two.settled().pixels() == other
    agrees(two, TransportExplorer(sigma=2.0))


@pytest.mark.browser
def test_what_it_came_to_is_said(spoken):
    cost = TransportExplorer(share=0.95).losses()["cost"]
    words = spoken(TransportExplorer(), "share", "ArrowLeft")
    assert words.startswith("7.6 cells apart: L2 ")
    assert words.endswith(f"cost {cost:.1f} cells after {TransportExplorer(share=0.95).transport().n_iter} steps.")
