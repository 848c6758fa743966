"""The camera: from linear light to display levels by focus, shake, exposure, tone, colour and noise."""

from __future__ import annotations

import numpy as np

from lddmmlib import _checks
from lddmmlib.faces.painters import canvas
from lddmmlib.faces.painters.canvas import Array, Mask
from lddmmlib.faces.painters.look import Look


def develop(scene: Array, face: Mask, unit: float, look: Look) -> Array:
    """Develop a scene (h, w, 3) of linear light into levels in [0, 1]; the mask `face` determines the exposure."""
    camera, rng = look.camera, look.rng("camera")
    image = shake(canvas.blur(scene, camera.blur * unit), camera.motion * unit)
    bright = float((scene[face.at].mean(-1) * face.value).sum() / (face.value.sum() + 1e-6))
    image = image * np.float32(np.clip(camera.exposure**2.2 / (bright + 1e-4), 0.3, 8.0))
    image = np.sqrt(np.sqrt(np.clip(image, 0, 4))) ** np.float32(4 / 2.2)
    image = np.where(image > 0.8, 1 - 0.2 * np.exp(-(image - 0.8) / 0.2), image)  # a soft shoulder
    gray = image.mean(-1, keepdims=True)
    image = gray + np.float32(camera.saturation) * (image - gray)
    image = (image - 0.42) * np.float32(camera.contrast) + 0.42
    image = image * camera.cast.astype(np.float32)
    image += np.float32(camera.noise) * rng.standard_normal((*image.shape[:2], 1), dtype=np.float32)
    return np.clip(image, 0, 1)


def shake(image: Array, path: Array) -> Array:
    """The mean of the picture along a straight path (2,), px."""
    cv2 = _checks.optional("cv2")

    length = float(np.hypot(*path))
    if length < 0.5:
        return image
    n = 2 * int(np.ceil(length / 2)) + 1
    mask = canvas.stroke((np.array([[-0.5], [0.5]]) * path) + n // 2 + 1, 1.0, (n + 2, n + 2))
    kernel = np.zeros((n + 2, n + 2), np.float32)
    kernel[mask.at] = mask.value
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
