"""The unit tests with the oldest and with the newest versions that pyproject.toml allows; no part of the gate.

    python3 tests/versions.py                        both, a row each: versions, passed, failed
    python3 tests/versions.py oldest --torch 2.13.0  torch held at one version, where others cannot be had
    python3 tests/versions.py newest --keep DIR      leave the environments in DIR, to look into a failure

uv says which versions these are: the lowest and the highest that exist within the bounds of the direct dependencies.
pip installs them, each set in an environment of its own that is removed at the end. Some minutes and 2 GB a set.
Standard library alone.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESOLUTION = {"oldest": "lowest-direct", "newest": "highest"}
SHOWN = ("numpy", "torch", "scipy", "scikit-learn", "pot", "opencv-python-headless", "matplotlib")
RUNNERS = ("pytest", "pytest-timeout", "hypothesis", "jaxtyping", "beartype", "jsonschema")  # of the extra `test`
FOLDERS = ("data", "faces", "methods", "networks")
# These are about the project, the book and its tools, not about the libraries beneath.
LEFT_OUT = ("test_book", "test_install", "test_notebook", "test_plots", "test_project", "test_tasks")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", help="oldest, newest or both (default)")
    parser.add_argument("--torch", metavar="VERSION", help="this version of torch in every set")
    parser.add_argument("--torch-index", metavar="URL", help="take torch from this index, such as that of CPU builds")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="make the environments here and leave them")
    args = parser.parse_args()
    if unknown := set(args.which) - set(RESOLUTION):
        parser.error(f"needed oldest or newest, got {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="lddmmlib-versions-") as folder:
        results = {w: tried(w, (args.keep or Path(folder)) / w, args) for w in args.which or RESOLUTION}
    print(f"\nPython {sys.version.split()[0]}")
    for which, (versions, summary, _) in results.items():
        print(f"{which}: {', '.join(f'{name} {versions[name]}' for name in SHOWN)}: {summary}")
    return int(any(code for *_, code in results.values()))


def tried(which: str, folder: Path, args: argparse.Namespace) -> tuple[dict[str, str], str, int]:
    """Install one set and run the unit tests with it: versions, pytest's last line, its exit code."""
    print(f"== {which}: {folder}", flush=True)
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "uv"], check=True)
    versions = resolved(python, which, args.torch)
    pins = folder / "pins.txt"
    pins.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()), encoding="utf-8")
    if args.torch_index:
        index = ["--index-url", args.torch_index, "--extra-index-url", "https://pypi.org/simple"]
        subprocess.run([*pip, *index, f"torch=={versions['torch']}"], check=True)
    subprocess.run([*pip, "-c", pins, *RUNNERS, f"{ROOT}[full]"], check=True)
    return versions, *unit_tests(python, which)


def resolved(python: Path, which: str, torch: str | None) -> dict[str, str]:
    """The version of each direct dependency, of all extras: so every lower bound is one that exists."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]
    direct = {re.split(r"[<>=~!\[ ]", need)[0].lower() for need in needs} - {"lddmmlib"}
    # --no-config: pyproject.toml holds torch at the version of the lock.
    command = [python, "-m", "uv", "pip", "compile", "pyproject.toml", "--no-config", "--all-extras", "--quiet"]
    command += ["--no-annotate", "--no-header", "--resolution", RESOLUTION[which], "--python", python]
    told = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    found = dict(line.split("==") for line in told.splitlines() if "==" in line)
    return {name: version for name, version in found.items() if name in direct} | ({"torch": torch} if torch else {})


def unit_tests(python: Path, which: str) -> tuple[str, int]:
    """Run them; as the gate does, but for shapes checked at each call, which costs time and tells nothing here. What
    old versions say about newer ones of what they stand on, such as Matplotlib about pyparsing, is no error."""
    files = [p for p in sorted((ROOT / "tests").glob("test_*.py")) if p.stem not in LEFT_OUT]
    where = [*files, *(ROOT / "tests" / folder for folder in FOLDERS)]
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not book and not browser", *where]
    command += ["--override-ini=filterwarnings="] if which == "oldest" else []
    told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(told.stdout[-6000:], flush=True)
    return told.stdout.strip().splitlines()[-1], told.returncode


if __name__ == "__main__":
    sys.exit(main())
