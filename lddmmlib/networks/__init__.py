"""The networks of the papers, each a plain `torch.nn.Module` that can be read in one sitting.

**In**: float images (b, 3, h, w) in [0, 1], red green blue. Each network standardises them itself, by the mean and
deviation of ImageNet; h and w are multiples of its `multiple` (DAN: they are its `size`), or it refuses. **Out**:

| network | `net(images)` | |
|---|---|---|
| `HRNetV2` | maps (b, n, h/4, w/4) | paper A and E |
| `StackedHourglass` | a list of maps (b, n, h/4, w/4), one a stack: all are trained, the last is read | paper A and C |
| `HRNetV2(head=CoordinateHead(...))` | points (b, n, 2) px, or momenta | paper A |
| `DAN` | points (b, n, 2) px | paper A |

A network of maps says its `stride`, in pixels a cell, for `heatmaps.encode` and `heatmaps.decode`. It learns either
`alignment`: all that matters is that both are told the same one. Maps are as trained: nothing squashes them.
`CoordConv` tells a convolution, and `with_coordinates` a whole network, where in the image it is (paper E).

`pretrained()` is a small landmarker that comes with the package: trained on drawn faces alone, for 68 points.

Weights start as their authors' do, drawn from torch's global generator: a `torch.manual_seed` before building repeats
them.
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
