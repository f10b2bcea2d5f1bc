"""Chapter 01, from noise to art, part one: what a map does to noise, and to its density.

z is the noise and x = g(z) the picture. A *noise world* has four noises and four pictures, so that
g is a table and every sum is done by hand; then come maps of the line, and maps of the plane. How
two densities are compared, and means estimated, is in ``divergences``.
"""

import math
from collections.abc import Callable

import sympy
import torch
from scipy import stats
from torch import Tensor

from genart_lessons.equations.derive import entries, log_normal, mean, positive, real
from genart_lessons.proof import (
    Definition,
    Draws,
    Equation,
    NearMiss,
    Numeric,
    Pairs,
    View,
    flat,
)
from genart_lessons.proof.draws import normal, points, simplex, uniform, whole

Symbols = dict[str, Callable[..., Tensor]]
_FOUR = range(4)

# -- the noise world: g sends each z to an x -------------------------------------------------------

_TABLE = {"p_z": [0.1, 0.2, 0.3, 0.4], "g": [1, 1, 2, 3]}


def _pushforward(p_z, g, **_):
    """p_x(x): the share of the noise that g sends to x."""
    return torch.zeros_like(p_z).scatter_add(-1, g, p_z)


_PZ, _PX = (entries(name, 4, above_zero=True) for name in ("r", "p"))
_F, _FG = entries("f", 4), entries("h", 4)
_SENT = [entries(f"g_{k + 1}", 4, above_zero=True) for k in _FOUR]  # 1 where z is sent to x, or 0


def _dot(a, b) -> sympy.Expr:
    return sympy.Add(*(m * n for m, n in zip(a, b, strict=True)))


_MEANS = (
    Equation(
        id="1.1",
        title="a mean under a map",
        lhs=r"\mathbb{E}_{z\sim p_z}[f(g(z))]",
        rhs=r"\sum_x p_x(x)\,f(x)",
        meaning="A mean over noise is a mean over what the map makes of it: p_x(x) is the share of "
        "the noise that lands on x.",
        quantity="the mean",
        reference=lambda p_z, g, f: (_pushforward(p_z, g) * f).sum(-1),
        evidence=Numeric(
            points(p_z=simplex(4), g=whole(4, 4), f=uniform(-2, 2, 4)),
            {**_TABLE, "f": [0.0, 1.0, 0.0, -1.0]},
            where="random maps of four noises to four pictures",
        ),
        symbols={
            "p_z(z)": lambda p_z, g, f: p_z,
            "p(z)": lambda p_z, g, f: p_z,
            "p_x(x)": _pushforward,
            "p(x)": _pushforward,
            "f(x)": lambda p_z, g, f: f,
            "f(g(z))": lambda p_z, g, f: f.gather(-1, g),
            "g(z)": lambda p_z, g, f: g.to(p_z.dtype),
        },
        definition=Definition(
            "proved for every map of four noises to four pictures (SymPy)",
            lambda: _dot(_PZ, _FG),
            {
                "p_z": _PZ,
                "f": _F,
                "p_z(z)": _PZ,
                "p(z)": _PZ,
                "f(x)": _F,
                "f(g(z))": _FG,
                "p_x(x)": _PX,
                "p(x)": _PX,
            },
            {
                **{h: _dot(_SENT[k], _F) for k, h in enumerate(_FG)},
                **{p: sympy.Add(*(_PZ[k] * _SENT[k][x] for k in _FOUR)) for x, p in enumerate(_PX)},
            },
        ),
        sources=("B1",),
        cite="Kallenberg 2002, lemma 1.22",
        near_misses=(
            NearMiss(
                r"\frac14\sum_x f(x)",
                "every picture counts alike: weigh each by the share of the noise that lands on it",
            ),
            NearMiss(r"\frac14\sum_z f(g(z))", "every noise counts alike: weigh each by p_z"),
            NearMiss(
                lambda p_z, g, f: (p_z * f).sum(-1),
                "the map is left out: p_z says how often z comes, not x",
            ),
            NearMiss(
                lambda p_z, g, f: (
                    torch.zeros_like(p_z).scatter_reduce(-1, g, p_z, "amax") * f
                ).sum(-1),
                "where several noises land on one picture, only the most frequent is counted: "
                "their shares add up",
            ),
            NearMiss(
                r"\sum_z g(z)f(g(z))",
                "g(z) is taken for a probability; it is a picture, and p_z says how often it comes",
            ),
        ),
    ),
)

