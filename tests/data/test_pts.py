import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lddmmlib.data import formats, pts

POINTS = "10 20\n30.5 4e1\n"
FILE = "version: 1\nn_points: 2\n{\n" + POINTS + "}\n"
ZERO_BASED = torch.tensor([[9.0, 19.0], [29.5, 39.0]], dtype=torch.float64)


def read(tmp_path: Path, content: str | bytes, format: str | None = None) -> formats.Record:
    path = tmp_path / "face.pts"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (record,) = formats.read(path, format)
    return record


@pytest.mark.parametrize(
    "content",
    [
        FILE,
        FILE.replace("\n", "\r\n"),
        "\ufeff" + FILE,
        FILE.replace("n_points: ", "n_points:  "),
        FILE.replace(": ", ":"),
        FILE.replace("version: 1", "version: 1.0"),
        FILE.replace("10 20", "\t10 \t 20  "),
        "\n\n" + FILE.replace("\n", "\n\n"),
        FILE.rstrip("\n"),
    ],
)
def test_one_based_in_zero_based_out(tmp_path, content):
    record = read(tmp_path, content)
    assert torch.equal(record.landmarks, ZERO_BASED)
    assert record.landmarks.dtype == torch.float64
    assert record.visible.all()
    assert (record.image, record.box, record.scheme, record.attributes) == (None, None, None, {})
    assert record.source == str(tmp_path / "face.pts")


@pytest.mark.parametrize(
    ("content", "line", "needed", "got"),
    [
        ("", 1, "'version: 1'", "the end of the file"),
        ("\n\n", 3, "'version: 1'", "the end of the file"),
        ("n_points: 2\n", 1, "'version: 1'", "'n_points: 2'"),
        ("version: 1\nn_points: two\n", 2, "'n_points:' and a number", "'n_points: two'"),
        ("version: 1\nn_points: -2\n{\n", 2, "'n_points:' and a number", "'n_points: -2'"),
        ("version: 1\nn_points: ٢\n{\n", 2, "'n_points:' and a number", "'n_points: ٢'"),
        ("version: 1\nn_points: 2\n" + POINTS, 3, "'{'", "'10 20'"),
        (FILE.replace("}\n", ""), 6, "'}'", "the end of the file"),
        (FILE.replace("}\n", "1 2\n"), 7, "2 points (n_points)", "3 points"),
        (FILE.replace("10 20\n", ""), 5, "2 points (n_points)", "1 points"),
        (FILE.replace(": 2", ": 99999999999"), 6, "99999999999 points (n_points)", "2 points"),
        (FILE.replace(": 2", ": " + "9" * 5000), 2, "'n_points:' and a number", "'n_points: 9"),
        ("version: 1\nn_points: 0\n{\n}\n", 4, "some points (n_points)", "0 points"),
        (FILE.replace("30.5", "abc"), 5, "a finite number", "'abc'"),
        (FILE.replace("30.5", "nan"), 5, "a finite number", "'nan'"),
        (FILE.replace("30.5", "-inf"), 5, "a finite number", "'-inf'"),
        (FILE.replace("30.5", "1e999"), 5, "a finite number", "'1e999'"),
        (FILE.replace("30.5", "3_0"), 5, "a finite number", "'3_0'"),
        (FILE.replace("30.5", "٣"), 5, "a finite number", "'٣'"),
        (FILE.replace("30.5", "0x1F"), 5, "a finite number", "'0x1F'"),
        (FILE.replace("10 20", "10 20 30"), 4, "2 numbers", "3 words"),
        (FILE.replace("10 20", "10,20"), 4, "2 numbers", "1 words: '10,20'"),
        (FILE + "10 20\n", 7, "nothing after '}'", "'10 20'"),
        (FILE.encode() + b"\n\xe9", 8, "UTF-8", "the byte 0xe9"),
        (b"\xef\xbb\xbfversion: 1\n\xff", 2, "UTF-8", "the byte 0xff"),
        (FILE.encode("utf-16"), 1, "UTF-8", "the byte 0xff"),
        (b"\x89PNG\r\n\x1a\n\0\0", 1, "UTF-8", "the byte 0x89"),
        (b"\0" * 99, 1, "'version: 1'", "'\\x00"),
        ("9" * pts.MAX_BYTES, 1, "'version: 1'", "'99999"),
        ("9" * (pts.MAX_BYTES + 1), None, f"at most {pts.MAX_BYTES} bytes", "more"),
        (FILE.replace("30.5", "9" * (pts.MAX_BYTES - 99)), 5, "a finite number", "'99999"),
    ],
)
def test_malformed(tmp_path, content, line, needed, got):
    with pytest.raises(formats.FormatError, match=re.escape("face.pts")) as caught:
        read(tmp_path, content)
    assert caught.value.records == []
    (problem,) = caught.value.problems
    assert (problem.path, problem.line) == (tmp_path / "face.pts", line)
    assert needed in problem.needed
    assert problem.got.startswith(got)
    assert len(str(problem)) < len(str(tmp_path)) + 250


