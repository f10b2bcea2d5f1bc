"""Chapter 06 continued: what surrounds attention in a block, what it costs, and a second voice."""

import math

import sympy
import torch
from torch.nn import functional as F

from genart_lessons.equations.derive import entries, positive, real
from genart_lessons.proof import Definition, Equation, Gradient, NearMiss, Numeric
from genart_lessons.proof.draws import normal, points, uniform, whole


def _between(low, high):
    """Whole numbers from ``low`` to ``high``, as numbers."""
    return lambda generator, count: (low + whole(high - low + 1)(generator, count)).double()


# -- layer norm, residual, feed-forward ------------------------------------------------------------

_EPS = 0.1  # much larger than in practice, so that its place shows
_NORM = points(
    x=normal(3, 4), gamma=uniform(0.5, 2, 4), beta=uniform(-1, 1, 4), eps=uniform(_EPS, _EPS)
)
_NORM_EXAMPLE = {
    "x": [[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 1.0, 5.0]],
    "gamma": [1.0, 1.0, 1.0, 2.0],
    "beta": [0.0, 0.0, 1.0, 0.0],
    "eps": _EPS,
}


def _normed(x, eps, axes=(-1,), correction=0):
    mean = x.mean(axes, keepdim=True)
    return (x - mean) / (x.var(axes, keepdim=True, correction=correction) + eps).sqrt()


def _gain(y, gamma, beta):
    return y * gamma.unsqueeze(1) + beta.unsqueeze(1)


_X = [entries(f"x_{t + 1}", 4) for t in range(3)]
_GAMMA, _BETA = entries("gamma", 4), entries("beta", 4)
(_TINY,) = positive("epsilon")
_MEANS = tuple(sympy.Add(*row) / 4 for row in _X)
_VARIANCES = tuple(
    sympy.Add(*((x - mean) ** 2 for x in row)) / 4 for row, mean in zip(_X, _MEANS, strict=True)
)


def _normed_in_letters():
    return tuple(
        (x - mean) / sympy.sqrt(variance + _TINY) * gain + shift
        for row, mean, variance in zip(_X, _MEANS, _VARIANCES, strict=True)
        for x, gain, shift in zip(row, _GAMMA, _BETA, strict=True)
    )


def _stack(x, w):
    """x_l = x_{l−1} + w_l tanh(x_{l−1}), three times."""
    for weight in w.unbind(-1):
        x = x + weight * x.tanh()
    return x


def _states(x, w):
    """What each layer gets, tanh taken: (P, 3)."""
    found = []
    for weight in w.unbind(-1):
        found.append(x.tanh())
        x = x + weight * x.tanh()
    return torch.stack(found, -1)


_W, (_START, _Z) = entries("w", 3), real("x", "z")


def _stack_in_letters():
    x, found = _START, []
    for weight in _W:
        found.append(sympy.tanh(x))
        x = x + weight * sympy.tanh(x)
    return x, tuple(found)


def _below(x):
    """Φ(x), by integrating the standard normal density from −∞ to x."""
    density = sympy.exp(-(_Z**2) / 2) / sympy.sqrt(2 * sympy.pi)
    return sympy.integrate(density, (_Z, -sympy.oo, x)).rewrite(sympy.erf)


def _rows_normed(x):
    return F.layer_norm(x, x.shape[-1:])


def _block(x, A, W, norm=_rows_normed):
    x = x + A @ norm(x)
    return x + F.gelu(norm(x) @ W)


def _normed_afterwards(x, A, W):
    x = _rows_normed(x + A @ x)
    return _rows_normed(x + F.gelu(x @ W))


def _on_normed(x, A, W):
    """The residual goes on from the normed x."""
    x = _rows_normed(x)
    x = _rows_normed(x + A @ x)
    return x + F.gelu(x @ W)


def _shares(*shape):
    """Rows of weights that add up to 1."""
    return lambda generator, count: normal(*shape)(generator, count).softmax(-1)


