import numpy as np
import pytest
import torch

from lddmmlib.methods import coupled_regression as coupled
from lddmmlib.methods.coupled_regression import Settings, fit_cascade
from lddmmlib.methods.shape_indexed import features_by_loops
from lddmmlib.widgets import FollowCascade
from lddmmlib.widgets.follow_cascade import BYTES, STATE

P, HOW = 29, Settings(sides=(32, 48), hidden=(), decay=1.0, patch=12.0, rounds=1)


def faces(m, seed):
    g = torch.Generator().manual_seed(seed)
    x = (
        12
        + 36 * torch.rand(1, P, 2, generator=torch.Generator().manual_seed(9))
        + 2 * torch.randn(m, P, 2, generator=g)
    )
    row = torch.arange(60.0)
    bumps = (-(row - x[..., None]).square() / 18).exp()
    images = torch.einsum("mjy,mjx->myx", bumps[:, :, 1], bumps[:, :, 0]) * 90
    boxes = torch.tensor([10.0, 10.0, 40.0, 40.0]) + torch.randn(m, 4, generator=g)
    return list(images.clamp(max=255).byte()[:, None]), x.double(), boxes.double()


@pytest.fixture(scope="module")
def trained():
    images, x, boxes = faces(12, 0)
    x[:6, 20:] = torch.nan
    x[6:, :9] = torch.nan
    return fit_cascade(images, x, boxes, HOW)


@pytest.fixture(scope="module")
def shown():
    return faces(5, 1)


@pytest.fixture
def explorer(trained, shown):
    images, x, boxes = shown
    return FollowCascade(trained, images, boxes, x, scheme="cofw-29", shown=2)


def sent(explorer):
    names = (*STATE, "face", "time", "selected")
    return {name: getattr(explorer, name) for name in names} | {name: list(getattr(explorer, name)) for name in BYTES}


# ------------------------------------------------------------------------------------- the votes are the cascade's


def test_shapes_are_the_cascade_s(trained, shown, explorer):
    images, x, boxes = shown
    trace = coupled.to_face(trained.cascade.trace(images, boxes), boxes.expand(3, -1, -1))[:, :2]
    np.testing.assert_allclose(np.moveaxis(np.array(explorer.shapes), 1, 0), trace, atol=2e-5)
    np.testing.assert_allclose(explorer.truth, coupled.to_face(x, boxes)[:2], atol=1e-5)
    bits = [2**i * own.int() for i, own in enumerate(trained.known)]
    assert explorer.taught == sum(bits).tolist()


@pytest.mark.parametrize("time", [0.0, 0.5])
@pytest.mark.parametrize("face", [0, 1])
def test_the_votes_of_all_landmarks_are_the_step(explorer, face, time):
    explorer.face, explorer.time = face, time
    k = explorer.stage
    step = np.array(explorer.shapes[face][k + 1]) - explorer.shapes[face][k]
    total = torch.tensor(explorer.middle[k]) + sum(explorer.vote(i) for i in range(P))
    rounding = P * explorer.scales[face][k] / 254
    np.testing.assert_allclose(total, step, atol=rounding + 2e-5)
    assert np.abs(step - np.array(explorer.middle[k])).max() > 5 * rounding  # the votes matter


def test_a_vote_is_what_a_landmark_s_own_features_say(trained, shown, explorer):
    """Descriptors of one landmark alone are exchanged for the mean: the shift changes by its vote."""
    images, _, boxes = shown
    cascade = trained.cascade
    phi = cascade.features(coupled._cut(images, boxes, HOW)[32], cascade.mean.expand(5, -1, -1), 0)
    other = phi.clone().view(5, P, -1)
    other[:, 7] = other[:, 7].mean(0)
    with torch.no_grad():
        change = (cascade.stages[0](phi) - cascade.stages[0](other.flatten(1)))[0].view(P, 2)
    np.testing.assert_allclose(explorer.vote(7), change, atol=explorer.scales[0][0] / 250)


# ------------------------------------------------------------------ the script's mathematics is the library's


@pytest.mark.parametrize("state", [{}, {"face": 1, "time": 0.3, "selected": 28}, {"time": 1.0, "selected": 5}])
def test_what_the_page_shows(js, explorer, state):
    for name, value in state.items():
        setattr(explorer, name, value)
    said = js(FollowCascade, "told", sent(explorer))
    np.testing.assert_allclose(said["found"], explorer.shape(), atol=1e-9)
    np.testing.assert_allclose(said["vote"], explorer.vote(), atol=1e-9)
    off = (explorer.shape() - torch.tensor(explorer.truth[explorer.face])).norm(dim=-1)
    assert said["stage"] == explorer.stage
    assert said["error"] == pytest.approx(off.mean())
    assert said["errors"] == pytest.approx([off[np.array(explorer.taught) == k].mean().item() for k in (1, 2, 3)])
    crop = js(FollowCascade, "cropOf", sent(explorer))
    assert crop["n"] == len(explorer.crop())
    assert list(crop["data"].values()) == explorer.crop().flatten().tolist()


