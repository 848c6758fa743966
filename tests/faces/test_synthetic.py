"""Drawn faces: fixed by split and index, alike everywhere; attributes, pool, video, and the command."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lddmmlib.data import check, formats
from lddmmlib.faces import __main__ as command
from lddmmlib.faces import geometry, painters, perturb, schemes, synthetic
from lddmmlib.faces.synthetic import Faces, sample

SMALL = {"split": "studio", "size": 32}


def same(a, b, levels=0):
    assert (a.image.int() - b.image.int()).abs().max() <= levels
    torch.testing.assert_close(a.landmarks, b.landmarks, atol=1e-6, rtol=0)
    assert torch.equal(a.visible, b.visible)
    assert a.attributes == b.attributes
    assert a.numbers == pytest.approx(b.numbers, abs=1e-6)


# --- one face ------------------------------------------------------------------------------------------------------


def test_what_a_face_is():
    face = sample(0, "wild", 64, scheme="wflw-98")
    assert face.image.dtype == torch.uint8
    assert face.image.shape == (3, 64, 64)
    assert face.landmarks.dtype == torch.float64
    assert face.visible.dtype == torch.bool
    assert list(face.attributes) == ["pose", "expression", "illumination", "make-up", "occlusion", "blur"]
    assert list(face.attributes) == list(synthetic.THRESHOLDS)


def test_same_again_and_in_any_order():
    first = [sample(i, **SMALL) for i in (0, 1, 2)]
    for i in (2, 0, 1):
        same(sample(i, **SMALL), first[i])


def test_a_fresh_process_with_other_threads_draws_the_same(tmp_path):
    """As on another machine: nothing of this process's state or thread count enters."""
    program = f"""
import sys, torch, cv2
torch.set_num_threads(3); cv2.setNumThreads(3)
torch.manual_seed(99); import numpy; numpy.random.seed(5)
from lddmmlib.faces.synthetic import sample
torch.save([sample(i, "wild", 64)._asdict() for i in (5, 3)], {str(tmp_path / "faces.pt")!r})
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
    torch.manual_seed(1)
    for i, there in zip((5, 3), torch.load(tmp_path / "faces.pt"), strict=True):
        same(sample(i, "wild", 64), synthetic.Face(**there), levels=1)


def test_no_global_randomness_is_used_or_moved():
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    sample(4, **SMALL)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_splits_hold_other_faces():
    poses = {(split, i): synthetic.sitting(i, split).geometry.yaw for split in synthetic.SPLITS for i in range(5)}
    assert len(set(poses.values())) == len(poses)


def test_geometry_does_not_know_the_size():
    """(x + 1/2) / size is the same at any size; so is what the picture shows, at the resolution it has."""
    small, large = sample(2, "studio", 48), sample(2, "studio", 192)
    torch.testing.assert_close((small.landmarks + 0.5) / 48, (large.landmarks + 0.5) / 192, atol=1e-9, rtol=0)
    shrunk = torch.nn.functional.avg_pool2d(large.image.double(), 4)
    assert (shrunk - small.image.double()).abs().mean() < 6


@pytest.mark.parametrize("scheme", schemes.SCHEMES)
def test_one_face_in_every_scheme(scheme):
    """The same picture; shared places at the same point, and each landmark on its curve."""
    face, reference = sample(1, scheme=scheme, **SMALL), sample(1, **SMALL)
    assert torch.equal(face.image, reference.image)
    for i, j in schemes.shared(scheme, "300w-68"):
        torch.testing.assert_close(face.landmarks[i], reference.landmarks[j], atol=1e-9, rtol=0)
        assert face.visible[i] == reference.visible[j]
    geo = synthetic.sitting(1, "studio").framed(32)
    torch.testing.assert_close(face.landmarks, geometry.landmarks(geo, scheme)[0])


def test_styles_share_the_geometry():
    photo, line = (sample(3, style=style, **SMALL) for style in ("photo", "line"))
    assert torch.equal(photo.landmarks, line.landmarks)
    assert (photo.image.int() - line.image.int()).abs().double().mean() > 10


def test_faces_fill_the_picture_as_stated():
    for i in range(20):
        points = sample(i, "wild", 32).landmarks
        side = (points.amax(0) - points.amin(0)).max() / 32
        assert 1 / 1.85 < side < 1 / 1.55
        assert points.min() > 0
        assert points.max() < 31


def test_settings_differ_as_stated():
    """The wild turns further, and alone has occluders and shake."""
    numbers = {s: [synthetic.sitting(i, s) for i in range(60)] for s in ("studio", "wild")}
    spread = {s: np.std([x.geometry.yaw for x in all_]) for s, all_ in numbers.items()}
    assert spread["wild"] > 1.3 * spread["studio"]
    assert not any(x.look.occluders or np.any(x.look.camera.motion) for x in numbers["studio"])
    assert any(x.look.occluders for x in numbers["wild"])
    assert any(np.any(x.look.camera.motion) for x in numbers["wild"])


# --- attributes ----------------------------------------------------------------------------------------------------


def quiet():
    """Numbers that raise no flag."""
    names = sample(0, **SMALL).numbers
    return dict.fromkeys(names, 0.0) | {"light_ratio": 1.0, "level": 0.5}


@pytest.mark.parametrize(
    ("flag", "name", "below", "above"),
    [
        ("pose", "yaw", 29.9, 30.1), ("pose", "yaw", -29.9, -30.1), ("pose", "pitch", -19.9, -20.1),
        ("expression", "mouth_open", 0.49, 0.51), ("expression", "smile", -0.49, -0.51),
        ("expression", "eyes_closed", 0.49, 0.51), ("illumination", "light_ratio", 3.9, 4.1),
        ("illumination", "level", 0.36, 0.34), ("make-up", "makeup", 0.39, 0.41),
        ("occlusion", "occluded", 0.09, 0.11), ("blur", "blurred", 0.029, 0.031),
    ],
)  # fmt: skip
def test_flags_follow_their_thresholds(flag, name, below, above):
    assert not any(synthetic._flags(quiet() | {name: below}).values())
    assert [k for k, v in synthetic._flags(quiet() | {name: above}).items() if v] == [flag]


def test_every_flag_occurs_in_the_wild_and_is_no_rule():
    flags = [synthetic._draw(synthetic.sitting(i), 32, "photo", "aflw-19").attributes for i in range(80)]
    for name in synthetic.THRESHOLDS:
        assert 0.02 < np.mean([f[name] for f in flags]) < 0.75, name


def test_what_hides_a_landmark_makes_it_invisible():
    """Paint an occluder over everything: all landmarks before it are hidden, their places stay."""
    start = synthetic.sitting(0, "studio")
    bare = synthetic._draw(start, 64, "photo", "300w-68")
    hand = replace(start.look, occluders=3)
    covered = synthetic._draw(start._replace(look=hand), 64, "photo", "300w-68")
    assert torch.equal(bare.landmarks, covered.landmarks)
    assert covered.visible.sum() < bare.visible.sum()
    hidden = painters.photo(start.framed(64), hand, 64).hidden
    for (x, y), seen, was in zip(covered.landmarks.round().int().tolist(), covered.visible, bare.visible, strict=True):
        assert seen == (was and hidden[y, x] <= 0.5)


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"index": -1}, "index: needed an integer >= 0"), ({"index": True}, "index: needed an integer"),
        ({"split": "train"}, "split: needed one of 'studio', 'studio-val'"),
        ({"style": "oil"}, "style: needed one of 'photo', 'line'"),
        ({"scheme": "300w"}, "scheme: needed one of '300w-68'"),
        ({"size": 31}, "size: needed an integer from 32 to 2048"), ({"size": 4096}, "size: needed an integer"),
    ],
)  # fmt: skip
def test_refusals_name_the_choices(wrong, match):
    with pytest.raises(ValueError, match=match):
        sample(**{"index": 0, **wrong})


# --- video ---------------------------------------------------------------------------------------------------------


def test_video_moves_smoothly_from_the_still_face():
    frames = synthetic.video(3, 12, "studio", 64)
    still = sample(3, "studio", 64)
    assert torch.equal(frames[0].image, still.image)
    track = torch.stack([f.landmarks for f in frames])
    unit = synthetic.sitting(3, "studio").framed(64).scale
    step = (track[1:] - track[:-1]).norm(dim=-1).mean(1) / unit
    bend = (track[2:] - 2 * track[1:-1] + track[:-2]).norm(dim=-1).mean(1) / unit
    assert 0.002 < step.max() < 0.15
    assert bend.max() < 0.75 * step.max()
    pixels = torch.stack([f.image.double() for f in frames])
    assert (pixels[1:] - pixels[:-1]).abs().mean() < 10  # no flicker: hair, light, background stay


def test_video_serves_blur_by_movement():
    before, now, after = synthetic.video(2, 3, "studio", 64)
    way = after.landmarks[30] - before.landmarks[30]
    blurred = perturb.motion_blur(now.image, now.landmarks, way, "large")
    assert blurred.dtype == torch.uint8
    assert (blurred.int() - now.image.int()).abs().double().mean() > 1


# --- dataset and pool ----------------------------------------------------------------------------------------------


def test_workers_draw_what_the_process_draws():
    faces = Faces(5, **SMALL)
    alone = list(DataLoader(faces, batch_size=2))
    shared = list(DataLoader(faces, batch_size=2, num_workers=2))
    for a, b in zip(alone, shared, strict=True):
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.landmarks, b.landmarks)
    assert alone[0].image.shape == (2, 3, 32, 32)
    assert alone[0].attributes["pose"].shape == (2,)
    same(faces[4], sample(4, **SMALL))


def test_dataset_ends():
    faces = Faces(3, **SMALL)
    assert len(faces) == len(list(faces)) == 3
    with pytest.raises(IndexError, match="from 0 to 2, got 3"):
        faces[3]


def test_pool_keeps_and_resumes(tmp_path, monkeypatch):
    faces = Faces(4, pool=tmp_path, **SMALL)
    drawn = [faces[i] for i in range(4)]
    files = sorted(tmp_path.rglob("*.npz"))
    assert len(files) == 4
    assert not list(tmp_path.rglob("*.tmp"))
    files[2].unlink()
    again = Faces(4, pool=tmp_path, **SMALL)
    calls = []
    monkeypatch.setattr(synthetic, "sample", lambda i, **how: calls.append(i) or sample(i, **how))
    for i in range(4):
        same(again[i], drawn[i])
    assert calls == [2]  # the others are read


def test_pool_of_another_version_is_refused(tmp_path):
    faces = Faces(2, pool=tmp_path, **SMALL)
    other = faces[0]._replace(image=255 - faces[0].image)
    synthetic._keep(other, next(tmp_path.rglob("0000000.npz")))
    with pytest.raises(ValueError, match="drawn by another version; remove that folder"):
        Faces(2, pool=tmp_path, **SMALL)


def test_pools_do_not_mix(tmp_path):
    Faces(1, pool=tmp_path, **SMALL)
    other = Faces(1, pool=tmp_path, split="studio", size=32, scheme="aflw-19")
    assert other[0].landmarks.shape == (19, 2)


# --- the command ---------------------------------------------------------------------------------------------------

ARGUMENTS = ["--count", "3", "--scheme", "wflw-98", "--split", "studio", "--size", "48"]


def test_command_writes_what_check_accepts(tmp_path, capsys):
    out = tmp_path / "faces"
    assert command.main(["--out", str(out), *ARGUMENTS, "--start", "7"]) == 0
    records = formats.read(out)
    assert [r.image.name for r in records] == ["0000007.png", "0000008.png", "0000009.png"]
    for record, index in zip(records, (7, 8, 9), strict=True):
        face = sample(index, "studio", 48, scheme="wflw-98")
        torch.testing.assert_close(record.landmarks, face.landmarks, atol=1e-9, rtol=0)
        assert torch.equal(record.visible, face.visible)
        assert {k: bool(record.attributes[k]) for k in face.attributes} == face.attributes
    assert not check.inspect(out).problems
    assert command.main(["--out", str(out), *ARGUMENTS, "--start", "7"]) == 0
    assert "complete" in capsys.readouterr().out


def test_command_resumes(tmp_path, monkeypatch):
    """Killed after the first face, in the middle of writing the second."""
    out = tmp_path / "faces"
    real, calls = synthetic.sample, []

    def breaks(index, **how):
        calls.append(index)
        if len(calls) == 3:  # the first call of a run is a rehearsal
            raise KeyboardInterrupt
        return real(index, **how)

    monkeypatch.setattr(synthetic, "sample", breaks)
    assert command.main(["--out", str(out), *ARGUMENTS]) == 130
    with (out / command.LOG).open("a", encoding="utf-8") as log:
        log.write('{"index": 1, "landm')
    first = (out / "images" / "0000000.png").stat().st_mtime_ns
    monkeypatch.setattr(synthetic, "sample", lambda index, **how: calls.append(index) or real(index, **how))
    calls.clear()
    assert command.main(["--out", str(out), *ARGUMENTS]) == 0
    assert calls[1:] == [1, 2]
    assert (out / "images" / "0000000.png").stat().st_mtime_ns == first
    assert len(formats.read(out)) == 3
    assert not (out / command.LOG).exists()


def test_command_leaves_others_alone(tmp_path, capsys):
    out = tmp_path / "faces"
    assert command.main(["--out", str(out), *ARGUMENTS]) == 0
    before = (out / command.RESULT).read_bytes()
    assert command.main(["--out", str(out), *ARGUMENTS[:-1], "64"]) == 2
    assert "holds another run (size 48, not 64)" in capsys.readouterr().err
    assert (out / command.RESULT).read_bytes() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x", encoding="utf-8")
    assert command.main(["--out", str(tmp_path / "mine"), *ARGUMENTS]) == 2
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_command_refuses_before_it_writes(tmp_path, capsys):
    assert command.main(["--out", str(tmp_path / "new"), "--count", "1", "--size", "5"]) == 2
    assert "size: needed an integer from 32" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    with pytest.raises(SystemExit):
        command.main(["--out", str(tmp_path / "new"), "--count", "0"])
