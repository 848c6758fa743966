"""Conversion of annotated faces to another scheme, or to the union of several: `python -m lddmmlib.data convert`.

A face labels some landmarks K of the wanted ones; the others, M, are completed from a first guess S⁰ of the whole
shape and from how far the labels lie from it, by a sparse matrix H with |h|₁ ≤ τ for each row (`by_deviations`):

    S_M = S⁰_M + H (S_K - S⁰_K).

- **From shapes alone**, S⁰ is the mean shape of the teachers, moved onto the labels by a similarity.
- **From images, too**, S⁰ is the prediction of a trained cascade (`coupled_regression`). Trained on few photographs, it
  may tell less than shapes alone: compare the errors that both report for hidden labels.

H is fitted to deviations from the mean shape of faces that have both, K and M, its teachers: faces among the records,
of which at least `FEWEST` are needed; where there are too few, the completed training shapes of the cascade, or drawn
faces if they were asked for. As the weights are numbers, the same for x and y, the result turns, moves and grows with
the photograph. Paper B fits H to whole shapes instead, with the same budget; by deviations, landmarks beyond the
labelled ones (a jaw from the inner face) need no large weights.

Labels are never changed, and a completed landmark never teaches: neither those of this conversion nor those that an
earlier one marked. Schemes share the landmarks that share a placement (`schemes.shared`). Where two annotations of a
face label one landmark, that of the earlier record counts.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lddmmlib import _checks, metrics
from lddmmlib._checks import need
from lddmmlib._shapes import Bool
from lddmmlib.data import coco_writer, crops
from lddmmlib.data.augment import Photos
from lddmmlib.data.records import Record
from lddmmlib.faces import geometry, schemes, synthetic
from lddmmlib.faces.placements import SCHEMES, Placement
from lddmmlib.faces.statistics import similarity
from lddmmlib.methods import coupled_regression as coupled
from lddmmlib.methods.completed_training import by_deviations

FEWEST = 10  # faces that teach
MEASURED = 200  # faces, at most, on which hidden labels are measured


class Report(NamedTuple):
    """The result of a conversion. A row tells of landmarks that the faces of one set of labels lack.

    Each row has the number of landmarks `labelled`, of `faces`, and of landmarks `completed`; who they were `taught_by`
    ("labels", "cascade" or "drawn faces") and the number of `teachers`; and two errors in % of the face's size, (w +
    h)/2 of the box of its labelled landmarks. `error_percent`: of the completed landmarks, on every fifth teacher, held
    out; None for a cascade's. `hidden_percent`: of every fifth labelled landmark of these very faces, hidden and
    completed; None if they have fewer than five. If the cascade was trained on these faces, it has seen the latter.

    >>> Report(target="cofw-29", faces=1, whole=1, rows=[]).whole
    1
    """

    target: str  #: a scheme, or several joined by "+"
    faces: int
    whole: int  #: faces with nothing to complete
    rows: list[dict[str, Any]]


def completed(record: Record) -> Bool[Tensor, " n"]:
    """A mask (n,) of the landmarks that a conversion completed; those with a position that are not in it are labels.

    >>> face = Record(image=None, landmarks=torch.zeros(3, 2).double(), visible=torch.ones(3).bool(), box=None,
    ...               scheme=None, attributes={"completed": [1]}, source="")
    >>> completed(face)
    tensor([False,  True, False])
    """
    mask = torch.zeros(len(record.landmarks), dtype=torch.bool)
    mask[torch.tensor(record.attributes.get("completed", []), dtype=torch.long)] = True
    return mask


def placements(name: str) -> list[Placement]:
    """The placements of the landmarks of a scheme, or of the union of several joined by "+": first those of the first.

    >>> len(placements("300w-68+cofw-29"))
    80
    """
    _checks.kind(name, "target", str)  # own landmarks have no placements
    return list(dict.fromkeys(p for part in name.split("+") for p in schemes.get(part).placements))


def convert(
    records: Sequence[Record], target: str, out: str | Path, *, tau: float = 1.4, drawn: int = 0,
    cascade: str | Path | None = None, root: str | Path | None = None, progress: bool = False,
) -> Report:  # fmt: skip
    """Complete faces to a scheme, and write them as COCO keypoint json.

    The records of one image in different schemes that lie on each other are one face. In the json, a completed landmark
    has v = 1 and stands in the face's attribute "completed" (`completed` reads it); labels and attributes are as they
    were. The attribute "union" names a union that is no scheme. Interrupted, the same call resumes with the
    images that are left; finished, it returns at once.

    Args:
        records: the faces (`formats.read`); NaN where a landmark is not labelled.
        target: a scheme; several, joined by "+"; or "union", of the schemes of the records.
        out: the json to write. Other files there, such as an original, are never replaced.
        tau: the budget of a row of H.
        drawn: the number of drawn faces that teach what too few faces label; 0: such landmarks are refused.
        cascade: the ``coupled.pt`` of a trained cascade whose landmarks are those of the target, in its order; None:
            from shapes alone.
        root: the folder that the images' names are relative to; None: the folder of `out`.
        progress: whether to show a bar.

    Returns:
        A `Report`, which the json keeps, too (``conversion``).

    Raises:
        FileExistsError: `out` exists and is not the result of this very call.
        ValueError: an unknown scheme; a face without an image, with fewer than two labels, or with NaN in one
            coordinate alone; an image outside `root`; landmarks that too few faces teach; a cascade of others.

    Paper B, equations 7, 8 and 12-14, for deviations.

    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from lddmmlib.data import formats, images
    >>> folder, faces = TemporaryDirectory(), []
    >>> for i in range(12):
    ...     images.save(np.zeros((99, 99, 3), np.uint8), Path(folder.name, f"{i}.png"))
    ...     x = 40 + 10 * torch.randn(19, 2, generator=torch.Generator().manual_seed(i)).double()
    ...     faces += [Record(image=Path(folder.name, f"{i}.png"), landmarks=x, visible=torch.ones(19).bool(), box=None,
    ...                      scheme="aflw-19", attributes={}, source=f"face {i}")]
    >>> faces[0].landmarks[3], faces[0].visible[3] = torch.nan, False
    >>> report = convert(faces, "aflw-19", Path(folder.name, "faces.json"))
    >>> report.whole, [(row["labelled"], row["completed"], row["teachers"]) for row in report.rows]
    (11, [(18, 1, 11)])
    >>> completed(formats.read(Path(folder.name, "faces.json"))[0]).nonzero().tolist()
    [[3]]
    >>> folder.cleanup()
    """
    _checks.kind(target, "target", str)  # own landmarks have no placements
    out = Path(out).absolute()
    need(out.parent.is_dir(), "out", "a file in a folder that exists", out)
    need(isinstance(tau, int | float) and tau >= 0, "tau", "a budget >= 0 for |h|₁, inf for none", tau)
    _checks.whole(drawn, "drawn", 0)
    need(drawn == 0 or drawn >= FEWEST, "drawn", f"0, or {FEWEST} faces or more", drawn)
    part, root = out.with_name(f".{out.name}.part"), out.parent if root is None else Path(root).absolute()
    faces = _Faces(list(records), target, tau, drawn, cascade, root, part, progress)
    if out.exists():
        made = out.read_text(encoding="utf-8", errors="replace")
        if f'"identity": "{faces.identity}"' not in made:
            raise FileExistsError(f"out: needed a new file, or one of this very call, got {out}; give another name")
        return Report(**json.loads(made)["conversion"][0]["report"])
    rows = faces.complete()
    report = Report(target=faces.target, faces=len(faces.own), whole=int(faces.whole.sum()), rows=rows)
    pictures = {entry["file_name"]: entry for entry, _ in faces.looked}
    pictures = {name: {"id": i} | entry for i, (name, entry) in enumerate(pictures.items(), 1)}
    annotations = []
    for i, ((entry, _), face) in enumerate(zip(faces.looked, faces.results(), strict=True), 1):
        ids = {"id": i, "image_id": pictures[entry["file_name"]]["id"], "category_id": 1}
        annotations.append(ids | coco_writer._annotation(face))
    lists = {"images": [*pictures.values()], "annotations": annotations, "categories": [_category(faces.target)]}
    coco_writer._replace(out, lists | {"conversion": [{"identity": faces.identity, "report": report._asdict()}]})
    part.unlink()
    return report


def _category(target: str) -> dict:
    """The only category of the json; the skeleton is that of the first scheme, whose landmarks come first."""
    parts = [schemes.get(part) for part in target.split("+")]
    names = {p: name for scheme in parts[::-1] for p, name in zip(scheme.placements, scheme.names, strict=True)}
    return coco_writer._category(parts[0]) | {"keypoints": [names[p] for p in placements(target)]}


# ------------------------------------------------------------------------------------------------------- the faces


class _Faces:
    """The faces of the records in all landmarks that count, `order`: first those of the target."""

    def __init__(self, records: list[Record], target: str, tau: float, drawn: int, cascade: Any, root: Path, part: Path,
                 progress: bool) -> None:  # fmt: skip
        need(records, "records", "one face or more", "none")
        names = [_scheme(record, i) for i, record in enumerate(records)]
        self.target = _target(target, names)
        self.names = list(dict.fromkeys("+".join([self.target, *names]).split("+")))
        self.order = placements(self.target if cascade else "+".join(self.names))
        self.n = len(placements(self.target))
        self.tau, self.drawn, self.root, self.part = tau, drawn, root, part
        self.cascade = _Trained(Path(cascade), self.n) if cascade else None
        self.bar = _checks.optional("tqdm").tqdm if progress else lambda some, unit: some
        outside = [r.image for r in records if not r.image.absolute().is_relative_to(root)]
        need(not outside, "records", f"images under {root}", outside[:1], "give a folder above all images as root")
        told = [r._replace(landmarks=r.landmarks.tolist(), visible=r.visible.tolist()) for r in records]
        settings = self.target, tau, drawn, self.cascade and self.cascade.digest, root
        self.identity = hashlib.sha256(repr((settings, told)).encode()).hexdigest()
        self.own = _joined(records, names)
        self._place()

    def _place(self) -> None:
        """Fill in labels, and what an earlier conversion completed; refuse faces that cannot be completed."""
        at, m = {p: i for i, p in enumerate(self.order)}, len(self.own)
        self.points = torch.full((m, len(at), 2), torch.nan, dtype=torch.float64)
        earlier, self.visible = self.points.clone(), torch.zeros(m, len(at), dtype=torch.bool)
        self.layers = {name: self.points.clone() for _, name in itertools.chain(*self.own)}
        for f, own in enumerate(self.own):
            for record, name in own[::-1]:
                where = torch.tensor([at.get(p, -1) for p in placements(name)])
                old, label = completed(record) & (where >= 0), record.placed & ~completed(record) & (where >= 0)
                earlier[f, where[old]] = record.landmarks[old]
                self.visible[f, where[label]] = record.visible[label]
                for points in (self.points, self.layers[name]):
                    points[f, where[label]] = record.landmarks[label]
        self.labelled = ~self.points.isnan().any(-1)
        self.filled = self.points.where(self.labelled[..., None], earlier)[:, : self.n]
        self.whole = ~self.filled.isnan().any(-1).any(-1)
        bad = [self.own[i][0][0].source for i in (~self.whole & (self.labelled.sum(1) < 2)).nonzero()]
        needed = "two labels or more of each face" + ", of the target's landmarks" * bool(self.cascade)
        need(not bad, "records", needed, f"fewer in {bad[:3]}", "leave such faces out")

    @functools.cached_property
    def looked(self) -> list[list]:
        """The name and size of each image, and what a cascade predicts; goes on where the part file ends."""
        lines = self.part.read_text(encoding="utf-8").split("\n")[:-1] if self.part.exists() else []
        lines = lines or [self.identity]
        if lines[0] != self.identity:
            raise FileExistsError(f"out: needed no {self.part}, or this conversion's, got another's; delete it")
        self.part.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")  # without a line cut short
        photos = Photos([own[0][0] for own in self.own])
        with self.part.open("a", encoding="utf-8", newline="\n") as log:
            for i in self.bar(range(len(lines) - 1, len(self.own)), unit="image"):
                image, name = photos[i].image, photos.records[i].image.absolute().relative_to(self.root)
                entry = {"file_name": name.as_posix(), "height": image.shape[1], "width": image.shape[2]}
                guess = self.cascade.predict(image, self.points[i]).tolist() if self.cascade else []
                lines.append(json.dumps([entry, guess]))
                log.write(lines[-1] + "\n")
                log.flush()
        return [json.loads(line) for line in lines[1:]]

    def guesses(self, faces: Tensor) -> Tensor | None:
        """The predictions of the cascade for faces, if there is one."""
        return torch.tensor([self.looked[i][1] for i in faces], dtype=torch.float64) if self.cascade else None

    @functools.cached_property
    def others(self) -> tuple[str, Tensor]:
        """Those who teach where too few records do, and their shapes (k, n, 2)."""
        if self.cascade:
            return "cascade", self.cascade.shapes
        shapes = []
        for i in self.bar(range(self.drawn), unit="drawn face"):
            head = synthetic.sitting(i).framed(256)
            marks = [zip(schemes.get(s).placements, geometry.landmarks(head, s)[0], strict=True) for s in self.names]
            at = {p: x for some in marks for p, x in some}
            shapes.append(torch.stack([at[p] for p in self.order]))
        return "drawn faces", torch.stack(shapes).double()

    def complete(self) -> list[dict]:
        """Complete the faces of each set of labels; the rows of the report."""
        rows, sets, called = [], defaultdict(list), _category(self.target)["keypoints"]
        for f in (~self.whole).nonzero().flatten().tolist():
            sets[(tuple(name for _, name in self.own[f]), *self.labelled[f].tolist())].append(f)
        for (names, *labelled), faces in self.bar(sets.items(), unit="set of labels"):
            these, known = torch.tensor(faces), torch.tensor(labelled)
            wanted = (~known[: self.n]).nonzero().flatten()
            points = self.points.clone()
            for name in names[::-1]:  # teachers speak as the learners do, where both annotate one landmark
                points = self.layers[name].where(~self.layers[name].isnan(), points)
            both = self.labelled[:, known].all(1)[:, None] & self.labelled[:, wanted]
            teams, of = torch.unique((both & (both.sum(0) >= FEWEST)).T, dim=0, return_inverse=True)
            for i, team in enumerate(teams):
                part = wanted[of == i]
                who, most = ", ".join(called[j] for j in part[:3]), int(both[:, of == i].sum(0).min())
                needed = f"{FEWEST} faces or more that label {who} and all that {self.own[these[0]][0][0].source} does"
                need(team.any() or self.drawn or self.cascade, "records", needed, most, "give drawn=300, or a cascade")
                rows.append(self._row(these, known, part, team, points[team]))
        return rows

    def _row(self, these: Tensor, known: Tensor, part: Tensor, team: Tensor, taught: Tensor) -> dict:
        """Complete a part of the landmarks of the faces of one set of labels."""
        by, shapes = ("labels", taught) if team.any() else self.others
        x, few, error, hidden = self.points[these], these[:MEASURED], None, None
        self.filled[these[:, None], part] = by_deviations(shapes, x, self.guesses(these), known, part, self.tau)
        if by != "cascade":
            out = torch.arange(len(shapes)) % 5 == 4
            theirs = self.guesses(team.nonzero().flatten()[out]) if by == "labels" else None
            error = _percent(shapes[~out], shapes[out], theirs, known, part, self.tau)
        if known.sum() >= 5:
            hide = known.nonzero().flatten()[2::5]
            left = known.scatter(0, hide, False)
            hidden = _percent(shapes, self.points[few], self.guesses(few), left, hide, self.tau)
        return {"labelled": int(known.sum()), "faces": len(these), "completed": len(part), "taught_by": by,
                "teachers": len(shapes), "error_percent": error, "hidden_percent": hidden}  # fmt: skip

    def results(self) -> Iterator[Record]:
        """The completed faces."""
        for own, points, labelled, visible in zip(self.own, self.filled, self.labelled, self.visible, strict=True):
            told = {key: value for record, _ in own[::-1] for key, value in record.attributes.items()}
            made = (~labelled[: self.n]).nonzero().flatten().tolist()
            for key, value in (("completed", made), ("union", self.target if "+" in self.target else None)):
                told = {k: v for k, v in told.items() if k != key} | ({key: value} if value else {})
            box = next((record.box for record, _ in own if record.box), None)
            yield own[0][0]._replace(landmarks=points, visible=visible[: self.n], box=box, attributes=told)


class _Trained:
    """A trained cascade, from the file of its training."""

    def __init__(self, path: Path, n: int) -> None:
        need(path.is_file(), "cascade", "the file coupled.pt of a training", path)
        self.net = coupled.load_cascade(path)
        need(len(self.net.mean) == n, "cascade", f"the {n} landmarks of the target", len(self.net.mean))
        state = torch.load(path, map_location="cpu", weights_only=True)
        told, self.digest = state["identity"], hashlib.sha256(path.read_bytes()).hexdigest()
        truth = coupled.to_face(told["landmarks"], told["boxes"])
        self.shapes = truth.where(~truth.isnan(), state["shapes"])  # predicted where not labelled

    def predict(self, image: Tensor, points: Tensor) -> Tensor:
        """The landmarks (n, 2) of a face, of which `points` are labelled. Its box is that in which S̄ lies on these."""
        known = ~points.isnan().any(-1)
        if known.sum() < 2:
            return torch.full_like(points, torch.nan)
        move = similarity(self.net.mean[known], points[known])
        side, centre = move.linear.det().sqrt().expand(2), move.apply(torch.full((1, 2), 0.5).double())[0]
        return self.net.predict([image], torch.cat([centre - side / 2, side])[None])[0]


# ---------------------------------------------------------------------------------------------------- the completion


def _scheme(record: Record, i: int) -> str:
    """The scheme of a record, or the union that an earlier conversion made; refuse records without one."""
    union = record.attributes.get("union")
    name = union if isinstance(union, str) and {*union.split("+")} <= {*SCHEMES} else record.scheme
    needed = "a scheme: " + ", ".join(f"{schemes.get(s).n} landmarks ({s})" for s in SCHEMES)
    need(name is not None, f"records[{i}]", needed, f"{len(record.landmarks)} of {record.source}")
    coco_writer._check(record, f"records[{i}]", len(placements(name)))
    return name


def _target(target: str, names: list[str]) -> str:
    """The name of the target: a registered one where its landmarks have one."""
    parts = list(dict.fromkeys(("+".join(names) if target == "union" else target).split("+")))
    for part in parts:
        _checks.one_of(part, "target", (*SCHEMES, "union"))
    need("union" not in parts, "target", "schemes joined by +, or union alone", target)
    wanted = set(placements("+".join(parts)))
    return next((s for s in SCHEMES if set(schemes.get(s).placements) == wanted), "+".join(parts))


def _joined(records: list[Record], names: list[str]) -> list[list[tuple[Record, str]]]:
    """The records of each face: those of one image in different schemes whose landmarks lie on each other."""
    faces, of_image = [], defaultdict(list)
    for record, name in zip(records, names, strict=True):
        several = of_image[record.image.absolute()]
        mine = [own for own in several if all(n != name and _same(r, record) for r, n in own)]
        if not mine:
            faces.append([])
            several.append(faces[-1])
        (mine or faces[-1:])[0].append((record, name))
    return faces


def _same(a: Record, b: Record) -> bool:
    """Test whether the centre of each lies in the box of the other."""
    if not (a.placed.any() and b.placed.any()):
        return False
    (x, y, w, h), (u, v, m, n) = (crops.box(face.landmarks) for face in (a, b))
    return 2 * abs(x + w / 2 - u - m / 2) <= min(w, m) and 2 * abs(y + h / 2 - v - n / 2) <= min(h, n)


def _percent(shapes: Tensor, x: Tensor, guess: Tensor | None, known: Tensor, part: Tensor, tau: float) -> float:
    """The mean error of landmarks that are hidden and completed, % of the face's size."""
    pred, sizes = by_deviations(shapes, x, guess, known, part, tau), metrics.reference_distance(x, "face")
    return 100 * metrics.nme(pred, x[:, part], sizes).mean().item()
