"""Readers of data sets that are published as MATLAB files: AFLW-19, COFW and COFW-68.

COFW's files are of version 7.3, which is HDF5: they need the package h5py. COFW and COFW-68 count from 1, as MATLAB
does. AFLW-19 states no origin: its numbers are kept, and read as 0-based.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from lddmmlib import _checks
from lddmmlib._shapes import Int
from lddmmlib.data.records import Malformed, Record, need, read_bytes, record

AFLW_TRAIN = 20_000  # the first of AFLW-19's permutation


def variables(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Read variables of a file of version 5 to 7.

    Args:
        path: the file.
        names: the variables that are needed.

    Returns:
        Each by its name.

    Raises:
        Malformed: the file cannot be read, or lacks one of them.

    >>> from tempfile import TemporaryDirectory
    >>> import scipy.io
    >>> with TemporaryDirectory() as folder:
    ...     scipy.io.savemat(Path(folder, "a.mat"), {"x": np.eye(2)})
    ...     variables(Path(folder, "a.mat"), "x")["x"].shape
    (2, 2)
    """
    scipy_io = _checks.optional("scipy.io")
    read_bytes(path, 1)
    try:
        with path.open("rb") as file:
            found = scipy_io.loadmat(file)
    except Exception as error:  # of many kinds, where the file is damaged
        raise Malformed("a MATLAB file of version 5 to 7", str(error).partition("\n")[0] or repr(error)) from None
    lacking = [name for name in names if name not in found]
    need(not lacking, f"the variables {', '.join(names)}", f"none called {' or '.join(lacking)}")
    return {name: found[name] for name in names}


def aflw(path: Path, root: Path) -> Iterator[Record | Malformed]:
    """Read the faces of AFLW-19, first those to train on.

    The file has, for each face, the coordinates (38): 19 x, then 19 y; a mask (19) of visible landmarks; a box xmin,
    xmax, ymin, ymax; the image; and a permutation from 1, whose first 20,000 faces are those to train on.

    Args:
        path: ``AFLWinfo_release.mat``.
        root: the folder of the images, ``flickr``.

    Yields:
        A record for each face, with `train` (bool) and `face` (its index in the file) among the attributes.

    >>> from tempfile import TemporaryDirectory
    >>> import scipy.io
    >>> told = {"bbox": [[5, 45, 10, 60]], "data": np.ones((1, 38)), "mask_new": np.ones((1, 19)), "ra": [[1]]}
    >>> told["nameList"] = np.array([["2/image00002.jpg"]], dtype=object)
    >>> with TemporaryDirectory() as folder:
    ...     scipy.io.savemat(Path(folder, "a.mat"), told)
    ...     face, = aflw(Path(folder, "a.mat"), Path("flickr"))
    >>> face.box, face.image.as_posix(), face.attributes
    ((5.0, 10.0, 40.0, 50.0), 'flickr/2/image00002.jpg', {'train': True, 'face': 0})
    """
    names = ("bbox", "data", "mask_new", "nameList", "ra")
    box, data, mask, called, order = (variables(path, *names)[name] for name in names)
    n = len(data)
    for name, found, shape in zip(names, (box, data, mask, called), ((n, 4), (n, 38), (n, 19), (n, 1)), strict=False):
        need(found.shape == shape, f"{name} of shape {shape}", f"{found.shape}")
    order = order.ravel().astype(np.int64) - 1
    need(np.array_equal(np.sort(order), np.arange(n)), f"ra: a permutation of 1 to {n:,}", f"{order.shape}")
    for place, i in enumerate(order.tolist()):
        values = np.concatenate([data[i], box[i]]).astype(np.float64)
        left, right, top, bottom = values[38:].tolist()
        if not (np.isfinite(values).all() and left <= right and top <= bottom):
            yield Malformed("finite coordinates and a box xmin, xmax, ymin, ymax", f"{values[38:]}", where=f"face {i}")
            continue
        xy = torch.from_numpy(values[:38].reshape(2, 19).T.copy())
        image = root / str(np.ravel(called[i, 0])[0]).strip()
        told = {"train": place < AFLW_TRAIN, "face": i}
        visible = torch.from_numpy(mask[i] == 1)
        box_ = (left, top, right - left, bottom - top)
        yield record((image, ()), xy, f"{path}: face {i}", visible=visible, box=box_, attributes=told)


