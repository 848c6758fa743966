"""A stand-in for an accelerator on a CPU build: tensors that say they are on another device and hold numbers.

An `Elsewhere` tensor has the device "meta", of which PyTorch knows only shapes; here each also holds a tensor of the
CPU that every operation really uses, so that branches which look at values work. Inside ``with Device() as device:``

* an operation on one of these and on a CPU tensor of one axis or more raises `Mixed`, as a GPU would (a 0-d CPU tensor
  counts as a number where PyTorch lets it);
* what is made on the device of such a tensor (``torch.zeros(..., device=x.device)``) is one too;
* ``device.fetches`` counts the operations for which the processor would wait for the device: a value read, a number
  of results that depends on values, a factorisation that reports its success, a copy to the CPU;
* ``device.uploads`` counts what goes the other way: tensors made of Python's numbers, and lists used as indices.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

PLACE = torch.device("meta")
# The processor has to see a value, or how many there are.
WAITS = {
    "_local_scalar_dense", "nonzero", "nonzero_numpy", "masked_select", "equal", "is_nonzero", "_unique2", "unique_dim",
    "unique_consecutive", "bincount", "_linalg_check_errors",
}  # fmt: skip
CROSSES = {"copy_", "_to_copy"}  # may have one side here and the other there
# With these, not even a CPU tensor without axes may join.
STRICT = {"mm", "bmm", "addmm", "baddbmm", "gather", "index_select", "cat", "stack", "searchsorted"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}


class Mixed(RuntimeError):
    """An operation on tensors of two devices."""


class Elsewhere(Tensor):
    """A tensor that says it is on another device."""

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        return Tensor._make_wrapper_subclass(cls, held.shape, device=PLACE, **layout)

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __repr__(self) -> str:
        return f"Elsewhere({self.held})"

    __torch_function__ = torch._C._disabled_torch_function_impl
    is_meta = False  # it has numbers

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _on_held(function, args, kwargs or {})


def there(x: Any) -> Any:
    """x with its tensors elsewhere; of a module, its parameters and buffers in place."""
    if isinstance(x, nn.Module):
        for part in x.modules():
            for name, p in part._parameters.items():
                if p is not None:
                    part._parameters[name] = nn.Parameter(Elsewhere(p.detach().clone()), p.requires_grad)
            for name, buffer in part._buffers.items():
                part._buffers[name] = None if buffer is None else Elsewhere(buffer.clone())
        return x
    return tree_map(lambda v: Elsewhere(v.detach().clone()) if isinstance(v, Tensor) else v, x)


def back(x: Any) -> Any:
    """x with its tensors here again."""
    return tree_map(lambda v: v.held if isinstance(v, Elsewhere) else v, x)


class Device:
    """The device while it is looked at: what it counts."""

    def __init__(self) -> None:
        self.fetches: Counter[str] = Counter()
        self.uploads: Counter[str] = Counter()
        self.modes = _Operations(self), _Calls(self)

    def __enter__(self) -> Device:
        for mode in self.modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        for mode in reversed(self.modes):
            mode.__exit__(*error)


class _Operations(TorchDispatchMode):
    """Every operation, those too that make a tensor of nothing but a shape."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _on_held(function, args, kwargs or {}, self.device)


