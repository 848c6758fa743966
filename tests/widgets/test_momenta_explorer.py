import copy
import io
import re
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
import traitlets
from PIL import Image

from lddmmlib import metrics
from lddmmlib.data import crops
from lddmmlib.faces import schemes, statistics, synthetic
from lddmmlib.methods.lddmm_face import Deformation
from lddmmlib.networks import StackedHourglass
from lddmmlib.networks.momenta import HourglassMomenta
from lddmmlib.widgets import momenta_explorer
from lddmmlib.widgets.momenta_explorer import MomentaExplorer

SIDE, SIZE = 96, 64  # px of a picture, and of a crop
SCHEMES = ["300w-68", "wflw-98", "helen-194", "cofw-29"]
MODELS = {"released": ("released", None), "constant": ("certified", 20), "shoot": ("shoot", 20)}


def mean(scheme="300w-68"):
    points = schemes.convert(statistics.real_300w().mean, "300w-68", scheme)
    return (18 * points.nan_to_num(0) + 32).float()


def layer(preset="released", **options):
    return Deformation(mean(), "300w-68", preset=preset, **options)


@cache
def network(momenta=68):
    """A network that nobody trained, and whose momenta are of some pixels all the same."""
    torch.manual_seed(0)
    net = HourglassMomenta(StackedHourglass(momenta, 1, 1, channels=16, depth=2), momenta, hidden=16)
    with torch.no_grad():
        net.head.last.weight.mul_(6)
        for _ in range(3):
            net(torch.rand(8, 3, SIZE, SIZE))
    return net.eval()


@cache
def faces(count=3):
    pictures, boxes, truth = [], [], []
    for k in range(count):
        face = synthetic.sample(k, "studio", size=SIDE)
        pictures.append(face.image)
        boxes.append(crops.box(face.landmarks))
        truth.append(face.landmarks.double())
    return torch.stack(pictures), boxes, torch.stack(truth)


def made(net=None, of=None, means=None, **state):
    pictures, boxes, truth = faces()
    means = {"wflw-98": mean("wflw-98")} if means is None else means
    return MomentaExplorer(net or network(), of or layer(), SIZE, means, pictures, boxes, truth, gain=4.0, **state)


@pytest.fixture(scope="module")
def explorer():
    return made()


def state(explorer):
    return {name: getattr(explorer, name) for name in ("mean", "curves", "controls", "sigma", "schemes")}


def close(found, wanted, **tolerance):
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), wanted.double(), **tolerance)


