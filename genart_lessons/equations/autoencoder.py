"""Chapter 02, autoencoders: what can come back, what the best linear one keeps, noise and bits.

The worlds are small: a handful of pictures of three to five pixels, linear encoders E (k, d) and
decoders D (d, k), and one Gaussian pixel x ~ N(μ, τ²) with its noisy copy y = x + σε. As in the
articles D is the decoder here (elsewhere in the course it is the discriminator).
"""

import itertools
import math

import numpy as np
import sympy
import torch
from torch.nn import functional as F

from genart_lessons.equations.derive import (
    best_shares,
    entries,
    log_normal,
    mean,
    positive,
    real,
)
from genart_lessons.equations.noised import example_with_more, with_more
from genart_lessons.proof import Bound, Definition, Equation, Gradient, NearMiss, Numeric
from genart_lessons.proof.draws import normal, points, simplex, uniform, whole


def _like(table, number):
    """``number`` at each of the P points of ``table``, whatever else it has: (P,)."""
    return torch.full_like(table.flatten(1)[:, 0], number, dtype=torch.float64)


# -- what can come back ----------------------------------------------------------------------------

_MOST = 8  # pictures in the world that is counted


def _map_world(generator, count):
    """N pictures, M ≤ N codes, and any encoder and decoder at all: tables of 8 places.

    Entries 0 to M − 1 of ``code`` are codes; of ``picture`` only the first M are ever read.
    """
    pair = torch.randint(1, _MOST + 1, (count, 2), generator=generator)
    codes, pictures = pair.amin(-1), pair.amax(-1)
    drawn = torch.rand(count, _MOST, generator=generator, dtype=torch.float64)
    picture = torch.rand(count, _MOST, generator=generator, dtype=torch.float64)
    return {
        "code": (drawn * codes[:, None]).long(),
        "picture": (picture * pictures[:, None]).long(),
        "N": pictures.double(),
        "M": codes.double(),
    }


def _lost(code, picture, N, M):
    """How many of the first N pictures do not come back, by trying each: (P,)."""
    x = torch.arange(_MOST).expand_as(code)
    back = picture.gather(-1, code)
    return ((back != x) & (x < N[:, None])).sum(-1).double()


def _best_maps(arguments):
    """Each of the first M pictures gets a code of its own, and that code decodes to it."""
    x = torch.arange(_MOST).expand_as(arguments["code"])
    mine = x < arguments["M"][:, None]
    return {**arguments, "code": torch.where(mine, x, 0), "picture": torch.where(mine, x, 0)}


_N, _M = positive("N", "M")

_COUNTED = (
    Equation(
        id="2.1",
        title="one loss for both",
        lhs=r"L_E=L_D",
        rhs=r"\mathbb{E}_{x\sim p_{\mathrm{data}}}\big[\lVert x-D(E(x))\rVert^2\big]",
        meaning="How far each picture is from what comes back: the squares of its pixels' errors, "
        "added up, and averaged over the pictures by how common they are.",
        quantity="the loss",
        reference=lambda p, x, x_hat: (p * (x - x_hat).square().sum(-1)).sum(-1),
        evidence=Numeric(
            points(p=simplex(3), x=uniform(0, 1, 3, 4), x_hat=uniform(0, 1, 3, 4)),
            {
                "p": [0.5, 0.25, 0.25],
                "x": [[0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0]],
                "x_hat": [[0.0, 0.0, 1.0, 0.5], [1.0, 0.5, 0.5, 0.0], [0.5, 0.5, 0.5, 0.5]],
            },
            where="random sets of three pictures of four pixels",
        ),
        typeset_only="x is a whole picture, and D(E(x)) another",
        sources=("D8",),
        cite="Hinton & Salakhutdinov 2006",
        near_misses=(
            NearMiss(
                lambda p, x, x_hat: (x - x_hat).square().sum(-1).mean(-1),
                "every picture counts as much here: weigh it by p, how common it is",
            ),
            NearMiss(
                lambda p, x, x_hat: (p * (x - x_hat).square().mean(-1)).sum(-1),
                "the mean over the pixels is taken: ‖·‖² is the sum of their squares, d times as "
                "much",
            ),
            NearMiss(
                lambda p, x, x_hat: (x - x_hat).square().mean((-1, -2)),
                "this is F.mse_loss: the mean over pixels, and every picture as common as another",
            ),
            NearMiss(
                lambda p, x, x_hat: (p * (x - x_hat).square().sum(-1).sqrt()).sum(-1),
                "this is the mean length of the error: its square is asked for",
            ),
            NearMiss(
                lambda p, x, x_hat: (p * (x - x_hat).abs().sum(-1)).sum(-1),
                "the errors' sizes are added up, where their squares belong",
            ),
            NearMiss(
                lambda p, x, x_hat: (p[..., None] * (x - x_hat)).sum(-2).square().sum(-1),
                "the errors are averaged before they are squared: those of different pictures "
                "cancel",
            ),
            NearMiss(
                lambda p, x, x_hat: (p * (x - x_hat).sum(-1).square()).sum(-1),
                "a picture's errors are added up before they are squared: pixels that are too "
                "bright make up for those that are too dark",
            ),
            NearMiss(
                lambda p, x, x_hat: (
                    p * F.binary_cross_entropy(x_hat, x, reduction="none").sum(-1)
                ).sum(-1),
                "this is the cross-entropy of black and white pixels: the printed loss is squared",
            ),
            NearMiss(
                lambda p, x, x_hat: -(p * (x - x_hat).square().sum(-1)).sum(-1),
                "the sign is turned round: a loss is made small, so errors count as positive",
            ),
        ),
    ),
    Equation(
        id="2.2",
        title="what cannot come back, by counting",
        lhs=r"\sum_{x}\big[D(E(x))\ne x\big]",
        relation=r"\ge",
        rhs="N-M",
        meaning="Of N pictures at most M come back, where there are M ≤ N codes: a decoder has one "
        "picture for each code, so whatever E and D are, N − M pictures are lost.",
        quantity="the bound",
        reference=lambda code, picture, N, M: N - M,
        evidence=Bound(
            _map_world,
            of=_lost,
            tight=_best_maps,
            of_words="the number of pictures that are lost",
            tight_words="every code is used, and decoded to a picture that has it",
            example={
                "code": [0, 1, 0, 1, 0, 0, 0, 0],
                "picture": [0, 3, 0, 0, 0, 0, 0, 0],
                "N": 4.0,
                "M": 2.0,
            },
            where="random encoders and decoders of up to 8 pictures",
        ),
        definition=Definition(
            "derived by counting: of N pictures, as many as there are codes can be put out (SymPy)",
            lambda: _N - _M,
            {"N": _N, "M": _M},
        ),
        sources=("D3",),
        cite="the pigeonhole principle",
        near_misses=(
            NearMiss("0", "true and says nothing: it is reached only where M = N", source="D3"),
            NearMiss("M", "this is how many can come back: N − M are lost"),
            NearMiss("N", "not all are lost: up to M of them come back"),
            NearMiss("M-N", "N and M have changed places: this is never above 0, and says nothing"),
            NearMiss(
                r"1-\frac{M}{N}", "this is the share that is lost: their number is N times that"
            ),
            NearMiss(r"N-2^M", "M counts codes already: 2^M would be the codes of M bits"),
            NearMiss(r"\frac{N}{M}", "this is how many pictures share a code, on average"),
            NearMiss(r"N-M-1", "one off: M codes bring back M pictures, so this is never reached"),
            NearMiss(r"N-M+1", "one off: M codes bring back M pictures, and not M − 1"),
            NearMiss(_lost, "this counts what one map loses; the bound is for all of them"),
        ),
    ),
)

# -- linear encoders and decoders ------------------------------------------------------------------

_WIDE, _NARROW, _PICTURES = 6, 2, 8


def _covariance(x):
    """Of centred pictures (P, N, d), by 1/N: (P, d, d)."""
    return x.mT @ x / x.shape[-2]


def _centred(draw):
    def from_mean(generator, count):
        given = draw(generator, count)
        return {**given, "x": given["x"] - given["x"].mean(-2, keepdim=True)}

    return from_mean


def _principal(x, k=_NARROW):
    """The k directions along which centred pictures vary most, as columns: (P, d, k)."""
    return torch.linalg.eigh(_covariance(x))[1][..., -k:]


def _through(x, E, D):
    """D E x of each picture: (P, N, d)."""
    return x @ E.mT @ D.mT


def _mean_error(x, back):
    return (x - back).square().sum(-1).mean(-1)


def _dropped(x, E=None, D=None):
    """What PCA with k components leaves out, by projecting: (P,)."""
    w = _principal(x)
    return _mean_error(x, x @ w @ w.mT)


def _at_pca(arguments):
    w = _principal(arguments["x"])
    return {**arguments, "E": w.mT.contiguous(), "D": w}


def _eigenvalues(x):
    return torch.linalg.eigvalsh(_covariance(x))


def _projected(x, W):
    """The point nearest to x in the span of W's columns, by least squares: (P, d)."""
    return (W @ torch.linalg.lstsq(W, x[..., None]).solution).squeeze(-1)


def _best_decoder(x, E):
    """By least squares from the codes: the D with least ‖x − D z‖² over the pictures. (P, d, k)."""
    return torch.linalg.lstsq(x @ E.mT, x).solution.mT


def _one_error(x, E, D):
    """‖x − D E x‖² of one picture (P, d): (P,)."""
    back = (D @ E @ x[..., None]).squeeze(-1)
    return (x - back).square().sum(-1)


_X3, _X3_HAT = entries("x", 3), entries("x_hat", 3)
_NEAREST = sympy.Add(*(b * (b - a) for a, b in zip(_X3[1:], _X3_HAT[1:], strict=True)))
# x̂·(x − x̂) = 0, solved for x_1: the nearest point of a plane is where x is straight above it.
_UPRIGHT = {_X3[0]: _X3_HAT[0] + _NEAREST / _X3_HAT[0]}


def _distance_in_letters():
    return sympy.Add(*((a - b) ** 2 for a, b in zip(_X3, _X3_HAT, strict=True)))


