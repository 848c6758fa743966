import os
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lddmmlib import convert, metrics, training
from lddmmlib.data import coco_writer, contact_sheet, crops, formats, images
from lddmmlib.data.augment import STILL, Crops
from lddmmlib.data.records import Record
from lddmmlib.faces import curve_sets, geometry, schemes, synthetic
from lddmmlib.faces.placements import BANDS, band
from lddmmlib.methods import lddmm_face

NAMES = list(schemes.SCHEMES)
every = pytest.mark.parametrize("name", NAMES)
real = pytest.mark.skipif("LDDMMLIB_REAL_DATA" not in os.environ, reason="LDDMMLIB_REAL_DATA is not set")

# Published pairs: mmpose's tables; for 194 points LDDMM-Face's. (i, j, k): k pairs (i, j), (i+1, j-1), ...
FLIPS = {
    "300w-68": [(0, 16, 8), (17, 26, 5), (31, 35, 2), (36, 45, 4), (40, 47, 2), (48, 54, 3), (60, 64, 2),
                (67, 65, 1), (58, 56, 1), (59, 55, 1)],
    "wflw-98": [(0, 32, 16), (33, 46, 5), (38, 50, 4), (60, 72, 5), (65, 75, 3), (55, 59, 2), (76, 82, 3),
                (87, 83, 1), (86, 84, 1), (88, 92, 2), (95, 93, 1), (96, 97, 1)],
    "cofw-29": [(0, 1, 1), (2, 3, 1), (4, 6, 1), (5, 7, 1), (8, 9, 1), (10, 11, 1), (12, 14, 1), (13, 15, 1),
                (16, 17, 1), (18, 19, 1), (22, 23, 1)],
    "aflw-19": [(0, 5, 3), (6, 11, 3), (12, 14, 1), (15, 17, 1)],
    "helen-194": [(0, 40, 20), (41, 57, 8), (58, 71, 7), (72, 85, 7), (86, 99, 7), (100, 113, 7),
                  *((i, i + 20, 1) for i in (*range(114, 134), *range(154, 174)))],
}  # fmt: skip


@pytest.mark.parametrize("name", FLIPS)
def test_flip_is_the_published_one(name):
    scheme = schemes.get(name)
    flip = list(range(scheme.n))
    for i, j, k in FLIPS[name]:
        for m in range(k):
            flip[i + m], flip[j - m] = j - m, i + m
    assert scheme.flip == tuple(flip)


@every
def test_flip_goes_back_and_keeps_every_curve(name):
    scheme = schemes.get(name)
    assert tuple(scheme.flip[j] for j in scheme.flip) == tuple(range(scheme.n))
    for curve, points in scheme.curves.items():
        side, _, rest = curve.partition("_")
        other = {"left": "right_" + rest, "right": "left_" + rest}.get(side, curve)
        assert {scheme.flip[i] for i in points} == set(scheme.curves[other])


@pytest.mark.parametrize(
    ("name", "n", "corners", "pupils"),
    [
        ("300w-68", 68, (36, 45), (range(36, 42), range(42, 48))),
        ("wflw-98", 98, (60, 72), ([96], [97])),
        ("helen-194", 194, (144, 124), (range(134, 154), range(114, 134))),
        ("cofw-29", 29, (8, 9), ([16], [17])),
        ("aflw-19", 19, (6, 11), ([7], [10])),
        ("lfw-74", 74, (38, 46), ([54], [55])),
        ("union-113", 113, (36, 45), ([107], [108])),
    ],
)
def test_published_counts_corners_and_pupils(name, n, corners, pupils):
    scheme = schemes.get(name)
    assert (scheme.n, scheme.corners) == (n, corners)
    assert [set(p) for p in scheme.pupils] == [set(p) for p in pupils]


def test_curves_of_300w():
    groups = {"jaw": (0, 17), "left_brow": (17, 22), "right_brow": (22, 27), "nose_bridge": (27, 31),
              "nose_outline": (31, 36), "left_eye": (36, 42), "right_eye": (42, 48), "outer_lip": (48, 60),
              "inner_lip": (60, 68)}  # fmt: skip
    scheme = schemes.get("300w-68")
    assert scheme.curves == {name: tuple(range(*ends)) for name, ends in groups.items()}
    assert scheme.closed == {"left_eye", "right_eye", "outer_lip", "inner_lip"}