# -- maps of the line: a density of one's own ------------------------------------------------------


def _normal_draws(count, generator, mu, sigma):
    return mu + sigma * torch.randn(count, generator=generator, dtype=torch.float64)


_X, _Z, _MU, _X_2, _T, _S_OF = real("x", "z", "mu", "x_2", "t", "s")
_SIGMA, _DZ, _LAMBDA = positive("sigma", "dz", "lambda")
_DX = sympy.Symbol("dx", real=True, nonzero=True)
(_DENSITY,) = positive("p")
_EXPONENTIAL = ({"lam": 1.0}, {"lam": 0.5}, {"lam": 3.0})

_LINE = (
    Equation(
        id="1.2",
        title="noise through the inverse of F",
        lhs="F^{-1}(u)",
        rhs="u^{1/a}",
        meaning="Turn F round and feed it flat noise u: what comes out has F for its distribution "
        "function. Here F(x) = xᵃ on [0, 1].",
        reference=lambda a, u: u ** (1 / a),
        evidence=Draws(
            cases=({"a": 2.0}, {"a": 0.5}, {"a": 5.0}),
            law=lambda a: stats.beta(a, 1),
            noise="u",
            fresh=flat,
        ),
        cite="Devroye 1986, theorem II.2.1",
        near_misses=(
            NearMiss("u^a", "this is F itself: turn it round, u = xᵃ solved for x"),
            NearMiss("a u^{a-1}", "this is the density, the slope of F: it is F that is inverted"),
            NearMiss("u", "the noise comes out as it went in"),
            NearMiss(r"\frac{u}{a}", "uᵃ is taken for a·u: it is a power"),
        ),
    ),
    Equation(
        id="1.3",
        title="waiting times from flat noise",
        lhs="F^{-1}(u)",
        rhs=r"-\frac{\log(1-u)}{\lambda}",
        meaning="F(x) = 1 − exp(−λx), turned round: exponential draws with mean 1/λ.",
        reference=lambda lam, u: -torch.log1p(-u) / lam,
        evidence=Draws(
            cases=_EXPONENTIAL, law=lambda lam: stats.expon(scale=1 / lam), noise="u", fresh=flat
        ),
        symbols={"lambda": lambda lam, u: lam},
        cite="Devroye 1986, section II.2.2",
        near_misses=(
            NearMiss(
                r"-\lambda\log(1-u)", "λ is the rate: the larger, the shorter the wait. Divide by λ"
            ),
            NearMiss(
                r"\frac{\log(1-u)}{\lambda}",
                "the minus sign is missing: every waiting time comes out negative",
            ),
            NearMiss(r"1-e^{-\lambda u}", "this is F itself: solve u = F(x) for x"),
            NearMiss(r"\lambda e^{-\lambda u}", "this is the density, not a draw"),
            NearMiss(
                r"-\frac{\log_{10}(1-u)}{\lambda}",
                "this is the logarithm to base 10: F has e in it, and log is its inverse",
            ),
        ),
    ),
    Equation(
        id="1.4",
        title="and back: F makes every draw flat",
        lhs="F(x)",
        rhs=r"\Phi\left(\frac{x-\mu}{\sigma}\right)",
        meaning="A draw, put into its own distribution function, is uniform on [0, 1]. Here x is "
        "normal; Φ is the distribution function of standard noise.",
        reference=lambda mu, sigma, x: torch.special.ndtr((x - mu) / sigma),
        evidence=Draws(
            cases=(
                {"mu": 0.0, "sigma": 1.0},
                {"mu": 2.0, "sigma": 0.5},
                {"mu": -1.0, "sigma": 3.0},
            ),
            law=lambda mu, sigma: stats.uniform(),
            noise="x",
            fresh=_normal_draws,
        ),
        cite="Rosenblatt 1952",
        near_misses=(
            NearMiss(r"\Phi(x)", "x is not standardised: this is flat only for μ = 0 and σ = 1"),
            NearMiss(
                r"\Phi\left(\frac{x-\mu}{\sigma^2}\right)", "it is divided by σ² where σ belongs"
            ),
            NearMiss(
                r"\frac{1}{\sqrt{2\pi\sigma^2}}\exp\left(-\frac{(x-\mu)^2}{2\sigma^2}\right)",
                "this is the density at x; F is the share of all draws that lie below x",
            ),
            NearMiss(
                lambda mu, sigma, x: torch.sigmoid((x - mu) / sigma),
                "this is the logistic curve: it looks like Φ, and is flatter",
            ),
        ),
    ),
    Equation(
        id="1.5",
        title="change of variables on the line",
        lhs="p_x(x)",
        rhs=r"p_z\big(g^{-1}(x)\big)\,\left|\frac{dz}{dx}\right|",
        meaning="A strip of noise of width dz becomes a strip of width dx, and takes what it holds "
        "along: where g stretches, the density falls. dx is negative where g turns the line round.",
        quantity="the density",
        reference=lambda p_z, dz, dx: p_z * (dz / dx).abs(),
        evidence=Numeric(
            points(p_z=uniform(0.05, 2), dz=uniform(0.1, 1), dx=normal()),
            {"p_z": 0.4, "dz": 0.1, "dx": -0.2},
            where="random strips, half of them turned round",
        ),
        symbols={
            "p_z(z)": lambda p_z, dz, dx: p_z,
            "p_z(g^-1(x))": lambda p_z, dz, dx: p_z,
        },
        definition=Definition(
            "derived by solving p_x(x)·|dx| = p_z(z)·|dz| for p_x(x) (SymPy)",
            lambda: sympy.solve(_X * abs(_DX) - _DENSITY * abs(_DZ), _X)[0],
            {"p_z": _DENSITY, "p_z(z)": _DENSITY, "p_z(g^-1(x))": _DENSITY, "dz": _DZ, "dx": _DX},
        ),
        cite="Papamakarios et al. 2021, eq. 2",
        near_misses=(
            NearMiss(
                "p_z(g^{-1}(x))",
                "the factor is left out: the height is kept where the strip has been stretched, "
                "and the area is no longer 1",
            ),
            NearMiss(
                r"p_z(g^{-1}(x))\left|\frac{dx}{dz}\right|",
                "the factor is upside down: where the line is stretched the density falls",
            ),
            NearMiss(
                r"p_z(g^{-1}(x))\frac{dz}{dx}",
                "the bars are missing: where g turns the line round, this is negative",
            ),
            NearMiss(r"-p_z(g^{-1}(x))\left|\frac{dz}{dx}\right|", "no density is negative"),
            NearMiss(
                r"p_z(g^{-1}(x))\left(\frac{dz}{dx}\right)^2",
                "the factor is squared: one width, one factor",
            ),
        ),
    ),
)

