"""SLPT: the published size, patches by SciPy, what each stage reads and trains."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from lddmmlib.networks.hrnet import HRNetV2
from lddmmlib.networks.slpt import SAMPLES, SIDES, SLPT, WEIGHTS

SIZE = 32


def small(**how):
    torch.manual_seed(0)
    mean = SIZE * (0.2 + 0.6 * torch.rand(5, 2))
    how = {"channels": 8, "layers": 2, "heads": 2, "hidden": 16} | how
    net = SLPT(mean, SIZE, **how, trunk=HRNetV2(8, width=4, modules=(1, 1, 1), blocks=1))
    torch.nn.init.normal_(net.last.weight, std=0.1)
    return net.eval()


def count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("layers", "of_transformer", "of_all"), [(6, 6_355_968, 19_273_604), (12, 12_676_608, 25_594_244)]
)
def test_parameters_are_the_published_ones(layers, of_transformer, of_all):
    """6.36 and 12.68 million of the transformer for 68 landmarks, and a convolution of 7 x 7 for the tokens."""
    mean = torch.rand(68, 2)
    with torch.device("meta"):
        net = SLPT(mean, layers=layers)
    assert (count(net.transformer), count(net)) == (of_transformer, of_all)
    assert count(net.token) == 3_211_264


def test_the_small_one():
    trunk = HRNetV2(32, 8, (1, 1, 1), 2)
    net = SLPT(torch.rand(68, 2), 64, 32, 2, 4, 64, trunk)
    assert (count(net), count(net.transformer)) == (820_730, 30_080)


def test_patches_are_those_that_scipy_samples():
    """7 x 7 bilinear samples at the middles of the cells of a patch, in the frame of the maps, row by row."""
    net, (h, w), side = small(), (8, 8), 16.0
    torch.nn.init.normal_(net.token.weight)
    net.norm = torch.nn.Identity()
    maps, points = torch.rand(1, 8, h, w), torch.tensor([[[10.3, 14.9], [25.0, 7.2]]])
    k = ((np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5) * side
    for i, (x, y) in enumerate(points[0].tolist()):
        yy, xx = np.meshgrid(y + k, x + k, indexing="ij")
        cells = [(v - 1.5) / 4 for v in (yy, xx)]  # stride 4, alignment "centre"
        patch = np.stack([ndimage.map_coordinates(m, cells, order=1, mode="nearest") for m in maps[0].numpy()])
        expected = (net.token.weight * torch.from_numpy(patch)).sum((1, 2, 3))
        torch.testing.assert_close(net.tokens(maps, points, side)[0, i], expected.float(), rtol=1e-4, atol=1e-4)


def test_a_fresh_network_says_the_mean_shape():
    torch.manual_seed(0)
    mean = SIZE * torch.rand(5, 2)
    net = SLPT(mean.double(), SIZE, 8, 2, 2, 16, HRNetV2(8, width=4, modules=(1, 1, 1), blocks=1)).eval()
    for stage in net(torch.rand(2, 3, SIZE, SIZE)):
        assert torch.equal(stage, mean.expand(2, 2, 5, 2))


def test_each_stage_starts_where_the_one_before_ended_and_moves_by_shares_of_a_smaller_patch():
    net = small()
    images = torch.rand(2, 3, SIZE, SIZE)
    asked = []
    net.tokens, tokens = lambda maps, at, side: (asked.append((at, side)), tokens(maps, at, side))[1], net.tokens
    stages = net(images)
    assert [side for _, side in asked] == [share * SIZE for share in SIDES] == [8.0, 4.0, 2.0]
    assert torch.equal(asked[0][0], net.mean.expand(2, -1, -1))
    for (at, _), stage in zip(asked[1:], stages, strict=False):
        assert torch.equal(at, stage[:, -1])
        assert not at.requires_grad
    assert sum(WEIGHTS) == 1


def test_a_landmark_depends_on_the_patches_of_the_others():
    net = small()
    tokens = torch.rand(1, 5, 8)
    before = net.transformer(tokens)
    tokens[0, 3] += 1
    assert not torch.allclose(net.transformer(tokens)[0, :, 0], before[0, :, 0])


def test_without_the_structure_encoding_the_transformer_would_not_tell_patches_apart():
    net = small()
    net.transformer.structure.data.zero_()
    tokens = torch.rand(1, 5, 8)
    torch.testing.assert_close(net.transformer(tokens[:, [4, 3, 2, 1, 0]]), net.transformer(tokens))
    torch.nn.init.normal_(net.transformer.structure)
    assert not torch.allclose(net.transformer(tokens[:, [4, 3, 2, 1, 0]]), net.transformer(tokens), atol=1e-3)


def test_every_layer_of_every_stage_is_trained():
    net = small()
    for stage in net(torch.rand(1, 3, SIZE, SIZE)):
        for layer in range(2):
            (grad,) = torch.autograd.grad(
                stage[:, layer].sum(), net.transformer.layers[0].feed[0].weight, retain_graph=True
            )
            assert grad.abs().sum() > 0


def test_other_sizes_and_heads_are_refused():
    with pytest.raises(ValueError, match=r"images: needed sides of 32 px, got \(1, 3, 64, 64\)"):
        small()(torch.rand(1, 3, 64, 64))
    with pytest.raises(ValueError, match="channels: needed a multiple of the 3 heads, got 8"):
        small(heads=3)


def test_places_stay_in_single_precision_under_autocast():
    """Of bfloat16 a coordinate has eight bits: a patch would jump by pixels."""
    net, images = small(), torch.rand(2, 3, SIZE, SIZE)
    expected = net(images)[-1]
    asked = []
    plain = torch.nn.functional.grid_sample
    with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu", torch.bfloat16):
        patch.setattr(
            "torch.nn.functional.grid_sample", lambda x, grid, **how: (asked.append(grid), plain(x, grid, **how))[1]
        )
        found = net(images)[-1]
    assert {grid.dtype for grid in asked} == {found.dtype} == {torch.float32}
    assert (found - expected).abs().max() < 0.1
