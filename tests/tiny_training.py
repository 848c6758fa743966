"""A training of seconds: one dot on 12 x 12 pixels, found by a small network.

Also a program: `python tests/tiny_training.py FOLDER [WORKERS]` trains slowly, to be killed; under torchrun it
trains to the end, then into a NaN, then until it is interrupted.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from lddmmlib import training


class Sample(NamedTuple):
    image: torch.Tensor
    landmarks: torch.Tensor


class Dots:
    """Sample i has its own dot; `draw` moves it. ``broken``: that sample's image is NaN."""

    def __init__(self, count=26, broken=None, seconds=0.0):
        self.count, self.broken, self.seconds = count, broken, seconds

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.at(index, np.zeros(2))

    def draw(self, index, rng):
        return self.at(index, rng.uniform(-1, 1, 2))

    def at(self, index, shift):
        time.sleep(self.seconds)
        place = torch.tensor([3.0 + index % 7, 2.0 + index % 5]) + torch.from_numpy(shift).float()
        y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
        image = torch.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / 4)[None]
        return Sample(image * torch.nan if index == self.broken else image, place[None])


def network(dropout=0.2):
    torch.manual_seed(5)
    features = nn.Conv2d(1, 8, 3, 2, 1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()
    return nn.Sequential(*features, nn.Flatten(), nn.Dropout(dropout), nn.Linear(72, 2))


def loss(model, batch):
    return (model(batch.image) - batch.landmarks[:, 0]).square().mean()


def train(folder, model=None, data=None, loss=loss, **how):
    """(weights, run) after 4 epochs of 6 steps."""
    model = network() if model is None else model
    how = {"epochs": 4, "batch": 4, "lr": 0.01, "save_seconds": 1e9, "progress": False} | how
    run = training.fit(model, loss, Dots() if data is None else data, folder=folder, **how)
    return model.state_dict(), run


def interrupted(step, model=None):
    """The network, which at its step-th call sends Ctrl-C to this process alone."""
    model, calls = network() if model is None else model, []

    def hook(*_):
        calls.append(1)
        if len(calls) == step:
            signal.raise_signal(signal.SIGINT)

    model.register_forward_pre_hook(hook)
    return model


class Odd(nn.Module):
    """What a loss may do with a model: use one of its parts for a while, call its methods, leave a part unused."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.used, self.sometimes, self.idle = nn.Linear(144, 2), nn.Linear(144, 2), nn.Linear(2, 2)

    def first(self, x):
        return self.used(x.image.flatten(1))

    def second(self, x):
        return self.sometimes(x.image.flatten(1))


def odd(model, batch):
    out = model.first(batch)
    bright = batch.landmarks[:, 0, 0] > 8.5  # of some batches none, so that a process may be alone
    out = out + torch.where(bright[:, None], model.second(batch), 0) if bright.any() else out
    return (out - batch.landmarks[:, 0]).square().mean()


def several(folder, rank):
    weights, run = train(folder / "whole", network(0.0))
    told = {"weights": weights, "losses": [row["loss"] for row in run.rows]}
    told["odd"] = train(folder / "odd", Odd(), loss=odd)[0]
    told["normed"] = train(folder / "normed", nn.Sequential(nn.BatchNorm2d(1), *network(0.0)))[0]
    stopped = interrupted(8, network(0.0)) if rank else network(0.0)
    for name, model, data in (("nan", network(0.0), Dots(broken=13)), ("stop", stopped, Dots())):
        try:
            train(folder / name, model, data)
        except (FloatingPointError, KeyboardInterrupt) as error:
            told[name] = f"{type(error).__name__}: {error}"
    torch.save(told, folder / f"{rank}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if "RANK" in os.environ:
        several(Path(sys.argv[1]), int(os.environ["RANK"]))
    else:
        train(sys.argv[1], data=Dots(seconds=0.02), save_seconds=0.0, workers=int((sys.argv[2:] or [0])[0]))
