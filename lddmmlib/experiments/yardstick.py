"""The yardstick of the drawn faces: how well does a small landmarker do on photographs that has seen drawings alone?

One network and one protocol, never changed, so that painters can be compared: 68 heatmaps from crops of 64 px,
0.86 million parameters, minutes on two cores. It judges drawings, it is no landmarker to use. The photographs are
annotated by hand; 80 are for development, the other 170 are for measuring alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lddmmlib import _checks, metrics
from lddmmlib.experiments import Experiment
from lddmmlib.experiments._real import PHOTOGRAPHS, Sample, photographs, video_frames
from lddmmlib.faces import schemes, synthetic

SCHEME = schemes.get("300w-68")
SIDE = 64  # px of a crop
BATCH, RATE, DECAY = 32, 2e-3, 1e-4
SIGMA, POINT_WEIGHT = 3.0, 0.02  # px of the target heatmaps; weight of the decoded points in the loss
IMAGES, STEPS = 18_000, 4000
# The only frame that says how far a head has turned: the tip of the nose between the two ends of the jaw.
TIP, LEFT, RIGHT = 30, 0, 16
TURNS = (0.0, 0.15, 0.35, 0.6, math.inf)  # of `_turn`, by which errors are told apart
JITTER = (0.85, 1.2, 0.08)  # of boxes, as a detector might give them: least and largest scale; shift, of the side


Box = tuple[float, float, float]  # how many times the true one's side; its shift in x and y, of that side


def crop(
    sample: Sample, rng: np.random.Generator | None = None, box: Box = (1.0, 0.0, 0.0)
) -> tuple[np.ndarray, np.ndarray]:
    """The square of 1.25 times the box of the landmarks, 64 px a side, channels first, in [0, 1]; and its landmarks.

    With ``rng``: at random rotated, scaled, shifted, flipped, and other in brightness, contrast and colour.
    """
    cv2 = _checks.optional("cv2")

    image, points = sample
    low, high = points.min(0), points.max(0)
    side, angle = (high - low).max() * 1.25 * box[0], 0.0
    centre = (low + high) / 2 + side * np.array(box[1:])
    if rng is not None:
        side = side * rng.uniform(0.85, 1.2)
        centre = centre + rng.uniform(-0.06, 0.06, 2) * side
        angle = math.radians(rng.uniform(-30, 30)) * (rng.random() < 0.6)
    scale = SIDE / side
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    shift = (SIDE - 1) / 2 - turn @ centre
    if scale < 0.6:
        image = cv2.GaussianBlur(image, (0, 0), 0.45 / scale)
    cut = cv2.warpAffine(image, np.c_[turn, shift], (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT_101)
    points = points @ turn.T + shift
    if rng is not None and rng.random() < 0.5:
        cut, points = cut[:, ::-1], (points * [-1, 1] + [SIDE - 1, 0])[list(SCHEME.flip)]
    cut = cut.astype(np.float32) / 255
    if rng is not None:
        cut = np.clip((cut - 0.5) * rng.uniform(0.6, 1.4) + 0.5 + rng.uniform(-0.15, 0.15), 0, 1)
        cut = cut * rng.uniform(0.85, 1.15, 3).astype(np.float32)
    return np.ascontiguousarray(cut.transpose(2, 0, 1)), points.astype(np.float32)


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Network(nn.Module):
    """Four times down, three times up with what was there on the way down: (b, 3, 64, 64) -> 68 maps of 32 x 32."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = [3, width, 2 * width, 4 * width, 4 * width]
        self.down = nn.ModuleList(nn.Sequential(_block(i, o, 2), _block(o, o)) for i, o in pairwise(widths))
        self.up = nn.ModuleList(_block(i * width, 2 * width) for i in (8, 4, 3))
        self.head = nn.Conv2d(2 * width, SCHEME.n, 1)

    def forward(self, x: Tensor) -> Tensor:
        levels = []
        for layer in self.down:
            x = layer(x)
            levels.append(x)
        for layer, level in zip(self.up, levels[-2::-1], strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = layer(torch.cat([x, level], 1))
        return self.head(x)


def decode(logits: Tensor) -> Tensor:
    """The barycentre of softmax(logits), in px of the crop: (b, 68, 2). Cell u is at 2 u + 1/2."""
    p = logits.flatten(2).softmax(-1).view_as(logits)
    at = _cells(logits)
    return torch.stack([(p.sum(2) * at).sum(-1), (p.sum(3) * at).sum(-1)], -1)


def loss(logits: Tensor, points: Tensor) -> Tensor:
    """Cross-entropy with a Gaussian of `SIGMA` at each landmark, and a little of |decoded - true|."""
    at = _cells(logits)
    x, y = (torch.exp(-((at - points[..., i, None]) ** 2) / (2 * SIGMA**2)) for i in (0, 1))
    target = y[..., :, None] * x[..., None, :]
    target = target / target.sum((2, 3), keepdim=True).clamp_min(1e-6)
    entropy = -(target.flatten(2) * logits.flatten(2).log_softmax(-1)).sum(-1).mean()
    return entropy + POINT_WEIGHT * (decode(logits) - points).abs().mean()


def _cells(logits: Tensor) -> Tensor:
    return torch.arange(logits.shape[-1], device=logits.device) * 2 + 0.5


def train(
    samples: Sequence[Sample], steps: int, log: Callable[[int, float], None] | None = None, seed: int = 0
) -> Network:
    """The one protocol: AdamW, one cycle of the rate, batches drawn with replacement, seeds fixed."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed + 1)
    network = Network()
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for step in range(steps):
        x, y = _batch([samples[i] for i in rng.integers(0, len(samples), BATCH)], rng)
        value = loss(network(x), y)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
        if log is not None:
            log(step + 1, value.item())
    return network.eval()


def _batch(samples: Sequence[Sample], rng: np.random.Generator | None = None) -> tuple[Tensor, Tensor]:
    crops, points = zip(*(crop(sample, rng) for sample in samples), strict=True)
    return torch.from_numpy(np.stack(crops)), torch.from_numpy(np.stack(points))


@torch.no_grad()
def predict(network: Network, samples: Sequence[Sample], jitter: bool = False) -> tuple[Tensor, Tensor]:
    """Predicted and true landmarks in the crops, float64 (k, 68, 2) each; ``jitter``: of boxes a little off."""
    low, high, shift = JITTER
    rng = np.random.default_rng(2)
    boxes = [(rng.uniform(low, high), *rng.uniform(-shift, shift, 2)) if jitter else (1.0, 0.0, 0.0) for _ in samples]
    crops = [crop(sample, box=box) for sample, box in zip(samples, boxes, strict=True)]
    x, y = (torch.from_numpy(np.stack(part)) for part in zip(*crops, strict=True))
    return torch.cat([decode(network(part)) for part in x.split(64)]).double(), y.double()


def corrected(pred: Tensor, truth: Tensor) -> Tensor:
    """Predictions less what the labels' convention explains: per landmark an offset, constant + linear in head turn.

    The offset lives in the face's frame and is fitted on the other half of the same photographs. It needs true
    labels, so it tells conventions from mistakes; it is no result of a landmarker.
    """
    half = torch.arange(len(pred)) % 2 == 0
    out = pred.clone()
    frame = _frame(pred)
    off = (truth - pred) @ frame.inverse()
    features = torch.stack([torch.ones(len(pred), dtype=pred.dtype), _turn(pred)], 1)
    for fit, use in ((half, ~half), (~half, half)):
        weights = torch.linalg.lstsq(features[fit], off[fit].flatten(1)).solution
        out[use] += (features[use] @ weights).unflatten(1, (-1, 2)) @ frame[use]
    return out


def _frame(points: Tensor) -> Tensor:
    """Rows: one eye-corner distance across the face, and one down."""
    left, right = (points[:, i] for i in SCHEME.corners)
    x = right - left
    return torch.stack([x, torch.stack([-x[:, 1], x[:, 0]], -1)], 1)


def _turn(points: Tensor) -> Tensor:
    """Where the nose's tip stands between the ends of the jaw: 0 in the middle, 1 at the right one."""
    left, right, tip = points[:, LEFT], points[:, RIGHT], points[:, TIP]
    across = right - left
    return 2 * ((tip - (left + right) / 2) * across).sum(-1) / across.square().sum(-1)


def drawn(count: int = IMAGES, split: str = "wild") -> list[Sample]:
    """The first drawn faces of a split."""
    faces = synthetic.Faces(count, split=split, scheme=SCHEME.name)
    return [Sample(f.image.permute(1, 2, 0).contiguous().numpy(), f.landmarks.numpy()) for f in _in_turn(faces)]


def _in_turn(faces: synthetic.Faces) -> Iterator[synthetic.Face]:
    workers = torch.utils.data.DataLoader(faces, batch_size=None, num_workers=max(1, torch.get_num_threads()))
    return iter(workers)


def scores(network: Network, photos: Sequence[Sample]) -> dict:
    """NME by outer eye corners in per cent: raw and corrected, of all landmarks, each part, each turn of the head; raw
    in jittered boxes, too."""
    pred, truth = predict(network, photos)
    out: dict = {"photographs": len(photos)}
    for name, points in (("raw", pred), ("corrected", corrected(pred, truth))):
        errors = 100 * metrics.errors(points, truth, "corners", SCHEME)
        parts = {part: errors[:, list(rows)].mean().item() for part, rows in SCHEME.parts.items()}
        each = errors.mean(1)
        spread = (each.std() / len(each) ** 0.5).item()
        out[name] = {"all": each.mean().item(), "standard_error": spread} | parts
        out[name]["share_above_10"] = (each > 10).double().mean().item()
        out[name]["by_turn"] = by_turn(each, _turn(truth).abs())
    jittered = 100 * metrics.nme(*predict(network, photos, jitter=True), "corners", SCHEME)
    return out | {"jittered_boxes": jittered.mean().item()}


def by_turn(errors: Tensor, turns: Tensor) -> list[dict]:
    """The mean error, and of how many faces, between each two `TURNS`."""
    groups = [(low, errors[(turns >= low) & (turns < high)]) for low, high in pairwise(TURNS)]
    return [{"from": low, "count": len(some), "mean": some.mean().item()} for low, some in groups if len(some)]


def drawn_faces_teach() -> dict:
    """Train on drawings alone; measure once on the 170 photographs, and on video frames."""
    torch.set_num_threads(2)
    losses: list[float] = []
    network = train(drawn(), STEPS, lambda _, value: losses.append(value))
    curve = torch.tensor(losses).view(40, -1).mean(1).tolist()
    figures = scores(network, photographs(measuring=True))
    figures["video_frames"] = scores(network, video_frames())
    return {"images": IMAGES, "steps": STEPS, "loss": curve} | figures


# No drawn photograph looks otherwise for these.
UNTOUCHED = ("lddmmlib.faces.painters.styles", "lddmmlib.faces.painters.drawing")
EXPERIMENTS = {
    "yardstick": Experiment(
        measure=drawn_faces_teach,
        question="How well does a small landmarker that has seen drawn faces alone do on photographs?",
        data=PHOTOGRAPHS,
        untouched=UNTOUCHED,
    )
}
