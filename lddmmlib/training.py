"""The one training loop: any network, any loss, one process or many; stopped and taken up again at will.

    fit(model, loss, data, folder="runs/a", epochs=60, batch=16)        loss(model, batch) -> what is to become small

A step depends on the state that the step before left and on (seed, step) alone: which samples, how they are augmented,
what dropout drops. So a run that was stopped or killed goes on as if nothing had been, on a CPU to the last bit. The
same call goes on; where a run is finished, it returns at once.

The folder holds ``checkpoint.pt``, the one before it, ``checkpoint-previous.pt``, and ``history.csv``, a row an epoch.
`torchrun --nproc-per-node=4 script.py` trains one model on four GPUs, with the same script: each process takes every
fourth sample of a batch, and BatchNorm sees that share alone.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import signal
import sys
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader, Dataset

from lddmmlib import _checks, metrics

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ROW = ("epoch", "step", "rate", "loss", "seconds", "samples_per_second", "waiting")


class History(NamedTuple):
    """What came of a run; the model itself was trained in place."""

    rows: list[dict[str, float]]  #: by epoch: `ROW`, then the figures of ``validate``
    path: Path  #: the same as CSV


class CheckpointError(RuntimeError):
    """No checkpoint in the folder can be read, or they are another run's."""


def one_cycle(t: float, warm: float = 0.1) -> float:
    """The rate's share when the part t of the training is over: up along a line, down along half a cosine.

    >>> [round(one_cycle(t), 3) for t in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.04, 0.52, 1.0, 0.5, 0.0]
    """
    if t < warm:
        return 0.04 + 0.96 * t / warm
    return 0.5 + 0.5 * math.cos(math.pi * (t - warm) / (1 - warm))


def drops(*at: float, factor: float = 0.1) -> Callable[[float], float]:
    """A rate's share that falls by ``factor`` when each of the parts ``at`` of the training is over.

    >>> share = drops(30 / 60, 50 / 60)
    >>> [round(share(t), 3) for t in (0.0, 0.5, 0.9)]
    [1.0, 0.1, 0.01]
    """
    return lambda t: factor ** sum(t >= a for a in at)


