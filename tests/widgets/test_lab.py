"""A widget in a real JupyterLab, with a real kernel: two views of one model, in step with Python both ways."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time

import nbformat
import pytest

SET_UP = """
import json, os, torch
from pathlib import Path
from lddmmlib.widgets import MetricExplorer

def keep(change):
    part = Path("seen.part")
    part.write_text(json.dumps({k: getattr(explorer, k) for k in ("turn", "offsets", "selected")}), encoding="utf-8")
    os.replace(part, "seen.json")

explorer = MetricExplorer(torch.tensor(FACE, dtype=torch.float64))
explorer.observe(keep, ["turn", "offsets", "selected"])
"""


@pytest.fixture
def lab(tmp_path, face):
    """JupyterLab's address; it serves a notebook about one widget shown twice, in a folder of its own."""
    config = tmp_path / "config" / "labconfig"
    config.mkdir(parents=True)
    quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (config / "page_config.json").write_text(json.dumps(quiet), encoding="utf-8")
    cells = [
        f"FACE = {face.tolist()}{SET_UP}",
        "explorer",
        "explorer",
        'explorer.turn, explorer.normaliser = 40.0, "diagonal"',
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, tmp_path / "book.ipynb")
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
    }
    env = os.environ | {name: str(tmp_path / folder) for name, folder in own.items()}
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--port=0",
        "--IdentityProvider.token=t",
        "--LabApp.expose_app_in_browser=True",
        f"--ServerApp.root_dir={tmp_path}",
    ]
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    log = tmp_path / "log"
    with (
        log.open("w", encoding="utf-8") as out,
        subprocess.Popen(command, cwd=tmp_path, env=env, stdout=out, stderr=subprocess.STDOUT) as server,
    ):
        yield f"{address(log, server)}/lab/tree/book.ipynb?token=t&reset"
        server.terminate()


def address(log, server):
    """Where the server says that it listens."""
    for _ in range(600):
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text(encoding="utf-8", errors="replace")):
            return found[0]
        assert server.poll() is None, log.read_text(encoding="utf-8", errors="replace")
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab never said its address: {log.read_text(encoding='utf-8', errors='replace')}")


def seen(page, path, wanted):
    """Wait until the kernel has noted a state that is wanted."""
    for _ in range(100):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            state = json.loads(path.read_text(encoding="utf-8"))
            if wanted(state):
                return state
        page.wait_for_timeout(100)
    raise AssertionError(f"the kernel never heard of it: {path.exists() and path.read_text(encoding='utf-8')}")


@pytest.mark.browser
def test_two_views_and_a_kernel_in_step(pages, lab, tmp_path):
    page = pages()
    page.set_default_timeout(120_000)
    page.goto(lab)
    page.get_by_text(re.compile(r"Python 3.*\| Idle")).wait_for()
    page.locator(".jp-Cell .cm-content").first.click()
    for k in range(1, 4):
        page.keyboard.press("Shift+Enter")
        page.locator(".jp-InputPrompt", has_text=f"[{k}]:").wait_for()
    page.wait_for_function("document.querySelectorAll('.jp-OutputArea figure.sw').length === 2")
    assert page.locator(".sw-root").count() == 0  # the kernel's view, not the static page
    first, second = page.locator("figure.sw").all()

    # the browser tells Python, and the other view
    handle = first.get_by_role("slider", name=re.compile("^landmark"))
    handle.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    state = seen(page, tmp_path / "seen.json", lambda s: s["offsets"][s["selected"]] == pytest.approx([1, 1], abs=1e-9))
    assert state["turn"] == 0
    other = second.get_by_role("slider", name=re.compile("^landmark"))
    said = "1.4 px off: 1.0 px right, 1.0 px down"
    page.wait_for_function("([h, t]) => h.ariaValueText === t", arg=[other.element_handle(), said])
    assert page.locator(".jp-Cell.jp-mod-active").count() == 1  # the arrows stayed with the handle

    # Python tells both views
    page.locator(".jp-Cell .cm-content").nth(3).click()
    page.keyboard.press("Shift+Enter")
    for view in (first, second):
        turn = view.get_by_role("slider", name="turn the head by").element_handle()
        page.wait_for_function("input => input.value === '40'", arg=turn)
        page.wait_for_function("v => v.querySelector('input[value=diagonal]').checked", arg=view.element_handle())
    seen(page, tmp_path / "seen.json", lambda s: s["turn"] == 40)

    # and the theme reaches the canvas
    paint = "v => v.querySelector('canvas').toDataURL()"
    light = first.evaluate(paint)
    page.evaluate("jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
    page.wait_for_function(f"([v, before]) => ({paint})(v) !== before", arg=[first.element_handle(), light])
