"""tasks.py on other people's machines: it keeps its hands off their files, waits for its like, goes on after an
interruption, and says in a sentence what went wrong. Nothing is installed and nothing built here: pip and Sphinx are
stubs."""

import ast
import contextlib
import errno
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "tasks.py"


def load(folder):
    """tasks.py as it lies in a folder."""
    spec = importlib.util.spec_from_file_location("tasks_elsewhere", folder / "tasks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def clone(folder):
    (folder / "notebooks").mkdir(parents=True)
    (folder / "book").mkdir()
    shutil.copy(SOURCE, folder)
    (folder / "requirements.lock").write_text("numpy==2\ntorch==2\n", encoding="utf-8")
    (folder / "pyproject.toml").write_text("", encoding="utf-8")
    for stem in ("01_one", "02_two"):
        (folder / "notebooks" / f"{stem}.py").write_text("# %%\n1\n", encoding="utf-8")
    return folder


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """tasks.py in a folder of its own; its pip and its environment's maker only take notes."""
    module = load(clone(tmp_path / "clone"))
    module.asked = []

    def pip(*words):
        module.asked.append(words)

    def create(where, **how):
        assert how == {"with_pip": True}
        module.PYTHON.parent.mkdir(parents=True, exist_ok=True)
        module.PYTHON.write_text("new", encoding="utf-8")

    monkeypatch.setattr(module, "pip", pip)
    monkeypatch.setattr("venv.create", create)
    monkeypatch.setattr(module, "works", lambda python: python.exists() and python.read_text("utf-8") == "new")
    monkeypatch.setattr(module, "NEEDED_GB", 0)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return module


def tree(folder):
    """Everything below: what a link points to, what a file holds."""
    return {
        str(p.relative_to(folder)): str(p.readlink()) if p.is_symlink() else p.is_file() and p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if "_build" not in p.parts
    }


def whole(tasks):
    return tasks.STAMP.is_file() and "unfinished" not in tasks.STAMP.read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------- others' files


def link_to(folder, target):
    try:
        (folder / ".venv").symlink_to(target, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")


def environment(folder):
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").write_text("theirs", encoding="utf-8")
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\n", encoding="utf-8")
    return folder


def documents(folder):
    folder.mkdir()
    (folder / "thesis.txt").write_text("five years", encoding="utf-8")
    return folder


def ours(tasks, folder):
    environment(folder)
    (folder / tasks.STAMP.name).write_text("unfinished\n", encoding="utf-8")
    return folder


THEIRS = {
    "link to documents": ("is a link to", lambda t, beside: link_to(t.ROOT, documents(beside))),
    "link to an environment": ("is a link to", lambda t, beside: link_to(t.ROOT, environment(beside))),
    "link to one of ours": ("is a link to", lambda t, beside: link_to(t.ROOT, ours(t, beside))),
    "link to nothing": ("is a link to", lambda t, beside: link_to(t.ROOT, beside)),
    "file": ("is a file", lambda t, beside: t.VENV.write_text("PATH=here", encoding="utf-8")),
    "documents": ("is a folder that", lambda t, beside: documents(t.VENV)),
    "environment": ("is an environment that", lambda t, beside: environment(t.VENV)),
}


@pytest.mark.parametrize("kind", THEIRS)
@pytest.mark.parametrize("index", [None, "https://example.org/simple"])
def test_what_is_not_ours_is_refused_and_stays_as_it_is(tasks, tmp_path, kind, index):
    says, put = THEIRS[kind]
    put(tasks, tmp_path / "beside")
    before = tree(tmp_path)
    with pytest.raises(SystemExit, match=says) as stopped:
        tasks.set_up(index)
    assert "run the same command again" in str(stopped.value)
    assert tree(tmp_path) == before
    assert not tasks.asked


def test_of_our_own_only_an_environments_parts_are_cleared(tasks, tmp_path):
    """Made by a Python that is gone: packages go, what somebody keeps there stays, and no link is followed."""
    beside = documents(tmp_path / "beside")
    ours(tasks, tasks.VENV)
    (tasks.VENV / "lib" / "old").mkdir(parents=True)
    (tasks.VENV / "notes.txt").write_text("mine", encoding="utf-8")
    with contextlib.suppress(OSError):  # a system without links has none to follow
        (tasks.VENV / "lib64").symlink_to(beside, target_is_directory=True)
    tasks.set_up()
    assert whole(tasks)
    assert not (tasks.VENV / "lib" / "old").exists()
    assert not (tasks.VENV / "lib64").is_symlink()
    assert (tasks.VENV / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert (beside / "thesis.txt").read_text(encoding="utf-8") == "five years"


def test_an_environment_that_works_is_filled_not_cleared(tasks):
    ours(tasks, tasks.VENV)
    (tasks.VENV / "lib" / "kept").mkdir(parents=True)
    tasks.PYTHON.parent.mkdir(exist_ok=True)
    tasks.PYTHON.write_text("new", encoding="utf-8")
    tasks.set_up()
    assert (tasks.VENV / "lib" / "kept").exists()
    assert [words[0] for words in tasks.asked] == ["-r", "--no-deps"]


def test_a_folder_that_was_moved_finds_itself(tasks, monkeypatch):
    """The library is installed by its path; only that is put right."""
    tasks.set_up()
    before = len(tasks.asked)
    moved = tasks.ROOT.rename(tasks.ROOT.with_name("moved"))
    again = load(moved)
    monkeypatch.setattr(again, "pip", tasks.pip)
    monkeypatch.setattr(again, "works", tasks.works)
    again.set_up()
    assert tasks.asked[before:][-1][-2:] == ("-e", ".")
    assert whole(again)


def test_settings_of_the_user_do_not_send_packages_elsewhere(tasks, tmp_path):
    os.environ |= {"PIP_TARGET": str(tmp_path), "PIP_USER": "1", "PYTHONPATH": "x", "MPLBACKEND": "TkAgg"}
    tasks.set_up()
    assert os.environ["PIP_USER"] == "0"
    assert not {"PIP_TARGET", "PYTHONPATH"} & set(os.environ)
    tasks.plain_kernels()
    assert "MPLBACKEND" not in os.environ


def test_git_does_not_see_what_we_make(tmp_path):
    """Nor when a folder is a link to a bigger disk."""
    if not shutil.which("git"):
        pytest.skip("there is no git")
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "book").mkdir()
    for name in (".venv", "my_notebooks", "book/_build"):
        (tmp_path / name).write_text("as git sees a link", encoding="utf-8")
    seen = subprocess.run(["git", "status", "--porcelain", "-uall"], cwd=tmp_path, capture_output=True, text=True)
    assert seen.stdout.split() == ["??", ".gitignore"]


# ---------------------------------------------------------------------------------------- interrupted, two at once


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("what", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device"), SystemExit])
def test_after_an_interruption_the_same_command_goes_on(tasks, monkeypatch, at, what):
    """At whatever call it ends, the next run completes, whether the environment was half made or half filled."""
    calls = iter(range(100))

    def ends(function):
        def call(*args, **kwargs):
            if next(calls) == at:
                raise what
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "works", ends(tasks.works))
        patch.setattr("venv.create", ends(sys.modules["venv"].create))
        patch.setattr(tasks, "pip", ends(tasks.pip))
        with pytest.raises(what if isinstance(what, type) else type(what)):
            tasks.set_up()
    assert not whole(tasks)
    tasks.set_up()
    assert whole(tasks)
    assert [words[0] for words in tasks.asked][-2:] == ["-r", "--no-deps"]
    asked = len(tasks.asked)
    tasks.set_up()
    assert len(tasks.asked) == asked, "nothing is left to do"


@pytest.mark.parametrize(("has", "renamed"), [("AVX512", []), ("AVX2", ["avx512"]), ("NEON", ["avx2", "avx512"])])
def test_the_sweep_asks_no_processor_for_instructions_that_it_lacks(tasks, monkeypatch, has, renamed):
    """torch dies of those."""
    monkeypatch.setitem(os.environ, "ATEN_CPU_CAPABILITY", "default")

    def run(command, env, **how):
        assert "ATEN_CPU_CAPABILITY" not in env, "its own, not what the user asked for"
        return subprocess.CompletedProcess(command, 0, f"{has.lower()}\n")

    monkeypatch.setattr(tasks.subprocess, "run", run)
    able = tasks.on_this_processor(tasks.MACHINES)
    assert len(able) == len(tasks.MACHINES)
    for (old, before), (new, now) in zip(tasks.MACHINES.items(), able.items(), strict=True):
        lacked = before["ATEN_CPU_CAPABILITY"] in (*renamed, "default" if has == "NEON" else "")
        assert ("ATEN_CPU_CAPABILITY" in now, new == old) == (not lacked, not lacked)
        assert all(now[key] == before[key] for key in now)


def test_an_empty_folder_is_ours_to_fill(tasks):
    """It is what a set-up leaves that was killed right at its start."""
    tasks.VENV.mkdir()
    tasks.set_up()
    assert whole(tasks)


HOLDER = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("tasks", sys.argv[1])
tasks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tasks)
with tasks.alone("the set-up"):
    child = tasks.start([sys.executable, "-c", "input()"], stdin=sys.stdin) if sys.argv[2] == "child" else None
    print("held", flush=True)
    child.wait() if child else sys.stdin.read()
"""


def holder(tasks, how=""):
    command = [sys.executable, "-c", HOLDER, str(tasks.ROOT / "tasks.py"), how]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "held"
    return process


def free(tasks):
    with (tasks.BUILD / "set-up.lock").open("a+b") as file:
        return tasks.taken(file)


def becomes_free(tasks):
    deadline = time.monotonic() + 60
    while not free(tasks) and time.monotonic() < deadline:
        time.sleep(0.05)
    return free(tasks)


def test_a_second_waits_says_so_and_finds_it_done(tasks, capsys, monkeypatch):
    process = holder(tasks)
    assert not free(tasks)

    def sleep(seconds):  # the first ends while the second waits
        process.communicate("")
        tasks.VENV.mkdir(exist_ok=True)
        monkeypatch.setattr(tasks, "whole", lambda wanted: True)

    monkeypatch.setattr(tasks.time, "sleep", sleep)
    tasks.set_up()
    assert "another tasks.py" in capsys.readouterr().out
    assert not tasks.asked, "the first did it all"


def test_a_killed_one_blocks_nobody(tasks):
    process = holder(tasks)
    process.kill()
    process.communicate()
    assert becomes_free(tasks)


@pytest.mark.skipif(os.name == "nt", reason="there a child does not share its parent's lock")
def test_what_a_killed_one_left_running_is_waited_for(tasks):
    process = holder(tasks, "child")
    process.kill()
    process.wait()
    assert not free(tasks), "pip goes on, say"
    process.stdin.write("\n")
    process.stdin.close()
    process.stdout.close()
    assert becomes_free(tasks)


def test_a_file_system_without_locks_keeps_nobody_waiting(tasks, monkeypatch, tmp_path):
    if os.name == "nt":
        pytest.skip("fcntl is not of Windows")

    def flock(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    with tasks.alone("the set-up"):
        pass


@pytest.mark.skipif(os.name == "nt", reason="signals are of other systems")
def test_a_child_that_does_not_hear_ctrl_c_is_ended(tasks, monkeypatch):
    child = tasks.start([sys.executable, "-c", "import time; time.sleep(600)"])
    wait, first = child.wait, iter([True])

    def interrupted(*limit):
        if next(first, False):
            raise KeyboardInterrupt
        return wait(*limit)

    monkeypatch.setattr(child, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tasks.end(child, patience=0.1)
    assert child.returncode == -signal.SIGTERM


# ------------------------------------------------------------------------------------------ trouble, in a sentence


def test_python_without_venv_is_told_what_to_install(tasks, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find(name))
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        tasks.set_up()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("Refusing to create a venv: it contains the PATH separator :."), "Rename that folder"),
        (subprocess.CalledProcessError(1, "ensurepip", b"OSError: [Errno 28] No space left"), "disk is full"),
        (subprocess.CalledProcessError(1, "ensurepip", b"something else"), "Delete .venv"),
    ],
)
def test_an_environment_that_cannot_be_made_is_explained(tasks, monkeypatch, error, says):
    def create(*args, **kwargs):
        raise error

    monkeypatch.setattr("venv.create", create)
    with pytest.raises(SystemExit, match=says):
        tasks.set_up()


REFUSED = [
    (errno.ENOSPC, "The disk is full"),
    (errno.EROFS, "requirements.txt may not be written"),
    (errno.EACCES, "Copy the folder to where you may write"),
    (errno.ENOEXEC, "The system refused something"),
]


@pytest.mark.parametrize(("number", "says"), REFUSED)
@pytest.mark.parametrize("task", ["book", "test", "lab", "page", "instructor"])
def test_what_the_system_refuses_is_a_sentence_in_every_task(tasks, monkeypatch, number, says, task):
    def refuse(args):
        raise OSError(number, os.strerror(number), "requirements.txt")

    monkeypatch.setattr(tasks, "set_up", lambda index: None)
    monkeypatch.setattr(tasks, task, refuse)
    refuse.__name__ = task
    monkeypatch.setattr(sys, "argv", ["tasks.py", task, *(["01"] if task == "page" else [])])
    monkeypatch.setattr(sys, "stdout", sys.__stdout__)
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    with pytest.raises(SystemExit, match=says):
        tasks.main()


def test_a_missing_module_is_named_and_comes_back(tasks, monkeypatch):
    tasks.VENV.mkdir()
    tasks.STAMP.write_text("whole", encoding="utf-8")
    monkeypatch.setattr(tasks, "PYTHON", Path(sys.executable))
    with pytest.raises(SystemExit, match="no_such_module is missing"):
        tasks.run("-m", "no_such_module", stderr=subprocess.DEVNULL)
    assert not whole(tasks), "the next run installs it"
    assert tasks.run("-c", "raise SystemExit(3)") == 3


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("NewConnectionError('... Temporary failure in name resolution')", "could not be reached"),
        ("pip._vendor.urllib3.exceptions.ReadTimeoutError: Read timed out.", "could not be reached"),
        ("SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]')", "could not be reached"),
        ("ERROR: No matching distribution found for torch==2.13.0", "no torch for this Python"),
        ("Could not find a version that satisfies numpy (from versions: none)", "could not be reached"),
        ("HINT: This error might have occurred since this system does not have Windows Long Path", "shorter path"),
        ("PermissionError: [Errno 13] Permission denied: 'x'", "may not be written"),
    ],
)
def test_trouble_is_explained(tasks, said, meant):
    assert meant in tasks.explain(said)


def test_unknown_trouble_is_not_explained_away(tasks):
    assert tasks.explain("ERROR: something else") == ""
    assert "memory" in tasks.explain("", -9)


def test_any_python_can_read_it_and_it_needs_nothing_installed():
    """A Python that is too old is told so, by this very file."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 6))
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names
    top = {a.name for node in tree.body if isinstance(node, ast.Import) for a in node.names}
    assert not top & {"venv", "ensurepip", "fcntl", "msvcrt"}, "not every Python has them"


# ------------------------------------------------------------------------------------------------- the book's build


@pytest.fixture
def building(tasks, monkeypatch):
    """Sphinx is a stub: building(code, stopped, said) says how its next run goes; its options are noted."""
    runs = []
    tasks.plain_kernels()

    def plan(code=0, stopped=None, said=""):
        def run(*words, patience=10, stderr=None):
            runs.append(words)
            out = Path(words[-1])
            out.mkdir(parents=True, exist_ok=True)
            (out / "index.html").write_text("page", encoding="utf-8")
            if stopped is not None:
                Path(f"{out}.stopped.json").write_text(json.dumps(stopped), encoding="utf-8")
            if stderr:
                stderr.write(said)
            return code

        monkeypatch.setattr(tasks, "run", run)
        return runs

    return plan


def test_a_book_that_is_whole(tasks, building, capsys):
    building(0, {})
    assert tasks.book(None) == 0
    said = capsys.readouterr().out
    assert tasks.HTML.joinpath("index.html").as_uri() in said
    assert zipfile.ZipFile(tasks.BUILD / "lddmmlib-book.zip").namelist() == ["lddmmlib-book/index.html"]


def test_a_chapter_that_stops_costs_its_page_alone_and_the_exit_code_tells(tasks, building, capsys):
    building(1, {"notebooks/02_two": "cell 1 of 1 took longer than 600 seconds and was stopped"}, "Traceback ...")
    assert tasks.book(None) == 1
    said = capsys.readouterr()
    assert "02_two: cell 1 of 1 took longer than 600 seconds" in said.out
    assert "1 of 2 chapters did not run" in said.out
    assert "index.html" in said.out
    assert "Run the same command again" in said.out
    assert "Traceback" not in said.out + said.err


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        (2, "Traceback:\nOSError: [Errno 28] No space left on device\nplease report it", "The disk is full"),
        (2, "Traceback:\nsphinx.errors.ConfigError: no conf.py\n", "ConfigError: no conf.py"),
        (-9, "", "want of memory"),
        (2, "", "exit code 2"),
    ],
)
def test_a_book_that_does_not_build_gives_its_reason_without_a_traceback(tasks, building, code, said, reason):
    building(0, {})
    tasks.book(None)  # a book and a report of an earlier build, which tell nothing of this one
    building(code, None, said)
    with pytest.raises(SystemExit, match="The book did not build") as stopped:
        tasks.book(None)
    assert reason in str(stopped.value)
    assert "sphinx.log" in str(stopped.value)
    assert "Traceback" not in str(stopped.value)


