"""Problems of the chapters on warps, drawings and the training loop."""

import math

import torch

from lddmmlib import polyharmonic, training
from lddmmlib.data import crops
from lddmmlib.methods import conditional_warp
from problems.kinds import Problem, points, said


def saddle(rng) -> Problem:
    h, d = rng.choice([1, 2, 5, 10]), rng.choice([1, 2, 3, 4])
    controls = points([h, h], [-h, h], [-h, -h], [h, -h])
    spline = polyharmonic.fit(controls, points([d], [-d], [d], [-d]))
    value = polyharmonic.evaluate(spline, points([2 * h, 2 * h], [0, h])).flatten().tolist()
    return Problem(
        f"A thin plate, with $\\varphi(r) = r^2 \\log r$, has four controls at $(\\pm {h}, \\pm {h})$. It is {d} "
        f"where both coordinates have the same sign, and {-d} where they differ. Find its four weights by symmetry. "
        f"What are its values at {said((2 * h, 2 * h))} and at {said((0, h))}?",
        {"h": h, "d": d},
        {"far": value[0], "between": value[1]},
        "The affine part is zero and the weights alternate, so one equation is left; `polyharmonic.fit`, "
        "`polyharmonic.evaluate`.",
        ((4, "no affine part, alternating weights, with the reason"), (4, "the weight"), (2, "both values")),
    )  # fmt: skip


def three_pins(rng) -> Problem:
    to = [[rng.randint(0, 9), rng.randint(0, 9)], [rng.randint(30, 50), rng.randint(-20, 20)]]
    to.append([rng.randint(-20, 20), rng.choice([1, 1, -1]) * rng.randint(30, 50)])
    point = [rng.choice([10, 30]), rng.choice([20, 40])]
    spline = polyharmonic.fit(points([0, 0], [40, 0], [0, 40]), points(*to))
    at = points(point).requires_grad_()
    rows = [torch.autograd.grad(polyharmonic.evaluate(spline, at)[0, i], at)[0][0] for i in range(2)]
    x, y = polyharmonic.evaluate(spline, points(point))[0].tolist()
    return Problem(
        "A picture is warped by three controls alone: its pixels at (0, 0), (40, 0) and (0, 40) are taken from the "
        f"photograph at {', '.join(map(said, to))}. From where is the pixel {said(point)} taken? What is the "
        "determinant of the map, and what does its sign say?",
        {"to": to, "point": point},
        {"x": x, "y": y, "determinant": torch.linalg.det(torch.stack(rows)).item()},
        "Three controls leave the sheet flat, so the map is affine; `polyharmonic.fit`. A negative determinant "
        "mirrors.",
        ((3, "the map is affine, with the reason"), (3, "the place, in the photograph"),
         (4, "the determinant and its sign")),
    )  # fmt: skip


def sobel(rng) -> Problem:
    patch = [[rng.randint(0, 9) / 10 for _ in range(3)] for _ in range(3)]
    image = points(*patch)[None, None]
    slope = conditional_warp.image_gradient(image, "spatial")[0, :, 1, 1].tolist()
    length = conditional_warp.image_gradient(image)[0, 0, 1, 1].item()
    rows = "".join(f"\n| {' | '.join(f'{v:g}' for v in row)} |" for row in patch)
    return Problem(
        f"Nine pixels:\n\n| left | middle | right |\n|---|---|---|{rows}\n\nWhat are $D_x X$, $D_y X$ and the length "
        "of the slope at the middle pixel, with the chapter's filters? Which of the three change if bright and dark "
        "are swapped?",
        {"patch": patch},
        {"D_x": slope[0], "D_y": slope[1], "length": length},
        "Central differences, averaged with the weights 1, 2, 1 over four; `methods.conditional_warp.image_gradient`. "
        "Swapped, the two slopes change sign, and the length stays.",
        ((4, "both slopes, with their weights"), (3, "the length"), (3, "what the swap does")),
        tolerance=5e-3,
    )  # fmt: skip


