"""Paper D's warper and landmarker: SciPy, finite differences, versions to read, and trainings done by hand."""

import copy
from functools import partial
from inspect import unwrap

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from lddmmlib import polyharmonic, training
from lddmmlib.data import crops
from lddmmlib.data.augment import RECIPE, STILL, Crops, Photo
from lddmmlib.data.crops import Crop
from lddmmlib.data.images import LUMA
from lddmmlib.faces import schemes
from lddmmlib.methods import conditional_warp as cw
from tests.helpers import refused
from tests.methods.stand_ins import Told

N, SIDE = 7, 20


def random(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def smooth(b=2, c=3, seed=0, side=SIDE):
    """Images without an edge, so that differences are derivatives."""
    noise = random(b, c, side, side, seed=seed).numpy()
    images = ndimage.gaussian_filter(noise, (0, 0, 2.5, 2.5), mode="wrap")
    return torch.from_numpy((images - images.min()) / np.ptp(images))


def faces(b=2, seed=0, n=N):
    return SIDE * (0.2 + 0.6 * random(b, n, 2, seed=seed))


def pair_of(b=2, side=8, n=3, seed=0, labels=True):
    g = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (2, b, 3, side, side), generator=g, dtype=torch.uint8)
    points = side * (0.2 + 0.6 * torch.rand(2, b, n, 2, generator=g, dtype=torch.float64))
    there, still = torch.ones(b, n, dtype=torch.bool), torch.eye(2, 3).expand(b, 2, 3)
    two = [Crop(image=x, landmarks=p, visible=there, inside=there, affine=still)
           for x, p in zip(images, points, strict=True)]  # fmt: skip
    hidden = two[1] if labels else two[1]._replace(landmarks=torch.full_like(points[1], torch.nan))
    return cw.Pair(photo=two[0], stylised=hidden)


class Small(nn.Module):
    """A landmarker with what has a state: batch norm, dropout."""

    def __init__(self, n=3, dropout=0.5):
        super().__init__()
        self.n = n
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
                                  nn.Flatten(), nn.Dropout(dropout), nn.Linear(16, 2 * n))  # fmt: skip

    def forward(self, images):
        return images.shape[-1] * self.body(images).sigmoid().unflatten(1, (self.n, 2))


def built(**how):
    torch.manual_seed(0)
    return Small(**how).train()


# ------------------------------------------------------------------------------------------------ what is compared


def by_scipy(x, operator):
    if operator == "laplacian":
        return [ndimage.laplace(x, mode="nearest")]
    if operator == "sobel":
        return [ndimage.generic_gradient_magnitude(x, ndimage.sobel, mode="nearest") / 8]
    return [ndimage.sobel(x, axis, mode="nearest") / 8 for axis in (1, 0)]


@pytest.mark.parametrize("gray", [True, False])
@pytest.mark.parametrize("operator", ["sobel", "spatial", "laplacian"])
def test_image_gradients_are_scipys(operator, gray):
    images = random(2, 3, 6, 9)
    found = cw.image_gradient(images, operator, gray)
    close = 1e-12 if operator != "sobel" and not gray else 1e-4  # of luminance, and of lengths near 0
    for image, result in zip(images.numpy(), found, strict=True):
        channels = [np.tensordot(LUMA, image, 1)] if gray else image
        expected = np.stack([g for x in channels for g in by_scipy(x, operator)])
        torch.testing.assert_close(result, torch.from_numpy(expected), rtol=0, atol=close)


def test_pixels_are_the_image_and_gray_images_stay():
    images = random(2, 3, 6, 9)
    assert torch.equal(cw.image_gradient(images, "pixels", gray=False), images)
    assert torch.equal(cw.image_gradient(images[:, :1]), cw.image_gradient(images[:, :1], gray=False))


def test_the_length_of_a_slope_does_not_see_which_side_is_brighter():
    images = smooth()
    torch.testing.assert_close(cw.image_gradient(images), cw.image_gradient(1 - images))
    torch.testing.assert_close(cw.image_gradient(images, "spatial"), -cw.image_gradient(1 - images, "spatial"))
    flat = torch.full((1, 1, 4, 4), 0.5, requires_grad=True)
    assert torch.autograd.grad(cw.image_gradient(flat).sum(), flat)[0].isfinite().all()


