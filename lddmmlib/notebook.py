"""The few things that every chapter uses: a start, a check of an answer, a look at a recorded result."""

from __future__ import annotations

import json
import textwrap

import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib.experiments import provenance


def start(seed: int = 0) -> torch.Generator:
    """Set the pictures' style and return the random generator that the chapter draws from.

    >>> torch.rand(2, generator=start(0)).tolist() == torch.rand(2, generator=start(0)).tolist()
    True
    """
    plt = _checks.optional("matplotlib.pyplot")

    from lddmmlib import plots

    plt.rcParams.update(plots.STYLE)
    return torch.Generator().manual_seed(seed)


def check(answer: object, expected: Tensor | float, tolerance: float = 1e-6) -> None:
    """Say whether an exercise's answer is the expected one, to a relative ``tolerance``; ``...`` is "not yet".

    >>> check(..., 1.0)
    Not yet: put your answer where the ... stands.
    >>> check(0.5, 1.0)
    Not quite: expected 1, got 0.5.
    >>> check([1, 2], torch.tensor([1.0, 2.0]))
    Right.
    """
    if answer is ...:
        print("Not yet: put your answer where the ... stands.")
        return
    a, e = (torch.as_tensor(v, dtype=torch.float64) for v in (answer, expected))
    if a.shape != e.shape:
        print(f"Not quite: expected shape {tuple(e.shape)}, got {tuple(a.shape)}.")
    elif torch.allclose(a, e, rtol=tolerance, atol=tolerance, equal_nan=True):
        print("Right.")
    else:
        i = (a - e).abs().nan_to_num(float("inf")).argmax()
        where = f" at {tuple(int(k) for k in torch.unravel_index(i, a.shape))}" if a.ndim else ""
        print(f"Not quite: expected {e.flatten()[i]:.6g}, got {a.flatten()[i]:.6g}{where}.")


def result(name: str) -> dict:
    """The figures of a recorded run, ``book/results/NAME.json``; says when, where and on what they were measured.

    Raises ValueError, with the names that there are, for a result that was never recorded.

    >>> figures = result("shape_spread")
    On 2,800 of the 300-W training annotations, 68 points, integer coordinates.
    ...
    >>> figures["count"]
    2800
    """
    _checks.one_of(name, "result", sorted(path.stem for path in provenance.RESULTS.glob("*.json")))
    record = json.loads((provenance.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    source = record["provenance"]
    print(*textwrap.wrap(f"On {source['data']}.", 80), sep="\n")
    print(f"{source['date']}, {source['machine']}, torch {source['torch']}, commit {source['commit'][:7]}")
    return record["figures"]
