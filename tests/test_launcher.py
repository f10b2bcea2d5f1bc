"""The launcher: preparing an environment, opening Lab, running, building, testing, the doctor.

Environments are made for a project of a few lines, without a network; what goes wrong is made to go
wrong. The chapters here are made up, and lie in temporary folders.
"""

import ast
import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from genart_lessons import __main__ as entry
from genart_lessons import runtime
from genart_lessons.launcher import (
    Problem,
    building,
    chapters,
    commands,
    doctor,
    environment,
    executing,
    lab,
    requirements,
    scrubbing,
    speed,
    testing,
)  # fmt: skip

ROOT = Path(__file__).parents[1]
posix = pytest.mark.skipif(os.name == "nt", reason="signals and modes are POSIX's")


# --------------------------------------------------------------------------- versions


@pytest.mark.parametrize("range_", [">=2.6", ">=1.4,<1.5", "==2.13.0", "!=2.1", ">2,<=3", "<3", ""])
def test_versions_are_judged_as_packaging_judges_them(range_):
    _, clauses = requirements.split(f"thing{range_}")
    for version in (
        "0.9", "1.4", "1.4.0", "1.4.9", "1.5", "2", "2.0", "2.1", "2.1.0", "2.6", "2.6.1", "2.13.0",
        "2.13.0+cpu", "2.13", "2.13.1", "3", "3.0rc1", "3.0.dev2", "10.0", "2026.9.0",
    ):  # fmt: skip
        pre = Version(version).is_prerelease and "<3" in range_
        expected = SpecifierSet(range_).contains(version, prereleases=not pre)
        assert requirements.satisfies(version, clauses) == expected, version


def test_our_own_requirements_are_all_understood():
    for requirement in environment.wanted(ROOT, ["dev"]):
        name, clauses = requirements.split(requirement)
        assert name and clauses


@pytest.mark.parametrize("line", ["torch~=2.6", "torch>=2.6; python_version<'4'", "", "torch 2"])
def test_a_requirement_that_is_not_understood_is_not_passed_over(line):
    with pytest.raises(ValueError, match="not understood"):
        requirements.split(line)


def test_what_is_missing_is_told_with_what_is_there():
    have = {"torch": "2.13.0+cpu", "numpy": "1.26.4"}
    lacking = requirements.missing(["torch>=2.6", "numpy>=2.0", "scipy>=1"], have.get)
    assert lacking == ["numpy>=2.0 (here: 1.26.4)", "scipy>=1"]


# --------------------------------------------------------------------------- old Pythons

STARTING = ("genart_lessons/__init__.py", "genart_lessons/__main__.py")


@pytest.mark.parametrize("name", STARTING)
def test_the_first_files_can_be_read_by_an_old_python(name):
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"), feature_version=(3, 8))
    future = any(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            written = [node.returns, *(a.annotation for a in node.args.args)]
            modern = [w for w in written if isinstance(w, ast.Subscript | ast.BinOp)]
            assert future or not modern, f"line {node.lineno}: Python 3.8 evaluates this and fails"


def test_an_old_python_is_told_so_in_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 8, 18))
    assert entry.main() == 1
    said = capsys.readouterr().err
    assert "Python 3.8" in said and "3.11 or newer" in said and said.count("\n") == 1


# --------------------------------------------------------------------------- preparing .venv

