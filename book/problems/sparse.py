"""Problems of the chapters on sparse regression and the cascade."""

import torch

from lddmmlib import lars
from lddmmlib.methods import coupled_regression
from lddmmlib.methods import sparse_shape_regression as ssr
from problems.kinds import Problem, points, said


def soft_threshold(rng) -> Problem:
    c = [v * rng.choice([-1, 1]) for v in rng.sample(range(2, 12), 3)]
    largest = sorted(map(abs, c), reverse=True)
    tau = largest[0] - largest[1] + rng.choice([1, 2])  # two have joined, or the third has just been reached
    h = lars.budget(torch.eye(3, dtype=torch.float64), points(c)[0], float(tau))
    return Problem(
        f"The three columns of $X$ are orthonormal, and $X^\\top y = {said(c)}$. Which $h$ is best with the budget "
        f"$|h|_1 \\le {tau}$? At which price $\\lambda$?",
        {"c": c, "tau": tau},
        {f"h_{i + 1}": v for i, v in enumerate(h.coefs.tolist())} | {"λ": h.lambdas.item()},
        "The soft threshold, with the λ that spends the budget; `lars.budget`.",
        ((3, "the order in which variables join"), (4, "λ from the budget"), (3, "signs, and zeros that are exact")),
    )  # fmt: skip


def second_knot(rng) -> Problem:
    rho, first = rng.choice([0.5, 0.6, 0.8, -0.5]), rng.choice([8, 10, 12])
    second = rng.choice([k for k in range(2, first) if abs(k - rho * first) > 1])
    path = lars.path(points([1, rho], [rho, 1]), points([first, second])[0])
    return Problem(
        f"Two columns of length one have the inner product {rho:g}, and $X^\\top y = {said((first, second))}$. At "
        "which $\\lambda$ does the first variable join, at which the second? How large is the first by then?",
        {"rho": rho, "first": first, "second": second},
        {"first λ": path.lambdas[0].item(), "second λ": path.lambdas[1].item(), "h_1": path.coefs[1, 0].item()},
        "The first pull falls as λ, the second by ρ times the first weight, until they are equal in size; `lars.path`.",
        ((2, "the first knot"), (5, "pulls as functions of λ, equal in absolute value"), (3, "the weight there")),
    )  # fmt: skip


def recipe(rng) -> Problem:
    known = [[rng.randint(20, 80), rng.randint(20, 80)] for _ in range(3)]
    h = rng.choice([[0.6, 0.5, -0.2], [0.5, 0.3, 0.1], [0.7, 0.6, -0.2], [0.4, 0.4, 0.1]])
    t = list(rng.choice([(30, 40), (60, 80), (50, 120)]))
    H = points(h)
    here, there = (ssr.complete(points(*known) + points(move), H)[-1] for move in ([0, 0], t))
    lost = (there - here - points(t)[0]).norm().item()
    return Problem(
        f"A row of $H$ is {said(h)}. The three landmarks that it mixes are at {', '.join(map(said, known))}, px. "
        f"Where does it put the hidden one? The whole face moves by {said(t)}: how far is the hidden landmark then "
        "from where it should be, if it was right before?",
        {"known": known, "h": h, "t": t},
        {"x": here[0].item(), "y": here[1].item(), "off, px": lost},
        "The weighted sum; then what the weights lack of a sum of one, times the movement; "
        "`methods.sparse_shape_regression.complete`.",
        ((4, "the place"), (4, "the sum of the weights decides"), (2, "says what a sum of one would change")),
    )  # fmt: skip


def extrapolation(rng) -> Problem:
    beyond = rng.choice([0.1, 0.2, 0.25, 0.3, 0.5])
    drawn = torch.tensor([[[rng.uniform(-50, 50) for _ in "xy"] for _ in "ab"] for _ in range(9)]).double()
    hidden = (1 + beyond) * drawn[:, :1] - beyond * drawn[:, 1:]
    row = ssr.fit_h(drawn, hidden, tau=float("inf")).H[0]
    return Problem(
        "A hidden landmark lies on the line through the known $A$ and $B$, beyond $A$, in every face: its distance "
        f"from $A$ is {beyond:g} times that of $A$ from $B$. Which weights represent it, and which is the least "
        "budget $\\tau$ that allows them? By how much does $\\tau$ exceed one for each unit of negative weight?",
        {"beyond": beyond},
        {"weight of A": row[0].item(), "weight of B": row[1].item(), "τ": row.abs().sum().item(),
         "excess for a unit": (row.abs().sum().item() - 1) / -row[1].item()},
        "Extrapolation has a negative weight, and pays it twice; `methods.sparse_shape_regression.fit_h`.",
        ((4, "weights that sum to one"), (3, "the budget as the sum of absolute values"), (3, "the factor of two")),
    )  # fmt: skip


def frame(rng) -> Problem:
    box = [rng.randint(10, 40), rng.randint(10, 40), *(rng.choice([80, 100, 120, 160]) for _ in "wh")]
    point = [box[0] + rng.randint(10, 70), box[1] + rng.randint(10, 70)]
    at = coupled_regression.to_face(points(point), points(box)[0])[0].tolist()
    return Problem(
        f"The box of a face is $(x, y, w, h) = {said(box)}$ px. What are the coordinates of the pixel {said(point)} "
        "in the frame of the face, in which the centre of the box is (1/2, 1/2) and its longer side one? How long "
        "is a pixel there?",
        {"box": box, "point": point},
        {"x": at[0], "y": at[1], "a pixel": 1 / max(box[2:])},
        "Centre first, then the longer side; `methods.coupled_regression.to_face`.",
        ((4, "both coordinates are divided by the longer side"), (4, "the centre"), (2, "the length of a pixel")),
    )  # fmt: skip


def turns(rng) -> Problem:
    x, w = [1.0, 2.0], [rng.choice([1.0, 2.0]), rng.choice([-1.0, 0.0])]
    first, second = ([float(rng.randint(1, 5)), float(rng.randint(-3, 3))] for _ in range(2))
    alpha, net = rng.choice([0.5, 1.0, 2.0]), torch.nn.Linear(1, 2).double()
    with torch.no_grad():
        net.weight.copy_(points(w).T)
        net.bias.zero_()
    args = points([x[0]], [x[1]]), torch.stack([points(first), points(second)])
    by = {known: coupled_regression.drn_objective(net, *args, points([1.0], [float(known)]), alpha).item()
          for known in (0, 1)}  # fmt: skip
    return Problem(
        f"A network without hidden layers, $F(x) = W x$ with $W = {said(w)}^\\top$, has the features $x = 1$ and $x "
        f"= 2$ of two faces. The first has the residual {said(first)}. That of the second was not labelled; $H$ says "
        f"that it is {said(second)}. What is the objective of $F$, with weight decay $\\alpha = {alpha:g}$, without "
        "the second face and with it? If it rises, is that an error?",
        {"w": w, "first": first, "second": second, "alpha": alpha},
        {"without": by[0], "with": by[1]},
        "Squared residuals of the labels that count, and the decay once; "
        "`methods.coupled_regression.drn_objective`. They are two objectives: a rise says nothing.",
        ((4, "δ leaves the second face out"), (3, "the decay, once"), (3, "two objectives are not compared")),
    )  # fmt: skip