def cofw68(path: Path, image: Path, box: Int[np.ndarray, 4] | None = None) -> Record:
    """Read one annotation of COFW-68: Points (68, 2), counted from 1, and Occ (1, 68), 1 where hidden.

    Args:
        path: ``N_points.mat``, for image N of COFW's test set.
        image: that image.
        box: (4,), x, y, width, height, counted from 1, of ``cofw68_test_bboxes.mat``.

    Returns:
        The face.

    Raises:
        Malformed: the file holds anything else.

    >>> from tempfile import TemporaryDirectory
    >>> import scipy.io
    >>> with TemporaryDirectory() as folder:
    ...     scipy.io.savemat(Path(folder, "1_points.mat"), {"Points": np.ones((68, 2)), "Occ": np.zeros((1, 68))})
    ...     face = cofw68(Path(folder, "1_points.mat"), Path("0001.png"))
    >>> face.landmarks[0].tolist(), face.visible.all().item()
    ([0.0, 0.0], True)
    """
    found = variables(path, "Points", "Occ")
    points, occluded = found["Points"].astype(np.float64), found["Occ"].ravel()
    need(points.shape == (68, 2) and np.isfinite(points).all(), "Points: finite numbers (68, 2)", f"{points.shape}")
    need(occluded.shape == (68,) and np.isin(occluded, (0, 1)).all(), "Occ: 0 or 1, 68 of them", f"{occluded.shape}")
    at = None if box is None else (*(box[:2] - 1.0).tolist(), *box[2:].astype(float).tolist())
    return record((image, ()), torch.from_numpy(points - 1), str(path), visible=torch.from_numpy(occluded == 0), box=at)


def hdf5(path: Path) -> Any:
    """Open a MATLAB file of version 7.3, which is HDF5.

    Args:
        path: the file.

    Returns:
        The open file of h5py: a context, and a mapping from names to variables.

    Raises:
        ImportError: there is no package h5py.
        Malformed: the file cannot be read as HDF5.

    >>> hdf5(Path("lost.mat"))  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    lddmmlib.data.records.Malformed: lost
    """
    read_bytes(path, 1)
    try:
        return _h5py().File(path, "r")
    except OSError as error:
        raise Malformed("a MATLAB file of version 7.3 (HDF5)", str(error)) from None


def _h5py() -> ModuleType:
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"h5py: needed to read COFW's files, cannot import it ({error}); pip install h5py") from error
    return h5py


def cofw(file: Mapping[Any, Any], part: str) -> Iterator[tuple[np.ndarray, Record] | Malformed]:
    """Read the images and faces of COFW, each independently.

    The variables are those of ``COFW_train_color.mat``, whose names end in Tr, or ``COFW_test_color.mat``, in T: the
    images Is (gray, or red green blue), phis (87) of each: 29 x, 29 y, 29 flags, 1 where hidden, and bboxes (4): x, y,
    width, height. All count from 1. HDF5 has MATLAB's axes in reverse, and a list of images as references.

    Args:
        file: the open file (`hdf5`).
        part: "Tr" or "T".

    Yields:
        Each image (h, w, 3), uint8, blue green red, and its face, which names no image; its number, from 1, is the
        attribute `image`.

    Raises:
        Malformed: the file lacks a variable, or one is of another shape.

    >>> pixels, phis = np.zeros((3, 60, 40), np.uint8), np.ones((87, 1))
    >>> file = {"IsT": np.array([["here"]]), "here": pixels, "phisT": phis, "bboxesT": np.array([[3.0, 4, 9, 9]]).T}
    >>> (image, face), = cofw(file, "T")
    >>> image.shape, face.landmarks[0].tolist(), face.box, face.visible.any().item()
    ((40, 60, 3), [0.0, 0.0], (2.0, 3.0, 9.0, 9.0), False)
    """
    names = [f"{name}{part}" for name in ("Is", "phis", "bboxes")]
    lacking = [name for name in names if name not in file]
    need(not lacking, f"the variables {', '.join(names)}", f"none called {' or '.join(lacking)}")
    pictures, phis, boxes = np.ravel(file[names[0]][()]), file[names[1]][()].T, file[names[2]][()].T
    n = len(pictures)
    for name, found, shape in zip(names[1:], (phis, boxes), ((n, 87), (n, 4)), strict=True):
        need(found.shape == shape, f"{name} of shape {shape}, as there are {n:,} images", f"{found.shape}")
    for i, (reference, xyo, box) in enumerate(zip(pictures, phis, boxes, strict=True), 1):
        try:
            image = file[reference][()].T
        except (OSError, KeyError, RuntimeError) as error:
            image = np.array(str(error))
        if image.ndim not in (2, 3) or image.dtype != np.uint8:
            yield Malformed("an image of uint8", f"{image if image.ndim == 0 else image.dtype}", where=f"image {i}")
        elif not np.isfinite([*xyo, *box]).all():
            yield Malformed("finite numbers", "NaN or infinity", where=f"{names[1]} or {names[2]} of image {i}")
        else:
            xy = torch.from_numpy(xyo[:58].reshape(2, 29).T - 1.0)
            x, y, w, h = box.tolist()
            more = {"visible": torch.from_numpy(xyo[58:] == 0), "box": (x - 1, y - 1, w, h), "attributes": {"image": i}}
            colours = image[..., ::-1] if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
            yield np.ascontiguousarray(colours), record((None, ()), xy, f"{names[1]}: image {i}", **more)
