import numpy as np
import pytest
import torch
import traitlets

from lddmmlib import flows
from lddmmlib.widgets import CollisionExplorer, collision_explorer

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
MODELS = collision_explorer.MODELS
METHODS = ["euler", "rk2", "rk4"]


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def state_of(explorer):
    return {k: v for k, v in explorer.get_state().items() if not k.startswith("_")}


def library(explorer):
    """What the library says of each step: positions, momenta, energy."""
    found, p0 = explorer.flow(), explorer.started()[1]
    p = found.momenta if explorer.model == "shoot" else p0.expand_as(found.path)
    return found.path, p, flows.hamiltonian(found.path, p, explorer.sigma)


# ------------------------------------------------------------------ the script's mathematics is the library's


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("offset", [0.0, -33.0])
def test_ways_momenta_and_energy(js, model, method, offset):
    explorer = CollisionExplorer(model=model, method=method, offset=offset, ratio=1.6, steps=24)
    found = js(explorer, "run", state_of(explorer))
    x, p, energy = library(explorer)
    torch.testing.assert_close(tensor(found["path"]), x, **CLOSE)
    torch.testing.assert_close(tensor(found["momenta"]), p, **CLOSE)
    records = found["records"]
    np.testing.assert_allclose([r["H"] for r in records], energy, rtol=1e-9)
    np.testing.assert_allclose([r["own"] + r["shared"] for r in records], energy, rtol=1e-9)
    np.testing.assert_allclose([r["own"] for r in records], p.square().sum((1, 2)) / 2, rtol=1e-9)
    np.testing.assert_allclose([r["total"] for r in records], p.sum(1), atol=1e-9)
    np.testing.assert_allclose([r["distance"] for r in records], (x[:, 0] - x[:, 1]).norm(dim=-1), rtol=1e-9)
    angular = (x[..., 0] * p[..., 1] - x[..., 1] * p[..., 0]).sum(1)
    np.testing.assert_allclose([r["angular"] for r in records], angular, atol=1e-8)
    np.testing.assert_allclose([r["time"] for r in records], np.linspace(0, 1, 25))


@pytest.mark.parametrize("model", MODELS)
def test_the_grid_rides_along(js, model):
    explorer = CollisionExplorer(model=model, offset=20.0, steps=12)
    nodes = js(explorer, "run", state_of(explorer) | {"offset": 20.0}, 12)["nodes"]
    start = tensor(js(explorer, "run", state_of(explorer), 0)["nodes"])
    assert len(nodes) == 37 * 27
    torch.testing.assert_close(tensor(nodes), explorer.flow(start).points, **CLOSE)


# ---------------------------------------------------------------------------------- what it is there to teach


@pytest.mark.parametrize("ratio", [0.4, 1.0, 2.0])
def test_shooting_never_meets_and_conserves(ratio):
    for offset in (0.0, 25.0):
        x, p, energy = library(CollisionExplorer(momentum=100.0, ratio=ratio, offset=offset, steps=100))
        assert 100 * (1 + ratio) > 2 * collision_explorer.HALF  # alone they would pass through one another
        assert (x[:, 0] - x[:, 1]).norm(dim=-1).min() > 0.1
        angular = (x[..., 0] * p[..., 1] - x[..., 1] * p[..., 0]).sum(1)
        for kept in (energy, p.sum(1)[:, 0], angular):
            assert kept.sub(kept[0]).abs().max() < 1e-3 * (1 + kept[0].abs())
        if offset == 0:
            assert (x[:, 0, 0] < x[:, 1, 0]).all()


def test_constant_momenta_lose_the_energy_and_few_euler_steps_pass_through():
    *_, energy = library(CollisionExplorer(model="flow"))
    assert energy[-1] < 0.2 * energy[0]
    x, _, energy = library(CollisionExplorer(method="euler", steps=2, momentum=160.0))
    assert x[-1, 0, 0] > x[-1, 1, 0]
    *_, energy = library(CollisionExplorer(method="euler", steps=10))
    assert abs(energy[-1] / energy[0] - 1) > 0.02


# -------------------------------------------------------------------------------------------------- the class


@pytest.mark.parametrize(
    "state",
    [
        {"offset": 81.0}, {"momentum": -1.0}, {"ratio": 2.1}, {"sigma": 9.0}, {"sigma": float("nan")}, {"steps": 1},
        {"steps": 101}, {"time": -0.1}, {"model": "geodesic"}, {"method": "RK4"},
    ],
)  # fmt: skip
def test_impossible_states_are_refused(state):
    with pytest.raises(traitlets.TraitError):
        CollisionExplorer(**state)


@pytest.mark.parametrize("state", [{}, {"model": "flow"}, {"momentum": 0.0}, {"method": "euler", "steps": 2}])
def test_picture_and_page_are_small(small, state):
    small(CollisionExplorer(**state))


# ------------------------------------------------------------------------------------------------ in a browser


def agrees(hand, explorer):
    """The table is the library's, at the start and at the time that is shown."""
    x, p, energy = library(explorer)
    for column, k in enumerate((0, round(explorer.time * explorer.steps))):
        assert float(hand.row("energy")[column]) == pytest.approx(energy[k].item(), abs=0.51)
        assert float(hand.row("distance")[column]) == pytest.approx((x[k, 0] - x[k, 1]).norm().item(), abs=0.0051)
        total, sizes = (hand.row(words)[column].split(", ") for words in ("total", "|p₁|"))
        np.testing.assert_allclose([float(v) for v in total], p[k].sum(0), atol=0.51)
        np.testing.assert_allclose([float(v) for v in sizes], p[k].norm(dim=-1), atol=0.51)
        angular = (x[k, :, 0] * p[k, :, 1] - x[k, :, 1] * p[k, :, 0]).sum().item()
        assert float(hand.row("angular")[column]) == pytest.approx(angular, abs=0.51)


