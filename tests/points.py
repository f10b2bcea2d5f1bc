"""What the tests of the equations share: an equation's own random points, its answer there, and
what is asked of candidates that are right and of those that are wrong.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch

from genart_lessons.equations import find
from genart_lessons.proof import judge
from genart_lessons.proof.evidence import drawn


def approx(want, rel: float = 1e-9):
    return pytest.approx(want, rel=rel, abs=1e-10)


def tensors(id: str, count: int = 50) -> dict[str, torch.Tensor]:
    """``count`` points of the equation, its worked example first; by the names of its arguments."""
    evidence = find(id).evidence
    return drawn(evidence.draw, count, evidence.example)


def arrays(id: str, count: int = 50) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in tensors(id, count).items()}


def reference(id: str, count: int = 50) -> np.ndarray:
    return find(id).reference(**tensors(id, count)).numpy()


def accepted(id: str, candidates: Iterable[Any]) -> None:
    for candidate in candidates:
        verdict = judge(find(id), candidate)
        assert verdict.ok is True, (candidate, verdict)


def refused(id: str, candidates: Iterable[Any]) -> None:
    """Wrong, and not because they cannot be read."""
    for candidate in candidates:
        verdict = judge(find(id), candidate)
        assert verdict.ok is False, (candidate, verdict)
        assert "cannot be read" not in verdict.sentence, (candidate, verdict)
