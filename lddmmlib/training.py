"""The training loop: any network and any loss, in one process or several; stopped and resumed at any step.

    fit(model, loss, data, folder="runs/a", epochs=60, batch=16)        minimises loss(model, batch)

A step depends only on the state after the previous step and on (seed, step), which determine its samples, their
augmentation and the dropout. So a run that was stopped or killed resumes as if it had not been interrupted, on a CPU
to the last bit. The same call resumes it; if the run is finished, it returns at once.

The folder holds ``checkpoint.pt``, the previous one, ``checkpoint-previous.pt``, and ``history.csv``, a row per epoch.
`torchrun --nproc-per-node=4 script.py` trains one model on four GPUs with the same script: each process takes every
fourth sample of a batch, its shard, and BatchNorm normalises by that shard only.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, SupportsFloat, SupportsIndex

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._pytree import tree_map_only
from torch.utils.data import DataLoader, Dataset

from lddmmlib import _checks, _run, metrics
from lddmmlib._run import CheckpointError, load_checkpoint
from lddmmlib.faces.schemes import Scheme

__all__ = ["CheckpointError", "History", "drops", "evaluate", "fit", "load_checkpoint", "one_cycle"]

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ESTIMATED_FROM = 512  # samples, for the running statistics of BatchNorm
PROBED = 4  # samples of the data that are compared when a run is resumed


class History(NamedTuple):
    """The record of a run; the model itself was trained in place.

    >>> History([{"epoch": 1, "loss": 0.5}], Path("history.csv")).rows[-1]["loss"]
    0.5
    """

    rows: list[dict[str, float]]  #: one per epoch: epoch, step, rate, loss, seconds, ..., the figures of `validate`
    path: Path  #: the same rows as CSV


def one_cycle(t: float, warm: float = 0.1) -> float:
    """Factor of the learning rate at time t in [0, 1]: linear warm-up from 0.04 to 1, then half a cosine down to 0.

    Args:
        t: the elapsed fraction of the training.
        warm: the fraction of the training that warms up.

    >>> [round(one_cycle(t), 3) for t in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.04, 0.52, 1.0, 0.5, 0.0]
    """
    if t < warm:
        return 0.04 + 0.96 * t / warm
    return 0.5 + 0.5 * math.cos(math.pi * (t - warm) / (1 - warm))


def drops(*at: float, factor: float = 0.1) -> Callable[[float], float]:
    """Step schedule: t -> factor of the learning rate, multiplied by `factor` at each of the times `at`.

    Args:
        at: fractions of the training, in [0, 1].
        factor: the factor applied to the learning rate at each of them.

    >>> share = drops(30 / 60, 50 / 60)
    >>> [round(share(t), 3) for t in (0.0, 0.5, 0.9)]
    [1.0, 0.1, 0.01]
    """
    return lambda t: factor ** sum(t >= a for a in at)


def fit(
    model: nn.Module, loss: Callable[[nn.Module, Any], Tensor], data: Any, *, folder: str | Path, epochs: SupportsIndex,
    batch: SupportsIndex, lr: SupportsFloat = 1e-3, schedule: Callable[[float], float] = one_cycle,
    optimiser: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW,
    validate: Callable[[nn.Module], dict[str, float]] | None = None, clip: SupportsFloat = math.inf,
    precision: str = "float32", workers: SupportsIndex = 0, seed: SupportsIndex = 0,
    device: str | torch.device = "cpu", save_seconds: SupportsFloat = 60.0, progress: bool = True,
) -> History:  # fmt: skip
    """Minimise the mean of loss(model, batch) over `data`; resume the run that `folder` holds, if there is one.

    BatchNorm: the running statistics are estimated anew, with the current weights, before each `validate` and after
    the last step, as the plain average over the first batches of the epoch (up to 512 samples), with dropout off.
    A momentum of 0.01, as in published networks, would leave them far behind the weights in a short training.
    Frozen batch norms keep their statistics: those in evaluation mode inside a model in training mode, and those whose
    parameters do not require gradients. A model that is in evaluation mode as a whole is put into training mode.

    Args:
        model: the network, trained in place; it is moved to the device, in channels-last layout.
        loss: (model, batch) -> scalar, the mean over the batch; it must call the model that it is given. Any random
            numbers in it must come from torch's global generator.
        data: a dataset with a length and `data[index]`. If it has `draw(index, rng)`, as `data.augment.Crops` does,
            that is called instead, with different random numbers in each epoch.
        folder: the folder of the checkpoints and of ``history.csv``. One run per folder.
        epochs: the number of passes over the data.
        batch: samples per step, over all processes. The remainder of an epoch is skipped, a different one each epoch.
        lr: the learning rate; at step k of n it is lr · schedule(k / n).
        schedule: t in [0, 1) -> factor of the learning rate, such as `one_cycle` or `drops(30 / 60, 50 / 60)`.
        optimiser: called with the parameters and lr, such as `partial(torch.optim.AdamW, weight_decay=0.05)`.
        validate: model -> figures, after each epoch: `lambda model: {"nme": evaluate(model, ...).mean().item()}`.
        clip: the maximum norm of the gradient; larger gradients are scaled down to it.
        precision: "float32", or autocast to "bfloat16" or "float16", which scales the loss.
        workers: the number of processes that load and augment. It changes nothing but speed.
        seed: of all randomness: order, augmentation, dropout. The initial weights are the caller's.
        device: the device to train on. Under `torchrun`, "cuda" is each process's own GPU.
        save_seconds: seconds between checkpoints; one is also written at the end.
        progress: show a bar on stderr with the loss, the share of time spent waiting for data, and validation figures.

    Returns:
        The rows of ``history.csv``, one per epoch. A finished run is returned without another step.

    Raises:
        FloatingPointError: loss or gradient are not finite. Names the samples; the step was not applied.
        KeyboardInterrupt: after Ctrl-C (or SIGTERM), once the step is finished and saved. A second Ctrl-C: at once.
        CheckpointError: no checkpoint in the folder can be read, or it belongs to another run: with other
            arguments, another loss, model or schedule, or other data. The message says which.
        OSError: a checkpoint cannot be written. Tried before the first step too.

    >>> import tempfile
    >>> data, line = torch.linspace(-1, 1, 64)[:, None], nn.Linear(1, 1)
    >>> square = lambda model, x: (model(x) - 3 * x - 1).square().mean()
    >>> run = fit(line, square, data, folder=tempfile.mkdtemp(), epochs=25, batch=8, lr=0.1, progress=False)
    >>> run.rows[-1]["loss"] < 1e-3
    True
    """
    _checks.one_of(precision, "precision", PRECISIONS)
    epochs, batch, workers, seed = _whole(epochs=(epochs, 1), batch=(batch, 1), workers=(workers, 0), seed=(seed, 0))
    _checks.positive(lr, "lr")
    _checks.positive(min(float(clip), 1e300), "clip")
    here = _run.processes(device)
    if batch > len(data) or batch % here.world:
        wanted = f"a multiple of the {here.world} process(es), at most the {len(data)} samples"
        raise ValueError(f"batch: needed {wanted}, got {batch}")
    model.to(here.device, memory_format=torch.channels_last)
    parameters = list(model.parameters())
    optim = optimiser(parameters, lr=float(lr))
    rates = [float(group["lr"]) for group in optim.param_groups]
    scaler = torch.amp.GradScaler(here.device.type, enabled=precision == "float16")
    per_epoch = len(data) // batch
    total = epochs * per_epoch
    shard = partial(_shard, len(data), batch, seed, here.world)
    settings = {"samples": len(data), "epochs": epochs, "batch": batch, "precision": precision, "seed": seed}
    identity = _identity(settings | {"clip": clip}, model, optim, loss, schedule, _probe(data, workers))
    run = _run.Run(Path(folder), {"model": model, "optimiser": optim, "scaler": scaler}, identity)
    run.resume(here, total)

    ends = range(per_epoch if validate else total, total + 1, per_epoch)  # steps after which statistics are estimated
    extra = min(per_epoch, math.ceil(ESTIMATED_FROM / batch))  # batches for that
    samples = partial(_samples, partial(shard, here.rank), range(run.step, total), ends)

    def forward(x: Any) -> Tensor:
        with torch.autocast(here.device.type, PRECISIONS[precision], enabled=precision != "float32"):
            return _scalar(loss(model, x))

    with (
        _training_mode(model) as norms,
        contextlib.closing(_batches(_Drawn(data, seed), samples(extra if norms else 0), workers, here)) as batches,
        torch.random.fork_rng([here.device] if here.device.type == "cuda" else []),  # the caller's is not changed
        _run.progress(run, total, progress and here.rank == 0) as show,
        _run.interrupts() as stop_requested,
    ):
        while run.step < total:
            # the batch
            began = time.perf_counter()
            x = next(batches)
            waited = time.perf_counter() - began

            # forward and backward
            torch.manual_seed(_number(seed, run.step, here.rank))
            value = forward(x)
            scaler.scale(value).backward()

            # the gradient, of all processes
            here.average_gradients(parameters)
            scaler.unscale_(optim)
            grad_norm = nn.utils.clip_grad_norm_(parameters, float(clip)).item()
            losses, stops = zip(*here.gather([value.item(), float(bool(stop_requested))]), strict=True)
            # In float16 a gradient may overflow: the scaler skips the step and halves its scale, down to 1.
            if not all(map(math.isfinite, losses)) or not (math.isfinite(grad_norm) or scaler.get_scale() > 1):
                raise FloatingPointError(_not_finite(losses, grad_norm, run.step, per_epoch, shard))

            # the step
            for group, rate in zip(optim.param_groups, rates, strict=True):
                group["lr"] = rate * float(schedule(run.step / total))
            scaler.step(optim)
            scaler.update()
            optim.zero_grad()

            # the record
            mean_loss = sum(losses) / here.world
            run.record_step(mean_loss, time.perf_counter() - began, waited)
            if norms and run.step in ends:
                torch.manual_seed(_number(seed, run.step, here.rank, 2))
                _estimate(model, norms, forward, itertools.islice(batches, extra), here)
            if run.step % per_epoch == 0:
                run.end_epoch(per_epoch, batch, optim.param_groups[0]["lr"])
                if validate and here.rank == 0:
                    with _modes_restored(model):
                        run.rows[-1] |= {name: float(value) for name, value in validate(model.eval()).items()}
            show(mean_loss)
            if here.rank == 0 and (any(stops) or run.step == total or time.perf_counter() - run.saved >= save_seconds):
                run.save()
            if any(stops):
                raise KeyboardInterrupt(f"stopped after step {run.step} of {total}, saved in {folder}: call again")
    return History(run.rows, run.folder / "history.csv")


def evaluate(
    model: nn.Module, predict: Callable[[nn.Module, Any], Tensor], data: Any, *, batch: int = 64, workers: int = 0,
    normaliser: str | Tensor | np.ndarray = "corners", scheme: str | Scheme | None = None,
) -> Tensor:  # fmt: skip
    """Compute the NME of each sample, in order (`metrics.nme`).

    Args:
        model: evaluated in evaluation mode, on the device of its parameters; on the CPU if it has none.
        predict: (model, batch) -> landmarks (b, n, 2), in the pixels of `batch.landmarks`, the truth; called without
            gradients.
        data: a dataset of k samples, accessed as `data[index]`, without augmentation.
        batch: samples per call of `predict`.
        workers: the number of processes that load.
        normaliser: as in `metrics.nme`, or an array of k lengths, px, one per sample.
        scheme: the scheme of the truth or its name, if the normaliser needs it.

    Returns:
        (k,) fractions, float64 on the CPU.

    Raises:
        ValueError: another number of lengths than of samples; the errors of `metrics.nme`: another shape, an unknown
            normaliser, truth without the points it needs.

    >>> from lddmmlib.data.augment import Crops
    >>> from lddmmlib.faces import synthetic
    >>> faces = Crops(synthetic.Faces(2, "studio", size=64), "300w-68", size=32)
    >>> evaluate(nn.Identity(), lambda model, batch: batch.landmarks, faces, scheme="300w-68")
    tensor([0., 0.], dtype=torch.float64)
    """
    lengths = None if isinstance(normaliser, str) else torch.as_tensor(normaliser).cpu().double()
    if lengths is not None and lengths.shape != (len(data),):
        raise ValueError(f"normaliser: needed one length per sample, ({len(data)},), got {tuple(lengths.shape)}")
    device = next(itertools.chain(model.parameters(), model.buffers(), [torch.empty(0)])).device
    parts: list[Tensor] = []
    with _modes_restored(model), torch.no_grad():
        model.eval()
        for x in DataLoader(data, batch, num_workers=workers, worker_init_fn=_worker):
            points = predict(model, _moved(x, device)).cpu().double()
            done = sum(map(len, parts))
            by = normaliser if lengths is None else lengths[done : done + len(points)]
            parts.append(metrics.nme(points, x.landmarks.double(), by, scheme))
    return torch.cat(parts)


# ------------------------------------------------------------------------------------------ validation, comparison


def _whole(**numbers: tuple[SupportsIndex, int]) -> list[int]:
    """Convert integers of any kind, (value, minimum) by name, to Python integers."""
    for name, (value, least) in numbers.items():
        _checks.whole(value, name, least)
    return [int(value) for value, _ in numbers.values()]


def _scalar(value: Any) -> Tensor:
    """Refuse anything but a loss: one number that depends on the model's parameters."""
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
        mend = "return the mean over the batch, without detach, item or no_grad"
        raise TypeError(f"loss: needed a scalar tensor with a gradient, got {_checks.said(value)}; {mend}")
    return value


