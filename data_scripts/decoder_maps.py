"""`python -m data_scripts.decoder_maps`, after `subpixel` has run here at notebook scale: what `DecoderExplorer` shows.

The maps that two of its networks, "none" and "round", make of a face that neither has seen.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from lddmmlib import training
from lddmmlib.data.augment import STILL, Crops
from lddmmlib.experiments import _record, _runs
from lddmmlib.experiments import subpixel as paper_c
from lddmmlib.faces import synthetic
from lddmmlib.methods.heatmap_regression import heatmaps_of
from lddmmlib.widgets import DecoderExplorer

OFF = STILL._replace(shift=0.05, scale=(0.95, 1.05))  # no landmark at the same place in its cell on every face
NETWORKS = {"none": "continuous targets", "round": "rounded targets"}


def main(index: int) -> None:
    """Write the maps of face ``index`` of the held-out ones."""
    size = paper_c.SIZES["notebook"]
    folder = _record.RUNS / "subpixel.notebook" / _runs.digest(paper_c.EXPERIMENTS["subpixel"])
    face = synthetic.sample(index, "wild-val", size.drawn, scheme=paper_c.SCHEME.name)
    shown, crop = (Crops([face], paper_c.SCHEME.name, side, OFF).draw(0, np.random.default_rng(index))
                   for side in (size.drawn, size.side))  # fmt: skip
    maps = []
    for name in NETWORKS:
        net = size.network()
        net.load_state_dict(training.load_checkpoint(folder / f"{name} 0")["model"])
        with torch.no_grad():
            maps.append(heatmaps_of(net.eval(), crop.image[None])[-1][0])
    names = paper_c.SCHEME.names
    explorer = DecoderExplorer(shown.image, torch.stack(maps), crop.landmarks.double(), names, list(NETWORKS.values()))
    explorer.keep()
    for k, name in enumerate(explorer.networks):
        explorer.network = k
        print(name, {way: round(px, 2) for way, px in explorer.means().items()})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
