"""DAN's connection layers, each against a loop, a least-squares solver or finite differences; then their interplay."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from lddmmlib.networks import DAN, Similarity, landmark_image, resample, similarity

F64 = torch.float64


def random(*shape, seed=0):
    return torch.rand(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def turned(angle=0.3, scale=1.2, shift=(3.0, -2.0)):
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    return Similarity(torch.tensor([[[a, -b], [b, a]]], dtype=F64), torch.tensor([shift], dtype=F64))


def close(a, b, atol=1e-10):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


# --- 1. the similarity ---------------------------------------------------------------


def test_similarity_finds_the_one_that_was_applied():
    target, T = 50 * random(7, 2), turned(2.5, 0.6)
    found = similarity(T.undo(target[None]), target)
    close(found.A, T.A)
    close(found.t, T.t)


def test_similarity_is_the_least_squares_one():
    points, target = 50 * random(3, 7, 2), 50 * random(7, 2, seed=1)
    found = similarity(points, target)
    for p, A, t in zip(points.numpy(), found.A.numpy(), found.t.numpy(), strict=True):
        rows = [row for x, y in p for row in ([x, -y, 1, 0], [y, x, 0, 1])]  # of a, b, t_x, t_y
        a, b, *shift = np.linalg.lstsq(np.array(rows), target.numpy().ravel(), rcond=None)[0]
        np.testing.assert_allclose(A, [[a, -b], [b, a]], atol=1e-10)
        np.testing.assert_allclose(t, shift, atol=1e-9)


def test_similarity_there_and_back():
    points, target = 50 * random(2, 3, 7, 2), 50 * random(7, 2, seed=1)
    T = similarity(points, target)
    close(T.undo(T.apply(points)), points)
    close(T.apply(T.undo(points)), points)
    close(T.apply(points).mean(-2), target.mean(0).expand(2, 3, 2))


def test_similarity_never_mirrors():
    target = random(6, 2)
    assert (torch.linalg.det(similarity((target * torch.tensor([-1.0, 1.0]))[None], target).A) > 0).all()


def test_similarity_is_differentiable():
    target, other = random(5, 2, seed=1), random(2, 4, 2, seed=2)
    assert gradcheck(lambda p: similarity(p, target).undo(other), random(2, 5, 2).requires_grad_())


# --- 2. the image --------------------------------------------------------------------


def ramps(h=20, w=24):
    """x and y of each pixel, and a constant: bilinear sampling is exact on them."""
    y, x = torch.meshgrid(torch.arange(h, dtype=F64), torch.arange(w, dtype=F64), indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)])[None]


def test_resample_reads_where_the_inverse_points():
    image, T = ramps(), turned()
    h, w = image.shape[2:]
    result, inside = resample(image, T)[0], 0
    for i in range(h):
        for j in range(w):
            x, y = T.undo(torch.tensor([[[j, i]]], dtype=F64))[0, 0]
            close(result[:, i, j], torch.tensor([x.clamp(0, w - 1), y.clamp(0, h - 1), 1.0], dtype=F64))
            inside += 0 < x < w - 1 and 0 < y < h - 1
    assert inside > 200


def test_resample_by_nothing_is_nothing():
    image = random(2, 3, 9, 13)
    close(resample(image, Similarity(torch.eye(2, dtype=F64).expand(2, 2, 2), torch.zeros(2, 2, dtype=F64))), image)


def test_resample_is_differentiable_in_the_similarity():
    image, T = random(1, 1, 6, 7), turned()
    assert gradcheck(lambda A, t: resample(image, Similarity(A, t)), (T.A.requires_grad_(), T.t.requires_grad_()))


# --- 3. the landmark image -----------------------------------------------------------


def test_landmark_image_by_a_loop():
    points = torch.cat([40 * random(2, 6, 2) - 4, torch.tensor([[[15.0, 9.0]]], dtype=F64).expand(2, 1, 2)], 1)
    found = landmark_image(points, 32)
    expected = torch.zeros(2, 1, 32, 32, dtype=F64)
    for face, row in zip(expected, points.tolist(), strict=True):
        for x, y in row:
            for i in range(max(math.floor(y) - 8, 0), min(math.floor(y) + 9, 32)):
                for j in range(max(math.floor(x) - 8, 0), min(math.floor(x) + 9, 32)):
                    value = 1 / (1 + math.sqrt((j - x) ** 2 + (i - y) ** 2 + 1e-6))
                    face[0, i, j] = max(face[0, i, j].item(), value)
    close(found, expected)
    assert (expected == 0).any()


def test_landmark_image_is_differentiable_on_a_pixel_too():
    points = (16 * random(1, 3, 2)).requires_grad_()
    assert gradcheck(lambda p: landmark_image(p, 16), points)
    on = torch.tensor([[[5.0, 5.0]]], requires_grad=True)
    landmark_image(on, 16)[0, 0, 5, 5].backward()
    assert torch.equal(on.grad, torch.zeros(1, 1, 2))


# --- the network ---------------------------------------------------------------------


def test_parameters():
    net = DAN(torch.rand(68, 2))
    first = sum(p.numel() for p in net.stages[0].parameters())
    later = sum(p.numel() for part in (net.stages[1], net.unfold) for p in part.parameters())
    assert (first, later) == (11_144_136, 11_951_246)
    assert sum(p.numel() for p in net.parameters()) == first + later


def says(stage, offset):
    """Let a stage give one and the same estimate whatever it sees."""
    nn.init.zeros_(stage.say.weight)
    stage.say.bias.data = offset.flatten().clone()


def test_silent_stages_leave_the_mean_shape():
    mean = 32 * torch.rand(5, 2)
    net = DAN(mean, size=32, stages=3, width=4).eval()
    for stage in net.stages:
        says(stage, torch.zeros(5, 2))
    for points in net.trace(torch.rand(2, 3, 32, 32)):
        close(points, mean.expand(2, 5, 2), atol=1e-4)


def test_the_second_stage_speaks_in_the_frame_of_the_mean_shape():
    mean, first, second = 32 * random(5, 2), 4 * random(5, 2, seed=1), random(5, 2, seed=2)
    net = DAN(mean.float(), size=32, width=4).double().eval()
    net.mean_shape = mean
    says(net.stages[0], first)
    says(net.stages[1], second)
    one, two = net.trace(random(1, 3, 32, 32))
    close(one[0], mean + first)
    T = similarity(one, mean)
    close(two, T.undo(T.apply(one) + second))
    assert (two - (mean + first + second)).abs().max() > 0.01  # which is not the image's frame


def test_the_second_stage_sees_the_face_where_the_mean_face_is():
    """A picture that was shifted, and a first stage that knows by how much."""
    torch.manual_seed(0)
    net = DAN(10 + 12 * torch.rand(5, 2), size=32, width=4).double().eval()
    shift = torch.tensor([3.0, -2.0], dtype=F64)
    says(net.stages[0], shift.expand(5, 2))
    images, seen = random(1, 3, 32, 32), []
    net.stages[1].register_forward_pre_hook(lambda stage, given: seen.append(given[0]))
    net(images.roll((3, -2), (3, 2)))
    grey, drawn, unfolded = seen[0][0]
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=F64) / net.standardise.deviation.flatten()
    inner = (slice(4, -4), slice(4, -4))
    expected = ((images[0] - net.standardise.mean) * weights[:, None, None]).sum(0)
    close(grey[inner], expected[inner], atol=1e-6)
    close(drawn, landmark_image(net.mean_shape[None], 32)[0, 0], atol=1e-6)
    assert (unfolded >= 0).all()
    assert unfolded.any()
    close(unfolded, unfolded[::2, ::2].repeat_interleave(2, 0).repeat_interleave(2, 1))


def test_stages_can_be_stopped_at():
    torch.manual_seed(0)
    net, images = DAN(32 * torch.rand(5, 2), size=32, stages=3, width=4).eval(), torch.rand(2, 3, 32, 32)
    found = net.trace(images)
    assert len(found) == 3
    for k in (1, 2, 3):
        assert torch.equal(net(images, stages=k), found[k - 1])
    assert torch.equal(net(images), found[-1])


@pytest.mark.parametrize("stages", [0, 3, -1])
def test_refuses_stages_that_are_not_there(stages):
    net = DAN(torch.rand(5, 2), size=32, width=4).eval()
    with pytest.raises(ValueError, match=f"from 1 to 2, got {stages}"):
        net(torch.rand(1, 3, 32, 32), stages=stages)


@pytest.mark.parametrize("size", [0, 40, 8])
def test_refuses_sizes_that_cannot_be_halved_four_times(size):
    with pytest.raises(ValueError, match=f"multiple of 16 px, got {size}"):
        DAN(torch.rand(5, 2), size=size)
