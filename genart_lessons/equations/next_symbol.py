"""Chapter 05, second half: from logits to a symbol, one after the other, and the exercises.

Temperature, draws, top-k, top-p, greed and beams, then pixels as a sequence. A handful of logits is
the whole world here; where whole words matter, it is again the words of three letters.
"""

import math
from collections.abc import Callable

import sympy
import torch
from torch import Tensor
from torch.nn import functional as F

from genart_lessons.equations.derive import entries, positive, real, softmax
from genart_lessons.proof import Bound, Definition, Equation, Gradient, NearMiss, Numeric, Picks
from genart_lessons.proof.draws import bits, points, simplex, uniform, whole

Symbols = dict[str, Callable[..., Tensor]]

# -- temperature -----------------------------------------------------------------------------------

_ELL, _V = entries("ell", 4), sympy.Integer(4)
(_TAU,) = positive("tau")
_WARM = softmax([ell / _TAU for ell in _ELL])
_WARM_POINTS = points(logits=uniform(-3, 3, 4), tau=uniform(0.3, 3))
_WARM_EXAMPLE = {"logits": [math.log(4), math.log(2), 0.0, 0.0], "tau": 0.5}


def _warm(logits, tau):
    return (logits / tau.unsqueeze(-1)).softmax(-1)


def _entropy(logits, tau):
    return torch.special.entr(_warm(logits, tau)).sum(-1)


def _entropy_in_letters():
    """log Z − Σ p ℓ/τ."""
    total = sympy.Add(*(sympy.exp(ell / _TAU) for ell in _ELL))
    return sympy.log(total) - sympy.Add(
        *(p * ell / _TAU for p, ell in zip(_WARM, _ELL, strict=True))
    )


def _most_of_both():
    """The p with Σ p = 1 that makes Σ p ℓ + τ H(p) largest, by Lagrange."""
    p, (scale,) = sympy.Symbol("p", positive=True), real("lambda")
    raised = []
    for ell in _ELL:
        slope = sympy.diff(p * ell - _TAU * p * sympy.log(p) - scale * p, p)
        raised.append(sympy.expand(sympy.solve(slope, p)[0]))
    return tuple(entry / sympy.Add(*raised) for entry in raised)


def _spread(p, ell):
    mean = (p * ell).sum(-1, keepdim=True)
    return (p * (ell - mean) ** 2).sum(-1)


_TEMPERATURE = (
    Equation(
        id="5.16",
        title="softmax with a temperature",
        lhs="p_k",
        rhs=r"\frac{e^{\ell_k/\tau}}{\sum_{j=1}^{V}e^{\ell_j/\tau}}",
        meaning="Logits are divided by τ: below 1 the likely becomes likelier, above 1 all come "
        "nearer to each other.",
        quantity="the distribution",
        free_index="k",
        reference=_warm,
        evidence=Numeric(_WARM_POINTS, _WARM_EXAMPLE),
        symbols={
            "ell": lambda logits, tau: logits,
            "V": lambda logits, tau: torch.full_like(tau, 4),
        },
        definition=Definition(
            "derived by maximising Σ p ℓ + τ H(p) under Σ p = 1 (SymPy)",
            _most_of_both,
            {"logits": _ELL, "ell": _ELL, "tau": _TAU, "V": _V},
        ),
        cite="Ackley et al. 1985, eq. 2",
        near_misses=(
            NearMiss(
                r"\frac{e^{\tau\ell_k}}{\sum_j e^{\tau\ell_j}}",
                "the logits are multiplied by τ: they are divided, so that a high temperature "
                "levels",
            ),
            NearMiss(
                lambda logits, tau: (logits.softmax(-1) / tau.unsqueeze(-1)).softmax(-1),
                "the temperature is applied to probabilities, and softmax taken twice: divide the "
                "logits",
            ),
            NearMiss(
                lambda logits, tau: logits.softmax(-1) / tau.unsqueeze(-1),
                "the probabilities are divided by τ: these do not sum to 1. Divide the logits, "
                "before the softmax",
            ),
            NearMiss(
                r"e^{\ell_k/\tau}", "it is not normalised: divide by the sum over all symbols"
            ),
            NearMiss(
                r"\frac{e^{\ell_k/\tau}}{\sum_j e^{\ell_j}}",
                "τ is missing below the line: these do not sum to 1",
            ),
            NearMiss(r"\frac{e^{\ell_k}}{\sum_j e^{\ell_j}}", "τ is not used: this is τ = 1"),
        ),
    ),
    Equation(
        id="5.17",
        title="temperature buys entropy",
        lhs=r"\frac{\partial H}{\partial\tau}",
        rhs=r"\frac{1}{\tau^3}\sum_{k=1}^{V}p_k\,(\ell_k-\bar{\ell})^2",
        meaning="A draw becomes more uncertain as τ grows, as long as the logits differ; p is "
        "(5.16), and ℓ̄ the mean of ℓ under p.",
        quantity="the derivative",
        reference=lambda logits, tau: _spread(_warm(logits, tau), logits) / tau**3,
        evidence=Gradient(_WARM_POINTS, _WARM_EXAMPLE, of=_entropy, wrt="tau"),
        symbols={
            "ell": lambda logits, tau: logits,
            "p": _warm,
            "ell_bar": lambda logits, tau: (_warm(logits, tau) * logits).sum(-1),
            "V": lambda logits, tau: torch.full_like(tau, 4),
        },
        definition=Definition(
            "derived by differentiating the entropy of softmax(ℓ/τ) (SymPy)",
            lambda: sympy.diff(_entropy_in_letters(), _TAU),
            {
                "logits": _ELL,
                "ell": _ELL,
                "tau": _TAU,
                "p": _WARM,
                "ell_bar": sympy.Add(*(p * ell for p, ell in zip(_WARM, _ELL, strict=True))),
                "V": _V,
            },
        ),
        cite="Gibbs 1902, chapter VII (fluctuations)",
        near_misses=(
            NearMiss(
                r"\frac{1}{\tau^2}\sum_{k=1}^{V}p_k(\ell_k-\bar{\ell})^2",
                "τ² is one factor short: that is how fast the mean of ℓ falls",
            ),
            NearMiss(
                r"\frac{1}{\tau}\sum_{k=1}^{V}p_k(\ell_k-\bar{\ell})^2",
                "two factors of τ are missing: ℓ stands under τ twice, in p and in log p",
            ),
            NearMiss(
                r"-\frac{1}{\tau^3}\sum_{k=1}^{V}p_k(\ell_k-\bar{\ell})^2",
                "the sign is turned round: heat makes a draw less certain",
            ),
            NearMiss(
                lambda logits, tau: logits.var(-1, unbiased=False) / tau**3,
                "every logit counts alike: weigh each by how probable its symbol is",
            ),
            NearMiss(
                r"\frac{1}{\tau^3}\sqrt{\sum_{k=1}^{V}p_k(\ell_k-\bar{\ell})^2}",
                "this has the standard deviation; it is the variance",
            ),
        ),
    ),
)

