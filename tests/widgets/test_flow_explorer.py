import math

import numpy as np
import pytest
import torch
import traitlets

from lddmmlib import flows
from lddmmlib.faces import schemes, statistics
from lddmmlib.widgets import FlowExplorer, base, flow_explorer

LDDMM = base.HERE / "lddmm.js"
CLOSE = {"rtol": 1e-9, "atol": 1e-9}
METHODS = ["euler", "rk2", "rk4"]
MODELS = flow_explorer.MODELS


def random_flow(seed=0, n=9, m=14):
    """Landmarks, momenta of which some are zero, passengers; the landmarks near enough to feel each other."""
    g = torch.Generator().manual_seed(seed)
    x0, p0, z = (s * torch.randn(k, 2, generator=g, dtype=torch.float64) for s, k in ((30, n), (12, n), (40, m)))
    p0[[1, 4]] = 0
    return x0, p0, z


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


# ------------------------------------------------------------------ the script's mathematics is the library's


def test_the_table_of_exp(js):
    for u in [0.0, 1e-9, 0.0078125, 0.5, math.pi, 17.3, 39.99]:
        assert js(LDDMM, "expMinus", u) == pytest.approx(math.exp(-u), rel=1e-12)
    assert js(LDDMM, "expMinus", 40.0) == 0
    assert js(LDDMM, "expMinus", 1e300) == 0


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("steps", [1, 7])
def test_flow(js, model, method, steps):
    x0, p0, z = random_flow()
    given = {"sigma": 25.0, "steps": steps, "method": method}
    found = js(LDDMM, "flow", {"x0": x0, "p0": p0, "passengers": z, "model": model, **given})
    wanted = MODELS[model](x0, p0, points=z, **given)
    torch.testing.assert_close(tensor(found["path"]), wanted.path, **CLOSE)
    torch.testing.assert_close(tensor(found["passengers"]), wanted.points, **CLOSE)
    momenta = wanted.momenta if model == "shoot" else p0.expand_as(wanted.path)
    torch.testing.assert_close(tensor(found["momenta"]), momenta, **CLOSE)
    assert (wanted.end - x0).norm(dim=-1).max() > 5


def test_a_flow_until_some_step_is_the_beginning_of_the_whole(js):
    x0, p0, z = random_flow(1)
    given = {"x0": x0, "p0": p0, "sigma": 25.0, "steps": 6, "method": "rk4", "model": "shoot"}
    whole, part = js(LDDMM, "flow", given), js(LDDMM, "flow", given | {"taken": 4, "passengers": x0})
    assert part["path"] == whole["path"][:5]
    np.testing.assert_allclose(part["passengers"], part["path"][-1], rtol=1e-12)
    assert js(LDDMM, "flow", given | {"taken": 0, "passengers": z})["passengers"] == z.tolist()


def test_what_is_conserved(js):
    x0, p0, _ = random_flow(2)
    x, p = x0.numpy(), p0.numpy()
    assert js(LDDMM, "hamiltonian", x, p, 25.0) == pytest.approx(flows.hamiltonian(x0, p0, 25.0).item(), rel=1e-11)
    assert js(LDDMM, "totalMomentum", p) == pytest.approx(p.sum(0).tolist())
    assert js(LDDMM, "angularMomentum", x, p) == pytest.approx((x[:, 0] * p[:, 1] - x[:, 1] * p[:, 0]).sum())
    found = js(LDDMM, "flow", {"x0": x, "p0": p, "sigma": 25.0, "steps": 40, "method": "rk4"})
    ends = found["path"][-1], found["momenta"][-1]
    assert js(LDDMM, "hamiltonian", *ends, 25.0) == pytest.approx(js(LDDMM, "hamiltonian", x, p, 25.0), rel=1e-6)
    assert js(LDDMM, "angularMomentum", *ends) == pytest.approx(js(LDDMM, "angularMomentum", x, p), rel=1e-6)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", METHODS)
