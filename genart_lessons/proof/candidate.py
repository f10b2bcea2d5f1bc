"""What a learner hands in, in any of its forms, as one thing that can be asked for values."""

import contextlib
import dis
import inspect
import itertools
import numbers
import re
from collections.abc import Callable
from typing import Any

import sympy
import torch
from torch import Tensor

from genart_lessons.proof.evaluate import evaluate
from genart_lessons.proof.guard import Stop
from genart_lessons.proof.latex import parse
from genart_lessons.proof.spelling import LatexError


class CandidateError(Exception):
    """The candidate gave nothing that can be compared; the message says why, to its author."""


class NotTried(Exception):
    """The candidate is still a stub, as one sees once it has been called."""


def is_stub(candidate: Any) -> bool:
    """True for an exercise as it comes: ``...``, ``None``, or a function that is only ``...``.

    The function is looked at and not called: it could do anything, or never return.
    """
    if candidate is None or candidate is Ellipsis:
        return True
    if isinstance(candidate, str):
        return candidate.strip() in {"", "...", "…", r"\dots", r"\ldots"}
    if not inspect.isfunction(candidate):
        return False
    code = candidate.__code__
    idle = {"RESUME", "NOP", "POP_TOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}
    return {step.opname for step in dis.get_instructions(code)} <= idle and all(
        constant is None or constant is Ellipsis or constant == candidate.__doc__
        for constant in code.co_consts
    )


class Candidate:
    """A function of tensors, a SymPy expression, a formula in LaTeX, or a number."""

    def __init__(self, given: Any, symbols: dict[str, Tensor], free_index: str = ""):
        """``symbols``: what a formula may mention, at the P points: (P,), (P, d) or (P, n, d)."""
        self.given, self.symbols, self.free_index = given, symbols, free_index
        self.expr: sympy.Expr | None = None
        names = {name: kind_of(name, v.ndim) for name, v in symbols.items()}
        if isinstance(given, str):
            self.expr = parse(given, names, free_index)
        elif isinstance(given, sympy.Basic):
            self.expr = _known_names(given, names)
        elif not callable(given) and (isinstance(given, bool) or not _is_number(given)):
            raise CandidateError(
                f"a {type(given).__name__} cannot be checked: give a Python function, a SymPy "
                'expression, LaTeX in r"…", or a number'
            )

    def values(self, arguments: dict[str, Tensor]) -> Tensor:
        """The candidate's answer at every point, (P,) or as the function shapes it.

        Raises:
            CandidateError: it raised, returned nothing, or returned something that is no tensor.
            NotTried: it returned ``...`` or raised a bare ``NotImplementedError``.
        """
        if self.expr is not None:
            try:
                return evaluate(self.expr, self.symbols, self.free_index)
            except (ValueError, TypeError, RuntimeError, AttributeError) as error:
                raise CandidateError(said(error)) from error
        if not callable(self.given):
            return _everywhere(_as_float(self.given), arguments)
        answer = self._call(arguments)
        if isinstance(answer, (int, float)) and not isinstance(answer, bool):
            return _everywhere(answer, arguments)  # a constant function
        return _as_tensor(answer)

    def _call(self, arguments: dict[str, Tensor]) -> Any:
        positional, named = _bind(self.given, arguments)
        try:
            return self.given(*positional, **named)
        except Stop:
            raise
        except RecursionError:
            raise CandidateError("it calls itself without end") from None
        except SystemExit:
            raise CandidateError("it called exit") from None
        except BaseException as error:
            message = said(error)
            if type(error) is NotImplementedError and not message:
                raise NotTried from None
            what = type(error).__name__ + (f": {message}" if message else "")
            raise CandidateError(f"it raised {what}") from error


def kind_of(name: str, ndim: int) -> str:
    """What a formula takes a value of shape (P, …) for; an ``"array"`` is for functions only."""
    if ndim == 1:
        return "scalar"
    if "(" in name:
        return "table" if ndim == 2 else "grid"
    return {2: "vector", 3: "matrix"}.get(ndim, "array")


def said(error: BaseException) -> str:
    """An error's message on one short line, without addresses in memory."""
    try:
        text = str(error).strip().partition("\n")[0]
    except Exception:
        return ""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _is_number(given: Any) -> bool:
    return isinstance(given, numbers.Real) or isinstance(given, Tensor) and given.ndim == 0


def _as_float(given: Any) -> float:
    try:
        return float(given)
    except OverflowError:
        return float("inf")


def _known_names(given: sympy.Basic, names: dict[str, str]) -> sympy.Expr:
    r"""A SymPy expression in the equation's own names: Symbol(r"\mu") and Symbol("μ") are mu."""
    if isinstance(given, sympy.Eq):
        given = given.rhs
    if not isinstance(given, sympy.Expr):
        raise CandidateError(f"a SymPy {type(given).__name__} is no formula for one value")
    table = {}
    for symbol in given.free_symbols:
        if str(symbol) not in names:
            with contextlib.suppress(LatexError):  # an index, or unknown: evaluate will say so
                table[symbol] = parse(str(symbol), names)
    return given.xreplace(table)


def _bind(function: Callable, arguments: dict[str, Tensor]) -> tuple[list, dict]:
    """By name where the names agree, the rest by position. Copies: it may write in place."""
    left = {name: v.clone() for name, v in arguments.items()}
    try:
        called = function.forward if isinstance(function, torch.nn.Module) else function
        parameters = inspect.signature(called).parameters
    except (TypeError, ValueError):
        return list(left.values()), {}
    kinds = {p.kind for p in parameters.values()}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return [], left
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return list(left.values()), {}
    chosen = {name: left.pop(name) for name in parameters if name in left}
    needed = [n for n, p in parameters.items() if n not in chosen and p.default is p.empty]
    if len(needed) not in {0, len(left)}:
        raise CandidateError(
            f"it takes ({', '.join(parameters)}), but this equation is a function of "
            f"({', '.join(arguments)})"
        )
    chosen.update(zip(needed, left.values(), strict=False))
    # In order as far as it goes, for torch.vmap hands on no names.
    placed = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    first = itertools.takewhile(
        lambda n: n in chosen and parameters[n].kind in placed, list(parameters)
    )
    return [chosen.pop(n) for n in list(first)], chosen


def _everywhere(value: float, arguments: dict[str, Tensor]) -> Tensor:
    """One number as the answer at every point, (P,)."""
    return torch.full((len(next(iter(arguments.values()))),), value, dtype=torch.float64)


def _as_tensor(answer: Any) -> Tensor:
    if answer is None:
        raise CandidateError("it returned None: is a return missing?")
    if answer is Ellipsis:
        raise NotTried
    if inspect.iscoroutine(answer):
        answer.close()  # or Python warns that nobody awaited it
    try:
        if isinstance(answer, (tuple, list)) and any(isinstance(x, Tensor) for x in answer):
            answer = torch.stack(torch.broadcast_tensors(*answer), dim=-1)
        has_dtype = hasattr(answer, "dtype")
        tensor = torch.as_tensor(answer, dtype=None if has_dtype else torch.float64)
        tensor = tensor.as_subclass(Tensor).cpu()
        if not tensor.is_complex():
            return tensor if tensor.dtype == torch.float32 else tensor.to(torch.float64)
    except Exception as error:
        kind = "tensor that cannot be read" if isinstance(answer, Tensor) else type(answer).__name__
        raise CandidateError(f"it returned a {kind}; numbers are asked for") from error
    raise CandidateError("it returned complex numbers")
