"""Where the image of an annotation lies, and its pixels.

Images are loaded as they are displayed: turned by their EXIF orientation, as OpenCV, browsers and annotation tools
show them. Landmarks are taken to be set on that picture.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from lddmmlib import _checks
from lddmmlib.data.records import Malformed, brief

# What OpenCV reads.
SUFFIXES = frozenset({".avif", ".bmp", ".dib", ".exr", ".gif", ".hdr", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pfm"})
SUFFIXES |= {".pgm", ".pic", ".png", ".pnm", ".ppm", ".pxm", ".ras", ".sr", ".tif", ".tiff", ".webp"}
FOLDERS = frozenset({"images", "image", "imgs", "img", "data", "jpegimages", "pictures", "photos", "wflw_images"})


def is_image(path: Path) -> bool:
    """Whether the name is an image's."""
    return path.suffix.lower() in SUFFIXES


class Places:
    """The folders in which the images of annotations are looked for, and what was found there.

    With ``root`` images are looked for under it alone. Without, under the folder of the annotations and up to two
    above; there in folders called `images`, `data`, ... (`FOLDERS`); and in all of these in folders called like a word
    of the annotations' own name (`train2017/` for `person_keypoints_train2017.json`) or like their own folder
    (`images/trainset/` for `landmarks/trainset/`).

    A name is tried as it stands; then with the backslash as "/" and "%20" as a space; then its end alone, such as
    `b/1.jpg` and `1.jpg` of `C:/a/b/1.jpg`, which is noted. Images of one name in several places are refused, never
    chosen from.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self._folders: dict[tuple, list[Path]] = {}
        self._stems: dict[Path, dict[str, list[Path]]] = {}
        self._names: dict[tuple[Path, Path], str] = {}

    def named(self, name: str, annotations: Path) -> tuple[Path, tuple[str, ...]]:
        """The image that a list or a json calls ``name``, and notes on how it was found.

        An image that is nowhere is given the place beside the annotations, or under ``root``.
        Raises Malformed where it is not clear which image is meant.
        """
        folders = self._around(annotations, re.split(r"[_\-. ]", annotations.stem))
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
        """The image of the same stem as ``annotations``, the file of one face; or of `x` for `x_2`, the second in it.

        Raises Malformed where there are several.
        """
        folders, stem = self._around(annotations, []), annotations.stem
        if path := self._of_stem(folders, stem):
            return path, ()
        short = re.sub(r"_\d+$", "", stem)
        path = self._of_stem(folders, short) if short != stem else None
        return path, ("images found by the face's name without its number (x.jpg for x_2.pts)",) if path else ()

    def _of_stem(self, folders: list[Path], stem: str) -> Path | None:
        for folder in folders:
            if folder not in self._stems:
                self._stems[folder] = {}
                for path in filter(is_image, _listed(folder)):
                    self._stems[folder].setdefault(path.stem, []).append(path)
        return _only([path for folder in folders for path in self._stems[folder].get(stem, [])], stem)

    def _around(self, annotations: Path, words: list[str]) -> list[Path]:
        """The folders to look into, each once."""
        key = (annotations.parent, *words)
        if key not in self._folders:
            own = annotations.absolute().parent.parts[-2:]
            if self.root is not None:
                inner = [self.root.joinpath(*own[i:]) for i in range(len(own))]
                self._folders[key] = [self.root] if words else [self.root, *inner]
                return self._folders[key]
            hint = re.compile("|".join(rf"{re.escape(word)}\d*" for word in (*words, own[-1]) if word), re.IGNORECASE)
            bases = [Path(os.path.normpath(annotations.parent / up)) for up in ("", "..", "../..")]
            found: list[Path] = []
            for base in bases:
                for folder in (base, *(sub for sub in _folders(base) if sub.name.lower() in FOLDERS)):
                    found += [folder, *(sub for sub in _folders(folder) if hint.fullmatch(sub.name))]
            self._folders[key] = [*dict.fromkeys(found)]
        return self._folders[key]


def _only(candidates: list[Path], name: str) -> Path | None:
    """The one file among the candidates."""
    found: list[Path] = []
    for path in candidates:
        path = Path(os.path.normpath(path))
        # os.path.isfile: Path.is_file raises on a name that no system can hold
        if os.path.isfile(path) and not any(path.samefile(other) for other in found):  # noqa: PTH113
            found.append(path)
    if len(found) > 1:
        both = " and ".join(map(str, found))
        raise Malformed(f"one image for {brief(name)}; give the images' folder as root (--images)", both)
    return found[0] if found else None


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # a folder whose files may be read, but not listed
        return []


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(folder, entry.name) for entry in entries if entry.is_dir())
    except OSError:
        return []


def load(path: Path, turned: bool = True) -> np.ndarray | None:
    """The image as (h, w, 3) uint8, blue green red as OpenCV has it; None where the file yields no image.

    ``turned``: by its EXIF orientation, as it is displayed; else as it is stored.
    """
    cv2 = _checks.optional("cv2")

    how = cv2.IMREAD_COLOR if turned else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:  # by way of bytes: cv2.imread knows no umlauts on Windows
        return cv2.imdecode(np.fromfile(path, np.uint8), how)
    except (OSError, ValueError, cv2.error):  # ValueError: a name that no system can hold
        return None


def may_turn(path: Path) -> bool:
    """Whether the file has EXIF data, which may say that it is to be turned."""
    with path.open("rb") as file:
        return b"exif" in file.read(1 << 16).lower()


def compare(size: tuple, pixels: np.ndarray, path: Path) -> str | None:
    """In which way an image is not of the size (h, w) that the annotations state, and how to mend it; None if it is."""
    h, w = pixels.shape[:2]
    if tuple(size) == (h, w):
        return None
    stated = f"{brief(size[1])} x {brief(size[0])} px (width x height)"
    said = f"needed an image of {stated}, as annotated, got {path} of {w} x {h}; "
    if tuple(size) == (w, h) and may_turn(path) and load(path, turned=False).shape[:2] == tuple(size):
        return said + (
            "its EXIF orientation turns it: if the landmarks are set on the pixels as stored, remove that tag "
            "(exiftool -Orientation=), else swap width and height in the annotations"
        )
    return said + "take the image that was annotated, or scale the landmarks with it and state its size"


def save(pixels: np.ndarray, path: Path) -> None:
    """Write an image as `load` returns it, as PNG."""
    cv2 = _checks.optional("cv2")

    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
