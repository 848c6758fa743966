"""Networks as files that a page can run: a list of operations and their weights, for `network.js`.

`portable` runs a network once on an example and writes down what torch computes: which operation, of which of the
values before it. Whatever does not depend on the image, such as a grid of pixels, has become numbers by then.

The file is a safetensors file. Its metadata holds the ``program``, JSON:

| field | |
|---|---|
| ``input`` | the shape of the example |
| ``operations`` | in order: ``op``, ``inputs``, ``shape`` of the result, attributes; they make "v1", "v2", ... |
| ``outputs`` | the values that the network returned |

An input is the name of a value ("v0" is the image), the name of a tensor in the file ("w0", "w1", ...), or a number.
Integers and truth values are carried as floating-point numbers. The operations are those of torch, but for

- ``strided``: a view of a value, by its shape, strides and offset: slices, transpositions, expansions;
- ``convolution``: inputs x, weight w, scale s and shift t, for s (w * x) + t of each channel; ``relu`` may follow.
  Batch normalisation has become s and t. ``affine`` is the same without the convolution.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lddmmlib import _checks

MAPS = {"abs", "add", "bitwise_and", "bitwise_not", "bitwise_or", "div", "eq", "exp", "floor", "ge", "gt", "le", "log",
        "logical_and", "logical_not", "logical_or", "lt", "maximum", "minimum", "mul", "ne", "neg", "pow", "reciprocal",
        "relu", "sigmoid", "sign", "sqrt", "sub", "tanh", "where"}  # fmt: skip  # element by element, broadcast
REDUCTIONS = {"all", "amax", "amin", "any", "argmax", "argmin", "mean", "sum"}
OTHERS = {"affine", "avg_pool2d", "cat", "convolution", "gather", "grid_sampler_2d", "matmul", "max_pool2d", "softmax",
          "strided", "upsample_bilinear2d", "upsample_nearest2d"}  # fmt: skip
KNOWN = MAPS | REDUCTIONS | OTHERS


def portable(model: Callable[[Tensor], Any], example: Tensor, half: bool = True) -> bytes:
    """A network as a file that runs in a page, where ``network.js`` computes what the network computes.

    Args:
        model: a network in evaluation mode on the CPU, or any function of one tensor that calls such networks, for
            instance ``lambda images: heatmaps.decode(net(images)[-1])``. It returns a tensor, or a tuple, list or dict
            of tensors.
        example: an input of the shape that the page will give it, for instance (1, 3, 64, 64).
        half: keep the weights of convolutions and matrix products in half precision. This is exact for weights that
            were kept so before, as those of `networks.pretrained` are.

    Returns:
        The bytes of a safetensors file.

    Raises:
        TypeError: an example that is not a floating-point tensor.
        ValueError: an operation that ``network.js`` does not have, a network in training mode or one that reads a
            number out of a tensor, a result that does not depend on the example, or weights beyond half precision.

    Where Python code branches on values, as a check of its input does, the file holds the branch of the example.

    >>> file = portable(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU()).eval(), torch.rand(1, 3, 9, 9))
    >>> [(step["op"], step["shape"], step["relu"]) for step in program(file)["operations"]]
    [('convolution', [1, 8, 7, 7], True)]
    """
    _checks.floats(example, "example")
    trace = Trace(example := example.detach().clone().contiguous(), half)
    with torch.no_grad(), trace:
        outputs = list(_checks._tensors(model(example)))
    outputs = [trace.name(x) for x in outputs]
    depends = outputs and all(name.startswith("v") for name in outputs)
    _checks.need(depends, "model", "tensors that depend on the example", "a result that does not")
    operations, outputs = _used(*_joined(trace, outputs))
    strange = sorted({step["op"] for step in operations} - KNOWN)
    _checks.need(not strange, "model", "operations that network.js has", ", ".join(strange), "write it with others")
    kept = {name for step in operations for name in step["inputs"]}
    plan = {"input": list(example.shape), "operations": operations, "outputs": outputs}
    weights = {name: w for name, w in trace.weights.items() if name in kept}
    return _checks.optional("safetensors.torch").save(weights, metadata={"program": json.dumps(plan)})


def program(file: bytes) -> dict:
    """The program in a file of `portable`. Raises ValueError for bytes that are not such a file."""
    try:
        end = 8 + int.from_bytes(file[:8], "little")
        return json.loads(json.loads(file[8:end])["__metadata__"]["program"])
    except (KeyError, TypeError, ValueError):
        raise ValueError("file: needed bytes that `portable` made, got others") from None


class Trace(TorchDispatchMode):
    """The record of the operations on what depends on an example, written while they are computed.

    A storage is a value, and a tensor that shows a part of a storage is the operation ``strided`` of that value.
    """

    def __init__(self, example: Tensor, half: bool) -> None:
        super().__init__()
        self.half, self.operations, self.weights = half, [], {}
        self.values = {_storage(example): ("v0", example)}  # the tensors are kept, so that storages are not used again
        self.constants: dict[tuple, tuple[str, Tensor]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out, op = func(*args, **(kwargs or {})), func.overloadpacket.__name__
        given = [x for x in _checks._tensors([list(args), kwargs or {}]) if _storage(x) in self.values]
        if op == "_local_scalar_dense" and given and given[0].dtype != torch.bool:
            raise ValueError("model: needed values that stay tensors, got one that .item() reads; keep it a tensor")
        results = list(_checks._tensors([out]))
        view = all(_storage(x) in self.values for x in results) and not op.endswith("_")
        if not given or not results or view:
            return out
        if not op.endswith("_"):  # values lie row by row in the page: what is made of them here must find them so
            out = torch.utils._pytree.tree_map_only(Tensor, Tensor.contiguous, out)
            results = list(_checks._tensors([out]))
        given = {x.name: x.default_value for x in func._schema.arguments}
        given |= dict(zip(given, args, strict=False)) | (kwargs or {})
        names = self._write(op, given, results[0])
        for k, x in enumerate(results):
            name = names[k] if k < len(names) else self.emit(f"{func}, result {k}", [], x.shape)
            self.values[_storage(x)] = (name, x)
        return out

    def _write(self, op: str, given: dict, out: Tensor) -> list[str]:
        """The names of an operation's results. What no rule carries is written down too: nothing may come of it."""
        name = op.removesuffix("_") if op != "_to_copy" else op
        rule = RULES.get(name) or (_map if name in MAPS else _reduction if name in REDUCTIONS else None)
        if rule and op.endswith("_"):
            whole = self.values.get(_storage(out), (None, out[None]))[1]
            rule = rule if (out.shape, out.stride()) == (whole.shape, whole.stride()) else None
        names = rule(self, SimpleNamespace(op=name, **given), out) if rule else None
        return names or [self.emit(f"aten.{op}", [], out.shape)]

    def name(self, x: Tensor | float) -> str | float:
        """What an input is called, after its view has been written down."""
        if not isinstance(x, Tensor):
            return float(x) if math.isfinite(x) else self.constant(torch.tensor(float(x)))  # JSON has no infinity
        if _storage(x) not in self.values:
            return self.constant(x)
        name, whole = self.values[_storage(x)]
        if (x.shape, x.stride(), x.storage_offset()) == (whole.shape, whole.stride(), 0):
            return name
        return self.emit("strided", [name], x.shape, strides=list(x.stride()), offset=x.storage_offset())

    def constant(self, x: Tensor, half: bool = False) -> str:
        """The name of a tensor in the file."""
        key = (_storage(x), x.shape, x.stride(), x.storage_offset(), half)
        if key not in self.constants:
            kept = x.detach().to("cpu", torch.float16 if half else torch.float32).contiguous().clone()
            _checks.need(kept.isfinite().all() or not half, "model", "weights below 65,504", "others", "use half=False")
            self.constants[key] = (name := f"w{len(self.weights)}", x)
            self.weights[name] = kept
        return self.constants[key][0]

    def emit(self, op: str, inputs: list, shape: torch.Size, **attributes: Any) -> str:
        """Write an operation down. Returns the name of its result."""
        self.operations.append({"op": op, "inputs": inputs, "shape": list(shape), **attributes})
        return f"v{len(self.operations)}"


