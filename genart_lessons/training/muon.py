"""Muon: steps for matrices in which no direction is neglected (Jordan et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class Muon(torch.optim.Optimizer):
    """Matrices move by their momentum made orthogonal, everything else by Adam.

    A gradient's matrix is mostly a few strong directions. Its nearest orthogonal matrix U·Vᵀ
    (G = U·S·Vᵀ) has them all at the same strength, so the rare ones are learnt as fast. Jordan et
    al. 2024, "Muon: an optimizer for hidden layers in neural networks".

    Args:
        params: weights. A *matrix* is one with two dimensions, both at least ``smallest``: small
            embeddings and heads, biases and gains are left to Adam. A matrix with three times as
            many rows as columns is taken for Q, K and V one above the other: three matrices.
        lr: how far a matrix moves, as the size of each singular value; times √(rows/columns) for
            tall ones. 0.02 is usual.
        adam_lr: Adam's rate, for the rest. ``betas``: its two decays.
        momentum: the decay of the gradients' average, with Nesterov's look ahead.
        weight_decay: each matrix shrinks by lr·weight_decay a step; the rest does not.

    For ``training.fit``: ``optimizer=Muon``, or ``functools.partial(Muon, lr=…)``.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.02,
        *,
        adam_lr: float = 5e-3,
        betas: tuple[float, float] = (0.9, 0.99),
        momentum: float = 0.95,
        weight_decay: float = 0.1,
        smallest: int = 64,
    ):
        weights = list(params)
        if lr <= 0 or adam_lr <= 0 or not 0 <= momentum < 1:
            raise ValueError(f"lr={lr} and adam_lr={adam_lr} above 0, momentum={momentum} below 1.")
        groups: list[dict] = [{"params": [], "matrix": True, "lr": lr}]
        groups += [{"params": [], "matrix": False, "lr": adam_lr}]
        for w in weights:
            matrix = w.ndim == 2 and min(w.shape) >= smallest
            groups[0 if matrix else 1]["params"].append(w)
        usual = {"lr": lr, "betas": betas, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], usual)

    @torch.no_grad()
    def step(self, closure=None):
        """One step; ``closure`` is not supported."""
        if closure is not None:
            raise ValueError("Muon takes one gradient a step: no closure.")
        for group in self.param_groups:
            weights = [w for w in group["params"] if w.grad is not None]
            if group["matrix"]:
                self._matrices(weights, group)
            else:
                self._adam(weights, group)

    def _matrices(self, weights: list[Tensor], group: dict) -> None:
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for w in weights:
            by_shape.setdefault(w.shape, []).append(w)
        for (rows, columns), alike in by_shape.items():
            ahead = torch.stack([self._momentum(w, group["momentum"]) for w in alike])
            if rows == 3 * columns:
                ahead = ahead.view(-1, columns, columns)
            height = ahead.shape[1]
            directions = orthogonal(ahead).view(-1, rows, columns)
            for w, direction in zip(alike, directions, strict=True):
                w.mul_(1 - group["lr"] * group["weight_decay"])
                w.sub_(direction, alpha=group["lr"] * max(1.0, height / columns) ** 0.5)

    def _momentum(self, w: Tensor, decay: float) -> Tensor:
        state = self.state[w]
        if not state:
            state["average"] = torch.zeros_like(w)
        state["average"].lerp_(w.grad, 1 - decay)
        return w.grad.lerp(state["average"], decay)

    def _adam(self, weights: list[Tensor], group: dict) -> None:
        """Kingma and Ba 2015, algorithm 1; ε = 1e-8."""
        one, two = group["betas"]
        for w in weights:
            state = self.state[w]
            if not state:
                state |= {"first": torch.zeros_like(w), "second": torch.zeros_like(w)}
                state["step"] = torch.zeros((), dtype=torch.float64)
            state["step"] += 1
            state["first"].lerp_(w.grad, 1 - one)
            state["second"].mul_(two).addcmul_(w.grad, w.grad, value=1 - two)
            t = float(state["step"])
            root = (state["second"] / (1 - two**t)).sqrt_().add_(1e-8)
            w.addcdiv_(state["first"], root, value=-group["lr"] / (1 - one**t))


def orthogonal(g: Tensor, steps: int = 5) -> Tensor:
    """Nearly U·Vᵀ for matrices g = U·S·Vᵀ, (…, rows, columns), without the decomposition.

    Each of five steps puts every singular value s through 3.4445·s − 4.7750·s³ + 2.0315·s⁵, which
    drives those between about 0.003 and 1 into 0.7 … 1.2: near enough to 1 for a step's direction.
    Jordan et al. 2024, after the iteration of Newton and Schulz.
    """
    x = g.mT if g.shape[-2] > g.shape[-1] else g
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # no singular value above 1
    for _ in range(steps):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.mT if g.shape[-2] > g.shape[-1] else x
