"""Turns: what one step of training does, once for a single loss, or once for each opponent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from genart_lessons.training.checkpoint import code_print

Loss = Callable[[nn.Module, dict], Any]
Losses = Loss | Mapping[str, Loss]


@dataclass
class Turn:
    """One loss, the weights that it moves, and their optimiser.

    ``part``: the name of the sub-module that moves, "" for the whole model. ``others``: the other
    trainable weights, which stand still meanwhile and are not even differentiated.
    """

    part: str
    loss: Loss
    objective: nn.Module
    weights: list[nn.Parameter]
    others: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    rates: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.rates = [group["lr"] for group in self.optimizer.param_groups]

    def play(
        self, batch: dict, accelerator: Accelerator, factor: float, clip_grad: float | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One gradient step; the loss, and its named parts."""
        with self.alone():
            value, named = self.objective(batch)
            self.optimizer.zero_grad()
            accelerator.backward(value)
        if accelerator.num_processes > 1 and any(w.grad is None for w in self.weights):
            whose = f"of the {self.part} " if self.part else ""
            raise ValueError(
                f"some weights {whose}got no gradient from their loss, and processes that train "
                "together must share every one: freeze them, or let the loss depend on them."
            )
        if clip_grad:
            nn.utils.clip_grad_norm_(self.weights, clip_grad)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        self.optimizer.step()
        return value.detach(), named

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While inside, only this part's weights require a gradient."""
        for weight in self.others:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in self.others:
                weight.requires_grad_(True)


def make_turns(
    model: nn.Module,
    losses: Losses,
    optimizer: Any,
    lr: float | Mapping[str, float],
    precision: str,
    accelerator: Accelerator,
    device: torch.device,
) -> list[Turn]:
    """The turns of a step, in the order of ``losses``."""
    parts = losses if isinstance(losses, Mapping) else {"": losses}
    own = _weights(model, parts)
    turns = []
    for part, loss in parts.items():
        mine = {id(w) for w in own[part]}
        others = [p for p in model.parameters() if p.requires_grad and id(p) not in mine]
        module = model.get_submodule(part)
        optim = make_optimizer(_of_part(optimizer, part), module, _of_part(lr, part))
        objective = Objective(model, loss, precision, device)
        turn = Turn(part, loss, objective, own[part], others, optim)
        with turn.alone():  # many processes share the gradients of what requires one, now
            turn.objective = accelerator.prepare(objective)
        turns.append(turn)
    return turns


def play_all(
    turns: list[Turn], batch: dict, accelerator: Accelerator, factor: float, clip: float | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """A whole step: the sum of the turns' losses, and every part by its name.

    Raises ValueError for a name that two turns give.
    """
    if len(turns) == 1 and not turns[0].part:
        return turns[0].play(batch, accelerator, factor, clip)
    total: Tensor | float = 0.0
    parts: dict[str, Tensor] = {}
    for turn in turns:
        value, named = turn.play(batch, accelerator, factor, clip)
        for name, x in [(turn.part, value), *named.items()]:
            if name in parts:
                raise ValueError(
                    f"the part {name!r} is named twice, the second time by {turn.part}'s loss: "
                    "the turns, and what their losses name, need names of their own."
                )
            parts[name] = x
        total = total + value
    return torch.as_tensor(total), parts


class Objective(nn.Module):
    """The loss as a module for Accelerate to wrap: a loss may then call any method of the model."""

    def __init__(self, model: nn.Module, loss: Loss, precision: str, device: torch.device):
        super().__init__()
        self.model, self.device, self.mixed = model, device, precision == "bfloat16"
        self._call = lambda *args: loss(*args)  # a loss that is a module is not trained with it

    def forward(self, batch: dict) -> tuple[Tensor, dict[str, Tensor]]:
        mixed = torch.autocast(self.device.type, torch.bfloat16) if self.mixed else None
        with mixed or contextlib.nullcontext():
            result = self._call(self.model, batch)
        value, parts = result if isinstance(result, tuple) else (result, {})
        if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"the loss must be one number that depends on the weights; this is {shape}. "
                "Take the mean over the batch, and leave out .item(), .detach() and no_grad."
            )
        return value, {key: torch.as_tensor(x).detach() for key, x in parts.items()}


