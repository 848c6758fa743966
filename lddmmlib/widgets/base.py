"""The widgets' base: an anywidget that stays alive in a static page, where no kernel and no widget manager is."""

from __future__ import annotations

import base64
import html
import inspect
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from lddmmlib import _checks

anywidget, ipywidgets, traitlets = map(_checks.optional, ("anywidget", "ipywidgets", "traitlets"))
remove_buffers = _checks.optional("anywidget._util").remove_buffers

HERE = Path(__file__).parent
# `import ... from "./x.js"`, `import "./x.js"`, `export ... from "./x.js"` that begin a line, over several lines too.
IMPORT = re.compile(r"""^((?:import|export)\b[^"';]*?\bfrom\s*|import\s*)(["'])(\.{1,2}/[^"'\n]+)\2""", re.MULTILINE)
DATA_URL = "data:text/javascript;base64,"
# What Jupyter's own host needs of a widget and a static page does not.
HOST_TRAITS = {*ipywidgets.DOMWidget.class_trait_names(sync=True), "_esm", "_css", "_anywidget_id"}


def to_base64(data: bytes | memoryview) -> str:
    """Bytes as ASCII text."""
    return base64.b64encode(data).decode("ascii")


def bundle(path: Path) -> str:
    """The script at ``path`` as one text: each relative import, recursively, has become a data: URL.

    A blob: URL and a page opened from disk have nothing to resolve "./shared.js" against; a data: URL works there, in
    JupyterLab and in Node. Equal URLs are one module to a page, so what scripts share is loaded once.
    """
    text = path.read_text(encoding="utf-8")

    def inline(found: re.Match) -> str:
        inner = bundle(path.parent / found[3])
        return f'{found[1]}"{DATA_URL}{to_base64(inner.encode())}"'

    return IMPORT.sub(inline, text) + f"\n//# sourceURL=lddmmlib/widgets/{path.name}\n"  # named so in DevTools


class Number(traitlets.Float):
    """A finite float, synchronised with the browser, whose JSON knows neither NaN nor infinity."""

    def __init__(self, default: float = 0.0, **bounds: float) -> None:
        _checks.keywords(bounds, {"min", "max", "help"}, "Number")
        super().__init__(default, **bounds)
        self.tag(sync=True)

    def validate(self, obj: traitlets.HasTraits, value: object) -> float:
        number = super().validate(obj, value)
        if not np.isfinite(number):
            raise traitlets.TraitError(f"{self.name}: needed a finite number, got {number}")
        return number


class Numbers(traitlets.List):
    """Nested lists of finite numbers, synchronised with the browser; tensors and arrays become lists."""

    def __init__(self, default: Sequence = ()) -> None:
        super().__init__(default_value=list(default))
        self.tag(sync=True)

    def validate(self, obj: traitlets.HasTraits, value: object) -> list:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            what = "something else" if array.dtype.kind not in "fiu" else "NaN or infinity"
            raise traitlets.TraitError(
                f"{self.name}: needed an array of finite numbers, got {what} among them; "
                "leave missing landmarks out first"
            )
        return super().validate(obj, array.tolist())


class StaticWidget(anywidget.AnyWidget):
    """An anywidget in Jupyter; in a static page its script runs on a local model (static_host.js).

    A subclass names its ``script``, declares its state as traits with ``sync=True``, and draws ``picture``. The style
    sheet is shared.css, and ``script`` with the ending .css where that file exists.
    """

    script: ClassVar[Path]
    question = traitlets.Unicode(help="what the reader should predict; the caption").tag(sync=True)
    alt = traitlets.Unicode("Interactive figure", help="what the picture shows, in words").tag(sync=True)

    def __init__(self, **traits: object) -> None:
        self._refuse_unknown(traits)
        super().__init__(**traits)

    def _refuse_unknown(self, traits: dict[str, object]) -> None:
        """TypeError for a keyword that is no trait: traitlets itself would take it without a word."""
        own = inspect.signature(type(self)).parameters.values()
        host = set(anywidget.AnyWidget.class_trait_names())
        known = {*self.trait_names(), *(p.name for p in own if p.kind != p.VAR_KEYWORD)} - host
        _checks.keywords(traits.keys() - host, known, type(self).__name__)

    @traitlets.default("_esm")
    def _bundled(self) -> str:
        return bundle(self.script)  # read anew for each widget: while writing one, save, run the cell again

    @traitlets.default("_css")
    def _styles(self) -> str:
        sheets = [HERE / "shared.css", self.script.with_suffix(".css")]
        return "\n".join(sheet.read_text(encoding="utf-8") for sheet in sheets if sheet.exists())

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)

    def picture(self):
        """A matplotlib Figure of the present state, shown where no script runs and in print; None for words alone."""

    def static_png(self) -> bytes | None:
        """``picture`` as a PNG of at most 64 colours, some 20 kB."""
        matplotlib, image = _checks.optional("matplotlib"), _checks.optional("PIL.Image")
        from lddmmlib import plots

        full, small = io.BytesIO(), io.BytesIO()
        with matplotlib.rc_context(plots.STYLE):
            figure = self.picture()
            if figure is None:
                return None
            figure.savefig(full, format="png", dpi=150, facecolor="white")
        image.open(full).convert("RGB").quantize(64).save(small, format="png", optimize=True)
        return small.getvalue()

    def static_html(self, png: bytes | None = None) -> str:
        """The widget as HTML that needs no file, no network and no kernel beside it.

        Raises ValueError where a trait holds NaN or infinity, which JSON has not.
        """
        state, paths, buffers = remove_buffers(self.get_state([k for k in self.keys if k not in HOST_TRAITS]))
        data = {
            "esm": self._esm,
            "state": state,
            "buffers": [[path, to_base64(b)] for path, b in zip(paths, buffers, strict=True)],
        }
        # An escaped "<" cannot end the script element, whatever the texts say.
        payload = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
        alt = html.escape(self.alt)
        question = "".join(f"<p>{html.escape(line)}</p>" for line in self.question.splitlines() if line)
        shown = f'<img src="data:image/png;base64,{to_base64(png)}" alt="{alt}">' if png else f"<p>{alt}</p>"
        return (
            f'<div class="sw-root"><style>{self._css}</style>'
            f'<figure class="sw sw-fallback"><figcaption>{question}</figcaption>{shown}</figure>'
            f'<script type="application/json">{payload}</script></div>\n'
            f'<script type="module">\n{(HERE / "static_host.js").read_text(encoding="utf-8")}</script>'
        )

    def _repr_mimebundle_(self, **kwargs):
        data, metadata = super()._repr_mimebundle_(**kwargs)
        png = self.static_png()
        data["text/html"] = self.static_html(png)
        if png:
            data["image/png"] = to_base64(png)
        return data, metadata
