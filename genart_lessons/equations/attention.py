"""Chapter 06, attention and the Transformer: dot products, their softmax, masks, places and heads.

The worlds are small: three or four positions, with queries and keys four numbers wide, so that
√d_k is 2. A function is asked at P of them at once, so every argument begins with the axis of the
points. What a Transformer builds of it is in ``attention_blocks``.
"""

import itertools
import math

import sympy
import torch

from genart_lessons.equations import attention_blocks
from genart_lessons.equations.derive import entries, positive, real
from genart_lessons.proof import Definition, Equation, Jacobian, NearMiss, Numeric
from genart_lessons.proof.draws import normal, points, uniform, whole

# -- how large a dot product is --------------------------------------------------------------------


def _width(most):
    """Whole numbers from 1 to ``most``, as numbers."""
    return lambda generator, count: (1 + whole(most)(generator, count)).double()


def _counted_variance(d_k, sigma_q, sigma_k):
    """Var(q·k) over every pair of vectors of ±σ, all equally likely: 4^d_k of them."""
    found = torch.empty_like(sigma_q)
    for n in d_k.unique().int().tolist():
        signs = torch.tensor(list(itertools.product((1.0, -1.0), repeat=2 * n)), dtype=d_k.dtype)
        here = d_k == n
        q = sigma_q[here, None, None] * signs[:, :n]
        k = sigma_k[here, None, None] * signs[:, n:]
        found[here] = (q * k).sum(-1).var(-1, correction=0)
    return found


_SPREADS = points(d_k=_width(5), sigma_q=uniform(0.3, 2), sigma_k=uniform(0.3, 2))
_WIDTH, _S_Q, _S_K, _C = positive("d_k", "sigma_q", "sigma_k", "c")
_WIDTHS = "widths and spreads, every vector of ±σ counted"


def _variance_in_letters(s_q, s_k):
    """Of one product of two entries ±σ, times the number of such products."""
    products = [a * b for a in (s_q, -s_q) for b in (s_k, -s_k)]
    mean = sympy.Add(*products) / 4
    return _WIDTH * (sympy.Add(*(x**2 for x in products)) / 4 - mean**2)


_PRODUCTS = (
    Equation(
        id="6.1",
        title="dot products grow",
        lhs=r"\mathrm{Var}(q\cdot k)",
        rhs=r"d_k\,\sigma_q^2\,\sigma_k^2",
        meaning="Of two vectors with d_k independent entries each, of mean 0 and spreads σ_q, σ_k.",
        quantity="the variance",
        reference=_counted_variance,
        evidence=Numeric(_SPREADS, {"d_k": 4.0, "sigma_q": 1.0, "sigma_k": 2.0}, where=_WIDTHS),
        definition=Definition(
            "derived from d_k products of independent entries ±σ (SymPy)",
            lambda: _variance_in_letters(_S_Q, _S_K),
            {"d_k": _WIDTH, "sigma_q": _S_Q, "sigma_k": _S_K},
        ),
        sources=("E4",),
        cite="Vaswani et al. 2017, footnote 4",
        near_misses=(
            NearMiss(
                r"\sqrt{d_k}\,\sigma_q\sigma_k",
                "this is the standard deviation; the variance is its square",
            ),
            NearMiss(
                r"\sigma_q^2\sigma_k^2", "this is one product: there are d_k, and they add up"
            ),
            NearMiss(
                r"d_k^2\,\sigma_q^2\sigma_k^2",
                "d_k is squared: independent terms add their variances, not their spreads",
            ),
            NearMiss(r"d_k\,\sigma_q\sigma_k", "spreads stand where the variances σ² belong"),
            NearMiss("d_k", "this is for spreads of 1: each product varies by σ_q²σ_k²"),
            NearMiss(
                r"d_k(\sigma_q^2+\sigma_k^2)",
                "this is the variance of Σ(qᵢ + kᵢ): here the entries are multiplied",
            ),
        ),
    ),
    Equation(
        id="6.2",
        title="the factor that puts it right",
        lhs=r"\mathrm{Var}(c\,q\cdot k)=1\;\Longrightarrow\;c",
        rhs=r"\frac{1}{\sqrt{d_k}}",
        meaning="Times this, a dot product of entries of variance 1 has variance 1, at any width.",
        quantity="the factor",
        reference=lambda d_k: _counted_variance(
            d_k, torch.ones_like(d_k), torch.ones_like(d_k)
        ).rsqrt(),
        evidence=Numeric(points(d_k=_width(5)), {"d_k": 4.0}, where=_WIDTHS),
        definition=Definition(
            "derived by solving c² Var(q·k) = 1 for c (SymPy)",
            lambda: sympy.solve(_C**2 * _variance_in_letters(1, 1) - 1, _C)[0],
            {"d_k": _WIDTH},
        ),
        sources=("E4",),
        cite="Vaswani et al. 2017, section 3.2.1",
        near_misses=(
            NearMiss(
                "d_k",
                "d_k is no factor: it is how many numbers a key has. What scales is 1/√d_k",
                source="E4",
            ),
            NearMiss(
                r"\frac{1}{d_k}",
                "divided by d_k itself: the variance falls to 1/d_k, and attention goes flat",
            ),
            NearMiss("1", "not scaled at all: the variance stays d_k, and grows with the width"),
            NearMiss(
                r"\sqrt{d_k}", "multiplied by √d_k: the variance becomes d_k², and all the larger"
            ),
        ),
    ),
)