# -- drawing, and cutting off the tail -------------------------------------------------------------

_CASES = (
    {"logits": [0.5, 1.5, -0.5, 0.0]},
    {"logits": [-1.0, 0.3, 0.2, 2.0]},
    {"logits": [1.0, -2.0, 0.8, 0.9]},
)


def _inverse(p, u):
    """The first symbol at which the running sum of p exceeds u; (P,)."""
    return (u.unsqueeze(-1) >= p.cumsum(-1)[:, :-1]).sum(-1)


def _kept(p, keep):
    """p with what is not kept set to 0, and the rest divided by its sum."""
    p = p * keep
    return p / p.sum(-1, keepdim=True)


def _rank(p):
    """How many symbols are more probable than each."""
    return (p.unsqueeze(-2) > p.unsqueeze(-1)).sum(-1)


def _mass_above(p):
    """The probability of all symbols that are more probable than each."""
    return (p.unsqueeze(-2) * (p.unsqueeze(-2) > p.unsqueeze(-1))).sum(-1)


_NUCLEUS_LAW = points(p=simplex(6), rho=uniform(0.2, 0.95))


def _nucleus(p, rho):
    return _kept(p, _mass_above(p) < rho.unsqueeze(-1))


def _mass_up_to(p):
    return _mass_above(p) + p