def fit(
    model: nn.Module, loss: Callable[[nn.Module, Any], Tensor], data: Any, *, folder: str | Path, epochs: int,
    batch: int, lr: float = 1e-3, schedule: Callable[[float], float] = one_cycle,
    optimiser: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW,
    validate: Callable[[nn.Module], dict[str, float]] | None = None, clip: float = math.inf, precision: str = "float32",
    workers: int = 0, seed: int = 0, device: str | torch.device = "cpu", save_seconds: float = 60.0,
    progress: bool = True,
) -> History:  # fmt: skip
    """Make the mean of loss(model, batch) over ``data`` small; go on where the folder says that it was left.

    Args:
        model: trained in place; moved to the device, channels last.
        loss: (model, batch) -> scalar, a mean over the batch; it calls the model that it is given. Chance in it comes
            from torch's global generator.
        data: what has a length and ``data[index]``. Where it has ``draw(index, rng)``, as `data.augment.Crops`, samples
            are drawn by it instead, other ones each epoch.
        batch: samples a step, of all processes together. An epoch's remainder is left out; each epoch has another.
        lr: the rate; at step k of n it is lr · schedule(k / n), such as `one_cycle` or ``drops(30 / 60, 50 / 60)``.
        optimiser: called with the parameters and lr, such as ``partial(torch.optim.AdamW, weight_decay=0.05)``.
        validate: model -> figures, after each epoch: ``lambda model: {"nme": evaluate(model, ...).mean().item()}``.
        clip: the gradient's greatest length.
        precision: "float32", or autocast to "bfloat16" or "float16", which scales the loss.
        workers: processes that load and augment. Their number changes nothing but speed.
        seed: of all chance: order, augmentation, dropout. The model's own start is the caller's.
        save_seconds: a checkpoint is written as soon as the last is so old, and at the end.
        progress: a bar on stderr with loss, share of waiting, and the figures of ``validate``.

    Raises:
        FloatingPointError: loss or gradient are not finite. Names the samples; the step was not made.
        KeyboardInterrupt: after Ctrl-C (or SIGTERM), once the step is done and saved; says where. Twice: at once.
        CheckpointError: no checkpoint in the folder can be read, or it is of a run with other settings.

    >>> import tempfile
    >>> data, line = torch.linspace(-1, 1, 64)[:, None], nn.Linear(1, 1)
    >>> square = lambda model, x: (model(x) - 3 * x - 1).square().mean()
    >>> run = fit(line, square, data, folder=tempfile.mkdtemp(), epochs=25, batch=8, lr=0.1, progress=False)
    >>> run.rows[-1]["loss"] < 1e-3
    True
    """
    _checks.one_of(precision, "precision", PRECISIONS)
    rank, world, device = _place(device)
    if not 0 < batch <= len(data) or batch % world:
        wanted = f"a multiple of the {world} process(es), at most the {len(data)} samples"
        raise ValueError(f"batch: needed {wanted}, got {batch}")
    model.to(device, memory_format=torch.channels_last).train()
    optim = optimiser(model.parameters(), lr=lr)
    rates = [group["lr"] for group in optim.param_groups]
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
    settings = {"samples": len(data), "epochs": epochs, "batch": batch, "lr": lr, "precision": precision, "seed": seed}
    settings |= {"parameters": sum(p.numel() for p in model.parameters()), "optimiser": type(optim).__name__}
    run = _Run(Path(folder), {"model": model, "optimiser": optim, "scaler": scaler}, settings)
    run.take_up(rank, world)
    net = model if world == 1 else nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)
    per_epoch = len(data) // batch
    total, share = epochs * per_epoch, partial(_share, len(data), batch, seed, rank, world)
    with (
        contextlib.closing(_batches(data, map(share, range(run.step, total)), seed, workers, device)) as batches,
        torch.random.fork_rng([device] if device.type == "cuda" else []),  # the caller's chance goes on as before
        _bar(run, total, progress and rank == 0) as show,
        _interrupts() as asked,
    ):
        while run.step < total:
            began = time.perf_counter()
            x = next(batches)
            waited = time.perf_counter() - began
            torch.manual_seed(_number(seed, run.step, rank))
            for group, rate in zip(optim.param_groups, rates, strict=True):
                group["lr"] = rate * schedule(run.step / total)
            with torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "float32"):
                value = loss(net, x)
            scaler.scale(value).backward()
            scaler.unscale_(optim)
            length = nn.utils.clip_grad_norm_(model.parameters(), clip).item()
            # In float16 a gradient may overflow: the scaler leaves the step out and halves its scale, down to 1.
            fine = math.isfinite(value.item()) and (math.isfinite(length) or scaler.get_scale() > 1)
            mean, bad, stop = _mean_of_processes([value.item(), not fine, bool(asked)], world, device)
            if bad:
                where = f"step {run.step}, epoch {run.step // per_epoch + 1}, samples {[i for _, i in share(run.step)]}"
                raise FloatingPointError(f"loss {value.item()}, gradient of length {length} at {where}; not applied")
            scaler.step(optim)
            scaler.update()
            optim.zero_grad()
            run.count(mean, time.perf_counter() - began, waited)
            if run.step % per_epoch == 0:
                run.end_epoch(per_epoch, batch, optim.param_groups[0]["lr"])
                if validate and rank == 0:
                    run.rows[-1] |= {name: float(v) for name, v in validate(model.eval()).items()}
                    model.train()
            show(mean)
            if rank == 0 and (stop or run.step == total or time.perf_counter() - run.saved >= save_seconds):
                run.save()
            if stop:
                raise KeyboardInterrupt(f"stopped after step {run.step} of {total}, saved in {folder}: call again")
    return History(run.rows, run.folder / "history.csv")


def evaluate(
    model: nn.Module, predict: Callable[[nn.Module, Any], Tensor], data: Any, *, batch: int = 64, workers: int = 0,
    normaliser: str = "corners", scheme: str | None = None,
) -> Tensor:  # fmt: skip
    """The NME of each sample in order, (k,) fractions, float64 on the CPU (`metrics.nme`).

    predict: (model, batch) -> (b, n, 2) in the pixels of ``batch.landmarks``, the truth; called without gradients, the
    model in evaluation mode. data: a dataset; samples are ``data[index]``, never drawn. normaliser, scheme: see there.
    Raises what `metrics.nme` raises: another shape, an unknown normaliser, truth without the points it needs.

    >>> from lddmmlib.data.augment import Crops
    >>> from lddmmlib.faces import synthetic
    >>> faces = Crops(synthetic.Faces(2, "studio", size=64), "300w-68", size=32)
    >>> evaluate(nn.Linear(1, 1), lambda model, batch: batch.landmarks, faces, scheme="300w-68")
    tensor([0., 0.], dtype=torch.float64)
    """
    device, before, parts = next(model.parameters()).device, model.training, []
    model.eval()
    with torch.no_grad():
        for x in DataLoader(data, batch, num_workers=workers, worker_init_fn=_worker):
            points = predict(model, _moved(x, device)).cpu().double()
            parts.append(metrics.nme(points, x.landmarks.double(), normaliser, scheme))
    model.train(before)
    return torch.cat(parts)


