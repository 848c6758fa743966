#!/usr/bin/env python3
"""The few commands of lddmmlib. Standard library alone; Linux, macOS and Windows.

    python3 tasks.py book      set up .venv, build the executed book, say where it is
    python3 tasks.py test      everything that must hold before a change goes in
    python3 tasks.py lab       JupyterLab on your own copies of the chapters, in my_notebooks/
    python3 tasks.py page 02   one chapter, rebuilt each time you save it

On Windows say `py tasks.py`. The first command makes .venv from requirements.lock; later ones reuse it.
"""

import argparse
import collections
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "lddmmlib-setup.txt"  # written last: without it the set-up is not whole
LOCK = ROOT / "requirements.lock"
BUILD = ROOT / "book" / "_build"
HTML = BUILD / "html"
CHAPTERS = BUILD / "chapters"
# Shapes and types are checked where a function is called; an int will do where a float is asked for.
SHAPES = "--jaxtyping-packages=lddmmlib,beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
PYTEST = [str(PYTHON), "-m", "pytest", "-q"]
LIBRARY = [*PYTEST, "-m", "not book and not browser", "--doctest-modules", SHAPES, "tests", "lddmmlib"]
PREPARE = [str(PYTHON), "tests/chapters/references.py", "prepare", str(CHAPTERS)]
AS_NUMBERS = ["--nbval-lax", "-p", "tests.chapters.as_numbers", "--nbval-cell-timeout=600"]
COMPARED = [*PYTEST, *AS_NUMBERS, "--override-ini=filterwarnings=", str(CHAPTERS)]
PAGES = [*PYTEST, "-m", "book or browser", "tests"]
# Other machines, as near as one comes to them: instructions of MKL and of torch, threads, font, height of windows.
# What a processor lacks it leaves out by itself.
MACHINES = {
    "oldest instructions": {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1",
                            "LDDMMLIB_FONT": "DejaVu Serif", "LDDMMLIB_WINDOW": "0.85"},
    "AVX2, two threads": {"MKL_CBWR": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "2",
                          "LDDMMLIB_FONT": "DejaVu Sans Mono", "LDDMMLIB_WINDOW": "1.2"},
    "AVX-512, one thread": {"MKL_CBWR": "AVX512", "ATEN_CPU_CAPABILITY": "avx512", "OMP_NUM_THREADS": "1",
                            "LDDMMLIB_FONT": "DejaVu Sans", "LDDMMLIB_WINDOW": "1"},
}  # fmt: skip
NEEDED_GB = 4  # .venv with a CPU build of torch; its CUDA packages need as much again

TROUBLE = [  # what pip says -> what it means and how to mend it
    (
        ("No space left on device", "Errno 28", "not enough space"),
        "The disk is full. Free some space (the set-up needs about {gb} GB) and run the same command again; "
        "what was installed already is kept.",
    ),
    (
        ("NewConnectionError", "NameResolution", "getaddrinfo", "is unreachable", "ConnectTimeout", "ProxyError"),
        "The package index could not be reached. Check the network (or PIP_INDEX_URL and your proxy) and run the same "
        "command again; what was installed already is kept.",
    ),
    (
        ("No matching distribution found for torch",),
        "There is no torch for this Python and this machine ({machine}). Use a 64-bit Python 3.11 to 3.13; "
        "Macs need an Apple processor. README.md, section 'Other builds of torch', lists other indexes.",
    ),
]  # fmt: skip


def main() -> int:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        stop(f"lddmmlib needs Python 3.11, 3.12 or 3.13; this is {platform.python_version()} ({sys.executable}).")
    for stream in (sys.stdout, sys.stderr):  # a Windows console may not know every letter
        stream.reconfigure(errors="replace")
    args = arguments()
    try:
        set_up(args.torch_index)
        plain_kernels()
        return args.task(args) or 0
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again: it goes on from here.")
        return 130


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(metavar="TASK", required=True)
    for task, summary in (
        (book, "build the executed book"),
        (test, "run the gate"),
        (lab, "JupyterLab on your own copies"),
        (page, "build one chapter while writing it"),
    ):
        sub = tasks.add_parser(task.__name__, help=summary)
        sub.set_defaults(task=task)
        sub.add_argument("--torch-index", metavar="URL", help="take torch from this package index (see README.md)")
        if task is test:
            sub.add_argument(
                "--sweep", action="store_true", help="instead: as other processors, fonts, windows have it"
            )
        if task is lab:
            sub.add_argument("jupyter", nargs="*", help="passed on to JupyterLab, after `--`")
        if task is page:
            sub.add_argument("chapter", help="its number or name, such as 02")
            sub.add_argument("--once", action="store_true", help="build once and do not watch")
    return parser.parse_args()


