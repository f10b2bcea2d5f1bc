"""How the recurrent network that ships is made, and settings that chapter 05 trains with;
``recipes.RECIPES`` lists the first.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from genart_lessons import data
from genart_lessons.models import sequences
from genart_lessons.training import recipes_text
from genart_lessons.training.run import History

# What ``training.fit`` is given, besides steps or seconds; found on a part of the training tunes.
RNN: dict = dict(
    optimizer=partial(torch.optim.Adam, betas=(0.9, 0.99)),
    lr=8e-3,
    schedule="cosine",
    warmup=20,
    clip_grad=1.0,
)
# The pixel model, 64 digits a batch: rate, steps, units and dropout were compared on every fifth of
# the training digits, kept aside. With twice the steps it does worse there: 1,500 digits are few.
PIXELS: dict = dict(steps=1500, lr=1.6e-2, schedule="cosine")
# Small batches of short windows: on a processor, many small steps teach more a minute.
RNN_TUNES_STEPS, RNN_TUNES_BATCH, RNN_TUNES_CONTEXT = 6_000, 16, 64


def rnn() -> sequences.RNN:
    """The shipped recurrent network before it has learnt anything: an LSTM of 256 units.

    An LSTM, because it is the one for which processors have a fast kernel.
    """
    return sequences.RNN(len(data.CHARACTERS), hidden=256, width=32, kind="lstm", dropout=0.1)


def train_rnn(steps: int, seed: int = 0) -> tuple[nn.Module, History]:
    """The recurrent network of chapter 05, on the training tunes."""
    sizes = RNN_TUNES_CONTEXT, RNN_TUNES_BATCH
    return recipes_text.on_tunes("rnn_tunes", rnn, *sizes, steps, seed, RNN)


def measure_rnn(model: nn.Module) -> dict[str, float]:
    """The figures of ``recipes_text.measure_gpt``, so that the two may be set side by side."""
    return recipes_text.measure_gpt(model)
