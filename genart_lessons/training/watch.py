"""What one sees of a training run: a progress line and, now and then, a picture."""

from __future__ import annotations

import contextlib
import html
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from genart_lessons.training import checkpoint

LIVE_SECONDS = 3.0  # between two live pictures …
LIVE_SHARE = 0.1  # … of which drawing may take this much


class Watch:
    """Shows the progress and the live picture: in Jupyter one updating display each, else tqdm.

    The display in Jupyter leaves plain text without noisy digits (``trained 400 steps``) in the
    saved notebook, and no widget, whose state would be lost.
    """

    def __init__(self, title: str, progress: bool, live: Callable | None, *, main: bool = True):
        self.title, self.main = title, main
        self.live, self.progress = (live, progress) if main else (None, False)
        self.jupyter = _in_jupyter()
        self._shown: dict[str, Any] = {}  # what → its display handle
        self._bar: Any = None
        self._next_live = time.perf_counter() + LIVE_SECONDS

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, done: float, line: str) -> None:
        """``done``: the share of the work, 0 to 1. ``line``: where the run stands."""
        if self.progress and self.jupyter:
            bar = f'<progress value="{done:.4f}" max="1" style="width: 16em"></progress>'
            self._show("progress", _Text(f"{self.title} …", f"{bar} {html.escape(line)}"))
        elif self.progress:
            if self._bar is None:
                from tqdm import tqdm

                form = "{l_bar}{bar}| {postfix}"
                self._bar = tqdm(
                    desc=self.title, total=1.0, leave=False, disable=None, bar_format=form
                )
            self._bar.n = done
            self._bar.set_postfix_str(line)

    def picture(self, model: nn.Module, history: Any, device: torch.device, *, last=False) -> None:
        """Call ``live(model, history)`` when it is time, and show what it returns."""
        start = time.perf_counter()
        if self.live is None or (start < self._next_live and not last):
            return
        with at_rest(model, device):
            drawn = self.live(model, history)
        if drawn is not None and self.jupyter:
            self._show("live", drawn)
        _close(drawn)
        end = time.perf_counter()
        self._next_live = end + max(LIVE_SECONDS, (end - start) * (1 / LIVE_SHARE - 1))

    def close(self, text: str, line: str, *, say: bool = False) -> None:
        """Leave one line: ``text`` alone as plain text; ``say``: even without progress."""
        if self._bar is not None:
            self._bar.close()
        if not self.main or not (self.progress or say):
            return
        full = f"{text} ({line})"
        if self.jupyter:
            self._show("progress", _Text(text, f"<span>{html.escape(full)}</span>"))
        else:
            print(f"{self.title}: {full}", file=sys.stderr)

    def _show(self, what: str, thing: object) -> None:
        if what in self._shown:
            self._shown[what].update(thing)
        else:
            from IPython.display import display

            self._shown[what] = display(thing, display_id=True)


class CtrlC:
    """While active, the first Ctrl-C is only noted (``pressed``), so that a step is never torn.

    A second one, a second or more later, raises KeyboardInterrupt as usual.
    """

    def __init__(self) -> None:
        self.pressed, self._when = False, 0.0
        self._before: Any = None

    def __enter__(self) -> CtrlC:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, *_: object) -> None:
        if self.pressed and time.perf_counter() > self._when + 1:
            raise KeyboardInterrupt
        self.pressed, self._when = True, time.perf_counter()


@contextlib.contextmanager
def at_rest(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Eval mode, no gradients, and every random number drawn inside is put back."""
    modes = {module: module.training for module in model.modules()}
    state = checkpoint.random_state(device)
    try:
        model.eval()
        with torch.no_grad():
            yield
    finally:
        checkpoint.set_random_state(state, device)
        for module, mode in modes.items():
            module.training = mode


class _Text:
    """One thing with a quiet face for the saved notebook and a fuller one for the page."""

    def __init__(self, text: str, page: str):
        self.text, self.page = text, page

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.page


def _in_jupyter() -> bool:
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


def _close(drawn: object) -> None:
    """A figure made with pyplot would be shown once more at the end of the cell."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None and isinstance(drawn, pyplot.Figure):
        pyplot.close(drawn)
