"""Chapter 04, adversarial networks: the game's value, its best discriminator, and its losses.

Three little worlds serve as known truth. A *picture world* has four pictures x, so that p_data, p_g
and the discriminator D are tables of four numbers. A *noise world* adds four noises z and a
generator G, a map from z to x, so that p_g follows from p_z. A *batch* is four logits for real
pictures and four for fakes. What happens when the game is played is in ``gan_games``.
"""

import math
from collections.abc import Callable

import sympy
import torch
from torch import Tensor
from torch.nn import functional as F

from genart_lessons.equations import gan_games
from genart_lessons.equations.derive import entries, positive, real
from genart_lessons.proof import Bound, Definition, Equation, Gradient, NearMiss, Numeric
from genart_lessons.proof.draws import points, simplex, uniform, whole

Symbols = dict[str, Callable[..., Tensor]]
_FOUR = range(4)
_PICTURES = "random worlds of four pictures"
_DATA = r"p_{\mathrm{data}}"
_JSD = rf"\mathrm{{JSD}}({_DATA}\,\Vert\,p_g)"

# -- the noise world: G sends each z to a picture --------------------------------------------------

_NOISE = points(p_data=simplex(4), p_z=simplex(4), G=whole(4, 4), D=uniform(0.05, 0.95, 4))
_NOISE_EXAMPLE = {
    "p_data": [0.4, 0.3, 0.2, 0.1], "p_z": [0.1, 0.2, 0.3, 0.4], "G": [1, 1, 2, 3],
    "D": [0.9, 0.5, 0.4, 0.2],
}  # fmt: skip


def _pushforward(p_z, G, **_):
    """p_g(x): the share of the noise that G sends to x."""
    return torch.zeros_like(p_z).scatter_add(-1, G, p_z)


def _value(p_data, p_z, G, D):
    return (p_data * D.log()).sum(-1) + (p_z * (1 - D.gather(-1, G)).log()).sum(-1)


_NOISE_TABLES: Symbols = {
    "p_data(x)": lambda p_data, **_: p_data,
    "p_z(z)": lambda p_z, **_: p_z,
    "p(z)": lambda p_z, **_: p_z,
    "p_g(x)": _pushforward,
    "G(z)": lambda G, p_z, **_: G.to(p_z.dtype),
}
_VALUE_TABLES: Symbols = {
    **_NOISE_TABLES,
    "D(x)": lambda D, **_: D,
    "D(G(z))": lambda D, G, **_: D.gather(-1, G),
    "D(G(x))": lambda D, G, **_: D.gather(-1, G),  # G handed a picture where it expects noise
}

# The same worlds in letters: SymPy proves what holds in every one, whatever its numbers.
_P, _Q, _Z, _D, _FAKE = (entries(n, 4, above_zero=True) for n in ("p", "q", "r", "d", "e"))
_F, _FG = entries("f", 4), entries("h", 4)
_SENT = [entries(f"g_{k + 1}", 4, above_zero=True) for k in _FOUR]  # is z sent to x?
_SUM_TO_ONE = {t[3]: 1 - t[0] - t[1] - t[2] for t in (_P, _Q)}


def _sum(term, *tables):
    """Σ ``term(…)`` over the entries of the tables, in letters."""
    return sympy.Add(*(term(*entry) for entry in zip(*tables, strict=True)))


def _each(term, *tables):
    return tuple(term(*entry) for entry in zip(*tables, strict=True))


_GAME = (
    Equation(
        id="4.1",
        title="the value of the game",
        lhs="V(D,G)",
        rhs=rf"\mathbb{{E}}_{{x\sim {_DATA}}}[\log D(x)]"
        r"+\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]",
        meaning="How sure the discriminator is, and right: of pictures that are real, and of "
        "pictures that are made.",
        quantity="the value",
        reference=_value,
        evidence=Numeric(_NOISE, _NOISE_EXAMPLE, where="random worlds of four pictures and noises"),
        symbols=_VALUE_TABLES,
        definition=Definition(
            "proved for every world of four pictures and four noises (SymPy)",
            lambda: (
                _sum(lambda p, d: p * sympy.log(d), _P, _D)
                + _sum(lambda r, e: r * sympy.log(1 - e), _Z, _FAKE)
            ),
            {
                "p_data": _P,
                "p_z": _Z,
                "D": _D,
                "p_data(x)": _P,
                "p_z(z)": _Z,
                "p(z)": _Z,
                "D(x)": _D,
                "D(G(z))": _FAKE,
                "D(G(x))": _FAKE,
            },
        ),
        sources=("A1", "A2", "A4", "B1", "C1", "C2", "D7", "E1"),
        cite="Goodfellow et al. 2014, eq. 1",
        near_misses=(
            NearMiss(
                r"\mathbb{E}_{x\sim p_{data}}[\log D(x)]+\mathbb{E}_{x\sim p_{data}}"
                r"[\log(1-D(G(x)))]",
                "the second mean is taken over data: what the generator gets is noise, z from p_z",
                source="C1",
            ),
            NearMiss(
                r"-\mathbb{E}_{x\sim p_{data}}[\log D(x)]-\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]",
                "this is the discriminator's loss, minus the value: it is what one minimises",
                source="D7",
            ),
            NearMiss(
                r"\mathbb{E}_{x\sim p_{data}}[\log D(x)]+\mathbb{E}_{z\sim p_z}[\log D(G(z))]",
                "the 1− is missing: this rewards a discriminator that calls every picture real",
            ),
            NearMiss(
                r"\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]",
                "the real pictures are missing: calling everything fake would be best",
            ),
            NearMiss(
                r"\mathbb{E}_{x\sim p_{data}}[\log D(x)]-\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]",
                "the two terms are added: the discriminator wants both to be large",
            ),
        ),
    ),
    Equation(
        id="4.2",
        title="from noise to pictures",
        lhs=r"\mathbb{E}_{z\sim p_z}[f(G(z))]",
        rhs=r"\sum_x p_g(x)\,f(x)",
        meaning="A mean over noise is a mean over the pictures that the generator makes of it.",
        quantity="the mean",
        reference=lambda p_data, p_z, G, f: (_pushforward(p_z, G) * f).sum(-1),
        evidence=Numeric(
            points(p_data=simplex(4), p_z=simplex(4), G=whole(4, 4), f=uniform(-2, 2, 4)),
            {
                "p_data": [0.4, 0.3, 0.2, 0.1],
                "p_z": [0.1, 0.2, 0.3, 0.4],
                "G": [1, 1, 2, 3],
                "f": [0.0, 1.0, 0.0, -1.0],
            },
            where="random worlds of four pictures and noises",
        ),
        symbols={
            **_NOISE_TABLES,
            "f(x)": lambda f, **_: f,
            "f(G(z))": lambda f, G, **_: f.gather(-1, G),
        },
        definition=Definition(
            "proved for every map from four noises to four pictures (SymPy)",
            lambda: _sum(lambda r, h: r * h, _Z, _FG),
            {
                "p_data": _P,
                "p_z": _Z,
                "f": _F,
                "p_data(x)": _P,
                "p_z(z)": _Z,
                "p(z)": _Z,
                "f(x)": _F,
                "f(G(z))": _FG,
                "p_g(x)": _Q,
            },
            {
                **{h: _sum(lambda g, f: g * f, _SENT[k], _F) for k, h in enumerate(_FG)},
                **{q: sympy.Add(*(_Z[k] * _SENT[k][x] for k in _FOUR)) for x, q in enumerate(_Q)},
            },
        ),
        sources=("D2",),
        cite="Goodfellow et al. 2014, section 4",
        near_misses=(
            NearMiss(
                r"\sum_x p_{data}(x)f(x)",
                "the pictures are weighted as in the data: the generator has its own shares, p_g",
            ),
            NearMiss(
                r"\frac14\sum_x f(x)",
                "every picture counts alike: weigh each by how often G makes it",
            ),
            NearMiss(r"\frac14\sum_z f(G(z))", "every noise counts alike: weigh it by p_z"),
            NearMiss(
                r"\sum_z G(z)f(G(z))",
                "G(z) is taken for a probability; it is a picture, and p_z says how often it comes",
                source="D2",
            ),
        ),
    ),
)

