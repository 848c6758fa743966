"""The floor plan holds: a module imports only what stands before it in the plan; the package stays small."""

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lddmmlib"
# Lowest first. Within a floor, too, a module imports only from those to its left.
FLOORS = [
    ["_shapes", "_checks", "curves"],
    ["_engine", "kernels", "currents", "flows", "matching", "lars", "heatmaps", "optimal_transport", "polyharmonic"],
    ["faces", "data", "metrics"],
    ["networks"],
    ["methods"],
    ["_run", "training", "convert", "experiments", "landmarker"],
    ["plots", "widgets", "notebook"],
]
ORDER = [name for floor in FLOORS for name in floor]
FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")
HEAVY = ["IPython", "anywidget", "beartype", "cv2", "ipywidgets", "jaxtyping", "jupytext", "matplotlib", "ot", "scipy",
         "safetensors", "sklearn", "tqdm"]  # fmt: skip


def owner(path: Path) -> str:
    """The module of the floor plan that a file belongs to; a program, `python -m ...`, stands above them all."""
    return "notebook" if path.name == "__main__.py" else path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The top-level modules of lddmmlib that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: say the whole name, not a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in found if name.startswith("lddmmlib.")} - {"__version__"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_only_from_below(path):
    me = owner(path)
    assert me in ORDER, f"{me} has no place in the floor plan"
    above = {name for name in imported(path) if ORDER.index(name) > ORDER.index(me)}
    assert not above, f"{path.relative_to(PACKAGE)} (floor of {me}) imports upwards: {sorted(above)}"


def test_lower_floors_need_numpy_and_torch_alone():
    modules = [".".join(("lddmmlib", *p.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
               for p in FILES if owner(p) in ORDER[: ORDER.index("networks") + 1] and p.stem != "__main__"]  # fmt: skip
    program = f"""
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
for name in {["lddmmlib", *modules]}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def code_lines(path: Path) -> int:
    """Lines that hold code: no blank lines, comments or docstrings."""
    text = path.read_text(encoding="utf-8")
    ignored = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in ignored:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        is_doc = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if is_doc:
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return len(lines)


LIMITS = {"mathematics and methods": 3700, "floors 0 to 5": 10500, "showing": 2910, "experiments": 3900}


def sizes() -> dict[str, int]:
    """Lines of code of what has a limit."""
    count = {name: sum(code_lines(p) for p in FILES if owner(p) == name) for name in ORDER}
    experiments = count.pop("experiments")  # programs that measure: nobody imports them to align a face
    *lower, showing = (sum(count.get(name, 0) for name in floor) for floor in FLOORS)
    return dict(zip(LIMITS, (lower[1] + lower[4], sum(lower), showing, experiments), strict=True))


@pytest.mark.parametrize("part", LIMITS)
def test_the_library_stays_small(part):
    assert sizes()[part] <= LIMITS[part]


if __name__ == "__main__":
    print("code lines: " + ", ".join(f"{part} {n} (at most {LIMITS[part]})" for part, n in sizes().items()))


def records():
    """The names of the library's records."""
    nodes = [node for path in FILES for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    return {node.name for node in classes if any(ast.unparse(base).endswith("NamedTuple") for base in node.bases)}


RECORDS, LATER = records(), {"lars.py", "faces/statistics.py"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_records_are_made_by_keyword(path):
    """Who reads `Recipe(0, 0, (1, 1), 0)` has to count. Rows of a table, one below the other, may stand in order."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    rows = {id(row) for node in ast.walk(tree) if isinstance(node, ast.Tuple | ast.List) for row in node.elts}
    rows |= {id(row) for node in ast.walk(tree) if isinstance(node, ast.Dict) for row in node.values}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and id(node) not in rows]
    named = [(call, ast.unparse(call.func).split(".")[-1]) for call in calls]
    counted = [f"line {call.lineno}: {name}" for call, name in named if name in RECORDS and len(call.args) > 4]
    assert not counted or path.relative_to(PACKAGE).as_posix() in LATER
