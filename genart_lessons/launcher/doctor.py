"""``doctor``: what this machine has, what it lacks, and how long the chapters will take on it."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genart_lessons import runtime
from genart_lessons.launcher import Problem, building, chapters, requirements, speed
from genart_lessons.launcher.environment import wanted

ENOUGH_MEMORY_GB = 3.5  # a kernel takes up to 2, and the browser wants some too
ENOUGH_DISK_GB = 1.0


@dataclass(frozen=True)
class Line:
    """One finding: ``good`` is True, False (something needed is missing) or None (take note)."""

    good: bool | None
    about: str
    said: str

    def __str__(self) -> str:
        return f"{ {True: '✔', False: '✘', None: '!'}[self.good] } {self.about:9} {self.said}"


def run(root: Path) -> int:
    """Print every finding; exit code 1 if something needed is missing."""
    bad = 0
    for look in (machine, packages, data_sets, weights, chapter_times):
        for line in _guarded(look, root):
            print(line, flush=True)
            bad += line.good is False
    print("\n" + (f"{bad} to mend." if bad else "All is there. Begin with: genart lab"))
    return 1 if bad else 0


def _guarded(look: Callable[[Path], Iterator[Line]], root: Path) -> Iterator[Line]:
    """A look that breaks is a finding too, and does not end the others."""
    try:
        yield from look(root)
    except Exception as error:  # whatever is wrong, the reader is to hear of the rest
        about = look.__name__.replace("_", " ")
        yield Line(False, about, f"{type(error).__name__}: {error}")


def machine(root: Path) -> Iterator[Line]:
    """Python, torch, device, cores, memory, disk."""
    here = runtime.describe()
    yield Line(True, "python", f"{here['python']} on {here['system']}")
    yield Line(True, "torch", here["torch"])
    yield Line(
        True, "device", f"{here['device']} ({here['device_name']}), profile {here['profile']}"
    )
    yield Line(True, "cores", f"{here['cores']} (torch uses {here['threads']})")
    small = here["memory_gb"] < ENOUGH_MEMORY_GB
    advice = f": chapters may need {ENOUGH_MEMORY_GB}; close other programs" if small else ""
    yield Line(None if small else True, "memory", f"{here['memory_gb']} GB{advice}")
    free = shutil.disk_usage(runtime.home()).free / 1e9
    full = free < ENOUGH_DISK_GB
    advice = f", and {ENOUGH_DISK_GB:.0f} is wanted: make room" if full else ""
    yield Line(not full, "disk", f"{free:.0f} GB free for {runtime.home()}{advice}")


def packages(root: Path) -> Iterator[Line]:
    """What pyproject.toml asks for."""
    asked = wanted(root)
    lacking = requirements.missing(asked)
    if lacking:
        yield Line(False, "packages", f"lacking: {', '.join(lacking)} (pip install -e . mends it)")
    else:
        yield Line(True, "packages", f"all {len(asked)}, as pyproject.toml asks")


def data_sets(root: Path) -> Iterator[Line]:
    """Each data set is there, and is the one that its card describes."""
    from genart_lessons import data

    for name in data.names():
        found = data.check(name)
        good: bool | None = bool(found)
        if not found:
            try:
                getattr(data, name)()
                good = (
                    None  # drawn a little differently, as by another Pillow: one can work with it
                )
            except Exception as error:  # the message says what to do
                yield Line(False, "data", f"{name}: {error}")
                continue
        yield Line(good, "data", found.sentence)


def weights(root: Path) -> Iterator[Line]:
    """Each shipped set of weights is the file that its card describes."""
    folder = root / "data" / "weights"
    found = sorted(folder.glob("*.safetensors"))
    for path in found:
        try:
            card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            whole = hashlib.sha256(path.read_bytes()).hexdigest() == card["sha256"]
        except (OSError, ValueError, KeyError) as error:
            yield Line(False, "weights", f"{path.stem}: its card cannot be read ({error!r})")
            continue
        said = f"{path.stem}: {path.stat().st_size / 1e6:.1f} MB, as its card says"
        again = f"not the file of its card: restore it, or `genart train {path.stem}`"
        yield Line(whole, "weights", said if whole else f"{path.stem}: {again}")
    if not found:
        yield Line(None, "weights", "none yet: the chapters train everything themselves")


def chapter_times(root: Path) -> Iterator[Line]:
    """Which chapters there are, in what state, and about how long each takes here."""
    files = building.times_files(root)
    shipped, ours = building.read_times(files["shipped"]), building.read_times(files["here"])
    profile, now = runtime.profile(), None
    for chapter in chapters.every(root):
        try:
            state = _state(chapter)
        except Problem as problem:
            yield Line(False, "chapter", str(problem))
            continue
        if row := ours.get(chapter.name, {}).get(profile):
            said = f"took {row['seconds']:.0f} s here"
        elif row := shipped.get(chapter.name, {}).get(profile):
            now = now or speed.measure()
            said = f"about {estimate(row, now):.0f} s here in {profile}"
        else:
            said = f"not timed yet: genart run {chapter.number}"
        memory = f", {row['peak_mb'] / 1000:.1f} GB of memory" if row else ""
        yield Line(None if state else True, "chapter", f"{chapter.name}: {said}{memory}{state}")


def estimate(row: dict, speed_here: float) -> float:
    """Seconds that a chapter will take on a machine of ``speed_here``, from a measured row."""
    return row["seconds"] * row["speed"] / speed_here


def _state(chapter: chapters.Chapter) -> str:
    notebook = chapters.read(chapter.notebook)
    if notebook is None:
        return "; the notebook is missing: `genart lab` makes it"
    if chapter.text.exists() and chapters.edited_by_hand(notebook):
        return "; with edits of your own"
    return ""
