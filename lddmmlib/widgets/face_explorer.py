"""A head that the reader turns and moves, with the landmarks of any annotation scheme on it."""

from __future__ import annotations

import zlib
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor

from lddmmlib._shapes import Bool, Float
from lddmmlib.faces import geometry, placements, schemes
from lddmmlib.faces.geometry import contour, curves, face3d, head, surface
from lddmmlib.widgets.base import Number, Numbers, StaticWidget

QUESTION = (
    "Predict before you try. Turn the head: which jaw points stop being places of the skull and become places of "
    "the outline?\n"
    "Let the mouth pout, then close the eyes: which schemes see it, and which have hardly a point to see it with?\n"
    "Which landmarks hide first, by yaw and by pitch?"
)

ALT = (
    "A modelled head, shaded, with its boundary curves and the landmarks of an annotation scheme: filled where they "
    "are seen, hollow where the head hides them or where the jaw's outline has slid off the jaw itself."
)

WIDTH, HEIGHT = 280, 300  # px of the picture
SCALE = 102.0  # px per eye-corner distance
MIDDLE, SEEN_AT = (0.0, 0.0, -0.65), (139.5, 139.5)  # the head turns about this point, seen here
DEGREES = {name: round(float(np.degrees(limit)), 9) for name, limit in geometry.LIMITS.items()}
SLIDERS = 6  # of the identity parameters, which begin with those that move most
FACES = 24  # random ones at hand


class FaceExplorer(StaticWidget):
    """A face that moves under the reader's hand: identity, expression and pose, and what each scheme sees of it.

    Every trait is state that the reader moves and that Python can read or set: ``identity`` (25,) and ``expression``
    (10,) as `faces.geometry.Face3D` takes them; ``yaw``, ``pitch`` and ``roll`` in degrees; ``scheme``, a name of
    `faces.schemes`; ``numbers``, whether landmarks are numbered. The picture is 280 px wide and 300 px high.

    >>> explorer = FaceExplorer(yaw=40.0, scheme="wflw-98")
    >>> points, seen = explorer.landmarks()
    >>> points.shape, bool(seen.all())
    (torch.Size([98, 2]), False)
    """

    script = Path(__file__).with_suffix(".js")
    identity = Numbers([0.0] * geometry.IDENTITIES)
    expression = Numbers([0.0] * len(geometry.EXPRESSIONS))
    yaw = Number(0.0, min=-DEGREES["yaw"], max=DEGREES["yaw"])
    pitch = Number(0.0, min=-DEGREES["pitch"], max=DEGREES["pitch"])
    roll = Number(0.0, min=-DEGREES["roll"], max=DEGREES["roll"])
    scheme = traitlets.Enum(tuple(placements.SCHEMES), "300w-68").tag(sync=True)
    numbers = traitlets.Bool(False).tag(sync=True)
    faces = traitlets.List(help="random faces at hand").tag(sync=True)
    tables = traitlets.Dict(help="names and constants of faces.geometry").tag(sync=True)
    arrays = traitlets.Bytes(help="arrays of faces.geometry, deflated").tag(sync=True)

    def __init__(self, **traits) -> None:
        sent = {"faces": _faces(), "tables": _tables(), "arrays": _packed()}
        super().__init__(**{"question": QUESTION, "alt": ALT} | sent | traits)

    @traitlets.validate("identity", "expression")
    def _fits(self, proposal: traitlets.Bunch) -> list[float]:
        """What `Face3D` takes."""
        try:
            geometry.Face3D(**{proposal["trait"].name: proposal["value"]})
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from None
        return proposal["value"]

    def face(self) -> geometry.Face3D:
        """The face as it stands, framed in the picture."""
        pose = {name: float(np.radians(getattr(self, name))) for name in DEGREES}
        face = geometry.Face3D(self.identity, self.expression, **pose, scale=SCALE)
        middle = geometry.to_camera(face, np.array(MIDDLE))[:2]
        return replace(face, centre=np.array(SEEN_AT) - middle)

    def landmarks(self) -> tuple[Float[Tensor, "n 2"], Bool[Tensor, " n"]]:
        """Points (n, 2), px, of the chosen scheme, and whether each is visible (n,)."""
        return geometry.landmarks(self.face(), self.scheme)

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        figure = Figure(figsize=(3, 3 * HEIGHT / WIDTH))
        ax = figure.subplots()
        face, (points, seen) = self.face(), self.landmarks()
        _relief(ax, face)
        t = torch.linspace(0, 1, 49)
        for name in _drawn():
            drawn = geometry.visible(face, name, t) | (t.new_tensor(name == "jaw") > 0)
            line = geometry.curve(face, name, t)[:, :2].where(drawn[:, None], torch.nan)
            ax.plot(*line.T, color="#222832", linewidth=0.8)
        for which, fill in ((seen, plots.PALETTE[0]), (~seen, "none")):
            ax.scatter(*points[which].T, s=11, facecolor=fill, edgecolor=plots.PALETTE[0], linewidth=1, zorder=3)
        ax.set(xlim=(0, WIDTH - 1), ylim=(HEIGHT - 1, 0), aspect="equal")
        ax.set_axis_off()
        return figure


def _drawn() -> list[str]:
    """The curves of the static picture."""
    others = (*placements.BANDS, "crown")
    return [name for name in geometry.CURVES if not name.endswith(("_pupil", "_neck")) and name not in others]


