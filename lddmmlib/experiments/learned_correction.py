"""Why a learned correction of whole cells gains nothing: what its features can know of the place within a cell.

Paper C's rival (section 4.1, Table 1) adds Δ to the cell of a map's largest value. Δ is read from features pooled over
the whole map: "we added a global pooling operation followed by a fully connected layer". DeepCut, which the paper
names as its source, has a Δ at every cell instead and reads it at the peak. Both are trained here, with one seed, on a
share of the data of `subpixel.notebook`; then linear regressions on the features of one network say what is in them.

The rounding of a target, δ = u - round(u), is about uniform in a square of one cell. R² is the share of its variance
that is explained, over landmarks, axes and views; the variance is taken about the mean over training views of each
landmark and axis. 0 is as good as knowing nothing, and below 0 is worse.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from lddmmlib import heatmaps, metrics, training
from lddmmlib.data.augment import Crops
from lddmmlib.data.crops import Crop
from lddmmlib.experiments import Experiment, subpixel_run
from lddmmlib.experiments.measuring import with_interval
from lddmmlib.experiments.subpixel_run import SCHEME, SIGMA, Size, kept
from lddmmlib.methods import subpixel
from lddmmlib.methods.subpixel import Corrected, both
from lddmmlib.networks import StackedHourglass

SIZES = {
    "smoke": subpixel_run.SIZES["smoke"],
    "notebook": subpixel_run.SIZES["notebook"]._replace(faces=1000, held_out=500, epochs=8),
}
LOSSES = {"pooled, static": False, "pooled, dynamic": True, "at the peak, dynamic": True}  # name -> dynamic
RIDGE = 1e-2  # of the features' mean variance, so that as many features as views do not explain by chance alone
STRIDE = StackedHourglass.stride
UNSEEN = 10**6  # where generators start that no step of a training draws from


class AtThePeak(nn.Module):
    """An hourglass that says at every cell what a peak there would lack: Δ = W · features of that cell + b, as DeepCut.

    Images -> (maps of every stack, Δ (b, n, 2) read at the largest values), like `Corrected`.

    >>> model = AtThePeak(StackedHourglass(5, blocks=1, channels=16, depth=2))
    >>> model(torch.rand(2, 3, 64, 64))[1].shape
    torch.Size([2, 5, 2])
    """

    def __init__(self, net: StackedHourglass) -> None:
        super().__init__()
        self.net = net
        self.linear = nn.Conv2d(net.scores[-1].in_channels, 2 * net.scores[-1].out_channels, 1)

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        found = self.net.features(images)
        features, maps = found[-1]
        field = self.linear(features).flatten(2).unflatten(1, (-1, 2))  # (b, n, 2, h w)
        peak = maps.detach().flatten(2).argmax(-1)
        return [maps for _, maps in found], field.gather(-1, peak[..., None, None].expand(-1, -1, 2, 1))[..., 0]


class Seen(NamedTuple):
    """What a network makes of views, and the truth of them; places in cells."""

    maps: Tensor  # (k, n, h, w)
    delta: Tensor  # (k, n, 2)
    pooled: Tensor  # (k, c)
    features: Tensor  # (k, c, h, w)
    truth: Tensor  # (k, n, 2)
    inside: Tensor  # (k, n)


@torch.no_grad()
def see(model: nn.Module, views: list[Crop]) -> Seen:
    """Run the network on the views, 64 at a time."""
    model.eval()
    parts = []
    for k in range(0, len(views), 64):
        batch = default_collate(views[k : k + 64])
        images = batch.image.float() / 255
        features, maps = model.net.features(images)[-1]
        truth = (batch.landmarks.float() - (STRIDE - 1) / 2) / STRIDE
        parts.append((maps, model(images)[1], features.mean((2, 3)), features, truth, batch.inside))
    return Seen(*(torch.cat(each) for each in zip(*parts, strict=True)))


def cell(x: Tensor) -> Tensor:
    """The whole cell that the rounding encoder takes a place to."""
    return torch.floor(x + 0.5)


def explained(found: Tensor, wanted: Tensor, mean: Tensor, inside: Tensor) -> float:
    """R², over what lies on the crop. found, wanted: (k, n, 2); mean: (n, 2), of the wanted on training views.

    >>> wanted, inside = torch.tensor([[[0.5, 0.0]], [[-0.5, 0.0]]]), torch.ones(2, 1).bool()
    >>> explained(wanted / 2, wanted, torch.zeros(1, 2), inside)
    0.75
    """
    missed, varied = ((wanted - x)[inside].square().sum() for x in (found, mean))
    return 1 - (missed / varied).item()


def regression(x: Tensor, y: Tensor) -> Tensor:
    """Weights (p + 1, q) of the ridge regression of y (k, q) on x (k, p); the last row is the constant.

    >>> regression(torch.tensor([[0.0], [1.0], [2.0]]).double(), torch.tensor([[1.0], [3.0], [5.0]]).double()).shape
    torch.Size([2, 1])
    """
    mx, my = x.mean(0), y.mean(0)
    gram = (x - mx).T @ (x - mx)
    w = torch.linalg.solve(gram + RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=x.dtype),
                           (x - mx).T @ (y - my))  # fmt: skip
    return torch.cat([w, (my - mx @ w)[None]])


def predicted(w: Tensor, x: Tensor) -> Tensor:
    """What `regression` says of x."""
    return x @ w[:-1] + w[-1]


def at(features: Tensor, cells: Tensor) -> Tensor:
    """The feature vectors (k, n, c) at whole cells (k, n, 2); those beyond the map are its border's."""
    h, w = features.shape[-2:]
    x, y = cells[..., 0].long().clamp(0, w - 1), cells[..., 1].long().clamp(0, h - 1)
    return features.permute(0, 2, 3, 1)[torch.arange(len(x))[:, None], y, x]