# ---------------------------------------------------------------------------------------------- the environment


def set_up(torch_index=None) -> None:
    """Make .venv hold what requirements.lock names. Nothing to do when the stamp says so; else pip fills what lacks."""
    wanted = hashlib.sha256(LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    wanted += f"\n{sys.version_info[0]}.{sys.version_info[1]}\n"
    if STAMP.exists() and PYTHON.exists() and STAMP.read_text(encoding="utf-8") == wanted and not torch_index:
        return
    free = shutil.disk_usage(ROOT).free / 1e9
    if not PYTHON.exists() and free < NEEDED_GB:
        stop(f"The set-up needs about {NEEDED_GB} GB of disk; {free:.1f} GB are free at {ROOT}.")
    step(f"setting up {VENV} from {LOCK.name} (once; some minutes)")
    started = time.monotonic()
    STAMP.unlink(missing_ok=True)
    if not works(PYTHON):  # none yet, half made, or made by a Python that is gone
        venv.create(VENV, clear=True, with_pip=True)
    torch = next(line for line in LOCK.read_text(encoding="utf-8").splitlines() if line.startswith("torch=="))
    if torch_index:  # the same version from elsewhere; the lock then finds it there
        pip("--force-reinstall", "--no-deps", "--index-url", torch_index, torch)
    pip("-r", str(LOCK))
    pip("--no-deps", "--no-build-isolation", "-e", str(ROOT))
    STAMP.write_text(wanted, encoding="utf-8")
    step(f"set up in {minutes(started)}")


def plain_kernels() -> None:
    """Chapters run in kernels of their own settings: none of the user's start-up files, no note on transport."""
    os.environ["IPYTHONDIR"] = str(BUILD / "ipython")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave the cores to others
    profile = BUILD / "ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 40\n", encoding="utf-8")


def works(python: Path) -> bool:
    """Does this interpreter start, is it of our version, and does it have pip?"""
    ask = "import sys, pip; print(*sys.version_info[:2])"
    try:
        answer = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.stdout.split() == [str(n) for n in sys.version_info[:2]]


def pip(*words: str) -> None:
    """`pip install`, its errors shown as they come and explained at the end."""
    command = [
        str(PYTHON),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--quiet",
        "--progress-bar=on",
        *words,
    ]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace", cwd=ROOT)
    said = collections.deque(maxlen=200)

    def listen() -> None:
        for line in child.stderr:
            said.append(line)
            sys.stderr.write(line)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    code = child.wait()
    listener.join()
    if code:
        stop(explain("".join(said)))


def explain(said: str) -> str:
    for signs, meaning in TROUBLE:
        if any(sign.lower() in said.lower() for sign in signs):
            return meaning.format(
                gb=NEEDED_GB,
                machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
            )
    return "pip could not install the packages; its own words are above. Delete .venv to start afresh."


# ---------------------------------------------------------------------------------------------------- the tasks


def book(args) -> None:
    """Build the executed book and one zip of it."""
    started = time.monotonic()
    step("building the book (chapters run once; unchanged ones are taken from the cache)")
    if sphinx(HTML):
        stop("The book did not build; the messages are above.")
    archive = pack()
    step(f"built in {minutes(started)}")
    size = archive.stat().st_size / 1e6
    print(f"\n  open   {(HTML / 'index.html').as_uri()}")
    print(f"  share  {archive} ({size:.0f} MB; unpack it, open index.html)")


def test(args) -> int:
    """The gate: style, units and doctests, every chapter, the book without a warning, the built pages in a browser.

    The chapters are compared as another processor would run them, the rest as this one does.
    """
    if args.sweep:
        return sweep()
    py = str(PYTHON)
    checks = [
        ("style", [py, "-m", "ruff", "check", "."]),
        ("format", [py, "-m", "ruff", "format", "--check", "."]),
        ("spelling", [py, "-m", "codespell_lib"]),
        ("the library", LIBRARY),
        ("chapters, made into notebooks", PREPARE),
        ("chapters, run and compared", COMPARED, MACHINES["oldest instructions"]),
        ("the book, no warning let pass", lambda: sphinx(HTML, "-E", "-n", "-W", "--keep-going")),
        ("the built pages", PAGES),
    ]
    failed = [name for name, *check in checks if not passes(name, *check)]
    if failed:
        print(f"\nThe gate is closed: {', '.join(failed)}.")
    else:
        pack()
        print("\nThe gate is open: every check passed.")
    return len(failed)


