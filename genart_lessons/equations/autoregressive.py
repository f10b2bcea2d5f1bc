"""Chapter 05, autoregressive models: the chain rule, what likelihood means, counts and recurrence.

The known truth is a *word world*: words of three letters over the alphabet {0, 1}, given as tables
p1 = p(x₁), p2 = p(x₂|x₁) and p3 = p(x₃|x₁,x₂), so that all eight words can be written down. Beside
it stand rows of log-probabilities, counts after one context, and batches of logits. What becomes
of logits when the next symbol is drawn is in ``next_symbol``.
"""

import itertools
import math
from collections.abc import Callable

import sympy
import torch
from torch import Tensor
from torch.nn import functional as F

from genart_lessons.equations import next_symbol
from genart_lessons.equations.derive import best_shares, entries, positive, real, softmax
from genart_lessons.proof import Bound, Definition, Equation, Gradient, NearMiss, Numeric, Total
from genart_lessons.proof.draws import counted, points, simplex, uniform, whole

Symbols = dict[str, Callable[..., Tensor]]
_WORDS = list(itertools.product((0, 1), repeat=3))
_LAW = {"p1": simplex(2), "p2": simplex(2, 2), "p3": simplex(2, 2, 2)}
_LAW_EXAMPLE = {
    "p1": [0.6, 0.4],
    "p2": [[0.5, 0.5], [0.25, 0.75]],
    "p3": [[[0.2, 0.8], [0.5, 0.5]], [[0.9, 0.1], [0.4, 0.6]]],
}
_STEP = r"p(x_t\mid x_{<t})"
_DATA = r"p_{\mathrm{data}}"

# -- the word world: every word, step by step ------------------------------------------------------


def _joint(p1, p2, p3, **_):
    """p(x₁, x₂, x₃) of every word: (P, 2, 2, 2)."""
    return p1[:, :, None, None] * p2[:, :, :, None] * p3


def _everywhere(table: Tensor) -> Tensor:
    """A table that says the same of several words, once for each of the eight: (P, 8)."""
    return table.expand(len(table), 2, 2, 2).flatten(1)


def _by_step(*tables: Tensor) -> Tensor:
    return torch.stack([_everywhere(table) for table in tables], dim=-1)


def _grids(p1, p2, p3) -> dict[str, Tensor]:
    """What can be said of each word at each of its steps: name → (P, 8, 3)."""
    first, joint = p1[:, :, None, None], _joint(p1, p2, p3)
    second, third = (joint.sum(axes, keepdim=True) for axes in ((1, 3), (1, 2)))
    chain = _by_step(first, p2[:, :, :, None], p3)
    return {
        "p(x_t|x_<t)": chain,
        "p(x_t)": _by_step(first, second, third),
        "p(x_t|x_t-1)": _by_step(first, p2[:, :, :, None], joint.sum(1, keepdim=True) / second),
        "p(x_t|x_≤t)": torch.ones_like(chain),
        "p(x_≤t)": chain.cumprod(-1),
        "p(x_<t)": chain.cumprod(-1) / chain,
    }


def _at(name: str, step: int | None = None) -> Callable[..., Tensor]:
    """One of the grids at the word x, at every step (P, 3) or at one of them (P,)."""

    def read(p1, p2, p3, x):
        grid = _grids(p1, p2, p3)[name]
        row = grid[torch.arange(len(x)), (x * torch.tensor([4, 2, 1])).sum(-1)]
        return row if step is None else row[:, step]

    return read


_NAMES = ("p(x_t|x_<t)", "p(x_t)", "p(x_t|x_t-1)", "p(x_t|x_≤t)", "p(x_≤t)", "p(x_<t)")
_AT_WORD: Symbols = {
    **{name: _at(name) for name in _NAMES},
    "p(x_1)": _at("p(x_t)", 0),
    "p(x_2)": _at("p(x_t)", 1),
    "p(x_3)": _at("p(x_t)", 2),
    "p(x_2|x_1)": _at("p(x_t|x_<t)", 1),
    "p(x_3|x_1,x_2)": _at("p(x_t|x_<t)", 2),
    "p(x_3|x_2)": _at("p(x_t|x_t-1)", 2),
    "T": lambda p1, **_: torch.full_like(p1[:, 0], 3),
}


def _of_world(name: str) -> Callable[..., Tensor]:
    return lambda p1, p2, p3, **_: _grids(p1, p2, p3)[name]


def _word(p1, p2, p3, x):
    n, (a, b, c) = torch.arange(len(x)), x.unbind(-1)
    return p1[n, a] * p2[n, a, b] * p3[n, a, b, c]