_PARTS = (
    Equation(
        id="6.13",
        title="layer norm",
        lhs=r"y_{ti}",
        rhs=r"\gamma_i\,\frac{x_{ti}-\mu_t}{\sqrt{\sigma_t^2+\epsilon}}+\beta_i",
        meaning="Each position t by itself: μ and σ² are the mean and the variance of its d "
        "numbers.",
        quantity="the normed table",
        free_index="ti",
        reference=lambda x, gamma, beta, eps: _gain(_normed(x, eps[:, None, None]), gamma, beta),
        evidence=Numeric(_NORM, _NORM_EXAMPLE, where="random tables of three positions"),
        symbols={
            "mu": lambda x, **_: x.mean(-1),
            "sigma": lambda x, **_: x.std(-1, correction=0),
            "d": lambda x, **_: torch.full_like(x[:, 0, 0], x.shape[-1]),
        },
        definition=Definition(
            "derived by centring each row and dividing by the root of its mean square plus ε "
            "(SymPy)",
            _normed_in_letters,
            {
                "x": tuple(_X),
                "gamma": _GAMMA,
                "beta": _BETA,
                "eps": _TINY,
                "mu": _MEANS,
                "sigma": tuple(map(sympy.sqrt, _VARIANCES)),
                "d": sympy.Integer(4),
            },
        ),
        cite="Ba et al. 2016, eq. 3",
        near_misses=(
            NearMiss(
                r"\gamma_i\frac{x_{ti}-\mu_t}{\sqrt{\frac{d}{d-1}\sigma_t^2+\epsilon}}+\beta_i",
                "the variance is divided by d − 1, as torch.var does unless told otherwise; layer "
                "norm divides by d",
            ),
            NearMiss(
                r"\gamma_i\frac{x_{ti}-\mu_t}{\sigma_t+\epsilon}+\beta_i",
                "ε stands outside the root: it is added to the variance, not to σ",
            ),
            NearMiss(
                r"\gamma_i\frac{x_{ti}-\mu_t}{\sqrt{\frac{d}{d-1}}\,\sigma_t+\epsilon}+\beta_i",
                "two slips in one: torch.std divides by d − 1, and ε stands outside the root",
            ),
            NearMiss(
                lambda x, gamma, beta, eps: _gain(_normed(x, 1e-5), gamma, beta),
                "ε is 10⁻⁵, which is torch's default: here it is an argument, and larger",
            ),
            NearMiss(
                r"\gamma_i\frac{x_{ti}-\mu_t}{\sigma_t+\sqrt{\epsilon}}+\beta_i",
                "the roots are taken one by one: √(σ² + ε) is not σ + √ε",
            ),
            NearMiss(
                r"\gamma_i\frac{x_{ti}-\mu_t}{\sigma_t^2+\epsilon}+\beta_i",
                "the root is missing: divide by the standard deviation, not by the variance",
            ),
            NearMiss(
                r"\gamma_i\frac{x_{ti}-\mu_t}{\sigma_t}+\beta_i",
                "ε is missing: where all entries of a row are equal, this is 0/0",
            ),
            NearMiss(
                lambda x, gamma, beta, eps: _gain(
                    _normed(x, eps[:, None, None], (1,)), gamma, beta
                ),
                "normed over the wrong axis: each column over the positions, so that a position "
                "would depend on those to come",
            ),
            NearMiss(
                lambda x, gamma, beta, eps: _gain(
                    _normed(x, eps[:, None, None], (1, 2)), gamma, beta
                ),
                "normed over positions and columns together: each position is normed by itself",
            ),
            NearMiss(
                lambda x, gamma, beta, eps: _gain(
                    _normed(x, eps[:, None, None], (0, 1)), gamma, beta
                ),
                "normed over the points: that is batch norm, and layer norm looks along one row",
            ),
            NearMiss(
                lambda x, gamma, beta, eps: _gain(
                    x / (x.square().mean(-1, keepdim=True) + eps[:, None, None]).sqrt(),
                    gamma,
                    beta,
                ),
                "the mean is not subtracted: this is RMS norm",
            ),
            NearMiss(
                r"\frac{x_{ti}-\mu_t}{\sqrt{\sigma_t^2+\epsilon}}",
                "gain γ and bias β are missing",
            ),
            NearMiss(
                r"\gamma_i\Big(\frac{x_{ti}-\mu_t}{\sqrt{\sigma_t^2+\epsilon}}+\beta_i\Big)",
                "β is multiplied by the gain too: it is added last",
            ),
        ),
    ),
    Equation(
        id="6.14",
        title="a residual keeps the gradient alive",
        lhs=r"\frac{\partial x_L}{\partial x_0}",
        rhs=r"\prod_{l=1}^{L}\big(1+w_l(1-h_l^2)\big)",
        meaning="Layers x_l = x_{l−1} + w_l h_l with h_l = tanh x_{l−1}; here three of them.",
        quantity="the derivative",
        reference=lambda x, w: (1 + w * (1 - _states(x, w).square())).prod(-1),
        evidence=Gradient(
            points(x=uniform(-2, 2), w=uniform(-1, 1, 3)),
            {"x": 0.0, "w": [0.5, -0.5, 0.2]},
            of=_stack,
            wrt="x",
        ),
        symbols={"h": _states, "x_0": lambda x, w: x},
        definition=Definition(
            "derived by differentiating three layers by x₀ (SymPy)",
            lambda: sympy.diff(_stack_in_letters()[0], _START),
            {"x": _START, "x_0": _START, "w": _W, "h": _stack_in_letters()[1]},
        ),
        cite="He et al. 2016, eqs. 4 and 5",
        near_misses=(
            NearMiss(
                r"\prod_{l=1}^{L}w_l(1-h_l^2)",
                "the 1+ is missing: that is a stack without residuals, whose gradient vanishes",
            ),
            NearMiss(
                r"1+\prod_{l=1}^{L}w_l(1-h_l^2)",
                "the 1 is added once, round the whole stack: each layer has its own",
            ),
            NearMiss(
                r"\prod_{l=1}^{L}(1+w_l h_l)",
                "tanh itself stands where its slope 1 − tanh² belongs",
            ),
            NearMiss(
                r"1+\sum_{l=1}^{L}w_l(1-h_l^2)",
                "the slopes are added up: a chain multiplies them (this is its first order)",
            ),
            NearMiss(
                r"\prod_{l=1}^{L}\big(1-w_l(1-h_l^2)\big)", "the layer is added, not subtracted"
            ),
        ),
    ),
    Equation(
        id="6.15",
        title="GELU, a gate that is not hard",
        lhs=r"\mathrm{GELU}(x)",
        rhs=r"x\,\Phi(x)",
        meaning="x times the share of a standard normal that lies below x: Φ is its distribution "
        "function.",
        quantity="GELU",
        reference=lambda x: F.gelu(x),
        evidence=Numeric(points(x=uniform(-4, 4)), {"x": 1.0}),
        definition=Definition(
            "derived from x ∫ N(z; 0, 1) dz, from −∞ to x (SymPy)",
            lambda: _START * _below(_START),
            {"x": _START},
        ),
        cite="Hendrycks & Gimpel 2016, section 2",
        near_misses=(
            NearMiss(
                r"\frac12x\Big(1+\tanh\Big(\sqrt{\frac2\pi}\,(x+0.044715x^3)\Big)\Big)",
                "this is the approximation by tanh that GPT-2 has, up to 0.0005 off: good enough "
                "for a network, and another function",
            ),
            NearMiss(
                r"x\,\sigma(1.702x)",
                "this is the approximation by a sigmoid, up to 0.02 off",
            ),
            NearMiss(r"x\,\sigma(x)", "this is SiLU, or swish: a sigmoid stands where Φ belongs"),
            NearMiss(r"\max(0,x)", "this is ReLU: its gate is 0 or 1, with nothing between"),
            NearMiss(r"\Phi(x)", "this is the gate alone: multiply x by it"),
            NearMiss(
                r"\frac12x\big(1+\mathrm{erf}(x)\big)",
                "erf is taken of x: Φ(x) is ½(1 + erf(x/√2))",
            ),
        ),
    ),
    Equation(
        id="6.16",
        title="a block",
        lhs="Y",
        rhs=r"X'+\mathrm{GELU}\big(\mathrm{LN}(X')\,W\big),\qquad X'=X+A\,\mathrm{LN}(X)",
        meaning="Norm, look at the others, add; norm, think by oneself, add. A are the weights of "
        "one head; LN has no gain and bias here, and ε is 10⁻⁵.",
        quantity="the block's answer",
        reference=_block,
        evidence=Numeric(
            points(x=normal(3, 4), A=_shares(3, 3), W=normal(4, 4)),
            {
                "x": _NORM_EXAMPLE["x"],
                "A": [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5]],
                "W": torch.eye(4).tolist(),
            },
            where="random tables of three positions",
        ),
        typeset_only="it is made of whole matrices",
        cite="Radford et al. 2019, section 2.3; Xiong et al. 2020",
        near_misses=(
            NearMiss(
                _normed_afterwards,
                "normed after each addition: that is the order of 2017 (post-norm), in which no "
                "path leads through unchanged",
            ),
            NearMiss(
                _on_normed,
                "the normed x is carried on: the residual adds to x itself",
            ),
            NearMiss(
                lambda x, A, W: F.gelu(_rows_normed(x + A @ _rows_normed(x)) @ W),
                "the second residual is missing: add X' itself",
            ),
            NearMiss(
                lambda x, A, W: A @ _rows_normed(x) + F.gelu(_rows_normed(A @ _rows_normed(x)) @ W),
                "the first residual is missing: add X itself",
            ),
            NearMiss(
                lambda x, A, W: x + A @ _rows_normed(x) + F.gelu(_rows_normed(x) @ W),
                "both parts read X: the second is to read what the first has written",
            ),
            NearMiss(
                lambda x, A, W: _block(x, A, W, lambda y: y),
                "layer norm is missing: it comes before either part",
            ),
            NearMiss(
                lambda x, A, W: x + A @ _rows_normed(x) + F.gelu((x + A @ _rows_normed(x)) @ W),
                "the second layer norm is missing",
            ),
            NearMiss(
                lambda x, A, W: _block(x, A.mT, W),
                "the weights are transposed: what position t looks at stands in row t",
            ),
        ),
    ),
)

