"""The 2D Wasserstein loss between heatmaps (paper E), its rivals, and what to decode from maps that it trained.

A predicted map is made a distribution u (`probabilities`), the target is a Gaussian v around the landmark, divided by
its sum, and the loss of a landmark is the cost of moving u to v (equation 4, `distance`): its gradient tells how far
each cell's mass must travel, while the pixel-wise L2 loss sees only whether two cells differ.

**Normalisation.** Paper E takes a softmax of the map. A softmax of a map with values between 0 and 1, as the L2 loss
teaches, is nearly uniform: on 64 x 64 cells its largest weight is e/4096. All such maps are almost equally far from any
target, and the loss teaches nothing. So either the network's values are free, and grow until the softmax is sharp
(tau = 1), or a map in [0, 1] is multiplied by a `tau` of log(h w) at least, or divided by its sum (`by="sum"`).
`probabilities` refuses the nearly uniform case; `peak_weight` shows it.

**ε.** The problem is solved with an entropy, of the weight `eps` in cells; the paper does not say which. A large ε is
cheap and blurs: differences much smaller than ε have little weight in the loss.

**What to add to what.** The loss alone learns slowly: the gradient of a softmax vanishes at cells of little weight, so
that mass far from the target moves little, and the network starts with nearly all mass far away. Cross-entropy has no
such start. `recipe_loss` is the cross-entropy plus `weight` times the transport cost to a point (the closed form, no
Sinkhorn iteration) or to the Gaussian (`eps`). Start with the point, weight 0.1 a cell, and decode by the barycentre.
The experiment `wasserstein` measures the paper's loss, its rivals and the recipe with and without transport in equally
many steps; `wasserstein_choices` varies ε, the normalisation, the weight and the learning rates.

| loss | of a landmark | mean over landmarks, sum over stacks |
|---|---|---|
| paper E, equation 4 | `distance` | `wasserstein_loss` |
| the same, to a point: Σ u(x) abs(x - y) | `optimal_transport.w1_to_point` | `point_loss` |
| Jensen-Shannon | `jensen_shannon` | `jensen_shannon_loss` |
| cross-entropy, and with transport | `heatmap_regression.cross_entropy` | `recipe_loss` |
| pixel-wise L2, soft-argmax | | `heatmap_regression.l2_loss`, `soft_argmax_loss` |

Landmarks that are missing or outside the crop are ignored. Losses are computed in single precision at least, also under
autocast. CoordConv, the paper's option for the network, is `networks.with_coordinates`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lddmmlib import _checks, heatmaps, optimal_transport
from lddmmlib._shapes import Float
from lddmmlib.data.crops import Crop
from lddmmlib.methods.heatmap_regression import cross_entropy, heatmaps_of, network_input, stacks, stride, target

BY = ("softmax", "softplus", "sum")
METHODS = ("get_max", "get_bc")
FAINT = 1e-6  # a target of less mass than this has no Gaussian on the map


@_checks.full_precision
def probabilities(
    maps: Float[Tensor, "*batch h w"], by: str = "softmax", tau: float = 1.0, uniform: bool = False
) -> Float[Tensor, "*batch h w"]:
    """The distribution u that each map stands for: values >= 0 with the sum 1.

    | `by` | u | for |
    |---|---|---|
    | `"softmax"` | softmax(τ h) | free values, as networks give them |
    | `"softplus"` | log(1 + exp(τ h)), divided by its sum | free values; h/Σh for a network |
    | `"sum"` | h/Σh | maps of `heatmaps.encode`, or of a network that ends in a positive function |

    Args:
        maps: h, (..., h, w).
        by: a name of the table.
        tau: τ, the factor on the values; "sum" ignores it.
        uniform: accept a softmax that cannot become sharp.

    Returns:
        u, of the same shape.

    Raises:
        TypeError, ValueError: maps that are no tensor of single or double precision or not finite; a softmax of maps
            between 0 and 1 whose largest weight can never reach a half, e^τ < h w; "sum" of a negative value or of a
            map of zeros; τ not above 0; another `by`.

    Paper E, section 5.1.

    >>> h = torch.tensor([[0.0, 1.0], [0.0, 3.0]])
    >>> probabilities(h, "sum")
    tensor([[0.0000, 0.2500],
            [0.0000, 0.7500]])
    >>> probabilities(h, tau=2.0)
    tensor([[0.0024, 0.0179],
            [0.0024, 0.9773]])
    """
    _checks.floats(maps, "maps")
    _checks.one_of(by, "by", BY)
    _checks.positive(tau, "tau")
    if maps.ndim < 2 or not maps.numel():
        raise ValueError(f"maps: needed (..., h, w), at least one map, got shape {tuple(maps.shape)}")
    low, high = (x.item() for x in maps.detach().aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("maps: needed finite values, got NaN or infinity; did training diverge?")
    if by == "softmax":
        cells = maps.shape[-2] * maps.shape[-1]
        if not uniform and low >= 0 and 0.5 < high <= 1 and tau < math.log(cells):
            weight = math.exp(tau) / (math.exp(tau) + cells - 1)
            raise ValueError(
                f"tau: needed log(h w) = {math.log(cells):.1f} or more for maps between 0 and 1, got {tau}: their "
                f"softmax is nearly uniform, with no weight above {weight:.2g}; use by='sum', or a larger tau"
            )
        return (tau * maps).flatten(-2).softmax(-1).view_as(maps)
    h = F.softplus(tau * maps) if by == "softplus" else maps
    total = h.sum((-2, -1), keepdim=True)
    if by == "sum" and (low < 0 or not (total > 0).all()):
        got = "a negative value" if low < 0 else "a map of zeros"
        raise ValueError(f"maps: needed values >= 0, some above 0, got {got}; use by='softplus', or maps.clamp(min=0)")
    return h / total


@_checks.full_precision
def peak_weight(maps: Float[Tensor, "*batch h w"], by: str = "softmax", tau: float = 1.0) -> Float[Tensor, "*batch"]:
    """The largest weight of each map's `probabilities`, near 1/(h w) where the normalisation makes it uniform.

    A Gaussian of width σ cells has 1/(2πσ²); a network in training rises to about that.

    Args:
        maps: (..., h, w).
        by: as in `probabilities`.
        tau: τ, as in `probabilities`.

    >>> h = heatmaps.encode(torch.tensor([[30.0, 31.0]]), (64, 64), sigma=1.5)
    >>> [round(peak_weight(h, *how).item(), 4) for how in (("softmax", 1.0), ("softmax", 20.0), ("sum",))]
    [0.0007, 0.9281, 0.0707]
    """
    return probabilities(maps, by, tau, uniform=True).amax((-2, -1))


@_checks.full_precision
def distance(
    maps: Float[Tensor, "*batch h w"],
    target: Float[Tensor, "*batch h w"],
    eps: float = 1.0,
    by: str = "softmax",
    tau: float = 1.0,
    tol: float = 1e-2,
    max_iter: int = 200,
) -> Float[Tensor, "*batch"]:
    """The entropic 2D Wasserstein distance of each map to its target, cells, as `optimal_transport.sinkhorn` has it.

    The gradient in the maps is the potential of u, through the normalisation; its relative error is at most about
    4 `tol`. A pair that is not solved within `max_iter` iterations has the gradient of the last one.

    Args:
        maps: (..., h, w), as a network gives them.
        target: v, (..., h, w), values >= 0; it is divided by its sum.
        eps: ε, cells.
        by: the normalisation of the maps, as in `probabilities`.
        tau: τ, as in `probabilities`.
        tol: as in `optimal_transport.sinkhorn`.
        max_iter: the largest number of iterations.

    Returns:
        (...,), cells; 0 for a target without mass, of a landmark that is missing or far outside.

    Raises:
        TypeError, ValueError: maps and target that do not fit each other; the errors of `probabilities` and of
            `optimal_transport.sinkhorn`.

    Paper E, equation 4.

    >>> target = heatmaps.encode(torch.tensor([[4.0, 4.0], [torch.nan, 0.0]]), (16, 16), sigma=0.75)
    >>> maps = 20 * heatmaps.encode(torch.tensor([[9.0, 4.0], [1.0, 1.0]]), (16, 16), sigma=1.0)  # 5 cells off; any
    >>> distance(maps, target, eps=0.5, tol=1e-4).round(decimals=1)
    tensor([5.1000, 0.0000])
    """
    u = _pair(maps, target, by, tau)
    labelled = target.detach().sum((-2, -1)) > FAINT
    found = optimal_transport.sinkhorn(u, target, eps, tol=tol, max_iter=max_iter, mask=labelled)
    return found.value.where(labelled, 0.0)


@_checks.full_precision
def jensen_shannon(
    maps: Float[Tensor, "*batch h w"], target: Float[Tensor, "*batch h w"], by: str = "softmax", tau: float = 1.0
) -> Float[Tensor, "*batch"]:
    """The Jensen-Shannon divergence ½ KL(u | m) + ½ KL(v | m) with m = (u + v)/2, nats, at most log 2.

    Args:
        maps: (..., h, w), as a network gives them.
        target: v, (..., h, w), values >= 0; it is divided by its sum.
        by: the normalisation of the maps, as in `probabilities`.
        tau: τ, as in `probabilities`.

    Returns:
        (...,); 0 for a target without mass.

    Raises:
        TypeError, ValueError: as `distance`.

    Paper E, section 6.5, the rival loss.

    >>> v = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    >>> jensen_shannon(v, v, "sum"), jensen_shannon(v.flip(-1), v, "sum")
    (tensor([0.]), tensor([0.6931]))
    """
    u = _pair(maps, target, by, tau).clamp_min(1e-30)  # log 0 has no gradient, a constant has 0
    total = target.sum((-2, -1), keepdim=True)
    v = (target / torch.where(total > FAINT, total, 1.0)).clamp_min(1e-30)
    m = (u + v) / 2
    value = ((u * (u / m).log() + v * (v / m).log()) / 2).sum((-2, -1))
    return value.where(total[..., 0, 0] > FAINT, 0.0)


def _pair(maps: Tensor, target: Tensor, by: str, tau: float) -> Tensor:
    """The `probabilities` of maps that fit their target."""
    _checks.floats(maps, "maps")
    _checks.floats(target, "target")
    _checks.same(maps=maps, target=target)
    if maps.shape != target.shape:
        got = f"{tuple(maps.shape)} and {tuple(target.shape)}"
        raise ValueError(f"maps, target: needed one shape (..., h, w), got {got}; encode the target in the maps' size")
    low, high = (x.item() for x in target.detach().aminmax())
    if not 0 <= low <= high < math.inf:
        raise ValueError("target: needed finite values >= 0, got negative ones, NaN or infinity; use `heatmaps.encode`")
    return probabilities(maps, by, tau)


def _mean(model: nn.Module, batch: Crop, of: Callable[[Tensor], Tensor]) -> Float[Tensor, ""]:
    """The mean of a loss of maps over the landmarks on the crops, summed over stacks."""
    count = batch.inside.sum().clamp(min=1)
    return sum(of(maps).where(batch.inside, 0.0).sum() / count for maps in heatmaps_of(model, batch.image))


def wasserstein_loss(
    model: nn.Module, batch: Crop, sigma: float = 1.5, eps: float = 1.0, by: str = "softmax", tau: float = 1.0,
    tol: float = 1e-2,
) -> Float[Tensor, ""]:  # fmt: skip
    """The loss of paper E: the `distance` of a network's maps to Gaussians, over the landmarks on the crops.

    Args:
        model: from images to maps or a list of maps, all of which are trained.
        batch: the crops.
        sigma: σ, the width of the targets, cells; the paper's are 1, 1.5 and 3 of 64.
        eps: ε, cells.
        by: the normalisation of the maps, as in `probabilities`.
        tau: τ, as in `probabilities`.
        tol: as in `distance`; a quarter of the gradient's relative error.

    Paper E, equation 4.

    >>> faces = Crop(torch.zeros(1, 3, 8, 8).byte(), torch.tensor([[[3.5, 3.5]] * 3]), *[torch.ones(1, 3).bool()] * 2,
    ...              torch.eye(2, 3)[None])
    >>> round(wasserstein_loss(nn.Identity(), faces, sigma=1.0).item(), 1)
    2.8
    """

    def of(maps: Tensor) -> Tensor:
        return distance(maps, target(batch.landmarks, maps, batch.image, sigma), eps, by, tau, tol)

    return _mean(model, batch, of)


def point_loss(model: nn.Module, batch: Crop, by: str = "softmax", tau: float = 1.0) -> Float[Tensor, ""]:
    """The transport cost of a network's maps to the landmarks themselves, Σ u(x) |x - y| in cells: no ε, no iteration.

    It is what `wasserstein_loss` becomes for σ → 0 and ε → 0.

    Args:
        model: from images to maps or a list of maps.
        batch: the crops.
        by: the normalisation of the maps, as in `probabilities`.
        tau: τ, as in `probabilities`.

    Paper E, equation 3.

    >>> faces = Crop(torch.zeros(1, 3, 8, 8).byte(), torch.tensor([[[3.5, 3.5]] * 3]), *[torch.ones(1, 3).bool()] * 2,
    ...              torch.eye(2, 3)[None])
    >>> round(point_loss(nn.Identity(), faces).item(), 2)  # the mean distance of a square's cells to its middle
    3.04
    """
    return _mean(model, batch, lambda maps: _to_points(maps, batch, by, tau))


def _to_points(maps: Tensor, batch: Crop, by: str, tau: float) -> Tensor:
    at = heatmaps.to_cells(batch.landmarks.to(maps.dtype), stride(maps, batch.image))
    return optimal_transport.w1_to_point(probabilities(maps, by, tau), at)  # NaN for a missing landmark, left out later


def jensen_shannon_loss(
    model: nn.Module, batch: Crop, sigma: float = 1.5, by: str = "softmax", tau: float = 1.0
) -> Float[Tensor, ""]:
    """The `jensen_shannon` divergence of a network's maps from Gaussians, over the landmarks on the crops.

    Args:
        model: from images to maps or a list of maps.
        batch: the crops.
        sigma: σ, the width of the targets, cells.
        by: the normalisation of the maps, as in `probabilities`.
        tau: τ, as in `probabilities`.

    Paper E, section 6.5.

    >>> faces = Crop(torch.zeros(1, 3, 8, 8).byte(), torch.tensor([[[3.5, 3.5]] * 3]), *[torch.ones(1, 3).bool()] * 2,
    ...              torch.eye(2, 3)[None])
    >>> round(jensen_shannon_loss(nn.Identity(), faces, sigma=1.0).item(), 2)
    0.32
    """

    def of(maps: Tensor) -> Tensor:
        return jensen_shannon(maps, target(batch.landmarks, maps, batch.image, sigma), by, tau)

    return _mean(model, batch, of)


def recipe_loss(
    model: nn.Module, batch: Crop, sigma: float = 1.5, weight: float = 0.1, eps: float | None = None
) -> Float[Tensor, ""]:
    """The recipe that trains: the cross-entropy of the maps plus `weight` times their transport cost.

    It is averaged over the landmarks on the crops and summed over stacks, as the others are.

    Args:
        model: from images to maps or a list of maps.
        batch: the crops.
        sigma: σ, the width of the targets, cells.
        weight: of the transport cost, per cell.
        eps: ε, cells, of the cost to the Gaussian; None: the cost to the landmark, in closed form.

    >>> faces = Crop(torch.zeros(1, 3, 8, 8).byte(), torch.tensor([[[3.5, 3.5]] * 3]), *[torch.ones(1, 3).bool()] * 2,
    ...              torch.eye(2, 3)[None])
    >>> round(recipe_loss(nn.Identity(), faces).item(), 2)  # log 64 + 0.1 · 3.04
    4.46
    """
    _checks.number(weight, "weight", 0)

    def of(maps: Tensor) -> Tensor:
        h = target(batch.landmarks, maps, batch.image, sigma)
        far = _to_points(maps, batch, "softmax", 1.0) if eps is None else distance(maps, h, eps)
        return cross_entropy(maps, h) + weight * far

    return _mean(model, batch, of)


def landmarks(
    output: Tensor | list[Tensor], images: Tensor, method: str = "get_bc", by: str = "softmax", tau: float = 1.0
) -> Float[Tensor, "b n 2"]:
    """Decode the last stack of a network's output by GET_MAX or GET_BC.

    "get_max" is the largest value, interpolated from its neighbours (`optimal_transport.get_max`), "get_bc" the
    barycentre of the whole map (equation 6). Both read the maps' `probabilities`, as they were trained. Of a network
    trained by the L2 loss say `by="sum"`: its map is taken as it is, and for the barycentre its negative values are 0.
    A map without a value above 0 has no barycentre; it is decoded by GET_MAX.

    Args:
        output: maps (b, n, h, w), or a list of them, one a stack.
        images: (b, 3, ., .), which give the stride.
        method: "get_max" or "get_bc".
        by: the normalisation that the network was trained with, as in `probabilities`.
        tau: τ, as in `probabilities`.

    Returns:
        (b, n, 2), px of the images; NaN for a map of zeros.

    Raises:
        ValueError: another method or `by`.

    Paper E, section 5.3.

    >>> maps = heatmaps.encode(torch.tensor([[[9.3, 7.8]]]), (16, 16), sigma=1.0).log()  # a softmax undoes the log
    >>> [landmarks(maps, torch.zeros(1, 3, 64, 64), how) for how in ("get_bc", "get_max")]
    [tensor([[[38.7000, 32.7000]]]), tensor([[[38.8416, 32.5297]]])]
    """
    _checks.one_of(method, "method", METHODS)
    _checks.one_of(by, "by", BY)
    maps = stacks(output)[-1]
    if by != "sum":
        maps = probabilities(maps, by, tau, uniform=True)
    cells = optimal_transport.get_max(maps)
    if method == "get_bc":
        barycentre = optimal_transport.get_bc(maps.clamp(min=0))
        cells = cells.where(barycentre.isnan(), barycentre)
    return heatmaps.to_pixels(cells, stride(maps, images))


def predict(model: nn.Module, batch: Crop, **how: object) -> Float[Tensor, "b n 2"]:
    """Landmarks of a batch of crops, in the form that `training.evaluate` requires.

    Args:
        model: from images to maps or a list of maps.
        batch: the crops.
        how: arguments of `landmarks`.

    Returns:
        (b, n, 2), px of the crops.

    >>> faces = Crop(torch.zeros(1, 3, 8, 8).byte(), torch.tensor([[[3.5, 3.5]] * 3]), *[torch.ones(1, 3).bool()] * 2,
    ...              torch.eye(2, 3)[None])
    >>> predict(nn.Identity(), faces)[0, 0]
    tensor([3.5000, 3.5000])
    """
    _checks.keywords(how, {"method", "by", "tau"}, "predict")
    return landmarks(model(network_input(batch.image)), batch.image, **how)
