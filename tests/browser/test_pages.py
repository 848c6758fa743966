"""The built book: every page is there, whole, readable in light and dark, on a phone, from disk, with no network."""

import json
import re
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))
import chapters  # noqa: E402

BOOK = ROOT / "book" / "_build" / "html"
WRITTEN = [f"book/{p.stem}" for p in sorted((ROOT / "book").glob("*.md"))]
CHAPTERS = [f"notebooks/{p.stem}" for p in chapters.paths()]
PAGES = [*WRITTEN, *CHAPTERS]
MOST = 2_500_000  # bytes of one page
READY = "document.querySelectorAll('.sw-root:not([data-sw=ready])').length === 0"  # its widgets live


class Links(HTMLParser):
    """What a page loads, what it links to, and its pictures without words."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.silent = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        if tag in {"img", "script", "iframe", "source", "video"} and a.get("src"):
            self.loads.append(a["src"])
        if tag == "link" and a.get("rel") in {"stylesheet", "icon", "preload", "preconnect"}:
            self.loads.append(a["href"])
        if tag == "a" and a.get("href"):
            self.links.append(a["href"])
        if tag == "img" and not a.get("alt"):
            self.silent.append(a.get("src", "")[:60])


@pytest.fixture(params=PAGES, scope="module")
def built(request):
    """(path, text, `Links`) of each page that must be there."""
    if not BOOK.is_dir():
        pytest.skip("the book is not built")
    path = BOOK / f"{request.param}.html"
    assert path.is_file(), f"{request.param}.html was not built"
    text = path.read_text(encoding="utf-8")
    return path, text, Links(text)


@pytest.mark.book
def test_pages_are_whole(built):
    path, text, _ = built
    assert "Traceback (most recent call last)" not in text
    assert not re.search(r'class="[^"]*\b(?:system-message|problematic)\b', text)
    assert not re.search(r"\{(?:eq|doc|ref|cite|func|term|run-time)[^}]*\}`", text), "a role that nobody resolved"
    assert len(text) < MOST, f"{path.name} has {len(text) / 1e6:.1f} MB"


@pytest.mark.book
def test_pages_load_nothing_from_outside(built):
    assert not [src for src in built[2].loads if urlsplit(src).scheme not in {"", "data"}]


@pytest.mark.book
def test_pictures_speak(built):
    assert not built[2].silent


@pytest.mark.book
def test_links_lead_somewhere(built):
    path, _, links = built
    for href in links.links:
        parts = urlsplit(href)
        if parts.scheme == "" and parts.path:
            assert (path.parent / unquote(parts.path)).exists(), f"{path.name}: {href}"


@pytest.mark.book
def test_no_widget_waits_for_a_kernel(built):
    assert "widget-state+json" not in built[1]
    assert "widget-view+json" not in built[1]


@pytest.mark.book
@pytest.mark.parametrize("name", CHAPTERS)
def test_figures_have_numbers_captions_and_a_way_to_be_enlarged(name):
    """Numbered by chapter and in order, as in the student's copy; equations too."""
    page = (BOOK / f"{name}.html").read_text(encoding="utf-8")
    copy = json.loads((BOOK / f"{name}.ipynb").read_text(encoding="utf-8"))
    text = "\n".join("".join(cell["source"]) for cell in copy["cells"])
    number = int(name.split("/")[1][:2])
    figures = re.findall(r'class="caption-number">Figure ([\d.]+)', page)
    assert figures == [f"{number}.{i + 1}" for i in range(page.count('<figure class="align-'))]
    assert figures == re.findall(r"^\*\*Figure ([\d.]+)\*\* ", text, re.M)
    assert len(figures) == len(re.findall(r'<figure [^>]*>\s*<a class="enlarge[^>]*href="\.\./_images/', page))
    equations = re.findall(r'class="eqno">\(([\d.]+)\)', page)
    assert equations == re.findall(r"\\tag\{([\d.]+)\}", text) == [f"{number}.{i + 1}" for i in range(len(equations))]


@pytest.mark.book
def test_papers_and_terms_are_linked():
    text = (BOOK / "book" / "bibliography.html").read_text(encoding="utf-8")
    entries = re.findall(r'<div class="citation"(.*?)</div>', text, re.S)
    assert len(entries) > 20
    assert not [entry[:200] for entry in entries if 'href="http' not in entry]
    for name in CHAPTERS:
        page = (BOOK / f"{name}.html").read_text(encoding="utf-8")
        terms = re.findall(r'glossary\.html#(term-[\w-]+)"', page)
        assert terms, name
        assert len(terms) == len(set(terms)), f"{name}: a term is linked twice"


@pytest.mark.book
def test_download_button_gives_a_notebook(built):
    path, _, links = built
    if path.parent.name == "notebooks":
        hrefs = [urlsplit(h).path for h in links.links]
        assert f"{path.stem}.ipynb" in hrefs
        assert not [h for h in hrefs if h.endswith(".py")], "a button or link that leads to a .py file"
        copy = json.loads(path.with_suffix(".ipynb").read_text(encoding="utf-8"))
        assert copy["cells"]
        assert not [cell for cell in copy["cells"] if cell.get("outputs")]
        assert chapters.REPOSITORY or not [h for h in links.links if "colab" in h or "mybinder" in h]


@pytest.mark.book
def test_zip_opens_by_double_click(tmp_path):
    archive = BOOK.parent / "lddmmlib-book.zip"
    if not archive.exists():
        pytest.skip("the zip is made by `tasks.py book`")
    with zipfile.ZipFile(archive) as z:
        names = set(z.namelist())
    assert "lddmmlib-book/index.html" in names
    assert {f"lddmmlib-book/{page}.html" for page in PAGES} <= names


