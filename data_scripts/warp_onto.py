"""`python -m data_scripts.warp_onto`: draw the faces that `WarpOnto()` shows, and ship them.

Photographs and a face of each style, cut by boxes like a detector's. The network of the widget has seen none of them,
and no style. They are written to ``widgets/warp_onto.npz``.
"""

from __future__ import annotations

import torch

from lddmmlib.data.augment import Crops
from lddmmlib.faces import synthetic
from lddmmlib.methods.conditional_warp import JitteredBoxes
from lddmmlib.widgets import warp_onto

SPLIT, SIZE, SIDE = "studio-test", 128, 64  # px of a picture, and of a crop
SHOWN = [("photo", 3), ("photo", 8), ("photo", 21), ("cartoon", 30), ("painterly", 31), ("line", 32), ("halftone", 33),
         ("caricature", 34)]  # fmt: skip


def main() -> None:
    """Write the file."""
    crops = []
    for style, i in SHOWN:
        face = synthetic.sample(i, SPLIT, SIZE, style)
        crops.append(Crops(JitteredBoxes([face], seed=i), warp_onto.SCHEME.name, SIDE)[0])
    images, truth = torch.stack([c.image for c in crops]), torch.stack([c.landmarks for c in crops])
    warp_onto.keep(images, truth, [style for style, _ in SHOWN])
    print(f"{warp_onto.KEPT}: {warp_onto.KEPT.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
