"""Networks in the page compute what they compute in torch."""

import base64
import io
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import traitlets
from PIL import Image
from torch import nn

from lddmmlib import heatmaps, networks
from lddmmlib.data import crops
from lddmmlib.faces import synthetic
from lddmmlib.widgets import network
from lddmmlib.widgets.base import HERE, Numbers, StaticWidget
from lddmmlib.widgets.network import portable, program

PROBE = Path(__file__).with_name("network_probe.js")


def text(file: bytes) -> str:
    return base64.b64encode(file).decode()


@pytest.fixture
def same(js):
    """same(model, example): in Node it gives what it gives here, for the example and for another input."""

    def check(model, example, half=False, atol=1e-5):
        file = portable(model, example, half)
        inputs = example, example.flip(-1).contiguous()
        for x, found in zip(inputs, js(PROBE, "ran", text(file), *(x.flatten() for x in inputs)), strict=True):
            with torch.no_grad():
                wanted = model(x)
            wanted = list(wanted) if isinstance(wanted, tuple | list) else [wanted]
            for (shape, data), one in zip(found, wanted, strict=True):
                data = torch.tensor([float(v) for v in data]).reshape(shape)
                largest = one.float().nan_to_num(0, 0, 0).abs().max().clamp(min=1).item()
                torch.testing.assert_close(data, one.float(), atol=atol * largest, rtol=0)
        return program(file)["operations"]

    return check


