"""Means under normal distributions and sums over small worlds, derived by SymPy and not copied."""

import functools
from collections.abc import Sequence

import sympy
from sympy import Expr, Symbol, oo

NOISE = Symbol("noise", real=True)


def real(*names: str) -> tuple[Symbol, ...]:
    return tuple(Symbol(name, real=True) for name in names)


def positive(*names: str) -> tuple[Symbol, ...]:
    return tuple(Symbol(name, positive=True) for name in names)


def entries(name: str, count: int, above_zero: bool = False) -> tuple[Symbol, ...]:
    """``count`` symbols: mu_1, mu_2, …"""
    make = positive if above_zero else real
    return make(*(f"{name}_{k + 1}" for k in range(count)))


def log_normal(x: Expr, mu: Expr, variance: Expr) -> Expr:
    """The logarithm of (0.1), the density that everything here starts from."""
    return -sympy.log(2 * sympy.pi * variance) / 2 - (x - mu) ** 2 / (2 * variance)


@functools.cache
def moment(k: int) -> Expr:
    """The mean of noise**k under standard noise, by SymPy's integral."""
    density = sympy.exp(-(NOISE**2) / 2) / sympy.sqrt(2 * sympy.pi)
    return sympy.integrate(NOISE**k * density, (NOISE, -oo, oo))


def mean(f: Expr, z: Symbol, mu: Expr, sigma: Expr) -> Expr:
    """E[f(z)] for z ~ N(mu, sigma²) and f a polynomial in z: term by term, z = mu + sigma·noise."""
    terms = sympy.Poly(sympy.expand(f.subs(z, mu + sigma * NOISE)), NOISE).terms()
    return sympy.Add(*(coefficient * moment(k) for (k,), coefficient in terms))


@functools.cache
def _bell() -> tuple[Expr, Symbol, Symbol]:
    """∫ exp(−a z² + b z) dz over the whole line, for a > 0."""
    a, (b, z) = Symbol("a", positive=True), real("b", "z")
    return sympy.simplify(sympy.integrate(sympy.exp(-a * z**2 + b * z), (z, -oo, oo))), a, b


def log_integral(log_f: Expr, z: Symbol) -> Expr:
    """log ∫ exp(log_f) dz, where log_f is a parabola in z that opens downwards."""
    c2, c1, c0 = sympy.Poly(sympy.expand(log_f), z).all_coeffs()
    area, a, b = _bell()
    log_area = sympy.expand_log(sympy.log(area))
    return c0 + log_area.subs({a: -c2, b: c1}, simultaneous=True)


def softmax(ell: Sequence[Expr]) -> tuple[Expr, ...]:
    total = sympy.Add(*map(sympy.exp, ell))
    return tuple(sympy.exp(entry) / total for entry in ell)


def best_shares(weights: Sequence[Expr]) -> tuple[Expr, ...]:
    """The q with Σ q = 1 that makes Σ w log q largest, by Lagrange: ∂/∂q (w log q − λq) = 0."""
    q, scale = positive("q", "lambda")
    shares = [sympy.solve(sympy.diff(w * sympy.log(q) - scale * q, q), q)[0] for w in weights]
    (fitting,) = sympy.solve(sympy.Add(*shares) - 1, scale)
    return tuple(share.subs(scale, fitting) for share in shares)
