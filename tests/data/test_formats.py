import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lddmmlib.data import formats, images
from lddmmlib.data.records import Problem, scheme_of
from lddmmlib.faces import schemes


def pts(n: int) -> str:
    return f"version: 1\nn_points: {n}\n{{\n" + "".join(f"{i} {2 * i}\n" for i in range(1, n + 1)) + "}\n"


ENTRY = {"id": 1, "image_id": 7, "keypoints": [3, 4.5, 2, 5, 6, 1, 0, 0, 0]}
COCO = json.dumps({"images": [{"id": 7, "file_name": "a.png"}], "annotations": [ENTRY]}, indent=1)
WFLW = " ".join(map(str, range(196))) + " 1 2 30 40 0 1 0 1 0 1 a b.jpg\n"
WHOLE = COCO.replace(
    '"id": 1,', '"id": 1, "face_valid": true, "face_kpts": [1, 2, 2, 3, 4.5, 0.5], "face_box": [1, 1, 9, 9],'
)
HRNET = (
    "image_name,scale,center_w,center_h,original_0_x,original_0_y,original_1_x,original_1_y\n"
    + 3 * "a.png,1,2,3,4,5,6,7\n"
)
DLIB = "<dataset><images>\n<image file='a.png' width='9' height='9'>\n" + 2 * (
    "<box top='1' left='2' width='30' height='40'><part name='0' x='3' y='4'/><part name='01' x='5' y='-6'/></box>\n"
) + "</image></images></dataset>\n"  # fmt: skip


def lay(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "content", "n"),
    [("a.pts", pts(68), 68), ("a.PTS29", pts(29), 29), ("a.json", COCO, 3), ("a.txt", WFLW, 98)],
)
def test_a_file_or_its_folder(tmp_path, name, content, n):
    (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("a few words", encoding="utf-8")
    (tmp_path / "settings.json").write_text("{}", encoding="utf-8")
    for path in (tmp_path / name, str(tmp_path / name), tmp_path):
        (record,) = formats.read(path)
        assert len(record.landmarks) == n
        assert record.scheme == scheme_of(n)


@pytest.mark.parametrize("format", [None, "pts"])
def test_folders_are_read_to_the_bottom_in_order(tmp_path, picture, format):
    lay(tmp_path, {"b.pts": pts(2), "a/c.pts": pts(3), "a/deep/d.pts": pts(4), "a/._c.pts": "", ".git/a.pts": ""})
    beside = [picture("b.png"), picture("a/c.png"), picture("a/deep/d.PNG"), picture("a/other.png")]
    records = formats.read(tmp_path, format)
    assert [Path(record.source).name for record in records] == ["c.pts", "d.pts", "b.pts"]
    assert [record.image for record in records] == [beside[1], beside[2], beside[0]]


def test_two_annotations_of_one_face_are_told_apart(tmp_path, picture):
    lay(tmp_path, {"a.pts": pts(68), "a.pts29": pts(29)})
    image = picture("a.png")
    with pytest.raises(formats.FormatError, match=r"one format, .* give format=.* got 1 .pts file and 1 .pts29 file"):
        formats.read(tmp_path)
    for format, name in (("pts", "300w-68"), ("pts29", "cofw-29")):
        (record,) = formats.read(tmp_path, format)
        assert (record.scheme, record.image) == (name, image)


def test_several_lists_are_not_one_data_set(tmp_path):
    lay(tmp_path, {"train.txt": WFLW, "test.txt": WFLW})
    for format in (None, "wflw"):
        with pytest.raises(formats.FormatError, match="got 2 WFLW list"):
            formats.read(tmp_path, format)
    assert len(formats.read(tmp_path / "train.txt", "wflw")) == 1


def test_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="needed a file or a folder"):
        formats.read(tmp_path / "none")
    with pytest.raises(ValueError, match=r"format: needed one of .*'pts29'.*; got 'mat'"):
        formats.read(tmp_path, "mat")
    for format, wanted in (
        (None, r"needed one of \.pts file, .*, COCO json, WFLW list, .*"),
        ("coco", "needed coco files"),
    ):
        with pytest.raises(formats.FormatError, match=f"{wanted}, got nothing of the kind"):
            formats.read(tmp_path, format)


