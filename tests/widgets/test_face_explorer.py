import re
import shutil
import zlib

import numpy as np
import pytest
import torch
import traitlets

from lddmmlib.faces import geometry, placements, schemes
from lddmmlib.faces.geometry import curves, head, surface
from lddmmlib.widgets import FaceExplorer, base, face_explorer

LOW, HIGH = np.array(list(geometry.EXPRESSIONS.values())).T
EXACT = {"rtol": 0, "atol": 1e-6}  # px; the task is 1e-5


def random_state(seed, scheme="300w-68"):
    """Any face that there may be, not only likely ones."""
    rng = np.random.default_rng(seed)
    pose = {name: float(rng.uniform(-most, most)) for name, most in face_explorer.DEGREES.items()}
    shape = {"identity": rng.uniform(-4, 4, 25).tolist(), "expression": rng.uniform(LOW, HIGH).tolist()}
    return shape | pose | {"scheme": scheme}


CORNERS = [  # every limit of the pose at once, lids shut, mouth shut and wide open
    {"identity": [0.0] * 25, "expression": e.tolist(), "yaw": a * 60.0, "pitch": b * 35.0, "roll": c * 45.0}
    for (a, b, c), e in zip([(1, 1, -1), (-1, 1, 1), (1, -1, 1), (0, 0, 0)], [LOW, HIGH, HIGH, 0 * LOW], strict=True)
]


@pytest.fixture(scope="module")
def numbers():
    """What a widget's bytes unpack to."""
    planes = np.frombuffer(zlib.decompress(FaceExplorer().arrays), np.uint8).reshape(4, -1)
    return np.ascontiguousarray(planes.T).view("<f4").ravel()


@pytest.fixture
def probe(tmp_path):
    """A script that has the whole mathematics of faces, for many faces at a call."""
    for name in ("geometry.js", "numbers.js", "face_explorer.js", "relief.js", "shared.js"):
        shutil.copy(base.HERE / name, tmp_path)
    (tmp_path / "probe.js").write_text(
        """import { curve, headOf, jawPlaces, mesh } from "./geometry.js";
import { dragged, framed, unpack } from "./face_explorer.js";
const heads = (numbers, tables) => headOf(unpack(numbers, tables.sizes), tables);
export const meshes = (numbers, tables, states) =>
  states.map(s => Array.from(mesh(framed(heads(numbers, tables), s))));
export const drawn = (numbers, tables, state, names, t) => {
  const face = framed(heads(numbers, tables), state);
  return [jawPlaces(face, t), ...names.map(name => curve(face, name, t))];
};
export const drags = (numbers, tables, state, targets) =>
  targets.map(target => dragged(heads(numbers, tables), state, target));
""",
        encoding="utf-8",
    )
    return tmp_path / "probe.js"


# ------------------------------------------------------------------ the script's mathematics is the library's


@pytest.mark.parametrize("scheme", placements.SCHEMES)
def test_landmarks_and_what_is_seen_of_them(js, numbers, scheme):
    states = [random_state(seed, scheme) for seed in range(4)] + [c | {"scheme": scheme} for c in CORNERS]
    found = js(FaceExplorer, "landmarksOf", numbers, face_explorer._tables(), states)
    hidden = 0
    for state, face in zip(states, found, strict=True):
        points, seen = FaceExplorer(**state).landmarks()
        torch.testing.assert_close(torch.tensor(face["points"], dtype=torch.float64)[:, :2], points, **EXACT)
        assert face["visible"] == seen.tolist()
        hidden += (~seen).sum().item()
    assert hidden > 0


def test_every_curve(js, numbers, probe):
    state, t = random_state(11), torch.linspace(0, 1, 23, dtype=torch.float64)
    found = js(probe, "drawn", numbers, face_explorer._tables(), state, geometry.CURVES, t)
    face = FaceExplorer(**state).face()
    jaw = geometry.to_camera(face, curves.hidden_jaw(face, tuple(t.tolist())))
    wanted = [jaw, *(geometry.curve(face, name, t) for name in geometry.CURVES)]
    for one, other, name in zip(found, wanted, ("the jaw itself", *geometry.CURVES), strict=True):
        torch.testing.assert_close(torch.tensor(one, dtype=torch.float64), other, msg=name, **EXACT)


