"""The training loop: any network and any loss, in one process or several; stopped and resumed at any step.

    fit(model, loss, data, folder="runs/a", epochs=60, batch=16)        minimises loss(model, batch)

A step depends only on the state that the previous step left and on (seed, step): which samples it takes, how they are
augmented, what dropout drops. So a run that was stopped or killed resumes as if nothing had happened, on a CPU to the
last bit. The same call resumes it; when the run is finished, it returns at once.

The folder holds ``checkpoint.pt``, the one before it, ``checkpoint-previous.pt``, and ``history.csv``, a row per epoch.
`torchrun --nproc-per-node=4 script.py` trains one model on four GPUs with the same script: each process takes every
fourth sample of a batch, its shard, and BatchNorm normalises by that shard alone.
"""

from __future__ import annotations

import atexit
import contextlib
import csv
import io
import itertools
import math
import operator
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
from typing import Any, NamedTuple, NoReturn, SupportsFloat, SupportsIndex

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader, Dataset

from lddmmlib import _checks, _fingerprint, metrics

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ROW = ("epoch", "step", "rate", "loss", "seconds", "samples_per_second", "waiting")
ESTIMATED_FROM = 512  # samples, for the running statistics of BatchNorm
PROBED = 4  # samples of the data that are compared when a run is resumed


class History(NamedTuple):
    """The record of a run; the model itself was trained in place."""

    rows: list[dict[str, float]]  #: one per epoch: `ROW`, then the figures of ``validate``
    path: Path  #: the same rows as CSV


class CheckpointError(RuntimeError):
    """No checkpoint in the folder can be read, or those that can belong to another run."""


def one_cycle(t: float, warm: float = 0.1) -> float:
    """Factor of the learning rate at time t in [0, 1]: linear warm-up from 0.04 to 1, then half a cosine down to 0.

    Args:
        t: the fraction of the training that is over.
        warm: the fraction that warms up.

    >>> [round(one_cycle(t), 3) for t in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.04, 0.52, 1.0, 0.5, 0.0]
    """
    if t < warm:
        return 0.04 + 0.96 * t / warm
    return 0.5 + 0.5 * math.cos(math.pi * (t - warm) / (1 - warm))


