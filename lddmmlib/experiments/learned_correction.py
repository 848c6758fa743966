"""Why a learned correction of whole cells gains nothing: what its features can know of the place within a cell.

Paper C's rival (section 4.1, Table 1) adds Δ to the cell of a map's largest value. Δ is read from features pooled over
the whole map: "we added a global pooling operation followed by a fully connected layer". DeepCut, which the paper
names as its source, has a Δ at every cell instead, and reads it at the peak. Here one network has both, and learns them
together with its maps, so that all are added to the same cells. Then linear regressions of the targets' rounding,
δ = u - round(u), say what is in its features. One seed: reported, not judged.

R² is the share of the variance of δ that is explained, over landmarks, axes and views; the variance is taken about the
mean over training views of each landmark and axis. 0 is as good as knowing nothing, and below 0 is worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from lddmmlib import heatmaps, metrics, training
from lddmmlib.data.augment import Crops
from lddmmlib.data.crops import Crop
from lddmmlib.experiments import Matrix, Run, Size
from lddmmlib.experiments import subpixel as paper_c
from lddmmlib.experiments.labels import with_interval
from lddmmlib.experiments.subpixel import SCHEME, SIGMA, Training, draw_faces
from lddmmlib.methods import subpixel
from lddmmlib.methods.heatmap_regression import l2_of_stacks, network_input, stacks
from lddmmlib.networks import StackedHourglass

SIZES = {
    "smoke": paper_c.SIZES["smoke"],
    "notebook": paper_c.SIZES["notebook"]._replace(faces=1000, held_out=500, epochs=8, network=paper_c.small(32, 3)),
}
STRIDE = StackedHourglass.stride
RIDGE = 1e-2  # of the features' mean variance
UNSEEN = 10**6  # where generators start that no step of a training draws from


class Corrections(nn.Module):
    """An hourglass and three Δ (b, n, 2), in cells: two of pooled features and one of the features at the peak.

    Images -> (maps of every stack, {name: Δ}).

    >>> model = Corrections(StackedHourglass(5, blocks=1, channels=16, depth=2))
    >>> {name: tuple(delta.shape) for name, delta in model(torch.rand(2, 3, 64, 64))[1].items()}
    {'pooled, static': (2, 5, 2), 'pooled, dynamic': (2, 5, 2), 'at the peak, dynamic': (2, 5, 2)}
    """

    def __init__(self, net: StackedHourglass) -> None:
        super().__init__()
        c, n = net.scores[-1].in_channels, net.scores[-1].out_channels
        self.net, self.static, self.dynamic = net, nn.Linear(c, 2 * n), nn.Linear(c, 2 * n)
        self.field = nn.Conv2d(c, 2 * n, 1)

    def forward(self, images: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        found = self.net.features(images)
        features, maps = found[-1]
        pooled = features.mean((2, 3))
        field = self.field(features).flatten(2).unflatten(1, (-1, 2))  # (b, n, 2, h w)
        peak = maps.detach().flatten(2).argmax(-1)[..., None, None].expand(-1, -1, 2, 1)
        return [maps for _, maps in found], {
            "pooled, static": self.static(pooled).unflatten(1, (-1, 2)),
            "pooled, dynamic": self.dynamic(pooled).unflatten(1, (-1, 2)),
            "at the peak, dynamic": field.gather(-1, peak)[..., 0],
        }


def wanted(name: str, maps: Tensor, u: Tensor) -> Tensor:
    """What Δ is to become, for landmarks at u cells: static, what rounding takes away; dynamic, what the argmax lacks.

    >>> wanted("pooled, static", torch.zeros(1, 1, 4, 4), torch.tensor([[[1.25, 2.5]]]))
    tensor([[[ 0.2500, -0.5000]]])
    """
    return u - (heatmaps.decode(maps.detach(), "argmax") if "dynamic" in name else heatmaps.quantise(u))


def loss(model: nn.Module, pair: subpixel.Pair) -> Tensor:
    """`subpixel.correction_loss` of all three: the maps' L2 loss with rounded targets, and |Δ - δ|² of each."""
    batch = subpixel.both(pair)
    maps, deltas = model(network_input(batch.image))
    u = cells(batch)
    value = sum((d - wanted(name, maps[-1], u)).square().sum(-1)[batch.inside].mean() for name, d in deltas.items())
    return value + l2_of_stacks(stacks(maps), batch, SIGMA, "round")