# -- weights ---------------------------------------------------------------------------------------

_QK = points(q=uniform(-2, 2, 3, 4), k=uniform(-2, 2, 3, 4))
_Q_EXAMPLE = [[2.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]
_K_EXAMPLE = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
_V_EXAMPLE = [[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]]
_QKV = points(q=uniform(-2, 2, 3, 4), k=uniform(-2, 2, 3, 4), v=uniform(-2, 2, 3, 2))
_QS, _KS = ([entries(f"{name}_{t + 1}", 4) for t in range(3)] for name in "qk")
_QKV_EXAMPLE = {"q": _Q_EXAMPLE, "k": _K_EXAMPLE, "v": _V_EXAMPLE}


def _scores(q, k, scale=None):
    """q_t·k_j for every t and j, over √d_k or over another ``scale``: (P, T, T)."""
    return q @ k.mT / (math.sqrt(q.shape[-1]) if scale is None else scale)


def _weights_in_letters():
    """e^s over the sum of its row, for three queries and keys of width 4, where √d_k is 2."""
    table = [
        [sympy.exp(sympy.Add(*(a * b for a, b in zip(q, k, strict=True))) / 2) for k in _KS]
        for q in _QS
    ]
    return tuple(e / sympy.Add(*row) for row in table for e in row)


def _attend(q, k, v, scale=None, axis=-1):
    return _scores(q, k, scale).softmax(axis) @ v


_WEIGHTS = (
    Equation(
        id="6.3",
        title="the weights of a query",
        lhs=r"a_{tj}",
        rhs=r"\frac{\exp\big(q_t\cdot k_j/\sqrt{d_k}\big)}"
        r"{\sum_{i=1}^{T}\exp\big(q_t\cdot k_i/\sqrt{d_k}\big)}",
        meaning="How much position t looks at position j; over all j it adds up to 1.",
        quantity="the table of weights",
        free_index="tj",
        reference=lambda q, k: _scores(q, k).softmax(-1),
        evidence=Numeric(
            _QK, {"q": _Q_EXAMPLE, "k": _K_EXAMPLE}, where="random sets of three queries and keys"
        ),
        symbols={"d_k": lambda q, k: torch.full_like(q[:, 0, 0], q.shape[-1])},
        definition=Definition(
            "derived from e^s over its row's sum, for three queries and keys of width 4 (SymPy)",
            _weights_in_letters,
            {"q": tuple(_QS), "k": tuple(_KS), "d_k": sympy.Integer(4)},
        ),
        sources=("E4",),
        cite="Vaswani et al. 2017, eq. 1",
        near_misses=(
            NearMiss(
                r"\frac{\exp(q_t\cdot k_j/d_k)}{\sum_i\exp(q_t\cdot k_i/d_k)}",
                "divided by d_k, where its root belongs: the weights are too flat",
            ),
            NearMiss(
                r"\frac{\exp(q_t\cdot k_j)}{\sum_i\exp(q_t\cdot k_i)}",
                "not scaled: with d_k the dot products grow, and one key takes it all",
            ),
            NearMiss(
                r"\frac{\exp(\sqrt{d_k}\,q_t\cdot k_j)}{\sum_i\exp(\sqrt{d_k}\,q_t\cdot k_i)}",
                "multiplied by √d_k, where it is divided by it",
            ),
            NearMiss(
                r"\frac{\exp(q_t\cdot k_j/\sqrt{d_k})}{\sum_i\exp(q_i\cdot k_j/\sqrt{d_k})}",
                "softmax over the wrong axis: the queries share out a key here, and the weights "
                "of one query do not add up to 1",
            ),
            NearMiss(r"\exp(q_t\cdot k_j/\sqrt{d_k})", "not normalised: these do not add up to 1"),
            NearMiss(
                r"\frac{q_t\cdot k_j}{\sum_i q_t\cdot k_i}",
                "the exponential is missing: a weight can be negative here, or without bound",
            ),
            NearMiss(
                r"\frac{\exp(k_t\cdot q_j/\sqrt{d_k})}{\sum_i\exp(k_t\cdot q_i/\sqrt{d_k})}",
                "queries and keys have changed places: the query asks, and keys are compared",
            ),
            NearMiss(
                lambda q, k: _scores(q, k).softmax(0),
                "softmax over the points (dim=0), which have nothing to do with each other: take "
                "dim=-1",
            ),
            NearMiss(
                r"\frac{q_t\cdot k_j}{\sqrt{d_k}}",
                "these are the scores: the softmax makes weights of them",
            ),
            NearMiss(
                lambda q, k: _scores(q, k).flatten(1).softmax(-1).view(-1, 3, 3),
                "one softmax over the whole table: each query has weights of its own that add up "
                "to 1",
            ),
        ),
    ),
    Equation(
        id="6.4",
        title="attention",
        lhs=r"\mathrm{Attention}(Q,K,V)",
        rhs=r"\mathrm{softmax}\left(\frac{QK^\top}{\sqrt{d_k}}\right)V",
        meaning="For each row of Q a weighted mean of the rows of V; d_k is the width of a key.",
        quantity="attention",
        reference=_attend,
        evidence=Numeric(_QKV, _QKV_EXAMPLE, where="random sets of three queries, keys and values"),
        typeset_only="it is made of whole matrices",
        sources=("E4",),
        cite="Vaswani et al. 2017, eq. 1",
        near_misses=(
            NearMiss(
                lambda q, k, v: _attend(q, k, v, q.shape[-1]),
                "the scores are divided by d_k, the width of a key, which is no scaling factor "
                "itself: its root is",
            ),
            NearMiss(
                lambda q, k, v: _attend(q, k, v, 1.0),
                "the scores are not scaled: divide them by √d_k",
            ),
            NearMiss(
                lambda q, k, v: _attend(q, k, v, v.shape[-1] ** 0.5),
                "divided by the root of the values' width: it is the keys that are multiplied",
            ),
            NearMiss(
                lambda q, k, v: _attend(q, k, v, 1 / q.shape[-1] ** 0.5),
                "multiplied by √d_k: the scores are to be divided by it",
            ),
            NearMiss(
                lambda q, k, v: _attend(q, k, v, axis=-2),
                "softmax over the wrong axis: along the keys (dim=-1) the weights add up to 1",
            ),
            NearMiss(
                lambda q, k, v: _attend(q, k, v, axis=0),
                "softmax over the points (dim=0), which have nothing to do with each other: take "
                "dim=-1",
            ),
            NearMiss(
                lambda q, k, v: _scores(q, k) @ v,
                "the softmax is missing: these are no weights",
            ),
            NearMiss(
                lambda q, k, v: (_scores(q, k) @ v).softmax(-1),
                "the softmax comes last: it makes weights of the scores, before V",
            ),
            NearMiss(
                lambda q, k, v: _scores(q, k, 1.0).softmax(-1) / q.shape[-1] ** 0.5 @ v,
                "scaled after the softmax: it belongs inside, or the weights add up to 1/√d_k",
            ),
            NearMiss(
                lambda q, k, v: _attend(k, q, v),
                "queries and keys have changed places: each row of Q asks, so it has a row of "
                "the answer",
            ),
            NearMiss(
                lambda q, k, v: _scores(q, k).softmax(-1),
                "these are the weights: multiply V by them",
            ),
            NearMiss(
                lambda q, k, v: _masked(_scores(q, k)) @ v,
                "the future is masked: (6.4) looks at every key, and (6.7) hides some",
            ),
            NearMiss(
                lambda q, k, v: _scores(q, k).softmax(-1).mT @ v,
                "the weights are transposed: what a query looks at stands in its row",
            ),
        ),
    ),
)

# -- the softmax, and where it stops learning ------------------------------------------------------

_LOGITS = points(logits=uniform(-3, 3, 4))
_LOGITS_EXAMPLE = {"logits": [0.0, math.log(2), math.log(3), math.log(4)]}
_SOFTMAX = {
    "p": lambda logits: logits.softmax(-1),
    "ell": lambda logits: logits,
}
_ELL = entries("ell", 4)
_P = tuple(sympy.exp(ell) / sympy.Add(*map(sympy.exp, _ELL)) for ell in _ELL)
_SOFTMAX_LETTERS = {"logits": _ELL, "ell": _ELL, "p": _P}


def _slopes_in_letters():
    """∂pᵢ/∂ℓⱼ, row by row."""
    return tuple(sympy.diff(p, ell) for p in _P for ell in _ELL)


def _all_slopes(logits):
    p = logits.softmax(-1)
    return torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2)


