"""Handwritten digits, 8×8, from scikit-learn: 1,797 by 13 writers (Alpaydin & Kaynak 1998)."""

import importlib.metadata
import warnings
from pathlib import Path

import torch

from genart_lessons.data import cache
from genart_lessons.data.files import package_file, sha256
from genart_lessons.data.pictures import Digits, check_split

# Of the pixels 0 … 16 and then the labels, as bytes: what every bar of the course was measured on.
PIXELS_SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
TEST_SIZE = 297


def sources() -> list[Path]:
    """The file that the digits come from. Raises DataMissing."""
    return [package_file("sklearn", "datasets/data/digits.csv.gz", "scikit-learn>=1.5")]


def raw() -> tuple[torch.Tensor, dict]:
    """Pixels (1797, 1, 8, 8) uint8 in 0 … 16, with ``labels`` and the ``train``/``test`` order."""
    version = importlib.metadata.version("scikit-learn").encode()
    key = sha256(*sources(), Path(__file__), version)
    return cache.remembered("digits", key, _load)


def digits(split: str = "train") -> Digits:
    """Digits 0 … 9. ``x`` (N, 1, 8, 8) float32 in [0, 1] (pixels / 16), ``y`` (N,) int64.

    ``"train"`` has 1,500 and ``"test"`` 297 pictures, in the very order of scikit-learn's
    ``train_test_split(…, test_size=297, random_state=0)``; ``"all"`` is its ``load_digits`` order.
    Raises ValueError for another split, DataMissing where scikit-learn is incomplete.
    """
    check_split(split)
    pixels, known = raw()
    if fingerprint(pixels, known) != PIXELS_SHA256:
        warnings.warn(
            "scikit-learn's digits are not the ones that the course was made with: "
            "its results will differ from those printed.",
            stacklevel=2,
        )
    x, y = pixels.float() / 16, torch.tensor(known["labels"])
    if split == "all":
        return Digits(x, y, split)
    order = torch.tensor(known[split])
    return Digits(x[order], y[order], split)


def fingerprint(pixels: torch.Tensor, known: dict) -> str:
    """The SHA-256 of the pixels and then the labels, one byte each."""
    return sha256(pixels.numpy().tobytes(), bytes(known["labels"]))


def _load() -> tuple[torch.Tensor, dict]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)  # (1797, 64) float64 holding 0 … 16
    train, test = train_test_split(range(len(pixels)), test_size=TEST_SIZE, random_state=0)
    known = {"labels": labels.tolist(), "train": train, "test": test}
    return torch.from_numpy(pixels.reshape(-1, 1, 8, 8).astype("uint8")), known
