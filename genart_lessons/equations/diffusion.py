"""Chapter 07, diffusion: adding noise in steps, taking one step back, and the bound on all of it.

Three worlds serve as known truth. A *chain of two states* with tables, where every path is counted.
One *Gaussian step*, given by α_t and ᾱ_{t−1}. And a *path world* of three steps with its model,
tables again, where the bound and its terms are sums. What is done with a model that has learnt to
predict the noise is in ``diffusion_sampling``.
"""

import math
from collections.abc import Callable

import sympy
import torch
from scipy import stats
from torch import Tensor

from genart_lessons.equations import diffusion_sampling
from genart_lessons.equations.derive import entries, log_normal, mean, positive, real
from genart_lessons.equations.noised import (
    ALPHA,
    BEFORE,
    BETWEEN_0_AND_1,
    EPS,
    STEP_EXAMPLE,
    STEP_LETTERS,
    STEP_SYMBOLS,
    X_0,
    X_BEFORE,
    X_T,
    at_a_step,
    completed_square,
    conditioned,
    leap,
    variance_of_two_signs,
)  # fmt: skip
from genart_lessons.proof import Bound, Definition, Draws, Equation, NearMiss, Numeric
from genart_lessons.proof.draws import Draw, normal, points, simplex, uniform, whole

Symbols = dict[str, Callable[..., Tensor]]
_STEPS = 3
_FORWARD = r"q(x_t\mid x_{t-1})"

# -- a chain of two states, every path counted -----------------------------------------------------

_CHAIN = points(q=simplex(_STEPS, 2, 2), x=whole(2, _STEPS + 1))
_CHAIN_EXAMPLE = {
    "q": [[[0.75, 0.25], [0.25, 0.75]], [[0.5, 0.5], [0.5, 0.5]], [[0.9, 0.1], [0.2, 0.8]]],
    "x": [0, 0, 1, 1],
}


def _steps_of_path(q, x):
    """q(x_t|x_{t−1}) at each step of the path: (P, T)."""
    n = torch.arange(len(x))
    return torch.stack([q[n, t, x[:, t], x[:, t + 1]] for t in range(_STEPS)], dim=-1)


def _from_start(q, x):
    """q(x_t|x_0) where the path stands, for every t: (P, T)."""
    n, found, power = torch.arange(len(x)), [], torch.eye(2, dtype=q.dtype).expand(len(x), 2, 2)
    for t in range(_STEPS):
        power = power @ q[:, t]
        found.append(power[n, x[:, 0], x[:, t + 1]])
    return torch.stack(found, dim=-1)


def _all_paths_between(q, x):
    """The probability of each path from x_0 to x_T: (P, 2, 2), over x_1 and x_2."""
    n = torch.arange(len(x))
    first, last = q[n, 0, x[:, 0]], q[n, 2, :, x[:, 3]]
    return first[:, :, None] * q[:, 1] * last[:, None, :]


_PATH_SYMBOLS: Symbols = {
    "q(x_t|x_t-1)": _steps_of_path,
    "q(x_t|x_0)": _from_start,
    "q(x_T|x_0)": lambda q, x: _from_start(q, x)[:, -1],
    "q(x_≤t|x_0)": lambda q, x: _steps_of_path(q, x).cumprod(-1),
    "T": lambda q, x: torch.full_like(q[:, 0, 0, 0], _STEPS),
}
# The same path in letters: the probabilities of its beginnings m₁ ≥ m₂ ≥ m₃, given x_0.
_M, _ALONE = entries("m", _STEPS, above_zero=True), entries("u", 2, above_zero=True)

_PATHS = (
    Equation(
        id="7.1",
        title="one step of noise",
        lhs="x_t",
        rhs=r"\sqrt{\alpha_t}\,x_{t-1}+\sqrt{\beta_t}\,\epsilon",
        meaning="Shrink a little, add a little noise ε ~ N(0, 1): α_t = 1 − β_t.",
        reference=lambda x_before, beta, eps: (1 - beta).sqrt() * x_before + beta.sqrt() * eps,
        evidence=Draws(
            cases=(
                {"x_before": 1.5, "beta": 0.2},
                {"x_before": -2.0, "beta": 0.05},
                {"x_before": 0.5, "beta": 0.6},
            ),
            law=lambda x_before, beta: stats.norm(math.sqrt(1 - beta) * x_before, math.sqrt(beta)),
        ),
        symbols={
            "alpha_t": lambda beta, **_: 1 - beta,
            "beta_t": lambda beta, **_: beta,
            "x_t-1": lambda x_before, **_: x_before,
        },
        cite="Sohl-Dickstein et al. 2015, section 2.1; Ho et al. 2020, eq. 2",
        near_misses=(
            NearMiss(
                lambda x_before, beta, eps: (1 - beta).sqrt() * x_before + beta * eps,
                "β stands where √β belongs: β is the noise's variance, and noise is stretched by "
                "its standard deviation",
            ),
            NearMiss(
                lambda x_before, beta, eps: (
                    (1 - beta).sqrt() * x_before + beta.sqrt() * eps * torch.randn_like(eps)
                ),
                "noise is multiplied in twice: mean and variance are right, the shape is not",
            ),
            NearMiss(
                lambda x_before, beta, eps: (1 - beta) * x_before + beta.sqrt() * eps,
                "α stands where √α belongs: the picture is shrunk too much",
            ),
            NearMiss(
                lambda x_before, beta, eps: (1 - beta) * x_before + beta * eps,
                "the weights add up to 1, as in a mean: here their squares do, so both want a root",
            ),
            NearMiss(
                lambda x_before, beta, eps: x_before + beta.sqrt() * eps,
                "the picture is not shrunk: the variance grows with every step (exploding, not "
                "preserving)",
            ),
            NearMiss(
                lambda x_before, beta, eps: beta.sqrt() * x_before + (1 - beta).sqrt() * eps,
                "α and β have changed places: one step would leave almost nothing but noise",
            ),
            NearMiss(
                lambda x_before, beta, eps: (1 - beta).sqrt() * x_before,
                "there is no noise: this is only the mean of x_t",
            ),
        ),
    ),
    Equation(
        id="7.2",
        title="the whole chain",
        lhs=r"q(x_1,\dots,x_T\mid x_0)",
        rhs=rf"\prod_{{t=1}}^{{T}}{_FORWARD}",
        meaning="The probability of a whole path: each state depends on the one before it alone.",
        quantity="the path's probability",
        reference=lambda q, x: torch.stack(
            [q[k, [0, 1, 2], x[k, :-1], x[k, 1:]].prod() for k in range(len(x))]
        ),
        evidence=Numeric(_CHAIN, _CHAIN_EXAMPLE, where="random chains of two states"),
        symbols=_PATH_SYMBOLS,
        definition=Definition(
            "proved from q(x_t|x_0,…,x_{t−1}) = q(x_1,…,x_t|x_0)/q(x_1,…,x_{t−1}|x_0), which in a "
            "chain is q(x_t|x_{t−1}) (SymPy)",
            lambda: _M[2],
            {
                "q(x_≤t|x_0)": _M,
                "q(x_t|x_t-1)": (_M[0], _M[1] / _M[0], _M[2] / _M[1]),
                "q(x_t|x_0)": (_M[0], *_ALONE),
                "q(x_T|x_0)": _ALONE[1],
                "T": sympy.Integer(_STEPS),
            },
        ),
        sources=("E5",),
        cite="Ho et al. 2020, eq. 2",
        near_misses=(
            NearMiss(
                r"q(x_T\mid x_0)",
                "this is the last state alone, whatever path has led to it: a path is less "
                "probable than its end",
                source="E5",
            ),
            NearMiss(
                r"\prod_{t=1}^{T}q(x_t\mid x_0)",
                "each state is drawn from x_0 on its own: neighbours of a path would not be alike",
            ),
            NearMiss(
                rf"\sum_{{t=1}}^{{T}}{_FORWARD}",
                "the steps are added: along one path their probabilities are multiplied",
            ),
            NearMiss(rf"\prod_{{t=2}}^{{T}}{_FORWARD}", "the first step, q(x_1|x_0), is left out"),
        ),
    ),
    Equation(
        id="7.3",
        title="the last state alone",
        lhs=r"q(x_T\mid x_0)",
        rhs=rf"\sum_{{x_1,\dots,x_{{T-1}}}}\prod_{{t=1}}^{{T}}{_FORWARD}",
        meaning="All the ways to get from x_0 to x_T, added up; an integral where states are "
        "numbers.",
        quantity="q(x_T|x_0)",
        reference=lambda q, x: _all_paths_between(q, x).sum((1, 2)),
        evidence=Numeric(_CHAIN, _CHAIN_EXAMPLE, where="random chains of two states"),
        symbols={name: _PATH_SYMBOLS[name] for name in ("q(x_t|x_t-1)", "T")},
        typeset_only="it is summed over every state between x_0 and x_T",
        sources=("E5",),
        cite="Ho et al. 2020, section 2",
        near_misses=(
            NearMiss(
                rf"\prod_{{t=1}}^{{T}}{_FORWARD}",
                "this is the probability of one whole path, q(x_1,…,x_T|x_0): the states between "
                "x_0 and x_T have not been summed over",
                source="E5",
            ),
            NearMiss(
                lambda q, x: _all_paths_between(q, x).mean((1, 2)),
                "the mean over the paths is taken: they are different ways to get there, and add "
                "up",
            ),
            NearMiss(
                lambda q, x: _all_paths_between(q, x).amax((1, 2)),
                "this is the likeliest path alone: the others lead there too",
            ),
            NearMiss(
                lambda q, x: (q[:, 2] @ q[:, 1] @ q[:, 0])[torch.arange(len(x)), x[:, 0], x[:, 3]],
                "the steps are in the wrong order: x_0 goes through the table of t = 1 first",
            ),
            NearMiss(
                lambda q, x: (q[:, 0] @ q[:, 1] @ q[:, 2])[torch.arange(len(x)), x[:, 3], x[:, 0]],
                "x_0 and x_T have changed places: rows are where one comes from",
            ),
            NearMiss(
                lambda q, x: (q[:, 0] * q[:, 1] * q[:, 2])[torch.arange(len(x)), x[:, 0], x[:, 3]],
                "the tables are multiplied entry by entry: each step would start at x_0 again; "
                "multiply them as matrices",
            ),
        ),
    ),
)

