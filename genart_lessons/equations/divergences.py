"""Chapter 01, part two: likelihood, divergences between densities, and means by Monte Carlo.

p is the truth and q the model. A *picture world* has four pictures x, so that p and q are tables of
four numbers. Gaussians on a line come next, and last the estimates that chance makes: N draws, and
how far their mean may be off.
"""

import functools
import math
from collections.abc import Callable

import sympy
import torch
from torch import Tensor

from genart_lessons.equations import maps
from genart_lessons.equations.derive import (
    entries,
    log_integral,
    log_normal,
    mean,
    positive,
    real,
    softmax,
)
from genart_lessons.proof import (
    Bound,
    Definition,
    Equation,
    Estimate,
    Gradient,
    NearMiss,
    Numeric,
)
from genart_lessons.proof.draws import normal, points, simplex, uniform

Symbols = dict[str, Callable[..., Tensor]]
_WORLDS = "random worlds of four pictures"

# -- the picture world -----------------------------------------------------------------------------

_PAIR = points(p=simplex(4), q=simplex(4))
_PAIR_EXAMPLE = {"p": [0.4, 0.3, 0.2, 0.1], "q": [0.1, 0.2, 0.3, 0.4]}


def _entropy(p, **_):
    return torch.special.entr(p).sum(-1)


def _kl(p, q):
    return (p * (p.log() - q.log())).sum(-1)


def _middle(p, q):
    return (p + q) / 2


def _jsd(p, q):
    return (_kl(p, _middle(p, q)) + _kl(q, _middle(p, q))) / 2


def _which(p, q):
    """The entropy of "from p or from q?", once x is seen: (P, 4)."""
    share = p / (p + q)
    return torch.special.entr(share) + torch.special.entr(1 - share)


_TABLES: Symbols = {
    "p(x)": lambda p, q: p,
    "q(x)": lambda p, q: q,
    "m(x)": _middle,
    "h(x)": _which,
    "H(p)": _entropy,
    "H(q)": lambda p, q: _entropy(q),
    "H(m)": lambda p, q: _entropy(_middle(p, q)),
}

# The same world in letters: SymPy proves what holds in every such world, whatever its numbers.
_P, _Q = (entries(name, 4, above_zero=True) for name in ("p", "q"))
_M = tuple((p + q) / 2 for p, q in zip(_P, _Q, strict=True))
_SUM_TO_ONE = {t[3]: 1 - t[0] - t[1] - t[2] for t in (_P, _Q)}
_PROVED = "proved for every world of four pictures (SymPy)"


def _sum(term, *tables) -> sympy.Expr:
    """Σ ``term(…)`` over the entries of the tables, in letters."""
    return sympy.Add(*(term(*entry) for entry in zip(*tables, strict=True)))


def _each(term, *tables) -> tuple[sympy.Expr, ...]:
    return tuple(term(*entry) for entry in zip(*tables, strict=True))


def _surprise(p, q) -> sympy.Expr:
    """−Σ p log q, in letters."""
    return -_sum(lambda a, b: a * sympy.log(b), p, q)


def _divergence(p, q) -> sympy.Expr:
    return _surprise(p, q) - _surprise(p, p)


def _split(p, q) -> sympy.Expr:
    """The entropy of "from p or from q?" for one x, in letters."""
    return sympy.log(p + q) - (p * sympy.log(p) + q * sympy.log(q)) / (p + q)


_PAIR_LETTERS = {
    "p": _P, "q": _Q, "p(x)": _P, "q(x)": _Q, "m(x)": _M, "h(x)": _each(_split, _P, _Q),
    "H(p)": _surprise(_P, _P), "H(q)": _surprise(_Q, _Q), "H(m)": _surprise(_M, _M),
}  # fmt: skip


def _for_every_world(derive, words=_PROVED, **letters):
    return Definition(words, derive, {**_PAIR_LETTERS, **letters}, _SUM_TO_ONE)


def _in_pictures(derive, words=_PROVED):
    return {
        "evidence": Numeric(_PAIR, _PAIR_EXAMPLE, where=_WORLDS),
        "symbols": _TABLES,
        "definition": _for_every_world(derive, words),
    }


def _jensen_shannon() -> sympy.Expr:
    return (_divergence(_P, _M) + _divergence(_Q, _M)) / 2


def _same(arguments):
    return {**arguments, "q": arguments["p"]}


# -- likelihood ------------------------------------------------------------------------------------

_SAMPLE = points(x=uniform(-3, 3, 5))
_SAMPLE_EXAMPLE = {"x": [0.0, 1.0, 2.0, 3.0, 4.0]}
_FIVE = sympy.Integer(5)
_XS, _MU, _X = entries("x", 5), *real("mu", "x")
_SIGMA, _VAR = positive("sigma", "v")


def _count(x, **_):
    return torch.full_like(x[:, 0], x.shape[-1])


def _densities(x, mu, sigma):
    return torch.distributions.Normal(mu[:, None], sigma[:, None]).log_prob(x).exp()


@functools.cache
def _most_likely_variance() -> sympy.Expr:
    """Mean and variance at which both slopes of the log-likelihood are 0."""
    likelihood = _sum(lambda x: log_normal(x, _MU, _VAR), _XS)
    (centre,) = sympy.solve(sympy.diff(likelihood, _MU), _MU)
    (spread,) = sympy.solve(sympy.diff(likelihood.subs(_MU, centre), _VAR), _VAR)
    return spread