@pytest.mark.browser
def test_the_page_says_what_the_library_says(hand):
    explorer = CollisionExplorer()
    it = hand(explorer)
    agrees(it, explorer)
    for slider, keys, name, value in [
        ("momentum of", ["ArrowLeft"], "momentum", 70.0), (r"\|p₂\|", ["ArrowRight"] * 3, "ratio", 1.3),
        ("width", ["ArrowRight"], "sigma", 41.0), ("offset of their", ["ArrowRight"] * 4, "offset", 4.0),
        ("shown", ["ArrowLeft"] * 5, "time", 0.9), ("steps", ["ArrowLeft"] * 10, "steps", 40),
    ]:  # fmt: skip
        before = it.pixels()
        it.press(it.slider(slider), *keys)
        explorer.set_trait(name, value)
        agrees(it, explorer)
        assert it.pixels() != before
    for label, name, value in [
        ("constant momenta", "model", "flow"), ("Euler", "method", "euler"), ("geodesic shooting", "model", "shoot"),
        ("RK2", "method", "rk2"),
    ]:  # fmt: skip
        it.choose(label)
        explorer.set_trait(name, value)
        agrees(it, explorer)


@pytest.mark.browser
def test_offset_by_keyboard(hand):
    explorer = CollisionExplorer()
    it = hand(explorer)
    heard, handle = it.listens(), it.slider("offset of the first")
    it.press(handle, "ArrowDown", "Shift+ArrowDown", "ArrowUp")
    assert it.said(handle) == "10 px between the two lines"
    explorer.offset = 10.0
    agrees(it, explorer)
    it.press(handle, *["Shift+ArrowUp"] * 12)
    assert it.said(handle) == "-80 px between the two lines"
    it.press(handle, "Home")
    assert it.said(handle) == "0 px between the two lines"
    assert heard() == [True, 0]


@pytest.mark.browser
def test_offset_by_mouse(hand):
    explorer = CollisionExplorer()
    it = hand(explorer)
    handle, box = it.slider("offset of the first"), it.canvases[0].bounding_box()
    it.drag(it.middle(handle), (50, 24))
    explorer.offset = float(round(2 * 24 * 2 * 110 / box["width"]))
    assert it.said(handle) == f"{explorer.offset:.0f} px between the two lines"
    agrees(it, explorer)
    it.drag(it.middle(handle), (0, -4000))
    assert it.said(handle) == "-80 px between the two lines"


@pytest.mark.browser
def test_a_finger_moves_the_landmark_and_scrolls_beside_it(hand):
    it = hand(CollisionExplorer(), viewport={"width": 390, "height": 600}, has_touch=True, is_mobile=True)
    handle = it.slider("offset of the first")
    handle.scroll_into_view_if_needed()
    before = it.page.evaluate("scrollY")
    assert it.swipe(it.middle(handle), (0, -20)) == before
    assert it.said(handle).startswith("-")
    box = it.canvases[0].bounding_box()
    assert it.swipe((box["x"] + box["width"] - 20, box["y"] + 90), (0, -70)) > before


@pytest.mark.browser
def test_nothing_moves_without_momentum(hand):
    it = hand(CollisionExplorer(momentum=0.0))
    agrees(it, CollisionExplorer(momentum=0.0))


@pytest.mark.browser
def test_reset_and_two_on_a_page(hands):
    one, two = hands(CollisionExplorer(), CollisionExplorer(model="flow", sigma=60.0))
    start, other = one.pixels(), two.pixels()
    one.choose("Euler")
    for slider in ("steps", "width", "momentum", "shown", "offset of their"):
        one.press(one.slider(slider), "ArrowLeft")
    assert all(a != b for a, b in zip(one.pixels(), start, strict=True))
    assert two.pixels() == other
    one.button("Reset").click()
    one.page.mouse.move(0, 0)
    assert one.settled().pixels() == start
    agrees(two, CollisionExplorer(model="flow", sigma=60.0))


@pytest.mark.browser
def test_what_it_came_to_is_said(spoken):
    words = spoken(CollisionExplorer(), "offset of their", "ArrowRight")
    nearest = library(CollisionExplorer(offset=1.0))[0].diff(dim=1).norm(dim=-1).min()
    assert words == (
        f"geodesic shooting, RK4, 50 steps, offset 1 px. Nearest distance {nearest:.2f} px. "
        "Energy 100 % of the start, total momentum 0.0, 0.0 px."
    )


@pytest.mark.browser
def test_on_a_phone_the_plane_stays_in_sight_and_the_plots_scroll(hand):
    it = hand(CollisionExplorer(), viewport={"width": 390, "height": 844}, has_touch=True)
    it.slider("steps").scroll_into_view_if_needed()
    plane, energy, _ = (canvas.bounding_box() for canvas in it.settled().canvases)
    assert plane["y"] >= 0
    assert plane["y"] + plane["height"] <= it.slider("steps").bounding_box()["y"]
    before = it.page.evaluate("scrollY")
    it.page.evaluate("scrollBy(0, 40)")
    gone = it.settled().page.evaluate("scrollY") - before
    assert gone > 0
    stayed, moved, _ = (canvas.bounding_box() for canvas in it.canvases)
    assert moved["y"] == pytest.approx(energy["y"] - gone, abs=1)
    assert max(0, plane["y"] - gone) - 1 <= stayed["y"] <= plane["y"]
