"""The deformation layer of paper A against the released layer's arithmetic, and against the networks that it closes.

python tests/benchmarks/bench_layer.py [--json PATH] [--batch 32] [--images 4]

The layer is the preset "released", forward and backward, for a batch of faces in single precision. Its peers are the
released arithmetic, checked to give our numbers first, and a training step of a network without the layer: forward,
backward and Adam on as many images. Of 256 px, a step of few images (--images) stands for it, counted as often as the
batch has them.
"""

from itertools import chain

import torch
from bench_lddmm import both_ways
from side_by_side import beside, options, show

from lddmmlib.faces import curve_sets, schemes, statistics
from lddmmlib.methods import lddmm_face
from lddmmlib.networks import HRNetV2, StackedHourglass
from lddmmlib.networks.momenta import HourglassMomenta, MomentaHead

SHARES = {"hourglass, 64 px": 0.15, "lean HRNet, 64 px": 0.15, "HRNet-W18, 256 px": 0.10}  # of a step, at the most
SIDES = {name: int(name.split()[-2]) for name in SHARES}
SCHEMES = ("300w-68", "wflw-98", "helen-194")


def network(name):
    """What gives the momenta of 68 landmarks."""
    if name.startswith("hourglass"):
        return HourglassMomenta(StackedHourglass(68, stacks=1, blocks=1, channels=64, depth=3), 68, hidden=256)
    if name.startswith("lean"):
        lean = MomentaHead(68, (8, 16, 32, 64), first=32, hidden=256)
        return HRNetV2(width=8, modules=(1, 1, 1), blocks=2, head=lean)
    return HRNetV2(head=MomentaHead(68, (18, 36, 72, 144)))


def layer_of(scheme):
    """Of the mean face where its landmarks are known, in a frame of 112 px; else of points at random."""
    n, generator = schemes.get(scheme).n, torch.Generator().manual_seed(0)
    mean = 112 * torch.rand(n, 2, generator=generator)
    if scheme == "300w-68":
        mean = 56 + 56 * statistics.real_300w().mean.float()
    return lddmm_face.Deformation(mean, scheme)


def released(layer):
    """Every pair of a face's points, those across curves masked: what the released layer computes."""
    curves = curve_sets.riders(layer.scheme, layer.scheme)
    n = len(layer.mean)
    mask, width = torch.zeros(n, n, 1), torch.empty(n, 1)
    for s, curve in zip(layer.sigma.tolist(), curves, strict=True):
        rows = torch.tensor(curve)
        mask[rows[:, None], rows], width[rows] = 1, s

    def deform(momenta):
        x, alpha = layer.mean.expand(len(momenta), -1, -1), layer.everywhere(momenta)[:, None] * mask
        for _ in range(2):
            K = torch.exp(-((x[:, :, None] * mask - x[:, None] * mask) ** 2).sum(-1) / width**2)
            x = x + 0.5 * (K[..., None] * alpha).sum(-2)
        return x

    return deform


def momenta_of(layer, batch):
    return torch.randn(batch, len(layer.controls), 2, generator=torch.Generator().manual_seed(1))


def against_the_released(batch):
    for scheme in SCHEMES:
        layer = layer_of(scheme)
        theirs, momenta = released(layer), momenta_of(layer, batch)
        (end, (gradient,)), (their_end, (their_gradient,)) = (both_ways(f, momenta) for f in (layer, theirs))
        torch.testing.assert_close(their_end, end, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(their_gradient, gradient, rtol=1e-3, atol=1e-3 * gradient.abs().max().item())
        times = beside(lambda: both_ways(layer, momenta), lambda: both_ways(theirs, momenta), most=40)  # noqa: B023
        yield {"what": f"layer, {batch} faces of {schemes.get(scheme).n}", "peer": "released arithmetic"} | times


def training_step(name, images):
    """A step of the network alone."""
    torch.manual_seed(0)
    net = network(name).train()
    optimiser = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-4)
    batch = torch.rand(images, 3, SIDES[name], SIDES[name])

    def step():
        optimiser.zero_grad()
        net(batch).square().mean().backward()
        optimiser.step()

    return step


def against_the_networks(batch, images):
    layer = layer_of("300w-68")
    momenta, target = momenta_of(layer, batch), layer.mean + momenta_of(layer, batch)

    def loss(m):
        return lddmm_face.loss(layer(m), target, layer.curves, layer.widths / 2)

    for name, share in SHARES.items():
        shown = images if SIDES[name] > 64 else batch
        step = training_step(name, shown)
        for what, ours in (("layer", layer), ("layer and loss", loss)):
            times = beside(lambda f=ours: both_ways(f, momenta), step, most=40)
            times["theirs"] *= batch / shown
            aim = {"aim": round(1 / share, 1)} if what == "layer" else {}
            yield {"what": f"{what}, {batch} faces, of a step", "peer": name} | times | aim


def main():
    asked = options(__doc__, batch=32, images=4)
    rows = chain(against_the_released(asked.batch), against_the_networks(asked.batch, asked.images))
    show(asked, "layer", "two Euler steps, single precision", rows)


if __name__ == "__main__":
    main()
