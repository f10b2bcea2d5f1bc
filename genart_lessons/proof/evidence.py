"""The kinds of evidence. Each draws its points, asks the candidate, and compares."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import sympy
import torch
from torch import Tensor

from genart_lessons.proof.candidate import Candidate, CandidateError, NotTried
from genart_lessons.proof.draws import Draw
from genart_lessons.proof.equation import Equation
from genart_lessons.proof.guard import own_noise
from genart_lessons.proof.latex import after_last_at_most
from genart_lessons.proof.spelling import DIVERGENCES, LatexError, tokens
from genart_lessons.proof.verdict import Verdict
from genart_lessons.proof.words import NEARLY, apart, at_point, describe_difference, listed

SEED = 20_14  # any fixed number: verdicts must not change from one run to the next
REPEATED = "true, but it says nothing: it is the left-hand side again."
SINGLE = 1e-5  # what a candidate that answers in float32 may be off by


@dataclass(frozen=True)
class Trial:
    """One candidate at one set of points, with everything that a comparison needs."""

    equation: Equation
    candidate: Candidate
    arguments: dict[str, Tensor]
    got: Tensor
    single: bool = False

    @property
    def shown(self) -> dict[str, Tensor]:
        """What a counterexample names: the function's arguments, or the formulas' symbols."""
        if self.candidate.expr is None:
            return self.arguments
        formulas = [self.candidate.expr]
        if not self.equation.typeset_only:  # or the right value could not be recomputed
            printed = Candidate(self.equation.rhs, self.candidate.symbols, self.equation.free_index)
            formulas.append(printed.expr or sympy.Integer(0))
        names = {str(symbol) for formula in formulas for symbol in formula.free_symbols}
        return {n: v for n, v in self.candidate.symbols.items() if n in names} or self.arguments


@dataclass(frozen=True)
class Numeric:
    """Equal to the reference at random float64 points.

    ``example`` gives the first point, chosen to be easy to follow by hand; where the candidate is
    wrong there, that is the counterexample. ``where`` words what the points are.
    """

    draw: Draw
    example: dict[str, Any] = field(default_factory=dict)
    count: int = 200
    tolerance: float = 1e-9
    where: str = "random points"
    kind: str = "numeric"

    def examine(self, equation: Equation, given: Any) -> Verdict:
        arguments = drawn(self.draw, self.count, self.example)
        target = self.target(equation, arguments)
        trial = try_out(equation, given, arguments)
        complaint = shape_complaint(trial.got, target)
        if complaint:
            return misshapen(trial, complaint, self.kind)
        tolerance = max(self.tolerance, SINGLE if trial.single else 0)
        error = relative_error(trial.got, target)
        if bool((error > tolerance).any()):
            return wrong(trial, target, error, tolerance, self.kind)
        precision = f"float{32 if trial.single else 64}, within {tolerance:.0e}"
        sentence = f"equal at {self.count} {self.where} ({precision})."
        return accept(trial, sentence, self.kind, float(error.max()))

    def target(self, equation: Equation, arguments: dict[str, Tensor]) -> Tensor:
        return equation.reference(**arguments)


@dataclass(frozen=True)
class Gradient(Numeric):
    """A stated derivative against the one that autograd computes from ``of``, by ``wrt``."""

    of: Callable[..., Tensor] | None = None
    wrt: str = ""
    kind: str = "gradient"
    where: str = "random points to the derivative by autograd"

    def target(self, equation: Equation, arguments: dict[str, Tensor]) -> Tensor:
        assert self.of is not None
        at = arguments[self.wrt].clone().requires_grad_()
        value = self.of(**{**arguments, self.wrt: at})
        return torch.autograd.grad(value.sum(), at)[0]


@dataclass(frozen=True)
class Jacobian(Gradient):
    """All derivatives at once: (P, n, m), where entry i, j is that of output i by input j.

    ``of`` gives (P, n), and the argument ``wrt`` is (P, m).
    """

    where: str = "random points to the Jacobian by autograd"

    def target(self, equation: Equation, arguments: dict[str, Tensor]) -> Tensor:
        assert self.of is not None
        at = arguments[self.wrt].clone().requires_grad_()
        outputs = self.of(**{**arguments, self.wrt: at}).unbind(-1)
        rows = [torch.autograd.grad(each.sum(), at, retain_graph=True)[0] for each in outputs]
        return torch.stack(rows, dim=1)


@dataclass(frozen=True)
class Total(Numeric):
    """A sum that comes to the same everywhere, such as 1: a constant is equal to it and no answer.

    So the candidate is asked a second time, at arguments that ``spoil`` makes of the points: there
    the same sum comes to something else, which is what the reference gives.
    """

    spoil: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None
    spoiled_words: str = ""
    kind: str = "enumeration"

    def examine(self, equation: Equation, given: Any) -> Verdict:
        assert self.spoil is not None
        verdict = super().examine(equation, given)
        if not verdict.ok:
            return verdict
        arguments = drawn(self.draw, self.count, self.example)
        sound = try_out(equation, given, arguments)
        spoiled = self.spoil(arguments)
        trial, target = try_out(equation, given, spoiled), self.target(equation, spoiled)
        error = relative_error(trial.got, target)
        tolerance = max(self.tolerance, SINGLE if trial.single else 0)
        if bool((error > tolerance).any()):
            how = f"the right number, but it is not added up: {self.spoiled_words} it must change"
            return wrong(trial, target, error, tolerance, self.kind, how, "the sum", also=sound)
        return replace(verdict, sentence=verdict.sentence[:-1] + f"; {self.spoiled_words} too.")


@dataclass(frozen=True)
class Bound:
    """Never above ``of``, and equal to it at the points of ``tight``: a bound of -∞ is no use.

    And it is the very bound that the equation states: ``of`` itself, or min(``of``, anything), is
    below ``of`` and touches it too. With ``above`` it is an upper bound: never below ``of``.
    """

    draw: Draw
    of: Callable[..., Tensor]
    tight: Callable[[dict[str, Tensor]], dict[str, Tensor]]
    of_words: str
    tight_words: str
    example: dict[str, Any] = field(default_factory=dict)
    count: int = 200
    tolerance: float = 1e-9
    where: str = "random worlds"
    kind: str = "bound"
    above: bool = False

    def examine(self, equation: Equation, given: Any) -> Verdict:
        arguments = drawn(self.draw, self.count, self.example)
        touching = self.tight(arguments)
        trial, at_tight = (try_out(equation, given, a) for a in (arguments, touching))
        ceiling, top = self.of(**arguments), self.of(**touching)
        complaint = shape_complaint(trial.got, ceiling) or shape_complaint(at_tight.got, top)
        if complaint:
            return misshapen(trial, complaint, self.kind)
        tolerance = max(self.tolerance, SINGLE if trial.single else 0)
        furthest, beyond = (torch.minimum, "below") if self.above else (torch.maximum, "above")
        over = relative_error(furthest(trial.got, ceiling), ceiling)
        if bool((over > tolerance).any()):
            how = f"it lies {beyond} {self.of_words}"
            return wrong(trial, ceiling, over, tolerance, self.kind, how)
        gap = relative_error(at_tight.got, top)
        if bool((gap > tolerance).any()):
            how = f"it is not equal to {self.of_words} where {self.tight_words}"
            return wrong(at_tight, top, gap, tolerance, self.kind, how, also=trial)
        stated = equation.reference(**arguments)
        error = relative_error(trial.got, stated)
        if bool((error > tolerance).any()):
            side = "above" if self.above else "below"
            how = f"it is {side} {self.of_words} and touches it, but it is another bound than this"
            return wrong(trial, stated, error, tolerance, self.kind, how, "this bound")
        sentence = (
            f"never {beyond} {self.of_words} in {self.count} {self.where}, and equal to it where "
            f"{self.tight_words}."
        )
        return accept(trial, sentence, self.kind, float(error.max()))


# -- what the kinds share --------------------------------------------------------------------------


def drawn(draw: Draw, count: int, example: dict[str, Any]) -> dict[str, Tensor]:
    """``count`` points, the same every time, the first of them the example."""
    arguments = draw(torch.Generator().manual_seed(SEED), count)
    for name, value in example.items():
        arguments[name][0] = torch.as_tensor(value, dtype=torch.float64)
    return arguments


def symbol_values(equation: Equation, arguments: dict[str, Tensor]) -> dict[str, Tensor]:
    extra = {name: make(**arguments) for name, make in equation.symbols.items()}
    return {**arguments, **extra}


def formula_of(equation: Equation, given: Any) -> Candidate | None:
    """The candidate as a formula in the equation's symbols; None if it is a function."""
    evidence = equation.evidence
    if not isinstance(given, (str, sympy.Basic)) or not isinstance(evidence, (Numeric, Bound)):
        return None
    points = symbol_values(equation, drawn(evidence.draw, 2, evidence.example))
    return Candidate(_right_hand_side(equation, given), points, equation.free_index)