_SATURATION = (
    Equation(
        id="6.5",
        title="the softmax's derivatives",
        lhs=r"\frac{\partial p_i}{\partial\ell_j}",
        rhs=r"p_i\,\big([i=j]-p_j\big)",
        meaning="[i = j] is 1 where i is j, else 0: a logit lifts its own share, at all others' "
        "cost.",
        quantity="the Jacobian",
        free_index="ij",
        reference=_all_slopes,
        evidence=Jacobian(
            _LOGITS, _LOGITS_EXAMPLE, of=lambda logits: logits.softmax(-1), wrt="logits"
        ),
        symbols=_SOFTMAX,
        definition=Definition(
            "derived by differentiating e^ℓ/Σe^ℓ by each of 4 logits (SymPy)",
            _slopes_in_letters,
            _SOFTMAX_LETTERS,
        ),
        cite="Bridle 1990",
        near_misses=(
            NearMiss(
                r"p_i(1-p_j)",
                "[i = j] is 1 on the diagonal only: elsewhere a rising logit takes, −pᵢpⱼ",
            ),
            NearMiss(
                r"[i=j]\,p_i(1-p_i)",
                "only the diagonal: a logit moves the other shares as well, or they would not "
                "add up to 1",
            ),
            NearMiss(r"[i=j]-p_j", "pᵢ in front is missing: this is the derivative of log pᵢ"),
            NearMiss(r"p_i\,(p_j-[i=j])", "the sign is turned round: a logit lifts its own share"),
            NearMiss(r"-p_ip_j", "the diagonal lacks its pᵢ: no row would add up to 0"),
            NearMiss(r"[i=j]-p_i", "this is the derivative of log pⱼ by ℓᵢ: multiply by pⱼ"),
        ),
    ),
    Equation(
        id="6.6",
        title="saturation",
        lhs=r"\sum_i\sum_j\left|\frac{\partial p_i}{\partial\ell_j}\right|",
        rhs=r"2\Big(1-\sum_i p_i^2\Big)",
        meaning="How much all derivatives come to: the surer the softmax, the less it can learn.",
        quantity="the sum",
        reference=lambda logits: _all_slopes(logits).abs().sum((-1, -2)),
        evidence=Numeric(_LOGITS, _LOGITS_EXAMPLE),
        symbols=_SOFTMAX,
        definition=Definition(
            "derived from the Jacobian (6.5), positive on the diagonal and negative beside it "
            "(SymPy)",
            lambda: sympy.Add(
                *(slope if n % 5 == 0 else -slope for n, slope in enumerate(_slopes_in_letters()))
            ),
            _SOFTMAX_LETTERS,
        ),
        near_misses=(
            NearMiss(
                r"1-\sum_i p_i^2", "this is the diagonal alone: the rest comes to the same again"
            ),
            NearMiss(r"2\sum_i p_i^2", "the 1− is missing: this is largest where one p is 1"),
            NearMiss(
                r"\sum_i p_i-\sum_i p_i\sum_j p_j",
                "without the absolute values everything cancels: each row adds up to 0",
            ),
            NearMiss(
                r"-2\sum_i p_i\log p_i",
                "this is twice the entropy: it vanishes at the same places, and is another measure",
            ),
        ),
    ),
)