# A page is opened once in a window of either width: one after the other, the tests look at it and use it there. On the
# phone it comes from disk, as it does for whoever unpacks the zip.
OPENED = [(name, width) for name in PAGES for width in (1280, 390)]
IS_SET = "!window.MathJax?.startup?.promise || MathJax.startup.promise.then(() => true)"


@pytest.fixture(scope="module", params=OPENED, ids=lambda window: "-".join(map(str, window)))
def shown(watched, site, request):
    """(page, width) of each page and window: formulas set, widgets alive, folds open; watched as `pages` are."""
    name, width = request.param
    address = f"{site}{name}.html" if width == 1280 else (BOOK / f"{name}.html").as_uri()
    with watched(viewport={"width": width, "height": 800}) as page:
        page.goto(address)
        page.wait_for_function(IS_SET)
        page.wait_for_function(READY)
        page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
        yield page, width


@pytest.mark.browser
def test_pages_fit_their_window(shown):
    """Nothing sticks out sideways, formulas are set."""
    page, width = shown
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, f"{wide} pixels wide on a window of {width}"
    formulas, rendered = page.evaluate(
        "[document.querySelectorAll('.math').length, document.querySelectorAll('mjx-container').length]"
    )
    assert rendered >= formulas
    assert not page.locator("mjx-merror").count()


WIDER = """() => {
  const boxes = ".bd-article :is(div.math mjx-container, pre, table, .output):not(.sw-root *, :has(.sw-root))";
  return [...document.querySelectorAll(boxes)]
    .filter(box => box.clientWidth && box.scrollWidth > box.clientWidth + 1)
    .map(box => `${box.scrollWidth} in ${box.clientWidth}: ${box.closest("[id]").id} ${box.innerText.slice(0, 60)}`);
}"""


@pytest.mark.browser
def test_equations_code_and_results_fit_their_boxes(shown):
    """On a window of 1280 pixels nobody must scroll a box sideways, not even one behind a fold; on a phone an equation
    that is too wide says so, and scrolls alone."""
    page, width = shown
    if width == 1280:
        assert not page.evaluate(WIDER)
    else:
        scrolled = page.evaluate(
            """[...document.querySelectorAll('div.math mjx-container')].filter(e => e.scrollWidth > e.clientWidth + 1)
            .map(e => { e.scrollLeft = 5; return [e.scrollLeft, getComputedStyle(e).backgroundImage, scrollX]; })"""
        )
        assert all(left > 0 and "gradient" in hint and x == 0 for left, hint, x in scrolled)
        assert scrolled or "11_flows" not in page.url, "an equation of this chapter is wider than a phone"


@pytest.mark.browser
def test_the_wheel_over_a_widget_scrolls_the_page(shown):
    """With its first turn: a widget that had a scroller of its own, however short, would swallow that."""
    page, _ = shown
    for widget in page.locator(".sw-root").all():
        widget.evaluate("w => scrollTo({top: w.getBoundingClientRect().top + scrollY - 200, behavior: 'instant'})")
        box, before = widget.bounding_box(), page.evaluate("scrollY")
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + min(box["height"], 400) / 2)
        page.mouse.wheel(0, 100)
        page.wait_for_function(f"scrollY > {before} + 50")


STAYS = """stays => {
  const controls = stays.lastElementChild.querySelectorAll("input, select, button, output");
  ([...controls].at(-1) ?? stays.lastElementChild).scrollIntoView({ block: "end", behavior: "instant" });
  const picture = stays.querySelector(".sw-stage").getBoundingClientRect();
  return [picture.top, picture.bottom, innerHeight];
}"""


@pytest.mark.browser
def test_a_picture_stays_in_sight_of_its_last_control_on_a_phone(shown):
    page, width = shown
    for stays in page.locator(".sw-stays").all() if width == 390 else []:
        top, bottom, height = stays.evaluate(STAYS)
        assert 0 <= top < bottom <= height, f"the picture is from {top:.0f} to {bottom:.0f} of {height} pixels"


@pytest.mark.browser
def test_what_answers_a_prediction_comes_when_asked_for(page, site):
    page.goto(f"{site}notebooks/11_flows_and_shooting.html")
    answer = page.get_by_text("The chin moves further")
    assert not answer.is_visible()
    page.get_by_text("Show what happens").first.click()
    assert answer.is_visible()
    assert page.get_by_text("arrow at the chin").last.is_visible(), "what was printed is behind the same fold"


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_buttons_are_no_larger_than_the_text(pages, site, theme):
    page = pages(color_scheme=theme)
    page.goto(f"{site}notebooks/02_measuring_error.html")
    size = "e => parseFloat(getComputedStyle(e).fontSize)"
    text = page.locator("article p").first.evaluate(size)
    assert page.locator(".bd-header-article a.btn").first.evaluate(size) <= text


@pytest.mark.browser
def test_the_front_page_leads_in(page, site):
    page.goto(f"{site}index.html")
    page.wait_for_url("**/book/index.html")
    page.locator(".sd-card").first.click()
    page.wait_for_url("**/notebooks/00_start.html")


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_in_both_themes(pages, site, theme):
    """The page follows the system; its text reaches a contrast of 7 to 1 with its ground."""
    page = pages(color_scheme=theme)
    page.goto(f"{site}notebooks/00_start.html")
    text, ground = page.evaluate(
        "[getComputedStyle(document.querySelector('article p')).color, getComputedStyle(document.body).backgroundColor]"
    )
    light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 7
    assert (luminance(ground) < 0.2) == (theme == "dark")


def luminance(colour):
    """Relative luminance of a CSS rgb() colour, as WCAG defines it."""
    channels = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