def drops(*at: float, factor: float = 0.1) -> Callable[[float], float]:
    """Step schedule: t -> factor of the learning rate, multiplied by ``factor`` at each of the times ``at``.

    Args:
        at: fractions of the training, in [0, 1].
        factor: what the learning rate is multiplied by at each of them.

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
    """Minimise the mean of loss(model, batch) over ``data``; resume the run that ``folder`` holds, if there is one.

    BatchNorm: the running statistics are estimated anew, with the present weights, before each ``validate`` and after
    the last step, as the plain average over the epoch's first batches (up to 512 samples); dropout is off meanwhile.
    A momentum of 0.01, which published networks have, would leave them far behind the weights of a short training.
    Frozen batch norms keep their statistics: those in evaluation mode inside a model in training mode, and those whose
    parameters do not require gradients. A model that is in evaluation mode as a whole is put into training mode.

    Args:
        model: the network, trained in place; it is moved to the device, in channels-last layout.
        loss: (model, batch) -> scalar, the mean over the batch; it calls the model that it is given. Random numbers in
            it must come from torch's global generator.
        data: a dataset with a length and ``data[index]``. Where it has ``draw(index, rng)``, as `data.augment.Crops`,
            samples are drawn by that instead, different ones in each epoch.
        folder: where checkpoints and ``history.csv`` are kept. One run per folder.
        epochs: the number of passes over the data.
        batch: samples per step, over all processes. The remainder of an epoch is left out, a different one each epoch.
        lr: the learning rate; at step k of n it is lr · schedule(k / n).
        schedule: t in [0, 1) -> factor of the learning rate, such as `one_cycle` or ``drops(30 / 60, 50 / 60)``.
        optimiser: called with the parameters and lr, such as ``partial(torch.optim.AdamW, weight_decay=0.05)``.
        validate: model -> figures, after each epoch: ``lambda model: {"nme": evaluate(model, ...).mean().item()}``.
        clip: the largest norm of the gradient; a longer one is scaled down to it.
        precision: "float32", or autocast to "bfloat16" or "float16", which scales the loss.
        workers: the number of processes that load and augment. It changes nothing but speed.
        seed: of all randomness: order, augmentation, dropout. The initial weights are the caller's.
        device: where to train. Under `torchrun`, "cuda" is each process's own GPU.
        save_seconds: a checkpoint is written when the last one is this old, and at the end.
        progress: show a bar on stderr with the loss, the share of time spent waiting for data, and validation figures.

    Returns:
        The rows of ``history.csv``, one per epoch. A finished run is returned without another step.

    Raises:
        FloatingPointError: loss or gradient are not finite. Names the samples; the step was not applied.
        KeyboardInterrupt: after Ctrl-C (or SIGTERM), once the step is finished and saved. A second Ctrl-C: at once.
        CheckpointError: no checkpoint in the folder can be read, or they are those of another run: with other
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
    lr, clip, save_seconds = _number_of(lr, "lr"), _number_of(clip, "clip"), float(save_seconds)
    rank, world, device = _place(device)
    if not batch <= len(data) or batch % world:
        wanted = f"a multiple of the {world} process(es), at most the {len(data)} samples"
        raise ValueError(f"batch: needed {wanted}, got {batch}")
    model.to(device, memory_format=torch.channels_last)
    parameters, norms = list(model.parameters()), _norms(model)
    optim = optimiser(parameters, lr=lr)
    rates = [float(group["lr"]) for group in optim.param_groups]
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
    per_epoch = len(data) // batch
    total, shard = epochs * per_epoch, partial(_shard, len(data), batch, seed, rank, world)
    extra = _extra_batches(total, per_epoch, batch, validate is not None) if norms else {}
    settings = {"samples": len(data), "epochs": epochs, "batch": batch, "lr": lr, "precision": precision, "seed": seed}
    settings |= {"clip": clip} | _settings_of(model, optim)
    prints = _fingerprints(model, loss, data, schedule, workers)
    run = _Run(Path(folder), {"model": model, "optimiser": optim, "scaler": scaler}, settings, prints)
    run.resume(rank, world, total)

    def forward(x: Any) -> Tensor:
        with torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "float32"):
            return _scalar(loss(model, x))

    with (
        _training_mode(model, norms),
        contextlib.closing(_batches(data, _keys(shard, run.step, total, extra), seed, workers, device)) as batches,
        torch.random.fork_rng([device] if device.type == "cuda" else []),  # the caller's generator stays as it was
        _progress(run, total, progress and rank == 0) as show,
        _interrupts() as stop_requested,
    ):
        while run.step < total:
            # the batch
            began = time.perf_counter()
            x = next(batches)
            waited = time.perf_counter() - began

            # forward and backward
            torch.manual_seed(_number(seed, run.step, rank))
            value = forward(x)
            scaler.scale(value).backward()

            # all processes agree
            own_norm = _average_gradients(parameters, world)
            scaler.unscale_(optim)
            grad_norm = nn.utils.clip_grad_norm_(parameters, clip).item()
            # In float16 a gradient may overflow: the scaler leaves the step out and halves its scale, down to 1.
            overflow_allowed = scaler.get_scale() > 1
            own_norm = grad_norm if world == 1 else own_norm
            finite = math.isfinite(value.item()) and (math.isfinite(own_norm) or overflow_allowed)
            told = _all_processes([value.item(), float(not finite), float(bool(stop_requested))], world, device)
            if any(bad for _, bad, _ in told) or not (math.isfinite(grad_norm) or overflow_allowed):
                blamed = [r for r, (_, bad, _) in enumerate(told) if bad] or list(range(world))
                where = partial(_shard, len(data), batch, seed, world=world, step=run.step)
                _not_finite(value.item(), grad_norm, run.step, per_epoch, rank, {r: where(r) for r in blamed})

            # step
            for group, rate in zip(optim.param_groups, rates, strict=True):
                group["lr"] = rate * float(schedule(run.step / total))
            scaler.step(optim)
            scaler.update()
            optim.zero_grad()

            # the record
            mean_loss = sum(each for each, _, _ in told) / world
            run.record_step(mean_loss, time.perf_counter() - began, waited)
            if run.step in extra:
                torch.manual_seed(_number(seed, run.step, rank, 2))
                _estimate(model, norms, forward, batches, len(extra[run.step]), world)
            if run.step % per_epoch == 0:
                run.end_epoch(per_epoch, batch, optim.param_groups[0]["lr"])
                if validate and rank == 0:
                    with _evaluation_mode(model):
                        run.rows[-1] |= {name: float(v) for name, v in validate(model).items()}
            show(mean_loss)
            stop = any(requested for _, _, requested in told)
            if rank == 0 and (stop or run.step == total or time.perf_counter() - run.saved >= save_seconds):
                run.save()
            if stop:
                raise KeyboardInterrupt(f"stopped after step {run.step} of {total}, saved in {folder}: call again")
    return History(run.rows, run.folder / "history.csv")


