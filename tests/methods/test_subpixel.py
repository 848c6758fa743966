"""Paper C: views that come back to where they were, and losses that say what they should."""

from inspect import unwrap

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.utils.data import default_collate

from lddmmlib import heatmaps, training
from lddmmlib.data import augment, crops
from lddmmlib.data.augment import Crops
from lddmmlib.faces import schemes, synthetic
from lddmmlib.methods import subpixel
from lddmmlib.methods.heatmap_regression import l2_loss, soft_argmax_loss
from lddmmlib.networks import StackedHourglass
from tests.methods.stand_ins import CELLS, SIDE, STRIDE, Told, crop_of, drawn, points

FLIP = schemes.get("300w-68").flip


def moves(n, seed=0):
    rng = np.random.default_rng(seed)
    return torch.stack([augment.move(SIDE, rng, subpixel.RECIPE) for _ in range(n)])


def in_view(x, move):
    """Landmarks as the view has them: moved, and with the names that they have in a mirror."""
    there = crops.apply(move, x)
    return torch.where(torch.linalg.det(move[:, :, :2])[:, None, None] < 0, there[:, list(FLIP)], there)


@pytest.fixture(scope="module")
def faces():
    return [synthetic.sample(i, size=64) for i in range(6)]


def views(faces, how=subpixel.RECIPE):
    return subpixel.Views(Crops(faces, "300w-68", 64, how))


def batch_of(pairs):
    return default_collate(pairs)


# ---------------------------------------------------------------------------------------------------- there and back


def test_known_gaussians_go_there_and_come_back():
    """Within 0.02 px by two decoders; as high and, but for the view's scale, as wide as they were."""
    x, move = points(24), moves(24)
    back, _ = subpixel.to_canonical(drawn(in_view(x, move)), move, FLIP, STRIDE)
    assert (heatmaps.decode(back.clamp(min=0), "barycentre", stride=STRIDE) - x).norm(dim=-1).max() < 0.02
    assert (heatmaps.decode(back, "taylor", stride=STRIDE) - x).norm(dim=-1).max() < 0.03
    scale = torch.linalg.det(move[:, :, :2]).abs().sqrt()
    for i in range(24):
        torch.testing.assert_close(back[i], drawn(x[i], 2 / scale[i].item()), atol=2e-3, rtol=0)