def test_the_mesh(js, numbers, probe):
    states = [random_state(seed) for seed in range(3)]
    states.append(states[-1] | {"yaw": 0.0})  # the skin that is kept while the head turns is the right one's
    for state, flat in zip(states, js(probe, "meshes", numbers, face_explorer._tables(), states), strict=True):
        found = torch.tensor(flat, dtype=torch.float64).reshape(-1, 3)
        wanted, _ = geometry.mesh(FaceExplorer(**state).face())
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-2)  # weights are sent in single precision


def test_the_controls_are_the_surfaces_own():
    fill, m, first = face_explorer._fill(), surface.mesh(), face_explorer._before()
    with np.load(head.FACTS) as file:
        pull, give = surface.controls(torch.from_numpy(file["chart"]).double())
    weights = surface.thin_plate(pull.chart, fill, give) @ pull.weights
    torch.testing.assert_close(weights, m.weights[first : first + len(fill)])


def test_the_nose_follows_the_hand(js, numbers, probe):
    """Within the limits the tip of the nose comes to where it was dragged; beyond them the head stops at its limits."""
    state, rng = random_state(3) | {"yaw": 5.0, "pitch": -5.0}, np.random.default_rng(0)
    turns = rng.uniform([-59, -34], [59, 34], (8, 2))

    def tip(yaw, pitch):
        return geometry.curve(FaceExplorer(**state | {"yaw": yaw, "pitch": pitch}).face(), "nose_bridge", [1.0])[0, :2]

    targets = [tip(*turn).tolist() for turn in turns.tolist()]
    found = js(probe, "drags", numbers, face_explorer._tables(), state, [*targets, [9999, 9999], [-9999, -9999]])
    np.testing.assert_allclose(found[:-2], turns, atol=1e-6)
    assert np.abs(found[-2:]).max(0).tolist() == pytest.approx([60, 35])


# -------------------------------------------------------------------------------------------------- the class


@pytest.mark.parametrize(
    "state",
    [
        {"yaw": 61.0}, {"pitch": -36.0}, {"roll": float("nan")}, {"scheme": "68"}, {"identity": [0.0] * 24},
        {"identity": [4.1] + [0.0] * 24}, {"expression": [-0.1] + [0.0] * 9}, {"expression": [0.0] * 11},
    ],
)  # fmt: skip
def test_impossible_faces_are_refused(state):
    explorer = FaceExplorer()
    name, value = next(iter(state.items()))
    before = getattr(explorer, name)
    with pytest.raises(traitlets.TraitError):
        setattr(explorer, name, value)
    assert getattr(explorer, name) == before


def test_the_head_stays_in_the_picture():
    for state in CORNERS:
        outline = geometry.outline(FaceExplorer(**state).face())
        assert outline.min() > 0
        assert (outline.amax(0) < torch.tensor([face_explorer.WIDTH, face_explorer.HEIGHT])).all()


def test_the_faces_at_hand_are_the_librarys(js):
    rng = np.random.default_rng(7)
    for state in FaceExplorer().faces:
        drawn, mine = geometry.sample(rng), FaceExplorer(**state).face()
        np.testing.assert_allclose(mine.identity, drawn.identity, atol=0.0051)
        np.testing.assert_allclose(mine.expression, drawn.expression, atol=0.0051)
        assert mine.yaw == pytest.approx(drawn.yaw, abs=np.radians(0.51))
    assert len(FaceExplorer().faces) == face_explorer.FACES


def test_the_question_has_an_answer():
    """A turned jaw slides on its far side only; a pout is wide in a scheme with lips, nearly unseen in one without."""
    turned = FaceExplorer(yaw=50.0, scheme="wflw-98")
    _, seen = turned.landmarks()
    assert seen[:10].all()
    assert not seen[22:30].any()
    pout = np.eye(10)[list(geometry.EXPRESSIONS).index("pout")]

    def moved(scheme):
        rest, pouting = (FaceExplorer(expression=e, scheme=scheme).landmarks()[0] for e in (0 * pout, pout))
        return ((rest - pouting).norm(dim=-1) > 2).sum().item()

    assert moved("helen-194") > 40
    assert moved("aflw-19") < 6