# -- maps of the plane -----------------------------------------------------------------------------


def _log_det(J):
    return torch.linalg.slogdet(J).logabsdet


_J, _CHAIN = normal(2, 2), normal(3, 2, 2)
_DET: Symbols = {"det_J": lambda J, **_: torch.linalg.det(J)}
_LOG_DENSITY: Symbols = {
    "p_z(z)": lambda log_p_z, **_: log_p_z.exp(),
    "p_z(g^-1(x))": lambda log_p_z, **_: log_p_z.exp(),
}


def _turned(log_p_z, J):
    return log_p_z - _log_det(J)


_R, _PHI = sympy.Symbol("r", positive=True), sympy.Symbol("phi", real=True)
_A = tuple(real(f"A_{i}1", f"A_{i}2") for i in (1, 2))
_SCALES = entries("s", 3)
_DETS = tuple(sympy.Symbol(f"det_{k + 1}", real=True, nonzero=True) for k in range(3))


def _corner(k: int) -> sympy.Matrix:
    """Any 2×2 matrix with the determinant det_k, in letters: (a, b; c, (det + bc)/a)."""
    a, b, c = sympy.symbols(f"a_{k} b_{k} c_{k}", real=True, nonzero=True)
    return sympy.Matrix([[a, b], [c, (_DETS[k] + b * c) / a]])