def test_one_malformed_file_never_loses_the_rest(tmp_path):
    lay(tmp_path, {f"{i:02}.pts": pts(2) if i % 2 else pts(2)[:-2] for i in range(30)})
    with pytest.raises(formats.FormatError, match=r"15 malformed, 15 faces read") as caught:
        formats.read(tmp_path)
    assert [Path(record.source).stem for record in caught.value.records] == [f"{i:02}" for i in range(1, 30, 2)]
    assert [problem.path.stem for problem in caught.value.problems] == [f"{i:02}" for i in range(0, 30, 2)]
    shown = str(caught.value).splitlines()
    assert shown[1] == f"  {tmp_path / '00.pts'}:6: needed '}}', got the end of the file"
    assert len(shown) == 12
    assert shown[-1].strip() == "... and 5 more, in .problems"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root and Windows read every file")
def test_a_file_that_may_not_be_read(tmp_path):
    lay(tmp_path, {"a.pts": pts(2), "b.pts": pts(2)})
    (tmp_path / "a.pts").chmod(0)
    with pytest.raises(formats.FormatError, match="a file that can be read, got Permission denied") as caught:
        formats.read(tmp_path)
    assert len(caught.value.records) == 1


def test_a_folder_called_like_a_file(tmp_path):
    (tmp_path / "a.pts").mkdir()
    lay(tmp_path, {"b.pts": pts(2)})
    assert len(formats.read(tmp_path)) == 1
    for name, format in (("a.pts", "coco"), ("a.pts", "wflw"), ("a.pts", "pts")):
        with pytest.raises(formats.FormatError):
            formats.read(tmp_path / name, format)


@pytest.mark.parametrize("kind", formats.KINDS)
def test_a_file_that_vanishes(tmp_path, kind):
    (problem,) = formats.faces(kind, [tmp_path / "gone"])
    assert isinstance(problem, Problem)
    assert "No such file" in problem.got


def test_schemes_by_their_number_of_landmarks():
    for name in ("300w-68", "cofw-29", "aflw-19", "wflw-98", "helen-194", "lfw-74", "union-113"):
        assert scheme_of(schemes.get(name).n) == name
    assert scheme_of(67) is None


def test_each_format_is_a_row():
    """Whoever adds one adds a row, and a file to the fuzz test below."""
    assert set(VALID) | {"pts29", "coco-1based", "hrnet-1based"} == set(formats.FORMATS)
    for name, row in formats.FORMATS.items():
        assert row.name == name
        assert row in formats.KINDS[row.called]


def test_each_format_is_recognised_by_what_it_holds(tmp_path):
    for name, content in VALID.items():
        path = tmp_path / f"file-of-{name}{formats.FORMATS[name].suffix}"
        path.write_bytes(content)
        assert [path] == formats.find(path)[formats.FORMATS[name].called]
        assert len(formats.read(path)[0].landmarks) == len(formats.read(path, name)[0].landmarks)
        for other in {row.suffix for row in formats.FORMATS.values()} - {
            formats.FORMATS[name].suffix,
            ".pts",
            ".pts29",
        }:
            (tmp_path / f"other{other}").write_bytes(content)
            assert set(formats.find(tmp_path / f"other{other}")) == {"unknown"}


def test_a_folder_of_pts_files_may_mix_signs(tmp_path):
    """Faces of MERL-RAV with nothing hidden are no other format; those with hidden landmarks are noted."""
    lay(tmp_path, {"a.pts": pts(3), "b.pts": pts(3).replace("2 4", "-2 -4")})
    a, b = formats.read(tmp_path)
    assert a.notes == ()
    assert "MERL-RAV" in b.notes[0]
    assert b.visible.tolist() == [True, False, True]


EMPTY = [("a.json", '{"images": [], "annotations": []}'), ("a.csv", "original_0_x,original_0_y,n\n"),
         ("a.xml", "<dataset><images><image file='a'/></images></dataset>"), ("a.json", '{"annotations": []}'),
         ("a.pts", ""), ("a.txt", " " * 400)]  # fmt: skip


@pytest.mark.parametrize(("name", "content"), EMPTY)
def test_what_yields_nothing_is_a_problem(tmp_path, name, content):
    lay(tmp_path, {name: content})
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(formats.FormatError):
            formats.read(path)


def test_root_is_where_the_images_are(tmp_path, picture):
    lay(tmp_path, {"set/a.json": COCO, "set/a.txt": WFLW, "p/a.pts": pts(2)})
    image, other = picture("elsewhere/a.png"), picture("elsewhere/a b.jpg")
    root = tmp_path / "elsewhere"
    assert formats.read(tmp_path / "set/a.json", root=root)[0].image == image
    assert formats.read(tmp_path / "set/a.txt", root=str(root))[0].image == other
    assert formats.read(tmp_path / "p", root=root)[0].image == image


# ------------------------------------------------------------------------------------------------------- fuzz

