import math
import re
from itertools import pairwise

import pytest
import torch
import traitlets

from lddmmlib import metrics
from lddmmlib.faces import schemes
from lddmmlib.widgets import MetricExplorer, base, metric_explorer

METRICS = base.HERE / "metrics.js"
SCHEMES = ["300w-68", "wflw-98", "helen-194"]
CLOSE = {"rel": 1e-12, "abs": 1e-14}


def random_faces(scheme, seed, count=2):
    """A face and its prediction, far from each other: nearest neighbours that are not partners."""
    generator = torch.Generator().manual_seed(seed)
    return 100 * torch.randn(count, schemes.get(scheme).n, 2, generator=generator, dtype=torch.float64)


def described(scheme, face):
    return MetricExplorer(face, scheme).scheme


# ------------------------------------------------------------------ the script's mathematics is the library's


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("seed", range(3))
def test_lengths_errors_and_nme(js, scheme, seed):
    pred, truth = random_faces(scheme, seed)
    found = js(METRICS, "lengths", truth, described(scheme, truth))
    assert set(found) == set(metrics.NORMALISERS)
    for name in metrics.NORMALISERS:
        length = metrics.reference_distance(truth, name, scheme).item()
        assert found[name] == pytest.approx(length, **CLOSE)
        each = metrics.errors(pred, truth, name, scheme).tolist()
        assert js(METRICS, "errors", pred, truth, length) == pytest.approx(each, **CLOSE)
        whole = metrics.nme(pred, truth, name, scheme).item()
        assert js(METRICS, "nme", pred, truth, length) == pytest.approx(whole, **CLOSE)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("normaliser", ["corners", "diagonal"])
def test_nme_curve(js, scheme, normaliser):
    pred, truth = random_faces(scheme, 5)
    of = described(scheme, truth)
    length = js(METRICS, "lengths", truth, of)[normaliser]
    found = js(METRICS, "nmeCurve", pred, truth, of["outlines"], length)
    wanted = metrics.nme_curve(pred, truth, scheme, normaliser=normaliser)._asdict()
    assert found == pytest.approx({name: value.item() for name, value in wanted.items()}, **CLOSE)


@pytest.mark.parametrize("shape", [(24,), (24, 68), (1,)])
def test_rates(js, shape):
    table = torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.3
    thresholds = [0.0, 0.05, table.flatten()[0].item(), 0.2, 1.0]  # one of them an error itself: "at most"
    assert js(METRICS, "ced", table, thresholds) == pytest.approx(metrics.ced(table, thresholds).tolist(), **CLOSE)
    for t in thresholds[1:]:
        assert js(METRICS, "auc", table, t) == pytest.approx(metrics.auc(table, t).item(), **CLOSE)
        assert js(METRICS, "failureRate", table, t) == pytest.approx(metrics.failure_rate(table, t).item(), **CLOSE)


def test_stairs_are_the_ced_and_bound_the_area(js):
    e = torch.tensor([0.05, 0.01, 0.01, 0.3, 0.12], dtype=torch.float64)
    steps = js(MetricExplorer, "stairs", e)
    for t in torch.linspace(0, 0.2, 41).tolist():
        level = max(y for x, y in steps if x <= 100 * t)
        assert level / 100 == pytest.approx(metrics.ced(e, [t]).item())
    area = sum((b[0] - a[0]) * a[1] for a, b in pairwise(steps)) / 1e4
    assert area / 0.2 == pytest.approx(metrics.auc(e, 0.2).item())


@pytest.mark.parametrize("degrees", [0.0, 17.0, 60.0])
def test_turned(js, face, degrees):
    out = metric_explorer.turned(face, degrees)
    assert torch.tensor(js(MetricExplorer, "turned", face, degrees), dtype=torch.float64).allclose(out, rtol=1e-12)
    assert out[:, 1].equal(face[:, 1])
    widths = [x.amax() - x.amin() for x in (out[:, 0], face[:, 0])]
    assert widths[0] / widths[1] == pytest.approx(math.cos(math.radians(degrees)))


