"""The chapters as notebooks: how the book reads them, what they depend on, and the copies that students get.

A chapter is a `py:percent` file in notebooks/; every `.ipynb` is made from it. `python book/chapters.py copies DIR`
writes the students' copies.
"""

import ast
import functools
import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path

import jupytext
import nbformat

FOLD = r"<details><summary>\1</summary>\n\n\2\n</details>\n"
ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "lddmmlib"
RESULTS = ROOT / "book" / "results"
BIBLIOGRAPHY = ROOT / "book" / "references.bib"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT.get("urls", {}).get("Repository", "")  # until it is set there are no Colab and Binder buttons


def paths() -> list[Path]:
    """The chapters, in reading order."""
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))


def read(text: str) -> nbformat.NotebookNode:
    """A chapter's text as a notebook that carries a digest of what it depends on.

    The execution cache hashes code cells and kernelspec. With the digest in the kernelspec, a chapter runs again when
    the library modules that it imports change, or the results that it shows, and no other chapter does.
    """
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "digest": digest(text)}
    for cell in notebook.cells:
        if cell.cell_type == "code" and "solution" in cell.metadata.get("tags", []):
            cell.metadata["tags"] = [*cell.metadata["tags"], "hide-cell"]  # folded in the page
            cell.metadata["mystnb"] = {
                "code_prompt_show": "Show a solution",
                "code_prompt_hide": "Hide the solution",
            }
    return notebook


# ------------------------------------------------------------------------------------------- what a chapter reads


def digest(text: str) -> str:
    """A hash of the lock, the library files behind this text's imports, and the results whose names it mentions."""
    files = {ROOT / "requirements.lock"} | library_files(text)
    files |= {p for p in RESULTS.glob("*") if p.is_file() and p.name.split(".")[0] in text}
    h = hashlib.sha256()
    for path in sorted(files):
        h.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return h.hexdigest()[:16]


def library_files(text: str) -> set[Path]:
    """The modules of lddmmlib that this text imports, what those import, and the data files beside them."""
    modules, todo = set(), set(imports(text))
    while todo:
        modules |= todo
        todo = {found for path in todo for found in imports(path.read_text(encoding="utf-8"))} - modules
    beside = {f for m in modules for f in m.parent.iterdir() if f.is_file() and f.suffix not in {".py", ".pyc"}}
    return modules | beside


@functools.lru_cache(maxsize=512)
def imports(text: str) -> tuple[Path, ...]:
    """The files of lddmmlib that a piece of Python imports, by their import statements."""
    code = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in text.splitlines())
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    found = set()
    for name in names:
        parts = name.split(".")
        if parts[0] == PACKAGE.name:  # a package runs its __init__ and those above it
            found |= {ROOT.joinpath(*parts[:i], "__init__.py") for i in range(1, len(parts) + 1)}
            found.add(ROOT.joinpath(*parts).with_suffix(".py"))
    return tuple(sorted(p for p in found if p.is_file()))


# ------------------------------------------------------------------------------------------------- students' copies


def student_copy(path: Path) -> nbformat.NotebookNode:
    """The chapter for a student: plain Markdown that any notebook viewer shows, and no solutions."""
    notebook = read(path.read_text(encoding="utf-8"))
    del notebook.metadata["kernelspec"]["digest"]
    labels = re.findall(r"^\$\$ *\(([\w:-]+)\)$", "\n".join(c.source for c in notebook.cells), flags=re.M)
    numbers = {label: i + 1 for i, label in enumerate(labels)}
    cells = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "solution" in tags:
            cells.append(
                nbformat.v4.new_markdown_cell("*A solution is folded away in the book's page of this chapter.*")
            )
        elif "remove-cell" not in tags:  # those only hold the prose's numbers to the code's
            cell.source = plain_markdown(cell.source, numbers) if cell.cell_type == "markdown" else cell.source
            cells.append(cell)
    for i, cell in enumerate(cells):  # the same file each time it is made
        cell.id = f"{path.stem[:2]}-{i}"
    notebook.cells = cells
    return notebook


def plain_markdown(source: str, numbers: dict[str, int]) -> str:
    """MyST's directives and roles in plain Markdown: a directive becomes a quotation with a bold title."""
    source = re.sub(r"^\$\$ *\(([\w:-]+)\)$", lambda m: rf"\tag{{{numbers[m[1]]}}}" + "\n$$", source, flags=re.M)
    source = re.sub(r"\{eq\}`([\w:-]+)`", lambda m: f"eq. ({numbers.get(m[1], m[1])})", source)
    source = re.sub(r"\{cite(?::\w+)?\}`([^`]+)`", lambda m: ", ".join(map(cited, m[1].split(","))), source)
    source = re.sub(r"\{(?:doc|ref|term|func|numref)\}`([^`<]+?)(?: *<[^>]*>)?`", r"*\1*", source)
    source = re.sub(r"\{run-time\}`[^`]*`", "see the book", source)
    source = re.sub(r"^\([\w:-]+\)=\n", "", source, flags=re.M)
    source = re.sub(r"^:{3,}\{dropdown\} *(.*)\n((?:.|\n)*?)^:{3,}$", FOLD, source, flags=re.M)
    lines, inside = [], 0
    for line in source.splitlines():
        if opening := re.match(r":{3,}\{([\w:-]+)\} *(.*)", line):
            inside += 1
            title = opening[2] if opening[1] == "admonition" else f"{opening[1].capitalize()} {opening[2]}".rstrip()
            lines += ["", f"> **{title}**", ">"]
        elif re.fullmatch(r":{3,}", line):
            inside -= 1
            lines += [""]
        elif not (inside and re.fullmatch(r":[\w-]+:.*", line)):  # a directive's options
            lines.append(f"> {line}" if inside else line)
    return "\n".join(lines)


def cited(key: str) -> str:
    """A reference as one says it, "Yan et al. (2021)", from the bibliography."""
    entry = re.search(rf"@\w+\{{{key.strip()},(.*?)\n\}}", BIBLIOGRAPHY.read_text(encoding="utf-8"), re.S)[1]
    authors = re.search(r"author = \{(.*)\}", entry)[1].split(" and ")
    year = re.search(r"year = \{(\d+)\}", entry)[1]
    return f"{authors[0].split(',')[0]}{' et al.' if len(authors) > 1 else ''} ({year})"


def write(notebook: nbformat.NotebookNode, path: Path) -> str:
    """Write a notebook whole or not at all; returns the digest of what lies there."""
    text = nbformat.writes(notebook) + "\n"
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8", newline="\n")
    part.replace(path)
    return hashlib.sha256(text.encode()).hexdigest()


def copies(folder: Path) -> None:
    """Write or renew each student's copy in ``folder``; one that was edited since it was made stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    register = folder / ".made.json"
    try:
        made = json.loads(register.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or half written: then every file there counts as edited
        made = {}
    for path in paths():
        copy = folder / f"{path.stem}.ipynb"
        if copy.exists() and hashlib.sha256(copy.read_bytes()).hexdigest() != made.get(copy.name):
            print(f"kept {copy.name}: you have edited it (rename or delete it to get a new one)")
        else:
            made[copy.name] = write(student_copy(path), copy)
        register.write_text(json.dumps(made, indent=1, sort_keys=True), encoding="utf-8")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["copies", folder]:
            copies(Path(folder))
        case _:
            sys.exit("usage: python book/chapters.py copies DIR")
