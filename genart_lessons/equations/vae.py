"""Chapter 03, variational autoencoders: from Bayes' rule to the bound, its terms and its gradients.

Three little worlds serve as known truth. A *finite world* has one observed x and three hidden
causes z, so that every sum is done by hand. A *line world* has one Gaussian z and one Gaussian x. A
*picture world* has vectors of four pixels or four latents, enough to tell a sum from a mean.
"""

import math

import sympy
import torch
from scipy import stats
from torch.nn import functional as F

from genart_lessons.equations.derive import (
    entries,
    log_integral,
    log_normal,
    mean,
    positive,
    real,
)
from genart_lessons.proof import (
    Bound,
    Definition,
    Draws,
    Equation,
    Estimate,
    Gradient,
    NearMiss,
    Numeric,
)
from genart_lessons.proof.draws import normal, points, simplex, uniform

# -- the finite world ------------------------------------------------------------------------------

_WORLD = points(prior=simplex(3), likelihood=uniform(0.05, 0.95, 3), q=simplex(3))
_WORLD_EXAMPLE = {"prior": [0.5, 0.3, 0.2], "likelihood": [0.1, 0.6, 0.9], "q": [0.2, 0.3, 0.5]}
_WORLDS = "random worlds of three causes, every cause counted"


def _joint(prior, likelihood, q=None, **_):
    return prior * likelihood


def _log_px(prior, likelihood, q=None, **_):
    return (prior * likelihood).sum(-1).log()


def _posterior(prior, likelihood, q=None, **_):
    return prior * likelihood / (prior * likelihood).sum(-1, keepdim=True)


def _elbo(prior, likelihood, q, **_):
    return (q * (_joint(prior, likelihood).log() - q.log())).sum(-1)


_TABLES = {
    "p(z)": lambda prior, likelihood, q, **_: prior,
    "p(x|z)": lambda prior, likelihood, q, **_: likelihood,
    "q(z|x)": lambda prior, likelihood, q, **_: q,
    "p(x,z)": _joint,
    "p(z|x)": _posterior,
    "p(x)": lambda **a: _log_px(**a).exp(),
}


def _at_posterior(arguments):
    return {**arguments, "q": _posterior(**arguments)}


# The same world in letters: SymPy proves what holds in every such world, whatever its numbers.
_P, _LIK, _Q = (entries(name, 3, above_zero=True) for name in ("p", "l", "q"))
_BETA = sympy.Symbol("beta", real=True)
_JOINT = tuple(prior * like for prior, like in zip(_P, _LIK, strict=True))
_PX = sum(_JOINT)
_LETTERS = {
    "prior": _P,
    "likelihood": _LIK,
    "q": _Q,
    "p(z)": _P,
    "p(x|z)": _LIK,
    "q(z|x)": _Q,
    "p(x,z)": _JOINT,
    "p(z|x)": tuple(joint / _PX for joint in _JOINT),
    "p(x)": _PX,
    "beta": _BETA,
    "L": sympy.Add(*(q * sympy.log(j / q) for j, q in zip(_JOINT, _Q, strict=True))),
}
_SUM_TO_ONE = {_P[2]: 1 - _P[0] - _P[1], _Q[2]: 1 - _Q[0] - _Q[1]}


def _over_causes(term):
    """A sum over the three causes of ``term(prior, likelihood, q)``, in letters."""
    return sympy.Add(*(term(*cause) for cause in zip(_P, _LIK, _Q, strict=True)))


def _elbo_in_letters():
    return _LETTERS["L"]


def _in_world(derive, **more):
    return {
        "evidence": Numeric(_WORLD, _WORLD_EXAMPLE, where=_WORLDS),
        "symbols": _TABLES,
        "definition": _for_every_world(derive),
        **more,
    }


def _for_every_world(derive):
    words = "proved for every world of three causes (SymPy)"
    return Definition(words, derive, _LETTERS, _SUM_TO_ONE)


