"""dlib's xml: boxes and their parts, numbered or named; what is broken is told with its line, the rest is read."""

import random
import re
from pathlib import Path

import pytest
import torch

from lddmmlib.data import formats

HEAD = "<?xml version='1.0' encoding='ISO-8859-1'?>\n<?xml-stylesheet type='text/xsl' href='x.xsl'?>\n<dataset>\n"


def box(parts: list[tuple[str, float, float]], values: str = "top='5' left='4' width='30' height='20'") -> str:
    inner = "".join(f"<part name='{name}' x='{x}' y='{y}'/>" for name, x, y in parts)
    return f"<box {values}>\n<label>me</label>{inner}</box>\n"


def xml(*boxes: str, file: str = "a.png", size: str = "") -> str:
    return f"{HEAD}<images>\n<image file='{file}'{size}>\n{''.join(boxes)}</image></images></dataset>\n"


def read(tmp_path: Path, text: str | bytes) -> list[formats.Record]:
    path = tmp_path / "faces.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("latin-1"))
    return formats.read(path)


def numbered(names: list[str]) -> list[tuple[str, float, float]]:
    return [(name, int(name), 2 * int(name)) for name in names]


GOOD = box(numbered(["0", "1"]))


@pytest.mark.parametrize(
    ("names", "n", "first", "scheme"),
    [
        ([f"{i:02}" for i in range(68)], 68, 0, "300w-68"),
        ([f"{i}" for i in range(68)], 68, 0, "300w-68"),  # as numbers, not "1", "10", "11"
        ([f"{i}" for i in range(1, 69)], 68, 1, "300w-68"),
        ([f"{i:02}" for i in range(17, 68)], 68, 0, "300w-68"),  # without the jaw
        ([f"{i:03}" for i in range(194)], 194, 0, "helen-194"),
        ([f"{i}" for i in range(5)], 5, 0, None),
        ([f"{i}" for i in range(1, 6)], 5, 1, None),
        (["3", "90000000", "7"], 3, None, None),
    ],
)
def test_numbered_parts(tmp_path, names, n, first, scheme):
    shuffled = numbered(random.Random(0).sample(names, len(names)))
    (face,) = read(tmp_path, xml(box(shuffled)))
    assert len(face.landmarks) == n
    assert face.scheme == scheme
    if first is None:
        assert face.landmarks[:, 0].tolist() == [3, 7, 90000000]
    else:
        for name in names:
            assert face.landmarks[int(name) - first].tolist() == [int(name), 2 * int(name)]
    assert int(face.landmarks.isnan().any(1).sum()) == n - len(names)
    assert torch.equal(face.visible, ~face.landmarks.isnan().any(1))


def test_named_parts_boxes_and_attributes(tmp_path):
    one = box([("nose", 5, 6), ("chin", 7, 8)], "top='5' left='4' width='30' height='20' ignore='1' pose='2'")
    two = box([("chin", 9, 9)], "")
    first, second = read(tmp_path, xml(one, two, size=" width='60' height='40'"))
    assert first.landmarks.tolist() == [[7, 8], [5, 6]]  # by name, as dlib sorts them
    assert second.landmarks.isnan().any(1).tolist() == [False, True]
    assert first.box == (4, 5, 30, 20)
    assert second.box is None
    assert first.attributes == {"ignore": "1", "pose": "2"}
    assert first.claims == {"size": (40, 60)}
    assert first.source.endswith("faces.xml:6")
    assert first.image == tmp_path / "a.png"


@pytest.mark.parametrize("text", [
    xml(box(numbered(["0", "1"]))).replace("ISO-8859-1", "UTF-8").encode("utf-8-sig"),
    xml(box(numbered(["0", "1"]))).replace("\n", "\r\n"),
    "<?xml version='1.0'?><!DOCTYPE dataset SYSTEM 'http://elsewhere/x.dtd'>" + xml(GOOD).partition("?>")[2],
    xml(box(numbered(["0", "1"])), file="p\xe8re.png"),
])  # fmt: skip
def test_what_tools_do_to_a_text(tmp_path, text):
    (face,) = read(tmp_path, text)
    assert face.landmarks.tolist() == [[0, 0], [1, 2]]


@pytest.mark.parametrize(
    ("bad", "needed", "got"),
    [
        (GOOD.replace("x='1'", "x='one'"), "a finite number", "'one'"),
        (GOOD.replace("x='1'", "x='nan'"), "a finite number", "'nan'"),
        (GOOD.replace("x='1'", ""), "a finite number", "''"),
        (GOOD.replace("name='1'", "name='0'"), "each part once", "'0' twice"),
        (GOOD.replace("name='1'", "name='00'"), "each part once", "'00' twice"),
        (GOOD.replace("width='30'", "width='-3'"), "a box", "[4.0, 5.0, -3.0"),
        (GOOD.replace("width='30'", ""), "a finite number", "''"),
        (GOOD.replace("top='5'", "top='1e999'"), "a finite number", "'1e999'"),
    ],
)
def test_a_malformed_box_is_named_and_the_others_stay(tmp_path, bad, needed, got):
    with pytest.raises(formats.FormatError) as caught:
        read(tmp_path, xml(GOOD, bad, GOOD))
    assert [record.source.rsplit(":", 1)[1] for record in caught.value.records] == ["6", "10"]
    (problem,) = caught.value.problems
    assert problem.line == 8
    assert problem.needed.startswith(needed)
    assert problem.got.startswith(got)


def test_what_is_before_a_break_is_read(tmp_path):
    text = xml(GOOD, GOOD, GOOD)
    cut = text[: text.rindex("<part name='0'") + 5]
    with pytest.raises(formats.FormatError, match=r"faces\.xml:11: column \d+: needed xml, got") as caught:
        read(tmp_path, cut)
    assert len(caught.value.records) >= 2


def test_entities_are_refused(tmp_path):
    bomb = '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    with pytest.raises(formats.FormatError, match="xml without entities"):
        read(tmp_path, xml(GOOD).replace("<dataset>", bomb + "<dataset>"))


def test_an_image_listed_twice_names_both_places(tmp_path):
    text = xml(GOOD).replace("</images>", f"<image file='a.png'>{GOOD}</image></images>")
    with pytest.raises(formats.FormatError, match=re.escape("got line 5 and line 8 for a.png")) as caught:
        read(tmp_path, text)
    assert len(caught.value.records) == 2


@pytest.mark.parametrize(
    "text", [xml(), xml("<box top='1' left='1' width='2' height='2'/>"), xml(GOOD).replace(" file='a.png'", "")]
)
def test_nothing_to_read_is_a_problem(tmp_path, text):
    with pytest.raises(formats.FormatError, match=r"at least one face|parts in a box|an image with a file"):
        read(tmp_path, text)
