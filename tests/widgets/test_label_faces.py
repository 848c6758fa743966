import io
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from lddmmlib.data import coco_writer, formats, images
from lddmmlib.widgets import LabelFaces

NAMES = ["left eye", "right eye", "chin"]
BOXES = [(30.0, 20.0, 50.0, 50.0), (20.0, 20.0, 80.0, 90.0), (10.0, 30.0, 70.0, 80.0)]
LABELS = [[[40.5, 41.25], [], None], [None] * 3, [[30.0, 50.0], [60.0, 50.0], [45.0, 90.0]]]


@pytest.fixture(scope="module")
def pictures():
    """Three pictures of smooth noise."""
    g = torch.Generator().manual_seed(0)
    noise = [
        F.interpolate(torch.rand(1, 3, 9, 9, generator=g), size)[0] for size in ((90, 120), (128, 128), (140, 100))
    ]
    return [(255 * x).byte() for x in noise]


@pytest.fixture
def widget(pictures):
    """widget(file=None, **changes): one on the three pictures."""
    return lambda file=None, **more: LabelFaces(
        **{"pictures": pictures, "names": NAMES, "file": file, "boxes": BOXES} | more
    )


@pytest.fixture
def file(tmp_path):
    return tmp_path / "faces.json"


# ------------------------------------------------------------------------------------------------------ the file


def test_each_change_is_kept_and_found_again(widget, file):
    first = widget(file)
    assert (first.index, first.landmark, file.exists()) == (0, 0, True)
    first.labels = LABELS
    again = widget(file)  # the first one is gone, as after a crash
    assert again.labels == LABELS
    assert (again.index, again.landmark) == (0, 2)  # the first point to do
    again.labels = [[*LABELS[0][:2], [1.0, 2.0]], *LABELS[1:]]
    assert widget(file).index == 1


def test_the_file_is_what_every_reader_reads(widget, file, pictures):
    one = widget(file, labels=LABELS)
    faces = formats.read(file)
    assert [face.box for face in faces] == BOXES
    torch.testing.assert_close(torch.stack([face.landmarks for face in faces]), one.points, equal_nan=True)
    for face, picture in zip(faces, pictures, strict=True):  # pictures that were none in files are now
        np.testing.assert_array_equal(images.load(face.image)[..., ::-1], picture.permute(1, 2, 0))
    assert json.loads(file.read_text(encoding="utf-8"))["categories"][0]["keypoints"] == NAMES


def test_points_and_records_are_what_a_landmarker_takes(widget, file):
    one = widget(file, labels=LABELS)
    assert one.points.shape == (3, 3, 2)
    assert one.points.isnan().any(-1).tolist() == [[False, True, True], [True] * 3, [False] * 3]
    first, last = one.records()  # a face without a label teaches nothing
    assert (first.box, last.box, first.scheme.names) == (BOXES[0], BOXES[2], tuple(NAMES))
    torch.testing.assert_close(last.landmarks, one.points[2])
    with pytest.raises(ValueError, match="records: needed pictures in files"):
        widget(labels=LABELS).records()


def test_records_of_files_bring_boxes_labels_and_attributes_along(widget, file):
    widget(file, labels=LABELS)
    faces = [face._replace(attributes={"light": "dim"}) for face in formats.read(file)]
    other = LabelFaces(faces, NAMES, file.with_name("other.json"))
    assert other.labels == [[[40.5, 41.25], [], []], *LABELS[1:]]  # NaN beside a label: it was looked at
    other.labels = LABELS
    assert [face.attributes["light"] for face in other.records()] == ["dim"] * 2
    assert other.boxes == [list(box) for box in BOXES]


def test_a_crash_while_writing_loses_nothing(widget, file, monkeypatch):
    one = widget(file, labels=LABELS)
    before = file.read_bytes()

    def full(path, target):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.replace", full)
        one.labels = [[None] * 3] * 3
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.glob(".*")] == []
    assert "no space left" in one.trouble
    one.labels = [LABELS[1], *LABELS[1:]]  # the next change is written again
    assert (one.trouble, widget(file).labels) == ("", one.labels)