_BAYES = (
    Equation(
        id="3.1",
        title="the evidence sums over every cause",
        lhs="p(x)",
        rhs=r"\sum_{z} p(z)\,p(x\mid z)",
        meaning="How probable the picture is, whatever produced it.",
        quantity="p(x)",
        reference=lambda prior, likelihood, q: (prior * likelihood).sum(-1),
        cite="Kingma & Welling 2014, section 2.1",
        **_in_world(lambda: _PX),
        near_misses=(
            NearMiss(r"\sum_z p(x\mid z)", "the causes are not weighted by how common they are"),
            NearMiss(r"\frac13\sum_z p(x\mid z)", "every cause is taken to be equally common"),
            NearMiss(
                lambda prior, likelihood, q: (prior * likelihood).amax(-1),
                "this is the best cause alone; the others explain x too",
            ),
        ),
    ),
    Equation(
        id="3.2",
        title="the posterior: which cause, given the picture",
        lhs=r"p(z\mid x)",
        rhs=r"\frac{p(z)\,p(x\mid z)}{p(x)}",
        meaning="Bayes' rule: each cause's share of the evidence.",
        quantity="the posterior",
        free_index="z",
        reference=_posterior,
        **_in_world(lambda: _LETTERS["p(z|x)"]),
        near_misses=(
            NearMiss(
                r"p(z)\,p(x\mid z)", "this is the joint: divide by p(x), or it does not sum to 1"
            ),
            NearMiss(
                lambda prior, likelihood, q: likelihood / likelihood.sum(-1, keepdim=True),
                "the prior is left out: rare causes are taken to be as common as the others",
            ),
        ),
    ),
    Equation(
        id="3.3",
        title="the evidence splits in two",
        lhs=r"\log p(x)",
        rhs=r"\mathbb{E}_{q(z\mid x)}\left[\log\frac{p(x,z)}{q(z\mid x)}\right]"
        r"+D_{\mathrm{KL}}\big(q(z\mid x)\,\Vert\,p(z\mid x)\big)",
        meaning="For any q at all: a part that can be computed, and a gap that is never negative.",
        quantity="log p(x)",
        reference=_log_px,
        sources=("B2", "B3"),
        cite="Kingma & Welling 2014, eq. 1",
        **_in_world(
            lambda: sympy.log(_PX),
            symbols={**_TABLES, "L": _elbo},
        ),
        near_misses=(
            NearMiss(
                r"\mathbb{E}_{q(z|x)}[\log p(x|z)]+D_{KL}(q(z|x)\Vert p(z|x))",
                "the first term is taken to be the reconstruction alone; it is the whole bound, "
                "and the divergence from the prior is missing",
                source="B2",
            ),
            NearMiss(
                r"\mathbb{E}_{q(z|x)}[\log\frac{p(x,z)}{q(z|x)}]+D_{KL}(p(z|x)\Vert q(z|x))",
                "the divergence has its arguments the wrong way round",
            ),
            NearMiss(
                r"\mathbb{E}_{q(z|x)}[\log\frac{p(x,z)}{q(z|x)}]-D_{KL}(q(z|x)\Vert p(z|x))",
                "the gap is subtracted where it is to be added",
            ),
            NearMiss(
                r"\mathbb{E}_{q(z|x)}[\log\frac{p(x,z)}{q(z|x)}]+D_{KL}(q(z|x)\Vert p(z))",
                "the gap is measured to the prior; it is the divergence from the posterior",
            ),
        ),
    ),
    Equation(
        id="3.4",
        title="the evidence lower bound",
        lhs=r"\log p(x)",
        relation=r"\ge",
        rhs=r"\mathbb{E}_{q(z\mid x)}\left[\log\frac{p(x,z)}{q(z\mid x)}\right]",
        meaning="Jensen's inequality: the mean of a logarithm is below the logarithm of the mean.",
        quantity="log p(x)",
        reference=_elbo,
        evidence=Bound(
            _WORLD,
            of=_log_px,
            tight=_at_posterior,
            of_words="log p(x)",
            tight_words="q is the posterior",
            example=_WORLD_EXAMPLE,
        ),
        symbols=_TABLES,
        definition=_for_every_world(_elbo_in_letters),
        sources=("B4",),
        cite="Jordan et al. 1999, section 4; Kingma & Welling 2014, eq. 2",
        near_misses=(
            NearMiss(
                r"\mathbb{E}_{q(z|x)}[\log p(x|z)]",
                "the reconstruction term alone is no bound: it can lie above log p(x)",
            ),
            NearMiss(
                r"\mathbb{E}_{q(z|x)}[\log p(x,z)]",
                "without −log q it stays below, and never touches: q's entropy is missing",
            ),
            NearMiss(
                r"\log p(x)+D_{KL}(q(z|x)\Vert p(z|x))",
                "this lies above: the gap has been added twice",
            ),
            NearMiss(
                r"\log p(x)", "this is log p(x) itself: nothing is gained that could be computed"
            ),
        ),
    ),
    Equation(
        id="3.5",
        title="the bound's two terms",
        lhs=r"\mathcal{L}",
        rhs=r"\mathbb{E}_{q(z\mid x)}\big[\log p(x\mid z)\big]"
        r"-D_{\mathrm{KL}}\big(q(z\mid x)\,\Vert\,p(z)\big)",
        meaning="How well the picture comes back, less the price of a code that leaves the prior.",
        quantity="the bound",
        reference=_elbo,
        sources=("B5", "E2", "S14"),
        cite="Kingma & Welling 2014, eq. 3",
        **_in_world(_elbo_in_letters),
        near_misses=(
            NearMiss(
                r"\mathbb{E}_{q(z|x)}[\log p(x|z)]+D_{KL}(q(z|x)\Vert p(z))",
                "the two terms are added: raising this rewards codes that run away from the prior, "
                "and lowering it prefers the causes that explain the picture worst",
                source="S14",
            ),
            NearMiss(
                r"-\mathbb{E}_{q(z|x)}[\log p(x|z)]+D_{KL}(q(z|x)\Vert p(z))",
                "this is the loss, minus the bound: it is what one minimises",
                source="E2",
            ),
            NearMiss(
                r"\mathbb{E}_{q(z|x)}[\log p(x|z)]-D_{KL}(p(z)\Vert q(z|x))",
                "the divergence has its arguments the wrong way round",
            ),
            NearMiss(
                r"\mathbb{E}_{q(z|x)}[\log p(x,z)]-D_{KL}(q(z|x)\Vert p(z))",
                "the prior is counted twice: the first term wants p(x|z), not the joint",
            ),
        ),
    ),
    Equation(
        id="3.6",
        title="the gap is a divergence",
        lhs=r"\log p(x)-\mathcal{L}",
        rhs=r"D_{\mathrm{KL}}\big(q(z\mid x)\,\Vert\,p(z\mid x)\big)",
        meaning="The bound is loose by exactly as much as q differs from the posterior.",
        quantity="the gap",
        reference=lambda **a: _log_px(**a) - _elbo(**a),
        sources=("B4",),
        **_in_world(lambda: sympy.log(_PX) - _elbo_in_letters()),
        near_misses=(
            NearMiss(
                r"D_{KL}(p(z|x)\Vert q(z|x))",
                "the other direction: never negative either, 0 at the posterior too, and not the "
                "gap",
            ),
            NearMiss(r"D_{KL}(q(z|x)\Vert p(z))", "that is the price of the code, not the gap"),
        ),
    ),
)

# -- Gaussians on a line -------------------------------------------------------------------------

_CODE = points(mu=uniform(-3, 3), log_var=uniform(-4, 2))
_CODE_EXAMPLE = {"mu": 0.3, "log_var": 2 * math.log(1.2)}
_SIGMA = {"sigma": lambda mu, log_var: (log_var / 2).exp()}


def _kl_standard(mu, log_var):
    q = torch.distributions.Normal(mu, (log_var / 2).exp())
    return torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0))


_Z, _MU, _MU_Q, _MU_P = real("z", "mu", "mu_q", "mu_p")
_S, _S_Q, _S_P = positive("sigma", "sigma_q", "sigma_p")
_MUS, _SS, _N = entries("mu", 4), entries("sigma", 4, above_zero=True), sympy.Integer(4)
_CODE_LETTERS = {"mu": _MU, "sigma": _S, "log_var": 2 * sympy.log(_S)}


def _divergence(mu_q, sigma_q, mu_p, sigma_p):
    """E_q[log q(z) − log p(z)] in letters, by integrating it."""
    difference = log_normal(_Z, mu_q, sigma_q**2) - log_normal(_Z, mu_p, sigma_p**2)
    return mean(difference, _Z, mu_q, sigma_q)


def _on_line(words, derive):
    return {
        "evidence": Numeric(_CODE, _CODE_EXAMPLE),
        "symbols": _SIGMA,
        "definition": Definition(f"derived from {words} (SymPy)", derive, _CODE_LETTERS),
    }


def _kl_general(mu_q, log_var_q, mu_p, log_var_p):
    q = torch.distributions.Normal(mu_q, (log_var_q / 2).exp())
    p = torch.distributions.Normal(mu_p, (log_var_p / 2).exp())
    return torch.distributions.kl_divergence(q, p)


