"""The state of a training run, the clock that says when to look up from it, and its history."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from genart_lessons.training import checkpoint

T = TypeVar("T")
LOOK_SECONDS = 0.2  # losses stay on the device in between: asking for them makes it wait
SAVE_SECONDS = 20.0


class NotFinite(ArithmeticError):
    """The loss or a weight became NaN or infinite; the message names the step and what to try."""


@dataclass(repr=False)
class History:
    """What a run leaves behind, besides the trained model.

    ``losses``: one number a step. ``parts``: name → one number a step (``{"recon": […], …}``).
    ``ema``: the module with averaged weights, in eval mode, or None. ``interrupted``: by Ctrl-C.
    """

    losses: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    interrupted: bool = False
    ema: Any = None

    @property
    def steps(self) -> int:
        return len(self.losses)

    def __repr__(self) -> str:
        return "History of an interrupted run" if self.interrupted else "History"

    def _repr_html_(self) -> str:
        last = f", last loss {self.losses[-1]:.4g}" if self.losses else ""
        return f"<span>{self!r}: {self.steps} steps in {self.seconds:.1f} s{last}</span>"


@dataclass
class Run:
    """All that a checkpoint holds, and the losses that are still on the device.

    ``optimizers``: one for each part that has turns of its own; ``""`` is the whole model.
    """

    model: nn.Module
    optimizers: dict[str, torch.optim.Optimizer]
    history: History
    device: torch.device
    accelerator: Accelerator
    path: Path | None = None
    settings: dict = field(default_factory=dict)
    step: int = 0
    saved: int = -1  # the step of the newest checkpoint
    _unread: dict[str, list[Tensor]] = field(default_factory=dict)

    def note(self, loss: Tensor, parts: Mapping[str, Tensor]) -> None:
        """A step is done. Its losses (0-dim tensors) are kept unread."""
        self.step += 1
        self._unread.setdefault("loss", []).append(loss.detach())
        for name, value in parts.items():
            self._unread.setdefault(f"part.{name}", []).append(value)

    def read_losses(self) -> None:
        """Move the unread losses into the history, averaged over the processes."""
        rows = {
            name: self.accelerator.reduce(torch.stack(unread), "mean").tolist()
            for name, unread in self._unread.items()
        }
        self._unread.clear()
        for name, row in _of("part", rows).items():
            self.history.parts.setdefault(name, []).extend(row)
        self.history.losses += (losses := rows.get("loss", []))
        for step, value in enumerate(losses, self.step - len(losses)):
            if not math.isfinite(value):
                self._stop(f"the loss{self._whose(step)} is {value} at step {step}")

    def _whose(self, step: int) -> str:
        """Which part's loss is not finite, where parts have turns of their own."""
        rows = {p: self.history.parts[p] for p in self.optimizers if p in self.history.parts}
        bad = [part for part, row in rows.items() if not math.isfinite(row[step])]
        return f" of the {bad[0]}" if bad else ""

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for part, optimizer in self.optimizers.items():
            tensors |= _under(_shelf(part), checkpoint.optimizer_tensors(optimizer))
        return tensors

    def save(self) -> None:
        """Write the checkpoint, unless the newest is of this step; stop if a weight is NaN."""
        if self.path is None or self.saved == self.step:
            return
        state = self.model.state_dict()
        for name, x in state.items():
            if not bool(torch.isfinite(x).all()):
                self._stop(f"the weights {name} are no longer finite after step {self.step - 1}")
        self.saved = self.step
        if not self.accelerator.is_main_process:
            return
        rows = {"loss": self.history.losses, **_under("part", self.history.parts)}
        tensors = (
            _under("model", state)
            | _under("ema", self.history.ema.state_dict() if self.history.ema is not None else {})
            | self._optimizer_tensors()
            | _under("random", checkpoint.random_state(self.device))
            | {f"history.{k}": torch.tensor(v, dtype=torch.float64) for k, v in rows.items()}
        )
        meta = {"step": self.step, "seconds": self.history.seconds, "settings": self.settings}
        checkpoint.save(self.path, tensors, meta)

    def resume(self, path: Path, settings: dict, steps: int | None) -> None:
        """Take up the run in the checkpoint, if there is one; later ``save`` there."""
        self.path, self.settings = path, settings
        with self.accelerator.main_process_first():  # which puts a damaged file aside
            found = checkpoint.load(path, settings)
        if found is None:
            return
        tensors, meta = found
        if steps is not None and meta["step"] > steps:
            raise checkpoint.CheckpointRefused(
                f"the checkpoint {path} has {meta['step']} steps already, more than steps={steps}: "
                "ask for at least as many, give another path, or delete it."
            )
        self.model.load_state_dict(_of("model", tensors))
        if self.history.ema is not None:
            self.history.ema.load_state_dict(_of("ema", tensors))
        for part, optimizer in self.optimizers.items():
            checkpoint.load_optimizer(optimizer, _of(_shelf(part), tensors))
        checkpoint.set_random_state(_of("random", tensors), self.device)
        rows = _of("history", tensors)
        self.history.losses = rows["loss"].tolist()
        self.history.parts = {name: row.tolist() for name, row in _of("part", rows).items()}
        self.step = self.saved = meta["step"]
        self.history.seconds = meta["seconds"]

    def _stop(self, what: str) -> None:
        rate = max(group["lr"] for o in self.optimizers.values() for group in o.param_groups)
        kept = f" {self.path} keeps the state after {self.saved} steps." if self.saved > 0 else ""
        raise NotFinite(
            f"{what}, and training cannot go on. Try a smaller lr (it was {rate:.3g}), "
            f"clip_grad=1.0, or look in the loss for log(0), 0/0 and exp of large numbers.{kept}"
        )


