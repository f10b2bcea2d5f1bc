"""The small GPT-2 that ``bench`` measures ours against: nanoGPT's design, its recipe for CPUs."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ExampleGPT(nn.Module):
    """GPT-2 as nanoGPT has it: no biases, exact GELU, learned positions, tied embeddings.

    ids (B, T) → logits (B, T, V), T at most ``context``. First weights from N(0, 0.02²), those of
    each last matrix from N(0, 0.02²/2L). No dropout, as in nanoGPT's settings for a CPU.
    """

    def __init__(
        self, V: int, context: int = 128, *, layers: int = 4, heads: int = 4, width: int = 128
    ):
        super().__init__()
        self.V, self.context = V, context
        self.embed, self.positions = nn.Embedding(V, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                last = name.endswith(("project.weight", "down.weight"))
                nn.init.normal_(weight, 0.0, 0.02 / math.sqrt(2 * layers) if last else 0.02)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.embed.weight)


class _Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = (nn.LayerNorm(width, bias=False) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm_1(x)).chunk(3, dim=-1)
        q, k, v = (y.unflatten(2, (self.heads, -1)).transpose(1, 2) for y in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(y.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


def example_optimizer(model: ExampleGPT, lr: float = 2e-3) -> torch.optim.AdamW:
    """AdamW with β = (0.9, 0.99); matrices decay by 0.1, gains do not."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    gains = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": gains, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.99))


def example_rate(step: int, total: float, lr: float = 2e-3, warmup: int = 100) -> float:
    """Rises for ``warmup`` steps, then a cosine down to a tenth at step ``total``."""
    if step < warmup:
        return lr * (step + 1) / (warmup + 1)
    u = min(1.0, (step - warmup) / max(1.0, total - warmup))
    return lr * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * u)))


def train_example_gpt(
    model: ExampleGPT,
    stream: Tensor,
    seconds: float,
    *,
    batch_size: int = 8,
    lr: float = 2e-3,
    warmup: int = 100,
    seed: int = 0,
) -> tuple[int, float]:
    """Train as nanoGPT does on a stream (N,), for so many seconds; returns steps and seconds.

    Windows from anywhere in the stream, ``batch_size`` at a time; float32; gradients cut off at
    norm 1. nanoGPT's schedule is in steps: here the number of all steps is foretold, at every one,
    from how long those so far have taken, so it ends when the time does.
    """
    optimizer = example_optimizer(model, lr)
    chance, T = torch.Generator().manual_seed(seed), model.context
    model.train()
    start, step, spent = time.perf_counter(), 0, 0.0
    while spent < seconds:
        total = step * seconds / spent if step else math.inf
        for group in optimizer.param_groups:
            group["lr"] = example_rate(step, total, lr, warmup)
        first = torch.randint(len(stream) - T, (batch_size, 1), generator=chance)
        window = stream[first + torch.arange(T + 1)]
        optimizer.zero_grad()
        logits = model(window[:, :-1])
        F.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, spent = step + 1, time.perf_counter() - start
    model.eval()
    return step, spent