_KL = (
    Equation(
        id="3.7",
        title="KL divergence to the standard normal",
        lhs=r"D_{\mathrm{KL}}\big(\mathcal{N}(\mu,\sigma^2)\,\Vert\,\mathcal{N}(0,1)\big)",
        rhs=r"\tfrac12\left(\mu^2+\sigma^2-1-\log\sigma^2\right)",
        meaning="The price of a code: 0 only for mu = 0 and sigma = 1.",
        quantity="the divergence",
        reference=_kl_standard,
        sources=("C4",),
        cite="Kingma & Welling 2014, appendix B",
        **_on_line("∫ q(z) log(q(z)/p(z)) dz", lambda: _divergence(_MU, _S, 0, 1)),
        near_misses=(
            NearMiss(
                r"-\frac12(\mu^2+\sigma^2-1-\log\sigma^2)",
                "the sign is turned round, and a divergence is never negative",
                source="C4",
            ),
            NearMiss(r"\mu^2+\sigma^2-1-\log\sigma^2", "the ½ is missing"),
            NearMiss(
                r"\frac12(\mu^2+\sigma^2-1-\log\sigma)",
                "the logarithm is of the variance σ², not of σ",
            ),
            NearMiss(
                r"\frac12(\mu^2+\sigma^2-\log\sigma^2)", "the −1 is missing: this is ½ at μ=0, σ=1"
            ),
            NearMiss(
                r"\frac12\left(\frac{1+\mu^2}{\sigma^2}-1+\log\sigma^2\right)",
                "that is the divergence the other way round, from N(0,1) to the code",
            ),
            NearMiss(
                r"\frac12(\mu^2+\sigma-1-\log\sigma)", "σ stands where the variance σ² belongs"
            ),
            NearMiss(
                lambda mu, log_var: 0.5 * (mu**2 + (2 * log_var).exp() - 1 - 2 * log_var),
                "log σ² is read as log σ: the variance is exp(log_var), not exp(2·log_var)",
            ),
            NearMiss(
                lambda mu, log_var: 0.5 * (mu**2 + log_var - 1 - log_var.log()),
                "the variance is read where the encoder gives its logarithm",
            ),
        ),
    ),
    Equation(
        id="3.8",
        title="a code's mean log-density under itself",
        lhs=r"\mathbb{E}_{q}[\log q(z)]",
        rhs=r"-\tfrac12\log(2\pi\sigma^2)-\tfrac12",
        meaning="Minus the entropy of a normal distribution; its place does not matter.",
        reference=lambda mu, log_var: (
            -torch.distributions.Normal(mu, (log_var / 2).exp()).entropy()
        ),
        **_on_line("∫ q(z) log q(z) dz", lambda: mean(log_normal(_Z, _MU, _S**2), _Z, _MU, _S)),
        near_misses=(
            NearMiss(
                r"\frac12\log(2\pi\sigma^2)+\frac12",
                "this is the entropy; the sign is turned round",
            ),
            NearMiss(
                r"-\frac12\log(2\pi\sigma^2)", "the mean of (z−μ)²/2σ², which is ½, is missing"
            ),
            NearMiss(
                r"-\frac12\log(2\pi\sigma^2)-\frac{\sigma^2}{2}",
                "the mean of (z−μ)²/2σ² is ½ whatever σ is: the σ² cancels",
            ),
        ),
    ),
    Equation(
        id="3.9",
        title="a code's mean log-density under the prior",
        lhs=r"\mathbb{E}_{q}[\log p(z)]",
        rhs=r"-\tfrac12\log(2\pi)-\tfrac12(\mu^2+\sigma^2)",
        meaning="Far codes and wide codes are improbable under the prior.",
        reference=lambda mu, log_var: -0.5 * math.log(2 * math.pi) - 0.5 * (mu**2 + log_var.exp()),
        **_on_line("∫ q(z) log p(z) dz", lambda: mean(log_normal(_Z, 0, 1), _Z, _MU, _S)),
        near_misses=(
            NearMiss(
                r"-\frac12\log(2\pi)-\frac12\mu^2",
                "this is log p at the mean: the mean of z² is μ² + σ², and σ² is missing",
            ),
            NearMiss(r"-\frac12\log(2\pi)-\frac12(\mu+\sigma)^2", "the mean of z² is μ² + σ²"),
            NearMiss(r"-\frac12(\mu^2+\sigma^2)", "the prior's constant is missing"),
        ),
    ),
    Equation(
        id="3.10",
        title="KL divergence of two normals",
        lhs=r"D_{\mathrm{KL}}\big(\mathcal{N}(\mu_q,\sigma_q^2)\,\Vert\,\mathcal{N}(\mu_p,\sigma_p^2)\big)",
        rhs=r"\log\frac{\sigma_p}{\sigma_q}+\frac{\sigma_q^2+(\mu_q-\mu_p)^2}{2\sigma_p^2}-\tfrac12",
        meaning="The same price, for any prior.",
        quantity="the divergence",
        reference=_kl_general,
        evidence=Numeric(
            points(
                mu_q=uniform(-3, 3),
                log_var_q=uniform(-4, 2),
                mu_p=uniform(-3, 3),
                log_var_p=uniform(-4, 2),
            ),
            {"mu_q": 1.0, "log_var_q": 0.0, "mu_p": 0.0, "log_var_p": 2 * math.log(2.0)},
        ),
        symbols={
            "sigma_q": lambda mu_q, log_var_q, mu_p, log_var_p: (log_var_q / 2).exp(),
            "sigma_p": lambda mu_q, log_var_q, mu_p, log_var_p: (log_var_p / 2).exp(),
        },
        definition=Definition(
            "derived from ∫ q(z) log(q(z)/p(z)) dz (SymPy)",
            lambda: _divergence(_MU_Q, _S_Q, _MU_P, _S_P),
            {
                "mu_q": _MU_Q,
                "sigma_q": _S_Q,
                "log_var_q": 2 * sympy.log(_S_Q),
                "mu_p": _MU_P,
                "sigma_p": _S_P,
                "log_var_p": 2 * sympy.log(_S_P),
            },
        ),  # fmt: skip
        near_misses=(
            NearMiss(
                r"\log\frac{\sigma_q}{\sigma_p}+\frac{\sigma_p^2+(\mu_q-\mu_p)^2}{2\sigma_q^2}-\frac12",
                "that is the divergence the other way round",
            ),
            NearMiss(
                r"\log\frac{\sigma_q}{\sigma_p}+\frac{\sigma_q^2+(\mu_q-\mu_p)^2}{2\sigma_p^2}-\frac12",
                "the fraction in the logarithm is upside down",
            ),
            NearMiss(
                r"\log\frac{\sigma_p}{\sigma_q}+\frac{\sigma_q^2+(\mu_q-\mu_p)}{2\sigma_p^2}-\frac12",
                "the square of μ_q − μ_p is missing",
            ),
        ),
    ),
    Equation(
        id="3.11",
        title="KL divergence of a whole code",
        lhs=r"D_{\mathrm{KL}}",
        rhs=r"\tfrac12\sum_{i=1}^{n}\left(\mu_i^2+\sigma_i^2-1-\log\sigma_i^2\right)",
        meaning="Independent dimensions add up; n is the number of latent dimensions.",
        quantity="the divergence",
        reference=lambda mu, log_var: _kl_standard(mu, log_var).sum(-1),
        evidence=Numeric(
            points(mu=uniform(-3, 3, 4), log_var=uniform(-4, 2, 4)),
            {"mu": [0.3, 0.0, 0.0, 0.0], "log_var": [2 * math.log(1.2), 0.0, 0.0, 0.0]},
        ),
        symbols={
            **_SIGMA,
            "n": lambda mu, log_var: torch.full_like(mu[:, 0], mu.shape[-1]),
        },
        definition=Definition(
            "derived from ∫ q(z) log(q(z)/p(z)) dz in each of 4 dimensions (SymPy)",
            lambda: sum(_divergence(m, s, 0, 1) for m, s in zip(_MUS, _SS, strict=True)),
            {"mu": _MUS, "sigma": _SS, "log_var": tuple(2 * sympy.log(s) for s in _SS), "n": _N},
        ),
        sources=("C4",),
        near_misses=(
            NearMiss(
                r"-\frac{1}{2} \sum_{i=1}^{n} (\mu_i^2 + \sigma_i^2 - 1 - \log(\sigma_i^2))",
                "the sign is turned round, and a divergence is never negative",
                source="C4",
            ),
            NearMiss(
                lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1 - log_var).mean(-1),
                "the mean over dimensions is taken; the price adds up, so take the sum",
            ),
            NearMiss(r"\sum_{i=1}^{n}(\mu_i^2+\sigma_i^2-1-\log\sigma_i^2)", "the ½ is missing"),
        ),
    ),
)

# -- gradients through chance ----------------------------------------------------------------------

_CASES = (
    {"mu": 0.5, "sigma": 1.0},
    {"mu": -1.0, "sigma": 0.5},
    {"mu": 1.5, "sigma": 2.0},
)
_SQUARE = r"f is any function; it is tried with f(z) = z²"