_DRAWING = (
    Equation(
        id="5.18",
        title="a draw",
        lhs="x",
        rhs=r"\min\Big\{k:\;u<\sum_{j\le k}p_j\Big\}",
        meaning="Lay the probabilities end to end, and see in which of them a uniform u falls: "
        "each symbol comes as often as its probability says, the unlikely ones too.",
        quantity="the symbol",
        reference=lambda logits, u: _inverse(logits.softmax(-1), u),
        evidence=Picks(_CASES, law=lambda logits: logits.softmax(-1)),
        typeset_only="a draw is a symbol, found by looking where u falls",
        sources=("S8",),
        cite="von Neumann 1951",
        near_misses=(
            NearMiss(
                lambda logits, u: logits.argmax(-1),
                "this is the most likely symbol, every time: no draw at all. A draw is the most "
                "likely symbol only as often as that symbol's probability says",
                source="S8",
            ),
            NearMiss(
                lambda logits, u: (u * 4).floor(),
                "every symbol comes equally often, whatever the logits say",
            ),
            NearMiss(
                lambda logits, u: _inverse(_kept(logits.softmax(-1), _rank(logits) < 2), u),
                "this draws from the two most likely symbols only: top-k is another law",
                source="S8",
            ),
            NearMiss(
                lambda logits, u: _inverse(logits.softmax(-1).softmax(-1), u),
                "softmax is taken twice: nearly every symbol comes equally often",
            ),
            NearMiss(
                lambda logits, u: _inverse(logits.softmax(-1), u) + 1,
                "symbols are counted from 0: this is one too high each time",
            ),
            NearMiss(
                lambda logits, u: _inverse(logits.softmax(-1).sort(descending=True)[0], u),
                "this is the place in the sorted list, not the symbol that stands there",
            ),
        ),
    ),
    Equation(
        id="5.19",
        title="top-k",
        lhs=r"\tilde{p}_i",
        rhs=r"\frac{1}{Z}\,p_i\,\big[\#\{j:\,p_j>p_i\}<k\big]",
        meaning="The k most probable symbols are kept (here k = 3), and still drawn from: Z makes "
        "them sum to one.",
        quantity="the distribution",
        reference=lambda logits: _kept(logits.softmax(-1), _rank(logits) < 3),
        evidence=Numeric(
            points(logits=uniform(-3, 3, 6)),
            {"logits": [0.0, math.log(4), math.log(2), -1.0, math.log(3), -2.0]},
        ),
        typeset_only="which symbols are kept depends on their order",
        sources=("S8",),
        cite="Fan et al. 2018",
        near_misses=(
            NearMiss(
                lambda logits: logits.softmax(-1) * (_rank(logits) < 3),
                "what is left does not sum to 1: divide by its sum",
            ),
            NearMiss(
                lambda logits: (logits * (_rank(logits) < 3)).softmax(-1),
                "the logits that are dropped are set to 0, and e⁰ = 1 is no small weight: set them "
                "to −∞",
            ),
            NearMiss(
                lambda logits: _kept(logits.softmax(-1), _rank(logits) < 2),
                "one symbol too few: the k-th most probable one is kept too",
            ),
            NearMiss(
                lambda logits: _kept(logits.softmax(-1), _rank(logits) < 4),
                "one symbol too many: k of them are kept",
            ),
            NearMiss(
                lambda logits: _kept(logits.softmax(-1), _rank(-logits) < 3),
                "these are the k least probable symbols: the order is turned round",
            ),
            NearMiss(
                lambda logits: (_rank(logits) < 1).to(logits.dtype),
                "this is certain of the most likely symbol: top-k keeps k of them, and draws",
                source="S8",
            ),
        ),
    ),
    Equation(
        id="5.20",
        title="top-p",
        lhs=r"\tilde{p}_i",
        rhs=r"\frac{1}{Z}\,p_i\,\Big[\sum_{j:\,p_j>p_i}p_j<\rho\Big]",
        meaning="From the most probable symbol on, as many are kept as it takes to hold the mass "
        "ρ: few where the model is sure, many where it is not.",
        quantity="the distribution",
        reference=_nucleus,
        evidence=Numeric(_NUCLEUS_LAW, {"p": [0.1, 0.4, 0.05, 0.3, 0.05, 0.1], "rho": 0.6}),
        typeset_only="which symbols are kept depends on their order",
        sources=("S8",),
        cite="Holtzman et al. 2020, section 3.1",
        near_misses=(
            NearMiss(
                lambda p, rho: _kept(p, _mass_up_to(p) <= rho.unsqueeze(-1)),
                "the symbol that crosses ρ is left out, so less than ρ is kept, and nothing at all "
                "where one symbol alone is above ρ: it belongs to the set",
            ),
            NearMiss(
                lambda p, rho: _kept(p, (_mass_up_to(p) <= rho.unsqueeze(-1)) | (_rank(p) == 0)),
                "the symbol that crosses ρ is left out (unless it is the first), so less than ρ is "
                "kept: it belongs to the set",
            ),
            NearMiss(
                lambda p, rho: p * (_mass_above(p) < rho.unsqueeze(-1)),
                "what is left does not sum to 1: divide by its sum",
            ),
            NearMiss(
                lambda p, rho: _kept(p, p >= rho.unsqueeze(-1)),
                "ρ is held against single probabilities: it is the mass that they have together",
            ),
            NearMiss(
                lambda p, rho: _nucleus(p.sort(descending=True)[0], rho),
                "the right set, but left in sorted order: put each probability back in its place",
            ),
            NearMiss(
                lambda p, rho: _kept(p, _mass_above(-p).neg() < rho.unsqueeze(-1)),
                "the mass is counted from the least probable symbol on: begin with the most "
                "probable",
            ),
            NearMiss(
                lambda p, rho: _kept(p, _rank(p) < (6 * rho).ceil().unsqueeze(-1)),
                "ρ is taken for a share of the alphabet: it is a share of the probability",
            ),
        ),
    ),
)

# -- searching: greed and beams --------------------------------------------------------------------

_LAW = points(p1=simplex(2), p2=simplex(2, 2), p3=simplex(2, 2, 2))
_LAW_EXAMPLE = {
    "p1": [0.6, 0.4],
    "p2": [[0.55, 0.45], [0.1, 0.9]],
    "p3": [[[0.6, 0.4], [0.5, 0.5]], [[0.5, 0.5], [0.1, 0.9]]],
}


def _joint(p1, p2, p3):
    return p1[:, :, None, None] * p2[:, :, :, None] * p3


def _best_word(p1, p2, p3):
    return _joint(p1, p2, p3).amax((1, 2, 3))


def _greedy(p1, p2, p3):
    n, first = torch.arange(len(p1)), p1.argmax(-1)
    second = p2[n, first].argmax(-1)
    return p1[n, first] * p2[n, first, second] * p3[n, first, second].amax(-1)


