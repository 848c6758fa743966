"""Input validation: each message says what was needed, what came, and how to mend it.

One rule for precision. Geometry is computed in single or double precision, whatever surrounds the call:

- Half precision (float16, bfloat16) is refused by name, everywhere: between 128 and 256 bfloat16 cannot represent half
  a pixel, so coordinates have lost their precision before they arrive, and a silent cast would hide it. `x.float()`
  mends it.
- `full_precision` switches off an autocast around the call, and on again after it. A backward pass may run under
  autocast as well, which would halve the precision of its products: each step of the derivative of such a call does
  the same.

Support of `torch.func`: `grad`, `vjp` and `jacrev` (and one inside the other) work on every function that is
differentiable, also on those with a derivative written by hand (kernels, flows, splines). `vmap` does not: a function
that reads values to refuse those that are not finite cannot run where values are hidden. No function needs it: leading
axes are batch axes. `jacfwd`, `jvp` and `hessian` do not work on the derivatives written by hand, which are in reverse
mode: use `jacrev(jacrev(f))` for a Hessian.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import importlib
import math
from collections.abc import Callable, Collection, Iterator
from numbers import Integral, Real
from types import ModuleType
from typing import TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import Node

PRECISE = (torch.float32, torch.float64)
DEVICES = [d for d in ("cpu", "cuda", "mps", "xpu") if torch.amp.is_autocast_available(d)]
Function = TypeVar("Function", bound=Callable)


def full_precision(function: Function) -> Function:
    """The same function, with autocast off inside."""

    @functools.wraps(function)
    def exact(*args, **kwargs):
        casting = [device for device in DEVICES if torch.is_autocast_enabled(device)]
        if not casting:
            return function(*args, **kwargs)
        with contextlib.ExitStack() as stack:
            for device in casting:
                stack.enter_context(torch.autocast(device, enabled=False))
            result = function(*args, **kwargs)
            for node in _between(result, (args, kwargs)):
                _exact_backward(node)
            return result

    return exact


class Derived(torch.autograd.Function):
    """A function whose derivative is written by hand: `torch.func` supports it, without a cost for other calls.

    If `setup_context` is defined, torch binds the arguments to the signature of `forward` at every call, which takes
    longer than a kernel on a face. Only `torch.func` needs that.
    """

    @classmethod
    def apply(cls, *args):
        if _in_torch_func():
            return super().apply(*args)
        return super(torch.autograd.Function, cls).apply(*args)


# Torch has no public function for this; without the private one, the way that always works is taken.
_in_torch_func = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)


def _between(result: object, given: object) -> set[Node]:
    """The autograd nodes between the arguments and the result."""
    ends = {x.grad_fn for x in _tensors(given)}
    found, ahead = set(), [x.grad_fn for x in _tensors(result)]
    while ahead:
        node = ahead.pop()
        if node is not None and node not in ends and node not in found and not hasattr(node, "variable"):
            found.add(node)
            ahead += [before for before, _ in node.next_functions]
    return found


def _exact_backward(node: Node) -> None:
    were = []

    def off(_: object) -> None:
        were.append([device for device in DEVICES if torch.is_autocast_enabled(device)])
        for device in were[-1]:
            torch.set_autocast_enabled(device, False)

    def on(*_: object) -> None:
        for device in were.pop():
            torch.set_autocast_enabled(device, True)

    node.register_prehook(off)
    node.register_hook(on)


def _tensors(x: object) -> Iterator[Tensor]:
    """All tensors in arguments and results, also those in records."""
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, tuple | list):
        for each in x:
            yield from _tensors(each)
    elif isinstance(x, dict) or dataclasses.is_dataclass(x):
        yield from _tensors(list((x if isinstance(x, dict) else vars(x)).values()))


def with_gradients(function: Function) -> Function:
    """The same function, for one that differentiates inside: also under `torch.inference_mode`, and for its tensors."""

    @functools.wraps(function)
    def outside(*args, **kwargs):
        on = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.set_grad_enabled(on):
            return function(*map(_ordinary, args), **{name: _ordinary(x) for name, x in kwargs.items()})

    return outside


def _ordinary(x: object) -> object:
    """Tensors, also those in records and in Curves, as copies that may be saved for a derivative."""
    if isinstance(x, Tensor):
        return x.clone() if x.is_inference() else x
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*map(_ordinary, x))
    return x.with_points(_ordinary(x.points)) if hasattr(x, "slices") and x.points.is_inference() else x


def need(right: object, name: str, needed: str, got: object, mend: str = "") -> None:
    """Raise a ValueError in the grammar of all messages unless `right`."""
    if not right:
        raise ValueError(f"{name}: needed {needed}, got {got}" + (f"; {mend}" if mend else ""))


def tensor(x: object, name: str) -> None:
    """Refuse anything but a tensor that holds numbers."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: needed a torch tensor, got {type(x).__name__}; wrap it with torch.as_tensor(...)")
    if x.is_meta:
        raise ValueError(f"{name}: needed a tensor that holds numbers, got one on the device meta; move the data too")