# -- the loss --------------------------------------------------------------------------------------


def _surprise(logits, ids):
    """−log p of each id, one for each position: (P, T)."""
    return F.cross_entropy(logits.transpose(1, 2), ids, reduction="none")


_TEXT = points(logits=uniform(-3, 3, 5, 3), ids=whole(3, 5))
_LOSS = (
    Equation(
        id="6.17",
        title="targets one further on",
        lhs="L",
        rhs=r"-\frac{1}{T-1}\sum_{t=1}^{T-1}\log p(x_{t+1}\mid x_1,\dots,x_t)",
        meaning="What is said at position t is judged by the symbol that comes next; the last "
        "position has nothing to predict.",
        quantity="the loss",
        reference=lambda logits, ids: _surprise(logits[:, :-1], ids[:, 1:]).mean(-1),
        evidence=Numeric(
            _TEXT,
            {
                "logits": [
                    [0.0, 0.0, 0.0],
                    [2.0, 0.0, 0.0],
                    [0.0, 2.0, 0.0],
                    [0.0, 0.0, 2.0],
                    [1.0, 0.0, 0.0],
                ],
                "ids": [0, 1, 2, 0, 1],
            },
            where="random texts of five symbols",
        ),
        typeset_only="x_{t+1} stands one further on",
        sources=("B7",),
        cite="Radford et al. 2018, eq. 1",
        near_misses=(
            NearMiss(
                lambda logits, ids: _surprise(logits, ids).mean(-1),
                "off by one: each position is asked for the symbol that it has just read",
            ),
            NearMiss(
                lambda logits, ids: _surprise(logits[:, :-1], ids[:, :-1]).mean(-1),
                "off by one: the targets are not shifted, so that copying would be perfect",
            ),
            NearMiss(
                lambda logits, ids: _surprise(logits[:, 1:], ids[:, :-1]).mean(-1),
                "shifted the wrong way: each position is asked for the symbol before",
            ),
            NearMiss(
                lambda logits, ids: _surprise(logits[:, 1:], ids[:, 1:]).mean(-1),
                "off by one: logits and targets are both cut at the front, and still belong to "
                "the same position",
            ),
            NearMiss(
                lambda logits, ids: _surprise(logits[:, :-2], ids[:, 2:]).mean(-1),
                "two further on: the very next symbol is the target",
            ),
            NearMiss(
                lambda logits, ids: _surprise(logits, ids.roll(-1, 1)).mean(-1),
                "rolled: the last position is asked for the first symbol",
            ),
            NearMiss(
                lambda logits, ids: _surprise(logits[:, :-1], ids[:, 1:]).sum(-1),
                "the sum over the text: the mean is asked for, nats for each symbol",
            ),
            NearMiss(
                lambda logits, ids: _surprise(logits[:, :-1], ids[:, 1:]).sum(-1) / ids.shape[1],
                "divided by T: only T − 1 symbols are predicted",
            ),
            NearMiss(
                lambda logits, ids: _surprise(logits[:, :-1], ids[:, 1:]).mean(-1) / math.log(2),
                "in bits: log is the natural logarithm, and the loss is in nats",
            ),
            NearMiss(
                lambda logits, ids: -_surprise(logits[:, :-1], ids[:, 1:]).mean(-1),
                "the sign is turned round: this is the mean log-likelihood, to be maximised",
            ),
            NearMiss(
                lambda logits, ids: F.nll_loss(
                    logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none"
                ).mean(-1),
                "logits are taken for log-probabilities: the log-softmax is missing",
            ),
            NearMiss(
                lambda logits, ids: _surprise(logits[:, :-1].softmax(-1), ids[:, 1:]).mean(-1),
                "the softmax is taken twice: cross_entropy takes the logits as they are",
            ),
            NearMiss(
                lambda logits, ids: F.nll_loss(
                    logits[:, :-1].log_softmax(1).transpose(1, 2), ids[:, 1:], reduction="none"
                ).mean(-1),
                "softmax over the wrong axis: over the symbols (dim=-1), not over the positions",
            ),
            NearMiss(
                lambda logits, ids: _surprise(logits[:, :-1], ids[:, 1:]).mean(-1).exp(),
                "this is the perplexity, e to the loss",
            ),
            NearMiss(
                lambda logits, ids: _surprise(logits, ids.roll(1, 1)).mean(-1),
                "rolled the wrong way: each position is asked for the symbol before",
            ),
        ),
    ),
)

