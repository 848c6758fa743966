"""Sphinx, MyST-NB and the book's own few hooks. The source directory is the repository's root."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from urllib.parse import quote

from docutils import nodes

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import api  # noqa: E402  (beside this file)
import chapters  # noqa: E402
import speed  # noqa: E402

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

# --- chapters: read by jupytext, run once, run again when what they import has changed (chapters.py)
nb_custom_formats = {".py": ["chapters.read", {}]}
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "jupyter_cache")
nb_execution_timeout = 60  # seconds a cell
nb_execution_raise_on_error = not ONE_PAGE
nb_execution_show_tb = True
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
    """MathJax comes from the package sphinx-mathjax-offline: the one bundle and the fonts that the pages load."""
    source = Path(importlib.util.find_spec("sphinx-mathjax-offline").submodule_search_locations[0]) / "static/mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    if app.builder.format == "html" and not target.exists():
        for part in ("tex-chtml.js", "output/chtml/fonts", "input/tex/extensions"):
            (target / part).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (source / part).is_dir() else shutil.copy)(source / part, target / part)


def outdated(app, env, added, changed, removed) -> list[str]:
    """Chapters whose text is as it was but whose library, results or lock is not."""
    before, now = getattr(env, "chapter_digests", {}), {}
    for path in chapters.paths():
        now[f"notebooks/{path.stem}"] = chapters.digest(path.read_text(encoding="utf-8"))
    env.chapter_digests = now
    return [name for name, digest in now.items() if name in env.found_docs and before.get(name) != digest]


def drop_widget_state(app, env) -> None:
    """nbclient saves every widget's state and MyST-NB puts it in the page; the static host carries its own."""
    for data in getattr(env, "nb_metadata", {}).values():
        data.get("js_files", {}).pop("ipywidgets_state", None)


def run_time(name, rawtext, text, lineno, inliner, options=None, content=None):
    """The role {run-time}`-`: how long this chapter took to run, filled in when the pages are written."""
    return [nodes.inline(rawtext, "", classes=["run-time"])], []


def fill_run_time(app, doctree, docname) -> None:
    seconds = app.env.nb_metadata.get(docname, {}).get("exec_data", {}).get("runtime")
    for node in doctree.findall(lambda n: isinstance(n, nodes.inline) and "run-time" in n["classes"]):
        node += nodes.Text(f"{seconds:.0f} s on two CPU cores" if seconds else "not measured")


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
    app.add_directive("api", api.Api)
    app.add_directive("speed", speed.Speed)
    app.add_role("run-time", run_time)
    app.connect("builder-inited", place_mathjax)
    app.connect("env-get-outdated", outdated)
    app.connect("env-updated", drop_widget_state)
    app.connect("doctree-resolved", fill_run_time)
    app.connect("html-page-context", notebook_buttons, priority=900)  # after the theme has made its list
    app.connect("build-finished", write_copies)