def _right_hand_side(equation: Equation, given: Any) -> Any:
    r"""Of a formula such as ``a \le b`` the side b, where b is what the equation asks for.

    Elsewhere a formula that ends in ``\le b`` states a, which some b is above.
    """
    upper = isinstance(given, str) and equation.relation == r"\le"
    return after_last_at_most(given) if upper else given


def try_out(
    equation: Equation, given: Any, arguments: dict[str, Tensor], keep_graph: bool = False
) -> Trial:
    asked = _right_hand_side(equation, given)
    candidate = Candidate(asked, symbol_values(equation, arguments), equation.free_index)
    with own_noise(SEED + 1):  # not SEED: its noise must differ from the noise that it is given
        got = candidate.values(arguments)
    single = got.dtype == torch.float32
    got = got.to(torch.float64)
    return Trial(equation, candidate, arguments, got if keep_graph else got.detach(), single)


def relative_error(got: Tensor, target: Tensor) -> Tensor:
    """Absolute below 1 and relative above; NaN counts as infinitely wrong. (P, …)."""
    error = (got - target).abs() / target.abs().clamp(min=1.0)
    return torch.where(got == target, 0.0, error).nan_to_num(nan=torch.inf)


def shape_complaint(got: Tensor, target: Tensor) -> str:
    if got.shape == target.shape:
        return ""
    P = target.shape[0]
    asked = f"it was asked at {P} points at once and must answer with shape {tuple(target.shape)}"
    if got.ndim == 0:
        return f"it returned one number: {asked}. Sum over the last axis only (dim=-1)."
    if got.ndim == target.ndim + 1 and got.shape[0] == P:
        missing = "a sum over dim=-1 or .squeeze(-1)" if got.shape[-1] == 1 else "a sum over dim=-1"
        return f"it returned shape {tuple(got.shape)}: {asked}. Is {missing} missing?"
    return f"it returned shape {tuple(got.shape)}: {asked}."