# -- how much it is --------------------------------------------------------------------------------

_SIZES = points(V=_between(10, 200), T=_between(4, 64), L=_between(1, 6), d=_between(2, 16))
_LAYER = points(T=_between(1, 64), d=_between(1, 32))
_LENGTH = points(T=_between(1, 40))
_COUNTED_V, _COUNTED_T, _COUNTED_L, _COUNTED_D = positive("V", "T", "L", "d")
_STEP = sympy.Symbol("t", integer=True)


def _gpt_2_weights(V, T, L, d):
    """Every matrix and vector of the network; the head shares the table of the symbols."""
    linear = [(d, 3 * d), (d, d), (d, 4 * d), (4 * d, d)]
    block = sum(rows * columns + columns for rows, columns in linear) + 2 * (d + d)
    return V * d + T * d + L * block + (d + d)


def _layer_products(T, d):
    """(rows, inner, columns) of each matrix product of a layer, for T positions."""
    products = [(T, d, 3 * d), (T, d, T), (T, T, d), (T, d, d), (T, d, 4 * d), (T, 4 * d, d)]
    return sum(rows * inner * columns for rows, inner, columns in products)


def _added_up(T, term):
    """Σ term(t) for t from 1 to T, step by step."""
    return torch.stack([term(torch.arange(1.0, float(n) + 1).double()).sum() for n in T])


_SIZE_LETTERS = {"V": _COUNTED_V, "T": _COUNTED_T, "L": _COUNTED_L, "d": _COUNTED_D}
_COSTS = (
    Equation(
        id="6.18",
        title="the weights of a GPT-2",
        lhs="N",
        rhs=r"V d+T d+L\,(12d^2+13d)+2d",
        meaning="V symbols, T places, L layers of width d; the output layer shares the table of "
        "the symbols.",
        quantity="the number of weights",
        reference=_gpt_2_weights,
        evidence=Numeric(_SIZES, {"V": 10.0, "T": 5.0, "L": 2.0, "d": 4.0}, where="random sizes"),
        definition=Definition(
            "derived by adding up the shapes of all matrices, biases and norms (SymPy)",
            lambda: _gpt_2_weights(_COUNTED_V, _COUNTED_T, _COUNTED_L, _COUNTED_D),
            _SIZE_LETTERS,
        ),
        cite="Radford et al. 2019, section 2.3",
        near_misses=(
            NearMiss(
                r"2V d+T d+L\,(12d^2+13d)+2d",
                "the output layer is counted again: it shares the table of the symbols",
            ),
            NearMiss(r"V d+L\,(12d^2+13d)+2d", "the table of the places, T·d, is missing"),
            NearMiss(
                r"V d+T d+12L d^2",
                "biases and norms are missing: 13d for each layer, and 2d at the end",
            ),
            NearMiss(
                r"V d+T d+L\,(12d^2+9d)+2d",
                "the two layer norms of each block are missing, 4d",
            ),
            NearMiss(
                r"V d+T d+L\,(6d^2+10d)+2d",
                "the feed-forward part is taken to be d wide inside: it is 4d wide, so 8d² in all",
            ),
            NearMiss(r"V d+T d+L\,(12d^2+13d)", "the last layer norm, 2d, is missing"),
        ),
    ),
    Equation(
        id="6.19",
        title="multiplications of one layer",
        lhs="M",
        rhs=r"12\,T d^2+2\,T^2 d",
        meaning="For T positions at once: the weights cost T, and attention T²; they are even at "
        "T = 6d.",
        quantity="the number of multiplications",
        reference=_layer_products,
        evidence=Numeric(_LAYER, {"T": 10.0, "d": 2.0}, where="random lengths and widths"),
        definition=Definition(
            "derived by adding up rows × inner × columns of the six matrix products (SymPy)",
            lambda: _layer_products(_COUNTED_T, _COUNTED_D),
            {"T": _COUNTED_T, "d": _COUNTED_D},
        ),
        cite="Vaswani et al. 2017, table 1",
        near_misses=(
            NearMiss(
                r"12\,T d^2+T^2 d",
                "attention multiplies twice: queries by keys, and weights by values",
            ),
            NearMiss(r"12\,T d^2+2\,T^2", "each of the T² scores is a product of d numbers"),
            NearMiss(
                r"4\,T d^2+2\,T^2 d", "the feed-forward part is missing, 8d² for each position"
            ),
            NearMiss(
                r"12\,T d^2",
                "these are the weights alone: attention itself, 2T²d, is what grows with T²",
            ),
            NearMiss(r"12\,T d^2+2\,T d^2", "attention grows with the square of T, not of d"),
            NearMiss(
                r"12\,T d^2+T(T+1)\,d",
                "this leaves out what the mask hides: a plain matrix product computes it all",
            ),
        ),
    ),
)

# -- the cache -------------------------------------------------------------------------------------

_PLAIN = points(
    x=normal(4, 4), pos=normal(4, 4), W_q=normal(4, 4), W_k=normal(4, 4), W_v=normal(4, 4)
)
_EYE = torch.eye(4).tolist()
_CACHE_EXAMPLE = {
    "x": [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]],
    "pos": [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 2.0], [0.0, 0.0, 0.0, 3.0]],
    "W_q": _EYE, "W_k": _EYE, "W_v": _EYE,
}  # fmt: skip


def _attend(q, k, v, seen=None, axis=-1, scale=None):
    """Attention, where ``seen`` is True for the pairs (t, j) that may be looked at."""
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if scale is None else scale)
    if seen is not None:
        scores = scores.masked_fill(~seen, -math.inf)
    return scores.softmax(axis) @ v


def _up_to(T, offset=0):
    return torch.ones(T, T, dtype=torch.bool).tril(offset)


def _whole_pass(x, pos, W_q, W_k, W_v, seen=None):
    y = x + pos
    return _attend(y @ W_q, y @ W_k, y @ W_v, _up_to(x.shape[1]) if seen is None else seen)


def _placed(x, pos, W_q, W_k, W_v, at):
    return _whole_pass(x, pos[:, at], W_q, W_k, W_v)


def _only_in_queries(x, pos, W_q, W_k, W_v):
    return _attend((x + pos) @ W_q, x @ W_k, x @ W_v, _up_to(x.shape[1]))


