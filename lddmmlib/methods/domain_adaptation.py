"""Rivals of conditional warping (paper D, table 2): what else unlabelled faces of a style can teach a landmarker.

All are losses of a batch of pairs (`conditional_warp.Pairs`), for `training.fit`, and start from the same pre-trained
landmarker. Each adds something to the labels of the photographs:

| | adds | from |
|---|---|---|
| `source_loss` | nothing: source only | |
| `oracle_loss` | the labels of the stylised faces, which no other is given | |
| `fourier_loss` | photographs with the amplitudes of the stylised faces (FDA) | Yang and Soatto, CVPR 2020 |
| `adversarial_loss`, features | features that do not tell the domain (RevGrad) | Ganin and Lempitsky, ICML 2015 |
| `adversarial_loss`, output | landmarks that do not tell the domain (AdaptSegNet) | Tsai et al., CVPR 2018 |
| `translated_loss` | photographs that a `Translator`, trained before, has painted | CycleGAN: Zhu et al., ICCV 2017 |
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lddmmlib import _checks
from lddmmlib._shapes import Float
from lddmmlib.methods.conditional_warp import Pair, check_images, landmark_loss, outputs_of, points_of
from lddmmlib.methods.heatmap_regression import network_input


def source_loss(model: nn.Module, pair: Pair, weights: Sequence[float] | None = None) -> Float[Tensor, ""]:
    """The `landmark_loss` of the photographs alone.

    Args:
        model: the landmarker.
        pair: a batch of pairs.
        weights: of stages, see `landmark_loss`.

    >>> from lddmmlib.data.crops import Crop
    >>> from lddmmlib.methods.conditional_warp import SoftArgmax
    >>> face = Crop(torch.ones(1, 3, 4, 4).byte(), torch.full((1, 3, 2), 1.5), *[None] * 3)
    >>> source_loss(SoftArgmax(nn.Identity()), Pair(photo=face, stylised=face))
    tensor(0.)
    """
    face = pair.photo
    return landmark_loss(model(network_input(face.image)), face.landmarks, face.image.shape[-1], weights)


def oracle_loss(model: nn.Module, pair: Pair, weights: Sequence[float] | None = None) -> Float[Tensor, ""]:
    """The `landmark_loss` of photographs and stylised faces, both labelled: what supervision could reach.

    Args:
        model: the landmarker.
        pair: a batch of ``Pairs(..., labelled=True)``.
        weights: of stages, see `landmark_loss`.

    Raises:
        ValueError: stylised faces without labels.

    >>> from lddmmlib.data.crops import Crop
    >>> from lddmmlib.methods.conditional_warp import SoftArgmax
    >>> face = Crop(torch.ones(1, 3, 4, 4).byte(), torch.full((1, 3, 2), 1.5), *[None] * 3)
    >>> oracle_loss(SoftArgmax(nn.Identity()), Pair(photo=face, stylised=face))
    tensor(0.)
    """
    labelled = ~pair.stylised.landmarks.isnan().all()
    _checks.need(labelled, "pair", "stylised faces with labels", "NaN alone", "use Pairs(..., labelled=True)")
    found, side = outputs_of(model, pair), pair.photo.image.shape[-1]
    return sum(landmark_loss(x, face.landmarks, side, weights) for x, face in zip(found, pair, strict=True)) / 2


# ------------------------------------------------------------------------------------------------------ the images


@_checks.full_precision
def swap_amplitude(
    images: Float[Tensor, "b c h w"], targets: Float[Tensor, "b c h w"], share: float = 0.05
) -> Float[Tensor, "b c h w"]:
    """Give images the style of others: the amplitudes of their low frequencies, with the phases of the images.

    Args:
        images: (b, c, h, w).
        targets: whose amplitudes are taken, of the same shape.
        share: β, from 0 to 1/2: frequencies up to β cycles a pixel in x and in y are taken; 0 is the mean alone.

    Returns:
        (b, c, h, w), not clipped.

    Raises:
        ValueError: images that do not fit or are not finite, a share outside [0, 1/2].

    Yang and Soatto, CVPR 2020, equation 3.

    >>> swap_amplitude(torch.eye(2)[None, None], torch.full((1, 1, 2, 2), 0.75), share=0)
    tensor([[[[1.2500, 0.2500],
              [0.2500, 1.2500]]]])
    """
    check_images(images=images, targets=targets)
    _checks.number(share, "share", 0, 0.5)
    X, T = torch.fft.fft2(images), torch.fft.fft2(targets)
    y, x = (torch.fft.fftfreq(k, device=images.device).abs() <= share for k in images.shape[-2:])
    return torch.fft.ifft2(torch.polar(torch.where(y[:, None] & x, T.abs(), X.abs()), X.angle())).real


def fourier_loss(
    model: nn.Module, pair: Pair, share: float = 0.05, weights: Sequence[float] | None = None
) -> Float[Tensor, ""]:
    """The `landmark_loss` of photographs in the style of the stylised faces, by `swap_amplitude`.

    Args:
        model: the landmarker.
        pair: a batch of pairs.
        share: β.
        weights: of stages, see `landmark_loss`.

    >>> from lddmmlib.data.crops import Crop
    >>> from lddmmlib.methods.conditional_warp import SoftArgmax
    >>> face = Crop(torch.ones(1, 3, 4, 4).byte(), torch.full((1, 3, 2), 1.5), *[None] * 3)
    >>> fourier_loss(SoftArgmax(nn.Identity()), Pair(photo=face, stylised=face))
    tensor(0.)
    """
    photos, stylised = (network_input(face.image) for face in pair)
    styled = swap_amplitude(photos, stylised, share).clamp(0, 1)
    return landmark_loss(model(styled), pair.photo.landmarks, photos.shape[-1], weights)


# ---------------------------------------------------------------------------------------------------- adversaries


def reverse_gradient(x: Float[Tensor, "*any"], scale: float = 1.0) -> Float[Tensor, "*any"]:
    """The same values, with -`scale` times their gradient: what lies before learns against what lies behind.

    Args:
        x: of any shape.
        scale: λ, at least 0.

    Ganin and Lempitsky, ICML 2015, equation 14.

    >>> x = torch.ones(2, requires_grad=True)
    >>> y = reverse_gradient(x, 0.5)
    >>> y.tolist(), torch.autograd.grad(y.sum(), x)[0]
    ([1.0, 1.0], tensor([-0.5000, -0.5000]))
    """
    _checks.floats(x, "x")
    _checks.number(scale, "scale", 0)
    return x.detach() + scale * (x.detach() - x)


class Adversary(nn.Module):
    """A landmarker, and a discriminator that tells photographs from stylised faces by its features or its output.

    Args:
        landmarker: from images to points; a call of the adversary is one of the landmarker.
        inputs: numbers that the discriminator reads: channels of the features, or 2 n of the landmarks.
        at: the part of the landmarker whose output, maps (b, c, h, w) or a list of them, of which the last counts, is
            to hide the domain (RevGrad), each cell by itself: "trunk" of `SLPT`. None: the landmarks (AdaptSegNet).
        hidden: channels of the discriminator.

    Raises:
        AttributeError: no such part.

    >>> from lddmmlib.methods.conditional_warp import SoftArgmax
    >>> model = Adversary(SoftArgmax(nn.Conv2d(3, 5, 3, padding=1)), inputs=5, at="net")
    >>> model(torch.rand(1, 3, 8, 8))[0].shape
    torch.Size([1, 5, 2])
    """

    def __init__(self, landmarker: nn.Module, inputs: int, at: str | None = None, hidden: int = 64) -> None:
        super().__init__()
        _checks.whole(inputs, "inputs")
        self.landmarker, self.at, self.training = landmarker, at, landmarker.training
        if at is not None:
            landmarker.get_submodule(at)
        self.discriminator = nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        return self.landmarker(images)

    def told(self, pair: Pair) -> tuple[list[Tensor], Tensor]:
        """The output for the photographs, and what the discriminator is to read of both, photographs first."""
        if self.at is None:
            found = outputs_of(self.landmarker, pair)
            return found[0], torch.cat([points_of(x) for x in found]).flatten(1) / pair.photo.image.shape[-1]
        seen: list = []
        part = self.landmarker.get_submodule(self.at)
        with part.register_forward_hook(lambda module, given, maps: seen.append(maps)):
            found = outputs_of(self.landmarker, pair)
        maps = seen[-1][-1] if isinstance(seen[-1], list) else seen[-1]
        return found[0], maps.movedim(1, -1)


def adversarial_loss(
    model: Adversary, pair: Pair, weight: float = 0.1, weights: Sequence[float] | None = None
) -> Float[Tensor, ""]:
    """The `landmark_loss` of the photographs + the cross-entropy of the discriminator, which the landmarker raises.

    One descent trains both, by `reverse_gradient`. (AdaptSegNet in its paper takes turns, and lowers the cross-entropy
    of the wrong answer for the stylised faces; the two have the same saddle.)

    Args:
        model: the adversary.
        pair: a batch of pairs.
        weight: λ, of the reversed gradient; the discriminator learns at the full rate.
        weights: of stages, see `landmark_loss`.

    >>> from lddmmlib.data.crops import Crop
    >>> from lddmmlib.methods.conditional_warp import SoftArgmax
    >>> face = Crop(torch.ones(1, 3, 4, 4).byte(), torch.full((1, 3, 2), 1.5), *[None] * 3)
    >>> model = Adversary(SoftArgmax(nn.Identity()), inputs=6)
    >>> adversarial_loss(model, Pair(photo=face, stylised=face)).shape
    torch.Size([])
    """
    photos, told = model.told(pair)
    score = model.discriminator(reverse_gradient(told.float(), weight))[..., 0]
    stylised = torch.zeros_like(score)
    stylised[len(pair.photo.image) :] = 1.0
    value = landmark_loss(photos, pair.photo.landmarks, pair.photo.image.shape[-1], weights)
    return value + F.binary_cross_entropy_with_logits(score, stylised)


# ------------------------------------------------------------------------------------------------------ translation


class Translator(nn.Module):
    """A small CycleGAN: from photographs to stylised faces and back, with a discriminator of patches on either side.

    A generator adds to the logits of a pixel, so that its images are in (0, 1), and starts at the identity. Its
    convolutions see a few pixels around each: textures and colours may change, shapes hardly.

    Args:
        channels: of the widest maps of each network.

    >>> images = torch.rand(2, 3, 8, 8).clamp(0.01, 0.99)
    >>> torch.allclose(Translator(8)(images), images)
    True
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        _checks.whole(channels, "channels")
        self.there, self.back = (_Generator(channels) for _ in range(2))
        self.photo, self.stylised = (
            nn.Sequential(
                _convolution(3, channels, 2), _convolution(channels, channels, 2), nn.Conv2d(channels, 1, 3, padding=1)
            )
            for _ in range(2)
        )

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        return self.there(images)