def test_the_certificate(js, model, method):
    at_start, found = [], []
    for seed in range(6):
        x0, p0, _ = random_flow(seed)
        p0 = (1 + 2 * (seed % 3)) * p0  # strong ones gain energy where steps are few
        found.append(flows.min_steps(x0, p0, 25.0, method, geodesic=model == "shoot"))
        given = {"x0": x0, "p0": p0, "sigma": 25.0, "method": method, "model": model}
        assert js(LDDMM, "minSteps", given) == found[-1] > 1
        at_start.append(1 + int(math.sqrt(4 * flows.hamiltonian(x0, p0, 25.0)) / 25 / flows.REACH[method]))
    assert model == "flow" or found != at_start or method == "rk4"


def test_the_certificate_head_on(js):
    """Where the start alone would ask for too few steps; and where none are enough."""
    x0, p0 = tensor([[-10.0, 0.0], [10.0, 0.0]]), tensor([[100.0, 0.0], [-100.0, 0.0]])
    for method in METHODS:
        wanted = flows.min_steps(x0, p0, 25.0, method, geodesic=True)
        given = {"x0": x0, "p0": p0, "sigma": 25.0, "method": method, "model": "shoot"}
        assert js(LDDMM, "minSteps", given) == wanted
        assert wanted > (1 if method == "euler" else 15)
        assert js(LDDMM, "minSteps", given | {"most": wanted - 1}) == "Infinity"


def test_cells_of_linear_maps_grow_by_their_determinant(js):
    nodes = tensor(js(LDDMM, "lattice", [-4, 4], [0, 6], 5, 4))
    assert nodes[[0, 4, 5, -1]].tolist() == [[-4, 0], [4, 0], [-4, 2], [4, 6]]
    for linear, bent in [([[1, 0.3], [-0.2, 2]], False), ([[-1, 0], [0, 1]], True), ([[0, -1], [1, 0]], False)]:
        cells = js(LDDMM, "cells", nodes @ tensor(linear).T, 5, 4.0)
        assert len(cells) == 12
        det = np.linalg.det(linear)
        assert [c["det"] for c in cells] == pytest.approx([det] * 12)
        assert all(c["bent"] == bent for c in cells)


def test_a_cell_is_bent_where_one_corner_is(js):
    nodes = js(LDDMM, "lattice", [0, 4], [0, 4], 5, 5)
    nodes[12] = [2.4, 2.4]  # not yet past the line between its neighbours
    assert not any(c["bent"] for c in js(LDDMM, "cells", nodes, 5, 1.0))
    nodes[12] = [3.1, 3.1]  # past its neighbour (3, 3): three cells have a corner turned over
    cells = js(LDDMM, "cells", nodes, 5, 1.0)
    assert [i for i, c in enumerate(cells) if c["bent"]] == [6, 9, 10]
    assert cells[6]["det"] > 0  # though its area is above zero


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", METHODS)
def test_determinants(js, model, method):
    x0, p0, z = random_flow(3)
    given = {"sigma": 12.0, "steps": 2, "method": method}
    wanted = flows.jacobian(MODELS[model](x0, 2 * p0, **given), z)
    found = js(LDDMM, "determinants", {"x0": x0, "p0": 2 * p0, "model": model, **given}, z)
    torch.testing.assert_close(tensor(found), wanted, rtol=1e-4, atol=1e-5)
    assert (wanted < 0).any() or method == "rk4"


@pytest.mark.parametrize("model", MODELS)
def test_the_grid_grows_as_the_library_says(js, model):
    """Each cell's area is the python picture's, and near the determinant of the derivative at its middle."""
    explorer = FlowExplorer(model=model)
    nodes, area = flow_explorer._grid(tensor(explorer.points))
    found = js(explorer, "flowed", explorer.get_state())
    cells = tensor([c["det"] for c in found["cells"]])
    flow = explorer.flow(nodes.reshape(-1, 2))
    _, det = flow_explorer._cells(flow.points.reshape(nodes.shape).numpy(), area)
    torch.testing.assert_close(cells, torch.from_numpy(det), **CLOSE)
    middles = (nodes[:-1, :-1] + nodes[1:, 1:]) / 2
    torch.testing.assert_close(cells, flows.jacobian(flow, middles.reshape(-1, 2)), rtol=0.02, atol=0.02)
    assert cells.min() < 0.8
    assert cells.max() > 1.4


# ---------------------------------------------------------------------------------- what it is there to teach


