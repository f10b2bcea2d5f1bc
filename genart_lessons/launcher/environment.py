"""The environment that the course runs in: the one at hand if it will do, else ``.venv``.

Standard library only. ``.venv`` counts as finished when its marker says so; the marker is written
last, in one step, and taken away before anything is changed. So whatever stops an installation
half-way (Ctrl-C, a full disk, no network), the next start completes it or makes it anew.
"""

import contextlib
import errno
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from genart_lessons import runtime
from genart_lessons.launcher import Problem, requirements

WINDOWS = os.name == "nt"
# Measured: 1.6 to 2.0 GB afterwards, and the downloads on their way. On Linux, pip's PyTorch may
# come with CUDA: 5.4 GB afterwards, 6.9 GB on the way.
NEEDED_GB = 3.0
NEEDED = "about 3 GB (7 GB where PyTorch brings CUDA along)"
ENTERED = "GENART_ENVIRONMENT"  # set once we have entered .venv, so that we never do so twice


def project(root: Path) -> dict:
    """The ``[project]`` table of pyproject.toml."""
    with open(root / "pyproject.toml", "rb") as file:
        return tomllib.load(file)["project"]


def wanted(root: Path, extras: Sequence[str] = ()) -> list[str]:
    """The requirements of the course, with those of the extras asked for."""
    table = project(root)
    optional = table.get("optional-dependencies", {})
    return [*table.get("dependencies", []), *(r for extra in extras for r in optional[extra])]


def ensure(root: Path, argv: Sequence[str], extras: Sequence[str] = ()) -> None:
    """Return if this interpreter has what is needed; else prepare .venv and go on in there.

    Going on means that this function does not return: the process is replaced (or, on Windows,
    waits for its successor and exits with its code).
    """
    lacking = requirements.missing(wanted(root, extras))
    if not lacking:
        return
    if os.environ.get(ENTERED):
        raise Problem(f"{sys.prefix} lacks {', '.join(lacking)}: delete .venv and start again.")
    python = prepare(root, extras)
    enter(root, python, argv)


def enter(root: Path, python: Path, argv: Sequence[str]) -> None:
    """Go on as ``python -m genart_lessons argv``; does not return."""
    command = [str(python), "-m", "genart_lessons", *argv]
    environ = child_environ(root) | {ENTERED: str(python)}
    if not WINDOWS:
        sys.stdout.flush()
        os.execve(command[0], command, environ)
    sys.exit(subprocess.run(command, env=environ).returncode)


def child_environ(root: Path) -> dict[str, str]:
    """Our environment variables, with the package to be found whether or not it is installed."""
    path = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    unwanted = {"PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    # PyTorch's threads wait for one another by spinning, on Linux for milliseconds: a small network
    # trains 200 times slower once other programs want the cores. Spinning less costs a tenth on a
    # quiet machine (measured on 2 cores: 745 → 675 steps/s) and mends most of it on a busy one
    # (4 → 70).
    if "OMP_WAIT_POLICY" not in kept:
        kept.setdefault("GOMP_SPINCOUNT", "10000")
    return kept | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(path)), "PYTHONUTF8": "1"}


# --------------------------------------------------------------------------- the marker


def python_of(venv: Path) -> Path:
    """Where the interpreter of a virtual environment lies."""
    return venv / ("Scripts/python.exe" if WINDOWS else "bin/python")