def _best_marginals(p1, p2, p3):
    joint = _joint(p1, p2, p3)
    return math.prod(joint.sum(axes).amax(-1) for axes in ((2, 3), (1, 3), (1, 2)))


def _forgetful(tables):
    """A law in which no letter depends on those before it: there greed is right."""
    p1, p2, p3 = (tables[name] for name in ("p1", "p2", "p3"))
    return {
        "p1": p1,
        "p2": p2[:, :1].expand_as(p2).clone(),
        "p3": p3[:, :1, :1].expand_as(p3).clone(),
    }


_SO_FAR, _STEP_P = positive("m", "c")

_SEARCH = (
    Equation(
        id="5.21",
        title="greed is no search",
        lhs=r"\max_{x}\,p(x)",
        relation=r"\ge",
        rhs=r"\prod_{t=1}^{T}\max_{k}\,p(k\mid\hat{x}_{<t})",
        meaning="To take the most likely letter each time is not to find the most likely word: x̂ "
        "is what greed itself has written so far.",
        quantity="the best word's probability",
        reference=_greedy,
        evidence=Bound(
            _LAW,
            of=_best_word,
            tight=_forgetful,
            of_words="the best word's probability",
            tight_words="no letter depends on those before it",
            example=_LAW_EXAMPLE,
            where="random worlds of three letters",
        ),
        typeset_only="what greed reads depends on what it has chosen",
        sources=("S8",),
        cite="Lowerre 1976",
        near_misses=(
            NearMiss(
                lambda p1, p2, p3: p1.amax(-1) * p2.amax((1, 2)) * p3.amax((1, 2, 3)),
                "the best letter after the best of all beginnings, at each step: greed has only "
                "the beginning that it wrote, and this is the probability of no word",
            ),
            NearMiss(
                _best_word,
                "this is the best of all words, by trying them all: greed follows one path only",
                source="S8",
            ),
            NearMiss(
                _best_marginals,
                "each letter is the most frequent at its place, whatever came before: this is the "
                "probability of no word",
            ),
        ),
    ),
    Equation(
        id="5.22",
        title="the score of a beam",
        lhs="s_t",
        rhs=r"s_{t-1}+\log p(x_t\mid x_{<t})",
        meaning="A beam's score is the log-probability of all that it has written so far.",
        quantity="the score",
        reference=lambda s, log_p: s + log_p,
        evidence=Numeric(
            points(s=uniform(-12, -1), log_p=uniform(-4, -0.02)),
            {"s": math.log(0.25), "log_p": math.log(0.5)},
        ),
        symbols={
            "s_t-1": lambda s, log_p: s,
            "p(x_t|x_<t)": lambda s, log_p: log_p.exp(),
            "p(x_<t)": lambda s, log_p: s.exp(),
        },
        definition=Definition(
            "derived as the logarithm of p(x_<t) p(x_t|x_<t) (SymPy)",
            lambda: sympy.log(_SO_FAR * _STEP_P),
            {
                "s": sympy.log(_SO_FAR),
                "s_t-1": sympy.log(_SO_FAR),
                "log_p": sympy.log(_STEP_P),
                "p(x_t|x_<t)": _STEP_P,
                "p(x_<t)": _SO_FAR,
            },
        ),
        sources=("S8",),
        cite="Graves 2012",
        near_misses=(
            NearMiss(
                r"\log p(x_t\mid x_{<t})",
                "the score is not accumulated: this looks at the last symbol only, and so the "
                "beams forget how they got there",
                source="S8",
            ),
            NearMiss(
                r"s_{t-1}+p(x_t\mid x_{<t})",
                "a probability is added to a logarithm: add its logarithm",
            ),
            NearMiss(
                r"s_{t-1}\log p(x_t\mid x_{<t})",
                "the logarithms are multiplied: probabilities multiply, so their logarithms add up",
            ),
            NearMiss(
                r"\log\left(p(x_{<t})+p(x_t\mid x_{<t})\right)",
                "the probabilities are added: along one path they are multiplied",
            ),
            NearMiss(
                r"\frac12\left(s_{t-1}+\log p(x_t\mid x_{<t})\right)",
                "the mean of the old score and the new symbol: each symbol would count half as "
                "much as the one after it",
            ),
            NearMiss(
                r"s_{t-1}-\log p(x_t\mid x_{<t})",
                "the sign is turned round: the less likely the symbol, the better the beam",
            ),
        ),
    ),
)

# -- a picture is a sequence too -------------------------------------------------------------------

_X = entries("x", 4)


def _sigmoid(ell):
    return 1 / (1 + sympy.exp(-ell))


def _ink(x, ell):
    """log pˣ(1−p)¹⁻ˣ of one pixel in letters; 1 − sigmoid(ℓ) is sigmoid(−ℓ)."""
    return sympy.expand_log(sympy.log(_sigmoid(ell) ** x * _sigmoid(-ell) ** (1 - x)))


def _pixel_log_likelihood(logits, x):
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


