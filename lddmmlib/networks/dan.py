"""DAN, the Deep Alignment Network: each stage sees the whole face, aligned by the estimate of the previous stage.

Kowalski, Naruniec and Trzcinski, CVPR workshops 2017. A stage estimates the displacement of the landmarks from their
current estimate. Between two stages the connection layers

1. fit the similarity T from the landmarks S to the mean shape S̄,
2. resample the image by it, so that the face is aligned with the mean face,
3. draw the landmarks T(S) as an image, and
4. expand the hidden values of the previous stage into another image,

and the next stage reads the three images and adds its estimate to T(S); T⁻¹ maps the sum back. All of it is
differentiable, steps 1 and 2 included.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lddmmlib import _checks
from lddmmlib._shapes import Float
from lddmmlib.data.images import LUMA
from lddmmlib.networks.heads import Standardise, precise

PATCH = 16  # px: the side of the square in which a landmark is drawn


class Similarity(NamedTuple):
    """The map T(p) = A p + t of each face, with A = (a -b; b a).

    >>> T = Similarity(2 * torch.eye(2), torch.tensor([1.0, 0.0]))
    >>> T.undo(T.apply(torch.tensor([[3.0, 4.0]]))).tolist()
    [[3.0, 4.0]]
    """

    A: Float[Tensor, "*batch 2 2"]
    t: Float[Tensor, "*batch 2"]

    @_checks.full_precision
    def apply(self, points: Float[Tensor, "*batch n 2"]) -> Float[Tensor, "*batch n 2"]:
        """The mapped points T(p), (..., n, 2)."""
        self._check(points)
        return points @ self.A.mT + self.t[..., None, :]

    @_checks.full_precision
    def undo(self, points: Float[Tensor, "*batch n 2"]) -> Float[Tensor, "*batch n 2"]:
        """The inverse T⁻¹(p) = A⁻¹ (p - t), where A⁻¹ = Aᵀ / (a² + b²): (..., n, 2)."""
        self._check(points)
        a, b = self.A[..., 0, 0], self.A[..., 1, 0]
        return (points - self.t[..., None, :]) @ self.A / (a**2 + b**2)[..., None, None]

    def _check(self, points: Tensor) -> None:
        _shape(points, "points")
        _checks.same(**{"self.A": self.A, "points": points})
        _checks.batch(self.A.shape[:-2], **{"self.A": self.A, "points": points})


@_checks.full_precision
def similarity(points: Float[Tensor, "*batch n 2"], target: Float[Tensor, "n 2"]) -> Similarity:
    """The similarity, without reflection, that minimises Σ|T(p_i) - q_i|².

    With p, q centred: a = Σ p·q / Σ|p|², b = Σ p∧q / Σ|p|², and t = mean(q) - A mean(p).

    Args:
        points: p, (..., n, 2).
        target: q, (n, 2).

    Returns:
        A (..., 2, 2) and t (..., 2).

    >>> square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    >>> T = similarity(square, torch.tensor([[5.0, 0.0], [5.0, 2.0], [3.0, 2.0], [3.0, 0.0]]))
    >>> T.A.round().tolist(), T.t.round().tolist()
    ([[0.0, -2.0], [2.0, 0.0]], [5.0, 0.0])
    """
    _shape(points, "points")
    _shape(target, "target")
    _checks.same(points=points, target=target)
    if target.shape != points.shape[-2:]:
        raise ValueError(f"target: needed {tuple(points.shape[-2:])}, like a face, got {tuple(target.shape)}")
    middle, target_middle = points.mean(-2), target.mean(-2)
    p, q = points - middle[..., None, :], target - target_middle
    size = p.square().sum((-2, -1))
    a = (p * q).sum((-2, -1)) / size
    b = (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]).sum(-1) / size
    A = torch.stack([a, -b, b, a], -1).unflatten(-1, (2, 2))  # (..., 4) -> (..., 2, 2)
    return Similarity(A, target_middle - (A @ middle[..., None])[..., 0])


def _shape(points: Tensor, name: str) -> None:
    """Refuse anything but points (..., n, 2), without reading values, which would stall a GPU at each stage."""
    _checks.floats(points, name)
    if points.ndim < 2 or points.shape[-1] != 2 or not points.shape[-2]:
        raise ValueError(f"{name}: needed points of shape (..., n, 2), got {tuple(points.shape)}")


@_checks.full_precision
def resample(images: Float[Tensor, "b c h w"], T: Similarity) -> Float[Tensor, "b c h w"]:
    """Resample images so that T(p) shows what p shows in `images`; bilinear, with the border replicated.

    Args:
        images: (b, c, h, w).
        T: one similarity for each image.

    Returns:
        (b, c, h, w).

    >>> image = torch.arange(9.0).reshape(1, 1, 3, 3)
    >>> resample(image, Similarity(torch.eye(2)[None], torch.tensor([[1.0, 0.0]])))[0, 0]  # one to the right
    tensor([[0., 0., 1.],
            [3., 3., 4.],
            [6., 6., 7.]])
    """
    _checks.floats(images, "images")
    if images.ndim != 4 or not images.numel():
        raise ValueError(f"images: needed (b, c, h, w), at least one, got shape {tuple(images.shape)}")
    _checks.kind(T, "T", Similarity)
    _checks.same(**{"images": images, "T.A": T.A})
    if T.A.shape[:-2] != images.shape[:1]:
        raise ValueError(f"images, T: needed one T for each image, got {len(images)} and {tuple(T.A.shape[:-2])}")
    b, _, h, w = images.shape
    x, y = (torch.arange(k, dtype=images.dtype, device=images.device) for k in (w, h))
    pixels = torch.cartesian_prod(y, x).flip(-1)  # (h w, 2), x first, row by row
    source = T.undo(pixels.expand(b, -1, 2)).unflatten(1, (h, w))  # (b, h w, 2) -> (b, h, w, 2)
    # grid_sample's -1 and 1 are the centres of the first and last pixel.
    grid = 2 * source / images.new_tensor([w - 1, h - 1]) - 1
    return F.grid_sample(images, grid, padding_mode="border", align_corners=True)


@_checks.full_precision
def landmark_image(points: Float[Tensor, "b n 2"], size: int) -> Float[Tensor, "b 1 size size"]:
    """Kowalski's landmark heatmap: H(x) = 1 / (1 + min_i |x - s_i|) within ±8 px of a landmark, and 0 elsewhere.

    Args:
        points: s, (b, n, 2) px; points outside the image are drawn as far as they reach into it.
        size: px a side.

    Returns:
        (b, 1, size, size).

    >>> landmark_image(torch.tensor([[[1.0, 1.0]]]), 3)[0, 0].round(decimals=3)
    tensor([[0.4140, 0.5000, 0.4140],
            [0.5000, 0.9990, 0.5000],
            [0.4140, 0.5000, 0.4140]])
    """
    _shape(points, "points")
    if points.ndim != 3:
        raise ValueError(f"points: needed (b, n, 2), got {tuple(points.shape)}")
    _checks.whole(size, "size")
    pixel = torch.arange(size, dtype=points.dtype, device=points.device)
    offset = pixel - points[..., None]  # (b, n, 2, size)
    beyond = (pixel - points.detach().floor()[..., None]).abs() > PATCH // 2
    # The squared distance is a sum of an x and a y part; a pixel is outside the patch if either is infinite.
    along_x, along_y = offset.square().masked_fill(beyond, torch.inf).unbind(2)  # (b, n, size) each
    nearest = (along_y[..., :, None] + along_x[..., None, :]).amin(1, keepdim=True)  # (b, n, size, size) -> (b, 1, ...)
    return 1 / (1 + (nearest + 1e-6).sqrt())  # 1e-6: the root has no derivative at 0


class Stage(nn.Module):
    """One stage: from images (b, k, s, s) to an estimate (b, n, 2) and hidden values (b, 256), by four pairs of
    convolutions.
    """

    def __init__(self, pictures: int, landmarks: int, size: int, width: int) -> None:
        super().__init__()
        layers, c = [], pictures
        for outputs in (width, 2 * width, 4 * width, 8 * width):
            layers += [_layer(nn.Conv2d(c, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))]
            layers += [_layer(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))]
            layers += [nn.MaxPool2d(2)]
            c = outputs
        self.norm = nn.BatchNorm2d(pictures) if pictures > 1 else nn.Identity()
        self.see = nn.Sequential(*layers)
        cells = c * (size // 16) ** 2
        self.hide = nn.Sequential(nn.Dropout(), _layer(nn.Linear(cells, 256, bias=False), nn.BatchNorm1d(256)))
        self.say = nn.Linear(256, 2 * landmarks)
        nn.init.xavier_uniform_(self.say.weight)
        nn.init.zeros_(self.say.bias)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.see(self.norm(pictures)).flatten(1)  # (b, 8 width, s/16, s/16) -> (b, 8 width (s/16)²)
        hidden = self.hide(seen)
        return precise(self.say, hidden).unflatten(1, (-1, 2)), hidden  # (b, 2n) -> (b, n, 2)


def _layer(linear: nn.Module, norm: nn.Module) -> nn.Sequential:
    nn.init.xavier_uniform_(linear.weight, 2**0.5)
    return nn.Sequential(linear, norm, nn.ReLU(inplace=True))


class DAN(nn.Module):
    """The Deep Alignment Network, from images (b, 3, s, s) to points (b, n, 2) px: S_0 = S̄, S_k = T⁻¹(T(S_{k-1}) +
    stage k).

    With 68 landmarks, 112 px and width 64 the first stage has 11,144,136 parameters, each later one 11,951,246. The
    network sees gray values. Kowalski standardises by the mean of the training images; here it is by constants. Paper A
    says VGG11; Kowalski's blocks, and ours, are of two convolutions each, as in VGG13 without its last block.
    Stages are trained one after the other: `net(images, stages=1)` stops after the first. The loss is in units of
    Kowalski's distance between eye centres, so use `metrics.nme(..., "pupils")`. In training, dropout of one half is
    applied to the features of the convolutions.

    Args:
        mean_shape: S̄, (n, 2) px of an image s px a side. Every face starts from it and is aligned with it.
        size: s, the side of an image, a multiple of 16; the network is built for it.
        stages: the number of stages.
        width: channels of the first convolutions; the others have 2, 4 and 8 times as many.

    Raises:
        ValueError: a size that is not a multiple of 16, more stages than there are, and all errors of `Standardise`.

    >>> net = DAN(torch.rand(5, 2) * 32, size=32, width=4).eval()
    >>> net(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 5, 2])
    """

    def __init__(self, mean_shape: Float[Tensor, "n 2"], size: int = 112, stages: int = 2, width: int = 64) -> None:
        super().__init__()
        _checks.points(mean_shape, "mean_shape")
        if size < 16 or size % 16:
            raise ValueError(f"size: needed a multiple of 16 px, got {size}")
        self.size, self.standardise = size, Standardise(16, size)
        n = len(mean_shape)
        self.register_buffer("mean_shape", mean_shape.clone())
        self.register_buffer("luma", torch.tensor(LUMA)[:, None, None], persistent=False)
        self.stages = nn.ModuleList(Stage(3 if k else 1, n, size, width) for k in range(stages))
        self.unfold = nn.ModuleList(nn.Linear(256, (size // 2) ** 2) for _ in range(stages - 1))
        for layer in self.unfold:
            nn.init.xavier_uniform_(layer.weight, 2**0.5)
            nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor, stages: int | None = None) -> Tensor:
        return self.trace(images, stages)[-1]

    def trace(self, images: Tensor, stages: int | None = None) -> list[Tensor]:
        """The landmarks (b, n, 2) px after each stage.

        Args:
            images: (b, 3, s, s), in [0, 1].
            stages: the number of stages to run; None for all.
        """
        if self.mean_shape.dtype not in _checks.PRECISE:
            wanted = "a network of single or double precision, as its landmarks are"
            raise TypeError(f"images: needed {wanted}, got {self.mean_shape.dtype}; use net.float() and autocast")
        if stages is not None and not 1 <= stages <= len(self.stages):
            raise ValueError(f"stages: needed a number from 1 to {len(self.stages)}, got {stages}")
        grey = (self.standardise(images) * self.luma).sum(1, keepdim=True)  # (b, 3, s, s) -> (b, 1, s, s)
        estimate, hidden = self.stages[0](grey)
        found = [self.move(self.mean_shape.expand_as(estimate), estimate)]
        for stage, unfold in zip(self.stages[1:stages], self.unfold, strict=False):
            T = similarity(found[-1], self.mean_shape)
            upright = T.apply(found[-1])
            pictures = [resample(grey, T), landmark_image(upright, self.size), self.unfolded(unfold(hidden))]
            estimate, hidden = stage(torch.cat(pictures, 1))  # (b, 3, s, s)
            found.append(T.undo(self.move(upright, estimate)))
        return found

    def unfolded(self, values: Tensor) -> Tensor:
        """The feature image (b, 1, s, s) from values (b, (s/2)²): half the side, each pixel repeated 2 x 2."""
        half = self.size // 2
        return F.interpolate(F.relu(values).unflatten(1, (1, half, half)), scale_factor=2)

    def move(self, points: Tensor, estimate: Tensor) -> Tensor:
        """The updated landmarks S + ΔS. Paper A overrides this: there an estimate is momenta, and the landmarks flow.

        Args:
            points: S, (b, n, 2) px.
            estimate: ΔS, (b, n, 2) px.
        """
        return points + estimate
