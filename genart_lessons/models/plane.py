"""Distributions on the plane whose modes can be counted, and small adversarial networks for them.

Chapter 04 makes mode collapse on purpose here, measures it and mends it: where the distribution is
known, one can count what a generator leaves out. Points ``x`` are (B, 2), codes ``z`` (B, latent),
standard normal, logits (B,). Chance is never hidden: noise is an argument, or is drawn on the
processor from a generator that is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons.models.gan import GAN, discriminator_loss, generator_loss, r1_penalty

# -- what is to be learnt ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Mixture:
    """Equally likely round normal distributions, one around each of ``centres`` (K, 2).

    ``sd``: the standard deviation of each, in both directions. Raises ValueError for centres of
    another shape and for an ``sd`` that is not above 0.
    """

    centres: Tensor
    sd: float

    def __post_init__(self):
        if self.centres.ndim != 2 or self.centres.shape[1] != 2 or not len(self.centres):
            raise ValueError(f"centres must be (K, 2); these are {tuple(self.centres.shape)}.")
        if not self.centres.is_floating_point() or not self.centres.isfinite().all():
            raise ValueError("centres must be finite floating-point numbers.")
        if not 0 < self.sd < math.inf:
            raise ValueError(f"sd={self.sd} must be a number above 0.")

    def __len__(self) -> int:
        return len(self.centres)

    @property
    def scale(self) -> float:
        """The root mean square of a coordinate: networks divide by it, to see numbers near 1."""
        return math.sqrt(self.centres.square().mean().item() + self.sd**2)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """n independent points (n, 2): a mode by lot, then a step from its centre."""
        which = torch.randint(len(self), (n,), generator=generator)
        step = torch.randn(n, 2, generator=generator).to(self.centres)
        return self.centres[which.to(self.centres.device)] + self.sd * step

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), (B,), in nats: log (1/K) Σ_k N(x; c_k, sd²·I)."""
        _check_points(x)
        z2 = (self._distances(x) / self.sd) ** 2
        return torch.logsumexp(-z2 / 2, 1) - math.log(2 * math.pi * self.sd**2 * len(self))

    def modes(self, points: Tensor, *, least: int = 1, within: float = 3.0) -> Modes:
        """Which modes the ``points`` (N, 2) reach, and how well: see ``Modes``.

        A point is good if it lies within ``within`` standard deviations of the nearest centre, and
        a mode is covered if ``least`` good points are nearest to it. Three and one are what
        Srivastava et al. 2017 (VEEGAN, section 4.1) and Lin et al. 2018 (PacGAN, section 4.1)
        count by, with N = 2,500. Points that are not finite are not good.
        """
        _check_points(points)
        if least < 1 or not within > 0:
            raise ValueError(f"least={least} must be 1 or more, and within={within} above 0.")
        distance, nearest = self._distances(points.detach()).min(1)
        good = nearest[distance < within * self.sd].cpu()
        return Modes(torch.bincount(good, minlength=len(self)), len(points), least)

    def _distances(self, x: Tensor) -> Tensor:
        """From each point to each centre, (B, K). By differences: exact where a product is not."""
        return (x[:, None] - self.centres.to(x)).norm(dim=2)


