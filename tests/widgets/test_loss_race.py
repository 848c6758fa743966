import numpy as np
import pytest
import torch

from lddmmlib.widgets import LossRace

STATES = [
    {},
    {"rival": "raw", "way": "point", "time": 0.4},
    {"rival": "cross_entropy", "target": [6.5, 9.0], "sigma": 2.0, "eps": 1.0, "time": 0.3},
    {"start": [12.0, 2.0], "target": [0.0, 15.0], "way": "point", "time": 0.15},
    {"time": 0.0},
]


def of(state):
    race = LossRace(**state)
    return race, {name: value for name, value in race.get_state().items() if not name.startswith("_")}


def steps(race):
    return round(100 * race.time)


# ------------------------------------------------------------------ the script's mathematics is the library's


@pytest.mark.parametrize("state", STATES)
def test_the_maps_are_those_of_torchs_adam(js, state):
    race, sent = of(state)
    found, wanted = js(race, "race", sent, steps(race)), race.maps()
    for name, u in wanted.items():
        assert u.sum() == pytest.approx(1.0)
        np.testing.assert_allclose(found[name], u.flatten(), atol=2e-3 * u.max(), err_msg=name)


def test_how_far_a_map_is_off(js):
    u = torch.zeros(16, 16)
    u[3, 4], u[3, 8] = 0.75, 0.25  # [row, column]
    assert js(LossRace, "off", u.flatten().tolist(), [5.0, 7.0]) == pytest.approx([4.0, 17**0.5])


# ---------------------------------------------------------------------------------- what it is there to teach


def test_the_question_has_answers():
    """W sets out at once and travels; the others stay, fade and appear. Cross-entropy is there first all the same."""
    begun = {rival: LossRace(rival=rival, time=0.1).distances() for rival in ("l2", "cross_entropy")}
    far = LossRace(time=0.0).distances()["w"]
    for rival in begun.values():
        assert rival["rival"] > 0.95 * far
        assert rival["w"] < 0.85 * far
    there = {rival: LossRace(rival=rival, way="point", time=0.4).distances() for rival in ("raw", "cross_entropy")}
    assert all(race["rival"] < 1 < 2 < race["w"] for race in there.values())
    fading = LossRace(rival="raw", way="point", time=0.15).maps()
    for name, peaks in (("rival", 2), ("w", 0)):  # half-way: at both places, or at one between
        u = fading[name]
        assert sum(bool(u[y, x] > 0.3 * u.max()) for x, y in ((3, 8), (11, 6))) == peaks


# -------------------------------------------------------------------------------------------------- the class


@pytest.mark.parametrize(
    "state",
    [
        {"target": [1.0]}, {"target": [1.0, 15.1]}, {"start": [-0.1, 3.0]}, {"target": [float("nan"), 3.0]},
        {"sigma": 0.7}, {"sigma": 3.1}, {"eps": 0.4}, {"time": 1.1}, {"rival": "l1"}, {"way": "exact"},
    ],
)  # fmt: skip
def test_impossible_states_are_refused(refused, state):
    refused(LossRace(), state)


def test_picture_and_page_are_small(small):
    small(LossRace(way="point"))


# ------------------------------------------------------------------------------------------------ in a browser


def agrees(hand, race):
    """What the page says of both means is what the library says."""
    words = hand.figure.locator(".sw-count").inner_text().replace("−", "-")
    far = race.distances()
    assert words.startswith(f"After {steps(race)} steps: the other loss {far['rival']:.1f} cells off on the mean")
    assert f"W {far['w']:.1f} cells off on the mean" in words


@pytest.mark.browser
def test_the_page_says_what_the_library_says(hand):
    race = LossRace()
    it = hand(race)
    agrees(it, race)
    heard = it.listens()
    it.press(it.slider("target, under W"), "ArrowLeft", "Shift+ArrowDown")
    race.target = [10.5, 8.0]
    agrees(it, race)
    assert heard() == [True, 0]
    assert it.said(it.slider("target, under the other")) == "x 10.5, y 8.0"
    it.choose("cross-entropy").choose("to the point, in closed form")
    race.rival, race.way = "cross_entropy", "point"
    agrees(it, race)
    it.button("Reset").click()
    agrees(it.settled(), LossRace())


@pytest.mark.browser
def test_it_plays(hand):
    it = hand(LossRace(way="point"))
    it.button("Play").click()
    it.page.wait_for_function("!document.querySelector('.sw-count').textContent.startsWith('After 20 ')")
    it.button("Stop").click()
    assert it.button("Play").is_visible()


@pytest.mark.browser
def test_the_target_by_mouse(hand):
    it = hand(LossRace(way="point"))
    handle, cell = it.slider("target, under the other"), it.canvases[0].bounding_box()["width"] / 16
    before = it.pixels()
    it.drag(it.middle(handle), (-60, 40))
    assert it.place(handle) == pytest.approx([11 - 60 / cell, 6 + 40 / cell], abs=0.051)
    assert all(a != b for a, b in zip(it.pixels(), before, strict=True))


@pytest.mark.browser
def test_what_it_came_to_is_said(spoken):
    words = spoken(LossRace(way="point"), "shown after", "ArrowRight")
    assert words.startswith("After 21 steps: the other loss ")