# -- the picture world: the best discriminator, and what it measures -------------------------------

_PAIR = points(p_data=simplex(4), p_g=simplex(4))
_PAIR_EXAMPLE = {"p_data": [0.4, 0.3, 0.2, 0.1], "p_g": [0.1, 0.2, 0.3, 0.4]}
_CRITIC = points(p_data=simplex(4), p_g=simplex(4), D=uniform(0.05, 0.95, 4))
_CRITIC_EXAMPLE = {**_PAIR_EXAMPLE, "D": [0.8, 0.5, 0.5, 0.2]}


def _best(p_data, p_g, **_):
    return p_data / (p_data + p_g)


def _middle(p_data, p_g, **_):
    return (p_data + p_g) / 2


def _kl(p, q):
    return torch.special.entr(p).sum(-1).neg() - torch.xlogy(p, q).sum(-1)


def _jsd(p_data, p_g, **_):
    m = _middle(p_data, p_g)
    return (_kl(p_data, m) + _kl(p_g, m)) / 2


def _value_at(p_data, p_g, D):
    return (p_data * D.log() + p_g * (1 - D).log()).sum(-1)


def _best_value(p_data, p_g):
    return _value_at(p_data, p_g, _best(p_data, p_g))


_TABLES: Symbols = {
    "p_data(x)": lambda p_data, **_: p_data,
    "p_g(x)": lambda p_g, **_: p_g,
    "m(x)": _middle,
    "D*(x)": _best,
}
_BEST = _each(lambda p, q: p / (p + q), _P, _Q)
_PAIR_LETTERS = {
    "p_data": _P, "p_g": _Q, "p_data(x)": _P, "p_g(x)": _Q,
    "m(x)": _each(lambda p, q: (p + q) / 2, _P, _Q), "D*(x)": _BEST,
}  # fmt: skip


def _value_in_letters(D):
    return _sum(lambda p, q, d: p * sympy.log(d) + q * sympy.log(1 - d), _P, _Q, D)


def _jsd_in_letters():
    def share(p, q):
        return p * sympy.log(2 * p / (p + q)) / 2

    return _sum(share, _P, _Q) + _sum(share, _Q, _P)


def _at_most(a, b):
    """The y that makes a log y + b log(1 − y) largest, by solving for it."""
    (y,) = positive("y")
    (best,) = sympy.solve(sympy.diff(a * sympy.log(y) + b * sympy.log(1 - y), y), y)
    return best


def _in_pictures(derive, **more):
    return {
        "evidence": Numeric(_PAIR, _PAIR_EXAMPLE, where=_PICTURES),
        "symbols": _TABLES,
        "definition": _for_every_world(derive),
        **more,
    }


def _for_every_world(derive, words="proved for every world of four pictures (SymPy)", **letters):
    return Definition(words, derive, {**_PAIR_LETTERS, **letters}, _SUM_TO_ONE)


def _below(of, of_words, tight, tight_words, draw=_PAIR, example=_PAIR_EXAMPLE):
    return Bound(
        draw, of=of, tight=tight, of_words=of_words, tight_words=tight_words, example=example
    )


def _leaning(first):
    """Random tables; in every second world, the first or the last two pictures have nearly all."""

    def draw(generator, count):
        logits = 3 * torch.rand(count, 4, generator=generator, dtype=torch.float64)
        logits[1::2, first : first + 2] += 6
        return logits.softmax(-1)

    return draw


def _imitate(arguments):
    return {**arguments, "p_g": arguments["p_data"]}


_A, _B = positive("a", "b")