def _only_in_queries_and_keys(x, pos, W_q, W_k, W_v):
    y = x + pos
    return _attend(y @ W_q, y @ W_k, x @ W_v, _up_to(x.shape[1]))


def _only_in_keys_and_values(x, pos, W_q, W_k, W_v):
    y = x + pos
    return _attend(x @ W_q, y @ W_k, y @ W_v, _up_to(x.shape[1]))


def _newest_forgotten(x, pos, W_q, W_k, W_v, first=False):
    """Only keys before t; the first position has none, or (``first``) itself."""
    seen = _up_to(x.shape[1], -1)
    seen[0, 0] = first
    return torch.nan_to_num(_whole_pass(x, pos, W_q, W_k, W_v, seen))


_CACHE = (
    Equation(
        id="6.20",
        title="the cache of keys and values",
        lhs="o_t",
        rhs=r"\mathrm{Attention}\big(q_t,\,k_{\le t},\,v_{\le t}\big)",
        meaning="Only the newest position asks; keys and values of x_j + p_j, once computed, are "
        "kept. Step by step it comes to the plain masked pass.",
        quantity="the plain pass",
        reference=_whole_pass,
        evidence=Numeric(_PLAIN, _CACHE_EXAMPLE, where="random texts, to the plain masked pass"),
        typeset_only="it is made of whole matrices",
        cite="Shazeer 2019, section 2.4",
        near_misses=(
            NearMiss(
                _newest_forgotten,
                "the newest key is forgotten: a position sees itself too, so append before asking",
            ),
            NearMiss(
                lambda x, pos, W_q, W_k, W_v: _newest_forgotten(x, pos, W_q, W_k, W_v, True),
                "from the second step on, the newest key is forgotten: the cache is asked before "
                "it is filled",
            ),
            NearMiss(
                lambda x, pos, W_q, W_k, W_v: _placed(x, pos, W_q, W_k, W_v, [0, 0, 0, 0]),
                "positions restart at each call: the newest symbol stands at place t, not at the "
                "first",
            ),
            NearMiss(
                lambda x, pos, W_q, W_k, W_v: _placed(x, pos, W_q, W_k, W_v, [0, 0, 1, 2]),
                "the newest symbol is given the place before its own: count what is in the cache "
                "already, and the next place is free",
            ),
            NearMiss(
                lambda x, pos, W_q, W_k, W_v: _whole_pass(x, pos * 0, W_q, W_k, W_v),
                "the positions are added to nothing: order is not seen",
            ),
            NearMiss(
                _only_in_queries,
                "only the queries know their places: keys and values are made of x_j + p_j too",
            ),
            NearMiss(
                _only_in_keys_and_values,
                "the queries do not know their places: they are made of x_t + p_t too",
            ),
            NearMiss(
                _only_in_queries_and_keys,
                "the values do not know their places: they too are made of x_j + p_j",
            ),
            NearMiss(
                lambda x, pos, W_q, W_k, W_v: _whole_pass(
                    x, pos, W_q, W_k, W_v, _up_to(x.shape[1], x.shape[1])
                ),
                "the future leaks: a step has no keys yet but those up to its own",
            ),
            NearMiss(
                lambda x, pos, W_q, W_k, W_v: (x + pos) @ W_v,
                "nothing is kept: each step looks at itself alone",
            ),
        ),
    ),
    Equation(
        id="6.21",
        title="products without the cache",
        lhs=r"\sum_{t=1}^{T}t^2",
        rhs=r"\frac{T(T+1)(2T+1)}{6}",
        meaning="To write T symbols one by one: at step t all t queries meet all t keys again.",
        quantity="the number of products",
        reference=lambda T: _added_up(T, lambda t: t**2),
        evidence=Numeric(_LENGTH, {"T": 3.0}, where="random lengths"),
        definition=Definition(
            "derived by summing t² from 1 to T (SymPy)",
            lambda: sympy.summation(_STEP**2, (_STEP, 1, _COUNTED_T)),
            {"T": _COUNTED_T},
        ),
        near_misses=(
            NearMiss(r"\frac{T^3}{3}", "this is the leading term only: it is too small"),
            NearMiss("T^3", "every step is counted like the last one, the longest"),
            NearMiss(
                r"\frac{T(T+1)}{2}", "this is ∑t, with the cache: each step has one query there"
            ),
            NearMiss(r"\frac{T(T-1)(2T-1)}{6}", "the last step, T², is forgotten"),
            NearMiss(r"\Big(\frac{T(T+1)}{2}\Big)^2", "this is ∑t³: the square of ∑t is not ∑t²"),
        ),
    ),
    Equation(
        id="6.22",
        title="products with the cache",
        lhs=r"\sum_{t=1}^{T}t",
        rhs=r"\frac{T(T+1)}{2}",
        meaning="At step t only the newest query meets the t keys that are there.",
        quantity="the number of products",
        reference=lambda T: _added_up(T, lambda t: t),
        evidence=Numeric(_LENGTH, {"T": 3.0}, where="random lengths"),
        definition=Definition(
            "derived by summing t from 1 to T (SymPy)",
            lambda: sympy.summation(_STEP, (_STEP, 1, _COUNTED_T)),
            {"T": _COUNTED_T},
        ),
        near_misses=(
            NearMiss(
                r"\frac{T(T-1)}{2}", "the newest key is forgotten: a position sees itself too"
            ),
            NearMiss(
                "T^2", "every query with every key: a step has only those keys that are there"
            ),
            NearMiss("T", "these are the queries: each meets t keys, not one"),
            NearMiss(r"\frac{T(T+1)(2T+1)}{6}", "this is ∑t², without the cache"),
            NearMiss(r"\frac{T^2}{2}", "this is the leading term only: it is too small"),
        ),
    ),
)

# -- a second voice --------------------------------------------------------------------------------

