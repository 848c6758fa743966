'''Pictures that answer back: anywidgets, alive in JupyterLab and in a page that has no kernel.

A widget is a Python class with the state and a script with the mathematics and the drawing. To write one, take two
files, here ``bell.py``

    from pathlib import Path
    from lddmmlib.widgets import Number, StaticWidget

    class Bell(StaticWidget):
        """exp(-x²/σ²), and how far it reaches."""

        script = Path(__file__).with_name("bell.js")
        sigma = Number(1.0, min=0.2, max=2.0)

and ``bell.js``

    import { range, widget } from "./shared.js";
    export const bell = (x, sigma) => Math.exp(-x * x / sigma ** 2);
    const xs = range(121).map(i => i / 20 - 3);
    export default widget(ui => [
      ui.plot({ x: [-3, 3], y: [0, 1], ratio: 2, label: "A bell curve" },
        p => p.line(xs.map(x => [x, bell(x, ui.get("sigma"))]), { colour: p.colour.blue })),
      ui.slider({ name: "sigma", label: "width σ (px)", min: 0.2, max: 2, step: 0.1 }),
      ui.reset("sigma"),
    ]);

then show ``Bell(question="Where is half the height?", alt="A bell curve and its width")``.

- The trait ``question`` is the caption: what to predict before trying. ``alt`` says in words what ``picture()`` shows:
  a matplotlib Figure, for a reader without scripts and for print. Without ``picture`` the words stand there.
- State is in the traits, and only there: ``Number`` and ``Numbers`` (arrays, tensors) refuse NaN. A `Bytes` trait,
  tagged ``sync=True``, is a DataView in the script: the way for images and for arrays with holes.
- The script exports its mathematics as pure functions (never named ``render``), which the tests run in Node against
  the library's; `shared.js` has the rest: plots, handles, sliders, lists, radio buttons, reset, a status for those
  who do not see the picture. Whatever is not in it lies beside the script in a .css of the same name.
- A trained network runs in the page too: `network.portable` keeps it in a file, a `Bytes` trait, and network.js does
  what it does. photograph.js asks for the reader's own photograph, which never leaves the page.
- What Python made is shown with the state of that moment. Lay widgets out in the script: VBox and interact need a
  kernel. After an edit of the script, make the widget anew: run its cell again.
'''

from lddmmlib.widgets.base import Number, Numbers, StaticWidget
from lddmmlib.widgets.bias_map import BiasMap
from lddmmlib.widgets.collision_explorer import CollisionExplorer
from lddmmlib.widgets.current_explorer import CurrentExplorer
from lddmmlib.widgets.decoder_explorer import DecoderExplorer
from lddmmlib.widgets.earth_mover import EarthMover
from lddmmlib.widgets.face_explorer import FaceExplorer
from lddmmlib.widgets.flow_explorer import FlowExplorer
from lddmmlib.widgets.follow_cascade import FollowCascade
from lddmmlib.widgets.heatmap_explorer import HeatmapExplorer
from lddmmlib.widgets.label_faces import LabelFaces
from lddmmlib.widgets.lars_explorer import LarsExplorer
from lddmmlib.widgets.loss_race import LossRace
from lddmmlib.widgets.match_explorer import MatchExplorer
from lddmmlib.widgets.metric_explorer import MetricExplorer
from lddmmlib.widgets.momenta_explorer import MomentaExplorer
from lddmmlib.widgets.perturb_explorer import PerturbExplorer
from lddmmlib.widgets.pulled_face import PulledFace
from lddmmlib.widgets.sparse_face_explorer import SparseFaceExplorer
from lddmmlib.widgets.transport_explorer import TransportExplorer
from lddmmlib.widgets.warp_explorer import WarpExplorer
from lddmmlib.widgets.warp_onto import WarpOnto

__all__ = [
    "BiasMap",
    "CollisionExplorer",
    "CurrentExplorer",
    "DecoderExplorer",
    "EarthMover",
    "FaceExplorer",
    "FlowExplorer",
    "FollowCascade",
    "HeatmapExplorer",
    "LabelFaces",
    "LarsExplorer",
    "LossRace",
    "MatchExplorer",
    "MetricExplorer",
    "MomentaExplorer",
    "Number",
    "Numbers",
    "PerturbExplorer",
    "PulledFace",
    "SparseFaceExplorer",
    "StaticWidget",
    "TransportExplorer",
    "WarpExplorer",
    "WarpOnto",
]