_LIKELIHOOD = (
    Equation(
        id="1.13",
        title="the log-likelihood of a sample",
        lhs=r"\log\prod_{n=1}^{N}q(x_n)",
        rhs=r"\sum_{n=1}^{N}\log q(x_n)",
        meaning="How probable the model q makes N independent draws, all together. Here q is "
        "N(μ, σ²).",
        quantity="the log-likelihood",
        reference=lambda x, mu, sigma: _densities(x, mu, sigma).log().sum(-1),
        evidence=Numeric(
            points(x=uniform(-3, 3, 5), mu=uniform(-1, 1), sigma=uniform(0.5, 2)),
            {"x": [0.0, 1.0, 0.5, -1.0, 2.0], "mu": 0.5, "sigma": 1.0},
        ),
        symbols={"q(x_t)": _densities, "p(x_t)": _densities, "N": _count},
        definition=Definition(
            "derived as the logarithm of the product of five densities (0.1) (SymPy)",
            lambda: _sum(lambda x: log_normal(x, _MU, _SIGMA**2), _XS),
            {
                "x": _XS,
                "mu": _MU,
                "sigma": _SIGMA,
                "N": _FIVE,
                **dict.fromkeys(
                    ("q(x_t)", "p(x_t)"),
                    _each(lambda x: sympy.exp(log_normal(x, _MU, _SIGMA**2)), _XS),
                ),
            },
        ),
        cite="Fisher 1922",
        near_misses=(
            NearMiss(
                r"\log\sum_{n=1}^{N}q(x_n)",
                "the densities are added: independent draws multiply, and logarithms add up",
            ),
            NearMiss(r"\sum_{n=1}^{N}q(x_n)", "the logarithm is missing"),
            NearMiss(
                r"\frac1N\sum_{n=1}^{N}\log q(x_n)",
                "this is the mean for one draw; the whole sample is asked for",
            ),
            NearMiss(
                r"-\sum_{n=1}^{N}\log q(x_n)",
                "this is the loss, minus the log-likelihood: it is what one minimises",
            ),
            NearMiss(
                r"\prod_{n=1}^{N}\log q(x_n)", "the logarithm of a product is a sum of logarithms"
            ),
        ),
    ),
    Equation(
        id="1.14",
        title="the most likely Gaussian",
        lhs=r"\hat\sigma^2",
        rhs=r"\frac1N\sum_{n=1}^{N}(x_n-\bar{x})^2",
        meaning="Of all normal distributions, the one with the sample's own mean x̄ and mean square "
        "distance from it makes the sample most probable.",
        quantity="the most likely variance",
        reference=lambda x: x.var(-1, correction=0),
        evidence=Numeric(_SAMPLE, _SAMPLE_EXAMPLE, where="random samples of five"),
        symbols={"x_bar": lambda x: x.mean(-1), "N": _count},
        definition=Definition(
            "derived by setting both slopes of the log-likelihood (1.13) to 0 (SymPy)",
            _most_likely_variance,
            {"x": _XS, "x_bar": sympy.Add(*_XS) / 5, "N": _FIVE},
        ),
        cite="Bishop 2006, eq. 1.56",
        near_misses=(
            NearMiss(
                r"\frac{1}{N-1}\sum_{n=1}^{N}(x_n-\bar{x})^2",
                "with N − 1 it is unbiased, right on average over many samples; the most likely "
                "value has N",
            ),
            NearMiss(
                r"\sqrt{\frac1N\sum_{n=1}^{N}(x_n-\bar{x})^2}",
                "this is the standard deviation; the variance is asked for",
            ),
            NearMiss(
                r"\frac1N\sum_{n=1}^{N}x_n^2",
                "the mean is not taken off: this is the mean square distance from 0",
            ),
            NearMiss(
                r"\frac1N\sum_{n=1}^{N}|x_n-\bar{x}|",
                "absolute distances belong to Laplace's distribution; a Gaussian has squares",
            ),
            NearMiss(r"\sum_{n=1}^{N}(x_n-\bar{x})^2", "the 1/N is missing"),
        ),
    ),
    Equation(
        id="1.15",
        title="entropy",
        lhs="H(p)",
        rhs=r"-\sum_x p(x)\log p(x)",
        meaning="The mean surprise −log p(x), in nats: how much there is to tell about a draw.",
        quantity="the entropy",
        reference=lambda p: _entropy(p),
        evidence=Numeric(points(p=simplex(4)), {"p": [0.4, 0.3, 0.2, 0.1]}, where=_WORLDS),
        symbols={"p(x)": lambda p: p},
        definition=Definition(
            "proved as the mean of −log p(x) in every world of four pictures (SymPy)",
            lambda: _sum(lambda p: p * sympy.log(1 / p), _P),
            {"p": _P, "p(x)": _P},
            {_P[3]: _SUM_TO_ONE[_P[3]]},
        ),
        cite="Shannon 1948",
        near_misses=(
            NearMiss(
                r"\sum_x p(x)\log p(x)",
                "the minus sign is missing: logarithms of probabilities are negative",
            ),
            NearMiss(
                r"-\sum_x p(x)\log_2 p(x)", "this is in bits: divide nats by log 2 to get them"
            ),
            NearMiss(r"-\sum_x \log p(x)", "each surprise is weighed by how often it comes"),
            NearMiss(
                r"-\log\sum_x p(x)^2",
                "the mean is taken before the logarithm: this is Rényi's entropy, which is smaller",
            ),
            NearMiss(r"\log 4", "this is the largest entropy, of four equally probable pictures"),
        ),
    ),
)

# -- divergences -----------------------------------------------------------------------------------

_LOGITS = points(p=simplex(4), logits=uniform(-2, 2, 4))
_LOGITS_EXAMPLE = {"p": [0.4, 0.3, 0.2, 0.1], "logits": [0.0, 0.0, math.log(2), 0.0]}
_ELL = entries("ell", 4)
_SOFT = softmax(_ELL)
_LOGIT_TABLES: Symbols = {
    "p(x)": lambda p, logits: p,
    "q(x)": lambda p, logits: logits.softmax(-1),
    "ell": lambda p, logits: logits,
}
_LOGIT_LETTERS = {"p": _P, "logits": _ELL, "ell": _ELL, "p(x)": _P, "q(x)": _SOFT}


def _slopes(of, words):
    """∂/∂ℓ of ``of``, which is made of the entries of p and of the logits."""
    return Definition(
        f"derived by differentiating {words}, with q = softmax(ℓ) (SymPy)",
        lambda: tuple(sympy.diff(of(), ell) for ell in _ELL),
        _LOGIT_LETTERS,
        {_P[3]: _SUM_TO_ONE[_P[3]]},
    )


def _towards(p, logits):
    return _kl(p, logits.softmax(-1))


def _backwards(p, logits):
    return _kl(logits.softmax(-1), p)


def _reverse_slope(p, logits):
    q = logits.softmax(-1)
    return q * (q.log() - p.log() - _kl(q, p)[:, None])


_FORWARD = r"D_{\mathrm{KL}}(p\,\Vert\,q)"
_BACKWARD = r"D_{\mathrm{KL}}(q\,\Vert\,p)"

_GAUSSIANS = points(
    mu_p=uniform(-3, 3), sigma_p=uniform(0.2, 3), mu_q=uniform(-3, 3), sigma_q=uniform(0.2, 3)
)
_MU_P, _MU_Q = real("mu_p", "mu_q")
_SIGMA_P, _SIGMA_Q = positive("sigma_p", "sigma_q")


def _kl_of_normals(mu_p, sigma_p, mu_q, sigma_q):
    p = torch.distributions.Normal(mu_p, sigma_p)
    return torch.distributions.kl_divergence(p, torch.distributions.Normal(mu_q, sigma_q))


def _integrated() -> sympy.Expr:
    """∫ p(x) log(p(x)/q(x)) dx for two normal densities."""
    log_ratio = log_normal(_X, _MU_P, _SIGMA_P**2) - log_normal(_X, _MU_Q, _SIGMA_Q**2)
    return mean(log_ratio, _X, _MU_P, _SIGMA_P)


_W, _MUS, _SIGMAS = entries("w", 3, True), entries("mu", 3), entries("sigma", 3, True)
_MIXTURE = points(w=simplex(3), mu=uniform(-3, 3, 3), sigma=uniform(0.2, 1.5, 3))


def _centre(w, mu, **_):
    return (w * mu).sum(-1)


def _spread(w, mu, sigma):
    return (w * (sigma**2 + (mu - _centre(w, mu)[:, None]) ** 2)).sum(-1)