# ------------------------------------------------------------------ the script's mathematics is the library's


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("coupled", [False, True])
def test_where_momenta_carry_each_scheme(js, model, coupled):
    preset, steps = MODELS[model]
    deformation = layer(preset, steps=steps, coupled=coupled).double()
    explorer = made(of=deformation, means={"wflw-98": mean("wflw-98").double()})
    momenta = 2 * torch.randn(1, 68, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for name in explorer.schemes:
        riders = deformation.riders(name, mean(name).double() if name != "300w-68" else None)
        wanted = deformation.carry(momenta, riders)[0]
        found = js(MomentaExplorer, "carried", state(explorer), momenta[0], name, model)
        close(found[-1], wanted, atol=1e-3, rtol=0)  # the mean faces are kept to four digits
        close(found[0], riders.points, atol=1e-4, rtol=0)
        assert (wanted - riders.points).norm(dim=-1).max() > 1
        assert len(found) == (3 if model == "released" else 21)


def test_landmarks_without_momenta_ride_along(js):
    subset = [i for i in range(68) if i % 3 != 1 or 27 <= i < 36]
    deformation = layer(subset=subset).double()
    explorer = made(network(len(subset)), deformation, {})
    assert explorer.controls == subset
    momenta = torch.randn(1, len(subset), 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = js(MomentaExplorer, "carried", state(explorer), momenta[0], "300w-68", "released")
    close(found[-1], deformation(momenta)[0], atol=1e-3, rtol=0)


def test_between_two_steps_the_way_is_straight(js):
    path = [[[0, 0]], [[4, 2]], [[4, 8]]]
    for time, wanted in [(0, [0, 0]), (0.25, [2, 1]), (0.5, [4, 2]), (0.75, [4, 5]), (1, [4, 8])]:
        assert js(MomentaExplorer, "at", path, time) == [wanted]


def test_error(js):
    truth = faces()[2][0]
    found = truth + torch.randn(68, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = metrics.nme(found, truth, "corners", "300w-68").item()
    assert js(MomentaExplorer, "nme", found, truth, schemes.get("300w-68").corners) == pytest.approx(wanted)


# -------------------------------------------------------------------------------------------------- the class


def test_landmarks_are_those_of_the_network_and_its_layer(explorer):
    pictures, boxes, _ = faces()
    net, deformation = network(), layer()
    for k in range(3):
        x, y, w, h = boxes[k]
        side = max(w, h)
        affine = crops.frame((x + (w - side) / 2, y + (h - side) / 2, side, side), SIZE)
        with torch.no_grad():
            momenta = net(crops.cut(pictures[k], affine, SIZE)[None].float() / 255)
            end = deformation(momenta)[0].double()
        explorer.face = k
        torch.testing.assert_close(explorer.momenta(), momenta[0].double(), atol=1e-3, rtol=0)
        torch.testing.assert_close(explorer.landmarks(), crops.apply(crops.inverse(affine), end), atol=1e-2, rtol=0)
    assert explorer.landmarks("wflw-98").shape == (98, 2)
    explorer.face = 0


@pytest.mark.parametrize(
    "state",
    [{"face": 4}, {"face": -1}, {"selected": 68}, {"scheme": "helen-194"}, {"model": "euler"}, {"time": 1.5},
     {"pulls": [[0.0, 0.0]]}, {"box": [0, 0, 1]}, {"box": [0, 0, -1, 1]}, {"gain": 0.0},
     {"pulls": [[float("nan"), 0.0]] * 68}],
)  # fmt: skip
def test_impossible_states_are_refused(explorer, refused, state):
    refused(explorer, state)


def test_impossible_states_are_refused_from_the_start():
    with pytest.raises(traitlets.TraitError, match="scheme: needed 300w-68, wflw-98, got helen-194"):
        made(scheme="helen-194")


def test_pictures_that_are_none_are_refused():
    pictures, boxes, truth = faces()
    for wrong in (pictures.float(), pictures[0], pictures[:, :1], pictures[..., :-1]):
        with pytest.raises(ValueError, match="pictures: needed"):
            MomentaExplorer(network(), layer(), SIZE, {}, wrong, boxes, truth)
    with pytest.raises(ValueError, match="model: needed evaluation mode"):
        MomentaExplorer(copy.deepcopy(network()).train(), layer(), SIZE, {}, pictures, boxes, truth)


def test_python_never_has_the_photograph(explorer):
    other = made(face=3)
    with pytest.raises(ValueError, match="face: needed a drawn face, got the reader's photograph"):
        other.landmarks()
    assert other.picture() is None


def test_a_face_comes_with_its_square(explorer):
    other = made(face=1, pulls=np.ones((68, 2)))
    assert other.box == other.boxes[1]
    assert other.pulls == [[1, 1]] * 68
    other.face = 2
    assert other.box == other.boxes[2]
    assert other.pulls == [[0, 0]] * 68


def test_what_is_kept_is_shown_again(explorer, tmp_path, monkeypatch):
    path = tmp_path / "kept.npz"
    explorer.keep(path)
    monkeypatch.setattr(momenta_explorer, "KEPT", path)
    again = MomentaExplorer(scheme="wflw-98", time=0.5)
    names = ("network", "pictures", "mean", "curves", "sigma", "schemes", "boxes", "truth", "gain", "box", "source")
    assert all(getattr(again, name) == getattr(explorer, name) for name in names)
    assert (again.scheme, again.time) == ("wflw-98", 0.5)
    assert torch.equal(again.landmarks("300w-68"), explorer.landmarks("300w-68"))
    monkeypatch.setattr(momenta_explorer, "KEPT", tmp_path / "none.npz")
    with pytest.raises(ValueError, match="network: needed the network, its layer and faces"):
        MomentaExplorer()


def test_the_network_that_is_shipped_finds_faces_that_it_has_not_seen():
    """Three quarters of its twenty faces within a tenth of the corner distance; the mean face is farther off."""
    it, errors, still = MomentaExplorer(), [], []
    assert it.sheet[0] == 20
    assert set(it.schemes) == {"300w-68", "wflw-98", "helen-194", "cofw-29"}
    for it.face in range(20):
        truth = torch.tensor(it.truth[it.face], dtype=torch.float64)
        errors.append(metrics.nme(it.landmarks(), truth, "corners", "300w-68").item())
        it.pulls = -it.momenta().numpy()
        still.append(metrics.nme(it.landmarks(), truth, "corners", "300w-68").item())
    assert sorted(errors)[14] < 0.1
    assert sum(errors) < 0.6 * sum(still)


def test_lines_join_a_scheme_whole():
    """Each segment once, in the colour of the curve that its first point rides with."""
    explorer = made()
    for name, of in explorer.schemes.items():
        scheme = schemes.get(name)
        segments = [pair for _, line in of["lines"] for pair in pairwise(line)]
        around = [i + i[: name in scheme.closed] for name, i in scheme.curves.items()]
        wanted = [pair for whole in around for pair in pairwise(whole)]
        assert segments == wanted
        assert all(line[0] in of["groups"][c] for c, line in of["lines"])


def test_picture_and_page_are_small(explorer, small):
    small(explorer, 90_000, 500_000)


# ------------------------------------------------------------------------------------------------ in a browser


def numbers(text):
    """The numbers of "2.00 px right, 1.00 px up" as x and y."""
    one, two = text.split(", ")
    sign = {"left": -1, "right": 1, "up": -1, "down": 1}
    return [float(part.split()[0]) * sign[part.split()[2]] for part in (one, two)]


def read(it, count=5):
    """The first momenta, as the page says them."""
    handle = it.slider("momentum of landmark")
    said = []
    for _ in range(count):
        said.append(numbers(it.said(handle)))
        it.press(handle, "PageDown")
    for _ in range(count):
        it.press(handle, "PageUp")
    return said


@pytest.mark.browser
def test_the_page_reads_what_python_reads(hand, explorer):
    it = hand(explorer)
    for k in (0, 2):
        it.figure.get_by_role("radio", name=f"drawn face {k + 1}", exact=True).check(force=True)
        it.settled()
        explorer.face = k
        np.testing.assert_allclose(read(it), explorer.momenta()[:5], atol=0.03)  # the pictures went through a JPEG
        error = metrics.nme(explorer.landmarks(), faces()[2][k], "corners", "300w-68").item()
        said = float(re.search(r"Mean error ([\d.]+) %", it.figure.locator(".sw-count").inner_text())[1])
        assert said == pytest.approx(100 * error, abs=0.3)
    explorer.face = 0


@pytest.mark.browser
def test_a_momentum_is_pulled_and_the_face_follows(hand, explorer):
    it = hand(explorer)
    heard, handle = it.listens(), it.slider("momentum of landmark")
    x, y = numbers(it.said(handle))
    before = it.pixels()
    it.press(handle, "ArrowRight", "Shift+ArrowDown")
    assert numbers(it.said(handle)) == pytest.approx([x + 0.25, y + 1.25], abs=0.011)  # arrows are four times as long
    assert all(a != b for a, b in zip(it.pixels(), before, strict=True))
    assert "1 pulled" in it.figure.locator(".sw-count").inner_text()
    it.press(handle, "Home")
    assert it.pixels() == before
    assert heard() == [True, 0]
    it.drag(it.middle(handle), (30, 10))
    assert numbers(it.said(handle))[0] > x
    it.button("As predicted").click()
    it.page.mouse.move(0, 0)
    assert numbers(it.said(handle)) == pytest.approx([x, y])


@pytest.mark.browser
def test_schemes_flows_and_time(hand, explorer):
    it = hand(explorer)
    seen = [it.pixels()]
    for label in ("98", "geodesic shooting", "the same flow in 20 steps"):
        it.choose(label)
        seen.append(it.pixels())
    it.press(it.slider("shown until"), "Home")
    seen.append(it.pixels())
    assert len({pixels[0] for pixels in seen}) == 5
    it.button("Play").click()
    it.page.wait_for_function("document.querySelector('input[type=range]').value === '1'")
    it.button("Play").wait_for()
    assert it.settled().pixels() == seen[3]
    it.button("Reset").click()
    it.page.mouse.move(0, 0)
    assert it.settled().pixels() == seen[0]


@pytest.mark.browser
def test_play_can_be_stopped(hand, explorer):
    it = hand(explorer)
    it.button("Play").click()
    it.button("Stop").click()
    time = it.said(it.slider("shown until"))
    it.page.wait_for_timeout(200)
    assert it.said(it.slider("shown until")) == time != "1.00"


@pytest.mark.browser
def test_the_square_is_moved_and_resized(hand, explorer):
    it = hand(explorer)
    place, size = it.slider("square around the face, place"), it.slider("square around the face, size")
    before, momenta = it.pixels(), read(it, 2)
    it.press(place, "ArrowLeft", "Shift+ArrowUp")
    it.press(size, "ArrowRight")
    moved = it.pixels()
    assert moved[0] != before[0]
    assert read(it, 2) != momenta
    it.drag(it.middle(size), (20, 20))
    box = it.canvases[0].bounding_box()
    it.drag((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2), (15, 0))  # by its inside
    assert it.pixels()[0] != moved[0]
    it.drag(it.middle(size), (-2000, -2000))
    assert float(it.said(size).split()[0]) == pytest.approx(0.08 * SIDE, abs=0.51)


def photograph(width=500, height=400):
    """A face that is on no sheet, on a larger picture, as a PNG."""
    face = synthetic.sample(9, "studio", size=320).image
    whole = torch.full((3, height, width), 90, dtype=torch.uint8)
    whole[:, 40:360, 90:410] = face
    file = io.BytesIO()
    Image.fromarray(whole.permute(1, 2, 0).numpy()).save(file, format="png")
    return whole, file.getvalue()


def expected(whole, box):
    with torch.no_grad():
        return network()(crops.cut(whole, crops.frame(box, SIZE), SIZE)[None].float() / 255)[0]


@pytest.mark.browser
@pytest.mark.parametrize("way", ["chosen", "dropped"])
def test_a_photograph_is_read_and_never_sent(hand, explorer, way):
    whole, png = photograph()
    it, asked = hand(explorer), []
    it.page.on("request", lambda request: asked.append(request.url))
    before = it.pixels()
    if way == "chosen":
        with it.page.expect_file_chooser() as chooser:
            it.press(it.button("Your own photograph…"), "Enter")
        chooser.value.set_files({"name": "me.png", "mimeType": "image/png", "buffer": png})
    else:
        given = it.page.evaluate_handle(
            """png => { const all = new DataTransfer(); all.items.add(new File([Uint8Array.from(png)], "me.png"));
            return all; }""",
            list(png),
        )
        it.figure.locator(".sw-stage").first.dispatch_event("dragover", {"dataTransfer": given})
        assert it.figure.locator(".sw-over").count() == 1
        it.figure.locator(".sw-stage").first.dispatch_event("drop", {"dataTransfer": given})
    it.figure.get_by_text("Your photograph stays on this page").wait_for()
    assert it.figure.locator(".sw-over").count() == 0
    assert it.settled().pixels() != before
    side = 0.6 * 400
    wanted = expected(whole, ((500 - 1 - side) / 2, (400 - 1 - side) / 2, side, side))
    np.testing.assert_allclose(read(it), wanted[:5], atol=0.03)
    assert "Mean error" not in it.figure.locator(".sw-count").inner_text()
    it.press(it.slider("square around the face, place"), "ArrowRight")
    wanted = expected(whole, ((500 - 1 - side) / 2 + 5, (400 - 1 - side) / 2, side, side))  # a hundredth of 500 px
    np.testing.assert_allclose(read(it), wanted[:5], atol=0.03)
    assert asked == []
    it.button("Reset").click()
    it.page.mouse.move(0, 0)
    assert it.settled().pixels() == before


@pytest.mark.browser
def test_a_large_photograph_is_made_smaller(hand, explorer):
    it = hand(explorer)
    _, png = photograph(3000, 2000)
    it.page.locator("input[type=file]").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": png})
    it.figure.get_by_text("Your photograph stays on this page").wait_for()
    size = it.said(it.settled().slider("square around the face, size"))
    assert float(size.split()[0]) == pytest.approx(0.6 * 1024 * 2 / 3, abs=1)


@pytest.mark.browser
def test_what_is_no_picture_is_told(hand, explorer):
    it = hand(explorer)
    before = it.pixels()
    it.page.locator("input[type=file]").set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"hello"})
    it.figure.get_by_text("cannot read that file as a picture").wait_for()
    assert it.settled().pixels() == before


@pytest.mark.browser
def test_what_it_came_to_is_said(spoken, explorer):
    words = spoken(explorer, "momentum of landmark", "ArrowRight")
    assert "1 pulled" in words
    assert "px from the geodesic" in words


@pytest.mark.browser
def test_the_theme_reaches_the_canvas(hand, explorer):
    it = hand(explorer)
    light = it.pixels()
    it.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert it.settled().pixels()[1] != light[1]
    it.page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert it.settled().pixels() == light


@pytest.mark.browser
def test_fits_its_page(fits, explorer):
    fits(explorer)


@pytest.mark.browser
def test_a_finger_pulls_handles_and_scrolls_beside_them(hand, explorer):
    it = hand(explorer, viewport={"width": 390, "height": 600}, has_touch=True, is_mobile=True)
    for words in ("square around the face, size", "momentum of landmark"):
        handle = it.slider(words)
        handle.scroll_into_view_if_needed()
        before, said = it.page.evaluate("scrollY"), it.said(handle)
        assert it.swipe(it.middle(handle), (-12, -20)) == before
        assert it.said(handle) != said
    it.canvases[0].scroll_into_view_if_needed()
    box, said = it.canvases[0].bounding_box(), it.said(it.slider("square around the face, place"))
    before = it.page.evaluate("scrollY")
    assert it.swipe((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2), (0, -60)) > before  # inside the square
    assert it.said(it.slider("square around the face, place")) == said


@pytest.mark.browser
def test_on_a_phone_the_picture_stays_in_sight(hand, explorer):
    it = hand(explorer, viewport={"width": 390, "height": 844}, has_touch=True)
    slider = it.slider("shown until")
    slider.scroll_into_view_if_needed()
    box = it.canvases[0].bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= slider.bounding_box()["y"]
