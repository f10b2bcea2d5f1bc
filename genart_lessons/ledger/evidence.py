"""Kinds of evidence for a verdict. Each is run anew, and each brings a control that can refute it.

A check that says yes to everything proves nothing. So a formula that is accepted counts only if a
known slip of the same equation is refused; one that is refused, only if the right one is accepted;
an experiment, only if its control comes out the other way. A paper cannot be run: ``Paper`` is
for what rests on history, and says so (``runs`` is False).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from genart_lessons.derivation import Derivation
from genart_lessons.derivation.chain import BROKEN, explained
from genart_lessons.equations import find
from genart_lessons.proof import Equation, judge

URL = re.compile(r"https://(arxiv\.org/abs/\d{4}\.\d{4,5}|doi\.org/10\.\d{4,9}/\S+|\S+\.\S+)$")


@dataclass(frozen=True)
class Finding:
    """What a piece of evidence came to.

    ``ok``: it came out as the verdict says. ``control``: and its control the other way. ``says``,
    ``control_says``: the two in a sentence, with their figures. ``counterexample``: where something
    fails, numbers or a case that one can follow. ``runs``: it was computed and could have failed.
    """

    about: str
    ok: bool
    says: str
    control: bool
    control_says: str
    counterexample: str = ""
    runs: bool = True

    def __bool__(self) -> bool:
        return self.ok and self.control

    def __repr__(self) -> str:
        lines = [f"{'✔' if self else '✘'} {self.about}", f"    {self.says}"]
        return "\n".join([*lines, f"    control: {self.control_says}"])


class Evidence(Protocol):
    """Anything that can be asked again: ``run`` computes a ``Finding``."""

    def run(self) -> Finding: ...


def _right(equation: Equation) -> Any:
    """The right answer to an equation: its own formula, or a function where none can be read."""
    return equation.reference if equation.typeset_only else equation.rhs


def printed(id: str, source: str, which: int = 0) -> Any:
    """What an article prints in the place of equation ``id``, as the registry knows it.

    Raises LookupError where the registry has no such slip.
    """
    found = [miss.candidate for miss in find(id).near_misses if miss.source == source]
    if which >= len(found):
        raise LookupError(f"({id}) knows {len(found)} slips of {source}; number {which} is none.")
    return found[which]


@dataclass(frozen=True)
class Accepts:
    """The registry accepts ``candidate`` for ``equation`` (None: the equation itself).

    Control: the first known slip of the same equation is refused.
    """

    equation: str
    candidate: Any = None

    def run(self) -> Finding:
        equation = find(self.equation)
        given = _right(equation) if self.candidate is None else self.candidate
        verdict = judge(equation, given)
        slip = judge(equation, equation.near_misses[0].candidate)
        return Finding(
            about=f"equation ({equation.id}), {equation.title}",
            ok=verdict.ok is True,
            says=f"accepted: {verdict.sentence}",
            control=slip.ok is False,
            control_says=f"a slip is {'accepted' if slip else 'refused'}: {slip.sentence}",
        )


@dataclass(frozen=True)
class Rejects:
    """The registry refuses ``candidate`` for ``equation``, with a counterexample.

    ``says``: words that the refusal must contain, so that it is refused for the right reason.
    Control: the right side is accepted.
    """

    equation: str
    candidate: Any
    says: str = ""

    def run(self) -> Finding:
        equation = find(self.equation)
        verdict = judge(equation, self.candidate)
        right = judge(equation, _right(equation))
        return Finding(
            about=f"equation ({equation.id}), {equation.title}",
            ok=verdict.ok is False and self.says in verdict.sentence,
            says=f"what is printed is {'accepted' if verdict else 'refused'}: {verdict.sentence}",
            control=right.ok is True,
            control_says=f"the right one is {'accepted' if right else 'refused'}: {right.sentence}",
            counterexample="" if verdict.ok else verdict.sentence,
        )


@dataclass(frozen=True)
class Chain:
    """A derivation, checked link by link (section 13.7), and a twin that must come out otherwise.

    ``holds``: whether ``derivation`` does; ``twin`` does not, or the other way round.
    """

    derivation: Derivation
    twin: Derivation
    holds: bool = True

    def run(self) -> Finding:
        ours, other = self.derivation.check(), self.twin.check()
        broken = other if self.holds else ours
        return Finding(
            about=f"derivation: {self.derivation.title}",
            ok=ours.ok if self.holds else bool(ours.broken),
            says=ours.summary(),
            control=bool(other.broken) if self.holds else other.ok,
            control_says=f"its twin: {other.summary()}",
            counterexample="" if self.holds else _first_break(broken),
        )


def _first_break(report: Any) -> str:
    return next((explained(f)[0] for f in report.findings if f.state == BROKEN), "")


@dataclass(frozen=True)
class Seen:
    """What an experiment returns.

    ``ok``: it came out as the verdict says. ``says``: with the figures. ``control``: the control
    came out the other way; ``control_says``: with its figures. ``counterexample``: where a
    statement fails.
    """

    ok: bool
    says: str
    control: bool
    control_says: str
    counterexample: str = ""


@dataclass(frozen=True)
class Shown:
    """An experiment that is run anew: a function without arguments that returns ``Seen``."""

    experiment: Callable[[], Seen]

    def run(self) -> Finding:
        seen = self.experiment()
        name = self.experiment.__name__.replace("_", " ").strip()
        return Finding(
            f"experiment: {name}", bool(seen.ok), seen.says, bool(seen.control), seen.control_says,
            seen.counterexample,
        )  # fmt: skip


@dataclass(frozen=True)
class Paper:
    """A primary paper, and what it says in short; for history, which cannot be computed.

    Only the form is checked: a name with a year, an address, and something said.
    """

    citation: str
    url: str
    says: str

    def run(self) -> Finding:
        formed = bool(re.search(r"\(?\b(19|20)\d\d\)?", self.citation) and URL.match(self.url))
        return Finding(
            about=f"[{self.citation}]({self.url})",
            ok=formed and len(self.says) > 20,
            says=self.says,
            control=True,
            control_says="read it there",
            runs=False,
        )
