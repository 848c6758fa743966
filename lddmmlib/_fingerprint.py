"""Fingerprints of what decides a training: the code of functions, and samples of data.

They are compared between processes and machines, so nothing in them depends on memory addresses, hash randomisation or
line numbers. What cannot be told apart reliably is left out: a missed difference costs less than a false alarm.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import hashlib
import inspect
import random
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

INSTALLED = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
LIBRARY = str(Path(__file__).parent)
MUTATORS = {"append", "extend", "insert", "pop", "remove", "clear", "update", "setdefault", "add", "sort", "popleft"}
VALUES = 256  # of each tensor of a sample


def function(f: Callable) -> tuple[str, list[Tensor]]:
    """What ``f`` computes: a digest of byte code, constants, defaults and plain values that it closes over; tensors.

    Python's version stands in front of the digest, because byte code can be compared within one version alone. Tensors
    are kept as numbers: computed anew, by another number of threads, they differ in their last bits.

    >>> function(lambda x: x + 1) == function(lambda y: y + 1) != function(lambda x: x + 2)
    True
    """
    numbers: list[Tensor] = []
    text = _text(_describe(f, (), True), numbers)
    return f"{sys.version_info.major}.{sys.version_info.minor} {hashlib.sha256(text.encode()).hexdigest()}", numbers


def same_function(a: tuple[str, list[Tensor]], b: tuple[str, list[Tensor]]) -> bool:
    """Whether two functions compute the same; those of different versions of Python cannot be told apart."""
    return a[0].split()[0] != b[0].split()[0] or (a[0] == b[0] and alike(a[1], b[1]))


def samples(data: Any, index: int) -> list[Tensor] | None:
    """Up to 256 values, float64, of each tensor of a sample; None where it is another one each time, or fails.

    The sample is drawn as in a training, by ``data.draw`` where there is one. Global generators stay as they were.
    """
    try:
        with _fixed_chance():
            first = _values(_sample(data, index))
        with _fixed_chance():
            again = _values(_sample(data, index))
    except Exception:  # whatever it is, the training meets it too and can say more
        return None
    return first if alike(first, again) else None


def alike(a: list[Tensor] | None, b: list[Tensor] | None) -> bool:
    """Whether two samples are the same one, up to what decoding on another machine changes; None is like anything."""
    if a is None or b is None:
        return True
    return len(a) == len(b) and all(map(_close, a, b))


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or not torch.equal(a.isfinite(), b.isfinite()):
        return False
    a, b = (torch.nan_to_num(x, 0.0, 1.0, -1.0) for x in (a, b))
    apart, size = (a - b).abs(), a.abs() + b.abs()
    pixels = len(a) == VALUES and a.max() > 4 and bool((a == a.round()).all() and (b == b.round()).all())
    if pixels:  # decoders and painters agree up to a level
        return bool(apart.max() <= 2 and apart.mean() <= 0.25)
    return bool(apart.sum() <= 1e-4 * size.sum())


def _sample(data: Any, index: int) -> Any:
    return data.draw(index, np.random.default_rng(index)) if hasattr(data, "draw") else data[index]


def _values(sample: Any) -> list[Tensor]:
    kinds = Tensor | np.ndarray | np.generic | bool | int | float
    leaves = (list(leaf.encode()) if isinstance(leaf, str) else leaf for leaf in tree_leaves(sample))
    return [_some(leaf) for leaf in leaves if isinstance(leaf, kinds | list)]


def _some(x: Any) -> Tensor:
    """At most 256 values of x, evenly spaced, float64."""
    x = torch.as_tensor(x).detach().flatten()
    return x[:: max(1, len(x) // VALUES)][:VALUES].cpu().double().clone()


@contextlib.contextmanager
def _fixed_chance() -> Iterator[None]:
    """Start the global generators from 0; put them back afterwards."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


# ------------------------------------------------------------------------------------------------- functions as text


def _describe(x: Any, above: tuple, follow: bool = False) -> Any:
    """Nested tuples of plain text that tell ``x``; ``above``: the objects that it was reached through."""
    if any(x is other for other in above):
        return "again"
    above = (*above, x)
    if isinstance(x, np.generic):
        x = x.item()
    if x is None or x is Ellipsis or isinstance(x, bool | int | float | complex | str | bytes):
        return repr(x)
    if isinstance(x, Tensor | np.ndarray):
        kept = () if getattr(x, "requires_grad", False) or x.dtype == object else _some(x)  # trained ones change
        return "tensor", str(x.dtype), tuple(x.shape), kept
    if isinstance(x, tuple | list):
        return type(x).__name__, tuple(_describe(v, above) for v in x)
    if isinstance(x, set | frozenset):
        return "set", tuple(sorted(repr(_describe(v, above)) for v in x))
    if isinstance(x, dict):
        return "dict", tuple((repr(_describe(k, above)), _describe(v, above)) for k, v in x.items())
    if isinstance(x, functools.partial):
        return "partial", _describe(x.func, above, follow), _describe(x.args, above), _describe(x.keywords, above)
    if isinstance(x, types.MethodType):
        return "method", _describe(x.__func__, above, follow), _describe(x.__self__, above)
    if isinstance(x, types.FunctionType):
        return _function(inspect.unwrap(x), above, follow)
    if isinstance(x, type | types.BuiltinFunctionType | types.ModuleType):
        return _name(x)
    return _instance(x, above)