def _not_finite(losses: Sequence[float], grad_norm: float, step: int, per_epoch: int, shard: Callable) -> str:
    """The error for a loss or gradient that is not finite: it names the samples of the processes concerned."""
    blamed = [rank for rank, value in enumerate(losses) if not math.isfinite(value)] or range(len(losses))
    told = [f"loss {losses[rank]}, samples {[i for _, i in shard(rank, step)]} of process {rank}" for rank in blamed]
    at = f"step {step}, epoch {step // per_epoch + 1}, gradient of length {grad_norm}"
    return f"{at}, {'; '.join(told)}: not applied"


def _identity(
    settings: dict, model: nn.Module, optim: torch.optim.Optimizer, loss: Callable, schedule: Callable, data: list
) -> dict[str, Any]:
    """The identity of a run: text that is shown where it differs, and fingerprints."""
    shown = settings | {"optimiser": type(optim).__name__, "parameters": sum(p.numel() for p in model.parameters())}
    shown["trained parameters"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
    for i, group in enumerate(optim.param_groups):
        at = f" of group {i}" if len(optim.param_groups) > 1 else ""
        shown |= {f"{k}{at}": v for k, v in group.items() if k != "params"}
    factors = torch.tensor([float(schedule(i / 100)) for i in range(100)], dtype=torch.float64)
    prints = {"another model": _run.fingerprint(model), "another loss": _run.fingerprint(loss)}
    prints |= {"another schedule": [factors], "other data": data}
    return {k: str(_run.plain(v)) for k, v in shown.items()} | prints


def _probe(data: Any, workers: int) -> list[list | None]:
    """Fingerprints of some samples; None for a sample that differs from call to call."""
    twice = [(0, i * (len(data) - 1) // (PROBED - 1)) for i in range(PROBED) for _ in range(2)]
    with torch.random.fork_rng([]):  # a loader draws a seed
        how = {"num_workers": min(workers, 1), "worker_init_fn": _worker}  # a process opens its own files
        found = list(DataLoader(_Drawn(data, 0), None, sampler=twice, collate_fn=_run.fingerprint, **how))
    return [a if _run.alike(a, b) else None for a, b in zip(found[::2], found[1::2], strict=True)]


# ------------------------------------------------------------------------------------------- samples, by (seed, step)


def _number(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1)[0])


@lru_cache(4)
def _order(n: int, seed: int, epoch: int) -> list[int]:
    return np.random.default_rng([seed, epoch, 0]).permutation(n).tolist()


def _shard(n: int, batch: int, seed: int, world: int, rank: int, step: int) -> list[tuple[int, int]]:
    """The (epoch, index) of a process's samples at a step."""
    epoch, k = divmod(step, n // batch)
    return [(epoch, i) for i in _order(n, seed, epoch)[k * batch + rank : (k + 1) * batch : world]]


def _samples(shard: Callable, steps: range, ends: range, extra: int) -> Iterator:
    """The samples of each batch: those of the steps and, after each of `ends`, of that epoch's first batches again."""
    for step in steps:
        yield shard(step)
        if step + 1 in ends:
            yield from map(shard, range(step + 1 - ends.step, step + 1 - ends.step + extra))


class _Drawn(Dataset):
    """Samples by (epoch, index), independent of the worker that makes them, and of the time."""

    def __init__(self, data: Any, seed: int) -> None:
        self.data, self.seed = data, seed

    def __getitem__(self, key: tuple[int, int]) -> Any:
        epoch, index = key
        if hasattr(self.data, "draw"):
            return self.data.draw(index, np.random.default_rng([self.seed, epoch, index, 1]))
        return self.data[index]


def _batches(data: Dataset, samples: Iterator, workers: int, here: _run.Processes) -> Iterator:
    """All remaining batches, on the device. One loader for all epochs, so that its workers run ahead across epochs."""
    how = {"num_workers": workers, "worker_init_fn": _worker, "pin_memory": here.device.type == "cuda"}
    for x in DataLoader(data, batch_sampler=samples, **how):
        yield _moved(x, here.device)


def _worker(_: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # they go to the whole group; the training process decides,
        signal.signal(number, signal.SIG_IGN)  # and a worker ends when that process does, because it watches it
    with contextlib.suppress(ImportError):
        import cv2

        cv2.setNumThreads(0)  # its threads do not outlive a fork, and a worker is one of many


def _moved(x: Any, device: torch.device) -> Any:
    """Move all tensors in x to the device; images (b, c, h, w) in channels-last layout."""
    layouts = {4: torch.channels_last}

    def move(v: Tensor) -> Tensor:
        return v.to(device, non_blocking=True, memory_format=layouts.get(v.ndim, torch.preserve_format))

    return tree_map_only(Tensor, move, x)


# ---------------------------------------------------------------------------------------- modes, running statistics


@contextlib.contextmanager
def _modes_restored(model: nn.Module) -> Iterator[None]:
    """Restore the mode of each module, training or evaluation, at the end."""
    before = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


@contextlib.contextmanager
def _training_mode(model: nn.Module) -> Iterator[list[_BatchNorm]]:
    """Training mode except for frozen batch norms (see `fit`); yield the others."""
    if not model.training:
        model.train()
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    frozen = [m for m in norms if not m.training or (m.affine and not any(p.requires_grad for p in m.parameters()))]
    with _modes_restored(model):
        for norm in frozen:
            norm.eval()
        yield [norm for norm in norms if norm not in frozen]


def _estimate(
    model: nn.Module, norms: list[_BatchNorm], forward: Callable, batches: Iterator, here: _run.Processes
) -> None:
    """Estimate the running statistics with the current weights, as the plain average over `batches`."""
    momenta = [norm.momentum for norm in norms]
    with _modes_restored(model):
        for module in model.modules():
            if isinstance(module, _DropoutNd):
                module.eval()
        for norm in norms:
            norm.momentum = None  # the cumulative average
            norm.num_batches_tracked.zero_()  # the first batch replaces the old statistics
        for x in batches:
            forward(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    here.average([x for norm in norms for x in (norm.running_mean, norm.running_var)])
