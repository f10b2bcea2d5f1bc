"""Chapter 08, neural style transfer: what the articles print, content, Gram matrices, optimisers.

The features of a layer are a table F (C, N): C channels at N = H·W places. The worlds have two or
three channels at four places, so that every permutation of the places can be counted.
"""

import itertools

import sympy
import torch
from torch.nn import functional

from genart_lessons.equations.derive import entries, positive, real
from genart_lessons.proof import Bound, Definition, Equation, Gradient, Jacobian, NearMiss, Numeric
from genart_lessons.proof.draws import normal, points, uniform, whole


def _like(table, number):
    """``number`` at each of the P points of ``table``, whatever else it has: (P,)."""
    return torch.full_like(table.flatten(1)[:, 0], number, dtype=torch.float64)


def _whole_from(low, high, *shape):
    """Whole numbers from ``low`` to ``high``, as floats."""
    return lambda generator, count: (low + whole(high - low + 1, *shape)(generator, count)).double()


def _table(name, rows, columns):
    return tuple(entries(f"{name}_{r + 1}", columns) for r in range(rows))


# -- what the articles print -----------------------------------------------------------------------


def _two_layers(x, W_in, b, W_out):
    """σ(W_out σ(W_in x + b)) with the sigmoid σ: (P, d)."""
    hidden = (torch.einsum("pij,pj->pi", W_in, x) + b).sigmoid()
    return torch.einsum("pij,pj->pi", W_out, hidden).sigmoid()


def _apply(W, x):
    return (W @ x[..., None]).squeeze(-1)


# A contraction of the plane, x ↦ c + L·(r ∗ x): each coordinate shrinks by L times its own r ≤ 1,
# the larger r being 1. So L is the least number by which every distance shrinks.


def _contraction(generator, count):
    """Where one starts, where one step leads, L, and n; the step is of such a contraction."""
    given = points(x_0=uniform(-2, 2, 2), c=uniform(-2, 2, 2), L=uniform(0.1, 0.9))(
        generator, count
    )
    r = uniform(0, 1, 2)(generator, count)
    r = r / r.amax(-1, keepdim=True)
    n = _whole_from(1, 6)(generator, count)
    x_1 = given["c"] + given["L"][:, None] * r * given["x_0"]
    return {"x_0": given["x_0"], "x_1": x_1, "L": given["L"], "n": n, "r": r}


def _still_to_go(x_0, x_1, L, n, r):
    """‖x_n − x*‖ for that contraction: (P,). Its fixed point is c/(1 − L r), coordinate by each."""
    slope = L[:, None] * r
    fixed = (x_1 - slope * x_0) / (1 - slope)
    x = x_0
    found = torch.zeros_like(n)
    for step in range(1, int(n.max()) + 1):
        x = x_1 + slope * (x - x_0)
        found = torch.where(n == step, torch.linalg.vector_norm(x - fixed, dim=-1), found)
    return found


def _evenly(arguments):
    """The same, where both coordinates shrink by L itself."""
    slope = arguments["L"][:, None] * arguments["r"]
    c = arguments["x_1"] - slope * arguments["x_0"]
    x_1 = c + arguments["L"][:, None] * arguments["x_0"]
    return {**arguments, "x_1": x_1, "r": torch.ones_like(arguments["r"])}


_L, _n, _m = positive("L", "n", "m")
_X0, _X1 = entries("x_0", 2), entries("x_1", 2)


def _geometric():
    """Σ_{m ≥ n} L^m times the first step: all the steps that are still to come."""
    rest = 1 / (1 - _L) - (1 - _L**_n) / (1 - _L)  # the whole series, less its first n terms
    return rest * sympy.sqrt(sum((a - b) ** 2 for a, b in zip(_X1, _X0, strict=True)))


_PRINTED = (
    Equation(
        id="8.1",
        title="what is printed as style transfer",
        lhs=r"x_{\mathrm{style}}",
        rhs=r"\sigma\big(W_2\,\sigma(W_1x_{\mathrm{content}}+b_1)\big)",
        meaning="Two layers with the sigmoid σ, made of a content picture and weights: whatever "
        "style the answer has is in W₁, b₁ and W₂, for no style picture goes in.",
        quantity="the picture",
        reference=lambda x_content, W_1, b_1, W_2: torch.sigmoid(
            _apply(W_2, torch.sigmoid(_apply(W_1, x_content) + b_1))
        ),
        evidence=Numeric(
            points(x_content=uniform(0, 1, 4), W_1=normal(3, 4), b_1=normal(3), W_2=normal(4, 3)),
            where="random pictures of four pixels, and weights",
        ),
        typeset_only="it is made of whole matrices",
        sources=("D4",),
        cite="a perceptron with one hidden layer: Rumelhart et al. 1986",
        near_misses=(
            NearMiss(
                lambda x_content, W_1, b_1, W_2: _apply(
                    W_2, torch.sigmoid(_apply(W_1, x_content) + b_1)
                ),
                "the outer σ is missing: the answer leaves [0, 1]",
            ),
            NearMiss(
                lambda x_content, W_1, b_1, W_2: torch.sigmoid(
                    _apply(W_2, _apply(W_1, x_content) + b_1)
                ),
                "the inner σ is missing: two layers in a row are then as good as one",
            ),
            NearMiss(
                lambda x_content, W_1, b_1, W_2: torch.sigmoid(
                    _apply(W_2, torch.sigmoid(_apply(W_1, x_content)) + b_1)
                ),
                "b₁ is added after the inner σ: it belongs to what σ is taken of",
            ),
            NearMiss(
                lambda x_content, W_1, b_1, W_2: torch.sigmoid(
                    _apply(W_2, torch.sigmoid(_apply(W_1, x_content)))
                ),
                "b₁ is missing",
            ),
            NearMiss(
                lambda x_content, W_1, b_1, W_2: torch.sigmoid(
                    _apply(W_2, torch.relu(_apply(W_1, x_content) + b_1))
                ),
                "the inner σ is ReLU here: the sigmoid is printed",
            ),
            NearMiss(
                lambda x_content, W_1, b_1, W_2: torch.tanh(
                    _apply(W_2, torch.tanh(_apply(W_1, x_content) + b_1))
                ),
                "tanh stands where the sigmoid belongs: from −1 to 1, where pixels are from 0 to 1",
            ),
            NearMiss(
                lambda x_content, W_1, b_1, W_2: torch.sigmoid(
                    _apply(W_1.mT, torch.sigmoid(_apply(W_2.mT, x_content) + b_1))
                ),
                "W₁ and W₂ have changed places",
            ),
            NearMiss(
                lambda x_content, W_1, b_1, W_2: torch.sigmoid(_apply(W_1, x_content) + b_1),
                "this is the hidden layer alone",
            ),
            NearMiss(
                lambda x_content, W_1, b_1, W_2: x_content,
                "this is the content itself: no layer has been gone through",
            ),
        ),
    ),
    Equation(
        id="8.2",
        title="a condition that holds at one picture only",
        lhs=r"\lVert x_n-x^\star\rVert",
        relation=r"\le",
        rhs=r"\frac{L^n}{1-L}\,\lVert x_1-x_0\rVert",
        meaning="If f brings any two pictures nearer together by a factor L < 1, then x = f(x) "
        "has one solution x⋆, and x_{n+1} = f(x_n) ends there from wherever it starts. For two "
        "layers of sigmoids L = ‖W₄‖‖W₃‖/16 will do.",
        quantity="the bound",
        reference=lambda x_0, x_1, L, n, r: (
            sum(L ** (n + m) for m in range(600)) * (x_1 - x_0).square().sum(-1).sqrt()
        ),
        evidence=Bound(
            _contraction,
            of=_still_to_go,
            tight=_evenly,
            of_words="the distance that is left",
            tight_words="every distance shrinks by L itself",
            example={"x_0": [3.0, 4.0], "x_1": [1.5, 1.0], "L": 0.5, "n": 2.0, "r": [1.0, 0.5]},
            where="random contractions",
            above=True,
        ),  # fmt: skip
        definition=Definition(
            "derived by adding up all the steps that are left, each L times the one before (SymPy)",
            _geometric,
            {"L": _L, "n": _n, "x_0": _X0, "x_1": _X1, "r": entries("r", 2)},
        ),
        sources=("D5",),
        cite="Banach 1922, theorem 6",
        near_misses=(
            NearMiss(
                r"L^n\lVert x_1-x_0\rVert",
                "this is the next step's length: all those after it are still to come, 1/(1 − L) "
                "times as much",
            ),
            NearMiss(
                r"\frac{1}{1-L}\lVert x_1-x_0\rVert",
                "L^n is missing: this is what is left at the start, before any step",
            ),
            NearMiss(
                r"\frac{L^{n-1}}{1-L}\lVert x_1-x_0\rVert",
                "one step too early: x_1 − x_0 is the step number 0",
            ),
            NearMiss(
                r"\frac{L^{n+1}}{1-L}\lVert x_1-x_0\rVert",
                "one step too late: the distance can be larger than this",
            ),
            NearMiss(
                r"\frac{L^n}{1+L}\lVert x_1-x_0\rVert",
                "1 + L stands where 1 − L belongs: this is a bound from below",
            ),
            NearMiss(
                r"\frac{L^n}{L-1}\lVert x_1-x_0\rVert",
                "the sign below the line is turned round: L is less than 1",
            ),
            NearMiss(
                r"\frac{1-L^n}{1-L}\lVert x_1-x_0\rVert",
                "these are the n steps that have been gone; those that are left are asked for",
            ),
            NearMiss(r"\frac{L^n}{1-L}\lVert x_1-x_0\rVert^2", "the step's length is not squared"),
            NearMiss(
                r"\frac{nL}{1-L}\lVert x_1-x_0\rVert",
                "the steps shrink by L each time: L to the power of n, not n times L",
            ),
            NearMiss(
                _still_to_go, "this is one map's own distance; the bound knows L and one step only"
            ),
        ),
    ),
)

# -- content ---------------------------------------------------------------------------------------

_C, _PLACES = 3, 4
_PAIR = points(F=uniform(-2, 2, _C, _PLACES), P=uniform(-2, 2, _C, _PLACES))
_PAIR_EXAMPLE = {
    "F": [[1.0, 2.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]],
    "P": [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 0.0]],
}
_LENGTHS = {
    "C": lambda F, **_: _like(F, F.shape[-2]),
    "N": lambda F, **_: _like(F, F.shape[-1]),
}
_FS, _PS = _table("F", _C, _PLACES), _table("P", _C, _PLACES)
_PAIR_LETTERS = {"F": _FS, "P": _PS, "C": sympy.Integer(_C), "N": sympy.Integer(_PLACES)}


def _content(F, P):
    return (F - P).square().mean((-1, -2)) / 2


def _content_in_letters():
    """½ of the mean squared difference, as the mean over channels of means over places."""
    rows = [
        sympy.Add(*((f - p) ** 2 for f, p in zip(ours, theirs, strict=True))) / _PLACES
        for ours, theirs in zip(_FS, _PS, strict=True)
    ]
    return sympy.Add(*rows) / _C / 2


