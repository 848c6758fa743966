"""A pytest plugin for nbval: printed references are compared as numbers, not as text.

    pytest --nbval-lax -p tests.chapters.as_numbers ...

Words must agree, spacing is free, and a number may differ by one unit of the last decimal place that is printed, since
rounding decides that digit by the last bit. Whole numbers agree exactly. A cell whose digits hang on more than that,
such as on where a search stops, states its relative tolerance beside itself:

    # %% tags=["nbval-check-output"] tolerance=0.05

With LDDMMLIB_KEEP_RUNS, a folder, the outputs of each chapter that ran to its end are kept there as `book/chapters.py`
keeps a run of its own: the gate's book is built from the very runs that were compared.
"""

import os
import re
import sys
import time
from collections import defaultdict
from pathlib import Path

from nbval.plugin import IPyNbCell

ROOT = Path(__file__).resolve().parents[2]
CELLS: dict[object, list[IPyNbCell]] = defaultdict(list)  # of each notebook
STARTED: dict[object, float] = {}

NUMBER = re.compile(r"[-−]?\d+(?:\.(?P<decimals>\d+))?(?:e(?P<exponent>[-+]?\d+))?")


def alike(text: str, reference: str, tolerance: float = 0.0) -> bool:
    """Whether two printed texts say the same.

    >>> alike("error   0.31 px", "error 0.30 px"), alike("error 0.32 px", "error 0.30 px"), alike("31", "30")
    (True, False, False)
    >>> alike("31 px", "30 px", tolerance=0.05), alike("31 px", "30 cells", tolerance=0.05)
    (True, False)
    """
    if words(text) != words(reference):
        return False
    pairs = zip(NUMBER.finditer(text), NUMBER.finditer(reference), strict=True)
    return all(near(found, wanted, tolerance) for found, wanted in pairs)


def words(text: str) -> list[str]:
    """What stands between the numbers; how many spaces a column needs hangs on its digits."""
    return [" ".join(part.split()) for part in NUMBER.split(text)[:: NUMBER.groups + 1]]


def near(found: re.Match, wanted: re.Match, tolerance: float) -> bool:
    """Whether two printed numbers differ by no more than the last decimal place or the tolerance."""
    a, b = (float(number[0].replace("−", "-")) for number in (found, wanted))
    decimals = wanted["decimals"] or ""
    place = 10.0 ** (int(wanted["exponent"] or 0) - len(decimals)) if decimals else 0.0
    return abs(a - b) <= max(1.001 * place, tolerance * max(abs(a), abs(b)))


class Printed(str):
    """A printed text that equals what is `alike`."""

    tolerance = 0.0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and alike(str(self), str(other), self.tolerance)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def pytest_collection_modifyitems(items) -> None:
    for item in items:
        if isinstance(item, IPyNbCell):
            item.sanitize = printed(item.sanitize, float(item.cell.metadata.get("tolerance", 0.0)))
            CELLS[item.parent].append(item)


def pytest_runtest_setup(item) -> None:
    STARTED.setdefault(item.parent, time.monotonic())


def pytest_runtest_teardown(item, nextitem) -> None:
    """After a notebook's last cell."""
    folder, book = os.environ.get("LDDMMLIB_KEEP_RUNS"), item.parent
    if not folder or not isinstance(item, IPyNbCell) or getattr(nextitem, "parent", None) is book:
        return
    outputs = [getattr(cell, "test_outputs", None) for cell in CELLS[book]]
    stopped = any(made is None or any(out["output_type"] == "error" for out in made) for made in outputs)
    if not stopped:
        sys.path.insert(0, str(ROOT / "book"))
        import chapters

        path = ROOT / "notebooks" / f"{Path(book.path).stem}.py"
        chapters.keep_elsewhere_run(path, outputs, time.monotonic() - STARTED[book], Path(folder))


def printed(sanitize, tolerance: float):
    """nbval's own clean-up of an output, made comparable."""

    def clean(output):
        text = sanitize(output)
        if not isinstance(text, str):
            return text
        text = Printed(text)
        text.tolerance = tolerance
        return text

    return clean