def test_orders_of_29_and_19_points():
    """As published: left and right take turns in COFW's, AFLW's goes from left to right."""
    names = ["left brow outer end", "right brow outer end", "left brow inner end", "right brow inner end"]
    names += ["left brow upper 1/2", "left brow lower 1/2", "right brow upper 1/2", "right brow lower 1/2"]
    names += [f"{side} eye {end} corner" for end in ("outer", "inner") for side in ("left", "right")]
    names += ["left eye upper 1/2", "left eye lower 1/2", "right eye upper 1/2", "right eye lower 1/2"]
    names += ["left pupil", "right pupil", "left nose wing", "right nose wing", "nose tip", "nose base"]
    names += ["outer lip left corner", "outer lip right corner", "outer lip upper 1/2", "inner lip upper 1/2"]
    assert schemes.get("cofw-29").names == (*names, "inner lip lower 1/2", "outer lip lower 1/2", "chin")
    names = ["left brow outer end", "left brow 1/2", "left brow inner end"]
    names += ["right brow inner end", "right brow 1/2", "right brow outer end"]
    names += ["left eye outer corner", "left eye centre", "left eye inner corner"]
    names += ["right eye inner corner", "right eye centre", "right eye outer corner"]
    names += ["left nose wing", "nose tip", "right nose wing"]
    names += ["outer lip left corner", "mouth centre", "outer lip right corner", "chin"]
    assert schemes.get("aflw-19").names == tuple(names)


def test_curves_of_lddmm_face_are_ours():
    """Its half-open ranges for 98 and 194 points; the jaw and lips that it cuts are whole here."""
    cuts = {
        "wflw-98": [0, 33, 42, 51, 55, 60, 68, 76, 88, 96, 97, 98],
        "helen-194": [0, 41, 58, 86, 114, 134, 154, 174, 194],
    }
    for name, ends in cuts.items():
        ours = {frozenset(points) for points in schemes.get(name).curves.values()}
        assert ours == {frozenset(range(a, b)) for a, b in pairwise(ends)}
    helen = schemes.get("helen-194").curves  # 114-133 is the eye of 42-47, 154-173 the brow of 22-26
    assert (min(helen["right_eye"]), min(helen["right_brow"])) == (114, 154)


@every
def test_places_and_names_are_unique_and_parts_divide_them(name):
    scheme = schemes.get(name)
    assert len(set(scheme.placements)) == len(set(scheme.names)) == scheme.n
    assert sorted(i for part in scheme.parts.values() for i in part) == list(range(scheme.n))
    assert list(scheme.parts) == ["edge", "brows", "nose", "eyes", "mouth"]
    assert {i for curve in scheme.curves.values() for i in curve} == set(range(scheme.n))
    assert all(0 <= p.t <= 1 for p in scheme.placements)


def test_parts_of_300w():
    parts = {"edge": (0, 17), "brows": (17, 27), "nose": (27, 36), "eyes": (36, 48), "mouth": (48, 68)}
    assert schemes.get("300w-68").parts == {name: tuple(range(*ends)) for name, ends in parts.items()}


@every
def test_curves_are_in_order_along_the_curve(name):
    scheme = schemes.get(name)
    for curve, points in scheme.curves.items():
        there = [scheme.placements[i].t for i in points if not scheme.placements[i].curve.endswith("_lower")]
        back = [scheme.placements[i].t for i in points if scheme.placements[i].curve.endswith("_lower")]
        assert there == sorted(there)
        assert back == sorted(back, reverse=True)
        assert curve in scheme.closed or not back


def test_unknown_scheme_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"needed one of '300w-68', 'wflw-98'.*got '300w'"):
        schemes.get("300w")


def test_lines_close_the_closed_and_refuse_another_scheme():
    points = torch.arange(2 * 136.0).reshape(2, 68, 2)
    lines = schemes.get("300w-68").lines(points)
    assert torch.equal(lines["left_eye"], points[:, [36, 37, 38, 39, 40, 41, 36]])
    assert torch.equal(lines["jaw"], points[:, :17])
    with pytest.raises(ValueError, match=r"points of 300w-68: needed 68 points, got 29"):
        schemes.get("300w-68").lines(torch.zeros(29, 2))


# Colours