def floats(x: object, name: str) -> None:
    """Refuse anything but a tensor of single or double precision."""
    tensor(x, name)
    if x.dtype not in PRECISE:
        raise TypeError(f"{name}: needed a tensor of single or double precision, got {x.dtype}; use {name}.float()")


def finite(x: Tensor, name: str, mend: str = "leave such values out") -> None:
    """Refuse a tensor with NaN or infinity."""
    if _any(x.detach() - x.detach(), name):  # 0, or NaN where x is not finite: faster than isfinite
        where = tuple((~torch.isfinite(x)).nonzero()[0].tolist())
        raise ValueError(f"{name}: needed finite numbers, got {x[where].item()} at {where}; {mend}")


def points(x: Tensor, name: str, n: int | None = None, *, nan: bool = False) -> None:
    """Refuse `x` unless it is (..., n, 2) of finite numbers (`nan`: or NaN, for missing), in full precision."""
    tensor(x, name)
    if not x.is_floating_point():
        raise TypeError(f"{name}: needed floating-point coordinates, got {x.dtype}; use {name}.double()")
    floats(x, name)
    if x.ndim < 2 or x.shape[-1] != 2:
        raise ValueError(f"{name}: needed points of shape (..., n, 2), got {tuple(x.shape)}")
    if x.shape[-2] == 0 or (n is not None and x.shape[-2] != n):
        wanted = "at least one point" if n is None else f"{n} points"
        raise ValueError(f"{name}: needed {wanted}, got {x.shape[-2]} (shape {tuple(x.shape)})")
    if _any(torch.isinf(x) if nan else x.detach() - x.detach(), name):  # as in `finite`
        where = tuple((torch.isinf(x) if nan else ~torch.isfinite(x)).nonzero()[0].tolist())
        mend = "mark missing landmarks by NaN" if nan else "drop or mask the missing points first"
        raise ValueError(f"{name}: needed finite coordinates, got {x[where].item()} at {where}; {mend}")


def alike(**tensors: Tensor) -> None:
    """Refuse points (..., n, 2) unless all have one batch, dtype and device."""
    (first, x), *others = tensors.items()
    points(x, first)
    for name, y in others:
        points(y, name)
        same(**{first: x, name: y})
        batch(x.shape[:-2], **{first: x, name: y})


def batch(axes: tuple[int, ...], **two: Tensor) -> None:
    """Refuse a second tensor unless it has the batch `axes` of the first and two more."""
    (a, x), (b, y) = two.items()
    if y.shape[:-2] != axes:
        got = f"{tuple(axes)} and {tuple(y.shape[:-2])} (shapes {tuple(x.shape)} and {tuple(y.shape)})"
        raise ValueError(f"{a}, {b}: needed the same batch axes, got {got}; expand one to the other")


def same(**two: Tensor) -> None:
    """Refuse two tensors unless they have one dtype and device."""
    (a, x), (b, y) = two.items()
    if (x.dtype, x.device) != (y.dtype, y.device):
        got = f"{x.dtype} on {x.device} and {y.dtype} on {y.device}"
        raise ValueError(f"{a}, {b}: needed one dtype and device, got {got}; use {b}.to({a})")