def refuse(equation: Equation, sentence: str, kind: str = "") -> Verdict:
    return Verdict(equation.id, False, equation.title, sentence, kind)


def misshapen(trial: Trial, complaint: str, kind: str) -> Verdict:
    """The verdict on an answer of the wrong shape, which is named too if a known slip has it."""
    equation, mistake = trial.equation, known_mistake(trial)
    sentence = f"{mistake}. I{complaint[1:]}" if mistake else complaint
    return Verdict(equation.id, False, equation.title, sentence, kind, mistake)


def accept(trial: Trial, sentence: str, kind: str, worst: float) -> Verdict:
    """The verdict on a right candidate, unless it only repeats what it should explain."""
    equation = trial.equation
    if _repeats_left_hand_side(trial):
        return refuse(equation, REPEATED, kind)
    return Verdict(equation.id, True, equation.title, sentence, kind, worst=worst)


def _repeats_left_hand_side(trial: Trial) -> bool:
    candidate = trial.candidate
    try:
        left = Candidate(trial.equation.lhs, candidate.symbols, candidate.free_index).expr
    except LatexError:
        return False  # most of them are names, such as D_KL, that no formula may mention
    same = candidate.expr is not None and candidate.expr == left
    return same and not _spells_out(candidate.given, trial.equation.lhs)


def _spells_out(given: Any, lhs: str) -> bool:
    """Is the left-hand side a divergence by name, and the candidate what the name stands for?"""
    names = {token.text for token in tokens(lhs)} & DIVERGENCES
    told = {token.text for token in tokens(given)} if isinstance(given, str) else set()
    return bool(names) and not names & told


def wrong(
    trial: Trial, target: Tensor, error: Tensor, tolerance: float, kind: str, how: str = "",
    quantity: str = "", also: Trial | None = None,
) -> Verdict:  # fmt: skip
    """The verdict on a wrong candidate: the slip by name if it is known, and a counterexample.

    ``also`` is a second trial in which a slip must show too, where points may be too special.

    The counterexample is the example if the candidate is wrong there, else the first point that is
    at least half as wrong as the worst: the worst itself may be another on another machine.
    """
    per_point = error.flatten(1).amax(1) if error.ndim > 1 else error
    worst = float(per_point.max())
    k = 0 if per_point[0] > max(tolerance, 1e-3) else int((per_point >= worst / 2).int().argmax())
    equation, got = trial.equation, trial.got
    mistake = known_mistake(trial, *([also] if also else []))
    name = mistake or (how if worst > SINGLE else "") or describe_difference(got, target)
    example = at_point(trial.shown, k)
    sentence = name if name.endswith(".") else f"{name}."
    if name != NEARLY:
        given, right = apart(got[k], target[k])
        sentence += f" At {listed(example)} it gives {given}; "
        sentence += f"{quantity or equation.quantity} is {right}."
    return Verdict(equation.id, False, equation.title, sentence, kind, mistake, example, worst)


def known_mistake(*trials: Trial) -> str | None:
    """The sentence of the near miss that gives the candidate's values at every point of each."""
    for miss in trials[0].equation.near_misses:
        if all(_same_values(trial, miss.candidate) for trial in trials):
            return miss.says
    return None


def _same_values(trial: Trial, other: Any) -> bool:
    try:
        values = try_out(trial.equation, other, trial.arguments).got
    except (CandidateError, NotTried):
        return False
    if values.shape != trial.got.shape:
        return False
    a, b = (torch.atleast_1d(v)[:2000] for v in (values, trial.got))  # so many points will do
    return bool(torch.isclose(a, b, rtol=SINGLE, atol=SINGLE, equal_nan=True).all())
