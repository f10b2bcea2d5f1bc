"""What a language model is worth on text that it has never seen: nats and bits per character.

A *language model* here is an ``nn.Module`` with ``model(ids (B, T)) -> logits (B, T, V)``, where
the logits of place t are those of symbol t + 1 given the symbols 0 … t; ``model.V``; and
``model.context``, the longest T that it takes (None: any). Every symbol of a stream is predicted
exactly once, whatever the model, so two models' figures may be set side by side, symbol by symbol.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Texts(Protocol):
    """What ``by_tune`` needs to know of ``data.Tunes``."""

    @property
    def texts(self) -> Sequence[str]: ...

    def stream(self) -> Tensor: ...


def window_start(n: int, context: int | None) -> int:
    """The first of n symbols that is still seen when the next one is predicted.

    All are seen up to ``context``. After that the window makes room for half a window at once:
    it starts at a multiple of h = context // 2, and holds from context − h + 1 to ``context``
    symbols. Moving by one at a time would show a little more, and a cache of what has been computed
    would be worthless after every step.
    """
    if context is None or n <= context:
        return 0
    half = max(1, context // 2)
    return half * -((context - n) // half)  # ⌈(n − context)/half⌉ halves


@torch.no_grad()
def nats(
    model: nn.Module, stream: Tensor, context: int | None = 128, *, batch_size: int = 64
) -> Tensor:
    """−log p(x_t | the symbols before it, at most ``context`` of them) for t = 1 … N − 1, (N − 1,).

    In nats, float32, on the processor: one for each symbol of ``stream`` (N,) but the first, which
    nothing comes before. The windows are those of ``window_start``: the first scores all that it
    holds, each later one its last half, so nobody is judged twice, nor on less than half a window
    (but for the first few). ``context=None`` shows everything that comes before, by the model's own
    ``advance``: for models without a limit.

    Raises ValueError for a stream that is not (N,) with N ≥ 2, for a symbol that the model does not
    know, and for a context longer than the model's.
    """
    _check(model, stream, context)
    inputs, targets, n = stream[:-1], stream[1:], len(stream) - 1
    with evaluating(model) as device:
        if context is None:
            return _along(model, inputs, targets, device)
        half = max(1, context // 2)
        starts = range(0, max(1, n - context + half), half)
        found = torch.full((n,), math.nan)
        for some in _batches(starts, batch_size, n - context):
            places = torch.tensor(some)[:, None] + torch.arange(min(context, n - some[0]))
            each = _cross_entropy(model(inputs[places].to(device)), targets[places])
            for start, row in zip(some, each, strict=True):
                new = context - half if start else 0  # before it: judged by an earlier window
                found[start + new : start + len(row)] = row[new:]
    return found


def bits_per_character(model: nn.Module, stream: Tensor, context: int | None = 128) -> float:
    """The mean of ``nats`` over a stream (N,), divided by ln 2. Raises ValueError as ``nats``."""
    return float(nats(model, stream, context).double().mean()) / math.log(2)


def by_tune(model: nn.Module, tunes: Texts, context: int | None = 128) -> Tensor:
    """Nats and number of symbols of every tune, (number of tunes, 2), float64.

    The tunes are read one after the other, as in ``tunes.stream()``, so the sums of both columns
    are those of ``nats``; the first tune is one symbol short. Tunes, unlike the symbols in one,
    are nearly independent of one another: ``mean_bits`` takes its standard error over them.
    """
    each = nats(model, tunes.stream(), context).double()
    lengths = [len(text) for text in tunes.texts]
    lengths[0] -= 1
    sums = [part.sum() for part in each.split(lengths)]
    return torch.stack([torch.stack(sums), torch.tensor(lengths, dtype=torch.float64)], dim=1)


def mean_bits(found: Tensor, other: Tensor | None = None) -> tuple[float, float]:
    """Bits per character and its standard error over tunes, from what ``by_tune`` gives, (n, 2).

    With ``other``, the same of another model: the difference found − other, and the standard error
    of the *paired* difference, in which what makes a tune hard for both of them drops out. Both are
    ratios of sums, Σ nats / Σ characters; their errors are the usual ones of a ratio: with r the
    ratio, m the mean length and n tunes, that of the mean of (nats − r·characters)/m over tunes.
    Cochran 1977, Sampling Techniques, section 2.11.
    """
    value, count = found[:, 0], found[:, 1]
    if other is not None:
        if not torch.equal(other[:, 1], count):
            raise ValueError("the two figures are not of the same tunes.")
        value = value - other[:, 0]
    if len(found) < 2:
        raise ValueError("a standard error needs two tunes or more.")
    ratio = value.sum() / count.sum()
    apart = (value - ratio * count) / count.mean()
    error = apart.std() / len(found) ** 0.5
    return float(ratio) / math.log(2), float(error) / math.log(2)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[torch.device]:
    """While inside, all of the model is in eval mode (no dropout); gives the device that it is on.

    Afterwards every part is in the mode that it was in.
    """
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield next((p.device for p in model.parameters()), torch.device("cpu"))
    finally:
        for module in training:
            module.training = True


def _batches(starts: range, size: int, full: int) -> Iterator[list[int]]:
    """The windows that are full, ``size`` at a time, and then the last one, if it is not."""
    whole = [start for start in starts if start <= full]
    yield from (whole[i : i + size] for i in range(0, len(whole), size))
    yield from ([start] for start in starts if start > full)


def _along(
    model: nn.Module, inputs: Tensor, targets: Tensor, device: torch.device, chunk: int = 512
) -> Tensor:
    """Everything in one go, a chunk after the other, with what the model remembers of them."""
    found, state = [], None
    for ids, wanted in zip(inputs.split(chunk), targets.split(chunk), strict=True):
        logits, state = model.advance(ids[None].to(device), state)
        found.append(_cross_entropy(logits, wanted[None])[0])
    return torch.cat(found)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """−log softmax(logits)[target], (B, T), from logits (B, T, V)."""
    wanted = targets.to(logits.device)
    return F.cross_entropy(logits.float().mT, wanted, reduction="none").cpu()


def _check(model: nn.Module, stream: Tensor, context: int | None) -> None:
    if stream.ndim != 1 or len(stream) < 2:
        raise ValueError(f"a stream is (N,) with N of 2 or more; this is {tuple(stream.shape)}.")
    low, high = int(stream.min()), int(stream.max())
    if low < 0 or high >= model.V:
        raise ValueError(
            f"the stream has symbols from {low} to {high}, and the model knows 0 to {model.V - 1}."
        )
    if context is not None and context < 1:
        raise ValueError(f"context={context}: it must be 1 or more, or None.")
    limit = model.context
    if limit is not None and (context is None or context > limit):
        raise ValueError(f"context={context}, but the model sees no more than {limit} symbols.")
