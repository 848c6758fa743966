import json
import re
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lddmmlib.data import coco, coco_writer, formats, images
from lddmmlib.faces import schemes

# The published COCO keypoint format (cocodataset.org, "Data format"), as a JSON schema.
NUMBER, ID = {"type": "number"}, {"type": "integer", "minimum": 1}


def entries(required: dict) -> dict:
    return {"type": "array", "items": {"type": "object", "properties": required, "required": list(required)}}


PUBLISHED = {
    "type": "object",
    "required": ["info", "images", "annotations", "categories"],
    "properties": {
        "info": {"type": "object"},
        "images": entries({"id": ID, "file_name": {"type": "string"}, "width": ID, "height": ID}),
        "annotations": entries(
            {
                "id": ID,
                "image_id": ID,
                "category_id": ID,
                "segmentation": {"type": ["array", "object"]},
                "area": NUMBER,
                "bbox": {"type": "array", "items": NUMBER, "minItems": 4, "maxItems": 4},
                "iscrowd": {"enum": [0, 1]},
                "keypoints": {"type": "array", "items": NUMBER},
                "num_keypoints": {"type": "integer"},
            }
        ),
        "categories": entries(
            {
                "id": ID,
                "name": {"type": "string"},
                "supercategory": {"type": "string"},
                "keypoints": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
                "skeleton": {"type": "array", "items": {"type": "array", "items": ID, "minItems": 2, "maxItems": 2}},
            }
        ),
    },
}


def face(image: Path, n: int = 29, **changes) -> formats.Record:
    """A face with a seen, a hidden and a lost landmark."""
    landmarks = torch.rand(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) * 37
    landmarks[1] = torch.nan
    visible = torch.arange(n) > 1
    record = formats.Record(image, landmarks, visible, None, {29: "cofw-29", 68: "300w-68"}[n], {}, "")
    return record._replace(**changes)


def same(a: formats.Record, b: formats.Record) -> None:
    assert torch.equal(a.landmarks.isnan(), b.landmarks.isnan())
    assert torch.equal(a.landmarks.nan_to_num(-1), b.landmarks.nan_to_num(-1))
    assert torch.equal(a.visible, b.visible)
    assert (a.image, a.scheme, a.attributes) == (b.image, b.scheme, b.attributes)
    assert b.box == (a.box or b.box)