_LINEAR = (
    Equation(
        id="2.3",
        title="the best linear autoencoder",
        lhs=r"\frac1N\sum_{n=1}^{N}\lVert x_n-DEx_n\rVert^2",
        relation=r"\ge",
        rhs=r"\sum_{j=k+1}^{d}\lambda_j",
        meaning="No linear encoder and decoder with k code numbers lose less than the variance "
        "along the d − k directions that PCA drops (λ: the eigenvalues of the covariance, largest "
        "first); here the pictures are centred, d = 6 and k = 2.",
        quantity="the bound",
        reference=_dropped,
        evidence=Bound(
            _centred(
                points(
                    x=normal(_PICTURES, _WIDE), E=normal(_NARROW, _WIDE), D=normal(_WIDE, _NARROW)
                )
            ),
            of=lambda x, E, D: _mean_error(x, _through(x, E, D)),
            tight=_at_pca,
            of_words="the loss",
            tight_words="E and D are PCA's",
            where="random linear autoencoders",
        ),
        typeset_only="it is made of eigenvalues",
        sources=("D3",),
        cite="Eckart & Young 1936; Baldi & Hornik 1989",
        near_misses=(
            NearMiss(
                lambda x, E, D: _eigenvalues(x)[..., -_NARROW:].sum(-1),
                "these are the k eigenvalues that are kept: what is lost are the others (eigvalsh "
                "gives the smallest first)",
            ),
            NearMiss(
                lambda x, E, D: (
                    torch.linalg.svdvals(x)[..., _NARROW:].square().sum(-1) / (_PICTURES - 1)
                ),
                "divided by N − 1, where the loss is a mean over N pictures",
            ),
            NearMiss(
                lambda x, E, D: torch.linalg.svdvals(x)[..., _NARROW:].square().sum(-1),
                "not divided by N: these are squared singular values, λ is 1/N of each",
            ),
            NearMiss(
                lambda x, E, D: torch.linalg.svdvals(x)[..., _NARROW:].sum(-1) / _PICTURES,
                "singular values are to be squared: λ = s²/N",
            ),
            NearMiss(
                lambda x, E, D: _eigenvalues(x).sum(-1),
                "this is all the variance: what the k best directions hold is not lost",
            ),
            NearMiss(
                lambda x, E, D: _eigenvalues(x)[..., :-_NARROW].mean(-1),
                "the mean of the dropped eigenvalues: they add up, as the pixels' squares do",
            ),
            NearMiss(
                lambda x, E, D: _eigenvalues(x)[..., :-_NARROW].sum(-1) / _WIDE,
                "the mean over the pixels: ‖·‖² is their sum",
            ),
            NearMiss(
                lambda x, E, D: _eigenvalues(x)[..., -_NARROW - 1],
                "this is the largest of the dropped eigenvalues: the smaller ones are lost as well",
            ),
            NearMiss(
                lambda x, E, D: _eigenvalues(x)[..., : -_NARROW - 1].sum(-1),
                "one off: λ_{k+1} is dropped too",
            ),
            NearMiss(
                lambda x, E, D: _eigenvalues(x)[..., :_NARROW].sum(-1),
                "the k smallest eigenvalues: k are kept, so d − k of them are dropped",
            ),
            NearMiss(
                lambda x, E, D: torch.zeros_like(x[:, 0, 0]),
                "true, and never reached while pictures vary in more than k directions",
            ),
            NearMiss(
                lambda x, E, D: _mean_error(x, _through(x, E, D)),
                "this is the loss of one autoencoder; the bound is for all of them",
            ),
        ),
    ),
    Equation(
        id="2.4",
        title="Pythagoras",
        lhs=r"\lVert x-\hat{x}\rVert^2",
        rhs=r"\lVert x\rVert^2-\lVert\hat{x}\rVert^2",
        meaning="x̂ is the point nearest to x on the plane that W's columns span: what is kept and "
        "what is lost are at right angles, so their squares add up to the whole.",
        quantity="the squared error",
        reference=lambda x, W: (x - _projected(x, W)).square().sum(-1),
        evidence=Numeric(
            points(x=normal(3), W=normal(3, 2)),
            {"x": [3.0, 4.0, 12.0], "W": [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]},
            where="random points and planes",
        ),
        symbols={"x_hat": _projected},
        definition=Definition(
            "proved from x̂·(x − x̂) = 0: the nearest point of a plane is straight below x (SymPy)",
            _distance_in_letters,
            {"x": _X3, "x_hat": _X3_HAT},
            _UPRIGHT,
        ),
        cite="Jolliffe 2002, section 3.2",
        near_misses=(
            NearMiss(
                r"(\lVert x\rVert-\lVert\hat{x}\rVert)^2",
                "the lengths are subtracted: at right angles it is their squares that add up",
            ),
            NearMiss(
                r"\lVert x\rVert-\lVert\hat{x}\rVert",
                "lengths stand where their squares belong",
            ),
            NearMiss(
                r"\lVert x\rVert^2+\lVert\hat{x}\rVert^2",
                "added: this would be right if x and x̂ were at right angles; it is x − x̂ and x̂ "
                "that are",
            ),
            NearMiss(r"\lVert\hat{x}\rVert^2", "this is what is kept; what is lost is asked for"),
            NearMiss(r"\lVert x\rVert^2", "this is all there was; what is kept is not lost"),
            NearMiss(
                lambda x, W: (
                    x.square().sum(-1) - (W.mT @ x[..., None]).squeeze(-1).square().sum(-1)
                ),
                "‖Wᵀx‖² is the square of x̂'s length only if W's columns are of length 1 and at "
                "right angles",
            ),
            NearMiss(
                lambda x, W: (x - (W @ W.mT @ x[..., None]).squeeze(-1)).square().sum(-1),
                "W Wᵀ projects only if W's columns are of length 1 and at right angles",
            ),
            NearMiss(
                r"\lVert\hat{x}\rVert^2-\lVert x\rVert^2", "kept and whole have changed places"
            ),
        ),
    ),
    Equation(
        id="2.5",
        title="the best decoder for a given encoder",
        lhs=r"D^\star",
        rhs=r"\Sigma E^\top\big(E\,\Sigma E^\top\big)^{-1}",
        meaning="Least squares from code to picture, for any encoder at all; Σ = (1/N) Σ x xᵀ is "
        "the pictures' covariance.",
        quantity="the decoder",
        reference=_best_decoder,
        evidence=Numeric(
            points(x=normal(_PICTURES, 4), E=normal(_NARROW, 4)),
            tolerance=1e-7,
            where="random encoders and sets of six pictures",
        ),
        typeset_only="it is made of whole matrices",
        cite="Bourlard & Kamp 1988; Baldi & Hornik 1989",
        near_misses=(
            NearMiss(
                lambda x, E: E.mT.contiguous(),
                "the encoder turned over: right only for PCA's own E",
            ),
            NearMiss(
                lambda x, E: torch.linalg.pinv(E),
                "the pseudo-inverse of E does not know the pictures: right only if they vary "
                "equally in all directions",
            ),
            NearMiss(
                lambda x, E: _covariance(x) @ E.mT,
                "not divided by the codes' own covariance E Σ Eᵀ",
            ),
            NearMiss(
                lambda x, E: _best_decoder(x, E).mT.contiguous(),
                "transposed: D takes k numbers and gives d, so it has d rows",
            ),
            NearMiss(
                lambda x, E: _covariance(x) @ E.mT @ (E @ _covariance(x) @ E.mT),
                "multiplied by E Σ Eᵀ, where one divides by it",
            ),
            NearMiss(
                lambda x, E: (
                    _covariance(x) @ E.mT @ torch.linalg.inv(E @ _covariance(x) @ E.mT) / _PICTURES
                ),
                "divided by N once too often: it is in both covariances, and cancels",
            ),
            NearMiss(
                lambda x, E: E.mT @ torch.linalg.inv(E @ _covariance(x) @ E.mT),
                "Σ in front is missing: this undoes the codes' spread and not the pictures'",
            ),
            NearMiss(
                lambda x, E: _principal(x),
                "these are PCA's directions: the encoder is given, and need not be PCA's",
            ),
        ),
    ),
    Equation(
        id="2.6",
        title="only the span is determined",
        lhs=r"\lVert x-(DA)(A^{-1}E)x\rVert^2",
        rhs=r"\lVert x-DEx\rVert^2",
        meaning="Mix the code numbers by any A that can be undone, and let the decoder undo it: "
        "what comes back, and so the loss, is the same.",
        quantity="the squared error",
        reference=lambda x, E, D, A: _one_error(x, torch.linalg.solve(A, E), D @ A),
        evidence=Numeric(
            points(x=normal(4), E=normal(2, 4), D=normal(4, 2), A=uniform(0.2, 1, 2, 2)),
            {
                "x": [1.0, 2.0, 0.0, 0.0],
                "E": [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]],
                "D": [[1.0, 0.0], [0.0, 0.5], [0.0, 0.0], [0.0, 0.0]],
                "A": [[1.0, 1.0], [0.0, 1.0]],
            },
            tolerance=1e-7,
            where="random autoencoders and mixtures of their codes",
        ),
        typeset_only="it is made of whole matrices",
        cite="Baldi & Hornik 1989, section 2",
        near_misses=(
            NearMiss(
                lambda x, E, D, A: _one_error(x, A @ E, D @ A),
                "mixed twice: the decoder must undo what the encoder has done, so one of them "
                "takes A⁻¹",
            ),
            NearMiss(
                lambda x, E, D, A: _one_error(x, A.mT @ E, D @ A),
                "the transpose undoes A only if A is a rotation",
            ),
            NearMiss(
                lambda x, E, D, A: _one_error(x, E, D @ A),
                "only the decoder is changed: it no longer fits the encoder",
            ),
            NearMiss(
                lambda x, E, D, A: _one_error(x, torch.linalg.solve(A, E), D),
                "only the encoder is changed: the decoder no longer fits it",
            ),
            NearMiss(
                lambda x, E, D, A: _one_error(x, E, E.mT),
                "the decoder is not the encoder turned over, unless its rows are at right angles "
                "and of length 1",
            ),
            NearMiss(
                lambda x, E, D, A: _one_error(x, E, D).sqrt(),
                "this is the length of the error: its square is asked for",
            ),
        ),
    ),
)

# -- sparse codes ----------------------------------------------------------------------------------

_SPARSE = {"lambda": lambda lam, **_: lam}
_X4, _X4_HAT, _CODE = entries("x", 4), entries("x_hat", 4), entries("z", 3)
_LAM, _EDGE = positive("lambda", "a")
_ONE_Z, _A = real("z", "a")


def _sparse_by_likelihood():
    """−log of N(x; x̂, ½) times Laplace's ½λ e^{−λ|z|}, less what does not depend on x, x̂ and z."""
    pairs = zip(_X4, _X4_HAT, strict=True)
    half = sympy.Rational(1, 2)
    pixels = [log_normal(0, 0, half) - log_normal(x, x_hat, half) for x, x_hat in pairs]
    return sympy.Add(*pixels, *(_LAM * sympy.Abs(z) for z in _CODE))


def _both_sides_of_0():
    """Where the slope is 0 for a > 0, if that is above 0; likewise below it, by symmetry."""
    (right,) = sympy.solve(sympy.diff((_A - _ONE_Z) ** 2 / 2 + _LAM * _A, _A), _A)
    return sympy.Max(right, 0) - sympy.Max(right.subs(_ONE_Z, -_ONE_Z), 0)


