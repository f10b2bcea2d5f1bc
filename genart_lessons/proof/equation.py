"""An equation as the course knows it: what it says, how it is checked, how people get it wrong."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import sympy
from torch import Tensor

from genart_lessons.proof.verdict import Verdict


@dataclass(frozen=True)
class NearMiss:
    """A wrong version that people really write, and the sentence that names the mistake.

    ``source`` is the label of an article that prints it (``"C4"``), where one does.
    """

    candidate: Any
    says: str
    source: str = ""


@dataclass(frozen=True)
class Definition:
    """What an equation follows from, so that SymPy can derive it and prove a formula from it.

    Attributes:
        words: how a verdict puts it, as in "proved from ∫ q(z) log(q(z)/p(z)) dz".
        derive: the right value from first principles; a tuple where an index stays free.
        letters: what each name in a formula stands for, in the symbols that ``derive`` uses: an
            expression, or a tuple of them for a vector or a table, or a tuple of such tuples for a
            table with two indices.
        given: what is known besides, such as q₃ = 1 − q₁ − q₂, or x² = x where x is 0 or 1.
    """

    words: str
    derive: Callable[[], sympy.Expr | tuple[sympy.Expr, ...]]
    letters: dict[str, sympy.Expr | tuple[Any, ...]]
    given: dict[sympy.Expr, sympy.Expr] = field(default_factory=dict)


class Evidence(Protocol):
    """A way of checking. ``kind`` is what the card calls it."""

    kind: str

    def examine(self, equation: "Equation", given: Any) -> Verdict: ...


@dataclass(frozen=True)
class Equation:
    r"""One numbered equation.

    Attributes:
        id: the number in the chapter's ``\tag{}``; exercises are ``"3.x1"``.
        lhs, rhs: LaTeX. ``rhs`` is itself a candidate: the tests parse it and verify it, so that
            what is typeset is what is checked (unless ``typeset_only`` says why it cannot be read).
        free_index: the letter that stays free where the equation is a whole table, as in p(z|x).
        meaning: one sentence.
        quantity: what a counterexample calls the right value, as in "the divergence is 0.08".
        reference: the right value at P points, a function of the arguments that ``evidence`` draws.
        symbols: what formulas may mention beyond the arguments: name → function of the arguments.
        definition: what it follows from, where SymPy can derive it in a second.
        cite: where the equation comes from.
        sources: the articles' formulas that it answers (``B3``, ``C4``, …).
    """

    id: str
    title: str
    lhs: str
    rhs: str
    meaning: str
    reference: Callable[..., Tensor]
    evidence: Evidence
    near_misses: tuple[NearMiss, ...] = ()
    quantity: str = "the right value"
    relation: str = "="
    symbols: dict[str, Callable[..., Tensor]] = field(default_factory=dict)
    definition: Definition | None = None
    positive: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    cite: str = ""
    typeset_only: str = ""
    free_index: str = ""

    @property
    def latex(self) -> str:
        return f"{self.lhs} {self.relation} {self.rhs}"

    @property
    def chapter(self) -> str:
        return self.id.partition(".")[0].zfill(2)

    @property
    def is_exercise(self) -> bool:
        return ".x" in self.id

    def _repr_latex_(self) -> str:
        return f"$$ {self.latex} \\tag{{{self.id}}} $$"
