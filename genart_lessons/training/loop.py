"""The one training loop of the course, for every model, on one processor or on many."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from genart_lessons import runtime
from genart_lessons.training.checkpoint import code_print
from genart_lessons.training.run import Clock, History, Run
from genart_lessons.training.turns import (
    Losses,
    Turn,
    check_turns,
    make_turns,
    play_all,
    turn_settings,
)
from genart_lessons.training.watch import CtrlC, Watch

Schedule = str | Callable[[int, float], float]


class BatchSource(Protocol):
    """Anything that gives the batch of a step: ``Batches``, or your own (text windows, …)."""

    def at(self, step: int, part: int = 0, parts: int = 1) -> dict[str, Tensor]: ...


def fit(
    model: nn.Module,
    loss: Losses,
    batches: BatchSource,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    optimizer: torch.optim.Optimizer | Callable | Mapping | None = None,
    lr: float | Mapping[str, float] = 1e-3,
    schedule: Schedule = "constant",
    warmup: int = 0,
    ema: float | None = None,
    clip_grad: float | None = None,
    precision: str = "float32",
    checkpoint: str | os.PathLike | None = None,
    every: int | None = None,
    live: Callable[[nn.Module, History], Any] | None = None,
    progress: bool = True,
    name: str = "training",
) -> History:
    """Train ``model`` in place on ``runtime.device()``, and leave it there, in eval mode.

    Args:
        loss: ``loss(model, batch)`` → a scalar, the mean over the batch; or ``(scalar, parts)``
            with named scalars to be recorded. ``batch["step"]`` is the number of the step.
            For opponents, ``{"discriminator": its loss, "generator": its loss}``, by the names of
            sub-modules: in every step each part has its turn, in this order, and a turn moves that
            part's weights alone (Goodfellow et al. 2014, algorithm 1). ``history.parts`` then
            holds each part's loss by its name, ``history.losses`` their sum.
        batches: ``batches.at(step)`` → name → ``(B, …)``. Under ``torchrun`` each process
            trains on its slice, and all arrive at the weights of a single process.
        steps, seconds: train for so many steps, or for so long; give one of the two.
        optimizer: a class like ``torch.optim.SGD``, called with ``lr``; a function from parameters
            to an optimiser; or an optimiser. Default: Adam (Kingma and Ba 2015). With several
            parts each gets its own, and ``optimizer`` and ``lr`` may be ``{part: …}``.
        schedule: ``"constant"``, ``"cosine"`` (down to 0 at the end) or a function of the step and
            the number of steps that gives a factor. The first ``warmup`` steps rise to it linearly.
        ema: decay of the averaged copy of the weights, ``history.ema``; 0.999 is usual.
        clip_grad: the largest norm that the gradient may have.
        precision: ``"float32"``; ``"bfloat16"`` for mixed precision; or ``"mixed"``, which is the
            second where the device multiplies such numbers itself, and the first elsewhere.
        checkpoint: a file; a run that was stopped goes on from it, to the same losses.
        every: steps from one checkpoint to the next. Default: about 20 seconds.
        live: ``live(model, history)`` draws a picture every few seconds, of ``history.ema`` where
            there is one. What it returns is shown in Jupyter.

    Ctrl-C ends the run after a step; what was learnt is kept. Raises ValueError for options that
    do not go together, NotFinite for a loss that is NaN, CheckpointRefused for a foreign one.
    """
    _check(steps, seconds, lr, schedule, ema, precision, every)
    check_turns(model, loss, optimizer, lr)
    accelerator, device = _accelerator()
    model.to(device).train()
    kind = _quick(device) if precision == "mixed" else precision
    turns = make_turns(model, loss, optimizer, lr, kind, accelerator, device)
    average = Average(model, ema) if ema else None
    history = History(ema=average.model if average else None)
    optimizers = {turn.part: turn.optimizer for turn in turns}
    run = Run(model, optimizers, history, device, accelerator)
    if checkpoint is not None:
        options = dict(warmup=warmup, ema=ema, clip_grad=clip_grad, precision=precision)
        options |= _schedule_settings(schedule, steps or seconds)
        settings = _settings(batches, model, turns) | options
        run.resume(Path(checkpoint), settings, steps)

    part, parts = accelerator.process_index, accelerator.num_processes
    clock = Clock(run, steps, seconds, every)
    with CtrlC() as ctrl_c, Watch(name, progress, live, main=part == 0) as watch:
        try:
            while not clock.finished:
                step = run.step
                batch = {key: x.to(device) for key, x in batches.at(step, part, parts).items()}
                factor = lr_factor(step, clock.total, schedule, warmup)
                value, named = play_all(
                    turns, batch | {"step": step}, accelerator, factor, clip_grad
                )
                if average:
                    average.update(step)
                run.note(value, named)

                if run.step == clock.next_look:  # about five times a second
                    run.read_losses()
                    clock.look(ctrl_c.pressed)
                    if clock.save_due:
                        run.save()
                    watch.update(clock.done, clock.line())
                    watch.picture(average.model if average else model, history, device)
            history.interrupted = clock.pressed and clock.done < 1
        except KeyboardInterrupt:
            if ctrl_c.pressed or parts > 1:  # the second time: at once, as it is
                raise
            history.interrupted = True
        run.read_losses()
        run.save()
        model.eval()
        watch.picture(average.model if average else model, history, device, last=True)
        watch.close(_summary(run, steps, seconds), clock.line(), say=history.interrupted)
    return history


def lr_factor(step: int, total: float, schedule: Schedule = "constant", warmup: int = 0) -> float:
    """What the learning rate is multiplied by at ``step`` (0 … total − 1).

    ``"cosine"``: (1 + cos πu)/2 with u = (step − warmup)/(total − warmup), after Loshchilov and
    Hutter (2017), eq. 5 with η_min = 0. While step < warmup: (step + 1)/warmup of what it gives.
    """
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    if callable(schedule):
        return rise * schedule(step, total)
    if schedule == "constant":
        return rise
    u = max(0.0, step - warmup) / max(1.0, total - warmup)
    return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, u)))


class Average:
    """A copy of ``model`` whose weights follow it slowly: averaged ← d·averaged + (1 − d)·model.

    d = min(decay, (1 + step)/(10 + step)): a short run would else remember its random start.
    Buffers are copied as they are. ``model`` is the copy, in eval mode.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay, self.model = decay, copy.deepcopy(model).eval().requires_grad_(False)
        self._weights = list(self.model.parameters()), list(model.parameters())
        self._buffers = list(zip(self.model.buffers(), model.buffers(), strict=True))

    @torch.no_grad()
    def update(self, step: int) -> None:
        d = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(*self._weights, 1 - d)
        for averaged, buffer in self._buffers:
            averaged.copy_(buffer)


