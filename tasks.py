#!/usr/bin/env python3
"""The few commands of lddmmlib. Standard library alone; Linux, macOS and Windows.

    python3 tasks.py book      set up .venv, build the executed book, say where it is
    python3 tasks.py test      everything that must hold before a change goes in
    python3 tasks.py lab       JupyterLab on your own copies of the chapters, in my_notebooks/
    python3 tasks.py page 02   one chapter, rebuilt each time you save it
    python3 tasks.py instructor --seed 7   problems with their key, solutions, slides, for those who teach

On Windows say `py tasks.py`. The first command makes .venv from requirements.lock; later ones reuse it.
"""

import argparse
import collections
import contextlib
import errno
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "lddmmlib-setup.txt"  # says that this .venv is ours, from the start; what it holds says if it is whole
PARTS = ("bin", "Scripts", "lib", "lib64", "Lib", "include", "Include", "share", "etc", "pyvenv.cfg")  # made by venv
LOCK = ROOT / "requirements.lock"
BUILD = ROOT / "book" / "_build"
HTML = BUILD / "html"
REPORT = BUILD / "html.stopped.json"
CHAPTERS = BUILD / "chapters"
KEPT = BUILD / "compared"  # the runs of the gate
# Shapes and types are checked where a function is called; an int will do where a float is asked for.
SHAPES = "--jaxtyping-packages=lddmmlib,beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
# A process for each core, up to four, with one thread each; the tests of a file, or of a chapter, stay together.
PYTEST = [str(PYTHON), "-m", "pytest", "-q", "-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile"]
LIBRARY = [*PYTEST, "-m", "not book and not browser", "--doctest-modules", SHAPES, "tests", "lddmmlib"]
PREPARE = [str(PYTHON), "tests/chapters/references.py", "prepare", str(CHAPTERS)]
AS_NUMBERS = ["--nbval-lax", "-p", "tests.chapters.as_numbers", "--nbval-cell-timeout=600"]
COMPARED = [*PYTEST, *AS_NUMBERS, "--override-ini=filterwarnings=", str(CHAPTERS)]
PAGES = [*PYTEST, "-m", "book or browser", "tests"]
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
# Other machines, as near as one comes to them: instructions of MKL and of torch, threads, font, height of windows.
# MKL leaves out by itself what a processor lacks; torch would die of it (`on_this_processor`).
MACHINES = {
    "oldest instructions": {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1",
                            "LDDMMLIB_FONT": "DejaVu Serif", "LDDMMLIB_WINDOW": "0.85"},
    "AVX2, two threads": {"MKL_CBWR": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "2",
                          "LDDMMLIB_FONT": "DejaVu Sans Mono", "LDDMMLIB_WINDOW": "1.2"},
    "AVX-512, one thread": {"MKL_CBWR": "AVX512", "ATEN_CPU_CAPABILITY": "avx512", "OMP_NUM_THREADS": "1",
                            "LDDMMLIB_FONT": "DejaVu Sans", "LDDMMLIB_WINDOW": "1"},
}  # fmt: skip
# What no processor, font or window can change: files, messages, programs, and how the project is made.
SAME_EVERYWHERE = ("chapters", "data", "data_scripts", "test_book.py", "test_fingerprint.py", "test_floors.py",
                   "test_install.py", "test_project.py", "test_prose.py", "test_tasks.py")  # fmt: skip
NEEDED_GB = 4  # .venv with a CPU build of torch; its CUDA packages need as much again
HELD = []  # locks that children hold too: one that outlives this program is still waited for
# The user's settings that would send packages elsewhere, or put other packages and pictures into our environment.
STRAY = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONPATH", "PYTHONHOME")
STRAY_IN_CHAPTERS = ("PYTHONSTARTUP", "MPLBACKEND", "JUPYTER_PATH")