def some(x: Tensor, name: str) -> None:
    """Refuse an empty batch, which has no maximum or mean."""
    if x.numel() == 0:
        raise ValueError(f"{name}: needed at least one in the batch, got shape {tuple(x.shape)}; skip empty batches")


def kind(value: object, name: str, *types: type) -> None:
    """Refuse a value unless it is of one of the `types`."""
    if not isinstance(value, types):
        wanted = " or ".join(f"a {each.__name__}" for each in types)
        raise TypeError(f"{name}: needed {wanted}, got {said(value)}")


def number(value: object, name: str, least: float = -math.inf, most: float = math.inf) -> None:
    """Refuse `value` unless it is one finite real number, from `least` to `most`."""
    interval = f"in [{least:g}, {most:g}]" if most < math.inf else f">= {least:g}" if least > -math.inf else ""
    if not _real(value):
        raise TypeError(f"{name}: needed a number {interval}".rstrip() + f", got {said(value)}")
    if not (least <= value <= most and abs(value) < math.inf):
        raise ValueError(f"{name}: needed a number {interval}".rstrip() + f", got {said(value)}")


def positive(value: object, name: str) -> None:
    """Refuse ``value`` unless it is one finite number above zero: Python's, NumPy's or a tensor without axes."""
    if not _real(value):
        raise TypeError(f"{name}: needed a number > 0, got {said(value)}")
    if not 0 < value < math.inf:
        raise ValueError(f"{name}: needed a number > 0, got {said(value)}")


def whole(value: object, name: str, least: int = 1) -> None:
    """Refuse `value` unless it is an integer, `least` or more; True and 3.0 are not integers."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        kind = ValueError if _real(value) else TypeError
        raise kind(f"{name}: needed an integer >= {least}, got {said(value)}")
    if value < least:
        raise ValueError(f"{name}: needed an integer >= {least}, got {value}")


def one_of(value: object, name: str, choices: Collection) -> None:
    """Refuse ``value`` unless it is among ``choices``, which the message lists."""
    if not (value is None or isinstance(value, str | Real)) or isinstance(value, bool) or value not in choices:
        raise ValueError(f"{name}: needed one of {', '.join(map(repr, choices))}; got {said(value)}")


def _any(bad: Tensor, name: str) -> bool:
    try:
        return bool(bad.any())
    except RuntimeError as error:
        if "vmap" not in str(error):
            raise
        raise TypeError(
            f"{name}: needed values to look at, got those that vmap hides; leading axes are batch axes, without vmap"
        ) from None


def _real(value: object) -> bool:
    if isinstance(value, Tensor):
        return value.ndim == 0 and not value.is_meta and value.dtype in (*PRECISE, torch.int64, torch.int32)
    return isinstance(value, Real) and not isinstance(value, bool)


def said(value: object) -> str:
    """A value in a message: itself if it is short, else its type."""
    if isinstance(value, Tensor) and value.ndim == 0 and not value.is_meta:
        return str(value.item()) if value.dtype in PRECISE else f"{value.item()} of {value.dtype}"
    if hasattr(value, "shape"):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 60 else type(value).__name__


def keywords(given: Collection[str], known: Collection[str], name: str) -> None:
    """Refuse keywords that `name` does not accept; the message gives the nearest one, and all."""
    for word in (word for word in given if word not in known):
        near = difflib.get_close_matches(word, known, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise TypeError(
            f"{name}: needed keywords among {', '.join(sorted(k for k in known if k[0] != '_'))}; got {word}{meant}"
        )


def optional(module: str, otherwise: str = "") -> ModuleType:
    """Import a package that `pip install lddmmlib` does not install; the ImportError says which install does."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        mend = " or ".join(filter(None, ["pip install 'lddmmlib[full]'", otherwise]))
        raise ImportError(f"{module}: needed this package, cannot import it ({error}); {mend}", name=module) from error