def _log_det_of_chain() -> sympy.Expr:
    product = sympy.factor(sympy.cancel((_corner(2) * _corner(1) * _corner(0)).det()))
    return sympy.Add(*(sympy.log(abs(part)) for part in product.args))


def _polar() -> sympy.Expr:
    x = sympy.Matrix([_R * sympy.cos(_PHI), _R * sympy.sin(_PHI)])
    return x.jacobian([_R, _PHI]).det()


def _covariance() -> tuple[sympy.Expr, ...]:
    z = real("z_1", "z_2")
    x = [_dot(row, z) for row in _A]
    return tuple(mean(mean(a * b, z[0], 0, 1), z[1], 0, 1) for a in x for b in x)


def _triangle() -> sympy.Expr:
    """log|det| of x = (z_1, z_i·e^(s_i(z_1)) + t_i(z_1)): below the diagonal stands anything."""
    rows = [[1, 0, 0, 0]]
    for i, s in enumerate(_SCALES):
        below = sympy.Symbol(f"slope_{i}", real=True)
        rows.append([below, *(sympy.exp(s) if i == j else 0 for j in range(3))])
    return sympy.log(sympy.Matrix(rows).det())


def _shadow(degrees: float) -> View:
    """How a pair of standard noises looks from the side: standard noise, in every direction."""
    a = math.radians(degrees)
    words = f"in the direction of {degrees:g}°"
    return View(words, lambda z: z[:, 0] * math.cos(a) + z[:, 1] * math.sin(a), stats.norm)


_NOISE_VIEWS = (
    *(_shadow(22.5 * k) for k in range(8)),
    View("the distance from 0", lambda z: (z**2).sum(-1) ** 0.5, stats.rayleigh),
)


def _box_muller(u_1, u_2, stretch=2.0, turn=2 * math.pi):
    r = (-stretch * u_1.log()).sqrt()
    return r * (turn * u_2).cos(), r * (turn * u_2).sin()


def _on_circle(u):
    return (2 * math.pi * u).cos(), (2 * math.pi * u).sin()


def _two_flat(count, generator):
    u = torch.rand(2, count, generator=generator, dtype=torch.float64)
    return u[0], u[1]


