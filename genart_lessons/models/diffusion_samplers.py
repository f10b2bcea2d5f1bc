"""Samplers: from noise to data by a denoiser, step by step, and the likelihood on the same path.

``ddpm`` takes a random step each time, ``ddim`` none or as much as ``eta`` says, ``dpm2`` a
straighter one of the second order. They take any denoiser: a network (``diffusion.Denoiser``) or
the exact answer (``noised_mixture.NoisedMixture``). All noise is drawn on the processor, from a
generator that is an argument, so a seed means the same picture everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genart_lessons.models.diffusion import Schedule, predict, reverse_variances

Steps = int | Sequence[int] | None


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What was kept on the way to ``x0`` (B, …), for films.

    ``times``: the K times kept, falling. ``states`` (K, B, …): x_t at each. ``guesses``
    (K, B, …): the x_0 that the model guessed from that x_t (at t = 0: x_0 itself).
    """

    x0: Tensor
    times: tuple[int, ...]
    states: Tensor
    guesses: Tensor


def ddpm(
    model: Any,
    start: int | Tensor,
    *,
    shape: Sequence[int] | None = None,
    y: Tensor | None = None,
    guidance: float = 1.0,
    variance: str | Tensor = "beta_tilde",
    steps: Steps = None,
    generator: torch.Generator | None = None,
    clip: bool = False,
    keep: int | Sequence[int] | None = None,
) -> Any:
    """Samples (B, …) by the reverse chain, x_{t−1} = μ + σ_t·z, without z at the last step: 7.28.

    Args:
        start: how many samples, or their noise x_T (B, …).
        shape: of one sample, if the model does not tell (``model.shape``).
        y: (B,) classes; guidance: see ``guided``.
        variance: σ_t² is β̃_t, ``"beta_tilde"``, or β_t, ``"beta"``; or a table (T + 1,).
        steps: all T, if None; so many, evenly; or the very times, falling, such as (9, 4, 1). A
            step from t over several to s is one of the chain with those times alone:
            ᾱ_t/ᾱ_s takes the place of α_t.
        clip: cut every guess of x_0 off at −1 and 1, as is usual for pictures.
        keep: how many states to keep, or which times (the nearest that are visited); then a
            ``Trajectory`` comes back.

    Ho, Jain and Abbeel 2020, algorithm 2; fewer steps: Nichol and Dhariwal 2021, section 4.
    """
    schedule = model.schedule
    chain = times(schedule, steps)
    if isinstance(variance, Tensor):
        reverse_variances(schedule, variance)  # refuses what does not fit
        if len(chain) != schedule.T + 1:
            raise ValueError("a table of variances is for all T steps: leave steps out.")
    elif variance not in ("beta_tilde", "beta"):
        raise ValueError(f"variance={variance!r}: it is 'beta_tilde' or 'beta', or a table.")

    def step(x, guess, t, s):
        of_x0, of_xt, beta, beta_tilde = jump(schedule, t, s)
        mean = of_x0 * guess + of_xt * x
        if s == 0:
            return mean  # noise at the last step would only be left in the picture
        if isinstance(variance, Tensor):
            sigma = math.sqrt(float(variance[t]))
        else:
            sigma = math.sqrt(beta if variance == "beta" else beta_tilde)
        return mean + sigma * _noise(x, generator)

    return _walk(model, start, step, chain, shape, y, guidance, generator, clip, keep)


