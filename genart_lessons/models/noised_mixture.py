"""A mixture of normal distributions under noise: everything a diffusion model estimates, exactly.

If x_0 is a mixture, x_t is one at every t, with its means drawn in and its spreads filled up, so
the score, the mean noise and the mean of x_0 are known in closed form. The mixture is itself a
denoiser, and every sampler of chapter 07 runs on it: what is then wrong is the sampler's own.

Points ``x`` are (B, D), times ``t`` whole numbers, one for all or (B,), classes ``y`` (B,), −1 for
none; logarithms are in nats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genart_lessons.models.diffusion import Schedule, check_classes


class NoisedMixture:
    """x_0 ~ Σ_k w_k·N(m_k, s_k²·I), and x_t = √ᾱ_t·x_0 + √(1 − ᾱ_t)·ε.

    means: (K, D); sds: (K,) or one number; weights: (K,), above 0, made to sum to 1 (None: equal).
    groups: (K,) whole numbers from 0, the class of each component; None: each is its own class.
    As a denoiser: ``mixture(x_t, t, y)`` is E[ε|x_t, y]; ``predicts``, ``schedule``, ``classes``,
    ``shape``. Raises ValueError for other shapes and numbers that make no sense.
    """

    predicts = "eps"

    def __init__(
        self,
        means: Tensor,
        sds: Tensor | float,
        weights: Tensor | None,
        schedule: Schedule,
        groups: Sequence[int] | Tensor | None = None,
    ):
        if means.ndim != 2 or not means.is_floating_point() or not bool(means.isfinite().all()):
            raise ValueError(f"means must be finite floats (K, D); they are {tuple(means.shape)}.")
        count = len(means)
        self.means = means.detach()
        self.sds = torch.as_tensor(sds).to(self.means).expand(count)
        weights = torch.ones(count) if weights is None else torch.as_tensor(weights)
        self.weights = weights.to(self.means)
        given = torch.arange(count) if groups is None else torch.as_tensor(groups)
        self.groups = given.long().to(self.means.device)
        for name, x in (("weights", self.weights), ("groups", self.groups)):
            if x.shape != (count,):
                raise ValueError(f"{name} must be ({count},); they are {tuple(x.shape)}.")
        for name, x in (("sds", self.sds), ("weights", self.weights)):
            if not bool((x > 0).all()) or not bool(x.isfinite().all()):
                raise ValueError(f"{name} must be numbers above 0.")
        self.weights = self.weights / self.weights.sum()
        self.classes = int(self.groups.max()) + 1
        if self.groups.unique().tolist() != list(range(self.classes)):
            raise ValueError("groups must use every number from 0 to their largest.")
        self.schedule, self.shape = schedule, (means.shape[1],)

    def __call__(self, x_t: Tensor, t: Tensor | int, y: Tensor | None = None) -> Tensor:
        """E[ε|x_t, y] = −√(1 − ᾱ_t)·score, like x_t (B, D): what the best network would say."""
        spread = self.schedule.at((1 - self.schedule.alpha_bar).sqrt(), t, x_t)
        return -spread * self.score(x_t, t, y)

    def sample(
        self, n: int, generator: torch.Generator | None = None, y: Tensor | None = None
    ) -> Tensor:
        """n independent draws of x_0, (n, D); of the classes y (n,), if given."""
        y = check_classes(y, self.classes, torch.empty(n))
        share = self._log_weights(None if y is None else y.to(self.means.device), n).exp()
        which = torch.multinomial(share.cpu(), 1, generator=generator)[:, 0]
        step = torch.randn(n, *self.shape, generator=generator, dtype=self.means.dtype)
        which = which.to(self.means.device)
        return self.means[which] + self.sds[which, None] * step.to(self.means)

    def log_prob(self, x: Tensor, t: Tensor | int = 0, y: Tensor | None = None) -> Tensor:
        """log q(x_t), or log q(x_t|y), (B,): equation 7.27 is its gradient."""
        return self._joint(x, t, y)[0].logsumexp(1)

    def score(self, x: Tensor, t: Tensor | int, y: Tensor | None = None) -> Tensor:
        """∇ log q(x_t), or ∇ log q(x_t|y), (B, D): equation 7.27."""
        joint, away, variance = self._joint(x, t, y)
        share = joint.softmax(1)
        return -(share[:, :, None] * away / variance[:, :, None]).sum(1)

    def posterior_mean(self, x: Tensor, t: Tensor | int, y: Tensor | None = None) -> Tensor:
        """E[x_0|x_t], (B, D): each component's own Bayes' rule, weighed by how likely it is.

        That it is (x_t + (1 − ᾱ_t)·score)/√ᾱ_t is Tweedie's formula: equation 7.26.
        """
        joint, away, variance = self._joint(x, t, y)
        a = self.schedule.at(self.schedule.alpha_bar.sqrt(), t, x)[:, :, None]
        gain = a * self.sds[:, None].to(x) ** 2 / variance[:, :, None]
        return (joint.softmax(1)[:, :, None] * (self.means.to(x) + gain * away)).sum(1)

    def log_class_prob(self, x: Tensor, t: Tensor | int = 0) -> Tensor:
        """log p(y|x_t) of every class, (B, classes): the exact classifier of noisy points."""
        logits = self._joint(x, t, None)[0]
        parts = [logits[:, self.groups == y].logsumexp(1) for y in range(self.classes)]
        return torch.stack(parts, 1).log_softmax(1)

    def tilted(
        self, y: int, w: float, t: int = 0, *, points: int | None = None, reach: float = 6.0
    ) -> Grid:
        """The density ∝ q(x_t)·p(y|x_t)^w, on a grid: equation 7.37. D = 1 or 2.

        w = 1 is q(x_t|y), 0 is q(x_t). At t its score is exactly what guidance w uses there; but
        the one at t is not the noised one at 0, so a guided sampler does not end at the one at 0.
        points: on each axis (None: 4001 in 1-D, 401 in 2-D); reach: how many standard deviations
        the grid goes beyond the outermost means. Raises ValueError for other D and classes.
        """
        dims = self.shape[0]
        if dims > 2:
            raise ValueError(f"a grid is for 1 or 2 dimensions; the mixture has {dims}.")
        if not 0 <= y < self.classes:
            raise ValueError(f"y={y}: the classes are 0 to {self.classes - 1}.")
        points = points or (4001 if dims == 1 else 401)
        bar = float(self.schedule.alpha_bar[t])
        means, sds = math.sqrt(bar) * self.means.double().cpu(), self.sds.double().cpu()
        room = reach * (bar * sds**2 + 1 - bar).sqrt()[:, None]
        low, high = (means - room).amin(0), (means + room).amax(0)
        axes = tuple(torch.linspace(float(a), float(b), points, dtype=torch.float64)
                     for a, b in zip(low, high, strict=True))  # fmt: skip
        x = torch.cartesian_prod(*axes).reshape(-1, dims).to(self.means)
        log = self.log_prob(x, t).double() + w * self.log_class_prob(x, t)[:, y].double()
        return Grid.of(axes, log.cpu().reshape([points] * dims))

    def _log_weights(self, y: Tensor | None, n: int) -> Tensor:
        """log w_k, (B, K); given a class, of its components alone, summing to 1."""
        log = self.weights.log().expand(n, -1)
        if y is None:
            return log
        other = (y[:, None] >= 0) & (self.groups != y[:, None])
        return log.masked_fill(other, -math.inf).log_softmax(1)

    def _joint(self, x: Tensor, t: Tensor | int, y: Tensor | None):
        """log w_k·N(x; …) (B, K), x − √ᾱ·m_k (B, K, D) and the components' variances (B, K)."""
        if x.ndim != 2 or x.shape[1:] != self.shape:
            raise ValueError(f"points must be (B, {self.shape[0]}); these are {tuple(x.shape)}.")
        y = None if y is None else check_classes(y, self.classes, x)
        bar = self.schedule.at("alpha_bar", t, x)
        noise = self.schedule.at(1 - self.schedule.alpha_bar, t, x)
        variance = bar * self.sds.to(x) ** 2 + noise
        away = x[:, None] - bar[:, :, None].sqrt() * self.means.to(x)
        normal = away.square().sum(2) / variance + self.shape[0] * (2 * math.pi * variance).log()
        return self._log_weights(y, len(x)).to(x) - 0.5 * normal, away, variance


