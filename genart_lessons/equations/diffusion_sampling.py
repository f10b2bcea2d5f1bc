"""Chapter 07, second half: what a network may predict, how to sample with it, how to guide it.

ε, x_0, v and the score are the same knowledge in other words. Gaussians and mixtures of them are
the known truth: their scores, flows and tilted densities have closed forms. And the exercises.
"""

import math
from collections.abc import Callable

import sympy
import torch
from scipy import stats
from torch import Tensor

from genart_lessons.equations.derive import entries, log_normal, mean, positive, real
from genart_lessons.equations.noised import (
    BEFORE,
    BETWEEN_0_AND_1,
    EPS,
    MIXTURE,
    MIXTURE_EXAMPLE,
    MIXTURE_LETTERS,
    MIXTURE_SYMBOLS,
    NOISED_BETWEEN,
    NOW,
    SLOPES,
    STEP_EXAMPLE,
    STEP_LETTERS,
    STEP_SYMBOLS,
    X_0,
    X_T,
    at_a_step,
    averaged,
    completed_square,
    example_with_more,
    guesses,
    leap,
    log_mixture,
    log_parts,
    score,
    shares,
    slopes,
    variance_of_two_signs,
    variances,
    with_more,
)  # fmt: skip
from genart_lessons.proof import Definition, Draws, Equation, Gradient, NearMiss, Numeric
from genart_lessons.proof.draws import normal, points, simplex, uniform

Symbols = dict[str, Callable[..., Tensor]]

# -- four ways to say the same ---------------------------------------------------------------------

_V, _PHI = real("v", "phi")


def _velocity(x_0, eps, alpha_bar, **_):
    angle = alpha_bar.sqrt().acos()
    return angle.cos() * eps - angle.sin() * x_0


def _velocity_in_letters():
    """The derivative of cos φ x_0 + sin φ ε by φ, where cos φ = √ᾱ."""
    slope = sympy.diff(sympy.cos(_PHI) * X_0 + sympy.sin(_PHI) * EPS, _PHI)
    return slope.subs({sympy.cos(_PHI): sympy.sqrt(NOW), sympy.sin(_PHI): sympy.sqrt(1 - NOW)})


def _both(x_t, v, alpha_bar, **_):
    """x_0 and ε from x_t and v, by solving (7.5) and (7.22): (P, 2)."""
    c, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    system = torch.stack([torch.stack([c, s], -1), torch.stack([-s, c], -1)], dim=-2)
    return torch.linalg.solve(system, torch.stack([x_t, v], dim=-1))


def _both_in_letters():
    return sympy.solve([leap(X_0, EPS) - X_T, _velocity_in_letters() - _V], [X_0, EPS])


def _log_noised(x_t, x_0, alpha_bar, **_):
    law = torch.distributions.Normal(alpha_bar.sqrt() * x_0, (1 - alpha_bar).sqrt())
    return law.log_prob(x_t)


def _noised(x_0, eps, alpha_bar, **_):
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps


_NOISY = {"x_0": uniform(-1, 1), "eps": normal()}
_NOISY_EXAMPLE = {**STEP_EXAMPLE, "x_0": 1.0, "eps": -0.5}
_MADE = with_more(at_a_step(**_NOISY), x_t=_noised)
_SAID = at_a_step(x_t=uniform(-2, 2), v=normal())
_SAID_EXAMPLE = {**STEP_EXAMPLE, "x_t": 1.0, "v": 0.5}
_SAID_SYMBOLS: Symbols = {**STEP_SYMBOLS, "v_t": lambda v, **_: v}
_SAID_LETTERS = {**STEP_LETTERS, "x_t": X_T, "v": _V, "v_t": _V}
_SOLVED = "derived by solving (7.5) and (7.22) for x_0 and ε (SymPy)"

_WORDS = (
    Equation(
        id="7.21",
        title="the picture, by the noise",
        lhs="x_0",
        rhs=r"\frac{x_t-\sqrt{1-\bar\alpha_t}\,\epsilon}{\sqrt{\bar\alpha_t}}",
        meaning="(7.5) solved for x_0: with a guess ε̂ of the noise this is a guess x̂_0 of the "
        "picture.",
        quantity="x_0",
        reference=lambda x_t, eps, alpha, alpha_bar, alpha_bar_before: torch.linalg.solve(
            alpha_bar.sqrt()[:, None, None], (x_t - (1 - alpha_bar).sqrt() * eps)[:, None, None]
        )[:, 0, 0],
        evidence=Numeric(
            at_a_step(x_t=uniform(-2, 2), eps=normal()), {**STEP_EXAMPLE, "x_t": 1.0, "eps": 0.5}
        ),
        symbols=STEP_SYMBOLS,
        definition=Definition(
            "derived by solving (7.5) for x_0 (SymPy)",
            lambda: sympy.solve(leap(X_0, EPS) - X_T, X_0)[0],
            {**STEP_LETTERS, "x_t": X_T, "eps": EPS},
            BETWEEN_0_AND_1,
        ),
        cite="Ho et al. 2020, section 3.2; Song et al. 2021a, eq. 9",
        near_misses=(
            NearMiss(
                r"\frac{x_t-\sqrt{\bar\alpha_t}\,\epsilon}{\sqrt{1-\bar\alpha_t}}",
                "ε and x_0 swapped: this takes out eps as if it were the picture",
            ),
            NearMiss(
                r"\frac{x_t-\sqrt{1-\alpha_t}\,\epsilon}{\sqrt{\alpha_t}}",
                "α and ᾱ mixed up: this undoes one step of t",
            ),
            NearMiss(
                r"\frac{x_t-\sqrt{1-\bar\alpha_t}\,\epsilon}{\bar\alpha_t}",
                "divided by ᾱ_t, where its root belongs",
            ),
            NearMiss(
                r"\frac{x_t-(1-\bar\alpha_t)\epsilon}{\sqrt{\bar\alpha_t}}",
                "1 − ᾱ_t is a variance: ε is stretched by its root",
            ),
            NearMiss(
                r"\frac{x_t-(1-\bar\alpha_t)\epsilon}{\bar\alpha_t}",
                "both roots are missing: ᾱ_t and 1 − ᾱ_t are variances",
            ),
            NearMiss(
                r"\frac{x_t+\sqrt{1-\bar\alpha_t}\,\epsilon}{\sqrt{\bar\alpha_t}}",
                "the noise is added: take it out",
            ),
            NearMiss(
                r"x_t-\sqrt{1-\bar\alpha_t}\,\epsilon",
                "it is not divided by √ᾱ_t: the picture is still shrunk",
            ),
            NearMiss(
                r"\frac{x_t-\sqrt{1-\bar\alpha_{t-1}}\,\epsilon}{\sqrt{\bar\alpha_{t-1}}}",
                "t is off by one: x_t holds the noise of t steps, 1 − ᾱ_t",
            ),
        ),
    ),
    Equation(
        id="7.22",
        title="velocity",
        lhs="v_t",
        rhs=r"\sqrt{\bar\alpha_t}\,\epsilon-\sqrt{1-\bar\alpha_t}\,x_0",
        meaning="With √ᾱ_t = cos φ, x_t is on a quarter circle from x_0 to ε; v is its speed by φ.",
        quantity="the velocity",
        reference=lambda x_0, eps, alpha, alpha_bar, alpha_bar_before: _velocity(
            x_0, eps, alpha_bar
        ),
        evidence=Numeric(at_a_step(**_NOISY), _NOISY_EXAMPLE),
        symbols=STEP_SYMBOLS,
        definition=Definition(
            "derived by differentiating cos φ x_0 + sin φ ε, cos φ = √ᾱ (SymPy)",
            _velocity_in_letters,
            {**STEP_LETTERS, "x_0": X_0, "eps": EPS},
            BETWEEN_0_AND_1,
        ),
        cite="Salimans & Ho 2022, section 4 and appendix D",
        near_misses=(
            NearMiss(
                r"\sqrt{\bar\alpha_t}\,x_0-\sqrt{1-\bar\alpha_t}\,\epsilon",
                "ε and x_0 swapped: at first v points towards the noise",
            ),
            NearMiss(
                r"\sqrt{1-\bar\alpha_t}\,x_0-\sqrt{\bar\alpha_t}\,\epsilon",
                "the sign is turned round: v points from the picture towards the noise",
            ),
            NearMiss(
                r"\sqrt{\bar\alpha_t}\,\epsilon+\sqrt{1-\bar\alpha_t}\,x_0",
                "x_0 is added: the cosine falls, so its derivative has a minus",
            ),
            NearMiss(
                r"\sqrt{\bar\alpha_t}\,x_0+\sqrt{1-\bar\alpha_t}\,\epsilon",
                "this is x_t itself: its derivative is asked for",
            ),
            NearMiss(
                r"\epsilon-x_0",
                "this is the speed along a straight line, as in flow matching; here it is a circle",
            ),
            NearMiss(
                r"\bar\alpha_t\epsilon-(1-\bar\alpha_t)x_0",
                "both roots are missing: ᾱ_t and 1 − ᾱ_t are variances",
            ),
            NearMiss(
                r"\sqrt{\alpha_t}\,\epsilon-\sqrt{1-\alpha_t}\,x_0",
                "α and ᾱ mixed up: these are the weights of one step",
            ),
        ),
    ),
    Equation(
        id="7.23",
        title="the picture, by the velocity",
        lhs="x_0",
        rhs=r"\sqrt{\bar\alpha_t}\,x_t-\sqrt{1-\bar\alpha_t}\,v_t",
        meaning="Turn back by φ: nothing is divided by, so it is safe at every t.",
        quantity="x_0",
        reference=lambda **a: _both(**a)[:, 0],
        evidence=Numeric(_SAID, _SAID_EXAMPLE),
        symbols=_SAID_SYMBOLS,
        definition=Definition(
            _SOLVED, lambda: _both_in_letters()[X_0], _SAID_LETTERS, BETWEEN_0_AND_1
        ),
        cite="Salimans & Ho 2022, appendix D",
        near_misses=(
            NearMiss(
                r"\sqrt{1-\bar\alpha_t}\,x_t+\sqrt{\bar\alpha_t}\,v_t",
                "ε and x_0 swapped: this is the noise, (7.24)",
            ),
            NearMiss(
                r"\frac{x_t-\sqrt{1-\bar\alpha_t}\,v_t}{\sqrt{\bar\alpha_t}}",
                "v is taken for ε: this is (7.21)",
            ),
            NearMiss(
                r"\sqrt{\bar\alpha_t}\,x_t+\sqrt{1-\bar\alpha_t}\,v_t",
                "v is added: one turns back, against the velocity",
            ),
            NearMiss(
                r"\bar\alpha_tx_t-(1-\bar\alpha_t)v_t",
                "both roots are missing: ᾱ_t and 1 − ᾱ_t are variances",
            ),
            NearMiss(
                r"\sqrt{1-\bar\alpha_t}\,x_t-\sqrt{\bar\alpha_t}\,v_t",
                "the two weights have changed places: at t = 0, x_0 is x_t",
            ),
            NearMiss(
                r"\sqrt{\alpha_t}\,x_t-\sqrt{1-\alpha_t}\,v_t",
                "α and ᾱ mixed up: these are the weights of one step",
            ),
        ),
    ),
    Equation(
        id="7.24",
        title="the noise, by the velocity",
        lhs=r"\epsilon",
        rhs=r"\sqrt{1-\bar\alpha_t}\,x_t+\sqrt{\bar\alpha_t}\,v_t",
        meaning="Turn on to the end of the quarter circle.",
        quantity="the noise",
        reference=lambda **a: _both(**a)[:, 1],
        evidence=Numeric(_SAID, _SAID_EXAMPLE),
        symbols=_SAID_SYMBOLS,
        definition=Definition(
            _SOLVED, lambda: _both_in_letters()[EPS], _SAID_LETTERS, BETWEEN_0_AND_1
        ),
        cite="Salimans & Ho 2022, appendix D",
        near_misses=(
            NearMiss(
                r"\sqrt{\bar\alpha_t}\,x_t-\sqrt{1-\bar\alpha_t}\,v_t",
                "ε and x_0 swapped: this is the picture, (7.23)",
            ),
            NearMiss(
                r"\sqrt{1-\bar\alpha_t}\,x_t-\sqrt{\bar\alpha_t}\,v_t",
                "v is subtracted: the noise lies ahead, along the velocity",
            ),
            NearMiss(
                r"\sqrt{\bar\alpha_t}\,x_t+\sqrt{1-\bar\alpha_t}\,v_t",
                "the two weights have changed places: at t = T, ε is x_t",
            ),
            NearMiss(
                r"(1-\bar\alpha_t)x_t+\bar\alpha_tv_t",
                "both roots are missing: ᾱ_t and 1 − ᾱ_t are variances",
            ),
            NearMiss(
                r"\sqrt{1-\alpha_t}\,x_t+\sqrt{\alpha_t}\,v_t",
                "α and ᾱ mixed up: these are the weights of one step",
            ),
        ),
    ),
    Equation(
        id="7.25",
        title="the score of one noised picture",
        lhs=r"\frac{\partial}{\partial x_t}\log q(x_t\mid x_0)",
        rhs=r"-\frac{\epsilon}{\sqrt{1-\bar\alpha_t}}",
        meaning="The direction in which x_t becomes more probable: against the noise in it. Its "
        "mean over all x_0 that could have led to x_t is the score of q(x_t).",
        quantity="the score",
        reference=lambda x_t, x_0, alpha_bar, **_: (alpha_bar.sqrt() * x_0 - x_t) / (1 - alpha_bar),
        evidence=Gradient(
            _MADE, example_with_more(_NOISY_EXAMPLE, x_t=_noised), of=_log_noised, wrt="x_t"
        ),
        symbols=STEP_SYMBOLS,
        definition=Definition(
            "derived by differentiating log N(x_t; √ᾱ x_0, 1−ᾱ) (SymPy)",
            lambda: sympy.diff(log_normal(X_T, sympy.sqrt(NOW) * X_0, 1 - NOW), X_T),
            {
                **STEP_LETTERS,
                "x_0": X_0,
                "x_t": X_T,
                "eps": (X_T - sympy.sqrt(NOW) * X_0) / sympy.sqrt(1 - NOW),
            },
            BETWEEN_0_AND_1,
        ),
        cite="Vincent 2011; Song et al. 2021b",
        near_misses=(
            NearMiss(
                r"\frac{\epsilon}{\sqrt{1-\bar\alpha_t}}",
                "the sign is turned round: what is noisier is less probable",
            ),
            NearMiss(r"-\epsilon", "it is not divided by √(1−ᾱ_t), the noise's spread"),
            NearMiss(
                r"-\frac{\epsilon}{1-\bar\alpha_t}",
                "divided by the variance: ε has been divided by the spread once already, so "
                "√(1−ᾱ_t) is left",
            ),
            NearMiss(r"-\sqrt{1-\bar\alpha_t}\,\epsilon", "multiplied by √(1−ᾱ_t): divide by it"),
            NearMiss(
                r"-\frac{\epsilon}{\sqrt{1-\alpha_t}}",
                "α and ᾱ mixed up: x_t holds the noise of t steps, 1 − ᾱ_t",
            ),
            NearMiss(
                r"-\frac{x_t}{1-\bar\alpha_t}", "the mean √ᾱ_t x_0 is left out: this is for x_0 = 0"
            ),
            NearMiss(
                r"-\frac{x_t-x_0}{1-\bar\alpha_t}", "the mean is √ᾱ_t x_0: the picture is shrunk"
            ),
        ),
    ),
)

