"""Sphinx, MyST-NB and the book's own few hooks. The source directory is the repository's root."""

import itertools
import json
import os
import re
import sys
from pathlib import Path
from urllib.parse import quote

import nbformat
from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode, NbMetadataCollector
from sphinx.addnodes import pending_xref
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.osutil import relative_uri

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import api  # noqa: E402  (beside this file)
import chapters  # noqa: E402
import data_sets  # noqa: E402
import equations  # noqa: E402
import ledger  # noqa: E402
import mentions  # noqa: E402
import plans  # noqa: E402
import speed  # noqa: E402

from lddmmlib import widgets  # noqa: E402

LOGGER = logging.getLogger(__name__)

project = "lddmmlib"
author = "The lddmmlib authors"
copyright = "The lddmmlib authors. Text and code: MIT licence"
version = release = chapters.PROJECT["version"]

# --- what is read: `tasks.py page NN` names one chapter, else everything
ONE_PAGE = os.environ.get("LDDMMLIB_PAGE", "")
root_doc = f"notebooks/{ONE_PAGE}" if ONE_PAGE else "book/index"
include_patterns = [f"notebooks/{ONE_PAGE}.py"] if ONE_PAGE else ["book/**.md", "notebooks/[0-9][0-9]_*.py"]
exclude_patterns = ["book/_build/**", "**/.ipynb_checkpoints"]
extensions = [
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_exercise",
    "sphinx_proof",
    "sphinx_togglebutton",
    "sphinxcontrib.bibtex",
]
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
bibtex_bibfiles = [str(HERE / "references.bib")]
bibtex_reference_style = "author_year"
numfig = True
math_numfig = True
math_eqref_format = "({number})"
numfig_format = {"figure": "Figure %s"}
if ONE_PAGE:  # its neighbours are not there to refer to
    suppress_warnings = [
        "myst.xref_missing",
        "toc.not_included",
        "ref.doc",
        "ref.ref",
        "ref.term",
        "ref.eq",
        "bibtex.key_not_found",
    ]

# --- chapters: run once, again when what they import has changed (chapters.py); MyST-NB renders what they gave
nb_custom_formats = {".py": ["nbformat.reads", {"as_version": 4}]}  # a chapter's text is an executed notebook by then
nb_execution_mode = "off"
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "text/html", 5)]  # a widget's own static page before its kernel's view
nb_ipywidgets_js = {}  # no widget manager: lddmmlib/widgets/static_host.js is the host

add_module_names = False
toc_object_entries_show_parents = "hide"
nitpick_ignore_regex = [("py:.*", r"(?!lddmmlib).*")]  # other libraries' pages are not looked up: no network

# --- the pages
html_theme = "sphinx_book_theme"
html_title = "lddmmlib"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_additional_pages = {"index": "redirect.html"}
html_css_files = ["book.css"]
html_favicon = "_static/favicon.svg"
html_logo = "_static/logo.svg"
html_copy_source = False  # the download button gives a notebook, never the .py
html_show_sourcelink = False
html_last_updated_fmt = None
html_context = {"default_mode": "auto"}
html_theme_options = {
    "repository_url": chapters.REPOSITORY,
    "use_repository_button": bool(chapters.REPOSITORY),
    "use_issues_button": bool(chapters.REPOSITORY),
    "use_source_button": False,
    "use_download_button": False,
    "show_toc_level": 2,
    "navbar_persistent": [],
    "home_page_in_toc": True,
}
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"tex": {"macros": {"R": r"\mathbb{R}", "argmin": r"\operatorname*{arg\,min}"}}}


def place_mathjax(app) -> None:
    if app.builder.format == "html":
        chapters.put_mathjax(Path(app.outdir) / "_static" / "mathjax")