# -- who may look where ----------------------------------------------------------------------------

_SCORES = points(scores=uniform(-2, 2, 4, 4))
_S = [entries(f"s_{t + 1}", 4) for t in range(4)]


def _masked(scores, offset=0):
    """The softmax over j ≤ t + offset."""
    hidden = torch.ones_like(scores, dtype=torch.bool).triu(offset + 1)
    return scores.masked_fill(hidden, -math.inf).softmax(-1)


def _after(scores, weight):
    """A mask added to the weights, when the softmax has been taken."""
    return scores.softmax(-1) + torch.zeros_like(scores).masked_fill(
        torch.ones_like(scores, dtype=torch.bool).triu(1), weight
    )


def _looks_back_in_letters():
    """The softmax, with the scores of later positions lowered by b, and b → ∞."""
    (kept,) = positive("kept")  # e^{−b}
    lowered = [[sympy.exp(_S[t][j]) * kept ** int(j > t) for j in range(4)] for t in range(4)]
    shares = (e / sympy.Add(*row) for row in lowered for e in row)
    return tuple(share.subs(kept, 0) for share in shares)


def _permutation(size):
    """Random permutation matrices, (P, size, size)."""

    def draw(generator, count):
        order = torch.rand(count, size, generator=generator).argsort(-1)
        return torch.nn.functional.one_hot(order, size).double()

    return draw