_BEST_DISCRIMINATOR = (
    Equation(
        id="4.3",
        title="where a log y + b log(1 − y) is largest",
        lhs=r"\arg\max_{0<y<1}\big(a\log y+b\log(1-y)\big)",
        rhs=r"\frac{a}{a+b}",
        meaning="A bet on y pays a·log y or b·log(1 − y): bet in proportion.",
        quantity="the best y",
        reference=lambda a, b: a / (a + b),
        evidence=Numeric(points(a=uniform(0.05, 3), b=uniform(0.05, 3)), {"a": 3.0, "b": 1.0}),
        definition=Definition(
            "derived by solving a/y − b/(1−y) = 0 for y (SymPy)",
            lambda: _at_most(_A, _B),
            {"a": _A, "b": _B},
        ),
        cite="Goodfellow et al. 2014, proof of proposition 1",
        near_misses=(
            NearMiss(r"\frac{b}{a+b}", "this is 1 − y: a belongs to log y, and pulls y up"),
            NearMiss(r"\frac ab", "this is y/(1−y), the odds; solve on for y"),
            NearMiss(r"\frac12", "½ is best only where a and b are equal"),
            NearMiss(
                r"\frac{a}{a-b}",
                "the derivative of log(1−y) is −1/(1−y): with its sign lost, y leaves (0, 1)",
            ),
        ),
    ),
    Equation(
        id="4.4",
        title="the best discriminator",
        lhs=r"D^\ast(x)",
        rhs=rf"\frac{{{_DATA}(x)}}{{{_DATA}(x)+p_g(x)}}",
        meaning="The share of x's that are real, when half of all pictures are: P(real | x).",
        quantity="the best answer",
        free_index="x",
        reference=_best,
        **_in_pictures(
            lambda: _each(_at_most, _P, _Q),
            definition=_for_every_world(
                lambda: _each(_at_most, _P, _Q),
                "derived by solving ∂V/∂D(x) = 0 at each of four pictures (SymPy)",
            ),
        ),
        sources=("A2", "D1"),
        cite="Goodfellow et al. 2014, proposition 1",
        near_misses=(
            NearMiss(
                r"\frac{p_g(x)}{p_{data}(x)+p_g(x)}",
                "this is the probability that x is fake; D answers for real",
            ),
            NearMiss(
                r"\frac{p_{data}(x)}{p_g(x)}",
                "this is the odds, real to fake: no probability, for it can be above 1",
            ),
            NearMiss(
                "1",
                "this is P(real | x is real), which is certain: D knows x, and is asked whether it "
                "is real",
                source="D1",
            ),
            NearMiss(
                r"p_{data}(x)",
                "this is P(x | real): turned round by Bayes' rule it becomes P(real | x)",
                source="D1",
            ),
            NearMiss(r"\frac12", "that is the end of the game, where p_g has become p_data"),
        ),
    ),
    Equation(
        id="4.5",
        title="the Jensen-Shannon divergence",
        lhs=_JSD,
        rhs=rf"\tfrac12 D_{{\mathrm{{KL}}}}({_DATA}\,\Vert\,m)"
        r"+\tfrac12 D_{\mathrm{KL}}(p_g\,\Vert\,m)",
        meaning="How far both are, on average, from their even mixture m = (p_data + p_g)/2.",
        quantity="the divergence",
        reference=_jsd,
        **_in_pictures(_jsd_in_letters),
        cite="Lin 1991; Goodfellow et al. 2014, eq. 6",
        near_misses=(
            NearMiss(
                r"D_{KL}(p_{data}\Vert m)+D_{KL}(p_g\Vert m)",
                "the halves are missing: this is 2·JSD, and reaches 2 log 2",
            ),
            NearMiss(
                r"\frac12D_{KL}(m\Vert p_{data})+\frac12D_{KL}(m\Vert p_g)",
                "the mixture stands first: this is infinite as soon as one picture is never made",
            ),
            NearMiss(
                r"D_{KL}(p_{data}\Vert p_g)+D_{KL}(p_g\Vert p_{data})",
                "this is Jeffreys' divergence, without a mixture: symmetric too, but unbounded",
            ),
            NearMiss(
                r"\frac12D_{KL}(p_{data}\Vert p_g)+\frac12D_{KL}(p_g\Vert p_{data})",
                "the two are compared with each other: each is compared with their mixture m",
            ),
            NearMiss(
                r"\sqrt{\frac12D_{KL}(p_{data}\Vert m)+\frac12D_{KL}(p_g\Vert m)}",
                "this is the distance, the root of the divergence (what scipy's jensenshannon is)",
            ),
        ),
    ),
    Equation(
        id="4.6",
        title="what the best discriminator measures",
        lhs=r"V(D^\ast,G)",
        rhs=rf"-\log 4+2\,{_JSD}",
        meaning="Against the best discriminator, to lower the value is to lower a divergence.",
        quantity="the value",
        reference=_best_value,
        **_in_pictures(lambda: _value_in_letters(_BEST)),
        sources=("A4",),
        cite="Goodfellow et al. 2014, eq. 6",
        near_misses=(
            NearMiss(
                r"-\log 4-2\,\mathrm{JSD}(p_{data}\Vert p_g)",
                "the divergence is subtracted: the farther apart, the higher the best value",
            ),
            NearMiss(
                r"-\log 4+\mathrm{JSD}(p_{data}\Vert p_g)",
                "the divergence counts twice: V adds up two means, JSD averages them",
            ),
            NearMiss(
                r"\log 4+2\,\mathrm{JSD}(p_{data}\Vert p_g)",
                "+log 4: but V, a sum of logarithms of probabilities, is never above 0",
            ),
            NearMiss(
                r"-\log 2+2\,\mathrm{JSD}(p_{data}\Vert p_g)",
                "each of the two terms brings a −log 2: together they are −log 4",
            ),
            NearMiss(
                r"-\log 4+D_{KL}(p_{data}\Vert p_g)",
                "KL(p_data‖p_g) is what likelihood measures; here it is twice the JSD",
            ),
        ),
    ),
    Equation(
        id="4.7",
        title="every discriminator gives a bound",
        lhs=_JSD,
        relation=r"\ge",
        rhs=r"\log 2+\tfrac12 V(D,G)",
        meaning="A discriminator that is not the best still proves that the two differ so much.",
        quantity="the divergence",
        reference=lambda p_data, p_g, D: (
            torch.log(torch.tensor(2.0, dtype=D.dtype)) + _value_at(p_data, p_g, D) / 2
        ),
        evidence=_below(
            _jsd,
            "the Jensen-Shannon divergence",
            lambda a: {**a, "D": _best(**a)},
            "D is the best discriminator",
            _CRITIC,
            _CRITIC_EXAMPLE,
        ),
        symbols={**_TABLES, "D(x)": lambda D, **_: D, "V(D,G)": _value_at, "V": _value_at},
        definition=_for_every_world(
            lambda: sympy.log(2) + _value_in_letters(_D) / 2,
            **{"D": _D, "D(x)": _D, "V(D,G)": _value_in_letters(_D), "V": _value_in_letters(_D)},
        ),
        cite="Nowozin et al. 2016, section 2.2",
        near_misses=(
            NearMiss(r"\log 2+V(D,G)", "V without its ½: this stays below, and never touches"),
            NearMiss(
                r"\frac12V(D,G)", "log 2 is missing: this is below 0, which is no news of a JSD"
            ),
            NearMiss(
                r"\log 2-\frac12V(D,G)",
                "½V is subtracted: V is negative, and this lies above even the largest JSD, log 2",
            ),
            NearMiss(r"\log 4+V(D,G)", "this is a bound of 2·JSD: it can lie above one JSD"),
        ),
    ),
    Equation(
        id="4.8",
        title="the least that the generator can reach",
        lhs=r"V(D^\ast,G)",
        relation=r"\ge",
        rhs=r"-\log 4",
        meaning="Reached where the generator makes pictures just as the data do, p_g = p_data.",
        quantity="the value",
        reference=lambda p_data, p_g: torch.full_like(p_data[:, 0], 4.0).log().neg(),
        evidence=_below(
            _best_value,
            "the value against the best discriminator",
            _imitate,
            "p_g is p_data",
        ),
        symbols=_TABLES,
        definition=_for_every_world(
            lambda: _sum(lambda p: p * sympy.log(sympy.Rational(1, 4)), _P),
            "derived as V at p_g = p_data, where D* = ½ (SymPy)",
        ),
        sources=("A3", "A5"),
        cite="Goodfellow et al. 2014, theorem 1",
        near_misses=(
            NearMiss(
                r"-\log 2", "that is one term: log ½ for the real ones and log ½ for the fakes"
            ),
            NearMiss("0", "0 is what the discriminator dreams of: to be sure, and never wrong"),
            NearMiss("-2", "below, and never touched: the two logarithms are natural ones, log ½"),
        ),
    ),
    Equation(
        id="4.9",
        title="only one end",
        lhs=_JSD,
        relation=r"\ge",
        rhs=rf"\tfrac18\Big(\sum_x|{_DATA}(x)-p_g(x)|\Big)^2",
        meaning="By Pinsker's inequality the divergence is 0 nowhere but at p_g = p_data.",
        quantity="the divergence",
        reference=lambda p_data, p_g: (p_data - p_g).abs().sum(-1).square() / 8,
        evidence=_below(
            _jsd,
            "the Jensen-Shannon divergence",
            _imitate,
            "p_g is p_data",
            points(p_data=_leaning(0), p_g=_leaning(2)),
        ),
        symbols=_TABLES,
        cite="Pinsker's inequality, for each half of (4.5); Cover & Thomas 2006, lemma 11.6.1",
        near_misses=(
            NearMiss(
                r"\frac12\Big(\sum_x|p_{data}(x)-p_g(x)|\Big)^2",
                "⅛, not ½: the distance to the mixture m is only half of the distance between them",
            ),
            NearMiss(
                r"\frac18\sum_x|p_{data}(x)-p_g(x)|",
                "the square is missing: near p_g = p_data the divergence is much flatter than that",
            ),
            NearMiss(
                r"\frac14\Big(\sum_x|p_{data}(x)-p_g(x)|\Big)^2",
                "this is what both halves give together; JSD is their mean",
            ),
            NearMiss(
                r"\frac18\sum_x(p_{data}(x)-p_g(x))^2",
                "the square is of the whole sum: squared term by term it is true too, but weaker",
            ),
        ),
    ),
)

