"""Proof by algebra: is the difference of a formula and what it should be identically zero?"""

import functools
import itertools
from typing import Any

import sympy
import torch

from genart_lessons.proof.candidate import Candidate, kind_of
from genart_lessons.proof.equation import Definition, Equation
from genart_lessons.proof.evaluate import as_number, axes_of, outermost, runs_over_whole_axis
from genart_lessons.proof.evidence import formula_of
from genart_lessons.proof.guard import NoAnswer, run_limited
from genart_lessons.proof.indices import holds, is_bracket

SECONDS = 30.0  # only a fuse: what could take long is left out by its size, on every machine
LARGEST, HIGHEST = 400, 8  # operations in a formula; power of a sum in it
AXIS = 3  # entries of a vector, where no definition says how many
Letters = dict[str, sympy.Expr | tuple[Any, ...]]


def proof_of(equation: Equation, given: Any) -> str:
    """How a formula that agrees in numbers was proved, in words; "" where SymPy cannot say.

    It is asked only after the numbers have agreed, so "" means "not proved" and never "wrong".
    """
    candidate = formula_of(equation, given)
    if candidate is None or candidate.expr is None:
        return ""
    if equation.typeset_only and not equation.definition:
        return ""
    try:
        definition = equation.definition or _typeset(equation, candidate)
        work = functools.partial(_follows, candidate.expr, definition, equation.free_index)
        return definition.words if run_limited(work, SECONDS) else ""
    except (NoAnswer, RecursionError, ArithmeticError, LookupError, ValueError, TypeError):
        return ""
    except (AttributeError, NotImplementedError, sympy.PolynomialError):
        return ""


def _typeset(equation: Equation, candidate: Candidate) -> Definition:
    """Without a definition, the candidate is held against the equation as it is printed."""
    letters: Letters = {}
    values = candidate.symbols
    axes = {float(v.shape[1]) for v in values.values() if v.ndim == 2}
    for name, value in values.items():
        kind = kind_of(name, value.ndim)
        positive = True if name in equation.positive or kind == "table" else None
        letters[name] = _fresh(name, 0 if kind == "scalar" else value.ndim - 1, positive)
        if kind == "scalar" and bool((value == value[0]).all()) and float(value[0]) in axes:
            letters[name] = sympy.Integer(AXIS)  # it is the length of the axis
        same = [other for other in letters if torch.equal(values[other], value)]
        letters[name] = letters[same[0]]  # two names of one thing
    printed = Candidate(equation.rhs, candidate.symbols, equation.free_index).expr
    words = "the same formula by algebra (SymPy)"
    return Definition(words, lambda: _at_each(printed, letters, equation.free_index), letters)


def _fresh(name: str, axes: int, positive: bool | None) -> Any:
    """A letter for ``name``, or AXIS of them along each of its axes."""
    if axes < 2:
        made = [sympy.Symbol(f"{name}_{k}", real=True, positive=positive) for k in range(AXIS)]
        return tuple(made) if axes else made[0]
    return tuple(_fresh(f"{name}_{k}", axes - 1, positive) for k in range(AXIS))


def _follows(formula: sympy.Expr, definition: Definition, free_index: str) -> bool:
    if not _is_tame(formula):
        return False
    derived = definition.derive()
    derived = derived if isinstance(derived, tuple) else (derived,)
    written = _at_each(formula, definition.letters, free_index)
    pairs = zip(written, derived, strict=True)
    return all(_vanishes(mine - right, definition.given) for mine, right in pairs)


def _at_each(formula: sympy.Expr, letters: Letters, free_index: str) -> tuple[sympy.Expr, ...]:
    """The formula written out: one expression, or one for each value of the free indices."""
    if not free_index:
        return (spell_out(formula, letters, {}),)
    longest = max(len(m) for m in letters.values() if isinstance(m, tuple))
    shape = [max(_lengths(formula, i, letters), default=longest) for i in free_index]
    places = itertools.product(*map(range, shape))
    return tuple(
        spell_out(formula, letters, dict(zip(free_index, at, strict=True))) for at in places
    )


def _is_tame(formula: sympy.Expr) -> bool:
    """Small enough that algebra ends soon; a number such as 9**9**9 would never be written out."""
    if formula.count_ops() > LARGEST:
        return False
    for power in formula.atoms(sympy.Pow):
        height = abs(as_number(power.exp)) if power.exp.is_number else 1
        if not height <= (HIGHEST if power.base.has(sympy.Add) else 100):
            return False
    return True


def spell_out(e: sympy.Basic, letters: Letters, index: dict[str, int]) -> sympy.Expr:
    """``e`` with sums and norms written out over the entries, and every name by its meaning."""
    if isinstance(e, sympy.Symbol):
        meaning = letters[e.name]
        return meaning[index["‖"]] if isinstance(meaning, tuple) else meaning
    if isinstance(e, sympy.Indexed):
        rows = letters[str(e.base)]
        return functools.reduce(lambda part, i: part[index[str(i)]], e.indices, rows)
    if is_bracket(e):
        return sympy.Integer(holds(e, index))
    if isinstance(e, (sympy.Sum, sympy.Product)):
        body, letter = outermost(e)
        parts = _entries(body, letters, index, letter)
        if not runs_over_whole_axis(e, len(parts), letters.keys() | index.keys(), letters):
            raise ValueError("a sum over part of the axis")
        return (sympy.Add if isinstance(e, sympy.Sum) else sympy.Mul)(*parts)
    if e.func.__name__ == "norm":
        return sympy.sqrt(sum(part**2 for part in _entries(e.args[0], letters, index, "‖")))
    return e.func(*(spell_out(a, letters, index) for a in e.args)) if e.args else e