def two_stages(rng) -> Problem:
    side, truth = rng.choice([64, 128]), [[20, 20], [40, 24]]
    offs = [[list(rng.choice([(3, 4), (6, 8), (5, 12), (0, 5)])) for _ in truth] for _ in range(2)]
    found = [points(*truth)[None] + points(*off)[None] for off in offs]
    weights, target = rng.choice([(0.25, 0.75), (0.4, 0.6), (0.2, 0.8)]), points(*truth, [math.nan, math.nan])[None]
    out = [torch.cat([f, torch.zeros(1, 1, 2).double()], 1) for f in found]
    alone = conditional_warp.landmark_loss(out[1], target, float(side)).item()
    both = conditional_warp.landmark_loss(out, target, float(side), weights).item()
    rows = "".join(f"\n| {k + 1} | {said(off[0])} | {said(off[1])} |" for k, off in enumerate(offs))
    return Problem(
        f"A landmarker with two stages is off, px, at two labelled landmarks of an image {side} px wide:\n\n| stage "
        f"| first | second |\n|---|---|---|{rows}\n\nA third landmark is not labelled. The stages have the weights "
        f"{said(weights)}. What is the landmark loss of the second stage by itself, and that of both?",
        {"side": side, "offs": offs, "weights": weights},
        {"second stage": alone, "both": both},
        "Mean distances of the labelled ones over the side, then the weighted sum; "
        "`methods.conditional_warp.landmark_loss`.",
        ((4, "mean distance of a stage, over the side"), (3, "the third landmark does not count"),
         (3, "the weighted sum")),
        tolerance=2e-3,
    )  # fmt: skip


def schedule(rng) -> Problem:
    steps, rate = rng.choice([1000, 2000, 4000]), rng.choice([1e-3, 2e-3, 4e-3])
    early, late = steps // 20, steps * rng.choice([40, 55, 70]) // 100
    at = {k: 1e3 * rate * training.one_cycle(k / steps) for k in (early, late)}
    dropped = 1e3 * rate * training.drops(0.5, 0.9)(late / steps)
    return Problem(
        f"A training has {steps} steps and the rate {1e3 * rate:g} thousandths. The one-cycle schedule warms up in "
        f"the first tenth, from a twenty-fifth of the rate. What is the rate, in thousandths, at step {early} and at "
        f"step {late}? What would it be at step {late} if instead it fell to a tenth at a half and again at nine "
        "tenths of the training?",
        {"steps": steps, "rate": rate, "early": early, "late": late},
        {f"at step {early}": at[early], f"at step {late}": at[late], "by drops": dropped},
        "A line, then half a cosine; `training.one_cycle`, `training.drops`.",
        ((3, "the warm-up"), (4, "the cosine, over what is left after it"), (3, "the drops")),
        tolerance=5e-3,
    )  # fmt: skip


def crop(rng) -> Problem:
    box = [rng.randint(20, 60), rng.randint(20, 60), rng.choice([80, 100]), rng.choice([60, 120])]
    size, point = rng.choice([128, 256]), [rng.randint(60, 120), rng.randint(60, 120)]
    to = crops.frame(tuple(map(float, box)), size)
    there = crops.apply(to, points(point))[0].tolist()
    middle = crops.apply(crops.inverse(to), points([(size - 1) / 2, (size - 1) / 2]))[0].tolist()
    return Problem(
        f"A face has the box $(x, y, w, h) = {said(box)}$ px. It is cut out with the margin 1.25, into {size} by "
        f"{size} px. By which factor is the photograph resized? Where in the crop is the photograph's pixel "
        f"{said(point)}, and which place of the photograph is the crop's middle?",
        {"box": box, "size": size, "point": point},
        {"factor": to[0, 0].item(), "x": there[0], "y": there[1], "middle, x": middle[0], "middle, y": middle[1]},
        "The square has 1.25 times the longer side; `data.crops.frame`, `data.crops.apply`, `data.crops.inverse`.",
        ((3, "the square by the longer side"), (4, "the place, centre to centre"), (3, "the way back")),
    )  # fmt: skip
