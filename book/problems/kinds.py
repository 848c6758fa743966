"""What a problem consists of."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

POINTS = 10  # of every problem


class Problem(NamedTuple):
    """A problem with its key.

    Attributes:
        text: Markdown, for students.
        given: the numbers that were drawn, by name; nothing is printed from here.
        answers: what is asked for -> the value that lddmmlib computes.
        way: a sentence on how to come to it, with the function that computed the key.
        rubric: points, which add up to `POINTS`, and what they are for.
        tolerance: how far off an answer may be, relative to the larger of its value and one.
    """

    text: str
    given: dict[str, Any]
    answers: dict[str, float]
    way: str
    rubric: tuple[tuple[int, str], ...]
    tolerance: float = 0.01


def points(*rows) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def said(point) -> str:
    """A point as one writes it: (3, 4)."""
    return f"({', '.join(f'{v:g}' for v in point)})"
