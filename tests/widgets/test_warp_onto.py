import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lddmmlib import metrics
from lddmmlib.faces import schemes
from lddmmlib.methods import conditional_warp
from lddmmlib.widgets import WarpOnto, warp_onto

SIDE, STYLES = 48, ["photo", "line", "photo", "cartoon"]


@pytest.fixture(scope="module")
def made(face):
    """A network that finds the sketched face, moved by the colours of the picture; pictures of smooth noise."""
    places = (face * SIDE / 256).float()
    g = torch.Generator().manual_seed(0)
    noise = F.interpolate(torch.rand(4, 3, 9, 9, generator=g), SIDE, mode="bicubic")
    images = (255 * noise).clamp(0, 255).to(torch.uint8)
    truth = places + torch.randn(4, 68, 2, generator=g)
    return lambda x: places + 4 * x[:, :2].mean((2, 3))[:, None], images, truth, STYLES


@pytest.fixture
def explorer(made):
    g = torch.Generator().manual_seed(1)
    return WarpOnto(*made, pulls=0.7 * torch.randn(68, 2, generator=g))


def sent(explorer):
    return explorer.get_state() | {name: list(getattr(explorer, name)) for name in ("images", "network")}


STATES = [{}, {"photo": 1, "face": 1, "ends": "predicted"}, {"smoothing": 0.0}, {"smoothing": 0.5, "face": 1}]


# ------------------------------------------------------------------ the script's mathematics is the library's


@pytest.mark.parametrize("state", STATES)
def test_warp_loss_and_push(js, explorer, state):
    for name, value in state.items():
        setattr(explorer, name, value)
    found = js(WarpOnto, "answered", sent(explorer))
    np.testing.assert_allclose(found["target"], explorer.target(), atol=1e-4)
    np.testing.assert_allclose(found["source"], explorer.source(), atol=1e-4)
    truth = torch.tensor(explorer.truth[explorer._pair()[1]], dtype=torch.float64)
    losses = [explorer.loss(x).item() for x in (None, explorer.predicted[explorer._pair()[1]], truth)]
    np.testing.assert_allclose(found["losses"], losses, rtol=1e-4)
    push = explorer.push()
    np.testing.assert_allclose(found["push"], push, atol=1e-3 * push.abs().max().item())
    np.testing.assert_allclose(found["errors"][:2], explorer.errors(), rtol=1e-4)
    way = truth - explorer.target()
    assert found["cosine"] == pytest.approx(((push * way).sum() / (push.norm() * way.norm())).item(), abs=1e-3)
    edges = explorer.edges()
    for name, m in (("theirs", edges[0]), ("ours", edges[1])):
        data = found[name]["m"] if name == "ours" else found[name]
        np.testing.assert_allclose(list(data.values()), m.flatten(), atol=1e-5)


def test_following_the_arrows_lowers_the_loss(js, explorer):
    given = js(WarpOnto, "answered", sent(explorer))
    lists = {name: list(given[name].values()) for name in ("photo", "theirs")}
    target = js(WarpOnto, "followed", {**given, **lists}, 5)
    assert 1 < np.linalg.norm(np.subtract(target, given["target"]), axis=1).max() <= 2.5 + 1e-9
    assert explorer.loss(torch.tensor(target, dtype=torch.float64)) < 0.95 * explorer.loss()


# -------------------------------------------------------------------------------------------------- the class


def test_the_loss_is_the_warper_loss_without_its_third_term(explorer):
    explorer.smoothing = 0.0
    photo, face = (explorer._pictures()[i][None].double() for i in explorer._pair())
    wanted = conditional_warp.warper_loss(explorer.target()[None], photo, explorer.source()[None], face)
    assert explorer.loss().item() == pytest.approx(wanted.item())


def test_errors_are_the_metrics(explorer):
    truth = torch.tensor(explorer.truth[1], dtype=torch.float64)
    wanted = metrics.nme(explorer.target(), truth, "corners", schemes.get("300w-68")).item()
    assert explorer.errors()[0] == pytest.approx(wanted) != explorer.errors()[1]