def luminance(rgb):
    return rgb @ np.array([0.2126, 0.7152, 0.0722])


def lab(rgb):
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ np.clip(rgb, 1e-3, 1) / [0.9505, 1, 1.089])
    return np.array([116 * y, 500 * (x - y), 200 * (y - z)])


def linear_rgb(colour):
    c = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def test_colours_are_legible_on_light_and_dark_and_without_red_green_or_blue_sight():
    simulate = {  # Machado, Oliveira and Fernandes 2009, full severity
        "normal": np.eye(3),
        "protan": [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        "deutan": [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.01182, 0.04294, 0.968881],
        ],
        "tritan": [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.3039],
        ],
    }
    colours = [linear_rgb(c) for c in schemes.COLOURS.values()]
    for c in colours:
        assert 1.05 / (luminance(c) + 0.05) >= 3
        assert (luminance(c) + 0.05) / (luminance(linear_rgb("#121212")) + 0.05) >= 3
    for seen in simulate.values():
        assert min(np.linalg.norm(lab(seen @ a) - lab(seen @ b)) for a, b in combinations(colours, 2)) > 20


# Conversions


def pipnet_98_to_68():
    """PIPNet's table: two matrices, x and y, because its brows take x from the upper edge alone."""
    y = np.zeros((68, 98))
    y[range(17), range(0, 33, 2)] = 1
    y[17, 33] = y[26, 46] = 1
    y[range(27, 36), range(51, 60)] = 1
    y[range(48, 68), range(76, 96)] = 1
    for j, i in ((36, 60), (39, 64), (42, 68), (45, 72)):
        y[j, i] = 1
    lids = [(37, 61, 62), (38, 63, 62), (40, 65, 66), (41, 67, 66)]
    for j, near, far in lids + [(j + 6, near + 8, far + 8) for j, near, far in lids]:
        y[j, [near, far]] = 2 / 3, 1 / 3
    x = y.copy()
    upper, lower = (34, 35, 36, 37, 42, 43, 44, 45), (41, 40, 39, 38, 50, 49, 48, 47)
    for j, a, b in zip(range(18, 26), upper, lower, strict=True):
        x[j, a] = 1
        y[j, [a, b]] = 0.5
    return x, y


def test_98_to_68_is_pipnets_table_but_for_the_x_of_brows():
    x, y = pipnet_98_to_68()
    ours = schemes.conversion("wflw-98", "300w-68").numpy()
    np.testing.assert_allclose(ours, y, atol=1e-15)
    assert [j for j in range(68) if not np.allclose(ours[j], x[j])] == list(range(18, 26))


def test_29_to_68_keeps_the_six_common_points():
    matrix = schemes.conversion("cofw-29", "300w-68")
    for i, j in zip((8, 9, 10, 11, 22, 23), (36, 45, 39, 42, 48, 54), strict=True):
        assert matrix[j].nonzero().tolist() == [[i]]
        assert schemes.conversion("300w-68", "cofw-29")[i].nonzero().tolist() == [[j]]


def test_union_has_68_points_and_the_45_others_of_74():
    shared = schemes.shared("300w-68", "lfw-74")
    assert len(shared) == 29
    union = schemes.get("union-113").placements
    assert union[:68] == schemes.get("300w-68").placements
    assert set(union[68:]) == set(schemes.get("lfw-74").placements) - set(union[:68])
    points = torch.rand(113, 2, dtype=torch.float64)
    a, b = (schemes.convert(points, "union-113", name) for name in ("300w-68", "lfw-74"))
    assert torch.equal(a, points[:68])
    assert all(torch.equal(a[i], b[j]) for i, j in shared)


@every
def test_a_scheme_converts_to_itself_unchanged(name):
    n = schemes.get(name).n
    assert torch.equal(schemes.conversion(name, name), torch.eye(n, dtype=torch.float64))


@pytest.mark.parametrize("source", NAMES)
@pytest.mark.parametrize("target", NAMES)
def test_rows_are_numpys_interpolation_along_each_curve(source, target):
    """An independent judge for all curves without midline: numpy.interp over the source's own samples."""
    points = np.random.default_rng(0).normal(size=(schemes.get(source).n, 2))
    got = schemes.convert(torch.tensor(points), source, target).numpy()
    for j, (curve, t) in enumerate(schemes.get(target).placements):
        if band(curve) in BANDS:
            continue
        known = sorted((p.t, i) for i, p in enumerate(schemes.get(source).placements) if p.curve == curve)
        if not known or not known[0][0] <= t <= known[-1][0]:
            assert np.isnan(got[j]).all()
            continue
        at = [float(s) for s, _ in known]
        want = [np.interp(float(t), at, points[[i for _, i in known], axis]) for axis in (0, 1)]
        np.testing.assert_allclose(got[j], want, atol=1e-12)


