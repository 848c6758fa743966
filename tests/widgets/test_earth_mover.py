import numpy as np
import ot
import pytest

from lddmmlib.widgets import EarthMover

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
STATES = [
    {},
    {"eps": 0.25},
    {"eps": 16.0, "cost": "square"},
    {"eps": 1.0, "cost": "square", "u": [1.0, 0.0, 0.0, 0.3], "v": [0.0, 0.2, 0.7, 0.0]},
    {"u": [1.0, 0.0, 0.0, 0.0], "v": [0.0, 0.0, 0.0, 0.4]},
]


def of(state):
    mover = EarthMover(**state)
    return mover, {name: value for name, value in mover.get_state().items() if not name.startswith("_")}


def way(n, power=1):
    return np.abs(np.subtract.outer(np.arange(n), np.arange(n))).astype(float) ** power


# ------------------------------------------------------------------ the script's mathematics is the library's


@pytest.mark.parametrize("state", STATES)
def test_work_plan_and_losses(js, state):
    mover, sent = of(state)
    found, solved = js(mover, "found", sent), mover.transport()
    np.testing.assert_allclose([found["u"], found["v"]], mover.shares(), **CLOSE)
    for name, value in (("work", mover.work()), ("cost", solved.cost), ("value", solved.value)):
        np.testing.assert_allclose(found[name], value, **CLOSE, err_msg=name)
    assert found["steps"] == solved.n_iter
    plan = np.zeros((len(mover.u),) * 2)
    for i, j, mass in found["plan"]:
        plan[i, j] = mass
    np.testing.assert_allclose(plan, mover.plan(), atol=1.1e-5)
    np.testing.assert_allclose(found["crosses"], (mover.shares()[0] - mover.shares()[1]).cumsum(0)[:-1], **CLOSE)


def test_the_work_is_the_linear_programs():
    mover = EarthMover()
    u, v = mover.shares().numpy()
    assert mover.work() == pytest.approx(ot.emd2(u, v, way(10)))


# ---------------------------------------------------------------------------------- what it is there to teach


def test_the_questions_have_answers():
    start = EarthMover()
    raised = EarthMover(v=[*start.v[:-1], 1.0])
    crosses = [(m.shares()[0] - m.shares()[1]).cumsum(0)[:-1] for m in (start, raised)]
    assert (crosses[1][2:] > crosses[0][2:] + 0.01).all()  # all but the borders that nothing of v lies before
    assert np.allclose(*(x[:2] for x in crosses))

    def breadth(mover):
        return (mover.plan() > 0.005).sum().item()

    thick, thin = (EarthMover(eps=0.25, cost=cost) for cost in ("distance", "square"))
    assert breadth(thin) < 20 < 30 < breadth(thick)
    back = [np.tril(EarthMover(eps=eps).plan().numpy(), -1).sum() for eps in (0.25, 16.0)]
    assert back[0] < 0.01 < 0.05 < back[1]


# -------------------------------------------------------------------------------------------------- the class


@pytest.mark.parametrize(
    "state",
    [
        {"u": [0.0] * 4}, {"u": [0.5, 0.5]}, {"u": [0.1] * 5}, {"u": [0.1] * 18}, {"v": [0.5, 0.5, 0.5, 1.1]},
        {"v": [0.5, 0.5, 0.5, -0.1]}, {"v": [[0.5] * 4] * 4}, {"v": [0.5, 0.5, 0.5, float("nan")]}, {"eps": 0.2},
        {"cost": "cube"}, {"selected": 20}, {"selected": -1},
    ],
)  # fmt: skip
def test_impossible_states_are_refused(refused, state):
    refused(EarthMover(), state)


def test_rows_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="u, v: needed as many heaps of each, got 4 and 10"):
        EarthMover(u=[0.1] * 4).work()


@pytest.mark.parametrize("state", STATES[:3])
def test_picture_and_page_are_small(small, state):
    small(EarthMover(**state))


# ------------------------------------------------------------------------------------------------ in a browser


def agrees(hand, mover):
    """All numbers on the page are the library's of the same state."""
    found = mover.transport()
    for words, value in (("W1", mover.work()), ("cost", found.cost.item()), ("value", found.value.item())):
        assert [float(cell) for cell in hand.row(words)] == pytest.approx([value], abs=0.00051), words


@pytest.mark.browser
def test_the_page_says_what_the_library_says(hand):
    mover = EarthMover()
    it = hand(mover)
    agrees(it, mover)
    it.press(it.slider("ε"), "ArrowRight", "ArrowRight")
    mover.eps = 0.71
    agrees(it, mover)
    pixels = it.pixels()
    it.figure.get_by_label("|x − y|²", exact=True).check()
    mover.cost = "square"
    agrees(it.settled(), mover)
    assert it.pixels()[1] != pixels[1]
    it.button("Reset").click()
    agrees(it.settled(), EarthMover())


@pytest.mark.browser
def test_the_heaps_by_keyboard(hand):
    mover = EarthMover()
    it = hand(mover)
    heard, handle = it.listens(), it.figure.locator(".sw-handle")
    assert (handle.get_attribute("aria-label"), it.said(handle)) == ("heap 2 of u", "0.80")
    it.press(handle, "ArrowRight", "ArrowUp", "Shift+ArrowDown")
    mover.u = [0.5, 0.8, 0.4, *mover.u[3:]]
    agrees(it, mover)
    it.press(handle, *["PageDown"] * 9, "ArrowLeft", "ArrowDown")
    assert handle.get_attribute("aria-label") == "heap 1 of v"
    mover.v = [0.05, *mover.v[1:]]  # down is away from the middle
    agrees(it, mover)
    it.press(handle, *["Shift+ArrowUp"] * 2)
    assert it.said(handle) == "0.00"
    assert heard() == [True, 0]


@pytest.mark.browser
def test_the_heaps_by_mouse(hand):
    mover = EarthMover()
    it = hand(mover)
    box = it.canvases[0].bounding_box()
    unit = (box["height"] - 8) / 2.2
    tip = (box["x"] + 4 + (box["width"] - 8) * 6.5 / 10, box["y"] + box["height"] / 2 + 0.9 * unit)
    it.drag(tip, (40, -0.4 * unit))  # the seventh of v; sideways moves nothing
    mover.v = [*mover.v[:6], 0.5, *mover.v[7:]]
    agrees(it, mover)


@pytest.mark.browser
def test_the_last_earth_stays(hand):
    it = hand(EarthMover(u=[0.1, 0.0, 0.0, 0.0], v=[0.0, 0.0, 0.0, 1.0], selected=0))
    handle = it.figure.locator(".sw-handle")
    it.press(handle, "ArrowDown", "ArrowDown", "ArrowDown")
    assert it.said(handle) == "0.05"


@pytest.mark.browser
def test_what_it_came_to_is_said(spoken):
    mover = EarthMover(eps=0.59)
    words = spoken(EarthMover(), "ε", "ArrowRight")
    assert words.startswith(f"What crosses the borders adds up to {mover.work():.2f}; the plan costs ")
    assert words.endswith(f"after {mover.transport().n_iter} steps.")
