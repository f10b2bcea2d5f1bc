"""The digit GAN that ``bench`` measures against PyTorch's example: small, and made to be fast."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from genart_lessons.models.gan import GAN

SLOPE = 0.2


class DigitGAN(GAN):
    """Digits (B, 1, 32, 32) in [0, 1] from codes of 32 numbers: dense, upsampling, convolution.

    Where DCGAN works at the full size, this works at a fraction of it. The generator stops at
    16×16 with ``widths`` 128, 64 and 32 channels at 4×4, 8×8 and 16×16, and its last convolution
    makes the 2×2 pixels of every place at once (Shi et al. 2016); the discriminator begins with
    4×4 pixels folded into 16 channels at 8×8, and is one convolution 3×3 to ``down[0]`` channels,
    one 4×4 with stride 2 to ``down[1]``, and two dense layers. It has no batch norm.
    """

    def __init__(
        self,
        latent: int = 32,
        widths: tuple[int, ...] = (128, 64, 32),
        down: tuple[int, int] = (64, 128),
        hidden: int = 128,
    ):
        super().__init__(_Up(latent, widths), _Down(down, hidden), latent)
        self.to(memory_format=torch.channels_last)  # faster convolutions on processors

    @torch.no_grad()
    def settle(self, batches: int = 20, seed: int = 0) -> DigitGAN:
        """Take batch norm's means and variances anew, from ``batches`` × 256 random codes.

        An averaged copy of the weights needs this: the statistics that it comes with are those of
        the weights that it was averaged from. Returns itself, in eval mode.
        """
        norms = [layer for layer in self.modules() if isinstance(layer, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
        chance = torch.Generator().manual_seed(seed)
        self.generator.train()
        for _ in range(batches):
            z = torch.randn(256, self.latent, generator=chance)
            self.make(z.to(next(self.parameters()).device))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        return self.eval()


class _Up(nn.Module):
    def __init__(self, latent: int, widths: tuple[int, ...]):
        super().__init__()
        self.dense = nn.Linear(latent, 16 * widths[0])
        layers: list[nn.Module] = [nn.Unflatten(1, (widths[0], 4, 4)), *_norm(widths[0])]
        for a, b in pairwise(widths):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(a, b, 3, padding=1), *_norm(b)]
        self.blocks = nn.Sequential(*layers)
        self.last = nn.Sequential(nn.Conv2d(widths[-1], 4, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, z: Tensor) -> Tensor:
        return self.last(self.blocks(self.dense(z))).float().sigmoid()


class _Down(nn.Module):
    def __init__(self, widths: tuple[int, int], hidden: int):
        super().__init__()
        first, last = widths
        layers: list[nn.Module] = [nn.Conv2d(16, first, 3, padding=1), nn.LeakyReLU(SLOPE)]
        layers += [nn.Conv2d(first, last, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        layers += [nn.Flatten(), nn.Linear(16 * last, hidden), nn.LeakyReLU(SLOPE)]
        self.fold = nn.PixelUnshuffle(4)
        self.blocks = nn.Sequential(*layers, nn.Linear(hidden, 1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.fold(2 * x - 1).contiguous(memory_format=torch.channels_last)
        return self.blocks(h).squeeze(1)


def _norm(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.LeakyReLU(SLOPE)]