# -- many steps at once ----------------------------------------------------------------------------

_ALPHAS, _COUNT = entries("alpha", 5, above_zero=True), 5
_ONE, _TWO, _SIGMA_0, _SIGMA = (*real("z_1", "z_2"), *positive("sigma_0", "sigma"))


def _signal_left():
    """The square of what x_0 is multiplied by in x_t, for every t, stepping (7.1)."""
    x, found = X_0, []
    for t, alpha in enumerate(_ALPHAS):
        x = sympy.expand(sympy.sqrt(alpha) * x + sympy.sqrt(1 - alpha) * sympy.Symbol(f"eps_{t}"))
        found.append(sympy.diff(x, X_0) ** 2)
    return tuple(found)


def _two_noises():
    """The variance of √α_t √(1−ᾱ_{t−1}) z₁ + √β_t z₂, by its integral."""
    sum_ = sympy.sqrt(ALPHA) * sympy.sqrt(1 - BEFORE) * _ONE + sympy.sqrt(1 - ALPHA) * _TWO
    return mean(mean(sum_**2, _ONE, 0, 1), _TWO, 0, 1)


_LEAP_CASES = (
    {"x_0": 1.5, "alpha": 0.9, "alpha_bar": 0.5},
    {"x_0": -1.0, "alpha": 0.98, "alpha_bar": 0.9},
    {"x_0": 0.5, "alpha": 0.95, "alpha_bar": 0.1},
)