_GRADIENTS = (
    Equation(
        id="3.12",
        title="reparameterisation",
        lhs="z",
        rhs=r"\mu+\sigma\,\epsilon",
        meaning="The chance is drawn outside, so that z depends smoothly on mu and sigma.",
        reference=lambda mu, log_var, eps: mu + (log_var / 2).exp() * eps,
        evidence=Draws(
            cases=(
                {"mu": 0.0, "log_var": 0.0},
                {"mu": 2.0, "log_var": -1.5},
                {"mu": -1.0, "log_var": 2.0},
            ),
            law=lambda mu, log_var: stats.norm(mu, math.exp(log_var / 2)),
            differentiable=("mu", "log_var"),
        ),
        symbols={"sigma": lambda mu, log_var, eps: (log_var / 2).exp()},
        sources=("E3",),
        cite="Kingma & Welling 2014, section 2.4",
        near_misses=(
            NearMiss(
                lambda mu, log_var, eps: torch.distributions.Normal(
                    mu, (log_var / 2).exp()
                ).sample(),
                "z is drawn from the right distribution, but drawing cuts the gradient: .sample() "
                "is not .rsample()",
                source="E3",
            ),
            NearMiss(
                lambda mu, log_var, eps: mu + log_var.exp() * eps,
                "noise is stretched by the variance; the standard deviation is exp(log_var/2)",
            ),
            NearMiss(
                lambda mu, log_var, eps: mu + log_var * eps,
                "noise is stretched by log σ² itself: the exponential is missing",
            ),
            NearMiss(
                lambda mu, log_var, eps: mu + (log_var / 2).exp() * eps * torch.randn_like(eps),
                "noise is multiplied in twice: mean and variance are right, the shape is not",
            ),
        ),
    ),
    Equation(
        id="3.13",
        title="the pathwise gradient",
        lhs=r"\frac{\partial}{\partial\mu}\,\mathbb{E}_{q}[f(z)]",
        rhs=r"\mathbb{E}_{\epsilon}\big[f'(\mu+\sigma\epsilon)\big]",
        meaning="Differentiate along the path that the noise takes.",
        quantity="the exact derivative",
        reference=lambda mu, sigma, eps: 2 * (mu + sigma * eps),
        evidence=Estimate(_CASES, truth=lambda mu, sigma: 2 * mu, needs=0.05),
        typeset_only=_SQUARE,
        cite="Kingma & Welling 2014, section 2.4",
        near_misses=(
            NearMiss(
                lambda mu, sigma, eps: 2 * (mu + sigma * eps) * eps,
                "this is the derivative with respect to σ: multiply by ∂z/∂μ = 1, not by ε",
            ),
            NearMiss(
                lambda mu, sigma, eps: (mu + sigma * eps) ** 2,
                "this is f itself; its derivative is wanted",
            ),
            NearMiss(
                lambda mu, sigma, eps: (mu + sigma * eps) ** 2 * eps / sigma,
                "unbiased too, but this is the score-function gradient: f is not differentiated",
            ),
        ),
    ),
    Equation(
        id="3.14",
        title="the score-function gradient",
        lhs=r"\frac{\partial}{\partial\mu}\,\mathbb{E}_{q}[f(z)]",
        rhs=r"\mathbb{E}_{\epsilon}\left[f(\mu+\sigma\epsilon)\,\frac{\epsilon}{\sigma}\right]",
        meaning="Weigh each outcome by how fast it becomes more probable; f needs no derivative.",
        quantity="the exact derivative",
        reference=lambda mu, sigma, eps: (mu + sigma * eps) ** 2 * eps / sigma,
        evidence=Estimate(_CASES, truth=lambda mu, sigma: 2 * mu, needs=0.05),
        typeset_only=_SQUARE,
        cite="Williams 1992, REINFORCE; Glynn 1990",
        near_misses=(
            NearMiss(
                lambda mu, sigma, eps: (mu + sigma * eps) ** 2 * eps,
                "it is not divided by σ: the slope of log q is (z − μ)/σ² = ε/σ",
            ),
            NearMiss(
                lambda mu, sigma, eps: (mu + sigma * eps) ** 2 * eps / sigma**2,
                "it is divided by σ twice: (z − μ)/σ² is ε/σ",
            ),
            NearMiss(
                lambda mu, sigma, eps: -((mu + sigma * eps) ** 2) * eps / sigma,
                "the sign is turned round: log q grows towards μ, and with μ where z lies above it",
            ),
            NearMiss(
                lambda mu, sigma, eps: 2 * (mu + sigma * eps),
                "unbiased too, but this is the pathwise gradient: it needs the derivative of f",
            ),
        ),
    ),
)

# -- what the decoder claims about pixels ------------------------------------------------------

_PIXELS = 4
_GAUSS = points(x=uniform(0, 1, _PIXELS), x_hat=uniform(0, 1, _PIXELS), sigma=uniform(0.1, 1.5))
_GAUSS_EXAMPLE = {"x": [1.0, 0.0, 0.0, 0.0], "x_hat": [0.5, 0.0, 0.0, 0.0], "sigma": 0.5}


def _squared(x, x_hat):
    return (x - x_hat).square().sum(-1)


def _gaussian(x, x_hat, sigma, **_):
    return torch.distributions.Normal(x_hat, sigma.unsqueeze(-1)).log_prob(x).sum(-1)


def _count(x, **_):
    return torch.full_like(x[:, 0], _PIXELS)


_X, _X_HAT = entries("x", _PIXELS), entries("x_hat", _PIXELS)
_K = sympy.Symbol("K", real=True)
_PIXEL_LETTERS = {"x": _X, "x_hat": _X_HAT, "sigma": _S, "D": sympy.Integer(_PIXELS), "K": _K}


def _pixels_by_hand(variance):
    """log p(x|z) in letters: the logarithm of (0.1) for each pixel, added up."""
    return sum(log_normal(x, m, variance) for x, m in zip(_X, _X_HAT, strict=True))


def _best_variance():
    v = sympy.Symbol("v", positive=True)
    (best,) = sympy.solve(sympy.diff(_pixels_by_hand(v), v) * v**2, v)
    return best


_ELLS, _ELL, _PIXEL = entries("ell", _PIXELS), *real("ell", "x")


def _sigmoid(ell):
    return 1 / (1 + sympy.exp(-ell))


def _bernoulli(x, ell):
    """log p(x|z) of one pixel in letters; 1 − sigmoid(ℓ) is sigmoid(−ℓ)."""
    return sympy.expand_log(sympy.log(_sigmoid(ell) ** x * _sigmoid(-ell) ** (1 - x)))