def cells(batch: Crop) -> Tensor:
    """The landmarks' places, in cells."""
    return heatmaps.to_cells(batch.landmarks.float(), STRIDE)


class Seen(NamedTuple):
    """What the network makes of views, and the truth of them; places in cells."""

    maps: Tensor  # (k, n, h, w)
    deltas: dict[str, Tensor]  # each (k, n, 2)
    pooled: Tensor  # features (k, c), their mean over cells
    own: Tensor  # features (k, n, c) of the cell that each landmark is in, or of the nearest one on the map
    truth: Tensor  # (k, n, 2)
    inside: Tensor  # (k, n), whether the landmark is on the crop


@torch.no_grad()
def see(model: Corrections, views: list[Crop]) -> Seen:
    """Run the network on the views, 64 at a time."""
    model.eval()
    parts = []
    for k in range(0, len(views), 64):
        batch = default_collate(views[k : k + 64])
        images, u = network_input(batch.image), cells(batch)
        maps, deltas = model(images)
        features = model.net.features(images)[-1][0]
        parts.append((maps[-1], deltas, features.mean((2, 3)), at(features, heatmaps.quantise(u)), u, batch.inside))
    maps, deltas, *others = zip(*parts, strict=True)
    deltas = {name: torch.cat([each[name] for each in deltas]) for name in deltas[0]}
    return Seen(torch.cat(maps), deltas, *(torch.cat(each) for each in others))


def at(features: Tensor, cells: Tensor) -> Tensor:
    """The feature vectors (k, n, c) of maps (k, c, h, w) at whole cells (k, n, 2), or at the nearest on the map.

    >>> at(torch.arange(6.0).reshape(1, 1, 2, 3), torch.tensor([[[1.0, 1.0], [7.0, 0.0]]]))
    tensor([[[4.],
             [2.]]])
    """
    h, w = features.shape[-2:]
    x, y = cells[..., 0].long().clamp(0, w - 1), cells[..., 1].long().clamp(0, h - 1)
    return features.permute(0, 2, 3, 1)[torch.arange(len(x))[:, None], y, x]


def explained(found: Tensor, wanted: Tensor, mean: Tensor, inside: Tensor) -> float:
    """R², of the landmarks on the crop. found, wanted: (k, n, 2); mean: (n, 2), of the wanted on training views.

    >>> wanted, inside = torch.tensor([[[0.5, 0.0]], [[-0.5, 0.0]]]), torch.ones(2, 1).bool()
    >>> explained(wanted / 2, wanted, torch.zeros(1, 2), inside)
    0.75
    """
    missed, varied = ((wanted - x)[inside].square().sum() for x in (found, mean))
    return 1 - (missed / varied).item()


def regression(x: Tensor, y: Tensor) -> Tensor:
    """Weights (p + 1, q) of the ridge regression of y (k, q) on x (k, p); the last row is the constant."""
    mx, my = x.mean(0), y.mean(0)
    gram = (x - mx).T @ (x - mx)
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=x.dtype)
    w = torch.linalg.solve(gram + ridge, (x - mx).T @ (y - my))
    return torch.cat([w, (my - mx @ w)[None]])


def predicted(w: Tensor, x: Tensor) -> Tensor:
    """What `regression` says of x.

    >>> x = torch.linspace(-1, 1, 9)[:, None]
    >>> (predicted(regression(x, 3 * x + 1), x) - 3 * x - 1).abs().amax() < 0.04
    tensor(True)
    """
    return x @ w[:-1] + w[-1]


