"""Run something that may never return or may meddle with the machine, and stay in charge."""

import contextlib
import ctypes
import io
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

WORKER = "verify"  # the name of the threads that run candidates


class NoAnswer(Exception):
    """The time limit passed and nothing was returned."""


class Stop(BaseException):
    """Raised inside the worker to end it; no ``except Exception`` of a candidate catches it."""


def run_limited(work: Callable[[], Any], seconds: float) -> Any:
    """Return ``work()``, or raise ``NoAnswer`` after ``seconds``; re-raise what ``work`` raised.

    A thread is used and not a signal, because signals do not exist on Windows and work only in
    the main thread. An endless Python loop is ended. A call that is stuck inside compiled code
    cannot be, nor can a loop that catches everything: they are left behind, with a warning.
    """
    outcome: dict[str, Any] = {}
    # Not thread.join: where Ctrl-C interrupts it, Python 3.11 takes the thread for ended.
    ended = threading.Event()

    def worker() -> None:
        try:
            outcome["value"] = work()
        except BaseException as error:  # even SystemExit must not end the reader's kernel
            outcome["error"] = error
        finally:
            ended.set()

    thread = threading.Thread(target=worker, daemon=True, name=WORKER)
    thread.start()
    deadline = time.monotonic() + seconds
    try:
        while not ended.is_set() and time.monotonic() < deadline:
            ended.wait(0.05)  # short waits, so that Ctrl-C is heard on every system
    finally:
        _end(thread, ended)
    if "error" in outcome and not isinstance(outcome["error"], Stop):
        raise outcome["error"]
    if "value" not in outcome:
        raise NoAnswer(f"no answer after {seconds:g} s")
    return outcome["value"]


def _end(thread: threading.Thread, ended: threading.Event) -> None:
    """Ask the thread to stop; asked again, because a bare ``except:`` may swallow the first."""
    for _ in range(20):
        if ended.is_set() or thread.ident is None:
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(Stop)
        )
        ended.wait(0.05)
    if not ended.is_set():
        message = "the candidate is still running and slows this kernel down: restart it"
        warnings.warn(message, stacklevel=2)


@contextlib.contextmanager
def undisturbed():
    """Whatever a candidate does to the generators and to torch's settings is undone."""
    generators = torch.get_rng_state(), np.random.get_state(), random.getstate()
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.set_rng_state(generators[0])
        np.random.set_state(generators[1])
        random.setstate(generators[2])
        torch.set_default_dtype(dtype)
        torch.use_deterministic_algorithms(strict)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


class _Few(io.TextIOBase):
    """Passes on what is printed, up to a limit: a loop that prints must not drown the page."""

    def __init__(self, stream: Any, limit: int):
        self.stream, self.left = stream, limit

    def write(self, text: str) -> int:
        if self.left > 0:
            self.stream.write(text[: self.left])
            self.left -= len(text)
            if self.left <= 0:
                self.stream.write("\n… (more was printed)\n")
        return len(text)

    def flush(self) -> None:
        self.stream.flush()


def few_words(limit: int = 5000):
    return contextlib.redirect_stdout(_Few(sys.stdout, limit))


@contextlib.contextmanager
def own_noise(seed: int):
    """A candidate that draws noise draws the same each time, on the CPU; the rest is as it was."""
    with undisturbed():
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        yield
