"""Regression networks coupled with sparse shape regression (paper B, DRN-SSR): one model for all landmarks of several
data sets, each of which labels some of them.

A cascade predicts the union of all landmarks, S^k = F^k(φ(I, S^(k-1))) + S^(k-1), from features around the shape so far
(`shape_indexed`). F is a network of sigmoid layers and a linear one (eq. 4-6). No image has all labels, so a sparse
matrix H_i for each data set approximates those that it lacks (`sparse_shape_regression`), and both are learned
together (eq. 9, 10 and 15):

    min over F, H of  Σ_I |H_i S_i(I) - (F(φ(I, S̄)) + S̄)|²  +  α Σ_q |W_q|²   subject to  |h^r|₁ ≤ τ for each row.

- **Start.** The first stage's F fits the labelled landmarks alone (eq. 11); later stages start with the H of the stage
  before, so their F fits the completed shapes.
- **In turn.** Given F, each H_i is a lasso under a budget with target Y = F + S̄ (eq. 12-14); its rows of labelled
  landmarks are those of the identity. Given H, F is minimised by L-BFGS over all faces at once (eq. 15).

What the paper leaves open, and what it is here:

- *Stop.* L-BFGS ends when a step lowers the objective by less than `tol` times Σ|ΔS|², or moves no weight by more than
  `tol` / 100, or after `evaluations`. The alternation ends when a round, over H and F, lowers the objective by
  less than the share `still`, or after `rounds`.
- *Unit.* Shapes are in the frame of the face: origin at the upper left corner of the square around the box's centre
  whose side is the longer one of the box, and that side is 1. α is relative to a sum over faces in this unit.
- *Weights.* Each hidden unit starts with mean 0 and all of a layer with variance 1 before the sigmoid; the linear layer
  starts at the mean shift. There is no layer-wise training. Eq. 11 has the weight decay, too.
- *S̄* of the union, which no image shows: `union_mean`.

A set of labels is a mask of landmarks: there may be any number of sets, and one may be complete.

**Fine-tuning** (`init`, beyond the paper): a cascade of many faces, of drawings perhaps, is trained on with few others.
The weights start at its weights W⁰, and the decay is of what changes, α Σ_q |W_q - W⁰_q|²: what the few faces say
nothing about stays as it was.

**Speed.** m faces span at most m of the 128 p directions of the features. In an orthonormal basis of their span the
first layer has m columns; weights outside would only decay. L-BFGS takes the same steps in either.

Rivals of the paper: `hidden=()` makes every stage linear, which is SDM; `fit_separate` trains a model for each set;
`fit_deep_sparse` completes shapes once (section 4.2.1).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from lddmmlib import _checks
from lddmmlib._checks import need
from lddmmlib._shapes import Bool, Float
from lddmmlib.data import crops
from lddmmlib.data.images import LUMA
from lddmmlib.faces.statistics import similarity
from lddmmlib.methods.shape_indexed import NUMBERS, features
from lddmmlib.methods.sparse_shape_regression import fit_h

Progress = Callable[[dict[str, float]], Any]


class Settings(NamedTuple):
    """The settings of a cascade and of its training. Those of the paper, where it states them, are `PAPER`.

    >>> Settings(hidden=()).sides  # SDM
    (80, 80, 140, 140)
    """

    sides: tuple[int, ...] = (80, 80, 140, 140)  #: px that the face's square has in each stage
    hidden: tuple[int, ...] = (1296, 784, 400)  #: sigmoid units of each hidden layer
    decay: float = 1e-3  #: α, beside a sum over faces, whose squares have side 1
    tau: float = 1.4  #: τ, the budget of a row of H
    patch: float = 24.0  #: px that a descriptor covers; not stated in the paper, like all that follows
    margin: float = 1.25  #: side of the crop / side of the face's square
    tol: float = 1e-5  #: of L-BFGS
    evaluations: int = 60  #: the most in one minimisation
    still: float = 0.01  #: of the alternation
    rounds: int = 4  #: the most in one stage; 0: without H, labelled landmarks alone


PAPER = Settings()


class Coupled(NamedTuple):
    """A trained cascade and what it was trained on.

    >>> Coupled(cascade=None, known=torch.ones(1, 5).bool(), H=None, completed=None, boxes=None, history=[]).known.sum()
    tensor(5)
    """

    cascade: Cascade
    known: Bool[Tensor, "sets p"]  #: the landmarks that each set labels
    H: Tensor | None  #: (sets, p, p), of the last stage; columns of unknown landmarks are 0, rows of known ones 1
    completed: Tensor  #: (m, p, 2), px: labels, and H's approximations of what is not labelled; NaN without H
    boxes: Tensor  #: (m, 4), px, those that were given, or made
    history: list[dict[str, float]]  #: a row for each minimisation: stage, round, after_h, after_f, moved, ...


# ----------------------------------------------------------------------------------------------- frames, the mean


def to_face(points: Float[Tensor, "*batch p 2"], boxes: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch p 2"]:
    """Map points from pixels of the photograph to the frame of the face.

    Args:
        points: (..., p, 2), px; NaN stays NaN.
        boxes: (..., 4): x, y, w, h, px.

    Returns:
        (..., p, 2); the box's centre is (1/2, 1/2), its longer side 1.

    >>> to_face(torch.tensor([[10.0, 20.0], [30.0, 40.0]]), torch.tensor([10.0, 20.0, 20.0, 10.0])).tolist()
    [[0.0, 0.25], [1.0, 1.25]]
    """
    _frame(points, boxes)
    side, corner = _square(boxes)
    return (points - corner[..., None, :]) / side[..., None, None]


def from_face(shapes: Float[Tensor, "*batch p 2"], boxes: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch p 2"]:
    """Map points from the frame of the face to pixels of the photograph.

    Args:
        shapes: (..., p, 2), in the frame of the face.
        boxes: (..., 4): x, y, w, h, px.

    Returns:
        (..., p, 2), px.

    >>> from_face(torch.tensor([[0.5, 0.5]]), torch.tensor([10.0, 20.0, 20.0, 10.0])).tolist()
    [[20.0, 25.0]]
    """
    _frame(shapes, boxes, "shapes")
    side, corner = _square(boxes)
    return shapes * side[..., None, None] + corner[..., None, :]


def label_sets(landmarks: Float[Tensor, "m p 2"]) -> tuple[Tensor, Tensor]:
    """The sets of labels among faces: which landmarks each labels, and to which set each face belongs.

    Args:
        landmarks: (m, p, 2), NaN where not labelled.

    Returns:
        known (sets, p), bool, and which (m,), the number of each face's set.

    Raises:
        ValueError: fewer than two faces, in all or in a set that lacks landmarks; a face without labels; a landmark
            that no face labels.

    >>> x = torch.rand(4, 3, 2)
    >>> x[:2, 0] = x[2:, 2] = torch.nan
    >>> label_sets(x)
    (tensor([[False,  True,  True],
            [ True,  True, False]]), tensor([0, 0, 1, 1]))
    """
    _checks.points(landmarks, "landmarks", nan=True)
    need(landmarks.ndim == 3, "landmarks", "(faces, p, 2)", tuple(landmarks.shape))
    need(len(landmarks) > 1, "landmarks", "two faces or more", len(landmarks))
    labelled = ~landmarks.isnan().any(-1)
    for each, what in ((labelled.any(1), "face"), (labelled.any(0), "landmark")):
        gone = (~each).nonzero().flatten().tolist()
        need(not gone, "landmarks", f"a label for each {what}", f"none for {what} {gone[:5]}", "leave it out")
    known, which = torch.unique(labelled, dim=0, return_inverse=True)
    lone = ((which.bincount() < 2) & ~known.all(1)).nonzero().flatten()
    face = int((which == lone[0]).nonzero()[0]) if len(lone) else None
    mend = "leave it out, or more of its labels"
    need(face is None, "landmarks", "two faces or more of each set of labels", f"face {face} alone in its set", mend)
    return known, which


@_checks.full_precision
def union_mean(landmarks: Float[Tensor, "m p 2"], boxes: Float[Tensor, "m 4"] | None = None) -> tuple[Tensor, Tensor]:
    """The mean shape S̄ of the union of all landmarks, although no face may show all of them.

    Each set has a mean in the frame of its faces. Beginning with the largest set, means are joined: the one that shares
    most landmarks with those joined so far is moved onto them by a similarity, and shared landmarks are averaged over
    faces. A set that shares fewer than two landmarks stays where the boxes place it.

    Args:
        landmarks: (m, p, 2), px; NaN where not labelled.
        boxes: (m, 4), px; None: the bounding boxes of the faces' own shapes, in which the mean, moved by a similarity,
            stands for what is missing.

    Returns:
        S̄ (p, 2), in the frame of the face, and the boxes (m, 4); float64.

    Raises:
        ValueError: no boxes, and a set that shares fewer than two landmarks with others; and as in `label_sets`.

    >>> x = 20 * torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).expand(4, 4, 2).clone()
    >>> x[:2, 0] = x[2:, 3] = torch.nan
    >>> union_mean(x)[0].round(decimals=6).tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    """
    known, which = label_sets(landmarks)
    x = landmarks.double()
    frames = _box(x) if boxes is None else _boxes(boxes, len(x))
    flat = (frames[:, 2:].amax(1) <= 0).nonzero().flatten().tolist()
    need(not flat, "landmarks", "two places or more of each face", f"one of face {flat[:1]}", "give boxes")
    u, counts = to_face(x, frames), which.bincount().double()
    mean, n, left = x.new_zeros(x.shape[1:]), counts.new_zeros(x.shape[1]), set(range(len(known)))
    while left:
        i = max(left, key=lambda i: (int(((n > 0) & known[i]).sum()), counts[i]))
        shape, both = u[which == i].mean(0), (n > 0) & known[i]
        if both.sum() > 1:
            own = known[i]
            shape[own] = similarity(shape[both], mean[both]).apply(shape[own])
        else:
            needed = "two landmarks that link each set of labels to the others"
            need(boxes is not None or not n.any(), "landmarks", needed, int(both.sum()), "give boxes")
        mean = torch.where(known[i][:, None], mean + (shape - mean) * (counts[i] / (n + counts[i]))[:, None], mean)
        n, left = n + counts[i] * known[i], left - {i}
    if boxes is not None:
        return mean, frames
    mean = to_face(mean, _box(mean))
    whole = x.clone()
    for i, own in enumerate(known):
        faces = which == i
        moved = similarity(mean[own], x[faces][:, own]).apply(mean)
        whole[faces] = torch.where(own[:, None], x[faces], moved)
    return mean, _box(whole)


# -------------------------------------------------------------------------------------------------- the network F


def network(p: int, hidden: Sequence[int] = PAPER.hidden) -> nn.Sequential:
    """The regression network F: sigmoid layers and a linear one, from the features of p landmarks to their 2p shifts.

    Its weights are 0 until `start` sets them.

    Args:
        p: the number of landmarks.
        hidden: the units of each hidden layer; (): linear regression.

    Paper B, equations 4-6.

    >>> sum(w.numel() for w in network(113).parameters())
    20168114
    """
    sizes = [NUMBERS * p, *hidden]
    layers = [layer for a, b in pairwise(sizes) for layer in (_zeros(a, b), nn.Sigmoid())]
    return nn.Sequential(*layers, _zeros(sizes[-1], 2 * p))


def _zeros(a: int, b: int) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, a, b)  # torch's own start would draw from the caller's random numbers
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def drn_objective(
    net: nn.Module, x: Tensor, target: Tensor, weight: Tensor, decay: float, init: nn.Module | None = None
) -> Float[Tensor, ""]:
    """The objective of F,  Σ_I Σ_j δ_Ij |ΔS_j(I) - F(x_I)_j|²  +  α Σ_q |W_q - W⁰_q|².

    Args:
        net: F, or F on features in another basis.
        x: (m, d), the features of m faces.
        target: ΔS, (m, p, 2), in the frame of the face; any number where δ is 0.
        weight: δ, (m, p): 1 for landmarks that count (eq. 11); all 1 in eq. 15.
        decay: α. Biases are not in the sum.
        init: a network like F, whose weights are W⁰; None: W⁰ = 0, as in the paper.

    Returns:
        A number, float64.

    Paper B, equations 11 and 15.

    >>> zero = nn.Linear(3, 4)
    >>> _ = [nn.init.zeros_(w) for w in zero.parameters()]
    >>> drn_objective(zero, torch.rand(5, 3), torch.ones(5, 2, 2), torch.ones(5, 2), 1.0).item()
    20.0
    """
    miss = (target - net(x).view_as(target)).square().sum(-1) * weight
    weights = [layer.weight for layer in _linear(net)]
    if init is not None:
        weights = [w - layer.weight.detach() for w, layer in zip(weights, _linear(init), strict=True)]
    return miss.sum(dtype=torch.float64) + decay * sum(w.square().sum().double() for w in weights)


def _linear(net: nn.Module) -> list[nn.Linear]:
    """The linear layers of a network, in order."""
    return [layer for layer in net.modules() if isinstance(layer, nn.Linear)]


def minimise(
    net: nn.Module, x: Tensor, target: Tensor, weight: Tensor, how: Settings = PAPER,
    report: Callable[[int, float], Any] | None = None, init: nn.Module | None = None,
) -> int:  # fmt: skip
    """Minimise `drn_objective` over the weights of a network, in place, by L-BFGS over all faces at once.

    Args:
        net: F.
        x: as in `drn_objective`.
        target: as in `drn_objective`.
        weight: as in `drn_objective`.
        how: its decay, tol and evaluations.
        report: called with (evaluation, objective) at each evaluation.
        init: as in `drn_objective`.

    Returns:
        The number of evaluations. The objective is never above what it was.

    >>> x = torch.rand(9, 3)
    >>> net = nn.Linear(3, 2)
    >>> _ = minimise(net, x, x[:, None, :2], torch.ones(9, 1), Settings(decay=1e-6, tol=1e-9))
    >>> (net(x) - x[:, :2]).abs().max() < 1e-2
    tensor(True)
    """
    values, parameters = [], list(net.parameters())
    before = [w.detach().clone() for w in parameters]
    unit = 100 * (target.square().sum(-1) * weight).sum().clamp(min=1e-30)  # torch compares weights with tol, too
    most = {"max_iter": how.evaluations, "max_eval": how.evaluations, "history_size": 10}
    until = {"tolerance_change": how.tol / 100, "tolerance_grad": 0.0, "line_search_fn": "strong_wolfe"}
    optim = torch.optim.LBFGS(parameters, **most, **until)

    def closure() -> Tensor:
        optim.zero_grad()
        value = drn_objective(net, x, target, weight, how.decay, init)
        (value / unit).backward()
        values.append(value.item())
        if report:
            report(len(values), values[-1])
        return value.detach() / unit

    optim.step(closure)
    with torch.no_grad():
        if not drn_objective(net, x, target, weight, how.decay, init) <= values[0]:
            for w, old in zip(parameters, before, strict=True):
                w.copy_(old)
    return len(values)


@torch.no_grad()
def start(net: nn.Module, x: Tensor, target: Tensor, weight: Tensor, decay: float, generator: torch.Generator) -> None:
    """Set the weights of a network: hidden units of mean 0, layers of variance 1, a last layer that says the mean ΔS.

    A network without hidden layers is set to its minimum, least squares. As the start of a last layer over random
    hidden units, too, least squares would follow the labelled faces closely and the others not at all.

    Args:
        net: F, set in place.
        x: as in `drn_objective`.
        target: as in `drn_objective`.
        weight: as in `drn_objective`.
        decay: as in `drn_objective`.
        generator: draws the hidden weights.

    >>> x, net = torch.rand(9, 3), nn.Linear(3, 2)
    >>> start(net, x, 2 * x[:, None, :2], torch.ones(9, 1), 1e-9, torch.Generator())
    >>> (net(x) - 2 * x[:, :2]).abs().max() < 1e-3
    tensor(True)
    """
    *hidden, last = _linear(net)
    for layer in hidden:
        w = torch.randn(layer.weight.shape, generator=generator)
        z = x @ w.T
        spread = (z - z.mean(0)).square().mean().sqrt().item()
        scale = 1 / spread if spread > 1e-12 else 1.0  # all faces alike
        layer.weight.copy_(scale * w)
        layer.bias.copy_(-scale * z.mean(0))
        x = layer(x).sigmoid()
    if hidden:
        last.weight.zero_()
        last.bias.copy_(((target * weight[..., None]).sum(0) / weight.sum(0)[:, None]).flatten())
        return
    counted, which = torch.unique(weight.T > 0, dim=0, return_inverse=True)  # landmarks that the same faces label
    for i, rows in enumerate(counted):
        own = which == i
        a, b = x[rows].double(), target[rows][:, own].flatten(1).double()
        middle = a.mean(0)
        a = a - middle
        gram = a.T @ a
        gram.diagonal().add_(decay)
        w = torch.linalg.solve(gram, a.T @ b).T
        at = own.repeat_interleave(2)
        last.weight[at], last.bias[at] = w.to(x), (b.mean(0) - w @ middle).to(x)


class _Basis:
    """The features of m faces in an orthonormal basis of their span, if that is smaller."""

    def __init__(self, phi: Tensor) -> None:
        self.middle = phi.mean(0)
        self.q, self.x = None, phi - self.middle
        if len(phi) < phi.shape[1]:
            q, r = torch.linalg.qr(self.x.T)
            new = r.diagonal().abs() > 1e-5 * r.diagonal().abs().max()  # of faces that others do not explain
            new[0] = True  # photographs without features
            self.q, self.x = q[:, new], r[new].T.contiguous()

    @torch.no_grad()
    def inwards(self, net: nn.Sequential) -> nn.Sequential:
        """The network on these coordinates that equals `net` on the features."""
        w, b = net[0].weight, net[0].bias + net[0].weight @ self.middle
        first = _zeros(self.x.shape[1], len(w))
        first.weight.copy_(w if self.q is None else w @ self.q)
        first.bias.copy_(b)
        return nn.Sequential(first, *net[1:])

    @torch.no_grad()
    def outwards(self, inner: nn.Sequential, net: nn.Sequential, init: nn.Sequential | None = None) -> None:
        """Undo `inwards`: set the first layer of `net`, which shares the others. Outside the span it is that of `init`,
        or 0."""
        w = inner[0].weight
        if self.q is not None and init is not None:
            old = init[0].weight
            w = old + (w - old @ self.q) @ self.q.T
        elif self.q is not None:
            w = w @ self.q.T
        net[0].weight.copy_(w)
        net[0].bias.copy_(inner[0].bias - net[0].weight @ self.middle)


# ------------------------------------------------------------------------------------------------------ the cascade


class Cascade(nn.Module):
    """A cascade of regression networks: images and boxes of faces -> landmarks, px of the photographs.

    It computes on the CPU, beside OpenCV. Before its training it predicts the mean shape.

    Args:
        mean: S̄, (p, 2), in the frame of the face.
        how: its sides, hidden units, patch and margin.

    Paper B, equations 1 and 10.

    >>> cascade = Cascade(torch.rand(5, 2), Settings(sides=(32,), hidden=(4,)))
    >>> cascade.predict([torch.zeros(3, 60, 60).byte()], torch.tensor([[10.0, 10.0, 40.0, 40.0]])).shape
    torch.Size([1, 5, 2])
    """

    def __init__(self, mean: Float[Tensor, "p 2"], how: Settings = PAPER) -> None:
        super().__init__()
        _checks.points(mean, "mean")
        _check_settings(how)
        self.how = how
        self.register_buffer("mean", mean.double())
        self.stages = nn.ModuleList(network(len(mean), how.hidden) for _ in how.sides)

    def features(self, pictures: Tensor, shapes: Tensor, stage: int) -> Tensor:
        """The features of a stage.

        Args:
            pictures: (b, n, n) uint8, gray crops of the stage.
            shapes: (b, p, 2), in the frame of the face.
            stage: its number, from 0.

        Returns:
            (b, 128 p).
        """
        side, n = self.how.sides[stage], pictures.shape[-1]
        return features(pictures, side * (shapes - 0.5) + (n - 1) / 2, self.how.patch).flatten(1)

    @_checks.full_precision
    @torch.no_grad()
    def trace(self, images: Any, boxes: Float[Tensor, "b 4"]) -> Float[Tensor, "steps b p 2"]:
        """The landmarks before the first stage and after each one.

        Args:
            images: b photographs, each (c, h, w) uint8.
            boxes: (b, 4): x, y, w, h, px, of the kind that the training had.

        Returns:
            (stages + 1, b, p, 2), px, float64.
        """
        boxes = _boxes(boxes, len(images))
        pictures = _cut(images, boxes, self.how)
        shapes = [self.mean.expand(len(boxes), -1, -1)]
        for k, (side, net) in enumerate(zip(self.how.sides, self.stages, strict=True)):
            shift = net(self.features(pictures[side], shapes[-1], k))
            shapes.append(shapes[-1] + shift.double().view_as(shapes[-1]))
        return from_face(torch.stack(shapes), boxes.expand(len(shapes), -1, -1))

    def predict(self, images: Any, boxes: Float[Tensor, "b 4"]) -> Float[Tensor, "b p 2"]:
        """The landmarks of faces.

        Args:
            images: b photographs, each (c, h, w) uint8.
            boxes: (b, 4), px, of the kind that the training had.

        Returns:
            (b, p, 2), px, float64.
        """
        return self.trace(images, boxes)[-1]


@_checks.full_precision
@_checks.with_gradients
def fit_cascade(
    images: Any, landmarks: Float[Tensor, "m p 2"], boxes: Float[Tensor, "m 4"] | None = None,
    how: Settings = PAPER, *, init: Cascade | None = None, folder: str | Path | None = None, seed: int = 0,
    progress: Progress | None = None,
) -> Coupled:  # fmt: skip
    """Train a cascade on faces that label different landmarks, and complete their shapes.

    With a folder, the state is saved after every minimisation, and the same call resumes it from there; a finished
    training is returned at once. It resumes to the last bit on the same machine with as many threads.

    Args:
        images: m photographs, each (c, h, w) uint8: a list, or anything with a length that loads images[i].
        landmarks: (m, p, 2), px, of the union; NaN where not labelled. `schemes.shared` tells the places of a scheme's
            landmarks in those of a union.
        boxes: (m, 4), px: x, y, w, h of each face; None: as in `union_mean`. Predictions need boxes of the same kind.
        how: the settings.
        init: a trained cascade of the same landmarks, sides, hidden units, patch and margin, to fine-tune: the weights
            start there, S̄ is its mean shape, and the decay is of what changes. None: random weights.
        folder: the folder of the state, ``coupled.pt``; one training a folder.
        seed: of the hidden weights that L-BFGS starts from.
        progress: called at each evaluation with a dict of stage, round, evaluation and objective.

    Returns:
        A Coupled. Each row of its history has the objective `after_h` and `after_f` of its round, how far H `moved`
        (the largest change), the number of evaluations, and seconds; round 0 is the start of a stage.

    Raises:
        ValueError: another training in the folder; `init` is another kind of cascade, or linear; an image smaller than
            a pixel of its crop or a crop smaller than the patch; and as in `union_mean` and `label_sets`.

    Paper B, equations 9-15. Its 74-point set has 14,360 faces; a run of 3,478 and 3,478 is our size.

    >>> images, x = list(torch.randint(0, 256, (6, 1, 60, 60)).byte()), 10 + 40 * torch.rand(6, 5, 2)
    >>> x[:3, 0] = x[3:, 4] = torch.nan
    >>> found = fit_cascade(images, x, how=Settings(sides=(40,), hidden=(8,), evaluations=5, rounds=1))
    >>> found.completed.isfinite().all(), found.H.shape
    (tensor(True), torch.Size([2, 5, 5]))
    """
    _check_settings(how)
    _checks.whole(seed, "seed", 0)
    known, which = label_sets(landmarks)
    need(len(images) == len(landmarks), "images", f"one for each of {len(landmarks)} faces", len(images))
    landmarks, boxes = landmarks.detach().double(), None if boxes is None else _boxes(boxes, len(landmarks))
    mean, boxes = (x.detach() for x in union_mean(landmarks, boxes))
    if init is not None:
        _check_init(init, how, len(mean))
        mean = init.mean
    identity = {"settings": repr(how), "seed": repr(seed), "init": init and _digest(init)}
    truth, cascade = to_face(landmarks, boxes), Cascade(mean, how)
    if init is not None:
        cascade.load_state_dict(init.state_dict())
    run = _State(cascade, truth, known, which, init, Path(folder) if folder is not None else None)
    run.resume(identity | {"landmarks": landmarks, "boxes": boxes})
    pictures = _cut(images, boxes, how, set(how.sides[run.stage :]))
    basis, of = None, -1
    while run.stage < len(how.sides):
        if of != run.stage:
            of = run.stage
            basis = _Basis(cascade.features(pictures[how.sides[of]], run.shapes, of))
        run.advance(basis, torch.Generator().manual_seed(2**16 * seed + of), progress)
        run.save()
    completed = truth if run.H is None else _completed(run.H, truth, which)
    return Coupled(cascade=cascade, known=known, H=run.H, completed=from_face(completed, boxes), boxes=boxes,
                   history=run.rows)  # fmt: skip


def load_cascade(path: str | Path) -> Cascade:
    """Read the cascade of a finished training.

    Args:
        path: the file ``coupled.pt`` that `fit_cascade` left in its folder.

    Raises:
        ValueError: no such file, or a training that was not finished: the same call of `fit_cascade` finishes it.

    >>> from tempfile import TemporaryDirectory
    >>> images, x = [torch.zeros(1, 60, 60).byte()] * 4, 10 + 40 * torch.rand(4, 5, 2)
    >>> with TemporaryDirectory() as folder:
    ...     _ = fit_cascade(images, x, how=Settings(sides=(40,), hidden=()), folder=folder)
    ...     load_cascade(Path(folder) / "coupled.pt").how.sides
    (40,)
    """
    path = Path(path)
    need(path.is_file(), "path", "the file coupled.pt of a training", path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    cascade = Cascade(state["weights"]["mean"], Settings(**state["how"]))
    trained, stages = state["stage"], len(cascade.stages)
    need(trained == stages, "path", f"a training of all {stages} stages", trained, "fit_cascade resumes it")
    cascade.load_state_dict(state["weights"])
    return cascade


class _State:
    """The state of a training between two minimisations, in memory and in its folder."""

    def __init__(
        self, cascade: Cascade, truth: Tensor, known: Tensor, which: Tensor, init: Cascade | None, folder: Path | None
    ) -> None:
        self.cascade, self.truth, self.known, self.which = cascade, truth, known, which
        self.init, self.folder = init, folder
        self.stage, self.round, self.H, self.rows = 0, 0, None, []
        self.shapes = cascade.mean.expand_as(truth)

    def advance(self, basis: _Basis, generator: torch.Generator, progress: Progress | None) -> None:
        """Minimise once more: over F, and before over H unless the stage begins."""
        began, how, net = time.perf_counter(), self.cascade.how, self.cascade.stages[self.stage]
        inner, moved, init, old = basis.inwards(net), torch.nan, None, None
        if self.init is not None:
            init = self.init.stages[self.stage]
            old = basis.inwards(init)
        if self.round:
            with torch.no_grad():
                found = self.shapes + inner(basis.x).double().view_as(self.shapes)
            before, self.H = self.H, _matrices(self.truth, found, self.known, self.which, how.tau)
            moved = torch.nan if before is None else (self.H - before).abs().max().item()
        whole = self.truth if self.H is None else _completed(self.H, self.truth, self.which)
        weight = (~whole.isnan().any(-1)).float()
        fitted = basis.x, (whole - self.shapes).nan_to_num(nan=0.0).float(), weight
        if not self.round and init is None:
            start(inner, *fitted, how.decay, generator)
        after_h = drn_objective(inner, *fitted, how.decay, old).item()

        def report(evaluation: int, value: float) -> None:
            if progress:
                at = {"stage": self.stage + 1, "round": self.round, "evaluation": evaluation, "objective": value}
                progress(at)

        evaluations = minimise(inner, *fitted, how, report, old) if how.hidden else 0
        if self.round and not how.hidden:
            start(inner, *fitted, how.decay, generator)  # least squares
        after_f = drn_objective(inner, *fitted, how.decay, old).item()
        basis.outwards(inner, net, init)
        row = {"stage": self.stage + 1, "round": self.round, "after_h": after_h, "after_f": after_f, "moved": moved}
        self.rows.append(row | {"evaluations": evaluations, "seconds": time.perf_counter() - began})
        with torch.no_grad():
            self._next(basis, net)

    def _next(self, basis: _Basis, net: nn.Sequential) -> None:
        """Decide whether the stage is over: nothing to approximate, the rounds used up, or all stands still."""
        how, rows = self.cascade.how, [row["after_f"] for row in self.rows if row["stage"] == self.stage + 1]
        comparable = self.round > (1 if self.stage == 0 else 0)  # equation 11 is another objective
        still = comparable and rows[-1] >= (1 - how.still) * rows[-2]
        if not (still or self.known.all() or self.round == how.rounds):
            self.round += 1
            return
        shift = basis.inwards(net)(basis.x).double()
        self.stage, self.round, self.shapes = self.stage + 1, 0, self.shapes + shift.view_as(self.shapes)

    def save(self) -> None:
        """Write the state to a temporary file, then rename it."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            aside, state = self.folder / "coupled.tmp", {name: getattr(self, name) for name in self.KEPT}
            state |= {"how": self.cascade.how._asdict(), "weights": self.cascade.state_dict()}
            torch.save(state, aside)
            aside.replace(self.folder / "coupled.pt")

    KEPT = ("stage", "round", "shapes", "H", "rows", "identity")

    def resume(self, identity: dict[str, Any]) -> None:
        """Load the state that the folder holds, if there is one."""
        self.identity = identity
        path = self.folder and self.folder / "coupled.pt"
        if not path or not path.exists():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        other = [k for k, v in identity.items() if not _equal(v, state["identity"].get(k))]
        need(not other, "folder", "one that holds this training, or none", f"one of other {', '.join(other)}",
             "name another folder, or delete it")  # fmt: skip
        self.cascade.load_state_dict(state["weights"])
        for name in self.KEPT:
            setattr(self, name, state[name])


