"""Hair: a cap on the skull, a fringe, locks at the sides; its strands follow the outline and are lit by the
same lamp.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from lddmmlib import _checks
from lddmmlib.faces.painters import canvas
from lddmmlib.faces.painters.canvas import Array, Canvas, Mask
from lddmmlib.faces.painters.look import Look
from lddmmlib.faces.painters.sitter import Sitter

CENTRE = np.array([0.0, -0.33, -0.72])  # of the skull, head frame


class Hair:
    """The hair of one head: its shape behind and before the face, and its colour."""

    def __init__(self, sitter: Sitter, look: Look) -> None:
        rng = look.rng("hair")
        self.sitter, self.look = sitter, look
        self.style = str(rng.choice(["bald", "short", "long", "up"], p=[0.08, 0.47, 0.35, 0.1]))
        self.thick, self.length = rng.uniform(1.04, 1.2), 0.6 + rng.uniform(0.3, 1.6)
        self.fringe = rng.choice(
            [rng.uniform(-0.15, 0.1), rng.uniform(0, 0.35), rng.uniform(0.3, 0.6)], p=[0.5, 0.35, 0.15]
        )
        self.parting, self.cheek, self.wide = rng.uniform(-0.8, 0.8), rng.uniform(-0.12, 0.2), rng.uniform(0.95, 1.25)
        self.wisps, self.soft = rng.uniform(0, 1), rng.uniform(0.02, 0.045) * sitter.unit
        if look.hat:  # presses it down
            self.thick = 1.02
        self.cap = sitter.scalp(self.thick)

    def _ball(self) -> tuple[Array, Array]:
        """Coordinates x (1, w) and y (h, 1) from the centre of the skull in the image, in eye-corner distances."""
        h, w = self.sitter.size
        x0, y0 = self.sitter.at(CENTRE)
        x, y = np.arange(w, dtype=np.float32) - x0, np.arange(h, dtype=np.float32)[:, None] - y0
        return (x / self.sitter.unit).astype(np.float32), (y / self.sitter.unit).astype(np.float32)

    @cached_property
    def strands(self) -> Array:
        """Noise (h, w) of mean 0, elongated along the strands, which radiate from the crown and hang down below it."""
        cv2 = _checks.optional("cv2")

        rng, size = self.look.rng("strands"), self.sitter.size
        (x, y), roll = self._ball(), self.sitter.face.roll
        x, y = x * np.cos(roll) + y * np.sin(roll), y * np.cos(roll) - x * np.sin(roll)
        spread = np.sqrt(np.clip(1 - (np.minimum(y, 0) / 1.1) ** 2, 0.15, 1))
        wave = rng.uniform(0, 0.12) * np.sin(rng.uniform(3, 9) * y + rng.uniform(0, 6) + 2 * x)
        layers = ((0.5, 12, 240), (0.7, 6, 70), (0.9, 4, 18))
        strip = sum(a * canvas.resize(rng.standard_normal((r, n), dtype=np.float32), (12, 240)) for a, r, n in layers)
        strip = cv2.GaussianBlur(strip, (0, 0), sigmaX=60 / self.sitter.unit, sigmaY=0.01)  # none finer than a pixel
        across, along = 240 * ((x / spread + wave) / 1.6 + 0.5), 12 * (y / 5 + 0.5)
        across, along = (np.broadcast_to(v, size).astype(np.float32) for v in (across, along))
        return cv2.remap(strip, across, along, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)

    @cached_property
    def colour(self) -> Array:
        """The colour (h, w, 3): strands lit as a ball is, with a gloss that they break up."""
        rng, light = self.look.rng("gloss"), self.look.light
        x, y = (v / 1.15 for v in self._ball())
        r2 = x * x + y * y
        shrink = np.sqrt(0.98 / np.maximum(r2, 0.98))  # beyond the ball the light is as at its rim
        toward = light.direction.astype(np.float32)
        lit = shrink * (x * toward[0] + y * toward[1]) + np.sqrt(1 - np.minimum(r2, 0.98)) * toward[2]
        lit = np.clip(0.25 + 0.75 * lit, 0.05, None)[..., None]
        broken = np.exp(rng.uniform(0.2, 0.45) * self.strands)[..., None]
        base = self.look.hair.astype(np.float32) * broken
        gloss = rng.uniform(0, 0.25) * np.clip(lit - 0.35, 0, 1) ** 2 * broken
        lamp, ambient = light.lamp.astype(np.float32), light.ambient.astype(np.float32)
        return base * (0.8 * ambient + lamp * lit) + gloss * lamp * (0.2 + base)

    def _fill(self, outline: Array) -> Mask:
        return canvas.fill(outline, self.sitter.size, self.soft)

    def _ragged(self, mask: Mask) -> Mask:
        """The mask with wisps at its edge."""
        m = mask.value
        edge = m + 1.6 * self.wisps * m * (1 - m) * self.strands[mask.at]
        return Mask(np.clip((edge - 0.5) * 2.2 + 0.5, 0, 1), mask.at)

    def behind(self, picture: Canvas) -> None:
        """Paint the cap, and the hair that hangs down behind the neck."""
        if self.style == "bald":
            return
        picture.paint(self._ragged(self._fill(self.cap)), 0.8 * self.colour)
        if self.style == "long":
            right = np.array([[0.92, -0.5, -0.6], [self.wide, 0.4, -0.7], [0.95 * self.wide, self.length, -0.7]])
            curtain = np.concatenate([right, [[0, self.length + 0.2, -0.9]], (right * [-1, 1, 1])[::-1]])
            picture.paint(self._ragged(self._fill(canvas.smooth(self.sitter.at(curtain)))), 0.7 * self.colour)

    def before(self, picture: Canvas) -> list[Mask]:
        """Paint the hair over the forehead and down the sides."""
        front = self.front()
        for mask in front:
            picture.paint(mask, self.colour)
        return front

    def front(self) -> list[Mask]:
        """The masks of the hair before the face."""
        if self.style == "bald":
            return []
        masks = [canvas.within(self._fill(self._above_hairline()), self._fill(self.cap))]
        if self.style == "long":
            masks += [self._fill(canvas.smooth(self.sitter.at(self._lock() * [side, 1, 1]))) for side in (-1, 1)]
        return [self._ragged(mask) for mask in masks]

    def _above_hairline(self) -> Array:
        """An outline along the fringe, on the near side over the ear down to the nape, then around outside
        the image.
        """
        s = self.sitter
        x = np.linspace(-1, 1, len(s["hairline"]))
        drop = self.fringe * (0.5 + np.abs(x - self.parting)) * (1 - x**4)
        edge = s["hairline"] + drop[:, None] * s.down
        left, right = (self._behind_ear(side) if s.near(side) else edge[:0] for side in ("left", "right"))
        line = np.concatenate([left[::-1], edge, right])
        up, out = -5 * s.down, 3 * s.right
        return np.concatenate([line, [line[-1] + out, line[-1] + out + up, line[0] - out + up, line[0] - out]])

    def _behind_ear(self, side: str) -> Array:
        """A line from the top of an ear around it to the nape."""
        s, ear = self.sitter, self.sitter[side + "_ear"]
        top, middle, lobe = ear[0], ear[8], ear[-1]
        return np.stack(
            [top - 0.05 * s.forth, middle - 0.12 * s.forth, lobe - 0.4 * s.forth, lobe + 0.3 * s.down - 0.6 * s.forth]
        )

    def _lock(self) -> Array:
        """The outline of the lock on the right, head frame."""
        low, inner = self.length, self.sitter.half + 0.03 - self.cheek
        inside = [(0.55, -0.95, -0.1), (inner, -0.3, -0.25), (inner - 0.04, 0.3, -0.3), (inner, 0.3 + 0.4 * low, -0.3)]
        outside = [
            (inner + 0.1, low, -0.3),
            (inner + 0.35, low, -0.5),
            (inner + 0.3, 0.4, -0.6),
            (inner + 0.15, -0.4, -0.5),
        ]
        return np.array(inside + outside)
