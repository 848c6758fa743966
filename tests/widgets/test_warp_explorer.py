import math

import numpy as np
import pytest
import torch

from lddmmlib import polyharmonic
from lddmmlib.widgets import WarpExplorer, base, warp_explorer

POLYHARMONIC = base.HERE / "polyharmonic.js"
CLOSE = {"rtol": 1e-8, "atol": 1e-8}
ORDERS, SMOOTHING = polyharmonic.ORDERS, (0.0, 0.3)


def random(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def small_one(**state):
    """A picture of 24 px, 5 points of which some lie on whole pixels, and where they are to be seen."""
    picture, source = 255 * random(3, 24, 24), 3 + 17 * random(5, 2, seed=1)
    target = (source + 5 * random(5, 2, seed=2) - 2.5).clamp(2, 21)
    target[0] = torch.tensor([7.0, 9.0])
    return WarpExplorer(picture, source.tolist(), target=target, **state)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def js_state(explorer):
    return explorer.get_state() | {"image": list(explorer.image)}


# ------------------------------------------------------------------ the script's mathematics is the library's


@pytest.mark.parametrize("smoothing", SMOOTHING)
@pytest.mark.parametrize("order", ORDERS)
def test_splines(js, order, smoothing):
    controls, values, points = 80 * random(9, 2), 30 * random(9, 2, seed=1), 120 * random(40, 2, seed=2) - 20
    points[:9] = controls
    found = js(POLYHARMONIC, "fit", controls, values, order, smoothing)
    wanted = polyharmonic.fit(controls, values, order, smoothing)
    for name in ("controls", "omega", "V", "b", "energy", "centre", "scale"):
        torch.testing.assert_close(tensor(found[name]), getattr(wanted, name), **CLOSE)
    at = js(POLYHARMONIC, "evaluate", found, points)
    torch.testing.assert_close(tensor(at), polyharmonic.evaluate(wanted, points), **CLOSE)


@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("smoothing", SMOOTHING)
@pytest.mark.parametrize("order", ORDERS)
def test_maps_and_pictures(js, order, smoothing, pinned):
    explorer = small_one(order=order, smoothing=smoothing, pinned=pinned)
    found, n = js(explorer, "mapped", js_state(explorer)), explorer.size
    move = tensor([[values[str(i)] for i in range(n * n)] for values in (found["u"], found["v"])]).reshape(2, n, n)
    torch.testing.assert_close(move, explorer.moves(), **CLOSE)
    det = tensor([found["det"][str(i)] for i in range(n * n)]).reshape(n, n)
    torch.testing.assert_close(det, explorer.determinants(), **CLOSE)
    assert found["energy"] == pytest.approx(explorer.spline().energy.item(), rel=1e-8, abs=1e-8)
    assert found["folded"] == (explorer.determinants() <= 0).double().mean()
    assert found["most"] == pytest.approx(explorer.moves().norm(dim=0).max().item())
    source, target = tensor(explorer.source), tensor(explorer.target)
    ends = target + polyharmonic.evaluate(explorer.spline(), target)
    assert found["missed"] >= (ends - source).norm(dim=-1).max() - 1e-8
    assert (found["missed"] > 0.1) == (smoothing > 0)
    rgba = js(explorer, "warped", js_state(explorer))
    shown = tensor([rgba[str(i)] for i in range(4 * n * n)]).reshape(n, n, 4).permute(2, 0, 1)
    torch.testing.assert_close(shown[:3], explorer.warped(), rtol=0, atol=1e-4)  # of 255 levels
    assert (shown[3] == 255).all()


@pytest.mark.parametrize("order", ORDERS)
def test_points_that_change_places_fold_the_plane(js, order):
    explorer = small_one(order=order)
    explorer.target = [*reversed(explorer.source[:2]), *explorer.source[2:]]
    share = (explorer.determinants() <= 0).double().mean().item()
    assert share > 0.01
    assert js(explorer, "mapped", js_state(explorer))["folded"] == share


def test_no_warp_is_the_picture_itself(js):
    explorer = small_one()
    explorer.target = explorer.source
    rgba = js(explorer, "warped", js_state(explorer))
    rows = np.array([rgba[str(i)] for i in range(4 * 24 * 24)]).reshape(-1, 4)
    assert rows[:, :3].astype(np.uint8).tobytes() == explorer.image
    assert js(explorer, "mapped", js_state(explorer))["most"] < 1e-10


def test_points_on_a_line_give_nothing_finite(js):
    line = [[3.0, 4.0], [6.0, 8.0], [9.0, 12.0]]
    assert js(POLYHARMONIC, "fit", line, line, 2, 0)["energy"] is not None
    found = js(POLYHARMONIC, "fit", [[5.0, 5.0]] * 3, line, 2, 0)
    assert found["energy"] == "NaN"
    assert js(WarpExplorer, "distinct", [[1, 1], [5, 5], [1.6, 1.6]]) is False
    assert js(WarpExplorer, "distinct", [[1, 1], [5, 5], [1.6, 2.6]]) is True


# ---------------------------------------------------------------------------------- what it is there to teach


def folded(**state):
    explorer = WarpExplorer(**state)
    return (explorer.determinants() <= 0).double().mean().item()


def test_the_questions_have_answers():
    explorer = WarpExplorer()
    target = np.array(explorer.target)
    corner = explorer.names.index("right corner of the mouth")
    x, y = np.round(explorer.source[corner]).astype(int)
    pulled = WarpExplorer(target=target + np.eye(12)[corner][:, None] * [5.0, 0.0])
    assert pulled.moves()[0, y, x] < explorer.moves()[0, y, x] - 2  # outwards, so that the grid moves inwards
    assert folded() == 0
    nose, eye = (explorer.names.index(name) for name in ("nose", "right eye, outer corner"))
    across = np.array(explorer.source)
    across[nose] = across[eye] + [4.0, -3.0]
    shares = [folded(target=across, order=order) for order in ORDERS]
    assert 0.001 < shares[0] < shares[1] < shares[2]
    assert folded(target=across, smoothing=10.0) == 0
    off = [
        WarpExplorer(pinned=False, order=order).moves()[:, [0, 0, -1, -1], [0, -1, 0, -1]].abs().max()
        for order in ORDERS
    ]
    assert off == sorted(off)
    assert off[0] > 0.5


# -------------------------------------------------------------------------------------------------- the class


@pytest.mark.parametrize(
    "state",
    [
        {"target": [[5.0, 5.0]]}, {"target": [[5.0, 5.0]] * 12}, {"order": 4}, {"order": "2"}, {"smoothing": -1.0},
        {"smoothing": math.inf}, {"selected": 12}, {"selected": -1}, {"source": [[math.nan, 0.0]]},
    ],
)  # fmt: skip
def test_impossible_states_are_refused(refused, state):
    refused(WarpExplorer(), state)


@pytest.mark.parametrize("bad", [0.0, 127.0, math.nan])
def test_targets_stay_inside_the_picture(refused, bad):
    explorer = WarpExplorer()
    refused(explorer, {"target": [*explorer.target[:3], [60.0, bad], *explorer.target[4:]]})


def test_own_pictures_and_points():
    explorer = small_one()
    assert explorer.names == [f"point {i}" for i in range(5)]
    assert torch.equal(explorer._picture().double(), (255 * random(3, 24, 24)).round())
    assert explorer.target != explorer.source


def test_picture_and_page_are_small(small):
    small(WarpExplorer(), 60_000, 190_000)  # the face alone is 65 kB


# ------------------------------------------------------------------------------------------------ in a browser


def agrees(it, explorer):
    """The numbers on the page are the library's of that state."""
    source, target = explorer._with_corners(explorer.source), explorer._with_corners(explorer.target)
    ends = target + polyharmonic.evaluate(explorer.spline(), target)
    wanted = {
        "bending energy": explorer.spline().energy,
        "largest move": explorer.moves().norm(dim=0).max(),
        "farthest point": (ends - source).norm(dim=-1).max(),
        "folded pixels": 100 * (explorer.determinants() <= 0).double().mean(),
    }
    for words, value in wanted.items():
        assert float(it.row(words)[0]) == pytest.approx(value.item(), abs=0.051), words


@pytest.mark.browser
def test_the_page_says_what_the_library_says(hand):
    it, explorer = hand(WarpExplorer()), WarpExplorer()
    agrees(it, explorer)
    for words, order in (("1: r", 1), ("3: r³", 3)):
        explorer.order = order
        agrees(it.choose(words), explorer)
    it.press(it.slider("smoothing"), *["ArrowRight"] * 8)
    explorer.smoothing = 0.01
    agrees(it, explorer)
    explorer.pinned = False
    agrees(it.choose("free"), explorer)
    it.button("Reset").click()
    agrees(it.settled(), WarpExplorer())
    it.button("No warp").click()
    assert [float(it.settled().row(words)[0]) for words in ("bending energy", "largest move")] == [0, 0]


@pytest.mark.browser
def test_a_point_by_keyboard(hand):
    it, explorer = hand(WarpExplorer()), WarpExplorer()
    heard, chin = it.listens(), it.slider("chin")
    assert it.said(chin) == "0.0 px right, 7.0 px down"
    it.press(chin, "ArrowDown", "Shift+ArrowLeft")
    assert it.said(chin) == "5.0 px left, 8.0 px down"
    explorer.target = [*explorer.target[:1], np.add(explorer.target[1], [-5.0, 1.0]).tolist(), *explorer.target[2:]]
    agrees(it, explorer)
    it.press(chin, "PageDown")
    assert it.said(it.slider("right cheek")) == "2.0 px right, 2.0 px down"
    it.press(it.slider("right cheek"), "Home")
    assert it.said(it.slider("right cheek")) == "0.0 px right, 0.0 px down"
    it.press(it.slider("right cheek"), *["Shift+ArrowRight"] * 30)
    explorer.target = [*explorer.target[:2], [126.0, explorer.source[2][1]], *explorer.target[3:]]
    agrees(it, explorer)  # it stays in the picture
    assert heard() == [True, 0]


@pytest.mark.browser
def test_a_point_by_mouse_and_folds(hand):
    it, explorer = hand(WarpExplorer()), WarpExplorer()
    result, origin = it.pixels()
    nose, box = explorer.names.index("nose"), it.canvases[0].bounding_box()
    side = box["width"] / 128
    start = [box["x"] + (explorer.target[nose][0] + 0.5) * side, box["y"] + (explorer.target[nose][1] + 0.5) * side]
    it.drag(start, (30 * side, -22 * side))
    moved = it.said(it.slider("nose")).replace(" px right, ", " ").split()
    assert float(moved[0]) == pytest.approx(30, abs=0.1)
    assert float(moved[1]) == pytest.approx(22, abs=0.1)
    at = np.round(np.add(explorer.source[nose], [30.0, -22.0]), 2).tolist()
    explorer.target = [*explorer.target[:nose], at, *explorer.target[nose + 1 :]]
    assert float(it.row("folded pixels")[0]) == pytest.approx(
        100 * (explorer.determinants() <= 0).double().mean().item(), abs=0.3
    )
    assert float(it.row("folded pixels")[0]) > 1
    assert it.pixels()[0] != result
    assert it.pixels()[1] != origin


@pytest.mark.browser
def test_two_points_never_meet(hand):
    it = hand(WarpExplorer())
    it.press(it.slider("chin"), "PageUp")
    start, end = it.middle(it.slider("left cheek")), it.canvases[0].bounding_box()
    chin = WarpExplorer().target[1]
    side = end["width"] / 128
    goal = end["x"] + (chin[0] + 0.5) * side, end["y"] + (chin[1] + 0.5) * side
    it.drag(start, (goal[0] - start[0], goal[1] - start[1]))
    it.press(it.slider("left cheek"), "PageDown", "PageUp")
    assert math.isfinite(float(it.row("bending energy")[0]))


@pytest.mark.browser
def test_two_on_a_page_are_independent(hands):
    one, two = hands(WarpExplorer(), WarpExplorer(order=1))
    other = two.pixels()
    one.choose("3: r³").choose("hidden").press(one.slider("chin"), "ArrowDown")
    assert two.settled().pixels() == other
    agrees(two, WarpExplorer(order=1))


@pytest.mark.browser
def test_what_it_came_to_is_said(spoken):
    energy = WarpExplorer(smoothing=0.00018).spline().energy.item()
    words = spoken(WarpExplorer(), "smoothing", "ArrowRight")
    assert words.startswith(f"Order 2: bending energy E (px²) {energy:.1f}, largest move")


def test_the_marks_are_the_schemes():
    assert all(0 <= i < 68 for i in warp_explorer.MARKS)
    assert len(WarpExplorer().names) == len(warp_explorer.MARKS)