def folded(js, **state):
    explorer = FlowExplorer(**state)
    return sum(c["folded"] for c in js(explorer, "flowed", explorer.get_state())["cells"])


def test_two_euler_steps_fold_the_plane_beyond_the_threshold(js):
    """One landmark: σ √(e/2) a step."""
    limit = 2 * 15 * math.sqrt(math.e / 2)
    one = {"points": torch.zeros(1, 2), "sigma": 15.0, "model": "flow"}
    for method, steps, share, folds in [
        ("euler", 2, 0.9, False), ("euler", 2, 1.3, True), ("euler", 10, 1.3, False), ("rk4", 2, 0.9, False),
    ]:  # fmt: skip
        assert bool(folded(js, momenta=[[share * limit, 0]], method=method, steps=steps, **one)) == folds


def test_a_grid_too_coarse_is_no_fold(js):
    """So fast a flow bends cells until they look folded; the determinant says that they are not."""
    g = torch.Generator().manual_seed(0)
    momenta = 25 * torch.randn(20, 2, generator=g).where(torch.rand(20, 1, generator=g) < 0.4, 0.0)
    explorer = FlowExplorer(momenta=momenta, sigma=12.0, steps=20, method="rk4", model="flow")
    cells = js(explorer, "flowed", explorer.get_state())["cells"]
    assert sum(c["bent"] for c in cells) > 5
    assert not any(c["folded"] for c in cells)
    nodes, _ = flow_explorer._grid(tensor(explorer.points))
    assert flows.jacobian(explorer.flow(), nodes.reshape(-1, 2)).min() > 0


def test_the_mouth_opens_and_nothing_folds(js):
    explorer = FlowExplorer()
    moved = explorer.flow().end - tensor(explorer.points)
    assert moved[9, 1] > 8  # the lower lip, down
    assert moved[3, 1] < 0  # the upper one, up
    assert folded(js) == 0
    pulled = [*explorer.momenta[:9], [0.0, 35.0], *explorer.momenta[10:]]  # its tip is in the picture
    assert explorer.points[9][1] + 35 < sides(explorer)[1][1]
    assert folded(js, momenta=pulled, method="euler", steps=1) > 0
    assert folded(js, momenta=pulled, method="euler", steps=10) == 0
    wild = np.array(explorer.momenta) * 6
    assert folded(js, momenta=wild, method="euler", steps=2) > 0
    assert folded(js, momenta=wild, method="rk4", steps=20) == 0


def test_only_shooting_keeps_the_energy(js):
    said = {}
    for model in MODELS:
        explorer = FlowExplorer(model=model, method="rk4")
        state = explorer.get_state()
        said[model] = js(explorer, "measured", js(explorer, "flowed", state), explorer.sigma)
        end = explorer.flow()
        momenta = end.momenta[-1] if model == "shoot" else tensor(explorer.momenta)
        wanted = flows.hamiltonian(end.end, momenta, explorer.sigma).item()
        assert said[model]["H"][1] == pytest.approx(wanted, rel=1e-9)
    assert said["shoot"]["H"][1] == pytest.approx(said["shoot"]["H"][0], rel=1e-4)
    assert abs(said["flow"]["H"][1] / said["flow"]["H"][0] - 1) > 0.02
    assert said["flow"]["parted"] == pytest.approx(said["shoot"]["parted"])
    assert said["flow"]["parted"] > 0.5


# -------------------------------------------------------------------------------------------------- the class


@pytest.mark.parametrize(
    "state",
    [
        {"momenta": torch.zeros(19, 2)}, {"momenta": [[float("nan"), 0.0]] * 20}, {"sigma": 0.0},
        {"sigma": float("inf")}, {"model": "geodesic"}, {"method": "rk3"}, {"steps": 0}, {"time": 1.1},
        {"points": torch.zeros(19, 2)}, {"points": torch.zeros(20, 3)}, {"selected": 20},
        {"selected": -1}, {"lines": [[0, 20]]}, {"lines": [[0, -1]]}, {"lines": [[0, "a"]]},
    ],
)  # fmt: skip
def test_impossible_states_are_refused(refused, state):
    refused(FlowExplorer(), state)
    if next(iter(state)) not in ("points", "lines"):
        with pytest.raises(traitlets.TraitError):
            FlowExplorer(**state)