_MASK = (
    Equation(
        id="6.7",
        title="the causal mask",
        lhs=r"a_{tj}",
        rhs=r"\frac{[j\le t]\,e^{s_{tj}}}{\sum_{i\le t}e^{s_{ti}}}",
        meaning="Position t looks at itself and at what came before, never ahead; s are the "
        "scaled scores.",
        quantity="the table of weights",
        free_index="tj",
        reference=_masked,
        evidence=Numeric(_SCORES, {"scores": [[0.0] * 4] * 4}, where="random tables of scores"),
        symbols={"s": lambda scores: scores},
        definition=Definition(
            "derived by sending the scores of later positions to −∞ (SymPy)",
            _looks_back_in_letters,
            {"s": tuple(_S), "scores": tuple(_S)},
        ),
        cite="Vaswani et al. 2017, section 3.2.3",
        near_misses=(
            NearMiss(
                r"[j\le t]\,\frac{e^{s_{tj}}}{\sum_i e^{s_{ti}}}",
                "the mask is applied after the softmax: the weights do not add up to 1, and what "
                "is ahead still counts in the sum below",
            ),
            NearMiss(
                lambda scores: _after(scores, -math.inf),
                "the mask is added after the softmax: −∞ belongs to the scores, before it",
            ),
            NearMiss(
                lambda scores: _after(scores, -1e9),
                "the mask is added after the softmax: −10⁹ is to be added to a score, not to a "
                "weight",
            ),
            NearMiss(
                lambda scores: scores.tril().softmax(-1),
                "the scores ahead are set to 0, and e⁰ is 1: set them to −∞ for a weight of 0",
            ),
            NearMiss(
                lambda scores: (scores + torch.ones_like(scores).tril()).softmax(-1),
                "the mask is added as 0 and 1: what is hidden takes −∞, and what is seen 0",
            ),
            NearMiss(
                lambda scores: torch.nan_to_num(_masked(scores, -1)),
                "the mask is one off: no position sees itself, and the first sees nothing",
            ),
            NearMiss(
                r"\frac{[j<t]\,e^{s_{tj}}}{\sum_{i<t}e^{s_{ti}}}",
                "the mask is one off: no position sees itself, and the first divides by 0",
            ),
            NearMiss(
                lambda scores: _masked(scores, 1),
                "the mask is one off: each position sees the next one, which it is to predict",
            ),
            NearMiss(
                lambda scores: scores.masked_fill(
                    torch.ones_like(scores, dtype=torch.bool).tril(-1), -math.inf
                ).softmax(-1),
                "the mask is turned round: each position looks ahead, and never back",
            ),
            NearMiss(
                lambda scores: scores.masked_fill(
                    torch.ones_like(scores, dtype=torch.bool).tril(), -math.inf
                ).softmax(-1),
                "the mask is turned round: where it is true, masked_fill hides, and here that is "
                "all that may be seen",
            ),
            NearMiss(
                r"\frac{e^{s_{tj}}}{\sum_i e^{s_{ti}}}",
                "there is no mask: every position sees the whole future",
            ),
            NearMiss(
                r"\frac{[j\le t]\,e^{s_{tj}}}{\sum_i[j\le i]\,e^{s_{ij}}}",
                "softmax over the wrong axis: the queries share out a key here",
            ),
            NearMiss(r"[j\le t]\,e^{s_{tj}}", "not normalised: the weights of a row add up to 1"),
        ),
    ),
    Equation(
        id="6.8",
        title="order is not seen",
        lhs=r"\mathrm{Attention}(\Pi Q,\Pi K,\Pi V)",
        rhs=r"\Pi\,\mathrm{Attention}(Q,K,V)",
        meaning="Shuffle the positions by Π, and the answers are shuffled likewise: nothing else "
        "changes.",
        quantity="attention of the shuffled rows",
        reference=lambda q, k, v, Pi: _attend(Pi @ q, Pi @ k, Pi @ v),
        evidence=Numeric(
            points(
                q=uniform(-2, 2, 3, 4),
                k=uniform(-2, 2, 3, 4),
                v=uniform(-2, 2, 3, 2),
                Pi=_permutation(3),
            ),
            {**_QKV_EXAMPLE, "Pi": [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]},
            where="random orders of three positions",
        ),
        typeset_only="it is made of whole matrices",
        cite="Lee et al. 2019, section 3",
        near_misses=(
            NearMiss(
                lambda q, k, v, Pi: _attend(q, k, v),
                "nothing is shuffled: that would be invariance, as of a mean over all positions",
            ),
            NearMiss(
                lambda q, k, v, Pi: Pi.mT @ _attend(q, k, v),
                "shuffled the other way: Πᵀ undoes what Π does",
            ),
            NearMiss(
                lambda q, k, v, Pi: _attend(q, Pi @ k, v),
                "keys are shuffled and values are not: each key must keep its own value",
            ),
            NearMiss(
                lambda q, k, v, Pi: Pi @ _attend(q, k, v, 1.0),
                "shuffled as it should be, but the scores are not scaled by √d_k",
            ),
        ),
    ),
)

# -- places ----------------------------------------------------------------------------------------