# -- a mixture, whose score is known ---------------------------------------------------------------

_BLEND = points(x_t=uniform(-3, 3), alpha_bar=uniform(0.1, 0.95), **MIXTURE)
_BLEND_EXAMPLE = {"x_t": 0.5, "alpha_bar": 0.64, **MIXTURE_EXAMPLE}


def _first_slope(**noised):
    """∂ log p(y|x_t)/∂x_t for the first component, y = 1."""
    return slopes(**noised)[:, 0] - score(**noised)


def _posterior_mean(x_t, alpha_bar, mu, sigma, **_):
    """E[x_0|x_t, k] of each component, two normals conditioned on each other: (P, K)."""
    root = alpha_bar.sqrt()[:, None]
    gain = root * sigma**2 / variances(alpha_bar, sigma)
    return mu + gain * (x_t[:, None] - root * mu)


_SCORED = with_more(_BLEND, score=score)
_SCORED_EXAMPLE = example_with_more(_BLEND_EXAMPLE, score=score)
_CLASSED = with_more(_BLEND, score=score, slope=_first_slope)
_CLASSED_EXAMPLE = example_with_more(_BLEND_EXAMPLE, score=score, slope=_first_slope)
_SCORE_SYMBOLS: Symbols = {**MIXTURE_SYMBOLS, "s_t": lambda score, **_: score}

_SCORES = (
    Equation(
        id="7.26",
        title="Tweedie's formula",
        lhs=r"\mathbb{E}[x_0\mid x_t]",
        rhs=r"\frac{x_t+(1-\bar\alpha_t)\,s_t}{\sqrt{\bar\alpha_t}}",
        meaning="The best guess of the picture, from the score s_t = ∂ log q(x_t)/∂x_t alone: "
        "whoever knows the score can take noise out.",
        quantity="the posterior's mean",
        reference=lambda x_t, alpha_bar, w, mu, sigma, score: (
            shares(w=w, x_t=x_t, alpha_bar=alpha_bar, mu=mu, sigma=sigma)
            * _posterior_mean(x_t, alpha_bar, mu, sigma)
        ).sum(-1),
        evidence=Numeric(_SCORED, _SCORED_EXAMPLE, where="random points in random mixtures"),
        symbols=_SCORE_SYMBOLS,
        definition=Definition(
            "derived as the mean of x_0 over the posterior, for mixtures of 3 Gaussians (SymPy)",
            lambda: averaged(guesses()),
            MIXTURE_LETTERS,
            NOISED_BETWEEN,
        ),
        cite="Robbins 1956; Efron 2011",
        near_misses=(
            NearMiss(
                r"\frac{x_t-(1-\bar\alpha_t)s_t}{\sqrt{\bar\alpha_t}}",
                "the score is subtracted: it points towards what is more probable, so go with it",
            ),
            NearMiss(
                r"\frac{x_t+\sqrt{1-\bar\alpha_t}\,s_t}{\sqrt{\bar\alpha_t}}",
                "the score is multiplied by the noise's spread; it is its variance, 1 − ᾱ_t",
            ),
            NearMiss(
                r"x_t+(1-\bar\alpha_t)s_t", "it is not divided by √ᾱ_t: this is a guess of √ᾱ_t x_0"
            ),
            NearMiss(
                r"\frac{x_t+(1-\bar\alpha_t)s_t}{\bar\alpha_t}",
                "divided by ᾱ_t, where its root belongs",
            ),
            NearMiss(
                r"\frac{x_t+s_t}{\sqrt{\bar\alpha_t}}", "the noise's variance 1 − ᾱ_t is missing"
            ),
            NearMiss(
                r"\frac{x_t}{\sqrt{\bar\alpha_t}}",
                "the score is not asked: this only undoes the shrinking",
            ),
            NearMiss(
                r"\frac{x_t+\bar\alpha_ts_t}{\sqrt{\bar\alpha_t}}",
                "ᾱ_t stands where 1 − ᾱ_t belongs: without noise nothing is to be corrected",
            ),
        ),
    ),
    Equation(
        id="7.27",
        title="the score of a noised mixture",
        lhs=r"\frac{\partial}{\partial x_t}\log q(x_t)",
        rhs=r"\sum_{k=1}^{K}r_k\,\frac{\sqrt{\bar\alpha_t}\,\mu_k-x_t}"
        r"{\bar\alpha_t\sigma_k^2+1-\bar\alpha_t}",
        meaning="Each component pulls towards its own mean, weighed by its share r_k = p(k|x_t); "
        "known for every t, without a network.",
        quantity="the score",
        reference=score,
        evidence=Gradient(
            _BLEND, _BLEND_EXAMPLE, of=lambda **noised: log_mixture(**noised), wrt="x_t"
        ),
        symbols=MIXTURE_SYMBOLS,
        definition=Definition(
            "derived by differentiating log Σ w N(x_t; √ᾱ μ, ᾱσ²+1−ᾱ) over 3 Gaussians (SymPy)",
            lambda: averaged(SLOPES),
            {name: meaning for name, meaning in MIXTURE_LETTERS.items() if name[0] != "s"}
            | {"sigma": MIXTURE_LETTERS["sigma"]},
            NOISED_BETWEEN,
        ),
        near_misses=(
            NearMiss(
                r"\sum_{k=1}^{K}w_k\frac{\sqrt{\bar\alpha_t}\mu_k-x_t}"
                r"{\bar\alpha_t\sigma_k^2+1-\bar\alpha_t}",
                "weighed by w_k, which does not know x_t: a component far away would pull as much",
            ),
            NearMiss(
                r"\sum_{k=1}^{K}r_k\frac{\sqrt{\bar\alpha_t}\mu_k-x_t}{\sigma_k^2}",
                "the noise is left out of the variance, ᾱσ² + 1 − ᾱ",
            ),
            NearMiss(
                r"\sum_{k=1}^{K}r_k\frac{\mu_k-x_t}{\bar\alpha_t\sigma_k^2+1-\bar\alpha_t}",
                "the means are not shrunk: noised, they lie at √ᾱ_t μ_k",
            ),
            NearMiss(
                r"\sum_{k=1}^{K}r_k\frac{x_t-\sqrt{\bar\alpha_t}\mu_k}"
                r"{\bar\alpha_t\sigma_k^2+1-\bar\alpha_t}",
                "the sign is turned round: the score points towards the means",
            ),
            NearMiss(
                r"\sum_{k=1}^{K}r_k\frac{\sqrt{\bar\alpha_t}\mu_k-x_t}"
                r"{\sigma_k^2+1-\bar\alpha_t}",
                "the spread of a component is shrunk too: ᾱ_tσ_k²",
            ),
            NearMiss(
                r"\sum_{k=1}^{K}r_k\frac{\sqrt{\bar\alpha_t}\mu_k-x_t}"
                r"{\sqrt{\bar\alpha_t\sigma_k^2+1-\bar\alpha_t}}",
                "divided by the spread, where the variance belongs",
            ),
            NearMiss(
                r"\sum_{k=1}^{K}\frac{\sqrt{\bar\alpha_t}\mu_k-x_t}"
                r"{\bar\alpha_t\sigma_k^2+1-\bar\alpha_t}",
                "the shares r_k are missing: every component pulls with full strength",
            ),
        ),
    ),
)