def written(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


# ---------------------------------------------------------------------------------------------------- writing


def test_a_face_that_is_all_hidden_stays_hidden(tmp_path, picture):
    record = face(picture("a.png"), visible=torch.zeros(29, dtype=torch.bool))
    formats.write_coco([record], tmp_path / "a.json")
    same(record, formats.read(tmp_path / "a.json")[0])


numbers = st.floats(-1e4, 1e4)
landmark = st.one_of(st.none(), st.tuples(numbers, numbers, st.booleans()))
boxes = st.one_of(st.none(), st.tuples(numbers, numbers, st.floats(0, 1e4), st.floats(0, 1e4)))


@settings(deadline=None)
@given(st.lists(landmark, min_size=19, max_size=19).filter(any), boxes, st.dictionaries(st.text(), st.booleans()))
def test_everything_comes_back_to_the_last_bit(tmp_path_factory, marks, box, attributes):
    folder = tmp_path_factory.mktemp("coco")
    images.save(torch.zeros(4, 5, 3, dtype=torch.uint8).numpy(), folder / "é b.png")
    nan = float("nan")
    record = formats.Record(
        folder / "é b.png",
        torch.tensor([mark[:2] if mark else (nan, nan) for mark in marks], dtype=torch.float64),
        torch.tensor([bool(mark and mark[2]) for mark in marks]),
        box,
        "aflw-19",
        attributes,
        "",
    )
    formats.write_coco([record], folder / "a.json")
    same(record, formats.read(folder / "a.json")[0])


def test_the_published_format(tmp_path, picture):
    records = [
        face(picture("images/a.png", (40, 60)), 68),
        face(picture("images/b.png", (30, 20)), 68, box=(1.0, 2.0, 3.0, 4.0), attributes={"pose": True}),
        face(picture("images/a.png", (40, 60)), 68),
    ]
    formats.write_coco(records, tmp_path / "faces.json")
    data = written(tmp_path / "faces.json")
    jsonschema.validate(data, PUBLISHED)
    assert [(i["file_name"], i["height"], i["width"]) for i in data["images"]] == [
        ("images/a.png", 40, 60),
        ("images/b.png", 30, 20),
    ]
    assert [a["image_id"] for a in data["annotations"]] == [1, 2, 1]
    assert [a["id"] for a in data["annotations"]] == [1, 2, 3]
    assert data["categories"][0]["keypoints"] == list(schemes.get("300w-68").names)
    for entry, record in zip(data["annotations"], records, strict=True):
        x, y, v = (entry["keypoints"][i::3] for i in range(3))
        assert v == [1, 0, *[2] * 66]
        assert (x[1], y[1]) == (0, 0)
        assert entry["num_keypoints"] == 67
        assert entry["area"] == entry["bbox"][2] * entry["bbox"][3]
        if record.box is None:
            x, y = ([value for value, flag in zip(axis, v, strict=True) if flag] for axis in (x, y))
            low_x, low_y, w, h = entry["bbox"]
            assert (low_x, low_y, low_x + w, low_y + h) == pytest.approx((min(x), min(y), max(x), max(y)))
    assert data["annotations"][1]["bbox"] == [1, 2, 3, 4]
    assert data["annotations"][1]["attributes"] == {"pose": True}


def test_what_mmpose_datumaro_and_fiftyone_ask_for(tmp_path, picture):
    """What each importer looks up, said by its own rules."""
    formats.write_coco([face(picture("images/a.png"), 68)], tmp_path / "a.json", root=tmp_path / "images")
    data = written(tmp_path / "a.json")
    (image,), (entry,), (category,) = data["images"], data["annotations"], data["categories"]
    # mmpose: the image is data_prefix + file_name; face data sets take the crop, the others the box with an area.
    assert (tmp_path / "images" / image["file_name"]).is_file()
    assert len(entry["center"]) == 2
    assert isinstance(entry["scale"], float)
    assert min(entry["bbox"][2:]) > 0
    assert max(entry["keypoints"]) > 0
    # Datumaro (CVAT): types are exact, a category's id is not 0, flags are its enumeration 0, 1, 2.
    assert type(entry["iscrowd"]) is type(entry["category_id"]) is type(entry["id"]) is int
    assert entry["segmentation"] == []
    assert {*map(type, entry["keypoints"][2::3])} == {int}
    assert {*entry["keypoints"][2::3]} <= {0, 1, 2}
    assert isinstance(category["keypoints"], list)
    # FiftyOne: the name is a key in the listing of data_path.
    assert image["file_name"] in {path.relative_to(tmp_path / "images").as_posix() for path in tmp_path.rglob("*.png")}
    assert formats.read(tmp_path / "a.json")[0].image == tmp_path / "images" / "a.png"


@pytest.mark.parametrize("name", ["300w-68", "wflw-98", "cofw-29", "aflw-19", "helen-194", "lfw-74", "union-113"])
def test_skeleton(name):
    scheme = schemes.get(name)
    category = coco_writer._category(scheme)
    bones = {tuple(bone) for bone in category["skeleton"]}
    assert len(bones) == len(category["skeleton"])
    assert all(1 <= a < b <= scheme.n for a, b in bones)
    jaw = scheme.curves["jaw"]
    assert {(min(pair) + 1, max(pair) + 1) for pair in pairwise(jaw)} <= bones
    if name == "300w-68":
        assert {(1, 2), (16, 17), (37, 38), (37, 42), (28, 29)} <= bones  # an eye is closed, the jaw is not
        assert (1, 17) not in bones
        assert (17, 18) not in bones


def test_replaced_whole_or_not_at_all(tmp_path, picture, monkeypatch):
    path, record = tmp_path / "a.json", face(picture("a.png"))
    formats.write_coco([record], path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        formats.write_coco([record], path)
    with pytest.raises(TypeError):
        formats.write_coco([record._replace(attributes={"a": torch.zeros(1)})], path, overwrite=True)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("no power")))
        with pytest.raises(OSError, match="no power"):
            formats.write_coco([record, record], path, overwrite=True)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.png"]
    formats.write_coco([record, record], path, overwrite=True)
    assert len(formats.read(path)) == 2


