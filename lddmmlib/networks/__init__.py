"""The networks of the papers, each a plain `torch.nn.Module` short enough to read at once.

**Input**: float images (b, 3, h, w) in [0, 1], red green blue. Each network standardises them itself, by ImageNet's
mean and standard deviation; h and w must be multiples of its `multiple` (for DAN, equal to its `size`). **Output**:

| network | `net(images)` | |
|---|---|---|
| `HRNetV2` | maps (b, n, h/4, w/4) | paper A and E |
| `simple_baselines.SimpleBaselines` | maps (b, n, h/4, w/4) | E |
| `cpn.CPN` | a list of five maps (b, n, h/4, w/4): all are trained, the last is used | E |
| `StackedHourglass` | a list of maps (b, n, h/4, w/4), one a stack: all are trained, the last is used | A, C |
| `HRNetV2(head=CoordinateHead(...))` | points (b, n, 2) px, or momenta | paper A |
| `DAN` | points (b, n, 2) px | paper A |
| `slpt.SLPT` | a list of points (b, layers, n, 2) px, one a stage: all are trained, the last of the last is used | D |

A network of maps has a `stride`, in pixels a cell, for `heatmaps.encode` and `heatmaps.decode`. It learns either
`alignment`, as long as both functions are given the same one. Maps are returned without a final nonlinearity.
`CoordConv` gives a convolution, and `with_coordinates` any of these networks, the position in the image as an input
(paper E).

`pretrained()` is a small landmarker that comes with the package: trained on drawn faces only, for 68 points.

Weights are initialised as by the networks' authors, from torch's global generator: call `torch.manual_seed` before
building to reproduce them.
"""

from lddmmlib.networks.coordconv import CoordConv, with_coordinates
from lddmmlib.networks.dan import DAN, Similarity, landmark_image, resample, similarity
from lddmmlib.networks.heads import CoordinateHead, HeatmapHead, Standardise
from lddmmlib.networks.hourglass import StackedHourglass
from lddmmlib.networks.hrnet import HRNetV2
from lddmmlib.networks.shipped import CropLandmarker, pretrained

__all__ = ["DAN", "CoordConv", "CoordinateHead", "CropLandmarker", "HRNetV2", "HeatmapHead", "Similarity",
           "StackedHourglass", "Standardise", "landmark_image", "pretrained", "resample", "similarity",
           "with_coordinates"]  # fmt: skip
