"""The image files of annotations: their places, and their pixels.

Images are loaded as displayed: rotated by their EXIF orientation, as OpenCV, browsers and annotation tools
show them. Landmarks are assumed to be set on that image.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from lddmmlib import _checks
from lddmmlib.data.records import Malformed, Record, brief

LUMA = (0.299, 0.587, 0.114)  # grey of red, green, blue
# The formats that OpenCV reads.
SUFFIXES = frozenset({".avif", ".bmp", ".dib", ".exr", ".gif", ".hdr", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pfm"})
SUFFIXES |= {".pgm", ".pic", ".png", ".pnm", ".ppm", ".pxm", ".ras", ".sr", ".tif", ".tiff", ".webp"}
FOLDERS = frozenset({"images", "image", "imgs", "img", "data", "jpegimages", "pictures", "photos", "wflw_images"})


def is_image(path: Path) -> bool:
    """Test whether a file name has the suffix of an image.

    >>> is_image(Path("face.JPG")), is_image(Path("face.pts"))
    (True, False)
    """
    return path.suffix.lower() in SUFFIXES


class Places:
    """The search for the images of annotations, in the folders where data sets and tools put them.

    With `root`, only that folder is searched. Without, the folder of the annotations and up to two above; in these the
    folders named `images`, `data`, ... (`FOLDERS`); and in all of these the folders named like a word of the
    annotations' own name (`train2017/` for `person_keypoints_train2017.json`) or like their own folder
    (`images/trainset/` for `landmarks/trainset/`).

    A name is tried as written; then with each backslash replaced by "/" and "%20" by a space; then its end only, such
    as `b/1.jpg` and `1.jpg` of `C:/a/b/1.jpg`, which is noted. If several images match, the name is refused as
    ambiguous.

    Args:
        root: the folder of the images, or None.

    >>> Places(Path("photos")).named("lost.jpg", Path("faces.json"))[0].as_posix()
    'photos/lost.jpg'
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self._names: dict[tuple[Path, Path], str] = {}  # the name by which each image was first found
        self._folders, self._by_stem = cache(self._looked_up), cache(_by_stem)

    def named(self, name: str, annotations: Path) -> tuple[Path, tuple[str, ...]]:
        """The image that a list or a json refers to, and notes on how it was found.

        A missing image is given the path beside the annotations, or under `root`.

        Args:
            name: the name in the annotations.
            annotations: the file of the annotations.

        Raises:
            Malformed: several images match, or two names lead to one image.
        """
        folders = self._folders(annotations.parent, *re.split(r"[_\-. ]", annotations.stem))
        plain = name.replace("\\", "/")
        for spelling in dict.fromkeys((name, plain, unquote(plain))):
            if path := _only([folder / spelling for folder in folders], name):
                self._names.setdefault((annotations, path), name)
                return path, ()
        ends = unquote(plain).split("/")
        for i in range(max(1, len(ends) - 4), len(ends) if ends[-1] else 0):
            if path := _only([folder / "/".join(ends[i:]) for folder in folders], name):
                if (other := self._names.setdefault((annotations, path), name)) != name:
                    got = f"{path} for both {brief(other)} and {brief(name)}"
                    raise Malformed("an image for each name; give the images' folder as root (--images)", got)
                return path, ("images found by the end of their name alone",)
        return (self.root or annotations.parent) / name, ()

    def beside(self, annotations: Path) -> tuple[Path | None, tuple[str, ...]]:
        """The image of an annotation file with a single face: that of the same stem; for `x_2`, the second face in `x`,
        also `x`.

        Raises:
            Malformed: several images match.
        """
        folders, stem = self._folders(annotations.parent), annotations.stem
        for name in dict.fromkeys((stem, re.sub(r"_\d+$", "", stem))):
            if path := _only([path for folder in folders for path in self._by_stem(folder).get(name, [])], name):
                note = "images found by the face's name without its number (x.jpg for x_2.pts)"
                return path, () if name == stem else (note,)
        return None, ()

    def _looked_up(self, parent: Path, *words: str) -> list[Path]:
        """The folders to search, each once; without `words`, those for a file with a single face."""
        own = parent.absolute().parts[-2:]
        if self.root is not None:
            return [self.root] if words else [self.root, *(self.root.joinpath(*own[i:]) for i in range(len(own)))]
        hint = re.compile("|".join(rf"{re.escape(word)}\d*" for word in (*words, own[-1]) if word), re.IGNORECASE)
        found: list[Path] = []
        for base in (Path(os.path.normpath(parent / up)) for up in ("", "..", "../..")):
            for folder in (base, *(sub for sub in _listed(base, os.DirEntry.is_dir) if sub.name.lower() in FOLDERS)):
                found += [folder, *(sub for sub in _listed(folder, os.DirEntry.is_dir) if hint.fullmatch(sub.name))]
        return [*dict.fromkeys(found)]