def _storage(x: Tensor) -> int:
    return x.untyped_storage()._cdata


# A rule writes an operation down and returns the names of its results, or None where it does not carry that kind.
# Its arguments are named as in torch's schema of the operation.


def _map(t: Trace, a: SimpleNamespace, out: Tensor) -> list[str] | None:
    if getattr(a, "alpha", 1) != 1 or getattr(a, "rounding_mode", None):
        return None
    inputs = [getattr(a, name) for name in ("condition", "self", "other", "exponent") if hasattr(a, name)]
    rectified = {"relu": False} if a.op == "add" else {}
    return [t.emit(a.op, [t.name(x) for x in inputs], out.shape, **rectified)]


def _same(t: Trace, a: SimpleNamespace, out: Tensor) -> list[str] | None:
    x = a.self
    kept = out.dtype == x.dtype or out.is_floating_point()  # a float made an integer is cut
    return [t.name(x)] if kept else None


def _reduction(t: Trace, a: SimpleNamespace, out: Tensor) -> list[str]:
    return [t.emit(a.op, [t.name(a.self)], out.shape, dims=_dims(a))]


def _extreme(t: Trace, a: SimpleNamespace, out: Tensor) -> list[str]:
    kinds = ["amax" if a.op == "max" else "amin", "argmax" if a.op == "max" else "argmin"]
    return [t.emit(kind, [t.name(a.self)], out.shape, dims=_dims(a)) for kind in kinds[: 1 + hasattr(a, "dim")]]