@dataclass(frozen=True, eq=False)
class Modes:
    """What a set of points covers of a mixture.

    ``counts`` (K,): good points at each mode. ``n``: all points, good or not. ``least``: how many
    good points make a mode covered.
    """

    counts: Tensor
    n: int
    least: int = 1

    @property
    def covered(self) -> int:
        """The number of modes with enough good points, of ``len(counts)``."""
        return int((self.counts >= self.least).sum())

    @property
    def good(self) -> float:
        """The share of good points. Of true samples it is ``good_share()``, not 1."""
        return int(self.counts.sum()) / self.n

    @property
    def shares(self) -> Tensor:
        """The share of the good points at each mode, (K,), summing to 1; NaN where none is good."""
        return self.counts.double() / self.counts.sum()

    @property
    def tv(self) -> float:
        """Total variation between ``shares`` and equal shares: 0 if even, 1 − 1/K at one mode.

        The share of the good points that would have to move to another mode. NaN if none is good.
        """
        return (self.shares - 1 / len(self.counts)).abs().sum().item() / 2

    @property
    def kl(self) -> float:
        """D_KL(shares ‖ equal shares) in nats: 0 if even, log K at one mode. NaN if none is good.

        For n true samples about (K − 1) / 2n remains (2n times it follows χ² with K − 1 degrees).
        """
        p = self.shares
        return torch.special.xlogy(p, p * len(p)).sum().item()

    def __str__(self) -> str:
        return f"{self.covered} of {len(self.counts)} modes, {self.good:.1%} good"


def ring(k: int = 8, radius: float = 2.0, sd: float = 0.02) -> Mixture:
    """``k`` modes evenly on a circle. As it is: Metz et al. 2017 (unrolled GANs), appendix A."""
    angle = 2 * math.pi * torch.arange(k, dtype=torch.float64) / k
    centres = radius * torch.stack([angle.cos(), angle.sin()], dim=1)
    return Mixture(centres.float(), sd)


def grid(side: int = 5, spacing: float = 2.0, sd: float = 0.05) -> Mixture:
    """``side``² modes on a square grid around 0. As it is, {−4, −2, 0, 2, 4}²: Lin et al. 2018."""
    line = spacing * (torch.arange(side) - (side - 1) / 2)
    return Mixture(torch.cartesian_prod(line, line).float(), sd)


def good_share(within: float = 3.0) -> float:
    """P(a true sample is good) = 1 − exp(−within²/2), where the modes stand well apart.

    On the plane the distance follows a χ law with two degrees of freedom: 98.9 % lie within three
    standard deviations, not the line's 99.7 %.
    """
    return -math.expm1(-(within**2) / 2)


def _check_points(x: Tensor) -> None:
    if x.ndim != 2 or x.shape[1] != 2 or not len(x) or not x.is_floating_point():
        raise ValueError(f"points must be floats (B, 2); these are {tuple(x.shape)}, {x.dtype}.")


# -- over several seeds --------------------------------------------------------------------------


def mean_se(values: Sequence[float]) -> tuple[float, float]:
    """The mean of one number a seed, and its standard error s/√n."""
    if len(values) < 2:
        raise ValueError("a standard error takes two values or more.")
    x = torch.as_tensor(values, dtype=torch.float64)
    return x.mean().item(), (x.std() / math.sqrt(len(x))).item()


def interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a share of which ``successes`` of ``n`` were seen. Wilson 1927.

    Five of five is no proof of always: it leaves the share anywhere above 57 %.
    """
    from scipy.stats import binomtest  # slow to import, and needed by few

    low, high = binomtest(successes, n).proportion_ci(level, method="wilson")
    return float(low), float(high)


# -- the networks --------------------------------------------------------------------------------


class Dense(nn.Module):
    """A dense layer for each of K copies at once: (K, B, in) to (K, B, out).

    Copy k starts as ``nn.Linear`` does, from its own generator of random numbers.
    """

    def __init__(self, inputs: int, outputs: int, chances: Sequence[torch.Generator]):
        super().__init__()
        reach = 1 / math.sqrt(inputs)

        def start(*shape: int) -> nn.Parameter:
            draws = [torch.empty(shape).uniform_(-reach, reach, generator=g) for g in chances]
            return nn.Parameter(torch.stack(draws))

        self.weight, self.bias = start(inputs, outputs), start(1, outputs)

    def forward(self, h: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, h, self.weight)


def _mlp(sizes: Sequence[int], kink: Callable[[], nn.Module], chances: Sequence[torch.Generator]):
    """Dense layers with a rectifier, ``kink()``, between each and the next."""
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [Dense(a, b, chances), kink()]
    return nn.Sequential(*layers[:-1])


class PlaneGenerator(nn.Module):
    """Codes (K, B, latent) to points (K, B, 2); ``scale`` brings them to the data's."""

    def __init__(self, sizes: Sequence[int], scale: float, chances: Sequence[torch.Generator]):
        super().__init__()
        self.scale, self.layers = scale, _mlp([*sizes, 2], nn.ReLU, chances)

    def forward(self, z: Tensor) -> Tensor:
        return self.scale * self.layers(z)