@pytest.mark.parametrize("points", [torch.zeros(3, 3), torch.full((3, 2), torch.nan), torch.zeros(0, 2), [[0.0, 0.0]]])
def test_points_that_are_none_are_refused(points):
    with pytest.raises((TypeError, ValueError), match="points"):
        FlowExplorer(points)


def test_the_mouth_by_default():
    explorer, scheme = FlowExplorer(), schemes.get("300w-68")
    mouth = 100 * statistics.real_300w().mean[list(scheme.parts["mouth"])]
    points = tensor(explorer.points)
    torch.testing.assert_close(points - points.mean(0), mouth - mouth.mean(0))
    assert explorer.lines[0] == [*range(12), 0]
    assert explorer.lines[1] == [*range(12, 20), 12]


@pytest.mark.parametrize("points", [None, torch.zeros(20, 2)])
def test_lines_through_points_that_are_not_there_are_refused(points):
    with pytest.raises(traitlets.TraitError, match="lines: needed indices of points, integers from 0 to 19; got 20"):
        FlowExplorer(points, [[0, 20]])


def test_own_points_start_at_rest():
    explorer = FlowExplorer(torch.eye(2), [[0, 1]])
    assert explorer.momenta == [[0, 0], [0, 0]]
    assert explorer.flow().end.tolist() == [[1, 0], [0, 1]]


def test_picture_and_page_are_small(small):
    for explorer in (FlowExplorer(), FlowExplorer(torch.zeros(1, 2))):
        small(explorer, 70_000)


# ------------------------------------------------------------------------------------------------ in a browser


def agrees(hand, explorer):
    """The page says what the library says of the same state."""
    found, p0 = explorer.flow(), tensor(explorer.momenta)
    x = found.path[[0, -1]]
    p = found.momenta[[0, -1]] if explorer.model == "shoot" else p0.expand_as(x)
    wanted = [flows.hamiltonian(a, b, explorer.sigma).item() for a, b in zip(x, p, strict=True)]
    assert [float(cell) for cell in hand.row("energy")] == pytest.approx(wanted, abs=0.051)
    totals = [[float(v) for v in cell.split(", ")] for cell in hand.row("total")]
    np.testing.assert_allclose(totals, p.sum(1), atol=0.051)
    least = flows.min_steps(x[0], p0, explorer.sigma, explorer.method, geodesic=explorer.model == "shoot")
    words = hand.figure.locator(".sw-count").all_inner_texts()
    assert f"Sure to fold nothing: {least} step" in words[0]
    moved = (x[1] - x[0]).norm(dim=-1).max().item()
    assert float(words[1].split()[2]) == pytest.approx(moved, abs=0.051)


@pytest.mark.browser
def test_the_page_says_what_the_library_says(hand):
    explorer = FlowExplorer()
    it = hand(explorer)
    agrees(it, explorer)
    for label, state in [
        ("constant momenta", {"model": "flow"}), ("Euler", {"method": "euler"}), ("RK4", {"method": "rk4"}),
        ("geodesic shooting", {"model": "shoot"}),
    ]:  # fmt: skip
        before = it.pixels()
        it.choose(label)
        explorer.set_trait(*next(iter(state.items())))
        agrees(it, explorer)
        if "model" in state:
            assert it.pixels() != before
    for slider, key, name, value in [("steps", "ArrowLeft", "steps", 9), ("width", "ArrowRight", "sigma", 26.0)]:
        it.press(it.slider(slider), key)
        explorer.set_trait(name, value)
        agrees(it, explorer)
    it.press(it.slider("shown"), "Home")
    assert it.row("energy")[0] == it.row("energy")[1]
    assert "area × 1.00 to × 1.00" in it.figure.locator(".sw-count").first.inner_text()