# ------------------------------------------------------------------------------------------------------- the rivals


class Separate(NamedTuple):
    """Several cascades, each of some landmarks of the union; those of several are averaged.

    >>> cascade = Cascade(torch.rand(2, 2), Settings(sides=(32,), hidden=()))
    >>> both = Separate([cascade, cascade], torch.tensor([[True, True, False], [False, True, True]]))
    >>> both.predict([torch.zeros(3, 60, 60).byte()], torch.tensor([[10.0, 10.0, 40.0, 40.0]])).shape
    torch.Size([1, 3, 2])
    """

    cascades: list[Cascade]
    known: Bool[Tensor, "sets p"]  #: the landmarks that each predicts

    def predict(self, images: Any, boxes: Float[Tensor, "b 4"]) -> Float[Tensor, "b p 2"]:
        """The union of landmarks.

        Args:
            images: as in `Cascade.predict`.
            boxes: as in `Cascade.predict`.

        Returns:
            (b, p, 2), px, float64.
        """
        total = boxes.new_zeros(len(images), self.known.shape[1], 2, dtype=torch.float64)
        for cascade, own in zip(self.cascades, self.known, strict=True):
            total[:, own] += cascade.predict(images, boxes)
        return total / self.known.sum(0)[:, None]


def fit_separate(
    images: Any, landmarks: Float[Tensor, "m p 2"], boxes: Float[Tensor, "m 4"] | None = None,
    how: Settings = PAPER, *, init: Separate | None = None, folder: str | Path | None = None, seed: int = 0,
    progress: Progress | None = None,
) -> Separate:  # fmt: skip
    """Train a cascade for each set of labels on its own faces: the paper's "Deep"; with `hidden=()`, SDM.

    Args:
        images: as in `fit_cascade`.
        landmarks: as in `fit_cascade`.
        boxes: as in `fit_cascade`.
        how: as in `fit_cascade`; its tau and rounds have no use.
        init: cascades to fine-tune, of the same sets of labels.
        folder: a folder, which gets one a set.
        seed: as in `fit_cascade`.
        progress: as in `fit_cascade`.

    Returns:
        A Separate.

    Paper B, sections 4.2.1 and 4.3.

    >>> images, x = [torch.zeros(1, 60, 60).byte()] * 4, 10 + 40 * torch.rand(4, 5, 2)
    >>> x[:2, 0] = x[2:, 4] = torch.nan
    >>> fit_separate(images, x, how=Settings(sides=(40,), hidden=())).known.sum(1)
    tensor([4, 4])
    """
    known, which = label_sets(landmarks)
    need(init is None or torch.equal(init.known, known), "init", "cascades of these sets of labels", "others")
    _, boxes = union_mean(landmarks, boxes)
    cascades = []
    for i, own in enumerate(known):
        faces = (which == i).nonzero().flatten()
        aside, these = None if folder is None else Path(folder) / f"set-{i + 1}", Subset(images, faces.tolist())
        found = fit_cascade(these, landmarks[faces][:, own], boxes[faces], how, init=init and init.cascades[i],
                            folder=aside, seed=seed, progress=progress)  # fmt: skip
        cascades.append(found.cascade)
    return Separate(cascades, known)


