import numpy as np
import pytest
import torch
import traitlets

from lddmmlib.faces import statistics
from lddmmlib.methods.sparse_shape_regression import fit_h
from lddmmlib.widgets import SparseFaceExplorer

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
ODD = list(range(1, 68, 2))


@pytest.fixture(scope="module")
def faces():
    """Faces that have the model's mean and covariance exactly: pairs on either side of the mean, a pair per mode."""
    model = statistics.real_300w()
    vectors, deviations = statistics.modes(model.covariance)
    offsets = len(deviations) ** 0.5 * deviations[:, None, None] * vectors
    return torch.cat([model.mean + offsets, model.mean - offsets])


def numbers_of(explorer):
    return np.frombuffer(explorer.moment, "<f8")


def in_script(js, explorer):
    state = {name: getattr(explorer, name) for name in ("defined", "selected", "tau")}
    return js(explorer, "rowOf", numbers_of(explorer), state)


# ------------------------------------------------------------------ the script's mathematics is the library's


@pytest.mark.parametrize("tau", [0.2, 0.77, 1.0, 1.4, 2.0])
def test_the_row_is_that_of_the_method(js, faces, tau):
    H = fit_h(faces[:, ::2], faces[:, 1::2], tau).H
    for selected in (1, 9, 37, 55):
        explorer = SparseFaceExplorer(selected=selected, tau=tau)
        wanted = H[selected // 2].numpy()
        found, said = in_script(js, explorer), explorer.values()
        np.testing.assert_allclose(explorer.weights()[::2], wanted, rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(found["weights"], explorer.weights()[::2], rtol=1e-8, atol=1e-9)
        assert [found["sum"], found["norm"], found["used"]] == pytest.approx([said["sum"], said["size"], said["used"]])
        off = torch.tensor(wanted) @ faces[:, ::2] - faces[:, selected]
        rms = 100 * off.square().sum(-1).mean().sqrt().item()
        assert said["error"] == pytest.approx(rms, rel=1e-6)
        assert 100 * found["error"] == pytest.approx(said["error"], rel=1e-7)


def test_other_splits(js, faces):
    defined = [0, 8, 16, 36, 39, 42, 45, 30, 48, 54]
    explorer = SparseFaceExplorer(defined, selected=57, tau=1.2)
    wanted = fit_h(faces[:, defined], faces[:, [57]], 1.2).H[0].numpy()
    np.testing.assert_allclose(in_script(js, explorer)["weights"], wanted, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(explorer.weights()[defined], wanted, rtol=1e-7, atol=1e-8)


def test_the_moments(js):
    explorer, model = SparseFaceExplorer(), statistics.real_300w()
    found = np.array(js(explorer, "symmetric", numbers_of(explorer)))
    assert found.shape == (68, 68)
    np.testing.assert_array_equal(found, found.T)
    x, y = (model.covariance[k::2, k::2] + torch.outer(model.mean[:, k], model.mean[:, k]) for k in (0, 1))
    np.testing.assert_allclose(found, (x + y).numpy(), **CLOSE)


# ---------------------------------------------------------------------------------- what it is there to teach


def test_the_questions_have_answers():
    explorer = SparseFaceExplorer(selected=9, tau=1.0)
    assert np.flatnonzero(explorer.weights()).tolist() == [8, 10]  # the neighbours alone
    explorer.selected = 39  # the corner of an eye
    assert explorer.values()["used"] > 3
    explorer = SparseFaceExplorer(selected=9, tau=0.6)
    assert explorer.values()["sum"] == pytest.approx(0.6)
    errors = []
    for tau in (1.0, 1.4, 2.0):
        explorer.tau = tau
        errors.append(explorer.values()["error"])
        negative = -explorer.weights().clamp(max=0).sum().item()
        assert negative == pytest.approx({1.0: 0.0, 1.4: 0.2, 2.0: 0.5}[tau], abs=0.02)
    assert errors[0] > 2 * errors[1]
    assert errors[1] - errors[2] < 0.02 * errors[0]


# -------------------------------------------------------------------------------------------------- the class


@pytest.mark.parametrize(
    "state",
    [
        {"selected": 8}, {"selected": 68}, {"selected": -1}, {"tau": 0.1}, {"tau": 2.1}, {"tau": float("nan")},
        {"defined": []}, {"defined": [1, 1]}, {"defined": [68]}, {"defined": [-1]}, {"defined": list(range(68))},
        {"defined": [0, 9]}, {"defined": [0.5]},
    ],
)  # fmt: skip
def test_impossible_states_are_refused(refused, state):
    refused(SparseFaceExplorer(selected=9), state)


@pytest.mark.parametrize("defined", [[], [0, 0], [70], list(range(68))])
def test_splits_that_are_none_are_refused(defined):
    with pytest.raises(traitlets.TraitError, match="defined"):
        SparseFaceExplorer(defined)


def test_an_undefined_landmark_is_selected():
    assert SparseFaceExplorer().selected == 9
    assert SparseFaceExplorer(ODD).selected == 0


@pytest.mark.parametrize("state", [{}, {"selected": 37, "tau": 2.0}, {"defined": [0, 16, 30], "selected": 8}])
def test_picture_and_page_are_small(small, state):
    small(SparseFaceExplorer(**state))


# ------------------------------------------------------------------------------------------------ in a browser


def agrees(hand, explorer):
    """The numbers on the page are the library's of the same state."""
    said = explorer.values()
    for words, wanted, close in [("Σh", said["sum"], 6e-5), ("|h|₁", said["size"], 6e-4), ("rms", said["error"], 6e-3)]:
        assert float(hand.row(words)[0].split()[0]) == pytest.approx(wanted, abs=close)
    assert hand.row("landmarks used") == [str(said["used"])]
    h, mean = explorer.weights(), statistics.real_300w().mean
    off = 100 * (h @ mean - mean[explorer.selected]).norm().item()
    assert float(hand.row("error on the mean")[0].split()[0]) == pytest.approx(off, abs=0.0051)
    most = int(h.abs().argmax())
    words = hand.figure.locator(".sw-count").inner_text().replace("−", "-")
    assert words.startswith(f"Landmark {explorer.selected} is {h[most]:.3f} of {most}")


@pytest.mark.browser
def test_the_page_says_what_the_library_says(hand):
    explorer = SparseFaceExplorer()
    it = hand(explorer)
    agrees(it, explorer)
    start = it.pixels()
    it.press(it.slider("budget τ ≥"), "ArrowLeft", "PageDown")
    explorer.tau = float(it.slider("budget τ ≥").input_value())
    assert explorer.tau < 1.3
    agrees(it, explorer)
    it.press(it.slider("budget τ, on the plot"), "ArrowLeft", "Shift+ArrowLeft")
    explorer.tau = round(explorer.tau - 0.12, 2)
    agrees(it, explorer)
    assert it.said(it.slider("budget τ, on")) == f"τ {explorer.tau:.2f}, rms error {explorer.values()['error']:.2f} %"
    assert it.pixels()[0] != start[0]
    it.button("Reset").click()
    it.page.mouse.move(0, 0)
    assert it.settled().pixels() == start


@pytest.mark.browser
def test_landmarks_by_keyboard(hand):
    it = hand(SparseFaceExplorer())
    heard, handle = it.listens(), it.slider("undefined landmark")
    assert it.said(handle) == "landmark 9"
    it.press(handle, "ArrowRight", "ArrowDown", "PageDown", "ArrowLeft")
    agrees(it, SparseFaceExplorer(selected=13))
    it.press(handle, *["ArrowUp"] * 7)
    agrees(it, SparseFaceExplorer(selected=67))  # around
    it.press(handle, "ArrowRight")
    agrees(it, SparseFaceExplorer(selected=1))
    assert heard() == [True, 0]


def on_page(it, explorer, i):
    mean, box = np.array(explorer.mean), it.canvases[0].bounding_box()
    low, high = mean.min(0) - 0.12, mean.max(0) + 0.12
    at = (mean[i] - low) / (high - low) * [box["width"], box["height"]] + [box["x"], box["y"]]
    return tuple(at.tolist())


@pytest.mark.browser
def test_landmarks_by_mouse(hand):
    explorer = SparseFaceExplorer()
    it = hand(explorer)
    for i in (3, 29, 45):
        x, y = on_page(it, explorer, i)
        it.drag((x + 2, y - 2), (0, 0))
        agrees(it, SparseFaceExplorer(selected=i))
        assert it.middle(it.slider("undefined")) == pytest.approx((x, y), abs=1)
    before = it.pixels()
    it.drag(it.middle(it.slider("undefined")), (40, 40))  # it is chosen, not moved
    it.drag((it.canvases[0].bounding_box()["x"] + 5, on_page(it, explorer, 8)[1]), (20, 0))  # nothing there
    assert it.pixels() == before


@pytest.mark.browser
def test_the_budget_by_mouse(hand):
    it = hand(SparseFaceExplorer())
    knob, wide = it.slider("budget τ, on"), it.canvases[1].bounding_box()["width"] - 50
    it.drag(it.middle(knob), (-0.25 * wide, 7))
    tau = float(it.slider("budget τ ≥").input_value())
    assert tau == pytest.approx(1.4 - 0.25 * 1.8, abs=0.0151)
    agrees(it, SparseFaceExplorer(tau=tau))
    it.drag(it.middle(knob), (4000, 0))
    agrees(it, SparseFaceExplorer(tau=2.0))


@pytest.mark.browser
def test_a_finger_chooses_and_scrolls_beside(hand):
    explorer = SparseFaceExplorer()
    it = hand(explorer, viewport={"width": 390, "height": 600}, has_touch=True, is_mobile=True)
    it.canvases[0].scroll_into_view_if_needed()
    it.page.touchscreen.tap(*on_page(it, explorer, 3))
    agrees(it.settled(), SparseFaceExplorer(selected=3))
    before, box = it.page.evaluate("scrollY"), it.canvases[0].bounding_box()
    assert it.swipe((box["x"] + 15, box["y"] + box["height"] - 15), (0, -80)) > before


@pytest.mark.browser
def test_two_on_a_page_are_independent(hands):
    one, two = hands(SparseFaceExplorer(), SparseFaceExplorer(ODD, selected=8, tau=1.0))
    other = two.pixels()
    one.press(one.slider("undefined"), "ArrowRight").press(one.slider("budget τ ≥"), "Home")
    assert two.settled().pixels() == other
    agrees(two, SparseFaceExplorer(ODD, selected=8, tau=1.0))


@pytest.mark.browser
def test_what_it_came_to_is_said(spoken):
    said = SparseFaceExplorer(tau=1.41).values()
    words = spoken(SparseFaceExplorer(), "budget τ ≥", "ArrowRight")
    assert words.startswith(f"Landmark 9, τ 1.41: rms error {said['error']:.2f} %, Σh {said['sum']:.3f}. Weights: 0.6")
