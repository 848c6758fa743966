import base64
import html.parser
import io
import json
import re
import shutil
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
import traitlets
from PIL import Image

import lddmmlib.widgets
from lddmmlib.widgets import base
from lddmmlib.widgets.base import Number, Numbers, StaticWidget

HERE = Path(__file__).parent
HOSTILE = """</script><script>document.title = "out"</script><b id="out">"'&amp;</b>"""


class Probe(StaticWidget):
    script = HERE / "probe.js"
    trouble = traitlets.Unicode().tag(sync=True)
    number = Number(1.0, min=0.0, max=2.0)
    numbers = Numbers([[1, 2], [3, 4]])
    anything = traitlets.Any().tag(sync=True)


class Drawn(Probe):
    def picture(self):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([0, self.number])
        return figure


class Elements(html.parser.HTMLParser):
    """What a browser's parser would see: (tag, attributes, text directly inside)."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append([tag, dict(attributes), ""])

    def handle_data(self, data):
        if self.found:
            self.found[-1][2] += data

    def all(self, tag):
        return [(attributes, text) for t, attributes, text in self.found if t == tag]


# ----------------------------------------------------------------------------------------------- state


@pytest.mark.parametrize("value", [np.eye(2), torch.eye(2), torch.eye(2, requires_grad=True), [[1, 0], [0, 1]]])
def test_numbers_take_arrays_and_tensors(value):
    assert Probe(numbers=value).numbers == [[1, 0], [0, 1]]


@pytest.mark.parametrize("value", [[float("nan")], torch.tensor([torch.inf]), ["a"], [[1], [2, 3]], [None]])
def test_numbers_refuse_what_json_has_not(value):
    probe = Probe()
    with pytest.raises((traitlets.TraitError, ValueError)):
        probe.numbers = value
    assert probe.numbers == [[1, 2], [3, 4]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 2.1, "1"])
def test_number_refuses_what_is_not_finite_or_out_of_bounds(value):
    probe = Probe()
    with pytest.raises(traitlets.TraitError):
        probe.number = value
    assert probe.number == 1.0


def test_nan_in_any_other_trait_is_refused_at_display():
    with pytest.raises(ValueError, match="JSON"):
        Probe(anything=float("nan")).static_html()


# ----------------------------------------------------------------------------------------------- bundle


def test_bundle_leaves_nothing_to_resolve_and_comments_alone():
    text = base.bundle(HERE / "probe.js")
    assert '"../../lddmmlib' not in text
    assert '// import "./not-there.js" in a comment' in text
    assert text.count(base.DATA_URL) == 1


def test_bundle_runs_in_node_and_nests(js, tmp_path):
    (tmp_path / "a.js").write_text('export const a = 2;\nexport const accent = "é";', encoding="utf-8")
    (tmp_path / "b.js").write_text(
        'import { a, accent } from "./a.js";\nexport const b = () => 3 * a + accent;', encoding="utf-8"
    )
    script = "import {b} from './b.js'; export const c = () => b();\nexport * from './a.js';"
    (tmp_path / "c.js").write_text(script + "\nexport const path = () => './a.js';", encoding="utf-8")
    assert js(tmp_path / "c.js", "c") == "6é"
    assert js(tmp_path / "c.js", "path") == "./a.js"
    assert js(Probe, "shown", -0.001) == "0.00"


def test_a_missing_import_is_an_error(tmp_path):
    (tmp_path / "a.js").write_text('import "./b.js";', encoding="utf-8")
    with pytest.raises(FileNotFoundError):
        base.bundle(tmp_path / "a.js")


def test_script_and_sheet_are_read_anew_for_each_widget(tmp_path):
    (tmp_path / "a.js").write_text("1", encoding="utf-8")
    kind = type("Kind", (StaticWidget,), {"script": tmp_path / "a.js"})
    assert kind()._esm.startswith("1\n")
    (tmp_path / "a.js").write_text("2", encoding="utf-8")
    (tmp_path / "a.css").write_text(".mine {}", encoding="utf-8")
    assert kind()._esm.startswith("2\n")
    assert ".mine {}" in kind()._css
    assert "--sw-ink" in kind()._css


def test_node_says_what_went_wrong(js):
    with pytest.raises(RuntimeError, match="exports no nothing"):
        js(Probe, "nothing")


# ------------------------------------------------------------------------------------------ static HTML


def test_display_has_the_view_for_jupyter_the_page_and_the_picture():
    data, _ = Drawn()._repr_mimebundle_()
    assert set(data) == {"text/plain", "text/html", "image/png", "application/vnd.jupyter.widget-view+json"}
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert picture.mode == "P"
    assert picture.size == (300, 150)
    assert f"base64,{data['image/png']}" in data["text/html"]


def test_without_a_picture_the_words_stand_there():
    data, _ = Probe(alt="What it shows")._repr_mimebundle_()
    assert "image/png" not in data
    assert "<p>What it shows</p>" in data["text/html"]


def test_texts_cannot_break_out_of_the_page():
    widget = Drawn(alt=HOSTILE, question=HOSTILE, anything={HOSTILE: b"\x00\xff"})
    page = Elements(widget.static_html(widget.static_png()))
    assert [attributes["alt"] for attributes, _ in page.all("img")] == [HOSTILE]
    assert page.all("b") == []
    (_, payload), (_, host) = page.all("script")
    data = json.loads(payload)
    assert data["state"]["question"] == data["state"]["alt"] == HOSTILE
    assert data["buffers"] == [[["anything", HOSTILE], "AP8="]]
    assert "localModel" in host


def test_the_page_names_no_address():
    text = re.sub(r"base64,[A-Za-z0-9+/=]*", "", Drawn().static_html())
    assert "http:" not in text
    assert "https:" not in text


def test_state_leaves_jupyters_own_traits_out():
    (_, payload), _ = Elements(Probe().static_html()).all("script")
    assert set(json.loads(payload)["state"]) == {"question", "alt", "trouble", "number", "numbers", "anything"}


# ------------------------------------------------------------------------------------------ in a browser


@pytest.mark.browser
@pytest.mark.parametrize("over", ["file", "http"])
def test_alive_without_a_kernel(live, over):
    page = live(Probe(question="One?"), Probe(question="Two?"), over=over)
    assert page.locator(".sw-root output").all_inner_texts() == ["One?", "Two?"]
    assert page.locator(".sw-fallback").count() == 0
    assert page.evaluate("probeLoads") == 1  # one module, however many widgets


@pytest.mark.browser
def test_the_model_follows_backbones_rules(live):
    page = live(Probe(), Probe())
    heard = page.evaluate("""() => {
      const [model, other] = probes, heard = [], hear = name => (...args) => heard.push([name, args.length, args[1]]);
      const first = hear("number");
      model.on("change:number change:numbers", first);
      model.on("change:number", hear("too"));
      model.on("change", hear("any"));
      other.on("change", hear("other"));
      model.set("number", 1);                              // as it was: no event
      model.set("numbers", [[1, 2], [3, 4]]);              // equal: no event
      model.get("numbers").push(5); model.set("numbers", model.get("numbers")); // the same list: no event
      model.set("number", 2);
      model.set({ number: 0, numbers: [] });
      model.off("change:number", first);
      model.set("number", 1);
      model.off();
      model.set("number", 2);
      model.save_changes(); model.send({});
      return [heard, model.get("number"), other.get("number")];
    }""")
    both = [
        ["number", 3, 2],
        ["too", 3, 2],
        ["any", 2, {}],
        ["number", 3, 0],
        ["too", 3, 0],
        ["number", 3, []],
        ["any", 2, {}],
    ]
    expected = [*both, ["too", 3, 1], ["any", 2, {}]]  # one listener gone, its neighbour not
    assert heard == [expected, 2, 1]


@pytest.mark.browser
def test_bytes_arrive_wherever_they_stand(live):
    numbers = np.array([1.5, np.nan, -2], "<f4")
    page = live(Probe(anything={"a": [b"", {"b": numbers.tobytes()}], "c": "text"}))
    found = page.evaluate("""() => {
      const { a: [none, { b }], c } = probes[0].get("anything");
      const floats = new Float32Array(b.buffer, b.byteOffset, b.byteLength / 4);
      return [none.byteLength, b instanceof DataView, [...floats].map(String), c];
    }""")
    assert found == [0, True, ["1.5", "NaN", "-2"], "text"]


@pytest.mark.browser
def test_without_javascript_the_picture_stands_there(pages, stage):
    page = pages(java_script_enabled=False)
    page.goto(stage(Drawn(alt=HOSTILE, question="First?\nSecond?"), Probe(alt="Words")))
    picture = page.locator(".sw-root img")
    assert picture.get_attribute("alt") == HOSTILE
    assert picture.bounding_box()["width"] == 300
    assert page.locator("figcaption").first.inner_text().split("\n") == ["First?", "", "Second?"]
    assert page.locator("text=Words").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("trouble", ["initialize", "render"])
def test_an_error_keeps_the_picture_and_the_neighbour(pages, stage, trouble):
    page = pages()
    page.goto(stage(Drawn(trouble=trouble, alt="Still here"), Probe(question="I live")))
    page.wait_for_selector("[data-sw=error] img[alt='Still here']")
    page.wait_for_selector("[data-sw=ready] output:text('I live')")
    assert [t for t in page.trouble if "provoked" in t] == page.trouble
    page.trouble.clear()


@pytest.mark.browser
def test_an_error_in_the_first_drawing_keeps_the_picture(pages, stage, tmp_path):
    for name in ("shared.js", "numbers.js"):
        shutil.copy(base.HERE / name, tmp_path)
    draw = "ui.plot({ x: [0, 1], y: [0, 1] }, p => p.nothing())"
    script = f'import {{ widget }} from "./shared.js"; export default widget(ui => [{draw}]);'
    (tmp_path / "bad.js").write_text(script, encoding="utf-8")
    page = pages()
    page.goto(stage(type("Bad", (Drawn,), {"script": tmp_path / "bad.js"})(alt="Still here")))
    page.wait_for_selector("[data-sw=error] img[alt='Still here']")
    assert len(page.trouble) == 1
    page.trouble.clear()


@pytest.mark.browser
def test_a_script_that_does_not_parse_keeps_the_picture(pages, stage, tmp_path):
    (tmp_path / "bad.js").write_text("export default {", encoding="utf-8")
    page = pages()
    page.goto(stage(type("Bad", (Drawn,), {"script": tmp_path / "bad.js"})(alt="Still here")))
    page.wait_for_selector("[data-sw=error] img[alt='Still here']")
    page.trouble.clear()


@pytest.mark.browser
def test_hostile_texts_stay_texts(live):
    page = live(Drawn(alt=HOSTILE, question=HOSTILE))
    assert page.locator("output").inner_text() == HOSTILE
    assert page.title() == "widgets"
    assert page.locator("#out").count() == 0


@pytest.mark.browser
def test_the_ten_lines_of_the_docstring_live(live, tmp_path, monkeypatch):
    python, script = re.findall(r"(?:(?<=\n)    .*\n|(?<=\n)\n(?=    ))+", lddmmlib.widgets.__doc__)
    for name in ("shared.js", "numbers.js"):
        shutil.copy(base.HERE / name, tmp_path)
    (tmp_path / "bell.py").write_text(textwrap.dedent(python), encoding="utf-8")
    (tmp_path / "bell.js").write_text(textwrap.dedent(script), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import bell

    monkeypatch.delitem(sys.modules, "bell")
    page = live(bell.Bell(question="Where is half the height?"))
    before = page.locator("canvas").evaluate("c => c.toDataURL()")
    page.locator("input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('output').textContent === '1.1'")
    assert page.locator("canvas").evaluate("c => c.toDataURL()") != before
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function("document.querySelector('output').textContent === '1.0'")
    assert page.locator("canvas").evaluate("c => c.toDataURL()") == before