_CONTENT = (
    Equation(
        id="8.3",
        title="the content loss",
        lhs=r"L_{\mathrm{content}}",
        rhs=r"\frac{1}{2CN}\sum_{c=1}^{C}\sum_{i=1}^{N}(F_{ci}-P_{ci})^2",
        meaning="How far the features F of the picture that is made are from those of the content "
        "picture, P, place by place. Gatys et al. leave out 1/(CN); with it the loss does not grow "
        "with the picture.",
        quantity="the loss",
        reference=lambda F, P: (
            0.5 * functional.mse_loss(F, P, reduction="none").flatten(1).mean(-1)
        ),
        evidence=Numeric(_PAIR, _PAIR_EXAMPLE, where="random features, 3 channels at 4 places"),
        symbols=_LENGTHS,
        definition=Definition(
            "derived as half the mean over channels of the means over places (SymPy)",
            _content_in_letters,
            _PAIR_LETTERS,
        ),
        sources=("D9",),
        cite="Gatys et al. 2016, eq. 1",
        near_misses=(
            NearMiss(
                r"\frac12\sum_{c=1}^{C}\sum_{i=1}^{N}(F_{ci}-P_{ci})^2",
                "this is Gatys et al.'s own, the sum: the same up to a factor, and here it is the "
                "mean",
            ),
            NearMiss(
                r"\frac{1}{CN}\sum_{c=1}^{C}\sum_{i=1}^{N}(F_{ci}-P_{ci})^2",
                "the ½ is missing: the same up to a factor of 2 (F.mse_loss)",
                source="D9",
            ),
            NearMiss(
                r"\sum_{c=1}^{C}\sum_{i=1}^{N}(F_{ci}-P_{ci})^2",
                "½ and 1/(CN) are missing: the same up to a factor",
            ),
            NearMiss(
                r"\frac{1}{2N}\sum_{c=1}^{C}\sum_{i=1}^{N}(F_{ci}-P_{ci})^2",
                "divided by the places only: the channels are averaged as well",
            ),
            NearMiss(
                r"\frac{1}{2C}\sum_{c=1}^{C}\sum_{i=1}^{N}(F_{ci}-P_{ci})^2",
                "divided by the channels only: the places are averaged as well",
            ),
            NearMiss(
                r"\frac{1}{2CN}\sum_{c=1}^{C}\sum_{i=1}^{N}|F_{ci}-P_{ci}|",
                "the differences' sizes are added up, where their squares belong",
            ),
            NearMiss(
                r"\frac{1}{2C}\sum_{c=1}^{C}\Big(\frac1N\sum_{i=1}^{N}(F_{ci}-P_{ci})\Big)^2",
                "each channel is averaged over the places first: then it would not matter where "
                "something is",
            ),
            NearMiss(
                r"\frac{1}{2CN}\sum_{c=1}^{C}\sum_{i=1}^{N}(F_{ci}^2-P_{ci}^2)",
                "the squares are subtracted: the difference is to be squared",
            ),
            NearMiss(
                lambda F, P: (F - P).square().mean((-1, -2)).sqrt(),
                "this is the root of the mean square",
            ),
            NearMiss(
                lambda F, P: (F @ F.mT - P @ P.mT).square().mean((-1, -2)) / 2,
                "Gram matrices are compared here: that is style, and it forgets the place",
            ),
        ),
    ),
    Equation(
        id="8.4",
        title="its gradient",
        lhs=r"\frac{\partial L_{\mathrm{content}}}{\partial F_{ci}}",
        rhs=r"\frac{F_{ci}-P_{ci}}{CN}",
        meaning="Each feature is drawn towards the content picture's at the same place; from here "
        "the network carries it back to the pixels.",
        quantity="the gradient",
        free_index="ci",
        reference=lambda F, P: (F - P) / (F.shape[-1] * F.shape[-2]),
        evidence=Gradient(_PAIR, _PAIR_EXAMPLE, of=_content, wrt="F"),
        symbols=_LENGTHS,
        definition=Definition(
            "derived by differentiating (8.3) by each feature (SymPy)",
            lambda: tuple(sympy.diff(_content_in_letters(), f) for row in _FS for f in row),
            _PAIR_LETTERS,
        ),
        sources=("D9",),
        cite="Gatys et al. 2016, eq. 2",
        near_misses=(
            NearMiss(
                r"F_{ci}-P_{ci}",
                "1/(CN) is missing: this is the slope of the sum, of which (8.3) is the mean",
            ),
            NearMiss(
                r"\frac{2(F_{ci}-P_{ci})}{CN}", "the 2 of the square and the ½ in front cancel"
            ),
            NearMiss(
                r"\frac{P_{ci}-F_{ci}}{CN}",
                "the sign is turned round: this is the way downhill, minus the gradient",
            ),
            NearMiss(r"\frac{F_{ci}-P_{ci}}{2CN}", "the square's 2 is forgotten: it cancels the ½"),
            NearMiss(
                r"\frac{(F_{ci}-P_{ci})^2}{2CN}",
                "this is the loss of one feature; its slope is asked for",
            ),
            NearMiss(
                lambda F, P: (F - P).sign() / (F.shape[-1] * F.shape[-2]),
                "this is the slope of |F − P|",
            ),
            NearMiss(
                r"\frac{F_{ci}-P_{ci}}{N}", "divided by the places only, and not by the channels"
            ),
            NearMiss(r"\frac{F_{ci}}{CN}", "P is left out: everything would be drawn to 0"),
            NearMiss(
                lambda F, P: ((F - P) / (F.shape[-1] * F.shape[-2])).relu(),
                "negative slopes are cut off: ReLU does that to features, and not to their slopes",
            ),
        ),
    ),
)

# -- the Gram matrix -------------------------------------------------------------------------------

_ONE = points(F=uniform(-2, 2, _C, _PLACES))
_ONE_EXAMPLE = {"F": _PAIR_EXAMPLE["F"]}


def _gram(F):
    """(P, C, N) → F Fᵀ/N."""
    return F @ F.mT / F.shape[-1]


def _gram_by_places(F):
    """The same as the mean over the places of each one's outer product, one by one."""
    return sum(f[:, :, None] * f[:, None, :] for f in F.unbind(-1)) / F.shape[-1]


def _centred(F):
    return F - F.mean(-1, keepdim=True)


def _gram_in_letters(table=_FS):
    """As the mean of outer products, entry by entry in rows."""
    places = list(zip(*table, strict=True))
    outer = [[[f[a] * f[b] for b in range(len(f))] for a in range(len(f))] for f in places]
    width = range(len(table))
    return [[sympy.Add(*(o[a][b] for o in outer)) / len(places) for b in width] for a in width]


def _flat(table):
    return tuple(entry for row in table for entry in row)


_MEANS = tuple(sympy.Add(*row) / _PLACES for row in _FS)
_FEATURES = {
    **_LENGTHS,
    "F_bar": lambda F, **_: F.mean(-1),
}
_FEATURE_LETTERS = {
    "F": _FS, "C": sympy.Integer(_C), "N": sympy.Integer(_PLACES), "F_bar": _MEANS
}  # fmt: skip


def _permutations(size):
    """Random permutation matrices: (P, size, size)."""

    def draw(generator, count):
        order = torch.rand(count, size, generator=generator).argsort(-1)
        return functional.one_hot(order, size).double()

    return draw


def _shuffling_costs(F):
    """(1/N)‖FΠ − F‖², the mean over every one of the N! permutations: (P,)."""
    orders = list(itertools.permutations(range(F.shape[-1])))
    moved = [(F[..., list(order)] - F).square().sum((-1, -2)) for order in orders]
    return torch.stack(moved).mean(0) / F.shape[-1]


def _shuffling_in_letters():
    """Each place gets each place's features equally often: Σ_c of the mean of (F_cj − F_ci)²."""
    found = []
    for row in _FS:
        found += [(a - b) ** 2 for a in row for b in row]
    return sympy.Add(*found) / _PLACES**2