def test_what_the_page_sends_is_kept_and_confirmed(widget, file):
    one = widget(file)
    one.set_state({"labels": LABELS, "edit": 1, "index": 2, "landmark": 1})
    assert (one.saved, one.trouble, widget(file).labels) == (1, "", LABELS)


def test_a_file_that_somebody_else_changed_is_left_alone(widget, file):
    old, new = widget(file), widget(file)
    new.labels = LABELS
    old.labels = [LABELS[2]] * 3
    assert "changed by somebody else" in old.trouble
    assert widget(file).labels == LABELS


def other_names(one, file):
    file.write_text(file.read_text(encoding="utf-8").replace("chin", "jaw"), encoding="utf-8")


def other_picture(one, file):
    images.save(np.zeros((9, 9, 3), np.uint8), file.with_suffix("") / "001.png")


def other_tool(one, file):
    coco_writer.write_coco([face._replace(attributes={}) for face in one.records()], file, overwrite=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one, file: file.write_text("{", encoding="utf-8"), "a new one, or one that LabelFaces wrote"),
        (lambda one, file: file.write_text("[1, 2]", encoding="utf-8"), "a new one, or one that LabelFaces wrote"),
        (other_tool, "a new one, or one that LabelFaces wrote"),
        (other_names, "of these names"),
        (other_picture, "no other pictures"),
    ],
)  # fmt: skip
def test_a_file_of_something_else_is_refused_and_left_as_it_is(widget, file, change, said):
    change(widget(file, labels=LABELS), file)
    before = file.read_bytes()
    with pytest.raises(ValueError, match=f"file: needed .*{said}"):
        widget(file)
    assert file.read_bytes() == before


def test_more_pictures_may_come_and_none_may_go(widget, file, pictures):
    few = {"pictures": pictures[:2], "boxes": BOXES[:2]}
    widget(file, **few, labels=LABELS[:2])
    assert widget(file).labels == [*LABELS[:2], [None] * 3]
    with pytest.raises(ValueError, match=r"no other faces than these.*002\.png"):
        widget(file, **few)


# ---------------------------------------------------------------------------------------------- arguments, state


def test_given_points_are_where_it_begins(widget, file):
    points = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [torch.nan] * 2], [[torch.nan] * 2] * 3, [[5.0, 6.0]] * 3])
    one = widget(file, points=points)
    assert one.labels == [[[1.0, 2.0], [3.0, 4.0], []], [None] * 3, [[5.0, 6.0]] * 3]
    assert (one.index, widget(file, points=points + 1).labels) == (1, one.labels)  # what the file says of a face counts


def test_a_face_given_twice_is_refused(file, widget):
    widget(file)
    path = file.with_suffix("") / "000.png"
    with pytest.raises(ValueError, match="pictures: needed each face once"):
        LabelFaces([path, path], NAMES, boxes=BOXES[:1] * 2)


def test_two_faces_of_one_photograph_are_kept_apart(file, widget):
    widget(file)
    path, other = file.with_suffix("") / "001.png", file.with_name("other.json")
    two = LabelFaces([path, path], NAMES, other, BOXES[:2])
    two.labels = LABELS[1:]
    assert LabelFaces([path, path], NAMES, other, BOXES[:2]).labels == LABELS[1:]
    assert len({face.image for face in formats.read(other)}) == 1


def test_a_guess_is_any_function_of_pictures_and_boxes(widget):
    def ends(images, boxes):
        return torch.tensor([[[x, y], [x + w, y], [x + w / 2, y + h]] for x, y, w, h in boxes])

    one = widget()
    assert one.guesses == []
    one.guess = ends  # a better one, while labels are there
    assert one.guesses[0] == [[30.0, 20.0], [80.0, 20.0], [55.0, 70.0]]
    with pytest.raises(ValueError, match=r"guess: needed one that returns points \(3, 3, 2\), got \(3, 2, 2\)"):
        one.guess = lambda images, boxes: ends(images, boxes)[:, :2]