def lost(record: formats.Record) -> formats.Record:
    return record._replace(landmarks=torch.full((29, 2), torch.nan), visible=torch.zeros(29, dtype=torch.bool))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r._replace(image=None), r"records\[0\]: needed an image, got None"),
        (lambda r: r._replace(image=r.image.with_name("none.png")), "needed an image that can be read"),
        (lambda r: r._replace(image=r.image.parents[1] / "a.png"), "needed an image under .* give the images' folder"),
        (lambda r: r._replace(landmarks=r.landmarks[:5]), r"records\[0\]\.landmarks: needed 29 points, got 5"),
        (lambda r: r._replace(landmarks=r.landmarks[None]), r"needed landmarks \(29, 2\)"),
        (lambda r: r._replace(visible=r.visible[:5]), r"and visible \(29,\), got \(29, 2\) and \(5,\)"),
        (lambda r: r._replace(visible=torch.ones(29, dtype=torch.bool)), "visible False"),
        (lambda r: r._replace(landmarks=r.landmarks.index_fill(1, torch.tensor(0), 1.0)), "NaN for x and y"),
        (lambda r: r._replace(landmarks=r.landmarks.nan_to_num(torch.inf)), "needed finite coordinates"),
        (lost, "needed one landmark with a place, or a box"),
        (lambda r: r._replace(scheme=None), "scheme: none of the records has one"),
        (lambda r: r._replace(scheme="400w"), "scheme: needed one of"),
    ],
)
def test_what_cannot_be_written(tmp_path, picture, change, message):
    with pytest.raises(ValueError, match=message):
        formats.write_coco([change(face(picture("a.png")))], tmp_path / "a.json")
    assert not (tmp_path / "a.json").exists()


def test_a_box_stands_in_for_landmarks(tmp_path, picture):
    record = lost(face(picture("a.png"), box=(3.0, 4.0, 5.0, 6.0)))
    formats.write_coco([record], tmp_path / "a.json")
    same(record, formats.read(tmp_path / "a.json")[0])
    assert written(tmp_path / "a.json")["annotations"][0]["num_keypoints"] == 0


# ---------------------------------------------------------------------------------------------------- reading

IMAGE = {"id": 7, "file_name": "a.png", "width": 60, "height": 40}
ENTRY = {"id": 1, "image_id": 7, "category_id": 1, "keypoints": [3, 4.5, 2, 5, 6, 1, 0, 0, 0], "bbox": [1, 2, 3, 4]}
CATEGORY = {"id": 1, "name": "face", "keypoints": ["a", "b", "c"], "skeleton": []}


def lines(entries: list, categories: list = (CATEGORY,), images: list = (IMAGE,)) -> str:
    """A json with each annotation on a line of its own, from the fourth on."""
    body = ",\n".join(map(json.dumps, entries))
    return (
        f'{{"images": {json.dumps([*images])},\n"categories": {json.dumps([*categories])},\n"annotations": [\n{body}]}}'
    )


def read(tmp_path: Path, text: str, format: str | None = None) -> list[formats.Record]:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    return formats.read(tmp_path / "a.json", format)


@pytest.mark.parametrize(("format", "origin"), [(None, 0), ("coco", 0), ("coco-1based", 1)])
def test_three_states_and_the_origin(tmp_path, format, origin):
    crop = {"center": [10, 20.5], "scale": 1.5, "box_size": 30}
    (record,) = read(tmp_path, lines([ENTRY | crop]), format)
    assert record.landmarks[:2].tolist() == [[3 - origin, 4.5 - origin], [5 - origin, 6 - origin]]
    assert record.landmarks[2].isnan().all()
    assert record.visible.tolist() == [True, False, False]
    assert record.box == (1 - origin, 2 - origin, 3, 4)
    assert record.scheme is None
    assert record.attributes == {"center": [10 - origin, 20.5 - origin], "scale": 1.5, "box_size": 30}
    assert record.source.endswith("a.json: annotation 1")
    assert record.image == tmp_path / "a.png"


@pytest.mark.parametrize(
    ("names", "v", "visible"),
    [
        (["a", "b"], [1, 1], [False, False]),  # names: a file that means its flags
        ([], [1, 1], [True, True]),  # mmpose: annotated, no more
        ([], [1, 0], [True, False]),
        ([], [1, 2], [False, True]),  # mmpose's COFW
        (["a", "b"], [2, 1.0], [True, False]),
    ],
)
def test_what_1_means(tmp_path, names, v, visible):
    entry = ENTRY | {"keypoints": [1, 1, v[0], 2, 2, v[1]]}
    (record,) = read(tmp_path, lines([entry], [CATEGORY | {"keypoints": names}]))
    assert record.visible.tolist() == visible


