"""The machine under the course: where files go, which device computes, quick or full, seeds.

Nothing heavy is imported at the top: the standard library (and platformdirs, once a folder is
asked for) is enough until something really needs torch. Five environment variables steer it:

=================  =========================================================================
``GENART_HOME``    where progress, results and the cache are kept (default: the user's data folder)
``GENART_REPO``    the checkout with ``chapters/`` and ``data/`` (default: found from this file)
``GENART_DEVICE``  ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` (default: the best there is)
``GENART_PROFILE`` ``quick`` (default) or ``full``
``GENART_STRICT``  ``1``: a result that misses its bar raises (see ``genart_lessons.results``)
=================  =========================================================================
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
PROFILES = ("quick", "full")


class SettingError(ValueError):
    """A setting names something that this machine does not have. The message says what it has."""


def home() -> Path:
    """The folder for everything the course remembers: ``GENART_HOME``, else the user's data folder.

    Made on demand. Raises SettingError when it cannot be made.
    """
    named = os.environ.get("GENART_HOME")
    if named:
        folder = Path(named).expanduser().resolve()
    else:
        from platformdirs import user_data_dir

        folder = Path(user_data_dir("genart_lessons", appauthor=False))
    return _made(folder)


def cache_dir() -> Path:
    """``home()/cache``: what can be thrown away at any time, because it is made again on demand."""
    return _made(home() / "cache")


def repo_root() -> Path:
    """The checkout that holds ``chapters/`` and ``data/``.

    Looked for at ``GENART_REPO``, beside this package, and from the current folder upwards.
    Raises SettingError when there is none (a package installed without its checkout).
    """
    named = os.environ.get("GENART_REPO")
    if named:
        places = [Path(named).expanduser().resolve()]
    else:
        here = Path.cwd()
        places = [Path(__file__).resolve().parent.parent, here, *here.parents]
    for place in places:
        if all((place / part).is_dir() for part in ("chapters", "data", "genart_lessons")):
            return place
    raise SettingError(
        f"the course's folder (the one with chapters/ and data/) is not at {places[0]}"
        + (" (GENART_REPO)" if named else f" nor above {places[1]}")
        + ". Start from inside a clone of the course, or set GENART_REPO to the clone's folder."
    )


def device() -> torch.device:
    """The device to compute on: ``GENART_DEVICE``, else the first of cuda, mps, cpu that exists.

    Raises SettingError, with a list of what exists, when the named one does not.
    """
    import torch

    named = os.environ.get("GENART_DEVICE", "").strip().lower()
    if named == "cpu":
        return torch.device("cpu")  # without waking a GPU that somebody else may be using
    exists = available_devices()
    named = named or exists[0]
    if named not in exists and not (named == "cuda" and "cuda:0" in exists):
        raise SettingError(
            f"GENART_DEVICE={named!r} is not on this machine; it has: {', '.join(exists)}."
        )
    return torch.device("cuda" if named == "cuda:0" else named)


def available_devices() -> list[str]:
    """What ``GENART_DEVICE`` may name here, best first, for example ``['cuda:0', 'cpu']``."""
    import torch

    exists = [f"cuda:{i}" for i in range(torch.cuda.device_count() if _cuda_works() else 0)]
    return exists + (["mps"] if torch.backends.mps.is_available() else []) + ["cpu"]


def profile() -> str:
    """``"quick"`` (the default) or ``"full"``, from ``GENART_PROFILE``; SettingError otherwise."""
    named = os.environ.get("GENART_PROFILE", "").strip().lower() or "quick"
    if named not in PROFILES:
        raise SettingError(f"GENART_PROFILE={named!r} is unknown; it is 'quick' or 'full'.")
    return named


def budget(quick: T, full: T) -> T:
    """One of the two, as the profile says: ``steps = budget(quick=200, full=20_000)``."""
    return full if profile() == "full" else quick


def cores() -> int:
    """Cores that this process may use: on a class server not all that the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def seed_everything(seed: int = 0) -> None:
    """Seed Python's, numpy's and torch's generators (torch: on every device).

    Raises ValueError outside 0 … 2³² − 1, the range that all three accept.
    """
    import random

    import numpy as np
    import torch

    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed!r}: give a whole number from 0 to 2**32 - 1.")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def atomic_write(path: str | os.PathLike, data: bytes | str) -> None:
    """Write a file so that readers see the old one or the new one whole, never a half.

    The bytes (a ``str`` as UTF-8, line ends untouched) go to a file of a unique name in the same
    folder, are flushed to the disk, and take the place of ``path`` in one step. Missing folders
    are made. When anything fails the old file stays as it was and nothing is left lying about.
    """
    path = Path(path).resolve()  # a symbolic link keeps pointing at the file that is replaced
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name[:100]}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with open(beside, "xb") as file:
            file.write(data.encode("utf-8") if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, beside)
        _replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def describe() -> dict:
    """The machine in plain values, for ``doctor`` and chapter 00; needs no GPU.

    Keys: ``python``, ``torch``, ``device`` and ``device_name``, ``devices`` (all there are),
    ``cores`` (that this process may use), ``threads`` (torch's), ``memory_gb``,
    ``device_memory_gb`` (None without CUDA), ``profile``, ``system``.
    """
    import torch

    chosen = device()
    on_cuda = torch.cuda.get_device_properties(chosen) if chosen.type == "cuda" else None
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": str(chosen),
        "device_name": on_cuda.name if on_cuda else _processor(),
        "devices": available_devices(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(_memory_bytes() / 2**30, 1),
        "device_memory_gb": round(on_cuda.total_memory / 2**30, 1) if on_cuda else None,
        "profile": profile(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(
            f"cannot make the folder {folder} ({error.strerror}): "
            "set GENART_HOME to a folder that you can write to."
        ) from error
    return folder


def _cuda_works() -> bool:
    """True where a kernel really runs: a driver that is too old is reported, but cannot compute."""
    import torch

    if not torch.cuda.is_available():
        return False
    try:
        torch.zeros(1, device="cuda")
        return True
    except RuntimeError:
        return False


def _replace(source: Path, target: Path) -> None:
    """os.replace; on Windows it waits a little when someone is reading the old file just now."""
    for wait in (0.02, 0.1, 0.5):
        try:
            return os.replace(source, target)
        except PermissionError:
            if sys.platform != "win32":
                raise
            time.sleep(wait)
    os.replace(source, target)


def _memory_bytes() -> int:
    """The machine's memory, or less where a container (Binder, a class server) allows less."""
    import psutil

    total = psutil.virtual_memory().total
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def _processor() -> str:
    """The processor's name as people know it, where the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
