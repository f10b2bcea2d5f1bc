"""Windows of a long text: step number in, batch out, as with ``Batches``."""

from __future__ import annotations

import torch
from torch import Tensor

from genart_lessons.training.batches import _mix, equal_slice
from genart_lessons.training.checkpoint import data_print


class Windows:
    """A stream of symbols, dealt out in windows that are a pure function of the seed and the step.

    An epoch cuts the stream into windows that lie side by side, from an offset that differs from
    epoch to epoch, and deals them out in a random order: so every symbol is a target equally often
    (but for fewer than 2·context at the two ends), and sooner or later at every place in a window.

    Args:
        stream: ``(N,)``, whole numbers, for example ``data.tunes().stream()``.
        context: T, the length of a window; at most N − 1, because targets lie one further on.
        batch_size: B, at most the number of windows in an epoch.
        seed: any whole number.

    A batch is ``{"ids": (B, T), "targets": (B, T)}``: the target of a place is the symbol after it.
    Raises ValueError for a stream of another shape or kind and for sizes that do not go together.
    """

    def __init__(self, stream: Tensor, context: int, batch_size: int, *, seed: int = 0):
        if not isinstance(stream, Tensor) or stream.ndim != 1 or stream.is_floating_point():
            shown = tuple(stream.shape) if isinstance(stream, Tensor) else type(stream).__name__
            raise ValueError(
                f"stream must be (N,) whole numbers, as of data.encode; it is {shown}."
            )
        if not 1 <= context < len(stream):
            raise ValueError(
                f"context={context}: it must be 1 to {len(stream) - 1}, one less than the stream."
            )
        self.stream, self.context = stream.detach().cpu().long(), context
        self.batch_size, self.seed = batch_size, seed
        self.n = max(1, len(stream) // context - 1)  # windows of an epoch, at whatever offset
        if not 1 <= batch_size <= self.n:
            raise ValueError(
                f"batch_size={batch_size}: it must be 1 to {self.n}, the windows of an epoch."
            )
        if not isinstance(seed, int):
            raise ValueError(f"seed={seed!r} must be a whole number.")
        self._generator = torch.Generator()
        self._starts: dict[int, Tensor] = {}

    def at(self, step: int, part: int = 0, parts: int = 1) -> dict[str, Tensor]:
        """The batch of a step; or part ``part`` of ``parts`` equal slices of it.

        Raises ValueError when B cannot be cut into so many equal slices.
        """
        starts = self._of_step(step)[equal_slice(self.batch_size, part, parts)]
        window = self.stream[starts[:, None] + torch.arange(self.context + 1)]  # (B, T + 1)
        return {"ids": window[:, :-1].contiguous(), "targets": window[:, 1:].contiguous()}

    @property
    def settings(self) -> dict[str, object]:
        """What a resumed run must have in common with the first."""
        return {
            "batch_size": self.batch_size,
            "seed": self.seed,
            "context": self.context,
            "data": data_print({"stream": self.stream}),
        }

    def _of_step(self, step: int) -> Tensor:
        """Where the windows of a step start: B places in the endless row of epochs."""
        epoch, first = divmod(step * self.batch_size, self.n)
        last = first + self.batch_size
        if last <= self.n:
            return self._epoch(epoch)[first:last]
        return torch.cat([self._epoch(epoch)[first:], self._epoch(epoch + 1)[: last - self.n]])

    def _epoch(self, epoch: int) -> Tensor:
        """Where the windows of an epoch start, (n,), in the order in which they are dealt out."""
        if epoch not in self._starts:
            chance = self._generator.manual_seed(_mix(_mix(2 * self.seed) + epoch))
            room = min(self.context, len(self.stream) - self.n * self.context)
            offset = int(torch.randint(room, (), generator=chance))
            starts = offset + self.context * torch.randperm(self.n, generator=chance)
            self._starts = {e: s for e, s in self._starts.items() if e == epoch - 1}
            self._starts[epoch] = starts
        return self._starts[epoch]