BACKEND = '''\
"""A build backend of a few lines, so that a project can be installed without a network."""
import os, pathlib, time, tomllib, zipfile
def build_editable(folder, settings=None, metadata=None):
    with open("built.log", "a") as log:
        log.write("x")
    time.sleep(float(os.environ.get("STUB_SLEEP", "0")))
    name = "stub_course-1.0-py3-none-any.whl"
    info = "stub_course-1.0.dist-info"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as wheel:
        wheel.writestr("stub_course.pth", os.getcwd())
        about = ["Metadata-Version: 2.1", "Name: stub_course", "Version: 1.0"]
        with open("pyproject.toml", "rb") as file:
            needs = tomllib.load(file)["project"]["dependencies"]
        about += [f"Requires-Dist: {need}" for need in needs]
        wheel.writestr(f"{info}/METADATA", "\\n".join(about))
        tags = ["Wheel-Version: 1.0", "Root-Is-Purelib: true", "Tag: py3-none-any"]
        wheel.writestr(f"{info}/WHEEL", "\\n".join(tags))
        wheel.writestr(f"{info}/RECORD", "")
    return name
'''
PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "stub_course"
version = "1.0"
dependencies = [{needs}]
[project.optional-dependencies]
dev = []
"""


def stub_project(root: Path, needs: str = "") -> Path:
    """A course of a few lines that the launcher can make an environment for."""
    for folder in ("chapters/text", "data"):
        (root / folder).mkdir(parents=True)
    (root / "pyproject.toml").write_text(PROJECT.format(needs=needs), encoding="utf-8")
    (root / "backend.py").write_text(BACKEND, encoding="utf-8")
    (root / "constraints.txt").write_text("", encoding="utf-8")
    shutil.copytree(
        ROOT / "genart_lessons", root / "genart_lessons", ignore=shutil.ignore_patterns("*.pyc")
    )
    return root.resolve()


def builds(root: Path) -> int:
    """How often pip has built the stub."""
    log = root / "built.log"
    return len(log.read_text()) if log.exists() else 0


def prepare_elsewhere(root: Path, **environ: str) -> subprocess.Popen:
    """``prepare`` in a process of its own."""
    code = "import sys, pathlib; from genart_lessons.launcher import environment as e; "
    code += "print(e.prepare(pathlib.Path(sys.argv[1])))"
    return subprocess.Popen(
        [sys.executable, "-c", code, str(root)], cwd=ROOT, env=os.environ | environ,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


@pytest.fixture
def offline(monkeypatch):
    """pip, with nothing to ask: neither an index nor anybody's settings."""
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@posix
def test_an_environment_through_its_whole_life(tmp_path, offline, capsys):
    root = stub_project(tmp_path / "a course")  # with a space in its path
    venv = root / ".venv"

    # Killed in the middle of the installation: not finished, and not taken for finished.
    killed = prepare_elsewhere(root, STUB_SLEEP="60")
    wait_until(lambda: builds(root) == 1)
    assert environment.usable(venv) and not environment.is_ready(root, venv)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not environment.is_ready(root, venv)

    # Two starts at once: one completes it, the other waits, neither makes it anew.
    stamp = (venv / "pyvenv.cfg").stat().st_mtime_ns
    both = [prepare_elsewhere(root, STUB_SLEEP="1") for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [p.returncode for p in both] == [0, 0], said
    assert sum("waiting" in text for text in said) == 1
    assert builds(root) == 2 and environment.is_ready(root, venv)
    assert (venv / "pyvenv.cfg").stat().st_mtime_ns == stamp

    # Finished: nothing is done, at once.
    began = time.perf_counter()
    python = environment.prepare(root)
    assert time.perf_counter() - began < 5 and builds(root) == 2
    found = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True)
    assert Path(found.stdout.decode().strip()) == venv

    # The tools for tests: added, and kept from then on.
    environment.prepare(root, ["dev"])
    assert builds(root) == 3 and environment.is_ready(root, venv, ["dev"])

    # Another pyproject.toml: brought up to date, not made anew.
    text = (root / "pyproject.toml").read_text()
    (root / "pyproject.toml").write_text(text.replace('"1.0"', '"1.0"\ndescription = "newer"'))
    assert not environment.is_ready(root, venv)
    environment.prepare(root)
    assert builds(root) == 4 and (venv / "pyvenv.cfg").stat().st_mtime_ns == stamp
    assert environment.is_ready(root, venv, ["dev"])

    # An interpreter that is gone: made anew.
    python.unlink()
    python.symlink_to(root / "gone")
    assert not environment.is_ready(root, venv)
    environment.prepare(root)
    assert builds(root) == 5 and (venv / "pyvenv.cfg").stat().st_mtime_ns != stamp
    assert not list(root.glob(".venv-old-*")) and environment.is_ready(root, venv)

    # No network: a sentence, and no marker.
    (root / "pyproject.toml").write_text(PROJECT.format(needs='"genart-no-such-thing>=1"'))
    with no_network(), pytest.raises(Problem, match="index could not be reached"):
        environment.prepare(root)
    assert not environment.is_ready(root, venv) and not environment.marker(venv).exists()


