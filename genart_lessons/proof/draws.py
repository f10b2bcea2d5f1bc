"""Where equations are tried: random points and random small worlds, the same ones every time."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

Draw = Callable[[Generator, int], dict[str, Tensor]]


def uniform(low: float, high: float, *shape: int) -> Callable[[Generator, int], Tensor]:
    """Points spread evenly on [low, high]; (P,) or, with a shape, (P, *shape)."""

    def draw(generator: Generator, points: int) -> Tensor:
        u = torch.rand(points, *shape, generator=generator, dtype=torch.float64)
        return low + (high - low) * u

    return draw


def normal(*shape: int) -> Callable[[Generator, int], Tensor]:
    """Standard normal noise; (P,) or (P, *shape)."""
    return lambda generator, points: torch.randn(
        points, *shape, generator=generator, dtype=torch.float64
    )


def whole(count: int, *shape: int) -> Callable[[Generator, int], Tensor]:
    """Whole numbers from 0 to ``count`` − 1, such as the places of a table: (P, *shape), int64."""
    return lambda generator, points: torch.randint(count, (points, *shape), generator=generator)


def counted(most: int, *shape: int) -> Callable[[Generator, int], Tensor]:
    """How often each thing was seen, 0 to ``most``, the first at least once: (P, *shape) floats."""

    def draw(generator: Generator, points: int) -> Tensor:
        found = torch.randint(most + 1, (points, *shape), generator=generator).double()
        found[..., 0] = found[..., 0].clamp(min=1)
        return found

    return draw


def bits(*shape: int) -> Callable[[Generator, int], Tensor]:
    """0 or 1, each as often: (P, *shape) floats."""
    return lambda generator, points: torch.randint(
        2, (points, *shape), generator=generator
    ).double()


def points(**each: Callable[[Generator, int], Tensor]) -> Draw:
    """One drawing for each argument of an equation, in the order in which it takes them."""
    return lambda generator, count: {name: draw(generator, count) for name, draw in each.items()}


def simplex(*shape: int) -> Callable[[Generator, int], Tensor]:
    """Random probability vectors along the last axis, entries from 0.02 to 0.91: (P, *shape)."""

    def draw(generator: Generator, count: int) -> Tensor:
        logits = 3 * torch.rand(count, *shape, generator=generator, dtype=torch.float64)
        return logits.softmax(-1)

    return draw