_LEAPS = (
    Equation(
        id="7.4",
        title="how much signal is left",
        lhs=r"\bar\alpha_t",
        rhs=r"\prod_{s=1}^{t}\alpha_s",
        meaning="Shrunk t times: x_t keeps √ᾱ_t of x_0.",
        quantity="the table of ᾱ",
        free_index="t",
        reference=lambda alpha: torch.stack(
            [alpha[:, : t + 1].log().sum(-1).exp() for t in range(alpha.shape[-1])], dim=-1
        ),
        evidence=Numeric(
            points(alpha=uniform(0.5, 0.99, _COUNT)),
            {"alpha": [0.9, 0.8, 0.5, 0.5, 0.5]},
            where="random schedules of five steps",
        ),
        symbols={
            "beta": lambda alpha: 1 - alpha,
            "T": lambda alpha: torch.full_like(alpha[:, 0], _COUNT),
        },
        definition=Definition(
            "derived from five steps of (7.1): the square of what x_0 is multiplied by (SymPy)",
            _signal_left,
            {
                "alpha": _ALPHAS,
                "beta": tuple(1 - alpha for alpha in _ALPHAS),
                "T": sympy.Integer(_COUNT),
            },
        ),
        cite="Ho et al. 2020, eq. 4",
        near_misses=(
            NearMiss(
                r"\prod_{s<t}\alpha_s",
                "t is off by one: this is ᾱ_{t−1}, for the step t itself shrinks too",
            ),
            NearMiss(
                r"\prod_{s=1}^{t}\beta_s",
                "the β are multiplied: what is left of the signal is a product of α = 1 − β",
            ),
            NearMiss(
                r"1-\prod_{s=1}^{t}\beta_s",
                "1 less the product of the β: it is the α = 1 − β that are multiplied",
            ),
            NearMiss(
                r"\sum_{s=1}^{t}\alpha_s",
                "the α are added: a picture that is shrunk twice is shrunk by the product",
            ),
            NearMiss(
                r"\prod_{s=1}^{T}\alpha_s",
                "all T steps are taken, whatever t is: only the first t have happened",
            ),
            NearMiss(r"\alpha_t", "α and ᾱ mixed up: this is the last step alone"),
            NearMiss(
                r"\prod_{s=1}^{t}\sqrt{\alpha_s}",
                "this is √ᾱ_t, what x_0 is multiplied by; ᾱ_t is its square",
            ),
            NearMiss(
                r"1-\sum_{s=1}^{t}\beta_s",
                "nearly right for small β, and 0 or less for many steps: shrinking multiplies",
            ),
        ),
    ),
    Equation(
        id="7.5",
        title="in one leap",
        lhs="x_t",
        rhs=r"\sqrt{\bar\alpha_t}\,x_0+\sqrt{1-\bar\alpha_t}\,\epsilon",
        meaning="All t steps at once, with one ε ~ N(0, 1): nobody has to walk through the chain.",
        reference=lambda x_0, alpha, alpha_bar, eps: (
            alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps
        ),
        evidence=Draws(
            cases=_LEAP_CASES,
            law=lambda x_0, alpha, alpha_bar: stats.norm(
                math.sqrt(alpha_bar) * x_0, math.sqrt(1 - alpha_bar)
            ),
        ),
        symbols=STEP_SYMBOLS,
        cite="Ho et al. 2020, eq. 4",
        near_misses=(
            NearMiss(
                lambda x_0, alpha, alpha_bar, eps: alpha.sqrt() * x_0 + (1 - alpha).sqrt() * eps,
                "α and ᾱ mixed up: this is a single step, (7.1), taken from x_0",
            ),
            NearMiss(
                lambda x_0, alpha, alpha_bar, eps: (
                    alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps * torch.randn_like(eps)
                ),
                "noise is multiplied in twice: mean and variance are right, the shape is not",
            ),
            NearMiss(
                lambda x_0, alpha, alpha_bar, eps: alpha_bar * x_0 + (1 - alpha_bar) * eps,
                "both roots are missing: ᾱ and 1 − ᾱ are variances, and add up to 1",
            ),
            NearMiss(
                lambda x_0, alpha, alpha_bar, eps: alpha_bar.sqrt() * x_0 + (1 - alpha_bar) * eps,
                "noise is stretched by its variance 1 − ᾱ: its standard deviation is √(1 − ᾱ)",
            ),
            NearMiss(
                lambda x_0, alpha, alpha_bar, eps: alpha_bar * x_0 + (1 - alpha_bar).sqrt() * eps,
                "ᾱ stands where √ᾱ belongs: the picture is shrunk too much",
            ),
            NearMiss(
                lambda x_0, alpha, alpha_bar, eps: (
                    alpha_bar.sqrt() * x_0 + (1 - alpha_bar.sqrt()) * eps
                ),
                "1 − √ᾱ stands where √(1 − ᾱ) belongs: squares of the two weights add up to 1, "
                "not the weights",
            ),
            NearMiss(
                lambda x_0, alpha, alpha_bar, eps: (
                    alpha_bar.sqrt() * x_0 + (1 - alpha).sqrt() * eps
                ),
                "ᾱ and α mixed up: the noise is that of one step, the signal that of t steps",
            ),
            NearMiss(
                lambda x_0, alpha, alpha_bar, eps: (
                    alpha.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps
                ),
                "α and ᾱ mixed up: the signal is that of one step, the noise that of t steps",
            ),
            NearMiss(
                lambda x_0, alpha, alpha_bar, eps: (
                    (1 - alpha_bar).sqrt() * x_0 + alpha_bar.sqrt() * eps
                ),
                "signal and noise have changed places: at t = 0, ᾱ = 1 and nothing is noise",
            ),
            NearMiss(
                lambda x_0, alpha, alpha_bar, eps: x_0 + ((1 - alpha_bar) / alpha_bar).sqrt() * eps,
                "this is the exploding kind, x_0 + σε: divide it by √(1 + σ²)",
            ),
            NearMiss(
                lambda x_0, alpha, alpha_bar, eps: (
                    (alpha_bar / alpha).sqrt() * x_0 + (1 - alpha_bar / alpha).sqrt() * eps
                ),
                "t is off by one: this is x_{t−1}",
            ),
        ),
    ),
    Equation(
        id="7.6",
        title="the step of the induction",
        lhs=r"\alpha_t(1-\bar\alpha_{t-1})+\beta_t",
        rhs=r"1-\bar\alpha_t",
        meaning="The old noise, shrunk by √α_t, and the new one: independent, so variances add.",
        quantity="the variance",
        reference=lambda alpha, alpha_bar, alpha_bar_before: variance_of_two_signs(
            (alpha * (1 - alpha_bar_before)).sqrt(), (1 - alpha).sqrt()
        ),
        evidence=Numeric(at_a_step(), STEP_EXAMPLE, where="random steps, ± of both noises counted"),
        symbols=STEP_SYMBOLS,
        definition=Definition(
            "derived from the variance of √α_t √(1−ᾱ_{t−1}) ε′ + √β_t ε (SymPy)",
            _two_noises,
            STEP_LETTERS,
        ),
        cite="Ho et al. 2020, eq. 4",
        near_misses=(
            NearMiss(r"1-\bar\alpha_{t-1}", "t is off by one: this is the noise before the step"),
            NearMiss(
                r"1-\bar\alpha_{t-1}+\beta_t",
                "the old noise is not shrunk: the step multiplies it by √α_t too",
            ),
            NearMiss(r"\bar\alpha_t", "this is what is left of the signal; the noise is the rest"),
            NearMiss(r"\beta_t", "α and ᾱ mixed up: 1 − α_t is the noise of one step alone"),
            NearMiss(
                r"\left(\sqrt{\alpha_t(1-\bar\alpha_{t-1})}+\sqrt{\beta_t}\right)^2",
                "standard deviations do not add; variances do",
            ),
        ),
    ),
    Equation(
        id="7.7",
        title="what becomes of the variance",
        lhs=r"\mathrm{Var}(x_t)",
        rhs=r"\bar\alpha_t\,\sigma_0^2+1-\bar\alpha_t",
        meaning="Data of variance σ₀²: it moves towards 1, and stays there if it is 1.",
        quantity="the variance",
        reference=lambda alpha_bar, sigma_0: variance_of_two_signs(
            alpha_bar.sqrt() * sigma_0, (1 - alpha_bar).sqrt()
        ),
        evidence=Numeric(
            points(alpha_bar=uniform(0.01, 0.99), sigma_0=uniform(0.2, 3)),
            {"alpha_bar": 0.25, "sigma_0": 2.0},
            where="random schedules, ±σ₀ and ± of the noise counted",
        ),
        symbols={"alpha_bar_t": lambda alpha_bar, **_: alpha_bar},
        definition=Definition(
            "derived as the variance of √ᾱ σ₀ z₁ + √(1−ᾱ) z₂ (SymPy)",
            lambda: mean(mean(leap(_SIGMA_0 * _ONE, _TWO, BEFORE) ** 2, _ONE, 0, 1), _TWO, 0, 1),
            {"alpha_bar": BEFORE, "alpha_bar_t": BEFORE, "sigma_0": _SIGMA_0},
        ),
        cite="Song et al. 2021b, section 3.4",
        near_misses=(
            NearMiss(r"\sigma_0^2", "it is preserved only where σ₀ is 1: else it moves towards 1"),
            NearMiss("1", "it is 1 only where the data's own variance is: scale the data first"),
            NearMiss(
                r"\sigma_0^2+1-\bar\alpha_t",
                "the data are not shrunk: their variance is multiplied by ᾱ_t",
            ),
            NearMiss(
                r"\bar\alpha_t\sigma_0+1-\bar\alpha_t",
                "σ₀ stands where the variance σ₀² belongs",
            ),
            NearMiss(
                r"\left(\sqrt{\bar\alpha_t}\sigma_0+\sqrt{1-\bar\alpha_t}\right)^2",
                "standard deviations do not add; variances do",
            ),
            NearMiss(
                r"\sqrt{\bar\alpha_t\sigma_0^2+1-\bar\alpha_t}",
                "this is the standard deviation; the variance is its square",
            ),
        ),
    ),
    Equation(
        id="7.8",
        title="exploding and preserving are one",
        lhs=r"\sqrt{\bar\alpha_t}\,x_0+\sqrt{1-\bar\alpha_t}\,\epsilon",
        rhs=r"\frac{x_0+\sigma_t\epsilon}{\sqrt{1+\sigma_t^2}}",
        meaning="Noise of spread σ_t = √((1−ᾱ_t)/ᾱ_t) on a picture that is not shrunk, and all of "
        "it shrunk afterwards.",
        quantity="x_t",
        reference=lambda x_0, eps, sigma: (
            (1 / (1 + sigma**2)).sqrt() * x_0 + (1 - 1 / (1 + sigma**2)).sqrt() * eps
        ),
        evidence=Numeric(
            points(x_0=uniform(-1, 1), eps=normal(), sigma=uniform(0.05, 5)),
            {"x_0": 1.0, "eps": -1.0, "sigma": 0.75},
        ),
        symbols={
            "alpha_bar_t": lambda sigma, **_: 1 / (1 + sigma**2),
            "sigma_t": lambda sigma, **_: sigma,
        },
        definition=Definition(
            "derived from (7.5) with ᾱ = 1/(1 + σ²) (SymPy)",
            lambda: leap(X_0, EPS, 1 / (1 + _SIGMA**2)),
            {
                "x_0": X_0,
                "eps": EPS,
                "sigma": _SIGMA,
                "sigma_t": _SIGMA,
                "alpha_bar_t": 1 / (1 + _SIGMA**2),
            },
        ),
        cite="Song et al. 2021b, section 3.4; Karras et al. 2022, table 1",
        near_misses=(
            NearMiss(r"x_0+\sigma_t\epsilon", "this is the exploding x_t: divide by √(1 + σ²)"),
            NearMiss(
                r"\frac{x_0+\sigma_t\epsilon}{1+\sigma_t^2}",
                "the root is missing: this divides by the variance",
            ),
            NearMiss(
                r"\frac{x_0+\sigma_t\epsilon}{1+\sigma_t}",
                "standard deviations do not add: the spread of both is √(1 + σ²)",
            ),
            NearMiss(
                r"\frac{x_0+\sigma_t^2\epsilon}{\sqrt{1+\sigma_t^2}}",
                "σ² stands where σ belongs: noise is stretched by its standard deviation",
            ),
            NearMiss(
                r"\frac{\sigma_tx_0+\epsilon}{\sqrt{1+\sigma_t^2}}",
                "signal and noise have changed places",
            ),
        ),
    ),
)

# -- schedules -------------------------------------------------------------------------------------

_T, _LAST, _FIRST_BETA, _LAST_BETA, _SHIFT = positive("t", "T", "beta_1", "beta_T", "s")


def _some_step(first: int, **each: Callable) -> Draw:
    """A number T of steps, one of them from ``first`` to T, and what else ``each`` draws."""

    def draw(generator: torch.Generator, count: int) -> dict[str, Tensor]:
        T = 3 + whole(10)(generator, count).double()
        share = uniform(0, 1)(generator, count)
        t = (first + (share * (T + 1 - first)).floor()).clamp(max=T)
        return {"t": t, "T": T, **points(**each)(generator, count)}

    return draw


def _line_through_both_ends():
    slope, start = real("slope", "start")
    ends = sympy.solve(
        [start + slope - _FIRST_BETA, start + slope * _LAST - _LAST_BETA], [slope, start]
    )
    return ends[start] + ends[slope] * _T


def _cosine(t, T, s):
    return torch.cos((t / T + s) / (1 + s) * math.pi / 2)