_CROSS = points(
    x=normal(3, 4), memory=normal(4, 4), W_q=normal(4, 4), W_k=normal(4, 4), W_v=normal(4, 4)
)
_VOICES = (
    Equation(
        id="6.23",
        title="cross-attention",
        lhs=r"\mathrm{Cross}(X,M)",
        rhs=r"\mathrm{softmax}\left(\frac{XW_Q\,(MW_K)^\top}{\sqrt{d_k}}\right)MW_V",
        meaning="The decoder's X asks; keys and values are made of M, what the encoder has read, "
        "and all of it may be seen.",
        quantity="the answer",
        reference=lambda x, memory, W_q, W_k, W_v: _attend(x @ W_q, memory @ W_k, memory @ W_v),
        evidence=Numeric(
            _CROSS,
            {
                "x": [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]],
                "memory": _CACHE_EXAMPLE["x"],
                "W_q": _EYE,
                "W_k": _EYE,
                "W_v": _EYE,
            },
            where="random pairs of three and four positions",
        ),
        typeset_only="it is made of whole matrices",
        cite="Vaswani et al. 2017, section 3.2.3",
        near_misses=(
            NearMiss(
                lambda x, memory, W_q, W_k, W_v: _attend(memory @ W_q, x @ W_k, x @ W_v),
                "queries and memory have changed places: the decoder asks, and the encoder is "
                "looked at",
            ),
            NearMiss(
                lambda x, memory, W_q, W_k, W_v: _attend(x @ W_q, x @ W_k, x @ W_v),
                "this is self-attention: keys and values come from the memory",
            ),
            NearMiss(
                lambda x, memory, W_q, W_k, W_v: _attend(memory @ W_q, memory @ W_k, memory @ W_v),
                "this is the memory looking at itself: the queries come from the decoder",
            ),
            NearMiss(
                lambda x, memory, W_q, W_k, W_v: _attend(
                    x @ W_q,
                    memory @ W_k,
                    memory @ W_v,
                    torch.ones(x.shape[1], memory.shape[1], dtype=torch.bool).tril(),
                ),
                "a causal mask hides part of the memory: it has been read to its end, and may be "
                "seen whole",
            ),
            NearMiss(
                lambda x, memory, W_q, W_k, W_v: _attend(
                    x @ W_q, memory @ W_k, memory @ W_v, axis=-2
                ),
                "softmax over the wrong axis: along the memory the weights add up to 1",
            ),
            NearMiss(
                lambda x, memory, W_q, W_k, W_v: _attend(
                    x @ W_q, memory @ W_k, memory @ W_v, scale=1.0
                ),
                "the scores are not scaled: divide them by √d_k",
            ),
            NearMiss(
                lambda x, memory, W_q, W_k, W_v: _attend(
                    x @ W_q, memory @ W_k, memory @ W_v, scale=float(x.shape[-1])
                ),
                "the scores are divided by d_k, where its root belongs",
            ),
            NearMiss(
                lambda x, memory, W_q, W_k, W_v: _attend(x @ W_k, memory @ W_q, memory @ W_v),
                "W_Q and W_K have changed places",
            ),
            NearMiss(
                lambda x, memory, W_q, W_k, W_v: _attend(x @ W_q, memory @ W_k, memory),
                "W_V is missing: the values are projected too",
            ),
        ),
    ),
)

# -- exercises -------------------------------------------------------------------------------------


def _some(*shape):
    """Which are real, with one at least in each row: (P, *shape), bool."""

    def draw(generator, count):
        chosen = uniform(0, 1, *shape)(generator, count)
        return (chosen > 0.4) | (chosen == chosen.amax(-1, keepdim=True))

    return draw


def _without(scores, hidden):
    return scores.masked_fill(hidden, -math.inf).softmax(-1)


_TABLE = [entries(f"s_{t + 1}", 4) for t in range(4)]
_IS_REAL = tuple(sympy.Symbol(f"real_{j + 1}", integer=True) for j in range(4))
_REAL = tuple(sympy.KroneckerDelta(is_real, 1) for is_real in _IS_REAL)  # whose square is itself


def _without_in_letters():
    """e^s where a key is real, and e^{−∞} = 0 where not, over the sum of the row."""
    table = [[sympy.exp(s) * m for s, m in zip(row, _REAL, strict=True)] for row in _TABLE]
    return tuple(e / sympy.Add(*row) for row in table for e in row)


def _half(of, first):
    """Z or o of the first three keys, or of the last three."""

    def value(s, v):
        s, v = (s[:, :3], v[:, :3]) if first else (s[:, 3:], v[:, 3:])
        total = s.exp().sum(-1)
        return total if of == "Z" else (s.exp() * v).sum(-1) / total

    return value


_S, _V, _SIX, _SIX_V = entries("s", 4), entries("v", 4), entries("s", 6), entries("v", 6)
_S1, _S2 = real("s_1", "s_2")
_ROW = entries("x", 4)
_ROW_MEAN = sympy.Add(*_ROW) / 4
_ROW_VARIANCE = sympy.Add(*((x - _ROW_MEAN) ** 2 for x in _ROW)) / 4


def _weighted(s, v):
    """The answer of one query in letters, and its weights."""
    total = sympy.Add(*map(sympy.exp, s))
    a = tuple(sympy.exp(each) / total for each in s)
    return sympy.Add(*(weight * value for weight, value in zip(a, v, strict=True))), a


def _piece(of, first):
    s, v = (_SIX[:3], _SIX_V[:3]) if first else (_SIX[3:], _SIX_V[3:])
    return sympy.Add(*map(sympy.exp, s)) if of == "Z" else _weighted(s, v)[0]


