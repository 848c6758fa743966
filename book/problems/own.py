"""Problems of the chapter on a reader's own data."""

import torch

from lddmmlib import landmarker, metrics
from lddmmlib.methods import few_labels
from problems.kinds import Problem, points, said


def square(rng) -> Problem:
    box = [rng.randint(20, 80), rng.randint(20, 80), rng.choice([60, 80, 100]), rng.choice([60, 80, 120])]
    k, dx, dy = rng.choice([1.2, 1.3, 1.5]), rng.choice([-0.05, 0.05, 0.1]), rng.choice([-0.2, -0.1, 0.15])
    x, y, side, _ = few_labels.placed(tuple(map(float, box)), (k, dx, dy))
    return Problem(
        f"A detector gives the box $(x, y, w, h) = {said(box)}$ px. On labelled faces the square that the network "
        f"needs was {k:g} times the longer side of such boxes, its middle moved by $({dx:g}, {dy:g})$ of that side. "
        "Which square is cut out here? Give its upper left corner and its side.",
        {"box": box, "k": k, "move": (dx, dy)},
        {"x": x, "y": y, "side": side},
        "From the box's middle, by the longer side; `methods.few_labels.placed`.",
        ((3, "the longer side is the unit of all three numbers"), (4, "the middle, moved"), (3, "half a side back")),
    )  # fmt: skip


def trust(rng) -> Problem:
    ratios = rng.sample([20, 30, 40, 50, 60, 80, 90, 110, 130, 150], 6)
    radius, truth, found = rng.choice([2.0, 3.0, 4.0]), [rng.randint(30, 50), rng.randint(30, 50)], [0, 0]
    found = [truth[0] + rng.choice([3, -3]), truth[1] + rng.choice([4, -4])]
    factor = torch.tensor(ratios).double().quantile(landmarker.LEVEL).item() / 100
    off = metrics.errors(points(found), points(truth), 1.0)[0].item()
    table = ", ".join(f"{r / 100:g}" for r in ratios)
    return Problem(
        f"On six held-out labels the error divided by the width of its map was {table}. The spread is the width times "
        "a factor, such that four fifths of these errors lie within it: the quantile at 0.8, on a line between the "
        f"sorted values. What is the factor? A new landmark has a map of the width {radius:g} px; its spread? It was "
        f"predicted at {said(found)} and is at {said(truth)}: how many spreads is it off?",
        {"ratios": ratios, "radius": radius, "truth": truth, "found": found},
        {"factor": factor, "spread, px": factor * radius, "spreads off": off / (factor * radius)},
        "Of six values the quantile at 0.8 is the fifth; `landmarker.Landmarker.fit` takes it of its held-out faces.",
        ((4, "the fifth smallest of the six"), (3, "width times factor"), (3, "the distance over the spread")),
    )  # fmt: skip
