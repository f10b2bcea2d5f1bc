"""Diffusion models: the forward process, the maps between what a network may predict, the bound.

Chapter 07 checks every formula here. Steps are t = 1 … T, and every table of a schedule has T + 1
entries, so that ``schedule.alpha_bar[t]`` is ᾱ_t and nothing is shifted by one; entry 0 is the
data, without noise. (Other libraries count the same steps from 0: their timestep k is our k + 1.)

Shapes: data ``x0``, noised data ``x_t`` and noise ``eps`` (B, …): pictures (B, C, H, W) with
values from −1 to 1, or points (B, D); times ``t`` (B,) and classes ``y`` (B,) whole numbers.
Everything that is measured comes per example, (B,), in nats. Noise is an argument, or is drawn on
the processor from a generator that is one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KINDS = ("eps", "x0", "v", "score")
PREDICTS = KINDS[:3]

# -- schedules -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Schedule:
    """How much noise each step adds: four tables (T + 1,), float64 on the processor.

    ``beta``: β_t, the variance that step t adds, β_0 = 0. ``alpha``: α_t = 1 − β_t.
    ``alpha_bar``: ᾱ_t = α_1·…·α_t, what is left of the data's variance, ᾱ_0 = 1.
    ``beta_tilde``: β̃_t = β_t·(1 − ᾱ_{t−1})/(1 − ᾱ_t), the variance of q(x_{t−1}|x_t, x_0), 0 at
    t = 1: equation 7.14. Made by ``from_betas``. Ho, Jain and Abbeel 2020, section 2.
    """

    beta: Tensor
    alpha: Tensor
    alpha_bar: Tensor
    beta_tilde: Tensor

    @classmethod
    def from_betas(cls, betas: Tensor | Sequence[float]) -> Schedule:
        """The schedule of β_1 … β_T, given as (T,).

        Raises ValueError unless each is above 0 and below 1.
        """
        given = torch.as_tensor(betas, dtype=torch.float64).detach().cpu()
        if given.ndim != 1 or len(given) == 0:
            raise ValueError(f"betas must be (T,), T ≥ 1; they are {tuple(given.shape)}.")
        if not bool(((given > 0) & (given < 1)).all()):  # written so that NaN fails too
            raise ValueError(
                "every β_t must be above 0 and below 1; these run from "
                f"{given.min():.4g} to {given.max():.4g}. (β is a variance: neither √β nor ᾱ.)"
            )
        beta = torch.cat([torch.zeros(1, dtype=torch.float64), given])
        alpha = 1 - beta
        alpha_bar = alpha.cumprod(0)
        beta_tilde = torch.zeros_like(beta)
        beta_tilde[1:] = given * (1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])
        return cls(beta, alpha, alpha_bar, beta_tilde)

    @property
    def T(self) -> int:
        """The number of steps."""
        return len(self.beta) - 1

    @property
    def snr(self) -> Tensor:
        """ᾱ_t/(1 − ᾱ_t), (T + 1,): the signal's variance over the noise's, infinite at t = 0."""
        return self.alpha_bar / (1 - self.alpha_bar)

    def at(self, table: str | Tensor, t: Tensor | int, like: Tensor) -> Tensor:
        """Entries ``t`` of a table, shaped to multiply ``like`` (B, …), in its dtype and place.

        table: one of the four by name, or any (T + 1,) made from them, such as
        ``schedule.alpha_bar.sqrt()``; what is to be rooted or divided is so in float64.
        t: (B,) whole numbers from 0 to T, or one for all. Raises ValueError for others.
        """
        table = getattr(self, table) if isinstance(table, str) else table
        if table.shape != self.beta.shape:
            raise ValueError(f"a table must be ({self.T + 1},); this is {tuple(table.shape)}.")
        t = check_times(t, 0, self.T, len(like)).to(like.device)
        # First the dtype, then the place: some devices have no float64.
        return table.to(like.dtype).to(like.device)[t].view(-1, *[1] * (like.ndim - 1))


def linear(T: int = 1000, first: float = 1e-4, last: float = 0.02) -> Schedule:
    """β_t in equal steps from ``first`` to ``last``: equation 7.10. Ho et al. 2020, section 4.

    The two numbers were chosen for T = 1000: with fewer steps and the same β some of the data is
    left at T.
    """
    _check_length(T)
    return Schedule.from_betas(torch.linspace(first, last, T, dtype=torch.float64))


def cosine(T: int = 1000, s: float = 0.008, most: float = 0.999) -> Schedule:
    """ᾱ_t = f(t)/f(0), f(t) = cos²((t/T + s)/(1 + s)·π/2), by β_t = 1 − ᾱ_t/ᾱ_{t−1}: eq. 7.11.

    β_t is at most ``most``, because ᾱ_T would be 0 and nothing could lead back from there.
    Nichol and Dhariwal 2021, eq. 17.
    """
    _check_length(T)
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = ((u + s) / (1 + s) * math.pi / 2).cos() ** 2
    return Schedule.from_betas((1 - f[1:] / f[:-1]).clamp(max=most))


def to_signed(x: Tensor) -> Tensor:
    """Pictures with values in [0, 1], as ``data`` gives them, to [−1, 1], as the models take them.

    Raises ValueError for values outside [0, 1].
    """
    low, high = torch.stack(x.detach().aminmax()).tolist()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"pixels must be numbers from 0 to 1; these run from {low:.4g} to {high:.4g}."
        )
    return 2 * x - 1


def to_unit(x: Tensor) -> Tensor:
    """Back from [−1, 1] to [0, 1], to be looked at; what a sample overshoots is cut off."""
    return ((x + 1) / 2).clamp(0, 1)


# -- the forward process, and its reversal where x0 is known -------------------------------------


def noised(schedule: Schedule, x0: Tensor, t: Tensor | int, eps: Tensor) -> Tensor:
    """x_t = √ᾱ_t·x_0 + √(1 − ᾱ_t)·ε, a draw from q(x_t|x_0) in one go: equation 7.5.

    x0 and eps (B, …), t (B,) or one number, from 0 (x_0 itself) to T. Ho et al. 2020, eq. 4.
    """
    _check_alike(x0, eps, "x0", "eps")
    a, s = _signal_noise(schedule, t, x0)
    return a * x0 + s * eps


def posterior(
    schedule: Schedule, x0: Tensor, x_t: Tensor, t: Tensor | int
) -> tuple[Tensor, Tensor]:
    """The mean μ̃_t (B, …) and the variance β̃_t (B, 1, …) of q(x_{t−1}|x_t, x_0): eqs 7.13, 7.14.

    t from 1 to T; at t = 1 it is x_0 without any doubt. Ho et al. 2020, eqs 6 and 7.
    """
    _check_alike(x0, x_t, "x0", "x_t")
    check_times(t, 1, schedule.T, len(x_t))
    beta, alpha, bar = schedule.beta[1:], schedule.alpha[1:], schedule.alpha_bar
    of_x0, of_xt = torch.zeros_like(bar), torch.zeros_like(bar)
    of_x0[1:] = bar[:-1].sqrt() * beta / (1 - bar[1:])
    of_xt[1:] = alpha.sqrt() * (1 - bar[:-1]) / (1 - bar[1:])
    mean = schedule.at(of_x0, t, x_t) * x0 + schedule.at(of_xt, t, x_t) * x_t
    return mean, schedule.at("beta_tilde", t, x_t)


def convert(
    schedule: Schedule, x_t: Tensor, t: Tensor | int, value: Tensor, source: str, target: str
) -> Tensor:
    """One kind of prediction at x_t as another, (B, …): equations 7.21 to 7.26.

    Kinds: ``"eps"``, the noise; ``"x0"``, the data; ``"v"`` = √ᾱ·ε − √(1 − ᾱ)·x_0 (Salimans and
    Ho 2022, appendix D); ``"score"`` = −ε/√(1 − ᾱ), which is ∇ log q(x_t) if ε is the mean noise
    (Song et al. 2021). All say the same, given x_t, for t from 1 to T.
    Raises ValueError for an unknown kind, other shapes, and t = 0, where ε is lost.
    """
    for kind in (source, target):
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of prediction; there are {', '.join(KINDS)}.")
    _check_alike(x_t, value, "x_t", f"the {source}")
    check_times(t, 1, schedule.T, len(x_t))
    if source == target:
        return value
    a, s = _signal_noise(schedule, t, x_t)
    if source == "score":
        value, source = -s * value, "eps"
    if source == "eps" and target == "score":
        return -value / s
    if source == "v":  # no division: this is why v is safe at both ends
        x0, eps = a * x_t - s * value, s * x_t + a * value
    elif source == "x0":
        x0, eps = value, (x_t - a * value) / s
    else:
        x0, eps = (x_t - s * value) / a, value
    if target == "v":
        return a * eps - s * x0
    return {"x0": x0, "eps": eps}[target] if target != "score" else -eps / s


# -- the model -----------------------------------------------------------------------------------


class Denoiser(nn.Module):
    """A network that tells from x_t and t what the noise was, or what was under it.

    net: any module net(x_t, t, y) → like x_t. predicts: ``"eps"``, ``"x0"`` or ``"v"``.
    classes: with K > 0 classes, y is a class from 0 to K − 1, or −1 for none; without, y is None.
    shape: that of one example, such as (3, 32, 32), so that samplers need not be told.

    Whatever is callable so and has ``predicts`` and ``schedule`` (and ``classes``) is a denoiser
    to the samplers, such as ``noised_mixture.NoisedMixture``, which knows the exact answer.
    """

    def __init__(
        self,
        net: nn.Module,
        schedule: Schedule,
        predicts: str = "eps",
        classes: int = 0,
        shape: Sequence[int] | None = None,
    ):
        super().__init__()
        if predicts not in PREDICTS:
            raise ValueError(f"predicts={predicts!r}: it is one of {', '.join(PREDICTS)}.")
        if classes < 0:
            raise ValueError(f"classes={classes} is a number of classes, 0 for none.")
        self.net, self.schedule, self.predicts, self.classes = net, schedule, predicts, classes
        self.shape = tuple(shape) if shape is not None else None

    def forward(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """The prediction for x_t (B, …) at the times t (B,), given the classes y (B,) or none."""
        y = check_classes(y, self.classes, x_t)
        return self.net(x_t, t, y).to(x_t.dtype)  # out of mixed precision


class PointNet(nn.Module):
    """Points (B, D) and times (B,), and classes (B,) if there are any, to numbers (B, D).

    steps: the schedule's T. The time enters as sines and cosines of t/T, eight frequencies each,
    the class as a learnt vector (one more for none); then come ``layers`` residual layers of
    ``width`` units, each of which is told the time and the class again.
    """

    frequencies: Tensor

    def __init__(
        self, dims: int, steps: int, *, width: int = 128, layers: int = 3, classes: int = 0
    ):
        super().__init__()
        self.steps = steps
        self.register_buffer("frequencies", math.pi / 2 * 2.0 ** torch.arange(8), persistent=False)
        self.told = nn.Sequential(nn.Linear(16, width), nn.SiLU(), nn.Linear(width, width))
        self.classes = nn.Embedding(classes + 1, width) if classes else None
        self.first, self.last = nn.Linear(dims, width), nn.Linear(width, dims)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        phase = (t / self.steps).to(x.dtype)[:, None] * self.frequencies.to(x.dtype)
        told = self.told(torch.cat([phase.sin(), phase.cos()], 1))
        if self.classes is not None and y is not None:
            told = told + self.classes(y + 1)  # 0 is no class
        h = self.first(x)
        for layer in self.inner:
            h = h + layer(F.silu(h + told))
        return self.last(F.silu(h))


def loss(model: Any, batch: dict, drop: float = 0.1) -> Tensor:
    """The simple loss: the mean squared error of what the model predicts: equation 7.20.

    batch: ``x`` (B, …), pictures in [−1, 1] (``to_signed``); ``eps``, standard normal, like x;
    ``u`` (B,), even over [0, 1), the time t = 1 + ⌊u·T⌋; with classes, ``y`` (B,), and ``drop``
    (B,), even over [0, 1): where it is below the number ``drop``, the class is hidden, so that the
    same network learns to do without (Ho and Salimans 2022, algorithm 1).
    ``Batches({"x": …, "y": …}, B, noise={"eps": shape}, uniform={"u": (), "drop": ()})`` makes
    them. Ho et al. 2020, eq. 14.
    Raises ValueError for pictures that look as if they were in [0, 1].
    """
    x, eps = batch["x"], batch["eps"]
    _check_signed(x)
    t = times_of(model.schedule, batch["u"])
    y = batch.get("y") if model.classes else None
    if y is not None and "drop" in batch:
        y = torch.where(batch["drop"] < drop, -1, y)
    x_t = noised(model.schedule, x, t, eps)
    return F.mse_loss(model(x_t, t, y), target_of(model, x, eps, t))


def times_of(schedule: Schedule, u: Tensor) -> Tensor:
    """t = 1 + ⌊u·T⌋, (B,) from 1 to T, of numbers u (B,) in [0, 1)."""
    return 1 + (u * schedule.T).long().clamp(0, schedule.T - 1)  # u·T may round up to T


def target_of(model: Any, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """What the model should say of noised(x0, t, eps), like x0: ε, x_0 or v."""
    if model.predicts == "v":
        a, s = _signal_noise(model.schedule, t, x0)
        return a * eps - s * x0
    return {"eps": eps, "x0": x0}[model.predicts]


def predict(model: Any, x_t: Tensor, t: Tensor | int, y: Tensor | None, kind: str) -> Tensor:
    """The model's answer at x_t as ``kind``; t may be one number for all."""
    t = torch.as_tensor(t, device=x_t.device).expand(len(x_t))
    return convert(model.schedule, x_t, t, model(x_t, t, y), model.predicts, kind)