def _by_grid(z, lam):
    """The cheapest of: 0, and where the slope of ½(a − z)² ± λa is 0."""
    guesses = torch.stack([torch.zeros_like(z), z - lam, z + lam], dim=-1)
    costs = (guesses - z[..., None]).square() / 2 + lam[..., None] * guesses.abs()
    return guesses.gather(-1, costs.argmin(-1, keepdim=True)).squeeze(-1)


_FEW = (
    Equation(
        id="2.7",
        title="the sparse loss",
        lhs=r"L_{\mathrm{sparse}}",
        rhs=r"\lVert x-\hat{x}\rVert^2+\lambda\sum_{j=1}^{k}\lvert z_j\rvert",
        meaning="The code may be as long as it likes, but each of its numbers costs λ times its "
        "size: so most of them stay 0.",
        quantity="the loss",
        reference=lambda x, x_hat, z, lam: (
            (x - x_hat).square().sum(-1) + lam * torch.linalg.vector_norm(z, ord=1, dim=-1)
        ),
        evidence=Numeric(
            points(
                x=uniform(0, 1, 4), x_hat=uniform(0, 1, 4), z=uniform(-2, 2, 3), lam=uniform(0.1, 1)
            ),
            {
                "x": [1.0, 0.0, 1.0, 0.0],
                "x_hat": [0.5, 0.0, 1.0, 0.0],
                "z": [2.0, 0.0, -1.0],
                "lam": 0.5,
            },
        ),
        symbols=_SPARSE,
        definition=Definition(
            "derived from −log of N(x; x̂, ½I) times a Laplace density of z, less its constant "
            "(SymPy)",
            _sparse_by_likelihood,
            {"x": _X4, "x_hat": _X4_HAT, "z": _CODE, "lam": _LAM, "lambda": _LAM},
        ),
        cite="Olshausen & Field 1996, eqs. 2 and 4; Ng 2011",
        near_misses=(
            NearMiss(
                r"\lVert x-\hat{x}\rVert^2+\lambda\sum_{j=1}^{k}z_j^2",
                "squares shrink every number and set none to 0: the size |z| does",
            ),
            NearMiss(
                r"\lVert x-\hat{x}\rVert^2+\lambda\sum_{j=1}^{k}z_j",
                "without |·| a negative number earns something: the code would run off",
            ),
            NearMiss(
                r"\lVert x-\hat{x}\rVert^2-\lambda\sum_{j=1}^{k}|z_j|",
                "the sign is turned round: this pays for large codes",
            ),
            NearMiss(
                r"\lVert x-\hat{x}\rVert^2+\lambda\lVert z\rVert",
                "the code's length: it is 0 or all of it is not; |z_j| one by one lets some be 0",
            ),
            NearMiss(
                r"\lVert x-\hat{x}\rVert^2+\sum_{j=1}^{k}|z_j|",
                "λ is missing: nothing weighs few numbers against a small error",
            ),
            NearMiss(
                lambda x, x_hat, z, lam: (x - x_hat).square().sum(-1) + lam * z.abs().mean(-1),
                "the mean over the code's numbers: a longer code would cost no more",
            ),
            NearMiss(
                lambda x, x_hat, z, lam: (x - x_hat).square().mean(-1) + lam * z.abs().sum(-1),
                "the mean over the pixels: ‖·‖² is their sum, so λ would weigh d times as much",
            ),
            NearMiss(
                lambda x, x_hat, z, lam: (
                    (x - x_hat).square().sum(-1) + lam * (z != 0).double().sum(-1)
                ),
                "this counts the numbers that are not 0: its slope is 0, so nothing learns from it",
            ),
            NearMiss(r"\lVert x-\hat{x}\rVert^2", "this is the plain loss: the codes cost nothing"),
        ),
    ),
    Equation(
        id="2.8",
        title="the soft threshold",
        lhs=r"\arg\min_{a}\Big(\tfrac12(a-z)^2+\lambda\,\lvert a\rvert\Big)",
        rhs=r"\max(z-\lambda,0)-\max(-z-\lambda,0)",
        meaning="The sparse price at work: every number moves λ towards 0, and what would cross it "
        "stays at 0.",
        quantity="the minimum",
        reference=_by_grid,
        evidence=Numeric(
            points(z=uniform(-3, 3), lam=uniform(0.2, 2)),
            {"z": 2.0, "lam": 0.5},
            where="random points",
        ),
        symbols=_SPARSE,
        definition=Definition(
            "derived by setting the slope to 0 on either side of a = 0 (SymPy)",
            _both_sides_of_0,
            {"z": _ONE_Z, "lam": _LAM, "lambda": _LAM},
        ),
        cite="Donoho 1995; Daubechies et al. 2004",
        near_misses=(
            NearMiss(
                lambda z, lam: torch.where(z.abs() > lam, z, torch.zeros_like(z)),
                "this is a hard threshold: what survives must move λ towards 0 as well",
            ),
            NearMiss(
                lambda z, lam: F.hardshrink(z / lam) * lam,
                "this cuts at half of λ, and what survives stays where it was",
            ),
            NearMiss(
                r"\max(z-\lambda,0)", "negative numbers are all set to 0: this is ReLU, shifted"
            ),
            NearMiss(
                r"\max(z-\lambda,0)+\max(-z-\lambda,0)",
                "the sign of negative numbers is lost: this is max(|z| − λ, 0)",
            ),
            NearMiss(r"z-\lambda", "the slope is set to 0 as if a were above 0 everywhere"),
            NearMiss(
                lambda z, lam: z - lam * z.sign(),
                "small numbers are pushed beyond 0: what would cross it stays there",
            ),
            NearMiss(
                r"\frac{z}{1+2\lambda}",
                "this is for the price λa²: it shrinks everything and sets nothing to 0",
            ),
            NearMiss(
                r"\max(z-\frac{\lambda}{2},0)-\max(-z-\frac{\lambda}{2},0)",
                "half of λ: that is for (a − z)² without its ½",
            ),
            NearMiss(
                r"\max(z+\lambda,0)-\max(-z+\lambda,0)",
                "moved away from 0: the price of |a| draws towards it",
            ),
            NearMiss(
                r"\min(\max(z,-\lambda),\lambda)",
                "this is what is taken away, z cut off at ±λ: the rest is asked for",
            ),
        ),
    ),
)

# -- denoising -------------------------------------------------------------------------------------


def _denoising(x, noisy, E, D):
    """The loss of D(E(noisy)) against x, over the pictures: (P,)."""
    return _mean_error(x, _through(noisy, E, D))


def _add(x, eps, sigma):
    return x + sigma[:, None, None] * eps


_GUESS = points(y=uniform(-2, 2), p=simplex(3), x=uniform(-2, 2, 3), sigma=uniform(0.4, 1.5))
_GUESS_EXAMPLE = {"y": 0.5, "p": [0.5, 0.25, 0.25], "x": [0.0, 1.0, 2.0], "sigma": 0.5}


def _posterior(y, p, x, sigma):
    """p(x_j|y) for each of the pictures: (P, 3)."""
    law = torch.distributions.Normal(x, sigma[:, None])
    return (p.log() + law.log_prob(y[:, None])).softmax(-1)


_Y, _MU, _EPS, _EPS2 = real("y", "mu", "eps", "eps_2")
_SIGMA, _TAU, _D, _K = positive("sigma", "tau", "d", "k")
_PS, _XS = entries("p", 3, above_zero=True), entries("x", 3)


def _least_mean_square():
    """Where the slope of Σ p_j N(y; x_j, σ²)(x_j − a)² by a is 0."""
    weights = [p * sympy.exp(log_normal(_Y, x, _SIGMA**2)) for p, x in zip(_PS, _XS, strict=True)]
    cost = sympy.Add(*(w * (x - _A) ** 2 for w, x in zip(weights, _XS, strict=True)))
    slope = sympy.Poly(sympy.diff(cost, _A), _A)
    return -slope.coeff_monomial(1) / slope.coeff_monomial(_A)


_PIXEL = real("x")[0]


def _completed_square(mu=_MU, tau=_TAU):
    """The top of log p(x) + log p(y|x), a parabola in x."""
    log_joint = log_normal(_PIXEL, mu, tau**2) + log_normal(_Y, _PIXEL, _SIGMA**2)
    c2, c1, _ = sympy.Poly(sympy.expand(log_joint), _PIXEL).all_coeffs()
    return -c1 / (2 * c2)


def _shrunk(y, mu, tau, sigma):
    """E[x|y] by adding precisions, each mean weighed by its own."""
    return (mu / tau**2 + y / sigma**2) / (1 / tau**2 + 1 / sigma**2)


# A mixture of three Gaussians, noised. `score` is that of the noisy law, and follows from the rest.


def _blend_log_parts(y, p, mu, tau, sigma):
    spread = (tau**2 + sigma[:, None] ** 2).sqrt()
    return p.log() + torch.distributions.Normal(mu, spread).log_prob(y[:, None])


def _blend_score(y, p, mu, tau, sigma):
    slopes = (mu - y[:, None]) / (tau**2 + sigma[:, None] ** 2)
    return (_blend_log_parts(y, p, mu, tau, sigma).softmax(-1) * slopes).sum(-1)


def _blend_mean(y, p, mu, tau, sigma):
    guesses = _shrunk(y[:, None], mu, tau, sigma[:, None])
    return (_blend_log_parts(y, p, mu, tau, sigma).softmax(-1) * guesses).sum(-1)


_BLEND_MORE = {"score": _blend_score}
_BLEND = with_more(
    points(
        y=uniform(-3, 3),
        p=simplex(3),
        mu=uniform(-2, 2, 3),
        tau=uniform(0.3, 1, 3),
        sigma=uniform(0.3, 1.5),
    ),
    **_BLEND_MORE,
)
_BLEND_EXAMPLE = example_with_more(
    {
        "y": 1.0,
        "p": [0.5, 0.25, 0.25],
        "mu": [0.0, 1.0, -1.0],
        "tau": [0.5, 0.5, 1.0],
        "sigma": 0.5,
    },
    **_BLEND_MORE,
)
_MUS, _TAUS, _DENSITIES = (
    entries("mu", 3), entries("tau", 3, above_zero=True), entries("f", 3, above_zero=True)
)  # fmt: skip


def _averaged(values):
    """Σ p_j f_j v_j / Σ p_j f_j: f_j is the density of y under component j, a letter of its own."""
    weights = [p * f for p, f in zip(_PS, _DENSITIES, strict=True)]
    return sympy.Add(*(w * v for w, v in zip(weights, values, strict=True))) / sympy.Add(*weights)


_BLEND_SCORE = _averaged(
    [sympy.diff(log_normal(_Y, m, t**2 + _SIGMA**2), _Y) for m, t in zip(_MUS, _TAUS, strict=True)]
)