def edge(contrast, wide=24):
    image = torch.full((1, 1, wide, wide), 0.5 - contrast / 2, dtype=torch.float64)
    image[..., wide // 2 :] += contrast
    return image


def test_soft_canny_is_thin_and_does_not_see_contrast():
    """One on an edge whatever its contrast and sign, where Sobel's square sees contrast squared; nothing beside it."""
    rows = [cw.image_gradient(edge(c), "canny")[0, 0, 12] for c in (0.4, 0.8, -0.8)]
    for row in rows:
        assert row[11:13].min() > 0.4  # the edge lies between the two: both are as high
        assert torch.cat([row[:10], row[14:]]).max() < 0.05
    assert rows[1].max() < 1.3 * rows[0].max()
    torch.testing.assert_close(rows[1], rows[2])
    wide = (cw.image_gradient(edge(0.8), "sobel")[0, 0, 12].abs() > 0.01).sum()
    assert wide == 2
    assert cw.image_gradient(edge(0.02), "canny").max() < 0.1  # too faint for an edge
    turned = cw.image_gradient(edge(0.8).mT.contiguous(), "canny")
    torch.testing.assert_close(turned, cw.image_gradient(edge(0.8), "canny").mT)


def test_soft_canny_thins_a_ramp_that_sobel_leaves_wide():
    x = torch.arange(24, dtype=torch.float64)
    ramp = torch.sigmoid((x - 12) / 2).expand(1, 1, 24, 24).contiguous()
    thin, m = cw.image_gradient(ramp, "canny")[0, 0, 12], cw.image_gradient(ramp)[0, 0, 12]
    assert thin.argmax() == m.argmax() == 12
    half = [(row > row.max() / 2).sum() for row in (thin, m)]
    assert half[0] < half[1]


def test_a_perceptual_view_does_not_see_the_scale_of_features_and_takes_lists():
    images, conv = random(2, 3, 8, 8), nn.Conv2d(3, 4, 3, bias=False).double()
    one, two = (cw.perceptual(f)(images) for f in (conv, lambda x: [2 * conv(x), conv(x)]))
    torch.testing.assert_close(one[0], two[0])
    torch.testing.assert_close(one[0].norm(dim=1), torch.ones(2, 6, 6, dtype=torch.float64))
    assert len(two) == 2


# ------------------------------------------------------------------------------------------------------ the warper


def test_the_warper_loss_is_that_of_the_version_to_read():
    photos, stylised = smooth(2, 1, side=9), smooth(2, 1, seed=1, side=9)
    predicted, landmarks = faces(seed=2) / 2, faces(seed=3) / 2
    plain = [cw.warper_loss_by_pixels(predicted[i], photos[i, 0], landmarks[i], stylised[i, 0]) for i in range(2)]
    assert cw.warper_loss(predicted, photos, landmarks, stylised).item() == pytest.approx(np.mean(plain), rel=1e-9)


VIEWS = {name: partial(cw.image_gradient, operator=name) for name in cw.OPERATORS}
VIEWS |= {"colour": partial(cw.image_gradient, gray=False), "features": cw.perceptual(lambda x: [x[:, :2] + 1, x])}


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("view", VIEWS)
def test_the_gradient_of_the_whole_warper_loss_is_that_of_differences(view, smoothing):
    """From the weights of a landmarker through its prediction, the spline, the warp and what is compared."""
    stylised, landmarks, photos = smooth(2, seed=1), faces(seed=3), smooth(2)
    start = landmarks + 0.7 * random(2, N, 2, seed=4)
    features = nn.functional.adaptive_avg_pool2d(stylised, 2).flatten(1)  # (2, 12)

    def loss(weight):
        predicted = start + (features @ weight).unflatten(1, (N, 2))
        return unwrap(cw.warper_loss)(predicted, photos, landmarks, stylised, VIEWS[view], smoothing)

    weight = (0.02 * (random(12, 2 * N, seed=5) - 0.5)).requires_grad_()
    (grad,) = torch.autograd.grad(loss(weight), weight)
    assert grad.abs().max() > 1e-6
    for k in range(3):
        way = random(12, 2 * N, seed=6 + k) - 0.5
        h = 1e-6
        slope = (loss(weight + h * way) - loss(weight - h * way)).item() / (2 * h)
        assert (grad * way).sum().item() == pytest.approx(slope, rel=2e-3, abs=1e-8)


def test_the_third_term_is_zero_unless_the_spline_is_smoothed():
    target, source = faces(seed=2), faces(seed=3)
    images = torch.full((2, 1, SIDE, SIDE), 0.5, dtype=torch.float64)  # nothing to see
    values = [cw.warper_loss(target, images, source, images, smoothing=s).item() for s in (0.0, 0.1, 1.0)]
    assert values[0] < 1e-20 < values[1] < values[2]
    missed = polyharmonic.evaluate(polyharmonic.fit(target, source, 2, 0.1), target) - source
    assert values[1] == pytest.approx((missed / SIDE).square().sum(-1).mean().item())
    spline = polyharmonic.fit(target, source)
    torch.testing.assert_close(polyharmonic.evaluate(spline, target), source)


def test_descending_the_loss_brings_the_prediction_to_the_truth():
    """A face that is the photograph, warped: the landmarks are told by edges alone."""
    landmarks = torch.tensor([[[6.0, 6], [17, 6], [11, 12], [6, 17], [17, 17]]], dtype=torch.float64)
    photos, truth = smooth(1, 1, seed=8, side=24), landmarks + 3 * (random(1, 5, 2, seed=9) - 0.5)
    stylised = polyharmonic.warp(photos, landmarks, truth)
    predicted = landmarks.clone().requires_grad_()
    optim = torch.optim.Adam([predicted], lr=0.1)
    for _ in range(40):
        optim.zero_grad()
        cw.warper_loss(predicted, photos, landmarks, stylised).backward()
        optim.step()
    assert (predicted - truth).norm(dim=-1).mean() < 0.3 * (landmarks - truth).norm(dim=-1).mean()


def spoilt(how):
    """Predictions of three faces, of which the second determines no spline."""
    predicted = faces(3, seed=2)
    if how == "coincident":
        predicted[1, 4] = predicted[1, 2]
    elif how == "nearly coincident":
        predicted[1, 4] = predicted[1, 2] + 1e-4
    elif how == "one place":
        predicted[1] = predicted[1, :1]
    else:
        predicted[1] = torch.outer(random(N, seed=3), torch.tensor([3.0, 5.0]).double()) + 1
    return predicted


@pytest.mark.parametrize("how", ["coincident", "nearly coincident", "one place", "a line"])
def test_a_prediction_that_determines_no_spline_does_not_stop_the_others(how):
    photos, stylised, landmarks = smooth(3), smooth(3, seed=1), faces(3, seed=3)
    predicted = spoilt(how).requires_grad_()
    value = cw.warper_loss(predicted, photos, landmarks, stylised)
    good = [0, 2]
    expected = cw.warper_loss(predicted[good], photos[good], landmarks[good], stylised[good])
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    (grad,) = torch.autograd.grad(value, predicted)
    assert grad.isfinite().all()
    assert not grad[1].any()
    alone = cw.warper_loss(predicted[1:2], photos[1:2], landmarks[1:2], stylised[1:2])
    assert alone.item() == 0
    assert alone.requires_grad
    smoothed = cw.warper_loss(predicted, photos, landmarks, stylised, smoothing=0.1)
    (grad,) = torch.autograd.grad(smoothed, predicted)
    assert grad.isfinite().all()
    assert grad[1].any() == ("coincident" in how)  # a smoothed spline takes it; no line
    if how == "coincident":
        with pytest.raises(ValueError, match="needed distinct points"):  # as before, for others
            polyharmonic.warp(photos, landmarks, predicted.detach())


def test_a_photograph_without_some_label_is_left_out():
    photos, stylised, predicted, landmarks = smooth(2), smooth(2, seed=1), faces(seed=2), faces(seed=3)
    landmarks[0, 3] = torch.nan
    expected = cw.warper_loss(predicted[1:], photos[1:], landmarks[1:], stylised[1:])
    assert cw.warper_loss(predicted, photos, landmarks, stylised).item() == pytest.approx(expected.item())


def test_what_does_not_fit_is_refused():
    predicted, photos, landmarks, stylised = faces(seed=2), smooth(), faces(seed=3), smooth(seed=1)
    sizes = r"photos, stylised: needed one shape, got \(2, 3, 20, 20\) and \(2, 3, 18, 20\); crop both to one size"
    refused(sizes, cw.warper_loss, predicted, photos, landmarks, stylised[:, :, 1:-1])
    refused("predicted: needed three landmarks or more, as a spline does, got 2", cw.warper_loss, predicted[:, :2],
            photos, landmarks[:, :2], stylised)  # fmt: skip
    refused("predicted, landmarks: needed one shape", cw.warper_loss, predicted, photos, landmarks[:, 1:], stylised)
    refused("predicted, landmarks: needed one shape", cw.warper_loss, predicted[:1], photos, landmarks[:1], stylised)
    refused("operator: needed one of .*; got 'prewitt'", cw.image_gradient, photos, "prewitt")
    refused("weights: needed one for each of 1 stages, got 2", cw.landmark_loss, predicted, landmarks, 20.0, (0.5, 0.5))
    wrong = pair_of()._replace(stylised=pair_of(side=6).stylised)
    refused("pair: needed images of one size, got .*; crop both to one size", cw.joint_loss, built(), wrong)


# -------------------------------------------------------------------------------------------------- the landmarker


def test_the_landmark_loss_counts_labelled_landmarks_layers_and_stages():
    y = random(2, 3, 2, seed=1)
    y[1, 2] = torch.nan
    layers, points = random(2, 4, 3, 2, seed=2), random(2, 3, 2, seed=3)

    def mean(x):
        kept = [np.linalg.norm(x[b, k] - y[b, k]) for b in range(2) for k in range(3) if (b, k) != (1, 2)]
        return np.mean(kept) / 9

    of_layers = np.mean([mean(layers[:, i]) for i in range(4)])
    value = cw.landmark_loss([layers, points], y, 9.0, (0.3, 0.7)).item()
    assert value == pytest.approx(0.3 * of_layers + 0.7 * mean(points))
    assert cw.landmark_loss([layers, points], y, 9.0).item() == pytest.approx((of_layers + mean(points)) / 2)
    at = y.nan_to_num().requires_grad_()
    (grad,) = torch.autograd.grad(cw.landmark_loss(at, y, 9.0), at)
    assert grad.isfinite().all()
    assert torch.equal(cw.points_of([points, layers]), layers[:, -1].float())


def test_soft_argmax_gives_maps_a_gradient_in_pixels():
    maps = torch.full((1, 1, 4, 4), -20.0)
    maps[0, 0, 1, 2] = 20.0
    maps.requires_grad_()
    net = cw.SoftArgmax(Told([maps, maps]))
    first, last = net(torch.zeros(1, 3, 16, 16))
    torch.testing.assert_close(last, torch.tensor([[[9.5, 5.5]]]))
    assert torch.autograd.grad(first.sum(), maps)[0].isfinite().all()


# ---------------------------------------------------------------------------------------------------- pairs of faces


def drawn(count, seed=0, size=24):
    """Pictures with 68 places, and nothing on them that matters."""
    g = torch.Generator().manual_seed(seed)
    return [Photo(image=torch.randint(0, 256, (3, size, size), generator=g, dtype=torch.uint8),
                  landmarks=size * (0.2 + 0.6 * torch.rand(68, 2, generator=g, dtype=torch.float64)),
                  visible=torch.ones(68, dtype=torch.bool), box=None) for _ in range(count)]  # fmt: skip


def cut(count, seed=0, size=16):
    return Crops(drawn(count, seed), "300w-68", size, RECIPE._replace(hidden=0.0))


def test_pairs_are_random_and_withhold_labels():
    pairs = cw.Pairs(cut(3), cut(5, seed=1))
    kept = cw.Pairs(cut(3), cut(5, seed=1), labelled=True)
    first, again, other = (pairs.draw(1, np.random.default_rng(s)) for s in (4, 4, 5))
    assert torch.equal(first.stylised.image, again.stylised.image)
    assert not torch.equal(first.stylised.image, other.stylised.image)
    assert first.stylised.landmarks.isnan().all()
    assert not first.stylised.visible.any()
    assert not first.stylised.inside.any()
    assert first.photo.landmarks.isfinite().all()
    assert torch.equal(kept.draw(1, np.random.default_rng(4)).stylised.image, first.stylised.image)
    assert kept[0].stylised.landmarks.isfinite().all()
    still = cw.Pairs(cut(3), Crops(drawn(5, seed=1), "300w-68", 16, STILL))  # pictures that differ by the face alone
    assert len({tuple(still.draw(0, np.random.default_rng(s)).stylised.image.flatten().tolist()) for s in range(9)}) > 2
    assert len(pairs) == 3


def test_empty_sets_and_crops_of_different_sizes_are_refused():
    refused("stylised: needed at least one face, got none; name its folder", cw.Pairs, cut(2), cut(0))
    refused("photos: needed at least one face", cw.Pairs, cut(0), cut(2))
    refused("photos, stylised: needed crops of one size, got 16 and 32 px", cw.Pairs, cut(2), cut(2, size=32))


def test_jittered_boxes_scatter_as_asked_and_belong_to_the_face():
    many = cw.JitteredBoxes(drawn(1) * 300, jitter=0.08)
    x, y, w, h = crops.box(many[0].landmarks)
    boxes = np.array([many[i].box for i in range(300)])
    shift = (boxes[:, :2] + boxes[:, 2:] / 2 - [x + w / 2, y + h / 2]) / max(w, h)
    scale = np.log(boxes[:, 2:] / [w, h])
    np.testing.assert_allclose(shift.std(0), 0.08, rtol=0.2)
    np.testing.assert_allclose(scale.std(0), 0.08, rtol=0.2)
    assert many[7].box == many[7].box != many[8].box
    given = [drawn(1)[0]._replace(box=(1.0, 2.0, 3.0, 4.0), landmarks=torch.full((68, 2), torch.nan).double())]
    assert cw.JitteredBoxes(given, jitter=0)[0].box == pytest.approx((1.0, 2.0, 3.0, 4.0))  # its own, without labels
    unlabelled = Crops(cw.JitteredBoxes(given), "300w-68", 16)
    assert cw.Pairs(cut(1), unlabelled).draw(0, np.random.default_rng(0)).stylised.image.shape == (3, 16, 16)


# ------------------------------------------------------------------------------------------ at once, and in turns


def test_the_joint_loss_is_the_sum_of_its_parts():
    net, pair = built().eval(), pair_of()
    photo, stylised = (face.image.float() / 255 for face in pair)
    labelled = cw.landmark_loss(net(photo), pair.photo.landmarks, 8.0)
    warped = cw.warper_loss(net(stylised), photo, pair.photo.landmarks.float(), stylised, smoothing=0.1)
    value = cw.joint_loss(net, pair, weight=0.3, smoothing=0.1)
    assert value.item() == pytest.approx((labelled + 0.3 * warped).item(), rel=1e-5)
    assert warped > 0


def test_turns_labels_and_their_weight():
    model, pair = cw.Alternation(built(dropout=0.0), phases=(1, 1)), pair_of(labels=False)
    net = model.landmarker
    assert model.warps
    photos, stylised = cw.outputs_of(net, pair)
    warped = cw.warper_loss(cw.points_of(stylised), pair.photo.image.float() / 255, pair.photo.landmarks.float(),
                            pair.stylised.image.float() / 255)  # fmt: skip
    assert cw.alternating_loss(model, pair).item() == pytest.approx(warped.item(), rel=1e-5)
    with torch.no_grad():
        net.body[-1].bias += 0.3  # what the warper learnt
    model.advance()
    assert not model.warps
    with torch.no_grad():
        net.body[-1].bias += 0.3  # what the landmarker learns since
    photos, stylised = cw.outputs_of(net, pair)
    before = copy.deepcopy(net)
    before.body[-1].bias.data -= 0.3
    pseudo = cw.outputs_of(before, pair)[1][0].detach()
    torch.testing.assert_close(model.labels(pair), pseudo)
    for weight in (0.0, 1.0, 0.5):
        expected = cw.landmark_loss(photos, pair.photo.landmarks, 8.0) + weight * cw.landmark_loss(
            stylised, pseudo, 8.0
        )
        assert cw.alternating_loss(model, pair, weight).item() == pytest.approx(expected.item(), rel=1e-5)


def test_labels_come_without_dropout_and_with_batch_norms_as_they_are():
    model, pair = cw.Alternation(built(dropout=0.9), phases=(1, 1)), pair_of(4)
    torch.manual_seed(1)
    first, again = model.labels(pair), model.labels(pair)
    assert torch.equal(first, again)
    assert not first.requires_grad
    model.landmarker.eval()
    assert not torch.allclose(model.labels(pair), first)  # by the running statistics
    assert not cw.Alternation(model.landmarker, (1, 1)).training  # a whole one that `training.fit` puts into training


def test_landmarks_at_which_mirror_images_disagree_are_no_labels():
    """A network that is told: in the mirror it is right about two of three, when its landmarks are exchanged too."""

    class Mirrored(nn.Module):
        def __init__(self):
            super().__init__()
            self.call = 0

        def forward(self, images):
            self.call += 1
            x = [[1.0, 2.0], [6.0, 2.0], [3.0, 5.0]] if self.call == 1 else [[1.0, 2.0], [6.2, 2.0], [6.0, 5.0]]
            return torch.tensor(x).expand(len(images), 3, 2)

    model = cw.Alternation(Mirrored(), phases=(0, 1))
    labels = model.labels(pair_of(2), flip=[1, 0, 2], agree=0.05)
    assert torch.equal(labels[0, :2], torch.tensor([[1.0, 2.0], [6.0, 2.0]]))
    assert labels[:, 2].isnan().all()


def test_each_adam_keeps_its_own_moments():
    """Two turns of each, against two Adams by hand."""
    torch.manual_seed(0)
    model = cw.Alternation(nn.Linear(2, 1), phases=(2, 1))
    plain = copy.deepcopy(model.landmarker)
    optim = cw.TwoAdams(model.parameters(), 0.1, model, warper=0.2)
    warper, landmarker = (torch.optim.Adam(plain.parameters(), lr) for lr in (0.02, 0.1))
    for k in range(6):
        x = random(3, 2, seed=k, dtype=torch.float32)
        for net, step in ((model, optim), (plain, landmarker if k % 3 == 2 else warper)):
            net.zero_grad()
            (net(x) - k).square().mean().backward()
            step.step()
        torch.testing.assert_close(model.landmarker.weight, plain.weight)
    assert [group["lr"] for group in optim.param_groups] == [0.1]


def train(folder, **how):
    torch.manual_seed(0)
    model = cw.Alternation(Small(68), phases=(1, 3))
    loss = partial(cw.alternating_loss, flip=schemes.get("300w-68").flip, agree=0.5, smoothing=0.1)
    pairs, optimiser = cw.Pairs(cut(6), cut(5, seed=1)), partial(cw.TwoAdams, model=model)
    how = {"epochs": 2, "batch": 2, "lr": 1e-2, "optimiser": optimiser, "progress": False} | how
    training.fit(model, loss, pairs, folder=folder, **how)
    return model


def test_a_training_in_turns_resumes_to_the_last_bit(tmp_path):
    """Stopped within a turn of the landmarker, whose labels are by a copy of older weights, with turns to come."""

    def stop(model):
        raise KeyboardInterrupt

    whole = train(tmp_path / "whole", validate=lambda model: {})
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", validate=stop, save_seconds=0)
    state = training.load_checkpoint(tmp_path / "parts")
    assert state["step"] == state["model"]["count"] == 2
    parts = train(tmp_path / "parts", validate=lambda model: {})
    assert int(whole.count) == 6
    for (name, a), b in zip(whole.state_dict().items(), parts.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    for a, b in zip(whole.before.parameters(), whole.landmarker.parameters(), strict=True):
        assert not torch.equal(a, b)  # both were trained, and the copy is older


def test_predictions_are_those_of_training_evaluate():
    model = cw.Alternation(built(n=68), phases=(1, 1))
    values = training.evaluate(model, cw.predict, cut(3), scheme="300w-68")
    assert values.shape == (3,)
    assert values.isfinite().all()