@pytest.mark.parametrize("steps", [-2.0, -0.3, 0.0, 0.5, 1.0, 1.75, 40.0])
def test_slid(js, face, steps):
    chain = tuple(range(17))
    out = metric_explorer.slid(face, chain, steps)
    assert torch.tensor(js(MetricExplorer, "slid", face, chain, steps), dtype=torch.float64).allclose(out, rtol=1e-12)
    assert out[17:].equal(face[17:])
    if steps == 1:
        assert out[:17].allclose(face[[*range(1, 17), 16]])
    if steps == 0.5:
        assert out[:16].allclose((face[:16] + face[1:17]) / 2)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_spread_keeps_each_mean(js, share):
    totals = torch.tensor([0.02, 0.05, 0.0, 0.11], dtype=torch.float64)
    out = metric_explorer.spread(totals, share, 68)
    assert out.mean(1).allclose(totals)
    for i, total in enumerate(totals):
        assert js(MetricExplorer, "spread", total.item(), share, 68, 7 * i % 68) == pytest.approx(
            out[i].tolist(), **CLOSE
        )


@pytest.mark.parametrize("normaliser", metrics.NORMALISERS)
def test_the_test_set(js, face, normaliser):
    explorer = MetricExplorer(face, turn=35, slide=-1.4, share=0.4, normaliser=normaliser)
    found = torch.tensor(js(explorer, "testSet", explorer.get_state()), dtype=torch.float64)
    assert found.shape == (24, 68)
    assert found.allclose(explorer.test_set(), rtol=1e-12)


# ---------------------------------------------------------------------------------- what it is there to teach


def test_sliding_is_seen_by_nme_and_hardly_by_nme_curve(face):
    explorer = MetricExplorer(face, offsets=torch.zeros(68, 2), slide=1.0)
    truth, pred = explorer.one_face()
    nme, curve = metrics.nme(pred, truth, "corners"), metrics.nme_curve(pred, truth, "300w-68").value
    assert nme > 0.03
    assert curve < nme / 20
    explorer.slide = 0.5
    half = metrics.nme_curve(explorer.one_face()[1], truth, "300w-68").value
    assert half > 10 * curve  # between two landmarks it does notice


def test_turning_raises_corners_most_and_the_box_least(face):
    explorer = MetricExplorer(face)
    before = {n: metrics.nme(*reversed(explorer.one_face()), n) for n in metrics.NORMALISERS}
    explorer.turn = 60.0
    growth = {n: (metrics.nme(*reversed(explorer.one_face()), n) / before[n]).item() for n in metrics.NORMALISERS}
    assert growth["corners"] == pytest.approx(2, rel=1e-6)
    assert growth["diagonal"] == min(growth.values())
    assert growth["diagonal"] < growth["box"] < growth["corners"]


def test_two_sets_of_equal_nme_and_other_failures(face):
    spread, piled = (MetricExplorer(face, share=share).test_set() for share in (0.0, 1.0))
    for rate in (lambda t: metrics.failure_rate(t.mean(1), 0.1), lambda t: metrics.auc(t.mean(1), 0.1), torch.mean):
        assert rate(spread).item() == pytest.approx(rate(piled).item())
    low, high = (metrics.failure_rate(t, 0.1).item() for t in (piled, spread))
    assert 0 < low < high
    assert metrics.failure_rate(spread[:-1], 0.1) == metrics.failure_rate(spread[:-1].mean(1), 0.1)


# -------------------------------------------------------------------------------------------------- the class


def test_the_start_is_not_perfect_and_not_hopeless(face):
    set_ = MetricExplorer(face).test_set().mean(1)
    assert 0.005 < set_[-1] < 0.05
    assert 0 < metrics.failure_rate(set_, 0.1) < 0.3


