"""Learning landmarks from few labelled faces: the network that comes with the package, trained on.

The network of `networks.pretrained` has seen drawn faces alone, and knows 68 landmarks. Few photographs suffice to
teach it others:

- **Square.** A user's boxes mean anything: of the face, of a detector, whole pictures. `square` measures where the crop
  that the network knows lies relative to them, three numbers for all pictures.
- **Start.** The head's map of an own landmark starts as that of the 68 whose predictions lie nearest to the labels.
- **Training** of all but the stem, whose edges and corners are the same everywhere and which takes most of the time, by
  the cross-entropy of the maps.
- **Decoding** by paper C's mean in a window around the largest value; the width of the whole map tells how sure it is.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

from lddmmlib._shapes import Float
from lddmmlib.data import crops
from lddmmlib.data.augment import Crops, Photo
from lddmmlib.data.crops import Box, Crop
from lddmmlib.data.given import Face
from lddmmlib.faces import statistics
from lddmmlib.methods.heatmap_regression import cross_entropy_loss, network_input
from lddmmlib.networks import CropLandmarker, HRNetV2

BATCH, RATE, SIGMA = 16, 1e-3, 1.5  # faces a step; the learning rate; width of the targets, cells
WINDOW = 9  # cells, of the decoder
AT_ONCE = 3  # times the side of a crop: a larger picture is cut once to what augmented crops show of it


def placed(box: Box, square: Sequence[float]) -> Box:
    """The square that the network sees of a box: of k times its longer side, its middle moved by (dx, dy) of that.

    Args:
        box: (x, y, w, h), px.
        square: k, dx, dy, as `square` measures them.

    >>> placed((0.0, 0.0, 10.0, 8.0), (1.5, 0.0, 0.1))
    (-2.5, -2.5, 15.0, 15.0)
    """
    (x, y, w, h), (k, dx, dy), longer = box, square, max(box[2:])
    side = k * longer
    return x + w / 2 + dx * longer - side / 2, y + h / 2 + dy * longer - side / 2, side, side


def square(faces: Sequence[Face], base: CropLandmarker) -> tuple[float, float, float]:
    """The numbers k, dx, dy of `placed` for which the network sees faces as it knows them: medians over the faces.

    They begin with squares around the labels; then, three times, the 68 landmarks that the network finds in the
    present squares tell where its own would be.

    Args:
        faces: the labelled faces.
        base: the network of `networks.pretrained`.

    >>> from lddmmlib import networks
    >>> from lddmmlib.faces import synthetic
    >>> image, points, *_ = synthetic.sample(0, "studio", size=96)
    >>> face = Face(name="", image=image, box=crops.box(points), landmarks=points[36:48])
    >>> k, dx, dy = square([face], networks.pretrained())
    >>> abs(k - crops.MARGIN) < 0.3, abs(dx) < 0.1, abs(dy) < 0.1
    (True, True, True)
    """
    mean, middle = mean68(base.size), torch.full((1, 2), (base.size - 1) / 2).double()
    around = [crops.box(face.landmarks) for face in faces]
    squares = [(x + w / 2, y + h / 2, 1.6 * max(w, h)) for x, y, w, h in around]
    for _ in range(4):
        rows = []
        for (u, v, side), face in zip(squares, faces, strict=True):
            x, y, w, h = face.box
            rows.append([side / max(w, h), (u - x - w / 2) / max(w, h), (v - y - h / 2) / max(w, h)])
        now = torch.tensor(rows).double().median(0).values.tolist()
        now[0] = max(now[0], 0.1)  # of faces with one label
        affine = torch.stack([crops.frame(placed(face.box, now), base.size, 1.0) for face in faces])
        cut = torch.stack([crops.cut(face.image, a, base.size) for face, a in zip(faces, affine, strict=True)])
        move = statistics.similarity(mean.expand(len(faces), -1, -1), points68(base, cut))
        centres = crops.apply(crops.inverse(affine), move.apply(middle.expand(len(faces), -1, -1)))[:, 0]
        sides = base.size * move.linear.det().sqrt() / affine[:, 0, 0]
        squares = torch.cat([centres, sides[:, None]], 1).tolist()
    return tuple(now)


def photo(face: Face, square: Box, size: int) -> Photo:
    """The photograph of a face, of no more pixels than augmented crops show; its box is the square.

    Args:
        face: the labelled face.
        square: the square that the network sees, px.
        size: the side of a crop, px.

    >>> face = Face(name="", image=torch.zeros(3, 900, 900).byte(), box=None, landmarks=torch.zeros(1, 2).double())
    >>> photo(face, (0.0, 0.0, 500.0, 500.0), 64).image.shape
    torch.Size([3, 192, 192])
    """
    image, points = face.image, face.landmarks
    if max(image.shape[1:]) > AT_ONCE * size:
        n = 2 * math.ceil(min(square[2], AT_ONCE / 2 * size))  # of twice the square's side
        affine = crops.frame(square, n, 2.0)
        image, points = crops.cut(image, affine, n), crops.apply(affine, points)
        square = ((n - 1) / 2 - n / 4, (n - 1) / 2 - n / 4, n / 2, n / 2)
    return Photo(image=image, landmarks=points, visible=~points.isnan().any(-1), box=square)


def start(
    base: CropLandmarker, nearest: Sequence[int] | Tensor, seed: int, scratch: bool = False
) -> tuple[HRNetV2, dict]:
    """The network before training, and the arguments that make one like it.

    Args:
        base: the network of `networks.pretrained`.
        nearest: for each own landmark one of the 68, from whose map it starts.
        seed: of the weights, if they are random.
        scratch: whether to begin from random weights, to compare, and to train the stem too.

    >>> from lddmmlib import networks
    >>> net, how = start(networks.pretrained(), [36, 45, 8], seed=0)
    >>> how["landmarks"], net.head.last.weight.shape[0]
    (3, 3)
    """
    how = base.card["network"] | {"landmarks": len(nearest)}
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        net = network(how)
    if not scratch:
        state, rows = base.net.state_dict(), torch.as_tensor(nearest)
        net.load_state_dict(state | {key: state[key][rows] for key in ("head.last.weight", "head.last.bias")})
        net.stem.requires_grad_(False)
    return net, how


def network(how: dict, state: dict[str, Tensor] | None = None) -> HRNetV2:
    """A network of arguments that a card lists.

    Args:
        how: the arguments of `HRNetV2`.
        state: its weights, in any precision; None: random ones.

    >>> network({"landmarks": 5, "width": 8, "modules": [1, 1, 1], "blocks": 1}).stride
    4
    """
    net = HRNetV2(**{key: tuple(v) if isinstance(v, list) else v for key, v in how.items()})
    if state is not None:
        net.load_state_dict({key: v.float() if v.is_floating_point() else v for key, v in state.items()})
    return net


def loss(model: nn.Module, batch: Crop) -> Float[Tensor, ""]:
    """The cross-entropy of the maps of a batch of crops; missing landmarks are ignored.

    Args:
        model: from images to maps.
        batch: the crops.

    >>> batch = Crop(torch.zeros(1, 3, 8, 8).byte(), torch.tensor([[[3.5, 3.5]] * 3]), *[torch.ones(1, 3).bool()] * 2,
    ...              torch.eye(2, 3)[None])
    >>> round(loss(nn.Identity(), batch).item(), 4)  # log 64
    4.1589
    """
    return cross_entropy_loss(model, batch, SIGMA)


class Often(Dataset):
    """The same crops again and again, so that an epoch is a whole training.

    Args:
        data: the crops.
        times: the number of samples of an epoch.

    >>> from lddmmlib.faces import synthetic
    >>> len(Often(Crops(synthetic.Faces(2, size=32), "300w-68", size=32), times=160))
    160
    """

    def __init__(self, data: Crops, times: int) -> None:
        self.data, self.times = data, times

    def __len__(self) -> int:
        return self.times

    def __getitem__(self, i: int) -> Crop:
        return self.data[i % len(self.data)]

    def draw(self, i: int, rng: np.random.Generator) -> Crop:
        """A random augmentation of a crop.

        Args:
            i: the sample.
            rng: the source of randomness.
        """
        return self.data.draw(i % len(self.data), rng)


def seconds_a_step(net: nn.Module, data: Crops, device: str, loss: Callable[[nn.Module, Crop], Tensor] = loss) -> float:
    """The time of a step of training, s: the faster one of two, after one to warm up, on a copy.

    Args:
        net: the network.
        data: the crops to learn from.
        device: the device to train on.
        loss: (network, batch of crops) -> a number.

    >>> from lddmmlib.faces import synthetic
    >>> net = network({"landmarks": 68, "width": 4, "modules": [1, 1, 1], "blocks": 1})
    >>> seconds_a_step(net, Crops(synthetic.Faces(2, size=32), "300w-68", size=32), "cpu") > 0
    True
    """
    net, seconds = copy.deepcopy(net).to(device), []
    for step in range(3):
        began = time.perf_counter()
        drawn = [data.draw(i % len(data), np.random.default_rng([step, i])) for i in range(BATCH)]
        loss(net, Crop(*(x.to(device) for x in default_collate(drawn)))).backward()
        torch.optim.AdamW(net.parameters(), 1e-9).step()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def decoded(maps: Float[Tensor, "b n h w"], stride: float) -> tuple[Tensor, Tensor]:
    """Landmarks and spreads of maps of scores s: paper C's mean in a window around the largest value, of softmax(s),
    and the root mean square distance from it under the softmax of the whole map.

    It is `heatmaps.decode(maps, "local_soft", 9, 1.0, stride)` without its doors, which no exporter passes.

    Args:
        maps: (b, n, h, w).
        stride: px a cell.

    Returns:
        (b, n, 2) and (b, n), px.

    >>> points, spread = decoded(torch.tensor([[[[0.0, 9.0, 0.0], [0.0, 0.0, 0.0]]]]), 4.0)
    >>> points.round().tolist(), bool(spread < 1)
    ([[[6.0, 2.0]]], True)
    """
    h, w = maps.shape[2:]
    scores = maps.flatten(2)
    peak = scores.argmax(-1, keepdim=True)
    x, y = torch.arange(w, device=maps.device).repeat(h), torch.arange(h, device=maps.device).repeat_interleave(w)
    far = ((x - peak % w).abs() > WINDOW // 2) | ((y - peak // w).abs() > WINDOW // 2)
    near = scores.masked_fill(far, -torch.inf).softmax(-1)
    u, v = (near * x).sum(-1, keepdim=True), (near * y).sum(-1, keepdim=True)
    spread = (scores.softmax(-1) * ((x - u).square() + (y - v).square())).sum(-1).sqrt()
    return stride * torch.cat([u, v], -1) + (stride - 1) / 2, stride * spread


class Decoded(nn.Module):
    """A network with its decoder: images (b, 3, h, w) in [0, 1] -> landmarks (b, n, 2) and spreads (b, n), px.

    Args:
        net: from images to maps.
        factor: the factor of the spread.

    >>> [x.shape for x in Decoded(nn.Identity(), 1.0)(torch.rand(2, 3, 8, 8))]
    [torch.Size([2, 3, 2]), torch.Size([2, 3])]
    """

    def __init__(self, net: nn.Module, factor: float) -> None:
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.net(images)
        points, spread = decoded(maps, images.shape[-1] / maps.shape[-1])
        return points, self.factor * spread


def mean68(size: int) -> Tensor:
    """The mean face of 68 landmarks in its own canonical crop of `size` px, (68, 2).

    >>> mean68(96).amin().round()
    tensor(9., dtype=torch.float64)
    """
    mean = statistics.real_300w().mean
    return crops.apply(crops.frame(crops.box(mean), size), mean)


@torch.no_grad()
def points68(base: CropLandmarker, cut: Tensor) -> Tensor:
    """The 68 landmarks that the network which comes with the package finds in crops, px.

    Args:
        base: the network of `networks.pretrained`.
        cut: the crops, (k, 3, size, size) uint8.

    Returns:
        (k, 68, 2), float64.

    >>> from lddmmlib import networks
    >>> points68(networks.pretrained(), torch.zeros(2, 3, 96, 96).byte()).shape
    torch.Size([2, 68, 2])
    """
    return torch.cat([base(network_input(x)) for x in cut.split(BATCH)]).double()