def _blend_guess():
    return _averaged([_completed_square(m, t) for m, t in zip(_MUS, _TAUS, strict=True)])


_LEAST = with_more(
    points(sigma=uniform(0.2, 1.5), tau=uniform(0.3, 2, 3)),
    J=lambda sigma, tau: (1 / (tau**2 + sigma[:, None] ** 2)).sum(-1),
)
_LEAST_EXAMPLE = {"sigma": 1.0, "tau": [1.0, 2.0, 0.5], "J": 0.5 + 0.2 + 0.8}


def _least_in_letters():
    """Σ E[(x − a y)²] with a = τ²/(τ² + σ²), by integrating over pixel and noise."""
    found = []
    for tau in _TAUS:
        a = tau**2 / (tau**2 + _SIGMA**2)
        error = (1 - a) * _PIXEL - a * _SIGMA * _EPS
        found.append(mean(mean(error**2, _EPS, 0, 1), _PIXEL, 0, tau))
    return sympy.Add(*found)


def _up_to(most):
    """k and d, whole numbers with 1 ≤ k ≤ d ≤ most."""

    def draw(generator, count):
        pair = 1 + whole(most, 2)(generator, count)
        return {"k": pair.amin(-1).double(), "d": pair.amax(-1).double()}

    return draw


def _kept(k, d):
    """The mean of ‖Pε‖²/‖ε‖² over all noises of ±1, P onto the first k of d slanted directions."""
    found = torch.empty_like(k)
    for size in d.unique().int().tolist():
        slanted = torch.linalg.qr(normal(size, size)(torch.Generator().manual_seed(size), 1))[0][0]
        noise = torch.tensor(list(itertools.product((1.0, -1.0), repeat=size)), dtype=torch.float64)
        along = (noise @ slanted).square().mean(0).cumsum(-1) / size
        here = d == size
        found[here] = along[k[here].long() - 1]
    return found


def _best_slope(tau, sigma, rho):
    """E[y′y]/E[y²] for y = x + σε and y′ = x + σε′, over ± of four independent noises, counted."""
    signs = torch.tensor(list(itertools.product((1.0, -1.0), repeat=3)), dtype=tau.dtype)
    x, eps, other = (s[:, None] for s in signs.unbind(-1))
    y = tau * x + sigma * eps
    target = tau * x + sigma * (rho * eps + (1 - rho**2).sqrt() * other)
    return (target * y).mean(0) / y.square().mean(0)


_RHO = real("rho")[0]


def _slope_in_letters():
    other = sympy.sqrt(1 - _RHO**2)
    y = _PIXEL + _SIGMA * _EPS
    target = _PIXEL + _SIGMA * (_RHO * _EPS + other * _EPS2)
    cost = mean(mean(mean((target - _A * y) ** 2, _EPS2, 0, 1), _EPS, 0, 1), _PIXEL, 0, _TAU)
    return sympy.solve(sympy.diff(sympy.expand(cost), _A), _A)[0]


