"""Digits as sequences of pixels: a model whose log-likelihood is exact, however large it is.

Black-and-white pictures x (B, 1, H, W) of zeros and ones are read like a page, row by row; the
chain rule makes log p(x) a sum over the pixels, each given the ones before it. No code, no bound.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons.models.likelihood import evaluating


class PixelModel(nn.Module):
    """p(x) = ∏ p(x_i | x_<i), pixels in reading order, each with a small network of its own.

    Pixel i has ``units`` units that see the pixels before i and nothing else, and its logit is a
    weighted sum of them (Bengio and Bengio 2000, one hidden layer). One table of weights with
    the later pixels struck out holds all D networks, so all the conditionals of a picture are
    computed at once. While training, a share of the pixels is hidden from the units (dropout).
    ``shape``: (1, H, W), D = H·W pixels.
    """

    def __init__(self, shape: tuple[int, ...] = (1, 8, 8), units: int = 16, dropout: float = 0.2):
        super().__init__()
        self.shape, self.D = tuple(shape), int(torch.Size(shape).numel())
        if min(self.D, units) < 1:
            raise ValueError(f"shape={shape} and units={units} must be 1 or more.")
        self.past = nn.Linear(self.D, self.D * units)
        earlier = torch.ones(self.D, self.D).tril(-1)  # row i: 1 for the pixels before i
        self.register_buffer("earlier", earlier.repeat_interleave(units, 0))
        self.hide = nn.Dropout(dropout)
        self.out = nn.Parameter(torch.randn(self.D, units) / units**0.5)
        self.bias = nn.Parameter(torch.zeros(self.D))

    def forward(self, x: Tensor) -> Tensor:
        """The logit of every pixel being 1, given those before it: like x, (B, 1, H, W)."""
        _check_binary(x, self.shape)
        weight = self.past.weight * self.earlier  # type: ignore[operator]
        h = F.silu(F.linear(self.hide(x.flatten(1)), weight, self.past.bias))
        logits = (h.unflatten(1, self.out.shape) * self.out).sum(2) + self.bias
        return logits.view(-1, *self.shape)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of whole pictures, (B,), in nats, exact: equation 5.23."""
        logits = self(x)
        return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None, keep: Tensor | None = None):
        """n pictures (n, 1, H, W) of zeros and ones, drawn pixel by pixel, in D passes.

        ``keep``: (K,), the first K pixels of every picture, which are not drawn but given.
        """
        device = self.bias.device
        x = torch.zeros(n, self.D, device=device, dtype=self.bias.dtype)
        given = 0 if keep is None else len(keep)
        if keep is not None:
            x[:, :given] = keep.to(x)
        chance = torch.rand(n, self.D, generator=generator).to(x)
        with evaluating(self):
            for i in range(given, self.D):
                p = self(x.view(-1, *self.shape)).flatten(1)[:, i].sigmoid()
                x[:, i] = (chance[:, i] < p).to(x.dtype)
        return x.view(-1, *self.shape)


def loss(model: PixelModel, batch: dict) -> Tensor:
    """−log p(x) in nats per picture, the mean over ``x`` (B, 1, H, W): for ``training.fit``."""
    return -model.log_prob(batch["x"]).mean()


def binarised(x: Tensor) -> Tensor:
    """Grey pictures in [0, 1] in black and white: 1 where a pixel is more than half ink."""
    return (x > 0.5).to(x.dtype)


def _check_binary(x: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(x.shape[1:]) != shape or len(x) == 0:
        raise ValueError(f"pictures must be (B, {', '.join(map(str, shape))}); these are "
                         f"{tuple(x.shape)}.")  # fmt: skip
    if not bool(((x == 0) | (x == 1)).all()):
        raise ValueError("pixels must be 0 or 1 here: see pixels.binarised.")
