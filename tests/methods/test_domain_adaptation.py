"""Rivals of conditional warping: amplitudes and phases, minus lambda times the gradient, what each learns from."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from lddmmlib import training
from lddmmlib.methods import conditional_warp as cw
from lddmmlib.methods import domain_adaptation as rivals
from tests.helpers import refused
from tests.methods.test_conditional_warp import Small, built, cut, pair_of, random


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5])
def test_low_frequencies_have_the_targets_amplitude_and_all_the_images_phase(share):
    images, targets = random(2, 3, 9, 12), random(2, 3, 9, 12, seed=1)
    found = np.fft.fft2(rivals.swap_amplitude(images, targets, share).numpy())
    X, T = np.fft.fft2(images.numpy()), np.fft.fft2(targets.numpy())
    fy, fx = np.meshgrid(np.fft.fftfreq(9), np.fft.fftfreq(12), indexing="ij")
    low = (np.abs(fy) <= share) & (np.abs(fx) <= share)
    assert low.sum() == {0.0: 1, 0.1: 3, 0.25: 35, 0.5: 108}[share]
    np.testing.assert_allclose(np.abs(found)[..., low], np.abs(T)[..., low], atol=1e-9)
    np.testing.assert_allclose(np.abs(found)[..., ~low], np.abs(X)[..., ~low], atol=1e-9)
    np.testing.assert_allclose(found / np.abs(found), X / np.abs(X), atol=1e-6)


def test_an_image_in_its_own_style_is_itself():
    images = random(2, 3, 9, 12)
    torch.testing.assert_close(rivals.swap_amplitude(images, images, 0.3), images)


def test_a_reversed_gradient_is_minus_lambda_times_the_gradient():
    x = random(3, 4).requires_grad_()
    weight = random(3, 4, seed=1)
    (plain,) = torch.autograd.grad((weight * x.sin()).sum(), x)
    for scale in (0.0, 1.0, 0.3):
        y = rivals.reverse_gradient(x, scale)
        assert torch.equal(y, x)
        (reversed_,) = torch.autograd.grad((weight * y.sin()).sum(), x)
        torch.testing.assert_close(reversed_, -scale * plain)


@pytest.mark.parametrize("at", [None, "body.0"])
def test_the_landmarker_raises_what_the_discriminator_lowers(at):
    """The gradient of the cross-entropy: as it is for the discriminator, -lambda times for the landmarker."""
    pair = pair_of(labels=False)
    torch.manual_seed(0)
    model = rivals.Adversary(Small(dropout=0.0).eval(), inputs=6 if at is None else 4, at=at)
    photos, told = model.told(pair)
    assert told.shape == ((4, 6) if at is None else (4, 3, 3, 4))
    domain = torch.tensor([0.0, 0.0, 1.0, 1.0]).view(-1, *[1] * (told.ndim - 2)).expand(told.shape[:-1])
    score = model.discriminator(told)[..., 0]
    entropy = nn.functional.binary_cross_entropy_with_logits(score, domain)
    labelled = cw.landmark_loss(photos, pair.photo.landmarks, 8.0)
    value = rivals.adversarial_loss(model, pair, weight=0.3)
    assert value.item() == pytest.approx((labelled + entropy).item(), rel=1e-6)
    weight = model.landmarker.body[0].weight
    a, b, c = (torch.autograd.grad(v, weight, retain_graph=True)[0] for v in (labelled, entropy, value))
    assert b.abs().max() > 0
    torch.testing.assert_close(c, a - 0.3 * b, rtol=1e-4, atol=1e-6)
    for p in model.discriminator.parameters():
        grads = [torch.autograd.grad(v, p, retain_graph=True)[0] for v in (entropy, value)]
        torch.testing.assert_close(*grads)


def test_source_and_fourier_read_no_label_and_the_oracle_needs_it():
    net, pair, hidden = built(dropout=0.0).eval(), pair_of(), pair_of(labels=False)
    photo = cw.landmark_loss(net(pair.photo.image.float() / 255), pair.photo.landmarks, 8.0).item()
    stylised = cw.landmark_loss(net(pair.stylised.image.float() / 255), pair.stylised.landmarks, 8.0).item()
    assert rivals.source_loss(net, hidden).item() == pytest.approx(photo)
    assert rivals.oracle_loss(net, pair).item() == pytest.approx((photo + stylised) / 2, rel=1e-5)
    refused("pair: needed stylised faces with labels, got NaN alone; use Pairs", rivals.oracle_loss, net, hidden)
    two = [face.image.float() / 255 for face in hidden]
    styled = rivals.swap_amplitude(*two, 0.2).clamp(0, 1)
    expected = cw.landmark_loss(net(styled), pair.photo.landmarks, 8.0).item()
    assert rivals.fourier_loss(net, hidden, 0.2).item() == pytest.approx(expected, rel=1e-5)


def test_generators_start_at_the_identity_and_raise_what_discriminators_lower():
    torch.manual_seed(0)
    model, pair = rivals.Translator(4), pair_of(labels=False)
    photos, stylised = (face.image.float() / 255 for face in pair)
    torch.testing.assert_close(model(photos), photos.clamp(0.01, 0.99))
    nn.init.normal_(model.there.last.weight, std=0.1)
    painted, freed = model.there(photos), model.back(stylised)
    assert painted.shape == photos.shape
    sides = (model.stylised, stylised, painted), (model.photo, photos, freed)
    entropy = sum(-d(yes).sigmoid().log().mean() - (1 - d(no).sigmoid()).log().mean() for d, yes, no in sides)
    cycle = (model.back(painted) - photos).abs().mean() + (model.there(freed) - stylised).abs().mean()
    value = rivals.translation_loss(model, pair, cycle=3.0)
    assert value.item() == pytest.approx((entropy + 3 * cycle).item(), rel=1e-5)
    told = rivals.translation_loss(model, pair, cycle=0.0)
    for part, sign in ((model.there.last.weight, -1), (model.back.last.weight, -1), (model.photo[2].weight, 1)):
        (a,), (b,) = (torch.autograd.grad(v, part, retain_graph=True) for v in (told, entropy))
        assert a.abs().max() > 0
        torch.testing.assert_close(a, sign * b, rtol=1e-4, atol=1e-7)


def test_a_landmarker_learns_from_painted_photographs():
    net, pair, translator = built(dropout=0.0).eval(), pair_of(labels=False), rivals.Translator(4)
    nn.init.normal_(translator.there.last.weight, std=0.5)
    painted = translator(pair.photo.image.float() / 255)
    expected = cw.landmark_loss(net(painted), pair.photo.landmarks, 8.0).item()
    value = rivals.translated_loss(net, pair, translator)
    assert value.item() == pytest.approx(expected, rel=1e-5)
    value.backward()
    assert all(p.grad is None for p in translator.parameters())
    refused("channels: needed an integer", rivals.Translator, 0)


LOSSES = {"source": rivals.source_loss, "oracle": rivals.oracle_loss, "fourier": rivals.fourier_loss,
          "features": rivals.adversarial_loss, "output": rivals.adversarial_loss, "joint": cw.joint_loss,
          "translated": partial(rivals.translated_loss, translator=rivals.Translator(4))}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_every_rival_trains_in_the_one_loop(name, tmp_path):
    net = built(n=68)
    adversaries = {
        "features": partial(rivals.Adversary, inputs=4, at="body.0"),
        "output": partial(rivals.Adversary, inputs=136),
    }
    model = adversaries.get(name, lambda net: net)(net)
    before = net.body[0].weight.detach().clone()
    pairs = cw.Pairs(cut(4), cut(3, seed=1), labelled=name == "oracle")
    training.fit(model, LOSSES[name], pairs, folder=tmp_path, epochs=1, batch=2, progress=False)
    assert not torch.equal(net.body[0].weight, before)
    assert training.evaluate(model, cw.predict, cut(2), scheme="300w-68").isfinite().all()


def test_images_that_do_not_fit_are_refused():
    refused("images, targets: needed one shape", rivals.swap_amplitude, random(2, 3, 8, 8), random(2, 3, 8, 9))
    refused(r"share: needed a number in \[0, 0.5\], got 0.7", rivals.swap_amplitude, *random(2, 1, 3, 8, 8), 0.7)
    refused("scale: needed a number >= 0, got -1", rivals.reverse_gradient, random(2), -1)
    with pytest.raises(AttributeError, match="trunk"):
        rivals.Adversary(built(), inputs=4, at="trunk")
