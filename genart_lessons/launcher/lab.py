"""``lab``: JupyterLab, opened at chapter 00."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from genart_lessons.launcher import Problem, chapters

FIRST = "chapters/00_start_here.ipynb"


def start(root: Path, port: int | None, browser: bool, extra: Sequence[str]) -> int:
    """Make what is missing, start JupyterLab, print its address, wait for its end."""
    for line in chapters.complete(root):
        print(line, flush=True)
    if port and not is_free(port):
        raise Problem(f"port {port} is taken: choose another one, or leave --port out.")
    server = subprocess.Popen(command(root, port, browser, extra), cwd=root, env=_environ())
    try:
        trust(root)
        if address := wait_for_address(server):
            print(f"\nThe course is open at\n\n    {address}\n\nCtrl-C stops it.\n", flush=True)
        code = server.wait()
    except KeyboardInterrupt:  # the server has had it too, and is closing its kernels
        code = _stopped(server)
    finally:
        if server.poll() is None:
            server.terminate()
    return code


def command(root: Path, port: int | None, browser: bool, extra: Sequence[str]) -> list[str]:
    """The command line of the server."""
    first = FIRST if (root / FIRST).exists() else ""
    line = [
        sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}",
        f"--LabApp.default_url=/lab/tree/{first}".rstrip("/"),
    ]  # fmt: skip
    if port:
        line += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    if not browser:
        line += ["--no-browser"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        line += ["--allow-root"]
    return [*line, *extra]


def _environ() -> dict[str, str]:
    """Our environment, with our settings for Lab (``jupyter/`` here).

    Nothing is looked up on the network; Lab does not ask about news before chapter 00; Ctrl-C once
    is enough; kernels are spoken to in cipher, and so do not complain that they are not.
    """
    ours = str(Path(__file__).parent / "jupyter")
    known = os.environ.get("JUPYTER_CONFIG_PATH")
    return os.environ | {"JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, [ours, known]))}


def trust(root: Path) -> None:
    """Sign the chapters as generated, so that Lab shows their saved cards unabridged."""
    from nbformat.sign import NotebookNotary

    notary = NotebookNotary()
    for chapter in chapters.every(root):
        notebook = chapters.read(chapter.notebook)
        if notebook is not None and not chapters.edited_by_hand(notebook):
            notary.sign(notebook)


def is_free(port: int) -> bool:
    """Whether nothing on this machine listens on ``port``."""
    if not 0 < port < 65536:
        raise Problem(f"there is no port {port}: give a number from 1 to 65535.")
    with socket.socket() as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Jupyter does
        try:
            probe.bind(("localhost", port))
        except OSError:
            return False
    return True


def wait_for_address(server: subprocess.Popen, seconds: float = 60) -> str | None:
    """The address that ``server`` came up at, or None if it ended or never said so."""
    from jupyter_server.serverapp import list_running_servers

    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        for info in list_running_servers():
            if info["pid"] == server.pid and _answers(info["hostname"], info["port"]):
                return address(info)
        time.sleep(0.1)
    return None


def _answers(host: str, port: int) -> bool:
    """Whether somebody listens there: a server says where it will be before it is there."""
    try:
        socket.create_connection((host or "localhost", port), timeout=1).close()
    except OSError:
        return False
    return True


def address(info: dict) -> str:
    """The whole address of chapter 00 on a server that describes itself with ``info``."""
    token = f"?token={info['token']}" if info.get("token") else ""
    return f"{info['url']}lab/tree/{FIRST}{token}"


def _stopped(server: subprocess.Popen) -> int:
    try:
        server.wait(timeout=15)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        server.terminate()
    print("\nJupyterLab has stopped.", flush=True)
    return 0
