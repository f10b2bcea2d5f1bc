"""The plain examples that ``bench`` measures our models against."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons.models.vae import VAE, reparameterise


class ExampleVAE(VAE):
    """The VAE of PyTorch's own examples, with its 784-400-20 scaled to digits: 64-400-20.

    One ReLU layer each way, Bernoulli pixels. The example's two heads for μ and log σ² are one
    layer here, with the same initial distribution and the same numbers out.
    """

    def __init__(self, hidden: int = 400, latent: int = 20):
        encoder = [nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent)]
        decoder = [nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, 64)]
        unflatten = nn.Unflatten(1, (1, 8, 8))
        super().__init__(
            (1, 8, 8), latent, nn.Sequential(*encoder), nn.Sequential(*decoder, unflatten)
        )


def example_loss(logits: Tensor, x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """Cross-entropy plus divergence, summed over the whole batch as the example does."""
    bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
    return bce + kld


def train_example(
    model: ExampleVAE,
    x: Tensor,
    seconds: float,
    after_epoch: Callable[[int, float], None] = lambda epoch, seconds: None,
    *,
    batch_size: int = 128,
    lr: float = 1e-3,
    seed: int = 0,
) -> int:
    """Train as the example does: Adam 1e-3, batches of 128, no schedule. Returns the epochs done.

    ``after_epoch(epoch, seconds)`` is called in eval mode; what it takes is not counted. The
    pictures are cut into batches in memory, which is faster than the example's DataLoader.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(seed)
    trained, epoch = 0.0, 0
    while trained < seconds:
        start = time.perf_counter()
        model.train()
        for rows in torch.randperm(len(x), generator=generator).split(batch_size):
            part = x[rows]
            mu, log_var = model.encode(part)
            z = reparameterise(mu, log_var, torch.randn(mu.shape, generator=generator))
            optimizer.zero_grad()
            example_loss(model.decode(z), part, mu, log_var).backward()
            optimizer.step()
        trained, epoch = trained + time.perf_counter() - start, epoch + 1
        model.eval()
        after_epoch(epoch, trained)
    return epoch


class ExampleDCGAN(nn.Module):
    """The DCGAN of PyTorch's own examples for 32×32 pictures: one block fewer than for 64×64.

    ``generator``: codes (B, latent, 1, 1) → pictures (B, channels, 32, 32) in [−1, 1], transposed
    4×4 convolutions with batch norm and ReLU, and a tanh. ``discriminator``: pictures → logits
    (B,), 4×4 convolutions with batch norm and LeakyReLU 0.2. No biases; widths ``width`` times
    4, 2, 1 and 1, 2, 4. Weights from N(0, 0.02²), those of batch norm from N(1, 0.02²). The
    example's sigmoid is part of the loss here: the same numbers. Radford, Metz and Chintala 2016.
    """

    def __init__(self, width: int = 64, latent: int = 100, channels: int = 1):
        super().__init__()
        self.latent, self.width = latent, width
        up: list[nn.Module] = [nn.ConvTranspose2d(latent, 4 * width, 4, bias=False)]
        for a, b in ((4, 2), (2, 1)):
            up += [nn.BatchNorm2d(a * width), nn.ReLU(inplace=True)]
            up += [nn.ConvTranspose2d(a * width, b * width, 4, 2, 1, bias=False)]
        up += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        up += [nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh()]
        down: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1, bias=False)]
        for a, b in ((1, 2), (2, 4)):
            down += [nn.LeakyReLU(0.2, inplace=True)]
            down += [nn.Conv2d(a * width, b * width, 4, 2, 1, bias=False)]
            down += [nn.BatchNorm2d(b * width)]
        down += [nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(4 * width, 1, 4, bias=False)]
        self.generator = nn.Sequential(*up)
        self.discriminator = nn.Sequential(*down, nn.Flatten(0))
        self.apply(_example_start)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Pictures (n, channels, 32, 32) in [0, 1], from 64 standard normal codes at a time.

        In train mode each 64 are normalised by themselves, as the example draws its own pictures;
        in eval mode by the running averages. Here neither changes those averages.
        """
        kept = {name: x.clone() for name, x in self.generator.named_buffers()}
        z = torch.randn(n, self.latent, 1, 1, generator=generator)
        x = torch.cat([self.generator(part) for part in z.split(64)])
        for name, buffer in self.generator.named_buffers():
            buffer.copy_(kept[name])
        return (x + 1) / 2


def example_gan_turns(
    model: ExampleDCGAN,
    optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer],
    x: Tensor,
    z: Tensor,
) -> tuple[float, float]:
    """One step of the example, on pictures x in [−1, 1] and codes z: D, real then fake, then G.

    ``optimizers``: D's and G's. Returns the two losses, as the example prints them.
    """
    of_d, of_g = optimizers
    yes, no = torch.ones(len(x)), torch.zeros(len(x))
    bce = F.binary_cross_entropy_with_logits
    model.discriminator.zero_grad()
    real = bce(model.discriminator(x), yes)
    real.backward()
    made = model.generator(z)
    fake = bce(model.discriminator(made.detach()), no)
    fake.backward()
    of_d.step()
    model.generator.zero_grad()
    fooled = bce(model.discriminator(made), yes)
    fooled.backward()
    of_g.step()
    return real.item() + fake.item(), fooled.item()


def train_example_gan(
    model: ExampleDCGAN,
    x: Tensor,
    marks: Sequence[float],
    look: Callable[[float], None] = lambda seconds: None,
    *,
    batch_size: int = 64,
    lr: float = 2e-4,
    seed: int = 0,
) -> tuple[int, float]:
    """Train as the example does on pictures x (N, C, 32, 32) in [0, 1], up to the last mark.

    Batches of 64 from a new shuffle each epoch, the last one smaller; Adam 2e-4 with β₁ = 0.5 for
    both; float32; no averaging of weights. ``look(seconds)`` is called at the first step that ends
    at or after each of the ``marks`` (seconds, rising); what it takes is not counted. Cutting the
    batches in memory is faster than the example's DataLoader. Returns the number of training
    pictures consumed, and the seconds.
    """
    if not marks or list(marks) != sorted(marks):
        raise ValueError(f"marks={list(marks)} must rise, and there must be one.")
    optimizers = (
        torch.optim.Adam(model.discriminator.parameters(), lr=lr, betas=(0.5, 0.999)),
        torch.optim.Adam(model.generator.parameters(), lr=lr, betas=(0.5, 0.999)),
    )
    model.train()
    chance, left = torch.Generator().manual_seed(seed), list(marks)
    trained, images, x = 0.0, 0, 2 * x - 1
    while left:
        for rows in torch.randperm(len(x), generator=chance).split(batch_size):
            start = time.perf_counter()
            z = torch.randn(len(rows), model.latent, 1, 1, generator=chance)
            example_gan_turns(model, optimizers, x[rows], z)
            trained, images = trained + time.perf_counter() - start, images + len(rows)
            while left and trained >= left[0]:
                left.pop(0)
                look(trained)
            if not left:
                break
    return images, trained


def _example_start(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)