# -- steps back ------------------------------------------------------------------------------------

_ETA = sympy.Symbol("eta", positive=True)


def _ddpm_mean(x_t, eps_hat, alpha, alpha_bar, **_):
    return (x_t - (1 - alpha) / (1 - alpha_bar) ** 0.5 * eps_hat) / alpha**0.5


def _ddpm_law(sigma, t, **step):
    at = _ddpm_mean(**step)
    return stats.norm(at, sigma) if t > 1 else float(at)


def _ddim_mean(x_t, eps_hat, alpha_bar, alpha_bar_before, sigma):
    x_hat_0 = (x_t - (1 - alpha_bar) ** 0.5 * eps_hat) / alpha_bar**0.5
    return alpha_bar_before**0.5 * x_hat_0 + (1 - alpha_bar_before - sigma**2) ** 0.5 * eps_hat


def _ddim_law(sigma, **step):
    at = _ddim_mean(sigma=sigma, **step)
    return stats.norm(at, sigma) if sigma else float(at)


def _guess(x_t, eps_hat, alpha_bar, **_):
    return (x_t - (1 - alpha_bar).sqrt() * eps_hat) / alpha_bar.sqrt()


def _narrow(generator, count):
    """A step, and a σ_t that leaves something to ε: 0 ≤ σ_t² ≤ 1 − ᾱ_{t−1}."""
    step = at_a_step()(generator, count)
    most = (1 - step["alpha_bar_before"]).sqrt()
    return {**step, "sigma": uniform(0, 1)(generator, count) * most}


_ONE, _TWO, _CHANCE = (*real("z_1", "z_2"), sympy.Symbol("sigma", positive=True))
_GUESS_SYMBOLS: Symbols = {
    "epsilon_hat": lambda eps_hat, **_: eps_hat,
    "epsilon_theta": lambda eps_hat, **_: eps_hat,
    "sigma_t": lambda sigma, **_: sigma,
}

_STEPS_BACK = (
    Equation(
        id="7.28",
        title="DDPM's step",
        lhs="x_{t-1}",
        rhs=r"\frac{1}{\sqrt{\alpha_t}}\left(x_t-\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\,"
        r"\hat\epsilon\right)+[t>1]\,\sigma_t z",
        meaning="The mean of (7.18) with the guess ε̂, and fresh noise z ~ N(0, 1), but none at the "
        "last step, [t > 1]; σ_t² is β_t or β̃_t.",
        reference=lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
            _ddpm_mean(x_t, eps_hat, alpha, alpha_bar) + torch.where(t > 1, sigma * z, 0.0)
        ),
        evidence=Draws(
            cases=(
                {
                    "x_t": 1.0,
                    "eps_hat": 0.5,
                    "alpha": 0.9,
                    "alpha_bar": 0.45,
                    "sigma": 0.3,
                    "t": torch.tensor(3),
                },
                {
                    "x_t": -2.0,
                    "eps_hat": -1.0,
                    "alpha": 0.95,
                    "alpha_bar": 0.9,
                    "sigma": 0.2,
                    "t": torch.tensor(2),
                },
                {
                    "x_t": 0.5,
                    "eps_hat": 1.0,
                    "alpha": 0.98,
                    "alpha_bar": 0.98,
                    "sigma": 0.14,
                    "t": torch.tensor(1),
                },
            ),
            law=_ddpm_law,
            noise="z",
        ),
        symbols={**STEP_SYMBOLS, **_GUESS_SYMBOLS},
        cite="Ho et al. 2020, algorithm 2",
        near_misses=(
            NearMiss(
                lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
                    _ddpm_mean(x_t, eps_hat, alpha, alpha_bar) + sigma * z
                ),
                "noise is added at the last step too: x_0 is to be the mean itself, for nothing "
                "takes that noise out again",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
                    _ddpm_mean(x_t, eps_hat, alpha, alpha_bar)
                    + torch.where(t > 1, sigma * z * torch.randn_like(z), 0.0)
                ),
                "noise is multiplied in twice: mean and variance are right, the shape is not",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
                    _ddpm_mean(x_t, eps_hat, alpha, alpha_bar) + torch.where(t > 1, sigma**2 * z, 0)
                ),
                "noise is stretched by its variance σ_t²: its standard deviation is σ_t",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
                    _ddpm_mean(x_t, eps_hat, alpha, alpha_bar) + torch.where(t > 2, sigma * z, 0.0)
                ),
                "t is off by one: the noise is left out a step too early, at t = 2",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: _ddpm_mean(
                    x_t, eps_hat, alpha, alpha_bar
                ),
                "there is no noise at all: only the last step goes without",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
                    _ddpm_mean(x_t, -eps_hat, alpha, alpha_bar) + torch.where(t > 1, sigma * z, 0.0)
                ),
                "the guess ε̂ is added: take it out",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
                    (x_t - (1 - alpha).sqrt() * eps_hat) / alpha.sqrt()
                    + torch.where(t > 1, sigma * z, 0.0)
                ),
                "α and ᾱ mixed up: 1 − ᾱ_t stands under the root, for ε̂ is all the noise of t "
                "steps",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
                    _ddpm_mean(x_t, eps_hat, alpha, alpha_bar) * (alpha / alpha_bar).sqrt()
                    + torch.where(t > 1, sigma * z, 0.0)
                ),
                "ᾱ and α mixed up: one step back undoes the shrinking of one step, 1/√α_t",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
                    x_t
                    - (1 - alpha) / (1 - alpha_bar).sqrt() * eps_hat
                    + torch.where(t > 1, sigma * z, 0.0)
                ),
                "the factor 1/√α_t is missing: the step forwards has shrunk the picture",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
                    (x_t - ((1 - alpha) / (1 - alpha_bar)).sqrt() * eps_hat) / alpha.sqrt()
                    + torch.where(t > 1, sigma * z, 0.0)
                ),
                "√β_t stands where β_t belongs",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
                    _guess(x_t, eps_hat, alpha_bar) + torch.where(t > 1, sigma * z, 0.0)
                ),
                "this is the guess x̂_0 with noise on it: all t steps at once, where one is asked "
                "for",
            ),
        ),
    ),
    Equation(
        id="7.29",
        title="DDIM's step",
        lhs="x_{t-1}",
        rhs=r"\sqrt{\bar\alpha_{t-1}}\,\hat x_0+\sqrt{1-\bar\alpha_{t-1}-\sigma_t^2}\,\hat\epsilon"
        r"+\sigma_t z",
        meaning="Guess the picture, x̂_0 by (7.21), and noise it again to t − 1: partly with the "
        "guessed noise, partly with fresh z. Any earlier step may stand for t − 1.",
        reference=lambda x_t, eps_hat, alpha_bar, alpha_bar_before, sigma, z: (
            _ddim_mean(x_t, eps_hat, alpha_bar, alpha_bar_before, sigma) + sigma * z
        ),
        evidence=Draws(
            cases=(
                {
                    "x_t": 1.0,
                    "eps_hat": 0.5,
                    "alpha_bar": 0.45,
                    "alpha_bar_before": 0.5,
                    "sigma": 0.3,
                },
                {
                    "x_t": -2.0,
                    "eps_hat": -1.0,
                    "alpha_bar": 0.1,
                    "alpha_bar_before": 0.6,
                    "sigma": 0.0,
                },
                {
                    "x_t": 0.5,
                    "eps_hat": 1.0,
                    "alpha_bar": 0.7,
                    "alpha_bar_before": 0.9,
                    "sigma": 0.2,
                },
            ),
            law=_ddim_law,
            noise="z",
        ),
        symbols={
            "alpha_bar_t": lambda alpha_bar, **_: alpha_bar,
            "alpha_bar_t-1": lambda alpha_bar_before, **_: alpha_bar_before,
            "x_hat_0": _guess,
            **_GUESS_SYMBOLS,
        },
        cite="Song et al. 2021a, eq. 12",
        near_misses=(
            NearMiss(
                lambda x_t, eps_hat, alpha_bar, alpha_bar_before, sigma, z: (
                    alpha_bar_before.sqrt() * _guess(x_t, eps_hat, alpha_bar)
                    + (1 - alpha_bar_before).sqrt() * eps_hat
                    + sigma * z
                ),
                "σ_t² is not taken from the guessed noise: fresh noise comes on top, and the "
                "variance is σ_t² too large",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha_bar, alpha_bar_before, sigma, z: (
                    _ddim_mean(x_t, eps_hat, alpha_bar, alpha_bar_before, sigma)
                    + sigma * z * torch.randn_like(z)
                ),
                "noise is multiplied in twice: mean and variance are right, the shape is not",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha_bar, alpha_bar_before, sigma, z: (
                    _ddim_mean(x_t, eps_hat, alpha_bar, alpha_bar_before, sigma) + sigma**2 * z
                ),
                "noise is stretched by its variance σ_t²: its standard deviation is σ_t",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha_bar, alpha_bar_before, sigma, z: _ddim_mean(
                    x_t, eps_hat, alpha_bar, alpha_bar_before, sigma
                ),
                "the fresh noise σ_t z is missing: the variance is σ_t² too small",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha_bar, alpha_bar_before, sigma, z: _ddim_mean(
                    x_t, eps_hat, alpha_bar, alpha_bar_before, torch.zeros_like(sigma)
                ),
                "this is the step without chance, σ_t = 0, whatever σ_t is",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha_bar, alpha_bar_before, sigma, z: (
                    _ddim_mean(x_t, eps_hat, alpha_bar, alpha_bar, sigma) + sigma * z
                ),
                "t is off by one: the picture is noised to t again, not to t − 1",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha_bar, alpha_bar_before, sigma, z: (
                    alpha_bar_before.sqrt() * x_t
                    + (1 - alpha_bar_before - sigma**2).sqrt() * eps_hat
                    + sigma * z
                ),
                "x_t stands where the guess x̂_0 belongs",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha_bar, alpha_bar_before, sigma, z: (
                    alpha_bar_before.sqrt() * _guess(x_t, eps_hat, alpha_bar)
                    + (1 - alpha_bar_before - sigma**2) * eps_hat
                    + sigma * z
                ),
                "the root over 1 − ᾱ_{t−1} − σ_t² is missing",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha_bar, alpha_bar_before, sigma, z: (
                    alpha_bar_before * _guess(x_t, eps_hat, alpha_bar)
                    + (1 - alpha_bar_before - sigma**2).sqrt() * eps_hat
                    + sigma * z
                ),
                "the root over ᾱ_{t−1} is missing",
            ),
            NearMiss(
                lambda x_t, eps_hat, alpha_bar, alpha_bar_before, sigma, z: (
                    alpha_bar_before.sqrt() * eps_hat
                    + (1 - alpha_bar_before - sigma**2).sqrt() * _guess(x_t, eps_hat, alpha_bar)
                    + sigma * z
                ),
                "ε and x_0 swapped: the guess of the picture gets √ᾱ_{t−1}",
            ),
        ),
    ),
    Equation(
        id="7.30",
        title="how much chance",
        lhs=r"\sigma_t(\eta)",
        rhs=r"\eta\,\sqrt{\frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}}\,"
        r"\sqrt{1-\frac{\bar\alpha_t}{\bar\alpha_{t-1}}}",
        meaning="η = 0 is DDIM without chance; η = 1 is √β̃_t, DDPM's own.",
        quantity="σ_t",
        reference=lambda eta, alpha, alpha_bar, alpha_bar_before: (
            eta
            * (
                (1 - alpha_bar_before) - alpha * (1 - alpha_bar_before) ** 2 / (1 - alpha_bar)
            ).sqrt()
        ),
        evidence=Numeric(at_a_step(eta=uniform(0.05, 1)), {**STEP_EXAMPLE, "eta": 0.5}),
        symbols=STEP_SYMBOLS,
        definition=Definition(
            "derived as η times the posterior's spread, by completing the square (SymPy)",
            lambda: _ETA * sympy.sqrt(completed_square()[1]),
            {**STEP_LETTERS, "eta": _ETA},
            BETWEEN_0_AND_1,
        ),
        cite="Song et al. 2021a, eq. 16",
        near_misses=(
            NearMiss(
                r"\eta\sqrt{1-\frac{\bar\alpha_t}{\bar\alpha_{t-1}}}",
                "this is η√β_t: at η = 1 it is to be √β̃_t",
            ),
            NearMiss(
                r"\eta\sqrt{\frac{1-\bar\alpha_t}{1-\bar\alpha_{t-1}}}"
                r"\sqrt{1-\frac{\bar\alpha_t}{\bar\alpha_{t-1}}}",
                "the first fraction is upside down",
            ),
            NearMiss(
                r"\eta\,\frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}"
                r"\left(1-\frac{\bar\alpha_t}{\bar\alpha_{t-1}}\right)",
                "the roots are missing: this is ηβ̃_t, a variance",
            ),
            NearMiss(
                r"\sqrt{\eta\,\frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}"
                r"\left(1-\frac{\bar\alpha_t}{\bar\alpha_{t-1}}\right)}",
                "η stands under the root: it multiplies σ_t, not the variance",
            ),
            NearMiss(
                r"\sqrt{\frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}}"
                r"\sqrt{1-\frac{\bar\alpha_t}{\bar\alpha_{t-1}}}",
                "η is missing: this is η = 1",
            ),
        ),
    ),
    Equation(
        id="7.31",
        title="the same marginals",
        lhs=r"\mathrm{Var}(x_{t-1}\mid x_0)",
        rhs=r"1-\bar\alpha_{t-1}",
        meaning="Of DDIM's step with the true ε, whatever σ_t is: so every η leads through the "
        "same q(x_t|x_0), by other paths, and one network serves them all.",
        quantity="the variance",
        reference=lambda alpha, alpha_bar, alpha_bar_before, sigma: variance_of_two_signs(
            (1 - alpha_bar_before - sigma**2).clamp(min=0).sqrt(), sigma
        ),
        evidence=Numeric(
            _narrow,
            {**STEP_EXAMPLE, "sigma": 0.3},
            where="random steps, ± of both noises counted",
        ),
        symbols={**STEP_SYMBOLS, "sigma_t": lambda sigma, **_: sigma},
        definition=Definition(
            "derived from the variance of √(1−ᾱ_{t−1}−σ²) ε + σz (SymPy)",
            lambda: mean(
                mean(
                    (sympy.sqrt(1 - BEFORE - _CHANCE**2) * _ONE + _CHANCE * _TWO) ** 2, _ONE, 0, 1
                ),
                _TWO,
                0,
                1,
            ),
            {**STEP_LETTERS, "sigma": _CHANCE, "sigma_t": _CHANCE},
        ),
        cite="Song et al. 2021a, lemma 1",
        near_misses=(
            NearMiss(
                r"1-\bar\alpha_{t-1}+\sigma_t^2",
                "σ_t² comes on top: DDIM's step has taken it from the guessed noise",
            ),
            NearMiss(
                r"1-\bar\alpha_{t-1}-\sigma_t^2",
                "this is the guessed noise's share: the fresh noise brings σ_t² back",
            ),
            NearMiss(r"1-\bar\alpha_t", "t is off by one: this is the variance before the step"),
            NearMiss(r"\sigma_t^2", "this is the variance if x_t is known as well"),
            NearMiss(
                r"\frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\beta_t",
                "this is β̃_t, the posterior's variance, where x_t is known as well",
            ),
        ),
    ),
)