_LIKELIHOODS = (
    Equation(
        id="3.15",
        title="Bernoulli log-likelihood",
        lhs=r"\log p(x\mid z)",
        rhs=r"\sum_{i=1}^{D}\big(x_i\log\hat{x}_i+(1-x_i)\log(1-\hat{x}_i)\big)",
        meaning="Each pixel is ink with probability x̂ᵢ = sigmoid(logits): minus the cross-entropy.",
        quantity="the log-likelihood",
        reference=lambda logits, x: (
            -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        ),
        evidence=Numeric(
            points(logits=uniform(-4, 4, _PIXELS), x=uniform(0, 1, _PIXELS)),
            {"logits": [2.0, 0.0, 0.0, 0.0], "x": [1.0, 0.0, 1.0, 0.0]},
        ),
        symbols={"x_hat": lambda logits, x: logits.sigmoid(), "ell": lambda logits, x: logits},
        definition=Definition(
            "derived as the logarithm of ∏ x̂ˣ(1−x̂)¹⁻ˣ over 4 pixels (SymPy)",
            lambda: sum(_bernoulli(x, ell) for x, ell in zip(_X, _ELLS, strict=True)),
            {"x": _X, "ell": _ELLS, "logits": _ELLS, "x_hat": tuple(map(_sigmoid, _ELLS))},
        ),
        cite="Kingma & Welling 2014, appendix C.1",
        near_misses=(
            NearMiss(
                r"-\sum_{i=1}^{D}(x_i\log\hat{x}_i+(1-x_i)\log(1-\hat{x}_i))",
                "this is the cross-entropy, minus the log-likelihood: it is what one minimises",
            ),
            NearMiss(
                r"\sum_{i=1}^{D}x_i\log\hat{x}_i", "the empty pixels, (1−x) log(1−x̂), are missing"
            ),
            NearMiss(
                lambda logits, x: (
                    -F.binary_cross_entropy_with_logits(logits, x, reduction="none").mean(-1)
                ),
                "the mean over pixels is taken; independent pixels add up, so take the sum",
            ),
            NearMiss(
                lambda logits, x: (
                    -F.binary_cross_entropy_with_logits(logits.sigmoid(), x, reduction="none").sum(
                        -1
                    )
                ),
                "the sigmoid is applied twice",
            ),
        ),
    ),
    Equation(
        id="3.16",
        title="Gaussian log-likelihood",
        lhs=r"\log p(x\mid z)",
        rhs=r"-\frac{\lVert x-\hat{x}\rVert^2}{2\sigma^2}-\frac{D}{2}\log(2\pi\sigma^2)",
        meaning="Squared error, in units of the noise that the decoder admits to.",
        quantity="the log-likelihood",
        reference=_gaussian,
        evidence=Numeric(_GAUSS, _GAUSS_EXAMPLE),
        symbols={"D": _count},
        definition=Definition(
            "derived as the logarithm of ∏ N(xᵢ; x̂ᵢ, σ²) over 4 pixels (SymPy)",
            lambda: _pixels_by_hand(_S**2),
            _PIXEL_LETTERS,
        ),
        sources=("C3", "D8"),
        near_misses=(
            NearMiss(
                r"-\lVert x-\hat{x}\rVert^2",
                "the squared error alone is a log-likelihood up to the scale 2σ² and a constant",
                source="C3",
            ),
            NearMiss(
                r"\lVert x-\hat{x}\rVert^2",
                "this is a loss: minus 2σ² times the log-likelihood, up to a constant",
                source="C3",
            ),
            NearMiss(
                r"-\frac{\lVert x-\hat{x}\rVert^2}{2\sigma^2}-\frac12\log(2\pi\sigma^2)",
                "the constant counts once for each of the D pixels",
            ),
            NearMiss(
                r"-\frac{\lVert x-\hat{x}\rVert^2}{2\sigma^2}-\frac{D^2}{2}\log(2\pi\sigma^2)",
                "the constant is multiplied by D for every element: it is counted D² times",
            ),
            NearMiss(
                r"-\frac{\lVert x-\hat{x}\rVert}{2\sigma^2}-\frac{D}{2}\log(2\pi\sigma^2)",
                "the square of the norm is missing",
            ),
            NearMiss(
                r"-\frac{\lVert x-\hat{x}\rVert^2}{2\sigma}-\frac{D}{2}\log(2\pi\sigma)",
                "σ stands where the variance σ² belongs",
            ),
        ),
    ),
    Equation(
        id="3.17",
        title="what the weight λ assumes",
        lhs=r"-2\sigma^2\mathcal{L}",
        rhs=r"\lVert x-\hat{x}\rVert^2+2\sigma^2 K+D\,\sigma^2\log(2\pi\sigma^2)",
        meaning="Squared error plus λ times the divergence K is the bound, with λ = 2σ².",
        quantity="−2σ² times the bound",
        reference=lambda x, x_hat, sigma, K: -2 * sigma**2 * (_gaussian(x, x_hat, sigma) - K),
        evidence=Numeric(
            points(
                x=uniform(0, 1, _PIXELS),
                x_hat=uniform(0, 1, _PIXELS),
                sigma=uniform(0.1, 1.5),
                K=uniform(0, 5),
            ),
            {**_GAUSS_EXAMPLE, "K": 2.0},
        ),
        symbols={"D": _count},
        definition=Definition(
            "derived from −2σ²(log ∏ N(xᵢ; x̂ᵢ, σ²) − K) over 4 pixels (SymPy)",
            lambda: -2 * _S**2 * (_pixels_by_hand(_S**2) - _K),
            _PIXEL_LETTERS,
        ),
        sources=("C5", "D8"),
        cite="Rybkin et al. 2021, section 3",
        near_misses=(
            NearMiss(
                r"\lVert x-\hat{x}\rVert^2+K+D\sigma^2\log(2\pi\sigma^2)",
                "λ = 1 fits only σ² = ½: a decoder that is wrong by 0.7 on a scale from 0 to 1",
            ),
            NearMiss(
                r"\lVert x-\hat{x}\rVert^2+\sigma^2 K+D\sigma^2\log(2\pi\sigma^2)",
                "λ is twice the variance: the ½ in the Gaussian has been forgotten",
            ),
            NearMiss(
                r"\lVert x-\hat{x}\rVert^2-2\sigma^2 K+D\sigma^2\log(2\pi\sigma^2)",
                "the divergence is a cost: it is added to the squared error",
            ),
        ),
    ),
    Equation(
        id="3.18",
        title="the noise that fits best",
        lhs=r"\hat{\sigma}^2",
        rhs=r"\frac1D\,\lVert x-\hat{x}\rVert^2",
        meaning="The variance that makes (3.16) largest is the mean squared error itself.",
        quantity="the best variance",
        reference=lambda x, x_hat: _squared(x, x_hat) / _PIXELS,
        evidence=Numeric(
            points(x=uniform(0, 1, _PIXELS), x_hat=uniform(0, 1, _PIXELS)),
            {"x": [1.0, 0.0, 0.0, 0.0], "x_hat": [0.5, 0.0, 0.0, 0.0]},
        ),
        symbols={"D": _count},
        definition=Definition(
            "derived by solving ∂ log ∏ N(xᵢ; x̂ᵢ, v)/∂v = 0 for v over 4 pixels (SymPy)",
            _best_variance,
            _PIXEL_LETTERS,
        ),
        cite="Rybkin et al. 2021, section 3",
        near_misses=(
            NearMiss(
                r"\lVert x-\hat{x}\rVert^2", "the sum stands where the mean over pixels belongs"
            ),
            NearMiss(
                r"\sqrt{\frac1D\lVert x-\hat{x}\rVert^2}", "this is the best σ, not the best σ²"
            ),
        ),
    ),
    Equation(
        id="3.19",
        title="the β-VAE's objective",
        lhs=r"\mathcal{L}_\beta",
        rhs=r"\mathbb{E}_{q(z\mid x)}\big[\log p(x\mid z)\big]"
        r"-\beta\,D_{\mathrm{KL}}\big(q(z\mid x)\,\Vert\,p(z)\big)",
        meaning="The price of the code, multiplied by β; to be maximised. β = 1 is the bound.",
        quantity="the objective",
        reference=lambda prior, likelihood, q, beta: (
            (q * likelihood.log()).sum(-1) - beta * (q * (q / prior).log()).sum(-1)
        ),
        evidence=Numeric(
            points(
                prior=simplex(3),
                likelihood=uniform(0.05, 0.95, 3),
                q=simplex(3),
                beta=uniform(0.1, 6),
            ),
            {**_WORLD_EXAMPLE, "beta": 4.0},
            where=_WORLDS,
        ),
        symbols=_TABLES,
        definition=_for_every_world(
            lambda: _over_causes(
                lambda p, like, q: q * sympy.log(like) - _BETA * q * sympy.log(q / p)
            )
        ),
        sources=("E2",),
        cite="Higgins et al. 2017, eq. 4",
        near_misses=(
            NearMiss(
                r"\mathbb{E}_{q(z|x)}[\log p(x|z)]-D_{KL}(q(z|x)\Vert p(z))",
                "β is missing: this is β = 1",
            ),
            NearMiss(
                r"\beta\mathbb{E}_{q(z|x)}[\log p(x|z)]-D_{KL}(q(z|x)\Vert p(z))",
                "β weighs the price of the code, not the reconstruction",
            ),
            NearMiss(
                r"-\mathbb{E}_{q(z|x)}[\log p(x|z)]+\beta D_{KL}(q(z|x)\Vert p(z))",
                "this is the loss, minus the objective: it is what one minimises",
                source="E2",
            ),
        ),
    ),
)