@pytest.mark.parametrize(
    ("more", "said"),
    [({"names": ["a", "a"]}, "names"), ({"boxes": BOXES[:2]}, "boxes: needed 3"), ({"pictures": []}, "pictures"),
     ({"points": torch.zeros(3, 2, 2)}, "points: needed 3 for each face"),
     ({"boxes": lambda image: None}, "boxes: needed a face"),
     ({"file": "no such folder/faces.json"}, "file: needed one in a folder that exists")],
)  # fmt: skip
def test_arguments_are_refused_by_name(widget, more, said):
    with pytest.raises(ValueError, match=said):
        widget(**more)


@pytest.mark.parametrize(
    "state",
    [{"labels": LABELS[:2]}, {"labels": [face[:2] for face in LABELS]}, {"labels": [[[1.0]] * 3] * 3}, {"index": 3},
     {"labels": [[[float("nan"), 1.0]] * 3] * 3}, {"labels": 7}, {"landmark": 3}, {"index": -1}],
)  # fmt: skip
def test_impossible_states_are_refused(widget, refused, state):
    refused(widget(), state)


def test_a_large_photograph_is_shown_around_its_box(widget):
    big = torch.zeros(3, 900, 1200).byte()
    one = LabelFaces([big], NAMES, boxes=[(300.0, 300.0, 120.0, 150.0)])
    assert one.views == [[210, 225, 301, 301]]
    assert one.sizes == [[1200, 900]]
    whole = LabelFaces([big], NAMES, boxes=[(0.0, 0.0, 900.0, 900.0)])
    assert whole.views == [[0, 0, 1200, 900]]
    assert Image.open(io.BytesIO(whole.pictures[0])).size == (1024, 768)


def test_its_picture_and_page_are_small(small):
    small(LabelFaces())


# ----------------------------------------------------------------------------------------------------- the script


def test_the_page_offers_the_file_that_the_kernel_writes(js, widget, file):
    one = widget(file, labels=LABELS)
    state = {name: getattr(one, name) for name in ("names", "files", "sizes", "boxes", "labels")}
    text = json.dumps(js(LabelFaces, "coco", state))
    before = formats.read(file)
    file.write_text(text, encoding="utf-8")
    for face, wanted in zip(formats.read(file), before, strict=True):
        torch.testing.assert_close(face.landmarks, wanted.landmarks, equal_nan=True)
        assert face._replace(landmarks=wanted.landmarks, visible=None) == wanted._replace(visible=None)
    assert widget(file).labels == LABELS


def test_the_next_point_is_the_next_to_do(js):
    face = [None, [1, 2], [], None]
    assert [js(LabelFaces, "next", face, i) for i in range(4)] == [3, 3, 3, 0]
    assert js(LabelFaces, "next", face[1:3], 1) == 1


def test_a_zoomed_window_stays_on_the_picture(js):
    view = [10, 20, 100, 60]
    assert js(LabelFaces, "framed", view, {"zoom": 1, "at": [0, 0]}) == [9.5, -0.5, 100]
    x, y, side = js(LabelFaces, "framed", view, {"zoom": 4, "at": [60, 50]})
    assert (x + side / 2, y + side / 2, side) == (60, 50, 25)
    x, y, side = js(LabelFaces, "framed", view, {"zoom": 4, "at": [500, 50]})
    assert x + side == 109.5


def test_what_a_page_remembers_must_fit(js):
    assert js(LabelFaces, "remembered", json.dumps(LABELS), [[None] * 3] * 3) == LABELS
    for text in (None, "", "{", "[]", json.dumps(LABELS[:2]), json.dumps([[7] * 3] * 3)):
        assert js(LabelFaces, "remembered", text, LABELS) is None


# ---------------------------------------------------------------------------------------------------- in a browser


def on(it, x, y, widget, i=0):
    """Where a point of picture i lies on the screen, px."""
    box, (left, top, w, h) = it.canvases[0].bounding_box(), widget.views[i]
    side = max(w, h)
    corner = left + w / 2 - 0.5 - side / 2, top + h / 2 - 0.5 - side / 2
    return [box[a] + (v - c) * box["width"] / side for a, v, c in zip("xy", (x, y), corner, strict=True)]