@contextlib.contextmanager
def no_network():
    """pip asks a port of this machine where nobody answers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PIP_NO_INDEX")
        patch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        patch.setenv("PIP_RETRIES", "1")
        yield


def wait_until(true, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


@pytest.fixture
def finished(tmp_path):
    """A project with something that looks like a finished environment."""
    (tmp_path / "pyproject.toml").write_text(PROJECT.format(needs=""))
    (tmp_path / "constraints.txt").write_text("x==1\n")
    venv = tmp_path / ".venv"
    environment.python_of(venv).parent.mkdir(parents=True)
    environment.python_of(venv).write_text("")
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.11.7\n")
    environment.mark_ready(tmp_path, venv, ["dev"])
    assert environment.is_ready(tmp_path, venv, ["dev"]) and environment.is_ready(tmp_path, venv)
    return tmp_path


@pytest.mark.parametrize(
    "spoil",
    [
        lambda root: environment.marker(root / ".venv").unlink(),
        lambda root: environment.marker(root / ".venv").write_text('{"fingerp'),
        lambda root: environment.marker(root / ".venv").write_text("[]"),
        lambda root: (root / "constraints.txt").write_text("x==2\n"),
        lambda root: (root / ".venv/pyvenv.cfg").write_text("version = 3.12.1\n"),
        lambda root: (root / ".venv/pyvenv.cfg").unlink(),
        lambda root: environment.python_of(root / ".venv").unlink(),
    ],
)
def test_an_environment_that_is_not_quite_finished_is_not_taken_for_finished(finished, spoil):
    spoil(finished)
    assert not environment.is_ready(finished, finished / ".venv")


def test_an_environment_without_the_extras_asked_for_is_not_finished(finished):
    environment.mark_ready(finished, finished / ".venv", [])
    assert environment.is_ready(finished, finished / ".venv")
    assert not environment.is_ready(finished, finished / ".venv", ["dev"])


def test_a_moved_environment_is_not_finished(finished, tmp_path):
    there = finished.rename(tmp_path.with_name("elsewhere"))
    assert not environment.is_ready(there, there / ".venv")


def test_tool_settings_do_not_make_an_environment_old(finished):
    with open(finished / "pyproject.toml", "a") as file:
        file.write("[tool.ruff]\nline-length = 80\n")
    assert environment.is_ready(finished, finished / ".venv")


def test_what_is_not_an_environment_is_not_deleted(tmp_path):
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "thesis.txt").write_text("years of work")
    with pytest.raises(Problem, match="move it away"):
        environment.clear(tmp_path / ".venv")
    assert (tmp_path / ".venv" / "thesis.txt").exists()
    (tmp_path / ".venv" / "thesis.txt").rename(tmp_path / ".venv" / "bin")
    environment.clear(tmp_path / ".venv")  # what a killed `python -m venv` leaves
    assert not (tmp_path / ".venv").exists()


def test_an_interpreter_that_has_everything_is_used_as_it_is(monkeypatch):
    monkeypatch.setattr(environment, "prepare", lambda *_: pytest.fail("made an environment"))
    environment.ensure(ROOT, ["doctor"], extras=["dev"])


def test_an_interpreter_that_lacks_something_goes_on_in_the_environment(monkeypatch):
    entered = []
    monkeypatch.setattr(requirements, "missing", lambda wanted: ["torch>=2.6"])
    monkeypatch.setattr(environment, "prepare", lambda root, extras: Path("python"))
    monkeypatch.setattr(environment, "enter", lambda *what: entered.append(what))
    environment.ensure(ROOT, ["lab", "--port", "1"])
    assert entered == [(ROOT, Path("python"), ["lab", "--port", "1"])]
    monkeypatch.setenv(environment.ENTERED, "python")  # no running in circles
    with pytest.raises(Problem, match="delete .venv"):
        environment.ensure(ROOT, ["lab"])


# --------------------------------------------------------------------------- what goes wrong


def one_sentence(problem: Problem | str, *words: str) -> None:
    """A clear sentence: one line, with the words that matter, no traceback."""
    said = str(problem)
    assert "\n" not in said and "Traceback" not in said and len(said) < 400
    for word in words:
        assert word in said


def test_without_ensurepip_the_debian_package_is_named(monkeypatch):
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Problem) as caught:
        environment.check_before(ROOT, fresh=True)
    version = "{}.{}".format(*sys.version_info)
    one_sentence(caught.value, f"sudo apt install python{version}-venv", "start again")


def test_too_little_room_is_told_beforehand(monkeypatch):
    usage = shutil._ntuple_diskusage(10e9, 9e9, 1e9)
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(Problem) as caught:
        environment.check_before(ROOT, fresh=True)
    one_sentence(caught.value, "3 GB", "1.0 GB are free", "Make room")
    environment.check_before(ROOT, fresh=False)  # to complete what is there, it may do


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, ("disk is full", "Make room")),
        (errno.EROFS, ("cannot be written to", "copy the course")),
        (errno.EACCES, ("cannot be written to",)),
        (errno.EIO, ("Input/output error",)),
    ],
)
def test_a_failure_to_write_is_told_in_one_sentence(finished, monkeypatch, number, words):
    @contextlib.contextmanager
    def fails(root):
        raise OSError(number, os.strerror(number))
        yield

    monkeypatch.setattr(environment, "lock", fails)
    environment.marker(finished / ".venv").unlink()
    with pytest.raises(Problem) as caught:
        environment.prepare(finished)
    one_sentence(caught.value, *words)


UNREACHED = """\
WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError('<pip>: \
Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')'
ERROR: Could not find a version that satisfies the requirement torch>=2.6 (from versions: none)
ERROR: No matching distribution found for torch>=2.6
"""


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (UNREACHED, ("could not be reached", "connect to the network")),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on "
         "device\n", ("disk is full",)),
        ("OSError: [Errno 122] Disk quota exceeded", ("disk is full",)),
        ("The virtual environment was not created successfully because ensurepip is not\n"
         "available.  On Debian/Ubuntu systems, you need to install the python3-venv", ("-venv",)),
        ("ERROR: No matching distribution found for torch==2.13", ("no torch==2.13 for Python",)),
        ("error: [Errno 13] Permission denied: '/x/.venv'", ("cannot be written to",)),
        ("Collecting x\nERROR: ResolutionImpossible: for help visit\nnote: see above",
         ("ResolutionImpossible",)),
        ("", ("no reason was given",)),
    ],
)  # fmt: skip
def test_what_pip_complains_of_becomes_one_sentence(tmp_path, output, words):
    one_sentence(environment.explain_output(output, tmp_path / ".venv"), *words)


def test_problems_and_interrupts_end_a_command_without_a_traceback(monkeypatch, capsys):
    def fails(error):
        def command(root, args, rest):
            raise error

        return command

    monkeypatch.setitem(vars(commands), "_bench", fails(Problem("the sky is falling: look up.")))
    assert commands.main(["bench"]) == 1
    assert capsys.readouterr().err == "genart: the sky is falling: look up.\n"
    monkeypatch.setitem(vars(commands), "_bench", fails(runtime.SettingError("no such device")))
    assert commands.main(["bench"]) == 1
    monkeypatch.setitem(vars(commands), "_bench", fails(KeyboardInterrupt()))
    assert commands.main(["bench"]) == 130
    assert "stopped" in capsys.readouterr().err


def test_train_and_bench_hand_their_arguments_on(monkeypatch):
    seen = []
    monkeypatch.setattr(commands, "_main_of", lambda module: lambda argv: seen.append(argv) or 0)
    assert commands.main(["train", "vae_emoji", "--steps", "9"]) == 0
    assert commands.main(["train"]) == 0 and commands.main(["bench", "--seconds", "3"]) == 0
    assert seen == [["vae_emoji", "--steps", "9"], [], ["--seconds", "3"]]


def test_train_and_bench_are_there():
    for module in ("genart_lessons.training.recipes", "genart_lessons.training.bench"):
        assert callable(commands._main_of(module))
    with pytest.raises(Problem, match="no_such"):
        commands._main_of("genart_lessons.no_such")


@pytest.mark.parametrize("argv", [["labb"], [], ["doctor", "--verbose"], ["build", "--al"]])
def test_a_command_line_that_makes_no_sense_is_refused(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        commands.main(argv)
    assert caught.value.code == 2 and "usage" in capsys.readouterr().err


# --------------------------------------------------------------------------- chapters as text

TEXT = """\
---
kernelspec:
  display_name: Python 3 (ipykernel)
  language: python
  name: python3