# ------------------------------------------------------------------------------------------ what is kept on the disk


class _Run:
    """Where a training stands, in memory and in its folder."""

    def __init__(self, folder: Path, parts: dict[str, Any], settings: dict) -> None:
        self.folder, self.parts, self.settings = folder, parts, settings
        self.step, self.saved, self.rows = 0, time.perf_counter(), []
        self.sums = [0.0, 0.0, 0.0]  # of this epoch: losses, seconds, and seconds of waiting for data

    def count(self, *values: float) -> None:
        """A step is made: its loss, its seconds, and those of waiting."""
        self.step += 1
        self.sums = [total + v for total, v in zip(self.sums, values, strict=True)]

    def end_epoch(self, steps: int, batch: int, rate: float) -> None:
        """An epoch's row: of the ``waiting`` for data the share of all time, without validation."""
        loss, seconds, waited = self.sums
        row = (self.step // steps, self.step, rate, loss / steps, seconds, steps * batch / seconds, waited / seconds)
        self.rows.append(dict(zip(ROW, row, strict=True)))
        self.sums = [0.0, 0.0, 0.0]

    def save(self) -> None:
        """Write the checkpoint aside, then move it into place: at any moment one is whole."""
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state |= {"step": self.step, "rows": self.rows, "sums": self.sums, "settings": self.settings}
        self.folder.mkdir(parents=True, exist_ok=True)
        aside, path = self.folder / "checkpoint.tmp", self.folder / "checkpoint.pt"
        with aside.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            path.replace(self.folder / "checkpoint-previous.pt")
        aside.replace(path)
        lines = [",".join(map(str, line)) for line in (self.rows[-1:] or [{}]) + [r.values() for r in self.rows]]
        aside.write_text("\n".join([*lines, ""]), encoding="utf-8")
        aside.replace(self.folder / "history.csv")
        self.saved = time.perf_counter()

    def take_up(self, rank: int, world: int) -> None:
        """Go on from the folder's checkpoint, if it has one; the first process reads it for all."""
        state = [load_checkpoint(self.folder) if rank == 0 else None]
        if world > 1:
            dist.broadcast_object_list(state)
        if state[0] is None:
            return
        before = state[0]["settings"]
        if before != self.settings:
            other = {k: (before.get(k), v) for k, v in self.settings.items() if before.get(k) != v}
            told = ", ".join(f"{k} {was} (now {now})" for k, (was, now) in other.items())
            raise CheckpointError(f"{self.folder}: holds a run with {told}; name another folder, or delete this one")
        for name, part in self.parts.items():
            part.load_state_dict(state[0][name])
        self.step, self.rows, self.sums = (state[0][name] for name in ("step", "rows", "sums"))


def load_checkpoint(folder: str | Path) -> dict | None:
    """The last whole checkpoint, on the CPU: ``["model"]`` holds the weights. None where there is none.

    A damaged one is put aside, with a warning, where the previous one can be read.
    Raises CheckpointError where none can.

    >>> load_checkpoint("a folder without one") is None
    True
    """
    paths = [Path(folder) / f"checkpoint{which}.pt" for which in ("", "-previous")]
    trouble = {}
    for path in filter(Path.exists, paths):
        try:
            state = _read(path)
        except (MemoryError, PermissionError):
            raise
        except Exception as error:  # a damaged file raises anything
            trouble[path] = str(error)
            continue
        for damaged, why in trouble.items():
            damaged.replace(damaged.with_suffix(".damaged"))
            warnings.warn(f"{damaged} is damaged ({why}): put aside, going on from {path}", stacklevel=2)
        return state
    if trouble:
        told = "; ".join(f"{path} ({why})" for path, why in trouble.items())
        raise CheckpointError(f"damaged, and none left to go on from: {told}; delete the folder to start anew")
    return None


def _read(path: Path) -> dict:
    with zipfile.ZipFile(path) as file:
        if bad := file.testzip():  # torch.load does not look at the check sums
            raise zipfile.BadZipFile(f"wrong check sum of {bad}")
    return torch.load(path, map_location="cpu", weights_only=True)


# ------------------------------------------------------------------------------------------- samples, by (seed, step)


def _number(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1)[0])


