"""`python -m data_scripts.momenta`, after `lddmm_face` has run here at the scale of the book: ship its network.

Reads the checkpoint of the first network that flows ("flow 68", seed 0), and writes it with twenty drawn faces that it
has not seen: ``widgets/momenta_explorer.npz``, what `MomentaExplorer()` shows.
"""

from __future__ import annotations

import torch

from lddmmlib import training
from lddmmlib.data import crops
from lddmmlib.experiments import _record, _runs, lddmm_face
from lddmmlib.faces import synthetic
from lddmmlib.widgets import momenta_explorer

SCALE, NETWORK = "notebook", "flow 68"
FACES, SIDE = range(500, 520), 128  # of the test split, behind those that the experiment measures on; px a side


def main() -> None:
    """Write the file."""
    size, learner = lddmm_face.SIZES[SCALE], lddmm_face.LEARNERS[NETWORK]
    folder = _record.RUNS / f"lddmm_face.{SCALE}" / _runs.digest(lddmm_face.EXPERIMENTS["lddmm_face"])
    means = lddmm_face.prepared(size, folder).means
    model, _ = lddmm_face.build(learner, means, size)
    model.load_state_dict(training.load_checkpoint(folder / f"{NETWORK} 0")["model"])
    faces = [synthetic.sample(i, "wild-test", SIDE) for i in FACES]
    boxes = [crops.box(face.landmarks) for face in faces]
    shown = momenta_explorer.MomentaExplorer(
        network=model.network.eval(),
        layer=model.layer,
        size=size.side,
        means={name: mean for name, mean in means.items() if name != learner.scheme},
        pictures=torch.stack([face.image for face in faces]),
        boxes=boxes,
        truth=torch.stack([face.landmarks for face in faces]),
    )
    shown.keep()
    print(f"{momenta_explorer.KEPT}: {momenta_explorer.KEPT.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
