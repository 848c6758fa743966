"""How far stylised faces are from photographs, as a landmarker sees it: its error on each style, over that on its own.

The yardstick's network is trained on drawn photographs alone, then shown other faces, each in every style.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lddmmlib import metrics
from lddmmlib.experiments import Experiment, _real, yardstick
from lddmmlib.experiments.labels import mean, with_interval
from lddmmlib.faces import painters, synthetic

IMAGES, STEPS, SHOWN = 2000, 500, 200


def style_gap() -> dict:
    """NME of a landmarker that knows photographs alone, style by style."""
    torch.set_num_threads(1)
    network = yardstick.train(yardstick.drawn(IMAGES), STEPS)
    nme = {style: errors(network, style, SHOWN) for style in painters.STYLES}
    return {"images": IMAGES, "steps": STEPS, "faces": SHOWN} | gaps(nme)


def errors(network: torch.nn.Module, style: str, count: int) -> Tensor:
    """NME (count,), %, on the first faces of `wild-val`: neither trained on, nor looked at when styles were made."""
    faces = (synthetic.sample(i, "wild-val", style=style) for i in range(count))
    shown = [_real.Sample(f.image.permute(1, 2, 0).contiguous().numpy(), f.landmarks.numpy()) for f in faces]
    return 100 * metrics.nme(*yardstick.predict(network, shown), "corners", yardstick.SCHEME)


def gaps(nme: dict[str, Tensor]) -> dict:
    """By style: mean NME, and its ratio to that of the same faces as photographs; faces are resampled in pairs."""
    photo = nme["photo"]

    def ratio(rows: Tensor) -> Tensor:
        style, photo = rows.mean(0).unbind(-1)
        return style / photo

    return {
        "nme_percent": {style: with_interval(values, mean) for style, values in nme.items()},
        "ratio": {s: with_interval(torch.stack([v, photo], -1), ratio) for s, v in nme.items() if s != "photo"},
    }


EXPERIMENTS = {
    "style_gap": Experiment(
        measure=style_gap,
        question="By how much does each style raise the error of a landmarker that knows photographs alone?",
        data="2,000 drawn photographs to learn from, then 200 other drawn faces in every style; nothing real",
    )
}