# -- logits: what a discriminator really gives -----------------------------------------------------


def _far_and_near(generator, count):
    """Logits of every size from 0.01 to 2000, of both signs."""
    size, side = torch.rand(2, count, generator=generator, dtype=torch.float64)
    return torch.where(side < 0.5, -1.0, 1.0) * 10 ** (5.3 * size - 2)


_LOGIT = points(logits=_far_and_near)
_ELL_IS = {"ell": lambda logits: logits}
(_ELL,) = real("ell")


def _sigmoid(ell):
    return 1 / (1 + sympy.exp(-ell))


_LOGITS = (
    Equation(
        id="4.10",
        title="log D from the logit",
        lhs=r"\log D",
        rhs=r"\min(0,\ell)-\log\big(1+e^{-|\ell|}\big)",
        meaning="−log(1 + e^{−ℓ}), written so that nothing overflows; torch: logsigmoid.",
        quantity="log D",
        reference=lambda logits: F.logsigmoid(logits),
        evidence=Numeric(_LOGIT, {"logits": 2.0}, where="logits from −2000 to 2000"),
        symbols=_ELL_IS,
        cite="Goodfellow et al. 2014, section 3",
        near_misses=(
            NearMiss(
                lambda logits: logits.sigmoid().log(),
                "right on paper; in a computer e^{−ℓ} overflows where ℓ is far below 0, and this "
                "is −∞ there: write −softplus(−ℓ), or logsigmoid(ℓ)",
            ),
            NearMiss(
                r"-\max(0,\ell)-\log(1+e^{-|\ell|})",
                "this is log(1−D): the sign of ℓ is turned round",
            ),
            NearMiss(
                r"-\min(0,\ell)+\log(1+e^{-|\ell|})",
                "this is −log D, the loss: a log-probability is never above 0",
            ),
        ),
    ),
    Equation(
        id="4.11",
        title="log(1 − D) from the logit",
        lhs=r"\log(1-D)",
        rhs=r"-\max(0,\ell)-\log\big(1+e^{-|\ell|}\big)",
        meaning="−ℓ − log(1 + e^{−ℓ}), which is log D less ℓ, written so that nothing overflows.",
        quantity="log(1−D)",
        reference=lambda logits: F.logsigmoid(-logits),
        evidence=Numeric(_LOGIT, {"logits": 2.0}, where="logits from −2000 to 2000"),
        symbols=_ELL_IS,
        near_misses=(
            NearMiss(
                lambda logits: (1 - logits.sigmoid()).log(),
                "right on paper; in a computer the sigmoid is 1 where ℓ is above 37 (in float32 "
                "above 17), and log(1−1) is −∞: write −softplus(ℓ)",
            ),
            NearMiss(
                r"-\ell-\log(1+e^{-\ell})",
                "right on paper; in a computer e^{−ℓ} overflows where ℓ is far below 0, and this "
                "is −∞ there: write −softplus(ℓ)",
            ),
            NearMiss(
                r"-\log(1+e^{\ell})",
                "right on paper; in a computer e^ℓ overflows where ℓ is far above 0, and this is "
                "−∞ there: write −softplus(ℓ)",
            ),
            NearMiss(
                r"\min(0,\ell)-\log(1+e^{-|\ell|})", "this is log D: the sign of ℓ is turned round"
            ),
        ),
    ),
)

# -- the losses, of a batch of logits --------------------------------------------------------------

_BATCH = points(real=uniform(-6, 6, 4), fake=uniform(-6, 6, 4))
_FAKES = points(fake=uniform(-6, 6, 4))
_FAKE_EXAMPLE = {"fake": [0.0, -1.0, -2.0, -3.0]}
_BATCH_EXAMPLE = {"real": [2.0, 1.0, 0.0, -1.0], **_FAKE_EXAMPLE}


