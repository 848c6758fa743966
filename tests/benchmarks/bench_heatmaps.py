"""Encoding and decoding 64 faces of 68 maps, 64 x 64, against the plain ways of doing it, on one thread.

python tests/benchmarks/bench_heatmaps.py [--json PATH] [--faces N]

A ratio above 1 says that ours is faster than the peer; for decoders the peer is `torch.argmax` over each map.
"""

import numpy as np
import scipy
import torch
from scipy import ndimage
from side_by_side import beside, options, show

from lddmmlib import heatmaps

SIDE, SIGMA, LANDMARKS = 64, 2.0, 68


def encode_plainly(points):
    """exp of the sum of squares, a whole map of exponentials for each landmark."""
    k = torch.arange(SIDE, dtype=points.dtype)
    x, y = points[..., 0, None, None], points[..., 1, None, None]
    return torch.exp(-((k - x) ** 2 + (k[:, None] - y) ** 2) / (2 * SIGMA**2))


def argmax(maps):
    index = maps.flatten(-2).argmax(-1)
    return torch.stack([index % SIDE, index // SIDE], -1).to(maps.dtype)


def taylor_of_blurred_maps(maps):
    """As DARK's released code: each map blurred as a whole, then read at its largest value (SciPy's blur)."""
    flat = maps.flatten(0, -3).numpy()
    found = []
    for m in flat:
        i, j = np.clip(np.unravel_index(m.argmax(), m.shape), 1, SIDE - 2)
        f = ndimage.gaussian_filter(m, SIGMA, mode="constant", truncate=3)[i - 1 : i + 2, j - 1 : j + 2]
        f = np.log(f)
        g = np.array([f[1, 2] - f[1, 0], f[2, 1] - f[0, 1]]) / 2
        xy = (f[2, 2] - f[2, 0] - f[0, 2] + f[0, 0]) / 4
        A = np.array([[f[1, 2] - 2 * f[1, 1] + f[1, 0], xy], [xy, f[2, 1] - 2 * f[1, 1] + f[0, 1]]])
        found.append([j, i] - np.linalg.solve(A, g))
    return torch.tensor(np.array(found), dtype=maps.dtype).reshape(*maps.shape[:-2], 2)


def cases(points, maps):
    """(what, peer, ours, theirs, how far their results may be apart)."""
    yield (
        "encode",
        "exp of the sum",
        lambda: heatmaps.encode(points, (SIDE, SIDE), SIGMA),
        lambda: encode_plainly(points),
        1e-6,
    )
    for method in heatmaps.METHODS:
        within = 1e-6 if method == "argmax" else None
        yield method, "torch.argmax", lambda m=method: heatmaps.decode(maps, m), lambda: argmax(maps), within

    def blurred():
        return heatmaps.decode(maps, "taylor", blur=SIGMA)

    yield "taylor, blurred", "torch.argmax", blurred, lambda: argmax(maps), None
    yield "taylor, blurred", "whole maps blurred, SciPy", blurred, lambda: taylor_of_blurred_maps(maps), 0.05


def measure(faces, dtype):
    generator = torch.Generator().manual_seed(0)
    points = 10 + 44 * torch.rand(faces, LANDMARKS, 2, generator=generator, dtype=dtype)
    maps = heatmaps.encode(points, (SIDE, SIDE), SIGMA)
    for what, peer, ours, theirs, within in cases(points, maps):
        if within:
            torch.testing.assert_close(ours(), theirs(), rtol=0, atol=within)
        yield {"what": f"{what}, {dtype}".replace("torch.", ""), "peer": peer} | beside(ours, theirs)


def main():
    asked = options(__doc__, faces=64)
    rows = (row for dtype in (torch.float32, torch.float64) for row in measure(asked.faces, dtype))
    about = f"{asked.faces} faces of {LANDMARKS} maps, {SIDE} x {SIDE}"
    show(asked, "heatmaps", about, rows, scipy=scipy)


if __name__ == "__main__":
    main()
