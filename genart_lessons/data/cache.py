"""Pictures are drawn once and kept: a safetensors file that knows its own hash.

The file's name holds a key made of everything that the pictures depend on, so that another source
file, another Pillow or an edit to the drawing code leads to another file and never to stale
pictures. It can be deleted at any time.
"""

import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from genart_lessons import runtime
from genart_lessons.data.files import sha256

Kept = tuple[torch.Tensor, dict]  # uint8 pictures, and what is known about them (names, …) as JSON


def remembered(name: str, key: str, make: Callable[[], Kept]) -> Kept:
    """What ``make()`` returns: read from the cache where it is there and sound, else made and kept.

    A damaged file is named in a warning, thrown away and made again. A cache that cannot be
    written is a warning too, not an error. Two processes at once each write a whole file of the
    same content; the last one wins.
    """
    try:
        path = runtime.cache_dir() / f"{name}-{key[:16]}.safetensors"
        if path.exists():
            return _read(path)
    except runtime.SettingError as error:
        warnings.warn(f"nothing is cached: {error}", stacklevel=2)
        return make()
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        warnings.warn(f"{path} was damaged ({error}): it is drawn again.", stacklevel=2)
    pictures, known = make()
    try:
        runtime.atomic_write(path, _packed(pictures, known))
        _tidy(path, name)
    except OSError as error:
        warnings.warn(f"{path} cannot be kept ({error.strerror}).", stacklevel=2)
    return pictures, known


def _tidy(path: Path, name: str) -> None:
    """Drop what other versions drew, once nobody has drawn it for a month."""
    for other in path.parent.glob(f"{name}-*.safetensors"):
        if time.time() - other.stat().st_mtime > 30 * 24 * 3600:
            other.unlink(missing_ok=True)


def _packed(pictures: torch.Tensor, known: dict) -> bytes:
    text = json.dumps(known, ensure_ascii=False)
    metadata = {"known": text, "sha256": _seal(pictures, text)}
    return save({"pictures": pictures.contiguous()}, metadata)


def _read(path: Path) -> Kept:
    with safe_open(path, framework="pt") as file:
        pictures = file.get_tensor("pictures").clone()  # cut loose from the file on the disk
        metadata = file.metadata() or {}
    if metadata["sha256"] != _seal(pictures, metadata["known"]):
        raise ValueError("its contents do not fit its hash")
    return pictures, json.loads(metadata["known"])


def _seal(pictures: torch.Tensor, text: str) -> str:
    return sha256(pictures.contiguous().numpy().tobytes(), text.encode())