_PIXELS = (
    Equation(
        id="5.23",
        title="a picture, pixel by pixel",
        lhs=r"\log p(x)",
        rhs=r"\sum_{i=1}^{D}\big(x_i\log p_i+(1-x_i)\log(1-p_i)\big)",
        meaning="The exact log-likelihood: pixel i is ink with a probability p_i = sigmoid(ℓ_i) "
        "that was computed from the pixels before it.",
        quantity="the log-likelihood",
        reference=_pixel_log_likelihood,
        evidence=Numeric(
            points(logits=uniform(-4, 4, 4), x=bits(4)),
            {"logits": [0.0, 0.0, math.log(3), 0.0], "x": [1.0, 0.0, 1.0, 0.0]},
            where="random pictures of four pixels",
        ),
        symbols={
            "p": lambda logits, x: logits.sigmoid(),
            "ell": lambda logits, x: logits,
            "D": lambda logits, x: torch.full_like(x[:, 0], 4),
        },
        definition=Definition(
            "derived as the logarithm of ∏ pˣ(1−p)¹⁻ˣ over 4 pixels (SymPy)",
            lambda: sympy.Add(*(_ink(x, ell) for x, ell in zip(_X, _ELL, strict=True))),
            {
                "x": _X,
                "logits": _ELL,
                "ell": _ELL,
                "p": tuple(map(_sigmoid, _ELL)),
                "D": sympy.Integer(4),
            },
            {x**2: x for x in _X},
        ),
        cite="Larochelle & Murray 2011",
        near_misses=(
            NearMiss(
                r"\sum_{i=1}^{D}x_i\log p_i",
                "the empty pixels are missing: a pixel without ink was foreseen or not, too",
            ),
            NearMiss(
                r"-\sum_{i=1}^{D}\big(x_i\log p_i+(1-x_i)\log(1-p_i)\big)",
                "this is the cross-entropy, minus the log-likelihood: it is what one minimises",
            ),
            NearMiss(
                r"\frac1D\sum_{i=1}^{D}\big(x_i\log p_i+(1-x_i)\log(1-p_i)\big)",
                "the mean over pixels is taken: the log-likelihood of a picture is the sum",
            ),
            NearMiss(
                r"\sum_{i=1}^{D}\big(x_i\log_2 p_i+(1-x_i)\log_2(1-p_i)\big)",
                "this is in bits; the log-likelihood is in nats, like the bound that it is set "
                "beside",
            ),
            NearMiss(
                r"\sum_{i=1}^{D}\big((1-x_i)\log p_i+x_i\log(1-p_i)\big)",
                "ink and paper have changed places",
            ),
        ),
    ),
)

# -- exercises -------------------------------------------------------------------------------------

(_SIZE,) = positive("V")
_C = entries("c", 4, above_zero=True)
_TEXT = points(logits=uniform(-3, 3, 4, 3), targets=whole(3, 4))


def _log_steps(logits, targets):
    return logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def _whole_sizes(generator, count):
    return torch.randint(2, 257, (count,), generator=generator).double()


def _any_law(generator, count):
    return simplex(8)(generator, count).reshape(count, 2, 2, 2)


def _marginal(places: str):
    """The probability of the word's letters at these places: p(x_1, x_3) is "13"."""

    def read(joint, x):
        gone = [k + 1 for k in range(3) if str(k + 1) not in places]
        table = joint.sum(gone, keepdim=True) if gone else joint
        table = table.expand_as(joint)
        n, (a, b, c) = torch.arange(len(x)), x.unbind(-1)
        return table[n, a, b, c]

    return read


def _given(place: str, known: str):
    both = "".join(sorted(place + known))
    return lambda joint, x: _marginal(both)(joint, x) / _marginal(known)(joint, x)


_PLACES = ("1", "2", "3", "12", "13", "23", "123")
_M = {places: sympy.Symbol(f"m_{places}", positive=True) for places in _PLACES}
_BACKWARDS: Symbols = {
    "p(x_1)": _marginal("1"),
    "p(x_2)": _marginal("2"),
    "p(x_3)": _marginal("3"),
    "p(x_2|x_3)": _given("2", "3"),
    "p(x_1|x_2,x_3)": _given("1", "23"),
    "p(x_1|x_2)": _given("1", "2"),
    "p(x_1|x_3)": _given("1", "3"),
    "p(x_1,x_2)": _marginal("12"),
    "p(x_1,x_3)": _marginal("13"),
    "p(x_2,x_3)": _marginal("23"),
    "p(x_1,x_2,x_3)": _marginal("123"),
}
_BACKWARDS_LETTERS = {
    "p(x_1)": _M["1"],
    "p(x_2)": _M["2"],
    "p(x_3)": _M["3"],
    "p(x_2|x_3)": _M["23"] / _M["3"],
    "p(x_1|x_2,x_3)": _M["123"] / _M["23"],
    "p(x_1|x_2)": _M["12"] / _M["2"],
    "p(x_1|x_3)": _M["13"] / _M["3"],
    "p(x_1,x_2)": _M["12"],
    "p(x_1,x_3)": _M["13"],
    "p(x_2,x_3)": _M["23"],
    "p(x_1,x_2,x_3)": _M["123"],
}


def _whole_floats(most, *shape):
    return lambda generator, count: torch.randint(
        most + 1, (count, *shape), generator=generator
    ).double()