def evaluate(
    model: nn.Module, predict: Callable[[nn.Module, Any], Tensor], data: Any, *, batch: int = 64, workers: int = 0,
    normaliser: str | Tensor | np.ndarray = "corners", scheme: str | None = None,
) -> Tensor:  # fmt: skip
    """Compute the NME of each sample, in order (`metrics.nme`).

    Args:
        model: evaluated in evaluation mode, on the device of its parameters; on the CPU where it has none.
        predict: (model, batch) -> landmarks (b, n, 2), in the pixels of ``batch.landmarks``, the truth; called without
            gradients.
        data: a dataset of k samples; they are ``data[index]``, never drawn.
        batch: samples per call of ``predict``.
        workers: processes that load.
        normaliser: as in `metrics.nme`, or an array of k lengths, px, one per sample.
        scheme: the name of the truth's scheme, where the normaliser needs it.

    Returns:
        (k,) fractions, float64 on the CPU.

    Raises:
        ValueError: another number of lengths than of samples; what `metrics.nme` raises: another shape, an unknown
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
    with _evaluation_mode(model), torch.no_grad():
        for x in DataLoader(data, batch, num_workers=workers, worker_init_fn=_worker):
            points = predict(model, _moved(x, device)).cpu().double()
            done = sum(map(len, parts))
            by = normaliser if lengths is None else lengths[done : done + len(points)]
            parts.append(metrics.nme(points, x.landmarks.double(), by, scheme))
    return torch.cat(parts)


# --------------------------------------------------------------------------------------------------------- the door


def _whole(**numbers: tuple[SupportsIndex, int]) -> list[int]:
    """Python integers from (whole number of any kind, the least that is allowed) by name."""
    for name, (value, least) in numbers.items():
        if operator.index(value) < least:
            raise ValueError(f"{name}: needed a whole number of at least {least}, got {value}")
    return [operator.index(value) for value, _ in numbers.values()]


def _number_of(value: SupportsFloat, name: str) -> float:
    """A Python number above 0 from one of any kind; infinity is none but for ``clip``."""
    number = float(value)
    if not 0 < number <= (math.inf if name == "clip" else sys.float_info.max):
        mend = "; leave it out to clip nothing" if name == "clip" else ""
        raise ValueError(f"{name}: needed a number > 0, got {value}{mend}")
    return number


def _scalar(value: Any) -> Tensor:
    """Refuse what is no loss: one number that depends on the model's parameters."""
    if not isinstance(value, Tensor):
        raise TypeError(f"loss: needed a scalar tensor, got {type(value).__name__}; return the mean over the batch")
    if value.numel() != 1 or not value.is_floating_point():
        got = f"shape {tuple(value.shape)}, {value.dtype}"
        raise ValueError(f"loss: needed one floating-point number, got {got}; return the mean over the batch")
    if not value.requires_grad:
        mend = "call the model that it is given, without detach, item or no_grad"
        raise ValueError(f"loss: needed a value that depends on trainable parameters, got one without gradient; {mend}")
    return value