_GRAMS = (
    Equation(
        id="8.5",
        title="the Gram matrix",
        lhs=r"G_{ab}",
        rhs=r"\frac1N\sum_{i=1}^{N}F_{ai}F_{bi}",
        meaning="How much two channels fire together, on the mean over all places: C × C numbers, "
        "whatever the size of the picture. Gatys et al. have the 1/N in their loss instead.",
        quantity="the Gram matrix",
        free_index="ab",
        reference=_gram_by_places,
        evidence=Numeric(_ONE, _ONE_EXAMPLE, where="random features, 3 channels at 4 places"),
        symbols=_FEATURES,
        definition=Definition(
            "derived as the mean of the places' outer products (SymPy)",
            lambda: _flat(_gram_in_letters()),
            _FEATURE_LETTERS,
        ),
        cite="Gatys et al. 2016, eq. 3",
        near_misses=(
            NearMiss(
                r"\sum_{i=1}^{N}F_{ai}F_{bi}",
                "not divided by N: this is Gatys et al.'s own G, which grows with the picture",
            ),
            NearMiss(
                r"\frac{1}{CN}\sum_{i=1}^{N}F_{ai}F_{bi}",
                "divided by C as well: the channels are not added up, so there is nothing to "
                "average over them",
            ),
            NearMiss(
                r"\frac1C\sum_{i=1}^{N}F_{ai}F_{bi}",
                "divided by the number of channels, where that of the places belongs",
            ),
            NearMiss(
                lambda F: F.mT @ F / F.shape[-1],
                "FᵀF compares places with places: that is N × N, and remembers them; FFᵀ has the "
                "channels",
            ),
            NearMiss(
                r"\frac1N\sum_{i=1}^{N}(F_{ai}-\bar F_a)(F_{bi}-\bar F_b)",
                "the means are taken out: this is the covariance, and forgets how much each "
                "channel fires",
            ),
            NearMiss(
                lambda F: torch.einsum("pai,pbi->pab", *[functional.normalize(F, dim=-1)] * 2),
                "normalised to cosines: how strongly a channel fires is lost",
            ),
            NearMiss(
                lambda F: torch.diag_embed(F.square().mean(-1)),
                "only the diagonal: what channels do together is lost",
            ),
            NearMiss(
                r"\bar F_a\bar F_b",
                "the means are multiplied: it is the mean of the products that is asked for",
            ),
            NearMiss(
                r"\frac1N\sum_{i=1}^{N}(F_{ai}+F_{bi})",
                "the channels are added: they are multiplied",
            ),
            NearMiss(
                lambda F: torch.einsum("pai,qbi->ab", F, F).expand(len(F), -1, -1) / F.shape[-1],
                "summed over all points too: each picture has a Gram matrix of its own (einsum "
                "needs one letter for the batch in all three)",
            ),
        ),
    ),
    Equation(
        id="8.6",
        title="the Gram matrix forgets the place",
        lhs=r"G(F\Pi)",
        rhs="G(F)",
        meaning="Shuffle the places by a permutation Π, all channels alike: (FΠ)(FΠ)ᵀ = FΠΠᵀFᵀ, "
        "and ΠΠᵀ = I.",
        quantity="the Gram matrix",
        reference=lambda F, Pi: _gram_by_places(F @ Pi),
        evidence=Numeric(
            points(F=uniform(-2, 2, _C, _PLACES), Pi=_permutations(_PLACES)),
            {
                **_ONE_EXAMPLE,
                "Pi": [
                    [0.0, 1.0, 0.0, 0.0],
                    [0.0, 0.0, 1.0, 0.0],
                    [0.0, 0.0, 0.0, 1.0],
                    [1.0, 0.0, 0.0, 0.0],
                ],
            },
            where="random features and orders of their places",
        ),
        typeset_only="it is made of whole matrices",
        cite="Gatys et al. 2015, section 2; Li et al. 2017",
        near_misses=(
            NearMiss(
                lambda F, Pi: (F @ Pi).mT @ (F @ Pi) / F.shape[-1],
                "this compares places with places, N × N, and does change: ΠᵀFᵀFΠ",
            ),
            NearMiss(
                lambda F, Pi: F @ (F @ Pi).mT / F.shape[-1],
                "only one of the two factors is shuffled: places no longer meet themselves",
            ),
            NearMiss(
                lambda F, Pi: F @ Pi @ Pi @ F.mT / F.shape[-1],
                "Π Π is no I: it is Π times its transpose that undoes it",
            ),
            NearMiss(
                lambda F, Pi: F @ F.mT,
                "not divided by N: G of (8.5) is a mean over the places",
            ),
            NearMiss(
                lambda F, Pi: Pi[:, :_C, :_C] @ _gram(F) @ Pi[:, :_C, :_C].mT,
                "the channels are shuffled here: it is the places that are",
            ),
            NearMiss(
                lambda F, Pi: _gram(F @ Pi) - _gram(F),
                "this is the difference, which is 0: G itself is asked for",
            ),
            NearMiss(
                lambda F, Pi: _gram(F).roll(1, -1),
                "the columns of G have moved: shuffling places moves no channel",
            ),
            NearMiss(
                lambda F, Pi: _gram(_centred(F)),
                "this is the covariance: it does not change either, but it is not G",
            ),
        ),
    ),
    Equation(
        id="8.7",
        title="the printed style loss does not",
        lhs=r"\frac1N\,\mathbb{E}_{\Pi}\lVert F\Pi-F\rVert^2",
        rhs=r"\frac2N\sum_{c=1}^{C}\sum_{i=1}^{N}(F_{ci}-\bar{F}_c)^2",
        meaning="Compare features place by place, as printed, and the same texture in another "
        "order counts as another style: on the mean over all N! orders twice the variance of the "
        "features.",
        quantity="the mean",
        reference=_shuffling_costs,
        evidence=Numeric(
            _ONE,
            {"F": [[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]},
            where="random features, every order of their 4 places counted",
        ),
        symbols=_FEATURES,
        definition=Definition(
            "derived from (F_cj − F_ci)² over every pair of places, all as likely (SymPy)",
            _shuffling_in_letters,
            _FEATURE_LETTERS,
        ),
        sources=("D10",),
        near_misses=(
            NearMiss(
                "0",
                "this would be so if the printed loss forgot the place: it is the Gram matrix that "
                "does",
                source="D10",
            ),
            NearMiss(
                r"\frac1N\sum_{c=1}^{C}\sum_{i=1}^{N}(F_{ci}-\bar F_c)^2",
                "once the variance: both sides of the difference vary, and independently so",
            ),
            NearMiss(
                r"\frac{2}{N-1}\sum_{c=1}^{C}\sum_{i=1}^{N}(F_{ci}-\bar F_c)^2",
                "divided by N − 1: a place may also stay where it is, so 1/N it is",
            ),
            NearMiss(
                r"2\sum_{c=1}^{C}\sum_{i=1}^{N}(F_{ci}-\bar F_c)^2",
                "not divided by N: on the left there is a mean over the places",
            ),
            NearMiss(
                r"\frac2N\sum_{c=1}^{C}\sum_{i=1}^{N}F_{ci}^2",
                "the means are left in: what is the same at all places is not moved by shuffling",
            ),
            NearMiss(
                r"\frac{2}{CN}\sum_{c=1}^{C}\sum_{i=1}^{N}(F_{ci}-\bar F_c)^2",
                "the mean over the channels: their squares add up",
            ),
            NearMiss(
                r"\frac4N\sum_{c=1}^{C}\sum_{i=1}^{N}(F_{ci}-\bar F_c)^2",
                "twice too much: (a − b)² has 2 Var on the mean, for independent a and b",
            ),
            NearMiss(
                lambda F: 2 * F.std(-1, correction=0).sum(-1),
                "spreads are added up, where variances belong",
            ),
        ),
    ),
)

# -- style -----------------------------------------------------------------------------------------


def _grams(generator, count):
    """Two Gram matrices, of features at four places each."""
    tables = uniform(-2, 2, 2, _C, _PLACES)(generator, count)
    return {"G": _gram(tables[:, 0]), "A": _gram(tables[:, 1])}


def _style(F, A):
    return (_gram(F) - A).square().mean((-1, -2)) / 4


def _features_and_target(generator, count):
    tables = uniform(-2, 2, 2, _C, _PLACES)(generator, count)
    return {"F": tables[:, 0], "A": _gram(tables[:, 1])}


def _style_slope(F, A):
    return (_gram(F) - A) @ F / (F.shape[-2] ** 2 * F.shape[-1])


_GRAM_EXAMPLE = {
    "G": [[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 1.0]],
    "A": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
}
_GS, _AS = _table("G", _C, _C), _table("A", _C, _C)


def _style_in_letters(ours):
    """¼ of the mean square of the entries' differences, the mean of the rows' means."""
    rows = [
        sympy.Add(*((g - a) ** 2 for g, a in zip(mine, theirs, strict=True))) / _C
        for mine, theirs in zip(ours, _AS, strict=True)
    ]
    return sympy.Add(*rows) / _C / 4


def _style_slopes_in_letters():
    """By the chain rule: ∂E/∂G of each entry, times the slope of F Fᵀ/N by each feature."""
    by_entry = [
        [sympy.diff(_style_in_letters(_GS), _GS[a][b]) for b in range(_C)] for a in range(_C)
    ]
    made = _gram_in_letters()
    pairs = list(itertools.product(range(_C), repeat=2))
    return tuple(
        sympy.Add(*(by_entry[a][b] * sympy.diff(made[a][b], f) for a, b in pairs))
        for row in _FS
        for f in row
    )


_SYMMETRIC = {m[b][a]: m[a][b] for m in (_AS, _GS) for a in range(_C) for b in range(a + 1, _C)}

# Rows f_i (N, C) and s_j (M, C): what the network says at each place of the picture and the style.


def _kernel_mean(f, s):
    """The mean of (f_i·s_j)² over all pairs: (P,)."""
    return (f @ s.mT).square().mean((-1, -2))


def _second_moments(f):
    return f.mT @ f / f.shape[-2]


_F23 = _table("F", 2, 3)
_SETS = points(f=uniform(-2, 2, 3, 2), s=uniform(-2, 2, 4, 2))
_SETS_F, _SETS_S = _table("f", 3, 2), _table("s", 4, 2)


def _distance_in_letters():
    ours, theirs = (
        _gram_in_letters(tuple(zip(*table, strict=True))) for table in (_SETS_F, _SETS_S)
    )
    return sympy.Add(*((ours[a][b] - theirs[a][b]) ** 2 for a in range(2) for b in range(2)))


_DOTS = r"\frac{1}{N^2}\sum_{i}\sum_{j}(f_i\cdot f_j)^2"
_STYLE_DOTS = r"\frac{1}{M^2}\sum_{i}\sum_{j}(s_i\cdot s_j)^2"
_CROSS = r"\frac{2}{NM}\sum_{i}\sum_{j}(f_i\cdot s_j)^2"

_STYLE = (
    Equation(
        id="8.8",
        title="the style loss of a layer",
        lhs=r"E_\ell",
        rhs=r"\frac{1}{4C^2}\sum_{a=1}^{C}\sum_{b=1}^{C}(G_{ab}-A_{ab})^2",
        meaning="Gram matrices are compared and not features: G of the picture that is made, A of "
        "the style picture. It is Gatys et al.'s 1/(4C²N²), whose N² is in G and A already.",
        quantity="the loss",
        reference=lambda G, A: (
            functional.mse_loss(G, A, reduction="none").flatten(1).mean(-1) * 0.25
        ),
        evidence=Numeric(_grams, _GRAM_EXAMPLE, where="random Gram matrices of 3 channels"),
        symbols={"C": lambda G, A: _like(G, G.shape[-1])},
        definition=Definition(
            "derived as a quarter of the mean over rows of the rows' means (SymPy)",
            lambda: _style_in_letters(_GS),
            {"G": _GS, "A": _AS, "C": sympy.Integer(_C)},
        ),
        sources=("D10",),
        cite="Gatys et al. 2016, eq. 4",
        near_misses=(
            NearMiss(
                r"\sum_{a=1}^{C}\sum_{b=1}^{C}(G_{ab}-A_{ab})^2",
                "1/(4C²) is missing: a wide layer would outweigh all the others",
            ),
            NearMiss(
                r"\frac{1}{C^2}\sum_{a=1}^{C}\sum_{b=1}^{C}(G_{ab}-A_{ab})^2",
                "the ¼ is missing (F.mse_loss of Gram matrices)",
            ),
            NearMiss(
                r"\frac{1}{4C}\sum_{a=1}^{C}\sum_{b=1}^{C}(G_{ab}-A_{ab})^2",
                "divided by C, where G has C² entries",
            ),
            NearMiss(
                r"\frac{1}{2C^2}\sum_{a=1}^{C}\sum_{b=1}^{C}(G_{ab}-A_{ab})^2",
                "½ stands in front, where Gatys et al. have ¼",
            ),
            NearMiss(
                r"\frac{1}{4C^2}\sum_{a=1}^{C}(G_{aa}-A_{aa})^2",
                "only the diagonal: how strongly each channel fires, and not what they do together",
            ),
            NearMiss(
                r"\frac{1}{4C^2}\sum_{a=1}^{C}\sum_{b=1}^{C}|G_{ab}-A_{ab}|",
                "the differences' sizes are added up, where their squares belong",
            ),
            NearMiss(
                lambda G, A: (G - A).square().sum((-1, -2)).sqrt() / (4 * G.shape[-1] ** 2),
                "this is the length ‖G − A‖: its square is asked for",
            ),
            NearMiss(
                lambda G, A: (G - A).triu().square().sum((-1, -2)) / (4 * G.shape[-1] ** 2),
                "each pair of channels is counted once: the sum runs over both orders",
            ),
            NearMiss(
                lambda G, A: (G @ G.mT - A @ A.mT).square().mean((-1, -2)) / 4,
                "the Gram matrix of a Gram matrix: G and A are Gram matrices already",
            ),
        ),
    ),
    Equation(
        id="8.9",
        title="its gradient",
        lhs=r"\frac{\partial E_\ell}{\partial F_{ci}}",
        rhs=r"\frac{1}{C^2N}\sum_{b=1}^{C}(G_{cb}-A_{cb})\,F_{bi}",
        meaning="At each place the same matrix G − A is laid on the features: what fires together "
        "too often is drawn apart, wherever it is.",
        quantity="the gradient",
        free_index="ci",
        reference=_style_slope,
        evidence=Gradient(
            _features_and_target,
            {"F": _PAIR_EXAMPLE["F"], "A": _GRAM_EXAMPLE["A"]},
            of=_style,
            wrt="F",
        ),
        symbols={**_LENGTHS, "G": lambda F, A: _gram(F)},
        definition=Definition(
            "derived by the chain rule from (8.8) through (8.5), for every feature (SymPy)",
            _style_slopes_in_letters,
            {
                "F": _FS,
                "A": _AS,
                "G": _GS,
                "C": sympy.Integer(_C),
                "N": sympy.Integer(_PLACES),
            },
            _SYMMETRIC,
        ),
        sources=("D10",),
        cite="Gatys et al. 2016, eq. 6",
        near_misses=(
            NearMiss(
                lambda F, A: _style_slope(F, A) / F.shape[-1],
                "divided by N twice: one N is in G and A already",
            ),
            NearMiss(
                lambda F, A: _style_slope(F, A) * F.shape[-1],
                "1/N is missing: G is a mean over the places",
            ),
            NearMiss(
                lambda F, A: _style_slope(F, A) / 2,
                "F is in G twice: the square's 2 and that 2 cancel the 4 in 1/(4C²)",
            ),
            NearMiss(
                lambda F, A: _style_slope(F, A) * 2,
                "the 4 below the line is cancelled whole: by the square's 2, and by F's being in "
                "G twice, in a product with A that is as symmetric as G",
            ),
            NearMiss(
                r"\frac{1}{C^2N}\sum_{b=1}^{C}(A_{cb}-G_{cb})F_{bi}",
                "the sign is turned round: this is the way downhill, minus the gradient",
            ),
            NearMiss(
                r"\frac{1}{CN}\sum_{b=1}^{C}(G_{cb}-A_{cb})F_{bi}",
                "divided by C, where it is C²: (8.8) has as many entries",
            ),
            NearMiss(
                r"\frac{1}{C^2N}(G_{cc}-A_{cc})F_{ci}",
                "only the channel itself: all that fire with it count",
            ),
            NearMiss(
                r"\frac{1}{C^2N}\sum_{b=1}^{C}G_{cb}F_{bi}",
                "A is left out: the style is not looked at",
            ),
            NearMiss(
                lambda F, A: _style_slope(F, A).relu(),
                "negative slopes are cut off: ReLU does that to features, and not to their slopes",
            ),
            NearMiss(
                lambda F, A: (_gram(F) - A) / (2 * F.shape[-2] ** 2),
                "this is the slope by G: F's own is asked for",
            ),
        ),
    ),
    Equation(
        id="8.10",
        title="what the Gram matrix compares",
        lhs=r"\lVert G-A\rVert^2",
        rhs=rf"{_DOTS}+{_STYLE_DOTS}-{_CROSS}",
        meaning="The squared maximum mean discrepancy between two sets of features, f_i at the N "
        "places of one picture and s_j at the M places of the other, with the kernel (f·s)²: style "
        "is what features there are, and how many, not where.",
        quantity="the squared distance",
        reference=lambda f, s: (_second_moments(f) - _second_moments(s)).square().sum((-1, -2)),
        evidence=Numeric(
            _SETS,
            {
                "f": [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]],
                "s": [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 1.0]],
            },
            where="random sets of features",
        ),
        symbols={
            "N": lambda f, s: _like(f, f.shape[-2]),
            "M": lambda f, s: _like(s, s.shape[-2]),
            "F": lambda f, s: f.mT,
            "S": lambda f, s: s.mT,
        },
        definition=Definition(
            "derived from the squares of G − A, entry by entry (SymPy)",
            _distance_in_letters,
            {
                "f": _SETS_F,
                "s": _SETS_S,
                "N": sympy.Integer(3),
                "M": sympy.Integer(4),
                "F": tuple(zip(*_SETS_F, strict=True)),
                "S": tuple(zip(*_SETS_S, strict=True)),
            },
        ),
        sources=("D10",),
        cite="Li et al. 2017, eqs. 8 to 10; Gretton et al. 2012",
        near_misses=(
            NearMiss(
                rf"{_DOTS}+{_STYLE_DOTS}-\frac{{1}}{{NM}}\sum_{{i}}\sum_{{j}}(f_i\cdot s_j)^2",
                "the mixed term counts twice: two equal sets must have a distance of 0",
            ),
            NearMiss(
                rf"{_DOTS}+{_STYLE_DOTS}+{_CROSS}",
                "the mixed term is added: it says how alike the sets are, so it is taken off",
            ),
            NearMiss(
                rf"{_DOTS}+{_STYLE_DOTS}",
                "the mixed term is missing: it is the only one that compares the two",
            ),
            NearMiss(
                r"\frac{1}{N^2}\sum_{i}\sum_{j}f_i\cdot f_j"
                r"+\frac{1}{M^2}\sum_{i}\sum_{j}s_i\cdot s_j"
                r"-\frac{2}{NM}\sum_{i}\sum_{j}f_i\cdot s_j",
                "the products are not squared: this compares the means of the features only",
            ),
            NearMiss(
                r"\sum_{i}\sum_{j}(f_i\cdot f_j)^2+\sum_{i}\sum_{j}(s_i\cdot s_j)^2"
                r"-2\sum_{i}\sum_{j}(f_i\cdot s_j)^2",
                "sums stand where means belong: pictures of different sizes could not be compared",
            ),
            NearMiss(
                r"\frac1N\sum_{i}\sum_{j}(f_i\cdot f_j)^2+\frac1M\sum_{i}\sum_{j}(s_i\cdot s_j)^2"
                rf"-{_CROSS}",
                "divided by N and M: there are N² and M² pairs",
            ),
            NearMiss(
                lambda f, s: (
                    _kernel_mean(f, f) + _kernel_mean(s, s) - 2 * _kernel_mean(f, s)
                ).sqrt(),
                "this is the distance: its square is asked for",
            ),
            NearMiss(
                r"\frac{1}{N^2}\sum_{i}(f_i\cdot f_i)^2+\frac{1}{M^2}\sum_{i}(s_i\cdot s_i)^2"
                rf"-{_CROSS}",
                "each place with itself only: every pair of places counts",
            ),
            NearMiss(
                lambda f, s: (f[:, :, None] - s[:, None]).square().sum(-1).mean((-1, -2)),
                "this is the mean squared distance of the features, and 0 only if all are alike",
            ),
        ),
    ),
    Equation(
        id="8.11",
        title="what the Gram matrix holds",
        lhs=r"G_{ab}",
        rhs=r"\frac1N\sum_{i=1}^{N}(F_{ai}-\bar{F}_a)(F_{bi}-\bar{F}_b)+\bar{F}_a\bar{F}_b",
        meaning="The channels' covariance and their means: the first two moments of the features, "
        "and nothing else about them.",
        quantity="the Gram matrix",
        free_index="ab",
        reference=lambda F: _gram_by_places(F),
        evidence=Numeric(
            points(F=uniform(-2, 2, 2, 3)),
            {"F": [[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]]},
            where="random features, 2 channels at 3 places",
        ),
        symbols=_FEATURES,
        definition=Definition(
            "derived as the mean of the places' outer products (SymPy)",
            lambda: _flat(_gram_in_letters(_F23)),
            {
                "F": _F23,
                "C": sympy.Integer(2),
                "N": sympy.Integer(3),
                "F_bar": tuple(sympy.Add(*row) / 3 for row in _F23),
            },
        ),
        cite="Li et al. 2017, section 4",
        near_misses=(
            NearMiss(
                r"\frac1N\sum_{i=1}^{N}(F_{ai}-\bar F_a)(F_{bi}-\bar F_b)",
                "this is the covariance alone: the means are in G as well",
            ),
            NearMiss(r"\bar F_a\bar F_b", "these are the means alone: the covariance is missing"),
            NearMiss(
                r"\frac1N\sum_{i=1}^{N}(F_{ai}-\bar F_a)(F_{bi}-\bar F_b)-\bar F_a\bar F_b",
                "the means are subtracted: G has both",
            ),
            NearMiss(
                lambda F: (
                    _gram(_centred(F)) * F.shape[-1] / (F.shape[-1] - 1)
                    + F.mean(-1)[:, :, None] * F.mean(-1)[:, None]
                ),
                "the covariance is by 1/(N − 1), as torch.cov and np.cov have it: here it is 1/N",
            ),
            NearMiss(
                r"\frac1N\sum_{i=1}^{N}(F_{ai}-\bar F_a)(F_{bi}-\bar F_b)+N\bar F_a\bar F_b",
                "the means count N times: that is for G without its 1/N",
            ),
            NearMiss(
                r"\frac1N\sum_{i=1}^{N}(F_{ai}-\bar F_a)(F_{bi}-\bar F_b)+\bar F_a+\bar F_b",
                "the means are added: they are multiplied",
            ),
            NearMiss(
                r"\frac1N\sum_{i=1}^{N}(F_{ai}-\bar F_a)(F_{bi}-\bar F_b)+\bar F_a^2",
                "the mean of one channel squared: it is the product of both channels' means",
            ),
        ),
    ),
)

