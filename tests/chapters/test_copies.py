"""Students' copies: numbered as the page, with the page's folded code folded, and no box that Lab sets in italics."""

import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))
import chapters  # noqa: E402  (beside the book's pages)

CHAPTER = """# %% [markdown]
# # A chapter
#
# :::{admonition} At a glance
# **Question** Why?
#
# $$
# a = b
# $$ (eq-first)
# :::
#
# ## Predict first
#
# %% mystnb={"image": {"alt": "A line. It rises; 5 * 3 * 2."}} tags=["hide-input"]
plt.show()

# %% mystnb={"image": {"alt": "Two lines. One_falls."}} tags=["hide-input", "reveal"]
plt.show()

# %% [markdown]
# ## Set-up
#
# $$
# c = d
# $$
#
# By eq. {eq}`eq-first` and {eq}`eq-second`:
#
# $$
# e &= f \\\\
# g &= h
# $$ (eq-second)

# %% mystnb={"image": {"alt": "Three lines. All fall.", "caption": "Three *lines*."}}
plt.show()

# %% tags=["solution"]
x = 1

# %% tags=["remove-cell"]
assert x == 1
"""


@pytest.fixture
def made(tmp_path):
    path = tmp_path / "07_some.py"
    path.write_text(CHAPTER, encoding="utf-8")
    return chapters.student_copy(path)


def prose(notebook):
    return "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def test_equations_have_the_pages_numbers_once(made):
    """The environment with a star, which nobody counts, around every display; the number by hand, from its label."""
    text = prose(made)
    assert re.findall(r"\\tag\{(.*?)\}", text) == ["7.1", "7.2"]
    assert text.count(r"\begin{equation*}") == text.count(r"\end{equation*}") == 3
    assert "$$" not in text
    assert "By eq. (7.1) and (7.2):" in text
    assert "e &= f \\\\\ng &= h\n\\tag{7.2}\n\\end" in text


def test_figures_have_the_pages_numbers_and_captions(made):
    """In "Predict first" the first sentence alone, unless the picture is an answer; a caption of its own goes first."""
    captions = re.findall(r"^\*\*Figure (.*)$", prose(made), re.M)
    assert captions == ["7.1** A line.", r"7.2** Two lines. One\_falls.", "7.3** Three *lines*."]


def test_code_that_the_page_folds_away_is_folded(made):
    hidden = [c.metadata.get("jupyter", {}).get("source_hidden", False) for c in made.cells if c.cell_type == "code"]
    assert hidden == [True, True, False]
    nbformat.validate(made)


def test_boxes_are_no_quotations(made):
    assert not re.search(r"^>", prose(made), re.M)
    assert "\n---\n\n**At a glance**\n\n**Question** Why?" in prose(made)


def test_no_cell_begins_with_a_rule():
    """JupyterLab's extension for MyST would take a first line of dashes for the metadata of the notebook."""
    for path in chapters.paths():
        cells = [c for c in chapters.student_copy(path).cells if c.cell_type == "markdown"]
        assert not cells[0].source.lstrip().startswith("---")
        assert not [c.source for c in cells if re.search(r"[Ee]q\. eq\.|\$\$ *\(|[^\n]\n---", c.source)]
