"""Compute a SymPy expression on tensors, by walking it. (``lambdify`` would write and run code.)"""

import functools
import itertools
import math
import operator
from collections.abc import Callable, Collection, Mapping

import sympy
import torch
from torch import Tensor

from genart_lessons.proof.indices import STEP, at_steps, holds, is_bracket

_ELEMENTWISE: dict[object, Callable[[Tensor], Tensor]] = {
    sympy.log: torch.log, sympy.exp: torch.exp, sympy.Abs: torch.abs, sympy.sign: torch.sign,
    sympy.sin: torch.sin, sympy.cos: torch.cos, sympy.tan: torch.tan, sympy.atan: torch.atan,
    sympy.acos: torch.acos, sympy.asin: torch.asin, sympy.sinh: torch.sinh,
    sympy.cosh: torch.cosh, sympy.tanh: torch.tanh, sympy.erf: torch.erf, sympy.erfc: torch.erfc,
}  # fmt: skip


def evaluate(expr: sympy.Expr, values: dict[str, Tensor], free_index: str = "") -> Tensor:
    """The value of ``expr`` at each of the P points: (P,), or (P, d) where an index stays free.

    ``values``: name → (P,) for a scalar, (P, d) for a vector or a table, (P, n, d) for a table with
    two indices or a matrix; sums run over the whole of an axis. Where ``free_index`` is several
    letters, as in "tj", so are the axes of the answer: (P, n, d).

    Raises:
        ValueError: a function or a symbol in ``expr`` is not one that can be computed here.
    """
    points = max(v.shape[0] for v in values.values())
    if free_index:
        longest = max(v.shape[1] for v in values.values() if v.ndim > 1)
        shape = [_length(expr, i, values) or longest for i in free_index]
        places = itertools.product(*map(range, shape))
        entries = [
            _walk(expr, values, dict(zip(free_index, at, strict=True)), False) for at in places
        ]
        return torch.stack([e.expand(points) for e in entries], dim=1).reshape(points, *shape)
    result = _walk(expr, values, {}, False)
    return result.expand(points) if result.ndim == 0 else result


def as_number(expr: sympy.Expr) -> float:
    """An expression without symbols as a float; inf or NaN where it has none. Never slow."""
    return float(_walk(expr, {}, {}, False))


def _walk(e: sympy.Basic, values: dict, index: dict[str, int], as_vector: bool) -> Tensor:
    def again(part):
        return _walk(part, values, index, as_vector)

    if not e.args and e.is_number:
        return torch.tensor(_as_float(e), dtype=torch.float64)
    if isinstance(e, sympy.Symbol):
        value = _lookup(e.name, values)
        if value.ndim > 2:
            name, i = e.name, "{ij}"
            raise ValueError(f"{name} is a table of numbers: write {name}_{i} under two sums")
        if value.ndim == 2 and not as_vector:
            raise ValueError(f"{e.name} is a list of numbers: write {e.name}_i under a sum, or ‖·‖")
        return value.unsqueeze(-1) if as_vector and value.ndim == 1 else value
    if isinstance(e, sympy.Indexed):
        table = _lookup(e.base.name, values)
        places = [index[n] for n in map(_letter, e.indices) if n in index]
        if len(places) != len(e.indices) or len(places) != table.ndim - 1:
            raise ValueError(f"{e} has an index that no sum runs over")
        entry = table[(slice(None), *places)]
        return entry.unsqueeze(-1) if as_vector else entry
    if isinstance(e, (sympy.Sum, sympy.Product)):
        total = _over_axis(e, values, index)
        return total.unsqueeze(-1) if as_vector else total
    if isinstance(e, sympy.Add):
        return functools.reduce(operator.add, map(again, e.args))
    if isinstance(e, sympy.Mul):
        return functools.reduce(operator.mul, map(again, e.args))
    if isinstance(e, sympy.Pow):
        return again(e.base) ** again(e.exp)
    if e.func in _ELEMENTWISE:
        return _ELEMENTWISE[e.func](again(e.args[0]))
    if e.func.__name__ == "norm":
        return _walk(e.args[0], values, index, True).square().sum(-1).sqrt()
    if is_bracket(e) and e.has(STEP) and STEP.name not in index:
        return at_steps(e, _lookup("t", values))
    if is_bracket(e):
        return torch.tensor(float(holds(e, index)), dtype=torch.float64)
    if e.func in (sympy.Max, sympy.Min):
        pick = torch.maximum if e.func == sympy.Max else torch.minimum
        return functools.reduce(pick, torch.broadcast_tensors(*map(again, e.args)))
    raise ValueError(f"{e.func.__name__} cannot be computed here")


def _as_float(e: sympy.Expr) -> float:
    try:
        return float(e)
    except OverflowError:
        return math.inf
    except TypeError:  # 1/0, √−1 and their kin
        return math.nan


def _lookup(name: str, values: dict[str, Tensor]) -> Tensor:
    if name not in values:
        raise ValueError(f"unknown symbol {name}; this equation knows: {', '.join(values)}")
    return values[name]


def _over_axis(e: sympy.Basic, values: dict, index: dict[str, int]) -> Tensor:
    body, letter = outermost(e)
    length = _length(body, letter, values)
    if not length:
        raise ValueError(f"nothing under the sum depends on its index {letter}")
    lengths = {n: float(v[0]) for n, v in values.items() if v.ndim == 1 and (v == v[0]).all()}
    if not runs_over_whole_axis(e, length, values.keys() | index.keys(), lengths):
        raise ValueError("sums here run over the whole axis, from 1 to its length")
    parts = [_walk(body, values, {**index, letter: k}, False) for k in range(length)]
    stacked = torch.stack(torch.broadcast_tensors(*parts))
    return stacked.sum(0) if isinstance(e, sympy.Sum) else stacked.prod(0)


def _length(body: sympy.Expr, letter: str, values: dict) -> int:
    """How many places the letter takes in ``body``; 0 where nothing has that index."""
    shapes = [(_lookup(name, values).shape[1:], axis) for name, axis in axes_of(letter, body)]
    found = {shape[axis] for shape, axis in shapes if axis < len(shape)}
    if len(found) > 1:
        raise ValueError(f"{letter} runs over things of different lengths")
    return found.pop() if found else 0


def outermost(e: sympy.Basic) -> tuple[sympy.Expr, str]:
    """What is summed, and over which index; SymPy keeps sums of sums as one, innermost first."""
    body, *inner, limits = e.args
    return (e.func(body, *inner) if inner else body), str(limits.args[0])


def axes_of(letter: str, body: sympy.Expr) -> set[tuple[str, int]]:
    """Which tables the letter runs over in ``body``, and along which of their indices."""
    return {
        (entry.base.name, axis)
        for entry in body.atoms(sympy.Indexed)
        for axis, i in enumerate(entry.indices)
        if _letter(i) == letter
    }


def _letter(index: sympy.Expr) -> str:
    """What an index is called; "" for one that is reckoned, such as i + 1."""
    return getattr(index, "name", "")


def runs_over_whole_axis(
    e: sympy.Basic, length: int, known: Collection[str], lengths: Mapping[str, object]
) -> bool:
    """From 1 to n, or from 0 to n − 1, where n is ``length`` or a letter.

    A letter that the formula does not explain means the length; a ``known`` one must be it.
    """
    limits = e.args[-1].args
    if len(limits) != 3 or limits[1] not in (0, 1):
        return False
    last = limits[2] - limits[1] + 1
    if last.is_Symbol and last.name not in known:
        return True
    return (lengths.get(last.name) if last.is_Symbol else last) == length