# -- the picture, and the way to it ----------------------------------------------------------------


def _steps_apart(x):
    """Squared differences to the right and to the one below, added up: (P,)."""
    right, below = x.diff(dim=-1), x.diff(dim=-2)
    return right.square().flatten(1).sum(-1) + below.square().flatten(1).sum(-1)


def _variation(x):
    return _steps_apart(x) / x[0].numel()


def _variation_by_places(x):
    """The same, pixel by pixel."""
    _, channels, height, width = x.shape
    total = torch.zeros_like(x[:, 0, 0, 0])
    for c, i, j in itertools.product(range(channels), range(height), range(width)):
        if j + 1 < width:
            total = total + (x[:, c, i, j + 1] - x[:, c, i, j]) ** 2
        if i + 1 < height:
            total = total + (x[:, c, i + 1, j] - x[:, c, i, j]) ** 2
    return total / (channels * height * width)


_ALPHA, _BETA, _GAMMA, _CONTENT_LETTER, _V = real("alpha", "beta", "gamma", "L_content", "V")
_LAYER_E, _LAYER_W = entries("E", 3), entries("w", 3)


def _whole_in_letters():
    """By the three slopes: the loss is linear in α, β and γ, with these three parts."""
    styles = [w * e for w, e in zip(_LAYER_W, _LAYER_E, strict=True)]
    parts = sympy.Matrix([_CONTENT_LETTER, sympy.Add(*styles), _V])
    return (sympy.Matrix([[_ALPHA, _BETA, _GAMMA]]) * parts)[0]