@functools.cache
def _closest_normal() -> sympy.Expr:
    """The variance at which the cross-entropy of a mixture, seen by a normal model, is flat."""
    seen = _sum(lambda w, m, s: w * mean(log_normal(_X, _MU, _VAR), _X, m, s), _W, _MUS, _SIGMAS)
    (centre,) = sympy.solve(sympy.diff(seen, _MU), _MU)
    slope = sympy.numer(sympy.together(sympy.diff(seen.subs(_MU, centre), _VAR)))
    (spread,) = sympy.solve(slope, _VAR)
    return spread


_DIVERGENCES = (
    Equation(
        id="1.16",
        title="what a wrong model costs",
        lhs=r"-\sum_x p(x)\log q(x)",
        rhs=rf"H(p)+{_FORWARD}",
        meaning="The cross-entropy, the mean surprise of a reader who believes q, is what p itself "
        "costs and the divergence from p to q. Only the latter can be helped.",
        quantity="the cross-entropy",
        reference=lambda p, q: -(p * q.log()).sum(-1),
        **_in_pictures(lambda: _surprise(_P, _Q)),
        cite="Cover & Thomas 2006, theorem 5.4.3",
        near_misses=(
            NearMiss(
                rf"H(p)-{_FORWARD}",
                "the divergence is subtracted: a wrong model costs more, not less",
            ),
            NearMiss(
                rf"H(q)+{_FORWARD}", "the entropy is that of the truth p: p says which x come"
            ),
            NearMiss(rf"H(p)+{_BACKWARD}", "the divergence has its arguments the wrong way round"),
            NearMiss(_FORWARD, "this is the part that can be helped: the entropy of p is missing"),
            NearMiss("H(p)", "this is the cost of the right model, q = p"),
        ),
    ),
    Equation(
        id="1.17",
        title="Kullback and Leibler's divergence",
        lhs=_FORWARD,
        rhs=r"\sum_x p(x)\log\frac{p(x)}{q(x)}",
        meaning="The mean, over what really comes, of how much more probable p makes it than q.",
        quantity="the divergence",
        reference=_kl,
        **_in_pictures(lambda: _divergence(_P, _Q)),
        cite="Kullback & Leibler 1951",
        near_misses=(
            NearMiss(
                r"\sum_x q(x)\log\frac{q(x)}{p(x)}",
                "the other direction, from q to p: it is another number",
            ),
            NearMiss(
                r"\sum_x p(x)\log\frac{q(x)}{p(x)}",
                "the fraction is upside down: a divergence is never negative",
            ),
            NearMiss(r"\sum_x p(x)\frac{p(x)}{q(x)}", "the logarithm is missing"),
            NearMiss(
                r"\sum_x p(x)\left|\log\frac{p(x)}{q(x)}\right|",
                "with bars: where q is larger than p the logarithm counts against, and must",
            ),
            NearMiss(
                r"\sum_x\log\frac{p(x)}{q(x)}",
                "each x is to be weighed by how often it comes, p(x)",
            ),
            NearMiss(
                r"\sum_x q(x)\log\frac{p(x)}{q(x)}",
                "weighed by q: this is minus the other direction",
            ),
            NearMiss(
                r"\sum_x |p(x)-q(x)|",
                "this is a distance, and symmetric; the divergence is neither",
            ),
        ),
    ),
    Equation(
        id="1.18",
        title="no model beats the truth",
        lhs=r"-\sum_x p(x)\log q(x)",
        relation=r"\ge",
        rhs=r"-\sum_x p(x)\log p(x)",
        meaning="Gibbs' inequality: the cross-entropy is never below the entropy, so by (1.16) no "
        "divergence is negative, and it is 0 only where q is p.",
        quantity="the cross-entropy",
        reference=lambda p, q: _entropy(p),
        evidence=Bound(
            _PAIR,
            of=lambda p, q: -(p * q.log()).sum(-1),
            tight=_same,
            of_words="the cross-entropy",
            tight_words="q is p",
            example=_PAIR_EXAMPLE,
        ),
        symbols=_TABLES,
        definition=_for_every_world(lambda: _surprise(_P, _P)),
        cite="Cover & Thomas 2006, theorem 2.6.3",
        near_misses=(
            NearMiss(
                r"-\sum_x q(x)\log q(x)",
                "this is the model's own entropy: a model that expects too much chance has more of "
                "it than the truth costs",
            ),
            NearMiss(
                r"-\sum_x q(x)\log p(x)",
                "p and q have changed places: x comes from p, and is read by q",
            ),
            NearMiss("0", "below, and never touched: even the right model is surprised"),
            NearMiss(r"\log 4", "this is the most that an entropy can be, not the least cost"),
            NearMiss(
                r"\sum_x p(x)\log p(x)", "the minus sign is missing: this is below, and below 0"
            ),
        ),
    ),
    Equation(
        id="1.19",
        title="to learn by likelihood is to lower a divergence",
        lhs=r"\frac{\partial}{\partial\ell_x}\Big(-\sum_y p(y)\log q(y)\Big)"
        rf"=\frac{{\partial}}{{\partial\ell_x}}\,{_FORWARD}",
        rhs="q(x)-p(x)",
        meaning="The entropy of the data does not depend on the model, so both have one gradient. "
        "Here q = softmax(ℓ): what the model has too much of, is pushed down.",
        quantity="the slope",
        free_index="x",
        reference=lambda p, logits: logits.softmax(-1) - p,
        evidence=Gradient(
            _LOGITS,
            _LOGITS_EXAMPLE,
            of=lambda p, logits: -(p * logits.log_softmax(-1)).sum(-1),
            wrt="logits",
        ),
        symbols=_LOGIT_TABLES,
        definition=_slopes(lambda: _divergence(_P, _SOFT), "KL(p‖q), and not the likelihood"),
        cite="Bishop 2006, eq. 4.109",
        near_misses=(
            NearMiss(
                "p(x)-q(x)", "this is the slope of the likelihood: a loss is walked down, not up"
            ),
            NearMiss(
                r"-\frac{p(x)}{q(x)}",
                "this is the slope by q(x): the logits ℓ move all of q at once",
            ),
            NearMiss("q(x)", "the data are missing: nothing would be learned from them"),
            NearMiss(
                r"q(x)\left(\log\frac{q(x)}{p(x)}-D_{KL}(q\Vert p)\right)",
                "this is the slope of the other divergence, from q to p",
            ),
            NearMiss("q(x)(q(x)-p(x))", "one q(x) too many: softmax's own slope has cancelled it"),
        ),
    ),
    Equation(
        id="1.20",
        title="the divergence of two Gaussians",
        lhs=r"D_{\mathrm{KL}}\big(\mathcal{N}(\mu_p,\sigma_p^2)\,\Vert\,\mathcal{N}(\mu_q,\sigma_q^2)\big)",
        rhs=r"\log\frac{\sigma_q}{\sigma_p}+\frac{\sigma_p^2+(\mu_p-\mu_q)^2}{2\sigma_q^2}-\tfrac12",
        meaning="In closed form, from the truth p to the model q.",
        quantity="the divergence",
        reference=_kl_of_normals,
        evidence=Numeric(_GAUSSIANS, {"mu_p": 0.0, "sigma_p": 1.0, "mu_q": 1.0, "sigma_q": 2.0}),
        definition=Definition(
            "derived from ∫ p(x) log(p(x)/q(x)) dx (SymPy)",
            _integrated,
            {"mu_p": _MU_P, "sigma_p": _SIGMA_P, "mu_q": _MU_Q, "sigma_q": _SIGMA_Q},
        ),
        cite="Kullback & Leibler 1951",
        near_misses=(
            NearMiss(
                r"\log\frac{\sigma_p}{\sigma_q}+\frac{\sigma_q^2+(\mu_p-\mu_q)^2}{2\sigma_p^2}-\frac12",
                "this is the other direction, from q to p",
            ),
            NearMiss(
                r"\log\frac{\sigma_p}{\sigma_q}+\frac{\sigma_p^2+(\mu_p-\mu_q)^2}{2\sigma_q^2}-\frac12",
                "the fraction in the logarithm is upside down",
            ),
            NearMiss(
                r"\log\frac{\sigma_q}{\sigma_p}+\frac{\sigma_p^2+(\mu_p-\mu_q)^2}{2\sigma_q^2}",
                "the −½ is missing: this is ½ where both are the same",
            ),
            NearMiss(
                r"\log\frac{\sigma_q^2}{\sigma_p^2}+\frac{\sigma_p^2+(\mu_p-\mu_q)^2}{2\sigma_q^2}"
                r"-\frac12",
                "the logarithm is of the standard deviations, or has a ½ before it",
            ),
            NearMiss(
                r"\log\frac{\sigma_q}{\sigma_p}+\frac{\sigma_p^2}{2\sigma_q^2}-\frac12",
                "the distance of the means is missing",
            ),
        ),
    ),
    Equation(
        id="1.21",
        title="the Gaussian that covers everything",
        lhs=r"\sigma_\ast^2",
        rhs=r"\sum_{k=1}^{K}w_k\big(\sigma_k^2+(\mu_k-\bar\mu)^2\big)",
        meaning="Of all normal models q, D_KL(p‖q) is least for the one with p's own mean and "
        "variance: here of a mixture p of K normal parts, whose mean is μ̄ = Σ w_k μ_k.",
        quantity="the best variance",
        reference=_spread,
        evidence=Numeric(
            _MIXTURE,
            {"w": [0.5, 0.25, 0.25], "mu": [-2.0, 2.0, 2.0], "sigma": [0.5, 0.5, 1.0]},
            where="random mixtures of three",
        ),
        symbols={"mu_bar": _centre, "K": lambda w, mu, sigma: torch.full_like(w[:, 0], 3)},
        definition=Definition(
            "derived by setting both slopes of −∫ p(x) log N(x; μ, v) dx to 0 (SymPy)",
            _closest_normal,
            {
                "w": _W,
                "mu": _MUS,
                "sigma": _SIGMAS,
                "K": sympy.Integer(3),
                "mu_bar": _sum(lambda w, m: w * m, _W, _MUS),
            },
            {_W[2]: 1 - _W[0] - _W[1]},
        ),
        cite="Minka 2005, section 3",
        near_misses=(
            NearMiss(
                r"\sum_{k=1}^{K}w_k\sigma_k^2",
                "this is the spread within the parts: how far the parts lie apart is missing",
            ),
            NearMiss(
                r"\sum_{k=1}^{K}w_k(\mu_k-\bar\mu)^2",
                "this is how far the parts lie apart: their own spread is missing",
            ),
            NearMiss(
                r"\sum_{k=1}^{K}w_k\big(\sigma_k^2+\mu_k^2\big)",
                "this is the mean of x²: take off the square of the mean, μ̄²",
            ),
            NearMiss(
                r"\sum_{k=1}^{K}w_k^2\sigma_k^2",
                "this is the variance of a weighted sum; a mixture is one of its parts at a time",
            ),
            NearMiss(
                lambda w, mu, sigma: sigma.gather(-1, w.argmax(-1, keepdim=True))[:, 0] ** 2,
                "this is the variance of the largest part alone: that is how the other divergence, "
                "from q to p, would choose",
            ),
        ),
    ),
    Equation(
        id="1.22",
        title="the other direction pulls elsewhere",
        lhs=rf"\frac{{\partial}}{{\partial\ell_x}}\,{_BACKWARD}",
        rhs=rf"q(x)\left(\log\frac{{q(x)}}{{p(x)}}-{_BACKWARD}\right)",
        meaning="The slope is in proportion to q: where the model is not, nothing pulls it there. "
        "So it settles on one mode, while (1.19) wants a share everywhere.",
        quantity="the slope",
        free_index="x",
        reference=_reverse_slope,
        evidence=Gradient(_LOGITS, _LOGITS_EXAMPLE, of=_backwards, wrt="logits"),
        symbols=_LOGIT_TABLES,
        definition=_slopes(lambda: _divergence(_SOFT, _P), "KL(q‖p)"),
        cite="Minka 2005, section 2",
        near_misses=(
            NearMiss(
                "q(x)-p(x)", "this is the slope of the other divergence, from p to q, as in (1.19)"
            ),
            NearMiss(
                r"q(x)\log\frac{q(x)}{p(x)}",
                "the divergence is to be taken off: a logit raises one share and lowers the others",
            ),
            NearMiss(
                r"q(x)\left(\log\frac{q(x)}{p(x)}+1\right)",
                "this takes q(x) for free; with a softmax the shares must add up to 1",
            ),
            NearMiss(
                r"\log\frac{q(x)}{p(x)}-D_{KL}(q\Vert p)",
                "the factor q(x) is missing, and it is the whole point",
            ),
            NearMiss(
                r"q(x)\left(\log\frac{p(x)}{q(x)}+D_{KL}(q\Vert p)\right)",
                "the sign is turned round: this walks uphill",
            ),
        ),
    ),
    Equation(
        id="1.23",
        title="Jensen and Shannon's divergence",
        lhs=r"\mathrm{JSD}(p\,\Vert\,q)",
        rhs=r"\tfrac12 D_{\mathrm{KL}}(p\,\Vert\,m)+\tfrac12 D_{\mathrm{KL}}(q\,\Vert\,m)",
        meaning="How far both are from their even mixture m = (p + q)/2: symmetric, and finite "
        "even where one of them is 0.",
        quantity="the divergence",
        reference=_jsd,
        **_in_pictures(_jensen_shannon),
        cite="Lin 1991, section III",
        near_misses=(
            NearMiss(
                r"D_{KL}(p\Vert m)+D_{KL}(q\Vert m)",
                "the halves are missing: this reaches 2 log 2",
            ),
            NearMiss(
                r"\frac12D_{KL}(m\Vert p)+\frac12D_{KL}(m\Vert q)",
                "the mixture stands first: this is infinite as soon as one of them is 0 somewhere",
            ),
            NearMiss(
                r"\frac12D_{KL}(p\Vert q)+\frac12D_{KL}(q\Vert p)",
                "the two are compared with each other: each is compared with their mixture m",
            ),
            NearMiss(
                r"\sqrt{\frac12D_{KL}(p\Vert m)+\frac12D_{KL}(q\Vert m)}",
                "this is the distance, the root of the divergence (what scipy's jensenshannon is)",
            ),
        ),
    ),
    Equation(
        id="1.24",
        title="the same, as entropies",
        lhs=r"\mathrm{JSD}(p\,\Vert\,q)",
        rhs=r"H(m)-\tfrac12 H(p)-\tfrac12 H(q)",
        meaning="What mixing adds to the surprise.",
        quantity="the divergence",
        reference=_jsd,
        **_in_pictures(_jensen_shannon),
        cite="Lin 1991, section IV",
        near_misses=(
            NearMiss("H(m)-H(p)-H(q)", "the halves are missing: both are averaged"),
            NearMiss(
                r"\frac12H(p)+\frac12H(q)-H(m)",
                "the sign is turned round: a mixture has more entropy than its parts on average",
            ),
            NearMiss(
                "H(m)", "this is the entropy of the mixture: what the parts have is to go off"
            ),
            NearMiss(
                r"H(m)-H(p)", "only one of the two is taken off: this is not symmetric in p and q"
            ),
        ),
    ),
    Equation(
        id="1.25",
        title="what keeps it below log 2",
        lhs=r"\mathrm{JSD}(p\,\Vert\,q)",
        rhs=r"\log 2-\sum_x m(x)\,h(x)",
        meaning="A coin chooses p or q, and x is drawn: JSD is what x tells about the coin. h(x), "
        "the entropy of the coin once x is seen, is that of the chance p(x)/(p(x) + q(x)); it is "
        "between 0 and log 2, and so is JSD.",
        quantity="the divergence",
        reference=lambda p, q: math.log(2) - (_middle(p, q) * _which(p, q)).sum(-1),
        **_in_pictures(_jensen_shannon),
        cite="Lin 1991, section III",
        near_misses=(
            NearMiss(
                r"\log 2+\sum_x m(x)\,h(x)",
                "the doubt that is left is added: it is taken off the coin's log 2",
            ),
            NearMiss(
                r"\sum_x m(x)\,h(x)", "this is the doubt that is left; what x has told is the rest"
            ),
            NearMiss(
                r"\log 2-\sum_x p(x)\,h(x)",
                "only the x's of p are asked: half of all come from q, so the weights are m",
            ),
            NearMiss(r"\log 4-2\sum_x m(x)\,h(x)", "this is twice the divergence"),
        ),
    ),
    Equation(
        id="1.26",
        title="Pinsker's bound",
        lhs=_FORWARD,
        relation=r"\ge",
        rhs=r"\tfrac12\Big(\sum_x|p(x)-q(x)|\Big)^2",
        meaning="A small divergence leaves no room for a large difference anywhere.",
        quantity="the divergence",
        reference=lambda p, q: (p - q).abs().sum(-1).square() / 2,
        evidence=Bound(
            _PAIR,
            of=_kl,
            tight=_same,
            of_words="the divergence",
            tight_words="q is p",
            example=_PAIR_EXAMPLE,
        ),
        symbols=_TABLES,
        cite="Cover & Thomas 2006, lemma 11.6.1",
        near_misses=(
            NearMiss(
                r"\Big(\sum_x|p(x)-q(x)|\Big)^2",
                "the ½ is missing: near q = p the divergence is only half of that",
            ),
            NearMiss(
                r"\frac12\sum_x|p(x)-q(x)|",
                "the square is missing: near q = p the divergence is much flatter than that",
            ),
            NearMiss(
                r"\frac12\sum_x(p(x)-q(x))^2",
                "the square is of the whole sum: squared term by term it is true too, but weaker",
            ),
            NearMiss(
                r"\frac18\Big(\sum_x|p(x)-q(x)|\Big)^2",
                "⅛ belongs to the Jensen-Shannon divergence: true here too, but weaker",
            ),
        ),
    ),
)