def test_python_sets_and_reads(face):
    explorer = MetricExplorer(face.float(), offsets=torch.ones(68, 2), question="Why?")
    truth, pred = explorer.one_face()
    assert explorer.question == "Why?"
    assert (pred - truth).allclose(torch.ones(1, dtype=torch.float64))


@pytest.mark.parametrize("face", [torch.zeros(67, 2), torch.full((68, 2), torch.nan)])
def test_faces_of_another_scheme_or_with_holes_are_refused(face):
    with pytest.raises(ValueError, match="face"):
        MetricExplorer(face)


@pytest.mark.parametrize("scheme", ["cofw-29", "aflw-19"])
def test_schemes_without_a_jaw_line_are_refused(scheme):
    with pytest.raises(ValueError, match="jaw line"):
        MetricExplorer(torch.eye(schemes.get(scheme).n, 2), scheme)


@pytest.mark.parametrize("trait", ["selected", "image", "offsets", "pixels"])
def test_states_that_do_not_fit_the_face_are_refused(face, trait):
    explorer = MetricExplorer(face)
    before = getattr(explorer, trait)
    with pytest.raises(traitlets.TraitError, match=f"{trait}: needed"):
        setattr(explorer, trait, 68 if isinstance(before, int) else before[:-1])
    assert getattr(explorer, trait) == before


def test_the_mean_face_by_default():
    low, high = (f(torch.tensor(MetricExplorer().face), 0) for f in (torch.amin, torch.amax))
    assert (high - low)[1].item() == pytest.approx(180)
    assert ((low + high) / 2).tolist() == pytest.approx([127.5, 127.5])


@pytest.mark.parametrize(
    "state", [{"turn": 61.0}, {"threshold": 0.0}, {"share": float("nan")}, {"normaliser": "nose"}, {"selected": -1}]
)
def test_impossible_states_are_refused(face, state):
    with pytest.raises(traitlets.TraitError):
        MetricExplorer(face, **state)


def test_picture_is_small(face):
    data, _ = MetricExplorer(face)._repr_mimebundle_()
    assert len(data["image/png"]) < 60_000
    assert len(data["text/html"]) < 130_000


# ------------------------------------------------------------------------------------------------ in a browser


class Driver:
    """The parts of one explorer on a page, and what they say."""

    def __init__(self, page, nth=0):
        self.page, self.figure = page, page.locator("figure.sw").nth(nth)
        self.face, self.bars, self.ced = self.figure.locator("canvas").all()

    def slider(self, name):
        return self.figure.get_by_role("slider", name=re.compile(f"^{name}"))

    def press(self, node, *keys):
        node.focus()
        for key in keys:
            self.page.keyboard.press(key)
        return self.settled()

    def settled(self):
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return self

    def row(self, words):
        return (
            self.figure.get_by_role("row", name=re.compile(f"^{re.escape(words)}"))
            .get_by_role("cell")
            .all_inner_texts()
        )

    def said(self, node):
        return node.get_attribute("aria-valuetext")

    def pixels(self):
        return [canvas.evaluate("c => c.toDataURL()") for canvas in (self.face, self.bars, self.ced)]

    def middle(self, node):
        box = node.bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(self, start, by):
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(start[0] + by[0] / 2, start[1] + by[1] / 2)
        self.page.mouse.move(start[0] + by[0], start[1] + by[1])
        self.page.mouse.up()
        return self.settled()


def percent(value, digits=2):
    return f"{100 * value.item():.{digits}f}"


