"""Own landmarks on own pictures, placed by hand: a widget that keeps each label in a COCO keypoint json."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor

from lddmmlib import _checks
from lddmmlib._checks import need
from lddmmlib._shapes import Float
from lddmmlib.data import coco_writer, crops, given, images
from lddmmlib.data.crops import Box
from lddmmlib.data.records import Record
from lddmmlib.faces import schemes, synthetic
from lddmmlib.widgets.base import StaticWidget

BYTES, DENSE = 4e6, 0.25  # of all pictures together; of a pixel of JPEG
SIDES = (256, 1024)  # px, the longer side of a picture that is shown: at least, at most
OWN = ("skipped", "to_do")  # attributes of a face by which a file of this widget is known

NAMES = ("left eye", "right eye", "tip of the nose", "left corner of the mouth", "right corner of the mouth")
QUESTION = "Where is each point? Click it in the picture; drag a point to correct it."
ALT = "Pictures of faces, with the points that have been placed on them so far."


class LabelFaces(StaticWidget):
    """Points of your own on pictures of your own: placed, dragged, skipped where not visible, and kept in a file.

    After each change the file is written anew, whole or not at all: a temporary file takes its place. Made again with
    the same pictures, names and file, after a crash too, the widget goes on where it was.

    Args:
        pictures: as `Landmarker.fit` takes them: paths, images, or records, which bring points and boxes along. What is
            shown of each is twice its box. None: three drawn faces.
        names: of the points, in the order in which they are asked for.
        file: the COCO keypoint json to keep the labels in; pictures that are no files yet are written into a folder
            beside it, as PNG. None: labels are kept in memory.
        boxes: as `Landmarker.fit` takes them.
        points: (k, n, 2), px, labels to begin with, where the file has none; NaN: not visible in a face with another
            label, to do in a face without.
        guess: a function of pictures and boxes that returns (k, n, 2), px, such as `Landmarker.predict`; one press
            starts a face from it. A better one can be set at any time: ``widget.guess = marker.predict``.

    Every other trait is state that the reader moves and that Python can read or set: ``labels``, for each picture and
    point [x, y] px, [] if not visible, None if to do; ``index``, of the picture; ``landmark``, the point that is asked.
    ``trouble`` says why the file could not be written.

    Raises:
        ValueError: a file that this widget did not write, or of other names, or of faces that are not among these.
    """

    script = Path(__file__).with_suffix(".js")
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    pictures = traitlets.List(traitlets.Bytes(), help="JPEG").tag(sync=True)
    views = traitlets.List(help="x, y, w, h, px: what is shown of each picture").tag(sync=True)
    sizes = traitlets.List(help="w, h of each picture, px").tag(sync=True)
    boxes = traitlets.List().tag(sync=True)
    files = traitlets.List(traitlets.Unicode(), help="the pictures' files, relative to the json").tag(sync=True)
    file = traitlets.Unicode(help="the json's name; empty without").tag(sync=True)
    digest = traitlets.Unicode(help="by which a page without a kernel finds its labels again").tag(sync=True)
    guesses = traitlets.List(help="as labels, without []; empty without a guess").tag(sync=True)
    labels = traitlets.List().tag(sync=True)
    index = traitlets.Int(0, min=0).tag(sync=True)
    landmark = traitlets.Int(0, min=0).tag(sync=True)
    edit = traitlets.Int(0, help="counts the page's changes").tag(sync=True)
    saved = traitlets.Int(0, help="the last change that was taken over").tag(sync=True)
    trouble = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, pictures: Any = None, names: Sequence[str] = NAMES, file: str | Path | None = None, boxes: Any = None,
        points: Any = None, guess: Callable | None = None, **traits: object,
    ) -> None:  # fmt: skip
        self._refuse_unknown(traits)
        if pictures is None:
            drawn = [synthetic.sample(i, "studio", 128) for i in range(3)]
            pictures, boxes = [face.image for face in drawn], [crops.box(face.landmarks) for face in drawn]
        self.scheme = schemes.custom(f"own-{len(names)}", names)
        self._faces = given.faces(pictures, points, boxes)
        several = isinstance(pictures, list | tuple) and not isinstance(pictures, Record)
        self._given = list(pictures) if several else [None if np.ndim(pictures) else pictures] * len(self._faces)
        lost = [face.name for face in self._faces if face.box is None]
        need(not lost, "boxes", "a face in each picture", f"none in {lost[:3]}", "leave these out")
        n = {len(face.landmarks) for face in self._faces if face.landmarks is not None} | {len(names)}
        need(n == {len(names)}, "points", f"{len(names)} for each face, as there are names", sorted(n - {len(names)}))
        self._path, self._written = None if file is None else Path(file), None
        self._images = [self._image(i) for i in range(len(self._faces))]
        need(not self._path or self._path.parent.is_dir(), "file", "one in a folder that exists", self._path)
        side = min(max(math.sqrt(BYTES / DENSE / len(self._faces)), SIDES[0]), SIDES[1])
        shown = [_shown(face.image, face.box, side) for face in self._faces]
        labels = [_labels(face.landmarks, len(names)) for face in self._faces]
        start = {
            "names": [*names], "pictures": [jpeg for jpeg, _ in shown], "views": [view for _, view in shown],
            "sizes": [[*face.image.shape[:0:-1]] for face in self._faces], "boxes": [[*f.box] for f in self._faces],
            "files": self._files(), "file": self._path.name if self._path else "",
        }  # fmt: skip
        faces = list(zip(start["files"], map(tuple, start["boxes"]), strict=True))
        need(len({*faces}) == len(faces), "pictures", "each face once", "the same picture and box twice")
        known = self._resumed([*names], faces) if self._path and self._path.exists() else {}
        labels = [known.get(face, own) for face, own in zip(faces, labels, strict=True)]
        text = json.dumps([start["names"], start["files"], labels])
        start["digest"] = hashlib.sha256(b"".join([text.encode(), *start["pictures"]])).hexdigest()[:16]
        start["index"] = next((i for i, face in enumerate(labels) if None in face), 0)
        start["landmark"] = labels[start["index"]].index(None) if None in labels[start["index"]] else 0
        super().__init__(**{"question": QUESTION, "alt": ALT} | start | {"labels": labels})
        for name, value in traits.items():  # checked against all of the above
            setattr(self, name, value)
        self.guess = guess
        if self._path:
            for picture, face, path in zip(self._given, self._faces, self._images, strict=True):
                if not isinstance(picture, str | Path | Record):
                    self._store(path, face.image)
            self._save()
        self.observe(self._keep, "labels")

    # -------------------------------------------------------------------------------------- labels, in and out

    @property
    def points(self) -> Float[Tensor, "k n 2"]:
        """The labels (k, n, 2), px of each picture, float64; NaN of what is to do or not visible."""
        return torch.stack([_points(face) for face in self.labels])

    def records(self) -> list[Record]:
        """The faces that have a label, for `Landmarker.fit`; their pictures are files.

        Raises:
            ValueError: there is no file, and a picture is none either.
        """
        bare = [face.name for face, image in zip(self._faces, self._images, strict=True) if image is None]
        need(not bare, "records", "pictures in files", f"{bare[:3]} in memory", "give file=, or use .points")
        return [record for record in map(self._record, range(len(self.labels))) if record.placed.any()]

    def _record(self, i: int) -> Record:
        landmarks, face = _points(self.labels[i]), self.labels[i]
        states = {key: [j for j, x in enumerate(face) if x == what] for key, what in zip(OWN, ([], None), strict=True)}
        attributes = getattr(self._given[i], "attributes", {}) | states
        return Record(image=self._images[i], landmarks=landmarks, visible=~landmarks.isnan().any(-1),
                      box=tuple(self.boxes[i]), scheme=self.scheme, attributes=attributes,
                      source=str(self._path or self._faces[i].name))  # fmt: skip

    @property
    def guess(self) -> Callable | None:
        """The function that a face may be started from."""
        return self._guess

    @guess.setter
    def guess(self, guess: Callable | None) -> None:
        guesses = []
        if guess is not None:
            found = guess([face.image for face in self._faces], [face.box for face in self._faces])
            found = torch.as_tensor(getattr(found, "landmarks", found)).detach().cpu().double()
            wanted = len(self._faces), len(self.names), 2
            need(tuple(found.shape) == wanted, "guess", f"one that returns points {wanted}", tuple(found.shape))
            guesses = [[None if x is None or not x else x for x in _labels(face, len(self.names))] for face in found]
        self._guess, self.guesses = guess, guesses

    @traitlets.validate("labels", "index", "landmark")
    def _fits(self, proposal: traitlets.Bunch) -> object:
        name, value = proposal["trait"].name, proposal["value"]
        if name != "labels":
            count = len(self.files if name == "index" else self.names)
            right, needed = value < count, f"0 to {count - 1}"
        else:
            shape = [len(self.names)] * len(self.files)
            rows = [face for face in value if isinstance(face, list | tuple)]
            each = [x for face in rows for x in face]
            right = [len(face) for face in rows] == shape and len(rows) == len(value) and all(map(_is_label, each))
            needed = f"{len(shape)} faces of {len(self.names)}, each [x, y], [] or None"
        if not right:
            raise traitlets.TraitError(f"{name}: needed {needed}, got {_checks.said(value)}")
        return value

    # ------------------------------------------------------------------------------------------------ the file

    def _image(self, i: int) -> Path | None:
        """The file of picture i, which may be still to write; None without any."""
        picture = self._given[i].image if isinstance(self._given[i], Record) else self._given[i]
        if isinstance(picture, str | Path):
            return Path(picture)
        return self._path and self._path.with_suffix("") / f"{i:03d}.png"

    def _store(self, path: Path, image: Tensor) -> None:
        """Write a picture that is no file yet; never over another picture."""
        pixels = image.permute(1, 2, 0).flip(2).contiguous().numpy()
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            return images.save(pixels, path)
        same, got = np.array_equal(images.load(path), pixels), f"{path}, another picture"
        return need(same, "file", "one beside which are no other pictures", got, "name another file")

    def _files(self) -> list[str]:
        """The names of the pictures' files, relative to the json."""
        if not self._path:
            return [image.name if image else f"{i:03d}.png" for i, image in enumerate(self._images)]
        return [Path(os.path.relpath(image, self._path.parent)).as_posix() for image in self._images]

    def _resumed(self, names: list[str], faces: list[tuple[str, Box]]) -> dict[tuple[str, Box], list]:
        """The labels of the file, by picture and box."""
        self._written, mend = self._path.read_bytes(), "name another file"
        try:
            data = json.loads(self._written)
            theirs = data["categories"][0]["keypoints"]
            name_of = {entry["id"]: entry["file_name"] for entry in data["images"]}
            found = {}
            for each in data["annotations"]:
                skipped, _ = (set(each["attributes"][key]) for key in OWN)
                triples = zip(*[iter(each["keypoints"])] * 3, strict=True)
                face = [[x, y] if v else [] if j in skipped else None for j, (x, y, v) in enumerate(triples)]
                found[name_of[each["image_id"]], tuple(each["bbox"])] = face
        except (ValueError, KeyError, TypeError, IndexError):
            need(False, "file", "a new one, or one that LabelFaces wrote", self._path, mend)
        need(theirs == names, "file", f"one of these names, {_checks.said(names)}", _checks.said(theirs), mend)
        more = [name for name, box in found.keys() - set(faces)]
        needed = "one of no other faces than these, with their boxes"
        need(not more, "file", needed, f"{self._path}, which has {more[:3]}", f"give these pictures too, or {mend}")
        return found

    def _keep(self, change: traitlets.Bunch) -> None:
        """Take a change over; in a page nobody sees an exception."""
        try:
            self._save()
            self.trouble = ""
        except (OSError, ValueError) as error:
            self.trouble = f"{error}"
        self.saved = self.edit

    def _save(self) -> None:
        """Write all labels, to a temporary file that then takes the place of the last one."""
        if not self._path:
            return
        now = self._path.read_bytes() if self._path.exists() else None
        need(now in (self._written, None), "file", "what was last written", f"{self._path}, changed by somebody else",
             "make the widget anew")  # fmt: skip
        sizes = dict(zip(self.files, self.sizes, strict=True))  # of each file once
        ids = {name: {"image_id": i, "category_id": 1} for i, name in enumerate(sizes, 1)}
        shown = [{"id": ids[x]["image_id"], "file_name": x, "height": h, "width": w} for x, (w, h) in sizes.items()]
        faces = [{"id": i} | ids[x] | coco_writer._annotation(self._record(i - 1)) for i, x in enumerate(self.files, 1)]
        kinds = [coco_writer._category(self.scheme)]
        coco_writer._replace(self._path, {"images": shown, "annotations": faces, "categories": kinds})
        self._written = self._path.read_bytes()

    def picture(self):
        from matplotlib.figure import Figure

        from lddmmlib import plots

        few = min(len(self.files), 10)
        figure = Figure(figsize=(9.2, 1.9 * math.ceil(few / 5)))
        for i, points in enumerate(self.points[:few]):
            ax, (x, y, w, h) = figure.add_subplot(math.ceil(few / 5), 5, i + 1), self.views[i]
            ax.imshow(self._faces[i].image.permute(1, 2, 0).numpy())
            ax.plot(*points.T.numpy(), ".", color=plots.PALETTE[1], markersize=4)
            ax.set(xlim=(x - 0.5, x + w - 0.5), ylim=(y + h - 0.5, y - 0.5))
            ax.set_axis_off()
        return figure