# -- Jensen's inequality ---------------------------------------------------------------------------

_VALUES = points(p=simplex(4), f=uniform(0.2, 3, 4))
_VALUES_EXAMPLE = {"p": [0.4, 0.3, 0.2, 0.1], "f": [1.0, 2.0, 0.5, 3.0]}
_F = entries("f", 4, above_zero=True)
_STEP = sympy.Symbol("eps", real=True)


def _average(p, f):
    return (p * f).sum(-1)


def _variance(p, f):
    return (p * (f - _average(p, f)[:, None]) ** 2).sum(-1)


_MEAN_F = _sum(lambda p, f: p * f, _P, _F)
_VAR_F = _sum(lambda p, f: p * (f - _MEAN_F) ** 2, _P, _F)
_ONE = {_P[3]: _SUM_TO_ONE[_P[3]]}


@functools.cache
def _gap_at_first() -> sympy.Expr:
    """½ of the gap's second derivative where f does not vary at all; its first one is 0 there."""
    shrunk = [_MEAN_F + _STEP * (f - _MEAN_F) for f in _F]
    inside = sympy.log(_sum(lambda p, f: p * f, _P, shrunk))
    gap = inside - _sum(lambda p, f: p * sympy.log(f), _P, shrunk)
    return sympy.diff(gap, _STEP, 2).subs(_STEP, 0) / 2


