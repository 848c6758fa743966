"""Small annotated images to read, and the way to the real ones."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lddmmlib.data import images


@pytest.fixture
def real() -> Path:
    root = os.environ.get("LDDMMLIB_REAL_DATA")
    if not root:
        pytest.skip("LDDMMLIB_REAL_DATA names no folder of real data")
    return Path(root)


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., Path]:
    """Write an image of (h, w) noise under tmp_path; returns its path."""

    def write(name: str, size: tuple[int, int] = (40, 60), seed: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        images.save(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8), path)
        return path

    return write