_PLANE = (
    Equation(
        id="1.6",
        title="change of variables in the plane",
        lhs=r"\log p_x(x)",
        rhs=r"\log p_z\big(g^{-1}(x)\big)-\log\left|\det J\right|",
        meaning="The same in more dimensions: J is the Jacobian of g at z = g⁻¹(x), and |det J| "
        "says how many times larger g makes a small area there.",
        quantity="the log-density",
        reference=_turned,
        evidence=Numeric(
            points(log_p_z=uniform(-5, 1), J=_J),
            {"log_p_z": -2.0, "J": [[2.0, 1.0], [1.0, -1.0]]},
            where="random Jacobians",
        ),
        symbols={**_LOG_DENSITY, **_DET},
        definition=Definition(
            "derived from p_x(x)·|det J| = p_z(z), with det J written out (SymPy)",
            lambda: sympy.log(_DENSITY / abs(sympy.cancel(_corner(0).det()))),
            {
                "log_p_z": sympy.log(_DENSITY),
                "p_z(z)": _DENSITY,
                "p_z(g^-1(x))": _DENSITY,
                "J": tuple(map(tuple, _corner(0).tolist())),
                "det_J": _DETS[0],
            },
        ),
        cite="Papamakarios et al. 2021, eq. 2",
        near_misses=(
            NearMiss(
                r"\log p_z(g^{-1}(x))+\log|\det J|",
                "the sign is that of the inverse map's Jacobian: g stretches, the density falls",
            ),
            NearMiss(
                r"\log p_z(g^{-1}(x))-|\det J|",
                "the factor's logarithm is missing: a product becomes a sum of logarithms",
            ),
            NearMiss(r"\log p_z(g^{-1}(x))", "the area factor is left out"),
            NearMiss(
                lambda log_p_z, J: log_p_z - J.diagonal(dim1=-2, dim2=-1).sum(-1).abs().log(),
                "this is the trace, the sum down the diagonal: areas grow by the determinant",
            ),
            NearMiss(
                lambda log_p_z, J: log_p_z - J.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1),
                "only the diagonal is multiplied: that is the determinant of a triangular matrix",
            ),
            NearMiss(
                r"\log p_z(g^{-1}(x))-\log\det J",
                "the bars are missing: half of all maps turn the plane over, and det J < 0 has no "
                "logarithm",
            ),
        ),
    ),
    Equation(
        id="1.7",
        title="polar coordinates stretch by r",
        lhs=r"\left|\det\frac{\partial(x_1,x_2)}{\partial(r,\varphi)}\right|",
        rhs="r",
        meaning="x₁ = r cos φ, x₂ = r sin φ: a small box dr × dφ covers an area of r·dr·dφ.",
        quantity="the factor",
        reference=lambda r, phi: r * torch.ones_like(phi),
        evidence=Numeric(
            points(r=uniform(0.1, 3), phi=uniform(0, 2 * math.pi)), {"r": 2.0, "phi": 0.5}
        ),
        definition=Definition(
            "derived from the four derivatives of r cos φ and r sin φ (SymPy)",
            _polar,
            {"r": _R, "phi": _PHI},
        ),
        near_misses=(
            NearMiss("1", "no area is kept: far out, the same angle spans more of the plane"),
            NearMiss(r"\frac1r", "this is the factor of the way back, from x to (r, φ)"),
            NearMiss(
                "r^2", "only one side of the box grows with r: the arc, not the step outwards"
            ),
            NearMiss(r"2\pi r", "this is the whole ring's length; a box of width dφ is asked for"),
            NearMiss(
                r"r\sin\phi", "this belongs to a sphere: in the plane every direction is alike"
            ),
        ),
    ),
    Equation(
        id="1.8",
        title="two normal numbers from two flat ones",
        lhs="(z_1,\\,z_2)",
        rhs=r"\sqrt{-2\log u_1}\;\big(\cos 2\pi u_2,\;\sin 2\pi u_2\big)",
        meaning="Box and Muller: a flat angle, and a radius whose square is exponential. By (1.7) "
        "that is exactly the density of two independent normal numbers.",
        reference=_box_muller,
        evidence=Pairs(cases=({},), views=_NOISE_VIEWS, noise=("u_1", "u_2"), fresh=_two_flat),
        typeset_only="it is a pair of numbers",
        cite="Box & Muller 1958",
        near_misses=(
            NearMiss(
                lambda u_1, u_2: tuple(-2 * u_1.log() * c for c in _on_circle(u_2)),
                "the root is missing: −2 log u₁ is the square of the radius",
            ),
            NearMiss(
                lambda u_1, u_2: _box_muller(u_1, u_2, stretch=1.0),
                "the 2 is missing: the squared radius of two normal numbers has the mean 2",
            ),
            NearMiss(
                lambda u_1, u_2: _box_muller(u_1, u_2, turn=math.pi),
                "π stands where 2π belongs: the points fill the upper half of the plane only. Each "
                "number alone would not show it: cos πu and cos 2πu have the same law",
            ),
            NearMiss(
                lambda u_1, u_2: _box_muller(u_1, u_2, stretch=2 / math.log(10)),
                "this is the logarithm to base 10: the radius comes out too short",
            ),
            NearMiss(
                lambda u_1, u_2: (_box_muller(u_1, u_2)[0],) * 2,
                "cosine twice: both numbers are the same one, and lie on a line",
            ),
            NearMiss(
                lambda u_1, u_2: _box_muller(u_1, u_1),
                "one flat number gives radius and angle: the points lie on a spiral",
            ),
        ),
    ),
    Equation(
        id="1.9",
        title="a linear map shapes the cloud",
        lhs=r"\mathrm{Cov}(x)_{ij}",
        rhs=r"\sum_{k=1}^{n}A_{ik}A_{jk}",
        meaning="x = Az + b with standard noise z has the covariance A Aᵀ, whatever b is.",
        quantity="the covariance",
        free_index="ij",
        reference=lambda A: A @ A.mT,
        evidence=Numeric(
            points(A=normal(2, 2)),
            {"A": [[2.0, 0.0], [1.0, 1.0]]},
            where="random maps of the plane",
        ),
        definition=Definition(
            "derived as E[x_i x_j] for x = Az, over both noises (SymPy)", _covariance, {"A": _A}
        ),
        near_misses=(
            NearMiss(
                r"\sum_{k=1}^{n}A_{ki}A_{kj}",
                "this is AᵀA: the rows of A belong to x, its columns to the noise",
            ),
            NearMiss("A_{ij}", "this is the map itself: variances need it twice"),
            NearMiss(
                r"\sum_{k=1}^{n}A_{ik}A_{kj}",
                "this is A·A, the map applied twice: the second A is transposed",
            ),
            NearMiss("A_{ij}^2", "squared entry by entry: it is a product of matrices"),
        ),
    ),
    Equation(
        id="1.10",
        title="a coupling runs backwards",
        lhs="z_2",
        rhs=r"\big(x_2-t(x_1)\big)\,e^{-s(x_1)}",
        meaning="One half passes, x₁ = z₁, and says how the other is stretched and moved: "
        "x₂ = z₂·exp(s(z₁)) + t(z₁). To undo it, s and t are never inverted.",
        quantity="z₂",
        reference=lambda x_2, s, t: (x_2 - t) * (-s).exp(),
        evidence=Numeric(
            points(x_2=uniform(-3, 3), s=uniform(-1, 1), t=uniform(-2, 2)),
            {"x_2": 3.0, "s": math.log(2), "t": 1.0},
        ),
        symbols={"s(x_1)": lambda x_2, s, t: s, "t(x_1)": lambda x_2, s, t: t},
        definition=Definition(
            "derived by solving x₂ = z₂·exp(s) + t for z₂ (SymPy)",
            lambda: sympy.solve(_Z * sympy.exp(_S_OF) + _T - _X_2, _Z)[0],
            {"x_2": _X_2, "s": _S_OF, "t": _T, "s(x_1)": _S_OF, "t(x_1)": _T},
        ),
        cite="Dinh et al. 2017, eq. 8",
        near_misses=(
            NearMiss(
                r"x_2e^{-s(x_1)}-t(x_1)",
                "undone in the wrong order: what was added last is taken off first",
            ),
            NearMiss(r"(x_2-t(x_1))\,e^{s(x_1)}", "it is stretched once more: divide by exp(s)"),
            NearMiss(r"x_2e^{s(x_1)}+t(x_1)", "this is the way there, from noise to picture"),
            NearMiss(r"(x_2+t(x_1))\,e^{-s(x_1)}", "t was added, so it is subtracted"),
            NearMiss(
                r"\frac{x_2-t(x_1)}{s(x_1)}", "s is the logarithm of the stretch: divide by exp(s)"
            ),
        ),
    ),
    Equation(
        id="1.11",
        title="a coupling's determinant is a sum",
        lhs=r"\log\left|\det J\right|",
        rhs=r"\sum_{i=1}^{n}s_i",
        meaning="The Jacobian is triangular, with 1 and exp(sᵢ) on its diagonal: what the network "
        "t does, and how s depends on the passing half, does not matter.",
        quantity="the log-determinant",
        reference=lambda s: s.sum(-1),
        evidence=Numeric(points(s=uniform(-2, 2, 3)), {"s": [1.0, 0.5, -2.0]}),
        symbols={"n": lambda s: torch.full_like(s[:, 0], s.shape[-1])},
        definition=Definition(
            "derived from the determinant of a 4 × 4 Jacobian, one passing and three moved (SymPy)",
            _triangle,
            {"s": _SCALES, "n": sympy.Integer(3)},
        ),
        cite="Dinh et al. 2017, eq. 6",
        near_misses=(
            NearMiss(r"-\sum_{i=1}^{n}s_i", "this is that of the way back, from picture to noise"),
            NearMiss(
                r"\sum_{i=1}^{n}e^{s_i}",
                "the stretches themselves are added: they multiply, and their logarithms s add up",
            ),
            NearMiss(
                r"\prod_{i=1}^{n}e^{s_i}", "this is the determinant; its logarithm is asked for"
            ),
            NearMiss(
                r"\frac1n\sum_{i=1}^{n}s_i", "this is the mean: every number that is moved counts"
            ),
            NearMiss(r"\sum_{i=1}^{n}|s_i|", "the bars stand round det J, not round each s"),
        ),
    ),
    Equation(
        id="1.12",
        title="layers add up",
        lhs=r"\log p_x(x)",
        rhs=r"\log p_z(z)-\sum_{k=1}^{K}\log\left|\det J_k\right|",
        meaning="K maps one after another: each takes its log-determinant off, at the point that "
        "reaches it.",
        quantity="the log-density",
        reference=lambda log_p_z, J: log_p_z - _log_det(J).sum(-1),
        evidence=Numeric(
            points(log_p_z=uniform(-5, 1), J=_CHAIN),
            {
                "log_p_z": -2.0,
                "J": [[[2.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 3.0]], [[0.5, 0.0], [0.0, 1.0]]],
            },
            where="random chains of three maps",
        ),
        symbols={
            **_LOG_DENSITY,
            **_DET,
            "K": lambda log_p_z, J: torch.full_like(log_p_z, J.shape[1]),
        },
        definition=Definition(
            "derived from the determinant of the product of three Jacobians (SymPy)",
            lambda: sympy.log(_DENSITY) - _log_det_of_chain(),
            {
                "log_p_z": sympy.log(_DENSITY),
                "p_z(z)": _DENSITY,
                "p_z(g^-1(x))": _DENSITY,
                "det_J": _DETS,
                "K": sympy.Integer(3),
            },
        ),
        cite="Rezende & Mohamed 2015, eq. 7",
        near_misses=(
            NearMiss(
                r"\log p_z(z)+\sum_{k=1}^{K}\log|\det J_k|",
                "the sign is that of the way back, from picture to noise",
            ),
            NearMiss(
                lambda log_p_z, J: log_p_z - _log_det(J)[:, -1],
                "only the last layer is counted: every layer stretches",
            ),
            NearMiss(
                r"\log p_z(z)-\prod_{k=1}^{K}\log|\det J_k|",
                "the logarithms are multiplied: determinants multiply, so their logarithms add up",
            ),
            NearMiss(
                r"\log p_z(z)-\log\left|\sum_{k=1}^{K}\det J_k\right|",
                "the determinants are added: one after another, they multiply",
            ),
            NearMiss(
                r"\log p_z(z)-\frac1K\sum_{k=1}^{K}\log|\det J_k|",
                "this is the mean over layers; the stretches of all of them remain",
            ),
            NearMiss(
                lambda log_p_z, J: log_p_z - _log_det(J.sum(1)),
                "the Jacobians are added: maps one after another have the product of them",
            ),
        ),
    ),
)