---

# A made-up chapter

$$ x^2 \\tag{0.1} $$

```{code-cell} ipython3
import os, sys, pathlib
print("hello", 6 * 7)
```

```{code-cell} ipython3
:tags: [exercise]

answer = ...
```

+++

The end.
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A checkout with one made-up chapter, and a home of its own; times are not really measured."""
    root = tmp_path / "course"
    (root / "chapters" / "text").mkdir(parents=True)
    (root / "data").mkdir()
    (root / "genart_lessons").mkdir()
    (root / "chapters/text/00_start_here.md").write_text(TEXT, encoding="utf-8")
    shutil.copy(ROOT / "pyproject.toml", root)
    monkeypatch.setenv("GENART_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GENART_REPO", str(root))
    monkeypatch.setattr(speed, "measure", lambda: 100.0)
    return root.resolve()


def text_of(root: Path, text: str, name: str = "00_start_here") -> chapters.Chapter:
    (root / f"chapters/text/{name}.md").write_text(text, encoding="utf-8")
    return chapters.find(root, [name])[0]


def test_chapters_are_found_by_number_name_and_path(course):
    text_of(course, TEXT, "03_vae")
    for asked in ("3", "03", "03_vae", "chapters/03_vae.ipynb", "chapters/text/03_vae.md",
                  "03_vae.ipynb", r"chapters\03_vae.ipynb"):  # fmt: skip
        assert [c.name for c in chapters.find(course, [asked])] == ["03_vae"]
    assert [c.name for c in chapters.find(course, ["0", "00"])] == ["00_start_here"]
    assert [c.name for c in chapters.find(course, [])] == ["00_start_here", "03_vae"]
    with pytest.raises(Problem, match="no chapter '7'; there are: 00_start_here, 03_vae"):
        chapters.find(course, ["7"])


def test_a_text_becomes_cells_with_tags_and_stable_ids():
    notebook = chapters.generate(TEXT)
    assert [c.cell_type for c in notebook.cells] == ["markdown", "code", "code", "markdown"]
    assert chapters.tags(notebook.cells[2]) == ["exercise"]
    assert notebook.cells[2].source == "answer = ..."
    assert "jupytext" not in notebook.metadata  # nothing for Lab to pair with
    more = chapters.generate(TEXT.replace("+++", "```{code-cell} ipython3\nnew = 1\n```\n\n+++"))
    ids, more_ids = [c.id for c in notebook.cells], [c.id for c in more.cells]
    assert [i for i in more_ids if i in ids] == ids  # one cell more leaves the others' ids alone
    twice = chapters.generate("```{code-cell}\n1\n```\n\n```{code-cell}\n1\n```\n")
    assert len({c.id for c in twice.cells}) == 2


def test_line_ends_make_no_difference(course):
    chapter = chapters.find(course, ["0"])[0]
    unix = chapters.generate(chapters.read_text(chapter))
    chapter.text.write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert chapters.generate(chapters.read_text(chapter)) == unix


def test_lab_makes_what_is_missing_and_leaves_a_learners_work_alone(course):
    chapter = chapters.find(course, ["0"])[0]
    assert chapters.complete(course) == ["made 00_start_here.ipynb (not executed yet)"]
    assert chapters.complete(course) == []
    text_of(course, TEXT.replace("The end", "The very end"))
    assert len(chapters.complete(course)) == 1
    assert "very end" in chapter.notebook.read_text()
    notebook = chapters.read(chapter.notebook)
    notebook.cells[2].source = "answer = 42"
    chapters.write(chapter.notebook, notebook)
    before = chapter.notebook.read_bytes()
    assert chapters.complete(course) == []
    text_of(course, TEXT)
    assert "your own edits" in chapters.complete(course)[0]
    assert chapter.notebook.read_bytes() == before
    with pytest.raises(Problem, match="edits made in the notebook"):
        building.build(course, [])
    assert chapter.notebook.read_bytes() == before


def test_a_broken_notebook_is_named(course):
    chapter = chapters.find(course, ["0"])[0]
    for text in ("{", "[]", '{"cells": 3}'):
        chapter.notebook.write_text(text)
        for look in (chapters.peek, chapters.read):
            with pytest.raises(Problem, match="00_start_here.ipynb is not a notebook"):
                look(chapter.notebook)


# --------------------------------------------------------------------------- run and build


def test_build_executes_what_changed_and_only_that(course, capsys):
    chapter = chapters.find(course, ["0"])[0]
    assert building.check(course, []) == 1
    assert building.build(course, []) == 0
    first = chapter.notebook.read_bytes()
    built = chapters.read(chapter.notebook)
    assert built.cells[1].outputs[0].text == "hello 42\n"
    assert building.check(course, []) == 0
    times = json.loads((course / "chapters/times.json").read_text())["00_start_here"]["quick"]
    assert times["seconds"] > 0 and times["peak_mb"] > 20 and times["speed"] == 100.0

    assert building.build(course, []) == 0  # nothing to do
    assert "up to date" in capsys.readouterr().out
    assert building.build(course, [], everything=True) == 0  # the same again
    assert chapter.notebook.read_bytes() == first

    def never(*_, **__):
        raise AssertionError("executed")

    with pytest.MonkeyPatch.context() as patch:  # prose alone: outputs are kept
        patch.setattr(executing, "execute", never)
        text_of(course, TEXT.replace("The end", "Really the end"))
        assert building.check(course, []) == 1
        assert building.build(course, []) == 0
    assert "Really" in chapter.notebook.read_text() and building.check(course, []) == 0

    text_of(course, TEXT.replace("6 * 7", "1 / 0"))  # a failing cell: named, nothing written
    before = chapter.notebook.read_bytes()
    with pytest.raises(Problem, match=r"00_start_here, cell 1 \(import os.*ZeroDivisionError"):
        building.build(course, [])
    assert chapter.notebook.read_bytes() == before
    assert not list(course.glob("chapters/.*tmp"))


def test_run_leaves_the_notebooks_alone_and_names_the_cell_that_fails(course, capsys):
    text_of(course, TEXT)
    fails = "```{code-cell}\nimport os\n```\n\n```{code-cell}\nraise ValueError('far off')\n```\n"
    text_of(course, fails, "01_fails")
    text_of(course, "```{code-cell}\nimport os; os._exit(1)\n```\n", "02_dies")
    calm = "```{code-cell}\n:tags: [raises-exception]\n\nx = 1\n```\n"
    text_of(course, calm, "03_calm")
    before = sorted(p.name for p in (course / "chapters").rglob("*"))
    assert building.run(course, []) == 1
    said = capsys.readouterr()
    assert "01_fails, cell 2 (raise ValueError('far off')): ValueError: far off" in said.err
    assert "02_dies, cell 1 (import os; os._exit(1)): the kernel died" in said.err
    assert "03_calm, cell 1 is tagged raises-exception, and raised nothing" in said.err
    assert "00_start_here: cell 1 of 2" in said.out and "peak memory" in said.out
    assert [line.split()[1] for line in said.out.splitlines() if "failed" in line] == ["failed"] * 3
    assert sorted(p.name for p in (course / "chapters").rglob("*")) == before
    times = json.loads((runtime.home() / "times.json").read_text())
    assert list(times) == ["00_start_here"]


def test_a_chapter_runs_in_a_home_of_its_own_that_starts_with_the_cache(course, capsys):
    drawn = "icons-0123456789abcdef.safetensors"
    (runtime.cache_dir() / drawn).write_text("drawn")
    (runtime.cache_dir() / "vae-2000-0.safetensors").write_text("half trained")
    code = (
        "import os, pathlib\nhome = pathlib.Path(os.environ['GENART_HOME'])\n"
        "(home / 'progress.json').write_text('{}')\n"
        "pictures, = (home / 'cache').iterdir()\n"
        f"assert pictures.name == {drawn!r} and pictures.read_text() == 'drawn'\n"
        "pathlib.Path('litter.txt').write_text('x')"
    )
    text_of(course, f"```{{code-cell}}\n{code}\n```\n")
    assert building.run(course, ["00"]) == 0
    assert not (runtime.home() / "progress.json").exists()
    assert not list(course.rglob("litter.txt"))


@posix
def test_ctrl_c_ends_a_run_and_its_kernel(course, tmp_path):
    sleepy = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    text_of(course, f"```{{code-cell}}\nimport os, time\n{sleepy}\n```\n")
    process = start("run", "00", env=os.environ)
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    kernel = int((tmp_path / "pid").read_text())
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "stopped" in out and "Traceback" not in out
    wait_until(lambda: not alive(kernel), 60)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text() if _PROC else True


_PROC = Path("/proc/self/status").exists()


def start(*argv: str, env, cwd: Path = ROOT) -> subprocess.Popen:
    """A command of the launcher, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "genart_lessons", *argv], cwd=cwd, env=dict(env),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