def _quarter(fake, **_):
    """A batch is a little world of its own: each of its four pictures has the share ¼."""
    return torch.full_like(fake, 0.25)


def _always(*answers):
    """A table that is the same at every point: what the generator's loss must not depend on."""
    return lambda fake, **_: torch.tensor(answers, dtype=fake.dtype).expand_as(fake)


_FAKE_TABLES: Symbols = {
    "p_z(z)": _quarter,
    "p(z)": _quarter,
    "p_data(x)": _quarter,
    "D(G(z))": lambda fake, **_: fake.sigmoid(),
    "D(x)": _always(0.9, 0.8, 0.6, 0.7),
    "D(G(x))": _always(0.5, 0.3, 0.4, 0.2),
    "ell(G(z))": lambda fake, **_: fake,
}
_BATCH_TABLES: Symbols = {
    **_FAKE_TABLES,
    "D(x)": lambda real, fake: real.sigmoid(),
    "ell(x)": lambda real, fake: real,
}
_REAL_ELL, _FAKE_ELL = entries("ell_real", 4), entries("ell_fake", 4)
_QUARTERS = (sympy.Rational(1, 4),) * 4
_FAKE_LETTERS = {
    "fake": _FAKE_ELL, "ell(G(z))": _FAKE_ELL, "D(G(z))": _each(_sigmoid, _FAKE_ELL),
    "p_z(z)": _QUARTERS, "p(z)": _QUARTERS, "p_data(x)": _QUARTERS, "D(x)": _D, "D(G(x))": _FAKE,
}  # fmt: skip
_BATCH_LETTERS = {
    **_FAKE_LETTERS, "real": _REAL_ELL, "ell(x)": _REAL_ELL, "D(x)": _each(_sigmoid, _REAL_ELL)
}  # fmt: skip


def _surprise(label, ells):
    """Minus the mean log-probability of one label, 1 or 0, in letters."""
    sign = 1 if label else -1
    return -_sum(lambda ell: sympy.expand_log(sympy.log(_sigmoid(sign * ell))) / 4, ells)


def _cross_entropy(logits, label):
    return F.softplus(logits if label == 0 else -logits).mean(-1)


def _of_fakes(words, derive):
    return {
        "evidence": Numeric(_FAKES, _FAKE_EXAMPLE, where="random batches of four"),
        "symbols": _FAKE_TABLES,
        "definition": Definition(f"derived from {words} (SymPy)", derive, _FAKE_LETTERS),
    }


_LOSSES = (
    Equation(
        id="4.12",
        title="the discriminator's loss",
        lhs=r"L_D",
        rhs=rf"-\mathbb{{E}}_{{x\sim {_DATA}}}[\log D(x)]"
        r"-\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]",
        meaning="Minus the value, estimated from a batch: cross-entropy, with label 1 for real and "
        "0 for fake.",
        quantity="the loss",
        reference=lambda real, fake: _cross_entropy(real, 1) + _cross_entropy(fake, 0),
        evidence=Numeric(_BATCH, _BATCH_EXAMPLE, where="random batches of four and four"),
        symbols=_BATCH_TABLES,
        definition=Definition(
            "derived from −log P(label) for four pictures labelled 1 and four labelled 0 (SymPy)",
            lambda: _surprise(1, _REAL_ELL) + _surprise(0, _FAKE_ELL),
            _BATCH_LETTERS,
        ),
        sources=("D7", "C2"),
        cite="Goodfellow et al. 2014, algorithm 1",
        near_misses=(
            NearMiss(
                r"\mathbb{E}_{x\sim p_{data}}[\log D(x)]+\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]",
                "this is the value, to be maximised: called a loss and minimised, it trains the "
                "discriminator to be wrong",
                source="C2",
            ),
            NearMiss(
                r"-\mathbb{E}_{x\sim p_{data}}[\log(1-D(x))]-\mathbb{E}_{z\sim p_z}[\log D(G(z))]",
                "the labels are swapped: this calls real pictures fake and fakes real",
            ),
            NearMiss(
                r"-\mathbb{E}_{x\sim p_{data}}[\log D(x)]-\mathbb{E}_{z\sim p_z}[\log D(G(z))]",
                "the 1− is missing: this rewards a discriminator that calls every picture real",
            ),
            NearMiss(
                lambda real, fake: (
                    _cross_entropy(real.sigmoid(), 1) + _cross_entropy(fake.sigmoid(), 0)
                ),
                "the sigmoid is applied twice: a loss of logits brings its own",
            ),
            NearMiss(
                r"-\mathbb{E}_{x\sim p_{data}}[\log D(x)]",
                "only the real half: to answer real to everything would be best",
            ),
            NearMiss(
                lambda real, fake: 4 * (_cross_entropy(real, 1) + _cross_entropy(fake, 0)),
                "the sum over the batch is taken where the mean belongs",
            ),
            NearMiss(
                lambda real, fake: (_cross_entropy(real, 1) + _cross_entropy(fake, 0)) / 2,
                "this is the mean over all eight pictures: half of the loss, whose two means are "
                "added",
            ),
        ),
    ),
    Equation(
        id="4.13",
        title="the minimax loss of the generator",
        lhs=r"L_G",
        rhs=r"\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]",
        meaning="The part of the value that the generator can change; it saturates where D is near "
        "0.",
        quantity="the loss",
        reference=lambda fake: -_cross_entropy(fake, 0),
        **_of_fakes(
            "log P(label 0) for four fakes",
            lambda: -_surprise(0, _FAKE_ELL),
        ),
        sources=("A3", "C1", "D6", "S13"),
        cite="Goodfellow et al. 2014, eq. 1",
        near_misses=(
            NearMiss(
                r"\mathbb{E}_{x\sim p_{data}}[\log D(x)]+\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]",
                "this is the whole value: its first half does not depend on the generator, so the "
                "gradient is right, and the loss is not this",
            ),
            NearMiss(
                r"-\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]",
                "the sign is turned round: as D → 1 this grows without bound, so it would punish "
                "the generator for every success",
                source="S13",
            ),
            NearMiss(
                r"\mathbb{E}_{x\sim p_{data}}[\log(1-D(G(x)))]",
                "the mean is taken over data: what the generator gets is noise, z from p_z",
                source="C1",
            ),
            NearMiss(
                r"-\mathbb{E}_{x\sim p_{data}}[\log D(x)]-\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]",
                "this is the discriminator's loss: a generator that minimises it helps the "
                "discriminator",
                source="D6",
            ),
            NearMiss(
                r"-\mathbb{E}_{z\sim p_z}[\log D(G(z))]",
                "this is the non-saturating loss: another loss, with the same goal",
            ),
        ),
    ),
    Equation(
        id="4.14",
        title="the non-saturating loss of the generator",
        lhs=r"L_G",
        rhs=r"-\mathbb{E}_{z\sim p_z}[\log D(G(z))]",
        meaning="Cross-entropy again, with label 1 for the fakes: steep where the generator loses.",
        quantity="the loss",
        reference=lambda fake: _cross_entropy(fake, 1),
        **_of_fakes(
            "−log P(label 1) for four fakes",
            lambda: _surprise(1, _FAKE_ELL),
        ),
        cite="Goodfellow et al. 2014, section 3",
        near_misses=(
            NearMiss(
                r"-\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]",
                "this grows without bound as D → 1, and it is −log D that vanishes there: label "
                "the fakes 1, not 0",
            ),
            NearMiss(
                r"\mathbb{E}_{z\sim p_z}[\log D(G(z))]",
                "the sign is turned round: minimised, it makes fakes easier to tell",
            ),
            NearMiss(
                r"\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]",
                "this is the minimax loss, which saturates: flat where D is near 0",
            ),
            NearMiss(
                r"-\mathbb{E}_{z\sim p_z}[D(G(z))]",
                "the logarithm is missing: −D is flat at both ends",
            ),
            NearMiss(
                lambda fake: _cross_entropy(fake.sigmoid(), 1),
                "the sigmoid is applied twice: a loss of logits brings its own",
            ),
        ),
    ),
)