def _rescaled(tables: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tables with rows that no longer sum to one, each row by another factor."""
    p1, p2, p3 = (tables[name] for name in ("p1", "p2", "p3"))
    uneven = torch.linspace(0.5, 1.5, len(p1), dtype=torch.float64)
    rows = torch.tensor([0.8, 1.3], dtype=torch.float64)
    return {
        "p1": p1 * (1 + uneven)[:, None],
        "p2": p2 * rows[:, None],
        "p3": p3 * (rows[:, None] + rows)[..., None],
    }


# The same world in letters. At one word: the probabilities of its beginnings, m₁ ≥ m₂ ≥ m₃.
_M, _ALONE = entries("m", 3, above_zero=True), entries("u", 2, above_zero=True)
(_GIVEN_ONE,) = positive("v")
_CHAIN = (_M[0], _M[1] / _M[0], _M[2] / _M[1])
_WORD_LETTERS = {
    "p(x_≤t)": _M,
    "p(x_<t)": (sympy.Integer(1), *_M[:2]),
    "p(x_t|x_<t)": _CHAIN,
    "p(x_t)": (_M[0], *_ALONE),
    "p(x_t|x_t-1)": (*_CHAIN[:2], _GIVEN_ONE),
    "p(x_t|x_≤t)": (sympy.Integer(1),) * 3,
    "p(x_1)": _M[0],
    "p(x_2)": _ALONE[0],
    "p(x_3)": _ALONE[1],
    "p(x_2|x_1)": _CHAIN[1],
    "p(x_3|x_1,x_2)": _CHAIN[2],
    "p(x_3|x_2)": _GIVEN_ONE,
    "T": sympy.Integer(3),
}


def _chances(name: str) -> tuple[tuple, tuple, dict]:
    """Eight words' probabilities as letters, their steps p(x_t|x_<t), and that they sum to one."""
    whole = entries(name, 8, above_zero=True)

    def begins(word):  # the probability of all words that begin so
        pairs = zip(_WORDS, whole, strict=True)
        return sympy.Add(*(p for other, p in pairs if other[: len(word)] == word))

    steps = tuple(
        (begins(w[:1]), begins(w[:2]) / begins(w[:1]), begins(w) / begins(w[:2])) for w in _WORDS
    )
    return whole, steps, {whole[7]: 1 - sympy.Add(*whole[:7])}


_J, _J_STEPS, _J_ONE = _chances("j")
_K, _K_STEPS, _K_ONE = _chances("k")
_EVERY_WORD = "proved for every law of words of three letters (SymPy)"

_SEQUENCES = (
    Equation(
        id="5.1",
        title="the chain rule",
        lhs=r"p(x_1,\dots,x_T)",
        rhs=rf"\prod_{{t=1}}^{{T}}{_STEP}",
        meaning="A word's probability is that of its first letter, times that of each letter "
        "given all the letters before it.",
        quantity="the probability",
        reference=_word,
        evidence=Numeric(
            points(**_LAW, x=whole(2, 3)),
            {**_LAW_EXAMPLE, "x": [0, 1, 1]},
            where="random words in random worlds of three letters",
        ),
        symbols=_AT_WORD,
        definition=Definition(
            "proved from p(x_t|x_<t) = p(x_≤t)/p(x_<t) (SymPy)", lambda: _M[2], _WORD_LETTERS
        ),
        sources=("B6",),
        cite="Bengio et al. 2003, section 1",
        near_misses=(
            NearMiss(
                r"\prod_{t=1}^{T}p(x_t)",
                "every letter is taken to be independent of the others: this is a product of "
                "marginals, and no letter knows what came before it",
            ),
            NearMiss(
                r"\prod_{t=1}^{T}p(x_t\mid x_{t-1})",
                "each letter is given only the previous one: right for a Markov chain, and in "
                "general for the first two letters only",
            ),
            NearMiss(
                r"\prod_{t=1}^{T}p(x_t\mid x_{\le t})",
                "each letter is given itself too, and so is certain: condition on what is before "
                "it, x_<t",
            ),
            NearMiss(
                rf"\sum_{{t=1}}^{{T}}{_STEP}",
                "the probabilities are added: it is their logarithms that add up",
            ),
        ),
    ),
    Equation(
        id="5.2",
        title="all words together",
        lhs="1",
        rhs=rf"\sum_{{x}}\prod_{{t=1}}^{{T}}{_STEP}",
        meaning="If every row of every table sums to one, so does the product over all words: "
        "nothing has to be normalised afterwards.",
        quantity="the sum",
        reference=lambda p1, p2, p3: _joint(p1, p2, p3).sum((1, 2, 3)),
        evidence=Total(
            points(**_LAW),
            _LAW_EXAMPLE,
            where="random worlds of three letters, all eight words added up",
            spoil=_rescaled,
            spoiled_words="where the tables' rows do not sum to one",
        ),
        symbols={
            **{name: _of_world(name) for name in _NAMES},
            "p(x)": lambda **world: _joint(**world).flatten(1),
        },
        definition=Definition(
            _EVERY_WORD,
            lambda: sympy.Integer(1),
            {
                "p(x)": _J,
                "p(x_t|x_<t)": _J_STEPS,
                "p(x_t|x_≤t)": ((sympy.Integer(1),) * 3,) * 8,
            },
            _J_ONE,
        ),
        sources=("B6",),
        near_misses=(
            NearMiss(
                1,
                "nothing is added up: it is 1 because every row is, and where rows are not, "
                "this does not notice",
            ),
            NearMiss(
                r"\sum_{x}\prod_{t=1}^{T}p(x_t)",
                "this sums to one as well, and is not the law of these words: the letters have "
                "been made independent. To be normalised is not to be right",
            ),
            NearMiss(
                r"\sum_{x}\prod_{t=1}^{T}p(x_t\mid x_{t-1})",
                "this sums to one as well, and is not the law of these words: it remembers one "
                "letter only. To be normalised is not to be right",
            ),
            NearMiss(
                r"\sum_{x}\prod_{t=1}^{T}p(x_t\mid x_{\le t})",
                "each letter is given itself too: this only counts the words",
            ),
            NearMiss(
                rf"\sum_{{x}}\sum_{{t=1}}^{{T}}{_STEP}",
                "the steps of one word are multiplied; only different words are added up",
            ),
        ),
    ),
)

# -- the log-likelihood, and what it means to maximise it ------------------------------------------

_STEPS, _V = 4, 3
_TEXT = points(logits=uniform(-3, 3, _STEPS, _V), x=whole(_V, _STEPS))
_TEXT_EXAMPLE = {
    "logits": [[0.0, 0.0, math.log(2)], [0.0, math.log(2), 0.0], [0.0, 0.0, 0.0], [9.0, 0.0, 0.0]],
    "x": [2, 1, 0, 0],
}


def _log_steps(logits, x):
    """log p(x_t|x_<t) of the symbols that came: (P, T)."""
    return logits.log_softmax(-1).gather(-1, x.unsqueeze(-1)).squeeze(-1)


_TEXT_SYMBOLS: Symbols = {
    "p(x_t|x_<t)": lambda logits, x: _log_steps(logits, x).exp(),
    "p(x_≤t)": lambda logits, x: _log_steps(logits, x).cumsum(-1).exp(),
    "p(x_<t)": lambda logits, x: (_log_steps(logits, x).cumsum(-1) - _log_steps(logits, x)).exp(),
    "T": lambda logits, x: torch.full_like(logits[:, 0, 0], _STEPS),
}
_B = entries("m", _STEPS, above_zero=True)  # the probabilities of a text's beginnings
_TEXT_LETTERS = {
    "p(x_≤t)": _B,
    "p(x_<t)": (sympy.Integer(1), *_B[:-1]),
    "p(x_t|x_<t)": (_B[0], *(b / a for a, b in itertools.pairwise(_B))),
    "T": sympy.Integer(_STEPS),
}

_TEXTS = points(p_data=simplex(4), p=simplex(4))
_TEXTS_EXAMPLE = {"p_data": [0.5, 0.25, 0.125, 0.125], "p": [0.1, 0.4, 0.4, 0.1]}
_P, _Q = (entries(name, 4, above_zero=True) for name in ("p", "q"))
_SUM_TO_ONE = {table[3]: 1 - table[0] - table[1] - table[2] for table in (_P, _Q)}


def _cross_entropy(p_data, p):
    return -torch.xlogy(p_data, p).sum(-1)


def _minus_log(p, q):
    """−Σ p log q, in letters."""
    return -sympy.Add(*(a * sympy.log(b) for a, b in zip(p, q, strict=True)))


_TEXTS_SYMBOLS: Symbols = {
    "p_data(x)": lambda p_data, p: p_data,
    "p(x)": lambda p_data, p: p,
    "H(p_data)": lambda p_data, p: _cross_entropy(p_data, p_data),
    "H(p)": lambda p_data, p: _cross_entropy(p, p),
    "H(p_data,p)": _cross_entropy,
}
_TEXTS_LETTERS = {
    "p_data": _P,
    "p": _Q,
    "p_data(x)": _P,
    "p(x)": _Q,
    "H(p_data)": _minus_log(_P, _P),
    "H(p)": _minus_log(_Q, _Q),
    "H(p_data,p)": _minus_log(_P, _Q),
}


def _for_all_texts(derive):
    words = "proved for every two laws of four texts (SymPy)"
    return Definition(words, derive, _TEXTS_LETTERS, _SUM_TO_ONE)


_KL = r"D_{KL}(p_{data}\Vert p_\theta)"

_LIKELIHOOD = (
    Equation(
        id="5.3",
        title="a log-likelihood is a sum",
        lhs=r"\log p(x)",
        rhs=rf"\sum_{{t=1}}^{{T}}\log {_STEP}",
        meaning="The logarithm of the chain rule: every symbol adds what it was worth.",
        quantity="the log-likelihood",
        reference=lambda logits, x: _log_steps(logits, x).sum(-1),
        evidence=Numeric(_TEXT, _TEXT_EXAMPLE, where="random texts of four symbols"),
        symbols=_TEXT_SYMBOLS,
        definition=Definition(
            "derived as the logarithm of p(x_≤T), step by step (SymPy)",
            lambda: sympy.log(_B[-1]),
            _TEXT_LETTERS,
        ),
        sources=("B6", "B7"),
        cite="Bengio et al. 2003, section 2",
        near_misses=(
            NearMiss(
                rf"\frac1T\sum_{{t=1}}^{{T}}\log {_STEP}",
                "the mean over symbols is taken; the log-likelihood of a text is the sum",
                source="B7",
            ),
            NearMiss(
                rf"\log\Big(\sum_{{t=1}}^{{T}}{_STEP}\Big)",
                "the logarithm is outside the sum: the probabilities are multiplied, so it is "
                "their logarithms that are added",
            ),
            NearMiss(
                rf"\sum_{{t=1}}^{{T}}\log_2 {_STEP}",
                "this is in bits, logarithms to base 2; log here is the natural one, and the sum "
                "is in nats",
            ),
            NearMiss(
                rf"-\sum_{{t=1}}^{{T}}\log {_STEP}",
                "this is minus the log-likelihood: the loss, which one minimises",
                source="B7",
            ),
            NearMiss(
                lambda logits, x: logits.gather(-1, x.unsqueeze(-1)).squeeze(-1).sum(-1),
                "the logits themselves are added: they are no log-probabilities until log_softmax",
            ),
            NearMiss(
                lambda logits, x: (
                    logits.log_softmax(1).gather(-1, x.unsqueeze(-1)).squeeze(-1).sum(-1)
                ),
                "the softmax runs over the steps: it belongs to the last axis, the symbols",
            ),
            NearMiss(
                lambda logits, x: _log_steps(logits.softmax(-1), x).sum(-1),
                "softmax is taken twice",
            ),
        ),
    ),
    Equation(
        id="5.4",
        title="what it means to maximise likelihood",
        lhs=rf"\mathbb{{E}}_{{x\sim {_DATA}}}\big[\log p_\theta(x)\big]",
        rhs=rf"-H({_DATA})-D_{{\mathrm{{KL}}}}\big({_DATA}\,\Vert\,p_\theta\big)",
        meaning="The mean log-likelihood is highest where the model is nearest to the data, in "
        "this very divergence; the entropy of the data does not depend on the model.",
        quantity="the mean log-likelihood",
        reference=lambda p_data, p: -_cross_entropy(p_data, p),
        evidence=Numeric(_TEXTS, _TEXTS_EXAMPLE, where="random worlds of four texts"),
        symbols=_TEXTS_SYMBOLS,
        definition=_for_all_texts(lambda: -_minus_log(_P, _Q)),
        sources=("B7",),
        cite="Akaike 1973",
        near_misses=(
            NearMiss(
                r"-H(p_{data})-D_{KL}(p_\theta\Vert p_{data})",
                "the divergence is turned round: likelihood averages over the data, so the data "
                "stand first",
                source="B7",
            ),
            NearMiss(
                rf"-H(p_{{data}})+{_KL}",
                "the divergence is added: this would be highest where the model is farthest off",
            ),
            NearMiss(
                rf"H(p_{{data}})-{_KL}",
                "the entropy has the wrong sign: a perfect model has a mean log-likelihood of −H",
            ),
            NearMiss(
                rf"-{_KL}",
                "the entropy of the data is missing: even a perfect model cannot foresee chance",
            ),
            NearMiss(
                rf"H(p_{{data}})+{_KL}",
                "this is the cross-entropy, minus the mean log-likelihood: it is what one "
                "minimises",
            ),
            NearMiss(
                r"-H(p_\theta)-D_{KL}(p_{data}\Vert p_\theta)",
                "this is the model's own entropy; it is the entropy of the data that is owed",
            ),
            NearMiss(
                lambda p_data, p: p.log().mean(-1),
                "every text counts alike: each counts as often as it occurs in the data",
            ),
        ),
    ),
    Equation(
        id="5.5",
        title="the floor under every loss",
        lhs=rf"-\mathbb{{E}}_{{x\sim {_DATA}}}\big[\log p_\theta(x)\big]",
        relation=r"\ge",
        rhs=rf"-\mathbb{{E}}_{{x\sim {_DATA}}}\big[\log {_DATA}(x)\big]",
        meaning="No model has a smaller cross-entropy than the data have entropy.",
        quantity="the cross-entropy",
        reference=lambda p_data, p: _cross_entropy(p_data, p_data),
        evidence=Bound(
            _TEXTS,
            of=_cross_entropy,
            tight=lambda arguments: {**arguments, "p": arguments["p_data"]},
            of_words="the cross-entropy",
            tight_words="the model is the law of the data",
            example=_TEXTS_EXAMPLE,
            where="random worlds of four texts",
        ),
        symbols=_TEXTS_SYMBOLS,
        definition=_for_all_texts(lambda: _minus_log(_P, _P)),
        cite="Gibbs 1902; Kullback & Leibler 1951",
        near_misses=(
            NearMiss(
                r"-\mathbb{E}_{x\sim p_\theta}[\log p_\theta(x)]",
                "this is the model's own entropy: a vague model has a high one, and no floor "
                "under its loss",
            ),
            NearMiss("0", "true, but it is never reached unless one text is certain"),
            NearMiss(
                r"\mathbb{E}_{x\sim p_{data}}[\log p_{data}(x)]",
                "the minus sign is missing: this lies below 0, and is never reached",
            ),
            NearMiss(
                r"-\mathbb{E}_{x\sim p_{data}}[\log p_\theta(x)]",
                "this is the cross-entropy itself: a floor must not depend on the model",
            ),
            NearMiss(
                r"\log 4",
                "this is the entropy of four texts that are equally frequent, the highest there "
                "is; the data have less",
            ),
        ),
    ),
)

# -- units: bits per character, and perplexity -----------------------------------------------------

_ROW = points(log_p=uniform(-5, -0.02, _STEPS))
_ROW_EXAMPLE = {"log_p": [-math.log(2), -math.log(4), -math.log(2), -math.log(8)]}
_C = entries("c", _STEPS, above_zero=True)  # the probabilities of the symbols that came
_PRODUCT = sympy.Mul(*_C)
_BITS = -sympy.expand_log(sympy.log(_PRODUCT)) / (_STEPS * sympy.log(2))
_ROW_SYMBOLS: Symbols = {
    "p(x_t|x_<t)": lambda log_p: log_p.exp(),
    "p(x)": lambda log_p: log_p.sum(-1).exp(),
    "T": lambda log_p: torch.full_like(log_p[:, 0], _STEPS),
}
_ROW_LETTERS = {
    "p(x_t|x_<t)": _C,
    "p(x)": _PRODUCT,
    "log_p": tuple(map(sympy.log, _C)),
    "T": sympy.Integer(_STEPS),
}


def _bits(log_p):
    return -log_p.mean(-1) / math.log(2)


def _whole_numbers(low, high, *shape):
    return lambda generator, count: torch.randint(
        low, high, (count, *shape), generator=generator
    ).double()


_COSTS, _LENGTHS = entries("L", 4, above_zero=True), entries("t", 4, above_zero=True)
_SUM_OF_LOGS = rf"\sum_{{t=1}}^{{T}}\log {_STEP}"

_UNITS = (
    Equation(
        id="5.6",
        title="bits per character",
        lhs="b",
        rhs=rf"-\frac{{1}}{{T\log 2}}{_SUM_OF_LOGS}",
        meaning="How many yes-or-no questions each character costs, on average.",
        quantity="the number of bits per character",
        reference=_bits,
        evidence=Numeric(_ROW, _ROW_EXAMPLE, where="random rows of four log-probabilities"),
        symbols=_ROW_SYMBOLS,
        definition=Definition(
            "derived from −log₂ p(x) / T (SymPy)",
            lambda: -sympy.log(_PRODUCT, 2) / _STEPS,
            _ROW_LETTERS,
        ),
        cite="Shannon 1948, section 6",
        near_misses=(
            NearMiss(
                rf"-\frac1T{_SUM_OF_LOGS}",
                "this is in nats: divide by log 2 to have bits",
            ),
            NearMiss(
                rf"-\frac{{1}}{{\log 2}}{_SUM_OF_LOGS}",
                "the sum is taken, the bits of the whole text: per character it is the mean",
            ),
            NearMiss(
                rf"-{_SUM_OF_LOGS}",
                "this is the whole text, in nats: neither divided by T nor by log 2",
            ),
            NearMiss(
                rf"-\frac{{\log 2}}{{T}}{_SUM_OF_LOGS}",
                "it is multiplied by log 2: a bit is smaller than a nat, so there are more of them",
            ),
            NearMiss(
                rf"\frac{{1}}{{T\log 2}}{_SUM_OF_LOGS}",
                "the minus sign is missing: log-probabilities are negative, and a cost is not",
            ),
            NearMiss(
                rf"-\frac{{1}}{{T\log 10}}{_SUM_OF_LOGS}",
                "this is to base 10: a bit is to base 2",
            ),
        ),
    ),
    Equation(
        id="5.7",
        title="bits over many tunes",
        lhs="b",
        rhs=r"\frac{1}{\log 2}\,\frac{\sum_{n}\mathcal{L}_n}{\sum_{n}T_n}",
        meaning="All nats of all tunes over all their characters, so that every character counts "
        "the same.",
        quantity="the number of bits per character",
        reference=lambda nats, characters: nats.sum(-1) / characters.sum(-1) / math.log(2),
        evidence=Numeric(
            points(nats=uniform(50, 500, 4), characters=_whole_numbers(60, 400, 4)),
            {
                "nats": [bits * math.log(2) for bits in (200, 200, 300, 100)],
                "characters": [50.0, 100.0, 200.0, 50.0],
            },
            where="random sets of four tunes",
        ),
        symbols={
            "L": lambda nats, characters: nats,
            "T": lambda nats, characters: characters,
            "N": lambda nats, characters: torch.full_like(nats[:, 0], 4),
        },
        definition=Definition(
            "derived from −log₂ of the product of all tunes' probabilities, per character (SymPy)",
            lambda: (
                -sympy.log(sympy.Mul(*(sympy.exp(-nats) for nats in _COSTS)))
                / sympy.log(2)
                / sympy.Add(*_LENGTHS)
            ),
            {
                "nats": _COSTS,
                "L": _COSTS,
                "characters": _LENGTHS,
                "T": _LENGTHS,
                "N": sympy.Integer(4),
            },
        ),
        near_misses=(
            NearMiss(
                r"\frac{1}{N\log 2}\sum_{n}\frac{\mathcal{L}_n}{T_n}",
                "this is the mean of the tunes' own figures: a character of a short tune counts "
                "more than one of a long tune",
            ),
            NearMiss(
                r"\frac{\sum_{n}\mathcal{L}_n}{\sum_{n}T_n}",
                "this is in nats: divide by log 2 to have bits",
            ),
            NearMiss(
                r"\frac{1}{N\log 2}\sum_{n}\mathcal{L}_n",
                "these are bits per tune: divide by the characters, not by the tunes",
            ),
            NearMiss(
                r"\frac{1}{\log 2}\sum_{n}\frac{\mathcal{L}_n}{T_n}",
                "the tunes' own figures are added up: that grows with the number of tunes",
            ),
        ),
    ),
    Equation(
        id="5.8",
        title="perplexity",
        lhs=r"\mathrm{PPL}",
        rhs=rf"\exp\left(-\frac{{1}}{{T}}{_SUM_OF_LOGS}\right)",
        meaning="Among how many equally likely symbols the model hesitates, on geometric average.",
        quantity="the perplexity",
        reference=lambda log_p: (-log_p.mean(-1)).exp(),
        evidence=Numeric(_ROW, _ROW_EXAMPLE, where="random rows of four log-probabilities"),
        symbols={**_ROW_SYMBOLS, "b": _bits},
        definition=Definition(
            "derived as the geometric mean of 1/p (SymPy)",
            lambda: sympy.expand_power_base(_PRODUCT ** sympy.Rational(-1, _STEPS)),
            {**_ROW_LETTERS, "b": _BITS},
        ),
        cite="Jelinek et al. 1977",
        near_misses=(
            NearMiss(
                rf"2^{{-\frac1T{_SUM_OF_LOGS}}}",
                "the bases are mixed: 2 is raised to nats. It is e to the nats, or 2 to the bits",
            ),
            NearMiss(
                r"e^{b}",
                "the bases are mixed: e is raised to bits. It is 2 to the bits, or e to the nats",
            ),
            NearMiss(
                rf"\exp\left(\frac1T{_SUM_OF_LOGS}\right)",
                "the minus sign is missing: this is the mean probability (a geometric mean), one "
                "over the perplexity",
            ),
            NearMiss(
                rf"\exp\left(-{_SUM_OF_LOGS}\right)",
                "the sum stands where the mean belongs: this is 1/p of the whole text, and grows "
                "with its length",
            ),
            NearMiss(
                rf"\frac1T\sum_{{t=1}}^{{T}}\frac{{1}}{{{_STEP}}}",
                "this is the arithmetic mean of 1/p: one rare symbol outweighs all the others. It "
                "is the geometric mean",
            ),
            NearMiss(
                rf"\frac{{T}}{{\sum_{{t=1}}^{{T}}{_STEP}}}",
                "this is one over the arithmetic mean of p: it is the logarithms that are averaged",
            ),
            NearMiss(
                rf"-\frac1T{_SUM_OF_LOGS}",
                "this is the cross-entropy in nats: the exponential is missing",
            ),
        ),
    ),
)

# -- counting --------------------------------------------------------------------------------------

_COUNTS, _N = entries("c", 4, above_zero=True), sympy.Integer(4)
(_ALPHA,) = positive("alpha")
_SHORTER = entries("q", 4, above_zero=True)
_COUNT_LETTERS = {
    "c": _COUNTS,
    "N": sympy.Add(*_COUNTS),
    "V": _N,
    "alpha": _ALPHA,
    "p_bar": _SHORTER,
}
_COUNT_SYMBOLS: Symbols = {
    "N": lambda c, **_: c.sum(-1),
    "V": lambda c, **_: torch.full_like(c[:, 0], c.shape[-1]),
}
_COUNT_EXAMPLE = {"c": [6.0, 0.0, 2.0, 0.0]}


def _counting(words, derive, given=None):
    return {
        "symbols": _COUNT_SYMBOLS,
        "free_index": "k",
        "definition": Definition(
            f"derived by {words} (SymPy)", derive, _COUNT_LETTERS, given or {}
        ),
    }


_COUNTING = (
    Equation(
        id="5.9",
        title="counts are the answer",
        lhs=r"\Big(\arg\max_{q}\sum_{j=1}^{V}c_j\log q_j\Big)_k",
        rhs=r"\frac{c_k}{N}",
        meaning="After each context, the likelihood is highest where each symbol gets the share "
        "of times it followed; N is the sum of the counts.",
        quantity="the best distribution",
        reference=lambda c: c / c.sum(-1, keepdim=True),
        evidence=Numeric(
            points(c=counted(9, 4)), _COUNT_EXAMPLE, where="random counts of four symbols"
        ),
        **_counting("maximising Σ c log q under Σ q = 1", lambda: best_shares(_COUNTS)),
        cite="Markov 1913; Shannon 1948, section 3",
        near_misses=(
            NearMiss(r"\frac1V", "every symbol gets the same share, whatever was counted"),
            NearMiss(
                r"\frac{c_k}{V}",
                "it is divided by the number of symbols: divide by the number of times, N",
            ),
            NearMiss("c_k", "these are the counts themselves: they do not sum to one"),
            NearMiss(
                r"\frac{e^{c_k}}{\sum_j e^{c_j}}",
                "softmax of the counts: each further count would multiply the odds by e",
            ),
            NearMiss(
                lambda c: F.one_hot(c.argmax(-1), 4).to(c.dtype),
                "the most frequent symbol gets everything: one other symbol, and the likelihood "
                "is 0",
            ),
        ),
    ),
    Equation(
        id="5.10",
        title="add α",
        lhs=r"p_\alpha(k\mid x_{<t})",
        rhs=r"\frac{c_k+\alpha}{N+\alpha V}",
        meaning="As if every symbol had been seen α times before counting began: what never "
        "followed is improbable now, and no longer impossible.",
        quantity="the smoothed distribution",
        reference=lambda c, alpha: (
            (c + alpha[:, None]) / (c.sum(-1) + alpha * c.shape[-1])[:, None]
        ),
        evidence=Numeric(
            points(c=counted(9, 4), alpha=uniform(0.05, 2)),
            {**_COUNT_EXAMPLE, "alpha": 0.5},
            where="random counts of four symbols",
        ),
        **_counting(
            "maximising Σ (c + α) log q under Σ q = 1",
            lambda: best_shares([c + _ALPHA for c in _COUNTS]),
        ),
        cite="Lidstone 1920; Jeffreys 1946",
        near_misses=(
            NearMiss(
                r"\frac{c_k+\alpha}{N+\alpha}",
                "V is forgotten: α is added for each of the V symbols, or it does not sum to 1",
            ),
            NearMiss(
                r"\frac{c_k+\alpha}{N}",
                "α is added above the line only: these do not sum to 1",
            ),
            NearMiss(
                r"\frac{c_k}{N+\alpha V}",
                "α is added below the line only: what never followed stays impossible",
            ),
            NearMiss(
                r"\frac{c_k+1}{N+V}",
                "1 is added, whatever α is: that is α = 1",
            ),
            NearMiss(
                r"\frac{\alpha c_k}{\alpha N}",
                "the counts are multiplied by α: that cancels, and 0 stays 0",
            ),
        ),
    ),
    Equation(
        id="5.11",
        title="lean on the shorter context",
        lhs=r"p(k\mid x_{<t})",
        rhs=r"\frac{c_k+\alpha\,\bar{p}_k}{N+\alpha}",
        meaning="Where a context was seen N times, its counts have weight N against α for p̄, what "
        "the same model says with one symbol of context less.",
        quantity="the mixed distribution",
        reference=lambda c, alpha, p_bar: (
            (c + alpha[:, None] * p_bar) / (c.sum(-1) + alpha)[:, None]
        ),
        evidence=Numeric(
            points(c=counted(9, 4), alpha=uniform(0.2, 8), p_bar=simplex(4)),
            {**_COUNT_EXAMPLE, "alpha": 2.0, "p_bar": [0.5, 0.25, 0.125, 0.125]},
            where="random counts of four symbols",
        ),
        **_counting(
            "maximising Σ (c + α p̄) log q under Σ q = 1",
            lambda: best_shares([c + _ALPHA * q for c, q in zip(_COUNTS, _SHORTER, strict=True)]),
            {_SHORTER[3]: 1 - _SHORTER[0] - _SHORTER[1] - _SHORTER[2]},
        ),
        cite="MacKay & Peto 1995",
        near_misses=(
            NearMiss(
                r"\frac{c_k+\alpha\bar{p}_k}{N+\alpha V}",
                "αV is for add-α: here α is shared out among the symbols, and αV does not sum to 1",
            ),
            NearMiss(
                r"\frac{c_k+\alpha\bar{p}_k}{N}",
                "α is added above the line only: these do not sum to 1",
            ),
            NearMiss(
                r"\frac{c_k+\alpha}{N+\alpha V}",
                "this is add-α: every symbol gets the same, and the shorter context is not asked",
            ),
            NearMiss(
                r"\frac{\alpha}{N+\alpha}\frac{c_k}{N}+\frac{N}{N+\alpha}\bar{p}_k",
                "the weights are turned round: the more often a context was seen, the more its own "
                "counts are worth",
            ),
            NearMiss(
                r"\frac12\left(\frac{c_k}{N}+\bar{p}_k\right)",
                "half and half, however often the context was seen: one sighting is not a hundred",
            ),
        ),
    ),
)

# -- learning to predict ---------------------------------------------------------------------------

_ELL, _Y = entries("ell", 4), entries("y", 4)
_SOFT = softmax(_ELL)


def _prediction_loss(logits, y):
    return -(y * logits.log_softmax(-1)).sum(-1)


def _prediction_loss_in_letters():
    total = sympy.log(sympy.Add(*map(sympy.exp, _ELL)))
    return -sympy.Add(*(y * (ell - total) for y, ell in zip(_Y, _ELL, strict=True)))


_BATCH = points(logits=uniform(-3, 3, _STEPS, _V), ids=whole(_V, _STEPS + 1))
_BATCH_EXAMPLE = {"logits": _TEXT_EXAMPLE["logits"], "ids": [0, 2, 1, 0, 0]}


def _said(logits, targets):
    """log-probability of each target: (P, T)."""
    return logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


_NOW = entries("d", _STEPS, above_zero=True)  # what the model says of the symbol it has just read

_LEARNING = (
    Equation(
        id="5.12",
        title="the gradient of a prediction",
        lhs=r"\frac{\partial}{\partial\ell_k}\Big(-\sum_{j=1}^{V}y_j\log p_j\Big)",
        rhs="p_k-y_k",
        meaning="What was predicted, less what came: y is 1 at the symbol that came (or any "
        "distribution over symbols), p is the softmax of the logits.",
        quantity="the derivative",
        free_index="k",
        reference=lambda logits, y: logits.softmax(-1) - y,
        evidence=Gradient(
            points(logits=uniform(-3, 3, 4), y=simplex(4)),
            {"logits": [0.0, 0.0, 0.0, 0.0], "y": [0.0, 0.0, 1.0, 0.0]},
            of=_prediction_loss,
            wrt="logits",
        ),
        symbols={
            "p": lambda logits, y: logits.softmax(-1),
            "ell": lambda logits, y: logits,
        },
        definition=Definition(
            "derived by differentiating −Σ y log softmax(ℓ) (SymPy)",
            lambda: tuple(sympy.diff(_prediction_loss_in_letters(), ell) for ell in _ELL),
            {"logits": _ELL, "ell": _ELL, "p": _SOFT, "y": _Y},
            {_Y[3]: 1 - _Y[0] - _Y[1] - _Y[2]},
        ),
        cite="Bridle 1990",
        near_misses=(
            NearMiss("y_k-p_k", "the sign is that of the log-likelihood; the loss is asked for"),
            NearMiss(
                r"-\frac{y_k}{p_k}",
                "this is the derivative by p, not by ℓ: a logit moves all the probabilities",
            ),
            NearMiss("p_k", "what came is not subtracted: this pushes every symbol down"),
            NearMiss(
                r"p_k(1-p_k)",
                "this is how p_k itself moves with its own logit, ∂p_k/∂ℓ_k",
            ),
        ),
    ),
    Equation(
        id="5.13",
        title="the loss looks one symbol further on",
        lhs=r"\mathcal{L}",
        rhs=r"-\frac{1}{T}\sum_{t=1}^{T}\log p(x_{t+1}\mid x_{\le t})",
        meaning="At every place the model has read up to x_t, and is asked for what comes next.",
        quantity="the loss",
        reference=lambda logits, ids: -_said(logits, ids[:, 1:]).mean(-1),
        evidence=Numeric(_BATCH, _BATCH_EXAMPLE, where="random batches of five symbols"),
        symbols={
            "p(x_t+1|x_≤t)": lambda logits, ids: _said(logits, ids[:, 1:]).exp(),
            "p(x_t|x_≤t)": lambda logits, ids: _said(logits, ids[:, :-1]).exp(),
            "T": lambda logits, ids: torch.full_like(logits[:, 0, 0], _STEPS),
        },
        definition=Definition(
            "derived from −log of the product of p(x_{t+1}|x_≤t), per step (SymPy)",
            lambda: -sympy.log(_PRODUCT) / _STEPS,
            {"p(x_t+1|x_≤t)": _C, "p(x_t|x_≤t)": _NOW, "T": sympy.Integer(_STEPS)},
        ),
        sources=("B7",),
        cite="Williams & Zipser 1989 (teacher forcing)",
        near_misses=(
            NearMiss(
                r"-\frac1T\sum_{t=1}^{T}\log p(x_t\mid x_{\le t})",
                "off by one: the target is the symbol that has just been read, so the model learns "
                "to copy and not to predict",
                source="B7",
            ),
            NearMiss(
                lambda logits, ids: -_said(logits[:, :-1], ids[:, 2:]).mean(-1),
                "off by one: the target is two symbols further on; it is the very next one",
            ),
            NearMiss(
                lambda logits, ids: -_said(logits[:, 1:], ids[:, :-2]).mean(-1),
                "off by one, backwards: the target is the symbol before the one just read",
            ),
            NearMiss(
                r"-\sum_{t=1}^{T}\log p(x_{t+1}\mid x_{\le t})",
                "the sum is taken; the loss is the mean per symbol, or it would grow with T",
            ),
            NearMiss(
                r"\frac1T\sum_{t=1}^{T}\log p(x_{t+1}\mid x_{\le t})",
                "this is the mean log-likelihood, to be maximised; the loss is minus that",
            ),
            NearMiss(
                r"-\frac1T\sum_{t=1}^{T}\log_2 p(x_{t+1}\mid x_{\le t})",
                "this is in bits; the loss that one differentiates is in nats",
            ),
            NearMiss(
                lambda logits, ids: -_said(logits.softmax(-1), ids[:, 1:]).mean(-1),
                "softmax is taken twice: cross_entropy takes logits, and does it itself",
            ),
            NearMiss(
                lambda logits, ids: -_said(logits, ids[:, 1:])[:, -1],
                "only the last symbol is asked for; every place is a question",
            ),
        ),
    ),
)

# -- a state that remembers ------------------------------------------------------------------------

_H0, _W = real("h_0", "w")
_INPUTS = entries("x", 3)


def _states(h_0, w, x):
    """h_t = tanh(w h_{t−1} + x_t), from h_0 on: a list of T + 1."""
    states = [h_0]
    for x_t in x.unbind(-1) if isinstance(x, Tensor) else x:
        inner = w * states[-1] + x_t
        states.append(inner.tanh() if isinstance(inner, Tensor) else sympy.tanh(inner))
    return states


def _each_state(h_0, w, x):
    return torch.stack(_states(h_0, w, x)[1:], dim=-1)


_RECURRENCE = (
    Equation(
        id="5.14",
        title="the gradient through time",
        lhs=r"\frac{\partial h_T}{\partial h_0}",
        rhs=r"\prod_{t=1}^{T}w\,(1-h_t^2)",
        meaning="For h_t = tanh(w h_{t−1} + x_t): one factor a step. Where they are below 1, what "
        "was read long ago no longer moves the state; above 1, it explodes.",
        quantity="the derivative",
        reference=lambda h_0, w, x: (w[:, None] * (1 - _each_state(h_0, w, x) ** 2)).prod(-1),
        evidence=Gradient(
            points(h_0=uniform(-1, 1), w=uniform(-1.5, 1.5), x=uniform(-1, 1, 3)),
            {"h_0": 0.0, "w": 0.5, "x": [0.0, 1.0, 1.0]},
            of=lambda h_0, w, x: _states(h_0, w, x)[-1],
            wrt="h_0",
        ),
        symbols={
            "h": _each_state,
            "T": lambda h_0, w, x: torch.full_like(w, 3),
        },
        definition=Definition(
            "derived by differentiating tanh(w h + x), three times inside itself (SymPy)",
            lambda: sympy.diff(_states(_H0, _W, _INPUTS)[-1], _H0),
            {
                "h_0": _H0,
                "w": _W,
                "x": _INPUTS,
                "h": tuple(_states(_H0, _W, _INPUTS)[1:]),
                "T": sympy.Integer(3),
            },
        ),
        cite="Bengio et al. 1994; Pascanu et al. 2013, eq. 5",
        near_misses=(
            NearMiss("w^T", "the slope of tanh, 1 − h², is missing: the state is no straight line"),
            NearMiss(
                r"w\prod_{t=1}^{T}(1-h_t^2)",
                "w counts once for every step: it is inside each of the T applications",
            ),
            NearMiss(
                r"\prod_{t=1}^{T}(1-h_t^2)", "w is missing: the state is multiplied by it each time"
            ),
            NearMiss(
                r"\sum_{t=1}^{T}w\,(1-h_t^2)",
                "the factors are added: along one path they are multiplied",
            ),
            NearMiss(
                lambda h_0, w, x: (
                    w[:, None] * (1 - torch.stack(_states(h_0, w, x)[:-1], dim=-1) ** 2)
                ).prod(-1),
                "off by one: the slope is taken at h_{t−1}, before the step; it belongs to what "
                "comes out of tanh",
            ),
        ),
    ),
)

# -- where training weighs its errors --------------------------------------------------------------

_TWO = {
    **{f"p{k}": simplex(*(2,) * k) for k in (1, 2, 3)},
    **{f"q{k}": simplex(*(2,) * k) for k in (1, 2, 3)},
}
_TWO_EXAMPLE = {
    **_LAW_EXAMPLE,
    "q1": [0.75, 0.25],
    "q2": [[0.5, 0.5], [0.5, 0.5]],
    "q3": [[[0.2, 0.8], [0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]]],
}


def _data(tables):
    return {f"p{k}": tables[f"p{k}"] for k in (1, 2, 3)}


def _model(tables):
    return {f"p{k}": tables[f"q{k}"] for k in (1, 2, 3)}


def _log_ratios(tables):
    """log p/q at each step of each word: (P, 8, 3)."""
    p, q = (_grids(**each(tables))["p(x_t|x_<t)"] for each in (_data, _model))
    return (p / q).log()


def _weighed(weights, ratios):
    return (weights.flatten(1).unsqueeze(-1) * ratios).sum((1, 2))


def _after_each_prefix(tables):
    """KL_t after every beginning, for t = 1, 2, 3: (P, 1), (P, 2), (P, 4)."""
    p, q = (
        [each(tables)[f"p{k}"].reshape(len(tables["p1"]), -1, 2) for k in (1, 2, 3)]
        for each in (_data, _model)
    )
    return [(a * (a / b).log()).sum(-1) for a, b in zip(p, q, strict=True)]


def _every_prefix_alike(**tables):
    """Σ_t of KL_t, averaged over all beginnings as if each came equally often."""
    return sum(kl.mean(-1) for kl in _after_each_prefix(tables))


def _own_prefixes(**tables):
    """Σ_t of KL_t, averaged over the beginnings that the model would write."""
    joint = _joint(**_model(tables))
    often = [joint.sum((1, 2, 3))[:, None], joint.sum((2, 3)), joint.sum(3).flatten(1)]
    return sum((w * kl).sum(-1) for w, kl in zip(often, _after_each_prefix(tables), strict=True))


_RATIO = rf"\frac{{{_DATA}(x_t\mid x_{{<t}})}}{{p_\theta(x_t\mid x_{{<t}})}}"

_EXPOSURE = (
    Equation(
        id="5.15",
        title="where training weighs its errors",
        lhs=rf"D_{{\mathrm{{KL}}}}\big({_DATA}\,\Vert\,p_\theta\big)",
        rhs=rf"\sum_{{t=1}}^{{T}}\mathbb{{E}}_{{x\sim {_DATA}}}\left[\log{_RATIO}\right]",
        meaning="What training lowers is the error at each step after beginnings that the data "
        "wrote. What the model does after a beginning of its own, nobody corrects.",
        quantity="the divergence",
        reference=lambda **t: _weighed(_joint(**_data(t)), _log_ratios(t)),
        evidence=Numeric(
            points(**_TWO), _TWO_EXAMPLE, where="random pairs of worlds of three letters"
        ),
        symbols={
            "p_data(x)": lambda **t: _joint(**_data(t)).flatten(1),
            "p(x)": lambda **t: _joint(**_model(t)).flatten(1),
            "p_data(x_t|x_<t)": lambda **t: _grids(**_data(t))["p(x_t|x_<t)"],
            "p(x_t|x_<t)": lambda **t: _grids(**_model(t))["p(x_t|x_<t)"],
            "T": lambda p1, **_: torch.full_like(p1[:, 0], 3),
        },
        definition=Definition(
            "proved from Σ p_data log(p_data/p_θ) for every two laws of words (SymPy)",
            lambda: sympy.Add(
                *(j * (sympy.log(j) - sympy.log(k)) for j, k in zip(_J, _K, strict=True))
            ),
            {
                "p_data(x)": _J,
                "p(x)": _K,
                "p_data(x_t|x_<t)": _J_STEPS,
                "p(x_t|x_<t)": _K_STEPS,
                "T": sympy.Integer(3),
            },
            {**_J_ONE, **_K_ONE},
        ),
        sources=("B7",),
        cite="Cover & Thomas 2006, theorem 2.5.3; Bengio et al. 2015",
        near_misses=(
            NearMiss(
                rf"\sum_{{t=1}}^{{T}}\mathbb{{E}}_{{x\sim p_\theta}}\left[\log{_RATIO}\right]",
                "whole words are drawn from the model: this is never positive, minus the "
                "divergence turned round",
            ),
            NearMiss(
                _own_prefixes,
                "the beginnings are drawn from the model: in training they come from the data "
                "(teacher forcing), and that is why a model is never shown its own mistakes",
            ),
            NearMiss(
                rf"-\sum_{{t=1}}^{{T}}\mathbb{{E}}_{{x\sim {_DATA}}}\left[\log{_RATIO}\right]",
                "the fraction is upside down, or the sign turned round: no divergence is negative",
            ),
            NearMiss(
                rf"-\sum_{{t=1}}^{{T}}\mathbb{{E}}_{{x\sim p_\theta}}\left[\log{_RATIO}\right]",
                "the divergence is turned round, KL(p_θ‖p_data): likelihood averages over the data",
            ),
            NearMiss(
                rf"\frac1T\sum_{{t=1}}^{{T}}\mathbb{{E}}_{{x\sim {_DATA}}}"
                rf"\left[\log{_RATIO}\right]",
                "the mean over steps is taken; the divergence of whole words is the sum",
            ),
            NearMiss(
                _every_prefix_alike,
                "every beginning counts alike: each counts as often as the data begin so",
            ),
        ),
    ),
)

EQUATIONS = (
    *_SEQUENCES, *_LIKELIHOOD, *_UNITS, *_COUNTING, *_LEARNING, *_RECURRENCE, *_EXPOSURE,
    *next_symbol.EQUATIONS,
)  # fmt: skip