def outdated(app, env, added, changed, removed) -> list[str]:
    """Chapters whose text is as it was but whose library, results or lock is not, and those that did not run."""
    before, now = getattr(env, "chapter_digests", {}), {}
    for path in chapters.paths():
        now[f"notebooks/{path.stem}"] = chapters.digest(path.read_text(encoding="utf-8"))
    env.chapter_digests = now
    stopped = stopped_chapters(env)
    return [name for name in now if name in env.found_docs and (before.get(name) != now[name] or name in stopped)]


RUNNING = {}  # the chapters that this build reads, as they are or will be executed


def start_chapters(app, env, docnames) -> None:
    """Run the chapters side by side before Sphinx reads them one after the other."""
    found = [chapters.ROOT / f"{name}.py" for name in sorted(docnames) if name.startswith("notebooks/")]
    RUNNING.update(chapters.start_all(found, Path(app.config.chapter_runs)))


def run_chapter(app, docname, source) -> None:
    """Put a chapter's executed notebook in the place of its text. One that fails costs its own page alone.

    On every page the papers' equations become links to their index.
    """
    if not docname.startswith("notebooks/"):
        source[0] = mentions.linked(source[0])
        return
    try:
        run = RUNNING.pop(docname.removeprefix("notebooks/")).result()
    except KeyboardInterrupt:  # those that have not begun do not begin
        for each in RUNNING.values():
            each.cancel()
        raise
    if run.stop:
        LOGGER.warning("%s", run.stop, location=docname, type="lddmmlib", subtype="chapter")
    result = {"mtime": run.ended, "runtime": run.seconds, "method": "cache"}
    result |= {"succeeded": not run.stop, "error": run.stop and str(run.stop), "traceback": None}
    NbMetadataCollector.set_exec_data(app.env, docname, result)
    paper = mentions.DECADES.get(docname.removeprefix("notebooks/")[0], "")
    for cell in run.notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = mentions.linked(cell.source, paper)
    source[0] = nbformat.writes(run.notebook)


def stopped_chapters(env) -> dict[str, str]:
    """The chapters whose run stopped early, and why."""
    data = {name: each.get("exec_data") or {} for name, each in getattr(env, "nb_metadata", {}).items()}
    return {name: each["error"] for name, each in data.items() if each.get("succeeded") is False}


def report(app, exception) -> None:
    """Tell tasks.py which chapters stopped, beside the pages; without this file the build did not end."""
    if exception is None:
        stopped = stopped_chapters(app.env)
        app.statuscode = app.statuscode or int(bool(stopped))
        path = Path(f"{app.outdir}.stopped.json")
        path.write_text(json.dumps(stopped, indent=1), encoding="utf-8")


def as_counted(app, env) -> list[str]:
    """Give Sphinx back its own numbers of figures and equations, so that it sees which have changed."""
    env.toc_fignumbers = getattr(env, "counted_numbers", env.toc_fignumbers)
    return []


def number_by_chapter(app, env) -> list[str]:
    """Number a chapter's figures, equations and exercises by its own number: the third of chapter 11 is 11.3."""
    env.counted_numbers = env.toc_fignumbers
    env.toc_fignumbers = {
        name: {
            kind: {which: (int(name.split("/")[1][:2]), i + 1) for i, which in enumerate(numbers)}
            if name.startswith("notebooks/")
            else numbers
            for kind, numbers in kinds.items()
        }
        for name, kinds in env.toc_fignumbers.items()
    }
    return []


def link_pictures(app, doctree, docname) -> None:
    """Let each picture of a chapter lead to itself alone: on a phone, to be enlarged there."""
    for picture in list(doctree.findall(nodes.image)):
        known = app.env.images.get(picture["uri"])
        if known and docname.startswith("notebooks/") and not isinstance(picture.parent, nodes.reference):
            there = relative_uri(app.builder.get_target_uri(docname), f"_images/{known[1]}")
            link = nodes.reference("", "", refuri=there, internal=True, classes=["enlarge"])
            picture.replace_self(link)
            link += picture