def _column(x):
    return x[..., None]


def _row(x):
    return x[..., None, :]


def _bfgs(H, s, y):
    """The update of the inverse Hessian written out, (P, n, n): no product of I − ρsyᵀ."""
    sy = (s * y).sum(-1)[:, None, None]
    Hy = H @ _column(y)
    grown = (1 + _row(y) @ Hy / sy) * _column(s) * _row(s) / sy
    return H + grown - (Hy * _row(s) + _column(s) * Hy.mT) / sy


def _bfgs_of_hessian(B, s, y):
    """The other BFGS update, of the Hessian B itself."""
    Bs = B @ _column(s)
    along_y = _column(y) * _row(y) / (s * y).sum(-1)[:, None, None]
    return B - Bs * Bs.mT / (_row(s) @ Bs) + along_y


def _dfp(H, s, y):
    Hy = H @ _column(y)
    along_s = _column(s) * _row(s) / (s * y).sum(-1)[:, None, None]
    return H - Hy * Hy.mT / (_row(y) @ Hy) + along_s


def _rank_one(H, s, y):
    rest = _column(s) - H @ _column(y)
    return H + rest * rest.mT / (_row(y) @ rest)


def _product(H, s, y, rho=None, last=1.0):
    """(I − ρsyᵀ)H(I − ρysᵀ) + ρssᵀ, with another ρ, or another factor of the last part."""
    rho = 1 / (s * y).sum(-1) if rho is None else rho
    left = torch.eye(3).to(H) - rho[:, None, None] * _column(s) * _row(y)
    return left @ H @ left.mT + last * rho[:, None, None] * _column(s) * _row(s)


def _curved(generator, count):
    """A step s, the gradient's change y = As over a bowl A, and a guess H at the inverse of A."""
    given = points(a=normal(3, 3), h=normal(3, 3), s=normal(3))(generator, count)
    bowl, guess = (m @ m.mT / 3 + 0.3 * torch.eye(3).to(m) for m in (given["a"], given["h"]))
    return {"H": guess, "s": given["s"], "y": (bowl @ _column(given["s"])).squeeze(-1)}


_ADAM = points(
    m=uniform(-1, 1),
    v=uniform(0.1, 2),
    t=_whole_from(1, 8),
    eta=uniform(0.05, 1),
    beta_1=uniform(0.5, 0.95),
    beta_2=uniform(0.6, 0.99),
    eps=uniform(0.05, 0.5),
)
_ADAM_EXAMPLE = {
    "m": 0.19, "v": 0.19, "t": 2.0, "eta": 0.1, "beta_1": 0.9, "beta_2": 0.9, "eps": 0.1
}  # fmt: skip
_ADAM_SYMBOLS = {
    "m_t": lambda m, **_: m,
    "v_t": lambda v, **_: v,
    "m_hat_t": lambda m, t, beta_1, **_: m / (1 - beta_1**t),
    "v_hat_t": lambda v, t, beta_2, **_: v / (1 - beta_2**t),
}
_ETA, _EPS, _T, _VT, _B1, _B2 = positive("eta", "epsilon", "t", "v", "beta_1", "beta_2")
_MT = real("m")[0]


def _weight_sum(beta):
    """Σ over t steps of (1 − β)β^{t−k}, the weights in m and v: what they lack of 1."""
    return (1 - beta) * (1 - beta**_T) / (1 - beta)


_LAYERS = 4
_STACK = points(k=_whole_from(1, 7, _LAYERS), s=_whole_from(1, 3, _LAYERS))
_KS, _SS = entries("k", _LAYERS, above_zero=True), entries("s", _LAYERS, above_zero=True)


def _seen(k, s):
    """How many pixels one place of the last layer sees, from the last layer back to the first."""
    seen = torch.ones_like(k[:, 0])
    for width, stride in zip(k.flip(-1).unbind(-1), s.flip(-1).unbind(-1), strict=True):
        seen = (seen - 1) * stride + width
    return seen


def _seen_in_letters(ks=_KS, ss=_SS):
    seen = sympy.Integer(1)
    for width, stride in zip(reversed(ks), reversed(ss), strict=True):
        seen = (seen - 1) * stride + width
    return seen