def fit_deep_sparse(
    images: Any, landmarks: Float[Tensor, "m p 2"], boxes: Float[Tensor, "m 4"] | None = None,
    how: Settings = PAPER, *, folder: str | Path | None = None, seed: int = 0, progress: Progress | None = None,
) -> Coupled:  # fmt: skip
    """Train in two steps, the paper's "Deep + Sparse": complete all shapes once, then train one cascade on them.

    The separate cascades predict what each set lacks; H, fitted to these predictions once, refines them; the cascade
    is trained on the labelled and the refined landmarks.

    Args:
        images: as in `fit_cascade`.
        landmarks: as in `fit_cascade`.
        boxes: as in `fit_cascade`.
        how: as in `fit_cascade`.
        folder: a folder, which gets one a set and the one of the last training, ``union``.
        seed: as in `fit_cascade`.
        progress: as in `fit_cascade`.

    Returns:
        A Coupled, with the H that refined.

    Paper B, section 4.2.1.

    >>> images, x = [torch.zeros(1, 60, 60).byte()] * 4, 10 + 40 * torch.rand(4, 5, 2)
    >>> x[:2, 0] = x[2:, 4] = torch.nan
    >>> fit_deep_sparse(images, x, how=Settings(sides=(40,), hidden=())).completed.isfinite().all()
    tensor(True)
    """
    known, which = label_sets(landmarks)
    _, boxes = union_mean(landmarks, boxes)
    alone = fit_separate(images, landmarks, boxes, how, folder=folder, seed=seed, progress=progress)
    truth, found = (to_face(x, boxes) for x in (landmarks.double(), alone.predict(images, boxes)))
    H = _matrices(truth, found, known, which, how.tau)
    whole = from_face(_completed(H, truth, which), boxes)
    aside = None if folder is None else Path(folder) / "union"
    return fit_cascade(images, whole, boxes, how, folder=aside, seed=seed, progress=progress)._replace(known=known, H=H)


