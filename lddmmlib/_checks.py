"""What is refused at the door: each message says what was needed, what came, and how to mend it."""

import difflib
import importlib
from collections.abc import Collection
from types import ModuleType

import torch
from torch import Tensor


def points(x: Tensor, name: str, n: int | None = None, *, nan: bool = False) -> None:
    """Refuse ``x`` unless it is a floating tensor (..., n, 2) of finite numbers (``nan``: or NaN, for missing)."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: needed a torch tensor, got {type(x).__name__}; wrap it with torch.as_tensor(...)")
    if not x.is_floating_point():
        raise TypeError(f"{name}: needed floating-point coordinates, got {x.dtype}; use {name}.double()")
    if x.ndim < 2 or x.shape[-1] != 2:
        raise ValueError(f"{name}: needed points of shape (..., n, 2), got {tuple(x.shape)}")
    if x.shape[-2] == 0 or (n is not None and x.shape[-2] != n):
        wanted = "at least one point" if n is None else f"{n} points"
        raise ValueError(f"{name}: needed {wanted}, got {x.shape[-2]} (shape {tuple(x.shape)})")
    bad = torch.isinf(x) if nan else ~torch.isfinite(x)
    if bad.any():
        where = tuple(bad.nonzero()[0].tolist())
        mend = "mark missing landmarks by NaN" if nan else "drop or mask the missing points first"
        raise ValueError(f"{name}: needed finite coordinates, got {x[where].item()} at {where}; {mend}")


def alike(**tensors: Tensor) -> None:
    """Refuse points (..., n, 2) that are not all of one batch, dtype and device."""
    (first, x), *others = tensors.items()
    points(x, first)
    for name, y in others:
        points(y, name)
        same(**{first: x, name: y})
        if y.shape[:-2] != x.shape[:-2]:
            got = f"{tuple(x.shape[:-2])} and {tuple(y.shape[:-2])} (shapes {tuple(x.shape)} and {tuple(y.shape)})"
            raise ValueError(f"{first}, {name}: needed the same batch axes, got {got}; expand one to the other")


def floats(x: object, name: str) -> None:
    """Refuse what is not a tensor of single or double precision."""
    if not isinstance(x, Tensor) or x.dtype not in (torch.float32, torch.float64):
        got = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{name}: needed a tensor of single or double precision, got {got}; use {name}.float()")


def same(**two: Tensor) -> None:
    """Refuse two tensors that are not of one dtype and device."""
    (a, x), (b, y) = two.items()
    if (x.dtype, x.device) != (y.dtype, y.device):
        got = f"{x.dtype} on {x.device} and {y.dtype} on {y.device}"
        raise ValueError(f"{a}, {b}: needed one dtype and device, got {got}; use {b}.to({a})")


def positive(value: float, name: str) -> None:
    """Refuse ``value`` unless it is a finite number above zero."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name}: needed a number > 0, got {value}")


def one_of(value: object, name: str, choices: Collection) -> None:
    """Refuse ``value`` unless it is among ``choices``, which the message lists."""
    if value not in choices:
        raise ValueError(f"{name}: needed one of {', '.join(map(repr, choices))}; got {value!r}")


def keywords(given: Collection[str], known: Collection[str], name: str) -> None:
    """Refuse keywords that ``name`` does not take; name the nearest one, and all."""
    for word in (word for word in given if word not in known):
        near = difflib.get_close_matches(word, known, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise TypeError(
            f"{name}: needed keywords among {', '.join(sorted(k for k in known if k[0] != '_'))}; got {word}{meant}"
        )


def optional(module: str, otherwise: str = "") -> ModuleType:
    """Import a package that `pip install lddmmlib` alone does not bring; ImportError says which install does."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        mend = " or ".join(filter(None, ["pip install 'lddmmlib[full]'", otherwise]))
        raise ImportError(f"{module}: needed this package, cannot import it ({error}); {mend}", name=module) from error