_WAY = (
    Equation(
        id="8.12",
        title="total variation",
        lhs="V(x)",
        rhs=r"\frac{1}{CHW}\sum_{c,i,j}\Big((x_{c,i,j+1}-x_{c,i,j})^2+(x_{c,i+1,j}-x_{c,i,j})^2\Big)",
        meaning="How much neighbours differ, to the right and below, where there is one: high for "
        "grain, 0 for one colour. With |·| in the place of squares edges would cost less.",
        quantity="the variation",
        reference=_variation_by_places,
        evidence=Numeric(
            points(x=uniform(0, 1, 2, 3, 4)),
            {"x": [[[0.0, 1.0, 0.0, 0.0]] * 3, [[0.0, 0.0, 0.0, 0.0]] * 3]},
            where="random pictures of 2 channels and 3 × 4 pixels",
        ),
        typeset_only="its indices have neighbours, and end one earlier",
        cite="Rudin et al. 1992; Mahendran & Vedaldi 2015, section 3",
        near_misses=(
            NearMiss(_steps_apart, "not divided by CHW: a larger picture would count for more"),
            NearMiss(
                lambda x: (
                    (x.diff(dim=-1).abs().sum((1, 2, 3)) + x.diff(dim=-2).abs().sum((1, 2, 3)))
                    / x[0].numel()
                ),
                "the differences' sizes are added up: the total variation of Rudin et al., where "
                "this one has squares",
            ),
            NearMiss(
                lambda x: x.diff(dim=-1).square().sum((1, 2, 3)) / x[0].numel(),
                "only to the right: rows may differ from one another for nothing",
            ),
            NearMiss(
                lambda x: x.diff(dim=-2).square().sum((1, 2, 3)) / x[0].numel(),
                "only downwards: columns may differ from one another for nothing",
            ),
            NearMiss(
                lambda x: (
                    x.diff(dim=-1).square().mean((1, 2, 3))
                    + x.diff(dim=-2).square().mean((1, 2, 3))
                ),
                "each direction is averaged over its own pairs: here both are divided by CHW",
            ),
            NearMiss(
                lambda x: ((x.roll(-1, -1) - x).square() + (x.roll(-1, -2) - x).square()).mean(
                    (1, 2, 3)
                ),
                "the picture's edges are joined to the opposite ones (roll): no neighbours",
            ),
            NearMiss(
                lambda x: _variation(x) + x.diff(dim=1).square().sum((1, 2, 3)) / x[0].numel(),
                "the colour channels are compared with each other too: they are no neighbours",
            ),
            NearMiss(
                lambda x: (
                    (x.diff(dim=-1)[..., :-1, :].square() + x.diff(dim=-2)[..., :, :-1].square())
                    .sqrt()
                    .sum((1, 2, 3))
                    / x[0].numel()
                ),
                "the root of both together (isotropic): here the squares are added up as they are",
            ),
            NearMiss(
                lambda x: _steps_apart(x) / x[0, 0].numel(),
                "not divided by the channels: the mean is over C, H and W",
            ),
            NearMiss(
                lambda x: x.flatten(1).var(-1, correction=0),
                "this is the variance of all pixels: it does not ask who is whose neighbour",
            ),
        ),
    ),
    Equation(
        id="8.13",
        title="the whole loss",
        lhs="L",
        rhs=r"\alpha\,L_{\mathrm{content}}+\beta\sum_{l}w_lE_l+\gamma\,V",
        meaning="Content, the style of several layers, and smoothness, as a function of the "
        "pixels; only the weights' ratios matter to the picture at which it is least.",
        quantity="the loss",
        reference=lambda L_content, E, w, V, alpha, beta, gamma: (
            alpha * L_content + beta * torch.linalg.vecdot(w, E) + gamma * V
        ),
        evidence=Numeric(
            points(
                L_content=uniform(0, 2),
                E=uniform(0, 2, 3),
                w=uniform(0, 1, 3),
                V=uniform(0, 1),
                alpha=uniform(0.1, 2),
                beta=uniform(0.1, 2),
                gamma=uniform(0.1, 2),
            ),
            {
                "L_content": 1.0,
                "E": [1.0, 2.0, 3.0],
                "w": [0.5, 0.25, 0.25],
                "V": 0.5,
                "alpha": 1.0,
                "beta": 2.0,
                "gamma": 0.1,
            },
        ),
        definition=Definition(
            "written out for three layers (SymPy)",
            _whole_in_letters,
            {
                "L_content": _CONTENT_LETTER,
                "E": _LAYER_E,
                "w": _LAYER_W,
                "V": _V,
                "alpha": _ALPHA,
                "beta": _BETA,
                "gamma": _GAMMA,
            },
        ),
        cite="Gatys et al. 2016, eqs. 5 and 7",
        near_misses=(
            NearMiss(
                r"\alpha L_{\mathrm{content}}+\beta\sum_{l}E_l+\gamma V",
                "the layers' weights w are left out",
            ),
            NearMiss(
                r"\beta L_{\mathrm{content}}+\alpha\sum_{l}w_lE_l+\gamma V",
                "α and β have changed places: α weighs the content",
            ),
            NearMiss(
                r"\alpha L_{\mathrm{content}}+\beta\sum_{l}w_lE_l-\gamma V",
                "the variation is subtracted: this pays for grain",
            ),
            NearMiss(
                r"\alpha L_{\mathrm{content}}+\beta\sum_{l}w_lE_l",
                "the variation is left out",
            ),
            NearMiss(
                r"\alpha L_{\mathrm{content}}-\beta\sum_{l}w_lE_l+\gamma V",
                "the style is subtracted: the picture would flee from it",
            ),
            NearMiss(
                r"L_{\mathrm{content}}+\sum_{l}w_lE_l+V", "the weights α, β and γ are left out"
            ),
            NearMiss(
                lambda L_content, E, w, V, alpha, beta, gamma: (
                    alpha * L_content + beta * (w * E).mean(-1) + gamma * V
                ),
                "the layers' mean is taken: they add up, each by its weight",
            ),
            NearMiss(
                r"\alpha L_{\mathrm{content}}"
                r"+\beta\Big(\sum_{l}w_l\Big)\Big(\sum_{l}E_l\Big)+\gamma V",
                "two sums are multiplied: each layer has a weight of its own",
            ),
        ),
    ),
    Equation(
        id="8.14",
        title="what L-BFGS learns from a step",
        lhs=r"H_{+}",
        rhs=r"(I-\rho\,s\,y^\top)\,H\,(I-\rho\,y\,s^\top)+\rho\,s\,s^\top,"
        r"\qquad\rho=\frac{1}{y^\top s}",
        meaning="s is the step that was taken, y how much the gradient changed; the new guess "
        "at the inverse Hessian is the one nearest to H that would have known: H₊y = s, the secant "
        "condition. L-BFGS keeps the last few s and y and never the matrix.",
        quantity="the matrix",
        reference=_bfgs,
        evidence=Numeric(
            _curved,
            {
                "H": torch.eye(3).tolist(),
                "s": [1.0, 0.0, 0.0],
                "y": [2.0, 1.0, 0.0],
            },
            tolerance=1e-8,
            where="random bowls and steps",
        ),
        typeset_only="it is made of whole matrices",
        cite="Nocedal & Wright 2006, eq. 6.17; Liu & Nocedal 1989",
        near_misses=(
            NearMiss(
                _dfp,
                "this is DFP's update: it meets the secant condition too, and is another matrix",
            ),
            NearMiss(
                _rank_one,
                "this is the symmetric rank-one update: it meets the secant condition too, and is "
                "another matrix",
            ),
            NearMiss(
                lambda H, s, y: _bfgs_of_hessian(H, s, y),
                "this is the update of the Hessian itself, B s = y: its inverse is asked for",
            ),
            NearMiss(
                lambda H, s, y: _product(H, y, s),
                "s and y have changed places: this meets H₊s = y",
            ),
            NearMiss(
                lambda H, s, y: _product(H, s, y, last=0.0),
                "ρssᵀ is missing: H₊y would be 0",
            ),
            NearMiss(
                lambda H, s, y: _product(H, s, y, last=-1.0),
                "ρssᵀ is subtracted: H₊y would be −s, uphill",
            ),
            NearMiss(
                lambda H, s, y: _product(H, s, y, rho=(s * y).sum(-1)),
                "ρ is yᵀs itself: it is 1 over it",
            ),
            NearMiss(
                lambda H, s, y: _product(H, s, y, rho=1 / s.square().sum(-1)),
                "ρ is 1/(sᵀs): y is in it as well",
            ),
            NearMiss(
                lambda H, s, y: _product(H, s, y, rho=1 / y.square().sum(-1)),
                "ρ is 1/(yᵀy): s is in it as well",
            ),
            NearMiss(
                lambda H, s, y: _product(H, s, y, rho=torch.ones_like(s[:, 0])),
                "ρ is left out: the products are to be divided by yᵀs",
            ),
            NearMiss(
                lambda H, s, y: (
                    torch.eye(3).to(H) * ((s * y).sum(-1) / y.square().sum(-1))[:, None, None]
                ),
                "this is the scaled identity with which L-BFGS starts, sᵀy/yᵀy · I",
            ),
            NearMiss(
                lambda H, s, y: H,
                "nothing is learnt: this is the old guess",
            ),
        ),
    ),
    Equation(
        id="8.15",
        title="a step of Adam",
        lhs=r"x_{t+1}-x_t",
        rhs=r"-\eta\,\frac{m_t/(1-\beta_1^t)}{\sqrt{v_t/(1-\beta_2^t)}+\epsilon}",
        meaning="m and v are running means of the gradient and of its square; both start at 0, and "
        "the brackets put right what they lack early on.",
        quantity="the step",
        reference=lambda m, v, t, eta, beta_1, beta_2, eps: (
            -eta * (m / (1 - beta_1**t)) / ((v / (1 - beta_2**t)).sqrt() + eps)
        ),
        evidence=Numeric(_ADAM, _ADAM_EXAMPLE),
        symbols=_ADAM_SYMBOLS,
        definition=Definition(
            "derived by dividing m and v by what their weights (1 − β)β^(t−k) add up to (SymPy)",
            lambda: -_ETA * (_MT / _weight_sum(_B1)) / (sympy.sqrt(_VT / _weight_sum(_B2)) + _EPS),
            {
                "m_hat_t": _MT / (1 - _B1**_T),
                "v_hat_t": _VT / (1 - _B2**_T),
                "m": _MT,
                "m_t": _MT,
                "v": _VT,
                "v_t": _VT,
                "t": _T,
                "eta": _ETA,
                "beta_1": _B1,
                "beta_2": _B2,
                "eps": _EPS,
            },
        ),
        cite="Kingma & Ba 2015, algorithm 1",
        near_misses=(
            NearMiss(
                r"\eta\frac{m_t/(1-\beta_1^t)}{\sqrt{v_t/(1-\beta_2^t)}+\epsilon}",
                "the sign is turned round: this goes uphill",
            ),
            NearMiss(
                r"-\eta\frac{m_t}{\sqrt{v_t}+\epsilon}",
                "nothing is put right: m and v start at 0, and are too small early on",
            ),
            NearMiss(
                r"-\eta\frac{m_t/(1-\beta_1^t)}{\sqrt{v_t}+\epsilon}",
                "v is not put right: early steps would be far too long",
            ),
            NearMiss(
                r"-\eta\frac{m_t}{\sqrt{v_t/(1-\beta_2^t)}+\epsilon}",
                "m is not put right: early steps would be too short",
            ),
            NearMiss(
                r"-\eta\frac{m_t/(1-\beta_1^t)}{\sqrt{v_t/(1-\beta_2^t)+\epsilon}}",
                "ε is inside the root: it is added to the root",
            ),
            NearMiss(
                r"-\eta\frac{m_t/(1-\beta_1^t)}{v_t/(1-\beta_2^t)+\epsilon}",
                "the root is missing: v is of the square of the gradient",
            ),
            NearMiss(
                r"-\eta\frac{m_t/(1-\beta_1)}{\sqrt{v_t/(1-\beta_2)}+\epsilon}",
                "the power t is missing: this is right for the first step only",
            ),
            NearMiss(
                r"-\eta\frac{m_t(1-\beta_1^t)}{\sqrt{v_t(1-\beta_2^t)}+\epsilon}",
                "multiplied by 1 − β^t, where one divides",
            ),
            NearMiss(
                r"-\eta\frac{m_t/(1-\beta_2^t)}{\sqrt{v_t/(1-\beta_1^t)}+\epsilon}",
                "β₁ and β₂ have changed places",
            ),
            NearMiss(
                r"-\eta\frac{m_t/(1-\beta_1^{t+1})}{\sqrt{v_t/(1-\beta_2^{t+1})}+\epsilon}",
                "t is off by one: the first step is t = 1",
            ),
            NearMiss(
                r"-\eta\frac{m_t/(1-\beta_1^t)}{\sqrt{v_t}/(1-\beta_2^t)+\epsilon}",
                "the root is taken of v alone: what puts v right belongs under it",
            ),
            NearMiss(
                r"-\eta\frac{m_t/(1-\beta_1^t)}{\sqrt{v_t/(1-\beta_2^t)}}",
                "ε is missing: where the gradient is 0 this has no value",
            ),
            NearMiss(
                r"-\eta m_t",
                "this is momentum alone: every pixel would have its own length of step",
            ),
        ),
    ),
    Equation(
        id="8.16",
        title="how much a deep layer sees",
        lhs=r"r_L",
        rhs=r"1+\sum_{l=1}^{L}(k_l-1)\prod_{j<l}s_j",
        meaning="The width in pixels that one place of layer L looks at: kernels of width k, each "
        "reaching further by the strides s before it.",
        quantity="the width",
        reference=_seen,
        evidence=Numeric(
            _STACK,
            {"k": [3.0, 3.0, 5.0, 3.0], "s": [2.0, 1.0, 2.0, 1.0]},
            where="random stacks of four layers",
        ),
        definition=Definition(
            "derived from the last layer back to the first: r ↦ (r − 1)s + k (SymPy)",
            _seen_in_letters,
            {"k": _KS, "s": _SS},
        ),
        cite="Araujo et al. 2019, eq. 2",
        near_misses=(
            NearMiss(
                r"1+\sum_{l=1}^{L}(k_l-1)\prod_{j\le l}s_j",
                "a layer's own stride comes too early: it widens the layers after it only",
            ),
            NearMiss(
                r"1+\sum_{l=1}^{L}(k_l-1)",
                "the strides are left out: they make later layers see more",
            ),
            NearMiss(
                r"\sum_{l=1}^{L}(k_l-1)\prod_{j<l}s_j", "the pixel in the middle is missing: add 1"
            ),
            NearMiss(
                r"1+\sum_{l=1}^{L}k_l\prod_{j<l}s_j",
                "neighbouring windows overlap: a kernel adds k − 1, not k",
            ),
            NearMiss(r"\prod_{l=1}^{L}k_l", "the widths are multiplied: at stride 1 they add up"),
            NearMiss(
                r"\sum_{l=1}^{L}k_l", "the widths are added: a kernel adds k − 1, and strides count"
            ),
            NearMiss(
                lambda k, s: _seen(k.flip(-1), s.flip(-1)),
                "the layers are in the wrong order: the first is the one at the pixels",
            ),
            NearMiss(
                r"1+\sum_{l=1}^{L}(k_l-1)s_l",
                "only the layer's own stride: all before it multiply, and its own comes after",
            ),
            NearMiss(
                lambda k, s: 1 + (k - 1).sum(-1) * s.prod(-1),
                "all kernels reach by all strides: a stride widens the layers after it only",
            ),
            NearMiss(
                lambda k, s: _seen(k, s) ** 2,
                "this is how many pixels it is in both directions: the width is asked for",
            ),
        ),
    ),
)

# -- one network for one style ---------------------------------------------------------------------

_STYLED = points(F=uniform(-2, 2, 2, 4), S=uniform(-2, 2, 2, 3))


def _adain(F, S, correction=0):
    """F's channels with the mean and the spread of S's: (P, C, N)."""
    spread = F.std(-1, keepdim=True, correction=correction)
    wanted = S.std(-1, keepdim=True, correction=correction)
    return wanted * _centred(F) / spread + S.mean(-1, keepdim=True)


_STYLED_F, _STYLED_S = _table("F", 2, 4), _table("S", 2, 3)
_MU, _M, _A, _B = entries("mu", 2), entries("m", 2), *real("a", "b")
_SIGMA, _SPREAD = (entries(name, 2, above_zero=True) for name in ("sigma", "s"))


def _stretched():
    """The a and b with which aF + b has mean m and spread s in each channel, laid on F."""
    found = []
    for c, row in enumerate(_STYLED_F):
        wanted = [_A * _MU[c] + _B - _M[c], _A * _SIGMA[c] - _SPREAD[c]]
        put = sympy.solve(wanted, [_A, _B], dict=True)[0]
        found += [put[_A] * f + put[_B] for f in row]
    return tuple(found)


_TIMES = points(T=uniform(100, 2000), t_opt=uniform(5, 60), t_net=uniform(0.01, 1))
_TRAIN, _T_OPT, _T_NET, _COUNT = positive("T", "t_opt", "t_net", "n")

