"""`python -m data_scripts.cascade`: train the cascade that `FollowCascade()` shows; ship what it did on three faces.

Four linear stages (SDM) at the paper's sizes of the face, on drawn faces of which half have labels of 68 landmarks and
half of 74; H completes them in the loop. Some minutes.
"""

from __future__ import annotations

import torch

from lddmmlib.experiments import _record
from lddmmlib.faces import schemes, synthetic
from lddmmlib.methods.coupled_regression import Settings, fit_cascade
from lddmmlib.widgets import follow_cascade
from lddmmlib.widgets.follow_cascade import FollowCascade

FACES, TEST, SIZE = 300, 40, 240  # of "studio", of "studio-test"; px
SHOWN = (37, 19, 12)  # of the latter: boxes that are off, more or less
VIEWS, JITTER = 3, 0.05  # boxes of a face, and their error in shares of a side
HOW = Settings(hidden=(), decay=10.0)


def main() -> None:
    """Write the file."""
    pool = _record.RUNS / "faces"
    train = synthetic.Faces(FACES, "studio", SIZE, scheme="union-113", pool=pool)
    images, x = zip(*[(f.image, f.landmarks) for f in (train[i] for i in range(FACES))], strict=True)
    x = torch.stack(x)
    labels, second = x.clone(), sorted(j for _, j in schemes.shared("lfw-74", "union-113"))
    labels[: FACES // 2, 68:] = torch.nan
    labels[FACES // 2 :, [j for j in range(113) if j not in second]] = torch.nan
    generator = torch.Generator().manual_seed(0)
    boxes = torch.cat([placed(x, generator) for _ in range(VIEWS)])
    found = fit_cascade(list(images) * VIEWS, labels.repeat(VIEWS, 1, 1), boxes, HOW)
    order = [int(found.known[:, 67].nonzero()[0]), int(found.known[:, 112].nonzero()[0])]  # the 68 first
    found = found._replace(known=found.known[order])
    test = synthetic.Faces(TEST, "studio-test", SIZE, scheme="union-113", pool=pool)
    first = [*SHOWN, *(i for i in range(TEST) if i not in SHOWN)]
    x = torch.stack([test[i].landmarks for i in range(TEST)])
    boxes = placed(x, generator)
    explorer = FollowCascade(found, [test[i].image for i in first], boxes[first], x[first])
    explorer.keep()
    shapes, truth = torch.tensor(explorer.shapes), torch.tensor(explorer.truth)
    print("error (% of the side):", (100 * (shapes - truth[:, None]).norm(dim=-1).mean(-1)).round(decimals=2).tolist())
    print(f"{follow_cascade.KEPT}: {follow_cascade.KEPT.stat().st_size / 1e6:.2f} MB")


def placed(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Boxes (m, 4) of faces (m, p, 2), as a detector would place them: a little off, a little too large or small."""
    low, high = x[:, :68].amin(1), x[:, :68].amax(1)
    side = (high - low).amax(1, keepdim=True)
    centre = (low + high) / 2 + JITTER * side * torch.randn(len(x), 2, generator=generator)
    size = (high - low) * torch.exp(JITTER * torch.randn(len(x), 1, generator=generator))
    return torch.cat([centre - size / 2, size], 1)


if __name__ == "__main__":
    main()