def _by_logit(of, derive):
    return {
        "evidence": Gradient(points(logits=uniform(-6, 6)), {"logits": -2.0}, of=of, wrt="logits"),
        "symbols": {**_ELL_IS, "D": lambda logits: logits.sigmoid()},
        "definition": Definition(
            "derived by differentiating by ℓ, where D = 1/(1+e^{−ℓ}) (SymPy)",
            derive,
            {"logits": _ELL, "ell": _ELL, "D": _sigmoid(_ELL)},
        ),
        "quantity": "the derivative",
    }


_SLOPES = (
    Equation(
        id="4.15",
        title="why the minimax loss saturates",
        lhs=r"\frac{\partial}{\partial\ell}\log(1-D)",
        rhs="-D",
        meaning="Where the discriminator is sure that a fake is fake, D ≈ 0, nothing pulls.",
        reference=lambda logits: -logits.sigmoid(),
        **_by_logit(
            lambda logits: F.logsigmoid(-logits),
            lambda: sympy.diff(sympy.log(1 - _sigmoid(_ELL)), _ELL),
        ),
        cite="Goodfellow et al. 2014, section 3; Arjovsky & Bottou 2017, theorem 2.4",
        near_misses=(
            NearMiss(
                r"-\frac{1}{1-D}",
                "this is the derivative by D: multiply by ∂D/∂ℓ = D(1−D)",
            ),
            NearMiss("D", "the sign is turned round: log(1−D) falls where ℓ grows"),
            NearMiss("-(1-D)", "that belongs to −log D, the non-saturating loss"),
            NearMiss("1-D", "that is the derivative of log D"),
            NearMiss("D(1-D)", "that is the derivative of D itself: the logarithm is left out"),
        ),
    ),
    Equation(
        id="4.16",
        title="why the other loss does not",
        lhs=r"\frac{\partial}{\partial\ell}(-\log D)",
        rhs="-(1-D)",
        meaning="Where the discriminator is sure that a fake is fake, the pull is full, −1.",
        reference=lambda logits: logits.sigmoid() - 1,
        **_by_logit(
            lambda logits: -F.logsigmoid(logits),
            lambda: sympy.diff(-sympy.log(_sigmoid(_ELL)), _ELL),
        ),
        cite="Goodfellow et al. 2014, section 3",
        near_misses=(
            NearMiss(r"-\frac{1}{D}", "this is the derivative by D: multiply by ∂D/∂ℓ = D(1−D)"),
            NearMiss("1-D", "the sign is turned round: −log D falls where ℓ grows"),
            NearMiss("-D", "that belongs to log(1−D), the minimax loss: flat where D is near 0"),
            NearMiss("-D(1-D)", "that is the derivative of −D: the logarithm is left out"),
        ),
    ),
)


def _pull(theta, cost):
    """∂/∂θ of Σ p_g(x) cost(x), where p_g = softmax(θ) and the costs are held fixed."""
    p_g = theta.softmax(-1)
    return p_g * (cost - (p_g * cost).sum(-1, keepdim=True))


def _held(theta, p_data):
    return _pull(theta, -_best(p_data, theta.softmax(-1)).log())


def _let_go(theta, p_data):
    p_g = theta.softmax(-1)
    best = _best(p_data, p_g)
    return _pull(theta, -best.log() + 1 - best)  # ∂(−log D*)/∂p_g = 1/(p_data + p_g)


def _least_squares(p, q, a, b):
    """The D that makes p(D − b)² + q(D − a)² least, by solving for it."""
    (d,) = real("D")
    (best,) = sympy.solve(sympy.diff(p * (d - b) ** 2 + q * (d - a) ** 2, d), d)
    return best


def _least_squares_at_best():
    """a = −1, b = 1, c = 0."""
    return _sum(lambda p, q: (p + q) * _least_squares(p, q, -1, 1) ** 2, _P, _Q)


_STEP = points(theta=uniform(-1.5, 1.5, 4), p_data=simplex(4))
_STEP_EXAMPLE = {"theta": [0.0, 0.0, 0.0, 0.0], "p_data": [0.4, 0.3, 0.2, 0.1]}

