"""Problems of the chapters on faces, schemes and errors."""

import math

import torch

from lddmmlib import metrics
from lddmmlib.faces import geometry, schemes, statistics
from problems.kinds import Problem, points, said

PYTHAGOREAN = ((3, 4), (4, 3), (6, 8), (8, 6), (5, 12), (12, 5), (0, 5), (10, 0))


def similarity(rng) -> Problem:
    p, q, r = ([rng.randint(-20, 20), rng.randint(30 * k, 30 * k + 20)] for k in range(3))
    a, b = rng.choice([(0, 2), (1.2, 1.6), (-0.6, 0.8), (0.8, 0.6), (-1.2, 1.6), (2, 0)])
    shift = [rng.randint(-50, 50), rng.randint(-50, 50)]
    to = [[a * x - b * y + shift[0], b * x + a * y + shift[1]] for x, y in (p, q)]
    move = statistics.similarity(points(p, q), points(*to))
    cos, sin = move.linear[:, 0].tolist()
    x, y = move.apply(points(r))[0].tolist()
    return Problem(
        f"A similarity takes the point {said(p)} to {said(to[0])} and {said(q)} to {said(to[1])}. By which factor "
        "does it scale? By how many degrees does it turn, counted from the $x$ axis towards the $y$ axis? Where "
        f"does it take {said(r)}?",
        {"p": p, "q": q, "r": r, "to": to},
        {"factor": math.hypot(cos, sin), "degrees": math.degrees(math.atan2(sin, cos)), "x": x, "y": y},
        "As complex numbers, the quotient of the two differences is scale and turn in one; "
        "`faces.statistics.similarity`.",
        ((4, "scale and turn from one quotient of differences, or from a system of equations"),
         (2, "the turn has the right sign for a $y$ that points down"), (4, "the third point")),
    )  # fmt: skip


def mirror(rng) -> Problem:
    width, k = rng.choice([128, 200, 256, 320]), rng.choice([i for i in range(68) if i not in range(27, 31)])
    x, y = rng.randint(10, width - 10), rng.randint(10, 120)
    flip = schemes.get("300w-68").flip
    return Problem(
        f"In an image {width} pixels wide, landmark {k} of the 68-point scheme is at {said((x, y))}. Pixel centres "
        "are at whole numbers and count from zero. The image is mirrored. Where is that point of the face now, and "
        "which number has the landmark there?",
        {"width": width, "k": k, "x": x},
        {"x": float(width - 1 - x), "number": float(flip[k])},
        "The last pixel is at the width less one; the number is in `faces.schemes.get(\"300w-68\").flip`.",
        ((4, "the place, with the one pixel that is easily forgotten"), (4, "the partner's number"),
         (2, "says that names go with sides of the image")),
        tolerance=0.0,
    )  # fmt: skip


def camera(rng) -> Problem:
    yaw, scale = rng.choice([15, 20, 30, 40, 45, 60, -25, -35, -50]), rng.choice([60, 80, 100])
    centre = [rng.randint(80, 120), rng.randint(80, 120)]
    point = [rng.choice([-0.5, 0.5]), 0.0, rng.choice([0.2, -0.3])]
    face = geometry.Face3D(yaw=math.radians(yaw), scale=float(scale), centre=torch.tensor(centre).double().numpy())
    x, _, z = geometry.to_camera(face, points(point))[0].tolist()
    return Problem(
        f"A head is turned by a yaw of {yaw} degrees and by nothing else, drawn with {scale} px per eye-corner "
        f"distance, the middle between its eye corners at {said(centre)}. Where in the image, $x$, is the point "
        f"{said(point)} of the head, in eye-corner distances, and at which depth $z$, in px?",
        {"yaw": yaw, "scale": scale, "centre": centre, "point": point},
        {"x": x, "z": z},
        "The chapter's equation of the camera with one angle; `faces.geometry.to_camera`.",
        ((4, "the rotation about the upright axis"), (2, "its sign: which side comes nearer"), (2, "scale and centre"),
         (2, "the depth")),
    )  # fmt: skip


def conversion(rng) -> Problem:
    some = ("cofw-29", "300w-68", "wflw-98", "aflw-19", "helen-194")
    source, target = rng.sample(some, 2)
    rows = schemes.conversion(source, target)
    lost = rows.isnan().any(1)
    copied = (rows == 1).sum(1) == 1
    return Problem(
        f"Of the landmarks of `{target}`, how many can be copied from `{source}`, how many are interpolated between "
        "two or more of its landmarks, and how many cannot be found, since nothing there marks their curve? Use "
        "`faces.schemes.conversion`, and name one landmark of each kind that occurs.",
        {"source": source, "target": target},
        {"copied": copied.sum().item(), "interpolated": (~lost & ~copied).sum().item(), "lost": lost.sum().item()},
        "A row with a single one is a copy, a row of NaN a loss; `faces.schemes.conversion`.",
        ((6, "the three numbers"), (2, "they add up to the size of the scheme that is asked for"),
         (2, "an example of each kind")),
        tolerance=0.0,
    )  # fmt: skip


def mean_error(rng) -> Problem:
    truth = [[0, 0], [rng.randint(6, 9) * 10, 0], [0, rng.randint(5, 8) * 10], [rng.randint(3, 5) * 10, 40]]
    off = [list(rng.choice(PYTHAGOREAN)) for _ in truth]
    threshold = rng.choice([8, 10, 12])
    pred = points(*truth) + points(*off)
    by = {name: metrics.errors(pred, points(*truth), name) for name in ("box", "face")}
    table = "".join(f"\n| {said(t)} | {said((t[0] + o[0], t[1] + o[1]))} |" for t, o in zip(truth, off, strict=True))
    return Problem(
        f"Four true landmarks and their predictions, px:\n\n| true | predicted |\n|---|---|{table}\n\nGive the "
        "normalised mean error in per cent, once by $\\sqrt{wh}$ and once by $(w + h)/2$ of the box of the true "
        f"landmarks. By the first, which percentage of the landmarks is off by more than {threshold} %?",
        {"truth": truth, "off": off, "threshold": threshold},
        {"NME by box, %": 100 * by["box"].mean().item(), "NME by face, %": 100 * by["face"].mean().item(),
         "lost, %": 100 * (by["box"] > threshold / 100).double().mean().item()},
        "Mean distance over the length; `metrics.errors` with \"box\" and \"face\".",
        ((4, "the four distances"), (3, "both lengths, from the true landmarks"), (3, "errors counted one by one")),
    )  # fmt: skip


def failures(rng) -> Problem:
    errors, threshold = sorted(rng.sample(range(1, 20), 6)), rng.choice([8.5, 10.5, 12.5])
    rng.shuffle(errors)
    e = points(errors)[0] / 100
    return Problem(
        f"Six images have the errors {', '.join(f'{v} %' for v in errors)}. With the threshold {threshold:g} %: what "
        "are the failure rate and the area under the cumulative curve up to the threshold, both in per cent? Which "
        "of the two changes if the largest error doubles?",
        {"errors": errors, "threshold": threshold},
        {"failure rate, %": 100 * metrics.failure_rate(e, threshold / 100).item(),
         "AUC, %": 100 * metrics.auc(e, threshold / 100).item()},
        "The area is a finite sum, the mean of max(0, 1 - e/t); `metrics.failure_rate`, `metrics.auc`. Neither "
        "changes: that image has failed already.",
        ((3, "the failure rate"), (4, "the area, without a grid"), (3, "neither changes, with the reason")),
    )  # fmt: skip