# -- the flow, and the likelihood that it carries --------------------------------------------------

_MU, _C, _ANGLE = real("mu", "c", "angle")
_TAU, _SIGMA = positive("tau", "sigma")
_LAM = entries("lam", 2, above_zero=True)
_FLOW = _MU + sympy.sqrt(_TAU**2 + _SIGMA**2) * _C
_FLOW_POINTS = points(
    sigma=uniform(0.1, 3), mu=uniform(-1, 1), tau=uniform(0.2, 1.5), c=uniform(-2, 2)
)
_FLOW_EXAMPLE = {"sigma": 1.5, "mu": 0.0, "tau": 2.0, "c": 1.0}


def _flow(sigma, mu, tau, c, **_):
    """Where the flow is at σ: c standard deviations from the mean, all the way."""
    return mu + (tau**2 + sigma**2).sqrt() * c


def _flow_score(sigma, tau, c, **_):
    return -c / (tau**2 + sigma**2).sqrt()


def _flow_noise(sigma, tau, c, **_):
    return sigma * c / (tau**2 + sigma**2).sqrt()


def _flow_score_in_letters():
    x = real("x")[0]
    return sympy.diff(log_normal(x, _MU, _TAU**2 + _SIGMA**2), x).subs(x, _FLOW)


def _jacobian(sigma, lam, angle):
    """∂ε̂_i/∂x̄_j for data of variances lam along two axes that are turned by ``angle``."""
    c, s = angle.cos(), angle.sin()
    axes = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], dim=-2)
    return axes @ torch.diag_embed(sigma[:, None] / (lam + sigma[:, None] ** 2)) @ axes.mT


def _jacobian_in_letters():
    c, s = sympy.cos(_ANGLE), sympy.sin(_ANGLE)
    axes = sympy.Matrix([[c, -s], [s, c]])
    found = axes * sympy.diag(*(_SIGMA / (lam + _SIGMA**2) for lam in _LAM)) * axes.T
    return tuple(tuple(found[i, j] for j in range(2)) for i in range(2))


def _log_p_along(sigma, lam, **_):
    """log p_σ at a point that moves with the flow; its distance in spreads stays what it is."""
    return -(2 * math.pi * (lam + sigma[:, None] ** 2)).log().sum(-1) / 2


_TURNED = with_more(
    points(sigma=uniform(0.2, 2), lam=uniform(0.1, 2, 2), angle=uniform(0.2, 1.3)), J=_jacobian
)
_TURNED_EXAMPLE = example_with_more({"sigma": 1.0, "lam": [1.0, 3.0], "angle": 0.5}, J=_jacobian)
_X_NOW, _X_OLD = real("now", "before")
_H, _H_OLD = positive("h", "h_before")


def _line_ahead():
    """The line through two guesses, at λ = −h′ and 0, half a step ahead."""
    slope, start, at = real("slope", "start", "at")
    line = sympy.solve([start - _X_NOW, start - slope * _H_OLD - _X_OLD], [slope, start])
    return (line[start] + line[slope] * at).subs(at, _H / 2)