def _dims(a: SimpleNamespace) -> list[int]:
    dims = getattr(a, "dim", None)
    dims = [dims] if isinstance(dims, int) else dims or range(a.self.ndim)
    return sorted(d % a.self.ndim for d in dims)


def _softmax(t: Trace, a: SimpleNamespace, out: Tensor) -> list[str]:
    return [t.emit("softmax", [t.name(a.self)], out.shape, dims=_dims(a))]


def _clamp(t: Trace, a: SimpleNamespace, out: Tensor) -> list[str]:
    name = t.name(a.self)
    for op, bound in (("maximum", a.min), ("minimum", a.max)):
        name = name if bound is None else t.emit(op, [name, t.name(bound)], out.shape)
    return [name]


def _masked_fill(t: Trace, a: SimpleNamespace, out: Tensor) -> list[str]:
    return [t.emit("where", [t.name(a.mask), t.name(a.value), t.name(a.self)], out.shape)]


def _from(t: Trace, a: SimpleNamespace, out: Tensor) -> list[str] | None:
    return [t.emit("sub", [t.name(a.other), t.name(a.self)], out.shape)] if a.alpha == 1 else None


def _cat(t: Trace, a: SimpleNamespace, out: Tensor) -> list[str]:
    dim, tensors = a.dim % out.ndim, a.tensors
    if a.op == "stack":
        tensors = [x.unsqueeze(dim) for x in tensors]
    return [t.emit("cat", [t.name(x) for x in tensors if x.numel()], out.shape, dim=dim)]


def _gather(t: Trace, a: SimpleNamespace, out: Tensor) -> list[str]:
    return [t.emit("gather", [t.name(a.self), t.name(a.index)], out.shape, dim=a.dim % out.ndim)]


def _product(t: Trace, a: SimpleNamespace, out: Tensor) -> list[str] | None:
    left, right = (a.mat1, a.mat2) if a.op == "addmm" else (a.self, a.mat2)
    names = [t.name(x) if _storage(x) in t.values else t.constant(x, t.half and x.ndim == 2) for x in (left, right)]
    found = t.emit("matmul", names, out.shape)
    if a.op != "addmm":
        return [found]
    return [t.emit("add", [found, t.name(a.self)], out.shape)] if a.alpha == a.beta == 1 else None


def _convolution(t: Trace, a: SimpleNamespace, out: Tensor) -> list[str] | None:
    constant = all(x is None or _storage(x) not in t.values for x in (a.weight, a.bias))
    if a.transposed or out.ndim != 4 or not constant:
        return None
    inputs = [t.name(a.input), t.constant(a.weight, t.half), 1.0, 0.0 if a.bias is None else t.constant(a.bias)]
    sizes = {name: list(getattr(a, name)) for name in ("stride", "padding", "dilation")}
    kernel = list(a.weight.shape[2:])
    return [t.emit("convolution", inputs, out.shape, kernel=kernel, groups=a.groups, relu=False, **sizes)]


