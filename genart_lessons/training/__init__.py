"""Training: the one loop, the batches it takes, and the weights that the course ships.

``fit`` trains any model on any ``Batches``; ``save_weights`` and ``load_weights`` keep the result,
with a card that says where it comes from.
"""

from genart_lessons.training.batches import Batches
from genart_lessons.training.checkpoint import CheckpointRefused
from genart_lessons.training.loop import fit, lr_factor
from genart_lessons.training.run import History, NotFinite
from genart_lessons.training.weights import (
    WeightsError,
    available,
    load_weights,
    new_card,
    save_weights,
    weights_card,
)
from genart_lessons.training.windows import Windows

__all__ = [
    "Batches",
    "CheckpointRefused",
    "History",
    "NotFinite",
    "WeightsError",
    "Windows",
    "available",
    "fit",
    "load_weights",
    "lr_factor",
    "new_card",
    "save_weights",
    "weights_card",
]
