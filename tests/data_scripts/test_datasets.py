"""Each data set's script, on small copies in its native format, whole and damaged; what was published, on the real."""

import contextlib
import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from lddmmlib.data import contact_sheet, formats, images, mat
from lddmmlib.faces import schemes

SCRIPTS = Path(__file__).parents[2] / "data_scripts"
sys.path.insert(0, str(SCRIPTS))
import _dataset  # noqa: E402  (the scripts import it as their neighbour)

DATA = {data.name: data for data in _dataset.every()}
sys.path.remove(str(SCRIPTS))
try:
    import h5py
except ImportError:  # COFW's files are then read through a stand-in
    h5py = None


# ------------------------------------------------------------------------------------------ data sets, in miniature


class Tiny:
    """A data set in a folder; `truth` has the landmarks of each face, 0-based, by its part."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.truth, self.g = folder, {}, np.random.default_rng(0)

    def points(self, part: str, n: int) -> np.ndarray:
        xy = self.g.integers(40, 500, (n, 2)) / 10
        self.truth.setdefault(part, []).append(xy)
        return xy

    def image(self, name: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = self.g.integers(0, 255, (5, 7, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
        images.save(pixels, path)
        return path.name

    def text(self, name: str, content: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    def pts(self, name: str, xy: np.ndarray) -> None:
        rows = "".join(f"{x:.3f} {y:.3f}\n" for x, y in xy)
        self.text(name, f"version: 1\nn_points:  {len(xy)}\n{{\n{rows}}}\n")


def in_folders(tiny: Tiny, places: dict[str, str], image: str = "png") -> None:
    for part, place in places.items():
        for i in range(2):
            tiny.pts(f"{place}/face_{i}.pts", tiny.points(part, 68) + 1)
            tiny.image(f"{place}/face_{i}.{image}")


def w300(tiny: Tiny) -> None:
    parts = DATA["300w"].parts
    in_folders(tiny, {part: ("300W/" if part[0] == "0" else "") + part for part in parts})


def vw300(tiny: Tiny) -> None:
    for video in [video for split in DATA["300vw"].splits.values() for video in split.parts[:2]]:
        tiny.pts(f"{video}/annot/000001.pts", tiny.points(video, 68) + 1)
        tiny.image(f"{video}/imgs/000001.png")


def wflw(tiny: Tiny) -> None:
    for part in ("train", "test"):
        lines = []
        for i in range(6):
            name = f"{i // 2}--Parade/{part} {i // 2}.jpg"  # a name with a space; two faces in one image
            tiny.image(f"WFLW_images/{name}")
            flags = " ".join(str(int(k == i)) for k in range(6))
            xy = " ".join(map(str, tiny.points(part, 98).ravel()))
            lines.append(f"{xy} 3 4 50 49 {flags} {name}\n")
        tiny.text(f"WFLW_annotations/deep/list_98pt_rect_attr_{part}.txt", "".join(lines))


def helen194(tiny: Tiny) -> None:
    names = {"train": ["232194_1", "100_2", "100_3"], "test": ["9_1"]}
    at = 0
    for part, some in names.items():
        for name in some:
            at += 1
            rows = "".join(f"{x} , {y}\n" for x, y in tiny.points(part, 194))
            tiny.text(f"annotation/{at}.txt", f"{name}\n{rows}")
            tiny.image(f"helen_{at}/{name}.jpg")
        tiny.text(f"{part}names.txt", "\n".join(some) + "\n")


def cofw(tiny: Tiny, parts: tuple = ("train", "test")) -> None:
    for part in parts:
        end = {"train": "Tr", "test": "T"}[part]
        pixels = [tiny.g.integers(0, 255, (50, 70, 3)[:k], dtype=np.uint8) for k in (2, 3, 3)]  # a gray one
        xy = np.stack([tiny.points(part, 29) for _ in pixels]) + 1
        phis = np.concatenate([xy[..., 0], xy[..., 1], np.arange(87).reshape(3, 29) % 2], 1)
        write_hdf5(tiny.folder / f"COFW_{part}_color.mat", end, pixels, phis, np.tile([3.0, 4, 40, 30], (3, 1)))


def cofw68(tiny: Tiny) -> None:
    cofw(tiny, ("test",))
    tiny.truth.clear()
    folder = tiny.folder / "COFW68_Data" / "test_annotations"
    folder.mkdir(parents=True)
    for i in range(1, 4):
        told = {"Points": tiny.points("test", 68) + 1, "Occ": np.arange(68)[None] % 2}
        scipy.io.savemat(folder / f"{i}_points.mat", told)
    scipy.io.savemat(folder.parent / "cofw68_test_bboxes.mat", {"bboxes": np.full((3, 4), 9, np.int16)})


def aflw(tiny: Tiny) -> None:
    names, n = [tiny.image(f"aflw/data/flickr/{i % 3}/image{i:05}.jpg") for i in range(5)], 5
    xy = np.stack([tiny.points("all", 19) for _ in names])
    mask, order = np.ones((n, 19)), np.array([[3, 1, 5, 2, 4]])
    mask[3, 7] = 0
    faces = tiny.truth.pop("all")
    tiny.truth = {"train": [faces[i - 1] for i in order[0, :3]], "test": [faces[i - 1] for i in order[0, 3:]]}
    cells = np.array([[f"{i % 3}/{name}"] for i, name in enumerate(names)], dtype=object)
    told = {"data": np.concatenate([xy[..., 0], xy[..., 1]], 1), "bbox": np.tile([4.0, 50, 3, 49], (n, 1))}
    told |= {"mask_new": mask, "ra": order, "nameList": cells}
    scipy.io.savemat(tiny.folder / "AFLWinfo_release.mat", told)


def menpo(tiny: Tiny) -> None:
    for part in DATA["menpo"].parts:
        for i in range(2):
            n = 39 if part.endswith("profile") else 68
            name = f"{part[:5].rstrip('_')}set/{part}_{i}"
            tiny.pts(f"{name}.pts", tiny.points(part, n) + 1)
            tiny.image(f"{name}.jpg")


def merl_rav(tiny: Tiny) -> None:
    for k, part in enumerate(DATA["merl_rav"].parts):
        for i in range(2):
            xy = tiny.points(part, 68)
            written = xy + 1
            written[3] *= -1
            written[5], xy[5] = -1, np.nan
            face = "" if k else f"_{i + 1}"  # two faces of one image
            tiny.pts(f"merl_rav_labels/{part}/image{10 * k + bool(k) * i:05}{face}.pts", written)
            tiny.image(f"aflw/flickr/{i}/image{10 * k + bool(k) * i:05}.jpg") if k or not i else None


def arrays(tiny: Tiny) -> None:
    at = 0
    for part in ("train", "test"):
        names = []
        for i in range(3):
            at += 1
            names.append(tiny.image(f"images/{at:05}.jpg"))
            xy = tiny.points(part, 68)
            (tiny.folder / "landmarks").mkdir(exist_ok=True)
            if i == 1:  # whoever has the makers' own files
                tiny.text(f"landmarks/{at:05}.txt", "".join(f"{x} {y}\n" for x, y in xy))
            else:
                np.save(tiny.folder / "landmarks" / f"{names[-1]}.npy", xy)
        tiny.text(f"{part}_list.txt", "\n".join(names) + "\n")


BUILD = {"300w": w300, "300vw": vw300, "wflw": wflw, "helen194": helen194, "cofw": cofw, "cofw68": cofw68, "aflw": aflw,
         "menpo": menpo, "merl_rav": merl_rav, "cariface": arrays, "artiface": arrays}  # fmt: skip


def write_hdf5(path: Path, end: str, pixels: list, phis: np.ndarray, boxes: np.ndarray) -> None:
    """As MATLAB 7.3 does: axes in reverse, a cell array as references."""
    if h5py:
        with h5py.File(path, "w") as file:
            stored = [file.create_dataset(f"#refs#/{i}", data=image.T) for i, image in enumerate(pixels)]
            file[f"Is{end}"] = np.array([[each.ref for each in stored]], dtype=h5py.ref_dtype)
            file[f"phis{end}"], file[f"bboxes{end}"] = phis.T, boxes.T
        return
    told = {f"#{i}": image.T for i, image in enumerate(pixels)}
    told |= {f"Is{end}": np.array([[f"#{i}" for i in range(len(pixels))]])}
    with path.open("wb") as file:
        np.savez(file, **told, **{f"phis{end}": phis.T, f"bboxes{end}": boxes.T})


def stand_in(path: Path):
    try:
        with path.open("rb") as file:
            return contextlib.nullcontext(dict(np.load(file)))
    except Exception as error:
        raise mat.Malformed("a MATLAB file of version 7.3 (HDF5)", str(error)) from None


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A data set in miniature, and its facts with the numbers of that one."""
    if not h5py:
        monkeypatch.setattr(mat, "hdf5", stand_in)
    monkeypatch.setattr(mat, "AFLW_TRAIN", 3)
    monkeypatch.setattr(contact_sheet, "draw", lambda *_: np.zeros((9, 9, 3), np.uint8))  # it takes its time

    def made(name: str) -> tuple[Tiny, _dataset.Dataset]:
        tiny, data = Tiny(tmp_path / "set" / name), DATA[name]
        tiny.folder.mkdir(parents=True)
        BUILD[name](tiny)
        counts = {part: data.parts[part] and len(tiny.truth[part]) for part in data.parts if part in tiny.truth}
        splits = {key: split._replace(faces=split.faces and 1, parts=tuple(p for p in split.parts if p in counts))
                  for key, split in data.splits.items()}  # fmt: skip
        return tiny, data._replace(parts=counts, splits=splits)

    return made


