"""`python -m lddmmlib.data check`: what it says, what it draws, and its exit codes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lddmmlib.data import check, contact_sheet, formats, images
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


def coco(path: Path, name: str, keypoints: list, size: tuple | None = (60, 40), **more: object) -> Path:
    image = {"id": 1, "file_name": name} | ({"width": size[0], "height": size[1]} if size else {})
    category = {"id": 1, "keypoints": [f"p{i}" for i in range(len(keypoints) // 3)]}
    entry = {"id": 5, "image_id": 1, "category_id": 1, "keypoints": keypoints} | more
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": [image], "annotations": [entry], "categories": [category]}), encoding="utf-8")
    return path


FACE = [10, 10, 2, 30, 10, 2, 20, 30, 2]


@pytest.mark.parametrize(
    ("keypoints", "more", "head", "said"),
    [
        (FACE, {"size": (160, 120)}, "images of another size", "needed an image of 160 x 120 px .* got .* of 60 x 40"),
        (FACE, {"size": (40, 60)}, "images of another size", "needed an image of 40 x 60 px .*; take the image that"),
        (FACE, {"size": (0, 0)}, "images of another size", "needed an image of 0 x 0 px"),
        (FACE, {"size": ("60", 40)}, "images of another size", "needed an image of '60' x 40 px"),
        (FACE, {"size": ([60], 40)}, "images of another size", r"needed an image of \[60\] x 40 px"),
        (FACE, {"num_keypoints": 2}, "other numbers of landmarks", "num_keypoints = 2 landmarks with v > 0, got 3"),
        (FACE, {"bbox": [70, 5, 20, 20]}, "boxes outside their image", "box x 70, y 5, w 20, h 20 of .* .60 x 40."),
        (FACE, {"bbox": [-50, 5, 70, 20]}, "boxes outside their image", "box x -50"),
        (FACE, {"bbox": [40, 20, 15, 15]}, "boxes beside their landmarks", "got 0 of 3 in it"),
        ([*FACE, 500, 10, 2], {}, "landmarks far outside their image", r"landmark 3 at \(500, 10\) of .* .60 x 40."),
        ([0] * 9, {}, "no landmark", "got none in 1 faces"),
        ([0, 0, 1, *FACE], {}, "note: landmarks at places that often", r"1 at \(0, 0\)"),
        ([0, 0, 2, 0, 0, 2, *FACE], {}, "note: landmarks at places that often", r"2 at \(0, 0\)"),
        ([-1, -1, 2, *FACE, -10, -10, 1], {}, "note: landmarks at places that often", r"2 at \(-10, -10\), \(-1, -1\)"),
        ([0.2, 0.3, 2, 0.6, 0.3, 2, 0.4, 0.8, 2], {}, "note: faces within two pixels", "3 landmarks"),
        ([-0.4, -0.45, 2, 0.6, -0.3, 2, 0.1, 1.2, 2], {}, "note: faces within two pixels", "3 landmarks"),
        (FACE, {"bbox": [-5, -5, 40, 40]}, "note: boxes that reach beyond", "box x -5, y -5"),
        (FACE, {"category_id": 3}, "note: faces of a category", "annotation 5"),
    ],
)
def test_what_a_json_says_is_compared(tmp_path, picture, capsys, keypoints, more, head, said):
    picture("set/a.png")
    coco(tmp_path / "set/a.json", "a.png", keypoints, **more)
    code, out = run(tmp_path / "set", capsys)
    assert code == (0 if head.startswith("note") else 1)
    assert re.search(rf"\n{re.escape(head)}[^\n]*: 1\n  [^\n]*a\.json[^\n]*{said}|\n{head}: 1\n  [^\n]*{said}", out), (
        out
    )


def test_a_json_that_is_right_raises_nothing(tmp_path, picture, capsys):
    picture("set/a.png")
    coco(tmp_path / "set/a.json", "a.png", [0, 0, 0, *FACE], num_keypoints=3, bbox=[10, 10, 20, 20])
    code, out = run(tmp_path / "set", capsys)
    assert code == 0
    assert "note" not in out


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("stated", [(160, 120), (120, 160), None])
def test_a_picture_that_exif_turns(tmp_path, capsys, orientation, stated):
    """It is loaded as displayed; a size as stored is a problem that says both and how to mend it."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x112] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (15, 20, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    (tmp_path / "set").mkdir()
    Image.fromarray(pixels).save(tmp_path / "set/a.jpg", exif=exif)
    shown = (120, 160) if orientation == 6 else (160, 120)
    assert images.load(tmp_path / "set/a.jpg").shape[1::-1] == shown
    assert images.load(tmp_path / "set/a.jpg", turned=False).shape[1::-1] == (160, 120)
    coco(tmp_path / "set/a.json", "a.jpg", FACE, stated)
    code, out = run(tmp_path / "set", capsys)
    assert "note: images turned by EXIF" in out
    assert code == (0 if stated in (shown, None) else 1)
    if code:
        w, h = stated
        assert f"needed an image of {w} x {h} px" in out
        assert f"of {shown[0]} x {shown[1]}" in out
        assert ("EXIF orientation turns it: if the landmarks" in out) == (orientation == 6)


