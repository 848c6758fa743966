import numpy as np
import pytest
import torch

from lddmmlib import lars
from lddmmlib.widgets import LarsExplorer, base
from lddmmlib.widgets.lars_explorer import EXAMPLES

LARS = base.HERE / "lars.js"
CLOSE = {"rtol": 1e-9, "atol": 1e-9}
DROPS = EXAMPLES["One that drops"]


def random_problem(seed, n=12, p=8):
    """Correlated columns, so that the path has drops."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, p, generator=g, dtype=torch.float64) + 2 * torch.randn(n, 1, generator=g, dtype=torch.float64)
    y = torch.randn(n, generator=g, dtype=torch.float64)
    return x.T @ x, x.T @ y


def coefs_of(knots):
    return np.array([knot["h"] for knot in knots])


# ------------------------------------------------------------------ the script's mathematics is the library's


@pytest.mark.parametrize(("n", "p"), [(12, 8), (40, 20), (5, 9), (3, 3), (2, 3)])
def test_the_path(js, n, p):
    drops = 0
    for seed in range(6):
        gram, xy = random_problem(seed, n, p)
        wanted, found = lars.path(gram, xy), js(LARS, "path", gram, xy)
        scale = wanted.coefs.abs().max().item()
        np.testing.assert_allclose([knot["lambda"] for knot in found], wanted.lambdas, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(coefs_of(found), wanted.coefs, rtol=1e-9, atol=1e-9 * scale)
        np.testing.assert_allclose([knot["size"] for knot in found], wanted.coefs.abs().sum(1), rtol=1e-9)
        drops += sum(not knot["event"]["joins"] for knot in found[:-1])
        assert found[-1]["event"] is None
    assert drops or n < p or p == 3


def test_the_events_are_what_becomes_of_the_active_set(js):
    dropped = 0
    for seed in range(6):
        active = set()
        for knot in js(LARS, "path", *random_problem(seed)):
            assert {j for j, v in enumerate(knot["h"]) if v} <= active
            if knot["event"]:
                j, joins = knot["event"]["j"], knot["event"]["joins"]
                assert (j not in active) == joins
                assert knot["h"][j] == 0  # exactly, of who drops too
                active ^= {j}
                dropped += not joins
    assert dropped


@pytest.mark.parametrize("tau", [0.0, 0.1, 0.5, 1.3, 1e6])
def test_the_budget(js, tau):
    gram, xy = random_problem(1)
    wanted = lars.budget(gram, xy, tau)
    knots = js(LARS, "path", gram, xy, tau)
    assert all(knot["size"] < tau for knot in knots[:-1])
    found = js(LARS, "along", knots, "size", tau)
    np.testing.assert_allclose(found["h"], wanted.coefs, **CLOSE)
    assert found["lambda"] == pytest.approx(wanted.lambdas.item(), abs=1e-9)
    np.testing.assert_allclose(js(LARS, "correlations", gram, xy, found["h"]), xy - gram @ wanted.coefs, **CLOSE)
    same = js(LARS, "along", js(LARS, "path", gram, xy), "lambda", found["lambda"])
    np.testing.assert_allclose(same["h"], found["h"], **CLOSE)


def twins_added(coefs, first, second):
    """Coefficients with those of each second twin added to its first: how twins share is decided by the last bit."""
    coefs = np.asarray(coefs).copy()
    coefs[:, first] += coefs[:, second]
    return np.delete(coefs, second, 1)


def test_zero_and_twin_columns(js):
    x = torch.tensor([[1.0, 0.0, 1.0, 0.3], [0.5, 0.0, 0.5, -1.0]], dtype=torch.float64)
    y = torch.tensor([1.0, -0.4], dtype=torch.float64)
    gram, xy = x.T @ x, x.T @ y
    found = js(LARS, "path", gram, xy)
    wanted = twins_added(lars.path(gram, xy).coefs, [0], [2])
    np.testing.assert_allclose(twins_added(coefs_of(found), [0], [2]), wanted, **CLOSE)
    assert coefs_of(found)[-1, 1] == 0
    for seed in range(5):
        gram, xy = random_problem(seed)
        twice = [*range(8), 2, 5, 7]
        gram, xy = gram[twice][:, twice], xy[twice]
        wanted, found = lars.path(gram, xy), js(LARS, "path", gram, xy)
        np.testing.assert_allclose([knot["lambda"] for knot in found], wanted.lambdas, **CLOSE)
        twins = [2, 5, 7], [8, 9, 10]
        np.testing.assert_allclose(twins_added(coefs_of(found), *twins), twins_added(wanted.coefs, *twins), **CLOSE)
    nothing = js(LARS, "path", gram, 0 * xy)
    assert nothing == [{"lambda": 0, "h": [0] * 11, "size": 0, "event": None}]


@pytest.mark.parametrize("example", EXAMPLES.values())
@pytest.mark.parametrize("share", [0.0, 0.37, 1.0])
def test_the_explorer(js, example, share):
    explorer = LarsExplorer(**example, share=share)
    found = js(explorer, "followed", explorer.get_state())
    np.testing.assert_allclose(found["now"]["h"], explorer.fit(), **CLOSE)
    np.testing.assert_allclose(found["fit"], explorer.fit().numpy() @ explorer.columns, **CLOSE)
    turned = np.array(js(explorer, "view", explorer.get_state()))
    np.testing.assert_allclose(turned @ turned.T, np.eye(len(turned)), atol=1e-12)
    assert np.linalg.det(turned) == pytest.approx(1)


# ---------------------------------------------------------------------------------- what it is there to teach


def test_the_questions_have_answers():
    explorer = LarsExplorer()
    first = explorer.path()
    assert first.coefs[1, 0] > 0 == first.coefs[1, 1]
    explorer.columns = [explorer.columns[0], (2 * np.array(explorer.columns[1])).tolist()]  # longer: taken first
    assert explorer.path().coefs[1, 1] > 0
    gram, xy = LarsExplorer().products()
    c = (xy - first.coefs @ gram).abs()
    assert c[0, 0] > c[0, 1]
    torch.testing.assert_close(c[1:, 0], c[1:, 1])  # tied from there on
    columns = torch.tensor(LarsExplorer().columns, dtype=torch.float64)
    way = (first.coefs[2] - first.coefs[1]) @ columns
    products = columns @ way
    torch.testing.assert_close(products[0], products[1])  # the same angle, once both are of one length
    dropped = LarsExplorer(**DROPS).path().coefs
    assert dropped[2, 2] < 0
    assert (dropped[3:5, 2] == 0).all()
    assert dropped[5, 2] > 0


# -------------------------------------------------------------------------------------------------- the class


@pytest.mark.parametrize(
    "state",
    [
        {"columns": [[1.0, 0.0]]}, {"columns": [[1.0, 0.0]] * 4}, {"columns": [[1.0, 0.0, 0.0]] * 2},
        {"columns": [[1.0], [0.0]]}, {"columns": [1.0, 0.0]}, {"columns": [[1.0, float("nan")], [0.0, 1.0]]},
        {"target": [1.0]}, {"target": [1.0, 0.0, 0.0]}, {"share": 1.1}, {"share": float("nan")}, {"tilt": 91.0},
        {"selected": 3}, {"selected": -1},
    ],
)  # fmt: skip
def test_impossible_states_are_refused(refused, state):
    refused(LarsExplorer(), state)


def test_the_plane_gives_way_to_space():
    explorer = LarsExplorer()
    with explorer.hold_trait_notifications():
        explorer.columns, explorer.target = DROPS["columns"], DROPS["target"]
    assert explorer.fit().shape == (3,)
    assert LarsExplorer(columns=torch.eye(2), target=torch.ones(2)).fit().tolist() == [0.5, 0.5]


@pytest.mark.parametrize("example", EXAMPLES.values())
def test_picture_and_page_are_small(small, example):
    small(LarsExplorer(**example))


# ------------------------------------------------------------------------------------------------ in a browser


def agrees(hand, explorer):
    """Coefficients and correlations on the page are the library's of the same state."""
    h = explorer.fit()
    gram, xy = explorer.products()
    c = xy - gram @ h
    for j, name in enumerate("₁₂₃"[: len(h)]):
        found = hand.figure.locator("table").first.locator("tbody tr").nth(j)
        assert found.get_by_role("rowheader").inner_text() == f"x{name}"
        cells = [cell.replace("−", "-") for cell in found.get_by_role("cell").all_inner_texts()]
        assert [float(v) for v in cells[:2]] == pytest.approx([h[j].item(), c[j].item()], abs=0.00051)
        tied = abs(c[j].abs() - c.abs().max()) < 1e-6
        assert cells[2] == ("yes" if tied else "no")


