"""What holds for every explorer that a `Hand` drives: the theme reaches it, and it fits its page."""

import pytest

from lddmmlib import widgets
from lddmmlib.widgets.lars_explorer import EXAMPLES

NAMES = ["BiasMap", "CollisionExplorer", "CurrentExplorer", "FlowExplorer", "HeatmapExplorer", "SparseFaceExplorer"]
NAMES += ["EarthMover", "TransportExplorer", "WarpExplorer"]
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


@pytest.mark.browser
@every
@pytest.mark.parametrize("width", [320, 390, 600, 1280])
def test_fits_its_page(hand, explorer, width):
    hand(explorer(), viewport={"width": width, "height": 844}, has_touch=width < 600).fits(width)