# -- the bound -----------------------------------------------------------------------------------


def reverse_variances(schedule: Schedule, variance: str | Tensor = "beta_tilde") -> Tensor:
    """σ_t², (T + 1,), of the reverse steps: ``"beta_tilde"``, ``"beta"``, or a table of one's own.

    Both are extremes: β̃_t is right if the data is one point, β_t if it is standard normal (Ho et
    al. 2020, section 3.2). As β̃_1 is 0, and no density has that variance, the bound takes β̃_2 in
    its place, like Nichol and Dhariwal 2021. (The sampler adds no noise there at all.)
    """
    if isinstance(variance, Tensor):
        if variance.shape != schedule.beta.shape or not bool((variance[1:] > 0).all()):
            raise ValueError(f"variances must be ({schedule.T + 1},), above 0 from t = 1 on.")
        return variance.detach().cpu().double()
    if variance == "beta":
        return schedule.beta
    if variance != "beta_tilde":
        raise ValueError(f"variance={variance!r}: it is 'beta_tilde' or 'beta', or a table.")
    table = schedule.beta_tilde.clone()
    table[1] = table[2] if schedule.T > 1 else schedule.beta[1]
    return table


@torch.no_grad()
def bound_term(
    model: Any,
    x0: Tensor,
    t: int,
    eps: Tensor,
    *,
    y: Tensor | None = None,
    variance: str | Tensor = "beta_tilde",
    levels: int | None = None,
) -> Tensor:
    """L_{t−1} of the bound at one draw of x_t, (B,) nats, t from 1 to T: equation 7.17.

    For t > 1 the divergence of q(x_{t−1}|x_t, x_0) from the model's N(μ_θ, σ_t²·I) (equation
    7.15). For t = 1 it is L_0 = −log p(x_0|x_1): a density of x_0; or, with ``levels`` = 256, the
    probability of a picture with so many equal levels from −1 to 1, each pixel that of its level's
    own interval, to infinity at both ends: Ho et al. 2020, eq. 13.
    """
    schedule = model.schedule
    x_t = noised(schedule, x0, t, eps)
    sigma2 = float(reverse_variances(schedule, variance)[t])
    mean = posterior(schedule, predict(model, x_t, t, y, "x0"), x_t, t)[0]
    if t == 1:
        if levels is not None:
            return -_level_log_prob(x0, mean, math.sqrt(sigma2), levels).flatten(1).sum(1)
        per = (x0 - mean) ** 2 / sigma2 + math.log(2 * math.pi * sigma2)
        return 0.5 * per.flatten(1).sum(1)
    true, beta_tilde = posterior(schedule, x0, x_t, t)[0], float(schedule.beta_tilde[t])
    spread = beta_tilde / sigma2 - 1 - math.log(beta_tilde / sigma2)
    return 0.5 * ((true - mean) ** 2 / sigma2 + spread).flatten(1).sum(1)


