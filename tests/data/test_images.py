from pathlib import Path

import numpy as np
import pytest

from lddmmlib.data import formats, images
from lddmmlib.data.records import Malformed


def test_what_is_saved_is_loaded(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    images.save(pixels, tmp_path / "é ü.png")
    assert np.array_equal(images.load(tmp_path / "é ü.png"), pixels)


def test_no_image(tmp_path):
    for name, content in (("empty.png", b""), ("text.jpg", b"a few words"), ("half.png", b"\x89PNG\r\n\x1a\n\0\0")):
        (tmp_path / name).write_bytes(content)
        assert images.load(tmp_path / name) is None
    assert images.load(tmp_path / "none.png") is None
    assert images.load(tmp_path) is None


def named(name: str, annotations: Path, root: Path | None = None) -> Path:
    return images.Places(root).named(name, annotations)[0]


def test_beside(picture, tmp_path):
    a, b = picture("p/a.b.png"), picture("p/a.png")
    (tmp_path / "p" / "a.txt").touch()
    places = images.Places()
    assert places.beside(tmp_path / "p" / "a.b.pts") == (a, ())
    assert places.beside(tmp_path / "p" / "a.pts") == (b, ())
    assert places.beside(tmp_path / "none" / "a.pts") == (None, ())


def test_named_from_a_relative_path(picture, tmp_path, monkeypatch):
    picture("images/a.png")
    (tmp_path / "annotations").mkdir()
    monkeypatch.chdir(tmp_path / "annotations")
    assert named("a.png", Path("list.txt")) == Path("../images/a.png")
    assert named("b.png", Path("list.txt")) == Path("b.png")
    assert named("a\0b.png", Path("list.txt")) == Path("a\0b.png")


# Where tools and data sets put what they export, and how they spell it: annotations, the image's name, where it lies.
LAYOUTS = [
    ("labels.json", "1.png", "data/1.png"),  # FiftyOne
    ("annotations/person_keypoints_default.json", "1.png", "images/default/1.png"),  # CVAT
    ("annotations/instances_my_train.json", "1.png", "images/train/1.png"),  # Datumaro
    ("annotations/person_keypoints_train2017.json", "1.png", "train2017/1.png"),  # COCO
    ("annotations/coco_wholebody_val_v1.0.json", "1.png", "val2017/1.png"),
    ("annotations/person_keypoints_Train2017.json", "1.png", "images/train2017/1.png"),
    ("train/_annotations.coco.json", "1.png", "train/1.png"),  # Roboflow
    ("annotations/train/a.json", "1.png", "images/train/1.png"),
    ("result.json", "images\\1.png", "images/1.png"),  # Label Studio on Windows
    ("result.json", "my%20face.png", "my face.png"),
    ("result.json", "images%2Fmy face.png", "images/my face.png"),
    ("result.json", "a%20b.png", "a%20b.png"),  # a name as it stands comes first
    ("result.json", "a\\b.png", "a\\b.png"),
    ("WFLW_annotations/list.txt", "0--Parade/1.png", "WFLW_images/0--Parade/1.png"),
]


@pytest.mark.parametrize(("annotations", "name", "place"), LAYOUTS)
def test_images_lie_where_tools_put_them(picture, tmp_path, annotations, name, place):
    image = picture(place)
    (tmp_path / annotations).parent.mkdir(parents=True, exist_ok=True)
    picture("val2016x/1.png")  # of another split
    assert images.Places().named(name, tmp_path / annotations) == (image, ())


@pytest.mark.parametrize(
    "name", ["C:\\bob\\set\\sub\\1.png", "/home/bob/set/sub/1.png", "s3://set/sub/1.png", "sub/1.png"]
)
def test_a_path_of_another_machine_is_found_by_its_end_and_noted(picture, tmp_path, name):
    image = picture("images/1.png")
    found, notes = images.Places().named(name, tmp_path / "a.json")
    assert found == image
    assert notes
    better = picture("images/sub/1.png", seed=1)
    assert named(name, tmp_path / "a.json") == better


def test_two_names_are_never_one_image(picture, tmp_path):
    picture("1.png")
    places = images.Places()
    places.named("a/1.png", tmp_path / "a.json")
    places.named("a/1.png", tmp_path / "a.json")
    with pytest.raises(Malformed, match=r"for both 'a/1.png' and 'b/1.png'"):
        places.named("b/1.png", tmp_path / "a.json")
    assert places.named("b/1.png", tmp_path / "b.json")[0] == tmp_path / "1.png"  # another list


@pytest.mark.parametrize(("one", "two"), [("images/1.png", "data/1.png"), ("1.png", "images/1.png"),
                                          ("train2017/1.png", "images/train/1.png")])  # fmt: skip
def test_two_candidates_are_both_named(picture, tmp_path, one, two):
    paths = {picture(one), picture(two)}
    for name in ("1.png", "/elsewhere/1.png"):
        with pytest.raises(Malformed) as caught:
            named(name, tmp_path / "x_train2017_train.json")
        assert all(str(path) in caught.value.args[1] for path in paths)
    for path in paths:
        assert named("1.png", tmp_path / "x_train2017_train.json", path.parent) == path


def test_the_same_file_by_two_ways_is_one(picture, tmp_path):
    picture("images/1.png")
    (tmp_path / "data").symlink_to(tmp_path / "images", target_is_directory=True)
    assert named("1.png", tmp_path / "a.json").name == "1.png"


def test_root_is_decisive(picture, tmp_path):
    beside, there = picture("set/1.png"), picture("elsewhere/1.png")
    assert named("1.png", tmp_path / "set/a.json") == beside
    assert named("1.png", tmp_path / "set/a.json", tmp_path / "elsewhere") == there
    assert named("2.png", tmp_path / "set/a.json", tmp_path / "elsewhere") == tmp_path / "elsewhere/2.png"
    places = images.Places(tmp_path / "elsewhere")
    assert places.beside(tmp_path / "set/1.pts") == (there, ())
    deep = picture("elsewhere/afw/2.png")
    assert places.beside(tmp_path / "set/afw/2.pts") == (deep, ())


@pytest.mark.parametrize(
    ("annotations", "place"),
    [
        ("x.pts", "x.PGM"),
        ("x.pts", "x.ppm"),
        ("x.pts", "x.webp"),
        ("x.pts", "images/x.tif"),
        ("landmarks/x.pts", "images/x.jpg"),
        ("annot/000006.pts", "imgs/000006.jpg"),  # 300-VW
        ("landmarks/trainset/x.pts", "images/trainset/x.jpg"),
        ("labels/x.pts", "x.jpg"),
    ],
)
def test_the_image_of_a_pts_file(tmp_path, annotations, place):
    image = tmp_path / place
    image.parent.mkdir(parents=True, exist_ok=True)
    image.touch()
    assert images.Places().beside(tmp_path / annotations) == (image, ())


def test_several_faces_of_a_picture(tmp_path):
    (tmp_path / "x.jpg").touch()
    for name in ("x_1", "x_2", "x_17"):
        image, notes = images.Places().beside(tmp_path / f"{name}.pts")
        assert image == tmp_path / "x.jpg"
        assert notes
    (tmp_path / "x_2.jpg").touch()
    assert images.Places().beside(tmp_path / "x_2.pts") == (tmp_path / "x_2.jpg", ())
    assert images.Places().beside(tmp_path / "x2.pts") == (None, ())


def test_two_images_of_one_stem_are_both_named(tmp_path):
    for name in ("x.jpg", "x.png"):
        (tmp_path / name).touch()
    with pytest.raises(Malformed, match=r"x\.jpg and .*x\.png"):
        images.Places().beside(tmp_path / "x.pts")
    (tmp_path / "x.pts").write_text("version: 1\nn_points: 1\n{\n1 1\n}\n", encoding="utf-8")
    with pytest.raises(formats.FormatError, match=r"x\.jpg and .*x\.png"):
        formats.read(tmp_path)


def test_opencv_reads_what_counts_as_an_image(tmp_path):
    import cv2

    for suffix in (
        ".bmp",
        ".dib",
        ".jpe",
        ".jpg",
        ".pgm",
        ".png",
        ".ppm",
        ".ras",
        ".sr",
        ".tiff",
        ".webp",
    ):
        assert suffix in images.SUFFIXES
        path = tmp_path / f"a{suffix.upper()}"
        path.write_bytes(
            cv2.imencode(suffix, np.zeros((48, 49) if suffix == ".pgm" else (48, 49, 3), np.uint8))[1].tobytes()
        )
        assert images.load(path).shape == (48, 49, 3)
        assert images.is_image(path)