SIGNED = "version: 1\nn_points: 3\n{\n-30 -40\n10 20\n-1 -1\n}\n"


@pytest.mark.parametrize("format", [None, "merl-rav"])
def test_signs_say_what_is_hidden(tmp_path, format):
    record = read(tmp_path, SIGNED, format)
    nan = float("nan")
    expected = torch.tensor([[29, 39], [9, 19], [nan, nan]], dtype=torch.float64)
    assert torch.equal(record.landmarks.nan_to_num(-7), expected.nan_to_num(-7))
    assert record.visible.tolist() == [False, True, False]


def test_pts_are_plain_when_asked_for(tmp_path):
    record = read(tmp_path, SIGNED, "pts")
    assert record.landmarks.tolist() == [[-31, -41], [9, 19], [-2, -2]]
    assert record.visible.all()


@pytest.mark.parametrize("alone", ["-3 5", "5 -3", "-3 0"])
def test_a_negative_number_alone_lies_outside_the_image(tmp_path, alone):
    content = SIGNED.replace("10 20", alone)
    record = read(tmp_path, content)
    assert record.landmarks[0].tolist() == [-31, -41]
    assert record.landmarks[1].tolist() == [float(word) - 1 for word in alone.split()]
    assert record.visible.all()
    with pytest.raises(formats.FormatError, match="both coordinates negative or none"):
        read(tmp_path, content, "merl-rav")


coordinates = st.floats(0, 1e5)


@settings(deadline=None)
@given(st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=200))
def test_any_points_come_back(tmp_path_factory, points):
    body = "".join(f"{x!r} {y!r}\n" for x, y in points)
    record = read(tmp_path_factory.mktemp("pts"), f"version: 1\nn_points: {len(points)}\n{{\n{body}}}")
    assert torch.equal(record.landmarks, torch.tensor(points, dtype=torch.float64) - 1)


def judged(path: Path) -> np.ndarray:
    """The numbers of a .pts file as NumPy reads them."""
    return np.loadtxt(path, skiprows=3, comments="}")


@pytest.mark.real
@pytest.mark.parametrize(
    ("folder", "format", "n"), [("helen_dual", "pts", 68), ("helen_dual", "pts29", 29), ("ytf68/val", None, 68)]
)
def test_real_faces(real, folder, format, n):
    records = formats.read(real / folder, format)
    suffix = "." + (format or "pts")
    assert len(records) == len(list((real / folder).glob(f"*{suffix}")))
    for record in records:
        source = Path(record.source)
        assert np.array_equal(record.landmarks.numpy(), judged(source) - 1)
        assert record.landmarks.shape == (n, 2)
        assert record.visible.all()
        assert record.image == source.with_suffix(".jpg")
        assert record.image.exists()
    assert {record.scheme for record in records} == {"300w-68" if n == 68 else "cofw-29"}


@pytest.mark.real
def test_real_merl_rav(real):
    records = formats.read(real / "formats" / "merlrav")
    assert len(records) == 20
    for record in records:
        signed = judged(Path(record.source))
        lost = (signed == -1).all(axis=1)
        assert np.array_equal(record.landmarks.isnan().all(dim=1).numpy(), lost)
        assert np.array_equal(record.landmarks.numpy()[~lost], np.abs(signed[~lost]) - 1)
        assert np.array_equal(record.visible.numpy(), signed[:, 0] > 0)
    assert all(record.image is None for record in records)
    hidden = sum(int((~r.visible & ~r.landmarks.isnan().any(dim=1)).sum()) for r in records)
    lost = sum(int(r.landmarks.isnan().any(dim=1).sum()) for r in records)
    assert (hidden, lost) == (154, 264)


@pytest.mark.real
def test_real_300vw(real):
    assert len(formats.read(real / "formats" / "300vw", "pts")) == 4