_FLOWS = (
    Equation(
        id="7.32",
        title="the probability-flow ODE",
        lhs=r"\frac{d}{d\sigma}\,\bar x",
        rhs=r"-\sigma\,s_\sigma",
        meaning="For x̄ = x_t/√ᾱ_t, σ as in (7.8) and s_σ = ∂ log p_σ(x̄)/∂x̄. It is the guess ε̂: "
        "DDIM without chance takes Euler steps along it.",
        quantity="the speed",
        reference=lambda **a: _flow_noise(**a),
        evidence=Gradient(
            with_more(_FLOW_POINTS, score=_flow_score, eps_hat=_flow_noise),
            example_with_more(_FLOW_EXAMPLE, score=_flow_score, eps_hat=_flow_noise),
            of=_flow,
            wrt="sigma",
            where="random points in random Gaussian worlds to the flow's derivative by autograd",
        ),
        symbols={
            "s_sigma": lambda score, **_: score,
            "epsilon_hat": lambda eps_hat, **_: eps_hat,
            "epsilon_theta": lambda eps_hat, **_: eps_hat,
            "x_bar": _flow,
        },
        definition=Definition(
            "derived by differentiating μ + √(τ² + σ²)·c, the flow of a Gaussian (SymPy)",
            lambda: sympy.diff(_FLOW, _SIGMA),
            {
                "sigma": _SIGMA,
                "mu": _MU,
                "tau": _TAU,
                "c": _C,
                "x_bar": _FLOW,
                "score": _flow_score_in_letters(),
                "s_sigma": _flow_score_in_letters(),
                "eps_hat": -_SIGMA * _flow_score_in_letters(),
                "epsilon_hat": -_SIGMA * _flow_score_in_letters(),
                "epsilon_theta": -_SIGMA * _flow_score_in_letters(),
            },
        ),
        cite="Song et al. 2021b, eq. 13; Song et al. 2021a, eq. 14; Karras et al. 2022, eq. 1",
        near_misses=(
            NearMiss(
                r"\sigma\,s_\sigma",
                "the sign is turned round: as σ grows, points move away from what is probable",
            ),
            NearMiss(
                r"-2\sigma\,s_\sigma",
                "this is the drift of the way back with fresh noise: without it, half will do",
            ),
            NearMiss(
                r"-\frac12\sigma\,s_\sigma", "halved once too often: d(σ²)/dσ is 2σ, and ½·2σ is σ"
            ),
            NearMiss(
                r"-\sigma^2s_\sigma",
                "σ counts twice: this is σε̂, the speed by log σ, for ε̂ is −σ s_σ already",
            ),
            NearMiss(r"-s_\sigma", "σ is missing"),
        ),
    ),
    Equation(
        id="7.33",
        title="likelihood along the flow",
        lhs=r"\frac{d}{d\sigma}\log p_\sigma(\bar x)",
        rhs=r"-\sum_{i=1}^{n}J_{ii}",
        meaning="Where the flow spreads points out, density falls. J_ij = ∂ε̂_i/∂x̄_j, and the sum "
        "is the flow's divergence: this is how a likelihood is computed exactly.",
        quantity="the derivative",
        reference=lambda sigma, lam, angle, J: (
            -(sigma[:, None] / (lam + sigma[:, None] ** 2)).sum(-1)
        ),
        evidence=Gradient(
            _TURNED,
            _TURNED_EXAMPLE,
            of=_log_p_along,
            wrt="sigma",
            where="random points in random Gaussian worlds to the derivative by autograd",
        ),
        definition=Definition(
            "derived by differentiating log p_σ along the flow of a Gaussian in the plane (SymPy)",
            lambda: sympy.diff(
                sympy.Add(*(-sympy.log(2 * sympy.pi * (a + _SIGMA**2)) / 2 for a in _LAM)), _SIGMA
            ),
            {"sigma": _SIGMA, "lam": _LAM, "angle": _ANGLE, "J": _jacobian_in_letters()},
        ),
        cite="Chen et al. 2018, theorem 1; Song et al. 2021b, eq. 39",
        near_misses=(
            NearMiss(
                r"\sum_{i=1}^{n}J_{ii}",
                "the sign is turned round: where points are spread out, density falls",
            ),
            NearMiss(
                r"-\sum_{i}\sum_{j}J_{ij}",
                "all entries are added: the divergence is the diagonal alone",
            ),
            NearMiss(
                r"-\prod_{i=1}^{n}J_{ii}",
                "the diagonal is multiplied: for a small step the determinant is 1 + the sum",
            ),
            NearMiss(
                lambda J, **_: -torch.linalg.det(J),
                "this is the determinant: for a small step it is the trace that counts",
            ),
            NearMiss(
                r"-\frac12\sum_{i=1}^{n}J_{ii}",
                "halved, as by a mean over both dimensions: the divergence is their sum",
            ),
        ),
    ),
    Equation(
        id="7.34",
        title="a guess half a step ahead",
        lhs=r"\hat x_{0,t-1/2}",
        rhs=r"\hat x_{0,t}+\frac{h_t}{2h_{t+1}}\big(\hat x_{0,t}-\hat x_{0,t+1}\big)",
        meaning="The line through the last two guesses, by λ = ½ log SNR, h_t = λ_{t−1} − λ_t. "
        "DDIM's step with σ_t = 0 and this guess is DPM-Solver++(2M), of second order.",
        quantity="the guess",
        reference=lambda now, before, h, h_before: torch.lerp(
            before, now, (h_before + h / 2) / h_before
        ),
        evidence=Numeric(
            points(
                now=uniform(-1, 1),
                before=uniform(-1, 1),
                h=uniform(0.1, 1),
                h_before=uniform(0.1, 1),
            ),
            {"now": 1.0, "before": 0.5, "h": 0.2, "h_before": 0.4},
            where="random pairs of guesses",
        ),
        symbols={
            "x_hat_0_t": lambda now, **_: now,
            "x_hat_0_t+1": lambda before, **_: before,
            "h_t": lambda h, **_: h,
            "h_t+1": lambda h_before, **_: h_before,
        },
        definition=Definition(
            "derived as the line through two guesses, at the middle of the step (SymPy)",
            _line_ahead,
            {
                "now": _X_NOW,
                "before": _X_OLD,
                "h": _H,
                "h_before": _H_OLD,
                "x_hat_0_t": _X_NOW,
                "x_hat_0_t+1": _X_OLD,
                "h_t": _H,
                "h_t+1": _H_OLD,
            },
        ),
        cite="Lu et al. 2022b, algorithm 2",
        near_misses=(
            NearMiss(
                r"\hat x_{0,t}",
                "this is the last guess alone, of first order: the step is then DDIM's",
            ),
            NearMiss(
                r"\hat x_{0,t}+\frac{h_t}{h_{t+1}}(\hat x_{0,t}-\hat x_{0,t+1})",
                "this is a whole step ahead: the middle of the step is asked for",
            ),
            NearMiss(
                r"\hat x_{0,t}+\frac{h_{t+1}}{2h_t}(\hat x_{0,t}-\hat x_{0,t+1})",
                "the steps' lengths have changed places",
            ),
            NearMiss(
                r"\hat x_{0,t}-\frac{h_t}{2h_{t+1}}(\hat x_{0,t}-\hat x_{0,t+1})",
                "the sign is turned round: this looks half a step back",
            ),
            NearMiss(
                r"\hat x_{0,t}+\frac12(\hat x_{0,t}-\hat x_{0,t+1})",
                "this is for steps of equal length in λ only",
            ),
            NearMiss(
                r"\hat x_{0,t+1}+\frac{h_t}{2h_{t+1}}(\hat x_{0,t}-\hat x_{0,t+1})",
                "it starts from the older guess: start from the last one",
            ),
        ),
    ),
)

# -- guidance --------------------------------------------------------------------------------------

_SCALE, _NONE, _GIVEN = real("w", "eps_none", "eps_y")
_PRIOR, _CLASS = (entries(name, 5, above_zero=True) for name in ("p", "l"))
_CLASS_SPREAD = sympy.Symbol("sigma_y", positive=True)


def _tilted_in_letters():
    """The p with Σ p = 1 that makes w·E_p[log p(y|x)] − KL(p‖p(x)) largest, by Lagrange."""
    p, (scale,) = sympy.Symbol("share", positive=True), real("lambda")
    raised = []
    for prior, like in zip(_PRIOR, _CLASS, strict=True):
        gain = _SCALE * p * sympy.log(like) - p * sympy.log(p / prior)
        best = sympy.expand(sympy.solve(sympy.diff(gain - scale * p, p), p)[0])
        raised.append(best.subs(sympy.exp(_SCALE * sympy.log(like)), like**_SCALE))
    return tuple(entry / sympy.Add(*raised) for entry in raised)


def _guided_in_letters():
    """−√(1−ᾱ) times the slope of log q(x) + w (log q(x|y) − log q(x)), slopes as in (7.25)."""
    x, spread = real("x")[0], sympy.Symbol("spread", positive=True)
    free, given = -_NONE * x / spread, -_GIVEN * x / spread
    return sympy.expand(-spread * sympy.diff(free + _SCALE * (given - free), x))


def _reached_in_letters():
    """S² exp(−2∫_0^S …) for S → ∞: the variance S² of pure noise, shrunk by the guided flow.

    The integral is (1−w) that of the flow without y and w that of the flow with y.
    """
    s, end, spread = positive("s", "S", "spread")
    stretch = sympy.integrate(s / (spread**2 + s**2), (s, 0, end))
    alone = sympy.limit(sympy.simplify(end**2 * sympy.exp(-2 * stretch)), end, sympy.oo)
    without, given = (alone.subs(spread, each) for each in (_TAU, _CLASS_SPREAD))
    return without ** (1 - _SCALE) * given**_SCALE


def _reached(w, tau, sigma_y):
    """The same, with the flow followed from σ = 10⁹ down, in logarithms."""
    start = 2 * math.log(1e9)
    shrunk = [torch.log1p(torch.exp(start - 2 * s.log())) for s in (tau, sigma_y)]
    return torch.exp(start - (1 - w) * shrunk[0] - w * shrunk[1])


