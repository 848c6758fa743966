"""Fixtures that every test may use: a widget's script in Node, pages in Chromium, the built book over loopback.

Without Node or Chromium these tests are skipped and say so; with LDDMMLIB_REQUIRE_BROWSER=1 they fail instead.

`tasks.py test --sweep` stands for other machines: LDDMMLIB_FONT names the one font of all pages (Linux), and
LDDMMLIB_WINDOW says how many times its usual height each window has.
"""

import contextlib
import functools
import http.server
import itertools
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import hypothesis
import pytest

# A slow machine is no failure, and the gate says the same twice. Look further with --hypothesis-profile=default.
hypothesis.settings.register_profile("gate", deadline=None, derandomize=True)
hypothesis.settings.load_profile("gate")

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "book" / "_build" / "html"
CHROMIUMS = [
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge", "microsoft-edge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    *(str(Path(os.environ.get(folder, ".")) / program)
      for folder in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")
      for program in ("Google/Chrome/Application/chrome.exe", "Microsoft/Edge/Application/msedge.exe")),
]  # fmt: skip
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
LOCAL = (
    "http://127.0.0.1:",
    "http://localhost:",
    "ws://127.0.0.1:",
    "ws://localhost:",
    "file:",
    "data:",
    "blob:",
    "about:",
)


def lacking(what: str):
    """Skip for want of something, or fail where it was promised."""
    (pytest.fail if os.environ.get("LDDMMLIB_REQUIRE_BROWSER") == "1" else pytest.skip)(what)


# ------------------------------------------------------------------------------------------------------ Node

# One line in: [number of a module, its URL where it is new, function, arguments]. One line out: [value, error].
NODE = """
const modules = [], text = v => (typeof v === "number" && !Number.isFinite(v) ? String(v) : v);
require("readline").createInterface({ input: process.stdin }).on("line", async line => {
  const [at, url, name, args] = JSON.parse(line);
  let answer;
  try {
    modules[at] ??= await import(url);
    if (!modules[at][name]) throw new Error(`the script exports no ${name}`);
    answer = [await modules[at][name](...args) ?? null];
  }
  catch (error) { answer = [null, String(error.stack)]; }
  console.log(JSON.stringify(answer, (key, v) => text(v)));
});
"""


def find_node() -> str:
    """The node that the package playwright brings along, else the one on PATH."""
    with contextlib.suppress(Exception):  # playwright has an error of its own for a build without node
        from playwright._impl._driver import compute_driver_executable

        bundled = Path(compute_driver_executable()[0])
        if bundled.is_file():
            return str(bundled)
    return shutil.which("node") or lacking("needs Node: pip install playwright, or put node on PATH")


class Node:
    """A Node process that keeps the modules it has loaded."""

    def __init__(self, process):
        self.process, self.known = process, {}

    def __call__(self, script, function, *args):
        from lddmmlib.widgets import base

        path = Path(script) if isinstance(script, str | Path) else script.script  # a file, a widget or its class
        text = base.bundle(path)
        at, url = self.known.get(text), None
        if at is None:
            at = self.known[text] = len(self.known)
            url = base.DATA_URL + base.to_base64(text.encode())
        question = json.dumps([at, url, function, args], default=lambda v: v.tolist(), allow_nan=False)
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        value, *error = json.loads(self.process.stdout.readline())
        if error:
            raise RuntimeError(error[0])
        return value


@pytest.fixture(scope="session")
def js():
    """js(widget or its class or a path, "function", *args): what the exported function of that very script returns.

    Arguments may be tensors and arrays. What is not finite comes back as the text "NaN" or "Infinity".
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
    with subprocess.Popen([find_node(), "-e", NODE], **pipes) as process:
        yield Node(process)
        process.stdin.close()


# -------------------------------------------------------------------------------------------------- Chromium


def find_chromium(playwright) -> str:
    own = Path(playwright.chromium.executable_path)  # there after `playwright install chromium`
    found = [str(own)] if own.is_file() else [path for name in CHROMIUMS if (path := shutil.which(name))]
    return found[0] if found else lacking("needs Chromium, Chrome or Edge: found none where they usually are")


ONE_FONT = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include>
<match target="pattern"><edit name="family" mode="assign" binding="strong"><string>{}</string></edit></match>
</fontconfig>
"""