def digest(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(folder.rglob("*")) if p.is_file()}  # fmt: skip


def run(data, folder: Path, out: Path, *more: str) -> int:
    return _dataset.main(data, [str(folder), "--out", str(out), *more])


every = pytest.mark.parametrize("name", DATA)


# -------------------------------------------------------------------------------------------------- what is whole


def test_there_is_a_script_for_each():
    assert set(DATA) == set(BUILD) == {"300w", "300vw", "wflw", "helen194", "cofw", "cofw68", "aflw", "menpo",
                                       "merl_rav", "cariface", "artiface"}  # fmt: skip


def test_the_numbers_are_those_published():
    told = {name: {split: data.published(split) for split in data.splits} for name, data in DATA.items()}
    assert told["300w"] == {"train": 3148, "common": 554, "challenge": 135, "full": 689, "test": 600}
    assert list(told["wflw"].values()) == [7500, 2500, 326, 314, 698, 206, 736, 773]
    assert told["helen194"] == {"train": 2000, "test": 330}
    assert told["cofw"] == {"train": 1345, "test": 507}
    assert told["aflw"] == {"train": 20_000, "test": 4386, "test_frontal": 1314}
    assert sum(DATA["merl_rav"].parts.values()) == told["merl_rav"]["train"] + told["merl_rav"]["test"] == 19_314
    assert told["artiface"] == {"train": 128, "test": 32, "all": 160}
    assert [len(split.parts) for split in DATA["300vw"].splits.values()] == [50, 31, 19, 14]
    assert all(set(split.parts) <= set(data.parts) for data in DATA.values() for split in data.splits.values())