@pytest.mark.browser
def test_along_the_path(hand):
    explorer = LarsExplorer()
    it = hand(explorer)
    agrees(it, explorer)
    budget, penalty = it.slider("budget"), it.slider("multiplier")
    it.press(budget, "ArrowLeft", "PageDown")
    explorer.share = float(budget.input_value())
    assert explorer.share < 0.5
    agrees(it, explorer)
    lambdas = explorer.path().lambdas
    it.press(penalty, "End")
    agrees(it, LarsExplorer(share=0.0))
    it.press(penalty, "ArrowLeft", "ArrowLeft")
    assert float(it.said(penalty)) == pytest.approx(0.99 * lambdas[0].item(), abs=0.00051)
    it.press(penalty, "Home")
    agrees(it, LarsExplorer(share=1.0))
    pixels = it.pixels()
    it.button("Reset").click()
    agrees(it.settled(), LarsExplorer())
    assert all(a != b for a, b in zip(pixels, it.pixels(), strict=True))


@pytest.mark.browser
def test_from_knot_to_knot(hand):
    it = hand(LarsExplorer(share=0.0))
    it.button("One that drops").click()
    path = LarsExplorer(**DROPS).path()
    sizes = path.coefs.abs().sum(1)
    rows = it.settled().figure.locator("table").nth(1).locator("tbody tr")
    heads = rows.get_by_role("rowheader").all_inner_texts()
    assert heads == ["x₁ joins", "x₃ joins", "x₂ joins", "x₃ drops", "x₃ joins", "least squares"]
    for k in range(1, 6):
        it.button("Next knot").click()
        agrees(it.settled(), LarsExplorer(**DROPS, share=(sizes[k] / sizes[-1]).clamp(max=1).item()))
        assert rows.nth(k).get_attribute("class") == "sw-chosen"
    for _ in range(7):
        it.button("Knot before").click()
    agrees(it.settled(), LarsExplorer(**DROPS, share=0.0))


