"""Docstrings are plain technical English in one style: a first sentence, arguments one a line, an example that runs."""

import ast
import dataclasses
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lddmmlib"
FILES = sorted(PACKAGE.rglob("*.py"))
# A first sentence is an imperative or a noun phrase with its noun; one that begins so is a clause or a fragment.
FRAGMENT = re.compile(
    "(What|How|Where|Whether|Which|Who|Whose|When|Why|If|That|Of|From|By|With|As|At|In|To|On|For|Than|Not)\\b"
)
BLOCKS = ("Args", "Attributes", "Returns", "Raises")
READERS = ("coco", "dlib", "hrnet", "pts", "wflw", "wholebody")
WITHOUT_EXAMPLE = {
    "`formats.read` chooses the reader, and its example reads a file": [
        f"lddmmlib.data.{name}.{what}" for name in READERS for what in ("read", "recognise", "recognise_signs", "Twice")
    ],
    "a row of a table, or a record that one function fills in": [
        "lddmmlib.data.augment.Photo", "lddmmlib.data.formats.Format"
    ],
    "`contact_sheet.draw` calls it, and its example shows the result": ["lddmmlib.data.contact_sheet.face"],
    "`painters.STYLES` holds it, and the example of the package paints with one": [
        "lddmmlib.faces.painters.Style", "lddmmlib.faces.painters.drawing.line", "lddmmlib.faces.painters.look.Look",
        "lddmmlib.faces.painters.photograph.Painting", "lddmmlib.faces.painters.photograph.photo",
    ],
}  # fmt: skip


def named(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def library() -> list[Path]:
    """The files whose functions a reader may call: no tools with an underscore, programs, experiments or widgets."""
    parts = {path: path.relative_to(PACKAGE).parts for path in FILES}
    hidden = {path for path in FILES if any(re.match(r"_(?!_init__)", part) for part in parts[path])}
    return [path for path in FILES if path not in hidden and parts[path][0] not in ("experiments", "widgets")]


def public() -> dict[str, object]:
    """Functions and classes by their whole names. Of a package with `__all__` these alone; the rest are its parts."""
    found = {}
    for name in map(named, library()):
        module = importlib.import_module(name)
        above = [sys.modules[package] for package in packages(name) if hasattr(sys.modules[package], "__all__")]
        shown = [vars(package)[word] for package in above for word in package.__all__]
        for word in getattr(module, "__all__", vars(module)):
            member, own = vars(module)[word], getattr(vars(module)[word], "__module__", None) == name
            right = hasattr(module, "__all__") or (own and not word.startswith("_") and (not above or member in shown))
            plain = inspect.unwrap(member) if callable(member) else None
            if right and (inspect.isfunction(plain) or inspect.isclass(plain)):
                found[f"{plain.__module__}.{plain.__qualname__}"] = plain
    return found


def packages(name: str) -> list[str]:
    """The packages that a module lies in, outermost first; lddmmlib itself has no facade."""
    words = name.split(".")
    return [".".join(words[:i]) for i in range(2, len(words))]


PUBLIC = public()


def methods(kind: type) -> dict[str, object]:
    """The public methods of a class, without `forward` and its like, which torch calls."""
    found = {}
    for name, member in vars(kind).items():
        plain = getattr(member, "fget", None) or getattr(member, "func", None) or getattr(member, "__func__", member)
        if inspect.isfunction(plain) and not name.startswith("_") and name != "forward":
            found[name] = inspect.unwrap(plain)
    return found


def parameters(member: object) -> list[str]:
    """The names of the parameters of a function, or of a class that has its own constructor; the fields of a record."""
    if inspect.isclass(member):
        if hasattr(member, "_fields"):
            return list(member._fields)
        member = vars(member).get("__init__")
    names = inspect.signature(member).parameters if inspect.isfunction(member) else ()
    return [name for name in names if name not in ("self", "cls")]


def faults(doc: str | None, names: list[str], example: bool = True, args: bool = True) -> list[str]:
    """The faults of a docstring, of a function with these parameters."""
    if not doc:
        return ["no docstring"]
    doc = inspect.cleandoc(doc)
    said = []
    if match := FRAGMENT.match(doc):
        said.append(f"begins with {match[0]!r}")
    if match := re.search(r"^(Raises|Returns) (?=\S)", doc, re.M):
        said.append(f"a paragraph of what it {match[1].lower()}, not a block")
    if example and ">>> " not in doc:
        said.append("no example")
    blocks = re.findall(r"^(Args|Attributes|Returns|Raises):$", doc, re.M)
    if blocks != [block for block in BLOCKS if block in blocks]:
        said.append(f"blocks in the order {blocks}")
    if lines := re.search(r"^(?:Args|Attributes):\n((?:    .*\n?)+)", doc, re.M):
        listed = re.findall(r"^    (\w+): ", lines[1], re.M)
        if listed != names:
            said.append(f"arguments {listed} for {names}")
    elif args and len(names) >= 2:
        said.append("no Args")
    return said


@pytest.mark.parametrize(("doc", "said"), [
    (None, "no docstring"),
    ("What comes of it.", "begins with 'What'"),
    ("The sum.\n\nReturns a number.", "a paragraph of what it returns, not a block"),
    ("The sum.", "no Args"),
    ("The sum.\n\nArgs:\n    a: one.", "arguments ['a'] for ['a', 'b']"),
    ("The sum.\n\nArgs:\n    b: one.\n    a: other.", "arguments ['b', 'a'] for ['a', 'b']"),
    ("The sum.\n\nReturns:\n    It.\n\nArgs:\n    a: one,\n        long.\n    b: two.", "blocks in the order"),
    ("The sum.\n\nArgs:\n    a: one.\n    b: two.", "no example"),
])  # fmt: skip
def test_a_fault_is_found(doc, said):
    assert any(fault.startswith(said) for fault in faults(doc, ["a", "b"]))


def test_no_fault_is_found_in_a_good_docstring():
    doc = """The sum a + b.

    Args:
        a: (n,), px; a long line
            that goes on.
        b: (n,), px.

    Returns:
        (n,), px.

    >>> 1 + 2
    3
    """
    assert not faults(doc, ["a", "b"])


@pytest.mark.parametrize("name", PUBLIC)
def test_public_docstring(name):
    member = PUBLIC[name]
    excused = any(name in names for names in WITHOUT_EXAMPLE.values())
    record = hasattr(member, "_fields") or dataclasses.is_dataclass(member)  # its fields may have comments instead
    said = faults(member.__doc__, parameters(member), example=not excused, args=not record)
    if inspect.isclass(member):
        for method, function in methods(member).items():
            said += [f"{method}: {fault}" for fault in faults(function.__doc__, parameters(function), example=False)]
    assert not said


def test_no_excuse_outlives_its_need():
    for name in (name for names in WITHOUT_EXAMPLE.values() for name in names if name in PUBLIC):
        assert "no example" in faults(PUBLIC[name].__doc__, parameters(PUBLIC[name])), name


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.relative_to(PACKAGE).parts[0] not in ("experiments", "widgets")], ids=named
)
def test_first_sentences(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
    assert not [doc.partition("\n")[0] for doc in docs if doc and FRAGMENT.match(doc)]