_SCHEDULES = (
    Equation(
        id="7.9",
        title="signal to noise",
        lhs=r"\mathrm{SNR}_t",
        rhs=r"\frac{\bar\alpha_t}{1-\bar\alpha_t}",
        meaning="How much stronger the signal is than the noise, for data of variance 1; from ∞ "
        "down to nearly 0.",
        quantity="the ratio",
        reference=lambda alpha, alpha_bar, alpha_bar_before: (
            alpha * alpha_bar_before / (1 - alpha * alpha_bar_before)
        ),
        evidence=Numeric(at_a_step(), STEP_EXAMPLE, where="random steps"),
        symbols=STEP_SYMBOLS,
        definition=Definition(
            "derived as the mean of (√ᾱ z)² over that of (√(1−ᾱ) ε)² (SymPy)",
            lambda: (
                mean(leap(_ONE, sympy.Integer(0)) ** 2, _ONE, 0, 1)
                / mean(leap(sympy.Integer(0), _ONE) ** 2, _ONE, 0, 1)
            ),
            STEP_LETTERS,
        ),
        cite="Kingma et al. 2021, section 3.1",
        near_misses=(
            NearMiss(r"\frac{1-\bar\alpha_t}{\bar\alpha_t}", "upside down: this is σ_t² of (7.8)"),
            NearMiss(
                r"\sqrt{\frac{\bar\alpha_t}{1-\bar\alpha_t}}",
                "this is the ratio of the amplitudes; of the variances it is the square",
            ),
            NearMiss(
                r"\frac{\alpha_t}{1-\alpha_t}", "α and ᾱ mixed up: this is for one step alone"
            ),
            NearMiss(
                r"\frac{\bar\alpha_{t-1}}{1-\bar\alpha_{t-1}}",
                "t is off by one: this is the ratio before the step",
            ),
            NearMiss(
                r"\bar\alpha_t", "this is the signal's share of the whole: divide by the noise"
            ),
        ),
    ),
    Equation(
        id="7.10",
        title="the linear schedule",
        lhs=r"\beta_t",
        rhs=r"\beta_1+\frac{t-1}{T-1}(\beta_T-\beta_1)",
        meaning="β grows by the same amount at each step, from β_1 at t = 1 to β_T at t = T.",
        quantity="β_t",
        reference=lambda t, T, beta_1, beta_T: torch.stack(
            [
                torch.linspace(float(a), float(b), int(n), dtype=torch.float64)[int(k) - 1]
                for k, n, a, b in zip(t, T, beta_1, beta_T, strict=True)
            ]
        ),
        evidence=Numeric(
            _some_step(1, beta_1=uniform(0.05, 0.2), beta_T=uniform(0.3, 0.8)),
            {"t": 3.0, "T": 5.0, "beta_1": 0.1, "beta_T": 0.5},
            where="random steps of short schedules",
        ),
        definition=Definition(
            "derived by solving a + b = β_1 and a + bT = β_T for the line a + bt (SymPy)",
            _line_through_both_ends,
            {"t": _T, "T": _LAST, "beta_1": _FIRST_BETA, "beta_T": _LAST_BETA},
        ),
        cite="Ho et al. 2020, section 4",
        near_misses=(
            NearMiss(
                r"\beta_1+\frac{t}{T}(\beta_T-\beta_1)",
                "t is off by one: the first step is not β_1, for the line starts at t = 0",
            ),
            NearMiss(
                r"\beta_1+\frac{t-1}{T}(\beta_T-\beta_1)",
                "β_T is never reached: from 1 to T there are T − 1 steps",
            ),
            NearMiss(
                r"\beta_1+\frac{t}{T-1}(\beta_T-\beta_1)",
                "t is off by one: this counts from 0, as libraries do; here the first step is 1",
            ),
            NearMiss(
                r"\beta_T+\frac{t-1}{T-1}(\beta_1-\beta_T)",
                "the ends have changed places: noise comes slowly at first",
            ),
            NearMiss(r"\frac{t-1}{T-1}\beta_T", "this starts at 0, not at β_1"),
            NearMiss(
                r"\left(\sqrt{\beta_1}+\frac{t-1}{T-1}(\sqrt{\beta_T}-\sqrt{\beta_1})\right)^2",
                "here √β is linear, which is another schedule, known as scaled linear",
            ),
        ),
    ),
    Equation(
        id="7.11",
        title="the cosine schedule",
        lhs=r"\bar\alpha_t",
        rhs=r"\frac{\cos^2\left(\frac{t/T+s}{1+s}\,\frac{\pi}{2}\right)}"
        r"{\cos^2\left(\frac{s}{1+s}\,\frac{\pi}{2}\right)}",
        meaning="From exactly 1 at t = 0 to exactly 0 at t = T; s (0.008) keeps the first steps "
        "from being too small.",
        quantity="ᾱ_t",
        reference=lambda t, T, s: (_cosine(t, T, s) / _cosine(torch.zeros_like(t), T, s)) ** 2,
        evidence=Numeric(
            _some_step(0, s=uniform(0.05, 0.5)),
            {"t": 2.0, "T": 4.0, "s": 0.1},
            where="random steps of short schedules",
        ),
        definition=Definition(
            "derived from f_t/f_0, f_t = 1 − sin² a_t, at a_t from sπ/(2+2s) to π/2 (SymPy)",
            lambda: _less_sine(_T / _LAST) / _less_sine(sympy.Integer(0)),
            {"t": _T, "T": _LAST, "s": _SHIFT},
        ),
        cite="Nichol & Dhariwal 2021, eq. 17",
        near_misses=(
            NearMiss(
                r"\cos^2\left(\frac{t/T+s}{1+s}\,\frac{\pi}{2}\right)",
                "it is not divided by its value at t = 0: ᾱ_0 must be 1",
            ),
            NearMiss(
                r"\frac{\cos\left(\frac{t/T+s}{1+s}\,\frac{\pi}{2}\right)}"
                r"{\cos\left(\frac{s}{1+s}\,\frac{\pi}{2}\right)}",
                "the square is missing: this is √ᾱ_t",
            ),
            NearMiss(
                r"\cos^2\left(\frac{t}{T}\,\frac{\pi}{2}\right)",
                "the shift s is missing: the first steps would be too small to be seen",
            ),
            NearMiss(
                r"\frac{\cos^2\left(\frac{(t-1)/T+s}{1+s}\,\frac{\pi}{2}\right)}"
                r"{\cos^2\left(\frac{s}{1+s}\,\frac{\pi}{2}\right)}",
                "t is off by one: this is ᾱ_{t−1}",
            ),
            NearMiss(
                r"\frac{\cos^2\left(\frac{t/T+s}{1+s}\,\pi\right)}"
                r"{\cos^2\left(\frac{s}{1+s}\,\pi\right)}",
                "a quarter of a turn, π/2, takes the cosine from 1 to 0; with π it comes back up",
            ),
            NearMiss(
                r"1-\frac{\cos^2\left(\frac{t/T+s}{1+s}\,\frac{\pi}{2}\right)}"
                r"{\cos^2\left(\frac{s}{1+s}\,\frac{\pi}{2}\right)}",
                "this is the noise, 1 − ᾱ_t",
            ),
        ),
    ),
)


def _less_sine(share):
    """1 − sin² a at the angle a = (share + s)/(1 + s)·π/2."""
    return 1 - sympy.sin((share + _SHIFT) / (1 + _SHIFT) * sympy.pi / 2) ** 2


# -- one step back ---------------------------------------------------------------------------------

_BACK = at_a_step(x_0=uniform(-1.5, 1.5), x_t=uniform(-2, 2))
_BACK_EXAMPLE = {**STEP_EXAMPLE, "x_0": 1.0, "x_t": 0.5}
_J, _ONWARD, _END = positive("j", "m", "e")


def _density(x, m, variance):
    return torch.distributions.Normal(m, variance.sqrt()).log_prob(x).exp()


_DENSITIES: Symbols = {
    "q(x_t|x_t-1)": lambda x_before, x_t, alpha, **_: _density(
        x_t, alpha.sqrt() * x_before, 1 - alpha
    ),
    "q(x_t-1|x_0)": lambda x_0, x_before, alpha_bar_before, **_: _density(
        x_before, alpha_bar_before.sqrt() * x_0, 1 - alpha_bar_before
    ),
    "q(x_t|x_0)": lambda x_0, x_t, alpha_bar, **_: _density(
        x_t, alpha_bar.sqrt() * x_0, 1 - alpha_bar
    ),
}
_JOINT_DENSITY: Symbols = {
    "q(x_t-1,x_t|x_0)": lambda **a: (
        _DENSITIES["q(x_t|x_t-1)"](**a) * _DENSITIES["q(x_t-1|x_0)"](**a)
    )
}


