"""Learning landmarks from few labelled faces by moving the mean shape of the labels.

The network is that of `few_labels`, and its 68 maps are read as numbers, their means under the softmax. From these one
linear layer makes a vector v_i for each own landmark; to begin with, how the nearest of the 68 has moved. They mean

- "coordinates": offsets, x_i = mean_i + v_i, the direct regression that papers A and D compare with;
- "lddmm": x = the end of paper A's flow of the mean shape, each curve of the scheme by itself, under the momenta
  α = (K_V + λ)⁻¹ v, which move the mean shape by v to first order. Landmarks of a curve move together.

Own landmarks have no maps here, so that nothing tells how sure the network is of one: the radius of a landmark is its
mean error on faces that were held out, the same for every face.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lddmmlib import _checks, kernels
from lddmmlib._shapes import Float
from lddmmlib.data.crops import Crop
from lddmmlib.faces.schemes import Scheme
from lddmmlib.methods import few_labels, lddmm_face
from lddmmlib.methods.heatmap_regression import network_input
from lddmmlib.methods.lddmm_face import Deformation
from lddmmlib.networks import CropLandmarker, HRNetV2
from lddmmlib.networks.heads import HeatmapHead, precise

RIDGE = 0.1  # λ: modes of a curve in which K_V is below it are damped
BETA = 0.1 * 112  # β of paper A for a face 1 px a side: it has 0.1 where a crop has 112


class ShapeHead(nn.Module):
    """The means of 68 maps, less those of a face at rest, read by a linear layer: a vector for each landmark, px.

    Args:
        widths: channels of each branch, the first the largest map.
        landmarks: n.

    >>> head = ShapeHead((4, 8), landmarks=5)
    >>> head([torch.rand(2, 4, 24, 24), torch.rand(2, 8, 12, 12)]).tolist() == torch.zeros(2, 5, 2).tolist()
    True
    """

    def __init__(self, widths: Sequence[int], landmarks: int) -> None:
        super().__init__()
        self.maps, self.read = HeatmapHead(widths, 68), nn.Linear(136, 2 * landmarks)
        nn.init.zeros_(self.read.weight)
        nn.init.zeros_(self.read.bias)
        self.register_buffer("rest", torch.zeros(68, 2))

    def forward(self, branches: Sequence[Tensor]) -> Float[Tensor, "b n 2"]:
        maps = self.maps(branches).float()
        (h, w), p = maps.shape[2:], maps.flatten(2).softmax(-1)
        x, y = torch.arange(w, device=p.device).repeat(h), torch.arange(h, device=p.device).repeat_interleave(w)
        cells = torch.stack([(p * x).sum(-1), (p * y).sum(-1)], -1)
        points = HRNetV2.stride * cells + (HRNetV2.stride - 1) / 2
        return precise(self.read, (points - self.rest).flatten(1)).unflatten(1, (-1, 2))


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


def start(
    base: CropLandmarker, nearest: Sequence[int] | Tensor, seed: int, scratch: bool = False
) -> tuple[HRNetV2, dict]:
    """The network before training, and the arguments that make one like it.

    Args:
        base: the network of `networks.pretrained`.
        nearest: for each own landmark one of the 68, whose way from its place at rest is the vector to begin with.
        seed: of the weights, if they are random.
        scratch: whether to begin from random weights and from vectors of zero, and to train the stem too.

    >>> from lddmmlib import networks
    >>> net, how = start(networks.pretrained(), [36, 45, 8], seed=0)
    >>> how["landmarks"], int(net.head.read.weight.sum())
    (3, 6)
    """
    how, n = base.card["network"] | {"landmarks": len(nearest)}, torch.arange(len(nearest))
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        net = network(how)
    net.head.rest.copy_(few_labels.mean68(base.size))
    if not scratch:
        known = {key.replace("head.", "head.maps."): value for key, value in base.net.state_dict().items()}
        net.load_state_dict(net.state_dict() | known)
        net.stem.requires_grad_(False)
        for axis in (0, 1):
            net.head.read.weight.data.view(-1, 2, 68, 2)[n, axis, torch.as_tensor(nearest), axis] = 1.0
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
        if self.layer is not None:
            self.register_buffer("to_momenta", _to_momenta(self.layer))
        self.register_buffer("mean", mean)
        self.register_buffer("radius", torch.ones(len(mean)) if radius is None else radius.float())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        moved, layer = self.net(images), self.layer
        points = self.mean + moved if layer is None else layer(self.to_momenta @ moved[:, layer.controls])
        return points, self.radius.expand(images.shape[0], -1)


def _to_momenta(layer: Deformation) -> Tensor:
    """(K_V + λ)⁻¹ of the landmarks that have momenta, of those of one curve each."""
    whole = torch.eye(len(layer.mean))
    for curve, sigma in zip(map(list, layer.curves), layer.sigma, strict=True):
        x = layer.mean[curve]
        whole[torch.tensor(curve)[:, None], curve] = kernels.gaussian(x, x, sigma.item())
    K = whole[layer.controls][:, layer.controls]
    return torch.linalg.inv(K + RIDGE * torch.eye(len(K)))


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