@pytest.mark.parametrize(
    "state",
    [{"face": 2}, {"photo": 2}, {"photo": -1}, {"pulls": [[0.0, 0.0]]}, {"selected": 68}, {"ends": "true"},
     {"smoothing": -1.0}, {"pulls": [[float("nan"), 0.0]] * 68}],
)  # fmt: skip
def test_impossible_states_are_refused(explorer, refused, state):
    refused(explorer, state)


def test_what_is_kept_is_shown(made, tmp_path, monkeypatch):
    _, images, truth, styles = made
    warp_onto.keep(images, truth, styles, tmp_path / "kept.npz")
    monkeypatch.setattr(warp_onto, "KEPT", tmp_path / "kept.npz")
    again = warp_onto.kept(tmp_path / "kept.npz")
    assert torch.equal(again[0], images)
    torch.testing.assert_close(again[1], truth)
    assert again[2] == styles
    with pytest.raises(ValueError, match=r"images: needed faces.*there is no none\.npz"):
        warp_onto.kept(tmp_path / "none.npz")


def test_it_starts_on_faces_whose_style_the_network_does_not_know(small):
    explorer = WarpOnto()
    assert explorer.styles.count("photo") == 3
    assert len(explorer.styles) == 8
    truth = torch.tensor(explorer.truth, dtype=torch.float64)
    off = metrics.nme(explorer.predicted, truth, "corners", schemes.get("300w-68"))
    assert off[:3].mean() < 0.08 < off[3:].mean() < 0.2
    small(explorer, page=450_000)


# ------------------------------------------------------------------------------------------------ in a browser


def agrees(hand, explorer):
    """What the page says of the landmarks now and as predicted is what the library says."""
    face = explorer.predicted[explorer._pair()[1]]
    losses = [1000 * explorer.loss(x).item() for x in (None, face)]
    for name, loss, error in zip(("now", "as predicted"), losses, explorer.errors(), strict=True):
        hand.shows(name, [loss, 100 * error], atol=0.06)


@pytest.mark.browser
def test_the_page_says_what_the_library_says(hand, explorer):
    explorer.pulls = torch.zeros(68, 2)
    it = hand(explorer)
    agrees(it, explorer)
    heard, before = it.listens(), it.pixels()
    it.press(it.slider("landmark"), "PageDown", "ArrowRight", "Shift+ArrowUp")
    explorer.selected, pulls = 9, torch.zeros(68, 2)
    pulls[9] = torch.tensor([0.5, -2.5])
    explorer.pulls = pulls
    agrees(it, explorer)
    assert heard() == [True, 0]
    assert sum(a != b for a, b in zip(it.pixels(), before, strict=True)) == 3  # the face, the warp and its edges
    loss = float(it.row("now")[0])
    it.button("Follow the arrows").click()
    assert float(it.settled().row("now")[0]) < loss
    it.button("On the truth").click()
    assert it.settled().row("now") == it.row("on the truth")
    it.choose("cartoon")
    it.choose("predicted")
    explorer.face, explorer.ends, explorer.pulls = 1, "predicted", torch.zeros(68, 2)
    agrees(it, explorer)
    light = it.pixels()
    it.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert it.settled().row("now")  # pictures are the same in both themes; nothing is lost
    assert len(light) == 5


@pytest.mark.browser
def test_a_landmark_by_finger_and_by_mouse(hand, explorer):
    explorer.pulls = torch.zeros(68, 2)
    it = hand(explorer, viewport={"width": 390, "height": 844}, has_touch=True)
    chin, px = it.slider("landmark"), it.canvases[0].bounding_box()["width"] / SIDE
    it.drag(it.middle(chin), (2 * px, -3 * px))
    pulls = torch.zeros(68, 2)
    pulls[8] = torch.tensor([2.0, -3.0])
    explorer.pulls = pulls
    agrees(it, explorer)
    it.swipe(it.middle(chin), (0, 4 * px))
    pulls[8, 1] += 4
    explorer.pulls = pulls
    agrees(it, explorer)