def _batch_norm(t: Trace, a: SimpleNamespace, out: Tensor) -> list[str]:
    """scale = γ / √(variance + ε), shift = β - scale · mean."""
    trained = a.training or a.running_mean is None
    _checks.need(not trained, "model", "evaluation mode", "normalisation by the batch", "use model.eval()")
    scale = (a.running_var.double() + a.eps).rsqrt() * (1 if a.weight is None else a.weight)
    shift = (0 if a.bias is None else a.bias) - scale * a.running_mean
    return [t.emit("affine", [t.name(a.input), t.constant(scale), t.constant(shift)], out.shape, relu=False)]


def _pool(t: Trace, a: SimpleNamespace, out: Tensor) -> list[str] | None:
    if getattr(a, "ceil_mode", False) or getattr(a, "divisor_override", None) or set(getattr(a, "dilation", [1])) > {1}:
        return None
    kernel = a.kernel_size
    sizes = {"kernel": list(kernel), "stride": list(a.stride or kernel), "padding": list(a.padding)}
    sizes = {name: values * (2 // len(values)) for name, values in sizes.items()}
    if a.op == "avg_pool2d" and any(sizes["padding"]):
        return None
    return [t.emit(a.op.removesuffix("_with_indices"), [t.name(a.self)], out.shape, **sizes)]


def _resize(t: Trace, a: SimpleNamespace, out: Tensor) -> list[str] | None:
    corners = bool(getattr(a, "align_corners", False))
    given = [next((s for s in (getattr(a, name, None),) if s), None) for name in ("scales_h", "scales_w")]
    exact = all(s is None or s * i == o for s, i, o in zip(given, a.self.shape[2:], out.shape[2:], strict=True))
    return [t.emit(a.op, [t.name(a.self)], out.shape, corners=corners)] if exact else None


def _grid_sample(t: Trace, a: SimpleNamespace, out: Tensor) -> list[str] | None:
    bilinear, border = a.interpolation_mode == 0, a.padding_mode == 1
    if not (bilinear and border and a.align_corners):
        return None
    return [t.emit(a.op, [t.name(a.input), t.name(a.grid)], out.shape)]


RULES = {
    "_softmax": _softmax, "_to_copy": _same, "_unsafe_view": _same, "clone": _same, "max": _extreme, "min": _extreme,
    "clamp": _clamp, "masked_fill": _masked_fill, "rsub": _from, "cat": _cat, "stack": _cat, "gather": _gather,
    "mm": _product, "bmm": _product, "addmm": _product, "convolution": _convolution, "native_batch_norm": _batch_norm,
    "max_pool2d_with_indices": _pool, "avg_pool2d": _pool, "upsample_nearest2d": _resize,
    "upsample_bilinear2d": _resize, "grid_sampler_2d": _grid_sample,
}  # fmt: skip


def _joined(t: Trace, outputs: list[str]) -> tuple[dict[str, dict], list[str]]:
    """The operations by name; batch normalisation is part of the convolution before it, ReLU of what it rectifies."""
    steps, alias = {f"v{k}": step for k, step in enumerate(t.operations, 1)}, {}
    uses = Counter([name for step in steps.values() for name in step["inputs"]] + outputs)
    for name, step in steps.items():
        given, step["inputs"] = step["inputs"], [alias.get(x, x) for x in step["inputs"]]
        before = steps.get(step["inputs"][0]) if given else None
        if not before or uses[given[0]] > 1 or before.get("relu", True):
            continue
        if step["op"] == "relu":
            before["relu"] = True
        elif step["op"] == "affine" and before["op"] == "convolution" and before["inputs"][2] == 1.0:
            shift, (scale, to) = before["inputs"][3], step["inputs"][1:]
            if shift:
                to = t.constant(t.weights[to] + t.weights[scale] * t.weights[shift])
            before["inputs"][2:] = [scale, to]
        else:
            continue
        alias[name] = step["inputs"][0]
    return {name: step for name, step in steps.items() if name not in alias}, [alias.get(x, x) for x in outputs]


def _used(steps: dict[str, dict], outputs: list[str]) -> tuple[list[dict], list[str]]:
    """The operations that the outputs need, numbered anew."""
    needed = set(outputs)
    for name in reversed(steps):
        if name in needed:
            needed |= {x for x in steps[name]["inputs"] if x in steps}
    number = {"v0": "v0"} | {name: f"v{k}" for k, name in enumerate((x for x in steps if x in needed), 1)}
    operations = [
        step | {"inputs": [number.get(x, x) for x in step["inputs"]]} for name, step in steps.items() if name in needed
    ]
    return operations, [number[name] for name in outputs]