@pytest.mark.parametrize("alignment", heatmaps.ALIGNMENTS)
def test_values_are_those_of_scipys_spline(alignment):
    """Another implementation of the cubic spline, of random maps that are 0 around their middle."""
    maps = torch.zeros(3, 2, 20, 23, dtype=torch.float64)
    maps[..., 6:-6, 6:-6] = torch.randn(3, 2, 8, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    move = moves(3, seed=4)
    middle = torch.tensor([45.5, 39.5], dtype=torch.float64)
    move[:, :, 2] = middle - move[:, :, :2] @ middle + torch.tensor([[3.0, 1.0], [9.0, -5.0], [-4.0, 7.0]])
    got, seen = subpixel.to_canonical(maps, move, (1, 0), STRIDE, alignment)
    origin = 1.5 if alignment == "centre" else 0.0
    y, x = np.mgrid[:20, :23]
    for i in range(3):
        pixel = STRIDE * np.stack([x, y], -1) + origin
        u, v = np.moveaxis((pixel @ move[i, :, :2].numpy().T + move[i, :, 2].numpy() - origin) / STRIDE, -1, 0)
        inside = (u >= 0) & (u <= 22) & (v >= 0) & (v <= 19)
        assert 0 < inside.sum() < inside.size
        np.testing.assert_array_equal(seen[i], inside)
        order = (1, 0) if torch.linalg.det(move[i, :, :2]) < 0 else (0, 1)
        for k in range(2):
            padded = np.pad(maps[i, order[k]].numpy(), 12)
            want = ndimage.map_coordinates(padded, [v + 12, u + 12], order=3, mode="constant")
            np.testing.assert_allclose(got[i, k], want * inside, atol=1e-4)


def test_whole_cells_and_flips_are_exact():
    maps = torch.randn(2, 68, 8, 8, generator=torch.Generator().manual_seed(0))
    right = torch.tensor([[1.0, 0.0, 8.0], [0.0, 1.0, 0.0]])  # two cells
    mirror = torch.tensor([[-1.0, 0.0, 31.0], [0.0, 1.0, 0.0]])
    back, seen = subpixel.to_canonical(maps, torch.stack([right, mirror]), FLIP, STRIDE)
    torch.testing.assert_close(back[0, :, :, :6], maps[0, :, :, 2:])
    assert seen[0].sum() == 48
    assert not back[0, :, :, 6:].any()
    torch.testing.assert_close(back[1], maps[1].flip(-1)[list(FLIP)])
    assert seen[1].all()


def test_it_is_linear_and_differentiable():
    maps = torch.randn(2, 2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    move = moves(2) * torch.tensor([1.0, 1.0, 0.02])
    assert torch.autograd.gradcheck(lambda m: unwrap(subpixel.to_canonical)(m, move, (1, 0), 2)[0], maps)


def test_another_scheme_is_refused():
    with pytest.raises(ValueError, match="flip: needed the scheme of the 5 maps, got one of 68"):
        subpixel.to_canonical(torch.zeros(1, 5, 8, 8), torch.eye(2, 3)[None], FLIP)


# --------------------------------------------------------------------------------------------------------- the views


def test_a_view_shows_the_face_where_its_move_says(faces):
    for i in range(6):
        pair = views(faces).draw(i, np.random.default_rng(i))
        for view, move in zip(pair[:2], pair.moves, strict=True):
            torch.testing.assert_close(view.landmarks, in_view(pair.landmarks[None], move[None])[0], atol=1e-4, rtol=0)
        assert not torch.equal(pair.first.image, pair.second.image)
        again = views(faces).draw(i, np.random.default_rng(i))
        assert torch.equal(pair.first.image, again.first.image)


def test_views_are_as_strong_as_the_papers(faces):
    made = torch.stack([views(faces[:1]).draw(0, np.random.default_rng(i)).moves for i in range(150)]).flatten(0, 1)
    det = torch.linalg.det(made[:, :, :2])
    angle = torch.rad2deg(torch.atan2(made[:, 1, 0] * det.sign(), made[:, 1, 1]))
    assert 28 < angle.abs().max() <= 30
    assert 1 / 1.15 - 1e-9 <= det.abs().sqrt().min() < 0.88
    assert 1.15 < det.abs().sqrt().max() <= 1 / 0.85 + 1e-9
    assert 0.4 < (det < 0).double().mean() < 0.6
    middle = torch.tensor([[31.5, 31.5]], dtype=torch.float64).expand(300, 1, 2)
    torch.testing.assert_close(crops.apply(made, middle), middle)


def test_both_views_make_one_batch(faces):
    pairs = batch_of([views(faces).draw(i, np.random.default_rng(i)) for i in range(3)])
    two = subpixel.both(pairs)
    assert two.image.shape == (6, 3, 64, 64)
    assert torch.equal(two.landmarks[4], pairs.second.landmarks[1])


# -------------------------------------------------------------------------------------------------------- the losses


def pair_of(x, move):
    """Pairs of which only places matter; move (b, 2, 2, 3)."""
    first, second = (crop_of(in_view(x, move[:, k]).float()) for k in (0, 1))
    return subpixel.Pair(first, second, x.float(), move)


def test_views_that_agree_with_the_truth_cost_next_to_nothing():
    """σ is that of the frame: a view's Gaussians are as wide as its scale makes them. Unpermuted flips are dear."""
    x, move = points(4), moves(8).unflatten(0, (4, 2))
    pair = pair_of(x, move)
    scale = torch.linalg.det(move[..., :2]).abs().sqrt()
    told = torch.stack([torch.stack([drawn(pair[k].landmarks[i], 2 * scale[i, k].item()) for i in range(4)])
                        for k in (0, 1)]).flatten(0, 1)  # fmt: skip
    right = subpixel.siamese_loss(Told(told), pair, FLIP)
    assert right < 1e-4
    assert subpixel.siamese_loss(Told(told), pair, range(68)) > 1000 * right
    apart = pair._replace(moves=pair.moves.flip(1))
    assert subpixel.siamese_loss(Told(told), apart, FLIP) > 1000 * right


def test_the_target_of_the_mean_is_h_and_of_the_sum_2h():
    """Where the views are the frame: |(a + b)/2 - h|², by hand, over both stacks."""
    x = points(2)
    pair = pair_of(x, torch.eye(2, 3, dtype=torch.float64).expand(2, 2, 2, 3))
    a, b = torch.rand(2, 2, 68, CELLS, CELLS, generator=torch.Generator().manual_seed(0))
    h = drawn(x.float())
    want = (a + b - 2 * h).square().sum((-2, -1)).mean() / 4
    both = torch.cat([a, b])
    torch.testing.assert_close(subpixel.siamese_loss(Told([both, both]), pair, FLIP), 2 * want, rtol=1e-4, atol=0)


def test_cells_that_a_view_does_not_show_are_the_others():
    """The first view is pushed out by 40 cells, and is no answer there; where both are, nothing counts."""
    x = points(1)
    away = torch.tensor([[1.0, 0.0, 160.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    still = torch.eye(2, 3, dtype=torch.float64)
    h = drawn(x.float())
    one = pair_of(x, torch.stack([away, still])[None])
    nothing = torch.zeros_like(h)
    nothing[..., 40:] = h[..., :24]
    assert subpixel.siamese_loss(Told(torch.cat([nothing, h])), one, FLIP) < 1e-6
    none = pair_of(x, torch.stack([away, away])[None])
    assert subpixel.siamese_loss(Told(torch.cat([nothing, nothing])), none, FLIP) < 1e-6


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_correction_learns_what_whole_cells_lack(dynamic):
    """The loss is 0 for the rounded maps and δ; then the prediction is exact."""
    x = points(3).float()
    u = (x - 1.5) / STRIDE
    rounded = heatmaps.encode(x, (CELLS, CELLS), 2.0, "round", stride=STRIDE)
    moved = rounded.roll(2, -1) if dynamic else rounded  # the network sees all two cells too far right
    delta = u - torch.floor(u + 0.5) - torch.tensor([2.0, 0.0]) * dynamic
    model = Told(([moved], delta))
    heat = l2_loss(Told(moved), crop_of(x), rounding="round")
    torch.testing.assert_close(subpixel.correction_loss(model, crop_of(x), dynamic=dynamic), heat, atol=1e-5, rtol=0)
    other = subpixel.correction_loss(model, crop_of(x), dynamic=not dynamic)
    torch.testing.assert_close(other, heat + 4.0 * dynamic, atol=1e-5, rtol=0)
    moreover = subpixel.correction_loss(Told(([moved], delta + 0.5)), crop_of(x), dynamic=dynamic)
    torch.testing.assert_close(moreover, heat + 0.5, atol=1e-5, rtol=0)


def test_a_corrected_landmark_is_the_largest_value_and_delta():
    model = subpixel.Corrected(StackedHourglass(68, stacks=2, blocks=1, channels=8, depth=2)).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    maps, delta = model(images)
    want = heatmaps.decode(maps[-1], "argmax", stride=4) + 4 * delta
    with torch.no_grad():
        got = subpixel.corrected_landmarks(model(images), images)
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("kind", ["siamese", "control", "soft", "dynamic"])
def test_a_small_network_learns_by_it(faces, kind, tmp_path):
    loss = {
        "siamese": lambda model, pair: subpixel.siamese_loss(model, pair, FLIP),
        "control": lambda model, pair: l2_loss(model, subpixel.both(pair)),
        "soft": lambda model, pair: soft_argmax_loss(model, subpixel.both(pair)),
        "dynamic": lambda model, pair: subpixel.correction_loss(model, subpixel.both(pair), dynamic=True),
    }[kind]
    torch.manual_seed(0)
    model = StackedHourglass(68, stacks=1, blocks=1, channels=16, depth=2)
    model = subpixel.Corrected(model) if kind == "dynamic" else model
    how = {"folder": tmp_path, "epochs": 12, "batch": 3, "lr": 5e-3, "progress": False}
    rows = training.fit(model, loss, views(faces), **how).rows
    assert rows[-1]["loss"] < 0.9 * rows[0]["loss"]
