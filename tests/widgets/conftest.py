"""A face of 68 landmarks, sketched: enough to measure errors on."""

import numpy as np
import pytest
import torch


def arc(n, x, y, width, height, start, stop):
    """n points of an ellipse about (x, y), angles in half turns, 0 to the right and 0.5 down."""
    t = np.pi * np.linspace(start, stop, n)
    return np.stack([x + width * np.cos(t), y + height * np.sin(t)], -1)


@pytest.fixture(scope="session")
def face():
    eyes = [arc(7, x, 105, 14, 5, -1, 1)[:-1] for x in (95, 161)]
    lips = [arc(13, 128, 172, w, h, -1, 1)[:-1] for w, h in ((26, 11), (21, 4))]
    points = np.concatenate([
        arc(17, 128, 110, 78, 105, 1.05, -0.05),
        arc(5, 90, 92, 24, 12, -0.9, -0.1), arc(5, 166, 92, 24, 12, -0.9, -0.1),
        np.stack([np.full(4, 128), np.linspace(105, 138, 4)], -1), arc(5, 128, 144, 15, 6, 1, 0),
        *eyes, lips[0], lips[1][[0, 2, 3, 4, 6, 8, 9, 10]],
    ])  # fmt: skip
    return torch.from_numpy(points)
