"""``test``: everything that is checked, in order, with a summary at the end."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genart_lessons.launcher import building

CELL_SECONDS = 300  # for one cell under nbval; a chapter is to take 90 s


@dataclass(frozen=True)
class Step:
    """One thing to run: its name, its command, and environment variables on top of ours."""

    name: str
    command: list[str]
    environ: dict[str, str]


def run(root: Path, arguments: Sequence[str] = ()) -> int:
    """Run every step, whatever became of the one before; exit code 1 if any failed.

    With ``arguments``, only pytest runs, with them.
    """
    with building.temporary_home() as home:
        rows = [(step.name, *_timed(step, root)) for step in steps(root, home, arguments)]
    print("\n" + summary(rows), flush=True)
    return 1 if any(code for _, code, _ in rows) else 0


def steps(root: Path, home: Path, arguments: Sequence[str] = ()) -> list[Step]:
    """What there is to run in this checkout."""

    def step(name: str, *command: str, **environ: str) -> Step:
        return Step(name, [sys.executable, "-m", *command], environ)

    pytest = step("pytest", "pytest", "--durations=10", *arguments)
    if arguments:
        return [pytest]
    everything = [
        step("ruff check", "ruff", "check", "."),
        step("ruff format", "ruff", "format", "--check", "."),
        step("mypy", "mypy"),
    ]
    if any((root / "tests").glob("test_*.py")):
        everything.append(pytest)
    notebooks = sorted(str(p.relative_to(root)) for p in (root / "chapters").glob("*.ipynb"))
    if notebooks:
        everything.append(
            step(
                "chapters (nbval)",
                *("pytest", "--nbval-lax", "--nbval-current-env", "--durations=5"),
                *(f"--nbval-cell-timeout={CELL_SECONDS}", "-p", "no:cacheprovider", *notebooks),
                GENART_HOME=str(home),
                GENART_PROFILE="quick",
                GENART_STRICT="1",
            )
        )
    return everything


def _timed(step: Step, root: Path) -> tuple[int, float]:
    """Run a step, its output going straight through; its exit code and seconds."""
    print(f"\n──── {step.name}", flush=True)
    began = time.monotonic()
    done = subprocess.run(
        step.command, cwd=root, env=os.environ | step.environ, stdin=subprocess.DEVNULL
    )
    return done.returncode, time.monotonic() - began


def summary(rows: Sequence[tuple[str, int, float]]) -> str:
    """A table of steps, verdicts and seconds."""
    width = max(len(name) for name, *_ in rows)
    lines = [
        f"{'✘' if code else '✔'} {name:{width}}  {seconds:6.1f} s"
        + (f"  failed (exit code {code})" if code else "")
        for name, code, seconds in rows
    ]
    total = sum(seconds for *_, seconds in rows)
    return "\n".join([*lines, f"  {'in all':{width}}  {total:6.1f} s"])