def test_what_a_build_left_half_written_is_written_anew(tasks, building):
    runs = building(-9, None)  # killed
    assert tasks.sphinx(tasks.HTML) == -9
    building(0, {})
    tasks.sphinx(tasks.HTML)
    tasks.sphinx(tasks.HTML)
    assert [{"-E", "-a"} <= set(words) for words in runs] == [False, True, False]


def test_a_disk_that_fills_leaves_the_old_zip_whole(tasks, building, monkeypatch):
    building(0, {})
    tasks.book(None)
    archive = tasks.BUILD / "lddmmlib-book.zip"
    before = archive.read_bytes()
    later = time.time() + 100
    os.utime(tasks.HTML / "index.html", (later, later))

    def write(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "write", write)
    with pytest.raises(OSError, match="No space"):
        tasks.pack()
    assert archive.read_bytes() == before
    assert not list(tasks.BUILD.glob("*.part"))


def test_a_page_of_1970_is_packed(tasks, building):
    building(0, {})
    tasks.sphinx(tasks.HTML)
    os.utime(tasks.HTML / "index.html", (0, 0))
    assert tasks.pack().exists()


@pytest.mark.parametrize("name", ["my%20book", "my book", "a#b", "a&b=c", "Gesichter-ä-顔", "x[1]", "it's", "50%"])
def test_the_address_that_is_printed_is_the_pages(tmp_path, monkeypatch, capsys, name):
    tasks = load(clone(tmp_path / name))
    monkeypatch.setattr(os, "environ", dict(os.environ))

    def run(*words, **more):
        page = Path(words[-1]) / "notebooks" / "01_one.html"
        page.parent.mkdir(parents=True)
        page.write_text("page", encoding="utf-8")
        return 0

    monkeypatch.setattr(tasks, "run", run)
    tasks.page(tasks.argparse.Namespace(chapter="01", once=True))
    address = next(word for word in capsys.readouterr().out.split() if word.startswith("file:"))
    path = unquote(urlsplit(address).path)
    assert Path(path.lstrip("/") if os.name == "nt" else path).read_text(encoding="utf-8") == "page"


def test_no_address_of_a_page_that_was_not_built(tasks, monkeypatch, capsys):
    monkeypatch.setattr(tasks, "run", lambda *words, **more: 2)
    assert tasks.page(tasks.argparse.Namespace(chapter="01", once=True)) == 2
    said = capsys.readouterr().out
    assert "file:" not in said
    assert "no page was built" in said


def test_an_editors_passing_files_do_not_end_the_watch(tasks):
    """Emacs locks a file by a link to nowhere of the same ending."""
    with contextlib.suppress(OSError):
        (tasks.ROOT / "notebooks" / ".#01_one.py").symlink_to("somebody@somewhere:1")
    assert {path.name for path in tasks.sources()} == {"01_one.py", "02_two.py"}


def test_lab_says_when_the_copies_could_not_be_written(tasks, monkeypatch):
    started = []
    monkeypatch.setattr(tasks, "run", lambda *words, **more: started.append(words) or 1)
    with pytest.raises(SystemExit, match="could not be written to my_notebooks"):
        tasks.lab(tasks.argparse.Namespace(jupyter=[]))
    assert len(started) == 1, "JupyterLab does not start"