def test_what_may_be_absent(tmp_path):
    (record,) = read(tmp_path, json.dumps({"images": [IMAGE], "annotations": [ENTRY | {"bbox": []}]}))
    assert record.box is None
    (record,) = read(tmp_path, lines([ENTRY | {"attributes": {"x": 1}, "scale": 2}]))
    assert record.attributes == {"x": 1}


@pytest.mark.parametrize(
    ("change", "needed", "got"),
    [
        (7, "an annotation", "7"),
        ({"image_id": 8}, "image_id: the id of an image", "8"),
        ({"image_id": [7]}, "image_id: the id of an image", "[7]"),
        ({"keypoints": None}, "keypoints: a list of finite numbers", "None"),
        ({"keypoints": []}, "keypoints: x, y, v for each of 3 landmarks", "0 numbers"),
        ({"keypoints": [1, 2, 2]}, "keypoints: x, y, v for each of 3 landmarks", "3 numbers"),
        ({"keypoints": [1, 2, 2, 1, 2], "category_id": 9}, "keypoints: x, y, v for each of 1 landmarks", "5 numbers"),
        ({"keypoints": ["1", 2, 2] * 3}, "keypoints: a list of finite numbers", "['1', 2, 2"),
        ({"keypoints": [float("nan"), 2, 2] * 3}, "keypoints: a list of finite numbers", "[nan"),
        ({"keypoints": [float("inf"), 2, 2] * 3}, "keypoints: a list of finite numbers", "[inf"),
        ({"keypoints": [10**400, 2, 2] * 3}, "keypoints: a list of finite numbers", "[1000"),
        ({"keypoints": [1, 2, 3] * 3}, "keypoints: v = 0, 1 or 2", "[3.0]"),
        ({"keypoints": [1, 2, 0.5] * 3}, "keypoints: v = 0, 1 or 2", "[0.5]"),
        ({"bbox": [1, 2, 3]}, "bbox: a list of 4 finite numbers", "[1, 2, 3]"),
        ({"bbox": "box"}, "bbox: a list of 4 finite numbers", "'box'"),
        ({"bbox": [1, 2, -3, 4]}, "bbox: x, y, width, height", "[1, 2, -3, 4]"),
        ({"center": 3}, "center: a list of 2 finite numbers", "3"),
    ],
)
def test_a_malformed_annotation_is_named_and_the_others_stay(tmp_path, change, needed, got):
    bad = ENTRY | {"id": 2} | change if isinstance(change, dict) else change
    with pytest.raises(formats.FormatError) as caught:
        read(tmp_path, lines([ENTRY, bad, ENTRY | {"id": 3}]))
    assert [record.source[-1] for record in caught.value.records] == ["1", "3"]
    (problem,) = caught.value.problems
    assert problem.line == 5
    assert problem.where == ("annotations[1], id 2" if isinstance(change, dict) else "annotations[1]")
    assert problem.needed.startswith(needed)
    assert problem.got.startswith(got)


@pytest.mark.parametrize(
    ("text", "line", "needed", "got"),
    [
        ("", 1, "json", "Expecting value"),
        ('{"images": [],\n"annotations": [\n{"id": 1}', 3, "json", "Expecting ',' delimiter"),
        ("[" * 10**5, None, "json", "maximum recursion depth exceeded"),
        ("1" * 5000, None, "json", "Exceeds the limit"),
        ("[1, 2]", None, "the lists 'images' and 'annotations'", "[1, 2]"),
        ('{"images": {}, "annotations": []}', None, "the lists 'images' and 'annotations'", "{"),
    ],
)
def test_a_malformed_json(tmp_path, text, line, needed, got):
    with pytest.raises(formats.FormatError) as caught:
        read(tmp_path, text, "coco")
    (problem,) = caught.value.problems
    assert problem.line == line
    assert problem.needed.startswith(needed)
    assert problem.got.startswith(got)