def agrees(driver, explorer):
    """Every number on the page is what the library says of the same state."""
    truth, pred = explorer.one_face()
    names = {
        "corners": "eye corners",
        "pupils": "pupils",
        "box": "box, √",
        "diagonal": "box, diagonal",
        "face": "face size",
    }
    for normaliser, words in names.items():
        length = metrics.reference_distance(truth, normaliser).item()
        assert driver.row(words) == [f"{length:.1f}", percent(metrics.nme(pred, truth, normaliser))]
    own, curve = (
        metrics.errors(pred, truth, explorer.normaliser),
        metrics.nme_curve(pred, truth, "300w-68", normaliser=explorer.normaliser),
    )
    for part, of in schemes.get("300w-68").parts.items():
        assert driver.row(part) == [percent(own[list(of)].mean()), percent(getattr(curve, part))]
    assert driver.row("whole face") == [percent(own.mean()), percent(curve.value)]
    table, t = explorer.test_set(), explorer.threshold
    images = table.mean(1)
    assert driver.row("mean NME")[0] == percent(images.mean())
    assert driver.row("AUC")[0] == percent(metrics.auc(images, t), 1)
    assert driver.row("FR per image")[0] == percent(metrics.failure_rate(images, t), 1)
    assert driver.row("FR per landmark")[0] == percent(metrics.failure_rate(table, t), 1)


@pytest.mark.browser
def test_the_page_says_what_the_library_says(live, face):
    explorer = MetricExplorer(face)
    driver = Driver(live(explorer))
    agrees(driver, explorer)
    for name, key, count, trait, value in [
        ("turn the head", "ArrowRight", 25, "turn", 25.0), ("slide the jaw", "ArrowLeft", 7, "slide", -0.7),
        ("part of each error", "PageUp", 3, "share", 0.3), ("threshold", "ArrowLeft", 9, "threshold", 0.055),
    ]:  # fmt: skip
        driver.press(driver.slider(name), *[key] * count)
        setattr(explorer, trait, value)
        agrees(driver, explorer)
    for normaliser, label in {"diagonal": "box, diagonal", "face": "face size, (w + h)/2"}.items():
        driver.figure.get_by_label(label).check()
        explorer.normaliser = normaliser
        agrees(driver.settled(), explorer)


@pytest.mark.browser
def test_landmarks_by_keyboard(live, face):
    driver = Driver(live(MetricExplorer(face)))
    handle = driver.slider("landmark")
    assert handle.get_attribute("aria-label").startswith("landmark 48")
    driver.press(handle, "Home")
    assert driver.said(handle) == "0.0 px off: 0.0 px right, 0.0 px down"
    driver.press(handle, "Shift+ArrowLeft", "ArrowUp", "ArrowUp", "ArrowRight", "ArrowDown")
    assert driver.said(handle) == "4.1 px off: 4.0 px left, 1.0 px up"
    driver.press(handle, "PageDown")
    assert handle.get_attribute("aria-label").startswith("landmark 49")
    driver.press(handle, "PageUp", "PageUp")
    assert handle.get_attribute("aria-label").startswith("landmark 47")
    chosen = driver.figure.get_by_label("selected point")
    assert chosen.input_value() == "47"
    chosen.select_option("30")
    assert driver.settled().slider("landmark 30").count() == 1


@pytest.mark.browser
def test_keys_stay_with_the_widget(live, face):
    """No arrow scrolls the page or reaches those who listen on it: the book turns pages at them, the notebook cells."""
    driver = Driver(live(MetricExplorer(face)))
    driver.page.evaluate("""() => {
      globalThis.pressed = []; globalThis.reached = [];
      addEventListener("keydown", e => pressed.push(e), true);
      document.addEventListener("keydown", e => reached.push(e.key));
    }""")
    for name in ("landmark", "image", "threshold"):
        driver.press(driver.slider(name), "ArrowLeft", "ArrowDown")
    assert driver.page.evaluate("pressed.map(e => e.defaultPrevented)") == [True] * 6
    for node in (
        driver.slider("turn"),
        driver.figure.get_by_label("selected point"),
        driver.figure.get_by_label("pupils"),
    ):
        driver.press(node, "ArrowRight")
    assert driver.page.evaluate("[pressed.length, reached.length]") == [9, 0]
    driver.press(driver.slider("landmark"), "Control+ArrowLeft", "a")
    assert driver.page.evaluate("reached.length") == 3  # what it has no use for it lets through