def _settings_of(model: nn.Module, optim: torch.optim.Optimizer) -> dict[str, Any]:
    """What is compared of model and optimiser, as plain numbers and text."""
    found = {"parameters": sum(p.numel() for p in model.parameters()), "optimiser": type(optim).__name__}
    found["trained parameters"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
    for i, group in enumerate(optim.param_groups):
        at = f" of group {i}" if len(optim.param_groups) > 1 else ""
        found |= {f"{k}{at}": _plain(v) for k, v in group.items() if k not in ("params", "lr", "initial_lr")}
        found |= {f"lr{at}": float(group["lr"])} if at else {}
    found = tree_map(lambda v: v.tolist() if isinstance(v, Tensor) else v, found)
    return {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}


def _plain(x: Any) -> Any:
    """NumPy's numbers and arrays as Python's and torch's: the checkpoint's reader takes no others."""
    kinds = {np.generic: lambda v: v.item(), np.ndarray: torch.from_numpy}
    return tree_map(lambda v: next((to(v) for kind, to in kinds.items() if isinstance(v, kind)), v), x)


def _fingerprints(model: nn.Module, loss: Callable, data: Any, schedule: Callable, workers: int) -> dict[str, Any]:
    """What is compared of model, loss, data and schedule; see `_fingerprint`."""
    probe = [i * (len(data) - 1) // (PROBED - 1) for i in range(PROBED)]
    with torch.random.fork_rng([]):  # a loader draws a seed
        how = {"num_workers": min(workers, 1), "worker_init_fn": _worker}  # what a process opens is its own
        samples = list(DataLoader(_Probed(data), batch_size=None, sampler=probe, **how))
    return {
        "model": _fingerprint.function(model),
        "loss": _fingerprint.function(loss),
        "schedule": torch.tensor([float(schedule(i / 100)) for i in range(100)], dtype=torch.float64),
        "data": samples,
    }


# ------------------------------------------------------------------------------------------ what is kept on the disk


class _Run:
    """The state of a training, in memory and in its folder."""

    def __init__(self, folder: Path, parts: dict[str, Any], settings: dict, fingerprints: dict) -> None:
        self.folder, self.parts, self.settings, self.fingerprints = folder, parts, settings, fingerprints
        self.step, self.saved, self.rows = 0, time.perf_counter(), []
        self.sums = [0.0, 0.0, 0.0]  # of this epoch: losses, seconds, and seconds of waiting for data

    def record_step(self, *values: float) -> None:
        """Count a step: its loss, its seconds, and those of waiting."""
        self.step += 1
        self.sums = [total + v for total, v in zip(self.sums, values, strict=True)]

    def end_epoch(self, steps: int, batch: int, lr: float) -> None:
        """Add an epoch's row; ``waiting`` is the share of all time spent waiting for data, without validation."""
        loss, seconds, waited = self.sums
        row = (self.step // steps, self.step, lr, loss / steps, seconds, steps * batch / seconds, waited / seconds)
        self.rows.append(dict(zip(ROW, row, strict=True)))
        self.sums = [0.0, 0.0, 0.0]

    def save(self) -> None:
        """Write the checkpoint aside, then move it into place: at any moment one is whole."""
        aside, path = self._write(), self.folder / "checkpoint.pt"
        if path.exists():
            path.replace(self.folder / "checkpoint-previous.pt")
        aside.replace(path)
        with aside.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(dict.fromkeys(k for row in self.rows for k in row)), lineterminator="\n")
            table.writeheader()
            table.writerows(self.rows)
        aside.replace(self.folder / "history.csv")
        self.saved = time.perf_counter()

    def _write(self) -> Path:
        """The state in ``checkpoint.tmp``; OSError, with what to do, where that cannot be written."""
        model = {k: v if isinstance(v, Tensor) else _plain(v) for k, v in self.parts["model"].state_dict().items()}
        state = {name: _plain(part.state_dict()) for name, part in self.parts.items() if name != "model"}
        state |= {"model": model, "step": self.step, "rows": self.rows, "sums": self.sums}
        state |= {"settings": self.settings, "fingerprints": self.fingerprints}
        aside, whole = self.folder / "checkpoint.tmp", io.BytesIO()
        try:
            torch.save(state, whole)  # to memory: of a full disk torch says "unexpected pos"
            self.folder.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as file:
                file.write(whole.getbuffer())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
            mend = f"checkpoint of step {self.step} not written; make room or name another folder, and call again"
            raise OSError(error.errno, f"{error.strerror}: {mend}", str(aside)) from error
        return aside

    def rehearse(self) -> None:
        """Write the state, read it back and delete it: what cannot be saved is refused before the first step."""
        aside = self._write()
        try:
            _read(aside)
        except Exception as error:
            why = str(error).split("Error: ")[-1].split("error: ")[-1].split(". Please")[0]  # torch says it at length
            raise CheckpointError(f"{aside}: the run's state could not be read back ({why}); {_ONLY_PLAIN}") from error
        finally:
            aside.unlink()

    def resume(self, rank: int, world: int, total: int) -> None:
        """Load the folder's checkpoint, if it has one; the first process reads it for all."""
        state = [load_checkpoint(self.folder) if rank == 0 else None]
        if world > 1:
            dist.broadcast_object_list(state)
        if state[0] is not None:
            self._refuse_another(state[0])
            for name, part in self.parts.items():
                part.load_state_dict(state[0][name])
            self.step, self.rows, self.sums = (state[0][name] for name in ("step", "rows", "sums"))
        for tensor in self.parts["model"].state_dict().values() if world > 1 else ():
            same = tensor.contiguous()
            dist.broadcast(same, 0)
            tensor.copy_(same)
        if rank == 0 and self.step < total:
            self.rehearse()

    def _refuse_another(self, state: dict) -> None:
        """CheckpointError where the checkpoint is not of the run that was asked for; it says what differs."""
        mend = "name another folder, or delete this one"
        before, prints = state["settings"], state.get("fingerprints")
        if prints is None:
            earlier = "was written by an earlier version, which did not record what loss and data it trained with"
            raise CheckpointError(f"{self.folder}: {earlier}; {mend}")
        keys = [k for k in before | self.settings if before.get(k) != self.settings.get(k)]
        told = [f"{k} {before.get(k)} (now {self.settings.get(k)})" for k in keys]
        now = self.fingerprints
        alike = {k: _fingerprint.same_function(prints[k], now[k]) for k in ("loss", "model")}
        alike["schedule"] = torch.allclose(prints["schedule"], now["schedule"], rtol=1e-6, atol=1e-9)
        alike["data"] = all(map(_fingerprint.alike, prints["data"], now["data"]))
        if "parameters" in keys:  # says it already
            alike["model"] = True
        told += [f"another {k}" if k != "data" else "other data" for k, same in alike.items() if not same]
        if told:
            raise CheckpointError(f"{self.folder}: holds a run with {', '.join(told)}; {mend}")


_ONLY_PLAIN = "keep only tensors, numbers, text, lists and dicts in state_dict() and in the optimiser's arguments"


def load_checkpoint(folder: str | Path) -> dict | None:
    """Load the last whole checkpoint, on the CPU: ``["model"]`` holds the weights. None where there is none.

    A damaged one is put aside, with a warning, where the previous one can be read.

    Args:
        folder: of a run, as given to `fit`.

    Raises:
        CheckpointError: none can be read.

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


def _shard(n: int, batch: int, seed: int, rank: int, world: int, step: int) -> list[tuple[int, int]]:
    """The (epoch, index) of this process's samples at a step."""
    epoch, k = divmod(step, n // batch)
    return [(epoch, i) for i in _order(n, seed, epoch)[k * batch + rank : (k + 1) * batch : world]]


def _extra_batches(total: int, per_epoch: int, batch: int, always: bool) -> dict[int, range]:
    """After which step statistics are estimated -> the steps whose batches serve for it, the first of that epoch."""
    ends = range(per_epoch if always else total, total + 1, per_epoch)
    count = min(per_epoch, -(-ESTIMATED_FROM // batch))
    return {end: range(end - per_epoch, end - per_epoch + count) for end in ends}


def _keys(shard: Callable, start: int, total: int, extra: dict[int, range]) -> Iterator[list[tuple[int, int]]]:
    """The samples of all batches from step ``start`` on, those of ``extra`` in their places."""
    for step in range(start, total):
        yield shard(step=step)
        yield from (shard(step=k) for k in extra.get(step + 1, ()))


class _Probed(Dataset):
    """A few values of each sample, to tell the data by."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __getitem__(self, index: int) -> list[Tensor] | None:
        return _fingerprint.samples(self.data, index)


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
    for number in (signal.SIGINT, signal.SIGTERM):  # they go to the whole group; the training process decides,
        signal.signal(number, signal.SIG_IGN)  # and a worker ends when that process does, because it watches it
    with contextlib.suppress(ImportError):
        import cv2

        cv2.setNumThreads(0)  # its threads do not outlive a fork, and a worker is one of many


def _moved(x: Any, device: torch.device) -> Any:
    """All tensors in x on the device; images (b, c, h, w) channels last."""

    def move(v: Any) -> Any:
        layout = torch.channels_last if isinstance(v, Tensor) and v.ndim == 4 else torch.preserve_format
        return v.to(device, non_blocking=True, memory_format=layout) if isinstance(v, Tensor) else v

    return tree_map(move, x)


# ---------------------------------------------------------------------------------------- modes, running statistics


def _norms(model: nn.Module) -> list[_BatchNorm]:
    """The batch norms whose running statistics are trained: all but the frozen ones (see `fit`)."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    return [m for m in norms if m.running_mean is not None and not _is_frozen(m, model)]


def _is_frozen(norm: _BatchNorm, model: nn.Module) -> bool:
    own = list(norm.parameters(recurse=False))
    return (model.training and not norm.training) or (bool(own) and not any(p.requires_grad for p in own))


@contextlib.contextmanager
def _modes_restored(model: nn.Module) -> Iterator[None]:
    """Each part's mode, training or evaluation, afterwards as it was before."""
    before = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


@contextlib.contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    with _modes_restored(model):
        model.eval()
        yield


@contextlib.contextmanager
def _training_mode(model: nn.Module, norms: list[_BatchNorm]) -> Iterator[None]:
    """Training mode but for the parts that the caller froze."""
    if not model.training:
        model.train()
    with _modes_restored(model):
        for module in model.modules():
            if isinstance(module, _BatchNorm) and module.running_mean is not None and module not in norms:
                module.training = False
        yield


def _estimate(
    model: nn.Module, norms: list[_BatchNorm], forward: Callable, batches: Iterator, count: int, world: int
) -> None:
    """Estimate the running statistics with the present weights, as an average over the next ``count`` batches."""
    before = [(m.momentum, [b.clone() for b in m.buffers()]) for m in norms]
    with _modes_restored(model):
        for module in model.modules():
            if isinstance(module, _DropoutNd):
                module.training = False
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the cumulative average
        for _ in range(count):
            forward(next(batches))
    for norm, (momentum, buffers) in zip(norms, before, strict=True):
        norm.momentum = momentum
        if not norm.num_batches_tracked:  # this part was not used
            for buffer, old in zip(norm.buffers(), buffers, strict=True):
                buffer.copy_(old)
    if world > 1:
        _average([b for m in norms for b in (m.running_mean, m.running_var)], world)


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


def _all_processes(values: list[float], world: int, device: torch.device) -> list[list[float]]:
    """Each process's values, so that all stop at the same step."""
    if world == 1:
        return [values]
    x = torch.zeros(world, len(values), dtype=torch.float32, device=device)
    x[dist.get_rank()] = torch.tensor(values)
    dist.all_reduce(x)
    return x.tolist()


def _average(tensors: list[Tensor], world: int) -> None:
    """Replace each tensor by its mean over all processes; one message for each dtype."""
    for dtype in sorted({t.dtype for t in tensors}, key=str):
        alike = [t for t in tensors if t.dtype == dtype]
        flat = torch.cat([t.detach().flatten() for t in alike])
        dist.all_reduce(flat)
        for t, mean in zip(alike, (flat / world).split([t.numel() for t in alike]), strict=True):
            t.detach().copy_(mean.view(t.shape))


def _average_gradients(parameters: list[nn.Parameter], world: int) -> float:
    """Average the gradients over all processes; return the norm of this process's own, 0 where it is the only one.

    By hand, and not by DistributedDataParallel: so the loss gets the model itself, may call any method of it, and may
    leave parameters unused. A gradient that no process has stays None, as in one process.
    """
    if all(p.grad is None for p in parameters):
        mend = "compute it from the output of the model that it is given"
        raise ValueError(f"loss: needed a value that depends on the model's parameters, got none of them; {mend}")
    if world == 1:
        return 0.0
    used = torch.tensor([p.grad is not None for p in parameters], dtype=torch.float32, device=parameters[0].device)
    own_norm = torch.stack([p.grad.float().norm() for p in parameters if p.grad is not None]).norm().item()
    dist.all_reduce(used)
    shared = [p for p, count in zip(parameters, used.tolist(), strict=True) if count]
    for p in shared:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    _average([p.grad for p in shared], world)
    return own_norm


def _not_finite(
    value: float, grad_norm: float, step: int, per_epoch: int, rank: int, blamed: dict[int, list[tuple[int, int]]]
) -> NoReturn:
    """Say which samples led to it; a process that is not to blame names the one that is."""
    at = f"at step {step}, epoch {step // per_epoch + 1}, samples"
    if rank in blamed:
        samples = [i for _, i in blamed[rank]]
        raise FloatingPointError(f"loss {value}, gradient of length {grad_norm} {at} {samples}; not applied")
    told = "; ".join(f"process {r} {at} {[i for _, i in keys]}" for r, keys in blamed.items())
    raise FloatingPointError(f"another process met a number that is not finite: {told}; not applied")


@contextlib.contextmanager
def _interrupts() -> Iterator[list[float]]:
    """A list that Ctrl-C and SIGTERM fill. A second Ctrl-C, a second later, interrupts: torchrun repeats the first."""
    requested: list[float] = []

    def ask(number: int, frame: object) -> None:
        if requested and number == signal.SIGINT and time.perf_counter() - requested[0] > 1:
            raise KeyboardInterrupt("stopped at once; not saved")
        print("\nstopping after this step; once more to stop at once", file=sys.stderr)
        requested.append(time.perf_counter())

    mine = threading.current_thread() is threading.main_thread()  # no other may have signals
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM) if mine}
    try:
        yield requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextlib.contextmanager
def _progress(run: _Run, total: int, shown: bool) -> Iterator[Callable[[float], None]]:
    """A function that shows the loss, the share of time spent waiting, and the last figures of `validate`."""
    if not shown:
        yield lambda loss: None
        return
    with _checks.optional("tqdm", "progress=False").tqdm(total=total, initial=run.step, unit="step") as bar:

        def show(loss: float) -> None:
            told = {"loss": loss, "waiting": run.sums[2] / (run.sums[1] or 1)}
            told |= {k: v for row in run.rows[-1:] for k, v in row.items() if k not in ROW}
            bar.set_postfix({k: f"{v:.3g}" for k, v in told.items()}, refresh=False)
            bar.update()

        yield show
