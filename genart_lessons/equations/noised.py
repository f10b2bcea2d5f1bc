"""What the equations of chapter 07 share: one step t of a noise schedule, and a noised mixture.

A step is three numbers, α_t, ᾱ_{t−1} and ᾱ_t = α_t ᾱ_{t−1}; β_t is 1 − α_t. Every equation that
mentions one of them is tried with all three, so that a formula can confuse them.
"""

from collections.abc import Callable
from typing import Any

import sympy
import torch
from torch import Tensor

from genart_lessons.equations.derive import entries, log_normal, positive, real
from genart_lessons.proof.draws import Draw, points, simplex, uniform

# -- one step --------------------------------------------------------------------------------------

STEP_EXAMPLE = {"alpha": 0.75, "alpha_bar": 0.48, "alpha_bar_before": 0.64}
STEP_SYMBOLS: dict[str, Callable[..., Tensor]] = {
    "alpha_t": lambda alpha, **_: alpha,
    "beta_t": lambda alpha, **_: 1 - alpha,
    "alpha_bar_t": lambda alpha_bar, **_: alpha_bar,
    "alpha_bar_t-1": lambda alpha, alpha_bar, **_: alpha_bar / alpha,
}

ALPHA, BEFORE = real("alpha", "alpha_bar_before")
NOW = ALPHA * BEFORE
_U, _W = positive("u", "w")
BETWEEN_0_AND_1 = {ALPHA: 1 / (1 + _U), BEFORE: 1 / (1 + _W)}  # so that SymPy knows that they are
STEP_LETTERS: dict[str, Any] = {
    "alpha": ALPHA, "alpha_bar": NOW, "alpha_bar_before": BEFORE,
    "alpha_t": ALPHA, "beta_t": 1 - ALPHA, "alpha_bar_t": NOW, "alpha_bar_t-1": BEFORE,
}  # fmt: skip


def at_a_step(**each: Callable) -> Draw:
    """Drawings for the arguments of an equation, and after them those of one step."""
    free = points(alpha=uniform(0.5, 0.95), alpha_bar_before=uniform(0.05, 0.95))

    def draw(generator: torch.Generator, count: int) -> dict[str, Tensor]:
        given, step = points(**each)(generator, count), free(generator, count)
        alpha, before = step["alpha"], step["alpha_bar_before"]
        return {**given, "alpha": alpha, "alpha_bar": alpha * before, "alpha_bar_before": before}

    return draw


def conditioned(x_0, x_t, alpha, alpha_bar_before):
    """Mean and variance of x_{t−1} given x_0 and x_t, by conditioning two normals on each other.

    Given x_0, x_{t−1} and x_t have a covariance of √α_t (1 − ᾱ_{t−1}).
    """
    var_before, var_now = 1 - alpha_bar_before, 1 - alpha * alpha_bar_before
    gain = alpha.sqrt() * var_before / var_now
    surprise = x_t - (alpha * alpha_bar_before).sqrt() * x_0
    return alpha_bar_before.sqrt() * x_0 + gain * surprise, var_before - gain**2 * var_now


def variance_of_two_signs(a, b):
    """The variance over ±a ± b, all four equally likely."""
    sums = torch.stack([a + b, a - b, b - a, -a - b], dim=-1)
    return sums.var(-1, correction=0)


X_0, X_T, X_BEFORE, EPS = real("x_0", "x_t", "x_before", "eps")


def completed_square() -> tuple[sympy.Expr, sympy.Expr]:
    """Mean and variance of q(x_{t−1}|x_t,x_0): log q(x_t|x_{t−1}) q(x_{t−1}|x_0) is a parabola."""
    log_joint = log_normal(X_T, sympy.sqrt(ALPHA) * X_BEFORE, 1 - ALPHA) + log_normal(
        X_BEFORE, sympy.sqrt(BEFORE) * X_0, 1 - BEFORE
    )
    c2, c1, _ = sympy.Poly(sympy.expand(log_joint), X_BEFORE).all_coeffs()
    return -c1 / (2 * c2), -1 / (2 * c2)


def leap(x_0: sympy.Expr, eps: sympy.Expr, alpha_bar: sympy.Expr = NOW) -> sympy.Expr:
    """(7.5) in letters."""
    return sympy.sqrt(alpha_bar) * x_0 + sympy.sqrt(1 - alpha_bar) * eps


# -- a mixture, noised -----------------------------------------------------------------------------

PARTS = 3
MIXTURE = {"w": simplex(PARTS), "mu": uniform(-2, 2, PARTS), "sigma": uniform(0.2, 1, PARTS)}
MIXTURE_EXAMPLE = {"w": [0.5, 0.25, 0.25], "mu": [-1.0, 0.0, 2.0], "sigma": [0.5, 0.5, 1.0]}


