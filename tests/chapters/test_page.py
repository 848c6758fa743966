"""What the build makes of a chapter: terms linked, figures and equations numbered and captioned, answers folded."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

GLOSSARY = """# Glossary

:::{glossary}
kernel
  A function.

local kernel
  Another.

alignment, face
  Not a word that a text would have.

NME
  A number.

momentum
  A vector.

norm
  A length.

control
  A word that is mostly used otherwise.
:::
"""
CHAPTER = """# %% [markdown]
# # On the kernel and its momentum
#
# A `kernel`, a $\\text{kernel}$, a subkernel and a kernel-like thing. **Local kernels**, then kernels, then a kernel.
# The {term}`norm`, and a norm; face alignment under control; an [nme](https://example.org) and the nme.
#
# | momentum |
# |---|
# | momentum |
#
# $$
# a = b
# $$ (eq-one)
#
# ## Predict first

# %%
from IPython.display import Image, display
import base64

dot = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

# %% mystnb={"image": {"alt": "A dot. It is *alone* and tells all."}}
display(Image(dot))

# %% mystnb={"image": {"alt": "An answering dot. It is alone."}} tags=["hide-input", "reveal"]
display(Image(dot))

# %% tags=["reveal"]
print("it printed this")

# %% [markdown]
# :::{dropdown} What happens
# The words of the answer.
# :::
#
# Words for everybody.

# %%
print("x" * 86)

# %%
print("y" * 87)
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(ROOT / "book", folder / "book", ignore=shutil.ignore_patterns("_build", "results", "*.md"))
    (folder / "book" / "results").mkdir()
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / "07_some.py").write_text(CHAPTER, encoding="utf-8")
    (folder / "book" / "glossary.md").write_text(GLOSSARY, encoding="utf-8")
    only = ("-D", "root_doc=notebooks/07_some", "-D", "include_patterns=notebooks/*,book/glossary.md")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-c", "book", *only, ".", "out"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder / "ipython"), "PYTHONUTF8": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return (folder / "out" / "notebooks" / "07_some.html").read_text(encoding="utf-8")


def test_the_first_use_of_each_term_in_running_text_is_linked(page):
    """The longest first, in any case and number; none in code, maths, headings, tables, links or parts of words."""
    links = re.findall(r'glossary\.html#term-([\w-]+)"[^>]*><span[^>]*>([^<]*)</span>', page, re.I)
    assert links == [("local-kernel", "Local kernels"), ("kernel", "kernels"), ("norm", "norm"), ("NME", "nme")]
    assert page.count("https://example.org") == 1


def test_numbers_are_the_chapters(page):
    assert re.findall(r'class="eqno">\((.*?)\)', page) == ["7.1"]
    assert re.findall(r'caption-number">(.*?)<', page) == ["Figure 7.1 ", "Figure 7.2 "]


def test_captions_come_from_what_the_pictures_show(page):
    """What a caption says whole is not said again; before an answer only the first sentence is in sight."""
    assert re.findall(r'caption-text">(.*?)</span>', page) == ["A dot.", "An answering dot. It is alone."]
    alts = re.findall(r'<a class="enlarge[^>]*><img alt="(.*?)"', page)
    assert alts == ["A dot. It is *alone* and tells all.", "Described by the caption below."]


def test_one_fold_holds_the_whole_answer(page):
    before, fold, after = re.split(r"(?s)(<p[^>]*>Show what happens</p>.*</details>)", page)
    assert page.count("Show what happens") == 1
    for words in ("An answering dot", "it printed this", "The words of the answer.", "Show code cell source"):
        assert words in fold
        assert words not in before + after
    assert "Words for everybody" in after
    assert "A dot." in before


def test_wide_outputs_are_marked(page):
    marked = re.findall(r'<div class="output[^"]*\bwide\b[^"]*">.*?<span></span>(\w)', page, re.S)
    assert marked == ["y"]