# --------------------------------------------------------------------------- scrubbing


def test_outputs_say_nothing_of_the_machine(tmp_path):
    root, home = tmp_path / "clone", tmp_path / "home"
    names = scrubbing._names(root, home)
    dirty = (
        f"{root}/genart_lessons/x.py and {home}/works/a.png; {sys.prefix}/lib/site-packages/"
        "torch/nn.py:3: \x1b[31mred\x1b[0m <A at 0x7f3a2b1c9d10>\n"
        " 10%|█         | 1/10 [00:01<00:09]\r100%|██████████| 10/10 [00:10<00:00]\n"
        "File /tmp/ipykernel_123/456.py:4\nstep 1\rstep 2\rstep 3\n"
    )
    assert scrubbing.clean_text(dirty, names) == (
        "genart_lessons/x.py and GENART_HOME/works/a.png; site-packages/torch/nn.py:3: "
        "red <A at 0x…>\nFile cell:4\nstep 3\n"
    )
    kept = "1/10 of [x] is 10% | not a bar\n/etc/hosts and 0xff and a/tmpx\n"
    assert scrubbing.clean_text(kept, names) == kept


def test_a_sound_in_an_output_is_left_alone_and_takes_no_time(tmp_path):
    """80 KB without a space: a search for paths from every letter of it would take minutes."""
    names = scrubbing._names(tmp_path, tmp_path / "home")
    sound = "data:audio/mpeg;base64," + "AbC+/9" * 50_000
    page = f'<audio src="{sound}"></audio> {tmp_path}/site-packages/x.py'
    start = time.process_time()
    cleaned = scrubbing.clean_text(page, names)
    assert time.process_time() - start < 5
    assert sound in cleaned and str(tmp_path) not in cleaned


