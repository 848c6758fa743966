"""Make the chapters ready for nbval, and keep their committed references.

    python tests/chapters/references.py prepare DIR    write every chapter as a notebook that nbval can compare
    python tests/chapters/references.py update [NN]    run the chapters (or one) and write their references anew

nbval compares a cell's output with the one stored in the notebook. Text notebooks store none, so the outputs of cells
tagged `nbval-check-output` are committed in tests/chapters/reference/ and put in place here. Nothing is patched.
"""

import json
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))
import chapters  # noqa: E402

REFERENCES = Path(__file__).parent / "reference"
CHECKED = "nbval-check-output"
PRECISE = re.compile(r"(?<![\w.])0*\.?0*[1-9](?:\.?\d){3,}(?![\w])")  # more than three significant digits


def checked(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [c for c in notebook.cells if c.cell_type == "code" and CHECKED in c.metadata.get("tags", [])]


def text_of(output: dict) -> str:
    return output.get("text") or output.get("data", {}).get("text/plain", "")


def prepare(folder: Path) -> None:
    """Write each chapter with its references as outputs; refuse a checked cell without one, and one too precise."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.ipynb"):
        old.unlink()
    for path in chapters.paths():
        notebook = chapters.read(path.read_text(encoding="utf-8"))
        reference = REFERENCES / f"{path.stem}.json"
        known = json.loads(reference.read_text(encoding="utf-8")) if reference.exists() else {}
        cells = checked(notebook)
        for cell in cells:
            if cell.source not in known:
                sys.exit(f"{path.name}: this checked cell has no reference:\n\n{cell.source}\n\n"
                         f"Run: python tests/chapters/references.py update {path.stem[:2]}")  # fmt: skip
            for output in known[cell.source]:
                if found := PRECISE.search(text_of(output)):
                    sys.exit(f"{reference.name}: {found[0]} has more than three significant digits; "
                             f"another machine may differ. Print fewer in:\n\n{cell.source}")  # fmt: skip
            cell.outputs = [nbformat.from_dict(output) for output in known[cell.source]]
            cell.execution_count = 1  # nbval compares only cells that have been run
        if stale := set(known) - {c.source for c in cells}:
            sys.exit(f"{reference.name}: {len(stale)} reference(s) of cells that are gone. Run update {path.stem[:2]}")
        nbformat.write(notebook, folder / f"{path.stem}.ipynb")


def update(number: str = "") -> None:
    """Run the chapters and keep what their checked cells print."""
    REFERENCES.mkdir(exist_ok=True)
    for path in (p for p in chapters.paths() if p.stem.startswith(number)):
        notebook = chapters.read(path.read_text(encoding="utf-8"))
        NotebookClient(notebook, timeout=chapters.LIMIT, kernel_name="python3").execute()
        known = {c.source: plain(c.outputs) for c in checked(notebook)}
        text = json.dumps(known, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        (REFERENCES / f"{path.stem}.json").write_text(text, encoding="utf-8", newline="\n")
        print(f"{path.stem}: {len(known)} reference(s)")


def plain(outputs: list[dict]) -> list[dict]:
    """Outputs without counters; what was printed in several pieces is one, for where it is cut is chance."""
    kept = []
    for output in outputs:
        if kept and output.get("text") and kept[-1].get("name") == output.get("name"):
            kept[-1]["text"] += output["text"]
        else:
            kept.append(output | {"execution_count": None} if "execution_count" in output else dict(output))
    return kept


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare", folder]:
            prepare(Path(folder))
        case ["update", *number]:
            update(*number)
        case _:
            sys.exit(__doc__)