_JENSEN = (
    Equation(
        id="1.27",
        title="Jensen's inequality for the logarithm",
        lhs=r"\log\sum_x p(x)\,f(x)",
        relation=r"\ge",
        rhs=r"\sum_x p(x)\log f(x)",
        meaning="The logarithm of a mean is never below the mean of the logarithms, for any "
        "positive f: log bends downwards.",
        quantity="the logarithm of the mean",
        reference=lambda p, f: (p * f.log()).sum(-1),
        evidence=Bound(
            _VALUES,
            of=lambda p, f: _average(p, f).log(),
            tight=lambda a: {**a, "f": a["f"][:, :1].expand_as(a["f"])},
            of_words="the logarithm of the mean",
            tight_words="f is the same everywhere",
            example=_VALUES_EXAMPLE,
        ),
        symbols={"p(x)": lambda p, f: p, "f(x)": lambda p, f: f},
        definition=Definition(
            _PROVED,
            lambda: _sum(lambda p, f: p * sympy.log(f), _P, _F),
            {"p": _P, "f": _F, "p(x)": _P, "f(x)": _F},
            _ONE,
        ),
        cite="Jensen 1906",
        near_misses=(
            NearMiss(
                r"\log\sum_x p(x)f(x)",
                "this is the logarithm of the mean itself: nothing is gained that is easier",
            ),
            NearMiss(r"\sum_x p(x)f(x)-1", "this lies above: log y is never more than y − 1"),
            NearMiss(r"\frac14\sum_x \log f(x)", "the weights p(x) are missing: it may lie above"),
            NearMiss(
                r"\sum_x \log\big(p(x)f(x)\big)",
                "p has got under the logarithm: it weighs the logarithms from outside",
            ),
            NearMiss(
                lambda p, f: f.amin(-1).log(),
                "below, and it touches: but the mean of the logarithms is higher, and the stated "
                "bound",
            ),
        ),
    ),
    Equation(
        id="1.28",
        title="how large Jensen's gap is",
        lhs=r"\lim_{\epsilon\to 0}\frac{1}{\epsilon^2}"
        r"\Big(\log\mathbb{E}[f_\epsilon]-\mathbb{E}[\log f_\epsilon]\Big)",
        rhs=r"\frac{\sigma^2}{2\mu^2}",
        meaning="f has the mean μ and the variance σ² under p, and f_ε = μ + ε(f − μ): the less f "
        "varies, in units of its mean, the smaller the gap, and by the square of that.",
        quantity="the limit",
        reference=lambda p, f: _variance(p, f) / (2 * _average(p, f) ** 2),
        evidence=Numeric(_VALUES, _VALUES_EXAMPLE, where=_WORLDS),
        symbols={
            "mu": _average,
            "sigma": lambda p, f: _variance(p, f).sqrt(),
            "p(x)": lambda p, f: p,
            "f(x)": lambda p, f: f,
        },
        definition=Definition(
            "derived as half of the gap's second derivative by ε at ε = 0 (SymPy)",
            _gap_at_first,
            {
                "p": _P,
                "f": _F,
                "p(x)": _P,
                "f(x)": _F,
                "mu": _MEAN_F,
                "sigma": sympy.sqrt(_VAR_F),
            },
            _ONE,
        ),
        near_misses=(
            NearMiss(
                r"\frac{\sigma^2}{\mu^2}", "the ½ is missing, which log's second slope brings"
            ),
            NearMiss(r"\frac{\sigma^2}{2\mu}", "it is divided by μ², for log″(μ) is −1/μ²"),
            NearMiss(
                r"\frac{\sigma^2}{2}",
                "it is not divided by μ²: only the variation in units of the mean counts",
            ),
            NearMiss(r"-\frac{\sigma^2}{2\mu^2}", "the gap is never negative"),
            NearMiss(r"\frac{\sigma}{2\mu}", "the gap goes with the square of the variation"),
        ),
    ),
)