class PlaneDiscriminator(nn.Module):
    """Points (K, B, 2) to logits (K, B), by dense layers.

    waves: so many sines and cosines of random directions and wavelengths are given beside the
    coordinates (Tancik et al. 2020), without which dense layers learn fine detail very slowly.
    frequency: their wave numbers' standard deviation, in units of 1/scale.
    """

    waves: Tensor

    def __init__(
        self,
        sizes: Sequence[int],
        scale: float,
        chances: Sequence[torch.Generator],
        waves: int,
        frequency: float,
    ):
        super().__init__()
        self.scale = scale
        numbers = torch.stack([torch.randn(2, waves, generator=g) for g in chances])
        self.register_buffer("waves", frequency * numbers)
        self.layers = _mlp([2 + 2 * waves, *sizes, 1], lambda: nn.LeakyReLU(0.2), chances)

    def forward(self, x: Tensor) -> Tensor:
        x = x / self.scale
        if self.waves.numel():
            phase = x @ self.waves
            x = torch.cat([x, phase.sin(), phase.cos()], dim=2)
        return self.layers(x).squeeze(2)


class PlaneGAN(GAN):
    """Points (B, 2) from codes (B, latent), and a discriminator of dense layers.

    scale: ``Mixture.scale`` of what is to be learnt. hidden, layers: the width and the number of
    the hidden layers of both networks. waves, frequency: see ``PlaneDiscriminator``.
    seeds: one pair of networks for each, side by side. K > 1 pairs take points (B, K, 2) and codes
    (B, K, latent), and each pair sees its own column alone: they train at once, in little more
    than the time of one, as if each were alone.
    """

    def __init__(
        self,
        scale: float = 1.0,
        *,
        latent: int = 2,
        hidden: int = 64,
        layers: int = 2,
        waves: int = 0,
        frequency: float = 2.0,
        seeds: Sequence[int] = (0,),
    ):
        if not 0 < scale < math.inf:
            raise ValueError(f"scale={scale} must be a number above 0.")
        if min(latent, hidden, layers, len(seeds)) < 1 or waves < 0:
            raise ValueError(
                "latent, hidden, layers and the number of seeds must be 1 or more, waves 0 or more."
            )
        chances = [torch.Generator().manual_seed(seed) for seed in seeds]
        inner = [hidden] * layers
        super().__init__(
            PlaneGenerator([latent, *inner], scale, chances),
            PlaneDiscriminator(inner, scale, chances, waves, frequency),
            latent,
        )
        self.pairs = len(seeds)

    def judge(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The logits (B,) of points (B, 2); of K pairs, (B, K) of points (B, K, 2)."""
        return self._columns(self.discriminator, x, "points", 2)

    def make(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Points (B, 2) for codes (B, latent); of K pairs, (B, K, 2) for codes (B, K, latent)."""
        return self._columns(self.generator, z, "codes", self.latent)

    def _columns(self, part: nn.Module, x: Tensor, what: str, size: int) -> Tensor:
        shape = (size,) if self.pairs == 1 else (self.pairs, size)
        if tuple(x.shape[1:]) != shape:
            raise ValueError(
                f"{what} must be (B, {', '.join(map(str, shape))}); these are {tuple(x.shape)}."
            )
        if self.pairs == 1:
            return part(x.unsqueeze(0)).squeeze(0)
        return part(x.transpose(0, 1)).transpose(0, 1)

    @torch.no_grad()
    def sample(self, n=None, *, z=None, y=None, generator=None, truncation=1.0) -> Tensor:
        """Like ``GAN.sample``: (n, 2), or (n, K, 2) of K pairs."""
        if n is not None and z is None and self.pairs > 1:
            z, n = torch.randn(n, self.pairs, self.latent, generator=generator), None
        return super().sample(n, z=z, generator=generator, truncation=truncation)

    def losses(
        self,
        kind: str = "cross-entropy",
        gamma: float = 0.0,
        every: int = 1,
        *,
        generator: str | None = None,
        steps: int | None = None,
    ) -> dict[str, Callable]:
        """The loss of each part's turn, for ``training.fit``: discriminator, then generator.

        kind: the discriminator's loss, and generator the generator's, see ``models.gan``; by
        default the one that belongs to it. Besides those there is ``"relativistic"``, where made
        points are judged against real ones, pair by pair, by the difference of their logits:
        Jolicoeur-Martineau 2019; Huang et al. 2024 on why this keeps modes from being lost.
        gamma, every: R1 and how seldom, see ``GAN.losses``, but for slopes in units of the data's
        scale, so that one gamma fits mixtures of any size.
        steps: the length of the run; if given, gamma falls over it as ``fade`` does: smooth at
        first, so that no mode is lost, and sharp in the end. Huang et al. 2024 lower theirs too.
        Batches hold ``x`` (B, 2), ``z`` (B, latent) and, with gamma, ``step``. Of K pairs it is the
        sum, so that each learns as it would alone.
        """
        if gamma < 0 or every < 1:
            raise ValueError(f"gamma={gamma} must not be below 0, nor every={every} below 1.")
        made = generator or ("non-saturating" if kind == "cross-entropy" else kind)
        units = self.discriminator.scale**2

        def of_discriminator(model: GAN, batch: dict):
            with torch.no_grad():
                fake = model.make(batch["z"])
            penalised = bool(gamma) and batch["step"] % every == 0
            real = batch["x"].detach().requires_grad_(penalised)
            logits, made_logits = model.judge(real), model.judge(fake)
            if kind == "relativistic":
                value = self.pairs * F.softplus(made_logits - logits).mean()
            else:
                value = self.pairs * discriminator_loss(logits, made_logits, kind)
            if not penalised:
                return value
            weight = gamma * units * (fade(batch["step"], steps) if steps else 1)
            return value + 0.5 * weight * every * r1_penalty(logits, real)

        def of_generator(model: GAN, batch: dict):
            logits = model.judge(model.make(batch["z"]))
            if kind == "relativistic":
                return self.pairs * F.softplus(model.judge(batch["x"]) - logits).mean()
            return self.pairs * generator_loss(logits, made)

        return {"discriminator": of_discriminator, "generator": of_generator}


def fade(step: int, steps: int) -> float:
    """(1 − step/steps)³: from 1 at the start of a run to 0 at its end."""
    return max(0.0, 1 - step / steps) ** 3


# -- two recipes ---------------------------------------------------------------------------------

# For ``PlaneGAN(mixture.scale, **model)``, ``losses(**loss)`` and Adam, with batches of 128 and a
# rate that falls to 0 as a cosine.

# The losses of 2014 with Adam's usual momentum, and nothing that keeps the discriminator smooth.
COLLAPSING: dict = {
    "model": dict(latent=2, hidden=64, layers=2, waves=16, frequency=2.0),
    "loss": dict(),
    "adam": dict(lr=2e-3, betas=(0.9, 0.999)),
}
# R1 that fades (it wants the number of steps), made points judged against real ones, no momentum.
MENDED: dict = {
    "model": dict(latent=2, hidden=64, layers=3, waves=8, frequency=1.0),
    "loss": dict(kind="relativistic", gamma=0.3, every=2),
    "adam": dict(lr=5e-3, betas=(0.0, 0.99)),
}
