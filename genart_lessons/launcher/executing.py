"""Execute a notebook in a kernel of its own: progress, seconds, peak memory, errors by name."""

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from traitlets.config import Config

from genart_lessons.launcher import Problem, chapters

ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


@dataclass(frozen=True)
class Cost:
    """What an execution took."""

    seconds: float
    peak_mb: float


def execute(
    notebook: NotebookNode,
    name: str,
    folder: Path,
    environ: dict[str, str],
    progress: Callable[[int, int], None] = lambda cell, cells: None,
    timeout: float | None = 600,
) -> Cost:
    """Execute ``notebook`` in place, with ``folder`` as its working directory.

    ``progress(k, n)`` is called before the k-th of n code cells; ``timeout`` is in seconds a cell.
    Raises Problem that names chapter, cell and error, also where a cell tagged ``raises-exception``
    raised nothing.
    """
    cells = chapters.code_cells(notebook)
    place = {id(cell): k for k, cell in enumerate(cells, 1)}
    now = [0]

    def starts(cell: NotebookNode, **_: object) -> None:
        if id(cell) in place:
            now[0] = place[id(cell)]
            progress(now[0], len(cells))

    client = NotebookClient(
        notebook,
        config=Config(KernelManager={"transport_encryption": "auto"}),  # else the kernel complains
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        on_cell_start=starts,
    )
    environ = os.environ | {"JUPYTER_PREFER_ENV_PATH": "1"} | environ
    started = time.perf_counter()
    with _Watch(lambda: _kernel_pid(client)) as watch:
        try:
            _in_a_thread(client, environ)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            cell = cells[now[0] - 1] if now[0] else None
            raise Problem(_story(name, now[0], cell, error)) from error
    for k, cell in enumerate(cells, 1):
        if "raises-exception" in chapters.tags(cell) and not raised(cell):
            raise Problem(f"{name}, cell {k} is tagged raises-exception, and raised nothing.")
    return Cost(time.perf_counter() - started, watch.peak / 2**20)


def _in_a_thread(client: NotebookClient, environ: dict[str, str]) -> None:
    """Execute aside, so that Ctrl-C comes to us: nbclient's own handler trips over itself."""
    with ThreadPoolExecutor(1) as pool:
        executed = pool.submit(client.execute, env=environ)
        try:
            executed.result()
        except KeyboardInterrupt:
            _kill(_kernel_pid(client))
            wait([executed])
            raise


def _kill(pid: int | None) -> None:
    """End a kernel and what it started."""
    with contextlib.suppress(psutil.Error):
        kernel = psutil.Process(pid)
        for process in [*kernel.children(recursive=True), kernel]:
            process.kill()


def raised(cell: NotebookNode) -> bool:
    """Whether the cell ended in an error."""
    return any(output.output_type == "error" for output in cell.outputs)


def _story(name: str, number: int, cell: NotebookNode | None, error: Exception) -> str:
    """Chapter, cell, its first line, and what went wrong there."""
    line = cell.source.strip().splitlines()[0] if cell else "before the first cell"
    where = f"{name}, cell {number} ({line}): "
    if isinstance(error, CellExecutionError):
        said = f"{error.ename}: {error.evalue}"
        return where + ANSI.sub("", said) + "\n" + ANSI.sub("", error.traceback).rstrip()
    if isinstance(error, DeadKernelError):
        return where + "the kernel died (out of memory?)."
    return where + ANSI.sub("", str(error)).strip().splitlines()[0]


def _kernel_pid(client: NotebookClient) -> int | None:
    return getattr(getattr(client.km, "provisioner", None), "pid", None)


class _Watch(threading.Thread):
    """Follows the memory of the kernel; ``peak`` is in bytes."""

    def __init__(self, pid: Callable[[], int | None]):
        super().__init__(daemon=True)
        self._pid, self._over, self.peak = pid, threading.Event(), 0

    def __enter__(self) -> "_Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(0.1):
            pid = self._pid()
            if pid is not None:
                self.peak = max(self.peak, peak_memory(pid))


def peak_memory(pid: int) -> int:
    """The most memory that a process has held so far, in bytes, as well as the system tells."""
    try:
        if sys.platform == "linux":
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            found = re.search(r"VmHWM:\s+(\d+) kB", status)
            return int(found[1]) * 1024 if found else 0
        memory = psutil.Process(pid).memory_info()
        return getattr(memory, "peak_wset", memory.rss)
    except (OSError, psutil.Error):
        return 0