# -- means by Monte Carlo --------------------------------------------------------------------------

_DRAWS = 4  # so few that a biased estimate is caught by its bias


def _values(count, generator, tau):
    """f(x) = exp(τx) at N standard normal draws x."""
    x = torch.randn(count, _DRAWS, generator=generator, dtype=torch.float64)
    return (tau * x).exp()


def _weighed(count, generator, mu, tau):
    """p, q and f at N draws of q: p is N(μ, 1), q is N(0, τ²), and f(x) is x²."""
    x = tau * torch.randn(count, _DRAWS, generator=generator, dtype=torch.float64)
    p, q = torch.distributions.Normal(mu, 1.0), torch.distributions.Normal(0.0, tau)
    return p.log_prob(x).exp(), q.log_prob(x).exp(), x**2


_FS, _WS, _TAU = entries("f", 5), entries("w", 5, above_zero=True), sympy.Symbol("tau")
_NUMBERS = points(f=normal(5))


@functools.cache
def _unbiased_root() -> sympy.Expr:
    """√(Q/c), with Q = Σ (f_n − f̄)² and c such that Q/c is, on average, the mean's variance v/N."""
    centre = sympy.Add(*_FS) / 5
    squares = sympy.Add(*((f - centre) ** 2 for f in _FS))
    on_average = sympy.Integer(0)
    for powers, coefficient in sympy.Poly(squares, *_FS).terms():
        on_average += coefficient * (_MU**2 + (_VAR if 2 in powers else 0))
    return sympy.sqrt(squares / sympy.cancel(sympy.expand(on_average) / (_VAR / 5)))


def _worth() -> sympy.Expr:
    """N_eff in σ²/N_eff = the variance of Σ w f / Σ w, for independent f of variance σ²."""
    total = sympy.Add(*_WS)
    return 1 / sympy.Add(*((w / total) ** 2 for w in _WS))


@functools.cache
def _second_moment() -> sympy.Expr:
    squared = 2 * log_normal(_X, 0, 1) - log_normal(_X, 0, _TAU_POSITIVE**2)
    return sympy.exp(log_integral(squared, _X))


_TAU_POSITIVE = sympy.Symbol("tau", positive=True)
_ABOVE_HALF = sympy.Symbol("b", positive=True)  # 2τ² − 1

