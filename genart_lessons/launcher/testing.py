"""``test``: everything that is checked, in order, with a summary at the end."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from genart_lessons import runtime
from genart_lessons.launcher import building

CELL_SECONDS = 300  # for one cell under nbval; a chapter is to take 90 s
MOST_AT_ONCE = 4  # each process holds torch and a model or two: about 1 GB
# One thread for each process: threads that share too few cores wait for one another.
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
_SAYING = Lock()


@dataclass(frozen=True)
class Step:
    """One thing to run: its name, its command, and environment variables on top of ours.

    ``beside``: it may run at the same time as the others of its kind, in a home of its own.
    """

    name: str
    command: list[str]
    environ: dict[str, str] = field(default_factory=dict)
    beside: bool = False


def run(root: Path, arguments: Sequence[str] = ()) -> int:
    """Run every step, whatever became of the one before; exit code 1 if any failed.

    With ``arguments``, only pytest runs, with them.
    """
    began = time.monotonic()
    with building.temporary_home() as home:
        every = steps(root, arguments, at_once())
        rows = [_through(step, root, home) for step in every if not step.beside]
        beside = [step for step in every if step.beside]
        with ThreadPoolExecutor(at_once()) as pool:
            rows += pool.map(lambda step: _aside(step, root, home), beside)
    print("\n" + summary(rows, time.monotonic() - began), flush=True)
    return 1 if any(code for _, code, _ in rows) else 0


def at_once() -> int:
    """How many processes compute at the same time: a core for each, up to MOST_AT_ONCE."""
    return max(1, min(runtime.cores(), MOST_AT_ONCE))


def steps(root: Path, arguments: Sequence[str] = (), processes: int = 1) -> list[Step]:
    """What there is to run in this checkout, with so many processes at once.

    A file of tests stays in one process, because what its tests share is made once a process.
    """
    if arguments:  # as they are: somebody looks for something, perhaps with --pdb, or has their -n
        return [_step("pytest", "pytest", "--durations=10", *arguments)]
    everything = [
        _step("ruff check", "ruff", "check", "."),
        _step("ruff format", "ruff", "format", "--check", "."),
        _step("mypy", "mypy"),
    ]
    if any((root / "tests").glob("test_*.py")):
        shared = ("-n", str(processes), "--dist", "loadfile") if processes > 1 else ()
        everything.append(_step("pytest", "pytest", "--durations=25", *shared, environ=ONE_THREAD))
    return everything + [_nbval(root, path) for path in _longest_first(root)]


def _step(
    name: str, *command: str, environ: dict[str, str] | None = None, beside: bool = False
) -> Step:
    return Step(name, [sys.executable, "-m", *command], environ or {}, beside)


def _nbval(root: Path, notebook: Path) -> Step:
    """Execute a notebook, and hold the outputs that are stable against those that it ships with.

    A cell that takes too long is interrupted, and passes if it ends in peace, as training does; for
    that nbval expects the cells after it to fail. ``xfail_strict``: where they do not, that counts.
    """
    return _step(
        f"{notebook.stem} (nbval)",
        *("pytest", "--nbval-lax", "--nbval-current-env", "--durations=5"),
        *(f"--nbval-cell-timeout={CELL_SECONDS}", "-o", "xfail_strict=true"),
        *("-p", "no:cacheprovider"),
        notebook.relative_to(root).as_posix(),
        environ={"GENART_PROFILE": "quick", "GENART_STRICT": "1", **ONE_THREAD},
        beside=True,
    )


def _longest_first(root: Path) -> list[Path]:
    """The notebooks: the last ones to begin should be short, or a core stands idle at the end."""
    times = building.read_times(building.times_files(root)["shipped"])

    def seconds(notebook: Path) -> float:
        return times.get(notebook.stem, {}).get("quick", {}).get("seconds", 0.0)

    return sorted(sorted((root / "chapters").glob("*.ipynb")), key=seconds, reverse=True)


# --------------------------------------------------------------------------- running them


def _through(step: Step, root: Path, home: Path) -> tuple[str, int, float]:
    """Run a step, its output going straight through: its name, exit code and seconds."""
    print(f"\n──── {step.name}", flush=True)
    began = time.monotonic()
    done = subprocess.run(
        step.command, cwd=root, env=_environ(step, home), stdin=subprocess.DEVNULL
    )
    return step.name, done.returncode, time.monotonic() - began


def _aside(step: Step, root: Path, home: Path) -> tuple[str, int, float]:
    """The same beside others: in a home of its own, and what it says comes in one piece."""
    began = time.monotonic()
    with building.temporary_home(home / "cache") as own:
        done = subprocess.run(
            step.command, cwd=root, stdin=subprocess.DEVNULL,
            env=_environ(step, own) | {"PYTHONIOENCODING": "utf-8"},  # as it is read below
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    said = done.stdout.decode("utf-8", "replace").rstrip()
    with _SAYING:
        print(f"\n──── {step.name}\n{said}", flush=True)
    return step.name, done.returncode, time.monotonic() - began


def _environ(step: Step, home: Path) -> dict[str, str]:
    return os.environ | {"GENART_HOME": str(home)} | step.environ


def summary(rows: Sequence[tuple[str, int, float]], seconds: float) -> str:
    """A table of steps, verdicts and seconds; ``seconds``: on the clock, from first to last."""
    width = max(len(name) for name, *_ in rows)
    lines = [
        f"{'✘' if code else '✔'} {name:{width}}  {took:6.1f} s"
        + (f"  failed (exit code {code})" if code else "")
        for name, code, took in rows
    ]
    return "\n".join([*lines, f"  {'in all':{width}}  {seconds:6.1f} s"])