def test_the_table_has_all(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    rows = _dataset.table()[2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [data.title for data in DATA.values()]
    assert "train 7,500, test 2,500" in next(row for row in rows if "WFLW" in row)


@every
def test_help_says_where_and_under_which_terms(name, capsys):
    with pytest.raises(SystemExit) as stop:
        _dataset.main(DATA[name], ["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0
    for words in (DATA[name].where, DATA[name].terms, *DATA[name].splits):
        assert " ".join(words.split()) in told


@every
def test_all_faces_of_a_whole_data_set(name, make, tmp_path, capsys):
    tiny, data = make(name)
    before, out = digest(tiny.folder), tmp_path / "out"
    assert run(data, tiny.folder, out) == 0, capsys.readouterr().out
    assert digest(tiny.folder) == before
    for key, split in data.splits.items():
        faces = formats.read(out / f"{name}_{key}.json")
        truth = [xy for part in split.parts for xy in tiny.truth[part]]
        assert len(faces) == (split.faces or len(truth))
        assert len({face.source for face in faces}) == len(faces)
        assert all(images.load(face.image).shape[:2] == face.claims["size"] == (50, 70) for face in faces)
        assert {face.attributes["subset"] for face in faces} <= {*split.parts}
        if not split.faces:
            found = torch.stack([face.landmarks for face in faces])
            torch.testing.assert_close(found, torch.tensor(np.stack(truth)), rtol=0, atol=1e-9, equal_nan=True)
        told = json.loads((out / f"{name}_{key}.json").read_text(encoding="utf-8"))
        n = len(faces[0].landmarks)
        assert told["dataset"][0]["whole"]
        assert len(told["categories"][0]["keypoints"]) == n
        assert not faces[0].scheme or told["categories"][0]["keypoints"] == list(schemes.get(faces[0].scheme).names)
    written = digest(out)
    assert f"{name}.png" in written
    assert run(data, tiny.folder, out) == 0
    assert digest(out) == written
    assert not [path for path in written if Path(path).name.startswith(".")]


def test_what_is_special_is_kept(make, tmp_path):
    out = tmp_path / "out"
    for name in ("wflw", "cofw", "cofw68", "aflw", "merl_rav", "300w"):
        tiny, data = make(name)
        assert run(data, tiny.folder, out) == 0
    (pose,) = formats.read(out / "wflw_test_largepose.json")
    assert pose.box == (3, 4, 47, 45)
    assert pose.attributes == {"pose": True, "expression": False, "illumination": False, "make-up": False,
                               "occlusion": False, "blur": False, "subset": "test"}  # fmt: skip
    face = formats.read(out / "cofw_test.json")[1]
    assert face.visible.tolist() == [k % 2 == 0 for k in range(29, 58)]
    assert face.box == (2, 3, 40, 30)
    assert formats.read(out / "cofw68_test.json")[2].image == out / "cofw" / "test" / "0003.png"
    assert not formats.read(out / "cofw68_test.json")[2].visible[1]
    assert formats.read(out / "aflw_test.json")[1].box == (4, 3, 46, 46)
    hidden, frontal = formats.read(out / "aflw_test.json")[1], formats.read(out / "aflw_test_frontal.json")[0]
    assert not hidden.visible[7] or not formats.read(out / "aflw_test.json")[0].visible[7]
    assert frontal.visible.all()
    two = formats.read(out / "merl_rav_train.json")[:2]
    assert two[0].image == two[1].image
    assert two[0].attributes["pose"] == "frontal"
    assert two[0].flags[[2, 3, 5]].tolist() == [2, 1, 0]
    assert {face.attributes["subset"] for face in formats.read(out / "300w_full.json")} == {
        "helen/testset", "lfpw/testset", "ibug"}  # fmt: skip


def test_frames_are_taken_out_of_a_video(make, tmp_path):
    import cv2

    tiny, data = make("300vw")
    film = cv2.VideoWriter(str(tiny.folder / "001" / "vid.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (70, 50))
    for i in range(3):
        film.write(np.full((50, 70, 3), 80 * i, np.uint8))
        tiny.pts(f"001/annot/{i + 1:06}.pts", tiny.points("001", 68) + 1)
    film.release()
    shutil.rmtree(tiny.folder / "001" / "imgs")
    out = tmp_path / "out"
    assert run(data, tiny.folder, out) == 0
    faces = [face for face in formats.read(out / "300vw_train.json") if face.attributes["video"] == "001"]
    assert [face.attributes["frame"] for face in faces] == [1, 2, 3]
    assert [face.image.name for face in faces] == ["000001.png", "000002.png", "000003.png"]
    assert [round(images.load(face.image).mean() / 80) for face in faces] == [0, 1, 2]


# -------------------------------------------------------------------------------------------------- interruptions


@every
def test_interrupted_it_goes_on_to_the_same_bytes(name, make, tmp_path, monkeypatch):
    tiny, data = make(name)
    assert run(data, tiny.folder, tmp_path / "whole") == 0
    calls, load, out, whole = [], images.load, tmp_path / "out", digest(tmp_path / "whole")
    jsons = [path.name for path in (tmp_path / "whole").glob("*.json")]

    def counted(path, turned=True):
        if len(calls) == stop:
            raise KeyboardInterrupt
        calls.append(path)
        return load(path, turned)

    monkeypatch.setattr(images, "load", counted)
    stop = 2
    assert run(data, tiny.folder, out) == 130
    assert not list(out.glob("*.json"))
    with (out / f".{name}.part").open("a", encoding="utf-8") as file:
        file.write('["cut sho')
    stop = None
    assert run(data, tiny.folder, out) == 0
    assert not {*calls[:2]} & {*calls[2:]}  # not looked at twice
    shutil.rmtree(tmp_path / "whole")
    out.rename(tmp_path / "whole")  # names of images below --out tell of it
    for each in jsons:
        text = (tmp_path / "whole" / each).read_bytes().replace(b'"out/', b'"whole/')
        assert hashlib.sha256(text).hexdigest() == whole[each]


def test_interrupted_while_images_are_taken_out(make, tmp_path, monkeypatch):
    tiny, data = make("cofw")
    out, save = tmp_path / "out", images.save
    assert run(data, tiny.folder, out) == 0
    whole = digest(out)
    shutil.rmtree(out)
    calls = []

    def stopping(pixels, path):
        calls.append(path)
        path.write_bytes(b"half")
        if len(calls) == 2:
            raise KeyboardInterrupt
        save(pixels, path)

    monkeypatch.setattr(images, "save", stopping)
    assert run(data, tiny.folder, out) == 130
    monkeypatch.setattr(images, "save", save)
    assert run(data, tiny.folder, out) == 0
    assert digest(out) == whole


# --------------------------------------------------------------------------------------------------------- damage


def first(folder: Path, *patterns: str) -> Path:
    return next(path for pattern in patterns for path in sorted(folder.rglob(pattern)) if path.is_file())


ANNOTATION = {"300w": "helen/testset/*.pts", "300vw": "001/annot/*.pts", "wflw": "*_attr_test.txt",
              "helen194": "annotation/*.txt", "cofw": "COFW_test_color.mat", "cofw68": "test_annotations/*.mat",
              "aflw": "*.mat", "menpo": "testset/*profile_0.pts", "merl_rav": "left/testset/*.pts",
              "cariface": "landmarks/*.npy", "artiface": "landmarks/*.npy"}  # fmt: skip


def cut(folder: Path, name: str) -> str:
    path = first(folder, ANNOTATION[name])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path.name


def not_a_number(folder: Path, name: str) -> str:
    path = first(folder, ANNOTATION[name])
    if path.suffix == ".npy":
        np.save(path, np.full((68, 2), np.nan))
    elif name == "cofw":
        pixels = [np.zeros((5, 7, 3), np.uint8)] * 3
        write_hdf5(path, "T", pixels, np.where(np.arange(3)[:, None] == 1, np.nan, np.ones((3, 87))), np.ones((3, 4)))
        return "image 2"
    elif path.suffix == ".mat":
        told = {k: v for k, v in scipy.io.loadmat(path).items() if k[0] != "_"}
        key = "Points" if "Points" in told else "data"
        told[key][0] = np.nan
        scipy.io.savemat(path, told)
        return path.name if key == "Points" else "face 0"
    else:
        lines = path.read_text(encoding="utf-8").split("\n")
        at = 0 if name == "wflw" else 5
        word = lines[at].split()[0]
        lines[at] = lines[at].replace(word, "nan", 1)
        path.write_text("\n".join(lines), encoding="utf-8")
    return path.name


def lost(folder: Path, name: str) -> str:
    path = first(folder, "helen/testset/*.png", "*.jpg", "*.png")
    path.unlink()
    return path.stem


def damaged(folder: Path, name: str) -> str:
    path = first(folder, "*.jpg", "*.png")
    path.write_bytes(path.read_bytes()[:30])
    return path.name


def lacking(folder: Path, name: str) -> str:
    path = first(folder, ANNOTATION[name])
    path.unlink()
    return "needed"


DAMAGE = [
    (name, harm)
    for harm in (cut, not_a_number, lost, damaged, lacking)
    for name in DATA
    if not (name in ("cofw", "cofw68") and harm in (lost, damaged))
]  # their images lie in a file
DAMAGE = [(name, harm) for name, harm in DAMAGE if not (harm is lacking and DATA[name].parts and name in ("menpo",))]


@pytest.mark.parametrize(("name", "harm"), DAMAGE, ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_damage_is_named_and_what_is_sound_is_not_lost(name, harm, make, tmp_path, capsys):
    tiny, data = make(name)
    told = harm(tiny.folder, name)
    before, out = digest(tiny.folder), tmp_path / "out"
    assert run(data, tiny.folder, out, "--partial") == 1
    said = capsys.readouterr().out
    assert told in said
    assert "Traceback" not in said
    short = []
    for key, split in data.splits.items():
        n = sum(len(tiny.truth[part]) for part in split.parts)
        path = out / f"{name}_{key}.json"
        whole = path.exists() and json.loads(path.read_text(encoding="utf-8"))["dataset"][0]["whole"]
        short += [] if whole else [key]
        assert f"{path.name}\n" in said if whole else f"  {key} " in said
        if path.exists() and not split.faces:
            faces = formats.read(path)
            assert 0 < len(faces) <= n
            assert len(faces) == n or not whole
            assert len(faces) < n or whole or name == "menpo"  # which states no numbers
    assert short
    assert len(short) < len(data.splits) or name in ("aflw", "cofw68", "helen194", "artiface", "cariface")
    assert digest(tiny.folder) == before


def test_a_face_given_twice_is_named_even_where_the_number_is_right(make, tmp_path, capsys):
    tiny, data = make("wflw")
    path = first(tiny.folder, "*_attr_train.txt")
    a, b, *rest = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([a, b, b, *rest[1:]]), encoding="utf-8")
    assert run(data, tiny.folder, tmp_path / "out") == 1
    said = capsys.readouterr().out
    assert "faces given twice: 1 (keep one of the two)" in said
    assert f"{path}:2 = {path}:3" in said
    assert sorted(p.name for p in (tmp_path / "out").glob("*train*")) == []
    assert (tmp_path / "out" / "wflw_test.json").exists()


def test_too_many_faces_and_other_landmarks(make, tmp_path, capsys):
    tiny, data = make("300w")
    tiny.pts("afw/more.pts", tiny.g.random((68, 2)) * 40)
    tiny.image("afw/more.png")
    tiny.pts("ibug/face_0.pts", tiny.g.random((67, 2)) * 40)
    tiny.pts("elsewhere/face.pts", tiny.g.random((68, 2)) * 40)
    tiny.text("afw/._face_0.pts", "left by macOS")
    assert run(data, tiny.folder, tmp_path / "out") == 1
    said = capsys.readouterr().out
    assert "afw: needed 2 faces, got 3" in said
    assert "needed 68 landmarks, got 67" in said
    assert "needed a folder of the data set, got elsewhere" in said
    assert {p.name for p in (tmp_path / "out").glob("*.json")} == {"300w_common.json", "300w_test.json"}


def test_a_wrong_folder_says_what_belongs_there(make, tmp_path, capsys):
    (tmp_path / "set" / "empty").mkdir(parents=True)
    for data in DATA.values():
        assert run(data, tmp_path / "set" / "empty", tmp_path / "out") == 1
        said = capsys.readouterr().out
        assert "needed" in said
        assert "--help" in said
    assert not list((tmp_path / "out").iterdir())


# ---------------------------------------------------------------------------------------------------- the command


def test_what_cannot_be_carried_out(make, tmp_path, capsys):
    tiny, data = make("cariface")
    other = tmp_path / "a" / "b" / "c"
    for arguments, wanted in (
        ([str(tmp_path / "none"), "--out", str(tmp_path)], "FOLDER: needed the folder of the data set, got"),
        ([str(tiny.folder), "--out", str(tiny.folder / "json")], "--out: needed a folder outside of FOLDER"),
        (
            [str(tiny.folder), "--out", str(tmp_path), "--sheet", str(tiny.folder / "s.png")],
            "--sheet: needed a file out",
        ),
        ([str(tiny.folder), "--out", str(tmp_path), "--sheet", "s.gif"], "--sheet: needed a .png"),
        ([str(tiny.folder), "--out", str(other)], "--out: needed a folder near FOLDER"),
    ):
        with pytest.raises(SystemExit) as stop:
            _dataset.main(data, arguments)
        assert stop.value.code == 2
        assert wanted in capsys.readouterr().err


def test_another_file_is_never_replaced(make, tmp_path, capsys):
    tiny, data = make("cariface")
    out = tmp_path / "out"
    out.mkdir()
    (out / "cariface_test.json").write_text("mine", encoding="utf-8")
    with pytest.raises(SystemExit):
        run(data, tiny.folder, out)
    assert "cariface_test.json exists and holds something else; delete it" in capsys.readouterr().err
    assert (out / "cariface_test.json").read_text(encoding="utf-8") == "mine"


def test_the_images_are_found_wherever_the_json_may_lie(make, tmp_path):
    tiny, data = make("cariface")
    for out in (tmp_path, tmp_path / "set", tmp_path / "x" / "y"):
        assert run(data, tiny.folder, out) == 0
        assert all(images.is_file(face.image) for face in formats.read(out / "cariface_test.json"))


def test_without_h5py_the_error_says_what_to_install(make, tmp_path, monkeypatch, capsys):
    tiny, data = make("cofw")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(SystemExit):
        run(data, tiny.folder, tmp_path / "out")
    assert "pip install h5py" in capsys.readouterr().err


def test_the_contact_sheet_is_drawn(make, tmp_path, monkeypatch):
    tiny, data = make("menpo")  # some faces without a scheme
    monkeypatch.undo()
    assert run(data, tiny.folder, tmp_path / "out", "--sheet", str(tmp_path / "sheet.png")) == 0
    assert images.load(tmp_path / "sheet.png").shape[0] > 300


# ------------------------------------------------------------------------------------------------- real, published


@pytest.fixture
def published(tmp_path, monkeypatch):
    import os

    root = os.environ.get("LDDMMLIB_REAL_DATA")
    if not root:
        pytest.skip("LDDMMLIB_REAL_DATA names no folder of real data")
    monkeypatch.setattr(contact_sheet, "draw", lambda *_: np.zeros((9, 9, 3), np.uint8))

    def copied(name: str, to: str = "") -> Path:
        return Path(shutil.copytree(Path(root) / "formats" / name, tmp_path / "set" / to, dirs_exist_ok=True))

    return copied


def as_given(path: Path, origin: int = 0) -> dict[str, np.ndarray]:
    """Image -> landmarks, of mmpose's json."""
    told = json.loads(path.read_text(encoding="utf-8"))
    names = {each["id"]: each["file_name"] for each in told["images"]}
    return {names[a["image_id"]]: np.reshape(a["keypoints"], (-1, 3))[:, :2] - origin for a in told["annotations"]}


def test_real_300vw(published, tmp_path):
    folder = published("300vw")
    before = digest(folder)
    data, out = DATA["300vw"], tmp_path / "out"
    few = data._replace(parts=dict.fromkeys(("001", "401")),
                        splits={"train": _dataset.Split(("001",)), "test_1": _dataset.Split(("401",))})  # fmt: skip
    assert run(data, folder, out) == 1  # 112 videos lack
    assert not list(out.glob("*.json"))
    assert run(few, folder, out) == 0
    faces = formats.read(out / "300vw_train.json") + formats.read(out / "300vw_test_1.json")
    given = as_given(folder / "anno_300vw.json", 1)
    found = {face.image.relative_to(folder).as_posix(): face.landmarks for face in faces}
    assert len(found) == 4
    for image, xy in given.items():
        np.testing.assert_allclose(found[image], xy, atol=1e-9)
    assert digest(folder) == before


def test_real_wflw_and_300w(published, tmp_path):
    """What mmpose made of them, written in the native formats again."""
    folder, out = published("wflw", "wflw/WFLW_images"), tmp_path / "out"
    given = as_given(folder / "test_wflw.json")
    rows = [" ".join([*map(repr, xy.ravel().tolist()), "1 1 9 9 0 0 0 0 0 0", name]) for name, xy in given.items()]
    for part in ("train", "test"):
        (folder.parent / f"list_98pt_rect_attr_{part}.txt").write_text("\n".join(rows), encoding="utf-8")
    run(DATA["wflw"], folder.parent, out, "--partial")
    for face in formats.read(out / "wflw_test.json"):
        np.testing.assert_array_equal(face.landmarks, given[face.image.name])
    folder = published("300w", "300w/01_Indoor")
    given = as_given(folder / "test_300w.json")
    for name, xy in given.items():
        Tiny(folder).pts(Path(name).with_suffix(".pts").name, xy)
    run(DATA["300w"], folder.parent, out, "--partial")
    for face in formats.read(out / "300w_test.json"):
        np.testing.assert_allclose(face.landmarks, given[face.image.name] - 1, atol=1e-3)


def test_real_merl_rav_and_cofw68(published, tmp_path):
    labels, out = published("merlrav", "flat"), tmp_path / "out"
    tiny = Tiny(tmp_path / "set" / "merl")
    for path in sorted(labels.glob("*.pts")):
        pose, _, name = path.name.partition("_")
        (tiny.folder / "merl_rav_labels" / pose / "testset").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tiny.folder / "merl_rav_labels" / pose / "testset" / name)
        tiny.image(f"aflw/flickr/0/{name.split('.')[0].split('_')[0]}.jpg")
    run(DATA["merl_rav"], tiny.folder, out, "--partial")
    faces = formats.read(out / "merl_rav_test.json")
    assert len(faces) == 20
    for face in faces:
        raw = np.loadtxt(labels / f"{face.attributes['pose']}_{face_name(face, labels)}", skiprows=3, max_rows=68)
        lost, hidden = (raw == -1).all(1), (raw < 0).all(1)
        assert face.flags.tolist() == np.where(lost, 0, np.where(hidden, 1, 2)).tolist()
        np.testing.assert_allclose(face.landmarks[~lost], np.abs(raw[~lost]) - 1, atol=1e-9)
    folder = published("cofw68", "cofw68/COFW68_Data")
    (folder / "test_annotations").mkdir()
    for path in folder.glob("*_points.mat"):
        path.rename(folder / "test_annotations" / path.name)
    for i in (100, 101, 102):
        Tiny(out).image(f"cofw/test/{i:04}.png")
    run(DATA["cofw68"], folder.parent, out, "--partial")
    faces = formats.read(out / "cofw68_test.json")
    assert [face.attributes["image"] for face in faces] == [100, 101, 102]
    raw = scipy.io.loadmat(folder / "test_annotations" / "100_points.mat")
    np.testing.assert_allclose(faces[0].landmarks, raw["Points"] - 1)
    assert faces[0].visible.tolist() == (raw["Occ"][0] == 0).tolist()


def face_name(face: formats.Record, labels: Path) -> str:
    """The label file of a face: of those of its image, that with its landmarks."""
    stem = face.image.stem
    found = list(labels.glob(f"{face.attributes['pose']}_{stem}*.pts"))
    assert len(found) == 1
    return found[0].name.partition("_")[2]