@pytest.mark.browser
def test_few_tab_stops_in_the_order_of_reading(live, face):
    driver, seen = Driver(live(MetricExplorer(face))), []
    for _ in range(13):
        driver.page.keyboard.press("Tab")
        seen.append(
            driver.page.evaluate("""() => { const a = document.activeElement;
          return a === document.body ? "" : a.ariaLabel ?? a.labels?.[0]?.innerText ?? a.innerText; }""")
        )
        ring = driver.page.evaluate("""() => { const a = document.activeElement;
          return [null, "::before"].map(part => getComputedStyle(a, part)).some(
            look => look.outlineStyle === "solid" && parseFloat(look.outlineWidth) >= 2); }""")
        assert ring or not seen[-1]
    starts = [
        "More to try",
        "landmark",
        "turn",
        "slide",
        "selected",
        "eye corners",
        "image",
        "part of",
        "threshold",
        "Keep",
        "Reset",
        "",
    ]
    assert [s.lower().startswith(w.lower()) for s, w in zip(seen, starts, strict=False)] == [True] * len(starts), seen


@pytest.mark.browser
def test_landmarks_by_mouse(live, face):
    explorer = MetricExplorer(face)
    driver = Driver(live(explorer))
    handle = driver.slider("landmark")
    driver.press(handle, "Home").drag(driver.middle(handle), (30, 0))
    scale = (driver.face.bounding_box()["width"] - 16) / (1.2 * (face.amax(0) - face.amin(0)).max().item())
    assert driver.said(handle) == f"{30 / scale:.1f} px off: {30 / scale:.1f} px right, 0.0 px down"
    # a press near another point picks that one up; a press on nothing does nothing
    box, low, high = driver.face.bounding_box(), face.amin(0), face.amax(0)
    origin = (low + high) / 2 - 0.6 * (high - low).max()
    x, y = (scale * (face[8] + torch.tensor(explorer.offsets[8]) - origin) + 8).tolist()
    driver.drag((box["x"] + x + 4, box["y"] + y + 3), (0, 20))
    assert handle.get_attribute("aria-label").startswith("landmark 8,")
    before = driver.pixels()
    driver.drag((box["x"] + 10, box["y"] + box["height"] - 10), (30, -30))
    assert driver.pixels() == before


@pytest.mark.browser
def test_a_landmark_stays_on_the_picture(live, face):
    driver = Driver(live(MetricExplorer(face)))
    handle = driver.slider("landmark")
    driver.drag(driver.middle(handle), (-3000, -3000))
    assert driver.middle(handle) == pytest.approx(
        (driver.face.bounding_box()["x"] + 8, driver.face.bounding_box()["y"] + 8), abs=1
    )


@pytest.mark.browser
def test_bars_and_threshold_by_keyboard_and_mouse(live, face):
    driver = Driver(live(MetricExplorer(face)))
    image, threshold = driver.slider("image"), driver.slider("threshold")
    assert image.get_attribute("aria-label") == "image 13, head turned 33°"

    def value():
        return float(driver.said(image).split()[1])

    before = value()
    driver.press(image, "ArrowUp", "ArrowUp", "Shift+ArrowUp", "ArrowDown")
    assert value() == pytest.approx(before + 3, abs=0.11)
    driver.press(image, "ArrowRight")
    assert image.get_attribute("aria-label") == "image 14, head turned 36°"
    driver.drag(driver.middle(image), (0, -2000))
    assert driver.said(image) == "NME 20.0 %"
    driver.drag(driver.middle(image), (0, 2000))
    assert driver.said(image) == "NME 0.0 %"
    box = driver.bars.bounding_box()
    driver.drag((box["x"] + 42, box["y"] + box["height"] - 51), (0, -20))  # the first bar, near its foot
    assert image.get_attribute("aria-label").startswith("image 1,")
    driver.press(threshold, "ArrowRight", "ArrowUp", "ArrowLeft", "Shift+ArrowLeft")
    assert driver.said(threshold) == "8.0 %"
    driver.drag(driver.middle(threshold), (4000, 0))
    assert driver.said(threshold) == "20.0 %"


