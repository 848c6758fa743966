"""Problems of the chapters on kernels, flows, matching and the deformation layer."""

from lddmmlib import currents, matching
from lddmmlib import flows as lib
from lddmmlib.faces import curve_sets, statistics
from lddmmlib.methods import lddmm_face
from problems.kinds import Problem, points, said


def velocity(rng) -> Problem:
    sigma, r = rng.choice([10, 20, 25]), rng.choice([6, 8, 10, 12])
    p, q = ([rng.randint(-9, 9), rng.randint(1, 9)] for _ in range(2))
    v = lib.velocity(points([0, 0], [r / 2, 0]), points([0, 0], [r, 0]), points(p, q), float(sigma)).tolist()
    return Problem(
        f"Momenta {said(p)} at (0, 0) and {said(q)} at {said((r, 0))}, px; the kernel has the width $\\sigma_V = "
        f"{sigma}$ px. What is the velocity at the first landmark, and half-way between the two?",
        {"sigma": sigma, "r": r, "p": p, "q": q},
        {"first, x": v[0][0], "first, y": v[0][1], "half-way, x": v[1][0], "half-way, y": v[1][1]},
        "A sum of momenta, each times the kernel, without a half in its exponent; `flows.velocity`.",
        ((3, "the kernel as the book has it"), (4, "the first landmark also moves with its neighbour's momentum"),
         (3, "half-way, both count alike")),
    )  # fmt: skip


def currents_of_edges(rng) -> Problem:
    length, apart, sigma = rng.choice([4, 5, 6, 8]), rng.choice([3, 5, 10]), rng.choice([5, 10])
    a, b = points([0, 0], [length, 0]), points([0, apart], [length, apart])
    return Problem(
        f"Two curves of one edge each: from (0, 0) to {said((length, 0))}, and from {said((0, apart))} to "
        f"{said((length, apart))}, px. What is their squared distance as currents for $\\sigma_W = {sigma}$ px? What "
        "is it if the second runs the other way, and which of the two is there however far the curves are apart?",
        {"length": length, "apart": apart, "sigma": sigma},
        {"alike": currents.distance2(a, b, float(sigma)).item(),
         "opposed": currents.distance2(a, b.flip(0), float(sigma)).item()},
        "Both norms are the length squared; the product is that times the kernel of the centres; `currents.distance2`. "
        "Far apart, both are twice the length squared.",
        ((3, "the two norms"), (4, "the product, by the centres' distance, with its sign"), (3, "the limit")),
    )  # fmt: skip


def two_steps(rng) -> Problem:
    sigma, r = rng.choice([10, 15, 20]), rng.choice([6, 8, 10])
    a, b = rng.randint(4, 12), rng.choice([0, -4, -6, 2])
    end = lib.flow(points([0, 0], [r, 0]), points([0, a], [0, b]), float(sigma), 2, "euler").end[:, 1].tolist()
    return Problem(
        f"Landmarks at (0, 0) and {said((r, 0))}, px, have the constant momenta {said((0, a))} and {said((0, b))}, and "
        f"$\\sigma_V = {sigma}$ px. Where are they, in $y$, after two Euler steps from time zero to one?",
        {"sigma": sigma, "r": r, "a": a, "b": b},
        {"first": end[0], "second": end[1]},
        "Two steps of one half each; the kernel of the second sees a larger distance; `flows.flow` with \"euler\".",
        ((3, "the first step, of one half"), (4, "the second with the new distance"), (3, "both landmarks feel both")),
    )  # fmt: skip


def certificate(rng) -> Problem:
    sigma, lengths = rng.choice([20, 25, 30]), [rng.randint(10, 40) for _ in range(3)]
    x = points([0, 0], [15, 0], [30, 0])
    steps = lib.min_steps(x, points(*([0, p] for p in lengths)), float(sigma), "euler")
    d, q = rng.choice([4, 5, 6]), rng.choice([10, 20])
    H = lib.hamiltonian(points([-d, 0], [d, 0]), points([q, 0], [-q, 0]), float(sigma)).item()
    return Problem(
        f"Three momenta, constant in time, have the lengths {', '.join(map(str, lengths))} px; $\\sigma_V = {sigma}$ "
        "px. How many Euler steps certainly keep the map one-to-one? And what is the energy $H$ of two landmarks at "
        f"$x = \\pm {d}$ px that run at each other with momenta of length {q} px?",
        {"sigma": sigma, "lengths": lengths, "d": d, "q": q},
        {"steps": steps, "H": H},
        "The first line of the chapter's certificate, the next whole number above; half the double sum for $H$; "
        "`flows.min_steps`, `flows.hamiltonian`.",
        ((3, "the bound on the slope of a sum of bumps"), (2, "strictly above, a whole number"), (3, "the energy"),
         (2, "its mixed terms are negative")),
    )  # fmt: skip


