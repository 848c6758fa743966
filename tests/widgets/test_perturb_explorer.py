import numpy as np
import pytest
import torch

from lddmmlib import metrics
from lddmmlib.faces import schemes
from lddmmlib.networks import StackedHourglass
from lddmmlib.widgets import perturb_explorer
from lddmmlib.widgets.perturb_explorer import PerturbExplorer

SIDE = 64


def untrained(seed):
    torch.manual_seed(seed)
    net = StackedHourglass(68, 1, 1, channels=8, depth=2)
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(4, 3, SIDE, SIDE))
        for parameter in net.parameters():  # what half precision keeps, so that the page has the same numbers
            parameter.copy_(parameter.half())
    return net.eval()


@pytest.fixture(scope="module")
def made():
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 3, SIDE, SIDE), generator=g, dtype=torch.uint8)
    truth = SIDE * torch.rand(3, 68, 2, generator=g)
    return {"L2": untrained(0), "W": untrained(1)}, images, truth


@pytest.fixture
def explorer(made):
    return PerturbExplorer(*made)


def sent(explorer):
    return explorer.get_state() | {"images": list(explorer.images), "network": list(explorer.network)}


STATES = [
    {},
    {"face": 2, "place": [40.0, 10.0], "width": 31.0, "blur": 3, "method": "bc"},
    {"width": 0.0, "blur": 8, "method": "max"},
]


# ------------------------------------------------------------------ the script's mathematics is the library's


@pytest.mark.parametrize("state", STATES)
def test_pictures_landmarks_and_errors(js, explorer, state):
    for name, value in state.items():
        setattr(explorer, name, value)
    picture = js(PerturbExplorer, "perturbed", sent(explorer) | {"network": None})
    np.testing.assert_allclose(list(picture.values()), explorer.perturbed().flatten(), atol=1e-6)
    found = js(PerturbExplorer, "answered", sent(explorer) | {"network": list(explorer.network)})
    for k, (name, points) in enumerate(explorer.landmarks().items()):
        np.testing.assert_allclose(found["found"][k], points, atol=1e-2, err_msg=name)
        assert np.mean(found["errors"][k]) == pytest.approx(explorer.errors()[name], rel=1e-2)


@pytest.mark.parametrize(
    ("map_", "peak", "mean"),
    [
        ([0, 0, 0, 0, 4, 2, 0, 2, 0], [1.25, 1.25], [1.25, 1.25]),
        ([5, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0], [0, 0]),
        ([0] * 9, None, None),
    ],
)
def test_readers_by_hand(js, map_, peak, mean):
    assert js(PerturbExplorer, "maximum", map_, 3) == peak
    assert js(PerturbExplorer, "barycentre", map_, 3) == (mean and pytest.approx(mean))


def test_the_ellipse_hides_and_the_blur_smears(explorer):
    explorer.blur, explorer.width, explorer.place = 0, 20.0, [30.0, 30.0]
    image = explorer.perturbed()
    assert image[:, 30, 20:41].abs().max() == 0 == image[:, 23:38, 30].abs().max()
    assert (image[:, 30, 19] > 0).all()
    explorer.width = 0.0
    sharp = explorer.perturbed()
    explorer.blur = 4
    assert explorer.perturbed().diff(dim=-1).abs().mean() < 0.5 * sharp.diff(dim=-1).abs().mean()
    torch.testing.assert_close(explorer.perturbed()[:, :, 30], sharp[:, :, 26:35].mean(-1))


# -------------------------------------------------------------------------------------------------- the class


def test_errors_are_the_metrics(explorer):
    explorer.method = "bc"
    truth = torch.tensor(explorer.truth[0], dtype=torch.float64)
    for name, points in explorer.landmarks().items():
        wanted = metrics.nme(points.double(), truth, "corners", schemes.get("300w-68")).item()
        assert explorer.errors()[name] == pytest.approx(wanted)


@pytest.mark.parametrize(
    "state",
    [{"face": 3}, {"face": -1}, {"place": [1.0]}, {"place": [64.0, 3.0]}, {"width": 49.0}, {"blur": 9},
     {"selected": 68}, {"method": "soft"}],
)  # fmt: skip
def test_impossible_states_are_refused(explorer, refused, state):
    refused(explorer, state)


def test_what_is_kept_is_shown(made, tmp_path, monkeypatch):
    _, images, truth = made
    networks = {}
    for k, name in enumerate(("L2", "W")):
        torch.manual_seed(k)
        networks[name] = perturb_explorer.network().eval()
    perturb_explorer.keep(networks, images, truth, {"steps": 0}, tmp_path / "kept.npz")
    monkeypatch.setattr(perturb_explorer, "KEPT", tmp_path / "kept.npz")
    again, *faces = perturb_explorer.kept(tmp_path / "kept.npz")
    assert torch.equal(faces[0], images)
    torch.testing.assert_close(faces[1], truth)
    x = torch.rand(1, 3, SIDE, SIDE)
    for name, network in networks.items():
        torch.testing.assert_close(again[name](x)[-1], network(x)[-1], atol=0.02, rtol=0.02)


# ------------------------------------------------------------------------------------------------ in a browser


def agrees(hand, explorer):
    """What the page says of both networks is what the library says."""
    words = hand.figure.locator(".sw-count").inner_text()
    for name, error in explorer.errors().items():
        said = float(words.split(f"{name}: mean error ")[1].split(" %")[0])
        assert said == pytest.approx(100 * error, abs=0.11), name


@pytest.mark.browser
def test_the_page_says_what_the_library_says(hand, explorer):
    it = hand(explorer)
    agrees(it, explorer)
    heard = it.listens()
    it.press(it.slider("ellipse, on W"), "ArrowLeft", "Shift+ArrowDown")
    explorer.place = [21.0, 31.0]
    agrees(it, explorer)
    assert heard() == [True, 0]
    it.press(it.slider("motion blur"), "ArrowRight")
    it.choose("barycentre")
    explorer.blur, explorer.method = 1, "bc"
    agrees(it, explorer)
    before = it.pixels()
    it.choose("3")
    explorer.face = 2
    agrees(it, explorer)
    assert all(a != b for a, b in zip(it.pixels(), before, strict=True))


@pytest.mark.browser
def test_the_ellipse_by_mouse(hand, explorer):
    it = hand(explorer)
    handle, px = it.slider("ellipse, on L2"), it.canvases[0].bounding_box()["width"] / 64
    it.drag(it.middle(handle), (40, 25))
    assert it.place(handle) == pytest.approx([22 + 40 / px, 26 + 25 / px], abs=0.51)