_MONTE_CARLO = (
    Equation(
        id="1.29",
        title="a mean, estimated by drawing",
        lhs=r"\hat{f}_N",
        rhs=r"\frac1N\sum_{n=1}^{N}f(x_n)",
        meaning="The mean of f over N independent draws: on average over all draws it is E[f(x)].",
        quantity="the exact mean",
        reference=lambda tau, f: f.mean(-1),
        evidence=Estimate(
            cases=({"tau": 0.5}, {"tau": 1.0}),
            truth=lambda tau: math.exp(tau**2 / 2),
            needs=0.01,
            noise="f",
            fresh=_values,
            count=100_000,
        ),
        symbols={
            "f(x_t)": lambda tau, f: f,
            "N": lambda tau, f: torch.full_like(tau, f.shape[-1]),
        },
        cite="Metropolis & Ulam 1949",
        near_misses=(
            NearMiss(r"\sum_{n=1}^{N}f(x_n)", "the 1/N is missing: the sum grows with N"),
            NearMiss(
                r"\frac{1}{N-1}\sum_{n=1}^{N}f(x_n)",
                "N − 1 belongs to the variance, where a mean has been estimated first",
            ),
            NearMiss(
                lambda tau, f: f.log().mean(-1).exp(),
                "the mean is taken of the logarithms: by (1.27) that is too low",
            ),
            NearMiss(
                lambda tau, f: f.median(-1).values,
                "this is the median: with a long tail it lies below the mean",
            ),
            NearMiss(
                lambda tau, f: (f.amin(-1) + f.amax(-1)) / 2,
                "halfway between the smallest and the largest: one far draw decides it all",
            ),
        ),
    ),
    Equation(
        id="1.30",
        title="the standard error",
        lhs=r"\mathrm{SE}",
        rhs=r"\sqrt{\frac{1}{N(N-1)}\sum_{n=1}^{N}\big(f(x_n)-\bar{f}\big)^2}",
        meaning="How far the mean f̄ of N draws is off, typically: s/√N, where s is their own "
        "standard deviation. A digit more costs a hundred times the draws.",
        quantity="the standard error",
        reference=lambda f: f.std(-1) / f.shape[-1] ** 0.5,
        evidence=Numeric(
            _NUMBERS, {"f": [1.0, 2.0, 3.0, 4.0, 5.0]}, where="random samples of five"
        ),
        symbols={
            "f(x_t)": lambda f: f,
            "f_bar": lambda f: f.mean(-1),
            "s": lambda f: f.std(-1),
            "N": lambda f: torch.full_like(f[:, 0], f.shape[-1]),
        },
        definition=Definition(
            "derived as what is, squared, on average the variance of a mean of five (SymPy)",
            _unbiased_root,
            {
                "f": _FS,
                "f(x_t)": _FS,
                "f_bar": sympy.Add(*_FS) / 5,
                "N": _FIVE,
                "s": sympy.sqrt(sympy.Add(*((f - sympy.Add(*_FS) / 5) ** 2 for f in _FS)) / 4),
            },
        ),
        cite="Student 1908",
        near_misses=(
            NearMiss(
                r"\sqrt{\frac{1}{N-1}\sum_{n=1}^{N}(f(x_n)-\bar{f})^2}",
                "this is s, how far single draws scatter: their mean scatters √N times less",
            ),
            NearMiss(
                r"\frac1N\sqrt{\frac{1}{N-1}\sum_{n=1}^{N}(f(x_n)-\bar{f})^2}",
                "s/N: variances go with 1/N, so the error with 1/√N",
            ),
            NearMiss(
                r"\sqrt{\frac{1}{N^2}\sum_{n=1}^{N}(f(x_n)-\bar{f})^2}",
                "the spread is taken with 1/N: about their own mean the draws seem too close",
            ),
            NearMiss(
                r"\frac{1}{N(N-1)}\sum_{n=1}^{N}(f(x_n)-\bar{f})^2",
                "this is the square of it: the root is missing",
            ),
            NearMiss(
                r"\frac{1}{\sqrt N}", "this takes every draw to have the standard deviation 1"
            ),
        ),
    ),
    Equation(
        id="1.31",
        title="importance sampling",
        lhs=r"\hat{f}_N",
        rhs=r"\frac1N\sum_{n=1}^{N}\frac{p(x_n)}{q(x_n)}\,f(x_n)",
        meaning="The mean of f under p, from draws of q: each draw counts as many times as p has "
        "it more often.",
        quantity="the exact mean",
        reference=lambda mu, tau, p, q, f: (p / q * f).mean(-1),
        evidence=Estimate(
            cases=({"mu": 0.0, "tau": 2.0}, {"mu": 1.0, "tau": 2.0}),
            truth=lambda mu, tau: mu**2 + 1,
            needs=0.02,
            noise=("p", "q", "f"),
            fresh=_weighed,
            count=100_000,
        ),
        symbols={
            "p(x_t)": lambda p, **_: p,
            "q(x_t)": lambda q, **_: q,
            "f(x_t)": lambda f, **_: f,
            "w": lambda p, q, **_: p / q,
            "N": lambda f, **_: torch.full_like(f[:, 0], f.shape[-1]),
        },
        cite="Kahn & Marshall 1953",
        near_misses=(
            NearMiss(
                r"\frac1N\sum_{n=1}^{N}f(x_n)",
                "the weights are missing: this is the mean under q, whose draws they are",
            ),
            NearMiss(
                r"\frac1N\sum_{n=1}^{N}\frac{q(x_n)}{p(x_n)}f(x_n)",
                "the weight is upside down: what q draws too often must count less",
            ),
            NearMiss(
                r"\frac1N\sum_{n=1}^{N}p(x_n)f(x_n)",
                "q is missing below: its draws already come more often where q is large",
            ),
            NearMiss(
                r"\frac{\sum_{n=1}^{N}w_nf(x_n)}{\sum_{n=1}^{N}w_n}",
                "this is divided by Σ w: it needs p up to a factor only, and for few draws it is "
                "biased",
            ),
            NearMiss(r"\sum_{n=1}^{N}\frac{p(x_n)}{q(x_n)}f(x_n)", "the 1/N is missing"),
        ),
    ),
    Equation(
        id="1.32",
        title="how many draws the weights are worth",
        lhs=r"N_{\mathrm{eff}}",
        rhs=r"\frac{\big(\sum_{n=1}^{N}w_n\big)^2}{\sum_{n=1}^{N}w_n^2}",
        meaning="N equal weights are worth N draws; one that outweighs all others is worth one.",
        quantity="the number",
        reference=lambda w: w.sum(-1) ** 2 / (w**2).sum(-1),
        evidence=Numeric(
            points(w=uniform(0.05, 2, 5)), {"w": [4.0, 1.0, 1.0, 1.0, 1.0]}, where="random weights"
        ),
        symbols={"N": lambda w: torch.full_like(w[:, 0], w.shape[-1])},
        definition=Definition(
            "derived from σ²/N_eff = the variance of Σ w_n f_n / Σ w_n (SymPy)",
            _worth,
            {"w": _WS, "N": _FIVE},
        ),
        cite="Kish 1965; Kong et al. 1994",
        near_misses=(
            NearMiss(
                r"\frac{\sum_{n=1}^{N}w_n^2}{\big(\sum_{n=1}^{N}w_n\big)^2}",
                "upside down: this is 1/N_eff",
            ),
            NearMiss(
                r"\frac{\sum_{n=1}^{N}w_n}{\sum_{n=1}^{N}w_n^2}",
                "the sum above is to be squared: else the number changes with the unit of w",
            ),
            NearMiss(
                r"\frac{1}{\sum_{n=1}^{N}w_n^2}",
                "right for weights that add up to 1; these do not",
            ),
            NearMiss("N", "this is how many there are; unequal weights are worth fewer"),
            NearMiss(
                r"\sum_{n=1}^{N}w_n", "this is the total weight: it says nothing of how even it is"
            ),
            NearMiss(
                lambda w: w.sum(-1) / w.amax(-1),
                "this is the total in units of the largest: a lower bound of it",
            ),
        ),
    ),
    Equation(
        id="1.33",
        title="when the error bar lies",
        lhs=r"\mathbb{E}_{x\sim q}\left[\Big(\frac{p(x)}{q(x)}\Big)^{2}\right]",
        rhs=r"\frac{\tau^2}{\sqrt{2\tau^2-1}}",
        meaning="p is N(0, 1) and q is N(0, τ²). For τ² ≤ ½ the mean square of the weights is "
        "infinite, though every sample of them has a finite standard error.",
        quantity="the mean square",
        reference=lambda tau: tau**2 / (2 * tau**2 - 1).sqrt(),
        evidence=Numeric(points(tau=uniform(0.75, 3)), {"tau": 1.0}),
        definition=Definition(
            "derived from ∫ p(x)²/q(x) dx (SymPy)",
            _second_moment,
            {"tau": _TAU_POSITIVE},
            {_TAU_POSITIVE: sympy.sqrt((_ABOVE_HALF + 1) / 2)},
        ),
        near_misses=(
            NearMiss(
                r"\frac{\tau}{\sqrt{2\tau^2-1}}",
                "one τ is missing: 1/q brings one, and the Gaussian integral another",
            ),
            NearMiss(
                r"\frac{\tau^2}{\sqrt{2-\tau^2}}",
                "p and q have changed places: this is infinite for wide q, and it is narrow ones "
                "that are dangerous",
            ),
            NearMiss(
                r"\frac{\tau^2}{2\tau^2-1}", "the root is missing: this is for two dimensions"
            ),
            NearMiss("1", "this is the mean of the weights; their mean square is never below it"),
            NearMiss(
                r"\frac{\tau^2}{\sqrt{2\tau^2+1}}",
                "the exponents are subtracted: q is divided by, and this would always be finite",
            ),
        ),
    ),
)

