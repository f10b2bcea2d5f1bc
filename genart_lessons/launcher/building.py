"""``run`` executes chapters and throws the result away; ``build`` makes the notebooks anew."""

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nbformat import NotebookNode

from genart_lessons import runtime
from genart_lessons.launcher import Problem, chapters, executing, scrubbing, speed
from genart_lessons.launcher.chapters import Chapter


def run(root: Path, asked: Sequence[str]) -> int:
    """Execute chapters as they lie there, in a temporary copy; print a table; exit code."""
    wanted = _some(root, asked)
    costs: dict[str, executing.Cost] = {}
    failures = []
    with temporary_home() as home, tempfile.TemporaryDirectory(prefix="genart-run-") as folder:
        for chapter in wanted:
            notebook = chapters.read(chapter.notebook) or _generated(chapter)
            environ = {"GENART_HOME": str(home)}
            try:
                costs[chapter.name] = _executed(notebook, chapter, Path(folder), environ)
            except Problem as problem:
                failures.append(chapter.name)
                print(f"✘ {problem}", file=sys.stderr)
    _table(costs, failures)
    record_times(times_files(root)["here"], costs, runtime.profile())
    return 1 if failures else 0


def build(root: Path, asked: Sequence[str], everything: bool = False, force: bool = False) -> int:
    """Bring the notebooks up to date with their text; execute those whose code has changed."""
    costs: dict[str, executing.Cost] = {}
    for chapter in _some(root, asked):
        if not chapter.text.exists():
            raise Problem(f"{chapter.notebook.name} has no text: {chapter.text} is missing.")
        new, old = _generated(chapter), chapters.read(chapter.notebook)
        if not everything and not chapters.drift(new, old):
            print(f"{chapter.name}: up to date")
            continue
        if old is not None and not force and _would_lose(new, old):
            raise Problem(
                f"{chapter.notebook} holds edits made in the notebook, which building would lose: "
                f"take them over into {chapter.text.name}, or build with --force."
            )
        if everything or not chapters.keep_outputs(new, old):
            costs[chapter.name] = _build_one(root, chapter, new)
        chapters.write(chapter.notebook, new)
        print(f"{chapter.name}: built" + ("" if chapter.name in costs else " (outputs kept)"))
    _table(costs, [])
    record_times(times_files(root)["shipped"], costs, "quick")
    return 0


def check(root: Path, asked: Sequence[str]) -> int:
    """Report what ``build`` would do; exit code 1 if there is anything."""
    found = 0
    for chapter in chapters.find(root, asked):
        if not chapter.text.exists():
            said = "it has no text"
        else:
            said = chapters.drift(_generated(chapter), chapters.read(chapter.notebook))
        print(f"{'✘' if said else '✔'} {chapter.name}" + (f": {said}" if said else ""))
        found += bool(said)
    return 1 if found else 0


def _some(root: Path, asked: Sequence[str]) -> list[Chapter]:
    found = chapters.find(root, asked)
    if not found:
        raise Problem("there are no chapters yet: write one as chapters/text/NN_name.md.")
    return found


def _generated(chapter: Chapter) -> NotebookNode:
    return chapters.generate(chapters.read_text(chapter))


def _would_lose(new: NotebookNode, old: NotebookNode) -> bool:
    return chapters.edited_by_hand(old) and chapters.contents(new) != chapters.contents(old)


def _build_one(root: Path, chapter: Chapter, notebook: NotebookNode) -> executing.Cost:
    """Execute in quick, in a fresh home; clean the outputs; note which source they come from."""
    with temporary_home() as home:
        environ = {"GENART_HOME": str(home), "GENART_PROFILE": "quick", "GENART_STRICT": "1"}
        cost = _executed(notebook, chapter, root / "chapters", environ)
        scrubbing.scrub(notebook, root, home)
    notebook.metadata["language_info"] = NotebookNode(chapters.LANGUAGE)  # ours: no version in it
    notebook.metadata["genart"]["source_sha256"] = chapters.source_sha256(notebook)
    return cost


def _executed(
    notebook: NotebookNode, chapter: Chapter, folder: Path, environ: dict[str, str]
) -> executing.Cost:
    profile = environ.get("GENART_PROFILE") or runtime.profile()
    with _progress(chapter.name) as show:
        return executing.execute(
            notebook,
            chapter.name,
            folder,
            environ,
            progress=show,
            timeout=600 if profile == "quick" else None,
        )


# --------------------------------------------------------------------------- a home of its own


@contextlib.contextmanager
def temporary_home(cache: Path | None = None) -> Iterator[Path]:
    """A GENART_HOME that starts with the pictures already drawn and nothing else, and is then gone.

    ``cache``: where they lie, if not in our own cache. Checkpoints lie there too, under other
    names: a chapter is to train for itself.
    """
    with tempfile.TemporaryDirectory(prefix="genart-home-", ignore_cleanup_errors=True) as folder:
        home = Path(folder).resolve()
        (home / "cache").mkdir()
        for path in (cache or runtime.cache_dir()).glob(f"*-{'[0-9a-f]' * 16}.safetensors"):
            _link_or_copy(path, home / "cache" / path.name)
        yield home


def _link_or_copy(source: Path, target: Path) -> None:
    """Cached files are only ever replaced, never written into, so that a link will do."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


# --------------------------------------------------------------------------- what it took


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """A line that says which cell is running; without a terminal, only where it begins."""
    alive = sys.stdout.isatty()

    def show(cell: int, cells: int) -> None:
        if alive:
            print(f"\r\033[K{name}: cell {cell} of {cells}", end="", flush=True)
        elif cell == 1 or cell == cells or cell % 10 == 0:
            print(f"{name}: cell {cell} of {cells}", flush=True)

    try:
        yield show
    finally:
        if alive:
            print("\r\033[K", end="", flush=True)


def _table(costs: dict[str, executing.Cost], failures: Sequence[str]) -> None:
    if not costs and not failures:
        return
    width = max(map(len, [*costs, *failures]))
    print(f"\n{'chapter':{width}}  seconds  peak memory")
    for name, cost in costs.items():
        print(f"{name:{width}}  {cost.seconds:7.1f}  {cost.peak_mb:8.0f} MB")
    for name in failures:
        print(f"{name:{width}}   failed")


def times_files(root: Path) -> dict[str, Path]:
    """Where times are kept: those that ``build`` measured (committed) and those of this machine."""
    return {"shipped": root / "chapters" / "times.json", "here": runtime.home() / "times.json"}


def read_times(path: Path) -> dict:
    """``{chapter: {profile: {seconds, peak_mb, cores, speed}}}``; {} if there is nothing yet."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def record_times(path: Path, costs: dict[str, executing.Cost], profile: str) -> None:
    """Remember what chapters took, and how fast the machine was that they took it on."""
    if not costs:
        return
    known = read_times(path)
    here = {"cores": runtime.describe()["cores"], "speed": round(speed.measure(), 1)}
    for name, cost in costs.items():
        row = {"seconds": round(cost.seconds, 1), "peak_mb": round(cost.peak_mb)} | here
        known.setdefault(name, {})[profile] = row
    runtime.atomic_write(path, json.dumps(known, indent=1, sort_keys=True) + "\n")