def test_faces_given_twice_and_files_of_no_format_are_noted(data, capsys):
    (data / "settings.json").write_text("{}", encoding="utf-8")
    (data / "a_2.pts").write_bytes((data / "a.pts").read_bytes() + b"\n")
    code, out = run(data, capsys)
    assert code == 0
    assert f"note: faces given twice: 1\n  {data / 'a.pts'} = {data / 'a_2.pts'}" in out
    assert f"note: files of no format that is known: 1\n  {data / 'settings.json'}" in out
    assert "note: images found by the face's name without its number (x.jpg for x_2.pts): 1" in out


def test_images_elsewhere(tmp_path, picture, capsys):
    picture("pixels/deep/a.png")
    picture("pixels/b.png", seed=1)
    coco(tmp_path / "set/a.json", "deep/a.png", FACE)
    code, out = run(tmp_path / "set", capsys)
    assert code == 1
    assert "missing images: 1" in out
    code, out = run(tmp_path / "set", capsys, "--images", str(tmp_path / "pixels"))
    assert code == 0
    assert "2 images, 1 of them not annotated" in out


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
        (["check", ".", "--images", "none"], "--images: needed a folder, got none"),
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
    paper = contact_sheet.draw([record(SQUARE)] * n, "title")
    tiles = (paper == 0xE1).all(axis=2).sum()  # the ground of a face without an image
    assert tiles > 0.8 * n * (150 * 150)
    assert paper.shape[1] <= contact_sheet.WIDTH
    wide = max(paper.shape[1] / paper.shape[0], paper.shape[0] / paper.shape[1])
    assert wide < 4
    noted = contact_sheet.draw([record(SQUARE)] * n, "title", ["a note"] * 40)
    assert (
        abs(noted.shape[0] - paper.shape[0] - (contact_sheet.NOTES + 1) * contact_sheet.LINE - contact_sheet.MARGIN)
        <= 1
    )


def test_a_sheet_is_the_same_whatever_layout_the_reader_prefers():
    from matplotlib import rc_context

    plain = contact_sheet.draw([record(SQUARE)], "title")
    with rc_context({"figure.constrained_layout.use": True}):
        np.testing.assert_array_equal(contact_sheet.draw([record(SQUARE)], "title"), plain)


def test_spread_evenly():
    faces = [record(SQUARE, source=str(i)) for i in range(10)]
    for n, count, expected in ((10, 3, "036"), (3, 24, "012"), (0, 24, "")):
        assert "".join(face.source for face in contact_sheet.spread(faces[:n], count)) == expected


def drawn(face: formats.Record):
    """A face on axes of its own."""
    from matplotlib.figure import Figure

    axes = Figure(figsize=(4, 4)).add_axes((0, 0, 1, 1))
    contact_sheet.face(axes, face)
    return axes


def test_landmarks_are_drawn_in_their_place_and_colour():
    """Each at its coordinates, in its colour; a hidden one is white inside."""
    from matplotlib.colors import to_hex

    points = [(100.0, 50.0), (160.0, 90.0), (130.0, 110.0)]
    axes = drawn(record(points, visible=torch.tensor([True, True, False])))
    dots = axes.collections[-1]
    assert dots.get_offsets().tolist() == [[*point] for point in points]
    edge = schemes.COLOURS["edge"].lower()
    assert [to_hex(colour) for colour in dots.get_facecolors()] == [edge, edge, "#ffffff"]
    left, right, low, high = *axes.get_xlim(), *axes.get_ylim()
    assert left < 100 < 160 < right
    assert low > 110 > 50 > high  # y down
    assert right - left == pytest.approx(low - high)


def test_pixels_lie_under_their_landmarks(picture):
    path = picture("a.png", (40, 60))
    (shown,) = drawn(record(SQUARE, path)).images
    assert [*shown.get_extent()] == [-0.5, 59.5, 39.5, -0.5]
    assert np.array_equal(shown.get_array(), images.load(path)[..., ::-1])


def test_curves_have_their_colours_and_break_where_a_landmark_has_no_place():
    scheme = schemes.get("cofw-29")
    points = torch.rand(29, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 100
    points[scheme.curves["outer_lip"][1]] = torch.nan
    axes = drawn(record(points.tolist(), scheme="cofw-29"))
    assert [line.get_color() for line in axes.lines] == [scheme.colours[curve] for curve in scheme.curves]
    for line, polyline in zip(axes.lines, scheme.lines(points).values(), strict=True):
        assert np.array_equal(np.c_[line.get_xdata(), line.get_ydata()], polyline.numpy(), equal_nan=True)


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
    paper = contact_sheet.draw([record(points, picture("a.png"))], "title " * 99, ["note " * 99])
    assert paper.dtype == np.uint8


def test_no_letter_is_too_foreign():
    paper = contact_sheet.draw([record(SQUARE, Path("\udcff☃$x" * 200 + ".png"))], "é $a$ \udcff")
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