def test_lines_of_any_layout():
    entries = [{"id": i, "deep": {"annotations": [1]}} for i in range(3)]
    text = json.dumps({"images": [], "annotations": entries}, indent=2)
    starts = [i for i, line in enumerate(text.split("\n"), 1) if line == "    {"]
    assert coco._lines(text) == starts
    assert coco._lines(json.dumps({"annotations": entries})) == [1, 1, 1]
    assert coco._lines('{"annotations": []}') == []
    assert coco._lines("{}") == []


def test_a_key_of_the_same_name_elsewhere_costs_the_line_only(tmp_path):
    text = lines([ENTRY, 7]).replace('{"images"', '{"info": {"annotations": [1, 2, 3]}, "images"', 1)
    with pytest.raises(formats.FormatError, match=r"a\.json: annotations\[1\]: needed an annotation, got 7") as caught:
        read(tmp_path, text)
    assert len(caught.value.records) == 1


def test_the_lines_are_counted_once(tmp_path, monkeypatch):
    """10,000 malformed annotations must not walk through the file 10,000 times."""
    calls, count = [], coco._lines
    monkeypatch.setattr(coco, "_lines", lambda text: calls.append(1) or count(text))
    with pytest.raises(formats.FormatError, match=re.escape("100 malformed, 0 faces read")) as caught:
        read(tmp_path, lines([7] * 100))
    assert [problem.line for problem in caught.value.problems] == list(range(4, 104))
    assert len(calls) == 1


def test_malformed_entries_of_images_and_categories(tmp_path):
    """They are left out, and missed only by the annotations that name them."""
    odd = [3, {"id": [1], "file_name": "b.png"}, {"id": 8, "file_name": 9}, {"file_name": "c.png"}, IMAGE]
    categories = [None, {"id": {}, "keypoints": []}, {"id": 1}]
    with pytest.raises(formats.FormatError) as caught:
        read(tmp_path, lines([ENTRY, ENTRY | {"id": 2, "image_id": 8}], categories, odd))
    assert len(caught.value.records) == len(caught.value.problems) == 1


# ------------------------------------------------------------------------------------- what stands twice, silently

B = {"id": 7, "file_name": "b.png"}


def refused(tmp_path: Path, text: str, format: str | None = None) -> tuple[list[formats.Record], list[str]]:
    with pytest.raises(formats.FormatError) as caught:
        read(tmp_path, text, format)
    return caught.value.records, [str(problem) for problem in caught.value.problems]


def test_two_images_of_one_id(tmp_path):
    """Both are named; no face is given to either."""
    records, problems = refused(tmp_path, lines([ENTRY, ENTRY | {"id": 2, "image_id": 8}],
                                                images=[IMAGE, B, {"id": 8, "file_name": "c.png"}, B]))  # fmt: skip
    assert [record.image.name for record in records] == ["c.png"]
    assert "images[0] and images[1] of id 7" in problems[0]
    assert "images[0] and images[3] of id 7" in problems[1]
    assert "annotations[0], id 1: needed image_id: the id of one entry, got 7" in problems[2]


def test_two_images_of_one_id_that_differ_elsewhere(tmp_path):
    records, problems = refused(tmp_path, lines([ENTRY], images=[IMAGE, IMAGE | {"license": 3}]))
    assert len(records) == len(problems) == 1
    assert "images[0] and images[1] of id 7" in problems[0]


def test_entries_that_stand_twice_alike_mean_one_thing(tmp_path):
    assert len(read(tmp_path, lines([ENTRY, ENTRY], [CATEGORY] * 2, [IMAGE] * 3))) == 2


def test_two_annotations_of_one_id(tmp_path):
    records, problems = refused(tmp_path, lines([ENTRY, ENTRY | {"id": 2}, ENTRY | {"bbox": [1, 1, 9, 9]}]))
    assert len(records) == 3
    assert len(problems) == 1
    assert "annotations[0] and annotations[2] of id 1" in problems[0]


def test_one_image_under_two_ids(tmp_path, picture):
    picture("a.png")
    for name in ("a.png", ".\\a.png", "c/../a.png"):
        (tmp_path / "c").mkdir(exist_ok=True)
        both = [IMAGE, {"id": 8, "file_name": name}]
        records, problems = refused(tmp_path, lines([ENTRY, ENTRY | {"id": 2, "image_id": 8}], images=both))
        assert len(records) == 2
        assert len(problems) == 1
        assert f"needed one entry for each image, got id 7 and id 8 for {tmp_path / 'a.png'}" in problems[0]


