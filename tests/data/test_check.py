"""`python -m lddmmlib.data check`: what it says, what it draws, and its exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lddmmlib.data import check, formats, images, sheet
from lddmmlib.data.__main__ import main
from lddmmlib.faces import schemes


def pts(path: Path, points: list[tuple[float, float]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "".join(f"{x + 1!r} {y + 1!r}\n" for x, y in points)
    path.write_text(f"version: 1\nn_points: {len(points)}\n{{\n{body}}}\n", encoding="utf-8")
    return path


SQUARE = [(10.0, 10.0), (30.0, 10.0), (30.0, 30.0), (10.0, 30.0)]


@pytest.fixture
def data(tmp_path, picture):
    """A folder of two faces without fault, 60 x 40 px."""
    for seed, name in enumerate("ab"):
        picture(f"data/{name}.png", seed=seed)
        pts(tmp_path / "data" / f"{name}.pts", [(x + seed, y) for x, y in SQUARE])
    return tmp_path / "data"


def run(data: Path, capsys, *options: str) -> tuple[int, str]:
    code = main(["check", str(data), "--sheet", str(data.parent / "sheet.png"), *options])
    return code, capsys.readouterr().out


def test_a_clean_folder(data, capsys):
    code, said = run(data, capsys)
    assert code == 0
    assert said.splitlines() == [
        str(data),
        "  2 .pts files: 2 x 4 landmarks",
        "  2 images, 0 of them not annotated",
        "  8 landmarks: 8 seen, 0 hidden, 0 without a place, 0 outside their image",
        "",
        "no problems",
        "",
        f"contact sheet: {data.parent / 'sheet.png'} (2 of 2 faces)",
    ]
    assert images.load(data.parent / "sheet.png").shape[2] == 3


def broken(data: Path) -> str:
    (data / "c.pts").write_text("version: 1\nn_points: 4\n{\n1 x\n", encoding="utf-8")
    return f"broken annotations: 1\n  {data / 'c.pts'}:4: needed a finite number, got 'x'"


def alone(data: Path) -> str:
    path = pts(data / "deep" / "c.pts", SQUARE[:3])
    return f"faces without an image: 1\n  {path}: needed an image of the same stem beside it"


def missing(data: Path) -> str:
    path = data / "list.txt"
    path.write_text(" ".join(map(str, range(196))) + " none.jpg", encoding="utf-8")
    return f"missing images: 1\n  {path}:1: needed the image {data / 'none.jpg'}"


def unreadable(data: Path) -> str:
    (data / "a.png").write_bytes((data / "a.png").read_bytes()[:40])
    return f"unreadable images: 1\n  {data / 'a.png'}: needed an image"


def astray(data: Path) -> str:
    path = pts(data / "a.pts", [(59.6, 0), (0, 39.6), (-0.6, 0), (59.4, 39.4)])
    return f"faces outside their image: 1\n  {path}: most landmarks lie outside {data / 'a.png'}"


def twins(data: Path) -> str:
    (data / "b.png").write_bytes((data / "a.png").read_bytes())
    return f"duplicated files: 1\n  {data / 'a.png'} = {data / 'b.png'}"


@pytest.mark.parametrize("harm", [broken, alone, missing, unreadable, astray, twins])
def test_each_fault_is_found_and_only_it(data, capsys, harm):
    expected = harm(data)
    code, said = run(data, capsys)
    assert code == 1
    assert f"\n\n{expected}" in said
    assert said.count("\n\n") == 2  # one heading, and the sheet
    assert "no problems" not in said
    assert (data.parent / "sheet.png").exists()


def test_all_faults_at_once(data, capsys):
    for harm in (missing, alone, broken, astray, twins):
        harm(data)
    code, said = run(data, capsys)
    assert code == 1
    assert "4 .pts files: 2 x 4 landmarks, 1 x 3 landmarks" in said
    for head in ("broken annotations", "faces without an image", "missing images", "faces outside their image"):
        assert f"\n{head}: 1\n" in said
    assert "1 WFLW list: 1 x wflw-98" in said


def test_what_is_no_fault_is_counted(data, capsys):
    pts(data / "a.pts", [(59.6, 0), (0, 39.6), (59.4, 39.4), (-0.4, -0.4)])  # two outside by a tenth of a pixel
    images.save(np.zeros((9, 9, 3), np.uint8), data / "c.png")
    (data / "d.pts29").write_text("version: 1\nn_points: 3\n{\n5 5\n-6 -7\n-1 -1\n}\n", encoding="utf-8")
    images.save(np.ones((9, 9, 3), np.uint8), data / "d.png")
    (data / "d.pts29").rename(data / "d.pts")
    code, said = run(data, capsys)
    assert code == 0
    assert "4 images, 1 of them not annotated" in said
    assert "11 landmarks: 9 seen, 1 hidden, 1 without a place, 2 outside their image" in said


def test_many_problems_are_cut_short(data, capsys):
    for i in range(check.SHOWN + 3):
        (data / f"x{i:02}.pts").write_text(f"no {i}", encoding="utf-8")
    code, said = run(data, capsys)
    assert code == 1
    assert f"broken annotations: {check.SHOWN + 3}\n" in said
    assert said.count("x0") + said.count("x1") == check.SHOWN
    assert "  ... and 3 more\n" in said


def test_nothing_to_check(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    code, said = run(tmp_path / "empty", capsys)
    assert code == 1
    assert "no annotation: 1" in said
    assert not (tmp_path / "sheet.png").exists()


def test_one_file_and_the_sheet_inside_the_data(data, capsys, monkeypatch):
    monkeypatch.chdir(data)
    for path, said in (("a.pts", "0 images"), (".", "2 images, 0 of them not annotated")):
        assert main(["check", path]) == 0
        assert said in capsys.readouterr().out
    assert (data / "contact_sheet.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required"),
        (["check"], "DIR"),
        (["check", "none"], "needed a folder or a file, got none"),
        (["check", ".", "--count", "0"], "--count: needed at least 1, got 0"),
        (["check", ".", "--count", "many"], "invalid int"),
        (["check", ".", "--sheet", "a.gif"], "--sheet: needed a .png"),
        (["check", ".", "--sheet", "none/a.png"], "in a folder that exists"),
    ],
)
def test_usage(data, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(data)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_sheet_that_cannot_be_written(data, capsys):
    (data / "sheet.png").mkdir()
    with pytest.raises(SystemExit) as caught:
        main(["check", str(data), "--sheet", str(data / "sheet.png")])
    assert caught.value.code == 2
    assert "--sheet:" in capsys.readouterr().err


def test_as_a_program_with_names_that_no_terminal_can_write(data):
    try:
        (Path(os.fsdecode(os.fsencode(data) + b"/\xff.pts"))).write_text("no", encoding="utf-8")
    except OSError:
        pytest.skip("this file system has names in Unicode only")
    pts(data / "é☃.pts", SQUARE[:2])
    done = subprocess.run(
        [sys.executable, "-m", "lddmmlib.data", "check", str(data), "--sheet", str(data.parent / "s.png")],
        capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"}, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert b"\\udcff.pts:1: needed 'version: 1', got 'no'" in done.stdout
    assert b"Traceback" not in done.stderr


# ------------------------------------------------------------------------------------------------------ sheet


def record(points: list, image: Path | None = None, **changes) -> formats.Record:
    landmarks = torch.tensor(points, dtype=torch.float64)
    visible = ~landmarks.isnan().any(dim=1)
    return formats.Record(image, landmarks, visible, None, None, {}, "face.pts")._replace(**changes)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 24])
def test_sheets_of_any_number(n):
    paper = sheet.draw([record(SQUARE)] * n, "title")
    tiles = (paper == np.array(sheet.EMPTY, np.uint8)).all(axis=2).sum()
    assert tiles > 0.9 * n * (150 * 150)
    assert paper.shape[1] <= sheet.WIDTH
    wide = max(paper.shape[1] / paper.shape[0], paper.shape[0] / paper.shape[1])
    assert wide < 4
    noted = sheet.draw([record(SQUARE)] * n, "title", ["a note"] * 40)
    assert noted.shape[0] == paper.shape[0] + (sheet.NOTES + 1) * sheet.LINE + sheet.MARGIN


def test_spread_evenly():
    faces = [record(SQUARE, source=str(i)) for i in range(10)]
    for n, count, expected in ((10, 3, "036"), (3, 24, "012"), (0, 24, "")):
        assert "".join(face.source for face in sheet.spread(faces[:n], count)) == expected


def test_landmarks_are_drawn_in_their_place_and_colour():
    """A dot of the scheme's colour lies where similarity maps the landmark; a hidden one is white inside."""
    side = 200
    points = [(100.0, 50.0), (160.0, 90.0), (130.0, 110.0)]
    tile = sheet._tile(record(points, visible=torch.tensor([True, True, False])), side)
    size = round(1.35 * 60 + 8)
    left, top = round(130 - size / 2), round(80 - size / 2)
    for (x, y), seen in zip(points, (True, True, False), strict=True):
        u, v = (x - left + 0.5) * side / size - 0.5, (y - top + 0.5) * side / size - 0.5
        wanted = sheet._bgr(schemes.COLOURS["edge"]) if seen else (255, 255, 255)
        assert np.abs(tile[round(v), round(u)].astype(int) - wanted).max() <= 3