@pytest.mark.browser
def test_touch_moves_points_and_scrolls_elsewhere(live, face):
    driver = Driver(live(MetricExplorer(face), viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True))
    finger = driver.page.context.new_cdp_session(driver.page)

    def swipe(start, by):
        def at(s):
            return [{"x": start[0] + s * by[0], "y": start[1] + s * by[1]}]

        finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": at(0)})
        for k in range(1, 6):
            finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": at(k / 5)})
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        driver.settled()
        return driver.page.evaluate("scrollY")

    handle = driver.slider("landmark")
    handle.scroll_into_view_if_needed()
    driver.press(handle, "Home")
    before = driver.page.evaluate("scrollY")
    assert swipe(driver.middle(handle), (0, -40)) == before  # on the handle
    assert re.fullmatch(r".* 0\.0 px right, [1-9].* px up", driver.said(handle))
    x, y = driver.middle(handle)
    driver.figure.get_by_label("selected point").select_option("8")
    assert swipe((x + 3, y), (0, -30)) == before  # near a point that is not the handle
    assert handle.get_attribute("aria-label").startswith("landmark 48")
    box = driver.face.bounding_box()
    assert swipe((box["x"] + 12, box["y"] + box["height"] - 12), (0, -120)) > before  # on the empty corner


@pytest.mark.browser
def test_keeping_a_set_and_reset(live, face):
    driver = Driver(live(MetricExplorer(face)))
    start = driver.pixels(), [driver.row(r) for r in ("whole face", "mean NME", "FR per landmark")]
    driver.figure.get_by_role("button", name="Keep").click()
    driver.press(driver.slider("part of"), "End")
    now, kept = driver.row("FR per landmark")
    assert [kept, "–"] == start[1][2]
    assert now != kept
    assert driver.row("mean NME")[0] == driver.row("mean NME")[1]
    driver.press(driver.slider("turn"), "End").press(driver.slider("slide"), "End").press(
        driver.slider("landmark"), "PageDown", "Home"
    )
    driver.figure.get_by_label("pupils").check()
    driver.press(driver.slider("image"), "ArrowLeft", "ArrowUp").press(driver.slider("threshold"), "ArrowLeft")
    assert all(a != b for a, b in zip(driver.pixels(), start[0], strict=True))
    driver.figure.get_by_role("button", name="Reset").click()
    driver.page.mouse.move(0, 0)
    assert driver.settled().pixels() == start[0]
    assert [driver.row(r) for r in ("whole face", "mean NME", "FR per landmark")] == start[1]


@pytest.mark.browser
def test_two_on_a_page_are_independent(live, face):
    page = live(MetricExplorer(face), MetricExplorer(face, turn=20))
    one, two = Driver(page), Driver(page, 1)
    before = two.pixels()
    one.press(one.slider("turn"), "End").figure.get_by_label("pupils").check()
    assert two.settled().pixels() == before
    assert two.figure.get_by_label("eye corners").is_checked()
    assert two.slider("turn").input_value() == "20"