def test_two_categories_of_one_id(tmp_path):
    records, problems = refused(tmp_path, lines([ENTRY], [CATEGORY, CATEGORY | {"keypoints": ["a", "b"]}]))
    assert records == []
    assert "categories[0] and categories[1] of id 1" in problems[0]
    assert "category_id: the id of one entry, got 1" in problems[1]


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_a_list_that_stands_twice_is_refused(tmp_path, key):
    text = lines([ENTRY])[:-1] + f', "{key}": []}}'
    records, (problem,) = refused(tmp_path, text)
    assert records == []
    assert f"needed each key once, got '{key}' twice" in problem


def test_a_key_that_stands_twice_in_an_entry(tmp_path):
    """Named by its place; the other entries are read."""
    twice = lines([ENTRY, ENTRY | {"id": 2}]).replace('{"id": 2,', '{"id": 2, "bbox": [9, 9, 9, 9],')
    records, (problem,) = refused(tmp_path, twice)
    assert len(records) == 1
    assert "annotations[1], id 2: needed each key once, got 'bbox' twice" in problem
    inner = lines([ENTRY | {"attributes": {"x": 1}}, ENTRY | {"id": 2}]).replace('{"x": 1}', '{"x": 1, "x": 2}')
    records, (problem,) = refused(tmp_path, inner)
    assert len(records) == 1
    assert "'x' twice" in problem
    image = lines([ENTRY, ENTRY | {"id": 2, "image_id": 8}], images=[IMAGE, {"id": 8, "file_name": "b.png"}])
    records, problems = refused(
        tmp_path, image.replace('"file_name": "b.png"', '"file_name": "b.png", "file_name": "c"')
    )
    assert len(records) == 1
    assert "images[1]: needed each key once, got 'file_name' twice" in problems[0]


def test_true_is_no_id(tmp_path):
    """In Python True is 1."""
    records, problems = refused(tmp_path, lines([ENTRY | {"image_id": True}], images=[IMAGE | {"id": 1}]))
    assert records == []
    assert "image_id: the id of an image" in problems[0]


# -------------------------------------------------------------------------------------------------- places are told


def test_the_place_in_a_json_of_one_line(tmp_path):
    text = lines([ENTRY, ENTRY | {"id": "x9", "keypoints": [1]}, 7, {"image_id": 7}]).replace("\n", "")
    _, problems = refused(tmp_path, text)
    assert [problem.split("a.json")[1].split(" needed")[0] for problem in problems] == [
        ":1: annotations[1], id 'x9':", ":1: annotations[2]:", ":1: annotations[3]:"
    ]  # fmt: skip
    for broken in (text[:80], text[:-3], text.replace('"bbox"', "bbox", 1)):
        _, (problem,) = refused(tmp_path, broken, "coco")
        column = int(re.search(r"a\.json:1: column (\d+): needed json", problem)[1])
        with pytest.raises(json.JSONDecodeError) as caught:
            json.loads(broken)
        assert column == caught.value.colno


def test_the_place_of_a_byte_that_is_no_utf8(tmp_path):
    (tmp_path / "a.json").write_bytes(lines([ENTRY]).encode().replace(b"face", b"fa\xe7e"))
    with pytest.raises(formats.FormatError) as caught:
        formats.read(tmp_path / "a.json")
    (problem,) = caught.value.problems
    raw = (tmp_path / "a.json").read_bytes().split(b"\n")[problem.line - 1]
    assert problem.where == f"byte {raw.index(0xE7) + 1} of the line"


# --------------------------------------------------------------------------------------------------- what is claimed


def test_claims_and_notes_are_handed_over(tmp_path):
    (face,) = read(tmp_path, lines([ENTRY | {"num_keypoints": 5}]))
    assert face.claims == {"size": (40, 60), "num_keypoints": 5}
    assert face.notes == ()
    (face,) = read(tmp_path, lines([ENTRY | {"category_id": 4}], images=[{"id": 7, "file_name": "x/a.png"}]))
    assert face.claims == {}
    assert face.notes == ("faces of a category that is not described",)
    (face,) = read(tmp_path, lines([ENTRY | {"keypoints": [1, 1, 1] * 3}], [CATEGORY | {"keypoints": []}]))
    assert "v = 1 read as seen" in face.notes[0]


# ---------------------------------------------------------------------------------------------------- COCO-WholeBody