# -- the line world, where the truth is known ------------------------------------------------------

_LINE = points(
    x=uniform(-3, 3), w=uniform(-2, 2), b=uniform(-1, 1), sigma=uniform(0.1, 1.5),
    m=uniform(-2, 2), s=uniform(0.1, 1.5),
)  # fmt: skip
_LINE_EXAMPLE = {"x": 1.0, "w": 2.0, "b": 0.0, "sigma": 1.0, "m": 0.0, "s": 1.0}


def _line_log_px(x, w, b, sigma, **_):
    return torch.distributions.Normal(b, (w**2 + sigma**2).sqrt()).log_prob(x)


def _line_mean(x, w, b, sigma, **_):
    return w * (x - b) / (w**2 + sigma**2)


def _line_sd(x, w, b, sigma, **_):
    return sigma / (w**2 + sigma**2).sqrt()


def _line_elbo(x, w, b, sigma, m, s):
    recon = torch.distributions.Normal(w * m + b, sigma).log_prob(x) - (w * s / sigma) ** 2 / 2
    return recon - _kl_standard(m, 2 * s.log())


_W, _B, _M = real("w", "b", "m")
(_SPREAD,) = positive("s")
_AT, _TILT = real("x", "tilt")
_LINE_LETTERS = {"x": _AT, "w": _W, "b": _B, "sigma": _S, "m": _M, "s": _SPREAD}
_LOG_JOINT = log_normal(_Z, 0, 1) + log_normal(_AT, _W * _Z + _B, _S**2)


def _log_mean_tilt():
    """log E[exp(tilt·z) | x] + log p(x): its derivatives at 0 are the posterior's moments."""
    return log_integral(_LOG_JOINT + _TILT * _Z, _Z)


def _line(words, derive):
    return Definition(f"derived from {words} (SymPy)", derive, _LINE_LETTERS)


_KNOWN = (
    Equation(
        id="3.20",
        title="the evidence, in closed form",
        lhs=r"\log p(x)",
        rhs=r"-\tfrac12\log\big(2\pi(w^2+\sigma^2)\big)-\frac{(x-b)^2}{2(w^2+\sigma^2)}",
        meaning="x = wz + b + noise is a sum of normals, so it is normal: variances add.",
        quantity="log p(x)",
        reference=_line_log_px,
        evidence=Numeric(_LINE, _LINE_EXAMPLE),
        definition=_line("log ∫ p(z) p(x|z) dz", lambda: log_integral(_LOG_JOINT, _Z)),
        cite="Tipping & Bishop 1999, section 3",
        near_misses=(
            NearMiss(
                r"-\frac12\log(2\pi(w+\sigma)^2)-\frac{(x-b)^2}{2(w+\sigma)^2}",
                "standard deviations do not add; variances do",
            ),
            NearMiss(
                r"-\frac12\log(2\pi\sigma^2)-\frac{(x-b)^2}{2\sigma^2}",
                "the spread that z itself brings, w², is missing",
            ),
        ),
    ),
    Equation(
        id="3.21",
        title="the posterior's mean",
        lhs=r"\mathbb{E}[z\mid x]",
        rhs=r"\frac{w\,(x-b)}{w^2+\sigma^2}",
        meaning="The best guess of z is drawn towards the prior's 0 when the noise is large.",
        quantity="the posterior's mean",
        reference=_line_mean,
        evidence=Numeric(_LINE, _LINE_EXAMPLE),
        definition=_line(
            "∫ z p(z|x) dz", lambda: sympy.diff(_log_mean_tilt(), _TILT).subs(_TILT, 0)
        ),
        cite="Tipping & Bishop 1999, section 3",
        near_misses=(
            NearMiss(r"\frac{x-b}{w}", "this solves x = wz + b and ignores both noise and prior"),
            NearMiss(r"\frac{w(x-b)}{w^2+\sigma}", "σ stands where the variance σ² belongs"),
        ),
    ),
    Equation(
        id="3.22",
        title="the posterior's variance",
        lhs=r"\mathrm{Var}[z\mid x]",
        rhs=r"\frac{\sigma^2}{w^2+\sigma^2}",
        meaning="One x never tells z exactly; how much is left open does not depend on x.",
        quantity="the posterior's variance",
        reference=lambda **a: _line_sd(**a) ** 2,
        evidence=Numeric(_LINE, _LINE_EXAMPLE),
        definition=_line(
            "∫ (z − E[z|x])² p(z|x) dz",
            lambda: sympy.diff(_log_mean_tilt(), _TILT, 2).subs(_TILT, 0),
        ),
        near_misses=(
            NearMiss(
                r"\frac{w^2}{w^2+\sigma^2}", "this is the share that x explains; the rest is wanted"
            ),
            NearMiss(r"\sigma^2", "the prior and w are left out"),
            NearMiss(r"\frac{\sigma}{\sqrt{w^2+\sigma^2}}", "this is the standard deviation"),
        ),
    ),
    Equation(
        id="3.23",
        title="the bound, in closed form",
        lhs=r"\log p(x)",
        relation=r"\ge",
        rhs=r"-\tfrac12\log(2\pi\sigma^2)-\frac{(x-wm-b)^2+w^2s^2}{2\sigma^2}"
        r"-\tfrac12\left(m^2+s^2-1-\log s^2\right)",
        meaning="Reconstruction less divergence for q = N(m, s²): below the truth, touching once.",
        quantity="log p(x)",
        reference=_line_elbo,
        evidence=Bound(
            _LINE,
            of=_line_log_px,
            tight=lambda a: {**a, "m": _line_mean(**a), "s": _line_sd(**a)},
            of_words="log p(x)",
            tight_words="q is the posterior",
            example=_LINE_EXAMPLE,
            where="random points",
        ),
        definition=_line(
            "∫ q(z) log(p(x,z)/q(z)) dz",
            lambda: mean(_LOG_JOINT - log_normal(_Z, _M, _SPREAD**2), _Z, _M, _SPREAD),
        ),
        near_misses=(
            NearMiss(
                r"-\frac12\log(2\pi\sigma^2)-\frac{(x-wm-b)^2}{2\sigma^2}"
                r"-\frac12(m^2+s^2-1-\log s^2)",
                "it decodes the mean only: the spread of the code, w²s², costs reconstruction too",
            ),
            NearMiss(
                r"-\frac12\log(2\pi\sigma^2)-\frac{(x-wm-b)^2+w^2s^2}{2\sigma^2}"
                r"+\frac12(m^2+s^2-1-\log s^2)",
                "the divergence is added; it is a price",
            ),
        ),
    ),
    Equation(
        id="3.24",
        title="the importance-weighted bound",
        lhs=r"\mathcal{L}_K",
        rhs=r"\log\left(\frac1K\sum_{k=1}^{K}w_k\right)",
        meaning="Average K weights w = p(x,z)/q(z|x), and only then take the logarithm.",
        quantity="the bound's estimate",
        reference=lambda log_w: log_w.logsumexp(-1) - math.log(log_w.shape[-1]),
        evidence=Numeric(points(log_w=uniform(-6, 2, 5)), {"log_w": [0.0, -1.0, -2.0, -3.0, -4.0]}),
        symbols={
            "w": lambda log_w: log_w.exp(),
            "K": lambda log_w: torch.full_like(log_w[:, 0], log_w.shape[-1]),
        },
        cite="Burda et al. 2016, eq. 8",
        near_misses=(
            NearMiss(
                r"\frac1K\sum_{k=1}^{K}\log w_k",
                "the logarithm is taken before the mean: this is the plain bound with K samples",
            ),
            NearMiss(
                r"\log\left(\sum_{k=1}^{K}w_k\right)", "the 1/K is missing: it would grow with K"
            ),
            NearMiss(
                lambda log_w: log_w.amax(-1) - math.log(log_w.shape[-1]),
                "only the largest weight is kept",
            ),
        ),
    ),
)