def make_optimizer(given: Any, model: nn.Module, lr: float) -> torch.optim.Optimizer:
    """Accelerate's own wrapper is left out: it costs more than a small model's whole step."""
    if isinstance(given, torch.optim.Optimizer):
        return given
    trainable = [p for p in model.parameters() if p.requires_grad]
    if given is None:
        return torch.optim.Adam(trainable, lr=lr, fused=True)
    return given(trainable, lr=lr) if isinstance(given, type) else given(trainable)


def check_turns(model: nn.Module, losses: Losses, optimizer: Any, lr: Any) -> None:
    """Raise ValueError for parts, optimisers or rates that do not fit each other."""
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("the model has no weights to train (requires_grad is False for all).")
    if not isinstance(losses, Mapping):
        if isinstance(optimizer, Mapping) or isinstance(lr, Mapping):
            raise ValueError("optimizer and lr name parts, but there is one loss for the whole.")
        return
    if not losses:
        raise ValueError("loss={}: give a loss, or {part: its loss} for every opponent.")
    if wrong := [part for part, loss in losses.items() if not callable(loss)]:
        raise ValueError(f"the loss of {wrong[0]!r} is no function of (model, batch).")
    own = _weights(model, losses)
    if isinstance(optimizer, torch.optim.Optimizer) and len(losses) > 1:
        raise ValueError(
            f"one optimiser cannot serve {' and '.join(losses)}: give a class, a function from "
            "weights to an optimiser, or {part: one of these}."
        )
    for name, given in (("optimizer", optimizer), ("lr", lr)):
        if isinstance(given, Mapping) and set(given) != set(losses):
            raise ValueError(f"{name} names {sorted(given)}, and the losses {sorted(losses)}.")
    for part in losses:
        ready = _of_part(optimizer, part)
        if isinstance(ready, torch.optim.Optimizer):
            moved = {id(w) for group in ready.param_groups for w in group["params"]}
            if moved != {id(w) for w in own[part]}:
                raise ValueError(f"the optimiser of {part} does not hold just {part}'s weights.")


def turn_settings(turns: list[Turn]) -> dict[str, Any]:
    """What two runs must have in common, of losses, rates and optimisers."""
    if len(turns) == 1 and not turns[0].part:
        return _settings(turns[0])
    by_part = {turn.part: _settings(turn) for turn in turns}
    keys = by_part[turns[0].part]
    named = {key: {part: each[key] for part, each in by_part.items()} for key in keys}
    return {"order of the turns": [turn.part for turn in turns], **named}


def _settings(turn: Turn) -> dict[str, Any]:
    group, left_out = turn.optimizer.param_groups[0], {"params", "lr", "fused", "foreach"}
    return {
        "loss": code_print(turn.loss),
        "lr": turn.rates,
        "optimizer": type(turn.optimizer).__name__,
        "optimizer options": {k: repr(v) for k, v in group.items() if k not in left_out},
    }


def _weights(model: nn.Module, parts: Mapping[str, Any]) -> dict[str, list[nn.Parameter]]:
    """Each part's trainable weights. Raises ValueError for unknown, empty and shared parts."""
    own: dict[str, list[nn.Parameter]] = {}
    for part in parts:
        try:
            module = model.get_submodule(part)
        except AttributeError:
            there = ", ".join(name for name, _ in model.named_children()) or "none"
            raise ValueError(f"the model has no part {part!r}; there are: {there}.") from None
        own[part] = [p for p in module.parameters() if p.requires_grad]
        if not own[part]:
            raise ValueError(f"{part} has no weights to train (requires_grad is False for all).")
    seen: dict[int, str] = {}
    for part, weights in own.items():
        for weight in weights:
            if id(weight) in seen:
                raise ValueError(f"{seen[id(weight)]} and {part} share weights: parts must not.")
            seen[id(weight)] = part
    return own


def _of_part(given: Any, part: str) -> Any:
    return given[part] if isinstance(given, Mapping) else given