def probes(train: Seen, test: Seen) -> dict[str, dict[str, float]]:
    """R² of linear regressions of the rounding δ on features of a network: pooled, and of the landmark's own cell."""
    delta = {part: (s.truth - cell(s.truth)).double() for part, s in (("training", train), ("held out", test))}
    mean = delta["training"].mean(0)
    whole, own = {}, {part: [] for part in delta}
    w = regression(train.pooled.double(), delta["training"].flatten(1))
    local = {part: at(s.features, cell(s.truth)).double() for part, s in (("training", train), ("held out", test))}
    for part, s in (("training", train), ("held out", test)):
        whole[part] = explained(predicted(w, s.pooled.double()).view_as(delta[part]), delta[part], mean, s.inside)
    for n in range(mean.shape[0]):
        weights = regression(local["training"][:, n], delta["training"][:, n])
        for part in delta:
            own[part].append(predicted(weights, local[part][:, n]))
    return {"pooled over the map": whole,
            "at the landmark's own cell": {part: explained(torch.stack(own[part], 1), delta[part], mean, s.inside)
                                           for part, s in (("training", train), ("held out", test))}}  # fmt: skip


def nme(points: Tensor, seen: Seen) -> Tensor:
    """Per cent of the corner distance (k,), of places in cells."""
    return 100 * metrics.nme(points.double(), seen.truth.double(), "corners", SCHEME)


def told(train: Seen, test: Seen, dynamic: bool) -> dict[str, Any]:
    """A network's R² of the δ that it was trained for, and the NME of its maps by several readings."""
    figures: dict[str, Any] = {"explained": {}, "nme_percent": {}}
    start = {k: heatmaps.decode(s.maps, "argmax") if dynamic else cell(s.truth) for k, s in ((0, train), (1, test))}
    mean = (train.truth - start[0]).mean(0)
    for k, (part, s) in enumerate((("training", train), ("held out", test))):
        figures["explained"][part] = explained(s.delta, s.truth - start[k], mean, s.inside)
    peak = heatmaps.decode(test.maps, "argmax")
    ways = {"argmax": peak, "quarter": heatmaps.decode(test.maps, "quarter"), "corrected": peak + test.delta,
            "argmax and the true rounding": peak + test.truth - cell(test.truth),
            "local soft-argmax": heatmaps.decode(test.maps)}  # fmt: skip
    figures["nme_percent"] = {way: with_interval(nme(points, test)) for way, points in ways.items()}
    figures["in_the_right_cell"] = (peak == cell(test.truth)).all(-1)[test.inside].float().mean().item()
    return figures


def views(faces: list[tuple], side: int, times: int) -> list[Crop]:
    """Views of each face, moved as in training, so that landmarks are anywhere within their cells."""
    data = Crops(faces, SCHEME.name, side, subpixel.RECIPE)
    return [data.draw(i, np.random.default_rng([UNSEEN + k, i])) for k in range(times) for i in range(len(faces))]


def learned_correction(scale: str, device: str, seeds: int, folder: Path) -> dict:
    """Train the three networks with one seed; look at what each Δ knows. (``seeds`` is not used: nothing is judged.)"""
    size: Size = SIZES[scale]
    faces = {part: kept(n, split, size, folder) for part, n, split in
             (("train", size.faces, "wild"), ("held out", size.held_out, "wild-val"))}  # fmt: skip
    data = subpixel.Views(Crops(faces["train"], SCHEME.name, size.side, subpixel.RECIPE))
    shown = {part: views(some, size.side, times) for (part, some), times in zip(faces.items(), (2, 1), strict=True)}
    figures: dict[str, Any] = {"networks": {}}
    for name, dynamic in LOSSES.items():
        torch.manual_seed(0)
        model = (AtThePeak if name.startswith("at") else Corrected)(size.network())
        loss = partial(_loss, dynamic=dynamic)
        training.fit(model, loss, data, folder=folder / name, epochs=size.epochs, batch=size.batch, lr=size.rate,
                     optimiser=torch.optim.Adam, device=device)  # fmt: skip
        model.cpu()
        train, test = see(model, shown["train"]), see(model, shown["held out"])
        figures["networks"][name] = told(train, test, dynamic)
        if name == "pooled, static":
            figures["probes"] = probes(train, test)
    return {**{k: getattr(size, k) for k in ("faces", "held_out", "epochs", "batch", "side")}, **figures}


def _loss(model: nn.Module, pair: subpixel.Pair, dynamic: bool) -> Tensor:
    return subpixel.correction_loss(model, both(pair), SIGMA, dynamic)


EXPERIMENTS = {
    "learned_correction": Experiment(
        learned_correction,
        "Why does a learned correction of whole cells lose to the quarter shift: can pooled features know the place?",
        "drawn faces held out from training, moved as in training",
        (*subpixel_run._READS, "lddmmlib.experiments.subpixel_run"),
        ("C2",),
        ("notebook",),
    ),
}