class Explorer(SphinxDirective):
    """``{explorer} PulledFace``: a widget of `lddmmlib.widgets` as it is without arguments, on a page without code."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        widget = getattr(widgets, self.arguments[0])()
        for path in Path(widgets.__file__).parent.glob("*"):
            self.env.note_dependency(str(path))
        return [nodes.raw("", widget.static_html(widget.static_png()), format="html")]


class MarkWide(SphinxPostTransform):
    """Mark what is printed in lines too long for the page's column; book.css sets it smaller."""

    default_priority = 190

    def run(self, **options) -> None:
        for block in self.document.findall(nodes.literal_block):
            longest = max(map(len, block.astext().splitlines()), default=0)
            if longest > WIDE and "output" in block["classes"]:
                block["classes"].append("wide")


WIDE = 86  # characters


class LinkTerms(SphinxPostTransform):
    """Link a chapter's first use of each glossary term, in running text, to the glossary."""

    default_priority = 5  # before references are resolved

    def run(self, **options) -> None:
        if not self.env.docname.startswith("notebooks/"):
            return
        objects = self.env.domains.standard_domain.get_objects()
        names = {name for name, _, kind, *_ in objects if kind == "term" and "," not in name} - EVERYDAY
        done = {node["reftarget"].lower() for node in self.document.findall(pending_xref) if node["reftype"] == "term"}
        wanted = {name.lower(): name for name in names if name.lower() not in done}
        for paragraph in list(self.document.findall(nodes.paragraph)):
            for text in list(paragraph.findall(nodes.Text)):
                if wanted and not any(isinstance(above, UNLINKED) for above in ancestors(text)):
                    text.parent.replace(text, linked(text.astext(), wanted, self.env.docname))


class FoldReveals(SphinxPostTransform):
    """Put what answers a prediction, cells tagged `reveal` and the words that follow them, behind one fold."""

    default_priority = 198  # before single cells and dropdowns become folds of their own

    def run(self, **options) -> None:
        for first in list(self.document.findall(lambda n: isinstance(n, nodes.container) and is_reveal(n))):
            place, at = first.parent, first.parent.index(first) if first.parent else 0
            if place is None or isinstance(place, HideCodeCellNode):  # already behind the fold of the one above
                continue
            together = list(itertools.takewhile(is_reveal, place.children[at:]))
            fold = HideCodeCellNode(prompt_show="Show what happens", prompt_hide="Hide what happens")
            fold["classes"].append("above-input")
            after = place.children[at + len(together) : at + len(together) + 1]
            words = [n for n in after if n.get("design_component") == "dropdown" and n[0].astext() == "What happens"]
            for node in (*together, *words):
                place.remove(node)
            fold.extend([*together, *(child for n in words for child in n.children[1:])])
            place.insert(at, nodes.container("", fold, classes=["cell", "reveal"]))


def is_reveal(node) -> bool:
    return "tag_reveal" in node.get("classes", [])


EVERYDAY = {"control", "split", "visible"}  # terms that are other words more often than not
UNLINKED = (
    nodes.literal,
    nodes.math,
    nodes.reference,
    nodes.title,
    nodes.raw,
    nodes.caption,
    pending_xref,
    nodes.table,
)


def ancestors(node):
    while node.parent is not None:
        node = node.parent
        yield node


def linked(text: str, wanted: dict[str, str], docname: str) -> list[nodes.Node]:
    """A text's nodes, in which each term that it has first is a reference; those are taken out of ``wanted``."""
    done, parts = 0, []
    longest = "|".join(re.escape(name) for name in sorted(wanted, key=len, reverse=True))
    for found in re.finditer(rf"(?<![\w-])({longest})(?:s|es)?(?![\w-])", text, re.I):
        name = wanted.pop(found[1].lower(), None)
        if name:
            inside = nodes.inline(found[0], found[0], classes=["xref", "std", "std-term"])
            to = {"refdomain": "std", "reftype": "term", "reftarget": name, "refdoc": docname, "refexplicit": True}
            parts += [nodes.Text(text[done : found.start()]), pending_xref("", inside, refwarn=False, **to)]
            done = found.end()
    return [*parts, nodes.Text(text[done:])]


