"""The plain diffusion model that ``bench`` measures ours against: diffusers' own parts, as usual.

Nothing here is ours but the loops: the U-Net, the forward process and the solver are the library's.
``diffusers`` is imported in the functions, because it takes seconds.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EXAMPLE_WIDTHS = (32, 64)  # 651,041 and 2,594,369 numbers to learn


def example_unet(width: int = 32, size: int = 16) -> nn.Module:
    """diffusers' ``UNet2DModel`` for pictures (B, 1, size, size), width ``width`` and twice that.

    Two sizes, one residual block each on the way down and two on the way up, and attention in the
    middle, as the library puts it there; groups of an eighth of the width.
    """
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=size, in_channels=1, out_channels=1, layers_per_block=1, norm_num_groups=8,
        block_out_channels=(width, 2 * width),
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
    )  # fmt: skip


def example_step(
    net: nn.Module, scheduler: Any, optimizer: torch.optim.Optimizer, x: Tensor, chance: Any
) -> float:
    """One step on pictures x (B, 1, H, W) in [−1, 1]: the mean squared error of the noise.

    Noise and times, one a picture, come from the generator ``chance``. Ho et al. 2020, algorithm 1.
    """
    noise = torch.randn(x.shape, generator=chance)
    times = torch.randint(scheduler.config.num_train_timesteps, (len(x),), generator=chance)
    noisy = scheduler.add_noise(x, noise, times)
    optimizer.zero_grad()
    loss = F.mse_loss(net(noisy, times).sample, noise)
    loss.backward()
    optimizer.step()
    return loss.item()


def train_example_diffusion(
    net: nn.Module, x: Tensor, seconds: float, *, batch_size: int = 64, lr: float = 1e-3,
    seed: int = 0,
) -> tuple[int, float]:  # fmt: skip
    """Train on pictures x (N, 1, H, W) in [0, 1] for so many seconds; returns steps and seconds.

    ``DDPMScheduler`` as it comes: 1,000 steps, β from 0.0001 to 0.02 on a straight line, the noise
    predicted. Batches of 64 from a new shuffle each epoch; Adam 1e-3; float32; no average of the
    weights. Batches are cut in memory, which is faster than a DataLoader.
    """
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    chance, x = torch.Generator().manual_seed(seed), 2 * x - 1
    net.train()
    start, steps, spent = time.perf_counter(), 0, 0.0
    while spent < seconds:
        for rows in torch.randperm(len(x), generator=chance).split(batch_size):
            example_step(net, scheduler, optimizer, x[rows], chance)
            steps, spent = steps + 1, time.perf_counter() - start
            if spent >= seconds:
                break
    net.eval()
    return steps, spent


@torch.no_grad()
def sample_example(
    net: nn.Module, n: int, steps: int = 10, generator: torch.Generator | None = None,
    batch_size: int = 250,
) -> Tensor:  # fmt: skip
    """Pictures (n, 1, H, W) in [0, 1] by diffusers' DPM-Solver++(2M), ``steps`` evaluations each.

    ``DPMSolverMultistepScheduler`` as it comes, with the training's betas, which are its own.
    """
    from diffusers import DPMSolverMultistepScheduler

    config: Any = net.config
    shape = (config["in_channels"], config["sample_size"], config["sample_size"])
    x = torch.randn((n, *shape), generator=generator)
    parts = []
    for part in x.split(batch_size):
        scheduler: Any = DPMSolverMultistepScheduler(num_train_timesteps=1000)
        scheduler.set_timesteps(steps)
        for t in scheduler.timesteps:
            part = scheduler.step(net(part, t).sample, t, part).prev_sample
        parts.append(part)
    return ((torch.cat(parts) + 1) / 2).clamp(0, 1)