def _labels(points: Tensor | None, n: int) -> list:
    """Labels of points (n, 2): NaN is not visible in a face with another label, to do in one without."""
    if points is None or points.isnan().all():
        return [None] * n
    return [[] if math.isnan(x[0]) else x for x in points.double().tolist()]


def _points(face: list) -> Tensor:
    return torch.tensor([x or [math.nan, math.nan] for x in face], dtype=torch.float64)


def _is_label(x: object) -> bool:
    pair = isinstance(x, list | tuple) and len(x) == 2 and all(isinstance(v, int | float) for v in x)
    return x is None or x == [] or (pair and all(map(math.isfinite, x)))


def _shown(image: Tensor, box: Box, longest: float) -> tuple[bytes, list[int]]:
    """Twice the box as a JPEG that is at most so long, px, and where that lies in the picture: x, y, w, h."""
    picture = _checks.optional("PIL.Image")
    (h, w), (x, y, bw, bh) = image.shape[1:], box
    side, u, v = max(bw, bh), x + bw / 2, y + bh / 2
    left, top = max(0, math.floor(u - side)), max(0, math.floor(v - side))
    right, bottom = min(w, math.ceil(u + side) + 1), min(h, math.ceil(v + side) + 1)
    cut, file = image[:, top:bottom, left:right].permute(1, 2, 0).contiguous(), io.BytesIO()
    small = picture.fromarray(cut.numpy())
    small.thumbnail((longest, longest))
    small.save(file, "JPEG", quality=90)
    return file.getvalue(), [left, top, right - left, bottom - top]