def _entries(body: sympy.Basic, letters: Letters, index: dict[str, int], letter: str) -> list:
    if letter == "‖":
        names = {str(s) for s in body.free_symbols} & letters.keys()
        lengths = {len(letters[n]) for n in names if isinstance(letters[n], tuple)}
    else:
        lengths = _lengths(body, letter, letters)
    (length,) = lengths or {1}
    return [spell_out(body, letters, {**index, letter: k}) for k in range(length)]


def _lengths(body: sympy.Basic, letter: str, letters: Letters) -> set[int]:
    """How many places the letter takes in ``body``."""
    return {_length(letters[name], axis) for name, axis in axes_of(letter, body)}


def _length(rows: Any, axis: int) -> int:
    return len(rows[0]) if axis else len(rows)


def _vanishes(e: sympy.Expr, given: dict[sympy.Expr, sympy.Expr]) -> bool:
    """Is it 0 as a rational function of its symbols, roots, logarithms, exponentials and the like?

    A fixed recipe and not ``simplify``, which tries what it has time for.
    """
    e = _roots_apart(e.subs(given)) if any(map(_is_root, e.atoms(sympy.Pow))) else e
    e = e.replace(sympy.Abs, _bars_apart)
    e = _by_half_angles(e) if e.has(sympy.sin, sympy.cos) else e
    e = sympy.expand_power_exp(e.replace(sympy.exp, lambda a: sympy.exp(sympy.expand(a))))
    steps: dict[sympy.Expr, sympy.Rational] = {}  # a → 1/2, where exp(a) and exp(−3a/2) occur
    for times, a in [_multiple(node.args[0]) for node in e.atoms(sympy.exp)]:
        steps[a] = sympy.gcd(steps.get(a, 0), times)
    powers = {a: sympy.Dummy(positive=True) for a in steps}  # a → a letter for exp(a/2)
    e = e.replace(sympy.exp, functools.partial(_power, steps, powers))
    e = sympy.expand_log(e.replace(sympy.log, lambda a: sympy.log(sympy.factor(a))), factor=True)
    e = e.xreplace({sympy.log(letter): a * steps[a] for a, letter in powers.items()})
    others = {node: sympy.Dummy() for node in e.atoms(sympy.Function)}
    e = sympy.together(e.xreplace(others).subs(given))
    return sympy.cancel(e) == 0 or _vanishes_by_squaring_roots(e)


def _is_root(e: sympy.Basic) -> bool:
    """√x, 1/√x, √x³, …, where x is no number."""
    return isinstance(e, sympy.Pow) and not e.base.is_number and getattr(e.exp, "q", 1) == 2


def _roots_apart(e: sympy.Expr) -> sympy.Expr:
    """√(a²b/c) as a√b/√c, for letters that are known to be positive: so like roots look alike."""
    return e.replace(_is_root, lambda n: sympy.expand_power_base(sympy.factor(n.base) ** n.exp))


def _bars_apart(inside: sympy.Expr) -> sympy.Expr:
    """|ab/c²| as |a||b|/|c|²."""
    parts = (part.as_base_exp() for part in sympy.Mul.make_args(sympy.factor(inside)))
    return sympy.Mul(*(abs(b) ** n if n.is_Integer else abs(b**n) for b, n in parts))


def _vanishes_by_squaring_roots(e: sympy.Expr) -> bool:
    """Is the numerator 0 once the square of each root √x is x?"""
    bases = {node.base for node in e.atoms(sympy.Pow) if _is_root(node)}
    roots = {base: sympy.Dummy() for base in bases}
    e = e.replace(_is_root, lambda n: roots[n.base] ** (2 * n.exp) if n.base in roots else n)
    rest = sympy.numer(sympy.together(e))
    for base, root in roots.items():
        rest = sympy.rem(sympy.expand(rest), root**2 - base, root)
    return bool(bases) and sympy.expand(rest) == 0


def _by_half_angles(e: sympy.Expr) -> sympy.Expr:
    """Sines and cosines of sums taken apart, and each as a rational function of tan(angle/2)."""
    kinds = (sympy.sin, sympy.cos)
    e = e.replace(lambda n: n.func in kinds, lambda n: n.func(sympy.expand(n.args[0])))
    e = sympy.expand_trig(e)
    half = {a: sympy.Dummy() for a in {node.args[0] for node in e.atoms(*kinds)}}
    e = e.replace(sympy.sin, lambda a: 2 * half[a] / (1 + half[a] ** 2))
    return e.replace(sympy.cos, lambda a: (1 - half[a] ** 2) / (1 + half[a] ** 2))


def _multiple(e: sympy.Expr) -> tuple[sympy.Rational, sympy.Expr]:
    """−3a/2 as (−3/2, a)."""
    return e.as_coeff_Mul(rational=True)


def _power(steps: dict, powers: dict, exponent: sympy.Expr) -> sympy.Expr:
    times, a = _multiple(exponent)
    return powers[a] ** (times / steps[a])
