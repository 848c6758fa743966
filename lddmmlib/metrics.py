"""Errors of predicted landmarks, in units of the size of the face.

A distance in pixels has no meaning until it is divided by the size of the face in that image, the *normaliser*.
The same prediction scores differently by each, so every function here requires its name (w, h: width and height
of the bounding box of the labelled landmarks of the truth):

| normaliser | length | used by |
|---|---|---|
| `"corners"` | between the outer eye corners, "inter-ocular" | A, C, E |
| `"pupils"` | between the pupils, or the centres of the eyes' outlines | older 300W tables |
| `"box"` | √(w h) | C |
| `"diagonal"` | √(w² + h²) | C |
| `"face"` | (w + h) / 2 | B, whose "face size" is undefined: ours is Zhu and Ramanan's (CVPR 2012) |
| numbers | one length per image, for instance of given face boxes; or one for all: 1.0 is pixels | E, for AFLW |

One rule for missing values: **unlabelled landmarks are ignored, impossible values are refused.** A landmark with NaN
in the truth is skipped. An image without labelled landmarks, or whose normaliser is unlabelled, scores NaN, which is
visible in a plain mean. A prediction that is NaN where the truth is not is refused, because ignoring it would improve
the score. All errors are fractions, not percentages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._shapes import Bool, Float
from lddmmlib.faces import schemes
from lddmmlib.faces.schemes import Scheme

NORMALISERS = ("corners", "pupils", "box", "diagonal", "face")
PARTS = ("edge", "brows", "nose", "eyes", "mouth")
Normaliser = str | float | Sequence[float] | np.ndarray | Tensor
AT_ONCE = 2**20  # distances that nme_curve computes at a time: 8 MB in double precision


class NMECurve(NamedTuple):
    """The NME_curve: the mean over the five parts, and the error of each part, all (...,) and divided by the
    normaliser.

    >>> face = torch.rand(68, 2)
    >>> nme_curve(face, face, "300w-68").mouth.item()
    0.0
    """

    value: Tensor
    edge: Tensor
    brows: Tensor
    nose: Tensor
    eyes: Tensor
    mouth: Tensor


@_checks.full_precision
def reference_distance(
    truth: Float[Tensor, "*batch n 2"], normaliser: Normaliser, scheme: str | Scheme | None = None
) -> Float[Tensor, "*batch"]:
    """The length d_i by which the errors of image i are divided: the table above.

    A box knows the labelled landmarks only: with half of a face unlabelled it shrinks and the error grows. In that
    case, pass the data set's own boxes as lengths.

    Args:
        truth: (..., n, 2), NaN where unlabelled.
        normaliser: a name of the table, (...,) lengths, or one number for all; numbers are converted to the truth's
            dtype.
        scheme: the scheme of the truth or its name, used by "corners" and "pupils" only; None for the only scheme of n
            landmarks.

    Returns:
        (...,) lengths in the unit of `truth`; NaN where the required landmarks are not labelled: both corners, all
            points of both pupils, or two landmarks of a box.

    Raises:
        ValueError: a length not above 0 (often missing points coded as (-1, -1)), a scheme of another number of
            landmarks, a scheme without pupils, several schemes of n landmarks and none named, lengths of another shape,
            or no faces at all.

    Paper C, section 5 and appendix B; paper E, section 4.2; paper B, section 4.1.

    >>> truth = torch.tensor([[0.0, 0.0], [30.0, 0.0], [0.0, 40.0]])
    >>> [reference_distance(truth, name).item() for name in ("diagonal", "face")]
    [50.0, 35.0]
    """
    _faces(truth, "truth")
    return _distance(truth, normaliser, scheme)


@_checks.full_precision
def errors(
    pred: Float[Tensor, "*batch n 2"],
    truth: Float[Tensor, "*batch n 2"],
    normaliser: Normaliser,
    scheme: str | Scheme | None = None,
) -> Float[Tensor, "*batch n"]:
    """Point-to-point errors, NME_ij = |S_ij - S*_ij| / d_i, of landmark j in image i.

    Args:
        pred: (..., n, 2), predicted landmarks S.
        truth: (..., n, 2), true landmarks S*, NaN where unlabelled; of the same unit, dtype and device.
        normaliser: as in `reference_distance`.
        scheme: as in `reference_distance`.

    Returns:
        (..., n) fractions of d; NaN where the landmark or d is unlabelled.

    Raises:
        ValueError: NaN in `pred` where the truth is labelled, and the errors of `reference_distance`.

    Paper E, equation 2.

    >>> truth = torch.tensor([[0.0, 0.0], [30.0, 0.0], [0.0, 40.0]])
    >>> pred = torch.tensor([[3.0, 4.0], [30.0, 0.0], [0.0, 50.0]])
    >>> [round(e, 6) for e in errors(pred, truth, "diagonal").tolist()]
    [0.1, 0.0, 0.2]
    """
    _faces(pred, "pred")
    _faces(truth, "truth")
    _checks.same(pred=pred, truth=truth)
    if pred.shape != truth.shape:
        raise ValueError(f"pred, truth: needed one shape, got {tuple(pred.shape)} and {tuple(truth.shape)}")
    labelled = _labelled(truth)
    _refuse_failed(labelled & ~_labelled(pred))
    d = _distance(truth, normaliser, scheme)
    # 0 · NaN is NaN: values masked below must be finite before, or every gradient is NaN.
    offset = (pred - truth).nan_to_num(nan=0.0)
    error = torch.linalg.vector_norm(offset, dim=-1) / d.nan_to_num(nan=1.0)[..., None]
    return error.masked_fill(~labelled | d.isnan()[..., None], torch.nan)


@_checks.full_precision
def nme(
    pred: Float[Tensor, "*batch n 2"],
    truth: Float[Tensor, "*batch n 2"],
    normaliser: Normaliser,
    scheme: str | Scheme | None = None,
    where: Bool[Tensor, "*batch n"] | None = None,
) -> Float[Tensor, "*batch"]:
    """The normalised mean error of each image, NME_i = 1/M Σ_j NME_ij over its M labelled landmarks.

    The NME of a test set is the mean over its images. (Some tables, for instance LUVLi's, divide by n where we divide
    by M.)

    Args:
        pred: (..., n, 2), predicted landmarks.
        truth: (..., n, 2), true landmarks, NaN where unlabelled.
        normaliser: as in `reference_distance`.
        scheme: as in `reference_distance`.
        where: (..., n), True for the landmarks that count; the normaliser uses all. `where=visible` and
            `where=~visible` score visible and occluded landmarks separately.

    Returns:
        (...,) fractions; NaN where no landmark counts.

    Raises:
        ValueError: a mask of another shape, and the errors of `errors`.

    Paper E, equation 1; paper C, appendix B, where v_k marks the labelled landmarks.

    >>> truth = torch.tensor([[0.0, 0.0], [30.0, 0.0], [0.0, 40.0]])
    >>> pred = torch.tensor([[3.0, 4.0], [30.0, 0.0], [0.0, 50.0]])
    >>> round(nme(pred, truth, "diagonal").item(), 6)
    0.1
    """
    _faces(truth, "truth")
    if where is not None:
        _checks.tensor(where, "where")
    if where is not None and (where.dtype != torch.bool or where.shape != truth.shape[:-1]):
        wanted = f"a boolean per landmark, shape {tuple(truth.shape[:-1])}"
        raise ValueError(f"where: needed {wanted}; got {where.dtype} of shape {tuple(where.shape)}")
    error = errors(pred, truth, normaliser, scheme)
    return (error if where is None else error.masked_fill(~where, torch.nan)).nanmean(-1)


@_checks.full_precision
def nrmse(
    pred: Float[Tensor, "*batch n 2"],
    truth: Float[Tensor, "*batch n 2"],
    normaliser: Normaliser,
    scheme: str | Scheme | None = None,
) -> Float[Tensor, "*batch"]:
    """The normalised root mean square error of each image, √(1/M Σ_j NME_ij²) over its M labelled landmarks.

    It is at least the NME, with equality if all landmarks have the same error.

    Args:
        pred: (..., n, 2), predicted landmarks.
        truth: (..., n, 2), true landmarks, NaN where unlabelled.
        normaliser: as in `reference_distance`.
        scheme: as in `reference_distance`.

    Returns:
        (...,) fractions; NaN where no landmark is labelled.

    Raises:
        ValueError: the errors of `errors`.

    Paper B, section 4.1, which normalises by "face" and reports the proportion of faces below a threshold: `ced`.

    >>> truth = torch.tensor([[0.0, 0.0], [30.0, 0.0], [0.0, 40.0]])
    >>> pred = torch.tensor([[3.0, 4.0], [30.0, 0.0], [0.0, 50.0]])
    >>> round(3 * nrmse(pred, truth, "diagonal").item() ** 2, 6)
    0.05
    """
    error = errors(pred, truth, normaliser, scheme)
    m = (~error.isnan()).sum(-1).to(error.dtype)
    # A norm instead of the root of a mean: its gradient at a perfect prediction is 0, not NaN.
    return torch.linalg.vector_norm(error.nan_to_num(nan=0.0), dim=-1) / m.sqrt()


@_checks.full_precision
def failure_rate(errors: Float[Tensor, "images ..."], threshold: float) -> Float[Tensor, ""]:
    """The proportion of errors above a threshold, by image (FR^I) or by landmark (FR^L).

    FR^I is the proportion of images with NME_i > threshold. FR^L is, for each landmark, the proportion of images with
    NME_ij > threshold, averaged over landmarks. If everything is labelled, that is the fraction of all pairs; otherwise
    a landmark that is rarely labelled has the same weight as any other. NaN is ignored; inf, for a face that was not
    detected, is a failure.

    Args:
        errors: (images,) from `nme` for FR^I, or (images, landmarks) from `errors` for FR^L.
        threshold: in the unit of the errors.

    Returns:
        A fraction, without axes.

    Raises:
        ValueError: a threshold not above 0, other axes, negative errors, or only NaN.

    Paper E, sections 4.2 (FR^I) and 4.3 (FR^L).

    >>> failure_rate(torch.tensor([0.02, 0.05, 0.10, 0.30]), 0.1).item()
    0.25
    """
    table = _table(errors)
    _checks.positive(threshold, "threshold")
    return _over_images_then_landmarks(table > threshold, table)


@_checks.full_precision
def ced(errors: Float[Tensor, "images ..."], thresholds: Sequence[float] | np.ndarray | Tensor) -> Float[Tensor, " k"]:
    """The cumulative error distribution, CED(t): the proportion of errors that are at most t, 1 - FR_t.

    Args:
        errors: (images,) or (images, landmarks), as in `failure_rate`.
        thresholds: (k,), at least 0, in any order; they are converted to the errors' dtype.

    Returns:
        (k,) fractions.

    Raises:
        ValueError: thresholds that are negative or not finite, and the errors of `failure_rate`.

    Paper E, section 4.2 and figures 8-10 (by landmark); paper B, section 4.1 (its CDF).

    >>> ced(torch.tensor([0.02, 0.05, 0.10, 0.30]), [0.0, 0.05, 0.2]).tolist()
    [0.0, 0.5, 0.75]
    """
    table = _table(errors)
    try:
        at = torch.as_tensor(thresholds, dtype=table.dtype, device=table.device)
    except (TypeError, ValueError, RuntimeError):
        got = _checks.said(thresholds)
        raise TypeError(f"thresholds: needed (k,) numbers on the errors' device, got {got}") from None
    if at.ndim != 1 or not ((at >= 0) & at.isfinite()).all():
        raise ValueError(f"thresholds: needed (k,) finite numbers >= 0, got {at.tolist()}; drop the others")
    # Sorted once, looked up k times. NaN cannot be sorted; inf is above every finite threshold.
    missing = table.isnan()
    ranks = table.masked_fill(missing, torch.inf).T.contiguous().sort(-1).values
    within = torch.searchsorted(ranks, at.expand(len(ranks), -1).contiguous(), right=True).to(table.dtype)
    share = (within / (~missing).sum(0)[:, None]).nanmean(0)  # a landmark that is never labelled: 0/0, ignored
    # The CED never decreases; a mean of rounded numbers may, by the last bit.
    at, order = at.sort()
    return torch.empty_like(share).index_put_((order,), share[order].cummax(-1).values)


@_checks.full_precision
def auc(errors: Float[Tensor, "images ..."], threshold: float) -> Float[Tensor, ""]:
    """The area under the CED up to a threshold t, 1/t ∫_0^t CED(s) ds: exactly the mean of max(0, 1 - e/t).

    The CED is a step function that rises at each error e, so its area is this sum: no grid, no quadrature.

    Args:
        errors: (images,) or (images, landmarks), as in `failure_rate`; an error of inf counts as 0.
        threshold: t, in the unit of the errors.

    Returns:
        A fraction, without axes: 1 for perfect predictions, 0 if all errors exceed the threshold.

    Raises:
        ValueError: as in `failure_rate`.

    Paper C, section 5; paper E, section 4.2.

    >>> round(auc(torch.tensor([0.02, 0.05, 0.10, 0.30]), 0.1).item(), 6)
    0.325
    """
    table = _table(errors)
    _checks.positive(threshold, "threshold")
    return _over_images_then_landmarks((1 - table / threshold).clamp(min=0), table)


@_checks.full_precision
def nme_curve(
    pred: Float[Tensor, "*batch k 2"],
    truth: Float[Tensor, "*batch m 2"],
    pred_scheme: str | Scheme,
    truth_scheme: str | Scheme | None = None,
    normaliser: Normaliser = "corners",
) -> NMECurve:
    """The NME_curve: a distance between the curves of two faces whose landmarks do not correspond.

    For each of five parts, with P its predicted points and T its true ones, one correspondence step of ICP:

        1 / (|P| + |T|) · ( Σ_{p in P} min_{t in T} |p - t| + Σ_{t in T} min_{p in P} |t - p| ) / d,

    then the mean over the parts. It compares points, not lines: missing points of a curve increase it, however accurate
    the others are. Pupils are on no curve and are ignored: the paper's curves exclude WFLW's 96 and 97 too.

    Args:
        pred: (..., k, 2), landmarks of `pred_scheme`. NaN is an absent point, here and in the truth: a subset of a
            scheme is that scheme with NaN elsewhere.
        truth: (..., m, 2), landmarks of `truth_scheme`.
        pred_scheme: a scheme or its name.
        truth_scheme: a scheme or its name; None for that of the prediction.
        normaliser: of the truth, as in `reference_distance`.

    Returns:
        An NMECurve of fractions. A part that one of the schemes lacks or the truth does not label is NaN and ignored in
            the mean; everything is NaN where the normaliser is.

    Raises:
        ValueError: the truth labels a part of which `pred`, although its scheme has it, has no point (ignoring the part
            would improve the score); schemes of another number of landmarks; the errors of `reference_distance`.

    Paper A, section 4, "Error Metrics"; parts and pooling as in its released code.

    >>> truth = torch.stack([torch.arange(68.0), torch.zeros(68)], -1)  # corners 36 and 45 are 9 px apart
    >>> round(nme_curve(truth + torch.tensor([0.0, 0.09]), truth, "300w-68").value.item(), 6)
    0.01
    """
    _faces(pred, "pred")
    _faces(truth, "truth")
    _checks.same(pred=pred, truth=truth)
    if pred.shape[:-2] != truth.shape[:-2]:
        raise ValueError(f"pred, truth: needed one batch, got {tuple(pred.shape)} and {tuple(truth.shape)}")
    of_pred = _scheme(pred_scheme, pred.shape[-2], "pred_scheme")
    of_truth = _scheme(of_pred if truth_scheme is None else truth_scheme, truth.shape[-2], "truth_scheme")
    d = _distance(truth, normaliser, of_truth)
    parts = [_part(pred, truth, _outline(of_pred, p), _outline(of_truth, p), p) for p in PARTS]
    scaled = (torch.stack(parts) / d.nan_to_num(nan=1.0)).masked_fill(d.isnan(), torch.nan)
    return NMECurve(scaled.nanmean(0), *scaled)


def _faces(x: Tensor, name: str) -> None:
    """Refuse anything but at least one face of finite or missing points, in single or double precision."""
    _checks.points(x, name, nan=True)
    if x.numel() == 0:
        raise ValueError(f"{name}: needed at least one face, got shape {tuple(x.shape)}; skip empty batches")


def _labelled(x: Tensor) -> Tensor:
    return ~(x[..., 0].isnan() | x[..., 1].isnan())


def _first(bad: Tensor) -> tuple[int, ...]:
    return tuple(bad.nonzero()[0].tolist())


def _refuse_failed(failed: Tensor) -> None:
    if failed.any():
        raise ValueError(
            f"pred: needed a point wherever the truth is labelled, got NaN at {_first(failed)}; predict "
            "something there (the mean shape, say), or drop the image and enter inf in failure_rate, ced, auc"
        )


def _scheme(scheme: str | Scheme | None, n: int, name: str = "scheme") -> Scheme:
    """The scheme of the given name, checked to have n landmarks; for None the only scheme with n landmarks."""
    if scheme is None:
        fitting = [s for s in map(schemes.get, schemes.SCHEMES) if s.n == n]
        if len(fitting) != 1:
            choices = ", ".join(repr(s.name) for s in fitting) or "none of ours: pass a Scheme"
            mend = f"name one ({choices}), or normalise by 'box'"
            raise ValueError(f"{name}: needed, to find the eyes among {n} landmarks; got None; {mend}")
        return fitting[0]
    _checks.kind(scheme, name, str, Scheme)
    if isinstance(scheme, str):
        _checks.one_of(scheme, name, schemes.SCHEMES)
    found = schemes.get(scheme) if isinstance(scheme, str) else scheme
    if found.n != n:
        raise ValueError(f"{name}: needed a scheme of the points' {n} landmarks, got {found.name!r} of {found.n}")
    return found


def _distance(truth: Tensor, normaliser: Normaliser, scheme: str | Scheme | None) -> Tensor:
    n = truth.shape[-2]
    given = None if scheme is None else _scheme(scheme, n)
    if not isinstance(normaliser, str):
        return _above_zero(_one_per_image(normaliser, truth), "you gave")
    _checks.one_of(normaliser, "normaliser", NORMALISERS)
    between_eyes = normaliser in ("corners", "pupils")
    distance = _between_eyes(truth, normaliser, given or _scheme(None, n)) if between_eyes else _box(truth, normaliser)
    return _above_zero(distance, repr(normaliser))


def _one_per_image(lengths: float | Sequence[float] | np.ndarray | Tensor, truth: Tensor) -> Tensor:
    if isinstance(lengths, Tensor) and lengths.device != truth.device:
        raise ValueError(f"normaliser: needed it on {truth.device}, got {lengths.device}; use normaliser.to(truth)")
    try:
        d = torch.as_tensor(lengths, dtype=truth.dtype, device=truth.device)
    except (TypeError, ValueError, RuntimeError):
        got = _checks.said(lengths)
        raise TypeError(f"normaliser: needed a name, a number or one a face, got {got}") from None
    if d.ndim and d.shape != truth.shape[:-2]:
        wanted = f"one length per image, shape {tuple(truth.shape[:-2])}, or a single number"
        raise ValueError(f"normaliser: needed {wanted}; got shape {tuple(d.shape)}")
    return d.expand(truth.shape[:-2])


def _between_eyes(truth: Tensor, normaliser: str, scheme: Scheme) -> Tensor:
    eyes = scheme.pupils if normaliser == "pupils" else scheme.corners and [(i,) for i in scheme.corners]
    if eyes is None:
        others = "'corners' or 'box'" if normaliser == "pupils" and scheme.corners else "'box'"
        raise ValueError(f"normaliser: needed {normaliser}, got {scheme.name!r}, which has none; use {others}")
    left, right = (truth[..., list(eye), :].mean(-2) for eye in eyes)
    return torch.linalg.vector_norm(right - left, dim=-1)


def _box(truth: Tensor, normaliser: str) -> Tensor:
    """The length √(w h), √(w² + h²) or (w + h)/2 of the box of the labelled landmarks; NaN if fewer than two."""
    missing = ~_labelled(truth)[..., None]
    size = truth.masked_fill(missing, -torch.inf).amax(-2) - truth.masked_fill(missing, torch.inf).amin(-2)
    size = size.masked_fill((~missing).sum(-2) < 2, torch.nan)
    if normaliser == "box":
        return size.prod(-1).sqrt()
    return torch.linalg.vector_norm(size, dim=-1) if normaliser == "diagonal" else size.mean(-1)


def _above_zero(d: Tensor, which: str) -> Tensor:
    bad = (d <= 0) | d.isinf()
    if bad.any():
        image = f" in image {_first(bad)}" if d.ndim else ""
        raise ValueError(
            f"normaliser: needed a finite length > 0, got {d[bad][0].item():g}{image} by the one {which}; "
            "correct the annotation (missing points are NaN, not (-1, -1)) or give lengths of your own"
        )
    return d


def _table(errors: object) -> Tensor:
    """Errors as (images, landmarks), with one landmark if there is no such axis."""
    if not isinstance(errors, Tensor) or not errors.is_floating_point():
        got = errors.dtype if isinstance(errors, Tensor) else type(errors).__name__
        raise TypeError(f"errors: needed a floating-point tensor, got {got}; use torch.as_tensor(errors).double()")
    _checks.floats(errors, "errors")
    shape = tuple(errors.shape)
    if errors.ndim not in (1, 2):
        raise ValueError(f"errors: needed (images,) or (images, landmarks), got {shape}; flatten the batch axes")
    if errors.isnan().all():  # also if it is empty
        raise ValueError(f"errors: needed one that is not NaN, got none in {shape}; is anything labelled?")
    if (errors < 0).any():
        raise ValueError(f"errors: needed distances >= 0, got {errors[errors < 0][0].item():g}; nme gives such")
    return errors if errors.ndim == 2 else errors[:, None]


def _over_images_then_landmarks(values: Tensor, table: Tensor) -> Tensor:
    """The mean over the images that label a landmark, for each landmark, then the mean over landmarks."""
    return values.to(table.dtype).masked_fill(table.isnan(), torch.nan).nanmean(0).nanmean()


def _outline(scheme: Scheme, part: str) -> list[int]:
    """The landmarks of a part without the pupils, which are on no boundary and far from both lids."""
    pupils = {i for name, curve in scheme.curves.items() if name.endswith("_pupil") for i in curve}
    needed, got = "one of the five parts of the face", f"own landmarks, {scheme.name!r}"
    _checks.need(part in scheme.parts, "scheme", needed, got, "use `nme`")
    return [i for i in scheme.parts[part] if i not in pupils]


def _part(pred: Tensor, truth: Tensor, rows: list[int], columns: list[int], name: str) -> Tensor:
    """The mean (...,) of the nearest-neighbour distances of one part in both directions; NaN if unlabelled."""
    batch = truth.shape[:-2]
    if not (rows and columns):
        return truth.new_full(batch, torch.nan)
    p, t = pred[..., rows, :].reshape(-1, len(rows), 2), truth[..., columns, :].reshape(-1, len(columns), 2)
    has_p, has_t = _labelled(p), _labelled(t)
    failed = has_t.any(-1) & ~has_p.any(-1)
    if failed.any():
        raise ValueError(
            f"pred: needed a point of the {name} where the truth labels it, got NaN alone in image "
            f"{_first(failed.reshape(batch))}; predict something there, or name a scheme without that part"
        )
    at_once = max(1, AT_ONCE // (len(rows) * len(columns)))
    chunks = zip(*(x.split(at_once) for x in (p, t, has_p, has_t)), strict=True)
    total = torch.cat([_two_way(*chunk) for chunk in chunks])
    mean = total / (has_p.sum(-1) + has_t.sum(-1))
    return mean.masked_fill(~has_t.any(-1), torch.nan).reshape(batch)


def _two_way(p: Tensor, t: Tensor, has_p: Tensor, has_t: Tensor) -> Tensor:
    """The sum Σ_i min_j |p_i - t_j| + Σ_j min_i |t_j - p_i| over the points that are present."""
    p, t = p.masked_fill(~has_p[..., None], 0.0), t.masked_fill(~has_t[..., None], 0.0)
    # By differences: the shortcut |p|² + |t|² - 2 p·t is inaccurate for small distances, which matter most.
    distance = torch.cdist(p, t, compute_mode="donot_use_mm_for_euclid_dist")
    distance = distance.masked_fill(~(has_p[:, :, None] & has_t[:, None, :]), torch.inf)
    to_t = distance.amin(2).masked_fill(~has_p, 0.0).sum(1)
    return to_t + distance.amin(1).masked_fill(~has_t, 0.0).sum(1)