class Clock:
    """Says when to look up (about five times a second), when to save, and when to stop.

    Every answer is the same in all processes: they would wait for one another for ever otherwise.
    """

    def __init__(self, run: Run, steps: int | None, seconds: float | None, every: int | None):
        self.run, self.steps, self.seconds, self.every = run, steps, seconds, every
        self.total: float = steps or math.inf  # the number of steps, as far as one knows
        self.pressed = self.save_due = False
        self.next_look = run.step + 1
        self._start = time.perf_counter() - run.history.seconds
        self._last, self._saved, self._stride = run.history.seconds, run.history.seconds, 1

    @property
    def done(self) -> float:
        """The share of the work that is done, 0 to 1."""
        if self.steps is not None:
            return self.run.step / self.steps
        return min(1.0, self.run.history.seconds / (self.seconds or 1.0))

    @property
    def finished(self) -> bool:
        return self.pressed or self.done >= 1

    def look(self, pressed: bool) -> None:
        """Read the time, and plan the next look. ``pressed``: Ctrl-C, here."""
        run, accelerator = self.run, self.run.accelerator
        now = time.perf_counter() - self._start
        if accelerator.num_processes > 1:
            shared = torch.tensor([now, pressed], device=run.device, dtype=torch.float64)
            now, pressed = accelerator.reduce(shared, "mean").tolist()
        pace = max(now - self._last, 1e-6) / self._stride
        self._last = run.history.seconds = now
        self.pressed = bool(pressed)
        self.save_due = now - self._saved > SAVE_SECONDS
        wait = LOOK_SECONDS
        if self.seconds is not None:
            self.total = run.step * self.seconds / now
            wait = min(wait, self.seconds - now)
        stride = max(1, min(2 * self._stride, int(wait / pace)))
        if self.every:
            self.save_due = run.step % self.every == 0
            stride = min(stride, self.every - run.step % self.every)
        if self.steps is not None:
            stride = min(stride, self.steps - run.step)
        if self.save_due:
            self._saved = now
        self._stride = max(1, stride)
        self.next_look = run.step + self._stride

    def line(self) -> str:
        """Where the run stands, for the progress bar."""
        history = self.run.history
        of = f" of {self.steps}" if self.steps is not None else ""
        left = history.seconds * (1 / self.done - 1) if self.done else 0.0
        left_text = f", {left:.0f} s left" if not self.finished else f" in {history.seconds:.1f} s"
        loss = f", loss {history.losses[-1]:.4g}" if history.losses else ""
        return f"{self.run.step}{of} steps{loss}{left_text}"


def _shelf(part: str) -> str:
    """Where a part's optimiser lies in a checkpoint."""
    return f"optimizer-{part}" if part else "optimizer"


def _under(prefix: str, named: Mapping[str, T]) -> dict[str, T]:
    return {f"{prefix}.{name}": x for name, x in named.items()}


def _of(prefix: str, named: Mapping[str, T]) -> dict[str, T]:
    start = f"{prefix}."
    return {name.removeprefix(start): x for name, x in named.items() if name.startswith(start)}
