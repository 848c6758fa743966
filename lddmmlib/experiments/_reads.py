"""Which files a piece of code reads: the modules of this project that it imports, and the data files that they name.

From it follows what a recorded result depends on, and when a chapter of the book has to run again.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parent
OURS = (PACKAGE.name, "data_scripts")
CODE = {".py", ".pyc"}


def closure(text: str) -> set[Path]:
    """The files that running this Python text reads: modules of the project, what these import, and their data files.

    A data file is read by a module that stands in its folder and names it.
    """
    modules: set[Path] = set()
    todo = set(imports(text))
    while todo:
        modules |= todo
        todo = {found for path in todo for found in imports(_text(path))} - modules
    return modules | {data for module in modules for data in _named(module)}


@functools.lru_cache(maxsize=1024)
def imports(text: str) -> tuple[Path, ...]:
    """The files of this project that a Python text imports, anywhere in it; a package runs its ``__init__``, too.

    >>> [path.name for path in imports("from lddmmlib import kernels")]
    ['__init__.py', 'kernels.py']
    """
    code = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in text.splitlines())  # of notebooks
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    found: set[Path] = set()
    for parts in (name.split(".") for name in names if name.split(".")[0] in OURS):
        found |= {ROOT.joinpath(*parts[:i], "__init__.py") for i in range(1, len(parts) + 1)}
        found.add(ROOT.joinpath(*parts).with_suffix(".py"))
    return tuple(sorted(path for path in found if path.is_file()))


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """File, as the project names it -> hash of what can change a figure: bytes of data, of code its syntax tree."""
    return {path.relative_to(ROOT).as_posix(): _digest(path) for path in sorted(paths)}


@functools.lru_cache(maxsize=1024)
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _named(module: Path) -> list[Path]:
    beside = (p for p in module.parent.iterdir() if p.is_file() and p.suffix not in CODE)
    return [path for path in beside if path.name in _text(module)]


@functools.lru_cache(maxsize=1024)
def _digest(path: Path) -> str:
    content = bare(_text(path)).encode() if path.suffix == ".py" else path.read_bytes()
    return hashlib.sha256(content).hexdigest()[:16]


def bare(text: str) -> str:
    """Python without docstrings, comments and layout.

    >>> bare('x = (1)\\n\\n# why\\ndef f():\\n    "what"\\n    return x\\n')
    'x = 1\\n\\ndef f():\\n    return x'
    """
    tree = ast.parse(text)
    for node in ast.walk(tree):
        holds = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if holds and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