def variances(alpha_bar, sigma, **_):
    """Of each noised component: (P, K)."""
    return alpha_bar[:, None] * sigma**2 + 1 - alpha_bar[:, None]


def log_parts(x_t, alpha_bar, mu, sigma, **_):
    """log q(x_t|k) of each component: (P, K)."""
    spread = variances(alpha_bar, sigma).sqrt()
    law = torch.distributions.Normal(alpha_bar.sqrt()[:, None] * mu, spread)
    return law.log_prob(x_t[:, None])


def log_mixture(w, **noised):
    """log q(x_t) of the whole mixture: (P,)."""
    return (w.log() + log_parts(**noised)).logsumexp(-1)


def shares(w, **noised):
    """p(k|x_t): (P, K)."""
    return (w.log() + log_parts(**noised)).softmax(-1)


def slopes(x_t, alpha_bar, mu, sigma, **_):
    """∂ log q(x_t|k)/∂x_t of each component: (P, K)."""
    return (alpha_bar.sqrt()[:, None] * mu - x_t[:, None]) / variances(alpha_bar, sigma)


def score(**noised):
    """∂ log q(x_t)/∂x_t of the whole mixture: (P,)."""
    return (shares(**noised) * slopes(**noised)).sum(-1)


def with_more(draw: Draw, **more: Callable[..., Tensor]) -> Draw:
    """What ``draw`` draws, and behind it what follows from that: name → function of the rest."""

    def both(generator: torch.Generator, count: int) -> dict[str, Tensor]:
        given = draw(generator, count)
        return {**given, **{name: make(**given) for name, make in more.items()}}

    return both


def example_with_more(example: dict[str, Any], **more: Callable[..., Tensor]) -> dict[str, Any]:
    """The same for the worked example."""
    given = {n: torch.as_tensor(v, dtype=torch.float64)[None] for n, v in example.items()}
    return {**example, **{name: make(**given)[0].tolist() for name, make in more.items()}}


# The mixture in letters. A density is a letter f_k of its own, and its slope that of its logarithm.
_NOISED = sympy.Symbol("alpha_bar", real=True)
WEIGHTS, MEANS = entries("w", PARTS, above_zero=True), entries("mu", PARTS)
SPREADS, DENSITIES = (entries(name, PARTS, above_zero=True) for name in ("sigma", "f"))
NOISED_BETWEEN = {_NOISED: 1 / (1 + _U)}
SLOPES = tuple(
    sympy.diff(log_normal(X_T, sympy.sqrt(_NOISED) * m, _NOISED * s**2 + 1 - _NOISED), X_T)
    for m, s in zip(MEANS, SPREADS, strict=True)
)


def averaged(values) -> sympy.Expr:
    """Σ w f v / Σ w f: what is true of each component, weighed by its share p(k|x_t)."""
    weighed = [w * f for w, f in zip(WEIGHTS, DENSITIES, strict=True)]
    return sympy.Add(*(a * v for a, v in zip(weighed, values, strict=True))) / sympy.Add(*weighed)


def guesses() -> tuple[sympy.Expr, ...]:
    """E[x_0|x_t, k] of each component, by completing the square."""
    found = []
    for m, s in zip(MEANS, SPREADS, strict=True):
        log_joint = log_normal(X_T, sympy.sqrt(_NOISED) * X_0, 1 - _NOISED)
        log_joint += log_normal(X_0, m, s**2)
        c2, c1, _ = sympy.Poly(sympy.expand(log_joint), X_0).all_coeffs()
        found.append(-c1 / (2 * c2))
    return tuple(found)


MIXTURE_LETTERS: dict[str, Any] = {
    "x_t": X_T, "alpha_bar": _NOISED, "alpha_bar_t": _NOISED,
    "w": WEIGHTS, "mu": MEANS, "sigma": SPREADS, "N": DENSITIES,
    "r": tuple(
        w * f / sympy.Add(*(a * b for a, b in zip(WEIGHTS, DENSITIES, strict=True)))
        for w, f in zip(WEIGHTS, DENSITIES, strict=True)
    ),
    "score": averaged(SLOPES), "s_t": averaged(SLOPES),
    "slope": SLOPES[0] - averaged(SLOPES), "g_t": SLOPES[0] - averaged(SLOPES),
}  # fmt: skip
MIXTURE_SYMBOLS: dict[str, Callable[..., Tensor]] = {
    "alpha_bar_t": lambda alpha_bar, **_: alpha_bar,
    "N": lambda **noised: log_parts(**noised).exp(),
    "r": shares,
}