def sweep() -> int:
    """The checks that a processor, a number of threads, a font or a window could change, on each of `MACHINES`."""
    if not passes("the book", lambda: sphinx(HTML)) or not passes("chapters, made into notebooks", PREPARE):
        stop("The book did not build; the messages are above.")
    parts = {"the library": LIBRARY, "chapters": COMPARED, "pages": PAGES}
    held: dict[str, dict[str, bool]] = {}
    for machine, how in MACHINES.items():
        held[machine] = {part: passes(f"{part}, {machine}", check, how) for part, check in parts.items()}
    print("\n" + "".join(f"{part:>14}" for part in ("", *parts)))
    for machine, passed in held.items():
        print(f"{machine:<22}" + "".join(f"{'passed' if ok else 'FAILED':>14}" for ok in passed.values()))
    return sum(not ok for passed in held.values() for ok in passed.values())


def passes(name, check, environment=None) -> bool:
    step(name)
    started = time.monotonic()
    environment = os.environ | (environment or {})
    code = check() if callable(check) else subprocess.run(check, cwd=ROOT, env=environment).returncode
    print(f"  {'failed' if code else 'passed'} in {minutes(started)}", flush=True)
    return not code


def lab(args) -> int:
    """JupyterLab on copies that git never sees. A copy that you edited is never overwritten."""
    os.environ.pop("IPYTHONDIR")  # here the user's own settings are right
    run("book/chapters.py", "copies", "my_notebooks")
    return run("-m", "jupyterlab", "--notebook-dir=my_notebooks", *args.jupyter)


def page(args) -> int:
    """Execute and build one chapter alone; then again whenever it, or what it imports, changes."""
    every = sorted(p.stem for p in (ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
    found = [stem for stem in every if stem.startswith(args.chapter)]
    if len(found) != 1:
        stop(f"Which chapter is {args.chapter!r}? There are: {', '.join(every)}.")
    out, seen = BUILD / "page", None
    os.environ["LDDMMLIB_PAGE"] = found[0]  # conf.py then reads this chapter alone
    while True:
        now = {p: p.stat().st_mtime_ns for p in sources()}
        if now == seen:
            time.sleep(0.5)
            continue
        seen, started = now, time.monotonic()
        code = sphinx(out)
        print(f"  {(out / 'notebooks' / (found[0] + '.html')).as_uri()}  ({minutes(started)})", flush=True)
        if args.once:
            return code
        print("  watching; Ctrl-C ends it", flush=True)


def sources() -> list:
    """What a page is made of."""
    kinds = {".py", ".js", ".css", ".json", ".md", ".bib"}
    found = [p for top in ("lddmmlib", "notebooks", "book") for p in (ROOT / top).rglob("*") if p.suffix in kinds]
    return [p for p in found if BUILD not in p.parents]


# ---------------------------------------------------------------------------------------------------- small things


def sphinx(out: Path, *options: str) -> int:
    doctrees = str(out.with_suffix(".doctrees"))
    return run("-m", "sphinx", "-q", "-b", "html", "-c", "book", "-d", doctrees, *options, ".", str(out))


def run(*words: str) -> int:
    return subprocess.run([str(PYTHON), *words], cwd=ROOT).returncode


def pack() -> Path:
    """One zip of the built book, made anew when a page is newer."""
    archive = BUILD / "lddmmlib-book.zip"
    pages = [p for p in HTML.rglob("*") if p.is_file() and ".buildinfo" not in p.name]
    if not archive.exists() or archive.stat().st_mtime < max(p.stat().st_mtime for p in pages):
        part = archive.with_suffix(".part")
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as z:
            for p in sorted(pages):
                z.write(p, Path("lddmmlib-book") / p.relative_to(HTML))
        part.replace(archive)
    return archive


def step(text: str) -> None:
    print(f"==> {text}", flush=True)


def minutes(since: float) -> str:
    seconds = time.monotonic() - since
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def stop(message: str) -> None:
    sys.exit("\n" + message)


if __name__ == "__main__":
    sys.exit(main())
