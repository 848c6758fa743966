"""Pictures, boxes and labels as users give them: of every kind, and what is wrong with them."""

import numpy as np
import pytest
import torch

from lddmmlib.data import given, images
from lddmmlib.data.records import Record

PICTURE = torch.randint(0, 256, (3, 30, 40), generator=torch.Generator().manual_seed(0)).byte()
BOX = (4.0, 3.0, 20.0, 18.0)


def record(folder, box=BOX, name="face.png"):
    images.save(PICTURE.permute(1, 2, 0).flip(2).numpy(), folder / name)
    points = torch.tensor([[5.0, 6.0], [torch.nan, torch.nan]]).double()
    return Record(image=folder / name, landmarks=points, visible=torch.tensor([True, False]), box=box, scheme=None,
                  attributes={}, source=name)  # fmt: skip


def test_a_picture_may_be_anything_that_shows_one(tmp_path):
    path = record(tmp_path).image
    array = PICTURE.permute(1, 2, 0).numpy()
    for picture in (PICTURE, PICTURE[None], PICTURE.float() / 255, array, array / 255, path, str(path), [path]):
        (face,) = given.faces(picture, boxes=[BOX])
        assert torch.equal(face.image, PICTURE)
        assert (face.box, face.landmarks) == (BOX, None)
    gray = PICTURE[:1]
    for picture in (gray, gray[0].numpy()):
        assert torch.equal(given.faces(picture, boxes=[BOX])[0].image, gray.expand(3, -1, -1))


def test_without_boxes_the_whole_picture_is_the_face():
    with pytest.warns(UserWarning, match="the whole picture is taken for the face"):
        (face,) = given.faces(PICTURE)
    assert face.box == (-0.5, -0.5, 40.0, 30.0)


def test_records_bring_points_and_boxes(tmp_path):
    faces = given.faces([record(tmp_path), record(tmp_path, name="b.png")], labelled=True)
    assert [face.box for face in faces] == [BOX, BOX]
    assert torch.equal(faces[0].landmarks.isnan()[:, 0], torch.tensor([False, True]))
    with pytest.raises(ValueError, match="boxes: needed one of each record, or of none"):
        given.faces([record(tmp_path), record(tmp_path, None, "c.png")])
    with pytest.warns(UserWarning, match="whole picture"):
        given.faces([record(tmp_path, None)])


def test_a_detector_sees_the_image_as_opencv_has_it():
    def detect(image):
        assert torch.equal(torch.from_numpy(image).flip(2).permute(2, 0, 1), PICTURE)
        return np.array([4, 3, 20, 18])

    assert given.faces(PICTURE, boxes=detect)[0].box == BOX
    assert given.faces(PICTURE, boxes=lambda image: np.array([[*BOX, 0.9], [0, 0, 5, 5, 0.5]]))[0].box == BOX
    assert given.faces(PICTURE, boxes=lambda image: None)[0].box is None
    with pytest.raises(ValueError, match="boxes: needed a face in each picture, got none in"):
        given.faces(PICTURE, [[[1.0, 1.0]]], boxes=lambda image: [], labelled=True)


def test_floats_beyond_one_and_boxes_that_are_corners_are_warned_of():
    with pytest.warns(UserWarning, match="picture 0: floats up to 25. are taken for 0 to 255"):
        (face,) = given.faces(PICTURE.float(), boxes=[BOX])
    assert torch.equal(face.image, PICTURE)
    with pytest.warns(UserWarning, match=r"are these corners \(x, y, x, y\)"):
        given.faces(PICTURE, boxes=[(20, 12, 38, 28)])


TWO = [[1.0, 2.0], [3.0, 4.0]]
NAN = float("nan")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"pictures": "no such.jpg"}, "pictures: needed an image that can be read, got no such.jpg"),
        ({"pictures": []}, "pictures: needed one or more, got none"),
        ({"pictures": PICTURE.long()}, "picture 0: needed bytes or floats"),
        ({"pictures": PICTURE[0]}, "picture 0: needed bytes or floats.*got torch.uint8 of"),
        ({"pictures": PICTURE[:2]}, "picture 0: needed bytes or floats"),
        ({"pictures": PICTURE.float() * NAN}, "picture 0: needed finite"),
        ({"pictures": PICTURE.float() - 200}, "picture 0: needed values from 0 to 1"),
        ({"points": None}, "points: needed labels"),
        ({"points": [TWO, TWO]}, r"points: needed \(1, n, 2\)"),
        ({"points": [[[NAN, NAN]] * 2]}, "points: needed one label or more of each face, got none of .'picture 0'"),
        ({"points": [[[NAN, 1.0], [2.0, 3.0]]]}, "points: needed NaN for x and y"),
        ({"points": [[[float("inf"), 1.0], [2.0, 3.0]]]}, "points: needed finite coordinates"),
        ({"pictures": [PICTURE] * 2, "boxes": [BOX] * 2, "points": [TWO, TWO[:1]]}, "points: needed as many of each"),
        ({"boxes": [BOX, BOX]}, "boxes: needed 1, one for each picture, got 2"),
        ({"boxes": [(1, 2, 3)]}, "boxes: needed finite"),
        ({"boxes": [(1, 2, NAN, 3)]}, "boxes: needed finite"),
        ({"boxes": [(50, 2, 9, 9)]}, r"boxes: needed \(x, y, w, h\) on the picture of 40 x 30 px"),
        ({"boxes": [(-9, 2, 5, 9)]}, r"boxes: needed \(x, y, w, h\) on the picture"),
        ({"boxes": [(5, 2, 0, 9)]}, r"boxes: needed \(x, y, w, h\) on the picture"),
    ],
)
def test_what_is_wrong_is_refused_by_name(wrong, said):
    with pytest.raises((ValueError, TypeError), match=said):
        given.faces(**{"pictures": PICTURE, "points": [TWO], "boxes": [BOX], "labelled": True} | wrong)


def test_two_pictures_of_one_name_are_two(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    paths = [record(tmp_path / folder).image for folder in ("a", "b")]
    first, second = given.faces(paths, boxes=[BOX, BOX])
    assert first.name != second.name