def _back(x_0, x_t, alpha, alpha_bar_before, **_):
    return conditioned(x_0, x_t, alpha, alpha_bar_before)


_POSTERIOR = (
    Equation(
        id="7.12",
        title="one step back, by Bayes",
        lhs=r"q(x_{t-1}\mid x_t,x_0)",
        rhs=r"\frac{q(x_t\mid x_{t-1})\,q(x_{t-1}\mid x_0)}{q(x_t\mid x_0)}",
        meaning="If x_0 is known, the way back is known: all three on the right are Gaussians.",
        quantity="the posterior's density",
        reference=lambda x_0, x_before, x_t, alpha, alpha_bar, alpha_bar_before: _density(
            x_before, *conditioned(x_0, x_t, alpha, alpha_bar_before)
        ),
        evidence=Numeric(
            at_a_step(x_0=uniform(-1, 1), x_before=uniform(-1.5, 1.5), x_t=uniform(-1.5, 1.5)),
            {**STEP_EXAMPLE, "x_0": 1.0, "x_before": 0.75, "x_t": 0.5},
        ),
        symbols={**_DENSITIES, **_JOINT_DENSITY},
        definition=Definition(
            "proved from q(x_{t−1},x_t|x_0)/q(x_t|x_0), in a chain (SymPy)",
            lambda: _J / _END,
            {
                "q(x_t-1,x_t|x_0)": _J,
                "q(x_t-1|x_0)": _ONWARD,
                "q(x_t|x_0)": _END,
                "q(x_t|x_t-1)": _J / _ONWARD,
            },
        ),
        cite="Ho et al. 2020, eq. 6",
        near_misses=(
            NearMiss(
                r"q(x_t\mid x_{t-1})\,q(x_{t-1}\mid x_0)",
                "this is the joint density: divide by q(x_t|x_0), or it does not integrate to 1",
            ),
            NearMiss(
                r"\frac{q(x_t\mid x_{t-1})\,q(x_t\mid x_0)}{q(x_{t-1}\mid x_0)}",
                "the two that start from x_0 have changed places",
            ),
            NearMiss(
                r"q(x_t\mid x_{t-1})",
                "this is the step forwards: read backwards, it is no density of x_{t−1}",
            ),
            NearMiss(
                r"\frac{q(x_t\mid x_{t-1})}{q(x_t\mid x_0)}",
                "the prior q(x_{t−1}|x_0) is left out: this is the posterior over the prior",
            ),
            NearMiss(
                r"q(x_{t-1}\mid x_0)", "x_t is not asked: this is what was known before it came"
            ),
        ),
    ),
    Equation(
        id="7.13",
        title="the posterior's mean",
        lhs=r"\tilde\mu_t",
        rhs=r"\frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t}\,x_0"
        r"+\frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}\,x_t",
        meaning="Between the picture and what it has become; near t = 1 the picture decides.",
        quantity="the posterior's mean",
        reference=lambda **a: _back(**a)[0],
        evidence=Numeric(_BACK, _BACK_EXAMPLE),
        symbols=STEP_SYMBOLS,
        definition=Definition(
            "derived by completing the square in log q(x_t|x_{t−1}) q(x_{t−1}|x_0) (SymPy)",
            lambda: completed_square()[0],
            {**STEP_LETTERS, "x_0": X_0, "x_t": X_T},
            BETWEEN_0_AND_1,
        ),
        cite="Ho et al. 2020, eq. 7",
        near_misses=(
            NearMiss(
                r"\frac{\sqrt{\bar\alpha_t}\,\beta_t}{1-\bar\alpha_t}x_0"
                r"+\frac{\sqrt{\alpha_t}(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}x_t",
                "t is off by one: x_0 is weighed with √ᾱ_{t−1}, not with √ᾱ_t",
            ),
            NearMiss(
                r"\frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t}x_0"
                r"+\frac{\sqrt{\bar\alpha_t}(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}x_t",
                "ᾱ and α mixed up: x_t is weighed with √α_t, the shrinking of one step",
            ),
            NearMiss(
                r"\frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t}x_t"
                r"+\frac{\sqrt{\alpha_t}(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}x_0",
                "x_0 and x_t have changed places",
            ),
            NearMiss(
                r"\frac{\bar\alpha_{t-1}\beta_t}{1-\bar\alpha_t}x_0"
                r"+\frac{\alpha_t(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}x_t",
                "the roots of ᾱ_{t−1} and α_t are missing",
            ),
            NearMiss(
                r"\frac{\sqrt{\bar\alpha_{t-1}}\sqrt{\beta_t}}{1-\bar\alpha_t}x_0"
                r"+\frac{\sqrt{\alpha_t}(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}x_t",
                "√β_t stands where β_t belongs",
            ),
            NearMiss(
                r"\frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_{t-1}}x_0+\sqrt{\alpha_t}x_t",
                "t is off by one under the line: it is 1 − ᾱ_t",
            ),
            NearMiss(
                r"\sqrt{\bar\alpha_{t-1}}\,x_0",
                "x_t is not asked: this is the mean given x_0 alone",
            ),
            NearMiss(
                r"\frac{x_t}{\sqrt{\alpha_t}}", "x_0 is not asked: this only undoes the shrinking"
            ),
        ),
    ),
    Equation(
        id="7.14",
        title="the posterior's variance",
        lhs=r"\tilde\beta_t",
        rhs=r"\frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\,\beta_t",
        meaning="What stays open about x_{t−1} when both its neighbours are known: less than β_t, "
        "and 0 at t = 1.",
        quantity="the posterior's variance",
        reference=lambda alpha, alpha_bar, alpha_bar_before: conditioned(
            torch.zeros_like(alpha), torch.zeros_like(alpha), alpha, alpha_bar_before
        )[1],
        evidence=Numeric(at_a_step(), STEP_EXAMPLE),
        symbols=STEP_SYMBOLS,
        definition=Definition(
            "derived by completing the square in log q(x_t|x_{t−1}) q(x_{t−1}|x_0) (SymPy)",
            lambda: completed_square()[1],
            STEP_LETTERS,
            BETWEEN_0_AND_1,
        ),
        cite="Ho et al. 2020, eq. 7",
        near_misses=(
            NearMiss(
                r"\beta_t",
                "this is β_t, the variance of the step forwards: samplers may use it too, but the "
                "posterior's is β̃_t, which knows x_0",
            ),
            NearMiss(
                r"\frac{1-\bar\alpha_t}{1-\bar\alpha_{t-1}}\beta_t",
                "upside down: t and t − 1 have changed places, and this is more than β_t",
            ),
            NearMiss(
                r"\sqrt{\frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\beta_t}",
                "this is the standard deviation; the variance is its square",
            ),
            NearMiss(
                r"\log\left(\frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\beta_t\right)",
                "this is the logarithm of the variance",
            ),
            NearMiss(
                r"1-\bar\alpha_{t-1}",
                "ᾱ and α mixed up: β_t is 1 − α_t, and 1 − ᾱ_t would cancel",
            ),
            NearMiss(
                r"\frac{\bar\alpha_{t-1}}{\bar\alpha_t}\beta_t",
                "1 − ᾱ stands on both sides of the line, not ᾱ",
            ),
            NearMiss(
                r"\frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\alpha_t",
                "α_t stands where β_t belongs",
            ),
        ),
    ),
)

# -- the bound -------------------------------------------------------------------------------------

_WIDTH = 3
_MU_Q, _MU_P, _NOISES, _GUESSED = (entries(n, _WIDTH) for n in ("mu_q", "mu_p", "eps", "eps_hat"))

_PATH_WORLD = {
    "p_T": simplex(2), "p_back": simplex(2, 2, 2), "p_data": uniform(0.05, 0.95, 2),
    "q_1": simplex(2), "q_on": simplex(2, 2, 2),
}  # fmt: skip
_PATH_EXAMPLE = {
    "p_T": [0.5, 0.5],
    "p_back": [[[0.75, 0.25], [0.25, 0.75]], [[0.5, 0.5], [0.25, 0.75]]],
    "p_data": [0.2, 0.6],
    "q_1": [0.25, 0.75],
    "q_on": [[[0.5, 0.5], [0.5, 0.5]], [[0.75, 0.25], [0.5, 0.5]]],
}
_PATH_WHERE = "random worlds of three steps, every path counted"