def test_widgets_go_and_their_still_pictures_stay(tmp_path):
    import nbformat.v4 as v4

    view = {scrubbing.WIDGET: {"model_id": "1"}, "text/plain": "VBox()"}
    outputs = [
        v4.new_output("display_data", view),
        v4.new_output("display_data", view | {"image/png": "iVBO"}),
        v4.new_output("display_data", view | {"text/plain": "Run this cell to move: a."}),
        v4.new_output("stream", name="stdout", text="a"),
        v4.new_output("stream", name="stdout", text="b\n"),
        v4.new_output("stream", name="stderr", text="100%|███| 3/3 [00:01<00:00]"),
    ]
    cell = v4.new_code_cell("x", outputs=outputs, metadata={"tags": ["exercise"], "execution": {}})
    notebook = v4.new_notebook(cells=[cell], metadata={"widgets": {}})
    scrubbing.scrub(notebook, tmp_path, tmp_path / "home")
    assert [out.get("text") or list(out.data) for out in cell.outputs] == [
        ["text/plain", "image/png"],
        ["text/plain"],  # a sentence stays, "VBox()" does not
        "ab\n",
    ]
    assert cell.metadata == {"tags": ["exercise"]} and "widgets" not in notebook.metadata


# --------------------------------------------------------------------------- lab


@pytest.fixture
def jupyter_home(tmp_path):
    """Environment variables that keep Jupyter away from the user's own files."""
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    ours = {name: str(tmp_path / name) for name in folders} | {
        "GENART_HOME": str(tmp_path / "home")
    }
    return {k: v for k, v in os.environ.items() if k != "GENART_REPO"} | ours