@pytest.mark.browser
def test_what_it_came_to_is_said_once_and_late(pages, stage, face):
    page = pages()
    page.clock.install(time=0)
    page.goto(stage(MetricExplorer(face)))
    page.wait_for_selector("[data-sw=ready]")
    page.clock.pause_at(3600)
    page.clock.run_for(5000)
    driver, status = Driver(page), page.locator("div[role=status]")
    assert status.inner_text() == ""  # nothing is said unasked
    driver.slider("turn").focus()
    for _ in range(5):
        page.keyboard.press("PageUp")
        page.clock.run_for(500)
        assert status.inner_text() == ""
    page.clock.run_for(1500)
    explorer = MetricExplorer(face, turn=float(driver.slider("turn").input_value()))
    truth, pred = explorer.one_face()
    assert status.inner_text().startswith(f"Face: NME {percent(metrics.nme(pred, truth, 'corners'), 1)} %")
    assert page.locator("[aria-live=polite], [aria-live=assertive], [role=alert]").count() == 0


# --------------------------------------------------------------------------------------------------- looks


def luminance(colour):
    r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in colour))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(live, face, theme):
    page = live(MetricExplorer(face), theme=theme)
    hues = ["ink", "muted", "blue", "orange", "green", "purple"]
    colours = page.evaluate("""names => Object.fromEntries(names.map(name => {
      const probe = document.querySelector("figure.sw").appendChild(document.createElement("i"));
      probe.style.color = `var(--sw-${name})`;
      return [name, getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map(Number)];
    }))""", [*hues, "paper", "surface"])  # fmt: skip
    page_colour = [255, 255, 255] if theme == "light" else [20, 24, 30]
    assert colours["paper"] == page_colour
    for name in hues:
        assert contrast(colours[name], page_colour) >= 4.5, name
    assert contrast(colours["ink"], colours["surface"]) >= 4.5


@pytest.mark.browser
def test_the_theme_reaches_the_canvas_at_once(live, face):
    page = live(MetricExplorer(face))
    driver = Driver(page)
    light = driver.pixels()
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert all(a != b for a, b in zip(driver.settled().pixels(), light, strict=True))
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert driver.settled().pixels() == light


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 390, 600, 1280])
def test_fits_its_page(live, face, width):
    page = live(MetricExplorer(face), viewport={"width": width, "height": 800}, has_touch=width < 600)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [canvas.bounding_box() for canvas in page.locator("canvas").all()]
    side_by_side = boxes[1]["y"] == boxes[2]["y"]
    assert side_by_side == (width >= 600)
    for part in page.locator("figure.sw :is(input, select, button, label)").all():
        box = part.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width + 22  # a handle's unseen rim may reach over the edge
    for part in page.locator("figure.sw :is(input[type=range], select, button, .sw-radio)").all():
        assert part.bounding_box()["height"] >= (44 if width < 600 else 34)


@pytest.mark.browser
@pytest.mark.parametrize("sharpness", [1, 2, 3])
def test_canvases_are_as_sharp_as_the_screen(live, face, sharpness):
    page = live(MetricExplorer(face), device_scale_factor=sharpness)
    for canvas in page.locator("canvas").all():
        assert canvas.evaluate("c => c.width") == pytest.approx(sharpness * canvas.bounding_box()["width"], abs=1)


@pytest.mark.browser
def test_shown_late_it_draws_itself_then(pages, stage, face):
    page = pages()
    page.goto(stage(MetricExplorer(face)))
    page.add_style_tag(content="main { display: none; }")  # a closed tab, a folded answer
    page.wait_for_selector("[data-sw=ready]", state="attached")
    page.add_style_tag(content="main { display: block; }")
    page.wait_for_function(
        "[...document.querySelectorAll('canvas')].every(c => Math.abs(c.width - c.clientWidth) <= 1)"
    )


@pytest.mark.browser
def test_print_keeps_pictures_and_numbers_and_drops_controls(live, face):
    page = live(MetricExplorer(face))
    page.emulate_media(media="print")
    assert all(canvas.is_visible() for canvas in page.locator("canvas").all())
    assert page.locator("table").first.is_visible()
    assert not any(part.is_visible() for part in page.locator(".sw-control, .sw-button").all())
    assert page.pdf().startswith(b"%PDF")