def prior_term(schedule: Schedule, x0: Tensor) -> Tensor:
    """L_T = D_KL(q(x_T|x_0) ‖ N(0, I)), (B,) nats, exact: no network has a part in it."""
    bar = float(schedule.alpha_bar[-1])
    per = bar * x0**2 + (1 - bar) - 1 - math.log1p(-bar)
    return 0.5 * per.flatten(1).sum(1)


def bound_terms(
    model: Any,
    x0: Tensor,
    *,
    y: Tensor | None = None,
    variance: str | Tensor = "beta_tilde",
    levels: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """L_0 … L_T, (B, T + 1) nats, one draw of x_t each: their sum is at least −log p(x_0) on the
    average over draws. Options as for ``bound_term``. It takes T evaluations of the network.
    """
    columns = []
    for t in range(1, model.schedule.T + 1):
        eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype).to(x0.device)
        columns.append(bound_term(model, x0, t, eps, y=y, variance=variance, levels=levels))
    return torch.stack([*columns, prior_term(model.schedule, x0)], 1)


def bound(model: Any, x0: Tensor, **options: Any) -> Tensor:
    """The bound on −log p(x_0), (B,) nats: the sum of ``bound_terms``, same options. Eq. 7.16."""
    return bound_terms(model, x0, **options).sum(1)