_NOISY = (
    Equation(
        id="2.9",
        title="the denoising loss",
        lhs=r"L_{\mathrm{denoise}}",
        rhs=r"\frac1N\sum_{n=1}^{N}\big\lVert x_n-D(E(x_n+\sigma\epsilon_n))\big\rVert^2",
        meaning="The noisy picture goes in, and what comes out is held against the clean one.",
        quantity="the loss",
        reference=lambda x, eps, sigma, E, D: torch.stack(
            [
                F.mse_loss(F.linear(F.linear(a + s * e, i), o), a) * a.shape[-1]
                for a, e, s, i, o in zip(x, eps, sigma, E, D, strict=True)
            ]
        ),
        evidence=Numeric(
            points(
                x=uniform(0, 1, 5, 4),
                eps=normal(5, 4),
                sigma=uniform(0.1, 0.6),
                E=normal(2, 4),
                D=normal(4, 2),
            ),
            where="random pictures, noises and linear autoencoders",
        ),
        typeset_only="it is made of whole pictures and matrices",
        sources=("S12",),
        cite="Vincent et al. 2008, section 2.3; Vincent et al. 2010, eq. 6",
        near_misses=(
            NearMiss(
                lambda x, eps, sigma, E, D: _denoising(
                    _add(x, eps, sigma), _add(x, eps, sigma), E, D
                ),
                "held against the noisy picture: noise is to be given back here, and not taken out",
            ),
            NearMiss(
                lambda x, eps, sigma, E, D: _denoising(x, x, E, D),
                "no noise is added: this is the plain autoencoder's loss",
            ),
            NearMiss(
                lambda x, eps, sigma, E, D: _denoising(x, _add(x, eps, sigma**2), E, D),
                "noise is stretched by σ²: its spread is σ, and σ² its variance",
            ),
            NearMiss(
                lambda x, eps, sigma, E, D: _denoising(_add(x, eps, sigma), x, E, D),
                "clean and noisy have changed places: this learns to add noise",
            ),
            NearMiss(
                lambda x, eps, sigma, E, D: _denoising(x, _add(x, eps, sigma), E, D) / x.shape[-1],
                "the mean over the pixels: ‖·‖² is their sum",
            ),
            NearMiss(
                lambda x, eps, sigma, E, D: _denoising(x, _add(x, eps, sigma), E, D) * x.shape[-2],
                "the pictures' losses are added up, and not averaged",
            ),
            NearMiss(
                lambda x, eps, sigma, E, D: _denoising(x, _add(x, eps, 1 + 0 * sigma), E, D),
                "σ is missing: the noise always has a spread of 1",
            ),
            NearMiss(
                lambda x, eps, sigma, E, D: _denoising(
                    sigma[:, None, None] * eps, _add(x, eps, sigma), E, D
                ),
                "held against the noise: such a network gives σε, and y − σε is the picture",
            ),
            NearMiss(
                lambda x, eps, sigma, E, D: _mean_error(
                    x, (x @ E.mT + sigma[:, None, None] * eps[..., :2]) @ D.mT
                ),
                "the noise is added to the code: it belongs to the picture",
            ),
        ),
    ),
    Equation(
        id="2.10",
        title="what the best denoiser answers",
        lhs=r"\arg\min_{a}\,\mathbb{E}\big[(x-a)^2\mid y\big]=\mathbb{E}[x\mid y]",
        rhs=r"\frac{\sum_{j}p_j\,x_j\,e^{-(y-x_j)^2/(2\sigma^2)}}"
        r"{\sum_{j}p_j\,e^{-(y-x_j)^2/(2\sigma^2)}}",
        meaning="The mean of all that may have been there, each weighed by how common it is and "
        "how well it explains y: not one of them.",
        quantity="the best answer",
        reference=lambda y, p, x, sigma: (_posterior(y, p, x, sigma) * x).sum(-1),
        evidence=Numeric(_GUESS, _GUESS_EXAMPLE, where="random worlds of three values"),
        definition=Definition(
            "derived by setting the slope of Σ p_j N(y; x_j, σ²)(x_j − a)² to 0 (SymPy)",
            _least_mean_square,
            {"y": _Y, "p": _PS, "x": _XS, "sigma": _SIGMA},
        ),
        sources=("S12",),
        cite="Bishop 2006, eq. 1.89",
        near_misses=(
            NearMiss(
                lambda y, p, x, sigma: x.gather(
                    -1, (x - y[:, None]).abs().argmin(-1, keepdim=True)
                ).squeeze(-1),
                "this is the value nearest to y: the others may have been there too",
            ),
            NearMiss(
                lambda y, p, x, sigma: x.gather(
                    -1, _posterior(y, p, x, sigma).argmax(-1, keepdim=True)
                ).squeeze(-1),
                "this is the likeliest value: least squares asks for the mean of all of them",
            ),
            NearMiss(
                r"\frac{\sum_jx_je^{-(y-x_j)^2/(2\sigma^2)}}{\sum_je^{-(y-x_j)^2/(2\sigma^2)}}",
                "how common each value is, p_j, is left out",
            ),
            NearMiss(r"\sum_jp_jx_j", "y is not looked at: this is the mean before it was seen"),
            NearMiss(
                r"\sum_jp_jx_je^{-(y-x_j)^2/(2\sigma^2)}",
                "not divided by the sum of the weights: they do not add up to 1",
            ),
            NearMiss(
                r"\frac{\sum_jp_jx_je^{-(y-x_j)^2/(2\sigma)}}{\sum_jp_je^{-(y-x_j)^2/(2\sigma)}}",
                "σ stands where σ² belongs",
            ),
            NearMiss(
                r"\frac{\sum_jp_jx_je^{-(y-x_j)^2/\sigma^2}}{\sum_jp_je^{-(y-x_j)^2/\sigma^2}}",
                "the ½ in the exponent is missing: nearby values count too much",
            ),
            NearMiss(
                r"\frac{\sum_jp_jx_je^{(y-x_j)^2/(2\sigma^2)}}{\sum_jp_je^{(y-x_j)^2/(2\sigma^2)}}",
                "the sign in the exponent is turned round: what is far from y would count most",
            ),
            NearMiss(
                r"\frac{\sum_jp_jx_je^{-|y-x_j|/\sigma}}{\sum_jp_je^{-|y-x_j|/\sigma}}",
                "the distance is not squared: that is for Laplace noise",
            ),
            NearMiss("y", "the noise is left in: this is the noisy value itself"),
        ),
    ),
    Equation(
        id="2.11",
        title="shrinkage",
        lhs=r"\mathbb{E}[x\mid y]",
        rhs=r"\mu+\frac{\tau^2}{\tau^2+\sigma^2}\,(y-\mu)",
        meaning="For x ~ N(μ, τ²) the best answer moves y towards the mean: the more, the larger "
        "the noise.",
        quantity="the best answer",
        reference=_shrunk,
        evidence=Numeric(
            points(y=uniform(-3, 3), mu=uniform(-2, 2), tau=uniform(0.2, 2), sigma=uniform(0.2, 2)),
            {"y": 2.0, "mu": 1.0, "tau": 2.0, "sigma": 1.0},
        ),
        definition=Definition(
            "derived by completing the square in log p(x) + log p(y|x) (SymPy)",
            _completed_square,
            {"y": _Y, "mu": _MU, "tau": _TAU, "sigma": _SIGMA},
        ),
        sources=("S12",),
        cite="Wiener 1949; Bishop 2006, eq. 2.141",
        near_misses=(
            NearMiss(
                r"\mu+\frac{\sigma^2}{\tau^2+\sigma^2}(y-\mu)",
                "the shares are exchanged: the more noise, the less y is to be believed",
            ),
            NearMiss(
                r"\frac{\tau^2}{\tau^2+\sigma^2}y",
                "shrunk towards 0: it is the mean μ that pictures lie around",
            ),
            NearMiss(
                r"\mu+\frac{\tau}{\tau+\sigma}(y-\mu)",
                "spreads stand where the variances τ² and σ² belong",
            ),
            NearMiss(
                r"\mu+\frac{\tau}{\sqrt{\tau^2+\sigma^2}}(y-\mu)",
                "the root of the share: this gives answers as spread as x itself, and not the best",
            ),
            NearMiss(
                r"\mu+\frac{\tau^2}{\sigma^2}(y-\mu)",
                "this is the ratio of signal to noise: it can be above 1, and y is never stretched",
            ),
            NearMiss(r"\mu", "y is not looked at: this is right for endless noise"),
            NearMiss("y", "nothing is taken out: this is right without noise"),
            NearMiss(
                r"y+\frac{\tau^2}{\tau^2+\sigma^2}(y-\mu)",
                "this starts from y and moves away from the mean",
            ),
        ),
    ),
    Equation(
        id="2.12",
        title="Tweedie's formula",
        lhs=r"\mathbb{E}[x\mid y]",
        rhs=r"y+\sigma^2\,s(y)",
        meaning="The best answer from the score s(y) = ∂ log p(y)/∂y of the noisy law alone: a "
        "denoiser knows which way pictures become more probable.",
        quantity="the best answer",
        reference=lambda y, p, mu, tau, sigma, score: _blend_mean(y, p, mu, tau, sigma),
        evidence=Numeric(_BLEND, _BLEND_EXAMPLE, where="random points in random mixtures"),
        symbols={
            "s(y)": lambda score, **_: score,
            "f": lambda score, p, **noised: _blend_log_parts(p=torch.ones_like(p), **noised).exp(),
        },
        definition=Definition(
            "derived as the mean of x over the posterior, for mixtures of 3 Gaussians (SymPy)",
            _blend_guess,
            {
                "y": _Y,
                "p": _PS,
                "mu": _MUS,
                "tau": _TAUS,
                "sigma": _SIGMA,
                "f": _DENSITIES,
                "score": _BLEND_SCORE,
                "s(y)": _BLEND_SCORE,
            },
        ),
        cite="Robbins 1956; Efron 2011, eq. 1.4; Vincent 2011",
        near_misses=(
            NearMiss(
                r"y-\sigma^2s(y)",
                "the score is subtracted: it points towards what is more probable, so go with it",
            ),
            NearMiss(
                r"y+\sigma s(y)",
                "the score is multiplied by the noise's spread; it is its variance",
            ),
            NearMiss(
                lambda y, p, mu, tau, sigma, score: (
                    y + sigma**2 * _blend_score(y, p, mu, tau, 0 * sigma)
                ),
                "this is the score of the clean law p(x): that of the noisy p(y) is asked for",
            ),
            NearMiss(r"\sigma^2s(y)", "this is what moves: y itself has to be added"),
            NearMiss(r"y+s(y)", "σ² is missing: the step would be as long for any noise"),
            NearMiss(r"y+\frac{s(y)}{\sigma^2}", "divided by σ², where one multiplies"),
            NearMiss(
                r"y+\frac{\sigma^2}{2}s(y)",
                "half a step: that is a step of Langevin's walk, without its noise",
            ),
            NearMiss(
                lambda y, p, mu, tau, sigma, score: (
                    _blend_log_parts(y, p, mu, tau, sigma).softmax(-1) * mu
                ).sum(-1),
                "this takes every component's mean: within a component x still moves with y",
            ),
            NearMiss("y", "nothing is taken out: the score is missing"),
        ),
    ),
    Equation(
        id="2.13",
        title="the least error that any denoiser can have",
        lhs=r"\mathbb{E}\lVert x-\mathbb{E}[x\mid y]\rVert^2",
        rhs=r"\sigma^2d-\sigma^4J",
        meaning="All the noise, σ²d, less what the score tells: J = E‖s(y)‖², for d pixels. Here "
        "they are independent, x ~ N(0, diag τ²), and d = 3.",
        quantity="the least error",
        reference=lambda sigma, tau, J: (
            tau**2 * sigma[:, None] ** 2 / (tau**2 + sigma[:, None] ** 2)
        ).sum(-1),
        evidence=Numeric(_LEAST, _LEAST_EXAMPLE, where="random worlds of three pixels"),
        symbols={"d": lambda tau, **_: _like(tau, tau.shape[-1])},
        definition=Definition(
            "derived by integrating (x − ay)² over pixels and noise, a the best slope (SymPy)",
            _least_in_letters,
            {
                "sigma": _SIGMA,
                "tau": _TAUS,
                "d": sympy.Integer(3),
                "J": sympy.Add(*(1 / (tau**2 + _SIGMA**2) for tau in _TAUS)),
            },
        ),
        cite="Brown 1971; Efron 2011, section 2",
        near_misses=(
            NearMiss(r"\sigma^2d", "this is the noise itself, the error of not denoising at all"),
            NearMiss(
                r"\sigma^2d-\sigma^2J",
                "σ² stands where σ⁴ belongs: the step is σ² s(y), so its square has σ⁴",
            ),
            NearMiss(
                r"\sigma^2d+\sigma^4J", "the score's part is added: knowing it makes the error less"
            ),
            NearMiss(r"\sigma^4J", "this is what is gained; what is left is asked for"),
            NearMiss(
                r"\sigma^2-\sigma^4J",
                "one pixel's noise only: there are d of them, as J has d terms",
            ),
            NearMiss(r"\frac{d}{J}", "this is a bound (Cramér-Rao's) on something else"),
            NearMiss(
                lambda sigma, tau, J: (tau**2).sum(-1),
                "this is the error of answering with the mean, whatever y is",
            ),
            NearMiss(
                r"\sigma^2d-2\sigma^4J",
                "the gain is counted twice: the step σ² s(y) has a square of its own, which gives "
                "one σ⁴J back",
            ),
        ),
    ),
    Equation(
        id="2.14",
        title="noise does not fit into a short code, nor does it stay out",
        lhs=r"\frac{\mathbb{E}\lVert P\epsilon\rVert^2}{\mathbb{E}\lVert\epsilon\rVert^2}",
        rhs=r"\frac{k}{d}",
        meaning="White noise has as much in every direction: of its d parts the k that the code "
        "can hold get through, and the others are gone.",
        quantity="the share",
        reference=_kept,
        evidence=Numeric(
            _up_to(7), {"k": 2.0, "d": 4.0}, where="projections, every noise of ±1 counted"
        ),
        definition=Definition(
            "derived by integrating k of d independent normal parts (SymPy)",
            lambda: _K * mean(_EPS**2, _EPS, 0, 1) / (_D * mean(_EPS2**2, _EPS2, 0, 1)),
            {"k": _K, "d": _D},
        ),
        sources=("S12",),
        cite="Jolliffe 2002, section 3.7",
        near_misses=(
            NearMiss(
                "1",
                "this would be all the noise, in k numbers: it has d independent ones, and cannot "
                "be compressed",
                source="S12",
            ),
            NearMiss("0", "this would be none: noise has its part in the code's directions too"),
            NearMiss(r"1-\frac{k}{d}", "this is the share that is taken out"),
            NearMiss(
                r"\sqrt{\frac{k}{d}}",
                "this is the ratio of the lengths: their squares are asked for",
            ),
            NearMiss(r"\frac{d}{k}", "upside down: a projection makes nothing longer"),
            NearMiss(r"\frac{k^2}{d^2}", "squared once too often: the squares have been taken"),
            NearMiss(r"\frac{1}{d}", "this is one code number's share: there are k"),
            NearMiss("k", "this is how much gets through, in units of σ²: divide it by all, d"),
        ),
    ),
    Equation(
        id="2.15",
        title="what noise in the target does",
        lhs=r"\arg\min_{a}\,\mathbb{E}\big[(y'-a\,y)^2\big]",
        rhs=r"\frac{\tau^2+\rho\,\sigma^2}{\tau^2+\sigma^2}",
        meaning="Input y = x + σε and target y′ = x + σε′, where ε and ε′ are correlated by ρ. "
        "With the same noise, ρ = 1, it is best to do nothing; with fresh noise, ρ = 0, it is what "
        "a clean target gives.",
        quantity="the best factor",
        reference=_best_slope,
        evidence=Numeric(
            points(tau=uniform(0.2, 2), sigma=uniform(0.2, 2), rho=uniform(0, 1)),
            {"tau": 2.0, "sigma": 1.0, "rho": 0.5},
            where="random worlds, ± of pixel and noises counted",
        ),
        definition=Definition(
            "derived by integrating (y′ − ay)² over pixel and noises, and minimising (SymPy)",
            _slope_in_letters,
            {"tau": _TAU, "sigma": _SIGMA, "rho": _RHO},
        ),
        sources=("S12",),
        cite="Lehtinen et al. 2018, section 2",
        near_misses=(
            NearMiss(
                r"\frac{\tau^2}{\tau^2+\sigma^2}",
                "this is for fresh noise in the target, ρ = 0: the noise that input and target "
                "share is reproduced",
            ),
            NearMiss("1", "this is for the same noise, ρ = 1: fresh noise cannot be foretold"),
            NearMiss(
                r"\frac{\tau^2+\rho^2\sigma^2}{\tau^2+\sigma^2}",
                "ρ is squared: E[εε′] is ρ itself",
            ),
            NearMiss(
                r"\frac{\tau^2-\rho\sigma^2}{\tau^2+\sigma^2}",
                "the sign is turned round: shared noise is passed on, and not taken out",
            ),
            NearMiss(
                r"\frac{\tau^2}{\tau^2+\rho\sigma^2}",
                "the shared noise belongs above the line: below stands the input's own variance, "
                "τ² + σ², whatever the target is",
            ),
            NearMiss(
                r"\frac{\tau^2+(1-\rho)\sigma^2}{\tau^2+\sigma^2}",
                "shared and fresh noise have changed places: at ρ = 1 this removes the noise",
            ),
            NearMiss(
                r"\rho", "this forgets the picture: x is in both, so even fresh noise leaves τ²"
            ),
            NearMiss(
                r"\frac{\rho\sigma^2}{\tau^2+\sigma^2}",
                "the picture's own part τ² is missing above the line",
            ),
            NearMiss(
                r"\frac{\tau+\rho\sigma}{\tau+\sigma}", "spreads stand where variances belong"
            ),
        ),
    ),
)

# -- decibels and bits -----------------------------------------------------------------------------


def _quantised(Delta, order=6):
    """The mean of (x − Q(x))² over one step, by Gauss-Legendre quadrature: (P,)."""
    nodes, weights = (torch.as_tensor(a) for a in np.polynomial.legendre.leggauss(order))
    x = Delta[:, None] * (nodes + 1) / 2
    off = x - Delta[:, None] * torch.floor(x / Delta[:, None]) - Delta[:, None] / 2
    return (off.square() * weights).sum(-1) / 2


_STEP, _RATE = positive("Delta", "R")
_X_ERROR = real("e")[0]


