"""What each install brings: README's examples run after the install that stands before them; wheels are complete."""

import ast
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGES = {"cv2", "scipy", "ot", "sklearn", "matplotlib", "anywidget", "ipywidgets", "traitlets", "tqdm",
            "safetensors", "PIL", "IPython"}  # fmt: skip
# Each program of programs.json where the packages of [full] cannot be imported, as after `pip install .`. One process
# for all: importing torch takes longer than any of them.
ABSENT = f"""
import json, os, sys
from importlib.machinery import PathFinder
class Without:
    def find_spec(name, path=None, target=None):
        return None if name.split(".")[0] in {PACKAGES} else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Without
with open("programs.json", encoding="utf-8") as file:
    programs = json.load(file)
told = {{}}
for name, program in programs.items():
    os.makedirs(f"each/{{len(told)}}")
    os.chdir(f"each/{{len(told)}}")
    try:
        exec(program, {{"__name__": "__main__"}})
        told[name] = ""
    except BaseException as error:
        told[name] = f"{{type(error).__name__}}: {{error}}"
    os.chdir("../..")
with open("told.json", "w", encoding="utf-8") as file:
    json.dump(told, file)
"""


def run(program, folder, path=ROOT):
    """(return code, stderr's last line) of a program in a folder; the library is the one at ``path``."""
    environment = os.environ | {"PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder, env=environment)
    return done.returncode, (done.stderr.strip().splitlines() or [""])[-1]


def examples():
    """(install that is named last before it, program) of each Python block of README."""
    for block in re.finditer(r"```python\n(.*?)```", README, re.DOTALL):
        yield re.findall(r"After `(pip install [^`]*)`:", README[: block.start()])[-1], block[1]


EXAMPLES = list(examples())


def test_readme_has_examples_of_both_installs():
    assert {install for install, _ in EXAMPLES} == {"pip install .", 'pip install ".[full]"'}


FIT = """
import torch
from lddmmlib import training
square = lambda m, x: m(x).square().mean()
training.fit(torch.nn.Linear(1, 1), square, torch.ones(8, 1), folder="run", epochs=1, batch=4)
"""
DOORS = {
    "drawn faces": "from lddmmlib.faces import synthetic; synthetic.sample(0)",
    "weights": "from lddmmlib.networks import pretrained; pretrained()",
    "training": FIT,
    "images": "from lddmmlib.data import images; from pathlib import Path; images.load(Path('x.png'))",
    "plots": "from lddmmlib import plots",
    "widgets": "from lddmmlib import widgets",
    "one widget": "from lddmmlib.widgets.bias_map import BiasMap",
    "a chapter": "from lddmmlib import notebook; notebook.start()",
    "a sheet": "from lddmmlib.faces import __main__ as program; program.main(['--out', 'x', '--count', '1'])",
}


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """What each door and each example says where the packages of [full] are absent; "" where it runs."""
    folder = tmp_path_factory.mktemp("without")
    programs = DOORS | {"no bar": FIT.replace("batch=4)", "batch=4, progress=False)")} | {p: p for _, p in EXAMPLES}
    (folder / "programs.json").write_text(json.dumps(programs), encoding="utf-8")
    assert run(ABSENT, folder) == (0, "")
    return json.loads((folder / "told.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("door", DOORS)
def test_each_door_names_the_install_that_it_needs(door, without):
    assert "pip install 'lddmmlib[full]'" in without[door]


def test_without_its_bar_training_needs_nothing_else(without):
    assert "progress=False" in without["training"]
    assert without["no bar"] == ""


@pytest.mark.parametrize(("install", "program"), EXAMPLES)
def test_readme_s_examples_need_the_install_that_is_named(install, program, without):
    if install == "pip install .":
        assert without[program] == ""
    else:
        assert re.search(r"ImportError: \w+: needed this package.*pip install 'lddmmlib\[full\]'", without[program])


def test_all_packages_that_may_be_absent_are_imported_by_one_helper():
    """But for programs that measure, what asks the helper first, and widgets, whose base has asked for all."""
    direct, asked = set(), set()
    for path in (ROOT / "lddmmlib").rglob("*.py"):
        name = path.relative_to(ROOT / "lddmmlib").as_posix()
        text = path.read_text(encoding="utf-8")
        asked |= {(name, top) for top in PACKAGES if f'optional("{top}")' in text}
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                of = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                direct |= {(name, top) for top in (each.split(".")[0] for each in of) if top in PACKAGES}
    allowed = {
        (name, top) for name, top in direct if name.startswith("widgets/") and top in ("matplotlib", "traitlets")
    }
    allowed |= {(name, top) for name, top in direct if name.startswith("experiments/")} | asked
    assert direct - allowed == {("training.py", "cv2")}  # to set its threads, where it is there


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """An unpacked wheel of this checkout, far from it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as file:
        file.extractall(folder / "site")
    return folder / "site"


def test_a_wheel_holds_every_result_that_chapters_read(wheel, tmp_path):
    names = sorted(path.stem for path in (ROOT / "book" / "results").glob("*.json"))
    program = "import json, sys; from lddmmlib import notebook\n"
    program += f"json.dump([notebook.result(n) for n in {names}], open('found', 'w', encoding='utf-8'))"
    assert run(program, tmp_path, wheel) == (0, "")
    kept = [json.loads((ROOT / "book" / "results" / f"{n}.json").read_text(encoding="utf-8")) for n in names]
    assert json.loads((tmp_path / "found").read_text(encoding="utf-8")) == [each["figures"] for each in kept]
    told = run("from lddmmlib import notebook; notebook.result('nothing')", tmp_path, wheel)[1]
    assert told.startswith("ValueError: result: needed one of 'annotator_agreement', ")
    assert told.endswith("; got 'nothing'")


@pytest.mark.parametrize(("install", "program"), EXAMPLES)
def test_a_wheel_runs_readme_s_examples(wheel, install, program, tmp_path):
    """As written; no example stands on what another one imported."""
    whose = "import lddmmlib; from pathlib import Path; assert Path(lddmmlib.__file__).is_relative_to("
    code, said = run(f"{whose}{str(wheel)!r})\n{program}", tmp_path, wheel)
    assert (code, "" if said.startswith("100%|") else said) == (0, ""), "it may end with a full bar of progress"