EQUATIONS = (*_MEANS, *_LINE, *_PLANE)

# -- exercises -------------------------------------------------------------------------------------


def _log_normal_density(x, mu, sigma):
    return torch.distributions.LogNormal(mu, sigma).log_prob(x).exp()


_POSITIVE_X = sympy.Symbol("x", positive=True)


def _by_the_rule() -> sympy.Expr:
    """p_z(log x)·|d log x / dx|, for z ~ N(mu, sigma²)."""
    z = sympy.log(_POSITIVE_X)
    return sympy.exp(log_normal(z, _MU, _SIGMA**2)) * sympy.diff(z, _POSITIVE_X)


EXERCISES = (
    Equation(
        id="1.x1",
        title="where the noise lands",
        lhs="p_x(x)",
        rhs=r"\sum_{z:\,g(z)=x}p_z(z)",
        meaning="The shares of four pictures, from tables of p_z and g: p_x[:, 0] to p_x[:, 3].",
        quantity="the right table",
        reference=_pushforward,
        evidence=Numeric(
            points(p_z=simplex(4), g=whole(4, 4)),
            _TABLE,
            where="random maps of four noises to four pictures",
        ),
        typeset_only="which z are summed over depends on the map",
        near_misses=(
            NearMiss(
                lambda p_z, g: p_z.gather(-1, g),
                "p_z is read at g(z): instead, the share of z is to be added at the place g(z)",
            ),
            NearMiss(
                lambda p_z, g: torch.nn.functional.one_hot(g, 4).double().mean(1),
                "every noise counts alike: each has its own share p_z",
            ),
            NearMiss(
                lambda p_z, g: torch.zeros_like(p_z).scatter_reduce(-1, g, p_z, "amax"),
                "where several noises land on one picture, their shares add up",
            ),
            NearMiss(lambda p_z, g: p_z, "the map is left out: p_z says how often z comes, not x"),
        ),
    ),
    Equation(
        id="1.x2",
        title="how far from the centre noise lies",
        lhs="F^{-1}(u)",
        rhs=r"\sigma\sqrt{-2\log(1-u)}",
        meaning="Draw the radius r of a normal cloud of spread σ in the plane, from its "
        "distribution function F(r) = 1 − exp(−r²/2σ²).",
        reference=lambda sigma, u: sigma * (-2 * torch.log1p(-u)).sqrt(),
        evidence=Draws(
            cases=({"sigma": 1.0}, {"sigma": 0.5}, {"sigma": 3.0}),
            law=lambda sigma: stats.rayleigh(scale=sigma),
            noise="u",
            fresh=flat,
        ),
        near_misses=(
            NearMiss(r"\sigma^2\sqrt{-2\log(1-u)}", "it is stretched by σ²: the root of σ² is σ"),
            NearMiss(r"\sigma\sqrt{-\log(1-u)}", "the 2 under σ² was lost on the way"),
            NearMiss(r"-2\sigma^2\log(1-u)", "this is r², not r: the root is missing"),
            NearMiss(
                r"\frac{\sqrt{-2\log(1-u)}}{\sigma}",
                "it is divided by σ: a wider cloud has longer radii",
            ),
            NearMiss(
                r"1-\exp\left(-\frac{u^2}{2\sigma^2}\right)", "this is F itself: turn it round"
            ),
        ),
    ),
    Equation(
        id="1.x3",
        title="the density of exp(noise)",
        lhs="p_x(x)",
        rhs=r"\frac{1}{x\sigma\sqrt{2\pi}}\exp\left(-\frac{(\log x-\mu)^2}{2\sigma^2}\right)",
        meaning="x = exp(z) with z ~ N(μ, σ²): put g⁻¹ and its slope into (1.5).",
        quantity="the density",
        reference=_log_normal_density,
        evidence=Numeric(
            points(x=uniform(0.1, 4), mu=uniform(-1, 1), sigma=uniform(0.3, 2)),
            {"x": 2.0, "mu": 0.5, "sigma": 1.0},
        ),
        definition=Definition(
            "derived by (1.5), with z = log x and its derivative (SymPy)",
            _by_the_rule,
            {"x": _POSITIVE_X, "mu": _MU, "sigma": _SIGMA},
        ),
        near_misses=(
            NearMiss(
                r"\frac{1}{\sigma\sqrt{2\pi}}\exp\left(-\frac{(\log x-\mu)^2}{2\sigma^2}\right)",
                "the factor |dz/dx| = 1/x is missing",
            ),
            NearMiss(
                r"\frac{x}{\sigma\sqrt{2\pi}}\exp\left(-\frac{(\log x-\mu)^2}{2\sigma^2}\right)",
                "the factor is upside down: dx/dz = x, and dz/dx = 1/x",
            ),
            NearMiss(
                r"\frac{1}{x\sigma\sqrt{2\pi}}\exp\left(-\frac{(x-\mu)^2}{2\sigma^2}\right)",
                "x itself stands in the density of z: put z = log x there",
            ),
            NearMiss(
                r"\frac{1}{e^x\sigma\sqrt{2\pi}}\exp\left(-\frac{(\log x-\mu)^2}{2\sigma^2}\right)",
                "1/exp(z) is 1/x: x already is exp(z)",
            ),
        ),
    ),
)
