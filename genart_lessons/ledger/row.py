"""One line of the ledger: what is printed, the verdict, and the evidence, which can be run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from genart_lessons.ledger.evidence import Evidence, Finding, Paper

HOLDS = "holds"
CORRECTED = "holds with a correction"
FAILS = "does not hold"
UNTESTABLE = "not a claim that can be tested"
VERDICTS = (HOLDS, CORRECTED, FAILS, UNTESTABLE)
MARKS = {HOLDS: "✔", CORRECTED: "≈", FAILS: "✘", UNTESTABLE: "○"}


@dataclass(frozen=True)
class Row:
    """A formula, a statement or a listing of one of the five articles.

    Attributes:
        id: the label in the course's list: letter and number of a formula (``C4``), ``S…`` for a
            statement, ``L…`` for a listing.
        where: article and section.
        printed: what stands there: LaTeX between dollars, or its sense in English.
        verdict: one of ``VERDICTS``.
        corrected: how it should read; empty where it holds.
        chapter: the chapter that treats it.
        evidence: what can be run to see that the verdict is right.
        note: what a fair reader should know besides.
        papers: primary sources.
    Raises ValueError for another verdict, for no evidence, and for a correction that is missing.
    """

    id: str
    where: str
    printed: str
    verdict: str
    chapter: str
    evidence: tuple[Evidence, ...]
    corrected: str = ""
    note: str = ""
    papers: tuple[Paper, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"{self.id}: the verdict {self.verdict!r} is none of {VERDICTS}.")
        if not (self.evidence or self.papers):
            raise ValueError(f"{self.id}: a verdict needs evidence.")
        if self.verdict in (CORRECTED, FAILS) and not self.corrected:
            raise ValueError(f"{self.id}: say what it should be.")

    @property
    def kind(self) -> str:
        """What it is: a formula, a statement or a listing."""
        return {"S": "statement", "L": "listing"}.get(self.id[0], "formula")

    def run(self) -> Outcome:
        """Compute all of its evidence anew."""
        start = time.monotonic()
        findings = tuple(each.run() for each in (*self.evidence, *self.papers))
        return Outcome(self, findings, time.monotonic() - start)

    def __repr__(self) -> str:
        lines = [f"{MARKS[self.verdict]} {self.id} ({self.where}): {self.verdict}"]
        lines.append(f"  printed: {self.printed}")
        lines += [f"  better: {self.corrected}"] if self.corrected else []
        lines += [f"  note: {self.note}"] if self.note else []
        return "\n".join([*lines, f"  chapter {self.chapter}; row('{self.id}').run() checks it"])

    def _repr_markdown_(self) -> str:
        return "\n\n".join(self.head())

    def head(self) -> list[str]:
        """The row in Markdown, a paragraph each."""
        lines = [f"**{MARKS[self.verdict]} {self.id}** · {self.where} · **{self.verdict}**"]
        lines.append(f"*Printed:* {self.printed}")
        lines += [f"*Better:* {self.corrected}"] if self.corrected else []
        lines += [f"*Note:* {self.note}"] if self.note else []
        return lines


@dataclass(frozen=True)
class Outcome:
    """A row and what its evidence came to just now."""

    row: Row
    findings: tuple[Finding, ...]
    seconds: float = field(default=0.0, compare=False)

    @property
    def counterexamples(self) -> list[str]:
        """The cases, computed just now, in which what is printed fails."""
        return [f.counterexample for f in self.findings if f.ok and f.counterexample]

    @property
    def ok(self) -> bool:
        """Does the verdict stand? Everything came out as it says, and so did every control.

        "Does not hold" needs a counterexample, or a primary source where it is a matter of history.
        """
        if not all(self.findings):
            return False
        return self.row.verdict != FAILS or bool(self.counterexamples or self.row.papers)

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        stands = "the verdict stands" if self.ok else "THE VERDICT DOES NOT STAND"
        lines = [f"{MARKS[self.row.verdict]} {self.row.id}: {self.row.verdict} ({stands})"]
        for f in self.findings:
            lines += [f"  {'✔' if f else '✘'} {f.about}", f"      {f.says}"]
            lines += [f"      control: {f.control_says}"] if f.runs else []
        return "\n".join(lines)

    def _repr_markdown_(self) -> str:
        lines = self.row.head()
        for f in self.findings:
            control = f" *Control:* {_plain(f.control_says)}" if f.runs else ""
            mark = ("✔" if f else "✘") if f.runs else "¶"
            lines.append(f"- {mark} *{f.about}:* {_plain(f.says)}{control}")
        stands = "The verdict stands." if self.ok else "**The verdict does not stand.**"
        return "\n\n".join([*lines, stands])


def cell(text: str) -> str:
    """Text for the cell of a Markdown table: no bare bar, no line break."""
    return text.replace(r"\|", r"\Vert ").replace("|", r"\vert ").replace("\n", " ")


def _plain(text: str) -> str:
    """Words with the signs that Markdown would take for its own made harmless; one line."""
    return "".join("\\" + c if c in "*_<>|$" else c for c in text.partition("\n")[0])
