"""The project's own files agree with each other; students' work is never overwritten."""

import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = [Requirement(line) for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.lstrip().startswith("#")]  # fmt: skip


def load(path):
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tasks, chapters = load(ROOT / "tasks.py"), load(ROOT / "book" / "chapters.py")


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_lock_serves_every_requirement():
    locked = {canonical(r.name): str(r.specifier).removeprefix("==") for r in LOCK}
    wanted = PROJECT["dependencies"] + [r for extra in PROJECT["optional-dependencies"].values() for r in extra]
    for requirement in map(Requirement, wanted):
        if requirement.name != "lddmmlib":
            version = locked[canonical(requirement.name)]
            assert requirement.specifier.contains(version), f"{requirement} but the lock has {version}"


def test_lock_is_exact_and_names_one_version_a_system():
    assert all(re.fullmatch(r"==[\w.+!]+", str(r.specifier)) for r in LOCK)
    for system, platform in (("linux", "Linux"), ("darwin", "Darwin"), ("win32", "Windows")):
        here = {
            "sys_platform": system,
            "platform_system": platform,
            "os_name": "nt" if system == "win32" else "posix",
        }
        for python in ("3.11", "3.12", "3.13"):
            there = here | {"python_version": python, "python_full_version": f"{python}.0"}
            names = [canonical(r.name) for r in LOCK if r.marker is None or Marker(str(r.marker)).evaluate(there)]
            assert len(names) == len(set(names)), (system, python)


def test_lock_pins_torch_and_leaves_its_cuda_packages_to_it():
    names = {canonical(r.name): str(r.specifier) for r in LOCK}
    assert names["torch"] == "==2.13.0"
    assert not [n for n in names if n.startswith(("nvidia-", "cuda-")) or n == "triton"]


def test_environment_agrees_with_the_lock():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    python = re.search(r"- python=(\d+\.\d+)$", text, re.M)[1]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python)
    assert re.search(r"^      - -r requirements\.lock$", text, re.M)
    assert not re.search(r"^  - (?!python=|pip)", text, re.M), "packages come from the lock alone"


def test_an_interrupted_set_up_is_seen(tmp_path):
    assert not tasks.works(tmp_path / "bin" / "python")
    assert tasks.works(Path(sys.executable))


def test_edited_copies_are_kept(tmp_path, capsys):
    chapters.copies(tmp_path)
    first, *others = sorted(tmp_path.glob("*.ipynb"))
    before = [p.read_bytes() for p in others]
    first.write_text("mine", encoding="utf-8")
    chapters.copies(tmp_path)
    assert first.read_text(encoding="utf-8") == "mine"
    assert [p.read_bytes() for p in others] == before
    assert f"kept {first.name}" in capsys.readouterr().out


def test_unedited_copies_follow_their_chapter(tmp_path, monkeypatch):
    chapters.copies(tmp_path)
    path = chapters.paths()[0]
    notebook = chapters.student_copy(path)
    notebook.cells[0].source = "# A new title"
    monkeypatch.setattr(chapters, "student_copy", lambda p: notebook)
    chapters.copies(tmp_path)
    assert "A new title" in (tmp_path / f"{path.stem}.ipynb").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", chapters.paths(), ids=lambda p: p.stem)
def test_copies_are_plain_markdown_without_solutions(path):
    notebook = chapters.student_copy(path)
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    assert not re.search(r"^:{3,}|\{(?:eq|cite|doc|ref|term|run-time)\b", text, re.M)
    assert not [c for c in notebook.cells if "solution" in c.metadata.get("tags", [])]


def test_a_chapter_depends_on_what_it_imports(tmp_path):
    text = "from lddmmlib import metrics\n"
    files = {p.name for p in chapters.library_files(text)}
    assert {"metrics.py", "schemes.py", "_checks.py"} <= files
    assert "notebook.py" not in files
    assert chapters.digest(text) == chapters.digest(text) != chapters.digest("from lddmmlib import notebook\n")


def test_no_notebook_is_in_git():
    assert "*.ipynb" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