def test_curves_have_their_colours():
    scheme = schemes.get("cofw-29")
    points = torch.rand(29, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 100
    face = record(points.tolist(), scheme="cofw-29")
    tile = sheet._tile(face, 400).reshape(-1, 3)
    for part in {scheme.colours[curve] for curve in scheme.curves}:
        assert (np.abs(tile.astype(int) - sheet._bgr(part)).max(axis=1) <= 3).sum() > 5
    points[list(scheme.curves["jaw"])] = torch.nan
    tile = sheet._tile(record(points.tolist(), scheme="cofw-29"), 400).reshape(-1, 3)
    assert not (np.abs(tile.astype(int) - sheet._bgr(scheme.colours["jaw"])).max(axis=1) <= 3).any()


def test_a_curve_is_broken_where_a_landmark_has_no_place():
    points = torch.full((68, 2), torch.nan, dtype=torch.float64)
    points[0], points[2] = torch.tensor([10.0, 10.0]), torch.tensor([90.0, 90.0])
    tile = sheet._tile(record(points.tolist(), scheme="300w-68"), 400)
    drawn = (tile != np.array(sheet.EMPTY, np.uint8)).any(axis=2)
    assert 20 < drawn.sum() < 100  # two dots, no line


def test_colours_are_read_as_opencv_has_them():
    assert sheet._bgr("#010aff") == (255, 10, 1)


def test_cut_is_a_padded_crop():
    pixels = np.random.default_rng(0).integers(0, 200, (9, 7, 3), dtype=np.uint8)
    padded = np.stack([np.pad(pixels[..., c], 20, constant_values=sheet.EMPTY[c]) for c in range(3)], axis=-1)
    for left, top in ((-3, -4), (2, 1), (5, 8), (-20, 0), (7, 9)):
        expected = padded[top + 20 : top + 30, left + 20 : left + 30]
        assert np.array_equal(sheet._cut(pixels, left, top, 10)[: len(expected), : expected.shape[1]], expected)


NAN = float("nan")


@pytest.mark.parametrize(
    "points",
    [
        [(NAN, NAN)] * 3,
        [(1e308, 0), (-1e308, 0)],
        [(1e300, 1e300), (1e300, 1e300)],
        [(1e7, 0), (0, 0)],
        [(5e5, 5e5), (5e5 + 20, 5e5)],
        [(0, 0), (4e5, 4e5)],  # no memory holds its picture
        [(5.0, 5.0)],
        [(-300.0, -300.0), (300.0, 300.0)],
    ],
)
def test_odd_faces_are_drawn_too(picture, points):
    paper = sheet.draw([record(points, picture("a.png"))], "title " * 99, ["note " * 99])
    assert paper.dtype == np.uint8


def test_no_letter_is_too_foreign():
    paper = sheet.draw([record(SQUARE, Path("\udcff☃" * 200 + ".png"))], "é")
    assert paper.dtype == np.uint8


@pytest.mark.real
def test_real_folders(real, tmp_path, capsys):
    code = main(["check", str(real / "helen_dual"), "--sheet", str(tmp_path / "a.png")])
    said = capsys.readouterr().out
    assert code == 0
    assert "250 .pts files: 250 x 300w-68" in said
    assert "250 .pts29 files: 250 x cofw-29" in said
    assert "250 images, 0 of them not annotated" in said
    code = main(["check", str(real / "formats"), "--sheet", str(tmp_path / "b.png"), "--count", "5"])
    said = capsys.readouterr().out
    assert code == 1  # MERL-RAV comes without images
    assert "5 COCO jsons: 5 x 300w-68, 2 x aflw-19, 2 x cofw-29, 4 x wflw-98" in said
    assert "faces without an image: 20" in said
    assert f"contact sheet: {tmp_path / 'b.png'} (5 of 37 faces)" in said