_FEATURES = 6


def _angles(t, base=10000.0, step=2.0):
    """t / base^(2i/d) for i = 0, 1, 2: (P, 3)."""
    i = torch.arange(_FEATURES // 2, dtype=t.dtype)
    return t.unsqueeze(-1) / base ** (step * i / _FEATURES)


def _in_turn(angles, first=torch.sin, second=torch.cos):
    return torch.stack([first(angles), second(angles)], -1).flatten(-2)


def _places(s, t, omega):
    """Σ over both entries of each pair: (sin sω, cos sω)·(sin tω, cos tω)."""
    at_s, at_t = s.unsqueeze(-1) * omega, t.unsqueeze(-1) * omega
    return (at_s.sin() * at_t.sin() + at_s.cos() * at_t.cos()).sum(-1)


def _turned(x, angle):
    """The pair x, turned by the angle."""
    a, b = x.unbind(-1)
    return torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)


def _rotary(q, k, m, n, theta):
    return (_turned(q, m * theta) * _turned(k, n * theta)).sum(-1)


_TURN = points(
    q=uniform(-2, 2, 2), k=uniform(-2, 2, 2), m=_width(20), n=_width(20), theta=uniform(0.1, 2)
)
_PLACE_S, _PLACE_T, _M, _N, _THETA = real("s", "t", "m", "n", "theta")
_OMEGA, _Q2, _K2 = entries("omega", 3), entries("q", 2), entries("k", 2)


def _places_in_letters():
    return sympy.Add(
        *(f(_PLACE_S * w) * f(_PLACE_T * w) for w in _OMEGA for f in (sympy.sin, sympy.cos))
    )


def _turn_in_letters(x, angle):
    c, s = sympy.cos(angle), sympy.sin(angle)
    return c * x[0] - s * x[1], s * x[0] + c * x[1]


def _rotary_in_letters():
    q, k = _turn_in_letters(_Q2, _M * _THETA), _turn_in_letters(_K2, _N * _THETA)
    return q[0] * k[0] + q[1] * k[1]


