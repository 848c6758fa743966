"""What holds for every explorer that a `Hand` drives: theme, size, fingers."""

import pytest

from lddmmlib import widgets
from lddmmlib.widgets.lars_explorer import EXAMPLES

NAMES = ["BiasMap", "CollisionExplorer", "CurrentExplorer", "FlowExplorer", "HeatmapExplorer", "SparseFaceExplorer"]
NAMES += [
    "DecoderExplorer",
    "EarthMover",
    "LossRace",
    "MatchExplorer",
    "PulledFace",
    "TransportExplorer",
    "WarpExplorer",
]
EXPLORERS = {name: getattr(widgets, name) for name in NAMES}
EXPLORERS |= {"LarsExplorer": lambda: widgets.LarsExplorer(**EXAMPLES["One that drops"])}  # the one with most controls
every = pytest.mark.parametrize("explorer", EXPLORERS.values(), ids=EXPLORERS)


@pytest.mark.browser
@every
def test_the_theme_reaches_the_canvas(hand, explorer):
    it = hand(explorer())
    light = it.pixels()
    it.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert all(a != b for a, b in zip(it.settled().pixels(), light, strict=True))
    it.page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert it.settled().pixels() == light


FITTED = EXPLORERS | {name: getattr(widgets, name) for name in ("FollowCascade", "WarpOnto")}


@pytest.mark.browser
@pytest.mark.parametrize("explorer", FITTED.values(), ids=FITTED)
def test_fits_its_page(fits, explorer):
    fits(explorer())


# A handle, the way of a finger that pulls it (px), and a place beside it, in shares of the canvas.
FINGERS = {
    "CurrentExplorer": ("point ", (15, 30), (0.5, 0.2)),
    "DecoderExplorer": ("landmark", (60, 30), (0.05, 0.94)),
    "FlowExplorer": ("momentum of point", (15, -30), (0.05, 0.94)),
    "HeatmapExplorer": ("true point", (15, 30), (0.05, 0.94)),
    "LarsExplorer": ("arrow", (-15, 30), (0.1, 0.88)),
    "LossRace": ("target, under the other", (-15, 30), (0.05, 0.94)),
    "MatchExplorer": ("target", (-15, 30), (0.03, 0.05)),
    "PulledFace": ("pull", (-15, 30), (0.03, 0.05)),
    "TransportExplorer": ("prediction", (15, 30), (0.05, 0.94)),
    "WarpExplorer": ("chin", (10, -20), (0.05, 0.95)),
}


@pytest.mark.browser
@pytest.mark.parametrize("name", FINGERS)
def test_a_finger_pulls_a_handle_and_scrolls_beside_it(hand, name):
    words, way, (x, y) = FINGERS[name]
    it = hand(getattr(widgets, name)(), viewport={"width": 390, "height": 600}, has_touch=True, is_mobile=True)
    handle = it.slider(words).first
    handle.scroll_into_view_if_needed()
    before, said = it.page.evaluate("scrollY"), it.said(handle)
    assert it.swipe(it.middle(handle), way) == before
    assert it.said(handle) != said
    box, said = it.canvases[0].bounding_box(), it.said(handle)
    assert it.swipe((box["x"] + x * box["width"], box["y"] + y * box["height"]), (0, -60)) > before
    assert it.said(handle) == said


CLASSES = [each for each in vars(widgets).values() if isinstance(each, type)]
WIDGETS = [each for each in CLASSES if issubclass(each, widgets.StaticWidget) and each is not widgets.StaticWidget]


@pytest.mark.parametrize("explorer", WIDGETS, ids=lambda each: each.__name__)
def test_a_misspelt_keyword_is_refused_by_name(explorer):
    """The nearest keyword is named, and all that there are; what Jupyter itself takes is taken."""
    with pytest.raises(
        TypeError,
        match=rf"{explorer.__name__}: needed keywords among .*question.*; got questions; did you mean question",
    ):
        explorer(questions="?")
    with pytest.raises(TypeError, match="; got something_else"):
        explorer(something_else=1)
    assert explorer(question="Why?", layout={"width": "50%"}).question == "Why?"