@pytest.mark.browser
def test_space_is_turned(hand):
    it = hand(LarsExplorer())
    assert not it.slider("turn").is_visible()
    it.button("Three in space").click()
    explorer = LarsExplorer(**EXAMPLES["Three in space"])
    agrees(it.settled(), explorer)
    before = it.pixels()
    it.press(it.slider("turn"), "PageUp")
    it.press(it.slider("tilt"), "ArrowLeft")
    assert it.pixels()[0] != before[0]
    assert it.pixels()[1:] == before[1:]
    agrees(it, explorer)
    it.button("Two in the plane").click()
    agrees(it.settled(), LarsExplorer())
    assert not it.slider("turn").is_visible()


@pytest.mark.browser
def test_arrows_by_keyboard(hand):
    explorer = LarsExplorer()
    it = hand(explorer)
    heard, handle = it.listens(), it.slider("arrow x₁")
    assert it.said(handle) == "1.20, 0.30"
    it.press(handle, "ArrowRight", "Shift+ArrowUp")
    explorer.columns = [[1.25, 0.55], explorer.columns[1]]
    agrees(it, explorer)
    it.press(handle, "PageUp")
    handle = it.slider("target")
    it.press(handle, "ArrowDown", "ArrowLeft")
    explorer.target = [1.15, 0.85]
    agrees(it, explorer)
    it.press(handle, "PageDown", "PageDown")
    assert it.slider("arrow x₂").is_visible()
    assert heard() == [True, 0]


@pytest.mark.browser
@pytest.mark.parametrize("example", EXAMPLES)
def test_arrows_by_mouse(hand, js, example):
    explorer = LarsExplorer(**EXAMPLES[example])
    it = hand(explorer)
    box = it.canvases[0].bounding_box()
    seen = np.array(js(explorer, "view", explorer.get_state()))[:2]
    scale = box["width"] / 3
    for i, by in [(1, (-20, -30)), (0, (25, 10))]:
        old = np.array(explorer.columns[i])
        at = (seen @ old) * [scale, -scale] + [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
        it.drag((at[0] + 1, at[1] + 1), by)
        new = [float(v) for v in it.said(it.slider("arrow")).split(", ")]
        np.testing.assert_allclose(new, old + np.array([by[0], -by[1]]) / scale @ seen, atol=0.0101)
    before = it.pixels()
    it.drag((box["x"] + 6, box["y"] + box["height"] - 6), (30, -30))
    assert it.pixels() == before
    it.drag(it.middle(it.slider("arrow")), (4000, 0))
    x, _ = it.middle(it.slider("arrow"))
    assert x <= box["x"] + box["width"]


@pytest.mark.browser
def test_two_on_a_page_are_independent(hands):
    one, two = hands(LarsExplorer(), LarsExplorer(**DROPS, share=0.7))
    other = two.pixels()
    one.button("Three in space").click()
    one.press(one.slider("budget"), "End").press(one.slider("turn"), "End")
    one.page.mouse.move(0, 0)
    assert two.settled().pixels() == other
    agrees(two, LarsExplorer(**DROPS, share=0.7))


@pytest.mark.browser
def test_what_it_came_to_is_said(spoken):
    h = LarsExplorer(share=1.0).fit()
    words = spoken(LarsExplorer(), "budget", "End")
    assert words.startswith("least squares. λ 0.000, |h|₁ ")
    assert f"x₂: coefficient {h[1]:.3f}, correlation 0.000." in words
