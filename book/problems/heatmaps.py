"""Problems of the chapters on heatmaps, optimal transport and robustness."""

import math

import torch

from lddmmlib import heatmaps as lib
from lddmmlib import metrics, optimal_transport
from lddmmlib.faces import perturb
from lddmmlib.methods import wasserstein
from problems.kinds import Problem, points, said


def rounding(rng) -> Problem:
    stride, at = rng.choice([4, 8]), [rng.randint(20, 200) + rng.choice([0.25, 0.5]) for _ in "xy"]
    cells = lib.to_cells(points(at)[0], stride)
    back = {how: lib.to_pixels(lib.quantise(cells, how), stride) - points(at)[0] for how in ("round", "floor")}
    return Problem(
        f"A landmark at {said(at)} px is written into a map with {stride} px a cell, pixel centres and cell centres "
        "aligned. Which coordinates has it in cells? How far off, in px, is a perfect network's brightest cell if "
        "the target was rounded to the nearest cell, and if it was rounded down?",
        {"stride": stride, "at": at},
        {"u": cells[0].item(), "v": cells[1].item(), "nearest, px": back["round"].norm().item(),
         "down, px": back["floor"].norm().item()},
        "$u = (x - (s - 1)/2)/s$; `heatmaps.to_cells`, `heatmaps.quantise`, `heatmaps.to_pixels`.",
        ((4, "cells, with the half that alignment asks for"), (4, "both errors, back in px"),
         (2, "says that rounding down has a direction")),
    )  # fmt: skip


def three_cells(rng) -> Problem:
    left, right = rng.sample([0.2, 0.3, 0.4, 0.5, 0.6, 0.7], 2)
    tau = rng.choice([5, 10])
    row = points([0, 0, 0], [left, 0.9, right], [0, 0, 0])
    found = {how: lib.decode(row, how, window=3, tau=float(tau))[0].item() for how in ("quarter", "local_soft",
                                                                                     "barycentre")}  # fmt: skip
    return Problem(
        f"A map of three by three cells has the values {left:g}, 0.9 and {right:g} in its middle row, and zeros "
        "above and below. Which $x$, from 0 to 2, has the landmark: a quarter of a cell towards the larger "
        f"neighbour, by the local soft-argmax with $\\tau = {tau}$, by the barycentre?",
        {"left": left, "right": right, "tau": tau},
        {"quarter": found["quarter"], "local soft-argmax": found["local_soft"], "barycentre": found["barycentre"]},
        "`heatmaps.decode` with its three methods, the window three cells wide. A zero has the weight one.",
        ((2, "the quarter, to the right side"), (5, "exponentials of τ times all nine values"),
         (3, "the barycentre, without")),
    )  # fmt: skip


def mean_target(rng) -> Problem:
    u, wide = rng.randint(8, 20) + rng.choice([0.1, 0.2, 0.3, 0.7, 0.8]), rng.choice([0.2, 0.3])
    views = [u + k * wide for k in (-2, -1, 0, 1, 2)]
    mean = lib.quantise(points(views)[0]).mean().item()
    return Problem(
        f"A network cannot tell five views of a landmark apart, at {', '.join(f'{v:.1f}' for v in views)} cells. It "
        "learns by squared error. Where does it put the landmark if the targets are rounded to the nearest cell, "
        "and if they are not? How far is the first from the second, and how far would a network be that sees the "
        "middle view alone?",
        {"views": views},
        {"rounded": mean, "not rounded": u, "apart": abs(mean - u), "alone": abs(round(u) - u)},
        "It learns the mean of its targets; `heatmaps.quantise`.",
        ((4, "the mean of rounded targets"), (3, "the two distances"), (3, "says why uncertainty helps here")),
    )  # fmt: skip