def fingerprint(root: Path, venv: Path) -> str:
    """What a finished .venv was made from; another value means that it is out of date."""
    config = venv / "pyvenv.cfg"
    version = re.search(r"^version\S* = (.*)$", config.read_text("utf-8"), re.M)
    parts = [
        json.dumps(project(root), sort_keys=True),
        (root / "constraints.txt").read_text("utf-8"),
        version[1].strip() if version else "",
        str(root),  # an environment does not survive being moved
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def marker(venv: Path) -> Path:
    """The file that says that an environment is finished."""
    return venv / "genart-ready.json"


def is_ready(root: Path, venv: Path, extras: Sequence[str] = ()) -> bool:
    """Whether ``venv`` was finished from today's pyproject.toml and constraints.txt."""
    try:
        said = json.loads(marker(venv).read_text("utf-8"))
        same = said["fingerprint"] == fingerprint(root, venv)
        return same and set(extras) <= set(said["extras"]) and python_of(venv).exists()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _extras_of(venv: Path) -> list[str]:
    """The extras that an environment was last finished with."""
    try:
        return list(json.loads(marker(venv).read_text("utf-8"))["extras"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def mark_ready(root: Path, venv: Path, extras: Sequence[str]) -> None:
    """Write the marker, whole or not at all."""
    said = {"fingerprint": fingerprint(root, venv), "extras": sorted(extras)}
    runtime.atomic_write(marker(venv), json.dumps(said) + "\n")


# --------------------------------------------------------------------------- making it


def prepare(root: Path, extras: Sequence[str] = ()) -> Path:
    """Make or complete ``root/.venv``; return its interpreter. Problem says why it cannot be."""
    venv = root / ".venv"
    if is_ready(root, venv, extras):
        return python_of(venv)
    try:
        with lock(root):
            if not is_ready(root, venv, extras):  # another start may have made it while we waited
                make(root, venv, extras)
    except OSError as error:
        raise Problem(explain_os_error(error, venv)) from error
    return python_of(venv)


def make(root: Path, venv: Path, extras: Sequence[str]) -> None:
    """Bring ``venv`` to what is wanted, from whatever state it is in."""
    started = time.monotonic()
    keep = usable(venv)
    check_before(root, fresh=not keep)
    extras = sorted({*extras, *_extras_of(venv)})  # who had the tools for tests keeps them
    marker(venv).unlink(missing_ok=True)
    how = "Completing" if keep else "Making"
    print(f"{how} {venv} (once; a few minutes, mostly PyTorch).", flush=True)
    if not keep:
        clear(venv)
        create(venv)
    install(root, venv, extras)
    mark_ready(root, venv, extras)
    print(f"Ready after {time.monotonic() - started:.0f} s.", flush=True)


def check_before(root: Path, fresh: bool) -> None:
    """Problem if this Python cannot make environments, or if there is too little room for one."""
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        raise Problem(_no_venv())
    free = shutil.disk_usage(root).free / 1e9
    if fresh and free < NEEDED_GB:
        raise Problem(
            f"the disk is too full: the environment needs {NEEDED} in {root}, and {free:.1f} GB "
            "are free. Make room, then start again."
        )


def usable(venv: Path) -> bool:
    """Whether an unfinished environment can be completed: its Python runs, is ours, and has pip."""
    probe = "import pip, sys; print(*sys.version_info[:2])"
    try:
        said = subprocess.run(
            [python_of(venv), "-c", probe], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return said.returncode == 0 and said.stdout.split() == [str(v) for v in sys.version_info[:2]]


def clear(venv: Path) -> None:
    """Take a broken environment away; Problem if it does not look like one."""
    if not venv.exists() and not venv.is_symlink():
        return
    parts = {"bin", "lib", "lib64", "include", "share", "Scripts", "Lib", "Include"}
    ours = venv.is_dir() and not venv.is_symlink()
    begun = ours and {path.name for path in venv.iterdir()} <= parts
    if not begun and not (ours and (venv / "pyvenv.cfg").exists()):
        raise Problem(f"{venv} is not a Python environment: move it away, then start again.")
    away = Path(tempfile.mkdtemp(prefix=".venv-old-", dir=venv.parent))
    os.replace(venv, away / "venv")  # one step: no half-deleted .venv is ever seen
    shutil.rmtree(away, ignore_errors=True)


def create(venv: Path) -> None:
    """``python -m venv``."""
    said = subprocess.run(
        [sys.executable, "-m", "venv", str(venv)],
        capture_output=True,
        text=True,
    )
    if said.returncode:
        raise Problem(explain_output(said.stdout + said.stderr, venv))


def install(root: Path, venv: Path, extras: Sequence[str]) -> None:
    """``pip install -c constraints.txt -e .[extras]``, then check that nothing is lacking."""
    target = f"{root}[{','.join(extras)}]" if extras else str(root)
    command = [
        str(python_of(venv)), "-m", "pip", "install", "--progress-bar", "off", "--no-input",
        "--disable-pip-version-check", "-c", str(root / "constraints.txt"), "-e", target,
    ]  # fmt: skip
    log = venv / "genart-install.log"
    if code := run_logged(command, log, child_environ(root)):
        said = explain_output(log.read_text("utf-8", "replace"), venv)
        raise Problem(f"{said} (pip stopped with code {code}; its words are in {log}.)")
    check = (
        "from genart_lessons.launcher import requirements as r; import sys; "
        "print('; '.join(r.missing(sys.argv[1:])))"
    )
    checked = subprocess.run(
        [str(python_of(venv)), "-c", check, *wanted(root, extras)],
        capture_output=True, text=True, env=child_environ(root), cwd=root,
    )  # fmt: skip
    if checked.returncode or checked.stdout.strip():
        lacking = checked.stdout.strip() or checked.stderr.strip().splitlines()[-1]
        raise Problem(f"{venv} still lacks {lacking} after pip: delete .venv and start again.")


def run_logged(command: list[str], log: Path, environ: dict[str, str]) -> int:
    """Run pip, keep its words in ``log``, and show on one line where it is."""
    alive = sys.stdout.isatty()
    with (
        open(log, "w", encoding="utf-8") as file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            text=True, encoding="utf-8", errors="replace", env=environ,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        for count, line in enumerate(process.stdout):
            file.write(line)
            step = re.match(r"(Collecting|Downloading|Installing|Building)\b.*", line.strip())
            if alive and step:
                print(f"\r\033[K  {count:4d} {step[0][:70]}", end="", flush=True)
        if alive:
            print("\r\033[K", end="", flush=True)
        return process.wait()


# --------------------------------------------------------------------------- one at a time


@contextlib.contextmanager
def lock(root: Path) -> Iterator[None]:
    """Hold the right to change .venv; the system gives it back even if we are killed."""
    folder = root / ".venv-lock"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "a+", encoding="utf-8") as file:
        waited = False
        while not _try_lock(file):
            if not waited:
                print("Another start is preparing the environment: waiting for it.", flush=True)
                waited = True
            time.sleep(0.5)
        yield


def _try_lock(file) -> bool:
    """Take an exclusive lock without waiting; closing the file gives it back."""
    try:
        if WINDOWS:
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        # A file system without locks: better unprotected than not at all.
    return True


# --------------------------------------------------------------------------- saying what is wrong

_FULL = r"No space left on device|Errno 28|not enough space|Disk quota exceeded"
_UNREACHABLE = (
    r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError"
    r"|Temporary failure in name resolution|Failed to establish a new connection"
    r"|Network is unreachable|ProxyError|Connection refused"
    r"|Could not fetch URL|getaddrinfo failed|SSLError|Connection aborted"
)


def explain_os_error(error: OSError, venv: Path) -> str:
    """One sentence for a failure to write."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return _full(venv)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"the folder {venv.parent} cannot be written to: copy the course to a folder of your "
            "own and start it there."
        )
    return f"{venv} could not be made ({error}): put that right, then start again."


def explain_output(output: str, venv: Path) -> str:
    """One sentence for what ``venv`` or ``pip`` complained of."""
    if re.search(_FULL, output):
        return _full(venv)
    if re.search(r"ensurepip is not\s+available|No module named ensurepip", output):
        return _no_venv()
    if re.search(r"Permission denied|Read-only file system", output):
        return explain_os_error(OSError(errno.EACCES, ""), venv)
    if re.search(_UNREACHABLE, output):
        return (
            "the package index could not be reached: connect to the network (the first start needs "
            "it, later ones do not), then start again."
        )
    absent = re.search(r"No matching distribution found for (\S+)", output)
    if absent:
        major, minor = sys.version_info[:2]
        return (
            f"pip finds no {absent[1]} for Python {major}.{minor} on this machine: see that the "
            "network is there, or try another Python (3.11 to 3.13), or conda with environment.yml."
        )
    errors = [line for line in output.splitlines() if line.strip()]
    last = next((e for e in reversed(errors) if e.lower().startswith("error")), None)
    return f"the environment could not be made: {last or (errors or ['no reason was given'])[-1]}"


def _no_venv() -> str:
    major, minor = sys.version_info[:2]
    return (
        "this Python cannot make environments: on Debian or Ubuntu run `sudo apt install "
        f"python{major}.{minor}-venv`, elsewhere install Python from python.org; then start again."
    )


def _full(venv: Path) -> str:
    return (
        f"the disk is full: the environment needs {NEEDED} in {venv.parent}, and downloads need "
        f"room in {tempfile.gettempdir()}. Make room, then start again."
    )