def test_picture_and_page_are_small():
    data, _ = FaceExplorer(yaw=30.0)._repr_mimebundle_()
    assert len(data["image/png"]) < 60_000
    assert len(data["text/html"]) < 305_000


# ------------------------------------------------------------------------------------------------ in a browser


class Driver:
    """The parts of one explorer on a page, and what they say."""

    def __init__(self, page, nth=0):
        self.page, self.figure = page, page.locator("figure.sw").nth(nth)
        self.canvas = self.figure.locator("canvas")
        self.handle = self.slider("turn of the head")
        self.list = self.figure.get_by_role("combobox", name="scheme")
        self.count = self.figure.locator(".sw-count")

    def slider(self, name):
        return self.figure.get_by_role("slider", name=re.compile(f"^{name}$"))

    def press(self, node, *keys):
        node.focus()
        for key in keys:
            self.page.keyboard.press(key)
        return self.settled()

    def settled(self):
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return self

    def pixels(self):
        return self.canvas.evaluate("c => c.toDataURL()")

    def value(self, name):
        return float(self.slider(name).input_value())

    def pose(self):
        return [self.value(name) for name in ("yaw", "pitch", "roll")]

    def at(self, x, y):
        """Where a px of the picture is on the page."""
        box = self.canvas.bounding_box()
        scale = box["width"] / face_explorer.WIDTH
        return box["x"] + (x + 0.5) * scale, box["y"] + (y + 0.5) * scale

    def drag(self, start, by):
        self.page.mouse.move(*start)
        self.page.mouse.down()
        for k in (1, 2, 3):
            self.page.mouse.move(start[0] + by[0] * k / 3, start[1] + by[1] * k / 3)
        self.page.mouse.up()
        self.page.mouse.move(0, 0)
        return self.settled()


def agrees(driver, explorer):
    """The page counts what the library counts in the same state."""
    _, seen = explorer.landmarks()
    n, k = len(seen), int(seen.sum())
    assert driver.count.inner_text() == f"{explorer.scheme}: {k} of {n} landmarks seen, {n - k} hidden."


@pytest.mark.browser
def test_every_control_by_keyboard(live):
    explorer = FaceExplorer()
    driver = Driver(live(explorer))
    agrees(driver, explorer)
    for name, key, value in [("yaw", "End", 60.0), ("pitch", "Home", -35.0), ("roll", "ArrowRight", 1.0)]:
        driver.press(driver.slider(name), key)
        setattr(explorer, name, value)
        assert driver.value(name) == value
        agrees(driver, explorer)
    for k in range(face_explorer.SLIDERS):
        before = driver.pixels()
        driver.press(driver.slider(f"identity {k + 1}"), "PageUp")
        explorer.identity = np.where(np.arange(25) == k, driver.value(f"identity {k + 1}"), explorer.identity)
        assert explorer.identity[k] > 0
        assert driver.pixels() != before
        agrees(driver, explorer)
    driver.press(driver.slider("yaw"), *["ArrowLeft"] * 30)
    explorer.yaw = 30.0
    for k, name in enumerate(geometry.EXPRESSIONS):
        label = face_explorer_label(name)
        before = driver.pixels()
        driver.press(driver.slider(label), "End")
        explorer.expression = np.where(np.arange(10) == k, HIGH[k], explorer.expression)
        assert driver.value(label) == HIGH[k]
        assert driver.pixels() != before
        agrees(driver, explorer)
        if name == "eyes_closed":  # open again, so that the others show
            driver.press(driver.slider(label), "Home")
            explorer.expression = np.where(np.arange(10) == k, 0.0, explorer.expression)
    for scheme in placements.SCHEMES:
        driver.list.select_option(label=f"{scheme}: {schemes.get(scheme).n} landmarks")
        explorer.scheme = scheme
        agrees(driver.settled(), explorer)
    before = driver.pixels()
    driver.press(driver.figure.get_by_label("number the landmarks"), "Space")
    assert driver.pixels() != before