def downloaded(it, file):
    with it.page.expect_download() as found:
        it.button("Download the file").click()
    found.value.save_as(file)
    return formats.read(file)[0]


@pytest.mark.browser
def test_with_a_mouse(hand, widget, file):
    one = widget(file)
    it = hand(one, over="http")
    asked, point = it.figure.locator("h4"), it.figure.get_by_role("slider")
    assert asked.inner_text() == "Click on: left eye"
    it.page.mouse.click(*on(it, 40, 40, one))
    assert asked.inner_text() == "Click on: right eye"
    it.button("Not visible").click()
    it.page.mouse.click(*on(it, 60, 60, one))
    it.drag(on(it, 40, 40, one), (30, 0))
    moved = it.place(point)
    assert moved[0] > 43
    it.button("Undo").click()
    np.testing.assert_allclose(it.settled().place(point), [40, 40], atol=0.5)
    it.button("Redo").click()
    assert it.settled().place(point) == moved
    it.page.reload()  # no kernel: the page itself remembers
    it.page.wait_for_selector("[data-sw=ready]")
    assert asked.inner_text().startswith("All decided here")
    assert it.button("Undo").is_disabled()
    face = downloaded(it, file)
    assert face.flags.tolist() == [2, 0, 2]
    np.testing.assert_allclose(face.landmarks[0], moved, atol=0.1)
    assert widget(file).labels[0][1] == []


@pytest.mark.browser
def test_with_keys(hand, widget, file):
    one = widget(file, guess=lambda pictures, boxes: torch.tensor([[[40.0, 40.0]] * 3] * 3))
    it = hand(one)
    heard, point = it.listens(), it.figure.get_by_role("slider")
    it.press(point, "x", "g", "PageDown")
    assert it.place(point) == [40, 40]
    it.press(point, "ArrowRight", "Shift+ArrowDown", "+", "+", "ArrowRight")
    x, y = it.place(point)
    assert 0 < x - 40 < 1
    assert 0 < y - 40 < 5
    assert it.button("Zoom out").is_enabled()
    assert heard() == [True, 0]
    it.press(point, "0", "Control+z")  # moves of one point are one change
    assert it.place(point) == [40, 40]
    it.press(point, "Control+z", "Control+Shift+z", "n", "p", "PageUp", "PageUp", "Enter", "-")
    assert it.figure.locator("h4").inner_text().startswith("All decided here")
    face = downloaded(it, file)
    assert face.flags.tolist() == [0, 2, 2]


@pytest.mark.browser
def test_with_fingers_on_a_phone(hand, widget, file):
    one = widget(file)
    it = hand(one, viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True)
    it.fits(390)
    it.page.touchscreen.tap(*on(it, 40, 40, one))
    assert it.settled().figure.locator("h4").inner_text() == "Click on: right eye"
    it.figure.get_by_role("combobox").select_option(index=0)
    at, point = on(it, 40, 40, one), it.figure.get_by_role("slider")
    assert it.swipe((at[0] + 6, at[1]), (40, 20)) == 0  # beside the point, and the picture scrolls nothing
    assert it.place(point)[0] > 45
    finger, (x, y) = it.page.context.new_cdp_session(it.page), on(it, 60, 60, one)
    for kind, gap in (("touchStart", 30), ("touchMove", 45), ("touchMove", 90), ("touchEnd", None)):
        touches = [] if gap is None else [{"x": x + s * gap, "y": y, "id": i} for i, s in enumerate((-1, 1))]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
    assert it.settled().button("Zoom out").is_enabled()
    assert downloaded(it, file).flags.tolist() == [2, 0, 0]  # two fingers place nothing
    it.press(point, "0")
    it.figure.locator("h4").scroll_into_view_if_needed()
    before = it.page.evaluate("scrollY")
    assert it.swipe(on(it, 90, 80, one), (0, -60)) > before  # beside the points a finger scrolls the page
