r"""A derivation: lines, each with its relation to the one before and its reason; and its report.

>>> from genart_lessons import derivation
>>> d = derivation.Derivation("x in {1..4}\nz in {1..3}\np(x, z)", [
...     (r"\log p(x)",),
...     ("=", r"\log\sum_z p(x,z)", "marginal"),
... ])
>>> d.check()
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import sympy

from genart_lessons import runtime
from genart_lessons.derivation.language import RELATIONS, read
from genart_lessons.derivation.links import BROKEN, HOLDS, UNDECIDED, Finding, judge
from genart_lessons.derivation.mend import mend
from genart_lessons.derivation.world import World, WorldError
from genart_lessons.proof.guard import NoAnswer, own_noise, run_limited
from genart_lessons.proof.spelling import LatexError

SECONDS, MOST_LINES, FORMAT = 5.0, 60, 1
_SIGNS = {"=": "=", "≤": r"\le", "≥": r"\ge", "≈": r"\approx", "∝": r"\propto"}
_MARKS = {HOLDS: "✔", BROKEN: "✘", UNDECIDED: "?"}


@dataclass(frozen=True)
class Line:
    """``relation formula``, and why. The first line has neither relation nor reason."""

    formula: str
    relation: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        sign = self.relation.partition(" ")[0]
        if sign and sign not in _SIGNS:
            known = " ".join(_SIGNS)
            raise ValueError(f"the relation {self.relation!r} is not known; known: {known}")


@dataclass(frozen=True)
class Report:
    """A derivation with a finding for each link (the first line has none)."""

    derivation: Derivation
    findings: tuple[Finding, ...]
    alone: tuple[int, ...] = ()
    seconds: float = field(default=0.0, compare=False)

    @property
    def ok(self) -> bool:
        """Does every link hold?"""
        return bool(self.findings) and all(f.ok for f in self.findings)

    @property
    def broken(self) -> list[int]:
        """The numbers, from 1, of the lines that do not follow from the line before.

        A line that is wrong by itself breaks two links; only its own is counted.
        """
        bad = [k + 2 for k, f in enumerate(self.findings) if f.state == BROKEN]
        return [number for number in bad if number - 1 not in self.alone]

    def __repr__(self) -> str:
        lines = [f"{self.derivation.title or 'A derivation'}: {self.summary()}"]
        for k, line in enumerate(self.derivation.lines):
            finding = self.findings[k - 1] if k else None
            mark = _MARKS[finding.state] if finding else " "
            reason = f"   ({line.reason})" if line.reason else ""
            lines.append(f" {mark} {k + 1:2}  {line.relation:2} {line.formula}{reason}")
            if finding and finding.state != HOLDS:
                lines += [f"       {part}" for part in explained(finding)]
        return "\n".join(lines)

    def summary(self) -> str:
        """One sentence: does it hold, and where does it not?"""
        if not self.findings:
            return "one line alone says nothing"
        n = len(self.findings)
        if self.ok:
            return f"all {n} links hold" if n > 1 else "the link holds"
        where = ", ".join(map(str, self.broken))
        open_ = [k + 2 for k, f in enumerate(self.findings) if f.state == UNDECIDED]
        parts = [f"line {where} does not follow from the line before"] if self.broken else []
        parts += [f"lines {n - 1} and {n + 1} agree without line {n}" for n in self.alone]
        parts += [f"not decided: line {', '.join(map(str, open_))}"] if open_ else []
        return "; ".join(parts)

    def _repr_markdown_(self) -> str:
        rows = ["| | line | formula | reason | what was found |", "|-|-|:-|:-|:-|"]
        for k, line in enumerate(self.derivation.lines):
            finding = self.findings[k - 1] if k else None
            said = "<br>".join(map(_cell, explained(finding))) if finding else ""
            mark = _MARKS[finding.state] if finding else ""
            formula = f"$\\displaystyle {_sign(line)} {_bars(line.formula)}$"
            rows.append(f"| {mark} | {k + 1} | {formula} | {_cell(line.reason)} | {said} |")
        head = f"**{self.derivation.title or 'A derivation'}**: {self.summary()}."
        return "\n".join([head, "", *rows])


def _bars(formula: str) -> str:
    """The same formula without a bare bar, which would end the cell of a table."""
    return formula.replace(r"\|", r"\Vert ").replace("|", r"\vert ")


def _cell(text: str) -> str:
    """Words in the cell of a table; what is LaTeX in them is shown as it was written."""
    text = text.replace("|", "\\|").replace("\n", " ")
    return re.sub(r"(\S*\\[A-Za-z]+\S*)", r"`\1`", text) if "\\" in text else text


def explained(finding: Finding) -> list[str]:
    """A finding in short sentences."""
    if finding.state == HOLDS:
        return [finding.said]
    lines = [finding.said]
    if finding.state == BROKEN:
        at = f"at {finding.where}: " if finding.where else ""
        lines = [f"{finding.said}: {at}{finding.left:.4g} and {finding.right:.4g}"]
    elif finding.where:
        lines.append(f"for example at {finding.where}")
    if finding.mend:
        lines.append(f"what would mend it: {finding.mend}")
    if finding.assumes:
        lines.append(finding.assumes)
    return [part for each in lines for part in each.splitlines()]


@dataclass(frozen=True)
class Derivation:
    """A chain of lines in a world. It never changes: ``edited`` gives another.

    world: what the letters are, in words, one thing a line (``derivation.World``).
    lines: ``Line``s, or tuples ``(relation, formula, reason)``; the first may be the formula
        alone. A formula is LaTeX, or a SymPy expression in the world's names. One LaTeX line may
        hold several relations, ``a = b \\le c``.
    Raises ValueError for more than 60 lines, and WorldError for a world that cannot be read.
    """

    world: str
    lines: Sequence[Any] = ()
    title: str = ""

    def __post_init__(self) -> None:
        made = tuple(as_line(line, first=k == 0) for k, line in enumerate(self.lines))
        if len(made) > MOST_LINES:
            raise ValueError(f"a derivation has at most {MOST_LINES} lines; this has {len(made)}.")
        object.__setattr__(self, "lines", made)
        World(self.world)  # speaks up now, and not when the first line is checked

    def edited(self, number: int, formula: str | None = None, *, relation: str | None = None,
               reason: str | None = None) -> Derivation:  # fmt: skip
        """The same with line ``number`` (from 1) changed; other lines keep their findings."""
        if not 1 <= number <= len(self.lines):
            raise ValueError(f"there is no line {number}: there are {len(self.lines)}.")
        old = self.lines[number - 1]
        new = Line(
            old.formula if formula is None else formula,
            old.relation if relation is None else relation,
            old.reason if reason is None else reason,
        )
        lines = (*self.lines[: number - 1], new, *self.lines[number:])
        return Derivation(self.world, lines, self.title)

    def check(self, seconds: float = SECONDS) -> Report:
        """A finding for each link; each gets at most so many seconds."""
        start = time.monotonic()
        pairs = zip(self.lines, self.lines[1:], strict=False)
        findings = tuple(
            _link(self.world, a.formula, b.relation, b.formula, seconds) for a, b in pairs
        )
        return Report(self, findings, self._alone(findings, seconds), time.monotonic() - start)

    def _alone(self, findings: tuple[Finding, ...], seconds: float) -> tuple[int, ...]:
        """Lines that are wrong by themselves: without them, the next follows from the last."""
        found = []
        for k in range(len(findings) - 1):
            before, here, after = self.lines[k : k + 3]
            relation = both_steps(here.relation, after.relation)
            pair = findings[k].state == findings[k + 1].state == BROKEN
            if pair and relation and (k + 1) not in found:
                around = _link(self.world, before.formula, relation, after.formula, seconds)
                if around.ok:
                    found.append(k + 2)
        return tuple(found)

    def __repr__(self) -> str:
        lines = [f"{self.title or 'A derivation'}:"]
        for k, line in enumerate(self.lines, 1):
            reason = f"   ({line.reason})" if line.reason else ""
            lines.append(f"   {k:2}  {line.relation:2} {line.formula}{reason}")
        return "\n".join(lines)

    def _repr_markdown_(self) -> str:
        rows = ["| line | formula | reason |", "|-|:-|:-|"]
        for k, line in enumerate(self.lines, 1):
            formula = f"$\\displaystyle {_sign(line)} {_bars(line.formula)}$"
            rows.append(f"| {k} | {formula} | {_cell(line.reason)} |")
        return "\n".join([f"**{self.title or 'A derivation'}**", "", *rows])

    # -- files -----------------------------------------------------------------------------------
    def save(self, path: str | Path) -> Path:
        """Write it as JSON, whole or not at all; ``load`` reads it again."""
        path = Path(path).with_suffix(".json")
        said = {"format": FORMAT, "title": self.title, "world": self.world,
                "lines": [asdict(line) for line in self.lines]}  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        runtime.atomic_write(path, json.dumps(said, ensure_ascii=False, indent=1) + "\n")
        return path

    @classmethod
    def load(cls, path: str | Path) -> Derivation:
        """Read what ``save`` wrote. Raises ValueError that names the file if it is damaged."""
        path = Path(path)
        try:
            said = json.loads(path.read_text("utf-8"))
            if said["format"] != FORMAT:
                raise ValueError(f"format {said['format']!r} is not known here")
            lines = tuple(Line(**line) for line in said["lines"])
            return cls(str(said["world"]), lines, str(said["title"]))
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no saved derivation, or it is damaged: {error}") from error

    def to_latex(self) -> str:
        """An ``align`` environment, a line a row, its reason as text; ready for amsmath."""
        rows = []
        for k, line in enumerate(self.lines):
            sign = _sign(line)
            reason = rf" && \text{{({_text(line.reason)})}}" if line.reason else ""
            rows.append(f"  {line.formula if k == 0 else ''} &{sign} "
                        f"{line.formula if k else ''}{reason}".rstrip())  # fmt: skip
        if len(rows) > 1:  # the first two lines share a row, as one writes it
            first, second = self.lines[0], self.lines[1]
            reason = rf" && \text{{({_text(second.reason)})}}" if second.reason else ""
            rows[:2] = [f"  {first.formula} &{_sign(second)} {second.formula}{reason}"]
        body = " \\\\\n".join(rows)
        return f"\\begin{{align*}}\n{body}\n\\end{{align*}}\n"

    def to_markdown(self) -> str:
        """A heading, the world, and a display formula for each line with its reason and finding."""
        report = self.check()
        parts = [f"## {self.title or 'A derivation'}", "", "```text", self.world.strip(), "```", ""]
        for k, line in enumerate(self.lines):
            parts += [f"$$ {_sign(line)} {line.formula} $$".replace("  ", " "), ""]
            finding = report.findings[k - 1] if k else None
            if finding:
                why = f"{line.reason}: " if line.reason else ""
                parts += [f"{_MARKS[finding.state]} {why}{'; '.join(explained(finding))}", ""]
        return "\n".join(parts)


def as_line(line: Any, first: bool = False) -> Line:
    """A ``Line`` from what people write: a tuple, a string, a SymPy expression."""
    if isinstance(line, Line):
        return line
    if isinstance(line, str | sympy.Basic):
        line = (line,)
    if not isinstance(line, Sequence) or not 1 <= len(line) <= 3:
        raise ValueError(f"a line is (relation, formula, reason), not {line!r}")
    parts = list(line)
    if len(parts) == 1:
        parts = ["", parts[0]]
    relation, formula, reason = [*parts, ""][:3]
    if isinstance(formula, sympy.Basic):
        formula = sympy.latex(formula)
    if not isinstance(formula, str) or not isinstance(relation, str):
        raise ValueError(f"a line is (relation, formula, reason), not {line!r}")
    sign, _, letter = relation.strip().partition(" ")
    sign = RELATIONS.get(sign, {"<=": "≤", ">=": "≥"}.get(sign, sign))
    if not first and not sign:
        raise ValueError(f"the line {formula!r} needs its relation to the one before: = ≤ ≥ ≈ ∝")
    return Line(formula.strip().strip("$").strip(), f"{sign} {letter}".strip(), str(reason))


def both_steps(first: str, second: str) -> str:
    """The relation of a to c, where a is so to b and b so to c; "" where it is none."""
    if first == "=" or first == second:
        return second
    return first if second == "=" else ""


def _sign(line: Line) -> str:
    sign, _, letter = line.relation.partition(" ")
    return _SIGNS.get(sign, "") + (f"_{{{letter}}}" if letter else "")


def _text(reason: str) -> str:
    for sign in "\\{}$&#^_%~":
        reason = reason.replace(sign, " " if sign in "\\^~" else f"\\{sign}")
    return reason


@lru_cache(maxsize=2000)
def _link(world: str, left: str, relation: str, right: str, seconds: float) -> Finding:
    """The finding on one link. The same link is looked at once."""
    try:
        known = World(world)
        a, b = read(left, known), None
        try:
            b = read(right, known)
        except LatexError as error:
            return Finding(UNDECIDED, f"this line cannot be read: {error}", place=error.place)
        with own_noise(0):
            found = run_limited(lambda: judge(a, relation, b, known), seconds)
        if found.state == BROKEN:
            found = _with_mend(found, a, relation, b, known, right, seconds)
        return found
    except LatexError as error:
        return Finding(UNDECIDED, f"the line before cannot be read: {error.reason}")
    except WorldError as error:
        return Finding(UNDECIDED, str(error))
    except NoAnswer:
        return Finding(UNDECIDED, f"this takes longer than {seconds:g} seconds: it was stopped")
    except MemoryError:
        return Finding(UNDECIDED, "this is too large to be worked out")


def _with_mend(
    found: Finding, a, relation: str, b, world: World, source: str, seconds: float
) -> Finding:
    from dataclasses import replace

    try:
        said = run_limited(lambda: mend(a, relation, b, world, source), seconds / 2)
    except NoAnswer:
        said = ""
    return replace(found, mend=said)
