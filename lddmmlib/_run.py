"""The machinery of a training: the files of a run, the comparison of runs, processes, signals."""

from __future__ import annotations

import atexit
import contextlib
import csv
import dis
import functools
import hashlib
import inspect
import io
import os
import signal
import sys
import sysconfig
import threading
import time
import types
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from lddmmlib import _checks

ROW = ("epoch", "step", "rate", "loss", "seconds", "samples_per_second", "waiting")


class CheckpointError(RuntimeError):
    """No checkpoint in the folder can be read, or those that can belong to another run.

    >>> issubclass(CheckpointError, RuntimeError)
    True
    """


# ----------------------------------------------------------------------------------------------- several processes


class Processes(NamedTuple):
    """This process among those that train one model, as set up by torchrun."""

    rank: int  #: the number of this process
    world: int  #: the number of processes
    device: torch.device  #: of this one

    def gather(self, values: list[float]) -> list[list[float]]:
        """The values of each process."""
        if self.world == 1:
            return [values]
        x = torch.zeros(self.world, len(values), device=self.device)
        x[self.rank] = torch.tensor(values)
        dist.all_reduce(x)
        return x.tolist()

    def average(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its mean over all processes, in one message."""
        if self.world > 1 and tensors:
            flat = torch.cat([x.detach().flatten() for x in tensors])
            dist.all_reduce(flat)
            for x, mean in zip(tensors, (flat / self.world).split([x.numel() for x in tensors]), strict=True):
                x.detach().copy_(mean.view(x.shape))

    def average_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Replace each gradient by its mean; one that no process has stays None.

        Done here instead of by DistributedDataParallel, so that the loss is given the model itself, may call any method
        of it, and may leave parameters unused.
        """
        used = self.gather([float(p.grad is not None) for p in parameters])
        shared = [p for p, *flags in zip(parameters, *used, strict=True) if any(flags)]
        if not shared:
            mend = "compute it from the output of the model that it is given"
            raise ValueError(f"loss: needed a value that depends on the model's parameters, got none of them; {mend}")
        for p in shared:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        self.average([p.grad for p in shared])


def processes(device: str | torch.device) -> Processes:
    """This process, with its own GPU if `device` is "cuda"; it joins the others if torchrun started it."""
    device, world = torch.device(device), int(os.environ.get("WORLD_SIZE", "1"))
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", torch.cuda.current_device())))
    if world == 1:
        return Processes(0, 1, device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)
    return Processes(dist.get_rank(), world, device)


# ------------------------------------------------------------------------------------------ the folder of a run


class Run:
    """The state of a training, in memory and in its folder.

    `parts` have a `state_dict` each. `identity` tells runs apart: text, which is shown where it differs, or a
    fingerprint.
    """

    def __init__(self, folder: Path, parts: dict[str, Any], identity: dict[str, Any]) -> None:
        self.folder, self.parts = folder, parts
        self.identity = identity | {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
        self.step, self.rows, self.saved = 0, [], time.perf_counter()
        self.sums = [0.0, 0.0, 0.0]  # of this epoch: losses, seconds, and seconds of waiting for data

    def record_step(self, *values: float) -> None:
        """Count a step: its loss, its seconds, and its seconds of waiting."""
        self.step += 1
        self.sums = [total + v for total, v in zip(self.sums, values, strict=True)]

    def end_epoch(self, steps: int, batch: int, lr: float) -> None:
        """Add the row of an epoch; `waiting` is the share of time spent waiting for data, without validation."""
        loss, seconds, waited = self.sums
        row = (self.step // steps, self.step, lr, loss / steps, seconds, steps * batch / seconds, waited / seconds)
        self.rows.append(dict(zip(ROW, row, strict=True)))
        self.sums = [0.0, 0.0, 0.0]

    def save(self) -> None:
        """Write the checkpoint to a temporary file, then rename it, so that there is a complete one at any time."""
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
        """Write the state to ``checkpoint.tmp``; raise an error, with a remedy, if it cannot be written or
        read back.
        """
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state |= {k: getattr(self, k) for k in ("identity", "step", "rows", "sums")}
        aside, whole = self.folder / "checkpoint.tmp", io.BytesIO()  # of a full disk torch says "unexpected pos"
        try:
            torch.save(plain(state), whole)
            whole.seek(0)
            torch.load(whole, map_location="cpu", weights_only=True)
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
        except Exception as error:
            why = str(error).split("rror: ")[-1].split(". Please")[0]  # torch says it at length
            mend = "keep only tensors, numbers, text, lists and dicts in state_dict() and in the optimiser's arguments"
            raise CheckpointError(f"{self.folder}: the run's state could not be read back ({why}); {mend}") from error
        return aside

    def resume(self, here: Processes, total: int) -> None:
        """Load the checkpoint of the folder, if there is one; the first process reads it for all."""
        state = [load_checkpoint(self.folder) if here.rank == 0 else None]
        if here.world > 1:
            dist.broadcast_object_list(state)
        if state[0] is not None:
            self._refuse_another(state[0].get("identity", {}))
            for name, part in self.parts.items():
                part.load_state_dict(state[0][name])
            self.step, self.rows, self.sums = (state[0][name] for name in ("step", "rows", "sums"))
        for tensor in self.parts["model"].state_dict().values() if here.world > 1 else ():
            same = tensor.contiguous()
            dist.broadcast(same, 0)
            tensor.copy_(same)
        if here.rank == 0 and self.step < total:
            self._write().unlink()  # a state that cannot be saved is refused before the first step

    def _refuse_another(self, before: dict[str, Any]) -> None:
        """Raise CheckpointError if the checkpoint belongs to another run; the message says what differs."""
        now, skipped = self.identity, []
        if before.get("python") != self.identity["python"]:  # other byte code
            skipped = ["python", "another loss", "another model"]
        keys = [k for k in now if k not in skipped and not alike(before.get(k), now[k])]
        told = [f"{k} {before[k]} (now {now[k]})" if isinstance(now[k], str) else k for k in keys]
        told += [] if before else ["no record of its loss and data, by an earlier version"]
        if told:
            mend = "name another folder, or delete this one"
            raise CheckpointError(f"{self.folder}: holds a run with {', '.join(told)}; {mend}")


def plain(x: Any) -> Any:
    """Convert NumPy's numbers and arrays to Python's and torch's: the reader of checkpoints accepts no others."""
    return tree_map_only(np.generic, lambda v: v.item(), tree_map_only(np.ndarray, torch.from_numpy, x))


def load_checkpoint(folder: str | Path) -> dict | None:
    """Load the last complete checkpoint, on the CPU: `["model"]` holds the weights. None if there is none.

    A damaged one is renamed, with a warning, if the previous one can be read.

    Args:
        folder: of a run, as given to `training.fit`.

    Raises:
        CheckpointError: none can be read.

    >>> load_checkpoint("a folder without one") is None
    True
    """
    trouble: dict[Path, Exception] = {}
    for path in filter(Path.exists, (Path(folder) / f"checkpoint{which}.pt" for which in ("", "-previous"))):
        try:
            with zipfile.ZipFile(path) as file:
                if bad := file.testzip():  # torch.load does not verify the check sums
                    raise zipfile.BadZipFile(f"wrong check sum of {bad}")
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (MemoryError, PermissionError):
            raise
        except Exception as error:  # a damaged file raises anything
            trouble[path] = error
            continue
        for damaged, why in trouble.items():
            damaged.replace(damaged.with_suffix(".damaged"))
            warnings.warn(f"{damaged} is damaged ({why}): put aside, going on from {path}", stacklevel=2)
        return state
    if trouble:
        told = "; ".join(f"{path} ({why})" for path, why in trouble.items())
        raise CheckpointError(f"damaged, and none left to go on from: {told}; delete the folder to start anew")
    return None


# ----------------------------------------------------------------------------------------- comparison of runs
#
# Fingerprints are compared between processes and machines, so nothing in them depends on memory addresses, hash
# randomisation or line numbers. Differences that cannot be detected reliably are ignored: a missed difference costs
# less than a false alarm.

INSTALLED = (*(sysconfig.get_paths()[k] for k in ("stdlib", "platstdlib", "purelib", "platlib")), "<frozen")
LIBRARY = str(Path(__file__).parent)
WRITES = ("STORE_GLOBAL", "STORE_DEREF", "STORE_ATTR")
SETTERS = {"STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE"}
MUTATORS = {"append", "extend", "insert", "pop", "remove", "clear", "update", "setdefault", "add", "sort", "popleft"}
VALUES = 256  # of each tensor


def fingerprint(x: Any) -> list[str | Tensor]:
    """A digest of a function, a network or a sample; and numbers, which are compared with a tolerance.

    A function: its byte code, constants, defaults, and the values and functions that it closes over or reads from its
    module. A network: the classes and plain attributes of its parts, without weights.

    >>> def same(f, g):
    ...     return alike(fingerprint(f), fingerprint(g))
    >>> same(lambda x: x + 1, lambda y: y + 1), same(lambda x: x + 1, lambda x: x + 2)
    (True, False)
    """
    leaves = list(_leaves(x, ()))
    text = "\n".join(leaf for leaf in leaves if isinstance(leaf, str))
    return [hashlib.sha256(text.encode()).hexdigest(), *(leaf for leaf in leaves if isinstance(leaf, Tensor))]


def alike(a: Any, b: Any) -> bool:
    """Compare two fingerprints, with a tolerance for numbers computed on another machine; None equals anything."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return len(a) == len(b) and torch.equal(a.isfinite(), b.isfinite()) and _close(a.nan_to_num(), b.nan_to_num())
    return a is None or b is None or a == b


def _close(a: Tensor, b: Tensor) -> bool:
    """Compare numbers: images may differ by the decoder, in a few levels; few numbers only in their last bits."""
    tolerance = 1e-3 if len(a) == VALUES else 1e-5
    return bool((a - b).abs().sum() <= tolerance * (a.abs() + b.abs()).sum())


def _leaves(x: Any, above: tuple[int, ...]) -> Iterator[str | Tensor]:
    """Text and numbers that identify `x`, in order; `above`: the objects through which it was reached."""
    x = x.item() if isinstance(x, np.generic) else x
    if isinstance(x, Tensor | np.ndarray):
        yield f"{x.dtype} {tuple(x.shape)}"
        x = torch.from_numpy(x.copy()) if isinstance(x, np.ndarray) and x.dtype.kind in "biuf" else x
        if isinstance(x, Tensor) and not (x.requires_grad or x.is_complex()):  # weights change in training
            flat = x.flatten()
            yield flat[:: max(1, len(flat) // VALUES)][:VALUES].cpu().double().clone()
    elif x is None or isinstance(x, bool | int | float | complex | str | bytes):
        yield f"{x:.9g}" if isinstance(x, float) else repr(x)
    elif id(x) in above:
        yield "again"
    elif isinstance(x, set | frozenset):
        yield f"set {sorted(str(fingerprint(each)) for each in x)}"
    elif isinstance(x, type | types.BuiltinFunctionType | types.ModuleType):
        yield _name(x)
    else:
        parts = _parts(x)
        yield f"{_name(type(x))} of {len(parts)}"
        for part in parts:
            yield from _leaves(part, (*above, id(x)))


def _parts(x: Any) -> list:
    """The parts that determine a container, a function or a callable object."""
    if isinstance(x, tuple | list | dict):
        return list(x.items() if isinstance(x, dict) else x)
    if isinstance(x, functools.partial):
        return [x.func, x.args, x.keywords]
    if isinstance(x, types.MethodType):
        return [x.__func__, x.__self__]
    return _function(inspect.unwrap(x)) if isinstance(x, types.FunctionType) else _instance(x)


def _function(f: types.FunctionType) -> list:
    """The user's code, or the name of installed code; and the values that it was made with."""
    cells = zip(f.__code__.co_freevars, f.__closure__ or (), strict=True)
    used, steps = {k: cell.cell_contents for k, cell in cells if cell != types.CellType()}, _steps(f.__code__)
    if _is_own(f):
        used |= {k: f.__globals__[k] for op, k in sorted(steps) if op == "LOAD_GLOBAL" and k in f.__globals__}
    code = repr(_code(f.__code__)) if _is_own(f) else _name(f)
    return [code, f.__defaults__, f.__kwdefaults__, _fixed(used, steps)]


def _instance(x: Any) -> list:
    """A callable object: its methods and the attributes that none of them writes. For a network no weights."""
    methods = {k: inspect.unwrap(f) for k, f in sorted(vars(type(x)).items()) if isinstance(f, types.FunctionType)}
    if not isinstance(x, nn.Module) and "__call__" not in methods:
        return []
    running = [f for k, f in methods.items() if k not in ("__init__", "__post_init__")]
    state = dict(sorted(getattr(x, "__dict__", {}).items()))
    if isinstance(x, nn.Module):
        state = {k: v for k, v in state.items() if k[0] != "_" and k != "training"} | dict(x.named_children())
    return [*filter(_is_own, running), _fixed(state, set().union(*(_steps(f.__code__) for f in running)))]


def _steps(code: types.CodeType) -> set[tuple[str, str]]:
    """The (operation, name or other argument) of all instructions, those of inner functions too."""
    own = {(step.opname, str(step.argval)) for step in dis.get_instructions(code)}
    return own.union(*(_steps(inner) for inner in code.co_consts if inspect.iscode(inner)))


def _fixed(values: dict[str, Any], steps: set[tuple[str, str]]) -> dict[str, Any]:
    """The values that stay constant while the code runs, without those that may be a counter or a cache."""
    methods = {name for op, name in steps if op in ("LOAD_ATTR", "LOAD_METHOD")}
    mutates = any(name in MUTATORS or (name[-1:] == "_" != name[:1]) for name in methods)
    mutates |= not SETTERS.isdisjoint(op for op, _ in steps)
    left_out = (types.ModuleType, list, dict, set, Tensor, np.ndarray) if mutates else types.ModuleType
    kept = {k: v for k, v in values.items() if not isinstance(v, left_out)}
    return {k: v for k, v in kept.items() if steps.isdisjoint((op, k) for op in WRITES)}


def _code(code: types.CodeType) -> list:
    plain = [sorted(map(repr, c)) if isinstance(c, frozenset) else c for c in code.co_consts]  # a set has no order
    return [code.co_code.hex(), code.co_names, [_code(c) if inspect.iscode(c) else c for c in plain]]


def _is_own(f: types.FunctionType) -> bool:
    return not f.__code__.co_filename.startswith((*INSTALLED, LIBRARY))


def _name(x: Any) -> str:
    return getattr(x, "__qualname__", x.__name__)  # without the module: that of a script may be `__main__` or not


# ---------------------------------------------------------------------------------------------- signals, the screen


@contextlib.contextmanager
def interrupts() -> Iterator[list[float]]:
    """A list that Ctrl-C and SIGTERM fill. A second Ctrl-C, a second later, interrupts: torchrun repeats the first."""
    requested: list[float] = []

    def ask(number: int, frame: object) -> None:
        if requested and number == signal.SIGINT and time.perf_counter() - requested[0] > 1:
            raise KeyboardInterrupt("stopped at once; not saved")
        print("\nstopping after this step; once more to stop at once", file=sys.stderr)
        requested.append(time.perf_counter())

    mine = threading.current_thread() is threading.main_thread()  # no other thread may set signal handlers
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM) if mine}
    try:
        yield requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextlib.contextmanager
def progress(run: Run, total: int, shown: bool) -> Iterator:
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