def _bigram(counts, alpha, axes=-1):
    more = counts + alpha[:, None, None]
    return more / more.sum(axes, keepdim=True)


def _extended(scores, log_p):
    return (scores.unsqueeze(-1) + log_p).flatten(1)


def _warm_nucleus(logits, tau, rho):
    return _nucleus(_warm(logits, tau), rho)


_EXERCISES = (
    Equation(
        id="5.x1",
        title="the bits of a guesser",
        lhs="b",
        rhs=r"\log_2 V",
        meaning="Bits per character of a model that gives each of V symbols the same chance.",
        quantity="the number of bits per character",
        reference=lambda V: V.log2(),
        evidence=Numeric(points(V=_whole_sizes), {"V": 8.0}, where="alphabets of 2 to 256 symbols"),
        definition=Definition(
            "derived from −log₂(1/V) (SymPy)", lambda: -sympy.log(1 / _SIZE, 2), {"V": _SIZE}
        ),
        near_misses=(
            NearMiss(r"\log V", "this is in nats: divide by log 2, or take log to base 2"),
            NearMiss("V", "this is the perplexity: its logarithm to base 2 is the bits"),
            NearMiss(r"\log_2\frac1V", "the sign is turned round: a cost is not negative"),
            NearMiss(r"\frac1V", "this is the probability of each symbol: −log₂ of it is its cost"),
            NearMiss(r"\frac{\log_2 V}{V}", "it is divided by V again: this is one symbol's share"),
            NearMiss(r"\log_{10}V", "this is to base 10: a bit is to base 2"),
        ),
    ),
    Equation(
        id="5.x2",
        title="perplexity in code",
        lhs=r"\mathrm{PPL}",
        rhs=r"\exp\left(-\frac{1}{T}\sum_{t=1}^{T}\log p(x_t\mid x_{<t})\right)",
        meaning="Write (5.8) as code, from logits and the symbols that came.",
        quantity="the perplexity",
        reference=lambda logits, targets: (-_log_steps(logits, targets).mean(-1)).exp(),
        evidence=Numeric(
            _TEXT,
            {"logits": [[0.0, 0.0, math.log(2)]] * 4, "targets": [2, 2, 0, 1]},
            where="random texts of four symbols",
        ),
        symbols={
            "p(x_t|x_<t)": lambda logits, targets: _log_steps(logits, targets).exp(),
            "T": lambda logits, targets: torch.full_like(logits[:, 0, 0], 4),
        },
        definition=Definition(
            "derived as the geometric mean of 1/p (SymPy)",
            lambda: sympy.expand_power_base(sympy.Mul(*_C) ** sympy.Rational(-1, 4)),
            {"p(x_t|x_<t)": _C, "T": sympy.Integer(4)},
        ),
        near_misses=(
            NearMiss(
                lambda logits, targets: torch.exp2(-_log_steps(logits, targets).mean(-1)),
                "the bases are mixed: 2 is raised to nats. It is e to the nats, or 2 to the bits",
            ),
            NearMiss(
                lambda logits, targets: (-_log_steps(logits, targets).mean(-1) / math.log(2)).exp(),
                "the bases are mixed: e is raised to bits. It is 2 to the bits, or e to the nats",
            ),
            NearMiss(
                lambda logits, targets: (-_log_steps(logits, targets).sum(-1)).exp(),
                "the sum stands where the mean belongs: this grows with the length of the text",
            ),
            NearMiss(
                lambda logits, targets: _log_steps(logits, targets).mean(-1).exp(),
                "the minus sign is missing: this is one over the perplexity",
            ),
            NearMiss(
                lambda logits, targets: -_log_steps(logits, targets).mean(-1),
                "this is the cross-entropy in nats: the exponential is missing",
            ),
            NearMiss(
                lambda logits, targets: (-_log_steps(logits, targets)).exp().mean(-1),
                "this is the arithmetic mean of 1/p: average the logarithms first",
            ),
            NearMiss(
                lambda logits, targets: (
                    -logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1).mean(-1)
                ).exp(),
                "the logits are taken for log-probabilities: log_softmax is missing",
            ),
            NearMiss(
                lambda logits, targets: (
                    -logits.log_softmax(1).gather(-1, targets.unsqueeze(-1)).squeeze(-1).mean(-1)
                ).exp(),
                "the softmax runs over the steps: it belongs to the last axis, the symbols",
            ),
        ),
    ),
    Equation(
        id="5.x3",
        title="the chain rule from the end",
        lhs=r"p(x_1,x_2,x_3)",
        rhs=r"p(x_3)\,p(x_2\mid x_3)\,p(x_1\mid x_2,x_3)",
        meaning="The same word, read from its last letter to its first.",
        quantity="the probability",
        reference=_marginal("123"),
        evidence=Numeric(
            points(joint=_any_law, x=whole(2, 3)),
            {"joint": [[[0.05, 0.2], [0.1, 0.15]], [[0.2, 0.05], [0.15, 0.1]]], "x": [0, 1, 1]},
            where="random words in random worlds of three letters",
        ),
        symbols=_BACKWARDS,
        definition=Definition(
            "proved from p(a|b) = p(a,b)/p(b) (SymPy)", lambda: _M["123"], _BACKWARDS_LETTERS
        ),
        sources=("B6",),
        near_misses=(
            NearMiss(
                r"p(x_3)\,p(x_2\mid x_3)\,p(x_1\mid x_2)",
                "x₁ is given x₂ only: it must be given everything that was read before, x₃ too",
            ),
            NearMiss(
                r"p(x_3)\,p(x_2\mid x_3)\,p(x_1\mid x_3)",
                "x₁ is given x₃ only: it must be given everything that was read before, x₂ too",
            ),
            NearMiss(
                r"p(x_3)\,p(x_2)\,p(x_1)", "the letters are taken to be independent of each other"
            ),
            NearMiss(
                r"p(x_2\mid x_3)\,p(x_1\mid x_2,x_3)",
                "the first factor is missing, the probability of x₃ itself",
            ),
            NearMiss(
                r"p(x_1)\,p(x_2\mid x_3)\,p(x_1\mid x_2,x_3)",
                "the first factor is that of the letter one begins with, x₃",
            ),
        ),
    ),
    Equation(
        id="5.x4",
        title="a table of pairs",
        lhs=r"p(b\mid a)",
        rhs=r"\frac{c_{ab}+\alpha}{\sum_{b'}c_{ab'}+\alpha V}",
        meaning="Add-α for every context a at once: counts[n, a, b] is how often b followed a.",
        quantity="the table",
        reference=_bigram,
        evidence=Numeric(
            points(counts=_whole_floats(9, 3, 3), alpha=uniform(0.05, 2)),
            {"counts": [[4.0, 0.0, 1.0], [0.0, 0.0, 0.0], [2.0, 2.0, 0.0]], "alpha": 0.5},
            where="random tables of counts",
        ),
        typeset_only="it is a table of pairs at every point",
        near_misses=(
            NearMiss(
                lambda counts, alpha: _bigram(counts, alpha, -2),
                "the columns sum to 1: this is p(a|b), which symbol came before. Sum over the "
                "symbol that follows, dim=-1",
            ),
            NearMiss(
                lambda counts, alpha: _bigram(counts, alpha, (-2, -1)),
                "the whole table sums to 1: these are pairs, p(a,b). Each row must sum to 1",
            ),
            NearMiss(
                lambda counts, alpha: (
                    (counts + alpha[:, None, None])
                    / (counts.sum(-1, keepdim=True) + alpha[:, None, None])
                ),
                "V is forgotten: α is added once for each of the V symbols of a row",
            ),
            NearMiss(
                lambda counts, alpha: counts / counts.sum(-1, keepdim=True),
                "α is not used: a context that was never seen gives 0/0",
            ),
            NearMiss(
                lambda counts, alpha: _bigram(counts, torch.ones_like(alpha)),
                "1 is added, whatever α is",
            ),
            NearMiss(
                lambda counts, alpha: _bigram(counts, alpha).mT,
                "rows and columns have changed places: counts[n, a, b] is b after a",
            ),
        ),
    ),
    Equation(
        id="5.x5",
        title="a draw at temperature τ",
        lhs="x",
        rhs=r"\min\Big\{k:\;u<\sum_{j\le k}p_j\Big\}",
        meaning="A draw from (5.16): turn one uniform u into one symbol, for every row.",
        quantity="the symbol",
        reference=lambda logits, tau, u: _inverse(_warm(logits, tau), u),
        evidence=Picks(
            (
                {"logits": [0.5, 1.5, -0.5, 0.0], "tau": 0.5},
                {"logits": [-1.0, 0.3, 0.2, 2.0], "tau": 2.0},
                {"logits": [1.0, -2.0, 0.8, 0.9], "tau": 1.0},
            ),
            law=_warm,
        ),
        typeset_only="a draw is a symbol, found by looking where u falls",
        sources=("S8",),
        near_misses=(
            NearMiss(
                lambda logits, tau, u: logits.argmax(-1),
                "this is the most likely symbol, every time: no temperature changes that, and it "
                "is no draw",
                source="S8",
            ),
            NearMiss(
                lambda logits, tau, u: _inverse(logits.softmax(-1), u),
                "τ is not used: this is τ = 1",
            ),
            NearMiss(
                lambda logits, tau, u: _inverse((logits * tau.unsqueeze(-1)).softmax(-1), u),
                "the logits are multiplied by τ: divide them",
            ),
            NearMiss(
                lambda logits, tau, u: _inverse(
                    (logits.softmax(-1) / tau.unsqueeze(-1)).softmax(-1), u
                ),
                "the temperature is applied to probabilities, and softmax taken twice: divide the "
                "logits",
            ),
            NearMiss(
                lambda logits, tau, u: _inverse(_warm(logits, tau), u) + 1,
                "symbols are counted from 0: this is one too high each time",
            ),
        ),
    ),
    Equation(
        id="5.x6",
        title="temperature, then top-p",
        lhs=r"\tilde{p}_i",
        rhs=r"\frac{1}{Z}\,p_i\,\Big[\sum_{j:\,p_j>p_i}p_j<\rho\Big]",
        meaning="What a sampler does to logits before it draws: (5.16) first, then (5.20).",
        quantity="the distribution",
        reference=_warm_nucleus,
        evidence=Numeric(
            points(logits=uniform(-3, 3, 6), tau=uniform(0.4, 2.5), rho=uniform(0.2, 0.95)),
            {
                "logits": [0.0, math.log(4), math.log(2), 0.0, math.log(3), -2.0],
                "tau": 0.5,
                "rho": 0.8,
            },
        ),
        typeset_only="which symbols are kept depends on their order",
        sources=("S8",),
        near_misses=(
            NearMiss(
                lambda logits, tau, rho: _kept(
                    _warm(logits, tau),
                    _mass_above(logits.softmax(-1)) < rho.unsqueeze(-1),
                ),
                "the set is chosen before the temperature is applied: a cooler model needs fewer "
                "symbols for the same mass",
            ),
            NearMiss(
                lambda logits, tau, rho: _kept(
                    _warm(logits, tau), _mass_up_to(_warm(logits, tau)) <= rho.unsqueeze(-1)
                ),
                "the symbol that crosses ρ is left out, and nothing is kept where one symbol alone "
                "is above ρ: it belongs to the set",
            ),
            NearMiss(
                lambda logits, tau, rho: _kept(
                    _warm(logits, tau),
                    (_mass_up_to(_warm(logits, tau)) <= rho.unsqueeze(-1)) | (_rank(logits) == 0),
                ),
                "the symbol that crosses ρ is left out (unless it is the first): it belongs to the "
                "set",
            ),
            NearMiss(
                lambda logits, tau, rho: _warm_nucleus(logits, 1 / tau, rho),
                "the logits are multiplied by τ: divide them",
            ),
            NearMiss(
                lambda logits, tau, rho: _nucleus(logits.softmax(-1), rho),
                "τ is not used: this is τ = 1",
            ),
            NearMiss(
                lambda logits, tau, rho: (
                    _warm(logits, tau) * (_mass_above(_warm(logits, tau)) < rho.unsqueeze(-1))
                ),
                "what is left does not sum to 1: divide by its sum",
            ),
            NearMiss(
                lambda logits, tau, rho: _nucleus(_warm(logits, tau).sort(descending=True)[0], rho),
                "the right set, but left in sorted order: put each probability back in its place",
            ),
        ),
    ),
    Equation(
        id="5.x7",
        title="one step of beam search",
        lhs=r"s_t",
        rhs=r"\mathrm{top}_B\,\{s_{t-1}^{(b)}+\log p_b(k)\}_{b,k}",
        meaning="Extend each of B beams by every symbol, and keep the B best of them all.",
        quantity="the row of scores",
        reference=lambda scores, log_p: _extended(scores, log_p).topk(3)[0],
        evidence=Numeric(
            points(
                scores=uniform(-6, -1, 3),
                log_p=lambda generator, count: simplex(3, 4)(generator, count).log(),
            ),
            {
                "scores": [math.log(0.5), math.log(0.3), math.log(0.1)],
                "log_p": [
                    [math.log(p) for p in row]
                    for row in ([0.3, 0.3, 0.2, 0.2], [0.9, 0.05, 0.03, 0.02], [0.7, 0.1, 0.1, 0.1])
                ],
            },
            where="random beams",
        ),
        typeset_only="which beams are kept depends on their order",
        sources=("S8",),
        near_misses=(
            NearMiss(
                lambda scores, log_p: log_p.flatten(1).topk(3)[0],
                "the scores so far are not added: this compares last symbols, not what was written",
                source="S8",
            ),
            NearMiss(
                lambda scores, log_p: (scores + log_p.amax(-1)).sort(descending=True)[0],
                "each beam keeps its own best symbol: the best B are chosen among all extensions, "
                "and one beam may have several of them",
            ),
            NearMiss(
                lambda scores, log_p: scores + log_p.amax(-1),
                "each beam keeps its own best symbol, and they are not sorted: the best B are "
                "chosen among all extensions",
            ),
            NearMiss(
                lambda scores, log_p: (
                    scores.amax(-1, keepdim=True)
                    + log_p[torch.arange(len(scores)), scores.argmax(-1)].topk(3)[0]
                ),
                "only the best beam is extended: the others may overtake it",
            ),
            NearMiss(
                lambda scores, log_p: (scores.unsqueeze(-1) + log_p.exp()).flatten(1).topk(3)[0],
                "probabilities are added to logarithms: add their logarithms",
            ),
            NearMiss(
                lambda scores, log_p: (scores.unsqueeze(-1) * log_p).flatten(1).topk(3)[0],
                "the logarithms are multiplied: they add up",
            ),
            NearMiss(
                lambda scores, log_p: _extended(scores, log_p).topk(3, largest=False)[0],
                "these are the B worst extensions",
            ),
        ),
    ),
)

EQUATIONS = (*_TEMPERATURE, *_DRAWING, *_SEARCH, *_PIXELS, *_EXERCISES)
