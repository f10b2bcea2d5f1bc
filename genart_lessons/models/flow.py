"""A map of noise into any shape on the plane, with its exact density: a flow of coupling layers.

A flow g carries z ~ N(0, I) to x = g(z). It is a chain of couplings (Dinh, Krueger & Bengio 2015,
NICE, https://arxiv.org/abs/1410.8516; Dinh, Sohl-Dickstein & Bengio 2017, Real NVP,
https://arxiv.org/abs/1605.08803): each leaves one coordinate as it is and moves the other along a
rising curve that depends on the first. So each can be undone exactly, and its Jacobian matrix is a
triangle, whose determinant is one slope.

Noise ``z`` and points ``x`` are (B, 2); ``log_det`` (B,) is log |det J| of the way that was taken,
in nats; densities are in nats, too, per unit of area.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAST = 1e-3  # the least width and height of a bin, as a share of the whole; the least slope
LOG_2PI = math.log(2 * math.pi)


# -- couplings -----------------------------------------------------------------------------------


class Conditioner(nn.Module):
    """The numbers that say how one coordinate is moved, from the other: u (B,) to (B, outputs).

    Dense layers of ``width`` on u and on sines and cosines of it, ``waves`` of each, without which
    they learn fine detail very slowly (Tancik et al. 2020, https://arxiv.org/abs/2006.10739).
    Beyond ±``reach`` it is held at its edge, so that far points are moved alike. At first it gives
    zeros.
    """

    numbers: Tensor

    def __init__(self, outputs: int, width: int, waves: int, reach: float):
        super().__init__()
        self.reach = reach
        self.register_buffer("numbers", math.pi * torch.arange(1.0, waves + 1) / reach,
                             persistent=False)  # fmt: skip
        self.layers = nn.Sequential(
            nn.Linear(1 + 2 * waves, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, outputs),
        )
        last = self.layers[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, u: Tensor) -> Tensor:
        u = u.clamp(-self.reach, self.reach)[:, None]
        phase = u * self.numbers
        return self.layers(torch.cat([u / self.reach, phase.sin(), phase.cos()], dim=1))


class Coupling(nn.Module):
    """One coordinate stays, the other moves along a curve of its own: a step of a flow.

    axis: which coordinate moves, 0 or 1. ``forward(z)`` gives (x, log_det), ``inverse(x)``
    (z, log_det) of the way back. What follows from this form alone: x[:, other] = z[:, other],
    the Jacobian is triangular, and log_det is the logarithm of the curve's slope. A subclass says
    which curve: ``curve(v, numbers)`` and ``back(v, numbers)`` give the moved coordinate and the
    logarithm of the slope, both (B,); ``numbers`` (B, outputs) come from the other coordinate.
    """

    def __init__(self, axis: int, outputs: int, width: int, waves: int, reach: float):
        super().__init__()
        if axis not in (0, 1):
            raise ValueError(f"axis={axis}: the coordinate that moves is 0 or 1.")
        self.axis, self.reach = axis, reach
        self.conditioner = Conditioner(outputs, width, waves, reach)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        check_points(z, "z")
        return self._move(z, self.curve)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        check_points(x, "x")
        return self._move(x, self.back)

    def curve(self, v: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def back(self, v: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _move(self, points: Tensor, along) -> tuple[Tensor, Tensor]:
        still, v = points[:, 1 - self.axis], points[:, self.axis]
        moved, log_slope = along(v, self.conditioner(still))
        pair = (moved, still) if self.axis == 0 else (still, moved)
        return torch.stack(pair, dim=1), log_slope


class AffineCoupling(Coupling):
    """The straight line v → exp(s)·v + t: Dinh et al. 2017, eq. 7 and 8. log_det is s.

    s lies between −3 and 3, so that no step stretches by more than 20.
    """

    def __init__(self, axis: int, *, width: int = 96, waves: int = 16, reach: float = 4.0):
        super().__init__(axis, 2, width, waves, reach)

    @staticmethod
    def _line(numbers: Tensor) -> tuple[Tensor, Tensor]:
        s, t = numbers.unbind(1)
        return 3 * torch.tanh(s / 3), t

    def curve(self, v: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self._line(numbers)
        return s.exp() * v + t, s

    def back(self, v: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self._line(numbers)
        return (v - t) * (-s).exp(), -s


class SplineCoupling(Coupling):
    """A rising curve of ``bins`` pieces, each the ratio of two parabolas.

    Durkan, Bekasov, Murray & Papamakarios 2019, https://arxiv.org/abs/1906.04032, eq. 4 to 8. From
    −reach to reach it climbs from −reach to reach through knots whose places and slopes the
    conditioner gives; outside it is the identity, joined without a kink.
    """

    def __init__(
        self, axis: int, *, bins: int = 32, width: int = 96, waves: int = 16, reach: float = 4.0
    ):
        if bins < 2:
            raise ValueError(f"bins={bins}: a spline has 2 pieces or more.")
        super().__init__(axis, 3 * bins - 1, width, waves, reach)
        self.bins = bins

    def curve(self, v: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        return self._spline(v, numbers, forward=True)

    def back(self, v: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        return self._spline(v, numbers, forward=False)

    def knots(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The knots' two coordinates and slopes, (B, bins + 1) each, from (B, 3·bins − 1)."""
        sizes, slopes = numbers[:, : 2 * self.bins], numbers[:, 2 * self.bins :]
        share = sizes.unflatten(1, (2, self.bins)).softmax(2)
        share = LEAST + (1 - LEAST * self.bins) * share
        inner = share[:, :, :-1].cumsum(2) * (2 * self.reach) - self.reach
        places = F.pad(F.pad(inner, (1, 0), value=-self.reach), (0, 1), value=self.reach)
        # Zeros give the slope 1, so that a new flow is the identity; at both ends it is 1 always.
        start = math.log(math.expm1(1 - LEAST))
        slope = F.pad(LEAST + F.softplus(slopes + start), (1, 1), value=1.0)
        return places[:, 0], places[:, 1], slope

    def _spline(self, v: Tensor, numbers: Tensor, *, forward: bool) -> tuple[Tensor, Tensor]:
        # The given numbers are half as many again as the points: look up what is needed at once.
        a, b, slope = self.knots(numbers)
        known = a if forward else b
        inside = v.abs() < self.reach
        v_in = torch.where(inside, v, torch.zeros_like(v))  # else far points would spoil gradients
        k = (v_in[:, None] >= known[:, 1:-1]).sum(1)
        both = torch.stack([k, k + 1], dim=1)
        a0, a1 = a.gather(1, both).unbind(1)
        b0, b1 = b.gather(1, both).unbind(1)
        d0, d1 = slope.gather(1, both).unbind(1)
        wide, tall = a1 - a0, b1 - b0
        mean = tall / wide
        if forward:
            t = (v_in - a0) / wide
        else:
            t = _root(v_in - b0, tall, mean, d0, d1)
        u = t * (1 - t)
        bottom = mean + (d0 + d1 - 2 * mean) * u
        moved = b0 + tall * (mean * t * t + d0 * u) / bottom if forward else a0 + t * wide
        top = d1 * t * t + 2 * mean * u + d0 * (1 - t) ** 2
        # One logarithm instead of three; a slope of 10^±9 is far from what float32 cannot hold.
        log_slope = ((mean / bottom) ** 2 * top if forward else (bottom / mean) ** 2 / top).log()
        return torch.where(inside, moved, v), torch.where(inside, log_slope, torch.zeros_like(v))


def _root(rise: Tensor, tall: Tensor, mean: Tensor, d0: Tensor, d1: Tensor) -> Tensor:
    """How far along a bin, 0 to 1, its curve has risen by ``rise``: Durkan et al. 2019, eq. 6–8.

    Of the two ways to write a quadratic's root this one subtracts no equal numbers.
    """
    bend = d0 + d1 - 2 * mean
    a = tall * (mean - d0) + rise * bend
    b = tall * d0 - rise * bend
    c = -mean * rise
    return -2 * c / (b + (b * b - 4 * a * c).clamp(min=0).sqrt())


# -- the whole -----------------------------------------------------------------------------------


class Flow(nn.Module):
    """A chain of ``layers`` couplings that move up and sideways by turns, from z to x.

    kind: ``"spline"`` or ``"affine"``, the curves of its couplings. width: of the conditioners'
    two hidden layers. bins: pieces of a spline. waves: sines and cosines that the conditioners see.
    reach: the splines bend points within ±reach, in standard deviations of the noise. The density
    that it gives is normalised whatever its weights are; a new flow is the identity, or, after
    ``settle(x)``, the round normal distribution with the data's mean and spread on each axis.

    Raises ValueError for another kind and for sizes that make no sense.
    """

    centre: Tensor
    spread: Tensor

    def __init__(
        self,
        layers: int = 4,
        width: int = 96,
        bins: int = 32,
        *,
        kind: str = "spline",
        waves: int = 16,
        reach: float = 4.0,
    ):
        super().__init__()
        if layers < 1 or width < 1 or waves < 0 or not 0 < reach < math.inf:
            raise ValueError(
                f"layers={layers} and width={width} must be 1 or more, waves={waves} 0 or more and "
                f"reach={reach} above 0."
            )
        if kind not in ("spline", "affine"):
            raise ValueError(f"kind={kind!r}: couplings are 'spline' or 'affine'.")
        own: dict[str, Any] = dict(width=width, waves=waves, reach=reach)
        each = AffineCoupling if kind == "affine" else SplineCoupling
        own |= {} if kind == "affine" else {"bins": bins}
        self.layers = nn.ModuleList(each(1 - i % 2, **own) for i in range(layers))
        self.register_buffer("centre", torch.zeros(2))
        self.register_buffer("spread", torch.ones(2))

    def settle(self, x: Tensor) -> Flow:
        """Set the last, unlearnt step x = centre + spread·h by points x (N, 2); return self."""
        check_points(x, "x")
        if len(x) < 2 or not bool((x.std(0) > 0).all()):
            raise ValueError("settle needs points (N, 2) that differ in both coordinates.")
        self.centre.copy_(x.mean(0))
        self.spread.copy_(x.std(0))
        return self

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """x = g(z) (B, 2), and log |det ∂x/∂z| (B,)."""
        return self.part(z, len(self.layers))

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z = g⁻¹(x) (B, 2), and log |det ∂z/∂x| (B,)."""
        check_points(x, "x")
        h, total = (x - self.centre) / self.spread, -self.spread.log().sum()
        for layer in reversed(self.layers):
            h, log_det = layer.inverse(h)
            total = total + log_det
        return h, total

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), (B,): log N(z; 0, I) + log |det ∂z/∂x| at z = g⁻¹(x), in nats."""
        z, log_det = self.inverse(x)
        return log_normal(z) + log_det

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n points (n, 2): g of noise drawn on the processor, so the same on every device."""
        if n < 1:
            raise ValueError(f"n={n}: draw 1 point or more.")
        z = torch.randn(n, 2, generator=generator, dtype=self.centre.dtype)
        return self(z.to(self.centre.device))[0]

    def part(self, z: Tensor, depth: float) -> tuple[Tensor, Tensor]:
        """The points after ``depth`` layers, 0 to ``len(self.layers)``, and log |det| of that map.

        Between whole numbers a point is so far along its straight way through that layer. That is
        a coupling again, with the curve (1 − d)·v + d·curve(v), so at every depth the map can be
        undone and its area factor is exact. All but z itself are in the data's units.
        """
        check_points(z, "z")
        if not 0 <= depth <= len(self.layers):
            raise ValueError(f"depth={depth} must be 0 to {len(self.layers)}.")
        h, total = z, torch.zeros_like(z[:, 0])
        whole, rest = int(depth), depth - int(depth)
        for i, layer in enumerate(self.layers[: whole + (rest > 0)]):
            moved, log_det = layer(h)
            if i == whole:
                moved, log_det = torch.lerp(h, moved, rest), torch.log1p(rest * log_det.expm1())
            h, total = moved, total + log_det
        return self.centre + self.spread * h, total + self.spread.log().sum()

    @torch.no_grad()
    def path(self, z: Tensor) -> list[Tensor]:
        """z and where it is after each layer, ``len(self.layers) + 1`` times (B, 2): a film."""
        check_points(z, "z")
        states, h = [z], z
        for layer in self.layers:
            h, _ = layer(h)
            states.append(self.centre + self.spread * h)
        return states


def loss(model: Flow, batch: dict[str, Any]) -> Tensor:
    """−(1/B) Σ log p(x), in nats: minus the mean log-likelihood of ``batch["x"]`` (B, 2)."""
    return -model.log_prob(batch["x"]).mean()


def log_normal(z: Tensor) -> Tensor:
    """log N(z; 0, I), (B,), of points (B, 2), in nats."""
    return -0.5 * z.square().sum(1) - LOG_2PI


@torch.no_grad()
def held_out(model: Any, x: Tensor, *, rows: int = 8192) -> Tensor:
    """−log p of each point x (N, 2) under ``model.log_prob``, (N,), in nats, in pieces."""
    check_points(x, "x")
    return torch.cat([-model.log_prob(part) for part in x.split(rows)])


def check_points(x: Tensor, what: str = "points") -> None:
    """Raise ValueError unless x is a tensor of floating-point numbers (B, 2), B ≥ 1."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise ValueError(f"{what} must be a tensor of floating-point numbers (B, 2).")
    if x.ndim != 2 or x.shape[1] != 2 or not len(x):
        raise ValueError(f"{what} must be (B, 2); it is {tuple(x.shape)}.")


def film(model: Flow, z: Tensor, frames: int = 33) -> tuple[Tensor, Sequence[float]]:
    """Points on their way from noise to x: states (frames, B, 2), and the depth of each."""
    check_points(z, "z")
    if frames < 2:
        raise ValueError(f"frames={frames}: a film has 2 or more.")
    depths = [len(model.layers) * i / (frames - 1) for i in range(frames)]
    with torch.no_grad():
        states = [z, *(model.part(z, depth)[0] for depth in depths[1:])]
    return torch.stack(states), depths