VALID = {
    "pts": pts(5).encode(),
    "merl-rav": pts(5).replace("2 4", "-2 -4").replace("3 6", "-1 -1").encode(),
    "coco": COCO.encode(),
    "wflw": 2 * WFLW.encode(),
    "coco-wholebody": WHOLE.encode(),
    "hrnet": HRNET.encode(),
    "dlib": DLIB.encode(),
}
TOKENS = [bytes([c]) for c in b"-_\"',:{}[]\0\r\n\xff"] + [
    b"",
    b"nan",
    b"1e999",
    b"NaN",
    b"null",
    b"true",
    b"9" * 5000,
    b"[" * 3000,
]
TOKENS += [b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"&a;", b"<box>", b"name='7'", b"p\xe8re", b"original_9_x"]
TOKENS += [b"\xef\xbb\xbf", b"\xe2\x80\xa8", b'"annotations": [', b"[1]"]
edit = st.tuples(st.integers(0, 999), st.integers(0, 40), st.one_of(st.sampled_from(TOKENS), st.binary(max_size=9)))


@st.composite
def mutated(draw) -> tuple[str, bytes]:
    """A valid file of some format in which a few stretches were replaced."""
    format = draw(st.sampled_from(sorted(VALID)))
    content = VALID[format]
    for at, length, piece in draw(st.lists(edit, min_size=1, max_size=5)):
        at %= len(content) + 1
        content = content[:at] + piece + content[at + length :]
    return format, content


anything = st.tuples(
    st.sampled_from(sorted(VALID)), st.one_of(st.binary(), st.text().map(lambda t: t.encode("utf-8", "replace")))
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def attempt(path: Path, format: str | None = None) -> tuple[list[formats.Record], list[formats.Problem]]:
    """What `read` gives back or raises; anything but a FormatError fails the test."""
    try:
        return formats.read(path, format), []
    except formats.FormatError as error:
        assert len(str(error)) < 20_000  # noqa: PT017
        return error.records, error.problems


@settings(deadline=None)
@given(st.one_of(mutated(), anything), st.booleans())
@example(("wflw", WFLW.replace("a b.jpg", "a\0b.jpg").encode()), True)
@example(("wflw", WFLW.replace("a b.jpg", "a" * 5000).encode()), True)
@example(("coco", COCO.replace("a.png", "\\ud800\\u0000").encode()), True)
@example(("coco", COCO.replace("4.5", "1e308").encode()), True)
@example(("coco", COCO.replace('"image_id": 7', '"image_id": true').encode()), True)
@example(("dlib", DLIB.encode("utf-16")), True)
@example(("dlib", b"<?xml version='1.0' encoding='big5'?>" + DLIB.encode()), True)
@example(("dlib", b"<?xml version='1.0' encoding='no-such'?>" + DLIB.encode()), True)
@example(("dlib", DLIB.replace("name='01'", "name='" + "9" * 5000 + "'").encode()), True)
@example(("dlib", DLIB.replace("name='01'", "name='\u0663'").encode()), True)
@example(("hrnet", HRNET.replace("original_1_x", "original_9999_x").encode()), True)
@example(("hrnet", HRNET.replace("a.png", "\0" + "a" * 200_000).encode()), True)
@example(("coco-wholebody", WHOLE.replace("0.5]", "1e999]").encode()), True)
def test_only_format_errors_come_out(place, case, told):
    format, content = case
    path = place / ("face" + formats.FORMATS[format].suffix)
    path.write_bytes(content)
    records, problems = attempt(path, format if told else None)
    assert all(problem.line is None or 1 <= problem.line <= content.count(b"\n") + 1 for problem in problems)
    for record in records:
        missing = record.landmarks.isnan()
        assert record.landmarks.dtype == torch.float64
        assert not record.landmarks.isinf().any()
        assert torch.equal(missing[:, 0], missing[:, 1])
        assert not (missing[:, 0] & record.visible).any()
        assert record.box is None or min(record.box[2:]) >= 0
        assert record.image is None or images.load(record.image) is None


@settings(deadline=None)
@given(mutated())
def test_a_malformed_neighbour_changes_nothing(place, case):
    folder = place / "pair"
    folder.mkdir(exist_ok=True)
    (folder / "a.pts").write_bytes(VALID["pts"])
    (folder / "b.pts").write_bytes(case[1])
    records, problems = attempt(folder)
    assert [problem.path.name for problem in problems] == ["b.pts"][: len(problems)]
    assert len(records) + len(problems) == 2
    assert torch.equal(records[0].landmarks, formats.read(folder / "a.pts")[0].landmarks)