def mirrored_cell(rng) -> Problem:
    side, stride = rng.choice([128, 256]), 4
    u = rng.randint(3, side // stride - 4) + rng.choice([0.0, 0.25, 0.5])
    right = side - 1 - lib.to_pixels(points([u])[0], stride).item()
    cells = points([side // stride - 1 - u])[0]
    wrong = {how: lib.to_pixels(cells, stride, how).item() for how in ("centre", "corner")}
    corner = side - 1 - lib.to_pixels(points([u])[0], stride, "corner").item()
    return Problem(
        f"An image of {side} px was mirrored, and in its maps, of {side // stride} cells with {stride} px each, a "
        f"landmark is at $u = {u:g}$ cells. Where is it in the image that was not mirrored, px, if cell centres and "
        "pixel centres are aligned? Someone mirrors the cells instead, and then goes to pixels: how far off is "
        "that, aligned by centres, and aligned by corners ($x = su$)?",
        {"side": side, "stride": stride, "u": u},
        {"x": right, "off by centres": abs(wrong["centre"] - right), "off by corners": abs(wrong["corner"] - corner)},
        "Pixels first, then the mirror; `heatmaps.to_pixels`. Mirroring commutes with centres, not with corners.",
        ((4, "the place, px"), (3, "nothing is lost with centres"), (3, "with corners, a cell less a pixel")),
    )  # fmt: skip


def _mass(rng, cells: int) -> list[float]:
    cut = sorted(rng.sample(range(1, 10), cells - 1))
    return [(b - a) / 10 for a, b in zip([0, *cut], [*cut, 10], strict=True)]


def earth(rng) -> Problem:
    u, v = (_mass(rng, 4) for _ in range(2))
    v = v if v != u else v[::-1]
    a, b = points(u), points(v)
    return Problem(
        f"Two distributions on the cells 0 to 3: $u = {said(u)}$ and $v = {said(v)}$. What is $W_1(u, v)$, in cells? "
        "How far apart are their means? Why is the first never less than the second?",
        {"u": u, "v": v},
        {"W1": optimal_transport.w1_by_linear_program(a, b),
         "means": (optimal_transport.get_bc(a) - optimal_transport.get_bc(b))[0].abs().item()},
        "The sum of the cumulated differences without their signs; `optimal_transport.w1_by_linear_program`. The "
        "coordinate itself is an allowed price.",
        ((5, "the distance, by a plan or by cumulated sums"), (2, "the means"), (3, "the reason")),
        tolerance=0.001,
    )  # fmt: skip


def to_a_point(rng) -> Problem:
    m = _mass(rng, 3)
    to = [4, 4]
    places = [[4 + dx, 4 + dy] for dx, dy in rng.sample([(3, 4), (-3, 4), (0, -4), (4, -3), (-4, 0), (0, 0)], 3)]
    u = torch.zeros(9, 9).double()
    for (x, y), mass in zip(places, m, strict=True):
        u[y, x] = mass
    bc = optimal_transport.get_bc(u)
    where = ", ".join(f"{w:g} at {said(p)}" for w, p in zip(m, places, strict=True))
    return Problem(
        f"A map has the mass {where}, cells, and the landmark is at {said(to)}. What is the transport cost to the "
        "landmark? Where is the barycentre, and how far from the landmark?",
        {"m": m, "places": places, "to": to},
        {"W1": optimal_transport.w1_to_point(u, points(to)[0]).item(), "x": bc[0].item(), "y": bc[1].item(),
         "distance": (bc - points(to)[0]).norm().item()},
        "Mass times way, added up; then the mean; `optimal_transport.w1_to_point`, `optimal_transport.get_bc`.",
        ((4, "the cost"), (3, "the barycentre"), (3, "says what the barycentre does not see")),
    )  # fmt: skip


def softmax_trap(rng) -> Problem:
    side, tau = rng.choice([16, 32, 64]), rng.choice([1, 2, 5])
    h = torch.zeros(side, side).double()
    h[3, 5] = 1.0
    return Problem(
        f"A map of {side} by {side} cells is one in a single cell and zero elsewhere. Which weight has that cell "
        f"after a softmax of $\\tau = {tau}$ times the map? From which $\\tau$ on has it a half?",
        {"side": side, "tau": tau},
        {"weight": wasserstein.peak_weight(h, tau=float(tau)).item(), "τ of a half": math.log(side**2 - 1)},
        "One exponential against as many ones as there are other cells; `methods.wasserstein.peak_weight`.",
        ((4, "the weight"), (4, "τ"), (2, "says what that does to a loss of barycentre or distance")),
        tolerance=1e-3,
    )  # fmt: skip


def shannon(rng) -> Problem:
    p, q = rng.choice([0.5, 0.6, 0.8, 0.9]), rng.choice([0.1, 0.2, 0.25])
    u, v = points([p, 1 - p, 0.0]), points([0.0, 1 - q, q])
    far = torch.zeros(1, 9).double()
    near, apart = far.clone(), far.clone()
    far[0, 0] = near[0, 1] = apart[0, 8] = 1.0
    return Problem(
        f"On three cells, $u = {said(u[0].tolist())}$ and $v = {said(v[0].tolist())}$. What is their Jensen-Shannon "
        "divergence, in nats? What is it for two single cells side by side, and what for two that are eight apart?",
        {"p": p, "q": q},
        {"u and v": wasserstein.jensen_shannon(u, v, "sum").item(),
         "side by side": wasserstein.jensen_shannon(near, far, "sum").item(),
         "eight apart": wasserstein.jensen_shannon(apart, far, "sum").item()},
        "Both are compared with their mean; `methods.wasserstein.jensen_shannon`. Where nothing overlaps it is log 2.",
        ((5, "the divergence"), (3, "log 2, twice"), (2, "says what this loss cannot know")),
        tolerance=2e-3,
    )  # fmt: skip


def hidden_and_seen(rng) -> Problem:
    table = [[rng.randint(1, 20) for _ in range(4)] for _ in range(3)]
    hidden = [sorted(rng.sample(range(4), rng.choice([1, 2]))) for _ in range(3)]
    t, e = rng.choice([8.5, 10.5]), points(*table) / 100
    mask = torch.zeros(3, 4, dtype=torch.bool)
    for i, some in enumerate(hidden):
        mask[i, some] = True
    rows = "".join(f"\n| {' | '.join(f'({v})' if k in some else str(v) for k, v in enumerate(row))} |"
                   for row, some in zip(table, hidden, strict=True))  # fmt: skip
    return Problem(
        "Errors of four landmarks in three images, per cent; those in brackets are hidden:\n\n| a | b | c | d "
        f"|\n|---|---|---|---|{rows}\n\nWith the threshold {t:g} %: what are the failure rate per image and per "
        "landmark? Of all hidden landmarks, and of all that are seen, which share is lost? All in per cent.",
        {"table": table, "hidden": hidden, "t": t},
        {"per image, %": 100 * metrics.failure_rate(e.mean(1), t / 100).item(),
         "per landmark, %": 100 * metrics.failure_rate(e, t / 100).item(),
         "of the hidden, %": 100 * metrics.failure_rate(e[mask], t / 100).item(),
         "of the seen, %": 100 * metrics.failure_rate(e[~mask], t / 100).item()},
        "An image fails by its mean, a landmark by itself; `metrics.failure_rate`.",
        ((3, "images, by their mean"), (3, "landmarks"), (4, "the two shares, each of its own number")),
    )  # fmt: skip


def blurred_dot(rng) -> Problem:
    level, side = rng.choice([("medium", 50), ("medium", 75), ("large", 20), ("large", 30), ("large", 40)])
    dot = torch.zeros(1, 21, 21).double()
    dot[0, 10, 10] = 1.0
    corners = points([10 - side / 2, 10 - side / 2], [10 + side / 2, 10 + side / 2])
    row = perturb.motion_blur(dot, corners, points([1, 0])[0], level)[0, 10]
    length = perturb.BLUR[level] * side
    return Problem(
        f"A black image has one white pixel, of value one. It is blurred by a {level} horizontal movement in a face "
        f"whose box has the side {side} px. How long is the path, px, and how bright are the pixel and its neighbour "
        "afterwards? What is the sum of all values?",
        {"level": level, "side": side},
        {"path": length, "pixel": row[10].item(), "neighbour": row[11].item(), "sum": row.sum().item()},
        "The mean over the path of an image that is linear between pixels; `faces.perturb.motion_blur`.",
        ((3, "the length, as a share of the box"), (4, "one over the length, where the path is long enough"),
         (3, "nothing is lost")),
        tolerance=0.02,
    )  # fmt: skip