def _model_paths(p_T, p_back, **_):
    """p(x_1,x_2,x_3): (P, 2, 2, 2)."""
    to_1, to_2 = p_back[:, 0].mT, p_back[:, 1].mT  # from rows of the later state to columns
    return to_1[:, :, :, None] * to_2[:, None, :, :] * p_T[:, None, None, :]


def _paths(q_1, q_on, **_):
    """q(x_1,x_2,x_3|x_0): (P, 2, 2, 2)."""
    return q_1[:, :, None, None] * q_on[:, 0, :, :, None] * q_on[:, 1, None, :, :]


def _seen(p_data, **_):
    """p(x_0|x_1) along every path: (P, 2, 2, 2)."""
    return p_data[:, :, None, None].expand(-1, 2, 2, 2)


def _joint(**world):
    return _model_paths(**world) * _seen(**world)


def _log_p_data(**world):
    return _joint(**world).sum((1, 2, 3)).log()


def _path_bound(**world):
    q = _paths(**world)
    return (q * (_joint(**world) / q).log()).sum((1, 2, 3))


def _at_true_paths(world):
    """The same model, with q the model's own posterior over the paths."""
    joint = _joint(**world)
    q = joint / joint.sum((1, 2, 3), keepdim=True)
    pairs = q.sum(3), q.sum(1)  # over (x_1, x_2) and (x_2, x_3)
    q_on = torch.stack([pair / pair.sum(2, keepdim=True) for pair in pairs], dim=1)
    return {**world, "q_1": q.sum((2, 3)), "q_on": q_on}


def _kl(a, b):
    return (a * (a / b).log()).sum(-1)


def _terms(**world):
    """E[log p(x_0|x_1)], [E KL at t = 2, 3], KL at T; and what slips are made of."""
    q = _paths(**world)
    pairs = [q.sum(3), q.sum(1)]  # (x_{t−1}, x_t) for t = 2, 3: (P, 2, 2)
    middle = []
    for k, pair in enumerate(pairs):
        now = pair.sum(1)  # q(x_t|x_0)
        back = (pair / now.unsqueeze(1)).mT  # q(x_{t−1}|x_t,x_0), rows are x_t
        middle.append((now, back, world["p_back"][:, k], pair.sum(2)))
    seen = (world["q_1"] * world["p_data"].log()).sum(-1)
    return seen, middle, _kl(q.sum((1, 2)), world["p_T"])


def _by_terms(first=1.0, last=1.0, sign=1.0, each=None, **world):
    """The bound by its terms, or a slip in it: weights of its parts, or another middle term."""
    seen, middle, prior = _terms(**world)
    each = each or (lambda now, back, p, before: (now * _kl(back, p)).sum(-1))
    return first * seen - sign * sum(each(*term) for term in middle) - last * prior