_OTHER_LOSSES = (
    Equation(
        id="4.17",
        title="what the non-saturating step follows",
        lhs=r"\frac{\partial}{\partial\theta}\,\mathbb{E}_{x\sim p_g}[-\log D^\ast(x)]",
        rhs=r"\frac{\partial}{\partial\theta}\big(D_{\mathrm{KL}}(p_g\,\Vert\,"
        rf"{_DATA})-2\,{_JSD}\big)",
        meaning="With D* held fixed for the step: towards the data, and away from the mixture's "
        "balance. p_g is softmax(θ).",
        quantity="the derivative",
        reference=_held,
        evidence=Numeric(_STEP, _STEP_EXAMPLE, where=_PICTURES),
        typeset_only="it is a derivative by each of four parameters",
        cite="Arjovsky & Bottou 2017, theorem 2.5",
        near_misses=(
            NearMiss(
                lambda theta, p_data: _pull(
                    theta, (2 * theta.softmax(-1) / (p_data + theta.softmax(-1))).log()
                ),
                "this is the gradient of 2·JSD, which the minimax loss follows",
            ),
            NearMiss(
                lambda theta, p_data: _pull(theta, -p_data / theta.softmax(-1)),
                "this is the gradient of KL(p_data‖p_g), which likelihood follows",
            ),
            NearMiss(
                lambda theta, p_data: _pull(theta, (theta.softmax(-1) / p_data).log()),
                "this is the gradient of KL(p_g‖p_data) alone: −2·JSD is missing",
            ),
            NearMiss(
                _let_go,
                "D* moves along with p_g here: hold it fixed (detach), as the discriminator is "
                "while the generator takes its step",
            ),
            NearMiss(
                lambda theta, p_data: -_held(theta, p_data),
                "the sign is turned round: this is the direction of a step, not the derivative",
            ),
        ),
    ),
    Equation(
        id="4.18",
        title="the best discriminator by least squares",
        lhs=r"D^\ast(x)",
        rhs=rf"\frac{{b\,{_DATA}(x)+a\,p_g(x)}}{{{_DATA}(x)+p_g(x)}}",
        meaning="Asked for b on real pictures and a on fakes, it answers their weighted mean.",
        quantity="the best answer",
        free_index="x",
        reference=lambda p_data, p_g, a, b: (
            (b.unsqueeze(-1) * p_data + a.unsqueeze(-1) * p_g) / (p_data + p_g)
        ),
        evidence=Numeric(
            points(p_data=simplex(4), p_g=simplex(4), a=uniform(-2, 0.2), b=uniform(0.4, 2)),
            {**_PAIR_EXAMPLE, "a": 0.0, "b": 1.0},
            where=_PICTURES,
        ),
        symbols={n: _TABLES[n] for n in ("p_data(x)", "p_g(x)")},
        definition=_for_every_world(
            lambda: _each(lambda p, q: _least_squares(p, q, _A, _B), _P, _Q),
            "derived by solving ∂/∂D(x) of p_data (D−b)² + p_g (D−a)² = 0 (SymPy)",
            a=_A,
            b=_B,
        ),
        cite="Mao et al. 2017, section 3.2",
        near_misses=(
            NearMiss(
                r"\frac{a\,p_{data}(x)+b\,p_g(x)}{p_{data}(x)+p_g(x)}",
                "a and b have changed places: b is asked for on real pictures",
            ),
            NearMiss(
                r"\frac{p_{data}(x)}{p_{data}(x)+p_g(x)}",
                "this is the case a = 0, b = 1, where both losses have the same best answer",
            ),
            NearMiss(r"\frac{a+b}{2}", "that is where the game ends, at p_g = p_data"),
            NearMiss(r"b\,p_{data}(x)+a\,p_g(x)", "it is not divided by p_data + p_g: no mean yet"),
        ),
    ),
    Equation(
        id="4.19",
        title="what least squares measures",
        lhs=rf"\mathbb{{E}}_{{x\sim {_DATA}}}[(D^\ast(x)-c)^2]"
        r"+\mathbb{E}_{x\sim p_g}[(D^\ast(x)-c)^2]",
        rhs=rf"\sum_x\frac{{({_DATA}(x)-p_g(x))^2}}{{{_DATA}(x)+p_g(x)}}",
        meaning="With a = −1, b = 1, c = 0: Pearson's χ², of p_data + p_g and 2p_g.",
        quantity="the divergence",
        reference=lambda p_data, p_g: (p_data - p_g).square().div(p_data + p_g).sum(-1),
        **_in_pictures(
            _least_squares_at_best,
            definition=_for_every_world(
                _least_squares_at_best,
                "derived by putting the best D of (4.18) into the left side, for a = −1, b = 1, "
                "c = 0 (SymPy)",
            ),
        ),
        cite="Mao et al. 2017, section 3.2",
        near_misses=(
            NearMiss(
                r"\frac12\sum_x\frac{(p_{data}(x)-p_g(x))^2}{p_{data}(x)+p_g(x)}",
                "this is with the ½ of the loss; the left side here has none",
            ),
            NearMiss(
                r"\sum_x\frac{p_{data}(x)-p_g(x)}{p_{data}(x)+p_g(x)}",
                "the square is missing: differences of both signs would cancel",
            ),
            NearMiss(
                r"\sum_x\frac{(p_{data}(x)-p_g(x))^2}{p_g(x)}",
                "the denominator is p_data + p_g: this is χ² to p_g alone, and can be boundless",
            ),
            NearMiss(
                r"\sum_x\frac{p_g(x)^2}{p_{data}(x)+p_g(x)}",
                "this is for a = 0, b = c = 1: a useful loss, but not 0 at p_g = p_data",
            ),
        ),
    ),
)

# -- exercises -------------------------------------------------------------------------------------

(_PI,) = real("pi")


def _shared(p_data, p_g, pi):
    pi = pi.unsqueeze(-1)
    return pi * p_data / (pi * p_data + (1 - pi) * p_g)


def _apart(first):
    """Random tables of which only two pictures, the first or the last, are ever drawn."""

    def draw(generator, count):
        table = torch.zeros(count, 4, dtype=torch.float64)
        table[:, first : first + 2] = simplex(2)(generator, count)
        return table

    return draw


def _smoothed_at_most(p, q):
    """The D that is best where real pictures are labelled 0.9, by solving for it."""
    (d,) = positive("d")
    reward = p * (9 * sympy.log(d) + sympy.log(1 - d)) / 10 + q * sympy.log(1 - d)
    (best,) = sympy.solve(sympy.diff(reward, d), d)
    return best


