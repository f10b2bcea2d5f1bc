"""What the tests of the equations share: an equation's own random points, and its answer there."""

import numpy as np
import torch

from genart_lessons.equations import find
from genart_lessons.proof.evidence import drawn


def tensors(id: str, count: int = 50) -> dict[str, torch.Tensor]:
    """``count`` points of the equation, its worked example first; by the names of its arguments."""
    evidence = find(id).evidence
    return drawn(evidence.draw, count, evidence.example)


def arrays(id: str, count: int = 50) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in tensors(id, count).items()}


def reference(id: str, count: int = 50) -> np.ndarray:
    return find(id).reference(**tensors(id, count)).numpy()