_GUIDANCE = (
    Equation(
        id="7.35",
        title="Bayes for scores",
        lhs=r"\frac{\partial}{\partial x_t}\log q(x_t\mid y)",
        rhs="s_t+g_t",
        meaning="The score s_t = ∂ log q(x_t) and a classifier's gradient g_t = ∂ log p(y|x_t): "
        "p(y) does not depend on x_t, and drops out.",
        quantity="the score, given y",
        reference=lambda **a: slopes(**a)[:, 0],
        evidence=Gradient(
            _CLASSED,
            _CLASSED_EXAMPLE,
            of=lambda w, **noised: log_parts(**noised)[:, 0],
            wrt="x_t",
            where="random points in random mixtures, y the first part, to the derivative by "
            "autograd",
        ),
        symbols={**_SCORE_SYMBOLS, "g_t": lambda slope, **_: slope},
        definition=Definition(
            "derived by differentiating log q(x_t|y), y one of 3 Gaussians (SymPy)",
            lambda: SLOPES[0],
            MIXTURE_LETTERS,
            NOISED_BETWEEN,
        ),
        sources=("S16",),
        cite="Sohl-Dickstein et al. 2015, section 2.5; Dhariwal & Nichol 2021, section 4",
        near_misses=(
            NearMiss("g_t", "the score of q(x_t) is missing: this only pleases the classifier"),
            NearMiss("s_t", "the classifier is not asked: this is the score without y"),
            NearMiss("s_t-g_t", "the classifier's gradient is subtracted: this leads away from y"),
            NearMiss("g_t-s_t", "the score is subtracted: logarithms of a product add up"),
            NearMiss("s_tg_t", "they are multiplied: densities are, so their logarithms add up"),
        ),
    ),
    Equation(
        id="7.36",
        title="classifier-free guidance",
        lhs=r"\tilde\epsilon",
        rhs=r"\hat\epsilon_\varnothing+w\,(\hat\epsilon_y-\hat\epsilon_\varnothing)",
        meaning="From the guess without a condition through the one with it, and beyond: w = 0 "
        "ignores y, w = 1 is the plain conditional model, w > 1 exaggerates.",
        quantity="the guided guess",
        reference=lambda eps_none, eps_y, guidance: (1 - guidance) * eps_none + guidance * eps_y,
        evidence=Numeric(
            points(eps_none=normal(), eps_y=normal(), guidance=uniform(0, 6)),
            {"eps_none": 0.5, "eps_y": 1.0, "guidance": 3.0},
        ),
        symbols={
            "epsilon_hat_∅": lambda eps_none, **_: eps_none,
            "epsilon_hat_y": lambda eps_y, **_: eps_y,
            "w": lambda guidance, **_: guidance,
        },
        definition=Definition(
            "derived from the slope of log q(x) + w (log q(x|y) − log q(x)) (SymPy)",
            _guided_in_letters,
            {
                "eps_none": _NONE,
                "epsilon_hat_∅": _NONE,
                "eps_y": _GIVEN,
                "epsilon_hat_y": _GIVEN,
                "guidance": _SCALE,
                "w": _SCALE,
            },
        ),
        sources=("S16",),
        cite="Ho & Salimans 2022, eq. 6, with w − 1 for their w",
        near_misses=(
            NearMiss(
                r"(1+w)\hat\epsilon_y-w\hat\epsilon_\varnothing",
                "the guidance scale is off by one: this is Ho & Salimans' own w, where 0 is the "
                "plain conditional model; here that is w = 1",
            ),
            NearMiss(
                r"\hat\epsilon_\varnothing+(w-1)(\hat\epsilon_y-\hat\epsilon_\varnothing)",
                "the guidance scale is off by one, downwards: w = 1 would ignore the condition",
            ),
            NearMiss(
                r"\hat\epsilon_y+w(\hat\epsilon_\varnothing-\hat\epsilon_y)",
                "the two guesses have changed places: w = 1 would ignore the condition",
            ),
            NearMiss(
                r"\hat\epsilon_\varnothing-w(\hat\epsilon_y-\hat\epsilon_\varnothing)",
                "the sign is turned round: this leads away from the condition",
            ),
            NearMiss(
                r"\hat\epsilon_\varnothing+w\hat\epsilon_y",
                "it is the difference of the guesses that is multiplied by w",
            ),
            NearMiss(r"w\hat\epsilon_y", "the guess without a condition is missing"),
            NearMiss(r"\hat\epsilon_y", "this is w = 1, whatever w is"),
        ),
    ),
    Equation(
        id="7.37",
        title="what guidance aims at",
        lhs=r"p_w(x\mid y)",
        rhs=r"\frac{1}{Z_w}\,p(x)\,p(y\mid x)^w",
        meaning="The density whose score (7.36) would be if nothing were noised: what is surely a "
        "y is preferred. Z_w is the sum over x.",
        quantity="the tilted density",
        free_index="x",
        reference=lambda p_x, p_y, w: (p_x.log() + w[:, None] * p_y.log()).softmax(-1),
        evidence=Numeric(
            points(p_x=simplex(5), p_y=uniform(0.05, 0.95, 5), w=uniform(0, 5)),
            {
                "p_x": [0.1, 0.2, 0.4, 0.2, 0.1],
                "p_y": [0.1, 0.5, 0.5, 0.5, 0.9],
                "w": 2.0,
            },
            where="random worlds of five places",
        ),
        symbols={
            "p(x)": lambda p_x, **_: p_x,
            "p(y|x)": lambda p_y, **_: p_y,
            "Z_w": lambda p_x, p_y, w: (p_x * p_y ** w[:, None]).sum(-1),
            "p(y)": lambda p_x, p_y, **_: (p_x * p_y).sum(-1),
        },
        definition=Definition(
            "derived as the p that makes w·E_p[log p(y|x)] − KL(p‖p(x)) largest (SymPy)",
            _tilted_in_letters,
            {
                "p_x": _PRIOR,
                "p(x)": _PRIOR,
                "p_y": _CLASS,
                "p(y|x)": _CLASS,
                "w": _SCALE,
                "Z_w": sympy.Add(
                    *(p * like**_SCALE for p, like in zip(_PRIOR, _CLASS, strict=True))
                ),
                "p(y)": sympy.Add(*(p * like for p, like in zip(_PRIOR, _CLASS, strict=True))),
            },
        ),
        cite="Dhariwal & Nichol 2021, section 4.3; Ho & Salimans 2022, section 3.1",
        near_misses=(
            NearMiss(
                r"p(x)\,p(y\mid x)^w",
                "it is not normalised: divide by Z_w, or it does not sum to 1",
            ),
            NearMiss(
                r"\frac{p(x)\,p(y\mid x)}{p(y)}",
                "this is Bayes' rule, w = 1, whatever w is (a factor w before p(y|x) would cancel)",
            ),
            NearMiss(
                lambda p_x, p_y, w: (p_x.log() + (1 + w[:, None]) * p_y.log()).softmax(-1),
                "the guidance scale is off by one: w = 0 would be the plain conditional density",
            ),
            NearMiss(
                lambda p_x, p_y, w: (w[:, None] * p_x.log() + p_y.log()).softmax(-1),
                "it is p(y|x) that is raised to the power w, not p(x)",
            ),
            NearMiss(
                lambda p_x, p_y, w: (w[:, None] * (p_x * p_y).log()).softmax(-1),
                "both are raised to the power w: this is the conditional density sharpened, as by "
                "a temperature",
            ),
            NearMiss(
                lambda p_x, p_y, w: (w[:, None] * p_y.log()).softmax(-1),
                "p(x) is left out: what no data are like would be as good as what they are like",
            ),
        ),
    ),
    Equation(
        id="7.38",
        title="what guidance reaches",
        lhs=r"\mathrm{Var}",
        rhs=r"\tau^{2(1-w)}\,\sigma_y^{2w}",
        meaning="Where the guided flow ends, for data N(0, τ²) and a class N(m, σ_y²): not at "
        "(7.37), whose variance is 1/((1−w)/τ² + w/σ_y²).",
        quantity="the variance that is reached",
        reference=_reached,
        evidence=Numeric(
            points(w=uniform(0, 3), tau=uniform(0.8, 2), sigma_y=uniform(0.3, 0.7)),
            {"w": 2.0, "tau": 1.0, "sigma_y": 0.5},
            where="random worlds of two Gaussians",
        ),
        definition=Definition(
            "derived by integrating the guided flow (7.32) from σ = ∞ to 0 (SymPy)",
            _reached_in_letters,
            {"w": _SCALE, "tau": _TAU, "sigma_y": _CLASS_SPREAD},
        ),
        cite="this course; that guidance misses the tilted density: Bradley & Nakkiran 2024",
        near_misses=(
            NearMiss(
                r"\frac{1}{\frac{1-w}{\tau^2}+\frac{w}{\sigma_y^2}}",
                "this is the variance of the tilted density (7.37), which the guided flow does not "
                "reach",
            ),
            NearMiss(
                r"(1-w)\tau^2+w\sigma_y^2",
                "the variances are averaged: this would be negative for large w",
            ),
            NearMiss(
                r"\tau^{1-w}\sigma_y^w",
                "this is the standard deviation; the variance is its square",
            ),
            NearMiss(r"\sigma_y^2", "this is w = 1, the class itself, whatever w is"),
            NearMiss(r"\sigma_y^{2w}", "this is for data of variance 1: τ^{2(1−w)} is missing"),
            NearMiss(
                r"\tau^{-2w}\sigma_y^{2(1+w)}",
                "the guidance scale is off by one: w = 1 is the plain conditional model",
            ),
        ),
    ),
)

EQUATIONS = (*_WORDS, *_SCORES, *_STEPS_BACK, *_FLOWS, *_GUIDANCE)

# -- exercises -------------------------------------------------------------------------------------

_BETAS = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5]


def _at(table, t):
    """One entry from each row: (P, T) and (P,) → (P,)."""
    return table.gather(1, t.unsqueeze(1)).squeeze(1)


def _alpha_bars(beta):
    """ᾱ_1, …, ᾱ_T as columns 0, …, T − 1."""
    return (1 - beta).cumprod(-1)


def _leap_at(x_0, a, eps):
    return a.sqrt() * x_0 + (1 - a).sqrt() * eps


def _stepped(x_0, beta, t):
    """The law of x_t, one step of (7.1) after the other."""
    at, variance = float(x_0), 0.0
    for b in beta[: int(t)]:
        at, variance = math.sqrt(1 - b) * at, (1 - b) * variance + b
    return stats.norm(at, math.sqrt(variance))


def _one_back(x_t, eps_hat, beta, t):
    """The law of x_{t−1}: x_0 by (7.21), then the product of two normal densities."""
    now, b = math.prod(1 - each for each in beta[: int(t)]), beta[int(t) - 1]
    before = math.prod(1 - each for each in beta[: int(t) - 1])
    x_0 = (x_t - math.sqrt(1 - now) * eps_hat) / math.sqrt(now)
    if t == 1:
        return float(x_0)
    sharpness = (1 - b) / b + 1 / (1 - before)
    pull = math.sqrt(1 - b) * x_t / b + math.sqrt(before) * x_0 / (1 - before)
    return stats.norm(pull / sharpness, sharpness**-0.5)


def _reverse(x_t, eps_hat, beta, t, z, now=None, before=None, variance=None, noise=None):
    """One reverse step from a table of β, or a slip in one of its parts."""
    table = torch.nn.functional.pad(_alpha_bars(beta), (1, 0), value=1.0)
    b = _at(beta, t - 1)
    now = _at(table, t) if now is None else now
    before = _at(table, t - 1) if before is None else before
    variance = (1 - before) / (1 - now) * b if variance is None else variance
    at = (x_t - b / (1 - now).sqrt() * eps_hat) / (1 - b).sqrt()
    return at + variance.clamp(min=0).sqrt() * (z if noise is None else noise)


def _wrapped(table, t):
    """As Python counts: what is before the first entry is the last one."""
    return _at(table, t % table.shape[1])


_GUIDED = at_a_step(x_t=uniform(-2, 2), eps_none=normal(), eps_y=normal(), guidance=uniform(0, 6))
_GUIDED_EXAMPLE = {**STEP_EXAMPLE, "x_t": 1.0, "eps_none": 0.5, "eps_y": 1.0, "guidance": 3.0}
_MIX = r"\hat\epsilon_\varnothing+w\,(\hat\epsilon_y-\hat\epsilon_\varnothing)"


def _last_price_in_letters():
    at, variance = sympy.sqrt(BEFORE) * X_0, 1 - BEFORE
    difference = log_normal(X_T, at, variance) - log_normal(X_T, 0, 1)
    return sympy.expand_log(mean(difference, X_T, at, sympy.sqrt(variance)), force=True)