def run_time(name, rawtext, text, lineno, inliner, options=None, content=None):
    """The role {run-time}`-`: how long this chapter, or the one that is named, took to run; filled in at writing."""
    chapter = "" if text == "-" else f"notebooks/{text}"
    return [nodes.inline(rawtext, "", classes=["run-time"], chapter=chapter)], []


def fill_run_time(app, doctree, docname) -> None:
    for node in doctree.findall(lambda n: isinstance(n, nodes.inline) and "run-time" in n["classes"]):
        run = app.env.nb_metadata.get(node["chapter"] or docname, {}).get("exec_data", {})
        seconds = run.get("succeeded") and run["runtime"]
        node += nodes.Text(f"{seconds:.0f} s on two CPU cores" if seconds else "not measured")


def always_written(app, env) -> list[str]:
    """The page whose run times are those of other pages: written anew with each build."""
    return ["book/instructors"] if "book/instructors" in env.found_docs else []


def notebook_buttons(app, pagename, templatename, context, doctree) -> None:
    """Download always; Colab and Binder once the repository's address is set in pyproject.toml."""
    stem = pagename.removeprefix("notebooks/")
    if stem == pagename or "header_buttons" not in context:
        return
    links = [("Download the notebook", f"{stem}.ipynb", "fas fa-download")]
    if chapters.REPOSITORY:
        repository = chapters.REPOSITORY.removeprefix("https://github.com/")
        copy = quote(f"lab/tree/my_notebooks/{stem}.ipynb", safe="")
        colab = f"https://colab.research.google.com/github/{repository}/blob/gh-pages/notebooks/{stem}.ipynb"
        binder = f"https://mybinder.org/v2/gh/{repository}/main?urlpath={copy}"
        links += [("Open in Colab", colab, "fas fa-play"), ("Open in Binder", binder, "fas fa-rocket")]
    context["header_buttons"][:0] = [
        {
            "type": "link",
            "text": text,
            "tooltip": text,
            "url": url,
            "icon": icon,
            "label": text.split()[0].lower(),
        }
        for text, url, icon in links
    ]


def write_copies(app, exception) -> None:
    """The notebooks behind the download buttons."""
    if exception is None and app.builder.format == "html":
        for path in chapters.paths():
            if (folder := Path(app.outdir) / "notebooks").is_dir():
                chapters.write(chapters.student_copy(path), folder / f"{path.stem}.ipynb")


def setup(app) -> None:
    app.add_config_value("chapter_runs", str(chapters.RUNS), "", [str])
    app.add_directive("api", api.Api)
    app.add_directive("equations", equations.Equations)
    app.add_directive("figures", equations.Figures)
    app.add_directive("speed", speed.Speed)
    app.add_directive("datasets", data_sets.Datasets)
    app.add_directive("ledger", ledger.Ledger)
    app.add_directive("explorer", Explorer)
    app.add_role("run-time", run_time)
    app.add_role("tally", ledger.tally_role)
    plans.setup(app)
    app.connect("builder-inited", place_mathjax)
    app.connect("env-get-outdated", outdated)
    app.connect("env-before-read-docs", start_chapters)
    app.connect("source-read", run_chapter)
    app.connect("env-get-updated", as_counted, priority=400)
    app.connect("env-get-updated", always_written)
    app.connect("env-get-updated", number_by_chapter, priority=600)
    app.connect("doctree-resolved", fill_run_time)
    app.connect("doctree-resolved", link_pictures)
    app.add_post_transform(LinkTerms)
    app.add_post_transform(MarkWide)
    app.add_post_transform(FoldReveals)
    app.connect("html-page-context", notebook_buttons, priority=900)  # after the theme has made its list
    app.connect("build-finished", write_copies)
    app.connect("build-finished", report, priority=900)  # last