class _Generator(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(3, channels, 2),
            *(_convolution(channels, channels) for _ in range(3)),
            nn.Upsample(scale_factor=2),
        )
        self.last = nn.Conv2d(channels, 3, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        change = F.interpolate(self.last(self.body(x)), x.shape[-2:])
        return (x.clamp(0.01, 0.99).logit() + change).sigmoid()


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
    return nn.Sequential(conv, nn.GroupNorm(1, outputs), nn.LeakyReLU(0.2))


def translation_loss(model: Translator, pair: Pair, cycle: float = 10.0) -> Float[Tensor, ""]:
    """The loss of a translator: what its discriminators lower and its generators raise, and `cycle` times the mean
    distance of images from where both generators take them.

    One descent trains all four, by `reverse_gradient`. No label is read.

    Args:
        model: the translator.
        pair: a batch of pairs.
        cycle: the weight of the distance.

    Zhu et al., ICCV 2017, equation 3, with cross-entropy.

    >>> from lddmmlib.data.crops import Crop
    >>> face = Crop(torch.full((1, 3, 8, 8), 128).byte(), torch.full((1, 3, 2), 1.5), *[None] * 3)
    >>> translation_loss(Translator(8), Pair(photo=face, stylised=face)).shape
    torch.Size([])
    """
    photos, stylised = (network_input(face.image) for face in pair)
    painted, freed = model.there(photos), model.back(stylised)
    apart = (model.back(painted) - photos).abs().mean() + (model.there(freed) - stylised).abs().mean()
    return cycle * apart + _told(model.stylised, stylised, painted) + _told(model.photo, photos, freed)


def _told(judge: nn.Module, genuine: Tensor, made: Tensor) -> Tensor:
    """The cross-entropy of a discriminator, with the gradient of what was made reversed."""
    yes, no = judge(genuine), judge(reverse_gradient(made))
    return F.softplus(-yes).mean() + F.softplus(no).mean()


def translated_loss(
    model: nn.Module, pair: Pair, translator: Translator, weights: Sequence[float] | None = None
) -> Float[Tensor, ""]:
    """The `landmark_loss` of photographs as a trained translator paints them.

    Args:
        model: the landmarker.
        pair: a batch of pairs.
        translator: not trained by it.
        weights: of stages, see `landmark_loss`.

    >>> from lddmmlib.data.crops import Crop
    >>> from lddmmlib.methods.conditional_warp import SoftArgmax
    >>> face = Crop(torch.ones(1, 3, 4, 4).byte(), torch.full((1, 3, 2), 1.5), *[None] * 3)
    >>> translated_loss(SoftArgmax(nn.Identity()), Pair(photo=face, stylised=face), Translator(8))
    tensor(0.)
    """
    photos = network_input(pair.photo.image)
    with torch.no_grad():
        painted = translator(photos)
    return landmark_loss(model(painted), pair.photo.landmarks, photos.shape[-1], weights)