# -- when codes fall silent, and walks between them ----------------------------------------------


def _mixture_parts(q, prior):
    mixture = q.mean(1)
    information = (q * (q / mixture.unsqueeze(1)).log()).sum(-1).mean(1)
    return information, (mixture * (mixture / prior).log()).sum(-1)


_COLLAPSE = (
    Equation(
        id="3.25",
        title="what the average price buys",
        lhs=r"\frac1N\sum_{n=1}^{N}D_{\mathrm{KL}}\big(q(z\mid x_n)\,\Vert\,p(z)\big)",
        rhs=r"I_q(x;z)+D_{\mathrm{KL}}\big(q(z)\,\Vert\,p(z)\big)",
        meaning="Information about the picture, plus the misfit of q(z), the mean of all codes.",
        quantity="the average price",
        reference=lambda q, prior: (q * (q / prior.unsqueeze(1)).log()).sum(-1).mean(1),
        evidence=Numeric(
            points(q=simplex(4, 3), prior=simplex(3)), where="random worlds of 4 pictures, 3 causes"
        ),
        typeset_only="q(z) and the information I are tables over all pictures at once",
        cite="Hoffman & Johnson 2016",
        near_misses=(
            NearMiss(
                lambda q, prior: _mixture_parts(q, prior)[0],
                "the misfit of the codes' mean to the prior is missing",
            ),
            NearMiss(
                lambda q, prior: _mixture_parts(q, prior)[1],
                "the information about the picture is missing",
            ),
            NearMiss(
                lambda q, prior: _mixture_parts(q, prior)[0] - _mixture_parts(q, prior)[1],
                "both parts are costs: they add up",
            ),
        ),
    ),
    Equation(
        id="3.26",
        title="free bits",
        lhs=r"K_\kappa",
        rhs=r"\sum_{j=1}^{n}\max(\kappa,\,\bar K_j)",
        meaning="Each latent unit may cost κ nats for nothing, on average over a batch, so that "
        "none is given up early.",
        quantity="the price with free bits",
        reference=lambda K, lam: K.clamp(min=0).maximum(lam.unsqueeze(-1)).sum(-1),
        evidence=Numeric(
            points(K=uniform(0, 2, 4), lam=uniform(0.1, 1.0)),
            {"K": [0.1, 2.0, 0.0, 0.5], "lam": 0.5},
        ),
        symbols={"kappa": lambda K, lam: lam, "K_bar": lambda K, lam: K},
        cite="Kingma et al. 2016, eq. 15",
        near_misses=(
            NearMiss(
                lambda K, lam: K.sum(-1).maximum(lam),
                "κ is granted once to the whole code, not to each unit",
            ),
            NearMiss(
                r"\sum_{j=1}^{n}\min(\kappa,\bar K_j)",
                "this caps the price: max, not min, grants freedom",
            ),
            NearMiss(
                lambda K, lam: (K - lam.unsqueeze(-1)).clamp(min=0).sum(-1),
                "this subtracts the free part: the same gradient, but another value",
            ),
        ),
    ),
    Equation(
        id="3.27",
        title="a walk by equal angles",
        lhs=r"\mathrm{slerp}(a,b;t)",
        rhs=r"\frac{\sin((1-t)\,\omega)}{\sin\omega}\,a+\frac{\sin(t\,\omega)}{\sin\omega}\,b",
        meaning="Turn from a to b by equal angles; ω is the angle between them.",
        quantity="the point on the walk",
        reference=lambda a, b, t: _slerp(a, b, t),
        evidence=Numeric(
            points(a=normal(4), b=normal(4), t=uniform(0, 1)),
            {"a": [1.0, 0.0, 0.0, 0.0], "b": [0.0, 1.0, 0.0, 0.0], "t": 0.5},
            tolerance=1e-7,
        ),
        typeset_only="it is a vector at every point",
        cite="Shoemake 1985; White 2016, section 2.1",
        near_misses=(
            NearMiss(
                lambda a, b, t: (1 - t).unsqueeze(-1) * a + t.unsqueeze(-1) * b,
                "this is the straight line: halfway it is nearer to 0 than most codes are",
            ),
            NearMiss(
                lambda a, b, t: _slerp(b, a, t), "a and b have changed places: t = 0 must give a"
            ),
        ),
    ),
)