@pytest.mark.parametrize("source", NAMES)
@pytest.mark.parametrize("target", NAMES)
def test_shared_places_are_taken_over_and_rows_sum_to_one(source, target):
    matrix = schemes.conversion(source, target)
    told = ~matrix.isnan().any(1)
    assert told.any()
    torch.testing.assert_close(matrix[told].sum(1), torch.ones(int(told.sum()), dtype=torch.float64))
    assert (matrix[told] >= 0).all()
    for i, j in schemes.shared(source, target):
        assert schemes.get(source).placements[i] == schemes.get(target).placements[j]
        assert matrix[j].nonzero().tolist() == [[i]]


def face(scheme, seed=0):
    """Landmarks of one random face whose canonical curves are linear in t: the same face for every scheme."""
    rng = np.random.default_rng(seed)
    ends = {c: rng.normal(size=(2, 2)) for c in ("jaw", "nose_bridge", "nose_outline", "left_pupil", "right_pupil")}
    for name in ("left_brow", "right_brow"):
        tip, upper, lower = rng.normal(size=(3, 2))
        order = slice(None, None, 1 if name == "left_brow" else -1)
        ends |= {
            name + "_upper": np.array([tip, upper])[order],
            name + "_lower": np.array([tip, lower])[order],
        }
        ends[name] = (ends[name + "_upper"] + ends[name + "_lower"]) / 2
    for name in BANDS[2:]:  # the edges meet at both ends: linear in t they coincide
        ends |= dict.fromkeys((name, name + "_upper", name + "_lower"), rng.normal(size=(2, 2)))
    return torch.tensor(np.array([ends[c][0] * (1 - float(t)) + ends[c][1] * float(t) for c, t in scheme.placements]))


@pytest.mark.parametrize("source", NAMES)
@pytest.mark.parametrize("target", NAMES)
def test_a_face_of_straight_curves_converts_exactly(source, target):
    got = schemes.convert(face(schemes.get(source)), source, target)
    want = face(schemes.get(target)).where(~got.isnan(), torch.nan)
    torch.testing.assert_close(got, want, equal_nan=True, rtol=0, atol=1e-12)


