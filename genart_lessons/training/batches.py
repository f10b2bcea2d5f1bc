"""Batches: step number in, batch out, and nothing remembered in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from genart_lessons.training.checkpoint import code_print, data_print

Augment = Callable[[dict[str, Tensor], torch.Generator], dict[str, Tensor]]


class Batches:
    """Data in memory, dealt out in batches that are a pure function of the seed and the step.

    Whoever asks for step ``t`` gets the very same examples and the very same noise: after a resume,
    on another device, in one process or in several. The examples come from an endless row of
    shuffles of the data, one after the other, so none is left out and every batch is full.

    Args:
        tensors: name → ``(N, …)``, for example ``{"x": digits.x}``.
        batch_size: B, at most N.
        seed: any whole number.
        noise: name → shape; each batch then holds standard normal noise ``(B, *shape)`` of that
            name: ``noise={"eps": (20,)}`` for the reparameterised z of a VAE.
        uniform: name → shape; the same with numbers spread evenly over [0, 1): ``{"u": ()}`` for
            the time of a diffusion model, one number for each example.
        augment: ``augment(batch, generator) -> batch`` changes the batch or adds to it; it must
            draw from the generator alone, or the batches are no longer a function of the step.

    Raises ValueError for tensors that are empty, of unequal length or not finite, and for a batch
    that is larger than the data.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        batch_size: int,
        *,
        seed: int = 0,
        noise: Mapping[str, tuple[int, ...]] | None = None,
        uniform: Mapping[str, tuple[int, ...]] | None = None,
        augment: Augment | None = None,
    ):
        self.tensors = {name: _checked(name, x) for name, x in tensors.items()}
        self.noise = {name: tuple(shape) for name, shape in (noise or {}).items()}
        self.uniform = {name: tuple(shape) for name, shape in (uniform or {}).items()}
        self.batch_size, self.seed, self.augment = batch_size, seed, augment
        lengths = {name: len(x) for name, x in self.tensors.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"the tensors must be equally long, and there must be one: {lengths}.")
        self.n = next(iter(lengths.values()))
        if not 1 <= batch_size <= self.n:
            raise ValueError(f"batch_size={batch_size}: it must be 1 to {self.n}, the data's size.")
        if not isinstance(seed, int):
            raise ValueError(f"seed={seed!r} must be a whole number.")
        if both := set(self.noise) & set(self.tensors):
            raise ValueError(f"{sorted(both)} cannot be both data and noise.")
        if both := set(self.uniform) & (set(self.tensors) | set(self.noise)):
            raise ValueError(f"{sorted(both)} cannot be uniform and something else, too.")
        floats = [x.dtype for x in self.tensors.values() if x.is_floating_point()]
        self.noise_dtype = floats[0] if floats else torch.get_default_dtype()
        self._generator = torch.Generator()  # always the CPU's: other devices draw other numbers
        self._orders: dict[int, Tensor] = {}

    def at(self, step: int, part: int = 0, parts: int = 1) -> dict[str, Tensor]:
        """The batch of a step: name → ``(B, …)``; or part ``part`` of ``parts`` equal slices of it.

        Raises ValueError when B cannot be cut into so many equal slices.
        """
        mine = equal_slice(self.batch_size, part, parts)
        rows = self._rows(step)
        batch = {name: x.index_select(0, rows) for name, x in self.tensors.items()}
        generator = self._seeded(1, step)
        for name, shape in self.noise.items():
            full = (self.batch_size, *shape)
            batch[name] = torch.randn(full, generator=generator, dtype=self.noise_dtype)
        for name, shape in self.uniform.items():
            full = (self.batch_size, *shape)
            batch[name] = torch.rand(full, generator=generator, dtype=self.noise_dtype)
        if self.augment:
            batch = self.augment(batch, generator)
            if wrong := [name for name, x in batch.items() if len(x) != self.batch_size]:
                raise ValueError(f"augment changed the length of {wrong}; B is {self.batch_size}.")
        return batch if parts == 1 else {name: x[mine] for name, x in batch.items()}

    @property
    def settings(self) -> dict[str, object]:
        """What a resumed run must have in common with the first."""
        return {
            "batch_size": self.batch_size,
            "seed": self.seed,
            "noise": {name: list(shape) for name, shape in self.noise.items()},
            # Left out where there is none, as in the checkpoints of before there could be any.
            **({"uniform": {k: list(v) for k, v in self.uniform.items()}} if self.uniform else {}),
            "data": data_print(self.tensors),
            "augment": code_print(self.augment),
        }

    def _rows(self, step: int) -> Tensor:
        """Places step·B … step·B + B − 1 in the endless row of shuffles."""
        epoch, start = divmod(step * self.batch_size, self.n)
        end = start + self.batch_size
        if end <= self.n:
            return self._order(epoch)[start:end]
        return torch.cat([self._order(epoch)[start:], self._order(epoch + 1)[: end - self.n]])

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            order = torch.randperm(self.n, generator=self._seeded(0, epoch))
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1}
            self._orders[epoch] = order
        return self._orders[epoch]

    def _seeded(self, purpose: int, number: int) -> torch.Generator:
        return self._generator.manual_seed(_mix(_mix(2 * self.seed + purpose) + number))


def equal_slice(batch_size: int, part: int, parts: int) -> slice:
    """The rows of part ``part`` of ``parts`` of a batch. ValueError if they cannot be equal."""
    if batch_size % parts:
        raise ValueError(
            f"a batch of {batch_size} cannot be shared equally by {parts} processes: "
            f"choose a batch_size that is a multiple of {parts}."
        )
    size = batch_size // parts
    return slice(part * size, (part + 1) * size)


def _mix(x: int) -> int:
    """MurmurHash3's last step: a bijection of 32 bits, so no two steps of a run share a seed.

    32, because torch's CPU generator looks at no more of its seed.
    """
    x &= 0xFFFFFFFF
    x = (x ^ (x >> 16)) * 0x85EBCA6B & 0xFFFFFFFF
    x = (x ^ (x >> 13)) * 0xC2B2AE35 & 0xFFFFFFFF
    return x ^ (x >> 16)


def _checked(name: str, x: Tensor) -> Tensor:
    if not isinstance(x, Tensor):
        raise ValueError(f"{name!r} is a {type(x).__name__}: give a tensor (torch.as_tensor).")
    if x.ndim == 0 or len(x) == 0:
        raise ValueError(f"{name!r} of shape {tuple(x.shape)} holds no examples.")
    if not bool((bad := ~torch.isfinite(x)).any()):
        return x.detach().cpu().contiguous()
    where = tuple(bad.nonzero()[0].tolist())
    raise ValueError(f"{name!r} holds {int(bad.sum())} numbers that are not finite: see {where}.")
