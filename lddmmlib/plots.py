"""Plots of faces and of errors, in matplotlib. Each function draws on the axes that it is given.

A figure in a chapter has its alt text in the cell that draws it: ``mystnb={"image": {"alt": "..."}}``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lddmmlib import _checks, metrics
from lddmmlib._shapes import Float
from lddmmlib.faces import schemes
from lddmmlib.faces.schemes import Scheme

plt = _checks.optional("matplotlib.pyplot")
Axes = plt.Axes

# Okabe and Ito's eight colours, distinct for colour-blind readers too; yellow last, because it is faint on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
STYLE = {
    "axes.prop_cycle": plt.cycler(color=PALETTE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "figure.figsize": (7.0, 3.2),
    "font.size": 10,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


def face(
    ax: Axes, points: Float[Tensor, "n 2"], scheme: str | Scheme, colour: str | None = None, label: str = "",
    size: float = 9.0,
) -> None:  # fmt: skip
    """Draw one face: its curves as lines, its landmarks as dots, y downwards as in an image.

    Args:
        ax: the axes; several faces may share them.
        points: (n, 2), landmarks in any unit; NaN is ignored.
        scheme: the annotation scheme, or its name, such as "300w-68".
        colour: one colour for the whole face; by default each curve has the colour of its scheme.
        label: the text in the legend.
        size: area of a dot in square points; 0 draws lines only.

    Raises:
        ValueError: the scheme is unknown or has another number of landmarks.

    >>> import matplotlib.pyplot as plt
    >>> from lddmmlib.faces import statistics
    >>> figure, ax = plt.subplots()
    >>> face(ax, statistics.real_300w().mean, "300w-68")
    >>> len(ax.lines) == len(schemes.get("300w-68").curves)
    True
    >>> plt.close(figure)
    """
    scheme = schemes.get(scheme)
    _checks.points(points, "points", scheme.n, nan=True)
    xy = points.detach().cpu()
    for name, line in scheme.lines(xy).items():
        ax.plot(*line.T, color=colour or scheme.colours[name], zorder=2)
    if size:
        ax.scatter(*xy.T, s=size, color=colour or "#333333", zorder=3, label=label or None)
    elif label:
        ax.plot([], [], color=colour, label=label)
    ax.set_aspect("equal")
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
    ax.set_axis_off()


def ced(ax: Axes, errors: Mapping[str, Float[Tensor, " m"]], threshold: float, normaliser: str) -> None:
    """Draw cumulative error distributions, one line a method.

    The legend gives each method's exact AUC.

    Args:
        ax: the axes.
        errors: from the name of a method to the NME of each image (m,), fractions.
        threshold: the end of the axis of errors, a fraction.
        normaliser: the name of the normaliser for the axis, since an error without it has no meaning.

    >>> import matplotlib.pyplot as plt
    >>> figure, ax = plt.subplots()
    >>> ced(ax, {"A": torch.tensor([0.02, 0.04])}, 0.1, "corners")
    >>> ax.get_legend_handles_labels()[1]
    ['A: AUC 70.0 %']
    >>> plt.close(figure)
    """
    thresholds = torch.linspace(0, threshold, 501)
    for name, e in errors.items():
        auc = 100 * metrics.auc(e, threshold).item()
        ax.plot(100 * thresholds, 100 * metrics.ced(e, thresholds), label=f"{name}: AUC {auc:.1f} %")
    ax.set(xlim=(0, 100 * threshold), ylim=(0, 100), xlabel=f"NME by {normaliser} (%)", ylabel="images at or below (%)")
    ax.legend(loc="lower right")
