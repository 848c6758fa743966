import math

import numpy as np
import pytest
import torch

from lddmmlib import heatmaps
from lddmmlib.data import augment
from lddmmlib.faces import schemes, synthetic
from lddmmlib.widgets import DecoderExplorer, decoder_explorer

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
NAMES = {
    "argmax": "□ argmax", "quarter": "◇ quarter shift", "taylor": "+ Taylor (DARK)", "soft": "○ soft-argmax",
    "local_soft": "× local soft-argmax",
}  # fmt: skip


def random(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def made_up(**state):
    """Two networks, six landmarks, maps of 8 x 8 cells, some values below 0."""
    truth = 2 + 28 * random(6, 2)
    maps = heatmaps.encode(truth + random(2, 6, 2, seed=1), (8, 8), 1.2, stride=4) + 0.2 * random(2, 6, 8, 8, seed=2)
    return DecoderExplorer(255 * random(3, 20, 20, seed=3), maps - 0.1, truth, **state)


def js_state(explorer):
    return explorer.get_state() | {"image": list(explorer.image), "maps": list(explorer.maps)}


# ------------------------------------------------------------------ the script's mathematics is the library's


@pytest.mark.parametrize("state", [{}, {"network": 1, "window": 3}, {"tau": 3.0, "window": 7}, {"tau": 40.0}])
@pytest.mark.parametrize("explorer", [made_up, DecoderExplorer])
def test_maps_decoders_and_means(js, explorer, state):
    explorer = explorer(**state)
    for landmark in (0, 2, 5):
        np.testing.assert_allclose(js(explorer, "map", js_state(explorer), landmark), explorer.map(landmark), **CLOSE)
        found = js(explorer, "points", js_state(explorer), landmark)
        assert set(found) == set(NAMES)
        for method, point in found.items():
            np.testing.assert_allclose(point, explorer.decoded(method, landmark), **CLOSE, err_msg=method)
    assert js(explorer, "means", js_state(explorer)) == pytest.approx(explorer.means(), rel=1e-9)


def test_what_is_sent_is_the_map_to_a_level():
    truth = torch.tensor([[10.3, 17.2]])
    maps = heatmaps.encode(truth, (8, 8), 1.0, stride=4)
    explorer = DecoderExplorer(torch.zeros(3, 8, 8), maps, truth)
    torch.testing.assert_close(explorer.map(), maps[0].double(), rtol=0, atol=0.5 / 255 + 1e-6)
    assert math.dist(explorer.decoded("taylor"), truth[0]) < 0.1


@pytest.mark.parametrize(("spot", "wanted"), [((16.0, 16.0), (1, 8)), ((0.0, 31.0), (0, 7)), ((-9.0, 40.0), (0, 7))])
def test_the_enlarged_map_stays_on_the_map(js, spot, wanted):
    x, y = js(DecoderExplorer, "frame", {"shape": [1, 1, 8], "stride": 4, "truth": [spot], "selected": 0})
    assert x[1] - x[0] == y[1] - y[0] == 20  # five cells
    assert min(x[0], y[0]) >= -0.5
    assert max(x[1], y[1]) <= 31.5
    inside = [v if 0 < v < 31 else min(max(v, 0), 31) for v in spot]
    assert x[0] <= inside[0] <= x[1]
    assert y[0] <= inside[1] <= y[1]


# ---------------------------------------------------------------------------------- what it is there to teach


def test_the_face_is_a_held_out_one():
    """As `data_scripts.decoder_maps` has cut it."""
    explorer = DecoderExplorer()
    face = synthetic.sample(5, "wild-val", size=96)
    off = augment.STILL._replace(shift=0.05, scale=(0.95, 1.05))
    wanted = augment.Crops([face], "300w-68", 64, off).draw(0, np.random.default_rng(5)).landmarks
    torch.testing.assert_close(torch.tensor(explorer.truth), wanted.float(), rtol=0, atol=1e-4)
    assert explorer.names == list(schemes.get("300w-68").names)


def test_the_questions_have_answers():
    explorer = DecoderExplorer()
    assert explorer.means()["argmax"] > 1.25 * explorer.means()["local_soft"]

    def spread(landmark):
        weight = explorer.map(landmark).clamp(min=0)
        y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
        at = torch.stack([x, y], -1).double() - heatmaps.decode(weight, "barycentre")
        return torch.linalg.eigvalsh((weight[..., None, None] * at[..., :, None] * at[..., None, :]).sum((0, 1)))[-1]

    jaw, eyes = (np.median([spread(i) for i in part]) for part in (range(3, 14), range(36, 48)))
    assert jaw > eyes
    low = DecoderExplorer(tau=1.0)
    assert low.means()["local_soft"] > explorer.means()["local_soft"]
    assert low.means()["soft"] > 5 * explorer.means()["soft"]


# -------------------------------------------------------------------------------------------------- the class


@pytest.mark.parametrize(
    "state",
    [
        {"network": 2}, {"network": -1}, {"selected": 6}, {"selected": -1}, {"window": 4}, {"window": 0}, {"tau": 0.0},
        {"tau": math.nan}, {"stride": 0}, {"truth": [[math.nan, 0.0]]},
    ],
)  # fmt: skip
def test_impossible_states_are_refused(refused, state):
    refused(made_up(), state)


def test_points_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"needed \(n, 2\) for maps"):
        DecoderExplorer(torch.zeros(3, 8, 8), torch.zeros(6, 8, 8), torch.zeros(5, 2))