def probes(train: Seen, test: Seen) -> dict[str, float]:
    """R² on held-out faces of linear regressions of the rounding δ, learned from the training faces' views."""
    x, y = (s.truth.double() - heatmaps.quantise(s.truth.double()) for s in (train, test))
    whole = predicted(regression(train.pooled.double(), x.flatten(1)), test.pooled.double()).view_as(y)
    own = [predicted(regression(train.own[:, k].double(), x[:, k]), test.own[:, k].double()) for k in range(x.shape[1])]
    found = {"pooled over the map": whole, "at the landmark's own cell": torch.stack(own, 1)}
    return {name: explained(each, y, x.mean(0), test.inside) for name, each in found.items()}


def summarise(train: Seen, test: Seen) -> dict[str, Any]:
    """R² of each Δ, of what it was trained for; and the NME of held-out faces by several readings of the same maps."""
    r2: dict[str, dict[str, float]] = {}
    for name in test.deltas:
        aims = {part: wanted(name, s.maps, s.truth) for part, s in (("training", train), ("held out", test))}
        mean = aims["training"].mean(0)
        r2[name] = {part: explained(s.deltas[name], aims[part], mean, s.inside)
                    for part, s in (("training", train), ("held out", test))}  # fmt: skip
    peak = heatmaps.decode(test.maps, "argmax")
    ways = {way: heatmaps.decode(test.maps, way) for way in ("argmax", "quarter", "local_soft")}
    ways |= {name: peak + delta for name, delta in test.deltas.items()}
    cells = heatmaps.quantise(test.truth)
    ways["the true rounding"] = peak + test.truth - cells  # what a perfect static Δ would be worth
    errors = {way: metrics.nme(x.double(), test.truth.double(), "corners", SCHEME) for way, x in ways.items()}
    right = (peak == cells).all(-1)[test.inside]
    return {"explained": r2, "nme_percent": {way: with_interval(100 * e) for way, e in errors.items()},
            "in_the_right_cell": right.float().mean().item()}  # fmt: skip


def views(faces: list[tuple], side: int, times: int) -> list[Crop]:
    """Views of each face, moved as in training, so that landmarks are anywhere within their cells."""
    data = Crops(faces, SCHEME.name, side, subpixel.RECIPE)
    return [data.draw(i, np.random.default_rng([UNSEEN + k, i])) for k in range(times) for i in range(len(faces))]


def train(network: str, seed: int, scale: str, device: str, folder: Path) -> Run:
    """Train the network, and look at what each Δ knows."""
    size: Training = SIZES[scale]
    faces = {part: draw_faces(n, split, size, folder) for part, n, split in
             (("train", size.faces, "wild"), ("held out", size.held_out, "wild-val"))}  # fmt: skip
    torch.manual_seed(seed)
    model = Corrections(size.network())
    data = subpixel.Views(Crops(faces["train"], SCHEME.name, size.side, subpixel.RECIPE))
    training.fit(model, loss, data, folder=folder / f"network {seed}", epochs=size.epochs, batch=size.batch,
                 lr=size.rate, optimiser=torch.optim.Adam, seed=seed, device=device)  # fmt: skip
    model.cpu()
    known, unseen = (see(model, views(faces[part], size.side, k)) for part, k in (("train", 2), ("held out", 1)))
    return Run(errors={}, figures=summarise(known, unseen) | {"probes": probes(known, unseen)})


def tell(runs: Mapping[str, list[Run]], scale: str) -> dict:
    """What was trained, and what its first seed says: nothing is judged."""
    (some,) = runs.values()
    return {k: getattr(SIZES[scale], k) for k in ("faces", "held_out", "epochs", "batch", "side")} | some[0].figures


EXPERIMENTS = {
    "learned_correction": Matrix(
        train=train,
        tell=tell,
        sizes={scale: Size(("three corrections",), 1) for scale in SIZES},
        question="Why does a learned correction of whole cells lose to the quarter shift?",
        data="drawn faces held out from training, moved as in training",
        claims=("C2",),
        untouched=paper_c.EXPERIMENTS["subpixel"].untouched,
    )
}