def ddim(
    model: Any,
    start: int | Tensor,
    *,
    shape: Sequence[int] | None = None,
    y: Tensor | None = None,
    guidance: float = 1.0,
    steps: Steps = 50,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
    clip: bool = False,
    keep: int | Sequence[int] | None = None,
) -> Any:
    """Samples by steps that keep the marginals q(x_t) but need no noise: equation 7.29.

    x_s = √ᾱ_s·x̂_0 + √(1 − ᾱ_s − σ²)·ε̂ + σ·z with σ = η·√β̃ (eq. 7.30). eta: 0 for none, so that
    x_T alone decides; 1 for the noise of ``ddpm``. With ``clip``, ε̂ is the noise that belongs to
    the guess that was cut off. The other arguments as for ``ddpm``. Song, Meng and Ermon 2021,
    eqs 12 and 16.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta={eta} must be from 0, no noise, to 1, that of ddpm.")
    schedule = model.schedule

    def step(x, guess, t, s):
        if s == 0:
            return guess
        bar_t, bar_s = float(schedule.alpha_bar[t]), float(schedule.alpha_bar[s])
        sigma2 = eta**2 * jump(schedule, t, s)[3]
        eps = (x - math.sqrt(bar_t) * guess) / math.sqrt(1 - bar_t)
        x = math.sqrt(bar_s) * guess + math.sqrt(max(0.0, 1 - bar_s - sigma2)) * eps
        return x + math.sqrt(sigma2) * _noise(x, generator) if eta else x

    chain = times(schedule, steps)
    return _walk(model, start, step, chain, shape, y, guidance, generator, clip, keep)


def dpm2(
    model: Any,
    start: int | Tensor,
    *,
    shape: Sequence[int] | None = None,
    y: Tensor | None = None,
    guidance: float = 1.0,
    steps: Steps = 10,
    noisy: bool = False,
    generator: torch.Generator | None = None,
    clip: bool = False,
    keep: int | Sequence[int] | None = None,
) -> Any:
    """DPM-Solver++(2M): samples by a second-order solver of the probability-flow ODE: eq. 7.34.

    With λ = log(√ᾱ/√(1 − ᾱ)), a step of h from t to s takes the guess of x_0 as a line through
    the last two: x_s = σ_s/σ_t·x_t − √ᾱ_s·(e^{−h} − 1)·D, D = x̂_0 + (x̂_0 − x̂_0')·h/(2h'). The
    first and the last step have only one guess, and are those of ``ddim``. One evaluation a step,
    no noise after x_T. The other arguments as for ``ddpm``. Lu et al. 2022, algorithm 2.

    noisy: solve the stochastic equation instead, with the same D and fresh noise in every step but
    the last: x_s = σ_s/σ_t·e^{−h}·x_t + √ᾱ_s·(1 − e^{−2h})·D + σ_s·√(1 − e^{−2h})·ε. Fresh noise
    washes out what an inexact network got wrong earlier. diffusers' "sde-dpmsolver++".
    """
    schedule = model.schedule
    bar = schedule.alpha_bar
    lam = 0.5 * (bar.log() - torch.log1p(-bar))  # infinite at t = 0
    before: list = []

    def step(x, guess, t, s):
        if s == 0:
            return guess  # what the formula tends to for h → ∞
        h = float(lam[s] - lam[t])
        middle = guess
        if before:
            last, h_last = before
            middle = guess + (guess - last) * (h / (2 * h_last))
        before[:] = guess, h
        shrink = math.sqrt((1 - float(bar[s])) / (1 - float(bar[t])))
        if noisy:
            fresh = -math.expm1(-2 * h)  # the share of the variance that is drawn anew
            x = shrink * math.exp(-h) * x + math.sqrt(float(bar[s])) * fresh * middle
            return x + math.sqrt((1 - float(bar[s])) * fresh) * _noise(x, generator)
        return shrink * x - math.sqrt(float(bar[s])) * math.expm1(-h) * middle

    chain = times(schedule, steps)
    return _walk(model, start, step, chain, shape, y, guidance, generator, clip, keep)


class guided:
    """The denoiser whose prediction is ε̃ = ε_∅ + w·(ε_y − ε_∅): equation 7.36.

    guidance: w = 1 is the conditional model itself, 0 the unconditional one, and above 1 what
    tells the class from the rest is exaggerated. Ho and Salimans 2022, eq. 6, whose own w is ours
    minus 1. The same w mixes ε, x_0 and v, as each is a line in the others.
    Raises ValueError for a model without classes, and for w ≠ 1 without a class.
    """

    def __init__(self, model: Any, guidance: float):
        if not math.isfinite(guidance):
            raise ValueError(f"guidance={guidance} must be a number.")
        if not getattr(model, "classes", 0):
            raise ValueError("guidance is towards a class, and this model knows none.")
        self.model, self.guidance = model, float(guidance)
        self.schedule, self.predicts, self.classes = model.schedule, model.predicts, model.classes
        self.shape = getattr(model, "shape", None)

    def __call__(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """The guided prediction for x_t (B, …), t (B,) and the classes y (B,), from 0."""
        if y is None or bool((y < 0).any()):
            raise ValueError("guidance needs the class y of every sample, (B,), from 0.")
        if self.guidance == 1:
            return self.model(x_t, t, y)
        nobody = torch.full_like(y, -1)
        if self.guidance == 0:
            return self.model(x_t, t, nobody)
        both = self.model(torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([nobody, y]))
        without, given = both.chunk(2)
        return without + self.guidance * (given - without)


def times(schedule: Schedule, steps: Steps = None) -> list[int]:
    """The times a sampler stands at, falling from T to 0: round(T·i/steps), or those given and 0.

    Given times may begin below T only if x_T is given to match. Raises ValueError for more steps
    than T and for times that do not fall from T at most to 1 at least.
    """
    T = schedule.T
    if steps is None:
        steps = T
    if isinstance(steps, int):
        if not 1 <= steps <= T:
            raise ValueError(f"steps={steps}: the schedule has {T}, and at least 1 is needed.")
        return [round(T * i / steps) for i in range(steps, 0, -1)] + [0]
    chain = [int(t) for t in steps]
    falling = all(a > b for a, b in zip(chain, chain[1:], strict=False))
    if not chain or not falling or chain[0] > T or chain[-1] < 1:
        raise ValueError(f"the times must fall, from at most {T} to at least 1; not {chain[:12]}.")
    return [*chain, 0]


def jump(schedule: Schedule, t: int, s: int) -> tuple[float, float, float, float]:
    """What ``posterior`` has for one step, for one from t to s < t.

    The factors of x̂_0 and x_t in the mean, β = 1 − ᾱ_t/ᾱ_s, and β̃ = β·(1 − ᾱ_s)/(1 − ᾱ_t).
    """
    bar_t, bar_s = float(schedule.alpha_bar[t]), float(schedule.alpha_bar[s])
    alpha = bar_t / bar_s
    beta = float(schedule.beta[t]) if s == t - 1 else 1 - alpha
    of_x0 = math.sqrt(bar_s) * beta / (1 - bar_t)
    of_xt = math.sqrt(alpha) * (1 - bar_s) / (1 - bar_t)
    return of_x0, of_xt, beta, beta * (1 - bar_s) / (1 - bar_t)


# -- the likelihood ------------------------------------------------------------------------------


def ode_log_likelihood(
    model: Any, x: Tensor, *, y: Tensor | None = None, guidance: float = 1.0, steps: Steps = None
) -> Tensor:
    """log p(x) in nats, (B,), of the distribution that the probability-flow ODE makes of N(0, I).

    x: (B, D), D at most 3: the divergence is taken exactly, one backward pass a dimension.
    With x_t = cos φ·x_0 + sin φ·ε, cos φ = √ᾱ_t, the ODE of equation 7.32 reads dx/dφ = v, which
    is tame at both ends (Salimans and Ho 2022, appendix D), and log p falls along it by div v. Both
    are integrated from the data to the noise by Heun's rule between the times of the schedule
    (all, or ``steps`` as for ``ddpm``), as the network knows no others; at t = 0 v is 0.
    Chen et al. 2018; Song et al. 2021, appendix D.2.
    """
    if x.ndim != 2 or not 1 <= x.shape[1] <= 3:
        raise ValueError(f"x must be (B, D) with D from 1 to 3; it is {tuple(x.shape)}.")
    model = _with_guidance(model, y, guidance)
    schedule, dims = model.schedule, x.shape[1]
    phi = schedule.alpha_bar.sqrt().clamp(max=1).acos()

    def slope(x, t):
        return predict(model, x, t, y, "v")

    def slope_and_divergence(x, t):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            v = slope(x, t)
            rows = [torch.autograd.grad(v[:, i].sum(), x, retain_graph=True)[0][:, i]
                    for i in range(dims)]  # fmt: skip
        return v.detach(), torch.stack(rows).sum(0)

    chain = times(schedule, steps)[::-1]
    x, v = x.detach(), torch.zeros_like(x)
    gained, div = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0])
    for t, s in zip(chain, chain[1:], strict=False):
        h = float(phi[s] - phi[t])
        with torch.no_grad():
            x = x + h / 2 * (v + slope(x + h * v, s))
        v, new = slope_and_divergence(x, s)  # here, and first of all in the next step
        gained, div = gained + h / 2 * (div + new), new
    return gained - 0.5 * (x**2 + math.log(2 * math.pi)).sum(1)


# -- what all samplers share ---------------------------------------------------------------------


@torch.no_grad()
def _walk(model, start, step, chain, shape, y, guidance, generator, clip, keep) -> Any:
    """From x_T along ``chain``: at each time a guess of x_0, then ``step(x, guess, t, s)``."""
    model = _with_guidance(model, y, guidance)
    x = _first(model, start, shape, generator)
    if y is not None:
        if tuple(y.shape) != (len(x),):
            raise ValueError(f"y must be ({len(x)},), a class a sample; it is {tuple(y.shape)}.")
        y = y.to(x.device)
    film = _kept(chain, keep)
    states, guesses = [], []
    for t, s in zip(chain, chain[1:], strict=False):
        guess = predict(model, x, t, y, "x0")
        if clip:
            guess = guess.clamp(-1, 1)
        if t in film:
            states.append(x)
            guesses.append(guess)
        x = step(x, guess, t, s)
    if keep is None:
        return x
    if 0 in film:
        states.append(x)
        guesses.append(x)
    return Trajectory(x, tuple(film), torch.stack(states), torch.stack(guesses))


def _with_guidance(model: Any, y: Tensor | None, guidance: float) -> Any:
    if guidance == 1.0:
        return model
    if y is None:
        raise ValueError("guidance other than 1 needs the classes y (B,).")
    return guided(model, guidance)


def _first(model: Any, start: int | Tensor, shape, generator) -> Tensor:
    """x_T as given, or drawn."""
    inner = getattr(model, "model", model)
    one = next(inner.parameters(), None) if hasattr(inner, "parameters") else None
    one = one if one is not None else getattr(inner, "means", torch.zeros(()))
    if isinstance(start, Tensor):
        return start.to(one.device)
    shape = shape if shape is not None else getattr(model, "shape", None)
    if shape is None:
        raise ValueError("say what to sample: shape=(C, H, W), or give the noise x_T (B, …).")
    if start < 1:
        raise ValueError(f"{start} samples: ask for 1 or more.")
    return torch.randn((start, *shape), generator=generator, dtype=one.dtype).to(one.device)


def _noise(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device)


def _kept(chain: list[int], keep: int | Sequence[int] | None) -> list[int]:
    """The visited times to keep, falling."""
    if keep is None:
        return []
    if isinstance(keep, int):
        if keep < 2:
            raise ValueError(f"keep={keep}: a film has two states or more; or give their times.")
        last = len(chain) - 1
        places = {round(last * i / (keep - 1)) for i in range(keep)}
        return [chain[i] for i in sorted(places)]
    near = {min(chain, key=lambda t: (abs(t - wanted), t)) for wanted in keep}
    return sorted(near, reverse=True)