def test_what_is_kept_is_shown(tmp_path, monkeypatch):
    explorer = made_up(names=list("abcdef"), networks=["one", "two"])
    explorer.keep(tmp_path / "kept.npz")
    monkeypatch.setattr(decoder_explorer, "KEPT", tmp_path / "kept.npz")
    again = DecoderExplorer(selected=0)
    for name in ("image", "maps", "levels", "shape", "truth", "names", "networks"):
        assert getattr(again, name) == getattr(explorer, name), name


def test_picture_and_page_are_small(small):
    small(DecoderExplorer(), 60_000, 190_000)  # the face and 136 maps alone are 85 kB
    small(made_up())


# ------------------------------------------------------------------------------------------------ in a browser


def agrees(hand, explorer):
    """All errors on the page are the library's of the same state."""
    means = explorer.means()
    for method, words in NAMES.items():
        off = np.subtract(explorer.decoded(method), explorer.truth[explorer.selected])
        hand.shows(words, [*off, math.hypot(*off), means[method]], atol=0.0051)


@pytest.mark.browser
def test_the_page_says_what_the_library_says(hand):
    explorer = DecoderExplorer()
    it = hand(explorer)
    agrees(it, explorer)
    it.press(it.slider("window"), "ArrowRight")
    it.press(it.slider("τ"), "ArrowLeft", "ArrowLeft")
    explorer.window, explorer.tau = 7, 8.0
    agrees(it, explorer)
    before = it.pixels()
    it.choose("rounded targets")
    explorer.network = 1
    agrees(it, explorer)
    assert all(a != b for a, b in zip(it.pixels(), before, strict=True))
    it.button("Reset").click()
    agrees(it.settled(), DecoderExplorer())


@pytest.mark.browser
def test_landmarks_by_keyboard(hand):
    explorer = DecoderExplorer()
    it = hand(explorer)
    heard, handle = it.listens(), it.slider("landmark")
    for keys, wanted in ((["ArrowRight"], 37), (["ArrowUp", "ArrowLeft"], 35), (["PageDown"], 40), (["End"], 67),
                         (["ArrowDown"], 0), (["PageUp"], 63), (["Home"], 0)):  # fmt: skip
        it.press(handle, *keys)
        assert int(handle.get_attribute("aria-valuenow")) == wanted
        explorer.selected = wanted
        agrees(it, explorer)
    assert heard() == [True, 0]


@pytest.mark.browser
def test_the_landmark_under_the_pointer(hand):
    explorer = DecoderExplorer()
    it = hand(explorer)
    box = it.canvases[0].bounding_box()
    for landmark in (8, 30, 62):
        x, y = (box[k] + (v + 0.5) / 64 * box["width"] for k, v in zip("xy", explorer.truth[landmark], strict=True))
        it.page.mouse.move(x + 1, y - 1)
        explorer.selected = landmark
        agrees(it.settled(), explorer)
    it.page.mouse.move(box["x"] + 4, box["y"] + 4)  # no landmark near: the last one stays
    agrees(it.settled(), explorer)


@pytest.mark.browser
def test_a_network_alone_has_no_choice(hand):
    explorer = made_up()
    explorer = DecoderExplorer(torch.zeros(3, 8, 8), explorer.all_maps(), torch.tensor(explorer.truth))
    it = hand(explorer)
    agrees(it, explorer)
    assert it.figure.get_by_role("radio").count() == 0


@pytest.mark.browser
def test_two_on_a_page_are_independent(hands):
    one, two = hands(DecoderExplorer(), DecoderExplorer(selected=8, tau=6.0))
    other = two.pixels()
    one.press(one.slider("τ"), "End")
    assert two.settled().pixels() == other
    agrees(two, DecoderExplorer(selected=8, tau=6.0))


@pytest.mark.browser
def test_what_it_came_to_is_said(spoken):
    explorer = DecoderExplorer(window=7)
    x, y = np.subtract(explorer.decoded(), explorer.truth[36])
    words = spoken(DecoderExplorer(), "window", "ArrowRight")
    assert words.startswith(f"Landmark 36, {explorer.names[36]}. argmax")
    assert words.endswith(f"local soft-argmax {math.hypot(x, y):.2f} px off.")