def images(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def settled(net):
    """A network that has seen some images, so that its normalisation is not the identity."""
    net.train()
    with torch.no_grad():
        for k in range(3):
            net(images(4, 3, 64, 64, seed=k))
    return net.eval()


# ------------------------------------------------------------------------------------------------- whole networks


def hourglass(**sizes):
    torch.manual_seed(0)
    return settled(networks.StackedHourglass(**{"landmarks": 9, "blocks": 1, "channels": 16, "depth": 2} | sizes))


def hrnet():
    torch.manual_seed(0)
    net = networks.HRNetV2(landmarks=9, width=8, modules=(1, 1, 1), blocks=1)
    for weight in (p for p in net.parameters() if p.ndim == 4):
        nn.init.kaiming_normal_(weight)
    return settled(net)


def dan():
    torch.manual_seed(0)
    return settled(networks.DAN(10 + 44 * images(9, 2), size=64, width=4))


def momenta():
    """Of two branches: with four the head alone has eight million weights."""
    net, head = hrnet(), networks.CoordinateHead(images(9, 2), (8, 16), hidden=32).eval()
    return lambda x: head(net.branches(x)[:2])


def side_by_side():
    """An hourglass whose stacks' features give momenta, as in paper A."""
    net, head = hourglass(), networks.CoordinateHead(torch.zeros(9, 2), (16, 16), pyramid=False, hidden=32).eval()
    return lambda x: head([features for features, _ in net.features(x)])


KINDS = {
    "hourglass": hourglass, "hrnet": hrnet, "dan": dan, "momenta": momenta, "side by side": side_by_side,
    "coordinates": lambda: networks.with_coordinates(hourglass()).eval(),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_networks(same, kind):
    same(KINDS[kind](), images(1, 3, 64, 64))


@pytest.mark.parametrize("method", ["argmax", "quarter", "taylor", "soft", "local_soft"])
def test_decoders(same, method):
    net = hourglass()
    same(lambda x: heatmaps.decode(net(x)[-1], method, stride=net.stride), images(1, 3, 64, 64))


def test_batches(same):
    same(hourglass(), images(2, 3, 32, 64))


def test_the_shipped_network_to_a_thousandth_of_a_pixel(same):
    net, face = networks.pretrained(), synthetic.sample(1, "studio", size=96)
    crop = crops.crop(face.image, face.landmarks, face.visible, net.size).image
    steps = same(net, crop[None].float() / 255, half=True)  # of 96 px
    assert {"affine", "relu"}.isdisjoint(step["op"] for step in steps)  # each is a part of another operation


def test_weights_that_half_precision_holds_are_kept_exactly(same):
    net, x = hourglass(), images(1, 3, 64, 64)
    assert 0.5 < len(portable(net, x)) / len(portable(net, x, half=False)) < 0.8
    with pytest.raises(AssertionError):
        same(net, x, half=True)
    net.load_state_dict({name: v.half().float() if v.ndim == 4 else v for name, v in net.state_dict().items()})
    same(net, x, half=True)


# ------------------------------------------------------------------------------------------------ each operation


class Layer(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def normalised(*layers):
    torch.manual_seed(1)
    net = nn.Sequential(*layers)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2)
            nn.init.normal_(m.weight)
            nn.init.normal_(m.bias)
    return net.eval()


CONVOLUTIONS = {
    "1x1": {"kernel_size": 1}, "3x3": {"kernel_size": 3, "padding": 1}, "stride": {"kernel_size": 3, "stride": 2},
    "7x7": {"kernel_size": 7, "stride": 2, "padding": 3}, "uneven": {"kernel_size": (1, 3), "padding": (2, 0)},
    "dilated": {"kernel_size": 3, "dilation": 2, "padding": 2}, "groups": {"kernel_size": 3, "groups": 2},
    "depthwise": {"kernel_size": 3, "groups": 6, "padding": 1}, "plain": {"kernel_size": 2, "bias": False},
    "strides": {"kernel_size": 3, "stride": (1, 2)},
}  # fmt: skip


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_convolutions(same, kind):
    x = images(2, 6, 9, 11) - 0.5
    outputs = 12 if "groups" in CONVOLUTIONS[kind] else 5
    same(normalised(nn.Conv2d(6, outputs, **CONVOLUTIONS[kind])), x)
    steps = same(normalised(nn.Conv2d(6, outputs, **CONVOLUTIONS[kind]), nn.BatchNorm2d(outputs), nn.ReLU()), x)
    assert [(step["op"], step["relu"]) for step in steps] == [("convolution", True)]


def test_what_is_used_twice_is_not_joined(same):
    """What stands between a convolution and its normalisation or ReLU, and is wanted too, stays."""
    conv, norm = normalised(nn.Conv2d(6, 5, 3), nn.BatchNorm2d(5))
    x = images(1, 6, 9, 9) - 0.5
    for f in (
        lambda x: (y := conv(x), norm(y)),
        lambda x: (y := norm(conv(x)), F.relu(y)), lambda x: F.relu(y := conv(x)) - y,
        lambda x: norm(norm(conv(x))), lambda x: norm(F.relu(conv(x))), lambda x: F.relu(norm(x[:, :5])),
        lambda x: F.relu(F.relu(conv(x)) + conv(x)), lambda x: norm(conv(x).mT), lambda x: F.relu(x + conv(x).mean()),
        lambda x: (F.relu(y := conv(x)), y.sum()),
    ):  # fmt: skip
        same(f, x)


OPERATIONS = {
    "arithmetic": lambda x: (x + 1) * (2 - x) / (1 + x.square()) - x**3,
    "rounding": lambda x: [(5 * x).floor(), (x - 0.5).abs(), (x - 0.5).sign(), -x, x.reciprocal()],
    "roots": lambda x: [x.sqrt(), (x + 1).log(), x.exp(), x.tanh(), x.sigmoid(), (x - 0.5).relu()],
    "broadcast": lambda x: [
        x * x.mean(-1, keepdim=True),
        x - x[:, :1],
        x + torch.arange(5.0),
        x * torch.ones(2, 1, 1, 5, 5),
    ],
    "comparison": lambda x: [
        (x > 0.5).float(),
        (x <= x.mT).float(),
        ((x < 0.3) | (x >= 0.7)).float(),
        ((x > 0.1) & ~(x > 0.5)).float(),
        (x == x.amax()).float(),
        (x != x.amin()).float(),
    ],
    "choice": lambda x: [
        x.where(x > 0.5, -1.0),
        x.masked_fill(x > 0.5, -torch.inf),
        x.clamp(0.2, 0.6),
        x.clamp(min=0.4),
        x.clamp(max=0.1),
        torch.maximum(x, x.mT),
        torch.minimum(x, 1 - x),
    ],
    "sums": lambda x: [
        x.sum(),
        x.sum(1),
        x.mean((0, 2)),
        x.mean((2, 3), keepdim=True),
        x.amax((1, 3)),
        x.amin(0),
        x.mean(),
    ],
    "places": lambda x: [
        x.argmax(-1),
        x.argmin(1),
        x.argmax(),
        *x.max(2),
        *x.min(0),
        x.max(),
        (x > 0.9).any(1),
        (x > 0.02).all(-1),
    ],
    "softmax": lambda x: [x.softmax(-1), (9 * x).softmax(1), x.flatten(1).softmax(-1)],
    "views": lambda x: [
        x[:, 1],
        x[..., 1:4],
        x[:, ::2, None],
        x.mT,
        x.permute(2, 0, 3, 1),
        x.expand(3, *x.shape),
        x.flatten(1),
        x.unflatten(1, (2, 3)),
        x.transpose(0, 3).reshape(-1, 3),
        x.unbind(1)[4],
        x[0, 0].T.contiguous().view(-1),
        x.diagonal(0, 2, 3),
    ],
    "joining": lambda x: [
        torch.cat([x, x[:, :2]], 1),
        torch.stack([x, 2 * x], -1),
        torch.cat([x.mT, torch.ones(2, 6, 1, 5)], 2),
        torch.stack(x.unbind(2)[:2], 1),
    ],
    "gathering": lambda x: [
        x.gather(-1, x.argmax(-1, keepdim=True)),
        x.gather(1, x.argmin(1, keepdim=True).expand(2, 3, 5, 5)),
        x.gather(2, x.argmax(2, keepdim=True)),
    ],
    "products": lambda x: [
        x @ x.mT,
        x[0, 0] @ torch.ones(5, 3),
        F.linear(x[0, 0], torch.eye(5)[:2], torch.ones(2)),
        x.flatten(0, 1) @ x.flatten(0, 1),
    ],
    "in place": lambda x: [y := (2 * x).relu_().mul_(3).add_(x), y.neg_()[:, 1], x.clone().add_(1).mT],
    "pooling": lambda x: [
        F.max_pool2d(x, 2),
        F.max_pool2d(x - 1, 3, 2, 1),
        F.avg_pool2d(x, 2),
        F.avg_pool2d(x, 3, 1),
        F.adaptive_avg_pool2d(x, 1),
        F.max_pool2d(x, (1, 2)),
    ],
    "resizing": lambda x: [
        F.interpolate(x, scale_factor=2),
        F.interpolate(x, (7, 3)),
        F.interpolate(x, (9, 10), mode="bilinear"),
        F.interpolate(x, (3, 2), mode="bilinear"),
        F.interpolate(x, (8, 1), mode="bilinear", align_corners=True),
        F.interpolate(x, scale_factor=2, mode="bilinear"),
    ],
    "sampling": lambda x: F.grid_sample(
        x, 3 * x[:, :2].permute(0, 2, 3, 1) - 1.5, padding_mode="border", align_corners=True
    ),
    "types": lambda x: [x.double().float(), (x > 0.5).sum(1), (x > 0.5).float() * x, x.argmax(1) + 1, x.argmax(1) / 2],
    "layout": lambda x: [
        (x.mT * 2)[..., 1],
        (x.permute(1, 0, 2, 3) + 1)[2],
        (x.mT + x.mT).reshape(2, 6, 25),
        x.to(memory_format=torch.channels_last).exp().flatten(),
        (x.permute(3, 2, 1, 0) * 2).reshape(-1),
    ],
}


@pytest.mark.parametrize("kind", OPERATIONS)
def test_operations(same, kind):
    same(OPERATIONS[kind], images(2, 6, 5, 5))


def test_the_script_has_the_operations_that_a_file_may_hold(js):
    assert set(js(PROBE, "operations")) == network.KNOWN


def test_half_precision_numbers(js):
    values = [0.0, 1.0, -2.5, 65504.0, 6e-8, 3.1e-5, -1e-4, torch.inf]
    for value in values:
        half = torch.tensor(value).half()
        assert float(js(HERE / "network.js", "half", half.view(torch.int16).item() & 0xFFFF)) == half.item()
    assert js(HERE / "network.js", "half", 0x7E00) == "NaN"


# -------------------------------------------------------------------------------------------------- what is refused


REFUSED = {
    "an operation that there is not": (lambda x: x.cumsum(0), "operations that network.js has, got aten.cumsum"),
    "two of them": (lambda x: x.cumsum(0) + x.sort().values, "aten.cumsum, aten.sort"),
    "a second result": (lambda x: F.max_pool2d(x, 2, return_indices=True)[1], "result 1"),
    "transposed": (lambda x: F.conv_transpose2d(x, torch.ones(3, 2, 1, 1)), "aten.convolution"),
    "weights from the image": (lambda x: F.conv2d(x, x[:, :, :1, :1]), "aten.convolution"),
    "ceiling": (lambda x: F.max_pool2d(x, 3, ceil_mode=True), "aten.max_pool2d"),
    "another padding": (lambda x: F.grid_sample(x, x.mT[..., :2], align_corners=True), "aten.grid_sampler_2d"),
    "a change of a part": (lambda x: (y := 2 * x, y[:, 0].add_(1))[0], "aten.add_"),
    "a change of a constant": (lambda x: torch.zeros(1, 3, 8, 8).copy_(x), "aten.copy_"),
    "cut to integers": (lambda x: (9 * x).long(), "aten._to_copy"),
    "a number": (lambda x: x * x.max().item(), "read by .item|.item.. reads"),
    "a constant": (lambda x: torch.ones(3), "tensors that depend on the example"),
    "nothing": (lambda x: None, "tensors that depend on the example"),
    "training": (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), "evaluation mode"),
    "dropout": (nn.Sequential(nn.Dropout()), "aten"),
    "large weights": (lambda x: F.conv2d(x, torch.full((1, 3, 1, 1), 1e5)), "half=False"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_carried_is_refused(kind):
    model, words = REFUSED[kind]
    with pytest.raises(ValueError, match=rf"model: needed .*({words})"):
        portable(model, images(1, 3, 8, 8))


@pytest.mark.parametrize("example", [torch.ones(1, 3, 8, 8).byte(), [[1.0]], None])
def test_an_example_is_a_tensor_of_floats(example):
    with pytest.raises(TypeError, match="example"):
        portable(lambda x: x + 1, example)


def test_what_nothing_comes_of_is_left_out(same):
    """A check may do as it likes."""

    def checked(x):
        assert x.cumsum(0).isfinite().all()
        assert x.sort().values.amax() <= 1
        return x + torch.linspace(0, 1, 8)

    assert [step["op"] for step in same(checked, images(1, 3, 8, 8))] == ["add"]


@pytest.mark.parametrize("file", [b"", b"12345678", bytes(100), b"\x02\0\0\0\0\0\0\0{}", b"\xff" * 20])
def test_other_bytes_are_refused(js, file):
    with pytest.raises(ValueError, match="file: needed bytes that `portable` made"):
        program(file)
    with pytest.raises(RuntimeError, match="network: needed a file that `portable` made"):
        js(PROBE, "ran", text(file), [])


def test_inputs_of_another_size_are_refused(js):
    file = portable(lambda x: x + 1, images(1, 3, 8, 8))
    with pytest.raises(RuntimeError, match="needed 1 x 3 x 8 x 8 numbers, got 5"):
        js(PROBE, "ran", text(file), [0] * 5)


def test_an_operation_of_a_later_version_is_named(js):
    file = portable(lambda x: x.exp(), images(1, 3, 8, 8)).replace(b"exp", b"EXP")
    with pytest.raises(RuntimeError, match="network: does not know the operation EXP"):
        js(PROBE, "ran", text(file), [0] * 192)


# ----------------------------------------------------------------------------------------------------------- crops


def rgba(image):
    """Pixels as a canvas has them."""
    pixels = torch.cat([image, torch.full_like(image[:1], 255)]).permute(1, 2, 0)
    return {"width": image.shape[2], "height": image.shape[1], "data": pixels.flatten()}


BOXES = {
    "shrunk": (100, 40, 330, 300), "shrunk much": (5, 5, 480, 400), "enlarged": (300.3, 200.7, 30, 41),
    "beyond the border": (-30, 150, 200, 250), "as it is": (100, 100, 51.2, 51.2),
}  # fmt: skip


@pytest.mark.parametrize("size", [64, 33])
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_crops(js, box, size):
    """To one level of 256: OpenCV rounds twice, and interpolates to 1/32 px."""
    image = synthetic.sample(2, "studio", size=512).image[:, :448]
    place, affine = js(HERE / "crops.js", "square", box), crops.frame(box, size)
    wanted = crops.cut(image, affine, size)
    found = js(HERE / "crops.js", "cut", rgba(image), place, size)
    found = torch.tensor([found[str(i)] for i in range(3 * size**2)], dtype=torch.float32)
    found = found.reshape(3, size, size)
    assert (found - wanted).abs().max() <= 2
    assert (found - wanted).abs().mean() < 0.2
    points = torch.tensor([[1.0, 2.0], [200.5, 40.25]], dtype=torch.float64)
    there = torch.tensor(js(HERE / "crops.js", "toCrop", place, size, points), dtype=torch.float64)
    torch.testing.assert_close(there, crops.apply(affine, points))
    back = torch.tensor(js(HERE / "crops.js", "fromCrop", place, size, there), dtype=torch.float64)
    torch.testing.assert_close(back, points)


def predicted(net, image, box):
    affine = crops.frame(box, net.size)
    with torch.no_grad():
        found = net(crops.cut(image, affine, net.size)[None].float() / 255)
    return crops.apply(crops.inverse(affine), found[0].double())


@pytest.mark.parametrize("box", [(90, 110, 330, 300), (60, 60, 380, 400)])
def test_landmarks_of_a_photograph_and_a_box(js, box):
    """Within 0.05 px of the crop, though the pixels that the network sees differ by a level here and there."""
    net, image = networks.pretrained(), synthetic.sample(4, "studio", size=512).image
    file = portable(net, images(1, 3, net.size, net.size))
    found = torch.tensor(js(PROBE, "landmarks", text(file), rgba(image), box), dtype=torch.float64)
    scale = net.size / (crops.MARGIN * max(box[2:]))
    assert scale * (found - predicted(net, image, box)).norm(dim=-1).max() < 0.05


# ------------------------------------------------------------------------------------------------------ in a browser


class Shown(StaticWidget):
    script = PROBE
    network = traitlets.Bytes().tag(sync=True)
    photograph = traitlets.Bytes().tag(sync=True)
    box = Numbers()


@pytest.mark.browser
@pytest.mark.parametrize("over", ["file", "http"])
def test_in_the_static_page(live, over):
    """From the page alone, a PNG and a box: what Python finds. `live` fails on any request that leaves this machine."""
    net, image, box = networks.pretrained(), synthetic.sample(6, "studio", size=256).image, (40, 50, 170, 160)
    png = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(png, format="png")
    file = portable(net, images(1, 3, net.size, net.size))
    page = live(Shown(network=file, photograph=png.getvalue(), box=box, question="Where?"), over=over)
    found = torch.tensor(json.loads(page.locator("output").inner_text()), dtype=torch.float64)
    scale = net.size / (crops.MARGIN * max(box[2:]))
    assert scale * (found - predicted(net, image, box)).norm(dim=-1).max() < 0.05
