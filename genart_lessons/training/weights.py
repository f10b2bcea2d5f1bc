"""Trained weights, each with a card that says how they came to be.

``data/weights/NAME.safetensors`` holds the tensors, ``data/weights/NAME.json`` the card.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from genart_lessons import runtime
from genart_lessons.training.run import History

CARD = ("command", "commit", "seed", "data", "minutes", "device", "results")


class WeightsError(RuntimeError):
    """Weights that are missing, damaged, or of another model. The message says what to do."""


class WeightsCard(dict):
    """The card as a dictionary that shows itself as a small table."""

    def _repr_html_(self) -> str:
        left = 'style="text-align:left"'  # JupyterLab's own tables stand on the right
        rows = "".join(
            f"<tr><th {left}>{html.escape(str(key))}</th>"
            f"<td {left}>{html.escape(_plain(value))}</td></tr>"
            for key, value in self.items()
        )
        return f"<table>{rows}</table>"

    def __str__(self) -> str:
        return "\n".join(f"{key:>10}  {_plain(value)}" for key, value in self.items())


def new_card(
    history: History, *, command: str, seed: int, data: str, results: Mapping[str, float]
) -> dict:
    """A card for ``save_weights``; the commit, the minutes and the device are filled in."""
    machine = runtime.describe()
    return {
        "command": command,
        "commit": _commit(),
        "seed": seed,
        "data": data,
        "steps": history.steps,
        "minutes": round(history.seconds / 60, 2),
        "device": f"{machine['device']} ({machine['device_name']}), torch {machine['torch']}",
        "results": dict(results),
    }


def save_weights(
    model: nn.Module | Mapping[str, Tensor],
    name_or_path: str | os.PathLike,
    card: Mapping,
    *,
    half: bool = False,
) -> Path:
    """Write a model's weights (or a state dict) and their card; return the weights' path.

    ``half`` stores float32 as float16, in half the space. Under torchrun the first process writes.
    Raises ValueError for a card without one of CARD, or weights that float16 cannot hold.
    """
    if lacking := [key for key in CARD if key not in card]:
        raise ValueError(f"the card lacks {', '.join(lacking)}; see training.new_card.")
    path = _path(name_or_path)
    state = model.state_dict() if isinstance(model, nn.Module) else model
    tensors = {name: _stored(name, x, half) for name, x in state.items()}
    if os.environ.get("RANK", "0") == "0":
        data = safetensors.torch.save(tensors)
        facts = {
            "parameters": sum(x.numel() for x in tensors.values()),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        runtime.atomic_write(path, data)
        text = json.dumps({**card, **facts}, indent=2, ensure_ascii=False)
        runtime.atomic_write(path.with_suffix(".json"), text + "\n")
    return path


def load_weights(model: nn.Module, name_or_path: str | os.PathLike) -> nn.Module:
    """Load weights into ``model`` (float16 becomes the model's type); return it, in eval mode.

    Raises WeightsError when the files are missing, do not have the card's sha256, or are of a
    model with other tensors; the model is then as it was.
    """
    path = _path(name_or_path)
    card = weights_card(path)
    if not path.exists():
        raise _missing(path, path.name)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != card.get("sha256"):
        raise WeightsError(
            f"{path} is damaged or not the file that its card describes (the sha256 differs): "
            f"restore both files from git, or make them again: {_command(path)}"
        )
    try:
        tensors = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path} is no safetensors file: {error}.") from error
    ours = {name: tuple(x.shape) for name, x in model.state_dict().items()}
    theirs = {name: tuple(x.shape) for name, x in tensors.items()}
    if wrong := [k for k in sorted({*ours, *theirs}) if ours.get(k) != theirs.get(k)]:
        said = "; ".join(f"{k}: {_has(ours, k)} in the model, {_has(theirs, k)} in the file"
                         for k in wrong[:3])  # fmt: skip
        raise WeightsError(
            f"{path.name} is of another model than this {type(model).__name__}: {said}"
            + (f"; and {len(wrong) - 3} more." if len(wrong) > 3 else ".")
        )
    model.load_state_dict(tensors)
    return model.eval()


def weights_card(name_or_path: str | os.PathLike) -> WeightsCard:
    """The card of some weights. Raises WeightsError when it is missing or damaged."""
    path = _path(name_or_path).with_suffix(".json")
    try:
        return WeightsCard(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise _missing(path, path.name) from None
    except ValueError as error:
        raise WeightsError(
            f"the card {path} is damaged ({error}): restore it from git, or {_command(path)}"
        ) from error


def available() -> list[str]:
    """The names of all weights that the course has here."""
    folder = runtime.repo_root() / "data" / "weights"
    return sorted(p.stem for p in folder.glob("*.safetensors") if p.with_suffix(".json").exists())


def _path(name_or_path: str | os.PathLike) -> Path:
    """A bare name means data/weights/NAME.safetensors."""
    if isinstance(name_or_path, str) and re.fullmatch(r"[A-Za-z0-9_-]+", name_or_path):
        return runtime.repo_root() / "data" / "weights" / f"{name_or_path}.safetensors"
    path = Path(name_or_path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: give a plain name, or a path that ends in .safetensors.")
    return path


def _stored(name: str, x: Tensor, half: bool) -> Tensor:
    x = x.detach().cpu().clone().contiguous()
    x = x.half() if half and x.dtype == torch.float32 else x
    if not bool(torch.isfinite(x).all()):
        raise ValueError(f"{name} holds numbers that are not finite{' in float16' * half}.")
    return x


def _command(path: Path) -> str:
    return f"python3 -m genart_lessons train {path.stem}"


def _missing(path: Path, what: str) -> WeightsError:
    there = sorted(p.stem for p in path.parent.glob("*.safetensors")) or ["none yet"]
    return WeightsError(
        f"{what} is not in {path.parent} (there: {', '.join(there)}). Make it: {_command(path)}"
    )


def _has(shapes: Mapping[str, tuple], name: str) -> str:
    return str(shapes[name]) if name in shapes else "absent"


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(x)}" for key, x in value.items())
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _commit() -> str:
    """The checkout's commit, with + when files have been changed since."""
    command = ["git", "-C", str(runtime.repo_root()), "describe", "--always", "--dirty=+"]
    try:
        return subprocess.run(
            [*command, "--abbrev=12", "--exclude=*"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