NO_INDEX = (
    "The package index could not be reached. Check the network (or PIP_INDEX_URL and your proxy) and run the same "
    "command again; what was installed already is kept."
)
TROUBLE = [  # what pip or Sphinx says -> what it means and how to mend it
    (
        ("No space left on device", "Errno 28", "Errno 122", "WinError 112", "not enough space"),
        "The disk is full, or that of temporary files (TMPDIR). Free some space (the set-up needs about {gb} GB) and "
        "run the same command again; what was done already is kept.",
    ),
    (
        ("NewConnectionError", "NameResolution", "getaddrinfo", "is unreachable", "ConnectTimeout", "ProxyError",
         "ReadTimeout", "Read timed out", "Connection reset", "Connection aborted", "Connection broken",
         "IncompleteRead", "Failed to establish", "CERTIFICATE_VERIFY_FAILED"),
        NO_INDEX,
    ),
    (
        ("No matching distribution found for torch",),
        "There is no torch for this Python and this machine ({machine}). Use a 64-bit Python 3.11 to 3.13; "
        "Macs need an Apple processor. README.md, section 'Other builds of torch', lists other indexes.",
    ),
    (
        ("Long Path", "WinError 206"),
        "A file's path is too long for this Windows. Move the folder to a shorter path, such as C:\\lddmmlib, and run "
        "the same command there.",
    ),
    (
        ("Permission denied", "Errno 13", "WinError 5", "Read-only file system"),
        "A file may not be written or is in use. Close what uses it, or copy the folder to where you may write, and "
        "run the same command again.",
    ),
    (("(from versions: none)",), NO_INDEX),
]  # fmt: skip

NOT_INSTALLED = "pip could not install the packages; its own words are above. Delete .venv to start afresh."

STOPPED = """
All other pages are whole; the page of a chapter that stopped says where. Run the same command again: it runs only what
stopped. If it stops at the same cell, close other programs, or report the words above."""