# ------------------------------------------------------------------------------------------------------------ parts


def _matrices(truth: Tensor, found: Tensor, known: Tensor, which: Tensor, tau: float) -> Tensor:
    """H of each set by equations 12-14, (sets, p, p); `found` is Y = F + S̄."""
    H = torch.diag_embed(known.double())
    for i, own in enumerate(known):
        faces = which == i
        if not own.all():
            h = fit_h(truth[faces][:, own], found[faces][:, ~own], tau).H
            rows, columns = (x.nonzero().flatten() for x in (~own, own))
            H[i, rows[:, None], columns] = h
    return H


def _completed(H: Tensor, truth: Tensor, which: Tensor) -> Tensor:
    """S_H of each face, equation 8."""
    whole = torch.empty_like(truth)
    for i, h in enumerate(H):
        whole[which == i] = h @ truth[which == i].nan_to_num(nan=0.0)
    return whole


def _cut(images: Any, boxes: Tensor, how: Settings, sides: set[int] | None = None) -> dict[int, Tensor]:
    """Gray crops (b, n, n) of each size of the face; each image is loaded once."""
    sides = set(how.sides) if sides is None else sides
    sizes = {side: round(how.margin * side) for side in sides}
    out = {side: torch.empty(len(boxes), n, n, dtype=torch.uint8) for side, n in sizes.items()}
    luma = torch.tensor(LUMA)[:, None, None]
    for i in range(len(boxes) if sides else 0):
        image = images[i]
        for side, n in sizes.items():
            crop = crops.cut(image, crops.frame(tuple(boxes[i].tolist()), n, n / side), n)
            out[side][i] = crop[0] if len(crop) == 1 else (crop[:3] * luma).sum(0).round().byte()
    return out