def test_what_is_not_marked_is_not_told():
    untold = {
        ("300w-68", "wflw-98"): {
            *range(34, 42),
            *range(42, 46),
            *range(47, 51),
            96,
            97,
        },  # edges of brows, pupils
        ("helen-194", "300w-68"): {0, 16, 27, 28, 29, 30},  # the ends of the jaw, the bridge
        ("aflw-19", "cofw-29"): {4, 5, 6, 7, 12, 13, 14, 15, 16, 17, 21, 24, 25, 26, 27} - {21},
    }
    for (source, target), missing in untold.items():
        rows = schemes.conversion(source, target).isnan().all(1)
        assert set(rows.nonzero().flatten().tolist()) == missing


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(NAMES), st.sampled_from(NAMES), st.floats(-3, 3), st.floats(0.1, 10), st.floats(-100, 100))
def test_conversions_commute_with_similarities_and_flips(source, target, angle, scale, shift):
    x = torch.randn(2, schemes.get(source).n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    turn = scale * torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    a = schemes.convert(x @ turn.T + shift, source, target)
    b = schemes.convert(x, source, target) @ turn.T + shift
    torch.testing.assert_close(a, b, equal_nan=True, rtol=1e-9, atol=1e-9)
    mirror = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    a = schemes.convert(x[:, schemes.get(source).flip] * mirror, source, target)
    b = schemes.convert(x, source, target)[:, schemes.get(target).flip] * mirror
    torch.testing.assert_close(a, b, equal_nan=True)


def test_only_what_needs_a_missing_landmark_is_missing():
    points = torch.rand(98, 2)
    points[61] = torch.nan
    got = schemes.convert(points, "wflw-98", "300w-68")
    assert got.isnan().any(-1).nonzero().flatten().tolist() == [37]
    assert got.dtype == torch.float32


# Real faces


@pytest.fixture(scope="module")
def data():
    return Path(os.environ["LDDMMLIB_REAL_DATA"])


@real
@pytest.mark.real
def test_the_mean_of_real_faces_is_its_own_mirror_image(data):
    points = torch.tensor(np.load(data / "shapes_300w_train.npz")["pts"], dtype=torch.float64)
    z = torch.view_as_complex(points)
    mean = ((z - z[:, [36, 45]].mean(1, keepdim=True)) / (z[:, 45] - z[:, 36])[:, None]).mean(0)
    mirrored = -mean[list(schemes.get("300w-68").flip)].conj()
    assert (mirrored - mean).abs().max() < 0.03


@real
@pytest.mark.real
def test_shared_places_lie_nearest_to_each_other_on_faces_annotated_twice(data):
    from lddmmlib.data import formats

    files = sorted((data / "helen_dual").glob("*.pts"))[:60]
    many = torch.stack([formats.read(f)[0].landmarks for f in files])
    few = torch.stack([formats.read(f.with_suffix(".pts29"), "pts29")[0].landmarks for f in files])
    size = (many[:, 45] - many[:, 36]).norm(dim=-1)[:, None, None]
    median = ((few[:, :, None] - many[:, None]) / size[..., None]).median(0).values.norm(dim=-1)  # (29, 68)
    shared = schemes.shared("cofw-29", "300w-68")
    assert len(shared) == 17
    apart = {schemes.get("cofw-29").names[i] for i, j in shared if median[i].argmin() != j}
    assert apart <= {
        "left brow outer end",
        "right brow outer end",
    }  # the two schemes end the brows differently


# ------------------------------------------------------------------------------------------------- own landmarks

EYES, CHIN, OTHER = ["left eye", "right eye"], "chin", schemes.custom("x", [*"abcde"])
MINE = schemes.custom(
    "mine-5", [*EYES, "nose", CHIN, "brow"], mirrored=[(0, 1)], corners=(0, 1), curves={"v": [0, 3, 1]}
)
FACE = torch.tensor([[20.0, 20.0], [60.0, 22.0], [41.0, 41.0], [40.0, 70.0], [30.0, 12.0]]).double()


def test_own_landmarks_make_a_scheme():
    assert (MINE.n, MINE.flip, MINE.corners, MINE.pupils) == (5, (1, 0, 2, 3, 4), (0, 1), None)
    assert MINE.lines(FACE)["v"].tolist() == FACE[[0, 3, 1]].tolist()
    assert schemes.get(MINE) is MINE
    assert schemes.get(schemes.get("cofw-29")) is schemes.get("cofw-29")
    assert len({MINE, schemes.custom("mine-5", MINE.names), schemes.get("cofw-29")}) == 3  # a key of any cache


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "cofw-29"}, "name: needed a name of its own, got 'cofw-29'"),
        ({"name": ""}, "name: needed a name of its own"),
        ({"names": ["a", "a", "b"]}, "names: needed different names"),
        ({"names": "abc"}, "names: needed different names"),
        ({"names": []}, "names: needed different names, one or more"),
        ({"mirrored": [(0, 3)]}, "mirrored: needed two different landmarks from 0 to 2, got .0, 3."),
        ({"mirrored": [(1, 1)]}, "mirrored: needed two different"),
        ({"mirrored": [(0, 1, 2)]}, "mirrored: needed two different"),
        ({"mirrored": [(0, 1), (1, 2)]}, "mirrored: needed each landmark in one pair at most, got .1, 2."),
        ({"corners": (0, -1)}, "corners: needed two different landmarks"),
        ({"curves": {"jaw": [0, 5]}}, "curves: needed different landmarks from 0 to 2"),
        ({"curves": {"jaw": []}}, "curves: needed different landmarks"),
        ({"curves": {"jaw": [0, 1]}, "closed": ["eye"]}, "closed: needed one of 'jaw'"),
    ],
    ids=repr,
)
def test_what_is_no_scheme_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        schemes.custom(**{"name": "mine-3", "names": ["a", "b", "c"]} | wrong)