def fresh_clone(folder: Path) -> Path:
    """What somebody has who clones the course today."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout")
    command = ["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    for part in ("chapters", "data"):
        (folder / part).mkdir(exist_ok=True)
    return folder.resolve()


@posix
def test_lab_in_a_fresh_clone(tmp_path, jupyter_home):
    clone = fresh_clone(tmp_path / "fresh clone")
    text = clone / "chapters/text/00_start_here.md"
    text.parent.mkdir(exist_ok=True)
    text.write_text(TEXT, encoding="utf-8")
    (clone / "chapters/00_start_here.ipynb").unlink(missing_ok=True)
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = str(probe.getsockname()[1])
    argv = ["lab", "--no-browser", "--port", port, "--IdentityProvider.token=secret"]
    server = start(*argv, env=jupyter_home, cwd=clone)
    try:
        lines = []
        while not any("Ctrl-C" in line for line in lines):
            lines.append(server.stdout.readline())
            assert lines[-1], f"ended: {lines}"
        assert "made 00_start_here.ipynb (not executed yet)\n" in lines
        address = f"http://localhost:{port}/lab/tree/chapters/00_start_here.ipynb?token=secret"
        assert f"    {address}\n" in lines
        page = urllib.request.urlopen(address, timeout=60).read().decode()
        settings = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
        assert settings["treePath"] == "chapters/00_start_here.ipynb"
        assert "@jupyterlab/apputils-extension:announcements" in settings["disabledExtensions"]
        assert settings["news"] == {"disabled": True}
        asked = f"http://localhost:{port}/api/contents/chapters/00_start_here.ipynb?token=secret"
        notebook = json.loads(urllib.request.urlopen(asked, timeout=60).read())["content"]
        assert notebook["cells"][1]["metadata"]["trusted"]

        again = start(*argv, env=jupyter_home, cwd=clone)  # the same port once more
        said = again.communicate(timeout=60)[0]
        assert again.returncode == 1
        assert said.startswith(f"genart: port {port} is taken") and said.count("\n") == 1
    finally:
        os.killpg(server.pid, signal.SIGINT)
        out, _ = server.communicate(timeout=60)
    assert server.returncode == 0 and "has stopped" in out and "Traceback" not in out
    assert not (clone / ".venv").exists()  # the environment at hand was used as it is


def test_a_port_that_does_not_exist_is_refused():
    for port in (-1, 65536):
        with pytest.raises(Problem, match="no port"):
            lab.is_free(port)


def test_the_command_line_of_jupyter(course, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    chapters.complete(course)
    line = lab.command(course, None, True, ["--ServerApp.ip=0.0.0.0"])
    assert line[-1] == "--ServerApp.ip=0.0.0.0" and "--allow-root" in line
    assert "--LabApp.default_url=/lab/tree/chapters/00_start_here.ipynb" in line
    assert "--no-browser" not in line and not any("port" in word for word in line)
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    line = lab.command(course, 8080, False, [])
    assert "--allow-root" not in line and "--no-browser" in line
    assert "--ServerApp.port=8080" in line and "--ServerApp.port_retries=0" in line


# --------------------------------------------------------------------------- test


def python_step(name, code, **more):
    return testing.Step(name, [sys.executable, "-c", code], **more)


def test_test_runs_everything_and_fails_if_anything_does(course, monkeypatch, capfd):
    def step(name, code, **more):
        return python_step(name, f"print('{name}'); raise SystemExit({code})", **more)

    for guilty in (None, 1, 3):
        steps = [step(f"step {k}", 5 if k == guilty else 0, beside=k > 2) for k in range(5)]
        monkeypatch.setattr(testing, "steps", lambda *_, found=steps: found)
        assert testing.run(course) == (0 if guilty is None else 1)
        said = capfd.readouterr().out
        assert [f"\n{'✘' if k == guilty else '✔'} step {k}" in said for k in range(5)] == [True] * 5
        assert said.count("failed (exit code 5)") == (guilty is not None) and "in all" in said


def test_what_stands_beside_runs_at_once_in_homes_of_their_own(course, monkeypatch, capfd):
    """Each of the two waits for the other: one after the other they would wait for ever."""
    meet = (
        "import os, pathlib, sys, time\nhome = pathlib.Path(os.environ['GENART_HOME'])\n"
        "drawn, = (home / 'cache').iterdir()\nassert drawn.read_text() == 'drawn'\n"
        "(home / 'progress.json').write_text('{}')\n"
        "here, there = (pathlib.Path.cwd() / name for name in sys.argv[1:])\n"
        "here.write_text(str(home))\nend = time.monotonic() + 60\n"
        "while not there.exists():\n    assert time.monotonic() < end; time.sleep(0.02)\n"
        "print('first line of', here.name); time.sleep(0.3); print('last line of', here.name)"
    )
    pair = [("left", "right"), ("right", "left")]
    steps = [testing.Step(names[0], [sys.executable, "-c", meet, *names], beside=True)
             for names in pair]  # fmt: skip
    (runtime.cache_dir() / "icons-0123456789abcdef.safetensors").write_text("drawn")
    monkeypatch.setattr(testing, "at_once", lambda: 2)
    monkeypatch.setattr(testing, "steps", lambda *_: steps)
    assert testing.run(course) == 0
    said = capfd.readouterr().out
    for name in ("left", "right"):  # what one says is not cut through by the other
        assert f"──── {name}\nfirst line of {name}\nlast line of {name}\n" in said
    homes = {(course / name).read_text() for name in ("left", "right")}
    assert len(homes) == 2 and str(runtime.home()) not in homes
    assert not any(Path(home).exists() for home in homes)
    assert not (runtime.home() / "progress.json").exists()


def test_the_steps_fit_what_is_there(course):
    assert [s.name for s in testing.steps(course)] == ["ruff check", "ruff format", "mypy"]
    (course / "tests").mkdir()
    (course / "tests" / "test_x.py").write_text("")
    text_of(course, TEXT, "03_vae")
    chapters.complete(course)
    times = {"03_vae": {"quick": {"seconds": 60.0}}, "00_start_here": {"quick": {"seconds": 5.0}}}
    (course / "chapters/times.json").write_text(json.dumps(times))
    every = testing.steps(course, processes=2)
    assert [s.name for s in every][3:] == ["pytest", "03_vae (nbval)", "00_start_here (nbval)"]
    assert [s.beside for s in every] == [False] * 4 + [True] * 2  # the longest notebook first
    assert all(s.environ["OMP_NUM_THREADS"] == "1" for s in every[3:])
    nbval = every[-1]
    assert nbval.environ["GENART_PROFILE"] == "quick" and nbval.environ["GENART_STRICT"] == "1"
    assert {"--nbval-lax", "--nbval-current-env"} <= set(nbval.command)
    assert Path(nbval.command[-1]) == Path("chapters/00_start_here.ipynb")


PATIENT = """\
```{code-cell}
import time
try:
    time.sleep(60 * late)
except KeyboardInterrupt:
    print("stopped, and nothing was learnt")
```