# -- exercises -------------------------------------------------------------------------------------

_AREA, _RATE, _KAPPA, _N = positive("a", "lambda", "kappa", "N")


def _on_pixels() -> sympy.Expr:
    """−∫ d log d over four pixels of the area a, where the density d is p/a all over a pixel."""
    return -_sum(lambda p: _AREA * (p / _AREA) * sympy.log(p / _AREA), _P)


def _of_exponentials() -> sympy.Expr:
    x = sympy.Symbol("x", positive=True)
    log_ratio = sympy.log(_RATE / _KAPPA) - (_RATE - _KAPPA) * x
    return sympy.integrate(_RATE * sympy.exp(-_RATE * x) * log_ratio, (x, 0, sympy.oo))


def _darts() -> sympy.Expr:
    """4 × the share of N darts in the quarter disc: each is 0 or 4, and is 4 with chance π/4."""
    chance = sympy.pi / 4
    return sympy.sqrt((16 * chance - (4 * chance) ** 2) / _N)


_EXERCISES = (
    Equation(
        id="1.x4",
        title="the entropy of a picture",
        lhs="H",
        rhs=r"-\sum_x p(x)\log p(x)+\log a",
        meaning="A picture as a density of the plane: p(x) is the share of the ink in pixel x, and "
        "the ink is spread evenly over the pixel's area a.",
        quantity="the entropy",
        reference=lambda p, a: _entropy(p) + a.log(),
        evidence=Numeric(
            points(p=simplex(4), a=uniform(0.01, 2)),
            {"p": [0.4, 0.3, 0.2, 0.1], "a": 0.25},
            where="random pictures of four pixels",
        ),
        symbols={"p(x)": lambda p, a: p},
        definition=Definition(
            "derived from −∫ d log d over four pixels, with the density d = p/a (SymPy)",
            _on_pixels,
            {"p": _P, "p(x)": _P, "a": _AREA},
            _ONE,
        ),
        near_misses=(
            NearMiss(
                r"-\sum_x p(x)\log p(x)",
                "the pixel's area is missing: a density is ink per area, p/a",
            ),
            NearMiss(
                r"-\sum_x p(x)\log p(x)-\log a",
                "the sign of log a: the finer the pixels, the higher the density, the less entropy",
            ),
            NearMiss(r"-a\sum_x p(x)\log p(x)", "the area belongs under the logarithm, with p"),
            NearMiss(
                r"-\sum_x\frac{p(x)}{a}\log\frac{p(x)}{a}",
                "the integral over a pixel brings a factor a, which cancels the one outside",
            ),
        ),
    ),
    Equation(
        id="1.x5",
        title="two waiting times compared",
        lhs=r"D_{\mathrm{KL}}\big(\mathrm{Exp}(\lambda)\,\Vert\,\mathrm{Exp}(\kappa)\big)",
        rhs=r"\log\frac{\lambda}{\kappa}+\frac{\kappa}{\lambda}-1",
        meaning="The divergence from the density λ·exp(−λx) to κ·exp(−κx).",
        quantity="the divergence",
        reference=lambda lam, kappa: torch.distributions.kl_divergence(
            torch.distributions.Exponential(lam), torch.distributions.Exponential(kappa)
        ),
        evidence=Numeric(
            points(lam=uniform(0.2, 3), kappa=uniform(0.2, 3)), {"lam": 2.0, "kappa": 1.0}
        ),
        symbols={"lambda": lambda lam, kappa: lam},
        definition=Definition(
            "derived from ∫ λ exp(−λx) log(λ exp(−λx)/κ exp(−κx)) dx (SymPy)",
            _of_exponentials,
            {"lam": _RATE, "lambda": _RATE, "kappa": _KAPPA},
        ),
        near_misses=(
            NearMiss(
                r"\log\frac{\kappa}{\lambda}+\frac{\lambda}{\kappa}-1",
                "this is the other direction, from κ to λ",
            ),
            NearMiss(
                r"\log\frac{\lambda}{\kappa}+\frac{\kappa}{\lambda}",
                "the −1 is missing: this is 1 where both are the same",
            ),
            NearMiss(
                r"\log\frac{\kappa}{\lambda}+\frac{\kappa}{\lambda}-1",
                "the fraction in the logarithm is upside down",
            ),
            NearMiss(
                r"\log\frac{\lambda}{\kappa}", "the mean of (κ − λ)x is missing; x has the mean 1/λ"
            ),
            NearMiss(
                r"\log\frac{\lambda}{\kappa}+\kappa-\lambda",
                "x is taken to be 1: its mean is 1/λ",
            ),
        ),
    ),
    Equation(
        id="1.x6",
        title="darts for π",
        lhs=r"\mathrm{SE}",
        rhs=r"\sqrt{\frac{\pi(4-\pi)}{N}}",
        meaning="N darts fall evenly on a square, and 4 times the share inside its quarter disc "
        "estimates π: the standard deviation of that estimate.",
        quantity="the standard deviation",
        reference=lambda N: (math.pi * (4 - math.pi) / N).sqrt(),
        evidence=Numeric(points(N=uniform(1, 10_000)), {"N": 100.0}),
        definition=Definition(
            "derived from the variance of a dart that scores 4 with chance π/4 (SymPy)",
            _darts,
            {"N": _N},
        ),
        near_misses=(
            NearMiss(
                r"\sqrt{\frac{\frac{\pi}{4}\left(1-\frac{\pi}{4}\right)}{N}}",
                "this is that of the share: the estimate is 4 times the share",
            ),
            NearMiss(
                r"\frac{\sqrt{\pi(4-\pi)}}{N}", "variances go with 1/N, so the error with 1/√N"
            ),
            NearMiss(r"\frac{\pi(4-\pi)}{N}", "this is the variance: the root is missing"),
            NearMiss(
                r"\frac{1}{\sqrt N}", "this takes a dart to score with the standard deviation 1"
            ),
            NearMiss(r"\sqrt{\pi(4-\pi)}", "this is that of one dart; N of them are averaged"),
        ),
    ),
)

EQUATIONS = (
    *_LIKELIHOOD, *_DIVERGENCES, *_JENSEN, *_MONTE_CARLO, *maps.EXERCISES, *_EXERCISES,
)  # fmt: skip