@lru_cache(4)
def _order(n: int, seed: int, epoch: int) -> list[int]:
    return np.random.default_rng([seed, epoch, 0]).permutation(n).tolist()


def _share(n: int, batch: int, seed: int, rank: int, world: int, step: int) -> list[tuple[int, int]]:
    """The (epoch, index) of this process's samples at a step."""
    epoch, k = divmod(step, n // batch)
    return [(epoch, i) for i in _order(n, seed, epoch)[k * batch + rank : (k + 1) * batch : world]]


class _Drawn(Dataset):
    """Samples by (epoch, index): which worker makes one, and when, does not matter."""

    def __init__(self, data: Any, seed: int) -> None:
        self.data, self.seed = data, seed

    def __getitem__(self, key: tuple[int, int]) -> Any:
        epoch, index = key
        if hasattr(self.data, "draw"):
            return self.data.draw(index, np.random.default_rng([self.seed, epoch, index, 1]))
        return self.data[index]


def _batches(data: Any, keys: Iterable, seed: int, workers: int, device: torch.device) -> Iterator:
    """All batches that are left, on the device. One loader for all epochs: its workers run ahead over their ends."""
    how = {"num_workers": workers, "worker_init_fn": _worker, "pin_memory": device.type == "cuda"}
    for x in DataLoader(_Drawn(data, seed), batch_sampler=keys, **how):
        yield _moved(x, device)


def _worker(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the training process decides
    with contextlib.suppress(ImportError):
        import cv2

        cv2.setNumThreads(0)  # its threads do not outlive a fork, and a worker is one of many


def _moved(x: Any, device: torch.device) -> Any:
    """All tensors in x on the device; images (b, c, h, w) channels last."""

    def move(v: Any) -> Any:
        layout = torch.channels_last if isinstance(v, Tensor) and v.ndim == 4 else torch.preserve_format
        return v.to(device, non_blocking=True, memory_format=layout) if isinstance(v, Tensor) else v

    return tree_map(move, x)


# ------------------------------------------------------------------------------------- processes, signals, the screen


def _place(device: str | torch.device) -> tuple[int, int, torch.device]:
    """(number of this process, number of processes, its device), as torchrun says."""
    device, world = torch.device(device), int(os.environ.get("WORLD_SIZE", "1"))
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", torch.cuda.current_device())))
    if world == 1:
        return 0, 1, device
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)
    return dist.get_rank(), world, device


def _mean_of_processes(values: list[float], world: int, device: torch.device) -> list[float]:
    """So that all stop at the same step."""
    if world == 1:
        return values
    x = torch.tensor(values, dtype=torch.float32, device=device)
    dist.all_reduce(x)
    return (x / world).tolist()


@contextlib.contextmanager
def _interrupts() -> Iterator[list[float]]:
    """What Ctrl-C fills, instead of breaking off. A second one, a second later, does: torchrun repeats the first."""
    asked: list[float] = []

    def ask(number: int, frame: object) -> None:
        if asked and number == signal.SIGINT and time.perf_counter() - asked[0] > 1:
            raise KeyboardInterrupt("stopped at once; not saved")
        print("\nstopping after this step; once more to stop at once", file=sys.stderr)
        asked.append(time.perf_counter())

    mine = threading.current_thread() is threading.main_thread()  # no other may have signals
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM) if mine}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextlib.contextmanager
def _bar(run: _Run, total: int, shown: bool) -> Iterator[Callable[[float], None]]:
    """Shows the loss, the share of time spent waiting, and the last figures of `validate`."""
    if not shown:
        yield lambda loss: None
        return
    from tqdm import tqdm

    with tqdm(total=total, initial=run.step, unit="step") as bar:

        def show(loss: float) -> None:
            told = {"loss": loss, "waiting": run.sums[2] / (run.sums[1] or 1)}
            told |= {k: v for row in run.rows[-1:] for k, v in row.items() if k not in ROW}
            bar.set_postfix({k: f"{v:.3g}" for k, v in told.items()}, refresh=False)
            bar.update()

        yield show
