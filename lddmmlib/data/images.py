"""Where the image of an annotation lies, and its pixels.

Images are loaded as they are displayed: turned by their EXIF orientation, as OpenCV, browsers and annotation tools
show them. Landmarks are taken to be set on that picture.
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
        self._names: dict[tuple[Path, Path], str] = {}  # what first was found at a place
        self._folders, self._by_stem = cache(self._looked_up), cache(_by_stem)

    def named(self, name: str, annotations: Path) -> tuple[Path, tuple[str, ...]]:
        """The image that a list or a json calls ``name``, and notes on how it was found.

        An image that is nowhere is given the place beside the annotations, or under ``root``.
        Raises Malformed where it is not clear which image is meant.
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
        """The image of the same stem as ``annotations``, the file of one face; or of `x` for `x_2`, the second in it.

        Raises Malformed where there are several.
        """
        folders, stem = self._folders(annotations.parent), annotations.stem
        for name in dict.fromkeys((stem, re.sub(r"_\d+$", "", stem))):
            if path := _only([path for folder in folders for path in self._by_stem(folder).get(name, [])], name):
                note = "images found by the face's name without its number (x.jpg for x_2.pts)"
                return path, () if name == stem else (note,)
        return None, ()

    def _looked_up(self, parent: Path, *words: str) -> list[Path]:
        """The folders to look into, each once; without ``words``, for a file of one face."""
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
    """Whether there is a file, also for a name that no system can hold, on which Path.is_file raises."""
    return os.path.isfile(path)  # noqa: PTH113


def _only(candidates: list[Path], name: str) -> Path | None:
    """The one file among the candidates."""
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
    except OSError:  # a folder whose files may be read, but not listed
        return []


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    """The images in a folder by their stems."""
    images: dict[str, list[Path]] = {}
    for path in _listed(folder, lambda entry: is_image(Path(entry.name))):
        images.setdefault(path.stem, []).append(path)
    return images


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


def compare(record: Record, pixels: np.ndarray) -> str | None:
    """In which way a face's image is not of the size that its annotation states, if it does; and how to mend it."""
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
    """Write an image as `load` returns it, as PNG."""
    cv2 = _checks.optional("cv2")

    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