_EXERCISES = (
    Equation(
        id="4.x1",
        title="the best discriminator of an uneven batch",
        lhs=r"D^\ast(x)",
        rhs=rf"\frac{{\pi\,{_DATA}(x)}}{{\pi\,{_DATA}(x)+(1-\pi)\,p_g(x)}}",
        meaning="A share π of the batch is real, the rest is made.",
        quantity="the best answer",
        free_index="x",
        reference=_shared,
        evidence=Numeric(
            points(p_data=simplex(4), p_g=simplex(4), pi=uniform(0.05, 0.95)),
            {**_PAIR_EXAMPLE, "pi": 0.25},
            where=_PICTURES,
        ),
        symbols={n: _TABLES[n] for n in ("p_data(x)", "p_g(x)")},
        definition=_for_every_world(
            lambda: _each(lambda p, q: _at_most(_PI * p, (1 - _PI) * q), _P, _Q),
            "derived by solving ∂/∂D(x) of π p_data log D + (1−π) p_g log(1−D) = 0 (SymPy)",
            pi=_PI,
        ),
        near_misses=(
            NearMiss(r"\frac{p_{data}(x)}{p_{data}(x)+p_g(x)}", "π is missing: this is π = ½"),
            NearMiss(
                r"\frac{(1-\pi)p_{data}(x)}{(1-\pi)p_{data}(x)+\pi\,p_g(x)}",
                "π and 1−π have changed places: π is the share of real pictures",
            ),
            NearMiss(
                r"\frac{\pi\,p_{data}(x)}{p_{data}(x)+p_g(x)}",
                "the shares belong below the line too, or fakes count as if there were no π",
            ),
        ),
    ),
    Equation(
        id="4.x2",
        title="the hinge loss of the discriminator",
        lhs=r"L_D",
        rhs=rf"\mathbb{{E}}_{{x\sim {_DATA}}}[\max(0,\,1-\ell(x))]"
        r"+\mathbb{E}_{z\sim p_z}[\max(0,\,1+\ell(G(z)))]",
        meaning="A picture costs nothing once its logit is beyond 1 on the right side.",
        quantity="the loss",
        reference=lambda real, fake: (1 - real).relu().mean(-1) + (1 + fake).relu().mean(-1),
        evidence=Numeric(_BATCH, _BATCH_EXAMPLE, where="random batches of four and four"),
        symbols=_BATCH_TABLES,
        cite="Lim & Ye 2017; Miyato et al. 2018, eq. 16",
        near_misses=(
            NearMiss(
                r"\mathbb{E}_{x\sim p_{data}}[\max(0,1+\ell(x))]"
                r"+\mathbb{E}_{z\sim p_z}[\max(0,1-\ell(G(z)))]",
                "the signs are swapped: real pictures should get logits above 1",
            ),
            NearMiss(
                r"\mathbb{E}_{x\sim p_{data}}[1-\ell(x)]+\mathbb{E}_{z\sim p_z}[1+\ell(G(z))]",
                "nothing is cut off at 0: what is already right would still be rewarded",
            ),
            NearMiss(
                r"\mathbb{E}_{x\sim p_{data}}[\max(0,-\ell(x))]"
                r"+\mathbb{E}_{z\sim p_z}[\max(0,\ell(G(z)))]",
                "the margin of 1 is missing: a discriminator that is 0 everywhere would be best",
            ),
            NearMiss(
                lambda real, fake: (1 - real.sigmoid()).mean(-1) + (1 + fake.sigmoid()).mean(-1),
                "the hinge is of the logits themselves, not of D = sigmoid(ℓ)",
            ),
        ),
    ),
    Equation(
        id="4.x3",
        title="the best discriminator under smoothed labels",
        lhs=r"D^\ast(x)",
        rhs=rf"\frac{{0.9\,{_DATA}(x)}}{{{_DATA}(x)+p_g(x)}}",
        meaning="Real pictures are labelled 0.9 and fakes 0.",
        quantity="the best answer",
        free_index="x",
        reference=lambda p_data, p_g: 0.9 * _best(p_data, p_g),
        **_in_pictures(
            None,
            definition=_for_every_world(
                lambda: _each(_smoothed_at_most, _P, _Q),
                "derived by solving ∂/∂D(x) of p_data (0.9 log D + 0.1 log(1−D)) + p_g log(1−D) "
                "= 0 (SymPy)",
            ),
        ),
        cite="Salimans et al. 2016, section 3.4",
        near_misses=(
            NearMiss(
                r"\frac{0.9\,p_{data}(x)+0.1\,p_g(x)}{p_{data}(x)+p_g(x)}",
                "this smooths both sides: fakes keep their label 0, or D rewards bad fakes",
            ),
            NearMiss(
                r"\frac{0.9\,p_{data}(x)}{0.9\,p_{data}(x)+p_g(x)}",
                "a label of 0.9 does not mean that fewer pictures are real: below the line all of "
                "p_data counts",
            ),
            NearMiss(
                r"\frac{p_{data}(x)}{p_{data}(x)+p_g(x)}", "this is without smoothing, label 1"
            ),
        ),
    ),
    Equation(
        id="4.x4",
        title="the largest Jensen-Shannon divergence",
        lhs=_JSD,
        rhs=r"\log 2",
        meaning="Of p_data and p_g that have no picture in common, however near these look.",
        quantity="the divergence",
        reference=_jsd,
        evidence=Numeric(
            points(p_data=_apart(0), p_g=_apart(2)),
            {"p_data": [0.5, 0.5, 0.0, 0.0], "p_g": [0.0, 0.0, 0.5, 0.5]},
            where="random worlds where no picture is in both",
        ),
        definition=Definition(
            "derived by adding up, where 0·log 0 is 0 and m is half of p_data or of p_g (SymPy)",
            lambda: (
                _sum(lambda p: p * sympy.log(p / (p / 2)) / 2, _P[:1] + (1 - _P[0],))
                + _sum(lambda q: q * sympy.log(q / (q / 2)) / 2, _Q[:1] + (1 - _Q[0],))
            ),
            {"p_data": (*_P[:2], 0, 0), "p_g": (0, 0, *_Q[:2])},
        ),
        cite="Arjovsky & Bottou 2017, section 2.1",
        near_misses=(
            NearMiss(
                r"2\log 2", "each of the two gives ½ log 2: their mean is log 2, and V(D*,G) is 0"
            ),
            NearMiss(math.inf, "KL is infinite here; m has every picture, so JSD is not"),
            NearMiss("0", "0 is V(D*,G) here; the divergence is at its largest"),
            NearMiss("1", "this is in bits; the logarithm here is the natural one"),
        ),
    ),
)

EQUATIONS = (
    *_GAME, *_BEST_DISCRIMINATOR, *_LOGITS, *_LOSSES, *_SLOPES, *_OTHER_LOSSES,
    *gan_games.EQUATIONS, *_EXERCISES, *gan_games.EXERCISES,
)  # fmt: skip