def one_landmark(rng) -> Problem:
    gamma, d = rng.choice([0.02, 0.04, 0.05]), rng.choice([30, 40, 60])
    found = matching.match(points([0, 0]), points([float(d), 0]), 10.0, gamma=gamma, steps=1)
    return Problem(
        f"A single landmark is matched to a target {d} px away, with $\\gamma = {gamma:g}$ per px and no curve. How "
        "far does it move, and what is the least value of $J$? For which $\\gamma$ would it just arrive?",
        {"gamma": gamma, "d": d},
        {"way": found.deformed[0, 0].item(), "J": found.value.item(), "γ that arrives": 1 / (2 * d)},
        "Alone, it moves by its momentum $p$: $J = \\gamma p^2 + d - p$; `matching.match`.",
        ((4, "$J$ as a function of one number"), (3, "its minimum, which stops short"),
         (3, "the largest γ that arrives")),
    )  # fmt: skip


def units(rng) -> Problem:
    length, apart, sigma = rng.choice([10, 20]), rng.choice([4, 5, 8]), rng.choice([10, 16])
    beta, times = rng.choice([0.1, 0.2]), rng.choice([2, 4, 5])
    y, z = points([0, 0], [length, 0]), points([0, apart], [length, apart])
    D = matching.discrepancy(z, y, float(sigma), beta).item()
    larger = matching.discrepancy(times * z, times * y, float(times * sigma), beta / times).item()
    return Problem(
        f"An edge of {length} px lies {apart} px beside its target; $\\beta = {beta:g}$ per px, $\\sigma_W = "
        f"{sigma}$ px. What is the discrepancy $D = \\beta D_c + D_l$? The same image is made {times} times as "
        "large, and so is $\\sigma_W$. Which $\\beta$ keeps the best match the same, and what is $D$ with it?",
        {"length": length, "apart": apart, "sigma": sigma, "beta": beta, "times": times},
        {"D": D, "β of the larger image": beta / times, "D of the larger image": larger},
        "$D_c$ is a length squared and $D_l$ a length, so β is one over a length; `matching.discrepancy`.",
        ((4, "$D_c$ and $D_l$ of two parallel edges"), (4, "β scales against the image"), (2, "$D$ scales with it")),
    )  # fmt: skip


def rider(rng) -> Problem:
    sigma, r, m = rng.choice([10, 20]), rng.choice([5, 8, 10]), rng.choice([6, 8, 12])
    moved = lib.flow(points([0, 0]), points([0, m]), float(sigma), 2, "euler", points=points([r, 0]))
    return Problem(
        "The released layer takes two Euler steps. A template has a landmark at (0, 0) with the momentum "
        f"{said((0, m))} and one at {said((r, 0))} that was left out, so that its momentum is zero; $\\sigma_V = "
        f"{sigma}$ px. Where do both end, in $y$?",
        {"sigma": sigma, "r": r, "m": m},
        {"landmark": moved.end[0, 1].item(), "left out": moved.points[0, 1].item()},
        "The lone landmark moves by its momentum; the other rides, and by the second step is farther off; "
        "`flows.flow`.",
        ((3, "the landmark with a momentum"), (4, "zero momentum does not mean staying"), (3, "two steps, not one")),
    )  # fmt: skip


def widths(rng) -> Problem:
    d, name = rng.choice([120, 160, 200]), rng.choice(["left eye", "right eye", "jaw", "left brow", "right brow"])
    known = curve_sets.get("300w-68")
    name = name if name in known else "left eye"
    mean = (d * statistics.real_300w().mean.double()).round()
    at = list(known).index(name)
    sigma = curve_sets.widths(mean, "300w-68")[at].item()
    shift = list(rng.choice([(3, 4), (6, 8), (5, 12)]))
    curve, moved = mean[list(known[name])], mean[list(known[name])] + points(shift)
    L = lddmm_face.loss(moved[None], curve[None], [range(len(curve))], points([sigma / 2])[0], 0.0, float(d)).item()
    return Problem(
        f"In a mean face whose outer eye corners are {d} px apart, the curve “{name}” has the landmarks "
        f"{', '.join(map(said, curve.tolist()))}. Which widths $\\sigma_V$ and $\\sigma_W$ does the paper's rule "
        f"give it? A prediction is this curve moved as a whole by {said(shift)}. What does the curve add to the "
        "loss, divided by the distance of the eye corners, if $\\beta = 0$?",
        {"curve": curve.tolist(), "shift": shift, "d": d},
        {"σ_V": sigma, "σ_W": sigma / 2, "loss": L},
        "The mean of width and height, and half of it; the mean distance of the landmarks over the face's size; "
        "`faces.curve_sets.widths`, `methods.lddmm_face.loss`.",
        ((4, "both widths"), (4, "the landmark term as a mean, divided by the face's size"),
         (2, "says what a β above zero would add")),
    )  # fmt: skip
