"""A face of which half the landmarks are defined, and the few of them that stand for each of the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor

from lddmmlib import lars
from lddmmlib._shapes import Float
from lddmmlib.faces import schemes, statistics
from lddmmlib.widgets.base import Number, Numbers, StaticWidget

QUESTION = (
    "Predict before you try. Which defined landmarks stand for a point of the jaw: its two neighbours alone? And for "
    "the corner of an eye?\n"
    "Lower τ below 1: what becomes of Σh, and of a face that lies elsewhere in the image?\n"
    "From which τ on are there negative weights? How much does the error still fall from 1 to 1.4, and from 1.4 to 2?"
)

ALT = (
    "The mean face. One undefined landmark is ringed; discs on a few defined landmarks near it show by their area how "
    "much each one counts, blue for positive weights and orange for negative ones."
)

SCHEME = "300w-68"


class SparseFaceExplorer(StaticWidget):
    """One row h of H: an undefined landmark of 300-W faces from defined ones, under the budget |h|₁ ≤ τ.

        min over h of  E |h S - y|²   subject to  |h|₁ ≤ τ,

    the mean being over the faces of `statistics.real_300w`, not centred, x and y together: what
    `methods.sparse_shape_regression.fit_h` does with faces. defined: the landmarks S, every other one if None.
    Every other trait is state that the reader moves and that Python can read or set: ``selected``, the undefined
    landmark y, and the budget ``tau``.

    >>> explorer = SparseFaceExplorer(selected=9, tau=1.0)
    >>> explorer.weights().nonzero().flatten().tolist()  # its neighbours on the jaw
    [8, 10]
    """

    script = Path(__file__).with_suffix(".js")
    mean = Numbers()
    moment = traitlets.Bytes(help="E[x_i x_j + y_i y_j] for i ≤ j, doubles").tag(sync=True)
    lines = traitlets.List(help="curves, each the indices of its points").tag(sync=True)
    defined = traitlets.List(traitlets.Int()).tag(sync=True)
    selected = traitlets.Int(9, min=0).tag(sync=True)
    tau = Number(1.4, min=0.2, max=2.0)

    def __init__(self, defined: Sequence[int] | None = None, **traits) -> None:
        model, scheme = statistics.real_300w(), schemes.get(SCHEME)
        n = len(model.mean)
        moment = _moment(model)[tuple(torch.triu_indices(n, n))].numpy().astype("<f8").tobytes()
        lines = [[*curve, *curve[: name in scheme.closed]] for name, curve in scheme.curves.items()]
        shapes = {"mean": model.mean, "moment": moment, "lines": lines}
        defined = list(range(0, n, 2)) if defined is None else list(defined)
        start = {"question": QUESTION, "alt": ALT, "defined": defined}
        if "selected" not in traits and 9 in defined:
            start["selected"] = min(set(range(n)) - set(defined), default=0)
        super().__init__(**shapes, **start | traits)

    @traitlets.validate("defined", "selected")
    def _fits(self, proposal: traitlets.Bunch) -> object:
        """Different landmarks are defined, not all, and the selected one is not among them."""
        name, value, n = proposal["trait"].name, proposal["value"], len(self.mean)
        defined, selected = (value, self.selected) if name == "defined" else (self.defined, value)
        if name == "defined" and not (0 < len(set(value)) == len(value) < n and set(value) < set(range(n))):
            raise traitlets.TraitError(f"defined: needed some of the landmarks 0 to {n - 1}, each once; got {value}")
        if selected >= n or selected in defined:
            raise traitlets.TraitError(f"{name}: needed `selected` not among `defined`, got {selected} in {defined}")
        return value

    def weights(self) -> Float[Tensor, " n"]:
        """The row h over all landmarks, 0 for undefined ones."""
        moment, n = _moment(statistics.real_300w()), len(self.mean)
        h = torch.zeros(n, dtype=torch.float64)
        found = lars.budget(moment[self.defined][:, self.defined], moment[self.defined, self.selected], self.tau)
        h[self.defined] = found.coefs
        return h

    def values(self) -> dict[str, float]:
        """Σh, |h|₁, how many weights are not 0, and the rms error over faces in % of the eye corners' distance."""
        h, moment = self.weights(), _moment(statistics.real_300w())
        off = h.clone()
        off[self.selected] = -1
        error = 100 * (off @ moment @ off).clamp(min=0).sqrt()
        return {"sum": h.sum().item(), "size": h.abs().sum().item(), "used": int((h != 0).sum()), "error": error.item()}

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure = Figure(figsize=(4.2, 4.2))
        ax = figure.subplots()
        mean, h = np.array(self.mean), self.weights().numpy()
        for line in self.lines:
            ax.plot(*mean[line].T, color="0.7", linewidth=1)
        undefined = sorted(set(range(len(mean))) - set(self.defined))
        ax.scatter(*mean[self.defined].T, s=9, color="black", label="defined")
        ax.scatter(*mean[undefined].T, s=14, facecolors="white", edgecolors="0.5", label="undefined")
        colours = np.where(h > 0, plots.PALETTE[0], plots.PALETTE[1])
        ax.scatter(*mean.T, s=700 * abs(h), c=colours, alpha=0.6, linewidths=0)
        ax.scatter(*mean[self.selected], s=130, facecolors="none", edgecolors="black", linewidths=2)
        said = self.values()
        ax.set_title(f"τ = {self.tau:g}: Σh = {said['sum']:.3f}, rms error {said['error']:.2f} %", fontsize=10)
        ax.set(aspect="equal")
        ax.invert_yaxis()
        ax.set_axis_off()
        ax.legend(fontsize=8, loc="lower left")
        return figure


def _moment(model: statistics.ShapeModel) -> Float[Tensor, "n n"]:
    """E[x_i x_j + y_i y_j] over the model's faces: the Grams of x and of y, added."""
    n = len(model.mean)
    cov = model.covariance.reshape(n, 2, n, 2).diagonal(dim1=1, dim2=3).sum(-1)
    return cov + model.mean @ model.mean.T
