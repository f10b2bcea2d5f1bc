"""The plain example that ``bench`` measures our digit VAE against."""

import time
from collections.abc import Callable

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
