"""Where the image of an annotation lies, and its pixels."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from lddmmlib import _checks

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def is_image(path: Path) -> bool:
    """Whether the name is an image's."""
    return path.suffix.lower() in SUFFIXES


def named(name: str, annotations: Path) -> Path:
    """The image that a list or a json calls ``name``, as WFLW, COCO and mmpose lay their folders.

    It is looked for beside the annotations and up to two folders above, there and in ``images`` and
    ``WFLW_images``. An image that is nowhere is given the place beside the annotations.
    """
    folder = annotations.parent
    for up in ("", "..", "../.."):
        for sub in ("", "images", "WFLW_images"):
            path = Path(os.path.normpath(folder / up / sub / name))
            if os.path.isfile(path):  # noqa: PTH113  (Path.is_file raises on a name that no system can hold)
                return path
    return folder / name


def by_stem(files: list[Path]) -> dict[Path, Path]:
    """The images in the folders of ``files``, each under its path without the suffix."""
    folders = sorted({file.parent for file in files})
    return {path.with_suffix(""): path for folder in folders for path in _listed(folder) if is_image(path)}


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # a folder whose files may be read, but not listed
        return []


def load(path: Path) -> np.ndarray | None:
    """The image as (h, w, 3) uint8, blue green red as OpenCV has it; None where the file yields no image."""
    cv2 = _checks.optional("cv2")

    try:  # by way of bytes: cv2.imread knows no umlauts on Windows
        return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, ValueError, cv2.error):  # ValueError: a name that no system can hold
        return None


def save(pixels: np.ndarray, path: Path) -> None:
    """Write an image as `load` returns it, as PNG."""
    cv2 = _checks.optional("cv2")

    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