def face_explorer_label(name):
    return {"gaze_x": "gaze sideways", "gaze_y": "gaze down"}.get(name, name.replace("_", " "))


@pytest.mark.browser
def test_turning_by_keyboard(live):
    driver = Driver(live(FaceExplorer()))
    driver.page.evaluate("""() => {
      globalThis.pressed = []; globalThis.reached = [];
      addEventListener("keydown", e => pressed.push(e), true);
      document.addEventListener("keydown", e => reached.push(e.key));
    }""")
    driver.press(driver.handle, "ArrowRight", "ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown", "ArrowDown")
    assert driver.pose() == [2, -2, 0]
    assert driver.handle.get_attribute("aria-valuetext") == "yaw 2° right, pitch 2° down"
    assert driver.handle.get_attribute("aria-valuenow") == "2"
    driver.press(driver.handle, *["ArrowLeft"] * 40)
    assert driver.pose() == [-60, -2, 0]
    driver.press(driver.handle, "Home")
    assert driver.pose() == [0, 0, 0]
    assert driver.page.evaluate("[pressed.every(e => e.defaultPrevented), reached.length]") == [True, 0]
    driver.press(driver.slider("yaw"), "ArrowRight").press(driver.list, "ArrowDown")
    driver.press(driver.figure.get_by_label("number the landmarks"), "Space")
    assert driver.page.evaluate("reached.length") == 0


@pytest.mark.browser
def test_turning_by_mouse(live):
    """The nose follows the hand, wherever on the head it took hold; beside the head is nothing to hold."""
    explorer = FaceExplorer()
    driver = Driver(live(explorer))
    scale = driver.canvas.bounding_box()["width"] / face_explorer.WIDTH
    for start in (driver.at(140, 170), driver.at(140, 60)):
        driver.drag(start, (40, -12))
        explorer.yaw, explorer.pitch = driver.pose()[:2]
        rest, now = (geometry.curve(e.face(), "nose_bridge", [1.0])[0, :2].numpy() for e in (FaceExplorer(), explorer))
        np.testing.assert_allclose(now - rest, np.array([40, -12]) / scale, atol=1.5)  # whole degrees
        agrees(driver, explorer)
        driver.press(driver.handle, "Home")
    before = driver.pixels()
    driver.drag(driver.at(8, 8), (60, 0))
    assert driver.pixels() == before
    driver.drag(driver.at(140, 170), (4000, -4000))
    assert driver.pose() == [60, 35, 0]


@pytest.mark.browser
def test_a_finger_turns_the_head_and_scrolls_beside_it(live):
    driver = Driver(live(FaceExplorer(), viewport={"width": 390, "height": 690}, has_touch=True, is_mobile=True))
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

    driver.handle.scroll_into_view_if_needed()
    before = driver.page.evaluate("scrollY")
    assert swipe(driver.at(140, 60), (-50, -20)) == before
    yaw, pitch, _ = driver.pose()
    assert yaw < -10
    assert pitch > 3
    assert swipe(driver.at(10, 280), (0, -120)) > before
    assert driver.pose()[:2] == [yaw, pitch]


@pytest.mark.browser
def test_another_face_and_reset(live):
    driver, faces = Driver(live(FaceExplorer(roll=7.0))), FaceExplorer().faces
    start = driver.pixels(), driver.count.inner_text()
    for k in range(2):
        driver.figure.get_by_role("button", name="Another face").click()
        agrees(driver.settled(), FaceExplorer(**faces[k]))
        assert driver.pose() == [faces[k][name] for name in ("yaw", "pitch", "roll")]
    driver.list.select_option("3")
    driver.figure.get_by_label("number the landmarks").check()
    driver.figure.get_by_role("button", name="Reset").click()
    driver.page.mouse.move(0, 0)
    assert (driver.settled().pixels(), driver.count.inner_text()) == start
    assert driver.pose() == [0, 0, 7]
    assert not driver.figure.get_by_label("number the landmarks").is_checked()


