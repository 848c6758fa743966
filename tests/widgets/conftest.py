"""A face of 68 landmarks, sketched: enough to measure errors on. And a hand that drives one widget on a page."""

import re

import numpy as np
import pytest
import torch
import traitlets


def arc(n, x, y, width, height, start, stop):
    """n points of an ellipse about (x, y), angles in half turns, 0 to the right and 0.5 down."""
    t = np.pi * np.linspace(start, stop, n)
    return np.stack([x + width * np.cos(t), y + height * np.sin(t)], -1)


@pytest.fixture(scope="session")
def face():
    eyes = [arc(7, x, 105, 14, 5, -1, 1)[:-1] for x in (95, 161)]
    lips = [arc(13, 128, 172, w, h, -1, 1)[:-1] for w, h in ((26, 11), (21, 4))]
    points = np.concatenate([
        arc(17, 128, 110, 78, 105, 1.05, -0.05),
        arc(5, 90, 92, 24, 12, -0.9, -0.1), arc(5, 166, 92, 24, 12, -0.9, -0.1),
        np.stack([np.full(4, 128), np.linspace(105, 138, 4)], -1), arc(5, 128, 144, 15, 6, 1, 0),
        *eyes, lips[0], lips[1][[0, 2, 3, 4, 6, 8, 9, 10]],
    ])  # fmt: skip
    return torch.from_numpy(points)


class Hand:
    """The parts of one widget on a page, what they say, and how they are moved."""

    def __init__(self, page, nth=0):
        self.page, self.figure = page, page.locator("figure.sw").nth(nth)
        self.figure.evaluate("f => f.querySelectorAll('details').forEach(fold => { fold.open = true; })")
        self.canvases = self.figure.locator("canvas").all()

    def slider(self, name):
        return self.figure.get_by_role("slider", name=re.compile(f"^{name}"))

    def button(self, name):
        return self.figure.get_by_role("button", name=name, exact=True)

    def row(self, words):
        rows = self.figure.get_by_role("row", name=re.compile(f"^{re.escape(words)}"))
        return [cell.replace("−", "-") for cell in rows.get_by_role("cell").all_inner_texts()]

    def shows(self, words, numbers, atol):
        """The row that begins with these words holds these numbers."""
        np.testing.assert_allclose([float(cell) for cell in self.row(words)], numbers, atol=atol, err_msg=words)

    def said(self, node):
        return node.get_attribute("aria-valuetext").replace("−", "-")

    def place(self, node):
        """The numbers of "x 1.0, y 2.0"."""
        return [float(part.split()[1]) for part in self.said(node).split(", ")]

    def press(self, node, *keys):
        node.focus()
        for key in keys:
            self.page.keyboard.press(key)
        return self.settled()

    def choose(self, label):
        self.figure.get_by_label(label, exact=True).check()
        return self.settled()

    def settled(self):
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return self

    def pixels(self):
        return [canvas.evaluate("c => c.toDataURL()") for canvas in self.canvases]

    def middle(self, node):
        box = node.bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(self, start, by):
        self.page.mouse.move(*start)
        self.page.mouse.down()
        for k in (1, 2, 3):
            self.page.mouse.move(start[0] + by[0] * k / 3, start[1] + by[1] * k / 3)
        self.page.mouse.up()
        self.page.mouse.move(0, 0)
        return self.settled()

    def swipe(self, start, by):
        """A finger's way over the screen; how far the page is scrolled after it."""
        finger = self.page.context.new_cdp_session(self.page)
        for kind, share in [("touchStart", 0), *(("touchMove", k / 5) for k in range(1, 6)), ("touchEnd", None)]:
            at = [] if share is None else [{"x": start[0] + share * by[0], "y": start[1] + share * by[1]}]
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
        self.settled()
        return self.page.evaluate("scrollY")

    def listens(self):
        """From now on: which keys the page gets to see, and which it would act on."""
        self.page.evaluate("""() => {
          globalThis.pressed = []; globalThis.reached = [];
          addEventListener("keydown", e => e.key !== "Shift" && pressed.push(e), true);
          document.addEventListener("keydown", e => e.key !== "Shift" && reached.push(e.key));
        }""")
        return lambda: self.page.evaluate("[pressed.every(e => e.defaultPrevented), reached.length]")

    def fits(self, width):
        """Nothing reaches over the page's edge; what is touched is as large as a thumb."""
        assert self.page.evaluate("document.documentElement.scrollWidth") <= width
        parts = ":is(input, select, button, label, output, td, th)"
        for left, right, _ in self.figure.locator(parts).evaluate_all(BOXES):
            assert left >= -22
            assert right <= width + 22  # a handle's unseen rim may reach over the edge
        for *_, height in self.figure.locator(":is(input[type=range], .sw-button, .sw-radio)").evaluate_all(BOXES):
            assert height >= (44 if width < 600 else 34)


# Left, right, height of each that is shown.
BOXES = """parts => parts.map(part => part.getBoundingClientRect()).filter(box => box.width || box.height)
  .map(box => [box.left, box.right, box.height])"""


@pytest.fixture
def fits(watched, stage):
    """fits(widget): it fits pages from 320 to 1280 px, with fingers on the narrow ones."""

    def check(widget):
        address = stage(widget)
        for width in (320, 390, 600, 1280):
            with watched(viewport={"width": width, "height": 844}, has_touch=width < 600) as page:
                page.goto(address)
                page.wait_for_selector("[data-sw=ready]")
                Hand(page).settled().fits(width)

    return check


@pytest.fixture
def hand(live):
    """hand(widget, **as of `live`): a `Hand` on that widget, alone on a page."""
    return lambda widget, **options: Hand(live(widget, **options))


@pytest.fixture
def hands(live):
    """hands(widget, widget, ...): a `Hand` on each of several on one page."""

    def on(*widgets, **options):
        page = live(*widgets, **options)
        return [Hand(page, i) for i in range(len(widgets))]

    return on


@pytest.fixture
def spoken(pages, stage):
    """spoken(widget, slider, *keys): what is said to who does not see, a while after the last key."""

    def say(widget, slider, *keys):
        page = pages()
        page.clock.install(time=0)
        page.goto(stage(widget))
        page.wait_for_selector("[data-sw=ready]")
        page.clock.pause_at(3600)
        page.clock.run_for(5000)
        status = page.locator("div[role=status]")
        assert status.inner_text() == ""  # nothing is said unasked
        Hand(page).slider(slider).focus()
        for key in keys:
            page.keyboard.press(key)
        page.clock.run_for(500)
        assert status.inner_text() == ""
        page.clock.run_for(2000)
        return status.inner_text().replace("−", "-")

    return say


@pytest.fixture
def refused():
    """refused(widget, {name: value}): the trait does not take it, and stays what it was."""

    def check(widget, state):
        ((name, value),) = state.items()
        before = getattr(widget, name)
        with pytest.raises(traitlets.TraitError):
            setattr(widget, name, value)
        assert getattr(widget, name) == before

    return check


@pytest.fixture
def small():
    """small(widget): its picture and its piece of a page, in bytes."""

    def check(widget, picture=60_000, page=150_000):
        data, _ = widget._repr_mimebundle_()
        assert len(data["image/png"]) < picture
        assert len(data["text/html"]) < page

    return check