_PATH_LETTERS, _Q_PATH = (entries(name, 8, above_zero=True) for name in "jk")
_SEEN_LETTERS = entries("l", 2, above_zero=True)
_SEEN_ALONG = tuple(_SEEN_LETTERS[k // 4] for k in range(8))
_JOINT_LETTERS = tuple(j * seen for j, seen in zip(_PATH_LETTERS, _SEEN_ALONG, strict=True))
_EVIDENCE = sympy.Add(*_JOINT_LETTERS)


def _divergence_of_steps(mean_q, mean_p, sigma):
    """E_q[log q − log p] of two normals of one variance, dimension by dimension, integrated."""
    x = X_BEFORE
    return sympy.Add(*(
        mean(log_normal(x, a, sigma**2) - log_normal(x, b, sigma**2), x, a, sigma)
        for a, b in zip(mean_q, mean_p, strict=True)
    ))  # fmt: skip


def _mean_by_noise(eps):
    """The posterior's mean with x_0 = (x_t − √(1−ᾱ) ε)/√ᾱ, which (7.5) says."""
    picture = sympy.solve(leap(X_0, eps) - X_T, X_0)[0]
    return completed_square()[0].subs(X_0, picture)


def _price_of_a_guess():
    """(7.15) for means that differ as those of (7.18) do, by ε − ε̂ times a factor."""
    factor = sympy.diff(_mean_by_noise(EPS), EPS)
    squared = sympy.factor(sympy.expand(sympy.together(factor) ** 2))
    apart = entries("apart", _WIDTH)
    price = _divergence_of_steps(apart, (sympy.Integer(0),) * _WIDTH, _SIGMA)
    each = zip(apart, _NOISES, _GUESSED, strict=True)
    return sympy.expand(price).subs(
        {gap**2: squared * (eps - guess) ** 2 for gap, eps, guess in each}
    )


def _weighed(eps, eps_hat, alpha, alpha_bar, sigma, **_):
    weight = (1 - alpha) ** 2 / (2 * sigma**2 * alpha * (1 - alpha_bar))
    return weight * (eps - eps_hat).square().sum(-1)


def _noised_batch(x_0, eps, alpha_bar):
    a = alpha_bar.unsqueeze(-1)
    return a.sqrt() * x_0 + (1 - a).sqrt() * eps


def _simple(target, x_t, W, over=torch.sum):
    """The mean over the batch of the squared length of target − x_t W."""
    return over((target - x_t @ W) ** 2, dim=-1).mean(-1)


_NOISE_SYMBOLS: Symbols = {
    **STEP_SYMBOLS,
    "epsilon_hat": lambda eps_hat, **_: eps_hat,
    "epsilon_theta": lambda eps_hat, **_: eps_hat,
    "sigma_t": lambda sigma, **_: sigma,
}
_WEIGHT = r"\lVert\epsilon-\hat\epsilon\rVert^2"

_BOUND = (
    Equation(
        id="7.15",
        title="KL divergence of two Gaussians of one variance",
        lhs=r"D_{\mathrm{KL}}",
        rhs=r"\frac{\lVert\mu_q-\mu_p\rVert^2}{2\sigma^2}",
        meaning="From N(μ_q, σ²) to N(μ_p, σ²), in any number of dimensions: only the distance "
        "of the means is left of (3.10).",
        quantity="the divergence",
        reference=lambda mu_q, mu_p, sigma: torch.distributions.kl_divergence(
            torch.distributions.Normal(mu_q, sigma[:, None]),
            torch.distributions.Normal(mu_p, sigma[:, None]),
        ).sum(-1),
        evidence=Numeric(
            points(mu_q=normal(_WIDTH), mu_p=normal(_WIDTH), sigma=uniform(0.2, 2)),
            {"mu_q": [1.0, 2.0, 0.0], "mu_p": [0.0, 0.0, 2.0], "sigma": 0.5},
        ),
        definition=Definition(
            "derived from ∫ q(x) log(q(x)/p(x)) dx in each of 3 dimensions (SymPy)",
            lambda: _divergence_of_steps(_MU_Q, _MU_P, _SIGMA),
            {"mu_q": _MU_Q, "mu_p": _MU_P, "sigma": _SIGMA},
        ),
        cite="Ho et al. 2020, eq. 8",
        near_misses=(
            NearMiss(r"\frac{\lVert\mu_q-\mu_p\rVert^2}{\sigma^2}", "the ½ is missing"),
            NearMiss(
                r"\frac{\lVert\mu_q-\mu_p\rVert^2}{2\sigma}",
                "σ stands where the variance σ² belongs",
            ),
            NearMiss(
                r"\frac{\lVert\mu_q-\mu_p\rVert}{2\sigma^2}", "the square of the norm is missing"
            ),
            NearMiss(
                r"\frac{\lVert\mu_q-\mu_p\rVert^2}{2}",
                "this is for σ = 1: the same distance counts for more where the noise is small",
            ),
            NearMiss(
                lambda mu_q, mu_p, sigma: (mu_q - mu_p).square().mean(-1) / (2 * sigma**2),
                "the mean over dimensions is taken: independent dimensions add up",
            ),
        ),
    ),
    Equation(
        id="7.16",
        title="the bound",
        lhs=r"\log p(x_0)",
        relation=r"\ge",
        rhs=r"\mathbb{E}_{q(x_{1:T}\mid x_0)}\left["
        r"\log\frac{p(x_{0:T})}{q(x_{1:T}\mid x_0)}\right]",
        meaning="(3.4) with the whole path x_1, …, x_T for a code. Here q is fixed in advance: "
        "only p has something to learn.",
        quantity="log p(x_0)",
        reference=_path_bound,
        evidence=Bound(
            points(**_PATH_WORLD),
            of=_log_p_data,
            tight=_at_true_paths,
            of_words="log p(x_0)",
            tight_words="q is the model's own posterior over the paths",
            example=_PATH_EXAMPLE,
            where=_PATH_WHERE,
        ),
        symbols={
            "q(x_≤T|x_0)": lambda **world: _paths(**world).flatten(1),
            "p(x_0:T)": lambda **world: _joint(**world).flatten(1),
            "p(x_≤T)": lambda **world: _model_paths(**world).flatten(1),
            "p(x_≤T|x_0)": lambda **world: (
                _joint(**world) / _joint(**world).sum((1, 2, 3), keepdim=True)
            ).flatten(1),
            "p(x_0|x_1)": lambda **world: _seen(**world).flatten(1),
            "p(x_0)": lambda **world: _log_p_data(**world).exp(),
        },
        definition=Definition(
            "derived from Σ q log(p/q) over all eight paths (SymPy)",
            lambda: sympy.Add(
                *(k * sympy.log(j / k) for j, k in zip(_JOINT_LETTERS, _Q_PATH, strict=True))
            ),
            {
                "q(x_≤T|x_0)": _Q_PATH,
                "p(x_≤T)": _PATH_LETTERS,
                "p_data": _SEEN_LETTERS,
                "p(x_0|x_1)": _SEEN_ALONG,
                "p(x_0:T)": _JOINT_LETTERS,
                "p(x_0)": _EVIDENCE,
                "p(x_≤T|x_0)": tuple(j / _EVIDENCE for j in _JOINT_LETTERS),
            },
            {_Q_PATH[7]: 1 - sympy.Add(*_Q_PATH[:7])},
        ),
        sources=("S15",),
        cite="Sohl-Dickstein et al. 2015, section 2.4; Ho et al. 2020, eq. 3",
        near_misses=(
            NearMiss(
                r"\mathbb{E}_{q(x_{1:T}|x_0)}[\log p(x_{0:T})]",
                "without −log q it stays below, and never touches: q's entropy is missing",
            ),
            NearMiss(
                r"\mathbb{E}_{q(x_{1:T}|x_0)}[\log\frac{q(x_{1:T}|x_0)}{p(x_{0:T})}]",
                "the fraction is upside down: this is the loss, minus the bound",
            ),
            NearMiss(
                r"\mathbb{E}_{q(x_{1:T}|x_0)}[\log p(x_0|x_1)]",
                "this is the last step back alone: the price of all the others is missing",
            ),
            NearMiss(
                r"\mathbb{E}_{q(x_{1:T}|x_0)}[\log\frac{p(x_{1:T})}{q(x_{1:T}|x_0)}]",
                "p(x_0|x_1) is missing: nobody asks whether the picture comes back",
            ),
            NearMiss(
                r"\mathbb{E}_{p(x_{1:T}|x_0)}[\log\frac{p(x_{0:T})}{q(x_{1:T}|x_0)}]",
                "the paths are drawn from the model's posterior, which nobody knows: this lies "
                "above log p(x_0)",
            ),
            NearMiss(
                r"\log p(x_0)", "this is log p(x_0) itself: nothing is gained that can be computed"
            ),
        ),
    ),
    Equation(
        id="7.17",
        title="the bound, term by term",
        lhs=r"\mathcal{L}",
        rhs=r"\mathbb{E}_q\big[\log p(x_0\mid x_1)\big]"
        r"-\sum_{t=2}^{T}\mathbb{E}_q\Big[D_{\mathrm{KL}}\big(q(x_{t-1}\mid x_t,x_0)\,\Vert\,"
        r"p(x_{t-1}\mid x_t)\big)\Big]"
        r"-D_{\mathrm{KL}}\big(q(x_T\mid x_0)\,\Vert\,p(x_T)\big)",
        meaning="The last step back, one price for each other step, and what x_T still knows; that "
        "last term has nothing to learn.",
        quantity="the bound",
        reference=_by_terms,
        evidence=Numeric(points(**_PATH_WORLD), _PATH_EXAMPLE, where=_PATH_WHERE),
        typeset_only="its divergences are averaged over x_t",
        sources=("S15",),
        cite="Sohl-Dickstein et al. 2015, section 2.4; Ho et al. 2020, eq. 5",
        near_misses=(
            NearMiss(
                lambda **world: -_by_terms(**world),
                "the sign is turned round: this is the loss, minus the bound",
            ),
            NearMiss(
                lambda **world: _by_terms(last=0.0, **world),
                "the price of x_T, KL(q(x_T|x_0)‖p(x_T)), is missing: with too few steps it is "
                "not 0",
            ),
            NearMiss(
                lambda **world: _by_terms(first=0.0, **world),
                "the last step back, E[log p(x_0|x_1)], is missing",
            ),
            NearMiss(
                lambda **world: _by_terms(sign=-1.0, **world),
                "the divergences of the steps are added: they are prices",
            ),
            NearMiss(
                lambda **world: _by_terms(
                    each=lambda now, back, p, before: (now * _kl(p, back)).sum(-1), **world
                ),
                "the divergences of the steps have their arguments the wrong way round",
            ),
            NearMiss(
                lambda **world: _by_terms(
                    each=lambda now, back, p, before: (
                        now * _kl(before.unsqueeze(1).expand_as(p), p)
                    ).sum(-1),
                    **world,
                ),
                "q(x_{t−1}|x_0) stands where q(x_{t−1}|x_t,x_0) belongs: the way back knows x_t, "
                "too",
            ),
            NearMiss(
                lambda **world: _by_terms(
                    each=lambda now, back, p, before: _kl(back, p).mean(-1), **world
                ),
                "every x_t counts alike: each counts as often as q comes to it",
            ),
            NearMiss(
                lambda **world: _by_terms(
                    each=lambda now, back, p, before: _kl(back, p).sum(-1), **world
                ),
                "the divergences are added over x_t: they are averaged, each as often as q comes "
                "to it",
            ),
        ),
    ),
    Equation(
        id="7.18",
        title="the posterior's mean, by the noise",
        lhs=r"\tilde\mu_t",
        rhs=r"\frac{1}{\sqrt{\alpha_t}}\left(x_t-\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\,"
        r"\epsilon\right)",
        meaning="(7.13) without x_0: who knows the noise in x_t knows the mean of the way back.",
        quantity="the posterior's mean",
        reference=lambda x_t, eps, alpha, alpha_bar, alpha_bar_before: conditioned(
            (x_t - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt(), x_t, alpha, alpha_bar_before
        )[0],
        evidence=Numeric(
            at_a_step(x_t=uniform(-2, 2), eps=normal()), {**STEP_EXAMPLE, "x_t": 1.0, "eps": 0.5}
        ),
        symbols=STEP_SYMBOLS,
        definition=Definition(
            "derived from (7.13) with x_0 = (x_t − √(1−ᾱ) ε)/√ᾱ (SymPy)",
            lambda: _mean_by_noise(EPS),
            {**STEP_LETTERS, "x_t": X_T, "eps": EPS},
            BETWEEN_0_AND_1,
        ),
        cite="Ho et al. 2020, eq. 10",
        near_misses=(
            NearMiss(
                r"\frac{1}{\sqrt{\alpha_t}}\left(x_t-\frac{\sqrt{\beta_t}}{\sqrt{1-\bar\alpha_t}}"
                r"\epsilon\right)",
                "√β_t stands where β_t belongs: here it is β_t over the root of 1 − ᾱ_t",
            ),
            NearMiss(
                r"\frac{1}{\sqrt{\alpha_t}}\left(x_t-\sqrt{\beta_t}\,\epsilon\right)",
                "ᾱ and α mixed up: ε is all the noise of t steps, so 1 − ᾱ_t stands under the root",
            ),
            NearMiss(
                r"\frac{1}{\sqrt{\bar\alpha_t}}\left(x_t-\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}"
                r"\epsilon\right)",
                "ᾱ and α mixed up: one step back undoes the shrinking of one step, 1/√α_t",
            ),
            NearMiss(
                r"x_t-\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\epsilon",
                "the factor 1/√α_t is missing: the step forwards has shrunk the picture",
            ),
            NearMiss(
                r"\frac{1}{\sqrt{\alpha_t}}\left(x_t-\frac{\beta_t}{1-\bar\alpha_t}\epsilon\right)",
                "the root of 1 − ᾱ_t is missing",
            ),
            NearMiss(
                r"\frac{1}{\sqrt{\alpha_t}}\left(x_t+\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}"
                r"\epsilon\right)",
                "the noise is added: on the way back it is taken out",
            ),
            NearMiss(
                r"\frac{1}{\sqrt{\bar\alpha_t}}\left(x_t-\sqrt{1-\bar\alpha_t}\,\epsilon\right)",
                "this is x_0 itself, (7.21): all t steps at once, where one is asked for",
            ),
            NearMiss(
                r"\frac{1}{\sqrt{\alpha_t}}\left(x_t-\frac{\beta_t}{\sqrt{1-\bar\alpha_{t-1}}}"
                r"\epsilon\right)",
                "t is off by one: 1 − ᾱ_t stands under the root",
            ),
        ),
    ),
    Equation(
        id="7.19",
        title="the weight that is dropped",
        lhs=r"D_{\mathrm{KL}}",
        rhs=rf"\frac{{\beta_t^2}}{{2\sigma_t^2\,\alpha_t(1-\bar\alpha_t)}}\,{_WEIGHT}",
        meaning="One step's price, if the model's mean is (7.18) with its guess ε̂ and its variance "
        "is σ_t²; up to what does not depend on ε̂.",
        quantity="the divergence",
        reference=_weighed,
        evidence=Numeric(
            at_a_step(eps=normal(_WIDTH), eps_hat=normal(_WIDTH), sigma=uniform(0.2, 1)),
            {
                **STEP_EXAMPLE,
                "eps": [1.0, 0.0, 1.0],
                "eps_hat": [0.0, 0.0, 2.0],
                "sigma": 0.5,
            },
        ),
        symbols=_NOISE_SYMBOLS,
        definition=Definition(
            "derived from ∫ q log(q/p) with the means of (7.18), in each of 3 dimensions (SymPy)",
            _price_of_a_guess,
            {
                **STEP_LETTERS,
                "eps": _NOISES,
                "eps_hat": _GUESSED,
                "epsilon_hat": _GUESSED,
                "epsilon_theta": _GUESSED,
                "sigma": _SIGMA,
                "sigma_t": _SIGMA,
            },
            BETWEEN_0_AND_1,
        ),
        cite="Ho et al. 2020, eq. 12",
        near_misses=(
            NearMiss(
                _WEIGHT, "the weight is dropped: this is the simple loss (7.20), another weighing"
            ),
            NearMiss(
                rf"\frac{{\beta_t^2}}{{\sigma_t^2\alpha_t(1-\bar\alpha_t)}}{_WEIGHT}",
                "the ½ of (7.15) is missing",
            ),
            NearMiss(
                rf"\frac{{\beta_t}}{{2\sigma_t^2\alpha_t(1-\bar\alpha_t)}}{_WEIGHT}",
                "β_t is to be squared: the means differ by a multiple of β_t, and are squared",
            ),
            NearMiss(
                rf"\frac{{\beta_t^2}}{{2\sigma_t^2\bar\alpha_t(1-\bar\alpha_t)}}{_WEIGHT}",
                "ᾱ and α mixed up: the mean is divided by √α_t of one step",
            ),
            NearMiss(
                rf"\frac{{\beta_t^2}}{{2\sigma_t^2\alpha_t(1-\alpha_t)}}{_WEIGHT}",
                "α and ᾱ mixed up: ε is all the noise of t steps, 1 − ᾱ_t",
            ),
            NearMiss(
                rf"\frac{{\beta_t^2}}{{2\sigma_t\alpha_t(1-\bar\alpha_t)}}{_WEIGHT}",
                "σ_t stands where the variance σ_t² belongs",
            ),
            NearMiss(
                r"\frac{\beta_t^2}{2\sigma_t^2\alpha_t(1-\bar\alpha_t)}"
                r"\lVert\epsilon-\hat\epsilon\rVert",
                "the square of the norm is missing",
            ),
            NearMiss(
                lambda **a: _weighed(**a) / a["eps"].shape[-1],
                "the mean over dimensions is taken: independent dimensions add up",
            ),
        ),
    ),
    Equation(
        id="7.20",
        title="the simple loss",
        lhs=r"\mathcal{L}_{\mathrm{simple}}",
        rhs=r"\frac1B\sum_{b=1}^{B}\left\lVert\epsilon_b-\epsilon_\theta\Big("
        r"\sqrt{\bar\alpha_{t_b}}\,x_{0,b}+\sqrt{1-\bar\alpha_{t_b}}\,\epsilon_b,\;t_b\Big)"
        r"\right\rVert^2",
        meaning="Noise a batch, each picture at a step of its own, and guess the noise that was "
        "put in; here the network is ε_θ(x) = x W.",
        quantity="the loss",
        reference=lambda x_0, eps, alpha_bar, W: _simple(
            eps, _noised_batch(x_0, eps, alpha_bar), W
        ),
        evidence=Numeric(
            points(
                x_0=uniform(-1, 1, 4, 2),
                eps=normal(4, 2),
                alpha_bar=uniform(0.05, 0.95, 4),
                W=normal(2, 2),
            ),
            {
                "x_0": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]],
                "eps": [[1.0, 0.0], [0.0, -1.0], [0.0, 1.0], [-1.0, 0.0]],
                "alpha_bar": [0.36, 0.36, 0.64, 0.64],
                "W": [[0.5, 0.0], [0.0, 0.5]],
            },
            where="random batches of four",
        ),
        typeset_only="a network stands in it",
        cite="Ho et al. 2020, eq. 14",
        near_misses=(
            NearMiss(
                lambda x_0, eps, alpha_bar, W: _simple(x_0, _noised_batch(x_0, eps, alpha_bar), W),
                "ε and x_0 swapped: the network is asked for the noise, and is held against the "
                "picture",
            ),
            NearMiss(
                lambda x_0, eps, alpha_bar, W: _simple(
                    torch.randn_like(eps), _noised_batch(x_0, eps, alpha_bar), W
                ),
                "the target is fresh noise: it must be the very ε that was put into x_t",
            ),
            NearMiss(
                lambda x_0, eps, alpha_bar, W: _simple(
                    eps, _noised_batch(x_0, torch.randn_like(eps), alpha_bar), W
                ),
                "x_t is made with fresh noise: the target must be the very ε that was put in",
            ),
            NearMiss(
                lambda x_0, eps, alpha_bar, W: _simple(
                    eps, alpha_bar[..., None] * x_0 + (1 - alpha_bar[..., None]) * eps, W
                ),
                "the roots are missing in x_t: ᾱ and 1 − ᾱ are variances",
            ),
            NearMiss(
                lambda x_0, eps, alpha_bar, W: _simple(eps, _noised_batch(eps, x_0, alpha_bar), W),
                "signal and noise have changed places in x_t",
            ),
            NearMiss(
                lambda x_0, eps, alpha_bar, W: _simple(eps, x_0, W),
                "the network is shown the clean picture, which holds nothing of ε",
            ),
            NearMiss(
                lambda x_0, eps, alpha_bar, W: _simple(
                    (1 - alpha_bar[..., None]).sqrt() * eps, _noised_batch(x_0, eps, alpha_bar), W
                ),
                "the target is √(1−ᾱ) ε, as it stands in x_t: it is ε itself, of variance 1",
            ),
            NearMiss(
                lambda x_0, eps, alpha_bar, W: _simple(
                    eps, _noised_batch((x_0 + 1) / 2, eps, alpha_bar), W
                ),
                "the pictures are in [0, 1], where [−1, 1] is meant: their mean is not noise's",
            ),
            NearMiss(
                lambda x_0, eps, alpha_bar, W: _simple(
                    eps, _noised_batch(x_0, eps, alpha_bar), W, torch.mean
                ),
                "the mean over pixels is taken, as losses in code do: D times less than the "
                "squared length in the formula",
            ),
            NearMiss(
                lambda x_0, eps, alpha_bar, W: (
                    4 * _simple(eps, _noised_batch(x_0, eps, alpha_bar), W)
                ),
                "the sum over the batch is taken: the loss is its mean",
            ),
            NearMiss(
                lambda x_0, eps, alpha_bar, W: _simple(
                    eps, _noised_batch(x_0, eps, alpha_bar[:, :1].expand_as(alpha_bar)), W
                ),
                "one step t for the whole batch: each picture has a step of its own",
            ),
        ),
    ),
)

EQUATIONS = (
    *_PATHS, *_LEAPS, *_SCHEDULES, *_POSTERIOR, *_BOUND,
    *diffusion_sampling.EQUATIONS, *diffusion_sampling.EXERCISES,
)  # fmt: skip