def simple_weights(schedule: Schedule, variance: str | Tensor = "beta_tilde") -> Tensor:
    """β_t²/(2σ_t²·α_t·(1 − ᾱ_t)), (T + 1,): L_{t−1} is this times |ε − ε_θ|² (and, for σ_t² other
    than β̃_t, a constant): equation 7.19. The simple loss has 1 in its place. Entry 0 is 0.
    """
    sigma2 = reverse_variances(schedule, variance)[1:]
    beta, alpha, bar = (x[1:] for x in (schedule.beta, schedule.alpha, schedule.alpha_bar))
    return torch.cat([torch.zeros(1).double(), beta**2 / (2 * sigma2 * alpha * (1 - bar))])


# -- checks --------------------------------------------------------------------------------------


def check_times(t: Tensor | int, low: int, high: int, batch: int) -> Tensor:
    """t as (B,) or (1,) int64. Raises ValueError unless whole numbers from ``low`` to ``high``."""
    t = torch.as_tensor(t)
    if t.is_floating_point() or t.is_complex() or t.dtype == torch.bool:
        raise ValueError(f"times t are whole numbers from {low} to {high}; these are {t.dtype}.")
    t = t.reshape(1) if t.ndim == 0 else t
    if t.ndim != 1 or len(t) not in (1, batch):
        raise ValueError(f"times t must be ({batch},), one an example; they are {tuple(t.shape)}.")
    least, most = torch.stack(t.aminmax()).tolist()
    if least < low or most > high:
        raise ValueError(
            f"times t must be from {low} to {high}; these are {least} to {most}. "
            "(Steps count from 1 to T here, and 0 is the data.)"
        )
    return t.long()