def whole(i: int, v: list, valid: object = True) -> dict:
    flat = [x for k in range(68) for x in (k + 0.5, 2 * k, v[k % len(v)])]
    body = {"keypoints": [1, 1, 2] * 17, "num_keypoints": 17, "bbox": [0, 0, 50, 40]}
    return ENTRY | body | {"id": i, "face_kpts": flat, "face_box": [3, 4, 20, 30], "face_valid": valid}


def test_the_faces_of_whole_bodies(tmp_path):
    entries = [whole(1, [2, 1, 0]), whole(2, [0], valid=False), whole(3, [1.0])]
    first, second = read(tmp_path, lines(entries, [CATEGORY | {"keypoints": ["nose"] * 17}]))
    assert first.scheme == "300w-68"
    assert first.landmarks[0].tolist() == [0.5, 0]
    assert first.landmarks[::3].shape == (23, 2)
    assert first.landmarks[2::3].isnan().all()
    assert first.visible[:3].tolist() == [True, False, False]
    assert first.box == (3, 4, 20, 30)
    assert "num_keypoints" not in first.claims
    assert second.source.endswith("annotation 3")
    (face,) = read(tmp_path, lines([whole(1, [0.3, 0.0, 1.0])]))  # reliability
    assert face.visible[:3].tolist() == [True, False, True]
    assert len(read(tmp_path, lines(entries, [CATEGORY | {"keypoints": []}]), "coco")[0].landmarks) == 17


@pytest.mark.parametrize("face_kpts", [None, "x", [1, 2], [1, 2, 2] * 67 + [1, 2, float("nan")]])
def test_a_malformed_whole_body_is_named(tmp_path, face_kpts):
    records, (problem,) = refused(tmp_path, lines([whole(1, [2]), whole(2, [2]) | {"face_kpts": face_kpts}]))
    assert len(records) == 1
    assert "annotations[1], id 2: needed face_kpts" in problem


def test_no_valid_face_is_a_problem(tmp_path):
    assert "at least one face" in refused(tmp_path, lines([whole(1, [2], False), whole(2, [2], None)]))[1][0]


# ------------------------------------------------------------------------------------------------- real files


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "n", "faces"), [("300w", 68, 2), ("aflw", 19, 2), ("cofw", 29, 2), ("wflw", 98, 4), ("300vw", 68, 3)]
)
def test_real_files_come_back_and_their_crop_is_ours(real, tmp_path, name, n, faces):
    (source,) = (real / "formats" / name).glob("*.json")
    records = formats.read(source)
    assert len(records) == faces
    for record, entry in zip(records, written(source)["annotations"], strict=True):
        assert record.image.is_file()
        assert record.landmarks.flatten().tolist() == [x for i, x in enumerate(entry["keypoints"]) if i % 3 < 2]
        hidden = [name == "cofw" and v == 1 for v in entry["keypoints"][2::3]]
        assert (~record.visible).tolist() == hidden
        assert record.box == (tuple(entry["bbox"]) if "bbox" in entry else None)
        assert {len(schemes.get(record.scheme).names)} == {n}
    formats.write_coco([record._replace(attributes={}) for record in records], tmp_path / "b.json", root=source.parent)
    if name in ("300w", "wflw"):  # theirs is the crop around the landmarks, too
        crops = [{key: entry[key] for key in record.attributes} for entry, record in
                 zip(written(tmp_path / "b.json")["annotations"], records, strict=True)]  # fmt: skip
        assert crops == [record.attributes for record in records]
    formats.write_coco(records, tmp_path / "a.json", root=source.parent)
    data = written(tmp_path / "a.json")
    jsonschema.validate(data, PUBLISHED)
    for record, entry in zip(records, data["annotations"], strict=True):
        assert entry["keypoints"][0::3] == record.landmarks[:, 0].tolist()
        assert {key: entry[key] for key in record.attributes} == record.attributes


@pytest.mark.real
def test_real_300vw_json_is_one_based(real):
    """mmpose copied the numbers of the .pts files, whose first pixel is 1: read so, the two agree."""
    folder = real / "formats" / "300vw"
    faces = {Path(r.source).stem: r.landmarks for r in formats.read(folder, "pts")}
    records = formats.read(folder, "coco-1based")
    for record in records:
        assert torch.equal(record.landmarks, faces[record.image.stem])
    assert len(records) == 3