_MSE = sympy.Add(*((a - b) ** 2 for a, b in zip(_X4, _X4_HAT, strict=True))) / 4


def _decibels():
    return 10 * sympy.log(1 / _MSE) / sympy.log(10)


def _lengths(generator, count):
    """Probabilities of four symbols, and lengths of code words with Σ 2^{−ℓ} = 1 (Kraft)."""
    p, q = simplex(4)(generator, count), simplex(4)(generator, count)
    return {"p": p, "ell": -q.log2()}


def _mean_length(p, ell):
    return (p * ell).sum(-1)


_P4, _ELLS = entries("p", 4, above_zero=True), entries("ell", 4)


def _shortest():
    """Σ p ℓ with ℓ = −log₂ q at the best shares q, by Lagrange."""
    shares = [share.subs(sympy.Add(*_P4), 1) for share in best_shares(_P4)]
    return sympy.Add(*(-p * sympy.log(q) / sympy.log(2) for p, q in zip(_P4, shares, strict=True)))


def _distortion(tau, R):
    """Of the Gaussian channel that conveys R bits: half the log of τ²/D, solved by bisection."""
    low, high = torch.full_like(tau, -60.0), torch.full_like(tau, 60.0)  # log D between these
    for _ in range(200):
        middle = (low + high) / 2
        more = (2 * tau.log() - middle) / (2 * math.log(2)) > R
        low, high = torch.where(more, middle, low), torch.where(more, high, middle)
    return ((low + high) / 2).exp()


def _rate_solved():
    """R = ½ log₂(τ²/D) with D = τ² 2^u, solved for u."""
    (u,) = real("u")
    rate = sympy.expand_log(sympy.log(sympy.Integer(2) ** -u)) / (2 * sympy.log(2))
    return _TAU**2 * sympy.Integer(2) ** sympy.solve(rate - _RATE, u)[0]


_BITS = (
    Equation(
        id="2.16",
        title="errors in decibels",
        lhs=r"\mathrm{PSNR}",
        rhs=r"10\,\log_{10}\frac{d}{\lVert x-\hat{x}\rVert^2}",
        meaning="How far the peak, 1, stands above the mean squared error of d pixels: 20 dB more "
        "are errors a tenth as large.",
        quantity="the PSNR",
        reference=lambda x, x_hat: 10 * (-F.mse_loss(x_hat, x, reduction="none").mean(-1).log10()),
        evidence=Numeric(
            points(x=uniform(0, 1, 4), x_hat=uniform(0, 1, 4)),
            {"x": [0.0, 0.5, 0.5, 1.0], "x_hat": [0.1, 0.6, 0.4, 0.9]},
            where="random pictures",
        ),
        symbols={
            "d": lambda x, x_hat: _like(x, x.shape[-1]),
            "MSE": lambda x, x_hat: (x - x_hat).square().mean(-1),
        },
        definition=Definition(
            "derived from 10 log₁₀ of the peak's square over the mean squared error (SymPy)",
            _decibels,
            {"x": _X4, "x_hat": _X4_HAT, "d": sympy.Integer(4), "MSE": _MSE},
        ),
        cite="Huynh-Thu & Ghanbari 2008",
        near_misses=(
            NearMiss(
                r"20\log_{10}\frac{d}{\lVert x-\hat{x}\rVert^2}",
                "20 belongs to the root of the mean squared error: of its square it is 10",
            ),
            NearMiss(
                r"10\log\frac{d}{\lVert x-\hat{x}\rVert^2}",
                "this is the natural logarithm: decibels are counted in powers of ten",
            ),
            NearMiss(
                r"10\log_{10}\frac{1}{\lVert x-\hat{x}\rVert^2}",
                "the squared errors are added up: their mean is asked for, or a larger picture "
                "would look worse",
            ),
            NearMiss(
                r"10\log_{10}\frac{\lVert x-\hat{x}\rVert^2}{d}",
                "upside down: a small error must give many decibels",
            ),
            NearMiss(
                r"\log_{10}\frac{d}{\lVert x-\hat{x}\rVert^2}",
                "these are bels: a decibel is a tenth of one",
            ),
            NearMiss(
                r"10\log_{10}\frac{255^2d}{\lVert x-\hat{x}\rVert^2}",
                "the peak is 1 here: 255 is that of pictures in whole numbers",
            ),
            NearMiss(
                lambda x, x_hat: 10 * torch.log10(1 / (x - x_hat).abs().mean(-1)),
                "this is of the mean size of the errors: the mean of their squares is asked for",
            ),
            NearMiss(
                r"10\log_{10}\frac{\lVert x\rVert^2}{\lVert x-\hat{x}\rVert^2}",
                "this is the signal to noise ratio: PSNR has the peak above the line, which is 1",
            ),
            NearMiss(
                lambda x, x_hat: (
                    10 * torch.log10(x.amax(-1).square() / (x - x_hat).square().mean(-1))
                ),
                "the peak is what a pixel can be, 1, and not the brightest of this picture",
            ),
        ),
    ),
    Equation(
        id="2.17",
        title="what rounding costs",
        lhs=r"\mathbb{E}\big[(x-Q(x))^2\big]",
        rhs=r"\frac{\Delta^2}{12}",
        meaning="Q rounds to the middle of steps of width Δ; where x is as likely anywhere within "
        "a step, the error is uniform on ±Δ/2.",
        quantity="the mean squared error",
        reference=lambda Delta: _quantised(Delta),
        evidence=Numeric(points(Delta=uniform(0.2, 3)), {"Delta": 0.5}, where="random steps"),
        definition=Definition(
            "derived from ∫ e²/Δ de over ±Δ/2 (SymPy)",
            lambda: sympy.integrate(_X_ERROR**2 / _STEP, (_X_ERROR, -_STEP / 2, _STEP / 2)),
            {"Delta": _STEP},
        ),
        cite="Bennett 1948; Gersho & Gray 1992, section 5.2",
        near_misses=(
            NearMiss(
                r"\frac{\Delta^2}{3}",
                "this is for rounding down, where errors go from 0 to Δ",
            ),
            NearMiss(r"\frac{\Delta^2}{4}", "this is the largest squared error, not their mean"),
            NearMiss(
                r"\frac{\Delta}{\sqrt{12}}",
                "this is the spread of the error: its square is asked for",
            ),
            NearMiss(r"\frac{\Delta}{12}", "Δ is to be squared: the error grows as the step does"),
            NearMiss(
                r"\frac{\Delta}{4}",
                "this is the mean size of the error: that of its square is asked for",
            ),
            NearMiss(
                r"\frac{\Delta^2}{6}", "twice too much: this is the error of x less a neighbour's"
            ),
            NearMiss(
                r"\frac{\Delta^2}{24}",
                "only one half of the step is counted: errors go from −Δ/2 to Δ/2",
            ),
            NearMiss(r"12\Delta^2", "multiplied by 12, where one divides"),
        ),
    ),
    Equation(
        id="2.18",
        title="no code is shorter than the entropy",
        lhs=r"\sum_{j}p_j\ell_j",
        relation=r"\ge",
        rhs=r"-\sum_{j}p_j\log_2 p_j",
        meaning="Whatever the lengths ℓ of the code words, in bits and with Σ 2^(−ℓ) = 1, their "
        "mean is not below the entropy of what is coded.",
        quantity="the bound",
        reference=lambda p, ell: torch.distributions.Categorical(p).entropy() / math.log(2),
        evidence=Bound(
            _lengths,
            of=_mean_length,
            tight=lambda a: {**a, "ell": -a["p"].log2()},
            of_words="the mean length",
            tight_words="ℓ is −log₂ p",
            example={"p": [0.5, 0.25, 0.125, 0.125], "ell": [2.0, 2.0, 2.0, 2.0]},
            where="random laws and codes of four symbols",
        ),
        definition=Definition(
            "derived as the least Σ pℓ with Σ 2^(−ℓ) = 1, by Lagrange (SymPy)",
            _shortest,
            {"p": _P4, "ell": _ELLS},
        ),
        sources=("S12",),
        cite="Shannon 1948, theorem 9; Cover & Thomas 2006, theorem 5.3.1",
        near_misses=(
            NearMiss(
                r"-\sum_jp_j\log p_j",
                "this is in nats: it stays below, and bits would touch",
            ),
            NearMiss(r"\sum_jp_j\log_2p_j", "the sign is turned round: a length is never below 0"),
            NearMiss(
                lambda p, ell: torch.full_like(p[:, 0], math.log2(p.shape[-1])),
                "this is what four equally common symbols need: others can be shorter",
            ),
            NearMiss(
                r"\sum_jp_j\ell_j", "this is one code's mean length; the bound is for all of them"
            ),
            NearMiss(r"-\sum_j\log_2p_j", "the mean is missing: each length counts with its p"),
            NearMiss(
                lambda p, ell: -p.amax(-1).log2(),
                "this is the length of the commonest symbol alone: the others are longer",
            ),
            NearMiss(
                lambda p, ell: -p.square().sum(-1).log2(),
                "this is Rényi's entropy: true, and touched only where all are equally common",
            ),
            NearMiss("0", "true, and never reached: four symbols cannot all cost nothing"),
            NearMiss(
                lambda p, ell: (p * (-p.log2()).ceil()).sum(-1),
                "rounded up to whole bits: arithmetic coding needs no whole bits for each symbol",
            ),
        ),
    ),
    Equation(
        id="2.19",
        title="what a bit buys",
        lhs=r"D(R)",
        rhs=r"\tau^2\,2^{-2R}",
        meaning="The least mean squared error of a number x ~ N(μ, τ²) that is told in R bits (D "
        "is the distortion here, and no decoder): a bit more quarters it, which is 6 dB.",
        quantity="the least error",
        reference=_distortion,
        evidence=Numeric(
            points(tau=uniform(0.3, 2), R=uniform(0, 4)), {"tau": 1.0, "R": 1.0}, tolerance=1e-8
        ),
        definition=Definition(
            "derived by solving R = ½ log₂(τ²/D) for D (SymPy)",
            _rate_solved,
            {"tau": _TAU, "R": _RATE},
        ),
        sources=("S12",),
        cite="Shannon 1959; Cover & Thomas 2006, theorem 10.3.2",
        near_misses=(
            NearMiss(r"\tau^2\,2^{-R}", "a bit halves the error's size, so it quarters its square"),
            NearMiss(r"\tau^2e^{-2R}", "this is for a rate in nats: R is in bits"),
            NearMiss(r"\tau\,2^{-R}", "this is the error's spread: its square is asked for"),
            NearMiss(r"\tau\,2^{-2R}", "a spread stands where the variance τ² belongs"),
            NearMiss(r"\tau^2\,2^{2R}", "the sign is turned round: bits make the error smaller"),
            NearMiss(r"2^{-2R}", "this is for numbers of variance 1"),
            NearMiss(r"\frac{\tau^2}{2R}", "each bit quarters the error: it does not share it out"),
            NearMiss(
                r"\frac12\log_2\frac{\tau^2}{R}",
                "this is the rate for an error of R: D(R) is its inverse",
            ),
            NearMiss(
                r"\tau^2(1-2^{-2R})", "this is the part that is told; what is left is asked for"
            ),
        ),
    ),
)