def _slerp(a, b, t):
    cosine = F.cosine_similarity(a, b, dim=-1).clamp(-1 + 1e-12, 1 - 1e-12)
    angle, t = cosine.acos().unsqueeze(-1), t.unsqueeze(-1)
    return (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin()


# -- exercises ------------------------------------------------------------------------------------


def _pairs(prior, likelihood, q):
    w = prior * likelihood / q
    both = (w.unsqueeze(-1) + w.unsqueeze(-2)) / 2
    return (q.unsqueeze(-1) * q.unsqueeze(-2) * both.log()).sum((-1, -2))


_DIM, _Z2 = real("n", "z_2")

_EXERCISES = (
    Equation(
        id="3.x1",
        title="the bound of a finite world",
        lhs=r"\mathcal{L}",
        rhs=r"\mathbb{E}_{q(z\mid x)}\left[\log\frac{p(x,z)}{q(z\mid x)}\right]",
        meaning="Write (3.4) as code for tables prior, likelihood and q.",
        quantity="the bound",
        reference=_elbo,
        **_in_world(_elbo_in_letters),
        near_misses=(
            NearMiss(
                lambda prior, likelihood, q: (q * likelihood.log()).sum(-1),
                "this is the reconstruction alone: the divergence from the prior is missing",
            ),
            NearMiss(
                lambda prior, likelihood, q: ((prior * likelihood).log() - q.log()).sum(-1),
                "the sum over causes is not weighted by q",
            ),
            NearMiss(
                lambda prior, likelihood, q: (q * (prior * likelihood / q)).sum(-1).log(),
                "the logarithm is outside: this is log p(x) itself, whatever q is",
            ),
        ),
    ),
    Equation(
        id="3.x2",
        title="the price under a wider prior",
        lhs=r"D_{\mathrm{KL}}\big(\mathcal{N}(\mu,\sigma^2)\,\Vert\,\mathcal{N}(0,4)\big)",
        rhs=r"\log\frac{2}{\sigma}+\frac{\sigma^2+\mu^2}{8}-\tfrac12",
        meaning="The divergence from a prior of variance 4.",
        quantity="the divergence",
        reference=lambda mu, log_var: _kl_general(
            mu, log_var, torch.zeros_like(mu), torch.full_like(mu, math.log(4.0))
        ),
        **_on_line("∫ q(z) log(q(z)/p(z)) dz", lambda: _divergence(_MU, _S, 0, 2)),
        near_misses=(
            NearMiss(
                r"\log\frac{4}{\sigma}+\frac{\sigma^2+\mu^2}{32}-\frac12",
                "4 is the prior's variance; its standard deviation is 2",
            ),
            NearMiss(
                r"\frac12(\mu^2+\sigma^2-1-\log\sigma^2)",
                "this is still the standard prior N(0, 1)",
            ),
            NearMiss(
                r"\log\frac{\sigma}{2}+\frac{\sigma^2+\mu^2}{8}-\frac12",
                "the fraction in the logarithm is upside down",
            ),
        ),
    ),
    Equation(
        id="3.x3",
        title="which way the price pushes log σ²",
        lhs=r"\frac{\partial}{\partial\log\sigma^2}\,D_{\mathrm{KL}}",
        rhs=r"\tfrac12(\sigma^2-1)",
        meaning="The derivative of (3.7) with respect to what the encoder really puts out.",
        quantity="the derivative",
        reference=lambda mu, log_var: 0.5 * (log_var.exp() - 1),
        evidence=Gradient(_CODE, _CODE_EXAMPLE, of=_kl_standard, wrt="log_var"),
        symbols=_SIGMA,
        definition=Definition(
            "derived by differentiating ∫ q(z) log(q(z)/p(z)) dz (SymPy)",
            lambda: sympy.diff(_divergence(_MU, _S, 0, 1), _S) * _S / 2,  # ∂σ/∂log σ² = σ/2
            _CODE_LETTERS,
        ),
        near_misses=(
            NearMiss(
                r"\sigma-\frac{1}{\sigma}",
                "this is the derivative with respect to σ, not to log σ²",
            ),
            NearMiss(
                r"\frac12\left(1-\frac{1}{\sigma^2}\right)",
                "this is the derivative with respect to σ²: multiply by ∂σ²/∂log σ² = σ²",
            ),
            NearMiss(r"\frac12(\sigma^2-\log\sigma^2)", "log σ² has the derivative 1 here"),
        ),
    ),
    Equation(
        id="3.x4",
        title="why the loss of logits is gentle",
        lhs=r"\frac{\partial}{\partial\ell}\,\log p(x\mid z)",
        rhs=r"x-\hat{x}",
        meaning="The derivative of one pixel's Bernoulli log-likelihood by its logit.",
        quantity="the derivative",
        reference=lambda logits, x: x - logits.sigmoid(),
        evidence=Gradient(
            points(logits=uniform(-4, 4), x=uniform(0, 1)),
            {"logits": 2.0, "x": 1.0},
            of=lambda logits, x: -F.binary_cross_entropy_with_logits(logits, x, reduction="none"),
            wrt="logits",
        ),
        symbols={"x_hat": lambda logits, x: logits.sigmoid(), "ell": lambda logits, x: logits},
        definition=Definition(
            "derived by differentiating log x̂ˣ(1−x̂)¹⁻ˣ by ℓ (SymPy)",
            lambda: sympy.diff(_bernoulli(_PIXEL, _ELL), _ELL),
            {"x": _PIXEL, "ell": _ELL, "logits": _ELL, "x_hat": _sigmoid(_ELL)},
        ),
        near_misses=(
            NearMiss(r"\hat{x}-x", "the sign is that of the loss; the log-likelihood is asked for"),
            NearMiss(
                r"\frac{x}{\hat{x}}-\frac{1-x}{1-\hat{x}}",
                "this is the derivative with respect to x̂: multiply by x̂(1−x̂)",
            ),
        ),
    ),
    Equation(
        id="3.x5",
        title="reparameterise a log-normal",
        lhs="z",
        rhs=r"\exp(\mu+\sigma\,\epsilon)",
        meaning="A positive variable whose logarithm is normal, as a smooth function of noise.",
        reference=lambda mu, log_var, eps: (mu + (log_var / 2).exp() * eps).exp(),
        evidence=Draws(
            cases=({"mu": 0.0, "log_var": -1.0}, {"mu": 1.0, "log_var": -2.0}),
            law=lambda mu, log_var: stats.lognorm(s=math.exp(log_var / 2), scale=math.exp(mu)),
            differentiable=("mu", "log_var"),
        ),
        symbols={"sigma": lambda mu, log_var, eps: (log_var / 2).exp()},
        near_misses=(
            NearMiss(
                lambda mu, log_var, eps: mu.exp() + (log_var / 2).exp() * eps,
                "only the mean is exponentiated: the sum must be, or z can be negative",
            ),
            NearMiss(
                lambda mu, log_var, eps: mu + (log_var / 2).exp() * eps,
                "this is the normal variable: its exponential is asked for",
            ),
            NearMiss(
                lambda mu, log_var, eps: torch.distributions.LogNormal(
                    mu, (log_var / 2).exp()
                ).sample(),
                "the law is right, but .sample() cuts the gradient",
            ),
        ),
    ),
    Equation(
        id="3.x6",
        title="the bound with two samples, exactly",
        lhs=r"\mathcal{L}_2",
        rhs=r"\sum_{z}\sum_{z'}q(z\mid x)\,q(z'\mid x)\,\log\frac{w(z)+w(z')}{2}",
        meaning="(3.24) with K = 2 by counting every pair, w(z) = p(x,z)/q(z|x).",
        quantity="the two-sample bound",
        reference=_pairs,
        evidence=Numeric(_WORLD, _WORLD_EXAMPLE, where=_WORLDS),
        symbols=_TABLES,
        typeset_only="two different causes are summed over at once",
        cite="Burda et al. 2016, theorem 1",
        near_misses=(
            NearMiss(_elbo, "this is K = 1: count pairs of causes"),
            NearMiss(
                lambda prior, likelihood, q: _log_px(prior, likelihood),
                "this is log p(x): the logarithm has been taken after the expectation",
            ),
            NearMiss(
                lambda prior, likelihood, q: _pairs(prior, likelihood, q) + math.log(2),
                "the two weights are added but not averaged",
            ),
        ),
    ),
    Equation(
        id="3.x7",
        title="what a straight walk loses",
        lhs=r"\mathbb{E}\left\lVert\tfrac12(a+b)\right\rVert^2",
        rhs=r"\frac{n}{2}",
        meaning="Two independent codes of n dimensions; the squared length of the point halfway.",
        quantity="the mean squared length",
        reference=lambda n: n / 2,
        evidence=Numeric(points(n=uniform(1, 100)), {"n": 32.0}),
        definition=Definition(
            "derived from n times ∬ ¼(a + b)² N(a; 0, 1) N(b; 0, 1) da db (SymPy)",
            lambda: _DIM * mean(mean((_Z + _Z2) ** 2 / 4, _Z, 0, 1), _Z2, 0, 1),
            {"n": _DIM},
        ),
        near_misses=(
            NearMiss("n", "that is the squared length of a code itself; halfway it is shorter"),
            NearMiss(
                r"\frac{n}{4}", "each half has ¼ of the squared length, and there are two of them"
            ),
            NearMiss(r"\sqrt{\frac{n}{2}}", "this is the length; its square is asked for"),
        ),
    ),
)

EQUATIONS = (
    *_BAYES, *_KL, *_GRADIENTS, *_LIKELIHOODS, *_KNOWN, *_COLLAPSE, *_EXERCISES,
)  # fmt: skip