@pytest.mark.browser
def test_momenta_by_keyboard(hand):
    explorer = FlowExplorer()
    it = hand(explorer)
    heard, handle = it.listens(), it.slider("momentum of point")
    assert handle.get_attribute("aria-label") == "momentum of point 9"
    assert it.said(handle) == "0.0 px right, 9.0 px down"
    it.press(handle, "ArrowRight", "Shift+ArrowDown", "ArrowUp", "ArrowLeft", "ArrowLeft")
    assert it.said(handle) == "1.0 px left, 13.0 px down"
    explorer.momenta = [*explorer.momenta[:9], [-1.0, 13.0], *explorer.momenta[10:]]
    agrees(it, explorer)
    it.press(handle, "Home", "PageDown")
    assert handle.get_attribute("aria-label") == "momentum of point 10"
    it.press(handle, "PageUp")
    assert it.said(handle) == "0.0 px right, 0.0 px down"
    assert heard() == [True, 0]
    it.button("No momenta").click()
    explorer.momenta = np.zeros((20, 2))
    agrees(it.settled(), explorer)


def sides(explorer):
    """The sides of the picture."""
    low, high = np.min(explorer.points, 0), np.max(explorer.points, 0)
    half = (high - low).max()
    return [((a + b) / 2 - half, (a + b) / 2 + half) for a, b in zip(low, high, strict=True)]


@pytest.mark.browser
def test_momenta_by_mouse(hand):
    explorer = FlowExplorer()
    it = hand(explorer)
    handle, (canvas,) = it.slider("momentum of point"), it.canvases
    box, frame = canvas.bounding_box(), sides(explorer)
    scale = box["width"] / (frame[0][1] - frame[0][0])
    it.drag(it.middle(handle), (20, 12))
    right, down = (float(part.split()[0]) for part in it.said(handle).split(", "))
    assert (right, down) == pytest.approx((20 / scale, 9 + 12 / scale), abs=0.06)
    # a press on a point without momentum gives it one; a press on nothing does nothing
    x, y = explorer.points[13]
    at = box["x"] + (x - frame[0][0]) * scale, box["y"] + (y - frame[1][0]) * scale
    it.drag((at[0] + 1, at[1] - 1), (10, 0))
    assert handle.get_attribute("aria-label") == "momentum of point 13"
    assert it.said(handle) == f"{10 / scale:.1f} px right, 0.0 px down"
    before = it.pixels()
    it.drag((box["x"] + 8, box["y"] + 8), (30, 30))
    assert it.pixels() == before
    it.drag(it.middle(handle), (-4000, 4000))  # an arrow stays in the picture
    assert it.middle(handle) == pytest.approx((box["x"], box["y"] + box["height"]), abs=1)


@pytest.mark.browser
def test_folds_are_told(hand):
    explorer = FlowExplorer(momenta=np.array(FlowExplorer().momenta) * 6, method="euler", steps=2)
    it = hand(explorer)
    assert "cells folded" in it.figure.locator(".sw-count").first.inner_text()
    it.choose("RK4").press(it.slider("steps"), "End")
    assert "no cell folded" in it.figure.locator(".sw-count").first.inner_text()


@pytest.mark.browser
def test_reset_and_two_on_a_page(hands):
    one, two = hands(FlowExplorer(), FlowExplorer(model="flow", steps=3))
    start, other = one.pixels(), two.pixels()
    one.choose("constant momenta").choose("Euler")
    for slider in ("steps", "width", "momentum of point"):
        one.press(one.slider(slider), "ArrowRight", "PageDown")
    one.press(one.slider("shown"), "ArrowLeft")
    assert one.pixels() != start
    assert two.pixels() == other
    one.button("Reset").click()
    one.page.mouse.move(0, 0)
    assert one.settled().pixels() == start
    agrees(one, FlowExplorer())
    agrees(two, FlowExplorer(model="flow", steps=3))


@pytest.mark.browser
def test_what_it_came_to_is_said(spoken):
    words = spoken(FlowExplorer(), "steps", "ArrowRight")
    assert words.startswith("geodesic shooting, RK2, 11 of 11 steps. Cells: area × 0.")
    assert "no cell folded" in words


@pytest.mark.browser
def test_on_a_phone_the_flow_stays_in_sight_of_its_sliders(hand):
    it = hand(FlowExplorer(), viewport={"width": 390, "height": 844}, has_touch=True)
    slider = it.slider("shown until")
    slider.scroll_into_view_if_needed()
    box = it.canvases[0].bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= slider.bounding_box()["y"]
