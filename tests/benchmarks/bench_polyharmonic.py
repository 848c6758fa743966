"""One photograph-sized warp by 68 controls, forward and backward, against kornia's thin-plate spline, on one thread.

python tests/benchmarks/bench_polyharmonic.py [--json PATH] [--side N]

A ratio above 1 says that ours is faster than the peer. The plain way, from the formula, is always a peer; kornia is one
where it is installed. Each is checked to give our picture and our gradients before it is timed.
"""

import importlib.util

import torch
from side_by_side import beside, options, show

from lddmmlib import polyharmonic

CONTROLS, CHANNELS, STEPS = 68, 3, (1, 4)
AIMS = {1: 1.4, 4: 6.0}  # forward and backward, against kornia


def scene(side, dtype):
    """A smooth image, and controls that move by some 2 % of its side."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.rand(*shape, dtype=dtype, generator=generator)

    image = torch.nn.functional.interpolate(random(1, CHANNELS, 12, 12), (side, side), mode="bicubic")
    target = side * (0.2 + 0.6 * random(1, CONTROLS, 2))
    middle = target.mean(-2, keepdim=True)
    source = target + 0.1 * (target - middle).flip(-1) + 0.02 * side * torch.sin(7 * target / side)
    return image, source, target


def normalised(points, side):
    """Pixels to the frame of grid_sample, align_corners=False."""
    return (2 * points + 1) / side - 1


def kernel(a, b):
    r2 = (a[:, :, None] - b[:, None]).square().sum(-1)
    return r2 * r2.clamp(min=torch.finfo(r2.dtype).tiny).log() / 2


def weights(source, target):
    """Equation 1 solved in double precision: the kernel's weights, and the affine ones (1, 3, 2)."""
    P = torch.cat([torch.ones_like(target[..., :1]), target], -1)
    top = torch.cat([kernel(target, target), P], -1)
    A = torch.cat([top, torch.cat([P.mT, P.new_zeros(1, 3, 3)], -1)], -2)
    return torch.linalg.solve(A, torch.cat([source, source.new_zeros(1, 3, 2)], -2)).split([CONTROLS, 3], -2)


def by_formula(image, source, target):
    """Equations 1 and 2 as they stand: the whole kernel matrix, kept for the gradient."""
    side, dtype = image.shape[-1], image.dtype
    source, target = (normalised(x, side).double() for x in (source, target))
    omega, affine = (x.to(dtype) for x in weights(source, target))
    k = normalised(torch.arange(side, dtype=dtype), side)
    pixels = torch.cartesian_prod(k, k).flip(-1)[None]
    grid = kernel(pixels, target.to(dtype)) @ omega + affine[:, :1] + pixels @ affine[:, 1:]
    return sample(image, grid.reshape(1, side, side, 2))


def sample(image, grid):
    return torch.nn.functional.grid_sample(image, grid, padding_mode="border", align_corners=False)


def by_kornia(image, source, target):
    """kornia's warp under right weights: its own (0.9) come from source-target distances, which is another map."""
    from kornia.geometry.transform import warp_image_tps

    source, target = (normalised(x, image.shape[-1]).double() for x in (source, target))
    omega, affine = (x.to(image.dtype) for x in weights(source, target))
    return warp_image_tps(image, target.to(image.dtype), omega, affine, align_corners=False, padding_mode="border")


PEERS = {"PyTorch, by the formula": by_formula} | (
    {"kornia, right weights": by_kornia} if importlib.util.find_spec("kornia") else {}
)


def passes(warp, scene):
    """A picture, and the gradients of its weighted sum in the image and both sets of points."""
    image, source, target = (x.detach().clone().requires_grad_() for x in scene)
    out = warp(image, source, target)
    k = torch.arange(out.numel(), dtype=out.dtype).reshape(out.shape)
    (out * torch.sin(k / 1000)).sum().backward()
    return out.detach(), image.grad, source.grad, target.grad


def forward(warp, scene):
    with torch.no_grad():
        return (warp(*scene),)


def difference(a, b):
    """The largest relative difference of a picture and its gradients, by norms."""
    return max(((x - y).norm() / y.norm()).item() for x, y in zip(a, b, strict=True))


def measure(side, dtype):
    """A row per peer, pass and step: both times, and how far the coarse map is from the exact one at the most."""
    data = scene(side, dtype)
    spline = polyharmonic.fit(data[2], data[1] - data[2])
    exact = passes(polyharmonic.warp, data)
    for peer, theirs in PEERS.items():
        off = difference(passes(theirs, data), exact)
        assert off < (2e-2 if dtype == torch.float32 else 1e-6), (peer, off)
        for name, run in (("forward", forward), ("forward + backward", passes)):
            for step in STEPS:

                def ours(*x, step=step):
                    return polyharmonic.warp(*x, step=step)

                times = beside(lambda: run(ours, data), lambda: run(theirs, data), most=15)  # noqa: B023
                bound = polyharmonic.coarse_bound(spline, (side, side), step).item()
                what = f"{name}, {dtype}, " + (f"step {step}" if step > 1 else "exact")
                aim = {"aim": AIMS[step]} if "kornia" in peer and run is passes else {}
                yield {"what": what.replace("torch.", ""), "peer": peer, "bound_px": bound} | times | aim


def main():
    asked = options(__doc__, side=256)
    packages = {}
    if len(PEERS) > 1:
        import kornia

        packages["kornia"] = kornia
    else:
        print("kornia is not installed: pip install kornia, and it is measured too")
    rows = (row for dtype in (torch.float32, torch.float64) for row in measure(asked.side, dtype))
    about = f"{asked.side} x {asked.side} px, {CHANNELS} channels, {CONTROLS} controls"
    show(asked, "polyharmonic", about, rows, **packages)


if __name__ == "__main__":
    main()