class _Calls(TorchFunctionMode):
    """What PyTorch does to a tensor's values before any operation: lists to tensors, tensors to lists and arrays."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), getattr(function, "__name__", "")
        ours = bool(args) and isinstance(args[0], Elsewhere)
        if name in ("tensor", "as_tensor", "asarray", "new_tensor"):
            return self._made(function, name, ours, args, kwargs)
        if ours and name == "tolist":
            self.device.fetches[name] += 1
            return args[0].held.tolist()
        if ours and name in ("numpy", "__array__"):
            raise TypeError("can't convert a tensor of another device to NumPy; use Tensor.cpu() first")
        if ours and name in ("__getitem__", "__setitem__"):
            args = (args[0], self._index(args[1]), *args[2:])
        return function(*args, **kwargs)

    def _made(self, function, name, ours, args, kwargs):
        """torch.tensor(data, device=...) and the like build on the CPU, then copy."""
        data = args[1] if name == "new_tensor" else args[0]
        if name == "new_tensor" and ours:
            kwargs = {"device": PLACE, "dtype": args[0].dtype} | kwargs
        place = kwargs.pop("device", None)
        if isinstance(data, Elsewhere):
            if place is not None and torch.device(place) != PLACE:
                self.device.fetches[name] += 1
                return torch.as_tensor(data.held, **kwargs)
            return data.to(kwargs["dtype"]) if kwargs.get("dtype") else data
        if any(isinstance(v, Elsewhere) for v in tree_leaves(data)):
            raise Mixed(f"torch.{name} of a list of tensors reads them one by one: use torch.stack")
        if place is None or torch.device(place) != PLACE:
            kwargs |= {} if place is None else {"device": place}
            return function(*args, **kwargs)
        self.device.uploads[name] += 1
        make = torch.as_tensor if isinstance(data, Tensor) else torch.tensor
        return Elsewhere(make(data, **kwargs))

    def _index(self, index: Any) -> Any:
        """A list is an index that is copied to the device first; on the device "meta" its numbers would be lost."""
        if isinstance(index, tuple):
            return tuple(map(self._index, index))
        if not isinstance(index, list):
            return index
        self.device.uploads["index"] += 1
        kind = {} if index else {"dtype": torch.long}
        with torch._C.DisableTorchFunction():
            return Elsewhere(torch.tensor(index, **kind))


def _on_held(function, args, kwargs, device: Device | None = None):
    """One operation, done with what is held; refused where devices mix."""
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    ours = [x for x in tensors if isinstance(x, Elsewhere)]
    name = function._schema.name.removeprefix("aten::")
    asked = kwargs.get("device")
    if ours:
        _refuse_mixed(name, args, tensors)
    if device is not None:
        _count(device, name, args, kwargs, ours)
    elsewhere = bool(ours) if asked is None else torch.device(asked) == PLACE
    if name == "copy_":
        elsewhere = isinstance(args[0], Elsewhere)
    if elsewhere and asked is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    result = function(*back(args), **back(kwargs))
    for x in ours:  # an operation in place returns the tensor that came
        if result is x.held:
            return x
    return tree_map(lambda v: Elsewhere(v) if isinstance(v, Tensor) else v, result) if elsewhere else result


def _refuse_mixed(name: str, args: tuple, tensors: list[Tensor]) -> None:
    least = 0 if name in STRICT else 1
    here = [x for x in tensors if not isinstance(x, Elsewhere) and x.ndim >= least]
    if name in INDEXING:  # an index, and nothing else, may be on the CPU
        indices = {id(x) for x in tree_leaves(args[1])}
        here = [x for x in here if id(x) not in indices]
    if here and name not in CROSSES:
        raise Mixed(f"{name}: tensors of two devices, here {[tuple(x.shape) for x in here]}")


def _count(device: Device, name: str, args: tuple, kwargs: dict, ours: list[Elsewhere]) -> None:
    asked = kwargs.get("device")
    if name == "_to_copy" and asked is not None:
        device.fetches["to the CPU"] += bool(ours) and torch.device(asked) != PLACE
        device.uploads["to the device"] += not ours and torch.device(asked) == PLACE
    elif name == "copy_" and len(ours) == 1:
        here, _ = args[:2]
        (device.uploads if isinstance(here, Elsewhere) else device.fetches)["copy_"] += 1
    elif ours and name in INDEXING:
        indices = [x for x in tree_leaves(args[1]) if isinstance(x, Tensor)]
        device.fetches["mask as an index"] += any(x.dtype == torch.bool for x in indices)
        device.uploads["index"] += any(not isinstance(x, Elsewhere) for x in indices)
    elif ours and name in WAITS:
        device.fetches[name] += 1