def _guided_guess(x_t, eps, alpha_bar):
    return (x_t - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt()


EXERCISES = (
    Equation(
        id="7.x1",
        title="a picture, noised",
        lhs="x_t",
        rhs=r"\sqrt{\bar\alpha_t}\,(2p-1)+\sqrt{1-\bar\alpha_t}\,\epsilon",
        meaning="Pixels p in [0, 1], for a model whose pictures are in [−1, 1].",
        reference=lambda picture, alpha_bar, eps: _leap_at(2 * picture - 1, alpha_bar, eps),
        evidence=Draws(
            cases=(
                {"picture": 1.0, "alpha_bar": 0.5},
                {"picture": 0.0, "alpha_bar": 0.9},
                {"picture": 0.3, "alpha_bar": 0.2},
            ),
            law=lambda picture, alpha_bar: stats.norm(
                math.sqrt(alpha_bar) * (2 * picture - 1), math.sqrt(1 - alpha_bar)
            ),
        ),
        symbols={
            "p": lambda picture, **_: picture,
            "alpha_bar_t": lambda alpha_bar, **_: alpha_bar,
        },
        near_misses=(
            NearMiss(
                lambda picture, alpha_bar, eps: _leap_at(picture, alpha_bar, eps),
                "the picture is in [0, 1], where [−1, 1] is meant: map it by 2p − 1 first",
            ),
            NearMiss(
                lambda picture, alpha_bar, eps: 2 * _leap_at(picture, alpha_bar, eps) - 1,
                "it is mapped to [−1, 1] after the noise: the noise is then twice too strong",
            ),
            NearMiss(
                lambda picture, alpha_bar, eps: _leap_at(picture - 0.5, alpha_bar, eps),
                "this maps to [−½, ½]: the picture is half as strong as is meant",
            ),
            NearMiss(
                lambda picture, alpha_bar, eps: _leap_at((picture + 1) / 2, alpha_bar, eps),
                "this is the way back, from [−1, 1] to [0, 1]",
            ),
            NearMiss(
                lambda picture, alpha_bar, eps: _leap_at(2 * picture, alpha_bar, eps),
                "this maps to [0, 2]: subtract 1",
            ),
            NearMiss(
                lambda picture, alpha_bar, eps: _leap_at(1 - 2 * picture, alpha_bar, eps),
                "black and white have changed places",
            ),
            NearMiss(
                lambda picture, alpha_bar, eps: _leap_at(2 * picture - 1, alpha_bar, eps).clamp(
                    -1, 1
                ),
                "x_t is clamped to [−1, 1]: noise is meant to leave that range",
            ),
            NearMiss(
                lambda picture, alpha_bar, eps: _leap_at(
                    2 * picture - 1, alpha_bar, torch.rand_like(eps)
                ),
                "the noise is uniform (rand): it is to be normal (randn)",
            ),
            NearMiss(
                lambda picture, alpha_bar, eps: _leap_at(
                    2 * picture - 1, alpha_bar, eps * torch.randn_like(eps)
                ),
                "noise is multiplied in twice: mean and variance are right, the shape is not",
            ),
        ),
    ),
    Equation(
        id="7.x2",
        title="a leap from a table",
        lhs="x_t",
        rhs=r"\sqrt{\bar\alpha_t}\,x_0+\sqrt{1-\bar\alpha_t}\,\epsilon",
        meaning="(7.5) in code: β_1, …, β_6 are columns 0, …, 5 of a table, and t is 1, …, 6.",
        reference=lambda x_0, beta, t, eps: _leap_at(x_0, _at(_alpha_bars(beta), t - 1), eps),
        evidence=Draws(
            cases=(
                {"x_0": 1.5, "beta": _BETAS, "t": torch.tensor(1)},
                {"x_0": -1.0, "beta": _BETAS, "t": torch.tensor(3)},
                {"x_0": 0.8, "beta": _BETAS[::-1], "t": torch.tensor(2)},
                {"x_0": 1.0, "beta": _BETAS, "t": torch.tensor(6)},
            ),
            law=_stepped,
        ),
        typeset_only="its table is read at another t at every point",
        near_misses=(
            NearMiss(
                lambda x_0, beta, t, eps: _leap_at(x_0, _wrapped(_alpha_bars(beta), t), eps),
                "t is off by one: column t holds ᾱ_{t+1}, for columns count from 0 (and after the "
                "last one there is none)",
            ),
            NearMiss(
                lambda x_0, beta, t, eps: _leap_at(
                    x_0, _at(_alpha_bars(beta), t.clamp(max=5)), eps
                ),
                "t is off by one: column t holds ᾱ_{t+1}, and the last column is taken twice",
            ),
            NearMiss(
                lambda x_0, beta, t, eps: _leap_at(x_0, _wrapped(_alpha_bars(beta), t - 2), eps),
                "t is off by one: column t − 2 holds ᾱ_{t−1}, and for t = 1 the end of the table",
            ),
            NearMiss(
                lambda x_0, beta, t, eps: _leap_at(
                    x_0,
                    _at(torch.nn.functional.pad(_alpha_bars(beta), (1, 0), value=1.0), t - 1),
                    eps,
                ),
                "t is off by one: this is x_{t−1}, and for t = 1 nothing is noised",
            ),
            NearMiss(
                lambda x_0, beta, t, eps: _leap_at(x_0, 1 - _at(beta, t - 1), eps),
                "α and ᾱ mixed up: this is one step, not t of them",
            ),
            NearMiss(
                lambda x_0, beta, t, eps: _leap_at(
                    x_0, (1 - beta.cumsum(-1).gather(1, t[:, None] - 1)[:, 0]).clamp(min=0), eps
                ),
                "1 less the sum of the β: it is the 1 − β that are multiplied",
            ),
            NearMiss(
                lambda x_0, beta, t, eps: _leap_at(x_0, _at(beta.cumprod(-1), t - 1), eps),
                "the β are multiplied: it is the 1 − β",
            ),
            NearMiss(
                lambda x_0, beta, t, eps: (
                    _at(_alpha_bars(beta), t - 1) * x_0 + (1 - _at(_alpha_bars(beta), t - 1)) * eps
                ),
                "both roots are missing: ᾱ and 1 − ᾱ are variances",
            ),
            NearMiss(
                lambda x_0, beta, t, eps: _leap_at(
                    x_0, _at(_alpha_bars(beta), t - 1), eps * torch.randn_like(eps)
                ),
                "noise is multiplied in twice: mean and variance are right, the shape is not",
            ),
        ),
    ),
    Equation(
        id="7.x3",
        title="β̃ from ᾱ alone",
        lhs=r"\tilde\beta_t",
        rhs=r"\frac{(1-\bar\alpha_{t-1})(\bar\alpha_{t-1}-\bar\alpha_t)}"
        r"{\bar\alpha_{t-1}(1-\bar\alpha_t)}",
        meaning="Who skips steps has no β_t: write (7.14) with ᾱ_t and ᾱ_{t−1} only.",
        quantity="the posterior's variance",
        reference=lambda alpha, alpha_bar, alpha_bar_before: (
            (1 - alpha_bar_before) - alpha * (1 - alpha_bar_before) ** 2 / (1 - alpha_bar)
        ),
        evidence=Numeric(at_a_step(), STEP_EXAMPLE),
        symbols={name: STEP_SYMBOLS[name] for name in ("alpha_bar_t", "alpha_bar_t-1")},
        definition=Definition(
            "derived by completing the square, with α_t = ᾱ_t/ᾱ_{t−1} (SymPy)",
            lambda: completed_square()[1],
            STEP_LETTERS,
            BETWEEN_0_AND_1,
        ),
        near_misses=(
            NearMiss(
                r"1-\frac{\bar\alpha_t}{\bar\alpha_{t-1}}",
                "this is β_t, the variance of the step forwards; β̃_t knows x_0, and is smaller",
            ),
            NearMiss(
                r"\frac{(1-\bar\alpha_t)(\bar\alpha_{t-1}-\bar\alpha_t)}"
                r"{\bar\alpha_{t-1}(1-\bar\alpha_{t-1})}",
                "t and t − 1 have changed places in the first fraction: this is more than β_t",
            ),
            NearMiss(
                r"\frac{(1-\bar\alpha_{t-1})(\bar\alpha_{t-1}-\bar\alpha_t)}{1-\bar\alpha_t}",
                "β_t is 1 − ᾱ_t/ᾱ_{t−1}: the ᾱ_{t−1} under the line is missing",
            ),
            NearMiss(
                r"1-\bar\alpha_{t-1}",
                "α and ᾱ mixed up: β_t is not 1 − ᾱ_t, which would cancel",
            ),
            NearMiss(
                r"\frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\frac{\bar\alpha_t}{\bar\alpha_{t-1}}",
                "ᾱ_t/ᾱ_{t−1} is α_t: β_t is 1 less that",
            ),
            NearMiss(
                r"\sqrt{\frac{(1-\bar\alpha_{t-1})(\bar\alpha_{t-1}-\bar\alpha_t)}"
                r"{\bar\alpha_{t-1}(1-\bar\alpha_t)}}",
                "this is the standard deviation; the variance is its square",
            ),
        ),
    ),
    Equation(
        id="7.x4",
        title="the score, by the velocity",
        lhs="s_t",
        rhs=r"-x_t-\sqrt{\frac{\bar\alpha_t}{1-\bar\alpha_t}}\,v_t",
        meaning="(7.24), and then (7.25): what a network that says v knows of the score.",
        quantity="the score",
        reference=lambda **a: -_both(**a)[:, 1] / (1 - a["alpha_bar"]).sqrt(),
        evidence=Numeric(_SAID, _SAID_EXAMPLE),
        symbols=_SAID_SYMBOLS,
        definition=Definition(
            "derived by solving (7.5) and (7.22) for ε, over −√(1−ᾱ) (SymPy)",
            lambda: -_both_in_letters()[EPS] / sympy.sqrt(1 - NOW),
            _SAID_LETTERS,
            BETWEEN_0_AND_1,
        ),
        near_misses=(
            NearMiss(
                r"x_t+\sqrt{\frac{\bar\alpha_t}{1-\bar\alpha_t}}v_t",
                "the sign is turned round: the score points against the noise",
            ),
            NearMiss(
                r"\sqrt{1-\bar\alpha_t}x_t+\sqrt{\bar\alpha_t}v_t", "this is the noise ε, (7.24)"
            ),
            NearMiss(
                r"-\sqrt{1-\bar\alpha_t}x_t-\sqrt{\bar\alpha_t}v_t",
                "this is −ε: it is not divided by √(1−ᾱ_t)",
            ),
            NearMiss(
                r"-\frac{v_t}{\sqrt{1-\bar\alpha_t}}", "v is taken for ε: turn it into ε first"
            ),
            NearMiss(
                r"-\frac{\sqrt{\bar\alpha_t}x_t-\sqrt{1-\bar\alpha_t}v_t}{\sqrt{1-\bar\alpha_t}}",
                "ε and x_0 swapped: (7.23) was taken, where (7.24) is meant",
            ),
            NearMiss(
                r"-x_t+\sqrt{\frac{\bar\alpha_t}{1-\bar\alpha_t}}v_t",
                "the sign of v is turned round: in (7.24) it is added",
            ),
            NearMiss(
                r"-\frac{\sqrt{1-\bar\alpha_t}x_t+\sqrt{\bar\alpha_t}v_t}{1-\bar\alpha_t}",
                "divided by the variance: ε wants √(1−ᾱ_t)",
            ),
        ),
    ),
    Equation(
        id="7.x5",
        title="a guided guess of the picture",
        lhs=r"\hat x_0",
        rhs=rf"\frac{{x_t-\sqrt{{1-\bar\alpha_t}}\,\big({_MIX}\big)}}{{\sqrt{{\bar\alpha_t}}}}",
        meaning="(7.36), and then (7.21); guidance = 1 is the plain conditional model.",
        quantity="the guess",
        reference=lambda x_t, eps_none, eps_y, guidance, alpha_bar, **_: torch.lerp(
            _guided_guess(x_t, eps_none, alpha_bar), _guided_guess(x_t, eps_y, alpha_bar), guidance
        ),
        evidence=Numeric(_GUIDED, _GUIDED_EXAMPLE),
        symbols={
            **STEP_SYMBOLS,
            "epsilon_hat_∅": lambda eps_none, **_: eps_none,
            "epsilon_hat_y": lambda eps_y, **_: eps_y,
            "w": lambda guidance, **_: guidance,
        },
        definition=Definition(
            "derived from (1−w) x̂_0 without y + w x̂_0 with y, each by solving (7.5) (SymPy)",
            lambda: sympy.Add(
                *(
                    share * sympy.solve(leap(X_0, eps) - X_T, X_0)[0]
                    for share, eps in ((1 - _SCALE, _NONE), (_SCALE, _GIVEN))
                )
            ),
            {
                **STEP_LETTERS,
                "x_t": X_T,
                "eps_none": _NONE,
                "epsilon_hat_∅": _NONE,
                "eps_y": _GIVEN,
                "epsilon_hat_y": _GIVEN,
                "guidance": _SCALE,
                "w": _SCALE,
            },
            BETWEEN_0_AND_1,
        ),
        near_misses=(
            NearMiss(
                r"\frac{x_t-\sqrt{1-\bar\alpha_t}((1+w)\hat\epsilon_y-w\hat\epsilon_\varnothing)}"
                r"{\sqrt{\bar\alpha_t}}",
                "the guidance scale is off by one: this is Ho & Salimans' own w, where 0 is the "
                "plain conditional model; here that is 1",
            ),
            NearMiss(
                r"\frac{x_t-\sqrt{1-\bar\alpha_t}(\hat\epsilon_\varnothing"
                r"+(w-1)(\hat\epsilon_y-\hat\epsilon_\varnothing))}{\sqrt{\bar\alpha_t}}",
                "the guidance scale is off by one, downwards: 1 would ignore the condition",
            ),
            NearMiss(
                r"\frac{x_t-\sqrt{1-\bar\alpha_t}(\hat\epsilon_y"
                r"+w(\hat\epsilon_\varnothing-\hat\epsilon_y))}{\sqrt{\bar\alpha_t}}",
                "the two guesses have changed places: 1 would ignore the condition",
            ),
            NearMiss(
                r"\frac{x_t-\sqrt{1-\bar\alpha_t}\hat\epsilon_y}{\sqrt{\bar\alpha_t}}",
                "this is guidance = 1, whatever it is",
            ),
            NearMiss(
                rf"\frac{{x_t-\sqrt{{\bar\alpha_t}}({_MIX})}}{{\sqrt{{1-\bar\alpha_t}}}}",
                "ε and x_0 swapped: √(1−ᾱ_t) belongs to the noise",
            ),
            NearMiss(
                rf"\frac{{x_t-\sqrt{{1-\alpha_t}}({_MIX})}}{{\sqrt{{\alpha_t}}}}",
                "α and ᾱ mixed up: x_t holds the noise of t steps",
            ),
            NearMiss(
                rf"x_t-\sqrt{{1-\bar\alpha_t}}({_MIX})",
                "it is not divided by √ᾱ_t: the picture is still shrunk",
            ),
            NearMiss(_MIX, "this is the guided noise: the picture is asked for"),
        ),
    ),
    Equation(
        id="7.x6",
        title="a whole step back, from a table",
        lhs="x_{t-1}",
        rhs=r"\tilde\mu_t(x_t,\hat\epsilon)+\sqrt{\tilde\beta_t}\,z",
        meaning="(7.18) and (7.14) in code, from β_1, …, β_6 as columns 0, …, 5; at t = 1, too.",
        reference=_reverse,
        evidence=Draws(
            cases=(
                {"x_t": 1.0, "eps_hat": 0.5, "beta": _BETAS, "t": torch.tensor(1)},
                {"x_t": -1.0, "eps_hat": -1.0, "beta": _BETAS, "t": torch.tensor(2)},
                {"x_t": 0.5, "eps_hat": 1.0, "beta": _BETAS[::-1], "t": torch.tensor(3)},
                {"x_t": 1.5, "eps_hat": 0.8, "beta": _BETAS, "t": torch.tensor(6)},
            ),
            law=_one_back,
            noise="z",
        ),
        typeset_only="its tables are read at another t at every point",
        near_misses=(
            NearMiss(
                lambda x_t, eps_hat, beta, t, z: _reverse(
                    x_t, eps_hat, beta, t, z, before=_wrapped(_alpha_bars(beta), t - 2)
                ),
                "ᾱ_0 is read from the end of the table (index −1): it is 1, and without it there "
                "is noise at the last step",
            ),
            NearMiss(
                lambda x_t, eps_hat, beta, t, z: _reverse(
                    x_t, eps_hat, beta, t, z, variance=_at(beta, t - 1)
                ),
                "β_t stands where β̃_t belongs, and so there is noise at the last step, too",
            ),
            NearMiss(
                lambda x_t, eps_hat, beta, t, z: _reverse(
                    x_t, eps_hat, beta, t, z, variance=torch.where(t > 1, _at(beta, t - 1), 0.0)
                ),
                "β_t stands where β̃_t belongs: a sampler may use it, but β̃_t is asked for",
            ),
            NearMiss(
                lambda x_t, eps_hat, beta, t, z: _reverse(
                    x_t, eps_hat, beta, t, z, noise=z * torch.randn_like(z)
                ),
                "noise is multiplied in twice: mean and variance are right, the shape is not",
            ),
            NearMiss(
                lambda x_t, eps_hat, beta, t, z: _reverse(
                    x_t, eps_hat, beta, t, z, noise=torch.zeros_like(z)
                ),
                "there is no noise at all: only the last step goes without",
            ),
            NearMiss(
                lambda x_t, eps_hat, beta, t, z: (
                    (x_t - _at(beta, t - 1).sqrt() * eps_hat) / (1 - _at(beta, t - 1)).sqrt()
                    + _reverse(x_t, eps_hat, beta, t, z)
                    - _reverse(x_t, eps_hat, beta, t, torch.zeros_like(z))
                ),
                "α and ᾱ mixed up: 1 − ᾱ_t stands under the root, for ε̂ is all the noise of t "
                "steps",
            ),
            NearMiss(
                lambda x_t, eps_hat, beta, t, z: _reverse(x_t, eps_hat, beta.roll(-1, -1), t, z),
                "t is off by one: β_t is column t − 1, for columns count from 0",
            ),
        ),
    ),
    Equation(
        id="7.x7",
        title="what x_T still knows",
        lhs=r"D_{\mathrm{KL}}",
        rhs=r"\tfrac12\big(\bar\alpha_T\,x_0^2-\bar\alpha_T-\log(1-\bar\alpha_T)\big)",
        meaning="From q(x_T|x_0) to N(0, 1), for one pixel: the last term of (7.17), which no "
        "training lowers.",
        quantity="the divergence",
        reference=lambda x_0, alpha_bar: torch.distributions.kl_divergence(
            torch.distributions.Normal(alpha_bar.sqrt() * x_0, (1 - alpha_bar).sqrt()),
            torch.distributions.Normal(0.0, 1.0),
        ),
        evidence=Numeric(
            points(x_0=uniform(-1.5, 1.5), alpha_bar=uniform(0.01, 0.9)),
            {"x_0": 1.0, "alpha_bar": 0.5},
        ),
        symbols={"alpha_bar_T": lambda alpha_bar, **_: alpha_bar},
        definition=Definition(
            "derived from ∫ q log(q/p) dx_T (SymPy)",
            _last_price_in_letters,
            {"x_0": X_0, "alpha_bar": BEFORE, "alpha_bar_T": BEFORE},
        ),
        cite="Ho et al. 2020, section 3.1",
        near_misses=(
            NearMiss(
                r"\frac12(\bar\alpha_Tx_0^2-\log(1-\bar\alpha_T))",
                "−ᾱ_T is missing: the variance 1 − ᾱ_T and the −1 of (3.7) leave it",
            ),
            NearMiss(
                r"\frac12(\bar\alpha_Tx_0^2+1-\bar\alpha_T-\log(1-\bar\alpha_T))",
                "the −1 of (3.7) is missing",
            ),
            NearMiss(r"\bar\alpha_Tx_0^2-\bar\alpha_T-\log(1-\bar\alpha_T)", "the ½ is missing"),
            NearMiss(
                r"\frac12(\bar\alpha_Tx_0^2-\bar\alpha_T+\log(1-\bar\alpha_T))",
                "the logarithm is subtracted: a divergence is never negative",
            ),
            NearMiss(
                r"\frac12(\bar\alpha_T^2x_0^2-\bar\alpha_T-\log(1-\bar\alpha_T))",
                "the mean is √ᾱ_T x_0: its square is ᾱ_T x_0²",
            ),
            NearMiss(
                r"\frac12(\bar\alpha_Tx_0^2-\bar\alpha_T-\log\bar\alpha_T)",
                "the logarithm is of the variance, 1 − ᾱ_T",
            ),
            NearMiss(
                r"\frac12(x_0^2-\bar\alpha_T-\log(1-\bar\alpha_T))",
                "x_0 is not shrunk: the mean of x_T is √ᾱ_T x_0",
            ),
        ),
    ),
)