_FAST = (
    Equation(
        id="8.17",
        title="a channel in the style's range",
        lhs=r"\mathrm{AdaIN}(F,S)_{ci}",
        rhs=r"s_c\,\frac{F_{ci}-\mu_c}{\sigma_c}+m_c",
        meaning="Instance normalisation takes each channel's own mean μ and spread σ out, and then "
        "the style's, m and s, are put in; a network for one style has s and m as weights. Spreads "
        "are by 1/N here, and without the small ε that code adds.",
        quantity="the features",
        free_index="ci",
        reference=lambda F, S: _adain(F, S),
        evidence=Numeric(
            _STYLED,
            {
                "F": [[1.0, 3.0, 1.0, 3.0], [0.0, 0.0, 2.0, 2.0]],
                "S": [[0.0, 1.0, 2.0], [4.0, 4.0, 7.0]],
            },
            where="random features of two pictures",
        ),  # fmt: skip
        symbols={
            "mu": lambda F, S: F.mean(-1),
            "sigma": lambda F, S: F.std(-1, correction=0),
            "m": lambda F, S: S.mean(-1),
            "s": lambda F, S: S.std(-1, correction=0),
        },
        definition=Definition(
            "derived by solving for the line aF + b that has the style's mean and spread (SymPy)",
            _stretched,
            {"F": _STYLED_F, "S": _STYLED_S, "mu": _MU, "sigma": _SIGMA, "m": _M, "s": _SPREAD},
        ),
        cite="Ulyanov et al. 2017; Huang & Belongie 2017, eq. 8",
        near_misses=(
            NearMiss(
                r"\frac{F_{ci}-\mu_c}{\sigma_c}",
                "this is instance normalisation alone: the style's spread and mean are still to "
                "be put in",
            ),
            NearMiss(
                r"m_c\frac{F_{ci}-\mu_c}{\sigma_c}+s_c",
                "the style's spread and mean have changed places",
            ),
            NearMiss(
                r"s_c\frac{F_{ci}-\mu_c}{\sigma_c^2}+m_c",
                "divided by the variance: it is the spread that becomes 1",
            ),
            NearMiss(
                r"s_c^2\frac{F_{ci}-\mu_c}{\sigma_c}+m_c",
                "multiplied by the style's variance, where its spread belongs",
            ),
            NearMiss(r"s_c\frac{F_{ci}}{\sigma_c}+m_c", "the channel's own mean is left in"),
            NearMiss(
                r"\sigma_c\frac{F_{ci}-m_c}{s_c}+\mu_c",
                "content and style have changed places: the content's range is put in",
            ),
            NearMiss(
                r"F_{ci}-\mu_c+m_c",
                "only the means are exchanged: the spreads are left as they were",
            ),
            NearMiss(
                lambda F, S: (
                    S.std((-1, -2), keepdim=True, correction=0)
                    * (F - F.mean((-1, -2), keepdim=True))
                    / F.std((-1, -2), keepdim=True, correction=0)
                    + S.mean((-1, -2), keepdim=True)
                ),
                "one mean and spread for all channels (layer normalisation): each has its own",
            ),
            NearMiss(
                lambda F, S: (
                    S.std(-1, keepdim=True, correction=0)
                    * (F - F.mean((0, -1), keepdim=True))
                    / F.std((0, -1), keepdim=True, correction=0)
                    + S.mean(-1, keepdim=True)
                ),
                "the mean is taken over all pictures at once (batch normalisation): each has its "
                "own contrast",
            ),
            NearMiss(
                lambda F, S: (
                    S.std(-2, correction=0).mean(-1)[:, None, None]
                    * (F - F.mean(-2, keepdim=True))
                    / F.std(-2, keepdim=True, correction=0)
                    + S.mean(-1, keepdim=True)
                ),
                "mean and spread are over the channels at a place: they are over the places of a "
                "channel",
            ),
            NearMiss(
                lambda F, S: _adain(F, S, correction=1),
                "spreads are by 1/(N − 1), torch.std's default: where the sizes differ it "
                "does not cancel",
            ),
        ),
    ),
    Equation(
        id="8.18",
        title="when a network pays",
        lhs=r"n^\star",
        rhs=r"\frac{T}{t_{\mathrm{opt}}-t_{\mathrm{net}}}",
        meaning="Training takes T seconds once, a picture t_net with the network, t_opt without: "
        "from n⋆ pictures on the network is ahead, in the one style that it has learnt.",
        quantity="the number of pictures",
        reference=lambda T, t_opt, t_net: torch.linalg.solve(
            torch.stack(
                [
                    torch.stack([t_opt, -torch.ones_like(T)], -1),
                    torch.stack([t_net, -torch.ones_like(T)], -1),
                ],
                -2,
            ),
            torch.stack([torch.zeros_like(T), -T], -1),
        )[..., 0],
        evidence=Numeric(_TIMES, {"T": 600.0, "t_opt": 10.25, "t_net": 0.25}, where="random times"),
        definition=Definition(
            "derived by solving n t_opt = T + n t_net for n (SymPy)",
            lambda: sympy.solve(_COUNT * _T_OPT - _TRAIN - _COUNT * _T_NET, _COUNT)[0],
            {"T": _TRAIN, "t_opt": _T_OPT, "t_net": _T_NET},
        ),
        cite="Johnson et al. 2016, section 4.1",
        near_misses=(
            NearMiss(
                r"\frac{T}{t_{\mathrm{opt}}}",
                "the network's own time is left out: each of its pictures costs t_net",
            ),
            NearMiss(
                r"\frac{T}{t_{\mathrm{net}}}",
                "this is how many pictures the training could have been, had it only run",
            ),
            NearMiss(
                r"\frac{t_{\mathrm{opt}}}{t_{\mathrm{net}}}",
                "this is how many times as fast it is: the training is left out",
            ),
            NearMiss(
                r"\frac{T}{t_{\mathrm{opt}}+t_{\mathrm{net}}}",
                "the times are added: what a picture saves is their difference",
            ),
            NearMiss(
                r"\frac{T}{t_{\mathrm{net}}-t_{\mathrm{opt}}}",
                "the sign is turned round: without the network it takes longer",
            ),
            NearMiss(
                r"T(t_{\mathrm{opt}}-t_{\mathrm{net}})",
                "multiplied, where one divides: the more a picture saves, the sooner it pays",
            ),
            NearMiss(
                r"\frac{T+t_{\mathrm{net}}}{t_{\mathrm{opt}}}",
                "one picture by the network is counted, where there are n",
            ),
            NearMiss(
                r"T-\frac{t_{\mathrm{opt}}}{t_{\mathrm{net}}}", "a ratio is subtracted from seconds"
            ),
        ),
    ),
)

# -- exercises -------------------------------------------------------------------------------------


def _gram_of_layer(x):
    """Features (P, C, H, W) → (P, C, C)."""
    return _gram(x.flatten(2))


_HIDDEN = points(x=uniform(0, 1, 2), W_3=normal(3, 2), b_3=uniform(-1, 1, 3), W_4=normal(2, 3))
_PIXELS, _W3, _B3, _W4 = (
    entries("x", 2), _table("W_3", 3, 2), entries("b_3", 3), _table("W_4", 2, 3)
)  # fmt: skip


def _sigmoid(x):
    return 1 / (1 + sympy.exp(-x))


# The sigmoids are letters whose slopes are known, or SymPy would have to see through towers of
# exponentials: h′ = h(1 − h) by what h is taken of, and f′ = f(1 − f).
_HS, _OUTS = entries("h", 3), entries("f", 2)


def _slopes_by_chain_rule():
    """∂f_i/∂x_j, differentiating from the inside out."""
    x = sympy.Matrix(_PIXELS)
    inner = sympy.Matrix(_W3) * x + sympy.Matrix(_B3)
    hidden = sympy.Matrix([h * (1 - h) for h in _HS])
    at_hidden = sympy.diag(*hidden) * inner.jacobian(x)
    outer = sympy.Matrix([f * (1 - f) for f in _OUTS])
    return tuple(sympy.diag(*outer) * sympy.Matrix(_W4) * at_hidden)


_CENTRE, _GOAL, _PLACE = real("c", "s", "x")
_WIDTH, _DEPTH, _INDEX = positive("k", "L", "l")
_G = real("g")[0]


def _doubling():
    """1 + (k − 1) Σ 2^{l−1} over l = 1 … L, the geometric sum by what it is at both ends."""
    total = (2**_DEPTH - 1) / (sympy.Integer(2) - 1)
    return 1 + (_WIDTH - 1) * total


def _seen_by_layers(k, L):
    """One stride-2 layer after another, from the last one back: (P,)."""
    seen = torch.ones_like(k)
    for layer in range(int(L.max())):
        seen = torch.where(layer < L, (seen - 1) * 2 + k, seen)
    return seen


def _first_step(g, eta, eps, beta_1=0.9, beta_2=0.99):
    """(8.15) at t = 1, from m = (1 − β₁)g and v = (1 − β₂)g²."""
    m, v = (1 - beta_1) * g, (1 - beta_2) * g**2
    return -eta * (m / (1 - beta_1)) / ((v / (1 - beta_2)).sqrt() + eps)


