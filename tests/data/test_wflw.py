import json
from pathlib import Path

import pytest
import torch

from lddmmlib.data import formats, wflw

XY = torch.arange(196, dtype=torch.float64).view(98, 2) / 4
COORDINATES = " ".join(f"{x:.6f}" for x in XY.flatten().tolist())
FULL = COORDINATES + " 10 20 40 60 1 0 0 1 0 1 "


def read(tmp_path: Path, content: str | bytes) -> list[formats.Record]:
    path = tmp_path / "WFLW_annotations" / "list.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return formats.read(path)


def test_both_lists(tmp_path):
    full, subset = read(tmp_path, f"{FULL}0--Parade/a.jpg\n{COORDINATES} 0--Parade/b.jpg\n")
    for record in (full, subset):
        assert torch.equal(record.landmarks, XY)
        assert record.visible.all()
        assert record.scheme == "wflw-98"
    assert full.box == (10, 20, 30, 40)
    assert full.attributes == {
        "pose": True, "expression": False, "illumination": False, "make-up": True, "occlusion": False, "blur": True,
    }  # fmt: skip
    assert subset.box is None
    assert subset.attributes == {}
    assert [record.source.rsplit(":", 1)[1] for record in (full, subset)] == ["1", "2"]
    assert subset.image == tmp_path / "WFLW_annotations" / "0--Parade" / "b.jpg"


@pytest.mark.parametrize("name", ["a.jpg", "two words  and more.jpg", "7 1 b.jpg", "père.jpg", "0--P/9_9.jpg"])
def test_image_names(tmp_path, name):
    (record,) = read(tmp_path, f"\ufeff{FULL}{name} \r\n\r\n")
    assert record.image.relative_to(tmp_path / "WFLW_annotations").as_posix() == name


def test_a_subset_image_may_have_spaces(tmp_path):
    (record,) = read(tmp_path, f"{COORDINATES} my photo 1.jpg")
    assert record.image.name == "my photo 1.jpg"
    assert record.box is None


@pytest.mark.parametrize("place", ["WFLW_images/p/a.png", "images/p/a.png", "p/a.png", "WFLW_annotations/p/a.png"])
def test_the_image_is_found(tmp_path, picture, place):
    image = picture(place)
    (record,) = read(tmp_path, f"{FULL}p/a.png")
    assert record.image == image


@pytest.mark.parametrize(
    ("line", "needed", "got"),
    [
        (COORDINATES, "196 coordinates and the image's name", "196 words"),
        ("1 2 3", "196 coordinates", "3 words"),
        ("nan" + FULL + "a.jpg", "a finite number", "'nan0.000000'"),
        (FULL.replace("0.250000", "inf", 1) + "a.jpg", "a finite number", "'inf'"),
        (FULL.replace(" 60 ", " ") + "a.jpg", "4 + 6 numbers (box, attributes)", "'10 20 40 1 0"),
        (FULL.replace(" 60 ", " 20 ") + "a.jpg", "a box xmin ymin xmax ymax", "'10 20 40 20'"),
        (FULL.replace(" 40 ", " x ") + "a.jpg", "a finite number", "'x'"),
        (FULL.replace(" 0 1 0 1 ", " 0 2 0 1 ") + "a.jpg", "6 attributes, 0 or 1", "'1 0 0 2 0 1'"),
        ((FULL + "p").encode() + b"\xe8re.jpg", "UTF-8", "the byte 0xe8"),
        (b"\x00\xff\x00", "UTF-8", "the byte 0xff"),
    ],
)
def test_a_malformed_line_is_named_and_the_others_stay(tmp_path, line, needed, got):
    raw = line if isinstance(line, bytes) else line.encode()
    good = f"{FULL}a.jpg".encode()
    with pytest.raises(formats.FormatError) as caught:
        read(tmp_path, good + b"\n\n" + raw + b"\n" + good)
    assert [record.source.rsplit(":", 1)[1] for record in caught.value.records] == ["1", "4"]
    (problem,) = caught.value.problems
    assert problem.line == 3
    assert needed in problem.needed
    assert problem.got.startswith(got)


def test_recognised_by_the_length_of_a_line(tmp_path):
    path = tmp_path / "list.txt"
    for text, expected in (
        (FULL + "a.jpg", True),
        (f"# head\n{COORDINATES} a", True),
        (COORDINATES, False),
        ("", False),
    ):
        path.write_text(text, encoding="utf-8")
        assert wflw.recognise(path) is expected
    assert not wflw.recognise(tmp_path / "none.txt")


@pytest.mark.real
def test_the_list_and_mmpose_agree_on_real_faces(real, tmp_path):
    """The faces of mmpose's json, written as a WFLW list, come back the same."""
    source = real / "formats" / "wflw" / "test_wflw.json"
    records = formats.read(source)
    assert len(records) == 4
    lines = []
    for record, entry in zip(records, json.loads(source.read_text(encoding="utf-8"))["annotations"], strict=True):
        xyv = entry["keypoints"]
        xy = [repr(value) for i, value in enumerate(xyv) if i % 3 < 2]
        lines.append(" ".join([*xy, record.image.name]))
    again = read(tmp_path, "\n".join(lines))
    for record, other in zip(records, again, strict=True):
        assert torch.equal(record.landmarks, other.landmarks)
        assert record.image.exists()
        assert (record.scheme, record.image.name) == (other.scheme, other.image.name)
