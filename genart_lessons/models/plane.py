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
from torch.nn.utils.parametrizations import spectral_norm

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


class PlaneGenerator(nn.Module):
    """Codes (B, latent) to points (B, 2), by dense layers; ``scale`` brings them to the data's."""

    def __init__(self, latent: int, hidden: int, layers: int, scale: float):
        super().__init__()
        self.scale = scale
        self.layers = _mlp([latent, *[hidden] * layers, 2], nn.ReLU)

    def forward(self, z: Tensor) -> Tensor:
        return self.scale * self.layers(z)


class PlaneDiscriminator(nn.Module):
    """Points (B, 2) to logits (B / pack,), by dense layers.

    waves: so many sines and cosines of random directions and wavelengths are given beside the
    coordinates (Tancik et al. 2020), without which dense layers learn fine detail very slowly.
    frequency: their wave numbers' standard deviation, in units of 1/scale.
    pack: how many points are judged together, as one; Lin et al. 2018, section 2.
    spectral: no layer stretches anything to more than its length; Miyato et al. 2018.
    """

    waves: Tensor

    def __init__(
        self,
        hidden: int,
        layers: int,
        scale: float,
        *,
        waves: int = 0,
        frequency: float = 2.0,
        pack: int = 1,
        spectral: bool = False,
    ):
        super().__init__()
        self.scale, self.pack = scale, pack
        self.register_buffer("waves", frequency * torch.randn(2, waves))
        first = pack * (2 + 2 * waves)
        self.layers = _mlp([first, *[hidden] * layers, 1], lambda: nn.LeakyReLU(0.2), spectral)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) % self.pack:
            raise ValueError(f"{len(x)} points cannot be packed by {self.pack}.")
        x = x / self.scale
        if self.waves.numel():
            phase = x @ self.waves
            x = torch.cat([x, phase.sin(), phase.cos()], dim=1)
        return self.layers(x.reshape(len(x) // self.pack, -1)).squeeze(1)


def _mlp(sizes: Sequence[int], kink: Callable[[], nn.Module], spectral: bool = False):
    """Dense layers with a rectifier, ``kink()``, between each and the next."""
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        dense = nn.Linear(a, b)
        layers += [spectral_norm(dense) if spectral else dense, kink()]
    return nn.Sequential(*layers[:-1])


class PlaneGAN(GAN):
    """Points (B, 2) from codes (B, latent), and a discriminator of dense layers.

    scale: ``Mixture.scale`` of what is to be learnt. hidden, layers: the width and the number of
    the hidden layers of both networks. The rest: see ``PlaneDiscriminator``.
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
        pack: int = 1,
        spectral: bool = False,
    ):
        if not 0 < scale < math.inf:
            raise ValueError(f"scale={scale} must be a number above 0.")
        if min(latent, hidden, layers, pack) < 1 or waves < 0:
            raise ValueError("latent, hidden, layers and pack must be 1 or more, waves 0 or more.")
        options: dict = dict(waves=waves, frequency=frequency, pack=pack, spectral=spectral)
        super().__init__(
            PlaneGenerator(latent, hidden, layers, scale),
            PlaneDiscriminator(hidden, layers, scale, **options),
            latent,
        )

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
        default the one that belongs to it. Besides those there is ``"relativistic"``, where a made
        point is judged against a real one, by the difference of their logits, so that nothing is
        gained where the data is not: Jolicoeur-Martineau 2019, with pairs as in Huang et al. 2024,
        who show that what this game lowers has no minimum at which modes are lost. gamma, every: R1 and how seldom, see ``GAN.losses``, but
        for slopes in units of the data's scale, so that one gamma fits mixtures of any size.
        steps: the length of the run; if given, gamma falls over it as ``fade`` does: smooth at
        first, so that no mode is lost, and sharp in the end. Huang et al. 2024 lower theirs too.
        Batches hold ``x`` (B, 2), ``z`` (B, latent) and, with gamma, ``step``.
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
                value = F.softplus(made_logits - logits).mean()
            else:
                value = discriminator_loss(logits, made_logits, kind)
            if not penalised:
                return value
            weight = gamma * units * (fade(batch["step"], steps) if steps else 1)
            return value + 0.5 * weight * every * r1_penalty(logits, real)

        def of_generator(model: GAN, batch: dict):
            logits = model.judge(model.make(batch["z"]))
            if kind == "relativistic":
                return F.softplus(model.judge(batch["x"]) - logits).mean()
            return generator_loss(logits, made)

        return {"discriminator": of_discriminator, "generator": of_generator}


def fade(step: int, steps: int) -> float:
    """(1 − step/steps)³: from 1 at the start of a run to 0 at its end."""
    return max(0.0, 1 - step / steps) ** 3


# -- two recipes ---------------------------------------------------------------------------------

# ``PlaneGAN(mixture.scale, **model)``, ``losses(**loss)``, and what training is given besides.
COLLAPSING: dict = {
    "model": dict(latent=2, hidden=64, layers=2, waves=16, frequency=2.0),
    "loss": dict(),
    "training": dict(batch_size=128, steps=1_200, lr=2e-3, betas=(0.9, 0.999), schedule="cosine"),
}
MENDED: dict = {
    "model": dict(latent=2, hidden=64, layers=3, waves=8, frequency=1.0),
    "loss": dict(kind="relativistic", gamma=0.06, every=2, steps=3_000),
    "training": dict(batch_size=128, steps=3_000, lr=5e-3, betas=(0.0, 0.99), schedule="cosine"),
}
