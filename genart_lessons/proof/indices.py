"""Brackets such as [j ≤ t] between the indices of a formula: 1 where they hold, 0 elsewhere.

Where t is no index but a step that is given, a whole number at every point, [t > 1] asks for it.
"""

from collections.abc import Callable, Mapping

import sympy
import torch
from torch import Tensor

STEP = sympy.Symbol("t")

same = sympy.Function("same", nonnegative=True)  # [i = j]
at_most = sympy.Function("at_most", nonnegative=True)  # [j ≤ t]
BRACKETS: dict[str, Callable[[sympy.Expr, sympy.Expr], sympy.Expr]] = {
    "=": same, r"\le": at_most, r"\ge": lambda a, b: at_most(b, a),
    "<": lambda a, b: at_most(a + 1, b), ">": lambda a, b: at_most(b + 1, a),
    r"\ne": lambda a, b: 1 - same(a, b),
}  # fmt: skip


def is_bracket(e: sympy.Basic) -> bool:
    return e.func in (same, at_most)


def at_steps(e: sympy.Basic, t: Tensor) -> Tensor:
    """1 or 0 at each of the P points, for a bracket that compares the step t with a number.

    Raises:
        ValueError: it compares t with something else.
    """
    sides = []
    for part in e.args:
        steps = part - STEP if part.has(STEP) else part
        if not steps.is_Integer:
            raise ValueError(f"{part} is neither t nor a whole number")
        sides.append(t + int(steps) if part.has(STEP) else torch.full_like(t, int(steps)))
    a, b = sides
    return (a == b if e.func == same else a <= b).double()


def holds(e: sympy.Basic, index: Mapping[str, int]) -> bool:
    """Whether the bracket ``e`` holds where its letters stand at the places of ``index``.

    Raises:
        ValueError: it compares something else than index letters, their neighbours and numbers.
    """
    a, b = (_place(part, index) for part in e.args)
    return a == b if e.func == same else a <= b


def _place(part: sympy.Expr, index: Mapping[str, int]) -> int:
    steps, letter = part.as_coeff_Add()
    if letter == 0 and steps.is_Integer:
        return int(steps) - 1  # the first place is 1 in a formula, and 0 in a tensor
    if str(letter) not in index or not steps.is_Integer:
        raise ValueError(f"{part} is not an index here")
    return index[str(letter)] + int(steps)
