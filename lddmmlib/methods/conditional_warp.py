"""Conditional face warping (paper D): a landmarker learns styles without labels by warping photographs onto them.

Given are photographs with landmarks, (X_j, Y_j) of j = 1 ... N_L, and stylised faces X_i without, i = 1 ... N_U. The
network f_θ predicts Ŷ_i = f_θ(X_i); the photograph is warped such that its landmarks Y_j come to lie at Ŷ_i
(`polyharmonic.warp`, order 2), and where its edges are not those of the stylised face, Ŷ_i was wrong. The paper
minimises, over θ,

    Σ_j |f_θ(X_j) - Y_j|² + Σ_ij |∇X̂_j|i - ∇X_i|² + Σ_ij |w_i(Ŷ_i) - Y_j|²                                 eq. 3

either at once (`joint_loss`) or in turns, as is Algorithm 1:

    the warper       Σ_ij |∇X̂_j|i - ∇X_i|² + Σ_ij |w_i(Ŷ_i) - Y_j|²                                        eq. 4
    the landmarker   Σ_j |f_θ(X_j) - Y_j|² + Σ_i |f_θ(X_i) - Ŷ_i|²,   Ŷ_i of θ as the warper left it        eq. 5

    model = Alternation(landmarker, phases=(5 * steps, 5 * steps))  # of an epoch
    training.fit(model, alternating_loss, Pairs(photos, stylised), optimiser=partial(TwoAdams, model=model), ...)

**What is not as printed.** The second sum of equation 5 is over the N_U stylised faces (printed: N_L). Algorithm 1
starts from θ pre-trained on the photographs; γ, the spline, needs no start, since it is solved for (printed: the other
way round). The third sum of equations 3 and 4 is 0, whatever θ, because the spline interpolates: it counts only with
smoothing. The paper gives no weights of its sums. Here each is a mean (over pixels, over landmarks), and lengths are in
units of the image's side. Labelled landmarks are compared by distances, not their squares, as SLPT is trained.

In the released code the weights of the bilinear warp are detached, so that the gradient of the second sum in θ is 0;
the same is had by ``phases=(0, k)``: labels of the photographs, and of the network itself.

A landmarker is any network from images to points: `networks.slpt.SLPT`, a coordinate network, or a network of maps in
`SoftArgmax`. Photographs and stylised faces pass through it as one batch, so that batch norms see both in every step.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import Dataset

from lddmmlib import _checks, heatmaps, polyharmonic
from lddmmlib._shapes import Float
from lddmmlib.data import crops
from lddmmlib.data.augment import Crops, Photo
from lddmmlib.data.crops import Crop
from lddmmlib.data.images import LUMA
from lddmmlib.methods.heatmap_regression import network_input, stacks, stride

SMOOTH, SLOPE = torch.tensor([1.0, 2.0, 1.0]) / 4, torch.tensor([-1.0, 0.0, 1.0]) / 2
KERNELS = {  # each a row of 3 x 3 filters
    "spatial": torch.stack([SMOOTH.outer(SLOPE), SLOPE.outer(SMOOTH)]),
    "laplacian": torch.tensor([[[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]]),
    "pixels": torch.tensor([[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]),
}
OPERATORS = ("sobel", *KERNELS, "canny")
FLAT = 1e-6  # added to the square of a slope, so that its length has a gradient where it is 0
EDGE, SOFT = 0.04, 0.01  # of soft Canny: the slope, 1/px, of half an edge, and the width of its two thresholds
APART = 1e-3  # of the face's extent: predicted landmarks nearer than this do not determine a spline


# ------------------------------------------------------------------------------------------------ what is compared


@_checks.full_precision
def image_gradient(
    images: Float[Tensor, "b c h w"], operator: str = "sobel", gray: bool = True
) -> Float[Tensor, "b k h w"]:
    """The image gradient ∇X, by one of several operators.

    | `operator` | k for each channel | |
    |---|---|---|
    | `"sobel"` | 1 | the length of the slope: an edge counts whichever side of it is brighter |
    | `"spatial"` | 2 | the slope: central differences, averaged by (1, 2, 1)/4 across |
    | `"laplacian"` | 1 | the sum of the four neighbours less four times the pixel |
    | `"canny"` | 1 | soft Canny: 1 on edges, thin, whatever their contrast; without hysteresis |
    | `"pixels"` | 1 | no gradient: the image itself |

    Args:
        images: X, (b, c, h, w) in [0, 1]; at the border the nearest pixel is repeated.
        operator: a name of the table.
        gray: take the luminance of red, green and blue first, where c = 3.

    Returns:
        (b, k c', h, w), c' = 1 of gray images, per px.

    Paper D, section 3.1 and table 5. Its equations compare gradients, its released code lengths, under the names of
    the package kornia, which are also these.

    >>> ramp = torch.arange(4.0).expand(1, 1, 3, 4)
    >>> image_gradient(ramp, "spatial")[0, :, 1]
    tensor([[0.5000, 1.0000, 1.0000, 0.5000],
            [0.0000, 0.0000, 0.0000, 0.0000]])
    >>> image_gradient(-ramp)[0, :, 1]
    tensor([[0.5000, 1.0000, 1.0000, 0.5000]])
    """
    check_images(images=images)
    _checks.one_of(operator, "operator", OPERATORS)
    _checks.kind(gray, "gray", bool)
    if gray and images.shape[1] == 3:
        images = (images * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    if operator in KERNELS:
        return _filtered(images, operator).flatten(1, 2)
    return _canny(images) if operator == "canny" else _length(_filtered(images, "spatial"))


def _filtered(x: Tensor, name: str) -> Float[Tensor, "b c k h w"]:
    kernels = KERNELS[name].to(x)
    padded = F.pad(x.flatten(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, kernels[:, None]).unflatten(0, x.shape[:2])


def _length(slope: Float[Tensor, "b c 2 h w"]) -> Float[Tensor, "b c h w"]:
    return (slope.square().sum(2) + FLAT).sqrt()


def _canny(x: Tensor) -> Tensor:
    """σ((m - EDGE)/SOFT) σ((m - m')/SOFT), m the slope of the blurred image and m' the larger of those a pixel up and
    down the slope, each σ in place of one of Canny's decisions.
    """
    blur = SMOOTH.outer(SMOOTH).to(x)[None, None]
    flat = x.flatten(0, 1)[:, None]
    for _ in range(2):  # a standard deviation of 1 px
        flat = F.conv2d(F.pad(flat, (1, 1, 1, 1), mode="replicate"), blur)
    slopes = _filtered(flat, "spatial")  # (b c, 1, 2, h, w)
    slope, m = slopes[:, 0], _length(slopes)
    h, w = x.shape[-2:]
    rows, columns = (torch.arange(k, dtype=x.dtype, device=x.device) for k in (h, w))
    pixels, size = torch.stack(torch.meshgrid(columns, rows, indexing="xy")), x.new_tensor([w, h])[:, None, None]
    grids = [(2 * (pixels + s * slope / m) + 1) / size - 1 for s in (1, -1)]
    beside = [F.grid_sample(m, g.movedim(1, -1), padding_mode="border", align_corners=False) for g in grids]
    edge = ((m - EDGE) / SOFT).sigmoid() * ((m - torch.maximum(*beside)) / SOFT).sigmoid()
    return edge[:, 0].unflatten(0, x.shape[:2])


def perceptual(encoder: Callable[[Tensor], Tensor | list[Tensor]]) -> Callable[[Tensor], list[Tensor]]:
    """A view of images by a network's features, each of unit length over its channels: for `warper_loss`.

    The paper's encoder was trained on ImageNet; there is none here, so take one of your own, such as the trunk of a
    landmarker that was trained on the photographs: ``perceptual(net.branches)`` of an `HRNetV2`.

    Args:
        encoder: from images (b, 3, h, w) in [0, 1] to features (b, c, ., .), or a list of them. It should be a copy in
            evaluation mode whose parameters do not require gradients, or it learns to see no difference.

    Returns:
        A function from images to a list of features.

    Paper D, table 6.

    >>> [x.shape for x in perceptual(nn.Conv2d(3, 4, 3))(torch.rand(1, 3, 8, 8))]
    [torch.Size([1, 4, 6, 6])]
    """

    def view(images: Tensor) -> list[Tensor]:
        found = encoder(images)
        return [F.normalize(x, dim=1) for x in (found if isinstance(found, list) else [found])]

    return view


# ------------------------------------------------------------------------------------------------------ the warper


@_checks.full_precision
def warper_loss(
    predicted: Float[Tensor, "b n 2"], photos: Float[Tensor, "b c h w"], landmarks: Float[Tensor, "b n 2"],
    stylised: Float[Tensor, "b c h w"], view: Callable[[Tensor], Any] = image_gradient, smoothing: float = 0.0,
) -> Float[Tensor, ""]:  # fmt: skip
    """The loss of equation 4: mean |∇X̂ - ∇X|² over pixels + mean |w(ŷ) - y|² over landmarks, with the gradient through
    the warp.

    X̂ is the photograph, warped such that its landmarks y come to lie at the predicted ŷ. The second term is 0 without
    smoothing; with it, it tells how hard the sheet must be pulled.

    A prediction that determines no spline (landmarks on a line or, without smoothing, two at one place) is left out,
    and so is a photograph without some of its labels: the loss is that of the others, and 0 if there are none.

    Args:
        predicted: ŷ of the stylised faces, (b, n, 2) px.
        photos: X^L, (b, c, h, w) in [0, 1].
        landmarks: y of the photographs, (b, n, 2) px.
        stylised: X^U, (b, c, h, w), of the photographs' size.
        view: what is compared, a function from images to a tensor or a list of them: `image_gradient`, a `partial` of
            it, or `perceptual`.
        smoothing: of the spline, see `polyharmonic.fit`; the paper has none.

    Raises:
        ValueError: images of different sizes, fewer than three landmarks, points that do not fit or are not finite.

    Paper D, equations 1, 2 and 4.

    >>> points = torch.tensor([[[1.0, 1.0], [6.0, 1.0], [3.0, 6.0]]])
    >>> bar = torch.zeros(1, 1, 8, 8)
    >>> bar[..., 3:5] = 1
    >>> warper_loss(points, bar, points, bar), round(warper_loss(points + 1, bar, points, bar).item(), 4)
    (tensor(0.), 0.0623)
    """
    _pairs(predicted, photos, landmarks, stylised)
    _checks.number(smoothing, "smoothing", 0)
    use = _determined(predicted.detach(), smoothing) & ~landmarks.isnan().flatten(1).any(-1)
    kept = use.nonzero()[:, 0]
    target, photos, source, stylised = (x[kept] for x in (predicted, photos, landmarks, stylised))
    if not len(target):
        return 0 * predicted.sum()
    warped, goal = (_listed(view(x)) for x in (polyharmonic.warp(photos, source, target, 2, smoothing), stylised))
    value = sum((a - b).square().mean() for a, b in zip(warped, goal, strict=True))
    if smoothing:
        spline = polyharmonic.fit(target, source - target, 2, smoothing)
        missed = target + polyharmonic.evaluate(spline, target) - source
        value = value + (missed / photos.shape[-1]).square().sum(-1).mean()
    return value


def warper_loss_by_pixels(predicted: Tensor, photo: Tensor, landmarks: Tensor, stylised: Tensor) -> float:
    """Warp one photograph and compare slopes, pixel by pixel: the version to read of `warper_loss`.

    Args:
        predicted: ŷ, (n, 2) px.
        photo: gray, (h, w).
        landmarks: y, (n, 2) px.
        stylised: gray, (h, w).

    Returns:
        The mean of (|∇X̂| - |∇X|)² over pixels, ∇ by the Sobel operator.

    Paper D, equations 2 and 4.

    >>> points, bar = torch.tensor([[1.0, 1.0], [6.0, 1.0], [3.0, 6.0]]), torch.zeros(8, 8)
    >>> bar[:, 3:5] = 1
    >>> round(warper_loss_by_pixels(points + 1, bar, points, bar), 4)
    0.0623
    """
    warped, total = polyharmonic.warp_by_pixels(photo[None], landmarks, predicted)[0], 0.0
    h, w = photo.shape
    two = F.pad(torch.stack([warped, stylised]), (1, 1, 1, 1), mode="replicate")
    for y in range(h):
        for x in range(w):
            slopes = [[(k * image[y : y + 3, x : x + 3]).sum() for k in KERNELS["spatial"]] for image in two]
            one, other = (math.sqrt(u**2 + v**2 + FLAT) for u, v in slopes)
            total += (one - other) ** 2
    return total / (h * w)


def _determined(points: Tensor, smoothing: float) -> Tensor:
    """Tell for each set of points (b, n, 2) whether it determines a spline, with room to spare: (b,)."""
    z = points.double() - points.double().mean(1, keepdim=True)
    z = z / z.square().sum(-1).mean(-1).sqrt().clamp(min=1e-6)[:, None, None]
    broad = torch.linalg.svdvals(z)[:, 1] > APART * math.sqrt(z.shape[1])
    near = (torch.cdist(z, z) < APART).triu(1).flatten(1).any(-1)
    return broad if smoothing else broad & ~near


def _listed(x: Any) -> list:
    return list(x) if isinstance(x, list | tuple) else [x]


def check_images(**several: Tensor) -> None:
    """Refuse images unless they are (b, c, h, w) of finite numbers, all of one shape, dtype and device.

    Args:
        several: the images, by the names of the arguments that they are.

    >>> check_images(photos=torch.zeros(1, 3, 8, 8), stylised=torch.zeros(1, 3, 8, 8))
    """
    (first, one), *others = several.items()
    for name, x in several.items():
        _checks.floats(x, name)
        _checks.need(x.ndim == 4 and x.numel(), name, "(b, c, h, w), at least one", tuple(x.shape))
        _checks.finite(x, name)
    for name, x in others:
        got = f"{tuple(one.shape)} and {tuple(x.shape)}"
        _checks.need(x.shape == one.shape, f"{first}, {name}", "one shape", got, "crop both to one size")
        _checks.same(**{first: one, name: x})


def _pairs(predicted: Tensor, photos: Tensor, landmarks: Tensor, stylised: Tensor) -> None:
    check_images(photos=photos, stylised=stylised)
    _checks.points(predicted, "predicted")
    _checks.points(landmarks, "landmarks", nan=True)
    right = predicted.ndim == 3 and predicted.shape == landmarks.shape and len(predicted) == len(photos)
    got = f"{tuple(predicted.shape)} and {tuple(landmarks.shape)}"
    _checks.need(right, "predicted, landmarks", f"one shape ({len(photos)}, n, 2), one face for each image", got)
    _checks.need(predicted.shape[1] >= 3, "predicted", "three landmarks or more, as a spline does", predicted.shape[1])
    _checks.same(predicted=predicted, photos=photos)
    _checks.same(predicted=predicted, landmarks=landmarks)


# -------------------------------------------------------------------------------------------------- the landmarker


class SoftArgmax(nn.Module):
    """Turn a network of maps into a landmarker with a gradient: the mean under softmax(maps), a list of one a stack.

    Args:
        net: from images to maps (b, n, ., .), or a list of them.
        tau: the factor on the maps; 1 for a network trained so.

    Paper D, section 4.4.2, says that heatmap networks cannot be trained end to end; decoded so they can.

    >>> [points.shape for points in SoftArgmax(nn.Conv2d(3, 5, 3, padding=1))(torch.rand(2, 3, 8, 8))]
    [torch.Size([2, 5, 2])]
    """

    def __init__(self, net: nn.Module, tau: float = 1.0) -> None:
        super().__init__()
        self.net, self.tau = net, tau

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        maps = stacks(self.net(images))
        return [heatmaps.decode(h, "soft", tau=self.tau, stride=stride(h, images)) for h in maps]


def points_of(output: Tensor | list[Tensor]) -> Float[Tensor, "b n 2"]:
    """The landmarks of a landmarker's output: those of the last stage and, where stages have layers, the last layer.

    Args:
        output: points (b, n, 2) or (b, layers, n, 2), or a list of them, one a stage.

    >>> points_of([torch.zeros(1, 2, 5, 2), torch.ones(1, 2, 5, 2)]).shape
    torch.Size([1, 5, 2])
    """
    last = _listed(output)[-1].float()
    return last[:, -1] if last.ndim == 4 else last


@_checks.full_precision
def landmark_loss(
    output: Any, landmarks: Float[Tensor, "b n 2"], side: float, weights: Sequence[float] | None = None
) -> Float[Tensor, ""]:
    """The mean distance to the landmarks in units of the image's side, over all layers, and summed over stages.

    Args:
        output: of a landmarker, see `points_of`.
        landmarks: (b, n, 2) px; NaN where missing, which are ignored.
        side: of the image, px.
        weights: one for each stage, such as `slpt.WEIGHTS`; None: equal ones of sum 1.

    Raises:
        ValueError: a weight too few, landmarks of another shape, a side not above 0.

    Paper D, the first and last sum of equations 3 and 5, without the squares.

    >>> landmark_loss(torch.zeros(1, 2, 2), torch.tensor([[[3.0, 4.0], [torch.nan, 0.0]]]), side=10.0)
    tensor(0.5000)
    """
    _checks.points(landmarks, "landmarks", nan=True)
    _checks.positive(side, "side")
    stages = _listed(output)
    weights = [1 / len(stages)] * len(stages) if weights is None else list(weights)
    _checks.need(len(weights) == len(stages), "weights", f"one for each of {len(stages)} stages", len(weights))
    labelled, value = ~landmarks.isnan().any(-1), 0.0
    for weight, points in zip(weights, stages, strict=True):
        _checks.floats(points, "output")
        layers = points[:, None] if points.ndim == 3 else points
        fits = layers.ndim == 4 and layers[:, 0].shape == landmarks.shape
        _checks.need(fits, "output", f"{tuple(landmarks.shape)}, as the landmarks", tuple(points.shape))
        off = (layers - landmarks.nan_to_num()[:, None].to(layers)).norm(dim=-1).mean(1) * labelled
        value = value + weight * off.sum() / labelled.sum().clamp(min=1) / side
    return value


def predict(model: nn.Module, batch: Crop) -> Float[Tensor, "b n 2"]:
    """Landmarks in the pixels of the crops, as `training.evaluate` asks for them.

    Args:
        model: a landmarker, or a model that holds one and calls it.
        batch: the crops.

    Returns:
        (b, n, 2), px.

    >>> predict(SoftArgmax(nn.Identity()), Crop(torch.ones(1, 3, 4, 4).byte(), *[None] * 4))[0, 0]
    tensor([1.5000, 1.5000])
    """
    return points_of(model(network_input(batch.image)))


# ---------------------------------------------------------------------------------------------------- pairs of faces


class Pair(NamedTuple):
    """A photograph and a stylised face, or a batch of both; they have nothing to do with each other.

    >>> face = Crop(torch.zeros(3, 4, 4).byte(), torch.zeros(3, 2), *[None] * 3)
    >>> Pair(photo=face, stylised=face).photo.image.shape
    torch.Size([3, 4, 4])
    """

    photo: Crop  #: with landmarks
    stylised: Crop  #: its landmarks are NaN, unless it is a pair for an oracle


class Pairs(Dataset):
    """Photographs, each with a random stylised face whose labels are withheld: data for `training.fit`.

    Args:
        photos: crops of labelled faces.
        stylised: crops of the same size; landmarks serve at most to cut them (`JitteredBoxes` avoids even that).
        labelled: keep the labels of the stylised faces, for the supervised oracle.

    Raises:
        ValueError: no photographs or no stylised faces; crops of different sizes.

    Paper D, algorithm 1, line 3.

    >>> from lddmmlib.faces import synthetic
    >>> photos, drawings = (Crops(synthetic.Faces(2, "studio", 64, x), "300w-68", 32) for x in ("photo", "line"))
    >>> Pairs(photos, drawings).draw(0, np.random.default_rng(0)).stylised.landmarks.isnan().all()
    tensor(True)
    """

    def __init__(self, photos: Crops, stylised: Crops, labelled: bool = False) -> None:
        for name, faces in (("photos", photos), ("stylised", stylised)):
            _checks.kind(faces, name, Crops)
            _checks.need(len(faces), name, "at least one face", "none", "name its folder, or another split")
        sizes = f"{photos.size} and {stylised.size} px"
        _checks.need(photos.size == stylised.size, "photos, stylised", "crops of one size", sizes)
        self.photos, self.stylised, self.labelled = photos, stylised, labelled

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Pair:
        return self._pair(self.photos[index], self.stylised[index % len(self.stylised)])

    def draw(self, index: int, rng: np.random.Generator) -> Pair:
        """Augment photograph `index`, and a random stylised face.

        Args:
            index: the photograph.
            rng: the source of randomness.
        """
        other = int(rng.integers(len(self.stylised)))
        return self._pair(self.photos.draw(index, rng), self.stylised.draw(other, rng))

    def _pair(self, photo: Crop, face: Crop) -> Pair:
        if not self.labelled:
            nothing, no = torch.full_like(face.landmarks, torch.nan), torch.zeros_like(face.inside)
            face = face._replace(landmarks=nothing, visible=no, inside=no)
        return Pair(photo=photo, stylised=face)


class JitteredBoxes(Dataset):
    """Faces, each with a box like a detector's: its box, or that of its landmarks, moved and scaled at random.

    Who cuts a face by the box of its true landmarks tells the network where it lies. The noise belongs to a face and
    is the same every time.

    Args:
        faces: as in `data.augment.Crops`, which takes the result.
        jitter: standard deviation of the shift in x and in y, a share of the box's longer side, and of the logarithm
            of the scale.
        seed: of the noise.

    >>> places = torch.tensor([[10.0, 8.0], [30.0, 38.0]])
    >>> face = Photo(torch.zeros(3, 40, 40).byte(), places, torch.ones(2).bool(), None)
    >>> faces = JitteredBoxes([face, face], jitter=0.05)
    >>> faces[1].box == faces[1].box != faces[0].box
    True
    """

    def __init__(self, faces: Any, jitter: float = 0.05, seed: int = 0) -> None:
        _checks.number(jitter, "jitter", 0)
        self.faces, self.jitter, self.seed = faces, jitter, seed

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> Photo:
        face = self.faces[index]
        x, y, w, h = getattr(face, "box", None) or crops.box(face[1])
        right, down, larger = self.jitter * np.random.default_rng([self.seed, index]).standard_normal(3)
        k, side = math.exp(larger), max(w, h)
        box = (x + w / 2 + right * side - k * w / 2, y + h / 2 + down * side - k * h / 2, k * w, k * h)
        return Photo(image=face[0], landmarks=face[1], visible=face[2], box=box)


# ------------------------------------------------------------------------------------------ at once, and in turns


def outputs_of(model: nn.Module, pair: Pair) -> tuple[list[Tensor], list[Tensor]]:
    """Run a landmarker on the photographs and the stylised faces of a pair as one batch.

    Args:
        model: the landmarker.
        pair: a batch of pairs.

    Returns:
        Its output for the photographs, and for the stylised faces: lists, one item a stage.

    >>> face = Crop(torch.ones(2, 3, 4, 4).byte(), torch.zeros(2, 3, 2), *[None] * 3)
    >>> [x[0].shape for x in outputs_of(SoftArgmax(nn.Identity()), Pair(photo=face, stylised=face))]
    [torch.Size([2, 3, 2]), torch.Size([2, 3, 2])]
    """
    two = pair.photo.image, pair.stylised.image
    sizes = " and ".join(str(tuple(x.shape)) for x in two)
    _checks.need(two[0].shape[1:] == two[1].shape[1:], "pair", "images of one size", sizes, "crop both to one size")
    stages, n = _listed(model(network_input(torch.cat(two)))), len(two[0])
    return [x[:n] for x in stages], [x[n:] for x in stages]


def _warped(output: list[Tensor], pair: Pair, **how: Any) -> Tensor:
    images = [network_input(face.image) for face in (pair.photo, pair.stylised)]
    points = points_of(output)
    return warper_loss(points, images[0], pair.photo.landmarks.to(points), images[1], **how)


def joint_loss(
    model: nn.Module, pair: Pair, weight: float = 1.0, weights: Sequence[float] | None = None, **how: Any
) -> Float[Tensor, ""]:
    """The loss of equation 3: `landmark_loss` of the photographs + `weight` times `warper_loss`, at once.

    Args:
        model: the landmarker.
        pair: a batch of pairs.
        weight: of the warper's loss, which the paper does not tell.
        weights: of stages, see `landmark_loss`.
        how: view and smoothing of `warper_loss`.

    Paper D, equation 3: the rival of figure 7.

    >>> face = Crop(torch.ones(2, 3, 4, 4).byte(), torch.full((2, 3, 2), 1.5), *[None] * 3)
    >>> joint_loss(SoftArgmax(nn.Identity()), Pair(photo=face, stylised=face))  # all of a prediction at one place
    tensor(0.)
    """
    photos, stylised = outputs_of(model, pair)
    labelled = landmark_loss(photos, pair.photo.landmarks, pair.photo.image.shape[-1], weights)
    return labelled + weight * _warped(stylised, pair, **how)


class Alternation(nn.Module):
    """A landmarker, and the turns of Algorithm 1: so many steps of the warper, so many of the landmarker, and so on.

    It counts the steps of its optimiser (`TwoAdams`) and, where a turn of the landmarker begins, keeps a copy of θ for
    the pseudo-labels. Both are part of its state, so that a training resumes to the last bit at any step.

    Args:
        landmarker: from images to points, see `points_of`; pre-trained on photographs. Trained in place.
        phases: steps of the warper's turn and of the landmarker's, L_1 and L_2; the warper's may be 0.

    Paper D, algorithm 1.

    >>> model = Alternation(SoftArgmax(nn.Conv2d(3, 5, 3)), phases=(1, 2))
    >>> turns = []
    >>> for _ in range(4):
    ...     turns.append(model.warps)
    ...     model.advance()
    >>> turns
    [True, False, False, True]
    """

    def __init__(self, landmarker: nn.Module, phases: tuple[int, int]) -> None:
        super().__init__()
        for least, steps in enumerate(phases):
            _checks.whole(steps, "phases", least)
        self.landmarker, self.phases, self.training = landmarker, tuple(phases), landmarker.training
        self.before = copy.deepcopy(landmarker)  # called without gradients
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def forward(self, images: Tensor) -> Any:
        return self.landmarker(images)

    @property
    def warps(self) -> bool:
        """True in a turn of the warper."""
        return int(self.count) % sum(self.phases) < self.phases[0]

    def advance(self) -> None:
        """Count a step; if the landmarker's turn begins, copy θ."""
        self.count += 1
        if int(self.count) % sum(self.phases) == self.phases[0]:
            self.before.load_state_dict(self.landmarker.state_dict())

    @torch.no_grad()
    def labels(self, pair: Pair, flip: Sequence[int] | None = None, agree: float = 0.05) -> Float[Tensor, "b n 2"]:
        """Label the stylised faces of a pair by θ as it was when the landmarker's turn began.

        Args:
            pair: a batch of pairs.
            flip: the landmark that each becomes in a mirror (`schemes.get(...).flip`): landmarks at which the face and
                its mirror image disagree are left out; None: none is.
            agree: the largest distance of the two, in units of the image's side.

        Returns:
            Ŷ, (b, n, 2) px; NaN where left out.
        """
        for ours, copied in zip(self.landmarker.modules(), self.before.modules(), strict=True):
            copied.training = ours.training and isinstance(ours, _BatchNorm)  # no dropout; batch norms alike
        found = points_of(outputs_of(self.before, pair)[1])
        if flip is None:
            return found
        faces = [face._replace(image=face.image.flip(-1)) for face in pair]
        mirrored = points_of(outputs_of(self.before, Pair(*faces))[1])[:, list(flip)]
        side = pair.stylised.image.shape[-1]
        mirrored = torch.stack([side - 1 - mirrored[..., 0], mirrored[..., 1]], -1)
        return found.masked_fill((found - mirrored).norm(dim=-1, keepdim=True) > agree * side, torch.nan)


def alternating_loss(
    model: Alternation, pair: Pair, weight: float = 1.0, weights: Sequence[float] | None = None,
    flip: Sequence[int] | None = None, agree: float = 0.05, **how: Any,
) -> Float[Tensor, ""]:  # fmt: skip
    """The loss of whose turn it is: equation 4, or equation 5 with a weight on its proximal term.

    Args:
        model: the alternation.
        pair: a batch of pairs.
        weight: of the pseudo-labels against the labels; the paper has 1, its released code 0.
        weights: of stages, see `landmark_loss`.
        flip: see `Alternation.labels`.
        agree: see `Alternation.labels`.
        how: view and smoothing of `warper_loss`.

    Paper D, equations 4 and 5.

    >>> face = Crop(torch.ones(2, 3, 4, 4).byte(), torch.full((2, 3, 2), 1.5), *[None] * 3)
    >>> model = Alternation(SoftArgmax(nn.Identity()), phases=(0, 2))
    >>> alternating_loss(model, Pair(photo=face, stylised=face))
    tensor(0.)
    """
    photos, stylised = outputs_of(model, pair)
    if model.warps:
        return _warped(stylised, pair, **how)
    side = pair.photo.image.shape[-1]
    value = landmark_loss(photos, pair.photo.landmarks, side, weights)
    if weight:
        value = value + weight * landmark_loss(stylised, model.labels(pair, flip, agree), side, weights)
    return value


class TwoAdams(torch.optim.Adam):
    """Two Adams over the same weights, each with its own moments, of which the one whose turn it is takes the step.

    Args:
        parameters: of the model.
        lr: the learning rate of the landmarker.
        model: the `Alternation`.
        warper: the warper's learning rate, a share of it; the released code has 1e-4 of 1e-3.

    It is given to `training.fit` as ``optimiser=partial(TwoAdams, model=model)``.

    >>> model = Alternation(SoftArgmax(nn.Conv2d(3, 5, 3)), phases=(1, 1))
    >>> optim = TwoAdams(model.parameters(), 1e-3, model)
    >>> optim.step()
    >>> model.warps
    False
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, model: Alternation, warper: float = 0.1) -> None:
        super().__init__(parameters, lr=lr)
        self.model, self.warper = model, warper
        self.other = torch.optim.Adam(self.param_groups)  # of the warper: other moments, the same groups

    def step(self, closure: None = None) -> None:
        """Take the step of whose turn it is, and count it."""
        group = self.param_groups[0]
        rate = group["lr"]
        if self.model.warps:
            group["lr"] = self.warper * rate
            self.other.step()
            group["lr"] = rate
        else:
            super().step()
        self.model.advance()

    def state_dict(self) -> dict[str, Any]:
        """The state of both."""
        return super().state_dict() | {"other": self.other.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of both."""
        self.other.load_state_dict(state_dict["other"])
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "other"})
        self.other.param_groups = self.param_groups
