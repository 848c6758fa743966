"""Training on sets that label different landmarks, the missing ones completed in turn (paper B's idea, any network).

Paper B completes faces while it trains a cascade (`coupled_regression`). The same alternation serves a network that is
trained by steps over batches. Let S_I be the labelled landmarks of a crop and F(I) the prediction of all landmarks:

- **Start.** The network is trained on the labels alone; its loss ignores what is missing (eq. 11).
- **In turn.** For each set of labels, H is a lasso under a budget, |h|₁ ≤ τ, that tells the missing landmarks of all
  predictions from the labelled ones. Applied to labels, it completes them, and the network is trained on (eq. 15).

Paper B fits H S_I to F(I) (eq. 12-14). Early predictions of a network that learns by steps are drawn towards the mean
face, and such an H learns that. Here both sides are predictions: H is fitted to deviations of predicted shapes from
their mean, in its frame, and what is completed goes with the labels, `by_deviations`.

No crop needs all landmarks. Whether this gains over ignoring what is missing is a question of the data: the experiment
`completed_training` asks it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lddmmlib import _checks
from lddmmlib._checks import need
from lddmmlib._shapes import Float
from lddmmlib.data import crops
from lddmmlib.data.crops import Crop
from lddmmlib.faces.statistics import similarity
from lddmmlib.methods.sparse_shape_regression import fit_h


class Alternation(NamedTuple):
    """The end of an alternating training; the model itself was trained in place.

    >>> Alternation(shapes=None, runs=[]).runs
    []
    """

    shapes: Tensor | None  #: (m, n, 2), px of the photographs: labels, and what was completed last; None without rounds
    runs: list[Any]  #: what `fit` returned, of the start and of each round


class Completed(Dataset):
    """Crops whose missing landmarks are filled in from whole shapes, in every augmentation.

    Args:
        data: a dataset of crops; also with `draw(index, rng)`, as in `training.fit`.
        shapes: (m, n, 2), px of the photographs.
        flip: which landmark becomes which when a face is flipped; None if no crop is.

    >>> crop = Crop(torch.zeros(3, 8, 8).byte(), torch.tensor([[1.0, 2.0], [torch.nan, torch.nan]]),
    ...             torch.tensor([True, False]), torch.tensor([True, False]), torch.eye(2, 3).double())
    >>> Completed([crop], torch.tensor([[[9.0, 9.0], [5.0, 6.0]]]))[0].landmarks.tolist()
    [[1.0, 2.0], [5.0, 6.0]]
    """

    def __init__(self, data: Any, shapes: Float[Tensor, "m n 2"], flip: Sequence[int] | None = None) -> None:
        need(len(shapes) == len(data), "shapes", f"one of each of {len(data)} crops", len(shapes))
        self.data, self.shapes, self.flip = data, shapes.double(), None if flip is None else list(flip)
        if hasattr(data, "draw"):
            self.draw = lambda index, rng: self._filled(index, data.draw(index, rng))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Crop:
        return self._filled(index, self.data[index])

    def _filled(self, index: int, crop: Crop) -> Crop:
        whole = crops.apply(crop.affine.double(), self.shapes[index])
        if crop.affine[:, :2].det() < 0:
            need(self.flip is not None, "flip", "the landmarks of flipped faces", None)
            whole = whole[self.flip]
        points = torch.where(crop.landmarks.isnan(), whole.to(crop.landmarks), crop.landmarks)
        inside = ((points >= -0.5) & (points <= crop.image.shape[-1] - 0.5)).all(-1)
        return crop._replace(landmarks=points, inside=inside)


@_checks.full_precision
def complete(labels: Float[Tensor, "m n 2"], found: Float[Tensor, "m n 2"], tau: float = 1.4) -> Float[Tensor, "m n 2"]:
    """Complete faces by matrices H that are fitted to predicted shapes, one matrix for each set of labels.

    Args:
        labels: (m, n, 2), px; NaN where not labelled.
        found: (m, n, 2), px, the predictions of all landmarks.
        tau: the budget of a row of H.

    Returns:
        (m, n, 2): the labels, and `by_deviations` where there are none.

    Raises:
        ValueError: a face or a landmark without labels, predictions that are not finite or all of a face in one place,
            a negative budget.

    Paper B, equations 7, 8 and 12-14, for deviations.

    >>> found = 9 * torch.rand(8, 4, 2).double()
    >>> found[:, 3] = found[:, :3].mean(1)
    >>> labels = 2 * found  # H does not mind that the predictions are too small
    >>> labels[4:, 3] = torch.nan
    >>> torch.allclose(complete(labels, found), 2 * found)
    True
    """
    _checks.points(labels, "labels", nan=True)
    _checks.points(found, "found")
    _checks.same(labels=labels, found=found)
    need(labels.ndim == 3, "labels", "(faces, n, 2)", tuple(labels.shape))
    need(isinstance(tau, int | float) and tau >= 0, "tau", "a budget >= 0 for |h|₁, inf for none", tau)
    need(
        found.shape == labels.shape, "found", f"predictions like the labels, {tuple(labels.shape)}", tuple(found.shape)
    )
    labelled = ~labels.isnan().any(-1)
    for each, what in ((labelled.any(1), "face"), (labelled.any(0), "landmark")):
        gone = (~each).nonzero().flatten().tolist()
        need(not gone, "labels", f"one or more for each {what}", f"none for {what} {gone[:5]}", "leave it out")
    whole = labels.clone()
    known, which = torch.unique(labelled, dim=0, return_inverse=True)
    for i, own in enumerate(known):
        faces, lost = (which == i).nonzero(), (~own).nonzero().flatten()
        if len(lost):
            x = labels[faces[:, 0]].double()
            whole[faces, lost] = by_deviations(found.double(), x, None, own, lost, tau).to(labels)
    return whole


def by_deviations(
    shapes: Float[Tensor, "m n 2"], x: Float[Tensor, "k n 2"], guess: Float[Tensor, "k n 2"] | None, known: Tensor,
    wanted: Tensor, tau: float
) -> Float[Tensor, "k q 2"]:  # fmt: skip
    """Landmarks of faces from others of them, S⁰_M + H (S_K - S⁰_K), with H fitted to deviations from a mean shape.

    The shapes are moved by similarities onto their mean, so that each counts alike. As the weights are numbers, the
    same for x and y, the result turns, moves and grows with the face.

    Args:
        shapes: (m, n, 2), which H is fitted to; NaN in landmarks that are neither known nor wanted.
        x: (k, n, 2), px, the faces; only the known landmarks are read.
        guess: S⁰, (k, n, 2), px; None: the mean of the shapes, moved onto the known landmarks by a similarity.
        known: (n,), bool, the landmarks K.
        wanted: (q,), the numbers of the landmarks M.
        tau: the budget of a row of H.

    Returns:
        (k, q, 2), px.

    >>> shapes = torch.rand(9, 4, 2).double()
    >>> shapes[:, 3] = shapes[:, :3].mean(1)
    >>> known = torch.tensor([True, True, True, False])
    >>> found = by_deviations(shapes, 50 * shapes + 7, None, known, torch.tensor([3]), 10.0)
    >>> torch.allclose(found, 50 * shapes[:, 3:] + 7)
    True
    """
    mean = shapes[0]
    for _ in range(3):  # a mean of all shapes, whichever the first is
        aligned = similarity(shapes[:, known], mean[known].expand(len(shapes), -1, -1)).apply(shapes)
        mean = aligned.mean(0)
    H = fit_h(aligned[:, known] - mean[known], aligned[:, wanted] - mean[wanted], tau).H
    if guess is None:
        guess = mean.expand(len(x), -1, -1)
        guess = similarity(guess[:, known], x[:, known]).apply(guess)
    return guess[:, wanted] + H @ (x[:, known] - guess[:, known])


def alternate(
    fit: Callable[[Any, Path], Any], predict: Callable[[Crop], Tensor], data: Any, *, folder: str | Path,
    rounds: int = 2, tau: float = 1.4, flip: Sequence[int] | None = None, batch: int = 64,
) -> Alternation:  # fmt: skip
    """Train a network on crops that label different landmarks: on labels alone, then on completed faces, in turn.

    Args:
        fit: (data, folder) -> anything: trains the network in place, such as `lambda data, folder: training.fit(model,
            loss, data, folder=folder, ...)`. The loss ignores landmarks that are NaN. It resumes what it finds in the
            folder, and so does the whole.
        predict: a batch of canonical crops -> all landmarks (b, n, 2), px of the crops, by the network as it is.
        data: a dataset of crops, as in `Completed`; landmarks are NaN where not labelled.
        folder: gets a folder for each training, ``round-0``, ``round-1``, ...
        rounds: the number of times that faces are completed and the network is trained on.
        tau: the budget of a row of H.
        flip: as in `Completed`.
        batch: crops of one call of `predict`.

    Returns:
        An `Alternation`.

    Raises:
        ValueError: as in `complete` and `Completed`.

    Paper B, equations 9-15, for networks that are trained on batches.

    >>> x = torch.rand(6, 4, 2).double() * 8
    >>> x[:3, 0] = x[3:, 3] = torch.nan
    >>> still = torch.eye(2, 3).double()
    >>> data = [Crop(torch.zeros(3, 8, 8).byte(), p, ~p[:, 0].isnan(), ~p[:, 0].isnan(), still) for p in x]
    >>> lengths = []
    >>> done = alternate(lambda data, folder: lengths.append(len(data)),
    ...                  lambda batch: batch.landmarks.nan_to_num(nan=4.0), data, folder="nowhere", rounds=1)
    >>> lengths, done.shapes.isfinite().all()
    ([6, 6], tensor(True))
    """
    _checks.whole(rounds, "rounds", 0)
    runs, shapes, seen = [fit(data, Path(folder) / "round-0")], None, data
    for k in range(1, rounds + 1):
        labels, found = [], []
        for crop in DataLoader(data, batch):
            back = crops.inverse(crop.affine.double())
            labels.append(crops.apply(back, crop.landmarks.double()))
            with torch.no_grad():
                found.append(crops.apply(back, predict(crop).detach().cpu().double()))
        shapes = complete(torch.cat(labels), torch.cat(found), tau)
        seen = Completed(data, shapes, flip)
        runs.append(fit(seen, Path(folder) / f"round-{k}"))
    return Alternation(shapes=shapes, runs=runs)