_PLACES = (
    Equation(
        id="6.9",
        title="positions as waves",
        lhs=r"p_{t,2i}",
        rhs=r"\sin\frac{t}{10000^{2i/d}},\qquad p_{t,2i+1}=\cos\frac{t}{10000^{2i/d}}",
        meaning="A vector for each place t, to be added to what stands there; here d = 6 and "
        "i = 0, 1, 2.",
        quantity="the vector",
        reference=lambda t: _in_turn(_angles(t)),
        evidence=Numeric(
            points(t=lambda generator, count: whole(512)(generator, count).double()),
            {"t": 1.0},
            where="random places from 0 to 511",
        ),
        typeset_only="even and odd columns differ",
        cite="Vaswani et al. 2017, section 3.5",
        near_misses=(
            NearMiss(
                lambda t: torch.cat([_angles(t).sin(), _angles(t).cos()], -1),
                "all sines come first, then all cosines: here they take turns, column by column",
            ),
            NearMiss(
                lambda t: _in_turn(_angles(t), torch.cos, torch.sin),
                "sine and cosine have changed places: even columns have the sine",
            ),
            NearMiss(
                lambda t: _in_turn(_angles(t, step=1.0)),
                "the exponent is 2i/d, and i counts pairs of columns: this is i/d",
            ),
            NearMiss(
                lambda t: torch.stack(
                    [
                        (t / 10000 ** (c / 6)).cos() if c % 2 else (t / 10000 ** (c / 6)).sin()
                        for c in range(_FEATURES)
                    ],
                    -1,
                ),
                "each column has a wave of its own: the sine and the cosine of a pair share one",
            ),
            NearMiss(
                lambda t: _in_turn(_angles(t)[..., :1].expand(-1, 3)),
                "every pair has the same wave: the wavelength must grow with i",
            ),
            NearMiss(
                lambda t: _in_turn(_angles(t, base=1 / 10000.0)),
                "multiplied by 10000^(2i/d), where t is divided by it",
            ),
            NearMiss(
                lambda t: _in_turn(_angles(t + 1)),
                "the places are one off: the first is place 0",
            ),
            NearMiss(
                lambda t: _in_turn(_angles(t - t)),
                "every place gets the vector of place 0, as where positions restart at each call",
            ),
            NearMiss(
                lambda t: _in_turn(_angles(t), torch.sin, torch.sin),
                "sines only: a wave alone does not tell rising from falling, so it takes both",
            ),
        ),
    ),
    Equation(
        id="6.10",
        title="only the distance counts",
        lhs=r"p_s\cdot p_t",
        rhs=r"\sum_i\cos\big((s-t)\,\omega_i\big)",
        meaning="Compare two places and the places themselves drop out; ωᵢ is 10000^(−2i/d).",
        quantity="the product",
        reference=_places,
        evidence=Numeric(
            points(s=_width(30), t=_width(30), omega=uniform(0.05, 1.5, 3)),
            {"s": 3.0, "t": 1.0, "omega": [1.0, 0.5, 0.25]},
            where="random places and waves",
        ),
        definition=Definition(
            "derived from sin sω sin tω + cos sω cos tω, over 3 waves (SymPy)",
            _places_in_letters,
            {"s": _PLACE_S, "t": _PLACE_T, "omega": _OMEGA},
        ),
        cite="Vaswani et al. 2017, section 3.5",
        near_misses=(
            NearMiss(
                r"\sum_i\cos\big((s+t)\omega_i\big)",
                "the sum of the places, not their distance: a shift of both would change it",
            ),
            NearMiss(
                r"\sum_i\sin\big((s-t)\omega_i\big)",
                "the sine of the distance: at distance 0 this is 0, where it should be largest",
            ),
            NearMiss(
                r"\sum_i\cos(s\omega_i)\cos(t\omega_i)",
                "the sines' part is missing: without it the places do not drop out",
            ),
            NearMiss(
                r"\cos\Big((s-t)\sum_i\omega_i\Big)",
                "the waves are added up inside the cosine: each has a cosine of its own",
            ),
            NearMiss(
                r"2\sum_i\cos\big((s-t)\omega_i\big)",
                "each pair, sine and cosine, makes one cosine of the distance, not two",
            ),
        ),
    ),
    Equation(
        id="6.11",
        title="rotary positions",
        lhs=r"(R_m q)\cdot(R_n k)",
        rhs=r"(q_1k_1+q_2k_2)\cos\big((n-m)\theta\big)+(q_2k_1-q_1k_2)\sin\big((n-m)\theta\big)",
        meaning="The query at place m is turned by mθ, the key at place n by nθ: their product "
        "knows n − m only.",
        quantity="the product",
        reference=_rotary,
        evidence=Numeric(
            _TURN,
            {"q": [1.0, 0.0], "k": [1.0, 2.0], "m": 1.0, "n": 3.0, "theta": 0.5},
            where="random pairs and places",
        ),
        symbols={
            "q_1": lambda q, **_: q[:, 0],
            "q_2": lambda q, **_: q[:, 1],
            "k_1": lambda k, **_: k[:, 0],
            "k_2": lambda k, **_: k[:, 1],
        },
        definition=Definition(
            "derived by turning both pairs and multiplying them (SymPy)",
            _rotary_in_letters,
            {
                "q": _Q2,
                "k": _K2,
                "q_1": _Q2[0],
                "q_2": _Q2[1],
                "k_1": _K2[0],
                "k_2": _K2[1],
                "m": _M,
                "n": _N,
                "theta": _THETA,
            },
        ),
        cite="Su et al. 2021, eqs. 13 and 16",
        near_misses=(
            NearMiss(
                r"(q_1k_1+q_2k_2)\cos(m\theta)+(q_1k_2-q_2k_1)\sin(m\theta)",
                "only the query is turned: the key must be turned too, or its place is lost",
            ),
            NearMiss(
                r"(q_1k_1+q_2k_2)\cos(n\theta)+(q_2k_1-q_1k_2)\sin(n\theta)",
                "only the key is turned: the query stands at place 0, as where positions restart "
                "at each call of the cache",
            ),
            NearMiss(
                r"(q_1k_1+q_2k_2)\cos((m+n)\theta)-(q_2k_1-q_1k_2)\sin((m+n)\theta)",
                "the key is turned backwards: the places add up, where their distance is wanted",
            ),
            NearMiss(
                r"(q_1k_1+q_2k_2)\cos((n-m)\theta)-(q_2k_1-q_1k_2)\sin((n-m)\theta)",
                "the sine's sign is turned round: this is the distance the other way, m − n",
            ),
            NearMiss(
                r"q_1k_1+q_2k_2",
                "nothing is turned: the positions are in neither, and order is not seen",
            ),
            NearMiss(
                r"(q_1k_1+q_2k_2)\cos((n-m)\theta)",
                "the sine's part is missing: ahead and behind would look alike",
            ),
        ),
    ),
)

# -- heads -----------------------------------------------------------------------------------------

_HEADS = 2


def _split(x):
    """(P, T, H·d_k) → (P, H, T, d_k): each head has d_k columns that lie side by side."""
    return x.unflatten(-1, (_HEADS, -1)).transpose(1, 2)


def _merge(x):
    return x.transpose(1, 2).flatten(-2)


def _cut(x):
    """What a plain reshape makes of it: pieces that mix positions."""
    return x.reshape(len(x), _HEADS, x.shape[1], -1)