def test_the_descriptor_is_the_library_s(js, explorer):
    image, n = explorer.crop(), len(explorer.crop())
    soft = list(js(FollowCascade, "blurred", image.flatten().tolist(), n).values())
    for x, y in ((20.0, 21.0), (3.4, 30.6)):
        found = js(FollowCascade, "descriptor", soft, n, [x, y], 12.0)
        wanted = features_by_loops(torch.from_numpy(image.copy())[None], torch.tensor([[[x, y]]]), 12.0)[0, 0]
        np.testing.assert_allclose(list(found.values()), wanted, atol=1e-5)


# -------------------------------------------------------------------------------------------------- the class


def test_what_is_kept_is_shown(explorer, tmp_path, monkeypatch):
    explorer.keep(tmp_path / "kept.npz")
    monkeypatch.setattr("lddmmlib.widgets.follow_cascade.KEPT", tmp_path / "kept.npz")
    again = FollowCascade(face=1)
    assert all(getattr(again, name) == getattr(explorer, name) for name in (*STATE, *BYTES))
    monkeypatch.setattr("lddmmlib.widgets.follow_cascade.KEPT", tmp_path / "none.npz")
    with pytest.raises(ValueError, match=r"found: needed a trained cascade and faces.*there is no none\.npz"):
        FollowCascade()


def test_votes_of_sigmoids_are_refused(trained, shown):
    images, x, boxes = shown
    deep = trained._replace(cascade=coupled.Cascade(trained.cascade.mean, HOW._replace(hidden=(3,))))
    with pytest.raises(ValueError, match=r"found: needed linear stages.*got hidden=\(3,\)"):
        FollowCascade(deep, images, boxes, x, scheme="cofw-29")


@pytest.mark.parametrize("state", [{"face": 2}, {"face": -1}, {"selected": P}, {"time": 1.1}, {"time": float("nan")}])
def test_impossible_states_are_refused(explorer, refused, state):
    refused(explorer, state)


def test_the_page_stays_small(small):
    small(FollowCascade(), page=800_000)


# ------------------------------------------------------------------------------------------------ in a browser


def agrees(hand, explorer):
    off = 100 * (explorer.shape() - torch.tensor(explorer.truth[explorer.face])).norm(dim=-1).mean().item()
    assert float(hand.row("all")[0].split()[0]) == pytest.approx(off, abs=0.006)
    words = hand.figure.locator(".sw-count").inner_text()
    named = f"Landmark {explorer.selected}, {explorer.names[explorer.selected]}"
    assert words.startswith(f"Stage {explorer.stage + 1}, ")
    assert named in words


@pytest.mark.browser
def test_stages_and_landmarks_by_keyboard(hand):
    explorer = FollowCascade()
    it = hand(explorer)
    agrees(it, explorer)
    heard, before = it.listens(), it.pixels()
    it.press(it.slider("stages"), "ArrowRight", "ArrowRight")
    explorer.time = 0.5
    agrees(it, explorer)
    it.press(it.slider("landmark that votes"), "ArrowRight", "ArrowRight", "ArrowUp")
    explorer.selected = 37
    agrees(it, explorer)
    assert it.said(it.slider("landmark that votes")).startswith("landmark 37, ")
    assert heard()[1] == 0  # the page itself gets no key
    assert all(a != b for a, b in zip(it.pixels(), before, strict=True))
    it.choose("2")
    explorer.face = 1
    agrees(it, explorer)
    it.button("Reset").click()
    agrees(it.settled(), FollowCascade())


@pytest.mark.browser
def test_play_ends_at_the_last_stage(hand):
    it = hand(FollowCascade())
    it.button("Play").click()
    it.button("Play").wait_for(timeout=20_000)  # it says Stop meanwhile
    agrees(it.settled(), FollowCascade(time=1.0))


@pytest.mark.browser
def test_a_landmark_by_mouse(hand):
    explorer = FollowCascade()
    it = hand(explorer)
    box, edge = it.canvases[0].bounding_box(), explorer.sizes[0] / explorer.sides[0] / 2
    x, y = explorer.shapes[0][0][8]
    at = [box[c] + box["width"] * (v - 0.5 + edge) / (2 * edge) for c, v in (("x", x), ("y", y))]
    it.drag((at[0] + 2, at[1] - 2), (0, 0))
    explorer.selected = 8
    agrees(it, explorer)
