"""HRNet's csv: columns by name, rows by themselves, the origin as it is told."""

import csv
from pathlib import Path

import pytest
import torch

from lddmmlib.data import formats


def head(n: int, extra: tuple[str, ...] = ("scale", "center_w", "center_h")) -> list[str]:
    return ["image_name", *extra, *(f"original_{i}_{axis}" for i in range(n) for axis in "xy")]


def row(n: int, name: str = "a.png", extra: tuple[float, ...] = (2.385, 489.5, 503.5)) -> list:
    return [name, *extra, *(0.5 * i for i in range(2 * n))]


def read(tmp_path: Path, rows: list[list] | bytes, format: str | None = None) -> list[formats.Record]:
    path = tmp_path / "list.csv"
    if isinstance(rows, bytes):
        path.write_bytes(rows)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    return formats.read(path, format)


@pytest.mark.parametrize(("format", "origin"), [(None, 0), ("hrnet", 0), ("hrnet-1based", 1)])
def test_a_list(tmp_path, format, origin):
    first, second = read(tmp_path, [head(98), row(98), row(98, "b, c.png")], format)
    assert first.landmarks.flatten().tolist() == [0.5 * i - origin for i in range(196)]
    assert first.visible.all()
    assert first.scheme == "wflw-98"
    assert first.attributes == {"scale": 2.385, "center": [489.5 - origin, 503.5 - origin]}
    assert (first.image, second.image) == (tmp_path / "a.png", tmp_path / "b, c.png")
    assert first.source.endswith("list.csv:2")
    assert not first.notes


def test_aflw_has_a_box_size_and_a_column_order_of_its_own(tmp_path):
    rows = [head(19, ("scale", "box_size", "center_w", "center_h")), row(19, extra=(1.81, 362.0, 449.0, 321.0))]
    (face,) = read(tmp_path, rows)
    assert face.attributes == {"scale": 1.81, "box_size": 362.0, "center": [449.0, 321.0]}
    rows = [line[:1] + line[1:][::-1] for line in rows]
    (again,) = read(tmp_path, rows)
    assert torch.equal(again.landmarks, face.landmarks)
    assert again.attributes == face.attributes


def test_68_points_are_noted(tmp_path):
    (face,) = read(tmp_path, [head(68), row(68)])
    assert "hrnet-1based" in face.notes[0]
    assert not read(tmp_path, [head(68), row(68)], "hrnet-1based")[0].notes


def test_empty_cells_are_missing(tmp_path):
    line = row(3)
    line[4:6], line[8:10] = ["", ""], ["NaN", "nan"]
    (face,) = read(tmp_path, [head(3), line])
    assert face.landmarks.isnan().all(1).tolist() == [True, False, True]
    assert face.visible.tolist() == [False, True, False]


def test_byte_order_marks_and_line_ends(tmp_path):
    text = "\n".join(",".join(map(str, line)) for line in (head(3), row(3), row(3, "père.png")))
    for raw in (text.encode("utf-8-sig"), text.replace("\n", "\r\n").encode() + b"\r\n\r\n"):
        assert [face.image.name for face in read(tmp_path, raw)] == ["a.png", "père.png"]


@pytest.mark.parametrize(
    ("at", "cell", "needed", "got"),
    [
        (4, "x", "a finite number", "'x'"),
        (4, "", "a finite number", "''"),  # x without y
        (5, "inf", "a finite number", "'inf'"),
        (4, "9" * 400, "a finite number", "'9999"),
        (1, "big", "a finite number", "'big'"),
        (2, "nan", "a finite number", "'nan'"),
    ],
)
def test_a_malformed_row_is_named_and_the_others_stay(tmp_path, at, cell, needed, got):
    bad = row(3)
    bad[at] = cell
    with pytest.raises(formats.FormatError) as caught:
        read(tmp_path, [head(3), row(3), bad, row(3)])
    assert [record.source.rsplit(":", 1)[1] for record in caught.value.records] == ["2", "4"]
    (problem,) = caught.value.problems
    assert problem.line == 3
    assert needed in problem.needed
    assert problem.got.startswith(got)


@pytest.mark.parametrize(
    ("raw", "needed", "got"),
    [
        (b"a.png,1\n", "10 columns, as in the first row", "2"),
        (b'"a.png,1,2\n', "comma-separated values", "unexpected end of data"),
        (b"p\xe8re.png,1,2,3,4,5,6,7,8,9\n", "UTF-8", "the byte 0xe8"),
    ],
)
def test_a_row_of_another_kind(tmp_path, raw, needed, got):
    good = ",".join(map(str, row(3))).encode() + b"\n"
    with pytest.raises(formats.FormatError) as caught:
        read(tmp_path, ",".join(head(3)).encode() + b"\n" + good + raw + good)
    assert len(caught.value.records) == 2
    (problem,) = caught.value.problems
    assert problem.line == 3
    assert needed in problem.needed
    assert got in problem.got


@pytest.mark.parametrize(
    ("columns", "got"),
    [
        ([*head(3)[:-2], "original_0_x", "original_2_y"], "'original_0_x' twice"),
        ([*head(3)[:-2], "original_3_x", "original_3_y"], "none called original_2_x"),
        (head(3)[:-1], "none called|original_1|columns"),
    ],
)
def test_columns_that_do_not_fit(tmp_path, columns, got):
    with pytest.raises(formats.FormatError, match=got):
        read(tmp_path, [columns, row(3)[: len(columns)]])


def test_a_list_of_no_rows_is_a_problem(tmp_path):
    with pytest.raises(formats.FormatError, match="needed at least one face, got none"):
        read(tmp_path, [head(3)])


def test_other_tables_are_not_taken_for_it(tmp_path):
    (tmp_path / "list.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(formats.FormatError, match="nothing of the kind"):
        formats.read(tmp_path)