# -- why random codes make no art ------------------------------------------------------------------


def _covariances(size):
    """Random covariance matrices, none of them narrow: (P, size, size)."""

    def draw(generator, count):
        a = normal(size, size)(generator, count)
        return a @ a.mT / size + 0.2 * torch.eye(size, dtype=a.dtype)

    return draw


def _kl_to_standard(m, S):
    codes = torch.distributions.MultivariateNormal(m, S)
    standard = torch.distributions.MultivariateNormal(torch.zeros_like(m), torch.eye(3).to(S))
    return torch.distributions.kl_divergence(codes, standard)


def _parts(m, S):
    """tr S, ‖m‖² and log det S."""
    trace = S.diagonal(dim1=-2, dim2=-1).sum(-1)
    return trace, m.square().sum(-1), torch.linalg.slogdet(S)[1]


def _combined(m, S, half=0.5, trace=1.0, square=1.0, size=3.0, det=1.0):
    """(2.20) with a factor at each of its parts."""
    t, q, d = _parts(m, S)
    return half * (trace * t + square * q - size - det * d)


_CODES = (
    Equation(
        id="2.20",
        title="how far the codes are from noise",
        lhs=r"D_{\mathrm{KL}}\big(\mathcal{N}(m,S)\,\Vert\,\mathcal{N}(0,I)\big)",
        rhs=r"\tfrac12\big(\operatorname{tr}S+\lVert m\rVert^2-k-\log\det S\big)",
        meaning="m and S are the mean and the covariance of all pictures' codes: only if this is 0 "
        "can codes drawn from N(0, I) be like them. Here k = 3.",
        quantity="the divergence",
        reference=_kl_to_standard,
        evidence=Numeric(
            points(m=uniform(-2, 2, 3), S=_covariances(3)),
            {"m": [1.0, 0.0, 0.0], "S": [[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]},
            where="random means and covariances",
        ),
        typeset_only="it is made of a trace and a determinant",
        sources=("S12",),
        cite="Kullback 1959, section 9.1",
        near_misses=(
            NearMiss(lambda m, S: _combined(m, S, half=1.0), "the ½ in front is missing"),
            NearMiss(
                lambda m, S: _combined(m, S, half=-0.5),
                "the sign is turned round: a divergence is never below 0",
            ),
            NearMiss(
                lambda m, S: _combined(m, S, size=0.0),
                "k is missing: this would not be 0 for codes that are N(0, I)",
            ),
            NearMiss(
                lambda m, S: _combined(m, S, size=1.0),
                "1 is subtracted, where k is: one for each code number",
            ),
            NearMiss(
                lambda m, S: _combined(m, S, det=-1.0),
                "log det S is added: narrow codes would seem near to N(0, I)",
            ),
            NearMiss(
                lambda m, S: _combined(m, S, det=0.0),
                "log det S is missing: narrow codes cost nothing",
            ),
            NearMiss(
                lambda m, S: _combined(m, S, square=0.0),
                "the mean's part ‖m‖² is missing: codes around another point are not N(0, I)",
            ),
            NearMiss(
                lambda m, S: _combined(m, torch.diag_embed(S.diagonal(dim1=-2, dim2=-1))),
                "only the diagonal of S is looked at: codes that move together are not independent",
            ),
            NearMiss(
                lambda m, S: torch.distributions.kl_divergence(
                    torch.distributions.MultivariateNormal(torch.zeros_like(m), torch.eye(3).to(S)),
                    torch.distributions.MultivariateNormal(m, S),
                ),
                "the two have changed places: this is the divergence of N(0, I) from the codes",
            ),
            NearMiss(
                lambda m, S: _combined(m, S @ S),
                "S is squared: it is a covariance already, and no table of spreads",
            ),
            NearMiss(
                lambda m, S: 0.5 * (_parts(m, S)[0] + _parts(m, S)[1] - 3 - _parts(m, S)[0].log()),
                "the logarithm of the trace, where that of the determinant belongs",
            ),
            NearMiss(
                lambda m, S: _combined(m, S) / 3,
                "divided by k: what the code numbers cost adds up",
            ),
        ),
    ),
)

# -- exercises -------------------------------------------------------------------------------------


def _bits_and_pixels(generator, count):
    pair = 1 + whole(10, 2)(generator, count)
    return {"b": pair.amin(-1).double(), "n": pair.amax(-1).double()}


def _share_back(b, n):
    """Of all black-and-white pictures of n pixels, those that one of all codes of b bits can be."""
    pictures = torch.tensor([len(range(1 << int(i))) for i in n], dtype=b.dtype)
    codes = torch.tensor([len(range(1 << int(i))) for i in b], dtype=b.dtype)
    return codes / pictures


_B, _PIXELS = positive("b", "n")
_SET = points(x=normal(4, 3), E=normal(2, 3), D=normal(3, 2))
_SET_X, _SET_E, _SET_D = (
    [entries(f"{name}_{r + 1}", width) for r in range(rows)]
    for name, rows, width in (("x", 4, 3), ("E", 2, 3), ("D", 3, 2))
)


_SET_BACK = [entries(f"x_hat_{n + 1}", 3) for n in range(4)]


def _encoder_slopes():
    """By the chain rule: −2(x − x̂)/N of each pixel, times the slope of (D E x) by each E_ji."""
    x, E, D, back = (sympy.Matrix(m) for m in (_SET_X, _SET_E, _SET_D, _SET_BACK))
    seen, by_pixel = x * E.T * D.T, -2 * (x - back) / 4
    return tuple(
        sympy.Add(*(by_pixel[n, i] * sympy.diff(seen[n, i], e) for n in range(4) for i in range(3)))
        for row in _SET_E
        for e in row
    )


def _encoder_gradient(x, E, D):
    return -2 / x.shape[-2] * D.mT @ (x - _through(x, E, D)).mT @ x


def _decoder_gradient(x, E, D):
    return -2 / x.shape[-2] * (x - _through(x, E, D)).mT @ (x @ E.mT)


def _hard(z, lam):
    """The cheaper of a = z, for λ, and a = 0, for ½z²."""
    return torch.where(z.square() / 2 > lam, z, torch.zeros_like(z))


def _weights(y, x, sigma, power=2.0, scale=2.0):
    distance = torch.linalg.vector_norm(y[:, None] - x, dim=-1) ** power
    return (-distance / (scale * sigma[:, None] ** 2)).softmax(-1)


def _mixed(weights, x):
    return (weights[..., None] * x).sum(-2)


_WANTED = real("Q")[0]

_EXERCISES = (
    Equation(
        id="2.x1",
        title="the share that can come back",
        lhs=r"\max_{E,D}P\big(D(E(x))=x\big)",
        rhs=r"2^{b-n}",
        meaning="Pictures of n pixels, each black or white and all as common, and codes of b ≤ n "
        "bits: the best share of pictures that any E and D bring back.",
        quantity="the share",
        reference=_share_back,
        evidence=Numeric(
            _bits_and_pixels, {"b": 2.0, "n": 4.0}, where="numbers of bits and pixels, all counted"
        ),
        definition=Definition(
            "derived as the number of codes over the number of pictures (SymPy)",
            lambda: sympy.Integer(2) ** _B / sympy.Integer(2) ** _PIXELS,
            {"b": _B, "n": _PIXELS},
        ),
        sources=("D3",),
        near_misses=(
            NearMiss(
                r"\frac{b}{n}",
                "bits are compared with pixels: it is the numbers of codes and of pictures that "
                "count, 2^b and 2^n",
            ),
            NearMiss(
                "1",
                "this would be x = D(E(x)) for every picture: only b = n allows it",
                source="D3",
            ),
            NearMiss(r"2^{n-b}", "upside down: this is how many pictures share a code"),
            NearMiss(r"\frac{2^b}{n}", "n pixels make 2^n pictures"),
            NearMiss(r"1-2^{b-n}", "this is the share that is lost"),
            NearMiss(r"2^b", "this is how many come back: divide by how many there are"),
            NearMiss(r"b-n", "this is the logarithm, by 2, of the share"),
            NearMiss(r"2^{-b}", "this is one picture among as many as there are codes"),
            NearMiss(r"e^{b-n}", "bits have two states each: the base is 2"),
        ),
    ),
    Equation(
        id="2.x2",
        title="one loss, two gradients: the encoder's",
        lhs=r"\frac{\partial}{\partial E_{ji}}\,\frac1N\sum_{n=1}^{N}\lVert x_n-DEx_n\rVert^2",
        rhs=r"-\frac{2}{N}\sum_{n=1}^{N}x_{ni}\sum_{l=1}^{d}D_{lj}\,(x_{nl}-\hat{x}_{nl})",
        meaning="The error, seen from the code through Dᵀ, times the picture: E and D share the "
        "loss (2.1), and not its slope.",
        quantity="the gradient",
        free_index="ji",
        reference=_encoder_gradient,
        evidence=Gradient(
            _SET, of=lambda x, E, D: _mean_error(x, _through(x, E, D)), wrt="E", tolerance=1e-8
        ),
        symbols={
            "x_hat": _through,
            "N": lambda x, E, D: _like(x, x.shape[-2]),
        },
        definition=Definition(
            "derived by the chain rule, over four pictures and each entry of E (SymPy)",
            _encoder_slopes,
            {
                "x": tuple(_SET_X),
                "E": tuple(_SET_E),
                "D": tuple(_SET_D),
                "x_hat": tuple(_SET_BACK),
                "N": sympy.Integer(4),
            },
        ),
        sources=("D8",),
        near_misses=(
            NearMiss(
                lambda x, E, D: _decoder_gradient(x, E, D).mT,
                "this is the decoder's gradient, turned over: the same loss, and another slope",
            ),
            NearMiss(
                _decoder_gradient,
                "this is the decoder's gradient: the same loss, and another slope",
            ),
            NearMiss(
                lambda x, E, D: -_encoder_gradient(x, E, D),
                "the sign is turned round: x̂ is subtracted from x, so more of it makes x − x̂ less",
            ),
            NearMiss(
                lambda x, E, D: _encoder_gradient(x, E, D) / 2,
                "the 2 of the square is missing",
            ),
            NearMiss(
                lambda x, E, D: _encoder_gradient(x, E, D) * x.shape[-2],
                "the pictures' slopes are added up: the loss is their mean",
            ),
            NearMiss(
                lambda x, E, D: _encoder_gradient(x, E, D).mT,
                "turned over: E has k rows and d columns, and so has its gradient",
            ),
            NearMiss(
                lambda x, E, D: -2 / x.shape[-2] * D.mT @ x.mT @ x,
                "the error x − x̂ is replaced by x itself: what comes back is left out",
            ),
            NearMiss(
                lambda x, E, D: _encoder_gradient(x, E, E.mT),
                "Eᵀ stands where Dᵀ belongs: they are the same only in a tied autoencoder",
            ),
            NearMiss(
                lambda x, E, D: _encoder_gradient(x, E, D) / x.shape[-1],
                "the mean over the pixels: ‖·‖² is their sum",
            ),
        ),
    ),
    Equation(
        id="2.x3",
        title="the hard threshold",
        lhs=r"\arg\min_{a}\Big(\tfrac12(a-z)^2+\lambda\,[a\ne 0]\Big)",
        rhs=r"z\,\big[\,\lvert z\rvert>\sqrt{2\lambda}\,\big]",
        meaning="If every number costs λ, whatever its size, then those that are worth it stay as "
        "they are and the others are 0.",
        quantity="the minimum",
        reference=_hard,
        evidence=Numeric(points(z=uniform(-3, 3), lam=uniform(0.1, 2)), {"z": 2.0, "lam": 0.5}),
        typeset_only="a bracket of numbers, and not of indices",
        cite="Blumensath & Davies 2009, section 2",
        near_misses=(
            NearMiss(
                lambda z, lam: F.relu(z - lam) - F.relu(-z - lam),
                "this is the soft threshold (2.8): here a number costs λ whatever its size, so "
                "nothing draws it towards 0",
            ),
            NearMiss(
                lambda z, lam: torch.where(z.abs() > lam, z, 0 * z),
                "cut at λ: ½z² is what one saves, so it must be above λ, and |z| above √(2λ)",
            ),
            NearMiss(
                lambda z, lam: torch.where(z.abs() > lam.sqrt(), z, 0 * z),
                "cut at √λ: that is for (a − z)² without its ½",
            ),
            NearMiss(
                lambda z, lam: torch.where(z > (2 * lam).sqrt(), z, 0 * z),
                "negative numbers are all set to 0: their size counts",
            ),
            NearMiss(
                lambda z, lam: torch.where(z.abs() <= (2 * lam).sqrt(), z, 0 * z),
                "the large ones are set to 0: they are the ones that are worth their price",
            ),
            NearMiss(
                lambda z, lam: F.softshrink(1.0 * z / (2 * lam).sqrt(), 1.0) * (2 * lam).sqrt(),
                "cut at the right place, but what is kept is moved towards 0",
            ),
            NearMiss(
                lambda z, lam: (z.abs() > (2 * lam).sqrt()).double(),
                "this says which are kept: multiply it by z",
            ),
        ),
    ),
    Equation(
        id="2.x4",
        title="how many decibels noise leaves",
        lhs=r"\mathrm{PSNR}(x,x+\sigma\epsilon)",
        rhs=r"-20\,\log_{10}\sigma",
        meaning="White noise of spread σ on a large picture in [0, 1], not cut off at 0 and 1: its "
        "mean square is σ².",
        quantity="the PSNR",
        reference=lambda sigma: 10 * torch.log10(1 / _noise_square(sigma)),
        evidence=Numeric(points(sigma=uniform(0.02, 1)), {"sigma": 0.1}),
        definition=Definition(
            "derived from 10 log₁₀ of 1 over ∫ (σε)² N(ε; 0, 1) dε (SymPy)",
            lambda: -10 * sympy.log(mean((_SIGMA * _EPS) ** 2, _EPS, 0, 1)) / sympy.log(10),
            {"sigma": _SIGMA},
        ),
        near_misses=(
            NearMiss(r"-10\log_{10}\sigma", "the mean square is σ², so the logarithm counts twice"),
            NearMiss(
                r"20\log_{10}\sigma", "the sign is turned round: little noise is many decibels"
            ),
            NearMiss(
                r"-20\log\sigma", "this is the natural logarithm: decibels have powers of ten"
            ),
            NearMiss(r"-\log_{10}\sigma", "these are bels, and of the spread: multiply by 20"),
            NearMiss(
                r"-20\log_{10}\frac{\sigma}{255}", "the peak is 1 here: 255 is for whole numbers"
            ),
            NearMiss(r"-40\log_{10}\sigma", "σ is squared once: 10 log₁₀ of 1/σ² is −20 log₁₀ σ"),
            NearMiss(r"\frac{1}{\sigma^2}", "this is the ratio itself: decibels are its logarithm"),
        ),
    ),
    Equation(
        id="2.x5",
        title="bits for a wanted quality",
        lhs="b",
        rhs=r"\frac{Q-10\,\log_{10}12}{20\,\log_{10}2}",
        meaning="A pixel from 0 to 1 is rounded to 2^b steps of equal width: how many bits b are "
        "needed for a PSNR of Q decibels, by (2.16) and (2.17).",
        quantity="the number of bits",
        reference=lambda Q: -(12 * 10 ** (-Q / 10)).log2() / 2,
        evidence=Numeric(points(Q=uniform(15, 70)), {"Q": 40.0}, where="random qualities"),
        definition=Definition(
            "derived by solving 10 log₁₀(12/Δ²) = Q with Δ = 2^(−b) for b (SymPy)",
            lambda: sympy.solve(
                10 * (sympy.log(12) + 2 * _B * sympy.log(2)) / sympy.log(10) - _WANTED, _B
            )[0],
            {"Q": _WANTED},
        ),
        near_misses=(
            NearMiss(
                r"\frac{Q}{20\log_{10}2}",
                "the 12 is left out: rounding costs Δ²/12, so a few bits less will do",
            ),
            NearMiss(
                r"\frac{Q+10\log_{10}12}{20\log_{10}2}",
                "the 12 makes it cheaper: its decibels are subtracted",
            ),
            NearMiss(
                r"\frac{Q-10\log_{10}12}{10\log_{10}2}",
                "a bit halves the step, so it quarters its square: 20 log₁₀ 2 decibels, not 10",
            ),
            NearMiss(
                r"\frac{Q-10\log_{10}12}{6}",
                "nearly: a bit is 6.02 decibels, and exactly 20 log₁₀ 2",
            ),
            NearMiss(r"Q-10\log_{10}12", "these are decibels: divide by what a bit is worth"),
            NearMiss(
                r"\frac{Q-20\log_{10}12}{20\log_{10}2}",
                "12 divides a square already: its share is 10 log₁₀ 12",
            ),
            NearMiss(
                r"\frac{Q-10\log12}{20\log2}",
                "natural logarithms: Q is in powers of ten, so all three have to be",
            ),
            NearMiss(
                r"\frac{Q-10\log_{10}3}{20\log_{10}2}",
                "this is for rounding down, which costs Δ²/3",
            ),
            NearMiss(
                r"10\log_{10}12+20Q\log_{10}2", "this is the quality that Q bits give: the inverse"
            ),
        ),
    ),
    Equation(
        id="2.x6",
        title="the ideal denoiser of a set of pictures",
        lhs=r"\mathbb{E}[x\mid y]",
        rhs=r"\sum_{n=1}^{N}\frac{e^{-\lVert y-x_n\rVert^2/(2\sigma^2)}}"
        r"{\sum_{m=1}^{N}e^{-\lVert y-x_m\rVert^2/(2\sigma^2)}}\,x_n",
        meaning="(2.10) for whole pictures, all as common: a mean of the N pictures, in which "
        "those that are near to y count most.",
        quantity="the best answer",
        reference=lambda y, x, sigma: _mixed(_weights(y, x, sigma), x),
        evidence=Numeric(
            points(y=uniform(-1, 1, 4), x=uniform(-1, 1, 5, 4), sigma=uniform(0.3, 1)),
            where="random sets of five pictures",
        ),
        typeset_only="it is made of whole pictures",
        cite="Buades et al. 2005; Milanfar 2013",
        near_misses=(
            NearMiss(
                lambda y, x, sigma: _mixed(_weights(y, x, sigma, scale=1.0), x),
                "the ½ in the exponent is missing: near pictures count too much",
            ),
            NearMiss(
                lambda y, x, sigma: _mixed(_weights(y, x, sigma.sqrt()), x),
                "σ stands where σ² belongs",
            ),
            NearMiss(
                lambda y, x, sigma: _mixed(_weights(y, x, sigma, power=1.0), x),
                "the distance is to be squared",
            ),
            NearMiss(
                lambda y, x, sigma: (
                    (-(y[:, None] - x).square() / (2 * sigma[:, None, None] ** 2)).softmax(-2) * x
                ).sum(-2),
                "each pixel has weights of its own: it is the distance of whole pictures that "
                "tells which of them it is",
            ),
            NearMiss(
                lambda y, x, sigma: _mixed(
                    (-(y[:, None] - x).square().mean(-1) / (2 * sigma[:, None] ** 2)).softmax(-1), x
                ),
                "the mean over the pixels: ‖·‖² is their sum, so the weights are too flat here",
            ),
            NearMiss(
                lambda y, x, sigma: x[
                    torch.arange(len(x)), (y[:, None] - x).square().sum(-1).argmin(-1)
                ],
                "this is the nearest picture alone: the others may have been there too",
            ),
            NearMiss(
                lambda y, x, sigma: x.mean(-2),
                "y is not looked at: this is the mean of all pictures",
            ),
            NearMiss(
                lambda y, x, sigma: _mixed(
                    (-(y[:, None] - x).square().sum(-1) / (2 * sigma[:, None] ** 2)).exp(), x
                ),
                "the weights are not divided by their sum: they have to add up to 1",
            ),
            NearMiss(
                lambda y, x, sigma: _mixed(
                    (-(y[:, None] - x).square().sum(-1) / (2 * sigma[:, None] ** 2)).softmax(0), x
                ),
                "the softmax runs over the points (dim=0), which have nothing to do with each "
                "other: it belongs over the pictures",
            ),
            NearMiss(
                lambda y, x, sigma: _mixed(_weights(-y, x, sigma), x),
                "y is added where it is subtracted: distances are of y − x",
            ),
            NearMiss(
                lambda y, x, sigma: _weights(y, x, sigma),
                "these are the weights: the pictures, weighed by them, are asked for",
            ),
        ),
    ),
)


def _noise_square(sigma):
    """The mean of (σε)² over standard normal noise, by Gauss-Hermite quadrature: (P,)."""
    nodes, weights = (torch.as_tensor(a) for a in np.polynomial.hermite_e.hermegauss(4))
    return ((sigma[:, None] * nodes).square() * weights).sum(-1) / weights.sum()


EQUATIONS = (
    *_COUNTED, *_LINEAR, *_FEW, *_NOISY, *_BITS, *_CODES, *_EXERCISES,
)  # fmt: skip
