import numpy as np
import pytest
import torch
import traitlets

from lddmmlib import currents, kernels
from lddmmlib.widgets import CurrentExplorer, base, current_explorer

LDDMM = base.HERE / "lddmm.js"
CLOSE = {"rel": 1e-10, "abs": 1e-7}
SUMS = {"a": "‖A‖²", "b": "‖B‖²", "inner": "⟨A", "distance": "‖A − B‖²"}


def random_curves(seed):
    g = torch.Generator().manual_seed(seed)
    return [(20 * torch.randn(n, 2, generator=g, dtype=torch.float64)).cumsum(0) for n in (7, 11)]


# ------------------------------------------------------------------ the script's mathematics is the library's


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("sigma", [2.0, 30.0, 400.0])
def test_norm_and_distance(js, closed, sigma):
    for seed in range(3):
        a, b = random_curves(seed)
        norm = currents.norm2(a, sigma, closed).item()
        assert js(LDDMM, "norm2", a, sigma, closed) == pytest.approx(norm, **CLOSE)
        distance = currents.distance2(a, b, sigma, closed).item()
        assert js(LDDMM, "distance2", a, b, sigma, closed) == pytest.approx(distance, **CLOSE)
        assert distance > 0
        assert js(LDDMM, "distance2", a, a, sigma, closed) == pytest.approx(0, abs=1e-9)


def test_the_four_numbers(js):
    explorer = CurrentExplorer(*random_curves(4), sigma=25.0)
    found = js(explorer, "measured", explorer.get_state())["values"]
    assert found == pytest.approx(explorer.values(), **CLOSE)