@pytest.fixture(scope="session")
def fonts(tmp_path_factory):
    """The environment in which Chromium knows one font alone, or its usual one."""
    if not (name := os.environ.get("LDDMMLIB_FONT")):
        return dict(os.environ)
    path = tmp_path_factory.mktemp("fonts") / "fonts.conf"
    path.write_text(ONE_FONT.format(name), encoding="utf-8")
    return os.environ | {"FONTCONFIG_FILE": str(path)}


@pytest.fixture(scope="session")
def browser(fonts):
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("needs the package playwright")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(playwright), args=FLAGS, env=fonts)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def watched(browser):
    """with watched(**options of Browser.new_context) as page: at its end the test fails for each error on the console,
    each uncaught error and each request that left this machine; those that a test provokes it takes off `page.trouble`.
    """

    @contextlib.contextmanager
    def new(**options):
        options = {"viewport": {"width": 1280, "height": 900}} | options
        height = round(options["viewport"]["height"] * float(os.environ.get("LDDMMLIB_WINDOW", "1")))
        options["viewport"] = options["viewport"] | {"height": height}
        page = browser.new_context(**options).new_page()
        page.trouble = []
        page.on("pageerror", lambda error: page.trouble.append(f"error: {error}"))
        page.on("console", lambda m: page.trouble.append(f"console: {m.text}") if m.type == "error" else None)
        page.on("request", lambda r: None if r.url.startswith(LOCAL) else page.trouble.append(f"request: {r.url}"))
        page.set_default_timeout(120_000)  # against hanging alone: a busy machine may take its time
        yield page
        page.context.close()
        assert not page.trouble

    return new


@pytest.fixture
def pages(watched):
    """pages(**options of Browser.new_context): a new page, watched, and closed when the test is over."""
    with contextlib.ExitStack() as opened:
        yield lambda **options: opened.enter_context(watched(**options))


@pytest.fixture
def page(pages):
    """One page, 1280 by 900, watched as `pages` does."""
    return pages()


class Quiet(http.server.SimpleHTTPRequestHandler):
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript"
    }  # whatever Windows says

    def log_message(self, *args):
        pass

    def do_GET(self):
        if self.path == "/favicon.ico":  # asked for by the browser, not by the page
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()


@contextlib.contextmanager
def served(folder: Path):
    """The folder's address on loopback, with a slash at its end."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def site():
    """The built book's address."""
    if not (BOOK / "index.html").is_file():
        lacking("needs the built book: python3 tasks.py book")
    with served(BOOK) as address:
        yield address


# --------------------------------------------------------------------------------------- widgets without the book

BARE = """<!doctype html>
<html lang="en" data-theme="{theme}"><head><meta charset="utf-8"><title>widgets</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>html {{ font-family: sans-serif; }} main {{ max-width: 760px; margin: auto; }}
html[data-theme="dark"] {{ background: #14181e; color: #ced6dd;
  --pst-color-text-base: #ced6dd; --pst-color-text-muted: #9ca4af;
  --pst-color-border: #48566b; --pst-color-background: #14181e; --pst-color-surface: #29313d; }}</style></head>
<body><main>{body}</main></body></html>
"""


@pytest.fixture
def stage(tmp_path):
    """stage(*widgets, theme="light", over="file"): the address of a bare page that shows them as the book would."""
    count = itertools.count()
    with contextlib.ExitStack() as servers:

        def show(*widgets, theme="light", over="file"):
            body = "\n".join(widget._repr_mimebundle_()[0]["text/html"] for widget in widgets)
            path = tmp_path / f"page{next(count)}.html"
            path.write_text(BARE.format(theme=theme, body=body), encoding="utf-8")
            return path.as_uri() if over == "file" else servers.enter_context(served(tmp_path)) + path.name

        yield show


def alive(page, address, count=1):
    """Go there and wait until all its widgets live."""
    page.goto(address)
    page.wait_for_function(f"document.querySelectorAll('.sw-root[data-sw=ready]').length === {count}")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page


@pytest.fixture
def live(pages, stage):
    """live(*widgets, theme="light", over="file", **options of Browser.new_context): a page on which they all live."""

    def show(*widgets, theme="light", over="file", **options):
        return alive(pages(**options), stage(*widgets, theme=theme, over=over), len(widgets))

    return show
