"""A small U-Net: the network that the diffusion models of pictures are made of.

Ronneberger, Fischer and Brox 2015, as Ho, Jain and Abbeel 2020 took it up: down to a small picture
and back, with a bridge at every size. Built to be fast on a processor with two cores: squares of
pixels are folded into channels at the door, so that no layer works at the full size; one residual
block a size on the way down and one on the way up; attention at the smallest size alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class UNet(nn.Module):
    """net(x, t, y): pictures (B, C, S, S), times (B,), classes (B,) or None → like x.

    channels: C. width: channels of the first size inside. classes: K, 0 for none; y is 0 … K − 1,
    or −1 for no class, which is one more class to the network. size: S. growth: how many times
    ``width`` each size has; each is half as large as the one before. patch: squares of patch×patch
    pixels become channels first, so that the first size inside is S/patch. dropout: the share of
    the features that every block hides from its second convolution in training.

    The times are told as they are, numbers from 1 to about 1,000; another T needs no change, as the
    slowest of the waves that they become is 10,000 steps long (Vaswani et al. 2017, section 3.5).
    Raises ValueError for sizes that cannot be halved so often, and for pictures that do not fit.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = 64,
        classes: int = 0,
        size: int = 32,
        *,
        growth: Sequence[float] = (1, 1.5, 2),
        patch: int = 2,
        dropout: float = 0.0,
    ):
        super().__init__()
        smallest = patch * 2 ** (len(growth) - 1)
        if min(channels, width, patch) < 1 or classes < 0 or size % smallest or size < smallest:
            raise ValueError(
                f"channels={channels}, width={width} and patch={patch} are 1 or more, classes="
                f"{classes} is 0 or more, and size={size} must be a multiple of {smallest}: patch "
                "times 2 for every size but the first."
            )
        widths = [_in_eights(width * factor) for factor in growth]
        inner, told = channels * patch**2, 2 * widths[0]
        self.shape, self.classes, self.patch = (channels, size, size), classes, patch
        self.time = Time(widths[0], told)
        self.told = nn.Embedding(classes + 1, told) if classes else None
        self.enter = nn.Conv2d(inner, widths[0], 3, padding=1)
        before = [widths[0], *widths[:-1]]
        self.down = nn.ModuleList(
            Block(a, b, told, dropout) for a, b in zip(before, widths, strict=True)
        )
        self.attention = Attention(widths[-1])
        self.middle = Block(widths[-1], widths[-1], told, dropout)
        after = [*widths[1:], widths[-1]]  # what comes up from below, at each size
        self.up = nn.ModuleList(
            Block(a + b, b, told, dropout) for a, b in zip(after, widths, strict=True)
        )
        self.leave = nn.Sequential(_norm(widths[0]), nn.SiLU(), _zero(_conv(widths[0], inner)))
        self.to(memory_format=torch.channels_last)  # faster convolutions on processors

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        if tuple(x.shape[1:]) != self.shape or len(t) != len(x):
            raise ValueError(
                f"this U-Net takes pictures (B, {', '.join(map(str, self.shape))}) and times (B,); "
                f"these are {tuple(x.shape)} and {tuple(t.shape)}."
            )
        told = F.silu(self.time(t) + self._class(y, x))
        h = F.pixel_unshuffle(x, self.patch).contiguous(memory_format=torch.channels_last)
        h = self.enter(h)
        bridges = []
        for i, block in enumerate(self.down):
            h = block(F.avg_pool2d(h, 2) if i else h, told)
            bridges.append(h)
        h = self.middle(self.attention(h), told)
        for i in reversed(range(len(self.up))):
            h = self.up[i](torch.cat([h, bridges[i]], dim=1), told)
            h = F.interpolate(h, scale_factor=2.0) if i else h
        return F.pixel_shuffle(self.leave(h), self.patch)

    def _class(self, y: Tensor | None, x: Tensor) -> Tensor | float:
        """The class's vector (B, told); the last one of the table is that of no class."""
        if self.told is None:
            return 0.0
        if y is None:
            y = torch.full((len(x),), -1, device=x.device)
        return self.told(y.masked_fill(y < 0, self.classes))


class Time(nn.Module):
    """Times (B,) to vectors (B, out): sines and cosines of ``waves`` speeds, and two layers."""

    def __init__(self, waves: int, out: int):
        super().__init__()
        speeds = torch.exp(-math.log(10_000) * torch.arange(waves // 2) / (waves // 2))
        self.register_buffer("speeds", speeds, persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(2 * (waves // 2), out), nn.SiLU(), nn.Linear(out, out)
        )

    def forward(self, t: Tensor) -> Tensor:
        angle = t[:, None].to(self.speeds.dtype) * self.speeds  # type: ignore[union-attr,operator]
        return self.layers(torch.cat([angle.sin(), angle.cos()], dim=1))


class Block(nn.Module):
    """Two convolutions 3×3 beside a short cut; ``told`` (B, told) scales and shifts in between.

    x (B, a, H, W) → (B, b, H, W). Group normalisation before each convolution; the second one's
    scale and shift come from time and class (Perez et al. 2018; Dhariwal and Nichol 2021, section
    3). Its weights begin at 0: at first the block is its short cut.
    """

    def __init__(self, a: int, b: int, told: int, dropout: float = 0.0):
        super().__init__()
        self.first = nn.Sequential(_norm(a), nn.SiLU(), _conv(a, b))
        self.norm, self.told = _norm(b, affine=False), nn.Linear(told, 2 * b)
        self.second = nn.Sequential(nn.SiLU(), nn.Dropout(dropout), _zero(_conv(b, b)))
        self.short = nn.Conv2d(a, b, 1) if a != b else nn.Identity()

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        scale, shift = self.told(told)[:, :, None, None].chunk(2, dim=1)
        h = torch.addcmul(shift, self.norm(self.first(x)), 1 + scale)
        return self.short(x) + self.second(h)


class Attention(nn.Module):
    """Every place of x (B, C, H, W) looks at every other one, beside a short cut; like x.

    Vaswani et al. 2017, with heads of 32 numbers or fewer; chapter 06 takes it apart.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.heads = max(n for n in range(1, channels // 32 + 2) if channels % n == 0)
        self.norm = _norm(channels)
        self.ask = nn.Conv2d(channels, 3 * channels, 1)
        self.tell = _zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        parts = self.ask(self.norm(x)).flatten(2).view(b, 3, self.heads, -1, height * width)
        query, key, value = parts.transpose(3, 4).unbind(1)  # each (B, heads, H·W, C/heads)
        found = F.scaled_dot_product_attention(query, key, value)
        return x + self.tell(found.transpose(2, 3).reshape(b, c, height, width))


def _in_eights(width: float) -> int:
    """The next multiple of 8, which is what the groups, and processors, want."""
    return 8 * math.ceil(width / 8)


def _norm(channels: int, affine: bool = True) -> nn.GroupNorm:
    """Groups of 8 channels: all widths here come in eights."""
    return nn.GroupNorm(channels // 8, channels, affine=affine)


def _conv(a: int, b: int) -> nn.Conv2d:
    return nn.Conv2d(a, b, 3, padding=1)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    """A layer that says nothing until it has learnt something."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