def test_the_field(js):
    a, _ = random_curves(5)
    z = 30 * torch.randn(9, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = kernels.product(z, (a[1:] + a[:-1]) / 2, a.diff(dim=0), 25.0)
    current = js(LDDMM, "segments", a)
    found = [js(LDDMM, "fieldAt", current, place, 25.0) for place in z]
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    np.testing.assert_allclose(current_explorer._field(a, z, 25.0), wanted)


def test_split_keeps_the_line_and_coarsened_keeps_the_ends(js):
    a, _ = random_curves(6)
    split = np.array(js(LDDMM, "split", a))
    assert split.shape == (13, 2)
    np.testing.assert_allclose(split[::2], a)
    np.testing.assert_allclose(split[1::2], (a[1:] + a[:-1]) / 2)
    assert js(LDDMM, "coarsened", split) == a.tolist()
    for n, kept in [(2, [0, 1]), (3, [0, 2]), (4, [0, 2, 3]), (5, [0, 2, 4])]:
        assert js(LDDMM, "coarsened", a[:n]) == a[kept].tolist()


# ---------------------------------------------------------------------------------- what it is there to teach


def test_the_questions_have_answers():
    explorer = CurrentExplorer()
    start = explorer.values()
    explorer.b = explorer.b[::-1]
    flipped = explorer.values()
    assert flipped["b"] == pytest.approx(start["b"])
    assert flipped["inner"] == pytest.approx(-start["inner"])
    assert flipped["distance"] > 2 * start["distance"] > 0
    for sigma, rough in [(30.0, 0.2), (100.0, 0.01)]:
        explorer = CurrentExplorer(sigma=sigma)
        norms = [explorer.values()["b"]]
        for _ in range(4):
            explorer.b = split(explorer.b)
            norms.append(explorer.values()["b"])
        changes = [abs(one / other - 1) for one, other in zip(norms[1:], norms, strict=False)]
        assert changes[0] > rough > 8 * changes[-1]  # each segment is longer than a small σ
    far = CurrentExplorer(b=torch.tensor(CurrentExplorer().b) + 1000).values()
    assert far["distance"] == pytest.approx(far["a"] + far["b"])


def split(curve):
    curve = np.array(curve)
    return np.insert(curve, range(1, len(curve)), (curve[1:] + curve[:-1]) / 2, 0)


# -------------------------------------------------------------------------------------------------- the class


@pytest.mark.parametrize(
    "state",
    [
        {"a": [[0.0, 0.0]]}, {"b": [[0.0, 0.0, 0.0]] * 3}, {"b": [0.0, 1.0]}, {"a": [[0.0, float("nan")], [1.0, 1.0]]},
        {"sigma": 0.0}, {"sigma": float("nan")}, {"show": "c"}, {"curve": "A"}, {"selected": 5}, {"selected": -1},
    ],
)  # fmt: skip
def test_impossible_states_are_refused(refused, state):
    refused(CurrentExplorer(), state)


@pytest.mark.parametrize("curve", [torch.zeros(1, 2), torch.zeros(3, 3), torch.full((3, 2), torch.inf), [[0.0, 0.0]]])
@pytest.mark.parametrize("name", ["a", "b"])
def test_curves_that_are_none_are_refused(curve, name):
    with pytest.raises((TypeError, ValueError, traitlets.TraitError), match=name):
        CurrentExplorer(**{name: curve})


def test_a_shorter_curve_lets_go_of_a_point_that_is_gone():
    explorer = CurrentExplorer(selected=4)
    explorer.b = explorer.b[:3]
    assert explorer.selected == 2


@pytest.mark.parametrize("show", ["difference", "a", "b", "none"])
def test_picture_and_page_are_small(small, show):
    small(CurrentExplorer(show=show))


# ------------------------------------------------------------------------------------------------ in a browser


def agrees(hand, explorer):
    """The four numbers on the page are the library's of the same state."""
    wanted = explorer.values()
    for name, words in SUMS.items():
        value, share = hand.row(words)
        assert float(value) == pytest.approx(wanted[name], abs=0.51)
        assert float(share) == pytest.approx(100 * wanted[name] / wanted["a"], abs=0.51)


def edit(hand, curve, name):
    hand.figure.get_by_role("group", name=f"curve {curve}").get_by_role("button", name=name).click()
    return hand.settled()


@pytest.mark.browser
def test_the_page_says_what_the_library_says(hand):
    explorer = CurrentExplorer()
    it = hand(explorer)
    agrees(it, explorer)
    it.press(it.slider("width"), "ArrowRight", "ArrowRight")
    explorer.sigma = 32.0
    agrees(it, explorer)
    seen = {it.pixels()[0]}
    for label in ("A", "B", "none"):
        seen.add(it.choose(label).pixels()[0])
        agrees(it, explorer)
    assert len(seen) == 4


@pytest.mark.browser
def test_flip_split_coarsen(hand):
    explorer = CurrentExplorer()
    it = hand(explorer)
    before = it.pixels()
    edit(it, "B", "Flip")
    explorer.b = explorer.b[::-1]
    agrees(it, explorer)
    assert it.pixels() != before
    edit(it, "A", "Split")
    explorer.a = split(explorer.a)
    agrees(it, explorer)
    assert it.figure.get_by_text("A, 9 points").is_visible()
    edit(edit(it, "B", "Coarsen"), "B", "Coarsen")
    explorer.b = np.array(explorer.b)[[0, 4]]
    agrees(it, explorer)
    group = it.figure.get_by_role("group", name="curve B")
    assert group.get_by_role("button", name="Coarsen").is_disabled()
    for _ in range(5):
        edit(it, "B", "Split")
    assert it.figure.get_by_text("B, 33 points").is_visible()
    edit(it, "B", "Split")
    assert group.get_by_role("button", name="Split").is_disabled()
    it.button("Reset").click()
    agrees(it.settled(), CurrentExplorer())


@pytest.mark.browser
def test_points_by_keyboard(hand):
    explorer = CurrentExplorer()
    it = hand(explorer)
    heard, handle = it.listens(), it.slider("point ")
    x, y = explorer.b[0]
    assert it.said(handle) == f"x {x:.0f} px, y {y:.0f} px"
    it.press(handle, "ArrowRight", "Shift+ArrowDown", "ArrowUp")
    explorer.b = [[x + 1, y + 4], *explorer.b[1:]]
    agrees(it, explorer)
    it.press(handle, "PageUp")
    assert handle.get_attribute("aria-label") == "point 5 of curve A"
    it.press(handle, "ArrowLeft")
    explorer.a = [*explorer.a[:4], [explorer.a[4][0] - 1, explorer.a[4][1]]]
    agrees(it, explorer)
    it.press(handle, "PageDown", "PageDown")
    assert handle.get_attribute("aria-label") == "point 2 of curve B"
    assert heard() == [True, 0]


@pytest.mark.browser
def test_a_point_that_is_coarsened_away_is_let_go(hand):
    it = hand(CurrentExplorer(curve="b", selected=4))
    edit(it, "B", "Coarsen")
    handle = it.slider("point ")
    assert handle.get_attribute("aria-label") == "point 3 of curve B"
    it.press(handle, "ArrowRight")


@pytest.mark.browser
def test_points_by_mouse(hand):
    explorer = CurrentExplorer()
    it = hand(explorer)
    handle, box = it.slider("point "), it.canvases[0].bounding_box()
    (low, high), _ = frame(explorer)
    scale = box["width"] / (high - low)
    start = it.middle(handle)
    it.drag(start, (-30, 40))
    x, y = it.place(handle)
    assert (x, y) == pytest.approx((explorer.b[0][0] - 30 / scale, explorer.b[0][1] + 40 / scale), abs=0.51)
    at = [m + (explorer.a[2][k] - explorer.b[0][k]) * scale for k, m in enumerate(start)]
    it.drag(at, (0, -20))  # near the middle of A
    assert handle.get_attribute("aria-label") == "point 3 of curve A"
    before = it.pixels()
    it.drag((box["x"] + box["width"] / 2, box["y"] + 15), (10, 10))
    assert it.pixels() == before
    it.drag(it.middle(handle), (4000, 4000))
    assert it.middle(handle) == pytest.approx((box["x"] + box["width"], box["y"] + box["height"]), abs=1)


def frame(explorer):
    points, ratio = np.array([*explorer.a, *explorer.b]), 19 / 15
    low, high = points.min(0), points.max(0)
    half = 0.72 * max((high - low) / [ratio, 1])
    return [((a + b) / 2 - half * s, (a + b) / 2 + half * s) for a, b, s in zip(low, high, (ratio, 1), strict=True)]


@pytest.mark.browser
def test_two_on_a_page_are_independent(hands):
    one, two = hands(CurrentExplorer(), CurrentExplorer(sigma=12.0, show="a"))
    other = two.pixels()
    edit(one, "A", "Flip").choose("none").press(one.slider("width"), "End")
    assert two.settled().pixels() == other
    agrees(two, CurrentExplorer(sigma=12.0))


@pytest.mark.browser
def test_what_it_came_to_is_said(spoken):
    wanted = CurrentExplorer(sigma=31.0).values()
    assert spoken(CurrentExplorer(), "width", "ArrowRight") == (
        f"Squared norms: A {wanted['a']:.0f}, B {wanted['b']:.0f}. Inner product {wanted['inner']:.0f}. "
        f"Squared distance {wanted['distance']:.0f} px²."
    )