def check_classes(y: Tensor | None, classes: int, x: Tensor) -> Tensor | None:
    """y as (B,) int64, −1 for none; None where there are no classes. Raises ValueError."""
    if not classes:
        if y is not None and bool((y >= 0).any()):
            raise ValueError("this model knows no classes: leave y out.")
        return None
    if y is None:
        return torch.full((len(x),), -1, device=x.device)
    if y.shape != (len(x),) or y.is_floating_point():
        raise ValueError(
            f"classes y must be whole numbers ({len(x)},); these are {tuple(y.shape)}, {y.dtype}."
        )
    least, most = torch.stack(y.aminmax()).tolist()
    if least < -1 or most >= classes:
        raise ValueError(
            f"classes y are 0 to {classes - 1}, or −1 for none; these are {least} to {most}."
        )
    return y.to(x.device).long()


def _signal_noise(schedule: Schedule, t: Tensor | int, like: Tensor) -> tuple[Tensor, Tensor]:
    """√ᾱ_t and √(1 − ᾱ_t), shaped to multiply ``like``."""
    bar = schedule.alpha_bar
    return schedule.at(bar.sqrt(), t, like), schedule.at((1 - bar).sqrt(), t, like)


def _level_log_prob(x0: Tensor, mean: Tensor, sd: float, levels: int) -> Tensor:
    """log of the normal's mass in each pixel's own interval; the outermost reach to infinity."""
    half = 1 / (levels - 1)
    place = (x0 + 1) / 2 * (levels - 1)
    if bool(((place - place.round()).abs() > 1e-3).any()) or bool((x0.abs() > 1 + 1e-6).any()):
        raise ValueError(f"pixels must be on {levels} equal levels from −1 to 1.")
    upper = torch.where(x0 > 1 - half, math.inf, (x0 + half - mean) / sd)
    lower = torch.where(x0 < -1 + half, -math.inf, (x0 - half - mean) / sd)
    # Both in the lower tail, where differences of probabilities keep their digits.
    flip = lower > 0
    lower, upper = torch.where(flip, -upper, lower), torch.where(flip, -lower, upper)
    log_up, log_low = torch.special.log_ndtr(upper), torch.special.log_ndtr(lower)
    return log_up + torch.log(-torch.expm1((log_low - log_up).clamp(max=-1e-12)))


def _check_alike(x: Tensor, other: Tensor, name: str, second: str) -> None:
    if x.shape != other.shape or x.ndim < 2:
        raise ValueError(
            f"{name} and {second} must have one shape (B, …); they have {tuple(x.shape)} and "
            f"{tuple(other.shape)}."
        )


def _check_signed(x: Tensor) -> None:
    """A whole batch of pictures without one dark pixel was not brought to [−1, 1]."""
    if x.ndim != 4:
        return
    low, high = torch.stack(x.detach().aminmax()).tolist()
    if low >= 0 or not high <= 1.5:
        raise ValueError(
            f"pictures must be in [−1, 1]; these run from {low:.3g} to {high:.3g}. "
            "diffusion.to_signed brings them there from [0, 1]."
        )


def _check_length(T: int) -> None:
    if isinstance(T, bool) or not isinstance(T, int) or T < 1:
        raise ValueError(f"T={T!r} is a number of steps, 1 or more.")