_EXERCISES = (
    Equation(
        id="8.x1",
        title="the Gram matrix of a layer, as code",
        lhs="G",
        rhs=r"\frac{1}{HW}FF^\top",
        meaning="(8.5) for features as a network gives them: (P, C, H, W) for P pictures, and a "
        "Gram matrix for each, (P, C, C).",
        quantity="the Gram matrix",
        reference=lambda F: (
            torch.stack([torch.cov(f.flatten(1), correction=0) for f in F])
            + F.mean((-1, -2))[:, :, None] * F.mean((-1, -2))[:, None]
        ),
        evidence=Numeric(
            points(F=uniform(-2, 2, 3, 2, 4)), where="random features, 3 channels of 2 × 4 places"
        ),
        typeset_only="it is made of whole matrices",
        cite="Gatys et al. 2016, eq. 3",
        near_misses=(
            NearMiss(
                lambda F: F.flatten(2) @ F.flatten(2).mT,
                "not divided by HW: it would grow with the picture",
            ),
            NearMiss(
                lambda F: F.flatten(2) @ F.flatten(2).mT / F[0].numel(),
                "divided by C as well: only the places are averaged over",
            ),
            NearMiss(
                lambda F: F.flatten(2).mT @ F.flatten(2) / F[0, 0].numel(),
                "turned over: FᵀF compares places with places, N × N",
            ),
            NearMiss(
                lambda F: (
                    (F.reshape(-1, F[0, 0].numel()) @ F.reshape(-1, F[0, 0].numel()).mT)
                    / F[0, 0].numel()
                ),
                "pictures and channels are put into one axis: every picture is compared with all "
                "others",
            ),
            NearMiss(
                lambda F: (
                    F.reshape(len(F), -1, F.shape[1]).mT
                    @ F.reshape(len(F), -1, F.shape[1])
                    / F[0, 0].numel()
                ),
                "reshaped to (HW, C) without a transpose: the shapes fit, but channels and places "
                "are mixed up",
            ),
            NearMiss(
                lambda F: F @ F.mT / F.shape[-1],
                "each channel's rows are compared with each other: flatten the places first, "
                "F.flatten(2)",
            ),
            NearMiss(
                lambda F: _gram_of_layer(F - F.mean((-1, -2), keepdim=True)),
                "the means are taken out: this is the covariance",
            ),
            NearMiss(
                lambda F: _gram_of_layer(F).mean(0),
                "the mean over all pictures: each has a Gram matrix of its own",
            ),
            NearMiss(
                lambda F: torch.stack([torch.cov(f.flatten(1)) for f in F]),
                "this is torch.cov: without the means, and by 1/(N − 1)",
            ),
        ),
    ),
    Equation(
        id="8.x2",
        title="only the ratio of the weights counts",
        lhs=r"\arg\min_{x}\big(\alpha(x-c)^2+\beta(x-s)^2\big)",
        rhs=r"\frac{c+r\,s}{1+r}",
        meaning="One pixel, drawn to c by the content and to s by the style; r = β/α.",
        quantity="the minimum",
        reference=lambda c, s, alpha, beta: torch.lerp(c, s, beta / (alpha + beta)),
        evidence=Numeric(
            points(c=uniform(-1, 1), s=uniform(-1, 1), alpha=uniform(0.1, 2), beta=uniform(0.1, 2)),
            {"c": 0.0, "s": 1.0, "alpha": 1.0, "beta": 3.0},
        ),
        symbols={"r": lambda alpha, beta, **_: beta / alpha},
        definition=Definition(
            "derived by setting the slope to 0 (SymPy)",
            lambda: sympy.solve(
                sympy.diff(
                    _ALPHA * (_PLACE - _CENTRE) ** 2 + _BETA * (_PLACE - _GOAL) ** 2, _PLACE
                ),
                _PLACE,
            )[0],
            {"c": _CENTRE, "s": _GOAL, "alpha": _ALPHA, "beta": _BETA, "r": _BETA / _ALPHA},
        ),
        near_misses=(
            NearMiss(
                r"\frac{r\,c+s}{1+r}", "c and s have changed places: a larger β draws towards s"
            ),
            NearMiss(r"c+r\,s", "not divided by 1 + r: the weights have to add up to 1"),
            NearMiss(
                r"\alpha c+\beta s", "not divided by α + β: twice both would move the minimum"
            ),
            NearMiss(r"\frac{c+s}{2}", "the weights are left out: this is for α = β"),
            NearMiss(
                r"\frac{\alpha^2c+\beta^2s}{\alpha^2+\beta^2}",
                "the weights are squared: only the distances are",
            ),
            NearMiss(r"\frac{c-r\,s}{1-r}", "the style is subtracted: both draw the pixel"),
            NearMiss(r"\frac{r\,s}{1+r}", "c is missing: the content draws as well"),
            NearMiss(r"c+r(s-c)", "this is a walk from c to s, which goes too far for r above 1"),
        ),
    ),
    Equation(
        id="8.x3",
        title="the slope of the printed map",
        lhs=r"\frac{\partial f_i}{\partial x_j}",
        rhs=r"f_i(1-f_i)\sum_{m}W_{4,im}\,h_m(1-h_m)\,W_{3,mj}",
        meaning="f(x) = σ(W₄h) with h = σ(W₃x + b₃). No factor σ(1 − σ) is above ¼, so no distance "
        "grows by more than ‖W₄‖‖W₃‖/16.",
        quantity="the Jacobian",
        free_index="ij",
        reference=lambda x, W_3, b_3, W_4: torch.func.vmap(
            torch.func.jacrev(
                lambda x, W_3, b_3, W_4: torch.sigmoid(W_4 @ torch.sigmoid(W_3 @ x + b_3))
            )
        )(x, W_3, b_3, W_4),
        evidence=Jacobian(
            _HIDDEN,
            {
                "x": [1.0, 0.0],
                "W_3": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]],
                "b_3": [-1.0, 0.0, -1.0],
                "W_4": [[1.0, -1.0, 0.0], [2.0, 0.0, -2.0]],
            },
            of=lambda x, W_3, b_3, W_4: _two_layers(x, W_3, b_3, W_4),
            wrt="x",
        ),
        symbols={
            "h": lambda x, W_3, b_3, W_4: (_apply(W_3, x) + b_3).sigmoid(),
            "f": lambda x, W_3, b_3, W_4: _two_layers(x, W_3, b_3, W_4),
        },
        definition=Definition(
            "derived by the chain rule, σ′ = σ(1 − σ), for 2 pixels and 3 hidden units (SymPy)",
            _slopes_by_chain_rule,
            {"x": _PIXELS, "W_3": _W3, "b_3": _B3, "W_4": _W4, "h": _HS, "f": _OUTS},
        ),
        sources=("D5",),
        near_misses=(
            NearMiss(
                r"\sum_{m}W_{4,im}\,h_m(1-h_m)\,W_{3,mj}",
                "the outer σ is left out: its slope is f(1 − f)",
            ),
            NearMiss(
                r"f_i(1-f_i)\sum_{m}W_{4,im}\,W_{3,mj}",
                "the inner σ is left out: its slope is h(1 − h)",
            ),
            NearMiss(
                r"\sum_{m}W_{4,im}\,W_{3,mj}",
                "both σ are left out: this is the slope of W₄W₃x",
            ),
            NearMiss(
                r"f_i\sum_{m}W_{4,im}\,h_m\,W_{3,mj}",
                "σ′ is σ(1 − σ): the brackets are missing",
            ),
            NearMiss(
                r"\frac{1}{16}\sum_{m}W_{4,im}\,W_{3,mj}",
                "¼ is the largest slope of σ, and not its slope everywhere",
            ),
            NearMiss(
                r"f_j(1-f_j)\sum_{m}W_{4,jm}\,h_m(1-h_m)\,W_{3,mi}",
                "turned over: row i is output i",
            ),
            NearMiss(
                r"f_i(1-f_i)\Big(\sum_{m}W_{4,im}\,h_m(1-h_m)\Big)\Big(\sum_{m}W_{3,mj}\Big)",
                "two sums are multiplied: it is one sum over the hidden units",
            ),
            NearMiss(
                lambda x, W_3, b_3, W_4: torch.einsum(
                    "pi,pim,pm,pmj->pij",
                    1 - _two_layers(x, W_3, b_3, W_4) ** 2,
                    W_4,
                    1 - (_apply(W_3, x) + b_3).sigmoid() ** 2,
                    W_3,
                ),
                "1 − σ² is the slope of tanh: that of the sigmoid is σ(1 − σ)",
            ),
        ),
    ),
    Equation(
        id="8.x4",
        title="layers of stride 2",
        lhs=r"r_L",
        rhs=r"1+(k-1)(2^L-1)",
        meaning="(8.16) for L layers that are all alike, of width k and stride 2.",
        quantity="the width",
        reference=_seen_by_layers,
        evidence=Numeric(
            points(k=_whole_from(1, 7), L=_whole_from(1, 6)),
            {"k": 3.0, "L": 2.0},
            where="random stacks",
        ),  # fmt: skip
        definition=Definition(
            "derived from (8.16) by the sum of 2^(l−1) over the layers (SymPy)",
            _doubling,
            {"k": _WIDTH, "L": _DEPTH},
        ),
        near_misses=(
            NearMiss(
                r"1+(k-1)2^L",
                "the strides of 1, 2, 4, … add up to 2^L − 1: the last layer's own widens nothing",
            ),
            NearMiss(r"1+(k-1)L", "this is for stride 1"),
            NearMiss(r"1+2L(k-1)", "the strides multiply from layer to layer: 2^L, not 2L"),
            NearMiss(r"(k-1)(2^L-1)", "the pixel in the middle is missing: add 1"),
            NearMiss(
                r"k(2^L-1)",
                "neighbouring windows overlap: a kernel adds k − 1, and there is "
                "one pixel to start from",
            ),
            NearMiss(
                r"k^L", "the widths are multiplied: kernels add k − 1 times the strides before"
            ),
            NearMiss(
                r"1+(k-1)(2^{L-1}-1)", "one layer too few: the sum of 1, 2, …, 2^(L−1) is 2^L − 1"
            ),
            NearMiss(
                r"1+(k-1)2^{L-1}", "this is what the last layer adds: those before it add as well"
            ),
        ),
    ),
    Equation(
        id="8.x5",
        title="Adam's very first step",
        lhs=r"x_2-x_1",
        rhs=r"-\eta\,\frac{g}{\lvert g\rvert+\epsilon}",
        meaning="(8.15) at t = 1, from a gradient g: every pixel moves by about η, whatever the "
        "size of its gradient.",
        quantity="the step",
        reference=_first_step,
        evidence=Numeric(
            points(g=uniform(-2, 2), eta=uniform(0.05, 1), eps=uniform(0.05, 0.5)),
            {"g": 0.5, "eta": 0.1, "eps": 0.1},
        ),
        definition=Definition(
            "derived from (8.15) at t = 1 with m = (1 − β₁)g and v = (1 − β₂)g² (SymPy)",
            lambda: (
                -_ETA
                * ((1 - _B1) * _G / (1 - _B1))
                / (sympy.sqrt((1 - _B2) * _G**2 / (1 - _B2)) + _EPS)
            ),
            {"g": _G, "eta": _ETA, "eps": _EPS},
        ),
        cite="Kingma & Ba 2015, section 2.1",
        near_misses=(
            NearMiss(
                r"-\eta g", "this is plain gradient descent: Adam divides by the gradient's size"
            ),
            NearMiss(r"-\eta\frac{g}{g^2+\epsilon}", "the root is missing: √(g²) is |g|"),
            NearMiss(
                r"-\eta\frac{g}{\sqrt{g^2+\epsilon}}", "ε is inside the root: it is added to |g|"
            ),
            NearMiss(r"\eta\frac{g}{|g|+\epsilon}", "the sign is turned round: this goes uphill"),
            NearMiss(
                lambda g, eta, eps: -eta * g.sign(), "ε is left out: where g is 0 there is no step"
            ),
            NearMiss(
                lambda g, eta, eps: -eta * 0.1 * g / ((0.001 * g**2).sqrt() + eps),
                "m and v are not put right: with β₁ = 0.9 and β₂ = 0.999 this step is three times "
                "too long",
            ),
            NearMiss(r"-\frac{\eta}{|g|+\epsilon}", "the gradient's sign is lost"),
            NearMiss(
                r"-\eta\frac{g}{g+\epsilon}", "√(g²) is |g|: this goes one way, whatever g's sign"
            ),
        ),
    ),
)

EQUATIONS = (
    *_PRINTED, *_CONTENT, *_GRAMS, *_STYLE, *_WAY, *_FAST, *_EXERCISES,
)  # fmt: skip
