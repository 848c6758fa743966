"""What tells one training from another: no difference that matters is missed, and no alarm is false."""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from lddmmlib import _run, training
from lddmmlib.data.augment import Crops, Recipe
from lddmmlib.faces import synthetic
from tests.tiny_training import Dots, network

GLOBAL = 3.0


def told(f):
    return _run.fingerprint(f)


def same(f, g):
    return _run.alike(told(f), told(g))


def scaled(weight):
    return lambda model, x: (model(x) * weight).mean()


def by_global(model, x):
    return helper(model(x)) * GLOBAL


def helper(x):
    return x.square().mean()


def keyed(model, x, *, weight=1.0):
    return weight * model(x).mean()


class Loss:
    def __init__(self, weight, power=2):
        self.weight, self.power, self.calls = weight, power, 0

    def __call__(self, model, x):
        self.calls += 1
        return self.weight * (model(x) ** self.power).mean()


class Criterion(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight, self.inner = weight, nn.SmoothL1Loss(beta=weight)

    def forward(self, model, x):
        return self.inner(model(x), x)


DIFFER = {
    "constant": (lambda m, x: m(x).mean() + 1.0, lambda m, x: m(x).mean() + 2.0),
    "operation": (lambda m, x: m(x).mean(), lambda m, x: m(x).sum()),
    "operator": (lambda m, x: m(x) - x, lambda m, x: m(x) + x),
    "closure": (scaled(1.0), scaled(2.0)),
    "closure's text": (scaled("a"), scaled("b")),
    "closure's list": (scaled([1.0, 2.0]), scaled([1.0, 3.0])),
    "closure's tensor": (scaled(torch.arange(9.0)), scaled(torch.arange(9.0) + 0.01)),
    "closure's array": (scaled(np.arange(9.0)), scaled(np.arange(10.0))),
    "closure's function": (scaled(helper), scaled(keyed)),
    "partial": (functools.partial(keyed, weight=1.0), functools.partial(keyed, weight=2.0)),
    "NumPy partial": (functools.partial(keyed, weight=np.float64(1)), functools.partial(keyed, weight=np.float64(2))),
    "object": (Loss(1.0), Loss(2.0)),
    "object's power": (Loss(1.0), Loss(1.0, 3)),
    "method": (Loss(1.0).__call__, Loss(2.0).__call__),
    "criterion": (Criterion(1.0), Criterion(2.0)),
    "library": (nn.functional.mse_loss, nn.functional.l1_loss),
    "library's module": (nn.SmoothL1Loss(beta=1.0), nn.SmoothL1Loss(beta=2.0)),
    "network": (network(0.1), network(0.2)),
    "nested": (lambda m, x: [v + 1 for v in x], lambda m, x: [v + 2 for v in x]),
}


@pytest.mark.parametrize("name", DIFFER)
def test_what_computes_something_else_is_told_apart(name):
    one, other = DIFFER[name]
    assert same(one, one)
    assert not same(one, other)


def test_what_a_loss_reads_of_its_module_counts(monkeypatch):
    before = told(by_global)
    monkeypatch.setitem(globals(), "GLOBAL", 4.0)
    assert not _run.alike(before, told(by_global))
    monkeypatch.undo()
    assert _run.alike(before, told(by_global))
    monkeypatch.setitem(globals(), "helper", lambda x: x.abs().mean())
    assert not _run.alike(before, told(by_global))


def counting():
    """Losses that count their calls or note what they saw, in each usual way."""
    calls, seen, numbers, state = 0, [], {}, torch.zeros(1)

    def by_cell(model, x):
        nonlocal calls
        calls += 1
        return model(x).mean()

    def by_list(model, x):
        seen.append(1)
        return model(x).mean()

    def by_dict(model, x):
        numbers["last"] = len(numbers)
        return model(x).mean()

    def by_tensor(model, x):
        state.add_(1)
        return model(x).mean()

    return [by_cell, by_list, by_dict, by_tensor, Loss(1.0)]


@pytest.mark.parametrize("which", range(5))
def test_what_a_loss_counts_is_no_difference(which):
    f = counting()[which]
    before, line = told(f), nn.Linear(1, 1)
    for _ in range(3):
        f(line, torch.zeros(2, 1))
    assert _run.alike(before, told(f))
    assert same(f, counting()[which])


def test_trained_weights_are_no_difference():
    """A loss that closes over the model, or over a weight that is trained."""
    line = nn.Linear(1, 1)
    bound, free = (lambda _, x: line(x).mean()), nn.Parameter(torch.ones(1))
    weighted = scaled(free)
    before = told(bound), told(weighted)
    with torch.no_grad():
        line.weight.add_(1)
        free.add_(1)
    assert told(bound)[0] == before[0][0]
    assert _run.alike(told(weighted), before[1])


def test_last_bits_of_a_mean_are_no_difference():
    mean = torch.rand(68, 2, generator=torch.Generator().manual_seed(0)) * 100
    assert same(scaled(mean), scaled(mean * (1 + 2e-7)))


def test_comments_names_and_lines_are_no_difference():
    one = "def loss(model, x):\n    return (model(x) - 3).square().mean()\n"
    other = "\n\n# a comment\n" + one.replace("loss", "cost").replace("x", "batch")
    spaces = {}, {}
    for text, space in zip((one, other), spaces, strict=True):
        exec(text, space)
    assert same(spaces[0]["loss"], spaces[1]["cost"])


SCRIPT = """
import functools, sys, torch
from lddmmlib import training
from tests.tiny_training import Dots, network

NAMES = {"jaw", "brows", "nose"}
class Weighted:
    def __init__(self, by): self.by = by
    def __call__(self, model, batch): return penalty(model(batch.image) - batch.landmarks[:, 0]) * self.by
def penalty(x): return x.square().mean() if "jaw" in NAMES or "x" in {"a", "b", "c"} else 0.0
def run(loss, folder):
    network_ = network()
    training.fit(network_, loss, Dots(), folder=folder, epochs=1, batch=4, progress=False, lr=0.01,
                 schedule=lambda t: 1 - t, optimiser=functools.partial(torch.optim.AdamW, weight_decay=0.1))
mean = torch.rand(3, generator=torch.Generator().manual_seed(0))
run(Weighted(2.0), sys.argv[1] + "/object")
run(lambda model, batch: penalty(model(batch.image) - batch.landmarks[:, 0]) + mean.sum(), sys.argv[1] + "/lambda")
"""


def test_the_same_script_resumes_in_another_process(tmp_path):
    """With other hashes of strings, addresses and numbers of threads."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT, encoding="utf-8")
    for k in (1, 2):
        more = {"PYTHONHASHSEED": str(k), "OMP_NUM_THREADS": str(k), "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, script, tmp_path], env=os.environ | more, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    script.write_text(SCRIPT.replace("square()", "abs()"), encoding="utf-8")
    done = subprocess.run([sys.executable, script, tmp_path], env=os.environ | more, capture_output=True, text=True)
    assert "CheckpointError" in done.stderr
    assert "another loss" in done.stderr


# ------------------------------------------------------------------------------------------------------------ data


def probe(data):
    return training._probe(data, workers=0)


def alike(a, b):
    return _run.alike(probe(a), probe(b))


def test_samples_are_the_same_up_to_a_level():
    """Two decoders, two machines: a pixel in ten by one level. Landmarks by a tenth of a pixel are other ones."""
    chance = torch.Generator().manual_seed(0)
    image = torch.randint(255, (3, 32, 32), generator=chance, dtype=torch.uint8)
    points = torch.rand(68, 2, generator=chance) * 32
    level = (torch.rand(3, 32, 32, generator=chance) < 0.1).byte()
    assert alike([(image, points)], [(image + level, points * (1 + 1e-6))])
    assert not alike([(image, points)], [(image, points + 0.1)])
    assert not alike([(image, points)], [(image + 1, points)])
    assert not alike([(image, points)], [(image.flip(-1), points)])
    assert not alike([(image, points)], [(image, points.where(torch.arange(68)[:, None] > 3, torch.nan))])
    assert alike([(points * torch.nan, "a.jpg")], [(points * torch.nan, "a.jpg")])
    assert not alike([("a.jpg", 1)], [("b.jpg", 1)])
    mask = (image > 128).byte()
    assert not alike([mask], [1 - mask])


def test_drawn_data_are_told_by_their_augmentation():
    faces = synthetic.Faces(2, "studio", size=48)
    crops = Crops(faces, "300w-68", 32)
    assert alike(crops, Crops(faces, "300w-68", 32))
    assert not alike(crops, Crops(faces, "300w-68", 32, Recipe(turn=40.0)))
    assert not alike(Dots(), Dots(broken=25))


class Random:
    """Augmented in ``__getitem__``, by ``how``."""

    def __init__(self, how):
        self.how, self.own = how, np.random.default_rng()

    def __len__(self):
        return 1

    def __getitem__(self, index):
        numbers = {"torch": torch.rand(1).item(), "numpy": np.random.rand(), "own": self.own.random()}  # noqa: NPY002
        return torch.ones(3) * numbers[self.how]


@pytest.mark.parametrize("how", ["torch", "numpy", "own"])
def test_random_samples_are_no_alarm(how):
    """And looking at them leaves torch's generator as it was."""
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    assert alike(Random(how), Random(how))
    assert torch.rand(1) == expected


# ------------------------------------------------------------------------------------------------------- in training

LINE = torch.linspace(-1, 1, 64)[:, None]
RUNS = {
    "another loss": {"loss": lambda m, x: (m(x) + 100).square().mean()},
    "other data": {"data": LINE * 50},
    "samples 64 \\(now 63\\)": {"data": LINE[:63]},
    "another schedule": {"schedule": training.drops(0.5)},
    "clip inf \\(now 1e-06\\)": {"clip": 1e-6},
    "weight_decay 0.01 \\(now 10.0\\)": {"optimiser": functools.partial(torch.optim.AdamW, weight_decay=10.0)},
    "betas \\(0.9, 0.999\\) \\(now \\(0.5, 0.999\\)\\)": {
        "optimiser": functools.partial(torch.optim.AdamW, betas=(0.5, 0.999))
    },
    "optimiser AdamW \\(now SGD\\)": {"optimiser": torch.optim.SGD},
    "seed 0 \\(now 1\\)": {"seed": 1},
    "batch 8 \\(now 16\\)": {"batch": 16},
    "precision float32 \\(now bfloat16\\)": {"precision": "bfloat16"},
    "another model": {"model": nn.Sequential(nn.Linear(1, 1), nn.Tanh())},
    "trained parameters 2 \\(now 1\\)": {"model": "bias frozen"},
}


def fit(folder, **how):
    torch.manual_seed(0)
    model = how.pop("model", nn.Sequential(nn.Linear(1, 1), nn.Identity()))
    if model == "bias frozen":
        model = nn.Sequential(nn.Linear(1, 1), nn.Identity())
        model[0].bias.requires_grad_(False)
    how = {"loss": lambda m, x: (m(x) - 3 * x).square().mean(), "data": LINE, "epochs": 2, "batch": 8} | how
    return training.fit(model, folder=folder, progress=False, **how).rows


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    folder = tmp_path_factory.mktemp("used")
    return folder, fit(folder)


@pytest.mark.parametrize("message", RUNS)
def test_a_used_folder_refuses_each_other_run_by_name(used, message):
    with pytest.raises(training.CheckpointError, match=f"{message}.*name another folder"):
        fit(used[0], **RUNS[message])


def test_what_decides_nothing_is_not_compared(used):
    rows = fit(used[0], workers=1, save_seconds=5.0, validate=lambda model: {"a": 1.0}, epochs=np.int64(2))
    assert rows == used[1]


def test_a_checkpoint_of_an_earlier_version_says_so(used, tmp_path):
    state = training.load_checkpoint(used[0])
    del state["identity"]
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(training.CheckpointError, match=r"no record .* by an earlier version; name another folder"):
        fit(tmp_path)