def _text(told: Any, numbers: list[Tensor]) -> str:
    """Nested tuples as text; the tensors among them go to ``numbers``."""
    if isinstance(told, tuple):
        return f"({','.join(_text(part, numbers) for part in told)})"
    if isinstance(told, Tensor):
        numbers.append(told)
        return "numbers"
    return repr(told)


def _name(x: Any) -> str:
    named = x if hasattr(x, "__name__") else type(x)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', named.__name__)}"


def _function(f: types.FunctionType, above: tuple, follow: bool) -> Any:
    """By its code where it is the user's own, and otherwise by its name."""
    if not (follow or _is_own(f)):
        return _name(f)
    written, mutates, loaded = _effects(f.__code__)
    try:
        cells = zip(f.__code__.co_freevars, [cell.cell_contents for cell in f.__closure__ or ()], strict=True)
        used = dict(cells)
    except ValueError:  # a cell that is not filled yet
        used = {}
    used |= {name: f.__globals__[name] for name in sorted(loaded) if name in f.__globals__}
    told = tuple((k, _describe(v, above)) for k, v in used.items() if k not in written and _is_fixed(v, mutates))
    return _code(f.__code__), _describe(f.__defaults__, above), _describe(f.__kwdefaults__, above), told


def _is_own(f: types.FunctionType) -> bool:
    return not f.__code__.co_filename.startswith((*INSTALLED, LIBRARY, "<frozen"))


def _is_fixed(x: Any, mutates: bool) -> bool:
    """Whether ``x`` stays as it is while the code runs: what may be a counter or a notebook of values is left out."""
    if isinstance(x, list | dict | set | Tensor | np.ndarray):
        return not mutates
    return not isinstance(x, types.ModuleType)


def _code(code: types.CodeType) -> Any:
    constants = tuple(_code(c) if isinstance(c, types.CodeType) else _describe(c, ()) for c in code.co_consts)
    return code.co_code.hex(), code.co_names, constants


def _effects(code: types.CodeType) -> tuple[set[str], bool, set[str]]:
    """(Names that the code writes, whether it may change an object in place, globals that it reads)."""
    written, mutates, loaded = set(), False, set()
    for step in dis.get_instructions(code):
        if step.opname in ("STORE_GLOBAL", "STORE_DEREF", "STORE_ATTR"):
            written.add(step.argval)
        loaded |= {step.argval} if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") else set()
        mutates |= step.opname in ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE")
    mutates |= any(name in MUTATORS or (name.endswith("_") and name[:1] != "_") for name in code.co_names)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            more = _effects(inner)
            written, mutates, loaded = written | more[0], mutates or more[1], loaded | more[2]
    return written, mutates, loaded


def _instance(x: Any, above: tuple) -> Any:
    """A callable object: its class, its methods' code, the attributes that no method writes. Others: their class.

    Of a network, which may be the one in training, the plain attributes and those of its parts, but no weights.
    """
    cls, state, network = type(x), dict(getattr(x, "__dict__", {})), isinstance(x, nn.Module)
    call = getattr(cls, "forward" if network else "__call__", None)
    if network:
        plain = {k: v for k, v in state.items() if isinstance(v, bool | int | float | str | tuple) and k[0] != "_"}
        state = {k: v for k, v in plain.items() if k != "training"} | dict(x.named_children())
    if not isinstance(call, types.FunctionType) or not (network or _is_own(call)):
        return _name(x)
    methods = {k: inspect.unwrap(v) for k, v in vars(cls).items() if isinstance(v, types.FunctionType) and _is_own(v)}
    effects = {k: _effects(f.__code__) for k, f in methods.items() if k not in ("__init__", "__post_init__")}
    written = set().union(*(e[0] for e in effects.values()))
    mutates = any(e[1] for e in effects.values())
    fixed = {k: v for k, v in state.items() if k not in written and _is_fixed(v, mutates)}
    code = tuple((k, _describe(methods[k], above)) for k in sorted(effects))
    return _name(cls), code, tuple((k, _describe(v, above)) for k, v in sorted(fixed.items()))