@dataclass(frozen=True, eq=False)
class Grid:
    """A density on a regular grid in one or two dimensions, float64 on the processor.

    ``axes``: D rising tensors (G,). ``density``: (G,) or (G, G), in 1/x or 1/(x₁·x₂), its sum
    times a cell 1; the first index goes with the first axis. ``log_z``: the logarithm of what it
    was divided by.
    """

    axes: tuple[Tensor, ...]
    density: Tensor
    log_z: float

    @classmethod
    def of(cls, axes: tuple[Tensor, ...], log_density: Tensor) -> Grid:
        """From the logarithm of a density that need not sum to 1."""
        cell = math.prod(float(a[1] - a[0]) for a in axes)
        log_z = float(log_density.flatten().logsumexp(0)) + math.log(cell)
        return cls(axes, (log_density - log_z).exp(), log_z)

    @property
    def cell(self) -> float:
        """The length or area that belongs to one point of the grid."""
        return math.prod(float(a[1] - a[0]) for a in self.axes)

    @property
    def points(self) -> Tensor:
        """The places of ``density.flatten()``, (G, 1) or (G·G, 2)."""
        return torch.cartesian_prod(*self.axes).reshape(-1, len(self.axes))

    def mean(self) -> Tensor:
        """(D,)"""
        return self.density.flatten() @ self.points * self.cell

    def variance(self) -> Tensor:
        """The variance of each coordinate, (D,)."""
        return self.density.flatten() @ (self.points - self.mean()) ** 2 * self.cell

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n independent draws (n, D): a cell by its share, and a place in it."""
        share = self.density.flatten() * self.cell
        # By the sums' inverse: torch.multinomial takes no more than 2²⁴ cells, and only floats.
        u = torch.rand(n, generator=generator, dtype=torch.float64)
        which = torch.searchsorted(share.cumsum(0), u).clamp(max=len(share) - 1)
        within = torch.rand(n, len(self.axes), generator=generator, dtype=torch.float64) - 0.5
        size = torch.tensor([float(a[1] - a[0]) for a in self.axes]).double()
        return self.points[which] + within * size
