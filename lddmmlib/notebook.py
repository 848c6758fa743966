"""Helpers that every chapter uses: a start, a check of an answer, access to a recorded result."""

from __future__ import annotations

import json
import textwrap

import torch
from torch import Tensor

from lddmmlib import _checks
from lddmmlib.experiments import _record


def start(seed: int = 0) -> torch.Generator:
    """Set the style of the figures and return the random generator of the chapter.

    Args:
        seed: the seed of the generator.

    >>> torch.rand(2, generator=start(0)).tolist() == torch.rand(2, generator=start(0)).tolist()
    True
    """
    plt = _checks.optional("matplotlib.pyplot")

    from lddmmlib import plots

    plt.rcParams.update(plots.STYLE)
    return torch.Generator().manual_seed(seed)


def check(answer: object, expected: Tensor | float, tolerance: float = 1e-6) -> None:
    """Print whether the answer to an exercise is right, and if not, how it differs; the expected answer is not
    revealed.

    Args:
        answer: a number, or a list, array or tensor of numbers; ``...`` anywhere in it counts as "not yet".
        expected: the right answer.
        tolerance: the relative and absolute difference that still counts as right.

    >>> check(..., 1.0)
    Not yet: put your answer where the ... stands.
    >>> check(0.5, 1.0)
    Not quite: it is too small.
    >>> check([1, 2, -3], torch.tensor([1.0, 2.0, 3.0]))
    Not quite: the first 2 are right; number 3 has the wrong sign.
    >>> check([1, 2], torch.tensor([1.0, 2.0]))
    Right.
    """
    print(_verdict(answer, expected, tolerance))


def _verdict(answer: object, expected: Tensor | float, tolerance: float) -> str:
    if _unanswered(answer):
        return "Not yet: put your answer where the ... stands."
    e = torch.as_tensor(expected, dtype=torch.float64).detach()
    needed = "one number" if e.ndim == 0 else f"{len(e)} numbers" if e.ndim == 1 else f"shape {tuple(e.shape)}"
    try:
        a = torch.as_tensor(answer, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        return f"Not quite: {needed} needed, and {type(answer).__name__} does not convert to that."
    if a.shape != e.shape:
        return f"Not quite: {needed} needed, got {'one number' if a.ndim == 0 else f'shape {tuple(a.shape)}'}."
    a, e = a.flatten(), e.flatten()
    right = torch.isclose(a, e, rtol=tolerance, atol=tolerance, equal_nan=True)
    if right.all():
        return "Right."
    k = int((~right).nonzero()[0])
    before = f"the first {k} are right; " if k > 1 else "the first is right; " if k else ""
    return f"Not quite: {before}{'it' if len(e) == 1 else f'number {k + 1}'} {_way(a[k], e[k], tolerance)}."


def _unanswered(answer: object) -> bool:
    return answer is ... or (isinstance(answer, list | tuple) and any(map(_unanswered, answer)))


def _way(a: Tensor, e: Tensor, tolerance: float) -> str:
    """A description of how a number differs from another."""
    if not a.isfinite():
        return "is not a finite number"
    if torch.isclose(a, -e, rtol=tolerance, atol=tolerance):
        return "has the wrong sign"
    far = "far " if a.abs() > 10 * e.abs() or 10 * a.abs() < e.abs() else ""
    return f"is {far}too {'large' if a > e else 'small'}"


def result(name: str) -> dict:
    """Return the figures of a recorded result, ``book/results/NAME.json``, and print when and on what they were
    measured.

    Args:
        name: the name of the result.

    Raises:
        ValueError: a result that was never recorded; the message lists the recorded ones.

    >>> figures = result("shape_spread")
    On 2,800 of the 300-W training annotations, 68 points, integer coordinates.
    ...
    >>> figures["count"]
    2800
    """
    _checks.one_of(name, "result", sorted(path.stem for path in _record.RESULTS.glob("*.json")))
    record = json.loads((_record.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    source = record["provenance"]
    print(*textwrap.wrap(f"On {source['data']}.", 80), sep="\n")
    print(f"{source['date']}, {source['machine']}, torch {source['torch']}, commit {source['commit'][:7]}")
    return record["figures"]


def recorded(name: str, *scales: str) -> dict[str, dict]:
    """Return the figures of a training experiment by the scale of its runs, the largest scale first; {} where it was
    not run yet, which is printed.

    Args:
        name: the name of the experiment.
        scales: those that it has; none: full, workstation, notebook.

    >>> list(recorded("coupled_regression", "workstation"))
    workstation: not run yet
    ['workstation']
    """
    runs = {}
    for scale in scales or ("full", "workstation", "notebook"):
        there = (_record.RESULTS / f"{name}.{scale}.json").is_file()
        runs[scale] = result(f"{name}.{scale}") if there else {}
        if not there:
            print(f"{scale}: not run yet")
    return runs