```{code-cell}
1 + 1
```
"""


@pytest.mark.parametrize("late", [False, True])
def test_a_cell_that_takes_too_long_fails_even_if_it_ends_in_peace(course, monkeypatch, late):
    monkeypatch.setattr(testing, "CELL_SECONDS", 4 if late else 60)
    text_of(course, PATIENT.replace("late", str(late)), "03_vae")
    chapters.complete(course)
    (step,) = [s for s in testing.steps(course) if s.name.startswith("03_vae")]
    _, code, _ = testing._aside(step, course, course)
    assert code == (1 if late else 0)


def test_pytest_runs_on_several_cores_unless_it_is_told_what_to_run(course, monkeypatch):
    (course / "tests").mkdir()
    (course / "tests" / "test_x.py").write_text("")
    *_, shared = testing.steps(course, processes=3)
    assert shared.command[-4:] == ["-n", "3", "--dist", "loadfile"]
    *_, alone = testing.steps(course, processes=1)
    assert "-n" not in alone.command
    (asked,) = testing.steps(course, ["-k", "vae"], 3)  # --pdb, -s and -x want one process
    assert asked.command[-2:] == ["-k", "vae"] and "-n" not in asked.command
    for cores, processes in ((1, 1), (2, 2), (64, testing.MOST_AT_ONCE)):
        monkeypatch.setattr(runtime, "cores", lambda cores=cores: cores)
        assert testing.at_once() == processes


@posix
def test_test_in_a_fresh_clone(tmp_path, jupyter_home):
    clone = fresh_clone(tmp_path / "clone")
    done = start("test", "tests/test_rooms.py", "-k", "noticed", env=jupyter_home, cwd=clone)
    said = done.communicate(timeout=60)[0]
    assert done.returncode == 0, said
    assert "✔ pytest" in said and "passed" in said


# --------------------------------------------------------------------------- doctor


def test_the_doctor_finds_a_healthy_course_healthy(course, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "data_sets", lambda root: iter(()))
    chapters.complete(course)
    row = {"seconds": 60.0, "peak_mb": 900, "cores": 2, "speed": 50.0}
    (course / "chapters/times.json").write_text(json.dumps({"00_start_here": {"quick": row}}))
    assert doctor.run(course) == 0
    said = capsys.readouterr().out
    for word in ("python", "torch", "device", "cores", "memory", "disk", "packages"):
        assert f"✔ {word}" in said
    assert "00_start_here: about 30 s here in quick, 0.9 GB of memory" in said  # twice as fast
    assert "Begin with: genart lab" in said


def test_the_doctor_says_what_to_do(course, monkeypatch, capsys):
    def broken(root):
        raise RuntimeError("the drawer is stuck")

    monkeypatch.setattr(doctor, "data_sets", broken)
    monkeypatch.setattr(requirements, "missing", lambda wanted: ["scipy>=1.14"])
    (course / "data/weights").mkdir()
    (course / "data/weights/vae.safetensors").write_bytes(b"half")
    (course / "data/weights/vae.json").write_text('{"sha256": "0"}')
    (course / "data/weights/gan.safetensors").write_bytes(b"whole")
    assert doctor.run(course) == 1
    said = capsys.readouterr().out
    assert "✘ packages  lacking: scipy>=1.14 (pip install -e . mends it)" in said
    assert "RuntimeError: the drawer is stuck" in said
    assert "✘ weights   vae: not the file of its card: restore it, or `genart train vae`" in said
    assert "✘ weights   gan: its card cannot be read" in said
    assert "the notebook is missing: `genart lab` makes it" in said
    assert "4 to mend" in said


def test_the_speed_of_this_machine_is_a_sane_number():
    assert 1 < speed.measure(0.2) < 1e6