def _relief(ax, face: geometry.Face3D) -> None:
    """The mesh in grey, lit from the upper left, far triangles first."""
    from matplotlib.collections import PolyCollection

    vertices, triangles = geometry.mesh(face)
    corners = vertices[triangles]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal = normal * normal[:, 2:].sign() / normal.norm(dim=1, keepdim=True).clamp(min=1e-9)
    light = (normal @ torch.tensor([-0.4, -0.5, 0.77], dtype=torch.float64)).clamp(min=0)
    order = corners[:, :, 2].mean(1).argsort()
    grey = (0.6 + 0.32 * light)[order].mul(40).round().div(40).numpy()[:, None].repeat(3, 1)
    flat = corners[order][:, :, :2].numpy()
    ax.add_collection(PolyCollection(flat, facecolors=grey, edgecolors=grey, linewidths=0.4))


# ------------------------------------------------------------------------------------------ what the script is sent


@cache
def _faces() -> list[dict]:
    """Random faces as the library draws them, their numbers rounded: pose in degrees."""
    rng = np.random.default_rng(7)
    faces = (geometry.sample(rng) for _ in range(FACES))
    return [
        {name: getattr(face, name).round(2).tolist() for name in ("identity", "expression")}
        | {name: round(float(np.degrees(getattr(face, name)))) for name in DEGREES}
        for face in faces
    ]


@cache
def _tables() -> dict:
    """Names and constants that the script shares with `faces.geometry`."""
    return {
        "knots": {name: list(t) for name, t in head.KNOTS.items()},
        "rows": {name: rows.start for name, rows in head.ROWS.items()},
        "expressions": list(head.EXPRESSIONS),
        "bounds": [list(b) for b in head.EXPRESSIONS.values()],
        "degrees": DEGREES,
        "gaze": [float(v) for v in head.GAZE],
        "eyeball": head.EYEBALL, "iris": head.IRIS, "lid": head.LID, "seam": head.SEAM,
        "lip": head.LIP, "opening": head.OPENING,
        "grid": contour.GRID.tolist(), "rounds": contour.ROUNDS,
        "slides": list(curves.SLICED["jaw"][1:]),
        "neckShare": list(face3d.NECK_SHARE), "pivot": list(face3d.NECK_PIVOT),
        "hairline": list(curves.HAIRLINE), "standsBefore": geometry.STANDS_BEFORE,
        "bands": list(placements.BANDS),
        "schemes": {name: _placed(name) for name in placements.SCHEMES},
        "regions": list(surface.REGIONS),
        "picture": {"width": WIDTH, "height": HEIGHT, "scale": SCALE, "middle": list(MIDDLE), "at": list(SEEN_AT)},
        "sliders": SLIDERS,
        "before": _before(),
        "sizes": [[name, len(array)] for name, array in _arrays().items()],
    }  # fmt: skip


def _placed(scheme: str) -> list[list]:
    """Curve and t of each landmark."""
    return [[p.curve, round(float(p.t), 12)] for p in schemes.get(scheme).placements]


def _before() -> int:
    """How many vertices come before those between the curves, which are the skin's last."""
    m = surface.mesh()
    skin = int(m.triangles[m.region <= 1].max()) + 1  # regions 0 and 1 are the skin, front and back
    return skin - len(_fill())


def _fill() -> Tensor:
    with np.load(head.FACTS) as file:
        return torch.from_numpy(file["fill"]).double()


@cache
def _arrays() -> dict[str, np.ndarray]:
    """The numbers of every face, flat. The mesh but for the skin between the curves is sparse in the knots, and that
    skin is the thin-plate spline of its controls, which are sparse too (`faces.geometry.surface`)."""
    (mean, bases, moves), m, fill = head.facts(), surface.mesh(), _fill()
    direct = torch.cat([m.weights[: _before()], m.weights[_before() + len(fill) :]])
    with np.load(head.FACTS) as file:
        pull, give = surface.controls(torch.from_numpy(file["chart"]).double())
    return {
        "mean": _flat(mean), "bases": _flat(bases), "moves": _flat(moves), "slip": _flat(head.slip()),
        "fill": _flat(fill), "controls": _flat(pull.chart), "give": _flat(give),
        "constant": _flat(m.constant), "triangles": _flat(m.triangles), "region": _flat(m.region),
        **_sparse("direct", direct), **_sparse("pull", pull.weights),
    }  # fmt: skip


def _flat(x: Tensor) -> np.ndarray:
    return x.numpy().astype("<f4").ravel()


def _sparse(name: str, matrix: Tensor) -> dict[str, np.ndarray]:
    """Where each row starts, and the columns and values of what is not zero."""
    rows = [row.nonzero().flatten() for row in matrix.where(matrix.abs() > 1e-12, 0.0)]
    starts = np.cumsum([0, *(len(r) for r in rows)])
    values = [row[i] for row, i in zip(matrix, rows, strict=True)]
    parts = (torch.from_numpy(starts), torch.cat(rows), torch.cat(values))
    return {f"{name}.{part}": _flat(x) for part, x in zip(("starts", "columns", "values"), parts, strict=True)}


@cache
def _packed() -> bytes:
    """All arrays in one, deflated: first the lowest byte of every number, then the next ones, which packs better."""
    numbers = np.concatenate(list(_arrays().values()))
    return zlib.compress(numbers.view(np.uint8).reshape(-1, 4).T.tobytes(), 9)
