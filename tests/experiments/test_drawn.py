"""Drawn faces in several schemes at once, and polylines that cross."""

import numpy as np
import pytest
import torch

from lddmmlib.data import crops
from lddmmlib.experiments import _drawn, _record
from lddmmlib.faces import schemes, synthetic

NAMES = ("300w-68", "wflw-98", "cofw-29")


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(_record, "RUNS", tmp_path)


def test_canonical_crops_are_those_of_the_68_points():
    marked = _drawn.faces([1, 2], "studio", NAMES, drawn=64, side=32)
    for row, i in enumerate((1, 2)):
        for name in NAMES:
            face = synthetic.sample(i, "studio", 64, scheme=name)
            by_68 = crops.frame(crops.box(synthetic.sample(i, "studio", 64).landmarks), 32)
            want = crops.crop(face.image, face.landmarks, face.visible, 32, by_68)
            assert torch.equal(marked.image[row], want.image)
            torch.testing.assert_close(marked.points[name][row], want.landmarks.float())


def test_views_agree_where_schemes_share_places():
    """Flipped views too: the landmarks keep their names."""
    marked = _drawn.faces(range(6), "studio", NAMES, drawn=64, side=32, views=2)
    assert len(marked.image) == 12
    flips = 0
    for name in NAMES[1:]:
        for i, j in schemes.shared(name, "300w-68"):
            torch.testing.assert_close(marked.points[name][:, i], marked.points["300w-68"][:, j], atol=1e-4, rtol=0)
    left, right = schemes.get("300w-68").corners
    flips = (marked.points["300w-68"][:, left, 0] < marked.points["300w-68"][:, right, 0]).float().mean()
    assert flips == 1  # the left eye of the picture stays the left one


def test_a_dataset_shows_one_scheme_and_what_is_kept_of_it():
    marked = _drawn.faces([0], "studio", NAMES, drawn=64, side=32)
    item = _drawn.Views(marked, "cofw-29", kept=[3, 5])[0]
    assert item.landmarks.isfinite().all(-1).nonzero().flatten().tolist() == [3, 5]
    assert item.inside.nonzero().flatten().tolist() == [3, 5] == item.visible.nonzero().flatten().tolist()


def test_what_was_drawn_is_read_again(tmp_path):
    path, made = tmp_path / "deep" / "crops.pt", []

    def make():
        made.append(1)
        return _drawn.faces([0], "studio", NAMES, drawn=64, side=32)

    first, second = _drawn.kept(path, make), _drawn.kept(path, make)
    assert made == [1]
    assert torch.equal(first.image, second.image)
    assert first.points.keys() == second.points.keys()


def test_flagged_faces_have_the_flag():
    chosen = _drawn.flagged(12, "wild-test", 32, "occlusion")
    assert chosen == [i for i in range(12) if synthetic.sample(i, "wild-test", 32).attributes["occlusion"]]


def crossing_by_loops(lines):
    """Two segments cross where the solution of p + t r = q + u s has t and u strictly between 0 and 1."""
    c, m = lines.shape[:2]
    out = np.zeros((c, c), bool)
    for i in range(c):
        for j in range(c):
            for k in range(m - 1):
                for l in range(m - 1):
                    p, r, q, s = lines[i, k], lines[i, k + 1] - lines[i, k], lines[j, l], lines[j, l + 1] - lines[j, l]
                    det = r[0] * s[1] - r[1] * s[0]
                    if (i, k) != (j, l) and abs(det) > 1e-12:
                        d = q - p
                        t, u = (d[0] * s[1] - d[1] * s[0]) / det, (d[0] * r[1] - d[1] * r[0]) / det
                        out[i, j] |= 1e-9 < t < 1 - 1e-9 and 1e-9 < u < 1 - 1e-9
    return out


def test_crossings_by_solving_for_them():
    lines = np.random.default_rng(0).standard_normal((20, 3, 4, 2))
    found = _drawn.crossing(torch.from_numpy(lines))
    assert found.shape == (20, 3, 3)
    for got, each in zip(found.numpy(), lines, strict=True):
        np.testing.assert_array_equal(got, crossing_by_loops(each))


def test_touching_is_not_crossing():
    v = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], [[1.0, 0.0], [1.0, 1.0], [2.0, 0.0]]])
    assert not _drawn.crossing(v).any()
