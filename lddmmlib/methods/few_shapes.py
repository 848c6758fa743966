"""Learning landmarks from few labelled faces without maps: a head that moves the mean shape of the labels.

The trunk is that of `few_labels`; its features, mixed as for maps, are read off a coarse grid (`networks.momenta`) as
one vector v_i for each landmark. They mean

- "coordinates": offsets, x_i = mean_i + v_i, the direct regression that papers A and D compare with;
- "lddmm": momenta of paper A, x = the end of the flow of the mean shape, each curve of the scheme by itself. Landmarks
  of a curve move together, and what no image shows moves with its curve.

Both begin at the mean shape. A network without maps does not tell how sure it is: the radius of a landmark is its mean
error on faces that were held out, the same for every face.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lddmmlib import _checks
from lddmmlib._shapes import Float
from lddmmlib.data.crops import Crop
from lddmmlib.faces.schemes import Scheme
from lddmmlib.methods import lddmm_face
from lddmmlib.methods.heatmap_regression import network_input
from lddmmlib.methods.lddmm_face import Deformation
from lddmmlib.networks import CropLandmarker, HRNetV2
from lddmmlib.networks.heads import conv
from lddmmlib.networks.momenta import GridHead

HIDDEN, CELLS = 64, 6  # of the head: channels of a cell, cells a side
BETA = 0.1 * 112  # β of paper A for a face 1 px a side: it has 0.1 where a crop has 112


class ShapeHead(nn.Module):
    """The features of all branches, mixed as for maps, read off a coarse grid: one vector for each landmark, px.

    Args:
        widths: channels of each branch, the first the largest map.
        landmarks: n.

    >>> head = ShapeHead((4, 8), landmarks=5)
    >>> head([torch.rand(2, 4, 24, 24), torch.rand(2, 8, 12, 12)]).tolist() == torch.zeros(2, 5, 2).tolist()
    True
    """

    def __init__(self, widths: Sequence[int], landmarks: int) -> None:
        super().__init__()
        c = sum(widths)
        self.mix, self.grid = conv(c, c, 1, bias=True), GridHead(landmarks, c, HIDDEN, CELLS)

    def forward(self, branches: Sequence[Tensor]) -> Float[Tensor, "b n 2"]:
        size = branches[0].shape[2:]
        up = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in branches[1:]]
        return self.grid([self.mix(torch.cat([branches[0], *up], 1))])


def network(how: dict, state: dict[str, Tensor] | None = None) -> HRNetV2:
    """The network of vectors, of arguments that a card lists.

    Args:
        how: the arguments of `HRNetV2`; its landmarks are those of the head.
        state: its weights, in any precision; None: random ones.

    >>> network({"landmarks": 5, "width": 8, "modules": [1, 1, 1], "blocks": 1})(torch.rand(1, 3, 96, 96)).shape
    torch.Size([1, 5, 2])
    """
    head = ShapeHead([how["width"] * 2**i for i in range(4)], how["landmarks"])
    net = HRNetV2(**{key: tuple(v) if isinstance(v, list) else v for key, v in how.items()}, head=head)
    if state is not None:
        net.load_state_dict({key: v.float() if v.is_floating_point() else v for key, v in state.items()})
    return net


def start(base: CropLandmarker, n: int, seed: int, scratch: bool = False) -> tuple[HRNetV2, dict]:
    """The network before training, and the arguments that make one like it.

    Args:
        base: the network of `networks.pretrained`, whose trunk is kept, all but the stem to be trained on.
        n: the number of landmarks.
        seed: of the weights that are random.
        scratch: whether all are, and the stem is trained too.

    >>> from lddmmlib import networks
    >>> net, how = start(networks.pretrained(), 3, seed=0)
    >>> how["landmarks"], net(torch.rand(1, 3, 96, 96)).abs().max().item()
    (3, 0.0)
    """
    how = base.card["network"] | {"landmarks": n}
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        net = network(how)
    if not scratch:
        known = {key: value for key, value in base.net.state_dict().items() if not key.startswith("head.last")}
        net.load_state_dict(net.state_dict() | known)
        net.stem.requires_grad_(False)
    return net, how


class Moved(nn.Module):
    """Images (b, 3, h, w) in [0, 1] -> landmarks (b, n, 2) and radii (b, n), px: the mean shape, moved.

    Args:
        net: from images to a vector for each landmark, (b, n, 2).
        mean: (n, 2), the mean shape, px of the crop.
        scheme: of landmarks that flow with their curves; None: the vectors are offsets.
        radius: (n,), px; None: 1.

    Raises:
        ValueError: a scheme without curves that flow (`faces.curve_sets`).

    Paper A, section 3.1.2.

    >>> mean = torch.tensor([[30.0, 40.0], [60.0, 40.0], [45.0, 70.0]])
    >>> moved = Moved(network({"landmarks": 3, "width": 8, "modules": [1, 1, 1], "blocks": 1}), mean)
    >>> moved(torch.rand(1, 3, 96, 96))[0].tolist()
    [[[30.0, 40.0], [60.0, 40.0], [45.0, 70.0]]]
    """

    def __init__(
        self, net: nn.Module, mean: Tensor, scheme: str | Scheme | None = None, radius: Tensor | None = None
    ) -> None:
        super().__init__()
        self.net, mean = net, mean.float()
        self.layer = None if scheme is None else Deformation(mean, scheme)
        self.register_buffer("mean", mean)
        self.register_buffer("radius", torch.ones(len(mean)) if radius is None else radius.float())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        moved, layer = self.net(images), self.layer
        points = self.mean + moved if layer is None else layer(moved[:, layer.controls])
        return points, self.radius.expand(images.shape[0], -1)


def loss(model: Moved, batch: Crop) -> Float[Tensor, ""]:
    """The mean distance of the labelled landmarks, a fraction of the crop's side; of landmarks that flow paper A's
    loss, which adds the distance of the curves.

    Args:
        model: the network.
        batch: the crops; missing landmarks are ignored.

    Paper A, equation 8.

    >>> mean, held = torch.tensor([[2.0, 2.0], [6.0, 2.0]]), torch.tensor([[[2.0, 3.0], [torch.nan, torch.nan]]])
    >>> batch = Crop(torch.zeros(1, 3, 8, 8).byte(), held, *[torch.ones(1, 2).bool()] * 2, torch.eye(2, 3)[None])
    >>> still = nn.Sequential(nn.Flatten(), nn.LazyLinear(4, bias=False), nn.Unflatten(1, (2, 2)))  # black: zeros
    >>> loss(Moved(still, mean), batch).item()  # 1 px of 8
    0.125
    """
    found, side = model(network_input(batch.image))[0], batch.image.shape[-1]
    target, layer = batch.landmarks.to(found), model.layer
    if layer is not None:
        how = {"beta": BETA / side, "normaliser": float(side), "scheme": layer.scheme}
        return lddmm_face.loss(found, target, layer.curves, layer.widths / 2, **how).mean() / len(layer.curves)
    known = ~target.isnan().any(-1)
    return (found - target.where(known[..., None], found.detach())).norm(dim=-1)[known].mean() / side


def radius(errors: Float[Tensor, "k n"]) -> Float[Tensor, " n"]:
    """The mean error of each landmark over faces that were held out, drawn towards that of all by one face.

    Args:
        errors: (k, n), NaN where not labelled.

    >>> radius(torch.tensor([[1.0, 4.0], [1.0, torch.nan]]))
    tensor([1.3333, 3.0000])
    """
    _checks.floats(errors, "errors")
    known = ~errors.isnan()
    return (errors.nan_to_num(nan=0.0).sum(0) + errors.nanmean()) / (known.sum(0) + 1)
