"""Can two sets of points be told apart? A test with a stated chance to find a difference.

A generated set that a test does not tell from a true one has shown little, unless the test was
able to: ``power`` says how often it finds a difference that is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Draw = Callable[[int, torch.Generator], Tensor]


@dataclass(frozen=True)
class TwoSample:
    """``statistic``: the energy distance, in the points' own units, 0 or above. ``p_value``: how
    often sets divided by lot lie as far apart; at most 0.05 happens to one in twenty equal pairs.
    """

    statistic: float
    p_value: float


@dataclass(frozen=True)
class Power:
    """``share``: in how many of ``repeats`` pairs of sets of ``n`` points each the difference was
    found, p ≤ ``level``; ``low``, ``high``: Wilson's 95 % interval for that share.
    """

    share: float
    low: float
    high: float
    n: int
    repeats: int
    level: float


def energy_distance(x: Tensor, y: Tensor) -> float:
    """2·E|X − Y| − E|X − X'| − E|Y − Y'| of points (N, D) and (M, D); 0 only for equal sets.

    The means are over all pairs, also of a point with itself. Székely and Rizzo 2013, eq. 5. In
    one dimension it is 2·∫(F − G)², the square of ``scipy.stats.energy_distance``.
    """
    pooled, weights = _pool(x, y)
    return max(0.0, float(-(weights @ (pooled @ weights))))


def energy_test(
    x: Tensor, y: Tensor, permutations: int = 199, generator: torch.Generator | None = None
) -> TwoSample:
    """Do points (N, D) and (M, D) come from one distribution? By permutations of who is who.

    The p-value is (1 + the permutations that lie as far apart)/(1 + permutations), which is exact
    at any size: under equality P(p ≤ α) ≤ α. It sees differences of every kind, given enough
    points (Székely and Rizzo 2004); how many are enough, ``power`` says. Takes (N + M)² memory.
    Raises ValueError for sets of other shapes, for NaN, and for fewer than 19 permutations.
    """
    if permutations < 19:
        raise ValueError(f"{permutations} permutations cannot give p ≤ 0.05: take 19 or more.")
    pooled, weights = _pool(x, y)
    order = torch.stack(
        [torch.randperm(len(weights), generator=generator) for _ in range(permutations)]
    )
    columns = torch.cat([weights[None], weights[order]]).T
    values = -(columns * (pooled @ columns)).sum(0)
    # What differs by rounding alone counts as equal.
    far = int((values[1:] >= values[0] * (1 - 1e-9)).sum())
    return TwoSample(max(0.0, float(values[0])), (1 + far) / (1 + permutations))


def power(
    first: Draw,
    second: Draw,
    n: int,
    *,
    repeats: int = 100,
    permutations: int = 99,
    level: float = 0.05,
    seed: int = 0,
) -> Power:
    """How often ``energy_test`` tells n points of ``first`` from n of ``second``.

    Each is drawn as draw(n, generator) → (n, D), anew for each of the ``repeats``. With one and
    the same distribution twice it is the share of false alarms, which is ``level`` at most.
    """
    from genart_lessons.models.plane import interval

    if repeats < 1 or not 1 / (permutations + 1) <= level < 1:
        raise ValueError(
            f"repeats={repeats} must be 1 or more, and level={level} at least "
            f"1/(permutations + 1) and below 1."
        )
    generator = torch.Generator().manual_seed(seed)
    found = 0
    for _ in range(repeats):
        x, y = first(n, generator), second(n, generator)
        found += energy_test(x, y, permutations, generator).p_value <= level
    low, high = interval(found, repeats)
    return Power(found / repeats, low, high, n, repeats, level)


def _pool(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """All distances (N + M, N + M), and the weights 1/N and −1/M whose form is the statistic."""
    for name, points in (("x", x), ("y", y)):
        if points.ndim != 2 or len(points) < 2 or not bool(points.isfinite().all()):
            raise ValueError(
                f"{name} must be at least two finite points (N, D); it is {tuple(points.shape)}."
            )
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x has {x.shape[1]} dimensions and y {y.shape[1]}: not the same space.")
    both = torch.cat([x.detach().cpu().double(), y.detach().cpu().double()])
    distances = torch.cdist(both, both, compute_mode="donot_use_mm_for_euclid_dist")
    weights = torch.full((len(both),), 1 / len(x), dtype=torch.float64)
    weights[len(x) :] = -1 / len(y)
    return distances, weights