def one_record(folder, landmarks=FACE, box=(10.0, 5.0, 70.0, 70.0)):
    path = folder / "face.png"
    images.save(np.full((90, 90, 3), 90, np.uint8), path)
    return Record(image=path, landmarks=landmarks, visible=~landmarks.isnan().any(-1), box=box, scheme=MINE,
                  attributes={}, source="face.png")  # fmt: skip


def test_own_landmarks_go_wherever_a_name_goes(tmp_path):
    from matplotlib import pyplot as plt

    from lddmmlib import plots
    from lddmmlib.widgets.metric_explorer import MetricExplorer

    record = one_record(tmp_path)
    data = Crops.of([record], MINE, size=28)
    torch.testing.assert_close(data[0].landmarks, crops.apply(crops.frame(record.box, 28), FACE))
    flipped = Crops.of([record], MINE, 28, STILL._replace(flipped=1)).draw(0, np.random.default_rng(0))
    torch.testing.assert_close(flipped.landmarks[:, 0], 27 - data[0].landmarks[[1, 0, 2, 3, 4], 0])
    nme = training.evaluate(torch.nn.Identity(), lambda net, batch: batch.landmarks + 3, data, scheme=MINE)
    truth = data[0].landmarks
    torch.testing.assert_close(nme[0], (18**0.5 / (truth[0] - truth[1]).norm()))
    coco_writer.write_coco([record], tmp_path / "faces.json")
    assert torch.equal(formats.read(tmp_path / "faces.json")[0].landmarks, FACE)
    assert "left eye" in (tmp_path / "faces.json").read_text(encoding="utf-8")
    assert contact_sheet.draw([record], "one").ndim == 3
    figure, axes = plt.subplots()
    plots.face(axes, FACE, MINE)
    assert len(axes.lines) == 1
    plt.close(figure)
    assert curve_sets.get(MINE) == {"v": (0, 3, 1), "nose, alone": (2,), "brow, alone": (4,)}
    layer = lddmm_face.Deformation(FACE, MINE)
    torch.testing.assert_close(layer(torch.ones(1, 5, 2).double())[0, 2], FACE[2] + 1)  # a lone landmark
    with pytest.raises(ValueError, match=r"with pupils and a jaw line.*got mine-5"):
        MetricExplorer(FACE, MINE)


def test_the_box_of_own_landmarks_is_not_completed(tmp_path):
    lost = FACE.clone()
    lost[3] = torch.nan
    assert torch.equal(crops.complete(lost, MINE).isnan(), lost.isnan())
    data = Crops.of([one_record(tmp_path, lost, box=None)], MINE, size=28)
    with pytest.warns(UserWarning, match="cut around 4 of 5 landmarks alone"):
        data[0]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: schemes.conversion("wflw-98", MINE), "scheme: needed one whose landmarks have places.*'mine-5'"),
        (lambda: schemes.convert(FACE, MINE, "300w-68"), "scheme: needed one whose landmarks have places"),
        (lambda: schemes.shared(MINE, "300w-68"), "scheme: needed one whose landmarks have places"),
        (lambda: synthetic.sample(0, scheme=MINE), "scheme: needed|parameter 'scheme'"),
        (lambda: geometry.landmarks(geometry.Face3D(), MINE), "scheme: needed one whose landmarks have places"),
        (lambda: curve_sets.riders("300w-68", MINE), "scheme: needed one whose landmarks have places"),
        (lambda: curve_sets.get(schemes.custom("x", [*"abc"], curves={"v": [0], "w": [0]})), "in one curve at most"),
        (lambda: convert.convert([], MINE, "out.json"), "target: needed|parameter 'target'"),
        (lambda: metrics.nme(FACE, FACE, "pupils", MINE), "needed pupils, got 'mine-5', which has none"),
        (lambda: metrics.nme(FACE, FACE, "corners", OTHER), "needed corners, got 'x'.*use 'box'"),
        (lambda: metrics.nme_curve(FACE, FACE, MINE), "scheme: needed one of the five parts"),
        (lambda: Crops([(torch.zeros(3, 9, 9).byte(), FACE, FACE[:, 0] > 0)], OTHER, 28).draw(
            0, np.random.default_rng(0)), "needed one that says which landmarks are mirrored"),
    ],
)  # fmt: skip
def test_what_own_landmarks_lack_is_refused_at_the_door(ask, said):
    with pytest.raises((ValueError, TypeError), match=said):
        ask()