def _glue(x):
    return x.reshape(len(x), x.shape[2], -1)


def _every_other(x):
    return x.unflatten(-1, (-1, _HEADS)).permute(0, 3, 1, 2)


def _many_heads(q, k, v, W_o):
    """The sum in (6.12) as it stands: each head's answer, through its own rows of W_O."""
    width = q.shape[-1] // _HEADS
    columns = [slice(h * width, (h + 1) * width) for h in range(_HEADS)]
    return sum(_attend(q[..., h], k[..., h], v[..., h]) @ W_o[:, h] for h in columns)


def _by_heads(q, k, v, split=_split, merge=_merge, scale=None):
    return merge(_attend(split(q), split(k), split(v), scale))


_MANY_HEADS = (
    Equation(
        id="6.12",
        title="many heads",
        lhs=r"\mathrm{MultiHead}(Q,K,V)",
        rhs=r"\sum_{h=1}^{H}\mathrm{softmax}\left(\frac{Q_hK_h^\top}{\sqrt{d_k}}\right)V_h\,W_h",
        meaning="Head h has d_k columns of Q, K and V and as many rows of W_O; here H = 2 and "
        "d_k = 2. The same as: concatenate the heads, then times W_O.",
        quantity="the answer",
        reference=_many_heads,
        evidence=Numeric(
            points(
                q=uniform(-2, 2, 3, 4),
                k=uniform(-2, 2, 3, 4),
                v=uniform(-2, 2, 3, 4),
                W_o=normal(4, 4),
            ),
            {
                "q": _Q_EXAMPLE,
                "k": _K_EXAMPLE,
                "v": [[1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 0.0, 2.0], [1.0, 1.0, 0.0, 0.0]],
                "W_o": torch.eye(4).tolist(),
            },
            where="random sets of queries, keys and values",
        ),
        typeset_only="it is made of whole matrices",
        cite="Vaswani et al. 2017, section 3.2.2",
        near_misses=(
            NearMiss(
                lambda q, k, v, W_o: _by_heads(q, k, v, merge=_glue) @ W_o,
                "the heads are concatenated by a plain reshape: transpose heads and positions "
                "first, or a row mixes positions",
            ),
            NearMiss(
                lambda q, k, v, W_o: _by_heads(q, k, v, split=_cut) @ W_o,
                "the heads are split by a plain reshape: it cuts positions, not columns; unflatten "
                "the columns, then transpose",
            ),
            NearMiss(
                lambda q, k, v, W_o: _by_heads(q, k, v, split=_cut, merge=_glue) @ W_o,
                "split and joined by plain reshapes: the shapes fit, but a head then sees pieces "
                "of several positions",
            ),
            NearMiss(
                lambda q, k, v, W_o: (
                    _attend(*(x.unflatten(-1, (_HEADS, -1)) for x in (q, k, v))).flatten(-2) @ W_o
                ),
                "heads and positions are not transposed before attention: each position looks at "
                "nothing but its own heads",
            ),
            NearMiss(
                lambda q, k, v, W_o: _by_heads(q, k, v, scale=q.shape[-1] ** 0.5) @ W_o,
                "divided by the root of the whole width, H·d_k: a head's own width d_k is what "
                "its dot products run over",
            ),
            NearMiss(
                lambda q, k, v, W_o: _attend(q, k, v) @ W_o,
                "this is one wide head: one table of weights, where each head has its own",
            ),
            NearMiss(
                lambda q, k, v, W_o: (
                    _attend(_every_other(q), _every_other(k), _every_other(v))
                    .permute(0, 2, 3, 1)
                    .flatten(-2)
                    @ W_o
                ),
                "a head takes every second column: its columns are to lie side by side",
            ),
            NearMiss(
                lambda q, k, v, W_o: _by_heads(q, k, v) @ W_o.mT,
                "W_O is transposed: here it stands on the right, x @ W_o (nn.Linear keeps the "
                "transpose)",
            ),
            NearMiss(
                lambda q, k, v, W_o: _by_heads(q, k, v),
                "W_O is missing: without it the heads are never mixed",
            ),
            NearMiss(
                lambda q, k, v, W_o: _by_heads(q, k, v, scale=1.0) @ W_o,
                "the heads' scores are not scaled: divide by √d_k, d_k the width of a head",
            ),
            NearMiss(
                lambda q, k, v, W_o: _many_heads(q, k, v, W_o) / _HEADS,
                "the mean over the heads is taken: what they say adds up",
            ),
        ),
    ),
)

EQUATIONS = (
    *_PRODUCTS, *_WEIGHTS, *_SATURATION, *_MASK, *_PLACES, *_MANY_HEADS,
    *attention_blocks.EQUATIONS, *attention_blocks.EXERCISES,
)  # fmt: skip
