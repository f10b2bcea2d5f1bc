"""Checkpoints: all that a run needs to go on exactly as if it had never been stopped.

One safetensors file: the model, its average, the optimiser's state, the random generators and the
history as tensors; the step and the settings as JSON in the file's header. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import CodeType

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from genart_lessons import runtime

FORMAT = "genart_lessons checkpoint 1"
CHANGED = {
    "loss": "the loss function has changed",
    "data": "the data have changed",
    "augment": "the augmentation has changed",
}


class CheckpointRefused(RuntimeError):
    """The checkpoint belongs to another run: the message says what differs."""


def save(path: Path, tensors: Mapping[str, Tensor], meta: dict) -> None:
    """Write tensors and JSON values to one file, in one step; a hash of both goes with them."""
    tensors = {name: x.detach().cpu().clone().contiguous() for name, x in tensors.items()}
    text = json.dumps(meta, sort_keys=True)
    header = {"format": FORMAT, "meta": text, "sha256": _digest(tensors, text)}
    runtime.atomic_write(path, safetensors.torch.save(tensors, header))


def load(path: Path, settings: dict) -> tuple[dict[str, Tensor], dict] | None:
    """The tensors and JSON values of ``save``, or None where there is no checkpoint (any more).

    A damaged file is put aside under the name ``….damaged``, with a warning. Raises
    CheckpointRefused when the settings in it are not ``settings``.
    """
    if not path.exists():
        return None
    try:
        tensors, meta = _read(path)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        aside = path.with_name(path.name + ".damaged")
        os.replace(path, aside)
        warnings.warn(
            f"the checkpoint {path} is damaged ({error}). It is now called {aside.name}, "
            "and the training starts afresh.",
            stacklevel=3,
        )
        return None
    if differing := _differences(meta["settings"], json.loads(json.dumps(settings))):
        raise CheckpointRefused(
            f"the checkpoint {path} is from another run: {'; '.join(differing)}. "
            "Use the settings that it was made with, give another path, or delete it."
        )
    return tensors, meta


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state, flat: ``"3.exp_avg"`` → tensor. The settings are not in it."""
    flat = {}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                flat[f"{index}.{key}"] = value
            elif value is not None:
                raise TypeError(
                    f"{type(optimizer).__name__} keeps {key}={value!r}, which is not a tensor: "
                    "a run with this optimiser cannot have a checkpoint."
                )
    return flat


def load_optimizer(optimizer: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    """The inverse of ``optimizer_tensors``."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in flat.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The state of torch's generators that a model on ``device`` draws from (dropout)."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Put back what ``random_state`` gave; a state of another kind of device is left out."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    elif device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])


def data_print(tensors: Mapping[str, Tensor]) -> str:
    """A short fingerprint of tensors: names, types, shapes and every byte."""
    return _digest(tensors, "")[:16]


def code_print(function: Callable | None) -> object:
    """A fingerprint of a function's code and of the plain values that it uses.

    An edited loss with the old checkpoint would be the old model under a new name. What the
    function calls in turn is not looked into.
    """
    if isinstance(function, partial):
        values = [*function.args, *sorted(function.keywords.items())]
        return [code_print(function.func), *_plain(values)]
    code = getattr(function, "__code__", None)
    if code is None:
        return function if function is None else type(function).__qualname__
    cells = [_content(cell) for cell in getattr(function, "__closure__", None) or ()]
    names = getattr(function, "__globals__", {})
    defaults = getattr(function, "__defaults__", None) or ()
    values = [*cells, *defaults, *(names.get(name) for name in code.co_names)]
    parts = repr([_bones(code), _plain(values)])
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def _plain(values: list) -> list[str]:
    """Those that read the same in every process; other objects' text may hold an address."""
    return [repr(v) for v in values if isinstance(v, int | float | str)]


def _content(cell) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _bones(code: CodeType) -> list:
    """What code does, without where it stands (and a set's members in one order)."""
    constants = [_bones(c) if isinstance(c, CodeType) else c for c in code.co_consts]
    constants = [sorted(c, key=repr) if isinstance(c, frozenset) else c for c in constants]
    return [code.co_code.hex(), code.co_names, constants]


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        x = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {x.dtype} {tuple(x.shape)}".encode())
        digest.update(x.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, Tensor], dict]:
    data = path.read_bytes()  # not mapped: on Windows a mapped file could not be replaced
    tensors = safetensors.torch.load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
    if header.get("format") != FORMAT:
        raise CheckpointRefused(f"{path} is no checkpoint of this course: give another path.")
    if header["sha256"] != _digest(tensors, header["meta"]):
        raise ValueError("its content does not match its hash")
    return tensors, json.loads(header["meta"])


def _differences(old: dict, new: dict, under: str = "") -> list[str]:
    """One clause for each setting that is not the same; ``under``: what they are parts of."""
    clauses = []
    for key in sorted({*old, *new}):
        was, now = old.get(key), new.get(key)
        if was == now:
            continue
        if isinstance(was, dict) and isinstance(now, dict):
            clauses += [f"{key}: {clause}" for clause in _differences(was, now, key)[:3]]
        elif under in CHANGED:
            clauses.append(f"{key}'s has changed")
        else:
            clauses.append(CHANGED.get(key, f"{key} was {was} and is now {now}"))
    return clauses