@pytest.mark.browser
def test_two_on_a_page_are_independent(live):
    page = live(FaceExplorer(), FaceExplorer(yaw=20.0, scheme="aflw-19"))
    one, two = Driver(page), Driver(page, 1)
    before = two.pixels()
    one.press(one.slider("yaw"), "End").press(one.slider("smile"), "End").list.select_option("2")
    assert two.settled().pixels() == before
    agrees(two, FaceExplorer(yaw=20.0, scheme="aflw-19"))
    one.figure.get_by_role("button", name="Reset").click()
    agrees(one.settled(), FaceExplorer())


@pytest.mark.browser
def test_what_it_came_to_is_said(pages, stage):
    page = pages()
    page.clock.install(time=0)
    page.goto(stage(FaceExplorer()))
    page.wait_for_selector("[data-sw=ready]")
    page.clock.pause_at(3600)
    page.clock.run_for(5000)
    driver, status = Driver(page), page.locator("div[role=status]")
    assert status.inner_text() == ""
    driver.slider("yaw").focus()
    page.keyboard.press("End")
    page.clock.run_for(2500)
    _, seen = FaceExplorer(yaw=60.0).landmarks()
    assert status.inner_text().startswith(f"300w-68: {int(seen.sum())} of 68 landmarks seen")
    assert status.inner_text().endswith("Head: yaw 60° right, pitch 0°, roll 0°.")


@pytest.mark.browser
def test_where_the_bytes_are_broken_the_picture_stays(pages, stage):
    page = pages()
    page.goto(stage(FaceExplorer(arrays=b"nothing that inflates", alt="Still here")))
    page.wait_for_selector("[data-sw=error] img[alt='Still here']")
    assert page.trouble
    page.trouble.clear()


# --------------------------------------------------------------------------------------------------- looks


@pytest.mark.browser
def test_the_theme_reaches_the_clay(live):
    driver = Driver(live(FaceExplorer()))
    light = driver.pixels()
    driver.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert driver.settled().pixels() != light
    driver.page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert driver.settled().pixels() == light


@pytest.mark.browser
def test_landmarks_stand_out_from_the_clay(live):
    """The clay's own colour differs from the landmarks' by a contrast of 3, in both themes, filled or hollow."""
    for theme in ("light", "dark"):
        driver = Driver(live(FaceExplorer(), theme=theme))
        clay, dot = driver.canvas.evaluate(
            """(c, [from, to]) => [from, to].map(([u, v]) => [...c.getContext("2d").getImageData(
              Math.round(u * c.width), Math.round(v * c.height), 1, 1).data.slice(0, 3)])""",
            [[0.5, 0.25], tuple(((FaceExplorer().landmarks()[0][8] + 0.5) / torch.tensor([280, 300])).tolist())],
        )
        high, low = sorted((luminance(clay), luminance(dot)), reverse=True)
        assert (high + 0.05) / (low + 0.05) > (3 if theme == "light" else 1.5)


def luminance(colour):
    r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in colour))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 390, 600, 1280])
def test_fits_its_page(live, width):
    page = live(FaceExplorer(), viewport={"width": width, "height": 844}, has_touch=width < 600)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for part in page.locator("figure.sw :is(input, select, button, label, output)").all():
        box = part.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width + 1
    for part in page.locator("figure.sw .sw-control > span").all():
        lines = part.evaluate("e => e.getBoundingClientRect().height / parseFloat(getComputedStyle(e).lineHeight)")
        assert lines < 2.2  # one in most fonts, two in a wide one on a narrow phone
    for part in page.locator("figure.sw :is(input[type=range], select, .sw-button, .sw-radio)").all():
        assert part.bounding_box()["height"] >= (44 if width < 600 else 28)


@pytest.mark.browser
def test_on_a_phone_the_head_stays_in_sight_of_its_sliders(live):
    driver = Driver(live(FaceExplorer(), viewport={"width": 390, "height": 844}, has_touch=True))
    driver.slider("jaw sideways").scroll_into_view_if_needed()
    box, slider = driver.canvas.bounding_box(), driver.slider("jaw sideways").bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= slider["y"]