def is_file(path: Path) -> bool:
    r"""Test whether a file exists; False also for a name that no file system can hold, on which `Path.is_file` raises.

    >>> is_file(Path(__file__)), is_file(Path("a\0b"))
    (True, False)
    """
    return os.path.isfile(path)  # noqa: PTH113


def _only(candidates: list[Path], name: str) -> Path | None:
    """The only existing file among the candidates."""
    found: list[Path] = []
    for path in (Path(os.path.normpath(path)) for path in candidates):
        if is_file(path) and not any(path.samefile(other) for other in found):
            found.append(path)
    if len(found) > 1:
        both = " and ".join(map(str, found))
        raise Malformed(f"one image for {brief(name)}; give the images' folder as root (--images)", both)
    return found[0] if found else None


def _listed(folder: Path, wanted: Callable[[os.DirEntry], bool]) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(folder, entry.name) for entry in entries if wanted(entry))
    except OSError:  # a folder without permission to list it
        return []


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    """The images in a folder, by their stems."""
    images: dict[str, list[Path]] = {}
    for path in _listed(folder, lambda entry: is_image(Path(entry.name))):
        images.setdefault(path.stem, []).append(path)
    return images


def load(path: Path, turned: bool = True) -> np.ndarray | None:
    """Load an image.

    Args:
        path: the file.
        turned: whether to rotate it by its EXIF orientation, as it is displayed.

    Returns:
        (h, w, 3) uint8, blue green red as in OpenCV; None if the file cannot be decoded.

    >>> load(Path("no such file")) is None
    True
    """
    cv2 = _checks.optional("cv2")

    how = cv2.IMREAD_COLOR if turned else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:  # by way of bytes: on Windows cv2.imread cannot open names with umlauts
        return cv2.imdecode(np.fromfile(path, np.uint8), how)
    except (OSError, ValueError, cv2.error):  # ValueError: a name that no file system can hold
        return None


def may_turn(path: Path) -> bool:
    """Test whether a file has EXIF data, which may contain an orientation.

    >>> may_turn(Path(__file__).with_name("__init__.py"))
    False
    """
    with path.open("rb") as file:
        return b"exif" in file.read(1 << 16).lower()


def compare(record: Record, pixels: np.ndarray) -> str | None:
    """Compare the size of an image with the size that the annotation states.

    Args:
        record: the face.
        pixels: (h, w, 3), its image.

    Returns:
        None if they agree or no size is stated; else a message that says how to mend it.

    >>> import torch
    >>> from lddmmlib.data.records import record
    >>> face = record((Path("a.png"), ()), torch.zeros(68, 2).double(), "a.json", claims={"size": (40, 60)})
    >>> compare(face, np.zeros((40, 60, 3), np.uint8)) is None
    True
    """
    size, (h, w) = (record.claims or {}).get("size"), pixels.shape[:2]
    if size in (None, (h, w)):
        return None
    mend = "take the image that was annotated, or scale the landmarks with it and state its size"
    if size == (w, h) and load(record.image, turned=False).shape[:2] == size:
        mend = ("its EXIF orientation turns it: if the landmarks are set on the pixels as stored, remove that tag "
                "(exiftool -Orientation=), else swap width and height in the annotations")  # fmt: skip
    stated = f"{brief(size[1])} x {brief(size[0])} px (width x height)"
    return f"{record.source}: needed an image of {stated}, as annotated, got {record.image} of {w} x {h}; {mend}"


def save(pixels: np.ndarray, path: Path) -> None:
    """Write an image as PNG.

    Args:
        pixels: (h, w, 3) uint8, blue green red, as `load` returns it.
        path: the file to write.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     save(np.full((2, 3, 3), 7, np.uint8), Path(folder, "a.png"))
    ...     load(Path(folder, "a.png")).shape
    (2, 3, 3)
    """
    cv2 = _checks.optional("cv2")

    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
