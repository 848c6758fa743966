"""The match in the page: its objective is the library's, and its search ends as low as the library's."""

import numpy as np
import pytest
import torch

from lddmmlib import flows, matching
from lddmmlib.widgets import MatchExplorer
from lddmmlib.widgets.match_explorer import BETA, STEPS, TERMS

PULLED = [[20.0, 60.0], *MatchExplorer().target[1:]]
STATES = [
    {},
    {"gamma": 0.1, "terms": "landmarks"},
    {"sigma": 25.0, "terms": "curve"},
    {"target": PULLED, "sigma": 60.0},
]


def sent(explorer):
    return {name: getattr(explorer, name) for name in ("template", "target", "sigma", "gamma", "terms")}


def objective(explorer, momenta):
    x, y, p = (torch.tensor(value, dtype=torch.float64) for value in (explorer.template, explorer.target, momenta))
    curve, landmarks = TERMS[explorer.terms]
    flow = flows.shoot(x, p, explorer.sigma, STEPS)
    sigma_w = explorer.sigma / 2 if curve else None
    return matching.objective(flow, y, sigma_w, BETA, explorer.gamma, landmarks).item()


@pytest.mark.parametrize("state", STATES)
def test_the_script_finds_as_good_a_match_as_the_library(js, state):
    explorer = MatchExplorer(**state)
    found = js(explorer, "matched", sent(explorer))
    assert found["value"] == pytest.approx(objective(explorer, found["p0"]), rel=1e-6)
    assert found["value"] <= 1.03 * explorer.match().value.item() + 0.02


def test_the_objective_of_any_momenta_is_the_librarys(js):
    explorer, momenta = MatchExplorer(gamma=0.05), np.random.default_rng(0).normal(0, 5, (9, 2)).tolist()
    assert js(explorer, "objective", sent(explorer), momenta) == pytest.approx(objective(explorer, momenta), rel=1e-9)


def test_the_questions_have_answers():
    explorer = MatchExplorer(target=PULLED)
    off = {}
    for gamma in (0.001, 0.3):
        explorer.gamma = gamma
        off[gamma] = (explorer.match().deformed - torch.tensor(PULLED)).norm(dim=-1)
    assert off[0.001].max() < 1 < off[0.3].max() / 10  # dear motion gives up where it is farthest
    assert off[0.3].argmax() in (0, 8)  # at an end: what lies between has neighbours that go the same way
    still = MatchExplorer()
    still.target = still.template
    assert still.match().value.item() < 1e-6


@pytest.mark.parametrize(
    "state", [{"target": [[1.0, 2.0]]}, {"gamma": 0.0}, {"sigma": 10.0}, {"terms": "none"}, {"selected": 9}]
)
def test_impossible_states_are_refused(refused, state):
    refused(MatchExplorer(), state)


def test_picture_and_page_are_small(small):
    small(MatchExplorer())


@pytest.mark.browser
def test_a_target_is_dragged_and_the_page_says_what_the_library_says(hand):
    explorer = MatchExplorer()
    it = hand(explorer)
    ring, words = it.slider("target of point 2"), it.figure.locator(".sw-count")
    it.drag(it.middle(ring), (-20, 25))
    it.press(ring, "ArrowLeft", "PageDown", "Shift+ArrowDown")
    assert it.slider("target of point 3").is_visible()
    target = [list(point) for point in explorer.target]
    target[2][1] = round(target[2][1] + 10, 1)
    target[1] = it.place(it.press(it.slider("target of point 3"), "PageUp").slider("target of point 2"))
    explorer.target = target
    said = float(words.inner_text().split()[1])
    assert said <= 1.03 * explorer.match().value.item() + 0.03
    it.choose("landmarks").button("Play").click()
    it.button("Reset").click()