def _accelerator() -> tuple[Accelerator, torch.device]:
    """The processes that train together (one, or as many as torchrun started), and our device."""
    device = runtime.device()
    if "LOCAL_RANK" not in os.environ:
        return Accelerator(device_placement=False), device
    accelerator = Accelerator(cpu=device.type == "cpu", device_placement=False)
    return accelerator, accelerator.device


def _settings(batches: Any, model: nn.Module, turns: list[Turn]) -> dict[str, Any]:
    """What two runs must have in common for one to go on where the other stopped."""
    return {
        **getattr(batches, "settings", {}),
        "shapes": {name: list(x.shape) for name, x in model.state_dict().items()},
        **turn_settings(turns),
    }


def _schedule_settings(schedule: Schedule, length: float | None) -> dict[str, Any]:
    """A run at a constant rate may be made longer later; any other rate depends on the length."""
    if schedule == "constant":
        return {"schedule": schedule}
    return {"schedule": code_print(schedule) if callable(schedule) else schedule, "length": length}


def _summary(run: Run, steps: int | None, seconds: float | None) -> str:
    if not run.history.interrupted:
        return f"trained {steps} steps" if steps is not None else f"trained for {seconds:g} s"
    again = f"; run again to go on from {run.path.name}" if run.path else ""
    return f"interrupted: the model keeps what it has learnt{again}"


def _quick(device: torch.device) -> str:
    """The precision that a device is quickest in, for ``precision="mixed"``.

    A processor without instructions for bfloat16 does them one by one: a convolution that takes a
    second then takes a minute.
    """
    if device.type == "cpu":
        asked = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        return "bfloat16" if asked() else "float32"
    itself = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if itself else "float32"


def _check(steps, seconds, lr, schedule, ema, precision, every) -> None:
    if (steps is None) == (seconds is None):
        raise ValueError("give steps=… or seconds=…, one of the two.")
    rates = lr.values() if isinstance(lr, Mapping) else [lr]
    wrong = (steps or seconds or 0) <= 0 or every is not None and every <= 0
    if wrong or not all(rate > 0 for rate in rates):
        raise ValueError("steps, seconds, every and lr must be above 0.")
    if not callable(schedule) and schedule not in ("constant", "cosine"):
        raise ValueError(f"schedule={schedule!r}: it is 'constant', 'cosine' or a function.")
    if ema is not None and not 0 < ema < 1:
        raise ValueError(f"ema={ema} is a decay: a number between 0 and 1, such as 0.999.")
    if precision not in ("float32", "bfloat16", "mixed"):
        raise ValueError(f"precision={precision!r}: it is 'float32', 'bfloat16' or 'mixed'.")