def main() -> int:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        stop(f"lddmmlib needs Python 3.11, 3.12 or 3.13; this is {platform.python_version()} ({sys.executable}).")
    for stream in (sys.stdout, sys.stderr):  # a Windows console may not know every letter
        stream.reconfigure(errors="replace")
    args = arguments()
    try:
        set_up(args.torch_index)
        if args.task is not lab:  # there the user's own settings are right
            plain_kernels()
        with alone("the book") if args.task in (book, test, instructor) else contextlib.nullcontext():
            return args.task(args) or 0
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again: it goes on from here.")
        return 130
    except OSError as error:
        return stop(refused(error))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(metavar="TASK", required=True)
    for task, summary in (
        (book, "build the executed book"),
        (test, "run the gate"),
        (lab, "JupyterLab on your own copies"),
        (page, "build one chapter while writing it"),
        (instructor, "write the instructor's kit"),
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
        if task is instructor:
            sub.add_argument("--seed", type=int, default=0, help="of the numbers in the problems (0)")
            sub.add_argument("--chapters", nargs="+", default=[], metavar="NN", help="these alone, such as 11 40")
    return parser.parse_args()


# ---------------------------------------------------------------------------------------------- the environment


def set_up(torch_index=None) -> None:
    """Make .venv hold what requirements.lock names. Nothing to do when the stamp says so; else pip fills what lacks."""
    for name in STRAY:
        os.environ.pop(name, None)
    os.environ["PIP_USER"] = "0"
    if not str(ROOT).isascii():  # where the library lies is read from a file, else in the letters of the system
        os.environ["PYTHONUTF8"] = "1"
    wanted = hashlib.sha256(LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    # The place too: in a folder that was moved, the library would be looked for where it lay.
    wanted += f"\n{sys.version_info[0]}.{sys.version_info[1]}\n{str(ROOT)!a}\n"
    if whole(wanted) and not torch_index:
        return
    with alone("the set-up"):
        if not whole(wanted) or torch_index:  # else another has just done it
            fill(wanted, torch_index)


def whole(wanted: str) -> bool:
    return STAMP.is_file() and PYTHON.exists() and STAMP.read_text(encoding="utf-8", errors="replace") == wanted


def fill(wanted: str, torch_index) -> None:
    whose = others()
    if whose:
        stop(f"{VENV} {whose}. tasks.py does not touch it. Move it away, rename or delete it, and run the same command "
             "again: the book's own .venv is made there.")  # fmt: skip
    free = shutil.disk_usage(ROOT).free / 1e9
    if not PYTHON.exists() and free < NEEDED_GB:
        stop(f"The set-up needs about {NEEDED_GB} GB of disk; {free:.1f} GB are free at {ROOT}.")
    step(f"setting up {VENV} from {LOCK.name} (once; some minutes)")
    started = time.monotonic()
    VENV.mkdir(exist_ok=True)
    STAMP.write_text("unfinished\n", encoding="utf-8")
    if not works(PYTHON):  # none yet, half made, or made by a Python that is gone
        make_environment()
    torch = next(line for line in LOCK.read_text(encoding="utf-8").splitlines() if line.startswith("torch=="))
    if torch_index:  # the same version from elsewhere; the lock then finds it there
        pip("--force-reinstall", "--no-deps", "--index-url", torch_index, torch)
    pip("-r", LOCK.name)
    pip("--no-deps", "--no-build-isolation", "-e", ".")
    STAMP.write_text(wanted, encoding="utf-8")
    step(f"set up in {minutes(started)}")


def others() -> str:
    """Why what lies at .venv is not ours to fill or to empty; nothing when it is."""
    if VENV.is_symlink() or (VENV.exists() and VENV.resolve() != VENV):
        return f"is a link to {VENV.resolve()}"
    if VENV.exists() and not VENV.is_dir():
        return "is a file"
    if VENV.is_dir() and any(VENV.iterdir()) and not STAMP.is_file():
        made = "an environment" if (VENV / "pyvenv.cfg").exists() else "a folder"
        return f"is {made} that tasks.py did not make"
    return ""


def make_environment() -> None:
    """An empty environment in our .venv. Only what an environment consists of is cleared, whatever else lies there."""
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        stop(f"This Python ({sys.executable}) cannot make environments: it has no `venv` or no `ensurepip`. On Debian "
             f"and Ubuntu: `sudo apt install python3-venv` (or python{version}-venv); elsewhere, a Python from "
             "python.org has both. Then run the same command again.")  # fmt: skip
    import venv  # not above: a Debian without it must still be told

    for part in (VENV / name for name in PARTS):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
    try:
        venv.create(VENV, with_pip=True)
    except subprocess.CalledProcessError as error:  # ensurepip
        said = (error.output or b"").decode(errors="replace")
        sys.stderr.write(said)
        stop(explain(said) or NOT_INSTALLED)
    except ValueError as error:  # a path that no environment may have
        stop(f"There can be no environment at {VENV}: {error} Rename that folder and run the same command there.")


@contextlib.contextmanager
def alone(what: str):
    """Let one tasks.py at a time do this in this folder; others wait. The system frees the lock of a killed one."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / f"{what.split()[-1]}.lock").open("a+b") as file:
        if not taken(file):
            step(f"another tasks.py in this folder is at {what}; waiting until it is done (Ctrl-C ends the waiting)")
            while not taken(file):
                time.sleep(0.5)
        HELD.append(file.fileno())
        try:
            yield
        finally:
            HELD.remove(file.fileno())


def taken(file) -> bool:
    """Take the lock, unless another has it."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks: nobody can be kept waiting
        return True
    return True


def plain_kernels() -> None:
    """Chapters run in kernels of their own settings: none of the user's start-up files, no note on transport."""
    for name in STRAY_IN_CHAPTERS:
        os.environ.pop(name, None)
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # kernels of .venv, not of the same name elsewhere
    os.environ["IPYTHONDIR"] = str(BUILD / "ipython")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave the cores to others
    profile = BUILD / "ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 40\n", encoding="utf-8")


def works(python: Path) -> bool:
    """Does this interpreter start, is it of our version, and does it have pip?"""
    ask = "import sys, pip; print(*sys.version_info[:2])"
    try:
        answer = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.stdout.split() == [str(n) for n in sys.version_info[:2]]


def pip(*words: str) -> None:
    """`pip install`, its errors shown as they come and explained at the end."""
    how = ("--disable-pip-version-check", "--quiet", "--progress-bar=on")
    text = {"text": True, "encoding": "utf-8", "errors": "replace"}
    child = start([str(PYTHON), "-m", "pip", "install", *how, *words], stderr=subprocess.PIPE, **text)
    said = collections.deque(maxlen=200)

    def listen() -> None:
        for line in child.stderr:
            said.append(line)
            sys.stderr.write(line)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    code = end(child)
    listener.join()
    if code:
        stop(explain("".join(said), code) or NOT_INSTALLED)


def explain(said: str, code: int = 1) -> str:
    """What a child's last words mean and how to mend it; nothing where we do not know."""
    if code in (-9, 137):
        return "The system ended it, most often for want of memory. Close other programs; run the same command again."
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    known = (meaning for signs, meaning in TROUBLE if any(sign.lower() in said.lower() for sign in signs))
    return next(known, "").format(gb=NEEDED_GB, machine=machine)


def refused(error: OSError) -> str:
    """What the system did not let us do, in a sentence."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return explain("No space left on device")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (f"{error.filename or ROOT} may not be written or used ({error.strerror}). Copy the folder to where you "
                "may write, or close what uses that file, and run the same command again.")  # fmt: skip
    return f"The system refused something: {error}. Mend that and run the same command again."


# ---------------------------------------------------------------------------------------------------- the tasks


def book(args) -> int:
    """Build the executed book and one zip of it. A chapter that stops early costs its own page alone."""
    started = time.monotonic()
    step("building the book (chapters run once; unchanged ones are taken from their last run)")
    said = BUILD / "sphinx.log"
    with said.open("w", encoding="utf-8") as log:
        code = sphinx(HTML, "-D", "suppress_warnings=lddmmlib.chapter", stderr=log)
    stopped = read_report()
    if stopped is None:
        stop(f"The book did not build. {last_words(said, code)}\nAll that Sphinx said is in {said}.")
    if stopped:
        step(f"built in {minutes(started)}, but {len(stopped)} of {len(chapters())} chapters did not run to the end")
        print("\n" + "\n".join(f"  {Path(name).name}: {why}" for name, why in stopped.items()))
        print(f"\n  open   {(HTML / 'index.html').as_uri()}")
        print(STOPPED)
        return 1
    archive = pack()
    step(f"built in {minutes(started)}")
    size = archive.stat().st_size / 1e6
    print(f"\n  open   {(HTML / 'index.html').as_uri()}")
    print(f"  share  {archive} ({size:.0f} MB; unpack it, open index.html)")
    return 0


def read_report():
    """The chapters that stopped early, and why, as the build told; None when it did not come to its end."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads(REPORT.read_text(encoding="utf-8"))
    return None


def last_words(log: Path, code: int) -> str:
    """The reason that a failed build gave, and what it means where that is known."""
    said = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    named = [line for line in lines if "Error" in line or "Exception" in line] or lines or [f"exit code {code}"]
    return f"Its reason: {named[-1]}. {explain(said, code)}".strip()


def test(args) -> int:
    """The gate: style, units and doctests, every chapter, the book without a warning, the built pages in a browser.

    The chapters are compared as another processor would run them, and the book is made of these runs; the rest is as
    this processor has it.
    """
    if args.sweep:
        return sweep()
    py = str(PYTHON)
    checks = [
        ("style", [py, "-m", "ruff", "check", "."]),
        ("format", [py, "-m", "ruff", "format", "--check", "."]),
        ("spelling", [py, "-m", "codespell_lib"]),
        ("size", [py, "tests/test_floors.py"]),
        ("the library", LIBRARY, ONE_THREAD),
        ("chapters, made into notebooks", PREPARE),
        ("chapters, run and compared", COMPARED, MACHINES["oldest instructions"] | {"LDDMMLIB_KEEP_RUNS": str(KEPT)}),
        (
            "the book, no warning let pass",
            lambda: sphinx(HTML, "-E", "-n", "-W", "--keep-going", "-D", f"chapter_runs={KEPT}"),
        ),
        ("the built pages", PAGES, ONE_THREAD),
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
    library = [*LIBRARY, *(f"--ignore=tests/{name}" for name in SAME_EVERYWHERE)]
    parts = {"the library": library, "chapters": COMPARED, "pages": [*PYTEST, "-m", "browser", "tests"]}
    held: dict[str, dict[str, bool]] = {}
    for machine, how in on_this_processor(MACHINES).items():
        held[machine] = {part: passes(f"{part}, {machine}", check, how) for part, check in parts.items()}
    print("\n" + " " * 32 + "".join(f"{part:>14}" for part in parts))
    for machine, passed in held.items():
        print(f"{machine:<32}" + "".join(f"{'passed' if ok else 'FAILED':>14}" for ok in passed.values()))
    return sum(not ok for passed in held.values() for ok in passed.values())


def on_this_processor(machines: dict) -> dict:
    """The same machines, without instructions of torch that this processor lacks."""
    ask = [str(PYTHON), "-c", "import torch; print(torch.backends.cpu.get_cpu_capability().lower())"]
    own = {name: value for name, value in os.environ.items() if name != "ATEN_CPU_CAPABILITY"}
    has = subprocess.run(ask, env=own, capture_output=True, text=True, check=True).stdout.strip()
    levels = ["default", "avx2", "avx512"]
    lacked = levels[levels.index(has) + 1 :] if has in levels else levels
    able = {}
    for name, how in machines.items():
        if how["ATEN_CPU_CAPABILITY"] in lacked:
            name, how = f"{name} (here: {has})", {k: v for k, v in how.items() if k != "ATEN_CPU_CAPABILITY"}
        able[name] = how
    return able


def passes(name, check, environment=None) -> bool:
    step(name)
    started = time.monotonic()
    environment = os.environ | (environment or {})
    code = check() if callable(check) else subprocess.run(check, cwd=ROOT, env=environment).returncode
    print(f"  {'failed' if code else 'passed'} in {minutes(started)}", flush=True)
    return not code


def lab(args) -> int:
    """JupyterLab on copies that git never sees. A copy that you edited is never overwritten."""
    if run("book/chapters.py", "copies", "my_notebooks"):
        stop("Your copies of the chapters could not be written to my_notebooks; the reason is above.")
    return run("-m", "jupyterlab", "--notebook-dir=my_notebooks", *args.jupyter, patience=None)


def page(args) -> int:
    """Execute and build one chapter alone; then again whenever it, or what it imports, changes."""
    found = [stem for stem in chapters() if stem.startswith(args.chapter)]
    if len(found) != 1:
        stop(f"Which chapter is {args.chapter!r}? There are: {', '.join(chapters())}.")
    out, seen = BUILD / "page" / found[0], None
    os.environ["LDDMMLIB_PAGE"] = found[0]  # conf.py then reads this chapter alone
    while True:
        now = sources()
        if now == seen:
            time.sleep(0.5)
            continue
        seen, started = now, time.monotonic()
        with alone(f"the page {found[0]}"):
            code = sphinx(out)
        built = out / "notebooks" / (found[0] + ".html")
        told = built.as_uri() if built.exists() else "no page was built; the reason is above"
        print(f"  {told}  ({minutes(started)})", flush=True)
        if args.once:
            return code
        print("  watching; Ctrl-C ends it", flush=True)


def instructor(args) -> int:
    """Problems of a seed and their key, solutions, answers to predictions, slides. Chapters run if they have not."""
    step("writing the instructor's kit (chapters that have not run yet run once, for the slides)")
    some = ["--chapters", *args.chapters] if args.chapters else []
    code = run("book/kit.py", str(BUILD / "instructor"), "--seed", str(args.seed), *some)
    print(f"  {'plans':<12} in the book: Planning a course, Notes for instructors, Two projects (`tasks.py book`)")
    return code


def chapters() -> list:
    return sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.py"))


def sources() -> dict:
    """What a page is made of, and when each file was written."""
    kinds = {".py", ".js", ".css", ".json", ".md", ".bib"}
    times = {}
    for path in (p for top in ("lddmmlib", "notebooks", "book") for p in (ROOT / top).rglob("*") if p.suffix in kinds):
        if BUILD not in path.parents:
            with contextlib.suppress(OSError):  # an editor's passing file
                times[path] = path.stat().st_mtime_ns
    return times


# ---------------------------------------------------------------------------------------------------- small things


def sphinx(out: Path, *options: str, stderr=None) -> int:
    """Build into `out`. What an earlier build left half written (killed, or the disk full) is written anew."""
    unfinished, report = Path(f"{out}.unfinished"), Path(f"{out}.stopped.json")
    if unfinished.exists():
        options = ("-E", "-a", *options)
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished.touch()
    report.unlink(missing_ok=True)
    doctrees = str(out.with_suffix(".doctrees"))
    code = run("-m", "sphinx", "-q", "-b", "html", "-c", "book", "-d", doctrees, *options, ".", str(out), stderr=stderr)
    if report.exists():
        unfinished.unlink(missing_ok=True)
    return code


def run(*words: str, patience=10, stderr=None) -> int:
    """Run a program or module of .venv; say so when it is not there."""
    code = end(start([str(PYTHON), *words], stderr=stderr), patience)
    if code and words[0] == "-m":
        there = subprocess.run([str(PYTHON), "-c", f"import {words[1]}"], capture_output=True, cwd=ROOT)
        if there.returncode:
            STAMP.write_text("unfinished\n", encoding="utf-8")
            stop(f"{words[1]} is missing from .venv or damaged. Run the same command again: it is installed anew. If "
                 "that does not help, delete .venv and run it once more.")  # fmt: skip
    return code


def start(command, **more) -> subprocess.Popen:
    return subprocess.Popen(command, cwd=ROOT, pass_fds=() if os.name == "nt" else tuple(HELD), **more)


def end(child, patience=10) -> int:
    """Wait for a child. Ctrl-C reaches it as well: it may end in its own way, and is ended when it does not in time."""
    try:
        return child.wait()
    except KeyboardInterrupt:
        try:
            child.wait(patience)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            child.terminate()
            child.wait()
        raise


def pack() -> Path:
    """One zip of the built book, made anew when a page is newer."""
    archive = BUILD / "lddmmlib-book.zip"
    pages = [p for p in HTML.rglob("*") if p.is_file() and ".buildinfo" not in p.name]
    if not archive.exists() or archive.stat().st_mtime < max(p.stat().st_mtime for p in pages):
        part = archive.with_suffix(".part")
        try:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as z:
                for p in sorted(pages):
                    z.write(p, Path("lddmmlib-book") / p.relative_to(HTML))
            part.replace(archive)
        finally:
            part.unlink(missing_ok=True)
    return archive


def step(text: str) -> None:
    print(f"==> {text}", flush=True)


def minutes(since: float) -> str:
    seconds = time.monotonic() - since
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def stop(message: str):
    sys.exit("\n" + message)


if __name__ == "__main__":
    sys.exit(main())