EXERCISES = (
    Equation(
        id="6.x1",
        title="two keys",
        lhs="a_1",
        rhs=r"\frac{1}{1+e^{-(s_1-s_2)}}",
        meaning="The weight of the first of two keys with the scores s₁ and s₂: only their "
        "difference counts.",
        quantity="the weight",
        reference=lambda s_1, s_2: torch.stack([s_1, s_2], -1).softmax(-1)[:, 0],
        evidence=Numeric(
            points(s_1=uniform(-4, 4), s_2=uniform(-4, 4)), {"s_1": math.log(3), "s_2": 0.0}
        ),
        definition=Definition(
            "derived from e^s₁/(e^s₁ + e^s₂) (SymPy)",
            lambda: sympy.exp(_S1) / (sympy.exp(_S1) + sympy.exp(_S2)),
            {"s_1": _S1, "s_2": _S2},
        ),
        near_misses=(
            NearMiss(r"\frac{1}{1+e^{s_1-s_2}}", "this is the weight of the second key"),
            NearMiss(
                r"\frac{s_1}{s_1+s_2}", "the exponentials are missing: scores can be negative"
            ),
            NearMiss(
                r"\frac{1}{1+e^{-s_1}}", "the other score is left out: only the difference counts"
            ),
            NearMiss(r"e^{s_1-s_2}", "this is the ratio of the two weights, a₁/a₂"),
            NearMiss(
                r"\frac{1}{1+e^{-(s_1-s_2)/2}}", "the difference is halved: nothing is to be scaled"
            ),
        ),
    ),
    Equation(
        id="6.x2",
        title="nobody looks at padding",
        lhs=r"a_{tj}",
        rhs=r"\frac{m_j\,e^{s_{tj}}}{\sum_i m_i\,e^{s_{ti}}}",
        meaning="m_j is 1 where key j is real, and 0 where it only fills up a batch.",
        quantity="the table of weights",
        free_index="tj",
        reference=lambda scores, real: _without(scores, ~real.unsqueeze(1)),
        evidence=Numeric(
            points(scores=uniform(-2, 2, 4, 4), real=_some(4)),
            {"scores": [[0.0] * 4] * 4, "real": [1.0, 1.0, 1.0, 0.0]},
            where="random tables of scores",
        ),
        symbols={
            "s": lambda scores, real: scores,
            "m": lambda scores, real: real.double(),
        },
        definition=Definition(
            "derived by sending the scores of what is not real to −∞ (SymPy)",
            _without_in_letters,
            {"s": tuple(_TABLE), "scores": tuple(_TABLE), "m": _REAL, "real": _IS_REAL},
        ),
        near_misses=(
            NearMiss(
                lambda scores, real: scores.masked_fill(~real.unsqueeze(2), -1e9).softmax(-1),
                "the queries are hidden, and theirs come out even: it is the keys, the columns, "
                "that nobody may look at",
            ),
            NearMiss(
                lambda scores, real: _without(scores, ~real.unsqueeze(2)),
                "the queries are hidden: it is the keys, the columns, that nobody may look at",
            ),
            NearMiss(
                lambda scores, real: scores.softmax(-1) * real.unsqueeze(1),
                "the mask is applied after the softmax: the weights do not add up to 1",
            ),
            NearMiss(
                lambda scores, real: (scores * real.unsqueeze(1)).softmax(-1),
                "the scores of padding are set to 0, and e⁰ is 1: set them to −∞",
            ),
            NearMiss(
                lambda scores, real: _without(scores, real.unsqueeze(1)),
                "the mask is turned round: only padding is looked at",
            ),
            NearMiss(
                lambda scores, real: _without(scores, ~(real.unsqueeze(1) & real.unsqueeze(2))),
                "the rows of padding are hidden too, and come out 0/0: hide columns only",
            ),
            NearMiss(
                lambda scores, real: scores.softmax(-1), "there is no mask: padding is looked at"
            ),
            NearMiss(
                lambda scores, real: torch.nan_to_num(
                    _without(scores, ~(real.unsqueeze(1) & _up_to(real.shape[1])))
                ),
                "the future is hidden as well: here only padding is",
            ),
        ),
    ),
    Equation(
        id="6.x3",
        title="what a score does to the answer",
        lhs=r"\frac{\partial o}{\partial s_j}",
        rhs=r"a_j\,(v_j-o)",
        meaning="One query with the answer o = Σ aⱼvⱼ: a higher score draws o towards that value.",
        quantity="the derivative",
        free_index="j",
        reference=lambda s, v: s.softmax(-1) * (v - (s.softmax(-1) * v).sum(-1, keepdim=True)),
        evidence=Gradient(
            points(s=uniform(-2, 2, 4), v=uniform(-2, 2, 4)),
            {"s": [0.0, 0.0, 0.0, 0.0], "v": [1.0, 2.0, 3.0, 6.0]},
            of=lambda s, v: (s.softmax(-1) * v).sum(-1),
            wrt="s",
        ),
        symbols={
            "a": lambda s, v: s.softmax(-1),
            "o": lambda s, v: (s.softmax(-1) * v).sum(-1),
        },
        definition=Definition(
            "derived by differentiating Σ aⱼvⱼ by each of 4 scores (SymPy)",
            lambda: tuple(sympy.diff(_weighted(_S, _V)[0], s) for s in _S),
            {"s": _S, "v": _V, "a": _weighted(_S, _V)[1], "o": _weighted(_S, _V)[0]},
        ),
        near_misses=(
            NearMiss(r"a_j\,v_j", "the other weights shrink as this one grows: −aⱼ·o is missing"),
            NearMiss(
                r"a_j(1-a_j)\,v_j",
                "this is the diagonal of (6.5) alone: the other values lose weight, too",
            ),
            NearMiss(r"v_j-o", "aⱼ in front is missing: a key with no weight has no pull"),
            NearMiss(r"a_j\,(o-v_j)", "the sign is turned round: o is drawn towards vⱼ"),
            NearMiss("a_j", "this is the derivative by the value vⱼ, not by the score"),
        ),
    ),
    Equation(
        id="6.x4",
        title="heads side by side",
        lhs=r"z_{t,\,h d_k+i}",
        rhs=r"o_{h,t,i}",
        meaning="What the H heads say, (P, H, T, d_k), as one row for each position: "
        "(P, T, H·d_k), head after head, counted from 0.",
        quantity="the table",
        reference=lambda heads: torch.cat(heads.unbind(1), -1),
        evidence=Numeric(
            points(heads=normal(2, 3, 2)),
            {"heads": [[[1, 2], [3, 4], [5, 6]], [[10, 20], [30, 40], [50, 60]]]},
            where="random answers of two heads",
        ),
        typeset_only="its indices are reckoned with",
        near_misses=(
            NearMiss(
                lambda heads: heads.reshape(len(heads), heads.shape[2], -1),
                "a plain reshape: transpose heads and positions first, or a row mixes positions",
            ),
            NearMiss(
                lambda heads: heads.permute(0, 2, 3, 1).flatten(-2),
                "the heads take turns, column by column: they are to lie side by side",
            ),
            NearMiss(
                lambda heads: torch.cat(heads.flip(1).unbind(1), -1),
                "the last head comes first",
            ),
            NearMiss(
                lambda heads: heads.sum(1), "the heads are added up: each keeps its own columns"
            ),
            NearMiss(
                lambda heads: heads.flatten(1, 2),
                "the heads stand below each other: each is to have its own columns",
            ),
            NearMiss(
                lambda heads: heads.transpose(1, 2),
                "heads and positions are transposed, and not joined yet: flatten the last two",
            ),
        ),
    ),
    Equation(
        id="6.x5",
        title="what layer norm makes of a length",
        lhs=r"\sum_{i=1}^{d}\hat x_i^2",
        rhs=r"\frac{d\,\sigma^2}{\sigma^2+\epsilon}",
        meaning="The squared length of a row after layer norm, before gain and bias: nearly d.",
        quantity="the squared length",
        reference=lambda x, eps: _normed(x, eps[:, None]).square().sum(-1),
        evidence=Numeric(
            points(x=normal(4), eps=uniform(0.01, 1)), {"x": [1.0, 2.0, 3.0, 4.0], "eps": 0.25}
        ),
        symbols={
            "mu": lambda x, eps: x.mean(-1),
            "sigma": lambda x, eps: x.std(-1, correction=0),
            "d": lambda x, eps: torch.full_like(eps, x.shape[-1]),
        },
        definition=Definition(
            "derived from Σ (xᵢ − μ)²/(σ² + ε) over 4 entries (SymPy)",
            lambda: sympy.Add(*((x - _ROW_MEAN) ** 2 / (_ROW_VARIANCE + _TINY) for x in _ROW)),
            {
                "x": _ROW,
                "eps": _TINY,
                "mu": _ROW_MEAN,
                "sigma": sympy.sqrt(_ROW_VARIANCE),
                "d": sympy.Integer(4),
            },
        ),
        near_misses=(
            NearMiss("d", "this is without ε: with it the length is a little less"),
            NearMiss(
                r"\frac{\sigma^2}{\sigma^2+\epsilon}",
                "this is one entry's mean square: there are d entries",
            ),
            NearMiss(
                r"\frac{(d-1)\,\sigma^2}{\sigma^2+\epsilon}",
                "Σ(x−μ)² is d·σ² here: layer norm's variance is divided by d, not by d − 1",
            ),
            NearMiss(
                r"\frac{d\,\sigma}{\sqrt{\sigma^2+\epsilon}}",
                "numerator and denominator are to be squared",
            ),
            NearMiss("1", "not 1 but nearly d: each entry has a mean square of about 1"),
        ),
    ),
    Equation(
        id="6.x6",
        title="what the cache saves",
        lhs=r"\frac{\sum_{t=1}^{T}t^2}{\sum_{t=1}^{T}t}",
        rhs=r"\frac{2T+1}{3}",
        meaning="How many times fewer products of queries and keys it takes to write T symbols.",
        quantity="the ratio",
        reference=lambda T: _added_up(T, lambda t: t**2) / _added_up(T, lambda t: t),
        evidence=Numeric(_LENGTH, {"T": 4.0}, where="random lengths"),
        definition=Definition(
            "derived by summing t² and t from 1 to T (SymPy)",
            lambda: (
                sympy.summation(_STEP**2, (_STEP, 1, _COUNTED_T))
                / sympy.summation(_STEP, (_STEP, 1, _COUNTED_T))
            ),
            {"T": _COUNTED_T},
        ),
        near_misses=(
            NearMiss(r"\frac{2T}{3}", "this is the leading term only: one third is missing"),
            NearMiss("T", "the last step saves T; the steps before it save less"),
            NearMiss(r"\frac{T+1}{2}", "this is the mean of t: long steps weigh more here"),
            NearMiss(r"\frac{3}{2T+1}", "the fraction is upside down"),
            NearMiss(r"\frac{2T+1}{6}", "∑t has a 2 below the line, and ∑t² a 6: that leaves a 3"),
        ),
    ),
    Equation(
        id="6.x7",
        title="attention in two pieces",
        lhs="o",
        rhs=r"\frac{Z_1o_1+Z_2o_2}{Z_1+Z_2}",
        meaning="Six keys, three at a time: Z = Σ e^s and o = Σ e^s v / Z of either half make the "
        "answer of both.",
        quantity="the answer",
        reference=lambda s, v: (s.softmax(-1) * v).sum(-1),
        evidence=Numeric(
            points(s=uniform(-3, 3, 6), v=uniform(-2, 2, 6)),
            {
                "s": [0.0, 0.0, 0.0, math.log(2), math.log(2), math.log(2)],
                "v": [1.0, 1.0, 1.0, 4.0, 4.0, 4.0],
            },
        ),
        symbols={
            "Z_1": _half("Z", True),
            "Z_2": _half("Z", False),
            "o_1": _half("o", True),
            "o_2": _half("o", False),
        },
        definition=Definition(
            "derived from Σ e^s v / Σ e^s over all six keys (SymPy)",
            lambda: _weighted(_SIX, _SIX_V)[0],
            {
                "s": _SIX,
                "v": _SIX_V,
                "Z_1": _piece("Z", True),
                "Z_2": _piece("Z", False),
                "o_1": _piece("o", True),
                "o_2": _piece("o", False),
            },
        ),
        cite="Milakov & Gimelshein 2018; Dao et al. 2022, section 3.1",
        near_misses=(
            NearMiss(r"\frac{o_1+o_2}{2}", "both halves weigh alike: weigh each by its Z"),
            NearMiss("o_1+o_2", "each half has weights of its own that add up to 1: together, 2"),
            NearMiss(
                r"\frac{Z_2o_1+Z_1o_2}{Z_1+Z_2}", "the weights of the halves have changed places"
            ),
            NearMiss(r"Z_1o_1+Z_2o_2", "not normalised: divide by Z₁ + Z₂"),
            NearMiss(r"\frac{Z_1o_1+Z_2o_2}{2}", "divided by 2, where Z₁ + Z₂ belongs"),
            NearMiss(
                r"\frac{Z_1o_1+Z_2o_2}{Z_1Z_2}",
                "divided by the product: the sum over all six keys is Z₁ + Z₂",
            ),
        ),
    ),
)

EQUATIONS = (*_PARTS, *_LOSS, *_COSTS, *_CACHE, *_VOICES)
