"""Chapter 00: four equations, one for each kind of evidence, and a first exercise."""

import math

import sympy
import torch
from scipy import stats

from genart_lessons.equations.derive import log_normal, positive, real
from genart_lessons.proof import Bound, Definition, Draws, Equation, Gradient, NearMiss, Numeric
from genart_lessons.proof.draws import points, uniform

_NORMAL_DRAW = points(x=uniform(-3, 3), mu=uniform(-2, 2), sigma=uniform(0.1, 3))
_NORMAL_EXAMPLE = {"x": 1.0, "mu": 0.5, "sigma": 2.0}


def _density(x, mu, sigma):
    return torch.distributions.Normal(mu, sigma).log_prob(x).exp()


def _log_density(x, mu, sigma):
    return torch.distributions.Normal(mu, sigma).log_prob(x)


_X, _MU = real("x", "mu")
(_SIGMA,) = positive("sigma")
_LOG_NORMAL, _LETTERS = log_normal(_X, _MU, _SIGMA**2), {"x": _X, "mu": _MU, "sigma": _SIGMA}

EQUATIONS = (
    Equation(
        id="0.1",
        title="density of the normal distribution",
        lhs=r"\mathcal{N}(x;\,\mu,\sigma^2)",
        rhs=r"\frac{1}{\sqrt{2\pi\sigma^2}}\,\exp\left(-\frac{(x-\mu)^2}{2\sigma^2}\right)",
        meaning="How densely values lie around x when they scatter about mu with spread sigma.",
        quantity="the density",
        reference=_density,
        evidence=Numeric(_NORMAL_DRAW, _NORMAL_EXAMPLE),
        positive=("sigma",),
        near_misses=(
            NearMiss(
                r"\frac{1}{\sqrt{2\pi\sigma}}\exp\left(-\frac{(x-\mu)^2}{2\sigma^2}\right)",
                "under the root stands the variance σ², not σ",
            ),
            NearMiss(
                r"\frac{1}{\sqrt{2\pi\sigma^2}}\exp\left(-\frac{(x-\mu)^2}{\sigma^2}\right)",
                "the 2 under (x − μ)² is missing",
            ),
            NearMiss(
                r"\frac{1}{2\pi\sigma^2}\exp\left(-\frac{(x-\mu)^2}{2\sigma^2}\right)",
                "the root of 2πσ² is missing (it is what two dimensions would have)",
            ),
            NearMiss(
                r"\frac{1}{\sqrt{2\pi\sigma^2}}\exp\left(\frac{(x-\mu)^2}{2\sigma^2}\right)",
                "the minus sign is missing: this grows without limit away from μ",
            ),
            NearMiss(
                r"\exp\left(-\frac{(x-\mu)^2}{2\sigma^2}\right)",
                "the constant is missing, so it does not integrate to 1",
            ),
        ),
    ),
    Equation(
        id="0.2",
        title="slope of the log-density",
        lhs=r"\frac{\partial}{\partial x}\log\mathcal{N}(x;\,\mu,\sigma^2)",
        rhs=r"-\frac{x-\mu}{\sigma^2}",
        meaning="Which way, and how fast, x becomes more probable: back towards mu.",
        quantity="the slope",
        reference=lambda x, mu, sigma: -(x - mu) / sigma**2,
        evidence=Gradient(_NORMAL_DRAW, _NORMAL_EXAMPLE, of=_log_density, wrt="x"),
        definition=Definition(
            "derived by differentiating the logarithm of (0.1) (SymPy)",
            lambda: sympy.diff(_LOG_NORMAL, _X),
            _LETTERS,
        ),
        near_misses=(
            NearMiss(r"\frac{x-\mu}{\sigma^2}", "the sign points away from μ"),
            NearMiss(r"-\frac{x-\mu}{\sigma}", "it is divided by σ where σ² belongs"),
            NearMiss(r"-\frac{x-\mu}{2\sigma^2}", "the 2 of the square has not been brought down"),
        ),
    ),
    Equation(
        id="0.3",
        title="noise becomes any normal variable",
        lhs="x",
        rhs=r"\mu+\sigma\,\epsilon",
        meaning="Stretch standard noise by sigma and move it to mu.",
        reference=lambda mu, sigma, eps: mu + sigma * eps,
        evidence=Draws(
            cases=(
                {"mu": 0.0, "sigma": 1.0},
                {"mu": 2.0, "sigma": 0.5},
                {"mu": -1.0, "sigma": 3.0},
            ),
            law=lambda mu, sigma: stats.norm(mu, sigma),
        ),
        near_misses=(
            NearMiss(r"\mu+\sigma^2\epsilon", "noise is stretched by σ, and σ² is its variance"),
            NearMiss(r"\mu\epsilon+\sigma", "μ and σ have changed places"),
            NearMiss(
                lambda mu, sigma, eps: mu + sigma * eps * torch.randn_like(eps),
                "noise is multiplied by noise: same mean, same variance, but spikes and far strays",
            ),
            NearMiss(
                lambda mu, sigma, eps: mu + sigma * (torch.rand_like(eps) - 0.5) * math.sqrt(12),
                "this is flat noise of the right mean and variance, not normal noise",
            ),
        ),
    ),
    Equation(
        id="0.4",
        title="a floor under the logarithm",
        lhs=r"\log x",
        relation=r"\ge",
        rhs=r"1-\frac{1}{x}",
        meaning="A bound that touches at x = 1: it is why no divergence is ever negative.",
        quantity="the logarithm",
        reference=lambda x: 1 - 1 / x,
        evidence=Bound(
            draw=points(x=uniform(0.05, 6)),
            of=lambda x: torch.log(x),
            of_words="log x",
            tight=lambda arguments: {"x": torch.ones_like(arguments["x"])},
            tight_words="x = 1",
            example={"x": 2.0},
            where="random points",
        ),
        near_misses=(
            NearMiss("x-1", "this is the bound from the other side: log x is below x − 1"),
            NearMiss(r"-\frac{1}{x}", "it stays below, but never touches: the 1 is missing"),
        ),
    ),
    Equation(
        id="0.x1",
        title="the log-density of the normal distribution",
        lhs=r"\log\mathcal{N}(x;\,\mu,\sigma^2)",
        rhs=r"-\frac12\log(2\pi\sigma^2)-\frac{(x-\mu)^2}{2\sigma^2}",
        meaning="The logarithm of (0.1): what losses are made of.",
        quantity="the log-density",
        reference=_log_density,
        evidence=Numeric(_NORMAL_DRAW, _NORMAL_EXAMPLE),
        definition=Definition(
            "derived as the logarithm of (0.1) (SymPy)",
            lambda: sympy.log(
                sympy.exp(-((_X - _MU) ** 2) / (2 * _SIGMA**2))
                / sympy.sqrt(2 * sympy.pi * _SIGMA**2)
            ),
            _LETTERS,
        ),
        near_misses=(
            NearMiss(
                r"-\log(2\pi\sigma^2)-\frac{(x-\mu)^2}{2\sigma^2}",
                "the root became no half: log√a is ½ log a",
            ),
            NearMiss(
                r"\frac12\log(2\pi\sigma^2)-\frac{(x-\mu)^2}{2\sigma^2}",
                "the root stands below the line, so its logarithm is subtracted",
            ),
            NearMiss(r"-\frac{(x-\mu)^2}{2\sigma^2}", "the constant is missing"),
        ),
    ),
)
