from pathlib import Path

import numpy as np

from lddmmlib.data import images


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


def test_by_stem(picture, tmp_path):
    a, b = picture("p/a.b.png"), picture("p/a.png")
    (tmp_path / "p" / "a.txt").touch()
    assert images.by_stem([tmp_path / "p" / "a.pts", tmp_path / "none" / "a.pts"]) == {
        tmp_path / "p" / "a.b": a,
        tmp_path / "p" / "a": b,
    }


def test_named_from_a_relative_path(picture, tmp_path, monkeypatch):
    picture("images/a.png")
    (tmp_path / "annotations").mkdir()
    monkeypatch.chdir(tmp_path / "annotations")
    assert images.named("a.png", Path("list.txt")) == Path("../images/a.png")
    assert images.named("b.png", Path("list.txt")) == Path("b.png")
    assert images.named("a\0b.png", Path("list.txt")) == Path("a\0b.png")