def _square(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The longer side of each box, and the upper left corner of the square of that side around its centre."""
    side = boxes[..., 2:].amax(-1)
    return side, boxes[..., :2] + (boxes[..., 2:] - side[..., None]) / 2


def _box(points: Tensor) -> Tensor:
    """The bounding boxes (..., 4) of the landmarks (..., p, 2) that are not NaN."""
    gone = points.isnan()
    low, high = (
        getattr(points.masked_fill(gone, fill), f)(-2) for fill, f in ((torch.inf, "amin"), (-torch.inf, "amax"))
    )
    return torch.cat([low, high - low], -1)


def _frame(points: Tensor, boxes: Tensor, name: str = "points") -> None:
    _checks.points(points, name, nan=True)
    _checks.floats(boxes, "boxes")
    need(boxes.shape == (*points.shape[:-2], 4), "boxes", f"(..., 4), one a shape of {tuple(points.shape)}",
         tuple(boxes.shape))  # fmt: skip
    _checks.same(**{name: points, "boxes": boxes})
    _checks.finite(boxes, "boxes")


def _boxes(boxes: Tensor, m: int) -> Tensor:
    """The boxes in double precision; refuse what are no boxes of m faces."""
    _checks.floats(boxes, "boxes")
    need(boxes.shape == (m, 4), "boxes", f"(x, y, w, h) of each face, ({m}, 4)", tuple(boxes.shape))
    _checks.finite(boxes, "boxes", "leave such faces out")
    bad = ((boxes[:, 2:] < 0).any(1) | (boxes[:, 2:].amax(1) <= 0)).nonzero().flatten().tolist()
    need(not bad, "boxes", "w and h above 0", f"others for face {bad[:1]}", "is it (x, y, x, y)?")
    return boxes.double()


def _check_settings(how: Settings) -> None:
    _checks.kind(how, "how", Settings)
    need(how.sides, "how.sides", "one stage or more", "none")
    for side in how.sides:
        _checks.whole(side, "how.sides", 2)
    for units in how.hidden:
        _checks.whole(units, "how.hidden")
    for name in ("decay", "tol", "patch"):
        _checks.positive(getattr(how, name), f"how.{name}")
    _checks.number(how.margin, "how.margin", 1)
    _checks.number(how.still, "how.still", 0, 1)
    _checks.whole(how.evaluations, "how.evaluations")
    _checks.whole(how.rounds, "how.rounds", 0)
    need(isinstance(how.tau, int | float) and how.tau >= 0, "how.tau", "a budget >= 0 for |h|₁, inf for none", how.tau)
    small = round(how.margin * min(how.sides))
    need(how.patch <= small, "how.patch", f"at most {small} px, the smallest crop", how.patch)


def _check_init(init: Cascade, how: Settings, p: int) -> None:
    _checks.kind(init, "init", Cascade)
    need(len(init.mean) == p, "init", f"a cascade of these {p} landmarks", f"one of {len(init.mean)}")
    need(how.hidden, "init", "hidden units, to fine-tune", "none: a linear stage is least squares from any start")
    for name in ("sides", "hidden", "patch", "margin"):
        ours, its = getattr(how, name), getattr(init.how, name)
        need(ours == its, f"how.{name}", f"{its}, that of init", ours)


def _digest(cascade: Cascade) -> str:
    return hashlib.sha256(b"".join(w.numpy().tobytes() for w in cascade.state_dict().values())).hexdigest()


def _equal(a: object, b: object) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and bool(torch.isclose(a, b, rtol=0, atol=0, equal_nan=True).all())
    return a == b
